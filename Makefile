# What a person would type. `make setup` installs what is missing, `make build` makes the addon and the programs.
NODE ?= node
CC = gcc
# Node's headers lie beside the binary (…/bin/node, …/include/node) or where Debian puts them.
NODE_INCLUDE ?= $(firstword $(foreach d,$(shell $(NODE) -p 'require("path").resolve(process.execPath,"../../include/node")') /usr/include/node,$(if $(wildcard $(d)/node_api.h),$(d))))
CFLAGS = -std=gnu11 -O3 -g -fPIC -Wall -Wextra -Werror
CORE = $(wildcard native/core/*.c)
BINDING = $(wildcard native/binding/*.c)
HEADERS = $(wildcard native/core/*.h native/binding/*.h)

.PHONY: build addon dist setup native-test test test-long demo bench bench-guests sim lint extras

build: addon dist

# libcrypto's functions are found at load time: Node has them, in itself or as its own library.
addon: build/colo.node

build/colo.node: $(CORE) $(BINDING) $(HEADERS)
	@test -n "$(NODE_INCLUDE)" || { echo "node_api.h not found beside $$(command -v $(NODE)) nor in /usr/include/node: install Node's headers (Debian: libnode-dev; NodeSource: nodejs), or say make NODE_INCLUDE=DIR" >&2; exit 1; }
	@mkdir -p build
	$(CC) $(CFLAGS) -shared -fvisibility=hidden -Inative/core -I$(NODE_INCLUDE) -o $@.tmp $(CORE) $(BINDING)
	@mv -f $@.tmp $@

dist:
	npx --no-install tsc -p tsconfig.json
	@mkdir -p build
	$(NODE) scripts/pack.js

setup:
	scripts/setup.sh

# The C core without Node: once with sanitizers, once under valgrind. The kernel's own part needs root.
TESTS = $(wildcard native/test/*.c)
TEST_FLAGS = -std=gnu11 -g -Wall -Wextra -Werror -Inative/core -Wl,--wrap=send

build/native-test-asan: $(CORE) $(TESTS) $(HEADERS) native/test/test.h
	@mkdir -p build
	$(CC) $(TEST_FLAGS) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -o $@ $(CORE) $(TESTS) -lcrypto

build/native-test: $(CORE) $(TESTS) $(HEADERS) native/test/test.h
	@mkdir -p build
	$(CC) $(TEST_FLAGS) -O1 -o $@ $(CORE) $(TESTS) -lcrypto

native-test: build/native-test-asan build/native-test
	build/native-test-asan
	valgrind -q --error-exitcode=1 --leak-check=full --track-fds=no build/native-test

test: setup build
	scripts/test.sh

# What is too long for `make test`: more kills, seeds, runs of every property, minutes of fuzzing, real guests. About an hour; the
# sizes stand in scripts/test-long.sh, each can be set: make test-long COLO_KILLS=1000
test-long: setup build
	scripts/test-long.sh

lint:
	npx --no-install biome check --error-on-warnings src test bench demo

# The programs that are no part of the product: demonstration and benchmarks. They find the addon beside themselves.
extras: build
	npx --no-install tsc -p tsconfig.bench.json
	@ln -sfn .. build/bench/build

demo: setup extras
	node build/bench/demo/demo.js

# make bench [ONLY="start nfqueue engine e2e link chardev apps"]
bench: setup extras
	bench/nfqueue/setup.sh
	$(CC) -O3 -march=native -Wall -Wextra -Werror -o build/bench/limit bench/engine/limit.c
	COLO_ROOT=$(CURDIR) node build/bench/bench/run.js $(ONLY)

# With two real guests in QEMU. COLO_BENCH_QUICK=1 makes this and the applications short: figures that mean nothing, and are not kept.
bench-guests: setup extras
	test/guest/build-guest.sh
	COLO_ROOT=$(CURDIR) node build/bench/bench/run.js guests

# make sim SEEDS=10000 [FIRST=1]
SEEDS ?= 2000
sim: setup build
	bin/colo simulate --seeds $(SEEDS) $(if $(FIRST),--first $(FIRST))
