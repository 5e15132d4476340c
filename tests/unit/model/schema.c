#include "model/schema.h"

#include "base/cleanup.h"
#include "support/support.h"

#include <string.h>

#define ROWS(group, function, rows)                                                                            \
	lg_test_rows(                                                                                          \
		group, function, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name))

static void free_schema(struct lg_schema **schema)
{
	lg_schema_free(*schema);
}

static struct lg_schema *compile(const char *declaration)
{
	struct lg_schema *schema = NULL;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_schema_compile("k", declaration, strlen(declaration), &schema, &problems, &err), &err);
	assert_int_equal(problems.total, 0);
	return schema;
}

struct row {
	const char *name;
	const char *declaration;
	const char *value; /* canonical */
	const char *want;  /* what is stored; or the problems, each after a '|' */
};

/* --- declarations ------------------------------------------------------------------------------------------------ */

static const struct row described[] = {
	{ "bool", "{\"type\":\"bool\"}", NULL, "bool" },
	{ "int", "{\"type\":\"int\",\"min\":1,\"max\":100,\"unit\":\"jobs\"}", NULL, "int 1…100 jobs" },
	{ "full range", "{\"type\":\"int\",\"min\":-9223372036854775808,\"max\":9223372036854775807}", NULL,
		"int -9223372036854775808…9223372036854775807" },
	{ "only a minimum", "{\"type\":\"int\",\"min\":0}", NULL, "int at least 0" },
	{ "only a maximum", "{\"type\":\"float\",\"max\":0.5}", NULL, "float at most 0.5" },
	{ "whole bounds of a float", "{\"type\":\"float\",\"min\":0,\"max\":1.79769e+308}", NULL,
		"float 0…1.79769e308" },
	{ "duration", "{\"type\":\"duration\",\"min\":\"500ms\",\"max\":3600}", NULL, "duration 500ms…1h" },
	{ "size", "{\"type\":\"size\",\"min\":4096,\"max\":\"1GB\"}", NULL, "size 4KiB…1GB" },
	{ "string", "{\"type\":\"string\",\"min\":1,\"max\":8}", NULL, "string of 1…8 characters" },
	{ "list", "{\"type\":\"list\",\"min\":2}", NULL, "list of at least 2 items" },
	{ "object", "{\"type\":\"object\"}", NULL, "object" },
	{ "secret", "{\"type\":\"secret\",\"min\":12}", NULL, "secret of at least 12 characters" },
	{ "enum", "{\"type\":\"string\",\"enum\":[\"off\",\"on\"]}", NULL, "string, one of \"off\", \"on\"" },
	{ "pattern", "{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}", NULL, "string, pattern '^[a-z]+$'" },
	{ "control in a unit", "{\"type\":\"int\",\"unit\":\"\\u001b[1m\"}", NULL, "int \\x1b[1m" },
};

static void test_describe(void **state)
{
	const struct row *row = *state;
	lg_cleanup(free_schema) struct lg_schema *schema = compile(row->declaration);
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	assert_int_equal(lg_schema_describe(schema, &text), 0);
	assert_string_equal(text.data, row->want);
}

static void test_members(void **state)
{
	lg_cleanup(free_schema) struct lg_schema *schema =
		compile("{\"type\":\"float\",\"default\":2,\"unit\":\"s\",\"description\":\"how long\","
			"\"restart\":\"reload\",\"irreversible\":true}");
	assert_int_equal(lg_schema_type(schema), LG_TYPE_FLOAT);
	assert_int_equal(lg_schema_restart(schema), LG_RESTART_RELOAD);
	assert_true(lg_schema_is_irreversible(schema));
	assert_false(lg_schema_is_secret(schema));
	assert_string_equal(lg_schema_default(schema), "2.0");
	assert_string_equal(lg_schema_unit(schema), "s");
	assert_string_equal(lg_schema_description(schema), "how long");
	lg_cleanup(free_schema) struct lg_schema *plain = compile("{\"type\":\"bool\"}");
	assert_int_equal(lg_schema_restart(plain), LG_RESTART_NONE);
	assert_false(lg_schema_is_irreversible(plain));
	assert_null(lg_schema_default(plain));
	assert_null(lg_schema_unit(plain));
	assert_null(lg_schema_description(plain));
	lg_schema_free(NULL);
}

