/* mark hold release */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/show.h"
#include "model/key.h"
#include "model/value.h"

#include <string.h>

static int append(struct lg_cli *cli, enum lg_kind kind, const struct lg_buf *bodies, size_t count,
	const char *reason, uint64_t *ret_seq, struct lg_error *err)
{
	struct lg_author author = { .actor = cli->session.actor, .reason = reason };
	lg_autofree struct lg_control *controls = calloc(count, sizeof *controls);
	if (!controls)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < count; i++)
		controls[i] =
			(struct lg_control){ .kind = kind, .body = bodies[i].data, .body_len = bodies[i].len };
	return lg_config_control(cli->session.config, &author, controls, count, ret_seq, err);
}

static json_t *scope_json(const struct lg_scope *scope)
{
	json_t *json = NULL;
	return lg_scope_to_json(scope, &json, NULL) < 0 ? NULL : json;
}

static void add_scope_cell(struct lg_table *table, const struct lg_scope *scope)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_scope_describe(scope, &text);
	lg_table_add(table, LG_STYLE_NAME, lg_buf_str(&text));
}

/* --- mark ------------------------------------------------------------------------------------------------------------------------ */

static int list_marks(struct lg_cli *cli, struct lg_error *err)
{
	static const char *const headings[] = { "REVISION", "MARK", "SCOPE", "TIME", "ACTOR", "REASON" };
	const struct lg_controls *controls = lg_config_controls(cli->session.config);
	lg_cleanup(lg_table_clear) struct lg_table rows;
	json_t *list = json_array();
	lg_table_init(&rows, 6, headings);
	lg_table_keep_whole(&rows, 0);
	lg_table_keep_whole(&rows, 3);
	for (size_t i = 0; i < controls->mark_count; i++) {
		const struct lg_mark *mark = &controls->marks[i];
		char time[LG_TIME_SIZE];
		json_array_append_new(list,
			json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "revision", (json_int_t)mark->revision,
				"mark", mark->good ? "good" : "bad", "scope", scope_json(&mark->scope),
				"scope_hash", lg_show_hash_json(mark->scope_hash), "time",
				lg_show_time_json(mark->time_us), "actor", lg_show_text_json(mark->actor),
				"reason", lg_show_text_json(mark->reason)));
		lg_table_addf(&rows, LG_STYLE_NAME, "r%llu", (unsigned long long)mark->revision);
		lg_table_add(&rows, mark->good ? LG_STYLE_GOOD : LG_STYLE_BAD, mark->good ? "good" : "bad");
		add_scope_cell(&rows, &mark->scope);
		lg_table_add(&rows, LG_STYLE_DIM, lg_show_time(mark->time_us, time));
		lg_table_add(&rows, LG_STYLE_PLAIN, mark->actor);
		lg_table_add(&rows, LG_STYLE_DIM, mark->reason);
	}
	if (lg_output_is_table(&cli->output) && controls->mark_count) {
		json_decref(list);
		return lg_table_print(&rows, &cli->output, err);
	}
	lg_output_line(&cli->output, LG_STYLE_PLAIN, "nothing is marked");
	return lg_output_document(&cli->output, json_pack("{s:o}", "marks", list), err);
}

