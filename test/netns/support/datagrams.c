// A UDP server that packs its answer as it is told: datagrams PORT HOW. A question "BYTES SIZE" is answered by BYTES bytes,
//   gso      in one send that is to be segmented into datagrams of SIZE (UDP_SEGMENT)
//   singly   in sends of SIZE
//   whole    in one datagram
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h */
#endif

int main(int argc, char **argv) {
	if (argc != 3) return 2;
	static unsigned char body[65536];
	for (size_t i = 0; i < sizeof body; i++) body[i] = i % 251;
	int s = socket(AF_INET6, SOCK_DGRAM, 0);
	int room = 4 << 20;
	setsockopt(s, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[1]))};
	if (bind(s, (struct sockaddr *)&at, sizeof at) < 0) return 1;
	puts("listening");
	fflush(stdout);
	for (;;) {
		char question[64];
		struct sockaddr_in6 from;
		socklen_t n = sizeof from;
		ssize_t got = recvfrom(s, question, sizeof question - 1, 0, (struct sockaddr *)&from, &n);
		if (got < 0) return 1;
		question[got] = 0;
		int bytes, size;
		if (sscanf(question, "%d %d", &bytes, &size) != 2) continue;
		int segment = strcmp(argv[2], "gso") == 0 ? size : 0;
		setsockopt(s, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
		int step = strcmp(argv[2], "singly") == 0 ? size : bytes;
		for (int i = 0; i < bytes; i += step) {
			int more = bytes - i < step ? bytes - i : step;
			if (sendto(s, body + i, more, 0, (struct sockaddr *)&from, n) != more) perror("sendto");
		}
	}
}
