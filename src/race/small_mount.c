// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a write on a whole mounted file system, 256 KiB small. A starts a write of one block
 * of a file and goes on; B waits until the call has returned, and then:
 *
 *   STALE     truncates the file to nothing, allocates the block anew and reads: no byte of A's may
 *             show, and in the end no data be found. A's write is into an unwritten block
 *   TRUNCATE  truncates while A's direct write is with a device of threads: the seed's deadlock
 *   UAF       removes the name; A's write is into a written block, and A closes the file when it is
 *             over: no work may be left for an inode that is gone
 *
 * In the check the equations must hold, and the file system unmounts clean.
 */
#include "race/small.h"

#include <mbfs/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/sync.h"

enum { STALE, TRUNCATE, UAF };
enum { ROOT_INO = 2, IMAGE_BYTES = 256 << 10, BLOCK_BYTES = 1024 };

#define MKFS "-q -F -b 1024 -N 32 -O ^has_journal,^resize_inode"

struct state {
	struct mbfs_bdev *disk, *pool; /* pool: TRUNCATE */
	struct mbfs_fs *fs;
	mbfs_ino_t ino;
	struct mbfs_file *f[2];
	char bytes[BLOCK_BYTES];
	rt_u32 started, over; /* [atomic] of A's write */
	struct rt_event moved;
};

static const struct mbfs_cred cred;

static bool fine(struct small_run *r, const char *what, int64_t err)
{
	if (err >= 0 || r->faults)
		return err >= 0;
	small_fail(r, "%s: %s", what, strerror((int)-err));
	return false;
}

/* ---- set-up ---- */

static bool mount(struct small_run *r, struct state *s)
{
	struct mbfs_diag diag = { "" }, notes = { "" };
	bool pool = r->s->shape == TRUNCATE;
	struct mbfs_mount_opts opts;

	mbfs_mount_opts_default(&opts);
	opts.tune.cpus = 2;
	opts.endio = r->variant;
	opts.cache_bytes = 1 << 20;
	if (small_device(r, &s->disk) || (pool && mbfs_bdev_open_pool(s->disk, 1, &s->pool)) ||
	    mbfs_fs_mount(pool ? s->pool : s->disk, &opts, &diag, &notes, &s->fs)) {
		small_fail(r, "cannot mount: %s", diag.text);
		return false;
	}
	return true;
}

static void setup(struct small_run *r)
{
	int flags = r->s->shape == TRUNCATE ? O_RDWR | O_DIRECT : O_RDWR;
	struct state *s = r->state;
	struct mbfs_attr attr;

	rt_event_init(&s->moved);
	if (!mount(r, s) ||
	    !fine(r, "mknod",
		  mbfs_fs_mknod(s->fs, &cred, ROOT_INO, "file", S_IFREG | 0644, 0, &attr)))
		return;
	s->ino = attr.ino;
	for (unsigned i = 0; i < 2; i++)
		fine(r, "open", mbfs_file_open(s->fs, s->ino, flags, &s->f[i]));
	if (r->s->shape == UAF) {
		fine(r, "write", mbfs_file_write(s->f[0], &cred, s->bytes, BLOCK_BYTES, 0));
		mbfs_file_release(s->f[1]);
		mbfs_fs_forget(s->fs, s->ino, 1);
	} else {
		fine(r, "fallocate", mbfs_file_fallocate(s->f[0], &cred, 0, 0, BLOCK_BYTES, NULL));
	}
	memset(s->bytes, 'A', BLOCK_BYTES);
}

/* ---- threads ---- */

static void set(struct state *s, rt_u32 *what)
{
	rt_u32_set_release(what, 1);
	rt_event_signal(&s->moved);
}

static void wait_for(struct state *s, rt_u32 *what)
{
	uint32_t key;

	for (;;) {
		key = rt_event_key(&s->moved);
		if (rt_u32_read_acquire(what))
			return;
		rt_event_wait(&s->moved, key);
	}
}

