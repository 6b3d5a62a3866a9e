/* Checksums against the plainest possible reference, byte pair by byte pair. */
#include "checksum.h"
#include "test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static uint32_t plain(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static void sums(void)
{
	uint64_t seed = 1;
	uint8_t *big = malloc(65536);

	random_bytes(&seed, big, 65536);
	for (size_t off = 0; off < 3; off++)
		for (size_t n = 0; n < 300; n++)
			EQUAL(checksum_sum(big + off, n), plain(big + off, n));
	EQUAL(checksum_sum(big, 65535), plain(big, 65535));
	memset(big, 0xff, 65536);
	EQUAL(checksum_sum(big, 65536), 0xffff);
	memset(big, 0, 65536);
	EQUAL(checksum_sum(big, 65536), 0);
	free(big);
}

/* RFC 1071 section 3's example. */
static void known(void)
{
	const uint8_t example[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	/* A SYN as captured on a wire: its checksum is right. */
	uint8_t syn[] = { 0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0xb1, 0xe6, 0xac, 0x10, 0x0a,
			  0x63, 0xac, 0x10, 0x0a, 0x0c };

	EQUAL(checksum_sum(example, sizeof(example)), 0xddf2);
	EQUAL(checksum_sum(syn, sizeof(syn)), 0xffff);
	syn[10] = syn[11] = 0;
	EQUAL(checksum_ipv4_header(syn, sizeof(syn)), 0);
	EQUAL(syn[10] << 8 | syn[11], 0xb1e6);
	EQUAL(checksum_ipv4_header(syn, 19), -EINVAL);
}

/* A packet of random bytes with headers that are right; its length. `extensions` = bytes of IPv6 options. */
static uint32_t make(uint64_t *seed, uint8_t *p, int family, uint8_t protocol, uint32_t payload, uint32_t options)
{
	uint32_t head = (family == 4 ? 20 : 40) + options, total = head + payload;

	random_bytes(seed, p, total);
	if (family == 4) {
		p[0] = (uint8_t)(0x40 | head / 4);
		p[2] = (uint8_t)(total >> 8);
		p[3] = (uint8_t)total;
		p[6] = 0x40;
		p[7] = 0;
		p[9] = protocol;
		checksum_ipv4_header(p, total);
		return total;
	}
	p[0] = 0x60;
	p[4] = (uint8_t)((total - 40) >> 8);
	p[5] = (uint8_t)(total - 40);
	p[6] = options ? IPPROTO_DSTOPTS : protocol;
	if (options) {
		p[40] = protocol;
		p[41] = (uint8_t)(options / 8 - 1);
	}
	return total;
}

static uint16_t expected(const uint8_t *packet, uint32_t bytes, const struct transport *t)
{
	uint8_t *flat = calloc(1, 40 + t->bytes + 1);
	uint32_t at = 0;
	uint16_t sum;

	if (packet[0] >> 4 == 6) {
		memcpy(flat, packet + 8, 32);
		at = 32;
	} else if (t->protocol != IPPROTO_ICMP) {
		memcpy(flat, packet + 12, 8);
		at = 8;
	}
	if (at) {
		flat[at + 1] = t->protocol;
		flat[at + 2] = (uint8_t)(t->bytes >> 8);
		flat[at + 3] = (uint8_t)t->bytes;
		at += 4;
	}
	memcpy(flat + at, packet + t->start, t->bytes);
	flat[at + t->field - t->start] = flat[at + t->field - t->start + 1] = 0;
	sum = (uint16_t)~plain(flat, at + t->bytes);
	(void)bytes;
	free(flat);
	return t->protocol == IPPROTO_UDP && sum == 0 ? 0xffff : sum;
}

static void packets(void)
{
	static const struct {
		int family;
		uint8_t protocol;
		uint32_t options;
	} kinds[] = {
		{ 4, IPPROTO_TCP, 0 },	 { 4, IPPROTO_UDP, 0 },	   { 4, IPPROTO_ICMP, 0 }, { 4, IPPROTO_TCP, 12 },
		{ 6, IPPROTO_TCP, 0 },	 { 6, IPPROTO_UDP, 0 },	   { 6, IPPROTO_ICMPV6, 0 }, { 6, IPPROTO_TCP, 16 },
	};
	uint64_t seed = 2;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint32_t payload = 20; payload < 1500; payload += 37) {
			uint32_t bytes;
			struct transport t;
			uint8_t *p = malloc(60 + payload);

			bytes = make(&seed, p, kinds[k].family, kinds[k].protocol, payload, kinds[k].options);
			EQUAL(transport_find(p, bytes, &t), 0);
			EQUAL(t.protocol, kinds[k].protocol);
			EQUAL(checksum_transport(p, bytes), expected(p, bytes, &t));
			/* Padding behind the packet does not count. */
			EQUAL(checksum_complete(p, bytes), 0);
			EQUAL(checksum_verify(p, bytes), 1);
			p[bytes - 1] ^= 0x10;
			EQUAL(checksum_verify(p, bytes), 0);
			free(p);
		}
	}
}

