// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-null: the limit of the transport, as a peer for mbfs-bench. A FUSE file system with mbfs's
 * session settings that keeps names, modes and sizes in memory, answers at once, throws data away
 * and forgets everything at its end. What it reaches no FUSE file system can pass.
 *
 * Concurrency: a node is found through one of BUCKETS chains, each with a lock (RANK_NONE, one at a
 * time). Nodes are never given back, so that a number stays good without counting.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fuse_lowlevel.h>

#include "fuse/protocol.h"
#include "rt/sync.h"

enum {
	NODES_MAX = 4 << 20,
	BUCKETS = 4096,
	NAME_BYTES = 40,
	CACHE_SECONDS = 3600,
	REQUEST_BYTES_MAX = 1 << 20,
	BACKGROUND = 256,
};

struct node {
	uint64_t parent; /* [const] */
	char name[NAME_BYTES]; /* [const] */
	uint32_t mode; /* [const] */
	rt_u64 size; /* [atomic] */
	struct node *next; /* [bucket lock] */
};

struct bucket {
	struct rt_mutex lock;
	struct node *first; /* [lock] */
};

struct null_fs {
	struct protocol protocol;
	struct node *nodes; /* mapped, and only touched as far as used; inode number = index */
	rt_u64 used;	    /* [atomic] */
	struct bucket buckets[BUCKETS];
	char zeros[REQUEST_BYTES_MAX]; /* [const] what every file reads as */
};

static struct null_fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct bucket *bucket_of(struct null_fs *fs, uint64_t parent, const char *name)
{
	uint64_t hash = 14695981039346656037ull ^ parent;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 1099511628211ull;
	return &fs->buckets[(hash ^ hash >> 32) % BUCKETS];
}

static void attr_of(struct null_fs *fs, uint64_t ino, struct stat *st)
{
	const struct node *n = &fs->nodes[ino];

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = n->mode;
	st->st_nlink = S_ISDIR(n->mode) ? 2 : 1;
	st->st_size = (off_t)rt_u64_read(&n->size);
	st->st_blksize = 4096;
}

static void entry_of(struct null_fs *fs, const struct node *n, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){ .ino = (uint64_t)(n - fs->nodes),
					.attr_timeout = CACHE_SECONDS,
					.entry_timeout = CACHE_SECONDS };
	attr_of(fs, e->ino, &e->attr);
}

static struct node *find_locked(const struct bucket *b, uint64_t parent, const char *name)
{
	struct node *n = b->first;

	while (n && (n->parent != parent || strcmp(n->name, name) != 0))
		n = n->next;
	return n;
}

/* As mbfs's, but for what this file system has no use for. */
static void null_init(void *userdata, struct fuse_conn_info *conn)
{
	struct null_fs *fs = userdata;

	fs->protocol.init_reply = true;
	conn->max_write = REQUEST_BYTES_MAX;
	conn->max_readahead = REQUEST_BYTES_MAX;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND * 3 / 4;
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct null_fs *fs = fs_of(req);
	struct bucket *b = bucket_of(fs, parent, name);
	struct fuse_entry_param e;
	struct node *n;

	rt_mutex_lock(&b->lock);
	n = find_locked(b, parent, name);
	rt_mutex_unlock(&b->lock);
	if (!n) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry_of(fs, n, &e);
	fuse_reply_entry(req, &e);
}

/* 0 or an errno. */
static int make(struct null_fs *fs, uint64_t parent, const char *name, mode_t mode,
		struct fuse_entry_param *e)
{
	struct bucket *b = bucket_of(fs, parent, name);
	uint64_t ino = rt_u64_add_return(&fs->used, 1);
	struct node *n = &fs->nodes[ino];

	if (ino >= NODES_MAX)
		return ENOSPC;
	if (strlen(name) >= NAME_BYTES)
		return ENAMETOOLONG;
	n->parent = parent;
	n->mode = mode;
	strcpy(n->name, name);
	rt_mutex_lock(&b->lock);
	n->next = b->first;
	b->first = n;
	rt_mutex_unlock(&b->lock);
	entry_of(fs, n, e);
	return 0;
}

