// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of an execution: a bump arena. Memory freed is filled with POISON and never given out
 * again within the execution, so that a use after free shows: an object carries poison where its
 * happens-before hash was, a write shows when the execution ends, ASan builds see any access. A
 * reset copies the bytes back that the set-up had used and forgets the rest.
 *
 * rt_free() is a visible operation: what another thread does with the block may come before it.
 */
#include "world.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES ((size_t)1 << (EX_TSAN ? 25 : 30)) /* TSan marks each byte mapped */
#define BLOCK_LIVE  0x6c697665u
#define BLOCK_FREE  0x66726565u

enum { POISON = 0x6b, FRESH = 0x5a };

struct block {
	uint32_t mark, tid;
	size_t bytes;
	struct block *prev;
	const struct ex_site *made, *freed;
	uint64_t pad;
};

static struct {
	char *base;
	size_t used;
	struct block *last;
	char *saved;
	size_t saved_used, saved_room;
	struct block *saved_last;
} arena;

#if EX_ASAN
void __asan_poison_memory_region(const volatile void *addr, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *addr, size_t bytes);
#else
static void __asan_poison_memory_region(const volatile void *addr, size_t bytes)
{
	(void)addr, (void)bytes;
}
static void __asan_unpoison_memory_region(const volatile void *addr, size_t bytes)
{
	(void)addr, (void)bytes;
}
#endif

