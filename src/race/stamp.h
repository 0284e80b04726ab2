/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stamp.h - blocks that say what they are: which load wrote them, where in the file they belong,
 * the number of the write, and a crc32c over all of it. So a reader knows, without knowing what was
 * written when, whether a block is zeros, was written there, or is anybody's: what the disk held
 * before, another place's, half of one write and half of another.
 */
#ifndef RACE_STAMP_H
#define RACE_STAMP_H

#include <stddef.h>
#include <stdint.h>

enum { STAMP_BYTES = 4096 };

enum stamp_kind { STAMP_ZERO, STAMP_OURS, STAMP_FOREIGN };

/* @buf: @bytes, a multiple of STAMP_BYTES, that go to offset @off_bytes of the file */
void stamp_fill(void *buf, size_t bytes, uint64_t off_bytes, uint64_t tag, uint64_t seq);
/* One block. @seq: [out] the number of the write, of STAMP_OURS only. */
enum stamp_kind stamp_look(const void *buf, uint64_t off_bytes, uint64_t tag, uint64_t *seq);

#endif
