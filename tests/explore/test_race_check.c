// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data races on marked accesses: told when nothing orders them, in whichever schedule; silent when
 * anything of rt does. And in TSan builds: that TSan sees the same of unmarked ones.
 */
#include "support/t.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "explore/explore.h"
#include "rt/mark.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"
#include "rt/work.h"
#include "rt/wq.h"

static struct explore_result res, plain;

#if defined(__SANITIZE_THREAD__)
enum { TSAN = 1 };
#else
enum { TSAN = 0 };
#endif

struct shared {
	struct rt_mutex m;
	struct rt_spin s;
	struct rt_rwlock rw;
	struct rt_cond c;
	struct rt_event ev;
	struct rt_completion done;
	struct rt_rcu_head head;
	struct rt_work work;
	struct rt_wq *wq;
	rt_u32 flag, other;
	unsigned x, y, goods; /* plain */
	unsigned *heap;
};

static void setup(void *state)
{
	struct shared *s = state;

	rt_mutex_init(&s->m, RANK_NONE);
	rt_spin_init(&s->s, RANK_NONE);
	rt_rwlock_init(&s->rw, RANK_NONE);
	rt_cond_init(&s->c);
	rt_event_init(&s->ev);
	rt_completion_init(&s->done);
	rt_plain_write(s->x, 0); /* comes before everything */
}

static void add_bare(void *state)
{
	struct shared *s = state;

	rt_plain_write(s->x, rt_plain_read(s->x) + 1);
}
static void add_mutex(void *state)
{
	struct shared *s = state;

	rt_mutex_lock(&s->m);
	add_bare(s);
	rt_mutex_unlock(&s->m);
}
static void add_spin(void *state)
{
	struct shared *s = state;

	rt_spin_lock(&s->s);
	add_bare(s);
	rt_spin_unlock(&s->s);
}
static void add_after_unlock(void *state)
{
	struct shared *s = state;

	rt_mutex_lock(&s->m);
	rt_mutex_unlock(&s->m);
	add_bare(s);
}
static void add_write(void *state)
{
	struct shared *s = state;

	rt_write_lock(&s->rw);
	add_bare(s);
	rt_write_unlock(&s->rw);
}
static void look_read(void *state)
{
	struct shared *s = state;

	rt_read_lock(&s->rw);
	(void)rt_plain_read(s->x);
	rt_read_unlock(&s->rw);
}
static void add_read(void *state) /* a write under a shared lock */
{
	struct shared *s = state;

	rt_read_lock(&s->rw);
	add_bare(s);
	rt_read_unlock(&s->rw);
}
static void look(void *state)
{
	struct shared *s = state;

	(void)rt_plain_read(s->x);
}

/* ---- publishing through an atomic ---- */

static void give_release(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_u32_set_release(&s->flag, 1);
}
static void give_relaxed(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_u32_set(&s->flag, 1);
}
static void give_fence(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_fence();
	rt_u32_set(&s->flag, 1);
}
static void give_rmw(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_u32_add_return(&s->flag, 1);
}
static void give_overwritten(void *state) /* a relaxed store ends the release sequence */
{
	struct shared *s = state;

	add_bare(s);
	rt_u32_set_release(&s->flag, 1);
	rt_u32_set(&s->flag, 2);
}
static void give_continued(void *state) /* a relaxed addition does not */
{
	struct shared *s = state;

	add_bare(s);
	rt_u32_set_release(&s->flag, 1);
	rt_u32_add(&s->flag, 1);
}
static void take_acquire(void *state)
{
	struct shared *s = state;

	if (rt_u32_read_acquire(&s->flag))
		add_bare(s);
}
static void take_acquire2(void *state)
{
	struct shared *s = state;

	if (rt_u32_read_acquire(&s->flag) == 2)
		add_bare(s);
}
static void take_relaxed(void *state)
{
	struct shared *s = state;

	if (rt_u32_read(&s->flag))
		add_bare(s);
}
static void take_fence(void *state)
{
	struct shared *s = state;

	if (rt_u32_read(&s->flag)) {
		rt_fence();
		add_bare(s);
	}
}
static void take_cas(void *state)
{
	struct shared *s = state;
	uint32_t old = 1;

	if (rt_u32_cas(&s->flag, &old, 2))
		add_bare(s);
}

/* ---- threads, waiting, RCU, workqueues ---- */

