// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is told of a failure: columns, values along the way, where threads stand in a deadlock, the
 * round of a livelock. With an argument, a directory: writes all pictures of all failing toys and
 * of the scenarios below into it, for test_pictures.py to look at.
 */
#include "support/t.h"

#include <string.h>

#include "base/check.h"
#include "explore/scenarios.h"
#include "rt/mem.h"
#include "rt/rcu.h"

static struct explore_result res;
static char picture[1 << 22];

static const char *draw(int (*fn)(FILE *out, const struct explore_result *r))
{
	FILE *f = fmemopen(picture, sizeof(picture), "w");

	ck_assert_int_eq(fn(f, &res), 0);
	fclose(f);
	return picture;
}

static unsigned lines_of(const char *text)
{
	unsigned nr = 0;

	for (; *text; text++)
		nr += *text == '\n';
	return nr;
}

static void run(const struct explore_scenario *s, int bound)
{
	struct explore_options opt = { .strategy = EXPLORE_DFS,
				       .bound = bound,
				       .no_lock_order = true };

	explore_run(s, &opt, &res);
	ck_assert_msg(res.outcome == EXPLORE_FOUND, "%s: nothing found", s->name);
}

/* ---- a scenario with values ---- */

struct shelf {
	struct rt_mutex lock;
	rt_u32 seen;
	unsigned books, readers; /* plain [lock] */
	unsigned looks;          /* of the observer */
	const int *wild;
};

static unsigned observed; /* calls of an observer, all runs */

static void shelf_setup(void *state)
{
	struct shelf *s = state;

	rt_mutex_init(&s->lock, RANK_NONE);
	s->books = 3;
}

static void shelf_take(void *state)
{
	struct shelf *s = state;
	uint32_t was;

	rt_mutex_lock(&s->lock);
	s->books--;
	rt_u32_add(&s->seen, 1);
	rt_mutex_unlock(&s->lock);
	was = rt_u32_read(&s->seen);
	rt_u32_set(&s->seen, was + 10);
	if (was == 2)
		explore_fail("one saw the other: <b>\"%u\" & more</b>", was);
}

static void shelf_observe(void *state, struct explore_obs *obs)
{
	struct shelf *s = state;

	observed++;
	rt_mutex_lock(&s->lock); /* held by others: must not wait, must not be taken */
	explore_show_number(obs, "books", "bk", s->books);
	explore_show_number(obs, "seen, <i>\"by\"</i> 'all' & \\ </script>", NULL,
			    rt_u32_read(&s->seen));
	if (s->books < 3)
		explore_show_text(obs, "shelf", NULL, "left %u, gaps %u; dusty", s->books,
				  3 - s->books);
	rt_mutex_unlock(&s->lock);
}

static const struct explore_scenario shelf = {
	.name = "shelf",
	.state_bytes = sizeof(struct shelf),
	.setup = shelf_setup,
	.thread_nr = 2,
	.threads = { { "<A>&\"'", shelf_take }, { "B</script>", shelf_take } },
	.observe = shelf_observe,
};

/*
 * Goal: values are told of the run that is recorded, after each event, and only then.
 * Method: a counter in the observer; the changes against what the threads do.
 */
START_TEST(values_are_told)
{
	const struct explore_change *last = NULL;
	unsigned schedules;

	observed = 0;
	run(&shelf, 1);
	schedules = (unsigned)res.schedules;
	ck_assert_uint_gt(schedules, 1);
	/* before each event, and in the end */
	ck_assert_uint_eq(observed, res.event_nr + 1);
	ck_assert_uint_eq(res.value_nr, 3);
	ck_assert_str_eq(res.values[0].name, "books");
	ck_assert_str_eq(res.values[0].brief, "bk");
	for (uint32_t c = 0; c < res.change_nr; c++) {
		const struct explore_change *ch = &res.changes[c];

		ck_assert_uint_le(ch->after, res.event_nr);
		ck_assert(c == 0 || ch->after >= res.changes[c - 1].after);
		if (ch->value != 0)
			continue;
		ck_assert(ch->is_number);
		if (!last)
			ck_assert(ch->number == 3 && ch->after == 0);
		else
			ck_assert_int_eq(ch->number, last->number - 1);
		/* it fell when its lock was taken: plain code after that event */
		if (last)
			ck_assert_str_eq(explore_kind_name(res.events[ch->after - 1].kind), "lock");
		last = ch;
	}
	ck_assert(last && last->number < 3);
}
END_TEST

