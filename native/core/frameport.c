/* See frameport.h. */
#define _GNU_SOURCE
#include "frameport.h"

#include "netns.h"
#include "packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CACHE_LINE 64u
#define TAG_BYTES 4u
/* txqueuelen of a tap as the kernel makes it, for one that somebody has left without a queue: nothing would pass it. */
#define TAP_QUEUE_LENGTH 1000

_Static_assert(sizeof(struct virtio_net_hdr) == FRAMEPORT_VNET_HEADER, "a virtio-net header without num_buffers");
_Static_assert(FRAMEPORT_SLOT / CACHE_LINE % 2 == 1 && FRAMEPORT_SLOT >= CACHE_LINE + FRAMEPORT_MAX_FRAME, "slots that share cache sets");

static int one_direction(int fd, int outgoing)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, outgoing ? 0 : 1, outgoing ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	int one = 1, err = packet_attach(fd, code, sizeof(code) / sizeof(*code));

	/* Spares the kernel a copy of each (Linux 4.20); the filter holds without it. */
	if (!err && !outgoing && setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) && errno != ENOPROTOOPT)
		err = -errno;
	return err;
}

static int set_up(int fd, const struct frameport_config *c)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int one = 1, bytes = (int)c->receive_buffer, index = packet_index(fd, c->interface), err;

	if (index < 0)
		return index;
	a.sll_ifindex = index;
	/* Needs CAP_NET_ADMIN to go beyond the host's bound; without it that bound has to do. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)))
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		return -errno;
	err = one_direction(fd, c->outgoing);
	if (err)
		return err;
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
}

int frameport_open(const struct frameport_config *c)
{
	/* Protocol 0 receives nothing, so that no frame of another interface comes before the bind. */
	int fd = netns_socket(c->netns, AF_PACKET, SOCK_RAW, 0), err;

	if (fd < 0)
		return fd;
	err = set_up(fd, c);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* `at`: where the virtio-net header stands, with TAG_BYTES to spare before it. Where it stands then. */
static uint8_t *put_tag_back(uint8_t *at, uint32_t tag)
{
	uint8_t *to = at - TAG_BYTES;
	struct virtio_net_hdr h;
	uint32_t be = htonl(tag);

	memcpy(&h, at, sizeof(h));
	/* Both count from the frame's start, and the kernel counts without the tag. */
	if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		h.csum_start = (uint16_t)(h.csum_start + TAG_BYTES);
	if (h.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		h.hdr_len = (uint16_t)(h.hdr_len + TAG_BYTES);
	memmove(to + sizeof(h), at + sizeof(h), 2 * ETH_ALEN);
	memcpy(to, &h, sizeof(h));
	memcpy(to + sizeof(h) + 2 * ETH_ALEN, &be, TAG_BYTES);
	return to;
}

static int receive(int fd, struct mmsghdr *msgs, uint32_t count, uint32_t *unread)
{
	for (;;) {
		int n = recvmmsg(fd, msgs, count, MSG_DONTWAIT, 0);

		if (n >= 0)
			return n;
		if (errno == EINVAL)
			(*unread)++; /* Taken, and thrown away: of a kind (a tunnel's, say) that the header does not know. */
		else if (errno != EINTR)
			return -errno;
	}
}

int frameport_read(int fd, uint8_t *arena, size_t arena_bytes, uint32_t *table, uint32_t max_frames, uint32_t *unread)
{
	struct mmsghdr msgs[FRAMEPORT_BATCH];
	struct iovec iov[FRAMEPORT_BATCH];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control[FRAMEPORT_BATCH];
	uint32_t slots = (uint32_t)(arena_bytes / FRAMEPORT_SLOT), found = 0;
	int n;

	if (slots > max_frames)
		slots = max_frames;
	if (slots > FRAMEPORT_BATCH)
		slots = FRAMEPORT_BATCH;
	for (uint32_t i = 0; i < slots; i++) {
		iov[i] = (struct iovec){ arena + (size_t)i * FRAMEPORT_SLOT + CACHE_LINE, FRAMEPORT_MAX_FRAME };
		msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = control[i].bytes,
			.msg_controllen = sizeof(control[i].bytes),
		};
	}
	n = receive(fd, msgs, slots, unread);
	for (int i = 0; i < n; i++) {
		uint8_t *at = iov[i].iov_base;
		uint32_t bytes = msgs[i].msg_len, tag = packet_tag(&msgs[i].msg_hdr);

		if (msgs[i].msg_hdr.msg_flags & MSG_TRUNC || bytes < FRAMEPORT_VNET_HEADER + ETH_HLEN) {
			(*unread)++;
			continue;
		}
		if (tag) {
			at = put_tag_back(at, tag);
			bytes += TAG_BYTES;
		}
		table[FRAMEPORT_D_OFFSET] = (uint32_t)(at - arena);
		table[FRAMEPORT_D_BYTES] = bytes;
		table += FRAMEPORT_D_WORDS;
		found++;
	}
	return n < 0 ? n : (int)found;
}

int frameport_send(int fd, const uint8_t *frame, size_t bytes)
{
	return packet_send(fd, frame, bytes);
}

int64_t frameport_lost(int fd)
{
	struct tpacket_stats stats;
	socklen_t bytes = sizeof(stats);

	/* The kernel begins to count again with each call. */
	return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes) ? -errno : (int64_t)stats.tp_drops;
}

static int set_queue_length(int fd, struct ifreq *req, int length)
{
	req->ifr_qlen = length;
	return ioctl(fd, SIOCSIFTXQLEN, req) ? -errno : 0;
}

int frameport_empty(const char *interface, const char *netns)
{
	struct ifreq req = { .ifr_flags = 0 };
	int fd, length, err;

	if (!*interface || strlen(interface) >= IFNAMSIZ)
		return -ENODEV;
	fd = netns_socket(netns, AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return fd;
	strcpy(req.ifr_name, interface);
	err = ioctl(fd, SIOCGIFTXQLEN, &req) ? -errno : 0;
	length = req.ifr_qlen ? req.ifr_qlen : TAP_QUEUE_LENGTH;
	if (!err)
		err = set_queue_length(fd, &req, 0);
	if (!err)
		err = set_queue_length(fd, &req, length);
	close(fd);
	return err;
}
