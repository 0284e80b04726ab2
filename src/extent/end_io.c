// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes under way, and the table of variants.
 *
 * Equation: in flight = begun - over. A write is over once, after its conversion or instead of it.
 *
 *   begin      in flight + 1
 *   complete   the variant: converts here, or puts it on completed and has a worker convert it
 *   over       in flight - 1
 *
 * Pairs: complete runs on threads of the device, side by side with everything; conversions of one
 * file run on one thread at a time but for those that end where they began. What orders a
 * conversion against truncate and punch is the range of the file that the write holds
 * (inode/file_change.c), or in the variants of old a flush.
 *
 * The host's over() may free the inode, with the file in it: nothing of either is touched after the
 * last over() unless the caller has a pin.
 *
 * Locks: the file's (80), a leaf but for the queue's (86).
 */
#include "extent/end_io_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "rt/mem.h"

static const struct endio_variant *const variants[] = {
	&endio_2012_mutex_trylock, &endio_2012_v4, &endio_3_7_wait, &endio_6_16, &endio_mbfs,
};

const struct mbfs_endio_variant *mbfs_endio_variant_at(unsigned idx)
{
	return idx < MBFS_ARRAY_SIZE(variants) ? &variants[idx]->pub : NULL;
}

static const struct endio_variant *find(const char *name)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(variants); i++)
		if (strcmp(variants[i]->pub.name, name) == 0)
			return variants[i];
	return NULL;
}

const struct mbfs_endio_variant *mbfs_endio_variant_find(const char *name)
{
	const struct endio_variant *v = find(name);

	return v ? &v->pub : NULL;
}

/* ---- what a mount shares ---- */
int endio_env_open(const char *variant, unsigned workers, const struct endio_host_ops *host,
		   struct endio_env **out)
{
	const struct endio_variant *v = variant ? find(variant) : &endio_mbfs;
	struct endio_env *env;
	int err;

	if (!v)
		return -EINVAL;
	env = rt_zalloc(sizeof(*env));
	if (!env)
		return -ENOMEM;
	env->variant = v;
	env->host = host;
	rt_completion_init(&env->idle);
	rt_u32_set(&env->in_flight, 1);
	if (!workers && v->needs_wq)
		workers = 1;
	if (workers) {
		err = rt_wq_create("end_io", workers, &env->wq);
		if (err) {
			rt_free(env);
			return err;
		}
	}
	*out = env;
	return 0;
}

void endio_env_drain(struct endio_env *env)
{
	/* The last may still be on its way out when the count is 0: a completion may be freed then.
	 */
	if (rt_u32_add_return(&env->in_flight, -1u))
		rt_completion_wait(&env->idle);
	rt_u32_set(&env->in_flight, 1);
	if (env->wq)
		rt_wq_drain(env->wq);
}

void endio_env_close(struct endio_env *env)
{
	if (!env)
		return;
	if (env->wq)
		rt_wq_destroy(env->wq);
	rt_completion_destroy(&env->idle);
	rt_free(env);
}

const struct endio_variant *endio_env_variant(const struct endio_env *env)
{
	return env->variant;
}

void endio_env_stats(struct endio_env *env, struct endio_stats *out)
{
	*out = (struct endio_stats){
		.in_flight = rt_u32_read(&env->in_flight) - 1,
		.in_flight_max = rt_u64_read(&env->in_flight_max),
		.begun = rt_u64_read(&env->begun),
		.queued = rt_u64_read(&env->queued),
		.converted = rt_u64_read(&env->converted),
		.merged = rt_u64_read(&env->merged),
		.failed = rt_u64_read(&env->failed),
		.flushes = rt_u64_read(&env->flushes),
		.flush_waits = rt_u64_read(&env->flush_waits),
		.flush_ns = rt_u64_read(&env->flush_ns),
		.requeued = rt_u64_read(&env->requeued),
		.after_free = rt_u64_read(&env->after_free),
	};
}

/* ---- a file ---- */
void endio_file_init(struct endio_file *f, struct endio_env *env)
{
	f->env = env;
	rt_spin_init(&f->lock, RANK_ENDIO);
	TAILQ_INIT(&f->completed);
	rt_event_init(&f->moved);
}

