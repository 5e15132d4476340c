/* schema show set unset import strict */
#include "base/cleanup.h"
#include "cli/change.h"
#include "cli/read.h"
#include "cli/show.h"
#include "model/key.h"
#include "model/schema.h"
#include "model/value.h"

#include <string.h>

#define SPACE_LEN (sizeof LG_SCHEMA_SPACE - 1)

/* --- show ---------------------------------------------------------------------------------------------------------------------- */

struct show_state {
	bool table;
	const char *key; /* only this one, or NULL */
	struct lg_table rows;
	json_t *items; /* {KEY: DECLARATION} */
	size_t count;
};

static int show_row(struct show_state *state, const char *key, const struct lg_entry *entry)
{
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	struct lg_schema *schema = NULL;
	lg_table_add(&state->rows, LG_STYLE_NAME, key);
	if (lg_schema_compile(key, entry->value, entry->value_len, &schema, NULL, NULL) < 0) {
		lg_table_add(&state->rows, LG_STYLE_BAD, "cannot be read");
		for (int i = 0; i < 3; i++)
			lg_table_add(&state->rows, LG_STYLE_PLAIN, "");
		return 0;
	}
	int rc = lg_schema_describe(schema, &what);
	const char *fallback = lg_schema_default(schema), *description = lg_schema_description(schema);
	lg_table_add(&state->rows, LG_STYLE_PLAIN, lg_buf_str(&what));
	lg_table_add(&state->rows, LG_STYLE_PLAIN, fallback ? fallback : "");
	lg_table_add(&state->rows, LG_STYLE_PLAIN, lg_restart_name(lg_schema_restart(schema)));
	lg_table_add(&state->rows, LG_STYLE_DIM, description ? description : "");
	lg_schema_free(schema);
	return rc;
}

static int show_one(void *arg, const struct lg_entry *entry)
{
	struct show_state *state = arg;
	const char *key = entry->key + SPACE_LEN;
	if (strcmp(entry->key, LG_SCHEMA_STRICT) == 0 || (state->key && strcmp(state->key, key) != 0))
		return 0;
	state->count++;
	if (state->table)
		return show_row(state, key, entry);
	return json_object_set_new(state->items, key, lg_show_value_json(entry->value, entry->value_len))
		? LG_ENOMEM
		: 0;
}

static int show_print(struct lg_cli *cli, struct show_state *state, const struct lg_tree *tree,
	uint64_t revision, struct lg_error *err)
{
	struct lg_entry strict;
	bool has = lg_tree_get(tree, LG_SCHEMA_STRICT, strlen(LG_SCHEMA_STRICT), &strict);
	if (!state->table)
		return lg_output_document(&cli->output,
			json_pack("{s:I, s:o, s:O}", "revision", (json_int_t)revision, "strict",
				has ? lg_show_value_json(strict.value, strict.value_len) : json_false(),
				"schema", state->items),
			err);
	int rc = state->count ? lg_table_print(&state->rows, &cli->output, err) : 0;
	if (has)
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "strict: %s",
			strcmp(strict.value, "true") == 0 ? "everywhere" : strict.value);
	return rc;
}

static int show_tree(struct lg_cli *cli, const char *word, const struct lg_tree *tree, uint64_t revision,
	struct lg_error *err)
{
	static const char *const headings[] = { "KEY", "TYPE", "DEFAULT", "RESTART", "DESCRIPTION" };
	lg_cleanup(lg_json_freep) json_t *items = json_object();
	lg_cleanup(lg_buf_clear) struct lg_buf prefix = LG_BUF_INIT;
	size_t len = strlen(word);
	struct show_state state = { .table = lg_output_is_table(&cli->output), .items = items };
	state.key = len && word[len - 1] != '/' ? word : NULL;
	lg_table_init(&state.rows, 5, headings);
	lg_buf_addf(&prefix, LG_SCHEMA_SPACE "%s", word);
	int rc = items ? lg_buf_check(&prefix, err) : lg_fail_nomem(err);
	if (rc == 0 && lg_tree_walk(tree, prefix.data, prefix.len, show_one, &state) < 0)
		rc = lg_fail_nomem(err);
	if (rc == 0 && state.count == 0 && len)
		rc = lg_fail(err, LG_ENOTFOUND, 0,
			"nothing is declared at '%s'; declare it with \"lastgood schema set %s "
			"'{\\\"type\\\":\\\"int\\\"}'\"",
			word, word);
	if (rc == 0)
		rc = show_print(cli, &state, tree, revision, err);
	lg_table_clear(&state.rows);
	return rc;
}

