// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directory listings. A plain one goes straight from the library's callback into the reply. One
 * with attributes is taken in two steps, because the callback runs with the directory locked and a
 * lookup needs that lock: names first, as many as the reply has room for, then a lookup of each.
 * The kernel counts one lookup for every entry it is sent, so what was not sent is forgotten again.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 256 };

struct listing {
	fuse_req_t req;
	char *buf; /* the reply */
	size_t used, room;
};

struct plus_entry {
	mbfs_ino_t ino;
	uint64_t next_cookie;
	uint8_t d_type;
	bool pinned;
	char name[NAME_BYTES];
};

struct plus_listing {
	struct listing reply;
	struct plus_entry *entries;
	size_t nr, max;
	size_t bytes; /* of the reply that the entries will fill */
};

static void name_copy(char *to, const char *name, size_t len)
{
	if (len > NAME_BYTES - 1)
		len = NAME_BYTES - 1;
	memcpy(to, name, len);
	to[len] = 0;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mbfs_file *f;
	int err = mbfs_file_open(fs_of(req), ino_of(ino), O_RDONLY | O_DIRECTORY, &f);

	if (err) {
		reply_err(req, err);
		return;
	}
	fi->fh = (uintptr_t)f;
	if (fuse_reply_open(req, fi))
		mbfs_file_release(f);
}

static bool plain_emit(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		       uint64_t next_cookie)
{
	struct listing *l = arg;
	struct stat st = { .st_ino = ino, .st_mode = (mode_t)d_type << 12 };
	char text[NAME_BYTES];
	size_t need;

	name_copy(text, name, len);
	need = fuse_add_direntry(l->req, l->buf + l->used, l->room - l->used, text, &st,
				 (off_t)next_cookie);
	if (need > l->room - l->used)
		return false;
	l->used += need;
	return true;
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct listing l = { .req = req, .buf = malloc(size), .room = size };
	int err;

	(void)ino;
	if (!l.buf) {
		reply_err(req, -ENOMEM);
		return;
	}
	err = mbfs_dir_read(file_of(fi), (uint64_t)off, plain_emit, &l);
	/* What was read before an error is good; the next call meets the error again. */
	if (err && !l.used)
		reply_err(req, err);
	else
		fuse_reply_buf(req, l.buf, l.used);
	free(l.buf);
}

static bool plus_emit(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		      uint64_t next_cookie)
{
	struct plus_listing *l = arg;
	struct plus_entry *e;
	size_t need;

	if (l->nr == l->max)
		return false;
	e = &l->entries[l->nr];
	name_copy(e->name, name, len);
	need = fuse_add_direntry_plus(l->reply.req, NULL, 0, e->name, NULL, 0);
	if (l->bytes + need > l->reply.room)
		return false;
	e->ino = ino;
	e->next_cookie = next_cookie;
	e->d_type = d_type;
	e->pinned = false;
	l->bytes += need;
	l->nr++;
	return true;
}

/* Put one name with its attributes into the reply; one that has gone meanwhile is left out. */
static void plus_add(struct plus_listing *l, mbfs_ino_t dir, struct plus_entry *e)
{
	struct listing *r = &l->reply;
	struct fuse_entry_param p = { .attr = { .st_ino = e->ino,
						.st_mode = (mode_t)e->d_type << 12 } };
	struct mbfs_attr attr;
	int err;

	/* Node 0 tells the kernel to make no inode of it: "." and "..", and what cannot be read. */
	if (strcmp(e->name, ".") && strcmp(e->name, "..")) {
		err = mbfs_fs_lookup(fs_of(r->req), dir, e->name, &attr);
		if (err == -ENOENT)
			return;
		if (!err) {
			e->pinned = true;
			e->ino = attr.ino;
			entry_of(&attr, &p);
		}
	}
	r->used += fuse_add_direntry_plus(r->req, r->buf + r->used, r->room - r->used, e->name, &p,
					  (off_t)e->next_cookie);
}

static void plus_reply(struct plus_listing *l)
{
	struct mbfs_fs *fs = fs_of(l->reply.req);

	if (!fuse_reply_buf(l->reply.req, l->reply.buf, l->reply.used))
		return;
	for (size_t i = 0; i < l->nr; i++)
		if (l->entries[i].pinned)
			mbfs_fs_forget(fs, l->entries[i].ino, 1);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct plus_listing l = { .reply = { .req = req, .room = size } };
	uint64_t cookie = (uint64_t)off;
	int err;

	l.max = size / fuse_add_direntry_plus(req, NULL, 0, "x", NULL, 0);
	l.reply.buf = malloc(size);
	l.entries = malloc((l.max + 1) * sizeof(*l.entries));
	if (!l.reply.buf || !l.entries) {
		reply_err(req, -ENOMEM);
		goto out_free;
	}
	/* An empty reply means the end: go on if all names of a step have gone. */
	do {
		l.nr = 0;
		l.bytes = 0;
		err = mbfs_dir_read(file_of(fi), cookie, plus_emit, &l);
		for (size_t i = 0; i < l.nr; i++)
			plus_add(&l, ino_of(ino), &l.entries[i]);
		if (l.nr)
			cookie = l.entries[l.nr - 1].next_cookie;
	} while (!err && l.nr && !l.reply.used);
	if (err && !l.reply.used)
		reply_err(req, err);
	else
		plus_reply(&l);
out_free:
	free(l.entries);
	free(l.reply.buf);
}
