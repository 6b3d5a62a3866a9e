/* Receiving packets in batches and taking their messages apart. Facts: linux/netfilter/nfnetlink_queue.h, recvmmsg(2). */
#define _GNU_SOURCE
#include "nfq.h"

#include "nlmsg.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <sys/socket.h>

struct nfq_ring_io {
	struct mmsghdr *msgs;
	struct iovec *iov;
};

/* Attributes around the payload: about 150 bytes, and some 400 with conntrack data. */
#define SLOT_OVERHEAD 1536u
#define CACHE_LINE 64u

uint32_t nfq_slot_bytes(uint32_t copy_range)
{
	uint32_t lines = (copy_range + SLOT_OVERHEAD + CACHE_LINE - 1) / CACHE_LINE;

	/* An odd number of cache lines, so that the first lines of the slots do not all fall into one cache set. */
	return (lines | 1) * CACHE_LINE;
}

int nfq_ring_init(struct nfq_ring *r, uint8_t *arena, uint32_t *table, uint32_t batch, uint32_t slot_bytes)
{
	struct nfq_ring_io *io = calloc(1, sizeof(*io));

	memset(r, 0, sizeof(*r));
	if (!io)
		return -ENOMEM;
	io->msgs = calloc(batch, sizeof(*io->msgs));
	io->iov = calloc(batch, sizeof(*io->iov));
	r->io = io;
	if (!io->msgs || !io->iov) {
		nfq_ring_free(r);
		return -ENOMEM;
	}
	r->batch = batch;
	r->slot_bytes = slot_bytes;
	r->arena = arena;
	r->table = table;
	for (uint32_t i = 0; i < batch; i++) {
		io->iov[i].iov_base = arena + (size_t)i * slot_bytes;
		io->iov[i].iov_len = slot_bytes;
		io->msgs[i].msg_hdr.msg_iov = &io->iov[i];
		io->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

void nfq_ring_free(struct nfq_ring *r)
{
	if (!r->io)
		return;
	free(r->io->msgs);
	free(r->io->iov);
	free(r->io);
	r->io = 0;
}

static void parse_ct(const uint8_t *data, uint32_t bytes, uint32_t *d)
{
	struct nl_cursor c = { data, bytes };
	const uint8_t *v;
	uint32_t n;
	int type;

	while ((type = nl_next(&c, &v, &n)) > 0) {
		if (type == CTA_STATUS && n == 4)
			d[NFQ_D_CT_STATUS] = get_be32(v);
		else if (type == CTA_ID && n == 4)
			d[NFQ_D_CT_ID] = get_be32(v);
		else if (type == CTA_MARK && n == 4)
			d[NFQ_D_CT_MARK] = get_be32(v);
		else if (type == CTA_ZONE && n == 2)
			d[NFQ_D_CT_ZONE] = get_be16(v);
	}
}

static void parse_hwaddr(const uint8_t *v, uint32_t *d)
{
	uint32_t n = get_be16(v);

	d[NFQ_D_HWADDR_LENGTH] = n > 8 ? 8 : n;
	d[NFQ_D_HWADDR_HIGH] = get_be32(v + 4);
	d[NFQ_D_HWADDR_LOW] = get_be32(v + 8);
}

/* One attribute into the descriptor. Sizes that do not fit are left out: only header and payload are needed. */
static void take(int type, const uint8_t *v, uint32_t n, uint32_t *d)
{
	switch (type) {
	case NFQA_MARK:
		if (n == 4)
			d[NFQ_D_MARK] = get_be32(v);
		break;
	case NFQA_IFINDEX_INDEV:
		if (n == 4)
			d[NFQ_D_INDEV] = get_be32(v);
		break;
	case NFQA_IFINDEX_OUTDEV:
		if (n == 4)
			d[NFQ_D_OUTDEV] = get_be32(v);
		break;
	case NFQA_IFINDEX_PHYSINDEV:
		if (n == 4)
			d[NFQ_D_PHYSINDEV] = get_be32(v);
		break;
	case NFQA_IFINDEX_PHYSOUTDEV:
		if (n == 4)
			d[NFQ_D_PHYSOUTDEV] = get_be32(v);
		break;
	case NFQA_SKB_INFO:
		if (n == 4)
			d[NFQ_D_SKB_INFO] = get_be32(v);
		break;
	case NFQA_CAP_LEN:
		if (n == 4)
			d[NFQ_D_ORIGINAL_LENGTH] = get_be32(v);
		break;
	case NFQA_HWADDR:
		if (n >= sizeof(struct nfqnl_msg_packet_hw))
			parse_hwaddr(v, d);
		break;
	case NFQA_TIMESTAMP:
		if (n >= sizeof(struct nfqnl_msg_packet_timestamp)) {
			d[NFQ_D_TIMESTAMP_SEC] = get_be32(v + 4);
			d[NFQ_D_TIMESTAMP_USEC] = get_be32(v + 12);
		}
		break;
	case NFQA_CT:
		parse_ct(v, n, d);
		break;
	case NFQA_CT_INFO:
		if (n == 4)
			d[NFQ_D_CT_INFO] = get_be32(v);
		break;
	case NFQA_PRIORITY:
		if (n == 4)
			d[NFQ_D_PRIORITY] = get_be32(v);
		break;
	}
}

/* 1 = a descriptor, 0 = not a whole packet (`refused` may hold its id). */
static int parse_packet(const uint8_t *msg, uint32_t bytes, uint32_t arena_offset, uint32_t *d, struct nfq_refused *refused)
{
	const uint32_t head = NLMSG_HDRLEN + (uint32_t)sizeof(struct nfgenmsg);
	struct nl_cursor c;
	const uint8_t *v;
	uint32_t n;
	int type, have_head = 0, have_payload = 0;

	if (bytes < head)
		return 0;
	c.at = msg + head;
	c.left = bytes - head;
	memset(d, 0, NFQ_D_WORDS * sizeof(*d));
	d[NFQ_D_CT_INFO] = NFQ_NO_CT;
	while ((type = nl_next(&c, &v, &n)) > 0) {
		if (type == NFQA_PACKET_HDR && n >= sizeof(struct nfqnl_msg_packet_hdr)) {
			d[NFQ_D_ID] = get_be32(v);
			d[NFQ_D_HW_PROTOCOL] = get_be16(v + 4);
			d[NFQ_D_HOOK] = v[6];
			have_head = 1;
		} else if (type == NFQA_PAYLOAD) {
			d[NFQ_D_OFFSET] = arena_offset + (uint32_t)(v - msg);
			d[NFQ_D_LENGTH] = n;
			have_payload = 1;
		} else {
			take(type, v, n, d);
		}
	}
	if (have_head && (type < 0 || !have_payload)) {
		refused->any = 1;
		refused->id = d[NFQ_D_ID];
	}
	if (type < 0 || !have_head || !have_payload)
		return 0;
	/* NFQA_CAP_LEN comes only when the copy was cut. */
	if (d[NFQ_D_ORIGINAL_LENGTH] < d[NFQ_D_LENGTH])
		d[NFQ_D_ORIGINAL_LENGTH] = d[NFQ_D_LENGTH];
	return 1;
}

/* The kernel answers only what went wrong, and the acknowledgement that nfq_open() may have left behind. */
static void parse_error(struct nfq *q, const uint8_t *msg, uint32_t bytes)
{
	int32_t error;

	if (bytes < NLMSG_HDRLEN + sizeof(error)) {
		q->counters.malformed++;
		return;
	}
	memcpy(&error, msg + NLMSG_HDRLEN, sizeof(error));
	if (error == 0)
		return;
	q->counters.verdict_errors++;
	q->last_error = -error;
	/* Refused for another reason than that there is no such packet: it may wait still. */
	if (error != -ENOENT)
		q->waiting.unsure = 1;
}

uint32_t nfq_parse(struct nfq *q, const uint8_t *data, uint32_t bytes, uint32_t arena_offset, uint32_t *table,
		   uint32_t room, struct nfq_refused *refused)
{
	uint32_t at = 0, count = 0;

	refused->any = 0;
	while (bytes - at >= NLMSG_HDRLEN) {
		struct nlmsghdr nlh;

		memcpy(&nlh, data + at, sizeof(nlh));
		if (nlh.nlmsg_len < NLMSG_HDRLEN || nlh.nlmsg_len > bytes - at) {
			/* A message that was cut still names its packet at the front. */
			uint32_t scratch[NFQ_D_WORDS];

			q->counters.malformed++;
			if (nlh.nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
				parse_packet(data + at, bytes - at, 0, scratch, refused);
			return count;
		}
		if (nlh.nlmsg_type == NLMSG_ERROR)
			parse_error(q, data + at, nlh.nlmsg_len);
		else if (nlh.nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) && count < room &&
			 parse_packet(data + at, nlh.nlmsg_len, arena_offset + at, table + count * NFQ_D_WORDS, refused))
			count++;
		else if (nlh.nlmsg_type != NLMSG_NOOP)
			q->counters.malformed++;
		at += nl_align(nlh.nlmsg_len) < bytes - at ? nl_align(nlh.nlmsg_len) : bytes - at;
	}
	if (at != bytes)
		q->counters.malformed++;
	return count;
}

/* A packet that cannot be described is dropped, not left in the kernel for ever. */
static void refuse(struct nfq *q, uint32_t id)
{
	uint8_t record[NFQ_RECORD_HEAD] __attribute__((aligned(4)));
	uint32_t command[NFQ_C_WORDS] = { [NFQ_C_ACTION] = NFQ_DROP, [NFQ_C_ID] = id };
	uint32_t done;

	nfq_send(q, command, 1, record, sizeof(record), &done);
}

int nfq_receive(struct nfq *q, struct nfq_ring *r, int *more)
{
	uint32_t count = 0;
	int n;

	*more = 0;
	do {
		n = recvmmsg(q->fd, r->io->msgs, r->batch, MSG_DONTWAIT, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno != ENOBUFS)
			return -errno;
		q->counters.overruns++;
		*more = 1;
		return 0;
	}
	for (int i = 0; i < n; i++) {
		struct nfq_refused refused;
		uint32_t before = count;

		count += nfq_parse(q, r->arena + (size_t)i * r->slot_bytes, r->io->msgs[i].msg_len, (uint32_t)i * r->slot_bytes,
				   r->table + count * NFQ_D_WORDS, r->batch - count, &refused);
		for (uint32_t d = before; d < count; d++)
			nfq_waiting_came(&q->waiting, r->table[d * NFQ_D_WORDS + NFQ_D_ID]);
		if (refused.any)
			refuse(q, refused.id);
	}
	/* A packet may wait whose message could not be read. */
	if (q->counters.malformed)
		q->waiting.unsure = 1;
	*more = (uint32_t)n == r->batch;
	q->counters.packets += count;
	q->counters.batches++;
	return (int)count;
}
