// The bypass rules of a daemon's nodes: those of the configuration, and those that were added since.

import { BypassRules, type BypassRuleText } from '../config/bypass-rule';
import { OperatorError } from '../core/errors';
import type { Answer } from '../node/controller';
import type { BypassRule } from '../pmycolo/bypass';

const DONE: Answer = undefined;

export class NodesBypass {
  private readonly rules = new Map<number, BypassRules>();

  /** `apply` gets a node's rules whenever they change. */
  constructor(
    nodes: readonly { index: number; bypassRules: readonly BypassRuleText[] }[],
    private readonly apply: (index: number, rules: readonly BypassRule[]) => void,
  ) {
    for (const { index, bypassRules } of nodes) this.rules.set(index, new BypassRules(bypassRules));
  }

  list(index: number): readonly unknown[] {
    return this.rules.get(index)!.list();
  }

  /** New rules from the configuration; those added at run time are gone. */
  reload(all: ReadonlyMap<number, readonly BypassRuleText[]>): void {
    for (const [index, texts] of all) {
      if (!this.rules.has(index)) continue;
      this.rules.set(index, new BypassRules(texts));
      this.apply(index, this.rules.get(index)!.compiled());
    }
  }

  add(index: number, rule: unknown): Answer {
    return this.change(index, (rules) => {
      rules.add(rule);
      return DONE;
    });
  }

  remove(index: number, rule: unknown): Answer {
    return this.change(index, (rules) =>
      rules.remove(rule) ? DONE : { refused: 'missing', why: 'there is no such bypass rule' },
    );
  }

  flush(index: number): Answer {
    return this.change(index, (rules) => {
      rules.clear();
      return DONE;
    });
  }

  private change(index: number, change: (rules: BypassRules) => Answer): Answer {
    const rules = this.rules.get(index)!;
    try {
      const answer = change(rules);
      this.apply(index, rules.compiled());
      return answer;
    } catch (error) {
      if (error instanceof OperatorError) return { refused: 'invalid', why: error.message };
      throw error;
    }
  }
}
