// SPDX-License-Identifier: GPL-2.0-only
#include "race/fixture.h"
#include "race/proc.h"

#include "base/check.h"
#include "rt/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { POLL_NS = 5000000, BUSY_TRIES = 2000, MKFS_MS = 120000, UNMOUNT_MS = 120000 };

int race_tmpdir_make(const char *dir, uint64_t need_bytes, char *out, size_t bytes,
		     struct mbfs_diag *diag)
{
	struct statvfs st;

	if (!dir)
		dir = getenv("TMPDIR");
	if (!dir || !dir[0]) {
		dir = "/tmp";
		if (access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &st) == 0 &&
		    (uint64_t)st.f_bavail * st.f_frsize >= 2 * need_bytes)
			dir = "/dev/shm";
	}
	if ((size_t)snprintf(out, bytes, "%s/mbfs-race.XXXXXX", dir) >= bytes)
		return diag_set(diag, -ENAMETOOLONG, "%s: the path is too long", dir);
	if (!mkdtemp(out))
		return diag_set(diag, -errno, "cannot make a directory in %s: %s (use --dir)", dir,
				strerror(errno));
	return 0;
}

int race_image_make(const char *image, uint64_t bytes, uint32_t block_bytes,
		    const char *const extra[], const char *log, struct mbfs_diag *diag)
{
	const char *argv[16] = { "mkfs.ext4", "-q", "-F", "-m", "0" };
	char block[16], last[200];
	unsigned nr = 5;
	int fd, status;

	fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		status = -errno;
		if (fd >= 0)
			close(fd);
		return diag_set(diag, status, "cannot make %s: %s", image, strerror(-status));
	}
	close(fd);
	snprintf(block, sizeof(block), "%u", block_bytes);
	argv[nr++] = "-b";
	argv[nr++] = block;
	for (; extra && *extra && nr < MBFS_ARRAY_SIZE(argv) - 2; extra++)
		argv[nr++] = *extra;
	argv[nr++] = image;
	argv[nr] = NULL;
	status = proc_run(argv, log, MKFS_MS);
	if (status == 0)
		return 0;
	proc_last_line(log, last, sizeof(last));
	return diag_set(diag, -EINVAL, "mkfs.ext4 failed (%d): %s%s", status, last,
			status == 127 ? " (install e2fsprogs)" : "");
}

bool race_is_mounted(const char *mnt)
{
	char parent[RACE_PATH_BYTES + 4];
	struct stat a, b;

	snprintf(parent, sizeof(parent), "%s/..", mnt);
	if (stat(mnt, &a))
		return errno == ENOTCONN; /* a mount whose daemon died */
	return stat(parent, &b) == 0 && a.st_dev != b.st_dev;
}

int race_unmount(const char *mnt, bool lazy)
{
	const char *argv[] = { "fusermount3", "-u", lazy ? "-z" : "-q", mnt, NULL };
	int err;

	for (unsigned i = 0; i < BUSY_TRIES; i++) {
		if (geteuid() == 0)
			err = umount2(mnt, lazy ? MNT_DETACH : 0) ? -errno : 0;
		else
			err = proc_run(argv, NULL, UNMOUNT_MS) ? -EBUSY : 0;
		if (err != -EBUSY)
			return err;
		rt_sleep_ns(POLL_NS);
	}
	return -EBUSY;
}
