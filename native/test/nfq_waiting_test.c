/* Verdicts of several packets in one message: a model of the kernel's list says what each packet got. */
#include "nfq.h"
#include "nlmsg.h"
#include "test.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <string.h>

enum { PACKETS = 4096, MAX_COMMANDS = 64, ARENA = MAX_COMMANDS * 64 };
enum state { NOT_YET, LISTED, ACCEPTED, DROPPED, REWRITTEN };

/* Packets by their number; the id is first_id more, so that ids wrap. */
static struct {
	uint32_t first_id;
	uint32_t came;
	uint8_t got[PACKETS];
	unsigned refused;
	unsigned messages;
} list;

static void settle(uint32_t n, uint32_t verdict, int payload)
{
	list.got[n] = payload ? REWRITTEN : verdict == NF_ACCEPT ? ACCEPTED : DROPPED;
}

/* What the kernel does with a send (netlink_rcv_skb, nfqnl_recv_verdict, nfqnl_recv_verdict_batch). */
static void kernel_takes(const uint8_t *p, uint32_t bytes)
{
	while (bytes >= NLMSG_HDRLEN) {
		struct nlmsghdr nlh;
		uint32_t number, verdict, settled = 0;

		memcpy(&nlh, p, sizeof(nlh));
		CHECK(nlh.nlmsg_len >= NLMSG_HDRLEN && nlh.nlmsg_len <= bytes);
		if (nlh.nlmsg_type != NLMSG_NOOP) {
			verdict = get_be32(p + 24);
			number = get_be32(p + 28) - list.first_id;
			list.messages++;
			if (nlh.nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH)) {
				for (uint32_t n = 0; n < list.came && n <= number; n++)
					if (list.got[n] == LISTED) {
						settle(n, verdict, 0);
						settled++;
					}
			} else if (list.got[number] == LISTED) {
				settle(number, verdict, nlh.nlmsg_len > NFQ_RECORD_HEAD + NFQ_RECORD_MARK);
				settled++;
			}
			list.refused += settled == 0;
		}
		p += nl_align(nlh.nlmsg_len);
		bytes -= nl_align(nlh.nlmsg_len);
	}
	EQUAL(bytes, 0);
}

/* Packets come, with ids left out where the socket was full, and get their verdicts in any order, some late. */
static void any_order(uint64_t seed)
{
	uint8_t wanted[PACKETS] = { 0 }, arena[ARENA] __attribute__((aligned(4))) = { 0 };
	uint32_t waiting[PACKETS], count = 0, commands[MAX_COMMANDS * NFQ_C_WORDS];
	struct nfq q = { .queue = 1 };
	int wrong = 0;

	memset(&list, 0, sizeof(list));
	list.first_id = (uint32_t)random_next(&seed);
	while (list.came < PACKETS || count) {
		uint32_t come = (uint32_t)(random_next(&seed) % 24), go, at = 0, n = 0;
		uint32_t orderly = (uint32_t)(random_next(&seed) % 4);

		for (; come && list.came < PACKETS; come--, list.came++) {
			if (random_next(&seed) % 50 == 0)
				continue;
			list.got[list.came] = LISTED;
			nfq_waiting_came(&q.waiting, list.first_id + list.came);
			waiting[count++] = list.came;
		}
		go = (uint32_t)(random_next(&seed) % (count + 1));
		for (; n < go && n < MAX_COMMANDS; n++) {
			/* The oldest first mostly, or any. */
			uint32_t pick = orderly ? (random_next(&seed) % 20 == 0 && count > 1) : (uint32_t)(random_next(&seed) % count);
			uint32_t kind = (uint32_t)(random_next(&seed) % 40), *c = commands + n * NFQ_C_WORDS;
			uint32_t number = waiting[pick];

			memmove(waiting + pick, waiting + pick + 1, (--count - pick) * sizeof(*waiting));
			c[NFQ_C_ACTION] = kind < 30 ? NFQ_ACCEPT : kind < 36 ? NFQ_DROP :
					  kind < 38 ? NFQ_ACCEPT | NFQ_WITH_PAYLOAD : NFQ_ACCEPT | NFQ_WITH_MARK;
			wanted[number] = kind < 30 || kind >= 38 ? ACCEPTED : kind < 36 ? DROPPED : REWRITTEN;
			c[NFQ_C_ID] = list.first_id + number;
			c[NFQ_C_MARK] = 0;
			c[NFQ_C_OFFSET] = at;
			c[NFQ_C_LENGTH] = kind == 36 || kind == 37 ? 12 : 0;
			at += nfq_record_bytes(c[NFQ_C_ACTION], c[NFQ_C_LENGTH]);
		}
		EQUAL(nfq_build(&q, commands, n, arena, sizeof(arena)), 0);
		kernel_takes(arena, at);
		for (uint32_t i = 0; i < list.came; i++)
			wrong += list.got[i] != (wanted[i] ? wanted[i] : list.got[i] == NOT_YET ? NOT_YET : LISTED);
	}
	EQUAL(wrong, 0);
	EQUAL(list.refused, 0);
	CHECK(q.counters.runs > 0);
	CHECK(list.messages < PACKETS);
	nfq_waiting_free(&q.waiting);
}

