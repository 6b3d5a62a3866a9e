/* Digests: what another program says of the same bytes, and that each of key, epoch, ports, place, length and bytes makes another. */
#include "digest.h"
#include "test.h"

#include <string.h>

static void known_values(void)
{
	/* By the command `openssl mac -cipher AES-128-GCM -macopt hexkey:K -macopt hexiv:N GMAC`. */
	static const uint8_t key[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	static const uint8_t wanted[2 * DIGEST_BYTES] = { 0xcc, 0x1e, 0x37, 0x9f, 0x41, 0xfd, 0x9d, 0xc4, 0xb4, 0x1b, 0xc4, 0x73, 0x9f, 0xe6, 0xd0, 0x80 };
	uint8_t bytes[100], out[2 * DIGEST_BYTES];
	struct digests *d;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	CHECK(digests_open(&d, key) == 0);
	CHECK(digests_write(d, 0x01020304, 0x00501f90, 0xfffffff0, bytes, sizeof(bytes), 64, out) == 2);
	CHECK(memcmp(out, wanted, sizeof(out)) == 0);
	digests_close(d);
}

static void every_difference(void)
{
	static const uint8_t key[2][16] = { { 1 }, { 2 } };
	uint8_t bytes[3000], base[DIGEST_BYTES], out[64 * DIGEST_BYTES];
	struct digests *d, *other;
	uint64_t seed = 7;

	random_bytes(&seed, bytes, sizeof(bytes));
	CHECK(digests_open(&d, key[0]) == 0);
	CHECK(digests_open(&other, key[1]) == 0);
	CHECK(digests_write(d, 1, 2, 3, bytes, 1448, 1448, base) == 1);
	CHECK(digests_write(d, 1, 2, 3, bytes, 1448, 1448, out) == 1);
	CHECK(memcmp(base, out, DIGEST_BYTES) == 0);
	digests_write(other, 1, 2, 3, bytes, 1448, 1448, out);
	digests_write(d, 0, 2, 3, bytes, 1448, 1448, out + DIGEST_BYTES);
	digests_write(d, 1, 0, 3, bytes, 1448, 1448, out + 2 * DIGEST_BYTES);
	digests_write(d, 1, 2, 0, bytes, 1448, 1448, out + 3 * DIGEST_BYTES);
	digests_write(d, 1, 2, 3, bytes, 1447, 1448, out + 4 * DIGEST_BYTES);
	for (int i = 0; i < 5; i++)
		CHECK(memcmp(base, out + i * DIGEST_BYTES, DIGEST_BYTES) != 0);
	for (size_t i = 0; i < 1448 * 8; i += 61) {
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		digests_write(d, 1, 2, 3, bytes, 1448, 1448, out);
		CHECK(memcmp(base, out, DIGEST_BYTES) != 0);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	/* A chunk's digest does not depend on where the run began. */
	CHECK(digests_write(d, 1, 2, 0xffffff00, bytes, sizeof(bytes), 100, out) == 30);
	CHECK(digests_write(d, 1, 2, 0xffffff00 + 700, bytes + 700, 100, 100, base) == 1);
	CHECK(memcmp(base, out + 7 * DIGEST_BYTES, DIGEST_BYTES) == 0);
	CHECK(digests_write(d, 1, 2, 3, bytes, 0, 100, out) == 0);
	digests_close(d);
	digests_close(other);
}

void test_digest(void)
{
	known_values();
	every_difference();
}
