// A primary node in this host's kernel: its queues, its engine, and what is heard and sent beside them.

import { randomBytes } from 'node:crypto';
import { type CheckpointCause, isSilence } from '../compare/outcome';
import { OffsetTable } from '../conntrack/offset-table';
import { Conntrack } from '../io/conntrack';
import { DeadlineTimer } from '../io/deadline-timer';
import { mapFile } from '../io/map-file';
import { EpochMatch } from '../node/epoch-match';
import { type BothQueues, InStep } from '../node/in-step';
import { NO_BATCH } from '../node/ports';
import { PrimaryNode } from '../node/primary';
import { BatchTime, ForwardIntake } from '../node/primary-intake';
import { ARPOP_REPLY, type ArpView, asksForAnother } from '../packet/arp';
import { C_PRIMARY_PACKETS } from '../pmycolo/counters';
import { StoredDeltas } from '../pmycolo/deltas';
import { PrimaryEngine } from '../pmycolo/engine';
import { describeDifference } from '../pmycolo/explain';
import { SettledEpochs } from '../pmycolo/secondary-epochs';
import { watchArp } from './address-requests';
import { clock, nowMs } from './clock';
import { BothKernelBatches } from './kernel-batch';
import type { Logger } from './log';
import type { NodeMetrics } from './metrics';
import type { NodeSettings } from './node-config';
import { watchPeerResets } from './peer-resets';
import { portState } from './port-state';
import { PrefixSender } from './prefix-sender';
import { type NodeLink, PrimaryStream } from './primary-stream';
import { queueCounters, queueGauges } from './queue-options';
import { SplitQueue } from './split-queue';
import { statePath } from './state-file';

export class PrimaryHost {
  readonly role = 'primary';
  readonly node: PrimaryNode;
  readonly engine: PrimaryEngine;
  private readonly guest: SplitQueue;
  /** Of an ethernet link, */
  private readonly forward: SplitQueue | undefined;
  /** or of a stream link. */
  private readonly stream: PrimaryStream | undefined;
  private readonly arp: readonly { close(): void }[];
  private readonly prefixes: PrefixSender;
  private readonly deadline = new DeadlineTimer(nowMs, () => this.node.tick());
  private readonly deltas: StoredDeltas;
  private readonly conntrack = new Conntrack();
  private readonly resetWatch: { close(): void };
  /** In words; while there is something, the guest's packets may pass unseen. */
  rulesMissing: readonly string[] = [];

