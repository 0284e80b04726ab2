// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-race curve - bigger reserves move the deadlock to more writers: a row for each size, and
 * the same as JSON and as a picture.
 */
#include "race-curve.h"

#include "race-args.h"

#include "race/curve.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_DONE = 0, EXIT_BROKE = 1, COMMAND_BYTES = 512 };

struct args {
	struct race_curve curve;
	unsigned reserves[ARGS_LIST_MAX], reserves_nr;
	const char *svg_path, *json_path;
};

static const char usage_text[] =
	"Usage: mbfs-race curve mempool-abba [OPTIONS]\n"
	"\n"
	"For each size of the reserves, find the number of writers that first deadlocks: it is\n"
	"doubled until a run does, then narrowed down. Runs are short: the number is one that was\n"
	"seen, and fewer writers may deadlock in a longer run.\n"
	"\n"
	"  --variant NAME    default sized\n"
	"  --workload NAME   default two\n"
	"  --reserve LIST    objects in each reserve, 1..65536 (default 1,2,4,8,16,32,64)\n"
	"  --threads N       at most so many writers, 2..1024 (default 512)\n"
	"  --seconds S       of each run (default 1)\n"
	"  --svg FILE        the curve as a picture\n"
	"  --json FILE       append one JSON object a line (- is stdout, instead of the table)\n"
	"\n"
	"Exit status: 0 done, 1 a run broke, 2 bad use.\n";

enum { OPT_VARIANT = 256, OPT_WORKLOAD, OPT_RESERVE, OPT_THREADS, OPT_SECONDS, OPT_SVG, OPT_JSON };

static const struct option long_opts[] = {
	{ "variant", required_argument, NULL, OPT_VARIANT },
	{ "workload", required_argument, NULL, OPT_WORKLOAD },
	{ "reserve", required_argument, NULL, OPT_RESERVE },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "svg", required_argument, NULL, OPT_SVG },
	{ "json", required_argument, NULL, OPT_JSON },
	{ NULL, 0, NULL, 0 },
};

static int parse_opt(struct args *a, int opt, const char *arg)
{
	struct race_config *cfg = &a->curve.cfg;
	uint64_t v;

	switch (opt) {
	case OPT_VARIANT:
		return race_variant_find(cfg->scenario->family, arg, &cfg->variant) ?
			       0 :
			       args_bad_use("--variant %s: no such variant; mbfs-race list shows "
					    "them",
					    arg);
	case OPT_WORKLOAD:
		cfg->workload = race_workload_find(cfg->scenario, arg);
		return cfg->workload ? 0 :
				       args_bad_use("--workload %s: no such workload; mbfs-race "
						    "list shows them",
						    arg);
	case OPT_RESERVE:
		return args_list("--reserve", arg, 1, RACE_RESERVE_MAX, true, a->reserves,
				 &a->reserves_nr);
	case OPT_THREADS:
		if (!args_number(arg, 2, RACE_THREADS_MAX, &v))
			return args_bad_use("--threads %s: a number from 2 to %d is wanted", arg,
					    RACE_THREADS_MAX);
		a->curve.threads_max = (unsigned)v;
		return 0;
	case OPT_SECONDS:
		return args_seconds(arg, &cfg->run_ms) ?
			       0 :
			       args_bad_use("--seconds %s: not a number of seconds above 0", arg);
	case OPT_SVG:
		a->svg_path = arg;
		return 0;
	default: /* OPT_JSON */
		a->json_path = arg;
		return 0;
	}
}

static int parse_args(struct args *a, int argc, char **argv)
{
	int opt, err;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", long_opts, NULL)) != -1) {
		if (opt == ':')
			return args_bad_use("%s needs a value", argv[optind - 1]);
		if (opt == '?')
			return args_bad_use("unknown option '%s' of curve", argv[optind - 1]);
		err = parse_opt(a, opt, optarg);
		if (err)
			return err;
	}
	return optind < argc ? args_bad_use("unexpected argument '%s'", argv[optind]) : 0;
}

static int defaults(struct args *a, const char *name)
{
	static const unsigned reserves[] = { 1, 2, 4, 8, 16, 32, 64 };
	const struct race_scenario *s = race_scenario_find(name);

	if (!s || strcmp(name, "mempool-abba") != 0)
		return args_bad_use("curve %s: mempool-abba is the scenario that has one", name);
	race_config_default(s, &a->curve.cfg);
	race_variant_find(s->family, "sized", &a->curve.cfg.variant);
	a->curve.cfg.run_ms = 1000;
	a->curve.cfg.seed = race_fresh_seed();
	a->curve.threads_max = 512;
	memcpy(a->reserves, reserves, sizeof(reserves));
	a->reserves_nr = sizeof(reserves) / sizeof(reserves[0]);
	return 0;
}

