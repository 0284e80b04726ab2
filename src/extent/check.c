// SPDX-License-Identifier: GPL-2.0-only
/* The whole tree against the rules in tree.c, by walking from leaf to leaf. For tests and tools. */
#include "extent/extent_priv.h"

#include <errno.h>

#include "base/check.h"

/* Every level of a path obeys the rules with the level above. */
static int path_check(const struct extent_tree *t, const struct extent_path *p,
		      struct mbfs_diag *diag)
{
	for (uint32_t i = 0; i <= p->depth; i++) {
		const uint8_t *node = p->level[i].node;

		if (!extent_node_ok(t->env->geo, node,
				    i ? t->env->geo->block_bytes : EXTENT_ROOT_BYTES))
			return diag_set(diag, -EUCLEAN,
					"inode %u: level %u of the extent tree is damaged", t->ino,
					i);
		if (i > 0 && node_key(node, 0) !=
				     node_key(p->level[i - 1].node, (uint32_t)p->level[i - 1].at))
			return diag_set(
				diag, -EUCLEAN,
				"inode %u: index key %u does not match its child's %u", t->ino,
				node_key(p->level[i - 1].node, (uint32_t)p->level[i - 1].at),
				node_key(node, 0));
	}
	return 0;
}

int extent_check(struct extent_tree *t, struct mbfs_diag *diag)
{
	uint64_t lblk = 0, end = 0;
	int err = 0;

	if (!t->mapped)
		return 0;
	rt_read_lock(&t->lock);
	while (!err && lblk < EXTENT_LBLK_END) {
		struct extent_path p;
		const uint8_t *leaf;

		err = path_find(t, (mbfs_lblk_t)lblk, &p);
		if (err)
			break;
		err = path_check(t, &p, diag);
		leaf = p.level[p.depth].node;
		if (!err && node_entries(leaf) > 0) {
			struct extent_leaf last = node_leaf(leaf, node_entries(leaf) - 1);

			if (node_key(leaf, 0) < end)
				err = diag_set(diag, -EUCLEAN, "inode %u: leaves overlap at %llu",
					       t->ino, (unsigned long long)end);
			end = (uint64_t)last.lblk + last.len;
		}
		lblk = path_next_key(&p);
		if (!err && lblk < end)
			err = diag_set(diag, -EUCLEAN, "inode %u: a leaf reaches past key %llu",
				       t->ino, (unsigned long long)lblk);
		path_put(&p);
	}
	rt_read_unlock(&t->lock);
	return err;
}
