// A character device by its id, as filters name it: one socket, used by one filter.

import { OperatorError } from '../core/errors';
import type { Log } from '../core/log';
import { type Chardev, type Endpoint, formatEndpoint } from '../io/stream/chardev';
import { FrameSocket, type FrameUser, type StreamFactory } from './frame-socket';

export class Device {
  private readonly socket: FrameSocket;
  private user: string | undefined;

  constructor(
    readonly id: string,
    readonly endpoint: Endpoint,
    log: Log,
    open: StreamFactory,
  ) {
    this.socket = new FrameSocket(id, endpoint, log, { open });
  }

  get stream(): Chardev {
    return this.socket.stream;
  }

  /** Takes the device for one use; `frames` gets what arrives. Throws OperatorError when it is in use. */
  claim(user: string, frames?: FrameUser): Chardev {
    if (this.user !== undefined) {
      throw new OperatorError('EDEVICE', `Device '${this.id}' is in use`, `by ${this.user}: give each its own device`);
    }
    this.user = user;
    if (frames !== undefined) this.socket.use(frames);
    return this.stream;
  }

  report(): Record<string, unknown> {
    const { stream } = this;
    return {
      id: this.id,
      endpoint: formatEndpoint(this.endpoint),
      user: this.user ?? null,
      connected: stream.connected,
      backlogBytes: stream.backlogBytes,
      discardedBytes: this.socket.discardedBytes,
      ...stream.counters,
    };
  }
}
