/* Delivery: one service's file is replaced and the service told.
 *
 * Others may change what is outside of the plan's scope and yet in this file, before, while and after the rollback runs.
 * So what counts as before and after is always rendered from the state as it is now, with only the scope put one way or
 * the other. */
#include "rollback/internal.h"

#include "base/cleanup.h"

#include <string.h>

/* Newer deliveries by others, that were made while ours was on its way. */
#define ATTEMPTS_MAX 10

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

int lg_step_deliver_possible(struct lg_run *run, struct lg_error *err)
{
	struct lg_adapter *adapter;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < run->plan->step_count; i++) {
		if (run->plan->steps[i].kind == LG_STEP_DELIVER)
			rc = adapter_of(run, &run->plan->steps[i], &adapter, err);
	}
	return rc;
}

/* The delivery has happened: a log that cannot take the record of it now is no reason to go back. */
static void put_on_record(struct lg_run *run, const struct lg_adapter *adapter, uint64_t revision,
	const struct lg_delivery_result *result, int code)
{
	struct lg_error owed = LG_ERROR_INIT;
	if (result->changed &&
		lg_delivery_record(run->delivery, adapter, revision, run->plan->actor, result, code, &owed) <
			0) {
		lg_context(&owed, owed.code, "the delivery to '%s' is not on record", lg_adapter_name(adapter));
		lg_run_warn(run, &owed);
	}
}

static int superseded(const struct lg_adapter *adapter, struct lg_error *err)
{
	return lg_fail(err, LG_ECONFLICT, 0, "others deliver newer states to '%s' again and again",
		lg_adapter_name(adapter));
}

/* --- forward ---------------------------------------------------------------------------------------------------------- */

/* The newest state that can be read: that of our record at least, which this process has published. */
static void newest(struct lg_run *run, struct lg_snapshot *ret_now)
{
	struct lg_error ignored = LG_ERROR_INIT;
	lg_config_refresh(run->config, &ignored);
	lg_config_snapshot(run->config, ret_now);
}

/* A service that must run and is down may have died of the file that was just replaced.  Left down, it would fail the
 * validation, and the rollback would put back what it died of.  Whether it runs now is for validation to say. */
static void start_if_down(struct lg_run *run, const struct lg_step *step)
{
	struct lg_error why = LG_ERROR_INIT;
	const struct lg_service_spec *spec =
		lg_topology_service(lg_delivery_topology(run->delivery), step->adapter);
	struct lg_service *service = lg_delivery_service(run->delivery, step->adapter);
	enum lg_service_state state;
	if (!spec || !service || !lg_service_must_run(spec))
		return;
	if (lg_service_state(service, &state, &why) == 0 && state == LG_SERVICE_STOPPED &&
		lg_service_start(service, &why) < 0)
		lg_run_warn(run, &why);
}

int lg_step_deliver_run(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	struct lg_adapter *adapter;
	int rc = adapter_of(run, step, &adapter, err);
	for (int i = 0; rc == 0 && i < ATTEMPTS_MAX; i++) {
		struct lg_snapshot now;
		struct lg_delivery_result result = { 0 };
		newest(run, &now);
		uint64_t revision = now.revision;
		rc = lg_adapter_deliver(adapter, now.tree, revision, revision, &result, err);
		lg_snapshot_clear(&now);
		put_on_record(run, adapter, revision, &result, rc);
		run->outcome.delivered_ns = result.notified ? result.notified_ns : result.installed_ns;
		if (rc == 0 && !result.superseded)
			start_if_down(run, step);
		if (rc < 0 || !result.superseded)
			return rc;
	}
	return rc < 0 ? rc : superseded(adapter, err);
}

/* --- check ------------------------------------------------------------------------------------------------------------ */

static int compare(const struct lg_adapter *adapter, const struct lg_tree *former, const struct lg_tree *next,
	enum lg_found *ret_found, struct lg_error *err)
{
	uint8_t hash[LG_HASH_SIZE];
	int after = lg_adapter_verify(adapter, next, hash, err);
	if (after < 0)
		return after;
	int before = after ? 0 : lg_adapter_verify(adapter, former, hash, err);
	if (before < 0)
		return before;
	/* a file that is not there is nobody's work: it was never delivered, or its removal is nothing to protect */
	bool absent = !lg_file_exists(lg_adapter_path(adapter));
	*ret_found = after ? LG_FOUND_AFTER : before || absent ? LG_FOUND_BEFORE : LG_FOUND_FOREIGN;
	return 0;
}

int lg_step_deliver_check(
	struct lg_run *run, const struct lg_step *step, enum lg_found *ret_found, struct lg_error *err)
{
	struct lg_adapter *adapter;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *former = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *next = NULL;
	int rc = adapter_of(run, step, &adapter, err);
	if (rc == 0)
		rc = lg_plan_rebase(run->config, run->plan, &former, &next, err);
	return rc < 0 ? rc : compare(adapter, former, next, ret_found, err);
}

/* --- undo ------------------------------------------------------------------------------------------------------------- */

/* The former content under the sequence of the present: what comes later is newer than both. */
static int put_back(struct lg_run *run, struct lg_adapter *adapter, struct lg_delivery_result *ret_result,
	struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *former = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *next = NULL;
	struct lg_snapshot now;
	newest(run, &now);
	uint64_t sequence = now.revision;
	lg_snapshot_clear(&now);
	int rc = lg_plan_rebase(run->config, run->plan, &former, &next, err);
	if (rc < 0)
		return rc;
	rc = lg_adapter_put_back(adapter, former, run->plan->from, sequence, ret_result, err);
	put_on_record(run, adapter, run->plan->from, ret_result, rc);
	if (rc == 0)
		return 0;
	/* The file stands as it was; that its service could not be told must not leave the rest half undone.  The adapter
	 * remembers, and tells it with the next delivery. */
	uint8_t hash[LG_HASH_SIZE];
	struct lg_error why = LG_ERROR_INIT;
	if (lg_adapter_verify(adapter, former, hash, &why) != 1)
		return rc;
	if (err)
		lg_run_warn(run, err);
	return 0;
}

/* Also where the file is as before: its service may have heard of another one. */
int lg_step_deliver_undo(struct lg_run *run, const struct lg_step *step, struct lg_error *err)
{
	struct lg_adapter *adapter;
	int rc = adapter_of(run, step, &adapter, err);
	for (int i = 0; rc == 0 && i < ATTEMPTS_MAX; i++) {
		struct lg_delivery_result result = { 0 };
		rc = put_back(run, adapter, &result, err);
		if (rc < 0 || !result.superseded)
			return rc;
	}
	return rc < 0 ? rc : superseded(adapter, err);
}
