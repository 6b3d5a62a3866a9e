// Makes the plan so. What is so already is left alone; what is changed is noted first, so that remove can restore it.

import { OperatorError } from '../core/errors';
import { CommandError, run } from '../io/exec';
import { type Link, links } from '../io/link';
import { readSysctl, sysctlName, writeSysctl } from '../io/sysctl';
import { checkPlan } from './check';
import { BRIDGE_TYPE, enslaveCommands, isForwardPort, isolateWords, NF_CALL, quietPath } from './commands';
import { replaceRules, usesNfTables } from './iptables';
import { Journal } from './journal';
import { cookieOf, mirrorTable } from './marks';
import { mirrorState, mirrorWords, nftMirrorBatch, removeMirror } from './mirror';
import { applyNft, nftTables, removeNft } from './nft';
import {
  type BridgePlan,
  CONNTRACK_MAX,
  isSet,
  type NodePlan,
  type Plan,
  planOf,
  type RuleConfig,
  type RuleNode,
} from './plan';
import { removeNode, undoHost } from './remove';
import { aloneNodes } from './stages';

export interface RulesReport {
  /** What was done, in words. Empty when everything was so before. */
  changes: string[];
  warnings: string[];
}

/** Rejects with OperatorError; a node that could not be finished is taken back unless it had rules before. */
export function applyRules(config: RuleConfig): Promise<RulesReport> {
  return apply(config, false);
}

/**
 * Puts back what is missing of rules that were applied before, and does nothing where they were not, or were removed.
 */
export function restoreRules(config: RuleConfig): Promise<RulesReport> {
  return apply(config, true);
}

/** Nodes whose rules were applied, and not removed. */
export function appliedNodes(stateDir: string): ReadonlySet<number> {
  return Journal.look(stateDir).nodes;
}

function apply(config: RuleConfig, onlyApplied: boolean): Promise<RulesReport> {
  return Journal.use(config.stateDir, async (journal) => {
    const nodes = onlyApplied ? config.nodes.filter(({ index }) => journal.knows(index)) : config.nodes;
    if (nodes.length === 0) return { changes: [], warnings: [] };
    const alone = aloneNodes(nodes, journal, await links());
    const plan = planOf({ ...config, nodes }, alone);
    const { warnings } = await checkPlan(plan);
    const report = { changes: [], warnings };
    const before = plan.nodes.filter(({ node }) => journal.knows(node.index)).map(({ node }) => node.index);
    try {
      await applyHost(plan, journal, report);
      for (const node of plan.nodes) {
        await applyNode(plan, node, journal, report);
        if (node.alone) await endIsolation(node.node, report);
      }
    } catch (error) {
      const fresh = plan.nodes.filter(({ node }) => !before.includes(node.index));
      for (const node of fresh.reverse()) await removeNode(plan, node, journal, { changes: [], warnings: [] });
      await undoHost(plan, journal, { changes: [], warnings: [] });
      throw error;
    }
    return report;
  });
}

/** Nothing where it has ended. */
export async function endIsolation({ guestPort, index }: RuleNode, report: RulesReport): Promise<void> {
  if (await removeNft(index, await nftTables())) report.changes.push(`${guestPort} is isolated no longer`);
}

export async function applyHost(plan: Plan, journal: Journal, report: RulesReport): Promise<void> {
  await applySettings(plan, journal, report);
  if (plan.nftables && (await usesNfTables(plan.iptables))) {
    journal.note(undefined, { kind: 'tables', was: [...(await nftTablesOrHint())] });
  }
}

export async function applySettings(plan: Plan, journal: Journal, report: RulesReport): Promise<void> {
  await loadModules();
  for (const setting of plan.sysctls) {
    const { path, value } = setting;
    const now = readSysctl(path);
    if (isSet(setting, now)) continue;
    try {
      set(path, value, journal, undefined, report);
    } catch (error) {
      // A network namespace may not set what is the whole machine's.
      if (path !== CONNTRACK_MAX || !(error instanceof OperatorError)) throw error;
      report.warnings.push(
        `${sysctlName(path)} is ${now}: many half-open connections will fill it (on the machine itself: sysctl -w ${sysctlName(path)}=${value})`,
      );
    }
  }
}

