// SPDX-License-Identifier: GPL-2.0-only
/*
 * The switch saves what the ABI says a callee keeps, and ends in pop and jump instead of ret: the
 * processor's return predictor is always wrong about a ret that changes stacks (3 against 14 ns,
 * shared/notes/explorer.md 2.1). Floating-point control words are not switched: nothing changes
 * them.
 */
#include "fiber.h"

#include <errno.h>
#include <sys/mman.h>

enum { GUARD_BYTES = 4096 };

void ex_fiber_swap(void **save, void *to);

#if defined(__x86_64__)
enum { FRAME_WORDS = 6, ENTRY_WORD = 6, SLACK_WORDS = 2 };
__asm__(".text\n"
	".globl ex_fiber_swap\n"
	".hidden ex_fiber_swap\n"
	".type ex_fiber_swap,@function\n"
	"ex_fiber_swap:\n"
	"	endbr64\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	popq %rcx\n"
	"	jmp *%rcx\n"
	".size ex_fiber_swap,.-ex_fiber_swap\n");
#elif defined(__aarch64__)
enum { FRAME_WORDS = 20, ENTRY_WORD = 11, SLACK_WORDS = 2 };
__asm__(".text\n"
	".globl ex_fiber_swap\n"
	".hidden ex_fiber_swap\n"
	".type ex_fiber_swap,%function\n"
	"ex_fiber_swap:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	br x30\n"
	".size ex_fiber_swap,.-ex_fiber_swap\n");
#else
#error "the explorer's switch is written for x86-64 and aarch64"
#endif

#if EX_ASAN
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t bytes);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *bytes);
void __asan_unpoison_memory_region(const volatile void *addr, size_t bytes);
void __asan_handle_no_return(void);
#endif
#if EX_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
enum { TSAN_NO_SYNC = 1 };
#endif

int ex_fiber_init(struct ex_fiber *f, size_t bytes)
{
	char *map = mmap(NULL, bytes + GUARD_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (map == MAP_FAILED)
		return -ENOMEM;
	if (mprotect(map, GUARD_BYTES, PROT_NONE)) {
		munmap(map, bytes + GUARD_BYTES);
		return -ENOMEM;
	}
	*f = (struct ex_fiber){ .stack = map + GUARD_BYTES, .bytes = bytes };
#if EX_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
	return 0;
}

void ex_fiber_adopt(struct ex_fiber *f)
{
	*f = (struct ex_fiber){ .sp = NULL };
#if EX_TSAN
	f->tsan = __tsan_get_current_fiber();
#endif
}

void ex_fiber_destroy(struct ex_fiber *f)
{
	if (!f->stack)
		return;
#if EX_TSAN
	__tsan_destroy_fiber(f->tsan);
#endif
	munmap(f->stack - GUARD_BYTES, f->bytes + GUARD_BYTES);
	f->stack = NULL;
}

void ex_fiber_renew(struct ex_fiber *f)
{
#if EX_TSAN
	__tsan_destroy_fiber(f->tsan);
	f->tsan = __tsan_create_fiber(0);
#else
	(void)f;
#endif
}

void ex_fiber_make(struct ex_fiber *f, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)f->stack + f->bytes) & ~(uintptr_t)15;
	void **frame = (void **)top - SLACK_WORDS - FRAME_WORDS;

#if EX_ASAN
	__asan_unpoison_memory_region(f->stack, f->bytes); /* its last user may have been dropped */
#endif
#if defined(__x86_64__)
	frame[ENTRY_WORD + 1] = NULL; /* entered as if called: 8 bytes off alignment */
#endif
	for (unsigned i = 0; i < FRAME_WORDS; i++)
		frame[i] = NULL;
	frame[ENTRY_WORD] = (void *)(uintptr_t)entry;
	f->sp = frame;
}

#if EX_ASAN
/* ASan wants the bounds of the stack of the process: it tells them when we first leave it. */
static void asan_arrived(struct ex_fiber *self)
{
	__sanitizer_finish_switch_fiber(self->fake, NULL, NULL);
}
static const void *process_stack;
static size_t process_stack_bytes;
#endif

void ex_fiber_entered(struct ex_fiber *f)
{
#if EX_ASAN
	const void *bottom;
	size_t bytes;

	__sanitizer_finish_switch_fiber(f->fake, &bottom, &bytes);
	if (!process_stack) { /* the first fiber ever is entered from it */
		process_stack = bottom;
		process_stack_bytes = bytes;
	}
	__asan_handle_no_return(); /* frames of a dropped user of this stack */
#else
	(void)f;
#endif
}

__attribute__((no_sanitize("thread"))) void ex_fiber_switch(struct ex_fiber *from,
							    struct ex_fiber *to)
{
#if EX_ASAN
	__sanitizer_start_switch_fiber(&from->fake, to->stack ? to->stack : process_stack,
				       to->stack ? to->bytes : process_stack_bytes);
#endif
#if EX_TSAN
	__tsan_switch_to_fiber(to->tsan, TSAN_NO_SYNC);
#endif
	ex_fiber_swap(&from->sp, to->sp);
#if EX_ASAN
	asan_arrived(from);
#endif
}
