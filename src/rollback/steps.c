/* The steps of a configuration rollback.  Each is safe to repeat; `check` finds out from what stands on disk and in the log
 * whether a live one has taken effect.  Here are those that change nothing, and the table. */
#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

/* --- preflight: nothing live is touched ------------------------------------------------------------------------------- */

int lg_plan_check_fresh(struct lg_run *run, struct lg_error *err)
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

/* A hold keeps what is automatic away, whatever the state. */
static int check_held(struct lg_run *run, struct lg_error *err)
{
	const struct lg_controls *controls = lg_config_controls(run->config);
	for (size_t i = 0; run->plan->automatic && i < controls->hold_count; i++) {
		if (lg_scope_overlaps(&controls->holds[i].scope, &run->plan->scope))
			return lg_fail(err, LG_EHELD, 0,
				"its scope is held by h%" PRIu64 " (%s), which keeps automatic rollbacks away",
				controls->holds[i].seq, controls->holds[i].reason);
	}
	return 0;
}

static int preflight(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	(void)step;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *former = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *next = NULL;
	int rc = lg_plan_check_fresh(run, err);
	if (rc == 0)
		rc = check_held(run, err);
	if (rc == 0)
		rc = lg_step_deliver_possible(run, err);
	if (rc < 0 || !run->delivery)
		return rc;
	rc = lg_plan_rebase(run->config, run->plan, &former, &next, err);
	return rc < 0 ? rc : lg_delivery_check(run->delivery, former, next, NULL, err);
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
	{ LG_STEP_RECORD, "record", true, lg_step_record_run, lg_step_record_check, lg_step_record_undo,
		"the restore record (of a backup file or a revert: one change record), the quarantine and the hold, in "
		"one append: the point of no return" },
	{ LG_STEP_DELIVER, "deliver", true, lg_step_deliver_run, lg_step_deliver_check, lg_step_deliver_undo,
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

int lg_step_find(struct lg_run *run, size_t i, enum lg_found *ret_found, struct lg_error *err)
{
	const struct lg_step *step = &run->plan->steps[i];
	enum lg_found found = LG_FOUND_UNRECORDED;
	int rc = lg_step_record_check(run, NULL, &found, err);
	if (rc == 0 && found == LG_FOUND_AFTER && step->kind != LG_STEP_RECORD && table[step->kind].live)
		rc = table[step->kind].check(run, step, &found, err);
	if (rc < 0)
		return rc;
	*ret_found = found;
	return 0;
}

void lg_run_warn(struct lg_run *run, const struct lg_error *why)
{
	if (!run->warning[0])
		snprintf(run->warning, sizeof run->warning, "%s", why->message);
}
