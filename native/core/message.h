/* One received message and who sent it, as the kernel says: the same for every kind of socket here. */
#ifndef COLO_MESSAGE_H
#define COLO_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MESSAGE_NO_ID 0xffffffffu

struct message_sender {
	uint32_t port_id;	/* netlink */
	uint32_t group;		/* netlink: of a multicast message, with NETLINK_PKTINFO */
	uint32_t pid;		/* SCM_CREDENTIALS; MESSAGE_NO_ID when the kernel gave none */
	uint32_t uid;
	uint32_t gid;
	uint32_t truncated;	/* 1 = the message was longer than the buffer: its rest is lost */
	uint32_t end;		/* 1 = the peer has closed (SOCK_SEQPACKET) */
	uint32_t packet_type;	/* AF_PACKET: PACKET_HOST, ... */
	uint32_t ifindex;	/* AF_PACKET */
	uint32_t vlan;		/* AF_PACKET: the tag that the kernel took out of the frame: TPID << 16 | TCI; 0 = none */
};

/* recvmsg(2), never waiting, with SCM_CREDENTIALS and NETLINK_PKTINFO taken out of the control data, and descriptors that
 * a peer may have passed closed at once. Bytes or -errno. */
int message_receive(int fd, uint8_t *buf, size_t room, void *name, socklen_t *name_bytes, struct message_sender *sender);
/* sendto(2), never waiting and never raising SIGPIPE. Bytes or -errno. */
int message_send(int fd, const uint8_t *buf, size_t bytes, const void *name, socklen_t name_bytes);

#endif
