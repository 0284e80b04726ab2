// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that read and write 4 KiB of one file at random, O_DIRECT, over a mount: mbfs that locks
 * bytes, mbfs that locks the file, and its peers.
 *
 * Each thread has a part of the blocks for itself, spread over the whole file, in an order that is
 * drawn anew for each measurement: nobody writes what another writes, and a lock of the whole file
 * is the only thing they can meet in. Fallocated blocks are each written once; written blocks have
 * been written before, unmeasured. In the mixed work every second call reads a block of the
 * thread's own. A sample of what was written is read back each time.
 *
 * All are mounted for the whole run and take turns; a ratio is the median of the ratios of the
 * turns.
 */
#include "bench-client.h"
#include "bench-subject.h"
#include "race/team.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLES = 256, TEXT_BYTES = 64 };

enum kind { WRITE_WRITTEN, WRITE_FALLOCATED, MIXED, KIND_NR };
static const char *const kind_names[KIND_NR] = { "write, written blocks",
						 "write, fallocated blocks",
						 "read and write, written blocks" };

struct work {
	enum kind kind;
	unsigned threads;
};

enum metric { RATE, P50_NS, P99_NS, CPU_NS, METRIC_NR };
struct figures {
	double v[METRIC_NR][BENCH_TIMES_MAX];
};

struct worker {
	const struct bench_job *job;
	uint32_t at, nr; /* its blocks of the order are [at, at + nr) */
	uint64_t ops, writes, until_ns;
	bool mixed, again; /* reads as well; begins anew when all are written */
	struct race_hist lat;
	int err;
};

struct bench {
	const struct bench_args *args;
	struct work works[KIND_NR * BENCH_LIST_MAX];
	unsigned work_nr, now; /* the one that is measured */
	struct bench_subjects subjects;
	uint32_t *order, blk_nr;
	struct worker *workers;
	uint64_t seed;
};

/* ---- one measurement ---- */

static int one(const struct bench_job *job, uint32_t idx, bool read, uint8_t *buf)
{
	uint32_t blk = job->order[idx];
	off_t at = (off_t)blk * BENCH_IO_BYTES;
	ssize_t n;

	if (read) {
		n = pread(job->fds[0], buf, BENCH_IO_BYTES, at);
	} else {
		bench_stamp_put(buf, job->stamp, blk);
		n = pwrite(job->fds[0], buf, BENCH_IO_BYTES, at);
	}
	return n == BENCH_IO_BYTES ? 0 : n < 0 ? -errno : -EIO;
}

static void worker_main(void *arg, unsigned idx)
{
	struct worker *w = (struct worker *)arg + idx;
	uint8_t *buf = aligned_alloc(BENCH_IO_BYTES, BENCH_IO_BYTES);
	uint64_t from = race_now_ns(), now;

	w->err = buf ? 0 : -ENOMEM;
	if (buf)
		memset(buf, 0x5a, BENCH_IO_BYTES);
	while (!w->err && (w->again || w->writes < w->nr) && from < w->until_ns) {
		bool read = w->mixed && w->ops % 2;
		uint32_t next = (uint32_t)(w->writes % w->nr);

		/* A read is of what is written as late as can be. */
		w->err = one(w->job, read ? w->at + w->nr - 1 - next : w->at + next, read, buf);
		now = race_now_ns();
		race_hist_add(&w->lat, now - from);
		from = now;
		w->writes += !read;
		w->ops++;
	}
	free(buf);
}

/* Blocks that were written move to the front of the order, for bench_job_verify(). */
static uint32_t gather(struct bench *b, unsigned threads)
{
	uint32_t nr = 0;

	for (unsigned i = 0; i < threads; i++)
		for (uint32_t k = 0; k < b->workers[i].writes && k < b->workers[i].nr; k++)
			b->order[nr++] = b->order[b->workers[i].at + k];
	return nr;
}

