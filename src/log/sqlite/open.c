#include "log/sqlite/internal.h"
#include "log/sqlite/sqlite.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

/* Usually it has some megabytes; behind a change of a million keys opening does not wait for it, and verifying tells. */
#define LARGEST_WAL ((size_t)64 * 1024 * 1024)

/* application_id and user_version are set in the same transaction, so a file has all of it or nothing. */
static const char schema[] =
	"CREATE TABLE record ("
	" seq INTEGER PRIMARY KEY CHECK (seq > 0),"
	" id BLOB NOT NULL CHECK (length(id) = 16),"
	" time INTEGER NOT NULL,"
	" kind TEXT NOT NULL,"
	" actor TEXT NOT NULL,"
	" reason TEXT NOT NULL,"
	" root BLOB CHECK (root IS NULL OR length(root) = 32),"
	" body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),"
	" hash BLOB NOT NULL CHECK (length(hash) = 32),"
	" body TEXT) STRICT;" /* NULL: redacted */
	"CREATE INDEX record_kind ON record (kind, seq, hash);"
	"CREATE TABLE touched (key TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (key, seq)) STRICT, "
	"WITHOUT ROWID;" LG_SQLITE_ADDED_IN_2
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"INSERT INTO meta VALUES ('created_by', '" LG_VERSION "'), ('written_by', '" LG_VERSION
	"'), ('settled', '0');"
	"CREATE VIEW readable AS SELECT seq,"
	" strftime('%Y-%m-%dT%H:%M:%S', time / 1000000, 'unixepoch') || printf('.%06dZ', time % 1000000) AS "
	"time,"
	" kind, actor, reason, lower(hex(root)) AS root, body, lower(hex(id)) AS id, lower(hex(hash)) AS hash"
	" FROM record;";

struct identity {
	int64_t application_id;
	int64_t format;
	int64_t objects; /* tables, indexes, … */
};

const char *lg_sqlite_network_fs(unsigned long magic)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} rows[] = {
		{ 0x6969, "NFS" },
		{ 0xff534d42, "CIFS" },
		{ 0x517b, "SMB" },
		{ 0xfe534d42, "SMB2" },
		{ 0x01021997, "9p" },
		{ 0x00c36400, "Ceph" },
		{ 0x0bd00bd0, "Lustre" },
		{ 0x5346414f, "AFS" },
		{ 0x6b414653, "AFS" },
		{ 0x73757245, "Coda" },
		{ 0x47504653, "GPFS" },
		{ 0x19830326, "BeeGFS" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].magic == (magic & 0xffffffff))
			return rows[i].name;
	return NULL;
}

/* --- before SQLite sees it ------------------------------------------------------------------------------------------- */

/* SQLite gives names of its own meaning: "" and ":memory:" are no files, "file:" begins an address. */
static char *plain_path(const char *location)
{
	return location[0] == '/' ? strdup(location) : lg_path_join(".", location);
}

