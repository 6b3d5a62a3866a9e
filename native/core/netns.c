/* setns(2) affects the calling thread alone, so a socket can be opened elsewhere and used from here. */
#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int netns_enter(struct netns_scope *scope, const char *name)
{
	char path[280];
	int target;

	scope->home = -1;
	if (!name || !*name)
		return 0;
	/* The name becomes part of a path. */
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) > 255)
		return -EINVAL;
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	target = open(path, O_RDONLY | O_CLOEXEC);
	if (target < 0)
		return -errno;
	scope->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (scope->home < 0) {
		int err = -errno;
		close(target);
		return err;
	}
	if (setns(target, CLONE_NEWNET) < 0) {
		int err = -errno;
		close(target);
		close(scope->home);
		scope->home = -1;
		return err;
	}
	close(target);
	return 0;
}

void netns_leave(struct netns_scope *scope)
{
	if (scope->home < 0)
		return;
	if (setns(scope->home, CLONE_NEWNET) < 0) {
		fprintf(stderr, "colo: cannot return from a network namespace: %s\n", strerror(errno));
		abort();
	}
	close(scope->home);
	scope->home = -1;
}

int netns_socket(const char *name, int domain, int type, int protocol)
{
	struct netns_scope scope;
	int fd, err = netns_enter(&scope, name);

	if (err)
		return err;
	fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0)
		fd = -errno;
	netns_leave(&scope);
	return fd;
}
