/* A tap device: Ethernet frames to and from this machine's network stack, or a bridge (Documentation/networking/tuntap.rst). */
#ifndef COLO_TAP_H
#define COLO_TAP_H

#include <stddef.h>
#include <stdint.h>

/* What the kernel can give at once: 64 KiB of packet, Ethernet with tags, virtio-net header; QEMU's NET_BUFSIZE. */
#define TAP_MAX_FRAME 69632
#define TAP_NAME_BYTES 16 /* IFNAMSIZ */

/* Words of a frame's descriptor. */
#define TAP_D_OFFSET 0 /* from the arena's start */
#define TAP_D_BYTES 1
#define TAP_D_WORDS 2

struct tap_config {
	const char *name;      /* up to 15 bytes; tap%d lets the kernel number it */
	const char *netns;     /* NULL or "": this one */
	uint32_t vnet_header;  /* bytes of a virtio-net header before each frame: 0 (none), 10 or 12 */
};

/* Attaches to the device, which is made if there is none of that name, and then lives as long as the descriptor. `name` gets what it
 * is called (TAP_NAME_BYTES). The descriptor, non-blocking, or -errno: -EBUSY somebody has it, -EINVAL it is no tap. */
int tap_open(const struct tap_config *config, char *name);
/* Frames into the arena, one behind the other, until there is none, or the table is full, or the arena has no room for a largest
 * one. How many, or -errno when there was none (-EAGAIN) or the device has gone (-ENODEV). */
int tap_read(int fd, uint8_t *arena, size_t arena_bytes, uint32_t *table, uint32_t max_frames);
/* One frame. Bytes or -errno: -EAGAIN the device takes no more now, -EIO it is down, -EINVAL it is no frame. */
int tap_write(int fd, const uint8_t *frame, size_t bytes);

#endif
