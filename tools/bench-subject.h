/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench-subject.h - mounts that are compared: mbfs with each of its --mount-opts, other builds of
 * it, and its peers. All stay mounted for the whole run and take turns, so that the figures that
 * are compared are seconds apart.
 */
#ifndef TOOLS_BENCH_SUBJECT_H
#define TOOLS_BENCH_SUBJECT_H

#include "bench-peer.h"

enum { BENCH_SUBJECTS_MAX = PEER_NR - 1 + 2 * BENCH_LIST_MAX, BENCH_NAME_BYTES = 96 };

struct bench_subject {
	struct bench_peer peer;
	struct bench_args args; /* with its own daemon */
	const char *opts;       /* of the mount; NULL: none */
	char name[BENCH_NAME_BYTES];
	bool up;
	unsigned turns; /* measured without a gap from the first on */
	void *figures;  /* zeroed at the start; whose they are only the user knows */
};

struct bench_subjects {
	struct bench_subject all[BENCH_SUBJECTS_MAX];
	unsigned nr;
};

/*
 * bench_subjects_up - mount them all
 * @opts:          [in] of each mount of mbfs; one NULL: as it is
 * @figures_bytes: [in] of each one's figures
 * Errors: mbfs does not mount, or -ENOMEM; said on stderr. A peer that cannot run here is left out
 * with a line. bench_subjects_down() is due in any case.
 */
int bench_subjects_up(struct bench_subjects *s, const struct bench_args *args,
		      const char *const *opts, unsigned opts_nr, size_t figures_bytes);

/* All are taken down, whatever fails. Errors: -EIO, said on stderr. */
int bench_subjects_down(struct bench_subjects *s);

/*
 * bench_subjects_turn - every one does measure() once
 * Who fails is left out from here on, with a line, but for mbfs: the error is returned.
 */
int bench_subjects_turn(struct bench_subjects *s, unsigned turn, const char *what,
			int (*measure)(void *ctx, struct bench_subject *subject, unsigned turn),
			void *ctx);
/* The turn is over for all that are up. */
void bench_subjects_turn_end(struct bench_subjects *s, unsigned turn);

/* What a subject's daemon says of itself. */
struct bench_gauge {
	double cpu_ns;   /* it has used; -1: no daemon */
	double endio[3]; /* writes converted, queued, merged; -1: it does not say */
};
void bench_gauge_read(const struct bench_subject *s, struct bench_gauge *g);
/* From one to the other, of each of @nr operations; -1: not known. */
double bench_gauge_each(double before, double after, uint64_t nr);

/* Others' load falls on the rates of all, but not evenly: a line on stderr. */
void bench_warn_if_busy(void);

#endif