static void test_secrecy(void **state)
{
	lg_cleanup(free_schema) struct lg_schema *by_type = compile("{\"type\":\"secret\"}");
	lg_cleanup(free_schema) struct lg_schema *by_flag = compile("{\"type\":\"int\",\"secret\":true}");
	lg_cleanup(free_schema) struct lg_schema *open = compile("{\"type\":\"int\",\"secret\":false}");
	assert_true(lg_schema_is_secret(by_type));
	assert_true(lg_schema_is_secret(by_flag));
	assert_int_equal(lg_schema_type(by_flag), LG_TYPE_INT);
	assert_false(lg_schema_is_secret(open));
}

static void test_names(void **state)
{
	static const char *const types[] = { "bool", "int", "float", "string", "duration", "size", "list",
		"object", "secret" };
	for (int i = LG_TYPE_BOOL; i <= LG_TYPE_SECRET; i++) {
		char text[64];
		assert_string_equal(lg_type_name((enum lg_type)i), types[i]);
		snprintf(text, sizeof text, "{\"type\":\"%s\"}", types[i]);
		lg_cleanup(free_schema) struct lg_schema *schema = compile(text);
		assert_int_equal(lg_schema_type(schema), i);
	}
	assert_string_equal(lg_restart_name(LG_RESTART_NONE), "none");
	assert_string_equal(lg_restart_name(LG_RESTART_RELOAD), "reload");
	assert_string_equal(lg_restart_name(LG_RESTART_RESTART), "restart");
}

