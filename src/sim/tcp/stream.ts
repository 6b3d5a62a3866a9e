// The two ends of a byte stream inside a simulated host. Sent data is kept as extents of a message (content.ts), not as
// bytes, so that copying a whole virtual machine at every checkpoint stays cheap.

import { fillContent } from '../content';

interface Extent {
  readonly place: number;
  readonly bytes: number;
  readonly seed: number;
  /** First byte's place in the message; -1 for literal bytes. */
  readonly from: number;
  readonly literal: Buffer | null;
}

/** Bytes written and not yet acknowledged. Place 0 is the SYN, so the first byte has place 1. */
export class SendStream {
  private extents: Extent[] = [];
  /** Place after the last byte written. */
  end = 1;

  clone(): SendStream {
    const copy = new SendStream();
    copy.extents = this.extents.slice();
    copy.end = this.end;
    return copy;
  }

  writeLiteral(bytes: Buffer): void {
    this.extents.push({ place: this.end, bytes: bytes.length, seed: 0, from: -1, literal: bytes });
    this.end += bytes.length;
  }

  writeContent(seed: number, from: number, bytes: number): void {
    const last = this.extents[this.extents.length - 1];
    if (last && last.literal === null && last.seed === seed && last.from + last.bytes === from) {
      // A new object: the old one may be shared with a copy of this machine.
      this.extents[this.extents.length - 1] = { ...last, bytes: last.bytes + bytes };
    } else {
      this.extents.push({ place: this.end, bytes, seed, from, literal: null });
    }
    this.end += bytes;
  }

  /** Forgets extents that end at or before `place`. */
  release(place: number): void {
    let n = 0;
    while (n < this.extents.length && this.extents[n]!.place + this.extents[n]!.bytes <= place) n++;
    if (n > 0) this.extents.splice(0, n);
  }

  fill(place: number, buf: Buffer, off: number, bytes: number): void {
    for (const extent of this.extents) {
      if (bytes === 0) return;
      const skip = place - extent.place;
      if (skip >= extent.bytes) continue;
      const run = Math.min(bytes, extent.bytes - skip);
      if (extent.literal) extent.literal.copy(buf, off, skip, skip + run);
      else fillContent(extent.seed, extent.from + skip, buf, off, run);
      place += run;
      off += run;
      bytes -= run;
    }
    if (bytes > 0) throw new Error('simulated TCP sends bytes that it has forgotten');
  }
}

interface Piece {
  place: number;
  bytes: Buffer;
}

/**
 * Bytes received: in order and unread, and out of order. Buffers in here are never written to, so copies share them.
 */
export class ReceiveStream {
  /** Place of the next byte expected. */
  next = 1;
  unread = 0;
  private queue: Buffer[] = [];
  private pieces: Piece[] = [];
  private latest = 0;

  clone(): ReceiveStream {
    const copy = new ReceiveStream();
    copy.next = this.next;
    copy.unread = this.unread;
    copy.queue = this.queue.slice();
    copy.pieces = this.pieces.slice();
    copy.latest = this.latest;
    return copy;
  }

  get outOfOrder(): boolean {
    return this.pieces.length > 0;
  }

  /** Takes bytes at `place`; true when some were new and in order. */
  take(place: number, buf: Buffer, off: number, bytes: number): boolean {
    if (place > this.next) {
      this.insert(place, Buffer.from(buf.subarray(off, off + bytes)));
      return false;
    }
    const skip = this.next - place;
    if (skip >= bytes) return false;
    this.append(Buffer.from(buf.subarray(off + skip, off + bytes)));
    while (this.pieces.length > 0 && this.pieces[0]!.place <= this.next) {
      const piece = this.pieces.shift()!;
      const known = this.next - piece.place;
      if (known < piece.bytes.length) this.append(piece.bytes.subarray(known));
    }
    return true;
  }

  /** All unread bytes, in the pieces in which they came. */
  read(): Buffer[] {
    const all = this.queue;
    this.queue = [];
    this.unread = 0;
    return all;
  }

  /** Up to four SACK blocks as places, the one with the latest arrival first (RFC 2018 section 4). */
  sackBlocks(): number[] {
    const blocks: number[] = [];
    for (const piece of this.pieces) {
      const n = blocks.length;
      const end = piece.place + piece.bytes.length;
      if (n > 0 && blocks[n - 1] === piece.place) blocks[n - 1] = end;
      else blocks.push(piece.place, end);
    }
    for (let i = 2; i < blocks.length; i += 2) {
      if (blocks[i]! <= this.latest && this.latest < blocks[i + 1]!) {
        const [left, right] = blocks.splice(i, 2);
        blocks.unshift(left!, right!);
        break;
      }
    }
    return blocks.slice(0, 8);
  }

  private append(bytes: Buffer): void {
    this.queue.push(bytes);
    this.next += bytes.length;
    this.unread += bytes.length;
  }

  private insert(place: number, bytes: Buffer): void {
    this.latest = place;
    let i = 0;
    while (i < this.pieces.length && this.pieces[i]!.place <= place) {
      const end = this.pieces[i]!.place + this.pieces[i]!.bytes.length;
      if (end > place) {
        if (end >= place + bytes.length) return;
        bytes = bytes.subarray(end - place);
        place = end;
      }
      i++;
    }
    while (i < this.pieces.length && this.pieces[i]!.place < place + bytes.length) {
      const piece = this.pieces[i]!;
      if (piece.place + piece.bytes.length <= place + bytes.length) {
        this.pieces.splice(i, 1);
        continue;
      }
      bytes = bytes.subarray(0, piece.place - place);
      break;
    }
    this.pieces.splice(i, 0, { place, bytes });
  }
}
