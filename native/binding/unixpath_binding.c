/* Unix sockets at paths for JavaScript: servers and clients of both kinds. */
#include "binding.h"

#include "seqpacket.h"
#include "stream.h"

#include <string.h>

enum { PATH_ROOM = 512 };

/* (path, mode, backlog, file: Float64Array [device, inode]): fd or -errno. */
static napi_value listen_js(napi_env env, napi_callback_info info,
			    int (*listen)(const char *path, mode_t mode, int backlog, struct unixpath_file *file))
{
	struct args a = args_get(env, info);
	char path[PATH_ROOM];
	uint32_t mode = arg_u32(&a, 1);
	int backlog = arg_i32(&a, 2), fd;
	size_t bytes;
	uint8_t *out = arg_bytes(&a, 3, &bytes);
	struct unixpath_file file = { 0 };

	arg_string(&a, 0, path, sizeof(path));
	if (!a.bad && bytes < sizeof(file))
		fail_type(&a, "the file's identity needs 16 bytes");
	if (a.bad)
		return 0;
	fd = listen(path, (mode_t)mode, backlog, &file);
	memcpy(out, &file, sizeof(file));
	return number(env, fd);
}

static napi_value seqpacket_listen_js(napi_env env, napi_callback_info info)
{
	return listen_js(env, info, seqpacket_listen);
}

/* seqpacketConnect(path, waitMs): fd or -errno. */
static napi_value seqpacket_connect_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char path[PATH_ROOM];

	arg_string(&a, 0, path, sizeof(path));
	return a.bad ? 0 : number(env, seqpacket_connect(path, arg_i32(&a, 1)));
}

static napi_value stream_listen_js(napi_env env, napi_callback_info info)
{
	return listen_js(env, info, stream_listen_unix);
}

/* streamConnectUnix(path): fd or -errno. */
static napi_value stream_connect_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char path[PATH_ROOM];

	arg_string(&a, 0, path, sizeof(path));
	return a.bad ? 0 : number(env, stream_connect_unix(path));
}

/* unixUnlink(path, file): removes a server's path, if it still is the file that was made. */
static napi_value unlink_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	char path[PATH_ROOM];
	size_t bytes;
	uint8_t *in = arg_bytes(&a, 1, &bytes);
	struct unixpath_file file;

	arg_string(&a, 0, path, sizeof(path));
	if (!a.bad && bytes < sizeof(file))
		fail_type(&a, "the file's identity needs 16 bytes");
	if (a.bad)
		return 0;
	memcpy(&file, in, sizeof(file));
	unixpath_unlink(path, &file);
	return 0;
}

void register_unixpaths(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "seqpacketListen", seqpacket_listen_js },
		{ "seqpacketConnect", seqpacket_connect_js },
		{ "streamListenUnix", stream_listen_js },
		{ "streamConnectUnix", stream_connect_js },
		{ "unixUnlink", unlink_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(*list));
}
