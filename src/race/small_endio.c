// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a write, small: the end_io room alone, on a file of one block whose host is a toy. A
 * is a writer whose data is down at once; completing it is what an interrupt would do, and a worker
 * of the room's queue converts. What B does at the same time:
 *
 *   TRUNCATE  as truncate(2): the inode's lock, the bytes, a flush. A's write is direct: the
 *             deadlock of the seed
 *   FLUSH     a flush under the inode's lock, when A's write is on the list: is it converted when
 *             the flush returns? Jan Kara's question. A's write is buffered, as writeback's is
 *   STALE     truncates, allocates the block anew and reads: a conversion that comes late shows
 *             what the disk held
 *   UAF       is the device of A's write, into a written block; A has the last reference to the
 *             file and drops it when the write is over
 *   PIN       the same into an unwritten block
 *
 * As in inode/file_change.c: a write holds its bytes from the submission on, and rw shared until
 * then; a change holds both exclusively.
 */
#include "race/small.h"

#include "base/check.h"
#include "extent/extent.h"
#include "rt/mem.h"

enum { TRUNCATE, FLUSH, STALE, UAF, PIN };
enum { BLOCK_BYTES = 4096 };
enum blk { BLK_HOLE, BLK_UNWRITTEN, BLK_WRITTEN };

struct file {
	struct endio_file endio;
	struct rt_rwlock rw;
	struct io_tree io;
	rt_u32 refs; /* [atomic] freed with the last */
	struct state *s;
};

/* A's; its memory is gone when it is over. */
struct write {
	struct endio ei;
	struct io_lock range;
	bool ranged; /* [who has the write] */
};

struct state {
	struct small_run *run;
	struct endio_env *env;
	struct io_env io;
	struct file *f;
	/* The block. Numbers of its allocations: this one's, and that of the data it has. */
	rt_u32 blk;             /* [atomic] enum blk */
	unsigned gen, data_gen; /* [rw and the bytes] */
	struct write *w;
	rt_u32 listed, converted, over; /* [atomic] of A's write */
	struct rt_event moved;          /* over, or submitted */
	rt_u32 submitted;               /* [atomic] UAF, PIN */
};

static struct state *state_of(struct endio_file *f)
{
	return container_of(f, struct file, endio)->s;
}

/* ---- the host ---- */

static void file_put(struct file *f)
{
	struct state *s = f->s;
	struct endio_stats st;

	if (rt_u32_add_return(&f->refs, -1u))
		return;
	endio_file_retire(&f->endio);
	endio_env_stats(s->env, &st);
	if (st.after_free)
		small_fail(s->run, "the file is gone and its work is still to run: use after free");
	endio_file_end(&f->endio);
	io_tree_destroy(&f->io);
	rt_rwlock_destroy(&f->rw);
	rt_free(f);
}

static void convert(struct endio_file *f, struct endio **batch, unsigned nr)
{
	struct state *s = state_of(f);
	uint32_t from = BLK_UNWRITTEN;

	MBFS_ASSERT(nr == 1 && batch[0] == &s->w->ei);
	rt_u32_cas(&s->blk, &from, BLK_WRITTEN); /* a hole stays one */
	rt_u32_set_release(&s->converted, 1);
}

static void range_let_go(struct write *w)
{
	if (w->ranged)
		io_tree_unlock_range(&container_of(w->ei.file, struct file, endio)->io, &w->range);
	w->ranged = false;
}

static void over(struct endio *ei)
{
	struct write *w = container_of(ei, struct write, ei);
	struct state *s = state_of(ei->file);

	range_let_go(w);
	rt_free(w);
	rt_u32_set_release(&s->over, 1);
	rt_event_signal(&s->moved);
}

static void data_down(struct endio *ei)
{
	range_let_go(container_of(ei, struct write, ei));
}

static bool wait(struct endio_file *f, uint64_t first, uint64_t last)
{
	(void)first, (void)last;
	return io_tree_wait_range(&container_of(f, struct file, endio)->io, 0, IO_END, NULL) > 0;
}

static void pin(struct endio_file *f)
{
	rt_u32_add(&container_of(f, struct file, endio)->refs, 1);
}

static void unpin(struct endio_file *f)
{
	file_put(container_of(f, struct file, endio));
}

static bool trylock(struct endio_file *f)
{
	return rt_write_trylock(&container_of(f, struct file, endio)->rw);
}

static void unlock(struct endio_file *f)
{
	rt_write_unlock(&container_of(f, struct file, endio)->rw);
}

static const struct endio_host_ops host = {
	.convert = convert,
	.over = over,
	.data_down = data_down,
	.wait = wait,
	.pin = pin,
	.unpin = unpin,
	.trylock = trylock,
	.unlock = unlock,
};

/* ---- set-up ---- */

static void setup(struct small_run *r)
{
	struct state *s = r->state;
	struct write *w = rt_zalloc(sizeof(*w));
	struct file *f = rt_zalloc_aligned(_Alignof(struct file), sizeof(*f));
	int err = endio_env_open(r->variant, 1, &host, &s->env);

	MBFS_ASSERT(f && w && !err);
	s->run = r;
	s->w = w;
	s->f = f;
	f->s = s;
	rt_rwlock_init(&f->rw, RANK_INODE);
	io_tree_init(&f->io, &s->io, RANK_INODE_RANGE);
	rt_u32_set(&f->refs, 1);
	endio_file_init(&f->endio, s->env);
	rt_event_init(&s->moved);
	rt_u32_set(&s->blk, r->s->shape == UAF ? BLK_WRITTEN : BLK_UNWRITTEN);
	small_name(r, &f->rw, "inode");
	small_name(r, &f->io.shard[0].lock, "bytes");
	small_name(r, &f->endio.lock, "list");
	small_name(r, &s->blk, "block");
}

