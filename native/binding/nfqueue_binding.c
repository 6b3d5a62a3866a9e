/* NFQUEUE for JavaScript: one call into it per batch, and one set of verdicts out of it, in memory that it owns. */
#include "poller.h"

#include "nfq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Batches taken in one turn of the event loop, so that timers and the control channel get theirs. */
#define BATCHES_PER_TURN 16

struct queue {
	struct poller poller;
	struct nfq nfq;
	struct nfq_ring ring;
	napi_ref memory[4];	/* arena, table, commands, send arena: kept while the queue lives */
	uint32_t *commands;	/* word 0: how many commands wait; then the commands */
	uint32_t max_commands;
	uint8_t *send_arena;
	uint32_t send_bytes;
	int ready;		/* closed and drained queues take nothing more */
	int in_batch;
};

/* 0 or -errno. What could not be sent stays at the front of the table. */
static int flush(struct queue *q)
{
	uint32_t count = q->commands[0], done;
	int err;

	if (count == 0)
		return 0;
	if (count > q->max_commands)
		return -EINVAL;
	err = nfq_send(&q->nfq, q->commands + 1, count, q->send_arena, q->send_bytes, &done);
	if (err && done)
		memmove(q->commands + 1, q->commands + 1 + (size_t)done * NFQ_C_WORDS,
			(size_t)(count - done) * NFQ_C_WORDS * sizeof(uint32_t));
	q->commands[0] = count - done;
	return err;
}

/* A queue that cannot receive or answer any more holds packets that nobody will settle. */
static void die_of(napi_env env, int err, const char *where)
{
	napi_throw_error(env, 0, strerror(-err));
	die_if_thrown(env, where);
}

/* One batch through JavaScript and its verdicts out again. Packets, 0 or -errno. */
static int batch(struct queue *q, int *more)
{
	napi_env env = q->poller.env;
	int count = nfq_receive(&q->nfq, &q->ring, more), err;
	napi_value arg;

	if (count <= 0)
		return count;
	napi_create_uint32(env, (uint32_t)count, &arg);
	q->in_batch = 1;
	poller_call(&q->poller, 1, &arg);
	q->in_batch = 0;
	die_if_thrown(env, "the handler of a batch of packets");
	if (!q->ready)
		return count;
	err = flush(q);
	if (err)
		die_of(env, err, "sending verdicts");
	return count;
}

static void on_ready(struct poller *p, int status, int events)
{
	struct queue *q = (struct queue *)p;
	int more = 1;

	(void)status;
	(void)events;
	for (int i = 0; i < BATCHES_PER_TURN && more && q->ready; i++) {
		int n = batch(q, &more);

		if (n < 0 && n != -EAGAIN)
			die_of(p->env, n, "receiving packets");
		if (n < 0)
			return;
	}
}

static void on_closed(struct poller *p)
{
	struct queue *q = (struct queue *)p;

	nfq_close(&q->nfq);
	nfq_ring_free(&q->ring);
	free(q);
}

static void release_memory(struct queue *q)
{
	for (int i = 0; i < 4; i++) {
		if (q->memory[i])
			napi_delete_reference(q->poller.env, q->memory[i]);
		q->memory[i] = 0;
	}
}

static void fill_settings(uint32_t *out, const struct nfq_settings *s)
{
	out[0] = s->port_id;
	out[1] = s->flags;
	out[2] = s->copy_range;
	out[3] = s->receive_buffer;
	out[4] = s->forced;
}

/* Memory and sizes from the arguments; 0 when something does not fit. */
static int take_memory(struct args *a, struct queue *q, uint8_t **arena, uint32_t **table, uint32_t batch_packets,
		       uint32_t slot_bytes)
{
	size_t arena_bytes, send_bytes, command_bytes;

	*arena = arg_bytes(a, 3, &arena_bytes);
	*table = arg_words(a, 4, (size_t)batch_packets * NFQ_D_WORDS);
	q->commands = arg_words(a, 5, 1 + NFQ_C_WORDS);
	arg_bytes(a, 5, &command_bytes);
	q->send_arena = arg_bytes(a, 6, &send_bytes);
	if (a->bad)
		return 0;
	if (batch_packets == 0 || arena_bytes / batch_packets < slot_bytes || arena_bytes > UINT32_MAX || send_bytes > UINT32_MAX) {
		fail_type(a, "the arena is too small for a batch");
		return 0;
	}
	q->max_commands = (uint32_t)((command_bytes / 4 - 1) / NFQ_C_WORDS);
	q->send_bytes = (uint32_t)send_bytes;
	for (int i = 0; i < 4; i++)
		napi_create_reference(a->env, a->v[3 + i], 1, &q->memory[i]);
	return 1;
}

/* nfqOpen(config: Uint32Array [queue, max length, copy range, receive buffer, flags, batch, slot bytes], netns, settings:
 * Uint32Array, arena, table, commands, send arena, onBatch(count)): a handle or -errno. */
