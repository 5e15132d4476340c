/* Gaps: what retention dropped and what salvage lost; moving the index of keys; settling what is unknown. */
#include "log/sqlite/internal.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <inttypes.h>
#include <string.h>

#define TRIM_SLICE 4096 /* records dropped in one transaction, so that no writer waits long */

static const char *const gap_names[] = { [LG_GAP_RETENTION] = "retention", [LG_GAP_LOST] = "lost" };

/* Runs a statement that yields nothing, with up to two numbers bound. */
static int run(struct lg_sqlite *s, const char *sql, uint64_t first, uint64_t second, const char *what,
	struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_prepare(s, sql, what, &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)first);
	if (sqlite3_bind_parameter_count(stmt) > 1)
		sqlite3_bind_int64(stmt, 2, (int64_t)second);
	int step = sqlite3_step(stmt);
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, what, err);
}

/* --- gaps ------------------------------------------------------------------------------------------------------------ */

static int read_gap(
	const struct lg_sqlite *s, sqlite3_stmt *stmt, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	struct lg_log_head last;
	int64_t first = sqlite3_column_int64(stmt, 0);
	int rc = lg_sqlite_read_head(s, stmt, 1, &last, err);
	if (rc < 0)
		return rc;
	const char *reason = (const char *)sqlite3_column_text(stmt, 3);
	if (first < 1 || (uint64_t)first > last.seq || !reason)
		return lg_sqlite_fail(s, SQLITE_CORRUPT, "read", err);
	*ret_gap = (struct lg_log_gap){ .first = (uint64_t)first,
		.last = last.seq,
		.reason = strcmp(reason, gap_names[LG_GAP_LOST]) == 0 ? LG_GAP_LOST : LG_GAP_RETENTION };
	memcpy(ret_gap->hash, last.hash, LG_HASH_SIZE);
	return 0;
}

int lg_sqlite_gap(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	lg_cleanup(lg_sqlite_resetp) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_stmt(s, STMT_GAP, "read", &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, at > INT64_MAX ? INT64_MAX : (int64_t)at);
	int step = sqlite3_step(stmt);
	if (step == SQLITE_DONE)
		return 0;
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step, "read", err);
	rc = read_gap(s, stmt, ret_gap, err);
	return rc < 0 ? rc : 1;
}

int lg_sqlite_insert_gap(struct lg_sqlite *s, const struct lg_log_gap *gap, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_prepare(s, "INSERT INTO gap (first, last, hash, reason) VALUES (?1, ?2, ?3, ?4)",
		"write to", &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)gap->first);
	sqlite3_bind_int64(stmt, 2, (int64_t)gap->last);
	sqlite3_bind_blob(stmt, 3, gap->hash, LG_HASH_SIZE, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 4, gap_names[gap->reason], -1, SQLITE_STATIC);
	int step = sqlite3_step(stmt);
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, "write to", err);
}

int lg_sqlite_skip(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	if (s->readonly)
		return lg_fail(
			err, LG_EREADONLY, 0, "cannot write to '%s': it was opened for reading only", s->path);
	s->skip = *gap;
	return 0;
}

/* --- retention ------------------------------------------------------------------------------------------------------- */

static int check_trim(struct lg_sqlite *s, uint64_t before, struct lg_error *err)
{
	struct lg_log_head head;
	uint64_t checkpoint;
	int rc = lg_sqlite_head(&s->log, &head, err);
	if (rc < 0)
		return rc;
	if (before > head.seq)
		return lg_fail(err, LG_EINVALID, 0,
			"cannot drop the records before %" PRIu64 ": the log ends at %" PRIu64, before,
			head.seq);
	rc = lg_sqlite_checkpoint_find(&s->log, head.seq, &checkpoint, err);
	if (rc == LG_ENOTFOUND || (rc == 0 && checkpoint < before - 1))
		return lg_fail(err, LG_EINVALID, 0,
			"cannot drop the records before %" PRIu64
			": no checkpoint holds the state that they lead to",
			before);
	/* whoever wrote it may have been killed before its name was on disk */
	return rc < 0 ? rc : lg_dir_sync(s->checkpoints, err);
}

