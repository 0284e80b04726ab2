// SPDX-License-Identifier: GPL-2.0-only
/*
 * A block device whose bytes are in the arena: written in one execution, as they were in the next.
 * (bdev_mem.c's are in pages of the system, which no reset brings back.) Each call is one visible
 * operation that may sleep.
 */
#include <mbfs/blkdev.h>

#include <errno.h>
#include <string.h>

#include "world.h"

struct arena_bdev {
	struct mbfs_bdev base;
	struct ex_obj o;
	uint8_t *bytes;
};

static struct arena_bdev *of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct arena_bdev, base);
}

static bool inside(const struct mbfs_bdev *dev, uint64_t off, uint64_t len)
{
	return off <= dev->size_bytes && len <= dev->size_bytes - off;
}

static int arena_read(struct mbfs_bdev *dev, uint64_t off, void *dst, size_t len)
{
	struct arena_bdev *d = of(dev);

	if (!inside(dev, off, len))
		return -EINVAL;
	ex_point(EX_IO_READ, &d->o, NULL, dev, 0, EX_SITE("device"));
	ex_value(off);
	memcpy(dst, d->bytes + off, len);
	return 0;
}

static int arena_write(struct mbfs_bdev *dev, uint64_t off, const void *src, size_t len)
{
	struct arena_bdev *d = of(dev);

	if (dev->read_only)
		return -EROFS;
	if (!inside(dev, off, len))
		return -EINVAL;
	ex_point(EX_IO_WRITE, &d->o, NULL, dev, 0, EX_SITE("device"));
	ex_value(off);
	memcpy(d->bytes + off, src, len);
	return 0;
}

static int arena_flush(struct mbfs_bdev *dev)
{
	ex_point(EX_IO_WRITE, &of(dev)->o, NULL, dev, 0, EX_SITE("device: flush"));
	return 0;
}

static void arena_close(struct mbfs_bdev *dev)
{
	rt_free(of(dev)->bytes);
	rt_free(of(dev));
}

static const struct mbfs_bdev_ops arena_ops = {
	.read = arena_read,
	.write = arena_write,
	.flush = arena_flush,
	.close = arena_close,
};

int explore_bdev_open(const void *image, uint64_t bytes, struct mbfs_bdev **out)
{
	struct arena_bdev *d = rt_zalloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->bytes = rt_zalloc(bytes);
	if (!d->bytes) {
		rt_free(d);
		return -ENOMEM;
	}
	if (image)
		memcpy(d->bytes, image, bytes);
	d->base = (struct mbfs_bdev){ .ops = &arena_ops, .size_bytes = bytes };
	*out = &d->base;
	return 0;
}

const void *explore_bdev_bytes(struct mbfs_bdev *dev)
{
	return of(dev)->bytes;
}
