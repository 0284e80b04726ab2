/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * proc.h - other programs: mkfs.ext4, mounts, e2fsck. /usr/sbin and /sbin are searched after PATH.
 * What they print goes to the end of a file.
 */
#ifndef RACE_PROC_H
#define RACE_PROC_H

#include <mbfs/types.h>

#include <sys/types.h>

/*
 * proc_start - start a program, in a session of its own, so that Ctrl-C does not reach it
 * @argv: [in] ends with NULL
 * @log:  [in] file to which its stdout and stderr are appended; NULL: /dev/null
 * It is killed (SIGTERM) when the caller dies. Errors: as fork(2). A program that cannot be
 * executed ends with status 127.
 */
int proc_start(const char *const argv[], const char *log, pid_t *pid);

/*
 * proc_wait - wait for a child at most @timeout_ms (0: no limit), then kill it
 * @status: [out] exit status; 128 + signal when a signal ended it
 * Errors: -ETIMEDOUT (it is killed and collected).
 */
int proc_wait(pid_t pid, uint64_t timeout_ms, int *status);

/* True when the child has ended (and is collected); its status as proc_wait() has it. */
bool proc_ended(pid_t pid, int *status);

/* proc_start() and proc_wait(); the exit status, or a negative errno. */
int proc_run(const char *const argv[], const char *log, uint64_t timeout_ms);

/* The last line of @path that is not empty, without its newline; "" when there is none. */
void proc_last_line(const char *path, char *buf, size_t bytes);

#endif
