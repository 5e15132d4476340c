/* watch.c - from probes to triggers.
 *
 * Each trigger is one watch.  A service with an adapter and a health URL that no trigger asks gets a watch of its own that
 * only observes: nothing is marked known good that does not answer.
 */
#include "monitor/state.h"

#include "base/logline.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS     INT64_C(1000000)
#define PROBE_WAIT_MS INT64_C(1000)
/* after so many failures in a row a health that no trigger asks for is worth an event */
#define OWN_CONSECUTIVE 3

static int64_t boottime(const struct lg_monitor *monitor)
{
	return monitor->options.clock->boottime_ns(monitor->options.clock);
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static struct lg_ward *ward_named(struct lg_monitor *monitor, const char *name)
{
	for (size_t i = 0; i < monitor->ward_count; i++)
		if (strcmp(monitor->topology->services[i].name, name) == 0)
			return &monitor->wards[i];
	return NULL;
}

static int open_wards(struct lg_monitor *monitor, struct lg_error *err)
{
	const struct lg_topology *topology = monitor->topology;
	monitor->ward_count = 0;
	monitor->wards = calloc(topology->service_count + 1, sizeof *monitor->wards);
	if (!monitor->wards)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < topology->service_count; i++) {
		struct lg_ward *ward = &monitor->wards[i];
		monitor->ward_count = i + 1;
		ward->spec = &topology->services[i];
		ward->bake_ns = topology->monitor.bake_ns;
		lg_bake_init(&ward->bake);
		/* a tick may be late by the wait for probes; anything longer is time in which nobody looked */
		ward->bake.max_gap_ns = 3 * topology->monitor.interval_ns + 2 * PROBE_WAIT_MS * NS_PER_MS;
		if (!ward->spec->has_adapter)
			continue;
		ward->adapter = lg_delivery_adapter_named(monitor->options.delivery, ward->spec->name);
		int rc = lg_scope_include(&ward->scope, ward->spec->adapter.prefix, err);
		if (rc < 0)
			return lg_context(err, rc, "cannot watch service '%s'", ward->spec->name);
	}
	return 0;
}

static int check_spec(
	const struct lg_monitor *monitor, const struct lg_trigger_spec *spec, struct lg_error *err)
{
	char interval[LG_DURATION_SIZE], gap[LG_DURATION_SIZE];
	int64_t interval_ns = monitor->topology->monitor.interval_ns;
	if (spec->for_ns > 0 && interval_ns > lg_trigger_gap_ns(spec))
		return lg_fail(err, LG_EINVALID, 0,
			"trigger '%s' can never fire: the monitor looks every %s, and samples more than %s "
			"apart are no "
			"run; lower monitor.interval or raise the trigger's %s",
			spec->name, lg_duration_format(interval_ns, interval),
			lg_duration_format(lg_trigger_gap_ns(spec), gap),
			spec->signal == LG_SIGNAL_ERROR_RATE ? "window" : "for");
	return 0;
}

static int open_http(struct lg_watch *watch, struct lg_error *err)
{
	const struct lg_health_spec *health = &watch->ward->spec->health;
	watch->url = watch->spec->url ? watch->spec->url : health->http_url;
	if (!watch->url)
		return lg_fail(err, LG_EINVALID, 0,
			"trigger '%s' has no url, and service '%s' no health to ask", watch->spec->name,
			watch->ward->spec->name);
	bool is_health = health->http_url && strcmp(watch->url, health->http_url) == 0;
	watch->expected_status = is_health && health->http_status > 0 ? health->http_status : 200;
	return 0;
}

