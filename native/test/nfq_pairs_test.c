/* Two batches side by side: each packet is compared with the other's of the same number, from every place, and copied. */
#include "nfq.h"
#include "test.h"

#include <errno.h>
#include <string.h>

enum { PACKETS = 3, SLOT = 256, IN_SLOT = 20 };

static const uint32_t lengths[PACKETS] = { 200, 1, 77 };

static void describe(uint32_t *table, uint32_t i, uint32_t offset, uint32_t length)
{
	table[i * NFQ_D_WORDS + NFQ_D_OFFSET] = offset;
	table[i * NFQ_D_WORDS + NFQ_D_LENGTH] = length;
}

void test_nfq_pairs(void)
{
	static uint8_t first[PACKETS * SLOT], second[PACKETS * SLOT], to[300];
	uint32_t a[PACKETS * NFQ_D_WORDS] = { 0 }, b[PACKETS * NFQ_D_WORDS] = { 0 }, differing[PACKETS];
	struct nfq_batch p = { first, sizeof(first), a }, s = { second, sizeof(second), b };
	uint64_t seed = 11;
	size_t total = 0;

	random_bytes(&seed, first, sizeof(first));
	memcpy(second, first, sizeof(first));
	for (uint32_t i = 0; i < PACKETS; i++) {
		describe(a, i, i * SLOT + IN_SLOT, lengths[i]);
		describe(b, i, i * SLOT + IN_SLOT, lengths[i]);
		total += lengths[i];
	}
	for (uint32_t i = 0; i < PACKETS; i++)
		for (uint32_t at = 0; at < lengths[i]; at++) {
			size_t copied = 0;

			second[i * SLOT + IN_SLOT + at] ^= 4;
			memset(to, 0xa5, sizeof(to));
			uint32_t alike = at < PAIR_HEAD_BYTES ? PACKETS : i;

			EQUAL(nfq_pairs(&p, &s, PACKETS, to, total, differing), alike);
			for (uint32_t k = 0; k < alike; k++) {
				EQUAL(differing[k], k == i ? at + 1 : 0);
				CHECK(memcmp(to + copied, first + k * SLOT + IN_SLOT, lengths[k]) == 0);
				copied += lengths[k];
			}
			EQUAL(to[total], 0xa5);
			second[i * SLOT + IN_SLOT + at] ^= 4;
		}
	EQUAL(nfq_pairs(&p, &s, PACKETS, to, total - 1, differing), -EINVAL);
	/* Of different lengths all is different. */
	describe(b, 1, SLOT + IN_SLOT, 9);
	EQUAL(nfq_pairs(&p, &s, PACKETS, to, total, differing), 1);
	describe(b, 1, sizeof(second) - 8, 9);
	EQUAL(nfq_pairs(&p, &s, PACKETS, to, total, differing), -EINVAL);
	describe(b, 1, 0xffffffff, 1);
	EQUAL(nfq_pairs(&p, &s, PACKETS, to, total, differing), -EINVAL);
}
