// SPDX-License-Identifier: GPL-2.0-only
#include "base/checksum.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	/* ISA-L takes a non-const pointer but only reads; its length is an int. */
	unsigned char *p = (unsigned char *)(uintptr_t)data;

	while (len > 0) {
		int step = len > 1 << 30 ? 1 << 30 : (int)len;

		crc = crc32_iscsi(p, step, crc);
		p += step;
		len -= (size_t)step;
	}
	return crc;
}

uint16_t crc16(uint16_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1);
	}
	return crc;
}
