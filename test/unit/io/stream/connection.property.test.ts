// A connection against a model: whatever the peer, the socket and the owner do in whatever order, every byte comes once
// and in order, and the end comes last, once.

import { constants } from 'node:os';
import fc from 'fast-check';
import { Descriptor } from '../../../../src/io/descriptor';
import { Connection, streamBuffers } from '../../../../src/io/stream/connection';
import { FakeKernel, FakeSocket } from './fake-kernel';

let kernel: FakeKernel;
jest.mock('../../../../src/native/addon', () => ({ addon: () => kernel.addon }));

const BYTES = 64;

beforeAll(() => void jest.useFakeTimers());
afterAll(() => void jest.useRealTimers());

const nat = (max: number) => fc.nat(max);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ says: nat(50) }) },
  { weight: 6, arbitrary: fc.record({ turn: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ room: nat(80) }) },
  { weight: 4, arbitrary: fc.record({ write: fc.integer({ min: 1, max: 30 }), flush: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ writeElsewhere: fc.integer({ min: 1, max: BYTES }) }) },
  { weight: 2, arbitrary: fc.record({ pause: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ fill: fc.constant(true) }) },
  { weight: 2, arbitrary: fc.record({ consume: nat(20) }) },
  { weight: 1, arbitrary: fc.record({ deliver: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ drain: nat(200) }) },
  { weight: 1, arbitrary: fc.record({ end: fc.constantFrom(0, constants.errno.ECONNRESET) }) },
  { weight: 1, arbitrary: fc.record({ sendFails: fc.constant(constants.errno.EPIPE) }) },
);
/** What the consumer does with each call, in turn: how much it leaves, and what it asks for within it. */
const answer = fc.record({
  leave: fc.oneof(fc.constant(0), nat(BYTES / 2)),
  within: fc.constantFrom('', '', '', '', 'pause', 'resume', 'pause and resume', 'fill', 'send', 'disconnect'),
});

class Model {
  readonly socket = new FakeSocket();
  readonly fd = kernel.add(this.socket);
  readonly connection: Connection;
  said = 0;
  taken = 0;
  committed = 0;
  paused = false;
  draining = false;
  showing = false;
  /** Up to there the consumer has been shown what was said. */
  shown = 0;
  ends = 0;
  gone = 0;
  closed = 0;
  calls = 0;
  dropped = false;
  /** In the end it takes all, and asks for nothing. */
  answers: readonly { leave: number; within: string }[];

  constructor(answers: readonly { leave: number; within: string }[]) {
    this.answers = answers;
    this.connection = new Connection(
      new Descriptor(this.fd, () => {}, undefined, true),
      {
        onData: (buf, from, to) => this.onData(buf, from, to),
        onEnd: () => {
          this.ends++;
          expect(this.unread).toBeGreaterThan(0);
        },
        onClose: (why) => {
          this.closed++;
          // Who does not read while sending fails has lost what was not read.
          if (why.startsWith('sending') && this.paused) this.dropped = true;
          expect([this.gone, this.showing && this.within !== 'disconnect']).toEqual([1, false]);
        },
        onDrain: () => expect([this.connection.backlogBytes, this.sent]).toEqual([0, this.committed]),
      },
      { buffers: streamBuffers(BYTES, BYTES), onGone: () => void this.gone++ },
    );
  }

  private within = '';

  get unread(): number {
    return this.connection.unreadTo - this.connection.unreadFrom;
  }

  get sent(): number {
    return this.socket.sent.reduce((sum, buf) => sum + buf.length, 0);
  }

  says(bytes: number): void {
    this.socket.says(Buffer.from(Array.from({ length: bytes }, (_, i) => (this.said + i) & 0xff)));
    this.said += bytes;
  }

  /** They are those that come next. */
  check(buf: Buffer, from: number, to: number): void {
    for (let i = from; i < to; i++) expect(buf[i]).toBe((this.taken + i - from) & 0xff);
  }

  send(bytes: number): void {
    const at = this.connection.reserve(bytes);
    if (at < 0) return;
    for (let i = 0; i < bytes; i++) this.connection.out[at + i] = (this.committed + i) & 0xff;
    this.connection.commit(bytes);
    this.committed += bytes;
  }

