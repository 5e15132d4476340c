/* good.c - which revision serves, since when it serves well, and the mark that says so.
 *
 * A revision is marked only when the service really runs it: while the file of the adapter is not what the state renders to,
 * the bake gathers nothing.  A mark ages (good_max_age), and a service that has run well for weeks must not lose its way back
 * for it: while it goes on serving well, a mark is renewed at half that age.
 */
#include "monitor/state.h"

#include "base/cleanup.h"
#include "base/logline.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LAG_MAX_US (INT64_C(60) * 1000000) /* from a change to its being seen */

static void tell_change(
	struct lg_monitor *monitor, const struct lg_ward *ward, int64_t time_us, bool is_rollback)
{
	char time[LG_TIME_SIZE];
	json_t *event = lg_event_new(monitor, "change", -1);
	lg_event_set(event, "service", json_string(ward->spec->name));
	lg_event_set(event, "scope", json_string(ward->spec->adapter.prefix));
	lg_event_set(event, "revision", json_integer((json_int_t)ward->revision));
	lg_event_set(event, "recorded", json_string(lg_time_format(time_us, time)));
	lg_event_set(event, "rollback", json_boolean(is_rollback));
	lg_event_send(monitor, event);
}

/* Recorded just now: seen a moment later, unless the clocks disagree. */
static int64_t boottime_of(struct lg_monitor *monitor, int64_t time_us)
{
	const struct lg_clock *clock = monitor->options.clock;
	int64_t now_ns = clock->boottime_ns(clock), lag_us = clock->realtime_us(clock) - time_us;
	return now_ns - (lag_us >= 0 && lag_us <= LAG_MAX_US ? lag_us * 1000 : 0);
}

static int follow(struct lg_monitor *monitor, struct lg_ward *ward, uint64_t seq, struct lg_error *err)
{
	uint64_t revision = 0;
	int64_t time_us = 0;
	int rc = lg_config_last_change(monitor->options.config, &ward->scope, seq, &revision, &time_us, err);
	if (rc < 0)
		return rc;
	bool is_first = ward->known_seq == 0;
	bool is_rollback = false;
	if (!is_first && revision != ward->revision && revision > 0) {
		rc = lg_case_is_rollback(monitor, revision, &is_rollback, err);
		if (rc < 0)
			return rc;
	}
	bool has_moved = revision != ward->revision;
	ward->revision = revision;
	ward->known_seq = seq;
	if (has_moved)
		ward->changed_ns = is_first ? 0 : boottime_of(monitor, time_us);
	if (has_moved && !is_first)
		tell_change(monitor, ward, time_us, is_rollback);
	if (has_moved && is_rollback)
		lg_watch_reset(monitor, ward);
	return 0;
}

void lg_good_follow(struct lg_monitor *monitor)
{
	struct lg_snapshot snapshot;
	lg_config_snapshot(monitor->options.config, &snapshot);
	for (size_t i = 0; i < monitor->ward_count; i++) {
		struct lg_ward *ward = &monitor->wards[i];
		if (!ward->adapter || ward->known_seq == snapshot.seq)
			continue;
		struct lg_error err = LG_ERROR_INIT;
		int rc = follow(monitor, ward, snapshot.seq, &err);
		lg_complain(ward->complaint, "cannot follow the changes of a service", ward->spec->name,
			rc < 0 ? &err : NULL);
	}
	lg_snapshot_clear(&snapshot);
}

/* --- marks ------------------------------------------------------------------------------------------------------------ */

static bool is_marked(struct lg_monitor *monitor, const struct lg_ward *ward, const uint8_t hash[LG_HASH_SIZE])
{
	const struct lg_clock *clock = monitor->options.clock;
	int64_t renew_us = monitor->topology->monitor.good_max_age_ns / 2000;
	const struct lg_controls *controls = lg_config_controls(monitor->options.config);
	for (size_t i = 0; controls && i < controls->mark_count; i++) {
		const struct lg_mark *mark = &controls->marks[i];
		if (mark->good && mark->revision == ward->revision &&
			lg_scope_equal(&mark->scope, &ward->scope) &&
			memcmp(mark->scope_hash, hash, LG_HASH_SIZE) == 0)
			return (ward->marked == ward->revision
					       ? (clock->boottime_ns(clock) - ward->marked_ns) / 1000
					       : clock->realtime_us(clock) - mark->time_us) < renew_us;
	}
	return false;
}