static int open_watch(struct lg_monitor *monitor, struct lg_ward *ward, const struct lg_trigger_spec *spec,
	struct lg_error *err)
{
	struct lg_watch *watch = &monitor->watches[monitor->watch_count++];
	watch->spec = spec;
	watch->ward = ward;
	int rc = check_spec(monitor, spec, err);
	if (rc < 0)
		return rc;
	watch->trigger = lg_trigger_new(spec, err);
	if (!watch->trigger)
		return LG_ENOMEM;
	switch (spec->signal) {
	case LG_SIGNAL_ERROR_RATE:
		/* before `window` has passed it still holds what the former revision answered */
		if (ward->bake_ns < spec->window_ns)
			ward->bake_ns = spec->window_ns;
		return lg_access_log_open(spec->access_log, &watch->log, err);
	case LG_SIGNAL_HTTP:
		break;
	}
	return open_http(watch, err);
}

static bool is_asked(const struct lg_monitor *monitor, const struct lg_ward *ward)
{
	for (size_t i = 0; i < monitor->watch_count; i++) {
		const struct lg_watch *watch = &monitor->watches[i];
		if (watch->ward == ward && watch->url && strcmp(watch->url, ward->spec->health.http_url) == 0)
			return true;
	}
	return false;
}

static int open_own(struct lg_monitor *monitor, struct lg_ward *ward, struct lg_error *err)
{
	struct lg_watch *watch = &monitor->watches[monitor->watch_count];
	if (asprintf(&watch->own_name, "health of %s", ward->spec->name) < 0) {
		watch->own_name = NULL;
		return lg_fail_nomem(err);
	}
	watch->own_spec = (struct lg_trigger_spec){
		.name = watch->own_name,
		.service = ward->spec->name,
		.signal = LG_SIGNAL_HTTP,
		.timeout_ns = ward->spec->health.timeout_ns,
		.consecutive = OWN_CONSECUTIVE,
		.action = LG_ACTION_OBSERVE,
	};
	return open_watch(monitor, ward, &watch->own_spec, err);
}

int lg_watch_open(struct lg_monitor *monitor, struct lg_error *err)
{
	const struct lg_topology *topology = monitor->topology;
	int rc = open_wards(monitor, err);
	if (rc < 0)
		return rc;
	size_t most = topology->trigger_count + topology->service_count + 1;
	monitor->watches = calloc(most, sizeof *monitor->watches);
	if (!monitor->watches)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < topology->trigger_count && rc == 0; i++) {
		const struct lg_trigger_spec *spec = &topology->triggers[i];
		struct lg_ward *ward = ward_named(monitor, spec->service);
		if (!ward)
			return lg_fail(err, LG_EINVALID, 0, "trigger '%s' names the unknown service '%s'",
				spec->name, spec->service);
		rc = open_watch(monitor, ward, spec, err);
	}
	for (size_t i = 0; i < monitor->ward_count && rc == 0; i++) {
		struct lg_ward *ward = &monitor->wards[i];
		if (ward->adapter && ward->spec->health.http_url && !is_asked(monitor, ward))
			rc = open_own(monitor, ward, err);
	}
	for (size_t i = 0; i < monitor->watch_count && rc == 0 && !monitor->prober; i++)
		if (monitor->watches[i].url)
			rc = lg_prober_open(&monitor->prober, err);
	return rc;
}

void lg_watch_close(struct lg_monitor *monitor)
{
	lg_prober_close(monitor->prober);
	for (size_t i = 0; i < monitor->watch_count; i++) {
		lg_trigger_free(monitor->watches[i].trigger);
		lg_access_log_close(monitor->watches[i].log);
	}
	for (size_t i = 0; i <= monitor->watch_count && monitor->watches; i++)
		free(monitor->watches[i].own_name);
	for (size_t i = 0; i < monitor->ward_count; i++)
		lg_scope_clear(&monitor->wards[i].scope);
	free(monitor->watches);
	free(monitor->wards);
}

/* --- sampling --------------------------------------------------------------------------------------------------------- */

