// One colo-compare: its four sockets, its clock, and its behaviour when a peer is slow or gone.
//
//   primary_in gone     held packets of that guest are dropped: a dead guest's output must not appear
//   secondary_in gone   held packets stay held; the timeouts ask for checkpoints
//   notify_dev gone     held packets stay held; only a controller that comes back can release them
//   qmp gone            the same, until QEMU is there again and makes the checkpoint that it is then asked for
//   QMP reports that the secondary is gone   held packets leave, and everything from then on, until COLO begins again
//   outdev gone         packets verified meanwhile are dropped and counted, as on a network without a cable
//   outdev slow         primary_in is not read until the backlog is gone; frames read before fit into the send buffer. No guest
//                       counts as silent meanwhile: the network is slow, not a guest
//   an impossible length on any of them: that connection ends, the next one starts afresh

import { type FrameHandler, FrameReader, type FrameSource } from '../../chardev/frame';
import { FrameSocket } from '../../chardev/frame-socket';
import { CheckpointCause, isSilence } from '../../compare/outcome';
import { DEFAULT_LIMITS } from '../../core/limits';
import type { Log } from '../../core/log';
import type { Endpoint } from '../../io/stream/chardev';
import { PrimaryNode } from '../../node/primary';
import { PrimaryWatch } from '../../qmp/checkpoint-request';
import { Asking } from './asking';
import { FrameComparison } from './compare';
import {
  C_BACKLOGS,
  C_LOST_BYTES,
  C_NOTIFY_BAD,
  C_PRIMARY_BAD,
  C_SECONDARY_BAD,
  C_SECONDARY_DISCARDED,
  C_WRITTEN_BYTES,
  CompareCounters,
} from './compare-counters';
import type { CompareSettings } from './compare-settings';
import { EpochGate } from './epoch-gate';
import { Lockstep } from './lockstep';
import { PairReader } from './pair-reader';
import { type Surroundings, thisHost } from './surroundings';

const TICK_MS = 100;
/** Backlog of outdev at which the primary is no longer read. */
const BACKLOG_BYTES = 1 << 20;
/** Time after a backlog in which no guest counts as silent: frames that waited in its socket are read first. */
const BACKLOG_GRACE_MS = 500;
/** Bytes read of each socket before a checkpoint: more than sockets hold of a stopped guest. */
const DRAIN_BYTES = 8 << 20;

/** Causes whose log line shows bytes. */
const DIFFERENCES: ReadonlySet<CheckpointCause> = new Set([
  CheckpointCause.PAYLOAD,
  CheckpointCause.LENGTH,
  CheckpointCause.FIN,
  CheckpointCause.RST,
  CheckpointCause.SYN_OPTIONS,
  CheckpointCause.URGENT,
  CheckpointCause.RETRANSMISSION,
]);

/** Names of the sockets' counters, in the style of the others. */
const SOCKET_COUNTERS: Record<string, string> = { bytesIn: 'bytes_in', bytesOut: 'bytes_out' };

export class CompareDevice {
  readonly comparison: FrameComparison;
  private readonly counters = new CompareCounters();
  private readonly primaryIn: FrameSocket;
  private readonly secondaryIn: FrameSocket;
  private readonly pairs: PairReader;
  private readonly outdev: FrameSocket;
  private readonly notifyDev: FrameSocket | undefined;
  private readonly watch: PrimaryWatch | undefined;
  private readonly gate: EpochGate;
  private readonly node: PrimaryNode;
  private readonly asking: Asking;
  /** Time of the present batch. */
  private nowMs: number;
  /** A checkpoint is under way: it covers differences that are found now. */
  private draining = false;
  /** The secondary's frames are discarded. */
  private deaf = false;
  /** outdev has a backlog: primary_in is not read. */
  private backlogged = false;
  /** No timeouts before this time. */
  private graceUntilMs = 0;
  /** Bytes written for outdev that were lost with its peers. */
  private lostBytes = 0;
  private timer: ReturnType<Surroundings['every']> | undefined;
  private readonly deadline: ReturnType<Surroundings['deadline']>;
  /** Monotonic ms. */
  private readonly clock: () => number;

