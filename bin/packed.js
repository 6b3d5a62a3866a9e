// Loads the program out of one file (scripts/pack.js makes it): every module's source, where its requires lead, and its compiled code.
// From their own files the modules of a daemon take two and a half times as long: 370 are looked for, read and compiled.
//
//   "<bytes of the index>\n" index bytes
//   index: { stamp, modules: { file: { source: [from, to], code: [from, to], requires: { as written: file } } } }; files below the root

const { readFileSync, statSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

const ROOT = join(__dirname, '..');
exports.FILE = join(ROOT, 'build/colo.pack');

/** Changes whenever the compiler has written its output anew. */
exports.stampOf = (root = ROOT) => {
  const { mtimeMs, size } = statSync(join(root, 'dist/cli/start.js'));
  return `${mtimeMs} ${size}`;
};

/** What is packed, or undefined: there is nothing, or it was made of something else than what lies in dist/ now. */
exports.read = (file = exports.FILE) => {
  try {
    const bytes = readFileSync(file);
    const head = bytes.indexOf('\n') + 1;
    const end = head + Number(bytes.latin1Slice(0, head));
    const { stamp, modules } = JSON.parse(bytes.utf8Slice(head, end));
    return stamp === exports.stampOf() ? { modules, bytes: bytes.subarray(end) } : undefined;
  } catch {
    return undefined;
  }
};

/** Makes `load(file)`. `compiled(file, script)` is told of each module. */
exports.loader = ({ modules, bytes }, compiled = () => {}) => {
  const loaded = new Map();
  return function load(file) {
    const before = loaded.get(file);
    if (before !== undefined) return before.exports;
    const { source, code, requires } = modules[file];
    const filename = join(ROOT, file);
    const module = { exports: {}, id: filename, filename, loaded: false };
    loaded.set(file, module);
    if (file.endsWith('.json')) {
      module.exports = JSON.parse(bytes.utf8Slice(...source));
      return module.exports;
    }
    // Code of another version of Node is not taken; then the source is compiled.
    const cachedData = code === undefined ? undefined : bytes.subarray(...code);
    const script = new Script(`(function (exports, require, module, __filename, __dirname) { ${bytes.utf8Slice(...source)}\n})`, {
      filename,
      cachedData,
    });
    compiled(file, script);
    let outside;
    const require = (name) => {
      const inside = requires[name];
      if (inside !== undefined) return load(inside);
      outside ??= createRequire(filename);
      return outside(name);
    };
    script.runInThisContext().call(module.exports, module.exports, require, module, filename, dirname(filename));
    module.loaded = true;
    return module.exports;
  };
};
