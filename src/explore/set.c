// SPDX-License-Identifier: GPL-2.0-only
/* A set of hashes with a number each: open addressing in pages of the engine's own. */
#include "search.h"

#include <errno.h>
#include <sys/mman.h>

enum { HUGE_FROM = 4 << 20 };

int ex_set_init(struct ex_set *s, uint64_t room)
{
	*s = (struct ex_set){ .slots = ex_pages(room * sizeof(*s->slots)), .room = room };
	if (!s->slots)
		return -ENOMEM;
	if (room * sizeof(*s->slots) >= HUGE_FROM) /* each look-up is a page of its own */
		madvise(s->slots, room * sizeof(*s->slots), MADV_HUGEPAGE);
	return 0;
}

void ex_set_end(struct ex_set *s)
{
	ex_pages_free(s->slots, s->room * sizeof(*s->slots));
	*s = (struct ex_set){ .slots = NULL };
}

static struct ex_set_slot *slot_of(const struct ex_set *s, uint64_t key)
{
	uint64_t at = ex_mix(key, 3) & (s->room - 1);

	while (s->slots[at].key && s->slots[at].key != key)
		at = (at + 1) & (s->room - 1);
	return &s->slots[at];
}

static bool grow(struct ex_set *s)
{
	struct ex_set bigger;

	if (ex_set_init(&bigger, s->room * 4))
		return false;
	for (uint64_t i = 0; i < s->room; i++)
		if (s->slots[i].key)
			*slot_of(&bigger, s->slots[i].key) = s->slots[i];
	bigger.nr = s->nr;
	bigger.sum = s->sum;
	ex_set_end(s);
	*s = bigger;
	return true;
}

struct ex_set_slot *ex_set_get(struct ex_set *s, uint64_t key, bool *was_new)
{
	struct ex_set_slot *slot;

	key = key ? key : 1; /* 0 is an empty slot */
	slot = slot_of(s, key);
	*was_new = slot->key == 0;
	if (!*was_new)
		return slot;
	if (s->nr * 3 >= s->room * 2) {
		if (s->nr >= (1ull << 27) || !grow(s))
			return NULL;
		slot = slot_of(s, key);
	}
	slot->key = key;
	slot->value = INT64_MIN;
	s->nr++;
	s->sum += ex_mix(key, 5);
	return slot;
}