static void parent(void *state)
{
	struct shared *s = state;
	struct rt_thread *t;

	add_bare(s);
	explore_check(rt_thread_start(add_bare, s, "child", &t) == 0);
	rt_thread_join(t);
	add_bare(s);
}
static void parent_early(void *state)
{
	struct shared *s = state;
	struct rt_thread *t;

	explore_check(rt_thread_start(add_bare, s, "child", &t) == 0);
	add_bare(s);
	rt_thread_join(t);
}
static void cond_give(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_mutex_lock(&s->m);
	s->goods = 1;
	rt_cond_signal(&s->c);
	rt_mutex_unlock(&s->m);
}
static void cond_take(void *state)
{
	struct shared *s = state;

	rt_mutex_lock(&s->m);
	while (!s->goods)
		rt_cond_wait(&s->c, &s->m, 0);
	rt_mutex_unlock(&s->m);
	add_bare(s);
}
static void event_give(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_event_signal(&s->ev);
}
static void event_take(void *state)
{
	struct shared *s = state;

	rt_event_wait(&s->ev, 0);
	add_bare(s);
}
static void completion_give(void *state)
{
	struct shared *s = state;

	add_bare(s);
	rt_complete(&s->done);
}
static void completion_take(void *state)
{
	struct shared *s = state;

	rt_completion_wait(&s->done);
	add_bare(s);
}
static void reader(void *state)
{
	struct shared *s = state;

	rt_rcu_read_lock();
	if (!rt_u32_read(&s->flag))
		(void)rt_plain_read(s->x);
	rt_rcu_read_unlock();
}
static void updater_sync(void *state)
{
	struct shared *s = state;

	rt_u32_set(&s->flag, 1);
	rt_rcu_synchronize();
	add_bare(s);
}
static void callback(struct rt_rcu_head *head)
{
	add_bare(container_of(head, struct shared, head));
}
static void updater_call(void *state)
{
	struct shared *s = state;

	rt_u32_set(&s->flag, 1);
	rt_rcu_call(&s->head, callback);
	rt_rcu_barrier();
	add_bare(s);
}
static void updater_poll(void *state)
{
	struct shared *s = state;
	struct rt_rcu_cookie cookie;

	rt_u32_set(&s->flag, 1);
	cookie = rt_rcu_start_poll();
	while (!rt_rcu_poll_state(cookie))
		rt_yield();
	add_bare(s);
}
static void updater_bare(void *state)
{
	struct shared *s = state;

	rt_u32_set(&s->flag, 1);
	add_bare(s);
}
static void work_fn(struct rt_work *work)
{
	add_bare(container_of(work, struct shared, work));
}
static void queue_flush(void *state)
{
	struct shared *s = state;

	explore_check(rt_wq_create("wq", 1, &s->wq) == 0);
	rt_work_init(&s->work, work_fn);
	add_bare(s);
	rt_wq_queue(s->wq, &s->work);
	rt_wq_flush_work(s->wq, &s->work);
	add_bare(s);
	rt_wq_destroy(s->wq);
}
static void queue_no_flush(void *state)
{
	struct shared *s = state;

	explore_check(rt_wq_create("wq", 1, &s->wq) == 0);
	rt_work_init(&s->work, work_fn);
	rt_wq_queue(s->wq, &s->work);
	add_bare(s);
	rt_wq_destroy(s->wq);
}

/* ---- on purpose ---- */

static void add_racy(void *state)
{
	struct shared *s = state;

	rt_racy_write(s->x, rt_racy_read(s->x) + 1);
}
static void add_racy_y(void *state)
{
	struct shared *s = state;

	rt_racy_write(s->y, rt_racy_read(s->y) + 1);
}
static void y_check(void *state)
{
	const struct shared *s = state;

	explore_check(s->y == 2);
}

static void use_heap(void *state)
{
	struct shared *s = state;

	s->heap = rt_zalloc(64);
	rt_free(s->heap);
	(void)rt_plain_read(*s->heap);
}

