#include "model/value.h"

#include "base/cleanup.h"
#include "random.h"
#include "support/support.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define L(literal) literal, sizeof literal - 1
#define ROWS(group, function, rows)                                                                            \
	lg_test_rows(                                                                                          \
		group, function, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name))

struct row {
	const char *name;
	const char *text;
	size_t len;
	const char *want; /* canonical form, or a part of the message */
};

static const struct row canonical[] = {
	{ "true", L("true"), "true" },
	{ "false", L(" false\n"), "false" },
	{ "null", L("null"), "null" },
	{ "zero", L("0"), "0" },
	{ "minus zero is zero", L("-0"), "0" },
	{ "largest integer", L("9223372036854775807"), "9223372036854775807" },
	{ "smallest integer", L("-9223372036854775808"), "-9223372036854775808" },
	{ "beyond what doubles hold", L("9007199254740993"), "9007199254740993" },
	{ "float stays a float", L("1.0"), "1.0" },
	{ "exponent makes a float", L("1e5"), "100000.0" },
	{ "capital exponent", L("1E+5"), "100000.0" },
	{ "minus zero float is zero", L("-0.0"), "0.0" },
	{ "minus zero with exponent", L("-0e9"), "0.0" },
	{ "trailing zeros", L("2.50000"), "2.5" },
	{ "small", L("0.00000025"), "2.5e-7" },
	{ "exponent without zeros and plus", L("1e22"), "1e22" },
	{ "negative exponent of two digits", L("1e-10"), "1e-10" },
	{ "three digits of exponent", L("1e-300"), "1e-300" },
	{ "a tenth", L("0.1"), "0.1" },
	{ "seventeen digits", L("0.30000000000000004"), "0.30000000000000004" },
	{ "more digits than a double has", L("3.14159265358979323846264338327950288"), "3.141592653589793" },
	{ "largest double", L("1.7976931348623157e308"), "1.7976931348623157e308" },
	{ "smallest normal", L("2.2250738585072014e-308"), "2.2250738585072014e-308" },
	{ "smallest subnormal, shortest", L("4.94065645841246544e-324"), "5e-324" },
	{ "underflow", L("1e-400"), "0.0" },
	{ "negative", L("-12.25"), "-12.25" },
	{ "empty string", L("\"\""), "\"\"" },
	{ "escapes that need none", L("\"\\/\\u0041\\u00e9\""), "\"/Aé\"" },
	{ "escapes that stay", L("\"\\\"\\\\\\n\\t\\b\\f\\r\\u0001\\u001f\""),
		"\"\\\"\\\\\\n\\t\\b\\f\\r\\u0001\\u001f\"" },
	{ "DEL is not escaped", L("\"\\u007f\""), "\"\x7f\"" },
	{ "surrogate pair", L("\"\\ud83d\\ude80\""), "\"\xf0\x9f\x9a\x80\"" },
	{ "empty list", L("[ ]"), "[]" },
	{ "list", L("[1, 2.0 ,\"x\",[ null ]]"), "[1,2.0,\"x\",[null]]" },
	{ "empty object", L("{ }"), "{}" },
	{ "members are sorted", L("{\"b\":1,\"a\":2}"), "{\"a\":2,\"b\":1}" },
	{ "shorter name first", L("{\"ab\":1,\"a\":2,\"\":3}"), "{\"\":3,\"a\":2,\"ab\":1}" },
	{ "by bytes, not by code units", L("{\"\\ud83d\\ude80\":1,\"\\uffee\":2,\"z\":3}"),
		"{\"z\":3,\"\xef\xbf\xae\":2,\"\xf0\x9f\x9a\x80\":1}" },
	{ "capitals first", L("{\"a\":1,\"B\":2}"), "{\"B\":2,\"a\":1}" },
	{ "nested", L("{\"x\":{\"d\":[{\"c\":1,\"b\":2}],\"a\":0}}"),
		"{\"x\":{\"a\":0,\"d\":[{\"b\":2,\"c\":1}]}}" },
};

