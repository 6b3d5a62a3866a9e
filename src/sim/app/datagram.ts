// Datagrams: a UDP server in the guests whose answers have contents named by the request, ICMP echo, and the client's
// requests and checks. Request: id, content seed, size, number of answers, flags. Answer: id, seed, index, size.

import { fillContent, matchContent } from '../content';
import type { Machine } from '../machine';
import type { SimPacket } from '../packet';
import { ipHeaderBytes, PROTO_ICMP, PROTO_ICMPV6, PROTO_UDP } from '../wire';

export const UDP_SERVER_PORT = 7;
const REQUEST_BYTES = 16;
const ANSWER_BYTES = 16;
const ECHO_REQUEST = [8, 128] as const;
const ECHO_REPLY = [0, 129] as const;

/** The guest's answer to a UDP datagram; a port without a server is answered by an ICMP error. */
export function answerDatagram(machine: Machine, packet: SimPacket): void {
  const { buf, family } = packet;
  const l4 = ipHeaderBytes(family);
  if (buf.readUInt16BE(l4 + 2) !== UDP_SERVER_PORT) {
    portUnreachable(machine, packet);
    return;
  }
  const at = l4 + 8;
  if (buf.length < at + REQUEST_BYTES) return;
  const id = buf.readUInt32BE(at);
  const asked = buf.readUInt16BE(at + 8);
  const answers = buf[at + 10]!;
  const divergent = buf[at + 11] !== 0;
  for (let i = 0; i < answers; i++) {
    const seed = divergent ? machine.prng.u32() : (buf.readUInt32BE(at + 4) + i) >>> 0;
    const size = divergent ? asked - Math.min(asked, seed & 7) : asked;
    const out = Buffer.alloc(8 + ANSWER_BYTES + size);
    out.writeUInt16BE(UDP_SERVER_PORT, 0);
    out.writeUInt16BE(buf.readUInt16BE(l4), 2);
    out.writeUInt16BE(out.length, 4);
    out.writeUInt32BE(id, 8);
    out.writeUInt32BE(seed, 12);
    out.writeUInt32BE(i, 16);
    out.writeUInt32BE(size, 20);
    fillContent(seed, 0, out, 8 + ANSWER_BYTES, size);
    machine.sendDatagram(family, PROTO_UDP, out);
  }
}

function portUnreachable(machine: Machine, packet: SimPacket): void {
  const v4 = packet.family === 4;
  const quoted = packet.buf.subarray(0, Math.min(packet.buf.length, v4 ? 28 : 600));
  const out = Buffer.alloc(8 + quoted.length);
  out[0] = v4 ? 3 : 1;
  out[1] = v4 ? 3 : 4;
  quoted.copy(out, 8);
  machine.sendDatagram(packet.family, v4 ? PROTO_ICMP : PROTO_ICMPV6, out);
}

export function answerEcho(machine: Machine, packet: SimPacket): void {
  const l4 = ipHeaderBytes(packet.family);
  const six = packet.family === 6 ? 1 : 0;
  if (packet.buf[l4] !== ECHO_REQUEST[six]) return;
  const out = Buffer.from(packet.buf.subarray(l4));
  out[0] = ECHO_REPLY[six]!;
  out.writeUInt16BE(0, 2);
  machine.sendDatagram(packet.family, packet.protocol, out);
}

export interface DatagramQuestion {
  family: 4 | 6;
  port: number;
  toPort: number;
  id: number;
  seed: number;
  size: number;
  answers: number;
  divergent: boolean;
}

export function askDatagram(client: Machine, q: DatagramQuestion): void {
  const out = Buffer.alloc(8 + REQUEST_BYTES);
  out.writeUInt16BE(q.port, 0);
  out.writeUInt16BE(q.toPort, 2);
  out.writeUInt16BE(out.length, 4);
  out.writeUInt32BE(q.id, 8);
  out.writeUInt32BE(q.seed, 12);
  out.writeUInt16BE(q.size, 16);
  out[18] = q.answers;
  out[19] = q.divergent ? 1 : 0;
  client.sendDatagram(q.family, PROTO_UDP, out);
}

export function askEcho(client: Machine, family: 4 | 6, id: number, sequence: number, size: number): void {
  const out = Buffer.alloc(8 + size);
  out[0] = family === 4 ? ECHO_REQUEST[0] : ECHO_REQUEST[1];
  out.writeUInt16BE(id, 4);
  out.writeUInt16BE(sequence, 6);
  fillContent(id, sequence, out, 8, size);
  client.sendDatagram(family, family === 4 ? PROTO_ICMP : PROTO_ICMPV6, out);
}

/** Judges an answer at the client: `good` if every byte is right, else `bad`. */
export function checkAnswer(packet: SimPacket): 'good' | 'bad' | 'unreachable' {
  const { buf, family, protocol } = packet;
  const l4 = ipHeaderBytes(family);
  if (protocol === PROTO_UDP) {
    const at = l4 + 8 + ANSWER_BYTES;
    if (buf.length < at) return 'bad';
    const size = buf.readUInt32BE(l4 + 20);
    if (buf.length !== at + size) return 'bad';
    return matchContent(buf.readUInt32BE(l4 + 12), 0, buf, at, size) === size ? 'good' : 'bad';
  }
  if (buf[l4] !== (family === 4 ? ECHO_REPLY[0] : ECHO_REPLY[1])) return 'unreachable';
  const size = buf.length - l4 - 8;
  const id = buf.readUInt16BE(l4 + 4);
  return matchContent(id, buf.readUInt16BE(l4 + 6), buf, l4 + 8, size) === size ? 'good' : 'bad';
}
