/* SPDX-License-Identifier: GPL-2.0-only */
/* mbfs-race run SCENARIO for the small scenarios (race/small.h) with real threads. */
#ifndef TOOLS_RACE_SMALL_H
#define TOOLS_RACE_SMALL_H

/* @argv[0] is the scenario. The exit status. */
int small_main(int argc, char **argv);

#endif
