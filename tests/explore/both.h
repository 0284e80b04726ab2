/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_EXPLORE_BOTH_H
#define TESTS_EXPLORE_BOTH_H

int both_explore_finds(void); /* 1: the explorer found the lost update */

#endif