static const struct row refused[] = {
	{ "empty", L(""), "the text is empty" },
	{ "blanks", L("  \n "), "line 2" },
	{ "bare word", L("hello"), "line 1 column 5: invalid token" },
	{ "two values", L("1 2"), "line 1 column 3: unexpected text behind the value" },
	{ "missing bracket", L("[1,\n 2"), "at the end of the text" },
	{ "line and column", L("{\n  \"a\": 1,\n  \"b\": nope\n}"), "line 3 column 11" },
	{ "trailing comma", L("[1,]"), "line 1 column 4" },
	{ "single quotes", L("{'a':1}"), "line 1 column 2" },
	{ "comment", L("1 // one"), "line 1 column 3" },
	{ "leading zero", L("012"), "line 1" },
	{ "plus", L("+1"), "line 1" },
	{ "hexadecimal", L("0x10"), "line 1" },
	{ "NaN", L("NaN"), "NaN and infinity are no JSON numbers" },
	{ "NaN inside", L("[1, NaN]"), "NaN and infinity are no JSON numbers" },
	{ "infinity", L("Infinity"), "NaN and infinity are no JSON numbers" },
	{ "minus infinity", L("-Infinity"), "line 1 column" },
	{ "one beyond the largest integer", L("9223372036854775808"), "integer beyond 64 bits" },
	{ "one below the smallest integer", L("-9223372036854775809"), "integer beyond 64 bits" },
	{ "huge integer", L("[1,\n99999999999999999999999999]"), "line 2" },
	{ "real overflow", L("1e400"), "number beyond the range of a double" },
	{ "negative real overflow", L("-1e309"), "number beyond the range of a double" },
	{ "duplicate member", L("{\"a\":1,\n\"a\":2}"), "line 2 column 3: duplicate member '\"a\"'" },
	{ "duplicate member by escape", L("{\"a\":1,\"\\u0061\":2}"), "duplicate member" },
	{ "duplicate member inside", L("[{\"x\":{\"k\":1,\"k\":1}}]"), "duplicate member" },
	{ "invalid UTF-8", L("[1,\n\"\xc3\xa9\xff\"]"), "line 2 column 3: invalid UTF-8 (byte 0xff)" },
	{ "invalid UTF-8 outside of strings", L("\xfe"), "line 1 column 1: invalid UTF-8 (byte 0xfe)" },
	{ "surrogate in UTF-8", L("\"\xed\xa0\x80\""), "invalid UTF-8" },
	{ "overlong", L("\"\xc0\x80\""), "invalid UTF-8" },
	{ "NUL in a string", L("\"a\0b\""), "line 1 column 3: NUL byte" },
	{ "NUL behind", L("1\0"), "line 1 column 2: NUL byte" },
	{ "NUL escape", L("\"a\\u0000b\""), "\\u0000 is not allowed" },
	{ "NUL escape in a name", L("{\"a\\u0000\":1}"), "\\u0000 is not allowed" },
	{ "lone surrogate", L("\"\\ud800\""), "line 1" },
	{ "reversed surrogates", L("\"\\ude80\\ud83d\""), "line 1" },
	{ "control in a string", L("\"a\tb\""), "line 1" },
	{ "newline in a string", L("\"a\nb\""), "line 1" },
	{ "unknown escape", L("\"\\x41\""), "line 1" },
	{ "byte order mark", L("\xef\xbb\xbf{}"), "line 1" },
	{ "reserved member", L("{\"@secret\":\"x\"}"), "'@secret' is reserved" },
};

static void test_canonical(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT, again = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_value_parse(row->text, row->len, &out, &err), &err);
	assert_string_equal(lg_buf_str(&out), row->want);
	lg_assert_ok(lg_value_parse(out.data, out.len, &again, &err), &err);
	assert_string_equal(lg_buf_str(&again), row->want);
}

