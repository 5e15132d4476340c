/* rollback config list show undo resume */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/confirm.h"
#include "cli/report.h"
#include "cli/rollback_view.h"
#include "cli/show.h"
#include "io/file.h"
#include "model/value.h"
#include "rollback/rollback.h"

#include <string.h>

/* --- asking ---------------------------------------------------------------------------------------------------------------------- */

static int cancelled(struct lg_cli *cli, struct lg_error *err)
{
	lg_output_note(&cli->output, "Rollback cancelled");
	return lg_output_document(&cli->output, json_pack("{s:s}", "outcome", "cancelled"), err);
}

/* --- running ------------------------------------------------------------------------------------------------------------------------ */

static void on_progress(void *arg, const struct lg_rollback_event *event)
{
	struct lg_cli *cli = arg;
	bool detail = event->detail && *event->detail, message = event->message && *event->message;
	if (strcmp(event->what, "begun") == 0)
		return;
	lg_output_note(&cli->output, "  %s%s%s %s%s%s", event->step, detail ? " " : "",
		detail ? event->detail : "", event->what, message ? ": " : "", message ? event->message : "");
}

/* After an execution or a recovery, whichever way it ended.  document has what was planned; the outcome is added. */
static int tell(struct lg_cli *cli, const char *id, const struct lg_rollback_outcome *outcome, int rc,
	json_t *document, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *record = NULL;
	if (lg_rollback_show(cli->session.state_dir, id, &record, &why) < 0)
		record = NULL; /* the outcome itself is known all the same */
	lg_rollback_view_outcome(cli, id, rc == 0 ? outcome : NULL, record, document);
	int shown = lg_output_document(&cli->output, json_incref(document), rc < 0 ? NULL : err);
	return rc < 0 ? rc : shown;
}

static int execute(struct lg_cli *cli, struct lg_rollback_plan *plan, json_t *document, struct lg_error *err)
{
	struct lg_rollback_outcome outcome = { .outcome = "" };
	lg_autofree char *id = strdup(lg_rollback_plan_id(plan));
	if (!id)
		return lg_fail_nomem(err);
	int rc = lg_rollback_execute(
		cli->session.config, cli->session.delivery, plan, on_progress, cli, &outcome, err);
	if (rc == LG_EBUSY || rc == LG_ECONFLICT)
		return rc; /* nothing was begun */
	cli->hint = rc < 0
		? "'lastgood rollback list' tells how it stands, 'lastgood rollback show ID' each step"
		: NULL;
	return tell(cli, id, &outcome, rc, document, err);
}

/* A backup file is read once more, only to say what becomes of each of its keys. */
static int view_file(
	struct lg_cli *cli, const struct lg_rollback_plan *plan, json_t *document, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	const char *path = lg_args_value(&cli->args, "to");
	int rc = lg_file_read(path, LG_IMPORT_MAX, &text, err);
	if (rc == 0)
		rc = lg_format_parse(
			lg_format_from_path(path), path, lg_buf_str(&text), text.len, &items, NULL, err);
	return rc < 0 ? rc : lg_rollback_view_keys(cli, lg_rollback_plan_json(plan), &items, document, err);
}

/* Shows the plan, asks, runs. */
static int run_plan(struct lg_cli *cli, struct lg_rollback_plan *plan, bool from_file, struct lg_error *err)
{
	bool dry_run = lg_args_has(&cli->args, "dry-run");
	lg_cleanup(lg_json_freep) json_t *document = NULL;
	int rc = lg_rollback_view_plan(cli, plan, dry_run, &document, err);
	if (rc == 0 && from_file)
		rc = view_file(cli, plan, document, err);
	if (rc < 0)
		return rc;
	size_t changes = lg_rollback_plan_changes(plan);
	if (dry_run || changes == 0) {
		lg_output_line(&cli->output, LG_STYLE_BOLD, "%s",
			dry_run ? "dry run: nothing was changed"
				: lg_args_has(&cli->args, "revert")
				? "there is nothing left to take back: no key changes"
				: "nothing differs: the state is that of the target already");
		return lg_output_document(&cli->output, lg_steal_ptr(&document), err);
	}
	if (!lg_output_is_table(&cli->output) && !lg_args_has(&cli->args, "yes"))
		lg_output_note(&cli->output, "%zu %s; --dry-run shows them", changes,
			changes == 1 ? "key changes"
				     : "keys change"); /* who is asked must have seen something */
	rc = lg_cli_confirm(cli, err);
	if (rc <= 0)
		return rc < 0 ? rc : cancelled(cli, err);
	return execute(cli, plan, document, err);
}

/* --- config ------------------------------------------------------------------------------------------------------------------------- */

