// SPDX-License-Identifier: GPL-2.0-only
/*
 * A whole mounted file system, small: two or three users at one directory of a 256 KiB image.
 *
 *   FILES     each makes a file of its own, fallocates, writes, renames and removes or keeps it
 *   ONE_FILE  all at one file: one writes, one truncates, one fallocates and reads
 *   NAMES     two names go to and fro: rename over each other, exchange, link, unlink
 *   OPEN      a file is written, read and unlinked while it is open elsewhere
 *
 * Everything fits, so no call may answer ENOSPC; what a user wrote to a file of its own it reads
 * again; no byte shows that nobody wrote. (Where memory may fail, calls may fail.) In the check the
 * equations must hold, the file system unmounts clean, and the runner may show the image to e2fsck.
 */
#include "race/small.h"

#include <mbfs/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES, ONE_FILE, NAMES, OPEN };
enum { ROOT_INO = 2, IMAGE_BYTES = 256 << 10, PIECE = 1500, LARGE = 5 * 1024 };

#define MKFS "-q -F -b 1024 -N 32 -O ^has_journal,^resize_inode"

struct state {
	struct mbfs_bdev *dev;
	struct mbfs_fs *fs;
	mbfs_ino_t ino; /* of the file that is there from the start */
	uint64_t bfree; /* when nothing but it is there */
};

static const struct mbfs_cred cred;

/* A call that may answer nothing but 0 and @also (0: nothing else). */
static bool fine(struct small_run *r, const char *what, int64_t err, int also)
{
	if (err >= 0 || err == also || r->faults) /* then what should be there may be missing */
		return err >= 0;
	small_fail(r, "%s: %s", what,
		   err == -ENOSPC ? "ENOSPC although everything fits" : strerror((int)-err));
	return false;
}

/* ---- set-up ---- */

static mbfs_ino_t make(struct small_run *r, const char *name)
{
	struct state *s = r->state;
	struct mbfs_attr attr;

	if (!fine(r, "mknod", mbfs_fs_mknod(s->fs, &cred, ROOT_INO, name, S_IFREG | 0644, 0, &attr),
		  -EEXIST))
		return 0;
	return attr.ino;
}

static void setup(struct small_run *r)
{
	struct mbfs_diag diag = { "" }, notes = { "" };
	struct mbfs_mount_opts opts;
	struct state *s = r->state;
	struct mbfs_statfs st;

	mbfs_mount_opts_default(&opts);
	opts.tune.cpus = 2;
	opts.tune.enospc = r->variant;
	opts.cache_bytes = 1 << 20;
	if (small_device(r, &s->dev) || mbfs_fs_mount(s->dev, &opts, &diag, &notes, &s->fs)) {
		small_fail(r, "cannot mount: %s", diag.text);
		return;
	}
	s->ino = make(r, "there");
	mbfs_fs_statfs(s->fs, &st);
	s->bfree = st.bfree;
}

/* ---- users ---- */

/* @bytes of @fill at @off, and that they are there. Shared: others write to the file as well. */
static void put(struct small_run *r, struct mbfs_file *f, char fill, size_t bytes, uint64_t off,
		bool shared)
{
	char buf[PIECE], back[PIECE];
	ssize_t n;

	memset(buf, fill, bytes);
	n = mbfs_file_write(f, &cred, buf, bytes, off);
	if (!fine(r, "write", n, 0))
		return;
	if (n != (ssize_t)bytes && !r->faults)
		small_fail(r, "%zd of %zu bytes were written", n, bytes);
	if (shared || r->faults)
		return;
	n = mbfs_file_read(f, back, bytes, off);
	if (n != (ssize_t)bytes || memcmp(buf, back, bytes) != 0)
		small_fail(r, "a file does not have what was written to it");
}

/* Every byte was written by somebody, or is zero. */
static void look(struct small_run *r, struct mbfs_file *f)
{
	char buf[PIECE];
	ssize_t n;

	for (uint64_t off = 0; (n = mbfs_file_read(f, buf, sizeof(buf), off)) > 0;
	     off += (uint64_t)n)
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != 0 && (buf[i] < 'A' || buf[i] > 'C')) {
				small_fail(r, "byte %#x that nobody wrote", (unsigned char)buf[i]);
				return;
			}
	fine(r, "read", n, 0);
}

static void files(struct small_run *r, unsigned me)
{
	static const char *const names[] = { "one", "two", "three" }, *const other[] = { "1", "2",
											 "3" };
	struct state *s = r->state;
	mbfs_ino_t ino = make(r, names[me]);
	struct mbfs_file *f;

	if (!ino || !fine(r, "open", mbfs_file_open(s->fs, ino, O_RDWR, &f), 0))
		return;
	if (me != 1)
		fine(r, "fallocate", mbfs_file_fallocate(f, &cred, 0, 0, LARGE, NULL), 0);
	put(r, f, (char)('A' + me), PIECE, 100, false);
	fine(r, "truncate", mbfs_file_truncate(f, 600), 0);
	mbfs_file_release(f);
	fine(r, "rename", mbfs_fs_rename(s->fs, &cred, ROOT_INO, names[me], ROOT_INO, other[me], 0),
	     0);
	if (me != 0)
		fine(r, "unlink", mbfs_fs_unlink(s->fs, ROOT_INO, other[me]), 0);
	mbfs_fs_forget(s->fs, ino, 1);
}

