#include "config/retention.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "config/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lg_trim_plan_clear(struct lg_trim_plan *plan)
{
	free(plan->pins);
	*plan = (struct lg_trim_plan){ 0 };
}

/* --- where to cut ---------------------------------------------------------------------------------------------------- */

struct walk {
	uint64_t seq;  /* of the record visited last */
	uint64_t left; /* visits until it stops */
	int64_t since_us;
};

static int count_down(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct walk *walk = arg;
	(void)err;
	walk->seq = record->seq;
	return --walk->left == 0;
}

/* The nth newest state record at or before `to`, 0: there are fewer. */
static int nth_newest(
	struct lg_config *config, uint64_t to, uint64_t nth, uint64_t *ret_seq, struct lg_error *err)
{
	struct walk walk = { .left = nth };
	const struct lg_log_query states = {
		.to = to, .kinds = LG_STATE_KINDS, .newest_first = true, .no_body = true, .limit = nth
	};
	int rc = to ? lg_log_query(config->log, &states, count_down, &walk, err) : 0;
	if (rc < 0)
		return rc;
	*ret_seq = walk.left == 0 ? walk.seq : 0;
	return 0;
}

static int find_young(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct walk *walk = arg;
	(void)err;
	walk->seq = record->seq;
	return record->time_us >= walk->since_us;
}

/* The oldest state record that was in force within the age.  Order is seq, and a clock may have jumped: from the oldest one
 * on, the first that is young enough counts, so that rather too much is kept. */
static int oldest_in_force(
	struct lg_config *config, uint64_t first, int64_t since_us, uint64_t *ret_seq, struct lg_error *err)
{
	struct walk walk = { .since_us = since_us };
	const struct lg_log_query states = { .from = first, .kinds = LG_STATE_KINDS, .no_body = true };
	int rc = lg_log_query(config->log, &states, find_young, &walk, err);
	if (rc < 0)
		return rc;
	uint64_t young = rc == 1 ? walk.seq : config->head.seq + 1; /* all are old: the newest is in force */
	uint64_t seq = 0;
	rc = nth_newest(config, young - 1, 1, &seq, err);
	*ret_seq = seq > first ? seq : first;
	return rc;
}

static int find_cut(struct lg_config *config, const struct lg_retention *retention, uint64_t first,
	uint64_t *ret_before, struct lg_error *err)
{
	uint64_t by_count = 0, by_age = 0;
	int rc = 0;
	if (retention->revisions)
		rc = nth_newest(config, config->head.seq, retention->revisions, &by_count, err);
	if (rc == 0 && retention->age_us) {
		int64_t now_us = config->clock->realtime_us(config->clock);
		rc = oldest_in_force(config, first, now_us - retention->age_us, &by_age, err);
	}
	if (rc < 0)
		return rc;
	uint64_t before = by_count;
	if (retention->age_us && (!retention->revisions || by_age < by_count))
		before = by_age;
	*ret_before = before > first ? before : first;
	return 0;
}

/* --- what stays ------------------------------------------------------------------------------------------------------ */

struct pins {
	struct lg_pin *all;
	size_t count;
};

