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

enum { DEVIATIONS_MAX = 1 << 15, ALT_STACK_BYTES = 1 << 16, ASK_EVERY = 64 };

static struct {
	struct explore_result *res;
	struct ex_set traces, failing;
	struct ex_deviation *dev; /* of the first failure; twice DEVIATIONS_MAX */
	unsigned dev_nr;
	bool found, exhausted;
	uint64_t start_ns;
	void *alt_stack;
	bool traps_set;
} run;

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
	if (!run.alt_stack)
		run.alt_stack = ex_pages(ALT_STACK_BYTES);
	alt.ss_sp = run.alt_stack;
	if (!run.alt_stack || sigaltstack(&alt, &old_alt))
		return;
	for (unsigned i = 0; i < TRAPS; i++)
		sigaction(trap_signals[i], &sa, &old_traps[i]);
	run.traps_set = true;
}

static void traps_clear(void)
{
	if (!run.traps_set)
		return;
	for (unsigned i = 0; i < TRAPS; i++)
		sigaction(trap_signals[i], &old_traps[i], NULL);
	old_alt.ss_flags &= SS_DISABLE;
	sigaltstack(&old_alt, NULL);
	run.traps_set = false;
}

/* ---- one search ---- */

static void step_limit(struct ex_world *w)
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
	struct explore_result *res = run.res;
	bool was_new;

	res->failures++;
	ex_set_get(&run.failing, w->trace_hash, &was_new);
	if (run.found)
		return;
	run.found = true;
	res->first = res->schedules;
	res->verdict = w->verdict;
	memcpy(res->text, w->text, sizeof(res->text));
	run.dev_nr = ex_deviations(w, run.dev, DEVIATIONS_MAX);
	ex_token_write(w, w->opt->seed, res->token, sizeof(res->token));
}

static void count(struct ex_world *w)
{
	struct explore_result *res = run.res;
	bool was_new;

	res->schedules++;
	if (w->pruned && w->verdict == EXPLORE_OK) {
		res->cut++;
		return;
	}
	ex_set_get(&run.traces, w->trace_hash, &was_new);
	if (w->verdict != EXPLORE_OK)
		note_failure(w);
}

static bool time_is_up(const struct ex_world *w)
{
	const struct explore_options *opt = w->opt;

	if (run.res->schedules % ASK_EVERY)
		return false;
	if (opt->progress && run.res->schedules % 65536 == 0)
		opt->progress(opt, run.res->schedules, run.traces.nr);
	if (opt->stop && opt->stop())
		return true;
	return opt->now_ns && opt->budget_ns && opt->now_ns() - run.start_ns >= opt->budget_ns;
}

/* True when the search is to go on with other means. */
static bool search(struct ex_world *w, const struct ex_strategy *strat, enum explore_strategy name)
{
	bool more = true;

	w->strat = strat;
	while (more) {
		step_limit(w);
		ex_world_run(w);
		count(w);
		if (run.found && run.res->first == run.res->schedules)
			run.res->strategy = name;
		if (run.found && !w->opt->go_on)
			return false;
		more = strat->next(w);
		if (time_is_up(w))
			return false;
	}
	return true;
}

static bool search_dfs(struct ex_world *w, const struct ex_dfs_config *cfg,
		       enum explore_strategy name)
{
	bool plain = !cfg->sleep && !cfg->dpor, go_on;
	uint64_t grown;

	do {
		grown = ex_shared_grown();
		if (ex_dfs_start(w->opt, cfg))
			return false;
		go_on = search(w, plain ? &ex_strategy_dfs : &ex_strategy_dpor, name);
	} while (go_on && ex_dfs_exhausted() && cfg->local && ex_shared_grown() != grown &&
		 w->opt->drop_rule != RULE_LOCAL_AGAIN);
	run.exhausted = ex_dfs_exhausted() && w->opt->strategy != EXPLORE_PORTFOLIO;
	if (ex_dfs_exhausted())
		run.res->bound = cfg->bound < 0 ? INT_MAX : cfg->bound;
	return go_on;
}

static bool search_random(struct ex_world *w, enum explore_strategy name, uint64_t seed,
			  uint64_t schedules)
{
	const struct ex_strategy *strat = name == EXPLORE_PCT   ? &ex_strategy_pct
					  : name == EXPLORE_POS ? &ex_strategy_pos
								: &ex_strategy_random;

	ex_random_start(seed, schedules);
	return search(w, strat, name);
}

enum { PORTFOLIO_BOUNDS = 3, PORTFOLIO_DFS_SCHEDULES = 200000, PORTFOLIO_SLICE = 2000 };

