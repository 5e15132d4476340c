#include "log/sqlite/internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

#define HEADER    "seq, id, time, kind, actor, reason, root, body_hash, hash"
#define COLUMNS   HEADER ", body"
#define NO_BODY   HEADER ", NULL"
#define ALL_KINDS ((1u << LG_KIND_COUNT) - 1)

#define LARGEST_WAL ((size_t)1 << 30)

/* --- what to ask ----------------------------------------------------------------------------------------------------- */

static bool is_prefix(const char *key)
{
	size_t len = strlen(key);
	return len && key[len - 1] == '/';
}

/* A stream of seqs is the ordered merge of one index range for each kind, and of `touched` and `touching` in the place of changes;
 * SQLite merges the ranges without sorting.  Only a prefix has to gather its seqs first, as its keys share them. */
static void add_stream(struct lg_buf *buf, uint32_t kinds, const char *key)
{
	const char *join = "";
	for (unsigned i = 0; i < LG_KIND_COUNT; i++) {
		if (!(kinds & 1u << i))
			continue;
		if (i != LG_KIND_CHANGE || !key)
			lg_buf_addf(buf,
				"%sSELECT seq FROM record INDEXED BY record_kind WHERE kind = '%s'"
				" AND seq BETWEEN ?1 AND ?2",
				join, lg_kind_name((enum lg_kind)i));
		else
			lg_buf_addf(buf,
				is_prefix(key)
					? "%sSELECT DISTINCT seq FROM touched WHERE key >= ?4 AND key < ?5"
					  " AND seq BETWEEN ?1 AND ?2"
					  " UNION ALL SELECT DISTINCT seq FROM touching WHERE key >= ?4 AND key < "
					  "?5"
					  " AND seq BETWEEN ?1 AND ?2"
					: "%sSELECT seq FROM touched WHERE key = ?4 AND seq BETWEEN ?1 AND ?2"
					  " UNION ALL SELECT seq FROM touching WHERE key = ?4"
					  " AND seq BETWEEN ?1 AND ?2",
				join);
		join = " UNION ALL ";
	}
}

int lg_sqlite_query_sql(
	const struct lg_log_query *query, struct lg_buf *buf, bool *ret_stream, struct lg_error *err)
{
	uint32_t kinds = query->kinds ? query->kinds & ALL_KINDS : ALL_KINDS;
	const char *key = kinds & 1u << LG_KIND_CHANGE ? query->key : NULL;
	bool stream = key || kinds != ALL_KINDS;

	if (!kinds)
		return lg_fail(err, LG_EINTERNAL, 0, "query for kinds of records that do not exist");
	if (stream)
		add_stream(buf, kinds, key);
	else
		lg_buf_addf(buf, "SELECT %s FROM record WHERE seq BETWEEN ?1 AND ?2",
			query->no_body ? NO_BODY : COLUMNS);
	lg_buf_addf(buf, " ORDER BY seq %s LIMIT ?3", query->newest_first ? "DESC" : "ASC");
	*ret_stream = stream;
	return lg_buf_check(buf, err);
}

static int64_t to_sqlite(uint64_t number)
{
	return number > INT64_MAX ? INT64_MAX : (int64_t)number;
}

static int bind_query(sqlite3_stmt *stmt, const struct lg_log_query *query)
{
	int rc = sqlite3_bind_int64(stmt, 1, to_sqlite(query->from));
	rc = rc ? rc : sqlite3_bind_int64(stmt, 2, query->to ? to_sqlite(query->to) : INT64_MAX);
	rc = rc ? rc : sqlite3_bind_int64(stmt, 3, query->limit ? to_sqlite(query->limit) : -1);
	if (rc || sqlite3_bind_parameter_count(stmt) < 4)
		return rc;
	size_t len = strlen(query->key);
	rc = sqlite3_bind_text64(stmt, 4, query->key, len, SQLITE_STATIC, SQLITE_UTF8);
	if (rc || sqlite3_bind_parameter_count(stmt) < 5)
		return rc;
	/* "web/" … "web0": '0' follows '/' */
	char *end = sqlite3_mprintf("%.*s0", (int)len - 1, query->key);
	return end ? sqlite3_bind_text(stmt, 5, end, -1, sqlite3_free) : SQLITE_NOMEM;
}

/* --- what comes back ------------------------------------------------------------------------------------------------- */

