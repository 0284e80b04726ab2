// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: whatever several threads of several processes do to one file at the same time, its bytes
 * are what they have to be. Method: random operations of all kinds in rounds; every byte that is
 * read is checked, in modes mix and direct against a twin in memory (fsx_twin.c), in mode race
 * against what is possible at all (fsx_race.c). Called by fsx.sh.
 *
 * A round is a new file, with a seed of its own: what each thread does follows from it, only how
 * they meet does not. When something is wrong the first bad byte, who wrote it and the command that
 * does the round again are printed. So is what everybody does if nothing ends for half a minute.
 */
#include "fuse/fsx.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STALL_S = 30, FINAL_OPS = 64 };

const char *const kind_names[KINDS] = { "read",   "write", "truncate",  "reserve", "reserve keep",
					"punch",  "zero",  "zero keep", "fsync",   "collapse",
					"insert", "seek",  "map" };
const char *const how_names[HOWS] = { "direct", "aio", "cached", "dsync", "mapped" };
static const char *const mode_names[MODES] = { "mix", "direct", "race" };

/* ---- reports ---- */

const char *op_text(struct shared *s, uint32_t id)
{
	static _Thread_local char text[4][160];
	static _Thread_local unsigned next;
	const struct op *o = &s->op[id];
	char *out = text[next++ % 4];

	if (!id)
		return "nobody";
	snprintf(out, sizeof(text[0]),
		 "operation %u (worker %u: %s by %s [%llu, %llu), ticks %lld to %lld)", id,
		 o->worker, kind_names[o->kind], how_names[o->how], (unsigned long long)o->off,
		 (unsigned long long)(o->off + o->len), (long long)o->begin, (long long)o->end);
	return out;
}

/* Not before all have let go of the file: what follows is an unmount. */
static _Noreturn void end(struct shared *s)
{
	for (unsigned i = 0; getpid() == s->parent && i < WORKERS_MAX; i++)
		if (s->child[i] && !kill(s->child[i], SIGKILL))
			waitpid(s->child[i], NULL, 0);
	_exit(1);
}

void bad(struct shared *s, const char *fmt, ...)
{
	char what[1024];
	va_list args;

	/* The first to find something says it; the others only end. */
	if (!atomic_exchange(&s->failed, true)) {
		va_start(args, fmt);
		vsnprintf(what, sizeof(what), fmt, args);
		va_end(args);
		fprintf(stderr,
			"t_fsx: %s\nagain: %s --mode %s --seed %llu --threads %u --processes %u "
			"--ops %u "
			"--rounds 1 %s\n",
			what, s->program, mode_names[s->mode], (unsigned long long)s->seed,
			s->threads, s->processes, s->ops_each, s->path);
	}
	end(s);
}

static void stalled(struct shared *s)
{
	for (unsigned i = 0; i < s->threads; i++)
		fprintf(stderr, "worker %u: %s\n", i, op_text(s, s->current[i]));
	bad(s, "nothing has ended for %d seconds", STALL_S);
}

/*
 * A mapping ends where the kernel believes that the file does. The handler finds everything in one
 * pointer, and ends the process.
 */
static _Thread_local struct worker *mine;

static void bus_error(int sig, siginfo_t *info, void *context)
{
	struct shared *s = mine->s;
	const uint32_t id = s->current[mine->no];

	(void)sig;
	(void)context;
	bad(s, "%s: SIGBUS at byte %lld; the size is %llu since %s", op_text(s, id),
	    (long long)((uint8_t *)info->si_addr - mine->map), (unsigned long long)s->twin.size,
	    op_text(s, s->twin.size_who));
}

/* ---- operations ---- */

uint64_t tick(struct shared *s)
{
	return atomic_fetch_add(&s->clock, 1) + 1;
}

uint32_t op_begin(struct worker *w, enum kind kind, enum how how, uint64_t off, uint64_t len)
{
	struct shared *s = w->s;
	uint32_t id = atomic_fetch_add(&s->op_nr, 1) + 1;
	struct op *o = &s->op[id];

	if (s->failed)
		end(s);
	if (id >= OPS_MAX)
		bad(s, "more operations than there is room for: fewer --ops");
	o->off = off;
	o->len = len;
	o->kind = (uint8_t)kind;
	o->how = (uint8_t)how;
	o->worker = (uint8_t)w->no;
	o->end = UINT64_MAX;
	o->begin = tick(s);
	s->current[w->no] = id;
	return id;
}

void op_end(struct worker *w, uint32_t id)
{
	struct shared *s = w->s;
	struct op *o = &s->op[id];
	uint64_t never = UINT64_MAX;

	atomic_compare_exchange_strong(&o->end, &never, tick(s));
	s->kind_nr[o->kind]++;
	if (o->kind == READ || o->kind == WRITE) {
		s->how_nr[o->how]++;
		s->bytes += o->len;
	}
	s->current[w->no] = 0;
}