  constructor(
    readonly settings: CompareSettings,
    private readonly log: Log,
    /** Called for every request for a checkpoint, with or without notify_dev. */
    private readonly onRequest: (cause: CheckpointCause) => void = () => {},
    private readonly around: Surroundings = thisHost,
  ) {
    this.clock = () => around.clock.nowMs();
    this.nowMs = this.clock();
    this.deadline = around.deadline(() => this.tick());
    this.asking = new Asking({
      log,
      clock: around.clock,
      counters: this.counters,
      held: () => this.held(),
      checkpoint: () => this.checkpoint(),
    });
    const { limits } = settings;
    const counted = this.counters.values;
    const maxHeldBytes = limits?.maxHeldBytes ?? DEFAULT_LIMITS.maxHeldBytes;
    this.outdev = this.socket('outdev', settings.outdev, -1, {
      onClose: () => this.outdevGone(),
      // A checkpoint releases everything held, on top of the backlog and of frames read before it.
      sendBytes: maxHeldBytes + 2 * (BACKLOG_BYTES + DRAIN_BYTES),
    });
    this.comparison = new FrameComparison(
      {
        compareTimeoutMs: settings.compareTimeoutMs,
        ...(settings.maxCompareTimeoutMs === undefined ? {} : { maxCompareTimeoutMs: settings.maxCompareTimeoutMs }),
        minCheckpointIntervalMs: settings.minCheckpointIntervalMs ?? 0,
        maxQueueSize: settings.maxQueueSize,
        vnetHeaders: settings.vnetHeaders,
        seed: around.seed(),
        ...(limits === undefined ? {} : { limits }),
      },
      this.outdev.stream,
      (cause) => this.requestCheckpoint(cause),
      this.counters,
    );
    const { comparison } = this;
    this.pairs = new PairReader(
      new Lockstep(settings.vnetHeaders, comparison, this.outdev.stream),
      {
        primary: this.reader((buf, off, len, vnetBytes) => comparison.primary(buf, off, len, vnetBytes, this.nowMs)),
        secondary: this.reader((buf, off, len, vnetBytes) => {
          if (this.deaf) counted[C_SECONDARY_DISCARDED]!++;
          else comparison.secondary(buf, off, len, vnetBytes, this.nowMs);
        }),
      },
      () => this.nowMs,
      () => this.outdev.stream.backlogBytes > 0,
      around,
    );
    this.primaryIn = this.socket('primary_in', settings.primaryIn, C_PRIMARY_BAD, {
      source: this.pairs.primarySource,
      end: () => this.turnDone(),
      onClose: () => this.primaryGone(),
    });
    this.secondaryIn = this.socket('secondary_in', settings.secondaryIn, C_SECONDARY_BAD, {
      source: this.pairs.secondarySource,
      end: () => this.turnDone(),
      onClose: () =>
        this.log.error(this.held(), 'the secondary is gone: held packets wait, the timeouts ask for checkpoints'),
    });
    this.pairs.connect(this.primaryIn.stream, this.secondaryIn.stream);
    this.outdev.stream.onDrain = () => {
      this.backlogGone();
      this.pairs.resume();
    };
    this.node = new PrimaryNode(
      comparison.compared,
      {
        clock: { nowMs: this.clock, after: () => ({ cancel: () => {} }) },
        // Both sockets are read together. While the primary is stopped they may hold frames sent after its checkpoint.
        guest: {
          drain: () => void (!this.gate.isHeld && this.readEmpty()),
          flush: () => this.flush(),
          pause: () => {},
        },
        forward: { drain: () => {}, flush: () => {} },
        watch: { portState: () => {} },
        log,
        arm: () => {},
      },
      // A controller's end is no reason to release anything: see above.
      { guestPort: settings.id, onControllerLoss: 'hold', numbersLost: false },
    );
    this.node.protect(true);
    this.gate = new EpochGate(
      {
        doubt: () => this.comparison.engine.doubtEpoch(),
        readEmpty: () => this.readEmpty(),
        hold: (held) => {
          if (!held) this.comparison.engine.primaryResumed(this.clock());
          this.pause();
        },
        dropSecondary: () => this.dropSecondary(),
        release: () => this.checkpoint(),
        askForCheckpoint: () => this.asking.ask(),
        unprotect: () => this.unprotect(),
        protect: () => this.protect(),
      },
      around.clock,
    );
    if (settings.qmp !== undefined) {
      this.watch = new PrimaryWatch('primary', around.connect(settings.qmp), this.gate, log, around.clock);
      this.asking.byQmp(this.watch);
      this.gate.onLost();
    }
    if (settings.notifyDev === undefined) return;
    this.notifyDev = this.socket('notify_dev', settings.notifyDev, C_NOTIFY_BAD, {
      source: this.reader((buf, off, len, vnetBytes) => this.asking.heard(buf, off + vnetBytes, len - vnetBytes), true),
      onOpen: () => this.asking.opened(),
      onClose: () => this.asking.closed(),
    });
    this.asking.atNotifyDev(this.notifyDev);
  }

