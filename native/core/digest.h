/* Keyed digests of byte ranges: two hosts that share a key can tell by them whether they have the same bytes at the same place,
 * without sending them. GMAC (NIST SP 800-38D: AES-128-GCM of additional data alone), cut to DIGEST_BYTES. */
#ifndef COLO_DIGEST_H
#define COLO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_KEY_BYTES 16
#define DIGEST_BYTES 8

struct digests;

/* 0, or -ENOMEM or -EINVAL (libcrypto does not have what is needed). */
int digests_open(struct digests **out, const uint8_t key[DIGEST_KEY_BYTES]);
void digests_close(struct digests *d);

/* One digest for each `chunk` bytes of bytes[0, n), the last perhaps shorter, written one behind the other to out. The nonce is
 * epoch, ports and the chunk's place in its stream, which begins at `seq`; the chunk's length is part of what GMAC sums up.
 * How many digests were written, or -EIO when libcrypto fails. chunk > 0. */
int digests_write(struct digests *d, uint32_t epoch, uint32_t ports, uint32_t seq, const uint8_t *bytes, size_t n, size_t chunk,
		  uint8_t *out);

#endif
