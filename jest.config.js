// One runner for everything. `unit` is pure and parallel; `system` needs root and the network and runs in band.
const swc = ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } }];
const common = { testEnvironment: 'node', transform: { '^.+\\.ts$': swc }, rootDir: __dirname };
module.exports = {
  // No test asserts a time; this only ends what hangs, on a machine that may be slow.
  testTimeout: Number(process.env.COLO_TEST_TIMEOUT_MS ?? 120_000),
  projects: [
    { ...common, displayName: 'unit', testMatch: ['<rootDir>/test/unit/**/*.test.ts'] },
    { ...common, displayName: 'sim', testMatch: ['<rootDir>/test/sim/**/*.test.ts'] },
    { ...common, displayName: 'system', testMatch: ['<rootDir>/test/system/**/*.test.ts'] },
    { ...common, displayName: 'netns', testMatch: ['<rootDir>/test/netns/**/*.test.ts'] },
    { ...common, displayName: 'interop', testMatch: ['<rootDir>/test/interop/**/*.test.ts'] },
  ],
};
