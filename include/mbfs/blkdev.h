/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Block devices: what an image is stored on. All calls are safe from many threads at once; two
 * calls on overlapping bytes at the same time have no defined order. Offsets and lengths are in
 * bytes.
 */
#ifndef MBFS_BLKDEV_H
#define MBFS_BLKDEV_H

#include <mbfs/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbfs_bdev;

/* submit: the transfer is under way, done() will be called. */
enum { MBFS_BDEV_QUEUED = 1 };

/*
 * One transfer that may go on after the call that started it. The caller's memory: it and the
 * buffer stay where they are, and are the device's, until the transfer is over.
 */
struct mbfs_bdev_io {
	bool is_write;
	uint64_t off_bytes;
	void *buf; /* of a write: only read */
	size_t len_bytes;
	/*
	 * The transfer is over; @io may be freed. Called once, on a thread of the device, which
	 * holds no lock: it may take spinlocks and queue work, but neither sleep nor do I/O.
	 */
	void (*done)(struct mbfs_bdev_io *io, int err);
	struct mbfs_bdev_io *next; /* the device's, and priv too */
	uint64_t priv[2];
};

/* What a device does. Every function returns 0 or a negative errno; short transfers do not exist.
 */
struct mbfs_bdev_ops {
	int (*read)(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes);
	int (*write)(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes);
	/* All completed writes survive a power cut once this has returned 0. */
	int (*flush)(struct mbfs_bdev *dev);
	/* The range's content is no longer needed; may be NULL. Reads of it are undefined until
	 * written again. */
	int (*trim)(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes);
	/* Starts a transfer: MBFS_BDEV_QUEUED, and done() will be called; or 0 or an error: it is
	 * over, and done() is not called. May be NULL: every transfer is over when the call
	 * returns. */
	int (*submit)(struct mbfs_bdev *dev, struct mbfs_bdev_io *io);
	/* Sees to it that there are at least this many bytes, and says how many there are; the
	 * caller changes size_bytes. May be NULL: the device has the size it has. */
	int (*grow)(struct mbfs_bdev *dev, uint64_t want_bytes, uint64_t *size_bytes);
	/* The end goes back to where it was before the last grow(), if that has moved it; says
	 * where it is. May be NULL: it stays. */
	uint64_t (*grow_undo)(struct mbfs_bdev *dev);
	/* Releases the device and its memory; called once, with no call under way. */
	void (*close)(struct mbfs_bdev *dev);
};

/* First member of every kind of device. Constant between open and close, but for size_bytes, which
 * mbfs_bdev_grow() raises. */
struct mbfs_bdev {
	const struct mbfs_bdev_ops *ops;
	uint64_t size_bytes;
	bool read_only; /* writes answer -EROFS */
	bool async; /* submit() may return MBFS_BDEV_QUEUED */
	uint32_t align_bytes; /* with direct I/O no block may be smaller; 0: without */
	const char *engine; /* what carries out submitted transfers; NULL: the caller's thread */
};

enum mbfs_bdev_flags {
	MBFS_BDEV_RDONLY = 1u << 0, /* open for reading; the lock taken is shared */
	MBFS_BDEV_NOLOCK = 1u << 1, /* take no lock: only for tools that inspect a live image */
	MBFS_BDEV_URING = 1u << 2,  /* submitted transfers go to an io_uring; where the kernel gives
				       none, to threads */
	MBFS_BDEV_POOL = 1u << 3,   /* to threads; neither: the caller's thread does them */
	MBFS_BDEV_DIRECT = 1u << 4, /* what is submitted in whole pages goes past the page cache */
};

/*
 * mbfs_bdev_open_file - an image file or a block device as a device
 * @path:      [in] the image
 * @off_bytes: [in] where the file system starts in it (option offset=)
 * @flags:     [in] enum mbfs_bdev_flags
 * @diag:      [out] one line on error; and on success, if it is not quite as asked
 * @out:       [out] close with mbfs_bdev_close()
 * Errors: -EBUSY another mbfs holds the image, or the kernel has it mounted; -EINVAL offset, or no
 *         direct I/O there; -ENOMEM, -EAGAIN no threads; else as open(2) and flock(2). Nothing is
 *         changed on error.
 * With an engine threads are started: call after any fork.
 * The image is locked (flock) from here until mbfs_bdev_close(): mbfs_bdev_wait_unlocked() waits.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_open_file(const char *path, uint64_t off_bytes,
						 unsigned flags, struct mbfs_diag *diag,
						 struct mbfs_bdev **out);

/*
 * mbfs_bdev_wait_unlocked - wait until no mbfs holds the image
 * @timeout_s: [in] seconds; 0 waits for ever
 * Errors: -ETIMEDOUT; else as open(2).
 */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_wait_unlocked(const char *path, unsigned timeout_s);

/* A device in memory, zero-filled. Errors: -ENOMEM, -EINVAL size 0. */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_open_mem(uint64_t size_bytes, struct mbfs_bdev **out);

