// SPDX-License-Identifier: GPL-2.0-only
#include "rt/work.h"
#include "rt/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct rt_thread {
	pthread_t tid;
	void (*fn)(void *arg);
	void *arg;
	char name[16];
};

static void *thread_main(void *arg)
{
	struct rt_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

int rt_thread_start(void (*fn)(void *arg), void *arg, const char *name, struct rt_thread **out)
{
	struct rt_thread *t = rt_zalloc(sizeof(*t));
	sigset_t all, old;
	int err;

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	for (unsigned i = 0; i < sizeof(t->name) - 1 && name[i]; i++)
		t->name[i] = name[i];
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t->tid, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		rt_free(t);
		return -err;
	}
	*out = t;
	return 0;
}

void rt_thread_join(struct rt_thread *t)
{
	pthread_join(t->tid, NULL);
	rt_free(t);
}

const void *rt_thread_self(void)
{
	static _Thread_local char mine;

	return &mine;
}
