// SPDX-License-Identifier: GPL-2.0-only
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

/*
 * libfuse's daemonising points stderr at /dev/null; syslog is where messages go from then on.
 * Asking for a terminal or a pipe each time keeps this free of state. Weak: the explorer has its
 * own, which writes into the trace (src/explore/report.c).
 */
__attribute__((weak)) void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "mbfs: %s\n", line);
	if (getppid() == 1)
		syslog(LOG_DAEMON | (int)level, "%s", line);
}
