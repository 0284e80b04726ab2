// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lock order, as lockdep has it: a graph of classes, kept over all executions of one search. A
 * class is the place that initialised the lock, _nested acquisitions are a class of their own; a
 * work item's function is one too, held while it runs and wanted by who flushes it. An edge says
 * that a lock was held, taken where, as another was wanted, where. A cycle is a deadlock that some
 * other schedule, or other threads, can reach: the verdict of an execution that used an edge of it
 * and found nothing worse.
 *
 * Of locks of one place, as the inodes of two directories, who takes a second one says by _nested
 * that their order is somebody else's business: no edge between those.
 *
 * A trylock waits for nobody: no edge leads to it, but what it took is held. A class that is only
 * read where the cycle meets it keeps nobody waiting as long as nobody writes it: such a cycle
 * counts once a writer of the class was seen (readers queue behind a waiting writer natively).
 */
#include "world.h"

#include <string.h>

enum { CLASSES_MAX = 128, CHAIN_MAX = 8, CACHE_SLOTS = 256 };

struct class
{
	const void *key; /* site of the init, or a function */
	bool nested, written;
	const char *name; /* as the source spells what it met first */
};

struct edge {
	const struct ex_site *held, *wanted; /* NULL: no such edge */
	bool held_read, wanted_read;         /* so in all cases seen */
	bool in_cycle;
};

static struct {
	struct class class[CLASSES_MAX];
	unsigned nr;
	struct edge edge[CLASSES_MAX][CLASSES_MAX];
	struct {
		unsigned from, to;
	} used; /* of this execution, in a cycle */
	bool is_used;
	struct {
		const void *key;
		bool nested;
		int class;
	} cache[CACHE_SLOTS];
} graph;

void ex_order_begin(void)
{
	for (unsigned i = 0; i < graph.nr; i++)
		memset(graph.edge[i], 0, graph.nr * sizeof(graph.edge[i][0]));
	memset(graph.cache, 0, sizeof(graph.cache));
	graph.nr = 0;
	graph.is_used = false;
}

void ex_order_execution(void)
{
	graph.is_used = false;
}

static int class_find(const void *key, bool nested, const char *name)
{
	for (unsigned i = 0; i < graph.nr; i++)
		if (graph.class[i].key == key && graph.class[i].nested == nested)
			return (int)i;
	if (graph.nr == CLASSES_MAX)
		return -1;
	graph.class[graph.nr] =
		(struct class){ key, nested, false, *name == '&' ? name + 1 : name };
	return (int)graph.nr++;
}

/* -1: never initialised, or too many classes: the lock is not looked at. */
static int class_of(const void *key, bool nested, const char *name)
{
	unsigned at = (unsigned)((uintptr_t)key >> 4 ^ (uintptr_t)key >> 12 ^ nested) % CACHE_SLOTS;

	if (!key)
		return -1;
	if (graph.cache[at].key != key || graph.cache[at].nested != nested) {
		graph.cache[at].key = key;
		graph.cache[at].nested = nested;
		graph.cache[at].class = class_find(key, nested, name);
	}
	return graph.cache[at].class;
}

/* ---- cycles ---- */

/* Whether who comes to @at by an edge that wants it (@reads) can be kept waiting by who holds it.
 */
static bool meets(unsigned at, bool wanted_read, bool held_read)
{
	return !wanted_read || !held_read || graph.class[at].written;
}

/*
 * A way from @from's edge @first back to @goal, as classes in path[]; its length, 0: none. Depth
 * first, without recursion: @path is the stack.
 */
