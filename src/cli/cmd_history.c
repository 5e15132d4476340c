/* history show diff */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/record.h"
#include "cli/show.h"
#include "model/key.h"
#include "model/value.h"

#include <string.h>

#define DEFAULT_LIMIT 50
#define STATE_KINDS   (1u << LG_KIND_CHANGE | 1u << LG_KIND_RESTORE)

/* --- history --------------------------------------------------------------------------------------------------------------------- */

struct history_state {
	struct lg_cli *cli;
	bool table;
	const struct lg_scope *scope; /* records that concern it, or NULL */
	uint64_t limit;
	struct lg_table rows;
	json_t *items;
	json_t *gaps;
	uint64_t count;
	uint64_t previous; /* seq of the record told last, at first beyond them all */
	bool gone;         /* a gap was told */
	bool more;
};

/* The newest mark on this revision, or "". */
static const char *mark_of(struct lg_cli *cli, const struct lg_record *record)
{
	const struct lg_controls *controls = lg_config_controls(cli->session.config);
	const char *mark = "";
	for (size_t i = 0; i < controls->mark_count && lg_kind_is_state(record->kind); i++)
		if (controls->marks[i].revision == record->seq)
			mark = controls->marks[i].good ? "good" : "bad";
	return mark;
}

static enum lg_style mark_style(const char *mark)
{
	return strcmp(mark, "good") == 0 ? LG_STYLE_GOOD : LG_STYLE_BAD;
}

static int history_row(struct history_state *state, const struct lg_record *record, const char *what)
{
	char name[LG_RECORD_NAME_SIZE], time[LG_TIME_SIZE];
	const char *mark = mark_of(state->cli, record);
	lg_table_add(&state->rows, LG_STYLE_NAME, lg_record_name(record, name));
	lg_table_add(&state->rows, LG_STYLE_DIM, lg_show_time(record->time_us, time));
	lg_table_add(&state->rows, LG_STYLE_PLAIN, record->actor);
	lg_table_add(&state->rows, record->kind == LG_KIND_RESTORE ? LG_STYLE_WARN : LG_STYLE_PLAIN,
		lg_kind_name(record->kind));
	lg_table_add(&state->rows, mark_style(mark), mark);
	lg_table_add(&state->rows, LG_STYLE_PLAIN, what);
	lg_table_add(&state->rows, LG_STYLE_DIM, record->reason);
	return 0;
}

static int add_gap(struct history_state *state, const struct lg_log_gap *gap, struct lg_error *err)
{
	const char *why = gap->reason == LG_GAP_LOST ? "lost" : "dropped by retention";
	state->gone = true;
	if (!state->table) {
		json_t *json = json_pack("{s:I, s:I, s:s}", "first", (json_int_t)gap->first, "last",
			(json_int_t)gap->last, "why", why);
		return json_array_append_new(state->gaps, json) < 0 ? lg_fail_nomem(err) : 0;
	}
	if (gap->first == gap->last)
		lg_table_addf(&state->rows, LG_STYLE_DIM, "r%llu", (unsigned long long)gap->first);
	else
		lg_table_addf(&state->rows, LG_STYLE_DIM, "r%llu…r%llu", (unsigned long long)gap->first,
			(unsigned long long)gap->last);
	for (size_t i = 0; i < 4; i++)
		lg_table_add(&state->rows, LG_STYLE_DIM, "");
	lg_table_add(&state->rows, LG_STYLE_WARN, why);
	lg_table_add(&state->rows, LG_STYLE_DIM, "");
	return 0;
}

/* What is gone between the record told last and the next older one, at `seq`; 0: there is none. */
static int tell_gaps(struct history_state *state, uint64_t seq, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = 0;
	for (uint64_t at = state->previous; at > seq + 1; at = gap.first) {
		rc = lg_config_gap(state->cli->session.config, at - 1, &gap, err);
		if (rc <= 0 || gap.last < seq)
			break;
		rc = add_gap(state, &gap, err);
	}
	state->previous = seq;
	return rc < 0 ? rc : 0;
}