static const struct row {
	const char *name;
	void (*a)(void *state), (*b)(void *state);
	void (*check)(void *state);
	enum explore_verdict verdict;
} rows[] = {
	{ "bare", add_bare, add_bare, NULL, EXPLORE_RACE },
	{ "reads", look, look, NULL, EXPLORE_OK },
	{ "read-write", look, add_bare, NULL, EXPLORE_RACE },
	{ "mutex", add_mutex, add_mutex, NULL, EXPLORE_OK },
	{ "spin", add_spin, add_spin, NULL, EXPLORE_OK },
	{ "two-locks", add_mutex, add_spin, NULL, EXPLORE_RACE },
	{ "after-unlock", add_mutex, add_after_unlock, NULL, EXPLORE_RACE },
	{ "rwlock", add_write, look_read, NULL, EXPLORE_OK },
	{ "rwlock-shared-write", look_read, add_read, NULL, EXPLORE_RACE },
	{ "release-acquire", give_release, take_acquire, NULL, EXPLORE_OK },
	{ "relaxed-acquire", give_relaxed, take_acquire, NULL, EXPLORE_RACE },
	{ "release-relaxed", give_release, take_relaxed, NULL, EXPLORE_RACE },
	{ "fence-fence", give_fence, take_fence, NULL, EXPLORE_OK },
	{ "fence-relaxed", give_fence, take_relaxed, NULL, EXPLORE_RACE },
	{ "fence-acquire", give_fence, take_acquire, NULL, EXPLORE_OK },
	{ "release-fence", give_release, take_fence, NULL, EXPLORE_OK },
	{ "rmw-cas", give_rmw, take_cas, NULL, EXPLORE_OK },
	{ "overwritten", give_overwritten, take_acquire2, NULL, EXPLORE_RACE },
	{ "continued", give_continued, take_acquire2, NULL, EXPLORE_OK },
	{ "start-join", parent, NULL, NULL, EXPLORE_OK },
	{ "start-no-join", parent_early, NULL, NULL, EXPLORE_RACE },
	{ "cond", cond_give, cond_take, NULL, EXPLORE_OK },
	{ "event", event_give, event_take, NULL, EXPLORE_OK },
	{ "completion", completion_give, completion_take, NULL, EXPLORE_OK },
	{ "rcu-sync", updater_sync, reader, NULL, EXPLORE_OK },
	{ "rcu-call", updater_call, reader, NULL, EXPLORE_OK },
	{ "rcu-poll", updater_poll, reader, NULL, EXPLORE_OK },
	{ "rcu-none", updater_bare, reader, NULL, EXPLORE_RACE },
	{ "queue-flush", queue_flush, NULL, NULL, EXPLORE_OK },
	{ "queue-no-flush", queue_no_flush, NULL, NULL, EXPLORE_RACE },
	{ "racy", add_racy, add_racy, NULL, EXPLORE_OK },
	{ "racy-plain", add_racy, look, NULL, EXPLORE_RACE },
	{ "racy-lossy", add_racy_y, add_racy_y, y_check, EXPLORE_FAIL },
	{ "use-after-free", use_heap, NULL, NULL, EXPLORE_UAF },
};

static struct explore_scenario scenario(const struct row *r)
{
	return (struct explore_scenario){ .name = r->name,
					  .state_bytes = sizeof(struct shared),
					  .setup = setup,
					  .thread_nr = r->b ? 2 : 1,
					  .threads = { { NULL, r->a }, { NULL, r->b } },
					  .check = r->check };
}

/* Goal: a race is told with both places, what orders accesses is known. Method: row _i, searched to
 * two preemptions; a plain race needs no second schedule; the token repeats it. */
START_TEST(races_are_told)
{
	const struct row *r = &rows[_i];
	struct explore_scenario s = scenario(r);
	struct explore_options opt = { .strategy = EXPLORE_DFS, .bound = 2, .max_steps = 2000 };
	char token[EXPLORE_TOKEN_BYTES];

	if (TSAN && (r->verdict == EXPLORE_RACE || strstr(r->name, "fence")))
		return; /* it says so itself; it knows no fences */
	explore_run(&s, &opt, &res);
	ck_assert_msg(res.verdict == r->verdict, "%s: %s: %s", r->name,
		      explore_verdict_name(res.verdict), res.text);
	if (r->verdict == EXPLORE_OK)
		ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
	if (r->verdict != EXPLORE_RACE)
		return;
	ck_assert_ptr_nonnull(
		strstr(strstr(res.text, "test_race_check.c:") + 1, "test_race_check.c:"));
	memcpy(token, res.token, sizeof(token));
	opt = (struct explore_options){ .strategy = EXPLORE_REPLAY, .token = token };
	explore_run(&s, &opt, &res);
	ck_assert_int_eq(res.verdict, EXPLORE_RACE);
	if (strcmp(r->name, "bare") == 0 || strcmp(r->name, "two-locks") == 0)
		ck_assert_uint_eq(res.schedules, 1);
}
END_TEST

/* ---- starting over ---- */

static bool marked;

static void rarely(void *state)
{
	struct shared *s = state;
	uint32_t seen = rt_u32_read(&s->flag);

	rt_u32_set(&s->flag, seen + 1);
	if (seen && marked) /* first seen in the middle of a search */
		(void)rt_plain_read(s->y);
	rt_u32_add(&s->other, explore_choose(2));
}

static void bare_setup(void *state)
{
	(void)state;
}

/* Goal: an execution that starts over, because its first mark was met, is the same execution.
 * Method: counts and sets of each search with and without a mark that is met late. */