/* The gap that first … last become together with those that they touch; 0: they are one already. */
static int merge(
	struct lg_sqlite *s, uint64_t first, uint64_t last, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	struct lg_log_gap gap = { .first = first, .last = last, .reason = LG_GAP_RETENTION }, other;
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	struct lg_log_head head;
	int rc = lg_sqlite_gap(&s->log, last + 1, &other, err);
	if (rc == 1 && other.last >= last) {
		if (other.first <= first)
			return 0;
		gap.last = other.last;
		memcpy(gap.hash, other.hash, LG_HASH_SIZE);
	} else if (rc >= 0) {
		rc = lg_sqlite_prepare(s, "SELECT seq, hash FROM record WHERE seq = ?1", "trim", &stmt, err);
		if (rc == 0) {
			sqlite3_bind_int64(stmt, 1, (int64_t)last);
			int step = sqlite3_step(stmt);
			rc = step == SQLITE_ROW
				? lg_sqlite_read_head(s, stmt, 0, &head, err)
				: lg_sqlite_fail(s, step == SQLITE_DONE ? SQLITE_CORRUPT : step, "trim", err);
		}
		if (rc == 0)
			memcpy(gap.hash, head.hash, LG_HASH_SIZE);
	}
	if (rc >= 0)
		rc = lg_sqlite_gap(&s->log, first, &other, err);
	if (rc == 1 && other.last + 1 >= first)
		gap.first = other.first;
	if (rc < 0)
		return rc;
	*ret_gap = gap;
	return 1;
}

static int drop_locked(struct lg_sqlite *s, uint64_t first, uint64_t last, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = merge(s, first, last, &gap, err);
	if (rc <= 0)
		return rc;
	rc = run(s, "DELETE FROM record WHERE seq BETWEEN ?1 AND ?2", first, last, "trim", err);
	if (rc == 0)
		rc = run(s, "DELETE FROM touching WHERE seq BETWEEN ?1 AND ?2", first, last, "trim", err);
	if (rc == 0)
		rc = run(s, "DELETE FROM gap WHERE first BETWEEN ?1 AND ?2", gap.first, gap.last, "trim", err);
	if (rc == 0)
		rc = lg_sqlite_insert_gap(s, &gap, err);
	return rc;
}

/* One transaction; nothing happens when they are a gap already. */
static int drop_slice(struct lg_sqlite *s, uint64_t first, uint64_t last, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = lg_sqlite_gap(&s->log, first, &gap, err);
	if (rc < 0 || (rc == 1 && gap.last >= last))
		return rc < 0 ? rc : 0;
	rc = lg_sqlite_begin(s, "trim", err);
	if (rc < 0)
		return rc;
	rc = drop_locked(s, first, last, err);
	if (rc == 0)
		rc = lg_sqlite_commit(s, "trim", err);
	else
		lg_sqlite_rollback(s);
	if (rc == 0)
		lg_sqlite_move_pages(s);
	return rc;
}

static int drop_range(struct lg_sqlite *s, uint64_t first, uint64_t end, struct lg_error *err)
{
	int rc = 0;
	while (rc == 0 && first < end) {
		uint64_t next = end - first > TRIM_SLICE ? first + TRIM_SLICE : end;
		rc = drop_slice(s, first, next - 1, err);
		first = next;
	}
	return rc;
}

