/* propose → validate → append → publish → notify.
 *
 * A draft change is validated on the tip, the newest state that anybody of this process has prepared; if what that stands on
 * does not come to be, or somebody else appends before it, the whole validation is done again (group.c).  Nothing is touched
 * before the append has succeeded. */
#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"
#include "model/schema.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void lg_committed_clear(struct lg_committed *committed)
{
	lg_tree_unref(committed->tree);
	*committed = (struct lg_committed){ 0 };
}

/* One attempt at a change. */
struct proposal {
	struct lg_config *config;
	const struct lg_commit *commit;
	struct lg_problems *problems;
	struct lg_tree *former;
	struct lg_tree_edit *edit; /* becomes the next state */
	struct lg_tree *declared;  /* former with this change's declarations: what values are checked against */
	uint64_t revision;         /* the one that this becomes */
	struct lg_changeset applied; /* what really differs, as it will be stored */
	size_t refused;
};

static void proposal_clear(struct proposal *proposal)
{
	lg_tree_unref(proposal->former);
	lg_tree_unref(proposal->declared);
	lg_tree_edit_abort(proposal->edit);
	lg_changeset_clear(&proposal->applied);
}

static bool is_declaration(const char *key)
{
	return lg_starts_with(key, LG_SCHEMA_SPACE);
}

/* --- what a value may be -------------------------------------------------------------------------------------------- */

static int schema_of(
	const struct lg_tree *tree, const char *key, struct lg_schema **ret_schema, struct lg_error *err)
{
	char name[LG_SELECTOR_MAX] = LG_SCHEMA_SPACE;
	const size_t space = strlen(LG_SCHEMA_SPACE);
	const size_t len = strlen(key);
	struct lg_entry entry;
	*ret_schema = NULL;
	if (len > sizeof name - space)
		return 0;
	memcpy(name + space, key, len);
	if (!lg_tree_get(tree, name, space + len, &entry))
		return 0;
	return lg_schema_compile(key, entry.value, entry.value_len, ret_schema, NULL, err);
}

static void schema_freep(struct lg_schema **schema)
{
	lg_schema_free(*schema);
}

/* A bare word of an env or properties file is text where text is declared. */
static bool takes_text(const struct lg_schema *schema)
{
	switch (lg_schema_type(schema)) {
	case LG_TYPE_STRING:
	case LG_TYPE_SECRET:
		return true;
	case LG_TYPE_BOOL:
	case LG_TYPE_INT:
	case LG_TYPE_FLOAT:
	case LG_TYPE_DURATION:
	case LG_TYPE_SIZE:
	case LG_TYPE_LIST:
	case LG_TYPE_OBJECT:
		return false;
	}
	return false;
}

static int seal(struct lg_config *config, const char *key, struct lg_buf *value, struct lg_error *err)
{
	if (!config->has_secret_key)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"'%s' is a secret, and '%s/secret.key' is missing; restore it from a backup", key,
			config->state_dir);
	lg_cleanup(lg_buf_clear) struct lg_buf plain = *value;
	*value = (struct lg_buf)LG_BUF_INIT;
	int rc = lg_secret_seal(config->secret_key, key, plain.data, plain.len, value, err);
	explicit_bzero(plain.data, plain.len);
	return rc;
}