static int measure_file(struct bench *b, const struct bench_subject *s, const struct work *w,
			int fd, struct figures *f, unsigned turn)
{
	struct bench_job job = {
		.fds = &fd,
		.blks_per_file = b->blk_nr,
		.order = b->order,
		.nr = b->blk_nr,
		.stamp = race_rand(&b->seed),
	};
	struct race_hist *lat = calloc(1, sizeof(*lat));
	struct bench_gauge before, after;
	uint64_t ns = 0, ops = 0;
	int err = lat ? 0 : -ENOMEM;

	bench_shuffle(b->order, b->blk_nr, &b->seed);
	for (unsigned i = 0; i < w->threads; i++)
		b->workers[i] = (struct worker){
			.job = &job,
			.at = b->blk_nr / w->threads * i,
			.nr = b->blk_nr / w->threads,
			.until_ns = race_now_ns() + b->args->seconds * 1000000000ull,
			.mixed = w->kind == MIXED,
			.again = w->kind != WRITE_FALLOCATED,
		};
	bench_gauge_read(s, &before);
	if (!err)
		err = race_team_run(w->threads, worker_main, b->workers, &ns);
	bench_gauge_read(s, &after);
	for (unsigned i = 0; !err && i < w->threads; i++) {
		err = b->workers[i].err;
		ops += b->workers[i].ops;
		race_hist_merge(lat, &b->workers[i].lat);
	}
	if (!err) {
		f->v[RATE][turn] = (double)ops * 1e9 / (double)(ns ? ns : 1);
		f->v[P50_NS][turn] = (double)race_hist_at(lat, 500);
		f->v[P99_NS][turn] = (double)race_hist_at(lat, 990);
		f->v[CPU_NS][turn] = bench_gauge_each(before.cpu_ns, after.cpu_ns, ops);
		if (s->peer.kind != PEER_NULL)
			err = bench_job_verify(&job, gather(b, w->threads), SAMPLES, &b->seed);
	}
	free(lat);
	return err;
}

static int measure(void *ctx, struct bench_subject *s, unsigned turn)
{
	struct bench *b = ctx;
	const struct work *w = &b->works[b->now];
	uint64_t bytes = (uint64_t)b->blk_nr * BENCH_IO_BYTES;
	char path[RACE_PATH_BYTES + 16];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/onefile", s->peer.mnt);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fallocate(fd, 0, 0, (off_t)bytes))
		err = -errno;
	if (!err && w->kind != WRITE_FALLOCATED)
		err = bench_fill(fd, bytes);
	if (!err && fsync(fd))
		err = -errno;
	if (!err)
		err = measure_file(b, s, w, fd, (struct figures *)s->figures + b->now, turn);
	close(fd);
	unlink(path);
	return err;
}

/* ---- report ---- */

static const struct figures *figures_of(const struct bench_subject *s, unsigned work)
{
	return (const struct figures *)s->figures + work;
}

static double metric(const struct bench_subject *s, unsigned work, enum metric m)
{
	return bench_median(figures_of(s, work)->v[m], s->turns);
}

/* The median of the first's rate by this one's, turn by turn. */
static double ratio(const struct bench *b, const struct bench_subject *s, unsigned work)
{
	const struct bench_subject *first = &b->subjects.all[0];
	unsigned nr = first->turns < s->turns ? first->turns : s->turns;
	double of[BENCH_TIMES_MAX];

	for (unsigned t = 0; t < nr; t++)
		of[t] = figures_of(first, work)->v[RATE][t] / figures_of(s, work)->v[RATE][t];
	return bench_median(of, nr);
}

