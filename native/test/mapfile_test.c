/* Mapped files: what is written is in the file; what must not be opened is not. */
#define _GNU_SOURCE
#include "mapfile.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void test_mapfile(void)
{
	char dir[] = "/tmp/colo-mapfile-XXXXXX", path[64], other[64], buf[8] = { 0 };
	struct mapfile m, n;
	struct stat st;
	int fd;

	CHECK(mkdtemp(dir) != 0);
	snprintf(path, sizeof(path), "%s/map", dir);
	snprintf(other, sizeof(other), "%s/link", dir);
	EQUAL(mapfile_open(&m, path, 10000), 0);
	EQUAL(m.data[9999], 0);
	memcpy(m.data + 5000, "hello", 5);
	fd = open(path, O_RDONLY);
	EQUAL(pread(fd, buf, 5, 5000), 5);
	CHECK(!memcmp(buf, "hello", 5));
	EQUAL(fstat(fd, &st), 0);
	EQUAL(st.st_mode & 07777, 0600);
	EQUAL(st.st_size, 10000);
	CHECK(st.st_blocks * 512 >= 10000); /* reserved */
	close(fd);
	EQUAL(mapfile_open(&n, path, 10000), -EBUSY);
	mapfile_close(&m);
	mapfile_close(&m);
	EQUAL(mapfile_open(&m, path, 20000), 0); /* grows, and keeps what it has */
	CHECK(!memcmp(m.data + 5000, "hello", 5));
	EQUAL(m.data[19999], 0);
	mapfile_close(&m);

	EQUAL(symlink(path, other), 0);
	EQUAL(mapfile_open(&m, other, 100), -ELOOP);
	unlink(other);
	EQUAL(mkfifo(other, 0600), 0);
	EQUAL(mapfile_open(&m, other, 100), -EINVAL);
	unlink(other);
	EQUAL(mapfile_open(&m, "/nonexistent/dir/file", 100), -ENOENT);
	EQUAL(mapfile_open(&m, path, 0), -EINVAL);
	if (geteuid() == 0) {
		EQUAL(chown(path, 12345, 12345), 0);
		EQUAL(mapfile_open(&m, path, 100), -EACCES);
	}
	unlink(path);
	EQUAL(rmdir(dir), 0);
}
