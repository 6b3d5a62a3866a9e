// The length framing of QEMU's socket character devices: u32 length, with vnet_hdr_support a u32 with the size of the
// virtio-net header, then so many bytes. Notifications never bear the second word.

/** `vnetBytes` undefined: without the second word. */
export function encodeFrames(frames: readonly Buffer[], vnetBytes?: number): Buffer {
  const headBytes = vnetBytes === undefined ? 4 : 8;
  let total = 0;
  for (const frame of frames) total += headBytes + frame.length;
  const out = Buffer.allocUnsafe(total);
  let at = 0;
  for (const frame of frames) {
    out.writeUInt32BE(frame.length, at);
    if (vnetBytes !== undefined) out.writeUInt32BE(vnetBytes, at + 4);
    at += headBytes;
    frame.copy(out, at);
    at += frame.length;
  }
  return out;
}

/** Cuts a byte stream into frames, whatever the pieces it comes in. */
export class FrameReader {
  private rest: Buffer = Buffer.alloc(0);

  constructor(
    private readonly withVnet: boolean,
    private readonly onFrame: (frame: Buffer, vnetBytes: number) => void,
  ) {}

  /** Forgets a frame that came in part: the connection it came on is gone. */
  reset(): void {
    this.rest = Buffer.alloc(0);
  }

  push(chunk: Buffer): void {
    const buf = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const headBytes = this.withVnet ? 8 : 4;
    let at = 0;
    while (buf.length - at >= headBytes) {
      const length = buf.readUInt32BE(at);
      if (length === 0 || length > 69632) throw new Error(`a frame of ${length} bytes came out of the device`);
      if (buf.length - at - headBytes < length) break;
      const vnetBytes = this.withVnet ? buf.readUInt32BE(at + 4) : 0;
      const frame = Buffer.from(buf.subarray(at + headBytes, at + headBytes + length));
      at += headBytes + length;
      this.onFrame(frame, vnetBytes);
    }
    this.rest = Buffer.from(buf.subarray(at));
  }
}
