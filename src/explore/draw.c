// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the pictures show of a trace: operations on objects that at least two threads touch and one
 * of them changes, and what the scenario notes. Of a long trace only the accesses between which an
 * object passes from one thread to another.
 */
#include "draw.h"

#include <errno.h>

enum { STRETCH_HEAD = 4, STRETCH_TAIL = 5, BRIEF_FROM = 30 };

/* ---- which objects are shared ---- */

struct object {
	const void *obj;
	uint32_t threads;
	bool changed;
};

static struct object *object_of(struct object *table, uint32_t room, const void *obj)
{
	uint32_t at = (uint32_t)ex_mix((uintptr_t)obj, 9) & (room - 1);

	while (table[at].obj && table[at].obj != obj)
		at = (at + 1) & (room - 1);
	table[at].obj = obj;
	return &table[at];
}

static int mark_shared(struct ex_drawing *d)
{
	const struct explore_result *res = d->res;
	struct object *table;
	uint32_t room = 64;

	while (room < res->event_nr * 2)
		room *= 2;
	table = ex_pages(room * sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < res->event_nr; i++) {
		const struct explore_event *ev = &res->events[i];
		struct object *o = ev->obj ? object_of(table, room, ev->obj) : NULL;

		if (!o)
			continue;
		o->threads |= 1u << ev->thread;
		o->changed |= (ex_kind_flags[ev->kind] & EX_WR) != 0;
	}
	for (uint32_t i = 0; i < res->event_nr; i++) {
		const struct explore_event *ev = &res->events[i];
		const struct object *o = ev->obj ? object_of(table, room, ev->obj) : NULL;

		d->shown[i] = ev->kind == EX_NOTE || (ev->kind == EX_FREE) ||
			      (o && o->changed && o->threads & (o->threads - 1));
	}
	ex_pages_free(table, room * sizeof(*table));
	return 0;
}

/*
 * The accesses between which an object passes from one thread to another, one of them changing it:
 * what the threads know of each other. @hot: of each event.
 */
static int mark_hot(const struct explore_result *res, uint8_t *hot)
{
	struct object *table;
	uint32_t room = 64, *last;

	while (room < res->event_nr * 2)
		room *= 2;
	table = ex_pages(room * sizeof(*table));
	last = ex_pages(room * sizeof(*last)); /* of each object, its last event + 1 */
	for (uint32_t i = 0; table && last && i < res->event_nr; i++) {
		const struct explore_event *ev = &res->events[i], *before;
		uint32_t *at;

		if (!ev->obj)
			continue;
		at = &last[object_of(table, room, ev->obj) - table];
		before = *at ? &res->events[*at - 1] : NULL;
		if (before && before->thread != ev->thread &&
		    (ex_kind_flags[before->kind] | ex_kind_flags[ev->kind]) & EX_WR)
			hot[i] = hot[*at - 1] = 1;
		*at = i + 1;
	}
	ex_pages_free(table, room * sizeof(*table));
	ex_pages_free(last, room * sizeof(*last));
	return table && last ? 0 : -ENOMEM;
}

/* Of a stretch of one thread, @from to @to, what passes objects on, at most its first and last. */
static void shorten_stretch(struct ex_drawing *d, const uint8_t *hot, uint32_t from, uint32_t to)
{
	uint32_t lines = 0, at = 0;

	for (uint32_t i = from; i < to; i++) {
		if (d->shown[i] && !hot[i] && d->res->events[i].kind != EX_NOTE)
			d->shown[i] = 0;
		lines += d->shown[i] == 1;
	}
	for (uint32_t i = from; i < to; i++) {
		if (d->shown[i] != 1)
			continue;
		at++;
		if (at > STRETCH_HEAD && at + STRETCH_TAIL <= lines &&
		    d->res->events[i].kind != EX_NOTE)
			d->shown[i] = 2; /* left out, and said so */
	}
}

static void shorten(struct ex_drawing *d)
{
	const struct explore_result *res = d->res;
	uint32_t nr = 0, from = 0;
	uint8_t *hot;

	for (uint32_t i = 0; i < res->event_nr; i++)
		nr += d->shown[i];
	hot = nr > BRIEF_FROM ? ex_pages(res->event_nr) : NULL;
	if (!hot || mark_hot(res, hot))
		goto out;
	for (uint32_t i = 0; i < res->event_nr; i++)
		if (res->events[i].kind == EX_RCU_LOCK || res->events[i].kind == EX_RCU_UNLOCK)
			d->shown[i] = 0;
	while (from < res->event_nr) {
		uint32_t to = from;

		while (to < res->event_nr && res->events[to].thread == res->events[from].thread)
			to++;
		shorten_stretch(d, hot, from, to);
		from = to;
	}
out:
	ex_pages_free(hot, res->event_nr);
}