/* A sealed value comes back from an export: what is inside must open here and fit the declaration. */
static int check_sealed(struct proposal *proposal, const struct lg_schema *schema,
	const struct lg_change *change, struct lg_buf *ret_value, struct lg_error *err)
{
	struct lg_config *config = proposal->config;
	lg_cleanup(lg_buf_clear) struct lg_buf plain = LG_BUF_INIT;
	struct lg_error why = LG_ERROR_INIT;
	if (schema && !lg_schema_is_secret(schema)) { /* and checking it would tell what it is */
		lg_problems_add(proposal->problems, change->key,
			"is a sealed secret, but is declared as no secret; declare it with \"secret\": true");
		return LG_EINVALID;
	}
	int rc = config->has_secret_key ? lg_secret_open(config->secret_key, change->key, change->value,
						  change->value_len, &plain, &why)
					: lg_fail(&why, LG_ENOTFOUND, 0, "'secret.key' is missing");
	if (rc < 0) {
		lg_problems_add(proposal->problems, change->key, "%s", why.message);
		return LG_EINVALID;
	}
	if (schema) {
		rc = lg_schema_check(schema, change->key, plain.data, plain.len, NULL, proposal->problems, err);
		explicit_bzero(plain.data, plain.len);
		if (rc < 0)
			return rc;
	}
	lg_buf_add(ret_value, change->value, change->value_len);
	return lg_buf_check(ret_value, err);
}

static int take_declaration(struct proposal *proposal, const struct lg_change *change, struct lg_buf *ret_value,
	struct lg_error *err)
{
	int rc;
	const char *key = change->key + strlen(LG_SCHEMA_SPACE);
	if (strcmp(change->key, LG_SCHEMA_STRICT) == 0) {
		struct lg_error why = LG_ERROR_INIT;
		rc = lg_schema_strict_check(change->value, change->value_len, &why);
		if (rc < 0)
			lg_problems_add(proposal->problems, change->key, "%s", why.message);
	} else {
		lg_cleanup(schema_freep) struct lg_schema *schema = NULL;
		rc = lg_schema_compile(key, change->value, change->value_len, &schema, proposal->problems, err);
	}
	if (rc < 0)
		return rc;
	lg_buf_add(ret_value, change->value, change->value_len);
	return lg_buf_check(ret_value, err);
}

static bool strict_covers(const struct lg_tree *tree, const char *key)
{
	struct lg_entry strict;
	return lg_tree_get(tree, LG_SCHEMA_STRICT, strlen(LG_SCHEMA_STRICT), &strict) &&
		lg_schema_strict_covers(strict.value, strict.value_len, key);
}

static int take_setting(struct proposal *proposal, const struct lg_change *change, struct lg_buf *ret_value,
	struct lg_error *err)
{
	lg_cleanup(schema_freep) struct lg_schema *schema = NULL;
	int rc = schema_of(proposal->declared, change->key, &schema, err);
	if (rc < 0)
		return rc;
	if (!schema && strict_covers(proposal->declared, change->key)) {
		lg_problems_add(proposal->problems, change->key,
			"is not declared, and strict mode is on here; declare it with: lastgood schema set");
		return LG_EINVALID;
	}
	if (lg_secret_is_sealed(change->value, change->value_len))
		return check_sealed(proposal, schema, change, ret_value, err);
	if (!schema) {
		lg_buf_add(ret_value, change->value, change->value_len);
		return lg_buf_check(ret_value, err);
	}
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	const char *value = change->value;
	size_t len = change->value_len;
	if (change->bare && takes_text(schema)) {
		lg_text_add_json_string(&text, change->bare, strlen(change->bare));
		rc = lg_buf_check(&text, err);
		value = text.data;
		len = text.len;
	}
	if (rc == 0)
		rc = lg_schema_check(schema, change->key, value, len, ret_value, proposal->problems, err);
	return rc == 0 && lg_schema_is_secret(schema) ? seal(proposal->config, change->key, ret_value, err)
						      : rc;
}

/* The value to store; problems name what is wrong with it. */
static int take_value(struct proposal *proposal, const struct lg_change *change, struct lg_buf *ret_value,
	struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	if (lg_key_check(change->key, strlen(change->key), &why) < 0) {
		lg_problems_add(proposal->problems, change->key, "%s", why.message);
		return LG_EINVALID;
	}
	if (!change->value)
		return 0;
	if (change->value_len > LG_VALUE_MAX) {
		lg_problems_add(proposal->problems, change->key,
			"the value has %zu bytes; at most %zu are allowed", change->value_len, LG_VALUE_MAX);
		return LG_EINVALID;
	}
	return is_declaration(change->key) ? take_declaration(proposal, change, ret_value, err)
					   : take_setting(proposal, change, ret_value, err);
}

