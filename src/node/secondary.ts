// One protected VM on the secondary node: what comes from the peers on its way in, the SVM's packets on their way out,
// and in which order queues are read when a message comes. The daemon, the netdev behind QEMU's sockets and the
// simulator all run this class.
//
//   checkpoint   drain the guest's, then the next epoch   what it has sent belongs to the time before
//   its stop     drain the guest's, and nothing after it  where it is heard of, a checkpoint reads no more
//   failover     translate both ways, read nothing first  what waits of the peers must wait on while in doubt
//   what was cut before a failover is dropped after it    it cannot be rewritten; TCP retransmits it

import type { Log } from '../core/log';
import { type SecondaryEngine, SecondaryVerdict } from '../seccolo/engine';
import { PORT_WATCH_MS } from './controller-loss';
import type { Clock, CuttingQueue, GuestWatch, PacketSink, QueuedPacket, Timer, Verdicts } from './ports';
import { type AskedEngine, Undecided } from './undecided';

/** The engine as a node uses it. */
export type SecondaryEngineFace = AskedEngine &
  Pick<
    SecondaryEngine,
    'checkpoint' | 'failedOver' | 'failover' | 'fromGuest' | 'fromPeer' | 'link' | 'living' | 'reset' | 'tick'
  >;

export interface SecondaryPorts {
  clock: Clock;
  /** The SVM's packets. Before the failover they are only looked at: their headers suffice. */
  guest: () => CuttingQueue;
  /** The peers'. */
  forward: () => Verdicts;
  watch: GuestWatch;
  log: Log;
  /** See AskingPorts. */
  toGuest(ask: (send: (frame: Uint8Array) => void) => void): void;
  /**
   * A new pair takes the guest off the network: after a failover only PROXY_RESET begins one, as nobody else may be
   * left.
   */
  aloneUntilReset?: boolean;
  /** A checkpoint was obeyed. */
  checkpointed(): void;
  /** DO_FAILOVER: the network is to follow. */
  tookOver(): void;
  /** Nothing of an earlier pair is known any more. */
  forgotten(): void;
}

export class SecondaryNode {
  /** To be given what the queues show. */
  readonly fromGuest: PacketSink;
  readonly fromPeers: PacketSink;
  private readonly undecided: Undecided;
  private closed = false;
  private loss: Timer | undefined;
  /** Of the last loss of a controller: what was asked about an earlier one no longer counts. */
  private turn = 0;
  /** The guest goes on alone, but there was no DO_FAILOVER. */
  private networkWaits = false;
  /** The guest stands still, for a reason not known yet. */
  private stopped = false;

  constructor(
    readonly engine: SecondaryEngineFace,
    private readonly ports: SecondaryPorts,
  ) {
    this.undecided = new Undecided(engine, {
      clock: ports.clock,
      log: ports.log,
      toGuest: (ask) => ports.toGuest(ask),
      handIn: (packet) => this.packet(packet, true, ports.clock.nowMs()),
    });
    this.fromPeers = new Side(this, ports.clock, true);
    this.fromGuest = new Side(this, ports.clock, false);
  }

  /** A process that was restarted after a failover may find that the guest has to show its numbers first. */
  begin(): void {
    this.undecided.begin();
  }

  /**
   * The guest stands still: its packets so far are read. Until guestRuns() the owner of the guest's side hands in
   * nothing more: it may belong to the time after.
   */
  guestStopped(): void {
    this.stopped = true;
    this.ports.guest().drain();
  }

  guestRuns(): void {
    this.stopped = false;
  }

  /**
   * DO_CHECKPOINT, the guest stands still. What it has sent belongs to the time before; what is queued for it will be
   * read by its new state, so that is translated afterwards: an old offset could make an acknowledgement confirm what
   * nobody has.
   */
  checkpoint(): void {
    if (!this.stopped) this.ports.guest().drain();
    this.stopped = false;
    this.engine.checkpoint(this.ports.clock.nowMs());
    this.ports.checkpointed();
  }

  /**
   * DO_FAILOVER: false when it had been done before. The network follows by itself. Nothing is read first: where it is
   * not known which numbers the guest lives in, what waits for it has to wait on.
   */
  failover(): boolean {
    const { engine, ports, stopped } = this;
    const now = ports.clock.nowMs();
    // Stopped and not known why: it may have become the primary's copy in the meantime, though that is not likely.
    if (stopped) engine.checkpoint(now);
    const first = engine.failover(now) || this.networkWaits;
    this.networkWaits = false;
    if (first) {
      ports.guest().showWhole(true);
      this.undecided.begin(stopped);
      ports.tookOver();
    }
    return first;
  }

