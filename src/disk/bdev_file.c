// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image file or a block device. While it is open the image is locked with flock(2), exclusively
 * for writing, shared for reading; the lock belongs to the open file, so it survives the daemon's
 * fork and is gone when the last process that has it is: that is what mbfs_bdev_wait_unlocked()
 * waits for.
 *
 * With direct I/O there are two descriptors of it: what is submitted in whole pages of 4096 bytes
 * goes past the host's page cache, everything else through it. They agree because the kernel sees
 * to it: before a direct transfer it writes back the cached pages of its range, and after a direct
 * write it drops them. That holds as long as nobody has the same page in hand both ways at once,
 * which is why a block may not be smaller than a page (align_bytes; a mount checks it). The lock is
 * the first descriptor's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "disk/bdev_priv.h"
#include "rt/mem.h"
#include "rt/sync.h"

static struct bdev_file *file_of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct bdev_file, dev);
}

/* ---- transfers ---- */

ssize_t bdev_file_answer(ssize_t res)
{
	switch (res) {
	case -EINTR:
	case -EAGAIN:
	case -ECANCELED: /* of a ring: the thread that had submitted it has ended */
		return 0;
	case -ENOSPC: /* a full host disk under a sparse image is a device error, not our ENOSPC */
	case -EDQUOT:
	case 0: /* the image has become shorter under us */
		return -EIO;
	default:
		return res;
	}
}

static int transfer(int fd, bool is_write, uint64_t pos, uint8_t *p, size_t len_bytes)
{
	while (len_bytes > 0) {
		ssize_t n = is_write ? pwrite(fd, p, len_bytes, (off_t)pos)
				     : pread(fd, p, len_bytes, (off_t)pos);

		n = bdev_file_answer(n < 0 ? -errno : n);
		if (n < 0)
			return (int)n;
		p += n;
		pos += (uint64_t)n;
		len_bytes -= (size_t)n;
	}
	return 0;
}

static int file_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	const struct bdev_file *f = file_of(dev);

	return transfer(f->fd, false, f->off_bytes + off_bytes, dst, len_bytes);
}

static int file_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	const struct bdev_file *f = file_of(dev);

	return transfer(f->fd, true, f->off_bytes + off_bytes, (uint8_t *)src, len_bytes);
}

bool bdev_file_direct(const struct bdev_file *f, const struct mbfs_bdev_io *io)
{
	return f->direct_fd >= 0 && (io->off_bytes | io->len_bytes) % BDEV_DIRECT_ALIGN == 0;
}

int bdev_file_bounce(const struct bdev_file *f, const struct mbfs_bdev_io *io, uint8_t **bounce)
{
	*bounce = NULL;
	if ((uintptr_t)io->buf % f->mem_align == 0)
		return 0;
	*bounce = rt_zalloc_aligned(BDEV_DIRECT_ALIGN, io->len_bytes);
	if (!*bounce)
		return -ENOMEM;
	if (io->is_write)
		memcpy(*bounce, io->buf, io->len_bytes);
	return 0;
}

void bdev_file_unbounce(const struct mbfs_bdev_io *io, uint8_t *bounce, int err)
{
	if (bounce && !io->is_write && !err)
		memcpy(io->buf, bounce, io->len_bytes);
	rt_free(bounce);
}

/* On the caller's thread. */
static int file_submit(struct mbfs_bdev *dev, struct mbfs_bdev_io *io)
{
	const struct bdev_file *f = file_of(dev);
	uint64_t pos = f->off_bytes + io->off_bytes;
	uint8_t *bounce;
	int err;

	if (!bdev_file_direct(f, io) || bdev_file_bounce(f, io, &bounce))
		return transfer(f->fd, io->is_write, pos, io->buf, io->len_bytes);
	err = transfer(f->direct_fd, io->is_write, pos, bounce ? bounce : io->buf, io->len_bytes);
	bdev_file_unbounce(io, bounce, err);
	return err;
}

static int file_flush(struct mbfs_bdev *dev)
{
	return fdatasync(file_of(dev)->fd) ? -errno : 0;
}

static int file_trim(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes)
{
	struct bdev_file *f = file_of(dev);
	uint64_t range[2] = { f->off_bytes + off_bytes, len_bytes };

	if (f->is_blk)
		return ioctl(f->fd, BLKDISCARD, range) ? -errno : 0;
	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
		      (off_t)range[1]))
		return -errno;
	return 0;
}

static int size_of(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKGETSIZE64, size) ? -errno : 0;
	if (!S_ISREG(st->st_mode))
		return -ENOTBLK;
	*size = (uint64_t)st->st_size;
	return 0;
}

static int file_size(const struct bdev_file *f, uint64_t *size)
{
	struct stat st;

	return fstat(f->fd, &st) ? -errno : size_of(f->fd, &st, size);
}

