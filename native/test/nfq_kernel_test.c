/* The whole way through the kernel, in a network of this process's own: loopback datagrams through a queue. */
#define _GNU_SOURCE
#include "netns.h"
#include "nfq.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE 5
#define BATCH 16

static struct sockaddr_in there = { .sin_family = AF_INET };

static int udp_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(there);

	there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	there.sin_port = 0;
	bind(fd, (struct sockaddr *)&there, sizeof(there));
	getsockname(fd, (struct sockaddr *)&there, &len);
	return fd;
}

static void say(int fd, const char *text)
{
	EQUAL(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&there, sizeof(there)), strlen(text));
}

static void hears(int fd, const char *text)
{
	char buf[64] = { 0 };

	recv(fd, buf, sizeof(buf) - 1, 0);
	CHECK(!strcmp(buf, text));
	if (strcmp(buf, text))
		printf("       '%s' and not '%s'\n", buf, text);
}

static uint32_t verdict(uint32_t *c, uint32_t action, uint32_t id, uint32_t offset, uint32_t length)
{
	c[NFQ_C_ACTION] = action;
	c[NFQ_C_ID] = id;
	c[NFQ_C_MARK] = 0;
	c[NFQ_C_OFFSET] = offset;
	c[NFQ_C_LENGTH] = length;
	return offset + nfq_record_bytes(action, length);
}

/* Three packets: the last is let go first, the first is rewritten, the second dropped, all in one send. */
static void out_of_order(struct nfq *q, struct nfq_ring *ring, int fd)
{
	uint32_t commands[3 * NFQ_C_WORDS], done, at, *d = ring->table;
	uint8_t arena[512] __attribute__((aligned(4))), *p;
	int more;

	say(fd, "first");
	say(fd, "second");
	say(fd, "third");
	EQUAL(nfq_receive(q, ring, &more), 3);
	EQUAL(more, 0);
	EQUAL(nfq_receive(q, ring, &more), -EAGAIN);
	p = ring->arena + d[NFQ_D_OFFSET];
	EQUAL(d[NFQ_D_LENGTH], 33);
	CHECK(!memcmp(p + 28, "first", 5));
	/* Loopback leaves the checksum to hardware that does not exist. */
	EQUAL(d[NFQ_D_SKB_INFO] & NFQA_SKB_CSUMNOTREADY, NFQA_SKB_CSUMNOTREADY);
	at = verdict(commands, NFQ_ACCEPT, d[2 * NFQ_D_WORDS + NFQ_D_ID], 0, 0);
	memcpy(arena + at + NFQ_RECORD_HEAD + NFQ_RECORD_PAYLOAD, p, 33);
	memcpy(arena + at + NFQ_RECORD_HEAD + NFQ_RECORD_PAYLOAD + 28, "FIRST", 5);
	at = verdict(commands + NFQ_C_WORDS, NFQ_ACCEPT | NFQ_WITH_PAYLOAD | NFQ_WITH_CHECKSUM, d[NFQ_D_ID], at, 33);
	verdict(commands + 2 * NFQ_C_WORDS, NFQ_DROP, d[NFQ_D_WORDS + NFQ_D_ID], at, 0);
	EQUAL(nfq_send(q, commands, 3, arena, sizeof(arena), &done), 0);
	hears(fd, "third");
	hears(fd, "FIRST");
	hears(fd, "");
	/* A second verdict for the same packet is refused by the kernel, and counted. */
	EQUAL(nfq_send(q, commands, 1, arena, sizeof(arena), &done), 0);
	EQUAL(nfq_receive(q, ring, &more), 0);
	EQUAL(q->counters.verdict_errors, 1);
	EQUAL(q->last_error, ENOENT);
}

