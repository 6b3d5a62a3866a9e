import { OffsetTable } from '../../../src/conntrack/offset-table';
import { StoredDeltas } from '../../../src/pmycolo/deltas';
import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const memory = (): Uint32Array => new Uint32Array(OffsetTable.bytesFor(4) / 4);

test('a restarted engine goes on comparing in the middle of a connection with its own numbers on either side', () => {
  const words = memory();
  const before = new PrimaryHarness({ deltas: new StoredDeltas(new OffsetTable(words)) });
  before.p(buildTcp({ flags: 'SA', seq: 1000, ack: 5 }));
  before.s(buildTcp({ flags: 'SA', seq: 99_000, ack: 5 }));
  const after = new PrimaryHarness({ deltas: new StoredDeltas(new OffsetTable(words)) });
  const id = after.p(buildTcp({ seq: 1501, ack: 5, payload: 'still here' }));
  after.s(buildTcp({ seq: 99_501, ack: 5, payload: 'still here' }));
  expect(after.state(id)).toBe('accept');
});

test('after a checkpoint the numbers are the same, also for a restarted engine', () => {
  const words = memory();
  const before = new PrimaryHarness({ deltas: new StoredDeltas(new OffsetTable(words)) });
  before.p(buildTcp({ flags: 'SA', seq: 1000, ack: 5 }));
  before.s(buildTcp({ flags: 'SA', seq: 99_000, ack: 5 }));
  before.engine.checkpoint(before.now);
  const after = new PrimaryHarness({ deltas: new StoredDeltas(new OffsetTable(words)) });
  const id = after.p(buildTcp({ seq: 1501, ack: 5, payload: 'copied' }));
  after.s(buildTcp({ seq: 1501, ack: 5, payload: 'copied' }));
  expect(after.state(id)).toBe('accept');
});

test('a full table never costs a new connection', () => {
  const table = new OffsetTable(memory());
  const deltas = new StoredDeltas(table);
  const h = new PrimaryHarness({ deltas });
  for (let i = 0; i < 10; i++) {
    const id = h.p(buildTcp({ flags: 'SA', dport: 1000 + i, seq: 1000, ack: 5 }));
    h.s(buildTcp({ flags: 'SA', dport: 1000 + i, seq: 2000, ack: 5 }));
    expect(h.state(id)).toBe('accept');
    h.p(buildTcp({ dport: 1000 + i, seq: 1001, ack: 5, payload: 'open' }));
  }
  expect(table.size).toBe(4);
  expect(deltas.lost).toBe(6);
});

test('an ended connection leaves no record', () => {
  const table = new OffsetTable(memory());
  const h = new PrimaryHarness({ deltas: new StoredDeltas(table) });
  h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 5 }));
  h.s(buildTcp({ flags: 'SA', seq: 2000, ack: 5 }));
  h.p(buildTcp({ flags: 'R', seq: 1001 }));
  h.s(buildTcp({ flags: 'R', seq: 2001 }));
  for (let s = 0; s < 60; s++) h.engine.tick(h.now + s * 1000);
  expect([h.engine.flowCount, table.size]).toEqual([0, 0]);
});

test('whether all deltas of the epoch are there is known after a restart', () => {
  const words = memory();
  const again = (): StoredDeltas => new StoredDeltas(new OffsetTable(words));
  expect([again().whole, again().whole]).toEqual([false, false]);
  const h = new PrimaryHarness({ deltas: again() });
  h.engine.forgetPair(h.now);
  const open = (dport: number): void => {
    h.p(buildTcp({ flags: 'SA', dport, seq: 1000, ack: 5 }));
    h.s(buildTcp({ flags: 'SA', dport, seq: 2000, ack: 5 }));
    h.p(buildTcp({ dport, seq: 1001, ack: 6 }));
  };
  for (let i = 0; i < 4; i++) open(i);
  expect(again().whole).toBe(true);
  open(5);
  expect(again().whole).toBe(false);
  h.engine.checkpoint(h.now);
  expect(again().whole).toBe(true);
  // A record that is not whole is gone, and missing, until the next checkpoint.
  words[16]! ^= 1;
  expect([again().whole, again().whole]).toEqual([false, false]);
  h.engine.checkpoint(h.now);
  expect(again().whole).toBe(true);
});

test('a connection on which the guest was silent for long after its beginning is still known by its numbers', () => {
  const h = new PrimaryHarness({ deltas: new StoredDeltas(new OffsetTable(memory())) });
  h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 5 }));
  h.s(buildTcp({ flags: 'SA', seq: 99_000, ack: 5 }));
  for (let i = 0; i < 100; i++) {
    h.now += 1000;
    h.engine.tick(h.now);
  }
  expect(h.engine.flowCount).toBe(0);
  const id = h.p(buildTcp({ seq: 1001, ack: 50, payload: 'answer' }));
  h.s(buildTcp({ seq: 99_001, ack: 50, payload: 'answer' }));
  expect(h.state(id)).toBe('accept');
});
