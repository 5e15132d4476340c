#include "monitor/state.h"

#include "base/logline.h"

#include <string.h>

#define NS_PER_MS INT64_C(1000000)
/* so that a signal is noticed also when the wait below does not return for it */
#define LONGEST_WAIT_NS (INT64_C(500) * NS_PER_MS)

static int64_t boottime(const struct lg_monitor *monitor)
{
	return monitor->options.clock->boottime_ns(monitor->options.clock);
}

static bool is_stopped(const struct lg_monitor *monitor)
{
	return monitor->options.stop && *monitor->options.stop;
}

static void refresh(struct lg_monitor *monitor)
{
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_config_refresh(monitor->options.config, &err);
	lg_complain(monitor->complaint, "cannot read the log", "log", rc < 0 ? &err : NULL);
	lg_good_follow(monitor);
}

/* Samples first, and what fired is settled before anything else: marking good can wait. */
static void tick(struct lg_monitor *monitor)
{
	refresh(monitor);
	lg_watch_tick(monitor);
	lg_act_tick(monitor);
	lg_good_tick(monitor);
}

static void wait_until(struct lg_monitor *monitor, int64_t deadline_ns)
{
	while (!is_stopped(monitor)) {
		int64_t left_ns = deadline_ns - boottime(monitor);
		if (left_ns <= 0)
			return;
		int64_t wait_ns = left_ns < LONGEST_WAIT_NS ? left_ns : LONGEST_WAIT_NS;
		struct lg_error err = LG_ERROR_INIT;
		int rc = lg_config_wait(monitor->options.config, (wait_ns + NS_PER_MS - 1) / NS_PER_MS, &err);
		lg_complain(monitor->complaint, "cannot read the log", "log", rc < 0 ? &err : NULL);
		if (rc > 0)
			lg_good_follow(monitor);
		if (rc < 0) /* a log that fails at once must not make us spin */
			monitor->options.clock->sleep_ns(monitor->options.clock, wait_ns);
	}
}

static void run(struct lg_monitor *monitor)
{
	int64_t interval_ns = monitor->topology->monitor.interval_ns;
	int64_t next_ns = boottime(monitor);
	int64_t end_ns = monitor->options.run_ns > 0 ? next_ns + monitor->options.run_ns : INT64_MAX;
	while (!is_stopped(monitor)) {
		tick(monitor);
		if (monitor->options.once && monitor->settled)
			return;
		next_ns += interval_ns;
		int64_t now = boottime(monitor);
		if (next_ns < now) /* late: what was missed is not made up for */
			next_ns = now;
		if (next_ns >= end_ns)
			return;
		wait_until(monitor, next_ns);
	}
}

static void tell_started(struct lg_monitor *monitor)
{
	json_t *event = lg_event_new(monitor, "started", -1);
	lg_event_set(event, "triggers", json_integer((json_int_t)monitor->topology->trigger_count));
	lg_event_set(event, "interval_ns", json_integer(monitor->topology->monitor.interval_ns));
	lg_event_send(monitor, event);
	lg_logline(LG_LOG_INFO, "monitor started", NULL);
	if (monitor->watch_count == 0)
		lg_logline(LG_LOG_WARN, "there is nothing to watch: no trigger and no service with a health",
			NULL);
}

int lg_monitor_run(const struct lg_monitor_options *options, struct lg_error *err)
{
	struct lg_monitor monitor = {
		.options = *options,
		.topology = lg_delivery_topology(options->delivery),
	};
	if (!monitor.options.clock)
		monitor.options.clock = lg_config_clock(options->config);
	int rc = lg_watch_open(&monitor, err);
	if (rc == 0) {
		lg_act_recover(&monitor);
		refresh(&monitor);
		tell_started(&monitor);
		run(&monitor);
		lg_logline(LG_LOG_INFO, "monitor stopped", NULL);
	}
	lg_watch_close(&monitor);
	return rc < 0 ? lg_context(err, rc, "cannot start the monitor") : 0;
}