static int write_mark(struct lg_monitor *monitor, const struct lg_ward *ward, const uint8_t hash[LG_HASH_SIZE],
	struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	int rc = lg_control_mark(&body, "good", ward->revision, &ward->scope, hash, err);
	if (rc < 0)
		return rc;
	char bake[LG_DURATION_SIZE], reason[128];
	snprintf(reason, sizeof reason, "served well and unchanged for %s",
		lg_duration_format(ward->bake_ns, bake));
	const struct lg_author author = { .actor = "monitor", .reason = reason, .automatic = true };
	const struct lg_control control = {
		.kind = LG_KIND_MARK, .body = lg_buf_str(&body), .body_len = body.len
	};
	return lg_config_control(monitor->options.config, &author, &control, 1, NULL, err);
}

static void tell_known_good(struct lg_monitor *monitor, const struct lg_ward *ward)
{
	json_t *event = lg_event_new(monitor, "known_good", -1);
	lg_event_set(event, "service", json_string(ward->spec->name));
	lg_event_set(event, "scope", json_string(ward->spec->adapter.prefix));
	lg_event_set(event, "revision", json_integer((json_int_t)ward->revision));
	lg_event_send(monitor, event);
	char revision[32];
	snprintf(revision, sizeof revision, "r%" PRIu64, ward->revision);
	lg_logline(LG_LOG_INFO, "known good", "service", ward->spec->name, "revision", revision, NULL);
}

static int mark(
	struct lg_monitor *monitor, struct lg_ward *ward, const struct lg_tree *tree, struct lg_error *err)
{
	uint8_t hash[LG_HASH_SIZE];
	if (lg_tree_scope_hash(tree, &ward->scope, hash) < 0)
		return lg_fail_nomem(err);
	if (lg_config_is_quarantined(monitor->options.config, &ward->scope, hash))
		return lg_fail(err, LG_ECONFLICT, 0,
			"r%" PRIu64
			" serves well, but its content was rolled back from as bad and is not marked good; "
			"if it is: lastgood mark good r%" PRIu64,
			ward->revision, ward->revision);
	if (is_marked(monitor, ward, hash))
		return 0;
	int rc = write_mark(monitor, ward, hash, err);
	if (rc < 0)
		return rc;
	ward->marked = ward->revision;
	ward->marked_ns = monitor->options.clock->boottime_ns(monitor->options.clock);
	tell_known_good(monitor, ward);
	return 0;
}

/* --- the bake --------------------------------------------------------------------------------------------------------- */

static bool is_in_step(const struct lg_ward *ward, const struct lg_tree *tree)
{
	uint8_t hash[LG_HASH_SIZE];
	return lg_adapter_attached(ward->adapter) && lg_adapter_verify(ward->adapter, tree, hash, NULL) == 1;
}

void lg_good_tick(struct lg_monitor *monitor)
{
	const struct lg_clock *clock = monitor->options.clock;
	struct lg_snapshot snapshot;
	lg_config_snapshot(monitor->options.config, &snapshot);
	for (size_t i = 0; i < monitor->ward_count; i++) {
		struct lg_ward *ward = &monitor->wards[i];
		if (!ward->adapter || ward->known_seq != snapshot.seq)
			continue;
		enum lg_verdict verdict = lg_watch_verdict(monitor, ward);
		if (verdict == LG_VERDICT_GOOD && !is_in_step(ward, snapshot.tree))
			verdict = LG_VERDICT_INCONCLUSIVE;
		lg_bake_feed(&ward->bake, ward->revision, verdict, clock->boottime_ns(clock), ward->bake_ns);
		if (!ward->bake.done || verdict != LG_VERDICT_GOOD)
			continue;
		struct lg_error err = LG_ERROR_INIT;
		int rc = mark(monitor, ward, snapshot.tree, &err);
		lg_complain(
			ward->complaint, "cannot mark a revision good", ward->spec->name, rc < 0 ? &err : NULL);
	}
	lg_snapshot_clear(&snapshot);
}