static int mark_revision(struct lg_cli *cli, const char *mark, const char *target, const struct lg_scope *scope,
	const char *reason, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	uint8_t hash[LG_HASH_SIZE];
	uint64_t revision = 0, seq = 0;
	int rc = lg_cli_state(cli, target, scope, &revision, &tree, err);
	if (rc == 0 && revision == 0)
		rc = lg_fail(err, LG_EINVALID, 0,
			"r0 is the empty state before the first revision; there is nothing in it to mark");
	if (rc < 0)
		return rc;
	lg_tree_scope_hash(tree, scope, hash);
	rc = lg_control_mark(&body, mark, revision, scope, hash, err);
	if (rc == 0)
		rc = append(cli, LG_KIND_MARK, &body, 1, reason, &seq, err);
	if (rc < 0)
		return rc;
	lg_scope_describe(scope, &what);
	lg_output_line(&cli->output, LG_STYLE_BOLD, "r%llu is marked %s for %s", (unsigned long long)revision,
		mark, lg_buf_str(&what));
	if (strcmp(mark, "bad") == 0)
		lg_output_note(&cli->output,
			"lastgood: no rollback picks this content any more; to leave it: "
			"\"lastgood rollback config --to good --reason 'CODE: text'\"");
	return lg_output_document(&cli->output,
		json_pack("{s:I, s:I, s:s, s:o, s:o}", "seq", (json_int_t)seq, "revision", (json_int_t)revision,
			"mark", mark, "scope", scope_json(scope), "scope_hash", lg_show_hash_json(hash)),
		err);
}

static int run_mark(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	const char *reason = NULL;
	if (cli->args.word_count == 0) {
		int rc = lg_session_open(cli, LG_SESSION_READ, err);
		return rc < 0 ? rc : list_marks(cli, err);
	}
	const char *mark = cli->args.words[0];
	if (strcmp(mark, "good") != 0 && strcmp(mark, "bad") != 0 && strcmp(mark, "none") != 0)
		return lg_fail(err, LG_EUSAGE, 0, "a mark is good, bad or none, not '%s'", mark);
	if (cli->args.word_count < 2)
		return lg_fail(err, LG_EUSAGE, 0, "which revision is %s? lastgood mark %s rN", mark, mark);
	int rc = lg_cli_scope(cli, &scope, err);
	if (rc == 0)
		rc = lg_cli_reason(cli, "marked by hand", &reason, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_WRITE, err);
	return rc < 0 ? rc : mark_revision(cli, mark, cli->args.words[1], &scope, reason, err);
}

/* --- hold ------------------------------------------------------------------------------------------------------------------------ */

static int list_holds(struct lg_cli *cli, struct lg_error *err)
{
	static const char *const headings[] = { "HOLD", "SCOPE", "TIME", "ACTOR", "ROLLBACK", "REASON" };
	const struct lg_controls *controls = lg_config_controls(cli->session.config);
	lg_cleanup(lg_table_clear) struct lg_table rows;
	json_t *list = json_array();
	lg_table_init(&rows, 6, headings);
	lg_table_keep_whole(&rows, 0);
	lg_table_keep_whole(&rows, 2);
	lg_table_keep_whole(&rows, 4);
	for (size_t i = 0; i < controls->hold_count; i++) {
		const struct lg_hold *hold = &controls->holds[i];
		char time[LG_TIME_SIZE];
		json_array_append_new(list,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:s?}", "hold",
				json_sprintf("h%llu", (unsigned long long)hold->seq), "scope",
				scope_json(&hold->scope), "time", lg_show_time_json(hold->time_us), "actor",
				lg_show_text_json(hold->actor), "reason", lg_show_text_json(hold->reason),
				"rollback", hold->rollback));
		lg_table_addf(&rows, LG_STYLE_NAME, "h%llu", (unsigned long long)hold->seq);
		add_scope_cell(&rows, &hold->scope);
		lg_table_add(&rows, LG_STYLE_DIM, lg_show_time(hold->time_us, time));
		lg_table_add(&rows, LG_STYLE_PLAIN, hold->actor);
		lg_table_add(&rows, LG_STYLE_PLAIN, hold->rollback ? hold->rollback : "");
		lg_table_add(&rows, LG_STYLE_DIM, hold->reason);
	}
	if (lg_output_is_table(&cli->output) && controls->hold_count) {
		json_decref(list);
		return lg_table_print(&rows, &cli->output, err);
	}
	lg_output_line(&cli->output, LG_STYLE_PLAIN, "nothing is held");
	return lg_output_document(&cli->output, json_pack("{s:o}", "holds", list), err);
}