static void print_one(const struct bench *b, unsigned work, const struct bench_subject *s)
{
	const struct work *w = &b->works[work];
	double cpu = metric(s, work, CPU_NS);
	char t[4][16];

	if (!s->turns)
		return;
	printf("%-31s %7u  %-22s %9s %10s %10s %10s", kind_names[w->kind], w->threads, s->name,
	       race_human_nr(t[0], metric(s, work, RATE)),
	       race_human_ns(t[1], (uint64_t)metric(s, work, P50_NS)),
	       race_human_ns(t[2], (uint64_t)metric(s, work, P99_NS)),
	       cpu < 0 ? "-" : race_human_ns(t[3], (uint64_t)cpu));
	if (s != &b->subjects.all[0])
		printf(" %7.2fx", ratio(b, s, work));
	putchar('\n');
	if (b->args->json)
		fprintf(b->args->json,
			"{\"bench\":\"onefile\",\"case\":\"%s\",\"threads\":%u,\"peer\":\"%s\","
			"\"ops_per_s\":%.0f,\"p50_ns\":%.0f,\"p99_ns\":%.0f,\"cpu_ns\":%.0f,"
			"\"first_to_this\":%.4f,\"times\":%u}\n",
			kind_names[w->kind], w->threads, s->name, metric(s, work, RATE),
			metric(s, work, P50_NS), metric(s, work, P99_NS), cpu, ratio(b, s, work),
			s->turns);
}

static void report(const struct bench *b)
{
	bench_warn_if_busy();
	printf("%-31s %7s  %-22s %9s %10s %10s %10s %8s\n", "4 KiB of one file, O_DIRECT",
	       "threads", "", "ops/s", "p50", "p99", "daemon CPU", "first/it");
	for (unsigned i = 0; i < b->work_nr; i++)
		for (unsigned k = 0; k < b->subjects.nr; k++)
			print_one(b, i, &b->subjects.all[k]);
}

/* ---- all ---- */

static void works_fill(struct bench *b)
{
	static const struct bench_list usual = { 2, { 1, 8 } };
	const struct bench_list *threads = b->args->threads.nr ? &b->args->threads : &usual;

	for (unsigned k = 0; k < KIND_NR; k++)
		for (unsigned i = 0; i < threads->nr; i++)
			if (bench_wanted(b->args, kind_names[k]))
				b->works[b->work_nr++] = (struct work){ k, threads->v[i] };
}

static int turn_run(struct bench *b, unsigned turn)
{
	int err = 0;

	for (b->now = 0; !err && b->now < b->work_nr; b->now++) {
		const struct work *w = &b->works[b->now];
		char what[TEXT_BYTES];

		snprintf(what, sizeof(what), "%s, %u thread%s", kind_names[w->kind], w->threads,
			 w->threads == 1 ? "" : "s");
		err = bench_subjects_turn(&b->subjects, turn, what, measure, b);
	}
	if (!err)
		bench_subjects_turn_end(&b->subjects, turn);
	return err;
}

int bench_onefile(const struct bench_args *args)
{
	static const char *const usual[] = { "rangelock=on", "rangelock=off" };
	struct bench *b = calloc(1, sizeof(*b));
	int err = b ? 0 : -ENOMEM;

	if (!err) {
		b->args = args;
		b->seed = args->seed;
		b->blk_nr = (uint32_t)(args->size_bytes / 4 / BENCH_IO_BYTES);
		b->order = calloc(b->blk_nr, sizeof(*b->order));
		b->workers = calloc(BENCH_THREADS_MAX, sizeof(*b->workers));
		works_fill(b);
		if (!b->order || !b->workers)
			err = -ENOMEM;
	}
	if (err) {
		fprintf(stderr, "mbfs-bench: onefile: out of memory\n");
	} else {
		err = bench_subjects_up(&b->subjects, args,
					args->mount_opts_nr ? args->mount_opts : usual,
					args->mount_opts_nr ? args->mount_opts_nr : 2,
					b->work_nr * sizeof(struct figures));
		for (unsigned turn = 0; !err && turn < args->times; turn++)
			err = turn_run(b, turn);
		if (!err)
			report(b);
		if (bench_subjects_down(&b->subjects))
			err = -EIO;
	}
	if (b) {
		free(b->order);
		free(b->workers);
	}
	free(b);
	return err ? 1 : 0;
}
