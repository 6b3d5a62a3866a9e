/* Counts what arrives until nothing has come for a second: "N rewritten, M other". receiver PORT */
#include "rewrite.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

int main(int argc, char **argv)
{
	struct sockaddr_in me = { .sin_family = AF_INET };
	struct timeval first = { 20, 0 }, quiet = { 1, 0 };
	int buffer = 64 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);
	static uint8_t buf[65536];
	long rewritten = 0, other = 0;
	ssize_t n;

	if (argc < 2)
		return 2;
	me.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &first, sizeof(first));
	if (bind(fd, (struct sockaddr *)&me, sizeof(me)))
		return 1;
	puts("ready");
	fflush(stdout);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		if (buf[n - 1] == FLIP)
			rewritten++;
		else
			other++;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet));
	}
	printf("%ld rewritten, %ld other\n", rewritten, other);
	return 0;
}
