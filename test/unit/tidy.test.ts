// What a formatter and a linter do not see: lines of comments and files that are too long, modules that import each
// other in circles, exported names that nobody uses, words of records that are written and never read.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const ROOT = join(__dirname, '../..');
const WIDTH = 120;
const MAX_LINES = 450;

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? sources(join(dir, e.name)) : /\.[tj]s$/.test(e.name) ? [join(dir, e.name)] : [],
  );
}

const all = ['src', 'test', 'bench', 'demo'].flatMap((dir) =>
  sources(join(ROOT, dir)).map((path) => ({
    path,
    name: relative(ROOT, path),
    src: dir === 'src',
    text: readFileSync(path, 'utf8'),
  })),
);
const product = all.filter(({ src }) => src);

test('comments fit the line, but for tables and drawings', () => {
  const wrong: string[] = [];
  for (const { name, text } of all) {
    for (const [i, line] of text.split('\n').entries()) {
      const comment = /^\s*(?:\/\/|\/\*\*|\*)(.*)$/.exec(line)?.[1];
      if (comment === undefined || line.length <= WIDTH) continue;
      if (!/\S {2,}\S|[|<>]|biome-ignore/.test(comment)) wrong.push(`${name}:${i + 1}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('no file of the product is longer than one subject needs', () => {
  const long = product.flatMap(({ name, text }) => {
    const lines = text.split('\n').length - 1;
    return lines > MAX_LINES ? [`${name}: ${lines}`] : [];
  });
  expect(long).toEqual([]);
});

test('no modules import each other in circles', () => {
  const imports = new Map<string, string[]>();
  for (const { path, text } of product) {
    const found = text.matchAll(/(?:^|\n)(?:import|export)\s+(?!type\b)[^;]*?from\s+'(\.[^']+)'/g);
    imports.set(
      path,
      [...found].map(([, to]) => `${join(dirname(path), to!)}.ts`),
    );
  }
  const circles = components(imports).map((files) => files.map((path) => relative(join(ROOT, 'src'), path)).sort());
  expect([...imports.values()].flat().length).toBeGreaterThan(500);
  expect(circles.sort()).toEqual([]);
});

/** Tarjan's: sets of more than one that reach each other. */
function components(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (one: string): void => {
    index.set(one, index.size);
    low.set(one, index.get(one)!);
    stack.push(one);
    for (const next of edges.get(one) ?? []) {
      if (!index.has(next)) {
        visit(next);
        low.set(one, Math.min(low.get(one)!, low.get(next)!));
      } else if (stack.includes(next)) low.set(one, Math.min(low.get(one)!, index.get(next)!));
    }
    if (low.get(one) !== index.get(one)) return;
    const set = stack.splice(stack.indexOf(one));
    if (set.length > 1) found.push(set);
  };
  for (const one of edges.keys()) if (!index.has(one)) visit(one);
  return found;
}

/** Tables of the kernel's own names stand whole. */
const TABLES = /^src\/(netlink\/|native\/layout|io\/pcap\/link)/;

test('every exported name is used somewhere', () => {
  const times = new Map<string, number>();
  for (const { text } of all) {
    for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) times.set(word, (times.get(word) ?? 0) + 1);
  }
  const unused: string[] = [];
  for (const { name, text } of product) {
    if (TABLES.test(name)) continue;
    const exported = text.matchAll(
      /^export (?:abstract )?(?:const|let|function\*?|async function|class|interface|type|enum) (\w+)/gm,
    );
    for (const [, word] of exported) if (times.get(word!) === 1) unused.push(`${name}: ${word}`);
  }
  expect(unused).toEqual([]);
});

test('every word of a flow is read as well as written', () => {
  const unread: string[] = [];
  for (const name of ['src/compare/flow-words.ts', 'src/seccolo/flow-words.ts']) {
    const { text } = product.find((one) => one.name === name)!;
    for (const [, word] of text.matchAll(/^export const ([XS]_\w+) =/gm)) {
      const uses = product.flatMap((one) =>
        one.name === name
          ? []
          : [...one.text.matchAll(new RegExp(`\\b${word!}\\b(.{0,30})`, 'g'))].map(([, after]) => after!),
      );
      // In brackets and followed by a plain assignment it is written; anything else reads it, or hands its place on.
      if (!uses.some((after) => !/^(?: \+ \d)?\]!? = /.test(after))) unread.push(`${name}: ${word}`);
    }
  }
  expect(unread).toEqual([]);
});
