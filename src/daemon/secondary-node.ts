// One protected VM on the secondary node: what comes from the primary on its way in, what the SVM says on its way out.

import { randomBytes } from 'node:crypto';
import { OffsetTable } from '../conntrack/offset-table';
import { mapFile } from '../io/map-file';
import { NfQueue } from '../io/nfqueue';
import {
  NFQ_D_HWADDR_HIGH,
  NFQ_D_HWADDR_LENGTH,
  NFQ_D_HWADDR_LOW,
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_OFFSET,
  NFQ_D_ORIGINAL_LENGTH,
  NFQ_D_SKB_INFO,
  NFQ_D_WORDS,
  NFQ_MAX_COPY,
  NFQA_SKB_CSUMNOTREADY,
} from '../native/layout';
import { ETH_ALEN } from '../packet/ethernet';
import { SecondaryEngine, SecondaryVerdict } from '../seccolo/engine';
import { GuestAddresses } from '../seccolo/guest-addresses';
import { nowMs } from './clock';
import { PORT_WATCH_MS } from './controller-loss';
import { type Takeover, takeOver } from './failover';
import { watchGuestClaims } from './guest-claims';
import type { Logger } from './log';
import type { NodeMetrics } from './metrics';
import { AnsweringPort } from './neighbour-answers';
import type { NodeSettings } from './node-config';
import { portState } from './port-state';
import { queueCounters, queueGauges, queueOptions } from './queue-options';
import { statePath } from './state-file';
import { Undecided } from './undecided';

/**
 * Before the failover what the SVM says is only looked at: its headers suffice, and copying 64 KiB of payload out of the kernel
 * for each large packet would cost more than all the rest. More than any chain of headers that a TCP packet has.
 */
const HEADER_BYTES = 512;

export class SecondaryNode {
  readonly role = 'secondary';
  readonly engine: SecondaryEngine;
  private readonly guest: NfQueue;
  private readonly forward: NfQueue;
  private closed = false;
  private loss: NodeJS.Timeout | undefined;
  /** The guest goes on alone, but nobody has said DO_FAILOVER. */
  private networkWaits = false;
  /** In words; while there is something, packets may pass untranslated. */
  rulesMissing: readonly string[] = [];
  private readonly addresses = new GuestAddresses();
  private readonly claims: { close(): void };
  private readonly neighbours: AnsweringPort;
  private takeover: Takeover | undefined;
  private readonly undecided: Undecided;

  constructor(
    readonly settings: NodeSettings,
    private readonly log: Logger,
  ) {
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
    this.guest = new NfQueue(
      {
        ...queueOptions(settings, settings.guestQueue),
        copyRange: this.engine.failedOver ? NFQ_MAX_COPY : HEADER_BYTES,
        maxCopyRange: NFQ_MAX_COPY,
      },
      (count) => this.onGuest(count),
    );
    this.forward = new NfQueue(queueOptions(settings, settings.forwardQueue), (count) => this.onForward(count));
    this.undecided = new Undecided(this.engine, settings.guestPort, log, (packet) => {
      this.engine.link.macHigh = packet.macHigh;
      this.engine.link.macLow = packet.macLow;
      const { id, bytes, partial } = packet;
      const verdict = this.engine.fromPeer(bytes, 0, bytes.length, partial, nowMs());
      if (verdict === SecondaryVerdict.Accept) this.forward.accept(id);
      else if (verdict === SecondaryVerdict.AcceptRewritten) this.forward.acceptRewritten(id, bytes, 0, bytes.length, partial);
      else this.forward.drop(id);
    });
    void this.undecided.begin();
    this.claims = watchGuestClaims(settings.guestPort, this.addresses, log);
    this.neighbours = new AnsweringPort(settings, this.addresses, () => !this.engine.failedOver, log);
  }

  /**
   * DO_CHECKPOINT, the guest stands still. What it has sent belongs to the time before; what is queued for it will be read by
   * its new state, so that is translated afterwards: an old offset could make an acknowledgement confirm what nobody has.
   */
  checkpoint(): void {
    this.guest.drain();
    this.engine.checkpoint(nowMs());
    this.neighbours.answers.checkpoint();
  }

  /** DO_FAILOVER: false when it had been done before. The network follows in the background. */
  failover(): boolean {
    this.forward.drain();
    const first = this.engine.failover(nowMs()) || this.networkWaits;
    this.networkWaits = false;
    if (first) {
      this.guest.setCopyRange(NFQ_MAX_COPY);
      this.log.warn({ flows: this.engine.status().flows }, 'FAILOVER: the secondary takes over');
      this.takeover = takeOver(this.settings, this.engine, this.undecided.begin(), this.addresses, this.log);
    }
    return first;
  }

  /**
   * PROXY_INIT. A guest that has taken over lives on its offsets until its connections end: a controller that comes then, a successor
   * of the one that died, finds the node failed over. Else a new pair begins.
   */
  attach(fresh: boolean): void {
    // The loss of its predecessor means nothing any more.
    clearTimeout(this.loss);
    this.loss = undefined;
    if (!fresh) return;
    const connections = this.engine.living;
    if (this.engine.failedOver && connections > 0) {
      const hint = 'colo ctl reset (PROXY_RESET) begins a new pair, and ends them';
      this.log.warn({ connections, hint }, 'the guest has taken over: its connections keep their offsets');
    } else this.forgetPair();
  }