static int history_item(
	struct history_state *state, const struct lg_record *record, json_t *value, struct lg_error *err)
{
	json_t *json = lg_record_json(record);
	const char *mark = mark_of(state->cli, record);
	int rc = 0;
	if (*mark)
		rc |= json_object_set_new(json, "mark", json_string(mark));
	if (value)
		rc |= json_object_set_new(json, "value", value);
	rc |= json_array_append_new(state->items, json);
	return rc ? lg_fail_nomem(err) : 0;
}

/* Only a restore is not filtered by the log itself. */
static bool concerns(const struct history_state *state, const struct lg_record *record)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	if (!state->scope || record->kind != LG_KIND_RESTORE)
		return true;
	lg_cleanup(lg_json_freep) json_t *body = lg_record_body_json(record);
	const json_t *json = json_object_get(body, "scope");
	return !json || lg_scope_from_json(json, &scope, NULL) < 0 || lg_scope_overlaps(&scope, state->scope);
}

static int history_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct history_state *state = arg;
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	if (!concerns(state, record))
		return 0;
	if (state->count == state->limit) {
		state->more = true;
		return 1;
	}
	state->count++;
	int rc = tell_gaps(state, record->seq, err);
	if (rc < 0 || !state->table)
		return rc < 0 ? rc : history_item(state, record, NULL, err);
	rc = lg_record_what(record, &what);
	return rc < 0 ? lg_fail_nomem(err) : history_row(state, record, lg_buf_str(&what));
}

static int history_key_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	struct history_state *state = arg;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	if (state->count == state->limit) {
		state->more = true;
		return 1;
	}
	state->count++;
	int rc = tell_gaps(state, event->record->seq, err);
	if (rc < 0)
		return rc;
	if (!state->table)
		return history_item(
			state, event->record, lg_show_value_json(event->value, event->value_len), err);
	if (event->value)
		lg_show_value(event->value, event->value_len, &value);
	rc = lg_buf_check(&value, err);
	return rc < 0 ? rc : history_row(state, event->record, event->value ? lg_buf_str(&value) : "(absent)");
}

static int history_read(struct lg_cli *cli, struct history_state *state, const char *word, struct lg_error *err)
{
	struct lg_log_query query = { .from = 1, .newest_first = true };
	size_t len = word ? strlen(word) : 0;
	if (len && word[len - 1] != '/')
		return lg_config_history_key(cli->session.config, word,
			state->limit == UINT64_MAX ? 0 : state->limit + 1, history_key_event, state, err);
	query.key = word;
	if (word)
		query.kinds = STATE_KINDS;
	else if (!lg_args_has(&cli->args, "all"))
		query.kinds = ~(1u << LG_KIND_DELIVERY) & ((1u << LG_KIND_COUNT) - 1);
	return lg_config_query(cli->session.config, &query, history_record, state, err);
}

/* Refused attempts that are not in the log yet. */
static uint64_t waiting(struct lg_cli *cli, const char *word)
{
	uint64_t count = 0;
	struct lg_error ignored = LG_ERROR_INIT;
	if (word || lg_config_refusals_waiting(cli->session.config, &count, &ignored) < 0)
		return 0;
	if (count)
		lg_output_note(&cli->output,
			"lastgood: %llu more refused %s for the next record of such: one a minute is written at "
			"most",
			(unsigned long long)count, count == 1 ? "attempt waits" : "attempts wait");
	return count;
}

static int nothing_found(const struct history_state *state, const char *word, struct lg_error *err)
{
	if (!state->gone)
		return lg_fail(
			err, LG_ENOTFOUND, 0, "nothing was ever set at '%s'; a prefix ends in '/'", word);
	if (word[strlen(word) - 1] == '/')
		return lg_fail(
			err, LG_ENOTFOUND, 0, "no record that is left changed anything below '%s'", word);
	return lg_fail(err, LG_ENOTFOUND, 0,
		"no record that is left set '%s': 'lastgood recover key %s' shows what is still known of it",
		word, word);
}

