/* verify.h - is the log what it says, all of it?
 *
 *	the store       what lies below the records (SQLite: its pages, tables and indexes)
 *	the chain       each record follows the one before it, over gaps, and its body is the one that was recorded
 *	the roots       the records are replayed; each state hashes to the root that its record has
 *	checkpoints     each belongs to this history and holds the state and the controls that the replay has there
 *	the index       says of every key exactly what the records say
 *	gaps            what survived a retention is what the retention recorded
 *
 * It goes on after what it finds, as far as the rest can be judged.  It only reads, and others may write meanwhile: it judges what
 * was there when it began.
 */
#ifndef LG_CONFIG_VERIFY_H
#define LG_CONFIG_VERIFY_H

#include "config/config.h"

struct lg_verify_options {
	const char *state_dir;
	struct lg_log *log; /* NULL: the one in state_dir; else taken over */
	uint64_t
		sample; /* 0: everything; else about as many records: the newest, and stretches drawn at random */
	/* NULL, or called now and then: what is being done, how much of how much */
	void (*progress)(void *arg, const char *what, uint64_t done, uint64_t total);
	void *arg;
};

struct lg_verify_report {
	struct lg_log_head head; /* as of the beginning */
	uint64_t records, revisions, checkpoints;
	uint64_t unknown; /* revisions whose state cannot be read, as a gap says */
	struct lg_problems problems;
};
void lg_verify_report_clear(struct lg_verify_report *report);

/* 0 when it could be carried out, whatever it found: report->problems.total says. */
int lg_verify(
	const struct lg_verify_options *options, struct lg_verify_report *ret_report, struct lg_error *err);

#endif
