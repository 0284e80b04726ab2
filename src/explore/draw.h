/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * draw.h - what the pictures share: which events matter (draw_pick.c), what is called what, columns
 * and words (draw.c).
 */
#ifndef EXPLORE_DRAW_H
#define EXPLORE_DRAW_H

#include "base/containers.h"
#include "world.h"

enum {
	DRAW_COLUMNS_MAX = EX_THREADS_MAX,
	DRAW_LABEL_BYTES = 480,
	DRAW_BRIEF_MAX = 6,
	DRAW_NO_COLUMN = 255
};

/* Of each event. */
struct ex_row {
	const char *name; /* its object's: one spelling per object */
	uint32_t from;    /* 1 + the event of another thread that let this one happen, or that it
			     waits for the end of; 0: none */
	uint16_t twin;    /* objects of one name: 1, 2, ... in their order; 0: it is the only one */
	uint8_t score;    /* how much it matters, 0..9 */
	uint8_t depth;    /* shown sections of its thread around it */
	uint8_t column;   /* DRAW_NO_COLUMN: its thread has none */
	bool shown;       /* in the brief form */
	bool moves;       /* values moved after it */
	bool plain;       /* shown for what moved after it only */
	bool cut;         /* shown first after a thread that could have gone on */
	uint32_t times;   /* shown: so many alike in a row, this is the first */
};

struct ex_drawing {
	const struct explore_result *res;
	uint32_t event_nr; /* to be drawn: of a livelock, up to the end of its second round */
	struct ex_row *row;
	uint32_t cycle_from, cycle_len, cycle_times; /* of a livelock; cycle_len 0: none */
	bool short_names;                            /* for labels: without subscripts */
	unsigned columns;
	uint8_t thread[DRAW_COLUMNS_MAX]; /* of each column */
	unsigned briefs;
	uint32_t brief[DRAW_BRIEF_MAX]; /* values that the brief form shows */
};

/* -ENOMEM. @lines: at most so many events are shown. */
int ex_draw_begin(struct ex_drawing *d, const struct explore_result *res, unsigned lines);
void ex_draw_end(struct ex_drawing *d);
/* draw_pick.c */
int ex_draw_pick(struct ex_drawing *d, unsigned lines);

/*
 * The values as they were after so many events: start with zeros, and with the events in their
 * order.
 */
struct ex_state {
	uint32_t at;                           /* changes applied */
	const struct explore_change *now[256]; /* of each value; NULL: it is not there */
	bool moved;                            /* a brief one, since this was cleared */
};
void ex_state_go(const struct ex_drawing *d, struct ex_state *st, uint32_t after);

/* What changed after event @i in the values that are words: "pa#1: deleted"; its length. */
int ex_draw_moves(const struct explore_result *res, uint32_t i, char *to, size_t bytes);
/* "lock(grp->lock)", "bb_free == 0", ... */
void ex_draw_label(const struct ex_drawing *d, uint32_t i, char *to, size_t bytes);
bool ex_draw_leaves(unsigned kind); /* an unlock */
bool ex_draw_takes_lock(const struct explore_event *ev);
/* What it is in a legend: an index of ex_draw_classes. */
unsigned ex_draw_class(unsigned kind);
struct ex_draw_class {
	const char *id, *light, *dark, *what;
};
enum { DRAW_CLASSES = 6 };
extern const struct ex_draw_class ex_draw_classes[DRAW_CLASSES];
/* Text for XML and HTML. */
void ex_draw_xml(FILE *out, const char *text);
/* Contents of a JSON string, also inside a <script>. */
void ex_draw_json(FILE *out, const char *text);
int ex_draw_result(FILE *out);

/* draw_page.c: the parts of a page that are the same for all */
extern const char ex_page_style[], ex_page_script[];

#endif
