// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load. The span is cut into records; each submitter (a thread with a queue of its own) draws a
 * record and reads or writes all of it. A record that is under way is nobody else's until it is
 * answered, so what it holds is known: the last write that was answered, or zeros. Where others
 * change the file too (truncate, punch, a second load with the same tag) a block may also be zeros
 * or from any of our writes; it may never be anything else.
 *
 * One more thread watches: when nothing is answered for the grace time, the load is stuck.
 *
 * Order: a record's seq is its holder's; busy goes from one to the next by acquire and release.
 */
#include "race/load.h"
#include "race/stacks.h"
#include "race/stamp.h"
#include "race/team.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAIT_MS = 100, WATCH_MS = 100, CHECK_BYTES = 1 << 20, DRAWS = 64 };

struct record {
	rt_u32 busy;  /* [atomic] */
	uint64_t seq; /* [busy] of its last write that was answered; 0: none */
};

/* A read or write, or the place for one. */
struct slot {
	struct race_aio_io io;
	uint64_t record, seq, start_ns;
	struct slot *next; /* of the free ones */
};

struct load {
	const struct load_config *cfg;
	struct record *records;
	uint64_t record_nr;
	int fd;
	rt_u64 begun;                /* [atomic] iterations handed out */
	rt_u64 started, answered;    /* [atomic] */
	rt_u64 seq;                  /* [atomic] writes so far */
	rt_u32 stop, noted, running; /* [atomic] */
	uint64_t until_ns;           /* [const] 0: no limit */
	struct load_result *per;     /* of each submitter, its own */
	char note[RACE_NOTE_BYTES];  /* of who set noted */
};

struct submitter {
	struct load *l;
	struct load_result *res;
	struct race_aio *q;
	struct rt_rand rand;
	struct slot *slots, *free;
	uint8_t *buffers;
	unsigned under_way;
};

void load_config_default(struct load_config *cfg)
{
	*cfg = (struct load_config){
		.engine = RACE_AIO_LIBAIO,
		.iterations = 100000,
		.span_bytes = 100ull << 20,
		.record_bytes = 65536,
		.submitters = 10,
		.depth = 16,
		.read_percent = 50,
		.tag = rt_rand_seed(),
		.seed = rt_rand_seed(),
		.grace_ms = 60000,
	};
}

bool load_held(const struct load_result *res)
{
	return res->unanswered == 0 && res->failed == 0 && res->cut_short == 0 &&
	       res->blocks_wrong == 0 && res->note[0] == 0;
}

static void MBFS_PRINTF(2, 3) note(struct load *l, const char *fmt, ...)
{
	va_list ap;

	if (rt_u32_xchg(&l->noted, 1))
		return;
	va_start(ap, fmt);
	vsnprintf(l->note, sizeof(l->note), fmt, ap);
	va_end(ap);
}

/* ---- what was read ---- */

static void block_name(char *buf, size_t bytes, enum stamp_kind kind, uint64_t seq)
{
	if (kind == STAMP_OURS)
		snprintf(buf, bytes, "write %llu", (unsigned long long)seq);
	else
		snprintf(buf, bytes, "%s", kind == STAMP_ZERO ? "zeros" : "foreign bytes");
}

/* One block that should be of write @seq (0: of none). */
static void block_look(struct load *l, struct load_result *res, const uint8_t *block, uint64_t off,
		       uint64_t seq)
{
	uint64_t got = 0;
	enum stamp_kind kind = stamp_look(block, off, l->cfg->tag, &got);
	char name[2][40];
	bool right;

	if (l->cfg->shared)
		right = kind != STAMP_FOREIGN;
	else
		right = seq ? kind == STAMP_OURS && got == seq : kind == STAMP_ZERO;
	res->blocks_zero += kind == STAMP_ZERO;
	res->blocks_ours += kind == STAMP_OURS;
	if (right)
		return;
	res->blocks_wrong++;
	block_name(name[0], sizeof(name[0]), kind, got);
	block_name(name[1], sizeof(name[1]), seq ? STAMP_OURS : STAMP_ZERO, seq);
	note(l, "block at byte %llu: %s instead of %s", (unsigned long long)off, name[0],
	     l->cfg->shared ? "zeros or a write of ours" : name[1]);
}

