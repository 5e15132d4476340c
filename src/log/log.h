/* log.h - a durable, append-only sequence of hash-chained records, and the table that a backend fills in.
 *
 * Open by URL with lg_log_open (log.c knows the backends by name, nothing else does).  Calls on one struct lg_log are
 * made by one thread at a time; any number of processes may have the same log open.
 *
 *   append   stages nothing: 0 only once every record is durable, all or none.  LG_ECONFLICT: the head was not `expected`
 *            and nothing was written.  LG_EUNKNOWN: it may or may not have happened; the caller reads forward from
 *            `expected` looking for the ids (lg_log_find_id) before it does anything else.  Any other error: nothing was
 *            written.  The caller has sealed the records (lg_record_seal) from expected->hash on; append checks seq and
 *            chain and refuses what does not follow (LG_EINTERNAL).
 *   fsync    is never retried: after a failed one the log is read-only (LG_EREADONLY from every append) until it is closed
 *            and opened again.
 * Backends never log and never print.  The contract suite in tests/contract runs over every one of them.
 */
#ifndef LG_LOG_LOG_H
#define LG_LOG_LOG_H

#include "base/error.h"
#include "base/pages.h"
#include "io/clock.h"
#include "model/record.h"

#include <stdbool.h>
#include <stdint.h>

#define LG_LOG_API 1

struct lg_log;

struct lg_log_head {
	uint64_t seq; /* 0: empty */
	uint8_t hash[LG_HASH_SIZE];
};

/* The record is valid during the call.  Non-zero stops the read and is returned.  A visitor may read from the same log,
 * but must not write to it. */
typedef int lg_log_visit(void *arg, const struct lg_record *record, struct lg_error *err);

struct lg_log_query {
	uint64_t from, to; /* seqs, both included; to 0 means up to the head as it was when the read began */
	uint32_t kinds;    /* bit mask 1u << enum lg_kind; 0 means all */
	const char *
		key; /* only changes that touch this key (or, when it ends in '/', any key below it); NULL: all.
	                         Records of other kinds are not filtered by it. */
	bool no_body; /* the visitor does not look at bodies: they may be left out (as if redacted) */
	bool newest_first;
	uint64_t limit; /* 0: none */
};

/* A whole tree at a seq, as opaque bytes (config/checkpoint.c knows the format). */
struct lg_log_checkpoint {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE]; /* of the record `seq`: says of which history it is */
	const void *data;
	size_t len;
	struct lg_block
		*block; /* read: what data lies in, if the visitor may keep a reference of it; or NULL */
};
typedef int lg_log_checkpoint_visit(
	void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err);

/* The key is valid during the call. */
typedef int lg_log_touched_visit(
	void *arg, const char *key, size_t key_len, uint64_t seq, struct lg_error *err);

enum lg_gap_reason { LG_GAP_RETENTION, LG_GAP_LOST };

/* The records first … last are gone; the chain goes on behind them, since the hash that record last + 1 follows is kept.
 * Gaps do not touch each other: between two of them lies at least one record. */
struct lg_log_gap {
	uint64_t first, last;
	uint8_t hash[LG_HASH_SIZE]; /* of record `last` */
	enum lg_gap_reason reason;  /* retention dropped them; or they were lost, and salvage said so */
};

struct lg_log_open {
	const char *location; /* what follows the scheme: a file for sqlite */
	bool create;          /* make it if it is not there; else LG_ENOTFOUND */
	bool refuse_exist;    /* with create: LG_ECONFLICT if it is there */
	bool readonly;
	int64_t busy_ms;              /* how long to wait for another writer before LG_EBUSY; 0: 5000 */
	const struct lg_clock *clock; /* NULL: the system's */
};

