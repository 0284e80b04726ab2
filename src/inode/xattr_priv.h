/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/xattr_priv.h - what the attribute files share.
 *
 * xattr_area.c  the bytes: lists of entries, areas of them, names, ACLs; pure functions
 * xattr.c       the attributes of an inode
 */
#ifndef INODE_XATTR_PRIV_H
#define INODE_XATTR_PRIV_H

#include "disk/xattr_codec.h"
#include "inode/inode.h"

extern const struct buf_kind xattr_block_kind;

/*
 * The place of some attributes: in a block or in an inode. Entries are at base + first ... and
 * values end at base + bytes; value offsets count from base.
 */
struct xattr_area {
	uint8_t *base;
	uint32_t first; /* of the first entry, in bytes */
	uint32_t bytes;
	bool in_block;
};

/* Entries in memory. */
struct xattr_list {
	uint32_t nr, room;
	struct xattr_entry *entry;
};

/* Entries and values lie inside the area, entries end: 0 or -EUCLEAN. */
int xattr_area_verify(const struct xattr_area *a);
int xattr_block_verify(const uint8_t *block, uint32_t bytes);
/* The number of entries of a verified area. */
uint32_t xattr_area_count(const struct xattr_area *a);
/* Append the entries of a verified area; there is room in the list. */
void xattr_area_read(const struct xattr_area *a, struct xattr_list *list);
/* True if the list fits. */
bool xattr_area_fits(const struct xattr_area *a, const struct xattr_list *list);
/*
 * Write the list as the area's whole content behind its header; it fits. The entries may not point
 * into the area. In a block they are sorted first, and get their hashes.
 */
void xattr_area_write(const struct xattr_area *a, struct xattr_list *list);
/* The hash of a block's entries for its header: 0 if one of them has none. */
uint32_t xattr_list_hash(const struct xattr_list *list);

/* The entry with this name, or NULL. */
struct xattr_entry *xattr_list_find(const struct xattr_list *list, uint8_t index, const char *name,
				    size_t len);
void xattr_list_del(struct xattr_list *list, struct xattr_entry *e);

/* Split a full name into index and rest. -EOPNOTSUPP a prefix that is not kept here; -ERANGE;
 * -EINVAL. */
int xattr_name_parse(const char *name, uint8_t *index, const char **rest, size_t *len);
/* The prefix of an index, or NULL: not shown. */
const char *xattr_prefix(uint8_t index);

/*
 * An ACL as it lies on disk (version 1) as the value of system.posix_acl_* (version 2)
 * @out: [out] may be NULL to ask for the size
 * Returns bytes, or -EUCLEAN; -ERANGE @room too small.
 */
ssize_t xattr_acl_to_user(const uint8_t *value, uint32_t bytes, uint8_t *out, size_t room);
/* The other way; @out has room for @bytes. Returns bytes, or -EINVAL. */
ssize_t xattr_acl_from_user(const uint8_t *value, size_t bytes, uint8_t *out);

#endif
