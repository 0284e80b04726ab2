// SPDX-License-Identifier: GPL-2.0-only
/* Range checks in front of every kind of device, so that no kind has its own. */
#include <mbfs/blkdev.h>

#include <errno.h>

#include "rt/sync.h"

static bool in_range(const struct mbfs_bdev *dev, uint64_t off, uint64_t len)
{
	const uint64_t size = mbfs_bdev_size(dev);

	return off <= size && len <= size - off;
}

int mbfs_bdev_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	if (!in_range(dev, off_bytes, len_bytes))
		return -EINVAL;
	return dev->ops->read(dev, off_bytes, dst, len_bytes);
}

int mbfs_bdev_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	if (dev->read_only)
		return -EROFS;
	if (!in_range(dev, off_bytes, len_bytes))
		return -EINVAL;
	return dev->ops->write(dev, off_bytes, src, len_bytes);
}

int mbfs_bdev_submit(struct mbfs_bdev *dev, struct mbfs_bdev_io *io)
{
	if (io->is_write && dev->read_only)
		return -EROFS;
	if (!in_range(dev, io->off_bytes, io->len_bytes))
		return -EINVAL;
	if (dev->ops->submit)
		return dev->ops->submit(dev, io);
	return io->is_write ? dev->ops->write(dev, io->off_bytes, io->buf, io->len_bytes)
			    : dev->ops->read(dev, io->off_bytes, io->buf, io->len_bytes);
}

const char *mbfs_bdev_engine(const struct mbfs_bdev *dev)
{
	return dev->engine ? dev->engine : "sync";
}

int mbfs_bdev_flush(struct mbfs_bdev *dev)
{
	return dev->read_only ? 0 : dev->ops->flush(dev);
}

int mbfs_bdev_trim(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes)
{
	if (dev->read_only)
		return -EROFS;
	if (!in_range(dev, off_bytes, len_bytes))
		return -EINVAL;
	return dev->ops->trim ? dev->ops->trim(dev, off_bytes, len_bytes) : -EOPNOTSUPP;
}

int mbfs_bdev_grow(struct mbfs_bdev *dev, uint64_t want_bytes)
{
	uint64_t size = dev->size_bytes;
	int err = 0;

	if (dev->read_only)
		return -EROFS;
	if (dev->ops->grow)
		err = dev->ops->grow(dev, want_bytes, &size);
	if (err)
		return err;
	if (size > dev->size_bytes)
		rt_write_once(dev->size_bytes, size);
	return want_bytes > size ? -ENOSPC : 0;
}

void mbfs_bdev_grow_undo(struct mbfs_bdev *dev)
{
	if (dev->ops->grow_undo)
		rt_write_once(dev->size_bytes, dev->ops->grow_undo(dev));
}

uint64_t mbfs_bdev_size(const struct mbfs_bdev *dev)
{
	return rt_read_once(dev->size_bytes);
}

void mbfs_bdev_close(struct mbfs_bdev *dev)
{
	if (dev)
		dev->ops->close(dev);
}
