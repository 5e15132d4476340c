/* The plan that takes back one past revision: exactly what it did, and nothing of what came before or behind it.
 *
 * What it did is what differs between the states before and after it, so a restore can be taken back like any change.  For
 * each such key
 *
 *	it is now as it was before     nothing to do
 *	it is as the revision made it  what was before comes back
 *	a later record changed it      a conflict: refused, skipped or forced, as the request says
 *
 * The result is explicit changes, validated against the declarations that will then be in force. */
#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* More keys than this are covered by their prefixes: a scope is compared, stored and shown key by key. */
#define SCOPE_KEYS_MAX 256
#define PREFIX_DEPTH   4

/* One key that the revision changed; absent where key is NULL. */
struct changed_key {
	struct lg_entry before, after;
};

struct revert {
	struct lg_tree *before, *after; /* what the entries point into */
	struct changed_key *keys;
	struct lg_origin *origins; /* seq not 0: a conflict */
	size_t count, size;
	size_t did, conflicts; /* keys that it changed in all; those changed since */
};

static void revert_clear(struct revert *revert)
{
	free(revert->keys);
	free(revert->origins);
	lg_tree_unref(revert->before);
	lg_tree_unref(revert->after);
}

static const char *name_of(const struct changed_key *key)
{
	return key->before.key ? key->before.key : key->after.key;
}

/* --- what the revision did ------------------------------------------------------------------------------------------- */

struct found_record {
	struct lg_buf *why;
	bool found;
	enum lg_kind kind;
};

static int note_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct found_record *found = arg;
	char reason[LG_SNIPPET_SIZE], actor[LG_SNIPPET_SIZE];
	(void)err;
	found->found = true;
	found->kind = record->kind;
	lg_buf_addf(found->why, "what the %s by %s did (%s)", lg_kind_name(record->kind),
		lg_text_snippet(record->actor, actor), lg_text_snippet(record->reason, reason));
	return 0;
}

static int parse_revision(
	const char *text, const struct lg_snapshot *now, uint64_t *ret_revision, struct lg_error *err)
{
	int64_t number;
	char shown[LG_SNIPPET_SIZE];
	struct lg_error ignored = LG_ERROR_INIT;
	*ret_revision = now->revision;
	if (strcmp(text, "head") != 0) {
		if (lg_int_parse(text + (*text == 'r'), 0, INT64_MAX, &number, &ignored) < 0)
			return lg_fail(err, LG_EINVALID, 0,
				"'%s' is no revision to take back: use r12, or head for the newest one",
				lg_text_snippet(text, shown));
		*ret_revision = (uint64_t)number;
	}
	if (*ret_revision == 0)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"r0 is the empty state before the first revision: there is nothing to take back");
	if (*ret_revision > now->seq)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"there is no r%" PRIu64 " yet; the newest record is r%" PRIu64
			", look with: lastgood history",
			*ret_revision, now->seq);
	return 0;
}

static int check_record(struct lg_config *config, uint64_t revision, struct lg_buf *why, struct lg_error *err)
{
	struct found_record found = { .why = why };
	const struct lg_log_query one = { .from = revision, .to = revision, .no_body = true };
	uint8_t root[LG_HASH_SIZE];
	int rc = lg_config_query(config, &one, note_record, &found, err);
	if (rc < 0)
		return rc;
	if (!found.found) {
		rc = lg_config_root_at(config, revision, root, err); /* says why it is not there */
		return rc < 0 ? lg_context(err, rc, "cannot take r%" PRIu64 " back", revision)
			      : lg_fail(err, LG_ENOTFOUND, 0, "there is no r%" PRIu64, revision);
	}
	if (lg_kind_is_state(found.kind))
		return 0;
	if (found.kind == LG_KIND_HOLD)
		return lg_fail(err, LG_EINVALID, 0,
			"record %" PRIu64 " is a hold, no change of settings; end it with: lastgood release "
			"h%" PRIu64 " --reason TEXT",
			revision, revision);
	return lg_fail(err, LG_EINVALID, 0,
		"record %" PRIu64 " is of kind '%s' and changed no setting; look for one that did with: "
		"lastgood history",
		revision, lg_kind_name(found.kind));
}

