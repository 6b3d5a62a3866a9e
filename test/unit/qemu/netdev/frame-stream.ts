// A Chardev without a socket, for a netdev's port: what it sent as frames, in the groups in which it was flushed.

import type { Chardev, ChardevEvents } from '../../../../src/io/stream/chardev';

export class FrameStream {
  connected = true;
  readonly out = Buffer.alloc(1 << 20);
  /** Frames of each flush. */
  readonly flushed: Buffer[][] = [];
  private committed = 0;

  constructor(private readonly events: ChardevEvents) {}

  get asChardev(): Chardev {
    return this as unknown as Chardev;
  }

  get frames(): Buffer[] {
    return this.flushed.flat();
  }

  async open(): Promise<void> {}
  close(): void {}
  pause(): void {}
  drain(): void {}

  reserve(bytes: number): number {
    return this.connected && this.committed + bytes <= this.out.length ? this.committed : -1;
  }

  commit(bytes: number): void {
    this.committed += bytes;
  }

  flush(): void {
    const group: Buffer[] = [];
    for (let at = 0; at < this.committed; ) {
      const end = at + 4 + this.out.readUInt32BE(at);
      group.push(Buffer.from(this.out.subarray(at + 4, end)));
      at = end;
    }
    this.committed = 0;
    this.flushed.push(group);
  }

  // What the test does

  connect(): void {
    this.connected = true;
    this.events.onOpen();
  }

  hangUp(): void {
    this.connected = false;
    this.events.onClose('the test');
  }

  says(frame: Buffer): void {
    const bytes = Buffer.alloc(4 + frame.length);
    bytes.writeUInt32BE(frame.length);
    frame.copy(bytes, 4);
    expect(this.events.onData(bytes, 0, bytes.length)).toBe(bytes.length);
  }
}
