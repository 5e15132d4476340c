/* What the SQLite log promises beyond the contract: no query scans, large records fit, the file stays readable and small. */
#include "unit/log/records.h"

#include "base/cleanup.h"
#include "log/sqlite/internal.h"

#include <sys/stat.h>

#define CHANGES (1u << LG_KIND_CHANGE)
#define STATES  (CHANGES | 1u << LG_KIND_RESTORE)
#define MARKS   (1u << LG_KIND_MARK)

static struct lg_log *make_log(const char *name, const char **ret_path)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	char url[600];
	*ret_path = lg_test_path(name);
	snprintf(url, sizeof url, "sqlite:%s", *ret_path);
	lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ .create = true }, &log, &err), &err);
	return log;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	return stmt;
}

/* --- no query scans ------------------------------------------------------------------------------------------------------- */

#define LOTS 3000

/* A log in which what is asked for is rare: LOTS records, of which every 1000th is a mark and touches 'rare'. */
static struct lg_log *big_log(void)
{
	static struct lg_log *log;
	const char *path;
	if (log)
		return log;
	log = make_log("big.db", &path);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	struct lg_record *records = calloc(LOTS, sizeof *records);
	static const char *const often[] = { "web/port", "x" }, *const rarely[] = { "rare", "seldom/a" };
	assert_non_null(records);
	for (size_t i = 0; i < LOTS; i++) {
		struct lg_log_head at = i ? lg_test_head_after(&records[i - 1]) : head;
		records[i] = lg_test_record(&at, i % 1000 == 500 ? LG_KIND_MARK : LG_KIND_CHANGE, "{}");
		if (records[i].kind == LG_KIND_CHANGE) {
			records[i].keys = i % 1000 == 700 ? rarely : often;
			records[i].key_count = 2;
		}
		lg_test_seal(&records[i], &at);
	}
	lg_assert_ok(lg_log_append(log, records, LOTS, &head, &err), &err);
	free(records);
	return log;
}

static const struct plan_row {
	const char *name;
	struct lg_log_query query;
	size_t count;
	int sorts; /* a prefix gathers its seqs */
} plan_rows[] = {
	{ "a key's changes", { .key = "rare", .kinds = CHANGES }, 3, 0 },
	{ "a key's changes, newest first", { .key = "rare", .kinds = CHANGES, .newest_first = true }, 3, 0 },
	{ "a key's last change", { .key = "rare", .kinds = CHANGES, .newest_first = true, .limit = 1 }, 1, 0 },
	{ "the last change of a key that often changes",
		{ .key = "web/port", .kinds = CHANGES, .newest_first = true, .limit = 1 }, 1, 0 },
	{ "a key's changes among the restores", { .key = "rare", .kinds = STATES, .newest_first = true }, 3,
		0 },
	{ "a key that never changed", { .key = "never", .kinds = CHANGES }, 0, 0 },
	{ "a prefix", { .key = "seldom/", .kinds = CHANGES }, 3, 1 },
	{ "all marks", { .kinds = MARKS }, 3, 0 },
	{ "all control records", { .kinds = ((1u << LG_KIND_COUNT) - 1) & ~STATES }, 3, 0 },
	{ "the state in force at a seq", { .kinds = STATES, .newest_first = true, .to = 1501, .limit = 1 }, 1,
		0 },
	{ "one record", { .from = 1500, .to = 1500 }, 1, 0 },
	{ "the newest records", { .newest_first = true, .limit = 3 }, 3, 0 },
	{ "records from a seq on", { .from = LOTS - 2 }, 3, 0 },
};

