import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import fc from 'fast-check';
import { addCompareCommand } from '../../../src/cli/compare';
import { OperatorError } from '../../../src/core/errors';
import { encodePcap } from '../../../src/io/pcap/pcap';
import { type CompareOptions, type Comparison, compareCaptures } from '../../../src/replay/captures';
import { buildEchoReply, buildIp, buildTcp, buildUdp } from '../../lib/build-packet';
import { neighbourAdvertisement } from '../../lib/build-upkeep';
import { fragmentOf, pieces } from '../../lib/fragments';
import { asked, CLIENT, capture, GUEST, inPieces, served, write } from './conversations';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-compare-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

const TEXT = Array.from({ length: 400 }, (_, i) => `line ${i} of the answer\n`).join('');
const A = 1_000_000;
const B = 0xfffff000; // so that the numbers wrap

function compared(primary: Buffer[], secondary: Buffer[], options: CompareOptions = {}): Comparison {
  return compareCaptures(capture(dir, 'p.pcap', primary), capture(dir, 's.pcap', secondary), options);
}

function failure(run: () => unknown): OperatorError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    return error as OperatorError;
  }
  throw new Error('no failure');
}

describe('equal', () => {
  test('whatever the ISN and the segmentation', () => {
    const result = compared(
      served({ isn: A, segments: inPieces(TEXT, 1448) }),
      served({ isn: B, segments: inPieces(TEXT, 100) }),
    );
    expect(result).toMatchObject({
      equal: true,
      guests: ['10.0.0.1'],
      flows: { compared: 1, equal: 1, different: 0, skipped: 0 },
      comparedBytes: TEXT.length,
      differences: [],
    });
    expect(result.primary).toMatchObject({ packets: result.primary.guestPackets, skipped: {} });
  });

  test('IPv6', () => {
    const result = compared(
      served({ isn: A, segments: inPieces(TEXT, 1000) }, { family: 6 }),
      served({ isn: B, segments: inPieces(TEXT, 999) }, { family: 6 }),
    );
    expect(result).toMatchObject({ equal: true, guests: ['fd00::1'], comparedBytes: TEXT.length });
  });

  test('repeated and reordered segments', () => {
    const primary = served({ isn: A, segments: inPieces(TEXT, 1000) });
    const secondary = served({ isn: B, segments: inPieces(TEXT, 700) });
    primary.splice(5, 0, primary[2]!, primary[4]!);
    [secondary[3], secondary[6]] = [secondary[6]!, secondary[3]!];
    expect(compared(primary, secondary)).toMatchObject({ equal: true, comparedBytes: TEXT.length });
  });

  test('one side is far ahead, either one, by other clocks as well', () => {
    const connection = (isn: number): Buffer[] => served({ isn, segments: inPieces(TEXT, 500) });
    const start = 1_700_000_000_000;
    for (const [p, s] of [
      [0, 1000],
      [1000, 0],
      [0, 59_000],
      [0, 1e9],
      [1e9, 0],
    ]) {
      const primary = capture(dir, 'p.pcap', connection(A), start + p!);
      const secondary = capture(dir, 's.pcap', connection(B), start + s!);
      expect(compareCaptures(primary, secondary)).toMatchObject({ equal: true, comparedBytes: TEXT.length });
    }
  });

  test('a port that is used again, one side ahead of the other', () => {
    const both = (first: number, second: number): Buffer[] => [
      ...served({ isn: first, segments: ['first', ' answer'] }),
      ...served({ isn: second, segments: ['the second', ' answer'] }),
    ];
    for (const lead of [0, 3, 500, -3, -500]) {
      const primary = capture(dir, 'p.pcap', both(A, A + 900_000));
      const secondary = capture(dir, 's.pcap', both(B, 77), 1_700_000_000_000 + lead);
      expect(compareCaptures(primary, secondary)).toMatchObject({
        equal: true,
        flows: { compared: 1 },
        comparedBytes: 29,
      });
    }
  });

  test('connections that the guest opens', () => {
    const opened = (isn: number): Buffer[] => [
      buildTcp({ seq: isn, flags: 'S', sport: 33000, dport: 443, options: [2, 4, 5, 0xb4] }),
      buildTcp({ seq: isn + 1, ack: 1, flags: 'A', sport: 33000, dport: 443 }),
      buildTcp({ seq: isn + 1, ack: 1, flags: 'PA', sport: 33000, dport: 443, payload: 'hello' }),
    ];
    expect(compared(opened(A), opened(B))).toMatchObject({ equal: true, comparedBytes: 5 });
  });

  test('UDP, ICMP and other protocols', () => {
    const packets = (id: number): Buffer[] => [
      buildUdp({ payload: 'one', id }),
      buildUdp({ payload: 'two', id: id + 1 }),
      buildEchoReply(7, 1, 'ping'),
      buildIp(4, GUEST, CLIENT, 47, Buffer.from('gre'), 64, id),
    ];
    expect(compared(packets(1), packets(500))).toMatchObject({
      equal: true,
      flows: { compared: 3 },
      comparedBytes: 6 + 12 + 3,
    });
  });

  test('both directions captured: the guest is the one that all speak with', () => {
    const file = (isn: number): Buffer[] => [
      ...asked(),
      ...served({ isn, segments: ['same'] }),
      buildUdp({ src: [10, 0, 0, 9], dst: GUEST, payload: 'query' }),
      buildUdp({ dst: [10, 0, 0, 9], payload: 'answer' }),
    ];
    const result = compared(file(A), file(B));
    expect(result).toMatchObject({ equal: true, guests: ['10.0.0.1'], flows: { compared: 2 } });
    expect(result.primary).toMatchObject({ packets: 8, guestPackets: 5 });
  });

  test('translated numbers, with --secondary-translated only', () => {
    const primary = served({ isn: A, segments: ['abc', 'def'] });
    const secondary = served({ isn: B, segments: ['abcd', 'ef'], translatedFrom: A });
    expect(compared(primary, secondary, { secondaryTranslated: true })).toMatchObject({
      equal: true,
      comparedBytes: 6,
    });
    expect(compared(primary, secondary).equal).toBe(false);
  });

  test('captures that began in the middle of a connection with the same numbers', () => {
    const middle = (from: number): Buffer[] => served({ isn: A, segments: inPieces(TEXT, 500) }).slice(from);
    expect(compared(middle(4), middle(4))).toMatchObject({ equal: true, flows: { compared: 1, skipped: 0 } });
  });
});

