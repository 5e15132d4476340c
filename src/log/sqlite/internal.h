/* internal.h - what the files of the SQLite log share.
 *
 * One file, readable in a database shell (`SELECT * FROM readable`):
 *
 *	record       one row per record. body comes last, so that nothing else lies behind its overflow pages
 *	record_kind  (kind, seq, hash): the newest of a kind, all marks, the state in force at a seq, without a scan; and
 *	             a second place for each hash, on another page than its record
 *	touched      (key, seq): which changes touch a key
 *	touching     (seq, key): the same of the newest changes.  Put straight into touched, each key of a commit would
 *	             dirty a page of its own; they are moved there in bulk
 *	gap          which records are gone, why, and what goes on behind them
 *	meta         created_by, written_by: versions of lastgood; settled: see lg_sqlite_settle
 *
 * Checkpoints are files of their own in "<file>-checkpoints/" (checkpoint.c), so that writing one takes no lock.
 *
 * application_id says whose file it is, user_version which format.
 *
 * Each committed transaction is synced to the -wal file before COMMIT returns (synchronous=FULL).  Pages move from there
 * into the database after a commit once LG_SQLITE_WAL_PAGES have gathered, and never while closing, so that closing takes no
 * time.  A failed fsync is never retried: the handle is poisoned, and only reads are possible from then on.
 */
#ifndef LG_LOG_SQLITE_INTERNAL_H
#define LG_LOG_SQLITE_INTERNAL_H

#include "base/buf.h"
#include "io/doorbell.h"
#include "log/log.h"

#include <sqlite3.h>

#define LG_SQLITE_APPLICATION_ID 0x4c476c67 /* "LGlg" */
#define LG_SQLITE_FORMAT         2
#define LG_SQLITE_WAL_PAGES      1000
#define LG_SQLITE_POLL_MS        500
#define LG_SQLITE_TOUCHING       2048 /* newest records whose keys may be in touching */

enum lg_sqlite_stmt {
	STMT_HEAD,
	STMT_GAP,
	STMT_INSERT,
	STMT_TOUCH,
	STMT_TOUCH_LARGE,
	STMT_TOUCHING,
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_COUNT
};

/* What is being inserted: insert.c. */
struct lg_sqlite_incoming {
	const struct lg_record *records;
	size_t count;
	bool large; /* the keys of the large ones */
};

struct lg_sqlite {
	struct lg_log log; /* first */
	sqlite3 *db;
	char *path;
	char *bell_path;
	int ringer;               /* the bell's file, or -1 */
	char *checkpoints;        /* their directory */
	struct lg_doorbell *bell; /* opened by the first wait */
	bool bell_failed;         /* do without */
	bool readonly;
	bool poisoned;
	bool names_synced; /* those of the files, in their directory */
	int64_t busy_ms;
	int wal_pages;          /* in the -wal file after the last commit */
	uint64_t touching_from; /* no key of an older record is in touching */
	uint64_t seen;          /* head as of the last wait or own append */
	struct lg_log_gap skip; /* to go with the next append; first 0: none */
	bool has_incoming;      /* its tables are there */
	struct lg_sqlite_incoming incoming;
	sqlite3_stmt *stmts[STMT_COUNT]; /* prepared at first use, kept */
};

/* --- open.c --- */
int lg_sqlite_open(const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err);
void lg_sqlite_close(struct lg_log *log);
/* Name of the network file system with this statfs magic, or NULL when SQLite's locks can be trusted. */
const char *lg_sqlite_network_fs(unsigned long magic);

/* --- sqlite.c --- */
/* Turns a result code of SQLite into ours: "cannot <what> '<path>': <why>". */
int lg_sqlite_fail(const struct lg_sqlite *s, int sqlite_rc, const char *what, struct lg_error *err);
#ifdef __clang_analyzer__
#define lg_sqlite_fail(...) lg_negative((lg_sqlite_fail)(__VA_ARGS__)) /* see base/error.h */
#endif
/* LG_ECORRUPT, with what to do about it. */
int lg_sqlite_damaged(const struct lg_sqlite *s, const char *what, const char *why, struct lg_error *err);
int lg_sqlite_prepare(const struct lg_sqlite *s, const char *sql, const char *what, sqlite3_stmt **ret_stmt,
	struct lg_error *err);
int lg_sqlite_exec(const struct lg_sqlite *s, const char *sql, const char *what, struct lg_error *err);
/* A statement that is kept; reset it (sqlite3_reset) when done. */
int lg_sqlite_stmt(struct lg_sqlite *s, enum lg_sqlite_stmt which, const char *what, sqlite3_stmt **ret_stmt,
	struct lg_error *err);