static const struct row bad_declarations[] = {
	{ "no object", "[]", NULL, "|a declaration is a JSON object such as {\"type\":\"int\"}" },
	{ "no type", "{}", NULL, "|'type' is missing" },
	{ "unknown type", "{\"type\":\"integer\"}", NULL,
		"|'type' is none of bool, int, float, string, duration, size, list, object, secret" },
	{ "type is no text", "{\"type\":1}", NULL,
		"|'type' is none of bool, int, float, string, duration, size, list, object, secret" },
	{ "unknown member", "{\"type\":\"int\",\"maximum\":1}", NULL, "|unknown member 'maximum'" },
	{ "unknown members without type", "{\"a\":1,\"b\":2}", NULL,
		"|unknown member 'a'|unknown member 'b'|'type' is missing" },
	{ "min above max", "{\"type\":\"int\",\"min\":5,\"max\":1}", NULL, "|'min' 5 is above 'max' 1" },
	{ "min of another kind", "{\"type\":\"int\",\"min\":1.5}", NULL, "|'min' is a float, not an int" },
	{ "min of a duration", "{\"type\":\"duration\",\"min\":\"soon\"}", NULL,
		"|'min' is no duration such as \"1h30m\"" },
	{ "max of a size", "{\"type\":\"size\",\"max\":-1}", NULL, "|'max' is negative, as no size is" },
	{ "negative length", "{\"type\":\"string\",\"min\":-1}", NULL, "|'min' is negative, as no length is" },
	{ "length as text", "{\"type\":\"list\",\"max\":\"3\"}", NULL, "|'max' is a string, not an int" },
	{ "min of a bool", "{\"type\":\"bool\",\"min\":1}", NULL, "|'min' has no meaning for type bool" },
	{ "max of an object", "{\"type\":\"object\",\"max\":1}", NULL,
		"|'max' has no meaning for type object" },
	{ "pattern of an int", "{\"type\":\"int\",\"pattern\":\"1\"}", NULL,
		"|'pattern' has no meaning for type int" },
	{ "pattern is no text", "{\"type\":\"string\",\"pattern\":1}", NULL, "|'pattern' is no string" },
	{ "broken pattern", "{\"type\":\"string\",\"pattern\":\"a(b\"}", NULL,
		"|'pattern' is no regular expression: missing closing parenthesis at byte 4" },
	{ "pattern that cuts characters", "{\"type\":\"string\",\"pattern\":\"\\\\C\"}", NULL,
		"|'pattern' is no regular expression: using \\C is disabled by the application at byte 3" },
	{ "empty enum", "{\"type\":\"int\",\"enum\":[]}", NULL, "|'enum' is no list of at least one value" },
	{ "enum is no list", "{\"type\":\"int\",\"enum\":1}", NULL,
		"|'enum' is no list of at least one value" },
	{ "enum of another type", "{\"type\":\"int\",\"enum\":[1,\"2\"]}", NULL,
		"|'enum': value \"2\" is a string, not an int (int)" },
	{ "enum out of range", "{\"type\":\"int\",\"min\":3,\"enum\":[1,5]}", NULL,
		"|'enum': value 1 is below the minimum 3 (int at least 3)" },
	{ "enum of a secret", "{\"type\":\"secret\",\"enum\":[\"a\"]}", NULL,
		"|a secret has no 'enum': everybody may read the declaration" },
	{ "default out of range", "{\"type\":\"int\",\"max\":3,\"default\":4}", NULL,
		"|'default': value 4 is above the maximum 3 (int at most 3)" },
	{ "default not in the enum", "{\"type\":\"string\",\"enum\":[\"a\"],\"default\":\"b\"}", NULL,
		"|'default': value \"b\" is not among the allowed ones (string, one of \"a\")" },
	{ "default of a secret", "{\"type\":\"int\",\"secret\":true,\"default\":1}", NULL,
		"|a secret has no 'default': everybody may read the declaration" },
	{ "secret is no bool", "{\"type\":\"int\",\"secret\":1}", NULL, "|'secret' is neither true nor false" },
	{ "a secret that is none", "{\"type\":\"secret\",\"secret\":false}", NULL,
		"|'secret' is false beside type secret" },
	{ "irreversible is no bool", "{\"type\":\"int\",\"irreversible\":\"yes\"}", NULL,
		"|'irreversible' is neither true nor false" },
	{ "unknown restart", "{\"type\":\"int\",\"restart\":\"never\"}", NULL,
		"|'restart' is none of none, reload, restart" },
	{ "unit is no text", "{\"type\":\"int\",\"unit\":1}", NULL, "|'unit' is no string" },
	{ "description is no text", "{\"type\":\"int\",\"description\":null}", NULL,
		"|'description' is no string" },
	{ "everything at once",
		"{\"type\":\"int\",\"x\":1,\"restart\":1,\"min\":\"a\",\"pattern\":\"a\",\"default\":\"b\"}",
		NULL,
		"|unknown member 'x'|'restart' is none of none, reload, restart|'min' is a string, not an int"
		"|'pattern' has no meaning for type int|'default': value \"b\" is a string, not an int (int)" },
};

static void join(const struct lg_problems *problems, struct lg_buf *text)
{
	for (size_t i = 0; i < problems->count; i++) {
		assert_string_equal(problems->items[i].subject, "web/port");
		lg_buf_addf(text, "|%s", problems->items[i].message);
	}
}

static void test_bad_declaration(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	struct lg_schema *schema = NULL;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_schema_compile("web/port", row->declaration, strlen(row->declaration), &schema,
				 &problems, &err),
		LG_EINVALID);
	assert_null(schema);
	join(&problems, &text);
	assert_string_equal(lg_buf_str(&text), row->want);
	assert_non_null(strstr(err.message, "web/port"));
	assert_int_equal(
		lg_schema_compile("web/port", row->declaration, strlen(row->declaration), &schema, NULL, NULL),
		LG_EINVALID);
}

