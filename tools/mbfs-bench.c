// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-bench - figures: the allocator, byte ranges and memory pools in memory, RCU, writes, and a
 * mount beside its peers.
 */
#include "bench-client.h"
#include "bench-peer.h"
#include "race/team.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USE = 2 };

static const char usage_text[] =
	"Usage: mbfs-bench alloc|rcu|range|state|mempool|kvfree|buf|growth|write|mount|aio|"
	"onefile|all [OPTIONS]\n"
	"       mbfs-bench --help | --version\n"
	"\n"
	"  alloc             allocation and free in memory on 16 GiB and 1 TiB, empty and aged;\n"
	"                    scaling with threads; Ceph's ageing recipe and free-space score\n"
	"  rcu               a section, rt_rcu_barrier() and flushes with nothing and 1000 objects "
	"queued,\n"
	"                    beside liburcu; rt_rcu_barrier() beside 0 to 8 reading threads\n"
	"  range             locks of byte ranges of one file, 1 to 8 threads, beside one rwlock\n"
	"                    and one list; the longest wait for the same bytes\n"
	"  state             set, clear, convert and test on trees of a thousand to a million\n"
	"                    states; bytes of a state\n"
	"  mempool           objects from magazine, allocator and reserve, beside malloc; several\n"
	"                    pools at once against one by one\n"
	"  kvfree            objects freed after a grace period, beside call_rcu and free at "
	"once;\n"
	"                    cpu_ns: of the whole process, for one object\n"
	"  buf               metadata buffers that are evicted and read again, of a device in "
	"memory\n"
	"  growth            allocation while groups are added, beside none (\"to alone\"); the "
	"time\n"
	"                    that 1 GiB takes to grow to 1 TiB, a sparse file\n"
	"  write             random writes of 4 KiB into written and unwritten blocks: the "
	"library\n"
	"                    alone, on a device in memory, without FUSE\n"
	"  mount             fallocate storms, small files, unlink: mbfs, fuse2fs and the "
	"kernel's\n"
	"                    ext4 on a loop device in turn (needs root for the last; skipped "
	"without)\n"
	"  aio               random writes of 4 KiB with O_DIRECT, many in flight, into written "
	"and\n"
	"                    unwritten blocks: mbfs beside its peers; the cost of a conversion\n"
	"  onefile           1 and 8 threads read and write 4 KiB of one file with O_DIRECT: mbfs\n"
	"                    with rangelock=on and off beside its peers\n"
	"\n"
	"  --only TEXT       only cases whose name contains TEXT\n"
	"  --times N         repetitions; the median counts (default 3)\n"
	"  --seconds N       of one measurement over a mount (default 2)\n"
	"  --ms N            of one measurement of rcu, range, state, mempool, kvfree, buf, "
	"growth "
	"(default 100)\n"
	"  --size BYTES      of the image, in MiB with M or GiB with G (default: mount 1G, else\n"
	"                    512M, of which a quarter is written to)\n"
	"  --variant NAME    ENOSPC variant (default: the library's)\n"
	"  --seed N          of the random sizes (default 1)\n"
	"  --dir DIR         where images and mount points go (default TMPDIR, /dev/shm or /tmp)\n"
	"  --daemon PATH     mbfs to mount with (default: beside mbfs-bench, then PATH)\n"
	"  --json FILE       append one JSON object a line\n"
	"\n"
	"Of onefile:\n"
	"  --threads N,...   (default 1,8)\n"
	"\n"
	"Of aio:\n"
	"  --depth N,...     writes in flight, of all files together (default 1,16,64)\n"
	"  --files N,...     files that are written to (default 1,8)\n"
	"  --engine NAME     of the client: libaio (default) or uring\n"
	"\n"
	"Of aio and onefile:\n"
	"  --peers NAME,...  of null, ext4, fuse2fs (default all; none: mbfs alone); who cannot "
	"run\n"
	"                    here is left out with a line\n"
	"  --mount-opts OPTS for mbfs, as after -o; given again: one more mount, compared with "
	"the\n"
	"                    first\n"
	"  --also PATH       the daemon of another build, compared with the first; may be "
	"repeated\n"
	"\n"
	"Exit status: 0 measured; 1 could not measure; 2 bad use.\n";

