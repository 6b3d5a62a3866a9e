// The client's side: a script of requests on one connection, and a check of every byte that comes back. A connection
// that the guest opened gets its own script after its HELLO.

import { digest, fillContent, matchContent } from '../content';
import type { Connection } from '../tcp/connection';
import { NEVER, type TcpApp } from '../tcp/host-port';
import { Outbox } from './outbox';
import {
  ANSWER_BYTES,
  DIVERGENT_CONTENT,
  DIVERGENT_LENGTH,
  decodeRequest,
  encodeRequest,
  Op,
  REQUEST_BYTES,
  type Request,
} from './protocol';

export interface Step {
  request: Request;
  /** Pause before the request, microseconds. */
  thinkUs: number;
}

export type Ending = 'client-closes' | 'guest-closes' | 'guest-resets' | 'client-resets' | 'refused';

export interface SessionPlan {
  steps: Step[];
  ending: Ending;
  slowReader: boolean;
}

export interface SessionObserver {
  /** Reports a broken rule; does not return. */
  fail(what: string): void;
  /** The guest has agreed to open a connection whose HELLO will have `seed`. */
  called(seed: number): void;
  /** A connection that the guest opened was reset before its first byte. */
  handshakeLost(what: string): void;
  /** A connection that may be tried again was refused. */
  refused(session: ClientSession): void;
}

/** A port of the client without a listener: the guest's connection is refused. */
export const NOBODY_PORT = 9001;

const ASK_AGAIN_US = 700_000;

export class ClientSession implements TcpApp {
  done = false;
  received = 0;
  /** The port's earlier connection may not be over on the guest, which then refuses this one once. */
  mayAskAgain = false;
  private readonly outbox = new Outbox();
  private step = -1;
  private headerBytes = 0;
  private readonly header = Buffer.alloc(REQUEST_BYTES);
  private answerLeft = 0;
  private answerTaken = 0;
  private answerContent = 0;
  private waiting = false;
  private thinking = false;

  constructor(
    readonly name: string,
    public plan: SessionPlan,
    /** Reads the HELLO of a connection that the guest opened, to learn the plan; null when the client opened it. */
    private findPlan: ((hello: Request) => SessionPlan) | null,
    private readonly observer: SessionObserver,
  ) {}

  clone(): TcpApp {
    throw new Error('the client is never copied');
  }

  opened(c: Connection): void {
    if (!this.findPlan) this.next(c);
  }

  readable(c: Connection): void {
    if (this.plan.slowReader) c.appAtUs = Math.min(c.appAtUs, c.host.clockUs() + c.host.prng.range(1_000, 40_000));
    else this.consume(c);
  }

  writable(c: Connection): void {
    if (!this.outbox.empty) this.pump(c);
  }

  timer(c: Connection): void {
    this.consume(c);
    if (this.done) return;
    if (this.step >= this.plan.steps.length && this.plan.ending === 'guest-resets') this.end(c);
    if (this.thinking && !this.waiting) {
      this.thinking = false;
      this.ask(c);
    }
    this.pump(c);
  }

  peerClosed(c: Connection): void {
    this.consume(c);
    if (this.done) return;
    if (this.step < this.plan.steps.length && this.plan.ending !== 'client-resets') {
      this.observer.fail(`${this.name}: the guest closed at step ${this.step}`);
    }
    c.close();
  }

  closed(c: Connection, reset: boolean): void {
    if (this.done) return;
    this.done = true;
    const ending = this.plan.ending;
    if (reset && this.step < 0 && this.mayAskAgain && ending !== 'refused') {
      this.observer.refused(this);
      return;
    }
    if (reset && this.findPlan) {
      this.observer.handshakeLost(`${this.name} from port ${c.peerPort}: reset before its first byte`);
      return;
    }
    const expected = ending === 'guest-resets' || ending === 'refused';
    if (ending === 'client-resets') return;
    // Only the guest's last ACK was lost, and its TIME_WAIT (short here) is over.
    if (reset && ending === 'guest-closes' && c.finTaken && this.step >= this.plan.steps.length) return;
    if (reset !== expected) {
      this.observer.fail(`${this.name}: ${reset ? 'reset' : 'closed'} at step ${this.step}, expected ${ending}`);
    } else if (ending !== 'refused' && this.step < this.plan.steps.length) {
      this.observer.fail(`${this.name}: ended at step ${this.step} of ${this.plan.steps.length}`);
    }
  }

  get progress(): string {
    return `${this.name}: step ${this.step} of ${this.plan.steps.length}, ${this.received} bytes, answer lacks ${this.answerLeft}`;
  }

