// What must never be ends the process, in production too: each of these is provoked by doing what the engine does not
// do.

import { X_EPOCH, X_HELD_HEAD, X_VERIFIED } from '../../../src/compare/flow-words';
import { OF_SECONDARY } from '../../../src/compare/stream-lists';
import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

function held(): { h: PrimaryHarness; flow: number; slot: number } {
  const h = new PrimaryHarness();
  h.p(buildTcp({ flags: 'SA', seq: 100, ack: 1 }));
  h.s(buildTcp({ flags: 'SA', seq: 500, ack: 1 }));
  h.p(buildTcp({ seq: 101, ack: 1, payload: 'hello' }));
  const { flows } = h.engine.context;
  const flow = flows.next(-1);
  return { h, flow, slot: flows.words[flow + X_HELD_HEAD]! };
}

test('a held packet gets one verdict', () => {
  const { h, slot } = held();
  h.engine.context.holds.remove(slot);
  expect(() => h.engine.context.holds.remove(slot)).toThrow('one verdict');
});

test('nothing is appended to the log between begin and end of a row of pairs, and no other row is begun', () => {
  const { h } = held();
  expect(h.engine.pairs.begin(0, 100, 2, 1)).toBe(true);
  expect(() => h.p(buildTcp({ seq: 106, ack: 1, payload: 'more' }))).toThrow('while a run is open');
  expect(() => h.engine.pairs.begin(0, 100, 2, 1)).toThrow('one run');
  h.engine.pairs.end(Buffer.alloc(100));
  expect(h.engine.pairs.begin(0, 100, 2, 1)).toBe(true);
});

test('lists have heads and tails', () => {
  const { h, flow } = held();
  h.engine.context.flows.words[flow + X_HELD_HEAD] = 0;
  expect(() => h.p(buildTcp({ seq: 106, ack: 1, payload: 'more' }))).toThrow('head and a tail');
  const other = held();
  other.h.engine.context.flows.words[other.flow + OF_SECONDARY + 1] = 1;
  expect(() => other.h.s(buildTcp({ seq: 600, ack: 1, payload: 'later' }))).toThrow('head and a tail');
});

test('what is verified does not grow backwards', () => {
  const { h, flow } = held();
  const { flows, stream } = h.engine.context;
  expect(() => stream.range.raise(flow, (flows.words[flow + X_VERIFIED]! - 1) >>> 0)).toThrow('backwards');
});

test('a packet is released in the epoch in which it is held', () => {
  const { h, flow } = held();
  h.engine.context.flows.words[flow + X_EPOCH] = 7;
  expect(() => h.engine.releaseAll(1)).toThrow('in the epoch');
});
