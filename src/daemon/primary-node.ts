// One protected VM on the primary node: its kernel queues, the engine between them, and the way to the controller.

import { randomBytes } from 'node:crypto';
import { type CheckpointCause, isSilence } from '../compare/outcome';
import { OffsetTable } from '../conntrack/offset-table';
import { Conntrack } from '../io/conntrack';
import { DeadlineTimer } from '../io/deadline-timer';
import { mapFile } from '../io/map-file';
import {
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_OFFSET,
  NFQ_D_ORIGINAL_LENGTH,
  NFQ_D_SKB_INFO,
  NFQ_D_WORDS,
  NFQA_SKB_CSUMNOTREADY,
  NFQA_SKB_GSO,
} from '../native/layout';
import { ARPOP_REPLY, type ArpView, asksForAnother } from '../packet/arp';
import { IPPROTO_TCP } from '../packet/view';
import type { BypassRule } from '../pmycolo/bypass';
import { StoredDeltas } from '../pmycolo/deltas';
import { describeDifference } from '../pmycolo/difference-text';
import { PrimaryEngine } from '../pmycolo/engine';
import { watchArp } from './address-requests';
import { nowMs } from './clock';
import { ControllerLoss, LossDecision } from './controller-loss';
import type { Logger } from './log';
import type { NodeMetrics } from './metrics';
import type { NodeSettings } from './node-config';
import { watchPeerResets } from './peer-resets';
import { portState } from './port-state';
import { PrefixSender } from './prefix-sender';
import { queueCounters, queueGauges } from './queue-options';
import { SplitQueue } from './split-queue';
import { statePath } from './state-file';

/** Resets told between two ticks that are acted on; for the others the timeout asks for a checkpoint. */
const MAX_RESETS = 4096;

export class PrimaryNode {
  readonly role = 'primary';
  readonly engine: PrimaryEngine;
  private readonly guest: SplitQueue;
  private readonly forward: SplitQueue;
  private readonly arp: readonly { close(): void }[];
  private readonly prefixes: PrefixSender;
  private readonly loss: ControllerLoss;
  private readonly deadline = new DeadlineTimer(nowMs, () => this.tick());
  private readonly deltas: StoredDeltas;
  private readonly conntrack = new Conntrack();
  private readonly resetWatch: { close(): void };
  private readonly resets: { key: Uint32Array; seq: number }[] = [];
  /** Resets beyond MAX_RESETS. */
  private resetsLost = 0;
  /** Connections of this epoch may be numbered in a way that is not known any more. */
  private numbersLost: boolean;
  private guestDead = false;
  /** In words; while there is something, the guest's packets may pass unseen. */
  rulesMissing: readonly string[] = [];
  private dropping = false;