static void one_file(struct small_run *r, unsigned me)
{
	struct state *s = r->state;
	struct mbfs_file *f;

	if (!fine(r, "open", mbfs_file_open(s->fs, s->ino, O_RDWR, &f), 0))
		return;
	if (me == 0) {
		put(r, f, 'A', PIECE, 900, true);
		put(r, f, 'A', 10, LARGE, true);
	} else if (me == 1) {
		fine(r, "truncate", mbfs_file_truncate(f, 1030), 0);
		put(r, f, 'B', 20, 3000, true);
	} else {
		fine(r, "fallocate", mbfs_file_fallocate(f, &cred, 0, 1024, LARGE, NULL), 0);
	}
	look(r, f);
	mbfs_file_release(f);
}

static void names(struct small_run *r, unsigned me)
{
	struct state *s = r->state;
	struct mbfs_attr attr;
	mbfs_ino_t ino;

	if (me == 0) {
		fine(r, "rename",
		     mbfs_fs_rename(s->fs, &cred, ROOT_INO, "there", ROOT_INO, "here", 0), -ENOENT);
		fine(r, "rename",
		     mbfs_fs_rename(s->fs, &cred, ROOT_INO, "here", ROOT_INO, "there", 0), -ENOENT);
		return;
	}
	ino = make(r, "here");
	if (me == 1) {
		fine(r, "exchange",
		     mbfs_fs_rename(s->fs, &cred, ROOT_INO, "here", ROOT_INO, "there",
				    MBFS_RENAME_EXCHANGE),
		     -ENOENT);
		fine(r, "unlink", mbfs_fs_unlink(s->fs, ROOT_INO, "here"), -ENOENT);
	} else if (fine(r, "lookup", mbfs_fs_lookup(s->fs, ROOT_INO, "there", &attr), -ENOENT)) {
		if (fine(r, "link", mbfs_fs_link(s->fs, &cred, attr.ino, ROOT_INO, "link", &attr),
			 -ENOENT))
			mbfs_fs_forget(s->fs, attr.ino, 1);
		mbfs_fs_forget(s->fs, attr.ino, 1);
	}
	if (ino)
		mbfs_fs_forget(s->fs, ino, 1);
}

static void open_file(struct small_run *r, unsigned me)
{
	struct state *s = r->state;
	struct mbfs_file *f;

	if (!fine(r, "open", mbfs_file_open(s->fs, s->ino, O_RDWR, &f), 0))
		return;
	if (me == 0)
		put(r, f, 'A', PIECE, 0, true);
	else
		fine(r, "unlink", mbfs_fs_unlink(s->fs, ROOT_INO, "there"), me == 1 ? 0 : -ENOENT);
	look(r, f);
	mbfs_file_release(f);
}

static void thread(struct small_run *r, unsigned me)
{
	static void (*const users[])(struct small_run * r, unsigned me) = { files, one_file, names,
									    open_file };

	if (((struct state *)r->state)->fs)
		users[r->s->shape](r, me);
}

/* ---- check ---- */

static void check(struct small_run *r)
{
	struct mbfs_diag diag = { "" };
	struct state *s = r->state;
	struct mbfs_statfs st;

	if (!s->fs)
		return;
	mbfs_fs_forget(s->fs, s->ino, 1);
	if (r->s->shape == OPEN && !r->faults) {
		mbfs_fs_statfs(s->fs, &st);
		if (st.bfree != s->bfree)
			small_fail(r, "%llu blocks are free when the only file is gone, not %llu",
				   (unsigned long long)st.bfree, (unsigned long long)s->bfree);
	}
	if (mbfs_fs_check(s->fs, &diag))
		small_fail(r, "the equations do not hold: %s", diag.text);
	fine(r, "unmount", mbfs_fs_unmount(s->fs), 0);
	small_device_done(r, s->dev);
	mbfs_bdev_close(s->dev);
}

#define ROW(name_, threads_, shape_, summary_)                                                   \
	{                                                                                        \
		.name = name_, .summary = summary_, .family = &race_enospc, .threads = threads_, \
		.shape = shape_, .state_bytes = sizeof(struct state), .mkfs = MKFS,              \
		.image_bytes = IMAGE_BYTES, .setup = setup, .thread = thread, .check = check     \
	}

const struct small_scenario small_fs[] = {
	ROW("fs-files", 2, FILES, "2 users of one directory, each with a file of its own"),
	ROW("fs-files-3", 3, FILES, "the same with 3 users"),
	ROW("fs-file", 2, ONE_FILE, "2 users of one file: write, truncate"),
	ROW("fs-file-3", 3, ONE_FILE, "3 users of one file: write, truncate, fallocate"),
	ROW("fs-names", 2, NAMES, "2 users of two names: rename, exchange, unlink"),
	ROW("fs-names-3", 3, NAMES, "3 users: and link"),
	ROW("fs-open", 2, OPEN, "a file is unlinked while it is written and read"),
	{ .name = NULL },
};
