/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/acl.h - POSIX ACLs, and what they and the mode do to each other. The essay is in acl.c.
 */
#ifndef INODE_ACL_H
#define INODE_ACL_H

#include "inode/inode.h"

#define ACL_ACCESS_NAME	 "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

/* ---- an ACL as the value of system.posix_acl_* (version 2) ---- */

/* Entries in their order, each kind as often as it should be, a mask if needed. -EINVAL. */
int acl_verify(const uint8_t *acl, size_t bytes);
/* The permissions that a verified ACL gives the mode; *extended: it says more than a mode can. */
mode_t acl_mode(const uint8_t *acl, size_t bytes, bool *extended);
/*
 * As the access ACL of a file made with *mode in a directory with this default ACL: entries and
 * mode limit each other.
 */
void acl_limit(uint8_t *acl, size_t bytes, mode_t *mode);
/* After chmod(2): the entries that the mode shows get its permissions. */
void acl_set_mode(uint8_t *acl, size_t bytes, mode_t mode);

/* ---- of an inode ---- */

/*
 * acl_read - copy of an ACL
 * @out: [out] rt_free(); NULL if the inode has none
 * Errors: those of xattr_get() but -ENODATA.
 */
int acl_read(struct inode *in, const char *name, uint8_t **out, size_t *bytes);
/* The access ACL follows the mode that is about to be set. Caller holds rw exclusively. */
int acl_chmod(struct inode *in, struct mbfs_tx *tx, mode_t mode);

#endif