static void tell_symptom(const struct lg_monitor *monitor, struct lg_watch *watch)
{
	int64_t since = lg_trigger_bad_since_ns(watch->trigger);
	if (since < 0 || watch->has_symptom) {
		watch->has_symptom = since >= 0;
		return;
	}
	watch->has_symptom = true;
	char saw[256];
	lg_watch_describe(watch, saw, sizeof saw);
	json_t *event = lg_event_new(monitor, "symptom", since);
	lg_event_set(event, "trigger", json_string(watch->spec->name));
	lg_event_set(event, "service", json_string(watch->ward->spec->name));
	lg_event_set(event, "saw", json_string(saw));
	lg_event_set(event, "seen_ns", json_integer(boottime(monitor)));
	lg_event_send(monitor, event);
	lg_logline(LG_LOG_INFO, "first symptom", "trigger", watch->spec->name, "service",
		watch->ward->spec->name, "saw", saw, NULL);
}

static void tell_fired(const struct lg_monitor *monitor, const struct lg_watch *watch)
{
	static const char *const actions[] = { [LG_ACTION_OBSERVE] = "observe",
		[LG_ACTION_ADVISE] = "advise",
		[LG_ACTION_ROLLBACK] = "rollback" };
	char saw[256];
	lg_watch_describe(watch, saw, sizeof saw);
	json_t *event = lg_event_new(monitor, "trigger", -1);
	lg_event_set(event, "trigger", json_string(watch->spec->name));
	lg_event_set(event, "service", json_string(watch->ward->spec->name));
	lg_event_set(event, "action", json_string(actions[watch->spec->action]));
	lg_event_set(event, "rate", json_real(lg_trigger_rate(watch->trigger)));
	lg_event_set(event, "requests", json_integer(lg_trigger_requests(watch->trigger)));
	lg_event_set(event, "symptoms_ns", json_integer(lg_trigger_bad_since_ns(watch->trigger)));
	lg_event_set(event, "saw", json_string(saw));
	lg_event_send(monitor, event);
	lg_logline(LG_LOG_WARN, "trigger fired", "trigger", watch->spec->name, "service",
		watch->ward->spec->name, "saw", saw, NULL);
}

static void feed(struct lg_monitor *monitor, struct lg_watch *watch, const struct lg_sample *sample)
{
	enum lg_trigger_state before = lg_trigger_state(watch->trigger);
	bool fires = lg_trigger_feed(watch->trigger, sample);
	tell_symptom(monitor, watch);
	if (fires) {
		watch->owed = true;
		watch->told = NULL;
		watch->attempts = 0;
		tell_fired(monitor, watch);
	} else if (before == LG_TRIGGER_FIRED && lg_trigger_state(watch->trigger) == LG_TRIGGER_CLEAR) {
		watch->owed = false;
		lg_logline(LG_LOG_INFO, "trigger cleared", "trigger", watch->spec->name, NULL);
	}
}

static void sample_access_log(struct lg_monitor *monitor, struct lg_watch *watch)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_sample sample = { .boottime_ns = boottime(monitor), .verdict = LG_VERDICT_INCONCLUSIVE };
	int rc = lg_access_log_read(watch->log, &sample.requests, &sample.errors, &err);
	lg_complain(watch->complaint, "cannot read access log", watch->spec->name, rc < 0 ? &err : NULL);
	if (sample.requests > 0)
		sample.value = (double)sample.errors / (double)sample.requests;
	feed(monitor, watch, &sample);
}

static void start_probes(struct lg_monitor *monitor)
{
	for (size_t i = 0; i < monitor->watch_count; i++) {
		struct lg_watch *watch = &monitor->watches[i];
		if (!watch->url || watch->in_flight)
			continue;
		struct lg_error err = LG_ERROR_INIT;
		int64_t timeout_ms = watch->spec->timeout_ns / NS_PER_MS;
		watch->started_ns = boottime(monitor);
		int rc = lg_prober_start(monitor->prober, i, watch->url, timeout_ms > 0 ? timeout_ms : 1, &err);
		watch->in_flight = rc == 0;
		watch->is_stale = false;
		if (rc < 0)
			lg_complain(watch->complaint, "cannot probe", watch->spec->name, &err);
	}
}

