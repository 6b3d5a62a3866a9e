// A process of ours under attack: is it alive, what has it logged, how much memory does it take.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../lib/chardev-peer';

const COLO = join(__dirname, '../../../../bin/colo');
const TAIL_CHARACTERS = 4000;

export class AttackedProcess {
  private readonly child: ChildProcess;
  private readonly connections = new Map<string, number>();
  private tail = '';
  private line = '';
  private fault: string | undefined;
  private ready = false;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [COLO, 'qemu', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr!.on('data', (text) => this.read(String(text)));
  }

  private read(text: string): void {
    this.tail = (this.tail + text).slice(-TAIL_CHARACTERS);
    const lines = (this.line + text).split('\n');
    this.line = lines.pop()!;
    for (const line of lines) {
      if (line.includes('internal error')) this.fault ??= line;
      if (line.includes('"ready"')) this.ready = true;
      if (!line.includes('"connected"')) continue;
      const { device, port } = JSON.parse(line) as { device?: string; port?: string };
      const name = device ?? port!;
      this.connections.set(name, this.taken(name) + 1);
    }
  }

  taken(name: string): number {
    return this.connections.get(name) ?? 0;
  }

  /** Throws when it has ended, or speaks of a fault in itself. */
  lives(): void {
    const { exitCode, signalCode } = this.child;
    if (this.fault !== undefined) throw new Error(`the process has a fault: ${this.fault}`);
    if (exitCode !== null || signalCode !== null)
      throw new Error(`the process ended (${exitCode ?? signalCode}): ${this.tail}`);
  }

  async isReady(): Promise<void> {
    await until(() => {
      this.lives();
      return this.ready;
    }, 'a process that is ready');
  }

  residentBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
  }

  /** By SIGTERM; its exit status. */
  async end(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGTERM');
      await ended;
    }
    return this.child.exitCode;
  }

  /** When a test has failed already. */
  kill(): void {
    this.child.kill('SIGKILL');
  }
}