static int run_show(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	uint64_t revision = 0;
	int rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = lg_cli_state(cli, lg_args_value(&cli->args, "at"), NULL, &revision, &tree, err);
	return rc < 0 ? rc
		      : show_tree(cli, cli->args.word_count ? cli->args.words[0] : "", tree, revision, err);
}

/* --- set, unset ------------------------------------------------------------------------------------------------------------------ */

static int add_declaration(struct lg_cli *cli, struct lg_changeset *set, const char *key, const char *value,
	size_t len, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	struct lg_error why = LG_ERROR_INIT;
	if (strcmp(key, "@strict") != 0 && lg_key_check_setting(key, strlen(key), &why) < 0) {
		lg_problems_add(&cli->problems, key, "%s", why.message);
		return 0;
	}
	lg_buf_addf(&name, LG_SCHEMA_SPACE "%s", key);
	int rc = lg_buf_check(&name, err);
	return rc < 0 ? rc : lg_changeset_add(set, name.data, name.len, value, len, err);
}

/* What every command of this file ends with. */
static int change(struct lg_cli *cli, struct lg_changeset *set, const char *what, struct lg_error *err)
{
	struct lg_change_request request = {
		.changes = set, .what = what, .dry_run = lg_args_has(&cli->args, "dry-run"), .count_only = true
	};
	int rc = lg_cli_reason(cli, what, &request.reason, err);
	if (rc == 0 && cli->problems.total)
		return lg_change_refuse(cli, &request, "the declarations", err);
	return rc < 0 ? rc : lg_change_run(cli, &request, err);
}

static int run_set(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	const char *key = cli->args.words[0], *declaration = cli->args.words[1];
	int rc = lg_value_parse(declaration, strlen(declaration), &value, err);
	if (rc < 0)
		return lg_context(err, rc, "declaration of '%s'", key);
	rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc == 0)
		rc = add_declaration(cli, &set, key, value.data, value.len, err);
	return rc < 0 ? rc : change(cli, &set, "schema set", err);
}

static int run_unset(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
	int rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc < 0)
		return rc;
	lg_config_snapshot(cli->session.config, &snapshot);
	for (size_t i = 0; i < cli->args.word_count && rc == 0; i++) {
		struct lg_entry entry;
		const char *key = cli->args.words[i];
		size_t at = set.count;
		rc = add_declaration(cli, &set, key, NULL, 0, err);
		if (rc == 0 && set.count > at &&
			!lg_tree_get(snapshot.tree, set.items[at].key, strlen(set.items[at].key), &entry))
			rc = lg_fail(err, LG_ENOTFOUND, 0, "'%s' is not declared; nothing was changed", key);
	}
	return rc < 0 ? rc : change(cli, &set, "schema unset", err);
}

/* --- import ---------------------------------------------------------------------------------------------------------------------- */