static void test_refused(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_buf_adds(&out, "before");
	assert_int_equal(lg_value_parse(row->text, row->len, &out, &err), LG_EINVALID);
	assert_string_equal(lg_buf_str(&out), "before");
	if (!strstr(err.message, row->want))
		fail_msg("'%s' is not in: %s", row->want, err.message);
	for (const char *p = err.message; *p; p++)
		assert_true((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
}

static const struct row arguments[] = {
	{ "number", L("12"), "12" },
	{ "bool", L("true"), "true" },
	{ "word", L("hello"), "\"hello\"" },
	{ "sentence", L("hello, world"), "\"hello, world\"" },
	{ "duration", L("10m"), "\"10m\"" },
	{ "address", L("127.0.0.1:80"), "\"127.0.0.1:80\"" },
	{ "leading zero is text", L("007"), "\"007\"" },
	{ "empty", L(""), "\"\"" },
	{ "blanks", L("  "), "\"  \"" },
	{ "quoted", L("\"12\""), "\"12\"" },
	{ "list", L("[1, 2]"), "[1,2]" },
	{ "NaN is a word", L("NaN"), "\"NaN\"" },
	{ "line break", L("a\nb"), "\"a\\nb\"" },
	{ "quotes inside", L("say \"hi\""), "\"say \\\"hi\\\"\"" },
};

static void test_argument(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_value_from_argument(row->text, &out, &err), &err);
	assert_string_equal(lg_buf_str(&out), row->want);
	assert_string_equal(err.message, "");
}

static const struct row bad_arguments[] = {
	{ "broken list", L("[1, 2"), "not valid JSON" },
	{ "broken object", L("{\"a\":}"), "line 1 column 6" },
	{ "broken object behind blanks", L("  {a}"), "not valid JSON" },
	{ "broken string", L("\"abc"), "write it as a JSON string" },
	{ "bracketed address", L("[::1]:80"), "write it as a JSON string" },
	{ "integer beyond 64 bits", L("99999999999999999999"), "integer beyond 64 bits" },
	{ "real overflow", L("1e999"), "beyond the range of a double" },
	{ "invalid UTF-8", L("abc\xff"), "invalid UTF-8" },
	{ "duplicate", L("{\"a\":1,\"a\":1}"), "duplicate member" },
	{ "reserved", L("{\"@secret\":\"AAAA\"}"), "reserved" },
};

static void test_bad_argument(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_value_from_argument(row->text, &out, &err), LG_EINVALID);
	assert_int_equal(out.len, 0);
	if (!strstr(err.message, row->want))
		fail_msg("'%s' is not in: %s", row->want, err.message);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static int parse_nested(
	size_t levels, const char *open, const char *inner, const char *close, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT, out = LG_BUF_INIT;
	for (size_t i = 0; i < levels; i++)
		lg_buf_adds(&text, open);
	lg_buf_adds(&text, inner);
	for (size_t i = 0; i < levels; i++)
		lg_buf_adds(&text, close);
	assert_false(text.failed);
	int rc = lg_value_parse(text.data, text.len, &out, err);
	assert_true(rc == 0 ? out.len == text.len : out.len == 0);
	return rc;
}

static void test_depth(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(parse_nested(LG_VALUE_DEPTH, "[", "", "]", &err), &err);
	lg_assert_ok(parse_nested(LG_VALUE_DEPTH, "{\"a\":", "1", "}", &err), &err);
	static const size_t levels[] = { LG_VALUE_DEPTH + 1, 2047, 2048, 2049, 100000 };
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		lg_assert_code(parse_nested(levels[i], "[", "", "]", &err), LG_EINVALID, &err);
		assert_non_null(strstr(err.message, "too deeply nested (the limit is 128 levels)"));
		lg_assert_code(parse_nested(levels[i], "{\"a\":", "1", "}", &err), LG_EINVALID, &err);
		assert_non_null(strstr(err.message, "too deeply nested"));
	}
	lg_assert_code(parse_nested(100000, "[", "", "", &err), LG_EINVALID, &err);
	lg_assert_code(parse_nested(100000, "", "", "]", &err), LG_EINVALID, &err);
}

static void test_size(void **state)
{
	size_t len = LG_VALUE_MAX + 1;
	char *text = malloc(len);
	assert_non_null(text);
	memset(text, 'x', len);
	text[0] = '"';
	text[LG_VALUE_MAX - 1] = '"';
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_value_parse(text, LG_VALUE_MAX, &out, &err), &err);
	assert_int_equal(out.len, LG_VALUE_MAX);
	lg_buf_reset(&out);
	lg_assert_code(lg_value_parse(text, len, &out, &err), LG_EINVALID, &err);
	assert_string_equal(err.message, "the text has 1048577 bytes, the limit is 1048576");
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	text[LG_VALUE_MAX - 1] = 'x';
	text[LG_VALUE_MAX] = '"';
	lg_assert_code(lg_json_parse(text, len, LG_VALUE_MAX, &json, &err), LG_EINVALID, &err);
	assert_null(json);
	lg_assert_ok(lg_json_parse(text, len, len, &json, &err), &err);
	free(text);
}

