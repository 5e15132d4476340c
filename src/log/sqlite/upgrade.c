/* Older formats.
 *
 *	1 → 2   touching and gap come (base said what gap says, of the beginning only), record_kind carries hashes, checkpoints
 *	        are files: those in the table are dropped, since they do not say of which history they are, and the log
 *	        holds what they hold
 */
#include "log/sqlite/internal.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <inttypes.h>
#include <stdio.h>

/* "<file>.format-1": whole, synced, or absent. */
static int keep_copy(struct lg_sqlite *s, int64_t format, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	unsigned char *data = NULL;
	sqlite3_int64 len = 0;
	lg_buf_addf(&path, "%s.format-%" PRId64, s->path, format);
	int rc = lg_buf_check(&path, err);
	if (rc < 0 || lg_file_exists(path.data))
		return rc; /* an upgrade that was cut off made it */
	data = sqlite3_serialize(s->db, "main", &len, 0);
	if (!data)
		return lg_fail(
			err, LG_ENOMEM, 0, "cannot copy '%s' before its upgrade: memory is short", s->path);
	const struct lg_replace_options options = { .mode = 0600, .refuse_exist = true };
	rc = lg_file_replace(path.data, data, (size_t)len, &options, err);
	sqlite3_free(data);
	return rc < 0 ? lg_context(err, rc, "cannot copy '%s' before its upgrade", s->path) : 0;
}

static int from_1(const struct lg_sqlite *s, struct lg_error *err)
{
	return lg_sqlite_exec(s,
		LG_SQLITE_ADDED_IN_2 "INSERT INTO gap SELECT 1, seq, hash, 'retention' FROM base;"
				     "DROP TABLE base;"
				     "DROP TABLE checkpoint;"
				     "DROP INDEX record_kind;"
				     "CREATE INDEX record_kind ON record (kind, seq, hash);"
				     "UPDATE meta SET value = '" LG_VERSION "' WHERE name = 'written_by';"
				     "PRAGMA user_version = 2;",
		"upgrade", err);
}

static int read_format(const struct lg_sqlite *s, int64_t *ret_format, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_prepare(s, "PRAGMA user_version", "upgrade", &stmt, err);
	if (rc < 0)
		return rc;
	int step = sqlite3_step(stmt);
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step, "upgrade", err);
	*ret_format = sqlite3_column_int64(stmt, 0);
	return 0;
}

static int upgrade(struct lg_sqlite *s, struct lg_error *err)
{
	int64_t format = 0;
	int rc = lg_sqlite_begin(s, "upgrade", err);
	if (rc < 0)
		return rc;
	rc = read_format(s, &format, err);
	if (rc == 0 && format < LG_SQLITE_FORMAT) { /* else another process was faster */
		rc = keep_copy(s, format, err);
		if (rc == 0)
			rc = from_1(s, err);
		if (rc == 0)
			return lg_sqlite_commit(s, "upgrade", err);
	}
	lg_sqlite_rollback(s);
	return rc;
}

int lg_sqlite_upgrade(struct lg_sqlite *s, const struct lg_log_open *options, struct lg_error *err)
{
	if (!s->readonly)
		return upgrade(s, err);
	struct lg_log_open writing = *options;
	struct lg_log *log = NULL;
	writing.readonly = writing.create = false;
	int rc = lg_sqlite_open(&writing, &log, err);
	if (log)
		lg_sqlite_close(log);
	return rc < 0 ? lg_context(err, rc, "the log '%s' has an older format and must be upgraded", s->path)
		      : 0;
}
