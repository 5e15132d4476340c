/* Which record a value comes from, seen through restores; and what goes with a restore that changes nothing. */
#include "config/store.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- origins ---------------------------------------------------------------------------------------------------------- */

static const struct origin_row {
	const char *name;
	const char *records; /* "a=1" sets, "a=" unsets, "<1" goes back to r1, "<1:p/" with a scope */
	uint64_t revision;
	const char *key;
	uint64_t want;
} origin_rows[] = {
	{ "nothing came later", "a=1 a=2", 2, "a", 0 },
	{ "other keys came later", "a=1 b=1 c=1", 1, "a", 0 },
	{ "changed", "a=1 a=2 a=3", 2, "a", 3 },
	{ "changed twice: the last one", "a=1 a=2 a=3 b=1", 1, "a", 3 },
	{ "changed and changed back", "a=1 a=2 a=1", 1, "a", 3 },
	{ "removed", "a=1 a=", 1, "a", 2 },
	{ "removed by the revision itself", "a=1 a=", 2, "a", 0 },
	{ "removed, set and removed again", "a=1 a= a=2 a=", 2, "a", 4 },
	{ "removed, and set again", "a=1 a= a=1", 2, "a", 3 },
	{ "left as it was by a rollback of something else", "a=1 a=2 b=1 b=2 <3", 2, "a", 0 },
	{ "brought back by the rollback of a later change", "a=1 a=2 a=3 <2", 2, "a", 0 },
	{ "by two of them", "a=1 a=2 a=3 <2 a=4 <4", 2, "a", 0 },
	{ "brought back is a later one's", "a=1 a=2 a=3 a=4 <3", 2, "a", 3 },
	{ "a rollback to before it", "a=1 a=2 b=1 <1", 2, "a", 4 },
	{ "a rollback to before it, and back", "a=1 a=2 b=1 <1 <3", 2, "a", 0 },
	{ "a rollback of others only", "a=1 a=2 p/b=1 p/b=2 <3:p/", 2, "a", 0 },
	{ "the same value from before it", "a=1 a=2 a=1 b=1 <1", 3, "a", 5 },
	{ "a rollback is the revision", "a=1 a=2 <1 b=1", 3, "a", 0 },
	{ "a rollback is the revision, and changed since", "a=1 a=2 <1 a=5", 3, "a", 4 },
	{ "a rollback is the revision, and was taken back", "a=1 a=2 <1 <2", 3, "a", 4 },
	{ "absent, left so by a rollback", "a=1 a= b=1 b=2 <3", 2, "a", 0 },
	{ "absent, brought back so", "a=1 a= a=2 <2", 2, "a", 0 },
	{ "absent by a rollback to before it", "b=1 a=1 <1", 2, "a", 3 },
	{ "absent, beyond the scope of a rollback", "p/b=1 a=1 a= <1:p/", 3, "a", 0 },
	{ "never there", "a=1 a=2", 1, "b", 0 },
};

static void do_record(struct lg_config *config, char *word)
{
	char *value = strchr(word, '=');
	char *scope = strchr(word, ':');
	if (value) {
		*value = '\0';
		store_set(config, word, value + 1);
		return;
	}
	if (scope)
		*scope++ = '\0';
	store_go_back(config, strtoull(word + 1, NULL, 10), scope, NULL);
}

static struct lg_config *make(const char *dir, const char *records)
{
	char copy[256], *rest = copy;
	struct lg_config *config = store_open(dir);
	snprintf(copy, sizeof copy, "%s", records);
	for (char *word; (word = strsep(&rest, " "));)
		do_record(config, word);
	return config;
}

static uint64_t origin_of(struct lg_config *config, uint64_t revision, const char *key)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_snapshot now;
	struct lg_origin items[] = { { key, 99 }, { key, 99 } };
	lg_config_snapshot(config, &now);
	lg_assert_ok(lg_config_origins(config, revision, now.seq, items, 2, &err), &err);
	lg_snapshot_clear(&now);
	assert_int_equal(items[0].seq, items[1].seq);
	return items[0].seq;
}

