/* Packed trees: what is damaged is refused or harmless, what is shared between threads stays as it is, and every byte that
 * trees hold is on the account. */
#include "base/cleanup.h"
#include "model/tree.h"
#include "model/tree_node.h"
#include "support/support.h"

#include <pthread.h>

#define KEYS 500

static uint64_t rng = 88172645463325252u;

static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % below;
}

static size_t name_of(size_t i, char key[32])
{
	return (size_t)snprintf(key, 32, "s%zu/k%zu", i % 7, i);
}

static void put(struct lg_tree_edit *edit, size_t i, uint64_t value, uint64_t change)
{
	struct lg_error err = LG_ERROR_INIT;
	char key[32], text[32];
	size_t key_len = name_of(i, key);
	size_t len = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	lg_assert_ok(lg_tree_edit_put(edit, key, key_len, text, len, change, &err), &err);
}

static struct lg_tree *make(size_t count)
{
	struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	for (size_t i = 0; i < count; i++)
		put(edit, i, i, 1 + i % 5);
	lg_tree_unref(empty);
	return lg_tree_edit_commit(edit);
}

static int unpack(const struct lg_buf *row, uint64_t count, struct lg_tree **ret_tree, struct lg_error *err)
{
	struct lg_block *block = lg_block_new(row->len);
	assert_non_null(block);
	if (row->len)
		memcpy(block->data, row->data, row->len);
	int rc = lg_tree_unpack(block, 0, row->len, count, ret_tree, err);
	lg_block_unref(block);
	return rc;
}

static struct lg_tree *packed(size_t count, size_t max)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf row = LG_BUF_INIT;
	struct lg_tree *tree = make(count);
	struct lg_tree *again = NULL;
	assert_int_equal(lg_tree_pack(tree, max, &row), 0);
	lg_assert_ok(unpack(&row, count, &again, &err), &err);
	lg_tree_unref(tree);
	lg_buf_clear(&row);
	return again;
}

static int count_entry(void *arg, const struct lg_entry *entry)
{
	assert_int_equal(strlen(entry->key), entry->key_len);
	assert_int_equal(entry->value[entry->value_len], 0);
	++*(size_t *)arg;
	return 0;
}

static int count_pair(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	(void)before;
	(void)after;
	++*(size_t *)arg;
	return 0;
}

/* --- what is damaged ------------------------------------------------------------------------------------------------ */

/* Everything that can be done with it; only the edit may find fault. */
static void use(struct lg_tree *tree, struct lg_tree *other)
{
	uint8_t hash[LG_HASH_SIZE];
	size_t seen = 0;
	struct lg_error err = LG_ERROR_INIT;
	lg_tree_walk(tree, "", 0, count_entry, &seen);
	assert_int_equal(seen, lg_tree_count(tree));
	lg_tree_walk(tree, "s3/", 3, count_entry, &seen);
	lg_tree_diff(tree, other, NULL, count_pair, &seen);
	lg_tree_hash(tree, hash);
	for (size_t i = 0; i < KEYS; i += 7) {
		char key[32];
		struct lg_entry entry;
		if (lg_tree_get(tree, key, name_of(i, key), &entry))
			assert_string_equal(entry.key, key);
	}
	struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	int rc = lg_tree_edit_put(edit, "s3/k3/x", 7, "1", 1, 9, &err);
	assert_true(rc == 0 || rc == LG_ECORRUPT);
	rc = lg_tree_edit_remove(edit, "s4/k4", 5, &err);
	assert_true(rc >= 0 || rc == LG_ECORRUPT);
	lg_tree_edit_abort(edit);
}

static void test_damaged_bytes(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf row = LG_BUF_INIT;
	struct lg_tree *tree = make(KEYS);
	size_t refused = 0, taken = 0;
	assert_int_equal(lg_tree_pack(tree, 40, &row), 0);
	for (int n = 0; n < 6000; n++) {
		struct lg_tree *read = NULL;
		size_t at = draw((uint32_t)row.len);
		char former = row.data[at];
		row.data[at] = (char)(n % 3 ? former ^ (1 << draw(8)) : (int)draw(256));
		int rc = unpack(&row, KEYS, &read, &err);
		if (rc == 0) {
			use(read, tree);
			taken++;
		} else {
			assert_int_equal(rc, LG_ECORRUPT);
			assert_null(read);
			refused++;
		}
		lg_tree_unref(read);
		row.data[at] = former;
	}
	/* values, hashes and change numbers are guarded by the checksum around them, not by their shape */
	assert_true(refused > 1000 && taken > 1000);
	lg_buf_clear(&row);
	lg_tree_unref(tree);
}

