// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-explore: mbfs-race's other half, linked with the library that is built against the explorer.
 * mbfs-race runs it for --explore and replay; it has no state of its own.
 */
#include "explore-merge.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mbfs/alloc.h>

#include "race/small_explore.h"
#include "race/small_image.h"

enum { JOBS_MAX = 256, SHARDS_MAX = 1024, OBJECTS_TOLD = 24 };

struct args {
	const char *scenario, *variants, *json, *trace, *svg, *html;
	struct explore_options opt;
	bool quiet, fsck;
};

static const char usage_text[] =
	"Usage: mbfs-race run SCENARIO --explore STRATEGY [OPTIONS]\n"
	"       mbfs-race replay TOKEN [--stop-at N] [OPTIONS]\n"
	"       mbfs-race merge [--json FILE] FILE.json...\n"
	"\n"
	"Run the library's own sources under many schedules, one after the other, on one "
	"thread.\n"
	"SCENARIO: a name that mbfs-race list shows, a pattern ('fs-*'), or enospc-windows.\n"
	"\n"
	"  --explore STRATEGY     portfolio (dfs 0, 1, 2, then pct, pos, random), random, pct, "
	"pos,\n"
	"                         dfs, sleep, dpor\n"
	"  --variant NAME|all     variant, or several: a,b (default ours: claim-wait, mbfs)\n"
	"  --bound N              dfs: preemptions, or all: every schedule (default 2)\n"
	"  --depth D              pct: depth of the bug (default 2, 3, 4 in turns)\n"
	"  --schedules N          at most so many (default: no limit for dfs, sleep and dpor, "
	"100000\n"
	"                         for portfolio, else 10000)\n"
	"  --seconds S            at most so long (default 10)\n"
	"  --seed N               of random, pct and pos (default 1)\n"
	"  --jobs N               processes, 1..256 (default 1); the classes of schedules found "
	"are the\n"
	"                         same for each N of dfs, sleep and dpor, and for each N > 1 of "
	"the\n"
	"                         others\n"
	"  --shard I/N            only part I of N: run all, on any machines, and merge their "
	"--json\n"
	"                         (--schedules is then what each may run, or all together draw)\n"
	"  --json FILE            append one JSON object a line (- is stdout, instead of the "
	"text)\n"
	"  --progress             say on stderr how far it is (default when stderr is a terminal)\n"
	"  --histogram            operations by kind and by object, after the run\n"
	"  --no-minimise          tell the failing schedule as it was found\n"
	"  --trace FILE.json      the failure for Perfetto or chrome://tracing\n"
	"  --svg FILE, --html FILE  the failure as a picture\n"
	"  --stop-at N            replay: SIGTRAP before step N, for gdb\n"
	"  --weak                 atomics as weak as C11 has them: relaxed reads may be old\n"
	"  --migrations N, --spurious N, --alloc-fails N  at most so many a run, at every place:\n"
	"                         a thread is on another virtual CPU, wakes for no reason, gets "
	"no\n"
	"                         memory. A replay needs the same (the line printed has them)\n"
	"  --fsck                 fs-*: show every 1000th image to e2fsck -fn\n"
	"  --quiet                no diagram\n"
	"\n"
	"  merge FILE.json...     put the lines of all shards of a search together; a shard that "
	"is\n"
	"                         missing or there twice, or is of another commit, is refused\n"
	"\n"
	"Exit status: 0 nothing found, searched to the bound; 3 nothing found within the budget; "
	"10\n"
	"found; 2 bad use.\n";

