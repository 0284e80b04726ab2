// SPDX-License-Identifier: GPL-2.0-only
/*
 * One call of intr.sh's: t_intr hold|read|write|punch FILE OFF LEN [MS]
 *
 * Bytes go past the page cache; a write fills them with 'h' (hold) or 'w'. hold writes by AIO: a
 * write(2) would hold the kernel's lock of the file as well, and who wants that would wait there.
 * After MS milliseconds a SIGALRM comes. Prints "done", or how the call has failed, and after how
 * long.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void on_alarm(int sig)
{
	(void)sig;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static ssize_t hold(int fd, void *buf, size_t len, off_t off)
{
	struct iocb cb = { .aio_fildes = (uint32_t)fd,
			   .aio_lio_opcode = IOCB_CMD_PWRITE,
			   .aio_buf = (uintptr_t)buf,
			   .aio_nbytes = len,
			   .aio_offset = off },
		    *list = &cb;
	struct io_event over;
	aio_context_t aio = 0;

	if (syscall(SYS_io_setup, 1, &aio) || syscall(SYS_io_submit, aio, 1, &list) != 1)
		return -1;
	while (syscall(SYS_io_getevents, aio, 1, 1, &over, NULL) != 1)
		if (errno != EINTR)
			return -1;
	errno = over.res < 0 ? (int)-over.res : 0;
	return over.res < 0 ? -1 : (ssize_t)over.res;
}

static ssize_t call(const char *what, int fd, void *buf, size_t len, off_t off)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (!strcmp(what, "hold"))
		return hold(fd, buf, len, off);
	if (!strcmp(what, "read"))
		return pread(fd, buf, len, off);
	if (!strcmp(what, "write"))
		return pwrite(fd, buf, len, off);
	return fallocate(fd, punch, off, (off_t)len) ? -1 : (ssize_t)len;
}

int main(int argc, char **argv)
{
	const struct sigaction act = { .sa_handler = on_alarm }; /* without SA_RESTART */
	struct itimerval timer = { 0 };
	size_t len;
	ssize_t got;
	long began;
	void *buf;
	int fd;

	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: t_intr hold|read|write|punch FILE OFF LEN [MS]\n");
		return 2;
	}
	fd = open(argv[2], O_RDWR | O_DIRECT);
	len = strtoul(argv[4], NULL, 0);
	buf = aligned_alloc(4096, len);
	if (fd < 0 || !buf) {
		perror(argv[2]);
		return 2;
	}
	memset(buf, argv[1][0], len);
	sigaction(SIGALRM, &act, NULL);
	if (argc == 6)
		timer.it_value.tv_usec = strtol(argv[5], NULL, 0) * 1000;
	setitimer(ITIMER_REAL, &timer, NULL);
	began = now_ms();
	got = call(argv[1], fd, buf, len, strtol(argv[3], NULL, 0));
	if (got < 0)
		printf("%s %ld ms\n", strerrorname_np(errno), now_ms() - began);
	else
		printf("%s %ld ms\n", got == (ssize_t)len ? "done" : "short", now_ms() - began);
	free(buf);
	close(fd);
	return 0;
}