static void test_origin(void **state)
{
	const struct origin_row *row = *state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = make(dir, row->records);
	assert_int_equal(origin_of(config, row->revision, row->key), row->want);
	/* one that opens it later, from a checkpoint, says the same */
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	assert_int_equal(origin_of(other, row->revision, row->key), row->want);
}

static void test_origin_as_of_an_earlier_state(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = make(store_new(), "a=1 a=2 b=1 a=3");
	struct lg_origin item = { "a", 99 };
	lg_assert_ok(lg_config_origins(config, 2, 3, &item, 1, &err), &err);
	assert_int_equal(item.seq, 0);
	lg_assert_ok(lg_config_origins(config, 2, 4, &item, 1, &err), &err);
	assert_int_equal(item.seq, 4);
	lg_assert_ok(lg_config_origins(config, 2, 2, &item, 1, &err), &err);
	assert_int_equal(item.seq, 0);
	lg_assert_ok(lg_config_origins(config, 2, 4, NULL, 0, &err), &err);
}

/* What was dropped may have set the key and removed it again: that it stands can no longer be said. */
static void test_origin_beyond_what_is_gone(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const uint64_t keep[] = { 2 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = make(dir, "a=1 a= a=2 a= b=1 b=2");
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	assert_int_equal(origin_of(config, 2, "a"), 4);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	lg_assert_ok(lg_log_trim(log, 6, keep, 1, &err), &err);
	lg_cleanup(lg_config_closep) struct lg_config *later = store_open(dir);
	assert_int_equal(origin_of(later, 2, "a"), 5);
	assert_int_equal(origin_of(later, 6, "a"), 0);
}

/* --- against a model that copies, with each value, where it comes from --------------------------------------------------- */

enum { KEYS = 3, RECORDS = 14 };
static const char *const keys[KEYS] = { "a", "p/b", "p/c" };

struct model {
	uint64_t to[RECORDS + 1]; /* of restores */
	int kind[RECORDS + 1];    /* 0: a change of key `key`; 1: restore of everything; 2: of p/ */
	int key[RECORDS + 1];
};

/* For each state, which record each key comes from, when what `revision` brought back counts as its own. */
static void trace(const struct model *model, uint64_t revision, uint64_t origins[RECORDS + 1][KEYS])
{
	memset(origins[0], 0, sizeof origins[0]);
	for (uint64_t seq = 1; seq <= RECORDS; seq++) {
		memcpy(origins[seq], origins[seq - 1], sizeof origins[seq]);
		for (int k = 0; k < KEYS; k++) {
			bool covered =
				model->kind[seq] == 0 ? k == model->key[seq] : model->kind[seq] == 1 || k > 0;
			if (covered)
				origins[seq][k] = model->kind[seq] == 0 || seq == revision
					? seq
					: origins[model->to[seq]][k];
		}
	}
}

static void make_random(struct lg_config *config, struct model *model, unsigned *seed)
{
	struct lg_snapshot now;
	for (uint64_t seq = 1; seq <= RECORDS;) {
		char value[24];
		int k = (int)(rand_r(seed) % KEYS);
		lg_config_snapshot(config, &now);
		struct lg_entry entry;
		bool there = lg_tree_get(now.tree, keys[k], strlen(keys[k]), &entry);
		lg_snapshot_clear(&now);
		model->kind[seq] = seq > 2 ? (int)(rand_r(seed) % 4) - 1 : 0;
		if (model->kind[seq] <= 0) {
			model->kind[seq] = 0;
			model->key[seq] = k;
			snprintf(value, sizeof value, "%" PRIu64, seq);
			store_set(config, keys[k], there && rand_r(seed) % 3 == 0 ? "" : value);
			seq++;
		} else { /* one that changes nothing leaves no record */
			model->to[seq] = (uint64_t)rand_r(seed) % seq;
			seq += store_go_back(config, model->to[seq], model->kind[seq] == 2 ? "p/" : NULL,
				       NULL) == seq;
		}
	}
}

static bool did_change(struct lg_config *config, uint64_t revision, const char *key)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *before = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *after = NULL;
	struct lg_entry a, b;
	lg_assert_ok(lg_config_tree_at(config, revision - 1, &before, &err), &err);
	lg_assert_ok(lg_config_tree_at(config, revision, &after, &err), &err);
	bool had = lg_tree_get(before, key, strlen(key), &a), has = lg_tree_get(after, key, strlen(key), &b);
	return had != has || (has && strcmp(a.value, b.value) != 0);
}

