// Planted mistakes of the nodes, in the order of reading queues and acting, each made by wrapping a correct node.

import type { CuttingQueue, Drainable, QueuedPacket } from '../node/ports';
import { instead, type Mutation, type SimPrimaryEngine } from './makers';

/** A node that does not read its queues while `during` runs. */
function undrained(name: string, during: 'checkpoint' | 'protect'): Mutation {
  let skips = false;
  const unless = <T extends Drainable>(queue: T): T =>
    instead<T>(queue, { drain: () => void (!skips && queue.drain()) } as Partial<Record<keyof T, unknown>>);
  const skipping = <T extends object>(node: T): T => {
    const own = Reflect.get(node, during) as (...all: unknown[]) => unknown;
    const wrong = (...all: unknown[]): unknown => {
      skips = true;
      try {
        return own.apply(node, all);
      } finally {
        skips = false;
      }
    };
    Object.defineProperty(node, during, { value: wrong });
    return node;
  };
  return {
    name,
    make: (right) => ({
      ...right,
      primaryNode: (engine, ports, settings) => {
        const cut = { ...ports, guest: unless(ports.guest), forward: unless(ports.forward) };
        const node = right.primaryNode(engine, cut, settings);
        return skipping(node);
      },
      secondaryNode: (engine, ports) => {
        const cut = { ...ports, guest: () => unless(ports.guest()) };
        const node = right.secondaryNode(engine, cut);
        return during === 'checkpoint' ? skipping(node) : node;
      },
    }),
  };
}

export const NODE_MUTATIONS: readonly Mutation[] = [
  undrained('queues not read before a checkpoint', 'checkpoint'),
  undrained('queues not read before a new pair', 'protect'),
  {
    name: 'lost deltas taken for none',
    make: (right) => ({
      ...right,
      numbers: (files) => {
        const numbers = right.numbers(files);
        if (numbers.whole) return numbers;
        // As if the table had every connection of this epoch.
        numbers.table.setOwner(0, numbers.table.epoch - 1);
        return instead(numbers, { whole: true });
      },
    }),
  },
  {
    name: 'packets cut short leave after a failover',
    make: (right) => ({
      ...right,
      secondaryNode: (engine, ports) => {
        let shown = 0;
        const cut = (): CuttingQueue => {
          const guest = ports.guest();
          const wrong: CuttingQueue['acceptRewritten'] = (id, buf, off, _len, partial) =>
            guest.acceptRewritten(id, buf, off, shown, partial);
          return instead(guest, { acceptRewritten: wrong });
        };
        const node = right.secondaryNode(engine, { ...ports, guest: cut });
        const { fromGuest } = node;
        const packet = (p: QueuedPacket): void => {
          shown = p.len;
          p.len = p.originalLen;
          fromGuest.packet(p);
        };
        Object.defineProperty(node, 'fromGuest', { value: { packet, endBatch: () => fromGuest.endBatch() } });
        return node;
      },
    }),
  },
  {
    name: "a dead guest's queue not read before it is dropped",
    make: (right) => ({
      ...right,
      primaryNode: (engine, ports, settings) => {
        let died = false;
        const node = right.primaryNode(
          engine,
          {
            ...ports,
            guest: instead(ports.guest, { drain: () => void (!died && ports.guest.drain()) }),
            watch: {
              portState: (told) =>
                ports.watch.portState((state) => {
                  died = state !== 'up';
                  told(state);
                  died = false;
                }),
            },
          },
          settings,
        );
        return node;
      },
    }),
  },
  {
    name: 'without a controller differing packets are dropped only once',
    make: (right) => ({
      ...right,
      primaryNode: (engine, ports, settings) =>
        right.primaryNode(instead(engine, { dropAll: dropOnce(engine) }), ports, settings),
    }),
  },
];

/** Drops held packets only at the first call since the engine last compared. */
function dropOnce(engine: Pick<SimPrimaryEngine, 'dropAll' | 'isProtected' | 'awaitsCheckpoint'>): () => void {
  let dropped = false;
  return () => {
    if (!engine.awaitsCheckpoint) dropped = false;
    if (!dropped) engine.dropAll();
    dropped = true;
  };
}