static int bad_use(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int bad_use(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "mbfs-race: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see mbfs-race run --explore --help\n");
	return EXIT_USE;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void tell_rest(FILE *out, uint64_t schedules, uint64_t left, double unseen)
{
	if (left)
		fprintf(out, ", about %.3g left (%.1f %% done)", (double)left,
			100.0 * (double)schedules / ((double)schedules + (double)left));
	if (unseen >= 0)
		fprintf(out, ", the next drawn is new with probability %.3f", unseen);
}

static void progress(const struct explore_progress *now)
{
	bool terminal = isatty(STDERR_FILENO);
	double seconds = (double)now->ns / 1e9;

	fprintf(stderr, "%s%llu schedules, %.0f/s, %llu distinct", terminal ? "\r" : "",
		(unsigned long long)now->schedules,
		seconds > 0 ? (double)now->schedules / seconds : 0,
		(unsigned long long)now->traces);
	tell_rest(stderr, now->schedules, now->left, now->unseen);
	fputs(terminal ? "\033[K" : "\n", stderr);
}

enum { OPT_EXPLORE = 256, OPT_VARIANT, OPT_BOUND, OPT_DEPTH, OPT_SCHEDULES, OPT_SECONDS, OPT_SEED,
       OPT_JSON, OPT_TRACE, OPT_SVG, OPT_HTML, OPT_STOP_AT, OPT_QUIET, OPT_JOBS, OPT_SHARD,
       OPT_PROGRESS, OPT_HISTOGRAM, OPT_NO_MINIMISE, OPT_FSCK,
       OPT_WEAK, OPT_MIGRATIONS, OPT_SPURIOUS, OPT_ALLOC_FAILS };

static const struct option long_opts[] = {
	{ "explore", required_argument, NULL, OPT_EXPLORE },
	{ "variant", required_argument, NULL, OPT_VARIANT },
	{ "bound", required_argument, NULL, OPT_BOUND },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "schedules", required_argument, NULL, OPT_SCHEDULES },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "svg", required_argument, NULL, OPT_SVG },
	{ "html", required_argument, NULL, OPT_HTML },
	{ "stop-at", required_argument, NULL, OPT_STOP_AT },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "fsck", no_argument, NULL, OPT_FSCK },
	{ "weak", no_argument, NULL, OPT_WEAK },
	{ "migrations", required_argument, NULL, OPT_MIGRATIONS },
	{ "spurious", required_argument, NULL, OPT_SPURIOUS },
	{ "alloc-fails", required_argument, NULL, OPT_ALLOC_FAILS },
	{ "jobs", required_argument, NULL, OPT_JOBS },
	{ "shard", required_argument, NULL, OPT_SHARD },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "histogram", no_argument, NULL, OPT_HISTOGRAM },
	{ "no-minimise", no_argument, NULL, OPT_NO_MINIMISE },
	{ NULL, 0, NULL, 0 },
};

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out >= min && *out <= max;
}

static int parse_strategy(struct args *a, const char *name)
{
	for (unsigned s = 0; s < EXPLORE_REPLAY; s++) {
		if (strcmp(explore_strategy_name((enum explore_strategy)s), name) == 0) {
			a->opt.strategy = (enum explore_strategy)s;
			return 0;
		}
	}
	return bad_use("--explore %s: no such strategy", name);
}

/* I/N, 1 <= I <= N */
static int parse_shard(struct args *a, const char *arg)
{
	const char *slash = strchr(arg, '/');
	char first[24];
	uint64_t i, n;

	if (!slash || (size_t)(slash - arg) >= sizeof(first))
		return bad_use("--shard %s: I/N is wanted", arg);
	memcpy(first, arg, (size_t)(slash - arg));
	first[slash - arg] = 0;
	if (!number(slash + 1, 1, SHARDS_MAX, &n) || !number(first, 1, n, &i))
		return bad_use("--shard %s: 1 <= I <= N <= %d is wanted", arg, SHARDS_MAX);
	a->opt.shard = (unsigned)i;
	a->opt.shards = (unsigned)n;
	return 0;
}

static int parse_number(struct args *a, int opt, const char *arg)
{
	uint64_t n;

	if (opt == OPT_BOUND && strcmp(arg, "all") == 0) {
		a->opt.bound = -1;
		return 0;
	}
	if (!number(arg, opt == OPT_SEED || opt == OPT_BOUND ? 0 : 1,
		    opt == OPT_JOBS			 ? JOBS_MAX :
		    opt == OPT_BOUND || opt == OPT_DEPTH || opt >= OPT_MIGRATIONS ? 100 :
							   UINT64_MAX / 2000000000,
		    &n))
		return bad_use("'%s' is not a number that fits here", arg);
	switch (opt) {
	case OPT_BOUND:
		a->opt.bound = (int)n;
		break;
	case OPT_DEPTH:
		a->opt.depth = (unsigned)n;
		break;
	case OPT_JOBS:
		a->opt.jobs = (unsigned)n;
		break;
	case OPT_SCHEDULES:
		a->opt.schedules = n;
		break;
	case OPT_SECONDS:
		a->opt.budget_ns = n * 1000000000ull;
		break;
	case OPT_SEED:
		a->opt.seed = n;
		break;
	case OPT_MIGRATIONS:
		a->opt.migrations = (unsigned)n;
		break;
	case OPT_SPURIOUS:
		a->opt.spurious = (unsigned)n;
		break;
	case OPT_ALLOC_FAILS:
		a->opt.alloc_fails = (unsigned)n;
		break;
	default: /* OPT_STOP_AT */
		a->opt.stop_at = n;
	}
	return 0;
}

