// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-race - run allocator races with real threads, on the library or over a mount.
 *
 * One run per variant and workload, one after the other; a table on stdout, one JSON object a line
 * in the file of --json. Exit status: 0 every variant that should hold held, 1 one did not or
 * something broke, 2 bad use.
 */
#include "race-args.h"
#include "race-curve.h"
#include "race-load.h"
#include "race-small.h"

#include "race/curve.h"
#include "race/race.h"
#include "race/small.h"

#include <mbfs/fs.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_HELD = 0, EXIT_LOST = 1, EXIT_USE = ARGS_BAD_USE };

struct args {
	struct race_config cfg;
	const char *variants, *workloads, *json, *svg;
	char mbfsd[PATH_MAX];
	uint32_t widen_auto_us; /* 0: as cfg.widen_us says */
	bool rounds_given, seconds_given, quiet;
	/* matrix */
	unsigned threads[ARGS_LIST_MAX], cpus[ARGS_LIST_MAX];
	unsigned threads_nr, cpus_nr;
	unsigned pressures[ARGS_LIST_MAX], pressures_nr; /* a run each */
};

static const char usage_text[] =
	"Usage: mbfs-race list\n"
	"       mbfs-race run SCENARIO [OPTIONS]\n"
	"       mbfs-race matrix SCENARIO [OPTIONS]\n"
	"       mbfs-race run SCENARIO --explore STRATEGY [OPTIONS] | replay TOKEN [OPTIONS]\n"
	"       mbfs-race curve SCENARIO [OPTIONS]\n"
	"       mbfs-race load [OPTIONS] FILE | load --check --tag N FILE | stacks PID\n"
	"       mbfs-race --help | --version\n"
	"\n"
	"Run races with real concurrent writers. The workloads of enospc are sized so that "
	"everything\n"
	"fits: any ENOSPC is false. The endio scenarios read what was written. Those of mempools "
	"need\n"
	"no file system.\n"
	"\n"
	"  list                   scenarios, workloads, variants and delay points\n"
	"  run SCENARIO           one run per variant and workload, as a table\n"
	"  ... --explore STRATEGY under a schedule explorer instead of real threads: see\n"
	"                         mbfs-race run SCENARIO --explore --help\n"
	"  replay TOKEN           repeat a schedule that the explorer printed\n"
	"  merge FILE.json...     put the results of the shards of a search together\n"
	"  matrix SCENARIO        one run per variant, number of writers and of virtual CPUs, as "
	"a\n"
	"                         Markdown table (--threads and --cpus then take lists: 1,8,64)\n"
	"  curve SCENARIO         mempool-abba: how many writers does it take to deadlock, by the\n"
	"                         size of the reserve? See mbfs-race curve --help\n"
	"  load FILE              asynchronous reads and writes of a file, all checked: see\n"
	"                         mbfs-race load --help\n"
	"  stacks PID             where the threads of a process are\n"
	"\n"
	"  --variant NAME|all     variant of the scenario, or several: a,b (default: ours; matrix: "
	"all)\n"
	"  --workload NAME|all    workload, or several (default: the scenario's first)\n"
	"  --threads N            writers, 1..1024 (default 80; endio: 5; mempool-abba: 8,\n"
	"                         -depletion: 32; extent-state-nofail: 8; pending-one-seq,\n"
	"                         kvfree-nomem: 4; resize-writers: 9, one of which grows it)\n"
	"  --cpus N               virtual CPUs, 1..1024 (default 8; pending-one-seq,\n"
	"                         kvfree-nomem: 2; matrix: as many as writers, <= 64)\n"
	"  --seconds S            length of a run (default 10; endio: 5; mempool-*: 2, 1;\n"
	"                         extent-state-nofail, pending-one-seq, kvfree-nomem: 2;\n"
	"                         matrix: 2)\n"
	"  --rounds R             stop after R rounds (files per writer in pairs and mixed)\n"
	"  --mount                over a FUSE mount that is made and removed, with e2fsck -fn "
	"after it\n"
	"  --block-size BYTES     1024, 2048, 4096 or 65536 (default 65536; endio: 4096;\n"
	"                         resize-writers: 1024)\n"
	"  --size BYTES           of the image, with K, M or G (default 240M; endio: 64M;\n"
	"                         resize-writers: 32M, and it grows)\n"
	"  --widen POINT=USEC     hold threads up at a delay point; may be repeated\n"
	"  --widen auto[=USEC]    at the point that makes the variant lose, or at all of them if "
	"it\n"
	"                         is to hold (default 3000; list shows the points)\n"
	"  --reserve N            mempool-*, extent-state-nofail: objects in each reserve\n"
	"                         (default: the variant's)\n"
	"  --pressure LIST        mempool-depletion: percent of what comes back to memory that "
	"others\n"
	"                         take, a run each (default 0,1,2,5,10,25,50,75,100)\n"
	"  --json FILE            append one JSON object a line (- is stdout, instead of the "
	"table)\n"
	"  --svg FILE             matrix: median times of calls by writers, as a picture\n"
	"  --seed N               of the random sizes (default: a fresh one, in the JSON)\n"
	"  --grace SECONDS        no call returns for so long: a livelock, the run is killed\n"
	"                         (default 30; endio: 5)\n"
	"  --dir DIR              where images and mount points go (default TMPDIR, /dev/shm or "
	"/tmp)\n"
	"  --daemon PATH          mbfs to mount with (default: beside mbfs-race, then PATH)\n"
	"\n"
	"Exit status: 0 every variant that should hold held; 1 one did not, or an image was "
	"damaged;\n"
	"2 bad use.\n";

