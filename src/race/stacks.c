// SPDX-License-Identifier: GPL-2.0-only
#include "race/stacks.h"
#include "race/proc.h"

#include "base/check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOOL_MS = 60000, PATH = 96, FRAMES = 6 };

static void copy_file(const char *path, const char *head, FILE *out)
{
	char line[512];
	FILE *f = fopen(path, "r");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		fprintf(out, "%s%s\n", head, line);
	}
	fclose(f);
}

/* What the kernel tells of every thread: its name, where it sleeps, its system call. */
static void print_proc(pid_t pid, FILE *out)
{
	static const char *const files[] = { "comm", "wchan", "syscall", "stack" };
	char dir[PATH], path[PATH + 288], head[40];
	struct dirent *d;
	DIR *tasks;

	snprintf(dir, sizeof(dir), "/proc/%d/task", (int)pid);
	tasks = opendir(dir);
	if (!tasks) {
		fprintf(out, "process %d: %s\n", (int)pid, strerror(errno));
		return;
	}
	while ((d = readdir(tasks))) {
		if (d->d_name[0] == '.')
			continue;
		fprintf(out, "thread %s\n", d->d_name);
		for (size_t i = 0; i < MBFS_ARRAY_SIZE(files); i++) {
			snprintf(path, sizeof(path), "%s/%s/%s", dir, d->d_name, files[i]);
			snprintf(head, sizeof(head), "  %-8s", files[i]);
			copy_file(path, head, out);
		}
	}
	closedir(tasks);
}

/* The stacks as gdb or eu-stack print them, in a temporary file; -ENOENT: neither is there. */
static int stacks_to(pid_t pid, char *path, size_t bytes)
{
	char nr[16];
	const char *const gdb[] = { "gdb", "-nx", "-q",  "-batch",
				    "-p",  nr,    "-ex", "thread apply all bt",
				    NULL };
	const char *const eu[] = { "eu-stack", "-p", nr, NULL };
	int fd;

	snprintf(nr, sizeof(nr), "%d", (int)pid);
	snprintf(path, bytes, "/tmp/mbfs-stacks.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -errno;
	close(fd);
	if (proc_run(gdb, path, TOOL_MS) == 0)
		return 0;
	if (truncate(path, 0) == 0 && proc_run(eu, path, TOOL_MS) == 0)
		return 0;
	unlink(path);
	return -ENOENT;
}

void race_stacks_print(pid_t pid, FILE *out)
{
	char path[PATH];

	fprintf(out, "---- threads of process %d\n", (int)pid);
	print_proc(pid, out);
	if (stacks_to(pid, path, sizeof(path)) == 0) {
		copy_file(path, "", out);
		unlink(path);
	} else {
		fprintf(out, "(install gdb to see stacks)\n");
	}
	fprintf(out, "---- end of process %d\n", (int)pid);
	fflush(out);
}

/* "#3  0x... in name (args) at ..." or "#3  name (args)": the name, or NULL. */
static const char *frame_name(char *line)
{
	char *at = line, *in, *end;

	if (*at != '#')
		return NULL;
	at += strcspn(at, " ");
	at += strspn(at, " ");
	in = strstr(at, " in ");
	if (strncmp(at, "0x", 2) == 0 && in)
		at = in + 4;
	else if (strncmp(at, "0x", 2) == 0)
		at += strcspn(at, " "), at += strspn(at, " ");
	end = at + strcspn(at, " (\n");
	*end = 0;
	return *at ? at : NULL;
}

/* Names that say where a thread of ours is: not the C library's, nor where threads begin. */
static bool tells(const char *name)
{
	static const char *const dull[] = {
		"__",           "pthread",     "syscall", "futex",          "clone",
		"start_thread", "thread_main", "??",      "rt_event_sleep", "clock_nanosleep",
		"ppoll",        "poll",        "read",    "sys_",           "fuse_"
	};

	for (size_t i = 0; i < MBFS_ARRAY_SIZE(dull); i++)
		if (strncmp(name, dull[i], strlen(dull[i])) == 0)
			return false;
	return true;
}

/* Threads with no more than a loop to wait in are of no interest. */
static bool idles(const char *line)
{
	return !strstr(line, " < ") || strstr(line, "wq_main") == line;
}

void race_stacks_brief(pid_t pid, char *buf, size_t bytes)
{
	char path[PATH], line[1024], chain[256] = "";
	size_t at = 0, len = 0;
	unsigned frames = 0;
	bool more;
	FILE *f;

	MBFS_ASSERT(bytes > 0);
	buf[0] = 0;
	if (stacks_to(pid, path, sizeof(path)))
		return;
	f = fopen(path, "r");
	do {
		const char *name;

		more = f && fgets(line, sizeof(line), f);
		if (!more || strncmp(line, "Thread ", 7) == 0 || strncmp(line, "TID ", 4) == 0) {
			if (len && !idles(chain) && at + len + 2 < bytes)
				at += (size_t)snprintf(buf + at, bytes - at, "%s%s", at ? "; " : "",
						       chain);
			chain[0] = 0;
			len = frames = 0;
			continue;
		}
		name = frame_name(line);
		if (!name || !tells(name) || frames++ >= FRAMES)
			continue;
		if (len + strlen(name) + 4 < sizeof(chain))
			len += (size_t)snprintf(chain + len, sizeof(chain) - len, "%s%s",
						len ? " < " : "", name);
	} while (more);
	if (f)
		fclose(f);
	unlink(path);
}
