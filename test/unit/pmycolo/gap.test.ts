import { buildTcp, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const ISN = 1000;

describe('a segment that fills a gap and repeats what lies on both sides of it', () => {
  const h = new PrimaryHarness();
  const at = (position: number, f: TcpFields) => buildTcp({ seq: ISN + 1 + position, ack: 8, ...f });
  h.p(buildTcp({ seq: ISN, ack: 8, flags: 'SA' }));
  h.s(buildTcp({ seq: ISN, ack: 8, flags: 'SA' }));
  h.s(at(0, { payload: 'ab' }));
  h.s(at(2, { payload: 'cdefghij' }));

  test("leaves at once: the SVM has said its place, and of what was verified the SVM's own segment still tells", () => {
    const first = h.p(at(0, { payload: 'abc' }));
    const behindGap = h.p(at(6, { payload: 'ghij' }));
    expect(h.state(first)).not.toBe('held');
    expect(h.state(behindGap)).toBe('held');
    const filling = h.p(at(0, { payload: 'abcdefg' }));
    expect([filling, behindGap].map((id) => h.state(id))).not.toContain('held');
    expect(h.requests).toEqual([]);
  });

  test('asks for a checkpoint when it repeats something else', () => {
    h.s(at(10, { payload: 'klmnopqrst' }));
    h.p(at(10, { payload: 'klm' }));
    const behindGap = h.p(at(16, { payload: 'qrst' }));
    const filling = h.p(at(10, { payload: 'kLmnopq' }));
    expect([filling, behindGap].map((id) => h.state(id))).toEqual(['held', 'held']);
    expect(h.requests).toEqual(['retransmission']);
  });
});
