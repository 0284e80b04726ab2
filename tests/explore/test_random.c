// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random small programs of two to four threads: locks, trylocks, atomics, event counts. Goal: every
 * search finds the same classes and the same failing classes as the plain search of all schedules.
 * Method: MBFS_RANDOM_PROGRAMS programs (400), seed printed. Reductions of searches are easy to get
 * wrong in a way that no scenario written by hand shows: DPOR lost iriw's fifteenth class.
 */
#include "support/t.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "explore/explore.h"
#include "rt/sync.h"

enum { OPS_MAX = 4, VARS = 3, LOCKS = 2, SCHEDULES_MAX = 60000 };
enum op { OP_READ, OP_SET, OP_ADD, OP_CAS, OP_LOCK, OP_UNLOCK, OP_TRY, OP_SIGNAL, OP_WAIT, OP_NR };

struct program {
	unsigned threads, nr[4];
	struct {
		uint8_t op, on;
	} ops[4][OPS_MAX * 2];
};

struct state {
	rt_u32 x[VARS];
	struct rt_mutex m[LOCKS];
	struct rt_event ev;
	uint32_t sum;
};

static void add(struct program *p, unsigned t, enum op op, unsigned on)
{
	p->ops[t][p->nr[t]].op = (uint8_t)op;
	p->ops[t][p->nr[t]++].on = (uint8_t)on;
}

/* Locks nest and are given back; what waits for an event has taken its key before. */
static void program_make(struct program *p, struct rt_rand *r)
{
	memset(p, 0, sizeof(*p));
	p->threads = 2 + (unsigned)rt_rand_below(r, 3);
	for (unsigned t = 0; t < p->threads; t++) {
		unsigned held[LOCKS], held_nr = 0;
		unsigned nr = 1 + (unsigned)rt_rand_below(r, p->threads == 2 ? OPS_MAX : 3);

		for (unsigned i = 0; i < nr; i++) {
			enum op op = (enum op)rt_rand_below(r, OP_NR);
			unsigned on = (unsigned)rt_rand_below(r, op < OP_LOCK ? VARS : LOCKS);

			if (op == OP_LOCK) {
				bool mine = false;

				for (unsigned k = 0; k < held_nr; k++)
					mine |= held[k] == on;
				if (mine)
					continue;
				held[held_nr++] = on;
			} else if (op == OP_UNLOCK) {
				if (!held_nr)
					continue;
				on = held[--held_nr];
			}
			add(p, t, op, on);
		}
		while (held_nr)
			add(p, t, OP_UNLOCK, held[--held_nr]);
	}
}

static void setup(void *state)
{
	struct state *s = state;

	for (unsigned i = 0; i < LOCKS; i++)
		rt_mutex_init(&s->m[i], RANK_NONE);
	rt_event_init(&s->ev);
}

static void user(void *state)
{
	const struct program *p = explore_arg();
	struct state *s = state;
	unsigned me = explore_thread();
	uint32_t old = 0, key = 0;

	for (unsigned i = 0; i < p->nr[me]; i++) {
		unsigned on = p->ops[me][i].on;

		switch ((enum op)p->ops[me][i].op) {
		case OP_READ:
			old = rt_u32_read(&s->x[on]);
			break;
		case OP_SET:
			rt_u32_set(&s->x[on], me + 1);
			break;
		case OP_ADD:
			rt_u32_add(&s->x[on], 1);
			break;
		case OP_CAS:
			rt_u32_cas(&s->x[on], &old, me + 5);
			break;
		case OP_LOCK:
			rt_mutex_lock(&s->m[on]);
			break;
		case OP_UNLOCK:
			rt_mutex_unlock(&s->m[on]);
			break;
		case OP_TRY:
			if (rt_mutex_trylock(&s->m[on]))
				rt_mutex_unlock(&s->m[on]);
			break;
		case OP_SIGNAL:
			rt_event_signal(&s->ev);
			break;
		case OP_WAIT:
		default:
			if (on)
				key = rt_event_key(&s->ev);
			else
				rt_event_wait(&s->ev, key);
		}
	}
}

/* Fails for some orders: what is left in the variables decides. */
static void check(void *state)
{
	struct state *s = state;
	uint32_t sum = 0;

	for (unsigned i = 0; i < VARS; i++)
		sum = sum * 7 + rt_u32_read(&s->x[i]);
	if (sum % 5 == 3)
		explore_fail("sum");
	for (unsigned i = 0; i < LOCKS; i++)
		rt_mutex_destroy(&s->m[i]);
}