static void test_cut_off(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf row = LG_BUF_INIT;
	struct lg_tree *tree = make(60);
	assert_int_equal(lg_tree_pack(tree, 16, &row), 0);
	const size_t whole = row.len;
	struct lg_tree *read = NULL;
	for (row.len = 0; row.len < whole; row.len++)
		lg_assert_code(unpack(&row, 60, &read, &err), LG_ECORRUPT, &err);
	lg_assert_code(unpack(&row, 61, &read, &err), LG_ECORRUPT, &err);
	lg_assert_ok(unpack(&row, 60, &read, &err), &err);
	lg_tree_unref(read);
	lg_buf_clear(&row);
	lg_tree_unref(tree);
}

struct wrong_row {
	const char *name;
	const char *first, *second; /* keys, by ';', of two packs in a row */
	const char *message;
};

static const struct wrong_row wrong_rows[] = {
	{ "the second comes before the first", "b", "a", "ascending" },
	{ "the same twice", "a", "a", "ascending" },
	{ "the rest of a subtree", "ab1;ab2", "ab3;ab4", "part of their subtree" },
	{ "a key among those of the first", "ab1;ac2", "ac3", "part of their subtree" },
	{ "a key among those of the second", "ac1", "ac3;ad", "part of their subtree" },
};

static void pack_keys(const char *keys, struct lg_buf *row)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	for (const char *at = keys; *at;) {
		size_t len = strcspn(at, ";");
		lg_assert_ok(lg_tree_edit_put(edit, at, len, "1", 1, 1, &err), &err);
		at += len + (at[len] == ';');
	}
	struct lg_tree *tree = lg_tree_edit_commit(edit);
	assert_int_equal(lg_tree_pack(tree, LG_PACK_KEYS, row), 0);
	lg_tree_unref(tree);
	lg_tree_unref(empty);
}

static void test_wrong_rows(void **state)
{
	const struct wrong_row *wrong = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf row = LG_BUF_INIT;
	struct lg_tree *read = NULL;
	pack_keys(wrong->first, &row);
	pack_keys(wrong->second, &row);
	lg_assert_code(unpack(&row, 4, &read, &err), LG_ECORRUPT, &err);
	assert_non_null(strstr(err.message, wrong->message));
	lg_buf_clear(&row);
}

/* A value that is not what its hash says is found when it is taken into nodes, if not before. */
static void test_hash_that_does_not_hold(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf row = LG_BUF_INIT;
	struct lg_tree *tree = make(100);
	struct lg_tree *read = NULL;
	assert_int_equal(lg_tree_pack(tree, LG_PACK_KEYS, &row), 0);
	row.data[8] ^= 1; /* of the hash of the first pack */
	lg_assert_ok(unpack(&row, 100, &read, &err), &err);
	uint8_t a[LG_HASH_SIZE], b[LG_HASH_SIZE];
	lg_tree_hash(tree, a);
	lg_tree_hash(read, b);
	assert_memory_not_equal(a, b, sizeof a);
	struct lg_tree_edit *edit = lg_tree_edit_begin(read);
	lg_assert_code(lg_tree_edit_put(edit, "s0/k0/x", 7, "1", 1, 9, &err), LG_ECORRUPT, &err);
	lg_tree_edit_abort(edit);
	lg_tree_unref(read);
	lg_tree_unref(tree);
	lg_buf_clear(&row);
}

/* --- the same bytes ------------------------------------------------------------------------------------------------- */

/* What is stored depends on the content alone, not on what was packed before and what was changed since. */
static void test_packed_again(void **state)
{
	(void)state;
	for (size_t max = 1; max <= LG_PACK_KEYS; max = max * 2 + 1) {
		struct lg_buf first = LG_BUF_INIT, second = LG_BUF_INIT;
		struct lg_tree *fresh = make(KEYS);
		struct lg_tree *read = packed(KEYS, max);
		struct lg_tree_edit *edit = lg_tree_edit_begin(read);
		for (size_t i = 0; i < KEYS; i += 11) /* away, and again as it was */
			put(edit, i, 77777, 9);
		for (size_t i = 0; i < KEYS; i += 11)
			put(edit, i, i, 1 + i % 5);
		struct lg_tree *changed = lg_tree_edit_commit(edit);
		assert_int_equal(lg_tree_pack(fresh, max, &first), 0);
		assert_int_equal(lg_tree_pack(changed, max, &second), 0);
		assert_int_equal(first.len, second.len);
		assert_memory_equal(first.data, second.data, first.len);
		lg_buf_clear(&first);
		lg_buf_clear(&second);
		lg_tree_unref(fresh);
		lg_tree_unref(read);
		lg_tree_unref(changed);
	}
}

/* --- threads -------------------------------------------------------------------------------------------------------- */