static int parse_opt(struct args *a, int opt, const char *arg)
{
	switch (opt) {
	case OPT_EXPLORE:
		return parse_strategy(a, arg);
	case OPT_VARIANT:
		a->variants = arg;
		return 0;
	case OPT_JSON:
		a->json = arg;
		return 0;
	case OPT_TRACE:
		a->trace = arg;
		return 0;
	case OPT_SVG:
		a->svg = arg;
		return 0;
	case OPT_HTML:
		a->html = arg;
		return 0;
	case OPT_QUIET:
		a->quiet = true;
		return 0;
	case OPT_FSCK:
		a->fsck = true;
		return 0;
	case OPT_WEAK:
		a->opt.weak = true;
		return 0;
	case OPT_SHARD:
		return parse_shard(a, arg);
	case OPT_PROGRESS:
		a->opt.progress = progress;
		return 0;
	case OPT_HISTOGRAM:
		a->opt.histogram = true;
		return 0;
	case OPT_NO_MINIMISE:
		a->opt.no_minimise = true;
		return 0;
	default:
		return parse_number(a, opt, arg);
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
			return bad_use("%s has no meaning with --explore", argv[optind - 1]);
		err = parse_opt(a, opt, optarg);
		if (err)
			return err;
	}
	return optind < argc ? bad_use("unexpected argument '%s'", argv[optind]) : 0;
}

/* ---- results ---- */

static const char *outcome_name(enum explore_outcome o)
{
	return o == EXPLORE_FOUND ? "found" : o == EXPLORE_EXHAUSTED ? "exhausted" : "budget";
}

static void json_line(FILE *out, const struct explore_scenario *s, const struct args *a,
		      const struct explore_result *res)
{
	const struct explore_options *opt = &a->opt;
	struct merge_row row = {
		.max_bound = opt->strategy == EXPLORE_DFS ? opt->bound : -1,
		.bound = res->bound,
		.seed = opt->seed,
		.shard = opt->shards ? opt->shard : 1,
		.shards = opt->shards ? opt->shards : 1,
		.jobs = opt->jobs ? opt->jobs : 1,
		.schedules = res->schedules,
		.traces = res->traces,
		.first = res->first,
		.estimate = res->left,
		.shared = res->shared_sum,
		.steps = res->event_nr,
		.switches = res->switches,
		.seconds = (double)res->ns / 1e9,
		.unseen = res->unseen,
		.traces_exact = true,
	};

	snprintf(row.scenario, sizeof(row.scenario), "%s", s->name);
	snprintf(row.variant, sizeof(row.variant), "%s", s->variant);
	snprintf(row.strategy, sizeof(row.strategy), "%s", explore_strategy_name(opt->strategy));
	snprintf(row.commit, sizeof(row.commit), "%s", MBFS_COMMIT);
	snprintf(row.result, sizeof(row.result), "%s", outcome_name(res->outcome));
	snprintf(row.verdict, sizeof(row.verdict), "%s", explore_verdict_name(res->verdict));
	snprintf(row.token, sizeof(row.token), "%s", res->token);
	merge_write(out, &row);
}

static int picture(const char *path, int (*draw)(FILE *out, const struct explore_result *res),
		   const struct explore_result *res)
{
	FILE *out;
	int err;

	if (!path)
		return 0;
	out = fopen(path, "we");
	if (!out)
		return bad_use("%s: %s", path, strerror(errno));
	err = draw(out, res);
	if (fclose(out) || err)
		return bad_use("%s: %s", path, strerror(err ? -err : errno));
	return 0;
}

