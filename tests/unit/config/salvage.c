/* What a salvage makes of the state when this or that record is lost.  (What it recovers from damage of every kind is in
 * tests/crash/salvage.c.) */
#include "config/salvage.h"
#include "config/retention.h"
#include "config/store.h"
#include "config/verify.h"

#include "base/text.h"
#include "io/fault.h"
#include "io/file.h"
#include "model/value.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int targets;

static const char *new_target(void)
{
	char name[32];
	snprintf(name, sizeof name, "new%d", targets++);
	return lg_test_path(name);
}

static void run_sql(const char *dir, const char *sql)
{
	lg_autofree char *path = lg_path_join(dir, "log.db");
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int remember(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	struct lg_record *copy = arg;
	*copy = *record;
	copy->actor = copy->reason = copy->body = NULL;
	return 0;
}

/* Overwrites every place where these bytes lie, and `around` before them. */
static void wipe(const char *dir, const void *bytes, size_t len, size_t around)
{
	static const char *const names[] = { "log.db", "log.db-wal" };
	bool found = false;
	for (size_t i = 0; i < 2; i++) {
		lg_autofree char *path = lg_path_join(dir, names[i]);
		size_t size = 0;
		lg_autofree char *data = lg_test_read(path, &size);
		char *at;
		while (data && (at = memmem(data, size, bytes, len))) {
			found = true;
			memset(at - around, 0xee, len + around);
		}
		if (data)
			lg_test_write(path, data, size);
	}
	assert_true(found);
}

enum loss { ROW, ROW_AND_INDEX };

/* The rows of first … last in every copy, from the header of the payload on, and their hashes in the index. */
static void lose(const char *dir, uint64_t first, uint64_t last, enum loss loss)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_record records[8];
	assert_in_range(last - first, 0, 7);
	struct lg_log *log = store_open_log(dir);
	for (uint64_t seq = first; seq <= last; seq++)
		lg_assert_ok(lg_log_get(log, seq, remember, &records[seq - first], &err), &err);
	lg_log_close(log);
	for (uint64_t seq = first; seq <= last; seq++) {
		wipe(dir, records[seq - first].id, LG_ID_SIZE, 11);
		if (loss == ROW_AND_INDEX)
			wipe(dir, records[seq - first].hash, LG_HASH_SIZE, 8);
	}
}

static json_t *salvage(const char *from, const char *to)
{
	struct lg_error err = LG_ERROR_INIT;
	json_t *report = NULL;
	const struct lg_config_salvage options = { .from = from, .to = to, .clock = &store_clock.clock };
	lg_assert_ok(lg_config_salvage(&options, &report, &err), &err);
	return report;
}

static json_int_t number(const json_t *report, const char *part, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(report, part), name));
}

static bool flag(const json_t *report, const char *part, const char *name)
{
	return json_is_true(json_object_get(json_object_get(report, part), name));
}

/* "key=value …" of the newest state, and the chain. */
static int add_entry(void *arg, const struct lg_entry *entry)
{
	return lg_buf_addf(arg, "%s=%s ", entry->key, entry->value);
}

static void assert_state(struct lg_config *config, uint64_t at, const char *expected)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_config_tree_at(config, at, &tree, &err), &err);
	lg_tree_walk(tree, "", 0, add_entry, &text);
	assert_string_equal(lg_buf_str(&text), expected);
}

static void assert_newest(const char *dir, const char *expected)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot now = { 0 };
	lg_config_snapshot(config, &now);
	assert_state(config, now.revision, expected);
	store_assert_as_reopened(config, dir);
	const struct lg_verify_options options = { .state_dir = dir };
	struct lg_verify_report verdict = { 0 };
	lg_assert_ok(lg_verify(&options, &verdict, &err), &err);
	if (verdict.problems.total)
		fail_msg("%s: %s", verdict.problems.items[0].subject, verdict.problems.items[0].message);
	lg_verify_report_clear(&verdict);
}

