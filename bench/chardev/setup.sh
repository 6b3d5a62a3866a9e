#!/bin/sh
# Builds the chardev benchmark's C programs. Done in a moment when everything is there.
set -eu
cd "$(dirname "$0")"
out=../../build/bench
mkdir -p "$out"

build() { # build NAME SOURCE...: unless no source is younger
	name=$1
	shift
	stale=
	for source in "$@" frames.h; do [ "$out/$name" -nt "$source" ] || stale=yes; done
	[ -z "$stale" ] || gcc -std=gnu11 -O3 -g -Wall -Wextra -Werror -o "$out/$name" "$@"
}

build load load.c frames.c
build sink sink.c
