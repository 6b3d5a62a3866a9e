/* See checksum.h. The sum is taken in native order over 64-bit words, which RFC 1071 section 2(B) allows, and swapped once. */
#include "checksum.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t checksum_sum(const uint8_t *p, size_t n)
{
	uint64_t a = 0, b = 0;
	uint16_t last = 0;

	/* Halves of 64-bit words go into 64-bit sums, so no carry is lost below 16 GB, and the compiler can use vectors. */
	for (; n >= 64; p += 64, n -= 64) {
		uint64_t w[8];

		memcpy(w, p, 64);
		for (int i = 0; i < 8; i++) {
			a += w[i] & 0xffffffff;
			b += w[i] >> 32;
		}
	}
	for (; n >= 4; p += 4, n -= 4) {
		uint32_t w;

		memcpy(&w, p, 4);
		a += w;
	}
	if (n >= 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		a += w;
		p += 2;
		n -= 2;
	}
	if (n) {
		memcpy(&last, p, 1);
		a += last;
	}
	return ntohs(fold(fold(a) + (uint64_t)fold(b)));
}

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Past the extension headers of RFC 8200 section 4; the protocol number or -errno. A routing header with segments left
 * would change the final destination: such packets are left alone. */
static int skip_extensions(const uint8_t *p, uint32_t end, uint32_t *at)
{
	uint8_t next = p[6];

	for (;;) {
		uint32_t size;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT &&
		    next != IPPROTO_AH)
			return next;
		if (end - *at < 8)
			return -EINVAL;
		if (next == IPPROTO_FRAGMENT && (be16(p + *at + 2) & 0xfff9))
			return -EPROTONOSUPPORT;
		if (next == IPPROTO_ROUTING && p[*at + 3])
			return -EPROTONOSUPPORT;
		size = next == IPPROTO_FRAGMENT ? 8 : next == IPPROTO_AH ? (p[*at + 1] + 2u) * 4 : (p[*at + 1] + 1u) * 8;
		if (end - *at < size)
			return -EINVAL;
		next = p[*at];
		*at += size;
	}
}

static int set_field(struct transport *t)
{
	uint32_t field, least;

	switch (t->protocol) {
	case IPPROTO_TCP:
		field = 16, least = 20;
		break;
	case IPPROTO_UDP:
		field = 6, least = 8;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		field = 2, least = 4;
		break;
	default:
		return -EPROTONOSUPPORT;
	}
	if (t->bytes < least)
		return -EINVAL;
	t->field = t->start + field;
	return 0;
}

int transport_find(const uint8_t *p, uint32_t bytes, struct transport *t)
{
	if (bytes < 1)
		return -EINVAL;
	if (p[0] >> 4 == 4) {
		uint32_t head, total;

		if (bytes < 20)
			return -EINVAL;
		head = (p[0] & 15u) * 4;
		total = be16(p + 2);
		if (head < 20 || total < head || total > bytes)
			return -EINVAL;
		if (be16(p + 6) & 0x3fff)
			return -EPROTONOSUPPORT;
		t->protocol = p[9];
		t->start = head;
		t->bytes = total - head;
	} else if (p[0] >> 4 == 6) {
		uint32_t total, at = 40;
		int protocol;

		if (bytes < 40)
			return -EINVAL;
		total = 40 + be16(p + 4);
		if (total > bytes)
			return -EINVAL;
		protocol = skip_extensions(p, total, &at);
		if (protocol < 0)
			return protocol;
		t->protocol = (uint8_t)protocol;
		t->start = at;
		t->bytes = total - at;
	} else {
		return -EINVAL;
	}
	return set_field(t);
}

/* ICMP over IPv4 has none (RFC 792). */
static uint32_t pseudo_sum(const uint8_t *p, const struct transport *t)
{
	if (p[0] >> 4 == 6)
		return checksum_sum(p + 8, 32) + (uint32_t)t->protocol + t->bytes;
	if (t->protocol == IPPROTO_ICMP)
		return 0;
	return checksum_sum(p + 12, 8) + (uint32_t)t->protocol + t->bytes;
}

static uint16_t full(const uint8_t *p, const struct transport *t)
{
	uint64_t sum = pseudo_sum(p, t);
	uint16_t result;

	/* The field itself counts as zero. */
	sum += checksum_sum(p + t->start, t->field - t->start);
	sum += checksum_sum(p + t->field + 2, t->start + t->bytes - t->field - 2);
	result = (uint16_t)~fold(sum);
	return t->protocol == IPPROTO_UDP && result == 0 ? 0xffff : result;
}

int checksum_transport(const uint8_t *packet, uint32_t bytes)
{
	struct transport t;
	int err = transport_find(packet, bytes, &t);

	return err ? err : full(packet, &t);
}

int checksum_complete(uint8_t *packet, uint32_t bytes)
{
	struct transport t;
	int err = transport_find(packet, bytes, &t);

	if (!err)
		put16(packet + t.field, full(packet, &t));
	return err;
}

int checksum_partial(const uint8_t *packet, uint32_t bytes)
{
	struct transport t;
	int err = transport_find(packet, bytes, &t);

	return err ? err : fold(pseudo_sum(packet, &t));
}

int checksum_verify(const uint8_t *packet, uint32_t bytes)
{
	struct transport t;
	int err = transport_find(packet, bytes, &t);

	if (err)
		return err;
	if (t.protocol == IPPROTO_UDP && packet[0] >> 4 == 4 && be16(packet + t.field) == 0)
		return 1;
	return fold((uint64_t)pseudo_sum(packet, &t) + checksum_sum(packet + t.start, t.bytes)) == 0xffff;
}

int checksum_ipv4_header(uint8_t *p, uint32_t bytes)
{
	uint32_t head;

	if (bytes < 20 || p[0] >> 4 != 4)
		return -EINVAL;
	head = (p[0] & 15u) * 4;
	if (head < 20 || head > bytes)
		return -EINVAL;
	put16(p + 10, 0);
	put16(p + 10, (uint16_t)~checksum_sum(p, head));
	return 0;
}

/* Sum of the new bytes less the old ones, one's complement. */
static uint32_t change(const uint8_t *old, const uint8_t *new, size_t bytes, int odd)
{
	uint16_t gone = (uint16_t)~checksum_sum(old, bytes), come = checksum_sum(new, bytes);
	uint16_t d = fold((uint64_t)gone + come);

	return odd ? (uint16_t)(d << 8 | d >> 8) : d;
}

uint16_t checksum_adjust(uint16_t field, const uint8_t *old, const uint8_t *new, size_t bytes, int odd)
{
	return (uint16_t)~fold((uint64_t)(uint16_t)~field + change(old, new, bytes, odd));
}

uint16_t checksum_adjust_udp(uint16_t field, const uint8_t *old, const uint8_t *new, size_t bytes, int odd)
{
	uint16_t result;

	/* 0 says that there is no checksum. */
	if (field == 0)
		return 0;
	result = checksum_adjust(field, old, new, bytes, odd);
	return result ? result : 0xffff;
}

uint16_t checksum_adjust_partial(uint16_t field, const uint8_t *old, const uint8_t *new, size_t bytes)
{
	return fold((uint64_t)field + change(old, new, bytes, 0));
}
