// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random writes of 4 KiB with O_DIRECT and many in flight: mbfs beside its peers.
 *
 * A case is a number of writes in flight and of files. Each peer, in turn, makes its files anew
 * with fallocate() and is measured twice: "unwritten" writes all their blocks once in random order,
 * each write turning an unwritten block into a written one; "written" does so again in another
 * order. What is left unwritten when the time is up is written in between, unmeasured. The host has
 * given the image all its blocks before (bench_peer_up(), filled), else the first pass would pay
 * for it.
 *
 * All peers are mounted for the whole run, so that the figures that are compared are seconds apart;
 * a ratio is the median of the ratios of the turns. A sample of the blocks is read back each time:
 * who has lost data is left out from that turn on, with a line.
 *
 * The cost of a conversion is the difference of the two passes, in time per write and in CPU time
 * of the daemon per write; how many a write caused is told by the daemon's statistics ("endio").
 */
#include "bench-client.h"
#include "bench-subject.h"
#include "race/team.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLES = 256 };

enum state { UNWRITTEN, WRITTEN, STATE_NR };
static const char *const state_names[STATE_NR] = { "unwritten", "written" };

/* Per pass; all but the rate are means or percentiles of one write. */
enum metric { RATE, P50_NS, P99_NS, CPU_NS, CONVERTED, QUEUED, MERGED, METRIC_NR };

struct pass {
	double v[METRIC_NR][BENCH_TIMES_MAX]; /* of CPU_NS and what follows: -1 unknown */
};

struct aio_case {
	unsigned depth, files;
};

typedef struct pass passes_of_case[STATE_NR]; /* a subject's figures: one for each case */

struct bench {
	const struct bench_args *args;
	struct aio_case cases[BENCH_LIST_MAX * BENCH_LIST_MAX];
	unsigned case_nr;
	struct bench_subjects subjects;
	uint32_t *order;
	uint32_t blk_nr;
	uint64_t seed;
	int fds[BENCH_FILES_MAX];
};

static struct pass *pass_of(const struct bench_subject *s, unsigned idx, enum state st)
{
	passes_of_case *passes = s->figures;

	return &passes[idx][st];
}

/* ---- one pass ---- */

static int pass_run(struct bench *b, const struct bench_subject *s, const struct aio_case *c,
		    unsigned turn, struct pass *p)
{
	struct bench_job_result *res = malloc(sizeof(*res));
	struct bench_job job = {
		.engine = b->args->engine,
		.depth = c->depth,
		.fds = b->fds,
		.blks_per_file = b->blk_nr / c->files,
		.order = b->order,
		.nr = b->blk_nr,
		.limit_ns = b->args->seconds * 1000000000ull,
		.stamp = race_rand(&b->seed),
	};
	struct bench_gauge before, after;
	int err;

	if (!res)
		return -ENOMEM;
	bench_shuffle(b->order, b->blk_nr, &b->seed);
	bench_gauge_read(s, &before);
	err = bench_job_run(&job, res);
	bench_gauge_read(s, &after);
	if (!err && s->peer.kind != PEER_NULL)
		err = bench_job_verify(&job, res->nr, SAMPLES, &b->seed);
	if (!err) {
		p->v[RATE][turn] = res->nr * 1e9 / (double)(res->ns ? res->ns : 1);
		p->v[P50_NS][turn] = (double)race_hist_at(&res->lat, 500);
		p->v[P99_NS][turn] = (double)race_hist_at(&res->lat, 990);
		p->v[CPU_NS][turn] = bench_gauge_each(before.cpu_ns, after.cpu_ns, res->nr);
		for (unsigned i = 0; i < 3; i++)
			p->v[CONVERTED + i][turn] =
				bench_gauge_each(before.endio[i], after.endio[i], res->nr);
	}
	free(res);
	return err;
}

static void file_path(const struct bench_subject *s, unsigned idx, char path[RACE_PATH_BYTES + 16])
{
	snprintf(path, RACE_PATH_BYTES + 16, "%s/aio%u", s->peer.mnt, idx);
}

static int files_make(struct bench *b, const struct bench_subject *s, unsigned nr, uint64_t bytes)
{
	char path[RACE_PATH_BYTES + 16];

	for (unsigned i = 0; i < nr; i++) {
		file_path(s, i, path);
		b->fds[i] = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
		if (b->fds[i] < 0 || fallocate(b->fds[i], 0, 0, (off_t)bytes) || fsync(b->fds[i]))
			return -errno;
	}
	return 0;
}