static int history_print(
	struct lg_cli *cli, struct history_state *state, const char *word, struct lg_error *err)
{
	uint64_t refusals = waiting(cli, word);
	if (state->count == 0 && word)
		return nothing_found(state, word, err);
	if (state->more)
		lg_output_note(&cli->output,
			"lastgood: there is more: 'lastgood history%s%s%s --limit 0' shows all",
			lg_args_has(&cli->args, "all") ? " --all" : "", word ? " " : "", word ? word : "");
	if (state->table)
		return state->count ? lg_table_print(&state->rows, &cli->output, err) : 0;
	return lg_output_document(&cli->output,
		json_pack("{s:O, s:O, s:b, s:I}", "history", state->items, "gaps", state->gaps, "more",
			(int)state->more, "refusals_waiting", (json_int_t)refusals),
		err);
}

static int run_history(struct lg_cli *cli, struct lg_error *err)
{
	static const char *const headings[] = { "RECORD", "TIME", "ACTOR", "KIND", "MARK", "WHAT", "REASON" };
	static const char *const value_headings[] = { "RECORD", "TIME", "ACTOR", "KIND", "MARK", "VALUE",
		"REASON" };
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_json_freep) json_t *items = json_array();
	lg_cleanup(lg_json_freep) json_t *gaps = json_array();
	const char *word = cli->args.word_count ? cli->args.words[0] : NULL;
	struct history_state state = {
		.cli = cli, .table = lg_output_is_table(&cli->output), .items = items, .gaps = gaps
	};
	int64_t limit = 0;
	int rc = items && gaps ? 0 : lg_fail_nomem(err);
	if (rc == 0)
		rc = lg_args_number(&cli->args, "limit", 0, INT64_MAX, DEFAULT_LIMIT, &limit, err);
	if (rc == 0 && word)
		rc = lg_cli_selector(word, &scope, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc < 0)
		return rc;
	state.limit = limit ? (uint64_t)limit : UINT64_MAX;
	state.previous = INT64_MAX;
	state.scope = word ? &scope : NULL;
	lg_table_init(&state.rows, 7, word && word[strlen(word) - 1] != '/' ? value_headings : headings);
	for (size_t i = 0; i < 5; i++)
		if (i != 2)
			lg_table_keep_whole(&state.rows, i); /* all before what and why, but the actor */
	rc = history_read(cli, &state, word, err);
	if (rc >= 0 && !state.more)
		rc = tell_gaps(&state, 0, err);
	if (rc >= 0)
		rc = history_print(cli, &state, word, err);
	lg_table_clear(&state.rows);
	return rc;
}

/* --- show ------------------------------------------------------------------------------------------------------------------------ */

struct shown_record {
	bool found;
	bool state;
	json_t *json;
	struct lg_buf text;
};

static void add_record_text(const struct lg_record *record, const char *mark, struct lg_buf *text)
{
	char name[LG_RECORD_NAME_SIZE], time[LG_TIME_SIZE], hash[2 * LG_HASH_SIZE + 1];
	lg_buf_addf(text, "%s  %s by %s at %s%s%s\n", lg_record_name(record, name), lg_kind_name(record->kind),
		record->actor, lg_time_format(record->time_us, time), *mark ? ", marked " : "", mark);
	lg_buf_addf(text, "reason  %s\nwhat    ", record->reason);
	lg_record_what(record, text);
	lg_hex_encode(record->hash, LG_HASH_SIZE, hash);
	lg_buf_addc(text, '\n');
	lg_record_details(record, text);
	lg_buf_addf(text, "hash    %s\n", hash);
	lg_hex_encode(record->root, LG_HASH_SIZE, hash);
	if (record->has_root)
		lg_buf_addf(text, "root    %s\n", hash);
}

