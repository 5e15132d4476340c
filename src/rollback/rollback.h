/* rollback.h - plans, and the executor that runs them over a journal.
 *
 *	lg_rollback_plan      target, scope → plan: the exact steps and what each will change; it has a hash
 *	lg_rollback_execute   runs the plan under the host's lock, journal first; validates; undoes itself on failure
 *	lg_rollback_recover   finishes or reverses what a crash left, by the table in recovery.c
 *	lg_rollback_undo      a plan back to what was left, through the same executor
 *
 * A rollback lives in STATE_DIR/rollbacks/ID/: plan.json, journal (lg_line_log), report.json (validation).
 */
#ifndef LG_ROLLBACK_ROLLBACK_H
#define LG_ROLLBACK_ROLLBACK_H

#include "config/config.h"
#include "delivery/delivery.h"

#define LG_ROLLBACK_ID_SIZE 40 /* "20261122-140305-1a2b3c" */

/* A key of a revision to be taken back that a later one changed. */
enum lg_on_conflict {
	LG_CONFLICT_REFUSE, /* nothing is taken back */
	LG_CONFLICT_SKIP,   /* the other keys are */
	LG_CONFLICT_FORCE   /* it is taken back too, and the later change with it */
};

struct lg_rollback_request {
	const char *target; /* as lg_config_target, or a backup file; NULL with revert */
	const char *
		revert; /* instead of a target: the revision ("r15", "head") whose changes are taken back, and no others */
	enum lg_on_conflict on_conflict; /* revert */
	const struct lg_scope *scope;    /* NULL: everything */
	struct lg_author author;         /* reason 'CODE: text', checked */
	bool exact; /* backup file: keys of scope that the file lacks are removed; declarations and flags only when the
	               file has such */
	bool skip_invalid;   /* backup file */
	bool emergency;      /* from the monitor: stays when validation fails */
	const char *undo_of; /* set by lg_rollback_undo_plan */
};

struct lg_rollback_plan;

/* LG_EINVALID with problems (those of skipped entries, too); LG_ENOTFOUND for the target; LG_ECONFLICT with each conflict of
 * a revert.  A plan without differences has lg_rollback_plan_changes 0.  A revert covers, holds and quarantines the keys
 * that it changes (prefixes of them where there are too many to list); its member "conflicts" lists what was skipped or
 * forced. */
int lg_rollback_plan(struct lg_config *config, struct lg_delivery *delivery,
	const struct lg_rollback_request *request, struct lg_rollback_plan **ret_plan,
	struct lg_problems *problems, struct lg_error *err);
void lg_rollback_plan_free(struct lg_rollback_plan *plan);
void lg_rollback_plan_freep(struct lg_rollback_plan **plan);
const char *lg_rollback_plan_id(const struct lg_rollback_plan *plan);
/* hex, 64 characters; of what it does: not of its id, nor of changes outside of its scope */
const char *lg_rollback_plan_hash(const struct lg_rollback_plan *plan);
size_t lg_rollback_plan_changes(const struct lg_rollback_plan *plan);
json_t *lg_rollback_plan_json(
	const struct lg_rollback_plan *plan); /* borrowed: id, kind, from, to, scope, steps, … */
/* Every key before → after, in order. Secrets are still sealed. */
int lg_rollback_plan_diff(const struct lg_rollback_plan *plan,
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after), void *arg);

/* Progress: called as steps begin and end, with boottime. */
struct lg_rollback_event {
	const char *step;   /* preflight record deliver validate … */
	const char *detail; /* adapter name or "" */
	const char *what;   /* begun done undone failed */
	int64_t boottime_ns;
	const char *message;
};
typedef void lg_rollback_progress(void *arg, const struct lg_rollback_event *event);

struct lg_rollback_outcome {
	char id[LG_ROLLBACK_ID_SIZE];
	const char *
		outcome; /* "done", "undone", "stuck", "unproven" (emergency: stays although validation failed) */
	uint64_t revision;  /* the new revision */
	uint64_t hold;      /* seq of the hold, or 0 */
	int64_t durable_ns; /* boottime when the record was durable */
	int64_t delivered_ns;
	int64_t validated_ns;
};
/* LG_EBUSY when another rollback runs or an unfinished one covers some of its keys (an emergency does not wait for that
 * one), LG_ECONFLICT when the plan is stale, LG_EHELD when it is automatic and its scope held, LG_EINVALID when nothing
 * differs; any failure before the record is in the log is returned as it is, and nothing was touched.  LG_EFAILED when it
 * was undone, is stuck or unproven.  ret_outcome (may be NULL) is filled in any case; outcome NULL: it was not begun.
 * A failure with outcome "done": it is in force and only its journal could not be closed. */
int lg_rollback_execute(struct lg_config *config, struct lg_delivery *delivery, struct lg_rollback_plan *plan,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err);

/* Unfinished rollbacks (id each); other commands warn with it. */
int lg_rollback_unfinished(const char *state_dir, char ***ret_ids, size_t *ret_count, struct lg_error *err);
/* id NULL: every unfinished one; one that cannot be helped does not keep the others, the first failure is returned, and
 * the outcome is that of the last.  undo: reverse instead of finishing.  0 with outcome "done" or "undone"; LG_ECONFLICT
 * when somebody else changed a file meanwhile, and it stays unfinished (outcome NULL); LG_EFAILED when it had to be undone,
 * is stuck, or others have changed its scope since ("unproven"); LG_ECORRUPT when plan or journal are damaged.  One that
 * has ended already: 0 and its outcome. */
int lg_rollback_recover(struct lg_config *config, struct lg_delivery *delivery, const char *id, bool undo,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err);
/* A plan back to what was in force before rollback `id`; it also takes that rollback's hold and mark back (the undo of an
 * undo sets its own again). LG_EBUSY when that is unfinished or stuck, LG_EINVALID when nothing of it is in force. */
int lg_rollback_undo_plan(struct lg_config *config, struct lg_delivery *delivery, const char *id,
	const struct lg_author *author, struct lg_rollback_plan **ret_plan, struct lg_problems *problems,
	struct lg_error *err);

/* docs/rollback-states.md, from the tables of steps and of recovery. */
int lg_rollback_states_markdown(struct lg_buf *buf, struct lg_error *err);

/* All rollbacks, newest first: plan.json with "state" added (done, undone, stuck, unproven, unfinished). */
int lg_rollback_list(const char *state_dir, json_t **ret_list, struct lg_error *err);
/* One: plan, journal lines, report. LG_ENOTFOUND. */
int lg_rollback_show(const char *state_dir, const char *id, json_t **ret_rollback, struct lg_error *err);

/* 'CODE: text' with CODE of performance user-report security corruption compliance other, text not empty. */
int lg_rollback_reason_check(const char *reason, struct lg_error *err);

/* --- validation ------------------------------------------------------------------------------------------------------ */

/* Checks of the current state with evidence: state hash equals expect_root (NULL: what the log records), each delivered
 * file equals what its adapter renders, services running and healthy (probe, 3 answers in a row within their timeout).
 * ret_report: {"ok":bool,"checks":[{"check","subject","ok","evidence"}]}.  0 when it could be carried out, whatever it says. */
struct lg_validate_options {
	const uint8_t *expect_scope_hash; /* or NULL */
	const struct lg_scope *scope;     /* NULL: everything */
};
int lg_validate(struct lg_config *config, struct lg_delivery *delivery,
	const struct lg_validate_options *options, json_t **ret_report, bool *ret_ok, struct lg_error *err);

#endif
