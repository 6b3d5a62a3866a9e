// A secondary node in this host's kernel: its queues, its engine, and the sockets beside them.

import { randomBytes } from 'node:crypto';
import { OffsetTable } from '../conntrack/offset-table';
import { mapFile } from '../io/map-file';
import { PacketSocket } from '../io/packet-socket';
import { NFQ_MAX_COPY } from '../native/layout';
import type { KeptEpoch } from '../node/kept-epoch';
import { SecondaryNode } from '../node/secondary';
import { SecondaryEngine } from '../seccolo/engine';
import { GuestAddresses } from '../seccolo/guest-addresses';
import { clock, nowMs } from './clock';
import { type Takeover, takeOver } from './failover';
import { watchGuestClaims } from './guest-claims';
import { HEADER_BYTES, KernelQueue } from './kernel-queue';
import type { Logger } from './log';
import type { NodeMetrics } from './metrics';
import { AnsweringPort } from './neighbour-answers';
import type { NodeSettings } from './node-config';
import { portState } from './port-state';
import type { NodeLink } from './primary-stream';
import { queueCounters, queueGauges, queueOptions } from './queue-options';
import { keptEpoch, SecondaryStream } from './secondary-stream';
import { statePath } from './state-file';

/** Of a guest's port with a stream link; both may be called again. They reject with OperatorError. */
export interface PortRules {
  /** The guest is to be heard, and the rules of a node alone come. */
  open(): Promise<unknown>;
  /** It is to be heard by nobody but this process. */
  isolate(): Promise<readonly string[]>;
}

export class SecondaryHost {
  readonly role = 'secondary';
  readonly node: SecondaryNode;
  readonly engine: SecondaryEngine;
  private readonly guest: KernelQueue;
  private readonly forward: KernelQueue;
  /** In words; while there is something, packets may pass untranslated. */
  rulesMissing: readonly string[] = [];
  private readonly addresses = new GuestAddresses();
  private readonly claims: { close(): void };
  /** Of an ethernet link, */
  private readonly neighbours: AnsweringPort | undefined;
  /** or of a stream link, until a failover. */
  private stream: SecondaryStream | undefined;
  private epoch: KeptEpoch | undefined;
  private takeover: Takeover | undefined;

  /** Throws OperatorError. */
  constructor(
    readonly settings: NodeSettings,
    private readonly log: Logger,
    private readonly link: NodeLink | undefined,
    private readonly port: PortRules,
  ) {
    const { guestPort, forwardPort } = settings;
    const seed = randomBytes(8);
    this.engine = new SecondaryEngine({
      mode: 'failover',
      offsets: mapFile(
        statePath(settings.stateDir, 'offsets', settings.index),
        OffsetTable.bytesFor(settings.keptConnections),
      ),
      seed: [seed.readUInt32LE(0), seed.readUInt32LE(4)],
      nowMs: nowMs(),
    });
    const { origin, flows, damagedRecords, failedOver } = this.engine.status();
    if (origin !== 'new' && origin !== 'resumed')
      log.warn({ origin }, 'the kept offsets are unusable, starting without them');
    else log.info({ origin, flows, damagedRecords, failedOver }, 'offsets loaded');
    this.node = new SecondaryNode(this.engine, {
      clock,
      guest: () => this.stream?.guest ?? this.guest,
      forward: () => this.stream?.forward ?? this.forward,
      watch: { portState: (told) => void portState(guestPort).then(told) },
      log,
      toGuest: (ask) => {
        const socket = new PacketSocket({ interface: guestPort }, { onFrame: () => {} });
        try {
          ask((frame) => socket.send(frame));
        } finally {
          socket.close();
        }
      },
      aloneUntilReset: forwardPort === undefined,
      checkpointed: () => {
        this.neighbours?.answers.checkpoint();
        this.stream?.node.checkpoint();
      },
      tookOver: () => this.tookOver(),
      forgotten: () => this.forgotten(),
    });
    this.guest = new KernelQueue(
      {
        ...queueOptions(settings, settings.guestQueue),
        // With a stream link it has nothing to do before a failover.
        copyRange: this.engine.failedOver || forwardPort === undefined ? NFQ_MAX_COPY : HEADER_BYTES,
        maxCopyRange: NFQ_MAX_COPY,
      },
      () => this.node.fromGuest,
      forwardPort !== undefined,
    );
    this.forward = new KernelQueue(queueOptions(settings, settings.forwardQueue), () => this.node.fromPeers);
    this.node.begin();
    this.claims = watchGuestClaims(guestPort, this.addresses, log);
    if (forwardPort !== undefined) {
      this.neighbours = new AnsweringPort(guestPort, forwardPort, this.addresses, () => !this.engine.failedOver, log);
    } else this.openStream();
  }

