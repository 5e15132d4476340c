/* Marks and holds: control state, folded from the control records in order.  It is small and bounded: holds until they are
 * released, every bad mark (quarantine is for ever) and the newest good ones. */
#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GOOD_MARKS_KEPT 256
#define BAD_MARKS_KEPT  4096

static void clear_hold(struct lg_hold *hold)
{
	lg_scope_clear(&hold->scope);
	free(hold->actor);
	free(hold->reason);
	free(hold->rollback);
}

static void clear_mark(struct lg_mark *mark)
{
	lg_scope_clear(&mark->scope);
	free(mark->actor);
	free(mark->reason);
}

void lg_controls_clear(struct lg_controls *controls)
{
	for (size_t i = 0; i < controls->hold_count; i++)
		clear_hold(&controls->holds[i]);
	for (size_t i = 0; i < controls->mark_count; i++)
		clear_mark(&controls->marks[i]);
	free(controls->holds);
	free(controls->marks);
	*controls = (struct lg_controls){ 0 };
}

static bool copy_string(char **ret_copy, const char *text)
{
	*ret_copy = text ? strdup(text) : NULL;
	return !text || *ret_copy;
}

static int copy_hold(const struct lg_hold *hold, struct lg_hold *copy, struct lg_error *err)
{
	*copy = (struct lg_hold){ .seq = hold->seq, .time_us = hold->time_us };
	if (copy_string(&copy->actor, hold->actor) && copy_string(&copy->reason, hold->reason) &&
		copy_string(&copy->rollback, hold->rollback))
		return lg_scope_copy(&hold->scope, &copy->scope, err);
	return lg_fail_nomem(err);
}

static int copy_mark(const struct lg_mark *mark, struct lg_mark *copy, struct lg_error *err)
{
	*copy = *mark;
	copy->scope = (struct lg_scope)LG_SCOPE_ALL;
	copy->actor = copy->reason = NULL;
	if (copy_string(&copy->actor, mark->actor) && copy_string(&copy->reason, mark->reason))
		return lg_scope_copy(&mark->scope, &copy->scope, err);
	return lg_fail_nomem(err);
}

int lg_controls_copy(const struct lg_controls *controls, struct lg_controls *ret_copy, struct lg_error *err)
{
	lg_cleanup(lg_controls_clear) struct lg_controls copy = {
		.holds = calloc(controls->hold_count + 1, sizeof *copy.holds),
		.marks = calloc(controls->mark_count + 1, sizeof *copy.marks),
	};
	if (!copy.holds || !copy.marks)
		return lg_fail_nomem(err);
	int rc = 0;
	/* counted before it is copied: half a copy is cleared, too */
	while (rc == 0 && copy.hold_count < controls->hold_count) {
		size_t i = copy.hold_count++;
		rc = copy_hold(&controls->holds[i], &copy.holds[i], err);
	}
	while (rc == 0 && copy.mark_count < controls->mark_count) {
		size_t i = copy.mark_count++;
		rc = copy_mark(&controls->marks[i], &copy.marks[i], err);
	}
	if (rc < 0)
		return rc;
	*ret_copy = copy;
	copy = (struct lg_controls){ 0 };
	return 0;
}

static void drop_mark(struct lg_controls *controls, size_t i)
{
	clear_mark(&controls->marks[i]);
	controls->mark_count--;
	memmove(&controls->marks[i], &controls->marks[i + 1],
		(controls->mark_count - i) * sizeof *controls->marks);
}

/* The oldest mark of a kind goes when there are more than `keep`. */
static void bound_marks(struct lg_controls *controls, bool good, size_t keep)
{
	size_t count = 0;
	size_t oldest = SIZE_MAX;
	for (size_t i = controls->mark_count; i-- > 0;) {
		if (controls->marks[i].good != good)
			continue;
		count++;
		oldest = i;
	}
	if (count > keep)
		drop_mark(controls, oldest);
}