START_TEST(starting_over_changes_nothing)
{
	struct explore_scenario s = { .name = "rarely",
				      .state_bytes = sizeof(struct shared),
				      .setup = bare_setup,
				      .thread_nr = 2,
				      .threads = { { NULL, rarely }, { NULL, rarely } } };

	for (enum explore_strategy by = EXPLORE_RANDOM; by <= EXPLORE_DPOR; by++) {
		struct explore_options opt = { .strategy = by,
					       .bound = -1,
					       .no_cache = true,
					       .schedules = 3000,
					       .go_on = true };

		marked = false;
		explore_run(&s, &opt, &plain);
		marked = true;
		explore_run(&s, &opt, &res);
		ck_assert_uint_eq(res.schedules, plain.schedules);
		ck_assert_uint_eq(res.trace_sum, plain.trace_sum);
		ck_assert_uint_eq(res.steps, plain.steps);
		ck_assert_uint_eq(res.cut, plain.cut);
		ck_assert_int_eq(res.verdict, EXPLORE_OK);
	}
}
END_TEST

/* ---- the wide net ---- */

static void unmarked(void *state)
{
	struct shared *s = state;

	explore_point();
	s->goods++;
}

static void unmarked_locked(void *state)
{
	struct shared *s = state;

	rt_mutex_lock(&s->m);
	s->goods++;
	rt_mutex_unlock(&s->m);
}

enum { TURNS = 12 }; /* more stores than an atomic keeps when it is weak */

static void exchange_lock(struct shared *s, bool release)
{
	for (unsigned i = 0; i < TURNS; i++) {
		if (rt_u32_xchg(&s->flag, 1))
			continue;
		s->goods++;
		if (release)
			rt_u32_set_release(&s->flag, 0);
		else
			rt_u32_set(&s->flag, 0);
	}
}

static void unmarked_exchange(void *state)
{
	exchange_lock(state, true);
}

static void unmarked_relaxed(void *state)
{
	exchange_lock(state, false);
}

static void unmarked_cas(void *state)
{
	struct shared *s = state;
	uint32_t old = 0;

	if (!rt_u32_cas(&s->flag, &old, 1))
		return;
	s->goods++;
	rt_u32_set_release(&s->flag, 2);
}

/* Who comes second, by what it reads or by a cas that fails. */
static void unmarked_reader(void *state)
{
	struct shared *s = state;
	uint32_t old = 0;

	if (rt_u32_read_acquire(&s->flag) == 2 ||
	    (!rt_u32_cas(&s->flag, &old, 3) && old == 2))
		s->goods++;
}

static const struct seen {
	const char *name;
	void (*a)(void *state), (*b)(void *state);
	bool race;
} seen[] = {
	{ "nothing", unmarked, unmarked, true },
	{ "mutex", unmarked_locked, unmarked_locked, false },
	{ "exchange", unmarked_exchange, unmarked_exchange, false },
	{ "exchange, no release", unmarked_relaxed, unmarked_relaxed, true },
	{ "cas and acquire", unmarked_cas, unmarked_reader, false },
};

/* The exit status of a child that runs some schedules of @r. */
static int child_status(const struct seen *r, bool weak)
{
	struct explore_scenario s = { .name = r->name,
				      .state_bytes = sizeof(struct shared),
				      .setup = setup,
				      .thread_nr = 2,
				      .threads = { { NULL, r->a }, { NULL, r->b } } };
	struct explore_options opt = { .strategy = EXPLORE_RANDOM,
				       .schedules = 200,
				       .weak = weak };
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		explore_run(&s, &opt, &res);
		_exit(res.outcome == EXPLORE_FOUND);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Goal: TSan tells a race of two simulated threads, and is silent when something orders them; with
 * weak atomics too. Method: row _i / 2; how TSan ends the process. */
START_TEST(tsan_sees_simulated_threads)
{
	const struct seen *r = &seen[_i / 2];

	if (!TSAN) {
		printf("skipped: not a TSan build\n");
		return;
	}
	ck_assert_msg(child_status(r, _i % 2) == (r->race ? 66 : 0), "%s%s: %s", r->name,
		      _i % 2 ? ", weak" : "", r->race ? "no report" : "a report");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("race-check");
	TCase *tc = tcase_create("race-check");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, races_are_told, 0, (int)MBFS_ARRAY_SIZE(rows));
	tcase_add_test(tc, starting_over_changes_nothing);
	tcase_add_loop_test(tc, tsan_sees_simulated_threads, 0, 2 * (int)MBFS_ARRAY_SIZE(seen));
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
