/* plan.json: a plan as it was shown, with everything that a later process needs to finish or reverse it.
 *
 * Its hash covers what it does (kind, scope, states before and after, steps, topology, author), not when, under which id
 * or on which revision: changes elsewhere leave it as it is.  Its seal covers every member. */
#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_FORMAT "lastgood plan 1"
#define PLAN_MAX    ((size_t)512 * 1024 * 1024)

int lg_rollback_id_check(const char *id, struct lg_error *err)
{
	if (*id && strlen(id) < LG_ROLLBACK_ID_SIZE && strspn(id, "0123456789abcdef-") == strlen(id))
		return 0;
	return lg_fail(
		err, LG_EINVALID, 0, "'%s' is no id of a rollback; look with: lastgood rollback list", id);
}

int lg_rollback_path(
	const char *state_dir, const char *id, const char *name, struct lg_buf *ret_path, struct lg_error *err)
{
	int rc = lg_rollback_id_check(id, err);
	if (rc < 0)
		return rc;
	lg_buf_addf(ret_path, "%s/rollbacks/%s%s%s", state_dir, id, *name ? "/" : "", name);
	return lg_buf_check(ret_path, err);
}

/* --- fields as JSON ---------------------------------------------------------------------------------------------------- */

static json_t *hex(const uint8_t *data, size_t len)
{
	char text[2 * LG_HASH_SIZE + 1];
	lg_hex_encode(data, len, text);
	return json_string(text);
}

static json_t *steps_json(const struct lg_rollback_plan *plan)
{
	json_t *steps = json_array();
	for (size_t i = 0; steps && i < plan->step_count; i++) {
		json_t *step = json_pack("{s:s}", "step", lg_step_name(plan->steps[i].kind));
		if (step && plan->steps[i].adapter)
			json_object_set_new(step, "adapter", json_string(plan->steps[i].adapter));
		json_array_append_new(steps, step);
	}
	return steps;
}

static int add_changes(json_t *json, const struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_buf_addc(&body, '{');
	lg_changeset_add_body(&plan->explicit_changes, &body);
	lg_buf_addc(&body, '}');
	json_t *changes = NULL;
	int rc = lg_buf_check(&body, err);
	if (rc == 0)
		rc = lg_json_parse(body.data, body.len, body.len, &changes, err);
	if (rc == 0 && json_object_set_new(json, "explicit", changes) < 0)
		rc = lg_fail_nomem(err);
	return rc;
}

static int set_undo(json_t *json, const struct lg_rollback_plan *plan)
{
	if (!plan->undo_of)
		return 0;
	return json_object_set_new(json, "undo_of", json_string(plan->undo_of)) < 0 ||
			json_object_set_new(json, "takes_back", json_boolean(plan->takes_back)) < 0
		? -1
		: 0;
}

static const char *const conflict_names[] = {
	[LG_CONFLICT_REFUSE] = "refuse",
	[LG_CONFLICT_SKIP] = "skip",
	[LG_CONFLICT_FORCE] = "force",
};

static int set_revert(json_t *json, const struct lg_rollback_plan *plan)
{
	if (!plan->revert)
		return 0;
	return json_object_set_new(json, "revert", json_integer((json_int_t)plan->revert)) < 0 ||
			json_object_set_new(
				json, "on_conflict", json_string(conflict_names[plan->on_conflict])) < 0
		? -1
		: 0;
}

/* What the hash covers. */
static int essence(const struct lg_rollback_plan *plan, json_t **ret_json, struct lg_error *err)
{
	json_t *scope = NULL;
	int rc = lg_scope_to_json(&plan->scope, &scope, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_json_freep) json_t *json = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:I, s:o}", "format", PLAN_FORMAT,
		"kind", "config", "target", plan->target, "actor", plan->actor, "reason", plan->reason,
		"automatic", plan->automatic, "emergency", plan->emergency, "scope", scope, "from_hash",
		hex(plan->from_hash, LG_HASH_SIZE), "to_hash", hex(plan->to_hash, LG_HASH_SIZE), "topology",
		hex(plan->topology, sizeof plan->topology), "changes", (json_int_t)plan->changes, "steps",
		steps_json(plan));
	if (!json || set_undo(json, plan) < 0 || set_revert(json, plan) < 0)
		return lg_fail_nomem(err);
	if (plan->is_explicit)
		rc = add_changes(json, plan, err);
	else if (json_object_set_new(json, "to", json_integer((json_int_t)plan->to)) < 0)
		rc = lg_fail_nomem(err);
	if (rc < 0)
		return rc;
	*ret_json = lg_steal_ptr(&json);
	return 0;
}

