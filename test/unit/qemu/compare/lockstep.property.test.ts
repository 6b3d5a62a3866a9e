// Two guests that say nearly the same, over several connections at once: cut differently, repeated, with holes, ends,
// resets and now and then another byte, one side frames ahead of the other, in a log that is small and grows. A plain
// account of what the secondary has said, acknowledged and granted, and of what checkpoints cover, judges every frame
// that leaves.

import { buildFrame, onTheWire } from '../../../lib/build-frame';
import { buildTcp, buildUdp, checksumsAreRight } from '../../../lib/build-packet';
import { FrameHarness } from '../../../lib/frame-harness';

const RUNS = Number(process.env.COLO_RUNS ?? 300) / 30;
const FIRST = Number(process.env.COLO_FIRST ?? 1);
const SCALE = 2;
const NEVER = 1e9;
/** Of segments, so that those of different places look alike. */
const USUAL = 20;
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

type Who = 'p' | 's';

class Guest {
  next = 1;
  ack = 100;
  window = 200;
  time = 1000;
}

/** What counts for the release: of the SVM in this epoch, or covered. */
class Account {
  end = -1;
  ack = -1;
  edge = -1;
  readonly bytes = new Set<string>();
  readonly ends = new Set<string>();
}

class Flow {
  readonly p = new Guest();
  readonly s = new Guest();
  readonly primary = new Account();
  secondary = new Account();
  readonly covered = new Account();
  time = -1;
  constructor(
    readonly id: number,
    readonly family: 4 | 6,
    readonly vlan: number,
    readonly isn: number,
  ) {}
}

interface Sent {
  frame: Buffer;
  note(): void;
}

class World {
  readonly flows: Flow[];
  readonly h: FrameHarness;
  private readonly queue: Record<Who, Sent[]> = { p: [], s: [] };
  private readonly said = new Map<string, number>();
  private readonly sent = new Map<string, number>();
  private readonly times: boolean;
  /** One byte in so many differs. */
  private readonly differing: number;
  private readonly calm: boolean;
  private handed = 0;
  private left = 0;
  private serial = 0;
  private state: number;

  constructor(seed: number) {
    this.state = seed;
    this.calm = seed % 2 === 0;
    this.times = this.one(2);
    this.differing = this.one(3) ? 40 : NEVER;
    const logBytes = 1 << ((this.calm ? 18 : 14) + this.below(3));
    const limits = { maxFlows: 64, logBytes, maxHeldBytes: logBytes >> 1, logRecords: 1 << (8 + this.below(4)) };
    this.h = new FrameHarness(false, { limits, maxQueueSize: 1 + this.below(64) });
    if (this.one(2)) Object.assign(this.h.comparison.engine.context.log, { ringBytes: 1 << (12 + this.below(3)) });
    this.flows = Array.from({ length: 1 + this.below(4) }, (_, i) => {
      const isn = [1000, 0xffffff00, 0x7fffff80, 0xfffffffe][this.below(4)]!;
      return new Flow(i, this.one(4) ? 6 : 4, this.one(4) ? 5 : 0, isn);
    });
    for (const f of this.flows) for (const who of ['p', 's'] as const) this.say(f, who, 0, 0, 'SA');
  }

  run(): void {
    const { h, queue } = this;
    for (let round = 0; round < 40; round++) {
      for (let i = this.below(30); i > 0; i--) this.step();
      const behind = this.below(5);
      this.hand(
        queue.p.length - (behind === 1 ? this.below(12) : 0),
        queue.s.length - (behind === 2 ? this.below(12) : 0),
      );
      if (this.one(6)) h.tick(this.below(500));
      this.judge();
      if (h.requests.length > 0 || this.one(40)) {
        if (this.one(3)) for (let i = this.below(10); i > 0; i--) this.step();
        this.hand(queue.p.length, queue.s.length);
        this.checkpoint();
      }
    }
    this.hand(queue.p.length, queue.s.length);
    h.tick(3100);
    if (h.requests.length === 0 && h.comparison.engine.heldPackets > 0) throw new Error('it waits for ever');
  }

  private below(n: number): number {
    // mulberry32
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }

  private one(n: number): boolean {
    return this.below(n) === 0;
  }

  private side(): Who {
    return this.one(2) ? 'p' : 's';
  }