static int add_pin(struct pins *pins, uint64_t seq, struct lg_error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int add_pin(struct pins *pins, uint64_t seq, struct lg_error *err, const char *fmt, ...)
{
	va_list args;
	struct lg_pin *grown = reallocarray(pins->all, pins->count + 1, sizeof *grown);
	if (!grown)
		return lg_fail_nomem(err);
	pins->all = grown;
	struct lg_pin *pin = &grown[pins->count++];
	pin->seq = seq;
	va_start(args, fmt);
	vsnprintf(pin->why, sizeof pin->why, fmt, args);
	va_end(args);
	return 0;
}

/* How many good marks of this scope are newer than marks[at]. */
static int newer_goods(const struct lg_controls *controls, size_t at, uint64_t *ret_count, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf own = LG_BUF_INIT;
	lg_scope_add_canonical(&controls->marks[at].scope, &own);
	int rc = lg_buf_check(&own, err);
	*ret_count = 0;
	for (size_t i = at + 1; rc == 0 && i < controls->mark_count; i++) {
		lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
		if (!controls->marks[i].good)
			continue;
		lg_scope_add_canonical(&controls->marks[i].scope, &scope);
		rc = lg_buf_check(&scope, err);
		*ret_count += rc == 0 && scope.len == own.len && memcmp(scope.data, own.data, own.len) == 0;
	}
	return rc;
}

static int pin_known_goods(struct lg_config *config, uint64_t wanted, struct pins *pins, struct lg_error *err)
{
	const struct lg_controls *controls = &config->controls;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < controls->mark_count; i++) {
		uint64_t newer;
		if (!controls->marks[i].good)
			continue;
		rc = newer_goods(controls, i, &newer, err);
		if (rc == 0 && newer < wanted)
			rc = add_pin(pins, controls->marks[i].revision, err, "known good");
	}
	return rc;
}

/* A held scope is held at a state that somebody chose. */
static int pin_holds(struct lg_config *config, struct pins *pins, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < config->controls.hold_count; i++) {
		uint64_t seq = 0, hold = config->controls.holds[i].seq;
		rc = nth_newest(config, hold, 1, &seq, err);
		if (rc == 0 && seq)
			rc = add_pin(pins, seq, err, "held by h%" PRIu64, hold);
	}
	return rc;
}

static int pin_target(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	lg_scope_clear(&body.scope);
	return body.to ? add_pin(arg, body.to, err, "what r%" PRIu64 " went back to", record->seq) : 0;
}

/* A restore that stays is read through the state that it went back to. */
static int pin_targets(struct lg_config *config, uint64_t before, struct pins *pins, struct lg_error *err)
{
	const struct lg_log_query restores = { .from = before, .kinds = 1u << LG_KIND_RESTORE };
	return lg_log_query(config->log, &restores, pin_target, pins, err);
}

static int compare_pins(const void *a, const void *b)
{
	const struct lg_pin *x = a, *y = b;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Ascending, each once, only those that are there and would go. */
static int settle_pins(struct lg_config *config, uint64_t before, struct pins *pins, struct lg_error *err)
{
	size_t kept = 0;
	if (pins->count)
		qsort(pins->all, pins->count, sizeof *pins->all, compare_pins);
	for (size_t i = 0; i < pins->count; i++) {
		const struct lg_pin pin = pins->all[i];
		struct lg_error gone = LG_ERROR_INIT;
		if (pin.seq == 0 || pin.seq >= before || (kept && pins->all[kept - 1].seq == pin.seq))
			continue;
		int rc = lg_log_has(config->log, pin.seq, pin.seq, &gone);
		if (rc < 0 && rc != LG_ENOTFOUND)
			return lg_fail(err, rc, 0, "%s", gone.message);
		if (rc == 0)
			pins->all[kept++] = pin;
	}
	pins->count = kept;
	return 0;
}

static int gather_pins(struct lg_config *config, const struct lg_retention *retention, uint64_t before,
	struct pins *pins, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < retention->pin_count; i++)
		rc = add_pin(pins, retention->pins[i].seq, err, "%s", retention->pins[i].why);
	if (rc == 0)
		rc = pin_known_goods(config, retention->known_good, pins, err);
	if (rc == 0)
		rc = pin_holds(config, pins, err);
	if (rc == 0)
		rc = pin_targets(config, before, pins, err);
	return rc < 0 ? rc : settle_pins(config, before, pins, err);
}

/* --- the plan -------------------------------------------------------------------------------------------------------- */

struct count {
	const struct lg_trim_plan *plan;
	uint64_t records, revisions;
};

static int count_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct count *count = arg;
	const struct lg_pin pin = { .seq = record->seq };
	(void)err;
	if (count->plan->pin_count &&
		bsearch(&pin, count->plan->pins, count->plan->pin_count, sizeof pin, compare_pins))
		return 0;
	count->records++;
	count->revisions += lg_kind_is_state(record->kind);
	return 0;
}

