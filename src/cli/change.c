#include "cli/change.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/show.h"
#include "model/secret.h"
#include "model/value.h"

#include <string.h>

/* --- delivery ---------------------------------------------------------------------------------------------------------- */

struct deliver_state {
	struct lg_cli *cli;
	uint64_t revision;
	json_t *list;
	bool failed;
};

static const char *outcome_of(const struct lg_delivered *delivered)
{
	if (delivered->code < 0)
		return "failed";
	if (delivered->result.superseded)
		return "superseded";
	return delivered->result.changed ? "delivered" : "unchanged";
}

static void tell_delivered(void *arg, const struct lg_delivered *delivered)
{
	struct deliver_state *state = arg;
	const char *outcome = outcome_of(delivered);
	json_t *item = json_pack("{s:s, s:s}", "adapter", delivered->adapter, "outcome", outcome);
	if (delivered->code < 0) {
		json_object_set_new(item, "code", json_string(lg_code_name(delivered->code)));
		json_object_set_new(item, "error", lg_show_text_json(delivered->error.message));
		lg_output_warn(&state->cli->output,
			"adapter '%s' is not delivered, the change stays as r%llu: %s; mend the cause and "
			"repeat the "
			"command, or go back with \"lastgood rollback config --to @-1 --reason 'other: not "
			"delivered'\"",
			delivered->adapter, (unsigned long long)state->revision, delivered->error.message);
	} else if (delivered->result.changed) {
		lg_output_line(&state->cli->output, LG_STYLE_GOOD, "delivered to '%s'%s", delivered->adapter,
			delivered->result.notified ? ", which was told to take it over" : "");
	}
	state->failed |= json_array_append_new(state->list, item) != 0;
}

int lg_change_deliver(struct lg_cli *cli, uint64_t revision, json_t **ret_list, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	struct lg_error why = LG_ERROR_INIT;
	struct deliver_state state = { .cli = cli, .revision = revision, .list = json_array() };
	lg_cleanup(lg_json_freep) json_t *list = state.list;
	if (!list)
		return lg_fail_nomem(err);
	int rc = lg_delivery_run(session->delivery, session->actor, tell_delivered, &state, &why);
	if (state.failed)
		return lg_fail_nomem(err);
	if (rc < 0) {
		if (json_array_size(list) == 0) /* it failed before any adapter was tried */
			lg_output_warn(&cli->output,
				"adapters are not delivered, the change stays as r%llu: %s",
				(unsigned long long)revision, why.message);
		cli->status = rc;
	}
	if (ret_list)
		*ret_list = lg_steal_ptr(&list);
	return 0;
}

/* --- the change ---------------------------------------------------------------------------------------------------------- */

static int collect_key(
	const char *key, const struct lg_tree *former, const struct lg_tree *next, struct lg_show_diff *diff)
{
	struct lg_entry before, after;
	bool had = lg_tree_get(former, key, strlen(key), &before);
	bool has = lg_tree_get(next, key, strlen(key), &after);
	if (had == has &&
		(!had ||
			(before.value_len == after.value_len &&
				memcmp(before.value, after.value, after.value_len) == 0)))
		return 0;
	return lg_show_diff_visit(diff, had ? &before : NULL, has ? &after : NULL);
}

/* What differs between two states, of the keys of the change only: others may have written in between. */
static int collect(const struct lg_changeset *set, const struct lg_tree *former, const struct lg_tree *next,
	struct lg_show_diff *diff)
{
	int rc = 0;
	bool only_declarations = true;
	for (size_t i = 0; i < set->count; i++)
		only_declarations &= lg_starts_with(set->items[i].key, LG_SCHEMA_SPACE);
	for (size_t i = 0; i < set->count && rc >= 0; i++) {
		const char *key = set->items[i].key;
		rc = collect_key(key, former, next, diff);
		/* a declaration may have sealed its key's value */
		if (rc >= 0 && only_declarations)
			rc = collect_key(key + strlen(LG_SCHEMA_SPACE), former, next, diff);
	}
	return rc;
}

