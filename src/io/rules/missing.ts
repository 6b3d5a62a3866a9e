// What of the plan is not so at the moment. A protected node without its rules looks well: nothing reaches the daemon.

import { run } from '../exec';
import { links } from '../link';
import { FAMILIES, programOf, savedRules, TABLES } from './iptables';
import { cookieOf } from './marks';
import { mirrorState } from './mirror';
import { nftTables } from './nft';
import { type IptablesRule, type NodePlan, planOf, type RuleConfig } from './plan';

/** For `colo doctor`: what `colo rules apply` would still do for the packets, in words. */
export async function missingRules(config: RuleConfig): Promise<string[]> {
  const plan = planOf(config);
  const known = await links();
  const tables = plan.nftables ? await nftTables() : new Set<string>();
  const out: string[] = [];
  for (const node of plan.nodes) {
    const { name, guestPort } = node.node;
    const say = (text: string) => out.push(`${name}: ${text}`);
    for (const { name: bridge } of node.bridges) {
      const link = known.get(bridge);
      if (!link) say(`no bridge ${bridge}`);
      else if (!link.nfCallIptables || !link.nfCallIp6tables) say(`${bridge} does not call iptables`);
    }
    // After a failover the guest's port is in the outer bridge, and belongs there.
    const strays = node.bridges.flatMap(({ name: home, ports }) =>
      ports.filter((port) => known.get(port)?.master !== home && !(plan.role === 'secondary' && port === guestPort)),
    );
    for (const port of strays) say(`${port} is not in its bridge`);
    if (!(await iptablesInPlace(plan.iptables, node))) say('iptables rules missing');
    if (node.nft.some(({ family, table }) => !tables.has(`${family} ${table}`))) say('nft tables missing');
    if (node.mirror && known.has(node.mirror.from)) {
      const { to } = await mirrorState(node.mirror.from, cookieOf(node.node.index));
      if (to !== node.mirror.to) say('no mirror');
    }
  }
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
