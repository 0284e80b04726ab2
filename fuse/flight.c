// SPDX-License-Identifier: GPL-2.0-only
/* Requests under way. */
#include "flight.h"

#include <stdio.h>

void flight_begin(struct flights *all, enum flight_kind kind)
{
	uint32_t now = rt_u32_add_return(&all->kind[kind].now, 1);
	uint32_t max = rt_u32_read(&all->kind[kind].max);

	while (max < now && !rt_u32_cas(&all->kind[kind].max, &max, now))
		;
}

void flight_end(struct flights *all, enum flight_kind kind)
{
	rt_u32_add(&all->kind[kind].now, -1u);
}

void flights_owe(struct flights *all)
{
	rt_u32_add(&all->owed, 1);
}

/* Pairs with the acquire in flights_settle(): what was done before is done when that returns. */
void flights_pay(struct flights *all)
{
	if (!rt_u32_add_return(&all->owed, -1u))
		rt_event_signal(&all->paid);
}

void flights_settle(struct flights *all)
{
	for (;;) {
		uint32_t key = rt_event_key(&all->paid);

		if (!rt_u32_read_acquire(&all->owed))
			return;
		rt_event_wait(&all->paid, key);
	}
}

int flights_text(const struct flights *all, char *to, size_t room)
{
	static const char *const names[] = {
		[FLIGHT_LOOKUP] = "lookup",
		[FLIGHT_READ] = "read",
		[FLIGHT_WRITE] = "write",
	};
	int len = 0;

	for (int i = 0; i < FLIGHT_NR; i++) {
		int n = snprintf(to + len, room - (size_t)len, "%s\"%s\":%u,\"%s_max\":%u",
				 i ? "," : "", names[i], rt_u32_read(&all->kind[i].now), names[i],
				 rt_u32_read(&all->kind[i].max));

		if (n < 0 || (size_t)n >= room - (size_t)len)
			break;
		len += n;
	}
	return len;
}
