// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: byte-range locks under every schedule of two or three threads: those that conflict exclude,
 * no wake-up is lost, a cancelled waiter leaves nothing behind, and nobody touches a lock or a
 * cancel that is gone. Method: small scenarios, searched to the end with two threads, to a bound of
 * preemptions with three. Bytes know who is in them; locks and cancels are freed at once.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "explore/explore.h"
#include "extent/io_tree_priv.h"
#include "rt/mark.h"
#include "rt/mem.h"

/* Byte i of the scenarios is the i-th last of the first region, or the first of the next. */
enum { BYTES = 10, MIB = 1 << IO_REGION_BITS, FIRST = MIB - 5 };

struct space {
	struct io_env env;
	struct io_tree *t;
	rt_u32 owner[BYTES]; /* of each byte: writers << 8, and readers */
	uint64_t sum;        /* plain: marked accesses, under locks of byte 4 */
	rt_u32 writes, held;
	struct rt_event ev;
	struct io_cancel *cancel;
};

static void setup(void *state)
{
	struct space *x = state;

	x->t = rt_zalloc_aligned(64, sizeof(*x->t));
	x->cancel = rt_zalloc(sizeof(*x->cancel));
	explore_check(x->t && x->cancel);
	io_tree_init(x->t, &x->env, RANK_FS_WRITER);
	rt_event_init(&x->ev);
	io_cancel_init(x->cancel);
}

static void setup_whole(void *state)
{
	setup(state);
	((struct space *)state)->env.whole = true;
}

static void check(void *state)
{
	struct space *x = state;
	struct mbfs_diag diag = { "" };

	for (unsigned i = 0; i < BYTES; i++)
		explore_check(rt_u32_read(&x->owner[i]) == 0);
	explore_check(x->sum == rt_u32_read(&x->writes));
	if (io_tree_check(x->t, &diag))
		explore_fail("%s", diag.text);
	io_tree_destroy(x->t); /* asserts that nothing is linked */
	rt_free(x->t);
	rt_free(x->cancel);
}

/* Holds its bytes, and says so: nobody else may write them, nor read what it writes. */
static void hold(struct space *x, unsigned first, unsigned end, enum io_lock_mode mode)
{
	const uint32_t mine = mode == IO_EXCLUSIVE ? 1 << 8 : 1;

	for (unsigned i = first; i < end; i++) {
		uint32_t now = rt_u32_add_return(&x->owner[i], mine);

		explore_check(mode == IO_EXCLUSIVE ? now == mine : now >> 8 == 0);
	}
	if (mode == IO_EXCLUSIVE && first <= 4 && end > 4) {
		rt_plain_write(x->sum, rt_plain_read(x->sum) + 1);
		rt_u32_add(&x->writes, 1);
	}
	for (unsigned i = first; i < end; i++)
		rt_u32_add_return(&x->owner[i], -mine);
}

static void use(struct space *x, unsigned first, unsigned end, enum io_lock_mode mode)
{
	struct io_lock *l = rt_zalloc(sizeof(*l));

	explore_check(l);
	io_tree_lock_range(x->t, l, FIRST + first, FIRST + end, mode);
	hold(x, first, end, mode);
	io_tree_unlock_range(x->t, l);
	rt_free(l);
}

#define USE(name, first, end, mode)           \
	static void name(void *state)         \
	{                                     \
		use(state, first, end, mode); \
	}
USE(write_low, 3, 5, IO_EXCLUSIVE)   /* narrow, in the first region */
USE(write_high, 5, 7, IO_EXCLUSIVE)  /* narrow, in the second */
USE(write_wide, 4, 6, IO_EXCLUSIVE)  /* of both, overlaps all */
USE(write_wide2, 3, 7, IO_EXCLUSIVE) /* another of that */
USE(read_low, 4, 5, IO_SHARED)
USE(read_wide, 3, 6, IO_SHARED)

/* Each holds its own bytes until the other is there too. */
static void meet(struct space *x, unsigned first, unsigned end, enum io_lock_mode mode)
{
	struct io_lock l;
	uint32_t key;

	io_tree_lock_range(x->t, &l, FIRST + first, FIRST + end, mode);
	rt_u32_add_return(&x->held, 1);
	rt_event_signal(&x->ev);
	for (;;) {
		key = rt_event_key(&x->ev);
		if (rt_u32_read_acquire(&x->held) >= 2)
			break;
		rt_event_wait(&x->ev, key);
	}
	io_tree_unlock_range(x->t, &l);
}

