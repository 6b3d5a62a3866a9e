/* pollStart(fd, onReady(events), deadly): the general watcher for descriptors that JavaScript reads itself. */
#include "poller.h"

#include <stdlib.h>
#include <unistd.h>

struct watcher {
	struct poller poller;
	int fd;
	int events;
	int deadly; /* an exception ends the process, whatever handlers it has */
};

static void on_ready(struct poller *p, int status, int events)
{
	struct watcher *w = (struct watcher *)p;
	/* An error shows itself at the next read, which names it. */
	napi_value arg = number(p->env, status < 0 ? UV_READABLE : events);
	bool pending = false;

	/* libuv stops watching at an error, but not every error is the end: data may come before it, and a lossy socket goes on. */
	if (status < 0)
		poller_events(p, w->events);
	poller_call(p, 1, &arg);
	if (w->deadly)
		die_if_thrown(p->env, "the handler of a connection");
	napi_is_exception_pending(p->env, &pending);
	if (pending) {
		napi_value error;

		napi_get_and_clear_last_exception(p->env, &error);
		napi_fatal_exception(p->env, error);
	}
}

static void on_closed(struct poller *p)
{
	struct watcher *w = (struct watcher *)p;

	close(w->fd);
	free(w);
}

static napi_value poll_start(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	int fd = arg_i32(&a, 0), deadly = arg_i32(&a, 2), err;
	struct watcher *w;
	napi_value out;

	if (a.bad)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return number(env, UV_ENOMEM);
	w->fd = fd;
	w->events = UV_READABLE;
	w->deadly = deadly;
	w->poller.on_ready = on_ready;
	w->poller.on_closed = on_closed;
	err = poller_start(&w->poller, env, fd, UV_READABLE, a.v[1]);
	if (err) {
		free(w);
		return number(env, err);
	}
	napi_create_external(env, w, 0, 0, &out);
	return out;
}

/* pollEvents(handle, events): bits 1 readable, 2 writable, as libuv has them; 0 watches nothing. */
static napi_value poll_events(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct watcher *w = arg_external(&a, 0);
	int events = arg_i32(&a, 1);

	if (a.bad)
		return 0;
	w->events = events;
	return number(env, poller_events(&w->poller, events));
}

/* pollClose(handle): the handle must not be used again. */
static napi_value poll_close(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct watcher *w = arg_external(&a, 0);

	if (!a.bad)
		poller_close(&w->poller);
	return 0;
}

/* pollReference(handle, keep): whether it keeps the process alive. */
static napi_value poll_reference(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct watcher *w = arg_external(&a, 0);
	int keep = arg_i32(&a, 1);

	if (a.bad)
		return 0;
	if (keep)
		uv_ref((uv_handle_t *)&w->poller.handle);
	else
		uv_unref((uv_handle_t *)&w->poller.handle);
	return 0;
}

void register_poll(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "pollStart", poll_start },
		{ "pollEvents", poll_events },
		{ "pollClose", poll_close },
		{ "pollReference", poll_reference },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
}
