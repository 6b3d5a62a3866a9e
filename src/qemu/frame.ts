// The wire format of QEMU's socket character devices and of its socket netdevs: a big-endian length before every frame, with
// vnet_hdr_support a second one that tells how many of the bytes are a virtio-net header, then the frame.

/** More is an error of the stream; QEMU's own bound (NET_BUFSIZE). */
export const MAX_FRAME_BYTES = 4096 + 65536;
/** sizeof(struct virtio_net_hdr_v1_hash) */
export const MAX_VNET_BYTES = 20;

/** What FrameReader.read() answers for a length that cannot be: the connection must be given up. */
export const BAD_FRAME = -1;

/** Takes frames out of a receive buffer, in place. */
export class FrameReader {
  /** Why read() gave BAD_FRAME. */
  fault = '';
  private readonly headBytes: number;

  constructor(
    private readonly vnetWord: boolean,
    private readonly onFrame: (buf: Buffer, off: number, len: number, vnetBytes: number) => void,
  ) {
    this.headBytes = vnetWord ? 8 : 4;
  }

  /** Hands over every whole frame in buf[from, to); the bytes it has taken, or BAD_FRAME. */
  read(buf: Buffer, from: number, to: number): number {
    const { headBytes } = this;
    let at = from;
    while (to - at >= headBytes) {
      const len = buf.readUInt32BE(at);
      if (len === 0 || len > MAX_FRAME_BYTES) {
        this.fault = `a frame of ${len} bytes`;
        return BAD_FRAME;
      }
      const vnetBytes = this.vnetWord ? buf.readUInt32BE(at + 4) : 0;
      if (vnetBytes > MAX_VNET_BYTES || vnetBytes > len) {
        this.fault = `a virtio-net header of ${vnetBytes} bytes in a frame of ${len}`;
        return BAD_FRAME;
      }
      const off = at + headBytes;
      if (to - off < len) break;
      this.onFrame(buf, off, len, vnetBytes);
      at = off + len;
    }
    return at - from;
  }
}

/** Writes what goes before a frame of len bytes; returns the offset behind it. */
export function writeFrameHead(out: Buffer, at: number, len: number, vnetWord: boolean, vnetBytes: number): number {
  out.writeUInt32BE(len, at);
  if (!vnetWord) return at + 4;
  out.writeUInt32BE(vnetBytes, at + 4);
  return at + 8;
}
