/* The documents of json and yaml, and what is common to all formats. */
#include "base/cleanup.h"
#include "entries.h"
#include "model/value.h"
#include "support/support.h"

static const struct entries_row json_rows[] = {
	{ "a backup as others write it",
		"{\"configurations\": {\"max_jobs\": {\"value\": 10, \"type\": \"int\"}}, \"created\": \"x\"}",
		"max_jobs=10\n", NULL, NULL },
	{ "values made canonical",
		"{\"configurations\":{\"a\":{\"value\":{\"b\": 1, \"a\": [1.50, \"\\u00e4\\/\"]}}}}",
		"a={\"a\":[1.5,\"\xc3\xa4/\"],\"b\":1}\n", NULL, NULL },
	{ "null is a value", "{\"configurations\":{\"a\":{\"value\":null}}}", "a=null\n", NULL, NULL },
	{ "schema", "{\"schema\":{\"a\":{\"type\":\"int\"},\"@strict\":true}}",
		"@schema/a={\"type\":\"int\"}\n@schema/@strict=true\n", NULL, NULL },
	{ "schema in both", "{\"configurations\":{\"@schema/a\":{\"value\":1}},\"schema\":{\"a\":{}}}",
		"@schema/a=1\n", NULL, "@schema/a: it is both" },
	{ "sealed secrets pass", "{\"configurations\":{\"a\":{\"value\":{\"@secret\":\"AAAA\"}}}}",
		"a={\"@secret\":\"AAAA\"}\n", NULL, NULL },
	{ "byte order mark", "\xef\xbb\xbf{\"configurations\":{}}", "", NULL, NULL },
	{ "entry without a value", "{\"configurations\":{\"a\":{\"valu\":1},\"b\":{\"value\":2}}}", "b=2\n",
		NULL, "a: the entry has no 'value'" },
	{ "entry that is no object", "{\"configurations\":{\"a\":1,\"b\":{\"value\":2}}}", "b=2\n", NULL,
		"a: the entry is no object" },
	{ "flat object", "{\"a\":1}", NULL, "file: not a configuration document", NULL },
	{ "list", "[]", NULL, "file: not a configuration document", NULL },
	{ "configurations a list", "{\"configurations\":[]}", NULL, "file: 'configurations' is no object",
		NULL },
	{ "schema a list", "{\"schema\":[]}", NULL, "file: 'schema' is no object", NULL },
	{ "empty", "", NULL, "file: the text is empty", NULL },
	{ "syntax", "{\"configurations\":\n {\"a\" 1}}", NULL, "file: line 2 column", NULL },
	{ "duplicate key", "{\"configurations\":{\"a\":{\"value\":1},\n\"a\":{\"value\":2}}}", NULL,
		"file: line 2 column", NULL },
	{ "duplicate member", "{\"configurations\":{},\"configurations\":{}}", NULL, "duplicate member", NULL },
	{ "NaN", "{\"configurations\":{\"a\":{\"value\":NaN}}}", NULL, "line 1 column", NULL },
	{ "integer beyond 64 bits", "{\"configurations\":{\"a\":{\"value\":9223372036854775808}}}", NULL,
		"integer beyond 64 bits", NULL },
	{ "invalid UTF-8", "{\"configurations\":{\"a\":{\"value\":\"\xff\"}}}", NULL, "invalid UTF-8", NULL },
	{ "escaped NUL", "{\"configurations\":{\"a\":{\"value\":\"\\u0000\"}}}", NULL, "\\u0000", NULL },
	{ "text behind", "{\"configurations\":{}} x", NULL, "unexpected text", NULL },
};

