// SPDX-License-Identifier: GPL-2.0-only
/*
 * One run: a parent that watches, and processes with the writers.
 *
 * The parent has one thread and never calls the allocator. It forks the writers' processes (one for
 * the library, whose allocator lives in it; up to RACE_PROCS_MAX for a mount), sets sh->stop when
 * the time is up, and kills them when nobody has made progress for grace_ms: that is a livelock or
 * a deadlock of the variant. Signals are blocked and asked for, so that Ctrl-C unmounts and cleans
 * up.
 *
 * Order: everything in sh that is not atomic is written before the fork or by one process at a time
 * between two passages of the gate; the parent reads results after waitpid().
 */
#include "race/race_priv.h"
#include "race/mount.h"
#include "race/stacks.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCH_NS = 5000000, TICK_NS = 10000000, GATE_POLL_NS = 50000, QUIET_NS = 200000000 };

bool race_stopped(const struct race_worker *w)
{
	return rt_u32_read(&w->sh->stop) != 0;
}

void race_broke(struct race_worker *w, const char *what, int err)
{
	if (rt_u32_xchg(&w->sh->broken, 1) == 0)
		snprintf(w->sh->why, sizeof(w->sh->why), "writer %u: %s: %s", w->idx, what,
			 strerror(-err));
	rt_u32_set(&w->sh->stop, 1);
}

void race_count_call(struct race_worker *w, uint64_t ns, int err)
{
	struct race_tally *t = &w->slot->tally;

	t->attempts++;
	if (err == -ENOSPC)
		t->enospc++;
	race_hist_add(&t->lat, ns);
	race_progress(w);
}

/* ---- the gate ---- */

/* The last of all writers leads; processes wait for its process by polling. Called with no lock. */
static void gate_meet_processes(struct race_worker *w, void (*leader)(struct race_worker *w))
{
	struct race_shared *sh = w->sh;
	uint32_t gen = rt_u32_read_acquire(&sh->gate_gen);

	if (rt_u32_add_return(&sh->procs_at, 1) == w->procs) {
		leader(w);
		rt_u32_set(&sh->procs_at, 0);
		rt_u32_add_return(&sh->gate_gen, 1);
		return;
	}
	while (rt_u32_read_acquire(&sh->gate_gen) == gen)
		rt_sleep_ns(GATE_POLL_NS);
}

bool race_gate_pass(struct race_worker *w, void (*leader)(struct race_worker *w))
{
	struct race_gate *g = w->gate;
	uint64_t gen;

	race_progress(w);
	rt_mutex_lock(&g->lock);
	gen = g->gen;
	if (++g->here == g->members) {
		rt_mutex_unlock(&g->lock);
		gate_meet_processes(w, leader);
		rt_mutex_lock(&g->lock);
		g->here = 0;
		g->gen++;
		rt_cond_broadcast(&g->opened);
	}
	while (g->gen == gen)
		rt_cond_wait(&g->opened, &g->lock, 0);
	rt_mutex_unlock(&g->lock);
	return rt_u32_read(&w->sh->quit) == 0;
}

void race_round_over(struct race_worker *w)
{
	uint64_t rounds = rt_u64_add_return(&w->sh->rounds, 1);

	if (race_stopped(w) || (w->cfg->rounds && rounds >= w->cfg->rounds))
		rt_u32_set(&w->sh->quit, 1);
}

/* ---- a process of writers ---- */

static void writer_main(void *arg)
{
	struct race_worker *w = arg;

	race_progress(w);
	w->cfg->scenario->kind->worker(w);
	race_progress(w);
	rt_u32_set_release(&w->slot->left, 1);
}

struct run {
	const struct race_config *cfg;
	struct race_shared *sh;
	size_t shared_bytes;
	const struct race_backend *be;
	void *ctx;
	unsigned procs;
	pid_t pid[RACE_PROCS_MAX]; /* 0: gone */
	pid_t library; /* the daemon, where the library is; 0: in the first child */
};

static void workers_init(struct run *r, unsigned first, unsigned nr, struct race_gate *gate,
			 struct race_worker *ws)
{
	for (unsigned i = 0; i < nr; i++)
		ws[i] = (struct race_worker){
			.cfg = r->cfg,
			.sh = r->sh,
			.slot = &r->sh->slot[first + i],
			.gate = gate,
			.be = r->be,
			.ctx = r->ctx,
			.idx = first + i,
			.procs = r->procs,
			.rand = { r->cfg->seed + (first + i) * 0x9E3779B97F4A7C15ull },
		};
}

