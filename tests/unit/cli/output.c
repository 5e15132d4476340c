#include "support/support.h"

#include "base/buf.h"
#include "cli/output.h"
#include "model/value.h"

struct row {
	const char *name;
	const char *json;
	const char *pretty;
};
static const struct row rows[] = {
	{ "a string", "\"x\"", "\"x\"\n" },
	{ "empty object and list", "{\"a\":{},\"b\":[]}", "{\n  \"a\": {},\n  \"b\": []\n}\n" },
	{ "members keep their order", "{\"b\":1,\"a\":2}", "{\n  \"b\": 1,\n  \"a\": 2\n}\n" },
	{ "floats are short", "[0.1,1.0,2.5e-7]", "[\n  0.1,\n  1.0,\n  2.5e-7\n]\n" },
	{ "64 bits", "[9223372036854775807]", "[\n  9223372036854775807\n]\n" },
	{ "nesting", "{\"a\":[{\"b\":null}]}", "{\n  \"a\": [\n    {\n      \"b\": null\n    }\n  ]\n}\n" },
	{ "controls are escaped", "{\"a\\u0001\":\"\\n\"}", "{\n  \"a\\u0001\": \"\\n\"\n}\n" },
};

static void test_pretty(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf buf = LG_BUF_INIT;
	json_t *json = json_loads(row->json, JSON_DECODE_ANY, NULL);
	assert_non_null(json);
	lg_assert_ok(lg_output_json(json, &buf, &err), &err);
	assert_string_equal(lg_buf_str(&buf), row->pretty);
	json_decref(json);
	lg_buf_clear(&buf);
}

struct streams {
	struct lg_output output;
	FILE *out, *err;
};

static void open_streams(struct streams *streams, enum lg_output_form form)
{
	streams->out = tmpfile();
	streams->err = tmpfile();
	assert_true(streams->out && streams->err);
	lg_output_init(&streams->output, streams->out, streams->err, false);
	streams->output.form = form;
}

static const char *text_of(FILE *file)
{
	static char text[8192];
	rewind(file);
	size_t len = fread(text, 1, sizeof text - 1, file);
	text[len] = '\0';
	return text;
}

static void close_streams(struct streams *streams)
{
	fclose(streams->out);
	fclose(streams->err);
}

static void test_error_document(void **state)
{
	(void)state;
	struct streams streams;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	open_streams(&streams, LG_OUTPUT_JSON);
	lg_problems_add(&problems, "a\x01", "is %s", "wrong");
	lg_problems_add(&problems, "b", "is too");
	lg_fail(&err, LG_EINVALID, 0, "2 problems in \xff");
	lg_output_error(&streams.output, LG_EINVALID, &err, &problems, "mend them");
	assert_string_equal(text_of(streams.err),
		"lastgood: 2 problems in \\xff\n  a\\x01: is wrong\n  b: is too\nlastgood: mend them\n");
	json_t *document = json_loads(text_of(streams.out), 0, NULL);
	const json_t *error = json_object_get(document, "error");
	assert_string_equal(json_string_value(json_object_get(error, "code")), "invalid");
	assert_int_equal(json_integer_value(json_object_get(error, "exit_status")), lg_code_exit(LG_EINVALID));
	assert_int_equal(json_array_size(json_object_get(error, "problems")), 2);
	assert_string_equal(json_string_value(json_object_get(error, "hint")), "mend them");
	json_decref(document);
	lg_problems_clear(&problems);
	close_streams(&streams);
}

/* Standard output holds one document, never two. */
static void test_one_document(void **state)
{
	(void)state;
	struct streams streams;
	struct lg_error err = LG_ERROR_INIT;
	open_streams(&streams, LG_OUTPUT_JSON);
	lg_assert_ok(lg_output_document(&streams.output, json_pack("{s:b}", "ok", 0), &err), &err);
	lg_fail(&err, LG_EFAILED, 0, "it failed");
	lg_output_error(&streams.output, LG_EFAILED, &err, NULL, NULL);
	assert_string_equal(text_of(streams.out), "{\n  \"ok\": false\n}\n");
	assert_string_equal(text_of(streams.err), "lastgood: it failed\n");
	close_streams(&streams);
}

static void test_one_problem_is_said_once(void **state)
{
	(void)state;
	struct streams streams;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	open_streams(&streams, LG_OUTPUT_TABLE);
	lg_problems_add(&problems, "k", "is wrong");
	assert_int_equal(lg_problems_fail(&problems, &err, "the change"), LG_EINVALID);
	lg_output_error(&streams.output, LG_EINVALID, &err, &problems, NULL);
	const char *text = text_of(streams.err);
	const char *first = strstr(text, "is wrong");
	assert_non_null(first);
	assert_null(strstr(first + 1, "is wrong"));
	assert_string_equal(text_of(streams.out), "");
	lg_problems_clear(&problems);
	close_streams(&streams);
}

static void test_lines_are_printable(void **state)
{
	(void)state;
	struct streams streams;
	open_streams(&streams, LG_OUTPUT_TABLE);
	lg_output_line(&streams.output, LG_STYLE_BOLD, "%s", "a\033[2Jb\nc");
	assert_string_equal(text_of(streams.out), "a\\x1b[2Jb\\x0ac\n");
	lg_output_warn(&streams.output, "%s", "x\ry");
	assert_string_equal(text_of(streams.err), "lastgood: warning: x\\x0dy\n");
	close_streams(&streams);
}

static void test_people_only(void **state)
{
	(void)state;
	struct streams streams;
	open_streams(&streams, LG_OUTPUT_YAML);
	lg_output_line(&streams.output, LG_STYLE_PLAIN, "for people");
	assert_string_equal(text_of(streams.out), "");
	close_streams(&streams);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	struct streams streams;
	struct lg_error err = LG_ERROR_INIT;
	open_streams(&streams, LG_OUTPUT_JSON);
	lg_assert_code(lg_output_document(&streams.output, NULL, &err), LG_ENOMEM, &err);
	close_streams(&streams);
}

int main(void)
{
	lg_test_rows("pretty", test_pretty, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct row, name));
	lg_test_add("an error as document and as text", test_error_document, NULL);
	lg_test_add("one document", test_one_document, NULL);
	lg_test_add("one problem is said once", test_one_problem_is_said_once, NULL);
	lg_test_add("lines are printable", test_lines_are_printable, NULL);
	lg_test_add("lines are for people", test_people_only, NULL);
	lg_test_add("a document without memory", test_out_of_memory, NULL);
	return lg_test_run("cli output");
}