/* ---- threads ---- */

/* Up to the moment when the device has the data. */
static void submit(struct small_run *r)
{
	struct state *s = r->state;
	struct file *f = s->f;
	struct write *w = s->w;
	uint32_t from = BLK_HOLE;

	rt_read_lock(&f->rw);
	io_tree_lock_range(&f->io, &w->range, 0, BLOCK_BYTES, IO_EXCLUSIVE);
	w->ranged = true;
	w->ei.last = BLOCK_BYTES - 1;
	w->ei.direct = r->s->shape == TRUNCATE;
	rt_u32_cas(&s->blk, &from, BLK_UNWRITTEN);
	w->ei.converts = from != BLK_WRITTEN && rt_u32_read(&s->blk) != BLK_WRITTEN;
	s->data_gen = s->gen;
	endio_begin(&f->endio, &w->ei);
	rt_read_unlock(&f->rw);
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

/* UAF, PIN: A holds the file until its write is over, and no longer. */
static void last_user(struct small_run *r)
{
	struct state *s = r->state;

	submit(r);
	rt_u32_set_release(&s->submitted, 1);
	rt_event_signal(&s->moved);
	wait_for(s, &s->over);
	file_put(s->f);
}

static void look(struct small_run *r)
{
	struct state *s = r->state;

	if (rt_u32_read(&s->blk) == BLK_WRITTEN && s->data_gen != s->gen)
		small_fail(r, "stale bytes: the block was allocated anew, and is written, but not "
			      "by anybody");
}

/* The block goes; STALE: and there is another. rw and the bytes are held. */
static void change(struct small_run *r)
{
	struct state *s = r->state;

	s->gen++;
	rt_u32_set(&s->blk, r->s->shape == STALE ? BLK_UNWRITTEN : BLK_HOLE);
}

static void change_file(struct small_run *r)
{
	struct state *s = r->state;
	struct file *f = s->f;
	struct io_lock all;

	rt_write_lock(&f->rw);
	io_tree_lock_range(&f->io, &all, 0, IO_END, IO_EXCLUSIVE); /* waits for direct writes */
	if (endio_flush(&f->endio, 0, UINT64_MAX, true))
		small_fail(r, "a flush fails, and nothing else did");
	change(r);
	io_tree_unlock_range(&f->io, &all);
	rt_write_unlock(&f->rw);
}

static void read_file(struct small_run *r)
{
	struct file *f = ((struct state *)r->state)->f;
	struct io_lock all;

	rt_read_lock(&f->rw);
	io_tree_lock_range(&f->io, &all, 0, BLOCK_BYTES, IO_SHARED);
	look(r);
	io_tree_unlock_range(&f->io, &all);
	rt_read_unlock(&f->rw);
}

static void flush_file(struct small_run *r)
{
	struct state *s = r->state;
	struct file *f = s->f;
	bool was_listed;

	rt_write_lock(&f->rw);
	was_listed = rt_u32_read_acquire(&s->listed);
	if (endio_flush(&f->endio, 0, UINT64_MAX, false))
		small_fail(r, "a flush fails, and nothing else did");
	if (was_listed && !rt_u32_read_acquire(&s->converted))
		small_fail(r, "the flush has returned, and a write that was on the list before it "
			      "is not converted");
	rt_write_unlock(&f->rw);
}

static void thread(struct small_run *r, unsigned me)
{
	struct state *s = r->state;
	int shape = r->s->shape;

	if (shape == UAF || shape == PIN) {
		if (me == 0) {
			last_user(r);
			return;
		}
		wait_for(s, &s->submitted);
		endio_complete(&s->w->ei, false);
	} else if (me == 0) {
		submit(r);
		endio_complete(&s->w->ei, false);
		rt_u32_set_release(&s->listed, 1);
	} else if (shape == FLUSH) {
		flush_file(r);
	} else {
		change_file(r);
		if (shape == STALE)
			read_file(r);
	}
}

/* ---- check ---- */

static void check(struct small_run *r)
{
	struct state *s = r->state;
	struct endio_stats st;

	endio_env_drain(s->env); /* real workers may be on their way */
	if (!rt_u32_read_acquire(&s->over))
		small_fail(r, "the write is never over");
	look(r);
	if (r->s->shape != UAF && r->s->shape != PIN)
		file_put(s->f);
	endio_env_stats(s->env, &st);
	if (st.in_flight || st.begun != 1)
		small_fail(r, "begun: %llu, in flight at the end: %llu",
			   (unsigned long long)st.begun, (unsigned long long)st.in_flight);
	endio_env_close(s->env);
}

/* ---- the table ---- */

#define ROW(name_, shape_, summary_)                                                     \
	{                                                                                \
		.name = name_, .summary = summary_, .family = &race_endio, .threads = 2, \
		.shape = shape_, .state_bytes = sizeof(struct state), .setup = setup,    \
		.thread = thread, .check = check                                         \
	}

const struct small_scenario small_endio[] = {
	ROW("endio-truncate", TRUNCATE, "truncate waits for a direct write: the seed's deadlock"),
	ROW("endio-flush", FLUSH, "is what was on the list converted when a flush returns?"),
	ROW("endio-stale", STALE, "a block is truncated and allocated anew: who converts it late?"),
	ROW("endio-uaf", UAF, "a write with nothing to convert outlives its file"),
	ROW("endio-pin", PIN, "the same with something to convert"),
	{ .name = NULL },
};
