// SPDX-License-Identifier: GPL-2.0-only
/* What a run of a mempool scenario has counted, as a table, as JSON, as Markdown. */
#include "race/race_priv.h"
#include "reclaim/mempool.h"

void race_pools_add(struct race_pools *sum, const struct mempool *pool)
{
	struct mempool_stats st;

	mempool_stats(pool, &st);
	sum->allocs += st.allocs;
	sum->from_allocator += st.from_allocator;
	sum->from_reserve += st.from_reserve;
	sum->from_wait += st.from_wait;
	sum->waits += st.waits;
	sum->wait_ns += st.wait_ns;
	if (st.wait_max_ns > sum->wait_max_ns)
		sum->wait_max_ns = st.wait_max_ns;
}

static double percent(uint64_t part, uint64_t of)
{
	return of ? 100.0 * (double)part / (double)of : 0;
}

/* An object of the reserve, also if it went from hand to hand. */
static uint64_t reserved(const struct race_pools *p)
{
	return p->from_reserve + p->from_wait;
}

static void json_pools(FILE *out, const struct race_result *res)
{
	const struct race_pools *p = &res->pools;

	race_json_u64(out, "attempts", res->sum.attempts);
	if (res->livelock)
		fputs("\"ops_per_s\":null,", out);
	else
		fprintf(out, "\"ops_per_s\":%.0f,", race_per_second(res->sum.attempts, res));
	race_json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	race_json_u64(out, "max_ns", res->sum.lat.max_ns);
	race_json_u64(out, "reserve", p->reserve);
	race_json_u64(out, "allocs", p->allocs);
	race_json_u64(out, "from_allocator", p->from_allocator);
	race_json_u64(out, "from_reserve", p->from_reserve);
	race_json_u64(out, "from_wait", p->from_wait);
	race_json_u64(out, "waits", p->waits);
	race_json_u64(out, "wait_ns", p->wait_ns);
	race_json_u64(out, "wait_max_ns", p->wait_max_ns);
}

/* ---- mempool-abba ---- */

/* Of a run that came to a standstill there is none. */
static const char *rate(char *buf, const struct race_result *res)
{
	return res->livelock ? "-" : race_human_nr(buf, race_per_second(res->sum.attempts, res));
}

static void mempool_table_head(FILE *out)
{
	fprintf(out, "%-15s %-8s %-8s %7s %7s %8s %8s %8s %9s %9s %9s\n", "variant", "workload",
		"result", "writers", "reserve", "ops", "ops/s", "waits", "take p50", "p99", "max");
}

static void mempool_table_row(FILE *out, const struct race_config *cfg,
			      const struct race_result *res)
{
	char nr[3][16], ns[3][16];

	fprintf(out, "%-15s %-8s %-8s %7u %7u %8s %8s %8s %9s %9s %9s\n", cfg->variant.name,
		cfg->workload->name, race_verdict(cfg, res), cfg->threads, res->pools.reserve,
		race_human_nr(nr[0], (double)res->sum.attempts),
		rate(nr[1], res),
		race_human_nr(nr[2], (double)res->pools.waits),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns));
}

static void mempool_json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	(void)cfg;
	json_pools(out, res);
}

static void mempool_markdown_head(FILE *out)
{
	fputs("| variant | workload | writers | reserve | result | operations | operations/s | "
	      "take p50 | p99 | max |\n|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void mempool_markdown_row(FILE *out, const struct race_config *cfg,
				 const struct race_result *res)
{
	char nr[2][16], ns[3][16];

	fprintf(out, "| `%s` | %s | %u | %u | %s | %s | %s | %s | %s | %s |\n", cfg->variant.name,
		cfg->workload->name, cfg->threads, res->pools.reserve, race_verdict(cfg, res),
		race_human_nr(nr[0], (double)res->sum.attempts),
		rate(nr[1], res),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns));
}

/* ---- mempool-depletion ---- */

static const char *when(char *buf, uint64_t ns)
{
	return ns == RACE_NEVER ? "never" : race_human_ns(buf, ns);
}

const struct race_report mempool_report = {
	.table_head = mempool_table_head,
	.table_row = mempool_table_row,
	.json = mempool_json,
	.markdown_head = mempool_markdown_head,
	.markdown_row = mempool_markdown_row,
};

static void depletion_table_head(FILE *out)
{
	fprintf(out, "%-14s %8s %-8s %7s %7s %8s %9s %8s %9s %9s %9s %8s %9s %9s\n", "variant",
		"pressure", "result", "writers", "reserve", "ops/s", "reserve %", "waits", "p50",
		"p99", "max", "reclaims", "empty at", "reclaim");
}

static void depletion_table_row(FILE *out, const struct race_config *cfg,
				const struct race_result *res)
{
	const struct race_pools *p = &res->pools;
	char nr[3][16], ns[5][16];

	fprintf(out, "%-14s %6u %% %-8s %7u %7u %8s %9.2f %8s %9s %9s %9s %8s %9s %9s\n",
		cfg->variant.name, cfg->pressure, race_verdict(cfg, res), cfg->threads, p->reserve,
		race_human_nr(nr[0], race_per_second(res->sum.attempts, res)),
		percent(reserved(p), p->allocs), race_human_nr(nr[1], (double)p->waits),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_human_nr(nr[2], (double)p->reclaims), when(ns[3], p->empty_ns),
		when(ns[4], p->reclaim_ns));
}

static void json_when(FILE *out, const char *key, uint64_t ns)
{
	if (ns == RACE_NEVER)
		fprintf(out, "\"%s\":null,", key);
	else
		race_json_u64(out, key, ns);
}

static void depletion_json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct race_pools *p = &res->pools;

	json_pools(out, res);
	race_json_u64(out, "pressure", cfg->pressure);
	fprintf(out, "\"reserve_percent\":%.3f,", percent(reserved(p), p->allocs));
	race_json_u64(out, "reclaims", p->reclaims);
	race_json_u64(out, "background", p->background);
	json_when(out, "empty_ns", p->empty_ns);
	json_when(out, "reclaim_ns", p->reclaim_ns);
	json_when(out, "background_ns", p->background_ns);
}

static void depletion_markdown_head(FILE *out)
{
	fputs("| variant | pressure | writers | result | operations/s | from the reserve | waits | "
	      "alloc p50 | p99 | max | reclaims | in the background | reserve first empty | first "
	      "reclaim |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void depletion_markdown_row(FILE *out, const struct race_config *cfg,
				   const struct race_result *res)
{
	const struct race_pools *p = &res->pools;
	char nr[4][16], ns[5][16];

	fprintf(out,
		"| `%s` | %u %% | %u | %s | %s | %.3g %% | %s | %s | %s | %s | %s | %s | %s | %s "
		"|\n",
		cfg->variant.name, cfg->pressure, cfg->threads, race_verdict(cfg, res),
		race_human_nr(nr[0], race_per_second(res->sum.attempts, res)),
		percent(reserved(p), p->allocs), race_human_nr(nr[1], (double)p->waits),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_human_nr(nr[2], (double)p->reclaims),
		race_human_nr(nr[3], (double)p->background), when(ns[3], p->empty_ns),
		when(ns[4], p->reclaim_ns));
}

const struct race_report depletion_report = {
	.table_head = depletion_table_head,
	.table_row = depletion_table_row,
	.json = depletion_json,
	.markdown_head = depletion_markdown_head,
	.markdown_row = depletion_markdown_row,
};