static void take_answer(struct lg_monitor *monitor, struct lg_watch *watch, const struct lg_http_answer *answer)
{
	watch->in_flight = false;
	if (watch->is_stale)
		return;
	watch->last = *answer;
	/* stamped with when the question was put: a change that comes while it hangs did not cause it */
	struct lg_sample sample = { .boottime_ns = watch->started_ns,
		.value = answer->latency_s,
		.verdict = answer->status == watch->expected_status ? LG_VERDICT_GOOD : LG_VERDICT_BAD };
	struct lg_error err = LG_ERROR_INIT;
	bool carried_out = answer->status >= 0;
	if (!carried_out) {
		sample.verdict = LG_VERDICT_INCONCLUSIVE;
		lg_fail(&err, LG_EFAILED, 0, "%s", answer->error);
	}
	lg_complain(watch->complaint, "cannot probe", watch->spec->name, carried_out ? NULL : &err);
	feed(monitor, watch, &sample);
}

/* Ordinary answers come within this tick; one that takes longer is taken in a later one and delays nothing. */
static void collect_probes(struct lg_monitor *monitor)
{
	int64_t wait_ms = monitor->topology->monitor.interval_ns / 2 / NS_PER_MS;
	if (wait_ms > PROBE_WAIT_MS)
		wait_ms = PROBE_WAIT_MS;
	struct lg_probe_answer answers[16];
	size_t count;
	do {
		count = lg_prober_collect(monitor->prober, wait_ms, answers, sizeof answers / sizeof *answers);
		for (size_t i = 0; i < count; i++)
			take_answer(monitor, &monitor->watches[answers[i].tag], &answers[i].answer);
		wait_ms = 0;
	} while (count == sizeof answers / sizeof *answers);
}

void lg_watch_tick(struct lg_monitor *monitor)
{
	if (monitor->prober)
		start_probes(monitor);
	for (size_t i = 0; i < monitor->watch_count; i++)
		if (monitor->watches[i].log)
			sample_access_log(monitor, &monitor->watches[i]);
	if (monitor->prober)
		collect_probes(monitor);
}

/* What the server wrote up to now is about what was. */
static void skip_log(struct lg_watch *watch)
{
	int64_t requests = 1;
	int64_t errors = 0;
	for (int i = 0; i < 64 && requests > 0; i++)
		if (lg_access_log_read(watch->log, &requests, &errors, NULL) < 0)
			break;
}

void lg_watch_reset(struct lg_monitor *monitor, const struct lg_ward *ward)
{
	for (size_t i = 0; i < monitor->watch_count; i++) {
		struct lg_watch *watch = &monitor->watches[i];
		if (watch->ward != ward)
			continue;
		lg_trigger_reset(watch->trigger, true);
		watch->owed = false;
		watch->has_symptom = false;
		watch->is_stale = watch->in_flight;
		if (watch->log)
			skip_log(watch);
	}
}

/* --- verdicts --------------------------------------------------------------------------------------------------------- */

static enum lg_verdict verdict_of(const struct lg_monitor *monitor, const struct lg_watch *watch)
{
	if (lg_trigger_state(watch->trigger) == LG_TRIGGER_FIRED)
		return LG_VERDICT_BAD; /* until it is cleared */
	bool is_overdue = watch->in_flight &&
		boottime(monitor) - watch->started_ns > 2 * monitor->topology->monitor.interval_ns;
	return is_overdue ? LG_VERDICT_INCONCLUSIVE : lg_trigger_verdict(watch->trigger);
}

enum lg_verdict lg_watch_verdict(const struct lg_monitor *monitor, const struct lg_ward *ward)
{
	bool any = false;
	bool all_good = true;
	for (size_t i = 0; i < monitor->watch_count; i++) {
		if (monitor->watches[i].ward != ward)
			continue;
		enum lg_verdict verdict = verdict_of(monitor, &monitor->watches[i]);
		if (verdict == LG_VERDICT_BAD)
			return LG_VERDICT_BAD;
		any = true;
		all_good = all_good && verdict == LG_VERDICT_GOOD;
	}
	/* who is not looked at is not known to be good */
	return any && all_good ? LG_VERDICT_GOOD : LG_VERDICT_INCONCLUSIVE;
}