void *ex_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void ex_pages_free(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

#if EX_ASAN || EX_TSAN
__attribute__((no_sanitize("address"))) __attribute__((no_sanitize("thread"))) void ex_copy_raw(
	void *to, const void *from, size_t bytes)
{
	volatile uint64_t *t = to;
	const volatile uint64_t *f = from;

	size_t words = ((uintptr_t)to | (uintptr_t)from) & 7 ? 0 : bytes / 8;

	for (size_t i = 0; i < words; i++)
		t[i] = f[i];
	for (size_t i = words * 8; i < bytes; i++)
		((volatile char *)to)[i] = ((const volatile char *)from)[i];
}
__attribute__((no_sanitize("address"))) __attribute__((no_sanitize("thread"))) void ex_fill_raw(
	void *to, uint8_t byte, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((volatile uint8_t *)to)[i] = byte;
}
#else
void ex_copy_raw(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}
void ex_fill_raw(void *to, uint8_t byte, size_t bytes)
{
	memset(to, byte, bytes);
}
#endif

int ex_arena_init(void)
{
	arena.base = ex_pages(ARENA_BYTES);
	return arena.base ? 0 : -ENOMEM;
}

const char *ex_arena_base(size_t *bytes)
{
	*bytes = ARENA_BYTES;
	return arena.base;
}

void ex_arena_end(void)
{
	ex_pages_free(arena.base, ARENA_BYTES);
	ex_pages_free(arena.saved, arena.saved_room);
	memset(&arena, 0, sizeof(arena));
}

void ex_arena_clear(void)
{
	__asan_unpoison_memory_region(arena.base, arena.used);
	arena.used = 0;
	arena.last = NULL;
}

bool ex_arena_save(void)
{
	if (arena.saved_room < arena.used) {
		ex_pages_free(arena.saved, arena.saved_room);
		arena.saved_room = (arena.used + 65535) & ~(size_t)65535;
		arena.saved = ex_pages(arena.saved_room);
		if (!arena.saved) {
			arena.saved_room = 0;
			return false;
		}
	}
	ex_copy_raw(arena.saved, arena.base, arena.used);
	arena.saved_used = arena.used;
	arena.saved_last = arena.last;
	return true;
}

void ex_arena_restore(void)
{
	__asan_unpoison_memory_region(arena.base, arena.used);
	ex_copy_raw(arena.base, arena.saved, arena.saved_used);
	arena.used = arena.saved_used;
	arena.last = arena.saved_last;
#if EX_ASAN
	for (struct block *b = arena.last; b; b = b->prev)
		if (b->mark == BLOCK_FREE)
			__asan_poison_memory_region(b + 1, b->bytes);
#endif
}

/* ---- allocation ---- */

static bool alloc_may(struct ex_world *w, const struct ex_site *site)
{
	/* mbfs_alloc_check() does, at quiescence, where nobody waits for it */
	if (w->cur->spin_depth && w->phase == EX_EXPLORE)
		ex_stop(EXPLORE_ATOMIC, "%s: allocates at %s:%d while holding a spinlock",
			w->cur->name, ex_short_file(site->file), site->line);
	if (w->sim.fail_at > 0 && --w->sim.fail_at == 0) {
		w->sim.fail_struck = true;
		return false;
	}
	if (w->phase == EX_EXPLORE && w->sim.alloc_fails > 0 && ex_data(2)) {
		w->sim.alloc_fails--;
		explore_note("allocation at %s:%d fails", ex_short_file(site->file), site->line);
		return false;
	}
	return true;
}

void *ex_alloc(size_t align, size_t bytes, bool zero, const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct block *b;
	size_t at;

	if (!alloc_may(w, site))
		return NULL;
	if (align < 16)
		align = 16;
	at = (arena.used + sizeof(*b) + align - 1) & ~(align - 1);
	if (bytes > ARENA_BYTES || at + bytes + 16 > ARENA_BYTES)
		return NULL;
	b = (struct block *)(void *)(arena.base + at) - 1;
	*b = (struct block){ BLOCK_LIVE, (uint32_t)ex_tid(w, w->cur), bytes, arena.last, site, NULL,
			     0 };
	arena.last = b;
	arena.used = at + ((bytes + 15) & ~(size_t)15);
	ex_fill_raw(b + 1, zero ? 0 : FRESH, bytes);
	return b + 1;
}

char *ex_strdup(const char *s, const struct ex_site *site)
{
	size_t bytes = strlen(s) + 1;
	char *copy = ex_alloc(16, bytes, false, site);

	if (copy)
		memcpy(copy, s, bytes);
	return copy;
}

static struct block *block_of(const void *addr)
{
	const char *a = addr;

	if (a < arena.base || a >= arena.base + arena.used)
		return NULL;
	for (struct block *b = arena.last; b; b = b->prev)
		if (a >= (const char *)(b + 1) && a < (const char *)(b + 1) + b->bytes)
			return b;
	return NULL;
}

bool explore_is_alive(const void *p)
{
	const struct block *b = block_of(p);

	return b && b->mark == BLOCK_LIVE;
}

void explore_each_made_in(const char *func, void (*fn)(const void *p, unsigned nr, void *arg),
			  void *arg)
{
	unsigned nr = 0;

	for (const struct block *b = arena.last; b; b = b->prev)
		nr += b->made && strcmp(b->made->func, func) == 0;
	for (const struct block *b = arena.last; b; b = b->prev) {
		if (!b->made || strcmp(b->made->func, func) != 0)
			continue;
		if (b->mark == BLOCK_LIVE)
			fn(b + 1, nr, arg);
		nr--;
	}
}

static _Noreturn void used_after_free(const struct ex_world *w, const struct block *b,
				      const struct ex_thread *t, const struct ex_op *op)
{
	ex_stop(EXPLORE_UAF, "%s: %s %s at %s:%d: freed by %s at %s:%d, made at %s:%d", t->name,
		ex_kind_names[op->kind], op->site->what, ex_short_file(op->site->file),
		op->site->line, w->sim.th[b->tid].name, ex_short_file(b->freed->file),
		b->freed->line, ex_short_file(b->made->file), b->made->line);
}

#if EX_ASAN
int __asan_address_is_poisoned(const volatile void *addr);
static bool looks_freed(const struct ex_obj *o)
{
	return o && __asan_address_is_poisoned(o);
}
#else
static bool looks_freed(const struct ex_obj *o)
{
	return o && o->wr == EX_POISON_WORD;
}
#endif

void ex_arena_check_objects(const struct ex_world *w, const struct ex_op *op,
			    const struct ex_obj *o1, const struct ex_obj *o2)
{
	const struct block *b;

	if (!looks_freed(o1) && !looks_freed(o2))
		return;
	b = block_of(looks_freed(o1) ? o1 : o2);
	if (b && b->mark == BLOCK_FREE)
		used_after_free(w, b, w->cur, op);
}

void ex_arena_check_address(const struct ex_world *w, const void *addr, const struct ex_op *op)
{
	const struct block *b;

#if EX_ASAN
	if (!__asan_address_is_poisoned(addr))
		return;
#else
	if (*(const volatile uint8_t *)addr != POISON)
		return;
#endif
	b = block_of(addr);
	if (b && b->mark == BLOCK_FREE)
		used_after_free(w, b, w->cur, op);
}

/* Whoever has announced an operation in the block will touch it after the free. */
static void check_pending(const struct ex_world *w, const struct block *b)
{
	uintptr_t from = (uintptr_t)(b + 1), to = from + b->bytes;

	for (uint32_t m = w->sim.live; m; m &= m - 1) {
		const struct ex_thread *t = &w->sim.th[__builtin_ctz(m)];
		const uintptr_t at[] = { (uintptr_t)t->op.addr, (uintptr_t)t->op.o1,
					 (uintptr_t)t->op.o2 };

		if (t == w->cur || t->op.kind == EX_FREE)
			continue;
		for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++)
			if (at[i] >= from && at[i] < to)
				used_after_free(w, b, t, &t->op);
	}
}

