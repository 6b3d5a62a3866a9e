/* The module's entry, and what the other files of the binding share. */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SOFTWARE 70 /* EX_SOFTWARE, sysexits.h */

struct args args_get(napi_env env, napi_callback_info info)
{
	struct args a = { .env = env, .count = MAX_ARGS };

	napi_get_cb_info(env, info, &a.count, a.v, 0, 0);
	return a;
}

void fail_type(struct args *a, const char *what)
{
	if (!a->bad)
		napi_throw_type_error(a->env, 0, what);
	a->bad = 1;
}

double arg_double(struct args *a, size_t i)
{
	double v = 0;

	if (i >= a->count || napi_get_value_double(a->env, a->v[i], &v) != napi_ok)
		fail_type(a, "a number is missing");
	return v;
}

uint32_t arg_u32(struct args *a, size_t i)
{
	uint32_t v = 0;

	if (i >= a->count || napi_get_value_uint32(a->env, a->v[i], &v) != napi_ok)
		fail_type(a, "a number is missing");
	return v;
}

int32_t arg_i32(struct args *a, size_t i)
{
	int32_t v = 0;

	if (i >= a->count || napi_get_value_int32(a->env, a->v[i], &v) != napi_ok)
		fail_type(a, "a number is missing");
	return v;
}

void arg_string(struct args *a, size_t i, char *out, size_t room)
{
	napi_valuetype type = napi_undefined;
	size_t n = 0;

	out[0] = 0;
	if (i < a->count)
		napi_typeof(a->env, a->v[i], &type);
	if (type == napi_undefined || type == napi_null)
		return;
	if (napi_get_value_string_utf8(a->env, a->v[i], out, room, &n) != napi_ok)
		fail_type(a, "a string is missing");
	else if (strlen(out) != n)
		fail_type(a, "a string holds a NUL");
}

uint8_t *arg_bytes(struct args *a, size_t i, size_t *bytes)
{
	static const uint8_t size[] = {
		[napi_int8_array] = 1,	  [napi_uint8_array] = 1,    [napi_uint8_clamped_array] = 1, [napi_int16_array] = 2,
		[napi_uint16_array] = 2,  [napi_int32_array] = 4,    [napi_uint32_array] = 4,	     [napi_float32_array] = 4,
		[napi_float64_array] = 8, [napi_bigint64_array] = 8, [napi_biguint64_array] = 8,
	};
	napi_typedarray_type type;
	void *data = 0;
	size_t length = 0;

	*bytes = 0;
	if (i >= a->count || napi_get_typedarray_info(a->env, a->v[i], &type, &length, &data, 0, 0) != napi_ok) {
		fail_type(a, "a Buffer or typed array is missing");
		return 0;
	}
	*bytes = length * size[type];
	return data;
}

uint32_t *arg_words(struct args *a, size_t i, size_t least)
{
	size_t bytes;
	uint8_t *p = arg_bytes(a, i, &bytes);

	if (!a->bad && (bytes / 4 < least || (uintptr_t)p % 4)) {
		fail_type(a, "a Uint32Array is too short");
		return 0;
	}
	return (uint32_t *)(void *)p;
}

void *arg_external(struct args *a, size_t i)
{
	void *p = 0;

	if (i >= a->count || napi_get_value_external(a->env, a->v[i], &p) != napi_ok)
		fail_type(a, "a handle is missing");
	return p;
}

napi_value number(napi_env env, double value)
{
	napi_value v;

	napi_create_double(env, value, &v);
	return v;
}

uv_loop_t *loop_of(napi_env env)
{
	uv_loop_t *loop = 0;

	napi_get_uv_event_loop(env, &loop);
	return loop;
}

void add_functions(napi_env env, napi_value target, const struct function *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		napi_value f;

		napi_create_function(env, list[i].name, NAPI_AUTO_LENGTH, list[i].call, 0, &f);
		napi_set_named_property(env, target, list[i].name, f);
	}
}

static void print_error(napi_env env, napi_value error)
{
	static char text[16384];
	napi_value stack = 0;
	napi_valuetype type = napi_undefined;
	size_t n = 0;

	if (napi_get_named_property(env, error, "stack", &stack) == napi_ok)
		napi_typeof(env, stack, &type);
	if (type != napi_string)
		napi_coerce_to_string(env, error, &stack);
	if (stack && napi_get_value_string_utf8(env, stack, text, sizeof(text), &n) == napi_ok)
		fprintf(stderr, "%s\n", text);
}

void die_if_thrown(napi_env env, const char *where)
{
	bool pending = false;
	napi_value error = 0;

	napi_is_exception_pending(env, &pending);
	if (!pending)
		return;
	napi_get_and_clear_last_exception(env, &error);
	fflush(stdout);
	fprintf(stderr, "colo: fatal: %s threw; the process ends, and the kernel drops the packets that it held.\n", where);
	print_error(env, error);
	fflush(stderr);
	_exit(EXIT_SOFTWARE);
}

static napi_value init(napi_env env, napi_value exports)
{
	register_nfqueue(env, exports);
	register_sockets(env, exports);
	register_streams(env, exports);
	register_unixpaths(env, exports);
	register_taps(env, exports);
	register_frameports(env, exports);
	register_poll(env, exports);
	register_digests(env, exports);
	register_system(env, exports);
	return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
