/* SPDX-License-Identifier: GPL-2.0-only */
/* arena.h - memory of executions and of the engine, and what the sanitizers are told about it. */
#ifndef EXPLORE_ARENA_H
#define EXPLORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clocks.h"
#include "fiber.h"
#include "model.h"

struct ex_op;
struct ex_world;

int ex_arena_init(void);
void ex_arena_end(void);
void ex_arena_clear(void);   /* empty */
bool ex_arena_save(void);    /* remember this state */
void ex_arena_restore(void); /* back to it */
/* Fails if @op's objects @o1, @o2 look freed and are; the look is inline. */
#define EX_POISON_WORD 0x6b6b6b6b6b6b6b6bull
void ex_arena_check_objects(const struct ex_world *w, const struct ex_op *op,
			    const struct ex_obj *o1, const struct ex_obj *o2);
static inline void ex_arena_check_access(const struct ex_world *w, const struct ex_op *op,
					 const struct ex_obj *o1, const struct ex_obj *o2)
{
	if (EX_ASAN || (o1 && o1->wr == EX_POISON_WORD) || (o2 && o2->wr == EX_POISON_WORD))
		ex_arena_check_objects(w, op, o1, o2);
}
/* The same for memory without an object in it. */
void ex_arena_check_address(const struct ex_world *w, const void *addr, const struct ex_op *op);
void ex_arena_check_leaks(struct ex_world *w); /* and writes after free; sets the verdict */
void *ex_pages(size_t bytes);                  /* the engine's own memory */
void ex_pages_free(void *p, size_t bytes);
const char *ex_arena_base(size_t *bytes);

/* Without the sanitizers looking: stacks and memory of other fibers. */
void ex_copy_raw(void *to, const void *from, size_t bytes);
void ex_fill_raw(void *to, uint8_t byte, size_t bytes);

#if EX_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static inline void ex_tsan_acquire(const void *p)
{
	__tsan_acquire((void *)(uintptr_t)p);
}
static inline void ex_tsan_release(const void *p)
{
	__tsan_release((void *)(uintptr_t)p);
}
#else
static inline void ex_tsan_acquire(const void *p)
{
	(void)p;
}
static inline void ex_tsan_release(const void *p)
{
	(void)p;
}
#endif

/* What orders the code under test: TSan is told, and clocks.c. */
static inline void ex_sync_acquire(const void *p)
{
	ex_tsan_acquire(p);
	if (__builtin_expect(ex_clocks_on, 0))
		ex_clocks_acquire(p);
}
static inline void ex_sync_release(const void *p)
{
	ex_tsan_release(p);
	if (__builtin_expect(ex_clocks_on, 0))
		ex_clocks_release(p);
}
/* An atomic's load, store and read-modify-write. */
static inline void ex_sync_load(const void *p, bool acquire)
{
	if (acquire)
		ex_tsan_acquire(p);
	if (__builtin_expect(ex_clocks_on, 0))
		ex_clocks_load(p, acquire);
}
static inline void ex_sync_store(const void *p, bool release)
{
	if (release)
		ex_tsan_release(p);
	if (__builtin_expect(ex_clocks_on, 0))
		ex_clocks_store(p, release);
}
static inline void ex_sync_update(const void *p, bool ordered)
{
	if (ordered) {
		ex_tsan_acquire(p);
		ex_tsan_release(p);
	}
	if (__builtin_expect(ex_clocks_on, 0))
		ex_clocks_update(p, ordered);
}

#endif
