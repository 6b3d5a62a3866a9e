// Runs a flow on a device and says what became of each packet of the primary.

import type { Driver } from './driver';
import { type Flow, type Packet, type Step, describePacket } from './flow';
import { Released, readRelease } from './release';

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
