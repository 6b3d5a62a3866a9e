/*
 * What this machine can do with the engine's load at most: for every pair of packets (the PVM's, the SVM's like it) both
 * headers are parsed, the flow is looked up in an open table, the PVM's payload is copied once into a ring of 8 MiB that
 * stays in the cache, and the two are compared once. No stream, no order, no loss: no comparison of streams can be
 * faster than this.
 *
 * Packets stand as in the engine's measurement: each of a batch in a slot of its own, as they are received.
 *
 * usage: limit FLOWS PAYLOAD PAIRS SLOT_BYTES     prints pairs per second
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING (8u << 20)
#define BATCH 64
#define HEAD 52 /* IPv4 and TCP with timestamps */
#define IN_SLOT 144 /* where a packet stands in its slot */

struct flow {
	uint32_t key[3];
	uint32_t seq;
	uint64_t bytes;
};

struct parsed {
	uint32_t src, dst, ports, seq, ack, payload;
	const uint8_t *data;
};

static uint32_t rd32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int parse(const uint8_t *p, uint32_t len, struct parsed *o)
{
	uint32_t ihl = (p[0] & 15u) * 4, total = (uint32_t)p[2] << 8 | p[3], doff;
	if (len < 40 || p[0] >> 4 != 4 || ihl < 20 || total > len || p[9] != 6)
		return -1;
	doff = (p[ihl + 12] >> 4) * 4u;
	if (doff < 20 || ihl + doff > total)
		return -1;
	o->src = rd32(p + 12);
	o->dst = rd32(p + 16);
	o->ports = rd32(p + ihl);
	o->seq = rd32(p + ihl + 4);
	o->ack = rd32(p + ihl + 8);
	o->payload = total - ihl - doff;
	o->data = p + ihl + doff;
	return 0;
}

static struct flow *table;
static uint32_t mask;

static struct flow *find(const struct parsed *p)
{
	uint32_t h = p->src * 0x9e3779b1u ^ p->dst * 0x85ebca6bu ^ p->ports * 0xc2b2ae35u;
	h ^= h >> 15;
	for (uint32_t i = h & mask;; i = (i + 1) & mask) {
		struct flow *f = &table[i];
		if (f->key[0] == p->src && f->key[1] == p->dst && f->key[2] == p->ports)
			return f;
		if (f->key[0] == 0) {
			f->key[0] = p->src;
			f->key[1] = p->dst;
			f->key[2] = p->ports;
			f->seq = p->seq;
			return f;
		}
	}
}

static void aim(uint8_t *p, uint32_t flow, uint32_t seq)
{
	p[17] = (uint8_t)(1 + (flow >> 14));
	p[18] = flow >> 7 & 127;
	p[19] = flow & 127;
	p[24] = (uint8_t)(seq >> 24);
	p[25] = (uint8_t)(seq >> 16);
	p[26] = (uint8_t)(seq >> 8);
	p[27] = (uint8_t)seq;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: limit FLOWS PAYLOAD PAIRS SLOT_BYTES\n");
		return 2;
	}
	uint32_t flows = (uint32_t)atoi(argv[1]), payload = (uint32_t)atoi(argv[2]), pairs = (uint32_t)atoi(argv[3]);
	uint32_t bytes = HEAD + payload, slot = (uint32_t)atoi(argv[4]), size = 1024;
	uint8_t *guest = calloc(BATCH, slot), *forward = calloc(BATCH, slot), *ring = malloc(RING + 65536);
	uint32_t *seqs = calloc(flows, sizeof *seqs);
	while (size < 2 * flows)
		size *= 2;
	table = calloc(size, sizeof *table);
	mask = size - 1;
	if (slot < IN_SLOT + bytes || guest == NULL || forward == NULL || ring == NULL || seqs == NULL || table == NULL)
		return 1;
	memset(ring, 1, RING + 65536);
	for (uint32_t i = 0; i < 2 * BATCH; i++) {
		uint8_t *p = (i < BATCH ? guest : forward) + (size_t)(i % BATCH) * slot + IN_SLOT;
		p[0] = 0x45;
		p[2] = (uint8_t)(bytes >> 8);
		p[3] = (uint8_t)bytes;
		p[9] = 6;
		memcpy(p + 12, "\x0a\x00\x00\x02\x0a\x01\x00\x00\x00\x50\x9c\x40", 12);
		p[32] = 0x80;
		memset(p + HEAD, 7, payload);
	}
	struct timespec a, b;
	double best = 0;
	uint64_t equal = 0, at = 0;
	for (int round = 0; round < 5; round++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (uint32_t done = 0, next = 0; done < pairs; done += BATCH) {
			uint64_t start[BATCH];
			for (uint32_t i = 0; i < BATCH; i++) {
				uint32_t flow = (next + i) % flows;
				uint8_t *p = guest + (size_t)i * slot + IN_SLOT;
				struct parsed v;
				aim(p, flow, seqs[flow] + i / flows * payload);
				if (parse(p, bytes, &v) != 0)
					return 1;
				find(&v)->bytes += v.payload;
				at = at + v.payload > RING ? 0 : at;
				memcpy(ring + at, v.data, v.payload);
				start[i] = at;
				at += v.payload;
			}
			for (uint32_t i = 0; i < BATCH; i++) {
				uint32_t flow = (next + i) % flows;
				uint8_t *p = forward + (size_t)i * slot + IN_SLOT;
				struct parsed v;
				aim(p, flow, seqs[flow]);
				if (parse(p, bytes, &v) != 0)
					return 1;
				struct flow *f = find(&v);
				equal += memcmp(ring + start[i], v.data, v.payload) == 0;
				f->seq = v.seq + v.payload;
				seqs[flow] += payload;
			}
			next = (next + BATCH) % flows;
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
		if (pairs / s > best)
			best = pairs / s;
	}
	if (equal < 5ull * pairs)
		return 1;
	printf("%.0f\n", best);
	return 0;
}
