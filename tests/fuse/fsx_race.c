// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mode race: everybody works on the same bytes, and nobody waits for anybody. A record of 512 bytes
 * says who wrote it and where it belongs. The promise: operations on common bytes come one after
 * the other, in an order that agrees with the clock. So of a read of records k:
 *
 *  (1) each record is whole, of one write of its place that began before the read ended, or zero;
 *  (2) it is not older than what had taken effect before the read began. newest[k] is the latest
 *      begin of a change of k known to have taken effect: what ended before that is gone. Of zeros
 *      nobody knows who made them: one who was not over by then is enough (zero_end, zero_running);
 *  (3) a write is seen whole or not at all: of two writes that both cover two records of a read,
 * one came first, and none of its bytes is to be seen where both are; (4) what one read has seen, a
 * read that begins later sees too: a write has taken effect when a read that saw it ends (its end
 * is set then).
 *
 * Only single requests promise that: O_DIRECT, from aligned memory, at most a MiB. A read that ends
 * early, at the end of the file, may have been cut there by the kernel before it was sent: what is
 * missing counts for (2) alone.
 */
#include "fuse/fsx.h"

#include <string.h>

#define NEVER  UINT64_MAX
#define ABSENT UINT32_MAX

enum { SEEN_MAX = 64 };

/* ---- records ---- */

/* Every word of a record depends on who, where and which round. */
static void record_fill(const struct shared *s, uint8_t *buf, uint32_t id, uint32_t unit)
{
	uint64_t word = (uint64_t)id << 32 | unit;

	for (unsigned i = 0; i < UNIT / sizeof(word); i++) {
		memcpy(buf + i * sizeof(word), &word, sizeof(word));
		word = word * 0x5851f42d4c957f2d + s->seed + 1;
	}
}

/* Whose record is it? 0 if it is zero. Ends the test if it is no record of this place. */
static uint32_t record_read(struct shared *s, uint32_t reader, const uint8_t *buf, uint32_t unit)
{
	static const uint8_t zero[UNIT];
	uint8_t want[UNIT];
	uint64_t word;
	uint32_t id;
	unsigned i = 0;

	if (!memcmp(buf, zero, UNIT))
		return 0;
	memcpy(&word, buf, sizeof(word));
	id = (uint32_t)(word >> 32);
	if (!id || id > s->op_nr || id >= OPS_MAX || s->op[id].kind != WRITE)
		bad(s, "%s: record at %u: its first bytes, %016llx, were written by nobody",
		    op_text(s, reader), unit * UNIT, (unsigned long long)word);
	if ((uint32_t)word != unit)
		bad(s, "%s: record at %u belongs to %u, of %s", op_text(s, reader), unit * UNIT,
		    (uint32_t)word * UNIT, op_text(s, id));
	record_fill(s, want, id, unit);
	while (i < UNIT && buf[i] == want[i])
		i++;
	if (i < UNIT)
		bad(s, "%s: record at %u is of %s up to byte %u; then it is %02x, not %02x",
		    op_text(s, reader), unit * UNIT, op_text(s, id), unit * UNIT + i, buf[i],
		    want[i]);
	return id;
}

/* ---- what is known of a record ---- */

static void raise_to(_Atomic uint64_t *at, uint64_t value)
{
	uint64_t old = *at;

	while (old < value && !atomic_compare_exchange_weak(at, &old, value))
		;
}

static bool covers(const struct op *o, uint32_t unit)
{
	return unit >= o->off / UNIT && unit < (o->off + o->len) / UNIT;
}

/* The change has taken effect. Its end is known before anybody can miss it. */
static void took_effect(struct shared *s, uint32_t id)
{
	struct op *o = &s->op[id];
	uint64_t now = tick(s), never = NEVER;

	atomic_compare_exchange_strong(&o->end, &never, now);
	for (uint64_t u = o->off / UNIT; u < (o->off + o->len) / UNIT; u++)
		raise_to(&s->race.newest[u], o->begin);
}

static void zeroing_begin(struct shared *s, uint32_t id)
{
	const struct op *o = &s->op[id];

	for (uint64_t u = o->off / UNIT; u < (o->off + o->len) / UNIT; u++)
		s->race.zero_running[u]++;
}

static void zeroing_end(struct shared *s, uint32_t id)
{
	const struct op *o = &s->op[id];
	uint64_t now = tick(s);

	for (uint64_t u = o->off / UNIT; u < (o->off + o->len) / UNIT; u++) {
		raise_to(&s->race.zero_end[u], now);
		s->race.zero_running[u]--;
	}
	took_effect(s, id);
}

