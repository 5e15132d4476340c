/* trigger.c - when a rule fires.
 *
 * Two layers.  The window turns samples into a verdict: for error_rate the counts of the last `window`, for http the
 * answer itself.  The run turns verdicts into a state:
 *
 *	state    verdict       what happens
 *	clear    bad           a run begins                                    → pending, or fired when that is enough
 *	pending  bad           the time since the last bad sample is added     → fired at the limit, once the cooldown is over
 *	pending  good          the run ends                                    → clear
 *	pending  inconclusive  nothing is added; a gap over gap_ns ends it     → pending or clear
 *	fired    good          the time since the last good sample is added    → clear after `clear`
 *	fired    bad           what was gathered towards clearing is lost      → fired
 *
 * Time is only counted between two neighbouring samples of the same verdict, so time without data never counts, and two
 * samples further apart than gap_ns are no neighbours (a suspended machine, a monitor that stood still).
 */
#include "health/health.h"

#include <stdlib.h>

/* Memory is fixed, so samples that lie closer together than a thousandth of the window share a slot. */
#define WINDOW_SLOTS ((size_t)1024)

struct slot {
	int64_t boottime_ns; /* of the first sample in it */
	int64_t requests;
	int64_t errors;
};

/* Consecutive samples of one verdict: how long, how many. */
struct run {
	int64_t last_ns; /* newest sample of the run; -1: no run */
	int64_t gathered_ns;
	int64_t count;
	bool broken; /* an inconclusive sample lies behind last_ns */
};

struct lg_trigger {
	const struct lg_trigger_spec *spec;
	enum lg_trigger_state state;
	enum lg_verdict verdict;
	int64_t newest_ns;
	int64_t gap_ns;
	int64_t bad_since_ns;
	int64_t fired_ns; /* for the cooldown; -1: never */
	struct run bad, good;
	int64_t requests, errors; /* sums over the slots in use */
	size_t first, used;
	struct slot slots[WINDOW_SLOTS];
};

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void run_end(struct run *run)
{
	*run = (struct run){ .last_ns = -1 };
}

static void run_extend(struct run *run, int64_t now, int64_t gap_ns)
{
	if (run->last_ns >= 0 && now - run->last_ns > gap_ns)
		run_end(run);
	if (run->last_ns >= 0 && !run->broken)
		run->gathered_ns += now - run->last_ns;
	run->last_ns = now;
	run->broken = false;
	run->count++;
}

static void run_skip(struct run *run, int64_t now, int64_t gap_ns)
{
	if (run->last_ns < 0)
		return;
	run->broken = true;
	if (now - run->last_ns > gap_ns)
		run_end(run);
}

struct lg_trigger *lg_trigger_new(const struct lg_trigger_spec *spec, struct lg_error *err)
{
	struct lg_trigger *trigger = calloc(1, sizeof *trigger);
	if (!trigger) {
		lg_fail_nomem(err);
		return NULL;
	}
	trigger->spec = spec;
	trigger->gap_ns = lg_trigger_gap_ns(spec);
	lg_trigger_reset(trigger, false);
	return trigger;
}

void lg_trigger_free(struct lg_trigger *trigger)
{
	free(trigger);
}

int64_t lg_trigger_gap_ns(const struct lg_trigger_spec *spec)
{
	if (spec->signal == LG_SIGNAL_ERROR_RATE)
		return spec->window_ns;
	/* "in a row" asks for order alone */
	return spec->consecutive > 0 ? INT64_MAX : max64(spec->window_ns, spec->for_ns);
}

void lg_trigger_reset(struct lg_trigger *trigger, bool keep_cooldown)
{
	trigger->state = LG_TRIGGER_CLEAR;
	trigger->verdict = LG_VERDICT_INCONCLUSIVE;
	trigger->bad_since_ns = -1;
	if (!keep_cooldown)
		trigger->fired_ns = -1;
	run_end(&trigger->bad);
	run_end(&trigger->good);
	trigger->requests = 0;
	trigger->errors = 0;
	trigger->first = 0;
	trigger->used = 0;
}

/* --- the window ------------------------------------------------------------------------------------------------- */

static struct slot *slot_at(struct lg_trigger *trigger, size_t i)
{
	return &trigger->slots[(trigger->first + i) % WINDOW_SLOTS];
}

static void slot_drop_oldest(struct lg_trigger *trigger)
{
	struct slot *oldest = slot_at(trigger, 0);
	trigger->requests -= oldest->requests;
	trigger->errors -= oldest->errors;
	trigger->first = (trigger->first + 1) % WINDOW_SLOTS;
	trigger->used--;
}

static void window_add(struct lg_trigger *trigger, int64_t now, int64_t requests, int64_t errors)
{
	/* a reader that counted nonsense must not overflow the sums */
	const int64_t limit = INT64_MAX / 2 / (int64_t)WINDOW_SLOTS;
	requests = requests < 0 ? 0 : requests > limit ? limit : requests;
	errors = errors < 0 ? 0 : errors > requests ? requests : errors;
	while (trigger->used > 0 && now - slot_at(trigger, 0)->boottime_ns >= trigger->spec->window_ns)
		slot_drop_oldest(trigger);
	if (requests == 0)
		return;
	struct slot *newest = trigger->used > 0 ? slot_at(trigger, trigger->used - 1) : NULL;
	if (newest && now - newest->boottime_ns < trigger->spec->window_ns / (int64_t)(WINDOW_SLOTS - 1) &&
		newest->requests <= limit - requests) {
		newest->requests += requests;
		newest->errors += errors;
	} else {
		if (trigger->used == WINDOW_SLOTS)
			slot_drop_oldest(trigger);
		*slot_at(trigger, trigger->used++) =
			(struct slot){ .boottime_ns = now, .requests = requests, .errors = errors };
	}
	trigger->requests += requests;
	trigger->errors += errors;
}

