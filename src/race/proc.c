// SPDX-License-Identifier: GPL-2.0-only
#include "race/proc.h"

#include "base/check.h"
#include "rt/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_NS = 2000000 };

/* In the child, from fork to exec. */
_Noreturn static void child_exec(const char *const argv[], const char *log, pid_t parent)
{
	const char *path = getenv("PATH");
	char wide[4096];
	sigset_t none;
	int out, in;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(wide, sizeof(wide), "%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	setenv("PATH", wide, 1);
	in = open("/dev/null", O_RDWR);
	out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : in;
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int proc_start(const char *const argv[], const char *log, pid_t *pid)
{
	pid_t self = getpid(), child;

	fflush(NULL);
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		child_exec(argv, log, self);
	*pid = child;
	return 0;
}

static int status_of(int st)
{
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

bool proc_ended(pid_t pid, int *status)
{
	int st;

	if (waitpid(pid, &st, WNOHANG) != pid)
		return false;
	*status = status_of(st);
	return true;
}

int proc_wait(pid_t pid, uint64_t timeout_ms, int *status)
{
	uint64_t until = rt_now_ns() + timeout_ms * 1000000;
	bool killed = false;
	pid_t got;
	int st;

	MBFS_ASSERT(pid > 0);
	for (;;) {
		got = waitpid(pid, &st, timeout_ms && !killed ? WNOHANG : 0);
		if (got == pid)
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got != 0)
			continue;
		if (rt_now_ns() >= until) {
			kill(pid, SIGKILL);
			killed = true;
			continue;
		}
		rt_sleep_ns(POLL_NS);
	}
	*status = status_of(st);
	return killed ? -ETIMEDOUT : 0;
}

int proc_run(const char *const argv[], const char *log, uint64_t timeout_ms)
{
	int status = 0, err;
	pid_t pid = 0;

	err = proc_start(argv, log, &pid);
	if (!err)
		err = proc_wait(pid, timeout_ms, &status);
	return err ? err : status;
}

void proc_last_line(const char *path, char *buf, size_t bytes)
{
	char line[512];
	FILE *f = fopen(path, "r");

	MBFS_ASSERT(bytes > 0);
	buf[0] = 0;
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0])
			snprintf(buf, bytes, "%s", line);
	}
	fclose(f);
}
