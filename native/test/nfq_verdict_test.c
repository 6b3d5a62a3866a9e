/* Building verdicts byte by byte, and sending them when the kernel is short of memory (send is wrapped by the linker). */
#define _GNU_SOURCE
#include "nfq.h"
#include "nlmsg.h"
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define FAKE_FD 1000000

static struct {
	unsigned failures;	/* calls that fail first */
	int error;
	size_t too_long;	/* longer sends fail with EMSGSIZE */
	unsigned calls;
	size_t bytes;
	uint8_t seen[1 << 20];
} kernel;

ssize_t __real_send(int fd, const void *buf, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags)
{
	if (fd != FAKE_FD)
		return __real_send(fd, buf, n, flags);
	kernel.calls++;
	if (kernel.failures) {
		kernel.failures--;
		errno = kernel.error;
		return -1;
	}
	if (kernel.too_long && n > kernel.too_long) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(kernel.seen + kernel.bytes, buf, n);
	kernel.bytes += n;
	return (ssize_t)n;
}

static void reset(void)
{
	memset(&kernel, 0, sizeof(kernel));
}

static void bytes(void)
{
	/* Queue 0x0102, id 0x0a0b0c0d; little-endian host words are compared as such. */
	static const uint8_t accept_mark[] = {
		0x28, 0, 0, 0, 0x01, 0x03, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* nlmsghdr */
		0, 0, 0x01, 0x02, /* nfgenmsg: res_id = queue */
		0x0c, 0, 0x02, 0, 0, 0, 0, 1, 0x0a, 0x0b, 0x0c, 0x0d, /* NFQA_VERDICT_HDR: NF_ACCEPT, id */
		0x08, 0, 0x03, 0, 0, 0, 0x12, 0x34, /* NFQA_MARK */
	};
	static const uint8_t drop[] = {
		0x20, 0, 0, 0, 0x01, 0x03, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0x01, 0x02, 0x0c, 0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 9,
	};
	static const uint8_t payload[] = {
		0x2c, 0, 0, 0, 0x01, 0x03, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0x01, 0x02, 0x0c, 0, 0x02, 0, 0, 0, 0, 1, 0, 0, 0, 10,
		0x09, 0, 0x0a, 0, 'a', 'b', 'c', 'd', 'e', 0, 0, 0, /* NFQA_PAYLOAD, padded with zeros */
	};
	uint32_t commands[] = {
		NFQ_ACCEPT | NFQ_WITH_MARK, 0x0a0b0c0d, 0x1234, 0, 0,
		NFQ_DROP, 9, 0, sizeof(accept_mark), 0,
		NFQ_ACCEPT | NFQ_WITH_PAYLOAD, 10, 0, sizeof(accept_mark) + sizeof(drop), 5,
	};
	uint8_t arena[256] __attribute__((aligned(4)));
	struct nfq q = { .queue = 0x0102 };

	memset(arena, 0xa5, sizeof(arena));
	memcpy(arena + sizeof(accept_mark) + sizeof(drop) + 36, "abcde", 5);
	EQUAL(nfq_build(&q, commands, 3, arena, sizeof(arena)), 0);
	CHECK(!memcmp(arena, accept_mark, sizeof(accept_mark)));
	CHECK(!memcmp(arena + sizeof(accept_mark), drop, sizeof(drop)));
	CHECK(!memcmp(arena + sizeof(accept_mark) + sizeof(drop), payload, sizeof(payload)));
	EQUAL(arena[sizeof(accept_mark) + sizeof(drop) + sizeof(payload)], 0xa5);
}

