#!/bin/sh
# Builds what the NFQUEUE benchmark runs: the C programs, and npm's nfqueue. The latter is compiled here in one line, because
# node-gyp would look for headers on the network. Done in a moment when everything is there.
set -eu
cd "$(dirname "$0")"
out=../../build/bench
mkdir -p "$out"

newer() { # newer TARGET SOURCE...: true when TARGET is there and no source is younger
	target=$1
	shift
	[ -e "$target" ] || return 1
	for source; do [ ! "$source" -nt "$target" ] || return 1; done
}

for name in generator receiver consumer; do
	libs=
	[ $name != consumer ] || libs='-lnetfilter_queue -lnfnetlink -lmnl'
	# shellcheck disable=SC2086
	newer "$out/$name" $name.c rewrite.h || gcc -O3 -Wall -Wextra -Werror -o "$out/$name" $name.c $libs
done

addon=peer/node_modules/nfqueue/build/Release/nfqueue.node
if ! newer $addon peer/package-lock.json; then
	include=$(node -p 'require("path").resolve(process.execPath, "../../include/node")')
	[ -e "$include/node.h" ] || include=/usr/include/node
	(cd peer && npm ci --ignore-scripts --no-audit --no-fund --silent)
	mkdir -p "$(dirname $addon)"
	g++ -O3 -fPIC -shared -std=gnu++17 -fpermissive -fno-rtti -w -DNODE_GYP_MODULE_NAME=nfqueue -DBUILDING_NODE_EXTENSION \
		-I"$include" -Ipeer/node_modules/nan -o $addon peer/node_modules/nfqueue/src/node_nfqueue.cpp -lnetfilter_queue
fi
