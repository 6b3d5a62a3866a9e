/* Netlink sockets of any protocol, for events and for messages between processes (netlink(7)). */
#ifndef COLO_NETLINK_H
#define COLO_NETLINK_H

#include "message.h"

struct netlink_config {
	int protocol;			/* NETLINK_* */
	uint32_t port_id;		/* 0 = the kernel chooses */
	const uint32_t *groups;		/* group numbers to join */
	uint32_t group_count;
	uint32_t receive_buffer;	/* bytes; 0 = the system's default */
	const char *netns;
};

/* A non-blocking socket whose messages carry the sender's credentials; `*port_id` is what was bound. The descriptor or -errno. */
int netlink_open(const struct netlink_config *config, uint32_t *port_id);
int netlink_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender);
/* port_id 0 and group 0 = the kernel. Bytes sent or -errno; -ECONNREFUSED: nobody has that port id. */
int netlink_send(int fd, const uint8_t *buf, size_t bytes, uint32_t port_id, uint32_t group);
/* Opens the list of netlink sockets (/proc/net/netlink) of a namespace, and looks there. 1, 0 or -errno. */
int netlink_list_open(const char *netns);
int netlink_port_bound(int list_fd, int protocol, uint32_t port_id);

#endif