static void *change_it(void *arg)
{
	struct lg_tree *now = lg_tree_ref(arg);
	uint8_t hash[LG_HASH_SIZE];
	for (uint64_t seq = 10; seq < 60; seq++) {
		struct lg_tree_edit *edit = lg_tree_edit_begin(now);
		for (size_t i = seq % 13; i < KEYS; i += 37)
			put(edit, i, seq, seq);
		struct lg_tree *next = lg_tree_edit_commit(edit);
		lg_tree_hash(next, hash);
		lg_tree_unref(now);
		now = next;
	}
	lg_tree_unref(now);
	return NULL;
}

static void *read_it(void *arg)
{
	struct lg_tree *tree = lg_tree_ref(arg);
	for (int n = 0; n < 50; n++) {
		size_t seen = 0;
		uint8_t hash[LG_HASH_SIZE];
		struct lg_scope scope = LG_SCOPE_ALL;
		struct lg_error err = LG_ERROR_INIT;
		lg_tree_walk(tree, "", 0, count_entry, &seen);
		assert_int_equal(seen, KEYS);
		lg_assert_ok(lg_scope_include(&scope, "s3/", &err), &err);
		assert_int_equal(lg_tree_scope_hash(tree, &scope, hash), 0);
		lg_scope_clear(&scope);
	}
	lg_tree_unref(tree);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	struct lg_tree *tree = packed(KEYS, 32);
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? change_it : read_it, tree), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	lg_tree_unref(tree);
	assert_int_equal(lg_tree_held(), 0);
}

/* --- the account ---------------------------------------------------------------------------------------------------- */

enum { TREES = 8, SEEN = 100000 };

static const void *seen_nodes[SEEN];
static size_t seen_count;

static bool seen_before(const void *node)
{
	for (size_t at = (uintptr_t)node / 16 % SEEN;; at = (at + 1) % SEEN) {
		if (seen_nodes[at] == node)
			return true;
		if (!seen_nodes[at]) {
			assert_true(++seen_count < SEEN / 2);
			seen_nodes[at] = node;
			return false;
		}
	}
}

/* Bytes that are not in what was seen before.  *ret_whole: with those that are. */
static size_t weigh(struct lg_node *node, size_t *ret_whole)
{
	size_t bytes = lg_node_own_bytes(node), below = 0;
	if (node->kind == LG_NODE_BRANCH) {
		struct lg_branch *branch = lg_as_branch(node);
		*ret_whole = bytes;
		for (uint32_t i = 0; i < branch->count; i++) {
			size_t kid = 0;
			below += weigh(branch->kids[i], &kid);
			*ret_whole += kid;
		}
	} else {
		*ret_whole = bytes;
	}
	if (node->kind == LG_NODE_PACK) { /* its entries are in a region, which counts once and whole */
		bytes -= lg_as_pack(node)->size;
		struct lg_region *region = lg_as_pack(node)->region;
		if (!seen_before(region))
			below += ((sizeof *region + 23) & ~(size_t)15) + lg_block_bytes(region->block);
	}
	if (!seen_before(node))
		below += bytes;
	return below;
}

static void assert_account(struct lg_tree **trees)
{
	size_t bytes = 0;
	memset(seen_nodes, 0, sizeof seen_nodes);
	seen_count = 0;
	for (int i = 0; i < TREES; i++) {
		size_t whole = 0;
		bytes += trees[i]->root ? weigh(trees[i]->root, &whole) : 0;
		if (!seen_before(trees[i]))
			bytes += 32;
		assert_int_equal(lg_tree_bytes(trees[i]), whole + 32);
	}
	assert_int_equal(lg_tree_held(), bytes);
}

static struct lg_tree *random_next(struct lg_tree *tree, struct lg_tree *other, uint64_t seq)
{
	static const char *const scopes[] = { "s1/", "s2/k2", "s5/", "s6/k6" };
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	struct lg_scope scope = LG_SCOPE_ALL;
	if (draw(3) == 0) {
		if (draw(3))
			lg_assert_ok(lg_scope_include(&scope, scopes[draw(4)], &err), &err);
		if (draw(2))
			lg_assert_ok(lg_scope_exclude(&scope, scopes[draw(4)], &err), &err);
		lg_assert_ok(lg_tree_edit_restore(edit, other, &scope, seq, &err), &err);
		lg_scope_clear(&scope);
	}
	for (uint32_t n = draw(20); n > 0; n--) {
		char key[32];
		size_t i = draw(KEYS);
		if (draw(3) == 0)
			assert_true(lg_tree_edit_remove(edit, key, name_of(i, key), &err) >= 0);
		else
			put(edit, i, draw(1000000), seq);
	}
	if (draw(10) == 0) {
		lg_tree_edit_abort(edit);
		return lg_tree_ref(tree);
	}
	return lg_tree_edit_commit(edit);
}

