// The configuration, from a file, from flags, or from both: read, checked, completed. Errors say which key and what is
// allowed.

import { OperatorError } from '../core/errors';
import { toBypassRule } from './bypass-rule';
import { type Complaint, complaints, type Path, pathText } from './errors';
import { type ConfigSource, readConfigFile } from './file';
import { type FlagValues, flagOf, withFlags } from './flags';
import { type LinkSettings, linkChecks, linkSettings } from './link';
import { type ConfigText, configSchema, DEFAULTS, type NodeText, nodeDefaults } from './schema';

export { addConfigOptions } from './flags';
export { DEFAULTS } from './schema';

export type Role = 'primary' | 'secondary';

/** One virtual machine: what the daemon needs (`NodeSettings`), and what the rules need beside it. */
export type NodeConfig = ReturnType<typeof completedNode>;

export interface Config {
  role: Role;
  nodes: readonly NodeConfig[];
  /** Of the nodes without a forward port. */
  link: LinkSettings | undefined;
  control: { netlinkPort: number; unixPath: string; allowUids: readonly number[] };
  stateDir: string;
  metricsPort: number | undefined;
  logLevel: string;
  iptables: string;
  nftables: boolean;
  restoreRules: boolean;
}

/** As many complaints at once; more would scroll the first away. */
const MAX_COMPLAINTS = 10;

/** `colo primary` and `colo secondary` know their role, `colo rules` takes it from the file or from --role. */
export function loadConfig(flags: FlagValues, role?: Role): Config {
  const file = typeof flags.config === 'string' ? flags.config : undefined;
  const source: ConfigSource = file === undefined ? { value: {}, place: () => '' } : readConfigFile(file);
  if (typeof source.value !== 'object' || source.value === null || Array.isArray(source.value)) {
    throw new OperatorError(
      'ECONFIG',
      `${source.place([])}: must be a mapping with keys such as role and nodes`,
      SEE_EXAMPLES,
    );
  }
  const value = withFlags(source.value, flags) as Record<string, unknown>;
  if (role !== undefined) {
    if (value.role !== undefined && value.role !== role) {
      throw new OperatorError(
        'ECONFIG',
        `${at(source, ['role'])}role is ${String(value.role)}, but the command is ${role}`,
      );
    }
    value.role = role;
  }
  return checkConfig(value, source, file === undefined);
}

const SEE_EXAMPLES = 'see docs/examples/primary.yaml and docs/examples/secondary.yaml';

/** Checks and completes a value. `byFlags`: there is no file, so missing keys are missing flags. */
export function checkConfig(
  value: unknown,
  source: Pick<ConfigSource, 'place'> = { place: () => '' },
  byFlags = false,
): Config {
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) refuse(complaints(configSchema, parsed.error.issues, value), source, byFlags);
  const config = completed(parsed.data);
  const conflicts = [...linkChecks(parsed.data), ...crossChecks(config), ...clashes(config)];
  if (conflicts.length > 0) refuse(conflicts, source, byFlags);
  return config;
}

function refuse(all: readonly Complaint[], source: Pick<ConfigSource, 'place'>, byFlags: boolean): never {
  const lines = all.slice(0, MAX_COMPLAINTS).map(({ path, text }) => {
    const flag = byFlags ? flagOf(path) : undefined;
    return flag === undefined ? at(source, path) + text : `--${flag}: ${text}`;
  });
  if (byFlags && all.some(({ path }) => path[0] === 'nodes' && path.length === 1)) {
    lines.splice(0, lines.length, 'no virtual machine is named');
  }
  if (all.length > MAX_COMPLAINTS) lines.push(`and ${all.length - MAX_COMPLAINTS} more`);
  throw new OperatorError(
    'ECONFIG',
    lines.join('\n'),
    byFlags
      ? 'give --config FILE, or at least --index, --guest-port and --forward-port (or --link-listen, --link-connect)'
      : SEE_EXAMPLES,
  );
}

function at(source: Pick<ConfigSource, 'place'>, path: Path): string {
  const place = source.place(path);
  return place === '' ? '' : `${place}: `;
}

function completed(text: ConfigText): Config {
  return {
    role: text.role,
    nodes: text.nodes.map((node, k) => completedNode(node, k, text)),
    link: linkSettings(text),
    control: {
      netlinkPort: text.control.netlinkPort,
      unixPath: text.control.unixPath ?? `${text.stateDir}/${text.role}.sock`,
      allowUids: text.control.allowUids,
    },
    stateDir: text.stateDir,
    metricsPort: text.metricsPort,
    logLevel: text.logLevel,
    iptables: text.iptables,
    nftables: text.nftables,
    restoreRules: text.restoreRules,
  };
}

