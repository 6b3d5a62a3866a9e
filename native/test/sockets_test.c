/* Message sockets: borders, credentials, ends, and files that are left alone. */
#define _GNU_SOURCE
#include "netlink.h"
#include "packet.h"
#include "seqpacket.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A peer may pass descriptors along; they must not pile up here. */
static void passed_descriptors(int from, int to)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct message_sender sender;
	int before = open_descriptors();
	uint8_t buf[8];

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &from, sizeof(from));
	EQUAL(sendmsg(from, &msg, 0), 1);
	EQUAL(seqpacket_receive(to, buf, sizeof(buf), &sender), 1);
	EQUAL(sender.pid, getpid());
	EQUAL(open_descriptors(), before);
}

static void seqpacket(void)
{
	struct unixpath_file file, other;
	struct message_sender sender;
	struct stat st;
	uint8_t buf[8];
	char *path = path_of("s");
	mode_t old = umask(077);
	int server, client, conn;

	server = seqpacket_listen(path, 0666, 4, &file);
	umask(old);
	CHECK(server >= 0);
	EQUAL(stat(path, &st), 0);
	EQUAL(st.st_mode & 07777, 0666); /* whatever the umask */
	EQUAL(seqpacket_listen(path, 0600, 4, &other), -EADDRINUSE);
	EQUAL(seqpacket_accept(server, &sender), -EAGAIN); /* that question has made no connection */
	client = seqpacket_connect(path, 0);
	conn = seqpacket_accept(server, &sender);
	EQUAL(sender.pid, getpid());
	EQUAL(sender.uid, geteuid());
	EQUAL(seqpacket_accept(server, &sender), -EAGAIN);

	EQUAL(seqpacket_receive(conn, buf, sizeof(buf), &sender), -EAGAIN);
	EQUAL(message_send(client, (const uint8_t *)"", 0, 0, 0), 0);
	EQUAL(seqpacket_receive(conn, buf, sizeof(buf), &sender), 0);
	EQUAL(sender.end, 0);
	EQUAL(message_send(client, (const uint8_t *)"0123456789", 10, 0, 0), 10);
	EQUAL(seqpacket_receive(conn, buf, sizeof(buf), &sender), 8);
	EQUAL(sender.truncated, 1);
	passed_descriptors(client, conn);
	close(client);
	EQUAL(seqpacket_receive(conn, buf, sizeof(buf), &sender), 0);
	EQUAL(sender.end, 1);
	EQUAL(message_send(conn, (const uint8_t *)"x", 1, 0, 0), -EPIPE); /* and no signal */
	close(conn);

	/* The server dies: its file stays, and the next one takes its place. */
	close(server);
	EQUAL(seqpacket_connect(path, 0), -ECONNREFUSED);
	server = seqpacket_listen(path, 0600, 4, &other);
	CHECK(server >= 0);
	other.inode++;
	unixpath_unlink(path, &other); /* not its own file */
	EQUAL(stat(path, &st), 0);
	other.inode--;
	unixpath_unlink(path, &other);
	EQUAL(stat(path, &st), -1);
	close(server);

	path = path_of("plain");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	EQUAL(seqpacket_listen(path, 0600, 4, &other), -EEXIST);
	EQUAL(stat(path, &st), 0);
	unlink(path);
	EQUAL(seqpacket_connect(path, 0), -ENOENT);
	EQUAL(seqpacket_connect("", 0), -EINVAL);
	char longer[200];
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	EQUAL(seqpacket_listen(longer, 0600, 4, &other), -ENAMETOOLONG);
}

