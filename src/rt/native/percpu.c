// SPDX-License-Identifier: GPL-2.0-only
#include "rt/percpu.h"

#include <unistd.h>

void rt_cpus_init(struct rt_cpus *c, unsigned nr)
{
	long online;

	MBFS_ASSERT(nr <= RT_CPUS_MAX);
	c->is_virtual = nr > 0;
	if (nr == 0) {
		online = sysconf(_SC_NPROCESSORS_CONF);
		nr = online < 1 ? 1 : online > RT_CPUS_MAX ? RT_CPUS_MAX : (unsigned)online;
	}
	c->nr = nr;
}

unsigned rt_thread_ordinal(void)
{
	static rt_u32 next;
	static _Thread_local unsigned mine; /* ordinal + 1; 0: not asked yet */

	if (!mine)
		mine = rt_u32_add_return(&next, 1);
	return mine - 1;
}
