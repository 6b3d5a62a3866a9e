// A real COLO pair: two QEMUs of which one is kept the copy of the other by QEMU's own COLO, with nothing between them
// that makes checkpoints but `colo qemu compare --qmp`, and `colo qemu netdev --qmp` as the secondary's filters.

import { join } from 'node:path';
import type { QmpClient } from '../../../src/qmp/client';
import { ROOT } from '../../lib/root';
import type { Lab, LabProcess } from '../../netns/lab';
import { createGuestLab, PN_FORWARD_IP, SN_FORWARD_IP } from './guest-lab';
import { beginColo, buildShim, connectQmp } from './operate';
import { bareNetwork, Guest, primaryNetwork } from './qemu-guest';

const PROGRAM = join(ROOT, 'bin', 'colo');
const METRICS_PORT = 9100;
const MIGRATION_PORT = 9998;
/** None of QEMU's own accord while a test runs: those that come were asked for. */
const CHECKPOINT_DELAY_MS = 600_000;
const WIRE = { vnetHdr: false };

export class ColoPair {
  primary!: Guest;
  secondary!: Guest;
  comparer!: LabProcess;
  netdev!: LabProcess;
  private readonly operators: QmpClient[] = [];

  private constructor(
    readonly lab: Lab,
    private readonly chatty: boolean,
  ) {}

  /** `chatty`: the guests have IPv6 and have to ask for their neighbours. */
  static async create(options: { chatty?: boolean } = {}): Promise<ColoPair> {
    const pair = new ColoPair(await createGuestLab(), options.chatty === true);
    try {
      await pair.start();
      return pair;
    } catch (error) {
      const account = pair.account();
      await pair.destroy();
      throw new Error(`${(error as Error).message}\n${account}`);
    }
  }

  private async start(): Promise<void> {
    const { lab, chatty } = this;
    const at = (name: string) => join(lab.dir, name);
    const preload = buildShim(lab.dir);
    const qmp = (name: string) => ['-qmp', `unix:${at(name)},server=on,wait=off`];
    this.primary = Guest.start(lab, 'pn', {
      who: 'PVM',
      network: primaryNetwork(WIRE),
      chatty,
      more: [...qmp('p-watch'), ...qmp('p-operator')],
      preload,
    });
    this.comparer = lab.spawn('pn', PROGRAM, [
      ...['qemu', 'compare', '--primary_in', 'tcp:127.0.0.1:9001,reconnect=0.1'],
      ...['--outdev', 'tcp:127.0.0.1:9005,reconnect=0.1', '--secondary_in', 'tcp:0.0.0.0:9004,server'],
      ...['--qmp', `unix:${at('p-watch')},reconnect=0.1`, '--metrics-port', `${METRICS_PORT}`],
    ]);
    await this.comparer.waitFor(/"ready"/);
    this.netdev = lab.spawn('sn', PROGRAM, [
      ...['qemu', 'netdev', '--guest', `unix:${at('guest')},server`, '--host', 'tap:tap0'],
      ...['--qmp', `unix:${at('s-watch')},reconnect=0.1`, '--control', at('control')],
      ...['--chardev', `socket,id=red0,host=${PN_FORWARD_IP},port=9003,reconnect=1`],
      ...['--chardev', `socket,id=red1,host=${PN_FORWARD_IP},port=9004,reconnect=1`],
      ...['--filter', 'redirector,id=f1,netdev=hn0,queue=tx,indev=red0'],
      ...['--filter', 'redirector,id=f2,netdev=hn0,queue=rx,outdev=red1'],
      ...['--filter', 'rewriter,id=rew0,netdev=hn0,queue=all'],
    ]);
    await this.netdev.waitFor(/"ready"/);
    this.secondary = Guest.start(lab, 'sn', {
      who: 'PVM',
      network: bareNetwork(at('guest')),
      chatty,
      more: [...qmp('s-watch'), ...qmp('s-operator'), '-incoming', `tcp:0.0.0.0:${MIGRATION_PORT}`],
      preload,
    });
    await this.primary.up();
    for (const name of ['p-operator', 's-operator']) this.operators.push(await connectQmp(at(name)));
    const [primary, secondary] = this.operators as [QmpClient, QmpClient];
    await beginColo(primary, secondary, `tcp:${SN_FORWARD_IP}:${MIGRATION_PORT}`, CHECKPOINT_DELAY_MS);
  }

  /** What the comparison has counted. */
  async counters(): Promise<Record<string, number>> {
    const { stdout } = await this.lab.exec('pn', 'curl', ['-sf', `http://127.0.0.1:${METRICS_PORT}/metrics`]);
    const lines = stdout.matchAll(/^colo_events_total\{.*event="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...lines].map(([, event, value]) => [event!, Number(value)]));
  }

  /** Checkpoints that the comparison has asked for. */
  async requests(): Promise<number> {
    const { stdout } = await this.lab.exec('pn', 'curl', ['-sf', `http://127.0.0.1:${METRICS_PORT}/metrics`]);
    const lines = [...stdout.matchAll(/^colo_checkpoint_requests_total\{.*\} (\d+)$/gm)];
    if (lines.length === 0) throw new Error(`no count of requests in the metrics:\n${stdout}`);
    return lines.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  /** Everything on the primary's host dies; what an operator or a cluster manager does then on the secondary's. */
  async failOver(): Promise<void> {
    await Promise.all([this.primary.kill(), this.comparer.stop('SIGKILL')]);
    await this.operators[1]!.execute('x-colo-lost-heartbeat');
    await this.netdev.waitFor(/FAILOVER/);
    this.lab.moveSecondaryTap();
  }

  /** As a panic would: the secondary guest boots again. */
  async resetSecondary(): Promise<void> {
    await this.operators[1]!.execute('system_reset');
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
    for (const client of this.operators) client.close();
    await this.lab.destroy();
  }
}
