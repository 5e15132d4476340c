#include "cli/show.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"
#include "model/schema.h"
#include "model/secret.h"
#include "model/value.h"

#include <string.h>

/* --- values ------------------------------------------------------------------------------------------------------------ */

int lg_show_value(const char *value, size_t len, struct lg_buf *buf)
{
	if (lg_secret_is_sealed(value, len))
		return lg_buf_adds(buf, LG_SECRET_REDACTED);
	return lg_buf_add(buf, value, len);
}

json_t *lg_show_value_json(const char *value, size_t len)
{
	json_t *json = NULL;
	if (!value)
		return json_null();
	if (lg_secret_is_sealed(value, len))
		return json_string(LG_SECRET_REDACTED);
	return lg_json_parse(value, len, SIZE_MAX, &json, NULL) < 0 ? NULL : json;
}

int lg_show_is_secret(const struct lg_tree *tree, const char *key)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	struct lg_schema *schema = NULL;
	struct lg_entry entry;
	lg_buf_addf(&name, LG_SCHEMA_SPACE "%s", key);
	if (lg_buf_check(&name, NULL) < 0)
		return LG_ENOMEM;
	if (!lg_tree_get(tree, name.data, name.len, &entry))
		return 0;
	int rc = lg_schema_compile(key, entry.value, entry.value_len, &schema, NULL, NULL);
	bool secret = rc == 0 && lg_schema_is_secret(schema);
	lg_schema_free(schema);
	return rc == LG_ENOMEM ? rc : secret;
}

json_t *lg_show_hash_json(const uint8_t hash[32])
{
	char text[2 * LG_HASH_SIZE + 1];
	lg_hex_encode(hash, LG_HASH_SIZE, text);
	return json_string(text);
}

json_t *lg_show_time_json(int64_t unix_us)
{
	char text[LG_TIME_SIZE];
	return json_string(lg_time_format(unix_us, text));
}

const char *lg_show_time(int64_t unix_us, char buf[static LG_TIME_SIZE])
{
	lg_time_format(unix_us, buf);
	char *fraction = strchr(buf, '.');
	if (fraction)
		memcpy(fraction, "Z", 2);
	return buf;
}

json_t *lg_show_text_json(const char *text)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	size_t len = strlen(text);
	if (lg_utf8_valid_prefix(text, len) == len)
		return json_stringn(text, len);
	return lg_text_add_printable(&buf, text, len) < 0 ? NULL : json_string(lg_buf_str(&buf));
}

void lg_show_word(const char *word, struct lg_buf *buf)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.,:@+=%";
	if (*word && word[strspn(word, plain)] == '\0') {
		lg_buf_adds(buf, word);
		return;
	}
	lg_buf_addc(buf, '\'');
	for (; *word; word++)
		if (*word == '\'')
			lg_buf_adds(buf, "'\\''");
		else
			lg_buf_addc(buf, *word);
	lg_buf_addc(buf, '\'');
}

/* --- differences --------------------------------------------------------------------------------------------------------- */

size_t lg_show_diff_limit(const struct lg_output *output)
{
	return output->terminal ? LG_SHOW_DIFF_ROWS : 0;
}

void lg_show_diff_init(struct lg_show_diff *diff, const struct lg_output *output, size_t limit)
{
	static const char *const headings[] = { "KEY", "BEFORE", "", "AFTER" };
	*diff = (struct lg_show_diff){ .table = lg_output_is_table(output), .limit = limit };
	if (diff->table)
		lg_table_init(&diff->rows, 4, headings);
	else
		diff->list = json_array();
	diff->failed = !diff->table && !diff->list;
}

void lg_show_diff_clear(struct lg_show_diff *diff)
{
	lg_table_clear(&diff->rows);
	json_decref(diff->list);
	diff->list = NULL;
}

/* What is a secret on one side was one on the other too, before it was declared. */
static bool is_secret(const struct lg_entry *before, const struct lg_entry *after)
{
	return (before && lg_secret_is_sealed(before->value, before->value_len)) ||
		(after && lg_secret_is_sealed(after->value, after->value_len));
}

static void add_side(struct lg_show_diff *diff, const struct lg_entry *entry, bool secret, enum lg_style style)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	if (!entry) {
		lg_table_add(&diff->rows, LG_STYLE_DIM, "(absent)");
		return;
	}
	if ((secret ? lg_buf_adds(&buf, LG_SECRET_REDACTED)
		    : lg_show_value(entry->value, entry->value_len, &buf)) < 0)
		diff->failed = true;
	lg_table_add(&diff->rows, style, lg_buf_str(&buf));
}

static void add_row(struct lg_show_diff *diff, const struct lg_entry *before, const struct lg_entry *after)
{
	bool secret = is_secret(before, after);
	lg_table_add(&diff->rows, LG_STYLE_NAME, before ? before->key : after->key);
	add_side(diff, before, secret, LG_STYLE_BAD);
	lg_table_add(&diff->rows, LG_STYLE_DIM, "→");
	add_side(diff, after, secret, LG_STYLE_GOOD);
}

static json_t *side_json(const struct lg_entry *entry, bool secret)
{
	return secret ? json_string(LG_SECRET_REDACTED) : lg_show_value_json(entry->value, entry->value_len);
}

