// Bypass rules as people write them (configuration, `colo ctl bypass`) and as the engine wants them.

import { OperatorError } from '../core/errors';
import { parsePrefix } from '../packet/address';
import { type BypassRule, MAX_BYPASS_RULES } from '../pmycolo/bypass';
import { pathText } from './errors';
import { either, type Meaning, object, oneOf, text, whole } from './shape';

const PROTOCOLS: Record<string, number> = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, esp: 50, icmpv6: 58, sctp: 132 };

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

const ports = either(
  whole(0, 65535),
  text(PORTS_ERROR, /^\d{1,5}(-\d{1,5})?$/),
  PORTS_ERROR,
).where((range) => isRange(String(range)), 'must be a range of ports from low to high, at most 65535');

export const bypassRuleSchema = object({
  protocol: either(oneOf(Object.keys(PROTOCOLS)), whole(0, 255), PROTOCOL_ERROR).optional(),
  /** Address or prefix, such as 10.0.0.0/8 or 2001:db8::/32. */
  prefix: text('must be a text')
    .where((prefix) => parsePrefix(prefix) !== undefined, 'must be an address or prefix such as 10.0.0.0/8 or 2001:db8::/32')
    .optional(),
  /** One port, or a range such as "8000-8080". */
  ports: ports.optional(),
  /** Whose address and port are meant. */
  end: oneOf(['guest', 'peer', 'either']).default('either'),
})
  .where((r) => r.protocol !== undefined || r.prefix !== undefined || r.ports !== undefined, 'needs a protocol, a prefix or ports')
  .where(
    (r) => r.ports === undefined || r.protocol === undefined || ['tcp', 'udp', 6, 17].includes(r.protocol),
    'must be left out: only tcp and udp have ports here',
    'ports',
  );

export type BypassRuleText = Meaning<typeof bypassRuleSchema>;

/** Checked rule for the engine. Throws OperatorError. */
export function parseBypassRule(value: unknown): { text: BypassRuleText; rule: BypassRule } {
  const parsed = bypassRuleSchema.parse(value);
  if (parsed.complaints !== undefined) {
    const { path, text } = parsed.complaints[0]!;
    const what = text.slice(pathText(path).length + 1);
    throw new OperatorError('EBYPASS', `bypass rule: ${path.join('.') || 'rule'}: ${what}`, 'see docs/OPERATIONS.md, "Bypass rules"');
  }
  return { text: parsed.value, rule: toBypassRule(parsed.value) };
}

export function toBypassRule(text: BypassRuleText): BypassRule {
  const rule: BypassRule = { end: text.end };
  if (text.protocol !== undefined) rule.protocol = typeof text.protocol === 'number' ? text.protocol : PROTOCOLS[text.protocol]!;
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

/** A node's rules, by what they say. */
export class BypassRules {
  private readonly rules = new Map<string, { text: BypassRuleText; rule: BypassRule }>();

  constructor(initial: readonly BypassRuleText[] = []) {
    for (const text of initial) this.add(text);
  }

  add(value: unknown): void {
    const parsed = parseBypassRule(value);
    const key = keyOf(parsed.rule);
    if (!this.rules.has(key) && this.rules.size >= MAX_BYPASS_RULES) {
      throw new OperatorError('EBYPASS', `there are ${MAX_BYPASS_RULES} bypass rules already`, 'remove some, or write prefixes and ranges');
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
