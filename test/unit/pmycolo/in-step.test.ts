// Frames of both guests that are compared at once (PairIntake.pair): every bit of their headers that tells what is
// said to whom, or how much of it, has to be the same. The SVM's packet is the PVM's but for one bit, whichever that
// is.

import { PAIR_RELEASED } from '../../../src/pmycolo/pair-intake';
import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const TIMESTAMP = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];
const FAMILIES = [4, 6] as const;

/** A flow that has begun, so that its next packet is simply the next. */
function begun(tcp: boolean, family: 4 | 6): PrimaryHarness {
  const h = new PrimaryHarness({
    limits: { maxFlows: 8, logBytes: 1 << 14, maxHeldBytes: 1 << 12, logRecords: 1 << 7 },
  });
  const both = (packet: Buffer): void => {
    h.s(packet);
    h.p(packet);
  };
  if (tcp) {
    both(buildTcp({ family, seq: 99, ack: 5, flags: 'SA' }));
    both(buildTcp({ family, seq: 100, ack: 6, payload: 'begun' }));
  } else both(buildUdp({ family, payload: 'begun' }));
  expect(h.engine.heldPackets).toBe(0);
  return h;
}

function isReleased(h: PrimaryHarness, p: Buffer, s: Buffer): boolean {
  let differing = 0;
  for (let i = 0; i < p.length; i++) if (p[i] !== s[i]) differing = i + 1;
  if (!h.engine.pairs.begin(0, p.length, 1, h.now)) throw new Error('no run');
  const result = h.engine.pairs.pair(p, 0, p.length, s, 0, s.length, differing, false, h.now, 0);
  h.engine.pairs.end(p);
  return result === PAIR_RELEASED;
}

/** Bits that may differ, as `byte` or `byte.mask`, from the packet's beginning. */
function free(tcp: boolean, family: 4 | 6): Map<number, number> {
  const bits = new Map<number, number>();
  const add = (from: number, to: number, mask = 0xff): void => {
    for (let i = from; i < to; i++) bits.set(i, mask);
  };
  if (family === 4) {
    add(1, 2); // type of service
    add(4, 6); // identification
    add(6, 7, 0xc0); // don't fragment, and the reserved bit
    add(8, 9); // time to live
    add(10, 12); // checksum
  } else {
    add(0, 1, 0x0f); // traffic class
    add(1, 4); // flow label
    add(7, 8); // hop limit
  }
  const l4 = family === 4 ? 20 : 40;
  if (tcp) {
    add(l4 + 8, l4 + 12); // acknowledgement, which is lowered
    add(l4 + 13, l4 + 14, 0x08); // PSH
    add(l4 + 14, l4 + 20); // window, which is lowered; checksum; urgent pointer of a segment that is not urgent
    add(l4 + 20, l4 + 32); // the SVM's timestamp
  } else add(l4 + 6, l4 + 8);
  return bits;
}

describe.each(FAMILIES)('IPv%d', (family) => {
  test.each([
    ['TCP', true],
    ['UDP', false],
  ])('%s: one bit of the headers', (_name, tcp) => {
    const next = (): Buffer =>
      tcp
        ? buildTcp({ family, seq: 105, ack: 6, payload: 'next', options: TIMESTAMP })
        : buildUdp({ family, payload: 'next' });
    const bits = free(tcp, family);
    expect(isReleased(begun(tcp, family), next(), next())).toBe(true);
    const bytes = next().length;
    const wrong: string[] = [];
    for (let at = 0; at < bytes; at++) {
      for (let bit = 1; bit < 0x100; bit <<= 1) {
        const s = next();
        s[at] = s[at]! ^ bit;
        const may = ((bits.get(at) ?? 0) & bit) !== 0;
        if (isReleased(begun(tcp, family), next(), s) && !may) wrong.push(`${at}.${bit}`);
      }
    }
    expect(wrong).toEqual([]);
  });
  test('a datagram that says its length otherwise within a frame of the same length', () => {
    const p = Buffer.concat([buildUdp({ family, payload: 'abcdef' }), Buffer.alloc(2)]);
    const s = Buffer.concat([buildUdp({ family, payload: 'abcdef\0\0' })]);
    expect(p.length).toBe(s.length);
    expect(isReleased(begun(false, family), p, s)).toBe(false);
    expect(isReleased(begun(false, family), s, p)).toBe(false);
  });
  test('frames of different lengths, and content that differs', () => {
    const h = begun(true, family);
    const p = buildTcp({ family, seq: 105, ack: 6, payload: 'next' });
    expect(isReleased(h, p, buildTcp({ family, seq: 105, ack: 6, payload: 'next and more' }))).toBe(false);
    expect(isReleased(h, p, buildTcp({ family, seq: 105, ack: 6, payload: 'neXt' }))).toBe(false);
    expect(isReleased(h, p, buildTcp({ family, seq: 106, ack: 6, payload: 'next' }))).toBe(false);
    expect(isReleased(h, p, Buffer.from(p))).toBe(true);
    // Said once by each: not twice.
    expect(isReleased(h, Buffer.from(p), Buffer.from(p))).toBe(false);
  });
  test('both behind a gap', () => {
    const h = begun(true, family);
    const p = buildTcp({ family, seq: 110, ack: 6, payload: 'next' });
    expect(isReleased(h, p, Buffer.from(p))).toBe(false);
  });
  test('a connection that nobody has completed goes the long way', () => {
    const h = new PrimaryHarness();
    const syn = buildTcp({ family, seq: 99, ack: 5, flags: 'SA' });
    h.s(syn);
    h.p(syn);
    const p = buildTcp({ family, seq: 100, ack: 6, payload: 'next' });
    expect(isReleased(h, p, Buffer.from(p))).toBe(false);
  });
});
