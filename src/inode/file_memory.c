// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that reads and writes of files cannot do without, in pools of one domain: a write
 * takes of each in one step (file_write.c), so it never holds what another waits for while it
 * waits itself. What is in use comes back when its transfer is over, which needs no more of it.
 *
 *	pool		object				a write needs	a read	a change of the map
 *	writes		struct file_io			1
 *	states		place in an io_tree		4, 6		-	2
 *	bounces		block with zeros around data	0 to 2
 *	reads		struct file_read		-		1
 */
#include <errno.h>

#include "base/check.h"
#include "inode/inode_priv.h"

enum {
	BOUNCE_ALIGN = 4096, /* O_DIRECT on the image */
	WRITES_MIN = 16,     /* that go on though memory is out */
	READS_MIN = 16,
	STATES_MIN = 64,
	BOUNCES_MIN = 2 * FILE_BOUNCES_MAX,
	MAGAZINE_NR = 32,
	RETRY_NS = 50 * 1000 * 1000,
};

static int pool_open(struct inode_env *env, const char *name, size_t bytes, unsigned min_nr,
		     unsigned magazine_nr, struct mempool **out)
{
	const struct mempool_config cfg = {
		.name = name,
		.bytes = bytes,
		.align = bytes >= BOUNCE_ALIGN ? BOUNCE_ALIGN : IO_STATE_ALIGN,
		.min_nr = min_nr,
		.magazine_nr = magazine_nr,
		.order = MEMPOOL_PATIENT,
		.retry_ns = RETRY_NS,
	};

	return mempool_open(env->memory, &cfg, out);
}

int file_memory_open(struct inode_env *env, unsigned cpus, bool whole)
{
	const uint32_t block_bytes = env->geo->block_bytes;
	size_t bounce = block_bytes < BOUNCE_ALIGN ? BOUNCE_ALIGN : block_bytes;
	int err;

	rt_cpus_init(&env->cpus, cpus);
	env->io.whole = whole;
	err = mempool_domain_open(&env->cpus, &env->memory);
	if (!err)
		err = pool_open(env, "writes", file_write_bytes(), WRITES_MIN, MAGAZINE_NR,
				&env->writes);
	if (!err)
		err = pool_open(env, "reads", file_read_bytes(), READS_MIN, MAGAZINE_NR,
				&env->reads);
	if (!err)
		err = pool_open(env, "states", io_state_bytes(), STATES_MIN, 2 * MAGAZINE_NR,
				&env->io.states);
	if (!err)
		err = pool_open(env, "bounces", bounce, BOUNCES_MIN, FILE_BOUNCES_MAX,
				&env->bounces);
	if (err)
		file_memory_close(env);
	return err;
}

void file_memory_close(struct inode_env *env)
{
	mempool_close(env->bounces);
	mempool_close(env->io.states);
	mempool_close(env->reads);
	mempool_close(env->writes);
	if (env->memory)
		mempool_domain_close(env->memory);
	env->bounces = env->io.states = env->reads = env->writes = NULL;
	env->memory = NULL;
}
