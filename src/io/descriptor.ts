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
  private wantsWritable = false;

  /** Takes over `fd`. `onReadable` and `onWritable` come from the event loop. */
  constructor(
    readonly fd: number,
    onReadable: () => void,
    onWritable?: () => void,
  ) {
    const handle = this.native.pollStart(fd, (events) => {
      if (events & WRITABLE && this.handle !== undefined) onWritable?.();
      if (events & READABLE && this.handle !== undefined) onReadable();
    });
    if (typeof handle === 'number') {
      this.native.closeDescriptor(fd);
      throw systemError(handle, `watching descriptor ${fd}`);
    }
    this.handle = handle;
  }

  get closed(): boolean {
    return this.handle === undefined;
  }

  /** Asks for onWritable, or no longer. */
  watchWritable(wanted: boolean): void {
    if (this.handle === undefined || wanted === this.wantsWritable) return;
    this.wantsWritable = wanted;
    this.native.pollEvents(this.handle, wanted ? READABLE | WRITABLE : READABLE);
  }

  /** Whether it keeps the process alive; it does at first. */
  reference(keep: boolean): void {
    if (this.handle !== undefined) this.native.pollReference(this.handle, keep ? 1 : 0);
  }

  /** Idempotent. */
  close(): void {
    if (this.handle === undefined) return;
    const handle = this.handle;
    this.handle = undefined;
    this.native.pollClose(handle);
  }
}