static void print_program(const struct program *p)
{
	static const char *const names[OP_NR] = { "read", "set",   "add",    "cas", "lock",
						  "unlock", "try", "signal", "wait" };

	for (unsigned t = 0; t < p->threads; t++) {
		printf("  %c:", 'A' + (int)t);
		for (unsigned i = 0; i < p->nr[t]; i++)
			printf(" %s%u", names[p->ops[t][i].op], p->ops[t][i].on);
		putchar('\n');
	}
}

static struct explore_result full, res;

static bool agree(const struct explore_scenario *s, const struct explore_options *opt,
		  const char *how)
{
	explore_run(s, opt, &res);
	if (res.traces == full.traces && res.trace_sum == full.trace_sum &&
	    res.failing_sum == full.failing_sum && res.outcome == full.outcome)
		return true;
	printf("%s: %" PRIu64 " classes, %" PRIu64 " fail; all schedules: %" PRIu64 ", %" PRIu64
	       "\n",
	       how, res.traces, res.failing, full.traces, full.failing);
	print_program(s->arg);
	return false;
}

START_TEST(random_programs)
{
	const char *seed = getenv("MBFS_TEST_SEED");
	struct rt_rand r = { seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) };
	const char *text = getenv("MBFS_RANDOM_PROGRAMS");
	unsigned nr = text ? (unsigned)atoi(text) : 400, done = 0, failing = 0;
	struct program p;
	struct explore_scenario s = { .name = "random",
				      .state_bytes = sizeof(struct state),
				      .arg = &p,
				      .setup = setup,
				      .check = check };

	printf("repeat with MBFS_TEST_SEED=%" PRIu64 "\n", r.state);
	for (unsigned i = 0; i < nr; i++) {
		struct explore_options opt = { .strategy = EXPLORE_DFS,
					       .bound = -1,
					       .no_cache = true,
					       .no_local = true,
					       .no_lock_order = true,
					       .go_on = true,
					       .schedules = SCHEDULES_MAX };

		program_make(&p, &r);
		s.thread_nr = p.threads;
		for (unsigned t = 0; t < p.threads; t++)
			s.threads[t].fn = user;
		explore_run(&s, &opt, &full);
		if (full.schedules >= SCHEDULES_MAX)
			continue;
		done++;
		failing += full.failing > 0;
		opt.no_cache = opt.no_local = false;
		ck_assert(agree(&s, &opt, "cache and local"));
		opt.strategy = EXPLORE_SLEEP;
		ck_assert(agree(&s, &opt, "sleep sets"));
		opt.strategy = EXPLORE_DPOR;
		ck_assert(agree(&s, &opt, "dpor"));
	}
	printf("%u programs, %u of them fail in some order\n", done, failing);
	ck_assert_uint_ge(done, nr / 2);
}
END_TEST

/* Goal: this test sees what is missing. Method: each rule of dpor left out; always the same
 * programs. */
START_TEST(each_rule_matters)
{
	static const enum explore_rule rules[] = { RULE_SCAN_PENDING, RULE_SCAN_POSTED,
						   RULE_SCAN_AGAIN, RULE_SLEEP_WAKE };
	struct rt_rand r = { 7 };
	struct program p;
	struct explore_scenario s = { .name = "random",
				      .state_bytes = sizeof(struct state),
				      .arg = &p,
				      .setup = setup,
				      .check = check };

	for (unsigned i = 0; i < 20000; i++) {
		struct explore_options opt = { .strategy = EXPLORE_DPOR,
					       .no_lock_order = true,
					       .go_on = true,
					       .schedules = 5000 };

		program_make(&p, &r);
		s.thread_nr = p.threads;
		for (unsigned t = 0; t < p.threads; t++)
			s.threads[t].fn = user;
		explore_run(&s, &opt, &full);
		opt.drop_rule = rules[_i];
		explore_run(&s, &opt, &res);
		if (res.traces != full.traces || res.failing != full.failing)
			return;
	}
	ck_abort_msg("rule %d can be left out unseen", rules[_i]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("random");
	TCase *tc = tcase_create("random");

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, random_programs);
	tcase_add_loop_test(tc, each_rule_matters, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