static int add_hold(struct lg_controls *controls, struct lg_hold *hold, struct lg_error *err)
{
	struct lg_hold *holds = realloc(controls->holds, (controls->hold_count + 1) * sizeof *holds);
	if (!holds) {
		clear_hold(hold);
		return lg_fail_nomem(err);
	}
	controls->holds = holds;
	holds[controls->hold_count++] = *hold;
	return 0;
}

static int add_mark(struct lg_controls *controls, struct lg_mark *mark, struct lg_error *err)
{
	struct lg_mark *marks = realloc(controls->marks, (controls->mark_count + 1) * sizeof *marks);
	if (!marks) {
		clear_mark(mark);
		return lg_fail_nomem(err);
	}
	controls->marks = marks;
	marks[controls->mark_count++] = *mark;
	bound_marks(controls, mark->good, mark->good ? GOOD_MARKS_KEPT : BAD_MARKS_KEPT);
	return 0;
}

/* --- from a record's (or a checkpoint's) JSON ---------------------------------------------------------------------- */

static int damaged(struct lg_error *err, const char *what)
{
	return lg_fail(err, LG_ECORRUPT, 0, "a %s lacks a member or has a wrong one", what);
}

static int copy_text(char **ret_copy, const char *text, struct lg_error *err)
{
	*ret_copy = strdup(text ? text : "");
	return *ret_copy ? 0 : lg_fail_nomem(err);
}

static int read_hold(
	const json_t *body, const struct lg_record *meta, struct lg_hold *hold, struct lg_error *err)
{
	*hold = (struct lg_hold){ .seq = meta->seq, .time_us = meta->time_us };
	const json_t *scope = json_object_get(body, "scope");
	if (!scope)
		return damaged(err, "hold");
	int rc = lg_scope_from_json(scope, &hold->scope, err);
	const char *rollback = json_string_value(json_object_get(body, "rollback"));
	if (rc == 0)
		rc = copy_text(&hold->actor, meta->actor, err);
	if (rc == 0)
		rc = copy_text(&hold->reason, meta->reason, err);
	if (rc == 0 && rollback)
		rc = copy_text(&hold->rollback, rollback, err);
	if (rc < 0)
		clear_hold(hold);
	return rc;
}

static int read_mark(
	const json_t *body, const struct lg_record *meta, struct lg_mark *mark, struct lg_error *err)
{
	*mark = (struct lg_mark){ .seq = meta->seq, .time_us = meta->time_us };
	const char *kind = json_string_value(json_object_get(body, "mark"));
	const char *root = json_string_value(json_object_get(body, "root"));
	const json_t *revision = json_object_get(body, "revision");
	const json_t *scope = json_object_get(body, "scope");
	if (!kind || !root || !json_is_integer(revision) || !scope)
		return damaged(err, "mark");
	mark->good = strcmp(kind, "good") == 0;
	if (!mark->good && strcmp(kind, "bad") != 0 && strcmp(kind, "none") != 0)
		return damaged(err, "mark");
	mark->revision = (uint64_t)json_integer_value(revision);
	int rc = lg_hex_decode(root, mark->scope_hash, LG_HASH_SIZE, err);
	if (rc == 0)
		rc = lg_scope_from_json(scope, &mark->scope, err);
	if (rc == 0)
		rc = copy_text(&mark->actor, meta->actor, err);
	if (rc == 0)
		rc = copy_text(&mark->reason, meta->reason, err);
	if (rc < 0)
		clear_mark(mark);
	return rc;
}

static int fold_mark(
	struct lg_controls *controls, const json_t *body, const struct lg_record *record, struct lg_error *err)
{
	struct lg_mark mark;
	int rc = read_mark(body, record, &mark, err);
	if (rc < 0)
		return rc;
	for (size_t i = controls->mark_count; i-- > 0;) {
		if (controls->marks[i].revision == mark.revision &&
			lg_scope_equal(&controls->marks[i].scope, &mark.scope))
			drop_mark(controls, i);
	}
	const char *kind = json_string_value(json_object_get(body, "mark"));
	if (strcmp(kind, "none") == 0) {
		clear_mark(&mark);
		return 0;
	}
	return add_mark(controls, &mark, err);
}

