// SPDX-License-Identifier: GPL-2.0-only
/* What a run of enospc has counted, as a table, as JSON, as Markdown. */
#include "race/race_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(f) { #f, offsetof(struct mbfs_alloc_stats, f) }

static const struct race_stat_field stat_fields[] = {
	FIELD(blk_nr),
	FIELD(free_nr),
	FIELD(claimed_nr),
	FIELD(pa_nr),
	FIELD(pa_blks),
	FIELD(groups_loaded),
	FIELD(reqs),
	FIELD(success),
	FIELD(blocks_allocated),
	FIELD(frees),
	FIELD(blocks_freed),
	FIELD(groups_scanned),
	FIELD(extents_scanned),
	FIELD(goal_hits),
	FIELD(stream_goal_hits),
	FIELD(len_goal_hits),
	FIELD(pow2_hits),
	FIELD(breaks),
	FIELD(lost),
	FIELD(buddies_generated),
	FIELD(preallocated),
	FIELD(discarded),
	FIELD(pa_hits_inode),
	FIELD(pa_hits_group),
	FIELD(enospc),
	FIELD(false_enospc),
	FIELD(claim_failed),
	FIELD(passes),
	FIELD(sweeps),
	FIELD(retries),
	FIELD(cap_hits),
	FIELD(seq_mismatches),
	FIELD(barriers),
	FIELD(barrier_ns),
	FIELD(barrier_max_ns),
	FIELD(waits),
	FIELD(wait_ns),
	FIELD(slow_calls),
	FIELD(slow_max_ns),
};

const struct race_stat_field *race_stat_field_at(unsigned idx)
{
	return idx < MBFS_ARRAY_SIZE(stat_fields) ? &stat_fields[idx] : NULL;
}

static uint64_t *field_of(struct mbfs_alloc_stats *s, const struct race_stat_field *f)
{
	return (uint64_t *)(void *)((char *)s + f->off);
}

static void parse_slow_hist(const char *json, struct mbfs_alloc_stats *out)
{
	const char *at = race_json_value(json, "slow_hist");
	char *end;

	if (!at)
		return;
	at += strspn(at, " [");
	for (unsigned i = 0; i < MBFS_HIST_NR; i++) {
		out->slow_hist[i] = strtoull(at, &end, 10);
		if (end == at)
			return;
		at = end + strspn(end, " ,");
	}
}

unsigned race_stats_parse(const char *json, struct mbfs_alloc_stats *out)
{
	const struct race_stat_field *f;
	const char *at = race_json_value(json, "alloc"); /* names repeat in other sections */
	unsigned nr = 0;

	if (at)
		json = at;
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; (f = race_stat_field_at(i)); i++) {
		at = race_json_value(json, f->name);
		if (!at)
			continue;
		*field_of(out, f) = strtoull(at, NULL, 10);
		nr++;
	}
	parse_slow_hist(json, out);
	return nr;
}

/* Upper end of the bucket of a log2 histogram that holds the given part of all. */
static uint64_t slow_at(const struct mbfs_alloc_stats *s, unsigned per_mille)
{
	uint64_t nr = 0, seen = 0, want, top;

	for (unsigned i = 0; i < MBFS_HIST_NR; i++)
		nr += s->slow_hist[i];
	if (nr == 0)
		return 0;
	want = (nr * per_mille + 999) / 1000;
	for (unsigned i = 0; i < MBFS_HIST_NR; i++) {
		seen += s->slow_hist[i];
		if (seen < want)
			continue;
		top = (2ull << i) - 1;
		return top < s->slow_max_ns ? top : s->slow_max_ns;
	}
	return s->slow_max_ns;
}

static void table_head(FILE *out)
{
	fprintf(out, "%-11s %-10s %-8s %7s %5s %9s %8s %8s %8s %8s %8s %8s %9s %9s %9s %s\n",
		"variant", "workload", "result", "writers", "cpus", "attempts", "ENOSPC", "false",
		"retries", "sweeps", "barriers", "calls/s", "p50", "p99", "max", "image");
}

static void table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	char nr[7][16], ns[3][16];
	const struct mbfs_alloc_stats *s = &res->stats;

	fprintf(out, "%-11s %-10s %-8s %7u %5u %9s %8s %8s %8s %8s %8s %8s %9s %9s %9s %s\n",
		cfg->variant.name, cfg->workload->name, race_verdict(cfg, res), cfg->threads,
		cfg->cpus, race_human_nr(nr[0], (double)res->sum.attempts),
		race_human_nr(nr[1], (double)res->sum.enospc),
		res->have_stats ? race_human_nr(nr[2], (double)s->false_enospc) : "-",
		res->have_stats ? race_human_nr(nr[3], (double)s->retries) : "-",
		res->have_stats ? race_human_nr(nr[4], (double)s->sweeps) : "-",
		res->have_stats ? race_human_nr(nr[5], (double)s->barriers) : "-",
		race_human_nr(nr[6], race_per_second(res->sum.attempts, res)),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		race_check_word(cfg, res));
	if (res->counts_differ)
		fprintf(out,
			"  ^ the writers saw %" PRIu64 " ENOSPC, the allocator's oracle %" PRIu64
			" false ones\n",
			res->sum.enospc, s->false_enospc);
}

