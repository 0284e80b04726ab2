// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mount of a run. The daemon runs in the foreground as our child, so that its death is seen
 * with its reason, and a hung one can be killed: killing it breaks the FUSE connection, every
 * blocked writer gets an error, and the mount point can be detached.
 */
#include "race/mount.h"
#include "race/fixture.h"
#include "race/proc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { POLL_NS = 5000000, MOUNT_TRIES = 6000, DAEMON_END_MS = 120000, WAIT_MS = 120000,
       FSCK_MS = 300000 };

/* Where the daemon shows its statistics as JSON: an extended attribute of the root directory. */
#define STATS_XATTR "user.mbfs.stats"

static int daemon_start(struct race_mount *m, struct mbfs_diag *diag)
{
	char opts[256], last[200];
	const char *argv[] = { m->cfg->mbfsd, "-f", "-o", opts, m->image, m->mnt, NULL };
	int err, status = 0;

	m->cfg->scenario->kind->daemon_options(m->cfg, opts, sizeof(opts));
	err = proc_start(argv, m->log, &m->daemon);
	if (err)
		return diag_set(diag, err, "cannot start %s: %s", argv[0], strerror(-err));
	for (unsigned i = 0; i < MOUNT_TRIES; i++) {
		if (race_is_mounted(m->mnt))
			return 0;
		if (proc_ended(m->daemon, &status)) {
			m->daemon = 0;
			proc_last_line(m->log, last, sizeof(last));
			return diag_set(diag, -EIO, "%s -o %s ended with %d: %s", argv[0], opts,
					status, last);
		}
		rt_sleep_ns(POLL_NS);
	}
	kill(m->daemon, SIGKILL);
	proc_wait(m->daemon, 0, &status);
	m->daemon = 0;
	return diag_set(diag, -ETIMEDOUT, "%s did not mount within %d s", argv[0],
			MOUNT_TRIES / (1000000000 / POLL_NS));
}

static void files_remove(struct race_mount *m)
{
	unlink(m->image);
	unlink(m->log);
	rmdir(m->mnt);
	rmdir(m->dir);
}

int race_mount_up(struct race_mount *m, const struct race_config *cfg, struct mbfs_diag *diag)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->cfg = cfg;
	err = race_tmpdir_make(cfg->dir, cfg->size_bytes, m->dir, sizeof(m->dir), diag);
	if (err)
		return err;
	snprintf(m->image, sizeof(m->image), "%s/image", m->dir);
	snprintf(m->mnt, sizeof(m->mnt), "%s/mnt", m->dir);
	snprintf(m->log, sizeof(m->log), "%s/log", m->dir);
	if (mkdir(m->mnt, 0700)) {
		err = diag_set(diag, -errno, "cannot make %s: %s", m->mnt, strerror(errno));
		goto err_files;
	}
	err = race_image_make(m->image, cfg->size_bytes, cfg->block_bytes,
			      cfg->scenario->kind->mkfs, m->log, diag);
	if (err)
		goto err_files;
	if (!cfg->mount)
		return 0;
	err = daemon_start(m, diag);
	if (err)
		goto err_files;
	m->free_at_start = race_mount_usable(m);
	return 0;

err_files:
	files_remove(m);
	return err;
}

uint64_t race_mount_usable(const struct race_mount *m)
{
	struct statvfs st;

	if (statvfs(m->mnt, &st))
		return 0;
	return (uint64_t)st.f_bavail * st.f_frsize / m->cfg->block_bytes;
}

int race_mount_stats(const struct race_mount *m, struct race_result *res)
{
	char json[16384];
	ssize_t len = getxattr(m->mnt, STATS_XATTR, json, sizeof(json) - 1);

	if (len <= 0)
		return -ENODATA;
	json[len] = 0;
	endio_stats_parse(json, &res->endio);
	return race_stats_parse(json, &res->stats) > 0 ? 0 : -ENODATA;
}

/* Unmounted in order: the image must be clean now. */
static void fsck(struct race_mount *m, struct race_result *res)
{
	const char *wait_argv[] = { m->cfg->mbfsd, "--wait", m->image, NULL };
	const char *fsck_argv[] = { "e2fsck", "-fn", m->image, NULL };
	char last[160];
	int status;

	status = m->cfg->mount ? proc_run(wait_argv, m->log, WAIT_MS) : 0;
	if (status == 0) {
		res->fsck_run = true;
		status = proc_run(fsck_argv, m->log, FSCK_MS);
		res->fsck_ok = status == 0;
	}
	if (status == 0)
		return;
	proc_last_line(m->log, last, sizeof(last));
	snprintf(res->note, sizeof(res->note), "%s ended with %d: %s; kept: %s",
		 res->fsck_run ? "e2fsck -fn" : "mbfs --wait", status, last, m->dir);
	res->check_ok = false;
}

/* The image was in the hands of a process that has ended. */
static void image_down(struct race_mount *m, bool force, struct race_result *res)
{
	if (!force && res->check_ok)
		fsck(m, res);
	if (!res->fsck_run || res->fsck_ok)
		files_remove(m);
}

/* What the daemon said last; of a sanitizer's report, what it found. */
static void last_words(const struct race_mount *m, int status, char *buf, size_t bytes)
{
	char line[320];
	FILE *log = fopen(m->log, "r");

	snprintf(buf, bytes, "%s", status > 128 ? strsignal(status - 128) : "an error");
	while (log && fgets(line, sizeof(line), log)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "SUMMARY: ", 9) == 0)
			snprintf(buf, bytes, "%s", line + 9);
	}
	if (log)
		fclose(log);
}

/* The daemon has ended, and not because it was asked to. */
static void daemon_died(struct race_mount *m, int status, struct race_result *res)
{
	const bool expected = m->cfg->scenario->kind->dies && !m->cfg->variant.holds;
	char last[320];

	last_words(m, status, last, sizeof(last));
	snprintf(res->note, sizeof(res->note), "the daemon ended with %d: %s%s%s", status, last,
		 expected ? "" : "; kept: ", expected ? "" : m->dir);
	res->check_ok = false;
	if (expected)
		files_remove(m);
}

int race_mount_down(struct race_mount *m, bool force, struct race_result *res)
{
	int err, status = 0;

	if (!m->cfg->mount) {
		image_down(m, force, res);
		return 0;
	}
	if (force)
		kill(m->daemon, SIGKILL);
	err = race_unmount(m->mnt, force);
	if (err && force)
		err = 0; /* fusermount has been here before us */
	if (err) {
		kill(m->daemon, SIGKILL);
		race_unmount(m->mnt, true);
		snprintf(res->note, sizeof(res->note), "cannot unmount %s: %s; daemon killed",
			 m->mnt, strerror(-err));
		res->check_ok = false;
	}
	if (proc_wait(m->daemon, DAEMON_END_MS, &status) || (status && !force && !err)) {
		daemon_died(m, status, res);
		return 0;
	}
	if (!force && !err)
		fsck(m, res);
	if (!res->fsck_run || res->fsck_ok)
		files_remove(m);
	return 0;
}
