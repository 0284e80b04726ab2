// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals, with -o intr. The kernel sends an interrupt when the caller of a request that goes on
 * gets a signal; then a wait for bytes that others have ends, and the call with it (EINTR). libfuse
 * calls back under the lock under which a request lets go of its callback.
 */
#include "daemon.h"

static void on_interrupt(fuse_req_t req, void *intr)
{
	(void)req;
	mbfs_intr_raise(intr);
}

struct mbfs_intr *intr_begin(fuse_req_t req)
{
	struct mbfs_intr *intr = daemon_of(req)->opts->intr ? mbfs_intr_new() : NULL;

	if (intr)
		fuse_req_interrupt_func(req, on_interrupt, intr);
	return intr;
}

void intr_end(fuse_req_t req, struct mbfs_intr *intr)
{
	if (!intr)
		return;
	fuse_req_interrupt_func(req, NULL, NULL);
	mbfs_intr_free(intr);
}