static napi_value nfq_open_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	const uint32_t *c = arg_words(&a, 0, 7);
	uint32_t *settings = arg_words(&a, 2, 5);
	struct nfq_config config = { 0 };
	struct nfq_settings got;
	char netns[256];
	uint8_t *arena;
	uint32_t *table;
	struct queue *q;
	napi_value out;
	int err;

	arg_string(&a, 1, netns, sizeof(netns));
	if (a.bad)
		return 0;
	config.queue = (uint16_t)c[0];
	config.max_length = c[1];
	config.copy_range = c[2];
	config.receive_buffer = c[3];
	config.flags = c[4];
	config.netns = netns;
	q = calloc(1, sizeof(*q));
	if (!q)
		return number(env, -ENOMEM);
	q->poller.env = env;
	if (!take_memory(&a, q, &arena, &table, c[5], c[6])) {
		free(q);
		return 0;
	}
	err = nfq_ring_init(&q->ring, arena, table, c[5], c[6]);
	if (!err)
		err = nfq_open(&q->nfq, &config, &got);
	if (!err) {
		fill_settings(settings, &got);
		q->poller.on_ready = on_ready;
		q->poller.on_closed = on_closed;
		q->ready = 1;
		err = poller_start(&q->poller, env, q->nfq.fd, UV_READABLE, a.v[7]);
		if (err)
			nfq_close(&q->nfq);
	}
	if (err) {
		nfq_ring_free(&q->ring);
		release_memory(q);
		free(q);
		return number(env, err);
	}
	napi_create_external(env, q, 0, 0, &out);
	return out;
}

/* nfqFlush(handle): 0 or -errno. */
static napi_value nfq_flush_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);

	return a.bad ? 0 : number(env, flush(q));
}

/* nfqDrain(handle, most): reads and hands over until the socket is empty or `most` packets came; packets or -errno. */
static napi_value nfq_drain_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);
	uint32_t most = arg_u32(&a, 1), total = 0;
	int more, n = 0;

	if (a.bad)
		return 0;
	/* The arena holds the batch that is being looked at. */
	if (q->in_batch)
		return number(env, -EBUSY);
	while (q->ready && total < most) {
		napi_handle_scope scope;

		napi_open_handle_scope(env, &scope);
		n = batch(q, &more);
		napi_close_handle_scope(env, scope);
		if (n < 0)
			break;
		total += (uint32_t)n;
	}
	return number(env, n < 0 && n != -EAGAIN ? n : (double)total);
}

/* nfqPause(handle, paused): no batches from the event loop while paused. */
static napi_value nfq_pause_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);
	int paused = arg_i32(&a, 1);

	return a.bad ? 0 : number(env, poller_events(&q->poller, paused ? 0 : UV_READABLE));
}

/* nfqCopyRange(handle, bytes) */
static napi_value nfq_copy_range_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);
	uint32_t range = arg_u32(&a, 1);

	if (a.bad || !q->ready)
		return 0;
	if (nfq_slot_bytes(range) > q->ring.slot_bytes)
		return number(env, -EINVAL);
	return number(env, nfq_set_copy_range(&q->nfq, range));
}

/* nfqTake(handle): reads a batch into the queue's memory without handing it over; packets, 0 where none has come, or -errno. */
static napi_value nfq_take_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);
	int more, n;

	if (a.bad)
		return 0;
	if (q->in_batch)
		return number(env, -EBUSY);
	if (!q->ready)
		return number(env, 0);
	n = nfq_receive(&q->nfq, &q->ring, &more);
	return number(env, n == -EAGAIN ? 0 : n);
}

/* nfqPairs(arena, table, from, other arena, other table, other from, count, to, at, differing: Uint32Array): how many are alike, or -errno, see
 * nfq.h. `from` is the number of a packet. */
static napi_value nfq_pairs_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	uint32_t from = arg_u32(&a, 2), other_from = arg_u32(&a, 5), count = arg_u32(&a, 6), at = arg_u32(&a, 8);
	struct nfq_batch first, second;
	size_t to_bytes;
	uint8_t *to;
	uint32_t *differing;

	first.arena = arg_bytes(&a, 0, &first.arena_bytes);
	first.table = arg_words(&a, 1, ((size_t)from + count) * NFQ_D_WORDS);
	second.arena = arg_bytes(&a, 3, &second.arena_bytes);
	second.table = arg_words(&a, 4, ((size_t)other_from + count) * NFQ_D_WORDS);
	to = arg_bytes(&a, 7, &to_bytes);
	differing = arg_words(&a, 9, count);
	if (!a.bad && at > to_bytes)
		fail_type(&a, "the copies do not lie in the buffer");
	if (a.bad)
		return 0;
	first.table += (size_t)from * NFQ_D_WORDS;
	second.table += (size_t)other_from * NFQ_D_WORDS;
	return number(env, nfq_pairs(&first, &second, count, to + at, to_bytes - at, differing));
}

/* nfqClose(handle): the kernel drops what it holds for the queue. The handle must not be used again. */
static napi_value nfq_close_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);

	if (a.bad || !q->ready)
		return 0;
	q->ready = 0;
	poller_close(&q->poller);
	nfq_close(&q->nfq);
	release_memory(q);
	return 0;
}

