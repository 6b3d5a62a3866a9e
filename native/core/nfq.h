/* NFQUEUE from user space (linux/netfilter/nfnetlink_queue.h): one struct nfq is one bound queue.
 * Memory for packets, descriptors and verdicts belongs to the caller; errors are -errno. */
#ifndef COLO_NFQ_H
#define COLO_NFQ_H

#include "nfq_waiting.h"

#include <stddef.h>
#include <stdint.h>

/* Words of a packet's descriptor, host order. */
enum nfq_desc_word {
	NFQ_D_ID,		/* packet id for the verdict */
	NFQ_D_OFFSET,		/* of the IP header, from the start of the arena */
	NFQ_D_LENGTH,		/* captured bytes */
	NFQ_D_ORIGINAL_LENGTH,	/* bytes of the packet; more than NFQ_D_LENGTH when the copy range cut it */
	NFQ_D_HW_PROTOCOL,	/* ethertype */
	NFQ_D_HOOK,		/* NF_INET_* */
	NFQ_D_MARK,
	NFQ_D_INDEV,		/* interface indexes, 0 = none */
	NFQ_D_OUTDEV,
	NFQ_D_PHYSINDEV,
	NFQ_D_PHYSOUTDEV,
	NFQ_D_SKB_INFO,		/* NFQA_SKB_* */
	NFQ_D_HWADDR_HIGH,	/* source link-layer address: first four bytes, big end first */
	NFQ_D_HWADDR_LOW,	/* next four bytes */
	NFQ_D_HWADDR_LENGTH,	/* 0 = none */
	NFQ_D_TIMESTAMP_SEC,	/* low 32 bits; both 0 when the kernel took no time */
	NFQ_D_TIMESTAMP_USEC,
	NFQ_D_CT_INFO,		/* enum ip_conntrack_info, NFQ_NO_CT when no conntrack entry came */
	NFQ_D_CT_STATUS,	/* IPS_* */
	NFQ_D_CT_ID,
	NFQ_D_CT_MARK,
	NFQ_D_CT_ZONE,
	NFQ_D_PRIORITY,		/* skb->priority */
	NFQ_D_RESERVED,
	NFQ_D_WORDS
};
#define NFQ_NO_CT 0xffffffffu

/* Words of a verdict command, host order. */
enum nfq_command_word {
	NFQ_C_ACTION,	/* NFQ_DROP or NFQ_ACCEPT, and NFQ_WITH_* */
	NFQ_C_ID,
	NFQ_C_MARK,	/* with NFQ_WITH_MARK */
	NFQ_C_OFFSET,	/* of the command's record in the send arena */
	NFQ_C_LENGTH,	/* payload bytes, with NFQ_WITH_PAYLOAD */
	NFQ_C_WORDS
};
#define NFQ_DROP 0u
#define NFQ_ACCEPT 1u
#define NFQ_WITH_MARK 0x10u
#define NFQ_WITH_PAYLOAD 0x20u
#define NFQ_WITH_CHECKSUM 0x40u	/* the payload's transport checksum is partial: complete it */

/* A record in the send arena is a whole netlink message: headers that nfq_send() writes, then the caller's payload. */
#define NFQ_RECORD_HEAD 32u	/* nlmsghdr, nfgenmsg, verdict header attribute */
#define NFQ_RECORD_MARK 8u	/* mark attribute, when there is one */
#define NFQ_RECORD_PAYLOAD 4u	/* payload attribute's header, when there is a payload */

/* The kernel's longest copy: 0xffff less an attribute header. */
#define NFQ_MAX_COPY 65531u

struct nfq_config {
	uint16_t queue;
	uint32_t max_length;		/* packets that the kernel may hold */
	uint32_t copy_range;		/* bytes of a packet to copy, at most NFQ_MAX_COPY */
	uint32_t receive_buffer;	/* bytes wanted of the socket */
	uint32_t flags;			/* NFQA_CFG_F_* */
	const char *netns;		/* NULL = the caller's */
};

/* What the kernel gave. */
struct nfq_settings {
	uint32_t port_id;
	uint32_t flags;			/* less NFQA_CFG_F_CONNTRACK when the kernel lacks the glue */
	uint32_t copy_range;		/* as in /proc/net/netfilter/nfnetlink_queue, or as asked when that is missing */
	uint32_t receive_buffer;	/* as the kernel counts it (twice what was asked, socket(7)) */
	uint32_t forced;		/* 1 when SO_RCVBUFFORCE was allowed */
};

