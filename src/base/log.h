/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages for the person who runs mbfs. One line each, to stderr and, once the daemon has left its
 * terminal, to syslog. The levels are syslog's.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <mbfs/types.h>

enum log_level { LOG_LEVEL_ERR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6 };

void log_msg(enum log_level level, const char *fmt, ...) MBFS_PRINTF(2, 3);

#define log_err(...)  log_msg(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)

#endif