static void check_model(struct lg_config *config, const struct model *model)
{
	for (uint64_t revision = 1; revision <= RECORDS; revision++) {
		uint64_t origins[RECORDS + 1][KEYS];
		trace(model, revision, origins);
		for (int k = 0; k < KEYS; k++) {
			if (!did_change(config, revision, keys[k]))
				continue;
			uint64_t want = origins[RECORDS][k], found = origin_of(config, revision, keys[k]);
			if (want >= revision)
				assert_int_equal(found, want == revision ? 0 : want);
			else /* a restore to before the revision */
				assert_true(found > revision && model->kind[found] != 0 &&
					model->to[found] < revision);
		}
	}
}

static void test_random_histories(void **state)
{
	(void)state;
	unsigned seed = 7;
	for (int i = 0; i < 60; i++) {
		struct model model = { 0 };
		lg_cleanup(lg_config_closep) struct lg_config *config = store_open(store_new());
		make_random(config, &model, &seed);
		check_model(config, &model);
	}
}

/* --- r0, and what goes with a restore ------------------------------------------------------------------------------------- */

static void test_r0_is_the_empty_state(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = make(dir, "a=1 a=2");
	lg_cleanup(lg_buf_clear) struct lg_buf why = LG_BUF_INIT;
	uint64_t revision = 99;
	lg_assert_ok(lg_config_target(config, "r0", NULL, &revision, &why, &err), &err);
	assert_int_equal(revision, 0);
	assert_non_null(strstr(lg_buf_str(&why), "empty state"));
	assert_int_equal(store_go_back(config, 0, NULL, NULL), 3);
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	assert_int_equal(lg_tree_count(now.tree), 0);
	lg_snapshot_clear(&now);
	store_assert_as_reopened(config, dir);
	assert_int_equal(store_go_back(config, 2, NULL, NULL), 4);
	store_assert_as_reopened(config, dir);
	/* and when retention has dropped the beginning */
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "b", "1");
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_trim(log, 4, NULL, 0, &err), &err);
	lg_assert_ok(lg_config_target(config, "r0", NULL, &revision, NULL, &err), &err);
	assert_int_equal(revision, 0);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	assert_int_equal(store_go_back(other, 0, "a", NULL), 6);
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	store_assert_as_reopened(config, dir);
}

static void make_controls(struct lg_control ret_controls[2], struct lg_buf bodies[2])
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_scope all = LG_SCOPE_ALL;
	const uint8_t hash[LG_HASH_SIZE] = { 1 };
	lg_assert_ok(lg_control_mark(&bodies[0], "bad", 1, &all, hash, &err), &err);
	lg_assert_ok(lg_control_hold(&bodies[1], &all, "20260101-000000-abcdef", &err), &err);
	ret_controls[0] = (struct lg_control){ LG_KIND_MARK, bodies[0].data, bodies[0].len };
	ret_controls[1] = (struct lg_control){ LG_KIND_HOLD, bodies[1].data, bodies[1].len };
}

static const uint8_t ids[3][LG_ID_SIZE] = { { 1 }, { 2 }, { 3 } };