/* nfqCounters(handle, out: Float64Array of 9) in the order of struct nfq_counters, then the last refusal's errno. */
static napi_value nfq_counters_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);
	size_t bytes;
	uint8_t *out = arg_bytes(&a, 1, &bytes);
	const struct nfq_counters *c;
	double values[9];

	if (a.bad)
		return 0;
	if (bytes < sizeof(values)) {
		fail_type(&a, "the counters need nine places");
		return 0;
	}
	c = &q->nfq.counters;
	values[0] = (double)c->packets;
	values[1] = (double)c->batches;
	values[2] = (double)c->sends;
	values[3] = (double)c->malformed;
	values[4] = (double)c->overruns;
	values[5] = (double)c->verdict_errors;
	values[6] = (double)c->send_retries;
	values[7] = (double)c->checksum_failures;
	values[8] = q->nfq.last_error;
	memcpy(out, values, sizeof(values));
	return 0;
}

/* nfqKernelStats(handle, out: Uint32Array of 7): 0 or -errno. */
static napi_value nfq_stats_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	struct queue *q = arg_external(&a, 0);
	uint32_t *out = arg_words(&a, 1, 7);
	struct nfq_kernel_stats s;
	int err;

	if (a.bad)
		return 0;
	err = nfq_kernel_stats(&q->nfq, &s);
	if (!err)
		memcpy(out, (uint32_t[]){ s.port_id, s.queued, s.copy_mode, s.copy_range, s.dropped, s.user_dropped, s.id_sequence },
		       7 * sizeof(uint32_t));
	return number(env, err);
}

static napi_value nfq_slot_bytes_js(napi_env env, napi_callback_info info)
{
	struct args a = args_get(env, info);
	uint32_t copy_range = arg_u32(&a, 0);

	return a.bad ? 0 : number(env, nfq_slot_bytes(copy_range));
}

/* nfqLayout: the numbers that both sides must agree on, checked when the addon is loaded. */
static void add_layout(napi_env env, napi_value exports)
{
#define WORD(name) { #name, name }
	static const struct {
		const char *name;
		uint32_t value;
	} words[] = {
		WORD(NFQ_D_ID),		   WORD(NFQ_D_OFFSET),	       WORD(NFQ_D_LENGTH),	   WORD(NFQ_D_ORIGINAL_LENGTH),
		WORD(NFQ_D_HW_PROTOCOL),   WORD(NFQ_D_HOOK),	       WORD(NFQ_D_MARK),	   WORD(NFQ_D_INDEV),
		WORD(NFQ_D_OUTDEV),	   WORD(NFQ_D_PHYSINDEV),      WORD(NFQ_D_PHYSOUTDEV),	   WORD(NFQ_D_SKB_INFO),
		WORD(NFQ_D_HWADDR_HIGH),   WORD(NFQ_D_HWADDR_LOW),     WORD(NFQ_D_HWADDR_LENGTH),  WORD(NFQ_D_TIMESTAMP_SEC),
		WORD(NFQ_D_TIMESTAMP_USEC), WORD(NFQ_D_CT_INFO),       WORD(NFQ_D_CT_STATUS),	   WORD(NFQ_D_CT_ID),
		WORD(NFQ_D_CT_MARK),	   WORD(NFQ_D_CT_ZONE),	       WORD(NFQ_D_PRIORITY),	   WORD(NFQ_D_WORDS),
		WORD(NFQ_NO_CT),	   WORD(NFQ_C_ACTION),	       WORD(NFQ_C_ID),		   WORD(NFQ_C_MARK),
		WORD(NFQ_C_OFFSET),	   WORD(NFQ_C_LENGTH),	       WORD(NFQ_C_WORDS),	   WORD(NFQ_DROP),
		WORD(NFQ_ACCEPT),	   WORD(NFQ_WITH_MARK),	       WORD(NFQ_WITH_PAYLOAD),	   WORD(NFQ_WITH_CHECKSUM),
		WORD(NFQ_RECORD_HEAD),	   WORD(NFQ_RECORD_MARK),      WORD(NFQ_RECORD_PAYLOAD),   WORD(NFQ_MAX_COPY),
	};
#undef WORD
	napi_value layout;

	napi_create_object(env, &layout);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		napi_set_named_property(env, layout, words[i].name, number(env, words[i].value));
	napi_set_named_property(env, exports, "nfqLayout", layout);
}

void register_nfqueue(napi_env env, napi_value exports)
{
	static const struct function list[] = {
		{ "nfqOpen", nfq_open_js },	    { "nfqFlush", nfq_flush_js },	{ "nfqDrain", nfq_drain_js },
		{ "nfqTake", nfq_take_js },
		{ "nfqPairs", nfq_pairs_js },
		{ "nfqPause", nfq_pause_js },	    { "nfqCopyRange", nfq_copy_range_js },
			    { "nfqClose", nfq_close_js },	{ "nfqCounters", nfq_counters_js },
		{ "nfqKernelStats", nfq_stats_js }, { "nfqSlotBytes", nfq_slot_bytes_js },
	};

	add_functions(env, exports, list, sizeof(list) / sizeof(list[0]));
	add_layout(env, exports);
}
