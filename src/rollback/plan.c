#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "format/format.h"
#include "io/file.h"
#include "io/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ATTEMPTS_MAX 10

static const char *const reason_codes[] = { "performance", "user-report", "security", "corruption",
	"compliance", "other" };

int lg_rollback_reason_check(const char *reason, struct lg_error *err)
{
	const char *colon = reason ? strchr(reason, ':') : NULL;
	bool is_text = reason && lg_utf8_valid_prefix(reason, strlen(reason)) == strlen(reason);
	for (size_t i = 0; colon && is_text && i < sizeof reason_codes / sizeof *reason_codes; i++) {
		size_t len = strlen(reason_codes[i]);
		if ((size_t)(colon - reason) == len && memcmp(reason, reason_codes[i], len) == 0 &&
			colon[1 + strspn(colon + 1, " \t\r\n")] != '\0')
			return 0;
	}
	char shown[LG_SNIPPET_SIZE];
	return lg_fail(err, LG_EUSAGE, 0,
		"a rollback wants its reason as 'CODE: text', CODE one of performance, user-report, security, "
		"corruption, compliance, other%s%s%s",
		reason ? "; not: '" : "", reason ? lg_text_snippet(reason, shown) : "", reason ? "'" : "");
}

/* --- parts of a plan ------------------------------------------------------------------------------------------------- */

void lg_rollback_plan_free(struct lg_rollback_plan *plan)
{
	if (!plan)
		return;
	json_decref(plan->json);
	lg_scope_clear(&plan->scope);
	free(plan->actor);
	free(plan->reason);
	free(plan->target);
	free(plan->why);
	free(plan->undo_of);
	lg_changeset_clear(&plan->explicit_changes);
	for (size_t i = 0; i < plan->step_count; i++)
		free(plan->steps[i].adapter);
	free(plan->steps);
	json_decref(plan->conflicts);
	lg_tree_unref(plan->former);
	lg_tree_unref(plan->next);
	free(plan);
}

void lg_rollback_plan_freep(struct lg_rollback_plan **plan)
{
	lg_rollback_plan_free(*plan);
}

const char *lg_rollback_plan_id(const struct lg_rollback_plan *plan)
{
	return plan->id;
}

const char *lg_rollback_plan_hash(const struct lg_rollback_plan *plan)
{
	return plan->hash;
}

size_t lg_rollback_plan_changes(const struct lg_rollback_plan *plan)
{
	return plan->changes;
}

json_t *lg_rollback_plan_json(const struct lg_rollback_plan *plan)
{
	return plan->json;
}

int lg_rollback_plan_diff(const struct lg_rollback_plan *plan,
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after), void *arg)
{
	return lg_tree_diff(plan->former, plan->next, &plan->scope, visit, arg);
}

static int count_one(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	(void)before;
	(void)after;
	++*(size_t *)arg;
	return 0;
}

/* By time to the microsecond, so that names sort as they were made, and a random digit. */
static void name_by_time(int64_t now_us, char ret_id[LG_ROLLBACK_ID_SIZE])
{
	time_t seconds = (time_t)(now_us / 1000000);
	struct tm tm;
	uint8_t random;
	char stamp[20];
	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
	lg_random_bytes(&random, sizeof random);
	snprintf(ret_id, LG_ROLLBACK_ID_SIZE, "%s-%05x%x", stamp, (unsigned)(now_us % 1000000), random & 15u);
}

/* A clock that was set back, or stands, would give a name again: then the next microsecond's that is free. */
static int make_id(const struct lg_config *config, char ret_id[LG_ROLLBACK_ID_SIZE], struct lg_error *err)
{
	const struct lg_clock *clock = lg_config_clock(config);
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	int64_t now_us = clock->realtime_us(clock);
	do {
		name_by_time(now_us++, ret_id);
		lg_buf_reset(&path);
		int rc = lg_rollback_path(lg_config_state_dir(config), ret_id, "", &path, err);
		if (rc < 0)
			return rc;
	} while (lg_file_exists(path.data));
	return 0;
}

