// The faults of a run, and their times.

import type { Prng } from './prng';

const MS = 1000;

export type FaultKind =
  /** PVM and PN die together. */
  | 'failover'
  /** The PVM alone dies; its tap goes with it, so PN drops its held packets. */
  | 'guest-death'
  | 'primary-daemon'
  | 'secondary-daemon'
  | 'controller-loss'
  | 'secondary-death'
  /** The forward link is cut for a while. */
  | 'forward-down'
  /** The SVM alone asks for an address, twice: it lost a cache entry. */
  | 'address-request'
  /** Both guests ask for one, the SVM first: it has aged in both caches. */
  | 'address-aged';

export interface Fault {
  kind: FaultKind;
  atUs: number;
  /** Duration of the outage, or time until it is noticed. */
  forUs: number;
  /** It strikes between two steps of a checkpoint, not before atUs. */
  inCheckpoint: boolean;
  /** A daemon's files are gone with it. */
  losesFiles: boolean;
}

export function makeFaults(p: Prng, activeUs: number, aged: Prng, files: Prng): Fault[] {
  const faults: Fault[] = [];
  const add = (kind: FaultKind, forUs: number, earliestUs = 0, from = p) =>
    faults.push({
      kind,
      atUs: from.range(earliestUs, activeUs),
      forUs,
      inCheckpoint: kind !== 'controller-loss' && from.chance(0.25),
      losesFiles: kind === 'primary-daemon' && files.chance(0.3),
    });
  // The pair may break and be restored before the PVM's final death.
  let earliestUs = 0;
  if (p.chance(0.2)) {
    add(p.pick(['secondary-death', 'controller-loss'] as const), p.range(200, 2000) * MS);
    earliestUs = p.chance(0.5) ? Math.floor(activeUs / 2) : 0;
  }
  // A host's death is detected only after its last packets have arrived.
  if (p.chance(0.55)) add(p.pick(['failover', 'failover', 'guest-death'] as const), p.range(120, 500) * MS, earliestUs);
  while (p.chance(0.35) && faults.length < 6) {
    add(p.pick(['primary-daemon', 'secondary-daemon'] as const), p.logRange(5, 600) * MS);
  }
  if (p.chance(0.1)) add('forward-down', p.logRange(10, 1500) * MS);
  if (p.chance(0.1)) add('address-request', 0);
  if (aged.chance(0.3)) add('address-aged', aged.range(1, 900) * MS, 0, aged);
  return faults.sort((a, b) => a.atUs - b.atUs);
}
