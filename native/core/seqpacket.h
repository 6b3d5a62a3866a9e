/* Unix sockets that keep message borders (unix(7), SOCK_SEQPACKET), with the peer's credentials. */
#ifndef COLO_SEQPACKET_H
#define COLO_SEQPACKET_H

#include "message.h"

#include <sys/types.h>

/* Which file a server has made, so that it removes no other. */
struct seqpacket_file {
	dev_t device;
	ino_t inode;
};

/* Listens at `path`, made with `mode`. A socket file that nobody serves any more is replaced; -EADDRINUSE: somebody does;
 * -EEXIST: something stands there that is no socket. The descriptor or -errno. */
int seqpacket_listen(const char *path, mode_t mode, int backlog, struct seqpacket_file *file);
/* Removes the file if it is still the one that was made. */
void seqpacket_unlink(const char *path, const struct seqpacket_file *file);
int seqpacket_connect(const char *path);
/* -EAGAIN when nobody waits. `peer` gets pid, uid and gid as they were at connect(2) (SO_PEERCRED). */
int seqpacket_accept(int fd, struct message_sender *peer);
/* Credentials come with every message (SCM_CREDENTIALS); `sender->end` tells the end from an empty message. */
int seqpacket_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender);

#endif
