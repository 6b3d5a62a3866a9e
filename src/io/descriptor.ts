// A descriptor under the event loop's watch, closed with it: what the message sockets of this folder have in common.

import { type Addon, addon, type Handle } from '../native/addon';
import { systemError } from '../native/errno';

const READABLE = 1; // UV_READABLE
const WRITABLE = 2; // UV_WRITABLE

/** Messages taken per turn of the event loop, so that one talker cannot starve the rest. */
export const MESSAGES_PER_TURN = 64;

export class Descriptor {
  readonly native: Addon = addon();
  private handle: Handle | undefined;
  private watched = READABLE;
  private timer: NodeJS.Timeout | undefined;
  private onReadable: () => void;
  private onWritable: (() => void) | undefined;

  /**
   * Takes over `fd`. `onReadable` and `onWritable` come from the event loop; at first it watches for readable only.
   * What goes wrong with a descriptor shows itself as readable, whatever is watched. `deadly`: a callback that throws
   * ends the process, as nobody knows which packets are settled then; otherwise it is an uncaught exception like any
   * other.
   */
  constructor(
    readonly fd: number,
    onReadable: () => void,
    onWritable?: () => void,
    deadly = false,
  ) {
    this.onReadable = onReadable;
    this.onWritable = onWritable;
    const onReady = (events: number) => {
      if (events & WRITABLE && this.handle !== undefined) this.onWritable?.();
      if (events & READABLE && this.handle !== undefined) this.onReadable();
    };
    const handle = this.native.pollStart(fd, onReady, deadly ? 1 : 0);
    if (typeof handle === 'number') {
      this.native.closeDescriptor(fd);
      throw systemError(handle, `watching descriptor ${fd}`);
    }
    this.handle = handle;
  }

  get closed(): boolean {
    return this.handle === undefined;
  }

  /** To another owner: events go to these handlers from now on. The watched events stay. */
  handOver(onReadable: () => void, onWritable?: () => void): void {
    this.onReadable = onReadable;
    this.onWritable = onWritable;
  }

  /** Asks for onWritable, or no longer. */
  watchWritable(wanted: boolean): void {
    this.watch(wanted ? this.watched | WRITABLE : this.watched & ~WRITABLE);
  }

  /** Asks for onReadable, or no longer; it does at first. */
  watchReadable(wanted: boolean): void {
    this.watch(wanted ? this.watched | READABLE : this.watched & ~READABLE);
  }

  /** Watches for readable no longer, for so many ms. A loop that reads has to look at `resting` itself. */
  rest(ms: number): void {
    if (this.timer !== undefined || this.handle === undefined) return;
    this.watchReadable(false);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.watchReadable(true);
    }, ms);
  }

  get resting(): boolean {
    return this.timer !== undefined;
  }

  /** Calls the task behind what has come meanwhile. */
  soon(task: () => void): void {
    setImmediate(task);
  }

  /** Whether it keeps the process alive; it does at first. */
  reference(keep: boolean): void {
    if (this.handle !== undefined) this.native.pollReference(this.handle, keep ? 1 : 0);
  }

  /** Idempotent. */
  close(): void {
    if (this.handle === undefined) return;
    const handle = this.handle;
    clearTimeout(this.timer);
    this.handle = undefined;
    this.native.pollClose(handle);
  }

  private watch(events: number): void {
    if (this.handle === undefined || events === this.watched) return;
    this.watched = events;
    this.native.pollEvents(this.handle, events);
  }
}
