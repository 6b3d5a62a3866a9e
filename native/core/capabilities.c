/* See capabilities.h. Facts: capabilities(7), prctl(2), linux/capability.h. */
#define _GNU_SOURCE
#include "capabilities.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int capabilities_read(struct capability_sets *s)
{
	FILE *f = fopen("/proc/thread-self/status", "re");
	char line[256];
	int found = 0;
	unsigned long long v;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapInh: %llx", &v) == 1)
			s->inheritable = v, found++;
		else if (sscanf(line, "CapPrm: %llx", &v) == 1)
			s->permitted = v, found++;
		else if (sscanf(line, "CapEff: %llx", &v) == 1)
			s->effective = v, found++;
		else if (sscanf(line, "CapBnd: %llx", &v) == 1)
			s->bounding = v, found++;
		else if (sscanf(line, "CapAmb: %llx", &v) == 1)
			s->ambient = v, found++;
	}
	fclose(f);
	return found == 5 ? 0 : -EIO;
}

static int set_inheritable(const struct capability_sets *s, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(s->effective >> (32 * i));
		data[i].permitted = (uint32_t)(s->permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

static int cut_bounding(uint64_t bounding, uint64_t keep)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		if ((bounding & ~keep) >> cap & 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	}
	return 0;
}

/* Root gets its sets back at execve from the bounding set, others only from the ambient one. */
static int set_ambient(const struct capability_sets *s, uint64_t keep)
{
	uint64_t wanted = geteuid() == 0 ? 0 : s->permitted & keep;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (wanted >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -errno;
	}
	return 0;
}

int capabilities_prepare(uint64_t keep)
{
	struct capability_sets s;
	int err = capabilities_read(&s);

	if (err)
		return err;
	if (!((s.permitted | s.inheritable | s.ambient) & ~keep)) {
		/* Without rights beyond `keep`, the bounding set is no danger to a user who cannot cut it. */
		if (!(s.bounding & ~keep) || !(s.permitted >> CAP_SETPCAP & 1))
			return 0;
	}
	err = cut_bounding(s.bounding, keep);
	if (!err)
		err = set_inheritable(&s, s.permitted & keep);
	if (!err)
		err = set_ambient(&s, keep);
	return err ? err : 1;
}

int capabilities_exec(const char *path, char *const argv[])
{
	/* Node marks even these close-on-exec when it starts; without them the log would go nowhere. */
	for (int fd = 0; fd <= 2; fd++)
		fcntl(fd, F_SETFD, 0);
	execve(path, argv, environ);
	return -errno;
}
