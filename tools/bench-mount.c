// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mount beside its peers: mbfs, fuse2fs, the kernel's ext4 on a loop device, and mbfs-null, which
 * answers at once and keeps nothing: what FUSE itself allows. In each turn
 * every peer gets a fresh image of the same size and does all the work; turns are repeated (A B C A
 * B C), and medians and ratios are reported, so that a machine that slows down hurts all alike.
 */
#include "bench.h"
#include "race/fixture.h"
#include "race/proc.h"
#include "race/team.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEER_NR = 4, TIMES_MAX = 100, THREADS_MAX = 8, PIECE = 65536, FILE_MAX = 8 << 20,
       MOUNT_MS = 20000, END_MS = 120000, SMALL_MAX = 12000 };

static const char *const peer_names[PEER_NR] = { "mbfs", "fuse2fs", "ext4", "null" };

enum kind { FALLOC_TRUNC, FALLOC_EXTEND, CREATE, UNLINK };

static const struct work {
	const char *name;
	enum kind kind;
	unsigned threads;
} works[] = {
	{ "fallocate 64K + truncate, 1 thread", FALLOC_TRUNC, 1 },
	{ "fallocate 64K + truncate, 4 threads", FALLOC_TRUNC, 4 },
	{ "fallocate extending, 1 thread", FALLOC_EXTEND, 1 },
	{ "fallocate extending, 4 threads", FALLOC_EXTEND, 4 },
	{ "create + write 4K, 1 thread", CREATE, 1 },
	{ "unlink, 1 thread", UNLINK, 1 },
	{ "create + write 4K, 4 threads", CREATE, 4 },
	{ "unlink, 4 threads", UNLINK, 4 },
};
enum { WORK_NR = sizeof(works) / sizeof(works[0]) };

struct job {
	const char *mnt;
	const struct work *work;
	uint64_t until_ns;
	uint64_t ops[THREADS_MAX];
	unsigned made[THREADS_MAX]; /* small files there for unlink */
	int err[THREADS_MAX];
};

struct turn {
	const struct bench_args *args;
	char dir[RACE_PATH_BYTES / 2];
	char image[RACE_PATH_BYTES], mnt[RACE_PATH_BYTES], log[RACE_PATH_BYTES];
	pid_t daemon;
};

/* Own file: fallocate pieces; truncate after each, or at 8 MiB when extending. */
static int storm(struct job *j, unsigned idx)
{
	char path[RACE_PATH_BYTES + 32];
	bool each = j->work->kind == FALLOC_TRUNC;
	off_t at = 0;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/storm%u", j->mnt, idx);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (!err && race_now_ns() < j->until_ns) {
		err = fallocate(fd, 0, at, PIECE) ? -errno : 0;
		at += PIECE;
		if (!err && (each || at >= FILE_MAX)) {
			err = ftruncate(fd, 0) ? -errno : 0;
			at = 0;
		}
		j->ops[idx] += !err;
	}
	close(fd);
	unlink(path);
	return err;
}

static int create_files(struct job *j, unsigned idx)
{
	char path[RACE_PATH_BYTES + 32], data[4096];
	int fd, err = 0;

	memset(data, 0x33, sizeof(data));
	snprintf(path, sizeof(path), "%s/d%u", j->mnt, idx);
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	while (!err && race_now_ns() < j->until_ns && j->made[idx] < SMALL_MAX) {
		snprintf(path, sizeof(path), "%s/d%u/f%u", j->mnt, idx, j->made[idx]);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		if (pwrite(fd, data, sizeof(data), 0) != (ssize_t)sizeof(data))
			err = errno ? -errno : -EIO;
		if (close(fd) && !err)
			err = -errno;
		j->made[idx]++;
		j->ops[idx]++;
	}
	return err;
}

static int unlink_files(struct job *j, unsigned idx)
{
	char path[RACE_PATH_BYTES + 32];

	for (; j->made[idx] > 0; j->ops[idx]++) {
		snprintf(path, sizeof(path), "%s/d%u/f%u", j->mnt, idx, --j->made[idx]);
		if (unlink(path))
			return -errno;
	}
	return 0;
}

static void job_member(void *arg, unsigned idx)
{
	struct job *j = arg;

	switch (j->work->kind) {
	case FALLOC_TRUNC:
	case FALLOC_EXTEND:
		j->err[idx] = storm(j, idx);
		break;
	case CREATE:
		j->err[idx] = create_files(j, idx);
		break;
	case UNLINK:
		j->err[idx] = unlink_files(j, idx);
		break;
	}
}