static int fold_release(struct lg_controls *controls, const json_t *body, struct lg_error *err)
{
	const json_t *seq = json_object_get(body, "hold");
	if (!json_is_integer(seq))
		return damaged(err, "release");
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (controls->holds[i].seq != (uint64_t)json_integer_value(seq))
			continue;
		clear_hold(&controls->holds[i]);
		controls->hold_count--;
		memmove(&controls->holds[i], &controls->holds[i + 1],
			(controls->hold_count - i) * sizeof *controls->holds);
		break;
	}
	return 0;
}

static int fold(struct lg_controls *controls, const struct lg_record *record, struct lg_error *err)
{
	if (!((1u << record->kind) & LG_CONTROL_KINDS))
		return 0;
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	int rc = lg_record_check_body(record, err);
	if (rc == 0)
		rc = lg_json_parse(record->body, record->body_len, record->body_len, &body, err);
	if (rc < 0)
		return rc;
	if (record->kind == LG_KIND_MARK)
		return fold_mark(controls, body, record, err);
	if (record->kind == LG_KIND_RELEASE)
		return fold_release(controls, body, err);
	struct lg_hold hold;
	rc = read_hold(body, record, &hold, err);
	return rc < 0 ? rc : add_hold(controls, &hold, err);
}

int lg_controls_fold(struct lg_controls *controls, const struct lg_record *record, struct lg_error *err)
{
	int rc = fold(controls, record, err);
	if (rc < 0)
		return lg_context(err, rc == LG_EINVALID ? LG_ECORRUPT : rc, "record %" PRIu64, record->seq);
	return 0;
}

/* --- as JSON, for checkpoints: the record bodies with their seq, time, actor and reason ---------------------------- */