/* The bytes of a device made by mbfs_bdev_open_mem(), size_bytes of them; the device keeps them. */
MBFS_API uint8_t *mbfs_bdev_mem_bytes(struct mbfs_bdev *dev);

enum { MBFS_BDEV_POOL_MAX = 64 };

/*
 * mbfs_bdev_open_pool - a device in front of another whose transfers are carried out by threads
 * @inner:   [in] stays the caller's and is not closed with this one
 * @threads: [in] 1..MBFS_BDEV_POOL_MAX: so many transfers at once, the others wait their turn
 * Every submit() is queued; read, write, flush and trim stay with the caller's thread. Closing it
 * waits for what is queued. Errors: -EINVAL, -ENOMEM, -EAGAIN (no thread).
 */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_open_pool(struct mbfs_bdev *inner, unsigned threads,
						 struct mbfs_bdev **out);

/* What a fault-injecting device does to the calls that reach it; counts start at 1. */
struct mbfs_fault_plan {
	uint64_t fail_read_at;	/* the n-th read answers -EIO; 0 never */
	uint64_t fail_write_at; /* the n-th write answers -EIO and changes nothing; 0 never */
	uint64_t torn_write_at; /* the n-th write puts down only its first half, then -EIO; 0 never
				 */
	uint64_t fail_flush_at; /* the n-th flush answers -EIO; 0 never */
	uint64_t cut_at;	/* from the n-th write on nothing reaches the device: power cut */
	bool sticky;		/* once a fault has struck, all later calls of its kind fail too */
	uint64_t delay_write_at; /* the n-th write takes delay_write_us; 0: every write */
	uint32_t delay_write_us; /* longer than without */
	uint32_t delay_read_us;	 /* every read */
};

/* What reached a fault-injecting device so far. */
struct mbfs_fault_counts {
	uint64_t reads, writes, flushes, faults;
};

/*
 * mbfs_bdev_open_fault - a device in front of another that fails and delays as planned
 * @inner: [in] stays the caller's and is not closed with this one
 * Submitted transfers count as reads and writes. A delay is slept on the caller's thread, except
 * that of a submitted transfer in front of an @inner that is async: then it is QUEUED and reaches
 * @inner later. So both a pool in front of a fault device and a fault device in front of a pool can
 * have many delayed writes under way; the first also reports its faults through done().
 * Errors: -ENOMEM; -EAGAIN (no thread).
 */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_open_fault(struct mbfs_bdev *inner,
						  const struct mbfs_fault_plan *plan,
						  struct mbfs_bdev **out);
MBFS_API void mbfs_bdev_fault_counts(struct mbfs_bdev *dev, struct mbfs_fault_counts *out);

/* Range-checked front ends of the ops: -EINVAL outside the device, -EROFS on a read-only one. */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst,
					    size_t len_bytes);
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_write(struct mbfs_bdev *dev, uint64_t off_bytes,
					     const void *src, size_t len_bytes);
/*
 * mbfs_bdev_submit - start a transfer
 * Returns MBFS_BDEV_QUEUED: @io->done will be called (maybe before this returns), with what follows
 * as its error; else the transfer is over: 0, or a negative errno, and done is not called.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_submit(struct mbfs_bdev *dev, struct mbfs_bdev_io *io);
/* What carries out submitted transfers, for people: "sync", "threads", "io_uring" ... */
MBFS_API const char *mbfs_bdev_engine(const struct mbfs_bdev *dev);
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_flush(struct mbfs_bdev *dev);
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_trim(struct mbfs_bdev *dev, uint64_t off_bytes,
					    uint64_t len_bytes);
/*
 * mbfs_bdev_grow - make a device longer
 * @want_bytes: 0: as long as what it is stored on is now
 * An image file is extended, sparse; of a block device, and of a file that somebody else has
 * extended, the new size is found out. It never gets shorter. One caller at a time; others may use
 * the device meanwhile. Errors: -EROFS; -ENOSPC a block device, or one in memory, is not that long;
 * -EFBIG, -EDQUOT ... as ftruncate(2). Nothing has changed on error.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_bdev_grow(struct mbfs_bdev *dev, uint64_t want_bytes);
/*
 * mbfs_bdev_grow_undo - after mbfs_bdev_grow(): the image file is as short as it was before
 * Nobody uses what was added, and it was not shown to anybody. A file that somebody else had
 * extended, and any other device, keeps its length.
 */
MBFS_API void mbfs_bdev_grow_undo(struct mbfs_bdev *dev);
/* How long it is now; also for threads that run beside mbfs_bdev_grow(). */
MBFS_API uint64_t mbfs_bdev_size(const struct mbfs_bdev *dev);
MBFS_API void mbfs_bdev_close(struct mbfs_bdev *dev);

#ifdef __cplusplus
}
#endif

#endif
