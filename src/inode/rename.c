/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rename: one entry goes, another comes or changes, in one step.
 *
 * Between directories the caller holds the rename lock (6): only such renames change who is above
 * whom, so what the walks up find stays true until the end. The walks answer: is the moved
 * directory above the directory it goes to (-EINVAL)? is the replaced one above the directory it
 * comes from (-ENOTEMPTY)? which of the two directories is above the other?
 *
 * Order of locks: the directory that is above the other first, else the one with the lower number;
 * then what is in them: directories by number, then files by number. Two directories of which none
 * is above the other are only ever locked by the one rename between directories; everybody else
 * goes from a directory to what is in it, directories before files, so no circle can close. Hence a
 * rename inside one directory locks of the directories in it only one that it replaces: of the
 * others nothing changes but the time. The names are looked up before the locks (for the walks) and
 * again under them; if they lead elsewhere now, all begins anew.
 *
 * Prepare and commit (namei_priv.h): with a target, both entries only change in place, which cannot
 * fail. Without one, the new name is added, then the old one is found anew (adding may have moved
 * it); if that fails, the new name is removed again.
 */
#include "inode/namei_priv.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"

enum { SIDE_OLD, SIDE_NEW, SIDE_NR, RETRY_MAX = 100 };

/* One side: a directory, a name in it, and what is there. */
struct side {
	struct inode *dir;
	const char *name;
	size_t len;
	struct inode *in; /* referenced; NULL: nothing (new side only) */
	struct dir_pos pos; /* of the entry; pos.buf NULL if there is none */
	struct dir_pos dotdot; /* of in's "..", if it changes parents; buf NULL if not */
	struct buf *dir_table, *table;
};

struct rename {
	struct side side[SIDE_NR];
	unsigned flags;
	unsigned alloc_flags;
	bool cross;	  /* the directories differ */
	bool old_is_above; /* the old directory is above the new one */
	bool new_is_above;
	struct mbfs_tx *tx;
};

/* ---- walks ---- */

/* -ENOENT: it is removed, and what was above it may be, too. */
static int parent_of(struct inode *dir, mbfs_ino_t *out)
{
	int err;

	rt_read_lock(&dir->rw);
	err = dir->nlink ? dir_parent(dir, out) : -ENOENT;
	rt_read_unlock(&dir->rw);
	return err;
}

/*
 * Is @what above @from, or itself? No lock of rank RANK_INODE is held. A damaged image may have a
 * circle of parents: the walk compares each with one that it passed, ever farther back (Brent).
 */
static int is_above(struct inode *from, mbfs_ino_t what, bool *out)
{
	struct inode *at = from;
	mbfs_ino_t passed = 0;
	uint64_t steps = 0, limit = 1;
	int err = 0;

	inode_hold(at);
	for (;;) {
		mbfs_ino_t parent;
		struct inode *next;

		*out = at->ino == what;
		if (*out || at->ino == MBFS_ROOT_INO)
			break;
		if (at->ino == passed) {
			err = dir_damaged(at, 0, "its parents form a circle");
			break;
		}
		if (++steps == limit) {
			passed = at->ino;
			steps = 0;
			limit *= 2;
		}
		err = parent_of(at, &parent);
		if (!err)
			err = inode_get(from->env, parent, &next);
		if (err == -ESTALE)
			err = dir_damaged(at, 0, "\"..\" leads to an inode that is not in use");
		if (err)
			break;
		inode_put(at);
		at = next;
	}
	inode_put(at);
	return err;
}

/* The walks of the essay. */
static int walk(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	bool above = false;
	int err = 0;

	r->old_is_above = r->new_is_above = false;
	if (!r->cross)
		return 0;
	err = is_above(new->dir, old->dir->ino, &r->old_is_above);
	if (!err && !r->old_is_above)
		err = is_above(old->dir, new->dir->ino, &r->new_is_above);
	if (!err && inode_is_dir(old->in))
		err = is_above(new->dir, old->in->ino, &above);
	if (err || above)
		return err ? err : -EINVAL;
	if (new->in && inode_is_dir(new->in))
		err = is_above(old->dir, new->in->ino, &above);
	if (err || above)
		return err ? err : r->flags & MBFS_RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return 0;
}