async function nftTablesOrHint(): Promise<Set<string>> {
  try {
    return await nftTables();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new OperatorError(
      'ENFT',
      error.message,
      'install nftables, or set nftables: false and otherProtocols: pass',
      { cause: error },
    );
  }
}

/** The sysctls are there only with the modules. Where they are built in there is nothing to load. */
async function loadModules(): Promise<void> {
  if (readSysctl('net/bridge/bridge-nf-call-iptables') === undefined) await run('modprobe', ['br_netfilter']);
  if (readSysctl(CONNTRACK_MAX) === undefined) {
    await run('modprobe', ['nf_conntrack']);
  }
}

function set(
  path: string,
  value: string,
  journal: Journal | undefined,
  index: number | undefined,
  report: RulesReport,
): void {
  const was = readSysctl(path);
  if (was === value) return;
  // A kernel without IPv6 has nothing to keep quiet.
  if (was === undefined && path.startsWith('net/ipv6/')) return;
  journal?.note(index, { kind: 'sysctl', path, was: was ?? value, set: value });
  writeSysctl(path, value);
  if (journal) report.changes.push(`sysctl ${sysctlName(path)}=${value} (was ${was})`);
}

export async function applyNode(plan: Plan, node: NodePlan, journal: Journal, report: RulesReport): Promise<void> {
  const { index } = node.node;
  const fresh = !journal.knows(index);
  journal.begin(index);
  for (const bridge of node.bridges) await applyBridge(bridge, journal, index, report);
  // The rules come before the ports: no packet of the guest passes between.
  if (node.nft.length > 0) await applyNft(node);
  const rules = await replaceRules(plan.iptables, node.comment, node.iptables);
  if (fresh || rules !== 2 * node.iptables.length)
    report.changes.push(`${2 * node.iptables.length} iptables rules, ${node.nft.length} nft tables`);
  for (const bridge of node.bridges) {
    for (const port of bridge.ports) await applyPort(plan, node, port, bridge, journal, report);
  }
  if (node.isolated) await isolate(node, journal, report);
  if (node.mirror) await applyMirror(plan, node, node.mirror, journal, report);
}

async function applyBridge(bridge: BridgePlan, journal: Journal, index: number, report: RulesReport): Promise<void> {
  // The outer bridge is shared by the nodes, so it goes with the last of them.
  const owner = bridge.quiet ? index : undefined;
  const link = (await links()).get(bridge.name);
  if (!link) {
    if (!bridge.make) return;
    journal.note(owner, { kind: 'bridge', name: bridge.name, alias: bridge.alias });
    await run('ip', ['link', 'add', 'name', bridge.name, ...BRIDGE_TYPE]);
    await run('ip', ['link', 'set', 'dev', bridge.name, 'alias', bridge.alias]);
    report.changes.push(`bridge ${bridge.name} made`);
  } else if (bridge.calls && (!link.nfCallIptables || !link.nfCallIp6tables)) noteNetfilter(link, journal, owner);
  if (bridge.calls && (!link?.nfCallIptables || !link.nfCallIp6tables)) {
    await run('ip', ['link', 'set', 'dev', bridge.name, ...NF_CALL]);
    if (link) report.changes.push(`bridge ${bridge.name} calls iptables`);
  }
  if (!bridge.make) return;
  if (link && link.alias === undefined && isHalfMade(bridge, journal, owner)) {
    await run('ip', ['link', 'set', 'dev', bridge.name, 'alias', bridge.alias]);
  }
  // A bridge of ours takes its settings with it.
  if (bridge.quiet) set(quietPath(bridge.name), '1', link ? journal : undefined, index, report);
  if (bridge.quiet && (!link || link.arp)) await run('ip', ['link', 'set', 'dev', bridge.name, 'arp', 'off']);
  if (!link?.up) await run('ip', ['link', 'set', 'dev', bridge.name, 'up']);
}