/* Evidence, and what recovery needs. */
static int add_circumstances(json_t *json, const struct lg_rollback_plan *plan, struct lg_error *err)
{
	json_t *ids = json_array();
	for (size_t i = 0; i < LG_ID_TOTAL; i++)
		json_array_append_new(ids, hex(plan->ids[i], LG_ID_SIZE));
	lg_cleanup(lg_json_freep) json_t *more = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:I, s:b, s:o}",
		"id", plan->id, "hash", plan->hash, "why", plan->why, "from", (json_int_t)plan->from, "suspect",
		(json_int_t)plan->suspect, "suspect_was_good", plan->suspect_was_good, "undo_hold",
		(json_int_t)plan->undo_hold, "undo_suspect", (json_int_t)plan->undo_suspect,
		"undo_suspect_was_good", plan->undo_suspect_was_good, "ids", ids);
	if (!more || json_array_size(ids) != LG_ID_TOTAL || json_object_update(json, more) < 0 ||
		(plan->conflicts && json_object_set(json, "conflicts", plan->conflicts) < 0))
		return lg_fail_nomem(err);
	return 0;
}

static int hash_json(const json_t *json, char ret_hex[2 * LG_HASH_SIZE + 1], struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	uint8_t hash[LG_HASH_SIZE];
	int rc = lg_json_canonical(json, &text, err);
	if (rc < 0)
		return rc;
	crypto_generichash(hash, sizeof hash, (const uint8_t *)text.data, text.len, NULL, 0);
	lg_hex_encode(hash, sizeof hash, ret_hex);
	return 0;
}

int lg_plan_seal(struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	char seal[2 * LG_HASH_SIZE + 1];
	int rc = essence(plan, &json, err);
	if (rc == 0)
		rc = hash_json(json, plan->hash, err);
	if (rc == 0)
		rc = add_circumstances(json, plan, err);
	if (rc == 0)
		rc = hash_json(json, seal, err);
	if (rc < 0)
		return rc;
	if (json_object_set_new(json, "seal", json_string(seal)) < 0)
		return lg_fail_nomem(err);
	json_decref(plan->json);
	plan->json = lg_steal_ptr(&json);
	return 0;
}

int lg_plan_save(const char *state_dir, const struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf dir = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	int rc = lg_rollback_path(state_dir, plan->id, "", &dir, err);
	if (rc == 0)
		rc = lg_rollback_path(state_dir, plan->id, "plan.json", &path, err);
	if (rc == 0)
		rc = lg_dir_make(dir.data, 0700, err);
	if (rc < 0)
		return rc;
	lg_autofree char *text = json_dumps(plan->json, JSON_INDENT(1));
	if (!text)
		return lg_fail_nomem(err);
	const struct lg_replace_options options = { .mode = 0600, .refuse_exist = true };
	return lg_file_replace(path.data, text, strlen(text), &options, err);
}

/* --- and back ---------------------------------------------------------------------------------------------------------- */

struct reader {
	const json_t *json;
	struct lg_error *err;
	int rc;
};

static void wrong(struct reader *reader, const char *name)
{
	if (reader->rc == 0)
		reader->rc = lg_fail(reader->err, LG_ECORRUPT, 0, "its plan lacks '%s'", name);
}

static char *read_text(struct reader *reader, const char *name, bool required)
{
	const char *text = json_string_value(json_object_get(reader->json, name));
	if (!text && required)
		wrong(reader, name);
	char *copy = text ? strdup(text) : NULL;
	if (text && !copy && reader->rc == 0)
		reader->rc = lg_fail_nomem(reader->err);
	return copy;
}

static uint64_t read_number(struct reader *reader, const char *name, bool required)
{
	const json_t *number = json_object_get(reader->json, name);
	if ((required && !json_is_integer(number)) || json_integer_value(number) < 0)
		wrong(reader, name);
	return (uint64_t)json_integer_value(number);
}

static void read_hex(struct reader *reader, const json_t *json, const char *name, uint8_t *ret_data, size_t len)
{
	const char *text = json_string_value(json);
	struct lg_error ignored = LG_ERROR_INIT;
	if (!text || lg_hex_decode(text, ret_data, len, &ignored) < 0)
		wrong(reader, name);
}

