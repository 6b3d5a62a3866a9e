// Where QEMU's colo-compare and ours may do different things with a flow, why, and how to tell that a difference is of
// that kind. A difference that no row knows fails the test, and so does a row that its example (cases.ts) does not
// need.
//
// What QEMU does in each case is asserted too: in every flow it must do exactly what the model of it does
// (stock-model.ts), and ours exactly what is safe (safe-model.ts). The rows speak of the model's own reasons, so they
// cannot excuse anything else.

import { networkAt } from './carrier';
import type { Difference } from './differences';
import type { Flow, Packet, TcpAbout } from './flow';
import type { Epoch } from './observe';
import type { SafeResult } from './safe-model';
import { isBareAck } from './safe-tcp-model';
import type { StockReason, StockRule, StockStep } from './stock-model';

export interface Row {
  name: string;
  qemu: string;
  ours: string;
  /** Why ours is safe. */
  why: string;
  covers: (d: Difference, c: Context) => boolean;
}

export class Context {
  private readonly rules = new Map<number, StockRule>();

  constructor(
    readonly flow: Flow,
    readonly stock: StockStep[],
    readonly safe: SafeResult,
  ) {
    for (const step of stock) for (const one of step.out) this.rules.set(one.n, one.rule);
  }

  rule(p: Packet): StockRule | undefined {
    return this.rules.get(p.n);
  }

  reasons(epoch: Epoch): Set<StockReason> {
    const reasons = new Set<StockReason>();
    for (let i = epoch.first; i <= epoch.checkpoint; i++)
      for (const one of this.stock[i]!.asked) reasons.add(one.reason);
    return reasons;
  }

  /** The step in which ours asks for a checkpoint, and with which it ceases to compare. */
  oursAskedAt(epoch: Epoch): number | undefined {
    for (let i = epoch.first; i < epoch.checkpoint; i++) if (this.safe.steps[i]!.asked) return i;
    return undefined;
  }

  /** The step in which QEMU lets the packet out. */
  leftAt(p: Packet): number {
    return this.stock.findIndex((step) => step.out.some((one) => one.n === p.n));
  }

  packets(epoch: Epoch): Packet[] {
    return this.flow.steps
      .slice(epoch.first, epoch.checkpoint)
      .flatMap((s) => (s.side === 'checkpoint' ? [] : s.packets));
  }

  /** All packets that were handed in before the end of this epoch. */
  before(epoch: Epoch): Packet[] {
    return this.flow.steps.slice(0, epoch.checkpoint).flatMap((s) => (s.side === 'checkpoint' ? [] : s.packets));
  }
}

const tcp = (p: Packet): TcpAbout | undefined => (p.about.kind === 'tcp' ? p.about : undefined);

/** Bytes behind the IP packet, in the frame. */
export function paddingBytes(p: Packet): number {
  const at = networkAt(p.frame);
  const v4 = p.frame[at]! >> 4 === 4;
  return p.frame.length - at - (v4 ? p.frame.readUInt16BE(at + 2) : 40 + p.frame.readUInt16BE(at + 4));
}

function released(d: Difference): Packet | undefined {
  return d.kind === 'fate' && d.stock === 'early' ? d.packet : undefined;
}

function heldBack(d: Difference): Packet | undefined {
  return d.kind === 'fate' && d.stock === 'flushed' ? d.packet : undefined;
}

/** The stock comparer asks for `reason`, or holds something in an epoch in which it does. */
function because(reason: StockReason, d: Difference, c: Context): boolean {
  if (d.kind === 'asked' ? !d.stock : heldBack(d) === undefined) return false;
  return c.reasons(d.epoch).has(reason);
}

function isPadded(d: Difference, c: Context): boolean {
  return c.packets(d.epoch).some((p) => p.about.kind === 'tcp' && paddingBytes(p) > 0);
}

function isUncompared(c: Context): boolean {
  return c.stock.some((step) => step.out.some((one) => one.rule === 'uncompared'));
}

