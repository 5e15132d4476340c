/* health.h - probes, signals, windows, triggers → verdicts.  It judges; it never acts.
 *
 * The rules (lg_trigger_*) are pure: they are fed samples with boottime stamps and say when they fire.  Probes
 * (lg_prober_*) produce samples.  No data is inconclusive: neither good nor bad.
 */
#ifndef LG_HEALTH_HEALTH_H
#define LG_HEALTH_HEALTH_H

#include "base/error.h"
#include "host/topology.h"
#include "io/clock.h"

#include <stdbool.h>
#include <stdint.h>

/* --- triggers ------------------------------------------------------------------------------------------------------- */

enum lg_verdict { LG_VERDICT_INCONCLUSIVE, LG_VERDICT_GOOD, LG_VERDICT_BAD };

/* One observation of a signal. */
struct lg_sample {
	int64_t boottime_ns;
	enum lg_verdict verdict; /* http: this answer; error_rate: unused */
	int64_t requests;        /* error_rate: counted since the last sample */
	int64_t errors;          /* of them 5xx or no answer */
	double value;            /* for evidence: latency in s, rate */
};

enum lg_trigger_state { LG_TRIGGER_CLEAR, LG_TRIGGER_PENDING, LG_TRIGGER_FIRED };

struct lg_trigger; /* one rule's windows; fixed memory after _new */

struct lg_trigger *lg_trigger_new(
	const struct lg_trigger_spec *spec, struct lg_error *err); /* spec outlives it */
void lg_trigger_free(struct lg_trigger *trigger);
/* Feeds a sample (boottime not going back). Returns true in the one call in which it fires.
 *  - error_rate: over `window`, with at least min_samples requests, errors/requests strictly above threshold continuously
 *    for `for`; fewer requests: inconclusive, which neither adds to nor ends the run but a gap longer than `window` ends it.
 *  - http: `consecutive` bad in a row, or, with consecutive 0, bad without a good one for `for` (a gap longer than both
 *    window and `for` begins a new run).
 *  - after firing: cleared after `clear` of good; then not firing again before `cooldown` since it fired. */
bool lg_trigger_feed(struct lg_trigger *trigger, const struct lg_sample *sample);
enum lg_trigger_state lg_trigger_state(const struct lg_trigger *trigger);
enum lg_verdict lg_trigger_verdict(const struct lg_trigger *trigger); /* of the newest window */
int64_t lg_trigger_bad_since_ns(
	const struct lg_trigger *trigger); /* when the symptoms began, boottime; -1: none.
	error_rate: the first of the bad samples back to back, which may lie before the window as a whole turned bad */
double lg_trigger_rate(
	const struct lg_trigger *trigger); /* errors by requests in the window; http: 1 while bad */
int64_t lg_trigger_requests(const struct lg_trigger *trigger); /* in the window; http: failures in a row */
/* Two samples further apart are no neighbours: nothing is gathered between them, and a bad one begins a new run. A sampling
 * interval above it can never fire a rule that has a duration, so whoever feeds refuses that. INT64_MAX: no limit. */
int64_t lg_trigger_gap_ns(const struct lg_trigger_spec *spec);
/* Windows begin empty (after a rollback, a suppression). keep_cooldown: a fired trigger's cooldown goes on. */
void lg_trigger_reset(struct lg_trigger *trigger, bool keep_cooldown);

/* --- bake: when does a revision become known good ------------------------------------------------------------------- */

struct lg_bake {
	uint64_t revision;
	int64_t since_ns; /* good and unchanged since then, -1: not running */
	int64_t last_good_ns;
	bool broken; /* inconclusive since the last good */
	bool done;
	int64_t max_gap_ns; /* set after init: good samples further apart gather nothing (0: no limit) */
};
void lg_bake_init(struct lg_bake *bake);
/* `revision`: newest that changed the scope; all: verdict over every trigger of the scope (bad restarts; inconclusive
 * neither restarts nor counts: the time since the last good is not counted). true once, when bake_ns of good time gathered. */
bool lg_bake_feed(
	struct lg_bake *bake, uint64_t revision, enum lg_verdict all, int64_t boottime_ns, int64_t bake_ns);

/* --- probes ---------------------------------------------------------------------------------------------------------- */

/* Follows an access log (common, combined, or JSON lines with "status"): counts since the last call. Rotation (inode
 * changed) and truncation are followed; a torn last line waits. Starts at the end of the file. Status 5xx, 000 and "-" are errors. */
struct lg_access_log;
int lg_access_log_open(const char *path, struct lg_access_log **ret_log, struct lg_error *err);
void lg_access_log_close(struct lg_access_log *log);
/* LG_ENOTFOUND while the file is absent (try again). Reads at most 8 MiB a call. */
int lg_access_log_read(
	struct lg_access_log *log, int64_t *ret_requests, int64_t *ret_errors, struct lg_error *err);

/* One GET with a deadline: no redirects, answer body dropped beyond 64 KiB, proxies from the environment ignored. */
struct lg_http_answer {
	int status; /* 0: no answer */
	double latency_s;
	char error[256]; /* why no answer */
};
int lg_http_get(const char *url, int64_t timeout_ms, struct lg_http_answer *ret_answer, struct lg_error *err);
/* Several at once, none stalls another. answers[i] belongs to urls[i]. */
int lg_http_get_many(const char *const *urls, const int64_t *timeouts_ms, size_t count,
	struct lg_http_answer *ret_answers, struct lg_error *err);

/* The same beside the caller, in a thread of its own, for who must not wait: start, go on, collect.  A tag names a probe;
 * whoever starts sees to it that a tag is not started again before its answer was collected. */
struct lg_prober;
struct lg_probe_answer {
	size_t tag;
	struct lg_http_answer
		answer; /* status -1: the probe could not be carried out at all; says nothing of the server */
};
int lg_prober_open(struct lg_prober **ret_prober, struct lg_error *err);
void lg_prober_close(struct lg_prober *prober); /* ends what is under way */
int lg_prober_start(
	struct lg_prober *prober, size_t tag, const char *url, int64_t timeout_ms, struct lg_error *err);
/* Answers that have come, at most max; waits up to wait_ms for all that were started. */
size_t lg_prober_collect(
	struct lg_prober *prober, int64_t wait_ms, struct lg_probe_answer *ret_answers, size_t max);

#endif
