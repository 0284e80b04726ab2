// SPDX-License-Identifier: GPL-2.0-only
#include "race/stacks.h"
#include "race/proc.h"

#include "base/check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOOL_MS = 60000, PATH = 96, FRAMES = 6, CHAINS = 16 };

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

static bool begins(const char *name, const char *const list[], size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (strncmp(name, list[i], strlen(list[i])) == 0)
			return true;
	return false;
}

/* Not the C library's, nor how our threads sleep, nor where they begin. */
static bool tells(const char *name)
{
	static const char *const dull[] = { "__",          "pthread",      "syscall",  "futex",
					    "clone",       "start_thread", "??",       "poll",
					    "ppoll",       "read",         "lll_",     "fuse_",
					    "rt_event_",   "rt_cond_",     "rt_sleep", "rt_yield",
					    "thread_main", "sem_",         "do_futex" };

	return !begins(name, dull, MBFS_ARRAY_SIZE(dull));
}

/* A loop that waits for work: such a thread holds nobody up. */
static bool idles(const char *innermost)
{
	static const char *const loops[] = { "sleep_idle",  "writer_pause", "worker_main",
					     "workers_run", "serve",        "mount_and_serve" };

	return !innermost[0] || begins(innermost, loops, MBFS_ARRAY_SIZE(loops));
}

struct chain {
	char text[256];
	size_t len;
	unsigned frames, threads;
};

struct chains {
	struct chain now, all[CHAINS];
	unsigned nr;
};

/* A thread's chain is complete: counted with those that are the same. */
static void chain_end(struct chains *c)
{
	unsigned i = 0;

	if (!idles(c->now.text)) {
		while (i < c->nr && strcmp(c->all[i].text, c->now.text) != 0)
			i++;
		if (i == c->nr && i < CHAINS)
			c->all[c->nr++] = c->now;
		if (i < CHAINS)
			c->all[i].threads++;
	}
	c->now = (struct chain){ .len = 0 };
}

static void chain_add(struct chain *c, const char *name)
{
	if (c->frames++ < FRAMES && c->len + strlen(name) + 4 < sizeof(c->text))
		c->len += (size_t)snprintf(c->text + c->len, sizeof(c->text) - c->len, "%s%s",
					   c->len ? " < " : "", name);
}

void race_stacks_brief(pid_t pid, char *buf, size_t bytes)
{
	char path[PATH], line[1024];
	struct chains c = { .nr = 0 };
	const char *name;
	size_t at = 0;
	FILE *f;

	MBFS_ASSERT(bytes > 0);
	buf[0] = 0;
	if (stacks_to(pid, path, sizeof(path)))
		return;
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Thread ", 7) == 0 || strncmp(line, "TID ", 4) == 0)
			chain_end(&c);
		name = frame_name(line);
		if (name && tells(name))
			chain_add(&c.now, name);
	}
	chain_end(&c);
	if (f)
		fclose(f);
	unlink(path);
	for (unsigned i = 0; i < c.nr && at < bytes; i++)
		at += (size_t)snprintf(buf + at, bytes - at, "%s%u in %s", at ? "; " : "",
				       c.all[i].threads, c.all[i].text);
}