static bool is_above(int64_t errors, int64_t requests, double threshold)
{
	return requests > 0 && (double)errors > threshold * (double)requests;
}

static enum lg_verdict window_verdict(const struct lg_trigger *trigger)
{
	if (trigger->requests == 0 || trigger->requests < trigger->spec->min_samples)
		return LG_VERDICT_INCONCLUSIVE;
	return is_above(trigger->errors, trigger->requests, trigger->spec->threshold) ? LG_VERDICT_BAD
										      : LG_VERDICT_GOOD;
}

/* A window full of good requests turns bad only some time after the errors began.  What counts for blaming a change is
 * when they began: the oldest slot of those that are bad in themselves, back to back up to the newest. */
static int64_t symptoms_began(struct lg_trigger *trigger, int64_t now)
{
	int64_t began = now;
	for (size_t i = trigger->used; i > 0; i--) {
		const struct slot *slot = slot_at(trigger, i - 1);
		if (!is_above(slot->errors, slot->requests, trigger->spec->threshold))
			break;
		began = slot->boottime_ns;
	}
	return began;
}

/* --- the run ---------------------------------------------------------------------------------------------------- */

static bool limit_reached(const struct lg_trigger *trigger)
{
	const struct lg_trigger_spec *spec = trigger->spec;
	if (spec->signal == LG_SIGNAL_HTTP && spec->consecutive > 0)
		return trigger->bad.count >= spec->consecutive;
	return trigger->bad.gathered_ns >= spec->for_ns;
}

static bool feed_bad(struct lg_trigger *trigger, int64_t now)
{
	run_end(&trigger->good);
	run_extend(&trigger->bad, now, trigger->gap_ns);
	if (trigger->state == LG_TRIGGER_FIRED)
		return false;
	if (trigger->bad.count == 1)
		trigger->bad_since_ns = symptoms_began(trigger, now);
	trigger->state = LG_TRIGGER_PENDING;
	if (!limit_reached(trigger))
		return false;
	if (trigger->fired_ns >= 0 && now - trigger->fired_ns < trigger->spec->cooldown_ns)
		return false;
	trigger->state = LG_TRIGGER_FIRED;
	trigger->fired_ns = now;
	return true;
}

static void become_clear(struct lg_trigger *trigger)
{
	trigger->state = LG_TRIGGER_CLEAR;
	trigger->bad_since_ns = -1;
	run_end(&trigger->bad);
	run_end(&trigger->good);
}

static void feed_good(struct lg_trigger *trigger, int64_t now)
{
	if (trigger->state != LG_TRIGGER_FIRED) {
		become_clear(trigger);
		return;
	}
	run_end(&trigger->bad);
	run_extend(&trigger->good, now, trigger->gap_ns);
	if (trigger->good.gathered_ns >= trigger->spec->clear_ns)
		become_clear(trigger);
}

static void feed_inconclusive(struct lg_trigger *trigger, int64_t now)
{
	run_skip(&trigger->bad, now, trigger->gap_ns);
	run_skip(&trigger->good, now, trigger->gap_ns);
	if (trigger->state == LG_TRIGGER_PENDING && trigger->bad.last_ns < 0)
		become_clear(trigger);
}

bool lg_trigger_feed(struct lg_trigger *trigger, const struct lg_sample *sample)
{
	int64_t now = max64(sample->boottime_ns, trigger->newest_ns);
	trigger->newest_ns = now;
	if (trigger->spec->signal == LG_SIGNAL_ERROR_RATE) {
		window_add(trigger, now, sample->requests, sample->errors);
		trigger->verdict = window_verdict(trigger);
	} else {
		trigger->verdict = sample->verdict;
	}
	switch (trigger->verdict) {
	case LG_VERDICT_BAD:
		return feed_bad(trigger, now);
	case LG_VERDICT_GOOD:
		feed_good(trigger, now);
		return false;
	case LG_VERDICT_INCONCLUSIVE:
		break;
	}
	feed_inconclusive(trigger, now);
	return false;
}

/* --- what it says ----------------------------------------------------------------------------------------------- */

enum lg_trigger_state lg_trigger_state(const struct lg_trigger *trigger)
{
	return trigger->state;
}

enum lg_verdict lg_trigger_verdict(const struct lg_trigger *trigger)
{
	return trigger->verdict;
}

int64_t lg_trigger_bad_since_ns(const struct lg_trigger *trigger)
{
	return trigger->bad_since_ns;
}

double lg_trigger_rate(const struct lg_trigger *trigger)
{
	if (trigger->spec->signal == LG_SIGNAL_HTTP)
		return trigger->bad.count > 0 ? 1.0 : 0.0;
	return trigger->requests > 0 ? (double)trigger->errors / (double)trigger->requests : 0.0;
}

int64_t lg_trigger_requests(const struct lg_trigger *trigger)
{
	return trigger->spec->signal == LG_SIGNAL_HTTP ? trigger->bad.count : trigger->requests;
}
