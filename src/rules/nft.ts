// What iptables cannot express, in nft(8)'s language. Tables of our own, so that making and removing them is one
// transaction each.

import { CommandError, run } from '../io/exec';
import { commentOf, FORWARD_ZONE, mirrorTable } from './marks';
import type { EthernetNode, NftTable, NodePlan, RuleNode } from './plan-parts';

/**
 * Reassembly comes before iptables' raw table, so its zone is too late for fragments: both guests' fragments with the
 * same IPv4 identification, which copies of one machine do choose, would be put together into one packet with bytes of
 * both. This sets the zone before (NF_IP_PRI_CONNTRACK_DEFRAG is -400). IPv6 fragments are kept apart by their
 * interface.
 */
export function defragStatements(node: EthernetNode): string[] {
  const table = `colo-${node.index}`;
  return [
    `add chain ip ${table} defrag { type filter hook prerouting priority -450 ; }`,
    `add rule ip ${table} defrag iifname "${node.forwardBridge}" ct zone set ${FORWARD_ZONE} comment "${commentOf(node.index)}"`,
  ];
}

/** Of ARP and RARP about IPv4 on Ethernet: hardware and protocol type, both lengths (RFC 826). */
const ADDRESS_RESOLUTION = '@nh,0,48 0x000108000604';
/** What may stand behind its 28 bytes: nothing, or zeros that fill a shortest frame, which may have a tag. */
const WITHOUT_TRAILER = ['meta length 28', 'meta length 42 @nh,224,112 0', 'meta length 46 @nh,224,128 0 @nh,352,16 0'];
const REQUEST_OR_REPLY = '@nh,48,16 { 1, 2 }';
const REVERSE = '@nh,48,16 { 3, 4 }';

/** Nothing that comes in by the guest's port gets to anybody but packet sockets, which see it before. */
export function isolation({ guestPort, index }: RuleNode): NftTable {
  const table = `colo-${index}`;
  return {
    family: 'netdev',
    table,
    statements: [
      `add chain netdev ${table} guest { type filter hook ingress device "${guestPort}" priority 0 ; }`,
      `add rule netdev ${table} guest counter drop comment "${commentOf(index)}"`,
    ],
  };
}

/** Of a primary's guest: nothing where all of them may pass. */
export function otherProtocols(node: RuleNode): NftTable[] {
  const table = `colo-${node.index}`;
  if (node.otherProtocols === 'pass') return [];
  return [{ family: 'netdev', table, statements: guestStatements(table, node) }];
}

/**
 * Only IP is seen by the queues. ARP and RARP, which find it, pass where they bear nothing else. Anything else would
 * leave unverified, so it does not leave: LLDP, EAPOL and what is no ARP for IPv4 too.
 */
function guestStatements(table: string, node: RuleNode): string[] {
  const comment = `comment "${commentOf(node.index)}"`;
  const rule = (chain: string, what: string) => `add rule netdev ${table} ${chain} ${what} ${comment}`;
  return [
    `add chain netdev ${table} resolution`,
    ...WITHOUT_TRAILER.map((length) => rule('resolution', `${length} ${ADDRESS_RESOLUTION} accept`)),
    rule('resolution', 'counter drop'),
    `add chain netdev ${table} guest { type filter hook ingress device "${node.guestPort}" priority 0 ; }`,
    rule('guest', 'ether type { ip, ip6 } accept'),
    rule('guest', 'ether type 8021q vlan type { ip, ip6 } accept'),
    // The content's place is behind a tag, if there is one.
    ...['ether type', 'ether type 8021q vlan type'].flatMap((type) => [
      rule('guest', `${type} arp ${REQUEST_OR_REPLY} goto resolution`),
      rule('guest', `${type} 0x8035 ${REVERSE} goto resolution`),
    ]),
    rule('guest', 'counter drop'),
  ];
}

/** `ip raw`, `netdev colo-1`, ... */
export async function nftTables(): Promise<Set<string>> {
  const out = JSON.parse(await run('nft', ['-j', 'list', 'tables'])) as {
    nftables: { table?: { family: string; name: string } }[];
  };
  return new Set(out.nftables.flatMap(({ table }) => (table ? [`${table.family} ${table.name}`] : [])));
}

/** Whether a table has as many of our rules as it was given: a flushed one is there, and empty. */
export async function nftInPlace(
  family: string,
  table: string,
  comment: string,
  statements: readonly string[],
): Promise<boolean> {
  const marked = (lines: readonly string[]): number => lines.filter((line) => line.includes(`"${comment}"`)).length;
  try {
    return marked((await run('nft', ['list', 'table', family, table])).split('\n')) === marked(statements);
  } catch (error) {
    if (error instanceof CommandError && error.status !== undefined) return false;
    throw error;
  }
}

/** Makes a node's tables, in the place of older ones, in one transaction. */
export async function applyNft(plan: NodePlan): Promise<void> {
  const lines: string[] = [];
  for (const { family, table, statements } of plan.nft) {
    // `add` before `delete`, as the table need not be there yet.
    lines.push(
      `add table ${family} ${table}`,
      `delete table ${family} ${table}`,
      `add table ${family} ${table}`,
      ...statements,
    );
  }
  await run('nft', ['-f', '-'], { input: `${lines.join('\n')}\n` });
}

/** Removes a node's tables; those that are not there do not matter. True when there was one. */
export async function removeNft(index: number, existing: ReadonlySet<string>): Promise<boolean> {
  const all = [`ip colo-${index}`, `netdev colo-${index}`, `netdev ${mirrorTable(index)}`];
  const ours = all.filter((table) => existing.has(table));
  if (ours.length > 0)
    await run('nft', ['-f', '-'], { input: ours.map((table) => `delete table ${table}\n`).join('') });
  return ours.length > 0;
}

/** Removes one of the tables that iptables-nft makes, when there is nothing in it any more. */
export async function dropIfEmpty(table: string): Promise<void> {
  const [family, name] = table.split(' ') as [string, string];
  const text = await run('nft', ['-j', 'list', 'table', family, name]);
  if (/"rule":/.test(text)) return;
  const { nftables } = JSON.parse(text) as { nftables: { chain?: { name: string } }[] };
  const chains = nftables.flatMap(({ chain }) => (chain ? [chain.name] : []));
  try {
    // The kernel refuses to delete a chain that has got a rule meanwhile.
    for (const chain of chains) await run('nft', ['delete', 'chain', family, name, chain]);
    await run('nft', ['delete', 'table', family, name]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
}
