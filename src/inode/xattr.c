/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended attributes of an inode.
 *
 * An attribute lies in the inode, behind its fields, or in one block; a name is in at most one of
 * the two. A block may be shared by inodes with the same attributes (mke2fs -d, the kernel): its
 * header counts them. mbfs never shares a block itself.
 *
 * set and remove build the new content of both places from lists in memory, so no room is ever lost
 * to holes; the inode is tried first. Everything that can fail comes first: memory, the table
 * block, a new block, giving up the old one. Then both places are overwritten and the inode is
 * marked dirty. A block that others share is not written: this inode gets its own, and the old
 * one's count goes down.
 *
 * Locks: xattr_lock (14) orders all calls on one inode; the bytes of the block and its count are
 * read and written under the buffer's lock (66), since other inodes may share it.
 *
 * Names: user., trusted. and security. are kept verbatim. The values of system.posix_acl_access and
 * _default are translated from and to the disk's form; what they do to the mode and to new files is
 * acl.c's business. Other prefixes are hidden. Attributes with their
 * value in an inode of its own (ea_inode, which mount refuses) are kept but cannot be read or
 * replaced: -EOPNOTSUPP.
 */
#include "inode/xattr_priv.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "inode/table_hold.h"
#include "rt/mem.h"

/* The attributes of one inode while a call works on them; copies, so that they stay. */
struct xattr_view {
	struct xattr_area body, block; /* bytes 0: there is no such place */
	struct xattr_list list[2];     /* of the inode's body, of the block */
	uint8_t *mem;
};
enum { IN_BODY, IN_BLOCK };

static int damaged(const struct inode *in, const char *where)
{
	log_err("inode %u: damaged extended attributes in its %s; run e2fsck -f on the image",
		in->ino, where);
	return -EUCLEAN;
}

/* Where attributes in the inode are: offset in raw, and bytes, 0 if there is no room for any. */
static uint32_t body_place(const struct inode *in, uint32_t *off)
{
	uint32_t inode_bytes = in->env->geo->inode_bytes;

	*off = 128 + in->extra_isize;
	if (!in->extra_isize || *off > inode_bytes || *off % 4 ||
	    inode_bytes - *off < XATTR_MAGIC_BYTES + XATTR_END_BYTES)
		return 0;
	return inode_bytes - *off;
}

/* Copy the attributes in the inode behind their magic number; verified. */
static int body_load(struct inode *in, struct xattr_view *v, uint8_t *mem)
{
	uint32_t off, bytes = body_place(in, &off);

	if (!bytes)
		return 0;
	rt_mutex_lock(&in->fields);
	memcpy(mem, in->raw + off, bytes);
	rt_mutex_unlock(&in->fields);
	if (xattr_get32(mem) != XATTR_MAGIC)
		memset(mem, 0, bytes);
	v->body =
		(struct xattr_area){ mem + XATTR_MAGIC_BYTES, 0, bytes - XATTR_MAGIC_BYTES, false };
	return xattr_area_verify(&v->body) ? damaged(in, "table entry") : 0;
}

static int block_get(struct inode *in, struct buf **out)
{
	const struct buf_owner nobody = { 0 };
	const struct mbfs_geo *geo = in->env->geo;

	if (in->xattr_blk <= geo->first_blk || in->xattr_blk >= geo_blk_nr(geo))
		return damaged(in, "block number");
	return buf_get(in->env->bufs, in->xattr_blk, &xattr_block_kind, &nobody, out);
}

static int block_load(struct inode *in, struct xattr_view *v, uint8_t *mem)
{
	uint32_t bytes = in->env->geo->block_bytes;
	struct buf *b;
	int err;

	v->block = (struct xattr_area){ mem, XATTR_HEAD_BYTES, bytes, true };
	if (!in->xattr_blk) {
		memset(mem, 0, bytes);
		return 0;
	}
	err = block_get(in, &b);
	if (err)
		return err;
	buf_lock(b);
	memcpy(mem, b->data, bytes);
	buf_unlock(b);
	buf_put(b);
	/* Again, although its kind did: an image may give one block to two inodes and count one. */
	return xattr_block_verify(mem, bytes) ? damaged(in, "block") : 0;
}

