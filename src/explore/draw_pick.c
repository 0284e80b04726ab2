// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which events of a trace matter. Each gets a score:
 *
 *   9  the scenario's notes, what a thread waits for in the end
 *   8  a value that the scenario shows in brief changes; a lock that is never given back
 *   7  a read by the thread that failed of what another had written
 *   6  such a read by another, and the write that it saw; a wake-up and its wait
 *   5  a write over what another thread had read or written; not an add after an add
 *   4  the rest of a livelock's round; what the thread that failed looked at last
 *   3  where a lock goes from thread to thread: plain data may go with it
 *
 * Those of 3 are shown if there is next to nothing else. The best are shown, of equal ones the
 * latest, then the critical sections around them whose lock more than one thread takes, then the
 * other ones, as far as there is room. Operations on what one thread alone touches and sections
 * around nothing never are.
 */
#include "draw.h"

#include <errno.h>
#include <string.h>

enum { SPARSE_LINES = 4 };

/* What is known of an object on the way through the trace. */
struct object {
	const void *obj;
	uint32_t threads;
	bool changed;   /* in the trace */
	uint32_t taken; /* a lock: when last + 1 */
	uint32_t
		moved; /* a lock: the last that was taken for a section in which values moved + 1 */
	uint32_t write;                /* the last one + 1 */
	uint32_t read[EX_THREADS_MAX]; /* of each thread, the last since that write + 1 */
};

struct table {
	struct object *slot;
	uint32_t room;
};

static struct object *object_of(struct table *t, const void *obj)
{
	uint32_t at = (uint32_t)ex_mix((uintptr_t)obj, 9) & (t->room - 1);

	while (t->slot[at].obj && t->slot[at].obj != obj)
		at = (at + 1) & (t->room - 1);
	t->slot[at].obj = obj;
	return &t->slot[at];
}

static void raise_to(struct ex_drawing *d, uint32_t i, uint8_t score)
{
	const char *name = d->row[i].name;

	/* Cells of tables and local names say little to who reads. */
	if (score < 8 && score > 3 && name && (strchr(name, '[') || !strstr(name, "->")))
		score -= strstr(name, "->") ? 3 : 1;
	d->row[i].plain = false;
	if (d->row[i].score < score)
		d->row[i].score = score;
}

static bool is_lock(unsigned kind)
{
	return kind == EX_MUTEX_LOCK || kind == EX_SPIN_LOCK || kind == EX_READ_LOCK ||
	       kind == EX_WRITE_LOCK;
}

bool ex_draw_takes_lock(const struct explore_event *ev)
{
	return is_lock(ev->kind) ||
	       ((ev->kind == EX_MUTEX_TRYLOCK || ev->kind == EX_SPIN_TRYLOCK) && ev->value);
}

static bool memory_matters(const struct explore_result *res)
{
	switch (res->verdict) {
	case EXPLORE_ATOMIC:
	case EXPLORE_UAF:
	case EXPLORE_DOUBLE_FREE:
	case EXPLORE_LEAK:
	case EXPLORE_CRASH:
	case EXPLORE_DEADLOCK:
		return true;
	default:
		return false;
	}
}

/* What an event does to its object, as far as others can tell. */
enum effect { NOTHING, READS, WRITES, BOTH, ADDS };

static enum effect effect_of(const struct explore_event *ev)
{
	switch (ev->kind) {
	case EX_READ:
	case EX_EVENT_KEY:
	case EX_EVENT_WAIT:
	case EX_HASH_FIND:
	case EX_HASH_EACH:
	case EX_IO_READ:
	case EX_RCU_STATE:
	case EX_RCU_START:
	case EX_RCU_POLL:
		return READS;
	case EX_SET:
	case EX_EVENT_SIGNAL:
	case EX_COND_SIGNAL:
	case EX_COND_BROADCAST:
	case EX_IO_WRITE:
	case EX_GP_START:
	case EX_GP_END:
		return WRITES;
	case EX_CAS:
	case EX_XCHG:
	case EX_HASH_ADD:
	case EX_HASH_DEL:
	case EX_COND_WAIT:
	case EX_COND_WAKE:
		return BOTH;
	case EX_ADD:
		return ADDS;
	case EX_MUTEX_TRYLOCK:
	case EX_SPIN_TRYLOCK:
		return ev->value ? NOTHING : READS;
	default:
		return NOTHING; /* locks: see show_sections() */
	}
}

static void meet_read(struct ex_drawing *d, struct object *o, uint32_t i, unsigned failing)
{
	const struct explore_event *events = d->res->events, *ev = &events[i];

	if (o->read[ev->thread])
		return; /* it has seen this before */
	o->read[ev->thread] = i + 1;
	if (!o->write || events[o->write - 1].thread == ev->thread)
		return;
	raise_to(d, i, ev->thread == failing ? 7 : 6);
	raise_to(d, o->write - 1, 6);
}