static int check_place(
	const struct lg_log_open *options, const char *path, bool *ret_exists, struct lg_error *err)
{
	lg_autofree char *dir = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	struct statfs fs;
	struct stat st;

	if (!dir)
		return lg_fail_nomem(err);
	if (statfs(dir, &fs) < 0)
		return lg_fail(err, errno == ENOENT || errno == ENOTDIR ? LG_ENOTFOUND : LG_EIO, errno,
			"cannot open the log '%s'", path);
	const char *network = lg_sqlite_network_fs((unsigned long)fs.f_type);
	if (network)
		return lg_fail(err, LG_EUNSUPPORTED, 0,
			"the log '%s' lies on a network file system (%s), whose locks cannot be trusted: put "
			"the state "
			"directory on a local disk",
			path, network);
	if (stat(path, &st) < 0) {
		if (errno != ENOENT)
			return lg_fail(err, LG_EIO, errno, "cannot open the log '%s'", path);
		if (!options->create)
			return lg_fail(err, LG_ENOTFOUND, 0,
				"there is no log '%s': make one with 'lastgood init'", path);
		*ret_exists = false;
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return lg_fail(err, LG_EINVALID, 0, "the log '%s' is no regular file", path);
	*ret_exists = true;
	return 0;
}

/* --- the connection -------------------------------------------------------------------------------------------------- */

static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct lg_sqlite *s = arg;
	(void)db;
	(void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

/* The file may come from anywhere: nothing in its schema runs, and damage is looked for. */
static int harden(struct lg_sqlite *s, struct lg_error *err)
{
	static const struct {
		int option, value;
	} rows[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
		{ SQLITE_DBCONFIG_DQS_DML, 0 },
		{ SQLITE_DBCONFIG_DQS_DDL, 0 },
		{ SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },
	};
	int rc = SQLITE_OK;
	for (size_t i = 0; i < sizeof rows / sizeof *rows && rc == SQLITE_OK; i++)
		rc = sqlite3_db_config(s->db, rows[i].option, rows[i].value, NULL);
	if (rc != SQLITE_OK)
		return lg_sqlite_fail(s, rc, "set up", err);
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, s->busy_ms > INT32_MAX ? INT32_MAX : (int)s->busy_ms);
	sqlite3_wal_hook(s->db, on_commit, s);
	return 0;
}

/* These read the file, so they wait until it is known whose it is. */
static int set_up(const struct lg_sqlite *s, struct lg_error *err)
{
	return lg_sqlite_exec(s,
		"PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA cache_size = -1024;"
		"PRAGMA journal_size_limit = 8388608; PRAGMA temp_store = MEMORY;",
		"set up", err);
}

static int connect_file(
	struct lg_sqlite *s, const struct lg_log_open *options, bool exists, struct lg_error *err)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	if (options->readonly)
		flags |= SQLITE_OPEN_READONLY;
	else
		flags |= SQLITE_OPEN_READWRITE | (options->create ? SQLITE_OPEN_CREATE : 0);
	int rc = sqlite3_open_v2(s->path, &s->db, flags, NULL);
	if (rc != SQLITE_OK)
		return lg_sqlite_fail(s, rc, "open the log", err);
	if (!options->readonly && sqlite3_db_readonly(s->db, "main") == 1) {
		struct statvfs fs;
		if (statvfs(s->path, &fs) == 0 && fs.f_flag & ST_RDONLY)
			return lg_fail(
				err, LG_EREADONLY, 0, "the log '%s' lies on a read-only file system", s->path);
		if (access(s->path, W_OK) < 0)
			return lg_fail(
				err, LG_EPERM, 0, "the log '%s' may only be read: run as its owner", s->path);
		return lg_sqlite_fail(s, SQLITE_CORRUPT, "open the log", err);
	}
	/* -wal and -shm take the mode of the database when SQLite makes them, which is later */
	if (!exists && chmod(s->path, 0600) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot protect the log '%s'", s->path);
	return harden(s, err);
}

static int read_number(const struct lg_sqlite *s, const char *sql, int64_t *ret_number, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*ret_number = sqlite3_column_int64(stmt, 0);
		return 0;
	}
	if (s->readonly && ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY))
		return lg_fail(err, LG_EREADONLY, 0,
			"cannot read the log '%s': SQLite needs to write beside it, and its directory is "
			"read-only or "
			"somebody else's; copy the directory to a place that you can write to and read it "
			"there",
			s->path);
	return lg_sqlite_fail(s, rc, "read the log", err);
}

/* All of it as of one moment, as somebody may be making the log. */
static int identify(const struct lg_sqlite *s, struct identity *ret_identity, struct lg_error *err)
{
	bool outermost = sqlite3_get_autocommit(s->db);
	int rc = outermost ? lg_sqlite_exec(s, "BEGIN", "read the log", err) : 0;
	if (rc == 0)
		rc = read_number(s, "PRAGMA application_id", &ret_identity->application_id, err);
	if (rc == 0)
		rc = read_number(s, "PRAGMA user_version", &ret_identity->format, err);
	if (rc == 0)
		rc = read_number(s, "SELECT count(*) FROM sqlite_schema", &ret_identity->objects, err);
	/* for want of memory it may still be open, and what follows would fail for a reason of its own */
	int ended = outermost ? sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL) : SQLITE_OK;
	return rc == 0 && ended != SQLITE_OK ? lg_sqlite_fail(s, ended, "read the log", err) : rc;
}

