// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files and directories. A file holds a reference on its inode, so an unlinked one lives until
 * its last release. The list of open files serves one purpose: an unmount that comes while files
 * are open (a daemon told to end) releases them, so that unlinked inodes are freed and the image is
 * left clean.
 */
#include "fs/fs_priv.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/mem.h"

static bool wants_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static int open_check(struct mbfs_fs *fs, struct inode *in, int flags)
{
	int err;

	if (inode_is_link(in))
		return -ELOOP;
	if (inode_is_dir(in))
		return wants_write(flags) ? -EISDIR : 0;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if (!wants_write(flags))
		return 0;
	err = fs_writable(fs);
	return err ? err : fs_change_check(in, (flags & O_APPEND) && !(flags & O_TRUNC));
}

int mbfs_file_open(struct mbfs_fs *fs, mbfs_ino_t ino, int flags, struct mbfs_file **out)
{
	struct mbfs_file *f = rt_zalloc(sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->fs = fs;
	f->flags = flags;
	err = fs_inode_get(fs, ino, &f->in);
	if (err)
		goto err_free;
	err = open_check(fs, f->in, flags);
	if (!err && (flags & O_TRUNC) && inode_is_reg(f->in))
		err = file_truncate(f->in, 0);
	if (err)
		goto err_put;
	rt_u32_set(&f->io_errs, rt_u32_read(&f->in->io_errs));
	if (wants_write(flags))
		rt_u32_add_return(&f->in->writers, 1);
	rt_mutex_lock(&fs->files_lock);
	LIST_INSERT_HEAD(&fs->files, f, link);
	rt_mutex_unlock(&fs->files_lock);
	*out = f;
	return 0;

err_put:
	inode_put(f->in);
err_free:
	rt_free(f);
	return fs_seen(fs, err);
}

/* @f is off the list. */
static void file_free(struct mbfs_file *f)
{
	struct inode *in = f->in;

	if (wants_write(f->flags)) {
		uint32_t left = rt_u32_add_return(&in->writers, -1u);

		if (!left)
			file_discard(in);
	}
	inode_put(in);
	rt_free(f);
}

void mbfs_file_release(struct mbfs_file *f)
{
	struct mbfs_fs *fs = f->fs;

	rt_mutex_lock(&fs->files_lock);
	LIST_REMOVE(f, link);
	rt_mutex_unlock(&fs->files_lock);
	file_free(f);
}

void fs_files_release_all(struct mbfs_fs *fs)
{
	struct mbfs_file *f;

	while ((f = LIST_FIRST(&fs->files))) {
		LIST_REMOVE(f, link);
		file_free(f);
	}
}

/* ---- ends of waits ---- */

struct mbfs_intr {
	struct io_cancel cancel;
};

struct mbfs_intr *mbfs_intr_new(void)
{
	struct mbfs_intr *intr = rt_alloc(sizeof(*intr));

	if (intr)
		io_cancel_init(&intr->cancel);
	return intr;
}

void mbfs_intr_raise(struct mbfs_intr *intr)
{
	io_cancel(&intr->cancel);
}

void mbfs_intr_free(struct mbfs_intr *intr)
{
	rt_free(intr);
}

static struct io_cancel *cancel_of(struct mbfs_intr *intr)
{
	return intr ? &intr->cancel : NULL;
}

/* ---- bytes ---- */

ssize_t mbfs_file_read(struct mbfs_file *f, void *buf, size_t bytes, uint64_t off)
{
	ssize_t got;

	if (!inode_is_reg(f->in))
		return inode_is_dir(f->in) ? -EISDIR : -EINVAL;
	got = file_read(f->in, buf, bytes, off);
	if (got < 0)
		fs_seen(f->fs, (int)got);
	return got;
}

static int change_check(struct mbfs_file *f)
{
	if (!inode_is_reg(f->in))
		return inode_is_dir(f->in) ? -EISDIR : -EINVAL;
	if ((f->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return fs_writable(f->fs);
}

static unsigned write_how(const struct mbfs_file *f)
{
	return (f->flags & O_APPEND ? FILE_APPEND : 0) | (f->flags & O_DIRECT ? FILE_DIRECT : 0);
}

ssize_t mbfs_file_write_start(struct mbfs_file *f, const struct mbfs_cred *cred, const void *buf,
			      size_t bytes, uint64_t off, struct mbfs_intr *intr, mbfs_io_done done,
			      void *arg)
{
	ssize_t put = change_check(f);

	if (put)
		return put;
	put = file_write_start(f->in, cred, buf, bytes, off, write_how(f), cancel_of(intr), done,
			       arg);
	if (put < 0 && put != -EINPROGRESS)
		fs_seen(f->fs, (int)put);
	return put;
}

ssize_t mbfs_file_read_start(struct mbfs_file *f, void *buf, size_t bytes, uint64_t off,
			     struct mbfs_intr *intr, mbfs_io_done done, void *arg)
{
	ssize_t got = file_read_start(f->in, buf, bytes, off, cancel_of(intr), done, arg);

	if (got < 0 && got != -EINPROGRESS)
		fs_seen(f->fs, (int)got);
	return got;
}

ssize_t mbfs_file_write(struct mbfs_file *f, const struct mbfs_cred *cred, const void *buf,
			size_t bytes, uint64_t off)
{
	ssize_t put = change_check(f);

	if (put)
		return put;
	put = file_write(f->in, cred, buf, bytes, off, write_how(f));
	if (put < 0)
		fs_seen(f->fs, (int)put);
	return put;
}

int mbfs_file_fallocate(struct mbfs_file *f, const struct mbfs_cred *cred, int mode, uint64_t off,
			uint64_t bytes, struct mbfs_intr *intr)
{
	int err = change_check(f);

	if (err)
		return err;
	return fs_seen(f->fs, file_fallocate(f->in, cred, mode, off, bytes, cancel_of(intr)));
}

int mbfs_file_truncate(struct mbfs_file *f, uint64_t size_bytes)
{
	int err = change_check(f);

	if (!err)
		err = fs_change_check(f->in, false);
	return err ? err : fs_seen(f->fs, file_truncate(f->in, size_bytes));
}

int64_t mbfs_file_seek(struct mbfs_file *f, uint64_t off, int whence)
{
	int64_t at;

	if (!inode_is_reg(f->in) || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return -EINVAL;
	at = file_seek(f->in, off, whence);
	if (at < 0)
		fs_seen(f->fs, (int)at);
	return at;
}

int mbfs_file_map(struct mbfs_file *f, uint64_t off, struct mbfs_extent *out, unsigned max)
{
	int nr = file_map(f->in, off, out, max);

	if (nr < 0)
		fs_seen(f->fs, nr);
	return nr;
}

/*
 * What is under way now is waited for; then the data is with the device, and metadata and the
 * device's cache remain, for fdatasync too. A write of data that failed is reported once to each
 * who has the file open.
 */
int mbfs_file_fsync(struct mbfs_file *f, bool datasync)
{
	int err = endio_flush(&f->in->endio, 0, UINT64_MAX, false), sync_err;
	uint32_t errs;

	(void)datasync;
	errs = rt_u32_read(&f->in->io_errs);
	if (rt_u32_read(&f->io_errs) != errs) {
		file_log_errors(f->in);
		err = err ? err : -EIO;
	}
	rt_u32_set(&f->io_errs, errs);
	sync_err = fs_sync(f->fs);
	return err ? fs_seen(f->fs, err) : sync_err;
}

mbfs_ino_t mbfs_file_ino(const struct mbfs_file *f)
{
	return f->in->ino;
}

int mbfs_dir_read(struct mbfs_file *dir, uint64_t cookie, mbfs_dir_emit emit, void *arg)
{
	int err;

	if (!inode_is_dir(dir->in))
		return -ENOTDIR;
	rt_read_lock(&dir->in->rw);
	err = dir_iterate(dir->in, cookie, emit, arg);
	rt_read_unlock(&dir->in->rw);
	return fs_seen(dir->fs, err);
}