test('the files are merged by time, so that neither side runs far ahead', () => {
  const connection = (isn: number): Buffer[] => served({ isn, segments: inPieces(TEXT, 500) });
  const start = 1_700_000_000_000;
  const primary = capture(dir, 'p.pcap', connection(A), start);
  const at = (later: number): Comparison =>
    compareCaptures(primary, capture(dir, 's.pcap', connection(B), start + later), { maxAheadBytes: 3000 });
  expect(at(0).equal).toBe(true);
  expect(at(3).equal).toBe(true);
  expect(at(61_000).equal).toBe(true);
  expect(at(-1e9).equal).toBe(true);
  const apart = { cause: 'bound_exhausted', detail: expect.stringContaining('too far ahead') };
  expect(at(5000).differences).toMatchObject([apart]);
  expect(at(-5000).differences).toMatchObject([apart]);
});

describe('different', () => {
  test('one byte: where it is, and both sides', () => {
    const other = `${TEXT.slice(0, 3210)}#${TEXT.slice(3211)}`;
    const result = compared(
      served({ isn: A, segments: inPieces(TEXT, 1000) }),
      served({ isn: B, segments: inPieces(other, 900) }),
    );
    expect(result).toMatchObject({ equal: false, flows: { compared: 1, equal: 0, different: 1 } });
    const [difference] = result.differences;
    expect(difference).toMatchObject({ flow: 'tcp 10.0.0.1:80 > 10.0.0.2:40000', cause: 'payload', offset: 3210 });
    expect(Buffer.from(difference!.primary, 'hex').toString()).toBe(
      TEXT.slice(3210, 3210 + difference!.primary.length / 2),
    );
    expect(Buffer.from(difference!.secondary, 'hex').toString()[0]).toBe('#');
    expect(result.comparedBytes).toBeLessThanOrEqual(3210);
    expect(Object.values({ ...result.primary.skipped, ...result.secondary.skipped })[0]).toBeGreaterThan(0);
  });

  test('a difference in one flow leaves the others alone', () => {
    const flows = (isn: number, odd: string): Buffer[] =>
      [1, 2, 3].flatMap((n) =>
        served({ isn: isn + n * 7777, segments: ['some ', n === 2 ? odd : 'text', ' more'], port: 40000 + n }),
      );
    const result = compared(flows(A, 'text'), flows(B, 'test'));
    expect(result).toMatchObject({ equal: false, flows: { compared: 3, equal: 2, different: 1 } });
    expect(result.differences).toMatchObject([{ flow: 'tcp 10.0.0.1:80 > 10.0.0.2:40002', offset: 7 }]);
  });

  test('the secondary says less', () => {
    const result = compared(
      served({ isn: A, segments: ['abc', 'defghi'], fin: false }),
      served({ isn: B, segments: ['abcd'], fin: false }),
    );
    expect(result.differences).toMatchObject([
      { cause: 'secondary_silent', offset: 4, primary: Buffer.from('efghi').toString('hex'), secondary: '' },
    ]);
  });

  test('the primary says less', () => {
    const result = compared(
      served({ isn: A, segments: ['abc'], fin: false }),
      served({ isn: B, segments: ['ab', 'cdef'], fin: false }),
    );
    expect(result.differences).toMatchObject([
      { cause: 'primary_silent', offset: 3, primary: '', secondary: Buffer.from('def').toString('hex') },
    ]);
  });

  test('one side ends the stream', () => {
    const open = { isn: A, segments: ['abc'], fin: false };
    expect(compared(served({ ...open, fin: true }), served({ ...open, isn: B })).differences).toMatchObject([
      { cause: 'secondary_silent', offset: 3, detail: 'only the primary sends this FIN' },
    ]);
    expect(compared(served(open), served({ ...open, isn: B, fin: true })).differences).toMatchObject([
      { cause: 'primary_silent', detail: 'only the secondary sends a FIN' },
    ]);
    expect(
      compared(served({ isn: A, segments: ['abcdef'] }), served({ isn: B, segments: ['abc'], fin: true })).differences,
    ).toMatchObject([{ cause: 'fin', detail: expect.stringContaining('secondary ends at 3') }]);
  });

  test('one side refuses the connection', () => {
    const refused = [buildTcp({ seq: 0, ack: 5001, flags: 'RA' })];
    expect(compared(served({ isn: A, segments: [] }), refused).differences).toMatchObject([{ cause: 'rst' }]);
    const aborted = (isn: number, rst: boolean): Buffer[] => {
      const packets = served({ isn, segments: ['abc'], fin: false });
      if (rst) packets.push(buildTcp({ seq: isn + 4, ack: 5101, flags: 'RA' }));
      return packets;
    };
    expect(compared(aborted(A, true), aborted(B, true)).equal).toBe(true);
    expect(compared(aborted(A, true), aborted(B, false)).differences).toMatchObject([
      { cause: 'secondary_silent', detail: 'only the primary sends this RST' },
    ]);
    expect(compared(aborted(A, false), aborted(B, true)).differences).toMatchObject([
      { cause: 'primary_silent', detail: 'only the secondary sends a RST' },
    ]);
  });

  test('SYN options', () => {
    const result = compared(served({ isn: A, segments: ['a'] }), served({ isn: B, segments: ['a'], mss: 1400 }));
    expect(result.differences).toMatchObject([
      { cause: 'syn_options', detail: 'primary: mss 1460 wscale 7 sack ts; secondary: mss 1400 wscale 7 sack ts' },
    ]);
    expect(result.differences[0]!.offset).toBeUndefined();
  });

  test('a SYN that only one side repeats with other options', () => {
    const syn = (seq: number, options: number[]): Buffer => buildTcp({ flags: 'S', seq, options });
    const [full, less] = [
      [2, 4, 5, 0xb4, 1, 3, 3, 8],
      [2, 4, 5, 0xb4],
    ];
    const both = [syn(A, full), syn(A, full), syn(A, less)];
    expect(compared(both, [syn(B, full), syn(B, less)], { guests: ['10.0.0.1'] }).result).toBe('equal');
    const secondary = compared([syn(A, full)], [syn(B, full), syn(B, less)], { guests: ['10.0.0.1'] });
    expect(secondary.differences).toMatchObject([
      { cause: 'primary_silent', detail: 'only the secondary retransmits its SYN with other options' },
    ]);
    const primary = compared(both, [syn(B, full)], { guests: ['10.0.0.1'] });
    expect(primary.differences).toMatchObject([{ cause: 'secondary_silent' }]);
  });

  test('urgent data', () => {
    const marked = (pointer: number): Buffer => {
      const packet = buildTcp({ seq: A, payload: 'helloX', flags: pointer > 0 ? 'UA' : 'A' });
      packet.writeUInt16BE(pointer, 38);
      return packet;
    };
    expect(compared([marked(6)], [marked(6)], { guests: ['10.0.0.1'] }).result).toBe('equal');
    expect(compared([marked(6)], [marked(0)], { guests: ['10.0.0.1'] }).differences).toMatchObject([
      { cause: 'urgent', detail: 'the two mark other bytes as urgent, or one marks none' },
    ]);
  });

  test('keepalives with a byte of garbage are none', () => {
    const probed = (isn: number, byte: string): Buffer[] => [
      ...served({ isn, segments: ['abc'] }),
      buildTcp({ src: GUEST, dst: CLIENT, seq: isn + 3, ack: 1, payload: byte }),
    ];
    expect(compared(probed(A, '\0'), probed(B, 'x'), { guests: ['10.0.0.1'] }).result).toBe('equal');
  });

  test('an IPv6 packet behind other headers', () => {
    const behind = (byte: number): Buffer =>
      buildIp(
        6,
        Array(16).fill(1),
        Array(16).fill(2),
        60,
        Buffer.from([17, 0, 1, 4, byte, 0, 0, 0, 0, 53, 0, 53, 0, 9, 0, 0, 7]),
      );
    const guests = { guests: ['101:101:101:101:101:101:101:101'] };
    expect(compared([behind(0)], [behind(0)], guests).result).toBe('equal');
    expect(compared([behind(0)], [behind(1)], guests).differences).toMatchObject([{ cause: 'payload', offset: 4 }]);
  });

  test('datagrams: a byte, a length, one that is missing', () => {
    const udp = (...payloads: string[]): Buffer[] => payloads.map((payload) => buildUdp({ payload }));
    expect(compared(udp('one', 'two!'), udp('one', 'two?')).differences).toMatchObject([
      { flow: 'udp 10.0.0.1:53 > 10.0.0.2:40000', cause: 'payload', offset: 3, primary: '21', secondary: '3f' },
    ]);
    expect(compared(udp('one', 'twoo'), udp('one', 'two')).differences).toMatchObject([
      { cause: 'length', detail: 'primary: 4 bytes; secondary: 3 bytes' },
    ]);
    expect(compared(udp('one', 'two'), udp('one')).differences).toMatchObject([
      { cause: 'secondary_silent', offset: 0, primary: Buffer.from('two').toString('hex'), secondaryPacket: 1 },
    ]);
    expect(compared(udp('one'), udp('one', 'two')).differences).toMatchObject([
      { cause: 'primary_silent', offset: 0, secondary: Buffer.from('two').toString('hex') },
    ]);
  });

  test('a flow that only one side has', () => {
    const common = [buildUdp({ payload: 'x', sport: 1 })];
    const flow = served({ isn: A, segments: ['abc'] });
    expect(compared([...common, ...flow], common).differences).toMatchObject([
      { cause: 'secondary_silent', detail: 'only the primary sends this SYN', secondaryPacket: 0 },
    ]);
    expect(compared(common, [...common, ...flow]).differences).toMatchObject([
      { cause: 'primary_silent', detail: 'only the secondary sends its SYN', primaryPacket: 0 },
    ]);
  });

  test('no more differences are kept than asked for, but all are counted', () => {
    const flows = (odd: string): Buffer[] => [1, 2, 3, 4].map((port) => buildUdp({ sport: port, payload: odd }));
    const result = compared(flows('a'), flows('b'), { maxDifferences: 2 });
    expect(result.differences).toHaveLength(2);
    expect(result.flows.different).toBe(4);
  });

  test('a random byte of a random segmentation is always found, and where', () => {
    fc.assert(
      fc.property(
        fc.nat(TEXT.length - 1),
        fc.integer({ min: 40, max: 3000 }),
        fc.integer({ min: 40, max: 3000 }),
        fc.integer({ min: -100, max: 100 }),
        (at, p, s, lead) => {
          const other = `${TEXT.slice(0, at)}\u0001${TEXT.slice(at + 1)}`;
          const primary = capture(dir, 'p.pcap', served({ isn: A, segments: inPieces(TEXT, p) }));
          const file = (text: string): string =>
            capture(dir, 's.pcap', served({ isn: B, segments: inPieces(text, s) }), 1_700_000_000_000 + lead);
          expect(compareCaptures(primary, file(other)).differences).toMatchObject([{ cause: 'payload', offset: at }]);
          expect(compareCaptures(primary, file(TEXT)).equal).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('fragments are compared as the packets that they make', () => {
  const cut = (packet: Buffer, id: number, ...at: number[]): Buffer[] =>
    pieces(packet.length - (packet[0]! >>> 4 === 4 ? 20 : 40), at).map((piece) => fragmentOf(packet, piece, id));
  const v6 = { family: 6 as const, src: Array(16).fill(1), dst: Array(16).fill(2) };

  test.each([{}, v6])('wherever they were cut, in whatever order they came', (fields) => {
    const datagram = buildUdp({ ...fields, payload: TEXT.slice(0, 3000) });
    const other = buildUdp({ ...fields, payload: 'another' });
    const p = [...cut(datagram, 7, 100, 200), other];
    const result = compared(p, [...cut(datagram, 9, 185).reverse(), other]);
    expect(result).toMatchObject({ equal: true, comparedBytes: 3007, flows: { compared: 1 } });
    expect(result.primary).toMatchObject({ packets: 2, guestPackets: 2, skipped: {} });
    // Some whole, some not.
    expect(compared(p, [datagram, other])).toMatchObject({ equal: true, comparedBytes: 3007 });
  });

  test.each([{}, v6])('a byte that differs, and where', (fields) => {
    const datagram = buildUdp({ ...fields, payload: TEXT.slice(0, 3000) });
    const other = buildUdp({ ...fields, payload: `${TEXT.slice(0, 2500)}#${TEXT.slice(2501, 3000)}` });
    expect(compared(cut(datagram, 7, 185), cut(other, 7, 185))).toMatchObject({
      equal: false,
      differences: [{ cause: 'payload', offset: 2500, primaryPacket: 2, secondaryPacket: 2 }],
    });
  });

  test('those that make no packet are counted', () => {
    const whole = buildUdp({ payload: 'x' });
    const loose = cut(buildUdp({ payload: TEXT.slice(0, 3000) }), 7, 185).slice(0, 1);
    const result = compared([whole, ...loose], [whole]);
    expect(result).toMatchObject({ result: 'incomplete', primary: { packets: 1, skipped: { fragment: 1 } } });
    expect(result.notCompared).toEqual({ fragment: 1 });
    expect(result.secondary.skipped).toEqual({});
  });
});

describe('what is left out', () => {
  test('is counted by reason', () => {
    const fragment = buildUdp({ payload: 'fragment' });
    fragment[6] = 0x20;
    const file = [
      buildUdp({ payload: 'x' }),
      fragment,
      neighbourAdvertisement({ src: Array(16).fill(9) }),
      Buffer.from('00', 'hex'),
      buildUdp({ payload: 'y' }).subarray(0, 15),
    ];
    const result = compared(file, [file[0]!], { guests: ['10.0.0.1', '909:909:909:909:909:909:909:909'] });
    expect(result).toMatchObject({ result: 'incomplete', equal: false, flows: { compared: 1 } });
    expect(result.primary).toMatchObject({
      guestPackets: 2,
      skipped: { fragment: 1, infrastructure: 1, not_ip: 1, short: 1 },
    });
  });

  test('connections whose SYN is missing on a side', () => {
    const whole = (isn: number): Buffer[] => served({ isn, segments: ['abc', 'def'] });
    const far = 0x80000000;
    const other = [buildUdp({ payload: 'x' })];
    const late = compared([...whole(A), ...other], [...whole(far).slice(1), ...other]);
    expect(late).toMatchObject({ result: 'incomplete', flows: { compared: 1, skipped: 1 } });
    expect(late.primary.skipped).toEqual({ connection_without_syn: 5 });
    // Near numbers say nothing when one side's SYN is known.
    expect(compared([...whole(A), ...other], [...whole(A + 5).slice(1), ...other]).flows.skipped).toBe(1);
    expect(compared([...whole(A).slice(2), ...other], [...whole(far).slice(2), ...other])).toMatchObject({
      flows: { skipped: 1 },
    });
    const error = failure(() => compared(whole(A).slice(1), whole(far).slice(1)));
    expect(error).toMatchObject({ code: 'ENOTHING', message: expect.stringContaining('no connection') });
  });
});

describe('trouble', () => {
  test('a damaged file', () => {
    const whole = encodePcap([{ data: buildUdp({ payload: 'x' }) }], { linkType: 101 });
    const cut = join(dir, 'cut.pcap');
    writeFileSync(cut, whole.subarray(0, whole.length - 3));
    const good = capture(dir, 'good.pcap', [buildUdp({ payload: 'x' })]);
    expect(failure(() => compareCaptures(good, cut))).toMatchObject({
      code: 'ECAPTURE',
      message: expect.stringContaining('cut.pcap: at byte 40: expected packet 1'),
    });
    expect(failure(() => compareCaptures(join(dir, 'nothing'), good)).code).toBe('ECAPTURE');
    expect(failure(() => compareCaptures(dir, good)).message).toContain('not a file');
  });

  test('a capture in which there is nothing to find: said of the right file, with the reason', () => {
    const packet = buildUdp({ payload: 'x' });
    const good = capture(dir, 'good.pcap', [packet]);
    const strange = join(dir, 'strange.pcap');
    writeFileSync(strange, encodePcap([{ data: packet }], { linkType: 147 }));
    const guests = [GUEST.join('.')];
    for (const options of [{}, { guests }]) {
      expect(failure(() => compareCaptures(good, strange, options))).toMatchObject({
        code: 'ECAPTURE',
        message: expect.stringMatching(/strange\.pcap: cannot find IP packets in link type 147/),
      });
    }
    const empty = write(dir, 'empty.pcap', []);
    expect(failure(() => compareCaptures(good, empty))).toMatchObject({
      code: 'ENOTHING',
      message: expect.stringMatching(/empty\.pcap has no IP packet$/),
    });
    const garbage = write(dir, 'garbage.pcap', [{ data: Buffer.from([0x10]) }, { data: Buffer.from([0x10]) }]);
    expect(failure(() => compareCaptures(garbage, good)).message).toMatch(
      /garbage\.pcap has no IP packet \(skipped: 2 not_ip\)$/,
    );
    // A guest that is named may have been silent.
    expect(compareCaptures(good, empty, { guests }).differences).toMatchObject([{ cause: 'secondary_silent' }]);
  });

  test("packets that were cut, if they are the guest's", () => {
    const packet = buildUdp({ payload: 'x'.repeat(100) });
    const cut = { data: packet.subarray(0, 60), originalBytes: packet.length };
    const good = capture(dir, 'good.pcap', [packet]);
    expect(failure(() => compareCaptures(good, write(dir, 'cut.pcap', [{ data: packet }, cut])))).toMatchObject({
      code: 'ECUT',
      message: expect.stringContaining('cut.pcap: packet 2 of the guest'),
    });
    const foreign = buildUdp({ payload: 'x'.repeat(100), src: [10, 9, 9, 9] });
    const file = [{ data: packet }, { data: foreign.subarray(0, 60), originalBytes: foreign.length }];
    expect(compareCaptures(good, write(dir, 'cut.pcap', file)).equal).toBe(true);
  });

  test('nobody knows who the guest is', () => {
    const file = (isn: number): Buffer[] => [...asked(), ...served({ isn, segments: ['x'] })];
    expect(failure(() => compared(file(A), file(B)))).toMatchObject({
      code: 'EGUEST',
      message: 'several addresses send in both captures: 10.0.0.2, 10.0.0.1',
    });
    expect(compared(file(A), file(B), { guests: ['10.0.0.1'] })).toMatchObject({ equal: true, guests: ['10.0.0.1'] });
    const mesh = [0, 1, 2].map((n) => buildUdp({ src: [10, 0, 0, n + 1], dst: [10, 0, 0, ((n + 1) % 3) + 1] }));
    expect(failure(() => compared(mesh, mesh)).code).toBe('EGUEST');
    expect(failure(() => compared([buildUdp({})], [buildUdp({ src: [10, 0, 0, 3] })])).message).toContain(
      'no address sends in both',
    );
    expect(failure(() => compared(file(A), file(B), { guests: ['10.9.9.9'] })).code).toBe('ENOTHING');
    expect(failure(() => compared(file(A), file(B), { guests: ['guest'] })).code).toBe('EUSAGE');
  });
});

describe('the command', () => {
  function run(...args: string[]): { out: string; status: number | undefined } {
    const program = new Command('colo').exitOverride();
    addCompareCommand(program);
    let out = '';
    const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
      out += String(text);
      return true;
    });
    const before = process.exitCode;
    try {
      process.exitCode = undefined;
      program.parse(['compare', ...args], { from: 'user' });
      return { out, status: process.exitCode as number | undefined };
    } finally {
      process.exitCode = before;
      write.mockRestore();
    }
  }

  test('shows both sides of a difference, and ends with 1', () => {
    const primary = capture(dir, 'p.pcap', served({ isn: A, segments: ['HTTP/1.1 200 OK\r\n\r\n'] }));
    const secondary = capture(dir, 's.pcap', served({ isn: B, segments: ['HTTP/1.1 200 KO\r\n\r\n'] }));
    const { out, status } = run(primary, secondary);
    expect(status).toBe(1);
    expect(out.replaceAll(dir, 'DIR')).toBe(
      [
        '1. tcp 10.0.0.1:80 > 10.0.0.2:40000, stream offset 13: the bytes differ',
        '   seen at: primary packet 3, secondary packet 3',
        '       offset   primary                              secondary',
        '           13 * 4f 4b 0d 0a 0d 0a        |OK....|    4b 4f 0d 0a 0d 0a        |KO....|',
        '',
        'primary    DIR/p.pcap: 4 IP packets, 4 of the guest, skipped: 1 after_difference',
        'secondary  DIR/s.pcap: 4 IP packets, 4 of the guest, skipped: 1 after_difference',
        'guest      10.0.0.1',
        'flows      1 compared, 1 different, 0 in part, 0 not comparable',
        'bytes      0 equal',
        'different',
        '',
      ].join('\n'),
    );
  });

  test('JSON, options, and 0 for equal', () => {
    const file = (isn: number): Buffer[] => [...asked(), ...served({ isn, segments: ['x'] })];
    const primary = capture(dir, 'p.pcap', file(A));
    const secondary = capture(dir, 's.pcap', file(B));
    const { out, status } = run(primary, secondary, '--guest', '10.0.0.1', '--guest', 'fd00::1', '--json');
    expect(status).toBeUndefined();
    expect(JSON.parse(out)).toMatchObject({ equal: true, guests: ['10.0.0.1', 'fd00::1'], comparedBytes: 1 });
    expect(run(primary, secondary, '--guest', '10.0.0.1').out).toMatch(/\nequal\n$/);
  });

  test('trouble is thrown for the program to show and to end with 2', () => {
    expect(failure(() => run(join(dir, 'none'), join(dir, 'none'))).code).toBe('ECAPTURE');
    const stderr = jest.spyOn(process.stderr, 'write').mockImplementation(() => true);
    expect(() => run('a', 'b', '--max-differences', 'many')).toThrow(/must be a number/);
    stderr.mockRestore();
  });
});