static void files_remove(struct bench *b, const struct bench_subject *s)
{
	char path[RACE_PATH_BYTES + 16];

	for (unsigned i = 0; i < BENCH_FILES_MAX && b->fds[i] >= 0; i++) {
		file_path(s, i, path);
		close(b->fds[i]);
		unlink(path);
		b->fds[i] = -1;
	}
}

/* Both passes of one case. */
static int case_run(struct bench *b, const struct bench_subject *s, unsigned idx, unsigned turn)
{
	const struct aio_case *c = &b->cases[idx];
	uint64_t bytes;
	int err;

	b->blk_nr = (uint32_t)(b->args->size_bytes / 4 / BENCH_IO_BYTES) / c->files * c->files;
	bytes = (uint64_t)(b->blk_nr / c->files) * BENCH_IO_BYTES;
	err = files_make(b, s, c->files, bytes);
	if (!err)
		err = pass_run(b, s, c, turn, pass_of(s, idx, UNWRITTEN));
	for (unsigned i = 0; !err && i < c->files; i++) {
		err = bench_fill(b->fds[i], bytes);
		if (!err && fsync(b->fds[i]))
			err = -errno;
	}
	if (!err)
		err = pass_run(b, s, c, turn, pass_of(s, idx, WRITTEN));
	files_remove(b, s);
	return err;
}

/* ---- turns ---- */

struct case_now {
	struct bench *b;
	unsigned idx;
};

static int case_measure(void *ctx, struct bench_subject *s, unsigned turn)
{
	struct case_now *now = ctx;

	return case_run(now->b, s, now->idx, turn);
}

static int turn_run(struct bench *b, unsigned turn)
{
	for (unsigned c = 0; c < b->case_nr; c++) {
		struct case_now now = { b, c };
		char what[64];
		int err;

		snprintf(what, sizeof(what), "depth %u, %u file%s", b->cases[c].depth,
			 b->cases[c].files, b->cases[c].files == 1 ? "" : "s");
		err = bench_subjects_turn(&b->subjects, turn, what, case_measure, &now);
		if (err)
			return err;
	}
	bench_subjects_turn_end(&b->subjects, turn);
	return 0;
}

/* ---- report ---- */

static double metric(const struct bench_subject *s, unsigned c, enum state st, enum metric m)
{
	return bench_median(pass_of(s, c, st)->v[m], s->turns);
}

/* The median of a / b, turn by turn; 0: not measured. */
static double ratio(const struct bench_subject *a, enum state a_state,
		    const struct bench_subject *b, enum state b_state, unsigned c)
{
	unsigned nr = a->turns < b->turns ? a->turns : b->turns;
	double of[BENCH_TIMES_MAX];

	for (unsigned t = 0; t < nr; t++)
		of[t] = pass_of(a, c, a_state)->v[RATE][t] / pass_of(b, c, b_state)->v[RATE][t];
	return bench_median(of, nr);
}

static const char *human_ns(char buf[16], double ns)
{
	return ns < 0 ? "-" : race_human_ns(buf, (uint64_t)ns);
}

static void print_pass(const struct bench *b, unsigned c, enum state st,
		       const struct bench_subject *s)
{
	const struct aio_case *k = &b->cases[c];
	char t[4][16];

	if (!s->turns)
		return;
	printf("%-9s %5u %5u  %-22s %9s %10s %10s %10s", state_names[st], k->depth, k->files,
	       s->name, race_human_nr(t[0], metric(s, c, st, RATE)),
	       human_ns(t[1], metric(s, c, st, P50_NS)), human_ns(t[2], metric(s, c, st, P99_NS)),
	       human_ns(t[3], metric(s, c, st, CPU_NS)));
	if (s != b->subjects.all)
		printf(" %7.2fx", ratio(b->subjects.all, st, s, st, c));
	putchar('\n');
	if (b->args->json)
		fprintf(b->args->json,
			"{\"bench\":\"aio\",\"peer\":\"%s\",\"state\":\"%s\",\"depth\":%u,"
			"\"files\":%u,\"engine\":\"%s\",\"writes_per_s\":%.0f,\"p50_ns\":%.0f,"
			"\"p99_ns\":%.0f,\"cpu_ns\":%.0f,\"converted\":%.4f,\"queued\":%.4f,"
			"\"merged\":%.4f,\"first_to_this\":%.4f,\"times\":%u}\n",
			s->name, state_names[st], k->depth, k->files,
			bench_engine_name(b->args->engine), metric(s, c, st, RATE),
			metric(s, c, st, P50_NS), metric(s, c, st, P99_NS),
			metric(s, c, st, CPU_NS), metric(s, c, st, CONVERTED),
			metric(s, c, st, QUEUED), metric(s, c, st, MERGED),
			ratio(b->subjects.all, st, s, st, c), s->turns);
}