  /** Throws OperatorError. */
  constructor(
    readonly settings: NodeSettings,
    private readonly log: Logger,
    /** Passes a checkpoint request on to the controller. */
    private readonly requestCheckpoint: (cause: CheckpointCause) => void,
    link: NodeLink | undefined,
  ) {
    const words = mapFile(
      statePath(settings.stateDir, 'deltas', settings.index),
      OffsetTable.bytesFor(settings.keptConnections),
    );
    const table = new OffsetTable(new Uint32Array(words.buffer, words.byteOffset, words.byteLength >>> 2));
    if (table.origin !== 'new' && table.origin !== 'resumed') {
      this.log.warn({ origin: table.origin }, 'the kept sequence deltas are unusable, starting without them');
    }
    const bytes = randomBytes(8);
    const seed = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)] as const;
    this.deltas = new StoredDeltas(table, seed, (key) => this.conntrack.hasAnswered(key));
    const { forwardPort } = settings;
    const match = forwardPort === undefined ? new EpochMatch() : undefined;
    this.engine = new PrimaryEngine(
      {
        limits: settings.limits,
        compareTimeoutMs: settings.compareTimeoutMs,
        maxCompareTimeoutMs: settings.maxCompareTimeoutMs,
        epochs: match ?? new SettledEpochs(settings.forwardSettleMs),
        minCheckpointIntervalMs: settings.minCheckpointIntervalMs,
        seed,
        deltas: this.deltas,
      },
      {
        accept: (id) => this.guest.accept(id),
        acceptRewritten: (id, buf, off, len, partial) => this.guest.acceptRewritten(id, buf, off, len, partial),
        drop: (id) => this.guest.drop(id),
        emit: (_id, buf, off, len) => {
          // What was let out before goes before.
          this.guest.flush();
          return this.prefixes.emit(buf, off, len);
        },
        requestCheckpoint: (cause) => this.onRequest(cause),
      },
    );
    this.engine.setBypass(settings.bypass);
    const { guestQueue, guestUdpQueue, forwardQueue, forwardUdpQueue, guestPort } = settings;
    this.guest = new SplitQueue(settings, guestQueue, guestUdpQueue, (part) => inStep.guestBatch(both[part]));
    if (forwardPort !== undefined) {
      const onBatch = (part: 0 | 1): void => inStep.forwardBatch(both[part]);
      this.forward = new SplitQueue(settings, forwardQueue, forwardUdpQueue, onBatch);
    }
    const verdicts = { guest: this.guest, forward: this.forward ?? NO_VERDICTS };
    const inStep = new InStep(this.engine, nowMs, () => this.node, verdicts);
    const both = [bothOf(this.guest, this.forward, 0), bothOf(this.guest, this.forward, 1)] as const;
    if (match !== undefined) {
      const ports = {
        clock,
        node: () => this.node,
        engine: this.engine,
        intake: new ForwardIntake(
          this.engine,
          new BatchTime(nowMs),
          () => this.node,
          () => NO_VERDICTS,
        ),
        spoken: () => this.engine.counters.values[C_PRIMARY_PACKETS]!,
        // As at the guest's port, where the kernel has taken the tag off.
        arp: (arp: ArpView) => this.onArp(false, arp, 0),
      };
      this.stream = new PrimaryStream(settings, link!, match, ports, this.engine.said, seed, log);
    }
    this.node = new PrimaryNode(
      this.engine,
      {
        clock,
        guest: this.guest,
        // A stream hands in what has come as soon as it may.
        forward: this.forward ?? { drain: () => {}, flush: () => {} },
        ...(this.stream !== undefined && { marks: this.stream.node }),
        watch: { portState: (told) => void portState(guestPort).then(told) },
        log,
        arm: (atMs) => this.deadline.arm(atMs),
      },
      { guestPort, onControllerLoss: settings.onControllerLoss, numbersLost: !this.deltas.whole },
    );
    this.arp = [
      ...(forwardPort === undefined
        ? []
        : [watchArp(forwardPort, "the SVM's", (arp, vlan) => this.onArp(false, arp, vlan), this.log)]),
      watchArp(settings.guestPort, "the PVM's", (arp, vlan) => this.onArp(true, arp, vlan), this.log, true),
    ];
    this.resetWatch = watchPeerResets(guestPort, (key, seq) => this.node.peerReset(key, seq), this.log);
    this.prefixes = new PrefixSender(settings.guestPort, settings.outerBridge, seed, this.log);
  }

  /** Ends without letting anything out: the kernel drops what it holds for a closed queue. */
  close(): void {
    this.node.close();
    this.deadline.close();
    this.guest.close();
    this.forward?.close();
    this.stream?.close();
    for (const watch of this.arp) watch.close();
    this.prefixes.close();
    this.resetWatch.close();
    this.conntrack.close();
  }

  get state(): string {
    const { state } = this.node;
    const judged = state === 'comparing' || state === 'waiting-for-checkpoint';
    return judged && this.rulesMissing.length > 0 ? 'rules-missing' : state;
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    this.stream?.tick();
    this.node.tick();
  }

  status(): Record<string, unknown> {
    return {
      state: this.state,
      protected: this.engine.isProtected && this.rulesMissing.length === 0,
      heldPackets: this.engine.heldPackets,
      heldBytes: this.engine.heldBytes,
      flows: this.engine.flowCount,
      checkpoints: this.engine.counters.snapshot().checkpoints_done,
      divergences: this.engine.counters.snapshot().divergences,
      queues: {
        guest: queueGauges(this.guest.parts[0]),
        guestUdp: queueGauges(this.guest.parts[1]),
        ...(this.forward !== undefined && {
          forward: queueGauges(this.forward.parts[0]),
          forwardUdp: queueGauges(this.forward.parts[1]),
        }),
      },
      ...this.stream?.status(),
    };
  }

  metrics(): NodeMetrics {
    const guest = queueGauges(...this.guest.parts);
    const forwardParts = this.forward?.parts ?? [];
    const forward = queueGauges(...forwardParts);
    return {
      labels: { node: this.settings.name, role: this.role },
      counters: {
        ...this.engine.counters.snapshot(),
        deltas_lost: this.deltas.lost,
        peer_resets_lost: this.node.resetsLost,
        ...this.prefixes.counters,
        link_heads_forgotten: this.prefixes.forgotten,
        ...queueCounters({ guest: this.guest.parts, forward: forwardParts }),
        ...this.stream?.counters(),
      },
      requests: this.engine.counters.requestsByCause(),
      gauges: {
        protected: this.engine.isProtected && this.rulesMissing.length === 0 ? 1 : 0,
        rules_missing: this.rulesMissing.length,
        held_packets: this.engine.heldPackets,
        held_bytes: this.engine.heldBytes,
        flows: this.engine.flowCount,
        guest_queue_length: guest.queued,
        guest_queue_drops: guest.dropped,
        forward_queue_length: forward.queued,
        forward_queue_drops: forward.dropped,
      },
      holdBuckets: this.engine.counters.holdBuckets,
      holdMsSum: this.engine.counters.holdMsSum,
    };
  }

  private onArp(primary: boolean, arp: ArpView, vlan: number): void {
    if (asksForAnother(arp)) this.engine.addressQuestion(primary, vlan, 4, nowMs(), arp.targetIp);
    else if (!primary && arp.operation === ARPOP_REPLY) this.engine.addressAnswer(vlan, 4, nowMs(), arp.senderIp);
  }

  private onRequest(cause: CheckpointCause): void {
    const why = isSilence(cause) ? { waitedMs: this.engine.waitedMs } : describeDifference(this.engine);
    this.log.info({ cause, ...why }, 'asking for a checkpoint');
    this.requestCheckpoint(cause);
  }
}

/** What comes by a stream waits for no verdict. */
const NO_VERDICTS = { drop: () => {} };

/** A part of both guests' queues; by a stream nothing comes that could be looked at together with the guest's. */
function bothOf(guest: SplitQueue, forward: SplitQueue | undefined, part: 0 | 1): BothQueues {
  const { batches } = guest;
  if (forward === undefined) return { guest: batches[part], forward: NO_BATCH, compare: () => 0 };
  return new BothKernelBatches(batches[part], forward.batches[part]);
}
