// The configuration as flags: one virtual machine wholly by flags, or a file with single settings changed.

import { type Command, Option } from 'commander';
import { OperatorError } from '../core/errors';
import type { Path } from './errors';

interface Flag {
  /** Without the dashes. */
  name: string;
  /** Where it goes; 'node' is the one virtual machine. */
  path: readonly string[];
  kind: 'number' | 'text' | 'yes' | 'no' | 'numbers';
  value?: string;
  description: string;
}

const FLAGS: readonly Flag[] = [
  {
    name: 'index',
    path: ['node', 'index'],
    kind: 'number',
    value: 'n',
    description: "the controller's index for the VM",
  },
  {
    name: 'name',
    path: ['node', 'name'],
    kind: 'text',
    value: 'name',
    description: 'name of the VM in logs (default vm<index>)',
  },
  {
    name: 'guest-port',
    path: ['node', 'guestPort'],
    kind: 'text',
    value: 'dev',
    description: "the VM's port, such as tap0",
  },
  {
    name: 'forward-port',
    path: ['node', 'forwardPort'],
    kind: 'text',
    value: 'dev',
    description: 'the port to the other host, if it is not reached by --link-...',
  },
  {
    name: 'outer-bridge',
    path: ['node', 'outerBridge'],
    kind: 'text',
    value: 'dev',
    description: 'bridge to the clients (default br0)',
  },
  {
    name: 'outer-port',
    path: ['node', 'outerPort'],
    kind: 'text',
    value: 'dev',
    description: 'make the outer bridge, with this port',
  },
  {
    name: 'forward-bridge',
    path: ['node', 'forwardBridge'],
    kind: 'text',
    value: 'dev',
    description: 'default colobr0',
  },
  { name: 'guest-queue', path: ['node', 'queues', 'guest'], kind: 'number', value: 'n', description: 'default 100' },
  {
    name: 'forward-queue',
    path: ['node', 'queues', 'forward'],
    kind: 'number',
    value: 'n',
    description: 'default 101',
  },
  {
    name: 'guest-udp-queue',
    path: ['node', 'queues', 'guestUdp'],
    kind: 'number',
    value: 'n',
    description: 'for UDP, on the primary (default 102)',
  },
  {
    name: 'forward-udp-queue',
    path: ['node', 'queues', 'forwardUdp'],
    kind: 'number',
    value: 'n',
    description: 'for UDP, on the primary (default 103)',
  },
  {
    name: 'queue-bypass',
    path: ['node', 'queueBypass'],
    kind: 'yes',
    description: 'pass unverified output while no daemon runs',
  },
  {
    name: 'other-protocols',
    path: ['node', 'otherProtocols'],
    kind: 'text',
    value: 'what',
    description: 'drop or pass what is neither IP nor ARP (default drop)',
  },
  {
    name: 'compare-timeout-ms',
    path: ['node', 'compareTimeoutMs'],
    kind: 'number',
    value: 'ms',
    description: 'a number, or auto: learned from how long the guests wait for each other (default auto)',
  },
  {
    name: 'max-compare-timeout-ms',
    path: ['node', 'maxCompareTimeoutMs'],
    kind: 'number',
    value: 'ms',
    description: 'the most that auto may come to (default 3000)',
  },
  {
    name: 'forward-settle-ms',
    path: ['node', 'forwardSettleMs'],
    kind: 'number',
    value: 'ms',
    description: 'default 2',
  },
  {
    name: 'min-checkpoint-interval-ms',
    path: ['node', 'minCheckpointIntervalMs'],
    kind: 'number',
    value: 'ms',
    description: 'the guest runs so long between two checkpoints (default 100)',
  },
  {
    name: 'on-controller-loss',
    path: ['node', 'onControllerLoss'],
    kind: 'text',
    value: 'what',
    description: 'release, hold or drop what is held (default release)',
  },
  {
    name: 'no-move-tap',
    path: ['node', 'moveTapOnFailover'],
    kind: 'no',
    description: 'leave the port where it is on failover',
  },
  {
    name: 'no-announce',
    path: ['node', 'announceOnFailover'],
    kind: 'no',
    description: 'announce no addresses on failover',
  },
  {
    name: 'link-listen',
    path: ['link', 'listen'],
    kind: 'text',
    value: 'where',
    description: 'without a forward port, on the primary: address:port or unix:/path for the secondary',
  },
  {
    name: 'link-connect',
    path: ['link', 'connect'],
    kind: 'text',
    value: 'where',
    description: 'the same on the secondary: where the primary listens',
  },
  {
    name: 'link-key',
    path: ['link', 'key'],
    kind: 'text',
    value: 'file',
    description: 'the key that both hosts have (openssl rand -hex 32)',
  },
  {
    name: 'link-insecure',
    path: ['link', 'insecure'],
    kind: 'yes',
    description: 'no key: anybody who reaches the port is believed',
  },
  {
    name: 'link-digests',
    path: ['link', 'digests'],
    kind: 'text',
    value: 'what',
    description: 'on: digests in the place of TCP payload; off: bytes (default on)',
  },
  {
    name: 'link-buffer-bytes',
    path: ['link', 'bufferBytes'],
    kind: 'number',
    value: 'bytes',
    description: 'what it may be behind with sending (default 8388608)',
  },
  {
    name: 'netlink-port',
    path: ['control', 'netlinkPort'],
    kind: 'number',
    value: 'id',
    description: 'control port id (default 28)',
  },
  {
    name: 'control-socket',
    path: ['control', 'unixPath'],
    kind: 'text',
    value: 'path',
    description: 'control socket (default <state-dir>/<role>.sock)',
  },
  {
    name: 'allow-uid',
    path: ['control', 'allowUids'],
    kind: 'numbers',
    value: 'uid...',
    description: 'who may control, beside root',
  },
  { name: 'state-dir', path: ['stateDir'], kind: 'text', value: 'path', description: 'default /run/colo' },
  {
    name: 'metrics-port',
    path: ['metricsPort'],
    kind: 'number',
    value: 'port',
    description: 'Prometheus metrics on loopback',
  },
  { name: 'log-level', path: ['logLevel'], kind: 'text', value: 'level', description: 'default info' },
  {
    name: 'iptables',
    path: ['iptables'],
    kind: 'text',
    value: 'program',
    description: 'iptables, iptables-nft or iptables-legacy (default iptables)',
  },
  { name: 'no-nftables', path: ['nftables'], kind: 'no', description: 'do without nft' },
  {
    name: 'restore-rules',
    path: ['restoreRules'],
    kind: 'yes',
    description: 'the daemon puts rules back that somebody else has flushed',
  },
];

