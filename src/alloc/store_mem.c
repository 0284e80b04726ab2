// SPDX-License-Identifier: GPL-2.0-only
/* A store of bitmaps in memory: an allocator without a disk. A group's bitmap exists once it is
 * loaded. */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "rt/mem.h"

struct mem_group {
	uint8_t *bits; /* [group lock of the allocator] NULL: all free, not loaded */
};

struct store_mem {
	struct mbfs_alloc_shape shape; /* [const]; blk_nr rises [racy: a bound] */
	struct table grps;	       /* struct mem_group */
};

static struct mem_group *group_of(const struct store_mem *s, mbfs_grp_t grp)
{
	struct mem_group *g = table_at(&s->grps, grp);

	MBFS_ASSERT(g);
	return g;
}

static uint32_t group_len(const struct store_mem *s, mbfs_grp_t grp)
{
	mbfs_blk_t left =
		rt_read_once(s->shape.blk_nr) - s->shape.first_blk -
		(mbfs_blk_t)grp * s->shape.blks_per_grp;

	return left < s->shape.blks_per_grp ? (uint32_t)left : s->shape.blks_per_grp;
}

static int mem_grp_info(void *ctx, mbfs_grp_t grp, uint32_t *free_nr, bool *bad)
{
	*free_nr = group_len(ctx, grp);
	*bad = false;
	return 0;
}

static int mem_bitmap_load(void *ctx, mbfs_grp_t grp, uint8_t *bits)
{
	struct store_mem *s = ctx;
	size_t bytes = div_up(s->shape.blks_per_grp, 64) * 8;
	struct mem_group *g = group_of(s, grp);
	uint32_t len = group_len(s, grp);

	g->bits = rt_zalloc(bytes);
	if (!g->bits)
		return -ENOMEM;
	bits_set(g->bits, len, (uint32_t)(bytes * 8) - len);
	memcpy(bits, g->bits, bytes);
	return 0;
}

static void mem_bitmap_update(void *ctx, struct mbfs_tx *tx, mbfs_grp_t grp, mbfs_clu_t start,
			      uint32_t len, bool used)
{
	uint8_t *bits = group_of(ctx, grp)->bits;

	(void)tx;
	if (used) {
		MBFS_ASSERT_SLOW(bits_all_clear(bits, start, len));
		bits_set(bits, start, len);
	} else {
		MBFS_ASSERT_SLOW(bits_all_set(bits, start, len));
		bits_clear(bits, start, len);
	}
}

static void mem_bitmap_copy(void *ctx, mbfs_grp_t grp, uint8_t *bits)
{
	const struct store_mem *s = ctx;

	memcpy(bits, group_of(s, grp)->bits, div_up(s->shape.blks_per_grp, 64) * 8);
}

static int mem_grow(void *ctx, mbfs_blk_t blk_nr)
{
	struct store_mem *s = ctx;
	uint64_t grps = div_up(blk_nr - s->shape.first_blk, s->shape.blks_per_grp);
	int err;

	rt_write_once(s->shape.blk_nr, blk_nr);
	if (grps <= table_nr(&s->grps))
		return 0;
	err = table_ready(&s->grps, (uint32_t)grps);
	if (!err)
		table_grow(&s->grps, NULL);
	return err;
}

static void mem_close(void *ctx)
{
	struct store_mem *s = ctx;

	for (mbfs_grp_t i = 0; i < table_size(&s->grps); i++)
		rt_free(((struct mem_group *)table_new(&s->grps, i))->bits);
	table_close(&s->grps);
	rt_free(s);
}

static const struct mbfs_alloc_store_ops mem_ops = {
	.grp_info = mem_grp_info,
	.bitmap_load = mem_bitmap_load,
	.bitmap_update = mem_bitmap_update,
	.bitmap_copy = mem_bitmap_copy,
	.grow = mem_grow,
};

int mbfs_alloc_open_mem(const struct mbfs_alloc_shape *shape, const struct mbfs_alloc_tune *tune,
			struct mbfs_diag *diag, struct mbfs_alloc **out)
{
	uint64_t grp_nr = shape->blks_per_grp && shape->blk_nr > shape->first_blk ?
				  div_up(shape->blk_nr - shape->first_blk, shape->blks_per_grp) :
				  0;
	struct store_mem *s;
	int err;

	if (grp_nr > UINT32_MAX)
		return diag_set(diag, -EINVAL, "%llu groups are more than 2^32",
				(unsigned long long)grp_nr);
	s = rt_zalloc(sizeof(*s));
	if (!s || table_open(&s->grps, (uint32_t)grp_nr, sizeof(struct mem_group))) {
		rt_free(s);
		return diag_set(diag, -ENOMEM, "out of memory");
	}
	s->shape = *shape;
	err = mbfs_alloc_open(shape, tune, &mem_ops, s, diag, out);
	if (err)
		mem_close(s);
	else
		(*out)->store_close = mem_close;
	return err;
}
