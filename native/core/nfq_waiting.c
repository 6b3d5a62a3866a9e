/* See nfq_waiting.h. Ids are 32 bits and wrap: they are compared by their distance. */
#include "nfq_waiting.h"

#include <stdlib.h>

#define FIRST_CAPACITY (1u << 14)
/* 8 MiB of bits. One packet that is held while more than these pass ends the settling of several together. */
#define MAX_CAPACITY (1u << 26)

void nfq_waiting_free(struct nfq_waiting *w)
{
	free(w->bits);
	w->bits = 0;
	w->capacity = 0;
}

static uint64_t *word(struct nfq_waiting *w, uint32_t id)
{
	return &w->bits[(id & (w->capacity - 1)) / 64];
}

static uint64_t bit(uint32_t id)
{
	return 1ull << (id & 63);
}

/* Room for ids of that span; what waits keeps its bit. */
static int grow(struct nfq_waiting *w, uint32_t span)
{
	struct nfq_waiting larger = *w;

	larger.capacity = w->capacity ? w->capacity : FIRST_CAPACITY;
	while (larger.capacity < span) {
		if (larger.capacity == MAX_CAPACITY)
			return 0;
		larger.capacity *= 2;
	}
	larger.bits = calloc(larger.capacity / 64, sizeof(*larger.bits));
	if (!larger.bits)
		return 0;
	for (uint32_t id = w->oldest; id != w->next; id++)
		if (*word(w, id) & bit(id))
			*word(&larger, id) |= bit(id);
	free(w->bits);
	*w = larger;
	return 1;
}

static void give_up(struct nfq_waiting *w)
{
	nfq_waiting_free(w);
	w->unsure = 1;
}

void nfq_waiting_came(struct nfq_waiting *w, uint32_t id)
{
	uint32_t ahead = id - w->next;

	if (w->unsure)
		return;
	if (w->capacity == 0 || w->oldest == w->next) {
		/* Nothing waits: no need to step over what never came. */
		w->oldest = w->next = id;
		ahead = 0;
	}
	/* An id that comes twice, or from before: not what this was made for. */
	if (ahead > INT32_MAX) {
		give_up(w);
		return;
	}
	if (id - w->oldest >= w->capacity && !grow(w, id - w->oldest + 1)) {
		give_up(w);
		return;
	}
	for (; w->next != id; w->next++)
		*word(w, w->next) &= ~bit(w->next);
	*word(w, id) |= bit(id);
	w->next++;
}

void nfq_waiting_settled(struct nfq_waiting *w, uint32_t id)
{
	if (w->unsure || id - w->oldest >= w->next - w->oldest)
		return;
	*word(w, id) &= ~bit(id);
	while (w->oldest != w->next && !(*word(w, w->oldest) & bit(w->oldest)))
		w->oldest++;
}

int nfq_waiting_none_to(const struct nfq_waiting *w, uint32_t id)
{
	return !w->unsure && w->capacity > 0 && (int32_t)(id - w->oldest) < 0;
}
