#include "base/cleanup.h"
#include "format/format.h"
#include "hostile.h"
#include "support/support.h"

/* --- what is read ------------------------------------------------------------------------------------------------ */

static const struct good {
	const char *name;
	const char *text;
	const char *json; /* canonical */
} good[] = {
	{ "empty text", "", "null" },
	{ "only a comment", "# nothing\n", "null" },
	{ "empty document", "---\n...\n", "null" },
	{ "byte order mark",
		"\xef\xbb\xbf"
		"a: 1\n",
		"{\"a\":1}" },
	{ "map", "b: 1\na: 2\n", "{\"a\":2,\"b\":1}" },
	{ "list", "- 1\n- a\n- - 2\n", "[1,\"a\",[2]]" },
	{ "flow", "{a: [1, 2, {b: c}]}", "{\"a\":[1,2,{\"b\":\"c\"}]}" },
	{ "JSON is YAML", "{\"a\": [1, 2.5, \"x\\u00fcy\\/\", null, true]}",
		"{\"a\":[1,2.5,\"x\xc3\xbcy/\",null,true]}" },
	{ "CRLF", "a: 1\r\nb:\r\n  - x\r\n", "{\"a\":1,\"b\":[\"x\"]}" },
	{ "null", "[~, null, Null, NULL, {a: }]", "[null,null,null,null,{\"a\":null}]" },
	{ "null is not nULL", "nULL", "\"nULL\"" },
	{ "booleans", "[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]" },
	{ "words of YAML 1.1 are text", "[yes, no, on, off, y, n, tRUE]",
		"[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"tRUE\"]" },
	{ "integers", "[0, -0, +7, -19, 0o17, 0x1F, 007]", "[0,0,7,-19,15,31,7]" },
	{ "largest integers", "[9223372036854775807, -9223372036854775808, 0x7fffffffffffffff]",
		"[9223372036854775807,-9223372036854775808,9223372036854775807]" },
	{ "no integers", "[0b1, 1_000, 1:30, 0o8, 0xg, -0x1, '1', \"1\", 1 2]",
		"[\"0b1\",\"1_000\",\"1:30\",\"0o8\",\"0xg\",\"-0x1\",\"1\",\"1\",\"1 2\"]" },
	{ "floats", "[1.5, -1.5, +.5, 1., 1e3, 1E-3, 00.5, 12e03, -0.0]",
		"[1.5,-1.5,0.5,1.0,1000.0,0.001,0.5,12000.0,0.0]" },
	{ "no floats", "[., +, -, -., 1e, e3, 1.5.2, .e3, 1e+]",
		"[\".\",\"+\",\"-\",\"-.\",\"1e\",\"e3\",\"1.5.2\",\".e3\",\"1e+\"]" },
	{ "tiny float is zero", "1e-999", "0.0" },
	{ "dates are text", "2001-12-14", "\"2001-12-14\"" },
	{ "quoted is text", "['null', \"true\", '1.5', '']", "[\"null\",\"true\",\"1.5\",\"\"]" },
	{ "block scalars", "a: |\n  x\n   y\n\nb: >-\n  x\n  y\n", "{\"a\":\"x\\n y\\n\",\"b\":\"x y\"}" },
	{ "anchor and alias", "a: &x [1, 2]\nb: *x\n", "{\"a\":[1,2],\"b\":[1,2]}" },
	{ "anchor used anew", "[&x 1, *x, &x 2, *x]", "[1,1,2,2]" },
	{ "alias as key", "[&x k, {*x : 1}]", "[\"k\",{\"k\":1}]" },
	{ "anchored key", "{&x k: 1, l: *x}", "{\"k\":1,\"l\":\"k\"}" },
	{ "core tags", "[!!str 1, !!int '2', !!float 3, !!float 4.5, !!bool \"true\", !!null '', !!str ]",
		"[\"1\",2,3.0,4.5,true,null,\"\"]" },
	{ "tagged collections", "!!map {a: !!seq [1]}", "{\"a\":[1]}" },
	{ "quoted merge key is a name", "'<<': 1", "{\"<<\":1}" },
	{ "null as text of a key", "'null': 1\n'1': 2\n", "{\"1\":2,\"null\":1}" },
	{ "directive", "%YAML 1.2\n---\na: 1\n", "{\"a\":1}" },
	{ "escapes", "\"\\x41\\u00e9\\U0001F600\\e\\t\\\"\"", "\"A\xc3\xa9\xf0\x9f\x98\x80\\u001b\\t\\\"\"" },
};

