/* Xen's libxl as the client of a checkpoint channel, in what can be seen from outside: blocking calls on one TCP socket, a length
 * and a text written one after the other, and each message read in two steps, first the length, then the text, each step bounded
 * by SO_RCVTIMEO. The text is compared with strcmp() in a buffer that nobody terminates; what lay there before is chosen here,
 * because on libxl's stack it is anything. A connection that the server has closed reads as "now".
 * libxl-client PORT zero|dirty; commands on standard input, one answer a line on standard output:
 *   init [text]       says COLO_USERSPACE_PROXY_INIT (or the text) and waits 500 ms: "init N", "init timeout" or "init closed"
 *   preresume         says COLO_CHECKPOINT: "sent"
 *   wait MS           "notified" (DO_CHECKPOINT), "other TEXT", "timeout", "closed", "torn" (a length whose text did not come) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT = -1, CLOSED = -2, TORN = -3 };

static char text[1024];
static int fill;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0)
			fail("write");
		at += n;
		len -= (size_t)n;
	}
}

static void say(int fd, const char *what)
{
	uint32_t len = htonl((uint32_t)strlen(what));

	write_all(fd, &len, sizeof(len));
	write_all(fd, what, strlen(what));
}

/* One recv() a step, as libxl does: a text that comes in pieces is cut short. */
static int hear(int fd, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	uint32_t len;
	ssize_t n;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		fail("SO_RCVTIMEO");
	n = recv(fd, &len, sizeof(len), 0);
	if (n < 0 && errno == EAGAIN)
		return TIMEOUT;
	if (n <= 0)
		return CLOSED;
	len = n == sizeof(len) ? ntohl(len) : UINT32_MAX;
	if (len >= sizeof(text))
		return TORN;
	memset(text, fill, sizeof(text) - 1);
	n = recv(fd, text, len, 0);
	return n == (ssize_t)len ? (int)n : TORN;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char line[256];
	int fd;

	if (argc != 3)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	fill = strcmp(argv[2], "dirty") == 0 ? 0x5a : 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	puts("connected");
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "init", 4) == 0) {
			int n;

			say(fd, line[4] == ' ' ? line + 5 : "COLO_USERSPACE_PROXY_INIT");
			n = hear(fd, 500);
			if (n >= 0)
				printf("init %d\n", n);
			else
				puts(n == TIMEOUT ? "init timeout" : n == CLOSED ? "init closed" : "init torn");
		} else if (strcmp(line, "preresume") == 0) {
			say(fd, "COLO_CHECKPOINT");
			puts("sent");
		} else if (strncmp(line, "wait ", 5) == 0) {
			int n = hear(fd, atoi(line + 5));

			if (n == TIMEOUT)
				puts("timeout");
			else if (n == CLOSED)
				puts("closed");
			else if (n == TORN)
				puts("torn");
			else if (strcmp(text, "DO_CHECKPOINT") == 0)
				puts("notified");
			else
				printf("other %.*s\n", n, text);
		} else {
			return 2;
		}
	}
	return 0;
}