/* --- may it be changed now ------------------------------------------------------------------------------------------- */

static int check_expectation(const struct lg_tree *former, const struct lg_change *change, struct lg_error *err)
{
	if (!change->has_expect)
		return 0;
	struct lg_entry entry;
	uint64_t actual = lg_tree_get(former, change->key, strlen(change->key), &entry) ? entry.change : 0;
	if (actual == change->expect_change)
		return 0;
	if (actual == 0)
		return lg_fail(err, LG_ECONFLICT, 0, "'%s' was expected at change %" PRIu64 " but is not set",
			change->key, change->expect_change);
	return lg_fail(err, LG_ECONFLICT, 0,
		"'%s' was expected at change %" PRIu64 " but was changed by r%" PRIu64
		"; look with: lastgood get %s",
		change->key, change->expect_change, actual, change->key);
}

static int check_hold(const struct proposal *proposal, const char *key, struct lg_error *err)
{
	if (proposal->commit->ignore_holds)
		return 0;
	const struct lg_hold *hold = lg_controls_held(proposal->config->group.tip.controls, key, strlen(key));
	if (!hold)
		return 0;
	lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
	lg_scope_describe(&hold->scope, &scope);
	return lg_fail(err, LG_EHELD, 0,
		"'%s' is held by h%" PRIu64 " (%s; %s): release it first with: lastgood release h%" PRIu64
		" --reason TEXT",
		key, hold->seq, lg_buf_str(&scope), hold->reason, hold->seq);
}

static bool same_as_now(
	const struct lg_tree *former, const struct lg_change *change, const struct lg_buf *value)
{
	struct lg_entry entry;
	bool found = lg_tree_get(former, change->key, strlen(change->key), &entry);
	if (!change->value)
		return !found;
	return found && entry.value_len == value->len && memcmp(entry.value, value->data, value->len) == 0;
}

/* Unsetting what is not set is a slip of the pen that its author wants to know about. */
static int refuse_absent(struct proposal *proposal, const struct lg_change *change)
{
	if (change->value)
		return 0;
	lg_problems_add(proposal->problems, change->key, "is not set");
	proposal->refused++;
	return 0;
}

static int apply_one(struct proposal *proposal, const struct lg_change *change, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	int rc = check_expectation(proposal->former, change, err);
	if (rc < 0)
		return rc;
	rc = take_value(proposal, change, &value, err);
	if (rc == LG_EINVALID) {
		proposal->refused++;
		return 0;
	}
	if (rc < 0 || same_as_now(proposal->former, change, &value))
		return rc < 0 ? rc : refuse_absent(proposal, change);
	rc = check_hold(proposal, change->key, err);
	if (rc < 0)
		return rc;
	size_t key_len = strlen(change->key);
	rc = change->value ? lg_tree_edit_put(proposal->edit, change->key, key_len, value.data, value.len,
				     proposal->revision, err)
			   : lg_tree_edit_remove(proposal->edit, change->key, key_len, err);
	if (rc < 0)
		return rc;
	return lg_changeset_add(
		&proposal->applied, change->key, key_len, change->value ? value.data : NULL, value.len, err);
}

/* --- declarations that change under existing values ------------------------------------------------------------------ */

static int restart_edit(struct proposal *proposal, struct lg_error *err)
{
	lg_tree_unref(proposal->declared);
	proposal->declared = lg_tree_edit_commit(proposal->edit);
	proposal->edit = lg_tree_edit_begin(proposal->declared);
	return proposal->edit ? 0 : lg_fail_nomem(err);
}

