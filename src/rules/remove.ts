// Takes the rules away: what carries our marks goes, what was changed for them becomes as it was.

import { CommandError, run } from '../io/exec';
import { links, portsOf } from '../io/link';
import { readSysctl, sysctlName, writeSysctl } from '../io/sysctl';
import type { RulesReport } from './apply';
import { replaceRules, usesNfTables } from './iptables';
import { type Change, Journal } from './journal';
import { clsactEmpty, mirrorState, removeMirror } from './mirror';
import { dropIfEmpty, nftTables, removeNft } from './nft';
import { type NodePlan, type Plan, planOf, type RuleConfig } from './plan';

/** Rejects with OperatorError. Rules that are not there are no error. */
export function removeRules(config: RuleConfig): Promise<RulesReport> {
  const plan = planOf(config);
  return Journal.use(plan.stateDir, async (journal) => {
    const report: RulesReport = { changes: [], warnings: [] };
    for (const node of [...plan.nodes].reverse()) await removeNode(plan, node, journal, report);
    await undoHost(plan, journal, report);
    return report;
  });
}

export async function removeNode(plan: Plan, node: NodePlan, journal: Journal, report: RulesReport): Promise<void> {
  const { index, guestPort, forwardPort, forwardBridge } = node.node;
  const rules = await replaceRules(plan.iptables, node.comment, []);
  if (rules > 0) report.changes.push(`${rules} iptables rules of ${node.comment} removed`);
  if (plan.nftables && (await removeNft(index, await nftTables())))
    report.changes.push(`nft tables colo-${index} removed`);
  const known = await links();
  if (node.mirror && known.has(guestPort) && (await mirrorState(guestPort, index, false)).to) {
    await removeMirror(guestPort);
    report.changes.push(`mirror of ${guestPort} removed`);
  }
  for (const change of [...journal.changes(index)].reverse()) await undo(change, report);
  // Without the journal, by the mark on the bridge.
  if (forwardPort !== undefined && forwardBridge !== undefined) {
    const bridge = (await links()).get(forwardBridge);
    if (bridge?.alias === node.comment) await deleteBridge(forwardBridge, [forwardPort, guestPort], report);
  }
  journal.forget(index);
}

/** What the nodes share, once the last of them is gone. */
export async function undoHost(plan: Plan, journal: Journal, report: RulesReport): Promise<void> {
  if (journal.hasNodes) return;
  for (const change of [...journal.changes()].reverse()) {
    if (change.kind !== 'tables') await undo(change, report);
    else if (await usesNfTables(plan.iptables)) await dropTables(change.was);
  }
  journal.forget(undefined);
}

/** iptables-nft makes tables as it needs them, and never removes one. */
async function dropTables(before: readonly string[]): Promise<void> {
  const now = await nftTables();
  for (const table of ['ip raw', 'ip mangle', 'ip filter', 'ip6 raw', 'ip6 mangle', 'ip6 filter']) {
    if (now.has(table) && !before.includes(table)) await dropIfEmpty(table);
  }
}

async function undo(change: Change, report: RulesReport): Promise<void> {
  if (change.kind === 'tables' || change.kind === 'alone' || change.kind === 'opening') return;
  if (change.kind === 'sysctl') {
    // Somebody else's word since then stays.
    if (readSysctl(change.path) !== change.set || change.was === change.set) return;
    writeSysctl(change.path, change.was);
    report.changes.push(`sysctl ${sysctlName(change.path)}=${change.was}`);
    return;
  }
  const known = await links();
  const link = known.get(change.name);
  if (!link || ('index' in change && change.index !== link.index)) return;
  switch (change.kind) {
    case 'bridge':
      // Without a mark it is ours, too: we were killed before it got one.
      if (link.alias === change.alias || link.alias === undefined) await deleteBridge(change.name, [], report);
      return;
    case 'port': {
      if ((link.master ?? null) !== change.bridge || (change.was === change.bridge && change.up)) return;
      const back = change.was !== null && known.has(change.was) ? ['master', change.was] : ['nomaster'];
      await run('ip', ['link', 'set', 'dev', change.name, ...back, ...(change.up ? [] : ['down'])]);
      report.changes.push(
        change.bridge === null ? `${change.name} put back` : `${change.name} taken out of ${change.bridge}`,
      );
      return;
    }
    case 'arp':
      await run('ip', ['link', 'set', 'dev', change.name, 'arp', 'on']);
      return;
    case 'netfilter': {
      const flags = [
        'nf_call_iptables',
        change.iptables ? '1' : '0',
        'nf_call_ip6tables',
        change.ip6tables ? '1' : '0',
      ];
      await run('ip', ['link', 'set', 'dev', change.name, 'type', 'bridge', ...flags]);
      return;
    }
    case 'clsact':
      if (!(await clsactEmpty(change.name))) return;
      try {
        await run('tc', ['qdisc', 'del', 'dev', change.name, 'clsact']);
      } catch (error) {
        // Somebody else has taken it away.
        if (!(error instanceof CommandError)) throw error;
      }
  }
}

/** Its `members` are set free with it; a bridge that has got other ports stays. */
async function deleteBridge(name: string, members: readonly string[], report: RulesReport): Promise<void> {
  const others = (await portsOf(name)).filter((port) => !members.includes(port));
  if (others.length > 0) {
    report.warnings.push(`bridge ${name} stays: it has got other ports (${others.join(', ')})`);
    return;
  }
  await run('ip', ['link', 'del', 'dev', name]);
  report.changes.push(`bridge ${name} removed`);
}