struct lg_log_ops {
	unsigned api;       /* LG_LOG_API */
	const char *scheme; /* "sqlite", "memory" */
	/* required */
	int (*open)(const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err);
	void (*close)(struct lg_log *log);
	int (*head)(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err);
	int (*append)(struct lg_log *log, const struct lg_record *records, size_t count,
		const struct lg_log_head *expected, struct lg_error *err);
	int (*query)(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
		struct lg_error *err);
	/* Durable before it returns, whole or absent.  Whether seq and hash are of this log is asked when it is looked
	   for.  This one and checkpoint_drop may run in a thread of their own beside
	   any other call, and hold up no append.  LG_EBUSY: another process is at it. */
	int (*checkpoint_write)(
		struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err);
	/* seq of the newest checkpoint with seq <= at that belongs to this log's history; LG_ENOTFOUND when there is none */
	int (*checkpoint_find)(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err);
	/* the one at exactly this seq; data valid during visit; LG_ENOTFOUND when there is none (any more) */
	int (*checkpoint_read)(struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg,
		struct lg_error *err);
	/* absent is fine */
	int (*checkpoint_drop)(struct lg_log *log, uint64_t seq, struct lg_error *err);
	/* drops records with seq < before, and checkpoints with seq < before - 1 (one at before - 1 is what the kept
	   records continue), but for those of the seqs in keep (ascending); refused (LG_EINVALID) unless before <= head
	   and a checkpoint exists within [before - 1, head].  Seqs that are gone already are passed over.  In pieces, each
	   whole: after a failure some of it may have happened */
	int (*trim)(struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count,
		struct lg_error *err);
	/* the newest gap with first <= at: 1, or 0 when there is none */
	int (*gap)(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err);
	/* salvage: the records that would follow the head are lost up to gap->last (gap->first: head + 1).  Written with
	   the next append of this handle, which expects {gap->last, gap->hash} */
	int (*skip)(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err);
	/* 1: somebody may have appended since the last call (or since open), 0: timeout_ms passed; own appends do not
	   count.  timeout_ms < 0: no limit */
	int (*wait)(struct lg_log *log, int64_t timeout_ms, struct lg_error *err);
	/* optional */
	/* readable when wait(0) should be asked (it may still say 0); NULL or -1: there is none, call wait.  A signal can
	   be lost (a writer killed right after its commit): poll with a timeout of seconds and call wait(0) anyway */
	int (*wait_fd)(struct lg_log *log);
	/* after it, an append whose outcome was unknown is visible and durable, or will never happen; NULL: that is always so */
	int (*settle)(struct lg_log *log, struct lg_error *err);
	/* Examines the store below the records.  deep: all of it, indexes included (SQLite: integrity_check), else what
	   takes a moment (quick_check).  NULL: nothing to check */
	int (*check)(struct lg_log *log, bool deep, struct lg_error *err);
	/* every pair in the index of keys; one of a record that is gone may be among them.  NULL: there is no index that
	   could say something else than the records */
	int (*each_touched)(struct lg_log *log, lg_log_touched_visit *visit, void *arg, struct lg_error *err);
};

/* What every backend's own struct begins with. */
struct lg_log {
	const struct lg_log_ops *ops;
};

/* url: "sqlite:PATH", "memory:NAME" (shared by name within the process while somebody has it open; "memory:" is
 * private). */
int lg_log_open(
	const char *url, const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err);
void lg_log_close(struct lg_log *log); /* NULL is fine */
void lg_log_closep(struct lg_log **log);
int lg_log_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err);
int lg_log_append(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err);
/* For salvage: the same with records as another log held them, whose bodies may have been redacted. */
int lg_log_copy(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err);
int lg_log_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err);
/* One record; LG_ENOTFOUND says whether it was never there or retention dropped it. */
int lg_log_get(struct lg_log *log, uint64_t seq, lg_log_visit *visit, void *arg, struct lg_error *err);
/* The same without its body, which may be many megabytes. */
int lg_log_get_bare(struct lg_log *log, uint64_t seq, lg_log_visit *visit, void *arg, struct lg_error *err);
/* seq of the record with this id among those after `after`: 1 found and durable, 0 not there and never will be
 * (ops->settle); of a log that was opened read-only only what can be seen.  Works on a log that turned read-only, too. */
int lg_log_find_id(struct lg_log *log, uint64_t after, const uint8_t id[LG_ID_SIZE], uint64_t *ret_seq,
	struct lg_error *err);
int lg_log_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err);
int lg_log_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err);
int lg_log_checkpoint_read(
	struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg, struct lg_error *err);
int lg_log_checkpoint_drop(struct lg_log *log, uint64_t seq, struct lg_error *err);
int lg_log_trim(
	struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err);
/* Newest gap with first <= at: 1, else 0. */
int lg_log_gap(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err);
int lg_log_skip(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err);
/* Oldest seq from which every record up to the head is there; 0 when the log is empty. */
int lg_log_first(struct lg_log *log, uint64_t *ret_seq, struct lg_error *err);
/* 0: the records from … to are all there.  LG_ENOTFOUND: not all, and why. */
int lg_log_has(struct lg_log *log, uint64_t from, uint64_t to, struct lg_error *err);
int lg_log_wait(struct lg_log *log, int64_t timeout_ms, struct lg_error *err);
int lg_log_wait_fd(struct lg_log *log); /* -1: there is none */
int lg_log_check(struct lg_log *log, bool deep, struct lg_error *err);
/* 1: there is no such index. */
int lg_log_each_touched(struct lg_log *log, lg_log_touched_visit *visit, void *arg, struct lg_error *err);
/* Walks [from, to] (from 0: the oldest kept; to 0: the head), over gaps, and recomputes the chain; LG_ECORRUPT names the
 * first seq that does not hold.  The chain proves that nothing before the head was altered; that the head itself is the
 * newest there ever was, only somebody who remembers a newer one can tell. */
int lg_log_verify_chain(struct lg_log *log, uint64_t from, uint64_t to, struct lg_error *err);
/* The same, and visits each record once it holds. */
int lg_log_walk_chain(
	struct lg_log *log, uint64_t from, uint64_t to, lg_log_visit *visit, void *arg, struct lg_error *err);

#endif
