// A pair of guests in QEMU with a comparison between them, and a controller on the checkpoint channel that counts what
// is asked and checkpoints when the test says so. The guests are booted side by side and are no copies of one another,
// so a checkpoint here only lets out what the comparison holds.

import { join } from 'node:path';
import { ROOT } from '../../lib/root';
import { GUEST_IP, type Lab, type LabProcess } from '../../netns/lab';
import { until } from '../../netns/support/wait';
import { FramePort } from './frame-port';
import { createGuestLab, PN_FORWARD_IP } from './guest-lab';
import { bareNetwork, Guest, type Host, primaryNetwork, secondaryNetwork, stockPrimaryNetwork } from './qemu-guest';

const PROGRAM = join(ROOT, 'bin', 'colo');
const METRICS_PORT = 9100;
/** COLO_COMPARER=qemu: QEMU's own colo-compare, to see what that does in the same scenes. */
export const STOCK = process.env.COLO_COMPARER === 'qemu';

export interface PairOptions {
  /** Virtio-net headers at the taps and on the chardevs. */
  vnetHdr: boolean;
  /** Who has the secondary's filters: its QEMU, or `colo qemu netdev`. */
  filters: 'qemu' | 'netdev';
}

export interface Download {
  /** Grows as bytes come; does not exist before the first. */
  file: string;
  curl: LabProcess;
}

export class GuestPair {
  primary!: Guest;
  secondary!: Guest;
  comparer: LabProcess | undefined;
  netdev: LabProcess | undefined;
  private notify: FramePort | undefined;

  private constructor(
    readonly lab: Lab,
    private readonly options: PairOptions,
  ) {}

  static async create(options: PairOptions): Promise<GuestPair> {
    const pair = new GuestPair(await createGuestLab(), options);
    try {
      await pair.start();
    } catch (error) {
      await pair.destroy();
      throw error;
    }
    return pair;
  }

  private async start(): Promise<void> {
    const { lab, options } = this;
    const notifyPath = join(lab.dir, 'notify');
    if (!STOCK) {
      this.comparer = lab.spawn('pn', PROGRAM, compareArgs(options, notifyPath));
      await this.listens('pn', 9004);
    }
    const network = STOCK ? stockPrimaryNetwork(options, notifyPath) : primaryNetwork(options);
    this.primary = Guest.start(lab, 'pn', { who: 'PVM', network });
    await this.listens('pn', 9003);
    for (const device of ['primary_in', 'outdev']) {
      await this.comparer?.waitFor(new RegExp(`"device":"${device}".*"msg":"connected"`));
    }
    this.secondary = await this.startSecondary();
    this.notify = await FramePort.connect(notifyPath, () => this.primary.process.exitCode === undefined);
    await Promise.all([this.primary.up(), this.secondary.up()]);
  }

  private async startSecondary(): Promise<Guest> {
    const { lab, options } = this;
    if (options.filters === 'qemu') {
      return Guest.start(lab, 'sn', { who: 'SVM', network: secondaryNetwork(options) });
    }
    const port = join(lab.dir, 'guest');
    this.netdev = lab.spawn('sn', PROGRAM, netdevArgs(port, this.controlPath));
    await this.netdev.waitFor(/"ready"/);
    return Guest.start(lab, 'sn', { who: 'SVM', network: bareNetwork(port) });
  }

  private get controlPath(): string {
    return join(this.lab.dir, 'control');
  }

  private async listens(host: Host, port: number): Promise<void> {
    const query = ['-Hltn', 'sport', '=', `:${port}`];
    await until(`server on port ${port}`, () => this.lab.execSync(host, 'ss', query) !== '');
  }

  /** DO_CHECKPOINTs that have come. */
  get requests(): number {
    return this.notify!.frames.filter((frame) => frame.toString('latin1') === 'DO_CHECKPOINT').length;
  }

  checkpoint(): void {
    this.notify!.send(Buffer.from('COLO_CHECKPOINT'), this.options.vnetHdr);
  }

  /** What the comparison has counted; nothing of stock. */
  async counters(): Promise<Record<string, number>> {
    const { stdout } = await this.lab.exec('pn', 'curl', ['-sf', `http://127.0.0.1:${METRICS_PORT}/metrics`]);
    const lines = stdout.matchAll(/^colo_events_total\{.*event="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...lines].map(([, event, value]) => [event!, Number(value)]));
  }

  /** `colo qemu ctl` to the secondary's netdev. */
  async control(...words: string[]): Promise<string> {
    return (await this.lab.exec('sn', PROGRAM, ['qemu', 'ctl', this.controlPath, ...words])).stdout;
  }

  /** Frames by which the secondary's netdev has told peers where their connections stand. */
  async reminders(): Promise<number> {
    const { filters } = JSON.parse(await this.control('query')) as { filters: { type: string; reminders?: number }[] };
    return filters.find(({ type }) => type === 'rewriter')!.reminders!;
  }

  download(path: string, name: string, ...curlOptions: string[]): Download {
    const file = join(this.lab.dir, name);
    const args = ['-sS', '--no-buffer', ...curlOptions, '-o', file, `http://${GUEST_IP}${path}`];
    return { file, curl: this.lab.spawn('client', 'curl', args) };
  }

  /** Everything on the primary's host dies in this moment, the comparison included. */
  async killPrimary(): Promise<void> {
    await Promise.all([this.primary.kill(), this.comparer?.stop('SIGKILL')]);
  }

  /** No guest has rebooted: a checkpoint that broke one would else go unseen. */
  provenSteady(): void {
    this.primary.provenSteady();
    this.secondary.provenSteady();
  }

  /** For the message of a failed test. */
  account(): string {
    const processes = [this.primary?.process, this.secondary?.process, this.comparer, this.netdev];
    return processes.map((one) => (one ? `${one.name}\n${one.output.slice(-3000)}` : '')).join('\n');
  }

  async destroy(): Promise<void> {
    this.notify?.close();
    await this.lab.destroy();
  }
}

function compareArgs({ vnetHdr }: PairOptions, notifyPath: string): string[] {
  return [
    ...['qemu', 'compare', '--primary_in', 'tcp:127.0.0.1:9001,reconnect=1'],
    ...['--outdev', 'tcp:127.0.0.1:9005,reconnect=1'],
    ...['--secondary_in', 'tcp:0.0.0.0:9004,server', '--notify_dev', `unix:${notifyPath},server`],
    ...['--metrics-port', `${METRICS_PORT}`, ...(vnetHdr ? ['--vnet_hdr_support'] : [])],
  ];
}

function netdevArgs(port: string, controlPath: string): string[] {
  return [
    ...['qemu', 'netdev', '--guest', `unix:${port},server`, '--host', 'tap:tap0', '--control', controlPath],
    ...['--chardev', `socket,id=red0,host=${PN_FORWARD_IP},port=9003,reconnect=1`],
    ...['--chardev', `socket,id=red1,host=${PN_FORWARD_IP},port=9004,reconnect=1`],
    ...['--filter', 'redirector,id=f1,netdev=hn0,queue=tx,indev=red0'],
    ...['--filter', 'redirector,id=f2,netdev=hn0,queue=rx,outdev=red1'],
    ...['--filter', 'rewriter,id=rew0,netdev=hn0,queue=all'],
  ];
}
