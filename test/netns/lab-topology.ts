// The laboratory's wiring as data: what each network namespace holds, in the words of `ip -batch`, `tc -batch` and
// sysctl.
//
//   client: lan0 (bridge, has the client's addresses) = {pn, sn}        the outer network and its switch
//   pn:     br0 = {nic0, tap0}   colobr0 = {fwd0}   mirror tap0 egress -> fwd0
//   sn:     br0 = {nic0}         colobr0 = {fwd0, tap0}                   (a failover moves tap0 to br0)
//   with a stream link: fwd0 of pn and sn have addresses (STREAM_IPS), there is no colobr0 and no mirror,
//           and sn's tap0 is in no bridge
//   pvm:    eth0 = peer of pn's tap0        svm: eth0 = peer of sn's tap0 (same MAC, same addresses)

export type Role = 'client' | 'pn' | 'sn' | 'pvm' | 'svm';
export const ROLES: readonly Role[] = ['client', 'pn', 'sn', 'pvm', 'svm'];

export const CLIENT_MAC = '52:54:00:c0:10:01';
export const GUEST_MAC = '52:54:00:c0:10:02';
export const CLIENT_IP = '10.77.0.1';
export const GUEST_IP = '10.77.0.2';
export const PN_IP = '10.77.0.11';
export const SN_IP = '10.77.0.12';
export const CLIENT_IP6 = 'fd77::1';
export const GUEST_IP6 = 'fd77::2';
export const PN_IP6 = 'fd77::11';
export const SN_IP6 = 'fd77::12';

/** Of fwd0, of pn and sn, where the daemons speak over a stream. */
export const STREAM_IPS = { pn: '10.78.0.1', sn: '10.78.0.2' } as const;

export interface TopologyOptions {
  /** How the daemons reach each other. */
  link: 'ethernet' | 'stream';
  /** MTU of every link, bytes. */
  mtu: number;
  /** Create the forward bridges, the sysctls and the mirror; false leaves that to `colo rules apply`. */
  plumbing: boolean;
  /** Give the SVM's TCP other initial sequence numbers and timestamps than the PVM's. */
  distinctStacks: boolean;
  /**
   * Cut a guest's packets loose from its sockets when they leave, as a tap does. Without it a packet that waits in a
   * queue of the host still counts as "being sent" in the guest (TCP small queues), whose TCP sends less at a time
   * then. Costs about a fifth of an unprotected pair's throughput.
   */
  detachGuests: boolean;
}

/** A bridge that forwards from the first moment and adds nothing of its own to the wire. */
const QUIET_BRIDGE = 'type bridge stp_state 0 forward_delay 0 mcast_snooping 0';

/**
 * `ip -batch` lines for the links; they name every namespace and run in the one that the tests run in. The indices
 * differ between the ends of a pair: the kernel reports a veth's carrier up to a second late when they are equal.
 */
export function linkLines(ns: Record<Role, string>, mtu: number): string[] {
  let index = 100;
  const veth = (a: Role, aName: string, b: Role, bName: string) =>
    `link add name ${aName} index ${index++} mtu ${mtu} netns ${ns[a]} type veth peer name ${bName} mtu ${mtu} netns ${ns[b]}`;
  return [
    veth('client', 'pn', 'pn', 'nic0'),
    veth('client', 'sn', 'sn', 'nic0'),
    veth('pn', 'fwd0', 'sn', 'fwd0'),
    veth('pn', 'tap0', 'pvm', 'eth0'),
    veth('sn', 'tap0', 'svm', 'eth0'),
  ];
}

function guestLines(): string[] {
  return [
    `link set eth0 address ${GUEST_MAC} up`,
    `addr add ${GUEST_IP}/24 dev eth0`,
    `addr add ${GUEST_IP6}/64 dev eth0 nodad`,
    `neigh replace ${CLIENT_IP} lladdr ${CLIENT_MAC} dev eth0 nud permanent`,
    `neigh replace ${CLIENT_IP6} lladdr ${CLIENT_MAC} dev eth0 nud permanent`,
  ];
}

