// SPDX-License-Identifier: GPL-2.0-only
/* What a run of extent-state-nofail has counted, as a table, as JSON, as Markdown. */
#include "race/race_priv.h"

#include <inttypes.h>

static void table_head(FILE *out)
{
	fprintf(out, "%-13s %-10s %-8s %7s %7s %8s %8s %7s %9s %7s %8s %9s %9s %9s %9s\n",
		"variant", "workload", "result", "writers", "reserve", "ops", "not done", "rounds",
		"compared", "unlike", "waits", "ops/s", "batch p50", "p99", "max");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	char nr[7][16], ns[3][16];

	fprintf(out, "%-13s %-10s %-8s %7u %7u %8s %8s %7s %9s %7s %8s %9s %9s %9s %9s\n",
		cfg->variant.name, cfg->workload->name, race_verdict(cfg, res), cfg->threads,
		res->pools.reserve, race_human_nr(nr[0], (double)res->sum.attempts),
		race_human_nr(nr[1], (double)res->states.failed),
		race_human_nr(nr[2], (double)res->rounds),
		race_human_nr(nr[3], (double)res->states.compared),
		race_human_nr(nr[4], (double)res->states.differ),
		race_human_nr(nr[5], (double)res->pools.waits),
		res->livelock ? "-" : race_human_nr(nr[6], race_per_second(res->sum.attempts, res)),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns));
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	mempool_report.json(out, cfg, res);
	race_json_u64(out, "failed", res->states.failed);
	race_json_u64(out, "compared", res->states.compared);
	race_json_u64(out, "differ", res->states.differ);
	race_json_u64(out, "rounds", res->rounds);
}

static void markdown_head(FILE *out)
{
	fputs("| variant | workload | writers | reserve | result | operations | operations/s | not "
	      "done | unlike the twin, of pieces compared | waits | batch p50 | p99 | max |\n"
	      "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	char nr[4][16], ns[3][16];

	fprintf(out,
		"| `%s` | %s | %u | %u | %s | %s | %s | %" PRIu64 " | %" PRIu64
		" of %s | %s | %s | %s | %s |\n",
		cfg->variant.name, cfg->workload->name, cfg->threads, res->pools.reserve,
		race_verdict(cfg, res), race_human_nr(nr[0], (double)res->sum.attempts),
		res->livelock ? "-" : race_human_nr(nr[1], race_per_second(res->sum.attempts, res)),
		res->states.failed, res->states.differ,
		race_human_nr(nr[2], (double)res->states.compared),
		race_human_nr(nr[3], (double)res->pools.waits),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns));
}

const struct race_report state_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};
