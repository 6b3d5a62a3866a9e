/* See poller.h. */
#include "poller.h"

static void ready(uv_poll_t *handle, int status, int events)
{
	struct poller *p = handle->data;
	napi_handle_scope scope;

	napi_open_handle_scope(p->env, &scope);
	p->on_ready(p, status, events);
	napi_close_handle_scope(p->env, scope);
}

/* The environment ends (a worker, or the process): the handle must be off the loop before that is torn down. */
static void env_ends(napi_async_cleanup_hook_handle hook, void *arg)
{
	(void)hook;
	poller_close(arg);
}

static void make_context(struct poller *p, napi_value callback)
{
	napi_value resource, name;

	napi_create_object(p->env, &resource);
	napi_create_string_utf8(p->env, "colo", NAPI_AUTO_LENGTH, &name);
	napi_async_init(p->env, resource, name, &p->context);
	napi_create_reference(p->env, callback, 1, &p->callback);
}

int poller_start(struct poller *p, napi_env env, int fd, int events, napi_value callback)
{
	int err;

	p->env = env;
	p->closing = 0;
	err = uv_poll_init(loop_of(env), &p->handle, fd);
	if (err)
		return err;
	p->handle.data = p;
	make_context(p, callback);
	napi_add_async_cleanup_hook(env, env_ends, p, &p->cleanup);
	return uv_poll_start(&p->handle, events, ready);
}

int poller_events(struct poller *p, int events)
{
	return p->closing ? 0 : uv_poll_start(&p->handle, events, ready);
}

static void closed(uv_handle_t *handle)
{
	struct poller *p = handle->data;
	napi_async_cleanup_hook_handle cleanup = p->cleanup;
	napi_handle_scope scope;

	/* Not in poller_close(), which the callback itself may have called. */
	napi_open_handle_scope(p->env, &scope);
	napi_delete_reference(p->env, p->callback);
	napi_async_destroy(p->env, p->context);
	napi_close_handle_scope(p->env, scope);
	p->on_closed(p);
	napi_remove_async_cleanup_hook(cleanup);
}

void poller_close(struct poller *p)
{
	if (p->closing)
		return;
	p->closing = 1;
	uv_poll_stop(&p->handle);
	uv_close((uv_handle_t *)&p->handle, closed);
}

void poller_call(struct poller *p, size_t argc, const napi_value *argv)
{
	napi_value callback, receiver;

	napi_get_reference_value(p->env, p->callback, &callback);
	napi_get_global(p->env, &receiver);
	napi_make_callback(p->env, p->context, receiver, callback, argc, argv, 0);
}