static int count_gone(struct lg_config *config, struct lg_trim_plan *plan, struct lg_error *err)
{
	struct count count = { .plan = plan };
	const struct lg_log_query old = { .from = 1, .to = plan->before - 1, .no_body = true };
	int rc = plan->before > 1 ? lg_log_query(config->log, &old, count_record, &count, err) : 0;
	plan->records = count.records;
	plan->revisions = count.revisions;
	return rc;
}

static int make_plan(struct lg_config *config, const struct lg_retention *retention, struct lg_trim_plan *plan,
	struct lg_error *err)
{
	struct pins pins = { 0 };
	int rc = lg_config_refresh_locked(config, err);
	plan->head = config->head.seq;
	if (rc == 0)
		rc = lg_log_first(config->log, &plan->first, err);
	if (rc < 0 || plan->first == 0)
		return rc;
	rc = find_cut(config, retention, plan->first, &plan->before, err);
	if (rc == 0)
		rc = gather_pins(config, retention, plan->before, &pins, err);
	plan->pins = pins.all;
	plan->pin_count = pins.count;
	return rc < 0 ? rc : count_gone(config, plan, err);
}

int lg_config_trim_plan(struct lg_config *config, const struct lg_retention *retention,
	struct lg_trim_plan *ret_plan, struct lg_error *err)
{
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan plan = { 0 };
	lg_config_lock(config);
	int rc = make_plan(config, retention, &plan, err);
	lg_config_unlock(config);
	if (rc < 0)
		return rc;
	*ret_plan = plan;
	plan = (struct lg_trim_plan){ 0 };
	return 0;
}

/* --- doing it -------------------------------------------------------------------------------------------------------- */

static int take_hash(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct lg_log_head *head = arg;
	(void)err;
	head->seq = record->seq;
	memcpy(head->hash, record->hash, LG_HASH_SIZE);
	return 0;
}

/* Of a record, or of the gap that ends there. */
static int head_at(struct lg_config *config, uint64_t seq, struct lg_log_head *ret_head, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = lg_log_gap(config->log, seq, &gap, err);
	if (rc == 1 && gap.last == seq) {
		ret_head->seq = seq;
		memcpy(ret_head->hash, gap.hash, LG_HASH_SIZE);
		return 0;
	}
	return rc < 0 ? rc : lg_log_get_bare(config->log, seq, take_hash, ret_head, err);
}

static int fold(void *arg, const struct lg_record *record, struct lg_error *err)
{
	return lg_controls_fold(arg, record, err);
}

static int write_checkpoint(struct lg_config *config, const struct lg_log_head *at,
	const struct lg_state *state, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	int rc = lg_checkpoint_encode(at, state->revision, state->tree, &state->controls, &data, err);
	struct lg_log_checkpoint checkpoint = { .seq = at->seq, .data = data.data, .len = data.len };
	memcpy(checkpoint.hash, at->hash, LG_HASH_SIZE);
	return rc < 0 ? rc : lg_log_checkpoint_write(config->log, &checkpoint, err);
}

int lg_checkpoint_at(struct lg_config *config, uint64_t seq, struct lg_error *err)
{
	struct lg_error none = LG_ERROR_INIT;
	struct lg_log_head at = { 0 };
	uint64_t found = 0;
	int rc = lg_log_checkpoint_find(config->log, seq, &found, &none);
	if (rc < 0 && rc != LG_ENOTFOUND)
		return lg_fail(err, rc, 0, "%s", none.message);
	lg_cleanup(lg_state_clear) struct lg_state state = { 0 };
	rc = lg_state_load(config, seq, &state, err);
	/* one that was there and could be read is good enough */
	if (rc < 0 || (found == seq && state.base_seq == seq))
		return rc;
	const struct lg_log_query controls = {
		.from = state.base_seq + 1, .to = seq, .kinds = LG_CONTROL_KINDS
	};
	if (state.base_seq < seq)
		rc = lg_log_query(config->log, &controls, fold, &state.controls, err);
	if (rc == 0)
		rc = head_at(config, seq, &at, err);
	return rc < 0 ? rc : write_checkpoint(config, &at, &state, err);
}

