/* salvage.h - what is left of a damaged SQLite log, and what of it can be proven.
 *
 * SQLite refuses a damaged page and with it everything behind it.  This reader needs none of its trees: it searches every
 * page of the database, and every committed page in the -wal, for rows of `record`, and lets the hash chain decide.  A record
 * is proven when its hash follows from that of the one before it, which may be known although that record is lost: from the
 * index of kinds, from a gap, from a checkpoint.  The files are opened O_RDONLY, and no lock is taken; they must not be open
 * in this process, since closing a file drops the locks that SQLite holds on it.
 *
 *	lg_salvage_open     reads and proves; takes as long as reading the files once or twice
 *	lg_salvage_walk     the proven records and the gaps between them, from 1 to the head
 *	lg_salvage_traces   what can still be told of each record that is in no walk
 *
 * The walk reads the records again: should a file change meanwhile, the chain says so.
 */
#ifndef LG_LOG_SALVAGE_H
#define LG_LOG_SALVAGE_H

#include "log/log.h"

#include <sys/types.h>

struct lg_salvage;

/* A hash that somebody says a record has. */
struct lg_salvage_hint {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE];
};
struct lg_salvage_progress {
	void (*tell)(void *arg, const char *what, uint64_t done, uint64_t total); /* NULL: nobody asks */
	void *arg;
};
struct lg_salvage_options {
	const char *path; /* the database file */
	const struct lg_salvage_hint *hints;
	size_t hint_count;
	struct lg_salvage_progress progress;
};

/* The process that has the log open; 0: none, -1: one that cannot be named.  ret_writes: it holds the lock for writing. */
int lg_salvage_user(const char *path, pid_t *ret_pid, bool *ret_writes, struct lg_error *err);

int lg_salvage_open(
	const struct lg_salvage_options *options, struct lg_salvage **ret_salvage, struct lg_error *err);
void lg_salvage_close(struct lg_salvage *salvage); /* NULL is fine */
void lg_salvage_closep(struct lg_salvage **salvage);

struct lg_salvage_summary {
	uint64_t head;       /* newest seq of which there is a trace; 0: none */
	uint64_t proven;     /* records */
	uint64_t lost;       /* seqs up to the head that are neither proven nor dropped by retention */
	uint64_t unproven;   /* of the lost ones, those whose content can be read but not proven */
	uint64_t dropped;    /* by retention, long ago */
	uint64_t pages;      /* in the database file */
	uint64_t frames;     /* in the -wal, committed */
	uint64_t unreadable; /* bytes that the disk did not give up */
};
const struct lg_salvage_summary *lg_salvage_summary(const struct lg_salvage *salvage);

/* The hash of record `seq`, when the chain proves it (whether or not the record itself is there). */
bool lg_salvage_hash(const struct lg_salvage *salvage, uint64_t seq, uint8_t ret_hash[LG_HASH_SIZE]);

/* In order of seq.  Exactly one of the two is given.  A gap's hash is what the next record follows; behind the last proven
 * record it may be only said, never proven, and when nothing says it, it is that of the last proven record. */
typedef int lg_salvage_visit(
	void *arg, const struct lg_record *record, const struct lg_log_gap *gap, struct lg_error *err);
int lg_salvage_walk(struct lg_salvage *salvage, lg_salvage_visit *visit, void *arg, struct lg_error *err);

/* What is known of a lost record. */
struct lg_salvage_trace {
	uint64_t seq, last; /* more than one: nothing is known of any of them */
	bool has_kind;
	enum lg_kind kind; /* as an index or its own row says */
	bool has_hash;     /* proven by the record behind it */
	bool body_lost;    /* the rest of it is proven */
	const struct lg_record
		*record; /* readable but not proven; or, with body_lost, proven without its body; or NULL */
};
int lg_salvage_traces(struct lg_salvage *salvage,
	int (*visit)(void *arg, const struct lg_salvage_trace *trace, struct lg_error *err), void *arg,
	struct lg_error *err);

#endif
