// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvfree as it is, but that it never waits for readers: each cookie has expired when it is taken.
 * Linked with stress_kvfree.c in place of the library's, to see that TSan would tell: nowait.sh.
 */
#include "rt/rcu.h"

#define rt_rcu_poll_state(cookie) ((void)(cookie), true)
#define rt_rcu_cond_sync(cookie)  ((void)(cookie))

#include "reclaim/kvfree.c"
