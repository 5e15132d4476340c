/* What retention drops, what it keeps, and that everything which is kept can still be read, proven and gone back to. */
#include "config/store.h"

#include "config/retention.h"
#include "config/verify.h"
#include "io/file.h"

#include <inttypes.h>
#include <sqlite3.h>

#define REVISIONS 40
#define HOUR_US   INT64_C(3600000000)

/* The root of each revision, as it was made. */
struct past {
	uint8_t roots[200][LG_HASH_SIZE];
	uint64_t head;
};

static void note_root(struct lg_config *config, struct past *past)
{
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	lg_tree_hash(now.tree, past->roots[now.revision]);
	past->head = now.seq;
	lg_snapshot_clear(&now);
}

/* r1 … r40, an hour apart. */
static void fill(struct lg_config *config, struct past *past)
{
	for (int i = 1; i <= REVISIONS; i++) {
		char key[32], value[16];
		snprintf(key, sizeof key, "a/%d", i % 7);
		snprintf(value, sizeof value, "%d", i);
		assert_int_equal(store_set(config, key, value, i % 2 ? "b/odd" : "b/even", value), i);
		note_root(config, past);
		lg_clock_sim_advance(&store_clock, HOUR_US * 1000);
	}
}

static void assert_state(struct lg_config *config, const struct past *past, uint64_t revision)
{
	struct lg_error err = LG_ERROR_INIT;
	uint8_t root[LG_HASH_SIZE];
	struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(config, revision, &tree, &err), &err);
	lg_tree_hash(tree, root);
	lg_tree_unref(tree);
	assert_memory_equal(root, past->roots[revision], LG_HASH_SIZE);
}

static void assert_gone(struct lg_config *config, uint64_t revision)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *tree = NULL;
	lg_assert_code(lg_config_tree_at(config, revision, &tree, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "retention"));
}

static void assert_verifies(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_verify_options options = { .state_dir = store_state_dir(dir),
		.log = store_open_log(dir) };
	struct lg_verify_report report;
	lg_assert_ok(lg_verify(&options, &report, &err), &err);
	if (report.problems.total)
		fail_msg("%s: %s", report.problems.items[0].subject, report.problems.items[0].message);
	assert_int_equal(report.unknown, 0);
	lg_verify_report_clear(&report);
}

static void plan(struct lg_config *config, const struct lg_retention *retention, struct lg_trim_plan *ret_plan)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_config_trim_plan(config, retention, ret_plan, &err), &err);
}

static void trim(struct lg_config *config, const struct lg_retention *retention, uint64_t before)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan now = { 0 };
	plan(config, retention, &now);
	assert_int_equal(now.before, before);
	lg_assert_ok(lg_config_trim(config, &now, &store_author, &err), &err);
}

/* --- rules ----------------------------------------------------------------------------------------------------------- */

static const struct rule_row {
	const char *name;
	struct lg_retention retention;
	uint64_t before;
} rule_rows[] = {
	{ "none", { 0 }, 1 },
	{ "the newest one", { .revisions = 1 }, 40 },
	{ "by count", { .revisions = 10 }, 31 },
	{ "more than there are", { .revisions = 1000 }, 1 },
	/* now is an hour after r40; what was in force then was made before */
	{ "by age", { .age_us = 10 * HOUR_US + HOUR_US / 2 }, 30 },
	{ "by age, all of it is older", { .age_us = HOUR_US / 2 }, 40 },
	{ "older than anything", { .age_us = 1000 * HOUR_US }, 1 },
	{ "both: count reaches further", { .revisions = 20, .age_us = 10 * HOUR_US }, 21 },
	{ "both: age reaches further", { .revisions = 5, .age_us = 10 * HOUR_US + HOUR_US / 2 }, 30 },
	{ "both: count wants all", { .revisions = 1000, .age_us = 10 * HOUR_US }, 1 },
};

static void test_rule(void **state)
{
	const struct rule_row *row = *state;
	struct past past = { 0 };
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan now = { 0 };
	fill(config, &past);
	plan(config, &row->retention, &now);
	assert_int_equal(now.before, row->before);
	assert_int_equal(now.records, row->before - 1);
	assert_int_equal(now.revisions, row->before - 1);
	assert_int_equal(now.pin_count, 0);
	trim(config, &row->retention, row->before);
	for (uint64_t revision = 1; revision <= REVISIONS; revision++) {
		if (revision + 1 < row->before)
			assert_gone(config, revision);
		else /* what the kept ones continue can be read, too */
			assert_state(config, &past, revision);
	}
	store_assert_as_reopened(config, dir);
	lg_config_close(config);
	assert_verifies(dir);
	config = store_open(dir);
	for (uint64_t revision = row->before; revision <= REVISIONS; revision++)
		assert_state(config, &past, revision);
	store_set(config, "z", "1");
	store_assert_as_reopened(config, dir);
	lg_config_close(config);
}

