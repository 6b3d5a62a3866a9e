// Prints "N passed, N failed" for jest's result files. A file that is missing, a suite that did not start and a failed
// step before the tests each count as a failure.
const { readFileSync } = require('node:fs');

let [earlier, ...files] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const file of files) {
  try {
    const result = JSON.parse(readFileSync(file, 'utf8'));
    passed += result.numPassedTests;
    failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
  } catch (error) {
    console.error(`${file}: ${error.message}`);
    failed++;
  }
}
if (earlier !== '0' && failed === 0) failed = 1;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
