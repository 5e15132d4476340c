/* Records go into the tables by one statement for a whole batch, which reads them from where they lie: as rows of two virtual
 * tables of this connection, one of the records and one of their keys.  A statement a record spends half its time on
 * beginning, binding and ending.
 *
 * They are in the schema temp, so that no table of a file from elsewhere can stand in their place. */
#include "base/cleanup.h"
#include "log/sqlite/internal.h"

#include <string.h>

#define KEYS_OF_A_LARGE_ONE (LG_SQLITE_TOUCHING / 8)

struct table {
	sqlite3_vtab base; /* first */
	const struct lg_sqlite *s;
};

struct cursor {
	sqlite3_vtab_cursor base; /* first */
	const struct lg_sqlite_incoming *incoming;
	size_t record, key;
};

static int connect_table(sqlite3 *db, void *arg, const char *columns, sqlite3_vtab **ret_table)
{
	int rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
	if (rc == SQLITE_OK)
		rc = sqlite3_declare_vtab(db, columns);
	if (rc != SQLITE_OK)
		return rc;
	struct table *table = sqlite3_malloc(sizeof *table);
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){ .s = arg };
	*ret_table = &table->base;
	return SQLITE_OK;
}

static int connect_records(
	sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **ret_table, char **ret_message)
{
	(void)argc, (void)argv, (void)ret_message;
	return connect_table(db, arg,
		"CREATE TABLE x (seq INTEGER, id BLOB, time INTEGER, kind TEXT, actor TEXT, reason TEXT,"
		" root BLOB, body_hash BLOB, hash BLOB, body TEXT)",
		ret_table);
}

static int connect_keys(
	sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **ret_table, char **ret_message)
{
	(void)argc, (void)argv, (void)ret_message;
	return connect_table(db, arg, "CREATE TABLE x (key TEXT, seq INTEGER)", ret_table);
}

static int disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedCost = 100;
	return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
	struct cursor *cursor = sqlite3_malloc(sizeof *cursor);
	if (!cursor)
		return SQLITE_NOMEM;
	*cursor = (struct cursor){ .incoming = &((struct table *)table)->s->incoming };
	*ret_cursor = &cursor->base;
	return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base)
{
	const struct cursor *cursor = (struct cursor *)base;
	return cursor->record >= cursor->incoming->count;
}

static int get_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
	*ret_rowid = (sqlite3_int64)((struct cursor *)base)->record;
	return SQLITE_OK;
}

/* --- records ---------------------------------------------------------------------------------------------------------- */

static int first_record(sqlite3_vtab_cursor *base, int number, const char *text, int argc, sqlite3_value **argv)
{
	(void)number, (void)text, (void)argc, (void)argv;
	((struct cursor *)base)->record = 0;
	return SQLITE_OK;
}

static int next_record(sqlite3_vtab_cursor *base)
{
	((struct cursor *)base)->record++;
	return SQLITE_OK;
}

static void put_text(sqlite3_context *context, const char *text)
{
	sqlite3_result_text(context, text ? text : "", -1, SQLITE_STATIC);
}

static int get_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (struct cursor *)base;
	const struct lg_record *r = &cursor->incoming->records[cursor->record];
	switch (column) {
	case 0:
		sqlite3_result_int64(context, (sqlite3_int64)r->seq);
		break;
	case 1:
		sqlite3_result_blob(context, r->id, LG_ID_SIZE, SQLITE_STATIC);
		break;
	case 2:
		sqlite3_result_int64(context, r->time_us);
		break;
	case 3:
		put_text(context, lg_kind_name(r->kind));
		break;
	case 4:
		put_text(context, r->actor);
		break;
	case 5:
		put_text(context, r->reason);
		break;
	case 6:
		if (r->has_root)
			sqlite3_result_blob(context, r->root, LG_HASH_SIZE, SQLITE_STATIC);
		break;
	case 7:
		sqlite3_result_blob(context, r->body_hash, LG_HASH_SIZE, SQLITE_STATIC);
		break;
	case 8:
		sqlite3_result_blob(context, r->hash, LG_HASH_SIZE, SQLITE_STATIC);
		break;
	case 9:
		if (!r->redacted)
			sqlite3_result_text64(
				context, r->body ? r->body : "", r->body_len, SQLITE_STATIC, SQLITE_UTF8);
		break;
	default:
		break;
	}
	return SQLITE_OK;
}

