// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which objects threads share, as far as the executions of a search have shown: those that two
 * threads have used and one has written. An operation on others commutes with all that other
 * threads do, so that a preemption before it is as good as one before the next shared operation.
 *
 * By address: what an address has been in any execution counts. Freeing a block writes all of it.
 * What is not in the arena (RCU, the clock, threads) is shared. Plain accesses are not seen: where
 * they are ordered by locks and atomics, as TSan checks, nothing is lost.
 */
#include "search.h"

#include <errno.h>
#include <sys/mman.h>

enum { SLOT_BYTES = 16, WRITER_SHIFT = 16, USERS = 0xffff };

static struct {
	uint32_t *slot; /* for each 16 bytes of the arena: users and, << 16, writers; bit each */
	size_t nr;
	const char *base;
	/* Behind the slots: objects that became shared, and the sum of their hashes. */
	struct grown {
		uint64_t nr, sum;
	} *grown;
} sh;

static size_t map_bytes(void)
{
	return sh.nr * sizeof(*sh.slot) + sizeof(*sh.grown);
}

/* With jobs all processes write to the same slots: what one learns holds for all. */
int ex_shared_start(bool jobs)
{
	size_t bytes;
	void *map;

	ex_shared_end();
	sh.base = ex_arena_base(&bytes);
	sh.nr = bytes / SLOT_BYTES;
	map = mmap(NULL, map_bytes(), PROT_READ | PROT_WRITE,
		   (jobs ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	sh.slot = map;
	sh.grown = (struct grown *)(void *)(sh.slot + sh.nr);
	return 0;
}

void ex_shared_end(void)
{
	ex_pages_free(sh.slot, map_bytes());
	sh.slot = NULL;
}

uint64_t ex_shared_grown(void)
{
	return __atomic_load_n(&sh.grown->nr, __ATOMIC_RELAXED);
}

/* The same for the same set of shared objects. */
uint64_t ex_shared_sum(void)
{
	return sh.slot ? __atomic_load_n(&sh.grown->sum, __ATOMIC_RELAXED) : 0;
}

/* NULL: not in the arena. */
static uint32_t *slot_of(const void *addr)
{
	size_t at = (size_t)((const char *)addr - sh.base) / SLOT_BYTES;

	return (const char *)addr >= sh.base && at < sh.nr ? &sh.slot[at] : NULL;
}

static bool slot_shared(uint32_t v)
{
	uint32_t users = v & USERS;

	return (users & (users - 1)) && v >> WRITER_SHIFT;
}

static void use(const void *addr, int tid, bool write)
{
	uint32_t *slot = slot_of(addr), old, now;

	if (!slot)
		return;
	now = 1u << tid | (write ? 1u << (tid + WRITER_SHIFT) : 0);
	if (__builtin_expect((*slot & now) == now, 1))
		return;
	old = __atomic_fetch_or(slot, now, __ATOMIC_RELAXED);
	if (slot_shared(old) || !slot_shared(old | now))
		return;
	__atomic_add_fetch(&sh.grown->nr, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&sh.grown->sum, ex_mix((uint64_t)(slot - sh.slot), 9), __ATOMIC_RELAXED);
}

void ex_shared_note(const struct ex_world *w, const struct ex_thread *t)
{
	const struct ex_op *op = &t->op;
	int tid = ex_tid(w, t);

	if (op->kind == EX_FREE && w->opt->drop_rule != RULE_LOCAL_FREE) {
		for (uint64_t at = 0; at < op->arg; at += SLOT_BYTES)
			use((const char *)op->addr + at, tid, true);
		return;
	}
	if (op->o1)
		use(op->o1, tid, op->flags & EX_WR);
	if (op->o2)
		use(op->o2, tid, true);
}

static bool obj_local(const struct ex_obj *o)
{
	const uint32_t *slot = slot_of(o);

	return slot && !slot_shared(*slot);
}

bool ex_shared_local(const struct ex_op *op)
{
	switch (op->kind) {
	case EX_MUTEX_LOCK:
	case EX_MUTEX_TRYLOCK:
	case EX_MUTEX_UNLOCK:
	case EX_SPIN_LOCK:
	case EX_SPIN_TRYLOCK:
	case EX_SPIN_UNLOCK:
	case EX_READ_LOCK:
	case EX_READ_UNLOCK:
	case EX_WRITE_LOCK:
	case EX_WRITE_UNLOCK:
	case EX_EVENT_KEY:
	case EX_EVENT_SIGNAL:
	case EX_READ:
	case EX_SET:
	case EX_ADD:
	case EX_CAS:
	case EX_XCHG:
		return op->o1 && obj_local(op->o1) && (!op->o2 || obj_local(op->o2));
	default:
		return false;
	}
}
