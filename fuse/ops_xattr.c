// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes, and the two virtual ones through which a live mount is inspected
 * (mbfs-stat): on the root directory, readable by whoever may read it, never listed, never stored:
 *
 *	user.mbfs.stats		one JSON object: mbfs_fs_stats_json(), and "requests": how
 *				many of a kind are under way, and at most were
 *	user.mbfs.groups.N	{"groups":[...],"next":M}: block groups from N on, as many as fit;
 *				next is 0 after the last one
 */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VIRTUAL_PREFIX "user.mbfs."
#define STATS_NAME     "stats"
#define GROUPS_PREFIX  "groups."
#define TRUSTED_PREFIX "trusted."
#define ACL_PREFIX     "system.posix_acl_"

enum {
	XATTR_BYTES_MAX = 65536,
	GROUP_BYTES_MAX = 512, /* one group's text is shorter */
	REQUESTS_BYTES_MAX = 512, /* flights_text() is shorter */
	PROBE_SLACK = 512,     /* counters grow between asking for the size and reading */
};

static bool is_virtual(fuse_ino_t ino, const char *name)
{
	return ino == FUSE_ROOT_ID && !strncmp(name, VIRTUAL_PREFIX, strlen(VIRTUAL_PREFIX));
}

static bool acl_refused(fuse_req_t req, const char *name)
{
	struct daemon *d = daemon_of(req);

	return !d->acl && !d->opts->fakeroot && !strncmp(name, ACL_PREFIX, strlen(ACL_PREFIX));
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	struct mbfs_cred cred = cred_of(req);

	if (is_virtual(ino, name))
		reply_err(req, -EPERM);
	else if (acl_refused(req, name))
		reply_err(req, -EOPNOTSUPP);
	else
		reply_err(req, mbfs_fs_setxattr(fs_of(req), &cred, ino_of(ino), name, value, size,
						(unsigned)flags));
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mbfs_cred cred = cred_of(req);

	if (is_virtual(ino, name))
		reply_err(req, -EPERM);
	else if (acl_refused(req, name))
		reply_err(req, -EOPNOTSUPP);
	else
		reply_err(req, mbfs_fs_removexattr(fs_of(req), &cred, ino_of(ino), name));
}

static size_t group_text(char *to, mbfs_grp_t grp, const struct mbfs_alloc_group_info *g)
{
	int len = snprintf(to, GROUP_BYTES_MAX,
			   "{\"group\":%" PRIu32 ",\"loaded\":%d,\"bad\":%d,\"free\":%" PRIu32
			   ",\"fragments\":%" PRIu32 ",\"first\":%" PRIu32 ",\"counts\":[",
			   grp, g->loaded, g->bad, g->free_nr, g->fragments, g->first_free);

	for (size_t i = 0; i < sizeof(g->counts) / sizeof(g->counts[0]); i++)
		len += snprintf(to + len, GROUP_BYTES_MAX - (size_t)len, "%s%" PRIu32, i ? "," : "",
				g->counts[i]);
	len += snprintf(to + len, GROUP_BYTES_MAX - (size_t)len, "]}");
	return (size_t)len;
}

static char *groups_text(struct mbfs_fs *fs, const char *from)
{
	const size_t room = XATTR_BYTES_MAX - PROBE_SLACK;
	char *text = malloc(XATTR_BYTES_MAX), *end;
	unsigned long grp = strtoul(from, &end, 10);
	struct mbfs_alloc_group_info info;
	size_t len;
	int err = 0;

	if (!text || end == from || *end) {
		free(text);
		return NULL;
	}
	len = (size_t)snprintf(text, room, "{\"groups\":[");
	for (bool first = true; len + GROUP_BYTES_MAX + 64 < room; first = false, grp++) {
		err = grp > UINT32_MAX
			      ? -ERANGE
			      : mbfs_alloc_group_info(mbfs_fs_alloc(fs), (mbfs_grp_t)grp, &info);
		if (err)
			break;
		if (!first)
			text[len++] = ',';
		len += group_text(text + len, (mbfs_grp_t)grp, &info);
	}
	snprintf(text + len, room - len, "],\"next\":%lu}", err ? 0 : grp);
	return text;
}

/* The library's object with one more member: the daemon's "requests". */
static char *stats_text(struct daemon *d)
{
	char *inner = mbfs_fs_stats_json(d->fs), *text = NULL;
	size_t len = inner ? strlen(inner) : 0, room = len + REQUESTS_BYTES_MAX;
	int n;

	if (len)
		text = malloc(room);
	if (text) {
		n = snprintf(text, room, "%.*s,\"requests\":{", (int)len - 1, inner);
		n += flights_text(&d->flights, text + n, room - (size_t)n);
		snprintf(text + n, room - (size_t)n, "}}");
	}
	mbfs_fs_string_free(inner);
	return text;
}

static void virtual_getxattr(fuse_req_t req, const char *name, size_t size)
{
	char *text = NULL;
	size_t len;

	name += strlen(VIRTUAL_PREFIX);
	if (!strcmp(name, STATS_NAME))
		text = stats_text(daemon_of(req));
	else if (!strncmp(name, GROUPS_PREFIX, strlen(GROUPS_PREFIX)))
		text = groups_text(fs_of(req), name + strlen(GROUPS_PREFIX));
	if (!text) {
		reply_err(req, -ENODATA);
		return;
	}
	len = strlen(text);
	if (!size)
		fuse_reply_xattr(req, len + PROBE_SLACK);
	else if (size < len)
		reply_err(req, -ERANGE);
	else
		fuse_reply_buf(req, text, len);
	free(text);
}

/* Names that only root may know go; returns what is left. The kernel does not filter for us. */
static size_t names_filter(char *names, size_t bytes)
{
	size_t to = 0;

	for (size_t at = 0, len; at < bytes; at += len) {
		len = strlen(names + at) + 1;
		if (!strncmp(names + at, TRUSTED_PREFIX, strlen(TRUSTED_PREFIX)))
			continue;
		memmove(names + to, names + at, len);
		to += len;
	}
	return to;
}

/* @list: names, not a value. */
static void xattr_read(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size, bool list)
{
	char *buf = NULL;
	ssize_t got;

	if (size > XATTR_BYTES_MAX)
		size = XATTR_BYTES_MAX;
	if (size && !(buf = malloc(size))) {
		reply_err(req, -ENOMEM);
		return;
	}
	got = list ? mbfs_fs_listxattr(fs_of(req), ino_of(ino), buf, size)
		   : mbfs_fs_getxattr(fs_of(req), ino_of(ino), name, buf, size);
	if (list && got > 0 && size && fuse_req_ctx(req)->uid != 0)
		got = (ssize_t)names_filter(buf, (size_t)got);
	if (got < 0)
		reply_err(req, (int)got);
	else if (!size)
		fuse_reply_xattr(req, (size_t)got);
	else
		fuse_reply_buf(req, buf, (size_t)got);
	free(buf);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (is_virtual(ino, name))
		virtual_getxattr(req, name, size);
	else
		xattr_read(req, ino, name, size, false);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	xattr_read(req, ino, NULL, size, true);
}
