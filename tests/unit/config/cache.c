/* Old states in memory are bounded: whatever is read, what trees hold beyond the published one stays within the limit. */
#include "config/internal.h"
#include "config/store.h"

#include <unistd.h>

enum { KEYS = 2000, STEP = 400, REVISIONS = 60 };

/* A state has 2 MB.  Some are held beside the cache: by a checkpoint being written, and what a region still has of entries that
 * the published one changed. */
#define LIMIT ((size_t)5 * 1024 * 1024)

static struct lg_config *open_with(const char *name, size_t cache_bytes)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .state_dir = store_state_dir(name),
		.log = store_open_log(name),
		.clock = &store_clock.clock,
		.cache_bytes = cache_bytes };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

/* Revision n has n in every STEPth key, beginning with the nth. */
static void change(struct lg_config *config, size_t n, size_t step)
{
	static char text[1024];
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (size_t i = n % step; i < KEYS; i += step) {
		char key[32];
		size_t key_len = (size_t)snprintf(key, sizeof key, "s%zu/k%zu", i % 10, i);
		memset(text, 'x', sizeof text);
		int number = snprintf(text, sizeof text, "\"%06zu", n);
		text[number] = 'x';
		text[sizeof text - 1] = '"';
		lg_assert_ok(lg_changeset_add(&set, key, key_len, text, sizeof text, &err), &err);
	}
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	const struct lg_commit commit = { .changes = &set, .author = store_author };
	struct lg_committed done;
	lg_assert_ok(lg_config_commit(config, &commit, &done, &problems, &err), &err);
	lg_committed_clear(&done);
}

static const char *make_store(void)
{
	const char *name = store_new();
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = open_with(name, 0);
	change(config, 1, 1);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	for (size_t n = 2; n <= REVISIONS; n++)
		change(config, n, STEP);
	lg_config_close(config);
	assert_int_equal(lg_tree_held(), 0);
	return name;
}

static struct lg_tree *at(struct lg_config *config, uint64_t revision)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(config, revision, &tree, &err), &err);
	return tree;
}

static size_t read_all(struct lg_config *config, size_t limit)
{
	size_t most = 0;
	for (uint64_t n = 1; n <= REVISIONS; n++) {
		/* there and back, so that neighbours do not come one after the other */
		uint64_t revision = n % 2 ? n : REVISIONS + 1 - n;
		struct lg_tree *tree = at(config, revision);
		size_t alone = lg_tree_bytes(tree);
		assert_true(lg_cache_bytes() <= limit + alone);
		lg_tree_unref(tree);
		most = lg_cache_bytes() > most ? lg_cache_bytes() : most;
	}
	return most;
}

static void test_bytes_are_bounded(void **state)
{
	(void)state;
	const char *name = make_store();
	struct lg_config *config = open_with(name, LIMIT);
	assert_true(read_all(config, LIMIT) <= LIMIT);
	lg_config_close(config);
	assert_int_equal(lg_tree_held(), 0);
	/* which says something: with room, more is kept */
	config = open_with(name, SIZE_MAX / 2);
	assert_true(read_all(config, SIZE_MAX / 2) > LIMIT + LIMIT / 2);
	lg_config_close(config);
	assert_int_equal(lg_tree_held(), 0);
}

static void test_changes_are_bounded(void **state)
{
	(void)state;
	struct lg_config *config = open_with(store_new(), LIMIT);
	for (size_t n = 1; n <= 15; n++) { /* each replaces all there is */
		change(config, n, 1);
		assert_true(lg_cache_bytes() <= LIMIT);
	}
	lg_config_close(config);
	assert_int_equal(lg_tree_held(), 0);
}

static int same_change(void *arg, const struct lg_entry *entry)
{
	struct lg_entry same;
	assert_true(lg_tree_get(arg, entry->key, entry->key_len, &same));
	assert_int_equal(same.change, entry->change);
	return 0;
}

static void test_least_recently_used_goes_first(void **state)
{
	(void)state;
	const char *name = make_store();
	struct lg_config *config = open_with(name, SIZE_MAX / 2);
	struct lg_tree *kept = at(config, 5);
	struct lg_tree *gone = at(config, 6); /* on the same road: from r5 */
	for (uint64_t i = 0; i < 2 * LG_TREE_CACHE; i++) {
		lg_tree_unref(at(config, 20 + i));
		struct lg_tree *again = at(config, 5);
		assert_ptr_equal(again, kept);
		lg_tree_unref(again);
	}
	struct lg_tree *again = at(config, 6);
	assert_ptr_not_equal(again, gone);
	uint8_t a[LG_HASH_SIZE], b[LG_HASH_SIZE];
	lg_tree_hash(gone, a);
	lg_tree_hash(again, b);
	assert_memory_equal(a, b, sizeof a);
	lg_tree_unref(again);
	lg_tree_unref(kept);
	lg_tree_unref(gone);
	lg_config_close(config);
}

/* A state on the way that is in memory already is where the way begins, and what comes of it is the same. */
static void test_road_from_a_known_state(void **state)
{
	(void)state;
	const char *name = make_store();
	struct lg_config *warm = open_with(name, SIZE_MAX / 2);
	for (uint64_t n = 3; n <= REVISIONS; n += 4) {
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = at(warm, n);
		struct lg_config *cold = open_with(name, SIZE_MAX / 2);
		lg_cleanup(lg_tree_unrefp) struct lg_tree *same = at(cold, n);
		uint8_t a[LG_HASH_SIZE], b[LG_HASH_SIZE];
		lg_tree_hash(tree, a);
		lg_tree_hash(same, b);
		assert_memory_equal(a, b, sizeof a);
		lg_tree_walk(tree, "", 0, same_change, same);
		lg_config_close(cold);
	}
	lg_config_close(warm);
}

static size_t resident(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_memory_comes_back(void **state)
{
	(void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
	skip(); /* they keep what is freed for a while */
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	skip();
#endif
#endif
	const char *name = make_store();
	struct lg_config *config = open_with(name, LIMIT);
	read_all(config, LIMIT);
	size_t before = resident();
	for (int n = 0; n < 3; n++)
		read_all(config, LIMIT);
	size_t after = resident();
	/* without a bound, hundreds of states of 2 MB would have come */
	assert_true(after < before + 4 * LIMIT);
	lg_config_close(config);
}

int main(void)
{
	store_init();
	store_use_memory();
	lg_test_add("what old states hold is bounded", test_bytes_are_bounded, NULL);
	lg_test_add("what changes leave behind is bounded", test_changes_are_bounded, NULL);
	lg_test_add("the least recently used one goes first", test_least_recently_used_goes_first, NULL);
	lg_test_add("a way begins at a known state", test_road_from_a_known_state, NULL);
	lg_test_add("memory comes back", test_memory_comes_back, NULL);
	return lg_test_run("config_cache");
}
