/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_tree.h - a naive twin of a tree of names, and random operations on it and on inodes at once.
 * The twin predicts every result; t_tree_check() compares the two trees whole. Any failure ends the
 * test.
 */
#ifndef TESTS_SUPPORT_T_TREE_H
#define TESTS_SUPPORT_T_TREE_H

#include "inode/inode.h"

struct t_tree;

/* An empty twin of the directory @root; what is in it already (lost+found) is left alone. */
struct t_tree *t_tree_new(struct inode *root);
void t_tree_free(struct t_tree *t);
/* The same tree in another mount. */
void t_tree_move(struct t_tree *t, struct inode *root);
/* One random operation on both. */
void t_tree_step(struct t_tree *t, struct rt_rand *r);
/*
 * As t_tree_step(), but the real one may fail: then it is compared as before the operation, else
 * after.
 * @failed: a fault was planned
 */
void t_tree_step_faulty(struct t_tree *t, struct rt_rand *r, void (*arm)(void *arg),
			bool (*disarm)(void *arg), void *arg);
void t_tree_check(struct t_tree *t);

#endif
