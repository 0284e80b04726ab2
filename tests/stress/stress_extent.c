// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: who reads a tree while another changes it sees each block as it was before or after a
 * change, and blocks that no change concerns as they are, whatever is split, merged, grown or
 * shrunk around them. Under TSan also: no data race. Method: one writer does what it likes and says
 * so in an array with a cell for each block: busy while a change may concern it, else what it is
 * mapped to. Readers map at random, or seek the next data; a cell that was idle and the same before
 * and after must be what the tree said. Another thread writes the nodes out meanwhile.
 */
#include <string.h>

#include "disk/extent_codec.h"
#include "rt/work.h"
#include "support/t_ext.h"

enum { LBLKS = 3000, ROUNDS = 6, STEPS = 4000, READERS = 3, MAP_MAX = 32 };

/* A cell: what the block is mapped to, BUSY, and a count of changes. */
enum { CELL_BUSY = 4, CELL_PBLK_SHIFT = 3, CELL_COUNT_SHIFT = 32 };

struct shared {
	struct t_ext x;
	rt_u64 cells[LBLKS];
	rt_u32 stop;
};

struct reader {
	struct shared *sh;
	struct rt_rand rand;
	uint64_t idle, busy; /* blocks compared, and passed over */
	char wrong[120];
};

static uint64_t cell_value(enum extent_state state, mbfs_blk_t pblk)
{
	return (uint64_t)state | (state == EXTENT_HOLE ? 0 : pblk << CELL_PBLK_SHIFT);
}

static uint64_t cell_of(uint64_t old, uint64_t value)
{
	return ((old >> CELL_COUNT_SHIFT) + 1) << CELL_COUNT_SHIFT | value;
}

/* ---- readers ---- */

/* Every block of @map against the cells as they were before the call, if they still are so. */
static void compare(struct reader *r, const struct extent_map *map, const uint64_t *before)
{
	for (uint32_t i = 0; i < map->len && !r->wrong[0]; i++) {
		uint64_t cell = rt_u64_read_acquire(&r->sh->cells[map->lblk + i]);
		uint64_t is = cell_value(map->state, map->pblk + i);

		if (cell != before[i] || (cell & CELL_BUSY)) {
			r->busy++;
			continue;
		}
		r->idle++;
		if ((uint32_t)cell != (uint32_t)is)
			snprintf(r->wrong, sizeof(r->wrong),
				 "block %u of a run of %u from %u: the tree says %#" PRIx64
				 ", not %#" PRIx32,
				 i, map->len, map->lblk, is, (uint32_t)cell);
	}
}

/* Map at @lblk; true: there is data. */
static bool look(struct reader *r, mbfs_lblk_t lblk, uint32_t max_len, struct extent_map *map)
{
	uint64_t before[LBLKS];
	int err;

	for (uint32_t i = 0; i < max_len; i++)
		before[i] = rt_u64_read_acquire(&r->sh->cells[lblk + i]);
	rt_fence(); /* pairs with the writer's in cells_begin() */
	err = extent_map(&r->sh->x.tree, lblk, max_len, map);
	rt_fence();
	if (err || map->lblk != lblk || map->len < 1 || map->len > max_len) {
		snprintf(r->wrong, sizeof(r->wrong), "map at %u: %d, a run of %u from %u", lblk,
			 err, map->len, map->lblk);
		return true;
	}
	compare(r, map, before);
	return map->state != EXTENT_HOLE;
}

static void read_loop(void *arg)
{
	struct reader *r = arg;
	struct extent_map map;

	while (!rt_u32_read(&r->sh->stop) && !r->wrong[0]) {
		mbfs_lblk_t at = (mbfs_lblk_t)rt_rand_below(&r->rand, LBLKS);
		uint32_t len = LBLKS - at < MAP_MAX ? LBLKS - at : MAP_MAX;

		if (rt_rand_below(&r->rand, 8)) {
			look(r, at, len, &map);
			continue;
		}
		/* The next data, as file_seek() goes there. */
		while (at < LBLKS && !look(r, at, LBLKS - at, &map))
			at += map.len;
	}
}

static void writeout_loop(void *arg)
{
	struct shared *sh = arg;

	while (!rt_u32_read(&sh->stop)) {
		if (tx_writeout(sh->x.log))
			rt_u32_set(&sh->stop, 2);
		rt_sleep_ns(1000000);
	}
}