static int trim_body(
	struct lg_config *config, const struct lg_trim_plan *plan, struct lg_buf *body, struct lg_error *err)
{
	char hex[2 * LG_HASH_SIZE + 1];
	int rc = 0;
	lg_buf_addf(body, "{\"before\":%" PRIu64 ",\"kept\":[", plan->before);
	for (size_t i = 0; rc == 0 && i < plan->pin_count; i++) {
		struct lg_log_head at = { 0 };
		rc = head_at(config, plan->pins[i].seq, &at, err);
		lg_hex_encode(at.hash, LG_HASH_SIZE, hex);
		lg_buf_addf(body, "%s{\"hash\":\"%s\",\"seq\":%" PRIu64 "}", i ? "," : "", hex, at.seq);
	}
	lg_buf_adds(body, "]}");
	return rc < 0 ? rc : lg_buf_check(body, err);
}

/* --- restores that come meanwhile ------------------------------------------------------------------------------------ */

struct cut {
	uint64_t seq; /* of the record that says so, 0: none does */
	uint64_t before;
	uint64_t to; /* asked for */
	bool kept;   /* that one is */
};

static int read_cut(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct cut *cut = arg;
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	int rc = lg_json_parse(record->body, record->body_len, record->body_len, &body, err);
	if (rc < 0)
		return rc;
	size_t i;
	const json_t *kept;
	cut->seq = record->seq;
	cut->before = (uint64_t)json_integer_value(json_object_get(body, "before"));
	json_array_foreach(json_object_get(body, "kept"), i, kept) cut->kept |=
		(uint64_t)json_integer_value(json_object_get(kept, "seq")) == cut->to;
	return 1;
}

/* Whoever goes back behind a recorded cut would be left without what he goes back to: it is about to be dropped. */
int lg_check_not_cut(struct lg_config *config, uint64_t to, struct lg_error *err)
{
	struct cut cut = { .to = to };
	const struct lg_log_query newest = { .kinds = 1u << LG_KIND_TRIM, .newest_first = true, .limit = 1 };
	int rc = to ? lg_log_query(config->log, &newest, read_cut, &cut, err) : 0;
	if (rc < 0 || to + 1 >= cut.before || cut.kept)
		return rc < 0 ? rc : 0;
	return lg_fail(
		err, LG_ENOTFOUND, 0, "retention is dropping r%" PRIu64 ", as r%" PRIu64 " says", to, cut.seq);
}

struct meanwhile {
	const struct lg_trim_plan *plan;
	uint64_t seq;
};

static int find_beheaded(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct meanwhile *meanwhile = arg;
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	lg_scope_clear(&body.scope);
	const struct lg_pin pin = { .seq = body.to };
	const struct lg_trim_plan *plan = meanwhile->plan;
	meanwhile->seq = record->seq;
	return body.to && body.to < plan->before &&
		!(plan->pin_count && bsearch(&pin, plan->pins, plan->pin_count, sizeof pin, compare_pins));
}

/* A restore that was recorded between the plan and the record of the trim.  One behind that is refused (lg_check_not_cut). */
static int check_meanwhile(struct lg_config *config, const struct lg_trim_plan *plan, struct lg_error *err)
{
	struct meanwhile meanwhile = { .plan = plan };
	const struct lg_log_query restores = { .from = plan->head + 1, .kinds = 1u << LG_KIND_RESTORE };
	int rc = lg_log_query(config->log, &restores, find_beheaded, &meanwhile, err);
	if (rc != 1)
		return rc;
	return lg_fail(err, LG_ECONFLICT, 0,
		"r%" PRIu64 " meanwhile went back to what would be dropped; nothing was: try again",
		meanwhile.seq);
}

