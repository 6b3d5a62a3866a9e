// What of the plan is not so at the moment. A protected node without its rules looks well: nothing reaches the daemon.

import { run } from '../io/exec';
import { type Link, links } from '../io/link';
import { readSysctl, sysctlName } from '../io/sysctl';
import { quietPath } from './commands';
import { FAMILIES, programOf, savedRules, TABLES } from './iptables';
import { mirrorState } from './mirror';
import { isolation, nftInPlace, nftTables } from './nft';
import type { IptablesRule, NodePlan, RuleConfig } from './plan';
import { presentPlan } from './stages';

/** For `colo doctor`: what `colo rules apply` would still do for the packets, in words. */
export async function missingRules(config: RuleConfig): Promise<string[]> {
  const names = new Map(config.nodes.map(({ index, name }) => [index, name]));
  return [...(await missingByNode(config))].flatMap(([index, texts]) =>
    texts.map((text) => `${names.get(index)}: ${text}`),
  );
}

/** The same by node index; a node that lacks nothing is left out. Rejects with OperatorError. */
export async function missingByNode(config: RuleConfig): Promise<Map<number, string[]>> {
  const plan = await presentPlan(config);
  const known = await links();
  // Of bounds no packet's way depends.
  const host = plan.sysctls.filter(({ path, value, bound }) => bound === undefined && readSysctl(path) !== value);
  const out = new Map<number, string[]>();
  for (const node of plan.nodes) {
    const { index, guestPort } = node.node;
    const missing = host.map(({ path, value }) => `sysctl ${sysctlName(path)} is not ${value}`);
    for (const { name: bridge, calls } of node.bridges) {
      const link = known.get(bridge);
      if (!link) missing.push(`no bridge ${bridge}`);
      else if (calls && (!link.nfCallIptables || !link.nfCallIp6tables))
        missing.push(`${bridge} does not call iptables`);
    }
    // After a failover the guest's port is in the outer bridge, and belongs there.
    const strays = node.bridges.flatMap(({ name: home, ports }) =>
      ports.filter((port) => known.get(port)?.master !== home && !(plan.role === 'secondary' && port === guestPort)),
    );
    for (const port of strays) missing.push(`${port} is not in its bridge`);
    if (!(await iptablesInPlace(plan.iptables, node))) missing.push('iptables rules missing');
    for (const { family, table, statements } of node.nft) {
      if (!(await nftInPlace(family, table, node.comment, statements)))
        missing.push(`nft table ${family} ${table} missing or changed`);
    }
    // Left by a process that was killed in the middle of a failover.
    if (node.alone && (await nftTables()).has(`netdev ${isolation(node.node).table}`))
      missing.push(`${guestPort} is isolated still`);
    if (node.isolated) missing.push(...contacts(known.get(guestPort)));
    if (node.mirror && known.has(node.mirror.from)) {
      const { to } = await mirrorState(node.mirror.from, index, plan.nftables);
      if (to !== node.mirror.to) missing.push('no mirror');
    }
    if (missing.length > 0) out.set(index, missing);
  }
  return out;
}

/** Ways from an isolated port to somebody, beside its frames. */
function contacts(port: Link | undefined): string[] {
  if (port === undefined) return [];
  const out: string[] = [];
  if (port.master !== undefined) out.push(`${port.name} is in ${port.master}`);
  if (port.arp) out.push(`${port.name} does ARP`);
  if (readSysctl(quietPath(port.name)) === '0') out.push(`${port.name} has IPv6`);
  return out;
}

async function iptablesInPlace(iptables: string, { comment, iptables: wanted }: NodePlan): Promise<boolean> {
  for (const family of FAMILIES) {
    for (const table of TABLES) {
      const present = savedRules(await run(programOf(iptables, family, 'save'), ['-t', table]), comment);
      const own = wanted.filter((rule) => rule.table === table);
      if (!own.every((rule) => present.some((line) => same(line, rule)))) return false;
    }
  }
  return true;
}

/** iptables-save has its own order of matches, and quotation marks. */
function same(line: string, { chain, words }: IptablesRule): boolean {
  const there = new Set(line.split(/[ "]+/));
  return there.has(chain) && words.every((word) => there.has(word));
}
