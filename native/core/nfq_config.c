/* Binding and configuring a queue. Facts: linux/netfilter/nfnetlink_queue.h, netlink(7), socket(7). */
#define _GNU_SOURCE
#include "nfq.h"

#include "netns.h"
#include "nlmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACK_WAIT_MS 2000
#define PROC_FILE "/proc/thread-self/net/netfilter/nfnetlink_queue"

static int send_config(struct nfq *q, struct nl_build *b)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)b->at;
	struct nfgenmsg *gen = (struct nfgenmsg *)(b->at + NLMSG_HDRLEN);

	if (b->overflow)
		return -EMSGSIZE;
	nlh->nlmsg_len = b->used;
	nlh->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++q->seq;
	gen->nfgen_family = AF_UNSPEC;
	gen->version = NFNETLINK_V0;
	gen->res_id = htons(q->queue);
	return send(q->fd, b->at, b->used, 0) < 0 ? -errno : 0;
}

static struct nl_build begin(uint8_t *buf, uint32_t room)
{
	struct nl_build b = { .at = buf, .room = room };

	nl_take(&b, NLMSG_HDRLEN + sizeof(struct nfgenmsg));
	return b;
}

/* Waits for the acknowledgement. A packet in front of it is proof that the queue works: it stays unread, and so does the
 * acknowledgement, which nfq_receive() passes over. */
