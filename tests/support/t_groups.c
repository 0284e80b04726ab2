// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_groups.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "disk/csum.h"
#include "support/t_image.h"

const struct t_layout t_layouts[] = {
	{ "-b 1024", 24 },
	{ "-b 1024 -O ^64bit,^metadata_csum,uninit_bg", 24 },
	{ "-b 1024 -O ^64bit,^metadata_csum,^uninit_bg,^flex_bg,^sparse_super,^resize_inode", 24 },
	{ "-b 1024 -O ^64bit,metadata_csum,^flex_bg", 24 },
	{ "-b 1024 -O meta_bg,^resize_inode -g 264 -N 4096", 24 },
	{ "-b 4096 -g 1024 -N 1024", 24 },
	{ "-b 4096 -g 1024 -N 1024 -O ^64bit,^metadata_csum,uninit_bg", 24 },
	{ "-b 65536 -g 256 -N 2048", 48 },
	{ "-b 65536 -g 256 -N 2048 -O ^64bit,^flex_bg,^resize_inode,^metadata_csum,uninit_bg", 48 },
};
_Static_assert(sizeof(t_layouts) / sizeof(t_layouts[0]) == T_LAYOUT_NR, "T_LAYOUT_NR");

struct mbfs_bdev *t_groups_image(unsigned layout)
{
	return t_image_mem(t_layouts[layout].args, (uint64_t)t_layouts[layout].mib << 20);
}

static uint64_t number_after(const char *line, const char *what, uint64_t none)
{
	const char *at = strstr(line, what);

	return at ? strtoull(at + strlen(what), NULL, 10) : none;
}

/* All of "A-B, C, D-E" from @text on, up to something else. */
static void mark_ranges(const char *text, uint8_t *map, uint64_t blk_nr)
{
	char *end;

	for (;;) {
		uint64_t a = strtoull(text, &end, 10), b = a;

		if (end == text)
			return;
		if (*end == '-')
			b = strtoull(end + 1, &end, 10);
		ck_assert(a <= b && b < blk_nr);
		memset(map + a, 1, b - a + 1);
		if (*end != ',' || end[1] != ' ')
			return;
		text = end + 2;
	}
}

/* Places of metadata are what a line says after each " at ". */
static void mark_places(const char *line, uint8_t *map, uint64_t blk_nr)
{
	for (const char *at = line; (at = strstr(at, " at "));) {
		char place[48];

		at += 4;
		snprintf(place, sizeof(place), "%.*s", (int)strspn(at, "0123456789-"), at);
		mark_ranges(place, map, blk_nr);
	}
}

static void group_line(const char *line, struct t_groups *g, struct t_group *grp, uint64_t blk_nr)
{
	static const char free_blocks[] = "  Free blocks: ";
	struct gdesc *d = &grp->d;
	const char *at;

	mark_places(line, g->system, blk_nr);
	d->block_bitmap = number_after(line, "Block bitmap at ", d->block_bitmap);
	d->inode_bitmap = number_after(line, "Inode bitmap at ", d->inode_bitmap);
	d->inode_table = number_after(line, "Inode table at ", d->inode_table);
	if (strncmp(line, free_blocks, strlen(free_blocks)) == 0)
		mark_ranges(line + strlen(free_blocks), g->unused, blk_nr);
	at = strstr(line, " free blocks, ");
	if (!at)
		return;
	d->free_blks = (uint32_t)strtoul(line, NULL, 10);
	d->free_inodes = (uint32_t)number_after(line, " free blocks, ", 0);
	d->used_dirs = (uint32_t)number_after(line, " free inodes, ", 0);
	grp->has_unused = strstr(line, " directories, ") != NULL;
	d->itable_unused = (uint32_t)number_after(line, " directories, ", 0);
}

void t_groups_ask(struct mbfs_bdev *mem, const struct mbfs_geo *geo, struct t_groups *out)
{
	char *path = t_temp(), *text;
	mbfs_grp_t grp = UINT32_MAX;

	*out = (struct t_groups){ calloc(geo->grp_nr, sizeof(*out->grps)), calloc(geo->blk_nr, 1),
				  calloc(geo->blk_nr, 1), false };
	memset(out->system, 1, geo->first_blk);
	t_image_save(mem, path);
	text = t_runf("dumpe2fs %s 2>/dev/null", path);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (strncmp(line, "Group ", 6) == 0 && isdigit(line[6])) {
			uint16_t flags = strstr(line, "INODE_UNINIT") ? GDESC_INODE_UNINIT : 0;

			flags |= strstr(line, "BLOCK_UNINIT") ? GDESC_BLOCK_UNINIT : 0;
			flags |= strstr(line, "ITABLE_ZEROED") ? GDESC_INODE_ZEROED : 0;
			ck_assert_uint_eq(strtoul(line + 6, NULL, 10), grp + 1);
			ck_assert_uint_lt(++grp, geo->grp_nr);
			out->grps[grp].d.flags = flags;
			out->any_uninit |= flags & GDESC_BLOCK_UNINIT;
		} else if (grp != UINT32_MAX) {
			group_line(line, out, &out->grps[grp], geo->blk_nr);
		}
	}
	ck_assert_uint_eq(grp + 1, geo->grp_nr);
	free(text);
	unlink(path);
	free(path);
}

void t_groups_free(struct t_groups *g)
{
	free(g->grps);
	free(g->system);
	free(g->unused);
}

void t_groups_open(struct t_groups_bed *b, struct mbfs_bdev *mem,
		   const struct mbfs_fault_plan *plan)
{
	static const struct mbfs_fault_plan none;
	struct mbfs_diag diag = { "" };

	ck_assert_int_eq(mbfs_bdev_open_fault(mem, plan ? plan : &none, &b->dev), 0);
	ck_assert_int_eq(super_load(b->dev, &b->super, &diag), 0);
	b->geo = &b->super.geo;
	ck_assert_int_eq(buf_cache_open(b->dev, b->geo->block_bytes, b->geo, 8 << 20, &b->bufs), 0);
	ck_assert_int_eq(txlog_open(b->bufs, &b->log), 0);
}

void t_groups_close(struct t_groups_bed *b)
{
	txlog_close(b->log);
	buf_cache_close(b->bufs);
	rt_rcu_barrier();
	mbfs_bdev_close(b->dev);
}

uint8_t *t_groups_desc(struct mbfs_bdev *mem, const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	ck_assert(!(geo->features & GEO_META_BG));
	return mbfs_bdev_mem_bytes(mem) + (geo->first_blk + 1ull) * geo->block_bytes +
	       (uint64_t)grp * geo->desc_bytes;
}

void t_groups_desc_seal(struct mbfs_bdev *mem, const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	uint8_t *raw = t_groups_desc(mem, geo, grp);
	mbfs_le16 csum = le16_of(csum_gdesc(geo, grp, raw));

	memcpy(raw + offsetof(struct mbfs_gdesc_disk, checksum), &csum, sizeof(csum));
}
