// notify_dev: the protocol between a comparison and the controller of its pair (libxl, or any other). Frames of text
// without a NUL. Received ones may have the second length word with vnet_hdr_support, or not (no text looks like one);
// sent ones never do.
//
//   controller -> compare   COLO_USERSPACE_PROXY_INIT    hello
//   compare -> controller   COLO_COMPARE_GET_XEN_INIT    the answer; libxl waits 500 ms for it
//   compare -> controller   DO_CHECKPOINT                the guests differ, one of them is silent, or a bound is exhausted
//   controller -> compare   COLO_CHECKPOINT              both guests are stopped and equal; no answer
//
// A new controller gets no request before its hello is answered: libxl would take a request for the answer, and give
// up. One that sends no hello gets requests after HELLO_MS.
//
// Length and text are sent in one piece: a client that times out between the two would lose its place in the stream.

import { type FrameSink, writeFrame } from '../../chardev/frame';

export const PROXY_INIT = 'COLO_USERSPACE_PROXY_INIT';
export const PROXY_INIT_REPLY = 'COLO_COMPARE_GET_XEN_INIT';
export const DO_CHECKPOINT = 'DO_CHECKPOINT';
export const CHECKPOINT = 'COLO_CHECKPOINT';

const INIT_REPLY_BYTES = Buffer.from(PROXY_INIT_REPLY, 'latin1');
const DO_CHECKPOINT_BYTES = Buffer.from(DO_CHECKPOINT, 'latin1');
/** Bytes of an unknown text shown in the log. */
const SHOWN_BYTES = 64;

/** libxl sends its hello as soon as it is connected, and waits this long for the answer. */
export const HELLO_MS = 500;

export interface NotifyEvents {
  /** A controller has said hello, and was answered. */
  onInit(): void;
  onCheckpoint(): void;
  /** An unknown text; it is ignored. */
  onUnknown(text: string): void;
}

export class NotifyProtocol {
  /** A hello is awaited until then. */
  private quietUntilMs = Number.NEGATIVE_INFINITY;
  private owed = false;

  constructor(
    private readonly sink: FrameSink,
    private readonly events: NotifyEvents,
  ) {}

  /** A controller has connected. */
  opened(nowMs: number): void {
    this.quietUntilMs = nowMs + HELLO_MS;
    this.owed = false;
  }

  closed(): void {
    this.quietUntilMs = Number.NEGATIVE_INFINITY;
    this.owed = false;
  }

  /** Requests a checkpoint, for the first time or again, now or when `owes` is true. False: there is no controller. */
  ask(nowMs: number): boolean {
    this.owed = nowMs < this.quietUntilMs;
    return this.owed || this.send(DO_CHECKPOINT_BYTES);
  }

  /** A request is due, and no hello is awaited any more. */
  owes(nowMs: number): boolean {
    return this.owed && nowMs >= this.quietUntilMs;
  }

  /** A frame of the controller, without its virtio-net header. */
  frame(buf: Buffer, off: number, len: number): void {
    const text = buf.toString('latin1', off, off + Math.min(len, SHOWN_BYTES));
    if (len === CHECKPOINT.length && text === CHECKPOINT) {
      this.owed = false;
      this.events.onCheckpoint();
    } else if (len === PROXY_INIT.length && text === PROXY_INIT) {
      this.send(INIT_REPLY_BYTES);
      this.quietUntilMs = Number.NEGATIVE_INFINITY;
      this.events.onInit();
    } else {
      this.events.onUnknown(text);
    }
  }

  private send(text: Buffer): boolean {
    return writeFrame(this.sink, false, 0, text, 0, text.length) >= 0;
  }
}
