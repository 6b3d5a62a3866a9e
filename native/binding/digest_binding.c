/* Keyed digests for JavaScript. */
#include "binding.h"

#include "digest.h"

#include <errno.h>

static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	digests_close(data);
}

/* digestsOpen(key of 16 bytes): a handle, or -errno. It lives as long as JavaScript holds it. */
static napi_value digests_open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct digests *d;
	napi_value out;
	size_t bytes;
	uint8_t *key = arg_bytes(&a, 0, &bytes);
	int err;

	if (!a.bad && bytes != DIGEST_KEY_BYTES)
		fail_type(&a, "a key has 16 bytes");
	if (a.bad)
		return 0;
	err = digests_open(&d, key);
	if (err)
		return number(env, err);
	if (napi_create_external(env, d, finalize, 0, &out) != napi_ok) {
		digests_close(d);
		return number(env, -ENOMEM);
	}
	return out;
}

/* digestsWrite(handle, epoch, ports, seq, buffer, off, bytes, chunk, out, outOff): how many digests, or -errno. */
static napi_value digests_write_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct digests *d = arg_external(&a, 0);
	uint32_t epoch = arg_u32(&a, 1), ports = arg_u32(&a, 2), seq = arg_u32(&a, 3);
	size_t room, out_room;
	uint8_t *buf = arg_bytes(&a, 4, &room);
	uint32_t off = arg_u32(&a, 5), bytes = arg_u32(&a, 6), chunk = arg_u32(&a, 7);
	uint8_t *out = arg_bytes(&a, 8, &out_room);
	uint32_t out_off = arg_u32(&a, 9);

	if (!a.bad && (off > room || bytes > room - off || chunk == 0))
		fail_type(&a, "the range does not lie in the buffer");
	if (!a.bad && (out_off > out_room || ((uint64_t)bytes + chunk - 1) / chunk > (out_room - out_off) / DIGEST_BYTES))
		fail_type(&a, "the digests do not fit");
	return a.bad ? 0 : number(env, digests_write(d, epoch, ports, seq, buf + off, bytes, chunk, out + out_off));
}

void register_digests(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "digestsOpen", digests_open_js },
		{ "digestsWrite", digests_write_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
