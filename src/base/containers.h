/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists and trees: the BSD macros, from libc (sys/queue.h: LIST, TAILQ) and libbsd (sys/tree.h:
 * RB). libbsd's headers also bring the _SAFE iterators that glibc's queue.h lacks.
 */
#ifndef BASE_CONTAINERS_H
#define BASE_CONTAINERS_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#endif