/* Which of the options belong together. */
static int check_options(const struct lg_args *args, struct lg_error *err)
{
	static const char *const of_files[] = { "exact", "skip-invalid" };
	static const char *const of_reverts[] = { "skip-conflicts", "force" };
	bool to = lg_args_has(args, "to"), revert = lg_args_has(args, "revert");
	if (to && revert)
		return lg_fail(err, LG_EUSAGE, 0,
			"--to goes back to a state, --revert takes back one revision: give one of them");
	if (!to && !revert)
		return lg_fail(err, LG_EUSAGE, 0,
			"'rollback config' wants --to TARGET (r12, @-1, good, a time or a backup file) or "
			"--revert REV");
	for (size_t i = 0; i < 2; i++) {
		if (revert && lg_args_has(args, of_files[i]))
			return lg_fail(
				err, LG_EUSAGE, 0, "--%s is for a backup file, not for --revert", of_files[i]);
		if (to && lg_args_has(args, of_reverts[i]))
			return lg_fail(err, LG_EUSAGE, 0, "--%s is for --revert, not for --to", of_reverts[i]);
	}
	if (lg_args_has(args, "skip-conflicts") && lg_args_has(args, "force"))
		return lg_fail(err, LG_EUSAGE, 0,
			"--skip-conflicts leaves changed keys as they are, --force does not: give one of them");
	return 0;
}

static const char *hint_of(const struct lg_rollback_request *request, int rc)
{
	if (rc == LG_ECONFLICT && request->revert)
		return "nothing was changed; --skip-conflicts takes back the other keys, --force these too "
		       "(look first with --dry-run)";
	if (rc == LG_EINVALID && !request->revert && lg_target_is_file(request->target) &&
		!request->skip_invalid)
		return "nothing was changed; --skip-invalid takes the valid keys";
	return NULL;
}

/* A rollback that cannot even be planned, since what it would bring is not allowed, is an attempt like any other. */
static void note_refusal(struct lg_cli *cli, const struct lg_rollback_request *request, int rc)
{
	struct lg_changeset none = LG_CHANGESET_INIT;
	const struct lg_commit commit = {
		.changes = &none, .author = request->author, .action = cli->command->name
	};
	if (lg_args_has(&cli->args, "dry-run") ||
		(rc != LG_EREFUSED && (rc != LG_EINVALID || cli->problems.total == 0)))
		return;
	lg_config_refused(cli->session.config, &commit, rc, &cli->problems,
		rc == LG_EREFUSED ? "a service would refuse that state" : "what it would bring is not valid");
}

static int run_config(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	const struct lg_args *args = &cli->args;
	struct lg_rollback_request request = { .target = lg_args_value(args, "to"),
		.revert = lg_args_value(args, "revert"),
		.on_conflict = lg_args_has(args, "skip-conflicts") ? LG_CONFLICT_SKIP
			: lg_args_has(args, "force")               ? LG_CONFLICT_FORCE
								   : LG_CONFLICT_REFUSE,
		.scope = &scope,
		.exact = lg_args_has(args, "exact"),
		.skip_invalid = lg_args_has(args, "skip-invalid") };
	int rc = check_options(args, err);
	if (rc == 0)
		rc = lg_cli_scope(cli, &scope, err);
	if (rc == 0)
		rc = lg_cli_reason(cli, NULL, &request.author.reason, err);
	if (rc == 0 && lg_rollback_reason_check(request.author.reason, err) < 0)
		rc = LG_EUSAGE;
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc < 0)
		return rc;
	bool from_file = request.target && lg_target_is_file(request.target);
	request.author.actor = cli->session.actor;
	if (from_file && !lg_args_has(args, "actor"))
		request.author.actor =
			"rollback_script"; /* what existing installations have in their histories */
	rc = lg_rollback_plan(cli->session.config, cli->session.delivery, &request, &plan, &cli->problems, err);
	if (rc < 0) {
		note_refusal(cli, &request, rc);
		cli->hint = hint_of(&request, rc);
	}
	return rc < 0 ? rc : run_plan(cli, plan, from_file, err);
}

/* --- undo, resume --------------------------------------------------------------------------------------------------------------------- */

