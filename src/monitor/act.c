/* act.c - what follows when a trigger fired.
 *
 * A firing is `owed` until it is settled: told (an incident on record), and, where the decision is to go back, gone back.
 * LG_EBUSY and LG_ECONFLICT leave it owed for the next tick, as long as the trigger is still fired and the scope is what it
 * was; then the decision is made again on what stands by then.
 */
#include "monitor/state.h"

#include "base/cleanup.h"
#include "base/logline.h"
#include "base/text.h"
#include "io/file.h"
#include "model/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Failures that are not a matter of waiting (no space, a broken disk) may pass; a loop of them helps nobody. */
#define MOST_ATTEMPTS 3

/* --- the incident ------------------------------------------------------------------------------------------------------ */

static json_t *time_json(int64_t time_us)
{
	char time[LG_TIME_SIZE];
	return json_string(lg_time_format(time_us, time));
}

static json_t *evidence_json(const struct lg_watch *watch, const struct lg_evidence *e)
{
	char saw[256];
	lg_watch_describe(watch, saw, sizeof saw);
	json_t *json = json_object();
	lg_event_set(json, "saw", json_string(saw));
	lg_event_set(json, "rate", json_real(lg_trigger_rate(watch->trigger)));
	lg_event_set(json, "requests", json_integer(lg_trigger_requests(watch->trigger)));
	lg_event_set(json, "symptoms_began", time_json(e->symptoms_us));
	lg_event_set(json, "automatic_rollbacks_24h", json_integer(e->automatic_today));
	if (e->change > 0) {
		lg_event_set(json, "change", json_integer((json_int_t)e->change));
		lg_event_set(json, "change_recorded", time_json(e->change_us));
	}
	if (e->good > 0) {
		lg_event_set(json, "known_good", json_integer((json_int_t)e->good));
		lg_event_set(json, "known_good_age_s", json_integer(e->good_age_us / 1000000));
	}
	if (e->hold > 0)
		lg_event_set(json, "hold", json_integer((json_int_t)e->hold));
	if (e->irreversible)
		lg_event_set(json, "irreversible", json_string(e->irreversible));
	return json;
}

static json_t *incident_json(
	const struct lg_watch *watch, const struct lg_evidence *e, const struct lg_decision *decision)
{
	json_t *json = json_object();
	lg_event_set(json, "trigger", json_string(watch->spec->name));
	lg_event_set(json, "service", json_string(watch->ward->spec->name));
	lg_event_set(json, "scope", json_string(e->prefix ? e->prefix : ""));
	lg_event_set(json, "decision", json_string(lg_decision_name(decision->kind)));
	lg_event_set(json, "rule", json_string(decision->rule));
	lg_event_set(json, "why", json_string(decision->why));
	if (decision->command[0])
		lg_event_set(json, "command", json_string(decision->command));
	lg_event_set(json, "evidence", evidence_json(watch, e));
	return json;
}

static int record_incident(
	struct lg_monitor *monitor, json_t *incident, const char *why, uint64_t *ret_seq, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *body_json = json_pack("{s:O}", "incident", incident);
	if (!body_json)
		return lg_fail_nomem(err);
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	int rc = lg_json_canonical(body_json, &body, err);
	if (rc < 0)
		return rc;
	const struct lg_author author = { .actor = "monitor", .reason = why, .automatic = true };
	const struct lg_control control = {
		.kind = LG_KIND_INCIDENT, .body = lg_buf_str(&body), .body_len = body.len
	};
	return lg_config_control(monitor->options.config, &author, &control, 1, ret_seq, err);
}

static void tell_advice(
	struct lg_monitor *monitor, const struct lg_watch *watch, const struct lg_decision *decision)
{
	json_t *event = lg_event_new(monitor, "advice", -1);
	lg_event_set(event, "trigger", json_string(watch->spec->name));
	lg_event_set(event, "service", json_string(watch->ward->spec->name));
	lg_event_set(event, "why", json_string(decision->why));
	lg_event_set(event, "command", json_string(decision->command));
	lg_event_send(monitor, event);
}

/* On record before anything is done.  That the record cannot be written does not keep us from going back: what broke may
 * be what the log needs. */
static void tell_incident(struct lg_monitor *monitor, struct lg_watch *watch, const struct lg_evidence *e,
	const struct lg_decision *decision)
{
	watch->told = decision->rule;
	if (strcmp(decision->rule, "observe") == 0)
		return; /* the event of the trigger says it all */
	struct lg_error err = LG_ERROR_INIT;
	uint64_t seq = 0;
	json_t *incident = incident_json(watch, e, decision);
	int rc = incident ? record_incident(monitor, incident, decision->why, &seq, &err) : lg_fail_nomem(&err);
	if (rc < 0)
		lg_logline(LG_LOG_ERROR, "cannot record the incident", "trigger", watch->spec->name, "error",
			err.message, NULL);
	json_t *event = lg_event_new(monitor, "incident", -1);
	if (event && incident)
		json_object_update_missing(event, incident);
	if (seq > 0)
		lg_event_set(event, "seq", json_integer((json_int_t)seq));
	lg_event_send(monitor, event);
	json_decref(incident);
	if (decision->kind == LG_DECISION_ADVISE)
		tell_advice(monitor, watch, decision);
	lg_logline(LG_LOG_WARN, "incident", "trigger", watch->spec->name, "service", watch->ward->spec->name,
		"decision", lg_decision_name(decision->kind), "why", decision->why, "command",
		decision->command, NULL);
}