static void view_put(struct xattr_view *v)
{
	rt_free(v->list[IN_BODY].entry);
	rt_free(v->list[IN_BLOCK].entry);
	rt_free(v->mem);
}

/* @spare: entries that will be added to each list. Nothing is held on error. */
static int view_get(struct inode *in, uint32_t spare, struct xattr_view *v)
{
	const struct mbfs_geo *geo = in->env->geo;
	const struct xattr_area *area[2] = { &v->body, &v->block };
	int err;

	*v = (struct xattr_view){ .mem = rt_alloc((size_t)geo->block_bytes + geo->inode_bytes) };
	if (!v->mem)
		return -ENOMEM;
	err = block_load(in, v, v->mem);
	if (!err)
		err = body_load(in, v, v->mem + geo->block_bytes);
	for (unsigned i = 0; i < 2 && !err; i++) {
		struct xattr_list *list = &v->list[i];

		list->room = spare + (area[i]->bytes ? xattr_area_count(area[i]) : 0);
		list->entry = rt_alloc((list->room + 1) * sizeof(*list->entry));
		if (!list->entry)
			err = -ENOMEM;
		else if (area[i]->bytes)
			xattr_area_read(area[i], list);
	}
	if (err)
		view_put(v);
	return err;
}

/* ---- get and list ---- */

static ssize_t value_copy(const struct inode *in, const struct xattr_entry *e, void *buf,
			  size_t bytes)
{
	if (e->value_inum)
		return -EOPNOTSUPP;
	if (e->index == XATTR_INDEX_ACL_ACCESS || e->index == XATTR_INDEX_ACL_DEFAULT) {
		ssize_t got =
			xattr_acl_to_user(e->value, e->value_bytes, bytes ? buf : NULL, bytes);

		return got == -EUCLEAN ? damaged(in, "ACL") : got;
	}
	if (bytes && e->value_bytes > bytes)
		return -ERANGE;
	if (bytes)
		memcpy(buf, e->value, e->value_bytes);
	return e->value_bytes;
}

static struct xattr_entry *view_find(const struct xattr_view *v, uint8_t index, const char *name,
				     size_t len, unsigned *where)
{
	for (*where = IN_BODY; *where <= IN_BLOCK; ++*where) {
		struct xattr_entry *e = xattr_list_find(&v->list[*where], index, name, len);

		if (e)
			return e;
	}
	return NULL;
}

ssize_t xattr_get(struct inode *in, const char *name, void *buf, size_t bytes)
{
	const struct xattr_entry *e;
	struct xattr_view v;
	const char *rest;
	unsigned where;
	uint8_t index;
	size_t len;
	ssize_t ret = xattr_name_parse(name, &index, &rest, &len);

	if (ret)
		return ret;
	rt_mutex_lock(&in->xattr_lock);
	ret = view_get(in, 0, &v);
	if (!ret) {
		e = view_find(&v, index, rest, len, &where);
		ret = e ? value_copy(in, e, buf, bytes) : -ENODATA;
		view_put(&v);
	}
	rt_mutex_unlock(&in->xattr_lock);
	return ret;
}

/* Names of one list, each with its NUL, from buf + *at on; -ERANGE. bytes 0: only counted. */
static int names_copy(const struct xattr_list *list, char *buf, size_t bytes, size_t *at)
{
	for (uint32_t i = 0; i < list->nr; i++) {
		const struct xattr_entry *e = &list->entry[i];
		const char *prefix = xattr_prefix(e->index);
		size_t n = prefix ? strlen(prefix) : 0;

		if (!prefix)
			continue;
		if (bytes && n + e->name_len + 1 > bytes - *at)
			return -ERANGE;
		if (bytes) {
			memcpy(buf + *at, prefix, n);
			memcpy(buf + *at + n, e->name, e->name_len);
			buf[*at + n + e->name_len] = 0;
		}
		*at += n + e->name_len + 1;
	}
	return 0;
}

