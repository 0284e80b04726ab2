// SPDX-License-Identifier: GPL-2.0-only
/* What all results have in common; the columns are the kind's. */
#include "race/race_priv.h"

#include <inttypes.h>
#include <string.h>

const char *race_json_value(const char *json, const char *name)
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

double race_per_second(uint64_t nr, const struct race_result *res)
{
	return res->elapsed_ns ? (double)nr * 1e9 / (double)res->elapsed_ns : 0;
}

/* What a reader wants to know first. */
const char *race_verdict(const struct race_config *cfg, const struct race_result *res)
{
	if (res->livelock)
		return res->deadlock ? "DEADLOCK" : "LIVELOCK";
	if (!res->check_ok || (res->fsck_run && !res->fsck_ok))
		return "BROKEN";
	if (res->sum.attempts == 0 && !res->died)
		return "NO CALLS";
	if (race_held(cfg, res))
		return cfg->variant.holds ? "holds" : "not lost";
	return cfg->variant.holds ? "LOST" : "loses";
}

const char *race_check_word(const struct race_config *cfg, const struct race_result *res)
{
	if (res->livelock)
		return "killed";
	if (!res->check_ok)
		return "BAD";
	if (!res->fsck_run)
		return cfg->mount ? "-" : "checked";
	return res->fsck_ok ? "e2fsck clean" : "e2fsck: DAMAGED";
}

void race_table_head(FILE *out, const struct race_scenario *s)
{
	s->kind->report->table_head(out);
	fflush(out);
}

/* @lines with "; " between. */
static void print_lines(FILE *out, const char *lines)
{
	const char *at = lines;
	size_t len;

	for (; *at; at += len + (at[len] ? 2 : 0)) {
		const char *end = strstr(at, "; ");

		len = end ? (size_t)(end - at) : strlen(at);
		fprintf(out, "  ^ %.*s\n", (int)len, at);
	}
}

void race_table_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	cfg->scenario->kind->report->table_row(out, cfg, res);
	if (res->note[0])
		fprintf(out, "  ^ %s\n", res->note);
	print_lines(out, res->who);
	print_lines(out, res->stacks);
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

void race_json_u64(FILE *out, const char *key, uint64_t value)
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
	json_string(out, "variant", cfg->variant.name);
	json_string(out, "workload", cfg->workload->name);
	json_bool(out, "holds", cfg->variant.holds);
	race_json_u64(out, "threads", cfg->threads);
	race_json_u64(out, "cpus", cfg->cpus);
	json_bool(out, "mount", cfg->mount);
	race_json_u64(out, "block_size", cfg->block_bytes);
	race_json_u64(out, "size_bytes", cfg->size_bytes);
	race_json_u64(out, "seed", cfg->seed);
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

void race_json_line(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	putc('{', out);
	json_config(out, cfg);
	fprintf(out, "\"seconds\":%.3f,", (double)res->elapsed_ns / 1e9);
	cfg->scenario->kind->report->json(out, cfg, res);
	json_bool(out, "livelock", res->livelock);
	json_bool(out, "deadlock", res->deadlock);
	json_bool(out, "interrupted", res->interrupted);
	json_string(out, "check", res->livelock ? "not run" : res->check_ok ? "ok" : "failed");
	json_string(out, "fsck", !res->fsck_run ? "not run" : res->fsck_ok ? "clean" : "damaged");
	json_string(out, "result", race_verdict(cfg, res));
	json_string(out, "note", res->note);
	json_string(out, "who", res->who);
	json_string(out, "stacks", res->stacks);
	fprintf(out, "\"held\":%s}\n", race_held(cfg, res) ? "true" : "false");
	fflush(out);
}

void race_markdown_head(FILE *out, const struct race_scenario *s)
{
	s->kind->report->markdown_head(out);
	fflush(out);
}

void race_markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res)
{
	cfg->scenario->kind->report->markdown_row(out, cfg, res);
	fflush(out);
}
