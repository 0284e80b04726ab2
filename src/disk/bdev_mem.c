// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device in memory: one anonymous mapping, so that a 1 TiB device costs only the pages touched.
 * Two calls on the same bytes at once race as they would on a disk; callers order them.
 */
#include <mbfs/blkdev.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/mem.h"

struct bdev_mem {
	struct mbfs_bdev dev;
	uint8_t *bytes; /* [const] dev.size_bytes of them */
};

static struct bdev_mem *mem_of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct bdev_mem, dev);
}

static int mem_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	memcpy(dst, mem_of(dev)->bytes + off_bytes, len_bytes);
	return 0;
}

static int mem_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	memcpy(mem_of(dev)->bytes + off_bytes, src, len_bytes);
	return 0;
}

static int mem_flush(struct mbfs_bdev *dev)
{
	(void)dev;
	return 0;
}

/* Whole pages go back to the system: a trim of 1 TiB must not touch 1 TiB. The edges are cleared.
 */
static int mem_trim(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes)
{
	uint8_t *bytes = mem_of(dev)->bytes;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = off_bytes + len_bytes;
	uint64_t first = (off_bytes + page - 1) / page * page, last = end / page * page;

	if (first >= last || madvise(bytes + first, last - first, MADV_DONTNEED)) {
		memset(bytes + off_bytes, 0, len_bytes);
		return 0;
	}
	memset(bytes + off_bytes, 0, first - off_bytes);
	memset(bytes + last, 0, end - last);
	return 0;
}

static void mem_close(struct mbfs_bdev *dev)
{
	struct bdev_mem *m = mem_of(dev);

	munmap(m->bytes, dev->size_bytes);
	rt_free(m);
}

static const struct mbfs_bdev_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
	.trim = mem_trim,
	.close = mem_close,
};

int mbfs_bdev_open_mem(uint64_t size_bytes, struct mbfs_bdev **out)
{
	struct bdev_mem *m;

	if (size_bytes == 0)
		return -EINVAL;
	m = rt_zalloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->bytes = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->bytes == MAP_FAILED) {
		rt_free(m);
		return -ENOMEM;
	}
	m->dev.ops = &mem_ops;
	m->dev.size_bytes = size_bytes;
	*out = &m->dev;
	return 0;
}

uint8_t *mbfs_bdev_mem_bytes(struct mbfs_bdev *dev)
{
	MBFS_ASSERT(dev->ops == &mem_ops);
	return mem_of(dev)->bytes;
}