static void meet_low(void *state)
{
	meet(state, 0, 3, IO_EXCLUSIVE);
}

static void meet_wide(void *state)
{
	meet(state, 3, 9, IO_EXCLUSIVE);
}

static void meet_shared_low(void *state)
{
	meet(state, 1, 5, IO_SHARED);
}

static void meet_shared_wide(void *state)
{
	meet(state, 3, 6, IO_SHARED);
}

/* What is free is got, what is not is refused, and a refused lock is not linked. */
static void try_wide(void *state)
{
	struct space *x = state;
	struct io_lock *l = rt_zalloc(sizeof(*l));

	explore_check(l);
	if (io_tree_try_lock_range(x->t, l, FIRST + 3, FIRST + 6, IO_EXCLUSIVE)) {
		hold(x, 3, 6, IO_EXCLUSIVE);
		io_tree_unlock_range(x->t, l);
	}
	rt_free(l);
}

/* Until all writers of its bytes that it found have gone: it sees what they wrote. */
static void wait_low(void *state)
{
	explore_check(io_tree_wait_range(((struct space *)state)->t, FIRST + 4, FIRST + 5, NULL) >=
		      0);
}

static void wait_wide(void *state)
{
	explore_check(io_tree_wait_range(((struct space *)state)->t, FIRST, FIRST + 10, NULL) >= 0);
}

/* Holds, and only then waits for who has: whom it waits for must not wait for it. */
static void write_low_then_let_wait(void *state)
{
	struct space *x = state;
	struct io_lock l;

	io_tree_lock_range(x->t, &l, FIRST + 4, FIRST + 5, IO_EXCLUSIVE);
	hold(x, 4, 5, IO_EXCLUSIVE);
	explore_check(io_tree_wait_range(x->t, FIRST + 5, FIRST + 10, NULL) >= 0);
	io_tree_unlock_range(x->t, &l);
}

/* With a cancel of its own, in memory that goes as soon as the wait has ended. */
static void use_intr(struct space *x, unsigned first, unsigned end, enum io_lock_mode mode,
		     struct io_cancel *c)
{
	struct io_lock *l = rt_zalloc(sizeof(*l));
	int err;

	explore_check(l);
	err = io_tree_lock_range_intr(x->t, l, FIRST + first, FIRST + end, mode, c);
	explore_check(err == 0 || err == -EINTR);
	if (c != x->cancel)
		rt_free(c);
	if (!err) {
		hold(x, first, end, mode);
		io_tree_unlock_range(x->t, l);
	}
	rt_free(l);
}

static void intr_low(void *state)
{
	use_intr(state, 3, 5, IO_EXCLUSIVE, ((struct space *)state)->cancel);
}

static void intr_wide(void *state)
{
	use_intr(state, 4, 6, IO_EXCLUSIVE, ((struct space *)state)->cancel);
}

static void intr_wait(void *state)
{
	struct space *x = state;
	int err = io_tree_wait_range(x->t, FIRST + 4, FIRST + 6, x->cancel);

	explore_check(err >= 0 || err == -EINTR);
}

static void own_cancel(void *state)
{
	struct io_cancel *c = rt_zalloc(sizeof(*c));

	explore_check(c);
	io_cancel_init(c);
	use_intr(state, 3, 6, IO_EXCLUSIVE, c);
}

static void cancel(void *state)
{
	io_cancel(((struct space *)state)->cancel);
}

static void say(struct space *x)
{
	rt_u32_set_release(&x->held, 1);
	rt_event_signal(&x->ev);
}

static void hold_until_said(struct space *x, enum io_lock_mode mode, bool cancel_first)
{
	struct io_lock l;
	uint32_t key;

	io_tree_lock_range(x->t, &l, FIRST + 4, FIRST + 5, mode);
	if (cancel_first)
		io_cancel(x->cancel);
	for (;;) {
		key = rt_event_key(&x->ev);
		if (rt_u32_read_acquire(&x->held))
			break;
		rt_event_wait(&x->ev, key);
	}
	io_tree_unlock_range(x->t, &l);
}