ssize_t xattr_list(struct inode *in, char *buf, size_t bytes)
{
	struct xattr_view v;
	size_t at = 0;
	int err;

	rt_mutex_lock(&in->xattr_lock);
	err = view_get(in, 0, &v);
	if (!err) {
		err = names_copy(&v.list[IN_BODY], buf, bytes, &at);
		if (!err)
			err = names_copy(&v.list[IN_BLOCK], buf, bytes, &at);
		view_put(&v);
	}
	rt_mutex_unlock(&in->xattr_lock);
	return err ? err : (ssize_t)at;
}

/* ---- set ---- */

/* What will replace the attributes of an inode; all of it is got before anything changes. */
struct xattr_change {
	struct inode *in;
	struct mbfs_tx *tx;
	unsigned alloc_flags;
	uint8_t *body, *block; /* new content; NULL: as it is */
	uint32_t body_bytes;
	struct buf *table;     /* held */
	struct buf *target;    /* block to be written, referenced */
	struct buf *old;       /* the inode's present block, referenced */
	bool target_is_new;
	bool drop_old;	       /* this inode no longer uses it */
};

static int block_alloc(struct xattr_change *c)
{
	struct inode *in = c->in;
	struct mbfs_alloc_req req = { .len = 1, .goal = in->tree.goal, .file_blks = 1,
				      .flags = MBFS_ALLOC_NO_PREALLOC | c->alloc_flags };
	const struct buf_owner nobody = { 0 };
	struct mbfs_run run;
	int err;

	err = alloc_blocks(in->env->alloc, NULL, &req, c->tx, &run);
	if (err)
		return err;
	err = buf_wipe(in->env->bufs, run.start, 1);
	if (!err)
		err = buf_get_new(in->env->bufs, run.start, &xattr_block_kind, &nobody, &c->target);
	if (!err) {
		c->target_is_new = true;
		return 0;
	}
	if (mbfs_alloc_free(in->env->alloc, c->tx, &run))
		log_err("block %llu is lost: run e2fsck -f on the image",
			(unsigned long long)run.start);
	return err;
}

static void block_unalloc(struct xattr_change *c)
{
	struct mbfs_run run = { c->target->blk, 1 };

	buf_put(c->target);
	c->target = NULL;
	buf_forget(c->in->env->bufs, c->tx, run.start, 1);
	if (mbfs_alloc_free(c->in->env->alloc, c->tx, &run))
		log_err("block %llu is lost: run e2fsck -f on the image",
			(unsigned long long)run.start);
}

/* One inode less uses the block; the last one frees it. Takes over the reference when it succeeds.
 */
static int block_release(struct inode *in, struct mbfs_tx *tx, struct buf *b)
{
	struct mbfs_run run = { b->blk, 1 };
	uint32_t refs;
	int err;

	/* Also if others turn out to use it: what is ready need not be used. */
	err = alloc_free_late_ready(in->env->alloc, tx, &run);
	if (err)
		return err;
	buf_lock(b);
	refs = xattr_head_refs(b->data);
	if (refs > 1) {
		xattr_head_set_refs(b->data, refs - 1);
		tx_dirty(tx, b);
	}
	buf_unlock(b);
	if (refs <= 1)
		alloc_free_late(in->env->alloc, tx, &run, true);
	buf_put(b);
	return 0;
}

/* Everything that can fail. On error all is as before; the rest of @c is released by change_put().
 */
