// Which frames a packet socket wakes the process for, as classic BPF (linux/filter.h): the kernel leaves out the rest.

import { TCP_ACK, TCP_RST, TCP_SYN } from '../packet/view';

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
    /*  1 */ [JEQ, 16, 0, 0x0806], // ARP: accept
    /*  2 */ [JEQ, 2, 0, 0x86dd], // IPv6: 5
    /*  3 */ [JEQ, 6, 0, 0x8100], // a second tag: 10
    /*  4 */ [JEQ, 5, 14, 0x88a8],
    /*  5 */ [LDB_ABS, 0, 0, 14 + 6], // IPv6's next header
    /*  6 */ [JEQ, 0, 12, 58],
    /*  7 */ [LDB_ABS, 0, 0, 14 + 40], // ICMPv6's type
    /*  8 */ [JGE, 0, 10, 133],
    /*  9 */ [JGT, 9, 8, 136],
    /* 10 */ [LDH_ABS, 0, 0, 16], // as 1 to 9, behind four more bytes
    /* 11 */ [JEQ, 6, 0, 0x0806],
    /* 12 */ [JEQ, 0, 6, 0x86dd],
    /* 13 */ [LDB_ABS, 0, 0, 18 + 6],
    /* 14 */ [JEQ, 0, 4, 58],
    /* 15 */ [LDB_ABS, 0, 0, 18 + 40],
    /* 16 */ [JGE, 0, 2, 133],
    /* 17 */ [JGT, 1, 0, 136],
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
    [LD_LEN, 0, 0, 0],
    [JGT, 15, 0, maxBytes],
    /*  0 */ [LDH_ABS, 0, 0, PROTOCOL],
    /*  1 */ [JEQ, 0, 7, 0x0800], // not IPv4: 9
    /*  2 */ [LDB_ABS, 0, 0, 14 + 9], // IPv4's protocol
    /*  3 */ [JEQ, 0, 11, 6],
    /*  4 */ [LDH_ABS, 0, 0, 14 + 6], // fragment offset
    /*  5 */ [JSET, 9, 0, 0x1fff],
    /*  6 */ [LDX_MSH, 0, 0, 14],
    /*  7 */ [LDB_IND, 0, 0, 14 + 13], // TCP's flags
    /*  8 */ [JSET, 5, 6, flags],
    /*  9 */ [JEQ, 0, 5, 0x86dd],
    /* 10 */ [LDB_ABS, 0, 0, 14 + 6], // IPv6's next header
    /* 11 */ [JEQ, 0, 3, 6],
    /* 12 */ [LDB_ABS, 0, 0, 14 + 40 + 13],
    /* 13 */ [JSET, 0, 1, flags],
    /* 14 */ [RET, 0, 0, WHOLE],
    /* 15 */ [RET, 0, 0, 0],
  ]);
}