/* The value that `key` has, and keeps, under its new declaration: must fit, and is sealed if it became a secret. */
static int recheck_value(struct proposal *proposal, const char *key, struct lg_error *err)
{
	struct lg_entry entry;
	if (!lg_tree_get(proposal->declared, key, strlen(key), &entry))
		return 0;
	lg_cleanup(lg_buf_clear) struct lg_buf plain = LG_BUF_INIT;
	int rc = lg_config_plain(proposal->config, &entry, &plain, err);
	if (rc < 0)
		return rc;
	lg_cleanup(schema_freep) struct lg_schema *schema = NULL;
	rc = schema_of(proposal->declared, key, &schema, err);
	if (rc < 0 || !schema)
		return rc;
	if (lg_secret_is_sealed(entry.value, entry.value_len) && !lg_schema_is_secret(schema)) {
		lg_problems_add(proposal->problems, key,
			"has a secret value; unset it before it is declared as no secret");
		proposal->refused++;
		return 0;
	}
	const struct lg_change same = {
		.key = (char *)(uintptr_t)key, .value = plain.data, .value_len = plain.len
	};
	return apply_one(proposal, &same, err);
}

static bool is_changed(const struct lg_changeset *set, const char *key)
{
	for (size_t low = 0, high = set->count; low < high;) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(set->items[middle].key, key);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static int apply_changes(struct proposal *proposal, struct lg_error *err)
{
	const struct lg_changeset *set = proposal->commit->changes;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < set->count; i++) {
		if (is_declaration(set->items[i].key))
			rc = apply_one(proposal, &set->items[i], err);
	}
	size_t declarations = proposal->applied.count;
	if (rc == 0)
		rc = restart_edit(proposal, err);
	for (size_t i = 0; rc == 0 && i < set->count; i++) {
		if (!is_declaration(set->items[i].key))
			rc = apply_one(proposal, &set->items[i], err);
	}
	for (size_t i = 0; rc == 0 && i < declarations; i++) {
		const char *key = proposal->applied.items[i].key + strlen(LG_SCHEMA_SPACE);
		if (!is_changed(set, key))
			rc = recheck_value(proposal, key, err);
	}
	return rc < 0 ? rc : lg_changeset_sort(&proposal->applied, err);
}

/* --- the record ------------------------------------------------------------------------------------------------------ */

static int add_provenance(
	struct lg_buf *body, const struct lg_author *author, uint64_t reverts, const char *rollback)
{
	lg_buf_addc(body, '{');
	if (author->automatic)
		lg_buf_adds(body, "\"automatic\":true,");
	if (reverts)
		lg_buf_addf(body, "\"reverts\":%" PRIu64 ",", reverts);
	if (!rollback)
		return 0;
	lg_buf_adds(body, "\"rollback\":");
	lg_text_add_json_string(body, rollback, strlen(rollback));
	return lg_buf_addc(body, ',');
}

static int run_before(struct lg_config *config, uint64_t revision, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err)
{
	int rc = 0;
	config->in_subscriber = true;
	for (size_t i = 0; rc >= 0 && i < config->subscriber_count; i++) {
		const struct lg_subscriber *subscriber = &config->subscribers[i];
		if (subscriber->before)
			rc = subscriber->before(subscriber->arg, revision, former, next, problems, err);
	}
	config->in_subscriber = false;
	if (rc < 0 && problems)
		problems->is_foreign = true;
	return rc < 0 ? rc : 0;
}

/* Nothing differs: what goes with the change is in force all the same. */
static int seal_controls(struct lg_config *config, struct lg_request *request, const struct lg_author *author,
	const struct lg_control *controls, size_t count, const uint8_t (*ids)[LG_ID_SIZE], struct lg_error *err)
{
	if (count == 0)
		return 0;
	return lg_request_seal(config, request, author, NULL, controls, count, ids ? ids + 1 : NULL, NULL, err);
}

