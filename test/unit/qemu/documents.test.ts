// The tables "QEMU's own / ours": the test that a row names exists, with the words that the row quotes.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../../..');
const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** What is said in place of a path. */
const NAMES: Record<string, string> = {
  table: 'test/interop/table.ts',
  hazards: 'test/interop/hazards.test.ts',
  'differential test': 'test/interop/differential.test.ts',
};

interface Shown {
  row: string;
  path: string;
  words: string[];
}

function shownBy(page: string): Shown[] {
  const all: Shown[] = [];
  let path = '';
  const [, ...rows] = text(`docs/qemu/${page}.md`).split('| shown by |')[1]!.split('\n');
  for (const line of rows.filter((row) => row.startsWith('| ') || row === '')) {
    if (line === '') break;
    const cells = line.split(' | ');
    for (const part of cells.at(-1)!.split(';')) {
      const name = /test\/[\w/.-]+|table|hazards|differential test|the same/.exec(part)?.[0] ?? '';
      if (name !== 'the same') path = NAMES[name] ?? name;
      all.push({ row: cells[0]!, path, words: [...part.matchAll(/"([^"]+)"/g)].map((quoted) => quoted[1]!) });
    }
  }
  return all;
}

test.each(['compare', 'mirror', 'redirector', 'rewriter'])('%s', (page) => {
  const rows = shownBy(page);
  expect(rows.length).toBeGreaterThan(4);
  for (const { row, path, words } of rows) {
    if (path === '') throw new Error(`${row}: no test is named`);
    for (const quoted of words) expect([row, path, text(path)]).toEqual([row, path, expect.stringContaining(quoted)]);
    expect(text(path)).not.toBe('');
  }
});