/** A key that needs no completing goes through as the schema has it. */
function completedNode(node: NodeText, k: number, text: ConfigText) {
  const { queues, bypass, limits: ownLimits, ...plain } = node;
  const defaults = nodeDefaults(k);
  const { keptConnections, queueLength, receiveBufferBytes, ...limits } = {
    ...DEFAULTS.limits,
    ...text.limits,
    ...ownLimits,
  };
  return {
    ...plain,
    name: node.name ?? `vm${node.index}`,
    outerPort: node.outerPort,
    forwardPort: node.forwardPort,
    forwardBridge: node.forwardPort === undefined ? undefined : (node.forwardBridge ?? defaults.forwardBridge),
    forwardSettleMs: node.forwardSettleMs ?? DEFAULTS.forwardSettleMs,
    guestQueue: queues.guest ?? defaults.guestQueue,
    forwardQueue: queues.forward ?? defaults.forwardQueue,
    guestUdpQueue: queues.guestUdp ?? defaults.guestUdpQueue,
    forwardUdpQueue: queues.forwardUdp ?? defaults.forwardUdpQueue,
    keptConnections,
    queueLength,
    receiveBufferBytes,
    bypassRules: bypass,
    bypass: bypass.map(toBypassRule),
    limits,
    stateDir: text.stateDir,
  };
}

/** Checks across keys: bounds that depend on one another. */
function crossChecks({ nodes, nftables, role }: Config): Complaint[] {
  return nodes.flatMap((node, k) => {
    const out: Complaint[] = [];
    const { maxHeldPackets, maxHeldBytes, logBytes } = node.limits;
    const complain = (key: string, text: string) => {
      const path = ['nodes', k, 'limits', key];
      out.push({ path, text: `${pathText(path)} ${text}` });
    };
    if (!nftables && role === 'primary' && node.otherProtocols === 'drop') {
      const path = ['nodes', k, 'otherProtocols'];
      out.push({ path, text: `${pathText(path)} must be pass when nftables is false: dropping needs nft` });
    }
    if (!nftables && role === 'secondary' && node.forwardPort === undefined) {
      out.push({
        path: ['nftables'],
        text: 'nftables must be true where a secondary has no forwardPort: nft isolates its guest',
      });
    }
    if (maxHeldBytes > logBytes / 2)
      complain('maxHeldBytes', `must be at most half of logBytes (${logBytes}), not ${maxHeldBytes}`);
    if (node.queueLength < maxHeldPackets) {
      complain('queueLength', `must be at least maxHeldPackets (${maxHeldPackets}), not ${node.queueLength}`);
    }
    return out;
  });
}

interface Claim {
  path: Path;
  value: string | number;
}

/** Things that two nodes, or two parts of one node, must not share. */
function clashes({ nodes, role }: Config): Complaint[] {
  const claims = (
    ...keys: (readonly [path: string, value: (node: NodeConfig) => string | number | undefined])[]
  ): Claim[] =>
    nodes.flatMap((node, k) =>
      keys.flatMap(([key, of]) => {
        const value = of(node);
        return value === undefined ? [] : [{ path: ['nodes', k, ...key.split('.')], value }];
      }),
    );
  // A primary with a stream link has no use for them.
  const ofForward = (queue: (node: NodeConfig) => number) => (node: NodeConfig) =>
    role === 'primary' && node.forwardPort === undefined ? undefined : queue(node);
  // Nodes may share the outer bridge and its port; they share nothing else.
  const shared = (all: readonly Claim[]) => [...new Map(all.map((claim) => [claim.value, claim])).values()];
  const outer = [
    ...shared(claims(['outerBridge', (n) => n.outerBridge])),
    ...shared(claims(['outerPort', (n) => n.outerPort])),
  ];
  return [
    ...doubles(claims(['index', (n) => n.index])),
    ...doubles(claims(['name', (n) => n.name])),
    ...doubles([
      ...claims(['queues.guest', (n) => n.guestQueue], ['queues.forward', ofForward((n) => n.forwardQueue)]),
      ...(role === 'secondary'
        ? []
        : claims(
            ['queues.guestUdp', (n) => n.guestUdpQueue],
            ['queues.forwardUdp', ofForward((n) => n.forwardUdpQueue)],
          )),
    ]),
    ...doubles([
      ...outer,
      ...claims(
        ['guestPort', (n) => n.guestPort],
        ['forwardPort', (n) => n.forwardPort],
        ['forwardBridge', (n) => n.forwardBridge],
      ),
    ]),
  ];
}

function doubles(claims: readonly Claim[]): Complaint[] {
  const first = new Map<string | number, Path>();
  const out: Complaint[] = [];
  for (const { path, value } of claims) {
    const earlier = first.get(value);
    if (earlier === undefined) first.set(value, path);
    else out.push({ path, text: `${pathText(path)} is ${value}, but so is ${pathText(earlier)}: each needs its own` });
  }
  return out;
}