static void shelf_observe_wildly(void *state, struct explore_obs *obs)
{
	struct shelf *s = state;

	if (rt_u32_read(&s->seen) == 1 && explore_arg())
		MBFS_ASSERT(!"the observer's own");
	if (rt_u32_read(&s->seen) == 1)
		explore_show_number(obs, "wild", NULL, *s->wild);
	explore_show_number(obs, "books", "bk", s->books);
}

/*
 * Goal: an observer that crashes changes no verdict.
 * Method: half-way it asserts what is false, or reads address 0.
 */
START_TEST(observer_may_crash)
{
	struct explore_scenario s = shelf;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	if (_i == 0)
		return; /* they report it themselves */
#endif
	s.arg = _i ? &s : NULL;
	s.observe = shelf_observe_wildly;
	run(&s, 1);
	ck_assert_int_eq(res.verdict, EXPLORE_FAIL);
	ck_assert_uint_ge(res.change_nr, 1);
	draw(explore_draw_columns);
	run(&shelf, 1); /* and the next is told as ever */
	ck_assert_uint_eq(res.value_nr, 3);
}
END_TEST

static void broken_setup(void *state)
{
	(void)state;
	explore_fail("nothing to begin with");
}

/* Goal: what failed before its first step can be drawn. Method: a set-up that fails. */
START_TEST(nothing_can_be_drawn)
{
	struct explore_scenario s = shelf;

	s.setup = broken_setup;
	run(&s, 1);
	ck_assert_uint_eq(res.event_nr, 0);
	ck_assert_ptr_nonnull(strstr(draw(explore_draw_columns), "nothing to begin with"));
	ck_assert_ptr_nonnull(strstr(draw(explore_draw_html), "nothing to begin with"));
	ck_assert_ptr_nonnull(strstr(draw(explore_draw_svg), "nothing to begin with"));
	ck_assert_ptr_nonnull(strstr(draw(explore_draw_trace), "nothing to begin with"));
}
END_TEST

/* Goal: the columns are what a kernel developer draws. Method: a token, and a golden text but for
 * the line numbers. */
START_TEST(columns_of_a_lost_update)
{
	static const char want[] = "A (cpu0)      B (cpu1)\n"
				   "------------  ------------\n"
				   "w->a == 0                   \n"
				   "             !w->a == 0     \n"
				   "              w->a = 1      \n"
				   "w->a = 1                    \n"
				   "=> ";
	char got[sizeof(want) + 400] = "", token[100];
	struct explore_options opt = { .strategy = EXPLORE_REPLAY, .token = token };
	size_t at = 0;

	snprintf(token, sizeof(token), "mbx1:%s:%s:lossy::0:1B", MBFS_VERSION, MBFS_COMMIT);
	ck_assert_int_eq(explore_run(&toy_find("lossy")->s, &opt, &res), EXPLORE_FOUND);
	draw(explore_draw_columns);
	for (char *line = strtok(picture, "\n"); line; line = strtok(NULL, "\n")) {
		char *where = strstr(line, "scenarios.c:");
		size_t n = strncmp(line, "=>", 2) == 0 ? 3
			   : where                     ? (size_t)(where - line)
						       : strlen(line);

		at += (size_t)snprintf(got + at, sizeof(got) - at, "%.*s%s", (int)n, line,
				       n == 3 ? "" : "\n");
	}
	ck_assert_str_eq(got, want);
}
END_TEST

/* ---- deadlock ---- */

struct two {
	struct rt_mutex left, right;
	unsigned chains; /* plain [right] */
};

static void two_setup(void *state)
{
	struct two *t = state;

	rt_mutex_init(&t->left, RANK_NONE);
	rt_mutex_init(&t->right, RANK_NONE);
}

