/* A cable that loses and reorders: a tap `fwd0` in each of two network namespaces, and between them a relay that drops some
 * frames and lets others be overtaken by the next one, by a seeded choice, in both directions.
 * relay NETNS_A NETNS_B LOST_PER_10000 REORDERED_PER_10000 SEED; prints `ready`, and at SIGTERM what it has done. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FRAME_BYTES 65536

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_tap(const char *netns)
{
	char path[256];
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int ns, fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	ns = open(path, O_RDONLY);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		fail(path);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (fd < 0)
		fail("/dev/net/tun");
	strcpy(ifr.ifr_name, "fwd0");
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		fail("TUNSETIFF");
	return fd;
}

static uint64_t state;

static unsigned draw(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % 10000;
}

int main(int argc, char **argv)
{
	static unsigned char frame[FRAME_BYTES], late[2][FRAME_BYTES];
	ssize_t late_bytes[2] = { 0, 0 };
	struct pollfd fds[2];
	unsigned long passed = 0, lost = 0, reordered = 0;
	unsigned lose, reorder;
	struct sigaction sa = { .sa_handler = on_term };

	if (argc != 6)
		return 2;
	fds[0].fd = open_tap(argv[1]);
	fds[1].fd = open_tap(argv[2]);
	fds[0].events = fds[1].events = POLLIN;
	lose = (unsigned)atoi(argv[3]);
	reorder = (unsigned)atoi(argv[4]);
	state = strtoull(argv[5], NULL, 10) * 2654435761u + 1;
	sigaction(SIGTERM, &sa, NULL);
	printf("ready\n");
	fflush(stdout);
	while (!stop) {
		/* A late frame is overtaken by the next one, or goes after 5 ms. */
		int some = poll(fds, 2, late_bytes[0] || late_bytes[1] ? 5 : 1000);

		for (int i = 0; i < 2; i++) {
			int to = fds[!i].fd;
			ssize_t n;

			while ((n = read(fds[i].fd, frame, sizeof(frame))) > 0) {
				if (draw() < lose) {
					lost++;
					continue;
				}
				if (late_bytes[i] == 0 && draw() < reorder) {
					memcpy(late[i], frame, (size_t)n);
					late_bytes[i] = n;
					reordered++;
					continue;
				}
				passed += write(to, frame, (size_t)n) == n;
				if (late_bytes[i]) {
					passed += write(to, late[i], (size_t)late_bytes[i]) == late_bytes[i];
					late_bytes[i] = 0;
				}
			}
			if (some == 0 && late_bytes[i]) {
				passed += write(to, late[i], (size_t)late_bytes[i]) == late_bytes[i];
				late_bytes[i] = 0;
			}
		}
	}
	printf("passed %lu lost %lu reordered %lu\n", passed, lost, reordered);
	return 0;
}
