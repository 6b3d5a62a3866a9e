// A flow from a seed. The same seed gives the same flow.

import { Prng } from '../../src/sim/prng';
import type { Flow } from './flow';
import { icmpFlow, otherFlow, udpFlow } from './generate-datagram';
import { arpFlow, fragmentFlow, igmpFlow, linkFlow } from './generate-mixed';
import { tcpFlow } from './generate-tcp';

const KINDS: readonly (readonly [number, (prng: Prng, seed: number, flowNumber: number) => Flow])[] = [
  [60, tcpFlow],
  [17, udpFlow],
  [8, icmpFlow],
  [7, otherFlow],
  [4, fragmentFlow],
  [1, arpFlow],
  [2, linkFlow],
  [1, igmpFlow],
];

export function generateFlow(seed: number): Flow {
  const prng = new Prng(seed);
  let at = prng.below(100);
  for (const [weight, make] of KINDS) {
    // The seed is in the addresses, too: no flow meets another one's.
    if (at < weight) return make(prng, seed, seed & 0xffffff);
    at -= weight;
  }
  throw new Error('the weights are not a hundred');
}
