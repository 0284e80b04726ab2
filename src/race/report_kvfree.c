// SPDX-License-Identifier: GPL-2.0-only
/* What a run of kvfree-nomem has counted, as a table, as JSON, as Markdown. */
#include "race/race_priv.h"

enum { COUNTS = 10 };

/* What became of objects, and where they were kept, in the order of the columns. */
static const struct count {
	const char *json, *table, *markdown;
	size_t off;
} counts[COUNTS] = {
#define COUNT(field, table, markdown) \
	{ #field, table, markdown, offsetof(struct race_kvfree_tally, field) }
	COUNT(lost, "lost", "lost"),
	COUNT(twice, "twice", "freed twice"),
	COUNT(read_freed, "read", "read after free"),
	COUNT(in_pages, "in page", "in a page"),
	COUNT(spared, "spare", "spare pages"),
	COUNT(in_heads, "in head", "own head"),
	COUNT(in_ones, "in one", "head from memory"),
	COUNT(inline_waits, "waits", "waits"),
	COUNT(refused, "refused", "refused"),
	COUNT(floods, "floods", "floods"),
#undef COUNT
};

static uint64_t count_of(const struct race_result *res, unsigned idx)
{
	return *(const uint64_t *)((const char *)&res->kvfree + counts[idx].off);
}

static void table_head(FILE *out)
{
	fprintf(out, "%-13s %-8s %-8s %8s %6s %8s", "variant", "workload", "result", "updaters",
		"rounds", "freed");
	for (unsigned i = 0; i < COUNTS; i++)
		fprintf(out, " %7s", counts[i].table);
	fprintf(out, " %9s %9s %9s %7s\n", "give p50", "p99", "max", "waiting");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	char nr[3][16], ns[3][16];

	fprintf(out, "%-13s %-8s %-8s %8u %6s %8s", cfg->variant.name, cfg->workload->name,
		race_verdict(cfg, res), cfg->threads, race_human_nr(nr[0], (double)res->rounds),
		race_human_nr(nr[1], (double)res->kvfree.freed));
	for (unsigned i = 0; i < COUNTS; i++)
		fprintf(out, " %7s", race_human_nr(nr[2], (double)count_of(res, i)));
	fprintf(out, " %9s %9s %9s %7s\n", race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_human_nr(nr[2], (double)res->kvfree.waiting_max));
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	(void)cfg;
	race_json_u64(out, "attempts", res->sum.attempts);
	race_json_u64(out, "rounds", res->rounds);
	race_json_u64(out, "freed", res->kvfree.freed);
	for (unsigned i = 0; i < COUNTS; i++)
		race_json_u64(out, counts[i].json, count_of(res, i));
	race_json_u64(out, "waiting_max", res->kvfree.waiting_max);
	race_json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	race_json_u64(out, "max_ns", res->sum.lat.max_ns);
}

static void markdown_head(FILE *out)
{
	fputs("| variant | workload | updaters | result | freed |", out);
	for (unsigned i = 0; i < COUNTS; i++)
		fprintf(out, " %s |", counts[i].markdown);
	fputs(" give p50 | p99 | max | most waiting |\n|", out);
	for (unsigned i = 0; i < COUNTS + 9; i++)
		fputs("---|", out);
	putc('\n', out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	char nr[16], ns[3][16];

	fprintf(out, "| `%s` | %s | %u | %s | %s |", cfg->variant.name, cfg->workload->name,
		cfg->threads, race_verdict(cfg, res), race_human_nr(nr, (double)res->kvfree.freed));
	for (unsigned i = 0; i < COUNTS; i++)
		fprintf(out, " %s |", race_human_nr(nr, (double)count_of(res, i)));
	fprintf(out, " %s | %s | %s | %s |\n",
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_human_nr(nr, (double)res->kvfree.waiting_max));
}

const struct race_report kvfree_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};