static int wait_ack(struct nfq *q)
{
	union {
		struct nlmsghdr nlh;
		uint8_t bytes[256];
	} msg;
	struct pollfd pfd = { .fd = q->fd, .events = POLLIN };

	for (;;) {
		struct nlmsgerr *answer = NLMSG_DATA(&msg.nlh);
		int ready = poll(&pfd, 1, ACK_WAIT_MS);
		ssize_t n;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return -errno;
		if (ready == 0)
			return -ETIMEDOUT;
		n = recv(q->fd, &msg, sizeof(msg), MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if ((size_t)n >= sizeof(msg.nlh) && msg.nlh.nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
			return 0;
		recv(q->fd, &msg, sizeof(msg), MSG_DONTWAIT);
		if ((size_t)n >= NLMSG_LENGTH(sizeof(*answer)) && msg.nlh.nlmsg_type == NLMSG_ERROR &&
		    msg.nlh.nlmsg_seq == q->seq)
			return answer->error;
	}
}

static int transact(struct nfq *q, struct nl_build *b)
{
	int err = send_config(q, b);

	return err ? err : wait_ack(q);
}

static int command(struct nfq *q, uint8_t cmd)
{
	uint8_t buf[64] __attribute__((aligned(4)));
	struct nl_build b = begin(buf, sizeof(buf));
	struct nfqnl_msg_config_cmd body = { .command = cmd };

	nl_attr(&b, NFQA_CFG_CMD, &body, sizeof(body));
	return transact(q, &b);
}

/* Length and flags in one message, before the copy mode starts the flow of packets. */
static int set_limits(struct nfq *q, uint32_t max_length, uint32_t flags)
{
	uint8_t buf[64] __attribute__((aligned(4)));
	struct nl_build b = begin(buf, sizeof(buf));

	nl_attr_be32(&b, NFQA_CFG_QUEUE_MAXLEN, max_length);
	nl_attr_be32(&b, NFQA_CFG_FLAGS, flags);
	nl_attr_be32(&b, NFQA_CFG_MASK, NFQA_CFG_F_MAX - 1);
	return transact(q, &b);
}

static int set_limits_or_less(struct nfq *q, const struct nfq_config *c, uint32_t *flags)
{
	int err = set_limits(q, c->max_length, c->flags);

	*flags = c->flags;
	/* EAGAIN: the kernel has just loaded a module for us. */
	if (err == -EAGAIN)
		err = set_limits(q, c->max_length, c->flags);
	if ((err == -EOPNOTSUPP || err == -EAGAIN) && (c->flags & NFQA_CFG_F_CONNTRACK)) {
		*flags = c->flags & ~(uint32_t)NFQA_CFG_F_CONNTRACK;
		err = set_limits(q, c->max_length, *flags);
	}
	return err;
}

int nfq_set_copy_range(struct nfq *q, uint32_t range)
{
	uint8_t buf[64] __attribute__((aligned(4)));
	struct nl_build b = begin(buf, sizeof(buf));
	struct nfqnl_msg_config_params body = { .copy_range = htonl(range), .copy_mode = NFQNL_COPY_PACKET };

	nl_attr(&b, NFQA_CFG_PARAMS, &body, sizeof(body));
	return transact(q, &b);
}

static int open_socket(struct nfq *q, const char *netns)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK }, kernel = me;
	struct netns_scope scope;
	int err = netns_enter(&scope, netns);

	if (err)
		return err;
	q->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (q->fd < 0)
		err = -errno;
	else
		q->stats_fd = open(PROC_FILE, O_RDONLY | O_CLOEXEC);
	netns_leave(&scope);
	if (!err && bind(q->fd, (struct sockaddr *)&me, sizeof(me)) < 0)
		err = -errno;
	/* Connected to the kernel, the socket takes nothing from other processes, so that no sender need be checked. */
	if (!err && connect(q->fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		err = -errno;
	return err;
}

static void size_buffers(struct nfq *q, const struct nfq_config *c, struct nfq_settings *s)
{
	int want = c->receive_buffer > 0x3fffffff ? 0x3fffffff : (int)c->receive_buffer;
	/* One send carries many verdicts with payload. */
	int send_want = 8 << 20;
	int one = 1, got = 0;
	socklen_t len = sizeof(got);

	s->forced = !setsockopt(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want));
	if (!s->forced)
		setsockopt(q->fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
	if (setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_want, sizeof(send_want)))
		setsockopt(q->fd, SOL_SOCKET, SO_SNDBUF, &send_want, sizeof(send_want));
	getsockopt(q->fd, SOL_SOCKET, SO_RCVBUF, &got, &len);
	s->receive_buffer = (uint32_t)got;
	/* An overrun is counted by the kernel (user_dropped); an error return would only cost a call. */
	setsockopt(q->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
}

/* The kernel says EPERM both for missing rights and for a queue that another socket has bound. */
static int bind_error(struct nfq *q, int err)
{
	struct nfq_kernel_stats stats;

	return err == -EPERM && nfq_kernel_stats(q, &stats) == 0 ? -EBUSY : err;
}

int nfq_open(struct nfq *q, const struct nfq_config *c, struct nfq_settings *s)
{
	struct sockaddr_nl me;
	socklen_t len = sizeof(me);
	struct nfq_kernel_stats stats;
	int err;

	memset(q, 0, sizeof(*q));
	memset(s, 0, sizeof(*s));
	q->fd = q->stats_fd = -1;
	q->queue = c->queue;
	err = open_socket(q, c->netns);
	if (err)
		goto fail;
	size_buffers(q, c, s);
	err = bind_error(q, command(q, NFQNL_CFG_CMD_BIND));
	if (!err)
		err = set_limits_or_less(q, c, &s->flags);
	if (!err)
		err = nfq_set_copy_range(q, c->copy_range);
	if (!err && getsockname(q->fd, (struct sockaddr *)&me, &len) < 0)
		err = -errno;
	if (err)
		goto fail;
	s->port_id = me.nl_pid;
	s->copy_range = nfq_kernel_stats(q, &stats) ? c->copy_range : stats.copy_range;
	return 0;
fail:
	if (q->fd >= 0)
		close(q->fd);
	if (q->stats_fd >= 0)
		close(q->stats_fd);
	q->fd = q->stats_fd = -1;
	return err;
}

void nfq_close(struct nfq *q)
{
	if (q->fd >= 0)
		close(q->fd);
	if (q->stats_fd >= 0)
		close(q->stats_fd);
	q->fd = q->stats_fd = -1;
	nfq_waiting_free(&q->waiting);
}

/* Columns: queue, port id, queued, copy mode, copy range, dropped, user dropped, id sequence, 1. */
static int parse_stats(const char *text, uint16_t queue, struct nfq_kernel_stats *s)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : 0) {
		unsigned int v[8];

		if (sscanf(line, "%u %u %u %u %u %u %u %u", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8 ||
		    v[0] != queue)
			continue;
		s->port_id = v[1];
		s->queued = v[2];
		s->copy_mode = v[3];
		s->copy_range = v[4];
		s->dropped = v[5];
		s->user_dropped = v[6];
		s->id_sequence = v[7];
		return 0;
	}
	return -ENOENT;
}

/* The whole file, ended by a NUL; NULL and `*err` when it cannot be read. */
static char *read_stats(int fd, int *err)
{
	size_t room = 4096, used = 0;
	char *text = malloc(room);

	*err = -ENOMEM;
	while (text) {
		ssize_t n = pread(fd, text + used, room - used - 1, (off_t)used);
		char *larger;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*err = -errno;
			break;
		}
		used += (size_t)n;
		if (n == 0) {
			text[used] = 0;
			return text;
		}
		if (room - used > 1024)
			continue;
		larger = realloc(text, room * 2);
		if (!larger)
			break;
		text = larger;
		room *= 2;
	}
	free(text);
	return 0;
}

int nfq_kernel_stats(const struct nfq *q, struct nfq_kernel_stats *stats)
{
	char *text;
	int err;

	if (q->stats_fd < 0)
		return -ENOTSUP;
	text = read_stats(q->stats_fd, &err);
	if (!text)
		return err;
	err = parse_stats(text, q->queue, stats);
	free(text);
	return err;
}