/* Bytes with K, M, G or T. */
static bool size_number(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	char digits[24];
	size_t len = strlen(s);
	unsigned shift = 0;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, s, len + 1);
	unit = strchr(units, digits[len - 1] & ~0x20);
	if (unit && *unit && digits[len - 1] > '9') {
		shift = 10 * ((unsigned)(unit - units) + 1);
		digits[len - 1] = 0;
	}
	if (!args_number(digits, 1, UINT64_MAX >> 1 >> shift, out))
		return false;
	*out <<= shift;
	return true;
}

static int parse_widen(struct args *a, const char *arg)
{
	const char *eq = strchr(arg, '='), *name;
	uint64_t us;

	if (strcmp(arg, "auto") == 0) {
		a->widen_auto_us = 3000;
		return 0;
	}
	if (!eq)
		return args_bad_use("--widen %s: POINT=USEC is wanted", arg);
	if (!args_number(eq + 1, 0, 10000000, &us))
		return args_bad_use("--widen %s: '%s' is not a number of microseconds up to "
				    "10000000",
				    arg, eq + 1);
	if (strncmp(arg, "auto=", strlen("auto=")) == 0) {
		a->widen_auto_us = (uint32_t)us;
		return 0;
	}
	for (unsigned i = 0; (name = mbfs_alloc_point_name((enum mbfs_alloc_point)i)); i++) {
		if (strlen(name) != (size_t)(eq - arg) || strncmp(name, arg, strlen(name)) != 0)
			continue;
		a->cfg.widen_us[i] = (uint32_t)us;
		return 0;
	}
	return args_bad_use("--widen %s: no such delay point; mbfs-race list shows them", arg);
}

enum opt { OPT_VARIANT = 256, OPT_WORKLOAD, OPT_THREADS, OPT_CPUS, OPT_SECONDS, OPT_ROUNDS,
	   OPT_MOUNT, OPT_BLOCK_SIZE, OPT_SIZE, OPT_WIDEN, OPT_JSON, OPT_SEED, OPT_GRACE, OPT_DIR,
	   OPT_DAEMON, OPT_RESERVE, OPT_PRESSURE, OPT_SVG };

