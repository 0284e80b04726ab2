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
#include "bench-peer.h"
#include "race/team.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { SUBJECTS_MAX = PEER_NR - 1 + 2 * BENCH_LIST_MAX, FILL_BYTES = 1 << 20,
       SAMPLES = 256, STATS_BYTES = 32768, NAME_BYTES = 96 };

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

struct subject {
	struct bench_peer peer;
	struct bench_args args; /* with its own daemon */
	const char *opts; /* of the mount; NULL: none */
	char name[NAME_BYTES];
	bool up;
	unsigned turns; /* measured without a gap from the first on */
	struct pass (*passes)[STATE_NR]; /* [case] */
};

struct bench {
	const struct bench_args *args;
	struct aio_case cases[BENCH_LIST_MAX * BENCH_LIST_MAX];
	unsigned case_nr;
	struct subject subjects[SUBJECTS_MAX];
	unsigned subject_nr;
	uint32_t *order;
	uint32_t blk_nr;
	uint64_t seed;
	int fds[BENCH_FILES_MAX];
};

/* ---- what the daemon says ---- */

struct gauge {
	double cpu_ns; /* -1: no daemon */
	double endio[3]; /* CONVERTED, QUEUED, MERGED; -1: it does not say */
};

static double number_after(const char *text, const char *key)
{
	const char *at = text ? strstr(text, key) : NULL;

	return at ? strtod(at + strlen(key), NULL) : -1;
}