/* Can somebody have zeroed the record after @since? */
static bool zeroed_after(struct shared *s, uint32_t unit, uint64_t since)
{
	return s->race.zero_running[unit] || s->race.zero_end[unit] >= since;
}

/* ---- what a read may see ---- */

/* One read: what it saw, and the writes among them. */
struct view {
	uint32_t id, unit, nr; /* the read; its first record; records */
	const uint64_t *snap;  /* newest[] before it began */
	uint32_t seen[IO_UNITS];
	uint32_t write[SEEN_MAX]; /* distinct; what does not fit is not compared */
	unsigned write_nr;
};

static void check_age(struct shared *s, const struct view *v, uint32_t i)
{
	uint32_t unit = v->unit + i, id = v->seen[i];

	if (id == ABSENT || !id) {
		if (!zeroed_after(s, unit, v->snap[i]))
			bad(s,
			    "%s: record at %u is %s, but a change of it that began at tick %llu "
			    "was over "
			    "before",
			    op_text(s, v->id), unit * UNIT, id ? "past the end" : "zero",
			    (unsigned long long)v->snap[i]);
		return;
	}
	if (!covers(&s->op[id], unit))
		bad(s, "%s: record at %u is of %s, which did not write there", op_text(s, v->id),
		    unit * UNIT, op_text(s, id));
	if (s->op[id].end < v->snap[i])
		bad(s,
		    "%s: record at %u is of %s; a later change of it, begun at tick %llu, was over "
		    "before",
		    op_text(s, v->id), unit * UNIT, op_text(s, id), (unsigned long long)v->snap[i]);
}

static void note_write(struct view *v, uint32_t id)
{
	for (unsigned i = 0; i < v->write_nr; i++)
		if (v->write[i] == id)
			return;
	if (v->write_nr < SEEN_MAX)
		v->write[v->write_nr++] = id;
}

static unsigned index_of(const struct view *v, uint32_t id)
{
	unsigned i = 0;

	while (i < v->write_nr && v->write[i] != id)
		i++;
	return i;
}

/*
 * over[a][b]: 1 + the first record that is a's although b covers it: b came before a. Both ways
 * round is not possible, nor against the clock.
 */
static void check_pairs(struct shared *s, const struct view *v,
			const uint32_t over[SEEN_MAX][SEEN_MAX])
{
	for (unsigned a = 0; a < v->write_nr; a++) {
		for (unsigned b = 0; b < v->write_nr; b++) {
			struct op *oa = &s->op[v->write[a]], *ob = &s->op[v->write[b]];

			if (!over[a][b] || (!over[b][a] && ob->begin <= oa->end))
				continue;
			bad(s, "%s sees a part of a write: record at %u is of %s, %s%u of %s",
			    op_text(s, v->id), (over[a][b] - 1) * UNIT, op_text(s, v->write[a]),
			    over[b][a] ? "but that at "
				       : "though older than what is seen elsewhere ",
			    over[b][a] ? (over[b][a] - 1) * UNIT : 0, op_text(s, v->write[b]));
		}
	}
}

static void check_whole(struct shared *s, const struct view *v)
{
	uint32_t over[SEEN_MAX][SEEN_MAX];

	if (!v->write_nr)
		return;
	memset(over, 0, sizeof(over));
	for (uint32_t i = 0; i < v->nr; i++) {
		unsigned a = v->seen[i] == ABSENT ? SEEN_MAX : index_of(v, v->seen[i]);

		if (v->seen[i] == ABSENT || (v->seen[i] && a == v->write_nr))
			continue;
		for (unsigned b = 0; b < v->write_nr; b++) {
			const struct op *o = &s->op[v->write[b]];

			if (b == a || !covers(o, v->unit + i))
				continue;
			if (v->seen[i])
				over[a][b] = over[a][b] ? over[a][b] : v->unit + i + 1;
			else if (!zeroed_after(s, v->unit + i, o->begin))
				bad(s,
				    "%s sees a part of a write: record at %u is zero, others are "
				    "of %s",
				    op_text(s, v->id), (v->unit + i) * UNIT,
				    op_text(s, v->write[b]));
		}
	}
	check_pairs(s, v, over);
}

