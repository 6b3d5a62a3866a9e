// Which frames a packet socket wakes the process for, as classic BPF (linux/filter.h): the kernel leaves out the rest.

import {
  ETH_HLEN,
  ETH_P_8021AD,
  ETH_P_8021Q,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_TYPE_BYTES,
  VLAN_HLEN,
} from '../packet/ethernet';
import {
  IP_OFFSET,
  IPV4_FRAGMENT_AT,
  IPV4_PROTOCOL_AT,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER_AT,
} from '../packet/ip-header';
import { TCP_FLAGS_AT } from '../packet/tcp-header';
import { IPPROTO_ICMPV6, IPPROTO_TCP, TCP_ACK, TCP_RST, TCP_SYN } from '../packet/view';

const LD_LEN = 0x80; // BPF_LD | BPF_W | BPF_LEN
const LDH_ABS = 0x28; // BPF_LD | BPF_H | BPF_ABS
const LDB_ABS = 0x30; // BPF_LD | BPF_B | BPF_ABS
const JEQ = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JGE = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JGT = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JSET = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const LDX_MSH = 0xb1; // BPF_LDX | BPF_B | BPF_MSH: the length of the IPv4 header at k
const LDB_IND = 0x50; // BPF_LD | BPF_B | BPF_IND
const RET = 0x06; // BPF_RET | BPF_K

/** The ethertype behind the tag that the kernel has taken off. */
const PROTOCOL = 0xfffff000; // SKF_AD_OFF + SKF_AD_PROTOCOL
const WHOLE = 0xffffffff;
/** The IP header of a frame whose tag the kernel has taken off. */
const IP = ETH_HLEN;
const ND_FIRST_TYPE = 133; // NDISC_ROUTER_SOLICITATION
const ND_LAST_TYPE = 136; // NDISC_NEIGHBOUR_ADVERTISEMENT

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

const INSTRUCTION_BYTES = 8;

function program(instructions: readonly Instruction[]): Uint8Array {
  const out = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const words = new Uint16Array(out.buffer);
  const longs = new Uint32Array(out.buffer);
  instructions.forEach(([code, jumpTrue, jumpFalse, k], i) => {
    words[i * 4] = code;
    out[i * INSTRUCTION_BYTES + 2] = jumpTrue;
    out[i * INSTRUCTION_BYTES + 3] = jumpFalse;
    longs[i * 2 + 1] = k;
  });
  return out;
}

/** ARP, and ICMPv6 types 133 to 136 (router and neighbour discovery), with up to two VLAN tags. */
export function neighbourFilter(): Uint8Array {
  return program([
    /*  0 */ [LDH_ABS, 0, 0, PROTOCOL],
    /*  1 */ [JEQ, 16, 0, ETH_P_ARP], // ARP: accept
    /*  2 */ [JEQ, 2, 0, ETH_P_IPV6], // IPv6: 5
    /*  3 */ [JEQ, 6, 0, ETH_P_8021Q], // a second tag: 10
    /*  4 */ [JEQ, 5, 14, ETH_P_8021AD],
    /*  5 */ [LDB_ABS, 0, 0, IP + IPV6_NEXT_HEADER_AT],
    /*  6 */ [JEQ, 0, 12, IPPROTO_ICMPV6],
    /*  7 */ [LDB_ABS, 0, 0, IP + IPV6_HEADER_BYTES], // ICMPv6's type
    /*  8 */ [JGE, 0, 10, ND_FIRST_TYPE],
    /*  9 */ [JGT, 9, 8, ND_LAST_TYPE],
    /* 10 */ [LDH_ABS, 0, 0, ETH_HLEN + ETH_TYPE_BYTES], // as 1 to 9, behind four more bytes
    /* 11 */ [JEQ, 6, 0, ETH_P_ARP],
    /* 12 */ [JEQ, 0, 6, ETH_P_IPV6],
    /* 13 */ [LDB_ABS, 0, 0, IP + VLAN_HLEN + IPV6_NEXT_HEADER_AT],
    /* 14 */ [JEQ, 0, 4, IPPROTO_ICMPV6],
    /* 15 */ [LDB_ABS, 0, 0, IP + VLAN_HLEN + IPV6_HEADER_BYTES],
    /* 16 */ [JGE, 0, 2, ND_FIRST_TYPE],
    /* 17 */ [JGT, 1, 0, ND_LAST_TYPE],
    /* 18 */ [RET, 0, 0, WHOLE],
    /* 19 */ [RET, 0, 0, 0],
  ]);
}

/** TCP SYNs and SYN/ACKs. */
export function synFilter(): Uint8Array {
  return tcpFilter(TCP_SYN);
}

/** TCP RSTs. */
export function rstFilter(): Uint8Array {
  return tcpFilter(TCP_RST);
}

/** TCP of open connections, in frames of at most so many bytes. */
export function ackFilter(maxBytes: number): Uint8Array {
  return tcpFilter(TCP_ACK, maxBytes);
}

/**
 * TCP with one of these flags, with at most the VLAN tag that the kernel has taken off; over IPv6 without extension
 * headers.
 */
function tcpFilter(flags: number, maxBytes = WHOLE): Uint8Array {
  return program([
    /*  0 */ [LD_LEN, 0, 0, 0],
    /*  1 */ [JGT, 15, 0, maxBytes],
    /*  2 */ [LDH_ABS, 0, 0, PROTOCOL],
    /*  3 */ [JEQ, 0, 7, ETH_P_IP], // not IPv4: 11
    /*  4 */ [LDB_ABS, 0, 0, IP + IPV4_PROTOCOL_AT],
    /*  5 */ [JEQ, 0, 11, IPPROTO_TCP],
    /*  6 */ [LDH_ABS, 0, 0, IP + IPV4_FRAGMENT_AT],
    /*  7 */ [JSET, 9, 0, IP_OFFSET],
    /*  8 */ [LDX_MSH, 0, 0, IP],
    /*  9 */ [LDB_IND, 0, 0, IP + TCP_FLAGS_AT], // behind the IPv4 header
    /* 10 */ [JSET, 5, 6, flags],
    /* 11 */ [JEQ, 0, 5, ETH_P_IPV6],
    /* 12 */ [LDB_ABS, 0, 0, IP + IPV6_NEXT_HEADER_AT],
    /* 13 */ [JEQ, 0, 3, IPPROTO_TCP],
    /* 14 */ [LDB_ABS, 0, 0, IP + IPV6_HEADER_BYTES + TCP_FLAGS_AT],
    /* 15 */ [JSET, 0, 1, flags],
    /* 16 */ [RET, 0, 0, WHOLE],
    /* 17 */ [RET, 0, 0, 0],
  ]);
}