/* Several settled by one message, and none that is held. */
static void run_of_verdicts(struct nfq *q, struct nfq_ring *ring, int fd)
{
	uint32_t commands[3 * NFQ_C_WORDS], done, at = 0, held, *d = ring->table;
	uint8_t arena[128] __attribute__((aligned(4)));
	uint64_t errors = q->counters.verdict_errors, runs = q->counters.runs;
	int more;

	say(fd, "held");
	say(fd, "a");
	say(fd, "b");
	EQUAL(nfq_receive(q, ring, &more), 3);
	held = d[NFQ_D_ID];
	for (uint32_t i = 0; i < 2; i++)
		at = verdict(commands + i * NFQ_C_WORDS, NFQ_ACCEPT, held + 1 + i, at, 0);
	EQUAL(nfq_send(q, commands, 2, arena, sizeof(arena), &done), 0);
	hears(fd, "a");
	hears(fd, "b");
	hears(fd, "");
	EQUAL(q->counters.runs, runs);
	say(fd, "c");
	say(fd, "d");
	EQUAL(nfq_receive(q, ring, &more), 2);
	at = verdict(commands, NFQ_ACCEPT, held, 0, 0);
	at = verdict(commands + NFQ_C_WORDS, NFQ_ACCEPT, held + 3, at, 0);
	verdict(commands + 2 * NFQ_C_WORDS, NFQ_ACCEPT, held + 4, at, 0);
	EQUAL(nfq_send(q, commands, 3, arena, sizeof(arena), &done), 0);
	hears(fd, "held");
	hears(fd, "c");
	hears(fd, "d");
	EQUAL(q->counters.runs, runs + 1);
	EQUAL(nfq_receive(q, ring, &more), -EAGAIN);
	EQUAL(q->counters.verdict_errors, errors);
}

static void statistics(struct nfq *q, struct nfq_ring *ring, int fd)
{
	struct nfq_kernel_stats s;
	int more;

	for (int i = 0; i < 10; i++)
		say(fd, "x");
	EQUAL(nfq_kernel_stats(q, &s), 0);
	EQUAL(s.queued, 8); /* the queue's length */
	EQUAL(s.dropped, 2);
	EQUAL(s.copy_mode, NFQNL_COPY_PACKET);
	EQUAL(nfq_receive(q, ring, &more), 8);
}

static void opening(void)
{
	struct nfq_config config = { .queue = QUEUE, .max_length = 8, .copy_range = 100, .receive_buffer = 1 << 20 };
	struct nfq_settings got;
	struct nfq a, b;

	config.flags = NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_CONNTRACK;
	EQUAL(nfq_open(&a, &config, &got), 0);
	EQUAL(got.flags & ~(unsigned)NFQA_CFG_F_CONNTRACK, NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN);
	EQUAL(got.copy_range, 100);
	EQUAL(got.receive_buffer, 2 << 20);
	EQUAL(nfq_open(&b, &config, &got), -EBUSY);
	EQUAL(b.fd, -1);
	nfq_close(&a);
	nfq_close(&a);
	EQUAL(nfq_open(&b, &config, &got), 0);
	nfq_close(&b);
	config.netns = "no-such-namespace";
	EQUAL(nfq_open(&b, &config, &got), -ENOENT);
	config.netns = "../netns/x";
	EQUAL(nfq_open(&b, &config, &got), -EINVAL);
}

void test_nfq_kernel(void)
{
	struct nfq_config config = { .queue = QUEUE, .max_length = 8, .copy_range = NFQ_MAX_COPY, .receive_buffer = 1 << 20 };
	uint32_t slot = nfq_slot_bytes(NFQ_MAX_COPY), *table;
	struct nfq_settings got;
	struct nfq_ring ring;
	struct nfq q;
	uint8_t *arena;
	int fd;

	if (!in_own_network())
		return;
	opening();
	if (system("iptables -w -t mangle -A OUTPUT -p udp -j NFQUEUE --queue-num 5")) {
		CHECK(!"iptables can make an NFQUEUE rule");
		return;
	}
	arena = malloc((size_t)slot * BATCH);
	table = malloc(BATCH * NFQ_D_WORDS * sizeof(*table));
	EQUAL(nfq_ring_init(&ring, arena, table, BATCH, slot), 0);
	/* Without this flag the kernel completes checksums before it asks. */
	config.flags = NFQA_CFG_F_GSO;
	EQUAL(nfq_open(&q, &config, &got), 0);
	fd = udp_socket();
	out_of_order(&q, &ring, fd);
	run_of_verdicts(&q, &ring, fd);
	statistics(&q, &ring, fd);
	nfq_close(&q);
	/* What was held is dropped, never let go. */
	hears(fd, "");
	close(fd);
	nfq_ring_free(&ring);
	free(table);
	free(arena);
}
