// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data races, by happens-before (vector clocks; FastTrack keeps less, we have few threads). A
 * thread's clock says for each thread up to which of its moments all is known here; a moment ends
 * when the thread releases. Locks, waits, RCU, start and join pass clocks on where they pass on to
 * TSan (ex_sync_acquire, ex_sync_release); atomics as C11 has it. Two accesses to the same address,
 * one a write, not both racy on purpose, neither known to the other's thread: a race, whatever the
 * order in which this execution ran them.
 *
 * What the set-up did comes before everything. Accesses are compared by address, not by bytes.
 */
#include "world.h"

#include <errno.h>
#include <string.h>

#include "rt/mark.h"

bool ex_clocks_on;

typedef uint32_t vclock[EX_THREADS_MAX];

enum access { PLAIN_READ, PLAIN_WRITE, RACY_READ, RACY_WRITE, ACCESS_NR };

/* What the last access of each kind and thread was. */
struct cell {
	uint32_t at[ACCESS_NR][EX_THREADS_MAX]; /* moment, from 1 */
	const struct ex_site *site[ACCESS_NR][EX_THREADS_MAX];
};

struct sync {
	vclock vc;
};

static struct {
	vclock now[EX_THREADS_MAX];
	vclock read[EX_THREADS_MAX];   /* of what was loaded without acquire, for the next fence */
	vclock fenced[EX_THREADS_MAX]; /* as of the last fence */
	vclock fences;                 /* of all fences so far */
	struct ex_map syncs, cells, objs;
} clk = {
	.syncs = { .rec_bytes = sizeof(struct sync) },
	.cells = { .rec_bytes = sizeof(struct cell) },
	.objs = { .rec_bytes = sizeof(struct ex_obj) },
};

/* ---- maps ---- */

enum { MAP_ROOM = 1 << 10, MAP_RECS_MAX = 1 << (EX_TSAN ? 14 : 18) }; /* TSan marks each byte */

static struct ex_map_slot *slot_of(const struct ex_map *m, const void *key)
{
	uint32_t at = (uint32_t)ex_mix((uintptr_t)key, 9) & (m->room - 1);

	while (m->slots[at].run == m->run && m->slots[at].key != key)
		at = (at + 1) & (m->room - 1);
	return &m->slots[at];
}

static bool map_grow(struct ex_map *m)
{
	struct ex_map old = *m;

	m->room = old.room ? old.room * 4 : MAP_ROOM;
	m->slots = ex_pages(m->room * sizeof(*m->slots));
	if (!m->recs)
		m->recs = ex_pages(MAP_RECS_MAX * m->rec_bytes);
	if (!m->run)
		m->run = 1;
	if (!m->slots || !m->recs)
		return false;
	for (uint32_t i = 0; i < old.room; i++)
		if (old.slots[i].run == m->run)
			*slot_of(m, old.slots[i].key) = old.slots[i];
	ex_pages_free(old.slots, old.room * sizeof(*old.slots));
	return true;
}

void *ex_map_get(struct ex_map *m, const void *key, bool *was_new)
{
	struct ex_map_slot *slot;

	if (m->nr * 2 >= m->room && !map_grow(m))
		return NULL;
	slot = slot_of(m, key);
	*was_new = slot->run != m->run;
	if (*was_new) {
		if (m->nr >= MAP_RECS_MAX)
			return NULL;
		*slot = (struct ex_map_slot){ key, m->run, m->nr++ };
		ex_fill_raw(m->recs + slot->at * m->rec_bytes, 0, m->rec_bytes);
	}
	return m->recs + slot->at * m->rec_bytes;
}

void ex_map_clear(struct ex_map *m)
{
	m->nr = 0;
	if (++m->run == 0) { /* slots of four thousand million runs ago */
		memset(m->slots, 0, m->room * sizeof(*m->slots));
		m->run = 1;
	}
}

void ex_map_end(struct ex_map *m)
{
	ex_pages_free(m->slots, m->room * sizeof(*m->slots));
	ex_pages_free(m->recs, MAP_RECS_MAX * m->rec_bytes);
	*m = (struct ex_map){ .rec_bytes = m->rec_bytes };
}

static void *record(struct ex_map *m, const void *key)
{
	bool was_new;
	void *rec = ex_map_get(m, key, &was_new);

	if (!rec)
		ex_stop(EXPLORE_MISUSE, "too many objects, or no memory, to look for data races");
	return rec;
}

/* ---- clocks ---- */

static uint32_t *now(void)
{
	return clk.now[ex_tid(ex_world, ex_world->cur)];
}

static void join(uint32_t *into, const uint32_t *from)
{
	for (unsigned i = 0; i < EX_THREADS_MAX; i++)
		if (from[i] > into[i])
			into[i] = from[i];
}

static uint32_t *sync_of(const void *obj)
{
	return ((struct sync *)record(&clk.syncs, obj))->vc;
}

static void moment_ends(void)
{
	now()[ex_tid(ex_world, ex_world->cur)]++;
}

int ex_clocks_init(void)
{
	return map_grow(&clk.syncs) && map_grow(&clk.cells) && map_grow(&clk.objs) ? 0 : -ENOMEM;
}

void ex_clocks_begin(bool on)
{
	ex_clocks_on = on;
	if (!on)
		return;
	memset(clk.now, 0, sizeof(clk.now));
	memset(clk.read, 0, sizeof(clk.read));
	memset(clk.fenced, 0, sizeof(clk.fenced));
	memset(clk.fences, 0, sizeof(clk.fences));
	for (unsigned i = 0; i < EX_THREADS_MAX; i++)
		clk.now[i][i] = 1;
	ex_map_clear(&clk.syncs);
	ex_map_clear(&clk.cells);
	ex_map_clear(&clk.objs);
}