static int is_unfinished(struct lg_cli *cli, const char *id, bool *ret_unfinished, struct lg_error *err)
{
	char **ids = NULL;
	size_t count = 0;
	int rc = lg_rollback_unfinished(cli->session.state_dir, &ids, &count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		*ret_unfinished |= strcmp(ids[i], id) == 0;
	lg_names_free(ids, count);
	return 0;
}

static int recover(struct lg_cli *cli, const char *id, bool undo, struct lg_error *err)
{
	struct lg_rollback_outcome outcome = { .outcome = "" };
	int rc = lg_rollback_recover(
		cli->session.config, cli->session.delivery, id, undo, on_progress, cli, &outcome, err);
	if (rc == LG_EBUSY || rc == LG_ENOTFOUND)
		return rc;
	lg_cleanup(lg_json_freep) json_t *document = json_object();
	return document ? tell(cli, id, &outcome, rc, document, err) : lg_fail_nomem(err);
}

static int run_undo(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf reason = LG_BUF_INIT;
	const char *id = cli->args.words[0];
	struct lg_author author = { 0 };
	bool unfinished = false;
	lg_buf_addf(&reason, "other: undo of %s", id);
	int rc = lg_buf_check(&reason, err);
	if (rc == 0)
		rc = lg_cli_reason(cli, reason.data, &author.reason, err);
	if (rc == 0 && lg_rollback_reason_check(author.reason, err) < 0)
		rc = LG_EUSAGE;
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc == 0)
		rc = is_unfinished(cli, id, &unfinished, err);
	if (rc < 0)
		return rc;
	if (unfinished) {
		rc = lg_cli_confirm(cli, err);
		return rc > 0 ? recover(cli, id, true, err) : rc < 0 ? rc : cancelled(cli, err);
	}
	author.actor = cli->session.actor;
	rc = lg_rollback_undo_plan(
		cli->session.config, cli->session.delivery, id, &author, &plan, &cli->problems, err);
	return rc < 0 ? rc : run_plan(cli, plan, false, err);
}

/* One that is named, or every unfinished one in the order in which they began. */
static int run_resume(struct lg_cli *cli, struct lg_error *err)
{
	char **ids = NULL;
	size_t count = 0;
	int rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc == 0 && cli->args.word_count)
		return recover(cli, cli->args.words[0], false, err);
	if (rc == 0)
		rc = lg_rollback_unfinished(cli->session.state_dir, &ids, &count, err);
	if (rc < 0)
		return rc;
	if (count == 0) {
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "no rollback is unfinished");
		return lg_output_document(&cli->output, json_pack("{s:s}", "outcome", "nothing"), err);
	}
	if (count > 1 && !lg_output_is_table(&cli->output))
		rc = lg_fail(err, LG_EUSAGE, 0, "%zu rollbacks are unfinished: name one, the first is '%s'",
			count, ids[0]);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = recover(cli, ids[i], false, err);
	lg_names_free(ids, count);
	return rc;
}

/* --- list, show ------------------------------------------------------------------------------------------------------------------------ */

static int run_list(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *list = NULL;
	int rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = lg_rollback_list(cli->session.state_dir, &list, err);
	if (rc < 0)
		return rc;
	if (lg_output_is_table(&cli->output))
		return lg_rollback_view_list(list, &cli->output, err);
	lg_rollback_view_redact(list);
	return lg_output_document(&cli->output, json_pack("{s:O}", "rollbacks", list), err);
}

static int run_show(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *record = NULL;
	lg_cleanup(lg_json_freep) json_t *list = NULL;
	const char *id = cli->args.word_count ? cli->args.words[0] : NULL;
	int rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0 && !id) {
		rc = lg_rollback_list(cli->session.state_dir, &list, err);
		id = json_string_value(json_object_get(json_array_get(list, 0), "id"));
		if (rc == 0 && !id)
			rc = lg_fail(err, LG_ENOTFOUND, 0, "there was no rollback yet");
	}
	if (rc == 0)
		rc = lg_rollback_show(cli->session.state_dir, id, &record, err);
	if (rc < 0)
		return rc;
	lg_rollback_view_redact(record);
	if (lg_output_is_table(&cli->output))
		return lg_rollback_view_record(record, &cli->output, err);
	return lg_output_document(&cli->output, json_incref(record), err);
}

/* --- the table ---------------------------------------------------------------------------------------------------------------------------- */

