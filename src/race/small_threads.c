// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small scenarios by real threads: how often does a schedule that the explorer finds happen by
 * itself? Each round is a set-up, threads let go at once, a check. The rounds are in a child
 * process, which shares its tally with the parent; the parent kills it when it stands still.
 */
#include "race/small_threads.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "race/proc.h"
#include "race/small_image.h"
#include "race/team.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"

enum { POLL_NS = 1000000, FSCK_EVERY = 100 };

struct shared {
	rt_u64 rounds, lost; /* [atomic] */
	rt_u32 failed;	     /* [atomic] in this round */
	rt_u32 told;	     /* [atomic] somebody writes text */
	rt_u32 text_ready;   /* [atomic] */
	char text[SMALL_TEXT_BYTES];
};

void small_fail(struct small_run *r, const char *fmt, ...)
{
	struct shared *sh = r->runner;
	va_list ap;

	rt_u32_set(&sh->failed, 1);
	if (rt_u32_xchg(&sh->told, 1))
		return;
	va_start(ap, fmt);
	vsnprintf(sh->text, sizeof(sh->text), fmt, ap);
	va_end(ap);
	rt_u32_set_release(&sh->text_ready, 1);
}

void small_name(struct small_run *r, const void *obj, const char *name)
{
	(void)r, (void)obj, (void)name;
}

void small_look(struct small_run *r, bool on)
{
	(void)r, (void)on; /* real threads go on */
}

void small_where(struct small_run *r, char *to)
{
	struct mbfs_alloc *a = r->s->alloc(r);
	struct mbfs_alloc_group_info g;
	struct mbfs_alloc_stats st;

	mbfs_alloc_stats(a, &st);
	if (mbfs_alloc_group_info(a, 0, &g))
		g.free_nr = 0;
	snprintf(to, SMALL_TEXT_BYTES,
		 "%llu blocks are free, %u of them in the buddy, %llu in %llu PAs, the rest on the "
		 "way",
		 (unsigned long long)st.free_nr, g.free_nr, (unsigned long long)st.pa_blks,
		 (unsigned long long)st.pa_nr);
}

int small_device(struct small_run *r, struct mbfs_bdev **out)
{
	int err = mbfs_bdev_open_mem(r->image_bytes, out);

	if (!err)
		memcpy(mbfs_bdev_mem_bytes(*out), r->image, r->image_bytes);
	return err;
}

void small_device_done(struct small_run *r, struct mbfs_bdev *dev)
{
	struct shared *sh = r->runner;
	char wrong[SMALL_TEXT_BYTES];

	if (rt_u64_read(&sh->rounds) % FSCK_EVERY == 0 &&
	    small_image_damaged(mbfs_bdev_mem_bytes(dev), r->image_bytes, wrong, sizeof(wrong)))
		small_fail(r, "%s", wrong);
}

/* ---- the child ---- */

static void member(void *arg, unsigned idx)
{
	struct small_run *r = arg;

	r->s->thread(r, idx);
}

static int round_run(struct small_run *r)
{
	struct shared *sh = r->runner;
	uint64_t elapsed;
	int err;

	memset(r->state, 0, r->s->state_bytes);
	rt_u32_set(&sh->failed, 0);
	r->s->setup(r);
	err = race_team_run(r->s->threads, member, r, &elapsed);
	if (err)
		return err;
	r->s->check(r);
	rt_u64_add(&sh->lost, rt_u32_read(&sh->failed));
	rt_u64_add(&sh->rounds, 1);
	return 0;
}

static int child(struct small_run *r, uint64_t rounds, uint64_t run_ms)
{
	struct shared *sh = r->runner;
	uint64_t until = rt_now_ns() + run_ms * 1000000;
	int err = 0;

	r->state = rt_zalloc_aligned(64, r->s->state_bytes);
	/* One user more than the rounds have: no round has to wait until the worker has ended. */
	if (!r->state || rt_rcu_worker_start())
		return EXIT_FAILURE;
	while (!err && (rounds ? rt_u64_read(&sh->rounds) < rounds : rt_now_ns() < until))
		err = round_run(r);
	rt_rcu_worker_stop();
	rt_free(r->state);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the parent ---- */

/* The last line of what the child said: a sanitizer's summary, an assertion. */
static void last_words(FILE *log, char *to, size_t bytes)
{
	char line[SMALL_TEXT_BYTES];

	rewind(log);
	while (fgets(line, sizeof(line), log)) {
		line[strcspn(line, "\n\"")] = '\0';
		if (line[0])
			snprintf(to, bytes, "%s", line);
	}
}

static void watch(pid_t pid, struct shared *sh, uint64_t grace_ms, FILE *log,
		  struct small_tally *out)
{
	uint64_t moved_at = rt_now_ns(), seen = 0, now;
	int status;

	while (!proc_ended(pid, &status)) {
		rt_sleep_ns(POLL_NS);
		now = rt_now_ns();
		if (rt_u64_read(&sh->rounds) != seen)
			moved_at = now;
		seen = rt_u64_read(&sh->rounds);
		if (now - moved_at < grace_ms * 1000000)
			continue;
		kill(pid, SIGKILL);
		proc_wait(pid, 0, &status);
		out->stuck = true;
		snprintf(out->text, sizeof(out->text),
			 "a round did not end in %llu ms: livelock or deadlock",
			 (unsigned long long)grace_ms);
		return;
	}
	if (status == EXIT_SUCCESS)
		return;
	out->died = true;
	snprintf(out->text, sizeof(out->text), "the process ended with status %d", status);
	last_words(log, out->text, sizeof(out->text));
}

static int fork_and_watch(struct small_run *r, uint64_t rounds, uint64_t run_ms, uint64_t grace_ms,
			  struct small_tally *out, struct mbfs_diag *diag)
{
	struct shared *sh = r->runner;
	uint64_t start = rt_now_ns();
	FILE *log = tmpfile(); /* a message each round would drown the table */
	pid_t pid;

	fflush(NULL);
	pid = log ? fork() : -1;
	if (pid < 0) {
		if (log)
			fclose(log);
		return diag_set(diag, -errno, "cannot start a process: %s", strerror(errno));
	}
	if (pid == 0) {
		dup2(fileno(log), STDERR_FILENO);
		_exit(child(r, rounds, run_ms));
	}
	watch(pid, sh, grace_ms, log, out);
	fclose(log);
	out->ns = rt_now_ns() - start;
	out->rounds = rt_u64_read(&sh->rounds);
	out->lost = rt_u64_read(&sh->lost) + (out->stuck || out->died);
	if (rt_u32_read_acquire(&sh->text_ready) && !out->stuck && !out->died)
		memcpy(out->text, sh->text, sizeof(out->text));
	return 0;
}

int small_threads_run(const struct small_scenario *s, const char *variant, uint64_t rounds,
		      uint64_t run_ms, uint64_t grace_ms, struct small_tally *out,
		      struct mbfs_diag *diag)
{
	struct small_run r = { .s = s, .variant = variant, .image_bytes = s->image_bytes };
	void *image;
	int err = small_image_make(s, &image, diag);

	memset(out, 0, sizeof(*out));
	if (err)
		return err;
	r.image = image;
	r.runner = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r.runner == MAP_FAILED) {
		small_image_free(s, image);
		return diag_set(diag, -ENOMEM, "out of memory");
	}
	err = fork_and_watch(&r, rounds, run_ms, grace_ms, out, diag);
	munmap(r.runner, sizeof(struct shared));
	small_image_free(s, image);
	return err;
}
