#include "log/sqlite/sqlite.h"

#include "base/cleanup.h"
#include "io/file.h"
#include "log/sqlite/internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* OR FAIL: a failure rolls the whole transaction back, so nothing need be kept for undoing a statement alone */
#define INSERT_RECORD                                                                                          \
	"INSERT OR FAIL INTO record (seq, id, time, kind, actor, reason, root, body_hash, hash, body)"         \
	" SELECT seq, id, time, kind, actor, reason, root, body_hash, hash, body FROM temp.incoming_record"

static const char *const stmt_sql[STMT_COUNT] = {
	[STMT_HEAD] = "SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1",
	[STMT_GAP] = "SELECT first, last, hash, reason FROM gap WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
	[STMT_INSERT] = INSERT_RECORD,
	[STMT_TOUCH] = "INSERT OR FAIL INTO touching (key, seq) SELECT key, seq FROM temp.incoming_key",
	[STMT_TOUCH_LARGE] = "INSERT OR FAIL INTO touched (key, seq) SELECT key, seq FROM temp.incoming_key",
	[STMT_TOUCHING] = "SELECT seq FROM touching ORDER BY seq LIMIT 1",
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
};

static int code_of(int sqlite_rc)
{
	if (sqlite_rc == SQLITE_IOERR_NOMEM)
		return LG_ENOMEM;
	switch (sqlite_rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return LG_EBUSY;
	case SQLITE_FULL:
		return LG_ENOSPC;
	case SQLITE_READONLY:
		return LG_EREADONLY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return LG_ECORRUPT;
	case SQLITE_NOMEM:
		return LG_ENOMEM;
	case SQLITE_TOOBIG:
		return LG_EINVALID;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return LG_EPERM;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		return LG_EIO;
	default:
		return LG_EINTERNAL;
	}
}

int lg_sqlite_damaged(const struct lg_sqlite *s, const char *what, const char *why, struct lg_error *err)
{
	return lg_fail(err, LG_ECORRUPT, 0,
		"cannot %s '%s': the file is damaged (%s): 'lastgood recover salvage --to DIR' makes a new store "
		"of what it still holds and leaves it as it is; or put a backup of its directory in its place",
		what, s->path, why);
}

/* in parentheses because it is a macro to clang-tidy: internal.h */
int(lg_sqlite_fail)(const struct lg_sqlite *s, int sqlite_rc, const char *what, struct lg_error *err)
{
	int code = code_of(sqlite_rc);
	if (code == LG_ENOMEM)
		return lg_fail_nomem(err);
	if (code == LG_EBUSY)
		return lg_fail(err, code, 0,
			"cannot %s '%s': another process is writing to it and did not finish within %" PRId64
			" ms",
			what, s->path, s->busy_ms);
	if (code == LG_ENOSPC)
		return lg_fail(
			err, code, 0, "cannot %s '%s': the disk is full; nothing was written", what, s->path);
	if (code == LG_EINVALID)
		return lg_fail(err, code, 0, "cannot %s '%s': too large for one record", what, s->path);
	if ((sqlite_rc & 0xff) == SQLITE_NOTADB)
		return lg_fail(err, code, 0,
			"cannot %s '%s': it is not even a database: name another state directory; or "
			"'lastgood recover salvage --to DIR' makes a new store of what it still holds, or put a "
			"backup of its directory in its place",
			what, s->path);
	if (code == LG_ECORRUPT)
		return lg_sqlite_damaged(s, what, sqlite3_errstr(sqlite_rc), err);
	/* the statements are right, so what one of them misses is missing in the file */
	if (sqlite_rc == SQLITE_ERROR)
		return lg_sqlite_damaged(s, what, sqlite3_errmsg(s->db), err);
	int sys_errno = code == LG_EIO && s->db ? sqlite3_system_errno(s->db) : 0;
	return lg_fail(err, code, sys_errno, "cannot %s '%s': %s", what, s->path,
		s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(sqlite_rc));
}

int lg_sqlite_prepare(const struct lg_sqlite *s, const char *sql, const char *what, sqlite3_stmt **ret_stmt,
	struct lg_error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v3(s->db, sql, -1, 0, &stmt, NULL);
	if (rc != SQLITE_OK)
		return lg_sqlite_fail(s, rc, what, err);
	*ret_stmt = stmt;
	return 0;
}

int lg_sqlite_exec(const struct lg_sqlite *s, const char *sql, const char *what, struct lg_error *err)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : lg_sqlite_fail(s, rc, what, err);
}

int lg_sqlite_stmt(struct lg_sqlite *s, enum lg_sqlite_stmt which, const char *what, sqlite3_stmt **ret_stmt,
	struct lg_error *err)
{
	if (!s->stmts[which]) {
		int rc = sqlite3_prepare_v3(
			s->db, stmt_sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[which], NULL);
		if (rc != SQLITE_OK)
			return lg_sqlite_fail(s, rc, what, err);
	}
	*ret_stmt = s->stmts[which];
	return 0;
}

