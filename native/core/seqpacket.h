/* Unix sockets that keep message borders (unix(7), SOCK_SEQPACKET), with the peer's credentials. */
#ifndef COLO_SEQPACKET_H
#define COLO_SEQPACKET_H

#include "message.h"
#include "unixpath.h"

/* Listens at `path`; see unixpath_listen() for what becomes of the file, which unixpath_unlink() removes. The descriptor or -errno. */
int seqpacket_listen(const char *path, mode_t mode, int backlog, struct unixpath_file *file);
int seqpacket_connect(const char *path, int wait_ms);
/* -EAGAIN when nobody waits. `peer` gets pid, uid and gid as they were at connect(2) (SO_PEERCRED). */
int seqpacket_accept(int fd, struct message_sender *peer);
/* Credentials come with every message (SCM_CREDENTIALS); `sender->end` tells the end from an empty message. */
int seqpacket_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender);

#endif
