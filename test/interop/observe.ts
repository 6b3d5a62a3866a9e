// Runs a flow on a device and says what became of each packet of the primary.

import type { Prng } from '../../src/sim/prng';
import type { Driver } from './driver';
import { describePacket, type Flow, type Packet, type Step } from './flow';
import { type Released, readRelease } from './release';

/** When a packet left: before the checkpoint that its epoch ends with, by that checkpoint, or not at all. */
export type Fate = 'early' | 'flushed' | 'replaced';

export interface Epoch {
  /** The steps of the flow that belong to it; the last is its checkpoint. */
  first: number;
  checkpoint: number;
  /** The primary's packets of this epoch. */
  packets: Packet[];
}

export interface Result {
  /** Per step, in order. */
  out: Released[][];
  /** Per step that is a checkpoint: was one asked for since the one before? */
  asked: Map<number, boolean>;
  fates: Map<number, Fate>;
}

export function epochsOf(flow: Flow): Epoch[] {
  const epochs: Epoch[] = [];
  let first = 0;
  flow.steps.forEach((step: Step, i) => {
    if (step.side !== 'checkpoint') return;
    const packets = flow.steps.slice(first, i).flatMap((s) => (s.side === 'p' ? s.packets : []));
    epochs.push({ first, checkpoint: i, packets });
    first = i + 1;
  });
  return epochs;
}

export async function observe(flow: Flow, driver: Driver): Promise<Result> {
  const result: Result = { out: [], asked: new Map(), fates: new Map() };
  const primary = flow.packets.filter((p) => p.side === 'p');
  for (const p of primary) result.fates.set(p.n, 'replaced');
  let asked = 0;
  for (const [i, step] of flow.steps.entries()) {
    const frames = step.side === 'checkpoint' ? [] : step.packets.map((p) => p.frame);
    const seen =
      step.side === 'checkpoint'
        ? await driver.checkpoint()
        : step.side === 'p'
          ? await driver.primary(frames)
          : await driver.secondary(frames);
    asked += seen.asked;
    const released = seen.out.map((frame) => readRelease(frame, primary, driver.device.name === 'colo'));
    for (const one of released) {
      if (!one.whole) continue;
      if (result.fates.get(one.packet.n) !== 'replaced')
        throw new Error(`came out twice: ${describePacket(one.packet)}`);
      result.fates.set(one.packet.n, step.side === 'checkpoint' ? 'flushed' : 'early');
    }
    result.out.push(released);
    if (step.side === 'checkpoint') {
      result.asked.set(i, asked > 0);
      asked = 0;
    }
  }
  return result;
}

/**
 * Runs flows of one epoch in among each other, in an order that the generator draws, up to one checkpoint for all. What
 * leaves in a step must be of the flow that the step is of; the beginning of a held segment may leave a moment later.
 */
export async function observeTogether(flows: readonly Flow[], prng: Prng, driver: Driver): Promise<Result[]> {
  const results = flows.map((flow): Result => {
    const fates = new Map(flow.packets.filter((p) => p.side === 'p').map((p): [number, Fate] => [p.n, 'replaced']));
    return { out: flow.steps.map(() => []), asked: new Map(), fates };
  });
  const ours = driver.device.name === 'colo';
  const note = (i: number, step: number, one: Released): void => {
    results[i]!.out[step]!.push(one);
    if (one.whole) results[i]!.fates.set(one.packet.n, step === flows[i]!.steps.length - 1 ? 'flushed' : 'early');
  };
  const next = flows.map(() => 0);
  const left = flows.map((_, i) => i).filter((i) => flows[i]!.steps.length > 1);
  const owners = new Map(flows.flatMap((flow, i) => flow.packets.map((p): [Packet, number] => [p, i])));
  const all = [...owners.keys()];
  let asked = 0;
  while (left.length > 0) {
    const at = prng.below(left.length);
    const i = left[at]!;
    const flow = flows[i]!;
    const step = flow.steps[next[i]!]!;
    if (step.side === 'checkpoint') throw new Error('a flow of more than one epoch');
    const frames = step.packets.map((p) => p.frame);
    const seen = step.side === 'p' ? await driver.primary(frames) : await driver.secondary(frames);
    asked += seen.asked;
    for (const frame of seen.out) {
      const one = readRelease(frame, ours ? all : flow.packets, ours);
      const owner = owners.get(one.packet)!;
      if (owner !== i && one.whole)
        throw new Error(`came out in the step of another flow: ${describePacket(one.packet)}`);
      note(owner, owner === i ? next[i]! : next[owner]! - 1, one);
    }
    if (++next[i]! === flow.steps.length - 1) left.splice(at, 1);
  }
  const end = await driver.checkpoint();
  asked += end.asked;
  for (const frame of end.out) {
    const one = readRelease(frame, all, ours);
    const i = owners.get(one.packet)!;
    note(i, next[i]!, one);
  }
  for (const [i, flow] of flows.entries()) results[i]!.asked.set(flow.steps.length - 1, asked > 0);
  return results;
}
