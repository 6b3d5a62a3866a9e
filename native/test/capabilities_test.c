/* Capabilities are gone after the new start, in all sets, for root and for others. */
#define _GNU_SOURCE
#include "capabilities.h"
#include "test.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEP ((1ull << CAP_NET_ADMIN) | (1ull << CAP_NET_RAW))

/* As the executed process: exit status 0 when the sets are exactly what they should be. */
int capabilities_child(int argc, char **argv)
{
	struct capability_sets s;

	if (argc != 2 || strcmp(argv[1], "caps"))
		_exit(2);
	if (capabilities_read(&s) || s.permitted != KEEP || s.effective != KEEP || s.bounding != KEEP)
		_exit(3);
	/* A second call has nothing to do, so that no program executes itself for ever. */
	_exit(capabilities_prepare(KEEP) == 0 ? 0 : 4);
}

static int status_of(void (*child)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		child();
		_exit(9);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Not /proc/self/exe, which is valgrind's under valgrind. */
static const char *own_path;

static void exec_self(void)
{
	char *argv[] = { "native-test", "caps", 0 };

	capabilities_exec(own_path, argv);
}

static void as_root(void)
{
	if (capabilities_prepare(KEEP) != 1)
		_exit(8);
	exec_self();
}

/* A user other than root with some capabilities, as a service manager starts it. */
static void as_user(void)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setgid(12345) || setuid(12345))
		_exit(7);
	if (capabilities_prepare(KEEP) != -EPERM)
		_exit(6); /* effective sets are empty after setuid, so the bounding set cannot be cut */
	_exit(0);
}

static void without_any(void)
{
	if (setgid(12345) || setuid(12345))
		_exit(7);
	_exit(capabilities_prepare(KEEP) == 0 ? 0 : 5);
}

void test_capabilities(const char *path)
{
	struct capability_sets s;

	own_path = path;
	EQUAL(capabilities_read(&s), 0);
	if (geteuid() || (s.permitted & KEEP) != KEEP || !(s.permitted >> CAP_SETPCAP & 1)) {
		printf("skipped: giving up capabilities needs root\n");
		return;
	}
	EQUAL(status_of(as_root), 0);
	EQUAL(status_of(as_user), 0);
	EQUAL(status_of(without_any), 0);
}
