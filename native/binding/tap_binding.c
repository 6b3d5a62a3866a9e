/* Tap devices for JavaScript: many frames per call into an arena that it owns, and one out of any buffer. */
#include "binding.h"

#include "tap.h"

#include <errno.h>
#include <string.h>

/* tapOpen(name, netns, vnetHeader, out: Uint8Array of 16): fd or -errno; `out` gets the device's name. */
static napi_value open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char name[64], netns[256], actual[TAP_NAME_BYTES] = "";
	struct tap_config c = { .name = name, .netns = netns, .vnet_header = arg_u32(&a, 2) };
	size_t room;
	uint8_t *out = arg_bytes(&a, 3, &room);
	int fd;

	arg_string(&a, 0, name, sizeof(name));
	arg_string(&a, 1, netns, sizeof(netns));
	if (!a.bad && room < sizeof(actual))
		fail_type(&a, "a device's name needs 16 bytes");
	if (a.bad)
		return 0;
	fd = tap_open(&c, actual);
	memcpy(out, actual, sizeof(actual));
	return number(env, fd);
}

/* tapRead(fd, arena, table: Uint32Array of [offset, bytes]...): how many frames, or -errno. */
static napi_value read_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t room, table_bytes;
	uint8_t *arena = arg_bytes(&a, 1, &room);
	uint32_t *table = arg_words(&a, 2, TAP_D_WORDS);

	arg_bytes(&a, 2, &table_bytes);
	if (!a.bad && (room < TAP_MAX_FRAME || room > UINT32_MAX))
		fail_type(&a, "the arena does not hold a largest frame");
	if (a.bad)
		return 0;
	return number(env, tap_read(fd, arena, room, table, (uint32_t)(table_bytes / 4 / TAP_D_WORDS)));
}

/* tapWrite(fd, buffer, off, bytes): bytes or -errno. */
static napi_value write_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0);
	size_t room;
	const uint8_t *buf = arg_bytes(&a, 1, &room);
	uint32_t off = arg_u32(&a, 2), bytes = arg_u32(&a, 3);

	if (!a.bad && (off > room || bytes > room - off))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, tap_write(fd, buf + off, bytes));
}

void register_taps(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "tapOpen", open_js },
		{ "tapRead", read_js },
		{ "tapWrite", write_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
