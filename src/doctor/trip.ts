// The whole way in one test: fragments go into a bridge's only port, and the queue must see one whole packet of each
// family.

import { NfQueue } from '../io/nfqueue';
import { PacketSocket } from '../io/packet-socket';
import { NFQ_D_ID, NFQ_D_LENGTH, NFQ_D_WORDS } from '../native/layout';
import { ipv4HeaderChecksum } from '../packet/checksum';
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, writeFrameHeader } from '../packet/ethernet';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID_AT,
  FRAGMENT_OFFSET_AT,
  IP_MF,
  IP6_MF,
  IPV4_CHECKSUM_AT,
  IPV4_FIRST_BYTE,
  IPV4_FRAGMENT_AT,
  IPV4_HEADER_BYTES,
  IPV4_ID_AT,
  IPV4_PROTOCOL_AT,
  IPV4_SOURCE_AT,
  IPV4_TTL_AT,
  IPV6_DESTINATION_AT,
  IPV6_FIRST_BYTE,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT_AT,
  IPV6_NEXT_HEADER_AT,
  IPV6_SOURCE_AT,
  writeIpBytes,
} from '../packet/ip-header';
import { UDP_DESTINATION_AT, UDP_LENGTH_AT, UDP_SOURCE_AT } from '../packet/udp-header';
import { IPPROTO_UDP } from '../packet/view';

const UDP_BYTES = 2048;
/** A multiple of 8, as a fragment's must be. */
const FIRST_BYTES = 1024;
const DISCARD_PORT = 9;
const IPPROTO_FRAGMENT = 44; // IPPROTO_FRAGMENT

/** The port may need a moment to come up, and a frame sent before is lost. */
const ATTEMPTS = 30;
const ATTEMPT_MS = 100;

const DESTINATION = Uint8Array.of(2, 0, 0, 0, 0, 2);
const SOURCE = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** One of the two frames that carry a UDP datagram of IPv4. */
function ipv4Fragment(id: number, first: boolean): Buffer {
  const data = first ? FIRST_BYTES : UDP_BYTES - FIRST_BYTES;
  const frame = Buffer.alloc(ETH_HLEN + IPV4_HEADER_BYTES + data);
  const ip = writeFrameHeader(frame, 0, DESTINATION, SOURCE, ETH_P_IP);
  frame[ip] = IPV4_FIRST_BYTE;
  writeIpBytes(frame, ip, 4, IPV4_HEADER_BYTES + data);
  frame.writeUInt16BE(id, ip + IPV4_ID_AT);
  frame.writeUInt16BE(first ? IP_MF : FIRST_BYTES / 8, ip + IPV4_FRAGMENT_AT);
  frame[ip + IPV4_TTL_AT] = 64;
  frame[ip + IPV4_PROTOCOL_AT] = IPPROTO_UDP;
  frame.set([192, 0, 2, 1, 192, 0, 2, 2], ip + IPV4_SOURCE_AT); // TEST-NET-1
  frame.writeUInt16BE(ipv4HeaderChecksum(frame, ip, IPV4_HEADER_BYTES), ip + IPV4_CHECKSUM_AT);
  if (first) writeUdp(frame, ip + IPV4_HEADER_BYTES);
  return frame;
}

function ipv6Fragment(id: number, first: boolean): Buffer {
  const data = first ? FIRST_BYTES : UDP_BYTES - FIRST_BYTES;
  const frame = Buffer.alloc(ETH_HLEN + IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES + data);
  const ip = writeFrameHeader(frame, 0, DESTINATION, SOURCE, ETH_P_IPV6);
  frame[ip] = IPV6_FIRST_BYTE;
  writeIpBytes(frame, ip, 6, IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES + data);
  frame[ip + IPV6_NEXT_HEADER_AT] = IPPROTO_FRAGMENT;
  frame[ip + IPV6_HOP_LIMIT_AT] = 64;
  for (const [at, last] of [
    [ip + IPV6_SOURCE_AT, 1],
    [ip + IPV6_DESTINATION_AT, 2],
  ] as const) {
    frame.set([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last], at); // 2001:db8::/32, for documents
  }
  const header = ip + IPV6_HEADER_BYTES;
  frame[header] = IPPROTO_UDP;
  frame.writeUInt16BE(first ? IP6_MF : FIRST_BYTES, header + FRAGMENT_OFFSET_AT);
  frame.writeUInt32BE(id, header + FRAGMENT_ID_AT);
  if (first) writeUdp(frame, header + FRAGMENT_HEADER_BYTES);
  return frame;
}

function writeUdp(frame: Buffer, at: number): void {
  frame.writeUInt16BE(DISCARD_PORT, at + UDP_SOURCE_AT);
  frame.writeUInt16BE(DISCARD_PORT, at + UDP_DESTINATION_AT);
  frame.writeUInt16BE(UDP_BYTES, at + UDP_LENGTH_AT);
}

/** The namespace's rules must lead to queue 1. Resolves with what was seen, rejects with what was missing. */
export async function tripOfFragments(ns: { name: string; outside: string }): Promise<string> {
  const lengths = new Set<number>();
  const queue = new NfQueue({ queue: 1, netns: ns.name }, (count) => {
    for (let d = 0; d < count * NFQ_D_WORDS; d += NFQ_D_WORDS) {
      lengths.add(queue.table[d + NFQ_D_LENGTH]!);
      queue.drop(queue.table[d + NFQ_D_ID]!);
    }
  });
  const socket = new PacketSocket({ interface: ns.outside, netns: ns.name }, { onFrame: () => {} });
  const whole = [IPV4_HEADER_BYTES + UDP_BYTES, IPV6_HEADER_BYTES + UDP_BYTES];
  try {
    for (let id = 1; id <= ATTEMPTS && !whole.every((length) => lengths.has(length)); id++) {
      for (const first of [true, false]) {
        socket.send(ipv4Fragment(id, first));
        socket.send(ipv6Fragment(id, first));
      }
      await new Promise((resolve) => setTimeout(resolve, ATTEMPT_MS));
    }
  } finally {
    socket.close();
    queue.close();
  }
  if (lengths.size === 0) throw new Error('no packet reached the queue');
  const lacking = ['IPv4', 'IPv6'].filter((_, i) => !lengths.has(whole[i]!));
  if (lacking.length > 0) throw new Error(`fragments of ${lacking.join(' and ')} were not put together`);
  return 'IPv4 and IPv6';
}
