/* SPDX-License-Identifier: GPL-2.0-only */
/* stat.h - what the files of mbfs-stat share. */
#ifndef TOOLS_STAT_H
#define TOOLS_STAT_H

#include <stdbool.h>

enum { EXIT_USAGE = 1, EXIT_NO_MOUNT = 2 };

/* A command about a file: "mbfs-stat NAME ...". */
struct stat_verb {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0]: the program; returns an exit status */
};

/* NULL: no command of that name. */
const struct stat_verb *stat_verb_find(const char *name);

#endif