static void test_not_json(void **state)
{
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_schema *schema = NULL;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_schema_compile("k", "{\"type\":}", 9, &schema, &problems, &err), LG_EINVALID);
	assert_int_equal(problems.total, 1);
	assert_non_null(strstr(problems.items[0].message, "line 1 column 9"));
}

/* --- values ------------------------------------------------------------------------------------------------------ */

static const struct row accepted[] = {
	{ "bool", "{\"type\":\"bool\"}", "true", "true" },
	{ "int at the minimum", "{\"type\":\"int\",\"min\":1,\"max\":9}", "1", "1" },
	{ "int at the maximum", "{\"type\":\"int\",\"min\":1,\"max\":9}", "9", "9" },
	{ "largest int", "{\"type\":\"int\",\"max\":9223372036854775807}", "9223372036854775807",
		"9223372036854775807" },
	{ "float", "{\"type\":\"float\"}", "0.25", "0.25" },
	{ "float given an integer", "{\"type\":\"float\",\"max\":1}", "1", "1.0" },
	{ "float given a large integer", "{\"type\":\"float\"}", "9007199254740992", "9007199254740992.0" },
	{ "float given the smallest integer", "{\"type\":\"float\"}", "-9223372036854775808",
		"-9.223372036854776e18" },
	{ "largest float", "{\"type\":\"float\",\"max\":1.7976931348623157e308}", "1.7976931348623157e308",
		"1.7976931348623157e308" },
	{ "float in an enum of integers", "{\"type\":\"float\",\"enum\":[1,2]}", "2.0", "2.0" },
	{ "integer in an enum of floats", "{\"type\":\"float\",\"enum\":[1.0,2.0]}", "2", "2.0" },
	{ "string", "{\"type\":\"string\"}", "\"\"", "\"\"" },
	{ "length in characters", "{\"type\":\"string\",\"max\":3}", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\x80\"",
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\x80\"" },
	{ "escapes count as what they are", "{\"type\":\"string\",\"max\":2}", "\"\\n\\\"\"", "\"\\n\\\"\"" },
	{ "pattern is not anchored", "{\"type\":\"string\",\"pattern\":\"b+\"}", "\"abbc\"", "\"abbc\"" },
	{ "pattern sees characters", "{\"type\":\"string\",\"pattern\":\"^.$\"}", "\"\xe2\x82\xac\"",
		"\"\xe2\x82\xac\"" },
	{ "pattern on the empty string", "{\"type\":\"string\",\"pattern\":\"^$\"}", "\"\"", "\"\"" },
	{ "enum", "{\"type\":\"string\",\"enum\":[\"on\",\"off\"]}", "\"off\"", "\"off\"" },
	{ "duration as written", "{\"type\":\"duration\",\"min\":\"1s\",\"max\":\"2h\"}", "\"90m\"",
		"\"90m\"" },
	{ "duration in seconds", "{\"type\":\"duration\",\"max\":\"2h\"}", "7200", "7200" },
	{ "durations are compared by meaning", "{\"type\":\"duration\",\"enum\":[\"1m\"]}", "\"60s\"",
		"\"60s\"" },
	{ "size as written", "{\"type\":\"size\",\"max\":\"4MiB\"}", "\"4096kB\"", "\"4096kB\"" },
	{ "size in bytes", "{\"type\":\"size\",\"min\":512}", "512", "512" },
	{ "list", "{\"type\":\"list\",\"min\":1,\"max\":2}", "[1,\"x\"]", "[1,\"x\"]" },
	{ "list in an enum", "{\"type\":\"list\",\"enum\":[[1],[2]]}", "[2]", "[2]" },
	{ "object", "{\"type\":\"object\"}", "{\"a\":1}", "{\"a\":1}" },
	{ "secret", "{\"type\":\"secret\",\"min\":3,\"pattern\":\"^[a-z]+$\"}", "\"abc\"", "\"abc\"" },
	/* PostgreSQL's */
	{ "max_connections", "{\"type\":\"int\",\"min\":1,\"max\":262143}", "100", "100" },
	{ "shared_buffers", "{\"type\":\"int\",\"min\":16,\"max\":1073741823,\"unit\":\"8kB\"}", "16384",
		"16384" },
	{ "wal_sender_timeout", "{\"type\":\"int\",\"min\":0,\"max\":2147483647}", "2147483647", "2147483647" },
	{ "cpu_tuple_cost", "{\"type\":\"float\",\"min\":0,\"max\":1.79769e+308}", "0.01", "0.01" },
};

