/* SPDX-License-Identifier: GPL-2.0-only */
#include "support/t_tree.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 400, DIR_NAMES = 18, DIRS_WANTED = 30 };

/* A node of the twin: what an inode is. */
struct node {
	bool used;
	mode_t type;
	uint32_t links; /* of files; subdirectories of directories */
	mbfs_ino_t ino;
	char target[600];
	int parent;		 /* of directories */
	int child[DIR_NAMES];	 /* by name number; -1: none */
};

struct t_tree {
	struct inode *root;
	struct node node[NODES];
};

/* Names of all lengths: some directories outgrow a block. */
static const char *name_of(unsigned n, char *buf)
{
	int len = sprintf(buf, "%c%u", 'a' + (int)(n % 26), n);

	if (n % 3 == 0)
		memset(buf + len, 'l', 200);
	buf[len + (n % 3 == 0 ? 200 : 0)] = 0;
	return buf;
}

struct t_tree *t_tree_new(struct inode *root)
{
	struct t_tree *t = calloc(1, sizeof(*t));

	t->root = root;
	t->node[0] = (struct node){ .used = true, .type = S_IFDIR, .ino = root->ino };
	for (unsigned i = 0; i < DIR_NAMES; i++)
		t->node[0].child[i] = -1;
	return t;
}

void t_tree_free(struct t_tree *t)
{
	free(t);
}

void t_tree_move(struct t_tree *t, struct inode *root)
{
	t->root = root;
}

static bool is_dir(const struct t_tree *t, int n)
{
	return n >= 0 && S_ISDIR(t->node[n].type);
}

static int pick_dir(const struct t_tree *t, struct rt_rand *r)
{
	for (;;) {
		int n = (int)rt_rand_below(r, NODES);

		if (t->node[n].used && is_dir(t, n))
			return n;
	}
}

static int node_new(struct t_tree *t)
{
	for (int n = 1; n < NODES; n++) {
		if (!t->node[n].used)
			return n;
	}
	return -1;
}

static bool is_empty(const struct t_tree *t, int d)
{
	for (unsigned i = 0; i < DIR_NAMES; i++) {
		if (t->node[d].child[i] >= 0)
			return false;
	}
	return true;
}

/* Is @what above @from, or itself? */
static bool is_above(const struct t_tree *t, int from, int what)
{
	for (; from != what && from; from = t->node[from].parent)
		;
	return from == what;
}

/* ---- operations ---- */

enum op_kind { OP_CREATE, OP_LINK, OP_UNLINK, OP_RMDIR, OP_RENAME, OP_NR };

struct op {
	enum op_kind kind;
	mode_t type;
	int dir[2];
	unsigned name[2];
	unsigned flags;
	int file; /* of link */
	char target[600];
};

static void op_pick(const struct t_tree *t, struct rt_rand *r, struct op *op)
{
	static const mode_t types[] = { S_IFREG, S_IFREG, S_IFDIR, S_IFDIR,
					S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR };
	unsigned k = (unsigned)rt_rand_below(r, 20);
	size_t len;

	memset(op, 0, sizeof(*op));
	op->kind = k < 8    ? OP_CREATE
		   : k < 10 ? OP_LINK
		   : k < 12 ? OP_UNLINK
		   : k < 14 ? OP_RMDIR
			    : OP_RENAME;
	op->type = types[rt_rand_below(r, 8)];
	op->file = -1;
	for (unsigned i = 0; i < 2; i++) {
		op->dir[i] = pick_dir(t, r);
		op->name[i] = (unsigned)rt_rand_below(r, DIR_NAMES);
	}
	if (rt_rand_below(r, 4) == 0)
		op->dir[1] = op->dir[0];
	op->flags = (unsigned)rt_rand_below(r, 3);
	len = 1 + rt_rand_below(r, rt_rand_below(r, 2) ? 70 : 590);
	memset(op->target, 'a' + (int)rt_rand_below(r, 26), len);
	if (op->kind == OP_LINK) {
		int n = (int)rt_rand_below(r, NODES);

		op->file = t->node[n].used ? n : 0;
	}
}