/* A column's bytes, NULL unless they are of that type and size; size SIZE_MAX: any, without a NUL inside. */
static const void *column(sqlite3_stmt *stmt, int index, int type, size_t size)
{
	if (sqlite3_column_type(stmt, index) != type)
		return NULL;
	const void *data = type == SQLITE_TEXT ? (const void *)sqlite3_column_text(stmt, index)
					       : sqlite3_column_blob(stmt, index);
	size_t len = (size_t)sqlite3_column_bytes(stmt, index);
	if (!data || (size == SIZE_MAX ? memchr(data, 0, len) != NULL : len != size))
		return NULL;
	return data;
}

static bool copy_column(sqlite3_stmt *stmt, int index, void *ret_data, size_t size)
{
	const void *data = column(stmt, index, SQLITE_BLOB, size);
	if (data)
		memcpy(ret_data, data, size);
	return data != NULL;
}

static int bad(const struct lg_sqlite *s, uint64_t seq, const char *what, struct lg_error *err)
{
	if (sqlite3_errcode(s->db) == SQLITE_NOMEM)
		return lg_fail_nomem(err);
	return lg_fail(err, LG_ECORRUPT, 0,
		"record %" PRIu64
		" in '%s' is damaged (%s): 'lastgood recover salvage --to DIR' makes a new store of what it still "
		"holds and leaves it as it is; or put a backup of its directory in its place",
		seq, s->path, what);
}

/* The row that stmt stands on, as a view into it. */
static int decode(
	const struct lg_sqlite *s, sqlite3_stmt *stmt, struct lg_record *ret_record, struct lg_error *err)
{
	struct lg_record r = { .seq = (uint64_t)sqlite3_column_int64(stmt, 0),
		.time_us = sqlite3_column_int64(stmt, 2) };

	if (!copy_column(stmt, 1, r.id, LG_ID_SIZE))
		return bad(s, r.seq, "id", err);
	const char *kind = column(stmt, 3, SQLITE_TEXT, SIZE_MAX);
	if (!kind || lg_kind_from_name(kind, &r.kind, NULL) < 0)
		return bad(s, r.seq, "kind", err);
	r.actor = column(stmt, 4, SQLITE_TEXT, SIZE_MAX);
	r.reason = column(stmt, 5, SQLITE_TEXT, SIZE_MAX);
	if (!r.actor || !r.reason)
		return bad(s, r.seq, "actor or reason", err);
	r.has_root = sqlite3_column_type(stmt, 6) != SQLITE_NULL;
	if (r.has_root != lg_kind_is_state(r.kind) ||
		(r.has_root && !copy_column(stmt, 6, r.root, LG_HASH_SIZE)))
		return bad(s, r.seq, "root", err);
	if (!copy_column(stmt, 7, r.body_hash, LG_HASH_SIZE) || !copy_column(stmt, 8, r.hash, LG_HASH_SIZE))
		return bad(s, r.seq, "hash", err);
	r.redacted = sqlite3_column_type(stmt, 9) == SQLITE_NULL;
	r.body = r.redacted ? "" : column(stmt, 9, SQLITE_TEXT, SIZE_MAX);
	if (!r.body)
		return bad(s, r.seq, "body", err);
	r.body_len = r.redacted ? 0 : (size_t)sqlite3_column_bytes(stmt, 9);
	*ret_record = r;
	return 0;
}

static int visit_row(
	const struct lg_sqlite *s, sqlite3_stmt *row, lg_log_visit *visit, void *arg, struct lg_error *err)
{
	struct lg_record record;
	int rc = decode(s, row, &record, err);
	return rc < 0 ? rc : visit(arg, &record, err);
}

/* An index names it, but it is not there.  Trimming clears the index last, so it may name what a gap swallowed. */
static int absent(struct lg_sqlite *s, uint64_t seq, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = lg_sqlite_gap(&s->log, seq, &gap, err);
	if (rc == 0 || (rc == 1 && gap.last < seq))
		return bad(s, seq, "an index names it, but it is not there", err);
	return rc < 0 ? rc : 0;
}

/* The record that a stream names. */
static int visit_seq(struct lg_sqlite *s, sqlite3_stmt *fetch, int64_t seq, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	sqlite3_bind_int64(fetch, 1, seq);
	int step = sqlite3_step(fetch);
	int rc;
	if (step == SQLITE_ROW)
		rc = visit_row(s, fetch, visit, arg, err);
	else if (step == SQLITE_DONE)
		rc = absent(s, (uint64_t)seq, err);
	else
		rc = lg_sqlite_fail(s, step, "read", err);
	sqlite3_reset(fetch);
	return rc;
}

