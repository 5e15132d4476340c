#include "config/internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

static int parse_body(const struct lg_record *record, json_t **ret_body, struct lg_error *err)
{
	int rc = lg_record_check_body(record, err);
	if (rc == 0)
		rc = lg_json_parse(record->body, record->body_len, record->body_len, ret_body, err);
	if (rc < 0)
		return lg_context(err, rc == LG_EINVALID ? LG_ECORRUPT : rc, "record %" PRIu64, record->seq);
	return 0;
}

int lg_restore_body_parse(
	const struct lg_record *record, struct lg_restore_body *ret_body, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	int rc = parse_body(record, &body, err);
	if (rc < 0)
		return rc;
	const json_t *to = json_object_get(body, "to");
	const json_t *scope = json_object_get(body, "scope");
	json_int_t target = json_integer_value(to);
	if (!json_is_integer(to) || !scope || target < 0 || (uint64_t)target >= record->seq)
		return lg_fail(err, LG_ECORRUPT, 0, "record %" PRIu64 ": not a restore of an earlier revision",
			record->seq);
	struct lg_scope parsed;
	rc = lg_scope_from_json(scope, &parsed, err);
	if (rc < 0)
		return lg_context(err, rc == LG_EINVALID ? LG_ECORRUPT : rc, "record %" PRIu64, record->seq);
	ret_body->to = (uint64_t)target;
	ret_body->scope = parsed;
	return 0;
}

int lg_check_root(const struct lg_tree *tree, const struct lg_record *record, struct lg_error *err)
{
	uint8_t root[LG_HASH_SIZE];
	lg_tree_hash(tree, root);
	if (!record->has_root || memcmp(root, record->root, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECORRUPT, 0,
			"the state of r%" PRIu64
			" does not hash to the root that the log records; run: lastgood doctor",
			record->seq);
	return 0;
}

static int apply_change(struct lg_tree_edit *edit, const struct lg_record *record, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	int rc = parse_body(record, &body, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	rc = lg_changeset_from_body(body, &set, err);
	if (rc < 0)
		return lg_context(err, rc, "record %" PRIu64, record->seq);
	for (size_t i = 0; i < set.count; i++) {
		const struct lg_change *change = &set.items[i];
		size_t key_len = strlen(change->key);
		rc = change->value ? lg_tree_edit_put(edit, change->key, key_len, change->value,
					     change->value_len, record->seq, err)
				   : lg_tree_edit_remove(edit, change->key, key_len, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int apply_restore(struct lg_config *config, struct lg_tree_edit *edit, struct lg_tree *at_hand,
	const struct lg_record *record, struct lg_error *err)
{
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *from = at_hand ? lg_tree_ref(at_hand) : NULL;
	if (!from)
		rc = lg_state_tree_at(config, body.to, &from, err);
	if (rc == 0)
		rc = lg_tree_edit_restore(edit, from, &body.scope, record->seq, err);
	lg_scope_clear(&body.scope);
	return rc;
}

int lg_apply_record(struct lg_config *config, struct lg_tree *base, struct lg_tree *from,
	const struct lg_record *record, struct lg_tree **ret_tree, struct lg_error *err)
{
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(base);
	if (!edit)
		return lg_fail_nomem(err);
	int rc = record->kind == LG_KIND_RESTORE ? apply_restore(config, edit, from, record, err)
						 : apply_change(edit, record, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = lg_tree_edit_commit(lg_steal_ptr(&edit));
	rc = lg_check_root(tree, record, err);
	if (rc < 0)
		return rc;
	*ret_tree = lg_steal_ptr(&tree);
	return 0;
}