struct anchors {
	const struct lg_trim_plan *plan;
	uint64_t *all;
	size_t count;
};

static int add_anchor(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct anchors *anchors = arg;
	const struct lg_trim_plan *plan = anchors->plan;
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	lg_scope_clear(&body.scope);
	const struct lg_pin pin = { .seq = body.to };
	if (body.to == 0 || body.to >= plan->before ||
		(plan->pin_count && bsearch(&pin, plan->pins, plan->pin_count, sizeof pin, compare_pins)))
		return 0;
	uint64_t *grown = reallocarray(anchors->all, anchors->count + 1, sizeof *grown);
	if (!grown)
		return lg_fail_nomem(err);
	anchors->all = grown;
	grown[anchors->count++] = record->seq;
	return 0;
}

/* The record that a restore went back to was lost, and a checkpoint alone still knows its state.  That goes, so the restore
 * gets one of its own while it can be made. */
static int anchor_restores(struct lg_config *config, const struct lg_trim_plan *plan, struct lg_error *err)
{
	struct anchors anchors = { .plan = plan };
	const struct lg_log_query restores = {
		.from = plan->before, .to = plan->head, .kinds = 1u << LG_KIND_RESTORE
	};
	int rc = lg_log_query(config->log, &restores, add_anchor, &anchors, err);
	for (size_t i = 0; rc == 0 && i < anchors.count; i++) {
		struct lg_error why = LG_ERROR_INIT;
		rc = lg_checkpoint_at(config, anchors.all[i], &why);
		if (rc == LG_ENOTFOUND)
			rc = 0; /* it cannot be read now either */
		else if (rc < 0)
			rc = lg_fail(err, rc, 0, "%s", why.message);
	}
	free(anchors.all);
	return rc;
}

static int write_checkpoints(struct lg_config *config, const struct lg_trim_plan *plan, struct lg_error *err)
{
	int rc = 0;
	lg_config_lock(config);
	for (size_t i = 0; rc == 0 && i < plan->pin_count; i++)
		rc = lg_checkpoint_at(config, plan->pins[i].seq, err);
	if (rc == 0)
		rc = lg_checkpoint_at(config, plan->before - 1, err);
	if (rc == 0)
		rc = anchor_restores(config, plan, err);
	lg_config_unlock(config);
	return rc;
}

static int cut_off(struct lg_config *config, const struct lg_trim_plan *plan, struct lg_error *err)
{
	lg_autofree uint64_t *keep = calloc(plan->pin_count + 1, sizeof *keep);
	if (!keep)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < plan->pin_count; i++)
		keep[i] = plan->pins[i].seq;
	lg_config_lock(config);
	int rc = check_meanwhile(config, plan, err);
	if (rc == 0)
		rc = lg_log_trim(config->log, plan->before, keep, plan->pin_count, err);
	lg_touch_forget(config);
	lg_cache_clear(config); /* what is gone is gone, whether it was read lately or not */
	lg_config_unlock(config);
	return rc;
}

static int trim(struct lg_config *config, const struct lg_trim_plan *plan, const struct lg_author *author,
	struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	int rc = write_checkpoints(config, plan, err);
	if (rc == 0) {
		lg_config_lock(config);
		rc = trim_body(config, plan, &body, err);
		lg_config_unlock(config);
	}
	const struct lg_control control = { LG_KIND_TRIM, body.data, body.len };
	if (rc == 0)
		rc = lg_config_control(config, author, &control, 1, NULL, err);
	return rc < 0 ? rc : cut_off(config, plan, err);
}

int lg_config_trim(struct lg_config *config, const struct lg_trim_plan *plan, const struct lg_author *author,
	struct lg_error *err)
{
	if (plan->before <= 1 || plan->records == 0)
		return 0;
	int rc = trim(config, plan, author, err);
	return rc < 0 ? lg_context(err, rc, "the history was not trimmed, or not wholly") : 0;
}
