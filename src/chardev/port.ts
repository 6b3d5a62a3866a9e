// The two ends of a netdev: the guest's and the host's. Each is a socket with the framing of QEMU's `-netdev socket`
// and `-netdev stream`, a tap, or nothing. A full or absent port drops and counts, as a network card does.

import type { Log } from '../core/log';
import { watchPlace } from '../io/port-notices';
import { type Chardev, type Endpoint, formatEndpoint } from '../io/stream/chardev';
import { Tap } from '../io/tap';
import type { Batch } from './batch';
import { type FrameHandler, FrameReader, MAX_FRAME_BYTES, MAX_VNET_BYTES } from './frame';
import { FrameOutput } from './frame-output';
import { FrameSocket, type StreamFactory } from './frame-socket';
import { bytesWithHeader, copyWithHeader } from './vnet-header';

export type PortSpec = { kind: 'none' } | { kind: 'tap'; name: string } | { kind: 'socket'; endpoint: Endpoint };

export interface Port {
  open(): Promise<void>;
  send: FrameHandler;
  /** While paused it is not read. */
  pause(paused: boolean): void;
  /** Reads all that has arrived, paused or not. */
  drain(): void;
  /** `onPlace`: frames now reach a network that they did not reach before. Throws OperatorError. */
  watchPlace(onPlace: () => void): { close(): void };
  report(): Record<string, unknown>;
  close(): void;
}

/** More than a socket holds of a stopped guest. */
export const DRAIN_BYTES = 8 << 20;

export class SocketPort implements Port {
  private readonly output: FrameOutput;
  private readonly stream: Chardev;
  private framesIn = 0;
  private badFrames = 0;
  /** Frames with nothing behind the virtio-net header. */
  private runts = 0;
  private onPlace: (() => void) | undefined;

  /** `vnetBytes`: size of the virtio-net header of every frame on this port, 0 for none. */
  constructor(
    name: string,
    private readonly endpoint: Endpoint,
    vnetBytes: number,
    onFrame: FrameHandler,
    batch: Batch,
    log: Log,
    open: StreamFactory,
  ) {
    const source = new FrameReader(false, (buf, off, len) => {
      this.framesIn++;
      if (len <= vnetBytes) this.runts++;
      else onFrame(buf, off, len, vnetBytes);
    });
    const socket = new FrameSocket(name, endpoint, log, { kind: 'port', open });
    socket.use({
      source,
      turn: batch,
      onOpen: () => this.onPlace?.(),
      onBadFrame: () => {
        this.badFrames++;
      },
    });
    this.stream = socket.stream;
    this.output = new FrameOutput(this.stream, { vnetWord: false, vnetBytes }, batch.flushes);
  }

  open(): Promise<void> {
    return this.stream.open();
  }

  send(buf: Buffer, off: number, len: number, vnetBytes: number): void {
    this.output.send(buf, off, len, vnetBytes);
  }

  pause(paused: boolean): void {
    this.stream.pause(paused);
  }

  drain(): void {
    this.stream.drain(DRAIN_BYTES);
  }

  watchPlace(onPlace: () => void): { close(): void } {
    this.onPlace = onPlace;
    return {
      close: () => {
        this.onPlace = undefined;
      },
    };
  }

  report(): Record<string, unknown> {
    return {
      kind: 'socket',
      endpoint: formatEndpoint(this.endpoint),
      connected: this.stream.connected,
      framesIn: this.framesIn,
      badFrames: this.badFrames,
      runts: this.runts,
      framesOut: this.output.counters.frames,
      droppedGone: this.output.counters.droppedGone,
      droppedFull: this.output.counters.droppedFull,
      droppedOffload: this.output.counters.droppedOffload,
    };
  }

  close(): void {
    this.stream.close();
  }
}

/**
 * A tap: leads to the machine's own network stack, or a bridge. A deleted device ends the port; it is not made again.
 */
export class TapPort implements Port {
  private tap: Tap | undefined;
  private droppedOffload = 0;
  private droppedGone = 0;
  /** Buffer for frames whose virtio-net header has another size. */
  private readonly scratch = Buffer.allocUnsafeSlow(MAX_FRAME_BYTES + MAX_VNET_BYTES);

  constructor(
    private readonly name: string,
    private readonly vnetBytes: 0 | 10 | 12,
    private readonly onFrame: FrameHandler,
    private readonly batch: Batch,
    private readonly log: Log,
  ) {}

  async open(): Promise<void> {
    const { vnetBytes, onFrame, batch } = this;
    const tap = new Tap(
      { name: this.name, vnetHeaderBytes: vnetBytes },
      {
        onFrames: (count) => {
          batch.begin();
          for (let i = 0; i < count; i++) onFrame(tap.arena, tap.offset(i), tap.bytes(i), vnetBytes);
          batch.end();
        },
        onClose: (error) => this.log.error({ tap: this.name, error: error.message }, 'the tap device is gone'),
      },
    );
    this.tap = tap;
  }

  send(buf: Buffer, off: number, len: number, vnetBytes: number): void {
    const { tap, scratch } = this;
    if (tap === undefined || tap.closed) {
      this.droppedGone++;
    } else if (vnetBytes === this.vnetBytes) {
      tap.write(buf, off, len);
    } else if (copyWithHeader(scratch, 0, this.vnetBytes, buf, off, len, vnetBytes)) {
      tap.write(scratch, 0, bytesWithHeader(len, vnetBytes, this.vnetBytes));
    } else {
      this.droppedOffload++;
    }
  }

  pause(paused: boolean): void {
    this.tap?.pause(paused);
  }

  drain(): void {
    this.tap?.drain();
  }

  watchPlace(onPlace: () => void): { close(): void } {
    return watchPlace(this.name, onPlace);
  }

  report(): Record<string, unknown> {
    const { droppedGone, droppedOffload } = this;
    const connected = this.tap !== undefined && !this.tap.closed;
    return { kind: 'tap', name: this.name, connected, ...this.tap?.counters, droppedGone, droppedOffload };
  }

  close(): void {
    this.tap?.close();
  }
}

/** No port: for filters that stand between sockets of their own only. */
export class NoPort implements Port {
  private dropped = 0;

  async open(): Promise<void> {}

  send(): void {
    this.dropped++;
  }

  pause(): void {}

  drain(): void {}

  watchPlace(): { close(): void } {
    return { close: () => {} };
  }

  report(): Record<string, unknown> {
    return { kind: 'none', dropped: this.dropped };
  }

  close(): void {}
}
