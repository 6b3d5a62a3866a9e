// The devices under test, each a process of its own behind the same four Unix sockets pri, sec, out, ntf in a directory
// of its own: QEMU's colo-compare (a QEMU without a machine: the comparison needs no guest), this project's, and the
// sink that only moves bytes. And the load generator, which connects to them.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const BUILT = join(ROOT, 'build/bench');
const SOCKETS = ['pri', 'sec', 'out', 'ntf'] as const;
const START_MS = 10_000;
/** A load that takes longer than this has a device before it that does nothing. */
const LOAD_MS = 120_000;

export const DEVICE_CPU = '0';
export const GENERATOR_CPU = cpus().length > 1 ? '1' : '0';

export type DeviceKind = 'ours' | 'qemu' | 'sink';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function command(kind: DeviceKind, dir: string): string[] {
  if (kind === 'sink') return [join(BUILT, 'sink'), dir];
  if (kind === 'qemu') {
    return [
      ...['qemu-system-x86_64', '-M', 'none', '-nodefaults', '-display', 'none', '-monitor', 'none', '-S'],
      ...SOCKETS.flatMap((name) => ['-chardev', `socket,id=${name},path=${dir}/${name},server=on,wait=off`]),
      ...['-object', 'iothread,id=io'],
      ...['-object', 'colo-compare,id=c,primary_in=pri,secondary_in=sec,outdev=out,notify_dev=ntf,iothread=io'],
    ];
  }
  const options = { primary_in: 'pri', secondary_in: 'sec', outdev: 'out', notify_dev: 'ntf' };
  return [
    ...[process.execPath, join(ROOT, 'dist/cli/main.js'), 'qemu', 'compare'],
    ...Object.entries(options).flatMap(([option, name]) => [`--${option}`, `unix:${dir}/${name},server`]),
  ];
}

export class Device {
  private said = '';

  private constructor(
    readonly kind: DeviceKind,
    readonly dir: string,
    private readonly child: ChildProcess,
  ) {
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text) => this.hear(String(text)));
  }

  static async start(kind: DeviceKind): Promise<Device> {
    const dir = mkdtempSync(join(tmpdir(), 'colo-chardev-'));
    // taskset becomes the command, so the child's id is the device's.
    const child = spawn('taskset', ['-c', DEVICE_CPU, ...command(kind, dir)], { stdio: ['ignore', 'pipe', 'pipe'] });
    const device = new Device(kind, dir, child);
    const deadline = Date.now() + START_MS;
    while (!SOCKETS.every((name) => existsSync(join(dir, name)))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await device.stop();
        throw new Error(`${kind} did not start: ${device.said}`);
      }
      await sleep(20);
    }
    await sleep(200);
    return device;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /**
   * The generator's figures; it fails when anything but what the primary sent is released, or a checkpoint is asked
   * for.
   */
  async load(mode: string, ...words: (number | string)[]): Promise<Record<string, number>> {
    const args = ['-c', GENERATOR_CPU, join(BUILT, 'load'), this.dir, mode, ...words.map(String)];
    try {
      const { stdout } = await promisify(execFile)('taskset', args, { timeout: LOAD_MS });
      return JSON.parse(stdout) as Record<string, number>;
    } catch (error) {
      throw new Error(`${mode} load on ${this.kind}: ${(error as Error).message.trim()}\n${this.said}`);
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  private hear(text: string): void {
    this.said = (this.said + text).slice(-2000);
  }
}