static bool is_empty(const struct identity *identity)
{
	return identity->application_id == 0 && identity->format == 0 && identity->objects == 0;
}

/* The version that wrote a newer format, if that still keeps it where this one does. */
static void read_writer(const struct lg_sqlite *s, char *ret_version, size_t size)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	snprintf(ret_version, size, "of an unknown version");
	if (sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE name = 'written_by'", -1, &stmt, NULL) !=
			SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW)
		return;
	const char *text = (const char *)sqlite3_column_text(stmt, 0);
	if (text && *text && strlen(text) < size &&
		strspn(text, "0123456789.abcdefghijklmnopqrstuvwxyz+~-") == strlen(text))
		snprintf(ret_version, size, "%s", text);
}

static int check_identity(const struct lg_sqlite *s, const struct identity *identity, struct lg_error *err)
{
	char writer[64];
	if (is_empty(identity))
		return lg_fail(err, LG_ECORRUPT, 0,
			"the log '%s' is empty: if making it was cut short, run 'lastgood init' again; if it "
			"held something, 'lastgood recover salvage --to DIR' looks for it, or put a backup of its "
			"directory in its place",
			s->path);
	if (identity->application_id != LG_SQLITE_APPLICATION_ID)
		return lg_fail(err, LG_ECORRUPT, 0,
			"'%s' is a database, but no log of lastgood: name another state directory; if it was "
			"one, 'lastgood recover salvage --to DIR' looks for what is left of it",
			s->path);
	if (identity->format > LG_SQLITE_FORMAT) {
		read_writer(s, writer, sizeof writer);
		return lg_fail(err, LG_ENEWER, 0,
			"the log '%s' has format %" PRId64
			", written by lastgood %s; this is lastgood %s, which reads "
			"format %d: use the newer program, or a copy of the directory from before its upgrade",
			s->path, identity->format, writer, LG_VERSION, LG_SQLITE_FORMAT);
	}
	if (identity->format < 1)
		return lg_fail(err, LG_ECORRUPT, 0, "the log '%s' has the impossible format %" PRId64, s->path,
			identity->format);
	return 0;
}

/* --- making one ------------------------------------------------------------------------------------------------------ */

/* Two processes that switch at once can be refused without waiting: then look again. */
static int use_wal(const struct lg_sqlite *s, const struct lg_clock *clock, struct lg_error *err)
{
	int64_t tries = s->busy_ms / 10 + 1;
	for (;;) {
		lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
		int rc = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW) {
			const char *mode = (const char *)sqlite3_column_text(stmt, 0);
			if (!mode || strcmp(mode, "wal") != 0)
				return lg_fail(err, LG_EUNSUPPORTED, 0,
					"the log '%s' cannot use a write-ahead log there", s->path);
			rc = sqlite3_step(stmt); /* only this one commits the switch */
			if (rc == SQLITE_DONE)
				return 0;
		}
		if ((rc & 0xff) != SQLITE_BUSY || --tries <= 0)
			return lg_sqlite_fail(s, rc, "open the log", err);
		clock->sleep_ns(clock, 10 * 1000 * 1000);
	}
}

static int write_schema(const struct lg_sqlite *s, struct lg_error *err)
{
	char marks[128];
	snprintf(marks, sizeof marks, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		LG_SQLITE_APPLICATION_ID, LG_SQLITE_FORMAT);
	int rc = lg_sqlite_exec(s, schema, "make the log", err);
	return rc < 0 ? rc : lg_sqlite_exec(s, marks, "make the log", err);
}

