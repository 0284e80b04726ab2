// SPDX-License-Identifier: GPL-2.0-only
/* What a run of resize-writers has counted, as a table, as JSON, as Markdown. */
#include "race/resize.h"

#include <inttypes.h>

static void table_head(FILE *out)
{
	fprintf(out, "%-11s %-8s %7s %7s %9s %9s %9s %8s %7s %9s %9s %9s %9s %s\n", "variant",
		"result", "writers", "rounds", "growths", "growths/s", "calls", "ENOSPC", "stale",
		"looks", "call p50", "p99", "max", "check");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_tally *t = &res->sum;
	char nr[6][16], ns[3][16];

	fprintf(out, "%-11s %-8s %7u %7" PRIu64 " %9s %9s %9s %8s %7" PRIu64
		     " %9s %9s %9s %9s %s\n",
		cfg->variant.name, race_verdict(cfg, res), cfg->threads - 1, res->rounds,
		race_human_nr(nr[0], (double)t->changes),
		race_human_nr(nr[1], race_per_second(t->changes, res)),
		race_human_nr(nr[2], (double)t->attempts), race_human_nr(nr[3], (double)t->enospc),
		t->stale, race_human_nr(nr[4], (double)t->looks),
		race_human_ns(ns[0], race_hist_at(&t->lat, 500)),
		race_human_ns(ns[1], race_hist_at(&t->lat, 990)),
		race_human_ns(ns[2], t->lat.max_ns), race_check_word(cfg, res));
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_tally *t = &res->sum;

	(void)cfg;
	race_json_u64(out, "attempts", t->attempts);
	race_json_u64(out, "enospc", t->enospc);
	race_json_u64(out, "rounds", res->rounds);
	race_json_u64(out, "growths", t->changes);
	race_json_u64(out, "looks", t->looks);
	race_json_u64(out, "stale", t->stale);
	race_json_u64(out, "died", res->died);
	race_json_u64(out, "p50_ns", race_hist_at(&t->lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&t->lat, 990));
	race_json_u64(out, "max_ns", t->lat.max_ns);
}

static void markdown_head(FILE *out)
{
	fputs("| variant | writers | result | rounds | growths | growths/s | calls | ENOSPC | call "
	      "p50 | p99 | max | note |\n"
	      "|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_tally *t = &res->sum;
	char nr[4][16], ns[3][16];

	fprintf(out, "| `%s` | %u | %s | %" PRIu64 " | %s | %s | %s | %s | %s | %s | %s | %s |\n",
		cfg->variant.name, cfg->threads - 1, race_verdict(cfg, res), res->rounds,
		race_human_nr(nr[0], (double)t->changes),
		race_human_nr(nr[1], race_per_second(t->changes, res)),
		race_human_nr(nr[2], (double)t->attempts), race_human_nr(nr[3], (double)t->enospc),
		race_human_ns(ns[0], race_hist_at(&t->lat, 500)),
		race_human_ns(ns[1], race_hist_at(&t->lat, 990)),
		race_human_ns(ns[2], t->lat.max_ns), res->note);
}

const struct race_report resize_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};
