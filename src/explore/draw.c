// SPDX-License-Identifier: GPL-2.0-only
/*
 * What all pictures begin with: one name for each object, columns, what let an event happen, the
 * round of a livelock, which of the scenario's values move; and the words for an event.
 */
#include "draw.h"

#include <errno.h>
#include <string.h>

enum { ENDLESS_MAX = 3000 /* events drawn of a livelock without a round */ };

/* ---- a livelock's round ---- */

static bool same_place(const struct explore_event *a, const struct explore_event *b)
{
	return a->thread == b->thread && a->kind == b->kind && a->line == b->line &&
	       a->file == b->file;
}

/* The shortest stretch whose repetition is at least half of the trace; where it first began. */
static void find_cycle(struct ex_drawing *d)
{
	const struct explore_event *ev = d->res->events;
	uint32_t nr = d->event_nr, len, same = 0;

	for (len = 1; len <= nr / 3 && same < nr / 2; len++)
		for (same = 0; same < nr - len; same++)
			if (!same_place(&ev[nr - 1 - same], &ev[nr - 1 - same - len]))
				break;
	if (same < nr / 2) {
		d->event_nr = nr < ENDLESS_MAX ? nr : ENDLESS_MAX;
		return;
	}
	len--;
	d->cycle_from = nr - same - len;
	d->cycle_len = len;
	d->cycle_times = (same + len) / len;
	d->event_nr = d->cycle_from + len;
}

/* ---- objects: their names, and who gave them last ---- */

struct object {
	const void *obj;
	uint32_t gave, took; /* the last event that gave it, or locked it, + 1 */
	struct {
		const char *name;
		uint32_t times;
	} spelt[3];
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

static void count_spelling(struct object *o, const char *name)
{
	for (unsigned i = 0; i < 3; i++) {
		if (o->spelt[i].name && strcmp(o->spelt[i].name, name) != 0)
			continue;
		o->spelt[i].name = name;
		o->spelt[i].times++;
		return;
	}
}

/* Of the ways in which the sources spell it, the most frequent; a member before a local name. */
static const char *best_spelling(const struct object *o)
{
	unsigned best = 0;

	for (unsigned i = 1; i < 3 && o->spelt[i].name; i++) {
		bool member = strstr(o->spelt[i].name, "->"),
		     was = strstr(o->spelt[best].name, "->");

		if (member != was ? member : o->spelt[i].times > o->spelt[best].times)
			best = i;
	}
	return o->spelt[best].name;
}

bool ex_draw_leaves(unsigned kind)
{
	return kind == EX_MUTEX_UNLOCK || kind == EX_SPIN_UNLOCK || kind == EX_WRITE_UNLOCK ||
	       kind == EX_READ_UNLOCK;
}

static bool gives(unsigned kind)
{
	return ex_draw_leaves(kind) || kind == EX_RCU_QUEUE || kind == EX_EVENT_SIGNAL ||
	       kind == EX_COND_SIGNAL || kind == EX_COND_BROADCAST;
}

static bool takes(unsigned kind)
{
	return kind == EX_MUTEX_LOCK || kind == EX_SPIN_LOCK || kind == EX_WRITE_LOCK ||
	       kind == EX_READ_LOCK || kind == EX_MUTEX_TRYLOCK || kind == EX_SPIN_TRYLOCK ||
	       kind == EX_RCU_RUN || kind == EX_EVENT_WAIT || kind == EX_COND_WAKE;
}

static int know_objects(struct ex_drawing *d)
{
	struct table t = { NULL, 64 };

	while (t.room < d->event_nr * 2)
		t.room *= 2;
	t.slot = ex_pages(t.room * sizeof(*t.slot));
	if (!t.slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];
		struct object *o = ev->obj ? object_of(&t, ev->obj) : NULL;

		if (!o)
			continue;
		if (ev->name)
			count_spelling(o, ev->name);
		if (takes(ev->kind) && o->gave && d->res->events[o->gave - 1].thread != ev->thread)
			d->row[i].from = o->gave;
		if (ev->kind == EX_NOTE && o->took) /* waits for who holds it */
			d->row[i].from = o->took;
		if (gives(ev->kind))
			o->gave = i + 1;
		if (ex_draw_takes_lock(ev))
			o->took = i + 1;
	}
	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];

		d->row[i].name = ev->obj ? best_spelling(object_of(&t, ev->obj)) : ev->name;
	}
	ex_pages_free(t.slot, t.room * sizeof(*t.slot));
	return 0;
}

/* Objects that are shown under one name get numbers. */
static void number_twins(struct ex_drawing *d)
{
	const struct explore_event *ev = d->res->events;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		uint16_t others = 0;

		if (!d->row[i].shown || !ev[i].obj || !d->row[i].name)
			continue;
		for (uint32_t k = 0; k < i && !d->row[i].twin; k++) {
			if (!d->row[k].shown || !ev[k].obj || !d->row[k].name ||
			    strcmp(d->row[k].name, d->row[i].name) != 0)
				continue;
			if (ev[k].obj == ev[i].obj)
				d->row[i].twin = d->row[k].twin;
			else if (!d->row[k].twin)
				d->row[k].twin = 1;
			if (d->row[k].twin > others)
				others = d->row[k].twin;
		}
		if (!d->row[i].twin && others)
			d->row[i].twin = others + 1;
	}
}

