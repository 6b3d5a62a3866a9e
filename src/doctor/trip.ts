// The whole way in one: fragments go into a bridge's only port, and the queue must see one whole packet of each family.

import { NfQueue } from '../io/nfqueue';
import { PacketSocket } from '../io/packet-socket';
import { NFQ_D_ID, NFQ_D_LENGTH, NFQ_D_WORDS } from '../native/layout';
import { ipv4HeaderChecksum } from '../packet/checksum';
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, writeFrameHeader } from '../packet/ethernet';

const UDP_BYTES = 2048;
/** A multiple of 8, as a fragment's must be. */
const FIRST_BYTES = 1024;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const FRAGMENT_BYTES = 8;
const IPPROTO_UDP = 17; // IPPROTO_UDP
const IPPROTO_FRAGMENT = 44; // IPPROTO_FRAGMENT
const MORE_FRAGMENTS = 0x2000; // IP_MF

/** The port may need a moment to come up, and a frame sent before is lost. */
const ATTEMPTS = 30;
const ATTEMPT_MS = 100;

const DESTINATION = Uint8Array.of(2, 0, 0, 0, 0, 2);
const SOURCE = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** One of the two frames that carry a UDP datagram of IPv4. */
function ipv4Fragment(id: number, first: boolean): Buffer {
  const data = first ? FIRST_BYTES : UDP_BYTES - FIRST_BYTES;
  const frame = Buffer.alloc(ETH_HLEN + IPV4_BYTES + data);
  const ip = writeFrameHeader(frame, 0, DESTINATION, SOURCE, ETH_P_IP);
  frame[ip] = 0x45;
  frame.writeUInt16BE(IPV4_BYTES + data, ip + 2);
  frame.writeUInt16BE(id, ip + 4);
  frame.writeUInt16BE(first ? MORE_FRAGMENTS : FIRST_BYTES / 8, ip + 6);
  frame[ip + 8] = 64;
  frame[ip + 9] = IPPROTO_UDP;
  frame.set([192, 0, 2, 1, 192, 0, 2, 2], ip + 12); // TEST-NET-1
  frame.writeUInt16BE(ipv4HeaderChecksum(frame, ip, IPV4_BYTES), ip + 10);
  if (first) writeUdp(frame, ip + IPV4_BYTES);
  return frame;
}

function ipv6Fragment(id: number, first: boolean): Buffer {
  const data = first ? FIRST_BYTES : UDP_BYTES - FIRST_BYTES;
  const frame = Buffer.alloc(ETH_HLEN + IPV6_BYTES + FRAGMENT_BYTES + data);
  const ip = writeFrameHeader(frame, 0, DESTINATION, SOURCE, ETH_P_IPV6);
  frame[ip] = 6 << 4;
  frame.writeUInt16BE(FRAGMENT_BYTES + data, ip + 4);
  frame[ip + 6] = IPPROTO_FRAGMENT;
  frame[ip + 7] = 64;
  for (const [at, last] of [
    [ip + 8, 1],
    [ip + 24, 2],
  ] as const) {
    frame.set([0x20, 0x01, 0x0d, 0xb8], at); // 2001:db8::/32, for documents
    frame[at + 15] = last;
  }
  const header = ip + IPV6_BYTES;
  frame[header] = IPPROTO_UDP;
  frame.writeUInt16BE(first ? 1 : FIRST_BYTES, header + 2);
  frame.writeUInt32BE(id, header + 4);
  if (first) writeUdp(frame, header + FRAGMENT_BYTES);
  return frame;
}

function writeUdp(frame: Buffer, at: number): void {
  frame.writeUInt16BE(9, at);
  frame.writeUInt16BE(9, at + 2);
  frame.writeUInt16BE(UDP_BYTES, at + 4);
}

/** Queue 1 must be fed by the namespace's rules. Resolves with what was seen, rejects with what was missing. */
export async function tripOfFragments(ns: { name: string; outside: string }): Promise<string> {
  const lengths = new Set<number>();
  const queue = new NfQueue({ queue: 1, netns: ns.name }, (count) => {
    for (let d = 0; d < count * NFQ_D_WORDS; d += NFQ_D_WORDS) {
      lengths.add(queue.table[d + NFQ_D_LENGTH]!);
      queue.drop(queue.table[d + NFQ_D_ID]!);
    }
  });
  const socket = new PacketSocket({ interface: ns.outside, netns: ns.name }, { onFrame: () => {} });
  const whole = [IPV4_BYTES + UDP_BYTES, IPV6_BYTES + UDP_BYTES];
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
