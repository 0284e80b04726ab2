/* SPDX-License-Identifier: GPL-2.0-only */
/* disk/features.h - names of ext4's feature bits, as mkfs.ext4 and dumpe2fs print them. */
#ifndef DISK_FEATURES_H
#define DISK_FEATURES_H

#include <stddef.h>
#include <stdint.h>

enum feature_set { FEATURE_COMPAT, FEATURE_INCOMPAT, FEATURE_RO_COMPAT };

/* The names of the bits, with spaces between; unknown ones as FEATURE_I17. Always NUL-terminated.
 */
void feature_names(enum feature_set set, uint32_t bits, char *buf, size_t bytes);

#endif
