/* The record: the log says that the state is again that of the target.  It is the point of no return: a rollback that was
 * cut off before it has done nothing, one that was cut off behind it is finished or undone.
 *
 * With it, in one append, go the mark and the hold (or, in the undo of a rollback, their withdrawal). */
#include "rollback/internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

/* Others may append outside of the scope while explicit changes are on their way. */
#define ATTEMPTS_MAX 1000

/* --- what goes with it ------------------------------------------------------------------------------------------------ */

struct side_records {
	struct lg_buf bodies[2];
	struct lg_control controls[2];
	size_t count;
};

static void side_records_clear(struct side_records *side)
{
	lg_buf_clear(&side->bodies[0]);
	lg_buf_clear(&side->bodies[1]);
}

static void add_side(struct side_records *side, enum lg_kind kind)
{
	const struct lg_buf *body = &side->bodies[side->count];
	side->controls[side->count++] = (struct lg_control){ kind, body->data, body->len };
}

static int add_mark(struct side_records *side, const char *mark, uint64_t revision,
	const struct lg_scope *scope, const uint8_t hash[LG_HASH_SIZE], struct lg_error *err)
{
	int rc = revision ? lg_control_mark(&side->bodies[side->count], mark, revision, scope, hash, err) : 0;
	if (rc == 0 && revision)
		add_side(side, LG_KIND_MARK);
	return rc;
}

static int add_hold(
	struct side_records *side, const struct lg_scope *scope, const char *rollback, struct lg_error *err)
{
	int rc = lg_control_hold(&side->bodies[side->count], scope, rollback, err);
	if (rc == 0)
		add_side(side, LG_KIND_HOLD);
	return rc;
}

static int add_release(struct side_records *side, uint64_t hold, struct lg_error *err)
{
	int rc = hold ? lg_control_release(&side->bodies[side->count], hold, err) : 0;
	if (rc == 0 && hold)
		add_side(side, LG_KIND_RELEASE);
	return rc;
}

/* What is left is quarantined and the scope is held; the undo of a rollback takes that back. */
static int sides_forward(const struct lg_rollback_plan *plan, struct side_records *side, struct lg_error *err)
{
	int rc;
	if (plan->takes_back) {
		rc = add_mark(side, plan->undo_suspect_was_good ? "good" : "none", plan->undo_suspect,
			&plan->scope, plan->to_hash, err);
		return rc < 0 ? rc : add_release(side, plan->undo_hold, err);
	}
	rc = add_mark(side, "bad", plan->suspect, &plan->scope, plan->from_hash, err);
	return rc < 0 ? rc : add_hold(side, &plan->scope, plan->id, err);
}

/* As it was before sides_forward.  record: seq of the record; behind it stand the mark, if any, and the hold. */
static int sides_backward(
	const struct lg_rollback_plan *plan, uint64_t record, struct side_records *side, struct lg_error *err)
{
	int rc;
	if (plan->takes_back) {
		rc = add_mark(side, "bad", plan->undo_suspect, &plan->scope, plan->to_hash, err);
		return rc < 0 || !plan->undo_hold ? rc : add_hold(side, &plan->scope, plan->undo_of, err);
	}
	rc = add_mark(side, plan->suspect_was_good ? "good" : "none", plan->suspect, &plan->scope,
		plan->from_hash, err);
	return rc < 0 ? rc : add_release(side, record + (plan->suspect ? 2 : 1), err);
}

/* --- run -------------------------------------------------------------------------------------------------------------- */

static struct lg_author author_of(const struct lg_rollback_plan *plan)
{
	return (struct lg_author){ plan->actor, plan->reason, plan->automatic };
}

/* The scope is again that of revision `to`; `expect` is what it must be now. first_id: of the record's ids. */
static int append_restore(struct lg_run *run, uint64_t to, const uint8_t expect[LG_HASH_SIZE], int first_id,
	const struct side_records *side, struct lg_error *err)
{
	const struct lg_rollback_plan *plan = run->plan;
	struct lg_restore restore = {
		.to = to,
		.scope = &plan->scope,
		.author = author_of(plan),
		.rollback = plan->id,
		.has_expect_root = true,
		.ids = &plan->ids[first_id],
		.controls = side->controls,
		.control_count = side->count,
	};
	memcpy(restore.expect_scope_hash, expect, LG_HASH_SIZE);
	return lg_config_restore(run->config, &restore, NULL, NULL, err);
}