static const struct entries_row yaml_rows[] = {
	{ "document",
		"configurations:\n  web/port: {value: 8080, type: int}\n  name:\n    value: x\nschema:\n  "
		"web/port: {type: int}\n",
		"web/port=8080\nname=\"x\"\n@schema/web/port={\"type\":\"int\"}\n", NULL, NULL },
	{ "entry without a value", "configurations:\n  a:\n  b: {value: 1}\n", "b=1\n", NULL,
		"a: the entry is no object" },
	{ "empty", "", NULL, "file: not a configuration document", NULL },
	{ "no configurations", "a: 1\n", NULL, "file: not a configuration document", NULL },
	{ "configurations empty", "configurations:\n", NULL, "file: 'configurations' is no object", NULL },
	{ "duplicate key", "configurations:\n  a: {value: 1}\n  a: {value: 2}\n", NULL,
		"file: line 3 column 3: duplicate key 'a'", NULL },
};

static void test_json_row(void **state)
{
	entries_check(LG_FORMAT_JSON, *state);
}

static void test_yaml_row(void **state)
{
	entries_check(LG_FORMAT_YAML, *state);
}

static void test_newer(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_items items = LG_ITEMS_INIT;
	static const char newer[] = "{\"format\":\"lastgood configuration 2\",\"configurations\":{}}";
	static const char other[] = "{\"format\":\"something else\",\"configurations\":{}}";
	lg_assert_code(lg_format_parse(LG_FORMAT_JSON, "f", newer, strlen(newer), &items, NULL, &err),
		LG_ENEWER, &err);
	lg_assert_ok(lg_format_parse(LG_FORMAT_JSON, "f", other, strlen(other), &items, NULL, &err), &err);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static void add_repeated(struct lg_buf *buf, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		lg_buf_adds(buf, text);
}

static void test_brackets(void **state)
{
	(void)state;
	for (int format = LG_FORMAT_JSON; format <= LG_FORMAT_YAML; format++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_items items = LG_ITEMS_INIT;
		lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
		lg_buf_adds(&text, "{\"configurations\": {\"a\": {\"value\": ");
		add_repeated(&text, "[", 100000);
		lg_assert_code(
			lg_format_parse((enum lg_format)format, "f", text.data, text.len, &items, NULL, &err),
			LG_EINVALID, &err);
		assert_non_null(strstr(err.message, "f: line 1 column"));
		assert_non_null(strstr(err.message, "nested"));
	}
}

/* The deepest value passes in both, and back; one level more does not. */
static void test_depth(void **state)
{
	(void)state;
	for (size_t levels = LG_VALUE_DEPTH; levels <= LG_VALUE_DEPTH + 1; levels++) {
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
		lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
		lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
		lg_buf_adds(&text, "{\"configurations\": {\"a\": {\"value\": ");
		add_repeated(&text, "[", levels);
		add_repeated(&text, "]", levels);
		lg_buf_adds(&text, "}}}");
		lg_assert_ok(lg_format_parse(LG_FORMAT_JSON, "f", text.data, text.len, &items, &problems, &err),
			&err);
		assert_int_equal(problems.total, levels > LG_VALUE_DEPTH);
		assert_int_equal(items.count, levels <= LG_VALUE_DEPTH);
		if (items.count)
			for (int format = LG_FORMAT_JSON; format <= LG_FORMAT_PROPERTIES; format++)
				entries_round_trip((enum lg_format)format, &items);
	}
}

static void test_large_value(void **state)
{
	(void)state;
	for (int format = LG_FORMAT_JSON; format <= LG_FORMAT_PROPERTIES; format++) {
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
		lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
		lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
		bool flat = format == LG_FORMAT_ENV || format == LG_FORMAT_PROPERTIES;
		lg_buf_adds(&text, flat ? "b=" : "{\"configurations\": {\"b\": {\"value\": \"");
		add_repeated(&text, "xxxxxxxxxxxxxxxx", LG_VALUE_MAX / 16);
		lg_buf_adds(&text, flat ? "\na=1\n" : "\"}, \"a\": {\"value\": 1}}}");
		lg_assert_ok(lg_format_parse(
				     (enum lg_format)format, "f", text.data, text.len, &items, &problems, &err),
			&err);
		assert_int_equal(items.count, 1);
		assert_string_equal(items.items[0].key, "a");
		assert_int_equal(problems.total, 1);
		assert_non_null(strstr(problems.items[0].message, "the limit is 1048576"));
	}
}

static void test_large_text(void **state)
{
	(void)state;
	for (int format = LG_FORMAT_JSON; format <= LG_FORMAT_PROPERTIES; format++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_items items = LG_ITEMS_INIT;
		/* never read: the length alone is refused */
		lg_assert_code(lg_format_parse((enum lg_format)format, "f", "a=1", LG_IMPORT_MAX + 1, &items,
				       NULL, &err),
			LG_EINVALID, &err);
	}
}

static void test_cut(void **state)
{
	(void)state;
	entries_cut_short(LG_FORMAT_JSON,
		"{\"format\": \"lastgood configuration 1\", \"configurations\": {\"a\": {\"value\": "
		"[1, 2.5e3, \"\\u00e4\", null]}}, \"schema\": {\"a\": {\"type\": \"list\"}}}");
	entries_cut_short(LG_FORMAT_YAML,
		"configurations:\n  a: &x {value: [1, \"b\"]}\n  c: *x\nschema:\n  a:\n    type: list\n");
}

/* --- what is written --------------------------------------------------------------------------------------------- */

static const char *const pairs[][2] = { { "@flag/x", "{\"on\":true}" }, { "@schema/@strict", "true" },
	{ "@schema/web/port", "{\"type\":\"int\"}" }, { "quote\"d", "\"a\\nb\"" }, { "web/port", "8080" } };
#define PAIRS (sizeof pairs / sizeof *pairs)

static void add_pairs(struct lg_items *items, const size_t order[PAIRS])
{
	struct lg_error err = LG_ERROR_INIT;
	for (size_t i = 0; i < PAIRS; i++) {
		const char *const *pair = pairs[order[i]];
		lg_assert_ok(lg_items_add(items, pair[0], pair[1], strlen(pair[1]), NULL, 0, &err), &err);
	}
}
static const size_t key_order[PAIRS] = { 0, 1, 2, 3, 4 };

static void expect_emitted(enum lg_format format, const struct lg_items *items,
	const struct lg_format_meta *meta, const char *want)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_assert_ok(lg_format_emit(format, items, meta, &buf, NULL, &err), &err);
	assert_string_equal(lg_buf_str(&buf), want);
}

