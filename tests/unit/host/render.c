#include "support/support.h"

#include "base/cleanup.h"
#include "format/format.h"
#include "host/adapter/render.h"
#include "io/process.h"
#include "model/secret.h"
#include "model/value.h"

static const uint8_t store_key[LG_SECRET_KEY_SIZE] = { 1, 2, 3 };

struct pair {
	const char *key, *value; /* canonical */
};
#define PAIRS_MAX 8

static struct lg_tree *make_tree(const struct pair *pairs)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	struct lg_error err = LG_ERROR_INIT;
	for (size_t i = 0; i < PAIRS_MAX && pairs[i].key; i++)
		lg_assert_ok(lg_tree_edit_put(edit, pairs[i].key, strlen(pairs[i].key), pairs[i].value,
				     strlen(pairs[i].value), 1, &err),
			&err);
	return lg_tree_edit_commit(edit);
}

static int reveal(void *arg, const struct lg_entry *entry, struct lg_buf *ret_value, struct lg_error *err)
{
	return lg_secret_open(store_key, entry->key, entry->value, entry->value_len, ret_value, err);
}

/* --- what comes out ---------------------------------------------------------------------------------------------- */

struct row {
	const char *name;
	enum lg_adapter_format format;
	bool upper;
	struct pair pairs[PAIRS_MAX];
	const char *wanted; /* the file, or, with code, a part of the message */
	int code;
};

#define JSON .format = LG_ADAPTER_JSON
#define ENV  .format = LG_ADAPTER_ENV

static const struct row rows[] = {
	{ "json: nothing", JSON, .wanted = "{}\n" },
	{ "json: only what is below the prefix", JSON,
		.pairs = { { "we/a", "1" }, { "web", "2" }, { "web0", "3" }, { "web/a", "4" } },
		.wanted = "{\n  \"a\": 4\n}\n" },
	{ "json: nested by segment, sorted by segment", JSON,
		.pairs = { { "web/a-b", "1" }, { "web/a/y", "2" }, { "web/a/x/deep", "3" },
			{ "web/b", "true" } },
		.wanted = "{\n  \"a\": {\n    \"x\": {\n      \"deep\": 3\n    },\n    \"y\": 2\n  },\n  "
			  "\"a-b\": 1,\n"
			  "  \"b\": true\n}\n" },
	{ "json: every kind of value", JSON,
		.pairs = { { "web/a", "0.1" }, { "web/b", "9223372036854775807" }, { "web/c", "null" },
			{ "web/d", "\"q\\\"\\\\\\n\xc3\xa9\"" }, { "web/e", "[]" },
			{ "web/f", "[1,{\"z\":{}}]" } },
		.wanted = "{\n  \"a\": 0.1,\n  \"b\": 9223372036854775807,\n  \"c\": null,\n"
			  "  \"d\": \"q\\\"\\\\\\n\xc3\xa9\",\n  \"e\": [],\n"
			  "  \"f\": [\n    1,\n    {\n      \"z\": {}\n    }\n  ]\n}\n" },
	{ "json: value and parent", JSON,
		.pairs = { { "web/a", "{\"x\":1}" }, { "web/a-b", "1" }, { "web/a/b/c", "2" } },
		.wanted = "'web/a' is a value and the parent of 'web/a/b/c'", .code = LG_EINVALID },
	{ "env: nothing", ENV, .wanted = "" },
	{ "env: names", ENV,
		.pairs = { { "web/max_jobs", "10" }, { "web/db/host", "\"h\"" }, { "web/X9", "false" } },
		.wanted = "X9=false\ndb__host=h\nmax_jobs=10\n" },
	{ "env: upper names", ENV, .upper = true,
		.pairs = { { "web/max_jobs", "10" }, { "web/db/host", "\"h\"" } },
		.wanted = "DB__HOST=h\nMAX_JOBS=10\n" },
	{ "env: quoting", ENV,
		.pairs = { { "web/a", "\"\"" }, { "web/b", "\"two words\"" },
			{ "web/c", "\"it's $5 \\\\ \\\"now\\\" `x`\"" }, { "web/d", "[1,\"x\"]" },
			{ "web/e", "\"a=b,c:/d@e%f+g-h.i\"" }, { "web/f", "\"~\"" } },
		.wanted = "a=\nb='two words'\nc=\"it's \\$5 \\\\ \\\"now\\\" "
			  "\\`x\\`\"\nd='[1,\"x\"]'\ne=a=b,c:/d@e%f+g-h.i\n"
			  "f='~'\n" },
	{ "env: newline", ENV, .pairs = { { "web/a", "\"x\\nPATH=/evil\"" } },
		.wanted = "'web/a': its value has a control character (\\x0a)", .code = LG_EINVALID },
	{ "env: carriage return", ENV, .pairs = { { "web/a", "\"x\\r\"" } }, .wanted = "\\x0d",
		.code = LG_EINVALID },
	{ "env: DEL", ENV, .pairs = { { "web/a", "\"x\x7f\"" } }, .wanted = "\\x7f", .code = LG_EINVALID },
	{ "env: no name", ENV, .pairs = { { "web/max-jobs", "1" } }, .wanted = "'web/max-jobs' has no name",
		.code = LG_EINVALID },
	{ "env: begins with a digit", ENV, .pairs = { { "web/9x", "1" } }, .wanted = "'web/9x' has no name",
		.code = LG_EINVALID },
	{ "env: two keys of one name", ENV, .pairs = { { "web/a/b", "1" }, { "web/a__b", "1" } },
		.wanted = "'web/a/b' and 'web/a__b' are both written as a__b", .code = LG_EINVALID },
	{ "env: two keys of one upper name", ENV, .upper = true,
		.pairs = { { "web/Max", "1" }, { "web/max", "1" } }, .wanted = "both written as MAX",
		.code = LG_EINVALID },
	{ "env: names that differ in case are two", ENV, .pairs = { { "web/Max", "1" }, { "web/max", "2" } },
		.wanted = "Max=1\nmax=2\n" },
};