static void test_good(void **state)
{
	const struct good *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	json_t *json = NULL;
	lg_assert_ok(lg_yaml_parse("t.yaml", row->text, strlen(row->text), &json, &err), &err);
	lg_autofree char *canonical = hostile_canonical(json);
	json_decref(json);
	assert_string_equal(canonical, row->json);
}

/* --- what is refused --------------------------------------------------------------------------------------------- */

static const struct bad {
	const char *name;
	const char *text;
	size_t len; /* 0: strlen */
	const char *error;
} bad[] = {
	{ "two documents", "a: 1\n---\nb: 2\n", 0, "t.yaml: line 2 column 1: a second document" },
	{ "duplicate key", "a: 1\nb: 2\na: 3\n", 0, "t.yaml: line 3 column 1: duplicate key 'a'" },
	{ "duplicate by other spelling", "{a: 1, \"\\x61\": 2}", 0, "line 1 column 8: duplicate key 'a'" },
	{ "duplicate through an alias", "{&x a: 1, *x : 2}", 0, "duplicate key 'a'" },
	{ "integer as key", "x:\n  1: a\n", 0, "line 2 column 3: a key must be a string: quote '1'" },
	{ "null as key", "~: a\n", 0, "a key must be a string" },
	{ "empty key", "?\n: a\n", 0, "a key must be a string" },
	{ "true as key", "true: a\n", 0, "a key must be a string: quote 'true'" },
	{ "list as key", "? [a]\n: b\n", 0, "line 1 column 3: a key must be a string" },
	{ "list as key by alias", "[&x [1], {*x : 1}]", 0, "alias '*x' as a key" },
	{ "merge key", "a: &x {b: 1}\nc:\n  <<: *x\n", 0, "line 3 column 3: merge keys" },
	{ "foreign tag", "a: !!binary aGk=\n", 0, "line 1 column 4: tag 'tag:yaml.org,2002:binary'" },
	{ "local tag", "!thing {a: 1}", 0, "tag '!thing'" },
	{ "python tag", "!!python/object/apply:os.system [id]", 0, "tag 'tag:yaml.org,2002:python" },
	{ "map tagged list", "!!map [1]", 0, "tag 'tag:yaml.org,2002:map'" },
	{ "text tagged integer", "!!int abc", 0, "the value is no int" },
	{ "text tagged boolean", "!!bool yes", 0, "the value is no bool" },
	{ "hexadecimal tagged float", "!!float 0x10", 0, "the value is no float" },
	{ "infinity", "a: .inf\n", 0, "line 1 column 4: NaN and infinity" },
	{ "minus infinity", "-.INF", 0, "NaN and infinity" },
	{ "not a number", "a: .nan\n", 0, "NaN and infinity" },
	{ "integer beyond 64 bits", "a: 9223372036854775808\n", 0,
		"line 1 column 4: integer 9223372036854775808 does not fit 64 bits" },
	{ "negative beyond 64 bits", "-9223372036854775809", 0, "does not fit 64 bits" },
	{ "hexadecimal beyond 64 bits", "0x8000000000000000", 0, "does not fit 64 bits" },
	{ "float beyond a double", "1e999", 0, "beyond the range of a double" },
	{ "unknown alias", "a: *b\n", 0, "line 1 column 4: alias '*b' has no anchor" },
	{ "alias inside its anchor", "&a [1, *a]", 0,
		"line 1 column 8: alias '*a' stands inside its own anchor" },
	{ "alias inside its new anchor", "[&a 1, &a [*a]]", 0, "stands inside its own anchor" },
	{ "unclosed flow list", "a: [1, 2\n", 0, "t.yaml: line 2 column 1:" },
	{ "unclosed quote", "a: \"b\n", 0, "t.yaml: line 2 column 1:" },
	{ "bad indentation", "a: 1\n b: 2\n", 0, "t.yaml: line 2 column 3:" },
	{ "tab as indentation", "a:\n\tb: 1\n", 0, "t.yaml: line 2 column 1:" },
	{ "reserved character", "a: @b\n", 0, "t.yaml: line 1 column 4:" },
	{ "surrogate escape", "\"\\ud800\"", 0, "t.yaml: line 1 column" },
	{ "NUL byte", "a: \0b\n", 6, "t.yaml: line 1 column 4: NUL byte" },
	{ "escaped NUL", "a: \"\\0\"\n", 0, "line 1 column 4: U+0000" },
	{ "invalid UTF-8", "a: b\nc: \xff\n", 0, "t.yaml: line 2 column 4: byte 0xff is not valid UTF-8" },
	{ "overlong UTF-8", "\xc0\xaf", 0, "line 1 column 1:" },
	{ "surrogate in UTF-8", "\xed\xa0\x80", 0, "line 1 column 1:" },
	{ "control character", "a: 1\nb: \x01\n", 0,
		"t.yaml: line 2 column 4: control characters are not allowed" },
	{ "UTF-16",
		"\xff\xfe"
		"a\0",
		4, "line 1 column 1:" },
};