static void assert_no_state(const char *dir, uint64_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	lg_assert_code(lg_config_tree_at(config, at, &tree, &err), LG_ENOTFOUND, &err);
}

/* A byte changed in the -wal would end it there for SQLite, and so for the next step of a test. */
static void all_into_file(const char *dir)
{
	run_sql(dir, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/* 1 a=1, 2 b=2, 3 mark, 4 a=3, 5 c=4, 6 b gone, 7 mark */
static const char *make_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	store_set(config, "a", "1");
	store_set(config, "b", "2");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	store_set(config, "a", "3");
	store_set(config, "c", "4");
	store_set(config, "b", "");
	lg_assert_ok(store_mark(config, "good", 6, NULL, &err), &err);
	all_into_file(dir);
	return dir;
}

/* --- states ------------------------------------------------------------------------------------------------------------------- */

static void test_whole(void **state)
{
	(void)state;
	const char *to = new_target();
	lg_cleanup(lg_json_freep) json_t *report = salvage(make_store(), to);
	assert_true(json_is_true(json_object_get(report, "complete")));
	assert_int_equal(number(report, "records", "proven"), 7);
	assert_int_equal(number(report, "state", "newest_proven"), 6);
	assert_newest(to, "a=3 c=4 ");
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(to);
	assert_int_equal(lg_config_controls(config)->mark_count, 2);
	assert_state(config, 5, "a=3 b=2 c=4 ");
}

static void test_lost_mark(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	lose(dir, 3, 3, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_false(json_is_true(json_object_get(report, "complete")));
	/* the index says that it was a mark, so no state is in doubt */
	assert_true(flag(report, "state", "head_is_proven"));
	assert_false(flag(report, "state", "marks_and_holds_are_complete"));
	assert_int_equal(json_array_size(json_object_get(json_object_get(report, "state"), "unreadable")), 0);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(json_object_get(report, "lost"), 0), "kind")),
		"mark");
	assert_newest(to, "a=3 c=4 ");
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(to);
	assert_state(config, 4, "a=3 b=2 ");
	assert_state(config, 2, "a=1 b=2 ");
	assert_int_equal(lg_config_controls(config)->mark_count, 1);
}

/* a=3 is nowhere any more: the store goes back to the newest state that is proven, and sets what was set since. */
static void test_lost_change(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	lose(dir, 4, 4, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "records", "proven"), 6);
	assert_false(flag(report, "state", "head_is_proven"));
	assert_int_equal(number(report, "state", "newest_proven"), 2);
	assert_int_equal(number(report, "state", "later_changes_made_again"), 2);
	assert_newest(to, "a=1 c=4 ");
	assert_no_state(to, 4);
	assert_no_state(to, 6);
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(to);
	assert_state(config, 2, "a=1 b=2 ");
	assert_state(config, 8, "a=1 b=2 "); /* the restore */
}

/* b=2 is nowhere any more, but r6 takes b out: its root proves that nothing else is missing. */
static void test_lost_change_overwritten(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	lose(dir, 2, 2, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_true(flag(report, "state", "head_is_proven"));
	assert_int_equal(number(report, "state", "newest_proven"), 6);
	assert_newest(to, "a=3 c=4 ");
	assert_no_state(to, 2);
	assert_no_state(to, 5);
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(to);
	assert_state(config, 1, "a=1 ");
}

static void test_lost_change_with_checkpoint(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	const char *dir = make_store(), *to = new_target();
	struct lg_config *config = store_open(dir);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "d", "5");
	lg_config_close(config);
	all_into_file(dir);
	lose(dir, 4, 4, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_true(flag(report, "state", "head_is_proven"));
	assert_true(flag(report, "state", "marks_and_holds_are_complete"));
	assert_int_equal(number(report, "checkpoints", "kept"), 1);
	assert_newest(to, "a=3 c=4 d=5 ");
	assert_no_state(to, 5);
}

static void test_damaged_checkpoint(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	const char *dir = make_store(), *to = new_target();
	struct lg_config *config = store_open(dir);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	lg_config_close(config);
	lg_autofree char *checkpoints = lg_path_join(dir, "log.db-checkpoints");
	char **names = NULL;
	size_t count = 0, size = 0;
	lg_assert_ok(lg_dir_list(checkpoints, &names, &count, &err), &err);
	lg_autofree char *path = lg_path_join(checkpoints, names[count - 1]);
	lg_names_free(names, count);
	lg_autofree char *data = lg_test_read(path, &size);
	data[size / 2] ^= 1;
	lg_test_write(path, data, size);
	lose(dir, 4, 4, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "checkpoints", "damaged"), 1);
	assert_false(flag(report, "state", "head_is_proven"));
}