static int barrier_beside_readers(const struct bench_args *a)
{
	static const unsigned readers[] = { 0, 1, 2, 4, 8 };
	struct race_hist *h = malloc(sizeof(*h));
	char ns[3][16];
	int err = h ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < sizeof(readers) / sizeof(readers[0]); i++) {
		memset(h, 0, sizeof(*h));
		err = race_rcu_measure(readers[i], 2000, h);
		if (err)
			break;
		printf("rcu_barrier, %u readers          p50 %9s p99 %9s max %9s\n", readers[i],
		       race_human_ns(ns[0], race_hist_at(h, 500)),
		       race_human_ns(ns[1], race_hist_at(h, 990)), race_human_ns(ns[2], h->max_ns));
		if (a->json)
			fprintf(a->json, "{\"bench\":\"rcu\",\"readers\":%u,\"p50_ns\":%llu,"
					 "\"p99_ns\":%llu,\"max_ns\":%llu}\n", readers[i],
				(unsigned long long)race_hist_at(h, 500),
				(unsigned long long)race_hist_at(h, 990),
				(unsigned long long)h->max_ns);
	}
	if (err)
		fprintf(stderr, "mbfs-bench: rcu: %s\n", strerror(-err));
	free(h);
	return err ? 1 : 0;
}

int bench_rcu(const struct bench_args *a)
{
	return bench_rcu_costs(a) | barrier_beside_readers(a);
}

static int bad_use(const char *what, const char *arg)
{
	fprintf(stderr, "mbfs-bench: %s '%s' (see mbfs-bench --help)\n", what, arg);
	return EXIT_USE;
}

static bool number(const char *s, uint64_t max, uint64_t *out)
{
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(s, &end, 0);
	return !errno && !*end && *out <= max;
}

static bool size_number(const char *s, uint64_t *out)
{
	char *end;

	if (s[0] < '1' || s[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(s, &end, 10);
	if (errno || *out > (1u << 20) || (strcmp(end, "M") != 0 && strcmp(end, "G") != 0))
		return false;
	*out <<= *end == 'M' ? 20 : 30;
	return *out >= 64u << 20;
}

enum opt {
	OPT_ONLY = 256,
	OPT_TIMES,
	OPT_SECONDS,
	OPT_MS,
	OPT_SIZE,
	OPT_VARIANT,
	OPT_SEED,
	OPT_DIR,
	OPT_DAEMON,
	OPT_JSON,
	OPT_DEPTH,
	OPT_FILES,
	OPT_THREADS,
	OPT_ENGINE,
	OPT_PEERS,
	OPT_MOUNT_OPTS,
	OPT_ALSO
};

static const struct option long_opts[] = {
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "times", required_argument, NULL, OPT_TIMES },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "ms", required_argument, NULL, OPT_MS },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "variant", required_argument, NULL, OPT_VARIANT },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "daemon", required_argument, NULL, OPT_DAEMON },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "files", required_argument, NULL, OPT_FILES },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "peers", required_argument, NULL, OPT_PEERS },
	{ "mount-opts", required_argument, NULL, OPT_MOUNT_OPTS },
	{ "also", required_argument, NULL, OPT_ALSO },
	{ NULL, 0, NULL, 0 },
};

/* 1,16,64: each from 1 to @max. */
static bool number_list(const char *arg, unsigned max, struct bench_list *out)
{
	char *end;

	for (out->nr = 0; out->nr < BENCH_LIST_MAX; arg = end + 1) {
		unsigned long v = *arg >= '1' && *arg <= '9' ? strtoul(arg, &end, 10) : 0;

		if (v == 0 || v > max)
			return false;
		out->v[out->nr++] = (unsigned)v;
		if (*end != ',')
			return !*end;
	}
	return false;
}