int lg_sqlite_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	lg_cleanup(lg_buf_clear) struct lg_buf sql = LG_BUF_INIT;
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *fetch = NULL;
	bool stream;

	int rc = lg_sqlite_query_sql(query, &sql, &stream, err);
	if (rc == 0)
		rc = lg_sqlite_prepare(s, lg_buf_str(&sql), "read", &stmt, err);
	if (rc == 0 && stream)
		rc = lg_sqlite_prepare(s,
			query->no_body ? "SELECT " NO_BODY " FROM record WHERE seq = ?1"
				       : "SELECT " COLUMNS " FROM record WHERE seq = ?1",
			"read", &fetch, err);
	if (rc < 0)
		return rc;
	int step = bind_query(stmt, query);
	if (step != SQLITE_OK)
		return lg_sqlite_fail(s, step, "read", err);
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (stream)
			rc = visit_seq(s, fetch, sqlite3_column_int64(stmt, 0), visit, arg, err);
		else
			rc = visit_row(s, stmt, visit, arg, err);
		if (rc != 0)
			return rc;
	}
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, "read", err);
}

static int step_hash(const struct lg_sqlite *s, sqlite3_stmt *stmt, uint64_t seq,
	uint8_t ret_hash[LG_HASH_SIZE], struct lg_error *err)
{
	struct lg_log_head found;
	sqlite3_bind_int64(stmt, 1, to_sqlite(seq));
	int step = sqlite3_step(stmt);
	if (step == SQLITE_DONE)
		return 0;
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step, "read", err);
	int rc = lg_sqlite_read_head(s, stmt, 0, &found, err);
	if (rc < 0)
		return rc;
	memcpy(ret_hash, found.hash, LG_HASH_SIZE);
	return 1;
}

int lg_sqlite_hash_at(struct lg_sqlite *s, uint64_t seq, uint8_t ret_hash[LG_HASH_SIZE], struct lg_error *err)
{
	static const char *const sqls[] = { "SELECT seq, hash FROM record WHERE seq = ?1",
		"SELECT last, hash FROM gap WHERE last = ?1" };
	int rc = 0;
	for (size_t i = 0; i < 2 && rc == 0; i++) {
		lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
		rc = lg_sqlite_prepare(s, sqls[i], "read", &stmt, err);
		if (rc == 0)
			rc = step_hash(s, stmt, seq, ret_hash, err);
	}
	return rc;
}

int lg_sqlite_check(struct lg_log *log, bool deep, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_check_wal(s, LARGEST_WAL, err);
	if (rc == 0)
		rc = lg_sqlite_checkpoint_check(s, err);
	if (rc < 0)
		return rc;
	rc = lg_sqlite_prepare(
		s, deep ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)", "check", &stmt, err);
	if (rc < 0)
		return rc;
	int step = sqlite3_step(stmt);
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step == SQLITE_DONE ? SQLITE_CORRUPT : step, "check", err);
	const char *finding = (const char *)sqlite3_column_text(stmt, 0);
	if (finding && strcmp(finding, "ok") == 0)
		return 0;
	const char *line = finding && strncmp(finding, "***", 3) == 0 ? strchr(finding, '\n') : NULL;
	if (line)
		finding = line + 1; /* not its heading */
	return lg_sqlite_damaged(s, "check", finding ? finding : "?", err);
}

int lg_sqlite_each_touched(struct lg_log *log, lg_log_touched_visit *visit, void *arg, struct lg_error *err)
{
	const struct lg_sqlite *s = (struct lg_sqlite *)log;
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int step,
		rc = lg_sqlite_prepare(s,
			"SELECT key, seq FROM touched UNION ALL SELECT key, seq FROM touching", "read", &stmt,
			err);
	if (rc < 0)
		return rc;
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(stmt, 0);
		if (!key)
			return lg_sqlite_fail(s, SQLITE_CORRUPT, "read", err);
		rc = visit(arg, key, (size_t)sqlite3_column_bytes(stmt, 0),
			(uint64_t)sqlite3_column_int64(stmt, 1), err);
		if (rc != 0)
			return rc;
	}
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, "read", err);
}
