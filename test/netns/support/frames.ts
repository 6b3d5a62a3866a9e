// Raw frames of a guest, for what no program in it would send.

import { CLIENT_MAC, GUEST_MAC } from '../lab';

const mac = (text: string) => Buffer.from(text.replaceAll(':', ''), 'hex');

/** From the guest to the client. */
export function ethernet(type: number, payload: Buffer): Buffer {
  return Buffer.concat([mac(CLIENT_MAC), mac(GUEST_MAC), Buffer.from([type >> 8, type & 0xff]), payload]);
}

const PAYLOAD_BYTES = 2000;
const FIRST_BYTES = 1480;

/** Half of a UDP datagram that is filled with one byte. */
export function udpFragment4(id: number, first: boolean, fill: number): Buffer {
  const udp = Buffer.alloc(8 + PAYLOAD_BYTES, fill);
  udp.writeUInt16BE(7000, 0);
  udp.writeUInt16BE(7000, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.writeUInt16BE(0, 6);
  const data = first ? udp.subarray(0, FIRST_BYTES) : udp.subarray(FIRST_BYTES);
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(20 + data.length, 2);
  ip.writeUInt16BE(id, 4);
  ip.writeUInt16BE(first ? 0x2000 : FIRST_BYTES / 8, 6);
  ip[8] = 64;
  ip[9] = 17;
  ip.set([10, 77, 0, 2, 10, 77, 0, 1], 12);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += ip.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  ip.writeUInt16BE(~sum & 0xffff, 10);
  return ethernet(0x0800, Buffer.concat([ip, data]));
}