/* Start the threads, keep ticking until they have all ended. */
static int workers_run(struct run *r, unsigned first, unsigned nr, struct race_worker *ws)
{
	struct rt_thread **threads = rt_zalloc(nr * sizeof(threads[0]));
	unsigned started = 0;
	int err = threads ? 0 : -ENOMEM;

	for (; !err && started < nr; started++) {
		err = rt_thread_start(writer_main, &ws[started], "race-writer", &threads[started]);
		if (err)
			break;
	}
	if (err) { /* the others may be at the gate for ever: leave with the process */
		race_broke(&ws[0], "cannot start a writer (see ulimit -u)", err);
		return err;
	}
	for (;;) {
		bool all = true;

		for (unsigned i = 0; i < nr; i++)
			all = all && rt_u32_read_acquire(&r->sh->slot[first + i].left);
		if (r->be->tick)
			r->be->tick(r->ctx);
		if (all)
			break;
		rt_sleep_ns(TICK_NS);
	}
	while (started > 0)
		rt_thread_join(threads[--started]);
	rt_free(threads);
	return 0;
}

/* Body of a child: writers [first, first + nr). The exit status is 0 when nothing broke. */
static int child_main(struct run *r, unsigned first, unsigned nr)
{
	struct race_worker *ws = rt_zalloc(nr * sizeof(*ws));
	struct race_gate gate = { .members = nr };
	int err;

	if (!ws)
		return EXIT_FAILURE;
	rt_mutex_init(&gate.lock, RANK_NONE);
	rt_cond_init(&gate.opened);
	workers_init(r, first, nr, &gate, ws);
	err = r->be->start(ws, nr, r->ctx);
	if (err) {
		race_broke(&ws[0], "cannot start", err);
		return EXIT_FAILURE;
	}
	err = workers_run(r, first, nr, ws);
	if (!err)
		err = r->be->end(r->ctx);
	rt_cond_destroy(&gate.opened);
	rt_mutex_destroy(&gate.lock);
	rt_free(ws);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int children_start(struct run *r)
{
	unsigned first = 0, nr;
	pid_t parent = getpid();

	fflush(NULL);
	for (unsigned p = 0; p < r->procs; p++, first += nr) {
		nr = r->cfg->threads / r->procs + (p < r->cfg->threads % r->procs);
		r->pid[p] = fork();
		if (r->pid[p] < 0) {
			r->pid[p] = 0;
			return -errno;
		}
		if (r->pid[p] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(EXIT_FAILURE);
			_exit(child_main(r, first, nr));
		}
	}
	return 0;
}

/* ---- watching ---- */

static void children_kill(struct run *r)
{
	for (unsigned p = 0; p < r->procs; p++)
		if (r->pid[p] > 0)
			kill(r->pid[p], SIGKILL);
}

/* Collects those that have ended; how many are left. A bad end is put into @res. */
static unsigned children_reap(struct run *r, struct race_result *res)
{
	unsigned left = 0;
	int st;

	for (unsigned p = 0; p < r->procs; p++) {
		if (r->pid[p] <= 0)
			continue;
		if (waitpid(r->pid[p], &st, WNOHANG) != r->pid[p]) {
			left++;
			continue;
		}
		r->pid[p] = 0;
		if (res->livelock || (WIFEXITED(st) && WEXITSTATUS(st) == EXIT_SUCCESS))
			continue;
		res->check_ok = false;
		rt_u32_set(&r->sh->stop, 1);
		if (res->note[0] == 0 && WIFSIGNALED(st))
			snprintf(res->note, sizeof(res->note), "the writers' process died: %s",
				 strsignal(WTERMSIG(st)));
		else if (res->note[0] == 0 && !rt_u32_read(&r->sh->broken))
			snprintf(res->note, sizeof(res->note),
				 "the writers' process ended with status %d", WEXITSTATUS(st));
		children_kill(r); /* the rest may wait at the gate for the one that died */
	}
	return left;
}

static uint64_t progress_sum(const struct run *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->cfg->threads; i++)
		sum += rt_u64_read(&r->sh->slot[i].progress);
	return sum;
}

/* The clock of a run starts when all writers do: many take a while to come up. */
static bool all_begun(const struct run *r)
{
	if (rt_u32_read(&r->sh->preparing))
		return false;
	for (unsigned i = 0; i < r->cfg->threads; i++)
		if (rt_u64_read(&r->sh->slot[i].progress) == 0)
			return false;
	return true;
}

static bool signal_pending(const sigset_t *set)
{
	struct timespec none = { 0, 0 };

	return sigtimedwait(set, NULL, &none) > 0;
}

