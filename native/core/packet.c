/* See packet.h. */
#define _GNU_SOURCE
#include "packet.h"

#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int packet_attach(int fd, const struct sock_filter *code, uint16_t length)
{
	struct sock_fprog program = { .len = length, .filter = (struct sock_filter *)code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

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

	return packet_attach(fd, code, sizeof(code) / sizeof(*code));
}

int packet_index(int fd, const char *interface)
{
	struct ifreq req;

	if (!*interface || strlen(interface) >= IFNAMSIZ)
		return -ENODEV;
	memset(&req, 0, sizeof(req));
	strcpy(req.ifr_name, interface);
	return ioctl(fd, SIOCGIFINDEX, &req) ? -errno : req.ifr_ifindex;
}

static int bind_to(int fd, const struct packet_config *c, uint32_t *ifindex)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(c->ethertype || c->filter ? ETH_P_ALL : 0) };
	int one = 1, index = packet_index(fd, c->interface), err;

	if (index < 0)
		return index;
	a.sll_ifindex = index;
	*ifindex = (uint32_t)index;
	if (!c->outgoing && setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) && errno != ENOPROTOOPT)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)))
		return -errno;
	err = 0;
	if (c->filter)
		err = packet_attach(fd, c->filter, c->filter_length);
	else if (c->ethertype && c->ethertype != ETH_P_ALL)
		err = only(fd, c->ethertype);
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

uint32_t packet_tag(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			return 0;
		return (uint32_t)(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q) << 16 | aux.tp_vlan_tci;
	}
	return 0;
}

/* Not message_receive(): packet sockets have no credentials, and refuse the flag that Unix sockets need. */
int packet_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	struct sockaddr_ll from = { 0 };
	struct iovec iov = { buf, room };
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	memset(sender, 0, sizeof(*sender));
	sender->pid = sender->uid = sender->gid = MESSAGE_NO_ID;
	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	sender->packet_type = from.sll_pkttype;
	sender->ifindex = (uint32_t)from.sll_ifindex;
	sender->vlan = packet_tag(&msg);
	sender->truncated = (size_t)n > room;
	return sender->truncated ? (int)room : (int)n;
}

int packet_send(int fd, const uint8_t *buf, size_t bytes)
{
	return message_send(fd, buf, bytes, 0, 0);
}
