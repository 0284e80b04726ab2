// SPDX-License-Identifier: GPL-2.0-only
/* Random numbers of t_fsx: which bytes, how many. */
#include "fuse/fsx.h"

/* xorshift64* */
uint64_t draw(struct worker *w, uint64_t below)
{
	w->rand ^= w->rand >> 12;
	w->rand ^= w->rand << 25;
	w->rand ^= w->rand >> 27;
	return ((w->rand * 0x2545f4914f6cdd1d) >> 11) % below;
}

unsigned draw_weighted(struct worker *w, const uint8_t *weights, unsigned nr)
{
	unsigned sum = 0, at;

	for (unsigned i = 0; i < nr; i++)
		sum += weights[i];
	at = (unsigned)draw(w, sum);
	for (unsigned i = 0;; i++) {
		if (at < weights[i])
			return i;
		at -= weights[i];
	}
}

/* As many short as long ones: the logarithm is uniform. */
static uint64_t draw_len(struct worker *w, uint64_t max)
{
	uint64_t len = (uint64_t)1 << draw(w, 21);

	len += draw(w, len);
	return len < max ? len : max;
}

/* Two of them in each round have most, so that operations meet. */
static uint64_t draw_mib(struct worker *w)
{
	const uint64_t nr = FILE_MAX / MIB + 1;

	return (draw(w, 4) ? w->s->seed + 4 * draw(w, 2) : draw(w, nr)) % nr * MIB;
}

static uint64_t draw_place(struct worker *w, uint64_t size)
{
	const uint64_t around = (uint64_t)1 << (9 + draw(w, 9));
	uint64_t middle, at;

	switch (draw(w, 8)) {
	case 0:
	case 1:
		return draw(w, FILE_MAX);
	case 2:
	case 3:
		middle = size;
		break;
	default:
		middle = draw_mib(w);
	}
	at = middle + draw(w, 2 * around);
	at = at > around ? at - around : 0;
	return at < FILE_MAX ? at : FILE_MAX - 1;
}

static uint64_t coarse(struct worker *w, uint64_t align)
{
	return draw(w, 2) ? PAGE : align;
}

void draw_range(struct worker *w, uint64_t size, uint64_t align, uint64_t max, uint64_t *off,
		uint64_t *len)
{
	const uint64_t grain = coarse(w, align);
	uint64_t end;

	*off = draw_place(w, size);
	end = *off + draw_len(w, max);
	*off -= *off % grain;
	end = (end + grain - 1) / grain * grain;
	if (end > FILE_MAX)
		end = FILE_MAX;
	if (end - *off > max)
		end = *off + max;
	*len = end - *off;
}

uint64_t draw_size(struct worker *w, uint64_t size, uint64_t align)
{
	uint64_t at = draw_place(w, size);

	/* Down is easy: most go up, so that there is a file to work on. */
	if (at < size && draw(w, 2))
		at = size + draw(w, FILE_MAX - size + 1);
	return at - at % coarse(w, align);
}
