/* Mapped files, capabilities and checksums for JavaScript. */
#include "binding.h"

#include "capabilities.h"
#include "checksum.h"
#include "mapfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void unmap(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)data;
	mapfile_close(hint);
	free(hint);
}

/* mapFile(path, bytes): a Buffer over the file, or -errno. The mapping lives as long as the Buffer. */
static napi_value map_file(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	double bytes = arg_double(&a, 1);
	struct mapfile *m;
	char path[4096];
	napi_value out;
	int err;

	arg_string(&a, 0, path, sizeof(path));
	if (a.bad)
		return 0;
	if (!(bytes >= 1 && bytes <= 4294967295.0))
		return number(env, -EINVAL);
	m = malloc(sizeof(*m));
	if (!m)
		return number(env, -ENOMEM);
	err = mapfile_open(m, path, (size_t)bytes);
	if (err) {
		free(m);
		return number(env, err);
	}
	if (napi_create_external_buffer(env, m->bytes, m->data, unmap, m, &out) != napi_ok) {
		mapfile_close(m);
		free(m);
		return number(env, -ENOMEM);
	}
	return out;
}

/* capabilitiesRead(out: BigUint64Array of 5 [effective, permitted, inheritable, bounding, ambient]): 0 or -errno. */
static napi_value capabilities_read_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	size_t bytes;
	uint8_t *out = arg_bytes(&a, 0, &bytes);
	struct capability_sets s = { 0 };
	int err;

	if (!a.bad && bytes < sizeof(s))
		fail_type(&a, "five sets of 64 bits are needed");
	if (a.bad)
		return 0;
	err = capabilities_read(&s);
	memcpy(out, &s, sizeof(s));
	return number(env, err);
}

/* capabilitiesPrepare(keep: bigint): 1, 0 or -errno. */
static napi_value capabilities_prepare_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	uint64_t keep = 0;
	bool lossless;

	if (a.count < 1 || napi_get_value_bigint_uint64(env, a.v[0], &keep, &lossless) != napi_ok)
		fail_type(&a, "a bigint is missing");
	return a.bad ? 0 : number(env, capabilities_prepare(keep));
}

/* processExec(path, argv: string[]): -errno, if it comes back at all. */
static napi_value process_exec(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char path[4096];
	uint32_t count = 0;
	char **argv;
	int err = 0;

	arg_string(&a, 0, path, sizeof(path));
	if (!a.bad && (a.count < 2 || napi_get_array_length(env, a.v[1], &count) != napi_ok))
		fail_type(&a, "an array is missing");
	if (a.bad)
		return 0;
	argv = calloc((size_t)count + 1, sizeof(*argv));
	for (uint32_t i = 0; argv && i < count; i++) {
		napi_value v;
		size_t n = 0;

		napi_get_element(env, a.v[1], i, &v);
		if (napi_get_value_string_utf8(env, v, 0, 0, &n) != napi_ok)
			fail_type(&a, "an argument is no string");
		argv[i] = a.bad ? 0 : malloc(n + 1);
		if (!argv[i]) {
			err = -ENOMEM;
			break;
		}
		napi_get_value_string_utf8(env, v, argv[i], n + 1, &n);
	}
	if (argv && !err)
		err = capabilities_exec(path, argv);
	for (uint32_t i = 0; argv && i < count; i++)
		free(argv[i]);
	free(argv);
	return a.bad ? 0 : number(env, err);
}

/* checksumTransport(buffer, off, bytes), checksumVerify(...), checksumComplete(...): value, 1 or 0, 0; or -errno. */
typedef int checksum_fn(uint8_t *packet, uint32_t bytes);

static napi_value checksum_js(napi_env env, napi_callback_info info, checksum_fn *call)
{
	struct args a = args_get(env, info);
	size_t room;
	uint8_t *buf = arg_bytes(&a, 0, &room);
	uint32_t off = arg_u32(&a, 1), bytes = arg_u32(&a, 2);

	if (!a.bad && (off > room || bytes > room - off))
		fail_type(&a, "the range does not lie in the buffer");
	return a.bad ? 0 : number(env, call(buf + off, bytes));
}

static int transport(uint8_t *packet, uint32_t bytes)
{
	return checksum_transport(packet, bytes);
}

static int verify(uint8_t *packet, uint32_t bytes)
{
	return checksum_verify(packet, bytes);
}

static napi_value checksum_transport_js(napi_env env, napi_callback_info info)
{
	return checksum_js(env, info, transport);
}

static napi_value checksum_verify_js(napi_env env, napi_callback_info info)
{
	return checksum_js(env, info, verify);
}

static napi_value checksum_complete_js(napi_env env, napi_callback_info info)
{
	return checksum_js(env, info, checksum_complete);
}

void register_system(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "mapFile", map_file },
		{ "capabilitiesRead", capabilities_read_js },
		{ "capabilitiesPrepare", capabilities_prepare_js },
		{ "processExec", process_exec },
		{ "checksumTransport", checksum_transport_js },
		{ "checksumVerify", checksum_verify_js },
		{ "checksumComplete", checksum_complete_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