static void meet_write(struct ex_drawing *d, struct object *o, uint32_t i, enum effect effect)
{
	const struct explore_event *events = d->res->events, *ev = &events[i];
	uint32_t own = o->read[ev->thread];
	bool seen = false;

	for (unsigned t = 0; t < EX_THREADS_MAX; t++) {
		if (o->read[t] && t != ev->thread) {
			raise_to(d, i, 5);
			raise_to(d, o->read[t] - 1, 5);
		}
		seen = seen || o->read[t];
		o->read[t] = 0;
	}
	if (!seen && o->write && events[o->write - 1].thread != ev->thread &&
	    !(effect == ADDS && events[o->write - 1].kind == EX_ADD)) {
		raise_to(d, i, 5);
		raise_to(d, o->write - 1, 5);
	}
	if (own && d->row[i].score >= 5) /* what it wrote may rest on what it read */
		raise_to(d, own - 1, 5);
	o->write = i + 1;
	o->changed = true;
}

static void score_accesses(struct ex_drawing *d, struct table *t)
{
	unsigned failing = d->event_nr ? d->res->events[d->event_nr - 1].thread : 0;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];
		struct object *o = ev->obj ? object_of(t, ev->obj) : NULL;
		enum effect effect = effect_of(ev);

		if (ev->kind == EX_NOTE)
			raise_to(d, i, 9);
		if ((ev->kind == EX_FREE || (ev->kind >= EX_RCU_QUEUE && ev->kind <= EX_RCU_RUN)) &&
		    memory_matters(d->res))
			raise_to(d, i, 6);
		if (!o)
			continue;
		o->threads |= 1u << ev->thread;
		if (effect == READS || effect == BOTH)
			meet_read(d, o, i, failing);
		if (effect == WRITES || effect == BOTH || effect == ADDS)
			meet_write(d, o, i, effect);
	}
}

/* After score_accesses(): what is only of interest for what moved after it is known then. */
static void score_values(struct ex_drawing *d)
{
	char text[DRAW_LABEL_BYTES];

	for (uint32_t c = 0; c < d->res->change_nr; c++) {
		const struct explore_change *ch = &d->res->changes[c];
		struct ex_row *row = ch->after ? &d->row[ch->after - 1] : NULL;
		bool brief = d->res->values[ch->value].brief;
		uint8_t score = brief ? 8 : 7;

		if (!row || ch->after > d->event_nr ||
		    !(brief || ex_draw_moves(d->res, ch->after - 1, text, sizeof(text))))
			continue;
		row->moves = true;
		row->plain = row->plain || row->score < 5;
		row->score = row->score < score ? score : row->score;
	}
}

static uint32_t section_end(const struct ex_drawing *d, uint32_t i);

/* Taking a lock under which another thread has moved something, or will. */
static void score_locks(struct ex_drawing *d, struct table *t)
{
	unsigned failing = d->event_nr ? d->res->events[d->event_nr - 1].thread : 0;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];
		struct object *o = ev->obj ? object_of(t, ev->obj) : NULL;
		uint32_t end;

		if (!o || !ex_draw_takes_lock(ev))
			continue;
		if (o->moved && d->res->events[o->moved - 1].thread != ev->thread) {
			raise_to(d, i, ev->thread == failing ? 7 : 6);
			o->moved = 0;
		}
		end = section_end(d, i);
		for (uint32_t k = i; end && k < end; k++)
			if (d->res->events[k].thread == ev->thread && d->row[k].score >= 7 &&
			    d->row[k].moves)
				o->moved = i + 1;
	}
}

static void score_section(struct ex_drawing *d, uint32_t from)
{
	uint32_t end = section_end(d, from);

	if (d->row[from].score < 3)
		d->row[from].score = 3;
	if (end && d->row[end].score < 3)
		d->row[end].score = 3;
}

static void score_handovers(struct ex_drawing *d, struct table *t)
{
	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];
		struct object *o = ev->obj ? object_of(t, ev->obj) : NULL;
		bool tried = ev->kind == EX_MUTEX_TRYLOCK || ev->kind == EX_SPIN_TRYLOCK;

		if (!o || !(tried || ex_draw_takes_lock(ev)))
			continue;
		if (o->taken && d->res->events[o->taken - 1].thread != ev->thread) {
			score_section(d, o->taken - 1);
			if (tried && !ev->value)
				raise_to(d, i, 7);
			else
				score_section(d, i);
		}
		if (ex_draw_takes_lock(ev))
			o->taken = i + 1;
	}
}

/* What the thread that failed looked at last. */
static void score_last(struct ex_drawing *d, struct table *t)
{
	unsigned left = 4, failing = d->event_nr ? d->res->events[d->event_nr - 1].thread : 0;

	for (uint32_t i = d->event_nr; i-- > 0 && left > 0;) {
		const struct explore_event *ev = &d->res->events[i];
		const struct object *o = ev->obj ? object_of(t, ev->obj) : NULL;

		if (ev->thread != failing || effect_of(ev) != READS || !o || !o->changed ||
		    !(o->threads & (o->threads - 1)) || strchr(d->row[i].name, '['))
			continue;
		raise_to(d, i, 4);
		left--;
	}
}

