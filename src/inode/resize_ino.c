// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inode 7, which owns the blocks kept for the descriptor table to grow into.
 *
 * All of it follows from the superblock. Its double indirect block has at (n modulo the entries of
 * a block) the block of group 0 kept for the n-th block of the table; that block lists the copies
 * of it, one in each group with a backup. So there is one operation: make it what it has to be for
 * a given superblock, the new one when the file system grows, the old one when that has failed.
 *
 * Nobody else reads these blocks or changes this inode: the one who grows the file system has them
 * to himself; the inode's bytes share a block with others and are changed under the buffer's lock.
 *
 * Source: lib/ext2fs/res_gdt.c is the reference of the format, e2fsck/super.c of what is checked.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/endian.h"
#include "disk/csum.h"
#include "disk/format.h"
#include "disk/inode_codec.h"
#include "inode/inode_priv.h"
#include "rt/mem.h"

enum { RESIZE_INO = 7, DIND_SLOT = 13 };

static const struct buf_kind kept_kind = { .name = "block of the resize inode" };

/* What it has to be. */
struct kept {
	const struct mbfs_geo *geo;
	uint32_t per_blk;   /* entries of a block */
	mbfs_grp_t *backup; /* groups with a backup */
	uint32_t backup_nr;
};

static int kept_open(struct kept *k, const struct mbfs_geo *geo)
{
	uint32_t nr = 0;

	*k = (struct kept){ .geo = geo, .per_blk = geo->block_bytes / 4 };
	for (mbfs_grp_t grp = 1; grp < geo->grp_nr; grp++)
		nr += sysmap_has_super(geo, grp);
	k->backup = rt_alloc((nr + 1) * sizeof(*k->backup));
	if (!k->backup)
		return -ENOMEM;
	for (mbfs_grp_t grp = 1; grp < geo->grp_nr; grp++)
		if (sysmap_has_super(geo, grp))
			k->backup[k->backup_nr++] = grp;
	return nr <= k->per_blk ? 0 : -EFBIG;
}

static void kept_close(struct kept *k)
{
	rt_free(k->backup);
}

static mbfs_blk_t kept_blk(const struct kept *k, uint32_t i)
{
	return k->geo->first_blk + 1ull + k->geo->desc_blk_nr + i;
}

static void dind_fill(const struct kept *k, uint8_t *data)
{
	mbfs_le32 *entry = (mbfs_le32 *)(void *)data;

	memset(data, 0, k->geo->block_bytes);
	for (uint32_t i = 0; i < k->geo->resv_gdt_blks; i++)
		entry[(k->geo->desc_blk_nr + i) % k->per_blk] = le32_of((uint32_t)kept_blk(k, i));
}

static void list_fill(const struct kept *k, uint32_t i, uint8_t *data)
{
	mbfs_le32 *entry = (mbfs_le32 *)(void *)data;

	memset(data, 0, k->geo->block_bytes);
	for (uint32_t j = 0; j < k->backup_nr; j++)
		entry[j] = le32_of((uint32_t)(kept_blk(k, i) + (mbfs_blk_t)k->backup[j] *
								       k->geo->blks_per_grp));
}

static uint64_t sectors(const struct kept *k)
{
	return (1 + (uint64_t)k->geo->resv_gdt_blks * (1 + k->backup_nr)) *
	       (k->geo->block_bytes / 512);
}

/* Its bytes in the table, and the double indirect block. Both are the caller's to put. */
static int ino_get(struct inode_env *env, struct buf **table, uint8_t **raw, struct buf **dind)
{
	struct mbfs_inode_disk *d;
	mbfs_le32 slot[15];
	mbfs_blk_t blk;
	uint32_t off;
	int err = table_hold_ino(env, RESIZE_INO, table);

	if (err)
		return err;
	err = ialloc_locate(env, RESIZE_INO, &blk, &off);
	MBFS_ASSERT(!err);
	*raw = (*table)->data + off;
	d = (struct mbfs_inode_disk *)(void *)*raw;
	buf_lock(*table);
	memcpy(slot, d->block, sizeof(slot));
	if (!csum_inode_ok(env->geo, RESIZE_INO, inode_raw_gen(*raw), *raw))
		err = -EBADMSG;
	buf_unlock(*table);
	blk = le32_get(slot[DIND_SLOT]);
	if (!err && (blk <= env->geo->first_blk || blk >= env->geo->blk_nr))
		err = -EUCLEAN;
	if (!err)
		err = buf_get(env->bufs, blk, &kept_kind, NULL, dind);
	if (err)
		buf_put(*table);
	return err;
}

