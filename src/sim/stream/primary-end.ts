// The stream link of a primary's process, with checks of what is compared and released.

import type { EpochMatch } from '../../node/epoch-match';
import type { Clock } from '../../node/ports';
import type { PrimaryNode } from '../../node/primary';
import { BatchTime, ForwardIntake } from '../../node/primary-intake';
import type { PrimaryLink } from '../../node/primary-link';
import { type NodeSurroundings, SILENT } from '../daemon';
import type { FakeQueue } from '../fake-queue';
import type { SimPrimaryEngine } from '../makers';
import { frameOf } from './frames';

const END = {
  vm: 'guest',
  kind: 'packets',
  role: 'primary',
  generation: 0,
  features: [],
  epoch: () => 0,
} as const;

/** `toGuest`: what goes to the PVM, as a packet socket at its port shows it. */
export function primaryEnd(
  around: NodeSurroundings,
  match: EpochMatch,
  clock: Clock,
  engine: SimPrimaryEngine,
  node: () => PrimaryNode,
  toGuest: FakeQueue,
  spoken: () => number,
): PrimaryLink {
  const stream = around.stream!;
  const link = around.makers.primaryLink(match, {
    clock,
    log: SILENT,
    open: stream.listen(END, clock),
    node,
    engine,
    // What comes by a stream waits for no verdict.
    intake: new ForwardIntake(engine, new BatchTime(clock.nowMs), node, () => ({ drop: () => {} })),
    spoken,
    arp: () => {},
  });
  toGuest.listen((batch) => {
    for (const { id } of batch) {
      const frame = frameOf(toGuest.settle(id, 'accepted')!);
      link.clientFrame(frame, 0, frame.length);
      frame.fill(0xa5);
    }
    link.endBatch();
  });
  return link;
}