static int tree_at(struct lg_config *config, uint64_t revision, uint64_t of, struct lg_tree **ret_tree,
	struct lg_error *err)
{
	int rc = lg_config_tree_at(config, of, ret_tree, err);
	if (rc == LG_ENOTFOUND)
		return lg_context(err, rc,
			"what r%" PRIu64 " changed is not known any more, for the state %s it is gone",
			revision, of < revision ? "before" : "of");
	return rc;
}

static int add_key(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct revert *revert = arg;
	if (revert->count == revert->size) {
		size_t size = revert->size ? revert->size * 2 : 64;
		struct changed_key *grown = reallocarray(revert->keys, size, sizeof *grown);
		if (!grown)
			return LG_ENOMEM;
		revert->keys = grown;
		revert->size = size;
	}
	struct changed_key *key = &revert->keys[revert->count++];
	*key = (struct changed_key){ 0 };
	if (before)
		key->before = *before;
	if (after)
		key->after = *after;
	return 0;
}

static int what_it_did(struct lg_config *config, const struct lg_rollback_plan *plan, struct revert *revert,
	struct lg_error *err)
{
	int rc = tree_at(config, plan->revert, plan->revert - 1, &revert->before, err);
	if (rc == 0)
		rc = tree_at(config, plan->revert, plan->revert, &revert->after, err);
	if (rc < 0)
		return rc;
	if (lg_tree_diff(revert->before, revert->after, &plan->scope, add_key, revert) < 0)
		return lg_fail_nomem(err);
	if (revert->count)
		return 0;
	lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
	lg_scope_describe(&plan->scope, &scope);
	return lg_fail(err, LG_EINVALID, 0,
		"r%" PRIu64 " changed nothing in %s; see what it did with: lastgood show r%" PRIu64,
		plan->revert, lg_scope_is_all(&plan->scope) ? "the settings" : lg_buf_str(&scope),
		plan->revert);
}

/* --- conflicts --------------------------------------------------------------------------------------------------------- */

static bool same(const struct lg_entry *a, const struct lg_entry *b)
{
	if (!a->key || !b->key)
		return !a->key && !b->key;
	return a->value_len == b->value_len && memcmp(a->value, b->value, a->value_len) == 0;
}

static struct lg_entry now_of(const struct lg_rollback_plan *plan, const struct changed_key *key)
{
	struct lg_entry now = { 0 };
	const char *name = name_of(key);
	lg_tree_get(plan->former, name, strlen(name), &now);
	return now;
}

/* Keeps the keys for which there is something to do, and finds who changed them since. */
static int find_conflicts(struct lg_config *config, const struct lg_rollback_plan *plan, struct revert *revert,
	struct lg_error *err)
{
	size_t kept = 0;
	revert->did = revert->count;
	for (size_t i = 0; i < revert->count; i++) {
		struct lg_entry now = now_of(plan, &revert->keys[i]);
		if (!same(&now, &revert->keys[i].before))
			revert->keys[kept++] = revert->keys[i];
	}
	revert->count = kept;
	revert->origins = calloc(kept + 1, sizeof *revert->origins);
	if (!revert->origins)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < kept; i++)
		revert->origins[i].key = name_of(&revert->keys[i]);
	int rc = lg_config_origins(config, plan->revert, plan->from, revert->origins, kept, err);
	for (size_t i = 0; rc == 0 && i < kept; i++)
		revert->conflicts += revert->origins[i].seq != 0;
	return rc;
}

static bool is_secret(const struct lg_entry *entry)
{
	return entry->key && lg_secret_is_sealed(entry->value, entry->value_len);
}

