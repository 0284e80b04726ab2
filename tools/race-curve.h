/* SPDX-License-Identifier: GPL-2.0-only */
/* mbfs-race curve. */
#ifndef TOOLS_RACE_CURVE_H
#define TOOLS_RACE_CURVE_H

/* What follows "curve" on the command line; the exit status. */
int curve_main(int argc, char **argv);

#endif
