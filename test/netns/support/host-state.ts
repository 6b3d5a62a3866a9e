// Everything that rules could leave behind on a host, as text that two moments can be compared by.

import type { Lab, Role } from '../lab';

/** Timers and counters, which differ between any two moments. */
const RESTLESS =
  /^(gc_timer|hello_timer|tcn_timer|topology_change_timer|stats|stats64|operstate|valid_life_time|preferred_life_time)$/;

const SYSCTLS = String.raw`^net\.(bridge\.|netfilter\.nf_conntrack_tcp|ipv[46]\.conf\.(all|default|br0|nic0|tap0|fwd0|colobr0)\.)`;

export function hostState(lab: Lab, role: Role): string {
  const json = (...command: [string, ...string[]]): string => {
    const out = lab.execSync(role, command[0], command.slice(1));
    return JSON.stringify(
      JSON.parse(out || '[]'),
      (key, value: unknown) => (RESTLESS.test(key) ? undefined : value),
      1,
    );
  };
  const text = (...command: [string, ...string[]]): string => lab.execSync(role, command[0], command.slice(1));
  const ports = ['nic0', 'tap0', 'fwd0', 'br0'];
  return [
    json('ip', '-json', '-details', 'link', 'show'),
    json('ip', '-json', 'address', 'show'),
    json('bridge', '-json', '-details', 'link', 'show'),
    json('tc', '-json', 'qdisc', 'show'),
    ...ports.flatMap((port) =>
      ['ingress', 'egress'].map((way) => json('tc', '-json', 'filter', 'show', 'dev', port, way)),
    ),
    nftTables(text('nft', 'list', 'ruleset')),
    ...['iptables-save', 'ip6tables-save', 'iptables-legacy-save', 'ip6tables-legacy-save'].map((save) =>
      savedRules(text(save)),
    ),
    text('sysctl', '-a', '-r', SYSCTLS),
  ].join('\n');
}

/** Without the tables that have no rule: the old interface makes them on a look, and cannot remove one. */
function savedRules(saved: string): string {
  return saved
    .replace(/^#.*\n/gm, '')
    .replace(/\[\d+:\d+\]/g, '')
    .replace(/\*\w+\n(:.*\n)*COMMIT\n/g, '');
}

/** In one order, as a table that is made anew goes to the end. */
function nftTables(ruleset: string): string {
  const tables = ruleset.replace(/packets \d+ bytes \d+/g, '').split(/^(?=table )/m);
  return tables.sort().join('');
}
