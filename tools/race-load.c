// SPDX-License-Identifier: GPL-2.0-only
#include "race-load.h"

#include "race/load.h"
#include "race/stacks.h"
#include "race/stamp.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_HELD = 0, EXIT_LOST = 1, EXIT_USE = 2 };

static const char usage_text[] =
	"Usage: mbfs-race load [OPTIONS] FILE\n"
	"       mbfs-race load --check --tag N FILE\n"
	"       mbfs-race stacks PID\n"
	"\n"
	"Asynchronous random reads and writes of FILE, many at once. Every block that is\n"
	"written carries its offset, a number and a crc32c, and every block that is read is\n"
	"looked at: in a file that nobody else changes it holds the last write that was\n"
	"answered, else zeros. FILE is new, or holds zeros (fallocate). At the end all of it\n"
	"is read once more.\n"
	"\n"
	"  --engine libaio|uring  the kernel's AIO or io_uring (default libaio)\n"
	"  --iterations N         reads and writes of all submitters together (default 100000)\n"
	"  --seconds S            or so long\n"
	"  --span SIZE            of the file, from its start (default 100M)\n"
	"  --record SIZE          of one read or write, a multiple of 4K (default 64K)\n"
	"  --submitters N         threads, 1..256, each with a queue of its own (default 10)\n"
	"  --depth N              under way at once per submitter, 1..4096 (default 16)\n"
	"  --reads PERCENT        of the iterations (default 50)\n"
	"  --buffered             without O_DIRECT\n"
	"  --shared               others change the file too: a block may also be zeros or any\n"
	"                         of the writes with this tag, and the file may end anywhere\n"
	"  --tag N                in every block (default: a fresh one); loads of one file\n"
	"                         share it\n"
	"  --seed N               of what is drawn (default: a fresh one)\n"
	"  --grace SECONDS        nothing is answered for so long: stuck. All stacks are\n"
	"                         printed (default 60)\n"
	"  --daemon PID           and those of this process\n"
	"  --check                no load: read FILE and tell how many blocks are zeros,\n"
	"                         written with the tag, or wrong\n"
	"  --json                 one JSON object instead of lines\n"
	"\n"
	"stacks prints where the threads of a process are (gdb or eu-stack help).\n"
	"\n"
	"Exit status: 0 all was answered and right; 1 not; 2 bad use; 3 stuck.\n";

struct args {
	struct load_config cfg;
	bool check, json, tag_given;
};

static int bad_use(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int bad_use(const char *fmt, ...)
{
	va_list ap;

	fputs("mbfs-race load: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" (see mbfs-race load --help)\n", stderr);
	return EXIT_USE;
}

/* A number in [min, max] with an optional K, M, G or T. */
static bool number(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift = 0;
	char *end;
	unsigned long long v;

	if (s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 0);
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit) {
		shift = 10 * ((unsigned)(unit - units) + 1);
		end++;
	}
	if (errno || *end || v > max >> shift || v << shift < min)
		return false;
	*out = v << shift;
	return true;
}

enum opt {
	OPT_ENGINE = 256,
	OPT_ITERATIONS,
	OPT_SECONDS,
	OPT_SPAN,
	OPT_RECORD,
	OPT_SUBMITTERS,
	OPT_DEPTH,
	OPT_READS,
	OPT_BUFFERED,
	OPT_SHARED,
	OPT_TAG,
	OPT_SEED,
	OPT_GRACE,
	OPT_DAEMON,
	OPT_CHECK,
	OPT_JSON,
	OPT_HELP
};

static const struct option long_opts[] = {
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "iterations", required_argument, NULL, OPT_ITERATIONS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "span", required_argument, NULL, OPT_SPAN },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "submitters", required_argument, NULL, OPT_SUBMITTERS },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "reads", required_argument, NULL, OPT_READS },
	{ "buffered", no_argument, NULL, OPT_BUFFERED },
	{ "shared", no_argument, NULL, OPT_SHARED },
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "grace", required_argument, NULL, OPT_GRACE },
	{ "daemon", required_argument, NULL, OPT_DAEMON },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* Options with a number: their range, in the order of enum opt from ITERATIONS on. */