static void tell(struct lg_cli *cli, const struct lg_change_request *request,
	const struct lg_committed *committed, bool repeated)
{
	struct lg_output *output = &cli->output;
	unsigned long long revision = committed->revision;
	if (request->dry_run)
		lg_output_line(output, LG_STYLE_BOLD, "dry run: %zu %s would be changed, nothing was",
			committed->changed, committed->changed == 1 ? "key" : "keys");
	else if (repeated)
		lg_output_line(output, LG_STYLE_PLAIN, "nothing differs: the state stays as r%llu", revision);
	else
		lg_output_line(output, LG_STYLE_BOLD, "r%llu: %s, %zu %s changed", revision, request->what,
			committed->changed, committed->changed == 1 ? "key" : "keys");
	if (committed->skipped)
		lg_output_line(output, LG_STYLE_WARN, "%zu left out as invalid:", committed->skipped);
}

static void tell_skipped(struct lg_cli *cli)
{
	for (size_t i = 0; i < cli->problems.count; i++)
		lg_output_warn(&cli->output, "left out: %s: %s", cli->problems.items[i].subject,
			cli->problems.items[i].message);
	if (cli->problems.total > cli->problems.count)
		lg_output_warn(
			&cli->output, "and %zu more were left out", cli->problems.total - cli->problems.count);
}

static json_t *skipped_json(const struct lg_problems *problems)
{
	json_t *list = json_array();
	for (size_t i = 0; i < problems->count; i++)
		json_array_append_new(list,
			json_pack("{s:o, s:o}", "subject", lg_show_text_json(problems->items[i].subject),
				"message", lg_show_text_json(problems->items[i].message)));
	return list;
}

static int document(struct lg_cli *cli, const struct lg_change_request *request,
	const struct lg_committed *committed, struct lg_show_diff *diff, json_t *deliveries,
	struct lg_error *err)
{
	return lg_output_document(&cli->output,
		json_pack("{s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:O}", "revision",
			(json_int_t)committed->revision, "changed", (json_int_t)committed->changed, "skipped",
			(json_int_t)committed->skipped, "dry_run", (int)request->dry_run, "root",
			lg_show_hash_json(committed->root), "changes", lg_show_diff_json(diff), "problems",
			skipped_json(&cli->problems), "deliveries", deliveries),
		err);
}

static struct lg_commit commit_of(struct lg_cli *cli, const struct lg_change_request *request)
{
	struct lg_commit change = { .changes = request->changes,
		.author = { .actor = cli->session.actor, .reason = request->reason },
		.action = cli->command->name,
		.has_expect_root = request->has_expect_root,
		.skip_invalid = request->skip_invalid,
		.dry_run = request->dry_run };
	memcpy(change.expect_root, request->expect_root, LG_HASH_SIZE);
	return change;
}

static int commit(struct lg_cli *cli, const struct lg_change_request *request,
	struct lg_committed *ret_committed, struct lg_error *err)
{
	/* a list of its own: a commit that is tried again begins its list anew, and cli->problems may hold others */
	lg_cleanup(lg_problems_clear) struct lg_problems found = LG_PROBLEMS_INIT;
	const struct lg_commit change = commit_of(cli, request);
	int rc = lg_config_commit(cli->session.config, &change, ret_committed, &found, err);
	for (size_t i = 0; i < found.count; i++)
		lg_problems_add(&cli->problems, found.items[i].subject, "%s", found.items[i].message);
	cli->problems.total += found.total - found.count;
	cli->problems.is_foreign |= found.is_foreign;
	return rc;
}

/* On the record: it was refused, and not by a commit, which sees to that itself. */
static void note_refusal(
	struct lg_cli *cli, const struct lg_change_request *request, int code, const char *message)
{
	const struct lg_commit change = commit_of(cli, request);
	if (!request->dry_run)
		lg_config_refused(cli->session.config, &change, code, &cli->problems, message);
}

int lg_change_refuse(
	struct lg_cli *cli, const struct lg_change_request *request, const char *what, struct lg_error *err)
{
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	struct lg_change_request trial = *request;
	struct lg_error ignored = LG_ERROR_INIT;
	trial.dry_run = true;
	trial.skip_invalid = false;
	commit(cli, &trial, &committed, &ignored);
	int rc = lg_problems_fail(&cli->problems, err, what);
	note_refusal(cli, request, rc, NULL);
	return rc;
}

