// A netdev in user space: a guest port and a host port with a chain of filters between them, as inside QEMU.

import { randomBytes } from 'node:crypto';
import { Batch } from '../../chardev/batch';
import { Device } from '../../chardev/device';
import { FrameReader } from '../../chardev/frame';
import { FrameOutput } from '../../chardev/frame-output';
import { openChardev, type StreamFactory } from '../../chardev/frame-socket';
import { DRAIN_BYTES, NoPort, type Port, type PortSpec, SocketPort, TapPort } from '../../chardev/port';
import { OffsetTable } from '../../conntrack/offset-table';
import { OperatorError } from '../../core/errors';
import type { Log } from '../../core/log';
import { mapFile } from '../../io/map-file';
import type { Clock } from '../../node/ports';
import type { SecondaryNode } from '../../node/secondary';
import { SecondaryEngine } from '../../seccolo/engine';
import { Neighbours } from '../../seccolo/neighbours';
import { type Filter, FilterChain } from './filter-chain';
import { MirrorFilter } from './filter-mirror';
import type { FilterOptions } from './filter-options';
import { RedirectorFilter } from './filter-redirector';
import { RewriterFilter, type RewriterSurroundings } from './filter-rewriter';
import type { NetdevConfig } from './netdev-config';
import { PeerReminders } from './peer-reminders';

export interface NetdevParts {
  openStream?: StreamFactory;
  /** Monotonic milliseconds. */
  clock?: () => number;
}

const TICK_MS = 1000;

export class Netdev {
  readonly chain: FilterChain;
  private readonly batch: Batch;
  private readonly guest: Port;
  private readonly host: Port;
  private readonly devices: Device[] = [];
  /** Sources of the guest's frames where there is no guest port. */
  private readonly guestDevices: Device[] = [];
  private readonly rewriters: RewriterFilter[] = [];
  private readonly reminders: PeerReminders;
  private readonly neighbours = new Neighbours();
  private readonly openStream: StreamFactory;
  private ticker: NodeJS.Timeout | undefined;

  /** Makes the parts and opens nothing yet. Throws OperatorError. */
  constructor(
    readonly config: NetdevConfig,
    private readonly log: Log,
    parts: NetdevParts = {},
  ) {
    this.openStream = parts.openStream ?? openChardev;
    this.batch = new Batch(parts.clock ?? (() => Math.floor(performance.now())));
    this.chain = new FilterChain(
      (buf, off, len, vnetBytes) => this.guest.send(buf, off, len, vnetBytes),
      (buf, off, len, vnetBytes) => this.host.send(buf, off, len, vnetBytes),
    );
    this.guest = this.port('guest', config.guest, (buf, off, len, vnet) => this.fromGuest(buf, off, len, vnet));
    this.host = this.port('host', config.host, (buf, off, len, vnet) => this.chain.fromHost(buf, off, len, vnet));
    for (const { id, endpoint } of config.devices) this.devices.push(new Device(id, endpoint, log, this.openStream));
    for (const options of config.filters) this.chain.add(this.filter(options), options.place, options.on ?? true);
    this.stayFailedOver();
    const engines = this.rewriters.map(({ engine }) => engine);
    this.reminders = new PeerReminders(engines, this.host, config.vnetHeaderBytes, this.batch, log);
  }

  /**
   * Listens and dials; servers first, as some clients may connect to them. Throws OperatorError, and then nothing stays
   * open.
   */
  async open(): Promise<void> {
    try {
      const isServer = (d: Device) => d.endpoint.server;
      for (const device of this.devices.filter(isServer)) await device.stream.open();
      for (const device of this.devices.filter((d) => !isServer(d))) await device.stream.open();
      await this.host.open();
      await this.guest.open();
    } catch (error) {
      this.close();
      throw error;
    }
    this.inBatch(() => this.nodes.forEach((node) => void node.begin()));
    this.ticker = setInterval(() => {
      this.inBatch(() => this.nodes.forEach((node) => void node.tick()));
    }, TICK_MS);
  }

  /** status=on|off of a filter. Throws OperatorError. */
  setStatus(id: string, on: boolean): void {
    this.chain.setStatus(id, on);
    this.log.info({ filter: id, status: on ? 'on' : 'off' }, 'filter set');
  }