static const struct {
	uint64_t min, max;
} ranges[] = {
	[OPT_ITERATIONS] = { 1, UINT64_MAX },
	[OPT_SECONDS] = { 1, 1000000 },
	[OPT_SPAN] = { STAMP_BYTES, 1ull << 44 },
	[OPT_RECORD] = { STAMP_BYTES, 1u << 30 },
	[OPT_SUBMITTERS] = { 1, LOAD_SUBMITTERS_MAX },
	[OPT_DEPTH] = { 1, LOAD_DEPTH_MAX },
	[OPT_READS] = { 0, 100 },
	[OPT_TAG] = { 0, UINT64_MAX },
	[OPT_SEED] = { 0, UINT64_MAX },
	[OPT_GRACE] = { 1, 1000000 },
	[OPT_DAEMON] = { 1, INT32_MAX },
};

static void take_number(struct args *a, int opt, uint64_t v)
{
	struct load_config *cfg = &a->cfg;

	switch (opt) {
	case OPT_ITERATIONS:
		cfg->iterations = v;
		break;
	case OPT_SECONDS:
		cfg->run_ms = v * 1000;
		cfg->iterations = 0;
		break;
	case OPT_SPAN:
		cfg->span_bytes = v;
		break;
	case OPT_RECORD:
		cfg->record_bytes = (uint32_t)v;
		break;
	case OPT_SUBMITTERS:
		cfg->submitters = (unsigned)v;
		break;
	case OPT_DEPTH:
		cfg->depth = (unsigned)v;
		break;
	case OPT_READS:
		cfg->read_percent = (unsigned)v;
		break;
	case OPT_TAG:
		cfg->tag = v;
		a->tag_given = true;
		break;
	case OPT_SEED:
		cfg->seed = v;
		break;
	case OPT_GRACE:
		cfg->grace_ms = v * 1000;
		break;
	default: /* OPT_DAEMON */
		cfg->daemon = (pid_t)v;
		break;
	}
}

static int take_opt(struct args *a, int opt, const char *name, const char *arg)
{
	uint64_t v;
	int engine;

	switch (opt) {
	case OPT_ENGINE:
		engine = race_aio_find(arg);
		if (engine < 0)
			return bad_use("--engine %s: it is libaio or uring", arg);
		a->cfg.engine = (enum race_aio_engine)engine;
		return 0;
	case OPT_BUFFERED:
		a->cfg.buffered = true;
		return 0;
	case OPT_SHARED:
		a->cfg.shared = true;
		return 0;
	case OPT_CHECK:
		a->check = true;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	default:
		break;
	}
	if (!number(arg, ranges[opt].min, ranges[opt].max, &v))
		return bad_use("--%s %s: a number from %" PRIu64 " to %" PRIu64 " is wanted", name,
			       arg, ranges[opt].min, ranges[opt].max);
	take_number(a, opt, v);
	return 0;
}

/* -1: go on. */
static int parse(struct args *a, int argc, char **argv)
{
	int opt, at, err;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", long_opts, &at)) != -1) {
		if (opt == ':')
			return bad_use("%s needs a value", argv[optind - 1]);
		if (opt == '?')
			return bad_use("unknown option '%s'", argv[optind - 1]);
		if (opt == OPT_HELP) {
			fputs(usage_text, stdout);
			return EXIT_HELD;
		}
		err = take_opt(a, opt, long_opts[at].name, optarg);
		if (err)
			return err;
	}
	if (optind + 1 != argc)
		return bad_use("it takes one file");
	if (a->check && !a->tag_given)
		return bad_use("--check needs --tag, as the load had it");
	if (a->cfg.record_bytes % STAMP_BYTES)
		return bad_use("--record %u: not a multiple of %d", a->cfg.record_bytes,
			       STAMP_BYTES);
	if (a->cfg.span_bytes < a->cfg.record_bytes)
		return bad_use("--span %" PRIu64 "K: less than one record of %u bytes",
			       a->cfg.span_bytes >> 10, a->cfg.record_bytes);
	a->cfg.path = argv[optind];
	return -1;
}

static double rate(uint64_t nr, uint64_t ns)
{
	return ns ? (double)nr * 1e9 / (double)ns : 0;
}

