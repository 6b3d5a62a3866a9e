// Drives the libxl client (libxl-client.c): one command a line, one answer a line.

import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { LabProcess } from '../../netns/lab';

/** Compiles the client into a directory; gives the program's path. */
export function buildLibxlClient(directory: string): string {
  const program = join(directory, 'libxl-client');
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, join(__dirname, 'libxl-client.c')]);
  return program;
}

export class LibxlClient {
  private answers = 0;

  private constructor(private readonly process: LabProcess) {}

  /** `stack` is what libxl's buffer holds before a text is read into it. */
  static async connect(program: string, port: number, stack: 'zero' | 'dirty'): Promise<LibxlClient> {
    const child = spawn(program, [`${port}`, stack], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {});
    const client = new LibxlClient(new LabProcess(child, `libxl-client ${port}`));
    await client.answer();
    return client;
  }

  /** `init`, `preresume` or `wait MS`; resolves with the answer. */
  ask(command: string): Promise<string> {
    this.process.child.stdin?.write(`${command}\n`);
    return this.answer();
  }

  private async answer(): Promise<string> {
    const lines = this.answers++;
    const match = await this.process.waitFor(new RegExp(`^(?:.*\\n){${lines}}(.*)\\n`));
    return match[1]!;
  }

  async end(): Promise<void> {
    await this.process.stop('SIGKILL');
  }
}