/* {KEY: DECLARATION}, or a document with that as its member "schema". */
static int add_declarations(struct lg_cli *cli, struct lg_changeset *set, const char *path,
	const json_t *document, struct lg_error *err)
{
	const json_t *member = json_object_get(document, "schema");
	const json_t *declarations = member ? member : document;
	const char *key;
	json_t *declaration;
	if (!json_is_object(declarations))
		return lg_fail(err, LG_EINVALID, 0,
			"'%s' holds no declarations: {\"schema\": {KEY: {\"type\": …}}} is expected", path);
	json_object_foreach((json_t *)declarations, key, declaration)
	{
		lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
		int rc = lg_json_canonical(declaration, &value, err);
		if (rc == 0)
			rc = add_declaration(cli, set, key, value.data, value.len, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int run_import(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *document = NULL;
	const char *path = cli->args.words[0];
	enum lg_format format = LG_FORMAT_JSON;
	int rc = lg_cli_format(cli, path, &format, err);
	if (rc == 0 && format != LG_FORMAT_JSON && format != LG_FORMAT_YAML)
		rc = lg_fail(err, LG_EUSAGE, 0, "declarations come as json or yaml, and '%s' is neither", path);
	if (rc == 0)
		rc = lg_cli_read(path, &text, err);
	if (rc < 0)
		return rc;
	if (format == LG_FORMAT_YAML)
		rc = lg_yaml_parse(path, lg_buf_str(&text), text.len, &document, err);
	else if ((rc = lg_json_parse(lg_buf_str(&text), text.len, LG_IMPORT_MAX, &document, err)) < 0)
		rc = lg_context(err, rc, "'%s'", path);
	if (rc == 0)
		rc = add_declarations(cli, &set, path, document, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	return rc < 0 ? rc : change(cli, &set, "schema import", err);
}

/* --- strict ---------------------------------------------------------------------------------------------------------------------- */

/* The list of strict prefixes with one more or one less; *ret NULL when none is left. */
static int strict_list(
	const struct lg_entry *now, const char *prefix, bool on, json_t **ret_list, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *list =
		now ? lg_show_value_json(now->value, now->value_len) : json_array();
	size_t i;
	json_t *item;
	if (!list)
		return lg_fail_nomem(err);
	if (json_is_true(list))
		return lg_fail(err, LG_EINVALID, 0,
			"strict is on everywhere, so '%s' cannot be switched by itself: first 'lastgood schema "
			"strict off'",
			prefix);
	json_array_foreach(
		list, i, item) if (json_is_string(item) && strcmp(json_string_value(item), prefix) == 0) break;
	bool found = i < json_array_size(list);
	if (!on && !found)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"strict is not on for '%s': 'lastgood schema show' tells where it is", prefix);
	if (!on)
		json_array_remove(list, i);
	else if (!found && json_array_append_new(list, json_string(prefix)) != 0)
		return lg_fail_nomem(err);
	if (json_array_size(list) > 0)
		*ret_list = lg_steal_ptr(&list);
	return 0;
}

static int strict_value(
	struct lg_cli *cli, bool on, const char *prefix, json_t **ret_value, struct lg_error *err)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
	struct lg_entry entry;
	if (!prefix) {
		*ret_value = on ? json_true() : NULL;
		return 0;
	}
	int rc = lg_prefix_check(prefix, strlen(prefix), err);
	if (rc < 0)
		return rc;
	lg_config_snapshot(cli->session.config, &snapshot);
	bool has = lg_tree_get(snapshot.tree, LG_SCHEMA_STRICT, strlen(LG_SCHEMA_STRICT), &entry);
	return strict_list(has ? &entry : NULL, prefix, on, ret_value, err);
}

static int run_strict(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *value = NULL;
	const char *word = cli->args.words[0];
	bool on = strcmp(word, "on") == 0;
	if (!on && strcmp(word, "off") != 0)
		return lg_fail(err, LG_EUSAGE, 0, "strict is 'on' or 'off', not '%s'", word);
	int rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc == 0)
		rc = strict_value(cli, on, cli->args.word_count > 1 ? cli->args.words[1] : NULL, &value, err);
	if (rc == 0 && value)
		rc = lg_json_canonical(value, &text, err);
	if (rc == 0)
		rc = lg_changeset_add(&set, LG_SCHEMA_STRICT, strlen(LG_SCHEMA_STRICT),
			value ? text.data : NULL, text.len, err);
	return rc < 0 ? rc : change(cli, &set, on ? "schema strict on" : "schema strict off", err);
}

/* --- the table ----------------------------------------------------------------------------------------------------------------------- */

static const struct lg_option show_options[] = {
	{ "at", "TARGET", "as it was then: r12, @-1, good, head, or a time", 0, false },
	{ 0 },
};
static const struct lg_option change_options[] = {
	{ "reason", "TEXT", "why; default the name of the command", 0, false },
	{ "dry-run", NULL, "check and show everything, change nothing", 0, false },
	{ 0 },
};
static const struct lg_option import_options[] = {
	{ "format", "NAME", "json or yaml; default by the name's ending, else json", 0, false },
	{ "reason", "TEXT", "why; default the name of the command", 0, false },
	{ "dry-run", NULL, "check and show everything, change nothing", 0, false },
	{ 0 },
};
static const struct lg_example show_examples[] = {
	{ "schema show", "every declaration, and where strict is on" },
	{ "schema show web/ -o json", "one prefix, as schema import reads it" },
	{ 0 },
};
static const struct lg_example set_examples[] = {
	{ "schema set web/port '{\"type\":\"int\",\"min\":1,\"max\":65535,\"default\":80}'",
		"an integer with its range" },
	{ "schema set web/token '{\"type\":\"secret\"}' --reason 'sealed from now on'", "a secret" },
	{ 0 },
};
static const struct lg_example unset_examples[] = { { "schema unset web/port", "any value is allowed again" },
	{ 0 } };
static const struct lg_example import_examples[] = {
	{ "schema import declarations.yaml", "{KEY: {type: …}}, or the member schema of a document" },
	{ 0 },
};
static const struct lg_example strict_examples[] = {
	{ "schema strict on web/", "below web/ only declared keys may be set" },
	{ "schema strict off", "any key may be set" },
	{ 0 },
};

const struct lg_command lg_commands_schema[] = {
	{ .name = "schema show",
		.usage = "[KEY|PREFIX/] [--at TARGET]",
		.summary = "Shows what settings may be",
		.description = "Shows declarations: type, range, default, what the service must do for a "
			       "change, description.",
		.options = show_options,
		.examples = show_examples,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID),
		.run = run_show },
	{ .name = "schema set",
		.usage = "KEY DECLARATION [--reason TEXT] [--dry-run]",
		.summary = "Declares what a setting may be",
		.description = "A declaration is JSON: type (bool int float string duration size list object "
			       "secret), and where they apply "
			       "min, max, enum, pattern, default, unit, description, restart (none reload "
			       "restart), secret, irreversible. "
			       "A value that is set already must satisfy it.",
		.options = change_options,
		.examples = set_examples,
		.words_min = 2,
		.words_max = 2,
		.statuses = LG_STATUS_CHANGE,
		.run = run_set },
	{ .name = "schema unset",
		.usage = "KEY… [--reason TEXT] [--dry-run]",
		.summary = "Withdraws declarations",
		.description = "Withdraws declarations; the values stay.",
		.options = change_options,
		.examples = unset_examples,
		.words_min = 1,
		.words_max = SIZE_MAX,
		.statuses = LG_STATUS_CHANGE,
		.run = run_unset },
	{ .name = "schema import",
		.usage = "FILE|- [--format NAME] [--reason TEXT] [--dry-run]",
		.summary = "Takes declarations from a file",
		.description = "Reads {KEY: DECLARATION}, or the member \"schema\" of a document, and makes "
			       "one change of it. "
			       "Values in the same document are not looked at: 'lastgood import' takes both.",
		.options = import_options,
		.examples = import_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_CHANGE,
		.run = run_import },
	{ .name = "schema strict",
		.usage = "on|off [PREFIX/] [--reason TEXT] [--dry-run]",
		.summary = "Refuses or allows keys without a declaration",
		.description = "Where strict is on, only declared keys may be set: everywhere, or below the "
			       "prefixes named.",
		.options = change_options,
		.examples = strict_examples,
		.words_min = 1,
		.words_max = 2,
		.statuses = LG_STATUS_CHANGE,
		.run = run_strict },
	{ 0 },
};
