// The copy of everything that goes to the PVM: a tc filter on the tap's egress (tc-u32(8), tc-mirred(8)).

import { run } from '../exec';
import { MIRROR_PREF } from './marks';

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
  clsact: boolean;
  /** Where our filter copies to; '' when there is a filter of somebody else in its place. */
  to: string | undefined;
}

export async function mirrorState(dev: string, cookie: string): Promise<MirrorState> {
  const qdiscs = JSON.parse((await run('tc', ['-json', 'qdisc', 'show', 'dev', dev])) || '[]') as { kind: string }[];
  if (!qdiscs.some(({ kind }) => kind === 'clsact')) return { clsact: false, to: undefined };
  const there = (await filters(dev, 'egress')).filter(({ pref }) => pref === MIRROR_PREF);
  if (there.length === 0) return { clsact: true, to: undefined };
  const action = there
    .flatMap(({ options }) => options?.actions ?? [])
    .find((a) => a.kind === 'mirred' && a.cookie === cookie);
  return { clsact: true, to: action?.to_dev ?? '' };
}

export async function removeMirror(dev: string): Promise<void> {
  await run('tc', ['filter', 'del', 'dev', dev, 'egress', 'pref', `${MIRROR_PREF}`]);
}

/** Whether nobody has a filter on a device's clsact any more. */
export async function clsactEmpty(dev: string): Promise<boolean> {
  return (await filters(dev, 'egress')).length === 0 && (await filters(dev, 'ingress')).length === 0;
}
