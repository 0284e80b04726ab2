// SPDX-License-Identifier: GPL-2.0-only
/*
 * A search by several processes: the parts of the tree (split.c), or slices of what is drawn, each
 * with a seed of its own, are handed out by a shared counter to forked workers. A worker sends what
 * it has counted, and its sets of classes, through a pipe when it is done; the parent puts them
 * together. Parts and slices do not depend on the number of workers: the union is the same for
 * each number of jobs and of shards. Shard i of n has the parts i-1, i-1+n, ...
 *
 * Workers execute code under test, the parent only the set-up and, when a failure is told, the
 * failing schedule. A worker has its engine's state and the decisions of its execution in memory it
 * shares with the parent: if it dies, they say by which schedule.
 */
#include "search.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 256, PARTS_PER_JOB = 64, SLICE_MIN = 64, SLICE_MAX = 1000, DEATHS_MAX = 100 };
enum { POLL_MS = 200, PATH_BYTES = EX_STEPS_MAX * sizeof(struct ex_step) };

/* What a worker shows while it works. */
struct desk {
	uint64_t schedules, traces;
	double done; /* of its part */
	uint32_t part;
	bool busy;
};

/* Shared by all processes of a stage. */
struct floor {
	uint32_t next, part_nr; /* of this shard; next is atomic */
	uint32_t stop;          /* atomic */
	uint64_t schedules;     /* atomic */
	struct desk desk[JOBS_MAX];
	bool part_done[EX_PARTS_MAX];
	struct ex_plan plan;
};

/* What a worker sends; after it dev_nr deviations, the classes and objects. */
struct message {
	struct explore_result res;
	uint64_t traces, failing, drawn_nr;
	uint64_t op_count[EXPLORE_KINDS_MAX], steps;
	uint64_t longest;
	uint32_t dev_nr, part, object_nr; /* part: where it failed first */
	bool found;
};

struct class
{
	uint64_t key;
	int64_t times;
};

static struct {
	struct floor *floor;
	const struct ex_stage *stage;
	struct desk *desk; /* in a worker */
	uint32_t found_part;
	struct worker {
		pid_t pid; /* 0: none */
		int fd;
		char *world, *path; /* the worker's own, seen from here */
	} worker[JOBS_MAX];
	unsigned running, deaths;
	uint32_t best_part; /* of the failures sent so far */
	bool found;
} jobs;

enum duty { WORK, PLAN, DISCOVER };

bool ex_jobs_wanted(const struct explore_options *opt)
{
	return opt->jobs > 1 || opt->shards > 1;
}

static unsigned shard_nr(const struct explore_options *opt)
{
	return opt->shards > 1 ? opt->shards : 1;
}

static unsigned shard_idx(const struct explore_options *opt)
{
	return opt->shards > 1 ? opt->shard - 1 : 0;
}

/* Part @i of this shard is that part of the whole. */
static uint32_t whole_idx(const struct explore_options *opt, uint32_t i)
{
	return i * shard_nr(opt) + shard_idx(opt);
}

/* Whole pages: they are put in the place of others. */
static size_t world_bytes(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (sizeof(struct ex_world) + page - 1) / page * page;
}

/* ---- slices of what is drawn ---- */

static uint64_t slice_len(const struct ex_stage *stage)
{
	uint64_t nr = stage->schedules / PARTS_PER_JOB;

	if (stage->name == EXPLORE_PORTFOLIO)
		return EX_PORTFOLIO_SLICE;
	return nr < SLICE_MIN ? SLICE_MIN : nr > SLICE_MAX ? SLICE_MAX : nr;
}

static uint64_t slice_nr(const struct ex_stage *stage)
{
	uint64_t one = slice_len(stage);

	return (stage->schedules + one - 1) / one;
}

static bool draw_slice(struct ex_world *w, uint64_t i)
{
	const struct ex_stage *stage = jobs.stage;
	uint64_t nr = slice_len(stage), before = i * nr;
	enum explore_strategy name = stage->name;

	if (name == EXPLORE_PORTFOLIO)
		name = ex_portfolio_turn(i);
	else if (stage->schedules - before < nr)
		nr = stage->schedules - before;
	return ex_search_drawing(w, name, ex_mix(w->opt->seed, i), nr);
}

/* ---- a worker ---- */