/* --- transactions ---------------------------------------------------------------------------------------------------- */

/* SQLite makes the names of its files durable when it has made the -wal file itself.  One that a process made which was then
 * killed is there all the same, and whatever is synced to it would go with its name when the power fails. */
static int sync_names(struct lg_sqlite *s, const char *what, struct lg_error *err)
{
	if (s->names_synced)
		return 0;
	lg_autofree char *dir = strndup(s->path, (size_t)(strrchr(s->path, '/') - s->path) + 1);
	if (!dir)
		return lg_fail_nomem(err);
	int rc = lg_dir_sync(dir, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot %s '%s'", what, s->path);
	s->names_synced = true;
	return 0;
}

int lg_sqlite_begin(struct lg_sqlite *s, const char *what, struct lg_error *err)
{
	sqlite3_stmt *stmt;
	if (s->readonly)
		return lg_fail(
			err, LG_EREADONLY, 0, "cannot %s '%s': it was opened for reading only", what, s->path);
	if (s->poisoned)
		return lg_fail(err, LG_EREADONLY, 0,
			"cannot %s '%s': a write to disk failed and the log turned read-only; mend the disk, "
			"then open the "
			"log again",
			what, s->path);
	int rc = lg_sqlite_stmt(s, STMT_BEGIN, what, &stmt, err);
	if (rc < 0)
		return rc;
	int step = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	if (step != SQLITE_DONE)
		return lg_sqlite_fail(s, step, what, err);
	rc = sync_names(s, what, err);
	if (rc < 0)
		lg_sqlite_rollback(s);
	return rc;
}

void lg_sqlite_rollback(struct lg_sqlite *s)
{
	sqlite3_stmt *stmt;
	/* some failures have rolled back already */
	if (sqlite3_get_autocommit(s->db))
		return;
	if (lg_sqlite_stmt(s, STMT_ROLLBACK, "roll back", &stmt, NULL) == 0) {
		sqlite3_step(stmt);
		sqlite3_reset(stmt);
	}
	if (!sqlite3_get_autocommit(s->db))
		s->poisoned = true;
}

/* BUSY and FULL are certain: the frame that would commit is not in the -wal file.  After anything else it may be there,
 * whole, and count once the last process that has the log open is gone; so the outcome is not known. */
int lg_sqlite_commit(struct lg_sqlite *s, const char *what, struct lg_error *err)
{
	sqlite3_stmt *stmt;
	int rc = lg_sqlite_stmt(s, STMT_COMMIT, what, &stmt, err);
	if (rc < 0) {
		lg_sqlite_rollback(s);
		return rc;
	}
	int step = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	if (step == SQLITE_DONE)
		return 0;
	if ((step & 0xff) == SQLITE_BUSY || (step & 0xff) == SQLITE_FULL) {
		rc = lg_sqlite_fail(s, step, what, err);
	} else {
		s->poisoned = true;
		rc = lg_fail(err, LG_EUNKNOWN, sqlite3_system_errno(s->db),
			"cannot %s '%s' for certain: the write to disk failed (%s); the log is read-only until "
			"it is opened "
			"again",
			what, s->path, sqlite3_errstr(step));
	}
	lg_sqlite_rollback(s);
	return rc;
}

/* --- head ------------------------------------------------------------------------------------------------------------ */

int lg_sqlite_read_head(const struct lg_sqlite *s, sqlite3_stmt *stmt, int column, struct lg_log_head *ret_head,
	struct lg_error *err)
{
	int64_t seq = sqlite3_column_int64(stmt, column);
	if (seq < 1 || sqlite3_column_type(stmt, column + 1) != SQLITE_BLOB ||
		sqlite3_column_bytes(stmt, column + 1) != LG_HASH_SIZE)
		return lg_sqlite_fail(s, SQLITE_CORRUPT, "read", err);
	ret_head->seq = (uint64_t)seq;
	memcpy(ret_head->hash, sqlite3_column_blob(stmt, column + 1), LG_HASH_SIZE);
	return 0;
}

int lg_sqlite_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	lg_cleanup(lg_sqlite_resetp) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_stmt(s, STMT_HEAD, "read", &stmt, err);
	if (rc < 0)
		return rc;
	int step = sqlite3_step(stmt);
	if (step == SQLITE_DONE) {
		*ret_head = (struct lg_log_head){ 0 };
		return 0;
	}
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step, "read", err);
	return lg_sqlite_read_head(s, stmt, 0, ret_head, err);
}

/* --- append ---------------------------------------------------------------------------------------------------------- */

