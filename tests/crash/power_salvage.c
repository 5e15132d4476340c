/* The power fails while a store of the first format is upgraded, and while a damaged one is salvaged.  The upgraded one holds every
 * record in one format or the other, and a whole copy of the former; the salvaged one is whole or not there, and is made anew. */
#include "crash/power.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "config/salvage.h"
#include "config/verify.h"
#include "io/file.h"
#include "model/value.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <unistd.h>

#define RECORDS 12

static char root[300], old_dir[320], new_dir[320];

static struct story {
	uint8_t hashes[RECORDS + 2][LG_HASH_SIZE];
	size_t done_at; /* SIZE_MAX: not yet */
} * story;

/* --- before ----------------------------------------------------------------------------------------------------------- */

static struct lg_clock_sim sim;

static struct lg_config *open_store(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	lg_clock_sim_init(&sim, INT64_C(1790000000000000), INT64_C(1000000000000));
	const struct lg_config_options options = { .state_dir = dir, .clock = &sim.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

static void set(struct lg_config *config, const char *key, size_t number)
{
	char value[32];
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	int len = snprintf(value, sizeof value, "%zu", number);
	lg_assert_ok(lg_changeset_add(&changes, key, strlen(key), value, (size_t)len, &err), &err);
	const struct lg_commit commit = { .changes = &changes, .author = { "alice", "power", false } };
	lg_assert_ok(lg_config_commit(config, &commit, NULL, NULL, &err), &err);
}

static int note_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)arg;
	(void)err;
	memcpy(story->hashes[record->seq], record->hash, LG_HASH_SIZE);
	return 0;
}

static void make_store(void)
{
	static const char *const keys[] = { "web/a", "api/b", "c" };
	struct lg_error err = LG_ERROR_INIT;
	*story = (struct story){ .done_at = SIZE_MAX };
	lg_assert_ok(lg_config_init(old_dir, NULL, &err), &err);
	lg_cleanup(lg_config_closep) struct lg_config *config = open_store(old_dir);
	for (size_t i = 0; i < RECORDS; i++)
		set(config, keys[i % 3], i);
	lg_assert_ok(lg_config_query(config, &(struct lg_log_query){ 0 }, note_record, NULL, &err), &err);
}

static void run_sql(const char *sql)
{
	char path[400];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/log.db", old_dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* As the first format had it. */
static void before_upgrade(void *arg)
{
	(void)arg;
	make_store();
	run_sql("INSERT INTO touched SELECT key, seq FROM touching; DROP TABLE touching; DROP TABLE gap;"
		"CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY CHECK (seq > 0), data BLOB NOT NULL) STRICT;"
		"CREATE TABLE base (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL,"
		" hash BLOB NOT NULL) STRICT;"
		"DROP INDEX record_kind; CREATE INDEX record_kind ON record (kind, seq);"
		"PRAGMA user_version = 1");
}

static void before_salvage(void *arg)
{
	(void)arg;
	make_store();
	run_sql("UPDATE record SET body = '{}' WHERE seq = 4; PRAGMA wal_checkpoint(TRUNCATE)");
}

/* --- work ------------------------------------------------------------------------------------------------------------- */

static void upgrade(void *arg)
{
	(void)arg;
	struct lg_config *config = open_store(old_dir);
	/* the first one may find the format that a killed process has not synced */
	set(config, "upgraded", power_now());
	lg_config_close(config);
	story->done_at = power_now();
}

static void salvage(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *report = NULL;
	const struct lg_config_salvage options = { .from = old_dir, .to = new_dir };
	(void)arg;
	lg_assert_ok(lg_config_salvage(&options, &report, &err), &err);
	story->done_at = power_now();
}

/* The killed one may have been done but for saying so. */
static void salvage_again(void *arg)
{
	if (lg_file_exists(new_dir))
		return;
	salvage(arg);
}

/* --- looking ---------------------------------------------------------------------------------------------------------- */

static void assert_verified(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_verify_report_clear) struct lg_verify_report report = { 0 };
	lg_assert_ok(lg_verify(&(struct lg_verify_options){ .state_dir = dir }, &report, &err), &err);
	if (report.problems.total)
		fail_msg("%s: %s", report.problems.items[0].subject, report.problems.items[0].message);
}

