# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_bits unit unit/test_bits.c)
mbfs_test(test_checksum unit unit/test_checksum.c)
