// Where a stream ends: a FIN or RST leaves only at the place where the SVM has put its own.

import { buildTcp, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 70_000;

function pair(): { h: PrimaryHarness; p(at: number, f: TcpFields): number; s(at: number, f: TcpFields): void } {
  const h = new PrimaryHarness();
  const p = (at: number, f: TcpFields): number => h.p(buildTcp({ ack: 5, ...f, seq: P_ISN + 1 + at }));
  const s = (at: number, f: TcpFields): void => h.s(buildTcp({ ack: 5, ...f, seq: S_ISN + 1 + at }));
  p(-1, { flags: 'SA' });
  s(-1, { flags: 'SA' });
  return { h, p, s };
}

describe('a FIN', () => {
  test.each([
    ['before the end of the SVM', 'good', 'by'],
    ['without content', '', 'goodby'],
  ])('that the PVM takes back stays: %s', (_name, first, rest) => {
    const { h, p, s } = pair();
    const early = p(0, { payload: first, flags: 'FA' });
    p(first.length, { payload: rest, flags: 'FA' });
    s(0, { payload: 'goodby', flags: 'FA' });
    expect([h.state(early), h.requests]).toEqual(['held', []]);
  });
  test('of content that the SVM has said, but without its end, stays', () => {
    const { h, p, s } = pair();
    s(0, { payload: 'goodby' });
    const fin = p(0, { payload: 'goodby', flags: 'FA' });
    expect(h.state(fin)).toBe('held');
    s(6, { flags: 'FA' });
    expect(h.state(fin)).toBe('accept');
  });
  test('without content stays while what lies before it is not verified', () => {
    const { h, p, s } = pair();
    s(0, { payload: 'goodby', flags: 'FA' });
    const fin = p(6, { flags: 'FA' });
    expect([h.state(fin), h.requests]).toEqual(['held', []]);
    p(0, { payload: 'goodby' });
    expect(h.state(fin)).toBe('accept');
  });
  test('at another place than the SVM, of either, is a divergence', () => {
    for (const ends of [4, 8]) {
      const one = pair();
      one.s(0, { payload: 'goodby', flags: 'FA' });
      one.p(0, { payload: 'goodbyes'.slice(0, ends), flags: 'FA' });
      const other = pair();
      other.p(0, { payload: 'goodbyes'.slice(0, ends), flags: 'FA' });
      other.s(0, { payload: 'goodby', flags: 'FA' });
      expect([one.h.requests, other.h.requests]).toEqual([['fin'], ['fin']]);
    }
  });
  test('content of the PVM that was held beyond the end of the SVM is a divergence', () => {
    const { h, p, s } = pair();
    p(0, { payload: 'goodbye' });
    s(0, { payload: 'good', flags: 'FA' });
    expect(h.requests).toEqual(['fin']);
  });
  test.each(['', 'goodby'])(
    'leaves when the SVM has acknowledged as much, so that its peer hears all of it: %p',
    (payload) => {
      const { h, p, s } = pair();
      s(0, { payload, flags: 'FA' });
      const fin = p(0, { payload, flags: 'FA', ack: 6 });
      expect(h.state(fin)).toBe('held');
      s(payload.length + 1, { ack: 6 });
      expect([h.left(fin)!.readUInt32BE(28), h.copies, h.requests]).toEqual([6, [], []]);
      // The one that comes after the SVM's acknowledgement does not wait.
      expect(h.state(p(payload.length, { flags: 'FA', ack: 6 }))).toBe('accept');
    },
  );
  test('is held back alone: what stands before it leaves', () => {
    const { h, p, s } = pair();
    s(0, { payload: 'goodby', flags: 'FA' });
    const fin = p(0, { payload: 'goodby', flags: 'FA', ack: 6 });
    h.engine.endBatch(h.now);
    const said = h.copies.map(({ bytes }) => bytes.toString('latin1', 40)).join('');
    expect([said, h.copies.some(({ bytes }) => (bytes[33]! & 1) !== 0)]).toEqual(['goodby', false]);
    s(7, { ack: 6 });
    expect([h.left(fin)!.readUInt32BE(28), h.left(fin)!.length]).toEqual([6, 40]);
  });
  test('is not covered by a checkpoint before which the PVM had not ended', () => {
    const { h, p } = pair();
    p(0, { payload: 'goodby' });
    h.engine.checkpoint(h.now);
    const fin = p(6, { flags: 'FA' });
    expect(h.state(fin)).toBe('held');
    h.s(buildTcp({ ack: 5, seq: P_ISN + 7, flags: 'FA' }));
    expect(h.state(fin)).toBe('accept');
  });
});

test.each(['', 'goodby'])('a FIN that the PVM has repeated while it was held leaves once: %p', (payload) => {
  const { h, p, s } = pair();
  const first = p(0, { payload, flags: 'FA' });
  const again = p(payload.length, { flags: 'FA' });
  const whole = p(0, { payload, flags: 'FA' });
  s(0, { payload, flags: 'FA' });
  expect([first, again, whole].map((id) => h.state(id))).toEqual(['accept', 'drop', 'drop']);
  // One that it repeats later may have been lost.
  expect(h.state(p(payload.length, { flags: 'FA' }))).toBe('accept');
});
test('a repeated FIN that acknowledges more leaves', () => {
  const { h, p, s } = pair();
  const first = p(0, { flags: 'FA' });
  const again = p(0, { flags: 'FA', ack: 6 });
  s(0, { flags: 'FA', ack: 6 });
  expect([h.state(first), h.state(again)]).toEqual(['accept', 'accept']);
});
test.each([
  ['asks for a checkpoint', [], ['timeout_primary_silent']],
  ['of a stream that only the SVM has ended does', [['s', 'FA']], ['timeout_primary_silent']],
  [
    'of one that both have ended does not',
    [
      ['s', 'FA'],
      ['p', 'FA'],
    ],
    [],
  ],
] as const)('a RST of the SVM that the PVM does not send %s', (_what, before, requests) => {
  const { h, p, s } = pair();
  for (const [who, flags] of before) (who === 'p' ? p : s)(0, { flags });
  s(before.length > 0 ? 1 : 0, { flags: 'R' });
  h.now += 4000;
  h.engine.tick(h.now);
  expect(h.requests).toEqual(requests);
});

describe('a RST of the PVM that the SVM does not send', () => {
  const ended = (who: 'p' | 's' | 'both') => {
    const t = pair();
    if (who !== 'p') t.s(0, { flags: 'FA' });
    if (who !== 's') t.p(0, { flags: 'FA' });
    return t;
  };
  const later = (h: PrimaryHarness): string[] => {
    h.now += 4000;
    h.engine.tick(h.now);
    return h.requests;
  };
  test('behind both ends is as if lost, the next is held', () => {
    const { h, p } = ended('both');
    expect(h.state(p(1, { flags: 'R' }))).toBe('drop');
    expect(later(h)).toEqual([]);
    expect(h.state(p(1, { flags: 'R' }))).toBe('held');
    expect(later(h)).toEqual(['timeout_secondary_silent']);
  });
  test('leaves when the SVM does send it, at the latest in its repetition', () => {
    const { h, p, s } = ended('both');
    p(1, { flags: 'R' });
    s(1, { flags: 'R' });
    expect(h.state(p(1, { flags: 'R' }))).toBe('rewrite');
  });
  test.each<['p' | 's' | 'both', number, TcpFields]>([
    ['both', 1, { flags: 'RA' }],
    ['both', 0, { flags: 'R' }],
    ['both', 1, { flags: 'R', payload: 'why' }],
    ['p', 1, { flags: 'R' }],
  ])('is held otherwise: ended by %s, at %i, %p', (who, at, f) => {
    const { h, p } = ended(who);
    expect(h.state(p(at, f))).toBe('held');
  });
});

describe('a RST', () => {
  test('is not covered by a checkpoint before which the PVM had not reset', () => {
    const { h, p } = pair();
    p(0, { payload: 'x' });
    h.engine.checkpoint(h.now);
    // Where a record that was never written stands.
    expect(h.state(h.p(buildTcp({ seq: 0, flags: 'R' })))).toBe('held');
    expect(h.state(p(1, { flags: 'R' }))).toBe('held');
  });
  test('of the SVM before what the PVM went on to say is a divergence', () => {
    const { h, p, s } = pair();
    p(0, { payload: 'and on' });
    s(0, { flags: 'R' });
    expect(h.requests).toEqual(['rst']);
  });
  test('of one side for the SYN of the other is a divergence, whichever comes first', () => {
    const refusal = buildTcp({ seq: 0, ack: 5, flags: 'RA' });
    const answer = buildTcp({ seq: P_ISN, ack: 5, flags: 'SA' });
    const refused = new PrimaryHarness();
    refused.p(answer);
    refused.s(refusal);
    const refusing = new PrimaryHarness();
    refusing.s(answer);
    refusing.p(refusal);
    expect([refused.requests, refusing.requests]).toEqual([['rst'], ['rst']]);
  });
});

describe('a SYN', () => {
  test('that differs in its options is a divergence, of either side first', () => {
    const other = [2, 4, 1, 0];
    const one = new PrimaryHarness();
    one.p(buildTcp({ flags: 'SA', seq: 1, ack: 5 }));
    one.s(buildTcp({ flags: 'SA', seq: 1, ack: 5, options: other }));
    const two = new PrimaryHarness();
    two.s(buildTcp({ flags: 'SA', seq: 1, ack: 5, options: other }));
    two.p(buildTcp({ flags: 'SA', seq: 1, ack: 5 }));
    expect([one.requests, two.requests]).toEqual([['syn_options'], ['syn_options']]);
  });
  test("that answers another SYN of the peer's waits for the one that answers the same", () => {
    const h = new PrimaryHarness();
    const id = h.p(buildTcp({ flags: 'SA', seq: 1, ack: 500 }));
    h.s(buildTcp({ flags: 'SA', seq: 1, ack: 5 }));
    expect([h.state(id), h.requests]).toEqual(['held', []]);
    h.s(buildTcp({ flags: 'SA', seq: 2, ack: 500 }));
    expect(h.state(id)).toBe('accept');
  });
});

test("the SVM's window and acknowledgement are not put back by a segment of it that was overtaken", () => {
  const { h, p, s } = pair();
  s(0, { ack: 2000, window: 10 });
  s(0, { ack: 1000, window: 60_000 });
  const id = p(0, { ack: 2000, window: 60_000 });
  expect(h.left(id)!.readUInt16BE(34)).toBe(10);
  expect(h.left(id)!.readUInt32BE(28)).toBe(2000);
});

test('a refusal that the other guest does not give asks for a checkpoint like any other silence', () => {
  const h = new PrimaryHarness({ compareTimeoutMs: 1000 });
  const id = h.p(buildTcp({ seq: 0, ack: 5, flags: 'RA' }));
  h.now += 999;
  h.engine.tick(h.now);
  expect(h.requests).toEqual([]);
  h.now += 1;
  h.engine.tick(h.now);
  expect([h.state(id), h.requests]).toEqual(['held', ['timeout_secondary_silent']]);
});