/* ---- output ---- */

/* What was run, without the files. */
static void command(const struct args *a, char buf[COMMAND_BYTES])
{
	const struct race_curve *c = &a->curve;
	size_t at;

	at = (size_t)snprintf(buf, COMMAND_BYTES, "mbfs-race curve %s --variant %s --workload %s "
			      "--threads %u --seconds %.3g --reserve ",
			      c->cfg.scenario->name, c->cfg.variant.name, c->cfg.workload->name,
			      c->threads_max, (double)c->cfg.run_ms / 1000);
	for (unsigned i = 0; i < a->reserves_nr && at < COMMAND_BYTES; i++)
		at += (size_t)snprintf(buf + at, COMMAND_BYTES - at, "%s%u", i ? "," : "",
				       a->reserves[i]);
}

static void row(const struct race_curve *c, const struct race_curve_point *p)
{
	unsigned least = race_curve_floor(&c->cfg, p->reserve);
	char first[16], floor[16], ns[16];

	snprintf(first, sizeof(first), p->first ? "%u" : "none", p->first);
	snprintf(floor, sizeof(floor), least ? "%u" : "never", least);
	printf("%7u %14s %10u %10s %10s %6u\n", p->reserve, first, p->held, floor,
	       p->first ? race_human_ns(ns, p->after_ns) : "-", p->runs);
	fflush(stdout);
}

static void json(FILE *out, const struct race_curve *c, const struct race_curve_point *p)
{
	fprintf(out,
		"{\"scenario\":\"%s\",\"variant\":\"%s\",\"workload\":\"%s\",\"reserve\":%u,"
		"\"first_deadlock\":%u,\"held\":%u,\"possible_from\":%u,\"after_ns\":%llu,"
		"\"runs\":%u,\"threads_max\":%u,\"seconds\":%.3f}\n",
		c->cfg.scenario->name, c->cfg.variant.name, c->cfg.workload->name, p->reserve,
		p->first, p->held, race_curve_floor(&c->cfg, p->reserve),
		(unsigned long long)p->after_ns, p->runs, c->threads_max,
		(double)c->cfg.run_ms / 1000);
	fflush(out);
}

static int points(struct args *a, FILE *json_out)
{
	struct race_curve *c = &a->curve;
	struct mbfs_diag diag = { "" };
	int err;

	if (json_out != stdout)
		printf("%7s %14s %10s %10s %10s %6s\n", "reserve", "first deadlock", "still held",
		       "possible", "after", "runs");
	for (; c->nr < a->reserves_nr; c->nr++) {
		struct race_curve_point *p = &c->point[c->nr];

		p->reserve = a->reserves[c->nr];
		err = race_curve_point(c, p, &diag);
		if (err) {
			fprintf(stderr, "mbfs-race: curve, reserve %u: %s\n", p->reserve,
				diag.text[0] ? diag.text : strerror(-err));
			return EXIT_BROKE;
		}
		if (json_out != stdout)
			row(c, p);
		if (json_out)
			json(json_out, c, p);
	}
	return EXIT_DONE;
}

static int close_file(FILE *f, const char *opt, const char *path, int err)
{
	if (f && f != stdout && fclose(f) && !err)
		return args_bad_use("%s %s: %s", opt, path, strerror(errno));
	return err;
}

int curve_main(int argc, char **argv)
{
	struct args a = { 0 };
	FILE *svg = NULL, *out = NULL;
	char text[COMMAND_BYTES];
	int err;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage_text, stdout);
			return EXIT_DONE;
		}
	}
	if (argc < 2 || argv[1][0] == '-')
		return args_bad_use("a scenario is wanted after 'curve': mempool-abba");
	err = defaults(&a, argv[1]);
	if (!err)
		err = parse_args(&a, argc - 1, argv + 1);
	if (err)
		return err;
	if (a.json_path)
		out = strcmp(a.json_path, "-") == 0 ? stdout : fopen(a.json_path, "ae");
	if (a.json_path && !out)
		return args_bad_use("--json %s: %s", a.json_path, strerror(errno));
	if (a.svg_path && !(svg = fopen(a.svg_path, "we")))
		return close_file(out, "--json", a.json_path,
				  args_bad_use("--svg %s: %s", a.svg_path, strerror(errno)));
	err = points(&a, out);
	command(&a, text);
	if (!err && svg && race_curve_svg(svg, &a.curve, text))
		err = args_bad_use("--svg %s: it could not be written", a.svg_path);
	err = close_file(svg, "--svg", a.svg_path, err);
	return close_file(out, "--json", a.json_path, err);
}
