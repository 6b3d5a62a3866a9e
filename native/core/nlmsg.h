/* Building and walking netlink messages (linux/netlink.h). A build has a sticky overflow flag instead of a check per call. */
#ifndef COLO_NLMSG_H
#define COLO_NLMSG_H

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>

/* uapi says NLA_ALIGN and NLA_HDRLEN as signed arithmetic; lengths here are unsigned. */
#define NL_ATTR_HEAD 4u
static inline uint32_t nl_align(uint32_t n)
{
	return (n + 3u) & ~3u;
}

struct nl_build {
	uint8_t *at;
	uint32_t used;
	uint32_t room;
	int overflow;
};

static inline void *nl_take(struct nl_build *b, uint32_t bytes)
{
	uint32_t aligned = nl_align(bytes);
	void *p = b->at + b->used;

	if (b->overflow || aligned < bytes || aligned > b->room - b->used) {
		b->overflow = 1;
		return 0;
	}
	memset(p, 0, aligned);
	b->used += aligned;
	return p;
}

static inline void nl_attr(struct nl_build *b, uint16_t type, const void *value, uint16_t bytes)
{
	uint8_t *p = nl_take(b, NL_ATTR_HEAD + bytes);
	struct nlattr head = { .nla_len = (uint16_t)(NL_ATTR_HEAD + bytes), .nla_type = type };

	if (!p)
		return;
	memcpy(p, &head, sizeof(head));
	memcpy(p + NL_ATTR_HEAD, value, bytes);
}

static inline void nl_attr_be32(struct nl_build *b, uint16_t type, uint32_t value)
{
	uint32_t be = htonl(value);

	nl_attr(b, type, &be, sizeof(be));
}

/* Walks attributes: `*value` and `*bytes` of the next one and its type, 0 at the end, -1 when one is malformed. */
struct nl_cursor {
	const uint8_t *at;
	uint32_t left;
};

static inline int nl_next(struct nl_cursor *c, const uint8_t **value, uint32_t *bytes)
{
	struct nlattr head;
	uint32_t step;

	if (c->left < NL_ATTR_HEAD)
		return c->left ? -1 : 0;
	memcpy(&head, c->at, sizeof(head));
	if (head.nla_len < NL_ATTR_HEAD || head.nla_len > c->left)
		return -1;
	*value = c->at + NL_ATTR_HEAD;
	*bytes = head.nla_len - NL_ATTR_HEAD;
	/* The last attribute of a message may come without its padding. */
	step = nl_align(head.nla_len);
	if (step > c->left)
		step = c->left;
	c->at += step;
	c->left -= step;
	return (head.nla_type & NLA_TYPE_MASK) ? (head.nla_type & NLA_TYPE_MASK) : -1;
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

#endif