/* A change as a request of the group. */
struct change_request {
	struct lg_request request; /* first */
	const struct lg_commit *commit;
	struct lg_problems *problems;
	struct lg_committed committed;
	/* what its record points to */
	struct lg_changeset applied;
	const char **keys;
	struct lg_buf body;
};

static void forget_change(struct lg_request *request)
{
	struct change_request *change = (struct change_request *)request;
	lg_committed_clear(&change->committed);
	lg_changeset_clear(&change->applied);
	free(change->keys);
	change->keys = NULL;
	lg_buf_clear(&change->body);
}

static int seal_change(struct lg_config *config, struct change_request *change, struct lg_error *err)
{
	const struct lg_commit *commit = change->commit;
	const struct lg_changeset *applied = &change->applied;
	change->keys = calloc(applied->count + 1, sizeof(char *));
	if (!change->keys)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < applied->count; i++)
		change->keys[i] = applied->items[i].key;
	add_provenance(&change->body, &commit->author, commit->reverts, commit->rollback);
	lg_changeset_add_body(applied, &change->body);
	lg_buf_addc(&change->body, '}');
	int rc = lg_buf_check(&change->body, err);
	if (rc < 0)
		return rc;
	const struct lg_draft draft = {
		.kind = LG_KIND_CHANGE,
		.body = change->body.data,
		.body_len = change->body.len,
		.root = change->committed.root,
		.keys = change->keys,
		.key_count = applied->count,
	};
	return lg_request_seal(config, &change->request, &commit->author, &draft, commit->controls,
		commit->control_count, commit->ids, change->committed.tree, err);
}

static int check_expected_root(const struct lg_tip *tip, const struct lg_commit *commit, struct lg_error *err)
{
	if (!commit->has_expect_root)
		return 0;
	uint8_t root[LG_HASH_SIZE];
	lg_tree_hash(tip->tree, root);
	if (memcmp(root, commit->expect_root, LG_HASH_SIZE) == 0)
		return 0;
	return lg_fail(err, LG_ECONFLICT, 0,
		"the state is at another root: r%" PRIu64 " changed it; look with: lastgood history",
		tip->revision);
}

static int may_write(const struct lg_config *config, const struct lg_author *author, struct lg_error *err)
{
	int rc = lg_config_may_write(config, err);
	return rc < 0 ? rc : lg_author_check(author, err);
}

static int propose(struct lg_config *config, struct change_request *change, struct lg_error *err)
{
	const struct lg_commit *commit = change->commit;
	const struct lg_tip *tip = &config->group.tip;
	struct lg_committed *committed = &change->committed;
	lg_cleanup(proposal_clear) struct proposal proposal = {
		.config = config,
		.commit = commit,
		.problems = change->problems,
		.former = lg_tree_ref(tip->tree),
		.edit = lg_tree_edit_begin(tip->tree),
		.revision = tip->head.seq + 1,
	};
	if (!proposal.edit)
		return lg_fail_nomem(err);
	int rc = apply_changes(&proposal, err);
	if (rc < 0)
		return rc;
	if (proposal.refused && !commit->skip_invalid)
		return lg_problems_fail(change->problems, err, "the change");
	committed->tree = lg_tree_edit_commit(lg_steal_ptr(&proposal.edit));
	committed->skipped = proposal.refused;
	committed->changed = proposal.applied.count;
	committed->revision = committed->changed ? proposal.revision : tip->revision;
	lg_tree_hash(committed->tree, committed->root);
	if (!committed->changed)
		return commit->dry_run ? 0
				       : seal_controls(config, &change->request, &commit->author,
						 commit->controls, commit->control_count, commit->ids, err);
	rc = run_before(config, proposal.revision, proposal.former, committed->tree, change->problems, err);
	if (rc < 0 || commit->dry_run)
		return rc;
	change->applied = proposal.applied;
	proposal.applied = (struct lg_changeset)LG_CHANGESET_INIT;
	return seal_change(config, change, err);
}