static int add_step(
	struct lg_rollback_plan *plan, enum lg_step_kind kind, const char *adapter, struct lg_error *err)
{
	struct lg_step *steps = realloc(plan->steps, (plan->step_count + 1) * sizeof *steps);
	char *name = adapter ? strdup(adapter) : NULL;
	if (steps)
		plan->steps = steps;
	if (!steps || (adapter && !name)) {
		free(name);
		return lg_fail_nomem(err);
	}
	steps[plan->step_count++] = (struct lg_step){ kind, name };
	return 0;
}

static int add_steps(struct lg_rollback_plan *plan, struct lg_delivery *delivery, struct lg_error *err)
{
	int rc = add_step(plan, LG_STEP_PREFLIGHT, NULL, err);
	if (rc == 0)
		rc = add_step(plan, LG_STEP_RECORD, NULL, err);
	for (size_t i = 0; rc == 0 && delivery && i < lg_delivery_count(delivery); i++) {
		const struct lg_adapter *adapter = lg_delivery_adapter(delivery, i);
		if (lg_adapter_attached(adapter) && lg_delivery_concerns(adapter, plan->former, plan->next))
			rc = add_step(plan, LG_STEP_DELIVER, lg_adapter_name(adapter), err);
	}
	return rc < 0 ? rc : add_step(plan, LG_STEP_VALIDATE, NULL, err);
}

/* --- where it goes ---------------------------------------------------------------------------------------------------- */

static int aim_at_revision(struct lg_config *config, const struct lg_rollback_request *request,
	struct lg_rollback_plan *plan, struct lg_buf *why, struct lg_error *err)
{
	int rc = lg_config_target(config, request->target, &plan->scope, &plan->to, why, err);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *from = NULL;
	if (rc == 0)
		rc = lg_config_tree_at(config, plan->to, &from, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(plan->former);
	if (!edit)
		return lg_fail_nomem(err);
	rc = lg_tree_edit_restore(edit, from, &plan->scope, plan->from + 1, err);
	if (rc < 0)
		return rc;
	plan->next = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return 0;
}

/* --- a backup file ---------------------------------------------------------------------------------------------------- */

struct backup {
	struct lg_items items;         /* sorted by key */
	struct lg_problems unreadable; /* entries that are there and yet no items */
	bool has_schema, has_flags;
};

static void backup_clear(struct backup *backup)
{
	lg_items_clear(&backup->items);
	lg_problems_clear(&backup->unreadable);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct lg_item *)a)->key, ((const struct lg_item *)b)->key);
}

static int read_backup(const char *path, struct backup *backup, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_file_read(path, LG_IMPORT_MAX, &text, err);
	if (rc == 0)
		rc = lg_format_parse(lg_format_from_path(path), path, lg_buf_str(&text), text.len,
			&backup->items, &backup->unreadable, err);
	if (rc < 0)
		return rc;
	if (backup->items.count)
		qsort(backup->items.items, backup->items.count, sizeof *backup->items.items, by_key);
	for (size_t i = 0; i < backup->items.count; i++) {
		backup->has_schema |= lg_starts_with(backup->items.items[i].key, LG_SCHEMA_SPACE);
		backup->has_flags |= lg_starts_with(backup->items.items[i].key, "@flag/");
	}
	return 0;
}

static bool backup_has(const struct backup *backup, const char *key)
{
	const struct lg_item probe = { .key = (char *)(uintptr_t)key };
	if (backup->items.count &&
		bsearch(&probe, backup->items.items, backup->items.count, sizeof probe, by_key))
		return true;
	for (size_t i = 0; i < backup->unreadable.count; i++) {
		if (strcmp(backup->unreadable.items[i].subject, key) == 0)
			return true;
	}
	return false;
}

struct removal {
	const struct backup *backup;
	const struct lg_scope *scope;
	struct lg_changeset *changes;
	struct lg_error *err;
};

/* A backup that knows no declarations (or flags) at all is older than they are, and does not ask for their removal. */
static bool may_remove(const struct backup *backup, const char *key)
{
	if (key[0] != '@')
		return true;
	if (lg_starts_with(key, LG_SCHEMA_SPACE))
		return backup->has_schema;
	return backup->has_flags && lg_starts_with(key, "@flag/");
}

static int remove_if_lacking(void *arg, const struct lg_entry *entry)
{
	struct removal *removal = arg;
	if (!lg_scope_covers(removal->scope, entry->key, entry->key_len) ||
		!may_remove(removal->backup, entry->key) || backup_has(removal->backup, entry->key))
		return 0;
	return lg_changeset_add(removal->changes, entry->key, entry->key_len, NULL, 0, removal->err);
}