static const struct option long_opts[] = {
	{ "variant", required_argument, NULL, OPT_VARIANT },
	{ "workload", required_argument, NULL, OPT_WORKLOAD },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "mount", no_argument, NULL, OPT_MOUNT },
	{ "block-size", required_argument, NULL, OPT_BLOCK_SIZE },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "widen", required_argument, NULL, OPT_WIDEN },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "svg", required_argument, NULL, OPT_SVG },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "grace", required_argument, NULL, OPT_GRACE },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "daemon", required_argument, NULL, OPT_DAEMON },
	{ "reserve", required_argument, NULL, OPT_RESERVE },
	{ "pressure", required_argument, NULL, OPT_PRESSURE },
	{ NULL, 0, NULL, 0 },
};

static bool block_size_ok(uint64_t bytes)
{
	return bytes == 1024 || bytes == 2048 || bytes == 4096 || bytes == 65536;
}

/* Of the mempool scenarios. */
static int parse_pool_opt(struct args *a, int opt, const char *arg)
{
	const struct race_scenario *s = a->cfg.scenario;
	uint64_t v;

	if (opt == OPT_RESERVE) {
		if (!race_takes_reserve(s))
			return args_bad_use("--reserve: %s has no reserve", s->name);
		if (!args_number(arg, 1, RACE_RESERVE_MAX, &v))
			return args_bad_use("--reserve %s: a number from 1 to %d is wanted", arg,
					    RACE_RESERVE_MAX);
		a->cfg.reserve = (unsigned)v;
		return 0;
	}
	if (!race_takes_pressure(s))
		return args_bad_use("--pressure: %s knows no memory pressure", s->name);
	return args_list("--pressure", arg, 0, 100, true, a->pressures, &a->pressures_nr);
}

/* Options whose value is a number; 1: not one of them. */
static int parse_number_opt(struct args *a, int opt, const char *arg)
{
	uint64_t v = 0;

	switch (opt) {
	case OPT_SECONDS:
		a->seconds_given = true;
		return args_seconds(arg, &a->cfg.run_ms) ? 0 :
			args_bad_use("--seconds %s: not a number of seconds above 0", arg);
	case OPT_ROUNDS:
		a->rounds_given = true;
		return args_number(arg, 1, UINT64_MAX, &a->cfg.rounds) ? 0 :
			args_bad_use("--rounds %s: not a number from 1", arg);
	case OPT_BLOCK_SIZE:
		if (!args_number(arg, 1, 65536, &v) || !block_size_ok(v))
			return args_bad_use("--block-size %s: 1024, 2048, 4096 or 65536 is wanted",
					    arg);
		a->cfg.block_bytes = (uint32_t)v;
		return 0;
	case OPT_SIZE:
		if (!size_number(arg, &v) || v < (1u << 20) || v > (1ull << 44))
			return args_bad_use("--size %s: a size from 1M to 16T is wanted, as 240M",
					    arg);
		a->cfg.size_bytes = v;
		return 0;
	case OPT_SEED:
		return args_number(arg, 0, UINT64_MAX, &a->cfg.seed) ? 0 :
			args_bad_use("--seed %s: not a number", arg);
	case OPT_GRACE:
		return args_seconds(arg, &a->cfg.grace_ms) ? 0 :
			args_bad_use("--grace %s: not a number of seconds above 0", arg);
	default:
		return 1;
	}
}

static int parse_opt(struct args *a, int opt, const char *arg, bool many)
{
	int err = parse_number_opt(a, opt, arg);

	if (err != 1)
		return err;
	switch (opt) {
	case OPT_VARIANT:
		a->variants = arg;
		return 0;
	case OPT_WORKLOAD:
		a->workloads = arg;
		return 0;
	case OPT_THREADS:
		return args_list("--threads", arg, 1, RACE_THREADS_MAX, many, a->threads,
				  &a->threads_nr);
	case OPT_CPUS:
		return args_list("--cpus", arg, 1, RACE_CPUS_MAX, many, a->cpus, &a->cpus_nr);
	case OPT_MOUNT:
		a->cfg.mount = true;
		return 0;
	case OPT_WIDEN:
		return parse_widen(a, arg);
	case OPT_JSON:
		a->json = arg;
		return 0;
	case OPT_RESERVE:
	case OPT_PRESSURE:
		return parse_pool_opt(a, opt, arg);
	case OPT_SVG:
		a->svg = arg;
		return 0;
	case OPT_DIR:
		a->cfg.dir = arg;
		return 0;
	default: /* OPT_DAEMON */
		snprintf(a->mbfsd, sizeof(a->mbfsd), "%s", arg);
		return 0;
	}
}