/* Names of peers; mbfs itself is always there. */
static bool peer_list(const char *arg, unsigned *out)
{
	*out = 1u << PEER_MBFS;
	if (strcmp(arg, "none") == 0)
		return true;
	for (;;) {
		size_t len = strcspn(arg, ",");
		unsigned kind = PEER_MBFS + 1;

		while (kind < PEER_NR && (strlen(bench_peer_name(kind)) != len ||
					  strncmp(bench_peer_name(kind), arg, len) != 0))
			kind++;
		if (kind == PEER_NR)
			return false;
		*out |= 1u << kind;
		if (!arg[len])
			return true;
		arg += len + 1;
	}
}

/* Of aio and onefile. */
static int parse_aio_opt(struct bench_args *a, int opt, const char *arg)
{
	switch (opt) {
	case OPT_DEPTH:
		return number_list(arg, BENCH_DEPTH_MAX, &a->depths) ? 0 :
			bad_use("--depth: up to 8 numbers from 1 to 1024 are wanted, as 1,16, not",
				arg);
	case OPT_FILES:
		return number_list(arg, BENCH_FILES_MAX, &a->files) ? 0 :
			bad_use("--files: up to 8 numbers from 1 to 64 are wanted, as 1,8, not",
				arg);
	case OPT_THREADS:
		return number_list(arg, BENCH_THREADS_MAX, &a->threads) ? 0 :
			bad_use("--threads: up to 8 numbers from 1 to 64 are wanted, as 1,8, not",
				arg);
	case OPT_ENGINE:
		while (a->engine < BENCH_ENGINE_NR &&
		       strcmp(bench_engine_name(a->engine), arg) != 0)
			a->engine++;
		return a->engine < BENCH_ENGINE_NR ? 0
						   : bad_use("--engine: libaio or uring is wanted, "
							     "not", arg);
	case OPT_PEERS:
		return peer_list(arg, &a->peers) ? 0 :
			bad_use("--peers: some of null, ext4, fuse2fs, or none, are wanted, not",
				arg);
	case OPT_ALSO:
		if (a->also_nr == BENCH_LIST_MAX || access(arg, X_OK))
			return bad_use("--also: cannot execute, or more than 8:", arg);
		a->also[a->also_nr++] = arg;
		return 0;
	default: /* OPT_MOUNT_OPTS */
		if (a->mount_opts_nr == BENCH_LIST_MAX)
			return bad_use("--mount-opts: at most 8 times; too many with", arg);
		a->mount_opts[a->mount_opts_nr++] = arg;
		return 0;
	}
}

static int parse_opt(struct bench_args *a, int opt, const char *arg)
{
	uint64_t v = 0;

	switch (opt) {
	case OPT_ONLY:
		a->only = arg;
		return 0;
	case OPT_TIMES:
		if (!number(arg, BENCH_TIMES_MAX, &v) || v == 0)
			return bad_use("--times: 1 to 100 is wanted, not", arg);
		a->times = (unsigned)v;
		return 0;
	case OPT_SECONDS:
		if (!number(arg, 3600, &v) || v == 0)
			return bad_use("--seconds: 1 to 3600 is wanted, not", arg);
		a->seconds = (unsigned)v;
		return 0;
	case OPT_MS:
		if (!number(arg, 60000, &v) || v == 0)
			return bad_use("--ms: 1 to 60000 is wanted, not", arg);
		a->ms = (unsigned)v;
		return 0;
	case OPT_SIZE:
		return size_number(arg, &a->size_bytes) ? 0 :
			bad_use("--size: 64M or more is wanted, as 1G, not", arg);
	case OPT_VARIANT:
		a->variant = arg;
		return mbfs_alloc_variant_find(arg) ? 0
						    : bad_use("--variant: no such variant", arg);
	case OPT_SEED:
		return number(arg, UINT64_MAX, &a->seed) ? 0
							 : bad_use("--seed: not a number:", arg);
	case OPT_DIR:
		a->dir = arg;
		return 0;
	case OPT_DAEMON:
		a->mbfsd = arg;
		return access(arg, X_OK) ? bad_use("--daemon: cannot execute", arg) : 0;
	case OPT_JSON:
		a->json = fopen(arg, "ae");
		return a->json ? 0 : bad_use("--json: cannot write", arg);
	default:
		return parse_aio_opt(a, opt, arg);
	}
}

