// The two rules, held against what ours let out, knowing nothing of how it decides: no byte of the primary leaves that
// the secondary has not said at the same place or a checkpoint covers, and no acknowledgement above the secondary's.

import { networkAt } from './carrier';
import { describePacket, type Flow, type Packet, type TcpAbout } from './flow';
import type { Result } from './observe';
import { bytesSkipped } from './release';

class Said {
  readonly bytes = new Map<string, number>();
  /** Highest acknowledgement, by life. */
  readonly acks = new Map<number, number>();
  /** SYN, FIN and RST with their places. */
  readonly marks = new Set<string>();
  /** Compared contents, as often as they were said. */
  readonly datagrams = new Map<string, number>();
  readonly fragments = new Map<number, number>();

  take(p: Packet): void {
    const a = p.about;
    if (a.kind === 'tcp') {
      for (let i = 0; i < a.data.length; i++) this.bytes.set(`${a.life} ${a.pos + i}`, a.data[i]!);
      if (a.ack >= 0) this.acks.set(a.life, Math.max(this.acks.get(a.life) ?? a.ack, a.ack));
      for (const mark of marksOf(a)) this.marks.add(mark);
    } else if (a.kind === 'datagram') this.count(a.compared, 1);
    else if (a.kind === 'fragment') {
      const seen = (this.fragments.get(a.datagram) ?? 0) + 1;
      this.fragments.set(a.datagram, seen);
      if (seen === a.count) this.count(a.compared, 1);
    }
  }

  count(compared: Buffer, by: number): number {
    const key = compared.toString('hex');
    const now = (this.datagrams.get(key) ?? 0) + by;
    this.datagrams.set(key, now);
    return now;
  }
}

function marksOf(a: TcpAbout): string[] {
  const end = a.pos + a.data.length;
  const marks: string[] = [];
  if (a.syn) marks.push(`${a.life} syn ${a.offer}`);
  if (a.fin) marks.push(`${a.life} fin ${end}`);
  if (a.rst) marks.push(`${a.life} rst ${a.pos}`);
  return marks;
}

/** Every breach, in words. */
export function breaches(flow: Flow, ours: Result): string[] {
  const found: string[] = [];
  const secondary = new Said();
  /** What the primary had said when a checkpoint was made: the secondary is a copy of it since. */
  let epoch: Packet[] = [];
  for (const [i, step] of flow.steps.entries()) {
    if (step.side === 's') for (const p of step.packets) secondary.take(p);
    if (step.side === 'p') epoch.push(...step.packets);
    if (step.side === 'checkpoint') {
      for (const p of epoch) {
        // What the secondary had said and the primary had not is forgotten with it, so it may count no more than once.
        if (p.about.kind === 'tcp') secondary.take(p);
      }
      secondary.datagrams.clear();
      epoch = [];
      continue;
    }
    const spent = new Set<number>();
    for (const { packet, frame } of ours.out[i]!) {
      const a = packet.about;
      const complain = (what: string): void => void found.push(`${what}: ${describePacket(packet)} in step ${i}`);
      if (a.kind === 'datagram') {
        if (secondary.count(a.compared, -1) < 0) complain('the secondary has not said this');
      } else if (a.kind === 'fragment') {
        if (!spent.has(a.datagram) && a.index === 0 && secondary.count(a.compared, -1) < 0)
          complain('the secondary has not said this');
        spent.add(a.datagram);
      } else if (a.kind === 'tcp') checkTcp(packet, a, frame, secondary, complain);
    }
  }
  return found;
}

function checkTcp(packet: Packet, a: TcpAbout, frame: Buffer, secondary: Said, complain: (what: string) => void): void {
  const at = networkAt(frame);
  const v4 = frame[at]! >> 4 === 4;
  const l4 = at + (v4 ? 20 : 40);
  const end = at + (v4 ? frame.readUInt16BE(at + 2) : 40 + frame.readUInt16BE(at + 4));
  const payload = frame.subarray(l4 + (frame[l4 + 12]! >> 4) * 4, end);
  const from = a.pos + bytesSkipped(frame, packet);
  for (let i = 0; i < payload.length; i++) {
    if (secondary.bytes.get(`${a.life} ${from + i}`) !== payload[i]) {
      complain(`the secondary has not said byte ${from + i}`);
      break;
    }
  }
  // By how much the acknowledgement was lowered tells what it is now, whatever the peer's numbers.
  const lowered = (packet.frame.readUInt32BE(l4 + 8) - frame.readUInt32BE(l4 + 8)) | 0;
  const granted = secondary.acks.get(a.life);
  if (a.ack >= 0 && (granted === undefined || a.ack - lowered > granted)) {
    complain(`acknowledges ${a.ack - lowered}, the secondary ${granted}`);
  }
  const flags = frame[l4 + 13]!;
  if ((flags & 7) !== 0)
    for (const mark of marksOf(a)) if (!secondary.marks.has(mark)) complain(`the secondary has sent no ${mark}`);
}
