/* The tree against a plain array of keys that does everything the slow and obvious way. */
#include "model/tree.h"
#include "support/support.h"

#include "base/buf.h"

#define UNIVERSE 160

/* The model: for each key of a fixed universe its value (0: absent) and change number. */
struct model {
	int value[UNIVERSE];
	uint64_t change[UNIVERSE];
};

static char universe[UNIVERSE][24];
static uint64_t rng = 88172645463325252u;

static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % below;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Keys that share prefixes in every way: one inside the other, differing early and late, declarations, bytes over 127. */
static void make_universe(void)
{
	static const char *const parts[] = { "a", "b", "ab", "abc", "z", "\xc3\xa9", "a0", "a-" };
	size_t n = 0;
	while (n < UNIVERSE) {
		char key[24];
		int segments = 1 + (int)draw(3);
		size_t len = draw(4) == 0 ? (size_t)snprintf(key, sizeof key, "@schema/") : 0;
		for (int i = 0; i < segments; i++)
			len += (size_t)snprintf(
				key + len, sizeof key - len, "%s%s", i ? "/" : "", parts[draw(8)]);
		bool known = false;
		for (size_t i = 0; i < n; i++)
			known |= strcmp(universe[i], key) == 0;
		if (!known)
			memcpy(universe[n++], key, sizeof key);
		else if (n > 60 && draw(50) == 0)
			snprintf(universe[n], sizeof universe[n], "x%zu/%u", n, draw(1000)), n++;
	}
	qsort(universe, UNIVERSE, sizeof universe[0], by_name);
}

static void value_text(int value, char buf[16])
{
	snprintf(buf, 16, "%d", value);
}

struct check {
	const struct model *model;
	size_t next;
};

static int check_entry(void *arg, const struct lg_entry *entry)
{
	struct check *check = arg;
	while (check->next < UNIVERSE && check->model->value[check->next] == 0)
		check->next++;
	assert_true(check->next < UNIVERSE);
	char text[16];
	value_text(check->model->value[check->next], text);
	assert_string_equal(entry->key, universe[check->next]);
	assert_string_equal(entry->value, text);
	assert_int_equal(entry->change, check->model->change[check->next]);
	check->next++;
	return 0;
}

static void assert_matches(const struct lg_tree *tree, const struct model *model)
{
	struct check check = { model, 0 };
	size_t count = 0;
	assert_int_equal(lg_tree_walk(tree, "", 0, check_entry, &check), 0);
	for (size_t i = 0; i < UNIVERSE; i++) {
		struct lg_entry entry;
		bool found = lg_tree_get(tree, universe[i], strlen(universe[i]), &entry);
		assert_int_equal(found, model->value[i] != 0);
		count += model->value[i] != 0;
		if (found)
			assert_int_equal(entry.change, model->change[i]);
	}
	assert_int_equal(lg_tree_count(tree), count);
}

/* The same content, built at once from sorted entries. */
static struct lg_tree *build(const struct model *model)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree_builder *builder = lg_tree_builder_new();
	assert_non_null(builder);
	for (size_t i = 0; i < UNIVERSE; i++) {
		char text[16];
		value_text(model->value[i], text);
		struct lg_entry entry = { universe[i], strlen(universe[i]), text, strlen(text),
			model->change[i] };
		if (model->value[i])
			lg_assert_ok(lg_tree_builder_add(builder, &entry, NULL, &err), &err);
	}
	struct lg_tree *tree = lg_tree_builder_finish(builder, &err);
	assert_non_null(tree);
	return tree;
}

static void assert_same_hash(const struct lg_tree *tree, const struct model *model)
{
	struct lg_tree *built = build(model);
	uint8_t a[LG_HASH_SIZE], b[LG_HASH_SIZE];
	lg_tree_hash(tree, a);
	lg_tree_hash(built, b);
	assert_memory_equal(a, b, sizeof a);
	lg_tree_unref(built);
}

/* The same tree as if it had been stored and read again. */
static struct lg_tree *pack_and_unpack(struct lg_tree *tree, size_t max)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf buf = LG_BUF_INIT;
	struct lg_tree *read = NULL;
	assert_int_equal(lg_tree_pack(tree, max, &buf), 0);
	struct lg_block *block = lg_block_new(buf.len + 3);
	assert_non_null(block);
	memcpy(block->data + 3, lg_buf_str(&buf), buf.len);
	lg_assert_ok(lg_tree_unpack(block, 3, buf.len, lg_tree_count(tree), &read, &err), &err);
	lg_block_unref(block);
	lg_buf_clear(&buf);
	lg_tree_unref(tree);
	return read;
}