static void columns(struct ex_drawing *d)
{
	const struct explore_result *res = d->res;
	int column_of[256];

	for (unsigned i = 0; i < 256; i++)
		column_of[i] = -1;
	for (unsigned t = EX_RCU + 1; t <= EX_THREADS_MAX; t++) { /* rcu's comes last */
		unsigned tid = t == EX_THREADS_MAX ? EX_RCU : t;

		for (uint32_t i = 0; i < res->event_nr && column_of[tid] < 0; i++)
			if (d->shown[i] && res->events[i].thread == tid) {
				d->thread[d->columns] = (uint8_t)tid;
				column_of[tid] = (int)d->columns++;
			}
	}
	for (uint32_t i = 0; i < res->event_nr; i++)
		d->column[i] = (uint8_t)(column_of[res->events[i].thread] < 0
						 ? 0
						 : column_of[res->events[i].thread]);
}

int ex_draw_begin(struct ex_drawing *d, const struct explore_result *res, bool brief)
{
	*d = (struct ex_drawing){ .res = res };
	d->shown = ex_pages(res->event_nr + 1);
	d->column = ex_pages(res->event_nr + 1);
	if (!d->shown || !d->column || mark_shared(d)) {
		ex_draw_end(d);
		return -ENOMEM;
	}
	if (brief)
		shorten(d);
	columns(d);
	return 0;
}

void ex_draw_end(struct ex_drawing *d)
{
	ex_pages_free(d->shown, d->res->event_nr + 1);
	ex_pages_free(d->column, d->res->event_nr + 1);
}

/* ---- words ---- */

static const char *value_text(uint64_t v, char *to, size_t bytes)
{
	if (v > 1ull << 63)
		ex_print(to, bytes, "-%llu", (unsigned long long)-v);
	else if (v > 1ull << 40)
		ex_print(to, bytes, "ptr"); /* addresses say nothing */
	else
		ex_print(to, bytes, "%llu", (unsigned long long)v);
	return to;
}

void ex_draw_label(const struct explore_event *ev, char *to, size_t bytes)
{
	const char *kind = ex_kind_names[ev->kind], *name = ev->name ? ev->name : "";
	char v[32] = "";

	value_text(ev->value, v, sizeof(v));
	switch (ev->kind) {
	case EX_NOTE:
		ex_print(to, bytes, "%s", ev->note);
		return;
	case EX_READ:
		ex_print(to, bytes, "%s == %s", name, v);
		return;
	case EX_SET:
		ex_print(to, bytes, "%s = %s", name, v);
		return;
	case EX_ADD:
		ex_print(to, bytes, "%s += .. -> %s", name, v);
		return;
	default:
		break;
	}
	if (ev->has_value)
		ex_print(to, bytes, "%s(%s) = %s", kind, name, v);
	else
		ex_print(to, bytes, "%s(%s)", kind, name);
}

const char *ex_draw_colour(unsigned kind)
{
	switch (kind) {
	case EX_MUTEX_LOCK:
	case EX_SPIN_LOCK:
	case EX_READ_LOCK:
	case EX_WRITE_LOCK:
	case EX_MUTEX_TRYLOCK:
	case EX_SPIN_TRYLOCK:
		return "#c0392b";
	case EX_MUTEX_UNLOCK:
	case EX_SPIN_UNLOCK:
	case EX_READ_UNLOCK:
	case EX_WRITE_UNLOCK:
		return "#27ae60";
	case EX_READ:
	case EX_EVENT_KEY:
	case EX_HASH_FIND:
		return "#2980b9";
	case EX_NOTE:
		return "#000000";
	default:
		return kind >= EX_RCU_LOCK && kind <= EX_RCU_RAN ? "#8e44ad" : "#d35400";
	}
}

void ex_draw_xml(FILE *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			if ((unsigned char)*text >= ' ')
				fputc(*text, out);
		}
}

void ex_draw_json(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c == '<' || c == '>' || c == '&')
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
}

int ex_draw_result(FILE *out)
{
	return fflush(out) || ferror(out) ? -EIO : 0;
}