static int file_grow(struct mbfs_bdev *dev, uint64_t want_bytes, uint64_t *size_bytes)
{
	struct bdev_file *f = file_of(dev);
	uint64_t size, want = f->off_bytes + want_bytes;
	int err = file_size(f, &size);

	if (err)
		return err;
	if (size < f->off_bytes)
		return -EIO; /* it has been cut off under us */
	f->short_bytes = 0;
	if (size < want && !f->is_blk) {
		if (want < want_bytes || want > INT64_MAX)
			return -EFBIG;
		if (ftruncate(f->fd, (off_t)want))
			return -errno;
		f->short_bytes = size;
		size = want;
	}
	*size_bytes = size - f->off_bytes;
	return 0;
}

static uint64_t file_grow_undo(struct mbfs_bdev *dev)
{
	struct bdev_file *f = file_of(dev);

	if (!f->short_bytes || ftruncate(f->fd, (off_t)f->short_bytes))
		return dev->size_bytes;
	return f->short_bytes - f->off_bytes;
}

static void file_close(struct mbfs_bdev *dev)
{
	struct bdev_file *f = file_of(dev);

	if (f->direct_fd >= 0)
		close(f->direct_fd);
	close(f->fd);
	rt_free(f);
}

static const struct mbfs_bdev_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.trim = file_trim,
	.submit = file_submit,
	.grow = file_grow,
	.grow_undo = file_grow_undo,
	.close = file_close,
};

/* Is the file behind loop device @name (an entry of /sys/block) the one that @st describes? */
static bool loop_backs_on(const char *name, const struct stat *st)
{
	char attr[300], backing[4200];
	struct stat other;
	bool same = false;
	FILE *fp;

	snprintf(attr, sizeof(attr), "/sys/block/%s/loop/backing_file", name);
	fp = fopen(attr, "re");
	if (!fp)
		return false; /* not attached to anything */
	if (fgets(backing, sizeof(backing), fp)) {
		backing[strcspn(backing, "\n")] = 0;
		/* By inode, so that hard links and other mounts of the same directory are the same.
		 */
		same = stat(backing, &other) == 0 && other.st_dev == st->st_dev &&
		       other.st_ino == st->st_ino;
	}
	fclose(fp);
	return same;
}

/*
 * Does the kernel have the file attached to a loop device? Mounted or not: whoever attached it
 * means to use it. @loop: [out] the device's name, at least 16 bytes.
 */
static bool loop_attached(const struct stat *st, char *loop)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *d;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (d = readdir(dir))) {
		if (strncmp(d->d_name, "loop", 4) != 0 || !loop_backs_on(d->d_name, st))
			continue;
		snprintf(loop, 16, "%.15s", d->d_name);
		found = true;
	}
	closedir(dir);
	return found;
}

static int image_lock(int fd, const char *path, const struct stat *st, unsigned flags,
		      struct mbfs_diag *diag)
{
	bool ro = flags & MBFS_BDEV_RDONLY;
	char loop[16];

