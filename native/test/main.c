/* Runs all tests of the C core; the last line is countable, the exit status is 0 only when nothing failed. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

unsigned checks_passed, checks_failed;
static unsigned skipped;

void check(int ok, const char *what, const char *file, int line)
{
	if (ok) {
		checks_passed++;
		return;
	}
	checks_failed++;
	printf("FAILED %s:%d: %s\n", file, line, what);
}

void check_equal(long long a, long long b, const char *what, const char *file, int line)
{
	check(a == b, what, file, line);
	if (a != b)
		printf("       %lld and %lld\n", a, b);
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void random_bytes(uint64_t *state, uint8_t *out, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)random_next(state);
}

/* A network of this process alone, which is gone with it. */
int in_own_network(void)
{
	static int entered;
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (entered)
		return entered > 0;
	entered = unshare(CLONE_NEWNET) ? -1 : 1;
	if (entered < 0) {
		printf("skipped: what needs a network namespace: %s\n", strerror(errno));
		skipped++;
		return 0;
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(ioctl(fd, SIOCSIFFLAGS, &lo) == 0);
	close(fd);
	return 1;
}

int main(int argc, char **argv)
{
	const char *require = getenv("COLO_REQUIRE");

	if (argc > 1)
		return capabilities_child(argc, argv);
	setvbuf(stdout, 0, _IOLBF, 0);
	test_checksum();
	test_nfq_parse();
	test_nfq_pairs();
	test_nfq_verdict();
	test_nfq_waiting();
	test_sockets();
	test_tails();
	test_digest();
	test_stream();
	test_tap();
	test_frameport();
	test_mapfile();
	test_capabilities(argv[0]);
	test_nfq_kernel();
	if (skipped && require && strstr(require, "netns"))
		check(0, "COLO_REQUIRE forbids to skip", __FILE__, __LINE__);
	printf("native: %u checks passed, %u failed, %u skipped\n", checks_passed, checks_failed, skipped);
	return checks_failed != 0;
}
