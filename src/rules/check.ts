// Looks before the leap: what would go wrong, all of it at once, in words; and what is worth a warning.

import { OperatorError } from '../core/errors';
import { CommandError, run } from '../io/exec';
import { addressesOf, type Link, links } from '../io/link';
import { FAMILIES, programOf } from './iptables';
import { mirrorState, nftMirrorBatch } from './mirror';
import type { NodePlan, Plan, RuleConfig, RuleNode } from './plan';
import { presentPlan } from './stages';

/** For `colo doctor`: warnings, or OperatorError with what would go wrong. */
export async function checkRules(config: RuleConfig): Promise<string[]> {
  return (await checkPlan(await presentPlan(config))).warnings;
}

export const GUEST_PORT_HINT = 'start the virtual machine first: the port is made with it';

interface Problem {
  text: string;
  hint: string;
}

/** Rejects with OperatorError when the plan cannot work here; resolves with the interfaces and with warnings. */
export async function checkPlan(plan: Plan): Promise<{ links: Map<string, Link>; warnings: string[] }> {
  const known = await links();
  const problems: Problem[] = [];
  const warnings: string[] = [];
  for (const node of plan.nodes) {
    problems.push(...portProblems(plan.role, node.node, known), ...bridgeProblems(plan.role, node, known));
    if (node.node.outerPort !== undefined) problems.push(...(await outerPortProblems(node.node, known)));
    if (node.mirror && known.has(node.mirror.from) && known.has(node.mirror.to)) {
      problems.push(...(await mirrorProblems(plan, node)));
    }
    if (plan.role === 'secondary') warnings.push(...outerBridgeWarnings(node.node, known));
  }
  if (problems.length > 0) {
    throw new OperatorError(
      'ERULES',
      problems.map(({ text }) => text).join('\n'),
      problems.map(({ hint }) => hint).join('; '),
    );
  }
  warnings.push(...(await policyWarnings(plan)));
  return { links: known, warnings: [...new Set(warnings)] };
}

function portProblems(role: Plan['role'], node: RuleNode, known: Map<string, Link>): Problem[] {
  const out: Problem[] = [];
  const { guestPort, forwardPort, forwardBridge, outerBridge } = node;
  const guest = known.get(guestPort);
  const forward = forwardPort === undefined ? undefined : known.get(forwardPort);
  if (!guest)
    out.push({
      text: `${guestPort} does not exist`,
      hint: GUEST_PORT_HINT,
    });
  if (forwardPort !== undefined && !forward)
    out.push({ text: `${forwardPort} does not exist`, hint: 'name the interface that leads to the other host' });
  for (const link of [guest, forward]) {
    if (link?.kind === 'bridge') out.push({ text: `${link.name} is a bridge`, hint: 'name a port, not a bridge' });
  }
  const homes: (string | undefined)[] = role === 'primary' ? [outerBridge] : [forwardBridge, outerBridge];
  if (guest?.master !== undefined && !homes.includes(guest.master)) {
    out.push({
      text: `${guestPort} is a port of ${guest.master}, not of ${outerBridge}`,
      hint: 'set outerBridge to the bridge that it is in',
    });
  }
  if (forward?.master !== undefined && forward.master !== forwardBridge) {
    out.push({
      text: `${forwardPort} is a port of ${forward.master}`,
      hint: 'the forward link needs a bridge of its own: take the port out of the other one',
    });
  }
  if (guest && forward && forward.mtu < guest.mtu) {
    out.push({
      text: `${forwardPort} has an MTU of ${forward.mtu}, ${guestPort} one of ${guest.mtu}: large packets would get lost on the way`,
      hint: `on both hosts: ip link set dev ${forwardPort} mtu ${guest.mtu}`,
    });
  }
  return out;
}

function bridgeProblems(role: Plan['role'], { bridges, node }: NodePlan, known: Map<string, Link>): Problem[] {
  const out: Problem[] = [];
  for (const bridge of bridges) {
    const link = known.get(bridge.name);
    if (link && link.kind !== 'bridge') {
      out.push({ text: `${bridge.name} exists and is no bridge`, hint: 'choose another name for the bridge' });
    }
    if (!link && !bridge.make && role === 'primary') {
      out.push({
        text: `${bridge.name} does not exist`,
        hint: `make the bridge to the clients, or give outerPort (--outer-port) and it is made`,
      });
    }
    if (!bridge.quiet) continue;
    const strangers = [...known.values()].filter(
      (port) => port.master === bridge.name && !bridge.ports.includes(port.name),
    );
    if (strangers.length > 0) {
      out.push({
        text: `${bridge.name} has other ports: ${strangers.map(({ name }) => name).join(', ')}`,
        hint: `the forward link of ${node.name} needs a bridge of its own: choose another forwardBridge`,
      });
    }
  }
  return out;
}

