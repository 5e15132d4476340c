/* internal.h - the inside of rollbacks, shared by src/rollback only.
 *
 *	plan.c       request → plan
 *	revert.c     the plan that takes back one revision
 *	plan_file.c  plan ↔ plan.json, and its hash
 *	steps.c      the table of steps: check, run, undo; preflight and validate
 *	step_record.c, step_deliver.c  the two live ones
 *	journal.c    the lines of a running rollback, and what they say after a crash
 *	executor.c   runs a plan forward, backward on failure
 *	recovery.c   the table of what a crash left
 *	catalogue.c  list and show
 *	validate.c   proof
 */
#ifndef LG_ROLLBACK_INTERNAL_H
#define LG_ROLLBACK_INTERNAL_H

#include "io/file.h"
#include "model/value.h"
#include "rollback/rollback.h"

#include <jansson.h>

/* Ids of the records that a rollback may append, chosen beforehand so that a crash cannot hide whether it did. */
enum {
	LG_ID_RECORD,
	LG_ID_MARK,
	LG_ID_HOLD,
	LG_ID_UNDO_RECORD,
	LG_ID_UNDO_MARK,
	LG_ID_UNDO_RELEASE,
	LG_ID_TOTAL
};

enum lg_step_kind { LG_STEP_PREFLIGHT, LG_STEP_RECORD, LG_STEP_DELIVER, LG_STEP_VALIDATE, LG_STEP_KIND_COUNT };

struct lg_step {
	enum lg_step_kind kind;
	char *adapter; /* deliver */
};

struct lg_rollback_plan {
	char id[LG_ROLLBACK_ID_SIZE];
	char hash[2 * LG_HASH_SIZE + 1];
	json_t *json; /* as plan.json; changes included */
	struct lg_scope scope;
	char *actor, *reason;
	char *target, *why; /* as asked for; on what evidence it was chosen */
	char *undo_of;      /* or NULL */
	bool automatic, emergency;
	bool is_explicit;                     /* explicit changes (backup file, revert) instead of a restore */
	uint64_t to;                          /* !is_explicit */
	struct lg_changeset explicit_changes; /* is_explicit: as stored, secrets sealed */
	uint64_t revert;                      /* the revision that is taken back, 0: none */
	enum lg_on_conflict on_conflict;      /* of its keys that were changed since */
	json_t *conflicts;     /* revert: [{"key","revision","then","now"}], values redacted where secret */
	uint64_t from;         /* revision in force when planned */
	uint64_t suspect;      /* newest change of the scope then */
	bool suspect_was_good; /* marked so for exactly this scope, until the rollback marks it bad */
	/* The undo of a rollback takes its mark and its hold back.  The undo of that sets them again, as any rollback does. */
	bool takes_back;
	uint64_t undo_hold;    /* takes_back: the hold that it set, 0: none */
	uint64_t undo_suspect; /* takes_back: the revision that it marked bad */
	bool undo_suspect_was_good;
	uint8_t from_hash[LG_HASH_SIZE]; /* of the scope */
	uint8_t to_hash[LG_HASH_SIZE];
	uint8_t topology[32];
	uint8_t ids[LG_ID_TOTAL][LG_ID_SIZE];
	size_t changes;
	struct lg_step *steps;
	size_t step_count;
	struct lg_tree *former, *next; /* whole states before and after */
};

/* plan.c.  What `changes` (plain values; sorted and sealed in place) lead to, with all problems, without writing anything:
 * fills next and explicit_changes, with what differs in scope (NULL: everywhere).  what: "the backup file"; unreadable: its
 * entries that are no changes, or NULL. */
int lg_plan_try_changes(struct lg_config *config, const struct lg_rollback_request *request,
	struct lg_rollback_plan *plan, const char *what, const struct lg_problems *unreadable,
	struct lg_changeset *changes, const struct lg_scope *scope, struct lg_problems *problems,
	struct lg_error *err);
/* revert.c.  Also narrows the plan's scope to the keys that it changes. ret_refused: LG_ECONFLICT because keys were changed
 * since, each a problem, and trying again would not help. */
int lg_plan_aim_at_revert(struct lg_config *config, const struct lg_rollback_request *request,
	struct lg_rollback_plan *plan, struct lg_problems *problems, struct lg_buf *why, bool *ret_refused,
	struct lg_error *err);

/* plan_file.c.  `hash` covers what a plan does; `seal` the whole of plan.json, so that a damaged one is not followed. */
int lg_plan_seal(struct lg_rollback_plan *plan, struct lg_error *err); /* fills json and hash from the fields */
int lg_plan_save(const char *state_dir, const struct lg_rollback_plan *plan, struct lg_error *err);
/* Also builds the trees. */
int lg_plan_load(
	struct lg_config *config, const char *id, struct lg_rollback_plan **ret_plan, struct lg_error *err);
/* The states before and after, as they are now: others may have changed what is outside of the scope meanwhile. */
int lg_plan_rebase(struct lg_config *config, const struct lg_rollback_plan *plan, struct lg_tree **ret_former,
	struct lg_tree **ret_next, struct lg_error *err);
int lg_rollback_path(
	const char *state_dir, const char *id, const char *name, struct lg_buf *ret_path, struct lg_error *err);
int lg_rollback_id_check(const char *id, struct lg_error *err);
const char *lg_step_name(enum lg_step_kind kind);