static int changes_of_backup(const struct lg_rollback_plan *plan, const struct backup *backup, bool exact,
	struct lg_changeset *changes, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < backup->items.count; i++) {
		const struct lg_item *item = &backup->items.items[i];
		if (!lg_scope_covers(&plan->scope, item->key, strlen(item->key)))
			continue;
		rc = lg_changeset_add(changes, item->key, strlen(item->key), item->value, item->value_len, err);
		if (rc == 0 && item->bare)
			rc = lg_changeset_set_bare(changes, item->bare, err);
	}
	if (rc < 0 || !exact)
		return rc;
	if (backup->unreadable.total > backup->unreadable.count)
		return lg_fail(err, LG_EINVALID, 0,
			"%zu unreadable entries are too many to know what else to remove",
			backup->unreadable.total);
	struct removal removal = { backup, &plan->scope, changes, err };
	return lg_tree_walk(plan->former, "", 0, remove_if_lacking, &removal);
}

/* --- explicit changes -------------------------------------------------------------------------------------------------- */

/* Everything wrong with them is found before anything is refused. */
static int try_commit(struct lg_config *config, const struct lg_rollback_request *request,
	const struct lg_rollback_plan *plan, const char *what, const struct lg_problems *unreadable,
	struct lg_changeset *changes, struct lg_problems *problems, struct lg_committed *ret_committed,
	struct lg_error *err)
{
	lg_cleanup(lg_problems_clear) struct lg_problems all = LG_PROBLEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems refused = LG_PROBLEMS_INIT;
	struct lg_commit commit = {
		.changes = changes,
		.author = request->author,
		.has_expect_root = true, /* of the state that the plan starts from */
		.skip_invalid = request->skip_invalid,
		.ignore_holds = true,
		.dry_run = true,
	};
	lg_tree_hash(plan->former, commit.expect_root);
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_config_commit(config, &commit, ret_committed, &refused, &why);
	const struct lg_problems *const lists[] = { unreadable, &refused };
	for (size_t l = 0; l < 2; l++) {
		for (size_t i = 0; lists[l] && i < lists[l]->count; i++) {
			const struct lg_problem *one = &lists[l]->items[i];
			lg_problems_add(&all, one->subject, "%s", one->message);
			lg_problems_add(problems, one->subject, "%s", one->message);
		}
	}
	if ((rc == 0 || rc == LG_EINVALID) && all.total && !request->skip_invalid)
		return lg_problems_fail(&all, err, what);
	return rc < 0 ? lg_fail(err, rc, 0, "%s", why.message) : 0;
}

struct kept {
	struct lg_changeset *changes;
	struct lg_error *err;
};

static int keep_change(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct kept *kept = arg;
	const struct lg_entry *key = after ? after : before;
	return lg_changeset_add(kept->changes, key->key, key->key_len, after ? after->value : NULL,
		after ? after->value_len : 0, kept->err);
}

int lg_plan_try_changes(struct lg_config *config, const struct lg_rollback_request *request,
	struct lg_rollback_plan *plan, const char *what, const struct lg_problems *unreadable,
	struct lg_changeset *changes, const struct lg_scope *scope, struct lg_problems *problems,
	struct lg_error *err)
{
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	plan->is_explicit = true;
	int rc = try_commit(config, request, plan, what, unreadable, changes, problems, &committed, err);
	if (rc < 0)
		return rc;
	plan->next = lg_tree_ref(committed.tree);
	struct kept kept = { &plan->explicit_changes, err };
	return lg_tree_diff(plan->former, plan->next, scope, keep_change, &kept);
}

static int aim_at_file(struct lg_config *config, const struct lg_rollback_request *request,
	struct lg_rollback_plan *plan, struct lg_problems *problems, struct lg_buf *why, struct lg_error *err)
{
	lg_cleanup(backup_clear) struct backup backup = { 0 };
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	int rc = read_backup(request->target, &backup, err);
	if (rc == 0)
		rc = changes_of_backup(plan, &backup, request->exact, &changes, err);
	if (rc < 0)
		return rc;
	lg_buf_addf(why, "a backup file with %zu entries", backup.items.count + backup.unreadable.total);
	return lg_plan_try_changes(config, request, plan, "the backup file", &backup.unreadable, &changes,
		&plan->scope, problems, err);
}