  private step(): void {
    const f = this.flows[this.below(this.flows.length)]!;
    const kind = this.calm && !this.one(12) ? (this.one(5) ? 76 : 0) : this.below(100);
    const who = this.side();
    const guest = f[who];
    if (kind < 55) this.alike(f);
    else if (kind < 65) this.on(f, who, 1 + this.below(80));
    else if (kind < 75) {
      const from = Math.max(1, guest.next - (this.one(2) ? USUAL : this.below(300)));
      const bytes = Math.min(guest.next - from, this.one(2) ? USUAL : this.below(200));
      this.move(guest);
      if (bytes > 0) this.say(f, who, from, bytes, 'A');
    } else if (kind < 80) this.datagrams('ps', this.below(4));
    else if (kind < 86) {
      for (const each of this.one(3) ? (['p'] as const) : (['p', 's'] as const)) {
        this.move(f[each]);
        this.say(f, each, f[each].next, 0, 'A');
      }
    } else if (kind < 88) {
      const [gap, bytes, at] = [1 + this.below(50), 1 + this.below(60), guest.next];
      this.say(f, who, at + gap, bytes, 'A');
      this.say(f, who, at, gap, 'A');
      if (this.one(2)) this.say(f, who, at, gap + bytes, 'A');
      guest.next += gap + bytes;
    } else if (kind === 88 && this.one(3)) this.say(f, who, guest.next, 0, 'FA');
    else if (kind === 89 && this.one(4)) this.say(f, who, guest.next, this.one(4) ? 5 : 0, this.one(2) ? 'R' : 'RA');
    else if (kind === 90) this.say(f, who, 0, 0, 'SA');
    else if (kind < 94) {
      // In another order, of two flows.
      const [first, second] = [++this.serial, ++this.serial];
      for (const each of ['p', 's'] as const) {
        const pair = [() => this.datagram(each, 0, first), () => this.datagram(each, 1, second)];
        for (const say of each === 'p' ? pair : pair.reverse()) say();
      }
    } else if (this.one(6)) this.datagrams(who, this.below(4));
  }

  /** Whoever is behind catches up; or both say the same. */
  private alike(f: Flow): void {
    const ahead = f.p.next - f.s.next;
    if (ahead !== 0) {
      this.on(f, ahead < 0 ? 'p' : 's', Math.min(Math.abs(ahead), 1 + this.below(120)));
      return;
    }
    this.move(f.p);
    if (this.one(4)) this.move(f.s);
    else Object.assign(f.s, { ack: f.p.ack, window: f.p.window });
    const bytes = this.one(2) ? USUAL : 1 + this.below(this.one(5) ? 900 : 60);
    for (const who of ['p', 's'] as const) {
      this.say(f, who, f[who].next, bytes, this.one(3) ? 'PA' : 'A');
      f[who].next += bytes;
    }
  }

  private on(f: Flow, who: Who, bytes: number): void {
    this.move(f[who]);
    this.say(f, who, f[who].next, bytes, 'A');
    f[who].next += bytes;
  }

  private move(guest: Guest): void {
    guest.time += this.below(3);
    if (this.one(3)) guest.ack += this.below(60);
    if (this.one(3)) guest.window = this.below(this.one(4) ? 5 : 300);
  }

  private say(f: Flow, who: Who, at: number, bytes: number, flags: string): void {
    const { ack, window, time } = f[who];
    const payload = Buffer.from(
      Array.from({ length: bytes }, (_, i) => {
        const other = this.below(this.differing) === 1 && (at + i) % 3 === 0 ? (who === 'p' ? 1 : 2) : 0;
        // The first flow says the same all the time.
        return (f.id === 0 ? 5 + other : (at + i) * 7 + f.id * 13 + other) & 255;
      }),
    );
    const timestamp = this.times ? [1, 1, 8, 10, 0, 0, time >> 8, time & 255, 0, 0, 0, 1] : [];
    const packet = buildTcp({
      family: f.family,
      dport: 2000 + f.id,
      seq: (f.isn + at) >>> 0,
      ack: flags.includes('A') ? ack : 0,
      window,
      flags,
      payload,
      options: flags === 'SA' ? [2, 4, 5, 0xb4, 1, 3, 3, SCALE, ...timestamp] : timestamp,
      id: ++this.serial & 0xffff,
    });
    const frame = buildFrame(packet, { vlans: f.vlan > 0 ? [f.vlan] : [], padTo: this.one(3) ? 70 : 0 });
    const note = (): void => {
      const account = who === 's' ? f.secondary : f.primary;
      if (who === 'p') this.handed++;
      for (let i = 0; i < bytes; i++) account.bytes.add(`${at + i}=${payload[i]}`);
      account.end = Math.max(account.end, at + bytes);
      if (flags.includes('A')) {
        account.ack = Math.max(account.ack, ack);
        if (!flags.includes('R'))
          account.edge = Math.max(account.edge, ack + (flags === 'SA' ? window : window << SCALE));
      }
      for (const c of 'SFR') if (flags.includes(c)) account.ends.add(c === 'F' ? `F${at + bytes}` : `${c}${at}`);
    };
    this.queue[who].push({ frame, note });
  }

  private datagrams(who: string, flow: number): void {
    const text = ++this.serial;
    for (const each of ['p', 's'] as const) if (who.includes(each)) this.datagram(each, flow, text);
  }