static void read_steps(struct reader *reader, struct lg_rollback_plan *plan)
{
	const json_t *steps = json_object_get(reader->json, "steps");
	size_t count = json_array_size(steps);
	plan->steps = calloc(count + 1, sizeof *plan->steps);
	if (!plan->steps) {
		reader->rc = lg_fail_nomem(reader->err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct reader step = { json_array_get(steps, i), reader->err, 0 };
		const char *name = json_string_value(json_object_get(step.json, "step"));
		int kind = 0;
		while (name && kind < LG_STEP_KIND_COUNT &&
			strcmp(lg_step_name((enum lg_step_kind)kind), name) != 0)
			kind++;
		if (!name || kind == LG_STEP_KIND_COUNT) {
			wrong(reader, "steps");
			return;
		}
		char *adapter = read_text(&step, "adapter", kind == LG_STEP_DELIVER);
		plan->steps[plan->step_count++] = (struct lg_step){ (enum lg_step_kind)kind, adapter };
		if (step.rc < 0)
			reader->rc = step.rc;
	}
}

static void read_revert(struct reader *reader, struct lg_rollback_plan *plan)
{
	plan->revert = read_number(reader, "revert", false);
	if (!plan->revert)
		return;
	const char *name = json_string_value(json_object_get(reader->json, "on_conflict"));
	size_t i = 0, count = sizeof conflict_names / sizeof *conflict_names;
	while (name && i < count && strcmp(conflict_names[i], name) != 0)
		i++;
	if (!name || i == count)
		wrong(reader, "on_conflict");
	else
		plan->on_conflict = (enum lg_on_conflict)i;
	json_t *conflicts = json_object_get(reader->json, "conflicts");
	if (!json_is_array(conflicts))
		wrong(reader, "conflicts");
	plan->conflicts = json_incref(conflicts);
}

static int check_format(const json_t *json, struct lg_error *err)
{
	const char *format = json_string_value(json_object_get(json, "format"));
	char shown[LG_SNIPPET_SIZE];
	if (!format)
		return lg_fail(err, LG_ECORRUPT, 0, "its plan lacks 'format'");
	if (strcmp(format, PLAN_FORMAT) != 0)
		return lg_fail(err, LG_ENEWER, 0, "its plan has the format '%s'; this version knows '%s'",
			lg_text_snippet(format, shown), PLAN_FORMAT);
	return 0;
}

static int read_plan(const json_t *json, struct lg_rollback_plan *plan, struct lg_error *err)
{
	struct reader reader = { json, err, 0 };
	lg_autofree char *id = read_text(&reader, "id", true);
	if (id)
		snprintf(plan->id, sizeof plan->id, "%s", id);
	plan->target = read_text(&reader, "target", true);
	plan->why = read_text(&reader, "why", true);
	plan->actor = read_text(&reader, "actor", true);
	plan->reason = read_text(&reader, "reason", true);
	plan->undo_of = read_text(&reader, "undo_of", false);
	plan->automatic = json_is_true(json_object_get(json, "automatic"));
	plan->emergency = json_is_true(json_object_get(json, "emergency"));
	plan->is_explicit = json_object_get(json, "explicit") != NULL;
	plan->to = read_number(&reader, "to", !plan->is_explicit);
	plan->from = read_number(&reader, "from", true);
	plan->suspect = read_number(&reader, "suspect", true);
	plan->changes = read_number(&reader, "changes", true);
	plan->takes_back = json_is_true(json_object_get(json, "takes_back"));
	plan->suspect_was_good = json_is_true(json_object_get(json, "suspect_was_good"));
	plan->undo_hold = read_number(&reader, "undo_hold", true);
	plan->undo_suspect = read_number(&reader, "undo_suspect", true);
	plan->undo_suspect_was_good = json_is_true(json_object_get(json, "undo_suspect_was_good"));
	read_hex(&reader, json_object_get(json, "from_hash"), "from_hash", plan->from_hash, LG_HASH_SIZE);
	read_hex(&reader, json_object_get(json, "to_hash"), "to_hash", plan->to_hash, LG_HASH_SIZE);
	read_hex(&reader, json_object_get(json, "topology"), "topology", plan->topology, sizeof plan->topology);
	for (size_t i = 0; i < LG_ID_TOTAL; i++)
		read_hex(&reader, json_array_get(json_object_get(json, "ids"), i), "ids", plan->ids[i],
			LG_ID_SIZE);
	read_steps(&reader, plan);
	read_revert(&reader, plan);
	if (reader.rc == 0)
		reader.rc = lg_scope_from_json(json_object_get(json, "scope"), &plan->scope, err);
	if (reader.rc == 0 && plan->is_explicit)
		reader.rc =
			lg_changeset_from_body(json_object_get(json, "explicit"), &plan->explicit_changes, err);
	return reader.rc;
}

static int apply_explicit(struct lg_tree_edit *edit, const struct lg_rollback_plan *plan, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc >= 0 && i < plan->explicit_changes.count; i++) {
		const struct lg_change *change = &plan->explicit_changes.items[i];
		size_t len = strlen(change->key);
		rc = change->value ? lg_tree_edit_put(edit, change->key, len, change->value, change->value_len,
					     plan->from + 1, err)
				   : lg_tree_edit_remove(edit, change->key, len, err);
	}
	return rc < 0 ? rc : 0;
}

