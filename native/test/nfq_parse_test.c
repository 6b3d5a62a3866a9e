/* Taking queue messages apart: all attributes, every cut, and random damage. */
#include "nfq.h"
#include "nlmsg.h"
#include "test.h"

#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>

static uint32_t begin_at(struct nl_build *b)
{
	uint32_t at = b->used;

	nl_take(b, NLMSG_HDRLEN + sizeof(struct nfgenmsg));
	return at;
}

static void finish(struct nl_build *b, uint32_t at, uint16_t type)
{
	struct nlmsghdr nlh = { .nlmsg_len = b->used - at, .nlmsg_type = type };

	memcpy(b->at + at, &nlh, sizeof(nlh));
}

static void put_packet(struct nl_build *b, uint32_t id, uint32_t payload_bytes)
{
	struct nfqnl_msg_packet_hdr head = { .packet_id = htonl(id), .hw_protocol = htons(0x0800), .hook = 3 };
	struct nfqnl_msg_packet_hw hw = { .hw_addrlen = htons(6), .hw_addr = { 2, 0, 0, 0xaa, 0xbb, 0xcc } };
	struct nfqnl_msg_packet_timestamp stamp = { .sec = __builtin_bswap64(1700000000), .usec = __builtin_bswap64(123456) };
	uint8_t payload[64], ct[32];
	struct nl_build c = { .at = ct, .room = sizeof(ct) };
	uint32_t at = begin_at(b);

	for (uint32_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(0x80 + i);
	nl_attr_be32(&c, CTA_STATUS, 0x18e);
	nl_attr_be32(&c, CTA_ID, 0xdeadbeef);
	nl_attr(b, NFQA_PACKET_HDR, &head, sizeof(head));
	nl_attr_be32(b, NFQA_IFINDEX_INDEV, 2);
	nl_attr_be32(b, NFQA_IFINDEX_PHYSINDEV, 3);
	nl_attr_be32(b, NFQA_IFINDEX_OUTDEV, 4);
	nl_attr_be32(b, NFQA_IFINDEX_PHYSOUTDEV, 5);
	nl_attr_be32(b, NFQA_MARK, 0x77);
	nl_attr(b, NFQA_HWADDR, &hw, sizeof(hw));
	nl_attr(b, NFQA_TIMESTAMP, &stamp, sizeof(stamp));
	nl_attr(b, NFQA_CT | NLA_F_NESTED, ct, (uint16_t)c.used);
	nl_attr_be32(b, NFQA_CT_INFO, 2);
	nl_attr_be32(b, NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY);
	nl_attr_be32(b, NFQA_CAP_LEN, 9000);
	nl_attr(b, NFQA_PAYLOAD, payload, (uint16_t)payload_bytes);
	finish(b, at, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
}

static void whole(void)
{
	uint8_t buf[1024] __attribute__((aligned(4)));
	struct nl_build b = { .at = buf, .room = sizeof(buf) };
	struct nfq q = { 0 };
	struct nfq_refused refused;
	uint32_t d[2 * NFQ_D_WORDS];

	put_packet(&b, 41, 33);
	put_packet(&b, 42, 64);
	CHECK(!b.overflow);
	EQUAL(nfq_parse(&q, buf, b.used, 5000, d, 2, &refused), 2);
	EQUAL(refused.any, 0);
	EQUAL(d[NFQ_D_ID], 41);
	EQUAL(d[NFQ_D_LENGTH], 33);
	EQUAL(d[NFQ_D_ORIGINAL_LENGTH], 9000);
	EQUAL(buf[d[NFQ_D_OFFSET] - 5000], 0x80);
	EQUAL(d[NFQ_D_HW_PROTOCOL], 0x0800);
	EQUAL(d[NFQ_D_HOOK], 3);
	EQUAL(d[NFQ_D_MARK], 0x77);
	EQUAL(d[NFQ_D_INDEV], 2);
	EQUAL(d[NFQ_D_PHYSINDEV], 3);
	EQUAL(d[NFQ_D_OUTDEV], 4);
	EQUAL(d[NFQ_D_PHYSOUTDEV], 5);
	EQUAL(d[NFQ_D_SKB_INFO], 1);
	EQUAL(d[NFQ_D_HWADDR_HIGH], 0x020000aa);
	EQUAL(d[NFQ_D_HWADDR_LOW] >> 16, 0xbbcc);
	EQUAL(d[NFQ_D_HWADDR_LENGTH], 6);
	EQUAL(d[NFQ_D_TIMESTAMP_SEC], 1700000000);
	EQUAL(d[NFQ_D_TIMESTAMP_USEC], 123456);
	EQUAL(d[NFQ_D_CT_INFO], 2);
	EQUAL(d[NFQ_D_CT_STATUS], 0x18e);
	EQUAL(d[NFQ_D_CT_ID], 0xdeadbeef);
	EQUAL(d[NFQ_D_WORDS + NFQ_D_ID], 42);
	EQUAL(d[NFQ_D_WORDS + NFQ_D_LENGTH], 64);
	EQUAL(q.counters.malformed, 0);
	/* Two packets where one fits: the second is counted, not written past the table. */
	EQUAL(nfq_parse(&q, buf, b.used, 0, d, 1, &refused), 1);
	EQUAL(q.counters.malformed, 1);
}

static void without_extras(void)
{
	uint8_t buf[256] __attribute__((aligned(4)));
	struct nl_build b = { .at = buf, .room = sizeof(buf) };
	struct nfqnl_msg_packet_hdr head = { .packet_id = htonl(7) };
	struct nfq q = { 0 };
	struct nfq_refused refused;
	uint32_t d[NFQ_D_WORDS], at = begin_at(&b);

	nl_attr(&b, NFQA_PACKET_HDR, &head, sizeof(head));
	nl_attr(&b, NFQA_PAYLOAD, "abc", 3);
	finish(&b, at, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
	EQUAL(nfq_parse(&q, buf, b.used, 0, d, 1, &refused), 1);
	EQUAL(d[NFQ_D_ORIGINAL_LENGTH], 3);
	EQUAL(d[NFQ_D_CT_INFO], NFQ_NO_CT);
	EQUAL(d[NFQ_D_HWADDR_LENGTH], 0);

	/* A packet without its bytes is refused by its id. */
	b.used = 0;
	at = begin_at(&b);
	nl_attr(&b, NFQA_PACKET_HDR, &head, sizeof(head));
	finish(&b, at, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
	EQUAL(nfq_parse(&q, buf, b.used, 0, d, 1, &refused), 0);
	EQUAL(refused.any, 1);
	EQUAL(refused.id, 7);
	EQUAL(q.counters.malformed, 1);
}

static void answers(void)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
	} m = { .nlh = { .nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR } };
	struct nfq q = { 0 };
	struct nfq_refused refused;
	uint32_t d[NFQ_D_WORDS];

	EQUAL(nfq_parse(&q, (uint8_t *)&m, sizeof(m), 0, d, 1, &refused), 0);
	EQUAL(q.counters.verdict_errors, 0);
	m.err.error = -2;
	EQUAL(nfq_parse(&q, (uint8_t *)&m, sizeof(m), 0, d, 1, &refused), 0);
	EQUAL(q.counters.verdict_errors, 1);
	EQUAL(q.last_error, 2);
	/* ENOENT: no such packet. After any other refusal one may wait still, and none may be settled together. */
	EQUAL(q.waiting.unsure, 0);
	m.err.error = -22;
	EQUAL(nfq_parse(&q, (uint8_t *)&m, sizeof(m), 0, d, 1, &refused), 0);
	EQUAL(q.waiting.unsure, 1);
	EQUAL(q.counters.malformed, 0);
}

static void cut(void)
{
	uint8_t buf[512] __attribute__((aligned(4)));
	struct nl_build b = { .at = buf, .room = sizeof(buf) };
	struct nfq_refused refused;
	uint32_t d[NFQ_D_WORDS];

	put_packet(&b, 99, 64);
	for (uint32_t n = 0; n < b.used; n++) {
		struct nfq q = { 0 };
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, buf, n);
		EQUAL(nfq_parse(&q, copy, n, 0, d, 1, &refused), 0);
		EQUAL(q.counters.malformed, n ? 1 : 0);
		/* The id stands first, so that nearly every cut packet can be dropped. */
		EQUAL(refused.any, n >= 20 + 4 + 7 ? 1 : 0);
		if (refused.any)
			EQUAL(refused.id, 99);
		free(copy);
	}
}

static void damaged(void)
{
	uint8_t buf[512] __attribute__((aligned(4)));
	struct nl_build b = { .at = buf, .room = sizeof(buf) };
	uint64_t seed = 11;
	uint32_t d[NFQ_D_WORDS];
	unsigned outside = 0;

	put_packet(&b, 1, 64);
	for (int round = 0; round < 50000; round++) {
		struct nfq q = { 0 };
		struct nfq_refused refused;
		uint8_t *copy = malloc(b.used);

		memcpy(copy, buf, b.used);
		for (unsigned hits = 1 + (unsigned)(random_next(&seed) % 3); hits; hits--)
			copy[random_next(&seed) % b.used] = (uint8_t)random_next(&seed);
		if (nfq_parse(&q, copy, b.used, 0, d, 1, &refused) == 1)
			outside += d[NFQ_D_OFFSET] > b.used || d[NFQ_D_LENGTH] > b.used - d[NFQ_D_OFFSET];
		free(copy);
	}
	EQUAL(outside, 0);
}

static void slots(void)
{
	for (uint32_t range = 1; range <= NFQ_MAX_COPY; range += 997) {
		CHECK(nfq_slot_bytes(range) >= range + 1024);
		EQUAL(nfq_slot_bytes(range) % 128, 64);
	}
}

void test_nfq_parse(void)
{
	whole();
	without_extras();
	answers();
	cut();
	damaged();
	slots();
}
