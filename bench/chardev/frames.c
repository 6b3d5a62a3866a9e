/* Builds and patches the benchmark's frames (frames.h). Checksums are right throughout, so that a device may check them. */
#include "frames.h"
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 4, ETH = 14, IP = 20, TCP = 20, UDP = 8, OPTIONS = 12 };
enum { IP_AT = LENGTH + ETH, L4_AT = IP_AT + IP };
enum { FIN_ = 1, SYN_ = 2, RST_ = 4, PSH_ = 8, ACK_ = 16 };
enum { PROTO_TCP = 6, PROTO_UDP = 17 };

#define GUEST_IP 0x0a000001u   /* 10.0.0.1 */
#define CLIENT_IP 0x0a010001u  /* 10.1.0.1 and on */
#define GUEST_PORT 80
#define CLIENT_PORT 20000
#define PORTS_PER_CLIENT 40000u
#define CLIENTS_ISN 0x51000000u
#define CLIENT_ACK 0x20000001u

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t sum_words(const uint8_t *p, size_t bytes)
{
	uint32_t sum = 0;

	for (; bytes > 1; bytes -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	return bytes ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint32_t sum32(uint32_t v)
{
	return (v >> 16) + (v & 0xffff);
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

static void ip_checksum(uint8_t *ip)
{
	put16(ip + 10, 0);
	put16(ip + 10, fold(sum_words(ip, IP)));
}

/* Length word, Ethernet and IP header. */
static void put_heads(uint8_t *p, uint32_t frame_bytes, uint8_t protocol, uint32_t client, int secondary)
{
	uint8_t *ip = p + IP_AT;

	memset(p, 0, L4_AT);
	put32(p, frame_bytes);
	memcpy(p + LENGTH, "\x52\x54\x00\x00\x00\x01\x52\x54\x00\x00\x00\x02\x08\x00", ETH);
	ip[0] = 0x45;
	put16(ip + 2, frame_bytes - ETH);
	put16(ip + 4, secondary ? 0x5ec0 : 0x1234);
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, GUEST_IP);
	put32(ip + 16, client);
	ip_checksum(ip);
}

static void put_tcp(uint8_t *tcp, uint32_t port, uint32_t seq, uint32_t header_bytes, uint8_t flags)
{
	memset(tcp, 0, TCP);
	put16(tcp, GUEST_PORT);
	put16(tcp + 2, port);
	put32(tcp + 4, seq);
	put32(tcp + 8, CLIENT_ACK);
	tcp[12] = (uint8_t)(header_bytes << 2);
	tcp[13] = flags;
	put16(tcp + 14, 0xffff);
}

/* Of the pseudo header and the segment, without folding; the checksum field must be 0. */
static uint32_t transport_sum(const uint8_t *p, uint32_t frame_bytes, uint8_t protocol)
{
	uint32_t l4_bytes = frame_bytes - ETH - IP;

	return sum_words(p + IP_AT + 12, 8) + protocol + l4_bytes + sum_words(p + L4_AT, l4_bytes);
}

static void fill(uint8_t *p, size_t bytes, uint32_t seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* Every slot's payload differs, so a device that releases another packet than was sent is found out. */
static void build_slot(struct ring *r, uint8_t *p, uint32_t slot, int secondary)
{
	uint32_t frame_bytes = r->stride - LENGTH;

	if (r->kind == UDP_FLOWS) {
		uint8_t *udp = p + L4_AT;

		put_heads(p, frame_bytes, PROTO_UDP, CLIENT_IP, secondary);
		put16(udp, GUEST_PORT);
		put16(udp + 2, CLIENT_PORT + slot);
		put16(udp + 4, UDP + r->payload);
		put16(udp + 6, 0);
		fill(udp + UDP, r->payload, slot);
		put32(udp + UDP, 0);
		r->sums[slot] = transport_sum(p, frame_bytes, PROTO_UDP);
	} else {
		put_heads(p, frame_bytes, PROTO_TCP, CLIENT_IP, secondary);
		put_tcp(p + L4_AT, CLIENT_PORT, 0, TCP, ACK_);
		fill(p + L4_AT + TCP, r->payload, slot);
		r->sums[slot] = transport_sum(p, frame_bytes, PROTO_TCP);
	}
}

void ring_build(struct ring *r, enum kind kind, uint32_t payload, uint32_t slots, uint32_t isn)
{
	r->kind = kind;
	r->payload = kind == CONNECTIONS ? OPTIONS : payload;
	r->slots = slots;
	r->stride = L4_AT + (kind == UDP_FLOWS ? UDP : TCP) + r->payload;
	r->isn = isn;
	r->primary = malloc((size_t)slots * r->stride);
	r->secondary = malloc((size_t)slots * r->stride);
	r->sums = malloc(slots * sizeof(*r->sums));
	for (uint32_t slot = 0; slot < slots; slot++) {
		build_slot(r, r->primary + (size_t)slot * r->stride, slot, 0);
		build_slot(r, r->secondary + (size_t)slot * r->stride, slot, 1);
	}
}

void ring_free(struct ring *r)
{
	free(r->primary);
	free(r->secondary);
	free(r->sums);
}

void ring_patch(struct ring *r, uint64_t n)
{
	uint32_t slot = (uint32_t)(n % r->slots);
	size_t at = (size_t)slot * r->stride;
	/* TCP: the sequence number, which wraps; UDP: a number in the payload, so that a packet is never like the one before. */
	uint32_t word = r->kind == UDP_FLOWS ? (uint32_t)n : r->isn + 1 + (uint32_t)n * r->payload;
	size_t word_at = at + L4_AT + (r->kind == UDP_FLOWS ? UDP : 4);
	size_t sum_at = at + L4_AT + (r->kind == UDP_FLOWS ? 6 : 16);
	uint32_t sum = fold(r->sums[slot] + sum32(word));

	if (r->kind == UDP_FLOWS && sum == 0)
		sum = 0xffff;
	put32(r->primary + word_at, word);
	put32(r->secondary + word_at, word);
	put16(r->primary + sum_at, sum);
	put16(r->secondary + sum_at, sum);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int64_t ring_number(const struct ring *r, const uint8_t *p, uint64_t oldest)
{
	uint32_t ahead;

	if (r->kind == CONNECTIONS)
		return 0;
	if (r->kind == UDP_FLOWS)
		ahead = get32(p + L4_AT + UDP) - (uint32_t)oldest;
	else
		ahead = (get32(p + L4_AT + 4) - (r->isn + 1 + (uint32_t)oldest * r->payload)) / r->payload;
	return ahead < r->slots ? (int64_t)ahead : -1;
}

/* A SYN/ACK's options, as many bytes as the other steps have payload or padding: maximum segment size, SACK, window scale. */
static const uint8_t options[OPTIONS] = { 2, 4, 0x05, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1 };

static void put_step(uint8_t *p, uint32_t frame_bytes, enum step step, uint32_t connection, int secondary)
{
	uint8_t *tcp = p + L4_AT;
	uint32_t port = CLIENT_PORT + connection % PORTS_PER_CLIENT;

	put_heads(p, frame_bytes, PROTO_TCP, CLIENT_IP + connection / PORTS_PER_CLIENT, secondary);
	put_tcp(tcp, port, CLIENTS_ISN, TCP + OPTIONS, SYN_ | ACK_);
	if (step == SYN_ACK) {
		memcpy(tcp + TCP, options, OPTIONS);
	} else if (step == DATA) {
		put_tcp(tcp, port, CLIENTS_ISN + 1, TCP, PSH_ | ACK_);
		fill(tcp + TCP, OPTIONS, connection);
	} else {
		put_tcp(tcp, port, CLIENTS_ISN + 1 + OPTIONS, TCP + OPTIONS, RST_ | ACK_);
		memset(tcp + TCP, 1, OPTIONS);
	}
	put16(tcp + 16, fold(transport_sum(p, frame_bytes, PROTO_TCP)));
}

void ring_patch_connection(struct ring *r, uint64_t n, enum step step, uint32_t connection)
{
	size_t at = (size_t)(n % r->slots) * r->stride;

	put_step(r->primary + at, r->stride - LENGTH, step, connection, 0);
	put_step(r->secondary + at, r->stride - LENGTH, step, connection, 1);
}

size_t stream_syn_ack(const struct ring *r, uint8_t out[128], int secondary)
{
	uint32_t frame_bytes = ETH + IP + TCP + OPTIONS;

	put_heads(out, frame_bytes, PROTO_TCP, CLIENT_IP, secondary);
	put_tcp(out + L4_AT, CLIENT_PORT, r->isn, TCP + OPTIONS, SYN_ | ACK_);
	memcpy(out + L4_AT + TCP, options, OPTIONS);
	put16(out + L4_AT + 16, fold(transport_sum(out, frame_bytes, PROTO_TCP)));
	return LENGTH + frame_bytes;
}
