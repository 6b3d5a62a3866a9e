/* A tap device in a network of this process's own: what is written arrives, what is sent to it can be read, and its end is told. */
#define _GNU_SOURCE
#include "packet.h"
#include "tap.h"
#include "test.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ETHERTYPE 0x88b5 /* local experimental */

static void set_up(const char *name, int up)
{
	struct ifreq req = { .ifr_flags = up ? IFF_UP : 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(req.ifr_name, name);
	CHECK(ioctl(fd, SIOCSIFFLAGS, &req) == 0);
	close(fd);
}

static void make_frame(uint8_t *frame, size_t bytes, uint8_t mark)
{
	memset(frame, mark, bytes);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, "\2\0\0\0\0\1\x88\xb5", 8);
}

/* The n-th of our own frames in a batch: the network stack says things of its own (IPv6). Counts them; `wrong` those that differ. */
static int ours(const uint8_t *arena, const uint32_t *table, int count, uint32_t header, size_t bytes, uint8_t *mark, int *wrong)
{
	int found = 0;

	for (int i = 0; i < count; i++) {
		const uint8_t *f = arena + table[i * TAP_D_WORDS + TAP_D_OFFSET] + header;
		uint8_t expected[2000];

		if (memcmp(f + 12, "\x88\xb5", 2))
			continue;
		make_frame(expected, bytes, (*mark)++);
		*wrong += table[i * TAP_D_WORDS + TAP_D_BYTES] != bytes + header || memcmp(f, expected, bytes) != 0;
		found++;
	}
	return found;
}

static void frames(uint32_t header)
{
	static uint8_t arena[4 * TAP_MAX_FRAME], frame[2000];
	struct tap_config config = { .name = "colotap%d", .vnet_header = header };
	struct message_sender sender;
	uint32_t table[2 * 8], index;
	uint8_t mark = 0;
	char name[TAP_NAME_BYTES], other[TAP_NAME_BYTES];
	int fd = tap_open(&config, name), sock, count, found = 0, wrong = 0;
	struct packet_config socket_config = { .interface = name, .ethertype = ETHERTYPE };

	CHECK(fd >= 0);
	CHECK(!strncmp(name, "colotap", 7) && strlen(name) > 7);
	config.name = name;
	EQUAL(tap_open(&config, other), -EBUSY);
	memset(frame, 0, sizeof(frame));
	make_frame(frame + header, 1000, 1);
	EQUAL(tap_write(fd, frame, 1000 + header), -EIO); /* down */
	set_up(name, 1);
	sock = packet_open(&socket_config, &index);
	CHECK(sock >= 0);

	EQUAL(tap_write(fd, frame, 1000 + header), 1000 + header);
	EQUAL(packet_receive(sock, arena, sizeof(arena), &sender), 1000);
	CHECK(!memcmp(arena, frame + header, 1000));
	EQUAL(tap_write(fd, frame, header + 13), -EINVAL); /* less than an Ethernet header */

	for (uint8_t i = 0; i < 20; i++) {
		make_frame(frame, 1400, i);
		EQUAL(packet_send(sock, frame, 1400), 1400);
	}
	/* Batches are bounded by the table, and by what the arena may have to hold. */
	while ((count = tap_read(fd, arena, sizeof(arena), table, 8)) > 0) {
		CHECK(count <= 8);
		CHECK(table[(count - 1) * TAP_D_WORDS] + table[(count - 1) * TAP_D_WORDS + 1] <= sizeof(arena));
		found += ours(arena, table, count, header, 1400, &mark, &wrong);
	}
	EQUAL(count, -EAGAIN);
	EQUAL(found, 20);
	EQUAL(wrong, 0);
	for (uint8_t i = 20; i < 24; i++) {
		make_frame(frame, 1400, i);
		EQUAL(packet_send(sock, frame, 1400), 1400);
	}
	EQUAL(tap_read(fd, arena, TAP_MAX_FRAME + 1, table, 8), 1);
	EQUAL(tap_read(fd, arena, TAP_MAX_FRAME - 1, table, 8), 0);
	close(sock);
	close(fd);
	EQUAL(if_nametoindex(name), 0); /* it went with its descriptor */
}

void test_tap(void)
{
	struct tap_config config = { .name = "lo" };
	char name[TAP_NAME_BYTES];

	if (!in_own_network())
		return;
	EQUAL(tap_open(&config, name), -EINVAL);
	config.name = "";
	EQUAL(tap_open(&config, name), -ENODEV);
	config.name = "sixteen-bytes-xx";
	EQUAL(tap_open(&config, name), -ENODEV);
	config = (struct tap_config){ .name = "colotap0", .vnet_header = 11 };
	EQUAL(tap_open(&config, name), -EINVAL);
	config = (struct tap_config){ .name = "colotap0", .netns = "no-such-netns" };
	EQUAL(tap_open(&config, name), -ENOENT);
	frames(0);
	frames(10);
	frames(12);
}
