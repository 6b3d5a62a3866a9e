#include "tails.h"

#include <string.h>

static uint32_t length_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* Most frames that differ do so within these first bytes: their addresses and headers. */
enum { HEAD_BYTES = 96 };

/* Bytes up to behind the last that differs. */
static size_t behind_last_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
	if (n > HEAD_BYTES && memcmp(a + HEAD_BYTES, b + HEAD_BYTES, n - HEAD_BYTES) == 0)
		n = HEAD_BYTES;
	while (n >= 8 && word(a + n - 8) == word(b + n - 8))
		n -= 8;
	while (n > 0 && a[n - 1] == b[n - 1])
		n--;
	return n;
}

size_t tails_differing(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
	if (a_bytes != b_bytes)
		return a_bytes > b_bytes ? a_bytes : b_bytes;
	return behind_last_difference(a, b, a_bytes);
}

size_t tails_compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes, size_t word_bytes, uint32_t *differing,
		     size_t room)
{
	size_t count = 0;

	while (count < room && a_bytes >= word_bytes && b_bytes >= word_bytes) {
		size_t a_length = length_at(a), b_length = length_at(b);

		if (a_length == 0 || b_length == 0 || a_length > a_bytes - word_bytes || b_length > b_bytes - word_bytes)
			break;
		differing[count++] = (uint32_t)tails_differing(a + word_bytes, a_length, b + word_bytes, b_length);
		a += word_bytes + a_length;
		a_bytes -= word_bytes + a_length;
		b += word_bytes + b_length;
		b_bytes -= word_bytes + b_length;
	}
	return count;
}
