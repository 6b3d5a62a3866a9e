// `colo compare` calls equal only what it has compared: whatever of the guest it had to leave out is said, and takes
// the status 0 away.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { comparisonText } from '../../../src/cli/compare-text';
import type { OperatorError } from '../../../src/core/errors';
import type { PacketToWrite } from '../../../src/io/pcap/pcap';
import { type CompareOptions, type Comparison, compareCaptures } from '../../../src/replay/captures';
import { buildTcp, buildUdp, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { capture, inPieces, served, write } from './conversations';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-compare-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

const A = 1_000_000;
const B = 0xfffff000;
const GUEST_MAC = Buffer.from('525400000002', 'hex');
const OTHER_MAC = Buffer.from('525400000009', 'hex');

function compared(primary: Buffer[], secondary: Buffer[], options: CompareOptions = {}): Comparison {
  return compareCaptures(capture(dir, 'p.pcap', primary), capture(dir, 's.pcap', secondary), options);
}

/** A connection whose text stands in segments at these offsets, in this order. */
function said(isn: number, segments: readonly (readonly [number, string])[], fin?: number): Buffer[] {
  const at = (offset: number, fields: TcpFields): Buffer =>
    buildTcp({ dport: 40000, ack: 5001, seq: (isn + 1 + offset) >>> 0, flags: 'PA', ...fields });
  const packets = [buildTcp({ dport: 40000, ack: 5001, seq: isn, flags: 'SA', options: MSS_WSCALE_SACK_TS(1) })];
  for (const [offset, payload] of segments) packets.push(at(offset, { payload }));
  if (fin !== undefined) packets.push(at(fin, { flags: 'FA' }));
  return packets;
}

function frame(source: Buffer, type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from('525400000001', 'hex'), source, Buffer.from([type >> 8, type & 0xff]), content]);
}

function onEthernet(name: string, frames: readonly Buffer[], change?: (p: PacketToWrite) => PacketToWrite): string {
  const packets = frames.map((data, i) => ({ data, timeNs: BigInt(i) * 1_000_000n }));
  return write(dir, name, change === undefined ? packets : packets.map(change), 1);
}

describe('holes that a capture has', () => {
  const whole = (isn: number) =>
    said(
      isn,
      [
        [0, 'aaaa'],
        [4, 'bbbb'],
        [8, 'cccc'],
      ],
      12,
    ); // prettier-ignore

  test('in both, the same one: nothing differs, and that is not called equal', () => {
    const holed = (isn: number) =>
      said(
        isn,
        [
          [0, 'aaaa'],
          [8, 'cccc'],
        ],
        12,
      );
    const result = compared(holed(A), holed(B));
    expect(result).toMatchObject({ result: 'incomplete', equal: false, differences: [], comparedBytes: 8 });
    expect(result.notCompared).toEqual({ hole_in_capture: 1 });
    expect(result.flows).toMatchObject({ compared: 1, equal: 0, incomplete: 1, different: 0 });
    expect(comparisonText(result)).toMatch(
      /\nleft out {3}1 hole_in_capture\nnothing differs in what could be compared/,
    );
  });

  test.each([
    ['first', [1]],
    ['middle', [2]],
    ['last, which the FIN behind it tells', [3]],
    ['two', [1, 3]],
  ])('in one only: %s', (_, lost) => {
    const cut = (isn: number) => whole(isn).filter((_, i) => !lost.includes(i));
    for (const result of [compared(cut(A), whole(B)), compared(whole(A), cut(B))]) {
      expect(result).toMatchObject({ result: 'incomplete', notCompared: { hole_in_capture: lost.length } });
    }
  });

  test('what stands behind a hole is compared', () => {
    const holed = (isn: number, text: string) =>
      said(
        isn,
        [
          [0, 'aaaa'],
          [8, text],
        ],
        12,
      );
    const result = compared(holed(A, 'cccc'), holed(B, 'ccXc'));
    expect(result).toMatchObject({ result: 'different', differences: [{ cause: 'payload', offset: 10 }] });
    expect(compared(holed(A, 'ccXc'), whole(B)).result).toBe('different');
  });

  test('a side that says no more is silent, not holed', () => {
    expect(compared(whole(A), said(B, [[0, 'aaaa']]))).toMatchObject({
      result: 'different',
      differences: [{ cause: 'secondary_silent', offset: 4 }],
    });
  });

  test('behind which more waits than there is room for', () => {
    const long = inPieces('z'.repeat(9000), 1000).map((text, i): [number, string] => [4 + 1000 * i, text]);
    const result = compared(said(A, long), said(B, long), { maxAheadBytes: 3000 });
    expect(result).toMatchObject({ result: 'incomplete', notCompared: { hole_in_capture: 1 } });
  });
});

