// A character device as the byte stream of a protocol that does no I/O.

import type { ByteStream, ByteStreamEvents, ConnectStream } from '../../core/byte-stream';
import { Chardev, type ChardevOptions } from './chardev';
import { type Endpoint, formatEndpoint } from './endpoint';

/** As `Chardev`: a server takes the next peer when one has gone, a client with `reconnect` dials again. */
export function byteStream(endpoint: Endpoint, options: ChardevOptions = {}): ConnectStream {
  return (events) => new ChardevStream(endpoint, events, options);
}

class ChardevStream implements ByteStream {
  readonly name: string;
  private readonly device: Chardev;

  constructor(endpoint: Endpoint, events: ByteStreamEvents, options: ChardevOptions) {
    this.name = formatEndpoint(endpoint);
    this.device = new Chardev(endpoint, events, options);
  }

  open(): Promise<void> {
    return this.device.open();
  }

  send(text: string): boolean {
    const bytes = Buffer.byteLength(text);
    const at = bytes > this.device.out.length ? -1 : this.device.reserve(bytes);
    if (at < 0) return false;
    this.device.out.write(text, at);
    this.device.commit(bytes);
    this.device.flush();
    return true;
  }

  disconnect(why: string): void {
    this.device.disconnect(why);
  }

  close(): void {
    this.device.close();
  }
}
