// SPDX-License-Identifier: GPL-2.0-only
/* What a run of an endio scenario has counted, as a table, as JSON, as Markdown. */
#include "race/race_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(f)                                         \
	{                                                \
#f, offsetof(struct race_endio_stats, f) \
	}

static const struct race_stat_field fields[] = {
	FIELD(in_flight_max), FIELD(begun),    FIELD(queued),     FIELD(requeued),
	FIELD(converted),     FIELD(merged),   FIELD(failed),     FIELD(flushes),
	FIELD(flush_waits),   FIELD(flush_ns), FIELD(after_free),
};

bool endio_stats_parse(const char *json, struct race_endio_stats *out)
{
	const char *object = strstr(json, "\"endio\":{"), *at;

	memset(out, 0, sizeof(*out));
	if (!object)
		return false;
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(fields); i++) {
		at = race_json_value(object, fields[i].name);
		if (at)
			*(uint64_t *)(void *)((char *)out + fields[i].off) = strtoull(at, NULL, 10);
	}
	return true;
}

static void table_head(FILE *out)
{
	fprintf(out,
		"%-18s %-9s %-8s %7s %8s %8s %7s %7s %10s %6s %8s %8s %8s %8s %9s %9s %9s %s\n",
		"variant", "workload", "result", "writers", "writes", "changes", "rounds", "stale",
		"after free", "flight", "queued", "requeued", "merged", "writes/s", "p50", "p99",
		"max", "image");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_endio_stats *s = &res->endio;
	char nr[10][16], ns[3][16];

	fprintf(out,
		"%-18s %-9s %-8s %7u %8s %8s %7s %7s %10s %6s %8s %8s %8s %8s %9s %9s %9s %s\n",
		cfg->variant.name, cfg->workload->name, race_verdict(cfg, res), cfg->threads,
		race_human_nr(nr[0], (double)res->sum.attempts),
		race_human_nr(nr[1], (double)res->sum.changes),
		race_human_nr(nr[2], (double)res->rounds),
		race_human_nr(nr[3], (double)res->sum.stale),
		res->have_stats ? race_human_nr(nr[4], (double)s->after_free) : "-",
		res->have_stats ? race_human_nr(nr[5], (double)s->in_flight_max) : "-",
		res->have_stats ? race_human_nr(nr[6], (double)s->queued) : "-",
		res->have_stats ? race_human_nr(nr[7], (double)s->requeued) : "-",
		res->have_stats ? race_human_nr(nr[8], (double)s->merged) : "-",
		race_human_nr(nr[9], race_per_second(res->sum.attempts, res)),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns), race_check_word(cfg, res));
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	(void)cfg;
	race_json_u64(out, "attempts", res->sum.attempts);
	race_json_u64(out, "changes", res->sum.changes);
	race_json_u64(out, "rounds", res->rounds);
	race_json_u64(out, "blocks_read", res->sum.looks);
	race_json_u64(out, "stale", res->sum.stale);
	fprintf(out, "\"ops_per_s\":%.0f,", race_per_second(res->sum.attempts, res));
	race_json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	race_json_u64(out, "max_ns", res->sum.lat.max_ns);
	fprintf(out, "\"have_stats\":%s,", res->have_stats ? "true" : "false");
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(fields); i++)
		race_json_u64(out, fields[i].name,
			      *(const uint64_t *)(const void *)((const char *)&res->endio +
								fields[i].off));
}

static void markdown_head(FILE *out)
{
	fputs("| variant | workload | result | writers | writes | writes/s | rounds | stale blocks "
	      "of "
	      "those read | after free | in flight at most | queued | requeued | merged "
	      "| flush waits |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_endio_stats *s = &res->endio;
	char nr[2][16];

	fprintf(out,
		"| `%s` | %s | %s | %u | %" PRIu64 " | %s | %" PRIu64 " | %" PRIu64
		" of %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
		" | %" PRIu64 " |\n",
		cfg->variant.name, cfg->workload->name, race_verdict(cfg, res), cfg->threads,
		res->sum.attempts, race_human_nr(nr[0], race_per_second(res->sum.attempts, res)),
		res->rounds, res->sum.stale, race_human_nr(nr[1], (double)res->sum.looks),
		s->after_free, s->in_flight_max, s->queued, s->requeued, s->merged, s->flush_waits);
}

const struct race_report endio_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};