int lg_change_preview(struct lg_cli *cli, const struct lg_change_request *request, struct lg_error *err)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot former = { 0 };
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	lg_cleanup(lg_show_diff_clear) struct lg_show_diff diff = { 0 };
	struct lg_change_request trial = *request;
	trial.dry_run = true;
	lg_config_snapshot(cli->session.config, &former);
	int rc = commit(cli, &trial, &committed, err);
	if (rc < 0) {
		note_refusal(cli, request, rc, err->message);
		return rc;
	}
	lg_show_diff_init(&diff, &cli->output, 0);
	if (collect(request->changes, former.tree, committed.tree, &diff) < 0)
		return lg_fail_nomem(err);
	rc = lg_show_diff_print(&diff, &cli->output, err);
	return rc < 0 ? rc : committed.changed > 0;
}

/* --- what became a secret ---------------------------------------------------------------------------------------------- */

static int note_readable(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)err;
	if (!event->value || lg_secret_is_sealed(event->value, event->value_len))
		return 0;
	*(uint64_t *)arg = event->record->seq;
	return 1;
}

/* Sealing the value from now on does not take it out of the records that are there. */
static int warn_of_readable(struct lg_cli *cli, const char *key, struct lg_error *err)
{
	uint64_t revision = 0;
	lg_cleanup(lg_buf_clear) struct lg_buf word = LG_BUF_INIT;
	int rc = lg_config_history_key(cli->session.config, key, 0, note_readable, &revision, err);
	if (rc < 0 || !revision)
		return rc;
	lg_show_word(key, &word);
	lg_output_warn(&cli->output,
		"'%s' was no secret before: its value at r%llu, and maybe older ones, stay readable in the log until "
		"'lastgood trim' drops them, and in exports and backups; replace the secret itself where it is used, "
		"then 'lastgood set %s=NEW --reason TEXT'",
		key, (unsigned long long)revision, lg_buf_str(&word));
	return 0;
}

static int warn_of_secrets(struct lg_cli *cli, const struct lg_changeset *set, const struct lg_tree *former,
	const struct lg_tree *next, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < set->count; i++) {
		const char *key = set->items[i].key;
		if (!lg_starts_with(key, LG_SCHEMA_SPACE) || !set->items[i].value)
			continue;
		key += strlen(LG_SCHEMA_SPACE);
		int before = lg_show_is_secret(former, key), after = lg_show_is_secret(next, key);
		if (before < 0 || after < 0)
			return lg_fail_nomem(err);
		if (after && !before)
			rc = warn_of_readable(cli, key, err);
	}
	return rc;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------ */

int lg_change_run(struct lg_cli *cli, const struct lg_change_request *request, struct lg_error *err)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot former = { 0 };
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	lg_cleanup(lg_show_diff_clear) struct lg_show_diff diff = { 0 };
	lg_cleanup(lg_json_freep) json_t *deliveries = json_array();
	size_t limit = request->count_only ? 40 : 0;
	if (!deliveries)
		return lg_fail_nomem(err);
	lg_config_snapshot(cli->session.config, &former);
	int rc = commit(cli, request, &committed, err);
	if (rc < 0)
		return rc;
	lg_show_diff_init(&diff, &cli->output, request->dry_run ? 0 : limit);
	if (collect(request->changes, former.tree, committed.tree, &diff) < 0)
		return lg_fail_nomem(err);
	tell(cli, request, &committed, committed.changed == 0 && !request->dry_run);
	tell_skipped(cli);
	rc = lg_show_diff_print(&diff, &cli->output, err);
	if (rc == 0)
		rc = warn_of_secrets(cli, request->changes, former.tree, committed.tree, err);
	if (rc == 0 && !request->dry_run) {
		json_t *list = NULL;
		rc = lg_change_deliver(cli, committed.revision, &list, err);
		if (rc == 0) {
			json_decref(deliveries);
			deliveries = list;
		}
	}
	return rc < 0 ? rc : document(cli, request, &committed, &diff, deliveries, err);
}