static int prepare_change(struct lg_config *config, struct lg_request *request, struct lg_error *err)
{
	struct change_request *change = (struct change_request *)request;
	lg_problems_clear(change->problems);
	int rc = check_expected_root(&config->group.tip, change->commit, err);
	return rc < 0 ? rc : propose(config, change, err);
}

/* The result of a request that is through. */
static int answer(int rc, struct lg_committed *committed, struct lg_committed *ret_committed)
{
	if (rc < 0 || !ret_committed)
		return rc;
	*ret_committed = *committed;
	*committed = (struct lg_committed){ 0 };
	return 0;
}

int lg_config_commit(struct lg_config *config, const struct lg_commit *commit,
	struct lg_committed *ret_committed, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_problems_clear) struct lg_problems own = LG_PROBLEMS_INIT;
	int rc = lg_changeset_sort(commit->changes, err);
	if (rc == 0)
		rc = may_write(config, &commit->author, err);
	if (rc < 0)
		return rc;
	struct change_request change = {
		.request = { .prepare = prepare_change,
			.forget = forget_change,
			.asks_subscribers = true,
			.err = err },
		.commit = commit,
		.problems = problems ? problems : &own,
	};
	rc = answer(lg_group_submit(config, &change.request), &change.committed, ret_committed);
	lg_refusal_after_commit(config, commit, change.problems, rc, err);
	lg_request_unseal(&change.request);
	forget_change(&change.request);
	return rc;
}

/* --- restore --------------------------------------------------------------------------------------------------------- */

static int restore_body(const struct lg_restore *restore, struct lg_buf *body, struct lg_error *err)
{
	add_provenance(body, &restore->author, 0, restore->rollback);
	lg_buf_adds(body, "\"scope\":");
	lg_scope_add_canonical(restore->scope, body);
	lg_buf_addf(body, ",\"to\":%" PRIu64 "}", restore->to);
	return lg_buf_check(body, err);
}

