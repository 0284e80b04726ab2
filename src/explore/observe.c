// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the scenario's observe() tells along the recorded execution. It is asked before each event
 * is written down, that is when the event before it and the plain code that followed are over, and
 * once more at the end. Only changes are kept.
 *
 * A scenario that broke its own memory may crash its observer: the world that stands still is not
 * to blame for what a look at it does, so the values then end there (the handler comes back here).
 */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>

enum { VALUES_MAX = 256, CHANGES_MAX = 1 << 16, TEXTS_BYTES = 2 << 20, TEXT_MAX = 200 };

struct last {
	bool told; /* in this round */
	const char *text;
};

struct explore_obs {
	struct explore_value values[VALUES_MAX];
	struct last last[VALUES_MAX];
	uint32_t value_nr, change_nr, after;
	size_t texts_nr;
	bool on, full;
	bool asking; /* observe() runs, and may be left by crashed */
	struct explore_change *changes;
	char *texts;
	char detail[EXPLORE_DETAIL_BYTES];
	sigjmp_buf crashed;
};

static struct explore_obs *obs;

int ex_observe_init(void)
{
	if (obs)
		return 0;
	obs = ex_pages(sizeof(*obs));
	if (!obs)
		return -ENOMEM;
	obs->changes = ex_pages(CHANGES_MAX * sizeof(*obs->changes));
	obs->texts = ex_pages(TEXTS_BYTES);
	if (obs->changes && obs->texts)
		return 0;
	ex_observe_end();
	return -ENOMEM;
}

void ex_observe_end(void)
{
	if (!obs)
		return;
	ex_pages_free(obs->changes, CHANGES_MAX * sizeof(*obs->changes));
	ex_pages_free(obs->texts, TEXTS_BYTES);
	ex_pages_free(obs, sizeof(*obs));
	obs = NULL;
}

#if EX_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
#endif

/* TSan: a look races with nothing, and orders nothing. */
static void tsan_look(bool on)
{
#if EX_TSAN
	if (on) {
		AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
		AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
		AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	} else {
		AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
		AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
		AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	}
#else
	(void)on;
#endif
}

void explore_peek(bool on)
{
	if (ex_world->peeking != on)
		tsan_look(on);
	ex_world->peeking = on;
	ex_clocks_on = !on && ex_world->clocks && ex_world->phase == EX_EXPLORE;
	ex_weak_on = !on && ex_world->opt->weak && ex_world->phase == EX_EXPLORE;
	if (on)
		ex_world->event = NULL; /* its value is known */
}

bool ex_observe_crashed(void)
{
	if (obs && obs->asking)
		siglongjmp(obs->crashed, 1);
	if (ex_world->peeking)
		explore_peek(false); /* it ends inside of a look */
	return false;
}

/* ---- what is told ---- */

static const char *keep_text(struct explore_obs *o, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *to = o->texts + o->texts_nr;

	if (o->texts_nr + bytes > TEXTS_BYTES) {
		o->full = true;
		return NULL;
	}
	o->texts_nr += bytes;
	return memcpy(to, text, bytes);
}

static struct explore_change *change(struct explore_obs *o, uint32_t value, const char *text)
{
	struct explore_change *c;

	if (o->change_nr == CHANGES_MAX || o->full)
		return NULL;
	c = &o->changes[o->change_nr++];
	*c = (struct explore_change){ .after = o->after, .value = value };
	c->text = o->last[value].text = text ? keep_text(o, text) : NULL;
	return c;
}

/* Its index; VALUES_MAX: no room. */
static uint32_t value_of(struct explore_obs *o, const char *name, const char *brief)
{
	uint32_t i = 0;

	while (i < o->value_nr && strcmp(o->values[i].name, name) != 0)
		i++;
	if (i == o->value_nr && i < VALUES_MAX) {
		o->values[i].name = keep_text(o, name);
		o->values[i].brief = brief;
		if (!o->values[i].name)
			return VALUES_MAX;
		o->value_nr++;
	}
	return i;
}

/* NULL: it is as it was. */
static struct explore_change *show(struct explore_obs *o, const char *name, const char *brief,
				   const char *text)
{
	uint32_t i = value_of(o, name, brief);
	struct last *last = i < VALUES_MAX ? &o->last[i] : NULL;

	if (!last)
		return NULL;
	last->told = true;
	if (last->text && strcmp(last->text, text) == 0)
		return NULL;
	return change(o, i, text);
}

void explore_show_number(struct explore_obs *o, const char *name, const char *brief, int64_t n)
{
	char text[32];
	struct explore_change *c;

	ex_print(text, sizeof(text), "%lld", (long long)n);
	c = show(o, name, brief, text);
	if (c) {
		c->is_number = true;
		c->number = n;
	}
}

void explore_show_text(struct explore_obs *o, const char *name, const char *brief, const char *fmt,
		       ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	ex_format(text, sizeof(text), fmt, ap);
	va_end(ap);
	show(o, name, brief, text);
}

/* ---- when ---- */

void ex_observe_start(struct ex_world *w)
{
	if (!w->recording || ex_observe_init())
		return;
	obs->on = w->scn->observe != NULL;
	obs->full = false;
	obs->value_nr = obs->change_nr = 0;
	obs->texts_nr = 0;
	obs->detail[0] = '\0';
	memset(obs->last, 0, sizeof(obs->last));
}

void ex_observe(struct ex_world *w)
{
	struct explore_event *event = w->event;

	if (!obs || !obs->on || w->peeking)
		return;
	obs->after = w->event_nr;
	for (uint32_t i = 0; i < obs->value_nr; i++)
		obs->last[i].told = false;
	obs->asking = true;
	explore_peek(true);
	if (sigsetjmp(obs->crashed, 0) == 0)
		w->scn->observe(w->state, obs);
	else
		obs->on = false;
	obs->asking = false;
	explore_peek(false);
	w->event = event;
	for (uint32_t i = 0; i < obs->value_nr; i++)
		if (!obs->last[i].told && obs->last[i].text)
			change(obs, i, NULL);
}

void ex_observe_stop(struct ex_world *w)
{
	if (!w->recording)
		return;
	ex_observe(w);
	ex_note_waits(w);
	if (!obs)
		return;
	obs->on = false;
	ex_detail(w, obs->detail, sizeof(obs->detail));
}

void ex_observe_tell(struct explore_result *res)
{
	if (!obs)
		return;
	res->values = obs->values;
	res->value_nr = obs->value_nr;
	res->changes = obs->changes;
	res->change_nr = obs->change_nr;
	memcpy(res->detail, obs->detail, sizeof(res->detail));
}