static int parse_args(struct args *a, int argc, char **argv, bool many)
{
	int opt, err;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", long_opts, NULL)) != -1) {
		if (opt == ':')
			return args_bad_use("%s needs a value", argv[optind - 1]);
		if (opt == '?')
			return args_bad_use("unknown option '%s'", argv[optind - 1]);
		err = parse_opt(a, opt, optarg, many);
		if (err)
			return err;
	}
	if (optind < argc)
		return args_bad_use("unexpected argument '%s'", argv[optind]);
	if (a->rounds_given && !a->seconds_given)
		a->cfg.run_ms = 0;
	return 0;
}

/* Is @name one of the comma-separated @list, or is @list "all"? */
static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *at = list;

	if (strcmp(list, "all") == 0)
		return true;
	while ((at = strstr(at, name))) {
		if ((at == list || at[-1] == ',') && (at[len] == 0 || at[len] == ','))
			return true;
		at += len;
	}
	return false;
}

/* Each word of the lists must name something. */
static int check_names(const struct args *a)
{
	char copy[512], *at = copy, *word;
	struct race_variant v;

	snprintf(copy, sizeof(copy), "%s", a->variants);
	while (strcmp(a->variants, "all") != 0 && (word = strsep(&at, ",")))
		if (!race_variant_find(a->cfg.scenario->family, word, &v))
			return args_bad_use("--variant %s: no such variant; mbfs-race list shows "
					    "them",
					    word);
	at = copy;
	snprintf(copy, sizeof(copy), "%s", a->workloads);
	while (strcmp(a->workloads, "all") != 0 && (word = strsep(&at, ",")))
		if (!race_workload_find(a->cfg.scenario, word))
			return args_bad_use("--workload %s: no such workload; mbfs-race list shows "
					    "them",
					    word);
	return 0;
}

/* The program of that name beside this one, else the one in PATH. */
static void find_program(const char *name, char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	while (len > 0 && self[len - 1] != '/')
		len--;
	if (len > 0 && snprintf(path, PATH_MAX, "%.*s%s", (int)len, self, name) < PATH_MAX &&
	    access(path, X_OK) == 0)
		return;
	snprintf(path, PATH_MAX, "%s", name);
}

static int find_daemon(struct args *a)
{
	if (!a->mbfsd[0])
		find_program("mbfs", a->mbfsd);
	else if (access(a->mbfsd, X_OK))
		return args_bad_use("--daemon %s: %s", a->mbfsd, strerror(errno));
	return 0;
}

/* The explorer is a program of its own: the library it links with is built against another rt. */
static bool wants_explorer(int argc, char **argv)
{
	if (strcmp(argv[1], "replay") == 0 || strcmp(argv[1], "merge") == 0)
		return true;
	for (int i = 2; i < argc && strcmp(argv[1], "run") == 0; i++)
		if (strncmp(argv[i], "--explore", strlen("--explore")) == 0)
			return true;
	return false;
}

static bool is_small(int argc, char **argv)
{
	return strcmp(argv[1], "run") == 0 && argc > 2 && !race_scenario_find(argv[2]) &&
	       small_match(argv[2], 0);
}

static int run_explorer(char **argv)
{
	char path[PATH_MAX];

	fflush(NULL);
	find_program("mbfs-explore", path);
	execvp(path, argv);
	return args_bad_use("cannot run %s: %s", path, strerror(errno));
}

