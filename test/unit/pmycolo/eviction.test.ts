// A full flow table: what strangers begin gives way, a connection that both guests have open does not, and nobody asks
// for a checkpoint.

import { OffsetTable } from '../../../src/conntrack/offset-table';
import { StoredDeltas } from '../../../src/pmycolo/deltas';
import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const MAX_FLOWS = 64;
const DELTA = 80_000;

class Bench {
  readonly h = new PrimaryHarness({
    limits: { maxFlows: MAX_FLOWS, logRecords: 1 << 13 },
    deltas: new StoredDeltas(new OffsetTable(new Uint32Array(OffsetTable.bytesFor(1024) / 4))),
  });
  constructor() {
    this.h.engine.forgetPair(this.h.now);
  }
  syns(dport: number): number {
    const id = this.h.p(buildTcp({ dport, flags: 'SA', seq: 1000, ack: 5 }));
    this.h.s(buildTcp({ dport, flags: 'SA', seq: 1000 + DELTA, ack: 5 }));
    return id;
  }
  say(dport: number, at: number, payload: string): number {
    const id = this.h.p(buildTcp({ dport, seq: 1001 + at, ack: 6, payload }));
    this.h.s(buildTcp({ dport, seq: 1001 + DELTA + at, ack: 6, payload }));
    return id;
  }
  open(dport: number): void {
    this.syns(dport);
    expect(this.h.state(this.say(dport, 0, 'hello'))).toBe('accept');
  }
  count(name: 'flows_evicted' | 'primary_flow_table_full'): number {
    return this.h.engine.counters.snapshot()[name]!;
  }
}

const VICTIM = 7000;

describe.each([
  ['SYNs', (b: Bench, i: number) => b.syns(10_000 + i)],
  [
    'datagrams',
    (b: Bench, i: number) => {
      const packet = buildUdp({ dport: 10_000 + i, payload: 'answer' });
      b.h.s(packet);
      return b.h.p(packet);
    },
  ],
  [
    'datagrams that the SVM answers first',
    (b: Bench, i: number) => {
      b.h.s(buildUdp({ dport: 10_001 + i, payload: 'answer' }));
      return b.h.p(buildUdp({ dport: 10_000 + i, payload: 'answer' }));
    },
  ],
  [
    'connections that end',
    (b: Bench, i: number) => {
      b.open(10_000 + i);
      const fin = b.h.p(buildTcp({ dport: 10_000 + i, seq: 1006, ack: 6, flags: 'FA' }));
      b.h.s(buildTcp({ dport: 10_000 + i, seq: 1006 + DELTA, ack: 6, flags: 'FA' }));
      return fin;
    },
  ],
])("strangers' %s", (_name, stranger) => {
  test('take nothing from an open connection, nor from a new one', () => {
    const b = new Bench();
    b.open(VICTIM);
    // The first of a row may have been answered before.
    stranger(b, 0);
    for (let i = 1; i < 1000; i++) {
      b.h.now += 10;
      expect(b.h.state(stranger(b, i))).toBe('accept');
      if (i % 100 === 0) b.open(20_000 + i);
    }
    expect(b.h.engine.flowCount).toBe(MAX_FLOWS);
    expect(b.count('flows_evicted')).toBeGreaterThan(900);
    // Its history is still there, so the very record is.
    expect(b.h.state(b.h.p(buildTcp({ dport: VICTIM, seq: 1001, ack: 6, payload: 'hello' })))).toBe('accept');
    expect(b.h.state(b.say(VICTIM, 5, 'and on'))).toBe('accept');
    expect(b.h.requests).toEqual([]);
  });
});

test('of open connections the one that was silent longest gives way, and is known again by its numbers', () => {
  const b = new Bench();
  for (let i = 0; i < MAX_FLOWS; i++) {
    b.h.now += 100;
    b.open(i + 1);
  }
  b.h.now += 100;
  b.say(1, 5, 'awake');
  b.open(VICTIM);
  expect([b.count('flows_evicted'), b.h.engine.flowCount]).toEqual([1, MAX_FLOWS]);
  expect(b.h.state(b.h.p(buildTcp({ dport: 1, seq: 1001, ack: 6, payload: 'helloawake' })))).toBe('accept');
  expect(b.h.state(b.say(2, 5, 'found again'))).toBe('accept');
  expect(b.h.requests).toEqual([]);
});

test('a flow of which a packet is held stays: a stranger more is dropped, and no checkpoint asked for', () => {
  const b = new Bench();
  const held = Array.from({ length: MAX_FLOWS / 2 }, (_, i) => b.h.p(buildUdp({ dport: i + 1, payload: 'held' })));
  for (let i = 0; i < MAX_FLOWS / 2; i++) held.push(b.h.p(buildTcp({ dport: i + 1, seq: 1, ack: 1 })));
  const more = [
    b.h.p(buildUdp({ dport: 900, payload: 'more' })),
    b.syns(901),
    b.h.p(buildTcp({ dport: 902, seq: 1, ack: 1 })),
  ];
  expect(more.map((id) => b.h.state(id))).toEqual(['drop', 'drop', 'drop']);
  expect([b.h.requests, b.count('primary_flow_table_full'), b.count('flows_evicted')]).toEqual([[], 3, 0]);
  b.h.engine.checkpoint(b.h.now);
  expect(new Set(held.map((id) => b.h.state(id)))).toEqual(new Set(['accept']));
  expect(b.h.state(b.syns(901))).toBe('accept');
});
