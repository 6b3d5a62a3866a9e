/* The least that a device on these sockets can do: takes both sides' bytes in large reads and releases the primary's, without a
 * look at either. What the generator reaches against it is the limit that it sets to a measurement. sink DIR */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PRI, SEC, OUT, NTF, SOCKETS };
#define RECEIVE_BYTES (1 << 20)

static char buffer[RECEIVE_BYTES];

static void send_all(int fd, const char *p, size_t bytes)
{
	while (bytes) {
		ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);

		if (n < 0)
			exit(0);
		p += n;
		bytes -= (size_t)n;
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "pri", "sec", "out", "ntf" };
	static const char reply[] = "\0\0\0\x19" "COLO_COMPARE_GET_XEN_INIT";
	struct pollfd fds[SOCKETS];
	int listeners[SOCKETS];

	for (int i = 0; i < SOCKETS; i++) {
		struct sockaddr_un at = { .sun_family = AF_UNIX };

		snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", argc > 1 ? argv[1] : ".", names[i]);
		listeners[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(listeners[i], (struct sockaddr *)&at, sizeof(at)) || listen(listeners[i], 1)) {
			perror("sink");
			return 1;
		}
	}
	for (int i = 0; i < SOCKETS; i++)
		fds[i] = (struct pollfd){ .fd = accept(listeners[i], NULL, NULL), .events = i == OUT ? 0 : POLLIN };
	while (poll(fds, SOCKETS, -1) > 0)
		for (int i = 0; i < SOCKETS; i++) {
			ssize_t n;

			if (!fds[i].revents)
				continue;
			n = recv(fds[i].fd, buffer, sizeof(buffer), 0);
			if (n <= 0)
				return 0;
			if (i == PRI)
				send_all(fds[OUT].fd, buffer, (size_t)n);
			else if (i == NTF)
				send_all(fds[NTF].fd, reply, sizeof(reply) - 1);
		}
	return 0;
}
