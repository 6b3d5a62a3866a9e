// The filters run in the kernel; here in an interpreter of what they use of classic BPF.
import { ackFilter, rstFilter, synFilter } from '../../../src/io/frame-filter';
import { buildFrame } from '../../lib/build-frame';
import { buildTcp, buildUdp } from '../../lib/build-packet';

const PROTOCOL = 0xfffff000;

function accepts(code: Uint8Array, frame: Buffer, protocol = frame.readUInt16BE(12)): boolean {
  const words = new DataView(code.buffer);
  let a = 0;
  let x = 0;
  for (let pc = 0; ; pc++) {
    const op = words.getUint16(pc * 8, true);
    if (op === 0x80) {
      a = frame.length;
      continue;
    }
    const k = words.getUint32(pc * 8 + 4, true);
    const at = op === 0x50 ? x + k : k;
    const bytes = op === 0x28 ? 2 : 1;
    if ([0x28, 0x30, 0x50, 0xb1].includes(op)) {
      if (k === PROTOCOL) a = protocol;
      else if (at + bytes > frame.length) return false;
      else if (op === 0xb1) x = (frame[at]! & 15) * 4;
      else a = frame.readUIntBE(at, bytes);
      continue;
    }
    if (op === 0x06) return k !== 0;
    const holds = op === 0x15 ? a === k : op === 0x25 ? a > k : op === 0x45 ? (a & k) !== 0 : undefined;
    if (holds === undefined) throw new Error(`instruction ${op.toString(16)}`);
    pc += code[pc * 8 + (holds ? 2 : 3)]!;
  }
}

function withOptions(packet: Buffer): Buffer {
  const out = Buffer.concat([packet.subarray(0, 20), Buffer.from([1, 1, 1, 0]), packet.subarray(20)]);
  out[0] = 0x46;
  return out;
}

test.each([
  ['SYN', buildTcp({ flags: 'S' }), true],
  ['SYN/ACK', buildTcp({ flags: 'SA' }), true],
  ['SYN behind IPv4 options', withOptions(buildTcp({ flags: 'S' })), true],
  ['SYN over IPv6', buildTcp({ family: 6, flags: 'S' }), true],
  ['ACK', buildTcp({ flags: 'PA' }), false],
  ['ACK behind IPv4 options', withOptions(buildTcp({ flags: 'PA' })), false],
  ['ACK over IPv6', buildTcp({ family: 6, flags: 'FPA' }), false],
  ['UDP', buildUdp({ payload: Buffer.alloc(20, 0xff) }), false],
  ['UDP over IPv6', buildUdp({ family: 6, payload: Buffer.alloc(20, 0xff) }), false],
  ['a later fragment', Buffer.from(buildTcp({ flags: 'S' })).fill(1, 7, 8), false],
  ['a short packet', buildTcp({ flags: 'S' }).subarray(0, 30), false],
])('the filter for SYNs: %s', (_name, packet, wanted) => {
  expect(accepts(synFilter(), buildFrame(packet))).toBe(wanted);
});

test('the filter for SYNs: a second tag, and ARP', () => {
  expect(accepts(synFilter(), buildFrame(buildTcp({ flags: 'S' }), { vlans: [5] }))).toBe(false);
  expect(accepts(synFilter(), buildFrame(Buffer.alloc(60, 0xff), { type: 0x0806 }))).toBe(false);
});

test.each([
  ['RST', buildTcp({ flags: 'R' }), true],
  ['RST over IPv6', buildTcp({ family: 6, flags: 'RA' }), true],
  ['SYN/ACK', buildTcp({ flags: 'SA' }), false],
  ['ACK over IPv6', buildTcp({ family: 6, flags: 'FPA' }), false],
])('the filter for RSTs: %s', (_name, packet, wanted) => {
  expect(accepts(rstFilter(), buildFrame(packet))).toBe(wanted);
});

test.each([
  ['ACK', buildTcp({ flags: 'A' }), true],
  ['data over IPv6', buildTcp({ family: 6, flags: 'PA', payload: Buffer.alloc(1400) }), true],
  ['SYN', buildTcp({ flags: 'S' }), false],
  ['a longer one', buildTcp({ flags: 'PA', payload: Buffer.alloc(1600) }), false],
])('the filter for what is said in open connections: %s', (_name, packet, wanted) => {
  expect(accepts(ackFilter(1600), buildFrame(packet))).toBe(wanted);
});