/* Of a key that is a secret on one side, the other side's plain value is none to show either. */
static const char *value_text(const struct lg_entry *entry, bool secret)
{
	return !entry->key ? "not set" : secret ? LG_SECRET_REDACTED : entry->value;
}

static json_t *value_json(const struct lg_entry *entry, bool secret)
{
	json_t *json = NULL;
	struct lg_error ignored = LG_ERROR_INIT;
	if (secret)
		return json_string(LG_SECRET_REDACTED);
	return lg_json_parse(entry->value, entry->value_len, entry->value_len, &json, &ignored) == 0 ? json
												     : NULL;
}

static int add_conflict(struct lg_rollback_plan *plan, const struct lg_origin *origin,
	const struct lg_entry *then, const struct lg_entry *now, bool secret)
{
	json_t *json = json_pack("{s:s, s:I}", "key", origin->key, "revision", (json_int_t)origin->seq);
	int rc = json ? 0 : -1;
	if (rc == 0 && then->key)
		rc = json_object_set_new(json, "then", value_json(then, secret));
	if (rc == 0 && now->key)
		rc = json_object_set_new(json, "now", value_json(now, secret));
	if (rc != 0) {
		json_decref(json);
		return -1;
	}
	return json_array_append_new(plan->conflicts, json);
}

static int list_conflicts(struct lg_rollback_plan *plan, const struct revert *revert,
	struct lg_problems *problems, struct lg_error *err)
{
	bool refuse = plan->on_conflict == LG_CONFLICT_REFUSE;
	for (size_t i = 0; i < revert->count; i++) {
		const struct lg_origin *origin = &revert->origins[i];
		const struct changed_key *key = &revert->keys[i];
		char then_text[LG_SNIPPET_SIZE], now_text[LG_SNIPPET_SIZE];
		if (!origin->seq)
			continue;
		struct lg_entry now = now_of(plan, key);
		bool secret = is_secret(&key->before) || is_secret(&key->after) || is_secret(&now);
		if (refuse)
			lg_problems_add(problems, origin->key, "r%" PRIu64 " changed it since: then %s, now %s",
				origin->seq, lg_text_snippet(value_text(&key->after, secret), then_text),
				lg_text_snippet(value_text(&now, secret), now_text));
		else if (add_conflict(plan, origin, &key->after, &now, secret) < 0)
			return lg_fail_nomem(err);
	}
	if (!refuse || !revert->conflicts)
		return 0;
	return lg_fail(err, LG_ECONFLICT, 0, "%zu of %zu %s that r%" PRIu64 " changed %s changed again since",
		revert->conflicts, revert->did, revert->did == 1 ? "key" : "keys", plan->revert,
		revert->conflicts == 1 ? "was" : "were");
}

/* --- the way back ------------------------------------------------------------------------------------------------------ */

static int changes_back(const struct lg_rollback_plan *plan, const struct revert *revert,
	struct lg_changeset *changes, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < revert->count; i++) {
		const struct lg_entry *before = &revert->keys[i].before;
		const char *name = name_of(&revert->keys[i]);
		if (!revert->origins[i].seq || plan->on_conflict == LG_CONFLICT_FORCE)
			rc = lg_changeset_add(
				changes, name, strlen(name), before->value, before->value_len, err);
	}
	return rc;
}

/* The selector for a key: itself (depth 0), or its prefix of so many segments.  A setting's covers its declaration, which
 * must stay as it is too. */
static void selector_of(const char *key, size_t depth, char ret_selector[LG_SELECTOR_MAX])
{
	if (lg_starts_with(key, LG_SCHEMA_SPACE) && key[strlen(LG_SCHEMA_SPACE)] != '@')
		key += strlen(LG_SCHEMA_SPACE);
	const char *end = NULL;
	for (size_t i = 0; i < depth; i++) {
		const char *slash = strchr(end ? end : key, '/');
		end = slash ? slash + 1 : key + strlen(key);
	}
	snprintf(ret_selector, LG_SELECTOR_MAX, "%.*s", (int)(end ? (size_t)(end - key) : strlen(key)), key);
}

