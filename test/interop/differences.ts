// Where two comparers did not do the same with a flow.

import type { Flow, Packet } from './flow';
import { type Epoch, epochsOf, type Fate, type Result } from './observe';

export type Difference =
  | { kind: 'asked'; epoch: Epoch; stock: boolean; ours: boolean }
  | { kind: 'fate'; epoch: Epoch; packet: Packet; stock: Fate; ours: Fate }
  /** Datagrams left in another order. */
  | { kind: 'order'; epoch: Epoch; when: 'early' | 'flushed' };

export function differences(flow: Flow, stock: Result, ours: Result): Difference[] {
  const found: Difference[] = [];
  for (const epoch of epochsOf(flow)) {
    const asked = { stock: stock.asked.get(epoch.checkpoint)!, ours: ours.asked.get(epoch.checkpoint)! };
    if (asked.stock !== asked.ours) found.push({ kind: 'asked', epoch, ...asked });
    for (const packet of epoch.packets) {
      const fate = { stock: stock.fates.get(packet.n)!, ours: ours.fates.get(packet.n)! };
      if (fate.stock !== fate.ours) found.push({ kind: 'fate', epoch, packet, ...fate });
    }
    for (const when of ['early', 'flushed'] as const) {
      const [from, to] = when === 'early' ? [epoch.first, epoch.checkpoint] : [epoch.checkpoint, epoch.checkpoint + 1];
      const both = epoch.packets.filter((p) => stock.fates.get(p.n) === when && ours.fates.get(p.n) === when);
      if (both.length < 2 || both[0]!.about.kind === 'tcp') continue;
      const order = (result: Result): string =>
        result.out
          .slice(from, to)
          .flat()
          .filter((one) => one.whole && both.includes(one.packet))
          .map((one) => one.packet.n)
          .join(' ');
      if (order(stock) !== order(ours)) found.push({ kind: 'order', epoch, when });
    }
  }
  return found;
}

export function describeDifference(d: Difference): string {
  if (d.kind === 'asked')
    return `checkpoint asked for: QEMU ${d.stock}, ours ${d.ours} (epoch up to step ${d.epoch.checkpoint})`;
  if (d.kind === 'order') return `order of those that were ${d.when} (epoch up to step ${d.epoch.checkpoint})`;
  return `packet ${d.packet.n}: QEMU ${d.stock}, ours ${d.ours}`;
}
