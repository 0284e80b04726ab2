/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuse/fsx.h - what the files of t_fsx share.
 *
 * fsx.c       options, rounds, processes and threads, what is printed when something is wrong
 * fsx_io.c    one operation on the file
 * fsx_draw.c  random numbers: which bytes, how many
 * fsx_twin.c  modes mix and direct: who touches bytes holds them, so a twin in memory says what
 * they are fsx_race.c  mode race: nobody holds anything; every record says who wrote it
 */
#ifndef TESTS_FUSE_FSX_H
#define TESTS_FUSE_FSX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/aio_abi.h>

enum {
	MIB = 1 << 20,
	FILE_MAX = 8 * MIB,
	IO_MAX = MIB, /* of one read or write: the daemon gets it as one request */
	PAGE = 4096,
	UNIT = 512, /* what is noted of the file's bytes is noted for so many */
	UNITS = FILE_MAX / UNIT,
	IO_UNITS = IO_MAX / UNIT,
	SLICE = 64 << 10, /* held as a whole in modes mix and direct */
	SLICES = FILE_MAX / SLICE,
	WORKERS_MAX = 64,
	DEPTH = 4,         /* requests of one worker at once */
	OPS_MAX = 1 << 16, /* of one round */
};

enum fsx_mode {
	MODE_MIX,    /* page cache, O_DIRECT and mappings */
	MODE_DIRECT, /* O_DIRECT alone: the kernel then lets writes of one file through side by side
		      */
	MODE_RACE,   /* as MODE_DIRECT, on the same bytes */
	MODES,
};

enum kind {
	READ,
	WRITE,
	TRUNCATE,
	RESERVE,
	RESERVE_KEEP,
	PUNCH,
	ZERO,
	ZERO_KEEP,
	FSYNC,
	COLLAPSE,
	INSERT,
	SEEK,
	MAP,
	KINDS,
};

enum how { DIRECT, DIRECT_AIO, CACHED, CACHED_DSYNC, MAPPED, HOWS };

/*
 * One operation. Number 0 is the empty file. In mode race its number gets to others through the
 * file, where no sanitizer sees that it does: so all of it is atomic.
 */
struct op {
	_Atomic uint64_t begin, end; /* ticks; end ~0: not known to have taken effect */
	_Atomic uint64_t off, len;   /* bytes; a truncate: from its size on */
	_Atomic uint8_t kind, how, worker;
};

/* Modes mix and direct. */
struct twin {
	pthread_rwlock_t
		slice[SLICES]; /* ascending; who moves the size has all from the lower one on */
	_Atomic uint64_t size;
	uint32_t size_who;      /* who moved it */
	uint8_t byte[FILE_MAX]; /* [slice] */
	uint32_t who[UNITS];    /* [slice] the operation that changed it last */
};

/* Mode race: see fsx_race.c. */
struct race {
	_Atomic uint64_t newest[UNITS], zero_end[UNITS];
	_Atomic uint32_t zero_running[UNITS];
};

/* Memory that the processes share. */
struct shared {
	const char *path, *program;
	enum fsx_mode mode;
	unsigned threads, processes, ops_each; /* per round */
	uint64_t seed;                         /* of the round */
	_Atomic uint64_t clock;
	_Atomic uint32_t op_nr;   /* numbers given so far */
	_Atomic uint32_t running; /* workers */
	_Atomic bool failed;
	pid_t parent, child[WORKERS_MAX];      /* 0: none */
	_Atomic uint32_t current[WORKERS_MAX]; /* what each does; 0 nothing */
	_Atomic uint64_t kind_nr[KINDS], how_nr[HOWS], bytes;
	struct op op[OPS_MAX];
	struct twin twin;
	struct race race;
};

struct worker {
	struct shared *s;
	unsigned no;
	uint64_t rand;
	int direct, cached; /* cached: -1 but in mode mix */
	uint8_t *map;       /* FILE_MAX bytes of the file; mode mix */
	uint8_t *buf;       /* DEPTH * IO_MAX, aligned */
	aio_context_t aio;
	uint64_t *snap; /* mode race: DEPTH * IO_UNITS */
};

extern const char *const kind_names[KINDS], *const how_names[HOWS];

/* ---- fsx.c ---- */
/* Prints what, the command that repeats the round, and ends the test. */
void bad(struct shared *s, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
/* "operation 17 (worker 3: write by aio [4096, 8192))" into one of a few buffers. */
const char *op_text(struct shared *s, uint32_t id);
/* A number and a begin for an operation; op_end() when it has returned. 0: no more in this round.
 */
uint32_t op_begin(struct worker *w, enum kind kind, enum how how, uint64_t off, uint64_t len);
void op_end(struct worker *w, uint32_t id);
uint64_t tick(struct shared *s);

/* ---- fsx_io.c ---- */
/* All but reads and writes; ends the test if the file system refuses. */
void io_change(struct worker *w, uint32_t id);
/* One read or write, buf + slot * IO_MAX; the bytes moved. Writes move all, or the test ends. */
size_t io_transfer(struct worker *w, uint32_t id, unsigned slot);
/* Reads and writes by AIO, ids[i] in slot i: handed over; then waited for, over() for each. */
void io_submit(struct worker *w, const uint32_t *ids, unsigned nr);
void io_reap(struct worker *w, const uint32_t *ids, unsigned nr,
	     void (*over)(struct worker *w, uint32_t id, unsigned slot, size_t got));

/* ---- fsx_draw.c ---- */
uint64_t draw(struct worker *w, uint64_t below);
/* Bytes for an operation, dense around multiples of a MiB and around @size; at most @max. */
void draw_range(struct worker *w, uint64_t size, uint64_t align, uint64_t max, uint64_t *off,
		uint64_t *len);
/* A size for a truncate, likewise. */
uint64_t draw_size(struct worker *w, uint64_t size, uint64_t align);
/* An index of weights[], as often as its weight says. */
unsigned draw_weighted(struct worker *w, const uint8_t *weights, unsigned nr);

/* ---- fsx_twin.c ---- */
void twin_reset(struct shared *s);
void twin_step(struct worker *w);
/* A checked read by O_DIRECT into buf; the bytes got. len <= IO_MAX. */
size_t twin_read(struct worker *w, uint64_t off, uint64_t len);

/* ---- fsx_race.c ---- */
void race_reset(struct shared *s);
void race_step(struct worker *w);
size_t race_read(struct worker *w, uint64_t off, uint64_t len);

#endif