static void test_bad(void **state)
{
	const struct bad *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	json_t *json = NULL;
	int rc = lg_yaml_parse("t.yaml", row->text, row->len ? row->len : strlen(row->text), &json, &err);
	lg_assert_code(rc, LG_EINVALID, &err);
	assert_null(json);
	if (!strstr(err.message, row->error))
		fail_msg("'%s' is not in '%s'", row->error, err.message);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static void expect_refused(const struct lg_buf *text, const char *error)
{
	struct lg_error err = LG_ERROR_INIT;
	json_t *json = NULL;
	lg_assert_code(lg_yaml_parse("t.yaml", text->data, text->len, &json, &err), LG_EINVALID, &err);
	if (!strstr(err.message, error) || !strstr(err.message, "t.yaml: line "))
		fail_msg("'%s' is not in '%s'", error, err.message);
}

static void test_deep(void **state)
{
	static const char *const openers[] = { "[", "{a: ", "- ", "? " };
	(void)state;
	for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
		lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
		for (int n = 0; n < 100000; n++)
			lg_buf_adds(&text, openers[i]);
		expect_refused(&text, i == 3 ? "a key must be" : "nested more than");
	}
	struct lg_error err = LG_ERROR_INIT;
	for (int levels = LG_YAML_DEPTH; levels <= LG_YAML_DEPTH + 1; levels++) {
		lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
		for (int n = 0; n < levels; n++)
			lg_buf_addc(&text, '[');
		for (int n = 0; n < levels; n++)
			lg_buf_addc(&text, ']');
		json_t *json = NULL;
		int rc = lg_yaml_parse("t", text.data, text.len, &json, &err);
		lg_assert_code(rc, levels > LG_YAML_DEPTH ? LG_EINVALID : 0, &err);
		json_decref(json);
	}
}

/* Each line holds ten of the line before: ten levels are ten thousand million values. */
static void test_alias_bomb(void **state)
{
	(void)state;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_buf_adds(&text, "a0: &a0 lol\n");
	for (int i = 1; i <= 10; i++) {
		lg_buf_addf(&text, "a%d: &a%d [", i, i);
		for (int n = 0; n < 10; n++)
			lg_buf_addf(&text, "*a%d,", i - 1);
		lg_buf_adds(&text, "]\n");
	}
	expect_refused(&text, "once aliases are followed");
}