static int show_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	void **args = arg;
	struct lg_cli *cli = args[0];
	struct shown_record *shown = args[1];
	const char *mark = mark_of(cli, record);
	shown->found = true;
	shown->state = lg_kind_is_state(record->kind);
	shown->json = lg_record_json(record);
	int rc = *mark ? json_object_set_new(shown->json, "mark", json_string(mark)) : 0;
	if (!shown->state)
		rc |= json_object_set_new(shown->json, "body", lg_record_body_json(record));
	if (rc)
		return lg_fail_nomem(err);
	add_record_text(record, mark, &shown->text);
	return lg_buf_check(&shown->text, err);
}

/* rN, hN, N: that record, whatever its kind; anything else is a target. */
static int record_number(struct lg_cli *cli, const char *word, uint64_t *ret_seq, struct lg_error *err)
{
	static const struct lg_scope everything = LG_SCOPE_ALL;
	const char *digits = word + (*word == 'r' || *word == 'h');
	int64_t number = 0;
	if (lg_int_parse(digits, 1, INT64_MAX, &number, NULL) < 0)
		return lg_config_target(cli->session.config, word, &everything, ret_seq, NULL, err);
	*ret_seq = (uint64_t)number;
	return 0;
}

static int show_changes(struct lg_cli *cli, struct shown_record *shown, uint64_t seq, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *former = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *next = NULL;
	lg_cleanup(lg_show_diff_clear) struct lg_show_diff diff = { 0 };
	int rc = lg_config_tree_at(cli->session.config, seq, &next, err);
	if (rc == 0)
		rc = lg_config_tree_at(cli->session.config, seq - 1, &former, err);
	if (rc == LG_ENOTFOUND) { /* the record is there, what it led from or to is not */
		lg_output_warn(&cli->output, "what it changed cannot be shown: %s", err->message);
		return json_object_set_new(shown->json, "changes", json_null()) ? lg_fail_nomem(err) : 0;
	}
	if (rc < 0)
		return rc;
	lg_show_diff_init(&diff, &cli->output, lg_show_diff_limit(&cli->output));
	if (lg_tree_diff(former, next, NULL, lg_show_diff_visit, &diff) < 0)
		return lg_fail_nomem(err);
	lg_output_line(&cli->output, LG_STYLE_PLAIN, "keys    %zu", diff.count);
	rc = lg_show_diff_print(&diff, &cli->output, err);
	if (rc == 0 && !diff.table &&
		json_object_set_new(shown->json, "changes", lg_show_diff_json(&diff)) != 0)
		return lg_fail_nomem(err);
	return rc;
}

