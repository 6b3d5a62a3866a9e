/* Frames compared from their ends: where the last difference lies, byte by byte, and where the comparison stops. */
#include "tails.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static size_t put(uint8_t *p, const uint8_t *frame, uint32_t bytes, size_t word_bytes)
{
	memset(p, 0x77, word_bytes);
	p[0] = (uint8_t)(bytes >> 24);
	p[1] = (uint8_t)(bytes >> 16);
	p[2] = (uint8_t)(bytes >> 8);
	p[3] = (uint8_t)bytes;
	memcpy(p + word_bytes, frame, bytes);
	return word_bytes + bytes;
}

static void every_place(size_t word_bytes)
{
	uint8_t frame[200], a[256], b[256];
	uint64_t seed = 3;
	uint32_t differing;

	random_bytes(&seed, frame, sizeof(frame));
	for (uint32_t bytes = 1; bytes <= sizeof(frame); bytes++) {
		size_t total = put(a, frame, bytes, word_bytes);

		put(b, frame, bytes, word_bytes);
		EQUAL(tails_compare(a, total, b, total, word_bytes, &differing, 1), 1);
		EQUAL(differing, 0);
		for (uint32_t at = 0; at < bytes; at++) {
			b[word_bytes + at] ^= 0x10;
			EQUAL(tails_compare(a, total, b, total, word_bytes, &differing, 1), 1);
			EQUAL(differing, at + 1);
			/* An earlier difference changes nothing. */
			b[word_bytes] ^= 1;
			EQUAL(tails_compare(a, total, b, total, word_bytes, &differing, 1), 1);
			EQUAL(differing, at + 1);
			b[word_bytes] ^= 1;
			b[word_bytes + at] ^= 0x10;
		}
	}
}

/* Whole frames on both sides only, whatever the cut; the buffers are as long as the streams, so that a sanitizer sees a step beyond. */
static void cuts(void)
{
	static const uint32_t lengths[] = { 1, 60, 7, 64, 33 };
	uint8_t frame[64], all[512];
	size_t ends[5], total = 0;
	uint32_t differing[8];

	memset(frame, 0x42, sizeof(frame));
	for (size_t i = 0; i < 5; i++)
		ends[i] = total += put(all + total, frame, lengths[i], 4);
	for (size_t a_bytes = 0; a_bytes <= total; a_bytes++)
		for (size_t b_bytes = a_bytes % 3; b_bytes <= total; b_bytes += 3) {
			uint8_t *a = malloc(a_bytes + !a_bytes), *b = malloc(b_bytes + !b_bytes);
			size_t shorter = a_bytes < b_bytes ? a_bytes : b_bytes, whole = 0;

			memcpy(a, all, a_bytes);
			memcpy(b, all, b_bytes);
			while (whole < 5 && ends[whole] <= shorter)
				whole++;
			EQUAL(tails_compare(a, a_bytes, b, b_bytes, 4, differing, 8), whole);
			EQUAL(tails_compare(a, a_bytes, b, b_bytes, 4, differing, 2), whole < 2 ? whole : 2);
			free(a);
			free(b);
		}
}

static void lengths(void)
{
	uint8_t frame[64] = { 0 }, a[256], b[256];
	uint32_t differing[4];
	size_t a_bytes = put(a, frame, 20, 4), b_bytes = put(b, frame, 30, 4);

	a_bytes += put(a + a_bytes, frame, 10, 4);
	b_bytes += put(b + b_bytes, frame, 10, 4);
	EQUAL(tails_compare(a, a_bytes, b, b_bytes, 4, differing, 4), 2);
	EQUAL(differing[0], 30);
	EQUAL(differing[1], 0);
	a_bytes = put(a, frame, 10, 4) + put(a + 14, frame, 0, 4);
	EQUAL(tails_compare(a, a_bytes, a, a_bytes, 4, differing, 4), 1);
	memset(a, 0xff, sizeof(a));
	EQUAL(tails_compare(a, sizeof(a), a, sizeof(a), 4, differing, 4), 0);
}

void test_tails(void)
{
	every_place(4);
	every_place(8);
	cuts();
	lengths();
}