static void record_look(struct load *l, struct load_result *res, const uint8_t *buf, size_t bytes,
			uint64_t off, uint64_t seq)
{
	for (size_t at = 0; at + STAMP_BYTES <= bytes; at += STAMP_BYTES)
		block_look(l, res, buf + at, off + at, seq);
}

/* ---- a submitter ---- */

static bool record_take(struct submitter *s, uint64_t *out)
{
	for (unsigned i = 0; i < DRAWS; i++) {
		uint64_t n = rt_rand_below(&s->rand, s->l->record_nr);

		if (rt_u32_xchg(&s->l->records[n].busy, 1) == 0) {
			*out = n;
			return true;
		}
	}
	return false;
}

/* Another iteration, if one is left. */
static bool iteration_take(struct load *l)
{
	if (rt_u32_read(&l->stop) || (l->until_ns && rt_now_ns() >= l->until_ns))
		return false;
	return !l->cfg->iterations || rt_u64_add_return(&l->begun, 1) <= l->cfg->iterations;
}

static void slot_free(struct submitter *s, struct slot *slot)
{
	slot->next = s->free;
	s->free = slot;
}

static void slot_over(struct submitter *s, struct slot *slot)
{
	struct record *r = &s->l->records[slot->record];
	const struct race_aio_io *io = &slot->io;
	uint64_t ns = rt_now_ns() - slot->start_ns;

	rt_u64_add(&s->l->answered, 1);
	s->under_way--;
	if (io->result < 0) {
		s->res->failed++;
		note(s->l, "%s of %zu bytes at %llu: %s", io->is_write ? "write" : "read",
		     io->bytes, (unsigned long long)io->off_bytes, strerror((int)-io->result));
		rt_u32_set(&s->l->stop, 1);
	} else if ((size_t)io->result < io->bytes &&
		   (io->is_write || (r->seq && !s->l->cfg->shared))) {
		s->res->cut_short++;
		note(s->l, "%s of %zu bytes at %llu: only %lld", io->is_write ? "write" : "read",
		     io->bytes, (unsigned long long)io->off_bytes, (long long)io->result);
		rt_u32_set(&s->l->stop, 1);
	} else if (io->is_write) {
		r->seq = slot->seq;
	} else {
		record_look(s->l, s->res, io->buf, (size_t)io->result, io->off_bytes, r->seq);
	}
	if (io->result > 0)
		s->res->bytes += (uint64_t)io->result;
	*(io->is_write ? &s->res->writes : &s->res->reads) += 1;
	race_hist_add(io->is_write ? &s->res->write_lat : &s->res->read_lat, ns);
	rt_u32_set_release(&r->busy, 0);
	slot_free(s, slot);
}

static void slot_start(struct submitter *s, uint64_t record)
{
	const struct load_config *cfg = s->l->cfg;
	struct slot *slot = s->free;
	int err;

	s->free = slot->next;
	slot->record = record;
	slot->io.off_bytes = record * cfg->record_bytes;
	slot->io.is_write = rt_rand_below(&s->rand, 100) >= cfg->read_percent;
	if (slot->io.is_write) {
		slot->seq = rt_u64_add_return(&s->l->seq, 1);
		stamp_fill(slot->io.buf, cfg->record_bytes, slot->io.off_bytes, cfg->tag,
			   slot->seq);
	} else {
		memset(slot->io.buf, 0x5a, cfg->record_bytes);
	}
	slot->start_ns = rt_now_ns();
	rt_u64_add(&s->l->started, 1);
	s->under_way++;
	err = race_aio_start(s->q, &slot->io);
	if (err) {
		slot->io.result = err;
		slot_over(s, slot);
	}
}

/* As many under way as may be, then wait for one. False when all is done. */
static bool submitter_step(struct submitter *s)
{
	struct race_aio_io *io;
	uint64_t record;
	int err;

	while (s->free && record_take(s, &record)) {
		if (!iteration_take(s->l)) {
			rt_u32_set_release(&s->l->records[record].busy, 0);
			if (!s->under_way)
				return false;
			break;
		}
		slot_start(s, record);
	}
	if (!s->under_way) {
		rt_yield(); /* the others have all records */
		return true;
	}
	err = race_aio_wait(s->q, WAIT_MS, &io);
	while (!err) {
		slot_over(s, container_of(io, struct slot, io));
		err = s->under_way ? race_aio_wait(s->q, 0, &io) : -EAGAIN;
	}
	if (err != -EAGAIN) {
		note(s->l, "waiting for I/O: %s", strerror(-err));
		rt_u32_set(&s->l->stop, 1);
	}
	return true;
}

