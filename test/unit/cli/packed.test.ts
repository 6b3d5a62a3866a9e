// The program's pack: modules out of one file behave as out of their own, and a pack that is not of this program is not
// used.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Modules {
  [file: string]: { source: [number, number]; code?: [number, number]; requires: Record<string, string> };
}
interface Packed {
  read(file: string): unknown;
  loader(
    pack: { modules: Modules; bytes: Buffer },
    compiled?: (file: string, script: import('node:vm').Script) => void,
  ): (file: string) => Record<string, unknown>;
}
const packed = require('../../../bin/packed.js') as Packed;

function pack(
  texts: Record<string, string>,
  requires: Record<string, Record<string, string>>,
  code: Record<string, Buffer> = {},
) {
  let bytes = Buffer.alloc(0);
  const put = (more: Buffer): [number, number] => {
    bytes = Buffer.concat([bytes, more]);
    return [bytes.length - more.length, bytes.length];
  };
  const modules: Modules = {};
  for (const [file, text] of Object.entries(texts)) {
    modules[file] = { source: put(Buffer.from(text)), requires: requires[file] ?? {} };
    if (code[file] !== undefined) modules[file].code = put(code[file]);
  }
  return { modules, bytes };
}

const TEXTS = {
  'dist/a.js':
    "exports.early = 1; const b = require('./b'); exports.b = b.sees; exports.file = __filename; exports.own = require('./b') === b;",
  // In a circle it sees what there is already.
  'dist/b.js':
    "const a = require('./a'); exports.sees = [a.early, a.b, require('../x.json').word, require('node:path').basename(__dirname)];",
  'x.json': '{"word": "größer"}',
};
const REQUIRES = { 'dist/a.js': { './b': 'dist/b.js' }, 'dist/b.js': { './a': 'dist/a.js', '../x.json': 'x.json' } };

test('modules see each other, circles, data and what is not packed; each is run once', () => {
  const a = packed.loader(pack(TEXTS, REQUIRES))('dist/a.js');
  expect(a).toEqual({
    early: 1,
    b: [1, undefined, 'größer', 'dist'],
    file: join(__dirname, '../../../dist/a.js'),
    own: true,
  });
});

test('an error names the module’s own file and line', () => {
  const load = packed.loader(pack({ 'dist/c.js': '\n\nexports.f = () => { throw new Error("here"); };' }, {}));
  const { f } = load('dist/c.js') as { f(): void };
  expect(f).toThrow('here');
  try {
    f();
  } catch (error) {
    expect((error as Error).stack).toContain('/dist/c.js:3:');
  }
});

test('compiled code is taken where it is of this version, and compiled again where not', () => {
  const scripts: Record<string, import('node:vm').Script> = {};
  packed.loader(pack(TEXTS, REQUIRES), (file, script) => {
    scripts[file] = script;
  })('dist/a.js');
  const code = Object.fromEntries(Object.entries(scripts).map(([file, script]) => [file, script.createCachedData()]));
  const other = Buffer.from('of another version');
  for (const [given, rejected] of [
    [code, false],
    [{ 'dist/a.js': other, 'dist/b.js': other }, true],
  ] as const) {
    const told: unknown[] = [];
    // The process itself remembers what it has compiled.
    const texts = rejected
      ? { ...TEXTS, 'dist/a.js': `${TEXTS['dist/a.js']} `, 'dist/b.js': `${TEXTS['dist/b.js']} ` }
      : TEXTS;
    const load = packed.loader(pack(texts, REQUIRES, given), (_file, script) => told.push(script.cachedDataRejected));
    expect(load('dist/a.js').own).toBe(true);
    expect(told).toEqual([rejected, rejected]);
  }
});

test('a pack of something else is none', () => {
  const dir = mkdtempSync(join(tmpdir(), 'colo-pack-'));
  try {
    const file = join(dir, 'pack');
    expect(packed.read(file)).toBeUndefined();
    const index = JSON.stringify({ stamp: 'of old', modules: {} });
    for (const text of ['', 'x', '5\n{"st', `${index.length}\n${index}`]) {
      writeFileSync(file, text);
      expect(packed.read(file)).toBeUndefined();
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