/* How many writers do what: "1 in truncate, 3 wait for writes". */
static void doing_list(const struct run *r, char *buf, size_t bytes)
{
	const char *name;
	size_t at = 0;

	buf[0] = 0;
	for (uint32_t what = 1; (name = endio_doing_name(what)); what++) {
		unsigned nr = 0;

		for (unsigned i = 0; i < r->cfg->threads; i++)
			nr += rt_u32_read(&r->sh->slot[i].doing) == what;
		if (nr && at < bytes)
			at += (size_t)snprintf(buf + at, bytes - at, "%s%u in %s", at ? ", " : ": ",
					       nr, name);
	}
}

/*
 * Nobody has made progress: where are they? The daemon goes first: a writer that is killed waits
 * for its I/O.
 */
static void stuck(struct run *r, struct race_result *res)
{
	const struct race_kind *kind = r->cfg->scenario->kind;
	char doing[256];

	res->livelock = true;
	if (kind->who)
		kind->who(r->cfg, r->ctx, res->who, sizeof(res->who));
	doing_list(r, doing, sizeof(doing));
	snprintf(res->note, sizeof(res->note),
		 "no call has returned for %.3g s: livelock or deadlock; killed%s",
		 (double)r->cfg->grace_ms / 1000, doing);
	race_stacks_brief(r->library ? r->library : r->pid[0], res->stacks, sizeof(res->stacks));
	if (r->library)
		kill(r->library, SIGKILL);
	children_kill(r);
}

/*
 * Nobody has made progress since @moved_at; those who wait for each other need no more time than
 * QUIET_NS. True: the run is over, and took @moved_at - @start, as closely as one looks.
 */
static bool dead(struct run *r, uint64_t start, uint64_t moved_at, struct race_result *res)
{
	const struct race_kind *kind = r->cfg->scenario->kind;
	char ns[16];

	if (!kind->deadlocked || rt_now_ns() - moved_at < QUIET_NS ||
	    !kind->deadlocked(r->cfg, r->ctx))
		return false;
	res->deadlock = res->livelock = true;
	res->elapsed_ns = moved_at > start + WATCH_NS ? moved_at - start : WATCH_NS;
	snprintf(res->note, sizeof(res->note),
		 "deadlock within %s: each writer waits for what others hold; killed",
		 race_human_ns(ns, res->elapsed_ns));
	kind->who(r->cfg, r->ctx, res->who, sizeof(res->who));
	children_kill(r);
	return true;
}

static void watch(struct run *r, const sigset_t *set, struct race_result *res)
{
	uint64_t start = rt_now_ns(), moved_at = start, seen = 0, now, sum;
	bool begun = false;

	while (children_reap(r, res) > 0) {
		rt_sleep_ns(WATCH_NS);
		now = rt_now_ns();
		if (!begun) {
			begun = all_begun(r);
			start = now;
		}
		sum = progress_sum(r);
		if (sum != seen)
			moved_at = now;
		seen = sum;
		if (signal_pending(set)) {
			res->interrupted = true;
			rt_u32_set(&r->sh->stop, 1);
		}
		if (r->cfg->run_ms && now - start >= r->cfg->run_ms * 1000000)
			rt_u32_set(&r->sh->stop, 1);
		if (!res->livelock && !rt_u32_read(&r->sh->stop))
			res->elapsed_ns = now - start;
		if (res->livelock || dead(r, start, moved_at, res) ||
		    now - moved_at < r->cfg->grace_ms * 1000000)
			continue;
		stuck(r, res);
	}
	if (res->elapsed_ns == 0)
		res->elapsed_ns = rt_now_ns() - start;
}

/* ---- the whole ---- */

static void result_collect(struct run *r, struct race_result *res)
{
	const struct race_tally *t;

	for (unsigned i = 0; i < r->cfg->threads; i++) {
		t = &r->sh->slot[i].tally;
		res->sum.attempts += t->attempts;
		res->sum.enospc += t->enospc;
		res->sum.files += t->files;
		res->sum.files_lost += t->files_lost;
		res->sum.blocks += t->blocks;
		res->sum.changes += t->changes;
		res->sum.looks += t->looks;
		res->sum.stale += t->stale;
		race_hist_merge(&res->sum.lat, &t->lat);
	}
	res->rounds = rt_u64_read(&r->sh->rounds);
	res->rounds_lost = rt_u64_read(&r->sh->rounds_lost);
	if (rt_u32_read(&r->sh->broken) && !res->livelock) { /* else: for it was killed */
		res->check_ok = false;
		snprintf(res->note, sizeof(res->note), "%s", r->sh->why);
	}
}

static int run_with_children(struct run *r, const sigset_t *set, struct race_result *res,
			     struct mbfs_diag *diag)
{
	const struct race_kind *kind = r->cfg->scenario->kind;
	int err = kind->plan_check ? kind->plan_check(r->cfg, r->sh->usable_blks, diag) : 0;