/* Whoever gets the write lock first makes it; the other one finds it made. */
static int make(
	struct lg_sqlite *s, const struct lg_log_open *options, struct identity *identity, struct lg_error *err)
{
	int rc = lg_sqlite_begin(s, "make the log", err);
	if (rc < 0)
		return rc;
	rc = identify(s, identity, err);
	if (rc == 0 && is_empty(identity)) {
		rc = write_schema(s, err);
		if (rc == 0)
			return lg_sqlite_commit(s, "make the log", err);
	} else if (rc == 0 && options->refuse_exist) {
		rc = lg_fail(err, LG_ECONFLICT, 0, "there is a log '%s' already", s->path);
	}
	lg_sqlite_rollback(s);
	return rc;
}

static int adopt(struct lg_sqlite *s, const struct lg_log_open *options, struct lg_error *err)
{
	struct identity identity = { 0 };
	int rc = identify(s, &identity, err);
	bool unmade = is_empty(&identity) && options->create && !options->readonly;

	if (rc == 0 && !unmade)
		rc = check_identity(s, &identity, err);
	if (rc == 0 && !unmade && options->create && options->refuse_exist)
		rc = lg_fail(err, LG_ECONFLICT, 0, "there is a log '%s' already", s->path);
	if (rc == 0)
		rc = set_up(s, err);
	/* what is written next would take the place of what damage hides; who only reads may, and verifying tells */
	if (rc == 0 && !options->readonly)
		rc = lg_sqlite_check_wal(s, LARGEST_WAL, err);
	if (rc == 0 && !options->readonly)
		rc = use_wal(s, options->clock, err);
	if (rc == 0 && !unmade && identity.format < LG_SQLITE_FORMAT)
		rc = lg_sqlite_upgrade(s, options, err);
	if (rc < 0 || !unmade)
		return rc;
	rc = make(s, options, &identity, err);
	return rc < 0 || is_empty(&identity) ? rc : check_identity(s, &identity, err);
}

/* --- open, close ----------------------------------------------------------------------------------------------------- */

static int fill(struct lg_sqlite *s, const struct lg_log_open *options, struct lg_error *err)
{
	bool exists;
	struct lg_log_head head;

	s->log.ops = &lg_log_sqlite_ops;
	s->readonly = options->readonly;
	s->busy_ms = options->busy_ms > 0 ? options->busy_ms : 5000;
	s->path = plain_path(options->location);
	if (!s->path)
		return lg_fail_nomem(err);
	if (asprintf(&s->bell_path, "%.*sdoorbell", (int)(strrchr(s->path, '/') - s->path + 1), s->path) < 0) {
		s->bell_path = NULL;
		return lg_fail_nomem(err);
	}
	if (asprintf(&s->checkpoints, "%s-checkpoints", s->path) < 0) {
		s->checkpoints = NULL;
		return lg_fail_nomem(err);
	}
	int rc = check_place(options, s->path, &exists, err);
	if (rc == 0)
		rc = connect_file(s, options, exists, err);
	if (rc == 0)
		rc = adopt(s, options, err);
	if (rc == 0)
		rc = lg_sqlite_head(&s->log, &head, err);
	if (rc == 0)
		s->seen = head.seq;
	return rc;
}

int lg_sqlite_open(const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err)
{
	if (!options->location[0] || options->location[strlen(options->location) - 1] == '/')
		return lg_fail(err, LG_EINVALID, 0, "'sqlite:%s' names no file", options->location);
	struct lg_sqlite *s = calloc(1, sizeof *s);
	if (!s)
		return lg_fail_nomem(err);
	s->ringer = -1;
	int rc = fill(s, options, err);
	if (rc < 0) {
		lg_sqlite_close(&s->log);
		return rc;
	}
	*ret_log = &s->log;
	return 0;
}

void lg_sqlite_close(struct lg_log *log)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	if (!s)
		return;
	for (size_t i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(s->stmts[i]);
	sqlite3_close(s->db);
	if (s->bell)
		lg_doorbell_close(s->bell);
	if (s->ringer >= 0)
		close(s->ringer);
	free(s->checkpoints);
	free(s->bell_path);
	free(s->path);
	free(s);
}
