// SPDX-License-Identifier: GPL-2.0-only
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

/* The text after "name": in @json; NULL when there is no such key. */
static const char *value_of(const char *json, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\"", name);
	at = strstr(json, key);
	if (!at)
		return NULL;
	at += strlen(key);
	at += strspn(at, " ");
	return *at == ':' ? at + 1 : NULL;
}

static void parse_slow_hist(const char *json, struct mbfs_alloc_stats *out)
{
	const char *at = value_of(json, "slow_hist");
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
	const char *at = value_of(json, "alloc"); /* names repeat in other sections */
	unsigned nr = 0;

	if (at)
		json = at;
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; (f = race_stat_field_at(i)); i++) {
		at = value_of(json, f->name);
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

const char *race_human_nr(char *buf, double nr)
{
	if (nr < 10000)
		snprintf(buf, 16, "%.0f", nr);
	else if (nr < 1e6)
		snprintf(buf, 16, "%.1fk", nr / 1e3);
	else
		snprintf(buf, 16, "%.2fM", nr / 1e6);
	return buf;
}

const char *race_human_ns(char *buf, uint64_t ns)
{
	if (ns < 10000)
		snprintf(buf, 16, "%" PRIu64 " ns", ns);
	else if (ns < 10000000)
		snprintf(buf, 16, "%.1f us", (double)ns / 1e3);
	else if (ns < 10000000000ull)
		snprintf(buf, 16, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(buf, 16, "%.1f s", (double)ns / 1e9);
	return buf;
}

static double per_second(uint64_t nr, const struct race_result *res)
{
	return res->elapsed_ns ? (double)nr * 1e9 / (double)res->elapsed_ns : 0;
}

/* What a reader wants to know first. */
static const char *verdict(const struct race_config *cfg, const struct race_result *res)
{
	if (res->livelock)
		return "LIVELOCK";
	if (!res->check_ok || (res->fsck_run && !res->fsck_ok))
		return "BROKEN";
	if (res->sum.attempts == 0)
		return "NO CALLS";
	if (race_held(res))
		return cfg->variant->holds ? "holds" : "not lost";
	return cfg->variant->holds ? "LOST" : "loses";
}

void race_table_head(FILE *out)
{
	fprintf(out, "%-11s %-10s %-8s %7s %5s %9s %8s %8s %8s %8s %8s %8s %9s %9s %9s %s\n",
		"variant", "workload", "result", "writers", "cpus", "attempts", "ENOSPC", "false",
		"retries", "sweeps", "barriers", "calls/s", "p50", "p99", "max", "image");
	fflush(out);
}

void race_table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	char nr[7][16], ns[3][16];
	const struct mbfs_alloc_stats *s = &res->stats;

	fprintf(out, "%-11s %-10s %-8s %7u %5u %9s %8s %8s %8s %8s %8s %8s %9s %9s %9s %s\n",
		cfg->variant->name, cfg->workload->name, verdict(cfg, res), cfg->threads, cfg->cpus,
		race_human_nr(nr[0], (double)res->sum.attempts),
		race_human_nr(nr[1], (double)res->sum.enospc),
		res->have_stats ? race_human_nr(nr[2], (double)s->false_enospc) : "-",
		res->have_stats ? race_human_nr(nr[3], (double)s->retries) : "-",
		res->have_stats ? race_human_nr(nr[4], (double)s->sweeps) : "-",
		res->have_stats ? race_human_nr(nr[5], (double)s->barriers) : "-",
		race_human_nr(nr[6], per_second(res->sum.attempts, res)),
		race_human_ns(ns[0], race_hist_at(&res->sum.lat, 500)),
		race_human_ns(ns[1], race_hist_at(&res->sum.lat, 990)),
		race_human_ns(ns[2], res->sum.lat.max_ns),
		res->livelock	  ? "killed" :
		!res->check_ok	  ? "BAD" :
		!res->fsck_run	  ? (cfg->mount ? "-" : "checked") :
		res->fsck_ok	  ? "e2fsck clean" :
				    "e2fsck: DAMAGED");
	if (res->note[0])
		fprintf(out, "  ^ %s\n", res->note);
	if (res->counts_differ)
		fprintf(out,
			"  ^ the writers saw %" PRIu64 " ENOSPC, the allocator's oracle %" PRIu64
			" false ones\n",
			res->sum.enospc, s->false_enospc);
	fflush(out);
}

static void json_string(FILE *out, const char *key, const char *value)
{
	fprintf(out, "\"%s\":\"", key);
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	fputs("\",", out);
}

static void json_u64(FILE *out, const char *key, uint64_t value)
{
	fprintf(out, "\"%s\":%" PRIu64 ",", key, value);
}

static void json_bool(FILE *out, const char *key, bool value)
{
	fprintf(out, "\"%s\":%s,", key, value ? "true" : "false");
}

/* What was asked for. */
static void json_config(FILE *out, const struct race_config *cfg)
{
	bool first = true;

	json_string(out, "scenario", cfg->scenario->name);
	json_string(out, "variant", cfg->variant->name);
	json_string(out, "workload", cfg->workload->name);
	json_bool(out, "holds", cfg->variant->holds);
	json_u64(out, "threads", cfg->threads);
	json_u64(out, "cpus", cfg->cpus);
	json_bool(out, "mount", cfg->mount);
	json_u64(out, "block_size", cfg->block_bytes);
	json_u64(out, "size_bytes", cfg->size_bytes);
	json_u64(out, "seed", cfg->seed);
	fputs("\"widen\":{", out);
	for (unsigned i = 0; i < MBFS_POINT_NR; i++) {
		if (!cfg->widen_us[i])
			continue;
		fprintf(out, "%s\"%s\":%u", first ? "" : ",",
			mbfs_alloc_point_name((enum mbfs_alloc_point)i), cfg->widen_us[i]);
		first = false;
	}
	fputs("},", out);
}

/* What the allocator counted. */
static void json_stats(FILE *out, const struct race_result *res)
{
	const struct mbfs_alloc_stats *s = &res->stats;

	json_bool(out, "have_stats", res->have_stats);
	json_u64(out, "false_enospc", res->have_stats ? s->false_enospc : res->sum.enospc);
	json_u64(out, "passes", s->passes);
	json_u64(out, "sweeps", s->sweeps);
	json_u64(out, "retries", s->retries);
	json_u64(out, "cap_hits", s->cap_hits);
	json_u64(out, "seq_mismatches", s->seq_mismatches);
	json_u64(out, "barriers", s->barriers);
	json_u64(out, "barrier_ns", s->barrier_ns);
	json_u64(out, "barrier_max_ns", s->barrier_max_ns);
	json_u64(out, "waits", s->waits);
	json_u64(out, "wait_ns", s->wait_ns);
	json_u64(out, "claim_failed", s->claim_failed);
	json_u64(out, "pa_hits_inode", s->pa_hits_inode);
	json_u64(out, "pa_hits_group", s->pa_hits_group);
	json_u64(out, "discarded", s->discarded);
	json_u64(out, "slow_calls", s->slow_calls);
	json_u64(out, "slow_p50_ns", slow_at(s, 500));
	json_u64(out, "slow_p99_ns", slow_at(s, 990));
	json_u64(out, "slow_max_ns", s->slow_max_ns);
}

void race_json_line(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	putc('{', out);
	json_config(out, cfg);
	fprintf(out, "\"seconds\":%.3f,", (double)res->elapsed_ns / 1e9);
	json_u64(out, "attempts", res->sum.attempts);
	json_u64(out, "enospc", res->sum.enospc);
	json_u64(out, "files", res->sum.files);
	json_u64(out, "files_lost", res->sum.files_lost);
	json_u64(out, "rounds", res->rounds);
	json_u64(out, "rounds_lost", res->rounds_lost);
	json_u64(out, "blocks", res->sum.blocks);
	fprintf(out, "\"ops_per_s\":%.0f,", per_second(res->sum.attempts, res));
	json_u64(out, "p50_ns", race_hist_at(&res->sum.lat, 500));
	json_u64(out, "p99_ns", race_hist_at(&res->sum.lat, 990));
	json_u64(out, "max_ns", res->sum.lat.max_ns);
	json_stats(out, res);
	json_bool(out, "livelock", res->livelock);
	json_bool(out, "interrupted", res->interrupted);
	json_bool(out, "counts_differ", res->counts_differ);
	json_string(out, "check", res->livelock ? "not run" : res->check_ok ? "ok" : "failed");
	json_string(out, "fsck", !res->fsck_run ? "not run" : res->fsck_ok ? "clean" : "damaged");
	json_string(out, "result", verdict(cfg, res));
	json_string(out, "note", res->note);
	fprintf(out, "\"held\":%s}\n", race_held(res) ? "true" : "false");
	fflush(out);
}

void race_markdown_head(FILE *out)
{
	fputs("| variant | writers | virtual CPUs | calls | false ENOSPC | rate | files lost "
	      "| passes | sweeps | barriers (mean) | waits | slow calls | slow p50 | p99 | max |\n"
	      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
	fflush(out);
}

void race_markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
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
		cfg->variant->name, cfg->threads, cfg->cpus,
		race_human_nr(nr[0], (double)res->sum.attempts), res->sum.enospc, rate,
		res->sum.files_lost, res->sum.files, race_human_nr(nr[1], (double)s->passes),
		race_human_nr(nr[2], (double)s->sweeps), race_human_nr(nr[3], (double)s->barriers),
		race_human_ns(ns[0], s->barriers ? s->barrier_ns / s->barriers : 0),
		race_human_nr(nr[4], (double)s->waits), race_human_nr(nr[5], (double)s->slow_calls),
		race_human_ns(ns[1], slow_at(s, 500)), race_human_ns(ns[2], slow_at(s, 990)),
		race_human_ns(ns[3], s->slow_max_ns));
	fflush(out);
}
