import { buildTcp, checksumsAreRight, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 5000;
const CLIENT = 777;

/** The peer sent much; the SVM, behind a link that loses, has less of it than the PVM, and the peer does not know what. */
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
});