/* A clock that stood in the future for a while must not make retention drop too much, nor one that went back. */
static void test_clock_jumps(void **state)
{
	(void)state;
	struct past past = { 0 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan now = { 0 };
	store_set(config, "x", "1");
	store_clock.realtime_us += 87600 * HOUR_US;
	store_set(config, "x", "2"); /* ten years ahead */
	store_clock.realtime_us -= 87600 * HOUR_US;
	store_set(config, "x", "3");
	store_set(config, "x", "4");
	note_root(config, &past);
	lg_clock_sim_advance(&store_clock, 100 * HOUR_US * 1000);
	plan(config, &(struct lg_retention){ .age_us = HOUR_US }, &now);
	assert_int_equal(now.before, 1); /* r2 counts as young: rather too much is kept */
	lg_trim_plan_clear(&now);
	plan(config, &(struct lg_retention){ .revisions = 2 }, &now);
	assert_int_equal(now.before, 3);
}

/* --- pins ------------------------------------------------------------------------------------------------------------ */

static void assert_pins(const struct lg_trim_plan *now, const uint64_t *want, size_t count)
{
	assert_int_equal(now->pin_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(now->pins[i].seq, want[i]);
}
#define PINS(now, ...)                                                                                         \
	assert_pins(now, (const uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8)

static void test_pins(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct past past = { 0 };
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	uint64_t held;
	fill(config, &past);
	for (uint64_t revision = 5; revision <= 9; revision += 2)
		lg_assert_ok(store_mark(config, "good", revision, NULL, &err), &err);
	lg_assert_ok(store_mark(config, "good", 11, "a/", &err), &err);
	lg_assert_ok(store_mark(config, "bad", 13, NULL, &err), &err);
	uint64_t restored = store_go_back(config, 15, NULL, NULL);
	note_root(config, &past);
	restored = store_go_back(config, 3, "b/", NULL);
	note_root(config, &past);
	lg_assert_ok(store_hold(config, "a/", &held, &err), &err);
	store_set(config, "b/odd", "99");
	note_root(config, &past);

	const struct lg_pin named[] = { { .seq = 21, .why = "named" }, { .seq = 21, .why = "again" },
		{ .seq = restored, .why = "not before the cut" } };
	const struct lg_retention retention = {
		.revisions = 4, .known_good = 2, .pins = named, .pin_count = 3
	};
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan now = { 0 };
	plan(config, &retention, &now);
	assert_int_equal(now.before, 40);
	PINS(&now, 3, 7, 9, 11, 15, 21);
	assert_string_equal(now.pins[1].why, "known good");
	assert_int_equal(now.records, 39 - 6);
	trim(config, &retention, 40);
	const uint64_t kept[] = { 3, 7, 9, 11, 15, 21, 39, 40, restored - 1, restored };
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		assert_state(config, &past, kept[i]);
	assert_gone(config, 5);
	assert_gone(config, 8);
	assert_gone(config, 22);
	store_assert_as_reopened(config, dir);
	lg_config_close(config);
	assert_verifies(dir);

	/* going back to one of them, and what is pinned no longer goes with the next trim */
	config = store_open(dir);
	store_go_back(config, 9, NULL, NULL);
	note_root(config, &past);
	assert_memory_equal(past.roots[past.head], past.roots[9], LG_HASH_SIZE);
	store_set(config, "z", "1");
	trim(config, &(struct lg_retention){ .revisions = 2 }, past.head);
	assert_state(config, &past, 9);
	assert_gone(config, 7);
	assert_gone(config, 15);
	store_assert_as_reopened(config, dir);
	lg_config_close(config);
	assert_verifies(dir);
}

/* --- a state without its record --------------------------------------------------------------------------------------- */

/* The state just before the cut can be read, but the next trim drops what it is read from: nobody goes back to it. */
static void test_dropped_target(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct past past = { 0 };
	const struct lg_scope all = LG_SCOPE_ALL;
	uint64_t revision;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	fill(config, &past);
	lg_assert_ok(store_mark(config, "good", 19, NULL, &err), &err);
	trim(config, &(struct lg_retention){ .revisions = 21 }, 20);
	assert_state(config, &past, 19);
	lg_assert_code(store_restore(config, 19, NULL, NULL, &revision, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "r19 cannot be read"));
	lg_assert_code(lg_config_known_good(config, &all, 40, NULL, &revision, NULL, &err), LG_ENOTFOUND, &err);
	assert_int_equal(store_go_back(config, 20, NULL, NULL), past.head + 3);
}

static void say_lost(const char *dir)
{
	lg_autofree char *path = lg_path_join(store_state_dir(dir), "log.db");
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE gap SET reason = 'lost'", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* In a salvaged store the checkpoint behind a loss is worth going back to; a trim that drops it leaves the restore one. */
static void test_lost_target(void **state)
{
	(void)state;
	struct past past = { 0 };
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	fill(config, &past);
	trim(config, &(struct lg_retention){ .revisions = 21 }, 20);
	lg_config_close(config);
	say_lost(dir);
	config = store_open(dir);
	uint64_t back = store_go_back(config, 19, NULL, NULL);
	note_root(config, &past);
	assert_memory_equal(past.roots[back], past.roots[19], LG_HASH_SIZE);
	uint64_t part = store_go_back(config, 40, "a/", NULL);
	note_root(config, &past);
	trim(config, &(struct lg_retention){ .revisions = 5 }, 38);
	store_assert_as_reopened(config, dir);
	lg_config_close(config);
	config = store_open(dir);
	assert_state(config, &past, back);
	assert_state(config, &past, part);
	for (int i = 0; i < 30; i++) { /* not thinned out either */
		struct lg_error err = LG_ERROR_INIT;
		store_set(config, "z", i % 2 ? "1" : "2");
		lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	}
	store_assert_as_reopened(config, dir);
	assert_state(config, &past, back);
	lg_config_close(config);
}

/* What lies one back is what really preceded, or nobody knows. */
static void test_back(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct past past = { 0 };
	uint64_t revision = 0;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	fill(config, &past);
	lg_assert_ok(store_mark(config, "good", 5, NULL, &err), &err);
	trim(config, &(struct lg_retention){ .revisions = 3, .known_good = 1 }, 38);
	lg_assert_ok(lg_config_target(config, "@-2", NULL, &revision, NULL, &err), &err);
	assert_int_equal(revision, 38);
	lg_assert_code(lg_config_target(config, "@-3", NULL, &revision, NULL, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "retention"));
	store_go_back(config, 5, NULL, NULL); /* in force again; what came before it is gone */
	lg_assert_code(lg_config_target(config, "@-1", NULL, &revision, NULL, &err), LG_ENOTFOUND, &err);
}

/* --- others, meanwhile ----------------------------------------------------------------------------------------------- */

static void test_meanwhile(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct past past = { 0 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan old = { 0 };
	fill(config, &past);
	assert_int_equal(lg_config_refresh(other, &err), 0);
	plan(config, &(struct lg_retention){ .revisions = 2 }, &old);
	store_go_back(other, 10, NULL, NULL);
	lg_assert_code(lg_config_trim(config, &old, &store_author, &err), LG_ECONFLICT, &err);
	assert_state(config, &past, 5); /* nothing was dropped */

	/* behind the record that says so, nobody goes back to what is being dropped */
	uint64_t revision;
	lg_assert_code(store_restore(other, 20, NULL, NULL, &revision, &err), LG_ENOTFOUND, &err);
	store_assert_as_reopened(other, dir);

	trim(config, &(struct lg_retention){ .revisions = 1 }, 41);
	assert_state(config, &past, 10);
	store_set(other, "z", "1"); /* others follow over the gap */
	store_assert_as_reopened(other, dir);
}

int main(void)
{
	store_init();
	lg_test_rows("rule", test_rule, rule_rows, sizeof rule_rows / sizeof *rule_rows, sizeof *rule_rows,
		offsetof(struct rule_row, name));
	lg_test_add("the clock jumps", test_clock_jumps, NULL);
	lg_test_add("pins", test_pins, NULL);
	lg_test_add("a target that was dropped", test_dropped_target, NULL);
	lg_test_add("a target that was lost", test_lost_target, NULL);
	lg_test_add("back over a gap", test_back, NULL);
	lg_test_add("a restore comes meanwhile", test_meanwhile, NULL);
	return lg_test_run("config_retention");
}