static int change_prepare(struct xattr_change *c, bool block_empty)
{
	struct inode *in = c->in;
	bool shared;
	int err = table_hold(in, &c->table);

	if (err || !c->block)
		return err;
	if (in->xattr_blk) {
		err = block_get(in, &c->old);
		if (err)
			return err;
		buf_lock(c->old);
		shared = xattr_head_refs(c->old->data) > 1;
		buf_unlock(c->old);
		c->drop_old = block_empty || shared;
	}
	if (!block_empty) {
		if (c->old && !c->drop_old) {
			buf_hold(c->old);
			c->target = c->old;
		} else {
			err = block_alloc(c);
			if (err)
				return err;
		}
	}
	if (!c->drop_old)
		return 0;
	err = block_release(in, c->tx, c->old);
	if (!err)
		c->old = NULL;
	else if (c->target)
		block_unalloc(c);
	return err;
}

/* Nothing here can fail. */
static void change_commit(struct xattr_change *c)
{
	struct inode *in = c->in;
	uint32_t off;
	int err;

	if (c->target) {
		buf_lock(c->target);
		memcpy(c->target->data, c->block, in->env->geo->block_bytes);
		tx_dirty(c->tx, c->target);
		buf_unlock(c->target);
	}
	inode_add_blocks(in, (int64_t)c->target_is_new - (int64_t)c->drop_old);
	rt_mutex_lock(&in->fields);
	if (c->block)
		in->xattr_blk = c->target ? c->target->blk : 0;
	if (c->body && body_place(in, &off))
		memcpy(in->raw + off, c->body, c->body_bytes);
	inode_now(&in->ctime);
	rt_mutex_unlock(&in->fields);
	err = inode_dirty(in, c->tx);
	MBFS_ASSERT(!err);
}

static void change_put(struct xattr_change *c)
{
	buf_put(c->table);
	buf_put(c->target);
	buf_put(c->old);
}

/* Bring the inode's attributes to the view's lists; @touched: which of them changed. */
static int view_store(struct inode *in, struct mbfs_tx *tx, struct xattr_view *v,
		      const bool touched[2], unsigned alloc_flags)
{
	const struct mbfs_geo *geo = in->env->geo;
	struct xattr_change c = { .in = in, .tx = tx, .alloc_flags = alloc_flags };
	uint8_t *mem = rt_zalloc((size_t)geo->block_bytes + geo->inode_bytes);
	struct xattr_area to;
	int err;

	if (!mem)
		return -ENOMEM;
	if (touched[IN_BODY]) {
		c.body = mem + geo->block_bytes;
		c.body_bytes = v->body.bytes + XATTR_MAGIC_BYTES;
		to = v->body;
		to.base = c.body + XATTR_MAGIC_BYTES;
		xattr_area_write(&to, &v->list[IN_BODY]);
		/* An empty place is all zero, as if there never had been one. */
		xattr_put32(c.body, v->list[IN_BODY].nr ? XATTR_MAGIC : 0);
	}
	if (touched[IN_BLOCK]) {
		c.block = mem;
		to = v->block;
		to.base = c.block;
		xattr_area_write(&to, &v->list[IN_BLOCK]);
		xattr_head_put(c.block, 1, xattr_list_hash(&v->list[IN_BLOCK]));
	}
	err = change_prepare(&c, !v->list[IN_BLOCK].nr);
	if (!err)
		change_commit(&c);
	change_put(&c);
	rt_free(mem);
	return err;
}

/* The new entry where it fits, the inode first. */
static int view_insert(struct xattr_view *v, const struct xattr_entry *e, bool touched[2])
{
	const struct xattr_area *area[2] = { &v->body, &v->block };

	for (unsigned i = IN_BODY; i <= IN_BLOCK; i++) {
		struct xattr_list *list = &v->list[i];

		MBFS_ASSERT(list->nr < list->room);
		list->entry[list->nr++] = *e;
		if (area[i]->bytes && xattr_area_fits(area[i], list)) {
			touched[i] = true;
			return 0;
		}
		list->nr--;
	}
	return -ENOSPC;
}

