/* Frames of one interface and one ethertype (packet(7)): ARP in, announcements out. */
#ifndef COLO_PACKET_H
#define COLO_PACKET_H

#include "message.h"

struct packet_config {
	const char *interface;
	uint16_t ethertype;	/* host order; 0 = send only */
	const char *netns;
};

/* -ENODEV: no such interface. The descriptor or -errno; `*ifindex` for the report. */
int packet_open(const struct packet_config *config, uint32_t *ifindex);
/* Whole frames with the link-layer header; those that this host sends itself are left out. -ENETDOWN: the interface went. */
int packet_receive(int fd, uint8_t *buf, size_t room, struct message_sender *sender);
/* A whole frame with its link-layer header. */
int packet_send(int fd, const uint8_t *buf, size_t bytes);

#endif
