/* See stream.h. */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* A peer whose machine has gone without a word is given up after 10 + 4 * 5 seconds of silence. */
#define KEEPALIVE_IDLE_S 10
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES 4

static int option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

/* Frames are small and must not wait for an acknowledgement of the one before (Nagle). */
static int tune_tcp(int fd)
{
	int err = option(fd, IPPROTO_TCP, TCP_NODELAY, 1);

	if (!err)
		err = option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (!err)
		err = option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	if (!err)
		err = option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	if (!err)
		err = option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	return err;
}

struct where {
	struct sockaddr_storage name;
	socklen_t bytes;
	int family;
};

static int numeric(const char *address, uint16_t port, struct where *out)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *found;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &found))
		return -EINVAL;
	memcpy(&out->name, found->ai_addr, found->ai_addrlen);
	out->bytes = found->ai_addrlen;
	out->family = found->ai_family;
	freeaddrinfo(found);
	return 0;
}

static int open_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int stream_listen_unix(const char *path, mode_t mode, int backlog, struct unixpath_file *file)
{
	int fd = open_socket(AF_UNIX), err;

	if (fd < 0)
		return fd;
	err = unixpath_listen(fd, path, mode, backlog, file);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int listen_at(const char *address, uint16_t port, int backlog, int both_families)
{
	struct where at;
	int err = numeric(address, port, &at), fd;

	if (err)
		return err;
	fd = open_socket(at.family);
	if (fd < 0)
		return fd;
	/* A restarted server must not wait until the connections of the one before are forgotten (TIME_WAIT). */
	err = option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err && both_families)
		err = option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (!err && (bind(fd, (struct sockaddr *)&at.name, at.bytes) || listen(fd, backlog)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int stream_listen_tcp(const char *address, uint16_t port, int backlog)
{
	int fd;

	if (*address)
		return listen_at(address, port, backlog, 0);
	fd = listen_at("::", port, backlog, 1);
	/* A machine without IPv6. */
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_at("0.0.0.0", port, backlog, 0);
	return fd;
}

static int is_tcp(int fd)
{
	int domain = AF_UNIX;
	socklen_t bytes = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes);
	return domain != AF_UNIX;
}

int stream_accept(int fd)
{
	int conn, err;

	do {
		conn = accept4(fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (conn < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (conn < 0)
		return -errno;
	err = is_tcp(conn) ? tune_tcp(conn) : 0;
	if (err) {
		close(conn);
		return err;
	}
	return conn;
}

int stream_port(int fd)
{
	struct sockaddr_storage name;
	socklen_t bytes = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &bytes))
		return -errno;
	if (name.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&name)->sin_port);
	if (name.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
	return -EAFNOSUPPORT;
}

int stream_congestion(int fd, const char *name)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) ? -errno : 0;
}

int stream_connect_unix(const char *path)
{
	int fd = open_socket(AF_UNIX), err;

	if (fd < 0)
		return fd;
	err = unixpath_connect(fd, path);
	if (err && err != -EINPROGRESS) {
		close(fd);
		return err;
	}
	return fd;
}

int stream_connect_tcp(const char *address, uint16_t port)
{
	struct where to;
	int err = numeric(address, port, &to), fd;

	if (err)
		return err;
	fd = open_socket(to.family);
	if (fd < 0)
		return fd;
	err = tune_tcp(fd);
	if (!err && connect(fd, (struct sockaddr *)&to.name, to.bytes) && errno != EINPROGRESS && errno != EINTR)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int stream_connected(int fd)
{
	struct sockaddr_storage name, own;
	socklen_t err_bytes = sizeof(int), bytes = sizeof(name), own_bytes = sizeof(own);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_bytes))
		return -errno;
	if (err)
		return -err;
	/* No error is no answer yet: only a connected socket has a peer's name. */
	if (getpeername(fd, (struct sockaddr *)&name, &bytes))
		return errno == ENOTCONN ? -EINPROGRESS : -errno;
	/* Who dials a port of the range that clients get theirs from may be given just that one, and meets itself (RFC 9293, 3.5). */
	if (name.ss_family != AF_UNIX && !getsockname(fd, (struct sockaddr *)&own, &own_bytes) && bytes == own_bytes &&
	    !memcmp(&name, &own, bytes))
		return -ECONNREFUSED;
	return 0;
}

int stream_receive(int fd, uint8_t *buf, size_t room)
{
	ssize_t n;

	if (room > INT_MAX)
		room = INT_MAX;
	do {
		n = recv(fd, buf, room, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

int stream_send(int fd, const uint8_t *first, size_t first_bytes, const uint8_t *second, size_t second_bytes)
{
	struct iovec iov[2] = { { (void *)first, first_bytes }, { (void *)second, second_bytes } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = second_bytes ? 2 : 1 };
	ssize_t n;

	if (first_bytes > INT_MAX || second_bytes > INT_MAX - first_bytes)
		return -EINVAL;
	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int stream_spin(int first, int second, unsigned microseconds)
{
	struct pollfd fds[] = { { .fd = first, .events = POLLIN }, { .fd = second, .events = POLLIN } };
	int64_t end = now_ns() + (int64_t)microseconds * 1000;

	do {
		if (poll(fds, 2, 0) > 0)
			return 1;
	} while (now_ns() < end);
	return 0;
}
