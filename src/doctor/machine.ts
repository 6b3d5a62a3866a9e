// The machine's programs, rights and settings. Nothing is changed.

import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { run } from '../io/exec';
import { readSysctl } from '../io/sysctl';
import { CAP_NET_ADMIN, CAP_NET_RAW, readCapabilities } from '../native';
import { addon } from '../native/addon';
import type { Question } from './check';

/** As package.json's `engines` says. */
const NODE_MAJOR = 20;
const NODE_MINOR = 12;
/** For NFQA_CFG_F_GSO and the queue's other flags; bridge netfilter per network namespace is newer and not needed. */
const KERNEL_MAJOR = 4;
const KERNEL_MINOR = 19;

const CAPABILITY_BITS = { [CAP_NET_ADMIN]: 12, [CAP_NET_RAW]: 13, CAP_SYS_ADMIN: 21 };

function atLeast(version: string, major: number, minor: number): string {
  const [a, b] = version
    .replace(/^v/, '')
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  if (a! > major || (a === major && b! >= minor)) return version;
  throw new Error(`${version} is older than ${major}.${minor}`);
}

function need(condition: boolean, found: string, otherwise: string): string {
  if (!condition) throw new Error(otherwise);
  return found;
}

async function firstLine(program: string, ...args: string[]): Promise<string> {
  return (await run(program, args)).trim().split('\n', 1)[0]!;
}

function hasCapability(name: keyof typeof CAPABILITY_BITS): boolean {
  return ((readCapabilities().effective >> BigInt(CAPABILITY_BITS[name]!)) & 1n) === 1n;
}

/** May this process make temporary namespaces? */
export function mayProbe(): boolean {
  try {
    return hasCapability('CAP_SYS_ADMIN') && hasCapability(CAP_NET_ADMIN);
  } catch {
    return false;
  }
}

export function machineQuestions(iptables: string, nftables: boolean): Question[] {
  const ip6tables = iptables.replace(/^iptables/, 'ip6tables');
  return [
    {
      id: 'node',
      what: 'Node.js',
      needed: true,
      todo: `install Node.js ${NODE_MAJOR}.${NODE_MINOR} or newer`,
      ask: () => atLeast(process.version, NODE_MAJOR, NODE_MINOR),
    },
    {
      id: 'addon',
      what: 'native addon',
      needed: true,
      todo: 'make build',
      ask: () => need(addon() !== undefined, 'loaded', 'not there'),
    },
    {
      id: 'kernel',
      what: 'Linux',
      needed: true,
      todo: `boot Linux ${KERNEL_MAJOR}.${KERNEL_MINOR} or newer`,
      ask: () => atLeast(release(), KERNEL_MAJOR, KERNEL_MINOR),
    },
    {
      id: 'rights',
      what: 'rights',
      needed: true,
      todo: 'run it as root (the daemons keep only CAP_NET_ADMIN and CAP_NET_RAW)',
      ask: () => {
        const lacking = [CAP_NET_ADMIN, CAP_NET_RAW].filter(
          (name) => !hasCapability(name as keyof typeof CAPABILITY_BITS),
        );
        return need(lacking.length === 0, 'CAP_NET_ADMIN, CAP_NET_RAW', `without ${lacking.join(', ')}`);
      },
    },
    { id: 'ip', what: 'iproute2', needed: true, todo: 'apt-get install iproute2', ask: () => firstLine('ip', '-V') },
    { id: 'tc', what: 'tc', needed: true, todo: 'apt-get install iproute2', ask: () => firstLine('tc', '-V') },
    {
      id: 'iptables',
      what: iptables,
      needed: true,
      todo: 'apt-get install iptables',
      ask: () => firstLine(iptables, '-V'),
    },
    {
      id: 'ip6tables',
      what: ip6tables,
      needed: true,
      todo: 'apt-get install iptables',
      ask: () => firstLine(ip6tables, '-V'),
    },
    {
      id: 'nft',
      what: 'nft',
      needed: nftables,
      todo: 'apt-get install nftables (or nftables: false in the configuration)',
      ask: () => firstLine('nft', '--version'),
    },
    {
      id: 'ipv6',
      what: 'IPv6',
      needed: false,
      todo: 'a guest that uses IPv6 needs it in the kernel of both hosts',
      ask: () => need(existsSync('/proc/net/if_inet6'), 'in the kernel', 'not in the kernel'),
    },
    {
      id: 'tun',
      what: 'tun/tap devices',
      needed: false,
      todo: 'modprobe tun (hypervisors need it for taps)',
      ask: () => need(existsSync('/dev/net/tun'), '/dev/net/tun', 'no /dev/net/tun'),
    },
    {
      id: 'zerocopy',
      what: 'vhost-net copies what it sends',
      needed: true,
      todo: 'modprobe -r vhost_net; modprobe vhost_net experimental_zcopytx=0 (packets held in a queue block the guest otherwise)',
      ask: () => {
        const file = '/sys/module/vhost_net/parameters/experimental_zcopytx';
        if (!existsSync(file)) return 'vhost-net is not loaded';
        return need(readFileSync(file, 'utf8').trim() === '0', 'experimental_zcopytx=0', 'experimental_zcopytx is on');
      },
    },
    {
      id: 'conntrack-room',
      what: "room in conntrack's table",
      needed: false,
      todo: 'sysctl -w net.netfilter.nf_conntrack_max=1048576 (a full table drops packets)',
      ask: () => {
        const count = Number(readSysctl('net/netfilter/nf_conntrack_count'));
        const most = Number(readSysctl('net/netfilter/nf_conntrack_max'));
        if (!(most > 0)) return 'conntrack is not in use yet';
        return need(count < most / 2 && most >= 65536, `${count} of ${most}`, `${count} of ${most}`);
      },
    },
  ];
}