static void print_lines(const struct args *a, const struct load_result *res)
{
	char ns[4][16];

	if (a->check)
		printf("%" PRIu64 " bytes: ", res->bytes);
	else
		printf("%s: %" PRIu64 " reads and %" PRIu64 " writes of %u bytes in %.2f s: %.0f a "
		       "second; %" PRIu64 " unanswered, %" PRIu64 " failed, %" PRIu64 " cut short\n"
		       "read p50 %s, p99 %s; write p50 %s, p99 %s\n",
		       race_aio_name(a->cfg.engine), res->reads, res->writes, a->cfg.record_bytes,
		       (double)res->elapsed_ns / 1e9,
		       rate(res->reads + res->writes, res->elapsed_ns), res->unanswered,
		       res->failed, res->cut_short,
		       race_human_ns(ns[0], race_hist_at(&res->read_lat, 500)),
		       race_human_ns(ns[1], race_hist_at(&res->read_lat, 990)),
		       race_human_ns(ns[2], race_hist_at(&res->write_lat, 500)),
		       race_human_ns(ns[3], race_hist_at(&res->write_lat, 990)));
	printf("blocks read: %" PRIu64 " written, %" PRIu64 " zeros, %" PRIu64 " wrong\n",
	       res->blocks_ours, res->blocks_zero, res->blocks_wrong);
}

static void print_json(const struct args *a, const struct load_result *res)
{
	printf("{\"engine\":\"%s\",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64
	       ",\"record_bytes\":%u,\"seconds\":%.3f,\"per_second\":%.0f,\"unanswered\":%" PRIu64
	       ",\"failed\":%" PRIu64 ",\"cut_short\":%" PRIu64 ",\"blocks_written\":%" PRIu64
	       ",\"blocks_zero\":%" PRIu64 ",\"blocks_wrong\":%" PRIu64 ",\"read_p50_ns\":%" PRIu64
	       ",\"read_p99_ns\":%" PRIu64 ",\"write_p50_ns\":%" PRIu64 ",\"write_p99_ns\":%" PRIu64
	       ",\"tag\":%" PRIu64 ",\"seed\":%" PRIu64 ",\"held\":%s}\n",
	       race_aio_name(a->cfg.engine), res->reads, res->writes, a->cfg.record_bytes,
	       (double)res->elapsed_ns / 1e9, rate(res->reads + res->writes, res->elapsed_ns),
	       res->unanswered, res->failed, res->cut_short, res->blocks_ours, res->blocks_zero,
	       res->blocks_wrong, race_hist_at(&res->read_lat, 500),
	       race_hist_at(&res->read_lat, 990), race_hist_at(&res->write_lat, 500),
	       race_hist_at(&res->write_lat, 990), a->cfg.tag, a->cfg.seed,
	       load_held(res) ? "true" : "false");
}

int load_main(int argc, char **argv)
{
	struct mbfs_diag diag = { "" };
	struct load_result res;
	struct args a = { 0 };
	int err;

	load_config_default(&a.cfg);
	err = parse(&a, argc, argv);
	if (err >= 0)
		return err;
	err = (a.check ? load_check : load_run)(&a.cfg, &res, &diag);
	if (err) {
		fprintf(stderr, "mbfs-race load: %s\n", diag.text);
		return err == -EINVAL ? EXIT_USE : EXIT_LOST;
	}
	(a.json ? print_json : print_lines)(&a, &res);
	if (load_held(&res))
		return EXIT_HELD;
	fprintf(stderr, "mbfs-race load: %s: %s\nrepeat: --seed %" PRIu64 " --tag %" PRIu64 "\n",
		a.cfg.path, res.note[0] ? res.note : "not all was answered", a.cfg.seed, a.cfg.tag);
	return EXIT_LOST;
}

int stacks_main(int argc, char **argv)
{
	uint64_t pid;

	if (argc != 2 || !number(argv[1], 1, INT32_MAX, &pid)) {
		fputs("mbfs-race stacks: it takes the number of a process\n", stderr);
		return EXIT_USE;
	}
	race_stacks_print((pid_t)pid, stdout);
	return EXIT_HELD;
}
