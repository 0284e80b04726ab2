/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fiber.h - stacks and the switch between them. A fiber is one mmap'ed stack with a guard page
 * below it, made once and used for thread after thread: a thread that never ends is just dropped.
 */
#ifndef EXPLORE_FIBER_H
#define EXPLORE_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define EX_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EX_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define EX_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EX_TSAN 1
#endif
#endif
#ifndef EX_ASAN
#define EX_ASAN 0
#endif
#ifndef EX_TSAN
#define EX_TSAN 0
#endif

struct ex_fiber {
	void *sp;    /* where it stopped */
	char *stack; /* lowest usable byte; NULL: the stack of the process */
	size_t bytes;
	void *fake; /* ASan's */
	void *tsan; /* TSan's */
};

/* Maps the stack. -ENOMEM. */
int ex_fiber_init(struct ex_fiber *f, size_t bytes);
/* The running stack as a fiber, to come back to. */
void ex_fiber_adopt(struct ex_fiber *f);
void ex_fiber_destroy(struct ex_fiber *f);
/* The next switch to @f calls @entry on an empty stack; @entry calls ex_fiber_entered() first. */
void ex_fiber_make(struct ex_fiber *f, void (*entry)(void));
/* For TSan, the next user of @f is another thread. */
void ex_fiber_renew(struct ex_fiber *f);
void ex_fiber_entered(struct ex_fiber *f);
void ex_fiber_switch(struct ex_fiber *from, struct ex_fiber *to);

#endif
