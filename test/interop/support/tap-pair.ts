// A real COLO pair on taps: two QEMUs without any filter, of which one is kept the copy of the other by QEMU's COLO,
// with `colo primary` and `colo secondary` beside them. The controller of both daemons is the relay that QEMU's
// checkpoints go through: it says DO_CHECKPOINT while QEMU waits.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { QmpClient } from '../../../src/qmp/client';
import { ROOT } from '../../lib/root';
import { GUEST_IP, type Lab, type LabProcess, STREAM_IPS, type TopologyOptions } from '../../netns/lab';
import { Controller, NODE_INDEX, type NodeStats } from '../../netns/support/controller';
import { until } from '../../netns/support/wait';
import { CheckpointRelay } from './checkpoint-relay';
import { createGuestLab } from './guest-lab';
import { beginColo, buildShim, coloMode, connectQmp } from './operate';
import { Guest, tapNetwork } from './qemu-guest';

export type Link = TopologyOptions['link'];
type Side = 'primary' | 'secondary';

const PROGRAM = join(ROOT, 'bin', 'colo');
const SIDES = ['primary', 'secondary'] as const;
const HOSTS = { primary: 'pn', secondary: 'sn' } as const;
const WIRE = { vnetHdr: true };
const LINK_PORT = 7770;
const LINK_KEY = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';

/**
 * When the primary's host dies: between two checkpoints; when both guests stand and nobody is told yet; when the
 * secondary guest has loaded the state, and the primary's daemon is not told.
 */
export type Moment = 'between' | 'standing' | 'loaded';

export interface Download {
  /** Grows as bytes come; does not exist before the first. */
  file: string;
  curl: LabProcess;
}

export class TapPair {
  readonly guests = {} as Record<Side, Guest>;
  readonly daemons = {} as Record<Side, LabProcess>;
  readonly controllers = {} as Record<Side, Controller>;
  private readonly operators = {} as Record<Side, QmpClient>;
  private relay!: CheckpointRelay;
  private primaryDied = false;
  private deadly: Moment | undefined;
  private protected = false;

  private constructor(
    readonly lab: Lab,
    private readonly link: Link,
    private readonly delayMs: number,
  ) {}

  /** `delayMs`: between two checkpoints, if none is asked for. */
  static async create(link: Link, delayMs: number): Promise<TapPair> {
    const pair = new TapPair(await createGuestLab(link), link, delayMs);
    try {
      await pair.start();
      return pair;
    } catch (error) {
      const account = await pair.account();
      await pair.destroy();
      throw new Error(`${(error as Error).message}\n${account}`);
    }
  }

  private async start(): Promise<void> {
    const { guests, operators } = this;
    const preload = buildShim(this.lab.dir);
    for (const side of SIDES) this.startGuest(side, preload);
    for (const side of SIDES) operators[side] = await connectQmp(this.path(`${side}.qmp`));
    await guests.primary.up();
    for (const side of SIDES) this.writeConfig(side);
    await Promise.all(SIDES.map((side) => this.startDaemon(side)));
    if (this.link === 'stream') await this.daemons.primary.waitFor(/link: the other side is connected/);
    this.relay = await CheckpointRelay.listen(this.path('migration'), this.path('incoming'), {
      begun: () => this.beginProtection(),
      bothStand: async () => {
        if (!(await this.diesAt('standing'))) await this.controllers.secondary.checkpoint();
      },
      loaded: async () => {
        if (!(await this.diesAt('loaded'))) await this.controllers.primary.checkpoint();
      },
    });
    await beginColo(operators.primary, operators.secondary, `unix:${this.path('migration')}`, this.delayMs);
    // QEMU says so a little before.
    await until('a pair that compares', async () => {
      if (this.relay.failure !== undefined) throw this.relay.failure;
      return this.protected && (await this.controllers.primary.status()).state === 'comparing';
    });
  }

  private path(name: string): string {
    return join(this.lab.dir, name);
  }

  private startGuest(side: Side, preload: string): void {
    this.guests[side] = Guest.start(this.lab, HOSTS[side], {
      who: 'PVM',
      network: tapNetwork(WIRE),
      more: [
        ...['-qmp', `unix:${this.path(`${side}.qmp`)},server=on,wait=off`],
        ...(side === 'secondary' ? ['-incoming', `unix:${this.path('incoming')}`] : []),
      ],
      preload,
    });
  }