/** Of equal datagrams of both sides: do they differ where only QEMU looks? */
function outside(what: 'checksum' | 'padding' | 'header', d: Difference, c: Context): boolean {
  const packets = c.packets(d.epoch);
  const whole = c.flow.kind !== 'udp' && c.flow.kind !== 'icmp';
  for (const p of packets) {
    if (p.side !== 'p' || p.about.kind !== 'datagram') continue;
    for (const s of packets) {
      if (s.side !== 's' || s.about.kind !== 'datagram' || !s.about.compared.equals(p.about.compared)) continue;
      const [pAt, sAt] = [networkAt(p.frame), networkAt(s.frame)];
      const [pPadding, sPadding] = [paddingBytes(p), paddingBytes(s)].map((n, i) =>
        [p, s][i]!.frame.subarray([p, s][i]!.frame.length - n),
      );
      if (what === 'padding' && !pPadding!.equals(sPadding!)) return true;
      if (
        what === 'checksum' &&
        c.flow.kind === 'udp' &&
        p.frame.compare(s.frame, sAt + 26, sAt + 28, pAt + 26, pAt + 28) !== 0
      )
        return true;
      if (what === 'header' && whole && p.frame.compare(s.frame, 0, sAt + 20, 0, pAt + 20) !== 0) return true;
    }
  }
  return false;
}

/** Had the secondary acknowledged as much when QEMU let it out? */
function wasGranted(p: Packet, c: Context): boolean {
  const a = tcp(p)!;
  const steps = c.flow.steps.slice(0, c.leftAt(p) + 1).flatMap((s) => (s.side === 's' ? s.packets : []));
  return steps.some((s) => tcp(s)?.life === a.life && tcp(s)!.ack >= a.ack);
}

/** Had the secondary said every byte of it, at its place, when QEMU let it out? */
function wasSaid(p: Packet, c: Context): boolean {
  const a = tcp(p)!;
  const said = new Map<number, number>();
  for (const step of c.flow.steps.slice(0, c.leftAt(p) + 1)) {
    if (step.side !== 's') continue;
    for (const q of step.packets) {
      const b = tcp(q);
      if (b?.life === a.life) for (let i = 0; i < b.data.length; i++) said.set(b.pos + i, b.data[i]!);
    }
  }
  return a.data.every((byte, i) => said.get(a.pos + i) === byte);
}

/** Has this packet a byte that another one of the primary before it has otherwise? */
function contradicts(p: Packet, d: Difference, c: Context): boolean {
  const a = tcp(p)!;
  for (const q of c.before(d.epoch)) {
    if (q.n === p.n) return false;
    const b = tcp(q);
    if (q.side !== 'p' || b === undefined || b.life !== a.life) continue;
    const from = Math.max(a.pos, b.pos);
    const to = Math.min(a.pos + a.data.length, b.pos + b.data.length);
    if (from < to && a.data.compare(b.data, from - b.pos, to - b.pos, from - a.pos, to - a.pos) !== 0) return true;
  }
  return false;
}

const COMPARED: readonly StockRule[] = ['equal', 'part of secondary', 'rest of primary'];

/** Is there a place below this segment that not both sides have filled up to the checkpoint? */
function hasGapBelow(p: Packet, d: Difference, c: Context): boolean {
  const a = tcp(p)!;
  const said = { p: new Set<number>(), s: new Set<number>() };
  for (const q of c.before(d.epoch)) {
    const b = tcp(q);
    if (b?.life === a.life) for (let i = 0; i < b.data.length; i++) said[q.side].add(b.pos + i);
  }
  for (let at = 0; at < a.pos; at++) if (!said.p.has(at) || !said.s.has(at)) return true;
  return false;
}