/* `tree` with the keys of the scope as they are in `source`. */
static int with_scope_of(struct lg_tree *tree, struct lg_tree *source, const struct lg_rollback_plan *plan,
	struct lg_tree **ret_tree, struct lg_error *err)
{
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	if (!edit)
		return lg_fail_nomem(err);
	int rc = lg_tree_edit_restore(edit, source, &plan->scope, plan->from + 1, err);
	if (rc < 0)
		return rc;
	*ret_tree = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return 0;
}

int lg_plan_rebase(struct lg_config *config, const struct lg_rollback_plan *plan, struct lg_tree **ret_former,
	struct lg_tree **ret_next, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *former = NULL;
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	int rc = with_scope_of(now.tree, plan->former, plan, &former, err);
	if (rc == 0)
		rc = with_scope_of(now.tree, plan->next, plan, ret_next, err);
	lg_snapshot_clear(&now);
	if (rc == 0)
		*ret_former = lg_steal_ptr(&former);
	return rc;
}

static int build_next(struct lg_config *config, struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *to = NULL;
	if (!plan->is_explicit) {
		int rc = lg_config_tree_at(config, plan->to, &to, err);
		return rc < 0 ? rc : with_scope_of(plan->former, to, plan, &plan->next, err);
	}
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(plan->former);
	if (!edit)
		return lg_fail_nomem(err);
	int rc = apply_explicit(edit, plan, err);
	if (rc == 0)
		plan->next = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return rc;
}

static int build_trees(struct lg_config *config, struct lg_rollback_plan *plan, struct lg_error *err)
{
	uint8_t from[LG_HASH_SIZE], to[LG_HASH_SIZE];
	int rc = lg_config_tree_at(config, plan->from, &plan->former, err);
	if (rc == 0)
		rc = build_next(config, plan, err);
	if (rc < 0)
		return rc;
	if (lg_tree_scope_hash(plan->former, &plan->scope, from) < 0 ||
		lg_tree_scope_hash(plan->next, &plan->scope, to) < 0)
		return lg_fail_nomem(err);
	if (memcmp(from, plan->from_hash, sizeof from) != 0 || memcmp(to, plan->to_hash, sizeof to) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "its states are not those that the log records");
	return 0;
}

/* Every member is under the seal, and the reader must have understood every one. */
static int check_seal(const json_t *json, struct lg_error *err)
{
	char seal[2 * LG_HASH_SIZE + 1];
	lg_cleanup(lg_json_freep) json_t *sealed = json_copy((json_t *)(uintptr_t)json);
	if (!sealed)
		return lg_fail_nomem(err);
	json_object_del(sealed, "seal");
	int rc = hash_json(sealed, seal, err);
	if (rc < 0)
		return rc;
	const char *written = json_string_value(json_object_get(json, "seal"));
	if (!written || strcmp(written, seal) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "its plan is not what was written: its seal does not fit");
	return 0;
}

static int read_json(struct lg_config *config, const char *id, json_t **ret_json, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_rollback_path(lg_config_state_dir(config), id, "plan.json", &path, err);
	if (rc == 0)
		rc = lg_file_read(path.data, PLAN_MAX, &text, err);
	if (rc == LG_ENOTFOUND)
		return lg_fail(err, LG_ENOTFOUND, 0, "it does not exist; look with: lastgood rollback list");
	if (rc < 0)
		return rc;
	rc = lg_json_parse(lg_buf_str(&text), text.len, PLAN_MAX, ret_json, err);
	return rc == LG_EINVALID ? lg_context(err, LG_ECORRUPT, "its plan") : rc;
}

static int load(struct lg_config *config, const char *id, struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = read_json(config, id, &json, err);
	if (rc == 0)
		rc = check_format(json, err);
	if (rc == 0)
		rc = check_seal(json, err);
	if (rc == 0)
		rc = read_plan(json, plan, err);
	if (rc == 0)
		rc = build_trees(config, plan, err);
	if (rc == 0)
		rc = lg_plan_seal(plan, err);
	if (rc < 0)
		return rc;
	if (strcmp(plan->id, id) != 0 || !json_equal(json, plan->json))
		return lg_fail(err, LG_ECORRUPT, 0, "its plan is not what was written");
	return 0;
}

int lg_plan_load(
	struct lg_config *config, const char *id, struct lg_rollback_plan **ret_plan, struct lg_error *err)
{
	struct lg_rollback_plan *plan = calloc(1, sizeof *plan);
	if (!plan)
		return lg_fail_nomem(err);
	int rc = load(config, id, plan, err);
	if (rc < 0) {
		lg_rollback_plan_free(plan);
		return lg_context(err, rc, "rollback '%s'", id);
	}
	*ret_plan = plan;
	return 0;
}
