import { DEFAULT_LIMITS, MAX_ANSWERS } from '../../../src/core/limits';
import { buildIp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const GUEST = { 4: [10, 0, 0, 1], 6: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] } as const;
const PEER = { 4: [10, 0, 0, 2], 6: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] } as const;
type Family = 4 | 6;

function icmp(family: Family, type: number, code: number, rest: Buffer): Buffer {
  // The checksum is not compared: some other each time.
  const l4 = Buffer.concat([Buffer.from([type, code, seed++ & 0xff, seed & 0xff]), rest]);
  return buildIp(family, [...GUEST[family]], [...PEER[family]], family === 4 ? 1 : 58, l4);
}
let seed = 1;

/** The answer of the guest to the n-th thing that a peer has sent. */
const KINDS: Record<string, (n: number, text?: string, code?: number) => Buffer> = {};
const reply = (n: number, text: string): Buffer =>
  Buffer.concat([Buffer.from([0, 7, n >> 8, n & 0xff]), Buffer.from(text)]);
const error = (family: Family, n: number, text: string): Buffer => {
  const fields = { family, src: [...PEER[family]], dst: [...GUEST[family]], id: 1 };
  return Buffer.concat([
    Buffer.alloc(4),
    buildUdp({ ...fields, sport: 1000 + n, dport: 9, payload: 'quoted' }),
    Buffer.from(text),
  ]);
};
for (const [family, type] of [
  [4, 0],
  [4, 14],
  [6, 129],
] as const) {
  KINDS[`IPv${family} reply ${type}`] = (n, text = 'abcd', code = 0) => icmp(family, type, code, reply(n, text));
}
for (const [family, type] of [
  [4, 3],
  [4, 11],
  [4, 12],
  [6, 1],
  [6, 2],
  [6, 3],
  [6, 4],
] as const) {
  KINDS[`IPv${family} error ${type}`] = (n, text = 'abcd', code = 0) =>
    icmp(family, type, code, error(family, n, text));
}

describe.each(Object.entries(KINDS))('%s', (_name, answer) => {
  test('PVM 1, 3, 5 and SVM 2, 3, 6: the third leaves, the others are dropped, no checkpoint', () => {
    const h = new PrimaryHarness();
    const ids = new Map<number, number>();
    for (let n = 1; n <= 6; n++) {
      if (n % 2 === 1) ids.set(n, h.p(answer(n)));
      if (n === 2 || n === 3 || n === 6) h.s(answer(n));
    }
    h.now += 1900;
    h.engine.tick(h.now);
    expect([1, 3, 5].map((n) => h.state(ids.get(n)!))).toEqual(['held', 'accept', 'held']);
    h.now += 200;
    h.engine.tick(h.now);
    expect([1, 3, 5].map((n) => h.state(ids.get(n)!))).toEqual(['drop', 'accept', 'drop']);
    h.engine.tick(h.now + 60_000);
    const c = h.engine.counters.snapshot();
    expect([h.requests, c.primary_answers_dropped, c.secondary_answers_dropped]).toEqual([[], 2, 2]);
    expect(h.engine.heldPackets).toBe(0);
  });

  test.each(['p', 's'] as const)('%s first: two answers to the same packet that differ are a divergence', (first) => {
    for (const other of [answer(1, 'abcX'), answer(1, 'abcd', 1), answer(1, 'abcde')]) {
      const h = new PrimaryHarness();
      if (first === 's') h.s(other);
      const id = h.p(answer(1));
      if (first === 'p') h.s(other);
      expect(h.state(id)).toBe('held');
      expect(h.requests).toEqual([expect.stringMatching(/^(payload|length)$/)]);
      h.engine.checkpoint(h.now);
      expect(h.state(id)).toBe('accept');
    }
  });

  test('a packet that came twice is answered twice: each answer leaves by that of the other guest, in order', () => {
    const h = new PrimaryHarness();
    h.s(answer(1, 'abcd'));
    h.s(answer(1, 'efgh'));
    expect([h.p(answer(1, 'abcd')), h.p(answer(1, 'efgh'))].map((id) => h.state(id))).toEqual(['accept', 'accept']);
    expect(h.state(h.p(answer(1, 'abcd')))).toBe('held');
    expect(h.requests).toEqual([]);
  });
});

const echo = KINDS['IPv4 reply 0']!;

test('a checkpoint covers what is held, and ends what the SVM said before it', () => {
  const h = new PrimaryHarness();
  const held = h.p(echo(1));
  h.s(echo(2));
  h.engine.checkpoint(h.now);
  expect(h.state(held)).toBe('accept');
  const next = h.p(echo(2));
  expect(h.state(next)).toBe('held');
  h.s(echo(2));
  expect(h.state(next)).toBe('accept');
});

test("an answer that waits does not hide another packet's timeout, nor is it one", () => {
  const h = new PrimaryHarness({ compareTimeoutMs: 100 });
  h.p(echo(1));
  const udp = h.p(buildUdp({ payload: 'x' }));
  h.engine.tick(h.now + 99);
  expect(h.requests).toEqual([]);
  h.engine.tick(h.now + 100);
  expect(h.requests).toEqual(['timeout_secondary_silent']);
  expect(h.state(udp)).toBe('held');
});

test("a guest's own echo request is compared as before", () => {
  const h = new PrimaryHarness();
  const id = h.p(icmp(4, 8, 0, reply(1, 'abcd')));
  h.engine.tick(h.now + 3000);
  expect([h.state(id), h.requests]).toEqual(['held', ['timeout_secondary_silent']]);
});

test('a flood of answers of one guest, or the other, takes a bounded room and asks for nothing', () => {
  const h = new PrimaryHarness({ limits: DEFAULT_LIMITS });
  const n = 3 * MAX_ANSWERS;
  for (let i = 0; i < n; i++) h.p(echo(i, 'x'.repeat(i % 3 === 0 ? 9000 : 9)));
  expect(h.engine.heldPackets).toBeLessThanOrEqual(MAX_ANSWERS);
  expect(h.engine.heldBytes).toBeLessThanOrEqual(1 << 20);
  for (let i = n; i < 2 * n; i++) h.s(echo(i, 'x'.repeat(i % 3 === 0 ? 9000 : 9)));
  // The newest are still known.
  expect(h.state(h.p(echo(2 * n - 1, 'x'.repeat((2 * n - 1) % 3 === 0 ? 9000 : 9))))).toBe('accept');
  h.s(echo(n - 1, 'x'.repeat((n - 1) % 3 === 0 ? 9000 : 9)));
  expect([...h.verdicts.values()].filter(({ kind }) => kind === 'accept')).toHaveLength(2);
  expect(h.requests).toEqual([]);
});

test.each(['dropAll', 'releaseAll', 'forgetPair'] as const)(
  '%s leaves none without a verdict, and none with two',
  (how) => {
    const h = new PrimaryHarness();
    const id = h.p(echo(1));
    h.engine[how](h.now);
    expect(h.state(id)).toBe(how === 'releaseAll' ? 'accept' : 'drop');
    h.s(echo(1));
    h.now += 5000;
    h.engine.tick(h.now);
    expect(h.requests).toEqual([]);
  },
);