  async close(): Promise<void> {
    this.node.close();
    await this.takeover?.settled;
    this.takeover?.close();
    this.claims.close();
    this.neighbours?.close();
    this.stream?.close();
    this.guest.close();
    this.forward.close();
  }

  get state(): string {
    const { state } = this.node;
    return state === 'translating' && this.rulesMissing.length > 0 ? 'rules-missing' : state;
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    this.stream?.tick();
    this.node.tick();
  }

  status(): Record<string, unknown> {
    // The node's mode is the controller's, not the engine's state.
    const { mode: _, ...engine } = this.engine.status();
    return {
      state: this.state,
      addressesClaimed: this.addresses.list().length,
      addressesLeftOut: this.addresses.overflows,
      ...engine,
      ...this.stream?.status(),
      queues: { guest: queueGauges(this.guest.kernel), forward: queueGauges(this.forward.kernel) },
    };
  }

  metrics(): NodeMetrics {
    const guest = queueGauges(this.guest.kernel);
    const forward = queueGauges(this.forward.kernel);
    return {
      labels: { node: this.settings.name, role: this.role },
      counters: {
        ...this.engine.counters.snapshot(),
        ...this.neighbours?.counters(),
        ...this.stream?.counters(),
        ...queueCounters({ guest: [this.guest.kernel], forward: [this.forward.kernel] }),
      },
      requests: {},
      gauges: {
        failed_over: this.engine.failedOver ? 1 : 0,
        rules_missing: this.rulesMissing.length,
        flows: this.engine.status().flows,
        addresses_claimed: this.addresses.list().length,
        guest_queue_length: guest.queued,
        guest_queue_drops: guest.dropped,
        forward_queue_length: forward.queued,
        forward_queue_drops: forward.dropped,
      },
    };
  }

  /** Before a failover the guest reaches the primary and nobody else. */
  private openStream(): void {
    if (this.link === undefined || this.engine.failedOver || this.stream !== undefined) return;
    this.epoch ??= keptEpoch(this.settings);
    this.stream = new SecondaryStream(this.settings, this.link, this.node, this.epoch, this.addresses, this.log);
  }

  private get isStream(): boolean {
    return this.settings.forwardPort === undefined;
  }

  /** A guest that may have taken over, also in an earlier process, is a secondary again: two must not speak. */
  private isolateAgain(): void {
    this.port.isolate().then(
      (changes) => {
        if (changes.length > 0) this.log.warn({ changes }, 'the guest is a secondary again: its port is isolated');
      },
      (error: unknown) => {
        const byHand = 'take it out of the outer bridge, then: colo rules remove, colo rules apply';
        this.log.error({ error: String(error), byHand }, "the guest's port cannot be isolated");
      },
    );
  }

  private forgotten(): void {
    this.takeover?.close();
    if (this.isStream) this.isolateAgain();
    this.addresses.clear();
    this.neighbours?.answers.clear();
    // That of a failover has no link any more.
    if (this.stream?.closed) {
      this.stream.close();
      this.stream = undefined;
    }
    this.openStream();
    this.stream?.node.newPair();
  }

  /** Until its port is open the guest is heard by the stream's frames: it may have to show its numbers. */
  private async openPort(): Promise<void> {
    await this.port.open();
    if (!this.engine.failedOver) return;
    this.stream?.close();
    this.stream = undefined;
  }

  private tookOver(): void {
    this.stream?.closeLink();
    this.log.warn({ flows: this.engine.status().flows }, 'FAILOVER: the secondary takes over');
    const decided = new Promise<void>((resolve) => this.node.whenDecided(resolve));
    const openRules = this.isStream ? () => this.openPort() : undefined;
    this.takeover = takeOver(this.settings, this.engine, decided, this.addresses, this.log, openRules);
  }
}