static void gauge_read(const struct subject *s, struct gauge *g)
{
	static const char *const keys[] = { "\"converted\":", "\"queued\":", "\"merged\":" };
	char *stats = calloc(1, STATS_BYTES);
	struct timespec ts;
	clockid_t clock;
	const char *endio = NULL;

	if (stats && s->peer.kind == PEER_MBFS &&
	    getxattr(s->peer.mnt, "user.mbfs.stats", stats, STATS_BYTES - 1) > 0)
		endio = strstr(stats, "\"endio\":{");
	for (unsigned i = 0; i < 3; i++)
		g->endio[i] = number_after(endio, keys[i]);
	free(stats);
	g->cpu_ns = -1;
	if (s->peer.daemon && clock_getcpuclockid(s->peer.daemon, &clock) == 0 &&
	    clock_gettime(clock, &ts) == 0)
		g->cpu_ns = (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double per_write(double before, double after, uint32_t nr)
{
	return before < 0 || after < 0 || !nr ? -1 : (after - before) / nr;
}

/* ---- one pass ---- */

static int pass_run(struct bench *b, const struct subject *s, const struct aio_case *c,
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
	struct gauge before, after;
	int err;

	if (!res)
		return -ENOMEM;
	bench_shuffle(b->order, b->blk_nr, &b->seed);
	gauge_read(s, &before);
	err = bench_job_run(&job, res);
	gauge_read(s, &after);
	if (!err && s->peer.kind != PEER_NULL)
		err = bench_job_verify(&job, res->nr, SAMPLES, &b->seed);
	if (!err) {
		p->v[RATE][turn] = res->nr * 1e9 / (double)(res->ns ? res->ns : 1);
		p->v[P50_NS][turn] = (double)race_hist_at(&res->lat, 500);
		p->v[P99_NS][turn] = (double)race_hist_at(&res->lat, 990);
		p->v[CPU_NS][turn] = per_write(before.cpu_ns, after.cpu_ns, res->nr);
		for (unsigned i = 0; i < 3; i++)
			p->v[CONVERTED + i][turn] =
				per_write(before.endio[i], after.endio[i], res->nr);
	}
	free(res);
	return err;
}

static int fill(int fd, uint64_t bytes)
{
	uint8_t *zeros = aligned_alloc(BENCH_IO_BYTES, FILL_BYTES);
	int err = zeros ? 0 : -ENOMEM;
	ssize_t put;

	if (!err)
		memset(zeros, 0, FILL_BYTES);
	for (uint64_t at = 0; !err && at < bytes; at += (uint64_t)put) {
		uint64_t left = bytes - at;

		put = pwrite(fd, zeros, left < FILL_BYTES ? (size_t)left : FILL_BYTES, (off_t)at);
		if (put <= 0)
			err = put ? -errno : -EIO;
	}
	free(zeros);
	return err;
}

static void file_path(const struct subject *s, unsigned idx, char path[RACE_PATH_BYTES + 16])
{
	snprintf(path, RACE_PATH_BYTES + 16, "%s/aio%u", s->peer.mnt, idx);
}

static int files_make(struct bench *b, const struct subject *s, unsigned nr, uint64_t bytes)
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

static void files_remove(struct bench *b, const struct subject *s)
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
static int case_run(struct bench *b, const struct subject *s, unsigned idx, unsigned turn)
{
	const struct aio_case *c = &b->cases[idx];
	uint64_t bytes;
	int err;

	b->blk_nr = (uint32_t)(b->args->size_bytes / 4 / BENCH_IO_BYTES) / c->files * c->files;
	bytes = (uint64_t)(b->blk_nr / c->files) * BENCH_IO_BYTES;
	err = files_make(b, s, c->files, bytes);
	if (!err)
		err = pass_run(b, s, c, turn, &s->passes[idx][UNWRITTEN]);
	for (unsigned i = 0; !err && i < c->files; i++) {
		err = fill(b->fds[i], bytes);
		if (!err && fsync(b->fds[i]))
			err = -errno;
	}
	if (!err)
		err = pass_run(b, s, c, turn, &s->passes[idx][WRITTEN]);
	files_remove(b, s);
	return err;
}

/* ---- subjects and turns ---- */

static bool peer_wanted(const struct bench_args *args, enum bench_peer_kind kind)
{
	return !args->peers || (args->peers & 1u << kind);
}

/* The next subject. @daemon, @opts: NULL as usual. */
static int subject_up(struct bench *b, enum bench_peer_kind kind, const char *daemon,
		      const char *opts)
{
	struct subject *s = &b->subjects[b->subject_nr];
	struct mbfs_diag diag = { "" };

	s->args = *b->args;
	if (daemon)
		s->args.mbfsd = daemon;
	s->opts = opts;
	snprintf(s->name, sizeof(s->name), "%s%s%s", daemon ? daemon : bench_peer_name(kind),
		 opts ? " " : "", opts ? opts : "");
	s->passes = calloc(b->case_nr, sizeof(*s->passes));
	if (!s->passes)
		return -ENOMEM;
	b->subject_nr++;
	fprintf(stderr, "mounting %s\n", s->name);
	if (bench_peer_up(&s->peer, &s->args, kind, opts, true, &diag) == 0) {
		s->up = true;
		return 0;
	}
	fprintf(stderr, "mbfs-bench: %s: %s%s\n", s->name, diag.text,
		kind == PEER_MBFS ? "" : " (left out)");
	return kind == PEER_MBFS ? -EIO : 0;
}

static int subjects_up(struct bench *b)
{
	const struct bench_args *a = b->args;
	const char *first = a->mount_opts_nr ? a->mount_opts[0] : NULL;
	int err = subject_up(b, PEER_MBFS, NULL, first);

	for (unsigned i = 1; !err && i < a->mount_opts_nr; i++)
		err = subject_up(b, PEER_MBFS, NULL, a->mount_opts[i]);
	for (unsigned i = 0; !err && i < a->also_nr; i++)
		err = subject_up(b, PEER_MBFS, a->also[i], first);
	for (unsigned kind = PEER_MBFS + 1; !err && kind < PEER_NR; kind++)
		if (peer_wanted(a, kind))
			err = subject_up(b, kind, NULL, NULL);
	return err;
}

/* All are taken down, whatever fails. */
static int subjects_down(struct bench *b)
{
	struct mbfs_diag diag;
	int err = 0;

	for (unsigned i = 0; i < b->subject_nr; i++) {
		struct subject *s = &b->subjects[i];

		diag.text[0] = 0;
		if (s->up && bench_peer_down(&s->peer, &diag)) {
			fprintf(stderr, "mbfs-bench: %s: %s\n", s->name, diag.text);
			err = -EIO;
		}
		free(s->passes);
	}
	return err;
}

static int turn_run(struct bench *b, unsigned turn)
{
	for (unsigned c = 0; c < b->case_nr; c++) {
		for (unsigned i = 0; i < b->subject_nr; i++) {
			struct subject *s = &b->subjects[i];
			int err;

			if (!s->up || s->turns < turn)
				continue;
			fprintf(stderr, "turn %u of %u: depth %u, %u file%s: %s\n", turn + 1,
				b->args->times, b->cases[c].depth, b->cases[c].files,
				b->cases[c].files == 1 ? "" : "s", s->name);
			err = case_run(b, s, c, turn);
			if (!err)
				continue;
			fprintf(stderr, "mbfs-bench: %s: %s%s\n", s->name,
				err == -EILSEQ ? "a block does not hold what was written to it"
					       : strerror(-err),
				s->peer.kind == PEER_MBFS ? "" : " (left out from here on)");
			if (s->peer.kind == PEER_MBFS)
				return err;
			s->up = false; /* what it did before is kept */
			(void)bench_peer_down(&s->peer, &(struct mbfs_diag){ "" });
		}
	}
	for (unsigned i = 0; i < b->subject_nr; i++)
		if (b->subjects[i].up)
			b->subjects[i].turns = turn + 1;
	return 0;
}

/* ---- report ---- */

static double metric(const struct subject *s, unsigned c, enum state st, enum metric m)
{
	return bench_median(s->passes[c][st].v[m], s->turns);
}

/* The median of a / b, turn by turn; 0: not measured. */
static double ratio(const struct subject *a, enum state a_state, const struct subject *b,
		    enum state b_state, unsigned c)
{
	unsigned nr = a->turns < b->turns ? a->turns : b->turns;
	double of[BENCH_TIMES_MAX];

	for (unsigned t = 0; t < nr; t++)
		of[t] = a->passes[c][a_state].v[RATE][t] / b->passes[c][b_state].v[RATE][t];
	return bench_median(of, nr);
}

static const char *human_ns(char buf[16], double ns)
{
	return ns < 0 ? "-" : race_human_ns(buf, (uint64_t)ns);
}

static void print_pass(const struct bench *b, unsigned c, enum state st, const struct subject *s)
{
	const struct aio_case *k = &b->cases[c];
	char t[4][16];

	if (!s->turns)
		return;
	printf("%-9s %5u %5u  %-22s %9s %10s %10s %10s", state_names[st], k->depth, k->files,
	       s->name, race_human_nr(t[0], metric(s, c, st, RATE)),
	       human_ns(t[1], metric(s, c, st, P50_NS)), human_ns(t[2], metric(s, c, st, P99_NS)),
	       human_ns(t[3], metric(s, c, st, CPU_NS)));
	if (s != b->subjects)
		printf(" %7.2fx", ratio(b->subjects, st, s, st, c));
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
			ratio(b->subjects, st, s, st, c), s->turns);
}

static void print_conversion(const struct bench *b, unsigned c, const struct subject *s)
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

/* Others' load falls on the rates of all, but not evenly; CPU time per write suffers least. */
static void warn_if_busy(void)
{
	double busy, cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);

	if (getloadavg(&busy, 1) == 1 && busy > cpus + 2) /* client and daemon are two */
		fprintf(stderr,
			"mbfs-bench: the machine is busy (load %.1f on %.0f CPUs): trust CPU "
			"time a write and p50 more than rates\n",
			busy, cpus);
}

