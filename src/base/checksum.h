/* SPDX-License-Identifier: GPL-2.0-only */
/* Checksums of the on-disk format. Pure functions. */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * crc32c - the raw CRC-32C register after @len bytes, as ext4 chains it: no inversion before or
 * after, the first call usually starts from ~0. Source: ext4 disk layout, "Checksums"; ISA-L does
 * the work.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* crc16 (polynomial 0xA001), for group descriptors of images with uninit_bg but no metadata_csum.
 */
uint16_t crc16(uint16_t crc, const void *data, size_t len);

#endif