/* journal.c: one line each, durable when written */
enum lg_journal_state {
	LG_JOURNAL_EMPTY,   /* no journal, or nothing in it */
	LG_JOURNAL_PLANNED, /* the plan stands, no step with effects has begun */
	LG_JOURNAL_BEGUN,
	LG_JOURNAL_DONE,
	LG_JOURNAL_UNDOING,
	LG_JOURNAL_UNDONE,
	LG_JOURNAL_ENDED, /* an outcome stands */
	LG_JOURNAL_STATE_COUNT
};
struct lg_journal_mark {
	enum lg_journal_state state;
	size_t step;
	char outcome[16];
};
const char *lg_journal_state_name(enum lg_journal_state state);
int lg_journal_write(struct lg_line_log *journal, const struct lg_journal_mark *mark, struct lg_error *err);
/* A fresh file with the same lines, for a journal that took no more after a failed write: its pages cannot be trusted. */
int lg_journal_renew(const char *state_dir, const char *id, struct lg_error *err);
int lg_journal_read(const char *state_dir, const char *id, struct lg_journal_mark *ret_last, json_t *ret_lines,
	struct lg_error *err); /* ret_lines: array to append to, or NULL */

/* What stands of a step.  The record in the log decides first: without it, or when it was taken back, nothing of the
 * rollback is in force; when its scope was changed since, others have taken over. */
enum lg_found {
	LG_FOUND_UNRECORDED,
	LG_FOUND_TAKEN_BACK,
	LG_FOUND_OVERTAKEN,
	LG_FOUND_BEFORE,  /* the step has not taken effect */
	LG_FOUND_AFTER,   /* it has */
	LG_FOUND_FOREIGN, /* neither: somebody else changed it */
	LG_FOUND_COUNT
};
struct lg_run {
	struct lg_config *config;
	struct lg_delivery *delivery;
	struct lg_rollback_plan *plan;
	struct lg_line_log *journal;
	lg_rollback_progress *progress;
	void *arg;
	struct lg_rollback_outcome outcome;
	json_t *report;
	bool recovering;                     /* a step may have been done by the process that crashed */
	bool recorded;                       /* the record is in the log, be it taken back */
	char warning[LG_ERROR_MESSAGE_SIZE]; /* what did not go well without being a reason to fail; "" */
	int lock_fd;
};
struct lg_step_ops {
	enum lg_step_kind kind;
	const char *name;
	bool live; /* has effects outside: journaled */
	int (*run)(struct lg_run *run, const struct lg_step *step, struct lg_error *err);
	/* live only */
	int (*check)(
		struct lg_run *run, const struct lg_step *step, enum lg_found *ret_found, struct lg_error *err);
	int (*undo)(struct lg_run *run, const struct lg_step *step, struct lg_error *err);
	const char *what; /* for the docs */
};
const struct lg_step_ops *lg_step_ops_of(enum lg_step_kind kind);
/* What stands of step i, the record looked at first. */
int lg_step_find(struct lg_run *run, size_t i, enum lg_found *ret_found, struct lg_error *err);
int lg_plan_check_fresh(struct lg_run *run, struct lg_error *err);
void lg_run_warn(struct lg_run *run, const struct lg_error *why); /* the first one is kept */

/* step_record.c */
int lg_step_record_run(struct lg_run *run, const struct lg_step *step, struct lg_error *err);
/* UNRECORDED, TAKEN_BACK, OVERTAKEN or AFTER */
int lg_step_record_check(
	struct lg_run *run, const struct lg_step *step, enum lg_found *ret_found, struct lg_error *err);
int lg_step_record_undo(struct lg_run *run, const struct lg_step *step, struct lg_error *err);

/* step_deliver.c */
int lg_step_deliver_run(struct lg_run *run, const struct lg_step *step, struct lg_error *err);
/* BEFORE, AFTER or FOREIGN */
int lg_step_deliver_check(
	struct lg_run *run, const struct lg_step *step, enum lg_found *ret_found, struct lg_error *err);
int lg_step_deliver_undo(struct lg_run *run, const struct lg_step *step, struct lg_error *err);
/* Are all adapters of the plan there? */
int lg_step_deliver_possible(struct lg_run *run, struct lg_error *err);

/* executor.c */
int lg_run_forward(struct lg_run *run, size_t from, size_t *ret_failed, struct lg_error *err);
/* Undoes steps from `from` down.  Nothing is touched when somebody else changed any of them. */
int lg_run_backward(struct lg_run *run, size_t from, struct lg_error *err);
int lg_run_open(struct lg_run *run, bool create_journal, struct lg_error *err);
void lg_run_close(struct lg_run *run);
/* After forward (rc, failed step): goes back where it must, and ends it. */
int lg_run_settle(struct lg_run *run, int rc, size_t failed, struct lg_error *err);
void lg_run_fill(struct lg_run *run, const char *outcome); /* run->outcome, from what stands */
/* Report, journal, record.  message: why it is so, or NULL.  A failure: the journal does not say so. */
int lg_run_end(struct lg_run *run, const char *outcome, const char *message, struct lg_error *err);
int lg_rollback_lock(const char *state_dir, int *ret_fd, struct lg_error *err);

/* catalogue.c: LG_EBUSY when an unfinished rollback covers a part of this scope. */
int lg_rollback_check_unfinished(const char *state_dir, const struct lg_scope *scope, struct lg_error *err);

#endif
