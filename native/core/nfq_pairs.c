/* Two queues' batches side by side: what both guests have sent is compared where it was received. */
#include "nfq.h"

#include "tails.h"

#include <errno.h>
#include <string.h>

static const uint8_t *packet_of(const struct nfq_batch *batch, uint32_t i, size_t *bytes)
{
	const uint32_t *d = batch->table + (size_t)i * NFQ_D_WORDS;

	*bytes = d[NFQ_D_LENGTH];
	if (d[NFQ_D_OFFSET] > batch->arena_bytes || *bytes > batch->arena_bytes - d[NFQ_D_OFFSET])
		return 0;
	return batch->arena + d[NFQ_D_OFFSET];
}

int nfq_pairs(const struct nfq_batch *a, const struct nfq_batch *b, uint32_t count, uint8_t *to, size_t room, uint32_t *differing)
{
	for (uint32_t i = 0; i < count; i++) {
		size_t a_bytes, b_bytes;
		const uint8_t *first = packet_of(a, i, &a_bytes), *second = packet_of(b, i, &b_bytes);

		if (!first || !second || a_bytes > room)
			return -EINVAL;
		if (a_bytes != b_bytes)
			return (int)i;
		differing[i] = (uint32_t)tails_differing(first, a_bytes, second, b_bytes);
		if (differing[i] > PAIR_HEAD_BYTES)
			return (int)i;
		memcpy(to, first, a_bytes);
		to += a_bytes;
		room -= a_bytes;
	}
	return (int)count;
}