static struct lg_tree *random_step(struct lg_tree *tree, struct model *model, uint64_t seq)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	uint32_t changes = 1 + draw(6);
	for (uint32_t n = 0; n < changes; n++) {
		size_t i = draw(UNIVERSE);
		if (draw(3) == 0) {
			int rc = lg_tree_edit_remove(edit, universe[i], strlen(universe[i]), &err);
			assert_int_equal(rc, model->value[i] != 0);
			model->value[i] = 0;
			model->change[i] = 0;
			continue;
		}
		model->value[i] = 1 + (int)draw(3);
		model->change[i] = seq;
		char text[16];
		value_text(model->value[i], text);
		lg_assert_ok(
			lg_tree_edit_put(edit, universe[i], strlen(universe[i]), text, strlen(text), seq, &err),
			&err);
	}
	struct lg_tree *next = lg_tree_edit_commit(edit);
	lg_tree_unref(tree);
	return next;
}

static void random_scope(struct lg_scope *scope)
{
	struct lg_error err = LG_ERROR_INIT;
	*scope = (struct lg_scope)LG_SCOPE_ALL;
	uint32_t includes = draw(3);
	for (uint32_t i = 0; i < includes + draw(2); i++) {
		char selector[32];
		const char *key = universe[draw(UNIVERSE)];
		const char *slash = strchr(key + 1, '/');
		if (slash && draw(2) && strncmp(key, "@schema/", 8) != 0)
			snprintf(selector, sizeof selector, "%.*s", (int)(slash - key + 1), key);
		else
			snprintf(selector, sizeof selector, "%s", key);
		if (i < includes)
			lg_assert_ok(lg_scope_include(scope, selector, &err), &err);
		else
			lg_assert_ok(lg_scope_exclude(scope, selector, &err), &err);
	}
}

static struct lg_tree *random_restore(struct lg_tree *tree, struct model *model, struct lg_tree *from,
	const struct model *from_model, uint64_t seq)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_scope scope;
	random_scope(&scope);
	struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	lg_assert_ok(lg_tree_edit_restore(edit, from, &scope, seq, &err), &err);
	for (size_t i = 0; i < UNIVERSE; i++) {
		if (!lg_scope_covers(&scope, universe[i], strlen(universe[i])))
			continue;
		model->value[i] = from_model->value[i];
		model->change[i] = from_model->value[i] ? seq : 0;
	}
	struct lg_tree *next = lg_tree_edit_commit(edit);
	uint8_t a[LG_HASH_SIZE], b[LG_HASH_SIZE];
	assert_int_equal(lg_tree_scope_hash(next, &scope, a), 0);
	assert_int_equal(lg_tree_scope_hash(from, &scope, b), 0);
	assert_memory_equal(a, b, sizeof a);
	lg_scope_clear(&scope);
	lg_tree_unref(tree);
	return next;
}

struct diff_check {
	const struct model *before, *after;
	const struct lg_scope *scope;
	size_t next;
};

static bool differs(const struct diff_check *check, size_t i)
{
	return check->before->value[i] != check->after->value[i] &&
		lg_scope_covers(check->scope, universe[i], strlen(universe[i]));
}

static int check_diff(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct diff_check *check = arg;
	while (check->next < UNIVERSE && !differs(check, check->next))
		check->next++;
	size_t i = check->next++;
	assert_true(i < UNIVERSE);
	assert_string_equal((before ? before : after)->key, universe[i]);
	assert_int_equal(before != NULL, check->before->value[i] != 0);
	assert_int_equal(after != NULL, check->after->value[i] != 0);
	assert_int_equal(before ? atoi(before->value) : 0, check->before->value[i]);
	assert_int_equal(after ? atoi(after->value) : 0, check->after->value[i]);
	return 0;
}

static void assert_diff(
	struct lg_tree *a, const struct model *a_model, struct lg_tree *b, const struct model *b_model)
{
	struct lg_scope scope;
	random_scope(&scope);
	struct diff_check check = { a_model, b_model, &scope, 0 };
	assert_int_equal(lg_tree_diff(a, b, &scope, check_diff, &check), 0);
	while (check.next < UNIVERSE)
		assert_false(differs(&check, check.next++));
	lg_scope_clear(&scope);
}

/* Random changes and restores; every state is kept and looked at again at the end. */
static void test_random_history(void **state)
{
	(void)state;
	enum { STEPS = 400 };
	static struct model models[STEPS + 1];
	struct lg_tree *trees[STEPS + 1];
	for (int round = 0; round < 6; round++) {
		memset(models, 0, sizeof models);
		trees[0] = lg_tree_empty();
		for (uint64_t seq = 1; seq <= STEPS; seq++) {
			models[seq] = models[seq - 1];
			struct lg_tree *tree = lg_tree_ref(trees[seq - 1]);
			if (draw(4) == 0) {
				uint32_t from = draw((uint32_t)seq);
				trees[seq] =
					random_restore(tree, &models[seq], trees[from], &models[from], seq);
			} else {
				trees[seq] = random_step(tree, &models[seq], seq);
			}
			if (draw(5) == 0)
				trees[seq] = pack_and_unpack(trees[seq], 1 + draw(UNIVERSE));
			if (draw(3) == 0)
				assert_same_hash(trees[seq], &models[seq]);
			uint32_t other = draw((uint32_t)seq);
			assert_diff(trees[other], &models[other], trees[seq], &models[seq]);
		}
		for (int i = 0; i <= STEPS; i++) {
			assert_matches(trees[i], &models[i]);
			assert_same_hash(trees[i], &models[i]);
		}
		for (int i = 0; i <= STEPS; i++)
			lg_tree_unref(trees[i]);
	}
}