static void test_accepted(void **state)
{
	const struct row *row = *state;
	lg_cleanup(free_schema) struct lg_schema *schema = compile(row->declaration);
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf stored = LG_BUF_INIT, again = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(
		lg_schema_check(schema, "k", row->value, strlen(row->value), &stored, &problems, &err), &err);
	assert_int_equal(problems.total, 0);
	assert_string_equal(stored.data, row->want);
	lg_assert_ok(lg_schema_check(schema, "k", stored.data, stored.len, &again, &problems, &err), &err);
	assert_string_equal(again.data, row->want);
	lg_assert_ok(lg_schema_check(schema, "k", row->value, strlen(row->value), NULL, NULL, NULL), &err);
}

static const struct row rejected[] = {
	{ "below", "{\"type\":\"int\",\"min\":1,\"max\":262143}", "0",
		"|value 0 is below the minimum 1 (int 1…262143)" },
	{ "above, with unit", "{\"type\":\"int\",\"min\":1,\"max\":100,\"unit\":\"jobs\"}", "101",
		"|value 101 is above the maximum 100 (int 1…100 jobs)" },
	{ "int above 31 bits", "{\"type\":\"int\",\"min\":0,\"max\":2147483647}", "2147483648",
		"|value 2147483648 is above the maximum 2147483647 (int 0…2147483647)" },
	{ "text for an int", "{\"type\":\"int\",\"min\":1,\"max\":2}", "\"1\"",
		"|value \"1\" is a string, not an int (int 1…2)" },
	{ "float for an int", "{\"type\":\"int\"}", "1.0", "|value 1.0 is a float, not an int (int)" },
	{ "null for an int", "{\"type\":\"int\"}", "null", "|value null is null, not an int (int)" },
	{ "int for a bool", "{\"type\":\"bool\"}", "1", "|value 1 is an integer, not a bool (bool)" },
	{ "bool for a string", "{\"type\":\"string\"}", "true",
		"|value true is a bool, not a string (string)" },
	{ "text for a float", "{\"type\":\"float\"}", "\"1.0\"",
		"|value \"1.0\" is a string, not a float (float)" },
	{ "integer that no float holds", "{\"type\":\"float\"}", "9007199254740993",
		"|value 9007199254740993 is an integer that no float holds exactly (float)" },
	{ "largest integer as float", "{\"type\":\"float\"}", "9223372036854775807",
		"|value 9223372036854775807 is an integer that no float holds exactly (float)" },
	{ "float below", "{\"type\":\"float\",\"min\":0.5}", "0.4999999999999999",
		"|value 0.4999999999999999 is below the minimum 0.5 (float at least 0.5)" },
	{ "float above", "{\"type\":\"float\",\"min\":0,\"max\":1.79769e+308}", "1.797692e308",
		"|value 1.797692e308 is above the maximum 1.79769e308 (float 0…1.79769e308)" },
	{ "too short", "{\"type\":\"string\",\"min\":3}", "\"\xc3\xa9\xc3\xa9\"",
		"|value \"\xc3\xa9\xc3\xa9\" has 2 characters, the minimum is 3 (string of at least 3 "
		"characters)" },
	{ "too long", "{\"type\":\"string\",\"max\":2}", "\"abc\"",
		"|value \"abc\" has 3 characters, the maximum is 2 (string of at most 2 characters)" },
	{ "pattern", "{\"type\":\"string\",\"pattern\":\"^a\"}", "\"b\"",
		"|value \"b\" does not match the pattern (string, pattern '^a')" },
	{ "every problem", "{\"type\":\"string\",\"max\":2,\"pattern\":\"^a\",\"enum\":[\"ab\"]}", "\"xyz\"",
		"|value \"xyz\" has 3 characters, the maximum is 2 (string of at most 2 characters, one of "
		"\"ab\", pattern '^a')"
		"|value \"xyz\" is not among the allowed ones (string of at most 2 characters, one of \"ab\", "
		"pattern '^a')"
		"|value \"xyz\" does not match the pattern (string of at most 2 characters, one of \"ab\", "
		"pattern '^a')" },
	{ "not allowed", "{\"type\":\"string\",\"enum\":[\"on\",\"off\"]}", "\"ON\"",
		"|value \"ON\" is not among the allowed ones (string, one of \"on\", \"off\")" },
	{ "no duration", "{\"type\":\"duration\"}", "\"10 minutes\"",
		"|value \"10 minutes\" is no duration such as \"1h30m\" (duration)" },
	{ "negative duration", "{\"type\":\"duration\"}", "-1",
		"|value -1 is negative, as no duration is (duration)" },
	{ "duration beyond 64 bits of ns", "{\"type\":\"duration\"}", "9223372037",
		"|value 9223372037 is more than 292 years (duration)" },
	{ "duration above", "{\"type\":\"duration\",\"max\":\"1h\"}", "3601",
		"|value 3601 is above the maximum 1h (duration at most 1h)" },
	{ "float for a duration", "{\"type\":\"duration\"}", "1.5",
		"|value 1.5 is a float, not a duration such as \"1h30m\" (duration)" },
	{ "no size", "{\"type\":\"size\"}", "\"4MiBs\"",
		"|value \"4MiBs\" is no size such as \"64MiB\" (size)" },
	{ "size below", "{\"type\":\"size\",\"min\":\"1kB\"}", "1023",
		"|value 1023 is below the minimum 1kB (size at least 1kB)" },
	{ "list too long", "{\"type\":\"list\",\"max\":1}", "[1,2]",
		"|value [1,2] has 2 items, the maximum is 1 (list of at most 1 items)" },
	{ "object for a list", "{\"type\":\"list\"}", "{}", "|value {} is an object, not a list (list)" },
	{ "reserved member", "{\"type\":\"object\"}", "{\"@secret\":\"AAAA\"}",
		"|value {\"@secret\":\"AAAA\"} has the member '@secret', which is reserved for sealed secrets "
		"(object)" },
	{ "secret of another type", "{\"type\":\"secret\"}", "[\"hunter2\"]",
		"|the value is a list, not a string (secret)" },
	{ "secret too short", "{\"type\":\"secret\",\"min\":9}", "\"hunter2\"",
		"|the value has fewer than 9 characters (secret of at least 9 characters)" },
	{ "secret too long", "{\"type\":\"secret\",\"max\":3}", "\"hunter2\"",
		"|the value has more than 3 characters (secret of at most 3 characters)" },
	{ "secret and pattern", "{\"type\":\"secret\",\"pattern\":\"^[a-z]$\"}", "\"hunter2\"",
		"|the value does not match the pattern (secret, pattern '^[a-z]$')" },
	{ "secret number", "{\"type\":\"int\",\"secret\":true,\"max\":9}", "1234",
		"|the value is above the maximum 9 (int at most 9)" },
	{ "secret duration", "{\"type\":\"duration\",\"secret\":true}", "\"hunter2\"",
		"|the value is no duration such as \"1h30m\" (duration)" },
	{ "not JSON", "{\"type\":\"int\"}", "hunter2", "|the value is not valid JSON" },
};