static int check_expected(
	struct lg_sqlite *s, const struct lg_log_head *expected, size_t count, struct lg_error *err)
{
	struct lg_log_head head;
	int rc = lg_sqlite_head(&s->log, &head, err);
	if (rc < 0)
		return rc;
	if (s->skip.first && s->skip.first != head.seq + 1)
		return lg_fail(err, LG_EINVALID, 0, "a gap from %" PRIu64 " does not follow record %" PRIu64,
			s->skip.first, head.seq);
	if (s->skip.first) {
		head.seq = s->skip.last;
		memcpy(head.hash, s->skip.hash, LG_HASH_SIZE);
	}
	if (head.seq != expected->seq || memcmp(head.hash, expected->hash, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECONFLICT, 0,
			"the log has moved on: it is at record %" PRIu64 ", not at %" PRIu64, head.seq,
			expected->seq);
	if (head.seq > INT64_MAX - count)
		return lg_fail(err, LG_EINVALID, 0, "the log '%s' cannot number more records", s->path);
	return 0;
}

static int insert_all(struct lg_sqlite *s, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	int rc = check_expected(s, expected, count, err);
	if (rc == 0 && s->skip.first)
		rc = lg_sqlite_insert_gap(s, &s->skip, err);
	return rc < 0 ? rc : lg_sqlite_insert(s, records, count, err);
}

/* SQLite's own automatic checkpoint would run inside COMMIT, before anybody is told, and drop its failures. */
void lg_sqlite_move_pages(struct lg_sqlite *s)
{
	if (s->wal_pages < LG_SQLITE_WAL_PAGES)
		return;
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if ((rc & 0xff) == SQLITE_IOERR)
		s->poisoned = true;
}

static int sqlite_append(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	int rc = lg_sqlite_prepare_insert(s, "append to", err);
	if (rc == 0)
		rc = lg_sqlite_begin(s, "append to", err);
	if (rc < 0)
		return rc;
	rc = insert_all(s, records, count, expected, err);
	if (rc < 0) {
		lg_sqlite_rollback(s);
		return rc;
	}
	rc = lg_sqlite_commit(s, "append to", err);
	if (rc < 0)
		return rc;
	s->skip.first = 0;
	s->seen = records[count - 1].seq;
	lg_doorbell_ring_kept(s->bell_path, &s->ringer);
	lg_sqlite_move_touching(s);
	lg_sqlite_move_pages(s);
	return 0;
}

/* --- wait ------------------------------------------------------------------------------------------------------------ */

static void open_bell(struct lg_sqlite *s)
{
	if (!s->bell && !s->bell_failed && lg_doorbell_open(s->bell_path, &s->bell, NULL) < 0)
		s->bell_failed = true;
}

/* Until a ring or timeout_ms. */
static void listen(struct lg_sqlite *s, int64_t timeout_ms)
{
	if (s->bell && lg_doorbell_wait(s->bell, timeout_ms, NULL) >= 0)
		return;
	struct timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000 };
	nanosleep(&ts, NULL);
}

/* The real clock, also under a simulated one: what is waited for are other processes. */
static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int sqlite_wait(struct lg_log *log, int64_t timeout_ms, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	int64_t start = now_ms();

	open_bell(s);
	listen(s, 0); /* takes old rings, before the look that makes them old */
	for (;;) {
		struct lg_log_head head;
		int rc = lg_sqlite_head(log, &head, err);
		if (rc < 0)
			return rc;
		if (head.seq != s->seen) {
			s->seen = head.seq;
			return 1;
		}
		int64_t slice = LG_SQLITE_POLL_MS;
		if (timeout_ms >= 0) {
			int64_t left = timeout_ms - (now_ms() - start);
			if (left <= 0)
				return 0;
			slice = left < slice ? left : slice;
		}
		listen(s, slice);
	}
}

static int sqlite_wait_fd(struct lg_log *log)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	open_bell(s);
	return s->bell ? lg_doorbell_fd(s->bell) : -1;
}

const struct lg_log_ops lg_log_sqlite_ops = {
	.api = LG_LOG_API,
	.scheme = "sqlite",
	.open = lg_sqlite_open,
	.close = lg_sqlite_close,
	.head = lg_sqlite_head,
	.append = sqlite_append,
	.query = lg_sqlite_query,
	.checkpoint_write = lg_sqlite_checkpoint_write,
	.checkpoint_find = lg_sqlite_checkpoint_find,
	.checkpoint_read = lg_sqlite_checkpoint_read,
	.checkpoint_drop = lg_sqlite_checkpoint_drop,
	.trim = lg_sqlite_trim,
	.gap = lg_sqlite_gap,
	.skip = lg_sqlite_skip,
	.wait = sqlite_wait,
	.wait_fd = sqlite_wait_fd,
	.settle = lg_sqlite_settle,
	.check = lg_sqlite_check,
	.each_touched = lg_sqlite_each_touched,
};