/* Operations per second; negative errno when it failed. */
static double job_run(struct turn *t, struct job *j, const struct work *work)
{
	uint64_t ns = 0, ops = 0;
	int err;

	j->mnt = t->mnt;
	j->work = work;
	j->until_ns = race_now_ns() + t->args->seconds * 1000000000ull;
	memset(j->ops, 0, sizeof(j->ops));
	memset(j->err, 0, sizeof(j->err));
	err = race_team_run(work->threads, job_member, j, &ns);
	for (unsigned i = 0; i < work->threads; i++) {
		err = err ? err : j->err[i];
		ops += j->ops[i];
	}
	return err ? err : (double)ops * 1e9 / (double)(ns ? ns : 1);
}

/* ---- peers ---- */

static int wait_mounted(struct turn *t, const char *name, struct mbfs_diag *diag)
{
	char last[200];
	int status;

	for (unsigned ms = 0; ms < MOUNT_MS; ms += 5) {
		if (race_is_mounted(t->mnt))
			return 0;
		if (proc_ended(t->daemon, &status)) {
			t->daemon = 0;
			proc_last_line(t->log, last, sizeof(last));
			snprintf(diag->text, sizeof(diag->text), "%s ended with %d: %s", name,
				 status, last);
			return -EIO;
		}
		race_sleep_ms(5);
	}
	kill(t->daemon, SIGKILL);
	proc_wait(t->daemon, 0, &status);
	t->daemon = 0;
	snprintf(diag->text, sizeof(diag->text), "%s did not mount", name);
	return -ETIMEDOUT;
}

static int peer_mount(struct turn *t, unsigned peer, struct mbfs_diag *diag)
{
	char opts[128] = "fakeroot", null_path[RACE_PATH_BYTES];
	const char *mbfs_argv[] = { t->args->mbfsd, "-f", "-o", opts, t->image, t->mnt, NULL };
	const char *fuse2fs_argv[] = { "fuse2fs", "-f", "-o", "fakeroot", t->image, t->mnt, NULL };
	const char *null_argv[] = { null_path, t->mnt, NULL };
	const char *ext4_argv[] = { "mount", "-o", "loop", t->image, t->mnt, NULL };
	int err;

	if (peer == 2) {
		err = proc_run(ext4_argv, t->log, MOUNT_MS);
		if (err == 0)
			return 0;
		proc_last_line(t->log, diag->text, sizeof(diag->text));
		return -EPERM;
	}
	if (t->args->variant)
		snprintf(opts, sizeof(opts), "fakeroot,enospc=%s", t->args->variant);
	/* It is not installed: beside the daemon of the build, or nowhere. */
	snprintf(null_path, sizeof(null_path), "%s-null", t->args->mbfsd);
	err = proc_start(peer == 0 ? mbfs_argv : peer == 1 ? fuse2fs_argv : null_argv, t->log,
			 &t->daemon);
	if (err) {
		snprintf(diag->text, sizeof(diag->text), "cannot fork: %s", strerror(-err));
		return err;
	}
	return wait_mounted(t, peer_names[peer], diag);
}

/* Unmount, wait for the last byte; e2fsck of our own. */
static int peer_unmount(struct turn *t, unsigned peer, struct mbfs_diag *diag)
{
	const char *fsck_argv[] = { "e2fsck", "-fn", t->image, NULL };
	int err, status = 0;

	err = race_unmount(t->mnt, false);
	if (err) {
		snprintf(diag->text, sizeof(diag->text), "cannot unmount: %s", strerror(-err));
		if (t->daemon)
			kill(t->daemon, SIGKILL);
		race_unmount(t->mnt, true);
	}
	if (t->daemon)
		proc_wait(t->daemon, END_MS, &status);
	t->daemon = 0;
	if (err || peer != 0)
		return err;
	if (status) {
		snprintf(diag->text, sizeof(diag->text), "the daemon ended with %d", status);
		return -EIO;
	}
	status = proc_run(fsck_argv, t->log, END_MS);
	if (status)
		snprintf(diag->text, sizeof(diag->text), "e2fsck -fn ended with %d", status);
	return status ? -EUCLEAN : 0;
}