__attribute__((noinline)) static void inner_takes_right(struct two *t)
{
	rt_mutex_lock(&t->right);
	rt_mutex_unlock(&t->right);
	__asm__ volatile(""); /* no tail call */
}

__attribute__((noinline)) static void inner_takes_left(struct two *t)
{
	rt_mutex_lock(&t->left);
	rt_mutex_unlock(&t->left);
	__asm__ volatile("");
}

static void left_first(void *state)
{
	struct two *t = state;

	rt_mutex_lock(&t->left);
	inner_takes_right(t);
	rt_mutex_unlock(&t->left);
}

static void right_first(void *state)
{
	struct two *t = state;

	rt_mutex_lock(&t->right);
	inner_takes_left(t);
	rt_mutex_unlock(&t->right);
}

static const struct explore_scenario two = {
	.name = "two",
	.state_bytes = sizeof(struct two),
	.setup = two_setup,
	.thread_nr = 2,
	.threads = { { NULL, left_first }, { NULL, right_first } },
};

/*
 * Goal: a deadlock is told with the cycle, the locks' names, who holds what since which line, and
 * the callers of both threads. Method: two locks in two orders.
 */
START_TEST(deadlock_is_told)
{
	static const char *const parts[] = {
		"wait-for cycle: A -> B -> A\n",
		"A waits: lock t->right at explore/test_pictures.c:",
		", held by B since explore/test_pictures.c:",
		"    holds t->left since explore/test_pictures.c:",
		"(left_first)",
		"B waits: lock t->left at ",
		"    holds t->right since ",
		"    in inner_takes_right < left_first\n",
		"    in inner_takes_left < right_first\n",
	};

	run(&two, 1);
	ck_assert_int_eq(res.verdict, EXPLORE_DEADLOCK);
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(parts); i++)
		ck_assert_msg(strstr(res.detail, parts[i]), "no '%s' in:\n%s", parts[i],
			      res.detail);
	draw(explore_draw_columns);
	ck_assert_ptr_nonnull(strstr(picture, "waits: lock(t->right), held by B"));
	ck_assert_ptr_nonnull(strstr(picture, "waits: lock(t->left), held by A"));
	ck_assert_ptr_nonnull(strstr(picture, "wait-for cycle: "));
}
END_TEST

/* ---- livelock ---- */

static void polite(void *state)
{
	struct shelf *s = state;

	for (unsigned i = 0; i < 3; i++)
		rt_u32_add(&s->seen, 1);
	while (rt_u32_read(&s->seen) < 100) {
		rt_mutex_lock(&s->lock);
		rt_mutex_unlock(&s->lock);
		rt_yield();
	}
}

static const struct explore_scenario endless = {
	.name = "endless",
	.state_bytes = sizeof(struct shelf),
	.setup = shelf_setup,
	.thread_nr = 2,
	.threads = { { NULL, polite }, { NULL, polite } },
};

/*
 * Goal: a livelock's round is told once, however long it went on. Method: two threads that wait for
 * each other by yielding; what is drawn is short.
 */
START_TEST(livelock_is_told_once)
{
	unsigned rounds = 0, steps = 0;
	const char *at;

	run(&endless, 0);
	ck_assert_int_eq(res.verdict, EXPLORE_LIVELOCK);
	ck_assert_uint_gt(res.event_nr, 10000);
	draw(explore_draw_columns);
	at = strstr(picture, "-- from here again and again, ");
	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(sscanf(at, "-- from here again and again, %u steps a round, %u rounds",
				&steps, &rounds),
			 2);
	ck_assert_uint_eq(steps, 8); /* read, lock, unlock, yield, of both */
	ck_assert_uint_gt(rounds, 1000);
	ck_assert_uint_lt(lines_of(picture), 35);
	ck_assert_uint_lt(strlen(draw(explore_draw_html)), 60000);
}
END_TEST

/* ---- samples ---- */

