// The plan as commands that a person could type, on a host where nothing of it is there yet; and those that undo it.

import { shellLine } from '../io/exec';
import { sysctlName } from '../io/sysctl';
import { FAMILIES, programOf } from './iptables';
import { cookieOf, MIRROR_PREF } from './marks';
import { mirrorWords } from './mirror';
import { isolation } from './nft';
import { afterFailover, type BridgePlan, type NodePlan, type Plan, type Setting } from './plan';

/** A bridge that forwards at once and adds nothing of its own to the wire. */
export const BRIDGE_TYPE = ['type', 'bridge', 'stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];
export const NF_CALL = ['type', 'bridge', 'nf_call_iptables', '1', 'nf_call_ip6tables', '1'];

/** The host's own IPv6 keeps off the forward bridge and its port: it would speak to the guests from there. */
export function quietPath(name: string): string {
  return `net/ipv6/conf/${name}/disable_ipv6`;
}

export function showLines(plan: Plan): string[] {
  const lines = [`# ${plan.role} node`, ...plan.sysctls.map(settingLine)];
  const outer = new Set<string>();
  for (const node of plan.nodes) {
    lines.push('', `# ${node.node.name}, index ${node.node.index}`);
    for (const bridge of node.bridges) {
      // Nodes share the outer bridge: it is made once.
      lines.push(...bridgeCommands(bridge, outer.has(bridge.name)).map(shellLine));
      outer.add(bridge.name);
    }
    for (const { family, table, statements } of node.nft) {
      lines.push(...[`add table ${family} ${table}`, ...statements].map((statement) => shellLine(['nft', statement])));
    }
    lines.push(...iptablesCommands(plan.iptables, node, '-I').map(shellLine));
    for (const bridge of node.bridges) lines.push(...portCommands(bridge).map(shellLine));
    if (node.isolated) lines.push(...isolationCommands(node).map(shellLine));
    lines.push(...mirrorCommands(node).map(shellLine));
  }
  return [...lines, ...failoverLines(plan)];
}

/** As comments: who types all that is shown must not have a secondary whose guest is heard. */
function failoverLines(plan: Plan): string[] {
  const later = afterFailover(plan);
  if (later.nodes.length === 0) return [];
  const commands = later.nodes.flatMap((node) => [
    ...node.bridges.flatMap(({ name }) => [['ip', 'link', 'set', 'dev', name, ...NF_CALL]]),
    ...iptablesCommands(later.iptables, node, '-I'),
    ['nft', `delete table netdev ${isolation(node.node).table}`],
    ['ip', 'link', 'set', 'dev', node.node.guestPort, 'master', node.node.outerBridge],
  ]);
  const lines = [...later.sysctls.map(settingLine), ...commands.map(shellLine)];
  return [
    '',
    '# at a failover, which the daemon does by itself:',
    ...lines.map((line) => `# ${line.replace(/^# /, '')}`),
  ];
}

function isolationCommands({ node }: NodePlan): string[][] {
  return [settingCommand({ path: quietPath(node.guestPort), value: '1' }), ['ip', ...isolateWords(node.guestPort)]];
}

/** A port that nobody but packet sockets uses. */
export function isolateWords(port: string): string[] {
  return ['link', 'set', 'dev', port, 'arp', 'off', 'nomaster', 'up'];
}

function settingLine(setting: Setting): string {
  const line = shellLine(settingCommand(setting));
  // What is more already stays, and a network namespace cannot set the machine's.
  return setting.bound === 'least' ? `# at least: ${line}` : line;
}

function settingCommand({ path, value }: Setting): string[] {
  return ['sysctl', '-w', `${sysctlName(path)}=${value}`];
}

function bridgeCommands(bridge: BridgePlan, known: boolean): string[][] {
  if (known) return [];
  const dev = ['ip', 'link', 'set', 'dev', bridge.name];
  if (!bridge.make) return bridge.calls ? [[...dev, ...NF_CALL]] : [];
  return [
    ['ip', 'link', 'add', 'name', bridge.name, ...BRIDGE_TYPE],
    [...dev, 'alias', bridge.alias],
    ...(bridge.calls ? [[...dev, ...NF_CALL]] : []),
    ...(bridge.quiet ? [settingCommand({ path: quietPath(bridge.name), value: '1' })] : []),
    bridge.quiet ? [...dev, 'arp', 'off', 'up'] : [...dev, 'up'],
  ];
}

function portCommands(bridge: BridgePlan): string[][] {
  return bridge.ports.flatMap((port) => [
    ...(isForwardPort(port, bridge) ? [settingCommand({ path: quietPath(port), value: '1' })] : []),
    ...enslaveCommands(port, bridge),
  ]);
}

/** On the forward bridge only the guest is a station; what comes over the forward link is looked up by nobody. */
export function enslaveCommands(port: string, bridge: BridgePlan): string[][] {
  const enslave = ['ip', 'link', 'set', 'dev', port, 'master', bridge.name, 'up'];
  const deaf = ['ip', 'link', 'set', 'dev', port, 'type', 'bridge_slave', 'learning', 'off'];
  return isForwardPort(port, bridge) ? [enslave, deaf] : [enslave];
}

/** It is the first of its bridge; the guest's may follow. */
export function isForwardPort(port: string, bridge: BridgePlan): boolean {
  return bridge.quiet && port === bridge.ports[0];
}

export function mirrorCommands({ mirror, node }: NodePlan): string[][] {
  if (mirror === undefined) return [];
  return [
    ['tc', 'qdisc', 'add', 'dev', mirror.from, 'clsact'],
    ['tc', 'filter', 'add', ...mirrorWords(mirror.from, mirror.to, cookieOf(node.index))],
  ];
}

function iptablesCommands(iptables: string, node: NodePlan, verb: '-I' | '-D'): string[][] {
  const rules = verb === '-I' ? [...node.iptables].reverse() : node.iptables;
  return FAMILIES.flatMap((family) =>
    rules.map((rule) => [programOf(iptables, family), '-w', '-t', rule.table, verb, rule.chain, ...rule.words]),
  );
}

/** What undoes `showLines`, as far as it is known what was there before: sysctls stay. */
export function undoLines(plan: Plan): string[] {
  const lines = [`# undo ${plan.role} node; sysctls, the outer bridge and the place of the guest's port stay`];
  for (const node of plan.nodes) {
    const { guestPort, forwardPort, forwardBridge } = node.node;
    const commands = iptablesCommands(plan.iptables, node, '-D');
    for (const { family, table } of node.nft) commands.push(['nft', `delete table ${family} ${table}`]);
    if (node.mirror) {
      commands.push(
        ['tc', 'filter', 'del', 'dev', guestPort, 'egress', 'pref', `${MIRROR_PREF}`],
        ['tc', 'qdisc', 'del', 'dev', guestPort, 'clsact'],
      );
    } else if (plan.role === 'secondary') {
      commands.push(['ip', 'link', 'set', 'dev', guestPort, ...(node.isolated ? ['arp', 'on'] : ['nomaster'])]);
    }
    if (forwardPort !== undefined) commands.push(['ip', 'link', 'set', 'dev', forwardPort, 'nomaster']);
    if (forwardBridge !== undefined) commands.push(['ip', 'link', 'del', 'dev', forwardBridge]);
    lines.push('', `# ${node.node.name}, index ${node.node.index}`, ...commands.map(shellLine));
  }
  return lines;
}
