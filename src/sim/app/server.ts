// The server in both guests, which answers requests (protocol.ts). Its answers depend on the request alone; its pace is
// its machine's own.

import { digest, matchContent } from '../content';
import type { Machine } from '../machine';
import type { Connection } from '../tcp/connection';
import { NEVER, type TcpApp } from '../tcp/host-port';
import { Outbox } from './outbox';
import {
  DIVERGENT_CONTENT,
  DIVERGENT_LENGTH,
  DIVERGENT_PORT,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  Op,
  REQUEST_BYTES,
  type Request,
  SLOW_READER,
} from './protocol';

export class ServerApp implements TcpApp {
  private outbox = new Outbox();
  private header = Buffer.alloc(REQUEST_BYTES);
  private headerBytes = 0;
  private request: Request | null = null;
  private taken = 0;
  private check = 0x811c9dc5;
  private closing = false;
  private slow = false;

  /** `hello`: first message on a connection that the guest opened, or null. */
  constructor(private hello: Buffer | null) {}

  clone(): ServerApp {
    const copy = new ServerApp(this.hello);
    Object.assign(copy, this);
    copy.outbox = this.outbox.clone();
    copy.header = Buffer.from(this.header);
    return copy;
  }

  opened(c: Connection): void {
    if (this.hello) this.outbox.literal(this.hello);
    this.pump(c);
  }

  readable(c: Connection): void {
    if (this.slow) {
      this.later(c, c.host.prng.range(2_000, 60_000));
      return;
    }
    this.consume(c);
  }

  writable(c: Connection): void {
    if (!this.outbox.empty && c.appAtUs === NEVER) this.pump(c);
  }

  peerClosed(c: Connection): void {
    this.consume(c);
    this.closing = true;
    this.pump(c);
  }

  closed(): void {}

  timer(c: Connection): void {
    this.consume(c);
    this.pump(c);
  }

  private later(c: Connection, delayUs: number): void {
    c.appAtUs = Math.min(c.appAtUs, c.host.clockUs() + delayUs);
  }

  private pump(c: Connection): void {
    if (!this.outbox.empty) {
      this.outbox.handOver(c, c.host.prng.logRange(200, 65536));
      c.push();
      // A pause of this machine alone.
      if (!this.outbox.empty && c.room > 0) this.later(c, c.host.prng.logRange(1, 3_000));
    }
    if (this.closing && this.outbox.empty) c.close();
  }

  private consume(c: Connection): void {
    if (c.receive.unread === 0) return;
    for (const bytes of c.read()) {
      let off = 0;
      while (off < bytes.length) {
        const used = this.request ? this.body(bytes, off) : this.head(c, bytes, off);
        if (used < 0) return; // Reset itself.
        off += used;
      }
    }
    if (c.ackNow && c.ackAtUs === NEVER) c.ackAtUs = c.host.clockUs();
    this.pump(c);
  }

  private head(c: Connection, bytes: Buffer, off: number): number {
    const n = Math.min(REQUEST_BYTES - this.headerBytes, bytes.length - off);
    bytes.copy(this.header, this.headerBytes, off, off + n);
    this.headerBytes += n;
    if (this.headerBytes < REQUEST_BYTES) return n;
    this.headerBytes = 0;
    const request = decodeRequest(this.header);
    this.slow = (request.flags & SLOW_READER) !== 0;
    return this.begin(c, request) ? n : -1;
  }

  private begin(c: Connection, r: Request): boolean {
    const random = c.host.prng;
    switch (r.op) {
      case Op.GET: {
        const content = (r.flags & DIVERGENT_CONTENT) !== 0 ? random.u32() : r.seed;
        const size = (r.flags & DIVERGENT_LENGTH) !== 0 ? r.size + random.range(1, 900) : r.size;
        this.outbox.literal(encodeAnswer(r.seed, size, content));
        this.outbox.content(content, 0, size);
        return true;
      }
      case Op.PUT:
      case Op.ECHO:
        this.request = r;
        this.taken = 0;
        this.check = 0x811c9dc5;
        if (r.op === Op.ECHO) this.outbox.literal(encodeAnswer(r.seed, r.size, (r.seed + 1) >>> 0));
        this.finishBody();
        return true;
      case Op.CALL:
        this.outbox.literal(encodeAnswer(r.seed, 0, 0));
        call(c, r);
        return true;
      case Op.QUIT:
        this.closing = true;
        return true;
      default:
        c.abort();
        return false;
    }
  }

  private body(bytes: Buffer, off: number): number {
    const r = this.request!;
    const n = Math.min(r.size - this.taken, bytes.length - off);
    if (matchContent(r.seed, this.taken, bytes, off, n) !== n) throw new Error('a guest received wrong bytes');
    if (r.op === Op.PUT) this.check = digest(this.check, bytes, off, n);
    else this.outbox.content((r.seed + 1) >>> 0, this.taken, n);
    this.taken += n;
    this.finishBody();
    return n;
  }

  private finishBody(): void {
    const r = this.request!;
    if (this.taken < r.size) return;
    if (r.op === Op.PUT) this.outbox.literal(encodeAnswer(r.seed, 0, this.check));
    this.request = null;
  }
}

function call(c: Connection, r: Request): void {
  const machine = c.host as Machine;
  const local =
    (r.flags & DIVERGENT_PORT) !== 0 ? machine.prng.range(40000, 49999) : 20000 + (machine.memory.nextPort++ % 10000);
  const hello = encodeRequest({ op: Op.HELLO, flags: 0, port: r.port, size: 0, seed: r.seed });
  machine.connect(c.family, local, r.port, `g${c.family}:${local}:${r.port}`, new ServerApp(hello));
}

/** A server for a connection that the client opened. */
export function serve(): TcpApp {
  return new ServerApp(null);
}