  /** Calls the task when it is known in which numbers the guest lives: mostly at once. */
  whenDecided(task: () => void): void {
    this.undecided.whenDecided(task);
  }

  /**
   * PROXY_INIT. A guest that has taken over lives on its offsets until its connections end: a controller that comes
   * then, a successor of the one that died, finds the node failed over. Else a new pair begins, if that may be.
   */
  attach(fresh: boolean): void {
    // The loss of its predecessor means nothing any more.
    this.stopWatching();
    if (!fresh) return;
    const connections = this.engine.living;
    if (this.engine.failedOver && (connections > 0 || this.ports.aloneUntilReset)) {
      const hint = 'colo ctl reset (PROXY_RESET) begins a new pair, and ends them';
      this.ports.log.warn({ connections, hint }, 'the guest has taken over: its connections keep their offsets');
    } else this.forgetPair();
  }

  /** PROXY_RESET, or a new pair: nothing of an earlier one is known any more. */
  forgetPair(): void {
    this.engine.reset();
    this.networkWaits = false;
    this.ports.guest().showWhole(false);
    this.ports.forgotten();
  }

  /**
   * The controller is gone without a word (libxl never sends DO_FAILOVER, it closes its socket): if the guest lives,
   * what is translated stays translated, now in both directions. The network is left alone: only DO_FAILOVER moves it.
   */
  controllerLost(): void {
    if (this.engine.failedOver) return;
    this.stopWatching();
    const turn = this.turn;
    this.loss = this.ports.clock.after(PORT_WATCH_MS, () => {
      this.ports.watch.portState((state) => {
        if (state !== 'up' || this.closed || this.engine.failedOver || turn !== this.turn) return;
        this.engine.failover(this.ports.clock.nowMs());
        this.networkWaits = true;
        this.ports.guest().showWhole(true);
        this.undecided.begin();
        this.ports.log.warn({}, 'the controller is gone: connections keep their offsets, new ones get none');
      });
    });
  }

  tick(): void {
    this.engine.tick(this.ports.clock.nowMs());
  }

  close(): void {
    this.closed = true;
    this.stopWatching();
    this.undecided.close();
  }

  /** DO_FAILOVER was done. */
  get failedOver(): boolean {
    return this.engine.failedOver && !this.networkWaits;
  }

  get state(): 'failed-over' | 'translating' {
    return this.engine.failedOver ? 'failed-over' : 'translating';
  }

  private stopWatching(): void {
    this.turn++;
    this.loss?.cancel();
    this.loss = undefined;
  }

  /** Of one of the two sides, which see to it that nobody else calls this. */
  packet(p: QueuedPacket, fromPeer: boolean, now: number): void {
    const { engine } = this;
    const { link } = engine;
    const { id, buf, off, originalLen: len, partialChecksum: partial } = p;
    const queue = fromPeer ? this.ports.forward() : this.ports.guest();
    link.macHigh = p.macHigh;
    link.macLow = p.macLow;
    link.outerTag = p.outerTag;
    link.innerTag = p.innerTag;
    // The headers of a cut packet are read as those of the whole.
    const verdict = fromPeer
      ? engine.fromPeer(buf, off, len, partial, now, p.zone)
      : engine.fromGuest(buf, off, len, partial, now, p.zone);
    if (verdict === SecondaryVerdict.Accept) queue.accept(id);
    // A packet that was cut before the failover cannot be rewritten after it; TCP retransmits it.
    else if (verdict === SecondaryVerdict.AcceptRewritten && p.len === len) {
      queue.acceptRewritten(id, buf, off, len, partial);
    } else if (verdict !== SecondaryVerdict.Wait || !this.undecided.hold(p)) queue.drop(id);
  }

  /** After packets of the guest: it may have shown its numbers. */
  guestSpoke(): void {
    this.undecided.settle();
  }
}

/** What comes through one of the queues, with one look at the clock a batch. */
class Side implements PacketSink {
  private now = 0;
  private begun = false;

  constructor(
    private readonly node: SecondaryNode,
    private readonly clock: Clock,
    private readonly peers: boolean,
  ) {}

  packet(p: QueuedPacket): void {
    if (!this.begun) {
      this.begun = true;
      this.now = this.clock.nowMs();
    }
    this.node.packet(p, this.peers, this.now);
  }

  endBatch(): void {
    this.begun = false;
    if (!this.peers) this.node.guestSpoke();
  }
}
