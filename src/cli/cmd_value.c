/* set get unset list */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/change.h"
#include "cli/show.h"
#include "model/key.h"
#include "model/schema.h"
#include "model/value.h"

#include <string.h>

/* --- set, unset ------------------------------------------------------------------------------------------------------------ */

static int add_assignment(struct lg_cli *cli, struct lg_changeset *set, const char *word, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	struct lg_error why = LG_ERROR_INIT;
	const char *equals = strchr(word, '=');
	if (!equals)
		return lg_fail(err, LG_EUSAGE, 0, "'%s' is no KEY=VALUE", word);
	lg_autofree char *key = strndup(word, (size_t)(equals - word));
	if (!key)
		return lg_fail_nomem(err);
	int rc = lg_key_check_setting(key, strlen(key), &why);
	if (rc == 0)
		rc = lg_value_from_argument(equals + 1, &value, &why);
	if (rc == LG_EINVALID) {
		lg_problems_add(&cli->problems, key, "%s", why.message);
		return 0;
	}
	if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	rc = lg_changeset_add(set, key, strlen(key), value.data, value.len, err);
	/* a setting declared as text takes 01 or true as it was written */
	return rc < 0 || !strchr("-0123456789tfn", equals[1]) ? rc
							      : lg_changeset_set_bare(set, equals + 1, err);
}

static int add_unset(struct lg_cli *cli, struct lg_changeset *set, const struct lg_tree *tree, const char *key,
	struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	struct lg_entry entry;
	if (lg_key_check_setting(key, strlen(key), &why) < 0) {
		lg_problems_add(&cli->problems, key, "%s", why.message);
		return 0;
	}
	if (!lg_tree_get(tree, key, strlen(key), &entry))
		return lg_fail(err, LG_ENOTFOUND, 0,
			"there is no key '%s'; nothing was changed: 'lastgood list' shows what is set", key);
	return lg_changeset_add(set, key, strlen(key), NULL, 0, err);
}

/* --if-change KEY=N */
static int add_expectation(struct lg_changeset *set, const char *text, struct lg_error *err)
{
	const char *equals = strrchr(text, '=');
	int64_t number = 0;
	if (!equals)
		return lg_fail(err, LG_EUSAGE, 0, "option '--if-change' wants KEY=N, not '%s'", text);
	const char *digits = equals + 1 + (equals[1] == 'r');
	int rc = lg_int_parse(digits, 0, INT64_MAX, &number, err);
	if (rc < 0)
		return lg_context(err, LG_EUSAGE, "option '--if-change %s'", text);
	for (size_t i = 0; i < set->count; i++) {
		struct lg_change *change = &set->items[i];
		if (strlen(change->key) != (size_t)(equals - text) ||
			strncmp(change->key, text, strlen(change->key)) != 0)
			continue;
		change->has_expect = true;
		change->expect_change = (uint64_t)number;
		return 0;
	}
	return lg_fail(err, LG_EUSAGE, 0,
		"option '--if-change %s' names a key that this command does not change", text);
}

static int add_conditions(struct lg_cli *cli, struct lg_change_request *request, struct lg_error *err)
{
	const char *root = lg_args_value(&cli->args, "if-root");
	const char *text;
	for (size_t i = 0; (text = lg_args_nth(&cli->args, "if-change", i)); i++) {
		int rc = add_expectation(request->changes, text, err);
		if (rc < 0)
			return rc;
	}
	if (!root)
		return 0;
	if (strlen(root) != (size_t)2 * LG_HASH_SIZE ||
		lg_hex_decode(root, request->expect_root, LG_HASH_SIZE, err) < 0)
		return lg_fail(err, LG_EUSAGE, 0,
			"option '--if-root' wants the %d hexadecimal digits of a root hash", 2 * LG_HASH_SIZE);
	request->has_expect_root = true;
	return 0;
}

