// Collects a flow's packets and steps.

import type { Prng } from '../../src/sim/prng';
import { type Carrier, type Ends, endsOf, type Outside, pickCarrier } from './carrier';
import type { About, Flow, Packet, Side, Step } from './flow';

export class FlowBuilder {
  readonly packets: Packet[] = [];
  readonly steps: Step[] = [];
  readonly features = new Set<string>();
  readonly ends: Ends;

  constructor(
    readonly prng: Prng,
    readonly seed: number,
    flowNumber: number,
    readonly kind: string,
    readonly carrier: Carrier = pickCarrier(prng),
    /** Without any feature that is drawn. */
    private readonly plain = false,
  ) {
    if (carrier.tags.length > 0 || carrier.family === 6) this.features.add(carrier.name);
    this.ends = endsOf(flowNumber, carrier, prng);
  }

  /** What surrounds the next packet of that side. */
  outside(side: Side, padding: Outside['padding'] = 'none'): Outside {
    return {
      carrier: this.carrier,
      ends: this.ends,
      id: (side === 'p' ? 0x4000 : 0x9000) + this.packets.length,
      padding,
    };
  }

  packet(side: Side, frame: Buffer, about: About): Packet {
    const packet = { n: this.packets.length, side, frame, about };
    this.packets.push(packet);
    return packet;
  }

  feature(name: string, probability: number): boolean {
    const has = !this.plain && this.prng.chance(probability);
    if (has) this.features.add(name);
    return has;
  }

  deliver(side: Side, packets: readonly Packet[]): void {
    if (packets.length === 0) return;
    const last = this.steps[this.steps.length - 1];
    if (last !== undefined && last.side === side) last.packets.push(...packets);
    else this.steps.push({ side, packets: [...packets] });
  }

  checkpoint(): void {
    this.steps.push({ side: 'checkpoint' });
  }

  /** Both sides' packets, each in its own order, one side ahead of the other or in turns. */
  merge(primary: readonly Packet[], secondary: readonly Packet[]): void {
    const { prng } = this;
    const style = prng.below(4);
    let p = 0;
    let s = 0;
    if (style === 0) p = primary.length;
    if (style === 1) s = secondary.length;
    this.deliver('p', primary.slice(0, p));
    this.deliver('s', secondary.slice(0, s));
    const run = style === 2 ? 1 : Math.max(2, Math.ceil(primary.length / 2));
    while (p < primary.length || s < secondary.length) {
      const np = Math.min(primary.length - p, prng.range(style === 3 ? 0 : 1, run));
      this.deliver('p', primary.slice(p, p + np));
      p += np;
      const left = primary.length - p;
      // In turns neither side gets far ahead.
      const ns =
        left === 0 ? secondary.length - s : Math.min(secondary.length - s, prng.range(style === 3 ? 0 : 1, run));
      this.deliver('s', secondary.slice(s, s + ns));
      s += ns;
    }
  }

  finish(): Flow {
    if (this.steps[this.steps.length - 1]?.side !== 'checkpoint') this.checkpoint();
    const { seed, kind, packets, steps } = this;
    return { seed, kind, features: [...this.features], packets, steps };
  }
}