export function noteNetfilter(link: Link, journal: Journal, owner: number | undefined): void {
  const { name, nfCallIptables, nfCallIp6tables } = link;
  journal.note(owner, { kind: 'netfilter', name, iptables: nfCallIptables, ip6tables: nfCallIp6tables });
}

/** We were killed before it had its mark. */
function isHalfMade({ name }: BridgePlan, journal: Journal, owner: number | undefined): boolean {
  return journal.changes(owner).some((change) => change.kind === 'bridge' && change.name === name);
}

async function applyPort(
  plan: Plan,
  { node }: NodePlan,
  name: string,
  bridge: BridgePlan,
  journal: Journal,
  report: RulesReport,
): Promise<void> {
  if (isForwardPort(name, bridge)) set(quietPath(name), '1', journal, node.index, report);
  const link = (await links()).get(name);
  if (!link || (link.master === bridge.name && link.up)) return;
  if (
    plan.role === 'secondary' &&
    name === node.guestPort &&
    movedByFailover(link, node.outerBridge, journal, node.index)
  ) {
    report.warnings.push(
      `${name} is in ${node.outerBridge} since a failover, and stays there (colo rules remove ends that)`,
    );
    return;
  }
  const owner = name === node.outerPort ? undefined : node.index;
  journal.note(owner, {
    kind: 'port',
    name,
    index: link.index,
    bridge: bridge.name,
    was: link.master ?? null,
    up: link.up,
  });
  for (const [program, ...args] of enslaveCommands(name, bridge)) await run(program!, args);
  report.changes.push(`${name} put into ${bridge.name}${link.master === undefined ? '' : ` (was in ${link.master})`}`);
}

/** Its frames are dropped already. */
async function isolate({ node }: NodePlan, journal: Journal, report: RulesReport): Promise<void> {
  const { guestPort: name, index } = node;
  set(quietPath(name), '1', journal, index, report);
  const link = (await links()).get(name)!;
  const { master, up } = link;
  // Also where it is as it should be: a bridge that it is put into later is not where it was.
  journal.note(index, { kind: 'port', name, index: link.index, bridge: null, was: master ?? null, up });
  if (link.arp) journal.note(index, { kind: 'arp', name, index: link.index });
  if (master === undefined && up && !link.arp) return;
  await run('ip', isolateWords(name));
  report.changes.push(`${name} isolated${master === undefined ? '' : ` (was in ${master})`}`);
}

/** The same port was put into the forward bridge before, and is in the outer one now. */
function movedByFailover(link: Link, outerBridge: string, journal: Journal, index: number): boolean {
  if (link.master !== outerBridge) return false;
  return journal.changes(index).some((change) => change.kind === 'port' && change.index === link.index);
}

async function applyMirror(
  plan: Plan,
  node: NodePlan,
  mirror: { from: string; to: string },
  journal: Journal,
  report: RulesReport,
): Promise<void> {
  const { index } = node.node;
  const state = await mirrorState(mirror.from, index, plan.nftables);
  if (state.to === mirror.to) return;
  if (state.qdisc === 'ingress') {
    await run('nft', ['-f', '-'], { input: nftMirrorBatch(mirror.from, mirror.to, index) });
    report.changes.push(`mirror from ${mirror.from} to ${mirror.to}, by nft: ${mirror.from} has an ingress qdisc`);
    return;
  }
  if (state.qdisc === undefined) {
    const link = (await links()).get(mirror.from)!;
    journal.note(index, { kind: 'clsact', name: mirror.from, index: link.index });
    await run('tc', ['qdisc', 'add', 'dev', mirror.from, 'clsact']);
  }
  if (state.by === 'tc') await removeMirror(mirror.from);
  await run('tc', ['filter', 'add', ...mirrorWords(mirror.from, mirror.to, cookieOf(index))]);
  if (state.by === 'nft') await run('nft', ['delete', 'table', 'netdev', mirrorTable(index)]);
  report.changes.push(`mirror from ${mirror.from} to ${mirror.to}`);
}
