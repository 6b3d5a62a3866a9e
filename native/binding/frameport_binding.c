/* A guest's port for JavaScript: many frames per call into an arena that it owns, and one out of any buffer. */
#include "binding.h"

#include "frameport.h"

/* framePortOpen(interface, netns, outgoing, receiveBuffer): fd or -errno. */
static napi_value open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char interface[64], netns[256];
	struct frameport_config c = { .interface = interface, .netns = netns };

	arg_string(&a, 0, interface, sizeof(interface));
	arg_string(&a, 1, netns, sizeof(netns));
	c.outgoing = arg_u32(&a, 2) != 0;
	c.receive_buffer = arg_u32(&a, 3);
	return a.bad ? 0 : number(env, frameport_open(&c));
}

/* framePortRead(fd, arena, table: Uint32Array of [offset, bytes]..., unread: Uint32Array of 1): how many frames, or -errno. */
static napi_value read_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t room, table_bytes;
	uint8_t *arena = arg_bytes(&a, 1, &room);
	uint32_t *table = arg_words(&a, 2, FRAMEPORT_D_WORDS), *unread = arg_words(&a, 3, 1);

	arg_bytes(&a, 2, &table_bytes);
	if (!a.bad && (room < FRAMEPORT_SLOT || room > UINT32_MAX))
		fail_type(&a, "the arena does not hold a largest frame");
	if (a.bad)
		return 0;
	return number(env, frameport_read(fd, arena, room, table, (uint32_t)(table_bytes / 4 / FRAMEPORT_D_WORDS), unread));
}

/* framePortSend(fd, buffer, off, bytes): bytes or -errno. */
static napi_value send_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t room;
	const uint8_t *buf = arg_bytes(&a, 1, &room);
	uint32_t off = arg_u32(&a, 2), bytes = arg_u32(&a, 3);

	if (!a.bad && (off > room || bytes > room - off))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, frameport_send(fd, buf + off, bytes));
}

/* framePortLost(fd): frames since the last call, or -errno. */
static napi_value lost_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);

	return a.bad ? 0 : number(env, (double)frameport_lost(fd));
}

/* framePortEmpty(interface, netns): 0 or -errno. */
static napi_value empty_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char interface[64], netns[256];

	arg_string(&a, 0, interface, sizeof(interface));
	arg_string(&a, 1, netns, sizeof(netns));
	return a.bad ? 0 : number(env, frameport_empty(interface, netns));
}

void register_frameports(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "framePortOpen", open_js },
		{ "framePortRead", read_js },
		{ "framePortSend", send_js },
		{ "framePortLost", lost_js },
		{ "framePortEmpty", empty_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