/* ---- locks ---- */

static void lock_pair(struct inode *first, struct inode *second, bool nested)
{
	if (nested)
		rt_write_lock_nested(&first->rw);
	else
		rt_write_lock(&first->rw);
	if (second && second != first)
		rt_write_lock_nested(&second->rw);
}

/* Is the lock of what is on this side needed? The essay says why not always. */
static bool side_locks(const struct rename *r, unsigned i)
{
	const struct inode *in = r->side[i].in;

	if (!in || (i == SIDE_NEW && in == r->side[SIDE_OLD].in))
		return false;
	return r->cross || !inode_is_dir(in) ||
	       (i == SIDE_NEW && !(r->flags & MBFS_RENAME_EXCHANGE));
}

static bool goes_first(const struct inode *a, const struct inode *b)
{
	return inode_is_dir(a) != inode_is_dir(b) ? inode_is_dir(a) : a->ino < b->ino;
}

static void rename_lock(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	bool new_first = r->new_is_above || (!r->old_is_above && new->dir->ino < old->dir->ino);
	struct inode *a = side_locks(r, SIDE_OLD) ? old->in : NULL;
	struct inode *b = side_locks(r, SIDE_NEW) ? new->in : NULL;

	/* The order of the essay: directories above first, else by number ... */
	lock_pair(new_first ? new->dir : old->dir, new_first ? old->dir : new->dir, false);
	/* ... then what is in them; no walk found one of these to be one of those. */
	if (a && b && goes_first(b, a))
		lock_pair(b, a, true);
	else if (a || b)
		lock_pair(a ? a : b, a ? b : NULL, true);
}

static void rename_unlock(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];

	if (side_locks(r, SIDE_NEW))
		rt_write_unlock(&new->in->rw);
	if (side_locks(r, SIDE_OLD))
		rt_write_unlock(&old->in->rw);
	if (r->cross)
		rt_write_unlock(&new->dir->rw);
	rt_write_unlock(&old->dir->rw);
}

/* ---- find ---- */

/* What is under the name, before any lock is kept. -ENOENT is no error on the new side. */
static int side_peek(struct side *s, bool may_miss)
{
	int err;

	rt_read_lock(&s->dir->rw);
	err = namei_get(s->dir, s->name, s->len, NULL, &s->in);
	rt_read_unlock(&s->dir->rw);
	if (err)
		s->in = NULL;
	return err == -ENOENT && may_miss ? 0 : err;
}

/* Under the locks: -EAGAIN if the name leads elsewhere by now. */
static int side_find(struct side *s)
{
	int err = dir_locate(s->dir, s->name, s->len, &s->pos);

	if (err == -ENOENT) {
		s->pos.buf = NULL;
		return s->in ? -EAGAIN : 0;
	}
	if (err) {
		s->pos.buf = NULL;
		return err;
	}
	return s->in && dirent_ino(s->pos.buf->data + s->pos.at.off) == s->in->ino ? 0 : -EAGAIN;
}

static void side_put(struct side *s)
{
	buf_put(s->pos.buf);
	buf_put(s->dotdot.buf);
	buf_put(s->dir_table);
	buf_put(s->table);
	s->pos.buf = s->dotdot.buf = s->dir_table = s->table = NULL;
}

/* ---- checks ---- */

/* namei_linkable() of what may be a directory that is not locked. */
static int linkable(struct inode *in)
{
	int err;

	rt_mutex_lock(&in->fields);
	err = namei_linkable(in);
	rt_mutex_unlock(&in->fields);
	return err;
}

static int check_replaced(const struct rename *r)
{
	const struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	bool empty;
	int err = linkable(new->in);

	if (err || (r->flags & MBFS_RENAME_EXCHANGE))
		return err;
	if (inode_is_dir(old->in) != inode_is_dir(new->in))
		return inode_is_dir(new->in) ? -EISDIR : -ENOTDIR;
	if (!inode_is_dir(new->in))
		return 0;
	err = dir_is_empty(new->in, &empty);
	return err ? err : empty ? 0 : -ENOTEMPTY;
}

