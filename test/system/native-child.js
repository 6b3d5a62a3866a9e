// Loads TypeScript in a plain Node process and runs one of the scenes of native-scenes.ts: native-child.js SCENE
// ARGS... For tests of what a process does at its end, or as another user, which cannot be seen from within jest.
const { readFileSync } = require('node:fs');
const { transformSync } = require('@swc/core');

require.extensions['.ts'] = (module, filename) => {
  const { code } = transformSync(readFileSync(filename, 'utf8'), {
    filename,
    swcrc: false,
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type: 'commonjs' },
  });
  module._compile(code, filename);
};

const { SCENES } = require('./native-scenes.ts');
const [scene, ...args] = process.argv.slice(2);
SCENES[scene](...args);