static void test_rejected(void **state)
{
	const struct row *row = *state;
	lg_cleanup(free_schema) struct lg_schema *schema = compile(row->declaration);
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf stored = LG_BUF_INIT, text = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(
		lg_schema_check(schema, "web/port", row->value, strlen(row->value), &stored, &problems, &err),
		LG_EINVALID);
	assert_int_equal(stored.len, 0);
	join(&problems, &text);
	assert_string_equal(lg_buf_str(&text), row->want);
	assert_non_null(strstr(err.message, "web/port"));
	assert_null(strstr(err.message, "hunter2"));
	assert_int_equal(lg_schema_check(schema, "web/port", row->value, strlen(row->value), NULL, NULL, NULL),
		LG_EINVALID);
}

/* Problems of several values gather in one list. */
static void test_gather(void **state)
{
	lg_cleanup(free_schema) struct lg_schema *schema = compile("{\"type\":\"int\",\"max\":1}");
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_schema_check(schema, "a", "2", 1, NULL, &problems, &err), LG_EINVALID);
	assert_int_equal(lg_schema_check(schema, "b", "3", 1, NULL, &problems, &err), LG_EINVALID);
	assert_int_equal(problems.total, 2);
	assert_string_equal(problems.items[1].subject, "b");
	assert_string_equal(err.message, "setting 'b': value 3 is above the maximum 1 (int at most 1)");
}