static uint32_t build(struct nfq *q, uint8_t *arena, const uint32_t *ids, uint32_t count)
{
	uint32_t commands[MAX_COMMANDS * NFQ_C_WORDS];

	for (uint32_t i = 0; i < count; i++) {
		uint32_t c[NFQ_C_WORDS] = { NFQ_ACCEPT, ids[i], 0, i * NFQ_RECORD_HEAD, 0 };

		memcpy(commands + i * NFQ_C_WORDS, c, sizeof(c));
	}
	q->counters.runs = 0;
	EQUAL(nfq_build(q, commands, count, arena, count * NFQ_RECORD_HEAD), 0);
	return (uint32_t)q->counters.runs;
}

static void come(struct nfq *q, uint32_t from, uint32_t to)
{
	for (uint32_t id = from; id != to; id++)
		nfq_waiting_came(&q->waiting, id);
}

static void bytes(void)
{
	static const uint8_t two[] = {
		0x20, 0, 0, 0, 0x03, 0x03, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* NFQNL_MSG_VERDICT_BATCH */
		0, 0, 0x01, 0x02, 0x0c, 0, 0x02, 0, 0, 0, 0, 1, 0, 0, 0, 8, /* NF_ACCEPT up to the last id */
		0x20, 0, 0, 0, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* NLMSG_NOOP */
	};
	uint8_t arena[64] __attribute__((aligned(4)));
	struct nfq q = { .queue = 0x0102 };

	come(&q, 7, 9);
	EQUAL(build(&q, arena, (uint32_t[]){ 7, 8 }, 2), 1);
	CHECK(!memcmp(arena, two, sizeof(two)));
	nfq_waiting_free(&q.waiting);
}

static void not_together(void)
{
	uint8_t arena[256] __attribute__((aligned(4)));
	struct nfq q = { 0 };

	come(&q, 1, 11);
	EQUAL(build(&q, arena, (uint32_t[]){ 2, 3 }, 2), 0); /* 1 is held */
	EQUAL(build(&q, arena, (uint32_t[]){ 1, 5, 6 }, 3), 0); /* 4 is held, and one is no run */
	EQUAL(build(&q, arena, (uint32_t[]){ 7, 4 }, 2), 0); /* not in their order */
	EQUAL(build(&q, arena, (uint32_t[]){ 8, 9 }, 2), 1);
	/* Who was told before it came knows nothing. */
	EQUAL(build(&q, arena, (uint32_t[]){ 20, 21 }, 2), 0);
	/* What is not known is not settled together, for good. */
	q.waiting.unsure = 1;
	come(&q, 11, 14);
	EQUAL(build(&q, arena, (uint32_t[]){ 11, 12, 13 }, 3), 0);
	nfq_waiting_free(&q.waiting);
}

/* One packet is held while very many pass. */
static void long_held(void)
{
	uint8_t arena[256] __attribute__((aligned(4)));
	struct nfq q = { 0 };
	uint32_t id = 0xffff0000u;

	come(&q, id, id + 1);
	for (uint32_t n = 1; n < 300000; n++) {
		nfq_waiting_came(&q.waiting, id + n);
		if (n != 100)
			nfq_waiting_settled(&q.waiting, id + n);
	}
	EQUAL(q.waiting.unsure, 0);
	come(&q, id + 300000, id + 300002);
	EQUAL(build(&q, arena, (uint32_t[]){ id + 300000, id + 300001 }, 2), 0);
	EQUAL(build(&q, arena, (uint32_t[]){ id, id + 100 }, 2), 1);
	EQUAL(q.waiting.oldest, q.waiting.next);
	nfq_waiting_free(&q.waiting);

	/* Beyond any measure. */
	come(&q, 1, 2);
	nfq_waiting_came(&q.waiting, 1u << 27);
	EQUAL(q.waiting.unsure, 1);
	come(&q, 5, 7);
	EQUAL(build(&q, arena, (uint32_t[]){ 5, 6 }, 2), 0);
}

void test_nfq_waiting(void)
{
	bytes();
	not_together();
	long_held();
	for (uint64_t seed = 1; seed <= 200; seed++)
		any_order(seed);
}
