// A secondary with a stream link takes over, and becomes a secondary again: its port from isolated to queued, and back.

import { OperatorError } from '../core/errors';
import { run } from '../io/exec';
import { type Link, links } from '../io/link';
import { applyHost, applyNode, applySettings, endIsolation, noteNetfilter, type RulesReport } from './apply';
import { GUEST_PORT_HINT } from './check';
import { NF_CALL } from './commands';
import { FAMILIES, programOf, restoreBatch, TABLES } from './iptables';
import { Journal } from './journal';
import { isolation } from './nft';
import { type NodePlan, type Plan, planOf, type RuleConfig } from './plan';

/**
 * The queues' rules come, then the port is isolated no longer, and may join the outer bridge. May be called again, and
 * goes on where an earlier process was killed: what it had not marked yet is still isolated. Resolves with what was
 * done, in words. Rejects with OperatorError, the port isolated.
 */
export function takeOverRules(config: RuleConfig, index: number): Promise<readonly string[]> {
  return Journal.use(config.stateDir, async (journal) => {
    const plan = planOf({ ...config, nodes: config.nodes.filter((node) => node.index === index) }, new Set([index]));
    const report: RulesReport = { changes: [], warnings: [] };
    for (const node of plan.nodes) await takeOver(plan, node, journal, report);
    return report.changes;
  });
}

async function takeOver(plan: Plan, node: NodePlan, journal: Journal, report: RulesReport): Promise<void> {
  const { guestPort, index } = node.node;
  const known = await links();
  const link = known.get(guestPort);
  if (link === undefined) throw new OperatorError('ELINK', `${guestPort} does not exist`, GUEST_PORT_HINT);
  const begun = journal.changes(index).some(({ kind }) => kind === 'opening' || kind === 'alone');
  journal.note(index, { kind: 'opening', name: guestPort, index: link.index });
  const first = !begun && (await openAtOnce(plan, node, known, journal, report));
  if (!first) {
    await applyHost(plan, journal, report);
    await applyNode(plan, node, journal, report);
  }
  // Before: a process that finds no isolation and no mark would isolate it again.
  journal.note(index, { kind: 'alone', name: guestPort, index: link.index });
  if (first) {
    const { family, table } = isolation(node.node);
    // `add`, as the table need not be there.
    await run('nft', ['-f', '-'], { input: `add table ${family} ${table}\ndelete table ${family} ${table}\n` });
    report.changes.push(`${guestPort} is isolated no longer`);
  } else await endIsolation(node.node, report);
}

/**
 * All of it at once, for the first time, when none of these rules is there yet: a client waits. False: something went
 * wrong, and what is there now has to be looked at.
 */
async function openAtOnce(
  plan: Plan,
  { bridges, iptables }: NodePlan,
  known: ReadonlyMap<string, Link>,
  journal: Journal,
  report: RulesReport,
): Promise<boolean> {
  const silent = bridges
    .flatMap(({ name }) => known.get(name) ?? [])
    .filter(({ nfCallIptables: four, nfCallIp6tables: six }) => !four || !six);
  for (const bridge of silent) noteNetfilter(bridge, journal, undefined);
  const inserted = TABLES.map((table) =>
    restoreBatch(
      table,
      [],
      iptables.filter((rule) => rule.table === table),
    ),
  ).join('');
  try {
    await applySettings(plan, journal, report);
    const done = await Promise.allSettled([
      ...silent.map(({ name }) => run('ip', ['link', 'set', 'dev', name, ...NF_CALL])),
      ...FAMILIES.map((family) =>
        run(programOf(plan.iptables, family, 'restore'), ['--noflush', '-w', '5'], { input: inserted }),
      ),
    ]);
    if (done.some(({ status }) => status === 'rejected')) return false;
  } catch (error) {
    if (error instanceof OperatorError) return false;
    throw error;
  }
  report.changes.push(
    ...silent.map(({ name }) => `bridge ${name} calls iptables`),
    `${2 * iptables.length} iptables rules`,
  );
  return true;
}

/**
 * A guest that has taken over is a secondary again: its port is isolated as it was before. Nothing where it has not
 * taken over, as far as is known. Resolves with what was done, in words. Rejects with OperatorError.
 */
export function isolateRules(config: RuleConfig, index: number): Promise<readonly string[]> {
  return Journal.use(config.stateDir, async (journal) => {
    // First: from now on whoever looks after the rules isolates it.
    if (!journal.noteSecondary(index)) return [];
    const plan = planOf({ ...config, nodes: config.nodes.filter((node) => node.index === index) });
    const report: RulesReport = { changes: [], warnings: [] };
    for (const node of plan.nodes) await applyNode(plan, node, journal, report);
    return report.changes;
  });
}