/** `ip -batch` lines for the inside of one namespace. */
export function insideLines(role: Role, options: TopologyOptions): string[] {
  const { plumbing, detachGuests, link } = options;
  const forwardBridge = plumbing && link === 'ethernet';
  switch (role) {
    case 'client':
      return [
        'link set lo up',
        `link add name lan0 address ${CLIENT_MAC} ${QUIET_BRIDGE}`,
        'link set pn master lan0 up',
        'link set sn master lan0 up',
        'link set lan0 up',
        `addr add ${CLIENT_IP}/24 dev lan0`,
        `addr add ${CLIENT_IP6}/64 dev lan0 nodad`,
        `neigh replace ${GUEST_IP} lladdr ${GUEST_MAC} dev lan0 nud permanent`,
        `neigh replace ${GUEST_IP6} lladdr ${GUEST_MAC} dev lan0 nud permanent`,
      ];
    case 'pn':
      return [
        'link set lo up',
        `link add name br0 ${QUIET_BRIDGE}`,
        'link set nic0 master br0 up',
        'link set tap0 master br0 up',
        'link set br0 up',
        `addr add ${PN_IP}/24 dev br0`,
        `addr add ${PN_IP6}/64 dev br0 nodad`,
        'link set fwd0 up',
        ...(link === 'stream' ? [`addr add ${STREAM_IPS.pn}/30 dev fwd0`] : []),
        ...(forwardBridge
          ? [`link add name colobr0 ${QUIET_BRIDGE}`, 'link set fwd0 master colobr0', 'link set colobr0 arp off up']
          : []),
      ];
    case 'sn':
      return [
        'link set lo up',
        `link add name br0 ${QUIET_BRIDGE}`,
        'link set nic0 master br0 up',
        'link set br0 up',
        `addr add ${SN_IP}/24 dev br0`,
        `addr add ${SN_IP6}/64 dev br0 nodad`,
        'link set fwd0 up',
        'link set tap0 up',
        ...(link === 'stream' ? [`addr add ${STREAM_IPS.sn}/30 dev fwd0`] : []),
        ...(forwardBridge
          ? [
              `link add name colobr0 ${QUIET_BRIDGE}`,
              'link set fwd0 master colobr0',
              'link set tap0 master colobr0',
              'link set colobr0 arp off up',
            ]
          : []),
      ];
    case 'pvm':
    case 'svm':
      return [
        'link set lo up',
        ...guestLines(),
        ...(detachGuests ? ['link add name hole0 type veth peer name hole1'] : []),
      ];
  }
}

/** Everything that crosses tap0 towards the PVM is copied to the forward link: IP, IPv6, ARP alike. */
export const MIRROR_LINES: readonly string[] = [
  'qdisc add dev tap0 clsact',
  'filter add dev tap0 egress pref 6535 protocol all u32 match u32 0 0 action mirred egress mirror dev fwd0',
];

/**
 * Namespaces share one kernel: the mirror's copy and the PVM's packet share their bytes, and the SN's bridge, when it
 * splits an IPv6 packet again, writes its fragment headers into them. Two machines share nothing; this unshares.
 */
export const UNSHARE_RULES = `table netdev lab {
  chain unshare {
    type filter hook ingress device "fwd0" priority 0
    ip6 nexthdr 44 ip6 version set 6
  }
}
`;

/** A copy of a packet belongs to no socket; the original goes into a device that is down, and is freed. */
export const DETACH_RULES = `table netdev lab {
  chain detach {
    type filter hook egress device "eth0" priority 0
    meta skuid 0-4294967294 dup to "eth0" fwd to "hole0"
  }
}
`;

/**
 * Set before any link exists, so that every link takes its defaults from here. No duplicate address detection: both
 * guests own the same address by design. No router solicitations: the only packets are those of the test.
 */
export function sysctls(role: Role, options: TopologyOptions): Record<string, string> {
  const quiet: Record<string, string> = {};
  for (const scope of ['all', 'default']) {
    for (const key of ['accept_dad', 'dad_transmits', 'router_solicitations', 'accept_ra', 'autoconf']) {
      quiet[`net.ipv6.conf.${scope}.${key}`] = '0';
    }
  }
  const bridgeNf = (on: string) => ({
    'net.bridge.bridge-nf-call-iptables': on,
    'net.bridge.bridge-nf-call-ip6tables': on,
    'net.bridge.bridge-nf-call-arptables': '0',
  });
  if (role === 'client') return { ...quiet, ...bridgeNf('0'), 'net.ipv4.ip_local_port_range': '10000 65000' };
  if (role === 'pn' || role === 'sn')
    return options.plumbing ? { ...quiet, ...bridgeNf('1') } : { ...quiet, ...bridgeNf('0') };
  const guest = { ...quiet, 'net.ipv4.ip_local_port_range': '10000 65000' };
  if (role === 'pvm' || !options.distinctStacks) return guest;
  // Namespaces share the kernel's secrets, so both guests would choose nearly equal numbers. Timestamps without the
  // per-connection offset, and SYN cookies for every SYN, make the SVM as foreign as another machine.
  return { ...guest, 'net.ipv4.tcp_timestamps': '2', 'net.ipv4.tcp_syncookies': '2' };
}
