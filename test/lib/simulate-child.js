// Runs seeds in a plain Node process and prints the result as JSON: inside a test runner's sandbox every look-up of a
// global is slow, and a simulation makes a great many. The sources are taken as they are, not as they were last built.
//   node simulate-child.js '{"first":1,"count":500,"maxFailures":3,"engines":"real","mistake":null}'

const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const swc = require('@swc/core');

const OPTIONS = {
  jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
  module: { type: 'commonjs' },
  sourceMaps: false,
  swcrc: false,
};

require.extensions['.ts'] = (module, path) => {
  module._compile(swc.transformSync(readFileSync(path, 'utf8'), { ...OPTIONS, filename: path }).code, path);
};

const sim = join(__dirname, '../../src/sim');
const frames = (name) => require(join(sim, 'frames', name));
const { REAL } = require(join(sim, 'makers.ts'));
const { MUTATIONS } = require(join(sim, 'mutations.ts'));
const { explain, runSeeds } = require(join(sim, 'run.ts'));
const { STANDIN } = require(join(sim, 'standin.ts'));

const ask = JSON.parse(process.argv[2]);
let makers = ask.engines === 'standin' ? STANDIN : REAL;
if (ask.mistake && ask.world !== 'frames') makers = MUTATIONS.find((one) => one.name === ask.mistake).make(makers);

function behindQueues() {
  const result = runSeeds(ask.first, ask.count, makers, ask.maxFailures);
  return { ...result, stories: ask.tell ? result.failures.map((failure) => explain(failure, makers)) : [] };
}

async function behindSockets() {
  const { RIGHT, explainFrames, runFramesSeeds } = frames('run.ts');
  const { FRAMES_MUTATIONS } = frames('mutations.ts');
  const make = ask.mistake ? FRAMES_MUTATIONS.find((one) => one.name === ask.mistake).make(RIGHT) : RIGHT;
  const result = await runFramesSeeds(ask.first, ask.count, make, ask.maxFailures);
  const stories = [];
  for (const failure of ask.tell ? result.failures : []) stories.push(await explainFrames(failure, make));
  return { ...result, stories };
}

(async () => {
  const result = ask.world === 'frames' ? await behindSockets() : behindQueues();
  process.stdout.write(JSON.stringify(result));
})();
