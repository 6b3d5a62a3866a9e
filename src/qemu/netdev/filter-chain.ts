// The filters of a netdev, in QEMU's order. Every frame is walked through them in place; nothing is allocated for it.
//
//      host port --tx--> head  [f0] [f1] [f2]  tail --tx--> guest port
//      host port <--rx-- head  [f0] [f1] [f2]  tail <--rx-- guest port
//
// A filter that injects a frame (a redirector's indev) injects it behind itself in its own direction: on tx between
// itself and the tail, on rx between itself and the head, and with queue=all both.

import { type FrameHandler, MAX_FRAME_BYTES } from '../../chardev/frame';
import { OperatorError } from '../../core/errors';

/** The names are QEMU's, from the netdev's point of view. */
export const Direction = {
  /** Host to guest. */
  Tx: 0,
  /** Guest to host. */
  Rx: 1,
} as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

export type Queue = 'tx' | 'rx' | 'all';

export const Verdict = {
  /** The frame goes on to the next filter. */
  Pass: 0,
  /** The filter has taken or dropped it. */
  Consumed: 1,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export interface Filter {
  readonly id: string;
  /** `mirror`, `redirector`, `rewriter` */
  readonly type: string;
  readonly queue: Queue;
  /** True: needed after a failover; all others are switched off then. */
  readonly staysOn?: true;
  /**
   * A frame is buf[off, off + len), of which the first vnetBytes (often 0) are a virtio-net header. A filter may change
   * it in place but not its length; the bytes are the filter's during the call only.
   */
  frame(direction: Direction, buf: Buffer, off: number, len: number, vnetBytes: number): Verdict;
  /** State and counters for a status reply. */
  report(): Record<string, unknown>;
}

/** QEMU's `position` and `insert`. */
export interface Place {
  position: 'head' | 'tail' | { id: string };
  insert: 'before' | 'behind';
}

export const AT_TAIL: Place = { position: 'tail', insert: 'behind' };

interface Entry {
  readonly filter: Filter;
  readonly tx: boolean;
  readonly rx: boolean;
  on: boolean;
}

export class FilterChain {
  /** Head first. */
  private readonly entries: Entry[] = [];
  private readonly copy = Buffer.allocUnsafeSlow(MAX_FRAME_BYTES);

  /** Output of frames that have passed every filter. */
  constructor(
    private readonly toGuest: FrameHandler,
    private readonly toHost: FrameHandler,
  ) {}

  /** Throws OperatorError, in QEMU's words. */
  add(filter: Filter, place: Place = AT_TAIL, on = true): void {
    if (this.entries.some((e) => e.filter.id === filter.id)) {
      throw new OperatorError(
        'EFILTER',
        `Duplicate ID '${filter.id}' for object`,
        'give every filter an id of its own',
      );
    }
    const at = this.indexFor(place);
    this.entries.splice(at, 0, { filter, tx: filter.queue !== 'rx', rx: filter.queue !== 'tx', on });
  }

  /** Throws OperatorError when there is no such filter. */
  remove(id: string): Filter {
    const at = this.indexOf(id);
    return this.entries.splice(at, 1)[0]!.filter;
  }

  /** status=off: frames skip the filter; what it injects is still injected. Throws OperatorError. */
  setStatus(id: string, on: boolean): void {
    this.entries[this.indexOf(id)]!.on = on;
  }

  isOn(id: string): boolean {
    return this.entries[this.indexOf(id)]!.on;
  }

  /** Head first. */
  list(): readonly Filter[] {
    return this.entries.map((e) => e.filter);
  }

  /** tx: from the head on. */
  fromHost(buf: Buffer, off: number, len: number, vnetBytes: number): void {
    this.walkTx(0, buf, off, len, vnetBytes);
  }

  /** rx: from the tail on. */
  fromGuest(buf: Buffer, off: number, len: number, vnetBytes: number): void {
    this.walkRx(this.entries.length - 1, buf, off, len, vnetBytes);
  }

  /** A frame that `filter` injects. */
  inject(filter: Filter, buf: Buffer, off: number, len: number, vnetBytes: number): void {
    const at = this.place(filter);
    if (at < 0) return;
    const { tx, rx } = this.entries[at]!;
    if (tx && rx) {
      // Filters of one direction may change the frame; those of the other must not see the changes.
      buf.copy(this.copy, 0, off, off + len);
      this.walkTx(at + 1, buf, off, len, vnetBytes);
      this.walkRx(at - 1, this.copy, 0, len, vnetBytes);
    } else if (tx) {
      this.walkTx(at + 1, buf, off, len, vnetBytes);
    } else {
      this.walkRx(at - 1, buf, off, len, vnetBytes);
    }
  }

  private walkTx(first: number, buf: Buffer, off: number, len: number, vnetBytes: number): void {
    const { entries } = this;
    for (let i = first; i < entries.length; i++) {
      const e = entries[i]!;
      if (e.on && e.tx && e.filter.frame(Direction.Tx, buf, off, len, vnetBytes) === Verdict.Consumed) return;
    }
    this.toGuest(buf, off, len, vnetBytes);
  }

  private walkRx(first: number, buf: Buffer, off: number, len: number, vnetBytes: number): void {
    const { entries } = this;
    for (let i = first; i >= 0; i--) {
      const e = entries[i]!;
      if (e.on && e.rx && e.filter.frame(Direction.Rx, buf, off, len, vnetBytes) === Verdict.Consumed) return;
    }
    this.toHost(buf, off, len, vnetBytes);
  }

  private place(filter: Filter): number {
    for (let i = 0; i < this.entries.length; i++) if (this.entries[i]!.filter === filter) return i;
    return -1;
  }

  private indexFor({ position, insert }: Place): number {
    if (position === 'head') return 0;
    if (position === 'tail') return this.entries.length;
    return this.indexOf(position.id) + (insert === 'before' ? 0 : 1);
  }

  private indexOf(id: string): number {
    const at = this.entries.findIndex((e) => e.filter.id === id);
    if (at < 0) throw new OperatorError('EFILTER', `filter '${id}' not found`);
    return at;
  }
}