/* Bounded first: short counterexamples, and a bound to claim. Then those that draw, in turns. */
static void search_portfolio(struct ex_world *w)
{
	static const enum explore_strategy turns[] = { EXPLORE_PCT, EXPLORE_POS, EXPLORE_RANDOM };
	uint64_t limit = w->opt->schedules ? w->opt->schedules : 100000;

	for (int bound = 0; bound < PORTFOLIO_BOUNDS; bound++) {
		struct ex_dfs_config cfg = { .bound = bound,
					     .cache = true,
					     .local = !w->opt->no_local,
					     .schedules = PORTFOLIO_DFS_SCHEDULES };

		if (run.res->schedules >= limit)
			return;
		if (limit - run.res->schedules < cfg.schedules)
			cfg.schedules = limit - run.res->schedules;
		if (!search_dfs(w, &cfg, EXPLORE_DFS))
			return;
	}
	for (unsigned turn = 0; run.res->schedules < limit; turn++)
		if (!search_random(w, turns[turn % 3], ex_mix(w->opt->seed, turn), PORTFOLIO_SLICE))
			return;
}

/* ---- replay and what is told of a failure ---- */

static bool replay_token(struct ex_world *w)
{
	struct explore_result *res = run.res;
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
	nr = ex_token_switches(tok.switches, run.dev, DEVIATIONS_MAX);
	if (nr < 0) {
		ex_print(res->text, sizeof(res->text), "the token's switches cannot be read");
		return false;
	}
	ex_replay_start(run.dev, (unsigned)nr, w->opt->stop_at);
	res->outcome = EXPLORE_BUDGET;
	search(w, &ex_strategy_steps, EXPLORE_REPLAY);
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
		run.res->thread_name[i] = w->sim.th[i].name[0] ? w->sim.th[i].name : NULL;
	run.res->thread_nr = w->sim.thread_nr;
}

/* The first failure again, as short as it gets, and with its events written down. */
static void tell_failure(struct ex_world *w)
{
	struct explore_result *res = run.res;

	step_limit(w);
	res->switches_found = run.dev_nr;
	if (!w->opt->no_minimise && w->opt->strategy != EXPLORE_REPLAY)
		run.dev_nr = ex_minimise(w, run.dev, run.dev_nr, DEVIATIONS_MAX, res->verdict,
					 &res->reruns);
	res->switches = run.dev_nr;
	ex_replay_start(run.dev, run.dev_nr, 0);
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
	uint64_t draws = opt->schedules ? opt->schedules : 10000;

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
		search_random(w, opt->strategy, opt->seed, draws);
		return true;
	}
}

static bool run_init(struct explore_result *res)
{
	memset(res, 0, sizeof(*res));
	res->bound = -1;
	run.res = res;
	run.found = run.exhausted = false;
	run.dev_nr = 0;
	if (ex_world_init())
		return false;
	if (!run.dev)
		run.dev = ex_pages(2 * DEVIATIONS_MAX * sizeof(*run.dev));
	ex_set_end(&run.traces);
	ex_set_end(&run.failing);
	return run.dev && !ex_set_init(&run.traces, 1 << 12) && !ex_set_init(&run.failing, 1 << 8);
}

static void run_end(struct ex_world *w)
{
	struct explore_result *res = run.res;

	res->steps = w->steps_total;
	res->longest = w->longest;
	res->traces = run.traces.nr;
	res->failing = run.failing.nr;
	res->trace_sum = run.traces.sum;
	res->failing_sum = run.failing.sum;
	memcpy(res->op_count, w->op_count, sizeof(res->op_count));
	if (w->opt->now_ns)
		res->ns = w->opt->now_ns() - run.start_ns;
	if (res->outcome == EXPLORE_BAD_USE)
		return;
	if (run.found)
		tell_failure(w);
	res->outcome = res->verdict != EXPLORE_OK ? EXPLORE_FOUND
		       : run.exhausted            ? EXPLORE_EXHAUSTED
						  : EXPLORE_BUDGET;
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
	w = ex_world;
	w->scn = s;
	w->opt = opt;
	w->longest = w->steps_total = 0;
	memset(w->op_count, 0, sizeof(w->op_count));
	run.start_ns = opt->now_ns ? opt->now_ns() : 0;
	traps_set();
	if (ex_world_setup(w) && !ex_shared_start()) {
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
	ex_set_end(&run.traces);
	ex_set_end(&run.failing);
	ex_pages_free(run.dev, 2 * DEVIATIONS_MAX * sizeof(*run.dev));
	ex_pages_free(run.alt_stack, ALT_STACK_BYTES);
	memset(&run, 0, sizeof(run));
	ex_observe_end();
	ex_world_end();
}
