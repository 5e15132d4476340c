#include "base/cleanup.h"
#include "entries.h"
#include "hostile.h"
#include "support/support.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const struct entries_row rows[] = {
	{ "empty file", "", "", NULL, NULL },
	{ "comments and blank lines", "# a\n\n  # b=c\n\t\r\nA=1\n#", "A=1\n", NULL, NULL },
	{ "no line break at the end", "A=b", "A=\"b\"~b\n", NULL, NULL },
	{ "name to key", "web__port=1\na__b__c=2\nA_B=3\n", "web/port=1\na/b/c=2\nA_B=3\n", NULL, NULL },
	{ "three underscores", "a___b=1", "a/_b=1\n", NULL, NULL },
	{ "bare JSON", "A=1\nB=-2.50\nC=true\nD=null\nE=[1, 2]\nF={\"a\":1}\n",
		"A=1\nB=-2.5~-2.50\nC=true\nD=null\nE=[1,2]~[1, 2]\nF={\"a\":1}\n", NULL, NULL },
	{ "bare text", "A=01\nB=yes\nC=nullable\nD=1.2.3\nE=[x\nF=NaN\n",
		"A=\"01\"~01\nB=\"yes\"~yes\nC=\"nullable\"~nullable\nD=\"1.2.3\"~1.2.3\nE=\"[x\"~[x\nF="
		"\"NaN\"~NaN\n",
		NULL, NULL },
	{ "empty values", "A=\nB=   \nC=''\nD=\"\"\n", "A=\"\"~\nB=\"\"~\nC=\"\"\nD=\"\"\n", NULL, NULL },
	{ "blanks around", "  A =  b c  \n", "A=\"b c\"~b c\n", NULL, NULL },
	{ "export", "export A=1\nexport\tB=2\nexport=3\nexported=4\n", "A=1\nB=2\nexport=3\nexported=4\n", NULL,
		NULL },
	{ "comments behind", "A=1 # one\nB='2' # two\nC=3#4\nD=#5\nE= # 6\n",
		"A=1\nB=\"2\"\nC=\"3#4\"~3#4\nD=\"#5\"~#5\nE=\"\"~\n", NULL, NULL },
	{ "CRLF", "A=1\r\nB=x\r\nC='y'\r\n", "A=1\nB=\"x\"~x\nC=\"y\"\n", NULL, NULL },
	{ "single quotes are literal", "A='a\\n$b\"'", "A=\"a\\\\n$b\\\"\"\n", NULL, NULL },
	{ "quoted numbers are text", "A='1'\nB=\"true\"\nC='null'", "A=\"1\"\nB=\"true\"\nC=\"null\"\n", NULL,
		NULL },
	{ "double quotes escape", "A=\"\\n\\t\\r\\\"\\\\\\$\\`\\x\"", "A=\"\\n\\t\\r\\\"\\\\$`\\\\x\"\n", NULL,
		NULL },
	{ "nothing is expanded", "A=$B\nC=\"$D\"\nE=`id`", "A=\"$B\"~$B\nC=\"$D\"\nE=\"`id`\"~`id`\n", NULL,
		NULL },
	{ "quotes over lines", "A='x\ny'\nB=\"x\ny\\\nz\"\n", "A=\"x\\ny\"\nB=\"x\\nyz\"\n", NULL, NULL },
	{ "quoted collections", "A='{\"a\": [1]}'\nB='[]'\nC=\"[]\"\nD='[x]'\nE='\"x\"'",
		"A={\"a\":[1]}~{\"a\": [1]}\nB=[]\nC=\"[]\"\nD=\"[x]\"\nE=\"\\\"x\\\"\"\n", NULL, NULL },
	{ "equals sign in the value", "A=b=c", "A=\"b=c\"~b=c\n", NULL, NULL },
	{ "UTF-8", "A=gr\xc3\xbcn", "A=\"gr\xc3\xbcn\"~gr\xc3\xbcn\n", NULL, NULL },
	{ "byte order mark",
		"\xef\xbb\xbf"
		"A=1",
		"A=1\n", NULL, NULL },
	{ "no equals sign", "A=1\n  B\n", NULL, "file: line 2 column 3: the line is not NAME=VALUE", NULL },
	{ "export alone", "export A\n", NULL, "file: line 1 column 1: the line is not", NULL },
	{ "unclosed single", "A=1\nB='x\ny", NULL, "file: line 2 column 3: the quote ' is not closed", NULL },
	{ "unclosed double", "B=\"x\\\"", NULL, "file: line 1 column 3: the quote \" is not closed", NULL },
	{ "backslash at the end", "B=\"x\\", NULL, "is not closed", NULL },
	{ "text behind the quote", "A='x'y\n", NULL, "file: line 1 column 6: there is text behind", NULL },
	{ "comment glued to the quote", "A='x'#y\n", NULL, "file: line 1 column 6: there is text behind",
		NULL },
	{ "set twice", "A=1\nB=2\nA=3", NULL, "file: line 3 column 1: 'A' is set twice, first on line 1",
		NULL },
	{ "invalid UTF-8", "A=1\nB=\xff", NULL, "file: line 2 column 3: byte 0xff", NULL },
	{ "no name", "=x\nB=1", "B=1\n", NULL, ": the name of a variable" },
	{ "digit first", "1A=x\nB=1", "B=1\n", NULL, "1A: the name of a variable" },
	{ "name with a dash", "a-b='x\ny'\nB=1", "B=1\n", NULL, "a-b: the name of a variable" },
	{ "integer beyond 64 bits", "A=9223372036854775808\nB=1", "B=1\n", NULL,
		"A: number 9223372036854775808 is too large" },
	{ "the same as text", "A='9223372036854775808'", "A=\"9223372036854775808\"\n", NULL, NULL },
};

