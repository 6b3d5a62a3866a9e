// Frames of several datagrams, which the host's kernel or hardware is to cut (UDP segmentation offload; virtio 1.2,
// 5.1.6.2), taken apart. The guests may pack their datagrams differently, but must end them at the same places.

import { write16 } from '../core/big-endian';
import { copyBytes } from '../core/bytes';
import { MAX_DATAGRAMS_PER_SEND } from '../core/limits';
import { writeIpBytes } from './ip-header';
import { UDP_HEADER_BYTES, UDP_LENGTH_AT } from './udp-header';
import type { PacketView } from './view';

/** Headers of any length that is looked at, and a largest packet. */
const BUFFER_BYTES = 1 << 17;

/** Iterates over a frame's datagrams, each behind the frame's headers. */
export class DatagramCutter {
  /** After take(): the headers before the IP header, the IP header, UDP's, and one datagram's payload. */
  readonly buf = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** Offset of the IP header in it. */
  network = 0;
  private source: Uint8Array = this.buf;
  private family = 4;
  private at = 0;
  private end = 0;
  private size = 0;
  private l4 = 0;

  /**
   * The frame's headers begin at off; `size` bytes of payload for each datagram but the last. False: there are too
   * many.
   */
  start(v: PacketView, off: number, size: number): boolean {
    if (v.payloadBytes > size * MAX_DATAGRAMS_PER_SEND) return false;
    copyBytes(v.buf as Buffer, off, this.buf, 0, v.payload - off);
    this.network = v.start - off;
    this.source = v.buf;
    this.family = v.family;
    this.l4 = v.l4 - off;
    this.at = v.payload;
    this.end = v.end;
    this.size = size;
    return true;
  }

  /**
   * Makes the next packet. Returns its bytes from the IP header on, or 0 after the last. Checksums are those of the
   * whole frame.
   */
  take(): number {
    const bytes = Math.min(this.size, this.end - this.at);
    if (bytes === 0) return 0;
    const { buf, l4, network } = this;
    copyBytes(this.source as Buffer, this.at, buf, l4 + UDP_HEADER_BYTES, bytes);
    this.at += bytes;
    const packetBytes = l4 - network + UDP_HEADER_BYTES + bytes;
    writeIpBytes(buf, network, this.family, packetBytes);
    write16(buf, l4 + UDP_LENGTH_AT, UDP_HEADER_BYTES + bytes);
    return packetBytes;
  }
}
