/* Stream sockets for JavaScript: descriptors as numbers, bytes in ranges of the caller's buffers. */
#include "binding.h"

#include "stream.h"
#include "tails.h"

#include <errno.h>
#include <string.h>

static uint16_t arg_port(struct args *a, size_t i)
{
	uint32_t port = arg_u32(a, i);

	if (!a->bad && port > 65535)
		fail_type(a, "a port has 16 bits");
	return (uint16_t)port;
}

/* streamListenTcp(address, port, backlog): fd or -errno. */
static napi_value listen_tcp_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char address[256];
	uint16_t port = arg_port(&a, 1);
	int backlog = arg_i32(&a, 2);

	arg_string(&a, 0, address, sizeof(address));
	return a.bad ? 0 : number(env, stream_listen_tcp(address, port, backlog));
}

/* streamConnectTcp(address, port): fd or -errno. */
static napi_value connect_tcp_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char address[256];
	uint16_t port = arg_port(&a, 1);

	arg_string(&a, 0, address, sizeof(address));
	return a.bad ? 0 : number(env, stream_connect_tcp(address, port));
}

/* streamConnected(fd), streamAccept(fd), streamPort(fd): see stream.h. */
static napi_value of_descriptor(napi_env env, napi_callback_info info, int (*call)(int fd))
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);

	return a.bad ? 0 : number(env, call(fd));
}

static napi_value connected_js(napi_env env, napi_callback_info info)
{
	return of_descriptor(env, info, stream_connected);
}

static napi_value accept_js(napi_env env, napi_callback_info info)
{
	return of_descriptor(env, info, stream_accept);
}

static napi_value port_js(napi_env env, napi_callback_info info)
{
	return of_descriptor(env, info, stream_port);
}

/* streamCongestion(fd, name): 0 or -errno. */
static napi_value congestion_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	char name[16];

	arg_string(&a, 1, name, sizeof(name));
	return a.bad ? 0 : number(env, stream_congestion(fd, name));
}

/* streamReceive(fd, buffer, off, room): bytes, 0 at the end, or -errno. */
static napi_value receive_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t length;
	uint8_t *buf = arg_bytes(&a, 1, &length);
	uint32_t off = arg_u32(&a, 2), room = arg_u32(&a, 3);

	if (!a.bad && (off > length || room > length - off))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, stream_receive(fd, buf + off, room));
}

/* streamSpin(first, second, microseconds): 1 when one can be read. */
static napi_value spin_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int first = arg_i32(&a, 0), second = arg_i32(&a, 1);
	uint32_t microseconds = arg_u32(&a, 2);

	return a.bad ? 0 : number(env, stream_spin(first, second, microseconds));
}

/* streamSend(fd, buffer, off, bytes, more): [off, off + bytes) and then [0, more), as a ring lies. Bytes or -errno. */
static napi_value send_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t length;
	const uint8_t *buf = arg_bytes(&a, 1, &length);
	uint32_t off = arg_u32(&a, 2), bytes = arg_u32(&a, 3), more = arg_u32(&a, 4);

	if (!a.bad && (off > length || bytes > length - off || more > length))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, stream_send(fd, buf + off, bytes, buf, more));
}

/* frameTails(a, aFrom, aTo, b, bFrom, bTo, wordBytes, differing: Uint32Array): frames compared, see tails.h. */
static napi_value tails_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	size_t first_length, second_length, room;
	const uint8_t *first = arg_bytes(&a, 0, &first_length), *second = arg_bytes(&a, 3, &second_length);
	uint32_t from = arg_u32(&a, 1), to = arg_u32(&a, 2), other_from = arg_u32(&a, 4), other_to = arg_u32(&a, 5);
	uint32_t word_bytes = arg_u32(&a, 6);
	uint32_t *out = arg_words(&a, 7, 1);

	arg_bytes(&a, 7, &room);
	if (!a.bad && (from > to || to > first_length || other_from > other_to || other_to > second_length || word_bytes < 4))
		fail_type(&a, "the ranges do not lie in the buffers");
	return a.bad ? 0 : number(env, (double)tails_compare(first + from, to - from, second + other_from, other_to - other_from,
							      word_bytes, out, room / sizeof(*out)));
}

void register_streams(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "streamListenTcp", listen_tcp_js },
		{ "streamConnectTcp", connect_tcp_js },
		{ "streamConnected", connected_js },
		{ "streamAccept", accept_js },
		{ "streamPort", port_js },
		{ "streamCongestion", congestion_js },
		{ "streamReceive", receive_js },
		{ "streamSend", send_js },
		{ "streamSpin", spin_js },
		{ "frameTails", tails_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