/* Explicit changes: those of a backup file, or a revert's.  The expected root is that of a state whose scope is still the plan's. */
static int append_changes(struct lg_run *run, const struct side_records *side, struct lg_error *err)
{
	const struct lg_rollback_plan *plan = run->plan;
	int rc = LG_ECONFLICT;
	for (int attempt = 0; rc == LG_ECONFLICT && attempt < ATTEMPTS_MAX; attempt++) {
		rc = lg_plan_check_fresh(run, err);
		if (rc < 0)
			return rc;
		struct lg_commit commit = {
			.changes = &run->plan->explicit_changes,
			.author = author_of(plan),
			.has_expect_root = true,
			.ignore_holds = true,
			.rollback = plan->id,
			.reverts = plan->revert,
			.ids = &plan->ids[LG_ID_RECORD],
			.controls = side->controls,
			.control_count = side->count,
		};
		struct lg_snapshot now;
		lg_config_snapshot(run->config, &now);
		lg_tree_hash(now.tree, commit.expect_root);
		lg_snapshot_clear(&now);
		rc = lg_config_commit(run->config, &commit, NULL, NULL, err);
	}
	return rc;
}

/* Seq of the record with this id, 0 when it was not appended. */
static int find_record(struct lg_run *run, int id, uint64_t *ret_seq, struct lg_error *err)
{
	uint64_t seq = 0;
	int rc = lg_config_find_id(run->config, run->plan->from, run->plan->ids[id], &seq, err);
	if (rc < 0)
		return rc;
	*ret_seq = rc == 1 ? seq : 0;
	return 0;
}

/* The adapters were asked in preflight; what was live before is not asked again. */
static void pause_checks(struct lg_run *run, bool paused)
{
	if (run->delivery)
		lg_delivery_pause_checks(run->delivery, paused);
}

int lg_step_record_run(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	lg_cleanup(side_records_clear) struct side_records side = { 0 };
	uint64_t done = 0;
	int rc = run->recovering ? find_record(run, LG_ID_RECORD, &done, err) : 0;
	if (rc < 0 || done)
		return rc;
	rc = sides_forward(run->plan, &side, err);
	if (rc < 0)
		return rc;
	pause_checks(run, true);
	rc = run->plan->is_explicit
		? append_changes(run, &side, err)
		: append_restore(run, run->plan->to, run->plan->from_hash, LG_ID_RECORD, &side, err);
	pause_checks(run, false);
	if (rc < 0)
		return rc;
	const struct lg_clock *clock = lg_config_clock(run->config);
	run->outcome.durable_ns = clock->boottime_ns(clock);
	run->recorded = true;
	return 0;
}

/* --- check, undo ------------------------------------------------------------------------------------------------------ */

static int is_overtaken(struct lg_run *run, bool *ret_overtaken, struct lg_error *err)
{
	struct lg_snapshot now;
	uint8_t hash[LG_HASH_SIZE];
	int rc = lg_config_refresh(run->config, err);
	if (rc < 0)
		return rc;
	lg_config_snapshot(run->config, &now);
	rc = lg_tree_scope_hash(now.tree, &run->plan->scope, hash);
	lg_snapshot_clear(&now);
	if (rc < 0)
		return lg_fail_nomem(err);
	*ret_overtaken = memcmp(hash, run->plan->to_hash, LG_HASH_SIZE) != 0;
	return 0;
}

int lg_step_record_check(
	struct lg_run *run, const struct lg_step *step, enum lg_found *ret_found, struct lg_error *err)
{
	(void)step;
	uint64_t done, undone = 0;
	bool overtaken = false;
	int rc = find_record(run, LG_ID_RECORD, &done, err);
	if (rc == 0 && done)
		rc = find_record(run, LG_ID_UNDO_RECORD, &undone, err);
	if (rc == 0 && done && !undone)
		rc = is_overtaken(run, &overtaken, err);
	if (rc < 0)
		return rc;
	run->recorded |= done != 0;
	*ret_found = !done  ? LG_FOUND_UNRECORDED
		: undone    ? LG_FOUND_TAKEN_BACK
		: overtaken ? LG_FOUND_OVERTAKEN
			    : LG_FOUND_AFTER;
	return 0;
}

int lg_step_record_undo(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	const struct lg_rollback_plan *plan = run->plan;
	lg_cleanup(side_records_clear) struct side_records side = { 0 };
	uint64_t record = 0;
	int rc = find_record(run, LG_ID_RECORD, &record, err);
	if (rc == 0)
		rc = sides_backward(plan, record, &side, err);
	if (rc < 0)
		return rc;
	pause_checks(run, true);
	rc = append_restore(run, plan->from, plan->to_hash, LG_ID_UNDO_RECORD, &side, err);
	pause_checks(run, false);
	return rc;
}