/* Without the index the record behind a lost one cannot be proven, and those behind that can. */
static void test_lost_with_index(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	lose(dir, 4, 4, ROW_AND_INDEX);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "records", "proven"), 5);
	assert_int_equal(number(report, "records", "unproven"), 1);
	const json_t *lost = json_array_get(json_object_get(report, "lost"), 1);
	assert_int_equal(json_integer_value(json_object_get(lost, "first")), 5);
	lg_autofree char *body = json_dumps(json_object_get(lost, "body"), JSON_COMPACT);
	assert_string_equal(body, "{\"set\":{\"c\":4}}");
	assert_newest(to, "a=1 ");
}

static void test_lost_tail(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	lose(dir, 6, 7, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "records", "head"), 7);
	assert_int_equal(number(report, "state", "newest_proven"), 5);
	assert_newest(
		to, "a=3 b=2 c=4 "); /* declared by a restore, since the lost ones were a change and a mark */
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(to);
	assert_true(store_set(config, "d", "5") > 9);
}

static void test_restore_behind_loss(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	struct lg_config *config = store_open(dir);
	store_go_back(config, 1, NULL, NULL);
	store_set(config, "e", "6");
	lg_config_close(config);
	all_into_file(dir);
	lose(dir, 4, 4, ROW);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	/* what a restore of everything brings back is known without what it left */
	assert_true(flag(report, "state", "head_is_proven"));
	assert_newest(to, "a=1 e=6 ");
	assert_no_state(to, 5);
}

/* What retention dropped is not lost, whether the table of gaps says so or, should it be lost, the record of the trim. */
static void test_trimmed(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_gap gap;
	const char *dir = make_store();
	struct lg_config *config = store_open(dir);
	for (int i = 0; i < 20; i++)
		store_set(config, "d", i % 2 ? "1" : "2");
	const struct lg_retention retention = { .revisions = 3 };
	struct lg_trim_plan plan = { 0 };
	lg_assert_ok(lg_config_trim_plan(config, &retention, &plan, &err), &err);
	lg_assert_ok(lg_config_trim(config, &plan, &store_author, &err), &err);
	lg_trim_plan_clear(&plan);
	lg_config_close(config);
	all_into_file(dir);
	struct lg_log *log = store_open_log(dir);
	assert_int_equal(lg_log_gap(log, UINT64_MAX, &gap, &err), 1);
	lg_log_close(log);
	lg_cleanup(lg_json_freep) json_t *before = salvage(dir, new_target());
	assert_true(json_is_true(json_object_get(before, "complete")));
	assert_true(number(before, "records", "dropped_before") > 10);
	wipe(dir, gap.hash, LG_HASH_SIZE, 8);
	const char *to = new_target();
	lg_cleanup(lg_json_freep) json_t *after = salvage(dir, to);
	assert_int_equal(number(after, "records", "lost"), 0);
	assert_int_equal(
		number(after, "records", "dropped_before"), number(before, "records", "dropped_before"));
	assert_newest(to, "a=3 c=4 d=1 ");
}

static int bad_reads;