/* Hand over hand: sections that overlap and do not nest. */
static void chain(void *state)
{
	struct two *t = state;

	rt_mutex_lock(&t->left);
	rt_mutex_lock(&t->right);
	rt_mutex_unlock(&t->left);
	if (++t->chains == 2)
		explore_fail("both went through");
	rt_mutex_unlock(&t->right);
	rt_mutex_lock(&t->left);
	rt_mutex_unlock(&t->left);
}

static const struct explore_scenario chains = {
	.name = "chains",
	.state_bytes = sizeof(struct two),
	.setup = two_setup,
	.thread_nr = 2,
	.threads = { { NULL, chain }, { NULL, chain } },
};

struct longer {
	struct rt_spin lock;
	rt_u32 turns;
	unsigned nr;
	struct shelf *old;
	struct rt_rcu_head rcu;
};

static void longer_setup(void *state)
{
	struct longer *l = state;

	rt_spin_init(&l->lock, RANK_NONE);
}

static void callback(struct rt_rcu_head *head)
{
	(void)head;
}

static void longer_turns(void *state)
{
	struct longer *l = state;

	for (unsigned i = 0; i < 40; i++) {
		rt_spin_lock(&l->lock);
		l->nr++;
		rt_u32_add(&l->turns, 1);
		rt_spin_unlock(&l->lock);
		if (rt_u32_read(&l->turns) > 100)
			explore_fail("a hundred turns");
		if (i == 20 && explore_thread() == 0)
			rt_rcu_call(&l->rcu, callback);
	}
}

static void longer_observe(void *state, struct explore_obs *obs)
{
	struct longer *l = state;

	explore_show_number(obs, "turns taken under the lock", "turns", l->nr);
}

static const struct explore_scenario longer = {
	.name = "long",
	.state_bytes = sizeof(struct longer),
	.setup = longer_setup,
	.thread_nr = 3,
	.threads = { { "first", longer_turns },
		     { "second", longer_turns },
		     { "third", longer_turns } },
	.observe = longer_observe,
};

static int sample(const char *dir, const struct explore_scenario *s,
		  const struct explore_options *opt)
{
	static const struct {
		const char *ext;
		int (*fn)(FILE *out, const struct explore_result *r);
	} kinds[] = { { "txt", explore_draw_columns },
		      { "html", explore_draw_html },
		      { "svg", explore_draw_svg },
		      { "json", explore_draw_trace } };

	explore_run(s, opt, &res);
	if (res.outcome != EXPLORE_FOUND) {
		fprintf(stderr, "%s: nothing found\n", s->name);
		return 1;
	}
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(kinds); i++) {
		char path[400];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s.%s", dir, s->name, kinds[i].ext);
		f = fopen(path, "we");
		if (!f || kinds[i].fn(f, &res) || fclose(f)) {
			perror(path);
			return 1;
		}
	}
	return 0;
}

static int samples(const char *dir)
{
	const struct explore_scenario *own[] = { &shelf, &two, &chains, &endless, &longer };
	struct explore_options opt = { .strategy = EXPLORE_DFS, .bound = 2 };
	int err = 0;

	for (size_t i = 0; i < MBFS_ARRAY_SIZE(own) && !err; i++) {
		opt.strategy = own[i] == &longer ? EXPLORE_RANDOM : EXPLORE_DFS;
		opt.no_minimise = own[i] == &longer;
		opt.seed = 5;
		err = sample(dir, own[i], &opt);
	}
	opt = (struct explore_options){ .strategy = EXPLORE_DFS, .bound = 2 };
	for (unsigned i = 0; i < toy_nr && !err; i++)
		if (toys[i].verdict != EXPLORE_OK)
			err = sample(dir, &toys[i].s, &opt);
	return err;
}

static Suite *suite(void)
{
	Suite *s = suite_create("pictures");
	TCase *tc = tcase_create("pictures");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, values_are_told);
	tcase_add_loop_test(tc, observer_may_crash, 0, 2);
	tcase_add_test(tc, nothing_can_be_drawn);
	tcase_add_test(tc, columns_of_a_lost_update);
	tcase_add_test(tc, deadlock_is_told);
	tcase_add_test(tc, livelock_is_told_once);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	if (argc == 2)
		return samples(argv[1]);
	runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