/* Where the slice of keys that begins at `from` ends: 1, or 0 when it goes to the end. */
static int find_slice_end(
	struct lg_sqlite *s, const struct lg_buf *from, struct lg_buf *ret_end, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_prepare(
		s, "SELECT key FROM touched WHERE key > ?1 ORDER BY key LIMIT 1 OFFSET ?2", "trim", &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_text64(stmt, 1, lg_buf_str(from), from->len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_int64(stmt, 2, TRIM_SLICE);
	int step = sqlite3_step(stmt);
	if (step == SQLITE_DONE)
		return 0;
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step, "trim", err);
	lg_buf_add(ret_end, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
	rc = lg_buf_check(ret_end, err);
	return rc < 0 ? rc : 1;
}

/* end NULL: to the end */
static int clear_slice(struct lg_sqlite *s, uint64_t before, const struct lg_buf *from,
	const struct lg_buf *end, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_prepare(s,
		end ? "DELETE FROM touched WHERE key >= ?1 AND seq < ?2 AND key < ?3"
		      " AND NOT EXISTS (SELECT 1 FROM record WHERE record.seq = touched.seq)"
		    : "DELETE FROM touched WHERE key >= ?1 AND seq < ?2"
		      " AND NOT EXISTS (SELECT 1 FROM record WHERE record.seq = touched.seq)",
		"trim", &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_text64(stmt, 1, lg_buf_str(from), from->len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_int64(stmt, 2, (int64_t)before);
	if (end)
		sqlite3_bind_text64(stmt, 3, lg_buf_str(end), end->len, SQLITE_STATIC, SQLITE_UTF8);
	int step = sqlite3_step(stmt);
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, "trim", err);
}

/* What the index of keys says about records that are gone, a slice of its keys at a time. */
static int clear_touched(struct lg_sqlite *s, uint64_t before, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf from = LG_BUF_INIT;
	for (int more = 1; more == 1;) {
		lg_cleanup(lg_buf_clear) struct lg_buf end = LG_BUF_INIT;
		int rc = lg_sqlite_begin(s, "trim", err);
		if (rc < 0)
			return rc;
		more = find_slice_end(s, &from, &end, err);
		rc = more < 0 ? more : clear_slice(s, before, &from, more ? &end : NULL, err);
		if (rc == 0)
			rc = lg_sqlite_commit(s, "trim", err);
		else
			lg_sqlite_rollback(s);
		if (rc < 0)
			return rc;
		lg_buf_clear(&from);
		from = end;
		end = (struct lg_buf)LG_BUF_INIT;
		lg_sqlite_move_pages(s);
	}
	return 0;
}

int lg_sqlite_trim(
	struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	if (s->readonly)
		return lg_fail(
			err, LG_EREADONLY, 0, "cannot trim '%s': it was opened for reading only", s->path);
	int rc = before > 1 ? check_trim(s, before, err) : 0;
	uint64_t from = 1;
	for (size_t i = 0; rc == 0 && before > 1 && i <= keep_count; i++) {
		uint64_t end = i < keep_count && keep[i] < before ? keep[i] : before;
		rc = drop_range(s, from, end, err);
		from = end + 1;
	}
	if (rc < 0 || before <= 1)
		return rc;
	rc = clear_touched(s, before, err);
	return rc < 0 ? rc : lg_sqlite_checkpoint_drop_before(s, before - 1, keep, keep_count, err);
}

/* --- the index of keys ----------------------------------------------------------------------------------------------- */

static int move_touching(struct lg_sqlite *s, struct lg_error *err)
{
	int rc = lg_sqlite_begin(s, "write to", err);
	if (rc < 0)
		return rc;
	rc = lg_sqlite_exec(s,
		"INSERT OR IGNORE INTO touched SELECT key, seq FROM touching ORDER BY key, seq;"
		"DELETE FROM touching;",
		"write to", err);
	if (rc == 0)
		return lg_sqlite_commit(s, "write to", err);
	lg_sqlite_rollback(s);
	return rc;
}

/* It only keeps the index in order, so what fails is tried again after the next append. */
void lg_sqlite_move_touching(struct lg_sqlite *s)
{
	sqlite3_stmt *stmt;
	struct lg_error ignored = LG_ERROR_INIT;
	/* what another process moves meanwhile only makes the oldest one newer */
	if (s->poisoned || s->seen - s->touching_from < LG_SQLITE_TOUCHING ||
		lg_sqlite_stmt(s, STMT_TOUCHING, "read", &stmt, &ignored) < 0)
		return;
	bool found = sqlite3_step(stmt) == SQLITE_ROW;
	uint64_t oldest = found ? (uint64_t)sqlite3_column_int64(stmt, 0) : s->seen;
	sqlite3_reset(stmt);
	s->touching_from = oldest < s->seen ? oldest : s->seen;
	if (s->seen - s->touching_from >= LG_SQLITE_TOUCHING && move_touching(s, &ignored) == 0)
		s->touching_from = s->seen;
}

/* --- settling -------------------------------------------------------------------------------------------------------- */

static int settle_now(struct lg_sqlite *s, struct lg_error *err)
{
	int rc = lg_sqlite_begin(s, "write to", err);
	if (rc < 0)
		return rc;
	rc = lg_sqlite_exec(s, "UPDATE meta SET value = value + 1 WHERE name = 'settled'", "write to", err);
	if (rc == 0)
		return lg_sqlite_commit(s, "write to", err);
	lg_sqlite_rollback(s);
	return rc;
}

/* A transaction whose COMMIT failed may lie whole in the -wal file, behind what the shared index counts: nobody sees it,
 * until the last process is gone and the next one rebuilds the index from the file.  Any transaction written in its place
 * ends that.  After a failed write that is done over a fresh connection; this one stays poisoned. */
int lg_sqlite_settle(struct lg_log *log, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	if (s->readonly)
		return 0;
	if (!s->poisoned)
		return settle_now(s, err);

	lg_cleanup(lg_log_closep) struct lg_log *fresh = NULL;
	struct lg_log_open options = { .location = s->path, .busy_ms = s->busy_ms, .clock = lg_clock_system() };
	int rc = lg_sqlite_open(&options, &fresh, err);
	return rc < 0 ? rc : settle_now((struct lg_sqlite *)fresh, err);
}
