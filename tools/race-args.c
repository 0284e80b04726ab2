// SPDX-License-Identifier: GPL-2.0-only
#include "race-args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int args_bad_use(const char *fmt, ...)
{
	va_list ap;

	fputs("mbfs-race: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" (see mbfs-race --help)\n", stderr);
	return ARGS_BAD_USE;
}

bool args_number(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end || v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool args_seconds(const char *s, uint64_t *ms)
{
	char *end;
	double v;

	if (s[0] < '0' || s[0] > '9')
		return false;
	v = strtod(s, &end);
	if (*end || !(v >= 0.001) || v > 1000000)
		return false;
	*ms = (uint64_t)(v * 1000);
	return true;
}

int args_list(const char *opt, const char *arg, unsigned min, unsigned max, bool many,
	      unsigned *list, unsigned *nr)
{
	char copy[256], *at = copy, *word;
	uint64_t v;

	*nr = 0;
	if (strlen(arg) >= sizeof(copy))
		return args_bad_use("%s: too long", opt);
	memcpy(copy, arg, strlen(arg) + 1);
	while ((word = strsep(&at, ","))) {
		if (!args_number(word, min, max, &v) || *nr == ARGS_LIST_MAX || (*nr && !many))
			return args_bad_use("%s %s: a number from %u to %u is wanted%s", opt, arg,
					    min, max, many ? ", or a list of them" : "");
		list[(*nr)++] = (unsigned)v;
	}
	return 0;
}