static void test_row(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = make_tree(row->pairs);
	struct lg_adapter_spec spec = { .prefix = "web/", .format = row->format, .upper_names = row->upper };
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	bool secret = true;
	lg_buf_adds(&out, "kept:");
	lg_assert_code(lg_render(&spec, tree, NULL, NULL, &out, &secret, &err), row->code, &err);
	if (row->code == 0) {
		assert_string_equal(out.data + 5, row->wanted);
		assert_false(secret);
		return;
	}
	assert_string_equal(out.data, "kept:");
	if (!strstr(err.message, row->wanted))
		fail_msg("'%s' is not in '%s'", row->wanted, err.message);
}

/* --- env files as others read them ------------------------------------------------------------------------------- */

static const char *const hostile[] = { "", " ", "a b", "$HOME", "${HOME}", "`id`", "$(id)", "it's", "\"", "\\",
	"\\n", "'\"'\"'", "it's $(id) `id` \"x\" \\ \\$", "#no comment", "a #b", "~", "a:~/b", "*", "!x", "a;b",
	"a&b|c>d<e", "x=y", "\t", " lead", "trail ", "''", "\\'", "%s%n", "\xc3\xa9\xe2\x82\xac", "a\\", "'$x",
	"'`x`" };
#define HOSTILE_COUNT (sizeof hostile / sizeof *hostile)

static void render_hostile(struct lg_buf *out)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	struct lg_error err = LG_ERROR_INIT;
	for (size_t i = 0; i < HOSTILE_COUNT; i++) {
		char key[32];
		lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
		snprintf(key, sizeof key, "web/V%zu", i);
		json_t *json = json_string(hostile[i]);
		lg_assert_ok(lg_json_canonical(json, &value, &err), &err);
		json_decref(json);
		lg_assert_ok(lg_tree_edit_put(edit, key, strlen(key), value.data, value.len, 1, &err), &err);
	}
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = lg_tree_edit_commit(edit);
	struct lg_adapter_spec spec = { .prefix = "web/", .format = LG_ADAPTER_ENV };
	bool secret;
	lg_assert_ok(lg_render(&spec, tree, NULL, NULL, out, &secret, &err), &err);
}

static void test_env_in_sh(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf script = LG_BUF_INIT;
	render_hostile(&script);
	for (size_t i = 0; i < HOSTILE_COUNT; i++)
		lg_buf_addf(&script, "printf '%%s\\0' \"$V%zu\"\n", i);
	const char *path = lg_test_path("vars.sh");
	lg_test_write(path, script.data, script.len);
	const char *const argv[] = { "/bin/sh", path, NULL };
	struct lg_run_options options = { .argv = argv };
	lg_cleanup(lg_run_result_clear) struct lg_run_result result = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_run(&options, &result, &err), &err);
	assert_int_equal(result.exit_status, 0);
	const char *at = result.out.data, *end = at + result.out.len;
	for (size_t i = 0; i < HOSTILE_COUNT; i++) {
		assert_true(at < end);
		assert_string_equal(at, hostile[i]);
		at += strlen(at) + 1;
	}
	assert_ptr_equal(at, end);
}

/* systemd.exec(5), EnvironmentFile=: '…' is literal; in "…" a backslash before " \ ` $ is taken away; nothing else is. */
static char *systemd_value(const char *text)
{
	struct lg_buf value = LG_BUF_INIT;
	char quote = *text == '\'' || *text == '"' ? *text++ : '\0';
	for (; *text && *text != quote; text++) {
		if (quote == '"' && *text == '\\' && strchr("\"\\`$", text[1]))
			text++;
		lg_buf_addc(&value, *text);
	}
	assert_true(!quote || (*text == quote && text[1] == '\0'));
	return lg_buf_steal(&value);
}

static void test_env_in_systemd(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	render_hostile(&out);
	size_t lines = 0;
	for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n"), lines++) {
		char *end;
		size_t i = strtoul(line + 1, &end, 10);
		assert_int_equal(*end, '=');
		lg_autofree char *value = systemd_value(end + 1);
		assert_string_equal(value, hostile[i]);
	}
	assert_int_equal(lines, HOSTILE_COUNT);
}