static const sqlite3_module records_module = {
	.xCreate = connect_records,
	.xConnect = connect_records,
	.xBestIndex = best_index,
	.xDisconnect = disconnect,
	.xDestroy = disconnect,
	.xOpen = open_cursor,
	.xClose = close_cursor,
	.xFilter = first_record,
	.xNext = next_record,
	.xEof = at_end,
	.xColumn = get_column,
	.xRowid = get_rowid,
};

/* --- keys ------------------------------------------------------------------------------------------------------------- */

/* The keys of a large change are many and sorted: they fill whole pages, so they go where they belong at once. */
static bool is_large(const struct lg_record *record)
{
	return record->key_count > KEYS_OF_A_LARGE_ONE;
}

static void find_key(struct cursor *cursor)
{
	const struct lg_sqlite_incoming *incoming = cursor->incoming;
	for (; cursor->record < incoming->count; cursor->record++, cursor->key = 0) {
		const struct lg_record *record = &incoming->records[cursor->record];
		if (is_large(record) == incoming->large && cursor->key < record->key_count)
			return;
	}
}

static int first_key(sqlite3_vtab_cursor *base, int number, const char *text, int argc, sqlite3_value **argv)
{
	(void)number, (void)text, (void)argc, (void)argv;
	struct cursor *cursor = (struct cursor *)base;
	cursor->record = cursor->key = 0;
	find_key(cursor);
	return SQLITE_OK;
}

static int next_key(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	cursor->key++;
	find_key(cursor);
	return SQLITE_OK;
}

static int get_key_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (struct cursor *)base;
	const struct lg_record *record = &cursor->incoming->records[cursor->record];
	if (column == 0)
		put_text(context, record->keys[cursor->key]);
	else
		sqlite3_result_int64(context, (sqlite3_int64)record->seq);
	return SQLITE_OK;
}

static const sqlite3_module keys_module = {
	.xCreate = connect_keys,
	.xConnect = connect_keys,
	.xBestIndex = best_index,
	.xDisconnect = disconnect,
	.xDestroy = disconnect,
	.xOpen = open_cursor,
	.xClose = close_cursor,
	.xFilter = first_key,
	.xNext = next_key,
	.xEof = at_end,
	.xColumn = get_key_column,
	.xRowid = get_rowid,
};

/* --- inserting -------------------------------------------------------------------------------------------------------- */

int lg_sqlite_prepare_insert(struct lg_sqlite *s, const char *what, struct lg_error *err)
{
	if (s->has_incoming || s->readonly || s->poisoned)
		return 0;
	int rc = sqlite3_create_module(s->db, "lastgood_records", &records_module, s);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_module(s->db, "lastgood_keys", &keys_module, s);
	if (rc != SQLITE_OK)
		return lg_sqlite_fail(s, rc, what, err);
	rc = lg_sqlite_exec(s,
		"CREATE VIRTUAL TABLE IF NOT EXISTS temp.incoming_record USING lastgood_records;"
		"CREATE VIRTUAL TABLE IF NOT EXISTS temp.incoming_key USING lastgood_keys;",
		what, err);
	s->has_incoming = rc == 0;
	return rc;
}

static int insert(struct lg_sqlite *s, enum lg_sqlite_stmt which, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_resetp) sqlite3_stmt *stmt = NULL;
	int rc = lg_sqlite_stmt(s, which, "append to", &stmt, err);
	if (rc < 0)
		return rc;
	int step = sqlite3_step(stmt);
	return step == SQLITE_DONE ? 0 : lg_sqlite_fail(s, step, "append to", err);
}

int lg_sqlite_insert(struct lg_sqlite *s, const struct lg_record *records, size_t count, struct lg_error *err)
{
	bool has_small = false, has_large = false;
	for (size_t i = 0; i < count; i++) {
		has_large = has_large || is_large(&records[i]);
		has_small = has_small || (records[i].key_count && !is_large(&records[i]));
	}
	s->incoming = (struct lg_sqlite_incoming){ .records = records, .count = count };
	int rc = insert(s, STMT_INSERT, err);
	if (rc == 0 && has_small)
		rc = insert(s, STMT_TOUCH, err);
	s->incoming.large = true;
	if (rc == 0 && has_large)
		rc = insert(s, STMT_TOUCH_LARGE, err);
	s->incoming = (struct lg_sqlite_incoming){ 0 };
	return rc;
}
