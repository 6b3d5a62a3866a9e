/* Two byte streams of frames that ought to be alike, compared frame by frame from their ends: what stands in the heads of
 * packets may differ, so the question is how far from the front the last difference lies. Knows nothing of what is in a frame. */
#ifndef COLO_TAILS_H
#define COLO_TAILS_H

#include <stddef.h>
#include <stdint.h>

/* Before each frame stand `word_bytes` bytes, the first four of them its length (big endian, without those words).
 * differing[i] becomes the number of bytes from the start of frame i to behind the last that differs: 0 when both are equal, the
 * longer length when the lengths differ. Stops before a frame that is not whole in both streams, or of no bytes, and after `room`
 * frames; returns how many it has compared. */
size_t tails_compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes, size_t word_bytes, uint32_t *differing,
		     size_t room);

/* The same question of two packets. */
size_t tails_differing(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes);

#endif
