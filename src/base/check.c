// SPDX-License-Identifier: GPL-2.0-only
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Weak: the explorer makes a verdict of it (src/explore/report.c). */
__attribute__((weak)) void base_assert_failed(const char *expr, const char *file, int line,
					      const char *func)
{
	fprintf(stderr, "mbfs: %s:%d: %s: assertion failed: %s\n", file, line, func, expr);
	abort();
}

int diag_set(struct mbfs_diag *diag, int err, const char *fmt, ...)
{
	va_list ap;

	if (!diag)
		return err;
	va_start(ap, fmt);
	vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
	va_end(ap);
	return err;
}