static void test_written_json(void **state)
{
	(void)state;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	const struct lg_format_meta meta = { .revision = 12, .root = "00ff" };
	expect_emitted(LG_FORMAT_JSON, &items, NULL,
		"{\n  \"format\": \"lastgood configuration 1\",\n  \"configurations\": {}\n}\n");
	add_pairs(&items, key_order);
	expect_emitted(LG_FORMAT_JSON, &items, &meta,
		"{\n  \"format\": \"lastgood configuration 1\",\n  \"revision\": 12,\n  \"root\": \"00ff\",\n"
		"  \"configurations\": {\n"
		"    \"@flag/x\": {\"value\": {\"on\":true}},\n"
		"    \"quote\\\"d\": {\"value\": \"a\\nb\"},\n"
		"    \"web/port\": {\"value\": 8080}\n"
		"  },\n"
		"  \"schema\": {\n"
		"    \"@strict\": true,\n"
		"    \"web/port\": {\"type\":\"int\"}\n"
		"  }\n}\n");
}

static void test_written_yaml(void **state)
{
	(void)state;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	const struct lg_format_meta meta = { .revision = 12, .root = "00ff" };
	expect_emitted(LG_FORMAT_YAML, &items, NULL, "format: lastgood configuration 1\nconfigurations: {}\n");
	add_pairs(&items, key_order);
	expect_emitted(LG_FORMAT_YAML, &items, &meta,
		"format: lastgood configuration 1\nrevision: 12\nroot: \"00ff\"\n"
		"configurations:\n"
		"  \"@flag/x\":\n    value:\n      \"on\": true\n"
		"  'quote\"d':\n    value: |-\n      a\n      b\n"
		"  web/port:\n    value: 8080\n"
		"schema:\n"
		"  \"@strict\": true\n"
		"  web/port:\n    type: int\n");
}