bool ex_jobs_tick(const struct ex_world *w)
{
	uint64_t nr, limit;

	(void)w;
	if (!jobs.desk)
		return false;
	jobs.desk->schedules++;
	nr = __atomic_add_fetch(&jobs.floor->schedules, 1, __ATOMIC_RELAXED);
	limit = jobs.stage->draws ? 0 : jobs.stage->schedules;
	if (nr % 64 == 0) {
		jobs.desk->traces = ex_run.traces.nr;
		if (!jobs.stage->draws)
			jobs.desk->done = ex_dfs_done();
	}
	return __atomic_load_n(&jobs.floor->stop, __ATOMIC_RELAXED) || (limit && nr >= limit);
}

static bool do_part(struct ex_world *w, uint32_t i)
{
	const struct ex_stage *stage = jobs.stage;
	const struct ex_plan *plan = &jobs.floor->plan;
	const struct ex_part *part = &plan->part[whole_idx(w->opt, i)];
	bool had = ex_run.found, go_on;

	jobs.desk->part = i;
	jobs.desk->done = 0;
	jobs.desk->busy = true;
	if (stage->draws) {
		go_on = draw_slice(w, whole_idx(w->opt, i));
		jobs.floor->part_done[i % EX_PARTS_MAX] = go_on;
	} else {
		ex_dfs_part(plan->pool + part->at, part->fixed);
		ex_run.draws = false;
		go_on = ex_search(w,
				  stage->cfg.sleep || stage->cfg.dpor ? &ex_strategy_dpor
								      : &ex_strategy_dfs,
				  stage->name);
		jobs.floor->part_done[i] = ex_dfs_exhausted();
	}
	jobs.desk->busy = false;
	if (ex_run.found && !had) {
		jobs.found_part = i;
		ex_run.res->first = __atomic_load_n(&jobs.floor->schedules, __ATOMIC_RELAXED) + 1;
		if (!w->opt->go_on)
			__atomic_store_n(&jobs.floor->stop, 1, __ATOMIC_RELAXED);
	}
	return go_on;
}

static void send_all(int fd, const void *from, size_t bytes)
{
	const char *at = from;

	while (bytes > 0) {
		ssize_t n = write(fd, at, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		at += n;
		bytes -= (size_t)n;
	}
}

static void send_set(int fd, const struct ex_set *s)
{
	struct class buf[512];
	unsigned nr = 0;

	for (uint64_t i = 0; i < s->room; i++) {
		if (!s->slots[i].key)
			continue;
		buf[nr++] = (struct class){ s->slots[i].key, s->slots[i].value };
		if (nr == 512) {
			send_all(fd, buf, sizeof(buf));
			nr = 0;
		}
	}
	send_all(fd, buf, nr * sizeof(buf[0]));
}

static void send_result(struct ex_world *w, int fd)
{
	struct message m = { .traces = ex_run.traces.nr,
			     .failing = ex_run.failing.nr,
			     .drawn_nr = ex_run.drawn_nr,
			     .steps = w->steps_total,
			     .longest = w->longest,
			     .dev_nr = ex_run.dev_nr,
			     .part = jobs.found_part,
			     .found = ex_run.found };

	if (w->opt->histogram)
		ex_objects_tell(w, ex_run.res);
	m.res = *ex_run.res;
	m.object_nr = m.res.object_nr;
	memcpy(m.op_count, w->op_count, sizeof(m.op_count));
	send_all(fd, &m, sizeof(m));
	send_all(fd, ex_run.dev, m.dev_nr * sizeof(*ex_run.dev));
	send_set(fd, &ex_run.traces);
	send_set(fd, &ex_run.failing);
	send_all(fd, m.res.objects, m.object_nr * sizeof(*m.res.objects));
}

/* Puts the engine's state where the parent sees it, at the address where it was. */
static bool show_state(struct ex_world *w, const struct worker *self)
{
	memcpy(self->world, w, sizeof(*w));
	memcpy(self->path, w->path, w->path_nr * sizeof(*w->path));
	return mremap(self->world, world_bytes(), world_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED,
		      w) == w &&
	       mremap(self->path, PATH_BYTES, PATH_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, w->path) ==
		       w->path;
}

static void start_counting(struct ex_world *w)
{
	struct explore_result *res = ex_run.res;

	memset(res, 0, sizeof(*res));
	ex_run.found = false;
	ex_run.dev_nr = 0;
	ex_run.drawn_nr = ex_run.single_nr = 0;
	ex_set_end(&ex_run.traces);
	ex_set_end(&ex_run.failing);
	ex_objects_end();
	w->steps_total = 0;
	memset(w->op_count, 0, sizeof(w->op_count));
	if (ex_set_init(&ex_run.traces, 1 << 12) || ex_set_init(&ex_run.failing, 1 << 8))
		_exit(1);
}

static _Noreturn void work(struct ex_world *w, unsigned idx, int fd)
{
	struct floor *f = jobs.floor;
	struct explore_options opt = *w->opt;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!show_state(w, &jobs.worker[idx]))
		_exit(1);
	jobs.desk = &f->desk[idx];
	opt.progress = NULL; /* the parent's */
	w->opt = &opt;
	start_counting(w);
	if (!jobs.stage->draws) {
		struct ex_dfs_config cfg = jobs.stage->cfg;

		cfg.schedules = 0; /* ex_jobs_tick() */
		if (ex_dfs_start(w->opt, &cfg))
			_exit(1);
	}
	for (;;) {
		uint32_t i = __atomic_fetch_add(&f->next, 1, __ATOMIC_RELAXED);

		if (i >= f->part_nr || __atomic_load_n(&f->stop, __ATOMIC_RELAXED) ||
		    !do_part(w, i))
			break;
	}
	send_result(w, fd);
	_exit(0);
}

