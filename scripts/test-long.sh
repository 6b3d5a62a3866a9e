#!/usr/bin/env bash
# The same tests as scripts/test.sh where more of the same finds more, with larger numbers: kills of the primary node, simulated
# seeds, runs of each property, flows beside QEMU's comparison, seconds of fuzzing. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
export COLO_KILLS=${COLO_KILLS:-300} COLO_SEEDS=${COLO_SEEDS:-20000} COLO_RUNS=${COLO_RUNS:-5000}
export COLO_FLOWS=${COLO_FLOWS:-50000} COLO_FUZZ_S=${COLO_FUZZ_S:-600}
# Nothing may be skipped, and no test is ended for the time that these sizes take.
export COLO_REQUIRE=${COLO_REQUIRE-root,netns,nfqueue,addon,gcc,qemu,guest,nodes} COLO_TEST_TIMEOUT_MS=3600000
mkdir -p build/test
# The newer releases of Node. Not among the other packages: each is called `node`, and npx would start it in place of the host's.
npm ci --prefix test/nodes --ignore-scripts --no-audit --no-fund >/dev/null || exit 1
rm -f build/test/long-*.json
status=0

run() {
	local name=$1
	shift
	npx --no-install jest --json --outputFile "build/test/long-$name.json" "$@" || status=1
}

# On a newer Node, with all that the tests start; unit tests, the simulation as `make test` has it, and a pair of hosts with failovers.
run_on() {
	local name=$1
	(
		unset COLO_SEEDS COLO_RUNS COLO_FUZZ_S
		PATH=$PWD/test/nodes/node_modules/$name/bin:$PATH
		node node_modules/jest/bin/jest.js --json --outputFile "build/test/long-$name.json" --maxWorkers=2 --selectProjects unit sim &&
			COLO_KILLS=3 node node_modules/jest/bin/jest.js --json --outputFile "build/test/long-$name-netns.json" --runInBand --forceExit \
				--selectProjects netns --testPathPatterns netns/failover netns/control
	) || status=1
}

# Suites that pass with either link between the hosts.
EITHER_LINK='netns/datagrams netns/divergence netns/failover netns/many netns/neighbours netns/servers netns/transfer'

run pure --maxWorkers=2 --selectProjects unit sim --testPathPatterns property lockstep fragments packet-log sim/
run kernel --runInBand --selectProjects netns --testPathPatterns netns/lossy
COLO_TEST_LINK=ethernet run ethernet --runInBand --selectProjects netns --testPathPatterns $EITHER_LINK
COLO_TEST_LINK=stream run stream --runInBand --selectProjects netns --testPathPatterns $EITHER_LINK
run fuzz --runInBand --selectProjects system unit --testPathPatterns qemu-fuzz link/fuzz
run interop --runInBand --selectProjects interop
run nodes --runInBand --selectProjects system --testPathPatterns system/nodes
run_on node22
run_on node24

node scripts/count-tests.js "$status" build/test/long-{pure,kernel,ethernet,stream,fuzz,interop,nodes,node22,node22-netns,node24,node24-netns}.json