static void histogram(const struct explore_result *res)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < EXPLORE_KINDS_MAX; i++)
		all += res->op_count[i];
	printf("  operations by kind\n");
	for (unsigned told = 0, best; all && told < EXPLORE_KINDS_MAX; told++) {
		static uint64_t count[EXPLORE_KINDS_MAX];

		if (!told)
			memcpy(count, res->op_count, sizeof(count));
		best = 0;
		for (unsigned i = 0; i < EXPLORE_KINDS_MAX; i++)
			best = count[i] > count[best] ? i : best;
		if (!count[best])
			break;
		printf("  %14llu %5.1f %%  %s\n", (unsigned long long)count[best],
		       100.0 * (double)count[best] / (double)all, explore_kind_name(best));
		count[best] = 0;
	}
	printf("  operations by object, and by how many threads\n");
	for (unsigned i = 0; all && i < res->object_nr && i < OBJECTS_TOLD; i++)
		printf("  %14llu %5.1f %%  %d  %s\n", (unsigned long long)res->objects[i].ops,
		       100.0 * (double)res->objects[i].ops / (double)all,
		       __builtin_popcount(res->objects[i].threads), res->objects[i].name);
	if (res->object_nr > OBJECTS_TOLD)
		printf("  and %u more\n", res->object_nr - OBJECTS_TOLD);
}

/* A token says who goes on where; what else could happen is not in it. */
static void say_replay(const struct args *a, const char *token)
{
	printf("  mbfs-race replay %s%s", token, a->opt.weak ? " --weak" : "");
	if (a->opt.migrations)
		printf(" --migrations %u", a->opt.migrations);
	if (a->opt.spurious)
		printf(" --spurious %u", a->opt.spurious);
	if (a->opt.alloc_fails)
		printf(" --alloc-fails %u", a->opt.alloc_fails);
	putchar('\n');
}

static void say(const struct explore_scenario *s, const struct args *a,
		const struct explore_result *res)
{
	double seconds = (double)res->ns / 1e9;

	printf("%-16s %-11s %-9s", s->name, s->variant, outcome_name(res->outcome));
	if (res->outcome == EXPLORE_FOUND)
		printf(" %s, %s, schedule %llu", explore_verdict_name(res->verdict),
		       explore_strategy_name(res->strategy), (unsigned long long)res->first);
	else if (res->bound == INT_MAX)
		printf(" all schedules");
	else if (res->bound >= 0)
		printf(" to %d preemptions", res->bound);
	if (a->opt.shards > 1)
		printf(", shard %u/%u", a->opt.shard, a->opt.shards);
	printf(", %llu schedules, %llu distinct, %.2f s (%.0f/s), up to %llu steps",
	       (unsigned long long)res->schedules, (unsigned long long)res->traces, seconds,
	       seconds > 0 ? (double)res->schedules / seconds : 0,
	       (unsigned long long)res->longest);
	if (res->outcome == EXPLORE_BUDGET)
		tell_rest(stdout, res->schedules, res->left, res->unseen);
	putchar('\n');
	if (a->opt.histogram)
		histogram(res);
	if (res->outcome != EXPLORE_FOUND)
		return;
	printf("  %s\n", res->text);
	if (res->token[0])
		say_replay(a, res->token);
	if (!a->quiet) {
		putchar('\n');
		explore_draw_columns(stdout, res);
		putchar('\n');
	}
}

/* Of so many executions one image is shown to e2fsck. */
enum { FSCK_EVERY = 1000 };

static bool fsck_sample(const void *bytes, size_t nr, char *wrong, size_t wrong_bytes)
{
	static unsigned seen;

	return seen++ % FSCK_EVERY == 0 && small_image_damaged(bytes, nr, wrong, wrong_bytes);
}