static void test_row(void **state)
{
	entries_check(LG_FORMAT_ENV, *state);
}

static void test_lines(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	static const char text[] = "# c\nA=1\nB='x\ny'\n\nC=2\n";
	lg_assert_ok(lg_format_parse(LG_FORMAT_ENV, "f", text, strlen(text), &items, NULL, &err), &err);
	assert_int_equal(items.items[0].line, 2);
	assert_int_equal(items.items[1].line, 3);
	assert_int_equal(items.items[2].line, 6);
}

static void test_nul(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_items items = LG_ITEMS_INIT;
	lg_assert_code(
		lg_format_parse(LG_FORMAT_ENV, "f", "A=1\nB=\0", 7, &items, NULL, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "f: line 2 column 3: NUL byte"));
}

static const struct {
	const char *key;
	const char *value;
	const char *line; /* NULL: no variable can have the name */
} written[] = {
	{ "a", "1", "a=1\n" },
	{ "web/port", "8080", "web__port=8080\n" },
	{ "a", "null", "a=null\n" },
	{ "a", "\"word\"", "a=word\n" },
	{ "a", "\"http://h:80/p\"", "a=http://h:80/p\n" },
	{ "a", "\"two words\"", "a='two words'\n" },
	{ "a", "\"true\"", "a='true'\n" },
	{ "a", "\"9223372036854775808\"", "a='9223372036854775808'\n" },
	{ "a", "\"\"", "a=''\n" },
	{ "a", "\"it's $5\"", "a=\"it's \\$5\"\n" },
	{ "a", "\"x\\ny\"", "a='x\ny'\n" },
	{ "a", "{\"b\":\"it's\"}", "a='{\"b\":\"it\\u0027s\"}'\n" },
	{ "a", "\"{\\\"b\\\":1}\"", "a=\"{\\\"b\\\":1}\"\n" },
	{ "a__b", "1", NULL },
	{ "a_/b", "1", NULL }, /* its name, a___b, is that of a/_b */
	{ "a/_b", "1", "a___b=1\n" },
	{ "a-b", "1", NULL },
	{ "1a", "1", NULL },
	{ "@flag/a", "1", NULL },
	{ "gr\xc3\xbcn", "1", NULL },
	{ "@schema/a", "{\"type\":\"int\"}", "" },
};

