// A character device that brings frames: log lines as its peers come and go, and the end of a connection whose stream makes no sense.

import type { Log } from '../core/log';
import { Chardev, type ChardevOptions, type Endpoint, formatEndpoint } from '../io/stream/chardev';
import { BAD_FRAME, type FrameSource } from './frame';

export interface FrameSocketEvents {
  /** Before and after the frames of one read. */
  begin(): void;
  end(): void;
  onOpen(): void;
  /** As ChardevEvents has it. */
  onEnd(): void;
  /** The peer is gone; `why` was logged. */
  onClose(): void;
  /** A length that cannot be; the connection ends for it. */
  onBadFrame(): void;
}

export class FrameSocket {
  readonly stream: Chardev;
  /** One line for all attempts until somebody is there. */
  private saidUnreachable = false;

  constructor(
    /** QEMU's name of it: `primary_in` */
    readonly name: string,
    readonly endpoint: Endpoint,
    /** Without one, what the peer says is thrown away. */
    private readonly reader: FrameSource | undefined,
    private readonly events: FrameSocketEvents,
    private readonly log: Log,
    options: ChardevOptions = {},
  ) {
    const where = { device: name, endpoint: formatEndpoint(endpoint) };
    this.stream = new Chardev(
      endpoint,
      {
        onOpen: () => {
          this.saidUnreachable = false;
          log.info(where, 'connected');
          events.onOpen();
        },
        onData: (buf, from, to) => this.read(buf, from, to),
        onEnd: () => events.onEnd(),
        onClose: (why) => {
          const forGood = !endpoint.server && endpoint.reconnectMs === 0;
          log.warn(
            { ...where, why },
            forGood ? 'disconnected for good: the endpoint has no reconnect' : 'disconnected',
          );
          events.onClose();
        },
        onUnreachable: (why) => {
          if (this.saidUnreachable) return;
          this.saidUnreachable = true;
          log.warn({ device: name, why }, 'not reached, trying again');
        },
      },
      options,
    );
  }

  private read(buf: Buffer, from: number, to: number): number {
    const { events, reader } = this;
    if (reader === undefined) return to - from;
    events.begin();
    const taken = reader.read(buf, from, to);
    events.end();
    if (taken !== BAD_FRAME) return taken;
    events.onBadFrame();
    this.log.error({ device: this.name, why: reader.fault }, 'the stream makes no sense: the connection is closed');
    this.stream.disconnect(reader.fault);
    return to - from;
  }
}
