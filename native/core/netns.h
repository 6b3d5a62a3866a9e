/* Opening things inside a named network namespace (ip-netns(8): /run/netns/NAME). */
#ifndef COLO_NETNS_H
#define COLO_NETNS_H

struct netns_scope {
	int home; /* fd of the namespace to come back to, or -1 when nothing was entered */
};

/* Moves the calling thread into the namespace `name`; NULL or "" stays at home. Needs CAP_SYS_ADMIN.
 * 0, or -EINVAL (not a plain name), -ENOENT (no such namespace), -EPERM, ... and the thread has not moved. */
int netns_enter(struct netns_scope *scope, const char *name);

/* Comes back. A thread that cannot come back would open its next socket in the wrong network, so it ends the process. */
void netns_leave(struct netns_scope *scope);

/* socket(2) inside a namespace, always close-on-exec and non-blocking. The descriptor, or -errno. */
int netns_socket(const char *name, int domain, int type, int protocol);

#endif