/* Every fifth read of the database fails: a page in one go, or of that page a sector. */
static int fail_some_reads(void *arg, enum lg_fault_op op, const char *path)
{
	(void)arg;
	size_t len = strlen(path);
	if (op != LG_FAULT_READ || len < 7 || strcmp(path + len - 7, "/log.db") != 0)
		return 0;
	return ++bad_reads % 5 == 0 ? EIO : 0;
}

static void test_bad_sectors(void **state)
{
	(void)state;
	const char *dir = make_store();
	struct lg_config *config = store_open(dir);
	for (int i = 0; i < 200; i++)
		store_set(config, "d", i % 2 ? "1" : "2");
	lg_config_close(config);
	all_into_file(dir);
	lg_fault_set(fail_some_reads, NULL);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, NULL);
	lg_fault_set(NULL, NULL);
	assert_true(number(report, "source", "bytes_unreadable") > 0);
	assert_true(number(report, "records", "proven") > 50);
	assert_int_equal(number(report, "records", "proven") + number(report, "records", "lost"),
		number(report, "records", "head"));
}

static void test_again(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = make_store(), *first = new_target(), *second = new_target();
	struct lg_log_gap gap;
	lose(dir, 4, 4, ROW);
	json_decref(salvage(dir, first));
	lg_cleanup(lg_json_freep) json_t *report = salvage(first, second);
	assert_true(json_is_true(json_object_get(report, "complete")));
	assert_int_equal(number(report, "records", "dropped_before"), 1);
	struct lg_log *log = store_open_log(second);
	assert_int_equal(lg_log_gap(log, 5, &gap, &err), 1);
	lg_log_close(log);
	assert_int_equal(gap.first, 4);
	assert_int_equal(gap.last, 4);
	assert_int_equal(gap.reason, LG_GAP_LOST); /* and not by retention */
	assert_newest(second, "a=1 c=4 ");
}

static const char *const page_sizes[] = { "1024", "8192", "65536" };

static void test_page_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof page_sizes / sizeof *page_sizes; i++) {
		char sql[160], value[9000];
		const char *dir = make_store(), *to = new_target();
		lg_cleanup(lg_buf_clear) struct lg_buf expected = LG_BUF_INIT;
		struct lg_config *config = store_open(dir);
		memset(value, 'x', sizeof value - 1);
		value[0] = value[sizeof value - 2] = '"';
		value[sizeof value - 1] = '\0';
		store_set(config, "large", value);
		lg_config_close(config);
		snprintf(sql, sizeof sql,
			"PRAGMA journal_mode = DELETE; PRAGMA page_size = %s; VACUUM; PRAGMA journal_mode = WAL",
			page_sizes[i]);
		run_sql(dir, sql);
		lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
		assert_true(json_is_true(json_object_get(report, "complete")));
		lg_buf_addf(&expected, "a=3 c=4 large=%s ", value);
		assert_newest(to, lg_buf_str(&expected));
	}
}

/* A record whose transaction has no commit was never said to be written: frames of it do not count, whole as they are. */
static void test_uncommitted(void **state)
{
	(void)state;
	size_t len;
	const char *dir = make_store(), *to = new_target();
	lg_autofree char *path = lg_path_join(dir, "log.db-wal");
	struct lg_config *config = store_open(dir);
	store_set(config, "d", "5");
	store_set(config, "e", "6");
	lg_config_close(config);
	lg_autofree char *wal = lg_test_read(path, &len);
	const size_t frame = 4096 + 24, count = (len - 32) / frame;
	assert_true(count > 3);
	memset(wal + 32 + (count - 1) * frame + 4, 0, 4); /* the size that says commit */
	lg_test_write(path, wal, len);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "records", "proven"), 8);
	assert_int_equal(number(report, "records", "lost"), 0);
	assert_newest(to, "a=3 c=4 d=5 ");
}