describe('a side that contradicts itself', () => {
  const straight = (isn: number) => said(isn, [[0, 'abcdefgh']], 8);
  const twisted = (isn: number) =>
    said(
      isn,
      [
        [0, 'abcdefgh'],
        [2, 'cdXf'],
      ],
      8,
    ); // prettier-ignore

  test('either side, seen from either side', () => {
    for (const result of [compared(twisted(A), straight(B)), compared(straight(A), twisted(B))]) {
      expect(result).toMatchObject({ result: 'different', differences: [{ cause: 'retransmission', offset: 4 }] });
    }
    const shown = compared(straight(A), twisted(B)).differences[0]!;
    expect([shown.primary, shown.secondary].map((hex) => Buffer.from(hex, 'hex').toString())).toEqual(['ef', 'Xf']);
  });

  test('a true repetition, in whole and in part, is none', () => {
    const again = (isn: number) =>
      said(
        isn,
        [
          [0, 'abcdefgh'],
          [2, 'cd'],
          [0, 'abcdefgh'],
          [6, 'ghij'],
        ],
        10,
      ); // prettier-ignore
    const once = (isn: number) => said(isn, [[0, 'abcdefghij']], 10);
    expect(compared(once(A), again(B)).result).toBe('equal');
    expect(compared(again(A), once(B)).result).toBe('equal');
  });

  test('before a connection that follows on the same ports', () => {
    const next = (isn: number) => served({ isn: (isn + 0x100000) >>> 0, segments: ['next'] });
    const first = (isn: number, text: string) => said(isn, [[0, text]]);
    const result = compared([...first(A, 'abcd'), ...next(A)], [...first(B, 'ab'), ...next(B)]);
    expect(result).toMatchObject({ result: 'different', differences: [{ cause: 'secondary_silent', offset: 2 }] });
    const more = compared([...first(A, 'ab'), ...next(A)], [...first(B, 'abcd'), ...next(B)]);
    expect(more).toMatchObject({ result: 'different', differences: [{ cause: 'primary_silent', offset: 2 }] });
  });

  test('the result is the same with the sides exchanged', () => {
    const piece = fc.tuple(fc.nat(11), fc.integer({ min: 2, max: 6 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.array(piece, { maxLength: 6 }), (a, b) => {
        const text = 'abcdefghijkl';
        const side = (isn: number, pieces: typeof a) =>
          said(isn, [
            [0, text],
            ...pieces.map(([from, n, wrong]): [number, string] => {
              const part = text.slice(from, from + n);
              return [from, wrong && part.length > 1 ? `${part.slice(0, -1)}#` : part];
            }),
          ]);
        const one = compared(side(A, a), side(B, b)).result;
        const wrong = [...a, ...b].some(([from, , twist]) => twist && from < text.length - 1);
        expect(one).toBe(wrong ? 'different' : 'equal');
        expect(compared(side(A, b), side(B, a)).result).toBe(one);
      }),
      { numRuns: 60 },
    );
  });
});

describe('segments that were captured before the network card cut them', () => {
  const large = (isn: number, offset: number, text: string): Buffer => {
    const packet = said(isn, [[offset, text]])[1]!;
    packet.writeUInt16BE(0, 2);
    return packet;
  };
  const connection = (isn: number, text: string): Buffer[] => [
    ...said(isn, [[0, 'head']]),
    large(isn, 4, text),
    ...said(isn, [[4 + text.length, 'tail']], 8 + text.length).slice(1),
  ];

  test('have the captured length', () => {
    const text = 'x'.repeat(4000);
    expect(compared(connection(A, text), connection(B, text))).toMatchObject({
      result: 'equal',
      comparedBytes: 4008,
    });
    const other = `${'x'.repeat(3000)}y${'x'.repeat(999)}`;
    expect(compared(connection(A, text), connection(B, other))).toMatchObject({
      result: 'different',
      differences: [{ offset: 3004 }],
    });
  });

  test('and are cut when the capture is', () => {
    const packets = connection(A, 'x'.repeat(4000)).map((data): PacketToWrite => ({ data }));
    packets[2] = { data: packets[2]!.data.subarray(0, 200), originalBytes: packets[2]!.data.length };
    const good = capture(dir, 'good.pcap', connection(B, 'x'.repeat(4000)));
    expect(() => compareCaptures(write(dir, 'cut.pcap', packets), good)).toThrow(/packet 3 of the guest was cut/);
  });

  test('in a frame that may be padded, a length of 0 tells nothing', () => {
    const short = (isn: number) => [...said(isn, [[0, 'head']]), large(isn, 4, 'ab')];
    expect(compared(short(A), short(B))).toMatchObject({ result: 'incomplete', notCompared: { jumbo: 2 } });
  });
});

describe('whose it is', () => {
  const udp = frame(GUEST_MAC, 0x0800, buildUdp({ payload: 'x'.repeat(40) }));

  test('only what the guest sent counts', () => {
    const damaged = buildUdp({ payload: 'x'.repeat(40) }).subarray(0, 10);
    const others = [frame(OTHER_MAC, 0x0800, damaged), frame(OTHER_MAC, 0x88cc, Buffer.alloc(46))];
    const good = onEthernet('good.pcap', [udp]);
    const guests = { guests: ['10.0.0.1'] };
    expect(compareCaptures(onEthernet('o.pcap', [udp, ...others]), good, guests).result).toBe('equal');
    const own = [frame(GUEST_MAC, 0x0800, damaged), frame(GUEST_MAC, 0x88cc, Buffer.alloc(46))];
    expect(compareCaptures(onEthernet('g.pcap', [udp, ...own]), good, guests)).toMatchObject({
      result: 'incomplete',
      notCompared: { short: 1, not_ip: 1 },
    });
  });

  test('what is never compared does not count', () => {
    const arp = [frame(GUEST_MAC, 0x0806, Buffer.alloc(46)), frame(GUEST_MAC, 0x8035, Buffer.alloc(46))];
    const result = compareCaptures(onEthernet('a.pcap', [udp, ...arp]), onEthernet('b.pcap', [udp]));
    expect(result).toMatchObject({ result: 'equal', primary: { skipped: { arp: 2 } } });
  });

  test('a segment that the engine cannot read', () => {
    const broken = buildTcp({ dport: 40000, seq: A, ack: 5001, flags: 'SFA' });
    const file = (isn: number) => said(isn, [[0, 'abc']]);
    expect(compared([...file(A), broken], file(B))).toMatchObject({
      result: 'incomplete',
      notCompared: { malformed: 1 },
    });
  });
});

test('a reset with text as the first packet of both: nobody knows where its bytes stand', () => {
  const reset = (isn: number, payload: string) => buildTcp({ dport: 40001, seq: isn, ack: 5001, flags: 'RA', payload });
  const other = buildUdp({ payload: 'x' });
  expect(compared([reset(A, 'no such'), other], [reset(B, 'no such'), other])).toMatchObject({
    result: 'incomplete',
    flows: { skipped: 1, different: 0 },
    notCompared: { connection_without_syn: 2 },
  });
  expect(compared([reset(A, 'no such'), other], [other]).result).toBe('different');
});

test('captures in which every packet was cut: said so, and not that nobody sends', () => {
  const file = (name: string) => {
    const data = buildUdp({ payload: 'x'.repeat(100) });
    return write(dir, name, [{ data: data.subarray(0, 60), originalBytes: data.length }]);
  };
  let error: OperatorError | undefined;
  try {
    compareCaptures(file('a.pcap'), file('b.pcap'));
  } catch (caught) {
    error = caught as OperatorError;
  }
  expect(error).toMatchObject({ code: 'ECUT', message: expect.stringContaining('packet 1 was cut') });
});