/* 1 when it could be said in so many selectors, 0 when not. */
static int try_scope(
	const struct lg_rollback_plan *plan, size_t depth, struct lg_scope *scope, struct lg_error *err)
{
	char last[LG_SELECTOR_MAX] = "", selector[LG_SELECTOR_MAX];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < plan->explicit_changes.count; i++) {
		selector_of(plan->explicit_changes.items[i].key, depth, selector);
		if (strcmp(selector, last) == 0)
			continue;
		rc = lg_scope_include(scope, selector, err);
		if (rc == 0 && scope->include_count > SCOPE_KEYS_MAX)
			return 0;
		memcpy(last, selector, sizeof last);
	}
	for (size_t i = 0; rc == 0 && depth && i < plan->scope.exclude_count; i++)
		rc = lg_scope_exclude(scope, plan->scope.exclude[i], err);
	return rc < 0 ? rc : 1;
}

/* What is held, quarantined and compared is what is taken back; only when that is too much to list, more. */
static int narrow_scope(struct lg_rollback_plan *plan, struct lg_error *err)
{
	bool prefixes = plan->scope.include_count == 0;
	int rc = 0;
	for (size_t step = 0; plan->explicit_changes.count && step <= (prefixes ? PREFIX_DEPTH : 0); step++) {
		lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
		rc = try_scope(plan, step ? PREFIX_DEPTH + 1 - step : 0, &scope, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		lg_scope_clear(&plan->scope);
		plan->scope = scope;
		scope = (struct lg_scope)LG_SCOPE_ALL;
		break;
	}
	return 0;
}

static int find_revision(struct lg_config *config, const char *text, struct lg_rollback_plan *plan,
	struct lg_buf *why, struct lg_error *err)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot now = { 0 };
	char target[32];
	lg_config_snapshot(config, &now);
	int rc = parse_revision(text, &now, &plan->revert, err);
	if (rc == 0)
		rc = check_record(config, plan->revert, why, err);
	if (rc < 0)
		return rc;
	snprintf(target, sizeof target, "revert r%" PRIu64, plan->revert);
	free(plan->target);
	plan->target = strdup(target);
	return plan->target ? 0 : lg_fail_nomem(err);
}

static void add_conflict_count(const struct lg_rollback_plan *plan, struct lg_buf *why)
{
	size_t count = json_array_size(plan->conflicts);
	if (count && plan->on_conflict == LG_CONFLICT_SKIP)
		lg_buf_addf(why, ", but for %zu %s changed again since", count, count == 1 ? "key" : "keys");
	else if (count)
		lg_buf_addf(why, ", and with it what changed %zu of its keys since", count);
}

int lg_plan_aim_at_revert(struct lg_config *config, const struct lg_rollback_request *request,
	struct lg_rollback_plan *plan, struct lg_problems *problems, struct lg_buf *why, bool *ret_refused,
	struct lg_error *err)
{
	lg_cleanup(revert_clear) struct revert revert = { 0 };
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	char what[48];
	plan->on_conflict = request->on_conflict;
	plan->conflicts = json_array();
	if (!plan->conflicts)
		return lg_fail_nomem(err);
	int rc = find_revision(config, request->revert, plan, why, err);
	if (rc == 0)
		rc = what_it_did(config, plan, &revert, err);
	if (rc == 0)
		rc = find_conflicts(config, plan, &revert, err);
	if (rc == 0)
		rc = list_conflicts(plan, &revert, problems, err);
	*ret_refused = rc == LG_ECONFLICT;
	if (rc == 0)
		rc = changes_back(plan, &revert, &changes, err);
	if (rc < 0)
		return rc;
	snprintf(what, sizeof what, "taking r%" PRIu64 " back", plan->revert);
	rc = lg_plan_try_changes(config, request, plan, what, NULL, &changes, NULL, problems, err);
	if (rc < 0)
		return rc;
	add_conflict_count(plan, why);
	return narrow_scope(plan, err);
}
