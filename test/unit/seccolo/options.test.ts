import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, PVM_ISN, SVM_ISN } from './bench';
import { build, segment } from './wire';

const { Accept, AcceptRewritten, Drop } = SecondaryVerdict;
const MPTCP = [30, 12, 1, 129, 1, 2, 3, 4, 5, 6, 7, 8];
const MD5 = [19, 18, ...new Array(16).fill(0xab)];
const AO = [29, 8, 1, 1, 9, 9, 9, 9];

describe('MPTCP', () => {
  test('is taken off SYN and SYN/ACK in both directions, several options too, and nothing else is', () => {
    const t = new Bench();
    const two = [...MPTCP, 30, 3, 5];
    for (const [who, flags] of [
      ['peer', 'S'],
      ['guest', 'SA'],
      ['guest', 'S'],
      ['peer', 'SA'],
    ] as const) {
      const out = t[who]({ flags, seq: 1, ack: flags === 'SA' ? 2 : 0, raw: two, mss: 1460, ts: [1, 0] });
      expect(out.verdict).toBe(AcceptRewritten);
      expect(out.kinds).toEqual([2, 8]);
    }
    expect(t.count.mptcp_removed).toBe(8);
    // On a data segment it is no business of ours: without the SYN's it means nothing.
    expect(t.peer({ flags: 'A', dport: 81, raw: MPTCP }).verdict).toBe(Accept);
  });

  test('at an odd offset, and with a partial checksum', () => {
    const t = new Bench();
    expect(t.peer({ flags: 'S', raw: [1, ...MPTCP] }).kinds).toEqual([]);
    expect(t.guest({ flags: 'S', raw: [1, ...MPTCP], partial: true }).kinds).toEqual([]);
  });
});

describe('signed connections', () => {
  test.each([
    ['TCP-MD5', MD5],
    ['TCP-AO', AO],
  ])('%s: counted once, never rewritten, not even their MPTCP', (_, signature) => {
    const t = new Bench('always');
    expect(t.peer({ flags: 'S', seq: CLIENT_ISN, raw: [...signature, 30, 4, 1, 2] }).verdict).toBe(Accept);
    expect(t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, raw: signature }).verdict).toBe(Accept);
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, raw: signature }).verdict).toBe(Accept);
    expect(t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, raw: signature, data: 'x' }).verdict).toBe(Accept);
    expect([t.count.signed, t.count.learned_client_opened]).toEqual([1, 0]);
    t.engine.failover(t.now);
    expect(t.guest({ seq: SVM_ISN + 2, raw: signature, ts: [1, 2] }).verdict).toBe(Accept);
  });
});

describe('Fast Open on a SYN of the client', () => {
  test('the option passes and is counted; a guest that answers with data at once cannot be told', () => {
    const t = new Bench('always');
    const cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    expect(t.peer({ flags: 'S', seq: CLIENT_ISN, raw: cookie, data: 'GET' }).kinds).toEqual([34]);
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 4, raw: cookie });
    t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 4, data: 'answer' });
    expect(t.peer({ seq: CLIENT_ISN + 4, ack: PVM_ISN + 7 }).verdict).toBe(Accept);
    expect([t.count.fast_open, t.count.ambiguous, t.count.learned_client_opened]).toEqual([1, 1, 0]);
  });

  test('with data on the SYN but an ordinary answer the offset is learned', () => {
    const t = new Bench();
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 4, raw: [34, 2] });
    expect(t.peer({ seq: CLIENT_ISN + 4, ack: PVM_ISN + 1 }).ack).toBe(SVM_ISN + 1);
  });
});

describe('options that lead nowhere', () => {
  test('from the guest: dropped and counted; from the peer: the header is translated', () => {
    const t = new Bench();
    clientOpens(t);
    const bad = [8, 1, 1, 1];
    expect(t.raw(build(segment({ raw: bad })), false).verdict).toBe(Drop);
    const raw = t.raw(
      build(segment({ src: 0xc0a80102, dst: 0x0a000001, sport: 40000, dport: 80, raw: bad, ack: PVM_ISN + 5 })),
      true,
    );
    expect(raw.verdict).toBe(AcceptRewritten);
    expect(raw.bytes.readUInt32BE(28)).toBe(SVM_ISN + 5);
    expect([t.count.malformed_options, t.count.guest_malformed]).toEqual([2, 1]);
  });
});