static int op_predict_rename(const struct t_tree *t, const struct op *op)
{
	int src = t->node[op->dir[0]].child[op->name[0]],
	    dst = t->node[op->dir[1]].child[op->name[1]];
	bool exchange = op->flags & MBFS_RENAME_EXCHANGE;

	if (src < 0)
		return -ENOENT;
	if (dst >= 0 && (op->flags & MBFS_RENAME_NOREPLACE))
		return -EEXIST;
	if (dst < 0 && exchange)
		return -ENOENT;
	if (op->dir[0] != op->dir[1]) {
		if (is_dir(t, src) && is_above(t, op->dir[1], src))
			return -EINVAL;
		if (is_dir(t, dst) && is_above(t, op->dir[0], dst))
			return exchange ? -EINVAL : -ENOTEMPTY;
	}
	if (dst < 0 || exchange)
		return 0;
	if (is_dir(t, src) != is_dir(t, dst))
		return is_dir(t, dst) ? -EISDIR : -ENOTDIR;
	return is_dir(t, dst) && dst != src && !is_empty(t, dst) ? -ENOTEMPTY : 0;
}

static int op_predict(const struct t_tree *t, const struct op *op)
{
	int at = t->node[op->dir[0]].child[op->name[0]];

	switch (op->kind) {
	case OP_CREATE:
		return at >= 0 ? -EEXIST : 0;
	case OP_LINK:
		return is_dir(t, op->file) ? -EPERM : at >= 0 ? -EEXIST : 0;
	case OP_UNLINK:
		return at < 0 ? -ENOENT : is_dir(t, at) ? -EISDIR : 0;
	case OP_RMDIR:
		return at < 0            ? -ENOENT
		       : !is_dir(t, at)  ? -ENOTDIR
		       : is_empty(t, at) ? 0
					 : -ENOTEMPTY;
	default:
		return op_predict_rename(t, op);
	}
}

static void node_drop(struct t_tree *t, int n)
{
	if (is_dir(t, n)) {
		t->node[t->node[n].parent].links--;
		t->node[n].used = false;
	} else if (--t->node[n].links == 0) {
		t->node[n].used = false;
	}
}

static void node_move(struct t_tree *t, int n, int to)
{
	if (!is_dir(t, n))
		return;
	t->node[t->node[n].parent].links--;
	t->node[n].parent = to;
	t->node[to].links++;
}

static void op_apply_rename(struct t_tree *t, const struct op *op)
{
	int *from = &t->node[op->dir[0]].child[op->name[0]],
	    *to = &t->node[op->dir[1]].child[op->name[1]];
	int src = *from, dst = *to;

	if (src == dst)
		return;
	*to = src;
	if (op->flags & MBFS_RENAME_EXCHANGE) {
		*from = dst;
		node_move(t, dst, op->dir[0]);
	} else {
		*from = -1;
		if (dst >= 0)
			node_drop(t, dst);
	}
	node_move(t, src, op->dir[1]);
}

static void op_apply(struct t_tree *t, const struct op *op, mbfs_ino_t ino)
{
	int *at = &t->node[op->dir[0]].child[op->name[0]], n;

	switch (op->kind) {
	case OP_CREATE:
		n = node_new(t);
		t->node[n] = (struct node){ .used = true,
					    .type = op->type,
					    .ino = ino,
					    .parent = op->dir[0],
					    .links = !S_ISDIR(op->type) };
		strcpy(t->node[n].target, op->target);
		for (unsigned i = 0; i < DIR_NAMES; i++)
			t->node[n].child[i] = -1;
		if (S_ISDIR(op->type))
			t->node[op->dir[0]].links++;
		*at = n;
		break;
	case OP_LINK:
		*at = op->file;
		t->node[op->file].links++;
		break;
	case OP_UNLINK:
	case OP_RMDIR:
		node_drop(t, *at);
		*at = -1;
		break;
	default:
		op_apply_rename(t, op);
	}
}

/* ---- the real thing ---- */

static struct inode *get(struct t_tree *t, int n)
{
	struct inode *in;

	/* A planned fault may strike this once: it is not what is under test. */
	if (inode_get(t->root->env, t->node[n].ino, &in))
		ck_assert_int_eq(inode_get(t->root->env, t->node[n].ino, &in), 0);
	return in;
}

static int op_do(struct inode *dir[2], struct inode *file, const struct op *op, mbfs_ino_t *ino)
{
	static const struct mbfs_cred cred = { 1000, 100, 022 };
	char name[2][260];
	struct inode *in;
	int err;

	name_of(op->name[0], name[0]);
	name_of(op->name[1], name[1]);
	switch (op->kind) {
	case OP_CREATE:
		err = namei_create(dir[0], &cred, name[0], op->type | 0755,
				   S_ISCHR(op->type) ? 0x103 : 0,
				   S_ISLNK(op->type) ? op->target : NULL, &in);
		if (!err) {
			*ino = in->ino;
			inode_put(in);
		}
		return err;
	case OP_LINK:
		return namei_link(file, dir[0], name[0], 0);
	case OP_UNLINK:
		return namei_unlink(dir[0], name[0]);
	case OP_RMDIR:
		return namei_rmdir(dir[0], name[0]);
	default:
		return namei_rename(dir[0], name[0], dir[1], name[1], op->flags, 0);
	}
}