/* --- the plan --------------------------------------------------------------------------------------------------------- */

static int copy_texts(
	struct lg_rollback_plan *plan, const struct lg_rollback_request *request, struct lg_error *err)
{
	plan->actor = strdup(request->author.actor ? request->author.actor : "");
	plan->reason = strdup(request->author.reason);
	plan->target = strdup(request->revert ? request->revert : request->target);
	plan->undo_of = request->undo_of ? strdup(request->undo_of) : NULL;
	if (!plan->actor || !plan->reason || !plan->target || (request->undo_of && !plan->undo_of))
		return lg_fail_nomem(err);
	for (const char *const *text = (const char *const[]){ plan->actor, plan->target, NULL }; *text;
		text++) {
		char shown[LG_SNIPPET_SIZE];
		if (lg_utf8_valid_prefix(*text, strlen(*text)) != strlen(*text))
			return lg_fail(
				err, LG_EINVALID, 0, "'%s' is not valid UTF-8", lg_text_snippet(*text, shown));
	}
	plan->automatic = request->author.automatic;
	plan->emergency = request->emergency;
	return request->scope ? lg_scope_copy(request->scope, &plan->scope, err) : 0;
}

static bool is_marked_good(struct lg_config *config, const struct lg_rollback_plan *plan)
{
	const struct lg_controls *controls = lg_config_controls(config);
	for (size_t i = 0; i < controls->mark_count; i++) {
		const struct lg_mark *mark = &controls->marks[i];
		if (mark->good && mark->revision == plan->suspect && lg_scope_equal(&mark->scope, &plan->scope))
			return true;
	}
	return false;
}

static int fill_hashes(struct lg_config *config, struct lg_delivery *delivery, struct lg_rollback_plan *plan,
	struct lg_error *err)
{
	if (lg_tree_scope_hash(plan->former, &plan->scope, plan->from_hash) < 0 ||
		lg_tree_scope_hash(plan->next, &plan->scope, plan->to_hash) < 0)
		return lg_fail_nomem(err);
	if (delivery)
		memcpy(plan->topology, lg_delivery_topology(delivery)->hash, sizeof plan->topology);
	lg_tree_diff(plan->former, plan->next, &plan->scope, count_one, &plan->changes);
	plan->suspect = plan->revert;
	int rc = plan->revert
		? 0
		: lg_config_last_change(config, &plan->scope, plan->from, &plan->suspect, NULL, err);
	plan->suspect_was_good = rc == 0 && is_marked_good(config, plan);
	return rc;
}

static int aim(struct lg_config *config, struct lg_delivery *delivery,
	const struct lg_rollback_request *request, struct lg_rollback_plan *plan, struct lg_problems *problems,
	struct lg_buf *why, bool *ret_refused, struct lg_error *err)
{
	if (delivery)
		lg_delivery_pause_checks(delivery, true); /* preflight does them, once */
	int rc = request->revert ? lg_plan_aim_at_revert(config, request, plan, problems, why, ret_refused, err)
		: lg_target_is_file(request->target) ? aim_at_file(config, request, plan, problems, why, err)
						     : aim_at_revision(config, request, plan, why, err);
	if (delivery)
		lg_delivery_pause_checks(delivery, false);
	return rc;
}

static int make_plan(struct lg_config *config, struct lg_delivery *delivery,
	const struct lg_rollback_request *request, struct lg_rollback_plan *plan, struct lg_problems *problems,
	bool *ret_refused, struct lg_error *err)
{
	int rc = lg_rollback_reason_check(request->author.reason, err);
	if (rc == 0)
		rc = copy_texts(plan, request, err);
	if (rc == 0)
		rc = lg_config_refresh(config, err);
	if (rc < 0)
		return rc;
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	plan->from = now.revision;
	plan->former = now.tree; /* the snapshot's reference */
	rc = make_id(config, plan->id, err);
	if (rc < 0)
		return rc;
	lg_random_bytes(plan->ids, sizeof plan->ids);
	lg_cleanup(lg_buf_clear) struct lg_buf why = LG_BUF_INIT;
	rc = aim(config, delivery, request, plan, problems, &why, ret_refused, err);
	if (rc == 0)
		rc = fill_hashes(config, delivery, plan, err);
	if (rc == 0)
		rc = add_steps(plan, delivery, err);
	if (rc < 0)
		return rc;
	plan->why = strdup(lg_buf_str(&why));
	return plan->why ? lg_plan_seal(plan, err) : lg_fail_nomem(err);
}

