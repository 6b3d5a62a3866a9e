// A flow from a seed. The same seed gives the same flow.

import { Prng } from '../../src/sim/prng';
import type { Flow } from './flow';
import { icmpFlow, otherFlow, udpFlow } from './generate-datagram';
import { tcpFlow } from './generate-tcp';

export function generateFlow(seed: number): Flow {
  const prng = new Prng(seed);
  const kind = prng.below(100);
  if (kind < 62) return tcpFlow(prng, seed, seed & 0xffffff);
  if (kind < 80) return udpFlow(prng, seed, seed & 0xffffff);
  if (kind < 90) return icmpFlow(prng, seed, seed & 0xffffff);
  return otherFlow(prng, seed, seed & 0xffffff);
}