/* One that failed, and was then written over by another that settles it: what is left of it behind that does not count either. */
static void test_failed(void **state)
{
	(void)state;
	size_t len, longer, settled;
	const char *dir = make_store(), *to = new_target();
	lg_autofree char *path = lg_path_join(dir, "log.db-wal");
	lg_autofree char *shm = lg_path_join(dir, "log.db-shm");
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = store_open(dir);
	store_set(config, "d", "5");
	lg_config_close(config);
	lg_autofree char *before = lg_test_read(path, &len);
	config = store_open(dir);
	store_set(config, "e", "6");
	lg_config_close(config);
	lg_autofree char *failed = lg_test_read(path, &longer);
	lg_test_write(path, before, len);
	assert_int_equal(unlink(shm), 0);
	struct lg_log *log = store_open_log(dir);
	uint64_t seq;
	lg_assert_ok(lg_log_find_id(log, 0, (const uint8_t[LG_ID_SIZE]){ 0 }, &seq, &err), &err);
	lg_log_close(log);
	lg_autofree char *over = lg_test_read(path, &settled);
	assert_true(settled > len && settled < longer);
	memcpy(failed, over, settled);
	lg_test_write(path, failed, longer);
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "records", "proven"), 8);
	assert_newest(to, "a=3 c=4 d=5 ");
}

static void test_redacted(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	run_sql(dir, "UPDATE record SET body = NULL WHERE seq = 5");
	lg_cleanup(lg_json_freep) json_t *report = salvage(dir, to);
	assert_int_equal(number(report, "records", "proven"), 7);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_record record;
	struct lg_log *log = store_open_log(to);
	lg_assert_ok(lg_log_get(log, 5, remember, &record, &err), &err);
	lg_log_close(log);
	assert_true(record.redacted);
}

/* --- the directory ------------------------------------------------------------------------------------------------------------- */

static void test_files(void **state)
{
	(void)state;
	struct stat st;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = make_store(), *to = new_target();
	lg_autofree char *id = lg_path_join(dir, "rollbacks/1");
	lg_autofree char *journal = lg_path_join(id, "journal");
	lg_autofree char *lock = lg_path_join(dir, "rollback.lock");
	lg_autofree char *there = lg_path_join(to, "rollbacks/1/journal");
	lg_autofree char *no_lock = lg_path_join(to, "rollback.lock");
	lg_autofree char *key = lg_path_join(to, "secret.key");
	lg_autofree char *text = lg_path_join(to, "salvage.txt");
	lg_autofree char *json = lg_path_join(to, "salvage.json");
	lg_assert_ok(lg_dir_make(id, 0700, &err), &err);
	lg_test_write(journal, "plan\n", 5);
	lg_test_write(lock, "", 0);
	json_decref(salvage(dir, to));
	size_t size;
	lg_autofree char *copy = lg_test_read(there, &size);
	assert_string_equal(copy, "plan\n");
	assert_false(lg_file_exists(no_lock));
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_true(lg_file_exists(text) && lg_file_exists(json));
}

static void assert_refused(const char *from, const char *to, int code)
{
	struct lg_error err = LG_ERROR_INIT;
	json_t *report = NULL;
	const struct lg_config_salvage options = { .from = from, .to = to, .clock = &store_clock.clock };
	lg_assert_code(lg_config_salvage(&options, &report, &err), code, &err);
	assert_null(report);
}

static void test_refused_targets(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = make_store();
	lg_autofree char *inside = lg_path_join(dir, "new");
	lg_autofree char *around = lg_path_join(dir, "../new-and-free/../new-and-free");
	assert_refused(dir, dir, LG_EINVALID);
	assert_refused(dir, inside, LG_EINVALID);
	assert_refused(dir, make_store(), LG_ECONFLICT);
	assert_refused(dir, lg_test_path("no/such/place"), LG_ENOTFOUND);
	assert_refused(dir, around, LG_ENOTFOUND);
	lg_test_write(lg_test_path("a-file"), "x", 1);
	assert_refused(dir, lg_test_path("a-file"), LG_ECONFLICT);
	assert_refused(lg_test_path("nowhere"), new_target(), LG_ENOTFOUND);
	/* what somebody else calls .partial is not ours to remove */
	lg_assert_ok(lg_dir_make(lg_test_path("mine.partial/kept"), 0700, &err), &err);
	assert_refused(dir, lg_test_path("mine"), LG_ECONFLICT);
	assert_true(lg_file_exists(lg_test_path("mine.partial/kept")));
}