int lg_rollback_plan(struct lg_config *config, struct lg_delivery *delivery,
	const struct lg_rollback_request *request, struct lg_rollback_plan **ret_plan,
	struct lg_problems *problems, struct lg_error *err)
{
	int rc = LG_ECONFLICT;
	bool refused = false;
	/* a conflict: others changed the state while explicit changes were tried on it */
	for (int i = 0; rc == LG_ECONFLICT && !refused && i < ATTEMPTS_MAX; i++) {
		lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = calloc(1, sizeof *plan);
		if (!plan)
			return lg_fail_nomem(err);
		lg_problems_clear(problems);
		rc = make_plan(config, delivery, request, plan, problems, &refused, err);
		if (rc == 0)
			*ret_plan = lg_steal_ptr(&plan);
	}
	return rc;
}

/* --- undo ------------------------------------------------------------------------------------------------------------- */

static int find_hold(struct lg_config *config, const char *id)
{
	const struct lg_controls *controls = lg_config_controls(config);
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (controls->holds[i].rollback && strcmp(controls->holds[i].rollback, id) == 0)
			return (int)i;
	}
	return -1;
}

static int load_ended(
	struct lg_config *config, const char *id, struct lg_rollback_plan **ret_plan, struct lg_error *err)
{
	struct lg_journal_mark last = { 0 };
	int rc = lg_plan_load(config, id, ret_plan, err);
	if (rc == 0)
		rc = lg_journal_read(lg_config_state_dir(config), id, &last, NULL, err);
	if (rc < 0)
		return rc;
	if (last.state != LG_JOURNAL_ENDED || strcmp(last.outcome, "stuck") == 0)
		return lg_fail(err, LG_EBUSY, 0,
			"rollback '%s' is unfinished; finish it with: lastgood rollback resume %s", id, id);
	if (strcmp(last.outcome, "undone") == 0)
		return lg_fail(
			err, LG_EINVALID, 0, "rollback '%s' was undone already; nothing of it is in force", id);
	return 0;
}

/* What the plan to undo a rollback has beyond the way back. */
static int complete_undo(struct lg_config *config, const struct lg_rollback_plan *undone,
	struct lg_rollback_plan *plan, struct lg_error *err)
{
	int hold = find_hold(config, undone->id);
	uint64_t seq = hold < 0 ? 0 : lg_config_controls(config)->holds[hold].seq;
	if (plan->changes == 0 && seq)
		return lg_fail(err, LG_EINVALID, 0,
			"nothing of rollback '%s' is in force but its hold; release that with: lastgood "
			"release h%" PRIu64 " --reason TEXT",
			undone->id, seq);
	if (plan->changes == 0)
		return lg_fail(err, LG_EINVALID, 0, "nothing of rollback '%s' is in force", undone->id);
	plan->takes_back = !undone->takes_back;
	if (plan->takes_back) {
		plan->undo_hold = seq;
		plan->undo_suspect = undone->suspect;
		plan->undo_suspect_was_good = undone->suspect_was_good;
	}
	return lg_plan_seal(plan, err);
}

int lg_rollback_undo_plan(struct lg_config *config, struct lg_delivery *delivery, const char *id,
	const struct lg_author *author, struct lg_rollback_plan **ret_plan, struct lg_problems *problems,
	struct lg_error *err)
{
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *undone = NULL;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	int rc = load_ended(config, id, &undone, err);
	if (rc < 0)
		return rc;
	char target[32];
	snprintf(target, sizeof target, "r%" PRIu64, undone->from);
	const struct lg_rollback_request request = {
		.target = target, .scope = &undone->scope, .author = *author, .undo_of = id
	};
	rc = lg_rollback_plan(config, delivery, &request, &plan, problems, err);
	if (rc == 0)
		rc = complete_undo(config, undone, plan, err);
	if (rc < 0)
		return rc;
	*ret_plan = lg_steal_ptr(&plan);
	return 0;
}
