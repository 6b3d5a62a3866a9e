/* Which packets of a queue wait for their verdict. The kernel settles all up to one id with a single message
 * (NFQNL_MSG_VERDICT_BATCH), those that are held, too: so it is said only of an id below which nothing waits. */
#ifndef COLO_NFQ_WAITING_H
#define COLO_NFQ_WAITING_H

#include <stdint.h>

struct nfq_waiting {
	uint64_t *bits;		/* a ring: bit id % capacity is 1 while the packet waits */
	uint32_t capacity;	/* ids, a power of two; 0 = nothing came yet */
	uint32_t oldest;	/* the first id that waits, or next */
	uint32_t next;		/* behind the newest id that came */
	int unsure;		/* what waits is not known: nothing may be settled together, for good */
};

void nfq_waiting_free(struct nfq_waiting *w);
/* A packet came; the kernel counts ids on. Those between it and the one before it never reached the queue. */
void nfq_waiting_came(struct nfq_waiting *w, uint32_t id);
/* It gets its verdict. */
void nfq_waiting_settled(struct nfq_waiting *w, uint32_t id);
/* 1: nothing up to this id waits any more. */
int nfq_waiting_none_to(const struct nfq_waiting *w, uint32_t id);

#endif