	if (flags & MBFS_BDEV_NOLOCK)
		return 0;
	if (flock(fd, (ro ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return diag_set(diag, -errno, "%s: cannot lock: %s", path, strerror(errno));
		return diag_set(diag, -EBUSY,
				"%s: in use by another mbfs; unmount it first, or wait for it with "
				"mbfs --wait %s",
				path, path);
	}
	if (S_ISREG(st->st_mode) && loop_attached(st, loop))
		return diag_set(diag, -EBUSY,
				"%s: attached to /dev/%s in the kernel; unmount that and run "
				"losetup -d /dev/%s",
				path, loop, loop);
	return 0;
}

/* Opens the image, which is a file or a block device; @st: [out] what it is. A descriptor or an
 * error. */
static int image_open(const char *path, unsigned flags, struct stat *st, struct mbfs_diag *diag)
{
	bool ro = flags & MBFS_BDEV_RDONLY;
	int fd, how = (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC;

	if (stat(path, st))
		return diag_set(diag, -errno, "%s: %s", path, strerror(errno));
	/* Before open(), which would wait for the other end of a pipe. */
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return diag_set(diag, S_ISDIR(st->st_mode) ? -EISDIR : -ENOTBLK,
				"%s: not an image file or block device", path);
	/* O_EXCL on a block device fails while the kernel has it mounted or otherwise claimed. */
	if (S_ISBLK(st->st_mode) && !(flags & MBFS_BDEV_NOLOCK))
		how |= O_EXCL;
	fd = open(path, how);
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return diag_set(diag, -EBUSY,
				"%s: the kernel has it mounted or in use; unmount it first", path);
	return diag_set(diag, -errno, "%s: cannot open for %s: %s%s", path,
			ro ? "reading" : "writing", strerror(errno),
			!ro && (errno == EACCES || errno == EROFS || errno == EPERM)
				? "; -o ro mounts it for reading only"
				: "");
}

/* A second descriptor of the same file, past the page cache. */
static int open_direct(const char *path, unsigned flags, struct mbfs_diag *diag,
		       struct bdev_file *f)
{
	int how = (flags & MBFS_BDEV_RDONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT;
	char self[32];

	if (f->off_bytes % BDEV_DIRECT_ALIGN)
		return diag_set(diag, -EINVAL,
				"%s: direct I/O needs an offset that is a multiple of %d bytes",
				path, BDEV_DIRECT_ALIGN);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	f->direct_fd = open(self, how);
	if (f->direct_fd < 0)
		return errno == EINVAL
			       ? diag_set(diag, -EINVAL,
					  "%s: its file system has no direct I/O; leave out -o "
					  "direct",
					  path)
			       : diag_set(diag, -errno, "%s: cannot open for direct I/O: %s", path,
					  strerror(errno));
	f->mem_align = BDEV_DIRECT_ALIGN;
	f->dev.align_bytes = BDEV_DIRECT_ALIGN;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(f->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    stx.stx_mask & STATX_DIOALIGN) {
		if (!stx.stx_dio_offset_align || stx.stx_dio_offset_align > BDEV_DIRECT_ALIGN ||
		    stx.stx_dio_mem_align > BDEV_DIRECT_ALIGN)
			return diag_set(diag, -EINVAL,
					"%s: its file system has no direct I/O of %d bytes; "
					"leave out -o direct",
					path, BDEV_DIRECT_ALIGN);
		f->mem_align = stx.stx_dio_mem_align;
	}
#endif
	return 0;
}

static int open_checked(const char *path, uint64_t off_bytes, unsigned flags,
			struct mbfs_diag *diag, struct bdev_file *f)
{
	struct stat st;
	uint64_t size;
	int err;

	f->fd = image_open(path, flags, &st, diag);
	if (f->fd < 0)
		return f->fd;
	err = fstat(f->fd, &st) ? -errno : size_of(f->fd, &st, &size);
	if (err) {
		diag_set(diag, err, "%s: cannot tell its size: %s", path, strerror(-err));
		goto err_close;
	}
	if (off_bytes >= size) {
		err = diag_set(diag, -EINVAL, "%s: offset %llu is past its end (%llu bytes)", path,
			       (unsigned long long)off_bytes, (unsigned long long)size);
		goto err_close;
	}
	err = image_lock(f->fd, path, &st, flags, diag);
	if (err)
		goto err_close;
	f->off_bytes = off_bytes;
	f->is_blk = S_ISBLK(st.st_mode);
	f->dev.size_bytes = size - off_bytes;
	f->dev.read_only = flags & MBFS_BDEV_RDONLY;
	if (flags & MBFS_BDEV_DIRECT)
		err = open_direct(path, flags, diag, f);
	if (!err)
		return 0;
	if (f->direct_fd >= 0)
		close(f->direct_fd);

err_close:
	close(f->fd);
	return err;
}

/* What carries the transfers out. Without an engine: the caller. */
static int open_engine(struct bdev_file *f, const char *path, unsigned flags,
		       struct mbfs_diag *diag, struct mbfs_bdev **out)
{
	int err = -EINVAL;

	*out = &f->dev;
	if (!(flags & (MBFS_BDEV_URING | MBFS_BDEV_POOL)))
		return 0;
	if (flags & MBFS_BDEV_URING) {
		err = bdev_uring_open(f, out);
		if (!err)
			return 0;
		diag_set(diag, 0, "%s: the kernel gives no io_uring (%s): threads instead", path,
			 strerror(-err));
	}
	err = bdev_pool_open(&f->dev, BDEV_POOL_THREADS, true, out);
	return err ? diag_set(diag, err, "%s: no threads for its I/O: %s", path, strerror(-err))
		   : 0;
}

int mbfs_bdev_open_file(const char *path, uint64_t off_bytes, unsigned flags,
			struct mbfs_diag *diag, struct mbfs_bdev **out)
{
	struct bdev_file *f = rt_zalloc(sizeof(*f));
	struct mbfs_bdev *dev;
	int err;

	if (diag)
		diag->text[0] = 0;
	if (!f)
		return diag_set(diag, -ENOMEM, "out of memory");
	f->dev.ops = &file_ops;
	f->direct_fd = -1;
	err = open_checked(path, off_bytes, flags, diag, f);
	if (err) {
		rt_free(f);
		return err;
	}
	err = open_engine(f, path, flags, diag, &dev);
	if (err) {
		file_close(&f->dev);
		return err;
	}
	*out = dev;
	return 0;
}

int mbfs_bdev_wait_unlocked(const char *path, unsigned timeout_s)
{
	enum { STEP_NS = 10000000 };
	uint64_t until = rt_now_ns() + (uint64_t)timeout_s * 1000000000ull;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | (timeout_s ? LOCK_NB : 0))) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK) {
			err = -errno;
			break;
		}
		if (rt_now_ns() >= until) {
			err = -ETIMEDOUT;
			break;
		}
		rt_sleep_ns(STEP_NS);
	}
	close(fd);
	return err;
}
