/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stacks.h - where the threads of a process are, for one that hangs: by eu-stack or gdb where there
 * is one, else what /proc tells of each thread. Slow (a second or more); the process is stopped
 * meanwhile.
 */
#ifndef RACE_STACKS_H
#define RACE_STACKS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* All stacks of @pid, as the tool prints them. */
void race_stacks_print(pid_t pid, FILE *out);
/*
 * race_stacks_brief - where the threads that are inside a call are, innermost first, with "; "
 * between: "1 in io_tree_lock_range_intr < file_change_begin < mbfs_file_truncate"
 * Threads that wait for work are left out. Empty when neither eu-stack nor gdb is there.
 */
void race_stacks_brief(pid_t pid, char *buf, size_t bytes);

#endif