static void test_one_edit_in_place(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	static struct model model;
	struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	for (int n = 0; n < 3000; n++) {
		size_t i = draw(UNIVERSE);
		model.value[i] = (int)draw(4);
		model.change[i] = model.value[i] ? 7 : 0;
		char text[16];
		value_text(model.value[i], text);
		if (model.value[i])
			lg_assert_ok(lg_tree_edit_put(edit, universe[i], strlen(universe[i]), text,
					     strlen(text), 7, &err),
				&err);
		else
			lg_assert_ok(lg_tree_edit_remove(edit, universe[i], strlen(universe[i]), &err), &err);
	}
	struct lg_tree *tree = lg_tree_edit_commit(edit);
	assert_matches(tree, &model);
	assert_same_hash(tree, &model);
	assert_int_equal(lg_tree_count(empty), 0);
	lg_tree_unref(empty);
	lg_tree_unref(tree);
}

static void test_hash_is_fixed(void **state)
{
	(void)state;
	/* a stored root must mean the same for ever: the value was computed apart, with python's hashlib.blake2b */
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	lg_assert_ok(lg_tree_edit_put(edit, "a", 1, "1", 1, 1, &err), &err);
	lg_assert_ok(lg_tree_edit_put(edit, "a/b", 3, "true", 4, 2, &err), &err);
	lg_assert_ok(lg_tree_edit_put(edit, "a/c", 3, "\"x\"", 3, 3, &err), &err);
	struct lg_tree *tree = lg_tree_edit_commit(edit);
	uint8_t hash[LG_HASH_SIZE];
	char text[2 * LG_HASH_SIZE + 1];
	lg_tree_hash(tree, hash);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	assert_string_equal(text, "400caffad075c467ae8a36f848bc13c7b4c5ce57b2e45508b2a5ebf153035c44");
	lg_tree_hash(empty, hash);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	assert_string_equal(text, "769c4c7174d14a04212467e9a01b481303bf520634482586fdab7fdafa94c453");
	lg_tree_unref(tree);
	lg_tree_unref(empty);
}

static void test_builder_refuses_disorder(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	static const char *const pairs[][2] = { { "b", "a" }, { "a", "a" }, { "ab", "a" },
		{ "\xc3\xa9", "z" } };
	for (size_t i = 0; i < 4; i++) {
		struct lg_tree_builder *builder = lg_tree_builder_new();
		struct lg_entry first = { pairs[i][0], strlen(pairs[i][0]), "1", 1, 1 };
		struct lg_entry second = { pairs[i][1], strlen(pairs[i][1]), "1", 1, 1 };
		lg_assert_ok(lg_tree_builder_add(builder, &first, NULL, &err), &err);
		lg_assert_code(lg_tree_builder_add(builder, &second, NULL, &err), LG_ECORRUPT, &err);
		lg_tree_builder_free(builder);
	}
}

static int stop_at_second(void *arg, const struct lg_entry *entry)
{
	(void)entry;
	return ++*(int *)arg == 2 ? 42 : 0;
}

static void test_walk_prefix_and_stop(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	static const char *const keys[] = { "a", "ab/1", "ab/2", "ab/20", "abc", "b" };
	for (size_t i = 0; i < 6; i++)
		lg_assert_ok(lg_tree_edit_put(edit, keys[i], strlen(keys[i]), "1", 1, 1, &err), &err);
	struct lg_tree *tree = lg_tree_edit_commit(edit);
	int seen = 0;
	assert_int_equal(lg_tree_walk(tree, "ab/", 3, stop_at_second, &seen), 42);
	assert_int_equal(lg_tree_count_prefix(tree, "ab/", 3), 3);
	assert_int_equal(lg_tree_count_prefix(tree, "ab", 2), 4);
	assert_int_equal(lg_tree_count_prefix(tree, "c", 1), 0);
	assert_int_equal(lg_tree_count_prefix(tree, "ab/20x", 6), 0);
	assert_false(lg_tree_get(tree, "ab/", 3, NULL));
	assert_false(lg_tree_get(tree, "", 0, NULL));
	lg_tree_unref(tree);
	lg_tree_unref(empty);
}

int main(void)
{
	make_universe();
	lg_test_add("random history of changes and restores", test_random_history, NULL);
	lg_test_add("one edit in place", test_one_edit_in_place, NULL);
	lg_test_add("hashes are fixed for ever", test_hash_is_fixed, NULL);
	lg_test_add("the builder refuses disorder", test_builder_refuses_disorder, NULL);
	lg_test_add("walk by prefix, and stop", test_walk_prefix_and_stop, NULL);
	return lg_test_run("tree");
}
