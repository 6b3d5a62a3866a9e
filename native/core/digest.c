/* Keyed digests of byte ranges, by libcrypto. One context keeps the key's schedule and GHASH's tables; only the nonce is set anew
 * for each range, which costs about as much as 1,000 bytes of it. */
#include "digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define NONCE_BYTES 12

struct digests {
	EVP_CIPHER_CTX *context;
};

int digests_open(struct digests **out, const uint8_t key[DIGEST_KEY_BYTES])
{
	struct digests *d = calloc(1, sizeof(*d));

	*out = 0;
	if (!d)
		return -ENOMEM;
	d->context = EVP_CIPHER_CTX_new();
	if (!d->context) {
		free(d);
		return -ENOMEM;
	}
	if (EVP_EncryptInit_ex(d->context, EVP_aes_128_gcm(), 0, key, 0) != 1) {
		digests_close(d);
		return -EINVAL;
	}
	*out = d;
	return 0;
}

void digests_close(struct digests *d)
{
	EVP_CIPHER_CTX_free(d->context);
	free(d);
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

int digests_write(struct digests *d, uint32_t epoch, uint32_t ports, uint32_t seq, const uint8_t *bytes, size_t n, size_t chunk,
		  uint8_t *out)
{
	uint8_t nonce[NONCE_BYTES];
	int count = 0;

	put32(nonce, epoch);
	put32(nonce + 4, ports);
	for (size_t at = 0; at < n; at += chunk, count++) {
		size_t part = n - at < chunk ? n - at : chunk;
		int written;

		put32(nonce + 8, seq + (uint32_t)at);
		if (EVP_EncryptInit_ex(d->context, 0, 0, 0, nonce) != 1 ||
		    EVP_EncryptUpdate(d->context, 0, &written, bytes + at, (int)part) != 1 ||
		    EVP_EncryptFinal_ex(d->context, out, &written) != 1 ||
		    EVP_CIPHER_CTX_ctrl(d->context, EVP_CTRL_GCM_GET_TAG, DIGEST_BYTES, out) != 1)
			return -EIO;
		out += DIGEST_BYTES;
	}
	return count;
}