static void null_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	int err = make(fs_of(req), parent, name, mode, &e);

	if (err)
		fuse_reply_err(req, err);
	else
		reply_create(req, &e, fi);
}

static void null_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fuse_entry_param e;
	int err = make(fs_of(req), parent, name, mode | S_IFDIR, &e);

	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_entry(req, &e);
}

static void null_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct bucket *b = bucket_of(fs_of(req), parent, name);
	struct node *n, **link;

	rt_mutex_lock(&b->lock);
	n = find_locked(b, parent, name);
	for (link = &b->first; n && *link != n; link = &(*link)->next)
		;
	if (n)
		*link = n->next;
	rt_mutex_unlock(&b->lock);
	fuse_reply_err(req, n ? 0 : ENOENT);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	attr_of(fs_of(req), ino, &st);
	fuse_reply_attr(req, &st, CACHE_SECONDS);
}

static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	if (to_set & FUSE_SET_ATTR_SIZE)
		rt_u64_set(&fs_of(req)->nodes[ino].size, (uint64_t)attr->st_size);
	null_getattr(req, ino, fi);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	reply_open(req, fi);
}

static void grow(struct null_fs *fs, fuse_ino_t ino, uint64_t end)
{
	if (rt_u64_read(&fs->nodes[ino].size) < end)
		rt_u64_set(&fs->nodes[ino].size, end);
}

static void null_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)buf, (void)fi;
	grow(fs_of(req), ino, (uint64_t)off + size);
	fuse_reply_write(req, size);
}

static void null_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			   struct fuse_file_info *fi)
{
	(void)mode, (void)fi;
	grow(fs_of(req), ino, (uint64_t)(off + len));
	fuse_reply_err(req, 0);
}

static void null_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, 0);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	struct null_fs *fs = fs_of(req);
	uint64_t end = rt_u64_read(&fs->nodes[ino].size);

	(void)fi;
	if ((uint64_t)off >= end)
		size = 0;
	else if (size > end - (uint64_t)off)
		size = (size_t)(end - (uint64_t)off);
	fuse_reply_buf(req, fs->zeros, size);
}

static const struct fuse_lowlevel_ops null_ops = {
	.init = null_init,
	.read = null_read,
	.lookup = null_lookup,
	.getattr = null_getattr,
	.setattr = null_setattr,
	.mkdir = null_mkdir,
	.create = null_create,
	.unlink = null_remove,
	.rmdir = null_remove,
	.open = null_open,
	.write = null_write,
	.fallocate = null_fallocate,
	.release = null_release,
	/* No getxattr and no flush: the kernel stops asking, as for no file system with attributes.
	 */
};

static int serve(struct null_fs *fs, const char *mountpoint)
{
	char *argv[] = { "mbfs-null", "-o", "rw,default_permissions,subtype=mbfs-null", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *se = fuse_session_new(&args, &null_ops, sizeof(null_ops), fs);
	struct fuse_loop_config *cfg = protocol_threads(128);
	int err = 1;

	if (se && cfg && !fuse_set_signal_handlers(se)) {
		if (!fuse_session_mount(se, mountpoint)) {
			err = protocol_take_over(se) || fuse_session_loop_mt(se, cfg) < 0;
			fuse_session_unmount(se);
		}
		fuse_remove_signal_handlers(se);
	}
	if (cfg)
		fuse_loop_cfg_destroy(cfg);
	if (se)
		fuse_session_destroy(se);
	return err;
}

int main(int argc, char **argv)
{
	struct null_fs *fs;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr,
			"Usage: mbfs-null MOUNTPOINT\nIn the foreground; keeps nothing. A peer for "
			"mbfs-bench.\n");
		return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 1;
	}
	fs = calloc(1, sizeof(*fs));
	if (fs)
		fs->nodes = mmap(NULL, NODES_MAX * sizeof(*fs->nodes), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!fs || fs->nodes == MAP_FAILED) {
		fprintf(stderr, "mbfs-null: out of memory\n");
		return 1;
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		rt_mutex_init(&fs->buckets[i].lock, RANK_NONE);
	fs->nodes[FUSE_ROOT_ID].mode = S_IFDIR | 0755;
	rt_u64_set(&fs->used, FUSE_ROOT_ID);
	return serve(fs, argv[1]);
}
