// Bypass rules as people write them (configuration, `colo ctl bypass`) and as the engine wants them.

import { z } from 'zod';
import { OperatorError } from '../core/errors';
import { parsePrefix } from '../packet/address';
import { type BypassRule, MAX_BYPASS_RULES } from '../pmycolo/bypass';

const PROTOCOLS: Record<string, number> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  icmpv6: 58,
  sctp: 132,
};

const PROTOCOL_ERROR = `must be one of ${Object.keys(PROTOCOLS).join(', ')}, or a number from 0 to 255`;
const PORTS_ERROR = 'must be a port from 0 to 65535, or a range such as 8000-8080';

function portsOf(text: string | number): { first: number; last: number } {
  const [first, last] = String(text).split('-').map(Number);
  return { first: first!, last: last ?? first! };
}

function isRange(text: string): boolean {
  const { first, last } = portsOf(text);
  return first <= last && last <= 65535;
}

export const bypassRuleSchema = z
  .strictObject({
    protocol: z
      .union(
        [
          z.enum(Object.keys(PROTOCOLS) as [string, ...string[]]),
          z.number().int(PROTOCOL_ERROR).min(0, PROTOCOL_ERROR).max(255, PROTOCOL_ERROR),
        ],
        { error: PROTOCOL_ERROR },
      )
      .optional(),
    /** Address or prefix, such as 10.0.0.0/8 or 2001:db8::/32. */
    prefix: z
      .string()
      .refine(
        (text) => parsePrefix(text) !== undefined,
        'must be an address or prefix such as 10.0.0.0/8 or 2001:db8::/32',
      )
      .optional(),
    /** One port, or a range such as "8000-8080". */
    ports: z
      .union(
        [
          z.number().int(PORTS_ERROR).min(0, PORTS_ERROR).max(65535, PORTS_ERROR),
          z
            .string()
            .regex(/^\d{1,5}(-\d{1,5})?$/, PORTS_ERROR)
            .refine(isRange, 'must be a range of ports from low to high, at most 65535'),
        ],
        { error: PORTS_ERROR },
      )
      .optional(),
    /** Whose address and port are meant. */
    end: z.enum(['guest', 'peer', 'either']).default('either'),
  })
  .refine(
    (r) => r.protocol !== undefined || r.prefix !== undefined || r.ports !== undefined,
    'needs a protocol, a prefix or ports',
  )
  .refine(
    ({ ports, protocol }) => ports === undefined || protocol === undefined || ['tcp', 'udp', 6, 17].includes(protocol),
    { path: ['ports'], error: 'must be left out: only tcp and udp have ports here' },
  );

export type BypassRuleText = z.infer<typeof bypassRuleSchema>;

/** Checked rule for the engine. Throws OperatorError. */
export function parseBypassRule(value: unknown): { text: BypassRuleText; rule: BypassRule } {
  const parsed = bypassRuleSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new OperatorError(
      'EBYPASS',
      `bypass rule: ${issue.path.join('.') || 'rule'}: ${issue.message}`,
      'see docs/OPERATIONS.md, "Bypass rules"',
    );
  }
  return { text: parsed.data, rule: toBypassRule(parsed.data) };
}

export function toBypassRule(text: BypassRuleText): BypassRule {
  const rule: BypassRule = { end: text.end };
  if (text.protocol !== undefined)
    rule.protocol = typeof text.protocol === 'number' ? text.protocol : PROTOCOLS[text.protocol]!;
  if (text.prefix !== undefined) {
    const prefix = parsePrefix(text.prefix)!;
    rule.family = prefix.family;
    rule.address = prefix.address;
    rule.prefixBits = prefix.bits;
  }
  if (text.ports !== undefined) {
    const { first, last } = portsOf(text.ports);
    rule.firstPort = first;
    rule.lastPort = last;
  }
  return rule;
}

/** A rule may be written in several ways: ports: "22" and ports: 22, protocol: 6 and protocol: tcp. */
function keyOf(rule: BypassRule): string {
  return JSON.stringify(rule);
}

/** A node's rules, by their text. */
export class BypassRules {
  private readonly rules = new Map<string, { text: BypassRuleText; rule: BypassRule }>();

  constructor(initial: readonly BypassRuleText[] = []) {
    for (const text of initial) this.add(text);
  }

  add(value: unknown): void {
    const parsed = parseBypassRule(value);
    const key = keyOf(parsed.rule);
    if (!this.rules.has(key) && this.rules.size >= MAX_BYPASS_RULES) {
      throw new OperatorError(
        'EBYPASS',
        `there are ${MAX_BYPASS_RULES} bypass rules already`,
        'remove some, or write prefixes and ranges',
      );
    }
    this.rules.set(key, parsed);
  }

  /** False when there is no such rule. */
  remove(value: unknown): boolean {
    return this.rules.delete(keyOf(parseBypassRule(value).rule));
  }

  clear(): void {
    this.rules.clear();
  }

  list(): BypassRuleText[] {
    return [...this.rules.values()].map((r) => r.text);
  }

  compiled(): BypassRule[] {
    return [...this.rules.values()].map((r) => r.rule);
  }
}
