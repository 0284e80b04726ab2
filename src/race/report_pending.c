// SPDX-License-Identifier: GPL-2.0-only
/* What a run of pending-one-seq has counted, as a table, as JSON, as Markdown. */
#include "race/race_priv.h"

/* Without times that nobody has measured. */
static const char *some_ns(char *buf, uint64_t ns)
{
	return ns ? race_human_ns(buf, ns) : "-";
}

static void table_head(FILE *out)
{
	fprintf(out, "%-15s %-8s %-8s %7s %6s %8s %9s %7s %7s %6s %7s %6s %9s %9s %9s %9s %9s\n",
		"variant", "workload", "result", "writers", "rounds", "objects", "past end",
		"BUG_ON", "no list", "early", "lost", "late", "add p50", "p99", "max", "locked",
		"lock max");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_pending_tally *t = &res->pending;
	char nr[8][16], ns[5][16];

	fprintf(out, "%-15s %-8s %-8s %7u %6s %8s %9s %7s %7s %6s %7s %6s %9s %9s %9s %9s %9s\n",
		cfg->variant.name, cfg->workload->name, race_verdict(cfg, res), cfg->threads,
		race_human_nr(nr[0], (double)res->rounds),
		race_human_nr(nr[1], (double)t->processed),
		race_human_nr(nr[2], (double)t->past_end), race_human_nr(nr[3], (double)t->bug_on),
		race_human_nr(nr[4], (double)t->no_list), race_human_nr(nr[5], (double)t->early),
		race_human_nr(nr[6], (double)t->lost), race_human_nr(nr[7], (double)t->late),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns), some_ns(ns[3], t->lock_ns),
		some_ns(ns[4], t->lock_max_ns));
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_pending_tally *t = &res->pending;

	(void)cfg;
	race_json_u64(out, "attempts", res->sum.attempts);
	race_json_u64(out, "rounds", res->rounds);
	race_json_u64(out, "processed", t->processed);
	race_json_u64(out, "past_end", t->past_end);
	race_json_u64(out, "bug_on", t->bug_on);
	race_json_u64(out, "no_list", t->no_list);
	race_json_u64(out, "early", t->early);
	race_json_u64(out, "lost", t->lost);
	race_json_u64(out, "late", t->late);
	race_json_u64(out, "unaccounted", t->unaccounted);
	race_json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	race_json_u64(out, "max_ns", res->sum.lat.max_ns);
	race_json_u64(out, "lock_ns", t->lock_ns);
	race_json_u64(out, "lock_max_ns", t->lock_max_ns);
}

static void markdown_head(FILE *out)
{
	fputs("| variant | workload | writers | result | objects | past the end | BUG_ON | no list "
	      "| early | lost | late callbacks | add p50 | p99 | max | longest lock of a round, "
	      "median | max |\n"
	      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_pending_tally *t = &res->pending;
	char nr[7][16], ns[5][16];

	fprintf(out,
		"| `%s` | %s | %u | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s "
		"|\n",
		cfg->variant.name, cfg->workload->name, cfg->threads, race_verdict(cfg, res),
		race_human_nr(nr[0], (double)t->processed),
		race_human_nr(nr[1], (double)t->past_end), race_human_nr(nr[2], (double)t->bug_on),
		race_human_nr(nr[3], (double)t->no_list), race_human_nr(nr[4], (double)t->early),
		race_human_nr(nr[5], (double)t->lost), race_human_nr(nr[6], (double)t->late),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns), some_ns(ns[3], t->lock_ns),
		some_ns(ns[4], t->lock_max_ns));
}

const struct race_report pending_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};
