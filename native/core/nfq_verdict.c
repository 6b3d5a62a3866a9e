/* Verdicts: a netlink message each, or one for a run of them (NFQNL_MSG_VERDICT_BATCH) where nothing before it is held;
 * many messages to a send. Facts: linux/netfilter/nfnetlink_queue.h. */
#define _GNU_SOURCE
#include "nfq.h"

#include "checksum.h"
#include "nlmsg.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>
#include <time.h>

/* The kernel copies a send into one buffer; beyond this size it costs more than it saves. */
#define SEND_BYTES (128u << 10)
#define RETRIES 1000
#define RETRY_NS 1000000

uint32_t nfq_record_bytes(uint32_t action, uint32_t length)
{
	uint32_t bytes = NFQ_RECORD_HEAD;

	if (action & NFQ_WITH_MARK)
		bytes += NFQ_RECORD_MARK;
	if (action & NFQ_WITH_PAYLOAD)
		bytes += NFQ_RECORD_PAYLOAD + nl_align(length);
	return bytes;
}

/* Every record must follow the one before it and lie inside the arena; a payload must fit an attribute. */
static int records_fit(const uint32_t *c, uint32_t count, uint32_t arena_bytes)
{
	uint32_t at = count ? c[NFQ_C_OFFSET] : 0;

	if (at & 3)
		return 0;
	for (uint32_t i = 0; i < count; i++, c += NFQ_C_WORDS) {
		uint32_t bytes;

		if (c[NFQ_C_OFFSET] != at || ((c[NFQ_C_ACTION] & NFQ_WITH_PAYLOAD) && c[NFQ_C_LENGTH] > NFQ_MAX_COPY))
			return 0;
		bytes = nfq_record_bytes(c[NFQ_C_ACTION], c[NFQ_C_LENGTH]);
		if (at > arena_bytes || bytes > arena_bytes - at)
			return 0;
		at += bytes;
	}
	return 1;
}

static void put_attr(uint8_t *p, uint16_t type, uint16_t value_bytes)
{
	struct nlattr a = { .nla_len = (uint16_t)(NL_ATTR_HEAD + value_bytes), .nla_type = type };

	memcpy(p, &a, sizeof(a));
}

/* The head of a record: a message of `bytes` with the verdict for `id`. */
static void build_head(struct nfq *q, uint8_t *p, uint32_t type, uint32_t bytes, uint32_t action, uint32_t id)
{
	struct nlmsghdr nlh = {
		.nlmsg_len = bytes,
		.nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type),
		.nlmsg_flags = NLM_F_REQUEST,
	};
	struct nfgenmsg gen = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(q->queue) };
	struct nfqnl_msg_verdict_hdr verdict = {
		.verdict = htonl(action & NFQ_ACCEPT ? NF_ACCEPT : NF_DROP),
		.id = htonl(id),
	};

	memcpy(p, &nlh, sizeof(nlh));
	memcpy(p + 16, &gen, sizeof(gen));
	put_attr(p + 20, NFQA_VERDICT_HDR, sizeof(verdict));
	memcpy(p + 24, &verdict, sizeof(verdict));
}

static void build_record(struct nfq *q, const uint32_t *c, uint8_t *p)
{
	uint32_t action = c[NFQ_C_ACTION], length = c[NFQ_C_LENGTH];

	build_head(q, p, NFQNL_MSG_VERDICT, nfq_record_bytes(action, length), action, c[NFQ_C_ID]);
	p += NFQ_RECORD_HEAD;
	if (action & NFQ_WITH_MARK) {
		uint32_t be = htonl(c[NFQ_C_MARK]);

		put_attr(p, NFQA_MARK, sizeof(be));
		memcpy(p + NL_ATTR_HEAD, &be, sizeof(be));
		p += NFQ_RECORD_MARK;
	}
	if (action & NFQ_WITH_PAYLOAD) {
		uint8_t *payload = p + NFQ_RECORD_PAYLOAD;

		put_attr(p, NFQA_PAYLOAD, (uint16_t)length);
		memset(payload + length, 0, nl_align(length) - length);
		if ((action & NFQ_WITH_CHECKSUM) && checksum_complete(payload, length) < 0)
			q->counters.checksum_failures++;
	}
}

/* Nothing but the head. */
static int is_plain(uint32_t action)
{
	return (action & ~NFQ_ACCEPT) == 0;
}

