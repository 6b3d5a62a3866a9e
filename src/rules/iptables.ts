// iptables rules of a node: found by their comment, put in and taken out by iptables-restore, one transaction for each
// table.

import { run } from '../io/exec';
import type { IptablesRule } from './plan';

export type Family = 'ip' | 'ip6';
export const FAMILIES: readonly Family[] = ['ip', 'ip6'];
export const TABLES = ['raw', 'mangle'] as const;

/** The program of a family and purpose: `iptables`, `ip6tables-restore`, `iptables-legacy-save`. */
export function programOf(iptables: string, family: Family, purpose?: 'save' | 'restore'): string {
  const program = family === 'ip6' ? iptables.replace(/^iptables/, 'ip6tables') : iptables;
  return purpose === undefined ? program : `${program}-${purpose}`;
}

/** Whether the program speaks to nf_tables (and leaves tables behind) or to the old interface. */
export async function usesNfTables(iptables: string): Promise<boolean> {
  return (await run(iptables, ['-V'])).includes('nf_tables');
}

/** A node's rules of one table as they are now, as iptables-save prints them (`-A CHAIN ...`). */
export function savedRules(saved: string, comment: string): string[] {
  const marked = new RegExp(`^-A .*--comment "?${comment}"?( |$)`);
  return saved.split('\n').filter((line) => marked.test(line));
}

/** For iptables-restore: what is there goes, what is wanted comes, first in its chain. */
export function restoreBatch(table: string, present: readonly string[], wanted: readonly IptablesRule[]): string {
  const lines = [`*${table}`];
  for (const rule of present) lines.push(rule.replace(/^-A /, '-D '));
  // Each goes in front of the one before, so the last is inserted first.
  for (const rule of [...wanted].reverse()) lines.push(`-I ${rule.chain} ${rule.words.join(' ')}`);
  lines.push('COMMIT', '');
  return lines.join('\n');
}

/**
 * Replaces a node's rules (by none: removes them) in all tables and both families. Returns how many were there before.
 */
export async function replaceRules(
  iptables: string,
  comment: string,
  wanted: readonly IptablesRule[],
): Promise<number> {
  let before = 0;
  for (const family of FAMILIES) {
    let batch = '';
    for (const table of TABLES) {
      const present = savedRules(await run(programOf(iptables, family, 'save'), ['-t', table]), comment);
      const own = wanted.filter((rule) => rule.table === table);
      before += present.length;
      if (present.length + own.length > 0) batch += restoreBatch(table, present, own);
    }
    if (batch !== '') await run(programOf(iptables, family, 'restore'), ['--noflush', '-w', '5'], { input: batch });
  }
  return before;
}