static void test_env_in_lastgood(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	render_hostile(&out);
	struct lg_items items = LG_ITEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_format_parse(LG_FORMAT_ENV, "x", out.data, out.len, &items, &problems, &err), &err);
	assert_int_equal(items.count, HOSTILE_COUNT);
	for (size_t i = 0; i < items.count; i++) {
		size_t n = strtoul(items.items[i].key + 1, NULL, 10);
		json_t *value = NULL;
		lg_assert_ok(lg_json_parse(items.items[i].value, items.items[i].value_len, LG_VALUE_MAX, &value,
				     &err),
			&err);
		assert_string_equal(json_string_value(value), hostile[n]);
		json_decref(value);
	}
	lg_items_clear(&items);
}

/* --- templates --------------------------------------------------------------------------------------------------- */

static int render_template(const char *text, const struct lg_tree *tree, lg_adapter_reveal *with,
	struct lg_buf *out, bool *ret_secret, struct lg_error *err)
{
	const char *path = lg_test_path("template");
	lg_test_write(path, text, strlen(text));
	struct lg_adapter_spec spec = {
		.prefix = "web/", .format = LG_ADAPTER_TEMPLATE, .template_path = (char *)path
	};
	return lg_render(&spec, tree, with, NULL, out, ret_secret, err);
}

static void test_template(void **state)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = make_tree((const struct pair[PAIRS_MAX]){
		{ "web/port", "8080" }, { "web/up/name", "\"main\"" }, { "webport", "1" }, { "port", "2" } });
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	bool secret = true;
	lg_assert_ok(render_template(
			     "listen {{port}}; {{up/name}} {{absent|none}}\n", tree, NULL, &out, &secret, &err),
		&err);
	assert_string_equal(out.data, "listen 8080; main none\n");
	assert_false(secret);
	lg_assert_code(
		render_template("a\n  {{web/port}}", tree, NULL, &out, &secret, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, ":2:3"));
	struct lg_adapter_spec spec = {
		.prefix = "web/", .format = LG_ADAPTER_TEMPLATE, .template_path = "/nowhere/t"
	};
	lg_assert_code(lg_render(&spec, tree, NULL, NULL, &out, &secret, &err), LG_EFAILED, &err);
	assert_non_null(strstr(err.message, "/nowhere/t"));
	assert_string_equal(out.data, "listen 8080; main none\n");
}

/* --- secrets ----------------------------------------------------------------------------------------------------- */

static void test_secret(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_secret_seal(store_key, "web/password", "\"hunter2\"", 9, &sealed, &err), &err);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = make_tree(
		(const struct pair[PAIRS_MAX]){ { "web/password", sealed.data }, { "web/other", "1" } });
	lg_cleanup(lg_tree_unrefp) struct lg_tree *moved = make_tree(
		(const struct pair[PAIRS_MAX]){ { "web/elsewhere", sealed.data }, { "web/other", "1" } });
	static const struct {
		enum lg_adapter_format format;
		const char *wanted;
	} forms[] = { { LG_ADAPTER_JSON, "{\n  \"other\": 1,\n  \"password\": \"hunter2\"\n}\n" },
		{ LG_ADAPTER_ENV, "other=1\npassword=hunter2\n" }, { LG_ADAPTER_TEMPLATE, "p hunter2 o 1" } };
	const char *path = lg_test_path("secret.template");
	lg_test_write(path, "p {{password|none}} o {{other}}", 31);
	for (size_t i = 0; i < 3; i++) {
		struct lg_adapter_spec spec = {
			.prefix = "web/", .format = forms[i].format, .template_path = (char *)path
		};
		lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
		bool secret = false;
		lg_assert_ok(lg_render(&spec, tree, reveal, NULL, &out, &secret, &err), &err);
		assert_string_equal(out.data, forms[i].wanted);
		assert_true(secret);
		lg_buf_reset(&out);
		/* cannot be opened: neither the sealed text nor a default comes out */
		lg_assert_code(lg_render(&spec, tree, NULL, NULL, &out, &secret, &err), LG_EPERM, &err);
		assert_non_null(strstr(err.message, "web/password"));
		assert_int_equal(out.len, 0);
		if (forms[i].format != LG_ADAPTER_TEMPLATE)
			lg_assert_code(
				lg_render(&spec, moved, reveal, NULL, &out, &secret, &err), LG_EPERM, &err);
	}
}

int main(int argc, char **argv)
{
	lg_test_rows(
		"render", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("env: hostile values in sh", test_env_in_sh, NULL);
	lg_test_add("env: hostile values as systemd reads them", test_env_in_systemd, NULL);
	lg_test_add("env: hostile values as lastgood reads them", test_env_in_lastgood, NULL);
	lg_test_add("template", test_template, NULL);
	lg_test_add("secrets", test_secret, NULL);
	return lg_test_run(argv[0]);
}