  private datagram(who: Who, flow: number, text: number): void {
    const packet = buildUdp({
      payload: `${text}`,
      dport: 3000 + flow,
      family: flow === 2 ? 6 : 4,
      id: ++this.serial & 0xffff,
    });
    const frame = buildFrame(packet, { vlans: flow === 3 ? [5] : [], padTo: this.one(3) ? 64 : 0 });
    const note = (): void => {
      const counts = who === 's' ? this.said : this.sent;
      const key = `${3000 + flow}/${text}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (who === 'p') this.handed++;
    };
    this.queue[who].push({ frame, note });
  }

  private hand(primary: number, secondary: number): void {
    const { h } = this;
    const p = this.queue.p.splice(0, Math.max(0, primary));
    const s = this.queue.s.splice(0, Math.max(0, secondary));
    for (const { note } of [...s, ...p]) note();
    const how = this.below(8);
    if (how > 1) {
      const wire = (all: Sent[]): Buffer => Buffer.concat(all.map(({ frame }) => onTheWire(frame, -1)));
      h.together(wire(p), wire(s));
    } else {
      if (how === 0) for (const { frame } of s) h.s(frame);
      for (const { frame } of p) h.p(frame);
      if (how === 1) for (const { frame } of s) h.s(frame);
    }
    this.judge();
  }

  private checkpoint(): void {
    for (const f of this.flows) {
      const { covered, primary } = f;
      covered.end = Math.max(covered.end, primary.end);
      covered.ack = Math.max(covered.ack, primary.ack);
      covered.edge = Math.max(covered.edge, primary.edge);
      for (const end of primary.ends) covered.ends.add(end);
      f.secondary = new Account();
      Object.assign(f.s, f.p);
    }
    this.said.clear();
    for (const [key, count] of this.sent) this.said.set(key, count);
    this.h.checkpoint();
    this.h.requests.length = 0;
    if (this.h.comparison.engine.heldPackets > 0) throw new Error('it holds after a checkpoint');
    this.judge();
  }

  private judge(): void {
    const { h } = this;
    for (const frame of h.left()) {
      this.left++;
      const vlan = frame.readUInt16BE(12) === 0x8100 ? frame.readUInt16BE(14) : 0;
      const ip = frame.subarray(vlan > 0 ? 18 : 14);
      const v4 = ip[0]! >> 4 === 4;
      const packet = ip.subarray(0, v4 ? ip.readUInt16BE(2) : 40 + ip.readUInt16BE(4));
      if (!checksumsAreRight(packet)) throw new Error('a checksum is wrong');
      const l4 = packet.subarray(v4 ? 20 : 40);
      if ((v4 ? ip[9] : ip[6]) === 6) this.judgeSegment(this.flows[l4.readUInt16BE(2) - 2000]!, l4);
      else this.judgeDatagram(`${l4.readUInt16BE(2)}/${l4.subarray(8)}`);
    }
    // The copies of held packets' beginnings are no packets of their own.
    const accounted =
      this.left -
      h.count('prefixes_sent') -
      h.count('left_in_two') +
      h.comparison.engine.heldPackets +
      h.count('dropped_packets');
    if (accounted !== this.handed) throw new Error(`${this.handed} packets, ${accounted} left, held or dropped`);
  }

  private judgeDatagram(key: string): void {
    const count = this.said.get(key) ?? 0;
    if (count === 0) throw new Error(`datagram ${key} leaves unsaid`);
    this.said.set(key, count - 1);
    this.sent.set(key, this.sent.get(key)! - 1);
  }

  private judgeSegment(f: Flow, l4: Buffer): void {
    const { secondary, covered } = f;
    const what = `flow ${f.id} at ${(l4.readUInt32BE(4) - f.isn) | 0}`;
    const at = (l4.readUInt32BE(4) - f.isn) | 0;
    const flags = l4[13]!;
    const head = (l4[12]! >> 4) << 2;
    const payload = l4.subarray(head);
    payload.forEach((byte, i) => {
      if (at + i >= covered.end && !secondary.bytes.has(`${at + i}=${byte}`))
        throw new Error(`${what}: +${i} leaves unsaid`);
    });
    const ends = [
      flags & SYN ? `S${at}` : '',
      flags & FIN ? `F${at + payload.length}` : '',
      flags & RST ? `R${at}` : '',
    ];
    for (const end of ends.filter((e) => e !== ''))
      if (!secondary.ends.has(end) && !covered.ends.has(end)) throw new Error(`${what}: ${end} leaves unsaid`);
    if ((flags & ACK) !== 0) {
      const ack = l4.readUInt32BE(8);
      const window = l4.readUInt16BE(14);
      if (ack > Math.max(secondary.ack, covered.ack)) throw new Error(`${what}: ack ${ack} is not granted`);
      const edge = ack + (flags & SYN ? window : window << SCALE);
      if ((flags & RST) === 0 && edge > Math.max(secondary.edge, covered.edge))
        throw new Error(`${what}: edge ${edge} is not granted`);
    }
    if (!this.times || (flags & RST) !== 0) return;
    const time = l4.readUInt32BE(head - 8);
    if (time < f.time) throw new Error(`${what}: time ${time} leaves after ${f.time}`);
    f.time = time;
  }
}

test('nothing leaves but what the secondary has given, each packet once, and nothing waits for ever', () => {
  for (let seed = FIRST; seed < FIRST + RUNS; seed++) {
    try {
      new World(seed).run();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`);
    }
  }
});