enum { DOTS_MAX = 1024, COMMAND_BYTES = 1024 };

struct session {
	FILE *json, *table, *svg;
	bool markdown, lost, stop;
	unsigned runs;
	struct race_dot dot[DOTS_MAX]; /* of the first runs, for svg */
};

static int run_one(struct session *s, const struct race_config *cfg)
{
	struct race_result res;
	struct mbfs_diag diag = { "" };
	int err = race_run(cfg, &res, &diag);

	if (err) {
		fprintf(stderr, "mbfs-race: %s, %s, %u writers: %s\n", cfg->variant.name,
			cfg->workload->name, cfg->threads,
			diag.text[0] ? diag.text : strerror(-err));
		return err == -EINVAL ? EXIT_USE : EXIT_LOST;
	}
	if (s->table)
		(s->markdown ? race_markdown_row : race_table_row)(s->table, cfg, &res);
	if (s->json)
		race_json_line(s->json, cfg, &res);
	if (s->runs < DOTS_MAX)
		s->dot[s->runs] = (struct race_dot){ cfg->variant.name, cfg->workload->name,
						     cfg->threads, cfg->cpus,
						     race_hist_at(&res.sum.lat, 500) };
	s->runs++;
	if (!res.check_ok || (res.fsck_run && !res.fsck_ok) ||
	    (cfg->variant.holds && !race_held(cfg, &res)))
		s->lost = true;
	s->stop = res.interrupted;
	return 0;
}

/* The window that the variant has; all of them for one that has none. */
static void widen_for(struct race_config *cfg, uint32_t us)
{
	const struct mbfs_alloc_variant *v = mbfs_alloc_variant_find(cfg->variant.name);
	const struct mbfs_resize_variant *r = mbfs_resize_variant_find(cfg->variant.name);

	if (cfg->scenario->family == &race_resize) {
		memset(cfg->widen_us, 0, sizeof(cfg->widen_us));
		if (!r->holds)
			cfg->widen_us[r->window] = us;
		return;
	}
	for (unsigned i = 0; v && i < MBFS_POINT_NR; i++)
		cfg->widen_us[i] = v->window == MBFS_POINT_NR || v->window == i ? us : 0;
}

/* One run, or one for each pressure. */
static int run_pressures(struct session *s, const struct args *a, struct race_config *cfg)
{
	int err = 0;

	if (!race_takes_pressure(cfg->scenario))
		return run_one(s, cfg);
	for (unsigned i = 0; !err && i < a->pressures_nr && !s->stop; i++) {
		cfg->pressure = a->pressures[i];
		err = run_one(s, cfg);
	}
	return err;
}

/* Every workload and variant asked for, with the numbers of @cfg. */
static int run_all(struct session *s, const struct args *a, struct race_config cfg)
{
	const struct race_workload *w;
	struct race_variant v;
	int err;

	for (w = cfg.scenario->workloads; w->name; w++) {
		if (!listed(a->workloads, w->name))
			continue;
		for (unsigned i = 0; cfg.scenario->family->at(i, &v) && !s->stop; i++) {
			if (!listed(a->variants, v.name))
				continue;
			cfg.workload = w;
			cfg.variant = v;
			if (a->widen_auto_us)
				widen_for(&cfg, a->widen_auto_us);
			err = run_pressures(s, a, &cfg);
			if (err)
				return err;
		}
	}
	return 0;
}

static int run_matrix(struct session *s, const struct args *a)
{
	struct race_config cfg = a->cfg;
	unsigned cpus_nr = a->cpus_nr ? a->cpus_nr : 1;
	int err = 0;

	for (unsigned t = 0; !err && t < a->threads_nr; t++) {
		cfg.threads = a->threads[t];
		for (unsigned c = 0; !err && c < cpus_nr && !s->stop; c++) {
			cfg.cpus = a->cpus_nr ? a->cpus[c] : cfg.threads < 64 ? cfg.threads : 64;
			err = run_all(s, a, cfg);
		}
	}
	return err;
}

