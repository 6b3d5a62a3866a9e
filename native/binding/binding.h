/* The thin layer between the C core and JavaScript. JavaScript owns all memory and passes plain numbers; functions give back a
 * number, -errno when it failed, and throw only for arguments of the wrong type, which is a fault of the caller's code. */
#ifndef COLO_BINDING_H
#define COLO_BINDING_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define MAX_ARGS 10

struct args {
	napi_env env;
	napi_value v[MAX_ARGS];
	size_t count;
	int bad; /* sticky: an argument had the wrong type, and an exception is pending */
};

struct args args_get(napi_env env, napi_callback_info info);
uint32_t arg_u32(struct args *a, size_t i);
int32_t arg_i32(struct args *a, size_t i);
double arg_double(struct args *a, size_t i);
/* "" for null and undefined; cut to the room. */
void arg_string(struct args *a, size_t i, char *out, size_t room);
/* The bytes of any typed array or Buffer. */
uint8_t *arg_bytes(struct args *a, size_t i, size_t *bytes);
/* The words of a Uint32Array of at least `least` words. */
uint32_t *arg_words(struct args *a, size_t i, size_t least);
void *arg_external(struct args *a, size_t i);

napi_value number(napi_env env, double value);
void fail_type(struct args *a, const char *what);
uv_loop_t *loop_of(napi_env env);

struct function {
	const char *name;
	napi_callback call;
};
void add_functions(napi_env env, napi_value target, const struct function *list, size_t count);

/* Ends the process with exit code 70 (EX_SOFTWARE) when an exception is pending, with its stack: the callback that threw was
 * deciding about packets, and nobody knows which of them are settled. */
void die_if_thrown(napi_env env, const char *where);

void register_nfqueue(napi_env env, napi_value exports);
void register_sockets(napi_env env, napi_value exports);
void register_streams(napi_env env, napi_value exports);
void register_unixpaths(napi_env env, napi_value exports);
void register_taps(napi_env env, napi_value exports);
void register_frameports(napi_env env, napi_value exports);
void register_poll(napi_env env, napi_value exports);
void register_digests(napi_env env, napi_value exports);
void register_system(napi_env env, napi_value exports);

#endif