static void test_plan(void **state)
{
	const struct plan_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf sql = LG_BUF_INIT;
	struct lg_sqlite *s = (struct lg_sqlite *)big_log();
	bool stream;
	size_t count = 0;

	assert_int_equal(lg_test_seqs(&s->log, &row->query, NULL, 0), row->count);
	lg_assert_ok(lg_sqlite_query_sql(&row->query, &sql, &stream, &err), &err);
	sqlite3_stmt *stmt = prepare(s->db, lg_buf_str(&sql));
	sqlite3_bind_int64(stmt, 1, (int64_t)row->query.from);
	sqlite3_bind_int64(stmt, 2, row->query.to ? (int64_t)row->query.to : INT64_MAX);
	sqlite3_bind_int64(stmt, 3, row->query.limit ? (int64_t)row->query.limit : -1);
	if (row->query.key) {
		sqlite3_bind_text(stmt, 4, row->query.key, -1, SQLITE_STATIC);
		if (sqlite3_bind_parameter_count(stmt) > 4)
			sqlite3_bind_text(stmt, 5, "seldom0", -1, SQLITE_STATIC);
	}
	while (sqlite3_step(stmt) == SQLITE_ROW)
		count++;
	assert_int_equal(count, row->count);
	assert_int_equal(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0), 0);
	assert_int_equal(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_AUTOINDEX, 0), 0);
	assert_true(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_SORT, 0) <= row->sorts);
	/* a handful of steps for each row and each kind, and not one for each record */
	assert_true(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 0) < 300);
	sqlite3_finalize(stmt);
}

/* The measure above can tell a scan when it sees one. */
static void test_scan_is_noticed(void **state)
{
	(void)state;
	struct lg_sqlite *s = (struct lg_sqlite *)big_log();
	sqlite3_stmt *stmt = prepare(s->db, "SELECT seq FROM record WHERE reason = 'none'");
	assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
	assert_true(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0) >= LOTS - 1);
	assert_true(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 0) > 300);
	sqlite3_finalize(stmt);
	lg_log_close(&s->log);
}

/* --- size ------------------------------------------------------------------------------------------------------------------ */

#define MANY_KEYS 100000

static void test_large_change(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	const char *path;
	size_t len = 10 * 1024 * 1024;
	char *body = malloc(len + 1), *texts = malloc(MANY_KEYS * 32);
	const char **keys = malloc(MANY_KEYS * sizeof *keys);
	(void)state;

	assert_true(body && texts && keys);
	memset(body, 'b', len);
	body[len] = '\0';
	for (size_t i = 0; i < MANY_KEYS; i++) {
		snprintf(texts + i * 32, 32, "service/%02zu/setting_%06zu", i / 1000, i);
		keys[i] = texts + i * 32;
	}
	struct lg_log *log = make_log("large.db", &path);
	struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, body);
	record.keys = keys;
	record.key_count = MANY_KEYS;
	lg_test_seal(&record, &head);
	lg_assert_ok(lg_log_append(log, &record, 1, &head, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	uint64_t seq = 0;
	assert_int_equal(lg_test_seqs(log, &(struct lg_log_query){ .key = keys[MANY_KEYS - 1] }, &seq, 1), 1);
	assert_int_equal(lg_test_seqs(log, &(struct lg_log_query){ .key = "service/42/" }, &seq, 1), 1);
	/* what went through the -wal file has moved, so that it does not stay large */
	lg_test_fill(log, 2);
	struct stat st;
	char wal[600];
	snprintf(wal, sizeof wal, "%s-wal", path);
	assert_int_equal(stat(wal, &st), 0);
	assert_true(st.st_size <= 9 * 1024 * 1024);
	lg_log_close(log);
	free(keys);
	free(texts);
	free(body);
}

static void test_wal_stays_bounded(void **state)
{
	const char *path;
	struct stat st;
	char wal[600];
	(void)state;
	struct lg_log *log = make_log("bounded.db", &path);
	lg_test_fill(log, 1500);
	snprintf(wal, sizeof wal, "%s-wal", path);
	assert_int_equal(stat(wal, &st), 0);
	assert_true(st.st_size <= (LG_SQLITE_WAL_PAGES + 50) * 4200);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 40 * 4096);
	lg_log_close(log);
}

/* --- the connection and the file -------------------------------------------------------------------------------------------- */

