import { buildTcp, checksumsAreRight, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 5000;
const CLIENT = 777;

function open(family: 4 | 6) {
  const h = new PrimaryHarness();
  const p = (at: number, f: TcpFields = {}) =>
    h.p(buildTcp({ family, seq: P_ISN + 1 + at, ack: CLIENT + 1, ...f }), false);
  const s = (at: number, f: TcpFields = {}) => h.s(buildTcp({ family, seq: S_ISN + 1 + at, ack: CLIENT + 1, ...f }));
  p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
  s(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(9) });
  return { h, p, s, l4: family === 4 ? 20 : 40 };
}

describe.each([4, 6] as const)('a repetition of held bytes, IPv%d', (family) => {
  test('leaves as far as the SVM has said them: its segments end elsewhere', () => {
    const { h, p, s, l4 } = open(family);
    const first = p(0, { payload: 'abcdef' });
    s(0, { payload: 'abc' });
    p(0, { payload: 'abcdef', flags: 'PA' });
    expect(h.state(first)).toBe('held');
    const cut = h.probes.at(-1)!;
    expect(cut.readUInt32BE(l4 + 4)).toBe(P_ISN + 1);
    expect(cut.subarray(l4 + 20).toString()).toBe('abc');
    expect(cut[l4 + 13]).toBe(0x10);
    expect(checksumsAreRight(cut)).toBe(true);
    s(3, { payload: 'def' });
    expect(h.state(first)).not.toBe('held');
    expect(h.requests).toEqual([]);
  });

  test('leaves as far as the SVM has said them also when it had said that much before the PVM did', () => {
    const { h, p, s, l4 } = open(family);
    s(0, { payload: 'abc' });
    const first = p(0, { payload: 'abcdef' });
    p(0, { payload: 'abcdef', flags: 'PA' });
    expect(h.state(first)).toBe('held');
    expect(
      h.probes
        .at(-1)!
        .subarray(l4 + 20)
        .toString(),
    ).toBe('abc');
    s(3, { payload: 'def' });
    expect(h.state(first)).not.toBe('held');
    expect(h.requests).toEqual([]);
  });

  test('as a probe tells no acknowledgement: a repeated pure one still has to', () => {
    const { h, p, s, l4 } = open(family);
    s(0, { ack: CLIENT + 51 });
    p(0, { payload: 'abcdef', ack: CLIENT + 101 });
    p(0, { payload: 'abcdef', ack: CLIENT + 101 });
    expect(h.probes).toHaveLength(1);
    s(0, { ack: CLIENT + 61 });
    p(0, { payload: 'abcdef', ack: CLIENT + 101 });
    expect(h.probes).toHaveLength(2);
    expect(h.state(p(6, { ack: CLIENT + 101 }))).toBe('held');
    const repeated = p(6, { ack: CLIENT + 101 });
    expect(h.left(repeated)!.readUInt32BE(l4 + 8)).toBe(CLIENT + 61);
  });
});

test('a repetition that is signed is not cut, nor emptied: the peer would discard it, and count as told', () => {
  const { h, p, s } = open(4);
  const options = [19, 18, ...Array(16).fill(7), 1, 1];
  const first = p(0, { payload: 'abcdef', options });
  const again = p(0, { payload: 'abcdef', options });
  s(0, { payload: 'abc' });
  const third = p(0, { payload: 'abcdef', options });
  expect([h.probes, h.state(first), h.state(again), h.state(third)]).toEqual([[], 'held', 'held', 'held']);
  s(3, { payload: 'def' });
  expect([h.state(first), h.requests]).toEqual(['accept', []]);
});