  /** Opens all sockets. Rejects with OperatorError; then everything is closed again. */
  async open(): Promise<void> {
    try {
      await Promise.all(this.sockets().map((socket) => socket.stream.open()));
      await this.watch?.open();
    } catch (error) {
      this.close();
      throw error;
    }
    this.timer = this.around.every(Math.min(TICK_MS, this.settings.expiredScanCycleMs), () => this.tick());
  }

  /** Closes everything for good; nothing more leaves. */
  close(): void {
    this.timer?.close();
    this.deadline.close();
    this.gate.close();
    this.watch?.close();
    for (const socket of this.sockets()) socket.stream.close();
  }

  /**
   * The guests are stopped and equal. Frames that they sent before are read first: afterwards they would count for the
   * next epoch and wait for counterparts that never come.
   */
  checkpoint(): void {
    this.nowMs = this.clock();
    this.node.checkpoint();
    this.asking.settle();
  }

  /** Port of a TCP server whose endpoint has none. */
  port(name: string): number {
    return this.sockets().find((socket) => socket.name === name)!.stream.port;
  }

  /** Present values, for metrics and status. */
  gauges(): Record<string, number> {
    const { engine } = this.comparison;
    return {
      held_packets: engine.heldPackets,
      held_bytes: engine.heldBytes,
      flows: engine.flowCount,
      paused: engine.isPaused ? 1 : 0,
      protected: engine.isProtected ? 1 : 0,
      stopped: this.gate.isHeld ? 1 : 0,
      outdev_backlog_bytes: this.outdev.stream.backlogBytes,
      ...Object.fromEntries(this.sockets().map(({ name, stream }) => [`${name}_connected`, stream.connected ? 1 : 0])),
      ...(this.watch === undefined ? {} : { qmp_connected: this.watch.connected ? 1 : 0 }),
    };
  }

  /** All counters: the engine's, the comparison's, and the sockets'. */
  counts(): Record<string, number> {
    const sockets = this.sockets().flatMap(({ name, stream }) =>
      Object.entries(stream.counters).map(
        ([what, value]) => [`${name}_${SOCKET_COUNTERS[what] ?? what}`, value] as const,
      ),
    );
    return {
      ...this.comparison.engine.counters.snapshot(),
      ...this.counters.snapshot(),
      ...this.comparison.fragmentCounts(),
      ...Object.fromEntries(sockets),
    };
  }

  private sockets(): FrameSocket[] {
    const all = [this.outdev, this.primaryIn, this.secondaryIn];
    return this.notifyDev === undefined ? all : [...all, this.notifyDev];
  }

  private reader(onFrame: FrameHandler, wordOptional = false): FrameReader {
    return new FrameReader(this.settings.vnetHeaders, onFrame, wordOptional);
  }

  private socket(
    name: string,
    endpoint: Endpoint,
    badCounter: number,
    on: { source?: FrameSource; end?: () => void; onOpen?: () => void; onClose: () => void; sendBytes?: number },
  ): FrameSocket {
    const socket = new FrameSocket(name, endpoint, this.log, {
      open: this.around.openSocket,
      ...(on.sendBytes === undefined ? {} : { sendBytes: on.sendBytes }),
    });
    socket.use({
      source: on.source,
      turn: {
        begin: () => {
          this.nowMs = this.clock();
        },
        end: on.end ?? (() => this.flush()),
      },
      onOpen: on.onOpen,
      onEnd: () => this.pairs.settle(),
      onClose: on.onClose,
      onBadFrame: () => {
        this.counters.values[badCounter]!++;
      },
    });
    return socket;
  }