static int check(const struct rename *r)
{
	const struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	bool exchange = r->flags & MBFS_RENAME_EXCHANGE;
	int err = namei_dir_writable(old->dir, true);

	if (!err)
		err = namei_dir_writable(new->dir, new->in != NULL);
	if (!err)
		err = linkable(old->in);
	if (!err && new->in)
		err = check_replaced(r);
	if (!err && r->cross && inode_is_dir(old->in) && !(new->in && inode_is_dir(new->in)))
		err = namei_subdir_room(new->dir);
	if (!err && r->cross && exchange && inode_is_dir(new->in) && !inode_is_dir(old->in))
		err = namei_subdir_room(old->dir);
	return err;
}

/* ---- prepare ---- */

static int side_hold(struct side *s, bool moves)
{
	int err = table_hold(s->dir, &s->dir_table);

	if (!err && s->in)
		err = table_hold(s->in, &s->table);
	if (!err && moves && s->in && inode_is_dir(s->in)) {
		err = dir_locate_parent(s->in, &s->dotdot);
		if (err)
			s->dotdot.buf = NULL;
	}
	return err;
}

static bool target_goes(const struct rename *r)
{
	const struct inode *target = r->side[SIDE_NEW].in;

	return target && !(r->flags & MBFS_RENAME_EXCHANGE) &&
	       (inode_is_dir(target) || target->nlink == 1);
}

/* The new name, and the old one's place anew. */
static int add_target(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	int err = dir_add(new->dir, r->tx, new->name, new->len, old->in->ino, IFTODT(old->in->type),
			  r->alloc_flags);

	if (err || r->cross)
		return err;
	buf_put(old->pos.buf);
	err = dir_locate(old->dir, old->name, old->len, &old->pos);
	if (!err)
		return 0;
	old->pos.buf = NULL;
	if (dir_del(new->dir, r->tx, new->name, new->len))
		log_err("directory inode %u: an entry could not be taken back; run e2fsck -f on "
			"the image",
			new->dir->ino);
	return err;
}

static int prepare(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	bool exchange = r->flags & MBFS_RENAME_EXCHANGE;
	int err = side_hold(old, r->cross);

	if (!err)
		err = side_hold(new, r->cross && exchange);
	if (!err && target_goes(r))
		err = orphan_add(new->in, r->tx);
	if (!err && !new->in)
		err = add_target(r);
	return err;
}

/* ---- commit ---- */

static void commit_exchange(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	int old_dirs = inode_is_dir(old->in), new_dirs = inode_is_dir(new->in);

	dir_pos_set(new->dir, r->tx, &new->pos, old->in->ino, IFTODT(old->in->type));
	dir_pos_set(old->dir, r->tx, &old->pos, new->in->ino, IFTODT(new->in->type));
	if (old->dotdot.buf)
		dir_pos_set(old->in, r->tx, &old->dotdot, new->dir->ino, DT_DIR);
	if (new->dotdot.buf)
		dir_pos_set(new->in, r->tx, &new->dotdot, old->dir->ino, DT_DIR);
	namei_commit(old->in, r->tx, 0, NAMEI_CTIME);
	namei_commit(new->in, r->tx, 0, NAMEI_CTIME);
	namei_commit(old->dir, r->tx, r->cross ? new_dirs - old_dirs : 0,
		     NAMEI_CTIME | NAMEI_MTIME);
	if (r->cross)
		namei_commit(new->dir, r->tx, old_dirs - new_dirs, NAMEI_CTIME | NAMEI_MTIME);
}