async function outerPortProblems(node: RuleNode, known: Map<string, Link>): Promise<Problem[]> {
  const name = node.outerPort!;
  const link = known.get(name);
  if (!link) return [{ text: `${name} does not exist`, hint: 'name the interface that leads to the clients' }];
  if (link.master === node.outerBridge) return [];
  if (link.master !== undefined)
    return [{ text: `${name} is a port of ${link.master}`, hint: `set outerBridge to ${link.master}` }];
  const addresses = await addressesOf(name);
  if (addresses.length === 0) return [];
  return [
    {
      text: `${name} has addresses (${addresses.join(', ')}), which would stop working in a bridge`,
      hint: `make ${node.outerBridge} with the addresses yourself, and leave outerPort out`,
    },
  ];
}

async function mirrorProblems({ nftables }: Plan, node: NodePlan): Promise<Problem[]> {
  const { guestPort, index } = node.node;
  const forwardPort = node.mirror!.to;
  const { qdisc, to } = await mirrorState(guestPort, index, nftables);
  if (to === '') {
    return [
      {
        text: `${guestPort} has a tc filter of somebody else where the mirror goes (egress, pref 6535)`,
        hint: `see tc filter show dev ${guestPort} egress`,
      },
    ];
  }
  if (qdisc !== 'ingress' || to === forwardPort) return [];
  const text = `${guestPort} has an ingress qdisc (libvirt's bandwidth limit, for one), which leaves no room for the clsact of the mirror`;
  const otherwise = `take it away (virsh domiftune DOMAIN ${guestPort} --outbound 0, or tc qdisc del dev ${guestPort} ingress) and limit on the bridge's other port`;
  if (!nftables) return [{ text, hint: `set nftables: true, so that nft makes the mirror; or ${otherwise}` }];
  try {
    await run('nft', ['-c', '-f', '-'], { input: nftMirrorBatch(guestPort, forwardPort, index) });
    return [];
  } catch (error) {
    // With a hint it is not the kernel that cannot: nft is not installed, or this is not root.
    if (!(error instanceof CommandError) || error.hint !== undefined) throw error;
    return [
      {
        text: `${text}, and nft cannot make it here: ${error.message}`,
        hint: `Linux 5.16 and nft 1.0.1 or later can; or ${otherwise}`,
      },
    ];
  }
}

function outerBridgeWarnings(node: RuleNode, known: Map<string, Link>): string[] {
  const bridge = known.get(node.outerBridge);
  if (!bridge && node.outerPort === undefined)
    return [`${node.outerBridge} does not exist: at a failover the guest has nowhere to go`];
  if (bridge?.stp && bridge.forwardDelayMs > 0) {
    const seconds = (2 * bridge.forwardDelayMs) / 1000;
    return [
      `${node.outerBridge} has STP on: after a failover the guest is cut off for ${seconds} s (ip link set ${node.outerBridge} type bridge stp_state 0)`,
    ];
  }
  return [];
}

/**
 * Bridged packets pass FORWARD as soon as the bridge calls netfilter; firewalls made for routing tend to drop them
 * there.
 */
async function policyWarnings(plan: Plan): Promise<string[]> {
  const out: string[] = [];
  for (const family of FAMILIES) {
    const program = programOf(plan.iptables, family);
    try {
      const rules = await run(program, ['-w', '-t', 'filter', '-S', 'FORWARD']);
      if (/^-P FORWARD DROP/m.test(rules)) {
        out.push(
          `${program}: the policy of FORWARD is DROP, for bridged packets too (${program} -I FORWARD -m physdev --physdev-is-bridged -j ACCEPT)`,
        );
      }
    } catch (error) {
      // No filter table: nothing is dropped there.
      if (!(error instanceof CommandError) || error.status === undefined) throw error;
    }
  }
  return out;
}
