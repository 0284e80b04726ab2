// SPDX-License-Identifier: GPL-2.0-only
/*
 * The callers of a thread that stands still, by frame pointers (all is built with them) and the
 * symbol table of the program's own file. Functions that were inlined do not show; without a symbol
 * table nothing does.
 */
#include "world.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* the linker's */

/* Where ex_fiber_swap() leaves them. */
#if defined(__aarch64__)
enum { SAVED_FP = 10, SAVED_PC = 11 };
#else
enum { SAVED_FP = 5, SAVED_PC = 6 };
#endif
enum { FRAMES_MAX = 32 };

struct symbols {
	const char *map; /* the file; NULL: none */
	size_t bytes;
	const Elf64_Sym *sym;
	size_t nr;
	const char *names;
	uintptr_t bias;
};

static void symbols_open(struct symbols *s)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	const Elf64_Ehdr *eh;
	const Elf64_Shdr *sh;
	const Elf64_Phdr *ph;

	*s = (struct symbols){ .map = NULL };
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0)
		s->map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (!s->map || s->map == MAP_FAILED) {
		s->map = NULL;
		return;
	}
	s->bytes = (size_t)st.st_size;
	eh = (const void *)s->map;
	sh = (const void *)(s->map + eh->e_shoff);
	ph = (const void *)(s->map + eh->e_phoff);
	s->bias = (uintptr_t)__ehdr_start;
	for (unsigned i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
			s->bias -= ph[i].p_vaddr;
	for (unsigned i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type != SHT_SYMTAB)
			continue;
		s->sym = (const void *)(s->map + sh[i].sh_offset);
		s->nr = sh[i].sh_size / sizeof(Elf64_Sym);
		s->names = s->map + sh[sh[i].sh_link].sh_offset;
	}
}

static const char *symbol_at(const struct symbols *s, uintptr_t pc)
{
	uintptr_t at = pc - s->bias;

	for (size_t i = 0; i < s->nr; i++)
		if (ELF64_ST_TYPE(s->sym[i].st_info) == STT_FUNC && at >= s->sym[i].st_value &&
		    at < s->sym[i].st_value + s->sym[i].st_size)
			return s->names + s->sym[i].st_name;
	return NULL;
}

/* Return addresses, innermost first. */
static unsigned walk(const struct ex_fiber *f, uintptr_t *pc)
{
	uintptr_t low = (uintptr_t)f->sp, high = (uintptr_t)f->stack + f->bytes, fp;
	unsigned nr = 0;

	if (!f->stack || low < (uintptr_t)f->stack || low + (SAVED_PC + 1) * sizeof(void *) > high)
		return 0;
	fp = ((const uintptr_t *)f->sp)[SAVED_FP];
	pc[nr++] = ((const uintptr_t *)f->sp)[SAVED_PC];
	while (nr < FRAMES_MAX && fp > low && fp + 16 <= high && fp % 8 == 0) {
		const uintptr_t *frame = (const uintptr_t *)fp;

		if (!frame[1])
			break;
		pc[nr++] = frame[1];
		low = fp;
		fp = frame[0];
	}
	return nr;
}

static bool is_engine(const char *name)
{
	return !name || strncmp(name, "ex_", 3) == 0 || strncmp(name, "explore_", 8) == 0;
}

__attribute__((no_sanitize("address", "thread"))) int ex_stack_text(const struct ex_fiber *f,
								    char *to, size_t bytes)
{
	uintptr_t pc[FRAMES_MAX];
	const char *name[FRAMES_MAX];
	unsigned nr = walk(f, pc), first = 0;
	struct symbols s;
	size_t at = 0;

	to[0] = '\0';
	symbols_open(&s);
	for (unsigned i = 0; i < nr; i++) {
		name[i] = symbol_at(&s, pc[i] - 1);
		if (name[i] && is_engine(name[i]))
			first = i + 1;
	}
	for (unsigned i = first; i < nr && at + 1 < bytes; i++) {
		if (!name[i] || strcmp(name[i], "thread_entry") == 0)
			break;
		at += (size_t)ex_print(to + at, bytes - at, "%s%s", at ? " < " : "", name[i]);
	}
	if (s.map)
		munmap((void *)(uintptr_t)s.map, s.bytes);
	return (int)at;
}
