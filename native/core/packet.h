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

#endif
