/* Stream sockets: both families, both ends, what does not wait, and files that are left alone. */
#define _GNU_SOURCE
#include "stream.h"
#include "test.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 10000) == 1;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	getsockopt(fd, level, name, &value, &bytes);
	return value;
}

/* Bytes from one end to the other, in two ranges, until the socket takes no more; then the end, and a send to nobody. */
static void carry(int from, int to)
{
	static uint8_t buf[1 << 20], seen[1 << 20];
	uint64_t state = 7;
	size_t sent = 0, got = 0;
	int n, wrong = 0;

	EQUAL(stream_receive(to, seen, sizeof(seen)), -EAGAIN);
	EQUAL(stream_send(from, (const uint8_t *)"hello", 5, (const uint8_t *)" world", 6), 11);
	CHECK(wait_for(to, POLLIN));
	EQUAL(stream_receive(to, seen, 4), 4);
	EQUAL(stream_receive(to, seen + 4, sizeof(seen) - 4), 7);
	CHECK(!memcmp(seen, "hello world", 11));

	/* A stream with the buffer's period, each call going on where the one before was cut. */
	random_bytes(&state, buf, sizeof(buf));
	for (;;) {
		size_t at = sent % sizeof(buf);

		n = stream_send(from, buf + at, sizeof(buf) - at, buf, at);
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	EQUAL(n, -EAGAIN);
	CHECK(sent > 0);
	while (got < sent && wait_for(to, POLLIN) && (n = stream_receive(to, seen, sizeof(seen))) > 0) {
		for (int i = 0; i < n; i++)
			wrong += seen[i] != buf[(got + (size_t)i) % sizeof(buf)];
		got += (size_t)n;
	}
	EQUAL(got, sent);
	EQUAL(wrong, 0);
	EQUAL(stream_send(from, buf, 0, buf, 0), 0);
	EQUAL(stream_send(from, buf, (size_t)1 << 31, buf, 0), -EINVAL);
	close(from);
	CHECK(wait_for(to, POLLIN));
	EQUAL(stream_receive(to, seen, sizeof(seen)), 0);
	n = stream_send(to, buf, 1, 0, 0);
	/* TCP learns it from the answer to the first byte. */
	if (n == 1 && wait_for(to, POLLERR))
		n = stream_send(to, buf, 1, 0, 0);
	CHECK(n == -EPIPE || n == -ECONNRESET); /* and no signal */
	close(to);
}

static void unix_streams(void)
{
	struct unixpath_file file, other;
	struct stat st;
	char *path = path_of("s"), longer[200];
	int server = stream_listen_unix(path, 0600, 1, &file), client, conn, waiting[8], count = 0, err = 0;

	CHECK(server >= 0);
	EQUAL(stat(path, &st), 0);
	EQUAL(st.st_mode & 07777, 0600);
	EQUAL(stream_accept(server), -EAGAIN);
	EQUAL(stream_port(server), -EAFNOSUPPORT);
	EQUAL(stream_listen_unix(path, 0600, 1, &other), -EADDRINUSE);
	EQUAL(stream_accept(server), -EAGAIN); /* the question made no connection */
	client = stream_connect_unix(path);
	CHECK(wait_for(client, POLLOUT));
	EQUAL(stream_connected(client), 0);
	conn = stream_accept(server);
	CHECK(conn >= 0);
	carry(client, conn);

	/* Those who wait are bounded, and who is not among them hears so at once. */
	while (count < 8 && (err = stream_connect_unix(path)) >= 0)
		waiting[count++] = err;
	EQUAL(err, -EAGAIN);
	CHECK(count >= 1);
	while (count)
		close(waiting[--count]);

	close(server);
	EQUAL(stream_connect_unix(path), -ECONNREFUSED);
	server = stream_listen_unix(path, 0600, 1, &file); /* what a killed one left is replaced */
	CHECK(server >= 0);
	file.inode++;
	unixpath_unlink(path, &file); /* another's */
	EQUAL(stat(path, &st), 0);
	file.inode--;
	unixpath_unlink(path, &file);
	EQUAL(stat(path, &st), -1);
	close(server);
	EQUAL(stream_connect_unix(path), -ENOENT);
	EQUAL(stream_connect_unix(""), -EINVAL);
	EQUAL(stream_listen_unix(path_of("no/s"), 0600, 1, &file), -ENOENT);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	EQUAL(stream_listen_unix(longer, 0600, 1, &file), -ENAMETOOLONG);
}

static void tcp_streams(const char *listen_at, const char *address)
{
	int server = stream_listen_tcp(listen_at, 0, 1), port = stream_port(server), client, conn;

	CHECK(server >= 0);
	CHECK(port > 0);
	EQUAL(stream_listen_tcp(listen_at, (uint16_t)port, 1), -EADDRINUSE);
	EQUAL(stream_accept(server), -EAGAIN);
	client = stream_connect_tcp(address, (uint16_t)port);
	CHECK(client >= 0);
	CHECK(wait_for(client, POLLOUT));
	EQUAL(stream_connected(client), 0);
	CHECK(wait_for(server, POLLIN));
	conn = stream_accept(server);
	CHECK(conn >= 0);
	for (int i = 0; i < 2; i++) {
		int fd = i ? conn : client;

		EQUAL(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
		EQUAL(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
		CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) + option(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option(fd, IPPROTO_TCP, TCP_KEEPCNT) <= 60);
	}
	EQUAL(stream_congestion(client, "reno"), 0);
	EQUAL(stream_congestion(client, "no such way"), -ENOENT);
	carry(conn, client);
	close(server);
	/* TIME_WAIT does not keep a restarted server out. */
	server = stream_listen_tcp(listen_at, (uint16_t)port, 1);
	CHECK(server >= 0);
	close(server);
	client = stream_connect_tcp(address, (uint16_t)port);
	if (client >= 0) {
		CHECK(wait_for(client, POLLOUT));
		EQUAL(stream_connected(client), -ECONNREFUSED);
		close(client);
	}
}

/* A client whose own port is the one that it dials has only found itself. */
static void meets_itself(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(own);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	EQUAL(bind(fd, (struct sockaddr *)&own, bytes), 0);
	EQUAL(getsockname(fd, (struct sockaddr *)&own, &bytes), 0);
	EQUAL(stream_connected(fd), -EINPROGRESS);
	EQUAL(connect(fd, (struct sockaddr *)&own, bytes), 0);
	EQUAL(stream_connected(fd), -ECONNREFUSED);
	close(fd);
}

void test_stream(void)
{
	strcpy(dir, "/tmp/colo-native-XXXXXX");
	CHECK(mkdtemp(dir) != 0);
	unix_streams();
	tcp_streams("127.0.0.1", "127.0.0.1");
	tcp_streams("", "127.0.0.1");
	if (!access("/proc/net/if_inet6", F_OK)) {
		tcp_streams("::1", "::1");
		tcp_streams("", "::1");
	}
	meets_itself();
	EQUAL(stream_connect_tcp("localhost", 1), -EINVAL); /* names are the caller's business */
	EQUAL(stream_listen_tcp("256.0.0.1", 1, 1), -EINVAL);
	EQUAL(rmdir(dir), 0);
}