/* ---- the writer: the test's own thread ---- */

static void cells_begin(struct shared *sh, mbfs_lblk_t at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		uint64_t old = rt_u64_read(&sh->cells[at + i]);

		rt_u64_set_release(&sh->cells[at + i], cell_of(old, (uint32_t)old | CELL_BUSY));
	}
	rt_fence(); /* pairs with look(): who sees the change afterwards sees BUSY too */
}

/* What is true now: the writer alone changes the tree, so it may ask. */
static void cells_end(struct shared *sh, mbfs_lblk_t at, uint32_t len)
{
	struct extent_map map;

	for (uint32_t done = 0; done < len; done += map.len) {
		ck_assert_int_eq(extent_map(&sh->x.tree, at + done, len - done, &map), 0);
		for (uint32_t i = 0; i < map.len; i++) {
			rt_u64 *cell = &sh->cells[at + done + i];

			rt_u64_set_release(cell, cell_of(rt_u64_read(cell),
							 cell_value(map.state, map.pblk + i)));
		}
	}
}

static void change(struct shared *sh, struct rt_rand *rand)
{
	mbfs_lblk_t at = (mbfs_lblk_t)rt_rand_below(rand, LBLKS);
	uint32_t len = 1 + (uint32_t)rt_rand_below(rand, rt_rand_below(rand, 6) ? 3 : 100);
	uint64_t what = rt_rand_below(rand, 8);
	struct extent_map map;

	if (len > LBLKS - at)
		len = LBLKS - at;
	cells_begin(sh, at, len);
	if (what < 4)
		ck_assert_int_eq(t_ext_alloc(&sh->x, at, len, &map), 0);
	else if (what < 6)
		ck_assert_int_eq(t_ext_convert(&sh->x, at, len), 0);
	else
		ck_assert_int_eq(t_ext_remove(&sh->x, at, (uint64_t)at + len), 0);
	cells_end(sh, at, len);
}

/* Each round the tree grows to two levels below the root, and shrinks into it. */
static void write_all(struct shared *sh, struct rt_rand *rand)
{
	for (unsigned round = 0; round < ROUNDS && !rt_u32_read(&sh->stop); round++) {
		uint32_t depth = 0;

		for (unsigned step = 0; step < STEPS; step++) {
			change(sh, rand);
			if (node_depth(sh->x.tree.root) > depth)
				depth = node_depth(sh->x.tree.root);
		}
		ck_assert_uint_ge(depth, 2);
		cells_begin(sh, 2, LBLKS - 2);
		ck_assert_int_eq(t_ext_remove(&sh->x, 2, LBLKS), 0);
		cells_end(sh, 2, LBLKS - 2);
		ck_assert_uint_eq(node_depth(sh->x.tree.root), 0);
	}
}

START_TEST(readers_see_before_or_after)
{
	static struct shared sh;
	struct rt_rand rand = { t_seed() };
	struct reader r[READERS];
	struct rt_thread *t[READERS + 1];
	uint64_t idle = 0, busy = 0;

	t_ext_open(&sh.x, 1024, 9000);
	for (unsigned i = 0; i < READERS; i++) {
		r[i] = (struct reader){ .sh = &sh, .rand = { rand.state + i + 1 } };
		ck_assert_int_eq(rt_thread_start(read_loop, &r[i], "reader", &t[i]), 0);
	}
	ck_assert_int_eq(rt_thread_start(writeout_loop, &sh, "writeout", &t[READERS]), 0);
	write_all(&sh, &rand);
	ck_assert_uint_eq(rt_u32_read(&sh.stop), 0);
	rt_u32_set(&sh.stop, 1);
	for (unsigned i = 0; i < READERS + 1; i++)
		rt_thread_join(t[i]);
	for (unsigned i = 0; i < READERS; i++) {
		ck_assert_msg(!r[i].wrong[0], "%s", r[i].wrong);
		idle += r[i].idle;
		busy += r[i].busy;
	}
	printf("%" PRIu64 " blocks compared, %" PRIu64 " busy\n", idle, busy);
	ck_assert_uint_gt(idle, 10000); /* else it has not looked */
	t_ext_ok(&sh.x);
	t_ext_close(&sh.x);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_extent");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, readers_see_before_or_after);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
