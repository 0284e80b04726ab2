// SPDX-License-Identifier: GPL-2.0-only
/*
 * explore_run(): the searches of a strategy one after the other, what they count, and what is made
 * of the first failing execution: the shortest schedule that fails in the same way, its token, its
 * events.
 */
#include "search.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

enum { ALT_STACK_BYTES = 1 << 16, ASK_EVERY = 64, TELL_NS = 500000000 };

struct ex_run ex_run;
static void *alt_stack;
static bool traps_are_set;

/* ---- crashes of the code under test ---- */

static void crashed(int sig, siginfo_t *info, void *ctx)
{
	struct ex_world *w = ex_world;

	(void)ctx;
	if (w && ex_observe_crashed())
		return;
	if (!w || w->phase == EX_IDLE || !w->cur || !w->in_fiber) {
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	ex_stop(EXPLORE_CRASH, "%s: signal %d at address %p, after %s %s at %s:%d", w->cur->name,
		sig, info->si_addr, ex_kind_names[w->cur->op.kind],
		w->cur->op.site ? w->cur->op.site->what : "",
		w->cur->op.site ? ex_short_file(w->cur->op.site->file) : "?",
		w->cur->op.site ? w->cur->op.site->line : 0);
}

static const int trap_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
enum { TRAPS = sizeof(trap_signals) / sizeof(trap_signals[0]) };
static struct sigaction old_traps[TRAPS];
static stack_t old_alt;

/* Leaving the handler by a switch of stacks is why the signal must not stay blocked. */
static void traps_set(void)
{
	struct sigaction sa = { .sa_sigaction = crashed,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t alt = { .ss_size = ALT_STACK_BYTES };

	if (EX_ASAN || EX_TSAN)
		return; /* they report by themselves */
	if (!alt_stack)
		alt_stack = ex_pages(ALT_STACK_BYTES);
	alt.ss_sp = alt_stack;
	if (!alt_stack || sigaltstack(&alt, &old_alt))
		return;
	for (unsigned i = 0; i < TRAPS; i++)
		sigaction(trap_signals[i], &sa, &old_traps[i]);
	traps_are_set = true;
}

static void traps_clear(void)
{
	if (!traps_are_set)
		return;
	for (unsigned i = 0; i < TRAPS; i++)
		sigaction(trap_signals[i], &old_traps[i], NULL);
	old_alt.ss_flags &= SS_DISABLE;
	sigaltstack(&old_alt, NULL);
	traps_are_set = false;
}

/* ---- one search ---- */

void ex_step_limit(struct ex_world *w)
{
	w->max_steps = w->opt->max_steps;
	if (w->max_steps)
		return;
	w->max_steps = w->longest * 20;
	if (w->max_steps < 20000)
		w->max_steps = 20000;
}

static void note_failure(struct ex_world *w)
{
	struct explore_result *res = ex_run.res;
	bool was_new;

	res->failures++;
	ex_set_get(&ex_run.failing, w->trace_hash, &was_new);
	if (ex_run.found)
		return;
	ex_run.found = true;
	res->first = res->schedules;
	res->verdict = w->verdict;
	memcpy(res->text, w->text, sizeof(res->text));
	ex_run.dev_nr = ex_deviations(w, ex_run.dev, EX_DEVIATIONS_MAX);
	ex_token_write(w, w->opt->seed, res->token, sizeof(res->token));
}

/* @times: drawn so often; what is not drawn counts as twice. */
void ex_trace_add(uint64_t key, int64_t times)
{
	struct ex_set_slot *slot;
	bool was_new;

	slot = ex_set_get(&ex_run.traces, key, &was_new);
	if (!slot)
		return;
	ex_run.single_nr -= !was_new && slot->value == 1;
	slot->value = was_new ? times : slot->value + times;
	ex_run.single_nr += slot->value == 1;
}

static void count(struct ex_world *w)
{
	struct explore_result *res = ex_run.res;

	res->schedules++;
	if (w->pruned && w->verdict == EXPLORE_OK) {
		res->cut++;
		return;
	}
	ex_run.drawn_nr += ex_run.draws;
	ex_trace_add(w->trace_hash, ex_run.draws ? 1 : 2);
	if (w->verdict != EXPLORE_OK)
		note_failure(w);
}

uint64_t ex_left(uint64_t nr, double done)
{
	double left = done > 0 ? (double)nr * (1 - done) / done : 0;

	return left < 1e18 ? (uint64_t)left : 1000000000000000000ull;
}

static double unseen(void)
{
	return ex_run.drawn_nr ? (double)ex_run.single_nr / (double)ex_run.drawn_nr : -1;
}

static void tell_progress(const struct explore_options *opt, uint64_t now)
{
	struct explore_progress p = { .schedules = ex_run.res->schedules,
				      .ns = now - ex_run.start_ns,
				      .traces = ex_run.traces.nr,
				      .unseen = unseen() };

	ex_run.told_ns = now;
	if (!ex_run.draws)
		p.left = ex_left(p.schedules - ex_run.before_nr, ex_dfs_done());
	opt->progress(&p);
}

static bool time_is_up(const struct ex_world *w)
{
	const struct explore_options *opt = w->opt;
	uint64_t now;

	if (ex_jobs_tick(w))
		return true;
	if (ex_run.res->schedules % ASK_EVERY)
		return false;
	if (opt->stop && opt->stop())
		return true;
	if (!opt->now_ns)
		return false;
	now = opt->now_ns();
	if (opt->progress && now - ex_run.told_ns >= TELL_NS)
		tell_progress(opt, now);
	return opt->budget_ns && now - ex_run.start_ns >= opt->budget_ns;
}

bool ex_search(struct ex_world *w, const struct ex_strategy *strat, enum explore_strategy name)
{
	struct explore_result *res = ex_run.res;
	bool more = true;

	w->strat = strat;
	if (w->opt->histogram)
		ex_objects_start(&w->strat);
	while (more) {
		ex_step_limit(w);
		ex_world_run(w);
		count(w);
		if (ex_run.found && res->first == res->schedules)
			res->strategy = name;
		if (ex_run.found && !w->opt->go_on)
			return false;
		more = strat->next(w);
		if (time_is_up(w))
			return false;
	}
	return true;
}

static bool search_dfs_once(struct ex_world *w, const struct ex_dfs_config *cfg,
			    enum explore_strategy name)
{
	struct ex_stage stage = { .name = name, .cfg = *cfg, .schedules = cfg->schedules };
	bool plain = !cfg->sleep && !cfg->dpor, go_on;
	uint64_t before = ex_run.res->schedules;

	if (ex_jobs_wanted(w->opt))
		return ex_jobs_stage(w, &stage);
	if (ex_dfs_start(w->opt, cfg))
		return false;
	ex_run.draws = false;
	ex_run.before_nr = before;
	go_on = ex_search(w, plain ? &ex_strategy_dfs : &ex_strategy_dpor, name);
	ex_run.exhausted = ex_dfs_exhausted();
	ex_run.res->left = ex_left(ex_run.res->schedules - before, ex_dfs_done());
	return go_on;
}

/* Again and again, until no object turned out to be shared that the search took for local. */
static bool search_dfs(struct ex_world *w, const struct ex_dfs_config *cfg,
		       enum explore_strategy name)
{
	bool go_on, grown;

	if (cfg->local && ex_jobs_wanted(w->opt))
		ex_jobs_discover(w);
	if (ex_run.found && !w->opt->go_on)
		return false;
	do {
		uint64_t before = ex_shared_grown();

		go_on = search_dfs_once(w, cfg, name);
		grown = cfg->local && ex_shared_grown() != before &&
			w->opt->drop_rule != RULE_LOCAL_AGAIN;
	} while (go_on && ex_run.exhausted && grown);
	if (grown)
		ex_run.exhausted = false;
	if (ex_run.exhausted)
		ex_run.res->bound = cfg->bound < 0 ? INT_MAX : cfg->bound;
	return go_on;
}

bool ex_search_drawing(struct ex_world *w, enum explore_strategy name, uint64_t seed,
		       uint64_t schedules)
{
	const struct ex_strategy *strat = name == EXPLORE_PCT   ? &ex_strategy_pct
					  : name == EXPLORE_POS ? &ex_strategy_pos
								: &ex_strategy_random;

	ex_random_start(seed, schedules);
	ex_run.draws = true;
	return ex_search(w, strat, name);
}

static bool search_random(struct ex_world *w, uint64_t schedules)
{
	struct ex_stage stage = { .name = w->opt->strategy, .draws = true, .schedules = schedules };

	if (ex_jobs_wanted(w->opt))
		return ex_jobs_stage(w, &stage);
	return ex_search_drawing(w, stage.name, w->opt->seed, schedules);
}

enum { PORTFOLIO_BOUNDS = 3, PORTFOLIO_DFS_SCHEDULES = 200000, PORTFOLIO_SCHEDULES = 100000 };

enum explore_strategy ex_portfolio_turn(uint64_t turn)
{
	static const enum explore_strategy turns[] = { EXPLORE_PCT, EXPLORE_POS, EXPLORE_RANDOM };

	return turns[turn % 3];
}

/* Bounded first: short counterexamples, and a bound to claim. Then those that draw, in turns. */
static void search_portfolio(struct ex_world *w)
{
	uint64_t limit = w->opt->schedules ? w->opt->schedules : PORTFOLIO_SCHEDULES;
	struct ex_stage draws = { .name = EXPLORE_PORTFOLIO, .draws = true };

	for (int bound = 0; bound < PORTFOLIO_BOUNDS; bound++) {
		struct ex_dfs_config cfg = { .bound = bound,
					     .cache = true,
					     .local = !w->opt->no_local,
					     .schedules = PORTFOLIO_DFS_SCHEDULES };

		if (ex_run.res->schedules >= limit)
			return;
		if (limit - ex_run.res->schedules < cfg.schedules)
			cfg.schedules = limit - ex_run.res->schedules;
		if (!search_dfs(w, &cfg, EXPLORE_DFS))
			return;
	}
	if (ex_run.res->schedules >= limit && w->opt->shards < 2)
		return;
	if (ex_jobs_wanted(w->opt)) {
		/* Shards must agree on how much there is to draw. */
		draws.schedules = limit - (w->opt->shards > 1 ? 0 : ex_run.res->schedules);
		ex_jobs_stage(w, &draws);
		return;
	}
	for (uint64_t turn = 0; ex_run.res->schedules < limit; turn++)
		if (!ex_search_drawing(w, ex_portfolio_turn(turn), ex_mix(w->opt->seed, turn),
				       EX_PORTFOLIO_SLICE))
			return;
}

/* ---- replay and what is told of a failure ---- */

static bool replay_token(struct ex_world *w)
{
	struct explore_result *res = ex_run.res;
	struct explore_token tok;
	int nr;

	res->outcome = EXPLORE_BAD_USE;
	if (!w->opt->token ||
	    !explore_token_parse(w->opt->token, &tok, res->text, sizeof(res->text)))
		return false;
	if (strcmp(tok.scenario, w->scn->name) != 0 ||
	    strcmp(tok.variant, w->scn->variant ? w->scn->variant : "") != 0) {
		ex_print(res->text, sizeof(res->text), "the token is of %s/%s, this is %s/%s",
			 tok.scenario, tok.variant, w->scn->name,
			 w->scn->variant ? w->scn->variant : "");
		return false;
	}
	nr = ex_token_switches(tok.switches, ex_run.dev, EX_DEVIATIONS_MAX);
	if (nr < 0) {
		ex_print(res->text, sizeof(res->text), "the token's switches cannot be read");
		return false;
	}
	ex_replay_start(ex_run.dev, (unsigned)nr, w->opt->stop_at);
	res->outcome = EXPLORE_BUDGET;
	ex_search(w, &ex_strategy_steps, EXPLORE_REPLAY);
	if (!ex_replay_matched() && w->verdict == EXPLORE_OK) {
		res->outcome = EXPLORE_BAD_USE;
		ex_print(res->text, sizeof(res->text), "the token does not fit this scenario");
		return false;
	}
	return true;
}

static void tell_threads(const struct ex_world *w)
{
	for (unsigned i = 0; i < w->sim.thread_nr; i++)
		ex_run.res->thread_name[i] = w->sim.th[i].name[0] ? w->sim.th[i].name : NULL;
	ex_run.res->thread_nr = w->sim.thread_nr;
}

/* The first failure again, as short as it gets, and with its events written down. */
static void tell_failure(struct ex_world *w)
{
	struct explore_result *res = ex_run.res;

	ex_step_limit(w);
	res->switches_found = ex_run.dev_nr;
	if (!w->opt->no_minimise && w->opt->strategy != EXPLORE_REPLAY)
		ex_run.dev_nr = ex_minimise(w, ex_run.dev, ex_run.dev_nr, EX_DEVIATIONS_MAX,
					    res->verdict, &res->reruns);
	res->switches = ex_run.dev_nr;
	ex_replay_start(ex_run.dev, ex_run.dev_nr, 0);
	w->strat = &ex_strategy_owner;
	if (w->opt->strategy == EXPLORE_REPLAY)
		w->strat = &ex_strategy_steps;
	w->record_next = true;
	ex_world_run(w);
	w->recording = w->record_next = false;
	if (w->verdict != res->verdict) { /* it was not repeatable: that is the finding */
		res->verdict = EXPLORE_NONDET;
		ex_print(res->text, sizeof(res->text), "failed once, not when repeated: %s",
			 w->verdict == EXPLORE_OK ? "no failure" : w->text);
		return;
	}
	memcpy(res->text, w->text, sizeof(res->text));
	ex_token_write(w, w->opt->seed, res->token, sizeof(res->token));
	res->events = w->events;
	res->event_nr = w->event_nr;
	ex_observe_tell(res);
	tell_threads(w);
}

static bool search_all(struct ex_world *w)
{
	const struct explore_options *opt = w->opt;
	struct ex_dfs_config cfg = { .bound = -1, .schedules = opt->schedules };

	switch (opt->strategy) {
	case EXPLORE_PORTFOLIO:
		search_portfolio(w);
		return true;
	case EXPLORE_DFS:
		cfg.bound = opt->bound;
		cfg.cache = !opt->no_cache;
		cfg.local = !opt->no_local;
		cfg.delay = opt->delay_bound;
		search_dfs(w, &cfg, EXPLORE_DFS);
		return true;
	case EXPLORE_SLEEP:
	case EXPLORE_DPOR:
		cfg.sleep = true;
		cfg.dpor = opt->strategy == EXPLORE_DPOR;
		search_dfs(w, &cfg, opt->strategy);
		return true;
	case EXPLORE_REPLAY:
		return replay_token(w);
	default:
		search_random(w, opt->schedules ? opt->schedules : 10000);
		return true;
	}
}

static bool run_init(struct explore_result *res)
{
	memset(res, 0, sizeof(*res));
	res->bound = -1;
	ex_run.res = res;
	ex_run.found = ex_run.exhausted = ex_run.died = ex_run.draws = false;
	ex_run.dev_nr = 0;
	ex_run.drawn_nr = ex_run.single_nr = 0;
	ex_objects_end();
	if (ex_world_init())
		return false;
	if (!ex_run.dev)
		ex_run.dev = ex_pages(2 * EX_DEVIATIONS_MAX * sizeof(*ex_run.dev));
	ex_set_end(&ex_run.traces);
	ex_set_end(&ex_run.failing);
	return ex_run.dev && !ex_set_init(&ex_run.traces, 1 << 12) &&
	       !ex_set_init(&ex_run.failing, 1 << 8);
}

static void run_end(struct ex_world *w)
{
	struct explore_result *res = ex_run.res;

	res->steps = w->steps_total;
	res->longest = w->longest;
	res->traces = ex_run.traces.nr;
	res->failing = ex_run.failing.nr;
	res->trace_sum = ex_run.traces.sum;
	res->failing_sum = ex_run.failing.sum;
	memcpy(res->op_count, w->op_count, sizeof(res->op_count));
	res->switches = ex_run.dev_nr;
	if (w->opt->now_ns)
		res->ns = w->opt->now_ns() - ex_run.start_ns;
	res->unseen = unseen();
	res->shared_sum = ex_shared_sum();
	if (w->opt->histogram)
		ex_objects_tell(w, res);
	if (res->outcome == EXPLORE_BAD_USE)
		return;
	if (ex_run.found && !ex_run.died)
		tell_failure(w);
	res->outcome = res->verdict != EXPLORE_OK ? EXPLORE_FOUND : EXPLORE_BUDGET;
	if (res->verdict == EXPLORE_OK && ex_run.exhausted && w->opt->strategy != EXPLORE_PORTFOLIO)
		res->outcome = EXPLORE_EXHAUSTED;
}

enum explore_outcome explore_run(const struct explore_scenario *s,
				 const struct explore_options *opt, struct explore_result *res)
{
	struct ex_world *w;

	if (!run_init(res) || s->thread_nr == 0 || s->thread_nr > EXPLORE_THREADS_MAX) {
		res->outcome = EXPLORE_BAD_USE;
		ex_print(res->text, sizeof(res->text), "no memory, or a bad number of threads");
		return res->outcome;
	}
	if (EX_TSAN && ex_jobs_wanted(opt)) {
		res->outcome = EXPLORE_BAD_USE;
		ex_print(res->text, sizeof(res->text),
			 "no jobs or shards with TSan, which is not itself after a fork");
		return res->outcome;
	}
	w = ex_world;
	w->scn = s;
	w->opt = opt;
	w->longest = w->steps_total = 0;
	ex_models_begin(w);
	memset(w->op_count, 0, sizeof(w->op_count));
	ex_run.start_ns = ex_run.told_ns = opt->now_ns ? opt->now_ns() : 0;
	traps_set();
	if (ex_world_setup(w) && !ex_shared_start(ex_jobs_wanted(opt))) {
		if (search_all(w)) {
			w->opt = opt;
			run_end(w);
		}
	} else {
		res->outcome = EXPLORE_FOUND;
		res->verdict = w->verdict;
		ex_print(res->text, sizeof(res->text), "in the set-up: %s", w->text);
	}
	traps_clear();
	return res->outcome;
}

void explore_shutdown(void)
{
	ex_dfs_end();
	ex_shared_end();
	ex_set_end(&ex_run.traces);
	ex_set_end(&ex_run.failing);
	ex_pages_free(ex_run.dev, 2 * EX_DEVIATIONS_MAX * sizeof(*ex_run.dev));
	ex_pages_free(alt_stack, ALT_STACK_BYTES);
	alt_stack = NULL;
	ex_objects_end();
	memset(&ex_run, 0, sizeof(ex_run));
	ex_observe_end();
	ex_world_end();
}
