#include "base/cleanup.h"
#include "format/format.h"
#include "support/support.h"

static int lookup(void *arg, const char *key, size_t key_len, const char **ret_value, size_t *ret_len)
{
	static const char *const known[][2] = { { "port", "8080" }, { "web/host", "\"a.example\"" },
		{ "on", "true" }, { "list", "[1,\"two\"]" },
		{ "quoted",
			"\"say \\\"hi\\\" \\\\ gr\xc3\xbc\xc3\x9f"
			"e\"" },
		{ "empty", "\"\"" }, { "tab", "\"a\\tb\"" }, { "newline", "\"a\\nuser root;\"" },
		{ "return", "\"a\\rb\"" },
		{ "nel",
			"\"a\xc2\x85"
			"b\"" },
		{ "escape", "\"\\u001b[0m\"" }, { "delete", "\"\x7f\"" }, { "braces", "\"{{port}}\"" },
		{ "in list", "[\"a\\nb\"]" }, { "nbsp", "\"\xc2\xa0\"" } };
	(void)arg;
	if (key_len == 4 && memcmp(key, "dead", 4) == 0)
		return LG_EIO;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strlen(known[i][0]) == key_len && memcmp(known[i][0], key, key_len) == 0) {
			*ret_value = known[i][1];
			*ret_len = strlen(known[i][1]);
			return 1;
		}
	}
	return 0;
}

static const struct row {
	const char *name;
	const char *text;
	const char *want;  /* NULL: fails */
	const char *error; /* part of the message */
	int code;
} rows[] = {
	{ "no tag", "plain { } }} text\n", "plain { } }} text\n", NULL, 0 },
	{ "empty text", "", "", NULL, 0 },
	{ "number", "listen {{port}};", "listen 8080;", NULL, 0 },
	{ "string is bare", "host={{web/host}}", "host=a.example", NULL, 0 },
	{ "blanks around the name", "{{ port }}{{\tport}}", "80808080", NULL, 0 },
	{ "boolean", "{{on}}", "true", NULL, 0 },
	{ "list as JSON", "{{list}}", "[1,\"two\"]", NULL, 0 },
	{ "escapes undone", "{{quoted}}",
		"say \"hi\" \\ gr\xc3\xbc\xc3\x9f"
		"e",
		NULL, 0 },
	{ "empty string", "[{{empty}}]", "[]", NULL, 0 },
	{ "tab may pass", "{{tab}}", "a\tb", NULL, 0 },
	{ "no-break space is no control", "{{nbsp}}", "\xc2\xa0", NULL, 0 },
	{ "escaped newline inside JSON", "{{in list}}", "[\"a\\nb\"]", NULL, 0 },
	{ "values are not rendered again", "{{braces}}", "{{port}}", NULL, 0 },
	{ "default used", "{{absent|fall back}}", "fall back", NULL, 0 },
	{ "default kept as written", "{{absent| a | b }}", " a | b ", NULL, 0 },
	{ "empty default", "[{{absent|}}]", "[]", NULL, 0 },
	{ "default not used", "{{port|1}}", "8080", NULL, 0 },
	{ "comment", "a{{! not {{ shown }}b", "ab", NULL, 0 },
	{ "comment of lines", "a{{!\n x\n}}b", "ab", NULL, 0 },
	{ "literal braces", "{{{{port}}", "{{port}}", NULL, 0 },
	{ "two literals", "{{{{{{{{", "{{{{", NULL, 0 },
	{ "tags side by side", "{{port}}{{port}}", "80808080", NULL, 0 },
	{ "unknown key", "a\nb {{nope}}", NULL, "app.conf:2:3: there is no key 'nope'", LG_EINVALID },
	{ "column in characters", "\xc3\xbc\xc3\xbc {{nope}}", NULL, "app.conf:1:4:", LG_EINVALID },
	{ "unclosed", "a\n {{port", NULL, "app.conf:2:2: the tag is not closed", LG_EINVALID },
	{ "unclosed on its line", "{{port\n{{port}}", NULL, "app.conf:1:1: the tag is not closed",
		LG_EINVALID },
	{ "unclosed comment", "{{! a\nb", NULL, "app.conf:1:1: the tag is not closed", LG_EINVALID },
	{ "open at the end", "a{{", NULL, "app.conf:1:2: the tag is not closed", LG_EINVALID },
	{ "one brace closes nothing", "{{port}", NULL, "not closed", LG_EINVALID },
	{ "no name", "{{}}", NULL, "app.conf:1:1: the tag names no key", LG_EINVALID },
	{ "blank name", "{{  |x}}", NULL, "names no key", LG_EINVALID },
	{ "control in the name", "{{po\x01rt}}", NULL, "'po\\x01rt' cannot be", LG_EINVALID },
	{ "invalid UTF-8 in the name", "{{po\xff}}", NULL, "cannot be the name", LG_EINVALID },
	{ "newline refused", "server {{newline}}", NULL, "app.conf:1:8: the value of 'newline'", LG_EINVALID },
	{ "carriage return refused", "{{return}}", NULL, "line break", LG_EINVALID },
	{ "NEL refused", "{{nel}}", NULL, "line break", LG_EINVALID },
	{ "escape refused", "{{escape}}", NULL, "control character", LG_EINVALID },
	{ "DEL refused", "{{delete}}", NULL, "control character", LG_EINVALID },
	{ "failing lookup", "{{dead}}", NULL, "app.conf:1:1: cannot look up 'dead'", LG_EIO },
};

static void test_row(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf, "before ");
	int rc = lg_template_render("app.conf", row->text, strlen(row->text), lookup, NULL, &buf, &err);
	assert_memory_equal(lg_buf_str(&buf), "before ", 7);
	if (row->want) {
		lg_assert_ok(rc, &err);
		assert_string_equal(buf.data + 7, row->want);
	} else {
		lg_assert_code(rc, row->code, &err);
		if (!strstr(err.message, row->error))
			fail_msg("'%s' is not in '%s'", row->error, err.message);
		assert_int_equal(buf.len, 7);
	}
}

/* Every beginning of a template renders or is refused; what stands before the cut tag is never lost silently. */
static void test_cut_short(void **state)
{
	static const char text[] = "listen {{port}};\n{{! c }}{{absent|d}}{{{{\nhost {{ web/host }}\n";
	(void)state;
	for (size_t len = 0; len < sizeof text; len++) {
		lg_autofree char *copy = malloc(len + 1);
		memcpy(copy, text, len);
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		struct lg_error err = LG_ERROR_INIT;
		int rc = lg_template_render("t", copy, len, lookup, NULL, &buf, &err);
		assert_true(rc == 0 || rc == LG_EINVALID);
		if (rc == 0 && len >= 16)
			assert_memory_equal(buf.data, "listen 8080;", 12);
	}
}

int main(void)
{
	lg_test_rows("template", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct row, name));
	lg_test_add("template: cut short at every byte", test_cut_short, NULL);
	return lg_test_run("format_template");
}
