/* See netlink.h. */
#define _GNU_SOURCE
#include "netlink.h"

#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int configure(int fd, const struct netlink_config *c)
{
	int one = 1, want = c->receive_buffer > 0x3fffffff ? 0x3fffffff : (int)c->receive_buffer;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_PKTINFO, &one, sizeof(one)))
		return -errno;
	/* Before the groups: an event storm may start at once. */
	if (want && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
	return 0;
}

static int join(int fd, const struct netlink_config *c)
{
	for (uint32_t i = 0; i < c->group_count; i++) {
		int group = (int)c->groups[i];

		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
			return -errno;
	}
	return 0;
}

int netlink_open(const struct netlink_config *c, uint32_t *port_id)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK, .nl_pid = c->port_id };
	socklen_t len = sizeof(me);
	int fd = netns_socket(c->netns, AF_NETLINK, SOCK_RAW, c->protocol), err;

	if (fd < 0)
		return fd;
	err = configure(fd, c);
	if (!err && bind(fd, (struct sockaddr *)&me, sizeof(me)))
		err = -errno;
	if (!err)
		err = join(fd, c);
	if (!err && getsockname(fd, (struct sockaddr *)&me, &len))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	*port_id = me.nl_pid;
	return fd;
}

int netlink_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender)
{
	struct sockaddr_nl from = { 0 };
	socklen_t len = sizeof(from);
	int n = message_receive(fd, buf, room, &from, &len, sender);

	if (n >= 0)
		sender->port_id = from.nl_pid;
	return n;
}

int netlink_send(int fd, const uint8_t *buf, size_t bytes, uint32_t port_id, uint32_t group)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = port_id };

	/* A send can name only the groups of the old 32-bit mask. */
	if (group > 32)
		return -EINVAL;
	if (group)
		to.nl_groups = 1u << (group - 1);
	return message_send(fd, buf, bytes, &to, sizeof(to));
}

int netlink_list_open(const char *netns)
{
	struct netns_scope scope;
	int fd, err = netns_enter(&scope, netns);

	if (err)
		return err;
	fd = open("/proc/thread-self/net/netlink", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	netns_leave(&scope);
	return fd;
}

/* Columns: kernel address, protocol, port id, groups, ... The file is read in pieces that may end within a line. */
int netlink_port_bound(int list_fd, int protocol, uint32_t port_id)
{
	char text[4097];
	size_t have = 0;
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(list_fd, text + have, sizeof(text) - 1 - have, at);
		char *line = text, *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		at += n;
		have += (size_t)n;
		text[have] = 0;
		for (; (end = strchr(line, '\n')); line = end + 1) {
			int proto;
			unsigned int port;

			if (sscanf(line, "%*s %d %u", &proto, &port) == 2 && proto == protocol && port == port_id)
				return 1;
		}
		have = strlen(line);
		memmove(text, line, have);
		if (have == sizeof(text) - 1)
			return -EIO;
	}
}
