// A secondary with a stream link has two sets of rules, one before a failover and one after it. Which one a node is at
// stands in the journal, so that nobody isolates the port of a guest that has taken over.

import { type Link, links } from '../io/link';
import { Journal } from './journal';
import { type Plan, planOf, type RuleConfig } from './plan';
import type { RuleNode } from './plan-parts';

/** Nodes whose guests have taken over, on their ports of now: one that was made anew is another guest's. */
export function aloneNodes(
  nodes: readonly RuleNode[],
  journal: Pick<Journal, 'changes'>,
  known: ReadonlyMap<string, Link>,
): ReadonlySet<number> {
  const isAlone = ({ index, guestPort }: RuleNode) =>
    journal
      .changes(index)
      .some((one) => one.kind === 'alone' && one.name === guestPort && known.get(guestPort)?.index === one.index);
  return new Set(nodes.filter(isAlone).map(({ index }) => index));
}

/** What should be now. Rejects with OperatorError. */
export async function presentPlan(config: RuleConfig): Promise<Plan> {
  return planOf(config, aloneNodes(config.nodes, Journal.look(config.stateDir), await links()));
}