void ex_clocks_end(void)
{
	ex_map_end(&clk.syncs);
	ex_map_end(&clk.cells);
	ex_map_end(&clk.objs);
	ex_weak_end();
	ex_clocks_on = false;
}

void ex_clocks_acquire(const void *obj)
{
	join(now(), sync_of(obj));
}

void ex_clocks_release(const void *obj)
{
	join(sync_of(obj), now());
	moment_ends();
}

void ex_clocks_load(const void *obj, bool acquire)
{
	join(acquire ? now() : clk.read[ex_tid(ex_world, ex_world->cur)], sync_of(obj));
}

void ex_clocks_store(const void *obj, bool release)
{
	const uint32_t *from = release ? now() : clk.fenced[ex_tid(ex_world, ex_world->cur)];

	ex_copy_raw(sync_of(obj), from, sizeof(vclock));
	if (release)
		moment_ends();
}

void ex_clocks_update(const void *obj, bool ordered)
{
	int tid = ex_tid(ex_world, ex_world->cur);

	join(ordered ? now() : clk.read[tid], sync_of(obj));
	join(sync_of(obj), ordered ? now() : clk.fenced[tid]);
	if (ordered)
		moment_ends();
}

const uint32_t *ex_clocks_now(void)
{
	return now();
}

void ex_clocks_learn(const uint32_t *sync, bool acquire)
{
	join(acquire ? now() : clk.read[ex_tid(ex_world, ex_world->cur)], sync);
}

void ex_clocks_teach(uint32_t *sync, bool release)
{
	join(sync, release ? now() : clk.fenced[ex_tid(ex_world, ex_world->cur)]);
	if (release)
		moment_ends();
}

void ex_clocks_fence(bool total)
{
	int tid = ex_tid(ex_world, ex_world->cur);

	join(now(), clk.read[tid]);
	if (total) {
		join(now(), clk.fences);
		join(clk.fences, now());
	}
	ex_copy_raw(clk.fenced[tid], now(), sizeof(vclock));
	moment_ends();
}

/* ---- accesses ---- */

static const char *const access_words[ACCESS_NR] = {
	[PLAIN_READ] = "reads",
	[PLAIN_WRITE] = "writes",
	[RACY_READ] = "reads",
	[RACY_WRITE] = "writes",
};
/* Which kinds each kind may not run side by side with. */
static const uint8_t against[ACCESS_NR] = {
	[PLAIN_READ] = 1 << PLAIN_WRITE | 1 << RACY_WRITE,
	[PLAIN_WRITE] = 1 << PLAIN_READ | 1 << PLAIN_WRITE | 1 << RACY_READ | 1 << RACY_WRITE,
	[RACY_READ] = 1 << PLAIN_WRITE,
	[RACY_WRITE] = 1 << PLAIN_READ | 1 << PLAIN_WRITE,
};

static _Noreturn void race(const struct cell *c, unsigned other, unsigned u, unsigned kind,
			   const void *addr, const struct ex_site *site)
{
	const struct ex_site *was = c->site[other][u];

	ex_stop(EXPLORE_RACE, "%s: %s %s %s at %s:%d, %s %s it at %s:%d, and nothing orders them",
		ex_obj_name(ex_world, addr, site), ex_world->cur->name, access_words[kind],
		site->what, ex_short_file(site->file), site->line, ex_world->sim.th[u].name,
		access_words[other], ex_short_file(was->file), was->line);
}

static void check_cell(enum access kind, const void *addr, const struct ex_site *site)
{
	struct cell *c = record(&clk.cells, addr);
	unsigned tid = (unsigned)ex_tid(ex_world, ex_world->cur);
	const uint32_t *known = clk.now[tid];

	for (unsigned other = 0; other < ACCESS_NR; other++)
		for (unsigned u = 0; against[kind] & 1 << other && u < ex_world->sim.thread_nr; u++)
			if (u != tid && c->at[other][u] > known[u])
				race(c, other, u, kind, addr, site);
	c->at[kind][tid] = known[tid];
	c->site[kind][tid] = site;
}

/* True in an execution that looks; else starts the execution again as one that does. */
static bool looking(void)
{
	struct ex_world *w = ex_world;

	if (w->peeking)
		return false;
	w->clocks = true;
	if (w->phase == EX_EXPLORE && !ex_clocks_on)
		ex_rewind(w);
	return w->phase == EX_EXPLORE;
}

static void check_freed(const void *addr, enum ex_kind kind, const struct ex_site *site)
{
	const struct ex_op op = { .kind = (uint8_t)kind, .site = site, .addr = addr };

	ex_arena_check_address(ex_world, addr, &op);
}

void ex_plain(const void *addr, bool write, const struct ex_site *site)
{
	check_freed(addr, write ? EX_PLAIN_WRITE : EX_PLAIN_READ, site);
	if (looking())
		check_cell(write ? PLAIN_WRITE : PLAIN_READ, addr, site);
}

void ex_racy(const void *addr, bool write, const struct ex_site *site)
{
	enum ex_kind kind = write ? EX_PLAIN_WRITE : EX_PLAIN_READ;

	if (looking())
		ex_point(kind, record(&clk.objs, addr), NULL, addr, 0, site);
	check_freed(addr, kind, site);
	if (ex_clocks_on && !ex_world->peeking)
		check_cell(write ? RACY_WRITE : RACY_READ, addr, site);
}
