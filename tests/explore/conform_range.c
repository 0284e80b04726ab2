// SPDX-License-Identifier: GPL-2.0-only
/* The contract of rt/range.h: byte-range locks. */
#include "explore/conform.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/range.h"

enum { BYTES = 10 };

struct space {
	struct rt_range_space s;
	rt_u32 owner[BYTES]; /* of each byte: writers << 8, and readers */
	rt_u32 done;
	struct rt_event ev;
	unsigned runs; /* plain: under exclusive ranges of byte 0 */
};

static void setup(void *state)
{
	struct space *x = state;

	rt_range_init(&x->s, RANK_FS_WRITER);
	rt_event_init(&x->ev);
}

static void check(void *state)
{
	struct space *x = state;

	for (unsigned i = 0; i < BYTES; i++)
		MBFS_ASSERT(rt_u32_read(&x->owner[i]) == 0);
	rt_range_destroy(&x->s);
}

/* Holds its bytes, and says so: nobody else may write them, nor read what it writes. */
static void hold(struct space *x, unsigned first, unsigned last, bool exclusive)
{
	const uint32_t mine = exclusive ? 1 << 8 : 1;

	for (unsigned i = first; i <= last; i++) {
		uint32_t now = rt_u32_add_return(&x->owner[i], mine);

		MBFS_ASSERT(exclusive ? now == mine : now >> 8 == 0);
	}
	for (unsigned i = first; i <= last; i++)
		rt_u32_add_return(&x->owner[i], -mine);
}

/* The node is gone as soon as it is unlocked. */
static void use(struct space *x, unsigned first, unsigned last, bool exclusive)
{
	struct rt_range *r = rt_zalloc(sizeof(*r));

	if (!r)
		return;
	rt_range_lock(&x->s, r, first, last, exclusive);
	hold(x, first, last, exclusive);
	if (exclusive && first == 0)
		x->runs++;
	rt_range_unlock(&x->s, r);
	rt_free(r);
}

static void writer_all(void *state)
{
	use(state, 0, 0, true);
}

static void both_ran(void *state)
{
	MBFS_ASSERT(((struct space *)state)->runs == 2);
	check(state);
}

static void reader(void *state)
{
	use(state, 0, 1, false);
}

static void writer_first(void *state)
{
	use(state, 0, 0, true);
}

static void writer_low(void *state)
{
	use(state, 0, 1, true);
}

static void writer_middle(void *state)
{
	use(state, 1, 2, true);
}

static void writer_high(void *state)
{
	use(state, 2, 3, true);
}

/* Each holds its own bytes until the other is there too. */
static void meet(struct space *x, unsigned first, unsigned last, bool exclusive)
{
	struct rt_range r;
	uint32_t key;

	rt_range_lock(&x->s, &r, first, last, exclusive);
	rt_u32_add_return(&x->done, 1);
	rt_event_signal(&x->ev);
	for (;;) {
		key = rt_event_key(&x->ev);
		if (rt_u32_read_acquire(&x->done) >= 2)
			break;
		rt_event_wait(&x->ev, key);
	}
	rt_range_unlock(&x->s, &r);
}

static void meet_low(void *state)
{
	meet(state, 0, 4, true);
}

static void meet_high(void *state)
{
	meet(state, 5, 9, true);
}

static void meet_shared(void *state)
{
	meet(state, 3, 6, false);
}

/* What is free is got, what is not is refused, and a refused node is not linked. */
static void tries(void *state)
{
	struct space *x = state;
	struct rt_range *r = rt_zalloc(sizeof(*r));

	if (!r)
		return;
	if (rt_range_trylock(&x->s, r, 0, 1, true)) {
		hold(x, 0, 1, true);
		rt_range_unlock(&x->s, r);
	}
	rt_free(r);
}

#define CASE(name, end, ...) \
	{ name, sizeof(struct space), setup, sizeof((void (*[])(void *)){ __VA_ARGS__ }) / 8, \
	  { __VA_ARGS__ }, end }

const struct conform_case conform_range[] = {
	CASE("range: exclusive ranges exclude", both_ran, writer_all, writer_all),
	CASE("range: a writer between readers", check, reader, writer_first, reader),
	CASE("range: what overlaps waits", check, writer_low, writer_middle, writer_high),
	CASE("range: what does not overlap does not wait", check, meet_low, meet_high),
	CASE("range: readers do not wait for each other", check, meet_shared, meet_shared),
	CASE("range: trylock", check, tries, writer_first, tries),
};
const unsigned conform_range_nr = MBFS_ARRAY_SIZE(conform_range);