static int compare_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	if (record->seq <= RECORDS && memcmp(record->hash, story->hashes[record->seq], LG_HASH_SIZE) != 0)
		fail_msg("record %" PRIu64 " is another", record->seq);
	*(size_t *)arg += record->seq <= RECORDS;
	return 0;
}

static void assert_records(const char *dir, size_t want)
{
	size_t count = 0;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = open_store(dir);
	lg_assert_ok(lg_config_query(config, &(struct lg_log_query){ 0 }, compare_record, &count, &err), &err);
	assert_int_equal(count, want);
	set(config, "after", 1);
}

static int64_t number_of(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return number;
}

static void look_at_upgrade(void *arg, size_t at)
{
	char path[400], copy[420];
	(void)arg;
	snprintf(path, sizeof path, "%s/log.db", old_dir);
	snprintf(copy, sizeof copy, "%s.format-1", path);
	int64_t format = number_of(path, "PRAGMA user_version");
	assert_true(format == 2 || (format == 1 && story->done_at > at));
	/* of the former format there is one or the other */
	assert_int_equal(number_of(format == 1 ? path : copy, "SELECT count(*) FROM record"), RECORDS);
	assert_int_equal(number_of(format == 1 ? path : copy, "PRAGMA user_version"), 1);
	assert_records(old_dir, RECORDS);
	assert_verified(old_dir);
	assert_int_equal(number_of(copy, "SELECT count(*) FROM record"), RECORDS);
}

static void look_at_salvage(void *arg, size_t at)
{
	char **names = NULL;
	size_t count = 0;
	struct lg_error err = LG_ERROR_INIT;
	if (story->done_at <= at)
		assert_int_equal(lg_file_exists(new_dir), 1);
	if (!lg_file_exists(new_dir))
		salvage(arg);
	assert_records(new_dir, RECORDS - 1);
	assert_verified(new_dir);
	/* nothing else is left, and the damaged one is as it was */
	lg_assert_ok(lg_dir_list(root, &names, &count, &err), &err);
	assert_int_equal(count, 2);
	lg_names_free(names, count);
	char path[400];
	snprintf(path, sizeof path, "%s/log.db", old_dir);
	assert_int_equal(number_of(path, "SELECT body = '{}' FROM record WHERE seq = 4"), 1);
	assert_int_equal(number_of(path, "SELECT count(*) FROM record"), RECORDS);
}

/* --- main ------------------------------------------------------------------------------------------------------------- */

#define UPGRADE(title)                                                                                         \
	.name = title, .root = root, .before = before_upgrade, .work = upgrade, .look = look_at_upgrade
#define SALVAGE(title)                                                                                         \
	.name = title, .root = root, .before = before_salvage, .work = salvage, .look = look_at_salvage
static const struct power_campaign campaigns[] = {
	{ UPGRADE("upgrade") },
	{ UPGRADE("upgrade, killed first"), .after_kill = upgrade },
	{ SALVAGE("salvage") },
	{ SALVAGE("salvage, killed first"), .after_kill = salvage_again },
	{ UPGRADE("a disk that lies about the copy"), .lie = "" },
	{ SALVAGE("a disk that lies about directories"), .lie = "/" },
};

int main(int argc, char **argv)
{
	static struct power_options options = { .cuts = 16, .rounds = 2, .seed = 1 };
	power_options(argc, argv, &options);
	snprintf(root, sizeof root, "%s/live", lg_test_dir());
	snprintf(old_dir, sizeof old_dir, "%s/old", root);
	snprintf(new_dir, sizeof new_dir, "%s/new", root);
	story = power_share(sizeof *story);
	power_add(campaigns, sizeof campaigns / sizeof *campaigns, &options);
	return lg_test_run("power_salvage");
}
