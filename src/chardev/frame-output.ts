// Frames into a socket: the send side of a port and of a filter's outdev. What does not fit into the backlog is dropped
// and counted, never waited for: whoever hands a frame over goes on at once.

import type { Chardev } from '../io/stream/chardev';
import { writeFrameHead } from './frame';
import { bytesWithHeader, copyWithHeader } from './vnet-header';

/** What of a Chardev is needed here. */
export type SendBuffer = Pick<Chardev, 'connected' | 'out' | 'reserve' | 'commit' | 'flush'>;

export interface OutputFormat {
  /** vnet_hdr_support: the size of the virtio-net header goes before every frame. */
  vnetWord: boolean;
  /** Size of the header that every frame gets; without it each keeps its own, which only a vnetWord can tell. */
  vnetBytes?: number;
}

/** Sends at the end of a batch, each output at most once. */
export class FlushList {
  private readonly waiting: FrameOutput[] = [];

  add(output: FrameOutput): void {
    this.waiting.push(output);
  }

  flush(): void {
    // A send that fails closes its socket, whose events may bring in further outputs: those are taken too.
    for (let output = this.waiting.pop(); output !== undefined; output = this.waiting.pop()) output.flush();
  }
}

export interface OutputCounters {
  frames: number;
  /** Nobody at the other end. */
  droppedGone: number;
  /** The other end does not read as fast as frames come. */
  droppedFull: number;
  /** To be segmented by hardware, to a place that takes no virtio-net header. */
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
      // What was reserved and is not committed is free again.
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