static int restored_tree(struct lg_config *config, const struct lg_restore *restore, struct lg_tree **ret_next,
	struct lg_error *err)
{
	const struct lg_tip *tip = &config->group.tip;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *from = NULL;
	int rc = lg_state_tree_at(config, restore->to, &from, err);
	if (rc == 0)
		rc = lg_check_not_cut(config, restore->to, err);
	if (rc == 0)
		rc = lg_check_not_dropped(config, restore->to, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(tip->tree);
	if (!edit)
		return lg_fail_nomem(err);
	rc = lg_tree_edit_restore(edit, from, restore->scope, tip->head.seq + 1, err);
	if (rc < 0)
		return rc;
	*ret_next = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return 0;
}

static int check_expected_scope(
	const struct lg_tip *tip, const struct lg_restore *restore, struct lg_error *err)
{
	if (!restore->has_expect_root)
		return 0;
	uint8_t hash[LG_HASH_SIZE];
	if (lg_tree_scope_hash(tip->tree, restore->scope, hash) < 0)
		return lg_fail_nomem(err);
	if (memcmp(hash, restore->expect_scope_hash, LG_HASH_SIZE) == 0)
		return 0;
	return lg_fail(err, LG_ECONFLICT, 0,
		"the plan is stale: its scope was changed by r%" PRIu64 " meanwhile; make the plan again",
		tip->revision);
}

/* A restore as a request of the group. */
struct restore_request {
	struct lg_request request; /* first */
	const struct lg_restore *restore;
	struct lg_problems *problems;
	struct lg_committed committed;
	struct lg_buf body; /* what its record points to */
};

static void forget_restore(struct lg_request *request)
{
	struct restore_request *going = (struct restore_request *)request;
	lg_committed_clear(&going->committed);
	lg_buf_clear(&going->body);
}

static int seal_restore(struct lg_config *config, struct restore_request *going, struct lg_error *err)
{
	const struct lg_restore *restore = going->restore;
	int rc = restore_body(restore, &going->body, err);
	if (rc < 0)
		return rc;
	const struct lg_draft draft = { .kind = LG_KIND_RESTORE,
		.body = going->body.data,
		.body_len = going->body.len,
		.root = going->committed.root };
	return lg_request_seal(config, &going->request, &restore->author, &draft, restore->controls,
		restore->control_count, restore->ids, going->committed.tree, err);
}

static int prepare_restore(struct lg_config *config, struct lg_request *request, struct lg_error *err)
{
	struct restore_request *going = (struct restore_request *)request;
	struct lg_committed *committed = &going->committed;
	const struct lg_tip *tip = &config->group.tip;
	lg_problems_clear(going->problems);
	int rc = check_expected_scope(tip, going->restore, err);
	if (rc == 0)
		rc = restored_tree(config, going->restore, &committed->tree, err);
	if (rc < 0)
		return rc;
	uint8_t former[LG_HASH_SIZE];
	lg_tree_hash(tip->tree, former);
	lg_tree_hash(committed->tree, committed->root);
	committed->changed = memcmp(former, committed->root, LG_HASH_SIZE) != 0;
	committed->revision = committed->changed ? tip->head.seq + 1 : tip->revision;
	const struct lg_restore *restore = going->restore;
	if (!committed->changed)
		return restore->dry_run ? 0
					: seal_controls(config, request, &restore->author, restore->controls,
						  restore->control_count, restore->ids, err);
	rc = run_before(config, committed->revision, tip->tree, committed->tree, going->problems, err);
	return rc < 0 || restore->dry_run ? rc : seal_restore(config, going, err);
}

int lg_config_restore(struct lg_config *config, const struct lg_restore *restore,
	struct lg_committed *ret_committed, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_problems_clear) struct lg_problems own = LG_PROBLEMS_INIT;
	int rc = may_write(config, &restore->author, err);
	if (rc < 0)
		return rc;
	struct restore_request going = {
		.request = { .prepare = prepare_restore,
			.forget = forget_restore,
			.asks_subscribers = true,
			.needs_log = true,
			.err = err },
		.restore = restore,
		.problems = problems ? problems : &own,
	};
	rc = answer(lg_group_submit(config, &going.request), &going.committed, ret_committed);
	lg_refusal_after_restore(config, restore, going.problems, rc);
	lg_request_unseal(&going.request);
	forget_restore(&going.request);
	return rc;
}

/* --- control --------------------------------------------------------------------------------------------------------- */

struct control_request {
	struct lg_request request; /* first */
	const struct lg_author *author;
	const struct lg_control *controls;
	size_t count;
	uint64_t seq;
};

static void forget_control(struct lg_request *request)
{
	((struct control_request *)request)->seq = 0;
}

static int prepare_control(struct lg_config *config, struct lg_request *request, struct lg_error *err)
{
	struct control_request *control = (struct control_request *)request;
	control->seq = config->group.tip.head.seq + 1;
	return lg_request_seal(
		config, request, control->author, NULL, control->controls, control->count, NULL, NULL, err);
}

int lg_config_control(struct lg_config *config, const struct lg_author *author,
	const struct lg_control *controls, size_t count, uint64_t *ret_seq, struct lg_error *err)
{
	int rc = may_write(config, author, err);
	if (rc == 0 && count == 0)
		rc = lg_fail(err, LG_EINTERNAL, 0, "there is no control to record");
	if (rc < 0)
		return rc;
	struct control_request control = {
		.request = { .prepare = prepare_control, .forget = forget_control, .err = err },
		.author = author,
		.controls = controls,
		.count = count,
	};
	rc = lg_group_submit(config, &control.request);
	lg_request_unseal(&control.request);
	if (rc == 0 && ret_seq)
		*ret_seq = control.seq;
	return rc;
}
