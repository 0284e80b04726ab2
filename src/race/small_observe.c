// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the free blocks are while a race goes on. Blocks that are clear in the disk bitmap are in
 * the buddy, in PAs on their group's list, or on the way between them: in a PA that is detached
 * from its list, in one that is not on it yet, or between a buddy and a PA.
 *
 * PAs are found as memory, by where it was allocated: those that no list has are the interesting
 * ones. They are called pa#1, pa#2, ... in the order in which they were made.
 */
#include "race/small_observe.h"

#include <string.h>

#include "alloc/alloc.h"

enum { PA_NR_MAX = 64, BLKS_MAX = 32768 };

/* One look at one group. */
struct look {
	struct explore_obs *obs; /* NULL: only the sums */
	uint64_t *emptied;
	mbfs_grp_t idx;
	uint8_t disk[BLKS_MAX / 8], taken[BLKS_MAX / 8];
	struct alloc_peek_group grp;
	uint32_t listed_nr, listed_blks, deleted_nr; /* deleted_nr: of those listed */
};

/* The words of the pictures; src/explore/README.md explains them. */
static const char *where(const struct alloc_peek_pa *pa)
{
	return pa->listed    ? "listed" :
	       pa->held == 0 ? "emptied" :
	       pa->deleted   ? "detached" :
			       "unlisted";
}

static void look_at_pa(const void *mem, unsigned nr, void *arg)
{
	struct look *l = arg;
	struct alloc_peek_pa pa;
	char name[16];

	if (!alloc_peek_pa(mem, l->idx, l->disk, l->taken, explore_is_alive, &pa))
		return;
	if (nr < PA_NR_MAX && *l->emptied & 1ull << nr)
		pa.held = 0; /* once given back they are never its own again */
	else if (nr < PA_NR_MAX && pa.held == 0 && pa.deleted)
		*l->emptied |= 1ull << nr;
	l->listed_nr += pa.listed;
	l->deleted_nr += pa.listed && pa.deleted;
	l->listed_blks += pa.listed ? pa.held : 0;
	if (!l->obs)
		return;
	snprintf(name, sizeof(name), "pa#%u", nr);
	explore_show_text(l->obs, name, NULL, "%s %llu, at %u+%u, free %u, busy %u%s; %s%s",
			  pa.is_group ? "cpu" : "file", (unsigned long long)pa.owner, pa.start,
			  pa.len, pa.free, pa.busy, pa.deleted ? ", deleted" : "", where(&pa),
			  !pa.owned ? "" : pa.is_group ? ", in its CPU's lists" : ", in its file");
}

/* False: there is nothing to see of the group. */
static bool look(struct mbfs_alloc *a, mbfs_grp_t idx, uint64_t *emptied, struct explore_obs *obs,
		 struct look *l)
{
	*l = (struct look){ .idx = idx, .emptied = emptied, .obs = obs };
	alloc_peek_group(a, idx, l->disk, &l->grp);
	if (l->grp.loaded)
		explore_each_made_in("pa_make", look_at_pa, l);
	return l->grp.loaded;
}

static uint32_t on_the_way(const struct look *l)
{
	return l->grp.disk_nr - l->grp.buddy_nr - l->listed_blks;
}

static void show(const struct look *l, const char *what, const char *brief, uint32_t n)
{
	char name[64];

	snprintf(name, sizeof(name), "group %u: %s", l->idx, what);
	explore_show_number(l->obs, name, l->idx == 0 ? brief : NULL, n);
}

static void show_group(struct mbfs_alloc *a, mbfs_grp_t idx, uint64_t *emptied,
		       struct explore_obs *obs)
{
	struct look l;

	if (!look(a, idx, emptied, NULL, &l))
		return;
	l.obs = obs;
	show(&l, "free in the buddy", "buddy", l.grp.buddy_nr);
	show(&l, "free in PAs on its list", "PA", l.listed_blks);
	show(&l, "free, on the way", "way", on_the_way(&l));
	show(&l, "PAs on its list", NULL, l.listed_nr);
	show(&l, "free on disk", NULL, l.grp.disk_nr);
	look(a, idx, emptied, obs, &l); /* PA by PA */
}

static void show_counter(struct explore_obs *obs, const char *name, uint64_t n)
{
	if (n)
		explore_show_number(obs, name, NULL, (int64_t)n);
}

void small_observe(struct mbfs_alloc *a, uint64_t *emptied, struct explore_obs *obs)
{
	struct alloc_peek_counters c;

	alloc_peek_counters(a, &c);
	for (mbfs_grp_t i = 0; i < c.grp_nr && c.blks_per_grp <= BLKS_MAX; i++)
		show_group(a, i, emptied, obs);
	explore_show_number(obs, "free counter, unclaimed", NULL, (int64_t)c.unclaimed);
	explore_show_number(obs, "claimed", NULL, (int64_t)c.claimed);
	show_counter(obs, "discard_pa_seq, sum", c.seq);
	show_counter(obs, "begin, sum", c.begin);
	show_counter(obs, "end, sum", c.end);
	show_counter(obs, "threads that wait", c.waiters);
}

void small_observe_text(struct mbfs_alloc *a, uint64_t *emptied, char *to, size_t bytes)
{
	uint32_t disk = 0, buddy = 0, way = 0, blks = 0, nr = 0, deleted = 0;
	struct alloc_peek_counters c;
	struct look l;

	alloc_peek_counters(a, &c);
	for (mbfs_grp_t i = 0; i < c.grp_nr && c.blks_per_grp <= BLKS_MAX; i++) {
		look(a, i, emptied, NULL, &l);
		disk += l.grp.disk_nr;
		buddy += l.grp.buddy_nr;
		way += on_the_way(&l);
		blks += l.listed_blks;
		nr += l.listed_nr;
		deleted += l.deleted_nr;
	}
	snprintf(to, bytes,
		 "free blocks: %u, of them %u in the buddy, %u in %u PA%s (%u deleted), %u on the "
		 "way",
		 disk, buddy, blks, nr, nr == 1 ? "" : "s", deleted, way);
}