static void add_item(struct lg_show_diff *diff, const struct lg_entry *before, const struct lg_entry *after)
{
	json_t *item = json_object();
	bool secret = is_secret(before, after);
	int rc = json_object_set_new(item, "key", json_string(before ? before->key : after->key));
	if (before)
		rc |= json_object_set_new(item, "before", side_json(before, secret));
	if (after)
		rc |= json_object_set_new(item, "after", side_json(after, secret));
	rc |= json_array_append_new(diff->list, item);
	diff->failed |= rc != 0;
}

int lg_show_diff_visit(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct lg_show_diff *diff = arg;
	diff->count++;
	if (!diff->table)
		add_item(diff, before, after);
	else if (!diff->limit || diff->count <= diff->limit)
		add_row(diff, before, after);
	return diff->failed ? LG_ENOMEM : 0;
}

int lg_show_diff_print(struct lg_show_diff *diff, struct lg_output *output, struct lg_error *err)
{
	if (diff->failed)
		return lg_fail_nomem(err);
	if (!diff->table || diff->count == 0)
		return 0;
	int rc = lg_table_print(&diff->rows, output, err);
	if (rc == 0 && diff->limit && diff->count > diff->limit)
		lg_output_line(output, LG_STYLE_DIM, "and %zu more: -o json shows them all",
			diff->count - diff->limit);
	return rc;
}

json_t *lg_show_diff_json(struct lg_show_diff *diff)
{
	if (diff->failed)
		return NULL;
	return diff->table ? json_array() : lg_steal_ptr(&diff->list);
}

/* --- what the command line says ------------------------------------------------------------------------------------------ */

int lg_cli_reason(const struct lg_cli *cli, const char *fallback, const char **ret_reason, struct lg_error *err)
{
	const char *reason = lg_args_value(&cli->args, "reason");
	if (!reason && !fallback)
		return lg_fail(err, LG_EUSAGE, 0,
			"'%s' wants --reason TEXT: say why, it is kept with the record", cli->command->name);
	if (!reason)
		reason = fallback;
	size_t len = strlen(reason);
	if (reason[strspn(reason, " \t\n")] == '\0')
		return lg_fail(
			err, LG_EUSAGE, 0, "option '--reason' is empty: say why, it is kept with the record");
	size_t valid = lg_utf8_valid_prefix(reason, len);
	if (valid != len)
		return lg_fail(
			err, LG_EINVALID, 0, "option '--reason' is no valid UTF-8 at byte %zu", valid + 1);
	*ret_reason = reason;
	return 0;
}

int lg_cli_scope(const struct lg_cli *cli, struct lg_scope *ret_scope, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	const char *text;
	int rc = 0;
	for (size_t i = 0; rc == 0 && (text = lg_args_nth(&cli->args, "prefix", i)); i++) {
		size_t len = strlen(text);
		if (len == 0 || text[len - 1] != '/')
			return lg_fail(err, LG_EUSAGE, 0, "a prefix ends in '/': --prefix '%s/', or --key '%s'",
				text, text);
		rc = lg_scope_include(&scope, text, err);
	}
	for (size_t i = 0; rc == 0 && (text = lg_args_nth(&cli->args, "key", i)); i++) {
		size_t len = strlen(text);
		if (len && text[len - 1] == '/')
			return lg_fail(err, LG_EUSAGE, 0, "a key does not end in '/': --prefix '%s'", text);
		rc = lg_scope_include(&scope, text, err);
	}
	for (size_t i = 0; rc == 0 && (text = lg_args_nth(&cli->args, "except", i)); i++)
		rc = lg_scope_exclude(&scope, text, err);
	if (rc < 0)
		return rc;
	*ret_scope = scope;
	scope = (struct lg_scope)LG_SCOPE_ALL;
	return 0;
}

int lg_cli_selector(const char *word, struct lg_scope *ret_scope, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	int rc = lg_scope_include(&scope, word, err);
	if (rc < 0)
		return rc;
	*ret_scope = scope;
	scope = (struct lg_scope)LG_SCOPE_ALL;
	return 0;
}

int lg_cli_state(struct lg_cli *cli, const char *target, const struct lg_scope *scope, uint64_t *ret_revision,
	struct lg_tree **ret_tree, struct lg_error *err)
{
	static const struct lg_scope everything = LG_SCOPE_ALL;
	struct lg_config *config = cli->session.config;
	if (!target) {
		struct lg_snapshot snapshot;
		lg_config_snapshot(config, &snapshot);
		*ret_revision = snapshot.revision;
		*ret_tree = lg_tree_ref(snapshot.tree);
		lg_snapshot_clear(&snapshot);
		return 0;
	}
	if (lg_target_is_file(target))
		return lg_fail(err, LG_EUSAGE, 0,
			"'%s' is a file, and a revision is wanted here: r12, @-1, good, head or a time",
			target);
	int rc = lg_config_target(config, target, scope ? scope : &everything, ret_revision, NULL, err);
	return rc < 0 ? rc : lg_config_tree_at(config, *ret_revision, ret_tree, err);
}