enum { DISCOVER_SCHEDULES = 2000 };

static void note(struct ex_world *w, struct ex_thread *t)
{
	ex_shared_note(w, t);
}

/* Random walks: which objects are shared must not depend on the shard, and known soon. */
static _Noreturn void discover(struct ex_world *w)
{
	struct ex_strategy walk = ex_strategy_random;

	walk.commit = note;
	w->strat = &walk;
	ex_random_start(1, DISCOVER_SCHEDULES);
	do {
		ex_step_limit(w);
		ex_world_run(w);
	} while (walk.next(w));
	_exit(0);
}

static _Noreturn void plan(struct ex_world *w)
{
	unsigned per = w->opt->shards > 1 ? w->opt->shards : w->opt->jobs;
	uint32_t want =
		per > EX_PARTS_MAX / PARTS_PER_JOB ? EX_PARTS_MAX - 32 : per * PARTS_PER_JOB;

	_exit(ex_plan(w, &jobs.stage->cfg, want, &jobs.floor->plan) ? 1 : 0);
}

/* ---- the parent ---- */

static void *shared_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void worker_end(struct worker *k)
{
	ex_pages_free(k->world, world_bytes());
	ex_pages_free(k->path, PATH_BYTES);
	*k = (struct worker){ .pid = 0 };
}

static bool worker_start(struct ex_world *w, unsigned idx, enum duty duty)
{
	struct worker *k = &jobs.worker[idx];
	int fd[2];

	jobs.floor->desk[idx] = (struct desk){ .part = 0 };
	k->world = shared_pages(world_bytes());
	k->path = shared_pages(PATH_BYTES);
	if (!k->world || !k->path || pipe(fd)) {
		worker_end(k);
		return false;
	}
	k->fd = fd[0];
	k->pid = fork();
	if (k->pid == 0) {
		close(fd[0]);
		if (duty == WORK)
			work(w, idx, fd[1]);
		if (!show_state(w, k))
			_exit(1);
		if (duty == PLAN)
			plan(w);
		discover(w);
	}
	close(fd[1]);
	if (k->pid > 0) {
		jobs.running++;
		return true;
	}
	close(fd[0]);
	worker_end(k);
	return false;
}

