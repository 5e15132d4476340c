/* Whatever is altered in a record behind our back is found out, and no damage crashes the reader. */
#include "unit/log/records.h"

#include "base/cleanup.h"
#include "log/sqlite/internal.h"

#include <sys/stat.h>

#define RECORDS 9

static const char *make_store(void)
{
	static unsigned count;
	char name[32];
	snprintf(name, sizeof name, "store%u.db", count++);
	const char *path = lg_test_path(name);
	struct lg_log *log = lg_test_open(path, true);
	lg_test_fill(log, RECORDS);
	lg_log_close(log);
	return path;
}

/* --- altered through SQL: the records stay well formed -------------------------------------------------------------------------- */

static const struct alter_row {
	const char *name;
	const char *sql;
	unsigned long long found_at; /* the seq that the message names */
} alter_rows[] = {
	{ "id", "UPDATE record SET id = randomblob(16) WHERE seq = 5", 5 },
	{ "time", "UPDATE record SET time = time + 1 WHERE seq = 5", 5 },
	{ "kind", "UPDATE record SET kind = 'restore' WHERE seq = 5", 5 },
	{ "control kind", "UPDATE record SET kind = 'hold' WHERE seq = 4", 4 },
	{ "actor", "UPDATE record SET actor = 'mallory' WHERE seq = 5", 5 },
	{ "reason", "UPDATE record SET reason = reason || ' ' WHERE seq = 5", 5 },
	{ "reason and actor", "UPDATE record SET actor = 'aliceb', reason = 'ecause' WHERE seq = 5", 5 },
	{ "root", "UPDATE record SET root = randomblob(32) WHERE seq = 5", 5 },
	{ "body", "UPDATE record SET body = '{\"set\":[]}' WHERE seq = 5", 5 },
	{ "empty body", "UPDATE record SET body = '' WHERE seq = 5", 5 },
	{ "body hash", "UPDATE record SET body_hash = randomblob(32) WHERE seq = 5", 5 },
	{ "body hash of a redacted body",
		"UPDATE record SET body_hash = randomblob(32), body = NULL WHERE seq = 5", 5 },
	{ "hash", "UPDATE record SET hash = randomblob(32) WHERE seq = 5", 5 },
	{ "hash of the newest", "UPDATE record SET hash = randomblob(32) WHERE seq = 9", 9 },
	{ "one taken out", "DELETE FROM record WHERE seq = 5", 5 },
	{ "the oldest taken out", "DELETE FROM record WHERE seq = 1", 1 },
	{ "two exchanged",
		"UPDATE record SET seq = seq + 100 WHERE seq IN (5, 6);"
		"UPDATE record SET seq = 11 - (seq - 100) WHERE seq > 100",
		5 },
	{ "one put in",
		"UPDATE record SET seq = seq + 100 WHERE seq > 5; UPDATE record SET seq = seq - 99 WHERE seq > "
		"100;"
		"INSERT INTO record SELECT 6, randomblob(16), time, kind, actor, reason, root, body_hash, "
		"hash, body"
		" FROM record WHERE seq = 5",
		6 },
	{ "unknown kind", "UPDATE record SET kind = 'nothing' WHERE seq = 5", 5 },
	{ "root of a mark", "UPDATE record SET root = randomblob(32) WHERE seq = 4", 4 },
	{ "root taken from a change", "UPDATE record SET root = NULL WHERE seq = 5", 5 },
	{ "NUL in the reason", "UPDATE record SET reason = 'be' || char(0) || 'cause' WHERE seq = 5", 5 },
	{ "NUL in the body", "UPDATE record SET body = char(0) WHERE seq = 5", 5 },
	{ "what retention says of the past",
		"INSERT INTO gap VALUES (1, 4, randomblob(32), 'retention');"
		"DELETE FROM record WHERE seq < 5",
		5 },
};

static void test_altered(void **state)
{
	const struct alter_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	char words[64];
	sqlite3 *db = NULL;
	const char *path = make_store();

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, row->sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	struct lg_log *log = lg_test_open(path, false);
	lg_assert_code(lg_log_verify_chain(log, 0, 0, &err), LG_ECORRUPT, &err);
	snprintf(words, sizeof words, "record %llu", row->found_at);
	if (!strstr(err.message, words))
		fail_msg("'%s' does not name %s", err.message, words);
	lg_log_close(log);
}

static void test_unaltered(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	struct lg_log *log = lg_test_open(make_store(), false);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_log_close(log);
}

/* --- altered on disk: anything may come of it but a crash and a wrong answer ------------------------------------------------------ */

struct seen {
	uint64_t next;
	const uint8_t (*hashes)[LG_HASH_SIZE];
};

static int remember(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	memcpy(((uint8_t(*)[LG_HASH_SIZE])arg)[record->seq - 1], record->hash, LG_HASH_SIZE);
	return 0;
}

static int compare(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct seen *seen = arg;
	(void)err;
	assert_int_equal(record->seq, ++seen->next);
	assert_true(record->seq <= RECORDS);
	assert_memory_equal(record->hash, seen->hashes[record->seq - 1], LG_HASH_SIZE);
	return 0;
}

