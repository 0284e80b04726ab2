// SPDX-License-Identifier: GPL-2.0-only
#include "bench-peer.h"
#include "race/proc.h"
#include "race/team.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOUNT_MS = 20000, END_MS = 120000, OPTS_BYTES = 512, FILL_BYTES = 1 << 20 };

const char *bench_peer_name(enum bench_peer_kind kind)
{
	static const char *const names[PEER_NR] = { "mbfs", "fuse2fs", "ext4", "null" };

	return names[kind];
}

/* ---- image ---- */

/* Zeros where the file has holes. */
static int fill_holes(int fd, off_t size)
{
	uint8_t *zeros = calloc(1, FILL_BYTES);
	off_t at = 0, end;
	size_t bytes;
	int err = zeros ? 0 : -ENOMEM;

	while (!err && (at = lseek(fd, at, SEEK_HOLE)) >= 0 && at < size) {
		end = lseek(fd, at, SEEK_DATA);
		if (end < 0)
			end = size;
		for (; !err && at < end; at += (off_t)bytes) {
			bytes = end - at < FILL_BYTES ? (size_t)(end - at) : FILL_BYTES;
			if (pwrite(fd, zeros, bytes, at) != (ssize_t)bytes)
				err = errno ? -errno : -EIO;
		}
	}
	free(zeros);
	return err;
}

static int image_fill(const char *image, uint64_t bytes, struct mbfs_diag *diag)
{
	int fd = open(image, O_RDWR | O_CLOEXEC);
	int err = fd < 0 ? -errno : fill_holes(fd, (off_t)bytes);

	if (fd >= 0 && close(fd) && !err)
		err = -errno;
	if (err)
		snprintf(diag->text, sizeof(diag->text), "cannot fill %.300s: %s", image,
			 strerror(-err));
	return err;
}

/* ---- mount ---- */

static int wait_mounted(struct bench_peer *p, struct mbfs_diag *diag)
{
	char last[200];
	int status;

	for (unsigned ms = 0; ms < MOUNT_MS; ms += 5) {
		if (race_is_mounted(p->mnt))
			return 0;
		if (proc_ended(p->daemon, &status)) {
			p->daemon = 0;
			proc_last_line(p->log, last, sizeof(last));
			snprintf(diag->text, sizeof(diag->text), "%s ended with %d: %s",
				 bench_peer_name(p->kind), status, last);
			return -EIO;
		}
		race_sleep_ms(5);
	}
	kill(p->daemon, SIGKILL);
	proc_wait(p->daemon, 0, &status);
	p->daemon = 0;
	snprintf(diag->text, sizeof(diag->text), "%s did not mount", bench_peer_name(p->kind));
	return -ETIMEDOUT;
}

static int mount_ext4(struct bench_peer *p, struct mbfs_diag *diag)
{
	const char *argv[] = { "mount", "-o", "loop", p->image, p->mnt, NULL };

	if (geteuid() != 0) {
		snprintf(diag->text, sizeof(diag->text), "a loop device needs root");
		return -EPERM;
	}
	if (proc_run(argv, p->log, MOUNT_MS) == 0)
		return 0;
	proc_last_line(p->log, diag->text, sizeof(diag->text));
	return -EPERM;
}

static int mount_fuse(struct bench_peer *p, const char *more, struct mbfs_diag *diag)
{
	char opts[OPTS_BYTES], null_path[RACE_PATH_BYTES];
	const char *mbfs_argv[] = { p->args->mbfsd, "-f", "-o", opts, p->image, p->mnt, NULL };
	const char *fuse2fs_argv[] = { "fuse2fs", "-f", "-o", "fakeroot", p->image, p->mnt, NULL };
	const char *null_argv[] = { null_path, p->mnt, NULL };
	const char *variant = p->args->variant;
	int err;

	if ((size_t)snprintf(opts, sizeof(opts), "fakeroot%s%s%s%s", variant ? ",enospc=" : "",
			     variant ? variant : "", more ? "," : "", more ? more : "") >=
	    sizeof(opts)) {
		snprintf(diag->text, sizeof(diag->text), "the mount options are too long");
		return -EINVAL;
	}
	/* It is not installed: beside the daemon of the build, or nowhere. */
	snprintf(null_path, sizeof(null_path), "%s-null", p->args->mbfsd);
	err = proc_start(p->kind == PEER_MBFS	   ? mbfs_argv
			 : p->kind == PEER_FUSE2FS ? fuse2fs_argv
						   : null_argv,
			 p->log, &p->daemon);
	if (err) {
		snprintf(diag->text, sizeof(diag->text), "cannot fork: %s", strerror(-err));
		return err;
	}
	return wait_mounted(p, diag);
}

static void remove_all(struct bench_peer *p)
{
	unlink(p->image);
	unlink(p->log);
	rmdir(p->mnt);
	rmdir(p->dir);
}

int bench_peer_up(struct bench_peer *p, const struct bench_args *args, enum bench_peer_kind kind,
		  const char *opts, bool filled, struct mbfs_diag *diag)
{
	/* Nothing is left to do behind the back of the measurement. */
	static const char *const whole[] = {
		"-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", NULL
	};
	int err;

	*p = (struct bench_peer){ .kind = kind, .args = args };
	err = race_tmpdir_make(args->dir, args->size_bytes, p->dir, sizeof(p->dir), diag);
	if (err)
		return err;
	snprintf(p->image, sizeof(p->image), "%s/image", p->dir);
	snprintf(p->mnt, sizeof(p->mnt), "%s/mnt", p->dir);
	snprintf(p->log, sizeof(p->log), "%s/log", p->dir);
	mkdir(p->mnt, 0700);
	if (kind != PEER_NULL)
		err = race_image_make(p->image, args->size_bytes, 4096, filled ? whole : NULL,
				      p->log, diag);
	if (!err && filled && kind != PEER_NULL)
		err = image_fill(p->image, args->size_bytes, diag);
	if (!err)
		err = kind == PEER_EXT4 ? mount_ext4(p, diag) : mount_fuse(p, opts, diag);
	if (err)
		remove_all(p);
	return err;
}

static int unmount(struct bench_peer *p, struct mbfs_diag *diag)
{
	const char *fsck_argv[] = { "e2fsck", "-fn", p->image, NULL };
	int err, status = 0;

	err = race_unmount(p->mnt, false);
	if (err) {
		snprintf(diag->text, sizeof(diag->text), "cannot unmount: %s", strerror(-err));
		if (p->daemon)
			kill(p->daemon, SIGKILL);
		race_unmount(p->mnt, true);
	}
	if (p->daemon)
		proc_wait(p->daemon, END_MS, &status);
	p->daemon = 0;
	if (err || p->kind != PEER_MBFS)
		return err;
	if (status) {
		snprintf(diag->text, sizeof(diag->text), "the daemon ended with %d", status);
		return -EIO;
	}
	status = proc_run(fsck_argv, p->log, END_MS);
	if (status)
		snprintf(diag->text, sizeof(diag->text), "e2fsck -fn ended with %d", status);
	return status ? -EUCLEAN : 0;
}

int bench_peer_down(struct bench_peer *p, struct mbfs_diag *diag)
{
	int err = unmount(p, diag);

	remove_all(p);
	return err;
}
