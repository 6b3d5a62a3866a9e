/* A descriptor watched by the event loop. It keeps itself alive until it is closed, and closes its descriptor with it. */
#ifndef COLO_POLLER_H
#define COLO_POLLER_H

#include "binding.h"

struct poller {
	uv_poll_t handle;
	napi_env env;
	napi_ref callback;
	napi_async_context context;
	napi_async_cleanup_hook_handle cleanup;
	void (*on_ready)(struct poller *p, int status, int events); /* inside a handle scope */
	void (*on_closed)(struct poller *p);			     /* frees what surrounds the poller */
	int closing;
};

/* Starts watching for `events` (UV_READABLE, ...). 0 or a negative libuv code, and then nothing is left to close. */
int poller_start(struct poller *p, napi_env env, int fd, int events, napi_value callback);
int poller_events(struct poller *p, int events);
/* Idempotent. on_closed comes later, from the loop. */
void poller_close(struct poller *p);
/* Calls the JavaScript callback; an exception stays pending. */
void poller_call(struct poller *p, size_t argc, const napi_value *argv);

#endif