static void test_cut_short(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = make_store();
	lg_assert_ok(lg_dir_make(lg_test_path("again.partial"), 0700, &err), &err);
	lg_test_write(lg_test_path("again.partial/salvage.lock"), "", 0);
	lg_test_write(lg_test_path("again.partial/log.db"), "half", 4);
	json_decref(salvage(dir, lg_test_path("again")));
	assert_false(lg_file_exists(lg_test_path("again.partial")));
	assert_newest(lg_test_path("again"), "a=3 c=4 ");
}

static void test_empty_target(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = make_store(), *to = new_target();
	lg_assert_ok(lg_dir_make(to, 0700, &err), &err);
	json_decref(salvage(dir, to));
	assert_newest(to, "a=3 c=4 ");
}

static void test_dry_run(void **state)
{
	(void)state;
	const char *dir = make_store();
	lose(dir, 2, 2, ROW);
	lg_cleanup(lg_json_freep) json_t *dry = salvage(dir, NULL);
	lg_cleanup(lg_json_freep) json_t *real = salvage(dir, new_target());
	json_object_del(dry, "to");
	json_object_del(real, "to");
	lg_autofree char *one = json_dumps(dry, JSON_INDENT(1));
	lg_autofree char *other = json_dumps(real, JSON_INDENT(1));
	assert_string_equal(one, other);
}

static void test_writer(void **state)
{
	(void)state;
	const char *dir = make_store();
	lg_autofree char *path = lg_path_join(dir, "log.db");
	struct lg_error err = LG_ERROR_INIT;
	pid_t pid = 0;
	bool writes = true;
	lg_assert_ok(lg_salvage_user(path, &pid, &writes, &err), &err);
	assert_int_equal(pid, 0);
	assert_false(writes);
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		sqlite3 *db = NULL;
		bool held = sqlite3_open(path, &db) == SQLITE_OK &&
			sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;
		if (write(ready[1], held ? "y" : "n", 1) == 1)
			pause();
		_exit(0);
	}
	char held = 0;
	assert_int_equal(read(ready[0], &held, 1), 1);
	assert_int_equal(held, 'y');
	assert_refused(dir, new_target(), LG_EBUSY);
	lg_assert_ok(lg_salvage_user(path, &pid, &writes, &err), &err);
	assert_int_equal(pid, child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void test_nothing_provable(void **state)
{
	(void)state;
	const char *dir = make_store(), *to = new_target();
	static const char *const names[] = { "log.db", "log.db-wal" };
	for (size_t i = 0; i < 2; i++) {
		lg_autofree char *path = lg_path_join(dir, names[i]);
		lg_test_write(path, "not a database", 14);
	}
	assert_refused(dir, to, LG_ECORRUPT);
	assert_false(lg_file_exists(to));
	json_decref(salvage(dir, NULL)); /* still tells what it sees */
}

int main(void)
{
	store_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_lost_mark),
		cmocka_unit_test(test_lost_change),
		cmocka_unit_test(test_lost_change_overwritten),
		cmocka_unit_test(test_lost_change_with_checkpoint),
		cmocka_unit_test(test_damaged_checkpoint),
		cmocka_unit_test(test_lost_with_index),
		cmocka_unit_test(test_lost_tail),
		cmocka_unit_test(test_restore_behind_loss),
		cmocka_unit_test(test_trimmed),
		cmocka_unit_test(test_bad_sectors),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_page_sizes),
		cmocka_unit_test(test_uncommitted),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_redacted),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_refused_targets),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_empty_target),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_nothing_provable),
	};
	return lg_test_main(__FILE__, tests, sizeof tests / sizeof *tests);
}