static int submitter_open(struct submitter *s)
{
	const struct load_config *cfg = s->l->cfg;

	s->slots = rt_zalloc(cfg->depth * sizeof(*s->slots));
	s->buffers = rt_zalloc_aligned(STAMP_BYTES, (size_t)cfg->depth * cfg->record_bytes);
	if (!s->slots || !s->buffers)
		return -ENOMEM;
	for (unsigned i = 0; i < cfg->depth; i++) {
		s->slots[i].io.buf = s->buffers + (size_t)i * cfg->record_bytes;
		s->slots[i].io.bytes = cfg->record_bytes;
		slot_free(s, &s->slots[i]);
	}
	return race_aio_open(cfg->engine, s->l->fd, cfg->depth, &s->q);
}

static void submitter_main(struct load *l, unsigned idx)
{
	struct submitter s = { .l = l, .res = &l->per[idx] };
	int err = submitter_open(&s);

	s.rand.state = l->cfg->seed + idx * 0x9E3779B97F4A7C15ull;
	if (err) {
		note(l, "submitter %u, %s, depth %u: %s%s", idx, race_aio_name(l->cfg->engine),
		     l->cfg->depth, strerror(-err),
		     err == -EAGAIN ? " (see /proc/sys/fs/aio-max-nr)" : "");
		rt_u32_set(&l->stop, 1);
	} else {
		while (submitter_step(&s))
			;
		race_aio_close(s.q);
	}
	rt_free(s.buffers);
	rt_free(s.slots);
}

/* ---- the watcher ---- */

static void watcher_main(struct load *l)
{
	uint64_t seen = 0, moved_at = rt_now_ns();

	while (rt_u32_read(&l->running)) {
		uint64_t now, answered = rt_u64_read(&l->answered);

		race_sleep_ms(WATCH_MS);
		now = rt_now_ns();
		if (answered != seen || rt_u64_read(&l->started) == answered)
			moved_at = now;
		seen = answered;
		if (now - moved_at < l->cfg->grace_ms * 1000000)
			continue;
		fprintf(stderr,
			"mbfs-race: %llu reads and writes have not been answered for %llu s\n",
			(unsigned long long)(rt_u64_read(&l->started) - answered),
			(unsigned long long)l->cfg->grace_ms / 1000);
		race_stacks_print(getpid(), stderr);
		if (l->cfg->daemon)
			race_stacks_print(l->cfg->daemon, stderr);
		_exit(LOAD_EXIT_STUCK); /* threads in the kernel cannot be joined */
	}
}

static void member_main(void *arg, unsigned idx)
{
	struct load *l = arg;

	if (idx == l->cfg->submitters) {
		watcher_main(l);
		return;
	}
	submitter_main(l, idx);
	rt_u32_add_return(&l->running, -1u);
}

/* ---- the whole ---- */

static void sum_up(struct load *l, struct load_result *res)
{
	for (unsigned i = 0; i < l->cfg->submitters; i++) {
		const struct load_result *p = &l->per[i];

		res->reads += p->reads;
		res->writes += p->writes;
		res->bytes += p->bytes;
		res->failed += p->failed;
		res->cut_short += p->cut_short;
		res->blocks_zero += p->blocks_zero;
		res->blocks_ours += p->blocks_ours;
		res->blocks_wrong += p->blocks_wrong;
		race_hist_merge(&res->read_lat, &p->read_lat);
		race_hist_merge(&res->write_lat, &p->write_lat);
	}
	res->unanswered = rt_u64_read(&l->started) - rt_u64_read(&l->answered);
}

