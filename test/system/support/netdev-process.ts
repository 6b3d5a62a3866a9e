// A `colo qemu netdev` process of its own, in a directory of its own, with sockets by name.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../netns/support/wait';
import { FramePeer } from './frame-peer';

const COLO = join(__dirname, '../../../bin/colo');

export interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

export function colo(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COLO, ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

interface Report {
  guest: Record<string, number>;
  host: Record<string, number>;
  chardevs: Record<string, unknown>[];
  filters: Record<string, unknown>[];
}

export class NetdevProcess {
  readonly dir = mkdtempSync(join(tmpdir(), 'colo-netdev-'));
  log = '';
  private child: ChildProcess | undefined;
  private ended: Promise<number | null> | undefined;
  private readonly peers: FramePeer[] = [];

  /** `unix:` text for a socket of this directory. */
  at(name: string, options = ''): string {
    return `unix:${this.path(name)}${options}`;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** Starts the command and waits until it serves. `prefix` goes before it, such as `ip netns exec`. */
  async start(args: string[], prefix: string[] = []): Promise<void> {
    const control = args.includes('--config') || args.includes('--control') ? [] : ['--control', this.path('control')];
    const words = [...prefix, process.execPath, COLO, 'qemu', ...args, ...control];
    this.log = '';
    const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    child.stderr!.on('data', (text) => {
      this.log += text;
    });
    this.ended = new Promise((resolve) => child.once('exit', resolve));
    let gone = false;
    void this.ended.then(() => {
      gone = true;
    });
    await until('ready netdev', () => {
      if (gone) throw new Error(`the netdev ended: ${this.log}`);
      return this.log.includes('"ready"');
    });
  }

  /** A peer of one of the netdev's servers; resolves when the netdev has it. */
  async connect(name: string, headBytes: 4 | 8 = 4): Promise<FramePeer> {
    const connections = () => this.log.split('"connected"').length;
    const before = connections();
    const peer = await FramePeer.connect(this.path(name), headBytes);
    this.peers.push(peer);
    await until(`connection to ${name}`, () => connections() > before);
    return peer;
  }

  ctl(...words: string[]): Promise<Ended> {
    return colo('qemu', 'ctl', this.path('control'), ...words);
  }

  async query(): Promise<Report> {
    const { status, stdout, stderr } = await this.ctl('query');
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Report;
  }

  async filter(id: string): Promise<Record<string, unknown>> {
    return (await this.query()).filters.find((f) => f.id === id)!;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  /** Ends it as an operator does; its exit status. */
  async stop(): Promise<number | null> {
    for (const peer of this.peers) peer.close();
    this.child?.kill('SIGTERM');
    const status = await this.ended;
    this.child = undefined;
    return status ?? null;
  }

  async close(): Promise<void> {
    if (this.child !== undefined) await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
