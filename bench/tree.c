/* bench/tree - what the tree costs, beside the targets of the design and, for reads, beside libc's balanced tree (tsearch).
 *
 *	tree [KEYS …]     default 100000 1000000
 *
 * Figures are medians over rounds; each round reads the clock once around many operations.  A graft must cost the depth: it is
 * made of one key, of a section and of a whole service, which lie about as deep and hold ever more keys. */
#include "model/tree.h"
#include "base/cleanup.h"
#include "common.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 9

struct item {
	char key[64];
	size_t key_len;
	char value[64];
	size_t value_len;
};

static struct item *items;
static size_t item_count;
static uint64_t rng = 0x9e3779b97f4a7c15;
static volatile uint64_t sink; /* keeps the compiler from dropping a read */

static uint64_t draw(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % below;
}

/* What the process really holds, slabs and allocator included. */
static double resident_now(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%*u %lu", &pages) != 1)
		abort();
	fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

/* service-017/section-03/setting-000123: names as people give them */
static void make_items(size_t count)
{
	items = calloc(count, sizeof *items);
	item_count = count;
	for (size_t i = 0; items && i < count; i++) {
		struct item *item = &items[i];
		item->key_len = (size_t)snprintf(item->key, sizeof item->key,
			"service-%03zu/section-%02zu/setting-%06zu", i % 97, (i / 97) % 31, i);
		item->value_len =
			(size_t)snprintf(item->value, sizeof item->value, "{\"limit\":%zu,\"on\":true}", i);
	}
	if (!items)
		abort();
	qsort(items, count, sizeof *items, by_key);
}

static struct lg_tree *build_sorted(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree_builder *builder = lg_tree_builder_new();
	for (size_t i = 0; i < item_count; i++) {
		const struct lg_entry entry = { items[i].key, items[i].key_len, items[i].value,
			items[i].value_len, 1 };
		bench_check(lg_tree_builder_add(builder, &entry, NULL, &err), &err);
	}
	struct lg_tree *tree = lg_tree_builder_finish(builder, &err);
	if (!tree)
		bench_die("%s", err.message);
	return tree;
}

static struct lg_tree *change(struct lg_tree *tree, size_t changes, uint64_t seq)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	for (size_t i = 0; i < changes; i++) {
		const struct item *item = &items[draw(item_count)];
		char value[64];
		size_t len = (size_t)snprintf(
			value, sizeof value, "{\"limit\":%zu,\"on\":false}", (size_t)draw(1000000));
		bench_check(lg_tree_edit_put(edit, item->key, item->key_len, value, len, seq, &err), &err);
	}
	return lg_tree_edit_commit(edit);
}

static int count_one(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	(void)before;
	(void)after;
	++*(size_t *)arg;
	return 0;
}

/* --- figures ---------------------------------------------------------------------------------------------------------- */

static double time_gets(const struct lg_tree *tree)
{
	enum { GETS = 200000 };
	double rounds[ROUNDS];
	for (int r = 0; r < ROUNDS; r++) {
		double start = bench_now_us();
		for (int i = 0; i < GETS; i++) {
			struct lg_entry entry;
			const struct item *item = &items[draw(item_count)];
			if (!lg_tree_get(tree, item->key, item->key_len, &entry))
				abort();
			sink += (uint64_t)entry.value[0];
		}
		rounds[r] = (bench_now_us() - start) / GETS;
	}
	return bench_median(rounds, ROUNDS);
}

static double time_tfind(void)
{
	enum { GETS = 200000 };
	void *root = NULL;
	double rounds[ROUNDS];
	for (size_t i = 0; i < item_count; i++)
		tsearch(&items[(i * 7919) % item_count], &root, by_key);
	for (int r = 0; r < ROUNDS; r++) {
		double start = bench_now_us();
		for (int i = 0; i < GETS; i++) {
			struct item *const *found = tfind(&items[draw(item_count)], &root, by_key);
			sink += (uint64_t)(*found)->value[0];
		}
		rounds[r] = (bench_now_us() - start) / GETS;
	}
	while (root)
		tdelete(*(struct item **)root, &root, by_key);
	return bench_median(rounds, ROUNDS);
}

static double time_changes(struct lg_tree *tree)
{
	enum { CHANGES = 2000 };
	double rounds[ROUNDS];
	uint8_t hash[LG_HASH_SIZE];
	struct lg_tree *now = lg_tree_ref(tree);
	for (int r = 0; r < ROUNDS; r++) {
		double start = bench_now_us();
		for (int i = 0; i < CHANGES; i++) {
			struct lg_tree *next = change(now, 1, 2);
			lg_tree_hash(next, hash);
			lg_tree_unref(now);
			now = next;
		}
		rounds[r] = (bench_now_us() - start) / CHANGES;
	}
	lg_tree_unref(now);
	return bench_median(rounds, ROUNDS);
}

