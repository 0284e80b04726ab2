/* SPDX-License-Identifier: GPL-2.0-only */
/* mbfs-race load and mbfs-race stacks. */
#ifndef TOOLS_RACE_LOAD_H
#define TOOLS_RACE_LOAD_H

/* What follows "load" and "stacks" on the command line; the exit status. */
int load_main(int argc, char **argv);
int stacks_main(int argc, char **argv);

#endif
