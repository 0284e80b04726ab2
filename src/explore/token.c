// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tokens: mbx1:VERSION:COMMIT:SCENARIO:VARIANT:SEED:SWITCHES. Switches are the steps at which the
 * schedule leaves the default policy (fair.c): "12B" - at step 12 thread B runs; "15?2" - at step
 * 15 a choice of the scenario has value 2; "-" for none.
 */
#include "search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "mbx1"

void ex_token_write(const struct ex_world *w, uint64_t seed, char *to, size_t bytes)
{
	int at = ex_print(to, bytes, MAGIC ":%s:%s:%s:%s:%llx:", MBFS_VERSION, MBFS_COMMIT,
			  w->scn->name, w->scn->variant ? w->scn->variant : "",
			  (unsigned long long)seed);
	unsigned nr = 0;

	for (uint32_t i = 0; i < w->path_nr; i++) {
		const struct ex_step *s = &w->path[i];

		if (s->picked == s->dflt)
			continue;
		if ((size_t)at + 24 > bytes) {
			to[0] = '\0'; /* too long to be of use: minimise */
			return;
		}
		at += ex_print(to + at, bytes - (size_t)at, "%s%u", nr++ ? "," : "", i);
		at += s->data ? ex_print(to + at, bytes - (size_t)at, "?%u", s->picked)
			      : ex_print(to + at, bytes - (size_t)at, "%c", ex_letter(s->picked));
	}
	if (!nr)
		ex_print(to + at, bytes - (size_t)at, "-");
}

static bool take_field(const char **at, char *to, size_t bytes)
{
	const char *colon = strchr(*at, ':');
	size_t n = colon ? (size_t)(colon - *at) : 0;

	if (!colon || n >= bytes)
		return false;
	memcpy(to, *at, n);
	to[n] = '\0';
	*at = colon + 1;
	return true;
}

bool explore_token_parse(const char *text, struct explore_token *tok, char *why, size_t why_bytes)
{
	char magic[8], seed[24];

	if (!take_field(&text, magic, sizeof(magic)) || strcmp(magic, MAGIC) != 0 ||
	    !take_field(&text, tok->version, sizeof(tok->version)) ||
	    !take_field(&text, tok->commit, sizeof(tok->commit)) ||
	    !take_field(&text, tok->scenario, sizeof(tok->scenario)) ||
	    !take_field(&text, tok->variant, sizeof(tok->variant)) ||
	    !take_field(&text, seed, sizeof(seed))) {
		ex_print(why, why_bytes, "not a token (" MAGIC ":version:commit:scenario:...)");
		return false;
	}
	tok->seed = strtoull(seed, NULL, 16);
	tok->switches = text;
	if (strcmp(tok->version, MBFS_VERSION) != 0) {
		ex_print(why, why_bytes, "the token is of version %s, this is %s", tok->version,
			 MBFS_VERSION);
		return false;
	}
	if (strcmp(tok->commit, MBFS_COMMIT) != 0) {
		ex_print(why, why_bytes, "the token is of commit %s, this is commit %s",
			 tok->commit, MBFS_COMMIT);
		return false;
	}
	return true;
}

static int thread_of(char letter)
{
	if (letter == 'r')
		return EX_RCU;
	if (letter < 'A' || letter >= 'A' + EX_THREADS_MAX - EX_FIRST)
		return -1;
	return letter - 'A' + EX_FIRST;
}

/* Number of deviations, -1 if the text is none. */
int ex_token_switches(const char *text, struct ex_deviation *dev, unsigned max)
{
	unsigned nr = 0;

	if (strcmp(text, "-") == 0)
		return 0;
	for (;;) {
		char *end;
		unsigned long step = strtoul(text, &end, 10);
		int to;

		if (end == text || nr == max)
			return -1;
		dev[nr] = (struct ex_deviation){ .step = (uint32_t)step, .data = *end == '?' };
		text = end + 1;
		to = *end == '?' ? (int)strtoul(end + 1, (char **)(uintptr_t)&text, 10)
				 : thread_of(*end);
		if (to < 0 || (nr > 0 && dev[nr].step <= dev[nr - 1].step))
			return -1;
		dev[nr++].to = (uint8_t)to;
		if (*text == '\0')
			return (int)nr;
		if (*text++ != ',')
			return -1;
	}
}
