// The plan of a run behind sockets, chosen by its seed: guests, clients and links as behind queues, and frames, sockets
// and controllers.

import { Prng } from '../prng';
import { makeScenario, type Scenario } from '../scenario';
import type { FramePlan } from './frame';
import type { LoopPlan } from './loop';
import type { SocketPlan } from './socket';

export type FrameFaultKind =
  /** The primary's whole host dies. */
  | 'host-death'
  /** The PVM dies, and its sockets end. */
  | 'guest-death'
  /** The secondary dies, and the PVM goes on alone. */
  | 'secondary-death'
  /** The peer of outdev disconnects and returns. */
  | 'outdev-reconnect'
  /** The controller's connection (QMP or notify_dev) ends and returns. */
  | 'controller-reconnect';

export interface FrameFault {
  kind: FrameFaultKind;
  atUs: number;
  /** Duration of the outage, or time until it is noticed. */
  forUs: number;
}

export interface FramesScenario extends Pick<Scenario, 'sessions' | 'datagrams' | 'calls'> {
  base: Scenario;
  frame: FramePlan;
  /** How the comparison learns of checkpoints. */
  way: 'qmp' | 'notify';
  socket: SocketPlan;
  loop: LoopPlan;
  /** Delay until the peer of outdev reads. */
  outdevUs: number;
  maxQueueSize: number;
  expiredScanCycleMs: number;
  /** Longest time between two steps of a checkpoint, and time for copying its state. */
  stepUs: number;
  transferUs: number;
  faults: FrameFault[];
}

const MS = 1000;
/** QEMU's mirror is a stream of its own between the hosts: in order, without losses, and fast. */
const FORWARD_US = 800;

export function makeFramesScenario(seed: number): FramesScenario {
  const p = new Prng(seed).fork('frames');
  const base = makeScenario(seed);
  const vnetWord = p.chance(0.5);
  const vnetBytes = vnetWord ? p.pick([0, 10, 12, 12]) : 0;
  const vlans = p.pick([[], [], [5], [7, 9]]);
  // Only a virtio-net header can ask for a checksum to be finished; and a packet to be segmented has an unfinished one.
  const offloads = vnetBytes > 0 && p.chance(0.7);
  if (!offloads) base.guestImage.gsoBytes = base.guestImage.mss;
  for (const habits of [base.primaryHabits, base.secondaryHabits]) habits.partialChance = offloads ? 1 : 0;
  const delayUs = p.logRange(20, FORWARD_US);
  for (const link of [base.forward, base.forwardBack])
    Object.assign(link, { delayUs, jitterUs: 100, loss: 0, duplicate: 0, reorder: 0, rate: 1250, wires: false });
  const stalls = p.chance(0.4);
  const activeUs = base.calmUs - 2000 * MS;
  const faults: FrameFault[] = [];
  const add = (kind: FrameFaultKind, forUs: number): void =>
    void faults.push({ kind, atUs: p.range(activeUs >> 2, activeUs), forUs });
  while (p.chance(0.3) && faults.length < 4)
    add(p.pick(['outdev-reconnect', 'controller-reconnect'] as const), p.logRange(1, 300) * MS);
  const way = p.chance(0.7) ? 'qmp' : 'notify';
  // notify_dev has no message for a PVM that goes on alone.
  const deaths: FrameFaultKind[] = ['host-death', 'guest-death'];
  if (way === 'qmp') deaths.push('secondary-death');
  if (p.chance(0.5)) add(p.pick(deaths), p.range(120, 500) * MS);
  const { sessions, datagrams, calls } = base;
  return {
    base,
    sessions,
    datagrams,
    calls,
    frame: { vnetBytes, vlans, vnetWord },
    way,
    socket: { readBytes: p.pick([300, 5000, 1 << 20]), sendBytes: p.pick([3000, 1 << 16, 1 << 18]) },
    loop: {
      latencyUs: p.logRange(20, 1000),
      hiccupChance: stalls ? 0.02 : 0,
      hiccupUs: p.range(10, 60) * MS,
    },
    outdevUs: p.chance(0.2) ? 5000 : p.logRange(5, 300),
    maxQueueSize: p.pick([4, 64, 64]),
    expiredScanCycleMs: p.pick([100, 500, 3000]),
    stepUs: p.logRange(50, 5000),
    transferUs: p.range(20, 40) * MS,
    faults,
  };
}
