/* See seqpacket.h. */
#define _GNU_SOURCE
#include "seqpacket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int pass_credentials(int fd)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ? -errno : 0;
}

/* Waits in line with all others who want in, for as long: a server with a full backlog answers EAGAIN to who does not wait. */
static int connect_waiting(int fd, const char *path, int wait_ms)
{
	struct timeval t = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
	int flags = fcntl(fd, F_GETFL), err;

	if (flags < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		return -errno;
	err = unixpath_connect(fd, path);
	return fcntl(fd, F_SETFL, flags) ? -errno : err;
}

int seqpacket_connect(const char *path, int wait_ms)
{
	int err, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	err = pass_credentials(fd);
	if (!err)
		err = unixpath_connect(fd, path);
	if (err == -EAGAIN && wait_ms > 0)
		err = connect_waiting(fd, path, wait_ms);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int seqpacket_listen(const char *path, mode_t mode, int backlog, struct unixpath_file *file)
{
	int err, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	err = pass_credentials(fd);
	if (!err)
		err = unixpath_listen(fd, path, mode, backlog, file);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int seqpacket_accept(int fd, struct message_sender *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int conn, err;

	do {
		conn = accept4(fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (conn < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (conn < 0)
		return -errno;
	memset(peer, 0, sizeof(*peer));
	err = pass_credentials(conn);
	if (!err && getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		err = -errno;
	if (err) {
		close(conn);
		return err;
	}
	peer->pid = (uint32_t)cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	return conn;
}

int seqpacket_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender)
{
	int n = message_receive(fd, buf, room, 0, 0, sender);

	if (n == -ECONNRESET)
		n = 0;
	/* An empty message has credentials, the end has none. */
	if (n == 0 && sender->pid == MESSAGE_NO_ID)
		sender->end = 1;
	return n;
}