/* "1e9," is shorter than "1000000000.0,": the limit holds for what is kept. */
static void test_size_grows(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT, out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_buf_adds(&text, "[1e9");
	for (size_t i = 0; i < 200000; i++)
		lg_buf_adds(&text, ",1e9");
	lg_buf_adds(&text, "]");
	lg_assert_code(lg_value_parse(text.data, text.len, &out, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "in canonical form, the limit is 1048576"));
	assert_int_equal(out.len, 0);
}

/* What does not come from the parser is checked too: the YAML reader builds such trees. */
static void test_built(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *nul = json_stringn("a\0b", 3);
	lg_assert_code(lg_json_canonical(nul, &out, &err), LG_EINVALID, &err);
	lg_cleanup(lg_json_freep) json_t *invalid = json_string_nocheck("\xff");
	lg_assert_code(lg_json_canonical(invalid, &out, &err), LG_EINVALID, &err);
	lg_cleanup(lg_json_freep) json_t *name = json_object();
	assert_int_equal(json_object_setn_new(name, "a\0b", 3, json_true()), 0);
	lg_assert_code(lg_json_canonical(name, &out, &err), LG_EINVALID, &err);
	lg_assert_code(lg_json_canonical(NULL, &out, &err), LG_EINTERNAL, &err);
	assert_int_equal(out.len, 0);
}

static void test_secret_not_quoted(void **state)
{
	static const char *const texts[] = { "{\"password\":hunter2}", "hunter2", "[\"hunter2\" hunter2",
		"{\"p\":\"hunter2", "\"hunter2\\q\"", "{\"a\" \"hunter2\"}" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		json_t *json = NULL;
		struct lg_error err = LG_ERROR_INIT;
		assert_int_equal(
			lg_json_parse(texts[i], strlen(texts[i]), LG_VALUE_MAX, &json, &err), LG_EINVALID);
		assert_null(json);
		if (strstr(err.message, "hunter2"))
			fail_msg("it is told: %s", err.message);
	}
}

/* --- properties -------------------------------------------------------------------------------------------------- */

static double random_double(struct rng *rng)
{
	for (;;) {
		uint64_t bits = rng_next(rng);
		double value;
		switch (rng_below(rng, 4)) {
		case 0: /* subnormal */
			bits &= 0x800fffffffffffffULL;
			break;
		case 1: /* of everyday size */
			return (double)(int32_t)bits / 1000.0;
		default:
			break;
		}
		memcpy(&value, &bits, sizeof value);
		if (isfinite(value))
			return value;
	}
}

static void test_doubles(void **state)
{
	struct rng rng = { 20261122 };
	for (int i = 0; i < 20000; i++) {
		double value = random_double(&rng);
		lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
		struct lg_error err = LG_ERROR_INIT;
		json_t *json = json_real(value);
		lg_assert_ok(lg_json_canonical(json, &out, &err), &err);
		json_decref(json);
		assert_true(strtod(out.data, NULL) == value);
		assert_true(strchr(out.data, '.') || strchr(out.data, 'e'));
		/* nothing shorter reads back: one significant digit less does not */
		char text[40];
		size_t digits = 0;
		for (const char *p = out.data; *p && *p != 'e'; p++)
			digits += *p >= '0' && *p <= '9' && (digits || *p != '0');
		if (digits > 1 && strchr(out.data, 'e')) {
			snprintf(text, sizeof text, "%.*e", (int)digits - 2, value);
			assert_true(strtod(text, NULL) != value);
		}
	}
}