/** Has the primary said every byte of it in another segment, too? */
function repeats(p: Packet, d: Difference, c: Context): boolean {
  const a = tcp(p);
  if (a === undefined || a.data.length === 0) return false;
  const said = new Set<number>();
  for (const q of c.before(d.epoch)) {
    const b = tcp(q);
    if (q.n !== p.n && q.side === 'p' && b?.life === a.life)
      for (let i = 0; i < b.data.length; i++) said.add(b.pos + i);
  }
  for (let i = 0; i < a.data.length; i++) if (!said.has(a.pos + i)) return false;
  return true;
}

export const TABLE: readonly Row[] = [
  {
    name: 'what is no untagged IPv4 passes uncompared',
    qemu: 'lets everything with an 802.1Q tag, of IPv6 or of another protocol out at once and drops what the secondary says of it',
    ours: 'compares it as all else',
    why: 'nothing leaves that the secondary has not said too',
    covers: (d, c) => {
      const p = released(d);
      if (p !== undefined) return c.rule(p) === 'uncompared';
      return d.kind === 'asked' && d.ours && c.flow.kind !== 'arp' && isUncompared(c);
    },
  },
  {
    name: 'a question of the secondary for an address',
    qemu: 'drops what the secondary says of ARP',
    ours: 'asks for a checkpoint when the secondary puts it again before the primary does: it has lost an address that the primary knows',
    why: 'asking is always safe',
    covers: (d, c) => d.kind === 'asked' && d.ours && c.flow.kind === 'arp',
  },
  {
    name: 'group membership',
    qemu: 'compares IGMP frames with all their headers, and asks for a checkpoint as the two guests report at different times',
    ours: "lets it out: it keeps a host's place on its network, and bears no service",
    why: 'the secondary reports for itself after a failover',
    covers: (d, c) => c.flow.kind === 'igmp' && (d.kind === 'asked' ? d.stock : heldBack(d) !== undefined),
  },
  {
    name: 'fragments are compared one by one',
    qemu: 'compares each fragment as if it were a datagram, and lets the first ones out though the rest is not the same',
    ours: 'compares the datagram when it is whole, however it was cut, and then lets out all its fragments',
    why: 'a receiver takes the datagram or nothing',
    covers: (d, c) => c.flow.kind === 'fragments' && d.kind !== 'order',
  },
  // Datagrams
  {
    name: 'datagrams leave newest first',
    qemu: 'lets datagrams that waited together out in the reverse order, at a checkpoint too',
    ours: 'lets them out as the guest has sent them',
    why: 'the client sees the order of a guest',
    covers: (d, c) => d.kind === 'order' && c.flow.kind !== 'tcp',
  },
  {
    name: 'checksum of a datagram',
    qemu: 'compares the UDP checksum, so a datagram without one differs from the same with one',
    ours: 'compares what the datagram says',
    why: 'a checksum says nothing that the bytes do not',
    covers: (d, c) => because('no equal datagram', d, c) && outside('checksum', d, c),
  },
  {
    name: 'padding of a datagram',
    qemu: 'compares the frame up to its end, with what lies behind the packet',
    ours: 'compares the packet up to its own length',
    why: 'no receiver is given the padding',
    covers: (d, c) => because('no equal datagram', d, c) && outside('padding', d, c),
  },
  {
    name: 'headers of other protocols',
    qemu: 'compares all but TCP, UDP and ICMP with MAC addresses and IP header: another identification is a difference',
    ours: 'compares what is behind the IP header',
    why: 'the IP header only carries it there',
    covers: (d, c) => because('no equal datagram', d, c) && outside('header', d, c),
  },
  {
    name: 'the newest datagram is the only one that is looked for',
    qemu: 'asks for a checkpoint when the secondary has not yet said its newest datagram, though older ones match',
    ours: 'compares the oldest with the oldest, and waits for the rest',
    why: 'waiting lets nothing out',
    covers: (d, c) => c.flow.kind !== 'tcp' && because('no equal datagram', d, c),
  },
  {
    name: 'datagrams in another order count as equal',
    qemu: 'takes any datagram of the secondary that is equal',
    ours: 'asks for a checkpoint: the same datagrams in another order are not the same',
    why: 'asking and waiting are always safe',
    covers: (d, c) => {
      const p = released(d);
      const at = c.oursAskedAt(d.epoch);
      if (p !== undefined) return c.rule(p) === 'datagram' && (at === undefined || c.leftAt(p) < at);
      // Of two with the same content the newest is gone, and an older one waits in its stead.
      const held = heldBack(d);
      if (held !== undefined) return c.flow.kind !== 'tcp' && c.reasons(d.epoch).size === 0;
      return d.kind === 'asked' && d.ours && c.flow.kind !== 'tcp';
    },
  },
  // TCP: what QEMU lets out and ours does not
  {
    name: 'a contradiction counts as a repetition',
    qemu: 'lets a segment out that ends at or below what it compared last, whatever bytes it has',
    ours: 'compares it with what was let out before, and asks for a checkpoint when it is not the same',
    why: 'the client may take either',
    covers: (d, c) => {
      const p = released(d);
      if (p !== undefined) return c.rule(p) === 'repetition' && contradicts(p, d, c);
      return d.kind === 'asked' && d.ours && d.epoch.packets.some((q) => tcp(q) && contradicts(q, d, c));
    },
  },
  {
    name: 'the ports are used again',
    qemu: "never forgets where it compared last: a new connection with lower numbers goes out unseen up to there, or waits when the secondary's was thrown away as old",
    ours: 'begins anew at the SYN',
    why: 'the secondary has to say it',
    covers: (d, c) => {
      const p = released(d) ?? heldBack(d);
      if (p === undefined || tcp(p) === undefined || tcp(p)!.life === 0) return false;
      return released(d) !== undefined
        ? c.rule(p) === 'repetition'
        : c.reasons(d.epoch).size === 0 && !isBareAck(tcp(p)!);
    },
  },
  {
    name: 'what is held of a connection that the guest has given up',
    qemu: 'lets it out at the checkpoint, in the midst of the new connection with the same ports',
    ours: 'drops it when the guest opens the new one',
    why: 'nobody waits for it, and the checkpoint knows it as sent or lost',
    covers: (d, c) =>
      d.kind === 'fate' &&
      d.ours === 'replaced' &&
      c
        .packets(d.epoch)
        .some((q) => q.side === 'p' && tcp(q)?.syn === true && tcp(q)!.life > (tcp(d.packet)?.life ?? 0)),
  },
  {
    name: 'a repetition of what is held',
    qemu: 'lets every copy out when the first is equal',
    ours: 'lets one out, and of the other what is needed to hear the peer: a probe without the bytes that are not verified',
    why: 'a repetition brings nothing, and less than it says leaves',
    covers: (d) =>
      d.kind === 'fate' && d.ours === 'replaced' && tcp(d.packet) !== undefined && tcp(d.packet)!.data.length > 0,
  },
  {
    name: 'a gap counts as compared',
    qemu: 'compares whatever two segments are oldest; what comes later for the place before them is let out unseen, and a difference behind the gap is told at once',
    ours: 'compares in the order of the stream',
    why: 'each byte has to be said by both',
    covers: (d, c) => {
      const p = released(d);
      if (p === undefined) {
        const behind = (q: Packet): boolean => tcp(q) !== undefined && hasGapBelow(q, d, c);
        return because('bytes differ', d, c) && d.epoch.packets.some(behind);
      }
      const rule = c.rule(p)!;
      return rule === 'repetition' || (COMPARED.includes(rule) && hasGapBelow(p, d, c));
    },
  },
  {
    name: 'equal bytes at different places',
    qemu: 'compares the two oldest segments of different lengths without looking where they begin, and lets one out for bytes that the secondary has elsewhere',
    ours: 'compares bytes of the same place',
    why: 'each byte has to be said by both, at its place',
    covers: (d, c) => {
      const p = released(d);
      const rule = p && c.rule(p);
      return p !== undefined && (rule === 'part of secondary' || rule === 'rest of primary') && !wasSaid(p, c);
    },
  },
  {
    name: 'segments without payload are not compared',
    qemu: 'lets SYN, FIN and RST out when any packet of the secondary waits, whatever that is',
    ours: 'lets them out when the secondary has sent the same at the same place, and asks when it puts another there',
    why: 'a connection begins and ends for both guests or for none',
    covers: (d, c) => {
      const p = released(d);
      if (p !== undefined) return c.rule(p) === 'no payload' && !isBareAck(tcp(p)!);
      return (
        d.kind === 'asked' &&
        d.ours &&
        c.packets(d.epoch).some((q) => tcp(q) && (tcp(q)!.syn || tcp(q)!.fin || tcp(q)!.rst))
      );
    },
  },
  {
    name: 'acknowledgements that the secondary has not given',
    qemu: 'lets a pure acknowledgement out when any packet of the secondary waits',
    ours: 'holds it until the secondary has acknowledged as much',
    why: 'the peer forgets what is acknowledged, and the secondary could never get it again',
    covers: (d, c) => {
      const p = released(d);
      return p !== undefined && c.rule(p) === 'no payload' && isBareAck(tcp(p)!) && !wasGranted(p, c);
    },
  },
  {
    name: 'nothing is compared between a request and its checkpoint',
    qemu: 'goes on comparing, also with what the secondary says that is about to be replaced',
    ours: 'holds everything',
    why: 'the checkpoint lets it out',
    covers: (d, c) => {
      const p = released(d);
      const at = c.oursAskedAt(d.epoch);
      return p !== undefined && at !== undefined && c.leftAt(p) >= at;
    },
  },
  // TCP: what QEMU holds or asks for and ours does not
  {
    name: 'padding counts as payload',
    qemu: 'takes a TCP segment to reach to the end of its frame',
    ours: 'goes by the length in the IP header',
    why: 'no receiver is given the padding',
    covers: (d, c) => isPadded(d, c) && (d.kind === 'fate' || d.kind === 'asked'),
  },
  {
    name: 'segments at different places',
    qemu: 'asks for a checkpoint when the oldest segments of both sides do not begin at the same place: after a loss, an overlap, a change of order',
    ours: 'compares byte by byte by place, and waits for what is missing',
    why: 'waiting lets nothing out',
    covers: (d, c) => because('places differ', d, c),
  },
  {
    name: "an acknowledgement ahead of the secondary's",
    qemu: 'asks for a checkpoint when a segment that is equal acknowledges more than the secondary has',
    ours: "lets it out with the acknowledgement lowered to the secondary's",
    why: 'no more is acknowledged than both have',
    covers: (d, c) => because('acknowledges more', d, c),
  },
  {
    name: 'an acknowledgement waits for a packet to pair with',
    qemu: 'lets a segment without payload out only while a packet of the secondary waits, though that has acknowledged as much before',
    ours: 'lets it out as soon as the secondary has said as much',
    why: 'both have said it',
    covers: (d, c) => {
      const p = heldBack(d);
      return p !== undefined && c.reasons(d.epoch).size === 0 && tcp(p) !== undefined && tcp(p)!.data.length === 0;
    },
  },
  {
    name: 'a repetition waits for a packet to pair with',
    qemu: 'lets a segment that repeats what was compared out only while a packet of the secondary waits',
    ours: 'lets it out at once, when it is the same',
    why: 'both have said it',
    covers: (d, c) => {
      const p = heldBack(d);
      return p !== undefined && c.reasons(d.epoch).size === 0 && repeats(p, d, c);
    },
  },
  {
    name: 'a segment behind one that waits',
    qemu: 'looks at the two oldest segments only',
    ours: 'lets out what both have said, though a longer segment from the same place still waits for its rest',
    why: 'both have said it',
    covers: (d, c) => {
      const p = heldBack(d);
      if (p === undefined || tcp(p) === undefined) return false;
      const flushed = c.stock[d.epoch.checkpoint]!.out.map((one) => one.n);
      return flushed.indexOf(p.n) > 0;
    },
  },
];