/* One scenario and variant. 0 or an exit status of bad use; *found and *budget are set. */
static int run_one(const struct args *a, const struct small_scenario *small, const char *variant,
		   const void *image, bool *found, bool *budget)
{
	static struct explore_result res; /* large; one run at a time */
	struct small_explore race;
	FILE *json = NULL;
	int err = 0;

	small_explore_make(small, variant, &race);
	race.image = image;
	race.faults = a->opt.alloc_fails > 0;
	race.damaged = a->fsck ? fsck_sample : NULL;
	if (a->json) {
		json = strcmp(a->json, "-") == 0 ? stdout : fopen(a->json, "ae");
		if (!json)
			return bad_use("--json %s: %s", a->json, strerror(errno));
	}
	if (explore_run(&race.s, &a->opt, &res) == EXPLORE_BAD_USE)
		err = bad_use("%s", res.text);
	if (a->opt.progress && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (!err && json != stdout)
		say(&race.s, a, &res);
	if (!err && json)
		json_line(json, &race.s, a, &res);
	if (json && json != stdout && fclose(json) && !err)
		err = bad_use("--json %s: %s", a->json, strerror(errno));
	*found = *found || res.outcome == EXPLORE_FOUND;
	*budget = *budget || res.outcome == EXPLORE_BUDGET;
	if (!err && res.outcome == EXPLORE_FOUND) {
		err = picture(a->trace, explore_draw_trace, &res);
		err = err ? err : picture(a->svg, explore_draw_svg, &res);
		err = err ? err : picture(a->html, explore_draw_html, &res);
	}
	return err;
}

static int run_variants(const struct args *a, const struct small_scenario *small, bool *found,
			bool *budget)
{
	char copy[256], *at = copy, *word;
	struct race_variant v;
	struct mbfs_diag diag = { "" };
	void *image;
	int err = 0;

	if (small_image_make(small, &image, &diag))
		return bad_use("%s", diag.text);
	snprintf(copy, sizeof(copy), "%s", a->variants ? a->variants : small->family->ours);
	if (strcmp(copy, "all") == 0)
		for (unsigned i = 0; small->family->at(i, &v) && !err; i++)
			err = run_one(a, small, v.name, image, found, budget);
	else
		while (!err && (word = strsep(&at, ",")))
			err = race_variant_find(small->family, word, &v) ?
				      run_one(a, small, v.name, image, found, budget) :
				      bad_use("--variant %s: %s has no such variant; mbfs-race "
					      "list shows them",
					      word, small->name);
	small_image_free(small, image);
	return err;
}

static int run_scenarios(const struct args *a)
{
	const struct small_scenario *small;
	bool found = false, budget = false;
	unsigned nr;
	int err = 0;

	for (nr = 0; !err && (small = small_match(a->scenario, nr)); nr++)
		err = run_variants(a, small, &found, &budget);
	if (nr == 0)
		return bad_use("no such scenario: '%s'; mbfs-race list shows them", a->scenario);
	if (err)
		return err;
	return found ? EXIT_FOUND : budget ? EXIT_BUDGET : EXIT_EXHAUSTED;
}

static int cmd_replay(struct args *a, const char *text)
{
	struct explore_token tok;
	char why[200];

	if (!explore_token_parse(text, &tok, why, sizeof(why)))
		return bad_use("%s", why);
	a->opt.strategy = EXPLORE_REPLAY;
	a->opt.token = text;
	a->opt.no_minimise = true;
	a->scenario = tok.scenario;
	a->variants = tok.variant;
	return run_scenarios(a);
}

static int cmd_merge(int argc, char **argv)
{
	char why[MERGE_WHY_BYTES];
	int status = merge_files(argc, argv, why, sizeof(why));

	return status == EXIT_USE ? bad_use("%s", why) : status;
}

static int cmd_list(void)
{
	const struct small_scenario *s;

	for (unsigned i = 0; (s = small_at(i)); i++)
		printf("  %-19s %s\n", s->name, s->summary);
	return 0;
}

int main(int argc, char **argv)
{
	struct args a = { .opt = { .bound = 2, .seed = 1, .budget_ns = 10000000000ull,
				   .now_ns = now_ns } };
	int err;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage_text, stdout);
			return 0;
		}
	}
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return cmd_list();
	if (argc >= 2 && strcmp(argv[1], "merge") == 0)
		return cmd_merge(argc - 2, argv + 2);
	if (argc < 3 || (strcmp(argv[1], "run") != 0 && strcmp(argv[1], "replay") != 0))
		return bad_use("run SCENARIO, replay TOKEN or merge FILE is wanted");
	if (isatty(STDERR_FILENO))
		a.opt.progress = progress;
	a.scenario = argv[2];
	err = parse_args(&a, argc - 2, argv + 2);
	if (err)
		return err;
	return strcmp(argv[1], "run") == 0 ? run_scenarios(&a) : cmd_replay(&a, argv[2]);
}
