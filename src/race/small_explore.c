// SPDX-License-Identifier: GPL-2.0-only
/* Who runs small scenarios here is the explorer. This file is linked with the library's explorer
 * build. */
#include "race/small_explore.h"

#include <stdarg.h>

#include "base/containers.h"
#include "race/small_observe.h"

/* The explorer's state: a run, what the observer remembers of it, the scenario's own. */
struct room {
	struct small_run run;
	uint64_t emptied;
} __attribute__((aligned(64)));

static struct small_run *run_of(void *state)
{
	return &((struct room *)state)->run;
}

static struct room *room_of(struct small_run *r)
{
	return container_of(r, struct room, run);
}

static void setup(void *state)
{
	const struct small_explore *x = explore_arg();
	struct small_run *r = run_of(state);

	*r = (struct small_run){ .s = x->small,
				 .variant = x->variant,
				 .image = x->image,
				 .image_bytes = x->small->image_bytes,
				 .faults = x->faults,
				 .state = (struct room *)state + 1 };
	x->small->setup(r);
}

static void thread(void *state)
{
	struct small_run *r = run_of(state);

	r->s->thread(r, explore_thread());
}

static void check(void *state)
{
	struct small_run *r = run_of(state);

	r->s->check(r);
}

static void observe(void *state, struct explore_obs *obs)
{
	struct small_run *r = run_of(state);
	static const char *const has[SMALL_THREADS_MAX] = { "A has", "B has", "C has" };
	char text[SMALL_TEXT_BYTES];

	if (r->s->alloc)
		small_observe(r->s->alloc(r), &room_of(r)->emptied, obs);
	for (unsigned i = 0; r->s->has && i < r->s->threads; i++) {
		r->s->has(r, i, text);
		explore_show_text(obs, has[i], has[i], "%s", text);
	}
}

void small_explore_make(const struct small_scenario *small, const char *variant,
			struct small_explore *out)
{
	*out = (struct small_explore){
		.small = small,
		.variant = variant,
		.s = { .name = small->name,
		       .variant = variant,
		       .state_bytes = sizeof(struct room) + small->state_bytes,
		       .arg = out,
		       .setup = setup,
		       .thread_nr = small->threads,
		       .check = check,
		       .observe = small->alloc || small->has ? observe : NULL },
	};
	for (unsigned i = 0; i < small->threads; i++)
		out->s.threads[i].fn = thread;
}

void small_fail(struct small_run *r, const char *fmt, ...)
{
	char text[SMALL_TEXT_BYTES];
	va_list ap;

	(void)r;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	explore_fail("%s", text);
}

void small_look(struct small_run *r, bool on)
{
	(void)r;
	explore_peek(on);
}

void small_where(struct small_run *r, char *to)
{
	small_observe_text(r->s->alloc(r), &room_of(r)->emptied, to, SMALL_TEXT_BYTES);
}

void small_name(struct small_run *r, const void *obj, const char *name)
{
	(void)r;
	explore_name(obj, name);
}

int small_device(struct small_run *r, struct mbfs_bdev **out)
{
	return explore_bdev_open(r->image, r->image_bytes, out);
}

void small_device_done(struct small_run *r, struct mbfs_bdev *dev)
{
	const struct small_explore *x = explore_arg();
	char wrong[SMALL_TEXT_BYTES];

	if (x->damaged &&
	    x->damaged(explore_bdev_bytes(dev), r->image_bytes, wrong, sizeof(wrong)))
		explore_fail("%s", wrong);
}