static void assert_controls_stand(struct lg_config *config, const char *dir, uint64_t revision)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_snapshot now;
	uint64_t seq = 0;
	lg_config_snapshot(config, &now);
	assert_int_equal(now.revision, revision);
	assert_int_equal(now.seq, revision + 2);
	lg_snapshot_clear(&now);
	assert_int_equal(lg_config_controls(config)->hold_count, 1);
	assert_int_equal(lg_config_controls(config)->mark_count, 1);
	/* under their own ids, which recovery looks for */
	assert_int_equal(lg_config_find_id(config, 0, ids[0], &seq, &err), 0);
	assert_int_equal(lg_config_find_id(config, 0, ids[1], &seq, &err), 1);
	assert_int_equal(seq, revision + 1);
	assert_int_equal(lg_config_find_id(config, 0, ids[2], &seq, &err), 1);
	assert_int_equal(seq, revision + 2);
	store_assert_as_reopened(config, dir);
}

static void test_controls_of_a_restore_that_changes_nothing(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = make(dir, "a=1");
	const struct lg_scope all = LG_SCOPE_ALL;
	struct lg_buf bodies[2] = { LG_BUF_INIT, LG_BUF_INIT };
	struct lg_control controls[2];
	struct lg_committed committed = { 0 };
	make_controls(controls, bodies);
	struct lg_restore restore = { .to = 1,
		.scope = &all,
		.author = store_author,
		.ids = ids,
		.controls = controls,
		.control_count = 2,
		.dry_run = true };
	lg_assert_ok(lg_config_restore(config, &restore, NULL, NULL, &err), &err);
	assert_int_equal(lg_config_controls(config)->hold_count, 0);
	restore.dry_run = false;
	lg_assert_ok(lg_config_restore(config, &restore, &committed, NULL, &err), &err);
	assert_int_equal(committed.changed, 0);
	assert_int_equal(committed.revision, 1);
	lg_committed_clear(&committed);
	assert_controls_stand(config, dir, 1);
	lg_buf_clear(&bodies[0]);
	lg_buf_clear(&bodies[1]);
}

static void test_controls_of_a_change_that_changes_nothing(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = make(dir, "a=1");
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_buf bodies[2] = { LG_BUF_INIT, LG_BUF_INIT };
	struct lg_control controls[2];
	struct lg_committed committed = { 0 };
	make_controls(controls, bodies);
	lg_assert_ok(lg_changeset_add(&set, "a", 1, "1", 1, &err), &err);
	const struct lg_commit commit = {
		.changes = &set, .author = store_author, .ids = ids, .controls = controls, .control_count = 2
	};
	lg_assert_ok(lg_config_commit(config, &commit, &committed, NULL, &err), &err);
	assert_int_equal(committed.changed, 0);
	assert_int_equal(committed.revision, 1);
	lg_committed_clear(&committed);
	assert_controls_stand(config, dir, 1);
	lg_buf_clear(&bodies[0]);
	lg_buf_clear(&bodies[1]);
}

int main(void)
{
	store_init();
	store_use_memory();
	lg_test_rows("origin", test_origin, origin_rows, sizeof origin_rows / sizeof *origin_rows,
		sizeof *origin_rows, offsetof(struct origin_row, name));
	lg_test_add("origin as of an earlier state", test_origin_as_of_an_earlier_state, NULL);
	lg_test_add("origin beyond what is gone", test_origin_beyond_what_is_gone, NULL);
	lg_test_add("random histories against a model", test_random_histories, NULL);
	lg_test_add("r0 is the empty state", test_r0_is_the_empty_state, NULL);
	lg_test_add("what goes with a restore that changes nothing stands",
		test_controls_of_a_restore_that_changes_nothing, NULL);
	lg_test_add("what goes with a change that changes nothing stands",
		test_controls_of_a_change_that_changes_nothing, NULL);
	return lg_test_run("since");
}
