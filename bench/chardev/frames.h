/* The frames of the chardev benchmark: what a guest answers, framed as QEMU's socket chardevs do (a big-endian length before each
 * Ethernet frame). A ring of frames per guest is built once; before a slot is used again only the fields that change are patched. */
#ifndef FRAMES_H
#define FRAMES_H
#include <stddef.h>
#include <stdint.h>

enum kind { TCP_STREAM, UDP_FLOWS, CONNECTIONS };

struct ring {
	enum kind kind;
	uint32_t payload; /* bytes */
	uint32_t slots;
	uint32_t stride;  /* bytes of a framed frame; all of one ring have the same */
	uint32_t isn;     /* of TCP_STREAM */
	uint8_t *primary, *secondary; /* slots * stride each; they differ in their IP identification only */
	uint32_t *sums;   /* per slot: what does not change of the transport checksum */
};

/* The client of a connection that is made anew is one of its own. */
enum step { SYN_ACK, DATA, RST };

void ring_build(struct ring *ring, enum kind kind, uint32_t payload, uint32_t slots, uint32_t isn);
void ring_free(struct ring *ring);

/* TCP_STREAM and UDP_FLOWS: readies the slot of frame number `n`. A slot is one flow of UDP_FLOWS. */
void ring_patch(struct ring *ring, uint64_t n);
/* CONNECTIONS: readies slot `n` for a step of the connection. */
void ring_patch_connection(struct ring *ring, uint64_t n, enum step step, uint32_t connection);

/* Which frame is `p` (framed, ring->stride bytes), counted from number `oldest` on; -1: none that could be. CONNECTIONS: taken for the
 * oldest one. */
int64_t ring_number(const struct ring *ring, const uint8_t *p, uint64_t oldest);

/* The SYN/ACK of the TCP_STREAM, framed, into `out`; its bytes. */
size_t stream_syn_ack(const struct ring *ring, uint8_t out[128], int secondary);

#endif