struct nfq_counters {
	uint64_t packets;
	uint64_t batches;
	uint64_t sends;
	uint64_t runs;			/* messages that settled several packets */
	uint64_t malformed;		/* messages that were no packet, short, or cut */
	uint64_t overruns;		/* ENOBUFS on receive */
	uint64_t verdict_errors;	/* the kernel's answer to a verdict, mostly ENOENT: no such packet */
	uint64_t send_retries;
	uint64_t checksum_failures;	/* payloads whose transport checksum could not be completed */
};

/* /proc/net/netfilter/nfnetlink_queue */
struct nfq_kernel_stats {
	uint32_t port_id;
	uint32_t queued;
	uint32_t copy_mode;
	uint32_t copy_range;
	uint32_t dropped;		/* the queue was full */
	uint32_t user_dropped;		/* the socket's buffer was full */
	uint32_t id_sequence;
};

struct nfq {
	int fd;
	int stats_fd;	/* kept open: it stays with the namespace of its opening */
	uint16_t queue;
	uint32_t seq;
	int last_error; /* of the kernel's last refusal of a verdict, positive errno */
	struct nfq_counters counters;
	struct nfq_waiting waiting;
};

/* Where batches are received: memory of the caller, sliced into one slot per packet. */
struct nfq_ring {
	uint32_t batch;
	uint32_t slot_bytes;
	uint8_t *arena;		/* batch * slot_bytes */
	uint32_t *table;	/* batch * NFQ_D_WORDS */
	struct nfq_ring_io *io;
};

/* Bytes that a slot needs for this copy range. */
uint32_t nfq_slot_bytes(uint32_t copy_range);

/* Binds and configures, each step acknowledged. -EBUSY: bound by another socket. */
int nfq_open(struct nfq *q, const struct nfq_config *config, struct nfq_settings *settings);
/* Another copy range for the packets to come; those that already wait keep the old one. The slots of the ring must fit. */
int nfq_set_copy_range(struct nfq *q, uint32_t range);
/* Unbinds: the kernel drops what it still holds for the queue. */
void nfq_close(struct nfq *q);

int nfq_ring_init(struct nfq_ring *r, uint8_t *arena, uint32_t *table, uint32_t batch, uint32_t slot_bytes);
void nfq_ring_free(struct nfq_ring *r);

/* One recvmmsg(2), never waiting: the packets in r->table, or -EAGAIN. `*more` = the batch was full. */
int nfq_receive(struct nfq *q, struct nfq_ring *r, int *more);

/* Takes one netlink datagram apart into at most `room` descriptors; called by nfq_receive() and by tests. A packet whose
 * message is damaged but whose id is readable goes to `refused` (at most one per datagram), so that it can be dropped. */
struct nfq_refused {
	int any;
	uint32_t id;
};
uint32_t nfq_parse(struct nfq *q, const uint8_t *data, uint32_t bytes, uint32_t arena_offset, uint32_t *table,
		   uint32_t room, struct nfq_refused *refused);

/* Sends `count` verdicts whose records stand one after the other in `arena`. Short of memory it tries for about a second.
 * 0, -EINVAL when the records do not lie where they must (nothing is sent), or -errno. `*done` = verdicts sent. */
int nfq_send(struct nfq *q, const uint32_t *commands, uint32_t count, uint8_t *arena, uint32_t arena_bytes, uint32_t *done);
/* The first half of it: writes the messages into the arena. A run of verdicts that are alike, with rising ids, below which
 * no packet waits, becomes one message in the first record; the others do nothing. 0 or -EINVAL. */
int nfq_build(struct nfq *q, const uint32_t *commands, uint32_t count, uint8_t *arena, uint32_t arena_bytes);
/* Bytes of a command's record. */
uint32_t nfq_record_bytes(uint32_t action, uint32_t length);

/* Packets of two batches in turn, by their descriptors: copies those of `a` to `to`, one behind the other, and tells in
 * differing[i] how far the two differ (tails.h). Stops before the first two that differ in length or behind
 * PAIR_HEAD_BYTES bytes; returns how many came before. -EINVAL where a packet lies outside its arena, or `room` bytes do
 * not suffice. */
#define PAIR_HEAD_BYTES 128u	/* more than headers of IP and TCP have */
struct nfq_batch {
	const uint8_t *arena;
	size_t arena_bytes;
	const uint32_t *table;	/* from the first packet on */
};
int nfq_pairs(const struct nfq_batch *a, const struct nfq_batch *b, uint32_t count, uint8_t *to, size_t room, uint32_t *differing);

int nfq_kernel_stats(const struct nfq *q, struct nfq_kernel_stats *stats);

#endif