static bool take_all(int fd, void *to, size_t bytes)
{
	char *at = to;

	while (bytes > 0) {
		ssize_t n = read(fd, at, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool take_set(int fd, uint64_t nr, bool traces)
{
	struct class buf[512];
	bool was_new;

	while (nr > 0) {
		uint64_t some = nr < 512 ? nr : 512;

		if (!take_all(fd, buf, some * sizeof(buf[0])))
			return false;
		for (uint64_t i = 0; i < some; i++) {
			if (traces)
				ex_trace_add(buf[i].key, buf[i].times);
			else
				ex_set_get(&ex_run.failing, buf[i].key, &was_new);
		}
		nr -= some;
	}
	return true;
}

/* The failure of the first part is told: the one that a single process would meet first. */
static void take_failure(const struct message *m, const struct ex_deviation *dev)
{
	struct explore_result *res = ex_run.res;

	if (!m->found || (ex_run.found && !jobs.found) || (jobs.found && m->part > jobs.best_part))
		return;
	ex_run.found = jobs.found = true;
	ex_run.died = false;
	jobs.best_part = m->part;
	res->first = m->res.first;
	res->verdict = m->res.verdict;
	res->strategy = m->res.strategy;
	memcpy(res->text, m->res.text, sizeof(res->text));
	memcpy(res->token, m->res.token, sizeof(res->token));
	ex_run.dev_nr = m->dev_nr;
	memcpy(ex_run.dev, dev, m->dev_nr * sizeof(*dev));
}

static bool take_result(struct ex_world *w, int fd)
{
	struct ex_deviation *dev = ex_run.dev + EX_DEVIATIONS_MAX;
	struct explore_result *res = ex_run.res;
	struct explore_object obj;
	struct message m;

	if (!take_all(fd, &m, sizeof(m)) || m.dev_nr > EX_DEVIATIONS_MAX ||
	    !take_all(fd, dev, m.dev_nr * sizeof(*dev)) || !take_set(fd, m.traces, true) ||
	    !take_set(fd, m.failing, false))
		return false;
	for (uint32_t i = 0; i < m.object_nr && take_all(fd, &obj, sizeof(obj)); i++)
		ex_objects_add(&obj);
	res->schedules += m.res.schedules;
	res->cut += m.res.cut;
	res->failures += m.res.failures;
	ex_run.drawn_nr += m.drawn_nr;
	w->steps_total += m.steps;
	if (m.longest > w->longest)
		w->longest = m.longest;
	for (unsigned i = 0; i < EXPLORE_KINDS_MAX; i++)
		w->op_count[i] += m.op_count[i];
	take_failure(&m, dev);
	return true;
}

/* @k ended without a word: the schedule it was at is a finding. */
static void take_death(const struct ex_world *w, unsigned idx, int status)
{
	struct ex_world *dead = (struct ex_world *)(void *)jobs.worker[idx].world;
	const struct desk *desk = &jobs.floor->desk[idx];
	struct explore_result *res = ex_run.res;
	const struct ex_thread *t = NULL;
	char how[40];

	jobs.deaths++;
	res->schedules += desk->schedules + 1;
	res->failures++;
	if ((ex_run.found && !jobs.found) || (jobs.found && desk->part > jobs.best_part))
		return;
	ex_run.found = jobs.found = ex_run.died = true;
	jobs.best_part = desk->part;
	if (dead->cur) /* points into the worker's own */
		t = &dead->sim.th[dead->cur - w->sim.th];
	dead->path = (struct ex_step *)(void *)jobs.worker[idx].path;
	dead->path_nr = dead->step;
	if (WIFSIGNALED(status))
		ex_print(how, sizeof(how), "signal %d", WTERMSIG(status));
	else
		ex_print(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
	res->verdict = EXPLORE_CRASH;
	res->strategy = jobs.stage->name;
	res->first = jobs.floor->schedules + 1;
	if (t && t->op.site)
		ex_print(res->text, sizeof(res->text),
			 "the process ended by %s in %s, after %s %s at %s:%d", how, t->name,
			 ex_kind_names[t->op.kind], t->op.site->what,
			 ex_short_file(t->op.site->file), t->op.site->line);
	else
		ex_print(res->text, sizeof(res->text), "the process ended by %s", how);
	ex_run.dev_nr = ex_deviations(dead, ex_run.dev, EX_DEVIATIONS_MAX);
	ex_token_write(dead, w->opt->seed, res->token, sizeof(res->token));
}

static void collect(struct ex_world *w, unsigned idx, enum duty duty)
{
	struct worker *k = &jobs.worker[idx];
	bool whole = duty == WORK && take_result(w, k->fd);
	int status = 0;

	close(k->fd);
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		;
	jobs.running--;
	if (duty != WORK)
		whole = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	/* What there is of a plan is good, and a worker will come by that schedule. */
	if (w->opt->go_on && (duty == DISCOVER || (duty == PLAN && jobs.floor->plan.nr > 0)))
		whole = true;
	if (!whole) {
		take_death(w, idx, status);
		if (!w->opt->go_on)
			__atomic_store_n(&jobs.floor->stop, 1, __ATOMIC_RELAXED);
	}
	jobs.floor->desk[idx].busy = false;
	worker_end(k);
}

/* How much of this shard's parts is done, by their shares. */
static double parts_done(const struct explore_options *opt)
{
	const struct floor *f = jobs.floor;
	double all = 0, done = 0;

	for (uint32_t i = 0; i < f->part_nr; i++) {
		double share = f->plan.part[whole_idx(opt, i)].share;

		all += share;
		done += f->part_done[i] ? share : 0;
	}
	for (unsigned k = 0; k < JOBS_MAX; k++)
		if (f->desk[k].busy && !f->part_done[f->desk[k].part])
			done += f->desk[k].done *
				f->plan.part[whole_idx(opt, f->desk[k].part)].share;
	return all > 0 ? done / all : 0;
}

static void tell(const struct ex_world *w)
{
	const struct explore_options *opt = w->opt;
	struct explore_progress p = { .unseen = -1 };

	if (!opt->progress || !opt->now_ns)
		return;
	p.schedules = ex_run.before_nr + jobs.floor->schedules;
	p.ns = opt->now_ns() - ex_run.start_ns;
	p.traces = ex_run.traces.nr;
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (jobs.worker[i].pid)
			p.traces += jobs.floor->desk[i].traces;
	if (!jobs.stage->draws)
		p.left = ex_left(jobs.floor->schedules, parts_done(opt));
	opt->progress(&p);
}

/* Until all have ended. A worker that died is replaced while others' failures do not end it all. */
static void supervise(struct ex_world *w, enum duty duty)
{
	struct floor *f = jobs.floor;

	while (jobs.running > 0) {
		struct pollfd at[JOBS_MAX];
		unsigned who[JOBS_MAX], nr = 0;

		for (unsigned i = 0; i < JOBS_MAX; i++)
			if (jobs.worker[i].pid) {
				at[nr] = (struct pollfd){ .fd = jobs.worker[i].fd,
							  .events = POLLIN };
				who[nr++] = i;
			}
		if (poll(at, nr, POLL_MS) == 0)
			tell(w);
		for (unsigned i = 0; i < nr; i++) {
			unsigned deaths = jobs.deaths;

			if (!(at[i].revents & (POLLIN | POLLHUP | POLLERR)))
				continue;
			collect(w, who[i], duty);
			if (jobs.deaths > deaths && !f->stop && f->next < f->part_nr &&
			    jobs.deaths < DEATHS_MAX)
				worker_start(w, who[i], WORK);
		}
	}
}

static bool stage_parts(struct ex_world *w)
{
	const struct explore_options *opt = w->opt;
	uint64_t all;

	if (jobs.stage->draws) {
		all = slice_nr(jobs.stage);
	} else {
		if (!worker_start(w, 0, PLAN))
			return false;
		supervise(w, PLAN);
		if (jobs.deaths)
			return false;
		all = jobs.floor->plan.nr;
	}
	if (all <= shard_idx(opt))
		all = 0;
	else
		all = (all - shard_idx(opt) + shard_nr(opt) - 1) / shard_nr(opt);
	jobs.floor->part_nr = all > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)all;
	return true;
}

static bool all_done(void)
{
	for (uint32_t i = 0; i < jobs.floor->part_nr; i++)
		if (!jobs.floor->part_done[i])
			return false;
	return true;
}

static bool stage_run(struct ex_world *w)
{
	const struct explore_options *opt = w->opt;
	unsigned nr = opt->jobs < 1 ? 1 : opt->jobs > JOBS_MAX ? JOBS_MAX : opt->jobs;

	if (!stage_parts(w))
		return false;
	for (unsigned i = 0; i < nr && i < jobs.floor->part_nr; i++)
		if (!worker_start(w, i, WORK) && i == 0)
			return false;
	supervise(w, WORK);
	if (!jobs.stage->draws) {
		ex_run.exhausted = all_done();
		ex_run.res->left =
			ex_run.exhausted ? 0 : ex_left(jobs.floor->schedules, parts_done(opt));
	}
	if (ex_run.found && !opt->go_on)
		return false;
	if (opt->stop && opt->stop())
		return false;
	return !opt->now_ns || !opt->budget_ns || opt->now_ns() - ex_run.start_ns < opt->budget_ns;
}

static bool stage_start(const struct ex_stage *stage)
{
	jobs.floor = shared_pages(sizeof(*jobs.floor));
	jobs.stage = stage;
	jobs.found = false;
	jobs.deaths = 0;
	ex_run.before_nr = ex_run.res->schedules;
	return jobs.floor;
}

static void stage_end(void)
{
	ex_pages_free(jobs.floor, sizeof(*jobs.floor));
	jobs.floor = NULL;
}

bool ex_jobs_stage(struct ex_world *w, const struct ex_stage *stage)
{
	bool go_on;

	ex_run.exhausted = false;
	if (!stage_start(stage))
		return false;
	go_on = stage_run(w);
	stage_end();
	return go_on;
}

void ex_jobs_discover(struct ex_world *w)
{
	static const struct ex_stage none = { .name = EXPLORE_RANDOM, .draws = true };

	if (ex_shared_grown() || !stage_start(&none))
		return;
	if (worker_start(w, 0, DISCOVER))
		supervise(w, DISCOVER);
	stage_end();
}
