// `colo qemu compare` by itself, with the test at its four sockets. COLO_COMPARER=qemu puts QEMU's own colo-compare
// there instead, to see what that does in the same scene.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../lib/root';
import { LabProcess } from '../../netns/lab';
import { FramePort } from './frame-port';

export const PROGRAM = join(ROOT, 'bin', 'colo');
const STOCK = process.env.COLO_COMPARER === 'qemu';

/** A TCP port of the loopback interface that nobody listens on. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export class Comparer {
  private constructor(
    readonly process: LabProcess,
    private readonly directory: string,
    readonly notifyPort: number,
    readonly primary: FramePort,
    readonly secondary: FramePort,
    readonly out: FramePort,
  ) {}

  /** `timeoutMs` is compare_timeout. */
  static async start(timeoutMs: number): Promise<Comparer> {
    const directory = mkdtempSync(join(tmpdir(), 'colo-comparer-'));
    const port = await freePort();
    const [file, args] = STOCK ? stock(directory, port, timeoutMs) : ours(directory, port, timeoutMs);
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const process = new LabProcess(child, `${file} ${args.join(' ')}`);
    try {
      const connect = (name: string) => FramePort.connect(join(directory, name), () => process.exitCode === undefined);
      const [primary, secondary, out] = [await connect('primary'), await connect('secondary'), await connect('out')];
      return new Comparer(process, directory, port, primary, secondary, out);
    } catch (error) {
      await process.stop('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
      throw new Error(`${error}\n${process.output}`);
    }
  }

  async stop(): Promise<void> {
    for (const port of [this.primary, this.secondary, this.out]) port.close();
    await this.process.stop('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

type Command = [file: string, args: string[]];

function ours(directory: string, port: number, timeoutMs: number): Command {
  const server = (name: string) => `unix:${join(directory, name)},server`;
  const endpoints = [
    '--primary_in',
    server('primary'),
    '--secondary_in',
    server('secondary'),
    '--outdev',
    server('out'),
  ];
  const notify = ['--notify_dev', `tcp:127.0.0.1:${port},server`];
  return [PROGRAM, ['qemu', 'compare', ...endpoints, ...notify, '--compare_timeout', `${timeoutMs}`]];
}

function stock(directory: string, port: number, timeoutMs: number): Command {
  const chardev = (id: string) => ['-chardev', `socket,id=${id},path=${join(directory, id)},server=on,wait=off`];
  const objects = [
    ...['-object', 'iothread,id=io'],
    '-object',
    `colo-compare,id=c,primary_in=primary,secondary_in=secondary,outdev=out,notify_dev=notify,iothread=io,compare_timeout=${timeoutMs}`,
  ];
  const notify = ['-chardev', `socket,id=notify,host=127.0.0.1,port=${port},server=on,wait=off`];
  const machine = ['-M', 'none', '-nodefaults', '-display', 'none', '-S'];
  return [
    'qemu-system-x86_64',
    [...machine, ...['primary', 'secondary', 'out'].flatMap(chardev), ...notify, ...objects],
  ];
}
