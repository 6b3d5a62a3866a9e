// Starts scenes of native-scenes.ts in processes of their own.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';

const CHILD = join(__dirname, 'native-child.js');

export interface Ended {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** A scene that ends by itself, perhaps inside a network namespace. */
export function scene(name: string, args: string[] = [], netns?: string): Ended {
  const words = [process.execPath, CHILD, name, ...args];
  if (netns !== undefined) words.unshift('ip', 'netns', 'exec', netns);
  const { status, signal, stdout, stderr } = spawnSync(words[0]!, words.slice(1), {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, signal, stdout, stderr };
}

/** A scene that goes on; `started` when it has said its first line. */
export class RunningScene {
  stdout = '';
  stderr = '';
  readonly started: Promise<void>;
  readonly ended: Promise<Ended>;
  private readonly child: ChildProcess;

  constructor(name: string, ...args: string[]) {
    this.child = spawn(process.execPath, [CHILD, name, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr!.on('data', (text) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) =>
      this.child.once('close', (status, signal) =>
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr }),
      ),
    );
    this.started = new Promise((resolve, reject) => {
      this.child.stdout!.on('data', (text) => {
        this.stdout += text;
        resolve();
      });
      this.child.once('close', () => reject(new Error(`the scene ended before it began: ${this.stderr}`)));
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  kill(): Promise<Ended> {
    this.child.kill('SIGKILL');
    return this.ended;
  }
}
