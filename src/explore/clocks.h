/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clocks.h - what happens before what, as vector clocks: for data races. Off, and no cost but a
 * look at ex_clocks_on, until a scenario makes its first rt_plain_ or rt_racy_ access.
 */
#ifndef EXPLORE_CLOCKS_H
#define EXPLORE_CLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ex_site;
struct ex_obj;

extern bool ex_clocks_on; /* in this execution */

/* ---- a map from addresses to records, emptied in no time ---- */
struct ex_map {
	struct ex_map_slot {
		const void *key;
		uint32_t run, at;
	} * slots;
	char *recs;
	size_t rec_bytes;
	uint32_t room, nr, run;
};
/* The record of @key, zeroed if it is new; NULL when there is no memory. */
void *ex_map_get(struct ex_map *m, const void *key, bool *was_new);
void ex_map_clear(struct ex_map *m);
void ex_map_end(struct ex_map *m);

/* ---- what operations tell ---- */
int ex_clocks_init(void);      /* -ENOMEM */
void ex_clocks_begin(bool on); /* an execution starts */
void ex_clocks_end(void);      /* the engine's memory */
void ex_clocks_acquire(const void *obj);
void ex_clocks_release(const void *obj); /* joins what is there: locks, and read-modify-writes */
/* Atomics: who reads without acquire learns at its next fence; a store without release passes on
 * what its thread knew at its last fence, and ends the release sequence that was there. */
void ex_clocks_load(const void *obj, bool acquire);
void ex_clocks_store(const void *obj, bool release);
void ex_clocks_update(const void *obj, bool ordered);
void ex_clocks_fence(bool total); /* total: fences also learn from all fences before */

/* ---- for weak.c ---- */
const uint32_t *ex_clocks_now(void);                   /* of the thread that runs */
void ex_clocks_learn(const uint32_t *sync, bool acquire);
void ex_clocks_teach(uint32_t *sync, bool release);

/* ---- weak.c: an atomic @obj whose newest value is @now ---- */
extern bool ex_weak_on;
int ex_weak_init(void); /* -ENOMEM */
void ex_weak_begin(bool on);
void ex_weak_end(void);
uint64_t ex_weak_load(const void *obj, uint64_t now, bool acquire);
void ex_weak_failed(const void *obj, uint64_t now);
void ex_weak_store(const void *obj, uint64_t now, uint64_t value, bool release);
void ex_weak_update(const void *obj, uint64_t now, uint64_t value, bool ordered);

#endif