  constructor(
    readonly settings: NodeSettings,
    private readonly log: Logger,
    /** Passes a checkpoint request on to the controller. */
    private readonly requestCheckpoint: (cause: CheckpointCause) => void,
  ) {
    const words = mapFile(
      statePath(settings.stateDir, 'deltas', settings.index),
      OffsetTable.bytesFor(settings.keptConnections),
    );
    const table = new OffsetTable(new Uint32Array(words.buffer, words.byteOffset, words.byteLength >>> 2));
    if (table.origin !== 'new' && table.origin !== 'resumed') {
      this.log.warn({ origin: table.origin }, 'the kept sequence deltas are unusable, starting without them');
    }
    this.loss = new ControllerLoss(settings.onControllerLoss);
    const bytes = randomBytes(8);
    const seed = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)] as const;
    this.deltas = new StoredDeltas(table, seed, (key) => this.conntrack.hasAnswered(key));
    this.numbersLost = !this.deltas.whole;
    this.engine = new PrimaryEngine(
      {
        limits: settings.limits,
        compareTimeoutMs: settings.compareTimeoutMs,
        maxCompareTimeoutMs: settings.maxCompareTimeoutMs,
        forwardSettleMs: settings.forwardSettleMs,
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
    // Until a controller comes there is nothing to compare with: the guest's packets pass.
    this.engine.setProtected(false);
    this.engine.setBypass(settings.bypass);
    const { guestQueue, guestUdpQueue, forwardQueue, forwardUdpQueue } = settings;
    this.guest = new SplitQueue(settings, guestQueue, guestUdpQueue, (part, count) => this.onGuest(part, count));
    this.forward = new SplitQueue(settings, forwardQueue, forwardUdpQueue, (part, count) =>
      this.onForward(part, count),
    );
    this.arp = [
      watchArp(settings.forwardPort, "the SVM's", (arp, vlan) => this.onArp(false, arp, vlan), this.log),
      watchArp(settings.guestPort, "the PVM's", (arp, vlan) => this.onArp(true, arp, vlan), this.log, true),
    ];
    this.resetWatch = watchPeerResets(settings.guestPort, (key, seq) => this.onPeerReset(key, seq), this.log);
    this.prefixes = new PrefixSender(settings.guestPort, settings.outerBridge, seed, this.log);
  }

  /** A controller has come: a new pair, or (resume) the one that there was before this daemon was restarted. */
  protect(resume: boolean): void {
    this.loss.regained();
    this.guestDead = false;
    this.dropping = false;
    if (!resume) this.forgetPair();
    this.engine.setProtected(true);
    // Compared at the wrong place, bytes that come again and again would be taken for said before they are.
    if (resume && this.numbersLost) this.engine.boundExhausted();
    this.numbersLost = false;
  }

  /** The controller wants the guest to run without a secondary. */
  unprotect(): void {
    this.release();
    this.engine.setProtected(false);
  }

  /** PROXY_RESET: what is held was never verified and is dropped, its senders repeat it. */
  forgetPair(): void {
    this.guest.drain();
    // What an old SVM has said must not be taken for the new one's.
    this.forward.drain();
    this.engine.dropAll();
    this.engine.forgetPair();
    this.guest.flush();
  }

  /** DO_CHECKPOINT. What the kernel has queued was sent before the guests stopped, so it is read first. */
  checkpoint(): void {
    this.guest.drain();
    this.forward.drain();
    this.engine.checkpoint(nowMs());
    this.guest.flush();
  }

  release(): void {
    this.guest.drain();
    this.engine.releaseAll(nowMs());
    this.guest.flush();
  }

  /** Packets of the guest have passed the queue by, so nobody knows how far its streams are: a checkpoint makes both sides equal. */
  unseenPassed(): void {
    if (this.engine.isProtected) this.engine.boundExhausted();
  }

  setBypass(rules: readonly BypassRule[]): void {
    this.engine.setBypass(rules);
  }

  /** What the guest sent before it heard of that has to be read first: at the next tick. */
  private onPeerReset(key: Uint32Array, seq: number): void {
    if (!this.engine.isProtected) return;
    if (this.resets.length < MAX_RESETS) this.resets.push({ key: key.slice(), seq });
    else this.resetsLost++;
  }

  controllerLost(): void {
    this.loss.lost(nowMs());
    void this.decideLoss();
  }

  tick(): void {
    if (this.resets.length > 0) {
      this.guest.drain();
      for (const { key, seq } of this.resets) this.engine.peerReset(key, seq, nowMs());
      this.resets.length = 0;
    }
    this.engine.tick(nowMs());
    if (this.dropping && this.engine.awaitsCheckpoint) this.engine.dropAll();
    this.forward.flush();
    this.endBatch(nowMs());
  }

  /** The engine may want to be called before the next tick. */
  private arm(): void {
    this.deadline.arm(this.engine.nextDeadlineMs);
  }

  /** Ends without letting anything out: the kernel drops what it holds for a closed queue. */
  close(): void {
    this.deadline.close();
    this.guest.close();
    this.forward.close();
    for (const watch of this.arp) watch.close();
    this.prefixes.close();
    this.resetWatch.close();
    this.conntrack.close();
  }

  get state(): string {
    if (this.guestDead) return 'guest-dead';
    if (this.loss.pending) return 'controller-lost';
    if (!this.engine.isProtected) return 'unprotected';
    if (this.rulesMissing.length > 0) return 'rules-missing';
    return this.engine.awaitsCheckpoint ? 'waiting-for-checkpoint' : 'comparing';
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
        forward: queueGauges(this.forward.parts[0]),
        guestUdp: queueGauges(this.guest.parts[1]),
        forwardUdp: queueGauges(this.forward.parts[1]),
      },
    };
  }

  metrics(): NodeMetrics {
    const guest = queueGauges(...this.guest.parts);
    const forward = queueGauges(...this.forward.parts);
    return {
      labels: { node: this.settings.name, role: this.role },
      counters: {
        ...this.engine.counters.snapshot(),
        deltas_lost: this.deltas.lost,
        peer_resets_lost: this.resetsLost,
        ...this.prefixes.counters,
        link_heads_forgotten: this.prefixes.forgotten,
        ...queueCounters({ guest: this.guest.parts, forward: this.forward.parts }),
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

  private onGuest(part: 0 | 1, count: number): void {
    const { guest, engine } = this;
    const { arena, table } = guest.parts[part];
    const now = nowMs();
    for (let d = 0, end = count * NFQ_D_WORDS; d < end; d += NFQ_D_WORDS) {
      const id = guest.nameOf(part, table[d + NFQ_D_ID]!);
      const off = table[d + NFQ_D_OFFSET]!;
      const len = table[d + NFQ_D_LENGTH]!;
      const info = table[d + NFQ_D_SKB_INFO]!;
      const original = table[d + NFQ_D_ORIGINAL_LENGTH]!;
      const partial = (info & NFQA_SKB_CSUMNOTREADY) !== 0;
      if (original !== len || ((info & NFQA_SKB_GSO) !== 0 && !isTcp(arena, off))) {
        engine.primaryOpaque(id, arena, off, len, original, partial, now);
      } else engine.primary(id, arena, off, len, partial, now);
    }
    this.endBatch(now);
  }

  private onForward(part: 0 | 1, count: number): void {
    const { engine } = this;
    const forward = this.forward.parts[part];
    const { arena, table } = forward;
    const now = nowMs();
    for (let d = 0, end = count * NFQ_D_WORDS; d < end; d += NFQ_D_WORDS) {
      const off = table[d + NFQ_D_OFFSET]!;
      const len = table[d + NFQ_D_LENGTH]!;
      const gso = (table[d + NFQ_D_SKB_INFO]! & NFQA_SKB_GSO) !== 0;
      const original = table[d + NFQ_D_ORIGINAL_LENGTH]!;
      if (original !== len || (gso && !isTcp(arena, off))) engine.secondaryOpaque(arena, off, len, original, now);
      else engine.secondary(arena, off, len, now);
      forward.drop(table[d + NFQ_D_ID]!);
    }
    this.endBatch(now);
  }

  /** What this batch verified leaves now, not with the guest's next packet; what of it is held still follows. */
  private endBatch(now: number): void {
    this.guest.flush();
    this.engine.endBatch(now);
    this.arm();
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

  private async decideLoss(): Promise<void> {
    for (;;) {
      const decision = this.loss.decide(await portState(this.settings.guestPort), nowMs());
      if (!this.loss.active) return;
      if (decision === LossDecision.WAIT) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      this.applyLoss(decision);
      return;
    }
  }

  private applyLoss(decision: LossDecision): void {
    const held = this.engine.heldPackets;
    switch (decision) {
      case LossDecision.GUEST_DEAD:
        this.guestDead = true;
        this.guest.drain();
        this.engine.dropAll();
        this.log.error(
          { held, port: this.settings.guestPort },
          'the controller and the guest are gone: what was held is dropped',
        );
        break;
      case LossDecision.RELEASE:
        this.guest.drain();
        this.engine.releaseAll(nowMs());
        this.engine.setProtected(false);
        this.log.error(
          { held },
          'UNPROTECTED: the controller is gone, what was held is released, the guest runs without a secondary',
        );
        break;
      case LossDecision.DROP:
        this.dropping = true;
        this.engine.dropAll();
        this.log.error(
          { held },
          'the controller is gone: what was held is dropped, what differs from now on is dropped, too',
        );
        break;
      default:
        this.log.error({ held }, 'the controller is gone: what is held stays held until one comes back');
    }
    this.guest.flush();
  }
}

/** Only a stream's segments may be several in one. False also where IPv6's extension headers hide it. */
function isTcp(buf: Uint8Array, off: number): boolean {
  return (buf[off]! >>> 4 === 4 ? buf[off + 9] : buf[off + 6]) === IPPROTO_TCP;
}
