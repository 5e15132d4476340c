/* The steps of a configuration rollback.  Each is safe to repeat; `check` finds out from what stands on disk and in the log
 * whether a live one has taken effect. */
#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

/* --- preflight: nothing live is touched ------------------------------------------------------------------------------- */

static int check_fresh(struct lg_run *run, struct lg_error *err)
{
	const struct lg_rollback_plan *plan = run->plan;
	int rc = lg_config_refresh(run->config, err);
	if (rc < 0)
		return rc;
	struct lg_snapshot now;
	uint8_t hash[LG_HASH_SIZE];
	lg_config_snapshot(run->config, &now);
	rc = lg_tree_scope_hash(now.tree, &plan->scope, hash);
	lg_snapshot_clear(&now);
	if (rc < 0)
		return lg_fail_nomem(err);
	if (memcmp(hash, plan->from_hash, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECONFLICT, 0,
			"the plan is stale: its scope has changed since r%" PRIu64 "; make it again",
			plan->from);
	if (run->delivery &&
		memcmp(lg_delivery_topology(run->delivery)->hash, plan->topology, sizeof plan->topology) != 0)
		return lg_fail(err, LG_ECONFLICT, 0,
			"the plan is stale: lastgood.yaml has changed since; make it again");
	return 0;
}

static int preflight(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	int rc = check_fresh(run, err);
	if (rc < 0 || !run->delivery)
		return rc;
	return lg_delivery_check(run->delivery, run->plan->former, run->plan->next, NULL, err);
}

/* --- record: the log says that the state is again that of the target ------------------------------------------------- */

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

static void side_record(struct side_records *side, enum lg_kind kind)
{
	const struct lg_buf *body = &side->bodies[side->count];
	side->controls[side->count++] = (struct lg_control){ kind, body->data, body->len };
}

static int add_mark(struct side_records *side, const char *mark, uint64_t revision,
	const struct lg_scope *scope, const uint8_t hash[LG_HASH_SIZE], struct lg_error *err)
{
	int rc = lg_control_mark(&side->bodies[side->count], mark, revision, scope, hash, err);
	if (rc == 0)
		side_record(side, LG_KIND_MARK);
	return rc;
}

static int add_release(struct side_records *side, uint64_t hold, struct lg_error *err)
{
	int rc = lg_control_release(&side->bodies[side->count], hold, err);
	if (rc == 0)
		side_record(side, LG_KIND_RELEASE);
	return rc;
}

/* With a rollback: what it leaves is quarantined and the scope is held.  With the undo of one: the other way. */
static int side_records_of(const struct lg_rollback_plan *plan, struct side_records *side, struct lg_error *err)
{
	int rc = 0;
	if (!plan->undo_of) {
		if (plan->suspect)
			rc = add_mark(side, "bad", plan->suspect, &plan->scope, plan->from_hash, err);
		if (rc == 0)
			rc = lg_control_hold(&side->bodies[side->count], &plan->scope, plan->id, err);
		if (rc == 0)
			side_record(side, LG_KIND_HOLD);
		return rc;
	}
	if (plan->undo_suspect)
		rc = add_mark(side, "none", plan->undo_suspect, &plan->scope, plan->to_hash, err);
	return rc == 0 && plan->undo_hold ? add_release(side, plan->undo_hold, err) : rc;
}

static struct lg_author author_of(const struct lg_rollback_plan *plan)
{
	return (struct lg_author){ plan->actor, plan->reason, plan->automatic };
}

static int record_restore(struct lg_run *run, const struct side_records *side, struct lg_committed *committed,
	struct lg_error *err)
{
	const struct lg_rollback_plan *plan = run->plan;
	struct lg_restore restore = {
		.to = plan->to,
		.scope = &plan->scope,
		.author = author_of(plan),
		.rollback = plan->id,
		.has_expect_root = true,
		.ids = &plan->ids[LG_ID_RECORD],
		.controls = side->controls,
		.control_count = side->count,
	};
	memcpy(restore.expect_scope_hash, plan->from_hash, LG_HASH_SIZE);
	return lg_config_restore(run->config, &restore, committed, NULL, err);
}

/* Explicit changes from a backup file.  The expected root is that of a state whose scope is still the plan's. */
static int record_changes(struct lg_run *run, const struct side_records *side, struct lg_committed *committed,
	struct lg_error *err)
{
	const struct lg_rollback_plan *plan = run->plan;
	int rc = LG_ECONFLICT;
	for (int attempt = 0; rc == LG_ECONFLICT && attempt < 10; attempt++) {
		rc = check_fresh(run, err);
		if (rc < 0)
			return rc;
		struct lg_commit commit = {
			.changes = &run->plan->file_changes,
			.author = author_of(plan),
			.has_expect_root = true,
			.ignore_holds = true,
			.rollback = plan->id,
			.ids = &plan->ids[LG_ID_RECORD],
			.controls = side->controls,
			.control_count = side->count,
		};
		struct lg_snapshot now;
		lg_config_snapshot(run->config, &now);
		lg_tree_hash(now.tree, commit.expect_root);
		lg_snapshot_clear(&now);
		rc = lg_config_commit(run->config, &commit, committed, NULL, err);
	}
	return rc;
}

static int run_record(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	lg_cleanup(side_records_clear) struct side_records side = { 0 };
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	int rc = side_records_of(run->plan, &side, err);
	if (rc < 0)
		return rc;
	if (run->delivery)
		lg_delivery_pause_checks(run->delivery, true); /* preflight has done them */
	rc = run->plan->is_file ? record_changes(run, &side, &committed, err)
				: record_restore(run, &side, &committed, err);
	if (run->delivery)
		lg_delivery_pause_checks(run->delivery, false);
	if (rc == 0)
		run->outcome.durable_ns =
			lg_config_clock(run->config)->boottime_ns(lg_config_clock(run->config));
	return rc;
}

/* Revision of the record with this id, 0 when it was not appended. */
static int find_record(struct lg_run *run, int id, uint64_t *ret_revision, struct lg_error *err)
{
	uint64_t seq = 0;
	int rc = lg_config_find_id(run->config, run->plan->from, run->plan->ids[id], &seq, err);
	if (rc < 0)
		return rc;
	*ret_revision = rc == 1 ? seq : 0;
	return 0;
}

static int check_record(
	struct lg_run *run, const struct lg_step *step, enum lg_disk *ret_disk, struct lg_error *err)
{
	(void)step;
	uint64_t done, undone;
	int rc = find_record(run, LG_ID_RECORD, &done, err);
	if (rc == 0)
		rc = find_record(run, LG_ID_UNDO_RECORD, &undone, err);
	if (rc < 0)
		return rc;
	*ret_disk = done && !undone ? LG_DISK_AFTER : LG_DISK_BEFORE;
	return 0;
}

/* Back to what was in force; the marks and holds made with the record are taken back with it. */
static int undo_record(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	const struct lg_rollback_plan *plan = run->plan;
	lg_cleanup(side_records_clear) struct side_records side = { 0 };
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	uint64_t record;
	int rc = find_record(run, LG_ID_RECORD, &record, err);
	if (rc == 0 && !plan->undo_of && plan->suspect)
		rc = add_mark(&side, "none", plan->suspect, &plan->scope, plan->from_hash, err);
	if (rc == 0 && !plan->undo_of)
		rc = add_release(
			&side, record + (plan->suspect ? 2 : 1), err); /* the hold stands behind the mark */
	if (rc < 0)
		return rc;
	struct lg_restore restore = {
		.to = plan->from,
		.scope = &plan->scope,
		.author = author_of(plan),
		.rollback = plan->id,
		.has_expect_root = true,
		.ids = &plan->ids[LG_ID_UNDO_RECORD],
		.controls = side.controls,
		.control_count = side.count,
	};
	memcpy(restore.expect_scope_hash, plan->to_hash, LG_HASH_SIZE);
	if (run->delivery)
		lg_delivery_pause_checks(run->delivery, true); /* what was live is not asked again */
	rc = lg_config_restore(run->config, &restore, &committed, NULL, err);
	if (run->delivery)
		lg_delivery_pause_checks(run->delivery, false);
	return rc;
}

/* --- deliver ---------------------------------------------------------------------------------------------------------- */

static int adapter_of(
	struct lg_run *run, const struct lg_step *step, struct lg_adapter **ret_adapter, struct lg_error *err)
{
	*ret_adapter = run->delivery ? lg_delivery_adapter_named(run->delivery, step->adapter) : NULL;
	if (*ret_adapter)
		return 0;
	return lg_fail(err, LG_ENOTFOUND, 0,
		"service '%s' of the plan is no longer in lastgood.yaml; put it back and resume",
		step->adapter);
}

static int run_deliver(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	struct lg_adapter *adapter;
	int rc = adapter_of(run, step, &adapter, err);
	if (rc < 0)
		return rc;
	struct lg_snapshot now;
	struct lg_delivery_result result = { 0 };
	lg_config_snapshot(run->config, &now);
	rc = lg_delivery_one(run->delivery, adapter, &now, run->plan->actor, &result, err);
	lg_snapshot_clear(&now);
	run->outcome.delivered_ns = result.notified ? result.notified_ns : result.installed_ns;
	return rc;
}

static int check_deliver(
	struct lg_run *run, const struct lg_step *step, enum lg_disk *ret_disk, struct lg_error *err)
{
	struct lg_adapter *adapter;
	uint8_t hash[LG_HASH_SIZE];
	int rc = adapter_of(run, step, &adapter, err);
	if (rc < 0)
		return rc;
	int after = lg_adapter_verify(adapter, run->plan->next, hash, err);
	if (after < 0)
		return after;
	int before = after ? 0 : lg_adapter_verify(adapter, run->plan->former, hash, err);
	if (before < 0)
		return before;
	*ret_disk = after ? LG_DISK_AFTER : before ? LG_DISK_BEFORE : LG_DISK_FOREIGN;
	return 0;
}

/* The former content, under the sequence of the rollback: what comes later is newer than both. */
static int undo_deliver(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	struct lg_adapter *adapter;
	int rc = adapter_of(run, step, &adapter, err);
	if (rc < 0)
		return rc;
	struct lg_snapshot now;
	struct lg_delivery_result result = { 0 };
	lg_config_snapshot(run->config, &now);
	rc = lg_adapter_deliver(adapter, run->plan->former, run->plan->from, now.revision, &result, err);
	lg_snapshot_clear(&now);
	return rc;
}

/* --- validate --------------------------------------------------------------------------------------------------------- */

static int validate(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	bool ok = false;
	const struct lg_validate_options options = { .expect_scope_hash = run->plan->to_hash,
		.scope = &run->plan->scope };
	json_decref(run->report);
	run->report = NULL;
	int rc = lg_validate(run->config, run->delivery, &options, &run->report, &ok, err);
	if (rc < 0)
		return rc;
	run->outcome.validated_ns = lg_config_clock(run->config)->boottime_ns(lg_config_clock(run->config));
	if (ok)
		return 0;
	size_t i;
	json_t *check;
	json_array_foreach(json_object_get(run->report, "checks"), i, check)
	{
		if (!json_is_true(json_object_get(check, "ok")))
			return lg_fail(err, LG_EFAILED, 0, "validation failed: %s of '%s': %s",
				json_string_value(json_object_get(check, "check")),
				json_string_value(json_object_get(check, "subject")),
				json_string_value(json_object_get(check, "evidence")));
	}
	return lg_fail(err, LG_EFAILED, 0, "validation failed");
}

/* --- the table -------------------------------------------------------------------------------------------------------- */

static const struct lg_step_ops table[LG_STEP_KIND_COUNT] = {
	{ LG_STEP_PREFLIGHT, "preflight", false, preflight, NULL, NULL,
		"the plan is still fresh; every file renders and its service accepts it" },
	{ LG_STEP_RECORD, "record", true, run_record, check_record, undo_record,
		"the restore record, the quarantine and the hold, in one append" },
	{ LG_STEP_DELIVER, "deliver", true, run_deliver, check_deliver, undo_deliver,
		"the service's file is replaced and the service notified" },
	{ LG_STEP_VALIDATE, "validate", false, validate, NULL, NULL,
		"root hash, files on disk, services and probes prove the result" },
};

const struct lg_step_ops *lg_step_ops_of(enum lg_step_kind kind)
{
	return &table[kind];
}

const char *lg_step_name(enum lg_step_kind kind)
{
	return table[kind].name;
}
