/* SPDX-License-Identifier: GPL-2.0-only */
/* draw.h - what the pictures share: which events matter, their columns and their words. */
#ifndef EXPLORE_DRAW_H
#define EXPLORE_DRAW_H

#include "world.h"

enum { DRAW_COLUMNS_MAX = EX_THREADS_MAX, DRAW_LABEL_BYTES = 480 };

struct ex_drawing {
	const struct explore_result *res;
	uint8_t *shown;  /* of each event: worth a line */
	uint8_t *column; /* of each event */
	unsigned columns;
	uint8_t thread[DRAW_COLUMNS_MAX]; /* of each column */
};

/* -ENOMEM. @brief: leave out most of what one thread does in a row. */
int ex_draw_begin(struct ex_drawing *d, const struct explore_result *res, bool brief);
void ex_draw_end(struct ex_drawing *d);
/* "lock(grp->lock)", "read bb_free = 0", ... */
void ex_draw_label(const struct explore_event *ev, char *to, size_t bytes);
/* Colour of a kind, as "#rrggbb". */
const char *ex_draw_colour(unsigned kind);
/* Text for XML and HTML. */
void ex_draw_xml(FILE *out, const char *text);
/* Contents of a JSON string, also inside a <script>. */
void ex_draw_json(FILE *out, const char *text);
int ex_draw_result(FILE *out);

#endif