/* How many verdicts from here on are alike and plain, with rising ids. */
static uint32_t run_length(const uint32_t *c, uint32_t count)
{
	uint32_t n = 1;

	if (!is_plain(c[NFQ_C_ACTION]))
		return 1;
	for (; n < count; n++, c += NFQ_C_WORDS)
		if (c[NFQ_C_WORDS + NFQ_C_ACTION] != c[NFQ_C_ACTION] ||
		    (int32_t)(c[NFQ_C_WORDS + NFQ_C_ID] - c[NFQ_C_ID]) <= 0)
			break;
	return n;
}

/* One message for the first record of a run, and messages that the kernel passes over (NLMSG_NOOP) for the rest: what is
 * sent stays in one piece, and can be cut between any two records. */
static void build_run(struct nfq *q, const uint32_t *c, uint32_t count, uint8_t *arena)
{
	const uint32_t *last = c + (count - 1) * NFQ_C_WORDS;
	struct nlmsghdr noop = { .nlmsg_len = NFQ_RECORD_HEAD, .nlmsg_type = NLMSG_NOOP };

	build_head(q, arena + c[NFQ_C_OFFSET], NFQNL_MSG_VERDICT_BATCH, NFQ_RECORD_HEAD, c[NFQ_C_ACTION], last[NFQ_C_ID]);
	for (uint32_t i = 1; i < count; i++)
		memcpy(arena + c[i * NFQ_C_WORDS + NFQ_C_OFFSET], &noop, sizeof(noop));
	q->counters.runs++;
}

int nfq_build(struct nfq *q, const uint32_t *commands, uint32_t count, uint8_t *arena, uint32_t arena_bytes)
{
	uint32_t run, together;

	if (!records_fit(commands, count, arena_bytes))
		return -EINVAL;
	for (const uint32_t *c = commands, *end = commands + count * NFQ_C_WORDS; c < end; c += run * NFQ_C_WORDS) {
		run = run_length(c, (uint32_t)(end - c) / NFQ_C_WORDS);
		for (uint32_t i = 0; i < run; i++)
			nfq_waiting_settled(&q->waiting, c[i * NFQ_C_WORDS + NFQ_C_ID]);
		together = run;
		while (together > 1 && !nfq_waiting_none_to(&q->waiting, c[(together - 1) * NFQ_C_WORDS + NFQ_C_ID]))
			together--;
		if (together > 1)
			build_run(q, c, together, arena);
		else
			together = 0;
		for (uint32_t i = together; i < run; i++)
			build_record(q, c + i * NFQ_C_WORDS, arena + c[i * NFQ_C_WORDS + NFQ_C_OFFSET]);
	}
	return 0;
}

static int send_range(struct nfq *q, const uint8_t *p, uint32_t bytes)
{
	for (;;) {
		ssize_t n = send(q->fd, p, bytes, MSG_DONTWAIT);

		if (n >= 0)
			break;
		if (errno != EINTR)
			return -errno;
	}
	q->counters.sends++;
	return 0;
}

/* A send fails as a whole, before the kernel has looked at any verdict in it, so it can be tried again in smaller pieces. */
static int transient(int err)
{
	return err == -ENOBUFS || err == -ENOMEM || err == -EAGAIN || err == -EMSGSIZE;
}

int nfq_send(struct nfq *q, const uint32_t *commands, uint32_t count, uint8_t *arena, uint32_t arena_bytes, uint32_t *done)
{
	uint32_t limit = SEND_BYTES, tries = 0;
	int bad = nfq_build(q, commands, count, arena, arena_bytes);

	*done = 0;
	if (bad)
		return bad;
	while (*done < count) {
		uint32_t start = commands[*done * NFQ_C_WORDS + NFQ_C_OFFSET], bytes = 0, next = *done;
		int err;

		while (next < count) {
			const uint32_t *c = commands + next * NFQ_C_WORDS;
			uint32_t more = nfq_record_bytes(c[NFQ_C_ACTION], c[NFQ_C_LENGTH]);

			if (bytes && bytes + more > limit)
				break;
			bytes += more;
			next++;
		}
		err = send_range(q, arena + start, bytes);
		if (!err) {
			*done = next;
			tries = 0;
			continue;
		}
		if (!transient(err) || ++tries > RETRIES) {
			/* What was not sent waits again. */
			q->waiting.unsure = 1;
			return err;
		}
		q->counters.send_retries++;
		if (next - *done > 1) {
			limit = bytes / 2;
		} else {
			struct timespec pause = { .tv_nsec = RETRY_NS };

			nanosleep(&pause, 0);
		}
	}
	return 0;
}
