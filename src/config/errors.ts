// What is wrong with a configuration, in words that name the key and what is allowed.

import { z } from 'zod';

export type Path = readonly PropertyKey[];

/** `nodes[0].queues.guest` */
export function pathText(path: Path): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`;
  return text === '' ? 'the configuration' : text;
}

export interface Complaint {
  path: Path;
  text: string;
}

/** One complaint for each wrong or unknown key. */
export function complaints(schema: z.ZodType, issues: readonly z.core.$ZodIssue[], value: unknown): Complaint[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const known = keysAt(schema, issue.path);
      return issue.keys.map((key) => unknownKey([...issue.path, key], known));
    }
    const given = valueAt(value, issue.path);
    if (given === undefined)
      return [{ path: issue.path, text: `${pathText(issue.path)} is missing: it ${allowed(issue)}` }];
    return [{ path: issue.path, text: `${pathText(issue.path)} ${allowed(issue)}, not ${shown(given)}` }];
  });
}

function unknownKey(path: Path, known: readonly string[]): Complaint {
  const near = nearest(String(path[path.length - 1]), known);
  const hint = near !== undefined ? `did you mean ${near}?` : `known here: ${known.join(', ')}`;
  return { path, text: `${pathText(path)} is not a key (${hint})` };
}

function allowed(issue: z.core.$ZodIssue): string {
  // Words of our own go before those made from the kind of issue.
  if (!issue.message.startsWith('Invalid ')) return issue.message;
  if (issue.code === 'invalid_union') return 'must have another form: see docs/OPERATIONS.md';
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  if (issue.code === 'invalid_type') return `must be ${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`;
  return issue.message;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function valueAt(value: unknown, path: Path): unknown {
  for (const part of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return value;
}

/** The keys that the schema knows at a place. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let at: z.ZodType | undefined = unwrapped(schema);
  for (const part of path) {
    if (at instanceof z.ZodArray) at = unwrapped(at.element as z.ZodType);
    else if (at instanceof z.ZodObject) at = unwrapped(at.shape[part as string] as z.ZodType);
    else return [];
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function unwrapped(schema: z.ZodType): z.ZodType {
  while (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) schema = schema.unwrap() as z.ZodType;
  return schema;
}

/** The known name that was probably meant: at most a third of its letters away. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) [best, bestDistance] = [candidate, d];
  }
  return best !== undefined && bestDistance <= Math.max(1, Math.ceil(best.length / 3)) ? best : undefined;
}

/** Levenshtein: insertions, deletions and exchanges of one letter. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
