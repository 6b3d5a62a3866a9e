// A character device by its id, as filters name it: one socket, used by one filter.

import { OperatorError } from '../core/errors';
import type { Log } from '../core/log';
import { Chardev, type ChardevEvents, type ChardevOptions, type Endpoint, formatEndpoint } from '../io/stream/chardev';

export type StreamFactory = (endpoint: Endpoint, events: ChardevEvents, options?: ChardevOptions) => Chardev;

export const openChardev: StreamFactory = (endpoint, events, options) => new Chardev(endpoint, events, options);

export class Device {
  readonly stream: Chardev;
  /** Bytes that a peer sent to a device that nobody reads from. */
  discardedBytes = 0;
  private user: string | undefined;
  /** One line for all attempts until somebody is there. */
  private saidUnreachable = false;
  private reader: ChardevEvents | undefined;

  constructor(
    readonly id: string,
    readonly endpoint: Endpoint,
    private readonly log: Log,
    open: StreamFactory = openChardev,
  ) {
    this.stream = open(endpoint, {
      onOpen: () => {
        this.saidUnreachable = false;
        this.log.info({ device: id, endpoint: formatEndpoint(endpoint) }, 'connected');
        this.reader?.onOpen();
      },
      onData: (buf, from, to) => {
        if (this.reader !== undefined) return this.reader.onData(buf, from, to);
        this.discardedBytes += to - from;
        return to - from;
      },
      onUnreachable: (why) => {
        if (this.saidUnreachable) return;
        this.saidUnreachable = true;
        this.log.warn({ device: id, why }, 'nobody there yet, trying again');
      },
      onClose: (why) => {
        this.log.warn({ device: id, endpoint: formatEndpoint(endpoint), why }, 'disconnected');
        this.reader?.onClose(why);
      },
    });
  }

  /** Takes the device for one use; a reader gets what arrives. Throws OperatorError when it is in use. */
  claim(user: string, reader?: ChardevEvents): Chardev {
    if (this.user !== undefined) {
      throw new OperatorError('EDEVICE', `Device '${this.id}' is in use`, `by ${this.user}: give each its own device`);
    }
    this.user = user;
    this.reader = reader;
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
      discardedBytes: this.discardedBytes,
      ...stream.counters,
    };
  }
}
