// SPDX-License-Identifier: GPL-2.0-only
/* What --help and --version print. */
#include "daemon.h"

#include <stdio.h>

static const char help[] =
"usage: mbfs [-f] [-d] [-o OPTION,...] IMAGE MOUNTPOINT\n"
"       mount -t fuse.mbfs IMAGE MOUNTPOINT -o OPTION,...\n"
"       mbfs --wait IMAGE [--timeout SECONDS]\n"
"       mbfs --help | --version\n"
"\n"
"Mounts an ext2/3/4 image or block device with mbfs's multi-block allocator. Returns when the mount is\n"
"usable. Unmount with umount(8), or fusermount3 -u as an ordinary user. An unmount returns before the\n"
"last byte is written: mbfs --wait IMAGE returns when the image is free, and e2fsck may run.\n"
"\n"
"  -f                     stay in the foreground\n"
"  -d                     print every request (implies -f)\n"
"  -r, -w                 as -o ro, -o rw\n"
"  --wait                 wait until no mbfs holds IMAGE; exit status 2 when --timeout (0: never) is over\n"
"\n"
"Image:\n"
"  -o ro                  read only; the image is not changed by one byte\n"
"  -o offset=SIZE         where the file system starts in IMAGE (K, M, G, T)\n"
"  -o norecovery          with ro: mount although the journal needs recovery (also: noload)\n"
"  -o errors=continue     (default) damage found later makes calls fail, the mount goes on;\n"
"                         with ro: mount although the image is marked with errors\n"
"  -o errors=remount-ro   once damage is found every change is refused\n"
"\n"
"Who may do what:\n"
"  -o allow_other         other users may use the mount too (default for root)\n"
"  -o default_permissions always on (the kernel checks modes and owners), except with fakeroot\n"
"  -o fakeroot            no permission checks: whoever can use the mount is root in it\n"
"  -o suid, dev           honour setuid bits and devices (default: nosuid,nodev)\n"
"\n"
"Allocator (units are blocks):\n"
"  -o enospc=VARIANT      what happens near full:";

static const char help_rest[] =
"  -o cpus=N              virtual CPUs for per-CPU data, 0: the real ones\n"
"  -o mb_group_prealloc=N mb_stream_req=N mb_order2_req=N mb_max_to_scan=N mb_min_to_scan=N\n"
"                         as in /sys/fs/ext4\n"
"  -o widen=POINT:USEC    hold threads up, to stretch a race; may be given for each of:\n"
"                        ";

static const char help_end[] =
"\n"
"Caches and threads:\n"
"  -o commit=SECONDS      changed metadata is written at least this often (5)\n"
"  -o cache=SIZE          memory for metadata (64M)\n"
"  -o writeback_cache     the kernel collects writes; \"no space\" is then reported at fsync or close\n"
"  -o max_threads=N       requests served at once (128)\n"
"  -o nodiscard           (default) freed blocks are not trimmed; discard is not supported\n"
"\n"
"The kernel's: exec noexec sync async dirsync noatime auto_unmount context=. Accepted and without effect:\n"
"what mount(8) and fstab(5) add (relatime, user, noauto, nofail, x-...).\n"
"\n"
"Statistics of a live mount: mbfs-stat MOUNTPOINT, or getfattr --only-values -n user.mbfs.stats MOUNTPOINT.\n"
"Exit status as mount(8): 0 success, 1 bad use, 2 system error, 32 the mount failed.\n";

void options_help(void)
{
	const struct mbfs_alloc_variant *v;
	const char *name;

	puts(help);
	for (unsigned i = 0; (v = mbfs_alloc_variant_at(i)); i++)
		printf("                           %-11s %s%s\n", v->name, v->summary,
		       v->holds ? "" : " (can lose the race)");
	fputs(help_rest, stdout);
	for (unsigned i = 0; (name = mbfs_alloc_point_name(i)); i++)
		printf(" %s", name);
	putchar('\n');
	fputs(help_end, stdout);
}

void options_version(void)
{
	printf("mbfs %s%s%s, libfuse %s\n", MBFS_VERSION, *MBFS_COMMIT ? " " : "", MBFS_COMMIT,
	       fuse_pkgversion());
}
