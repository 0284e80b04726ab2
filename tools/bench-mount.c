// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mount beside its peers: mbfs, fuse2fs, the kernel's ext4 on a loop device, and mbfs-null, which
 * answers at once and keeps nothing: what FUSE itself allows. In each turn
 * every peer gets a fresh image of the same size and does all the work; turns are repeated (A B C A
 * B C), and medians and ratios are reported, so that a machine that slows down hurts all alike.
 */
#include "bench-peer.h"
#include "race/team.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MAX = 8, PIECE = 65536, FILE_MAX = 8 << 20, SMALL_MAX = 12000 };

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
static double job_run(const struct bench_peer *p, struct job *j, const struct work *work)
{
	uint64_t ns = 0, ops = 0;
	int err;

	j->mnt = p->mnt;
	j->work = work;
	j->until_ns = race_now_ns() + p->args->seconds * 1000000000ull;
	memset(j->ops, 0, sizeof(j->ops));
	memset(j->err, 0, sizeof(j->err));
	err = race_team_run(work->threads, job_member, j, &ns);
	for (unsigned i = 0; i < work->threads; i++) {
		err = err ? err : j->err[i];
		ops += j->ops[i];
	}
	return err ? err : (double)ops * 1e9 / (double)(ns ? ns : 1);
}

/* One peer, all the work. @ops of work that failed or was not asked for is 0. */
static int peer_turn(const struct bench_args *args, enum bench_peer_kind kind, double ops[WORK_NR],
		     struct mbfs_diag *diag)
{
	struct job job = { .mnt = NULL };
	struct bench_peer peer;
	int err;

	err = bench_peer_up(&peer, args, kind, NULL, false, diag);
	if (err)
		return err;
	for (unsigned w = 0; w < WORK_NR; w++) {
		ops[w] = 0;
		if (!bench_wanted(args, works[w].name))
			continue;
		ops[w] = job_run(&peer, &job, &works[w]);
		if (ops[w] < 0)
			fprintf(stderr, "mbfs-bench: %s: %s: %s\n", bench_peer_name(kind),
				works[w].name, strerror((int)-ops[w]));
	}
	return bench_peer_down(&peer, diag);
}

/* ---- report ---- */

struct figures {
	double ops[PEER_NR][WORK_NR][BENCH_TIMES_MAX];
	unsigned nr[PEER_NR];
};

static void print_work(const struct bench_args *args, const struct figures *f, unsigned w)
{
	double m[PEER_NR];
	char nr[PEER_NR][16];

	for (unsigned p = 0; p < PEER_NR; p++)
		m[p] = bench_median(f->ops[p][w], f->nr[p]);
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
	for (unsigned i = 0; i < args->times; i++) {
		for (unsigned p = 0; p < PEER_NR; p++) {
			if (skip[p])
				continue;
			fprintf(stderr, "turn %u of %u: %s\n", i + 1, args->times,
				bench_peer_name(p));
			diag.text[0] = 0;
			if (peer_turn(args, p, ops, &diag)) {
				fprintf(stderr, "mbfs-bench: %s: %s%s\n", bench_peer_name(p),
					diag.text, p ? " (left out)" : "");
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
	return skip[PEER_MBFS];
}
