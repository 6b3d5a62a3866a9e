/* What every consumer does to every packet: one payload byte changes, and the UDP checksum with it (RFC 1624). */
#ifndef BENCH_REWRITE_H
#define BENCH_REWRITE_H

#include <stdint.h>

#define FLIP 0x5a

/* An IPv4 UDP packet of even length without IP options, as the generator sends them. */
static inline void rewrite(uint8_t *p, uint32_t bytes)
{
	uint32_t old = p[bytes - 1], new = old ^ FLIP;
	uint32_t sum = (uint32_t)p[26] << 8 | p[27];

	p[bytes - 1] = (uint8_t)new;
	sum = (~sum & 0xffff) + (~old & 0xffff) + new;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	if (!sum)
		sum = 0xffff;
	p[26] = (uint8_t)(sum >> 8);
	p[27] = (uint8_t)sum;
}

#endif
