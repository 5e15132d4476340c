/* plan.json: a plan as it was shown, with everything that a later process needs to finish or reverse it.  Its hash covers
 * what it does (kind, scope, states before and after, steps, topology, author), not when and under which id. */
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
	lg_changeset_add_body(&plan->file_changes, &body);
	lg_buf_addc(&body, '}');
	json_t *changes = NULL;
	int rc = lg_buf_check(&body, err);
	if (rc == 0)
		rc = lg_json_parse(body.data, body.len, body.len, &changes, err);
	if (rc == 0 && json_object_set_new(json, "file_changes", changes) < 0)
		rc = lg_fail_nomem(err);
	return rc;
}

/* What the hash covers. */
static int essence(const struct lg_rollback_plan *plan, json_t **ret_json, struct lg_error *err)
{
	json_t *scope = NULL;
	int rc = lg_scope_to_json(&plan->scope, &scope, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_json_freep) json_t *json = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:o}", "format",
		PLAN_FORMAT, "kind", "config", "target", plan->target, "why", plan->why, "actor", plan->actor,
		"reason", plan->reason, "automatic", plan->automatic, "emergency", plan->emergency, "from",
		(json_int_t)plan->from, "suspect", (json_int_t)plan->suspect, "scope", scope, "from_hash",
		hex(plan->from_hash, LG_HASH_SIZE), "to_hash", hex(plan->to_hash, LG_HASH_SIZE), "topology",
		hex(plan->topology, sizeof plan->topology), "changes", (json_int_t)plan->changes, "steps",
		steps_json(plan));
	if (!json)
		return lg_fail_nomem(err);
	if (plan->is_file)
		rc = add_changes(json, plan, err);
	else if (json_object_set_new(json, "to", json_integer((json_int_t)plan->to)) < 0)
		rc = lg_fail_nomem(err);
	if (rc == 0 && plan->undo_of &&
		(json_object_set_new(json, "undo_of", json_string(plan->undo_of)) < 0 ||
			json_object_set_new(json, "undo_hold", json_integer((json_int_t)plan->undo_hold)) < 0 ||
			json_object_set_new(
				json, "undo_suspect", json_integer((json_int_t)plan->undo_suspect)) < 0))
		rc = lg_fail_nomem(err);
	if (rc < 0)
		return rc;
	*ret_json = lg_steal_ptr(&json);
	return 0;
}

int lg_plan_seal(struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = essence(plan, &json, err);
	if (rc == 0)
		rc = lg_json_canonical(json, &text, err);
	if (rc < 0)
		return rc;
	uint8_t hash[LG_HASH_SIZE];
	crypto_generichash(hash, sizeof hash, (const uint8_t *)text.data, text.len, NULL, 0);
	lg_hex_encode(hash, sizeof hash, plan->hash);
	json_t *ids = json_array();
	for (size_t i = 0; i < LG_ID_TOTAL; i++)
		json_array_append_new(ids, hex(plan->ids[i], LG_ID_SIZE));
	if (json_object_set_new(json, "ids", ids) < 0 ||
		json_object_set_new(json, "id", json_string(plan->id)) < 0 ||
		json_object_set_new(json, "hash", json_string(plan->hash)) < 0)
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

static int read_plan(const json_t *json, struct lg_rollback_plan *plan, struct lg_error *err)
{
	struct reader reader = { json, err, 0 };
	lg_autofree char *format = read_text(&reader, "format", true);
	lg_autofree char *id = read_text(&reader, "id", true);
	if (format && strcmp(format, PLAN_FORMAT) != 0)
		return lg_fail(err, LG_ENEWER, 0, "its plan has the format '%s'; this version knows '%s'",
			format, PLAN_FORMAT);
	if (id)
		snprintf(plan->id, sizeof plan->id, "%s", id);
	plan->target = read_text(&reader, "target", true);
	plan->why = read_text(&reader, "why", true);
	plan->actor = read_text(&reader, "actor", true);
	plan->reason = read_text(&reader, "reason", true);
	plan->undo_of = read_text(&reader, "undo_of", false);
	plan->automatic = json_is_true(json_object_get(json, "automatic"));
	plan->emergency = json_is_true(json_object_get(json, "emergency"));
	plan->is_file = json_object_get(json, "file_changes") != NULL;
	plan->to = read_number(&reader, "to", !plan->is_file);
	plan->from = read_number(&reader, "from", true);
	plan->suspect = read_number(&reader, "suspect", true);
	plan->changes = read_number(&reader, "changes", true);
	plan->undo_hold = read_number(&reader, "undo_hold", false);
	plan->undo_suspect = read_number(&reader, "undo_suspect", false);
	read_hex(&reader, json_object_get(json, "from_hash"), "from_hash", plan->from_hash, LG_HASH_SIZE);
	read_hex(&reader, json_object_get(json, "to_hash"), "to_hash", plan->to_hash, LG_HASH_SIZE);
	read_hex(&reader, json_object_get(json, "topology"), "topology", plan->topology, sizeof plan->topology);
	for (size_t i = 0; i < LG_ID_TOTAL; i++)
		read_hex(&reader, json_array_get(json_object_get(json, "ids"), i), "ids", plan->ids[i],
			LG_ID_SIZE);
	read_steps(&reader, plan);
	if (reader.rc == 0)
		reader.rc = lg_scope_from_json(json_object_get(json, "scope"), &plan->scope, err);
	if (reader.rc == 0 && plan->is_file)
		reader.rc =
			lg_changeset_from_body(json_object_get(json, "file_changes"), &plan->file_changes, err);
	return reader.rc;
}

static int apply_file_changes(
	struct lg_tree_edit *edit, const struct lg_rollback_plan *plan, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc >= 0 && i < plan->file_changes.count; i++) {
		const struct lg_change *change = &plan->file_changes.items[i];
		size_t len = strlen(change->key);
		rc = change->value ? lg_tree_edit_put(edit, change->key, len, change->value, change->value_len,
					     plan->from + 1, err)
				   : lg_tree_edit_remove(edit, change->key, len, err);
	}
	return rc < 0 ? rc : 0;
}

static int build_trees(struct lg_config *config, struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *to = NULL;
	int rc = lg_config_tree_at(config, plan->from, &plan->former, err);
	if (rc == 0 && !plan->is_file)
		rc = lg_config_tree_at(config, plan->to, &to, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(plan->former);
	if (!edit)
		return lg_fail_nomem(err);
	rc = plan->is_file ? apply_file_changes(edit, plan, err)
			   : lg_tree_edit_restore(edit, to, &plan->scope, plan->from + 1, err);
	if (rc < 0)
		return rc;
	plan->next = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return 0;
}

static int load(struct lg_config *config, const char *id, struct lg_rollback_plan *plan, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_rollback_path(lg_config_state_dir(config), id, "plan.json", &path, err);
	if (rc == 0)
		rc = lg_file_read(path.data, PLAN_MAX, &text, err);
	if (rc == LG_ENOTFOUND)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"there is no rollback '%s'; look with: lastgood rollback list", id);
	if (rc == 0)
		rc = lg_json_parse(text.data, text.len, PLAN_MAX, &json, err);
	if (rc == 0)
		rc = read_plan(json, plan, err);
	if (rc == 0)
		rc = build_trees(config, plan, err);
	if (rc == 0)
		rc = lg_plan_seal(plan, err);
	if (rc < 0)
		return rc;
	const char *hash = json_string_value(json_object_get(json, "hash"));
	if (!hash || strcmp(hash, plan->hash) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "its plan does not have the hash that it says");
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
