/* state.h - what the parts of the monitor share; private to this folder.
 *
 *	watch.c     probes → samples → triggers: which of them fire in this tick
 *	good.c      which revision of a service's scope serves, and since when it serves well → the mark 'good'
 *	evidence.c  what the log and the state say about a trigger that fired
 *	decide.c    evidence → decision; pure
 *	act.c       decision → incident record, rollback
 *	event.c     all of it → events and log lines
 *	monitor.c   the loop
 */
#ifndef LG_MONITOR_STATE_H
#define LG_MONITOR_STATE_H

#include "health/health.h"
#include "monitor/decide.h"
#include "monitor/monitor.h"
#include "rollback/rollback.h"

/* A service that has something to be watched. */
struct lg_ward {
	const struct lg_service_spec *spec;
	struct lg_adapter *adapter; /* NULL: none, and then there is no scope, no bake and no rollback */
	struct lg_scope scope;      /* prefix of the adapter */
	uint64_t revision;          /* newest that changed the scope */
	uint64_t known_seq;         /* head up to which `revision` was looked for */
	/* When that change happened, and when this process marked which revision good, in boottime, which never jumps; 0: it
	   did not see it.  Recorded times are of clocks that may have been set since. */
	int64_t changed_ns, marked_ns;
	uint64_t marked;
	struct lg_bake bake;
	int64_t bake_ns;
	char complaint[256];
};

struct lg_watch {
	const struct lg_trigger_spec *spec;
	struct lg_trigger *trigger;
	struct lg_ward *ward;
	struct lg_trigger_spec own_spec; /* for the probe of a service whose health no trigger asks for */
	char *own_name;
	/* error_rate */
	struct lg_access_log *log;
	/* http */
	const char *url;
	int expected_status;
	bool in_flight;
	bool is_stale; /* in flight since before a reset: its answer is about what was */
	int64_t started_ns;
	struct lg_http_answer last;
	/* decisions */
	bool has_symptom; /* of the present run, told */
	bool owed;        /* fired, and what follows has not been settled */
	const char *told; /* rule of the incident that is on record for this firing; NULL: none */
	int attempts;     /* rollbacks tried for this firing that failed for want of something */
	uint8_t fired_hash[LG_HASH_SIZE]; /* of the scope when it fired */
	char complaint[256]; /* why the last probe could not be carried out: said once, not each tick */
};

struct lg_monitor {
	struct lg_monitor_options options;
	const struct lg_topology *topology;
	struct lg_ward *wards;
	size_t ward_count;
	struct lg_watch *watches;
	size_t watch_count;
	struct lg_prober *prober; /* NULL until an http probe is needed */
	bool settled;             /* a rollback or an incident happened: `once` leaves */
	char complaint[256];      /* about the log */
};

/* --- event.c --- */

/* A new event with "event", "boottime_ns" (at_ns; -1: now) and "time" in it; NULL when memory is gone. */
json_t *lg_event_new(const struct lg_monitor *monitor, const char *name, int64_t at_ns);
void lg_event_set(json_t *event, const char *name, json_t *value);   /* steals value; NULLs are dropped */
void lg_event_send(const struct lg_monitor *monitor, json_t *event); /* steals */
/* Logs `message` with the error unless the same was said last into `complaint`; NULL error: all is well again. */
void lg_complain(
	char complaint[static 256], const char *message, const char *subject, const struct lg_error *error);
void lg_event_step(void *arg, const struct lg_rollback_event *step); /* lg_rollback_progress */
void lg_event_rollback(const struct lg_monitor *monitor, const struct lg_ward *ward,
	const struct lg_rollback_outcome *outcome, const struct lg_error *error);

/* --- watch.c --- */

int lg_watch_open(struct lg_monitor *monitor, struct lg_error *err);
void lg_watch_close(struct lg_monitor *monitor);
void lg_watch_tick(struct lg_monitor *monitor); /* samples everything; watches that fire are owed */
/* All triggers of the service; nothing stays owed. */
void lg_watch_reset(struct lg_monitor *monitor, const struct lg_ward *ward);
enum lg_verdict lg_watch_verdict(const struct lg_monitor *monitor, const struct lg_ward *ward);

/* --- good.c --- */

/* Looks what changed the scopes; after somebody's rollback the windows of the service begin empty. */
void lg_good_follow(struct lg_monitor *monitor);
void lg_good_tick(struct lg_monitor *monitor); /* feeds the bakes, writes marks */

/* --- evidence.c --- */

struct lg_case {
	struct lg_evidence evidence;
	uint8_t scope_hash[LG_HASH_SIZE];
	char *irreversible; /* behind evidence.irreversible */
};
int lg_case_gather(struct lg_monitor *monitor, const struct lg_watch *watch, struct lg_case *ret_case,
	struct lg_error *err);
void lg_case_clear(struct lg_case *c);
/* Was this revision written by a rollback? */
int lg_case_is_rollback(struct lg_monitor *monitor, uint64_t revision, bool *ret_is, struct lg_error *err);
/* What the trigger saw, in words: "error rate 98% of 240 requests over 2s". */
void lg_watch_describe(const struct lg_watch *watch, char *buf, size_t size);

/* --- act.c --- */

void lg_act_tick(struct lg_monitor *monitor); /* settles what is owed */
void lg_act_recover(struct lg_monitor *monitor);

#endif