/* ---- workers ---- */

static int open_file(struct shared *s, int flags)
{
	int fd = open(s->path, O_RDWR | flags, 0644);

	if (fd < 0)
		bad(s, "open: %s", strerror(errno));
	return fd;
}

static void *memory(struct shared *s, size_t bytes)
{
	void *mem = aligned_alloc(PAGE, bytes);

	if (!mem)
		bad(s, "out of memory");
	return mem;
}

static void worker_open(struct worker *w, struct shared *s, unsigned no)
{
	*w = (struct worker){ .s = s, .no = no, .cached = -1 };
	w->rand = (s->seed * WORKERS_MAX + no + 1) * 0x9e3779b97f4a7c15 | 1;
	w->direct = open_file(s, O_DIRECT);
	w->buf = memory(s, (size_t)DEPTH * IO_MAX);
	w->snap = memory(s, DEPTH * IO_UNITS * sizeof(*w->snap));
	if (syscall(SYS_io_setup, DEPTH, &w->aio))
		bad(s, "io_setup: %s", strerror(errno));
	if (s->mode != MODE_MIX)
		return;
	w->cached = open_file(s, 0);
	/*
	 * The kernel reads ahead into slices that others hold; an asynchronous write that bypasses
	 * the cache does not drop what was read there meanwhile. Not our bug.
	 */
	posix_fadvise(w->cached, 0, 0, POSIX_FADV_RANDOM);
	w->map = mmap(NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, w->cached, 0);
	if (w->map == MAP_FAILED)
		bad(s, "mmap: %s", strerror(errno));
	madvise(w->map, FILE_MAX, MADV_RANDOM);
}

static void worker_close(struct worker *w)
{
	if (w->map)
		munmap(w->map, FILE_MAX);
	if (w->cached >= 0)
		close(w->cached);
	syscall(SYS_io_destroy, w->aio);
	close(w->direct);
	free(w->snap);
	free(w->buf);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;

	worker_open(w, s, w->no);
	mine = w;
	for (unsigned i = 0; i < s->ops_each; i++) {
		if (s->mode == MODE_RACE)
			race_step(w);
		else
			twin_step(w);
	}
	worker_close(w);
	s->running--;
	return NULL;
}

/* ---- rounds ---- */

/* Workers proc, proc + processes, ... */
static unsigned start(struct shared *s, unsigned proc, struct worker *w, pthread_t *thread)
{
	unsigned nr = 0;

	for (unsigned no = proc; no < s->threads; no += s->processes, nr++) {
		w[nr] = (struct worker){ .s = s, .no = no };
		if (pthread_create(&thread[nr], NULL, work, &w[nr]))
			bad(s, "no thread");
	}
	return nr;
}

/* False: there is none, or none that has ended. */
static bool child_over(struct shared *s, int options)
{
	int status;
	pid_t pid = waitpid(-1, &status, options);

	for (unsigned i = 0; pid > 0 && i < WORKERS_MAX; i++)
		if (s->child[i] == pid)
			s->child[i] = 0;
	if (pid > 0 && status)
		bad(s, "a process ended with status %x", status);
	return pid > 0;
}

static void run_threads(struct shared *s, unsigned proc, bool watch)
{
	const struct timespec pause = { 0, 2000000 };
	struct worker w[WORKERS_MAX];
	pthread_t thread[WORKERS_MAX];
	unsigned nr = start(s, proc, w, thread), idle = 0;
	uint64_t clock = 0;

	while (watch && s->running) {
		nanosleep(&pause, NULL);
		if (s->failed)
			end(s);
		child_over(s, WNOHANG);
		idle = clock == s->clock ? idle + 1 : 0;
		clock = s->clock;
		if (idle > STALL_S * 500)
			stalled(s);
	}
	for (unsigned i = 0; i < nr; i++)
		pthread_join(thread[i], NULL);
}

static void run_all(struct shared *s)
{
	s->parent = getpid();
	s->running = s->threads;
	for (unsigned proc = 1; proc < s->processes; proc++) {
		pid_t pid = fork();

		if (pid < 0)
			bad(s, "fork: %s", strerror(errno));
		if (pid) {
			s->child[proc] = pid;
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != s->parent)
			_exit(1);
		run_threads(s, proc, false);
		_exit(0);
	}
	run_threads(s, 0, true);
	while (child_over(s, 0))
		;
}