static void test_long_value(void **state)
{
	lg_cleanup(free_schema) struct lg_schema *schema = compile("{\"type\":\"int\"}");
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	lg_buf_adds(&value, "\"x");
	for (int i = 0; i < 1000; i++)
		lg_buf_adds(&value, "\xc3\xa9");
	lg_buf_addc(&value, '"');
	assert_int_equal(
		lg_schema_check(schema, "a", value.data, value.len, NULL, &problems, &err), LG_EINVALID);
	const char *message = problems.items[0].message;
	assert_true(strlen(message) < 200);
	assert_non_null(strstr(message, "\xc3\xa9…")); /* cut between characters */
}

/* Each of these takes minutes to centuries without limits. */
static const struct row costly[] = {
	{ "nested quantifiers", "(a+)+$", "a", "!" },
	{ "nested alternatives", "^(a|a)*$", "a", "!" },
	{ "three stars", "a.*a.*a.*a.*[xy]", "a", "" },
	{ "quadratic scans", "a*+[bc]", "a", "" },
	{ "short runs at each start", "(a+a+)+[bc]", "aaaaaaaaaa-", "" },
	{ "lookahead", "(?=(a*)*[bd])c", "a", "c" },
	{ "back reference", "(a*)\\\\1\\\\1[bc]", "a", "!" },
	{ "own limits do not raise ours", "(*LIMIT_MATCH=4000000000)(a+)+$", "a", "!" },
	{ "recursion", "^(a(?1)?)*$", "a", "!" },
};

static void test_costly(void **state)
{
	const struct row *row = *state;
	char declaration[256];
	snprintf(declaration, sizeof declaration, "{\"type\":\"string\",\"pattern\":\"%s\"}", row->declaration);
	lg_cleanup(free_schema) struct lg_schema *schema = compile(declaration);
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	lg_buf_addc(&value, '"');
	while (value.len < 60000)
		lg_buf_adds(&value, row->value);
	lg_buf_addf(&value, "%s\"", row->want);
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(
		lg_schema_check(schema, "k", value.data, value.len, NULL, &problems, &err), LG_EINVALID);
	assert_true(strstr(problems.items[0].message, "too many steps") ||
		strstr(problems.items[0].message, "does not match"));
}

