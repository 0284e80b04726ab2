// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into mbfs by daemon.sh: writes to $T_FORK_LOG how many threads a process has when it
 * forks, and refuses the $T_FORK_FAIL-th thread that is asked for. With $T_FORK_EARLY a thread is
 * there before main(): what the test is to find.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

VISIBLE pid_t fork(void);
VISIBLE int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			   void *arg);

static unsigned asked; /* [atomic] threads */

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	const char *log = getenv("T_FORK_LOG");
	va_list ap;
	int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	vdprintf(fd, fmt, ap);
	va_end(ap);
	close(fd);
}

static unsigned threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned nr = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		nr += e->d_name[0] != '.';
	closedir(dir);
	return nr;
}

pid_t fork(void)
{
	pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	unsigned nr = threads();
	pid_t child = next();

	if (child > 0)
		say("fork %d with %u threads, %u asked for: child %d\n", (int)getpid(), nr,
		    __atomic_load_n(&asked, __ATOMIC_RELAXED), (int)child);
	return child;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
			RTLD_NEXT, "pthread_create");
	const char *fail = getenv("T_FORK_FAIL");
	unsigned nr = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);

	if (fail && nr == (unsigned)atoi(fail)) {
		say("refused %u\n", nr);
		return EAGAIN;
	}
	return next(thread, attr, fn, arg);
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void __attribute__((constructor)) early(void)
{
	pthread_t t;

	if (getenv("T_FORK_EARLY"))
		pthread_create(&t, NULL, wait_for_ever, NULL);
}
