// Stand-ins for sockets: what is sent into them can be read back, and they can be full or gone.

import type { SendBuffer } from '../../../src/chardev/frame-output';

export class FakeStream implements SendBuffer {
  connected = true;
  readonly out: Buffer;
  flushes = 0;
  private reserved = 0;
  private used = 0;
  private sentUpTo = 0;

  constructor(readonly bytes = 1 << 17) {
    this.out = Buffer.alloc(bytes, 0xa5);
  }

  reserve(bytes: number): number {
    if (!this.connected || this.used + bytes > this.bytes) return -1;
    this.reserved = bytes;
    return this.used;
  }

  commit(bytes: number): void {
    expect(bytes).toBeLessThanOrEqual(this.reserved);
    this.reserved = 0;
    this.used += bytes;
  }

  flush(): void {
    this.flushes++;
    this.sentUpTo = this.used;
  }

  /** All that was flushed, as frames; `headBytes` is 4 or 8. */
  frames(headBytes: 4 | 8 = 4): { vnet: number; data: Buffer }[] {
    const found: { vnet: number; data: Buffer }[] = [];
    for (let at = 0; at < this.sentUpTo; ) {
      const len = this.out.readUInt32BE(at);
      const vnet = headBytes === 8 ? this.out.readUInt32BE(at + 4) : 0;
      found.push({ vnet, data: Buffer.from(this.out.subarray(at + headBytes, at + headBytes + len)) });
      at += headBytes + len;
    }
    return found;
  }

  /** The same as texts. */
  texts(headBytes: 4 | 8 = 4): string[] {
    return this.frames(headBytes).map(({ data }) => data.toString());
  }

  /** The other end has read everything. */
  drain(): void {
    this.used = 0;
    this.sentUpTo = 0;
  }
}
