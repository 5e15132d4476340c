/* monitor.h - the process that watches: feeds probes to triggers, marks known good, and, where the rules say so, rolls
 * back. Its own process; needs neither a daemon nor the command line. */
#ifndef LG_MONITOR_MONITOR_H
#define LG_MONITOR_MONITOR_H

#include "config/config.h"
#include "delivery/delivery.h"

#include <signal.h>

struct lg_monitor_options {
	struct lg_config *config;
	struct lg_delivery *delivery;
	const struct lg_clock *clock;
	volatile sig_atomic_t *stop; /* set by a signal handler: leave at the next tick */
	int64_t run_ns;              /* 0: until stopped */
	bool once; /* leave after the first rollback or incident (exit of the emergency monitor) */
	/* Machine-readable events, one call each, for the timeline: event is a JSON object; borrowed. */
	void (*event)(void *arg, const json_t *event);
	void *arg;
};
/* Runs until stopped. Errors of single probes or of the log are logged and do not end it. */
int lg_monitor_run(const struct lg_monitor_options *options, struct lg_error *err);

#endif
