// Urgent data: the two must mark the same byte, whatever the segments that bear the mark.

import { buildTcp, checksumsAreRight } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

class Pair {
  readonly h = new PrimaryHarness();

  constructor() {
    this.h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 500, options: [2, 4, 5, 0xb4] }));
    this.h.s(buildTcp({ flags: 'SA', seq: 9000, ack: 500, options: [2, 4, 5, 0xb4] }));
  }

  p(at: number, payload: string, mark = 0): number {
    return this.h.p(segment(1001 + at, payload, mark));
  }

  s(at: number, payload: string, mark = 0): this {
    this.h.s(segment(9001 + at, payload, mark));
    return this;
  }

  states(...ids: number[]): string[] {
    return ids.map((id) => this.h.state(id));
  }
}

function segment(seq: number, payload: string, mark: number): Buffer {
  const packet = buildTcp({ seq, ack: 500, flags: mark > 0 ? 'UA' : 'A', payload });
  const sum = packet.readUInt16BE(36) + 0xffff - mark;
  packet.writeUInt16BE((sum & 0xffff) + (sum >> 16), 36);
  packet.writeUInt16BE(mark, 38);
  return packet;
}

test('the same mark in the same segment leaves, whoever is first', () => {
  const t = new Pair();
  const first = t.p(0, 'helloX', 6);
  expect(t.states(first)).toEqual(['held']);
  t.s(0, 'helloX', 6);
  t.s(6, 'Y', 1);
  const second = t.p(6, 'Y', 1);
  expect(t.states(first, second)).toEqual(['accept', 'accept']);
  expect(t.h.requests).toEqual([]);
});

test('the same mark in other segments leaves: what was sent before it was made bears none', () => {
  const t = new Pair();
  const ids = [t.p(0, 'hello'), t.p(5, 'X', 1)];
  t.s(0, 'helloX', 6);
  expect(t.states(...ids)).toEqual(['accept', 'accept']);
  t.s(6, 'more').s(10, 'Y', 1);
  const more = t.p(6, 'moreY', 5);
  expect(t.states(more)).toEqual(['accept']);
  expect(t.h.requests).toEqual([]);
});

test('a mark ahead of its byte waits for the other mark, not for the byte', () => {
  const t = new Pair();
  const ahead = t.p(0, 'hello', 6);
  t.s(0, 'hello');
  expect(t.states(ahead)).toEqual(['held']);
  t.s(5, 'X', 1);
  const byte = t.p(5, 'X', 1);
  expect(t.states(ahead, byte)).toEqual(['accept', 'accept']);
});

test('a mere acknowledgement with a mark waits as well', () => {
  const t = new Pair();
  const ack = t.p(0, '', 6);
  expect(t.states(ack)).toEqual(['held']);
  t.s(0, 'helloX', 6);
  expect(t.states(ack)).toEqual(['accept']);
});

test.each<[string, (t: Pair) => number]>([
  [
    'the PVM alone, first',
    (t) => {
      const id = t.p(0, 'helloX', 6);
      t.s(0, 'helloX');
      return id;
    },
  ],
  ['the PVM alone, second', (t) => t.s(0, 'helloX').p(0, 'helloX', 6)],
  [
    'the SVM alone, second',
    (t) => {
      t.p(0, 'hello');
      const id = t.p(5, 'XY');
      t.s(0, 'hello').s(5, 'X', 1);
      return id;
    },
  ],
  ['the SVM alone, first', (t) => t.s(0, 'helloX', 6).p(0, 'helloX')],
  ['another byte', (t) => t.s(0, 'helloX', 6).p(0, 'helloX', 5)],
  [
    'the PVM, of what was said without',
    (t) => {
      t.p(0, 'helloX');
      t.s(0, 'helloX');
      return t.p(0, 'helloX', 6);
    },
  ],
  [
    'the PVM, twice before the SVM once',
    (t) => {
      const id = t.p(0, 'X', 1);
      t.p(1, 'Y', 1);
      return id;
    },
  ],
])('marked by %s: a difference, and the marked segment is held', (_name, run) => {
  const t = new Pair();
  const id = run(t);
  expect(t.states(id)).toEqual(['held']);
  expect(t.h.requests).toEqual(['urgent']);
});

test('what a checkpoint has let out is marked by both', () => {
  const t = new Pair();
  const first = t.p(0, 'helloX', 6);
  t.s(0, 'helloX');
  expect(t.h.requests).toEqual(['urgent']);
  t.h.engine.checkpoint(t.h.now);
  expect(t.states(first)).toEqual(['accept']);
  const again = t.p(0, 'helloX', 6);
  expect(t.states(again)).toEqual(['accept']);
  expect(t.h.requests).toEqual(['urgent']);
});

test.each([0, 3])('what leaves in place of a repetition bears no mark, after %d bytes of the SVM', (said) => {
  const t = new Pair();
  t.p(0, 'helloX', 6);
  if (said > 0) t.s(0, 'hel');
  t.p(0, 'helloX', 6);
  const [probe] = t.h.probes;
  expect([probe!.readUInt16BE(38), probe![33]! & 0x20, checksumsAreRight(probe!)]).toEqual([0, 0, true]);
});
