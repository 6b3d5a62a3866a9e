// Network interfaces and bridges of this network namespace, read and changed by iproute2 (ip-link(8), bridge(8)).

import { OperatorError } from '../core/errors';
import { CommandError, run } from './exec';

export interface Link {
  name: string;
  index: number;
  mtu: number;
  /** Switched on by the administrator. */
  up: boolean;
  /** There is somebody at the other end: for a tap, the hypervisor. */
  carrier: boolean;
  arp: boolean;
  /** The bridge that it is a port of. */
  master: string | undefined;
  alias: string | undefined;
  /** veth, bridge, tun, ...; undefined for a physical one. */
  kind: string | undefined;
  stp: boolean;
  forwardDelayMs: number;
  /** A bridge gives its packets to iptables and ip6tables, whatever the host's sysctls are. */
  nfCallIptables: boolean;
  nfCallIp6tables: boolean;
  /** A bridge that keeps its ports' VLANs apart. */
  vlanFiltering: boolean;
}

interface IpLink {
  ifname: string;
  ifindex: number;
  mtu: number;
  flags: string[];
  master?: string;
  ifalias?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: {
      stp_state?: number;
      forward_delay?: number;
      nf_call_iptables?: number;
      nf_call_ip6tables?: number;
      vlan_filtering?: number;
    };
  };
}

/** All interfaces by name. Rejects with OperatorError. */
export async function links(): Promise<Map<string, Link>> {
  const all = JSON.parse((await run('ip', ['-json', '-details', 'link', 'show'])) || '[]') as IpLink[];
  return new Map(all.map((link) => [link.ifname, toLink(link)]));
}

function toLink(link: IpLink): Link {
  const data = link.linkinfo?.info_data;
  return {
    name: link.ifname,
    index: link.ifindex,
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    carrier: link.flags.includes('LOWER_UP'),
    arp: !link.flags.includes('NOARP'),
    master: link.master,
    alias: link.ifalias,
    kind: link.linkinfo?.info_kind,
    stp: (data?.stp_state ?? 0) !== 0,
    // USER_HZ
    forwardDelayMs: (data?.forward_delay ?? 0) * 10,
    nfCallIptables: data?.nf_call_iptables === 1,
    nfCallIp6tables: data?.nf_call_ip6tables === 1,
    vlanFiltering: data?.vlan_filtering === 1,
  };
}

/** Global addresses of an interface: what would stop working if it became a bridge's port. */
export async function addressesOf(name: string): Promise<string[]> {
  const found = JSON.parse((await run('ip', ['-json', 'address', 'show', 'dev', name, 'scope', 'global'])) || '[]') as {
    addr_info?: { local?: string; prefixlen: number }[];
  }[];
  // An address that the scope leaves out is an object without anything.
  const addresses = found.flatMap((link) => link.addr_info ?? []).filter(({ local }) => local !== undefined);
  return addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/**
 * Makes a port a member of a bridge, whatever it was a member of before, and switches it on: what a failover does with
 * the guest's tap. `macs` are those behind the port, as returned by macsBehind() before. Rejects with OperatorError.
 */
export async function moveToBridge(port: string, bridge: string, macs: readonly Uint8Array[] = []): Promise<void> {
  try {
    await run('ip', ['link', 'set', 'dev', port, 'master', bridge, 'up']);
  } catch (error) {
    const stderr = error instanceof CommandError ? error.stderr : '';
    if (/Cannot find device|Device does not exist/.test(stderr)) {
      const missing = /"([^"]+)"/.exec(stderr)?.[1] ?? port;
      const hint = `create it, then: ip link set dev ${port} master ${bridge}`;
      throw new OperatorError('ELINK', `${missing} does not exist`, hint, { cause: error });
    }
    throw error;
  }
  await learn(port, bridge, macs);
}

/**
 * The bridge may have heard the same MAC addresses from outside (the primary guest's broadcasts come in there), and
 * would throw away what comes from there for them, until the guest speaks.
 */
async function learn(port: string, bridge: string, macs: readonly Uint8Array[]): Promise<void> {
  if (macs.length === 0) await run('ip', ['link', 'set', 'dev', bridge, 'type', 'bridge', 'fdb_flush']);
  for (const mac of macs) await run('bridge', ['fdb', 'replace', macText(mac), 'dev', port, 'master', 'dynamic']);
}

interface FdbEntry {
  mac: string;
  ifname: string;
  master?: string;
  flags?: string[];
  state?: string;
}

/**
 * The MAC addresses that were heard behind a bridge port: the guest's. To be asked before the port moves, as the bridge
 * forgets them then. Empty for a guest that has been silent for the bridge's ageing time (300 s); switches have
 * forgotten it, too.
 */
export async function macsBehind(port: string): Promise<Uint8Array[]> {
  const entries = JSON.parse((await run('bridge', ['-json', 'fdb', 'show', 'dev', port])) || '[]') as FdbEntry[];
  const heard = entries.filter((entry) => entry.master !== undefined && entry.state !== 'permanent');
  return [...new Set(heard.map((entry) => entry.mac))].map(macBytes).filter((mac) => (mac[0]! & 1) === 0);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** The ports of a bridge, without one of them. */
export async function portsOf(bridge: string, except?: string): Promise<string[]> {
  const ports = JSON.parse((await run('ip', ['-json', 'link', 'show', 'master', bridge])) || '[]') as IpLink[];
  return ports.map((port) => port.ifname).filter((name) => name !== except);
}