static void commit_move(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	bool is_dir = inode_is_dir(old->in), replaces_dir = new->in && inode_is_dir(new->in);

	if (new->in)
		dir_pos_set(new->dir, r->tx, &new->pos, old->in->ino, IFTODT(old->in->type));
	dir_pos_del(old->dir, r->tx, &old->pos);
	if (old->dotdot.buf)
		dir_pos_set(old->in, r->tx, &old->dotdot, new->dir->ino, DT_DIR);
	namei_commit(old->in, r->tx, 0, NAMEI_CTIME);
	if (new->in && target_goes(r))
		namei_commit_gone(new->in, r->tx);
	else if (new->in)
		namei_commit(new->in, r->tx, new->in->nlink ? -1 : 0, NAMEI_CTIME);
	/* A directory that leaves, or one that is replaced by its neighbour: one less here. */
	namei_commit(old->dir, r->tx, is_dir && (r->cross || replaces_dir) ? -1 : 0,
		     NAMEI_CTIME | NAMEI_MTIME);
	if (r->cross)
		namei_commit(new->dir, r->tx, is_dir && !replaces_dir ? 1 : 0,
			     NAMEI_CTIME | NAMEI_MTIME);
}

/* All locks are held. */
static int rename_locked(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	int err = side_find(old);

	if (!err)
		err = side_find(new);
	/* Two names of one file: nothing to do, says POSIX. */
	if (!err && old->in == new->in)
		goto out;
	if (!err)
		err = check(r);
	if (!err)
		err = tx_start(old->dir->env->log, 2 * DIR_CREDITS, &r->tx);
	if (err)
		goto out;
	err = prepare(r);
	if (!err && (r->flags & MBFS_RENAME_EXCHANGE))
		commit_exchange(r);
	else if (!err)
		commit_move(r);
	tx_stop(r->tx);
out:
	side_put(old);
	side_put(new);
	return err;
}

/* What can be said before the walks, as long as the names lead where they led. */
static int check_early(const struct rename *r)
{
	const struct inode *target = r->side[SIDE_NEW].in;

	if (target && (r->flags & MBFS_RENAME_NOREPLACE))
		return -EEXIST;
	return !target && (r->flags & MBFS_RENAME_EXCHANGE) ? -ENOENT : 0;
}

/* After the walks, only a damaged image can have one of the directories in one of them. */
static int check_circle(const struct rename *r)
{
	for (unsigned i = 0; i < SIDE_NR; i++) {
		const struct side *s = &r->side[i];

		if (s->in && (s->in == r->side[SIDE_OLD].dir || s->in == r->side[SIDE_NEW].dir))
			return dir_damaged(s->dir, 0, "a directory inside itself");
	}
	return 0;
}

static int rename_once(struct rename *r)
{
	struct side *old = &r->side[SIDE_OLD], *new = &r->side[SIDE_NEW];
	int err = side_peek(old, false);

	if (err)
		return err;
	err = side_peek(new, true);
	if (!err)
		err = check_early(r);
	if (!err)
		err = walk(r);
	if (!err)
		err = check_circle(r);
	if (!err) {
		rename_lock(r);
		err = rename_locked(r);
		rename_unlock(r);
	}
	inode_put(old->in);
	if (new->in)
		inode_put(new->in);
	return err;
}

int namei_rename(struct inode *dir, const char *name, struct inode *new_dir, const char *new_name,
		 unsigned flags, unsigned alloc_flags)
{
	struct rename r = { .side = { { .dir = dir, .name = name },
				      { .dir = new_dir, .name = new_name } },
			    .flags = flags,
			    .alloc_flags = alloc_flags,
			    .cross = dir != new_dir };
	int err = namei_name(name, &r.side[SIDE_OLD].len);

	if (!err)
		err = namei_name(new_name, &r.side[SIDE_NEW].len);
	if (err)
		return err;
	if (flags & ~(unsigned)(MBFS_RENAME_NOREPLACE | MBFS_RENAME_EXCHANGE) ||
	    flags == (MBFS_RENAME_NOREPLACE | MBFS_RENAME_EXCHANGE))
		return -EINVAL;
	if (namei_is_dots(name, r.side[SIDE_OLD].len) ||
	    namei_is_dots(new_name, r.side[SIDE_NEW].len))
		return -EBUSY;
	if (!inode_is_dir(dir) || !inode_is_dir(new_dir))
		return -ENOTDIR;
	for (unsigned i = 0; i < RETRY_MAX; i++) {
		err = rename_once(&r);
		if (err != -EAGAIN)
			return err;
	}
	return -EBUSY;
}
