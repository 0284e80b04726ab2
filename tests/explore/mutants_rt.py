#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Seeded bugs in what is built on rt's primitives: each must fail the suite of its room under the explorer.

mutants_rt.py CC ARCHIVE LIBS...: compiles each mutant of a file, links it before ARCHIVE (libmbfs-explore.a) with its
suite and runs that, up to the first test that fails. Exit status 1 if a mutant passes, or if the
unchanged source fails; 77 without a compiler. A text that is not there any more is an error.
"""
import os
import re
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WQ = "src/rt/wq.c"
LOCK = "src/extent/io_lock.c"
RESERVE = "src/reclaim/mempool_reserve.c"
POOL = "src/reclaim/mempool.c"
MAGAZINE = "src/reclaim/mempool_magazine.c"
PENDING = "src/reclaim/pending.c"
KVFREE = "src/reclaim/kvfree.c"
# The programs that must fail.
SUITES = {
    WQ: ("test_conform_explore.c", "conform.c", "conform_wq.c"),
    LOCK: ("test_io_lock_explore.c",),
    RESERVE: ("test_mempool_explore.c",),
    POOL: ("test_mempool_explore.c",),
    MAGAZINE: ("test_mempool_explore.c",),
    PENDING: ("test_pending_explore.c",),
    KVFREE: ("test_kvfree_explore.c",),
}
MUTANTS = [
    ("who is let in is not told", LOCK, "	rt_event_signal(l->ev);\n}", "}"),
    ("a lock is let in too early", LOCK, "	    rt_u32_add_return(&x->blockers, -1u) == 0)", "	    (rt_u32_add_return(&x->blockers, -1u), true))"),
    ("the key is taken after the look", LOCK,
     "		uint32_t key = rt_event_key(l->ev);\n\n		if (rt_u32_read_acquire(&l->held))\n			break;",
     "		uint32_t key;\n\n		if (rt_u32_read_acquire(&l->held))\n			break;\n		key = rt_event_key(l->ev);"),
    ("a wide lock looks into one shard only", LOCK, "	for (unsigned i = 0; i < s.nr; i++)\n		nr += blockers_in(", "	for (unsigned i = 0; i < 1; i++)\n		nr += blockers_in("),
    ("a lock does not see the wide ones", LOCK, "	if (!RB_EMPTY(&t->wide))\n		nr += blockers_in(&t->wide, l);", ""),
    ("a cancelled waiter leaves its place taken", LOCK, "		request_leave(t, l, s);\n		err = -EINTR;",
     "		tree_remove(tree_of(t, l), l);\n		err = -EINTR;"),
    ("a cancel is not looked at", LOCK, "		if (c && rt_u32_read_acquire(&c->cancelled)) {", "		if (false) {"),
    ("who was told does not wait for the signal's end", LOCK, "	if (c && !err) {", "	if (false) {"),
    ("what touches at one byte does not overlap", LOCK, "		else if (n->end > start)", "		else if (n->end > start + 1)"),
    # name, file, old, new
    ("nothing changed", WQ, "", ""),
    ("an item runs on two threads", WQ, "		if (!runs(wq, work))\n			return work;", "		return work;"),
    ("an item that runs is not queued again", WQ,
     "	queued = work->state == RT_WORK_IDLE && !work->cancels;",
     "	queued = work->state == RT_WORK_IDLE && !work->cancels && !runs(wq, work);"),
    ("a pending item is queued again", WQ, "	queued = work->state == RT_WORK_IDLE && !work->cancels;",
     "	if (work->state == RT_WORK_PENDING)\n		take_out(wq, work);\n	queued = !work->cancels;"),
    ("an item queues itself while it is cancelled", WQ, "	work->cancels++;", ""),
    ("queueing wakes nobody", WQ, "		put_pending(wq, work);\n		wake_one(wq);\n	}\n	rt_spin_unlock",
     "		put_pending(wq, work);\n	}\n	rt_spin_unlock"),
    ("the key is taken after the lock is dropped", WQ,
     "	rt_spin_unlock(&wq->lock);\n	if (until)", "	rt_spin_unlock(&wq->lock);\n	key = rt_event_key(&w->wake);\n	if (until)"),
    ("the end of a run wakes no flusher", WQ, "	w->work = NULL;\n	if (wq->waiters_nr)\n		rt_event_signal(&wq->done);",
     "	w->work = NULL;"),
    ("flush does not wait for runs", WQ, "		if (w->work && w->seq <= seq && (!work || w->work == work))\n			return false;",
     "		(void)w;"),
    ("flush does not wait for what is pending", WQ,
     "	if (work ? work->state == RT_WORK_PENDING && work->seq <= seq : first && first->seq <= seq)",
     "	(void)first;\n	if (false)"),
    ("the item is touched after its run", WQ, "	w->work = NULL;\n", "	w->work = NULL;\n	(void)rt_u32_read((rt_u32 *)work);\n"),
    ("a thread says it is done before it is", WQ, "	rt_spin_unlock(&wq->lock);\n	rt_dep_enter(fn_key(fn), \"work item\");\n	fn(work);",
     "	w->work = NULL;\n	rt_spin_unlock(&wq->lock);\n	rt_dep_enter(fn_key(fn), \"work item\");\n	fn(work);"),
    ("nobody watches the timers", WQ, "	if (!wq->keeper && !TAILQ_EMPTY(&wq->timers)) {", "	if (false) {"),
    ("a new first timer wakes nobody", WQ, "		wake(wq, wq->keeper); /* it sleeps for too long */\n	else\n		wake_one(wq);",
     "		return;"),
    ("a delayed item runs at once", WQ, "work->due_ns <= rt_now_ns()", "work->due_ns"),
    ("stop does not wake the idle", WQ, "	while (wq->idle)\n		wake(wq, wq->idle);", ""),
    ("complete() signals after it has unlocked", WQ,
     "	c->done += c->done < UINT32_MAX;\n	rt_event_signal(&c->ev);\n	rt_spin_unlock(&c->lock);",
     "	c->done += c->done < UINT32_MAX;\n	rt_spin_unlock(&c->lock);\n	rt_event_signal(&c->ev);"),
    ("complete_all() completes one", WQ, "	c->done = UINT32_MAX;\n	rt_event_signal", "	c->done = 1;\n	rt_event_signal"),
    ("nothing changed in mempools", RESERVE, "", ""),
    ("who takes from the reserve does not say so", RESERVE,
     "		c->have[i] += lack;\n		mempool_mark_short_locked(p);", "		c->have[i] += lack;"),
    ("who is served is not woken", RESERVE, "	c->served = true;\n	rt_event_signal(&c->ev);", "	c->served = true;"),
    ("new callers overtake those who wait", RESERVE, "p->in_reserve < p->wanted + lack", "p->in_reserve < lack"),
    ("who waits before another claims nothing", RESERVE, "			claim(c);\n	}", "			claim(c), unclaim(c);\n	}\n	c = TAILQ_FIRST(waiters);"),
    ("claims stay", RESERVE, "		unclaim(c);\n}", "		;\n}"),
    ("only the first is served", RESERVE, "			hand_over(p->d, c);\n		else", "			hand_over(p->d, c), next = NULL;\n		else"),
    ("a wait keeps what it has in hand", RESERVE, "	give_back(c);\n	if (mode == MEMPOOL_NOWAIT) {", "	if (mode == MEMPOOL_NOWAIT) {"),
    ("what is freed serves nobody", RESERVE, "	if (p->wanted)\n		serve(p);", ""),
    ("who is served still wants", RESERVE, "		p->wanted -= c->want[i].nr;\n", ""),
    ("the key is taken after queueing", RESERVE, "	rt_spin_unlock(&d->lock);\n	if (!all)\n		wait_served",
     "	rt_spin_unlock(&d->lock);\n	key = rt_event_key(&c->ev);\n	if (!all)\n		wait_served"),
    ("a set is handed over before it is there", RESERVE, "p->in_reserve < (uint64_t)p->claimed + c->want[i].nr", "!p->in_reserve"),
    ("free asks the magazine first", POOL, "rt_u32_read(&p->is_short) || !mempool_magazine_put", "!mempool_magazine_put"),
    ("free asks memory first", POOL, "	if (rt_u32_read(&p->is_short)) {\n		rt_spin_lock", "	if (false) {\n		rt_spin_lock"),
    ("shrinking does not take the magazine", MAGAZINE, "	while (!mempool_slot_try(s))\n		rt_yield();", "	(void)s;"),
    ("the cookie comes after the sweep", PENDING,
     "	struct rt_rcu_cookie now = rt_rcu_get_state();\n	struct pending_bin *empty = NULL, *b;\n\n	s->swept += sweep_locked(s);",
     "	struct pending_bin *empty = NULL, *b;\n	struct rt_rcu_cookie now;\n\n	s->swept += sweep_locked(s);\n	now = rt_rcu_get_state();"),
    ("a list that has objects gets another cookie", PENDING, "		if (!b->bag.nr)\n			empty = b;", "		empty = b;"),
    ("a sweep asks no cookie", PENDING, "if (b->bag.nr && rt_rcu_poll_state(b->cookie))", "if (b->bag.nr)"),
    ("nobody is armed", PENDING, "		first = !s->armed;", "		first = false;"),
    ("a pass with objects left arms nobody", PENDING, "	if (!again)\n		return;", "	return;"),
    ("a pass that leaves nothing remains armed", PENDING, "	armed = s->armed = waiting_locked(s) != 0;",
     "	armed = waiting_locked(s) != 0;"),
    ("a pass waits for no grace period", PENDING, "	rt_rcu_cond_sync(rt_rcu_get_state());\n	pass(container_of", "	pass(container_of"),
    ("who waits for memory does not wait for readers", PENDING, "	rt_rcu_cond_sync(rt_rcu_get_state());\n	rt_stat_add(&p->inline",
     "	rt_stat_add(&p->inline"),
    ("a flush only queues", PENDING, "	rt_wq_flush_work(p->wq, &p->work);", ""),
    ("a flush waits for what is queued already", PENDING, "	rt_wq_queue(p->wq, &p->work); /* false", "	/* false"),
    ("joining forgets links", PENDING, "	if (from->links) {", "	if (false) {"),
    ("the last of a list is lost", PENDING, "	b->last_link = link;\n", "	if (!b->last_link)\n		b->last_link = link;\n"),
    ("a page comes back full", PENDING, "	s->spare_nr--;\n	page->nr = 0;", "	s->spare_nr--;"),
    ("close makes one pass", PENDING, "	while (!is_empty(p))\n		pending_flush(p);", "	pending_flush(p);"),
    ("a second page counts as room", PENDING, "	if (page && page->nr < p->cfg.page_nr)", "	if (page && page->nr <= p->cfg.page_nr)"),
    ("what is taken stays where it is", PENDING, "		bag->links = link->next;\n		return object_of", "		return object_of"),
    ("a page's object is taken and stays", PENDING, "page->objs[--page->nr];", "page->objs[page->nr - 1];"),
    ("a take asks no cookie", PENDING, "	if (!s->elapsed.nr)\n		s->swept += sweep_locked(s);\n	if (s->elapsed.nr)",
     "	if (!s->elapsed.nr)\n		bag_join(&s->elapsed, &s->bin[1].bag);\n	if (s->elapsed.nr)"),
    ("a flush keeps some", PENDING, "	if (keep_nr && rt_u32_read(&p->flushers))", "	if (false)"),
    ("a callback looks, then says that it is gone", PENDING, "	rt_u32_xchg(&p->queued, 0); /* pairs with arm(): the head is free, his object is seen */\n	pass(p);",
     "	pass(p);\n	rt_u32_xchg(&p->queued, 0);"),
    ("closing does not wait for a callback that runs", PENDING, "	while (rt_u32_read_acquire(&p->about))", "	while (rt_u32_read_acquire(&p->queued))"),
    ("a flush takes another's callback for its own", PENDING, "		rt_rcu_call(&own.head, run_own);", "		(void)own, (void)run_own, arm(p);"),
    ("nothing changed in kvfree", KVFREE, "", ""),
    ("what waits is taken for elapsed", KVFREE, "	if (bin->batch.nr && rt_rcu_poll_state(bin->cookie))", "	if (bin->batch.nr)"),
    ("bins are not emptied before one is looked for", KVFREE, "	sweep_locked(s);\n	if (!s->open.nr)", "	if (!s->open.nr)"),
    ("who has no memory does not wait", KVFREE, "	rt_rcu_cond_sync(cookie);\n	rt_spin_lock(&s->lock);", "	rt_spin_lock(&s->lock);"),
    ("who is in a reader waits", KVFREE, "may_alloc && !rt_rcu_in_reader();", "may_alloc;"),
    ("who holds a spinlock waits and allocates", KVFREE, "may_alloc = !rt_spin_held();", "may_alloc = true;"),
    ("nobody comes for what lies about", KVFREE, "	if (again)\n		rt_rcu_call", "	if (false)\n		rt_rcu_call"),
    ("the monitor frees what came since it was called", KVFREE, "	batch_join(&s->elapsed, &s->called.batch);\n",
     "	batch_join(&s->elapsed, &s->called.batch);\n	page_close_locked(s);\n	batch_join(&s->elapsed, &s->open);\n"),
    ("closing does not wait for the monitor", KVFREE, "	rt_rcu_barrier();\n	rt_rcu_barrier();\n", ""),
    ("closing does not wait for the last monitor", KVFREE, "	rt_rcu_barrier();\n	rt_rcu_barrier();\n", "	rt_rcu_barrier();\n"),
]


def first_failure(exe):
    """What the first test to fail says; None if all pass."""
    env = dict(os.environ, CK_TAP_LOG_FILE_NAME="/dev/stdout")
    # A group of its own: who is told to end sends that on to its group.
    with subprocess.Popen([exe], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                          start_new_session=True) as run:
        timer = threading.Timer(100, run.terminate)
        timer.start()
        try:
            for line in run.stdout:
                found = re.search(r"not ok \d+ - [^:]*:[^:]*:[^:]*: (.*)", line)
                if found:
                    run.terminate()
                    return found[1]
        finally:
            timer.cancel()
    return "no end" if run.returncode else None


def main():
    cc, archive, libs = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
    flags = ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-w", "-fno-strict-aliasing"]
    flags += ["-I" + os.path.join(ROOT, d) for d in ("src/explore", "src", "include", "tests", ".")]
    if not os.path.exists(archive):
        print(archive, "is not there: skipped")
        sys.exit(77)
    missed = 0
    with tempfile.TemporaryDirectory() as tmp:
        objects = {file: [os.path.join(tmp, n + ".o") for n in tests] for file, tests in SUITES.items()}
        for file, tests in SUITES.items():
            for n, obj in zip(tests, objects[file]):
                if subprocess.run([cc, *flags, "-c", os.path.join(ROOT, "tests/explore", n), "-o", obj]).returncode:
                    sys.exit(77)
        for name, file, old, new in MUTANTS:
            with open(os.path.join(ROOT, file), encoding="utf-8") as f:
                text = f.read()
            if old not in text:
                sys.exit(f"{name}: {file} has changed: the text to replace is not there")
            src, exe = os.path.join(tmp, "mutant.c"), os.path.join(tmp, "mutant")
            with open(src, "w", encoding="utf-8") as f:
                f.write(text.replace(old, new, 1) if old else text)
            if subprocess.run([cc, *flags, src, *objects[file], archive, *libs, "-o", exe]).returncode:
                sys.exit(f"{name}: does not build")
            said = first_failure(exe)
            good = bool(said) == bool(old)
            missed += not good
            print("%-45s %s" % (name, said[:150] if said else "passes" if good else "NOT FOUND"),
                  flush=True)
    bugs = sum(bool(old) for _, _, old, _ in MUTANTS)
    print(f"{bugs - missed} of {bugs} seeded bugs found")
    sys.exit(1 if missed else 0)


main()