static void print_lines(struct lg_output *output, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		lg_output_line(output, LG_STYLE_PLAIN, "%.*s", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static int run_show(struct lg_cli *cli, struct lg_error *err)
{
	struct shown_record shown = { .text = LG_BUF_INIT };
	void *args[] = { cli, &shown };
	uint64_t seq = 0;
	int rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = record_number(cli, cli->args.words[0], &seq, err);
	if (rc == 0 && seq == 0)
		rc = lg_fail(err, LG_ENOTFOUND, 0,
			"r0 is the empty state before the first revision: there is no record of it");
	if (rc < 0)
		return rc;
	struct lg_log_query query = { .from = seq, .to = seq, .limit = 1 };
	rc = lg_config_query(cli->session.config, &query, show_record, args, err);
	struct lg_log_gap gap;
	if (rc == 0 && !shown.found && lg_config_gap(cli->session.config, seq, &gap, err) == 1 &&
		gap.last >= seq)
		rc = lg_fail(err, LG_ENOTFOUND, 0, "record %llu %s; the next one that is there is r%llu",
			(unsigned long long)seq,
			gap.reason == LG_GAP_LOST ? "was lost to damage" : "was dropped by retention",
			(unsigned long long)gap.last + 1);
	if (rc == 0 && !shown.found)
		rc = lg_fail(err, LG_ENOTFOUND, 0, "there is no record %llu: 'lastgood history' lists them",
			(unsigned long long)seq);
	if (rc == 0) {
		print_lines(&cli->output, lg_buf_str(&shown.text));
		if (shown.state)
			rc = show_changes(cli, &shown, seq, err);
	}
	if (rc == 0)
		rc = lg_output_document(&cli->output, json_incref(shown.json), err);
	json_decref(shown.json);
	lg_buf_clear(&shown.text);
	return rc;
}

/* --- diff ------------------------------------------------------------------------------------------------------------------------ */

static int run_diff(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *a = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *b = NULL;
	lg_cleanup(lg_show_diff_clear) struct lg_show_diff diff = { 0 };
	uint64_t from = 0, to = 0;
	int rc = lg_cli_scope(cli, &scope, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = lg_cli_state(cli, cli->args.words[0], &scope, &from, &a, err);
	if (rc == 0)
		rc = lg_cli_state(
			cli, cli->args.word_count > 1 ? cli->args.words[1] : NULL, &scope, &to, &b, err);
	if (rc < 0)
		return rc;
	lg_show_diff_init(&diff, &cli->output, lg_show_diff_limit(&cli->output));
	if (lg_tree_diff(a, b, &scope, lg_show_diff_visit, &diff) < 0)
		return lg_fail_nomem(err);
	lg_output_line(&cli->output, LG_STYLE_BOLD, "r%llu → r%llu: %zu %s", (unsigned long long)from,
		(unsigned long long)to, diff.count, diff.count == 1 ? "key differs" : "keys differ");
	rc = lg_show_diff_print(&diff, &cli->output, err);
	if (rc < 0 || diff.table)
		return rc;
	return lg_output_document(&cli->output,
		json_pack("{s:I, s:I, s:I, s:o}", "from", (json_int_t)from, "to", (json_int_t)to, "count",
			(json_int_t)diff.count, "changes", lg_show_diff_json(&diff)),
		err);
}

/* --- the table --------------------------------------------------------------------------------------------------------------------- */

static const struct lg_option history_options[] = {
	{ "limit", "N", "at most so many, newest first; 0: all (default 50)", 0, false },
	{ "all", NULL, "deliveries too", 0, false },
	{ 0 },
};
static const struct lg_option diff_options[] = {
	{ "prefix", "PREFIX/", "only these keys and their declarations", 0, true },
	{ "key", "KEY", "only this key and its declaration", 0, true },
	{ "except", "KEY|PREFIX/", "but not these", 0, true },
	{ 0 },
};
static const struct lg_example history_examples[] = {
	{ "history", "what happened, newest first" },
	{ "history web/port", "every value that one key had, rollbacks included" },
	{ 0 },
};
static const struct lg_example show_examples[] = {
	{ "show r12", "who, when, why, and each key before and after" },
	{ 0 },
};
static const struct lg_example diff_examples[] = {
	{ "diff r12", "from r12 to now" },
	{ "diff good head --prefix web/", "what differs from the newest known good" },
	{ 0 },
};

const struct lg_command lg_commands_history[] = {
	{ .name = "history",
		.usage = "[KEY|PREFIX/] [--limit N] [--all]",
		.summary = "Lists what happened",
		.description = "Lists records, newest first: changes (rN), rollbacks, marks, holds (hN). With "
			       "a key: each record that gave it "
			       "a value, restores that covered it included, found through the log's index. "
			       "With a prefix: each change below "
			       "it.",
		.options = history_options,
		.examples = history_examples,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_history },
	{ .name = "show",
		.usage = "rN|hN|N|TARGET",
		.summary = "Shows one record whole",
		.description = "Shows one record: who, when, why, its place in the hash chain, the root hash "
			       "of the state after it, "
			       "and each key before and after.",
		.examples = show_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_show },
	{ .name = "diff",
		.usage = "A [B] [--prefix PREFIX/]… [--key KEY]… [--except SELECTOR]…",
		.summary = "Compares two revisions",
		.description = "Shows each key that differs between two states. Either is a target: r12, @-1, "
			       "good, head, a time; B "
			       "is head when it is left out.",
		.options = diff_options,
		.examples = diff_examples,
		.words_min = 1,
		.words_max = 2,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_diff },
	{ 0 },
};