static void answered(struct small_run *r, ssize_t put)
{
	if (fine(r, "write", put) && put != BLOCK_BYTES)
		small_fail(r, "%zd of %d bytes were written", put, BLOCK_BYTES);
}

static void done(void *arg, ssize_t put)
{
	struct small_run *r = arg;

	answered(r, put);
	set(r->state, &((struct state *)r->state)->over);
}

static void writer(struct small_run *r)
{
	struct state *s = r->state;
	ssize_t put =
		mbfs_file_write_start(s->f[0], &cred, s->bytes, BLOCK_BYTES, 0, NULL, done, r);

	if (put != -EINPROGRESS) {
		answered(r, put);
		set(s, &s->over);
	}
	set(s, &s->started);
	wait_for(s, &s->over);
	mbfs_file_release(s->f[0]);
}

/* The file has a block again, and nobody has written to it. */
static void look(struct small_run *r, struct mbfs_file *f)
{
	char back[BLOCK_BYTES];
	ssize_t n = mbfs_file_read(f, back, BLOCK_BYTES, 0);

	if (!fine(r, "read", n))
		return;
	for (ssize_t i = 0; i < n; i++)
		if (back[i]) {
			small_fail(r, "stale bytes: %c from before the truncate", back[i]);
			return;
		}
}

static void other(struct small_run *r)
{
	struct state *s = r->state;

	wait_for(s, &s->started);
	if (r->s->shape == UAF) {
		fine(r, "unlink", mbfs_fs_unlink(s->fs, ROOT_INO, "file"));
		return;
	}
	fine(r, "truncate", mbfs_file_truncate(s->f[1], 0));
	if (r->s->shape != STALE)
		return;
	fine(r, "fallocate", mbfs_file_fallocate(s->f[1], &cred, 0, 0, BLOCK_BYTES, NULL));
	look(r, s->f[1]);
}

static void thread(struct small_run *r, unsigned me)
{
	if (!((struct state *)r->state)->fs)
		return;
	if (me == 0)
		writer(r);
	else
		other(r);
}

/* ---- check ---- */

static void check_after_free(struct small_run *r, struct state *s)
{
	char *json = mbfs_fs_stats_json(s->fs);

	if (json && !strstr(json, "\"after_free\":0"))
		small_fail(r, "the inode is gone and its work is still to run: use after free");
	mbfs_fs_string_free(json);
}

static void check(struct small_run *r)
{
	struct mbfs_diag diag = { "" };
	struct state *s = r->state;

	if (!s->fs)
		return;
	if (r->s->shape == UAF) {
		check_after_free(r, s);
	} else {
		look(r, s->f[1]);
		/* Nothing is under way any more, which would count as data. */
		if (mbfs_file_seek(s->f[1], 0, SEEK_DATA) != -ENXIO)
			small_fail(r, "stale data: a block is written, and nobody wrote to it");
		mbfs_file_release(s->f[1]);
		mbfs_fs_forget(s->fs, s->ino, 1);
	}
	if (mbfs_fs_check(s->fs, &diag))
		small_fail(r, "the equations do not hold: %s", diag.text);
	fine(r, "unmount", mbfs_fs_unmount(s->fs));
	mbfs_bdev_close(s->pool);
	small_device_done(r, s->disk);
	mbfs_bdev_close(s->disk);
}

#define ROW(name_, shape_, summary_)                                                         \
	{                                                                                    \
		.name = name_, .summary = summary_, .family = &race_endio, .threads = 2,     \
		.shape = shape_, .state_bytes = sizeof(struct state), .mkfs = MKFS,          \
		.image_bytes = IMAGE_BYTES, .setup = setup, .thread = thread, .check = check \
	}

const struct small_scenario small_mount[] = {
	ROW("mount-truncate", TRUNCATE, "truncate and a direct write, on a mounted file system"),
	ROW("mount-stale", STALE, "truncate, fallocate and a late conversion, likewise"),
	ROW("mount-uaf", UAF, "a write into a written block, close, unlink, likewise"),
	{ .name = NULL },
};
