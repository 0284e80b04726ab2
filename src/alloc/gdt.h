/* SPDX-License-Identifier: GPL-2.0-only */
/* What store_disk.c needs of gdt.c besides alloc.h. */
#ifndef ALLOC_GDT_H
#define ALLOC_GDT_H

#include "alloc/sysmap.h"

const struct sysmap *gdt_sysmap(const struct gdt *gdt);

#endif
