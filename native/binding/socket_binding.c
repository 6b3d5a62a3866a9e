/* Netlink, SEQPACKET and AF_PACKET sockets for JavaScript: descriptors as numbers, messages into the caller's buffer, the
 * sender into a Uint32Array [port id, group, pid, uid, gid, truncated, end, packet type, ifindex, VLAN tag]. */
#include "binding.h"

#include "netlink.h"
#include "packet.h"
#include "seqpacket.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SENDER_WORDS 10

static void put_sender(uint32_t *out, const struct message_sender *s)
{
	memcpy(out,
	       (uint32_t[]){ s->port_id, s->group, s->pid, s->uid, s->gid, s->truncated, s->end, s->packet_type, s->ifindex, s->vlan },
	       SENDER_WORDS * sizeof(uint32_t));
}

typedef int receive_fn(int fd, uint8_t *buf, size_t room, struct message_sender *sender);

/* xxxReceive(fd, buffer, sender): bytes or -errno. */
static napi_value receive_js(napi_env env, napi_callback_info info, receive_fn *receive)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0), n;
	size_t room;
	uint8_t *buf = arg_bytes(&a, 1, &room);
	uint32_t *out = arg_words(&a, 2, SENDER_WORDS);
	struct message_sender sender;

	if (a.bad)
		return 0;
	n = receive(fd, buf, room, &sender);
	put_sender(out, &sender);
	return number(env, n);
}

static napi_value netlink_receive_js(napi_env env, napi_callback_info info)
{
	return receive_js(env, info, netlink_receive);
}

static napi_value seqpacket_receive_js(napi_env env, napi_callback_info info)
{
	return receive_js(env, info, seqpacket_receive);
}

static napi_value packet_receive_js(napi_env env, napi_callback_info info)
{
	return receive_js(env, info, packet_receive);
}

/* netlinkOpen(protocol, portId, groups: Uint32Array, receiveBuffer, netns, out: Uint32Array [port id]): fd or -errno. */
static napi_value netlink_open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct netlink_config c = { .protocol = arg_i32(&a, 0), .port_id = arg_u32(&a, 1), .receive_buffer = arg_u32(&a, 3) };
	size_t group_bytes;
	uint32_t *out = arg_words(&a, 5, 1), port_id = 0;
	char netns[256];
	int fd;

	c.groups = (uint32_t *)(void *)arg_bytes(&a, 2, &group_bytes);
	c.group_count = (uint32_t)(group_bytes / 4);
	arg_string(&a, 4, netns, sizeof(netns));
	c.netns = netns;
	if (a.bad)
		return 0;
	fd = netlink_open(&c, &port_id);
	out[0] = port_id;
	return number(env, fd);
}

/* netlinkSend(fd, buffer, off, bytes, portId, group): bytes or -errno. */
static napi_value netlink_send_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t room;
	const uint8_t *buf = arg_bytes(&a, 1, &room);
	size_t off = arg_u32(&a, 2), bytes = arg_u32(&a, 3);
	uint32_t port_id = arg_u32(&a, 4), group = arg_u32(&a, 5);

	if (!a.bad && (off > room || bytes > room - off))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, netlink_send(fd, buf + off, bytes, port_id, group));
}

static napi_value netlink_list_open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char netns[256];

	arg_string(&a, 0, netns, sizeof(netns));
	return a.bad ? 0 : number(env, netlink_list_open(netns));
}

/* netlinkPortBound(list fd, protocol, portId): 1, 0 or -errno. */
static napi_value netlink_port_bound_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0), protocol = arg_i32(&a, 1);
	uint32_t port_id = arg_u32(&a, 2);

	return a.bad ? 0 : number(env, netlink_port_bound(fd, protocol, port_id));
}

/* seqpacketAccept(fd, sender): fd or -errno. */
static napi_value seqpacket_accept_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0), conn;
	uint32_t *out = arg_words(&a, 1, SENDER_WORDS);
	struct message_sender peer = { 0 };

	if (a.bad)
		return 0;
	conn = seqpacket_accept(fd, &peer);
	put_sender(out, &peer);
	return number(env, conn);
}

/* messageSend(fd, buffer, off, bytes): on a connected or bound socket; bytes or -errno. */
static napi_value message_send_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t room;
	const uint8_t *buf = arg_bytes(&a, 1, &room);
	size_t off = arg_u32(&a, 2), bytes = arg_u32(&a, 3);

	if (!a.bad && (off > room || bytes > room - off))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, message_send(fd, buf + off, bytes, 0, 0));
}

/* packetOpen(interface, ethertype, netns, out: Uint32Array [ifindex], filter: struct sock_filter[], outgoing): fd or -errno. */
static napi_value packet_open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char interface[64], netns[256];
	struct packet_config c = { .interface = interface, .netns = netns, .ethertype = (uint16_t)arg_u32(&a, 1) };
	uint32_t *out = arg_words(&a, 3, 1), ifindex = 0;
	size_t filter_bytes;
	const uint8_t *filter = arg_bytes(&a, 4, &filter_bytes);
	int fd;

	if (!a.bad && filter_bytes) {
		c.filter = (const struct sock_filter *)(const void *)filter;
		c.filter_length = (uint16_t)(filter_bytes / sizeof(struct sock_filter));
	}
	c.outgoing = arg_u32(&a, 5) != 0;
	arg_string(&a, 0, interface, sizeof(interface));
	arg_string(&a, 2, netns, sizeof(netns));
	if (a.bad)
		return 0;
	fd = packet_open(&c, &ifindex);
	out[0] = ifindex;
	return number(env, fd);
}

static napi_value close_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);

	return a.bad ? 0 : number(env, close(fd) ? -errno : 0);
}

void register_sockets(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "netlinkOpen", netlink_open_js },
		{ "netlinkReceive", netlink_receive_js },
		{ "netlinkSend", netlink_send_js },
		{ "netlinkListOpen", netlink_list_open_js },
		{ "netlinkPortBound", netlink_port_bound_js },
		{ "seqpacketAccept", seqpacket_accept_js },
		{ "seqpacketReceive", seqpacket_receive_js },
		{ "packetOpen", packet_open_js },
		{ "packetReceive", packet_receive_js },
		{ "messageSend", message_send_js },
		{ "closeDescriptor", close_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