static json_t *random_json(struct rng *rng, int depth)
{
	static const char *const strings[] = { "", "a", "é", "\xf0\x9f\x9a\x80", "\"\\\b\f\n\r\t\x01\x1f\x7f",
		"x/y", "\xe2\x80\xa8" };
	const char *text = strings[rng_below(rng, 7)];
	switch (rng_below(rng, depth > 4 ? 6 : 8)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(rng_below(rng, 2));
	case 2:
		return json_integer((json_int_t)rng_next(rng));
	case 3:
		return json_integer((json_int_t)rng_below(rng, 100));
	case 4:
		return json_real(random_double(rng));
	case 5:
		return json_string(text);
	case 6: {
		json_t *array = json_array();
		for (uint32_t n = rng_below(rng, 5); n > 0; n--)
			json_array_append_new(array, random_json(rng, depth + 1));
		return array;
	}
	default: {
		json_t *object = json_object();
		for (uint32_t n = rng_below(rng, 5); n > 0; n--) {
			char name[32];
			snprintf(name, sizeof name, "%s%u", strings[rng_below(rng, 7)], rng_below(rng, 20));
			json_object_set_new(object, name, random_json(rng, depth + 1));
		}
		return object;
	}
	}
}

/* parse(canonical(x)) == x, canonical(parse(canonical(x))) == canonical(x), and spelling does not matter */
static void test_round_trip(void **state)
{
	struct rng rng = { 4711 };
	for (int i = 0; i < 5000; i++) {
		lg_cleanup(lg_json_freep) json_t *json = random_json(&rng, 0), *back = NULL;
		lg_cleanup(lg_buf_clear) struct lg_buf once = LG_BUF_INIT, twice = LG_BUF_INIT,
						       spelt = LG_BUF_INIT;
		struct lg_error err = LG_ERROR_INIT;
		lg_assert_ok(lg_json_canonical(json, &once, &err), &err);
		lg_assert_ok(lg_json_parse(once.data, once.len, LG_VALUE_MAX, &back, &err), &err);
		if (!json_equal(json, back))
			fail_msg("not the same: %s", once.data);
		lg_assert_ok(lg_json_canonical(back, &twice, &err), &err);
		assert_string_equal(once.data, twice.data);
		char *other = json_dumps(json, JSON_INDENT(3) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
		assert_non_null(other);
		lg_assert_ok(lg_value_parse(other, strlen(other), &spelt, &err), &err);
		assert_string_equal(once.data, spelt.data);
		free(other);
	}
}

/* Texts with one byte changed are accepted or refused, never worse, and what is accepted is stable. */
static void test_mutations(void **state)
{
	struct rng rng = { 99 };
	static const char seed[] = "{\"a\":[1,-2.5e-7,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":\"\xc3\xa9\"}}";
	for (int i = 0; i < 20000; i++) {
		char text[sizeof seed];
		memcpy(text, seed, sizeof seed);
		size_t len = rng_below(&rng, 4) ? sizeof seed - 1 : rng_below(&rng, sizeof seed);
		for (uint32_t n = 1 + rng_below(&rng, 3); n > 0; n--)
			text[rng_below(&rng, sizeof seed - 1)] = (char)rng_next(&rng);
		lg_cleanup(lg_buf_clear) struct lg_buf once = LG_BUF_INIT, twice = LG_BUF_INIT;
		struct lg_error err = LG_ERROR_INIT;
		int rc = lg_value_parse(text, len, &once, &err);
		if (rc < 0) {
			assert_int_equal(rc, LG_EINVALID);
			assert_true(err.message[0] != '\0');
			continue;
		}
		lg_assert_ok(lg_value_parse(once.data, once.len, &twice, &err), &err);
		assert_string_equal(once.data, twice.data);
	}
}

int main(void)
{
	ROWS("canonical", test_canonical, canonical);
	ROWS("refused", test_refused, refused);
	ROWS("argument", test_argument, arguments);
	ROWS("bad argument", test_bad_argument, bad_arguments);
	lg_test_add("depth", test_depth, NULL);
	lg_test_add("size", test_size, NULL);
	lg_test_add("size after canonical form", test_size_grows, NULL);
	lg_test_add("trees that no parser made", test_built, NULL);
	lg_test_add("messages do not quote values", test_secret_not_quoted, NULL);
	lg_test_add("doubles are shortest and read back", test_doubles, NULL);
	lg_test_add("round trip of random values", test_round_trip, NULL);
	lg_test_add("random mutations", test_mutations, NULL);
	return lg_test_run("model_value");
}
