// Every edit of a TCP header leaves the checksum that the header would have from scratch; a partial one stays. Any
// fields, families and places of options, those at odd offsets too.

import fc from 'fast-check';
import { transportChecksum } from '../../../src/packet/checksum';
import { parseIp } from '../../../src/packet/parse';
import {
  addToAck,
  addToSack,
  addToSeq,
  addToTsEcr,
  addToTsVal,
  set16,
  setAck,
  setWindow,
  setWord,
} from '../../../src/packet/tcp-edit';
import { TCP_CHECKSUM_AT, TCP_URGENT_AT } from '../../../src/packet/tcp-header';
import { parseTcpOptions, TcpOptions } from '../../../src/packet/tcp-options';
import { PacketView } from '../../../src/packet/view';
import { buildTcp } from '../../lib/build-packet';

const NOP = 1;
const TIMESTAMP = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
const SACK = [5, 18, 0, 0, 1, 0, 0, 0, 2, 0, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 9];
/** 28 bytes of options, and so many NOPs before the first that its words lie at even or odd places. */
const layouts = [
  [NOP, NOP, ...TIMESTAMP, NOP, NOP, ...SACK],
  [NOP, ...TIMESTAMP, NOP, NOP, NOP, ...SACK],
  [...SACK, NOP, ...TIMESTAMP, NOP, NOP, NOP],
];

const packets = fc.record({
  family: fc.constantFrom<4 | 6>(4, 6),
  seq: fc.nat(0xffffffff),
  ack: fc.nat(0xffffffff),
  window: fc.nat(0xffff),
  options: fc.constantFrom(...layouts),
  payload: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
});

interface Row {
  name: string;
  edit: (v: PacketView, o: TcpOptions, by: number, partial: boolean) => void;
  /** Where the field stands, its size, and what it holds afterwards. */
  at: (v: PacketView, o: TcpOptions) => number;
  bytes: 2 | 4;
  is: (v: PacketView, o: TcpOptions, by: number) => number;
}

const ROWS: Row[] = [
  {
    name: 'setAck',
    edit: (v, _o, to, partial) => setAck(v.buf, v.l4, v.ack, to, partial),
    at: (v) => v.l4 + 8,
    bytes: 4,
    is: (_v, _o, to) => to,
  },
  {
    name: 'setWindow',
    edit: (v, _o, to, partial) => setWindow(v.buf, v.l4, v.window, to & 0xffff, partial),
    at: (v) => v.l4 + 14,
    bytes: 2,
    is: (_v, _o, to) => to & 0xffff,
  },
  {
    name: 'set16',
    edit: (v, _o, to, partial) => set16(v.buf, v.l4, TCP_URGENT_AT, 0, to & 0xffff, partial),
    at: (v) => v.l4 + 18,
    bytes: 2,
    is: (_v, _o, to) => to & 0xffff,
  },
  {
    name: 'setWord',
    edit: (v, o, to, partial) => setWord(v.buf, v.l4, o.timestampOffset, o.tsVal, to, partial),
    at: (_v, o) => o.timestampOffset,
    bytes: 4,
    is: (_v, _o, to) => to,
  },
  {
    name: 'addToSeq',
    edit: (v, _o, by, partial) => addToSeq(v, by, partial),
    at: (v) => v.l4 + 4,
    bytes: 4,
    is: (v, _o, by) => (v.seq + by) >>> 0,
  },
  {
    name: 'addToAck',
    edit: (v, _o, by, partial) => addToAck(v, by, partial),
    at: (v) => v.l4 + 8,
    bytes: 4,
    is: (v, _o, by) => (v.ack + by) >>> 0,
  },
  {
    name: 'addToTsVal',
    edit: addToTsVal,
    at: (_v, o) => o.timestampOffset,
    bytes: 4,
    is: (_v, o, by) => (o.tsVal + by) >>> 0,
  },
  {
    name: 'addToTsEcr',
    edit: addToTsEcr,
    at: (_v, o) => o.timestampOffset + 4,
    bytes: 4,
    is: (_v, o, by) => (o.tsEcr + by) >>> 0,
  },
  {
    name: 'addToSack',
    edit: addToSack,
    at: (_v, o) => o.sackOffset + 12,
    bytes: 4,
    is: (_v, _o, by) => (9 + by) >>> 0,
  },
];

test.each(ROWS)('$name writes the value, and the checksum of what stands there', ({ edit, at, bytes, is }) => {
  fc.assert(
    fc.property(packets, fc.nat(0xffffffff), fc.boolean(), (fields, by, partial) => {
      const packet = buildTcp({ ...fields, flags: 'A' });
      const v = new PacketView();
      const o = new TcpOptions();
      expect(parseIp(v, packet, 0, packet.length)).toBe(0);
      expect(parseTcpOptions(v, o)).toBe(true);
      const sum = packet.readUInt16BE(v.l4 + TCP_CHECKSUM_AT);
      edit(v, o, by, partial);
      expect(packet.readUIntBE(at(v, o), bytes)).toBe(is(v, o, by));
      expect(packet.readUInt16BE(v.l4 + TCP_CHECKSUM_AT)).toBe(partial ? sum : transportChecksum(v));
    }),
  );
});