  private onData(buf: Buffer, from: number, to: number): number {
    expect([this.paused && !this.draining, this.showing, this.closed, to > from]).toEqual([false, false, 0, true]);
    this.showing = true;
    this.check(buf, from, to);
    this.shown = this.taken + to - from;
    const { leave, within } = this.answers[this.calls++ % this.answers.length]!;
    this.within = within;
    let limit = to;
    if (within.startsWith('pause')) this.connection.pause(true);
    if (within.endsWith('resume')) this.connection.pause(false);
    if (within !== '') this.paused = within === 'pause' || (this.paused && !within.endsWith('resume'));
    if (within === 'fill' && this.connection.fill()) {
      limit = this.connection.unreadTo;
      this.check(buf, from, limit);
      this.shown = this.taken + limit - from;
    }
    if (within === 'send') this.send(7);
    if (within === 'send') this.connection.flush();
    if (within === 'disconnect') {
      this.dropped = true;
      this.connection.disconnect('wish');
    }
    this.showing = false;
    this.within = '';
    const taken = Math.max(0, limit - from - leave);
    if (!this.connection.closed) this.taken += taken;
    return taken;
  }
}

function turn(model: Model): void {
  kernel.turn();
  jest.runOnlyPendingTimers();
  // Nothing that was read and may be shown has not been shown.
  if (!model.connection.closed && !model.paused) expect(model.shown).toBe(model.taken + model.unread);
}

test('every byte comes once and in order, both ways; the end comes once', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 80 }),
      fc.array(answer, { minLength: 1, maxLength: 12 }),
      (steps, answers) => {
        kernel = new FakeKernel();
        const m = new Model(answers);
        const c = m.connection;
        for (const s of steps) {
          if ('says' in s && m.socket.end === undefined && !c.closed) m.says(s.says);
          if ('turn' in s) turn(m);
          if ('room' in s) m.socket.room = s.room;
          if ('write' in s) {
            m.send(s.write);
            if (s.flush) c.flush();
          }
          if ('writeElsewhere' in s) {
            const bytes = Buffer.from(
              Array.from({ length: s.writeElsewhere + 1 }, (_, i) => (m.committed + i - 1) & 0xff),
            );
            if (c.write(bytes, 1, s.writeElsewhere)) m.committed += s.writeElsewhere;
          }
          if ('pause' in s) {
            m.paused = s.pause;
            c.pause(s.pause);
          }
          if ('fill' in s && c.fill()) m.check(c.unread, c.unreadFrom, c.unreadTo);
          // What is consumed from outside was seen by whoever consumes it.
          if ('fill' in s) m.shown = Math.max(m.shown, m.taken + m.unread);
          if ('consume' in s) {
            const bytes = Math.min(s.consume, m.unread);
            c.consume(bytes);
            m.taken += bytes;
            m.shown = Math.max(m.shown, m.taken);
          }
          if ('deliver' in s) c.deliverUnread();
          if ('drain' in s) {
            m.draining = true;
            c.drain(s.drain);
            m.draining = false;
          }
          if ('end' in s) m.socket.end ??= s.end;
          if ('sendFails' in s) m.socket.sendError = s.sendFails;
          expect(c.closed ? 0 : m.unread).toBe(m.unread);
          const out = Buffer.concat(m.socket.sent);
          for (let i = 0; i < out.length; i++) expect(out[i]).toBe(i & 0xff);
          if (c.connected) expect(out.length + c.backlogBytes).toBe(m.committed);
        }
        // In the end everything that can come has come.
        m.socket.end ??= 0;
        m.socket.room = Number.POSITIVE_INFINITY;
        const { connected } = c;
        m.answers = [{ leave: 0, within: '' }];
        for (let i = 0; i < 40 && !c.closed; i++) {
          m.paused = false;
          c.pause(false);
          c.flush();
          turn(m);
        }
        expect([c.closed, m.gone, m.closed, m.ends <= 1]).toEqual([true, 1, 1, true]);
        if (!m.dropped) expect(m.shown).toBe(m.said);
        if (connected && !m.dropped && m.socket.sendError === 0) expect(m.sent).toBe(m.committed);
        kernel.turn();
        jest.runOnlyPendingTimers();
        expect([m.gone, m.closed]).toEqual([1, 1]);
      },
    ),
    { numRuns: 200 },
  );
});
