/* See message.h. Facts: recvmsg(2), unix(7), netlink(7). */
#define _GNU_SOURCE
#include "message.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <unistd.h>

static void take_control(struct msghdr *msg, struct message_sender *s)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			s->pid = (uint32_t)cred.pid;
			s->uid = cred.uid;
			s->gid = cred.gid;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (size_t i = 0; i < n; i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
				close(fd);
			}
		} else if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_PKTINFO) {
			struct nl_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			s->group = info.group;
		}
	}
}

int message_receive(int fd, uint8_t *buf, size_t room, void *name, socklen_t *name_bytes, struct message_sender *s)
{
	union {
		struct cmsghdr align;
		char bytes[512];
	} control;
	struct iovec iov = { buf, room };
	struct msghdr msg = {
		.msg_name = name,
		.msg_namelen = name_bytes ? *name_bytes : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	memset(s, 0, sizeof(*s));
	s->pid = s->uid = s->gid = MESSAGE_NO_ID;
	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (name_bytes)
		*name_bytes = msg.msg_namelen;
	take_control(&msg, s);
	s->truncated = (msg.msg_flags & MSG_TRUNC) != 0;
	return (int)n;
}

int message_send(int fd, const uint8_t *buf, size_t bytes, const void *name, socklen_t name_bytes)
{
	ssize_t n;

	do {
		n = sendto(fd, buf, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, name, name_bytes);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}