static int open_json(struct session *s, const char *path)
{
	s->table = stdout;
	if (!path)
		return 0;
	if (strcmp(path, "-") == 0) {
		s->json = stdout;
		s->table = NULL;
		return 0;
	}
	s->json = fopen(path, "ae");
	return s->json ? 0 : args_bad_use("--json %s: %s", path, strerror(errno));
}

static int open_svg(struct session *s, const char *path, bool matrix)
{
	if (!path)
		return 0;
	if (!matrix)
		return args_bad_use("--svg %s: run has no picture but with --explore; use matrix",
				    path);
	s->svg = fopen(path, "we");
	return s->svg ? 0 : args_bad_use("--svg %s: %s", path, strerror(errno));
}

/* @err: what it is so far. */
static int draw(struct session *s, const struct args *a, int argc, char **argv, int err)
{
	char command[COMMAND_BYTES] = "mbfs-race";
	size_t at = strlen(command);
	bool wrong = false;

	if (!s->svg)
		return err;
	for (int i = 0; i < argc && at < sizeof(command); i++)
		at += (size_t)snprintf(command + at, sizeof(command) - at, " %s", argv[i]);
	if (!err && s->runs)
		wrong = race_matrix_svg(s->svg, a->cfg.scenario->name, s->dot,
					s->runs < DOTS_MAX ? s->runs : DOTS_MAX, command);
	if ((fclose(s->svg) || wrong) && !err)
		err = args_bad_use("--svg %s: it could not be written", a->svg);
	return err;
}

static int cmd_run(int argc, char **argv, bool matrix)
{
	static const unsigned threads[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256 };
	static const unsigned pressures[] = { 0, 1, 2, 5, 10, 25, 50, 75, 100 };
	struct args a = { 0 };
	struct session s = { .markdown = matrix };
	const struct race_scenario *sc;
	int err;

	if (argc < 2 || argv[1][0] == '-')
		return args_bad_use("a scenario is wanted after '%s'; mbfs-race list shows them",
			       argv[0]);
	sc = race_scenario_find(argv[1]);
	if (!sc)
		return args_bad_use("no such scenario: '%s'; mbfs-race list shows them", argv[1]);
	race_config_default(sc, &a.cfg);
	a.variants = matrix ? "all" : sc->family->ours;
	a.workloads = sc->workloads[0].name;
	a.cfg.seed = race_fresh_seed();
	if (matrix)
		a.cfg.run_ms = 2000;
	a.threads_nr = matrix ? sizeof(threads) / sizeof(threads[0]) : 1;
	memcpy(a.threads, threads, sizeof(threads));
	a.pressures_nr = sizeof(pressures) / sizeof(pressures[0]);
	memcpy(a.pressures, pressures, sizeof(pressures));
	if (!matrix)
		a.threads[0] = a.cfg.threads;
	err = parse_args(&a, argc - 1, argv + 1, matrix);
	if (!err)
		err = check_names(&a);
	if (!err && a.cfg.mount)
		err = find_daemon(&a);
	if (!err)
		err = open_json(&s, a.json);
	if (!err)
		err = open_svg(&s, a.svg, matrix);
	if (err)
		return err;
	a.cfg.mbfsd = a.mbfsd;
	if (s.table)
		(matrix ? race_markdown_head : race_table_head)(s.table, sc);
	a.cfg.threads = a.threads[0];
	if (!matrix && a.cpus_nr)
		a.cfg.cpus = a.cpus[0];
	err = matrix ? run_matrix(&s, &a) : run_all(&s, &a, a.cfg);
	err = draw(&s, &a, argc, argv, err);
	if (s.json && s.json != stdout && fclose(s.json) && !err)
		err = args_bad_use("--json %s: %s", a.json, strerror(errno));
	if (err)
		return err;
	return s.lost || s.stop ? EXIT_LOST : EXIT_HELD;
}

