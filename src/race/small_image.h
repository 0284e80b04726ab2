/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images of small scenarios, by mkfs.ext4 and e2fsck, in memory. libc only: linked with either back
 * end of rt.
 */
#ifndef RACE_SMALL_IMAGE_H
#define RACE_SMALL_IMAGE_H

#include "race/small.h"

/*
 * small_image_make - what mkfs.ext4 makes of @s's options
 * @out: [out] s->image_bytes of them, not to be written; NULL if @s needs none
 * Errors: -ENOENT no mkfs.ext4, or it failed; -ENOMEM, or mkstemp(3)'s. @diag says what to do.
 */
int small_image_make(const struct small_scenario *s, void **out, struct mbfs_diag *diag);
void small_image_free(const struct small_scenario *s, void *image);

/* What `e2fsck -fn` finds wrong, its first words in @wrong; false: the image is clean. */
bool small_image_damaged(const void *bytes, size_t nr, char *wrong, size_t wrong_bytes);

#endif