static void misplaced(void)
{
	uint8_t arena[128] __attribute__((aligned(4)));
	struct nfq q = { 0 };
	uint32_t gap[] = { NFQ_DROP, 1, 0, 0, 0, NFQ_DROP, 2, 0, 36, 0 };
	uint32_t beyond[] = { NFQ_DROP, 1, 0, 100, 0 };
	uint32_t far[] = { NFQ_DROP, 1, 0, 0xfffffffc, 0 };
	uint32_t odd[] = { NFQ_DROP, 1, 0, 2, 0 };
	uint32_t huge[] = { NFQ_ACCEPT | NFQ_WITH_PAYLOAD, 1, 0, 0, 0xfffffff0 };

	EQUAL(nfq_build(&q, gap, 2, arena, sizeof(arena)), -EINVAL);
	EQUAL(nfq_build(&q, beyond, 1, arena, sizeof(arena)), -EINVAL);
	EQUAL(nfq_build(&q, far, 1, arena, sizeof(arena)), -EINVAL);
	EQUAL(nfq_build(&q, odd, 1, arena, sizeof(arena)), -EINVAL);
	EQUAL(nfq_build(&q, huge, 1, arena, sizeof(arena)), -EINVAL);
	EQUAL(nfq_build(&q, gap, 0, arena, sizeof(arena)), 0);
}

/* Many verdicts with payload in an arena; how many bytes they take. */
static uint32_t fill(uint32_t *commands, uint32_t count, uint32_t payload)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t *c = commands + i * NFQ_C_WORDS;

		c[NFQ_C_ACTION] = NFQ_ACCEPT | NFQ_WITH_PAYLOAD;
		c[NFQ_C_ID] = i + 1;
		c[NFQ_C_MARK] = 0;
		c[NFQ_C_OFFSET] = at;
		c[NFQ_C_LENGTH] = payload;
		at += nfq_record_bytes(c[NFQ_C_ACTION], payload);
	}
	return at;
}

static void all_arrive(uint32_t count, uint32_t record)
{
	EQUAL(kernel.bytes, (size_t)count * record);
	for (uint32_t i = 0; i < count; i++)
		EQUAL(get_be32(kernel.seen + (size_t)i * record + 28), i + 1);
}

static void sending(void)
{
	enum { COUNT = 200, PAYLOAD = 1400 };
	uint32_t *commands = malloc(COUNT * NFQ_C_WORDS * 4), record = nfq_record_bytes(NFQ_WITH_PAYLOAD, PAYLOAD), done;
	uint32_t used = fill(commands, COUNT, PAYLOAD);
	uint8_t *arena = calloc(1, used);
	struct nfq q = { .fd = FAKE_FD };

	reset();
	EQUAL(nfq_send(&q, commands, COUNT, arena, used, &done), 0);
	EQUAL(done, COUNT);
	CHECK(kernel.calls <= 3); /* 288 KB in sends of at most 128 KB */
	all_arrive(COUNT, record);

	reset();
	kernel.failures = 9;
	kernel.error = ENOBUFS;
	EQUAL(nfq_send(&q, commands, COUNT, arena, used, &done), 0);
	all_arrive(COUNT, record);
	EQUAL(q.counters.send_retries, 9);

	reset();
	kernel.too_long = 2 * record;
	EQUAL(nfq_send(&q, commands, COUNT, arena, used, &done), 0);
	all_arrive(COUNT, record);

	/* An error that waiting cannot mend stops at once, and says how far it came. */
	reset();
	kernel.failures = 1;
	kernel.error = EBADF;
	EQUAL(nfq_send(&q, commands, COUNT, arena, used, &done), -EBADF);
	EQUAL(done, 0);
	EQUAL(kernel.calls, 1);

	/* Interruptions are not counted as failures. */
	reset();
	kernel.failures = 5;
	kernel.error = EINTR;
	q.counters.send_retries = 0;
	EQUAL(nfq_send(&q, commands, COUNT, arena, used, &done), 0);
	EQUAL(q.counters.send_retries, 0);
	all_arrive(COUNT, record);
	free(arena);
	free(commands);
}

void test_nfq_verdict(void)
{
	bytes();
	misplaced();
	sending();
}
