/* Internet checksums (RFC 1071, RFC 1624, RFC 8200 section 8.1). Packets start at the IP header. */
#ifndef COLO_CHECKSUM_H
#define COLO_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Folded one's complement sum of the bytes as big-endian words, not inverted, in host order; an odd last byte is padded. */
uint16_t checksum_sum(const uint8_t *data, size_t bytes);

/* What a packet's transport header is, after IPv6 extension headers. */
struct transport {
	uint8_t protocol;	/* IPPROTO_* */
	uint32_t start;		/* offset of the transport header */
	uint32_t bytes;		/* from there to the end by the IP header's own length */
	uint32_t field;		/* offset of the checksum field */
};
/* 0, -EINVAL (malformed), -EPROTONOSUPPORT (a fragment, or no checksum field known). */
int transport_find(const uint8_t *packet, uint32_t bytes, struct transport *t);

/* The checksum that the packet should carry, in host order, whatever its field holds; or -errno as transport_find(). */
int checksum_transport(const uint8_t *packet, uint32_t bytes);
/* Writes it, so that a packet with a partial checksum may go without the kernel's help. 0, or -errno and no change. */
int checksum_complete(uint8_t *packet, uint32_t bytes);
/* The pseudo-header's sum alone: what the field of a packet with a partial checksum (CHECKSUM_PARTIAL) holds. */
int checksum_partial(const uint8_t *packet, uint32_t bytes);
/* 1 = the checksum is right (or, for UDP over IPv4, absent), 0 = wrong, -errno. */
int checksum_verify(const uint8_t *packet, uint32_t bytes);
/* IPv4 header checksum, written. */
int checksum_ipv4_header(uint8_t *packet, uint32_t bytes);

/* The value of a full checksum field after `bytes` bytes have changed from `old` to `new`; `odd` = the first of them stands
 * at an odd distance from the start of the summed data. For UDP the result must not be 0: see checksum_adjust_udp(). */
uint16_t checksum_adjust(uint16_t field, const uint8_t *old, const uint8_t *new, size_t bytes, int odd);
uint16_t checksum_adjust_udp(uint16_t field, const uint8_t *old, const uint8_t *new, size_t bytes, int odd);
/* The same for a partial checksum, which is not inverted and changes only with the addresses of the pseudo-header. */
uint16_t checksum_adjust_partial(uint16_t field, const uint8_t *old, const uint8_t *new, size_t bytes);

#endif
