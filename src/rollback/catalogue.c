/* The rollbacks of this host, from their directories. */
#include "rollback/internal.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

static int ids_of(const char *state_dir, char ***ret_ids, size_t *ret_count, struct lg_error *err)
{
	lg_autofree char *dir = lg_path_join(state_dir, "rollbacks");
	if (!dir)
		return lg_fail_nomem(err);
	if (!lg_file_exists(dir)) {
		*ret_ids = NULL;
		*ret_count = 0;
		return 0;
	}
	return lg_dir_list(dir, ret_ids, ret_count, err);
}

/* A directory without a plan is a rollback that was cut off before it was one. */
static bool has_plan(const char *state_dir, const char *id)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	struct lg_error ignored = LG_ERROR_INIT;
	return lg_rollback_path(state_dir, id, "plan.json", &path, &ignored) == 0 && lg_file_exists(path.data);
}

static bool is_unfinished(const char *state_dir, const char *id)
{
	struct lg_journal_mark last = { 0 };
	struct lg_error ignored = LG_ERROR_INIT;
	if (!has_plan(state_dir, id))
		return false;
	if (lg_journal_read(state_dir, id, &last, NULL, &ignored) < 0)
		return true;
	return last.state != LG_JOURNAL_ENDED || strcmp(last.outcome, "stuck") == 0;
}

int lg_rollback_unfinished(const char *state_dir, char ***ret_ids, size_t *ret_count, struct lg_error *err)
{
	char **ids;
	size_t count;
	int rc = ids_of(state_dir, &ids, &count, err);
	if (rc < 0)
		return rc;
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (is_unfinished(state_dir, ids[i]))
			ids[kept++] = ids[i];
		else
			free(ids[i]);
	}
	*ret_ids = ids;
	*ret_count = kept;
	return 0;
}

static int read_json(
	const char *state_dir, const char *id, const char *name, json_t **ret_json, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_rollback_path(state_dir, id, name, &path, err);
	if (rc == 0)
		rc = lg_file_read(path.data, (size_t)512 * 1024 * 1024, &text, err);
	return rc < 0 ? rc : lg_json_parse(lg_buf_str(&text), text.len, text.len, ret_json, err);
}

/* An unfinished one that cannot be read covers nothing that could be told. */
static bool covers(const char *state_dir, const char *id, const struct lg_scope *scope)
{
	struct lg_error ignored = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *plan = NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope own = LG_SCOPE_ALL;
	struct lg_journal_mark last;
	return lg_journal_read(state_dir, id, &last, NULL, &ignored) == 0 &&
		read_json(state_dir, id, "plan.json", &plan, &ignored) == 0 &&
		lg_scope_from_json(json_object_get(plan, "scope"), &own, &ignored) == 0 &&
		lg_scope_overlaps(&own, scope);
}

int lg_rollback_check_unfinished(const char *state_dir, const struct lg_scope *scope, struct lg_error *err)
{
	char **ids;
	size_t count;
	int rc = lg_rollback_unfinished(state_dir, &ids, &count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (covers(state_dir, ids[i], scope))
			rc = lg_fail(err, LG_EBUSY, 0,
				"rollback '%s' of the same keys is unfinished; finish it first with: lastgood "
				"rollback resume %s",
				ids[i], ids[i]);
	}
	lg_names_free(ids, count);
	return rc;
}

static int with_state(const char *state_dir, const char *id, json_t **ret_plan, struct lg_error *err)
{
	struct lg_journal_mark last = { 0 };
	lg_cleanup(lg_json_freep) json_t *plan = NULL;
	int rc = read_json(state_dir, id, "plan.json", &plan, err);
	if (rc == 0)
		rc = lg_journal_read(state_dir, id, &last, NULL, err);
	if (rc < 0)
		return rc;
	const char *state = last.state == LG_JOURNAL_ENDED ? last.outcome : "unfinished";
	if (!json_is_object(plan))
		return lg_fail(err, LG_ECORRUPT, 0, "the plan of rollback '%s' is not what was written", id);
	if (json_object_set_new(plan, "state", json_string(state)) < 0)
		return lg_fail_nomem(err);
	*ret_plan = lg_steal_ptr(&plan);
	return 0;
}

int lg_rollback_list(const char *state_dir, json_t **ret_list, struct lg_error *err)
{
	char **ids;
	size_t count;
	int rc = ids_of(state_dir, &ids, &count, err);
	if (rc < 0)
		return rc;
	json_t *list = json_array();
	for (size_t i = count; list && i-- > 0;) {
		json_t *plan = NULL;
		struct lg_error why = LG_ERROR_INIT;
		if (!has_plan(state_dir, ids[i]))
			continue;
		if (with_state(state_dir, ids[i], &plan, &why) < 0)
			plan = json_pack(
				"{s:s, s:s, s:s}", "id", ids[i], "state", "unreadable", "error", why.message);
		json_array_append_new(list, plan);
	}
	lg_names_free(ids, count);
	if (!list)
		return lg_fail_nomem(err);
	*ret_list = list;
	return 0;
}

int lg_rollback_show(const char *state_dir, const char *id, json_t **ret_rollback, struct lg_error *err)
{
	struct lg_journal_mark last = { 0 };
	lg_cleanup(lg_json_freep) json_t *plan = NULL;
	lg_cleanup(lg_json_freep) json_t *lines = json_array();
	int rc = lg_rollback_id_check(id, err);
	if (rc == 0)
		rc = with_state(state_dir, id, &plan, err);
	if (rc == LG_ENOTFOUND)
		return lg_fail(err, rc, 0, "there is no rollback '%s'; look with: lastgood rollback list", id);
	if (rc == 0)
		rc = lg_journal_read(state_dir, id, &last, lines, err);
	if (rc < 0)
		return rc;
	json_t *report = NULL;
	struct lg_error absent = LG_ERROR_INIT;
	if (read_json(state_dir, id, "report.json", &report, &absent) == 0)
		json_object_set_new(plan, "report", report);
	if (json_object_set(plan, "journal", lines) < 0)
		return lg_fail_nomem(err);
	*ret_rollback = lg_steal_ptr(&plan);
	return 0;
}