static int64_t pragma(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = prepare(db, sql);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

static void test_settings(void **state)
{
	const char *path;
	(void)state;
	struct lg_log *log = make_log("settings.db", &path);
	sqlite3 *db = ((struct lg_sqlite *)log)->db;
	int on = -1;
	assert_int_equal(pragma(db, "PRAGMA synchronous"), 2);
	assert_int_equal(pragma(db, "PRAGMA application_id"), LG_SQLITE_APPLICATION_ID);
	assert_int_equal(pragma(db, "PRAGMA user_version"), LG_SQLITE_FORMAT);
	assert_int_equal(pragma(db, "PRAGMA trusted_schema"), 0);
	assert_int_equal(pragma(db, "PRAGMA busy_timeout"), 5000);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, -1, &on);
	assert_int_equal(on, 1);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, -1, &on);
	assert_int_equal(on, 1);
	lg_log_close(log);
}

static void test_readable(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	const char *path;
	sqlite3 *db = NULL;
	(void)state;
	struct lg_log *log = make_log("readable.db", &path);
	struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, "{\"set\":{\"a\":1}}");
	record.time_us = 1795392185000123;
	lg_test_seal(&record, &head);
	lg_assert_ok(lg_log_append(log, &record, 1, &head, &err), &err);
	lg_log_close(log);

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_stmt *stmt = prepare(db, "SELECT time, kind, actor, reason, body, root FROM readable");
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	static const char *const want[] = { "2026-11-23T00:03:05.000123Z", "change", "alice", "because",
		"{\"set\":{\"a\":1}}", "0101010101010101010101010101010101010101010101010101010101010101" };
	for (int i = 0; i < 6; i++)
		assert_string_equal((const char *)sqlite3_column_text(stmt, i), want[i]);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static int visit_redacted(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	assert_int_equal(record->redacted, record->seq == 2);
	if (record->redacted) {
		assert_string_equal(record->body, "");
		assert_int_equal(record->body_len, 0);
	}
	++*(int *)arg;
	return 0;
}

static void test_redacted(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *path;
	int seen = 0;
	(void)state;
	struct lg_log *log = make_log("redacted.db", &path);
	lg_test_fill(log, 3);
	sqlite3 *db = ((struct lg_sqlite *)log)->db;
	assert_int_equal(
		sqlite3_exec(db, "UPDATE record SET body = NULL WHERE seq = 2", NULL, NULL, NULL), SQLITE_OK);
	lg_assert_ok(lg_log_query(log, &(struct lg_log_query){ 0 }, visit_redacted, &seen, &err), &err);
	assert_int_equal(seen, 3);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_log_close(log);
}

/* Where the doorbell cannot be rung, the slow look behind it finds what was appended. */
static void test_without_doorbell(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	assert_int_equal(mkdir(lg_test_path("mute"), 0700), 0);
	assert_int_equal(mkdir(lg_test_path("mute/doorbell"), 0700), 0);
	struct lg_log *log = lg_test_open(lg_test_path("mute/log.db"), true);
	struct lg_log *other = lg_test_open(lg_test_path("mute/log.db"), false);
	((struct lg_sqlite *)log)->bell_failed = true;
	assert_int_equal(lg_log_wait(log, 1, &err), 0);
	lg_test_fill(other, 1);
	assert_int_equal(lg_log_wait(log, 30000, &err), 1);
	assert_int_equal(lg_log_wait_fd(log), -1);
	lg_log_close(other);
	lg_log_close(log);
}

int main(void)
{
	lg_test_rows("no scan", test_plan, plan_rows, sizeof plan_rows / sizeof *plan_rows, sizeof *plan_rows,
		offsetof(struct plan_row, name));
	lg_test_add("a scan is noticed", test_scan_is_noticed, NULL);
	lg_test_add("a change of 100,000 keys and 10 MB", test_large_change, NULL);
	lg_test_add("the -wal file stays bounded", test_wal_stays_bounded, NULL);
	lg_test_add("settings of the connection", test_settings, NULL);
	lg_test_add("readable in a database shell", test_readable, NULL);
	lg_test_add("a redacted body", test_redacted, NULL);
	lg_test_add("wait without a doorbell", test_without_doorbell, NULL);
	return lg_test_run("log_sqlite");
}
