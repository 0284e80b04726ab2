// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small scenarios by real threads: a row for each scenario and variant, how many rounds, in how
 * many of them something broke, and what broke first. The explorer says whether it can; this says
 * how often it does.
 */
#include "race-small.h"

#include "race/race.h"
#include "race/small_threads.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_HELD = 0, EXIT_LOST = 1, EXIT_USE = 2 };

struct args {
	const char *scenario, *variants, *json_path;
	FILE *json;
	uint64_t rounds, run_ms, grace_ms;
	bool lost;
};

static const char usage_text[] =
	"Usage: mbfs-race run SCENARIO [OPTIONS]   with a small scenario: see mbfs-race list\n"
	"\n"
	"Run it with real threads, round after round. SCENARIO: a name, a pattern ('fs-*'), or\n"
	"enospc-windows.\n"
	"\n"
	"  --variant NAME|all     variant, or several: a,b (default ours: claim-wait, mbfs)\n"
	"  --rounds R             so many rounds\n"
	"  --seconds S            or so long (default 5)\n"
	"  --grace SECONDS        a round that takes longer is stuck, and killed (default 5)\n"
	"  --json FILE            append one JSON object a line (- is stdout, instead of the "
	"table)\n"
	"  --explore STRATEGY     under the schedule explorer: see mbfs-race run --explore --help\n"
	"\n"
	"Exit status: 0 nothing broke under ours, 1 something did, 2 bad use.\n";

static int bad_use(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int bad_use(const char *fmt, ...)
{
	va_list ap;

	fputs("mbfs-race: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" (see mbfs-race run enospc-busy --help)\n", stderr);
	return EXIT_USE;
}

enum { OPT_VARIANT = 256, OPT_ROUNDS, OPT_SECONDS, OPT_GRACE, OPT_JSON, OPT_HELP };

static const struct option long_opts[] = {
	{ "variant", required_argument, NULL, OPT_VARIANT },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "grace", required_argument, NULL, OPT_GRACE },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static bool number(const char *s, double min, double max, double *out)
{
	char *end;

	*out = strtod(s, &end);
	return s[0] >= '0' && s[0] <= '9' && !*end && *out >= min && *out <= max;
}

static int parse_opt(struct args *a, int opt, const char *arg)
{
	double n;

	switch (opt) {
	case OPT_VARIANT:
		a->variants = arg;
		return 0;
	case OPT_JSON:
		a->json_path = arg;
		return 0;
	case OPT_ROUNDS:
		if (!number(arg, 1, 1e15, &n))
			return bad_use("--rounds %s: not a number from 1", arg);
		a->rounds = (uint64_t)n;
		return 0;
	default: /* OPT_SECONDS, OPT_GRACE */
		if (!number(arg, 0.001, 1e6, &n))
			return bad_use("'%s' is not a number of seconds above 0", arg);
		*(opt == OPT_SECONDS ? &a->run_ms : &a->grace_ms) = (uint64_t)(n * 1000);
		return 0;
	}
}

static int parse_args(struct args *a, int argc, char **argv)
{
	int opt, err;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", long_opts, NULL)) != -1) {
		if (opt == ':')
			return bad_use("%s needs a value", argv[optind - 1]);
		if (opt == '?')
			return bad_use("%s is unknown, or means nothing for %s", argv[optind - 1],
				       a->scenario);
		err = parse_opt(a, opt, optarg);
		if (err)
			return err;
	}
	return optind < argc ? bad_use("unexpected argument '%s'", argv[optind]) : 0;
}

/* ---- one scenario and variant ---- */

static const char *outcome(const struct small_tally *t)
{
	return t->stuck ? "stuck" : t->died ? "died" : t->lost ? "loses" : "holds";
}

static void tell(struct args *a, const struct small_scenario *s, const char *variant,
		 const struct small_tally *t)
{
	double seconds = (double)t->ns / 1e9;

	if (a->json != stdout)
		printf("%-19s %-11s %-6s %10llu rounds %8llu lost  %8.0f rounds/s  %s\n", s->name,
		       variant, outcome(t), (unsigned long long)t->rounds,
		       (unsigned long long)t->lost,
		       seconds > 0 ? (double)t->rounds / seconds : 0, t->text);
	if (a->json)
		fprintf(a->json,
			"{\"scenario\":\"%s\",\"variant\":\"%s\",\"threads\":%u,\"result\":\"%s\","
			"\"rounds\":%llu,\"lost\":%llu,\"seconds\":%.3f,\"text\":\"%s\"}\n",
			s->name, variant, s->threads, outcome(t), (unsigned long long)t->rounds,
			(unsigned long long)t->lost, seconds, t->text);
}

static int run_one(struct args *a, const struct small_scenario *s, const char *variant)
{
	struct small_tally tally;
	struct mbfs_diag diag = { "" };

	if (small_threads_run(s, variant, a->rounds, a->run_ms, a->grace_ms, &tally, &diag))
		return bad_use("%s: %s", s->name, diag.text);
	tell(a, s, variant, &tally);
	fflush(stdout);
	a->lost = a->lost || (tally.lost && strcmp(variant, s->family->ours) == 0);
	return 0;
}

static int run_variants(struct args *a, const struct small_scenario *s)
{
	char copy[256], *at = copy, *word;
	struct race_variant v;
	int err = 0;

	snprintf(copy, sizeof(copy), "%s", a->variants ? a->variants : s->family->ours);
	if (strcmp(copy, "all") == 0) {
		for (unsigned i = 0; s->family->at(i, &v) && !err; i++)
			err = run_one(a, s, v.name);
		return err;
	}
	while (!err && (word = strsep(&at, ",")))
		err = race_variant_find(s->family, word, &v) ?
			      run_one(a, s, v.name) :
			      bad_use("--variant %s: %s has no such variant; mbfs-race list shows "
				      "them",
				      word, s->name);
	return err;
}

int small_main(int argc, char **argv)
{
	struct args a = { .scenario = argv[0], .run_ms = 5000,
			  .grace_ms = 5000 };
	const struct small_scenario *s;
	int err;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage_text, stdout);
			return EXIT_HELD;
		}
	}
	err = parse_args(&a, argc, argv);
	if (err)
		return err;
	if (a.json_path)
		a.json = strcmp(a.json_path, "-") == 0 ? stdout : fopen(a.json_path, "ae");
	if (a.json_path && !a.json)
		return bad_use("--json %s: %s", a.json_path, strerror(errno));
	for (unsigned i = 0; !err && (s = small_match(a.scenario, i)); i++)
		err = run_variants(&a, s);
	if (a.json && a.json != stdout && fclose(a.json) && !err)
		err = bad_use("--json %s: %s", a.json_path, strerror(errno));
	return err ? err : a.lost ? EXIT_LOST : EXIT_HELD;
}
