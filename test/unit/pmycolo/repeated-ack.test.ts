import { buildTcp, checksumsAreRight, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 5000;
const CLIENT = 777;

/**
 * The peer sent much; the SVM, behind a link that loses, has less of it than the PVM, and the peer does not know what.
 */
function stalled() {
  const h = new PrimaryHarness();
  const p = (ack: number, f: TcpFields = {}) => h.p(buildTcp({ seq: P_ISN + 1, ack, ...f }), false);
  const s = (ack: number, f: TcpFields = {}) => h.s(buildTcp({ seq: S_ISN + 1, ack, ...f }));
  p(CLIENT + 1, { seq: P_ISN, flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
  s(CLIENT + 1, { seq: S_ISN, flags: 'SA', options: MSS_WSCALE_SACK_TS(9) });
  const waits = p(CLIENT + 101);
  s(CLIENT + 51);
  return { h, p, s, waits };
}

describe('an acknowledgement that the PVM repeats while the first waits', () => {
  test('leaves, lowered to what the SVM has, and the first goes on waiting', () => {
    const { h, p, s, waits } = stalled();
    const repeated = p(CLIENT + 101);
    expect(h.state(repeated)).toBe('rewrite');
    expect(h.left(repeated)!.readUInt32BE(28)).toBe(CLIENT + 51);
    expect(checksumsAreRight(h.left(repeated)!)).toBe(true);
    expect(h.state(waits)).toBe('held');
    s(CLIENT + 101);
    expect(h.state(waits)).not.toBe('held');
    expect(h.requests).toEqual([]);
  });

  test('waits when it would tell the peer nothing new: that would be a false duplicate', () => {
    const { h, p } = stalled();
    p(CLIENT + 101);
    expect(h.state(p(CLIENT + 101))).toBe('held');
  });

  test('is not one that acknowledges more: that waits its turn', () => {
    const { h, p } = stalled();
    expect(h.state(p(CLIENT + 151))).toBe('held');
  });

  test('and the first, when it leaves, does not seem older to the peer (PAWS)', () => {
    const h = new PrimaryHarness();
    const times = (value: number): number[] => [1, 1, 8, 10, 0, 0, value >>> 8, value & 255, 0, 0, 0, 1];
    const p = (ack: number, time: number, f: TcpFields = {}) =>
      h.p(buildTcp({ seq: P_ISN + 1, ack, options: times(time), ...f }), false);
    const s = (ack: number, f: TcpFields = {}) => h.s(buildTcp({ seq: S_ISN + 1, ack, ...f }));
    p(CLIENT + 1, 1, { seq: P_ISN, flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
    s(CLIENT + 1, { seq: S_ISN, flags: 'SA', options: MSS_WSCALE_SACK_TS(9) });
    const waits = p(CLIENT + 101, 300);
    const held = p(CLIENT + 101, 301, { payload: 'abc' });
    s(CLIENT + 51);
    const repeated = p(CLIENT + 101, 1300);
    expect(h.left(repeated)!.readUInt32BE(44)).toBe(1300);
    s(CLIENT + 101);
    expect(h.left(waits)!.readUInt32BE(44)).toBe(1300);
    expect(checksumsAreRight(h.left(waits)!)).toBe(true);
    expect(h.state(held)).toBe('held');
    h.engine.checkpoint(h.now);
    expect(h.left(held)!.readUInt32BE(44)).toBe(1300);
    expect(checksumsAreRight(h.left(held)!)).toBe(true);
  });
});

describe('several acknowledgements that wait', () => {
  test('the first of them tells what the SVM has given meanwhile, the last waits for all of it', () => {
    const { h, p, s, waits } = stalled();
    const last = p(CLIENT + 201);
    s(CLIENT + 61);
    expect(h.left(waits)!.readUInt32BE(28)).toBe(CLIENT + 61);
    s(CLIENT + 71);
    expect(h.state(last)).toBe('held');
    s(CLIENT + 201);
    expect(h.left(last)!.readUInt32BE(28)).toBe(CLIENT + 201);
    expect(h.requests).toEqual([]);
  });
});

describe('a duplicate acknowledgement of the SVM', () => {
  test('is told by one that waits: the SVM misses what the PVM has', () => {
    const { h, p, s, waits } = stalled();
    const more = [p(CLIENT + 201), p(CLIENT + 301)];
    s(CLIENT + 51);
    // The peer was not told of 51 yet: that is no duplicate.
    expect(h.left(waits)!.readUInt32BE(28)).toBe(CLIENT + 51);
    expect(h.engine.counters.snapshot().ack_repeated).toBe(0);
    s(CLIENT + 51);
    const duplicate = h.left(more[0]!)!;
    expect(duplicate.readUInt32BE(28)).toBe(CLIENT + 51);
    expect(checksumsAreRight(duplicate)).toBe(true);
    s(CLIENT + 51);
    expect(h.state(more[1]!)).toBe('held');
    expect(h.engine.counters.snapshot().ack_repeated).toBe(1);
    s(CLIENT + 301);
    expect(h.left(more[1]!)!.readUInt32BE(28)).toBe(CLIENT + 301);
    expect(h.requests).toEqual([]);
  });

  test.each([
    ['another window', { window: 999 }],
    ['content', { payload: 'x' }],
    ['an end', { flags: 'AF' }],
  ])('is none with %s', (_name, fields) => {
    const { h, p, s, waits } = stalled();
    const next = p(CLIENT + 201);
    p(CLIENT + 301);
    s(CLIENT + 51);
    expect(h.state(waits)).not.toBe('held');
    s(CLIENT + 51, fields);
    expect(h.state(next)).toBe('held');
  });
});

describe('an acknowledgement that has waited', () => {
  const echoes = (value: number): number[] => [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, value >>> 8, value & 255];

  function waiting(options: number[] = echoes(500)) {
    const { h, p, s } = stalled();
    const first = p(CLIENT + 201, { options });
    const last = p(CLIENT + 301, { options });
    return { h, s, first, last };
  }

  test('bears the echo of the one that it has waited for: else the peer would measure the wait', () => {
    const { h, s, last } = waiting();
    s(CLIENT + 301, { options: echoes(2500) });
    const left = h.left(last)!;
    expect([left.readUInt32BE(28), left.readUInt32BE(48)]).toEqual([CLIENT + 301, 2500]);
    expect(checksumsAreRight(left)).toBe(true);
    expect(h.engine.counters.snapshot().echo_raised).toBe(2);
  });

  test.each([
    ['an older echo', echoes(400)],
    ['none', []],
  ])('keeps its own when the other has %s', (_name, options) => {
    const { h, s, first, last } = waiting();
    s(CLIENT + 301, { options });
    expect([h.state(first), h.state(last)]).toEqual(['accept', 'accept']);
    expect(h.engine.counters.snapshot().echo_raised).toBe(0);
  });

  test('keeps its own when its header is signed', () => {
    const { h, s, last } = waiting([...echoes(500), 19, 18, ...Array(16).fill(7), 1, 1]);
    s(CLIENT + 301, { options: echoes(2500) });
    expect(h.state(last)).toBe('accept');
  });
});

test('a daemon that was started in mid-transfer lets go of a peer that repeats what both have', () => {
  const h = new PrimaryHarness();
  const p = (ack: number) => h.p(buildTcp({ seq: P_ISN + 1, ack }), false);
  const waits = p(CLIENT + 101);
  h.s(buildTcp({ seq: P_ISN + 1, ack: CLIENT + 51 }));
  const repeated = p(CLIENT + 101);
  expect(h.left(repeated)!.readUInt32BE(28)).toBe(CLIENT + 51);
  expect(h.state(waits)).toBe('held');
});
