/* Checkpoints, retention, and settling what is unknown. */
#include "log/sqlite/internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

static int step_once(struct lg_sqlite *s, sqlite3_stmt *stmt, const char *what, struct lg_error *err)
{
	int step = sqlite3_step(stmt);
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, what, err);
}

/* --- checkpoints ----------------------------------------------------------------------------------------------------- */

static int insert_checkpoint(
	struct lg_sqlite *s, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	struct lg_log_head head;
	int rc = lg_sqlite_head(&s->log, &head, err);
	if (rc < 0)
		return rc;
	if (checkpoint->seq == 0 || checkpoint->seq > head.seq)
		return lg_fail(err, LG_EINVALID, 0,
			"a checkpoint at record %" PRIu64 " is outside of the log, which ends at %" PRIu64,
			checkpoint->seq, head.seq);
	rc = lg_sqlite_prepare(s, "INSERT OR REPLACE INTO checkpoint (seq, data) VALUES (?1, ?2)",
		"write a checkpoint to", &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)checkpoint->seq);
	int bound = checkpoint->len
		? sqlite3_bind_blob64(stmt, 2, checkpoint->data, checkpoint->len, SQLITE_STATIC)
		: sqlite3_bind_zeroblob(stmt, 2, 0);
	if (bound != SQLITE_OK)
		return lg_sqlite_fail(s, bound, "write a checkpoint to", err);
	return step_once(s, stmt, "write a checkpoint to", err);
}

int lg_sqlite_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	int rc = lg_sqlite_begin(s, "write a checkpoint to", err);
	if (rc < 0)
		return rc;
	rc = insert_checkpoint(s, checkpoint, err);
	if (rc < 0) {
		lg_sqlite_rollback(s);
		return rc;
	}
	rc = lg_sqlite_commit(s, "write a checkpoint to", err);
	if (rc == 0)
		lg_sqlite_move_pages(s);
	return rc;
}

/* --- retention ------------------------------------------------------------------------------------------------------- */

static int check_trim(struct lg_sqlite *s, uint64_t before, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	struct lg_log_head head;
	int rc = lg_sqlite_head(&s->log, &head, err);
	if (rc < 0)
		return rc;
	if (before > head.seq)
		return lg_fail(err, LG_EINVALID, 0,
			"cannot drop the records before %" PRIu64 ": the log ends at %" PRIu64, before,
			head.seq);
	rc = lg_sqlite_prepare(
		s, "SELECT 1 FROM checkpoint WHERE seq BETWEEN ?1 AND ?2 LIMIT 1", "trim", &stmt, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)before - 1);
	sqlite3_bind_int64(stmt, 2, (int64_t)head.seq);
	int step = sqlite3_step(stmt);
	if (step == SQLITE_DONE)
		return lg_fail(err, LG_EINVALID, 0,
			"cannot drop the records before %" PRIu64
			": no checkpoint holds the state that they lead to",
			before);
	return step == SQLITE_ROW ? 0 : lg_sqlite_fail(s, step, "trim", err);
}

static int trim_to(struct lg_sqlite *s, uint64_t before, struct lg_error *err)
{
	static const char *const sqls[] = {
		"INSERT OR REPLACE INTO base SELECT 1, seq, hash FROM record WHERE seq = ?1 - 1",
		"DELETE FROM record WHERE seq < ?1",
		"DELETE FROM touched WHERE seq < ?1",
		"DELETE FROM checkpoint WHERE seq < ?1 - 1",
	};
	int rc = check_trim(s, before, err);
	for (size_t i = 0; i < sizeof sqls / sizeof *sqls && rc == 0; i++) {
		lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
		rc = lg_sqlite_prepare(s, sqls[i], "trim", &stmt, err);
		if (rc == 0) {
			sqlite3_bind_int64(stmt, 1, (int64_t)before);
			rc = step_once(s, stmt, "trim", err);
		}
	}
	return rc;
}

int lg_sqlite_trim(struct lg_log *log, uint64_t before, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	uint64_t first;
	int rc = lg_sqlite_begin(s, "trim", err);
	if (rc < 0)
		return rc;
	rc = lg_sqlite_first(log, &first, err);
	if (rc == 0 && before > 1 && (first == 0 || before > first))
		rc = trim_to(s, before, err);
	if (rc < 0) {
		lg_sqlite_rollback(s);
		return rc;
	}
	rc = lg_sqlite_commit(s, "trim", err);
	if (rc == 0)
		lg_sqlite_move_pages(s);
	return rc;
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
