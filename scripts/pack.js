// Packs the compiled program and the packages that it needs into one file, with the code that Node's compiler makes of them: see
// bin/packed.js. `make dist` runs it with the Node that will run the program; another one only compiles again.

const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const { createRequire, isBuiltin } = require('node:module');
const { join, relative } = require('node:path');
const packed = require('../bin/packed.js');

const ROOT = join(__dirname, '..');
const START = 'dist/cli/start.js';
/** Loading these starts the program. The rest is loaded, so that the code of what runs then is kept, too. */
const PROGRAM = new Set([START, 'dist/cli/main.js']);

/** Modules by file: text, and where each `require('...')` leads. What is none of this program's and its packages' is left to Node. */
function collect(file, found = new Map()) {
  if (found.has(file)) return found;
  const text = readFileSync(join(ROOT, file), 'utf8');
  const requires = {};
  found.set(file, { text, requires });
  if (file.endsWith('.json')) return found;
  const { resolve } = createRequire(join(ROOT, file));
  for (const [, , name] of text.matchAll(/\brequire\((['"])([^'"\n]+)\1\)/g)) {
    if (isBuiltin(name)) continue;
    let target;
    try {
      target = relative(ROOT, resolve(name));
    } catch {
      continue;
    }
    if (!/\.(c?js|json)$/.test(target) || target.startsWith('..')) continue;
    requires[name] = target;
    collect(target, found);
  }
  return found;
}

/** The file's bytes. `code`: compiled code by module. */
function pack(found, code) {
  const parts = [];
  let at = 0;
  const put = (bytes) => {
    parts.push(bytes);
    at += bytes.length;
    return [at - bytes.length, at];
  };
  const modules = {};
  for (const [file, { text, requires }] of found) {
    modules[file] = { source: put(Buffer.from(text)), requires };
    if (code.has(file)) modules[file].code = put(code.get(file));
  }
  const index = Buffer.from(JSON.stringify({ stamp: packed.stampOf(), modules }));
  return { modules, body: Buffer.concat(parts), file: () => Buffer.concat([Buffer.from(`${index.length}\n`), index, ...parts]) };
}

const found = collect(START);
const scripts = new Map();
const { modules, body } = pack(found, new Map());
const load = packed.loader({ modules, bytes: body }, (file, script) => scripts.set(file, script));
for (const file of found.keys()) if (file.startsWith('dist/') && !PROGRAM.has(file)) load(file);
const code = new Map([...scripts].map(([file, script]) => [file, script.createCachedData()]));
writeFileSync(`${packed.FILE}.tmp`, pack(found, code).file());
renameSync(`${packed.FILE}.tmp`, packed.FILE);