void ex_free(void *p, const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct block *b;

	if (!p)
		return;
	b = (struct block *)p - 1;
	ex_point(EX_FREE, NULL, NULL, p, b->bytes, site);
	if (b->mark == BLOCK_FREE)
		ex_stop(EXPLORE_DOUBLE_FREE, "%s: %s at %s:%d was freed by %s at %s:%d",
			w->cur->name, site->what, ex_short_file(site->file), site->line,
			w->sim.th[b->tid].name, ex_short_file(b->freed->file), b->freed->line);
	if (b->mark != BLOCK_LIVE)
		ex_stop(EXPLORE_MISUSE, "%s: rt_free(%s) at %s:%d of what rt_alloc did not give",
			w->cur->name, site->what, ex_short_file(site->file), site->line);
	b->mark = BLOCK_FREE;
	b->freed = site;
	b->tid = (uint32_t)ex_tid(w, w->cur);
	check_pending(w, b);
	ex_fill_raw(p, POISON, b->bytes);
	__asan_poison_memory_region(p, b->bytes);
}

static bool still_poison(const struct block *b)
{
	const uint8_t *p = (const uint8_t *)(b + 1);

	if (EX_ASAN) /* it would have told */
		return true;
	for (size_t i = 0; i < b->bytes; i++)
		if (p[i] != POISON)
			return false;
	return true;
}

/* On the engine's stack, after the check. */
void ex_arena_check_leaks(struct ex_world *w)
{
	const struct block *first = NULL;
	unsigned nr = 0;

	for (const struct block *b = arena.last; b && b->prev; b = b->prev) {
		if (b->mark == BLOCK_FREE && !still_poison(b)) {
			w->verdict = EXPLORE_UAF;
			ex_text(w, "written after it was freed by %s at %s:%d (made at %s:%d)",
				w->sim.th[b->tid].name, ex_short_file(b->freed->file),
				b->freed->line, ex_short_file(b->made->file), b->made->line);
			return;
		}
		if (b->mark == BLOCK_LIVE) {
			first = b;
			nr++;
		}
	}
	if (!nr || w->scn->may_leak)
		return;
	w->verdict = EXPLORE_LEAK;
	ex_text(w, "%u block%s not freed; the first, of %zu bytes, made at %s:%d", nr,
		nr == 1 ? "" : "s", first->bytes, ex_short_file(first->made->file),
		first->made->line);
}

/* ---- failures on demand ---- */

void rt_mem_fail_at(uint64_t n)
{
	ex_world->sim.fail_at = n;
	ex_world->sim.fail_struck = false;
}

bool rt_mem_fail_struck(void)
{
	return ex_world->sim.fail_struck;
}
