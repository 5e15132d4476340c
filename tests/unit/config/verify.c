/* A store that holds verifies; whatever is altered in one is found, and named. */
#include "config/store.h"

#include "config/verify.h"
#include "io/file.h"

#include <inttypes.h>
#include <sqlite3.h>

static void verify(const char *dir, uint64_t sample, struct lg_verify_report *ret_report)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_verify_options options = {
		.state_dir = store_state_dir(dir), .log = store_open_log(dir), .sample = sample
	};
	lg_assert_ok(lg_verify(&options, ret_report, &err), &err);
}

/* r1 … r9 with marks, a hold, restores of all and of a part, and two checkpoints; the rest in the tail. */
static const char *fill(void)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t held;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	store_set(config, "a/x", "1", "b/y", "\"text\"");
	store_set(config, "a/x", "2", "c", "{\"k\":[1,2]}");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	store_set(config, "a/x", "3", "b/y", "");
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_go_back(config, 1, "b/", NULL);
	lg_assert_ok(store_hold(config, "a/", &held, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_go_back(config, 2, NULL, NULL);
	store_set(config, "d", "4");
	store_set(config, "d", "5", "e", "6");
	return dir;
}

static void sql(const char *dir, const char *text)
{
	char path[4096];
	sqlite3 *db;
	char *message = NULL;
	snprintf(path, sizeof path, "%s/log.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
	sqlite3_close(db);
}

static void test_whole(void **state)
{
	struct lg_verify_report report;
	(void)state;
	verify(fill(), 0, &report);
	assert_int_equal(report.problems.total, 0);
	assert_int_equal(report.records, 9);
	assert_int_equal(report.revisions, 7);
	assert_int_equal(report.checkpoints, 3); /* one came with the restore of a part */
	assert_int_equal(report.unknown, 0);
	assert_int_equal(report.head.seq, 9);
	lg_verify_report_clear(&report);
	verify(store_new(), 0, &report); /* an empty one */
	assert_int_equal(report.problems.total, 0);
	lg_verify_report_clear(&report);
}

static const struct alter_row {
	const char *name;
	const char *sql;
	const char *words; /* in what is found */
} alter_rows[] = {
	{ "an actor", "UPDATE record SET actor = 'eve' WHERE seq = 3", "r3" },
	{ "a time", "UPDATE record SET time = time + 1 WHERE seq = 9", "r9" },
	{ "a body", "UPDATE record SET body = replace(body, '2', '7') WHERE seq = 2", "r2" },
	{ "a root", "UPDATE record SET root = randomblob(32) WHERE seq = 8", "r8" },
	{ "a hash", "UPDATE record SET hash = randomblob(32) WHERE seq = 4", "r4" },
	{ "the last hash", "UPDATE record SET hash = randomblob(32) WHERE seq = 9", "r9" },
	{ "a kind", "UPDATE record SET kind = 'restore' WHERE seq = 8", "r8" },
	{ "a record taken out", "DELETE FROM record WHERE seq = 5", "r5" },
	{ "the first taken out", "DELETE FROM record WHERE seq = 1", "r1" },
	{ "a gap invented",
		"DELETE FROM record WHERE seq < 3; INSERT INTO gap VALUES (1, 2, randomblob(32), 'retention')",
		"r3" },
	{ "a record cut out between true hashes",
		"INSERT INTO gap SELECT 4, 5, hash, 'retention' FROM record WHERE seq = 5;"
		"DELETE FROM record WHERE seq IN (4, 5)",
		"between gaps" },
	{ "a key missing from the index",
		"DELETE FROM touching WHERE key = 'c'; DELETE FROM touched WHERE key = 'c'", "index" },
	{ "a key too many in the index", "INSERT INTO touched VALUES ('c', 3)", "index" },
	{ "a key of another name in the index", "UPDATE touching SET key = 'C' WHERE key = 'c'", "index" },
	{ "an index that lacks a row",
		"PRAGMA writable_schema = ON;"
		"UPDATE sqlite_schema SET sql = sql || ' WHERE seq <> 4' WHERE name = 'record_kind'; REINDEX",
		"" },
};

static void test_altered(void **state)
{
	const struct alter_row *row = *state;
	struct lg_verify_report report;
	const char *dir = fill();
	sql(dir, row->sql);
	verify(dir, 0, &report);
	if (report.problems.total == 0)
		fail_msg("nothing was found");
	char first[1200];
	snprintf(first, sizeof first, "%s: %s", report.problems.items[0].subject,
		report.problems.items[0].message);
	if (!strstr(first, row->words))
		fail_msg("'%s' does not say '%s'", first, row->words);
	lg_verify_report_clear(&report);
}

/* One record was altered: the others are judged all the same. */
static void test_goes_on(void **state)
{
	struct lg_verify_report report;
	const char *dir = fill();
	(void)state;
	sql(dir, "UPDATE record SET reason = 'x' WHERE seq IN (1, 3, 6)");
	verify(dir, 0, &report);
	assert_int_equal(report.problems.total, 3);
	assert_string_equal(report.problems.items[0].subject, "r1");
	assert_string_equal(report.problems.items[1].subject, "r3");
	assert_string_equal(report.problems.items[2].subject, "r6");
	assert_int_equal(report.unknown, 0);
	lg_verify_report_clear(&report);
}

/* --- checkpoints ----------------------------------------------------------------------------------------------------- */

static char *checkpoint_path(const char *dir, size_t which)
{
	struct lg_error err = LG_ERROR_INIT;
	char **names, *path = NULL, *all = lg_path_join(dir, "log.db-checkpoints");
	size_t count;
	lg_assert_ok(lg_dir_list(all, &names, &count, &err), &err);
	for (size_t i = 0; i < count; i++) {
		if (names[i][0] != '.' && which-- == 0)
			path = lg_path_join(all, names[i]);
	}
	assert_non_null(path);
	lg_names_free(names, count);
	free(all);
	return path;
}

static void test_checkpoint_damaged(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_verify_report report;
	struct lg_buf data = LG_BUF_INIT;
	const char *dir = fill();
	char *path = checkpoint_path(dir, 2);
	(void)state;
	lg_assert_ok(lg_file_read(path, 1 << 20, &data, &err), &err);
	data.data[data.len / 2] ^= 1;
	lg_assert_ok(lg_file_replace(path, data.data, data.len, NULL, &err), &err);
	verify(dir, 0, &report);
	assert_int_equal(report.problems.total, 1);
	assert_string_equal(report.problems.items[0].subject, "r6");
	assert_int_equal(report.checkpoints, 2);
	lg_verify_report_clear(&report);
	lg_buf_clear(&data);
	free(path);
}

/* It was written of what was durable: the log has been longer. */
static void test_checkpoint_behind_the_end(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_verify_report report;
	struct lg_buf data = LG_BUF_INIT;
	const char *dir = fill();
	char *path = checkpoint_path(dir, 2), later[4096];
	(void)state;
	lg_assert_ok(lg_file_read(path, 1 << 20, &data, &err), &err);
	snprintf(later, sizeof later, "%s/log.db-checkpoints/0000000000000010-0011223344556677", dir);
	lg_assert_ok(lg_file_replace(later, data.data, data.len, NULL, &err), &err);
	verify(dir, 100, &report);
	assert_int_equal(report.problems.total, 1);
	assert_non_null(strstr(report.problems.items[0].message, "ends at record 9"));
	assert_non_null(strstr(report.problems.items[0].message, later));
	lg_verify_report_clear(&report);
	lg_config_close(store_open(dir)); /* it is of use all the same */
	lg_buf_clear(&data);
	free(path);
}

/* --- a sample -------------------------------------------------------------------------------------------------------- */

static void test_sample(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_verify_report report;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	(void)state;
	for (int i = 0; i < 3000; i++) {
		char value[16];
		snprintf(value, sizeof value, "%d", i);
		store_set(config, "a", value, i % 3 ? "b" : "c", value);
		if (i % 1000 == 500)
			lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	}
	lg_config_close(config);
	verify(dir, 600, &report);
	assert_int_equal(report.problems.total, 0);
	assert_in_range(report.records, 400, 900);
	lg_verify_report_clear(&report);
	sql(dir, "UPDATE record SET reason = 'x' WHERE seq = 2900"); /* among the newest */
	verify(dir, 600, &report);
	assert_int_equal(report.problems.total, 1);
	assert_string_equal(report.problems.items[0].subject, "r2900");
	lg_verify_report_clear(&report);
}

int main(void)
{
	store_init();
	lg_test_add("a store that holds", test_whole, NULL);
	lg_test_rows("altered", test_altered, alter_rows, sizeof alter_rows / sizeof *alter_rows,
		sizeof *alter_rows, offsetof(struct alter_row, name));
	lg_test_add("it goes on behind what it finds", test_goes_on, NULL);
	lg_test_add("a damaged checkpoint", test_checkpoint_damaged, NULL);
	lg_test_add("a checkpoint behind the end", test_checkpoint_behind_the_end, NULL);
	lg_test_add("a sample", test_sample, NULL);
	return lg_test_run("config_verify");
}