static void list_family(const char *title, const struct race_family *fam)
{
	struct race_variant v;

	printf("\n%s (--variant)\n", title);
	for (unsigned i = 0; fam->at(i, &v); i++)
		printf("  %-18s %-6s %-13s %-13s %s\n", v.name, v.holds ? "holds" : "loses",
		       v.kernel ? v.kernel : "-", v.commit ? v.commit : "-", v.summary);
}

static int cmd_list(char **argv)
{
	const struct race_scenario *sc;
	const struct race_workload *w;
	const struct mbfs_alloc_variant *v;
	const struct mbfs_endio_variant *e;
	const char *point;

	for (unsigned i = 0; (sc = race_scenario_at(i)); i++) {
		printf("scenario %s: %s\n", sc->name, sc->summary);
		for (w = sc->workloads; w->name; w++)
			printf("  workload %-12s %s\n", w->name, w->summary);
	}
	printf("\nENOSPC variants (--variant; mbfs -o enospc=NAME), and the delay point where they "
	       "lose\n");
	for (unsigned i = 0; (v = mbfs_alloc_variant_at(i)); i++)
		printf("  %-11s %-6s %-13s %-8s %-13s %s\n", v->name,
		       v->holds			      ? "holds" :
		       v->window == MBFS_POINT_NR ? "spins" :
						    "loses",
		       v->window == MBFS_POINT_NR ? "" : mbfs_alloc_point_name(v->window),
		       v->kernel ? v->kernel : "-", v->commit ? v->commit : "-", v->summary);
	printf("\nend-io variants, of the endio scenarios (--variant; mbfs -o endio=NAME)\n");
	for (unsigned i = 0; (e = mbfs_endio_variant_at(i)); i++)
		printf("  %-18s %-6s %-13s %-13s %s\n", e->name, e->holds ? "holds" : "loses",
		       e->kernel, e->commit, e->summary);
	list_family("ways to take objects, of mempool-abba", &race_mempool);
	list_family("orders of looking for an object, of mempool-depletion", &race_mempool_order);
	list_family("ways to memory for states, of extent-state-nofail", &race_state);
	list_family("containers of objects that wait, of pending-one-seq", &race_pending);
	list_family("barriers, of rcu-barrier-cost", &race_barrier);
	list_family("ways to free what readers may see, of kvfree-nomem", &race_kvfree);
	list_family("ways to replace arrays, of resize-* (mbfs -o resize=NAME)", &race_resize);
	printf("\ndelay points (--widen POINT=USEC)\n");
	for (unsigned i = 0; (point = mbfs_alloc_point_name((enum mbfs_alloc_point)i)); i++)
		printf("  %s\n", point);
	printf("\nsmall scenarios, for run and for run --explore\n");
	return run_explorer(argv);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return args_bad_use("a command is wanted: list, run or matrix");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		fputs(usage_text, stdout);
		return EXIT_HELD;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("mbfs-race %s (%s)\n", MBFS_VERSION, MBFS_COMMIT);
		return EXIT_HELD;
	}
	if (wants_explorer(argc, argv))
		return run_explorer(argv);
	if (strcmp(argv[1], "curve") == 0)
		return curve_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "load") == 0)
		return load_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "stacks") == 0)
		return stacks_main(argc - 1, argv + 1);
	if (is_small(argc, argv))
		return small_main(argc - 2, argv + 2);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage_text, stdout);
			return EXIT_HELD;
		}
	}
	if (strcmp(argv[1], "list") == 0)
		return argc == 2 ? cmd_list(argv) :
				   args_bad_use("unexpected argument '%s'", argv[2]);
	if (strcmp(argv[1], "run") == 0)
		return cmd_run(argc - 1, argv + 1, false);
	if (strcmp(argv[1], "matrix") == 0)
		return cmd_run(argc - 1, argv + 1, true);
	return args_bad_use("unknown command '%s'", argv[1]);
}
