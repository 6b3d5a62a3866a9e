// Frames into a socket: the send side of a port and of a filter's outdev. A frame that does not fit into the backlog is
// dropped and counted, never waited for: the sender of a frame goes on at once.

import type { Chardev } from '../io/stream/chardev';
import { writeFrameHead } from './frame';
import { bytesWithHeader, copyWithHeader } from './vnet-header';

/** The part of a Chardev that is needed here. */
export type SendBuffer = Pick<Chardev, 'connected' | 'out' | 'reserve' | 'commit' | 'flush'>;

export interface OutputFormat {
  /** vnet_hdr_support: the size of the virtio-net header goes before every frame. */
  vnetWord: boolean;
  /** Size of the header that every frame gets; without it each keeps its own, whose size only the vnetWord gives. */
  vnetBytes?: number;
}

/** Sends at the end of a batch, each output at most once. */
export class FlushList {
  private readonly waiting: FrameOutput[] = [];

  add(output: FrameOutput): void {
    this.waiting.push(output);
  }

  flush(): void {
    // A failed send closes its socket, whose events may add further outputs: those are flushed too.
    for (let output = this.waiting.pop(); output !== undefined; output = this.waiting.pop()) output.flush();
  }
}

export interface OutputCounters {
  frames: number;
  /** Frames dropped because no peer was connected. */
  droppedGone: number;
  /** Frames dropped because the peer reads more slowly than frames come. */
  droppedFull: number;
  /** Frames dropped because they are to be segmented, and the output has no virtio-net header to say so. */
  droppedOffload: number;
}

export class FrameOutput {
  readonly counters: OutputCounters = { frames: 0, droppedGone: 0, droppedFull: 0, droppedOffload: 0 };
  private queued = false;
  private readonly headBytes: number;
  private readonly vnetWord: boolean;
  /** -1: each frame's own. */
  private readonly vnetBytes: number;

  constructor(
    private readonly stream: SendBuffer,
    format: OutputFormat,
    private readonly flushes: FlushList,
  ) {
    this.vnetWord = format.vnetWord;
    this.vnetBytes = format.vnetBytes ?? -1;
    this.headBytes = format.vnetWord ? 8 : 4;
  }

  get connected(): boolean {
    return this.stream.connected;
  }

  /** False: the frame was dropped, and counted here. */
  send(buf: Buffer, off: number, len: number, vnetBytes: number): boolean {
    const { stream, headBytes, counters } = this;
    if (!stream.connected) {
      counters.droppedGone++;
      return false;
    }
    const wanted = this.vnetBytes < 0 ? vnetBytes : this.vnetBytes;
    const bytes = bytesWithHeader(len, vnetBytes, wanted);
    const at = stream.reserve(headBytes + bytes);
    if (at < 0) {
      counters.droppedFull++;
      return false;
    }
    const body = writeFrameHead(stream.out, at, bytes, this.vnetWord, wanted);
    if (!copyWithHeader(stream.out, body, wanted, buf, off, len, vnetBytes)) {
      // Reserved bytes that are not committed are free again.
      counters.droppedOffload++;
      return false;
    }
    stream.commit(headBytes + bytes);
    counters.frames++;
    if (!this.queued) {
      this.queued = true;
      this.flushes.add(this);
    }
    return true;
  }

  /** Called by the flush list. */
  flush(): void {
    this.queued = false;
    this.stream.flush();
  }
}
