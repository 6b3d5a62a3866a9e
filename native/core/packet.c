/* See packet.h. */
#define _GNU_SOURCE
#include "packet.h"

#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A bridge takes the frames of its ports before they reach the sockets of an ethertype, but not before those of all. */
static int only(int fd, uint16_t ethertype)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ethertype, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

static int bind_to(int fd, const struct packet_config *c, uint32_t *ifindex)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(c->ethertype ? ETH_P_ALL : 0) };
	struct ifreq req;
	int one = 1, err;

	if (!*c->interface || strlen(c->interface) >= IFNAMSIZ)
		return -ENODEV;
	memset(&req, 0, sizeof(req));
	strcpy(req.ifr_name, c->interface);
	if (ioctl(fd, SIOCGIFINDEX, &req))
		return -errno;
	a.sll_ifindex = req.ifr_ifindex;
	*ifindex = (uint32_t)req.ifr_ifindex;
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) && errno != ENOPROTOOPT)
		return -errno;
	err = c->ethertype && c->ethertype != ETH_P_ALL ? only(fd, c->ethertype) : 0;
	if (err)
		return err;
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
}

int packet_open(const struct packet_config *c, uint32_t *ifindex)
{
	/* Protocol 0 receives nothing, so that no frame of another interface comes before the bind. */
	int fd = netns_socket(c->netns, AF_PACKET, SOCK_RAW, 0), err;

	if (fd < 0)
		return fd;
	err = bind_to(fd, c, ifindex);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* Not message_receive(): packet sockets have no credentials, and refuse the flag that Unix sockets need. */
int packet_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender)
{
	struct sockaddr_ll from = { 0 };
	socklen_t len = sizeof(from);
	ssize_t n;

	memset(sender, 0, sizeof(*sender));
	sender->pid = sender->uid = sender->gid = MESSAGE_NO_ID;
	do {
		n = recvfrom(fd, buf, room, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	sender->packet_type = from.sll_pkttype;
	sender->ifindex = (uint32_t)from.sll_ifindex;
	sender->truncated = (size_t)n > room;
	return sender->truncated ? (int)room : (int)n;
}

int packet_send(int fd, const uint8_t *buf, size_t bytes)
{
	return message_send(fd, buf, bytes, 0, 0);
}