  private turnDone(): void {
    this.comparison.endBatch(this.nowMs);
    this.flush();
    if (!this.draining) this.pairs.linger();
  }

  private flush(): void {
    const { stream } = this.outdev;
    stream.flush();
    if (stream.backlogBytes > BACKLOG_BYTES && !this.backlogged) {
      this.backlogged = true;
      this.counters.values[C_BACKLOGS]!++;
      this.pause();
    }
    this.asking.flush();
    if (this.mayLookAtTimes) this.deadline.arm(this.comparison.engine.nextDeadlineMs);
  }

  /** Not while the primary is stopped or not read: no guest is silent then. */
  private get mayLookAtTimes(): boolean {
    return !this.gate.isHeld && !this.backlogged && this.nowMs >= this.graceUntilMs;
  }

  private tick(): void {
    this.nowMs = this.clock();
    if (!this.gate.isHeld) {
      if (this.mayLookAtTimes) this.comparison.tick(this.nowMs);
      else this.comparison.engine.askDelayed(this.nowMs);
      this.asking.tick(this.settings.expiredScanCycleMs);
    }
    this.comparison.endBatch(this.nowMs);
    this.flush();
  }

  private readEmpty(): void {
    this.draining = true;
    this.pairs.drain(DRAIN_BYTES);
    this.draining = false;
  }

  private dropSecondary(): void {
    this.listen(false);
    this.secondaryIn.stream.drain(DRAIN_BYTES);
    this.listen(this.comparison.engine.isProtected);
  }

  private unprotect(): void {
    this.log.error(
      this.held(),
      'THE PRIMARY GOES ON ALONE: its held packets and all that follow leave uncompared, until COLO begins again',
    );
    this.nowMs = this.clock();
    this.node.unprotect();
    this.asking.settle();
    this.listen(false);
    this.flush();
  }

  private protect(): void {
    this.log.warn({}, 'COLO HAS BEGUN AGAIN: the primary is compared again');
    this.node.protect(true);
    this.listen(true);
  }

  /** Reads the secondary's frames, or discards them. */
  private listen(on: boolean): void {
    this.deaf = !on;
    this.pairs.together = on;
  }

  /** The primary is read while it runs and outdev has no backlog; the secondary while the primary runs. */
  private pause(): void {
    const { isHeld } = this.gate;
    this.primaryIn.stream.pause(isHeld || this.backlogged);
    this.secondaryIn.stream.pause(isHeld);
  }

  private requestCheckpoint(cause: CheckpointCause): void {
    this.asking.want();
    // The present checkpoint covers it; if that is aborted, the gate asks again.
    if (this.draining) return;
    const { engine } = this.comparison;
    const why = isSilence(cause)
      ? { waitedMs: engine.waitedMs }
      : DIFFERENCES.has(cause)
        ? this.comparison.describeDifference()
        : {};
    this.log.info({ cause, ...why }, 'asking for a checkpoint');
    if (!this.asking.ask()) {
      this.log.error(
        this.held(),
        'NOBODY CAN BE ASKED: the primary is held until a controller on notify_dev or qmp makes a checkpoint',
      );
    }
    this.onRequest(cause);
  }

  private backlogGone(): void {
    if (!this.backlogged) return;
    this.backlogged = false;
    this.graceUntilMs = this.clock() + BACKLOG_GRACE_MS;
    this.pause();
  }

  private outdevGone(): void {
    const counted = this.counters.values;
    const lost = counted[C_WRITTEN_BYTES]! - this.outdev.stream.counters.bytesOut - this.lostBytes;
    this.lostBytes += lost;
    counted[C_LOST_BYTES] = this.lostBytes;
    if (lost > 0) this.log.warn({ bytes: lost }, 'bytes on their way to outdev are lost');
    this.backlogGone();
  }

  private primaryGone(): void {
    this.log.error(this.held(), 'the primary is gone: its held packets are dropped');
    this.comparison.forgetPrimary(this.clock());
    this.gate.begunAnew();
    this.asking.settle();
  }

  private held(): { held: number } {
    return { held: this.comparison.engine.heldPackets };
  }
}
