/* See mapfile.h. */
#define _GNU_SOURCE
#include "mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int prepare(int fd, size_t bytes)
{
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_uid != geteuid())
		return -EACCES;
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	do {
		err = posix_fallocate(fd, 0, (off_t)bytes);
	} while (err == EINTR);
	return -err;
}

int mapfile_open(struct mapfile *m, const char *path, size_t bytes)
{
	int err;

	m->data = 0;
	m->bytes = bytes;
	if (bytes == 0)
		return -EINVAL;
	m->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (m->fd < 0)
		return -errno;
	err = prepare(m->fd, bytes);
	if (!err) {
		void *p = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);

		if (p == MAP_FAILED)
			err = -errno;
		else
			m->data = p;
	}
	if (err)
		close(m->fd);
	return err;
}

void mapfile_close(struct mapfile *m)
{
	if (!m->data)
		return;
	munmap(m->data, m->bytes);
	close(m->fd);
	m->data = 0;
}
