// A pair of guests in QEMU with a comparison between them, and a controller on the checkpoint channel that counts what is asked
// and checkpoints when the test says so. The guests are booted side by side and are no copies of one another, so a checkpoint
// here only lets out what the comparison holds.

import { join } from 'node:path';
import type { Lab, LabProcess } from '../../netns/lab';
import { until } from '../../netns/support/wait';
import { FramePort } from './frame-port';
import { buildGuest } from './guest-files';
import { createGuestLab } from './guest-lab';
import { Guest, primaryNetwork, secondaryNetwork, stockCompare, type WireOptions } from './qemu-guest';

export const PROGRAM = join(__dirname, '..', '..', '..', 'bin', 'colo');
/** What QEMU does by itself in the same scenes. */
export const STOCK = process.env.COLO_COMPARER === 'qemu';

export class GuestPair {
  primary!: Guest;
  secondary!: Guest;
  comparer: LabProcess | undefined;
  notify!: FramePort;

  private constructor(readonly lab: Lab) {}

  static async create(wire: WireOptions): Promise<GuestPair> {
    buildGuest();
    const pair = new GuestPair(await createGuestLab());
    try {
      await pair.start(wire);
    } catch (error) {
      await pair.destroy();
      throw error;
    }
    return pair;
  }

  private async start(wire: WireOptions): Promise<void> {
    const { lab } = this;
    const notifyPath = join(lab.dir, 'notify');
    const network = [...primaryNetwork(wire), ...(STOCK ? stockCompare(wire, notifyPath) : [])];
    this.primary = Guest.start(lab, 'pn', { who: 'PVM', network });
    await until('mirror', () => this.listening('pn', 9003));
    if (!STOCK) {
      const endpoints = [
        ...['--primary_in', 'tcp:127.0.0.1:9001', '--outdev', 'tcp:127.0.0.1:9005'],
        ...['--secondary_in', 'tcp:0.0.0.0:9004,server', '--notify_dev', `unix:${notifyPath},server`],
        ...(wire.vnetHdr ? ['--vnet_hdr_support'] : []),
      ];
      this.comparer = lab.spawn('pn', PROGRAM, ['qemu', 'compare', ...endpoints]);
    }
    await until('comparison', () => this.listening('pn', 9004));
    this.secondary = Guest.start(lab, 'sn', { who: 'SVM', network: secondaryNetwork(wire) });
    this.notify = await FramePort.connect(notifyPath, () => this.primary.process.exitCode === undefined);
    await Promise.all([this.primary.up(), this.secondary.up()]);
  }

  private listening(host: 'pn' | 'sn', port: number): boolean {
    return this.lab.execSync(host, 'ss', ['-Hltn', 'sport', '=', `:${port}`]) !== '';
  }

  /** DO_CHECKPOINTs that have come. */
  get requests(): number {
    return this.notify.frames.filter((frame) => frame.toString('latin1') === 'DO_CHECKPOINT').length;
  }

  checkpoint(): void {
    this.notify.send(Buffer.from('COLO_CHECKPOINT'));
  }

  /** Begins a download; the file grows as bytes come. */
  download(path: string, name: string, ...options: string[]): { file: string; curl: LabProcess } {
    const file = join(this.lab.dir, name);
    const args = ['-sS', '--no-buffer', '-o', file, ...options, `http://10.77.0.2${path}`];
    return { file, curl: this.lab.spawn('client', 'curl', args) };
  }

  async destroy(): Promise<void> {
    this.notify?.close();
    await this.lab.destroy();
  }
}
