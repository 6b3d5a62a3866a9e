// Frames out of a socket: the receive side of a port and of a filter's indev. A length that cannot be ends the connection, with a
// log line and a counter; the next connection starts afresh. A peer that dies within a frame costs that frame only.

import type { Log } from '../core/log';
import type { ChardevEvents } from '../io/stream/chardev';
import type { Batch } from './batch';
import { BAD_FRAME, type FrameHandler, FrameReader } from './frame';

export class FrameInput implements ChardevEvents {
  readonly counters = { frames: 0, badFrames: 0 };
  /** Ends the connection; set by whoever owns the socket. */
  disconnect: (why: string) => void = () => {};
  private readonly reader: FrameReader;

  /** `name` is for log lines. */
  constructor(
    private readonly name: string,
    vnetWord: boolean,
    onFrame: FrameHandler,
    private readonly batch: Batch,
    private readonly log: Log,
  ) {
    const { counters } = this;
    this.reader = new FrameReader(vnetWord, (buf, off, len, vnetBytes) => {
      counters.frames++;
      onFrame(buf, off, len, vnetBytes);
    });
  }

  onOpen(): void {}

  onData(buf: Buffer, from: number, to: number): number {
    this.batch.begin();
    const taken = this.reader.read(buf, from, to);
    this.batch.end();
    if (taken !== BAD_FRAME) return taken;
    this.counters.badFrames++;
    const why = this.reader.fault;
    this.log.warn({ device: this.name, why }, 'no frame has such a length: the connection is closed');
    this.disconnect(why);
    return to - from;
  }

  onClose(): void {}
}
