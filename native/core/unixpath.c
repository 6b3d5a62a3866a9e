/* See unixpath.h. */
#define _GNU_SOURCE
#include "unixpath.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
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

int unixpath_connect(int fd, const char *path)
{
	struct sockaddr_un a;
	int err = address(path, &a);

	if (err)
		return err;
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
}

/* Removes what a killed server has left. Only a refused connection proves that nobody listens. The question is asked with a
 * datagram socket: a living server of connections answers EPROTOTYPE, and never sees it. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd, err;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = unixpath_connect(fd, path);
	close(fd);
	if (err == -EACCES)
		return err;
	if (err != -ECONNREFUSED)
		return err == -ENOENT ? 0 : -EADDRINUSE;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int unixpath_listen(int fd, const char *path, mode_t mode, int backlog, struct unixpath_file *file)
{
	struct sockaddr_un a;
	struct stat st;
	int err = address(path, &a);

	if (!err)
		err = remove_stale(path);
	if (err)
		return err;
	/* The file takes the socket's own mode, less the umask, so that it never stands open wider than asked. */
	if (fchmod(fd, mode) || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	/* Nobody can connect before listen(2). */
	if (lstat(path, &st))
		err = -errno;
	else if (((st.st_mode & 07777) != mode && chmod(path, mode)) || listen(fd, backlog))
		err = -errno;
	if (err) {
		unlink(path);
		return err;
	}
	file->device = st.st_dev;
	file->inode = st.st_ino;
	return 0;
}

void unixpath_unlink(const char *path, const struct unixpath_file *file)
{
	struct stat st;

	if (!lstat(path, &st) && st.st_dev == file->device && st.st_ino == file->inode)
		unlink(path);
}