static void test_alias_bytes(void **state)
{
	(void)state;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_buf_adds(&text, "- &a ");
	for (int i = 0; i < 1000000; i++)
		lg_buf_addc(&text, 'x');
	lg_buf_adds(&text, "\n");
	for (int i = 0; i < 300; i++)
		lg_buf_adds(&text, "- *a\n");
	expect_refused(&text, "bytes once aliases are followed");
}

static void test_alias_depth(void **state)
{
	(void)state;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_buf_adds(&text, "- &a0 [x]\n");
	for (int i = 1; i < 200; i++)
		lg_buf_addf(&text, "- &a%d [*a%d]\n", i, i - 1);
	expect_refused(&text, "nested more than");
}

static void test_directives(void **state)
{
	(void)state;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	for (int i = 0; i < 100000; i++)
		lg_buf_addf(&text, "%%TAG !t%d! tag:x,%d:\n", i, i);
	lg_buf_adds(&text, "--- a\n");
	expect_refused(&text, "directives");
}

static void test_cut_short(void **state)
{
	static const char text[] =
		"a: &x [1, {b: \"c\\u0041\", 'd': 2.5}]\n\"e\": |\n  text\n\n  more\nf: *x\n? g\n: !!str 1\n";
	(void)state;
	for (size_t len = 0; len < sizeof text; len++) {
		lg_autofree char *copy = malloc(len + 1); /* exactly this long, for the address sanitizer */
		memcpy(copy, text, len);
		struct lg_error err = LG_ERROR_INIT;
		json_t *json = NULL;
		int rc = lg_yaml_parse("t", copy, len, &json, &err);
		if (rc < 0 ? rc != LG_EINVALID || json : !json)
			fail_msg("cut at %zu: %d %s", len, rc, err.message);
		json_decref(json);
	}
}

/* --- what is written --------------------------------------------------------------------------------------------- */

static const struct written {
	const char *name;
	const char *json;
	const char *text;
} written[] = {
	{ "block style", "{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":[]}", "a:\n  b:\n  - 1\n  - c: null\nd: []\n" },
	{ "order is kept", "{\"b\":1,\"a\":{}}", "b: 1\na: {}\n" },
	{ "plain words",
		"[\"abc\",\"a b\",\"web/port\",\"10m\",\"it's\",\"http://a/b?c=d&e=f\",\"gr\xc3\xbc\xc3\x9f"
		"e\"]",
		"- abc\n- a b\n- web/port\n- 10m\n- it's\n- http://a/b?c=d&e=f\n- gr\xc3\xbc\xc3\x9f"
		"e\n" },
	{ "look-alikes are quoted",
		"[\"yes\",\"No\",\"on\",\"OFF\",\"~\",\"null\",\"1\",\"0x1\",\"1e3\",\"1:30\",\"2001-12-14\","
		"\"<<\",\"\"]",
		"- \"yes\"\n- \"No\"\n- \"on\"\n- \"OFF\"\n- \"~\"\n- \"null\"\n- \"1\"\n- \"0x1\"\n- "
		"\"1e3\"\n- \"1:30\"\n- \"2001-12-14\"\n- "
		"\"<<\"\n- \"\"\n" },
	{ "quotes within", "[\"say \\\"hi\\\"\",\"^\\\\d+$\"]", "- 'say \"hi\"'\n- ^\\d+$\n" },
	{ "keys are quoted too", "{\"1\":1,\"yes\":2}", "\"1\": 1\n\"yes\": 2\n" },
	{ "text of lines", "{\"a\":\"x\\n  y\\nz\\n\",\"b\":\"x\\ny\"}",
		"a: |\n  x\n    y\n  z\nb: |-\n  x\n  y\n" },
	{ "floats for old readers too", "[1.0,1e20,2.5e-7]", "- 1.0\n- 1.0e+20\n- 2.5e-7\n" },
	{ "scalar alone", "\"a\"", "a\n" },
};