/* A fresh operation, but not one that would overflow the twin. */
static void op_next(struct t_tree *t, struct rt_rand *r, struct op *op)
{
	op_pick(t, r, op);
	while (op->kind == OP_CREATE && node_new(t) < 0)
		op_pick(t, r, op);
}

static void step(struct t_tree *t, struct rt_rand *r, void (*arm)(void *), bool (*disarm)(void *),
		 void *arg)
{
	struct inode *dir[2], *file = NULL;
	mbfs_ino_t ino = 0;
	struct op op;
	bool struck = false;
	int err, want;

	op_next(t, r, &op);
	want = op_predict(t, &op);
	dir[0] = get(t, op.dir[0]);
	dir[1] = get(t, op.dir[1]);
	if (op.kind == OP_LINK)
		file = get(t, op.file);
	if (arm)
		arm(arg);
	err = op_do(dir, file, &op, &ino);
	if (disarm)
		struck = disarm(arg);
	ck_assert_msg(err == want || (struck && (err == -EIO || err == -ENOMEM)),
		      "operation %d: result %d, not %d", (int)op.kind, err, want);
	if (!err)
		op_apply(t, &op, ino);
	inode_put(dir[0]);
	inode_put(dir[1]);
	if (file)
		inode_put(file);
}

void t_tree_step(struct t_tree *t, struct rt_rand *r)
{
	step(t, r, NULL, NULL, NULL);
}

void t_tree_step_faulty(struct t_tree *t, struct rt_rand *r, void (*arm)(void *arg),
			bool (*disarm)(void *arg), void *arg)
{
	step(t, r, arm, disarm, arg);
}

/* ---- compare ---- */

struct listing {
	const struct t_tree *t;
	int dir;
	unsigned nr;
	bool lost_found;
};

static bool listed(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		   uint64_t next)
{
	struct listing *l = arg;

	(void)d_type, (void)next;
	if (len <= 2 && !memcmp(name, "..", len)) {
		int want = len == 1 || !l->dir ? l->dir : l->t->node[l->dir].parent;

		ck_assert_uint_eq(ino, l->t->node[want].ino);
		return true;
	}
	if (len == 10 && !memcmp(name, "lost+found", 10)) {
		l->lost_found = true;
		return true;
	}
	for (unsigned i = 0; i < DIR_NAMES; i++) {
		char want[260];
		int n = l->t->node[l->dir].child[i];

		name_of(i, want);
		if (strlen(want) != len || memcmp(want, name, len))
			continue;
		ck_assert_int_ge(n, 0);
		ck_assert_uint_eq(ino, l->t->node[n].ino);
		l->nr++;
		return true;
	}
	ck_abort_msg("a name that nobody made: %.*s", (int)len, name);
}

static void check_node(struct t_tree *t, int n)
{
	const struct node *node = &t->node[n];
	struct inode *in = get(t, n);
	struct listing l = { .t = t, .dir = n };
	unsigned want = 0;
	char buf[4096];

	ck_assert_uint_eq(in->mode & S_IFMT, node->type);
	if (S_ISLNK(node->type)) {
		ck_assert_int_eq(namei_readlink(in, buf, sizeof(buf)), 0);
		ck_assert_str_eq(buf, node->target);
	}
	if (S_ISDIR(node->type)) {
		rt_read_lock(&in->rw);
		ck_assert_int_eq(dir_iterate(in, 0, listed, &l), 0);
		rt_read_unlock(&in->rw);
		for (unsigned i = 0; i < DIR_NAMES; i++)
			want += node->child[i] >= 0;
		ck_assert_uint_eq(l.nr, want);
	}
	ck_assert_uint_eq(in->nlink,
			  S_ISDIR(node->type) ? 2 + node->links + l.lost_found : node->links);
	inode_put(in);
}

void t_tree_check(struct t_tree *t)
{
	for (int n = 0; n < NODES; n++) {
		if (t->node[n].used)
			check_node(t, n);
	}
}
