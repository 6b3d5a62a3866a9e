// A one-way link with seeded loss, duplication, reordering and delay. A link of wires carries segments of at most one
// MSS, so a GSO packet is cut where it enters; a virtual link carries it whole.

import type { SimPacket } from './packet';
import type { Prng } from './prng';
import type { Scheduler } from './scheduler';
import { FIN, PSH } from './tcp/segment';
import { ipHeaderBytes, PROTO_TCP, sum, writeChecksum } from './wire';

export interface LinkPlan {
  delayUs: number;
  jitterUs: number;
  loss: number;
  duplicate: number;
  reorder: number;
  reorderUs: number;
  /** Bytes per microsecond; 125 is 1 Gbit/s. */
  rate: number;
  /** Cuts GSO packets, completes partial checksums. */
  wires: boolean;
}

export interface LinkCounts {
  carried: number;
  lost: number;
  duplicated: number;
  reordered: number;
  cut: number;
}

export class Link {
  readonly counts: LinkCounts = { carried: 0, lost: 0, duplicated: 0, reordered: 0, cut: 0 };
  /** False: everything sent is lost. */
  up = true;
  private freeUs = 0;
  private lastArrivalUs = 0;
  private generation = 0;
  private inFlight = 0;

  constructor(
    readonly name: string,
    private plan: LinkPlan,
    private readonly prng: Prng,
    private readonly scheduler: Scheduler,
    private readonly deliver: (packet: SimPacket) => void,
  ) {}

  /** The longest time that a packet may spend on it, with what is already queued. */
  get longestUs(): number {
    const { delayUs, jitterUs, reorderUs } = this.plan;
    return delayUs + jitterUs + reorderUs + Math.max(0, this.freeUs - this.scheduler.nowUs);
  }

  get empty(): boolean {
    return this.inFlight === 0;
  }

  /** From now on it loses, duplicates and reorders nothing. */
  calm(): void {
    this.plan = { ...this.plan, loss: 0, duplicate: 0, reorder: 0 };
  }

  /** Packets on their way are lost. */
  cut(): void {
    this.generation++;
  }

  send(packet: SimPacket): void {
    if (!this.up) {
      this.counts.lost++;
      return;
    }
    if (!this.plan.wires) {
      this.carry(packet);
      return;
    }
    if (packet.protocol === PROTO_TCP && packet.segmentBytes > 0 && packet.dataBytes > packet.segmentBytes) {
      this.counts.cut++;
      for (let at = 0; at < packet.dataBytes; at += packet.segmentBytes) {
        this.carry(cutSegment(packet, at, Math.min(packet.segmentBytes, packet.dataBytes - at)));
      }
      return;
    }
    this.carry(packet.partial ? complete(packet) : packet);
  }

  private carry(packet: SimPacket): void {
    const { plan, prng } = this;
    const now = this.scheduler.nowUs;
    this.freeUs = Math.max(this.freeUs, now) + packet.buf.length / plan.rate;
    if (plan.loss > 0 && prng.chance(plan.loss)) {
      this.counts.lost++;
      return;
    }
    let arrival = Math.floor(this.freeUs + plan.delayUs + (plan.jitterUs > 0 ? prng.below(plan.jitterUs + 1) : 0));
    if (plan.reorder > 0 && prng.chance(plan.reorder)) {
      this.counts.reordered++;
      arrival += prng.below(plan.reorderUs + 1);
    } else {
      arrival = Math.max(arrival, this.lastArrivalUs);
      this.lastArrivalUs = arrival;
    }
    this.arrive(packet, arrival);
    if (plan.duplicate > 0 && prng.chance(plan.duplicate)) {
      this.counts.duplicated++;
      this.arrive(packet.withBytes(Buffer.from(packet.buf)), arrival + prng.below(plan.reorderUs + 1));
    }
  }

  private arrive(packet: SimPacket, timeUs: number): void {
    const { generation } = this;
    this.inFlight++;
    this.scheduler.at(timeUs, () => {
      this.inFlight--;
      if (generation !== this.generation) return;
      this.counts.carried++;
      this.deliver(packet);
    });
  }
}

/** The packet with its checksum computed to the end, as a network card does. */
export function complete(packet: SimPacket): SimPacket {
  const copy = packet.withBytes(Buffer.from(packet.buf));
  copy.partial = false;
  writeChecksum(copy.buf, copy.family, copy.protocol, false);
  return copy;
}

function cutSegment(packet: SimPacket, at: number, n: number): SimPacket {
  const { buf, family } = packet;
  const l4 = ipHeaderBytes(family);
  const payload = buf.length - packet.dataBytes;
  const out = Buffer.allocUnsafe(payload + n);
  buf.copy(out, 0, 0, payload);
  buf.copy(out, payload, payload + at, payload + at + n);
  if (family === 4) {
    out.writeUInt16BE(out.length, 2);
    out.writeUInt16BE(0, 10);
    out.writeUInt16BE(~sum(out, 0, 20, 0) & 0xffff, 10);
  } else out.writeUInt16BE(out.length - 40, 4);
  out.writeUInt32BE((out.readUInt32BE(l4 + 4) + at) >>> 0, l4 + 4);
  const last = at + n === packet.dataBytes;
  if (!last) out[l4 + 13] = out[l4 + 13]! & ~(FIN | PSH);
  writeChecksum(out, family, PROTO_TCP, false);
  const segment = packet.withBytes(out);
  segment.partial = false;
  segment.place += at;
  segment.dataBytes = n;
  segment.fin = packet.fin && last;
  return segment;
}