/* Either it is found out, or it lies where no record does and all records are what they were. */
static bool found_out(const char *path, const uint8_t hashes[RECORDS][LG_HASH_SIZE])
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s", path);
	int rc = lg_log_open(url, &(struct lg_log_open){ 0 }, &log, &err);
	if (rc == 0)
		rc = lg_log_verify_chain(log, 0, 0, &err);
	if (rc == 0) {
		struct seen seen = { .hashes = hashes };
		lg_assert_ok(lg_log_query(log, &(struct lg_log_query){ 0 }, compare, &seen, &err), &err);
		assert_int_equal(seen.next, RECORDS);
		(void)lg_log_check(log, true, &err);
		(void)lg_test_seqs(log, &(struct lg_log_query){ .from = 1, .to = 1 }, NULL, 0);
	} else {
		assert_true(err.message[0] != '\0');
		if (rc != LG_ECORRUPT && rc != LG_ENEWER)
			fail_msg("%s (%s)", err.message, lg_code_name(rc));
	}
	lg_log_close(log);
	return rc != 0;
}

static void test_bytes(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	static uint8_t hashes[RECORDS][LG_HASH_SIZE];
	char side[600];
	size_t size = 0, found = 0;
	uint64_t random = 7;
	(void)state;

	const char *path = make_store();
	struct lg_log *log = lg_test_open(path, false);
	lg_assert_ok(lg_log_query(log, &(struct lg_log_query){ 0 }, remember, hashes, &err), &err);
	lg_log_close(log);
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	char *content = lg_test_read(path, &size);
	const char *copy = lg_test_path("flipped.db");
	for (int i = 0; i < 400; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		/* the file's header, then anywhere */
		size_t at = i < 100 ? (size_t)i : (size_t)((random >> 33) % size);
		char former = content[at];
		content[at] = (char)(former ^ (1 << (random >> 60) % 8));
		lg_test_write(copy, content, size);
		content[at] = former;
		found += found_out(copy, (const uint8_t(*)[LG_HASH_SIZE])hashes);
		snprintf(side, sizeof side, "%s-wal", copy);
		remove(side);
		snprintf(side, sizeof side, "%s-shm", copy);
		remove(side);
	}
	assert_true(found > 20);
	free(content);
}

/* --- a block of the -wal ----------------------------------------------------------------------------------------------- */

#define BLOCK       4096 /* of a file system: it covers the end of one frame and the head of the next */
#define FRAME       (24 + 4096)
#define WAL_RECORDS 40

/* Of the log with that -wal: 0 when it is refused. */
static uint64_t newest_seq(const char *path)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	struct lg_log *log = NULL;
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s", path);
	int rc = lg_log_open(url, &(struct lg_log_open){ 0 }, &log, &err);
	if (rc == 0)
		rc = lg_log_check(log, true, &err);
	if (rc < 0)
		lg_assert_code(rc, LG_ECORRUPT, &err);
	else
		lg_assert_ok(lg_log_head(log, &head, &err), &err);
	lg_log_close(log);
	return head.seq;
}

/* What is behind the block was committed: SQLite says nothing of it, so the check must. */
static void test_wal_blocks(void **state)
{
	char wal[600], side[600];
	size_t size = 0, db_size = 0, found = 0;
	(void)state;
	const char *path = lg_test_path("blocks.db"), *copy = lg_test_path("block.db");
	struct lg_log *log = lg_test_open(path, true);
	lg_test_fill(log, WAL_RECORDS);
	lg_log_close(log);
	snprintf(wal, sizeof wal, "%s-wal", path);
	lg_autofree char *db = lg_test_read(path, &db_size);
	lg_autofree char *content = lg_test_read(wal, &size);
	assert_true(size > 20 * (size_t)FRAME);
	for (size_t at = BLOCK; at + BLOCK <= size; at += BLOCK) {
		char former[BLOCK];
		memcpy(former, content + at, BLOCK);
		memset(content + at, 0xa5, BLOCK);
		lg_test_write(copy, db, db_size);
		snprintf(side, sizeof side, "%s-wal", copy);
		lg_test_write(side, content, size);
		memcpy(content + at, former, BLOCK);
		uint64_t newest = newest_seq(copy);
		/* not told from a write that was cut off: the newest transaction, and the one before if the block covers its end */
		assert_true(newest == 0 || newest + 2 >= WAL_RECORDS);
		found += newest == 0;
		snprintf(side, sizeof side, "%s-shm", copy);
		remove(side);
	}
	assert_true(found > 10);
}

int main(void)
{
	lg_test_add("what was not altered verifies", test_unaltered, NULL);
	lg_test_rows("altered", test_altered, alter_rows, sizeof alter_rows / sizeof *alter_rows,
		sizeof *alter_rows, offsetof(struct alter_row, name));
	lg_test_add("bits flipped in the file", test_bytes, NULL);
	lg_test_add("a block of the -wal overwritten", test_wal_blocks, NULL);
	return lg_test_run("log_damage");
}
