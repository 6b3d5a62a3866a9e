/*
 * Two copies of one server that are no copies of one machine's memory: preloaded, this takes away what they would draw apart. With
 * COLO_SAME=clock the wall clock stands still (nginx writes it into each answer); OpenSSL's random bytes are always the same
 * (PostgreSQL tells a client a random key). For tests on closed networks only.
 *
 *   cc -O2 -shared -fPIC -o same-answers.so same-answers.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define STANDS_AT 1700000000

static int (*real_clock)(clockid_t, struct timespec *);
static int stands;

__attribute__((constructor)) static void start(void)
{
	const char *what = getenv("COLO_SAME");

	real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	stands = what && !strcmp(what, "clock");
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	if (stands && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		now->tv_sec = STANDS_AT;
		now->tv_nsec = 0;
		return 0;
	}
	return real_clock(id, now);
}

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec at;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &at);
	now->tv_sec = at.tv_sec;
	now->tv_usec = at.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	if (out)
		*out = at.tv_sec;
	return at.tv_sec;
}

int RAND_bytes(unsigned char *buf, int num)
{
	memset(buf, 0x5a, (size_t)num);
	return 1;
}