static int change_words(struct lg_cli *cli, bool set, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
	struct lg_change_request request = { .changes = &changes,
		.what = set ? "set" : "unset",
		.dry_run = lg_args_has(&cli->args, "dry-run") };
	int rc = lg_cli_reason(cli, NULL, &request.reason, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc < 0)
		return rc;
	lg_config_snapshot(cli->session.config, &snapshot);
	for (size_t i = 0; i < cli->args.word_count && rc == 0; i++)
		rc = set ? add_assignment(cli, &changes, cli->args.words[i], err)
			 : add_unset(cli, &changes, snapshot.tree, cli->args.words[i], err);
	if (rc == 0)
		rc = add_conditions(cli, &request, err);
	if (rc == 0 && cli->problems.total)
		return lg_change_refuse(cli, &request, "the change", err);
	return rc < 0 ? rc : lg_change_run(cli, &request, err);
}

static int run_set(struct lg_cli *cli, struct lg_error *err)
{
	return change_words(cli, true, err);
}

static int run_unset(struct lg_cli *cli, struct lg_error *err)
{
	return change_words(cli, false, err);
}

/* --- get ------------------------------------------------------------------------------------------------------------------- */

static int no_such_key(const struct lg_tree *tree, const char *key, uint64_t revision, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	struct lg_schema *schema = NULL;
	struct lg_entry entry;
	int rc = lg_fail(err, LG_ENOTFOUND, 0,
		"there is no key '%s' at r%llu; 'lastgood list' shows what is set", key,
		(unsigned long long)revision);
	lg_buf_addf(&name, LG_SCHEMA_SPACE "%s", key);
	if (lg_buf_check(&name, NULL) < 0 || !lg_tree_get(tree, name.data, name.len, &entry) ||
		lg_schema_compile(key, entry.value, entry.value_len, &schema, NULL, NULL) < 0)
		return rc;
	if (lg_schema_default(schema))
		lg_fail(err, rc, 0, "key '%s' is not set at r%llu; its declared default is %s", key,
			(unsigned long long)revision, lg_schema_default(schema));
	lg_schema_free(schema);
	return rc;
}

/* Strings bare, so that scripts need no JSON; made printable on a terminal. */
static int print_bare(struct lg_cli *cli, const char *value, size_t len, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_json_parse(value, len, SIZE_MAX, &json, err);
	if (rc < 0)
		return rc;
	if (json_is_string(json)) {
		value = json_string_value(json);
		len = json_string_length(json);
	}
	if (cli->output.terminal) {
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "%s", value);
		return 0;
	}
	lg_output_raw(&cli->output, value, len);
	lg_output_raw(&cli->output, "\n", 1);
	return 0;
}

static int print_value(
	struct lg_cli *cli, const struct lg_entry *entry, uint64_t revision, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	bool reveal = lg_args_has(&cli->args, "reveal");
	int rc = reveal ? lg_config_plain(cli->session.config, entry, &value, err)
			: lg_show_value(entry->value, entry->value_len, &value);
	if (rc < 0)
		return rc;
	bool redacted = !reveal && strcmp(lg_buf_str(&value), entry->value) != 0;
	if (lg_output_is_table(&cli->output) && !redacted)
		return print_bare(cli, value.data, value.len, err);
	if (redacted) {
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "%s", lg_buf_str(&value));
		lg_output_note(&cli->output, "lastgood: '%s' is a secret: 'lastgood get %s --reveal' shows it",
			entry->key, entry->key);
	}
	return lg_output_document(&cli->output,
		json_pack("{s:s, s:o, s:I, s:I}", "key", entry->key, "value",
			redacted ? json_string(lg_buf_str(&value)) : lg_show_value_json(value.data, value.len),
			"change", (json_int_t)entry->change, "revision", (json_int_t)revision),
		err);
}