/* A partial checksum is the pseudo-header's sum; adding the rest of the packet on top of it must give the full one. */
static void partial(void)
{
	uint64_t seed = 3;
	uint8_t p[200];
	uint32_t bytes = make(&seed, p, 6, IPPROTO_TCP, 100, 0);
	int pseudo = checksum_partial(p, bytes);
	uint16_t full;

	p[56] = (uint8_t)(pseudo >> 8);
	p[57] = (uint8_t)pseudo;
	full = (uint16_t)~plain(p + 40, 100);
	EQUAL(checksum_transport(p, bytes), full);

	/* After a change of address, the adjusted partial field is the new pseudo-header's sum. */
	uint8_t old[16];
	memcpy(old, p + 8, 16);
	random_bytes(&seed, p + 8, 16);
	EQUAL(checksum_adjust_partial((uint16_t)pseudo, old, p + 8, 16), checksum_partial(p, bytes));
}

static void adjust(void)
{
	uint64_t seed = 4;
	uint8_t p[400], old[8];

	for (int round = 0; round < 500; round++) {
		uint32_t bytes = make(&seed, p, round % 2 ? 4 : 6, IPPROTO_TCP, 300, 0);
		uint32_t start = round % 2 ? 20 : 40, at = start + 18 + (uint32_t)(random_next(&seed) % 270);
		uint32_t n = 1 + (uint32_t)(random_next(&seed) % 8);
		uint16_t before;

		checksum_complete(p, bytes);
		before = (uint16_t)(p[start + 16] << 8 | p[start + 17]);
		memcpy(old, p + at, n);
		random_bytes(&seed, p + at, n);
		before = checksum_adjust(before, old, p + at, n, (at - start) & 1);
		p[start + 16] = (uint8_t)(before >> 8);
		p[start + 17] = (uint8_t)before;
		EQUAL(checksum_verify(p, bytes), 1);
	}
}

static void udp(void)
{
	uint64_t seed = 5;
	uint8_t p[64], old[2];
	uint32_t bytes = make(&seed, p, 4, IPPROTO_UDP, 20, 0);
	uint16_t sum;

	/* A datagram whose sum comes out as 0 must say 0xffff (RFC 768). */
	memset(p + 38, 0, 2);
	sum = (uint16_t)checksum_transport(p, bytes);
	p[38] = (uint8_t)(sum >> 8);
	p[39] = (uint8_t)sum;
	EQUAL(checksum_transport(p, bytes), 0xffff);
	memcpy(old, p + 38, 2);
	p[38] = p[39] = 0;
	EQUAL(checksum_adjust_udp(0xffff, old, p + 38, 2, 0), sum);
	EQUAL(checksum_adjust_udp(sum, p + 38, old, 2, 0), 0xffff);
	EQUAL(checksum_adjust_udp(0, p + 38, old, 2, 0), 0);
	/* Without a checksum an IPv4 datagram is not wrong. */
	p[26] = p[27] = 0;
	EQUAL(checksum_verify(p, bytes), 1);
}

static void refused(void)
{
	uint64_t seed = 6;
	struct transport t;
	uint8_t p[200], *cut;
	uint32_t bytes = make(&seed, p, 4, IPPROTO_TCP, 100, 0);

	p[6] = 0x20;
	EQUAL(checksum_complete(p, bytes), -EPROTONOSUPPORT);
	p[6] = 0;
	p[9] = 132;
	EQUAL(checksum_complete(p, bytes), -EPROTONOSUPPORT);
	p[9] = IPPROTO_TCP;
	p[0] = 0x44;
	EQUAL(transport_find(p, bytes, &t), -EINVAL);
	p[0] = 0x75;
	EQUAL(transport_find(p, bytes, &t), -EINVAL);
	bytes = make(&seed, p, 6, IPPROTO_TCP, 60, 8);
	p[6] = IPPROTO_FRAGMENT;
	p[42] = 0;
	p[43] = 1;
	EQUAL(transport_find(p, bytes, &t), -EPROTONOSUPPORT);
	p[43] = 0; /* an atomic fragment is a whole packet */
	EQUAL(transport_find(p, bytes, &t), 0);
	/* Cut at every length, in memory that ends there: nothing may be read beyond. */
	for (uint32_t n = 0; n < bytes; n++) {
		cut = malloc(n ? n : 1);
		memcpy(cut, p, n);
		CHECK(transport_find(cut, n, &t) < 0);
		free(cut);
	}
	/* Random bytes: whatever is found lies inside. */
	for (int round = 0; round < 20000; round++) {
		uint32_t n = (uint32_t)(random_next(&seed) % 120);

		cut = malloc(n ? n : 1);
		random_bytes(&seed, cut, n);
		if (n)
			cut[0] = (uint8_t)((random_next(&seed) & 1 ? 0x40 : 0x60) | (cut[0] & 15));
		if (n > 6 && (random_next(&seed) & 1))
			cut[2] = 0, cut[4] = 0, cut[6] = (uint8_t)(random_next(&seed) % 64);
		checksum_complete(cut, n);
		free(cut);
	}
}

void test_checksum(void)
{
	sums();
	known();
	packets();
	partial();
	adjust();
	udp();
	refused();
}