  /** PROXY_RESET, or a new pair: nothing of an earlier one is known any more. */
  forgetPair(): void {
    this.takeover?.close();
    this.addresses.clear();
    this.neighbours.answers.clear();
    this.engine.reset();
    this.networkWaits = false;
    this.guest.setCopyRange(HEADER_BYTES);
  }

  /**
   * The controller is gone without a word (libxl never sends DO_FAILOVER, it closes its socket): if the guest lives, what is
   * translated stays translated, now in both directions. The network is left alone: only DO_FAILOVER moves it.
   */
  controllerLost(): void {
    if (this.engine.failedOver) return;
    clearTimeout(this.loss);
    const loss = setTimeout(() => {
      void portState(this.settings.guestPort).then((state) => {
        if (state !== 'up' || this.closed || this.engine.failedOver || loss !== this.loss) return;
        this.engine.failover(nowMs());
        this.networkWaits = true;
        this.guest.setCopyRange(NFQ_MAX_COPY);
        this.log.warn('the controller is gone: connections keep their offsets, new ones get none');
      });
    }, PORT_WATCH_MS);
    this.loss = loss;
  }

  tick(): void {
    this.engine.tick(nowMs());
  }

  async close(): Promise<void> {
    this.closed = true;
    this.undecided.close();
    await this.takeover?.settled;
    this.takeover?.close();
    this.claims.close();
    this.neighbours.close();
    this.guest.close();
    this.forward.close();
  }

  /** DO_FAILOVER was done. */
  get failedOver(): boolean {
    return this.engine.failedOver && !this.networkWaits;
  }

  get state(): string {
    if (this.engine.failedOver) return 'failed-over';
    return this.rulesMissing.length > 0 ? 'rules-missing' : 'translating';
  }

  status(): Record<string, unknown> {
    // The node's mode is what its controller has said, not how the engine is used.
    const { mode: _, ...engine } = this.engine.status();
    return {
      state: this.state,
      addressesClaimed: this.addresses.list().length,
      addressesLeftOut: this.addresses.overflows,
      ...engine,
      queues: { guest: queueGauges(this.guest), forward: queueGauges(this.forward) },
    };
  }

  metrics(): NodeMetrics {
    const guest = queueGauges(this.guest);
    const forward = queueGauges(this.forward);
    return {
      labels: { node: this.settings.name, role: this.role },
      counters: {
        ...this.engine.counters.snapshot(),
        neighbour_questions: this.neighbours.answers.asked,
        neighbour_answers: this.neighbours.answers.answered,
        neighbour_answers_unsent: this.neighbours.unsent,
        ...queueCounters({ guest: [this.guest], forward: [this.forward] }),
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

  private waits(id: number, packet: Uint8Array, partial: boolean): boolean {
    return this.undecided.hold({ id, bytes: Buffer.from(packet), partial, ...this.engine.link });
  }

  private onForward(count: number): void {
    this.batch(this.forward, count, true);
  }

  private onGuest(count: number): void {
    this.batch(this.guest, count, false);
    this.undecided.settle();
  }

  private batch(queue: NfQueue, count: number, fromPeer: boolean): void {
    const { engine } = this;
    const { arena, table } = queue;
    const now = nowMs();
    for (let d = 0, end = count * NFQ_D_WORDS; d < end; d += NFQ_D_WORDS) {
      const id = table[d + NFQ_D_ID]!;
      const off = table[d + NFQ_D_OFFSET]!;
      const captured = table[d + NFQ_D_LENGTH]!;
      // The headers of a cut packet are read as those of the whole.
      const len = table[d + NFQ_D_ORIGINAL_LENGTH]!;
      const partial = (table[d + NFQ_D_SKB_INFO]! & NFQA_SKB_CSUMNOTREADY) !== 0;
      const { link } = engine;
      const ethernet = table[d + NFQ_D_HWADDR_LENGTH] === ETH_ALEN;
      link.macHigh = ethernet ? table[d + NFQ_D_HWADDR_HIGH]! : 0;
      link.macLow = ethernet ? table[d + NFQ_D_HWADDR_LOW]! >>> 16 : 0;
      const verdict = fromPeer
        ? engine.fromPeer(arena, off, len, partial, now)
        : engine.fromGuest(arena, off, len, partial, now);
      if (verdict === SecondaryVerdict.Accept) queue.accept(id);
      // A packet that was cut before the failover cannot be rewritten after it; TCP repeats it.
      else if (verdict === SecondaryVerdict.AcceptRewritten && captured === len) {
        queue.acceptRewritten(id, arena, off, len, partial);
      } else if (verdict === SecondaryVerdict.Wait && this.waits(id, arena.subarray(off, off + len), partial)) {
        // Its verdict comes later.
      } else queue.drop(id);
    }
  }
}
