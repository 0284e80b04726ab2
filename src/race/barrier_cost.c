// SPDX-License-Identifier: GPL-2.0-only
/*
 * rcu-barrier-cost: the question of the RFC of 2020 (shared seed 000_74c0ad44fbb4eb92): how
 * expensive can a barrier be when a system of many CPUs gets one from each of them? Each writer
 * queues callbacks, asks for the barrier, and looks whether all of them have run. All ask together:
 * they meet before each barrier. CPU is that of the whole process.
 */
#include "race/barrier.h"
#include "race/race_priv.h"

#include <errno.h>
#include <sys/resource.h>

enum { CALLBACKS_MANY = 1000 };

const struct race_workload barrier_workloads[] = {
	{ "one", "each writer has queued one callback" },
	{ "idle", "none" },
	{ "many", "1000" },
	{ NULL, NULL },
};

struct room {
	struct barrier b;
	rt_u64 not_run;  /* [atomic] callbacks that had not run when the barrier was over */
	uint64_t cpu_ns; /* of the process, before and [end] spent */
};

static uint64_t cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static unsigned callbacks(const struct race_config *cfg)
{
	switch (cfg->workload->name[0]) {
	case 'o':
		return 1;
	case 'i':
		return 0;
	default:
		return CALLBACKS_MANY;
	}
}

/* ---- the child ---- */

static int start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct room *r = ctx;

	(void)nr;
	barrier_open(&r->b, workers[0].cfg->variant.name, workers[0].cfg->cpus);
	r->cpu_ns = cpu_ns();
	return 0;
}

static int end(void *ctx)
{
	struct room *r = ctx;

	r->cpu_ns = cpu_ns() - r->cpu_ns;
	barrier_close(&r->b);
	return 0;
}

/* All are at the gate. */
static void leader(struct race_worker *w)
{
	if (race_stopped(w) || (w->cfg->rounds && rt_u64_read(&w->sh->rounds) >= w->cfg->rounds))
		rt_u32_set(&w->sh->quit, 1);
	else
		rt_u64_add(&w->sh->rounds, 1);
}

static void worker(struct race_worker *w)
{
	struct room *r = w->ctx;
	unsigned nr = callbacks(w->cfg);
	struct barrier_item *item = rt_zalloc(sizeof(*item) * (nr + 1));
	uint64_t from;

	if (!item)
		race_broke(w, "callbacks", -ENOMEM);
	else
		barrier_join(&r->b, w->idx);
	while (race_gate_pass(w, leader)) {
		if (!item)
			continue;
		for (unsigned i = 0; i < nr; i++)
			barrier_call(&r->b, &item[i]);
		from = rt_now_ns();
		barrier_wait(&r->b);
		race_count_call(w, rt_now_ns() - from, 0);
		for (unsigned i = 0; i < nr; i++)
			rt_u64_add(&r->not_run, !barrier_ran(&r->b, &item[i]));
	}
	rt_free(item);
}

static const struct race_backend backend = { .start = start, .end = end };

/* ---- the parent ---- */

static void collect(const struct race_config *cfg, const void *ctx, struct race_result *res)
{
	const struct room *r = ctx;

	(void)cfg;
	res->barriers = (struct race_barriers){ .runs = rt_u64_read(&r->b.runs),
						.not_run = rt_u64_read(&r->not_run),
						.cpu_ns = r->cpu_ns };
}

static int plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	(void)usable;
	if (cfg->cpus > STOCK_WORKERS_MAX)
		return diag_set(diag, -EINVAL, "--cpus %u: at most %d workers", cfg->cpus,
				STOCK_WORKERS_MAX);
	return 0;
}

static bool held(const struct race_result *res)
{
	return res->barriers.not_run == 0;
}

/* ---- what it has counted ---- */

static double per(uint64_t what, uint64_t nr)
{
	return nr ? (double)what / (double)nr : 0;
}

static void table_head(FILE *out)
{
	fprintf(out, "%-10s %-8s %-8s %7s %7s %8s %8s %7s %9s %9s %9s %9s\n", "variant", "workload",
		"result", "callers", "workers", "barriers", "runs", "not run", "p50", "p99", "max",
		"CPU each");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_barriers *b = &res->barriers;
	char nr[3][16], ns[4][16];

	fprintf(out, "%-10s %-8s %-8s %7u %7u %8s %8s %7s %9s %9s %9s %9s\n", cfg->variant.name,
		cfg->workload->name, race_verdict(cfg, res), cfg->threads, cfg->cpus,
		race_human_nr(nr[0], (double)res->sum.attempts),
		race_human_nr(nr[1], (double)b->runs), race_human_nr(nr[2], (double)b->not_run),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_human_ns(ns[3], (uint64_t)per(b->cpu_ns, res->sum.attempts)));
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	(void)cfg;
	race_json_u64(out, "attempts", res->sum.attempts);
	race_json_u64(out, "runs", res->barriers.runs);
	race_json_u64(out, "not_run", res->barriers.not_run);
	race_json_u64(out, "cpu_ns", res->barriers.cpu_ns);
	race_json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	race_json_u64(out, "max_ns", res->sum.lat.max_ns);
}

static void markdown_head(FILE *out)
{
	fputs("| variant | workload | callers | workers | result | barriers | runs for each | p50 "
	      "| "
	      "p99 | max | CPU for each |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_barriers *b = &res->barriers;
	char nr[16], ns[4][16];

	fprintf(out, "| `%s` | %s | %u | %u | %s | %s | %.3g | %s | %s | %s | %s |\n",
		cfg->variant.name, cfg->workload->name, cfg->threads, cfg->cpus,
		race_verdict(cfg, res), race_human_nr(nr, (double)res->sum.attempts),
		per(b->runs, res->sum.attempts),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_human_ns(ns[3], (uint64_t)per(b->cpu_ns, res->sum.attempts)));
}

static const struct race_report barrier_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};

const struct race_kind barrier_kind = {
	.room_bytes = sizeof(struct room),
	.collect = collect,
	.defaults = {
		.threads = 32,
		.cpus = 2,
		.run_ms = 2000,
		.grace_ms = 20000,
	},
	.plan_check = plan_check,
	.worker = worker,
	.library = &backend,
	.held = held,
	.report = &barrier_report,
};
