/* See seqpacket.h. */
#define _GNU_SOURCE
#include "seqpacket.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(const char *path, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	strcpy(a->sun_path, path);
	return 0;
}

static int pass_credentials(int fd)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ? -errno : 0;
}

int seqpacket_connect(const char *path)
{
	struct sockaddr_un a;
	int err = address(path, &a), fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = pass_credentials(fd);
	if (!err && connect(fd, (struct sockaddr *)&a, sizeof(a)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* Removes what a killed server has left. Only a refused connection proves that nobody listens. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = seqpacket_connect(path);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return fd == -ENOENT ? 0 : -EADDRINUSE;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int seqpacket_listen(const char *path, mode_t mode, int backlog, struct seqpacket_file *file)
{
	struct sockaddr_un a;
	struct stat st;
	int fd, err = address(path, &a);

	if (!err)
		err = remove_stale(path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The file takes the socket's own mode, less the umask, so that it never stands open wider than asked. */
	err = fchmod(fd, mode) ? -errno : pass_credentials(fd);
	if (!err && bind(fd, (struct sockaddr *)&a, sizeof(a)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	/* Nobody can connect before listen(2). */
	if (lstat(path, &st))
		err = -errno;
	else if ((st.st_mode & 07777) != mode && chmod(path, mode))
		err = -errno;
	if (!err && listen(fd, backlog))
		err = -errno;
	if (err) {
		unlink(path);
		close(fd);
		return err;
	}
	file->device = st.st_dev;
	file->inode = st.st_ino;
	return fd;
}

void seqpacket_unlink(const char *path, const struct seqpacket_file *file)
{
	struct stat st;

	if (!lstat(path, &st) && st.st_dev == file->device && st.st_ino == file->inode)
		unlink(path);
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