static json_t *with_meta(json_t *body, uint64_t seq, int64_t time_us, const char *actor, const char *reason)
{
	if (!body)
		return NULL;
	if (json_object_set_new(body, "seq", json_integer((json_int_t)seq)) < 0 ||
		json_object_set_new(body, "time_us", json_integer(time_us)) < 0 ||
		json_object_set_new(body, "actor", json_string(actor)) < 0 ||
		json_object_set_new(body, "reason", json_string(reason)) < 0) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static json_t *mark_json(
	const char *mark, uint64_t revision, const struct lg_scope *scope, const uint8_t hash[LG_HASH_SIZE])
{
	char hex[2 * LG_HASH_SIZE + 1];
	lg_hex_encode(hash, LG_HASH_SIZE, hex);
	json_t *scope_json = NULL;
	if (lg_scope_to_json(scope, &scope_json, NULL) < 0)
		return NULL;
	return json_pack("{s:s, s:I, s:s, s:o}", "mark", mark, "revision", (json_int_t)revision, "root", hex,
		"scope", scope_json);
}

static json_t *hold_json(const struct lg_scope *scope, const char *rollback)
{
	json_t *scope_json = NULL;
	if (lg_scope_to_json(scope, &scope_json, NULL) < 0)
		return NULL;
	if (!rollback)
		return json_pack("{s:o}", "scope", scope_json);
	return json_pack("{s:s, s:o}", "rollback", rollback, "scope", scope_json);
}

int lg_controls_to_json(const struct lg_controls *controls, json_t **ret_json, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = json_pack("{s:[], s:[]}", "holds", "marks");
	bool failed = !json;
	for (size_t i = 0; !failed && i < controls->hold_count; i++) {
		const struct lg_hold *hold = &controls->holds[i];
		json_t *one = with_meta(hold_json(&hold->scope, hold->rollback), hold->seq, hold->time_us,
			hold->actor, hold->reason);
		failed = json_array_append_new(json_object_get(json, "holds"), one) < 0;
	}
	for (size_t i = 0; !failed && i < controls->mark_count; i++) {
		const struct lg_mark *mark = &controls->marks[i];
		json_t *one = with_meta(
			mark_json(mark->good ? "good" : "bad", mark->revision, &mark->scope, mark->scope_hash),
			mark->seq, mark->time_us, mark->actor, mark->reason);
		failed = json_array_append_new(json_object_get(json, "marks"), one) < 0;
	}
	if (failed)
		return lg_fail_nomem(err);
	*ret_json = lg_steal_ptr(&json);
	return 0;
}

static void read_meta(const json_t *json, struct lg_record *ret_meta)
{
	*ret_meta = (struct lg_record){
		.seq = (uint64_t)json_integer_value(json_object_get(json, "seq")),
		.time_us = json_integer_value(json_object_get(json, "time_us")),
		.actor = json_string_value(json_object_get(json, "actor")),
		.reason = json_string_value(json_object_get(json, "reason")),
	};
}

int lg_controls_from_json(const json_t *json, struct lg_controls *ret_controls, struct lg_error *err)
{
	struct lg_controls controls = { 0 };
	size_t i;
	json_t *one;
	int rc = 0;
	json_array_foreach(json_object_get(json, "holds"), i, one)
	{
		struct lg_record meta;
		struct lg_hold hold;
		read_meta(one, &meta);
		rc = read_hold(one, &meta, &hold, err);
		if (rc < 0 || (rc = add_hold(&controls, &hold, err)) < 0)
			break;
	}
	json_array_foreach(rc < 0 ? NULL : json_object_get(json, "marks"), i, one)
	{
		struct lg_record meta;
		struct lg_mark mark;
		read_meta(one, &meta);
		rc = read_mark(one, &meta, &mark, err);
		if (rc < 0 || (rc = add_mark(&controls, &mark, err)) < 0)
			break;
	}
	if (rc < 0) {
		lg_controls_clear(&controls);
		return rc;
	}
	*ret_controls = controls;
	return 0;
}

/* --- questions and bodies ------------------------------------------------------------------------------------------ */

const struct lg_hold *lg_controls_held(const struct lg_controls *controls, const char *key, size_t len)
{
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (lg_scope_covers(&controls->holds[i].scope, key, len))
			return &controls->holds[i];
	}
	return NULL;
}

const struct lg_controls *lg_config_controls(struct lg_config *config)
{
	return &config->controls;
}

bool lg_config_is_quarantined(
	struct lg_config *config, const struct lg_scope *scope, const uint8_t scope_hash[LG_HASH_SIZE])
{
	for (size_t i = 0; i < config->controls.mark_count; i++) {
		const struct lg_mark *mark = &config->controls.marks[i];
		if (!mark->good && lg_scope_equal(&mark->scope, scope) &&
			memcmp(mark->scope_hash, scope_hash, LG_HASH_SIZE) == 0)
			return true;
	}
	return false;
}

static int add_body(struct lg_buf *buf, json_t *body, struct lg_error *err)
{
	if (!body)
		return lg_fail_nomem(err);
	int rc = lg_json_canonical(body, buf, err);
	json_decref(body);
	return rc;
}

int lg_control_mark(struct lg_buf *buf, const char *mark, uint64_t revision, const struct lg_scope *scope,
	const uint8_t scope_hash[LG_HASH_SIZE], struct lg_error *err)
{
	return add_body(buf, mark_json(mark, revision, scope, scope_hash), err);
}

int lg_control_hold(
	struct lg_buf *buf, const struct lg_scope *scope, const char *rollback, struct lg_error *err)
{
	return add_body(buf, hold_json(scope, rollback), err);
}

int lg_control_release(struct lg_buf *buf, uint64_t hold_seq, struct lg_error *err)
{
	return add_body(buf, json_pack("{s:I}", "hold", (json_int_t)hold_seq), err);
}