static void test_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
		lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		const char *want = written[i].line;
		lg_assert_ok(lg_items_add(&items, written[i].key, written[i].value, strlen(written[i].value),
				     NULL, 0, &err),
			&err);
		lg_assert_ok(lg_format_emit(LG_FORMAT_ENV, &items, NULL, &buf, &problems, &err), &err);
		assert_string_equal(lg_buf_str(&buf), want ? want : "");
		assert_int_equal(problems.total, want ? 0 : 1);
	}
}

static void test_hostile(void **state)
{
	(void)state;
	entries_hostile_round_trip(LG_FORMAT_ENV);
}

static void test_random(void **state)
{
	(void)state;
	entries_random_round_trip(LG_FORMAT_ENV);
}

static void test_cut(void **state)
{
	(void)state;
	entries_cut_short(LG_FORMAT_ENV, "export A='x y' # c\nB=\"\\n\\$\"\nC__d={\"a\":1}\nE=\n");
}

/* --- a shell's opinion ------------------------------------------------------------------------------------------- */

static char *run_shell(const char *script, size_t *ret_len)
{
	const char *out = lg_test_path("sh.out");
	posix_spawn_file_actions_t actions;
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(
		posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
	char *argv[] = { (char *)"sh", (char *)(uintptr_t)script, NULL };
	pid_t pid;
	assert_int_equal(posix_spawnp(&pid, "sh", &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return lg_test_read(out, ret_len);
}

/* A shell that sources the file sees strings as they are, everything else as its JSON (' inside written \u0027). */
static void expect_shell_agrees(const json_t *values)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf file = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf script = LG_BUF_INIT;
	entries_from_list(values, &items);
	lg_assert_ok(lg_format_emit(LG_FORMAT_ENV, &items, NULL, &file, &problems, &err), &err);
	assert_int_equal(problems.total, 0);
	lg_test_write(lg_test_path("values.env"), file.data, file.len);
	lg_buf_addf(&script, ". %s\nprintf '%%s\\0'", lg_test_path("values.env"));
	for (size_t i = 0; i < items.count; i++)
		lg_buf_addf(&script, " \"$%s\"", items.items[i].key);
	lg_test_write(lg_test_path("script.sh"), script.data, script.len);

	size_t len = 0;
	lg_autofree char *out = run_shell(lg_test_path("script.sh"), &len);
	const char *at = out;
	for (size_t i = 0; i < items.count; i++) {
		const json_t *value = json_array_get(values, i);
		assert_true(at < out + len);
		if (json_is_string(value)) {
			assert_string_equal(at, json_string_value(value));
		} else {
			json_t *seen = json_loads(at, JSON_DECODE_ANY, NULL);
			assert_non_null(seen);
			lg_autofree char *canonical = hostile_canonical(seen);
			json_decref(seen);
			assert_string_equal(canonical, items.items[i].value);
		}
		at += strlen(at) + 1;
	}
	assert_ptr_equal(at, out + len);
}

static void test_shell(void **state)
{
	(void)state;
	json_t *values = hostile_file_is_set() ? hostile_file() : json_array();
	for (size_t i = 0; hostile_strings[i]; i++) {
		const char *text = hostile_strings[i];
		json_array_append_new(values, json_string(text));
		json_array_append_new(values, json_pack("[s, {s: s}]", text, text, text));
	}
	struct hostile_rng rng = { .state = 7 };
	for (int i = 0; i < 300; i++)
		json_array_append_new(values, hostile_value(&rng, 3));
	expect_shell_agrees(values);
	json_decref(values);
}

int main(void)
{
	lg_test_rows("env", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct entries_row, name));
	lg_test_add("env: lines", test_lines, NULL);
	lg_test_add("env: NUL byte", test_nul, NULL);
	lg_test_add("env: what is written", test_written, NULL);
	lg_test_add("env: hostile strings come back", test_hostile, NULL);
	lg_test_add("env: random values come back", test_random, NULL);
	lg_test_add("env: cut short at every byte", test_cut, NULL);
	lg_test_add("env: a shell sees the same", test_shell, NULL);
	return lg_test_run("format_env");
}
