/* internal.h - what the files of the SQLite log share.
 *
 * One file, readable in a database shell (`SELECT * FROM readable`):
 *
 *	record       one row per record. body comes last, so that nothing else lies behind its overflow pages
 *	record_kind  (kind, seq): the newest of a kind, all marks, the state in force at a seq, without a scan
 *	touched      (key, seq): which changes touch a key
 *	checkpoint   whole trees, opaque
 *	base         at most one row: what the oldest kept record follows, once retention dropped something
 *	meta         created_by, written_by: versions of lastgood; settled: see lg_sqlite_settle
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
#define LG_SQLITE_FORMAT         1
#define LG_SQLITE_WAL_PAGES      1000
#define LG_SQLITE_POLL_MS        500

enum lg_sqlite_stmt {
	STMT_HEAD,
	STMT_FIRST,
	STMT_BASE,
	STMT_INSERT,
	STMT_TOUCH,
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_COUNT
};

struct lg_sqlite {
	struct lg_log log; /* first */
	sqlite3 *db;
	char *path;
	char *bell_path;
	struct lg_doorbell *bell; /* opened by the first wait */
	bool bell_failed;         /* do without */
	bool readonly;
	bool poisoned;
	int64_t busy_ms;
	int wal_pages;                   /* in the -wal file after the last commit */
	uint64_t seen;                   /* head as of the last wait or own append */
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
int lg_sqlite_prepare(const struct lg_sqlite *s, const char *sql, const char *what, sqlite3_stmt **ret_stmt,
	struct lg_error *err);
int lg_sqlite_exec(const struct lg_sqlite *s, const char *sql, const char *what, struct lg_error *err);
/* A statement that is kept; reset it (sqlite3_reset) when done. */
int lg_sqlite_stmt(struct lg_sqlite *s, enum lg_sqlite_stmt which, const char *what, sqlite3_stmt **ret_stmt,
	struct lg_error *err);
int lg_sqlite_begin(struct lg_sqlite *s, const char *what, struct lg_error *err);
/* Ends the transaction in any case. LG_EUNKNOWN: poisoned. */
int lg_sqlite_commit(struct lg_sqlite *s, const char *what, struct lg_error *err);
void lg_sqlite_rollback(struct lg_sqlite *s);
/* After a commit, once everybody has been told of it. */
void lg_sqlite_move_pages(struct lg_sqlite *s);
int lg_sqlite_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err);
int lg_sqlite_first(struct lg_log *log, uint64_t *ret_seq, struct lg_error *err);
int lg_sqlite_base(struct lg_log *log, struct lg_log_head *ret_base, struct lg_error *err);

/* --- read.c --- */
/* The statement that yields the records (stream false) or the seqs (stream true) of a query, in its order. ?1 and ?2 are
 * from and to, ?3 the limit, ?4 the key, ?5 where the keys below a prefix end. */
int lg_sqlite_query_sql(
	const struct lg_log_query *query, struct lg_buf *buf, bool *ret_stream, struct lg_error *err);
int lg_sqlite_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err);
int lg_sqlite_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err);
int lg_sqlite_checkpoint_read(struct lg_log *log, uint64_t at,
	int (*visit)(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err), void *arg,
	struct lg_error *err);
int lg_sqlite_check(struct lg_log *log, struct lg_error *err);

/* --- keep.c --- */
int lg_sqlite_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err);
int lg_sqlite_trim(struct lg_log *log, uint64_t before, struct lg_error *err);
int lg_sqlite_settle(struct lg_log *log, struct lg_error *err);

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