/* One peer, all the work. @ops of work that failed or was not asked for is 0. */
static int peer_turn(const struct bench_args *args, unsigned peer, double ops[WORK_NR],
		     struct mbfs_diag *diag)
{
	struct turn t = { .args = args };
	struct job job = { .mnt = NULL };
	int err;

	err = race_tmpdir_make(args->dir, args->size_bytes, t.dir, sizeof(t.dir), diag);
	if (err)
		return err;
	snprintf(t.image, sizeof(t.image), "%s/image", t.dir);
	snprintf(t.mnt, sizeof(t.mnt), "%s/mnt", t.dir);
	snprintf(t.log, sizeof(t.log), "%s/log", t.dir);
	mkdir(t.mnt, 0700);
	err = race_image_make(t.image, args->size_bytes, 4096, NULL, t.log, diag);
	if (!err)
		err = peer_mount(&t, peer, diag);
	if (!err) {
		for (unsigned w = 0; w < WORK_NR; w++) {
			ops[w] = 0;
			if (!bench_wanted(args, works[w].name))
				continue;
			ops[w] = job_run(&t, &job, &works[w]);
			if (ops[w] < 0)
				fprintf(stderr, "mbfs-bench: %s: %s: %s\n", peer_names[peer],
					works[w].name, strerror((int)-ops[w]));
		}
		err = peer_unmount(&t, peer, diag);
	}
	unlink(t.image);
	unlink(t.log);
	rmdir(t.mnt);
	rmdir(t.dir);
	return err;
}

/* ---- report ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *values, unsigned nr)
{
	double copy[TIMES_MAX];

	if (nr == 0)
		return 0;
	memcpy(copy, values, nr * sizeof(copy[0]));
	qsort(copy, nr, sizeof(copy[0]), by_value);
	return nr % 2 ? copy[nr / 2] : (copy[nr / 2 - 1] + copy[nr / 2]) / 2;
}

struct figures {
	double ops[PEER_NR][WORK_NR][TIMES_MAX];
	unsigned nr[PEER_NR];
};

static void print_work(const struct bench_args *args, const struct figures *f, unsigned w)
{
	double m[PEER_NR];
	char nr[PEER_NR][16];

	for (unsigned p = 0; p < PEER_NR; p++)
		m[p] = median(f->ops[p][w], f->nr[p]);
	printf("%-38s", works[w].name);
	for (unsigned p = 0; p < PEER_NR; p++)
		printf(" %10s", m[p] > 0 ? race_human_nr(nr[p], m[p]) : "-");
	for (unsigned p = 1; p < PEER_NR; p++)
		if (m[0] > 0 && m[p] > 0)
			printf(" %11.2fx", m[0] / m[p]);
		else
			printf(" %12s", "-");
	putchar('\n');
	if (args->json)
		fprintf(args->json, "{\"bench\":\"mount\",\"case\":\"%s\",\"mbfs\":%.0f,"
				    "\"fuse2fs\":%.0f,\"ext4\":%.0f,\"null\":%.0f,"
				    "\"times\":%u}\n",
			works[w].name, m[0], m[1], m[2], m[3], args->times);
}

int bench_mount(const struct bench_args *args)
{
	struct figures *f = calloc(1, sizeof(*f));
	bool skip[PEER_NR] = { false };
	double ops[WORK_NR];
	struct mbfs_diag diag;

	if (!f)
		return 1;
	skip[2] = geteuid() != 0;
	for (unsigned i = 0; i < args->times; i++) {
		for (unsigned p = 0; p < PEER_NR; p++) {
			if (skip[p])
				continue;
			fprintf(stderr, "turn %u of %u: %s\n", i + 1, args->times, peer_names[p]);
			diag.text[0] = 0;
			if (peer_turn(args, p, ops, &diag)) {
				fprintf(stderr, "mbfs-bench: %s: %s%s\n", peer_names[p], diag.text,
					p ? " (left out)" : "");
				skip[p] = true;
				continue;
			}
			for (unsigned w = 0; w < WORK_NR; w++)
				f->ops[p][w][f->nr[p]] = ops[w] > 0 ? ops[w] : 0;
			f->nr[p]++;
		}
	}
	printf("%-38s %10s %10s %10s %10s %12s %12s %12s\n", "operations per second, median",
	       "mbfs", "fuse2fs", "ext4 loop", "null", "to fuse2fs", "to ext4", "to null");
	for (unsigned w = 0; w < WORK_NR; w++)
		if (bench_wanted(args, works[w].name))
			print_work(args, f, w);
	free(f);
	return skip[0];
}