/* What the allocator counted. */
static void json_stats(FILE *out, const struct race_result *res)
{
	const struct mbfs_alloc_stats *s = &res->stats;

	fprintf(out, "\"have_stats\":%s,", res->have_stats ? "true" : "false");
	race_json_u64(out, "false_enospc", res->have_stats ? s->false_enospc : res->sum.enospc);
	race_json_u64(out, "passes", s->passes);
	race_json_u64(out, "sweeps", s->sweeps);
	race_json_u64(out, "retries", s->retries);
	race_json_u64(out, "cap_hits", s->cap_hits);
	race_json_u64(out, "seq_mismatches", s->seq_mismatches);
	race_json_u64(out, "barriers", s->barriers);
	race_json_u64(out, "barrier_ns", s->barrier_ns);
	race_json_u64(out, "barrier_max_ns", s->barrier_max_ns);
	race_json_u64(out, "waits", s->waits);
	race_json_u64(out, "wait_ns", s->wait_ns);
	race_json_u64(out, "claim_failed", s->claim_failed);
	race_json_u64(out, "pa_hits_inode", s->pa_hits_inode);
	race_json_u64(out, "pa_hits_group", s->pa_hits_group);
	race_json_u64(out, "discarded", s->discarded);
	race_json_u64(out, "slow_calls", s->slow_calls);
	race_json_u64(out, "slow_p50_ns", slow_at(s, 500));
	race_json_u64(out, "slow_p99_ns", slow_at(s, 990));
	race_json_u64(out, "slow_max_ns", s->slow_max_ns);
}

static void json(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	(void)cfg;
	race_json_u64(out, "attempts", res->sum.attempts);
	race_json_u64(out, "enospc", res->sum.enospc);
	race_json_u64(out, "files", res->sum.files);
	race_json_u64(out, "files_lost", res->sum.files_lost);
	race_json_u64(out, "rounds", res->rounds);
	race_json_u64(out, "rounds_lost", res->rounds_lost);
	race_json_u64(out, "blocks", res->sum.blocks);
	fprintf(out, "\"ops_per_s\":%.0f,", race_per_second(res->sum.attempts, res));
	race_json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	race_json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	race_json_u64(out, "max_ns", res->sum.lat.max_ns);
	json_stats(out, res);
	fprintf(out, "\"counts_differ\":%s,", res->counts_differ ? "true" : "false");
}

static void markdown_head(FILE *out)
{
	fputs("| variant | writers | virtual CPUs | calls | false ENOSPC | rate | files lost "
	      "| passes | sweeps | barriers (mean) | waits | slow calls | slow p50 | p99 | max |\n"
	      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
}

static void markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	const struct mbfs_alloc_stats *s = &res->stats;
	char nr[6][16], ns[4][16], rate[32];

	if (res->livelock)
		snprintf(rate, sizeof(rate), "livelock");
	else
		snprintf(rate, sizeof(rate), "%.3g %%",
			 res->sum.attempts ? 100.0 * (double)res->sum.enospc /
						     (double)res->sum.attempts : 0.0);
	fprintf(out, "| %s | %u | %u | %s | %" PRIu64 " | %s | %" PRIu64 "/%" PRIu64
		     " | %s | %s | %s (%s) | %s | %s | %s | %s | %s |\n",
		cfg->variant.name, cfg->threads, cfg->cpus,
		race_human_nr(nr[0], (double)res->sum.attempts), res->sum.enospc, rate,
		res->sum.files_lost, res->sum.files, race_human_nr(nr[1], (double)s->passes),
		race_human_nr(nr[2], (double)s->sweeps), race_human_nr(nr[3], (double)s->barriers),
		race_human_ns(ns[0], s->barriers ? s->barrier_ns / s->barriers : 0),
		race_human_nr(nr[4], (double)s->waits), race_human_nr(nr[5], (double)s->slow_calls),
		race_human_ns(ns[1], slow_at(s, 500)), race_human_ns(ns[2], slow_at(s, 990)),
		race_human_ns(ns[3], s->slow_max_ns));
}

const struct race_report enospc_report = {
	.table_head = table_head,
	.table_row = table_row,
	.json = json,
	.markdown_head = markdown_head,
	.markdown_row = markdown_row,
};
