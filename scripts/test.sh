#!/usr/bin/env bash
# All tests: pure ones in parallel with coverage, then those that need the kernel, one after the other.
# Leaves the counts in build/test/*.json; the last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
mkdir -p build/test
rm -f build/test/*.json
status=0

run() {
	local name=$1
	shift
	npx --no-install jest --json --outputFile "build/test/$name.json" "$@" || status=1
}

npx --no-install tsc --noEmit -p tsconfig.test.json || status=1
npx --no-install biome check --error-on-warnings src test bench demo || status=1
run pure --selectProjects unit sim --maxWorkers=2 --coverage --coverageReporters=text-summary --coverageDirectory=build/coverage
# A test that failed may leave a socket or a child behind, and a run has to end.
run kernel --selectProjects system netns --runInBand --forceExit
# Against an installed QEMU.
run interop --selectProjects interop --runInBand --forceExit

node scripts/count-tests.js "$status" build/test/pure.json build/test/kernel.json build/test/interop.json
