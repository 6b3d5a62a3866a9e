// A Chardev without a socket, for a netdev's port: what it sent as frames, in the groups in which it was flushed.

import type { Chardev, ChardevEvents } from '../../../../src/io/stream/chardev';

export class FrameStream {
  connected = true;
  readonly out = Buffer.alloc(1 << 20);
  /** Frames of each flush. */
  readonly flushed: Buffer[][] = [];
  private committed = 0;

  /** `vnetBytes`: with vnet_hdr_support, every frame has a header of so many bytes, which a word before it says. */
  constructor(
    private readonly events: ChardevEvents,
    private readonly vnetBytes?: number,
  ) {}

  private get wordBytes(): number {
    return this.vnetBytes === undefined ? 4 : 8;
  }

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
      const end = at + this.wordBytes + this.out.readUInt32BE(at);
      group.push(Buffer.from(this.out.subarray(at + this.wordBytes, end)));
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
    const bytes = Buffer.alloc(this.wordBytes + frame.length);
    bytes.writeUInt32BE(frame.length);
    if (this.vnetBytes !== undefined) bytes.writeUInt32BE(this.vnetBytes, 4);
    frame.copy(bytes, this.wordBytes);
    expect(this.events.onData(bytes, 0, bytes.length)).toBe(bytes.length);
  }
}