  private next(c: Connection): void {
    this.step++;
    this.waiting = false;
    const step = this.plan.steps[this.step];
    if (!step) {
      this.end(c);
      return;
    }
    if (step.thinkUs > 0) {
      this.thinking = true;
      c.appAtUs = c.host.clockUs() + step.thinkUs;
      return;
    }
    this.ask(c);
    this.pump(c);
  }

  private ask(c: Connection): void {
    const { request } = this.plan.steps[this.step]!;
    this.waiting = true;
    this.headerBytes = 0;
    this.outbox.literal(encodeRequest(request));
    if (request.op === Op.PUT || request.op === Op.ECHO) this.outbox.content(request.seed, 0, request.size);
    if (this.plan.ending === 'client-resets' && this.step === this.plan.steps.length - 1) {
      this.pump(c);
      this.done = true;
      c.abort();
    }
  }

  private end(c: Connection): void {
    if (this.plan.ending === 'client-closes') c.close();
    else {
      const op = this.plan.ending === 'guest-resets' ? Op.ABORT : Op.QUIT;
      this.outbox.literal(encodeRequest({ op, flags: 0, port: 0, size: 0, seed: 0 }));
      this.pump(c);
      // A lost reset is not retransmitted: the next segment is answered by another.
      if (op === Op.ABORT) c.appAtUs = c.host.clockUs() + ASK_AGAIN_US;
    }
  }

  private pump(c: Connection): void {
    if (this.done || this.outbox.empty) return;
    this.outbox.handOver(c, 1 << 20);
    c.push();
  }

  private consume(c: Connection): void {
    if (c.receive.unread === 0) return;
    for (const bytes of c.read()) {
      this.received += bytes.length;
      let off = 0;
      while (off < bytes.length && !this.done) off += this.take(c, bytes, off);
    }
    if (c.ackNow && c.ackAtUs === NEVER) c.ackAtUs = c.host.clockUs();
  }

  private take(c: Connection, bytes: Buffer, off: number): number {
    const rest = bytes.length - off;
    if (this.findPlan) return this.hello(c, bytes, off);
    if (!this.waiting) {
      this.observer.fail(`${this.name}: ${rest} bytes more than requested`);
      this.done = true;
      return rest;
    }
    if (this.headerBytes < ANSWER_BYTES) {
      const n = Math.min(rest, ANSWER_BYTES - this.headerBytes);
      bytes.copy(this.header, this.headerBytes, off, off + n);
      this.headerBytes += n;
      if (this.headerBytes === ANSWER_BYTES) this.readAnswer(c);
      return n;
    }
    const n = Math.min(rest, this.answerLeft);
    const same = matchContent(this.answerContent, this.answerTaken, bytes, off, n);
    if (same !== n) {
      this.observer.fail(`${this.name}: wrong byte ${this.answerTaken + same} in the answer to step ${this.step}`);
      this.done = true;
      return rest;
    }
    this.answerTaken += n;
    this.answerLeft -= n;
    if (this.answerLeft === 0) this.next(c);
    return n;
  }

  private hello(c: Connection, bytes: Buffer, off: number): number {
    const n = Math.min(bytes.length - off, REQUEST_BYTES - this.headerBytes);
    bytes.copy(this.header, this.headerBytes, off, off + n);
    this.headerBytes += n;
    if (this.headerBytes === REQUEST_BYTES) {
      this.plan = this.findPlan!(decodeRequest(this.header));
      this.findPlan = null;
      this.next(c);
    }
    return n;
  }

  private readAnswer(c: Connection): void {
    const { request } = this.plan.steps[this.step]!;
    const seed = this.header.readUInt32BE(0);
    this.answerLeft = this.header.readUInt32BE(4);
    this.answerContent = this.header.readUInt32BE(8);
    this.answerTaken = 0;
    const free = request.flags & (DIVERGENT_CONTENT | DIVERGENT_LENGTH);
    let right = seed === request.seed;
    if (request.op === Op.GET && free === 0) {
      right &&= this.answerLeft === request.size && this.answerContent === request.seed;
    } else if (request.op === Op.PUT) right &&= this.answerContent === contentDigest(request.seed, request.size);
    if (!right) {
      this.observer.fail(`${this.name}: wrong answer to step ${this.step}`);
      this.done = true;
      return;
    }
    if (request.op === Op.CALL && request.port !== NOBODY_PORT) this.observer.called(request.seed);
    if (this.answerLeft === 0) this.next(c);
  }
}

function contentDigest(seed: number, size: number): number {
  const buf = Buffer.allocUnsafe(size);
  fillContent(seed, 0, buf, 0, size);
  return digest(0x811c9dc5, buf, 0, size);
}