static void test_written(void **state)
{
	const struct written *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	json_t *json = json_loads(row->json, JSON_DECODE_ANY, NULL);
	assert_non_null(json);
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_assert_ok(lg_yaml_emit(json, &buf, &err), &err);
	json_decref(json);
	assert_string_equal(lg_buf_str(&buf), row->text);
}

static void expect_round_trip(const json_t *json)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *before = hostile_canonical(json);
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_assert_ok(lg_yaml_emit(json, &buf, &err), &err);
	json_t *again = NULL;
	if (lg_yaml_parse("t", buf.data, buf.len, &again, &err) < 0)
		fail_msg("%s\n%s\n%s", err.message, before, buf.data);
	lg_autofree char *after = hostile_canonical(again);
	json_decref(again);
	if (strcmp(before, after) != 0)
		fail_msg("\n%s\n%s\n%s", before, after, buf.data);
}

/* As the document, an item, a value, a key, and deeper inside. */
static void round_trip_string(const char *text)
{
	json_t *string = json_string(text);
	expect_round_trip(string);
	json_t *list =
		json_pack("[O, {s: O, s: [O, [O]]}, O]", string, text, string, "x y", string, string, string);
	assert_non_null(list);
	expect_round_trip(list);
	json_decref(list);
	json_decref(string);
}

static void test_hostile_strings(void **state)
{
	(void)state;
	for (size_t i = 0; hostile_strings[i]; i++)
		round_trip_string(hostile_strings[i]);
}

static void test_hostile_file(void **state)
{
	(void)state;
	json_t *list = hostile_file();
	for (size_t i = 0; i < json_array_size(list); i++)
		round_trip_string(json_string_value(json_array_get(list, i)));
	json_decref(list);
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct hostile_rng rng = { .state = seed };
		json_t *json = hostile_value(&rng, 6);
		expect_round_trip(json);
		json_decref(json);
	}
}

static void test_emit_refuses(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf, "before");
	json_t *deep = json_array();
	for (int i = 0; i < LG_YAML_DEPTH; i++)
		deep = json_pack("[o]", deep);
	lg_assert_code(lg_yaml_emit(deep, &buf, &err), LG_EINVALID, &err);
	json_decref(deep);
	json_t *nul = json_stringn("a\0b", 3);
	lg_assert_code(lg_yaml_emit(nul, &buf, &err), LG_EINVALID, &err);
	json_decref(nul);
	json_t *invalid = json_stringn_nocheck("\xff", 1);
	lg_assert_code(lg_yaml_emit(invalid, &buf, &err), LG_EINVALID, &err);
	json_decref(invalid);
	assert_string_equal(lg_buf_str(&buf), "before");
}

int main(void)
{
	lg_test_rows("reads", test_good, good, sizeof good / sizeof *good, sizeof *good,
		offsetof(struct good, name));
	lg_test_rows(
		"refuses", test_bad, bad, sizeof bad / sizeof *bad, sizeof *bad, offsetof(struct bad, name));
	lg_test_rows("writes", test_written, written, sizeof written / sizeof *written, sizeof *written,
		offsetof(struct written, name));
	lg_test_add("100,000 levels", test_deep, NULL);
	lg_test_add("alias bomb of values", test_alias_bomb, NULL);
	lg_test_add("alias bomb of bytes", test_alias_bytes, NULL);
	lg_test_add("depth through aliases", test_alias_depth, NULL);
	lg_test_add("100,000 directives", test_directives, NULL);
	lg_test_add("cut short at every byte", test_cut_short, NULL);
	lg_test_add("hostile strings come back", test_hostile_strings, NULL);
	if (hostile_file_is_set()) /* cmocka writes a skipped test as "not ok", which counts as failed */
		lg_test_add("strings of $LASTGOOD_BLNS come back", test_hostile_file, NULL);
	lg_test_add("random documents come back", test_random, NULL);
	lg_test_add("emit refuses", test_emit_refuses, NULL);
	return lg_test_run("format_yaml");
}
