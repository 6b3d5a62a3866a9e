/* UDP faster than any consumer takes it, so that the consumer is what is measured: the kernel cuts each send into packets
 * (UDP_SEGMENT, udp(7)), and every packet goes through the queue by itself. The socket's send buffer counts what the queue
 * holds, so the sender waits and nothing is lost: some 700 packets of 1400 bytes at once, because a queue holds 1024 unless the
 * consumer says otherwise, and npm's nfqueue cannot. generator ADDRESS PORT BYTES [COUNT] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define HEADERS 28
#define MAX_SEND 61000
#define BUFFER (900 << 10)

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	static char payload[MAX_SEND];
	int buffer = BUFFER, fd = socket(AF_INET, SOCK_DGRAM, 0), segment;
	long left, most;

	if (argc < 4)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	segment = atoi(argv[3]) - HEADERS;
	left = argc > 4 ? atol(argv[4]) : -1;
	most = MAX_SEND / segment;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		perror("generator");
		return 1;
	}
	while (left) {
		long packets = left > 0 && left < most ? left : most;
		ssize_t n = send(fd, payload, (size_t)(packets * segment), 0);

		if (n > 0 && left > 0)
			left -= packets;
	}
	return 0;
}
