/* A tap in a network of this process's own, seen from its host's side by a frame port: both directions, tags, a full queue, losses. */
#define _GNU_SOURCE
#include "frameport.h"
#include "tap.h"
#include "test.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define H FRAMEPORT_VNET_HEADER
#define SLOTS 8

static uint8_t arena[SLOTS * FRAMEPORT_SLOT], room[4 * TAP_MAX_FRAME], frame[70000];
static uint32_t table[FRAMEPORT_D_WORDS * SLOTS], unread;

static void switch_on(const char *name, int up)
{
	struct ifreq req = { .ifr_flags = up ? IFF_UP | IFF_NOARP : IFF_NOARP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(req.ifr_name, name);
	CHECK(ioctl(fd, SIOCSIFFLAGS, &req) == 0);
	close(fd);
}

/* Virtio-net header and frame: `tagged` has a VLAN tag, `number` in its payload. */
static size_t make_frame(size_t bytes, int tagged, uint8_t number)
{
	memset(frame, number, H + bytes);
	memset(frame, 0, H);
	memset(frame + H, 0xff, 6);
	memcpy(frame + H + 6, "\2\0\0\0\0\1", 6);
	memcpy(frame + H + 12, tagged ? "\x81\0\x60\5\x88\xb5" : "\x88\xb5\0\0\0\0", 6);
	return H + bytes;
}

static int is_ours(const uint8_t *f)
{
	return !memcmp(f + H + 12, "\x88\xb5", 2) || !memcmp(f + H + 16, "\x88\xb5", 2);
}

static int read_ours(int fd, int *others)
{
	int n, found = 0;

	while ((n = frameport_read(fd, arena, sizeof(arena), table, SLOTS, &unread)) >= 0)
		for (int i = 0; i < n; i++)
			if (is_ours(arena + table[i * FRAMEPORT_D_WORDS]))
				found++;
			else
				(*others)++;
	EQUAL(n, -EAGAIN);
	return found;
}

static int read_tap(int fd)
{
	uint32_t frames[TAP_D_WORDS * 8];
	int n, found = 0;

	while ((n = tap_read(fd, room, sizeof(room), frames, 8)) > 0)
		for (int i = 0; i < n; i++)
			found += is_ours(room + frames[i * TAP_D_WORDS]);
	return found;
}

/* What the guest wrote into its tap is what is read, with its tag. */
static void comes_as_it_was(int tap, int in, int out)
{
	size_t bytes;
	int others = 0;

	for (int tagged = 0; tagged < 2; tagged++) {
		bytes = make_frame(300, tagged, 7);
		EQUAL(tap_write(tap, frame, bytes), bytes);
		EQUAL(frameport_read(in, arena, sizeof(arena), table, SLOTS, &unread), 1);
		EQUAL(table[FRAMEPORT_D_BYTES], bytes);
		CHECK(!memcmp(arena + table[FRAMEPORT_D_OFFSET], frame, bytes));
	}
	/* The checksum that is left to do is found behind the tag, too. */
	for (int tagged = 0; tagged < 2; tagged++) {
		struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 + 4 * tagged, .csum_offset = 16 }, got;

		bytes = make_frame(300, tagged, 8);
		memcpy(frame, &h, sizeof(h));
		EQUAL(tap_write(tap, frame, bytes), bytes);
		EQUAL(frameport_read(in, arena, sizeof(arena), table, SLOTS, &unread), 1);
		memcpy(&got, arena + table[FRAMEPORT_D_OFFSET], sizeof(got));
		EQUAL(got.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		EQUAL(got.csum_start, h.csum_start);
		EQUAL(got.csum_offset, 16);
		CHECK(!memcmp(arena + table[FRAMEPORT_D_OFFSET] + H, frame + H, bytes - H));
	}
	/* No slot is written over: a tag goes before its own frame. */
	for (uint8_t i = 0; i < SLOTS; i++)
		CHECK(tap_write(tap, frame, make_frame(1500 + 18, 1, i)) > 0);
	EQUAL(frameport_read(in, arena, sizeof(arena), table, SLOTS, &unread), SLOTS);
	for (uint8_t i = 0; i < SLOTS; i++) {
		bytes = make_frame(1500 + 18, 1, i);
		CHECK(!memcmp(arena + table[i * FRAMEPORT_D_WORDS], frame, bytes));
	}
	EQUAL(read_ours(out, &others), 0);
	EQUAL(unread, 0);
}

static void sent_and_full(int tap, const char *name, int in, int out)
{
	size_t bytes = make_frame(1000, 0, 1);
	int taken = 0, others = 0;

	EQUAL(frameport_send(out, frame, bytes), bytes);
	EQUAL(read_tap(tap), 1);
	/* The device's own queue has an end, and says so. */
	while (taken < 5000 && frameport_send(out, frame, bytes) > 0)
		taken++;
	EQUAL(frameport_send(out, frame, bytes), -ENOBUFS);
	CHECK(taken >= 400 && taken < 5000);
	EQUAL(frameport_empty(name, 0), 0);
	EQUAL(read_tap(tap), 0);
	EQUAL(frameport_send(out, frame, bytes), bytes);
	EQUAL(read_tap(tap), 1);
	/* Nobody of us reads what we have sent. */
	EQUAL(read_ours(in, &others) + read_ours(out, &others), 0);
	CHECK(frameport_send(out, frame, H + 5) == -EINVAL);
	CHECK(frameport_send(out, frame, 5) == -EINVAL);
	CHECK(frameport_send(out, frame, make_frame(9000, 0, 1)) == -EMSGSIZE);
}

static void counts_losses(int tap, const char *name)
{
	struct frameport_config config = { .interface = name, .receive_buffer = 1 };
	int small = frameport_open(&config), others = 0, found;
	int64_t lost;

	CHECK(small >= 0);
	for (uint8_t i = 0; i < 100; i++)
		CHECK(tap_write(tap, frame, make_frame(1000, 0, i)) > 0);
	found = read_ours(small, &others);
	lost = frameport_lost(small);
	CHECK(found > 0 && found < 100);
	EQUAL(found + lost, 100);
	EQUAL(frameport_lost(small), 0);
	close(small);
}

void test_frameport(void)
{
	struct tap_config tap_config = { .name = "colofp%d", .vnet_header = H };
	char name[TAP_NAME_BYTES];
	struct frameport_config config = { .interface = name, .receive_buffer = 1 << 22 };
	int tap, in, out;

	if (!in_own_network())
		return;
	tap = tap_open(&tap_config, name);
	CHECK(tap >= 0);
	in = frameport_open(&config);
	EQUAL(frameport_read(in, arena, sizeof(arena), table, SLOTS, &unread), -ENETDOWN); /* off as yet */
	close(in);
	switch_on(name, 1);
	in = frameport_open(&config);
	config.outgoing = 1;
	out = frameport_open(&config);
	CHECK(in >= 0 && out >= 0);
	EQUAL(frameport_read(in, arena, FRAMEPORT_SLOT - 1, table, SLOTS, &unread), 0);
	read_tap(tap);
	comes_as_it_was(tap, in, out);
	sent_and_full(tap, name, in, out);
	counts_losses(tap, name);
	switch_on(name, 0);
	EQUAL(frameport_send(out, frame, make_frame(100, 0, 1)), -ENETDOWN);
	EQUAL(frameport_read(out, arena, sizeof(arena), table, SLOTS, &unread), -ENETDOWN);
	close(tap);
	EQUAL(frameport_send(in, frame, make_frame(100, 0, 1)), -ENXIO);
	close(in);
	close(out);
	EQUAL(frameport_open(&config), -ENODEV);
	EQUAL(frameport_empty(name, 0), -ENODEV);
	EQUAL(frameport_empty("", 0), -ENODEV);
	EQUAL(frameport_empty("lo", 0), 0);
	config.netns = "no-such-netns";
	EQUAL(frameport_open(&config), -ENOENT);
}
