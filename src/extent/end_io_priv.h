/* SPDX-License-Identifier: GPL-2.0-only */
/* What end_io.c and the variants share. */
#ifndef EXTENT_END_IO_PRIV_H
#define EXTENT_END_IO_PRIV_H

#include "extent/end_io.h"

/* Atomics but for the constants. */
struct endio_env {
	const struct endio_variant *variant; /* [const] */
	const struct endio_host_ops *host;   /* [const] */
	struct rt_wq *wq;                    /* [const] NULL: every transfer ends where it began */
	rt_u32 in_flight;                    /* [atomic] and one, until somebody waits for 0 */
	struct rt_completion idle;           /* in_flight fell to 0 */
	rt_u64 in_flight_max, begun, queued, converted, merged, failed, flushes, flush_waits,
		flush_ns, requeued, after_free; /* [atomic] */
};

extern const struct endio_variant endio_2012_mutex_trylock, endio_2012_v4, endio_3_7_wait,
	endio_6_16, endio_mbfs;

/* Convert one or some; each has its err. They are not over yet. May sleep. */
void endio_convert(struct endio_file *f, struct endio **batch, unsigned nr);
/* Convert one, and it is over. May sleep. */
void endio_convert_here(struct endio *ei);
/* The write leaves the flight, host->over(). */
void endio_over(struct endio *ei);
/* Queue a work that pins the file; false: it was pending, and is pinned already. */
bool endio_queue(struct endio_file *f, struct rt_work *work);
/* The same without the pin: what is listed keeps the file. Under the file's lock, or not. */
bool endio_queue_bare(struct endio_file *f, struct rt_work *work);
/* A flush of the variants whose writes keep their bytes to the end. */
int endio_flush_bytes(struct endio_file *f, uint64_t first, uint64_t last, bool ranged);
/* A flush has waited since @start_ns: statistics. */
void endio_note_wait(struct endio_file *f, uint64_t start_ns);

#endif
