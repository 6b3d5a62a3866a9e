/* A file in memory that outlives the process (mmap(2), MAP_SHARED): what is written survives a kill at any instant. */
#ifndef COLO_MAPFILE_H
#define COLO_MAPFILE_H

#include <stddef.h>
#include <stdint.h>

struct mapfile {
	uint8_t *data;
	size_t bytes;
	int fd; /* holds the lock */
};

/* Opens or makes `path` (mode 0600, not through a symbolic link), of at least `bytes` bytes, all of them reserved, so that
 * a full file system is an error here and not a SIGBUS later. New bytes are zero. Locked: -EBUSY when another process has it.
 * -EINVAL: not a regular file; -EACCES: not owned by this user. */
int mapfile_open(struct mapfile *m, const char *path, size_t bytes);
void mapfile_close(struct mapfile *m);

#endif