static int hold_scope(struct lg_cli *cli, struct lg_scope *ret_scope, struct lg_error *err)
{
	bool all = lg_args_has(&cli->args, "all");
	if (all == (cli->args.word_count > 0))
		return lg_fail(err, LG_EUSAGE, 0, "hold either what is named or everything: lastgood hold %s",
			cli->command->usage);
	for (size_t i = 0; i < cli->args.word_count; i++) {
		int rc = lg_scope_include(ret_scope, cli->args.words[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int run_hold(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	const char *reason = NULL;
	uint64_t seq = 0;
	if (cli->args.word_count == 0 && !lg_args_has(&cli->args, "all")) {
		int rc = lg_session_open(cli, LG_SESSION_READ, err);
		return rc < 0 ? rc : list_holds(cli, err);
	}
	int rc = hold_scope(cli, &scope, err);
	if (rc == 0)
		rc = lg_cli_reason(cli, NULL, &reason, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_WRITE, err);
	if (rc == 0)
		rc = lg_control_hold(&body, &scope, NULL, err);
	if (rc == 0)
		rc = append(cli, LG_KIND_HOLD, &body, 1, reason, &seq, err);
	if (rc < 0)
		return rc;
	lg_scope_describe(&scope, &what);
	lg_output_line(&cli->output, LG_STYLE_BOLD,
		"h%llu: %s is held; 'lastgood release h%llu --reason TEXT' ends it", (unsigned long long)seq,
		lg_buf_str(&what), (unsigned long long)seq);
	return lg_output_document(&cli->output,
		json_pack("{s:o, s:o}", "hold", json_sprintf("h%llu", (unsigned long long)seq), "scope",
			scope_json(&scope)),
		err);
}

/* --- release ------------------------------------------------------------------------------------------------------------------------ */

static int hold_number(struct lg_cli *cli, const char *word, uint64_t *ret_seq, struct lg_error *err)
{
	const struct lg_controls *controls = lg_config_controls(cli->session.config);
	lg_cleanup(lg_buf_clear) struct lg_buf names = LG_BUF_INIT;
	int64_t number = 0;
	if (lg_int_parse(word + (*word == 'h'), 1, INT64_MAX, &number, NULL) < 0)
		return lg_fail(err, LG_EUSAGE, 0, "'%s' is no hold: 'lastgood hold' lists them", word);
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (controls->holds[i].seq == (uint64_t)number) {
			*ret_seq = (uint64_t)number;
			return 0;
		}
		lg_buf_addf(&names, "%sh%llu", i ? ", " : "", (unsigned long long)controls->holds[i].seq);
	}
	return lg_fail(err, LG_ENOTFOUND, 0, "hold 'h%llu' is not in force; %s%s", (unsigned long long)number,
		names.len ? "in force: " : "nothing is held", lg_buf_str(&names));
}

static int release(
	struct lg_cli *cli, const uint64_t *seqs, size_t count, const char *reason, struct lg_error *err)
{
	struct lg_buf *bodies = calloc(count, sizeof *bodies);
	json_t *list = json_array();
	int rc = bodies && list ? 0 : lg_fail_nomem(err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = lg_control_release(&bodies[i], seqs[i], err);
	if (rc == 0)
		rc = append(cli, LG_KIND_RELEASE, bodies, count, reason, NULL, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		lg_output_line(&cli->output, LG_STYLE_BOLD, "h%llu is released", (unsigned long long)seqs[i]);
		json_array_append_new(list, json_sprintf("h%llu", (unsigned long long)seqs[i]));
	}
	for (size_t i = 0; bodies && i < count; i++)
		lg_buf_clear(&bodies[i]);
	free(bodies);
	if (rc == 0)
		return lg_output_document(&cli->output, json_pack("{s:o}", "released", list), err);
	json_decref(list);
	return rc;
}

static int run_release(struct lg_cli *cli, struct lg_error *err)
{
	bool all = lg_args_has(&cli->args, "all");
	size_t words = cli->args.word_count;
	const char *reason = NULL;
	if (all == (words > 0))
		return lg_fail(err, LG_EUSAGE, 0,
			"release either the holds named or --all: 'lastgood hold' lists them");
	int rc = lg_cli_reason(cli, NULL, &reason, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_WRITE, err);
	if (rc < 0)
		return rc;
	const struct lg_controls *controls = lg_config_controls(cli->session.config);
	size_t count = all ? controls->hold_count : words;
	if (count == 0)
		return lg_fail(err, LG_ENOTFOUND, 0, "nothing is held");
	lg_autofree uint64_t *seqs = calloc(count, sizeof *seqs);
	if (!seqs)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (all)
			seqs[i] = controls->holds[i].seq;
		else
			rc = hold_number(cli, cli->args.words[i], &seqs[i], err);
	}
	return rc < 0 ? rc : release(cli, seqs, count, reason, err);
}

/* --- the table ------------------------------------------------------------------------------------------------------------------------- */

static const struct lg_option mark_options[] = {
	{ "prefix", "PREFIX/", "for these keys; default everything", 0, true },
	{ "key", "KEY", "for this key", 0, true },
	{ "reason", "TEXT", "why; default 'marked by hand'", 0, false },
	{ 0 },
};
static const struct lg_option hold_options[] = {
	{ "all", NULL, "everything", 0, false },
	{ "reason", "TEXT", "why; kept with the record", 0, false },
	{ 0 },
};
static const struct lg_option release_options[] = {
	{ "all", NULL, "every hold in force", 0, false },
	{ "reason", "TEXT", "why; kept with the record", 0, false },
	{ 0 },
};
static const struct lg_example mark_examples[] = {
	{ "mark good r12 --prefix web/", "r12 is a target for rollbacks of web/" },
	{ "mark bad r15", "its content is never picked again by a rollback to 'good'" },
	{ "mark", "the marks in force" },
	{ 0 },
};
static const struct lg_example hold_examples[] = {
	{ "hold web/ --reason 'audit until Monday'", "changes to web/ are refused" },
	{ "hold", "the holds in force" },
	{ 0 },
};
static const struct lg_example release_examples[] = {
	{ "release h17 --reason 'fixed in r21'", "changes are allowed again" },
	{ 0 },
};

const struct lg_command lg_commands_control[] = {
	{ .name = "mark",
		.usage = "[good|bad|none TARGET [--prefix PREFIX/]… [--key KEY]… [--reason TEXT]]",
		.summary = "Marks a revision known good or bad, or lists marks",
		.description = "A revision that is known good is what a rollback to 'good' looks for; the "
			       "content of a bad one is never picked "
			       "again, also when it is imported anew. 'none' takes a mark back. Without a "
			       "word: lists the marks in force.",
		.options = mark_options,
		.examples = mark_examples,
		.words_max = 2,
		.statuses = LG_STATUS_CHANGE,
		.run = run_mark },
	{ .name = "hold",
		.usage = "[KEY|PREFIX/… | --all] --reason TEXT",
		.summary = "Refuses changes to a scope, or lists holds",
		.description = "While a scope is held, changes to it are refused, visibly. A person's "
			       "rollback, undo and resume are "
			       "not. Without a word: lists the holds in force.",
		.options = hold_options,
		.examples = hold_examples,
		.words_max = SIZE_MAX,
		.statuses = LG_STATUS_CHANGE,
		.run = run_hold },
	{ .name = "release",
		.usage = "hN…|--all --reason TEXT",
		.summary = "Ends a hold",
		.description = "Ends holds, so that changes to their scope are allowed again.",
		.options = release_options,
		.examples = release_examples,
		.words_max = SIZE_MAX,
		.statuses = LG_STATUS_CHANGE,
		.run = run_release },
	{ 0 },
};