/* ---- critical sections ---- */

/* The event that ends the section which @i begins; 0: none does. */
static uint32_t section_end(const struct ex_drawing *d, uint32_t i)
{
	const struct explore_event *from = &d->res->events[i];

	for (uint32_t k = i + 1; k < d->event_nr; k++) {
		const struct explore_event *ev = &d->res->events[k];

		if (ev->thread == from->thread && ev->obj == from->obj && ex_draw_leaves(ev->kind))
			return k;
	}
	return 0;
}

/* Locks that are held when it ends by who waits: what a deadlock is about. */
static void score_held(struct ex_drawing *d)
{
	if (d->res->verdict != EXPLORE_DEADLOCK)
		return;
	for (uint32_t i = 0; i < d->event_nr; i++)
		if (ex_draw_takes_lock(&d->res->events[i]) && !section_end(d, i))
			raise_to(d, i, 8);
}

static void score_cycle(struct ex_drawing *d)
{
	for (uint32_t i = d->cycle_from; d->cycle_len && i < d->cycle_from + d->cycle_len; i++)
		if (d->res->events[i].kind != EX_RCU_LOCK &&
		    d->res->events[i].kind != EX_RCU_UNLOCK)
			raise_to(d, i, 4);
}

/* ---- choosing ---- */

static bool alike(const struct explore_event *a, const struct explore_event *b)
{
	return a->kind != EX_NOTE && a->kind == b->kind && a->thread == b->thread &&
	       a->line == b->line && a->file == b->file && a->value == b->value;
}

/* Counts lines: of events that look alike in a row, the first stands for all. */
static uint32_t fold(struct ex_drawing *d)
{
	uint32_t lines = 0, last = 0;
	bool any = false;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		if (!d->row[i].shown)
			continue;
		d->row[i].times = 1;
		if (any && alike(&d->res->events[last], &d->res->events[i])) {
			d->row[last].times++;
			d->row[i].times = 0;
			continue;
		}
		last = i;
		any = true;
		lines++;
	}
	return lines;
}

static bool show_scored(struct ex_drawing *d, uint8_t score, unsigned lines)
{
	for (uint32_t i = d->event_nr; i-- > 0;) {
		if (d->row[i].shown || d->row[i].score != score)
			continue;
		d->row[i].shown = true;
		if (fold(d) <= lines)
			continue;
		d->row[i].shown = false;
		return false;
	}
	return true;
}

static unsigned shown_in(const struct ex_drawing *d, uint32_t from, uint32_t to, unsigned thread)
{
	unsigned nr = 0;

	for (uint32_t i = from + 1; i < to; i++)
		nr += d->row[i].shown && d->row[i].times && d->res->events[i].thread == thread;
	return nr;
}

/* @common: those of locks that several threads take, else those around two lines. */
static void show_sections(struct ex_drawing *d, struct table *t, unsigned lines, bool common)
{
	for (uint32_t i = d->event_nr; i-- > 0;) {
		const struct explore_event *ev = &d->res->events[i];
		const struct object *o = ev->obj ? object_of(t, ev->obj) : NULL;
		bool was[2];
		uint32_t end;

		if (!o || !ex_draw_takes_lock(ev) || (common && !(o->threads & (o->threads - 1))))
			continue;
		end = section_end(d, i);
		if (shown_in(d, i, end ? end : d->event_nr, ev->thread) < (common ? 1 : 2))
			continue;
		was[0] = d->row[i].shown;
		was[1] = d->row[end].shown;
		d->row[i].shown = true;
		if (end)
			d->row[end].shown = true;
		if (fold(d) <= lines)
			continue;
		d->row[i].shown = was[0];
		d->row[end].shown = was[1];
		fold(d);
	}
}

int ex_draw_pick(struct ex_drawing *d, unsigned lines)
{
	struct table t = { NULL, 64 };
	bool all = true;

	while (t.room < d->event_nr * 2)
		t.room *= 2;
	t.slot = ex_pages(t.room * sizeof(*t.slot));
	if (!t.slot)
		return -ENOMEM;
	score_accesses(d, &t);
	score_values(d);
	score_locks(d, &t);
	score_handovers(d, &t);
	if (d->res->verdict == EXPLORE_FAIL || d->res->verdict == EXPLORE_ASSERT)
		score_last(d, &t);
	score_held(d);
	score_cycle(d);
	for (uint8_t score = 9; score >= 4 && all; score--)
		all = show_scored(d, score, lines);
	if (fold(d) < SPARSE_LINES)
		show_scored(d, 3, lines);
	fold(d);
	show_sections(d, &t, lines, true);
	show_sections(d, &t, lines, false);
	for (uint32_t i = 0; i < d->event_nr; i++) /* both ends of a section are named, or none */
		if (d->row[i].plain && ex_draw_takes_lock(&d->res->events[i]) &&
		    section_end(d, i) && d->row[section_end(d, i)].shown)
			d->row[i].plain = false;
	ex_pages_free(t.slot, t.room * sizeof(*t.slot));
	return 0;
}
