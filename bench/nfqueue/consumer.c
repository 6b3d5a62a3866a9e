/* The C program of the comparison, on libnetfilter_queue as a competent user writes it: whole packets, long queue, large
 * socket buffer, no ENOBUFS, a buffer that holds any packet, and nfq_set_verdict() with the new payload for each packet.
 * The library's interface sends one verdict per system call and receives one packet per recv(2).
 *
 * With `batched` it leaves the library's calls for the packet path and does by hand what they do not offer: recvmmsg(2), and
 * many verdicts, built by libmnl, in one send. That is the most that C can do here; it is reported beside the other.
 * consumer QUEUE [batched] */
#define _GNU_SOURCE
#include "rewrite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM (0xffff + 4096)
#define BATCH 64

static int on_packet(struct nfq_q_handle *qh, struct nfgenmsg *msg, struct nfq_data *data, void *arg)
{
	struct nfqnl_msg_packet_hdr *head = nfq_get_msg_packet_hdr(data);
	unsigned char *payload;
	int bytes = nfq_get_payload(data, &payload);

	(void)msg;
	(void)arg;
	rewrite(payload, (uint32_t)bytes);
	return nfq_set_verdict(qh, ntohl(head->packet_id), NF_ACCEPT, (uint32_t)bytes, payload);
}

static void one_by_one(struct nfq_handle *h, int fd)
{
	static char buf[ROOM] __attribute__((aligned(8)));

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n > 0)
			nfq_handle_packet(h, buf, (int)n);
		else if (n < 0 && errno != EINTR && errno != ENOBUFS)
			exit(1);
	}
}

static size_t put_verdict(char *out, uint16_t queue, uint32_t id, const void *payload, size_t bytes)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(out);
	struct nfgenmsg *gen;
	struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_ACCEPT), .id = htonl(id) };

	nlh->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->res_id = htons(queue);
	mnl_attr_put(nlh, NFQA_VERDICT_HDR, sizeof(verdict), &verdict);
	mnl_attr_put(nlh, NFQA_PAYLOAD, bytes, payload);
	return nlh->nlmsg_len;
}

static int collect(const struct nlattr *attr, void *data)
{
	const struct nlattr **found = data;

	if (mnl_attr_get_type(attr) <= NFQA_MAX)
		found[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static void batched(int fd, uint16_t queue)
{
	static char out[4 << 20];
	char *in = malloc((size_t)BATCH * ROOM);
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int buffer = 8 << 20;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ in + (size_t)i * ROOM, ROOM };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;) {
		int n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, 0);
		size_t used = 0;

		for (int i = 0; i < n; i++) {
			const struct nlattr *a[NFQA_MAX + 1] = { 0 };
			const struct nlmsghdr *nlh = iov[i].iov_base;

			mnl_attr_parse(nlh, sizeof(struct nfgenmsg), collect, a);
			if (!a[NFQA_PACKET_HDR] || !a[NFQA_PAYLOAD])
				continue;
			struct nfqnl_msg_packet_hdr *head = mnl_attr_get_payload(a[NFQA_PACKET_HDR]);
			uint8_t *payload = mnl_attr_get_payload(a[NFQA_PAYLOAD]);
			uint32_t bytes = mnl_attr_get_payload_len(a[NFQA_PAYLOAD]);

			rewrite(payload, bytes);
			used += put_verdict(out + used, queue, ntohl(head->packet_id), payload, bytes);
		}
		if (used)
			send(fd, out, used, 0);
	}
}

int main(int argc, char **argv)
{
	uint16_t queue = (uint16_t)(argc > 1 ? atoi(argv[1]) : 0);
	struct nfq_handle *h = nfq_open();
	struct nfq_q_handle *qh = h ? nfq_create_queue(h, queue, on_packet, 0) : 0;
	int one = 1, buffer = 32 << 20, fd;

	if (!qh) {
		perror("consumer: binding the queue");
		return 1;
	}
	fd = nfq_fd(h);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	if (nfq_set_queue_maxlen(qh, 16384) < 0 || nfq_set_mode(qh, NFQNL_COPY_PACKET, 0xffff) < 0) {
		perror("consumer: setting up the queue");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	if (argc > 2 && !strcmp(argv[2], "batched"))
		batched(fd, queue);
	else
		one_by_one(h, fd);
}