static const struct lg_option config_options[] = {
	{ "to", "TARGET", "r12, @-1, good, a time, or a backup file", 0, false },
	{ "revert", "REV",
		"instead of --to: take back what this one revision did (r15, head), and nothing else", 0,
		false },
	{ "prefix", "PREFIX/", "only these keys and their declarations", 0, true },
	{ "key", "KEY", "only this key and its declaration", 0, true },
	{ "except", "KEY|PREFIX/", "but not these", 0, true },
	{ "reason", "'CODE: TEXT'",
		"why; CODE is performance, user-report, security, corruption, compliance or other", 0, false },
	{ "dry-run", NULL, "show the plan and every key before and after, change nothing", 0, false },
	{ "yes", NULL, "do not ask", 'y', false },
	{ "exact", NULL, "backup file: remove the keys of the scope that it lacks", 0, false },
	{ "skip-invalid", NULL, "backup file: leave out what is invalid instead of refusing all", 0, false },
	{ "skip-conflicts", NULL,
		"revert: leave out keys that were changed again since, instead of refusing all", 0, false },
	{ "force", NULL, "revert: take those back too, and the later changes with them", 0, false },
	{ 0 },
};
static const struct lg_option undo_options[] = {
	{ "reason", "'CODE: TEXT'", "why; default 'other: undo of ID'", 0, false },
	{ "dry-run", NULL, "show the plan and every key before and after, change nothing", 0, false },
	{ "yes", NULL, "do not ask", 'y', false },
	{ 0 },
};
static const struct lg_example config_examples[] = {
	{ "rollback config --to @-1 --prefix web/ --reason 'performance: slow since 14:00' --dry-run",
		"what would going one step back change?" },
	{ "rollback config --to good --reason 'user-report: login fails' --yes",
		"to the newest known good, without asking" },
	{ "rollback config --to backup.json --reason 'corruption: bad import' --exact",
		"to a backup file, and nothing else" },
	{ "rollback config --revert r15 --reason 'performance: the pool is too small'",
		"what r15 did is taken back; what came later stays" },
	{ 0 },
};
static const struct lg_example list_examples[] = { { "rollback list", "newest first" }, { 0 } };
static const struct lg_example show_examples[] = {
	{ "rollback show", "what the newest one did: its plan, each step, and the validation" },
	{ "rollback show 20261122-140305-1a2b3c", "the same of another" },
	{ 0 },
};
static const struct lg_example undo_examples[] = {
	{ "rollback undo 20261122-140305-1a2b3c --yes", "back to what the rollback left" },
	{ 0 },
};
static const struct lg_example resume_examples[] = { { "rollback resume", "finish what a crash interrupted" },
	{ 0 } };

const struct lg_command lg_commands_rollback[] = {
	{ .name = "rollback config",
		.usage =
			"(--to TARGET | --revert REV) [--prefix PREFIX/]… [--key KEY]… [--except SELECTOR]… --reason 'CODE: "
			"TEXT' [--dry-run] "
			"[--yes] [--exact] [--skip-invalid] [--skip-conflicts | --force]",
		.summary = "Goes back to an earlier state, or takes back one revision, and proves it",
		.description =
			"Shows what will change (each key before and after, the services that are told, "
			"the plan's hash), asks once, "
			"appends one small record, delivers to the services and validates. If "
			"validation fails the rollback takes "
			"itself back. Afterwards the scope is held: changes to it are refused until "
			"'lastgood release'.\n\nNothing is "
			"lost by going back: a rollback is a revision like any other, and 'lastgood "
			"rollback undo ID' takes it "
			"back.\n\nWith --revert exactly what that one revision did is taken back: each key that it "
			"changed becomes what it was before, and everything else stays, whoever changed "
			"it. A key that a later revision changed again is a conflict; all of them are "
			"listed and nothing is done (status 5), unless --skip-conflicts leaves them as they "
			"are or --force takes them back too. What a later rollback only brought back, or "
			"left as it was, is none. A key that is already as it was before needs nothing. "
			"Only the keys that are taken back are held, or their prefixes when there are more "
			"than 256.\n\nWithout a terminal, --yes is needed. Anything but 'yes' as the answer "
			"cancels, with status 0 and "
			"nothing touched.",
		.options = config_options,
		.examples = config_examples,
		.statuses = LG_STATUS_CHANGE | LG_STATUS(LG_EFAILED),
		.run = run_config },
	{ .name = "rollback list",
		.usage = "",
		.summary = "Lists rollbacks and how they ended",
		.description = "Lists rollbacks, newest first, with how each ended.",
		.examples = list_examples,
		.statuses = LG_STATUS_STORE,
		.run = run_list },
	{ .name = "rollback show",
		.usage = "[ID]",
		.summary = "Shows one rollback: plan, steps, validation",
		.description = "Shows one rollback, the newest without ID: its plan, its journal step by step, "
			       "and the validation report.",
		.examples = show_examples,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_show },
	{ .name = "rollback undo",
		.usage = "ID [--reason 'CODE: TEXT'] [--dry-run] [--yes]",
		.summary = "Takes a rollback back",
		.description = "Goes back to what the rollback left, through the same plan, steps and "
			       "validation. One that a crash "
			       "interrupted is reversed instead.",
		.options = undo_options,
		.examples = undo_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_CHANGE | LG_STATUS(LG_EFAILED),
		.run = run_undo },
	{ .name = "rollback resume",
		.usage = "[ID]",
		.summary = "Finishes an interrupted rollback",
		.description = "Finishes a rollback that a crash interrupted, from its journal and what is "
			       "found on disk; without "
			       "ID, every one.",
		.examples = resume_examples,
		.words_max = 1,
		.statuses = LG_STATUS_CHANGE | LG_STATUS(LG_EFAILED),
		.run = run_resume },
	{ 0 },
};