  /**
   * The guest is stopped and is the primary's copy. `exact`: all frames read of it are from before. Throws
   * OperatorError.
   */
  checkpoint(exact = true): void {
    this.rewriter();
    if (!exact) {
      const hint = 'a comparison that sees its packets differ asks for another one';
      this.log.warn(
        { hint },
        'the notice of a checkpoint was late: frames that the guest sent after it may have got the old numbers',
      );
    }
    this.inBatch(() => this.nodes.forEach((node) => void node.checkpoint()));
  }

  /**
   * The primary is dead: the rewriter keeps the offsets in use, every other filter is switched off, as QEMU does on a
   * secondary. False when it had been done before. Throws OperatorError.
   */
  failover(): boolean {
    this.rewriter();
    let first = false;
    this.inBatch(() => {
      for (const node of this.nodes) if (node.failover()) first = true;
    });
    if (!first) return false;
    this.switchOff(this.chain.list());
    this.log.warn(
      { netdev: this.config.id },
      'FAILOVER: connections keep their offsets, all filters but the rewriter are off',
    );
    this.reminders.begin();
    return true;
  }

  /** Done by this process, or by an earlier one that kept its state. */
  get failedOver(): boolean {
    return this.rewriters.some(({ engine }) => engine.failedOver);
  }

  /** The guest is stopped: reads its port empty, then nothing more until resumeGuest(). */
  holdGuest(): void {
    this.pauseGuest(true);
    this.inBatch(() => this.nodes.forEach((node) => void node.guestStopped()));
  }

  resumeGuest(): void {
    for (const node of this.nodes) node.guestRuns();
    this.pauseGuest(false);
  }

  report(): Record<string, unknown> {
    const neighbours = this.neighbours.report();
    return {
      id: this.config.id,
      guest: this.guest.report(),
      host: this.host.report(),
      chardevs: this.devices.map((d) => d.report()),
      filters: this.chain.list().map((f) => this.filterReport(f)),
      neighbours: { questions: neighbours.asked, answers: neighbours.answered },
    };
  }

  /** Idempotent. */
  close(): void {
    clearInterval(this.ticker);
    this.reminders.close();
    for (const node of this.nodes) node.close();
    for (const device of this.devices) device.stream.close();
    this.guest.close();
    this.host.close();
  }

  /**
   * If a rewriter's kept state has a failover, the filters that it switched off are off again, unless the operator has
   * set them.
   */
  private stayFailedOver(): void {
    if (!this.failedOver) return;
    const unsaid = this.config.filters.filter(({ on }) => on === undefined).map(({ id }) => id);
    this.switchOff(this.chain.list().filter(({ id }) => unsaid.includes(id)));
  }

  private switchOff(filters: readonly Filter[]): void {
    for (const { id, staysOn } of filters) if (!staysOn) this.chain.setStatus(id, false);
  }

  /** Is this a secondary's netdev before a failover? Then its guest reaches no network. */
  private get protects(): boolean {
    return this.rewriters.length > 0 && !this.failedOver;
  }

  private fromGuest(buf: Buffer, off: number, len: number, vnetBytes: number): void {
    const answer = this.protects ? this.neighbours.question(buf, off, len, vnetBytes, this.batch.nowMs) : undefined;
    if (answer === undefined) this.chain.fromGuest(buf, off, len, vnetBytes);
    else this.guest.send(answer, 0, answer.length, vnetBytes);
  }

  private get nodes(): readonly SecondaryNode[] {
    return this.rewriters.map(({ node }) => node);
  }

  private inBatch(task: () => void): void {
    this.batch.begin();
    task();
    this.batch.end();
  }

  private pauseGuest(paused: boolean): void {
    this.guest.pause(paused);
    for (const device of this.guestDevices) device.stream.pause(paused);
  }

  private drainGuest(): void {
    this.guest.drain();
    for (const device of this.guestDevices) device.stream.drain(DRAIN_BYTES);
  }

  private filterReport(f: Filter): Record<string, unknown> {
    return { id: f.id, type: f.type, queue: f.queue, status: this.chain.isOn(f.id) ? 'on' : 'off', ...f.report() };
  }

  private rewriter(): void {
    if (this.rewriters.length === 0) throw new OperatorError('EFILTER', 'this netdev has no rewriter');
  }

