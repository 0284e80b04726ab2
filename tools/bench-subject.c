// SPDX-License-Identifier: GPL-2.0-only
#include "bench-subject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { STATS_BYTES = 32768 };

/* ---- mounts ---- */

static bool peer_wanted(const struct bench_args *args, enum bench_peer_kind kind)
{
	return !args->peers || (args->peers & 1u << kind);
}

/* The next subject. @daemon, @opts: NULL as usual. */
static int subject_up(struct bench_subjects *all, const struct bench_args *args,
		      enum bench_peer_kind kind, const char *daemon, const char *opts,
		      size_t figures_bytes)
{
	struct bench_subject *s = &all->all[all->nr];
	struct mbfs_diag diag = { "" };

	s->args = *args;
	if (daemon)
		s->args.mbfsd = daemon;
	s->opts = opts;
	snprintf(s->name, sizeof(s->name), "%s%s%s", daemon ? daemon : bench_peer_name(kind),
		 opts ? " " : "", opts ? opts : "");
	s->figures = calloc(1, figures_bytes);
	if (!s->figures)
		return -ENOMEM;
	all->nr++;
	fprintf(stderr, "mounting %s\n", s->name);
	if (bench_peer_up(&s->peer, &s->args, kind, opts, true, &diag) == 0) {
		s->up = true;
		return 0;
	}
	fprintf(stderr, "mbfs-bench: %s: %s%s\n", s->name, diag.text,
		kind == PEER_MBFS ? "" : " (left out)");
	return kind == PEER_MBFS ? -EIO : 0;
}

int bench_subjects_up(struct bench_subjects *s, const struct bench_args *a, const char *const *opts,
		      unsigned opts_nr, size_t figures_bytes)
{
	int err = 0;

	for (unsigned i = 0; !err && i < opts_nr; i++)
		err = subject_up(s, a, PEER_MBFS, NULL, opts[i], figures_bytes);
	for (unsigned i = 0; !err && i < a->also_nr; i++)
		err = subject_up(s, a, PEER_MBFS, a->also[i], opts[0], figures_bytes);
	for (unsigned kind = PEER_MBFS + 1; !err && kind < PEER_NR; kind++)
		if (peer_wanted(a, kind))
			err = subject_up(s, a, kind, NULL, NULL, figures_bytes);
	return err;
}

int bench_subjects_down(struct bench_subjects *all)
{
	struct mbfs_diag diag;
	int err = 0;

	for (unsigned i = 0; i < all->nr; i++) {
		struct bench_subject *s = &all->all[i];

		diag.text[0] = 0;
		if (s->up && bench_peer_down(&s->peer, &diag)) {
			fprintf(stderr, "mbfs-bench: %s: %s\n", s->name, diag.text);
			err = -EIO;
		}
		free(s->figures);
	}
	return err;
}

/* ---- turns ---- */

int bench_subjects_turn(struct bench_subjects *all, unsigned turn, const char *what,
			int (*measure)(void *ctx, struct bench_subject *subject, unsigned turn),
			void *ctx)
{
	for (unsigned i = 0; i < all->nr; i++) {
		struct bench_subject *s = &all->all[i];
		int err;

		if (!s->up || s->turns < turn)
			continue;
		fprintf(stderr, "turn %u of %u: %s: %s\n", turn + 1, s->args.times, what, s->name);
		err = measure(ctx, s, turn);
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
	return 0;
}

void bench_subjects_turn_end(struct bench_subjects *all, unsigned turn)
{
	for (unsigned i = 0; i < all->nr; i++)
		if (all->all[i].up)
			all->all[i].turns = turn + 1;
}

/* ---- what the daemon says ---- */

static double number_after(const char *text, const char *key)
{
	const char *at = text ? strstr(text, key) : NULL;

	return at ? strtod(at + strlen(key), NULL) : -1;
}

void bench_gauge_read(const struct bench_subject *s, struct bench_gauge *g)
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

double bench_gauge_each(double before, double after, uint64_t nr)
{
	return before < 0 || after < 0 || !nr ? -1 : (after - before) / (double)nr;
}

/* CPU time per write suffers least. */
void bench_warn_if_busy(void)
{
	double busy, cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);

	if (getloadavg(&busy, 1) == 1 && busy > cpus + 2) /* client and daemon are two */
		fprintf(stderr,
			"mbfs-bench: the machine is busy (load %.1f on %.0f CPUs): trust CPU "
			"time a write and p50 more than rates\n",
			busy, cpus);
}
