/* Giving up capabilities for good (capabilities(7)). A thread can give up only its own, and a Node process has many threads
 * before its first line runs; so the bounding set is cut, and the process executes itself again: all its threads are then
 * born with no more than the bounding set allows. */
#ifndef COLO_CAPABILITIES_H
#define COLO_CAPABILITIES_H

#include <stdint.h>

struct capability_sets {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
	uint64_t bounding;
	uint64_t ambient;
};

/* Of the calling thread, from /proc/thread-self/status. */
int capabilities_read(struct capability_sets *sets);
/* Makes the calling thread ready for execve(2): bounding, inheritable and ambient sets hold nothing outside `keep`, and a
 * user other than root keeps what it has of `keep`. 1 = execve is needed, 0 = nothing to do, -EPERM: CAP_SETPCAP is missing. */
int capabilities_prepare(uint64_t keep);
/* execve(2) of this process, standard input, output and error kept open; returns only -errno. */
int capabilities_exec(const char *path, char *const argv[]);

#endif