static void print_conversion(const struct bench *b, unsigned c, const struct bench_subject *s)
{
	double more_ns, cpu[STATE_NR], endio[3];
	char t[2][16];

	if (!s->turns)
		return;
	more_ns = 1e9 / metric(s, c, UNWRITTEN, RATE) - 1e9 / metric(s, c, WRITTEN, RATE);
	for (unsigned st = 0; st < STATE_NR; st++)
		cpu[st] = metric(s, c, st, CPU_NS);
	for (unsigned i = 0; i < 3; i++)
		endio[i] = metric(s, c, UNWRITTEN, CONVERTED + i);
	printf("%5u %5u  %-22s %10.2f %12s %12s", b->cases[c].depth, b->cases[c].files, s->name,
	       ratio(s, UNWRITTEN, s, WRITTEN, c), human_ns(t[0], more_ns < 0 ? 0 : more_ns),
	       cpu[0] < 0 ? "-" : human_ns(t[1], cpu[0] > cpu[1] ? cpu[0] - cpu[1] : 0));
	for (unsigned i = 0; i < 3; i++)
		if (endio[i] < 0)
			printf(" %9s", "-");
		else
			printf(" %9.3f", endio[i]);
	putchar('\n');
}

static void report(const struct bench *b)
{
	bench_warn_if_busy();
	printf("random writes of 4 KiB, O_DIRECT, %s, medians of %u\n"
	       "%-9s %5s %5s  %-22s %9s %10s %10s %10s %8s\n",
	       bench_engine_name(b->args->engine), b->args->times, "blocks", "depth", "files", "",
	       "writes/s", "p50", "p99", "daemon CPU", "first/it");
	for (unsigned st = STATE_NR; st-- > 0;)
		for (unsigned c = 0; c < b->case_nr; c++)
			for (unsigned i = 0; i < b->subjects.nr; i++)
				print_pass(b, c, st, &b->subjects.all[i]);
	printf("\nunwritten against written blocks; time, CPU and conversions a write\n"
	       "%5s %5s  %-22s %10s %12s %12s %9s %9s %9s\n",
	       "depth", "files", "", "rate", "more time", "more CPU", "converted", "queued",
	       "merged");
	for (unsigned c = 0; c < b->case_nr; c++)
		for (unsigned i = 0; i < b->subjects.nr; i++)
			print_conversion(b, c, &b->subjects.all[i]);
}

static void cases_fill(struct bench *b)
{
	static const struct bench_list depths = { 3, { 1, 16, 64 } }, files = { 2, { 1, 8 } };
	const struct bench_list *d = b->args->depths.nr ? &b->args->depths : &depths;
	const struct bench_list *f = b->args->files.nr ? &b->args->files : &files;

	for (unsigned i = 0; i < f->nr; i++)
		for (unsigned j = 0; j < d->nr; j++)
			b->cases[b->case_nr++] = (struct aio_case){ d->v[j], f->v[i] };
}

int bench_aio(const struct bench_args *args)
{
	struct bench *b = calloc(1, sizeof(*b));
	const char *const none = NULL;
	int err = 0;

	if (b)
		b->order = calloc(args->size_bytes / 4 / BENCH_IO_BYTES, sizeof(*b->order));
	if (!b || !b->order) {
		free(b);
		fprintf(stderr, "mbfs-bench: aio: out of memory\n");
		return 1;
	}
	b->args = args;
	b->seed = args->seed;
	memset(b->fds, 0xff, sizeof(b->fds));
	cases_fill(b);
	err = bench_subjects_up(&b->subjects, args, args->mount_opts_nr ? args->mount_opts : &none,
				args->mount_opts_nr ? args->mount_opts_nr : 1,
				b->case_nr * sizeof(passes_of_case));
	for (unsigned turn = 0; !err && turn < args->times; turn++)
		err = turn_run(b, turn);
	if (!err)
		report(b);
	if (bench_subjects_down(&b->subjects))
		err = -EIO;
	free(b->order);
	free(b);
	return err ? 1 : 0;
}
