// The copy of everything that goes to the PVM: a tc filter on the tap's egress (tc-u32(8), tc-mirred(8)), or nft's dup
// there.

import { CommandError, run } from '../io/exec';
import { commentOf, cookieOf, MIRROR_PREF, mirrorTable } from './marks';

/** Words after `tc filter add`. Not `protocol ip` thrice: ARP and what is to come are copied alike. */
export function mirrorWords(from: string, to: string, cookie: string): string[] {
  const place = ['dev', from, 'egress', 'pref', `${MIRROR_PREF}`, 'protocol', 'all'];
  return [
    ...place,
    'u32',
    'match',
    'u32',
    '0',
    '0',
    'action',
    'mirred',
    'egress',
    'mirror',
    'dev',
    to,
    'cookie',
    cookie,
  ];
}

interface Filter {
  pref: number;
  options?: { actions?: { kind: string; mirred_action?: string; to_dev?: string; cookie?: string }[] };
}

async function filters(dev: string, direction: 'ingress' | 'egress'): Promise<Filter[]> {
  // `[{...}]`, or `[ ]` when there is none.
  return JSON.parse((await run('tc', ['-json', 'filter', 'show', 'dev', dev, direction])) || '[]') as Filter[];
}

export interface MirrorState {
  /**
   * What is attached where clsact would be: it, or an `ingress` qdisc (libvirt's bandwidth), beside which there is no
   * room for it.
   */
  qdisc: 'clsact' | 'ingress' | undefined;
  /** Who copies. */
  by: 'tc' | 'nft' | undefined;
  /** Where our copies go; '' when there is a filter of somebody else in its place. */
  to: string | undefined;
}

/** Rejects with OperatorError. Without `nftables` only tc is asked. */
export async function mirrorState(dev: string, index: number, nftables: boolean): Promise<MirrorState> {
  const qdiscs = JSON.parse((await run('tc', ['-json', 'qdisc', 'show', 'dev', dev])) || '[]') as { kind: string }[];
  const qdisc = (['clsact', 'ingress'] as const).find((name) => qdiscs.some(({ kind }) => kind === name));
  const there = qdisc === 'clsact' ? (await filters(dev, 'egress')).filter(({ pref }) => pref === MIRROR_PREF) : [];
  if (there.length > 0) {
    const action = there
      .flatMap(({ options }) => options?.actions ?? [])
      .find((a) => a.kind === 'mirred' && a.cookie === cookieOf(index));
    return { qdisc, by: 'tc', to: action?.to_dev ?? '' };
  }
  const to = nftables ? await nftMirror(dev, index) : undefined;
  return { qdisc, by: to === undefined ? undefined : 'nft', to };
}

async function nftMirror(dev: string, index: number): Promise<string | undefined> {
  let text: string;
  try {
    text = await run('nft', ['list', 'table', 'netdev', mirrorTable(index)]);
  } catch (error) {
    // There is no such table.
    if (error instanceof CommandError && error.status !== undefined) return undefined;
    throw error;
  }
  // The chain outlives its port, and one of the same name may have come since.
  return new RegExp(`hook egress devices? .*"${dev}"`).test(text) ? /dup to "([^"]+)"/.exec(text)?.[1] : undefined;
}

/**
 * Copies in the place of tc's, where an ingress qdisc is: nft's egress hook (Linux 5.16) needs no qdisc. For `nft -f
 * -`.
 */
export function nftMirrorBatch(from: string, to: string, index: number): string {
  const table = `netdev ${mirrorTable(index)}`;
  return [
    `add table ${table}`,
    `delete table ${table}`,
    `add table ${table}`,
    `add chain ${table} mirror { type filter hook egress device "${from}" priority 0 ; }`,
    `add rule ${table} mirror dup to "${to}" comment "${commentOf(index)}"`,
    '',
  ].join('\n');
}

export async function removeMirror(dev: string): Promise<void> {
  await run('tc', ['filter', 'del', 'dev', dev, 'egress', 'pref', `${MIRROR_PREF}`]);
}

/** Whether nobody has a filter on a device's clsact any more. */
export async function clsactEmpty(dev: string): Promise<boolean> {
  return (await filters(dev, 'egress')).length === 0 && (await filters(dev, 'ingress')).length === 0;
}
