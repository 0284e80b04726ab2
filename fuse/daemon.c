// SPDX-License-Identifier: GPL-2.0-only
/*
 * One mount from the image's lock to its release.
 *
 *	open and lock the image, probe it		fails: nothing has happened
 *	make the session, mount it			the kernel's first request waits
 *	mbfs_fs_mount					fails: unmount again
 *	serve; INIT tells the waiting parent
 *	wait for the answers that are owed		none after this touches fs or session
 *	unmount the session, mbfs_fs_unmount, unlock	in this order: --wait means "all written"
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTION_BYTES = 16384 };

static int MBFS_PRINTF(2, 3) fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("mbfs: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

static int open_image(struct daemon *d, bool *read_only)
{
	const struct options *o = d->opts;
	struct mbfs_diag diag = { "" }, notes = { "" };
	int err;

	err = mbfs_bdev_open_file(o->image, o->offset_bytes,
				  o->io | (o->read_only ? MBFS_BDEV_RDONLY : 0), &diag, &d->dev);
	if (err) /* the message names the image */
		return fail(EXIT_MOUNT, "%s", diag.text);
	if (diag.text[0]) /* not the engine that was asked for */
		fail(0, "%s", diag.text);
	err = mbfs_fs_probe(d->dev, &o->fs, &diag, &notes, read_only);
	if (err)
		return fail(EXIT_MOUNT, "%s: %s", o->image, diag.text);
	if (notes.text[0])
		fail(0, "%s: %s", o->image, notes.text);
	return 0;
}

/* Append ",fsname=PATH" with the characters that libfuse takes apart escaped. */
static void add_fsname(char *to, size_t room, const char *path)
{
	size_t len = strlen(to);

	len += (size_t)snprintf(to + len, room - len, ",fsname=");
	for (; *path && len + 3 < room; path++) {
		if (*path == ',' || *path == '\\')
			to[len++] = '\\';
		to[len++] = *path;
	}
	to[len] = 0;
}

static struct fuse_session *session_open(struct daemon *d, bool read_only)
{
	const struct options *o = d->opts;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *se = NULL;
	char *list = malloc(OPTION_BYTES);
	bool user = geteuid() != 0; /* for whom fusermount3 adds nosuid,nodev itself */

	if (!list)
		return NULL;
	snprintf(list, OPTION_BYTES, "%s%s%s%s,subtype=mbfs%s", read_only ? "ro" : "rw",
		 o->fakeroot ? "" : ",default_permissions", o->allow_other ? ",allow_other" : "",
		 user      ? ""
		 : o->suid ? ",suid"
			   : ",nosuid",
		 o->kernel);
	if (!user)
		strcat(list, o->dev ? ",dev" : ",nodev");
	add_fsname(list, OPTION_BYTES, o->image);
	if (!fuse_opt_add_arg(&args, "mbfs") && !fuse_opt_add_arg(&args, "-o") &&
	    !fuse_opt_add_arg(&args, list) && (!o->debug || !fuse_opt_add_arg(&args, "-d")))
		se = fuse_session_new(&args, &daemon_ops, sizeof(daemon_ops), d);
	fuse_opt_free_args(&args);
	free(list);
	return se;
}

/* Serve until unmounted or told to end by a signal. 0 or an exit code. */
static int serve(struct daemon *d, struct fuse_session *se)
{
	struct fuse_loop_config *cfg = protocol_threads(d->opts->max_threads);
	int res;

	if (!cfg)
		return fail(EXIT_SYSTEM, "out of memory");
	res = fuse_session_loop_mt(se, cfg);
	fuse_loop_cfg_destroy(cfg);
	if (res < 0)
		return fail(EXIT_SYSTEM, "the connection to the kernel failed: %s", strerror(-res));
	return 0; /* a signal's number is a clean end too */
}

static int mount_and_serve(struct daemon *d, struct fuse_session *se)
{
	struct mbfs_diag diag = { "" }, notes = { "" };
	int code, err;

	err = mbfs_fs_mount(d->dev, &d->opts->fs, &diag, &notes, &d->fs);
	if (err) {
		fuse_session_unmount(se);
		return fail(EXIT_MOUNT, "%s: %s", d->opts->image,
			    diag.text[0] ? diag.text : strerror(-err));
	}
	d->session = se;
	/* One at a time is enough: who moves bytes waits for the kernel's pages. */
	err = rt_wq_create("moves", 1, &d->moves);
	code = err ? fail(EXIT_SYSTEM, "no thread could be started: %s", strerror(-err))
		   : serve(d, se);
	/* What other threads still answer goes through the session, and from the file system. */
	flights_settle(&d->flights);
	if (!err)
		rt_wq_destroy(d->moves);
	fuse_session_unmount(se);
	err = mbfs_fs_unmount(d->fs);
	if (err)
		return fail(EXIT_SYSTEM, "%s: unmount: %s; run \"e2fsck -f\" on it", d->opts->image,
			    strerror(-err));
	return code;
}

static int with_session(struct daemon *d, bool read_only)
{
	struct fuse_session *se = session_open(d, read_only);
	int code = EXIT_MOUNT;

	if (!se)
		return fail(EXIT_SYSTEM, "libfuse could not start a session");
	/* A limit on the length of files (ulimit -f) is an error of a write, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	if (fuse_set_signal_handlers(se)) {
		code = fail(EXIT_SYSTEM, "no signal handlers could be set");
		goto out_session;
	}
	if (fuse_session_mount(se, d->opts->mountpoint)) {
		fail(0, "%s could not be mounted on", d->opts->mountpoint);
	} else if (protocol_take_over(se)) {
		fuse_session_unmount(se);
		code = fail(EXIT_SYSTEM, "libfuse takes no functions of ours");
	} else {
		code = mount_and_serve(d, se);
	}
	/* Only now: a second signal may not end the write-out. */
	fuse_remove_signal_handlers(se);
out_session:
	fuse_session_destroy(se);
	return code;
}

static int run_here(struct daemon *d)
{
	bool read_only;
	int code;

	/* Requests from memory reclaim must not wait for memory that waits for us. Root only: a
	 * hint. */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	d->protocol.kill_priv = !d->opts->writeback && (!d->opts->suid || geteuid() != 0);
	code = open_image(d, &read_only);
	if (!code)
		code = with_session(d, read_only);
	if (d->dev)
		mbfs_bdev_close(d->dev);
	return code;
}

/* The parent: waits for the byte that says "usable", or for the child's end. */
static int await_child(pid_t child, int fd, const struct options *o)
{
	int status;
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fail(EXIT_SYSTEM, "the daemon is lost: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	if (WIFEXITED(status)) /* unmounted before it was ever used */
		return fail(EXIT_MOUNT, "%s was unmounted at once", o->mountpoint);
	return fail(EXIT_SYSTEM, "the daemon died of signal %d; if %s is still mounted, unmount it",
		    WTERMSIG(status), o->mountpoint);
}

int daemon_run(const struct options *opts)
{
	struct daemon d = { .opts = opts, .status_fd = -1 };
	int fds[2];
	pid_t child;

	if (opts->foreground)
		return run_here(&d);
	if (pipe2(fds, O_CLOEXEC))
		return fail(EXIT_SYSTEM, "pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		return fail(EXIT_SYSTEM, "fork: %s", strerror(errno));
	if (child) {
		close(fds[1]);
		return await_child(child, fds[0], opts);
	}
	close(fds[0]);
	d.status_fd = fds[1];
	setsid();
	if (chdir("/"))
		return fail(EXIT_SYSTEM, "chdir /: %s", strerror(errno));
	return run_here(&d);
}
