/* See tap.h. */
#define _GNU_SOURCE
#include "tap.h"

#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int attach(int fd, const struct tap_config *c, char *name)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int bytes = (int)c->vnet_header;

	if (bytes)
		req.ifr_flags |= IFF_VNET_HDR;
	strcpy(req.ifr_name, c->name);
	if (ioctl(fd, TUNSETIFF, &req))
		return -errno;
	if (bytes && ioctl(fd, TUNSETVNETHDRSZ, &bytes))
		return -errno;
	memcpy(name, req.ifr_name, TAP_NAME_BYTES);
	return 0;
}

int tap_open(const struct tap_config *c, char *name)
{
	struct netns_scope scope;
	int fd, err;

	if (!*c->name || strlen(c->name) >= TAP_NAME_BYTES)
		return -ENODEV;
	if (c->vnet_header != 0 && c->vnet_header != 10 && c->vnet_header != 12)
		return -EINVAL;
	err = netns_enter(&scope, c->netns);
	if (err)
		return err;
	/* The device belongs to the network namespace in which the file was opened. */
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = -errno;
	netns_leave(&scope);
	if (fd < 0)
		return fd;
	err = attach(fd, c, name);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int tap_read(int fd, uint8_t *arena, size_t arena_bytes, uint32_t *table, uint32_t max_frames)
{
	uint32_t count = 0;
	size_t at = 0;

	while (count < max_frames && arena_bytes - at >= TAP_MAX_FRAME) {
		ssize_t n;

		do {
			n = read(fd, arena + at, TAP_MAX_FRAME);
		} while (n < 0 && errno == EINTR);
		if (n <= 0) {
			/* The device was deleted (EBADFD), or is just being (EIO). */
			int err = n < 0 && errno != EBADFD && errno != EIO ? -errno : -ENODEV;

			/* Another error than -EAGAIN comes again at the next call. */
			return count ? (int)count : err;
		}
		table[TAP_D_OFFSET] = (uint32_t)at;
		table[TAP_D_BYTES] = (uint32_t)n;
		table += TAP_D_WORDS;
		count++;
		/* The next one on a word's border. */
		at += ((size_t)n + 7) & ~(size_t)7;
	}
	return (int)count;
}

int tap_write(int fd, const uint8_t *frame, size_t bytes)
{
	ssize_t n;

	do {
		n = write(fd, frame, bytes);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}
