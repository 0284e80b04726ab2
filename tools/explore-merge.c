// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results of shards. A search is known by scenario, variant, strategy, the bound asked for and the
 * seed; each of its shards must be there once and be of the same commit. It has found what any
 * shard found, and is exhausted when all are. Numbers of schedules add up; those of distinct
 * classes do not, for shards may meet the same class: their sum is told as an upper limit.
 *
 * A dfs passes over preemptions before operations on what it takes for local. Shards that do not
 * agree on what is local have each searched another tree: then nothing is claimed for the whole.
 */
#include "explore-merge.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 1 << 16, LINE_BYTES = 1 << 14 };

enum type { TEXT, SIGNED, COUNT32, COUNT64, REAL, YES_NO };

static const struct column {
	const char *name;
	enum type type;
	size_t at, bytes;
	bool must;
} columns[] = {
#define COL(name, type, must)                                       \
	{                                                           \
#name, type, offsetof(struct merge_row, name),      \
			sizeof(((struct merge_row *)0)->name), must \
	}
	COL(scenario, TEXT, true),        COL(variant, TEXT, true),
	COL(strategy, TEXT, true),        COL(bound, SIGNED, true),
	COL(max_bound, SIGNED, true),     COL(seed, COUNT64, true),
	COL(commit, TEXT, true),          COL(shard, COUNT32, true),
	COL(shards, COUNT32, true),       COL(jobs, COUNT32, false),
	COL(schedules, COUNT64, true),    COL(traces, COUNT64, true),
	COL(traces_exact, YES_NO, false), COL(seconds, REAL, true),
	COL(result, TEXT, true),          COL(verdict, TEXT, true),
	COL(first, COUNT64, false),       COL(token, TEXT, true),
	COL(steps, COUNT32, true),        COL(switches, COUNT32, true),
	COL(estimate, COUNT64, false),    COL(shared, COUNT64, false),
	COL(unseen, REAL, false),
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static bool wrong(char *why, size_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool wrong(char *why, size_t bytes, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, bytes, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- writing ---- */

void merge_write(FILE *out, const struct merge_row *row)
{
	for (unsigned i = 0; i < COLUMNS; i++) {
		const struct column *c = &columns[i];
		const char *at = (const char *)row + c->at;

		fprintf(out, "%s\"%s\":", i ? "," : "{", c->name);
		if (c->type == TEXT)
			fprintf(out, "\"%s\"", at); /* names and tokens: nothing to escape */
		else if (c->type == SIGNED)
			fprintf(out, "%lld", (long long)*(const int64_t *)(const void *)at);
		else if (c->type == COUNT32)
			fprintf(out, "%u", *(const uint32_t *)(const void *)at);
		else if (c->type == COUNT64)
			fprintf(out, "%llu",
				(unsigned long long)*(const uint64_t *)(const void *)at);
		else if (c->type == REAL)
			fprintf(out, "%.6g", *(const double *)(const void *)at);
		else
			fputs(*(const bool *)(const void *)at ? "true" : "false", out);
	}
	fputs("}\n", out);
}

/* ---- reading: one flat object, values without escapes ---- */

static const char *blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

/* A string or a word; NULL: neither. */
static const char *take(const char *p, char *to, size_t bytes, bool *quoted)
{
	size_t n;

	*quoted = *p == '"';
	p += *quoted;
	n = strcspn(p, *quoted ? "\"\\" : ",} \t\r\n");
	if (n >= bytes || (*quoted && p[n] != '"') || (!*quoted && !n))
		return NULL;
	memcpy(to, p, n);
	to[n] = 0;
	return blanks(p + n + *quoted);
}

static bool set(struct merge_row *row, const struct column *c, const char *text, bool quoted)
{
	void *to = (char *)row + c->at;
	unsigned long long n;
	char *end;

	if (quoted != (c->type == TEXT))
		return false;
	errno = 0;
	switch (c->type) {
	case TEXT:
		return snprintf(to, c->bytes, "%s", text) < (int)c->bytes;
	case SIGNED:
		*(int64_t *)to = strtoll(text, &end, 10);
		return !*end && !errno;
	case REAL:
		*(double *)to = strtod(text, &end);
		return !*end;
	case YES_NO:
		*(bool *)to = strcmp(text, "true") == 0;
		return *(bool *)to || strcmp(text, "false") == 0;
	default:
		n = strtoull(text, &end, 10);
		if (c->type == COUNT32)
			*(uint32_t *)to = (uint32_t)n;
		else
			*(uint64_t *)to = n;
		return *text >= '0' && *text <= '9' && !*end && !errno &&
		       (c->type == COUNT64 || n <= UINT32_MAX);
	}
}

static bool parse(const char *p, struct merge_row *row)
{
	char name[64], value[4096];
	bool had[COLUMNS] = { false }, quoted;

	*row = (struct merge_row){ .unseen = -1, .jobs = 1, .traces_exact = true };
	p = blanks(p);
	if (*p++ != '{')
		return false;
	for (;;) {
		p = take(blanks(p), name, sizeof(name), &quoted);
		if (!p || !quoted || *p++ != ':')
			return false;
		p = take(blanks(p), value, sizeof(value), &quoted);
		if (!p)
			return false;
		for (unsigned i = 0; i < COLUMNS; i++) {
			if (strcmp(columns[i].name, name) != 0)
				continue;
			if (had[i] || !set(row, &columns[i], value, quoted))
				return false;
			had[i] = true;
		}
		if (*p != ',')
			break;
		p++;
	}
	for (unsigned i = 0; i < COLUMNS; i++)
		if (columns[i].must && !had[i])
			return false;
	return *p == '}' && !*blanks(p + 1) && row->shard >= 1 && row->shard <= row->shards;
}

static bool read_file(const char *path, struct merge_row *rows, unsigned *nr, char *why,
		      size_t bytes)
{
	FILE *in = fopen(path, "re");
	char line[LINE_BYTES];
	bool ok = true;

	if (!in)
		return wrong(why, bytes, "%s: %s", path, strerror(errno));
	for (unsigned at = 1; ok && fgets(line, sizeof(line), in); at++) {
		if (!*blanks(line))
			continue;
		if (*nr == ROWS_MAX)
			ok = wrong(why, bytes, "%s:%u: more than %d lines", path, at, ROWS_MAX);
		else if (!parse(line, &rows[*nr]))
			ok = wrong(why, bytes, "%s:%u: not a result of run --explore --json", path,
				   at);
		if (!ok)
			break;
		rows[*nr].file = path;
		rows[(*nr)++].line = at;
	}
	if (ok && ferror(in))
		ok = wrong(why, bytes, "%s: %s", path, strerror(errno));
	fclose(in);
	return ok;
}

/* ---- merging ---- */

static int by_search(const void *a, const void *b)
{
	const struct merge_row *x = a, *y = b;
	int c = strcmp(x->scenario, y->scenario);

	c = c ? c : strcmp(x->variant, y->variant);
	c = c ? c : strcmp(x->strategy, y->strategy);
	c = c ? c : (x->max_bound > y->max_bound) - (x->max_bound < y->max_bound);
	return c ? c : (x->seed > y->seed) - (x->seed < y->seed);
}

static int by_shard(const void *a, const void *b)
{
	const struct merge_row *x = a, *y = b;
	int c = by_search(a, b);

	return c ? c : (x->shard > y->shard) - (x->shard < y->shard);
}

/* The rows of one search, by shard: each is there, once, of the same commit. */
static bool whole(const struct merge_row *row, unsigned nr, char *why, size_t bytes)
{
	char name[200];

	snprintf(name, sizeof(name), "%s %s by %s", row->scenario, row->variant, row->strategy);
	for (unsigned i = 1; i < nr; i++) {
		if (strcmp(row[i].commit, row->commit) != 0)
			return wrong(why, bytes,
				     "%s: different commits, %s at %s:%u and %s at %s:%u", name,
				     row->commit, row->file, row->line, row[i].commit, row[i].file,
				     row[i].line);
		if (row[i].shards != row->shards)
			return wrong(why, bytes, "%s: shards of %u at %s:%u, of %u at %s:%u", name,
				     row->shards, row->file, row->line, row[i].shards, row[i].file,
				     row[i].line);
		if (row[i].shard == row[i - 1].shard)
			return wrong(why, bytes, "%s: shard %u/%u is there twice, %s:%u and %s:%u",
				     name, row[i].shard, row[i].shards, row[i - 1].file,
				     row[i - 1].line, row[i].file, row[i].line);
	}
	for (unsigned i = 0; i < row->shards; i++)
		if (i >= nr || row[i].shard != i + 1)
			return wrong(why, bytes, "%s: shard %u/%u is missing", name, i + 1,
				     row->shards);
	return true;
}

static unsigned rank(const char *result)
{
	return strcmp(result, "found") == 0 ? 2 : strcmp(result, "exhausted") == 0 ? 0 : 1;
}

static struct merge_row combine(const struct merge_row *row, unsigned nr)
{
	struct merge_row all = *row;
	bool differ = false;

	all.shard = all.shards = 1;
	all.traces_exact = nr == 1 && row->traces_exact;
	for (unsigned i = 1; i < nr; i++) {
		const struct merge_row *r = &row[i];

		if (rank(r->result) > rank(all.result)) {
			memcpy(all.result, r->result, sizeof(all.result));
			memcpy(all.verdict, r->verdict, sizeof(all.verdict));
			memcpy(all.token, r->token, sizeof(all.token));
			all.first = r->first;
			all.steps = r->steps;
			all.switches = r->switches;
		}
		if (r->bound < all.bound)
			all.bound = r->bound;
		differ |= r->shared != row->shared && r->bound >= 0;
		all.schedules += r->schedules;
		all.traces += r->traces;
		all.estimate += r->estimate;
		all.jobs += r->jobs;
		if (r->seconds > all.seconds) /* they may have run side by side */
			all.seconds = r->seconds;
	}
	if (differ) {
		fprintf(stderr,
			"mbfs-race: %s %s: the shards differ in which objects they took for "
			"shared: no bound is claimed\n",
			row->scenario, row->variant);
		all.bound = -1;
		if (rank(all.result) == 0)
			snprintf(all.result, sizeof(all.result), "budget");
	}
	if (nr > 1)
		all.unseen = -1; /* needs the sets */
	return all;
}

static void say(const struct merge_row *r, unsigned shards)
{
	printf("%-16s %-11s %-9s", r->scenario, r->variant, r->result);
	if (rank(r->result) == 2)
		printf(" %s", r->verdict);
	else if (r->bound == INT32_MAX)
		printf(" all schedules");
	else if (r->bound >= 0)
		printf(" to %lld preemptions", (long long)r->bound);
	printf(", %s, %u shard%s, %llu schedules, %s%llu distinct, the longest took %.2f s\n",
	       r->strategy, shards, shards == 1 ? "" : "s", (unsigned long long)r->schedules,
	       r->traces_exact ? "" : "at most ", (unsigned long long)r->traces, r->seconds);
	if (rank(r->result) == 2 && r->token[0])
		printf("  mbfs-race replay %s\n", r->token);
}

static bool merge_rows(struct merge_row *rows, unsigned nr, FILE *json, unsigned *worst, char *why,
		       size_t bytes)
{
	qsort(rows, nr, sizeof(*rows), by_shard);
	for (unsigned told = 0; told < 2; told++) /* nothing is told unless all is well */
		for (unsigned i = 0, n; i < nr; i += n) {
			struct merge_row all;

			for (n = 1; i + n < nr && by_search(&rows[i], &rows[i + n]) == 0;)
				n++;
			if (!told && !whole(&rows[i], n, why, bytes))
				return false;
			if (!told)
				continue;
			all = combine(&rows[i], n);
			if (rank(all.result) > *worst)
				*worst = rank(all.result);
			if (json)
				merge_write(json, &all);
			if (json != stdout)
				say(&all, n);
		}
	return true;
}

int merge_files(int argc, char **argv, char *why, size_t why_bytes)
{
	static const int status[] = { EXIT_EXHAUSTED, EXIT_BUDGET, EXIT_FOUND };
	struct merge_row *rows = calloc(ROWS_MAX, sizeof(*rows));
	const char *path = NULL;
	unsigned nr = 0, worst = 0;
	FILE *json = NULL;
	bool ok = rows || wrong(why, why_bytes, "no memory");

	for (int i = 0; ok && i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
			path = argv[++i];
		else if (argv[i][0] == '-' && argv[i][1])
			ok = wrong(why, why_bytes, "merge: unexpected option '%s'", argv[i]);
		else
			ok = read_file(argv[i], rows, &nr, why, why_bytes);
	}
	if (ok && nr == 0)
		ok = wrong(why, why_bytes, "merge: no result in no file");
	if (ok && path) {
		json = strcmp(path, "-") == 0 ? stdout : fopen(path, "ae");
		ok = json || wrong(why, why_bytes, "--json %s: %s", path, strerror(errno));
	}
	ok = ok && merge_rows(rows, nr, json, &worst, why, why_bytes);
	if (json && json != stdout && fclose(json) && ok)
		ok = wrong(why, why_bytes, "--json %s: %s", path, strerror(errno));
	free(rows);
	return ok ? status[worst] : EXIT_USE;
}