static unsigned way_back(unsigned goal, unsigned first, unsigned *path)
{
	unsigned next[CLASSES_MAX], depth = 1;
	bool seen[CLASSES_MAX] = { false };

	path[0] = first;
	next[0] = 0;
	seen[first] = true;
	while (depth > 0) {
		unsigned at = path[depth - 1], to = next[depth - 1]++;
		const struct edge *in = &graph.edge[depth > 1 ? path[depth - 2] : goal][at], *e;

		if (to == graph.nr) {
			depth--;
			continue;
		}
		e = &graph.edge[at][to];
		if (!e->held || !meets(at, in->wanted_read, e->held_read))
			continue;
		if (to == goal && meets(goal, e->wanted_read, graph.edge[goal][first].held_read))
			return depth;
		if (to == goal || seen[to] || depth == CHAIN_MAX)
			continue;
		seen[to] = true;
		path[depth] = to;
		next[depth++] = 0;
	}
	return 0;
}

static void find_cycles(void)
{
	unsigned path[CLASSES_MAX];

	for (unsigned i = 0; i < graph.nr; i++)
		for (unsigned j = 0; j < graph.nr; j++)
			if (graph.edge[i][j].held)
				graph.edge[i][j].in_cycle =
					i == j ? meets(i, graph.edge[i][j].wanted_read,
						       graph.edge[i][j].held_read)
					       : way_back(i, j, path) > 0;
}

/* ---- what operations tell ---- */

static bool add_edge(int from, int to, const struct ex_held *h, bool read,
		     const struct ex_site *site)
{
	struct edge *e = &graph.edge[from][to];
	bool news = !e->held || (e->held_read && !h->read) || (e->wanted_read && !read);

	if (!news)
		return false;
	*e = (struct edge){ h->site, site, h->read && (!e->held || e->held_read),
			    read && (!e->held || e->wanted_read), e->in_cycle };
	return true;
}

/* Somebody writes this class of reader-writer locks. */
void ex_order_written(const void *key, bool nested, const struct ex_site *site)
{
	int class = class_of(key, nested, site->what);

	if (class < 0 || graph.class[class].written)
		return;
	graph.class[class].written = true;
	find_cycles();
}

void ex_order_wanted(const struct ex_thread *t, const void *key, bool nested, bool read,
		     const struct ex_site *site)
{
	bool news = false;
	int to;

	if (ex_world->opt->no_lock_order)
		return;
	to = class_of(key, nested, site->what);
	if (to < 0)
		return;
	for (unsigned i = 0; i < t->held_nr; i++) {
		int from = class_of(t->held[i].key, t->held[i].nested, t->held[i].site->what);

		if (from >= 0 && !(nested && t->held[i].key == key))
			news |= add_edge(from, to, &t->held[i], read, site);
	}
	if (news)
		find_cycles();
	for (unsigned i = 0; i < t->held_nr && !graph.is_used; i++) {
		int from = class_of(t->held[i].key, t->held[i].nested, t->held[i].site->what);

		if (from < 0 || !graph.edge[from][to].in_cycle)
			continue;
		graph.is_used = true;
		graph.used.from = (unsigned)from;
		graph.used.to = (unsigned)to;
	}
}

/* ---- the verdict ---- */

static size_t print_edge(char *to, size_t bytes, unsigned from, unsigned wanted)
{
	const struct edge *e = &graph.edge[from][wanted];

	return (size_t)ex_print(to, bytes, "%s (%s:%d) is held as %s is wanted (%s:%d)",
				graph.class[from].name, ex_short_file(e->held->file), e->held->line,
				graph.class[wanted].name, ex_short_file(e->wanted->file),
				e->wanted->line);
}

/* The execution passed: did it show an order that another contradicts? */
void ex_order_check(struct ex_world *w)
{
	unsigned path[CLASSES_MAX], nr = 0, from = graph.used.from;
	size_t at;

	if (!graph.is_used)
		return;
	w->verdict = EXPLORE_ORDER;
	at = print_edge(w->text, sizeof(w->text), from, graph.used.to);
	if (from != graph.used.to)
		nr = way_back(from, graph.used.to, path);
	for (unsigned i = 0; i < nr && at < sizeof(w->text) - 300; i++) {
		at += (size_t)ex_print(w->text + at, sizeof(w->text) - at, "; ");
		at += print_edge(w->text + at, sizeof(w->text) - at, path[i],
				 i + 1 < nr ? path[i + 1] : from);
	}
}