static void netlink(void)
{
	struct netlink_config config = { .protocol = NETLINK_USERSOCK, .port_id = (uint32_t)getpid() ^ 0x40000000 };
	struct message_sender sender;
	uint32_t port, port2;
	uint8_t buf[64];
	int a = netlink_open(&config, &port), b, list = netlink_list_open(0);

	CHECK(a >= 0);
	EQUAL(port, config.port_id);
	EQUAL(netlink_open(&config, &port2), -EADDRINUSE);
	config.port_id = 0;
	b = netlink_open(&config, &port2);
	EQUAL(netlink_receive(a, buf, sizeof(buf), &sender), -EAGAIN);
	EQUAL(netlink_send(b, (const uint8_t *)"hello", 5, port, 0), 5);
	EQUAL(netlink_receive(a, buf, sizeof(buf), &sender), 5);
	EQUAL(sender.port_id, port2);
	EQUAL(sender.uid, geteuid());
	EQUAL(sender.pid, getpid());
	EQUAL(netlink_port_bound(list, NETLINK_USERSOCK, port2), 1);
	EQUAL(netlink_port_bound(list, NETLINK_ROUTE, config.port_id ^ 0x12345678), 0);
	close(b);
	EQUAL(netlink_port_bound(list, NETLINK_USERSOCK, port2), 0);
	EQUAL(netlink_send(a, (const uint8_t *)"hello", 5, port2, 0), -ECONNREFUSED);
	EQUAL(netlink_send(a, (const uint8_t *)"hello", 5, 0, 33), -EINVAL);
	close(a);
	close(list);
	config.protocol = 28;
	EQUAL(netlink_open(&config, &port), -EPROTONOSUPPORT);
}

static void frames(void)
{
	struct packet_config config = { .interface = "lo", .ethertype = 0x88b5 };
	/* Local experimental ethertype; loopback brings it back to whoever listens. */
	const uint8_t frame[] = { 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 'h', 'i' };
	const uint8_t tagged[] = { 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x81, 0, 0xa0, 5, 0x88, 0xb5, 'h', 'i' };
	struct message_sender sender;
	uint8_t buf[64];
	uint32_t index;
	int in, out;

	if (!in_own_network())
		return;
	in = packet_open(&config, &index);
	CHECK(in >= 0);
	EQUAL(index, 1);
	config.ethertype = 0;
	out = packet_open(&config, &index);
	EQUAL(packet_send(out, frame, sizeof(frame)), sizeof(frame));
	EQUAL(packet_receive(in, buf, sizeof(buf), &sender), sizeof(frame));
	CHECK(!memcmp(buf, frame, sizeof(frame)));
	EQUAL(sender.ifindex, 1);
	EQUAL(packet_receive(in, buf, sizeof(buf), &sender), -EAGAIN);
	EQUAL(packet_receive(out, buf, sizeof(buf), &sender), -EAGAIN);
	close(in);

	/* A filter that takes nothing; one that takes all, with the copy that leaves; and a tag, which stands beside the frame that comes. */
	config.filter = (const struct sock_filter[]){ BPF_STMT(BPF_RET | BPF_K, 0) };
	config.filter_length = 1;
	in = packet_open(&config, &index);
	EQUAL(packet_send(out, frame, sizeof(frame)), sizeof(frame));
	EQUAL(packet_receive(in, buf, sizeof(buf), &sender), -EAGAIN);
	close(in);
	config.filter = (const struct sock_filter[]){ BPF_STMT(BPF_RET | BPF_K, 0xffff) };
	config.outgoing = 1;
	in = packet_open(&config, &index);
	EQUAL(packet_send(out, tagged, sizeof(tagged)), sizeof(tagged));
	EQUAL(packet_receive(in, buf, sizeof(buf), &sender), sizeof(tagged));
	EQUAL(sender.packet_type, 4 /* PACKET_OUTGOING */);
	EQUAL(sender.vlan, 0);
	EQUAL(packet_receive(in, buf, sizeof(buf), &sender), sizeof(frame));
	CHECK(!memcmp(buf, frame, sizeof(frame)));
	CHECK(sender.packet_type != 4);
	EQUAL(sender.vlan, 0x8100a005);
	close(in);
	close(out);
	config.interface = "nosuch0";
	EQUAL(packet_open(&config, &index), -ENODEV);
	config.interface = "a-name-that-is-too-long";
	EQUAL(packet_open(&config, &index), -ENODEV);
}

void test_sockets(void)
{
	strcpy(dir, "/tmp/colo-native-XXXXXX");
	CHECK(mkdtemp(dir) != 0);
	seqpacket();
	netlink();
	frames();
	EQUAL(rmdir(dir), 0);
}