static double time_diff(struct lg_tree *tree, size_t *ret_found)
{
	double rounds[ROUNDS];
	uint8_t hash[LG_HASH_SIZE];
	struct lg_tree *changed = change(tree, 1000, 3);
	lg_tree_hash(changed, hash);
	for (int r = 0; r < ROUNDS; r++) {
		size_t found = 0;
		double start = bench_now_us();
		lg_tree_diff(tree, changed, NULL, count_one, &found);
		rounds[r] = bench_now_us() - start;
		*ret_found = found;
	}
	lg_tree_unref(changed);
	return bench_median(rounds, ROUNDS);
}

/* prefix: a service, a section of it, or a key; it holds what an older state had there. */
static double time_graft(struct lg_tree *tree, struct lg_tree *older, const char *prefix)
{
	enum { GRAFTS = 1000 };
	struct lg_error err = LG_ERROR_INIT;
	double rounds[ROUNDS];
	uint8_t hash[LG_HASH_SIZE];
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	bench_check(lg_scope_include(&scope, prefix, &err), &err);
	for (int r = 0; r < ROUNDS; r++) {
		double start = bench_now_us();
		for (int i = 0; i < GRAFTS; i++) {
			struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
			bench_check(lg_tree_edit_restore(edit, older, &scope, 5, &err), &err);
			struct lg_tree *grafted = lg_tree_edit_commit(edit);
			lg_tree_hash(grafted, hash);
			lg_tree_unref(grafted);
		}
		rounds[r] = (bench_now_us() - start) / GRAFTS;
	}
	return bench_median(rounds, ROUNDS);
}

/* target 0: none. peer 0: none. */
static void row(const char *what, double value, const char *unit, double target, double peer)
{
	printf("  %-36s %10.2f %-2s", what, value, unit);
	if (peer > 0)
		printf("  tsearch in this run %.2f %s, ratio %.2f", peer, unit, peer / value);
	printf("\n");
	if (target > 0)
		bench_verdict(value <= target, "%s <= %g %s: %.2f %s", what, target, unit, value, unit);
}

static size_t keys_below(const char *prefix)
{
	size_t found = 0;
	for (size_t i = 0; i < item_count; i++)
		found += strncmp(items[i].key, prefix, strlen(prefix)) == 0;
	return found;
}

static void grafts(struct lg_tree *tree)
{
	static const char *const prefixes[] = { NULL, "service-017/section-03/", "service-017/" };
	enum { COUNT = sizeof prefixes / sizeof prefixes[0] };
	double us[COUNT];
	uint8_t hash[LG_HASH_SIZE];
	struct lg_tree *older = change(tree, item_count / 2, 4);
	lg_tree_hash(older, hash);
	for (size_t i = 0; i < COUNT; i++) {
		const char *prefix = prefixes[i] ? prefixes[i] : items[item_count / 6].key;
		char what[64];
		us[i] = time_graft(tree, older, prefix);
		snprintf(what, sizeof what, "graft with hash, keys below: %zu", keys_below(prefix));
		row(what, us[i], "us", 0, 0);
	}
	bench_verdict(us[COUNT - 1] <= 2 * us[0],
		"a graft costs the depth: of a service within 2 x of a key: %.2f x", us[COUNT - 1] / us[0]);
	lg_tree_unref(older);
}

static void bench(size_t count)
{
	uint8_t hash[LG_HASH_SIZE];
	make_items(count);
	double before = resident_now();
	double start = bench_now_us();
	struct lg_tree *tree = build_sorted();
	double built = bench_now_us();
	lg_tree_hash(tree, hash);
	double hashed = bench_now_us();
	size_t total, payload;
	double resident = resident_now() - before;
	lg_tree_memory(tree, &total, &payload);
	double heap = (resident - (double)payload) / (double)count;
	size_t found;
	printf("\nthe tree with %zu keys\n", count);
	row("random get", time_gets(tree), "us", 1.5, time_tfind());
	row("one-key change with hash", time_changes(tree), "us", 20, 0);
	row("diff of 1,000 changes", time_diff(tree, &found) / 1000, "ms", 5, 0);
	grafts(tree);
	row("memory a key beside key and value", heap, "B", 250, 0);
	row("build from sorted entries", (built - start) / 1000, "ms", 0, 0);
	row("hash of all", (hashed - built) / 1000, "ms", 0, 0);
	printf("  (the diff found %zu keys)\n", found);
	lg_tree_unref(tree);
	free(items);
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		bench(100000);
		bench(1000000);
	}
	for (int i = 1; i < argc; i++)
		bench(strtoul(argv[i], NULL, 10));
	return 0;
}