/* ---- columns, indents, preemptions ---- */

static void make_columns(struct ex_drawing *d)
{
	const struct explore_result *res = d->res;
	int column_of[256];

	for (unsigned i = 0; i < 256; i++)
		column_of[i] = -1;
	for (unsigned t = EX_RCU + 1; t <= EX_THREADS_MAX; t++) { /* rcu's comes last */
		unsigned tid = t == EX_THREADS_MAX ? EX_RCU : t;

		for (uint32_t i = 0; i < d->event_nr && column_of[tid] < 0; i++)
			if ((d->row[i].shown || tid != EX_RCU) && res->events[i].thread == tid) {
				d->thread[d->columns] = (uint8_t)tid;
				column_of[tid] = (int)d->columns++;
			}
	}
	for (uint32_t i = 0; i < d->event_nr; i++)
		d->row[i].column = (uint8_t)(column_of[res->events[i].thread] < 0
						     ? DRAW_NO_COLUMN
						     : column_of[res->events[i].thread]);
}

/* Inside how many sections of its thread, that are shown, an event is. */
static void indent(struct ex_drawing *d)
{
	const struct explore_event *ev = d->res->events;
	uint32_t open[EX_THREADS_MAX][EX_HELD_MAX];
	unsigned nr[EX_THREADS_MAX] = { 0 };

	for (uint32_t i = 0; i < d->event_nr; i++) {
		unsigned tid = ev[i].thread, k = nr[tid];

		while (ex_draw_leaves(ev[i].kind) && k > 0 && ev[open[tid][k - 1]].obj != ev[i].obj)
			k--;
		if (ex_draw_leaves(ev[i].kind) && k > 0)
			for (nr[tid]--; k <= nr[tid]; k++)
				open[tid][k - 1] = open[tid][k];
		d->row[i].depth = (uint8_t)nr[tid];
		if (d->row[i].shown && ex_draw_takes_lock(&ev[i]) && nr[tid] < EX_HELD_MAX)
			open[tid][nr[tid]++] = i;
	}
}

/* Where a thread is shown after one that could have gone on. */
static void mark_cuts(struct ex_drawing *d)
{
	const struct explore_event *ev = d->res->events;
	uint32_t before = UINT32_MAX;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		uint32_t last, next;

		if (!d->row[i].shown)
			continue;
		if (before != UINT32_MAX && ev[before].thread != ev[i].thread) {
			for (last = i - 1; ev[last].thread != ev[before].thread;)
				last--;
			for (next = last + 1; next < i && ev[next].kind == EX_NOTE;)
				next++;
			d->row[i].cut = ev[next].enabled & 1u << ev[before].thread &&
					!(ex_kind_flags[ev[last].kind] & EX_YIELDS);
		}
		before = i;
	}
}

/* ---- values ---- */

static void find_briefs(struct ex_drawing *d)
{
	const struct explore_result *res = d->res;

	for (uint32_t v = 0; v < res->value_nr && d->briefs < DRAW_BRIEF_MAX; v++)
		if (res->values[v].brief)
			d->brief[d->briefs++] = v;
}

void ex_state_go(const struct ex_drawing *d, struct ex_state *st, uint32_t after)
{
	const struct explore_result *res = d->res;

	for (; st->at < res->change_nr && res->changes[st->at].after <= after; st->at++) {
		const struct explore_change *c = &res->changes[st->at];

		if (c->value < MBFS_ARRAY_SIZE(st->now))
			st->now[c->value] = c->text ? c : NULL;
		st->moved = st->moved || res->values[c->value].brief;
	}
}

/* The text that a value had before change @c; NULL: none. */
static const char *text_before(const struct explore_result *res, uint32_t c)
{
	for (uint32_t k = c; k-- > 0;)
		if (res->changes[k].value == res->changes[c].value)
			return res->changes[k].text;
	return NULL;
}

/* The parts of @text, which commas and semicolons part, that are not in @before. */
static int new_parts(const char *text, const char *before, char *to, size_t bytes)
{
	size_t at = 0;

	to[0] = '\0';
	while (*text) {
		size_t n = strcspn(text, ",;");
		const char *found = before;

		for (; *found; found += strcspn(found, ",;")) {
			found += strspn(found, ",; ");
			if (strncmp(found, text, n) == 0 && strchr(",;", found[n]))
				break;
		}
		if (!*found)
			at += (size_t)ex_print(to + at, bytes - at, "%s%.*s", at ? ", " : "",
					       (int)n, text);
		text += n;
		text += strspn(text, ",; ");
	}
	return (int)at;
}