  private port(
    name: string,
    spec: PortSpec,
    onFrame: (buf: Buffer, off: number, len: number, vnet: number) => void,
  ): Port {
    const { batch, log, config } = this;
    if (spec.kind === 'none') return new NoPort();
    if (spec.kind === 'tap') return new TapPort(spec.name, tapHeaderBytes(config.vnetHeaderBytes), onFrame, batch, log);
    return new SocketPort(name, spec.endpoint, config.vnetHeaderBytes, onFrame, batch, log, this.openStream);
  }

  private filter(options: FilterOptions): Filter {
    switch (options.type) {
      case 'mirror':
        return new MirrorFilter(options.id, options.queue, this.output(options, ''));
      case 'redirector':
        return this.redirector(options);
      case 'rewriter': {
        const filter = new RewriterFilter(options.id, options.queue, this.engine(options), this.rewriterSurroundings());
        this.rewriters.push(filter);
        return filter;
      }
    }
  }

  private rewriterSurroundings(): RewriterSurroundings {
    return {
      clock: this.batchClock(),
      log: this.log,
      vnetBytes: this.config.vnetHeaderBytes,
      toGuest: (buf, off, len, vnet) => this.guest.send(buf, off, len, vnet),
      drainGuest: () => this.drainGuest(),
      checkpointed: () => this.neighbours.checkpoint(),
    };
  }

  /** Runs the callback in a batch of its own. */
  private batchClock(): Clock {
    return {
      nowMs: () => this.batch.nowMs,
      after: (ms, task) => {
        const timer = setTimeout(() => this.inBatch(task), ms);
        return { cancel: () => clearTimeout(timer) };
      },
    };
  }

  private redirector(options: FilterOptions): RedirectorFilter {
    const { id, indev, outdev } = options;
    const out = outdev === undefined ? undefined : this.output(options, 'OUT ');
    const filter = new RedirectorFilter(id, options.queue, out, options.failOpen);
    if (indev !== undefined) {
      const { chain, batch } = this;
      const inject = (buf: Buffer, off: number, len: number, vnetBytes: number): void => {
        if (len <= vnetBytes) {
          filter.runts++;
          return;
        }
        filter.injected++;
        if (options.queue === 'tx' && this.protects) this.neighbours.heard(buf, off, len, vnetBytes, batch.nowMs);
        chain.inject(filter, buf, off, len, vnetBytes);
      };
      const device = this.device(indev, 'IN ');
      device.claim(id, {
        source: new FrameReader(options.vnetHdrSupport, inject),
        turn: batch,
        onBadFrame: () => {
          filter.badFrames++;
        },
      });
      if (this.config.guest.kind === 'none' && options.queue !== 'tx') this.guestDevices.push(device);
    }
    return filter;
  }

  private output({ id, outdev, vnetHdrSupport }: FilterOptions, which: string): FrameOutput {
    const stream = this.device(outdev!, which).claim(id);
    const format = vnetHdrSupport ? { vnetWord: true } : { vnetWord: false, vnetBytes: 0 };
    return new FrameOutput(stream, format, this.batch.flushes);
  }

  private device(id: string, which: string): Device {
    const device = this.devices.find((d) => d.id === id);
    if (device === undefined)
      throw new OperatorError('EDEVICE', `${which}Device '${id}' not found`, 'describe it with --chardev');
    return device;
  }

  private engine({ id, state, maxFlows }: FilterOptions): SecondaryEngine {
    const bytes = OffsetTable.bytesFor(maxFlows);
    const seed = randomBytes(8);
    const engine = new SecondaryEngine({
      mode: 'always',
      offsets: state === undefined ? new ArrayBuffer(bytes) : mapFile(state, bytes),
      seed: [seed.readUInt32LE(0), seed.readUInt32LE(4)],
      nowMs: this.batch.nowMs,
    });
    const { origin, flows, failedOver, damagedRecords } = engine.status();
    if (state !== undefined)
      this.log.info({ filter: id, state, origin, flows, failedOver, damagedRecords }, 'offsets loaded');
    return engine;
  }
}

function tapHeaderBytes(bytes: number): 0 | 10 | 12 {
  if (bytes === 0 || bytes === 10 || bytes === 12) return bytes;
  throw new OperatorError('EPORT', `a tap has no virtio-net header of ${bytes} bytes`, 'it is one of 0, 10, 12');
}