static void test_pattern_length(void **state)
{
	lg_cleanup(free_schema) struct lg_schema *schema = compile("{\"type\":\"string\",\"pattern\":\"^x\"}");
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_buf_addc(&value, '"');
	for (size_t i = 0; i < 65536; i++)
		lg_buf_addc(&value, 'x');
	lg_buf_addc(&value, '"');
	lg_assert_ok(lg_schema_check(schema, "k", value.data, value.len, NULL, NULL, &err), &err);
	value.data[value.len - 1] = 'x';
	lg_buf_addc(&value, '"');
	assert_int_equal(lg_schema_check(schema, "k", value.data, value.len, NULL, NULL, &err), LG_EINVALID);
	assert_non_null(strstr(err.message, "longer than the 64 KiB"));
}

/* --- strictness -------------------------------------------------------------------------------------------------- */

static const struct row strict[] = {
	{ "true covers settings", "true", "a/b", "yes" },
	{ "reserved keys are never covered", "true", "@schema/a", "no" },
	{ "nor flags", "true", "@flag/a", "no" },
	{ "no prefixes", "[]", "a", "no" },
	{ "prefix", "[\"web/\"]", "web/port", "yes" },
	{ "prefix ends at the slash", "[\"web/\"]", "website", "no" },
	{ "prefix is not its own key", "[\"web/\"]", "web", "no" },
	{ "second prefix", "[\"a/\",\"web/\"]", "web/port", "yes" },
	{ "between prefixes", "[\"a/\",\"web/\"]", "b/port", "no" },
	{ "quotes in a prefix", "[\"a\\\"b/\"]", "a\"b/x", "yes" },
	{ "backslash in a prefix", "[\"a\\\\/\",\"z/\"]", "a\\/x", "yes" },
	{ "backslash at the end does not hide what follows", "[\"a\\\\\\\\/\",\"z/\"]", "z/x", "yes" },
	{ "another quote", "[\"a\\\"b/\"]", "a'b/x", "no" },
	{ "shorter key", "[\"web/tmp/\"]", "web", "no" },
};

static void test_strict(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_schema_strict_check(row->declaration, strlen(row->declaration), &err), &err);
	assert_int_equal(lg_schema_strict_covers(row->declaration, strlen(row->declaration), row->value),
		strcmp(row->want, "yes") == 0);
}

static const struct row bad_strict[] = {
	{ "false", "false", NULL, "unset it to allow" },
	{ "text", "\"web/\"", NULL, "true or a list of prefixes" },
	{ "number in the list", "[1]", NULL, "holds an integer where a prefix is wanted" },
	{ "key in the list", "[\"web\"]", NULL, "a prefix ends in '/'" },
	{ "empty text", "[\"\"]", NULL, "a prefix ends in '/'" },
	{ "reserved", "[\"@flag/\"]", NULL, "reserved keys need no declaration" },
	{ "broken", "[\"web/\"", NULL, "line 1" },
};

static void test_bad_strict(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_schema_strict_check(row->declaration, strlen(row->declaration), &err), LG_EINVALID);
	if (!strstr(err.message, row->want) || !strstr(err.message, "'@schema/@strict'"))
		fail_msg("'%s' is not in: %s", row->want, err.message);
	/* whatever stands there, asking is safe */
	for (size_t len = 0; len <= strlen(row->declaration); len++)
		lg_schema_strict_covers(row->declaration, len, "web/port");
}

int main(void)
{
	ROWS("describe", test_describe, described);
	lg_test_add("members", test_members, NULL);
	lg_test_add("secrecy", test_secrecy, NULL);
	lg_test_add("names", test_names, NULL);
	ROWS("bad declaration", test_bad_declaration, bad_declarations);
	lg_test_add("declaration that is not JSON", test_not_json, NULL);
	ROWS("accepted", test_accepted, accepted);
	ROWS("rejected", test_rejected, rejected);
	lg_test_add("problems gather", test_gather, NULL);
	lg_test_add("long values are cut in messages", test_long_value, NULL);
	ROWS("costly pattern", test_costly, costly);
	lg_test_add("text for a pattern", test_pattern_length, NULL);
	ROWS("strict", test_strict, strict);
	ROWS("bad strict", test_bad_strict, bad_strict);
	return lg_test_run("model_schema");
}