static int run_get(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	const char *key = cli->args.words[0];
	struct lg_entry entry;
	uint64_t revision = 0;
	if (*key && key[strlen(key) - 1] == '/')
		return lg_fail(err, LG_EUSAGE, 0,
			"'%s' is a prefix, no key: 'lastgood list %s' shows what is below it", key, key);
	int rc = lg_key_check(key, strlen(key), err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = lg_cli_selector(key, &scope, err);
	if (rc == 0)
		rc = lg_cli_state(cli, lg_args_value(&cli->args, "at"), &scope, &revision, &tree, err);
	if (rc < 0)
		return rc;
	if (!lg_tree_get(tree, key, strlen(key), &entry))
		return no_such_key(tree, key, revision, err);
	return print_value(cli, &entry, revision, err);
}

/* --- list ------------------------------------------------------------------------------------------------------------------ */

struct list_state {
	bool table;
	bool reserved; /* the prefix is one of the reserved spaces: show them */
	struct lg_table rows;
	json_t *items;
	size_t count;
};

static int list_one(void *arg, const struct lg_entry *entry)
{
	struct list_state *state = arg;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	if (entry->key[0] == '@' && !state->reserved)
		return 0;
	state->count++;
	if (!state->table)
		return json_array_append_new(state->items,
			       json_pack("{s:s, s:o, s:I}", "key", entry->key, "value",
				       lg_show_value_json(entry->value, entry->value_len), "change",
				       (json_int_t)entry->change))
			? LG_ENOMEM
			: 0;
	lg_table_add(&state->rows, LG_STYLE_NAME, entry->key);
	lg_table_addf(&state->rows, LG_STYLE_DIM, "r%llu", (unsigned long long)entry->change);
	int rc = lg_show_value(entry->value, entry->value_len, &value);
	lg_table_add(&state->rows, LG_STYLE_PLAIN, lg_buf_str(&value));
	return rc;
}

static int list_print(struct lg_cli *cli, struct list_state *state, const struct lg_tree *tree,
	uint64_t revision, struct lg_error *err)
{
	uint8_t root[LG_HASH_SIZE];
	if (state->table)
		return state->count ? lg_table_print(&state->rows, &cli->output, err) : 0;
	lg_tree_hash(tree, root);
	return lg_output_document(&cli->output,
		json_pack("{s:I, s:o, s:O}", "revision", (json_int_t)revision, "root", lg_show_hash_json(root),
			"items", state->items),
		err);
}

static int list_tree(struct lg_cli *cli, const char *prefix, const struct lg_tree *tree, uint64_t revision,
	struct lg_error *err)
{
	static const char *const headings[] = { "KEY", "CHANGE", "VALUE" };
	struct list_state state = { .table = lg_output_is_table(&cli->output), .reserved = prefix[0] == '@' };
	lg_cleanup(lg_json_freep) json_t *items = json_array();
	size_t len = strlen(prefix);
	struct lg_entry entry;
	state.items = items;
	lg_table_init(&state.rows, 3, headings);
	int rc = 0;
	if (len && prefix[len - 1] != '/')
		rc = lg_tree_get(tree, prefix, len, &entry) ? list_one(&state, &entry) : 0;
	else
		rc = lg_tree_walk(tree, prefix, len, list_one, &state);
	if (rc < 0 || !items)
		rc = lg_fail_nomem(err);
	else if (len && state.count == 0)
		rc = lg_fail(err, LG_ENOTFOUND, 0,
			"nothing is set at '%s' in r%llu; a prefix ends in '/': 'lastgood list %s%s'", prefix,
			(unsigned long long)revision, prefix, prefix[len - 1] == '/' ? "" : "/");
	else
		rc = list_print(cli, &state, tree, revision, err);
	lg_table_clear(&state.rows);
	return rc;
}

static int run_list(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	const char *prefix = cli->args.word_count ? cli->args.words[0] : "";
	uint64_t revision = 0;
	int rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0 && *prefix)
		rc = lg_cli_selector(prefix, &scope, err);
	if (rc == 0)
		rc = lg_cli_state(cli, lg_args_value(&cli->args, "at"), &scope, &revision, &tree, err);
	return rc < 0 ? rc : list_tree(cli, prefix, tree, revision, err);
}

