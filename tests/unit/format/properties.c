#include "base/cleanup.h"
#include "entries.h"
#include "support/support.h"

static const struct entries_row rows[] = {
	{ "empty file", "", "", NULL, NULL },
	{ "comments", "# a=1\n! b=2\n   # c=3 \\\n\nd=4\n", "d=4\n", NULL, NULL },
	{ "separators", "a=1\nb:2\nc 3\nd\t4\ne = 5\nf : 6\ng\f7\n", "a=1\nb=2\nc=3\nd=4\ne=5\nf=6\ng=7\n",
		NULL, NULL },
	{ "one separator only", "a==1\nb:=2\nc= =3\n", "a=\"=1\"~=1\nb=\"=2\"~=2\nc=\"=3\"~=3\n", NULL, NULL },
	{ "key alone", "a\nb=\n c  \n", "a=\"\"~\nb=\"\"~\nc=\"\"~\n", NULL, NULL },
	{ "escaped separators", "a\\=b\\:c\\ d\\#=1\n\\#e=2\n", "a=b:c d#=1\n#e=2\n", NULL, NULL },
	{ "line breaks", "a=1\r\nb=2\rc=3", "a=1\nb=2\nc=3\n", NULL, NULL },
	{ "continuation", "a=x\\\n   y\\\r\n\tz\nb\\\n  =1\n", "a=\"xyz\"~xyz\nb=1\n", NULL, NULL },
	{ "continuation at the value's start", "a = \\\n   x\n", "a=\"x\"~x\n", NULL, NULL },
	{ "continued line is no comment", "a=x\\\n#y\n", "a=\"x#y\"~x#y\n", NULL, NULL },
	{ "two backslashes continue nothing", "a=x\\\\\nb=1\n", "a=\"x\\\\\"~x\\\nb=1\n", NULL, NULL },
	{ "continuation at the end", "a=x\\\n", "a=\"x\"~x\n", NULL, NULL },
	{ "backslash at the end", "a=x\\", "a=\"x\"~x\n", NULL, NULL },
	{ "escapes", "a=\\t\\n\\r\\f\\\\\\q\\\"\n", "a=\"\\t\\n\\r\\f\\\\q\\\"\"~\t\n\r\f\\q\"\n", NULL, NULL },
	{ "unicode", "a=\\u0041\\u00fc\\u20AC\\ud83d\\uDE00",
		"a=\"A\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"~A\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\n", NULL,
		NULL },
	{ "unicode in the key", "\\u0061\\u003d=1", "a==1\n", NULL, NULL },
	{ "UTF-8", "gr\xc3\xbcn=\\\xc3\xbc", "gr\xc3\xbcn=\"\xc3\xbc\"~\xc3\xbc\n", NULL, NULL },
	{ "leading blanks go, trailing stay", "  a =   x  \n", "a=\"x  \"~x  \n", NULL, NULL },
	{ "escaped blank stays", "a=\\  x", "a=\"  x\"~  x\n", NULL, NULL },
	{ "JSON", "a=1.50\nb=true\nc=[1, 2]\nd=\"1\"\ne={\"x\":\"y\"}\n",
		"a=1.5~1.50\nb=true\nc=[1,2]~[1, 2]\nd=\"1\"\ne={\"x\":\"y\"}\n", NULL, NULL },
	{ "not JSON", "a=01\nb=\"x\nc=yes\n", "a=\"01\"~01\nb=\"\\\"x\"~\"x\nc=\"yes\"~yes\n", NULL, NULL },
	{ "key with a slash", "web/port=1", "web/port=1\n", NULL, NULL },
	{ "short unicode escape", "a=1\nb=\\u12", NULL, "file: line 2 column 3: \\u wants", NULL },
	{ "wrong unicode escape", "b=\\u12g4", NULL, "file: line 1 column 3: \\u wants", NULL },
	{ "high surrogate alone", "b=\\ud83dx", NULL, "file: line 1 column 3: half of a surrogate", NULL },
	{ "two high surrogates", "b=\\ud83d\\ud83d", NULL, "half of a surrogate", NULL },
	{ "low surrogate alone", "b=\\ude00", NULL, "half of a surrogate", NULL },
	{ "escaped NUL", "b=\\u0000", NULL, "file: line 1 column 3: \\u0000", NULL },
	{ "no key", "a=1\n=x", NULL, "file: line 2 column 1: the line has no key", NULL },
	{ "set twice", "a=1\n\na : 2", NULL, "file: line 3 column 1: 'a' is set twice, first on line 1", NULL },
	{ "set twice, shown safely", "\\u001b=1\n\\u001b=2", NULL, "'\\x1b' is set twice", NULL },
	{ "invalid UTF-8", "a=\xc3", NULL, "file: line 1 column 3: byte 0xc3", NULL },
	{ "number too large", "a=1e999\nb=1", "b=1\n", NULL, "a: number 1e999 is too large" },
};

static void test_row(void **state)
{
	entries_check(LG_FORMAT_PROPERTIES, *state);
}

static const struct {
	const char *key;
	const char *value;
	const char *line;
} written[] = {
	{ "a", "1", "a=1\n" },
	{ "web/port", "\"x y\"", "web/port=x y\n" },
	{ "a b:c=d#e!f", "true", "a\\ b\\:c\\=d\\#e\\!f=true\n" },
	{ "\xef\xbb\xbf"
	  "a",
		"1", "\\ufeffa=1\n" },
	{ "a", "\"1\"", "a=\"1\"\n" },
	{ "a", "\" x \"", "a=\\ x\\u0020\n" },
	{ "a", "\" \"", "a=\\u0020\n" },
	{ "a", "\"\\\\t\\t\\n\\u0001\"", "a=\\\\t\\t\\n\\u0001\n" },
	{ "a", "{\"b\":\"\\n\"}", "a={\"b\":\"\\\\n\"}\n" },
	{ "a", "\"9223372036854775808\"", "a=\"9223372036854775808\"\n" },
	{ "@flag/a", "true", "@flag/a=true\n" },
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
		lg_assert_ok(lg_items_add(&items, written[i].key, written[i].value, strlen(written[i].value),
				     NULL, 0, &err),
			&err);
		lg_assert_ok(lg_format_emit(LG_FORMAT_PROPERTIES, &items, NULL, &buf, &problems, &err), &err);
		assert_string_equal(lg_buf_str(&buf), written[i].line);
		assert_int_equal(problems.total, 0);
		if (*written[i].line)
			entries_round_trip(LG_FORMAT_PROPERTIES, &items);
	}
}

static void test_hostile(void **state)
{
	(void)state;
	entries_hostile_round_trip(LG_FORMAT_PROPERTIES);
}

static void test_random(void **state)
{
	(void)state;
	entries_random_round_trip(LG_FORMAT_PROPERTIES);
}

static void test_cut(void **state)
{
	(void)state;
	entries_cut_short(
		LG_FORMAT_PROPERTIES, "a\\ b = x\\\n  y\\u0041\\ud83d\\ude00\n# c\r\nd:{\"a\":1}\r\ne\n");
}

int main(void)
{
	lg_test_rows("properties", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct entries_row, name));
	lg_test_add("properties: what is written", test_written, NULL);
	lg_test_add("properties: hostile strings come back", test_hostile, NULL);
	lg_test_add("properties: random values come back", test_random, NULL);
	lg_test_add("properties: cut short at every byte", test_cut, NULL);
	return lg_test_run("format_properties");
}
