/* Frames of one interface (packet(7)), of one ethertype or as a filter tells: ARP in, announcements out. */
#ifndef COLO_PACKET_H
#define COLO_PACKET_H

#include "message.h"

#include <linux/filter.h>

struct packet_config {
	const char *interface;
	uint16_t ethertype;	/* host order; 0 = send only */
	const char *netns;
	const struct sock_filter *filter;	/* classic BPF in the place of the ethertype; 0 = none */
	uint16_t filter_length;			/* instructions */
	uint8_t outgoing;			/* 1 = the frames that leave by the interface, too */
};

/* -ENODEV: no such interface. The descriptor or -errno; `*ifindex` for the report. */
int packet_open(const struct packet_config *config, uint32_t *ifindex);
/* Whole frames with the link-layer header; those that leave by the interface are left out, unless asked for. -ENETDOWN: the interface went. */
int packet_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender);
/* A whole frame with its link-layer header. */
int packet_send(int fd, const uint8_t *buf, size_t bytes);

/* For other packet sockets. Index of an interface, in the network of the socket, or -errno. */
int packet_index(int fd, const char *interface);
/* 0 or -errno. */
int packet_attach(int fd, const struct sock_filter *code, uint16_t length);
/* The tag that the network card or the kernel has taken off, which stands beside the frame (PACKET_AUXDATA): TPID << 16 | TCI; 0 = none. */
uint32_t packet_tag(struct msghdr *msg);

#endif