static int xattr_set_locked(struct inode *in, struct mbfs_tx *tx, const struct xattr_entry *e,
			    bool remove, unsigned flags, unsigned alloc_flags)
{
	bool touched[2] = { false, false };
	struct xattr_view v;
	struct xattr_entry *old;
	unsigned where;
	int err = view_get(in, 1, &v);

	if (err)
		return err;
	old = view_find(&v, e->index, (const char *)e->name, e->name_len, &where);
	if (old && (flags & MBFS_XATTR_CREATE))
		err = -EEXIST;
	else if (!old && (remove || (flags & MBFS_XATTR_REPLACE)))
		err = -ENODATA;
	else if (old && old->value_inum)
		err = -EOPNOTSUPP;
	if (err)
		goto out;
	if (old) {
		xattr_list_del(&v.list[where], old);
		touched[where] = true;
	}
	if (!remove)
		err = view_insert(&v, e, touched);
	if (!err)
		err = view_store(in, tx, &v, touched, alloc_flags);
out:
	view_put(&v);
	return err;
}

/* The value and its length become those of the disk's form, in memory that is the caller's. */
static int acl_to_disk(const void **value, size_t *bytes, uint8_t **mem)
{
	ssize_t len;

	*mem = rt_alloc(*bytes + 1); /* it only gets shorter */
	if (!*mem)
		return -ENOMEM;
	len = xattr_acl_from_user(*value, *bytes, *mem);
	if (len < 0) {
		rt_free(*mem);
		*mem = NULL;
		return (int)len;
	}
	*value = *mem;
	*bytes = (size_t)len;
	return 0;
}

int xattr_set(struct inode *in, struct mbfs_tx *tx, const char *name, const void *value,
	      size_t bytes, unsigned flags, unsigned alloc_flags)
{
	struct xattr_entry e = { 0 };
	uint8_t *disk = NULL;
	const char *rest;
	size_t len;
	int err = xattr_name_parse(name, &e.index, &rest, &len);

	if (err)
		return err;
	if (!(in->env->geo->features & GEO_EXT_ATTR))
		return -EOPNOTSUPP;
	if (value && (e.index == XATTR_INDEX_ACL_ACCESS || e.index == XATTR_INDEX_ACL_DEFAULT)) {
		err = acl_to_disk(&value, &bytes, &disk);
		if (err)
			return err;
	}
	e.name = (const uint8_t *)rest;
	e.name_len = (uint8_t)len;
	e.value = value;
	e.value_bytes = (uint32_t)bytes;
	if (bytes > in->env->geo->block_bytes) {
		err = -ENOSPC;
	} else {
		rt_mutex_lock(&in->xattr_lock);
		err = xattr_set_locked(in, tx, &e, !value, flags, alloc_flags);
		rt_mutex_unlock(&in->xattr_lock);
	}
	rt_free(disk);
	return err;
}

bool xattr_any(struct inode *in)
{
	uint32_t off, bytes = body_place(in, &off);
	bool any;

	rt_mutex_lock(&in->fields);
	any = in->xattr_blk || (bytes && xattr_get32(in->raw + off) == XATTR_MAGIC);
	rt_mutex_unlock(&in->fields);
	return any;
}

int xattr_free_all(struct inode *in, struct mbfs_tx *tx)
{
	struct buf *b;
	int err = 0;

	rt_mutex_lock(&in->xattr_lock);
	if (!in->xattr_blk)
		goto out;
	err = block_get(in, &b);
	if (err)
		goto out;
	err = block_release(in, tx, b);
	if (err) {
		buf_put(b);
		goto out;
	}
	inode_add_blocks(in, -1);
	rt_mutex_lock(&in->fields);
	in->xattr_blk = 0;
	rt_mutex_unlock(&in->fields);
out:
	rt_mutex_unlock(&in->xattr_lock);
	return err;
}