void endio_file_retire(struct endio_file *f)
{
	bool husk;

	rt_spin_lock(&f->lock);
	MBFS_ASSERT(!rt_u32_read(&f->in_flight) && TAILQ_EMPTY(&f->completed));
	husk = f->husk;
	rt_spin_unlock(&f->lock);
	if (!husk)
		return;
	rt_u64_add(&f->env->after_free, 1);
	/* If it runs, then on another thread: a run that has looked at the file has cleared husk.
	 */
	if (!rt_wq_cancel(f->env->wq, &f->work))
		rt_wq_flush_work(f->env->wq, &f->work);
	f->husk = false;
}

void endio_file_end(struct endio_file *f)
{
	MBFS_ASSERT(!rt_u32_read(&f->in_flight) && TAILQ_EMPTY(&f->completed) && !f->husk);
	rt_spin_destroy(&f->lock);
}

void endio_begin(struct endio_file *f, struct endio *ei)
{
	struct endio_env *env = f->env;
	uint64_t nr, max;

	ei->file = f;
	ei->flags = ei->converts ? ENDIO_UNWRITTEN : 0;
	ei->err = 0;
	if (ei->converts)
		rt_u32_add(&f->unwritten, 1);
	rt_u32_add(&f->in_flight, 1);
	rt_u64_add(&env->begun, 1);
	nr = rt_u32_add_return(&env->in_flight, 1) - 1;
	max = rt_u64_read(&env->in_flight_max);
	while (nr > max && !rt_u64_cas(&env->in_flight_max, &max, nr))
		;
}

void endio_over(struct endio *ei)
{
	struct endio_file *f = ei->file;
	struct endio_env *env = f->env;

	rt_u32_add_return(&f->in_flight, -1u);
	env->host->over(ei);
	if (!rt_u32_add_return(&env->in_flight, -1u))
		rt_complete(&env->idle);
}

/* So many writes have nothing to convert any more. One of them keeps the file. */
static void settled(struct endio_file *f, unsigned nr)
{
	if (!rt_u32_add_return(&f->unwritten, -nr))
		rt_event_signal(&f->moved);
}

void endio_convert(struct endio_file *f, struct endio **batch, unsigned nr)
{
	struct endio_env *env = f->env;

	env->host->convert(f, batch, nr);
	rt_u64_add(&env->converted, nr);
	settled(f, nr);
}

void endio_convert_here(struct endio *ei)
{
	endio_convert(ei->file, &ei, 1);
	endio_over(ei);
}

void endio_note_merged(struct endio_file *f, unsigned nr)
{
	if (nr)
		rt_u64_add(&f->env->merged, nr);
}

bool endio_queue_bare(struct endio_file *f, struct rt_work *work)
{
	struct endio_env *env = f->env;
	bool queued = rt_wq_queue(env->wq, work);

	/* The work may have run, and the file be gone. */
	if (queued)
		rt_u64_add(&env->queued, 1);
	return queued;
}

bool endio_queue(struct endio_file *f, struct rt_work *work)
{
	struct endio_env *env = f->env;

	env->host->pin(f);
	if (endio_queue_bare(f, work))
		return true;
	env->host->unpin(f); /* not the last: the caller has one */
	return false;
}

void endio_complete(struct endio *ei, bool may_sleep)
{
	ei->file->env->variant->complete(ei, may_sleep);
}

void endio_cancel(struct endio *ei, int err)
{
	MBFS_ASSERT(err < 0);
	ei->err = err;
	if (ei->converts)
		settled(ei->file, 1);
	rt_u64_add(&ei->file->env->failed, 1);
	endio_over(ei);
}

int endio_flush(struct endio_file *f, uint64_t first, uint64_t last, bool ranged)
{
	rt_u64_add(&f->env->flushes, 1);
	return f->env->variant->flush(f, first, last, ranged);
}

int endio_flush_bytes(struct endio_file *f, uint64_t first, uint64_t last, bool ranged)
{
	uint64_t start = rt_now_ns();

	if (!ranged && rt_u32_read(&f->in_flight) && f->env->host->wait(f, first, last))
		endio_note_wait(f, start);
	return 0;
}

void endio_note_wait(struct endio_file *f, uint64_t start_ns)
{
	rt_u64_add(&f->env->flush_waits, 1);
	rt_u64_add(&f->env->flush_ns, rt_now_ns() - start_ns);
}
