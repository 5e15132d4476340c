#include "monitor/state.h"

#include "base/logline.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

void lg_event_set(json_t *event, const char *name, json_t *value)
{
	if (!value)
		return;
	if (event)
		json_object_set_new(event, name, value);
	else
		json_decref(value);
}

json_t *lg_event_new(const struct lg_monitor *monitor, const char *name, int64_t at_ns)
{
	const struct lg_clock *clock = monitor->options.clock;
	int64_t now_ns = clock->boottime_ns(clock);
	int64_t now_us = clock->realtime_us(clock);
	if (at_ns < 0)
		at_ns = now_ns;
	char time[LG_TIME_SIZE];
	json_t *event = json_object();
	lg_event_set(event, "event", json_string(name));
	lg_event_set(event, "boottime_ns", json_integer(at_ns));
	lg_event_set(event, "time", json_string(lg_time_format(now_us - (now_ns - at_ns) / 1000, time)));
	return event;
}

void lg_event_send(const struct lg_monitor *monitor, json_t *event)
{
	if (event && monitor->options.event)
		monitor->options.event(monitor->options.arg, event);
	json_decref(event);
}

void lg_complain(
	char complaint[static 256], const char *message, const char *subject, const struct lg_error *error)
{
	if (!error) {
		if (complaint[0])
			lg_logline(LG_LOG_INFO, "well again", "subject", subject, NULL);
		complaint[0] = '\0';
		return;
	}
	char now[256];
	snprintf(now, sizeof now, "%.255s", error->message);
	if (strcmp(now, complaint) == 0)
		return;
	memcpy(complaint, now, sizeof now);
	lg_logline(LG_LOG_WARN, message, "subject", subject, "error", error->message, NULL);
}

void lg_event_step(void *arg, const struct lg_rollback_event *step)
{
	const struct lg_monitor *monitor = arg;
	json_t *event = lg_event_new(monitor, "rollback_step", step->boottime_ns);
	lg_event_set(event, "step", json_string(step->step));
	lg_event_set(event, "detail", json_string(step->detail ? step->detail : ""));
	lg_event_set(event, "what", json_string(step->what));
	if (step->message)
		lg_event_set(event, "message", json_string(step->message));
	lg_event_send(monitor, event);
	lg_logline(LG_LOG_INFO, "rollback step", "step", step->step, "detail", step->detail ? step->detail : "",
		"what", step->what, "message", step->message ? step->message : "", NULL);
}

void lg_event_rollback(const struct lg_monitor *monitor, const struct lg_ward *ward,
	const struct lg_rollback_outcome *outcome, const struct lg_error *error)
{
	const char *what = outcome->outcome ? outcome->outcome : "failed";
	json_t *event = lg_event_new(monitor, "rollback", -1);
	lg_event_set(event, "rollback", json_string(outcome->id));
	lg_event_set(event, "outcome", json_string(what));
	lg_event_set(event, "revision", json_integer((json_int_t)outcome->revision));
	lg_event_set(event, "hold", json_integer((json_int_t)outcome->hold));
	lg_event_set(event, "durable_ns", json_integer(outcome->durable_ns));
	lg_event_set(event, "delivered_ns", json_integer(outcome->delivered_ns));
	lg_event_set(event, "validated_ns", json_integer(outcome->validated_ns));
	if (ward) {
		lg_event_set(event, "service", json_string(ward->spec->name));
		lg_event_set(event, "scope", json_string(ward->spec->adapter.prefix));
	}
	if (error)
		lg_event_set(event, "error", json_string(error->message));
	lg_event_send(monitor, event);
	lg_logline(error ? LG_LOG_ERROR : LG_LOG_WARN, "rollback ended", "rollback", outcome->id, "outcome",
		what, "service", ward ? ward->spec->name : "", "error", error ? error->message : "", NULL);
}