/* Is the block as it has to be? @want: room for one. */
static int blk_check(struct inode_env *env, struct buf *b, const uint8_t *want)
{
	bool same;

	buf_lock(b);
	same = memcmp(b->data, want, env->geo->block_bytes) == 0;
	buf_unlock(b);
	return same ? 0 : -EUCLEAN;
}

static int lists_check(struct inode_env *env, const struct kept *k, uint8_t *want)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < k->geo->resv_gdt_blks; i++) {
		struct buf *b;

		err = buf_get(env->bufs, kept_blk(k, i), &kept_kind, NULL, &b);
		if (err)
			break;
		list_fill(k, i, want);
		err = blk_check(env, b, want);
		buf_put(b);
	}
	return err;
}

int resize_ino_check(struct inode_env *env, struct mbfs_diag *diag)
{
	uint8_t *want = rt_alloc(env->geo->block_bytes), *raw;
	struct buf *table, *dind;
	struct kept k;
	int err = kept_open(&k, env->geo);

	if (!err)
		err = want ? ino_get(env, &table, &raw, &dind) : -ENOMEM;
	if (!err) {
		dind_fill(&k, want);
		err = blk_check(env, dind, want);
		if (!err)
			err = lists_check(env, &k, want);
		buf_put(dind);
		buf_put(table);
	}
	rt_free(want);
	kept_close(&k);
	if (err == -EUCLEAN || err == -EBADMSG)
		return diag_set(diag, err, "the blocks kept for the descriptor table (inode 7) are "
			 "not as they should be: unmount and run \"e2fsck -f IMAGE\"");
	return err ? diag_set(diag, err, "inode 7: %s", strerror(-err)) : 0;
}

/* All the lists, got before anything changes. */
static int lists_get(struct inode_env *env, const struct kept *k, struct buf **bufs)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < k->geo->resv_gdt_blks; i++)
		err = buf_get(env->bufs, kept_blk(k, i), &kept_kind, NULL, &bufs[i]);
	return err;
}

static void put_all(const struct kept *k, struct mbfs_tx *tx, struct buf **lists,
		    struct buf *table, uint8_t *raw, struct buf *dind)
{
	struct mbfs_inode_disk *d = (struct mbfs_inode_disk *)(void *)raw;

	for (uint32_t i = 0; i < k->geo->resv_gdt_blks; i++) {
		buf_lock(lists[i]);
		list_fill(k, i, lists[i]->data);
		tx_dirty(tx, lists[i]);
		buf_unlock(lists[i]);
	}
	buf_lock(dind);
	dind_fill(k, dind->data);
	tx_dirty(tx, dind);
	buf_unlock(dind);
	buf_lock(table);
	d->blocks_lo = le32_of((uint32_t)sectors(k));
	csum_inode_set(k->geo, RESIZE_INO, inode_raw_gen(raw), raw);
	tx_dirty(tx, table);
	buf_unlock(table);
}

int resize_ino_put(struct inode_env *env, struct mbfs_tx *tx, const struct mbfs_geo *size)
{
	struct buf **lists = rt_zalloc((size_t)(size->resv_gdt_blks + 1) * sizeof(*lists));
	struct buf *table, *dind;
	struct kept k;
	uint8_t *raw;
	int err = kept_open(&k, size);

	if (!lists)
		err = -ENOMEM;
	if (!err)
		err = lists_get(env, &k, lists);
	if (!err)
		err = ino_get(env, &table, &raw, &dind);
	if (!err) {
		put_all(&k, tx, lists, table, raw, dind);
		buf_put(dind);
		buf_put(table);
	}
	for (uint32_t i = 0; lists && i < size->resv_gdt_blks; i++)
		buf_put(lists[i]);
	rt_free(lists);
	kept_close(&k);
	return err;
}
