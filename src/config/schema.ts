// The configuration's schema: every key, what is allowed for it, and its default. docs/examples shows it in use.

import { z } from 'zod';
import { DEFAULT_KEPT_CONNECTIONS, DEFAULT_LIMITS } from '../core/limits';
import { SETTLE_MS } from '../pmycolo/secondary-epochs';
import { bypassRuleSchema } from './bypass-rule';

/**
 * The one table of defaults. Queues and the forward bridge depend on a node's place in the list: see `nodeDefaults`.
 */
export const DEFAULTS = {
  outerBridge: 'br0',
  compareTimeoutMs: 'auto',
  maxCompareTimeoutMs: 3000,
  forwardSettleMs: SETTLE_MS,
  minCheckpointIntervalMs: 100,
  onControllerLoss: 'release',
  moveTapOnFailover: true,
  announceOnFailover: true,
  queueBypass: false,
  otherProtocols: 'drop',
  netlinkPort: 28,
  stateDir: '/run/colo',
  logLevel: 'info',
  iptables: 'iptables',
  nftables: true,
  restoreRules: false,
  link: {
    insecure: false,
    digests: 'on',
    /** 60 ms of 1 Gbit/s: what a longer stall, or a longer way, costs is a checkpoint. */
    bufferBytes: 8 << 20,
  },
  limits: {
    ...DEFAULT_LIMITS,
    keptConnections: DEFAULT_KEPT_CONNECTIONS,
    /** Packets that the kernel keeps for a queue; at least maxHeldPackets, or the kernel drops first. */
    queueLength: 32768,
    /** Of a queue's socket: packets are copied into it until they are read, and a GSO packet is 64 KiB. */
    receiveBufferBytes: 64 << 20,
  },
} as const;

export interface NodeDefaults {
  guestQueue: number;
  forwardQueue: number;
  guestUdpQueue: number;
  forwardUdpQueue: number;
  forwardBridge: string;
}

/** Kernel queues of the k-th node of a host: 100 to 103, 110 to 113, ... */
export function nodeDefaults(k: number): NodeDefaults {
  const first = 100 + 10 * k;
  return {
    guestQueue: first,
    forwardQueue: first + 1,
    guestUdpQueue: first + 2,
    forwardUdpQueue: first + 3,
    forwardBridge: `colobr${k}`,
  };
}

function whole(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.number({ error }).int(error).min(min, error).max(max, error);
}

const UNITS: Record<string, number> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** A number of bytes, or the same with a unit: 33554432, 32M, 32MiB. */
function byteSize(min: number, max: number) {
  return z.preprocess(
    (value) => {
      const parts = typeof value === 'string' ? /^(\d+) *([kmg]?)(i?b)?$/i.exec(value) : null;
      return parts ? Number(parts[1]) * UNITS[parts[2]!.toLowerCase()]! : value;
    },
    whole(min, max),
  );
}

function oneOf<const T extends readonly string[]>(allowed: T) {
  return z.enum(allowed, { error: `must be one of ${allowed.join(', ')}` });
}

function orAuto(number: z.ZodNumber, error: string) {
  return z.union([z.literal('auto'), number], { error });
}

const flag = z.boolean({ error: 'must be true or false' });

/** Names that the kernel gives to directories beside the interfaces' own. */
const RESERVED_NAMES = new Set(['all', 'default', 'lo']);
const DEVICE_ERROR = 'must be the name of a network interface (at most 15 letters, digits, ".", "_" or "-")';

/** The kernel's rules for names are laxer; what else it allows has a meaning to iptables ("+") or to ip ("@", "%"). */
const device = z
  .string({ error: DEVICE_ERROR })
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/, DEVICE_ERROR)
  .refine((name) => !RESERVED_NAMES.has(name), DEVICE_ERROR);

const absolutePath = z.string({ error: 'must be an absolute path' }).regex(/^\/[^\0]*$/, 'must be an absolute path');

const LINK_END_ERROR = 'must be HOST:PORT (an IPv6 address in brackets) or unix:/path';
/** sockaddr_un.sun_path, less the NUL. */
const MAX_UNIX_PATH_BYTES = 107;

/** Where one host listens, and the other dials. */
const linkEnd = z.string({ error: LINK_END_ERROR }).refine((text) => {
  if (text.startsWith('unix:')) {
    return /^unix:\/[^\0]+$/.test(text) && Buffer.byteLength(text) <= 'unix:'.length + MAX_UNIX_PATH_BYTES;
  }
  const port = /^(?:\[[\da-f:.]+\]|[\w.-]+):(\d{1,5})$/i.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65535;
}, LINK_END_ERROR);

export const linkSchema = z.strictObject({
  /** Of the primary. Both may be given, so that one file does for either role. */
  listen: linkEnd.optional(),
  /** Of the secondary. */
  connect: linkEnd.optional(),
  /** File with the key that both hosts have: base64 or hex, of mode 0600. */
  key: absolutePath.optional(),
  /** In place of a key: whoever reaches the port is believed, and can read and write what the guests say. */
  insecure: flag.default(DEFAULTS.link.insecure),
  /** Of TCP's payload the secondary sends keyed digests in the place of the bytes. */
  digests: oneOf(['on', 'off']).default(DEFAULTS.link.digests),
  /** Of each connection: what it may be behind with sending. */
  bufferBytes: byteSize(1 << 20, 1 << 30).default(DEFAULTS.link.bufferBytes),
});