/* Before the first one, makes the names of the files durable. */
int lg_sqlite_begin(struct lg_sqlite *s, const char *what, struct lg_error *err);
/* Ends the transaction in any case. LG_EUNKNOWN: poisoned. */
int lg_sqlite_commit(struct lg_sqlite *s, const char *what, struct lg_error *err);
void lg_sqlite_rollback(struct lg_sqlite *s);
/* After a commit, once everybody has been told of it. */
void lg_sqlite_move_pages(struct lg_sqlite *s);
int lg_sqlite_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err);
/* Of a row that begins with a seq and a hash. */
int lg_sqlite_read_head(const struct lg_sqlite *s, sqlite3_stmt *stmt, int column, struct lg_log_head *ret_head,
	struct lg_error *err);

/* --- insert.c --- */
/* Before the transaction that inserts. */
int lg_sqlite_prepare_insert(struct lg_sqlite *s, const char *what, struct lg_error *err);
int lg_sqlite_insert(struct lg_sqlite *s, const struct lg_record *records, size_t count, struct lg_error *err);

/* --- read.c --- */
/* The statement that yields the records (stream false) or the seqs (stream true) of a query, in its order. ?1 and ?2 are
 * from and to, ?3 the limit, ?4 the key, ?5 where the keys below a prefix end. */
int lg_sqlite_query_sql(
	const struct lg_log_query *query, struct lg_buf *buf, bool *ret_stream, struct lg_error *err);
int lg_sqlite_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err);
int lg_sqlite_check(struct lg_log *log, bool deep, struct lg_error *err);

/* --- wal.c --- */
/* LG_ECORRUPT: damage in the -wal hides something committed.  One of more bytes is not looked at: the file is read whole. */
int lg_sqlite_check_wal(const struct lg_sqlite *s, size_t largest, struct lg_error *err);
int lg_sqlite_each_touched(struct lg_log *log, lg_log_touched_visit *visit, void *arg, struct lg_error *err);

/* Of record `seq`, or of the gap that ends there: 1, or 0 when it is not known. */
int lg_sqlite_hash_at(struct lg_sqlite *s, uint64_t seq, uint8_t ret_hash[LG_HASH_SIZE], struct lg_error *err);

/* --- checkpoint.c --- */
int lg_sqlite_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err);
int lg_sqlite_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err);
int lg_sqlite_checkpoint_read(
	struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg, struct lg_error *err);
int lg_sqlite_checkpoint_drop(struct lg_log *log, uint64_t seq, struct lg_error *err);
/* LG_ECORRUPT when one lies behind the end of the log. */
int lg_sqlite_checkpoint_check(struct lg_sqlite *s, struct lg_error *err);
/* All with seq < before, but for those in keep. */
int lg_sqlite_checkpoint_drop_before(
	struct lg_sqlite *s, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err);

/* --- keep.c --- */
int lg_sqlite_gap(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err);
int lg_sqlite_skip(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err);
/* Within a transaction. */
int lg_sqlite_insert_gap(struct lg_sqlite *s, const struct lg_log_gap *gap, struct lg_error *err);
int lg_sqlite_trim(
	struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err);
int lg_sqlite_settle(struct lg_log *log, struct lg_error *err);
/* Moves what gathered in touching, if that is much.  After a commit, once everybody has been told of it. */
void lg_sqlite_move_touching(struct lg_sqlite *s);

/* --- upgrade.c --- */
/* touching's columns stand in the order of its key: quick_check of SQLite 3.40 takes them for NULL otherwise */
#define LG_SQLITE_ADDED_IN_2                                                                                   \
	"CREATE TABLE touching (seq INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (seq, key)) STRICT, "     \
	"WITHOUT ROWID;"                                                                                       \
	"CREATE TABLE gap (first INTEGER PRIMARY KEY CHECK (first > 0), last INTEGER NOT NULL,"                \
	" hash BLOB NOT NULL CHECK (length(hash) = 32), reason TEXT NOT NULL) STRICT;"
/* From an older format to this one, in one transaction; a copy of the file as it was is kept beside it first. */
int lg_sqlite_upgrade(struct lg_sqlite *s, const struct lg_log_open *options, struct lg_error *err);

/* for lg_cleanup() */
static inline void lg_sqlite_finalizep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

static inline void lg_sqlite_resetp(sqlite3_stmt **stmt)
{
	sqlite3_reset(*stmt);
}

#endif
