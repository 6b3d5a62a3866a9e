// What is wrong with a configuration, in words that name the key and what is allowed.

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

export function missing(path: Path, allowed: string): Complaint {
  return { path, text: `${pathText(path)} is missing: it ${allowed}` };
}

export function wrong(path: Path, allowed: string, given: unknown): Complaint {
  return { path, text: `${pathText(path)} ${allowed}, not ${shown(given)}` };
}

export function unknownKey(path: Path, known: readonly string[]): Complaint {
  const near = nearest(String(path[path.length - 1]), known);
  const hint = near !== undefined ? `did you mean ${near}?` : `known here: ${known.join(', ')}`;
  return { path, text: `${pathText(path)} is not a key (${hint})` };
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
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