int ex_draw_moves(const struct explore_result *res, uint32_t i, char *to, size_t bytes)
{
	uint32_t low = 0, high = res->change_nr;
	size_t at = 0;
	char parts[200];

	to[0] = '\0';
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (res->changes[mid].after < i + 1)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < res->change_nr && res->changes[low].after == i + 1; low++) {
		const struct explore_change *c = &res->changes[low];
		const char *before = text_before(res, low);

		if (c->is_number || !c->text || (!before && !strchr(c->text, ';')))
			continue;
		if (before)
			new_parts(c->text, before, parts, sizeof(parts));
		else
			ex_print(parts, sizeof(parts), "new%s", strrchr(c->text, ';'));
		if (parts[0])
			at += (size_t)ex_print(to + at, bytes - at, "%s%s: %s", at ? "; " : "",
					       res->values[c->value].name, parts);
	}
	return (int)at;
}

int ex_draw_begin(struct ex_drawing *d, const struct explore_result *res, unsigned lines)
{
	*d = (struct ex_drawing){ .res = res, .event_nr = res->event_nr };
	d->row = ex_pages((res->event_nr + 1) * sizeof(*d->row));
	if (!d->row)
		return -ENOMEM;
	if (res->verdict == EXPLORE_LIVELOCK)
		find_cycle(d);
	if (know_objects(d) || ex_draw_pick(d, lines)) {
		ex_draw_end(d);
		return -ENOMEM;
	}
	number_twins(d);
	make_columns(d);
	indent(d);
	mark_cuts(d);
	find_briefs(d);
	return 0;
}

void ex_draw_end(struct ex_drawing *d)
{
	ex_pages_free(d->row, (d->res->event_nr + 1) * sizeof(*d->row));
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

/* "a[..]->b" for "a[x + 1]->b". */
static void drop_subscripts(char *name)
{
	char *to = name;
	unsigned inside = 0;

	for (const char *from = name; *from; from++) {
		inside -= *from == ']' && inside > 0;
		if (!inside)
			*to++ = *from;
		inside += *from == '[';
		if (*from == '[' && inside == 1 && from[1] && from[2] && from[1] != ']') {
			*to++ = '.';
			*to++ = '.';
		}
	}
	*to = '\0';
}

void ex_draw_label(const struct ex_drawing *d, uint32_t i, char *to, size_t bytes)
{
	const struct explore_event *ev = &d->res->events[i];
	const char *kind = ex_kind_names[ev->kind];
	char v[32], name[200];

	ex_print(name, sizeof(name) - 8, "%s", d->row[i].name ? d->row[i].name : "");
	if (d->short_names)
		drop_subscripts(name);
	if (d->row[i].twin && d->row[i].times < 2)
		ex_print(name + strlen(name), 8, "#%u", d->row[i].twin);
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
	case EX_CAS:
	case EX_XCHG:
		ex_print(to, bytes, "%s(%s), was %s", kind, name, v);
		return;
	case EX_MUTEX_TRYLOCK:
	case EX_SPIN_TRYLOCK:
		ex_print(to, bytes, "%s(%s)%s", kind, name, ev->value ? "" : " fails");
		return;
	default:
		break;
	}
	if (ev->has_value)
		ex_print(to, bytes, "%s(%s) = %s", kind, name, v);
	else
		ex_print(to, bytes, "%s(%s)", kind, name);
}

/* Contrast on white and on #16181d at least 4.5 (test_pictures.py measures it). */
const struct ex_draw_class ex_draw_classes[DRAW_CLASSES] = {
	{ "lock", "#b3261e", "#ff9a90", "takes a lock" },
	{ "unlock", "#1b6e3a", "#7fdc98", "gives it back" },
	{ "read", "#1d5fa8", "#8fbcff", "reads" },
	{ "write", "#8a4b00", "#ffbd70", "changes" },
	{ "rcu", "#7b3fa0", "#d9b0ff", "RCU" },
	{ "other", "#3a3a3a", "#d5d5d5", "the rest" },
};

unsigned ex_draw_class(unsigned kind)
{
	switch (kind) {
	case EX_MUTEX_LOCK:
	case EX_SPIN_LOCK:
	case EX_READ_LOCK:
	case EX_WRITE_LOCK:
	case EX_MUTEX_TRYLOCK:
	case EX_SPIN_TRYLOCK:
		return 0;
	case EX_MUTEX_UNLOCK:
	case EX_SPIN_UNLOCK:
	case EX_READ_UNLOCK:
	case EX_WRITE_UNLOCK:
		return 1;
	case EX_READ:
	case EX_EVENT_KEY:
	case EX_HASH_FIND:
	case EX_HASH_EACH:
	case EX_IO_READ:
		return 2;
	case EX_SET:
	case EX_ADD:
	case EX_CAS:
	case EX_XCHG:
	case EX_HASH_ADD:
	case EX_HASH_DEL:
	case EX_IO_WRITE:
	case EX_EVENT_SIGNAL:
		return 3;
	default:
		return kind >= EX_RCU_LOCK && kind <= EX_RCU_RAN ? 4 : 5;
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
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			if ((unsigned char)*text >= ' ' || *text == '\n')
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
