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
	"Mounts an ext4 image or block device, with its own multi-block allocator.\n"
	"Returns when the mount is usable. Unmount with umount(8), or fusermount3 -u\n"
	"as an ordinary user; that returns before the last byte is written:\n"
	"\"mbfs --wait IMAGE\" returns when the image is free, and e2fsck may run.\n"
	"\n"
	"  -f                     stay in the foreground\n"
	"  -d                     print every request (implies -f)\n"
	"  -r, -w                 as -o ro, -o rw\n"
	"  --wait                 wait until no mbfs holds IMAGE\n"
	"  --timeout SECONDS      give up then, with exit status 2; 0: never\n"
	"\n"
	"Image:\n"
	"  -o ro                  read only; not one byte of the image changes\n"
	"  -o offset=SIZE         where the file system starts in IMAGE (K, M, G, T)\n"
	"  -o norecovery          with ro: mount although the journal needs recovery\n"
	"                         (also: noload)\n"
	"  -o errors=continue     (default) damage found later makes calls fail;\n"
	"                         with ro: mount although it is marked with errors\n"
	"  -o errors=remount-ro   once damage is found every change is refused\n"
	"\n"
	"Who may do what:\n"
	"  -o allow_other         other users may use it too (default for root)\n"
	"  -o default_permissions the kernel checks modes and owners (always, but\n"
	"                         with fakeroot)\n"
	"  -o fakeroot            no checks: whoever can use the mount is root in it\n"
	"  -o suid, dev           honour setuid bits and devices (default: neither)\n"
	"\n"
	"Allocator (units are blocks):\n"
	"  -o enospc=VARIANT      what happens when the image is nearly full:\n";

static const char help_alloc[] =
	"  -o cpus=N              virtual CPUs for per-CPU data; 0: the real ones\n"
	"  -o mb_group_prealloc=N, mb_stream_req=N, mb_order2_req=N,\n"
	"     mb_max_to_scan=N, mb_min_to_scan=N\n"
	"                         as in /sys/fs/ext4/DEVICE\n"
	"  -o widen=POINT:USEC    hold threads up there, to stretch a race (may be\n"
	"                         given again). Points:\n";

static const char help_endio[] =
	"\n"
	"Writes under way:\n"
	"  -o endio=VARIANT       what happens between a write's data and the conversion\n"
	"                         of its blocks (mbfs):\n";

static const char help_resize[] =
	"\n"
	"Growing (to show races; the first two crash):\n"
	"  -o resize=VARIANT      how arrays of groups are replaced when it grows (mbfs):\n";

static const char help_rest[] =
	"  -o rangelock=off       one lock for all bytes of a file, as ext4 has, instead\n"
	"                         of one for each range that is read, written or changed\n"
	"  -o intr                a signal ends the wait of a read, write or fallocate\n"
	"                         for bytes that others have locked: EINTR (nointr)\n"
	"\n"
	"Caches and threads:\n"
	"  -o commit=SECONDS      changed metadata is written this often (5)\n"
	"  -o cache=SIZE          memory for metadata (64M)\n"
	"  -o direct              data goes past the host's page cache (O_DIRECT); needs\n"
	"                         blocks of at least 4096 bytes\n"
	"  -o io=ENGINE           who carries out reads and writes of data:\n"
	"      uring              the kernel, through io_uring (default with direct);\n"
	"                         where it is forbidden: threads\n"
	"      threads            threads of their own\n"
	"      sync               the thread that serves the request (default without)\n"
	"  -o writeback_cache     the kernel collects writes: \"no space\" is then\n"
	"                         reported by fsync or not at all\n"
	"  -o max_threads=N       requests served at once (128)\n"
	"  -o max_background=N    requests of readahead, write-back and AIO under way (256)\n"
	"  -o discard             freed blocks are trimmed on the device, some seconds\n"
	"                         later and as far as they are still free (nodiscard)\n"
	"\n"
	"Passed on: exec noexec sync async dirsync noatime auto_unmount context=.\n"
	"Accepted without effect: what mount(8) and fstab(5) add (relatime, user,\n"
	"noauto, nofail, x-...).\n"
	"\n"
	"Statistics of a live mount: mbfs-stat MOUNTPOINT, or\n"
	"  getfattr --only-values -n user.mbfs.stats MOUNTPOINT\n"
	"Exit status as mount(8): 0 success, 1 bad use, 2 system error, 32 the mount\n"
	"failed.\n";

void options_help(void)
{
	const struct mbfs_alloc_variant *v;
	const struct mbfs_endio_variant *e;
	const struct mbfs_resize_variant *r;
	const char *name;

	fputs(help, stdout);
	for (unsigned i = 0; (v = mbfs_alloc_variant_at(i)); i++)
		printf("      %-12s%s%s\n", v->name, v->summary, v->holds ? "" : " (can lose)");
	fputs(help_alloc, stdout);
	for (unsigned i = 0; (name = mbfs_alloc_point_name(i)); i++)
		printf("      %s\n", name);
	fputs(help_resize, stdout);
	for (unsigned i = 0; (r = mbfs_resize_variant_at(i)); i++)
		printf("      %-19s%s%s\n", r->name, r->summary, r->holds ? "" : " (can lose)");
	fputs(help_endio, stdout);
	for (unsigned i = 0; (e = mbfs_endio_variant_at(i)); i++)
		printf("      %-19s%s%s\n", e->name, e->summary, e->holds ? "" : " (can lose)");
	fputs(help_rest, stdout);
}

void options_version(void)
{
	printf("mbfs %s%s%s, libfuse %s\n", MBFS_VERSION, *MBFS_COMMIT ? " " : "", MBFS_COMMIT,
	       fuse_pkgversion());
}