static void test_documents_come_back(void **state)
{
	static const size_t document_order[PAIRS] = { 0, 3, 4, 1, 2 }; /* configurations, then schema */
	(void)state;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	add_pairs(&items, document_order);
	entries_round_trip(LG_FORMAT_JSON, &items);
	entries_round_trip(LG_FORMAT_YAML, &items);
}

static void test_hostile_json(void **state)
{
	(void)state;
	entries_hostile_round_trip(LG_FORMAT_JSON);
	entries_random_round_trip(LG_FORMAT_JSON);
}

static void test_hostile_yaml(void **state)
{
	(void)state;
	entries_hostile_round_trip(LG_FORMAT_YAML);
	entries_random_round_trip(LG_FORMAT_YAML);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum lg_format format;
	} names[] = { { "json", LG_FORMAT_JSON }, { "yaml", LG_FORMAT_YAML }, { "env", LG_FORMAT_ENV },
		{ "properties", LG_FORMAT_PROPERTIES } };
	static const struct {
		const char *path;
		enum lg_format format;
	} paths[] = { { "a.json", LG_FORMAT_JSON }, { "dir.yaml/a", LG_FORMAT_JSON },
		{ "a.yaml", LG_FORMAT_YAML }, { "/x/a.yml", LG_FORMAT_YAML }, { "A.YAML", LG_FORMAT_YAML },
		{ "prod.env", LG_FORMAT_ENV }, { ".env", LG_FORMAT_ENV }, { "/srv/app/.env", LG_FORMAT_ENV },
		{ ".env.local", LG_FORMAT_ENV }, { "a.properties", LG_FORMAT_PROPERTIES },
		{ "", LG_FORMAT_JSON }, { "-", LG_FORMAT_JSON } };
	struct lg_error err = LG_ERROR_INIT;
	enum lg_format format = LG_FORMAT_JSON;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		lg_assert_ok(lg_format_from_name(names[i].name, &format, &err), &err);
		assert_int_equal(format, names[i].format);
	}
	lg_assert_code(lg_format_from_name("toml", &format, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "'toml'"));
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_int_equal(lg_format_from_path(paths[i].path), paths[i].format);
}

int main(void)
{
	lg_test_rows("json", test_json_row, json_rows, sizeof json_rows / sizeof *json_rows, sizeof *json_rows,
		offsetof(struct entries_row, name));
	lg_test_rows("yaml", test_yaml_row, yaml_rows, sizeof yaml_rows / sizeof *yaml_rows, sizeof *yaml_rows,
		offsetof(struct entries_row, name));
	lg_test_add("a newer format is refused", test_newer, NULL);
	lg_test_add("100,000 brackets", test_brackets, NULL);
	lg_test_add("the deepest value", test_depth, NULL);
	lg_test_add("a value too large", test_large_value, NULL);
	lg_test_add("a text too large", test_large_text, NULL);
	lg_test_add("cut short at every byte", test_cut, NULL);
	lg_test_add("what is written as JSON", test_written_json, NULL);
	lg_test_add("what is written as YAML", test_written_yaml, NULL);
	lg_test_add("documents come back", test_documents_come_back, NULL);
	lg_test_add("json: hostile and random values come back", test_hostile_json, NULL);
	lg_test_add("yaml: hostile and random values come back", test_hostile_yaml, NULL);
	lg_test_add("names of formats", test_names, NULL);
	return lg_test_run("format_document");
}
