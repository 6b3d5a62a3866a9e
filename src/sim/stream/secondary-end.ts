// The stream link of a secondary's process, until a failover.

import { KeptEpoch } from '../../node/kept-epoch';
import type { Clock } from '../../node/ports';
import type { SecondaryNode } from '../../node/secondary';
import type { SecondaryLink } from '../../node/secondary-link';
import { Neighbours } from '../../seccolo/neighbours';
import { type NodeSurroundings, SILENT } from '../daemon';
import type { SecondaryFiles } from '../makers';
import type { SimPacket } from '../packet';
import { packetOf } from './frames';

export interface SvmPort {
  deliver(packet: SimPacket): boolean;
  empty(): void;
}

export function secondaryEnd(
  around: NodeSurroundings,
  files: SecondaryFiles,
  clock: Clock,
  node: SecondaryNode,
  port: SvmPort,
): SecondaryLink {
  const stream = around.stream!;
  const epoch = new KeptEpoch(files.epochs, () => stream.uuid());
  const end = {
    vm: 'guest',
    kind: 'packets',
    role: 'secondary',
    generation: 0,
    features: [],
    // It changes.
    get memory() {
      return epoch.memory;
    },
    epoch: () => epoch.value,
  } as const;
  return around.makers.secondaryLink({
    clock,
    log: SILENT,
    node,
    epoch,
    neighbours: new Neighbours(),
    port: {
      send: (buf, off, bytes) => port.deliver(packetOf(buf, off, bytes, around.scheduler.nowUs)),
      empty: () => port.empty(),
    },
    open: stream.dial(end, clock),
  });
}
