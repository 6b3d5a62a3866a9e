import fc from 'fast-check';
import { FLOW_DEADLINE, FLOW_HASH, FLOW_USER, FlowTable } from '../../../src/conntrack/flow-table';
import { FLOW_KEY_WORDS, FLOW_META } from '../../../src/packet/tuple';
import { PacketView } from '../../../src/packet/view';

interface Tuple {
  family: 4 | 6;
  protocol: number;
  guest: number;
  peer: number;
  guestPort: number;
  peerPort: number;
}

function viewOf(t: Tuple, fromPeer: boolean): PacketView {
  const v = new PacketView();
  v.family = t.family;
  v.protocol = t.protocol;
  const wide = t.family === 6 ? 0x20010db8 : 0;
  const [src, dst] = fromPeer ? [t.peer, t.guest] : [t.guest, t.peer];
  v.src0 = src;
  v.src1 = wide;
  v.src3 = wide && src;
  v.dst0 = dst;
  v.dst1 = wide;
  v.dst3 = wide && dst;
  v.srcPort = fromPeer ? t.peerPort : t.guestPort;
  v.dstPort = fromPeer ? t.guestPort : t.peerPort;
  return v;
}

// Few values, so that the model meets the same and nearly the same tuples again and again.
const tuple = fc.record({
  family: fc.constantFrom<4 | 6>(4, 6),
  protocol: fc.constantFrom(6, 17),
  guest: fc.constantFrom(0x0a000001, 0xfffffffe),
  peer: fc.constantFrom(0x0a000001, 0xc0a80001, 0x80000000),
  guestPort: fc.constantFrom(1, 80, 65535),
  peerPort: fc.constantFrom(1, 40000, 65535),
});

describe('FlowTable', () => {
  test('behaves as a map of tuples, whatever comes and goes', () => {
    const step = fc.record({ t: tuple, add: fc.boolean(), fromPeer: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 40 }), fc.nat(), (steps, max, seed) => {
        const table = new FlowTable(max, 24, seed, ~seed >>> 0);
        const model = new Map<string, number>();
        for (const { t, add, fromPeer } of steps) {
          const key = JSON.stringify(t);
          const found = table.find(viewOf(t, fromPeer), fromPeer);
          expect(found).toBe(model.get(key) ?? -1);
          expect(table.find(viewOf(t, !fromPeer), !fromPeer)).toBe(found);
          if (found >= 0 && !add) {
            table.remove(found);
            model.delete(key);
          } else if (found < 0 && add) {
            const base = table.insert(viewOf(t, fromPeer), fromPeer);
            if (model.size === max) {
              expect(base).toBe(-1);
            } else {
              expect(base % 24).toBe(0);
              expect([...model.values()]).not.toContain(base);
              for (let i = FLOW_DEADLINE; i < 24; i++) expect(table.words[base + i]).toBe(0);
              table.words.fill(0xffffffff, base + FLOW_DEADLINE, base + 24);
              model.set(key, base);
            }
          }
          expect(table.size).toBe(model.size);
        }
        const walked: number[] = [];
        for (let b = table.next(-1); b >= 0; b = table.next(b)) walked.push(b);
        expect(walked).toEqual([...model.values()].sort((a, b) => a - b));
      }),
      { numRuns: 200 },
    );
  });

  test('finds by an explicit key what a packet put in, in both families', () => {
    const table = new FlowTable(8, FLOW_USER, 1, 2);
    for (const family of [4, 6] as const) {
      const t = { family, protocol: 6, guest: 0x0a000001, peer: 0xc0a80101, guestPort: 80, peerPort: 50000 };
      const base = table.insert(viewOf(t, true), true);
      const key = table.words.slice(base, base + FLOW_KEY_WORDS);
      expect(table.findKey(key)).toBe(base);
      key[9] = (family << 8) | 17;
      expect(table.findKey(key)).toBe(-1);
    }
  });

  test('guest and peer are not interchangeable', () => {
    const table = new FlowTable(8, FLOW_USER);
    const t = { family: 4 as const, protocol: 6, guest: 1, peer: 2, guestPort: 80, peerPort: 80 };
    table.insert(viewOf(t, false), false);
    expect(table.find(viewOf(t, false), true)).toBe(-1);
  });

  test('uses freed records before fresh ones, and holds as many flows as it says', () => {
    const table = new FlowTable(1000, FLOW_USER, 3, 4);
    const at = (i: number) =>
      viewOf({ family: 4, protocol: 17, guest: 1, peer: i, guestPort: 1, peerPort: i & 0xffff }, false);
    for (let round = 0; round < 3; round++) {
      const bases = new Set<number>();
      for (let i = 0; i < 1000; i++) bases.add(table.insert(at(i), false));
      expect(bases.size).toBe(1000);
      expect(bases.has(-1)).toBe(false);
      expect(table.insert(at(1000), false)).toBe(-1);
      for (let i = 0; i < 1000; i++) expect(bases.has(table.find(at(i), false))).toBe(true);
      for (const b of bases) if (b !== 0) table.remove(b);
      expect(table.size).toBe(1);
      expect(table.words[FLOW_META]).not.toBe(0);
      table.remove(0);
    }
    for (let i = 0; i < 10; i++) table.remove(table.insert(at(i), false));
    expect(table.next(-1)).toBe(-1);
    for (let i = 0; i < 500; i++) table.insert(at(i), false);
    table.clear();
    expect([table.size, table.next(-1), table.find(at(3), false)]).toEqual([0, -1, -1]);
    for (let i = 0; i < 1000; i++) expect(table.insert(at(i), false)).toBe(i * FLOW_USER);
  });

  test('flows whose hashes are equal are told apart', () => {
    // Among 200,000 keys some five pairs share their 32-bit hash.
    const table = new FlowTable(200_000, FLOW_USER, 5, 6);
    const t = { family: 4 as const, protocol: 6, guest: 1, peer: 0, guestPort: 80, peerPort: 80 };
    const hashes = new Set<number>();
    const v = viewOf(t, false);
    for (let i = 0; i < 200_000; i++) {
      v.dst0 = i;
      hashes.add(table.words[table.insert(v, false) + FLOW_HASH]!);
    }
    expect(hashes.size).toBeLessThan(200_000);
    let wrong = 0;
    for (let i = 0; i < 200_000; i++) {
      v.dst0 = i;
      if (table.find(v, false) !== i * FLOW_USER) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test('spreads flows over buckets: chains stay short under any seed', () => {
    for (const seed of [0, 1, 0xdeadbeef]) {
      const table = new FlowTable(20000, FLOW_USER, seed, seed * 7);
      for (let i = 0; i < 20000; i++) {
        const t = { family: 4 as const, protocol: 6, guest: 0x0a000001, peer: 0x0a010000, guestPort: 80, peerPort: 0 };
        table.insert(viewOf({ ...t, peer: t.peer + (i >>> 4), peerPort: 1024 + (i & 15) }, true), true);
      }
      let longest = 0;
      const { heads, links } = table as unknown as { heads: Int32Array; links: Int32Array };
      for (const head of heads) {
        let n = 0;
        for (let link = head; link !== 0; link = links[link - 1]!) n++;
        longest = Math.max(longest, n);
      }
      expect(longest).toBeLessThan(12);
    }
  });
});