	if (err)
		return err;
	res->check_ok = true;
	err = children_start(r);
	if (err) {
		rt_u32_set(&r->sh->stop, 1);
		children_kill(r);
		while (children_reap(r, res) > 0)
			rt_sleep_ns(WATCH_NS);
		return diag_set(diag, err, "cannot fork: %s", strerror(-err));
	}
	watch(r, set, res);
	result_collect(r, res);
	return 0;
}

static int run_on_library(struct run *r, const sigset_t *set, struct race_result *res,
			  struct mbfs_diag *diag)
{
	struct race_library lib = { .cfg = r->cfg, .sh = r->sh };
	int err;

	r->be = r->cfg->scenario->kind->library;
	r->ctx = &lib;
	r->procs = 1;
	r->sh->usable_blks = race_library_usable(r->cfg);
	err = run_with_children(r, set, res, diag);
	res->stats = r->sh->stats;
	res->have_stats = true;
	res->counts_differ = !res->livelock && res->sum.enospc != res->stats.false_enospc;
	return err;
}

/* Neither allocator nor image: what the kind needs is in the room. */
static int run_in_room(struct run *r, const sigset_t *set, struct race_result *res,
		       struct mbfs_diag *diag)
{
	const struct race_kind *kind = r->cfg->scenario->kind;
	size_t bytes = kind->room_bytes + r->cfg->threads * kind->room_bytes_each;
	int err;

	if (r->cfg->mount)
		return diag_set(diag, -EINVAL, "--mount: %s has no file system",
				r->cfg->scenario->name);
	r->be = kind->library;
	r->procs = 1;
	r->ctx = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->ctx == MAP_FAILED)
		return diag_set(diag, -ENOMEM, "no memory for %u writers", r->cfg->threads);
	err = run_with_children(r, set, res, diag);
	if (!err)
		kind->collect(r->cfg, r->ctx, res);
	munmap(r->ctx, bytes);
	return err;
}

static int run_on_image(struct run *r, const sigset_t *set, struct race_result *res,
			struct mbfs_diag *diag)
{
	struct race_mount m;
	int err, err_down;

	err = race_mount_up(&m, r->cfg, diag);
	if (err)
		return err;
	r->ctx = &m;
	r->procs = 1;
	rt_u32_set(&r->sh->preparing, r->cfg->scenario->kind->image);
	r->be = r->cfg->scenario->kind->library;
	if (r->cfg->mount) {
		r->be = r->cfg->scenario->kind->mount;
		r->procs = r->cfg->threads < RACE_PROCS_MAX ? r->cfg->threads : RACE_PROCS_MAX;
		r->library = m.daemon;
		r->sh->usable_blks = race_mount_usable(&m);
	}
	err = run_with_children(r, set, res, diag);
	res->endio = r->sh->endio;
	res->have_stats = r->sh->have_endio;
	if (r->cfg->mount && !res->livelock)
		res->have_stats = race_mount_stats(&m, res) == 0;
	res->counts_differ = res->have_stats &&
			     (res->sum.enospc == 0) != (res->stats.false_enospc == 0);
	err_down = race_mount_down(&m, res->livelock, res);
	if (!err && err_down)
		err = diag_set(diag, err_down, "%s", res->note);
	return err;
}

int race_run(const struct race_config *cfg, struct race_result *res, struct mbfs_diag *diag)
{
	struct run r = { .cfg = cfg };
	sigset_t set, old;
	int err;

	MBFS_ASSERT(cfg->threads >= 1 && cfg->threads <= RACE_THREADS_MAX);
	MBFS_ASSERT(cfg->run_ms > 0 || cfg->rounds > 0);
	memset(res, 0, sizeof(*res));
	r.shared_bytes = sizeof(*r.sh) + cfg->threads * sizeof(r.sh->slot[0]);
	r.sh = mmap(NULL, r.shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		    0);
	if (r.sh == MAP_FAILED)
		return diag_set(diag, -ENOMEM, "no memory for %u writers", cfg->threads);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	if (cfg->scenario->kind->room_bytes)
		err = run_in_room(&r, &set, res, diag);
	else if (cfg->mount || cfg->scenario->kind->image)
		err = run_on_image(&r, &set, res, diag);
	else
		err = run_on_library(&r, &set, res, diag);
	res->interrupted |= signal_pending(&set);
	if (cfg->scenario->kind->dies && !cfg->variant.holds && !err && !res->check_ok &&
	    !res->interrupted) {
		res->died = true;
		res->check_ok = true;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	munmap(r.sh, r.shared_bytes);
	return err;
}
