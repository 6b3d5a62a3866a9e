/* A guest's port seen by a packet socket (packet(7)): all its frames of one direction, whole, with virtio-net headers, many in one
 * call, and frames into it. */
#ifndef COLO_FRAMEPORT_H
#define COLO_FRAMEPORT_H

#include <stddef.h>
#include <stdint.h>

#define FRAMEPORT_VNET_HEADER 10 /* struct virtio_net_hdr, host byte order */
/* A largest frame: 64 KiB of packet and some, Ethernet header with tags, virtio-net header. */
#define FRAMEPORT_MAX_FRAME 69632
/* What a frame takes of the arena: an odd number of cache lines, so that the first lines of the slots do not all fall into one
 * cache set. The first is room for a VLAN tag. */
#define FRAMEPORT_SLOT ((FRAMEPORT_MAX_FRAME + 128) | 64)
/* Frames in one call. */
#define FRAMEPORT_BATCH 64

/* Words of a frame's descriptor. */
#define FRAMEPORT_D_OFFSET 0 /* of its virtio-net header, from the arena's start */
#define FRAMEPORT_D_BYTES 1 /* virtio-net header and frame */
#define FRAMEPORT_D_WORDS 2

struct frameport_config {
	const char *interface;
	const char *netns;	 /* NULL or "": this one */
	uint8_t outgoing;	 /* 1 = the frames that leave by the interface, 0 = those that come in by it */
	uint32_t receive_buffer; /* bytes that the kernel may keep for us */
};

/* The descriptor, non-blocking, or -errno: -ENODEV no such interface. */
int frameport_open(const struct frameport_config *config);
/* As many frames as there are, the table has descriptors and the arena slots for, up to FRAMEPORT_BATCH. How many, 0 when all that
 * came could not be read, or -errno when there was none (-EAGAIN) or the interface is down or gone (-ENETDOWN). A VLAN tag is in its
 * place in the frame. `*unread` grows by the frames that a virtio-net header cannot tell of, or that are longer than a largest one. */
int frameport_read(int fd, uint8_t *arena, size_t arena_bytes, uint32_t *table, uint32_t max_frames, uint32_t *unread);
/* Virtio-net header and frame, past the interface's queueing discipline, and so with a word of a full device. Bytes or -errno:
 * -ENOBUFS the device takes no more now, -ENETDOWN it is down, -ENXIO gone, -EINVAL or -EMSGSIZE it is no frame for it. */
int frameport_send(int fd, const uint8_t *frame, size_t bytes);
/* Frames that the kernel has dropped since the last call as we did not read fast enough; or -errno. */
int64_t frameport_lost(int fd);
/* Throws away what waits in a device's own queue (txqueuelen 0 and back). 0 or -errno. */
int frameport_empty(const char *interface, const char *netns);

#endif