/* --- going back -------------------------------------------------------------------------------------------------------- */

/* 0 when it ended (whatever the outcome says); an error when it did not come to that. */
static int execute(struct lg_monitor *monitor, struct lg_watch *watch,
	const struct lg_rollback_request *request, struct lg_rollback_outcome *outcome, struct lg_error *err)
{
	struct lg_config *config = monitor->options.config;
	struct lg_delivery *delivery = monitor->options.delivery;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	int rc = lg_rollback_plan(config, delivery, request, &plan, &problems, err);
	if (rc < 0)
		return rc;
	snprintf(outcome->id, sizeof outcome->id, "%s", lg_rollback_plan_id(plan));
	rc = lg_rollback_execute(config, delivery, plan, lg_event_step, monitor, outcome, err);
	if (rc < 0 && rc != LG_EFAILED)
		return rc;
	lg_event_rollback(monitor, watch->ward, outcome, rc < 0 ? err : NULL);
	return 0;
}

static void ended(struct lg_monitor *monitor, struct lg_watch *watch)
{
	monitor->settled = true;
	lg_good_follow(monitor);
	lg_watch_reset(monitor, watch->ward);
}

static void failed(struct lg_monitor *monitor, struct lg_watch *watch,
	const struct lg_rollback_outcome *outcome, int rc, const struct lg_error *err)
{
	if (rc == LG_EBUSY || rc == LG_ECONFLICT) {
		lg_logline(LG_LOG_WARN, "rollback put off to the next tick", "trigger", watch->spec->name,
			"error", err->message, NULL);
		return;
	}
	lg_event_rollback(monitor, watch->ward, outcome, err);
	if (++watch->attempts < MOST_ATTEMPTS)
		return;
	watch->owed = false;
	monitor->settled = true;
}

static void roll_back(struct lg_monitor *monitor, struct lg_watch *watch, const struct lg_decision *decision)
{
	char target[32], saw[256], reason[640];
	lg_watch_describe(watch, saw, sizeof saw);
	snprintf(target, sizeof target, "r%" PRIu64, decision->target);
	snprintf(reason, sizeof reason, "other: trigger '%.300s' fired: %s", watch->spec->name, saw);
	const struct lg_rollback_request request = {
		.target = target,
		.scope = &watch->ward->scope,
		.author = { .actor = "monitor", .reason = reason, .automatic = true },
		.emergency = true,
	};
	struct lg_rollback_outcome outcome = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	/* a former attempt that stopped half way is finished first; often that is the rollback */
	if (watch->attempts > 0)
		lg_act_recover(monitor);
	int rc = execute(monitor, watch, &request, &outcome, &err);
	if (rc == 0)
		ended(monitor, watch);
	else
		failed(monitor, watch, &outcome, rc, &err);
}

/* --- settling what is owed --------------------------------------------------------------------------------------------- */

static void settle(struct lg_monitor *monitor, struct lg_watch *watch)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_case c = { 0 };
	if (lg_case_gather(monitor, watch, &c, &err) < 0) {
		lg_logline(LG_LOG_ERROR, "cannot judge yet", "trigger", watch->spec->name, "error", err.message,
			NULL);
		return;
	}
	if (!watch->told) {
		memcpy(watch->fired_hash, c.scope_hash, LG_HASH_SIZE);
	} else if (memcmp(watch->fired_hash, c.scope_hash, LG_HASH_SIZE) != 0) {
		lg_logline(LG_LOG_INFO, "the scope has changed since: nothing to go back from", "trigger",
			watch->spec->name, NULL);
		watch->owed = false;
		lg_case_clear(&c);
		return;
	}
	struct lg_decision decision;
	lg_decide(&c.evidence, &decision);
	if (!watch->told || strcmp(watch->told, decision.rule) != 0)
		tell_incident(monitor, watch, &c.evidence, &decision);
	lg_case_clear(&c);
	if (decision.kind == LG_DECISION_ROLLBACK) {
		roll_back(monitor, watch, &decision);
		return;
	}
	watch->owed = false;
	if (watch->spec->action != LG_ACTION_OBSERVE)
		monitor->settled = true;
}

void lg_act_tick(struct lg_monitor *monitor)
{
	for (size_t i = 0; i < monitor->watch_count; i++)
		if (monitor->watches[i].owed)
			settle(monitor, &monitor->watches[i]);
}

/* --- what a crash left -------------------------------------------------------------------------------------------------- */

void lg_act_recover(struct lg_monitor *monitor)
{
	struct lg_config *config = monitor->options.config;
	struct lg_error err = LG_ERROR_INIT;
	char **ids = NULL;
	size_t count = 0;
	int rc = lg_rollback_unfinished(lg_config_state_dir(config), &ids, &count, &err);
	lg_names_free(ids, count);
	if (rc == 0 && count == 0)
		return;
	struct lg_rollback_outcome outcome = { 0 };
	if (rc == 0)
		rc = lg_rollback_recover(
			config, monitor->options.delivery, NULL, false, lg_event_step, monitor, &outcome, &err);
	if (rc == LG_EBUSY) {
		lg_logline(LG_LOG_INFO, "a rollback is running", "error", err.message, NULL);
		return;
	}
	lg_event_rollback(monitor, NULL, &outcome, rc < 0 ? &err : NULL);
}
