/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of src/extent share. Everything here needs tree->lock; changes need it
 * exclusively. */
#ifndef EXTENT_EXTENT_PRIV_H
#define EXTENT_EXTENT_PRIV_H

#include "disk/extent_codec.h"
#include "extent/extent.h"

/* The last block a file can have is 2^32 - 2: the number after it must fit too. */
#define EXTENT_LBLK_END 0xFFFFFFFFull

/* The nodes from the root (level 0) to a leaf, each with the entry taken; holds a reference per
 * block. */
struct extent_path {
	struct {
		struct buf *buf; /* NULL for the root */
		uint8_t *node;
		int32_t at; /* entry whose key is the last one <= the block looked for; -1: none */
	} level[EXTENT_DEPTH_MAX + 1];
	uint32_t depth; /* level of the leaf */
};

/* path_find - descend to the leaf where @lblk is or would be. Errors: as buf_get(). path_put()
 * after. */
int path_find(struct extent_tree *t, mbfs_lblk_t lblk, struct extent_path *p);
void path_put(struct extent_path *p);
/* The smallest key right of the leaf; EXTENT_LBLK_END if the leaf is the last. */
uint64_t path_next_key(const struct extent_path *p);

/* Changes to the bytes of one level go between these; end marks it dirty. */
void level_begin(struct extent_path *p, uint32_t level);
void level_end(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t level);
/* The leaf's first key has changed: set the keys that lead to it. */
void path_fix_keys(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p);

/*
 * path_make_room - the leaf for @lblk gets room for @need entries; p is found anew
 * Splits one node or grows the tree by one level at a time, each step leaving a valid tree with the
 * same mapping. Errors: -ENOSPC and path_find()'s; p is put then.
 */
int path_make_room(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t need,
		   unsigned flags, struct extent_path *p);

/* Can the nodes that path_delete() would free be freed? Errors: alloc_free_late_ready()'s. */
int path_delete_ready(const struct extent_tree *t, struct mbfs_tx *tx, const struct extent_path *p);
/* Take the leaf's entry out; empty nodes up the path are freed, the root shrinks. */
void path_delete(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t at);
/* Pull what is left in the root's children up into the root while it fits. */
int tree_collapse(struct extent_tree *t, struct mbfs_tx *tx);

/* ---- tree.c: one leaf; the keys above follow ---- */
/* Put a new extent at entry @at of the leaf, which has room. */
void path_insert(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t at,
		 const struct extent_leaf *l);
void path_set(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t at,
	      const struct extent_leaf *l);
/* Merge the leaf's entry @at with its neighbours where that is possible. */
void path_merge(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t at);
/* The first entry that reaches past @lblk: in this leaf, or p moves to the leaf where it is. Puts p
 * on error. */
int path_seek(struct extent_tree *t, mbfs_lblk_t lblk, struct extent_path *p, bool *found);

int indirect_map(struct extent_tree *t, mbfs_lblk_t lblk, uint32_t max_len, struct extent_map *out);
int indirect_remove(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint64_t *next,
		    uint64_t *freed_blks);

#endif
