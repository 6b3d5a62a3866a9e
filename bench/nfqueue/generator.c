/* UDP as fast as the queue takes it: the socket's send buffer counts what the queue holds, so the sender waits and nothing
 * is lost: some 800 packets at once, because a queue holds 1024 unless the consumer says otherwise, and npm's nfqueue cannot.
 * generator ADDRESS PORT BYTES [COUNT] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BURST 32
#define IN_FLIGHT 800

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	static char payload[65536];
	struct iovec iov = { payload, 0 };
	struct mmsghdr msgs[BURST];
	int buffer, fd = socket(AF_INET, SOCK_DGRAM, 0);
	long left;

	if (argc < 4)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	iov.iov_len = (size_t)atoi(argv[3]) - 28;
	/* What the kernel counts for a packet; it doubles the buffer asked for. */
	buffer = IN_FLIGHT * (iov.iov_len < 400 ? 768 : 2304) / 2;
	left = argc > 4 ? atol(argv[4]) : -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		perror("connect");
		return 1;
	}
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BURST; i++) {
		msgs[i].msg_hdr.msg_iov = &iov;
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	while (left) {
		int n = sendmmsg(fd, msgs, left > 0 && left < BURST ? (unsigned)left : BURST, 0);

		if (n > 0 && left > 0)
			left -= n;
	}
	return 0;
}
