/* The file at which a Unix socket listens (unix(7)): how a server takes its path, and how it gives it back. */
#ifndef COLO_UNIXPATH_H
#define COLO_UNIXPATH_H

#include <sys/types.h>

/* Which file a server has made, so that it removes no other. */
struct unixpath_file {
	dev_t device;
	ino_t inode;
};

/* Listens with a socket at `path`, the file made with `mode`. A socket file that nobody serves any more is replaced; -EADDRINUSE: somebody
 * does; -EEXIST: something stands there that is no socket. 0 or -errno, and then no file is left. */
int unixpath_listen(int fd, const char *path, mode_t mode, int backlog, struct unixpath_file *file);
/* Removes the file if it is still the one that was made. */
void unixpath_unlink(const char *path, const struct unixpath_file *file);
int unixpath_connect(int fd, const char *path);

#endif
