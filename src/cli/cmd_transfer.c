/* import export */
#include "base/cleanup.h"
#include "cli/change.h"
#include "cli/export.h"
#include "cli/read.h"
#include "cli/show.h"
#include "format/format.h"
#include "io/file.h"

#include <string.h>
#include <unistd.h>

/* --- import ------------------------------------------------------------------------------------------------------------------ */

int lg_cli_read(const char *path, struct lg_buf *buf, struct lg_error *err)
{
	if (strcmp(path, "-") == 0)
		return lg_fd_read(STDIN_FILENO, "standard input", LG_IMPORT_MAX, buf, err);
	return lg_file_read(path, LG_IMPORT_MAX, buf, err);
}

int lg_cli_format(const struct lg_cli *cli, const char *path, enum lg_format *ret_format, struct lg_error *err)
{
	const char *name = lg_args_value(&cli->args, "format");
	if (!name) {
		*ret_format = path ? lg_format_from_path(path) : LG_FORMAT_JSON;
		return 0;
	}
	int rc = lg_format_from_name(name, ret_format, err);
	return rc < 0 ? lg_context(err, LG_EUSAGE, "option '--format'") : 0;
}

static int changes_from_items(const struct lg_items *items, struct lg_changeset *set, struct lg_error *err)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *item = &items->items[i];
		int rc = lg_changeset_add(set, item->key, strlen(item->key), item->value, item->value_len, err);
		if (rc == 0 && item->bare)
			rc = lg_changeset_set_bare(set, item->bare, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_items(struct lg_cli *cli, const char *path, struct lg_changeset *changes, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	enum lg_format format = LG_FORMAT_JSON;
	int rc = lg_cli_format(cli, path, &format, err);
	if (rc == 0)
		rc = lg_cli_read(path, &text, err);
	if (rc == 0)
		rc = lg_format_parse(format, path, lg_buf_str(&text), text.len, &items, &cli->problems, err);
	return rc < 0 ? rc : changes_from_items(&items, changes, err);
}

static int run_import(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf reason = LG_BUF_INIT;
	const char *path = cli->args.words[0];
	struct lg_change_request request = { .changes = &changes,
		.what = "imported",
		.skip_invalid = lg_args_has(&cli->args, "skip-invalid"),
		.dry_run = lg_args_has(&cli->args, "dry-run"),
		.count_only = true };
	lg_buf_adds(&reason, "import ");
	lg_text_add_printable(&reason, path, strlen(path));
	int rc = lg_buf_check(&reason, err);
	if (rc == 0)
		rc = lg_cli_reason(cli, reason.data, &request.reason, err);
	if (rc == 0)
		rc = read_items(cli, path, &changes, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc < 0)
		return rc;
	if (cli->problems.total && !request.skip_invalid)
		rc = lg_change_refuse(cli, &request, path, err);
	else
		rc = lg_change_run(cli, &request, err);
	if (rc == LG_EINVALID && !request.skip_invalid)
		cli->hint = "nothing was changed; --skip-invalid imports what is valid";
	return rc;
}

/* --- export ------------------------------------------------------------------------------------------------------------------ */

struct export_state {
	const struct lg_scope *scope;
	struct lg_items items;
	struct lg_error *err;
};

static int export_one(void *arg, const struct lg_entry *entry)
{
	struct export_state *state = arg;
	if (!lg_scope_covers(state->scope, entry->key, entry->key_len))
		return 0;
	return lg_items_add(&state->items, entry->key, entry->value, entry->value_len, NULL, 0, state->err);
}

int lg_cli_export_text(struct lg_cli *cli, const char *path, const struct lg_tree *tree,
	const struct lg_scope *scope, uint64_t revision, struct lg_buf *buf, size_t *ret_count,
	struct lg_error *err)
{
	struct export_state state = { .scope = scope, .items = LG_ITEMS_INIT, .err = err };
	char root[2 * LG_HASH_SIZE + 1];
	uint8_t hash[LG_HASH_SIZE];
	enum lg_format format = LG_FORMAT_JSON;
	lg_tree_hash(tree, hash);
	lg_hex_encode(hash, LG_HASH_SIZE, root);
	struct lg_format_meta meta = { .revision = revision, .root = root };
	int rc = lg_cli_format(cli, path, &format, err);
	if (rc == 0)
		rc = lg_tree_walk(tree, "", 0, export_one, &state);
	if (rc == 0)
		rc = lg_format_emit(format, &state.items, &meta, buf, &cli->problems, err);
	if (rc == 0)
		rc = lg_problems_fail(&cli->problems, err, "the export");
	if (rc == 0)
		*ret_count = state.items.count;
	lg_items_clear(&state.items);
	return rc;
}

int lg_cli_export_file(const char *path, const struct lg_buf *text, struct lg_error *err)
{
	const struct lg_replace_options options = { .mode = 0600, .keep_meta = true };
	return lg_file_replace(path, lg_buf_str(text), text->len, &options, err);
}

static int put_export(
	struct lg_cli *cli, const struct lg_buf *text, uint64_t revision, size_t count, struct lg_error *err)
{
	const char *path = lg_args_value(&cli->args, "file");
	if (!path) {
		lg_output_raw(&cli->output, text->data, text->len);
		cli->output.emitted = true;
		return 0;
	}
	int rc = lg_cli_export_file(path, text, err);
	if (rc < 0)
		return rc;
	lg_output_line(&cli->output, LG_STYLE_PLAIN, "r%llu: %zu keys written to '%s'",
		(unsigned long long)revision, count, path);
	return lg_output_document(&cli->output,
		json_pack("{s:o, s:I, s:I}", "file", lg_show_text_json(path), "revision", (json_int_t)revision,
			"keys", (json_int_t)count),
		err);
}

static int run_export(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	uint64_t revision = 0;
	size_t count = 0;
	int rc = lg_cli_scope(cli, &scope, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = lg_cli_state(cli, lg_args_value(&cli->args, "at"), &scope, &revision, &tree, err);
	if (rc == 0)
		rc = lg_cli_export_text(
			cli, lg_args_value(&cli->args, "file"), tree, &scope, revision, &text, &count, err);
	return rc < 0 ? rc : put_export(cli, &text, revision, count, err);
}

/* --- the table ----------------------------------------------------------------------------------------------------------------- */

static const struct lg_option import_options[] = {
	{ "format", "NAME", "json, yaml, env or properties; default by the name's ending, else json", 0,
		false },
	{ "reason", "TEXT", "why; default 'import FILE'", 0, false },
	{ "skip-invalid", NULL, "leave out what is invalid instead of refusing all", 0, false },
	{ "dry-run", NULL, "check and show everything, change nothing", 0, false },
	{ 0 },
};
static const struct lg_option export_options[] = {
	{ "at", "TARGET", "as it was then: r12, @-1, good, head, or a time", 0, false },
	{ "prefix", "PREFIX/", "only these keys and their declarations", 0, true },
	{ "format", "NAME", "json, yaml, env or properties; default by the file's ending, else json", 0,
		false },
	{ "file", "FILE", "write there (durably, whole or not at all) instead of to standard output", 0,
		false },
	{ 0 },
};
static const struct lg_example import_examples[] = {
	{ "import settings.json --reason 'first values'", "a backup, an export, or a file written by hand" },
	{ "import - --format env <.env", "from standard input" },
	{ 0 },
};
static const struct lg_example export_examples[] = {
	{ "export --file backup.json", "everything, declarations included" },
	{ "export --at good --prefix web/ --format yaml", "one prefix as it was when it was known to be good" },
	{ 0 },
};

const struct lg_command lg_commands_transfer[] = {
	{ .name = "import",
		.usage = "FILE|- [--format NAME] [--reason TEXT] [--skip-invalid] [--dry-run]",
		.summary = "Takes settings and declarations from a file",
		.description = "Reads {\"configurations\": {KEY: {\"value\": …}}, \"schema\": {KEY: "
			       "DECLARATION}} as JSON or YAML, or the "
			       "values alone from an env file or a properties file, and makes one change of "
			       "it.\n\nAnything invalid "
			       "refuses all, with every problem listed; --skip-invalid takes the rest. Keys "
			       "that the file lacks are kept.",
		.options = import_options,
		.examples = import_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_CHANGE,
		.run = run_import },
	{ .name = "export",
		.usage = "[--at TARGET] [--prefix PREFIX/]… [--format NAME] [--file FILE]",
		.summary = "Writes settings and declarations",
		.description = "Writes what import reads: the same state, imported elsewhere, has the same "
			       "root hash. Secrets are written "
			       "sealed, so only the store that they came from can open them again. env and "
			       "properties hold values "
			       "only.\n\nThe text goes to standard output whatever -o says.",
		.options = export_options,
		.examples = export_examples,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID) | LG_STATUS(LG_ENOSPC) |
			LG_STATUS(LG_EREADONLY),
		.run = run_export },
	{ 0 },
};