  /** JSON is YAML. */
  private writeConfig(side: Side): void {
    const key = this.path('link.key');
    writeFileSync(key, LINK_KEY, { mode: 0o600 });
    const where = `${STREAM_IPS.pn}:${LINK_PORT}`;
    const stream = this.link === 'stream';
    const config = {
      role: side,
      stateDir: this.path(side),
      ...(stream ? { link: { listen: where, connect: where, key } } : {}),
      nodes: [
        {
          index: NODE_INDEX,
          guestPort: 'tap0',
          ...(stream ? {} : { forwardPort: 'fwd0' }),
          compareTimeoutMs: 30_000,
        },
      ],
    };
    writeFileSync(this.path(`${side}.yaml`), JSON.stringify(config));
  }

  private async startDaemon(side: Side): Promise<void> {
    const config = ['--config', this.path(`${side}.yaml`)];
    await this.lab.exec(HOSTS[side], PROGRAM, ['rules', 'apply', ...config]);
    this.daemons[side] = this.lab.spawn(HOSTS[side], PROGRAM, [side, ...config]);
    await this.daemons[side].waitFor(/"msg":"ready"/, 60_000);
  }

  /** The guests are equal for the first time, and the PVM stands still. */
  private async beginProtection(): Promise<void> {
    for (const side of ['secondary', 'primary'] as const) {
      const controller = new Controller(join(this.path(side), `${side}.sock`), side);
      this.controllers[side] = controller;
      const result = await controller.init();
      if (result !== 0) throw new Error(`${side}: PROXY_INIT was answered with ${result}`);
    }
    this.protected = true;
    // Setting the delay, even to what it is, begins a checkpoint.
    const delay = { 'x-checkpoint-delay': this.delayMs };
    this.controllers.primary.onNotice = () => {
      this.operators.primary.execute('migrate-set-parameters', delay).catch(() => {});
    };
  }

  /** Checkpoints that the comparison has asked for. */
  get requests(): number {
    return this.controllers.primary.notices;
  }

  /** Checkpoints that the secondary has loaded. */
  get checkpoints(): number {
    if (this.relay.failure !== undefined) throw this.relay.failure;
    return this.relay.loads;
  }

  stats(side: Side): Promise<NodeStats> {
    return this.controllers[side].stats();
  }

  download(path: string, name: string, ...options: string[]): Download {
    const file = this.path(name);
    const args = ['-sS', '--no-buffer', ...options, '-o', file, `http://${GUEST_IP}${path}`];
    return { file, curl: this.lab.spawn('client', 'curl', args) };
  }

  /** `kill -9` of the primary's QEMU and daemon, at that moment of the next checkpoint or, `between`, now. */
  async killPrimary(moment: Moment): Promise<void> {
    this.deadly = moment;
    if (moment === 'between') await this.diesAt(moment);
    else await until(`death of the primary: ${moment}`, () => this.primaryDied);
  }

  private async diesAt(moment: Moment): Promise<boolean> {
    if (this.deadly !== moment) return false;
    this.controllers.primary.onNotice = undefined;
    await Promise.all([this.guests.primary.kill(), this.daemons.primary.stop('SIGKILL')]);
    this.primaryDied = true;
    return true;
  }

  /** What a cluster manager does on the secondary's host. */
  async failOver(): Promise<void> {
    const { secondary } = this.operators;
    await secondary.execute('x-colo-lost-heartbeat');
    await until('end of COLO', async () => (await coloMode(secondary)) === 'none');
    await this.controllers.secondary.failover();
  }

  /** No guest has rebooted: a checkpoint that broke one would else go unseen. */
  provenSteady(): void {
    for (const side of SIDES) this.guests[side].provenSteady();
    if (this.relay.failure !== undefined) throw this.relay.failure;
  }

  /** For the message of a failed test. */
  async account(): Promise<string> {
    const stats = await Promise.all(
      SIDES.map(async (side) => {
        const controller = this.controllers[side];
        if (controller === undefined || controller.closed) return `${side}: no controller`;
        return JSON.stringify([side, await controller.status(), await controller.stats()]);
      }),
    ).catch((error: unknown) => [String(error)]);
    const processes = SIDES.flatMap((side) => [this.guests[side]?.process, this.daemons[side]]);
    const outputs = processes.map((one) => (one ? `${one.name}\n${one.output.slice(-3000)}` : ''));
    return [`checkpoints: ${this.relay?.loads}, failure: ${this.relay?.failure}`, ...stats, ...outputs].join('\n');
  }

  async destroy(): Promise<void> {
    for (const client of Object.values(this.operators)) client.close();
    for (const controller of Object.values(this.controllers)) controller.close();
    this.relay?.close();
    await this.lab.destroy();
  }
}