/* The read of ids[slot] has ended with @got bytes. */
static void check_read(struct worker *w, uint32_t id, unsigned slot, size_t got)
{
	struct shared *s = w->s;
	const struct op *o = &s->op[id];
	const uint8_t *buf = w->buf + (size_t)slot * IO_MAX;
	struct view v = { .id = id,
			  .unit = (uint32_t)(o->off / UNIT),
			  .nr = (uint32_t)(o->len / UNIT),
			  .snap = w->snap + slot * IO_UNITS };

	if (got % UNIT)
		bad(s, "%s: %zu bytes: the size is a multiple of %d", op_text(s, id), got, UNIT);
	for (uint32_t i = 0; i < v.nr; i++) {
		v.seen[i] =
			i < got / UNIT ? record_read(s, id, buf + i * UNIT, v.unit + i) : ABSENT;
		check_age(s, &v, i);
		if (v.seen[i] && v.seen[i] != ABSENT)
			note_write(&v, v.seen[i]);
	}
	check_whole(s, &v);
	for (unsigned i = 0; i < v.write_nr; i++)
		if (s->op[v.write[i]].end == NEVER)
			took_effect(s, v.write[i]);
}

/* ---- operations ---- */

/* Everything that a read or write needs before it is handed over; its bytes are in slot @slot. */
static void ready(struct worker *w, uint32_t id, unsigned slot)
{
	struct shared *s = w->s;
	struct op *o = &s->op[id];
	uint32_t unit = (uint32_t)(o->off / UNIT), nr = (uint32_t)(o->len / UNIT);
	uint8_t *buf = w->buf + (size_t)slot * IO_MAX;

	for (uint32_t i = 0; i < nr; i++) {
		if (o->kind == WRITE)
			record_fill(s, buf + i * UNIT, id, unit + i);
		else
			w->snap[slot * IO_UNITS + i] = s->race.newest[unit + i];
	}
	o->begin = tick(s);
}

static void over(struct worker *w, uint32_t id, unsigned slot, size_t got)
{
	if (w->s->op[id].kind == READ)
		check_read(w, id, slot, got);
	else
		took_effect(w->s, id);
	op_end(w, id);
}

static uint32_t begin_transfer(struct worker *w, enum how how, unsigned slot)
{
	enum kind kind = draw(w, 5) < 2 ? READ : WRITE;
	uint64_t off, len;
	uint32_t id;

	draw_range(w, FILE_MAX / 2, UNIT, IO_MAX, &off, &len);
	id = op_begin(w, kind, how, off, len);
	if (id)
		ready(w, id, slot);
	return id;
}

static void step_change(struct worker *w)
{
	static const uint8_t weights[KINDS] = {
		[TRUNCATE] = 4,  [RESERVE] = 2,      [PUNCH] = 6, [ZERO] = 3,
		[ZERO_KEEP] = 4, [RESERVE_KEEP] = 3, [FSYNC] = 2,
	};
	enum kind kind = draw_weighted(w, weights, KINDS);
	uint64_t off, len;
	uint32_t id;
	bool zeroes;

	draw_range(w, FILE_MAX / 2, UNIT, IO_MAX, &off, &len);
	if (kind == TRUNCATE) {
		off = draw_size(w, FILE_MAX / 2, UNIT);
		len = FILE_MAX - off;
	}
	zeroes = kind == TRUNCATE || kind == PUNCH || kind == ZERO || kind == ZERO_KEEP;
	id = op_begin(w, kind, DIRECT, off, len);
	if (!id)
		return;
	if (zeroes)
		zeroing_begin(w->s, id);
	io_change(w, id);
	if (zeroes)
		zeroing_end(w->s, id);
	op_end(w, id);
}

/* Some at once, now and then with a change among them before they are over. */
static void step_batch(struct worker *w)
{
	unsigned want = 1 + (unsigned)draw(w, DEPTH), nr = 0;
	uint32_t ids[DEPTH];

	while (nr < want && (ids[nr] = begin_transfer(w, DIRECT_AIO, nr)))
		nr++;
	io_submit(w, ids, nr);
	if (!draw(w, 3))
		step_change(w);
	io_reap(w, ids, nr, over);
}

void race_step(struct worker *w)
{
	uint32_t id;

	switch (draw(w, 6)) {
	case 0:
		step_change(w);
		break;
	case 1:
	case 2:
		id = begin_transfer(w, DIRECT, 0);
		if (id)
			over(w, id, 0, io_transfer(w, id, 0));
		break;
	default:
		step_batch(w);
	}
}

size_t race_read(struct worker *w, uint64_t off, uint64_t len)
{
	uint32_t id = op_begin(w, READ, DIRECT, off, len);
	size_t got;

	ready(w, id, 0);
	got = io_transfer(w, id, 0);
	over(w, id, 0, got);
	return got;
}

void race_reset(struct shared *s)
{
	memset(&s->race, 0, sizeof(s->race));
}
