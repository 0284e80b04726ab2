/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Assertions. They state what only a bug can break; errors (bad disks, bad input, no memory) are
 * returned. MBFS_ASSERT is O(1) and always on. MBFS_ASSERT_SLOW walks a structure and is on in test
 * builds (MBFS_SLOW_CHECKS); both always compile.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <mbfs/types.h>

#ifndef MBFS_SLOW_CHECKS
#define MBFS_SLOW_CHECKS 0
#endif

_Noreturn void base_assert_failed(const char *expr, const char *file, int line, const char *func);

#define MBFS_ASSERT(cond)                                                                          \
	(__builtin_expect(!!(cond), 1) ?                                                           \
		 (void)0 :                                                                         \
		 base_assert_failed(#cond, __FILE__, __LINE__, __func__))

#define MBFS_ASSERT_SLOW(cond)                                                                     \
	((!MBFS_SLOW_CHECKS || (cond)) ? (void)0 :                                                 \
					 base_assert_failed(#cond, __FILE__, __LINE__, __func__))

#define MBFS_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                                            \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* diag_set - put one line into a caller's diag; @diag may be NULL. Returns @err, for tail calls. */
int diag_set(struct mbfs_diag *diag, int err, const char *fmt, ...) MBFS_PRINTF(3, 4);

#endif