/* --- the table --------------------------------------------------------------------------------------------------------------- */

#define OPTION_AT                                                                                              \
	{                                                                                                      \
		"at", "TARGET",                                                                                \
			"as it was then: r12, @-1, good, head, or a time such as 2026-11-22T14:03:05Z", 0,     \
			false                                                                                  \
	}
#define OPTIONS_CONDITION                                                                                      \
	{ "if-change", "KEY=N", "only if the key's change number is still N (0: it is not set)", 0, true },    \
		{ "if-root", "HEX", "only if the whole state still has this root hash", 0, false },            \
	{                                                                                                      \
		"dry-run", NULL, "check and show everything, change nothing", 0, false                         \
	}

static const struct lg_option change_options[] = {
	{ "reason", "TEXT", "why; kept with the record", 0, false },
	OPTIONS_CONDITION,
	{ 0 },
};
static const struct lg_option get_options[] = {
	OPTION_AT,
	{ "reveal", NULL, "show a secret", 0, false },
	{ 0 },
};
static const struct lg_option list_options[] = { OPTION_AT, { 0 } };

static const struct lg_example set_examples[] = {
	{ "set web/port=8080 web/host=example.org --reason 'new address'",
		"two keys in one change: both or none" },
	{ "set web/port=8081 --if-change web/port=12 --reason 'as agreed'",
		"only if nobody changed it since r12" },
	{ 0 },
};
static const struct lg_example unset_examples[] = {
	{ "unset web/host --reason 'the default will do'", "one key" },
	{ 0 },
};
static const struct lg_example get_examples[] = {
	{ "get web/port", "the value now" },
	{ "get web/port --at @-1", "the value before the last change of this key" },
	{ 0 },
};
static const struct lg_example list_examples[] = {
	{ "list", "everything that is set" },
	{ "list web/ --at r12", "one prefix as it was" },
	{ 0 },
};

const struct lg_command lg_commands_value[] = {
	{ .name = "set",
		.usage = "KEY=VALUE… --reason TEXT [--if-change KEY=N]… [--if-root HEX] [--dry-run]",
		.summary = "Sets keys, all or none",
		.description = "Sets one key or several in one change: it is recorded whole, or refused with "
			       "every problem listed and "
			       "nothing changed.\n\nA value is JSON; a bare word is a string. What begins with "
			       "'{', '[' or '\"' must be "
			       "JSON. The key ends at the first '='.\n\nAfterwards the services' files are "
			       "brought in step. A delivery "
			       "that fails does not take the change back: the command says so and ends with "
			       "the status of that failure.",
		.options = change_options,
		.examples = set_examples,
		.words_min = 1,
		.words_max = SIZE_MAX,
		.statuses = LG_STATUS_CHANGE,
		.run = run_set },
	{ .name = "get",
		.usage = "KEY [--at TARGET] [--reveal]",
		.summary = "Prints one value",
		.description = "Prints the value of a key: a string bare, everything else as JSON; with -o "
			       "json an object with "
			       "key, value, change number and revision. A secret is shown as <secret> unless "
			       "--reveal is given.",
		.options = get_options,
		.examples = get_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_get },
	{ .name = "unset",
		.usage = "KEY… --reason TEXT [--if-change KEY=N]… [--if-root HEX] [--dry-run]",
		.summary = "Removes keys, all or none",
		.description = "Removes one key or several in one change. Their history stays, and so does the "
			       "way back.",
		.options = change_options,
		.examples = unset_examples,
		.words_min = 1,
		.words_max = SIZE_MAX,
		.statuses = LG_STATUS_CHANGE,
		.run = run_unset },
	{ .name = "list",
		.usage = "[PREFIX/] [--at TARGET]",
		.summary = "Lists keys and values",
		.description = "Lists what is set, with the revision that last changed each key. Declarations "
			       "are shown by "
			       "'lastgood schema show', or with the prefix @schema/.",
		.options = list_options,
		.examples = list_examples,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_list },
	{ 0 },
};