/* All that the load knows of the file, read once more. */
static int final_look(struct load *l, struct load_result *res)
{
	uint8_t *buf = rt_zalloc_aligned(STAMP_BYTES, l->cfg->record_bytes);
	int err = buf ? 0 : -ENOMEM;

	if (!err && fsync(l->fd))
		err = -errno;
	for (uint64_t i = 0; !err && i < l->record_nr; i++) {
		uint64_t off = i * l->cfg->record_bytes;
		ssize_t got = pread(l->fd, buf, l->cfg->record_bytes, (off_t)off);

		if (got < 0)
			err = -errno;
		else if ((size_t)got < l->cfg->record_bytes && l->records[i].seq)
			note(l, "the file ends at %llu, in what was written",
			     (unsigned long long)off + (uint64_t)got);
		else
			record_look(l, res, buf, (size_t)got, off, l->records[i].seq);
	}
	if (err)
		note(l, "reading all of it at the end: %s", strerror(-err));
	rt_free(buf);
	return err;
}

static int config_check(const struct load_config *cfg, struct mbfs_diag *diag)
{
	uint64_t records = cfg->span_bytes / cfg->record_bytes;

	if (cfg->record_bytes % STAMP_BYTES)
		return diag_set(diag, -EINVAL, "a record of %u bytes is not a multiple of %d",
				cfg->record_bytes, STAMP_BYTES);
	if (records == 0)
		return diag_set(diag, -EINVAL, "a span of %llu bytes has no record of %u",
				(unsigned long long)cfg->span_bytes, cfg->record_bytes);
	return 0;
}

static int file_open(const struct load_config *cfg, struct mbfs_diag *diag)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | (cfg->buffered ? 0 : O_DIRECT);
	int fd = open(cfg->path, flags, 0600);

	return fd >= 0 ? fd : diag_set(diag, -errno, "%s: %s", cfg->path, strerror(errno));
}

int load_run(const struct load_config *cfg, struct load_result *res, struct mbfs_diag *diag)
{
	struct load l = { .cfg = cfg, .record_nr = cfg->span_bytes / cfg->record_bytes };
	int err = config_check(cfg, diag);

	memset(res, 0, sizeof(*res));
	if (err)
		return err;
	l.fd = file_open(cfg, diag);
	if (l.fd < 0)
		return l.fd;
	l.records = rt_zalloc(l.record_nr * sizeof(*l.records));
	l.per = rt_zalloc(cfg->submitters * sizeof(*l.per));
	rt_u32_set(&l.running, cfg->submitters);
	if (cfg->run_ms)
		l.until_ns = rt_now_ns() + cfg->run_ms * 1000000;
	err = l.records && l.per
		      ? race_team_run(cfg->submitters + 1, member_main, &l, &res->elapsed_ns)
		      : -ENOMEM;
	if (err) {
		diag_set(diag, err, "cannot start %u submitters: %s", cfg->submitters,
			 strerror(-err));
	} else {
		sum_up(&l, res);
		if (!cfg->shared && !rt_u32_read(&l.stop))
			final_look(&l, res);
		memcpy(res->note, l.note, sizeof(res->note));
	}
	close(l.fd);
	rt_free(l.per);
	rt_free(l.records);
	return err;
}

int load_check(const struct load_config *cfg, struct load_result *res, struct mbfs_diag *diag)
{
	struct load_config any = *cfg;
	struct load l = { .cfg = &any };
	uint64_t off = 0;
	uint8_t *buf;
	ssize_t got;

	any.shared = true; /* zeros are right, and any write */
	memset(res, 0, sizeof(*res));
	l.fd = open(cfg->path, O_RDONLY | O_CLOEXEC);
	if (l.fd < 0)
		return diag_set(diag, -errno, "%s: %s", cfg->path, strerror(errno));
	buf = rt_zalloc_aligned(STAMP_BYTES, CHECK_BYTES);
	while (buf && (got = pread(l.fd, buf, CHECK_BYTES, (off_t)off)) > 0) {
		record_look(&l, res, buf, (size_t)got, off, 0);
		res->reads++;
		res->bytes += (uint64_t)got;
		off += (uint64_t)got;
	}
	close(l.fd);
	rt_free(buf);
	if (!buf || got < 0)
		return diag_set(diag, buf ? -errno : -ENOMEM, "%s: at byte %llu: %s", cfg->path,
				(unsigned long long)off, buf ? strerror(errno) : "no memory");
	memcpy(res->note, l.note, sizeof(res->note));
	return 0;
}