static void report(const struct bench *b)
{
	warn_if_busy();
	printf("random writes of 4 KiB, O_DIRECT, %s, medians of %u\n"
	       "%-9s %5s %5s  %-22s %9s %10s %10s %10s %8s\n",
	       bench_engine_name(b->args->engine), b->args->times, "blocks", "depth", "files", "",
	       "writes/s", "p50", "p99", "daemon CPU", "first/it");
	for (unsigned st = STATE_NR; st-- > 0;)
		for (unsigned c = 0; c < b->case_nr; c++)
			for (unsigned i = 0; i < b->subject_nr; i++)
				print_pass(b, c, st, &b->subjects[i]);
	printf("\nunwritten against written blocks; time, CPU and conversions a write\n"
	       "%5s %5s  %-22s %10s %12s %12s %9s %9s %9s\n",
	       "depth", "files", "", "rate", "more time", "more CPU", "converted", "queued",
	       "merged");
	for (unsigned c = 0; c < b->case_nr; c++)
		for (unsigned i = 0; i < b->subject_nr; i++)
			print_conversion(b, c, &b->subjects[i]);
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
	err = subjects_up(b);
	for (unsigned turn = 0; !err && turn < args->times; turn++)
		err = turn_run(b, turn);
	if (!err)
		report(b);
	if (subjects_down(b))
		err = -EIO;
	free(b->order);
	free(b);
	return err ? 1 : 0;
}
