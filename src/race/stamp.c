// SPDX-License-Identifier: GPL-2.0-only
#include "race/stamp.h"

#include "base/checksum.h"

#include <string.h>

enum { MAGIC = 0x7374616d };

/* In memory order: it is read where it was written. */
struct stamp {
	uint32_t magic, crc; /* crc32c of the whole block with crc 0 */
	uint64_t tag, off_bytes, seq;
	uint64_t rest[(STAMP_BYTES - 32) / 8];
};
_Static_assert(sizeof(struct stamp) == STAMP_BYTES, "one block");

void stamp_fill(void *buf, size_t bytes, uint64_t off_bytes, uint64_t tag, uint64_t seq)
{
	struct stamp *s = buf;

	for (; bytes >= STAMP_BYTES; bytes -= STAMP_BYTES, off_bytes += STAMP_BYTES, s++) {
		*s = (struct stamp){
			.magic = MAGIC, .tag = tag, .off_bytes = off_bytes, .seq = seq
		};
		for (size_t i = 0; i < sizeof(s->rest) / sizeof(s->rest[0]); i++)
			s->rest[i] = seq * 0x9E3779B97F4A7C15ull + off_bytes + i;
		s->crc = crc32c(~0u, s, sizeof(*s));
	}
}

static int all_zero(const uint64_t *words, size_t nr)
{
	uint64_t any = 0;

	for (size_t i = 0; i < nr; i++)
		any |= words[i];
	return any == 0;
}

enum stamp_kind stamp_look(const void *buf, uint64_t off_bytes, uint64_t tag, uint64_t *seq)
{
	struct stamp s;
	uint32_t crc;

	memcpy(&s, buf, sizeof(s));
	crc = s.crc;
	if (s.magic != MAGIC)
		return all_zero(buf, STAMP_BYTES / 8) ? STAMP_ZERO : STAMP_FOREIGN;
	s.crc = 0;
	if (crc32c(~0u, &s, sizeof(s)) != crc || s.tag != tag || s.off_bytes != off_bytes)
		return STAMP_FOREIGN;
	*seq = s.seq;
	return STAMP_OURS;
}