export const limitsSchema = z.strictObject({
  maxFlows: whole(16, 1 << 22).optional(),
  maxHeldPackets: whole(16, 1 << 20).optional(),
  maxHeldBytes: byteSize(1 << 20, 1 << 30).optional(),
  logBytes: byteSize(2 << 20, 2 ** 31 - 1).optional(),
  logRecords: whole(1 << 8, 1 << 22)
    .refine((n) => (n & (n - 1)) === 0, 'must be a power of two')
    .optional(),
  keptConnections: whole(16, 1 << 22).optional(),
  queueLength: whole(16, 1 << 20).optional(),
  receiveBufferBytes: byteSize(1 << 18, 2 ** 31 - 1).optional(),
});

export const nodeSchema = z.strictObject({
  /** The controller's identity: a small number for libxl, the hypervisor's pid for others. */
  index: whole(0, 0xffffffff),
  /** For logs, tables and metrics. Default vm<index>. */
  name: z
    .string({ error: 'must be a name' })
    .regex(/^[\w.-]{1,64}$/, 'must be at most 64 letters, digits, ".", "_" or "-"')
    .optional(),
  guestPort: device,
  /** Where it is left out the hosts' programs speak with each other, as `link` says. */
  forwardPort: device.optional(),
  outerBridge: device.default(DEFAULTS.outerBridge),
  /** The host's interface on the outer network. When given, `colo rules` makes the outer bridge and puts it in. */
  outerPort: device.optional(),
  forwardBridge: device.optional(),
  /** The last two are UDP's, and the primary's alone. */
  queues: z
    .strictObject({
      guest: whole(0, 65535).optional(),
      forward: whole(0, 65535).optional(),
      guestUdp: whole(0, 65535).optional(),
      forwardUdp: whole(0, 65535).optional(),
    })
    .default({}),
  /** Let the guest's packets pass unverified while no daemon listens. */
  queueBypass: flag.default(DEFAULTS.queueBypass),
  /** Frames of the PVM that are neither IP nor ARP cannot be compared: 802.1ad, PPPoE, MPLS, FCoE, IPX and the like. */
  otherProtocols: oneOf(['drop', 'pass']).default(DEFAULTS.otherProtocols),
  /**
   * How long one guest may be silent; `auto`: as long as is far beyond what it usually takes, at most
   * maxCompareTimeoutMs.
   */
  compareTimeoutMs: orAuto(whole(10, 600_000), 'must be auto or a whole number from 10 to 600000').default(
    DEFAULTS.compareTimeoutMs,
  ),
  maxCompareTimeoutMs: whole(20, 600_000).default(DEFAULTS.maxCompareTimeoutMs),
  forwardSettleMs: whole(0, 10_000).optional(),
  /** How long the PVM runs at least between a checkpoint and the request for the next. */
  minCheckpointIntervalMs: whole(0, 60_000).default(DEFAULTS.minCheckpointIntervalMs),
  onControllerLoss: oneOf(['release', 'hold', 'drop']).default(DEFAULTS.onControllerLoss),
  moveTapOnFailover: flag.default(DEFAULTS.moveTapOnFailover),
  announceOnFailover: flag.default(DEFAULTS.announceOnFailover),
  bypass: z
    .array(bypassRuleSchema, { error: 'must be a list of rules' })
    .max(256, 'must have at most 256 rules')
    .default([]),
  limits: limitsSchema.default({}),
});

export const controlSchema = z.strictObject({
  /** Port id on NETLINK_USERSOCK. */
  netlinkPort: whole(1, 0x7fffffff).default(DEFAULTS.netlinkPort),
  /** Default <stateDir>/primary.sock or <stateDir>/secondary.sock. */
  unixPath: absolutePath.max(107, 'must be at most 107 bytes, the kernel has no room for more').optional(),
  /** Who may speak, beside root. */
  allowUids: z.array(whole(0, 0xfffffffe), { error: 'must be a list of user ids' }).default([]),
});

export const configSchema = z.strictObject({
  role: oneOf(['primary', 'secondary']),
  nodes: z
    .array(nodeSchema, { error: 'must be a list with one entry per virtual machine' })
    .min(1, 'must name at least one virtual machine')
    .max(64, 'must name at most 64 virtual machines'),
  /** Between the two hosts: of all virtual machines without a forwardPort. */
  link: linkSchema.optional(),
  control: controlSchema.default({ netlinkPort: DEFAULTS.netlinkPort, allowUids: [] }),
  /** Where offsets and sockets live: it must survive the daemon, and need not survive the host. */
  stateDir: absolutePath.default(DEFAULTS.stateDir),
  /** Loopback port of the Prometheus metrics; none when left out. */
  metricsPort: whole(1, 65535).optional(),
  logLevel: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default(DEFAULTS.logLevel),
  /** Which of the installed iptables programs `colo rules` uses; its IPv6 brother follows. */
  iptables: oneOf(['iptables', 'iptables-nft', 'iptables-legacy']).default(DEFAULTS.iptables),
  /** False: do without nft. Fragments of the two guests may get mixed up then, and otherProtocols must be `pass`. */
  nftables: flag.default(DEFAULTS.nftables),
  /** The daemon puts rules back that somebody else has flushed; those that `colo rules remove` took away stay away. */
  restoreRules: flag.default(DEFAULTS.restoreRules),
  /** For all nodes; a node's own limits go before. */
  limits: limitsSchema.default({}),
});

export type ConfigText = z.output<typeof configSchema>;
export type NodeText = ConfigText['nodes'][number];