/* The daemon built beside this program, else the one in PATH. */
static void find_daemon(struct bench_args *a, char *path, size_t bytes)
{
	static const char *const beside[] = { "mbfs", "../fuse/mbfs" };
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	while (len > 0 && self[len - 1] != '/')
		len--;
	for (unsigned i = 0; !a->mbfsd && len > 0 && i < 2; i++) {
		if ((size_t)snprintf(path, bytes, "%.*s%s", (int)len, self, beside[i]) < bytes &&
		    access(path, X_OK) == 0)
			a->mbfsd = path;
	}
	if (!a->mbfsd)
		a->mbfsd = "mbfs";
}

static const struct command {
	const char *name;
	int (*run)(const struct bench_args *a);
	unsigned size_mib; /* of the image, unless --size is given */
} commands[] = {
	{ "alloc", bench_alloc, 0 },	{ "rcu", bench_rcu, 0 },      { "range", bench_range, 0 },
	{ "state", bench_state, 0 },	{ "mempool", bench_pool, 0 },
	{ "kvfree", bench_kvfree, 0 },	{ "buf", bench_buf, 0 },      { "growth", bench_growth, 0 },
	{ "write", bench_write, 512 },
	{ "mount", bench_mount, 1024 }, { "aio", bench_aio, 512 },
	{ "onefile", bench_onefile, 512 },
};
enum { COMMAND_NR = sizeof(commands) / sizeof(commands[0]) };

static int run(const char *what, const struct bench_args *a)
{
	bool all = strcmp(what, "all") == 0;
	int err = 0;

	for (unsigned i = 0; i < COMMAND_NR; i++) {
		struct bench_args args = *a;

		if (!all && strcmp(what, commands[i].name) != 0)
			continue;
		if (!args.size_bytes)
			args.size_bytes = (uint64_t)commands[i].size_mib << 20;
		err |= commands[i].run(&args);
	}
	if (a->json && fclose(a->json)) {
		fprintf(stderr, "mbfs-bench: --json: %s\n", strerror(errno));
		err = 1;
	}
	return err;
}

static bool is_command(const char *what)
{
	bool is = strcmp(what, "all") == 0;

	for (unsigned i = 0; i < COMMAND_NR; i++)
		is = is || strcmp(what, commands[i].name) == 0;
	return is;
}

int main(int argc, char **argv)
{
	struct bench_args a = { .times = 3, .seconds = 2, .ms = 100, .seed = 1 };
	char path[PATH_MAX];
	int opt, err;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(usage_text, stdout);
			return 0;
		}
	}
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("mbfs-bench %s (%s)\n", MBFS_VERSION, MBFS_COMMIT);
		return 0;
	}
	if (argc < 2 || !is_command(argv[1]))
		return bad_use("alloc, rcu, range, state, mempool, kvfree, buf, growth, "
			       "write, mount, aio, onefile or all is wanted, not",
			       argc < 2 ? "" : argv[1]);
	opterr = 0;
	while ((opt = getopt_long(argc - 1, argv + 1, ":", long_opts, NULL)) != -1) {
		if (opt == ':')
			return bad_use("a value is wanted after", argv[optind]);
		if (opt == '?')
			return bad_use("unknown option", argv[optind]);
		err = parse_opt(&a, opt, optarg);
		if (err)
			return err;
	}
	if (optind < argc - 1)
		return bad_use("unexpected argument", argv[optind + 1]);
	find_daemon(&a, path, sizeof(path));
	return run(argv[1], &a);
}
