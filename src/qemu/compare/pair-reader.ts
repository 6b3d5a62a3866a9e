// Reads both guests' sockets together, in turns, while both have frames to compare. Frames without a counterpart go to
// the comparison alone: few of them at once, many only after their counterparts have not come for a moment. That delays
// next to nothing, as hardly any packet may leave without its counterpart.

import { BAD_FRAME, type FrameReader, type FrameSource } from '../../chardev/frame';
import type { Chardev } from '../../io/stream/chardev';
import type { Lockstep } from './lockstep';
import type { Surroundings } from './surroundings';

/** Reads in one turn of the event loop, so that two talkers cannot starve the rest. */
const READS_PER_TURN = 16;

/** From this many bytes on, frames without a counterpart are many. */
const DEFERRED_BYTES = 8192;
const DEFERRED_MS = 1;
/** Deferred frames must leave room in the receive buffer. */
const MOST_DEFERRED_BYTES = 1 << 19;

/**
 * Time to look for the next packet before sleeping, as in QEMU's own I/O threads (poll-max-ns): waking up costs about
 * as much.
 */
const LINGER_US = 32;
/** A packet within this time was worth waiting for. */
const LIVELY_MS = 0.064;

/**
 * After this time without a look at the sockets, the process may have slept through a checkpoint, so QMP is read first.
 * Less than a checkpoint takes (LATE_MS), and more than the time between packets in a row.
 */
const ASLEEP_MS = 5;

interface Side {
  /** Reads frames without a counterpart. */
  readonly reader: FrameReader;
  stream: Chardev | undefined;
}

export class PairReader {
  private readonly primary: Side;
  private readonly secondary: Side;
  /** Off: frames of either socket go to the comparison alone, and at once. */
  together = true;
  /** Within a call: frames that the other side's socket hands over now go to the comparison alone. */
  private busy = false;
  /** A look at deferred frames is scheduled. */
  private due = false;
  /** False: frames without a counterpart wait no longer. */
  private patient = true;
  private progress = 0;
  private lively = false;
  /** After a long sleep: frames are read after all other input. */
  private waking = false;
  private endedAtMs = 0;

  constructor(
    private readonly lockstep: Lockstep,
    /** These hand single frames to the comparison. */
    readers: { primary: FrameReader; secondary: FrameReader },
    private readonly nowMs: () => number,
    /** Do released frames wait for the output? Further ones would have to be copied. */
    private readonly isClogged: () => boolean,
    private readonly around: Pick<Surroundings, 'clock' | 'preciseMs' | 'soon'>,
  ) {
    this.primary = { reader: readers.primary, stream: undefined };
    this.secondary = { reader: readers.secondary, stream: undefined };
  }

  /** Sources for the sockets of both sides, which connect() then names. */
  readonly primarySource: FrameSource = this.source(true);
  readonly secondarySource: FrameSource = this.source(false);

  connect(primary: Chardev, secondary: Chardev): void {
    this.primary.stream = primary;
    this.secondary.stream = secondary;
  }

  private source(isPrimary: boolean): FrameSource {
    const side = (): Side => (isPrimary ? this.primary : this.secondary);
    return {
      read: (buf, from, to) => this.read(isPrimary, buf, from, to),
      get fault() {
        return side().reader.fault;
      },
    };
  }

  /**
   * Takes frames of buf[from, to), one side's unread bytes, and perhaps of further reads. Returns the bytes taken, or
   * BAD_FRAME.
   */
  private read(isPrimary: boolean, buf: Buffer, from: number, to: number): number {
    const { lockstep } = this;
    const own = isPrimary ? this.primary : this.secondary;
    const other = isPrimary ? this.secondary : this.primary;
    if (this.busy || !this.together || own.stream === undefined || other.stream === undefined) {
      return own.reader.read(buf, from, to);
    }
    const sinceMs = this.around.preciseMs() - this.endedAtMs;
    if ((this.waking || sinceMs > ASLEEP_MS) && this.patient) {
      if (!this.waking) this.around.soon(() => this.wakened());
      this.waking = true;
      return 0;
    }
    this.busy = true;
    if (sinceMs < LIVELY_MS) this.lively = true;
    const { stream } = other;
    const nowMs = this.nowMs();
    let at = from;
    let more = stream.unreadFrom < stream.unreadTo || stream.fill();
    for (
      let reads = 0;
      more && reads < READS_PER_TURN && !(this.isClogged() && to - at < MOST_DEFERRED_BYTES);
      reads++
    ) {
      if (isPrimary) {
        lockstep.run(buf, at, to, stream.unread, stream.unreadFrom, stream.unreadTo, nowMs);
        at += lockstep.primaryTaken;
        stream.consume(lockstep.secondaryTaken);
      } else {
        lockstep.run(stream.unread, stream.unreadFrom, stream.unreadTo, buf, at, to, nowMs);
        at += lockstep.secondaryTaken;
        stream.consume(lockstep.primaryTaken);
      }
      // At most one side has whole frames left: the other is read further.
      if (own.reader.hasFrame(buf, at, to)) {
        more = stream.fill();
      } else {
        more = own.stream.fill();
        to = own.stream.unreadTo;
      }
    }
    this.progress += at - from;
    let taken = at - from;
    if (!this.putOff(to - at)) {
      const rest = own.reader.read(buf, at, to);
      taken = rest === BAD_FRAME ? BAD_FRAME : taken + rest;
    }
    if (!this.putOff(unreadBytes(stream))) stream.deliverUnread();
    this.busy = false;
    return taken;
  }

  /**
   * After a turn, when its output is sent: while packets follow each other closely, waits a moment for the next without
   * sleeping.
   */
  linger(): void {
    if (this.busy) return;
    if (this.lively) this.lively = this.primary.stream!.spin(this.secondary.stream!, LINGER_US);
    this.endedAtMs = this.around.preciseMs();
  }

  private wakened(): void {
    this.waking = false;
    this.endedAtMs = this.around.preciseMs();
    this.secondary.stream?.deliverUnread();
    this.primary.stream?.deliverUnread();
  }

  /** The output has room again. */
  resume(): void {
    this.primary.stream?.deliverUnread();
  }

  /** Gives all read frames to the comparison now. Not from within read(). */
  settle(): void {
    this.patient = false;
    this.secondary.stream?.deliverUnread();
    this.primary.stream?.deliverUnread();
    this.patient = true;
  }

  /** The same with everything in the sockets, paused or not, up to `bytes` of each. Not from within read(). */
  drain(bytes: number): void {
    this.patient = false;
    this.primary.stream?.drain(bytes);
    this.secondary.stream?.drain(bytes);
    this.patient = true;
  }

  /** Should this many unread bytes wait for a moment? */
  private putOff(bytes: number): boolean {
    if (!this.patient || bytes < DEFERRED_BYTES || bytes > MOST_DEFERRED_BYTES) return false;
    if (!this.due) {
      this.due = true;
      const { progress } = this;
      // Timers run before input is read: after a sleep QMP has to be read first.
      this.around.clock.after(DEFERRED_MS, () => this.around.soon(() => this.late(progress)));
    }
    return true;
  }

  private late(progress: number): void {
    this.due = false;
    if (this.progress === progress) {
      this.settle();
      return;
    }
    const waiting = Math.max(unreadBytes(this.primary.stream!), unreadBytes(this.secondary.stream!));
    if (!this.putOff(waiting)) this.settle();
  }
}

function unreadBytes(stream: Chardev): number {
  return stream.unreadTo - stream.unreadFrom;
}
