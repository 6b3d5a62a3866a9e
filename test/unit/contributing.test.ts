// Files that the documents for contributors name are there.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');

test.each(['CONTRIBUTING', 'TESTING', 'ARCHITECTURE'])('%s names files that are there', (page) => {
  const text = readFileSync(join(ROOT, `docs/${page}.md`), 'utf8');
  const named = [...text.matchAll(/`((?:src|test|docs|scripts|native)\/[\w./-]+)`/g)].map(([, path]) => path!);
  expect(named.length).toBeGreaterThan(5);
  const missing = named.filter((path) => !path.includes('NAME') && !existsSync(join(ROOT, path)));
  expect(missing).toEqual([]);
});