/* Nobody else works: all of the file, checked, and to @save. */
static void final(struct shared *s, const char *save)
{
	int out = save ? open(save, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
	struct worker w;
	struct stat st;
	uint64_t at = 0;
	size_t got;

	if (save && out < 0)
		bad(s, "%s: %s", save, strerror(errno));
	worker_open(&w, s, 0);
	do {
		got = s->mode == MODE_RACE ? race_read(&w, at, IO_MAX) : twin_read(&w, at, IO_MAX);
		if (out >= 0 && write(out, w.buf, got) != (ssize_t)got)
			bad(s, "%s: %s", save, strerror(errno));
		at += got;
	} while (got == IO_MAX && at < FILE_MAX);
	if (fstat(w.direct, &st) || (uint64_t)st.st_size != at)
		bad(s, "at the end: %llu bytes were read, the size is %lld", (unsigned long long)at,
		    (long long)st.st_size);
	worker_close(&w);
	if (out >= 0)
		close(out);
}

static void round_run(struct shared *s, uint64_t seed, const char *save)
{
	s->seed = seed;
	s->clock = 0;
	s->op_nr = 0;
	memset(s->op, 0, sizeof(s->op));
	twin_reset(s);
	race_reset(s);
	if (unlink(s->path) && errno != ENOENT)
		bad(s, "unlink: %s", strerror(errno));
	close(open_file(s, O_CREAT | O_EXCL | O_DIRECT));
	run_all(s);
	final(s, save);
}

/* ---- the command ---- */

static struct shared *shared_new(void)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_rwlockattr_t attr;

	if (s == MAP_FAILED) {
		perror("t_fsx: mmap");
		exit(1);
	}
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (unsigned i = 0; i < SLICES; i++)
		pthread_rwlock_init(&s->twin.slice[i], &attr);
	return s;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: t_fsx [--mode mix|direct|race] [--seed N] [--threads 1..%d] [--processes "
		"N] [--ops N]\n"
		"             [--rounds N] [--seconds N] [--save COPY] FILE\n",
		WORKERS_MAX);
	exit(2);
}

struct limits {
	unsigned long rounds;
	double seconds;
	const char *save;
};

static unsigned long number(const char *text, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (!*text || *end || value < min || value > max)
		usage();
	return value;
}

static void parse(int argc, char **argv, struct shared *s, struct limits *l)
{
	static const struct option options[] = {
		{ "mode", 1, NULL, 'm' },
		{ "seed", 1, NULL, 's' },
		{ "threads", 1, NULL, 't' },
		{ "ops", 1, NULL, 'o' },
		{ "rounds", 1, NULL, 'r' },
		{ "processes", 1, NULL, 'p' },
		{ "save", 1, NULL, 'S' },
		{ "seconds", 1, NULL, 'T' },
		{ 0 },
	};
	int c;

	s->program = argv[0];
	s->threads = 6;
	s->processes = 2;
	s->ops_each = 150;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'm') {
			for (s->mode = 0; s->mode < MODES && strcmp(optarg, mode_names[s->mode]);)
				s->mode++;
			if (s->mode == MODES)
				usage();
		} else if (c == 's') {
			s->seed = number(optarg, 0, UINT32_MAX);
		} else if (c == 't') {
			s->threads = (unsigned)number(optarg, 1, WORKERS_MAX);
		} else if (c == 'p') {
			s->processes = (unsigned)number(optarg, 1, WORKERS_MAX);
		} else if (c == 'o') {
			s->ops_each = (unsigned)number(optarg, 1, OPS_MAX);
		} else if (c == 'r') {
			l->rounds = number(optarg, 1, ULONG_MAX);
		} else if (c == 'T') {
			l->seconds = (double)number(optarg, 1, UINT32_MAX);
		} else if (c == 'S') {
			l->save = optarg;
		} else {
			usage();
		}
	}
	if (optind != argc - 1 || s->threads < s->processes)
		usage();
	s->path = argv[optind];
}

static void summary(const struct shared *s, unsigned long rounds, double seconds)
{
	printf("%s: %lu rounds in %.1f s, %llu MiB read and written:", mode_names[s->mode], rounds,
	       seconds, (unsigned long long)(s->bytes >> 20));
	for (unsigned i = 0; i < KINDS; i++)
		if (s->kind_nr[i])
			printf(" %llu %s", (unsigned long long)s->kind_nr[i], kind_names[i]);
	for (unsigned i = 0; i < HOWS; i++)
		if (s->how_nr[i])
			printf("%s%llu %s", i ? ", " : " (", (unsigned long long)s->how_nr[i],
			       how_names[i]);
	printf(")\n");
}

int main(int argc, char **argv)
{
	const struct sigaction on_bus_error = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO };
	struct limits l = { .rounds = ULONG_MAX };
	struct shared *s = shared_new();
	double began = now_s();
	unsigned long rounds = 0;
	uint64_t seed;

	sigaction(SIGBUS, &on_bus_error, NULL);
	s->seed = (uint64_t)time(NULL);
	parse(argc, argv, s, &l);
	if (l.rounds == ULONG_MAX && !(l.seconds > 0))
		l.rounds = 1;
	seed = s->seed;
	do {
		round_run(s, seed + rounds, l.save);
		rounds++;
	} while (rounds < l.rounds && (!(l.seconds > 0) || now_s() - began < l.seconds));
	summary(s, rounds, now_s() - began);
	return 0;
}