static void test_account(void **state)
{
	(void)state;
	struct lg_tree *trees[TREES];
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_tree_held(), 0);
	for (int i = 0; i < TREES; i++)
		trees[i] = i % 2 ? packed(KEYS, 30) : lg_tree_empty();
	for (uint64_t seq = 10; seq < 700; seq++) {
		uint32_t at = draw(TREES);
		struct lg_tree *next = random_next(trees[at], trees[draw(TREES)], seq);
		if (draw(20) == 0) {
			struct lg_buf row = LG_BUF_INIT;
			assert_int_equal(lg_tree_pack(next, 1 + draw(90), &row), 0);
			struct lg_tree *read = NULL;
			lg_assert_ok(unpack(&row, lg_tree_count(next), &read, &err), &err);
			lg_buf_clear(&row);
			lg_tree_unref(next);
			next = read;
		}
		at = draw(TREES);
		lg_tree_unref(trees[at]);
		trees[at] = next;
		if (seq % 5 == 0)
			assert_account(trees);
	}
	for (int i = 0; i < TREES; i++) {
		size_t before = lg_tree_held();
		size_t alone = lg_tree_alone_bytes(trees[i]);
		bool last = true;
		for (int j = i + 1; j < TREES; j++)
			last = last && trees[j] != trees[i];
		lg_tree_unref(trees[i]);
		if (last && i == TREES - 1) /* by then it shares with nobody but itself */
			assert_true(before - lg_tree_held() >= alone);
	}
	assert_int_equal(lg_tree_held(), 0);
}

static void test_builder_is_on_the_account(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree_builder *builder = lg_tree_builder_new();
	for (uint32_t i = 0; i < 20000; i++) {
		char key[32];
		size_t len = (size_t)snprintf(key, sizeof key, "k%06u", i);
		const struct lg_entry entry = { key, len, "1", 1, 1 };
		lg_assert_ok(lg_tree_builder_add(builder, &entry, NULL, &err), &err);
	}
	struct lg_tree *tree = lg_tree_builder_finish(builder, &err);
	assert_true(lg_tree_held() >= lg_tree_bytes(tree));
	lg_tree_unref(tree);
	assert_int_equal(lg_tree_held(), 0);
}

/* --- a graft costs the depth ---------------------------------------------------------------------------------------- */

/* Bytes that a restore of one prefix from `from` takes when the prefix has `count` keys. */
static size_t cost_of_graft(size_t count, bool is_packed)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_scope scope = LG_SCOPE_ALL;
	struct lg_tree *tree = is_packed ? packed(count, 16) : make(count);
	struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	for (size_t i = 0; i < count; i++)
		put(edit, i, i + 1, 7);
	struct lg_tree *from = lg_tree_edit_commit(edit);
	uint8_t hash[LG_HASH_SIZE];
	lg_tree_hash(from, hash);
	lg_assert_ok(lg_scope_include(&scope, "s3/", &err), &err);
	size_t before = lg_tree_held();
	edit = lg_tree_edit_begin(tree);
	lg_assert_ok(lg_tree_edit_restore(edit, from, &scope, 9, &err), &err);
	struct lg_tree *grafted = lg_tree_edit_commit(edit);
	size_t cost = lg_tree_held() - before;
	struct lg_entry entry;
	assert_true(lg_tree_get(grafted, "s3/k3", 5, &entry));
	assert_string_equal(entry.value, "4");
	assert_int_equal(entry.change, 9);
	lg_scope_clear(&scope);
	lg_tree_unref(grafted);
	lg_tree_unref(from);
	lg_tree_unref(tree);
	return cost;
}

static void test_graft_costs_the_depth(void **state)
{
	(void)state;
	for (int is_packed = 0; is_packed < 2; is_packed++) {
		size_t small = cost_of_graft(700, is_packed);
		size_t large = cost_of_graft(70000, is_packed);
		/* the nodes on the way and one for the floor; where the keys differ first is the same, so the way is too */
		assert_true(small > 0 && small < 2048);
		assert_int_equal(large, small);
	}
}

int main(void)
{
	lg_test_add("damaged bytes are refused or harmless", test_damaged_bytes, NULL);
	lg_test_add("what is cut off is refused", test_cut_off, NULL);
	lg_test_rows("a wrong row", test_wrong_rows, wrong_rows, sizeof wrong_rows / sizeof *wrong_rows,
		sizeof *wrong_rows, offsetof(struct wrong_row, name));
	lg_test_add("a hash that does not hold is found", test_hash_that_does_not_hold, NULL);
	lg_test_add("packed again, it is the same bytes", test_packed_again, NULL);
	lg_test_add("threads share a packed tree", test_threads, NULL);
	lg_test_add("every byte is on the account", test_account, NULL);
	lg_test_add("slabs are on the account", test_builder_is_on_the_account, NULL);
	lg_test_add("a graft costs the depth", test_graft_costs_the_depth, NULL);
	return lg_test_run("model_pack");
}
