/* Byte streams between processes and machines: Unix (unix(7)) and TCP (tcp(7)) sockets, as servers and as clients. Nothing here ever
 * waits, and nothing raises SIGPIPE. */
#ifndef COLO_STREAM_H
#define COLO_STREAM_H

#include "unixpath.h"

#include <stddef.h>
#include <stdint.h>

/* Listening sockets; the descriptor or -errno. See unixpath_listen() for the file. `address` is a numeric IPv4 or IPv6 address, which
 * may have a scope (fe80::1%eth0); "" is every address of the machine, of both families where it has both. */
int stream_listen_unix(const char *path, mode_t mode, int backlog, struct unixpath_file *file);
int stream_listen_tcp(const char *address, uint16_t port, int backlog);
/* -EAGAIN when nobody waits. */
int stream_accept(int fd);
/* The port that a TCP socket has, or -errno. */
int stream_port(int fd);
/* How the socket shares the way with others (tcp(7), TCP_CONGESTION): 0 or -errno, -ENOENT where the kernel has no such way. */
int stream_congestion(int fd, const char *name);

/* Sockets on their way to a peer; the descriptor or -errno. -EAGAIN: the server's backlog is full, try again later. */
int stream_connect_unix(const char *path);
int stream_connect_tcp(const char *address, uint16_t port);
/* Asked when the socket is writable: 0 when the peer is there, -EINPROGRESS, or why it is not. */
int stream_connected(int fd);

/* Waits without sleeping, for at most so many microseconds, until one of two sockets has something to be read (or its end). 1: it has. */
int stream_spin(int first, int second, unsigned microseconds);

/* Bytes, 0 at the end of the stream, or -errno. */
int stream_receive(int fd, uint8_t *buf, size_t room);
/* Two ranges, the second of which may be empty, by one call. Bytes taken or -errno. */
int stream_send(int fd, const uint8_t *first, size_t first_bytes, const uint8_t *second, size_t second_bytes);

#endif