/* It goes when who is interrupted says so: which needs the cancel, if he waits for it. */
static void write_until_interrupted(void *state)
{
	hold_until_said(state, IO_EXCLUSIVE, false);
}

static void intr_then_say(void *state)
{
	intr_wide(state);
	say(state);
}

/* It goes when another reader has been in, who may stand behind a writer that is cancelled. */
static void cancel_until_read(void *state)
{
	hold_until_said(state, IO_SHARED, true);
}

static void read_then_say(void *state)
{
	read_low(state);
	say(state);
}

#define CASE(text, set_up, ...)                                                \
	{                                                                      \
		text, set_up, sizeof((void (*[])(void *)){ __VA_ARGS__ }) / 8, \
		{                                                              \
			__VA_ARGS__                                            \
		}                                                              \
	}

static const struct {
	const char *name;
	void (*setup)(void *state);
	unsigned nr;
	void (*fn[3])(void *state);
} cases[] = {
	CASE("narrow ones exclude", setup, write_low, write_low),
	CASE("wide ones exclude", setup, write_wide, write_wide2),
	CASE("narrow and wide exclude", setup, write_low, write_wide),
	CASE("readers and a wide writer", setup, read_low, write_wide),
	CASE("wide readers and a writer", setup, read_wide, write_low),
	CASE("the whole file excludes", setup_whole, write_low, write_high),
	CASE("try", setup, try_wide, write_low),
	CASE("try of two", setup, try_wide, try_wide),
	CASE("passive, narrow", setup, wait_low, write_wide),
	CASE("passive, wide", setup, wait_wide, write_low),
	CASE("nobody waits for a passive one", setup, write_low_then_let_wait, wait_wide),
	CASE("what does not overlap does not wait", setup, meet_low, meet_wide),
	CASE("readers do not wait", setup, meet_shared_low, meet_shared_wide),
	CASE("a cancel's memory", setup, own_cancel, write_low),
	CASE("a cancel's memory, both", setup, own_cancel, own_cancel),
	CASE("wide between narrow ones", setup, write_low, write_wide, write_high),
	CASE("wide waits for two", setup, write_low, write_high, write_wide2),
	CASE("three in a row", setup, write_low, write_low, write_low),
	CASE("a writer between readers", setup, read_low, write_wide, read_wide),
	CASE("passive among writers", setup, wait_wide, write_low, write_wide),
	CASE("three of the whole file", setup_whole, read_low, write_high, write_wide),
	CASE("cancel of a narrow one", setup, intr_low, write_low, cancel),
	CASE("cancel of a wide one", setup, intr_wide, write_low, cancel),
	CASE("cancel of a passive one", setup, intr_wait, write_low, cancel),
	CASE("a cancel ends a wait without end", setup, write_until_interrupted, intr_then_say,
	     cancel),
	CASE("who waits behind a cancelled one", setup, cancel_until_read, intr_wide,
	     read_then_say),
};

static struct explore_result res;

START_TEST(every_schedule)
{
	struct explore_scenario s = { .name = cases[_i].name,
				      .state_bytes = sizeof(struct space),
				      .setup = cases[_i].setup,
				      .thread_nr = cases[_i].nr,
				      .check = check };
	struct explore_options opt = { .strategy = EXPLORE_DFS,
				       .bound = s.thread_nr == 2 ? -1 : 3,
				       .schedules = 300000 };

	for (unsigned i = 0; i < s.thread_nr; i++)
		s.threads[i].fn = cases[_i].fn[i];
	explore_run(&s, &opt, &res);
	printf("%s: %" PRIu64 " schedules, %s\n", s.name, res.schedules,
	       res.outcome == EXPLORE_EXHAUSTED ? "all" : "not all");
	ck_assert_msg(res.outcome != EXPLORE_FOUND, "%s: %s: %s (%s)", s.name,
		      explore_verdict_name(res.verdict), res.text, res.token);
	opt = (struct explore_options){ .strategy = EXPLORE_POS, .seed = 1, .schedules = 5000 };
	explore_run(&s, &opt, &res);
	ck_assert_msg(res.outcome != EXPLORE_FOUND, "%s: %s: %s (%s)", s.name,
		      explore_verdict_name(res.verdict), res.text, res.token);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io_lock-explore");
	TCase *tc = tcase_create("io_lock-explore");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, every_schedule, 0, (int)MBFS_ARRAY_SIZE(cases));
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