export type FlagValues = Readonly<Record<string, unknown>>;

/** Adds `--config` and one option for each setting. */
export function addConfigOptions(command: Command): Command {
  command.option('-c, --config <file>', 'configuration file (YAML or JSON)');
  for (const flag of FLAGS) {
    const spec = flag.kind === 'yes' || flag.kind === 'no' ? `--${flag.name}` : `--${flag.name} <${flag.value}>`;
    command.addOption(new Option(spec, flag.description).helpGroup('Settings (before those of the file):'));
  }
  return command;
}

/** Commander's name for an option; for `--no-x` it holds `x: false`. */
function optionKey(flag: Flag): string {
  const name = flag.kind === 'no' ? flag.name.slice('no-'.length) : flag.name;
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function given(flag: Flag, values: FlagValues): unknown {
  const value = values[optionKey(flag)];
  switch (flag.kind) {
    case 'no':
      return value === false ? false : undefined;
    case 'number':
      return typeof value === 'string' ? numberOrText(value) : value;
    case 'numbers':
      return Array.isArray(value) ? value.map((one) => numberOrText(String(one))) : value;
    default:
      return value;
  }
}

/** What is no number stays as it is, so that the schema complains about it as it was written. */
function numberOrText(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/**
 * Writes the flags over the file's value (which is not changed) and returns the result. A setting of a VM needs a file
 * with one VM, or none. Throws OperatorError.
 */
export function withFlags(value: unknown, values: FlagValues): unknown {
  const result = structuredClone(value) as Record<string, unknown>;
  for (const flag of FLAGS) {
    const setting = given(flag, values);
    if (setting === undefined) continue;
    if (flag.path[0] !== 'node') {
      set(result, flag.path, setting);
      continue;
    }
    const nodes = Array.isArray(result.nodes) ? result.nodes : [];
    if (nodes.length > 1) {
      throw new OperatorError(
        'ECONFIG',
        `--${flag.name} belongs to one virtual machine, and the file names ${nodes.length}`,
        'change the setting in the file',
      );
    }
    if (nodes.length === 0) nodes.push({});
    result.nodes = nodes;
    set(nodes[0] as Record<string, unknown>, flag.path.slice(1), setting);
  }
  return result;
}

function set(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  for (const part of path.slice(0, -1)) {
    if (typeof target[part] !== 'object' || target[part] === null) target[part] = {};
    target = target[part] as Record<string, unknown>;
  }
  target[path[path.length - 1]!] = value;
}

/** The flag that sets a key, for complaints about it; undefined when there is none. */
export function flagOf(path: Path): string | undefined {
  const normal = path[0] === 'nodes' ? ['node', ...path.slice(2)] : path;
  return FLAGS.find((flag) => flag.path.join('.') === normal.join('.'))?.name;
}
