/* UTF-8, escaping, hex, numbers, durations, sizes and times: each row its own test, edges first. */
#include "base/text.h"
#include "support/support.h"

#define TEXT(literal) literal, sizeof literal - 1
#define ROWS(group, function, rows)                                                                            \
	lg_test_rows(                                                                                          \
		group, function, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name))

struct row {
	const char *name;
	const char *text;
	size_t len;
	const char *want; /* NULL: refused */
	int64_t number;
};

/* ---- UTF-8: number is the length of the valid prefix ---- */

static const struct row utf8[] = {
	{ "empty", TEXT(""), NULL, 0 },
	{ "ASCII with NUL", TEXT("a\0b"), NULL, 3 },
	{ "last of one byte", TEXT("\x7f"), NULL, 1 },
	{ "first of two bytes", TEXT("\xc2\x80"), NULL, 2 },
	{ "last of two bytes", TEXT("\xdf\xbf"), NULL, 2 },
	{ "first of three bytes", TEXT("\xe0\xa0\x80"), NULL, 3 },
	{ "before the surrogates", TEXT("\xed\x9f\xbf"), NULL, 3 },
	{ "behind the surrogates", TEXT("\xee\x80\x80"), NULL, 3 },
	{ "last of three bytes", TEXT("\xef\xbf\xbf"), NULL, 3 },
	{ "first of four bytes", TEXT("\xf0\x90\x80\x80"), NULL, 4 },
	{ "U+10FFFF", TEXT("\xf4\x8f\xbf\xbf"), NULL, 4 },
	{ "continuation alone", TEXT("a\x80"), NULL, 1 },
	{ "overlong NUL", TEXT("\xc0\x80"), NULL, 0 },
	{ "overlong slash", TEXT("\xc1\xaf"), NULL, 0 },
	{ "overlong of three", TEXT("\xe0\x9f\xbf"), NULL, 0 },
	{ "overlong of four", TEXT("\xf0\x8f\xbf\xbf"), NULL, 0 },
	{ "first surrogate", TEXT("\xed\xa0\x80"), NULL, 0 },
	{ "last surrogate", TEXT("\xed\xbf\xbf"), NULL, 0 },
	{ "above U+10FFFF", TEXT("\xf4\x90\x80\x80"), NULL, 0 },
	{ "lead 0xf5", TEXT("\xf5\x80\x80\x80"), NULL, 0 },
	{ "five bytes", TEXT("\xf8\x88\x80\x80\x80"), NULL, 0 },
	{ "0xfe", TEXT("ok\xfe"), NULL, 2 },
	{ "cut in two", TEXT("ab\xc3"), NULL, 2 },
	{ "cut in three", TEXT("ab\xe2\x82"), NULL, 2 },
	{ "cut in four", TEXT("ab\xf0\x9f\x98"), NULL, 2 },
	{ "third byte is none", TEXT("\xe2\x82x"), NULL, 0 },
	{ "fourth byte is none", TEXT("\xf0\x9f\x98x"), NULL, 0 },
};

static void test_utf8(void **state)
{
	const struct row *row = *state;
	assert_int_equal(lg_utf8_valid_prefix(row->text, row->len), row->number);
}

/* Every code point encoded by hand is valid, and each of its proper beginnings is not. */
static void test_utf8_every_code_point(void **state)
{
	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		char s[4];
		size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
		for (size_t i = n; i-- > 1;)
			s[i] = (char)(0x80 | (cp >> 6 * (n - 1 - i) & 0x3f));
		s[0] = (char)(n == 1 ? cp : (0xf00u >> n & 0xff) | cp >> 6 * (n - 1));
		size_t want = cp >= 0xd800 && cp <= 0xdfff ? 0 : n;
		if (lg_utf8_valid_prefix(s, n) != want)
			fail_msg("U+%04X", cp);
		if (n > 1 && lg_utf8_valid_prefix(s, n - 1) != 0)
			fail_msg("beginning of U+%04X", cp);
	}
}

/* ---- printable, JSON ---- */

static const struct row printable[] = {
	{ "empty", TEXT(""), "", 0 },
	{ "as it is", TEXT("größe \\ \"x\" 😀"), "größe \\ \"x\" 😀", 0 },
	{ "NUL", TEXT("a\0b"), "a\\x00b", 0 },
	{ "newline and tab", TEXT("a\n\tb"), "a\\x0a\\x09b", 0 },
	{ "DEL", TEXT("\x7f"), "\\x7f", 0 },
	{ "terminal escape", TEXT("\x1b]0;x\x07"), "\\x1b]0;x\\x07", 0 },
	{ "C1 control", TEXT("\xc2\x9b"), "\\u{009b}", 0 },
	{ "no-break space stays", TEXT("\xc2\xa0"), "\xc2\xa0", 0 },
	{ "right-to-left override", TEXT("a\xe2\x80\xaetxt"), "a\\u{202e}txt", 0 },
	{ "isolate", TEXT("\xe2\x81\xa6"), "\\u{2066}", 0 },
	{ "arabic letter mark", TEXT("\xd8\x9c"), "\\u{061c}", 0 },
	{ "paragraph separator", TEXT("\xe2\x80\xa9"), "\\u{2029}", 0 },
	{ "invalid byte by byte", TEXT("\xed\xa0\x80!"), "\\xed\\xa0\\x80!", 0 },
	{ "cut sequence", TEXT("a\xe2\x82"), "a\\xe2\\x82", 0 },
};

static void test_printable(void **state)
{
	const struct row *row = *state;
	struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf, ">");
	assert_int_equal(lg_text_add_printable(&buf, row->text, row->len), 0);
	assert_string_equal(buf.data + 1, row->want);
	assert_int_equal(buf.len, strlen(row->want) + 1);
	lg_buf_clear(&buf);
}

static const struct row json[] = {
	{ "empty", TEXT(""), "\"\"", 0 },
	{ "plain", TEXT("größe/😀"), "\"größe/😀\"", 0 },
	{ "quote and backslash", TEXT("a\"b\\c"), "\"a\\\"b\\\\c\"", 0 },
	{ "slash is not escaped", TEXT("a/b"), "\"a/b\"", 0 },
	{ "short forms", TEXT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"", 0 },
	{ "other controls", TEXT("\x01\x0b\x1f"), "\"\\u0001\\u000b\\u001f\"", 0 },
	{ "NUL", TEXT("\0"), "\"\\u0000\"", 0 },
	{ "DEL is no JSON control", TEXT("\x7f"), "\"\x7f\"", 0 },
	{ "line separator stays", TEXT("\xe2\x80\xa8"), "\"\xe2\x80\xa8\"", 0 },
	{ "invalid UTF-8 is refused", TEXT("ok\xff"), NULL, 0 },
};

static void test_json(void **state)
{
	const struct row *row = *state;
	struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf, "[");
	int rc = lg_text_add_json_string(&buf, row->text, row->len);
	if (row->want) {
		assert_int_equal(rc, 0);
		assert_string_equal(buf.data + 1, row->want);
	} else {
		assert_int_equal(rc, LG_EINVALID);
		assert_string_equal(buf.data, "[");
		assert_true(buf.failed);
	}
	lg_buf_clear(&buf);
}

/* Every single control comes out as RFC 8259 has it: never raw, and short forms where there are any. */
static void test_json_every_control(void **state)
{
	for (char c = 0; c < 0x20; c++) {
		struct lg_buf buf = LG_BUF_INIT;
		assert_int_equal(lg_text_add_json_string(&buf, &c, 1), 0);
		assert_true(buf.len == 4 || buf.len == 8);
		assert_int_equal(buf.data[1], '\\');
		assert_int_equal(buf.data[2] == 'u', buf.len == 8);
		if (buf.len == 8)
			assert_int_equal(strtol(buf.data + 3, NULL, 16), c);
		lg_buf_clear(&buf);
	}
}

static void test_snippet(void **state)
{
	char shown[LG_SNIPPET_SIZE], text[4 * LG_SNIPPET_SIZE];
	assert_string_equal(lg_text_snippet("a\nb", shown), "a\\x0ab");
	assert_string_equal(lg_text_snippet("", shown), "");
	for (size_t len = LG_SNIPPET_SIZE - 16; len < sizeof text; len++) {
		memset(text, len % 2 ? 'x' : '\n', len);
		text[len] = '\0';
		lg_text_snippet(text, shown);
		assert_true(strlen(shown) < LG_SNIPPET_SIZE);
		assert_int_equal(lg_utf8_valid_prefix(shown, strlen(shown)), strlen(shown));
		if (len >= LG_SNIPPET_SIZE)
			assert_string_equal(shown + strlen(shown) - strlen("…"), "…");
	}
}

/* ---- hex ---- */

static void test_hex_round_trip(void **state)
{
	uint8_t data[256], back[256];
	char text[513];
	for (int i = 0; i < 256; i++)
		data[i] = (uint8_t)i;
	lg_hex_encode(data, sizeof data, text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102030405060708090a0b", 24);
	assert_int_equal(lg_hex_decode(text, back, sizeof back, NULL), 0);
	assert_memory_equal(data, back, sizeof data);
	assert_int_equal(lg_hex_decode("", back, 0, NULL), 0);
}

static const struct row hex[] = {
	{ "both cases", TEXT("aBCd"), "", 0xabcd },
	{ "too short", TEXT("abc"), NULL, 0 },
	{ "too long", TEXT("abcde"), NULL, 0 },
	{ "no digit", TEXT("abcg"), NULL, 0 },
	{ "blank", TEXT(" bcd"), NULL, 0 },
	{ "empty", TEXT(""), NULL, 0 },
};

static void test_hex(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	uint8_t data[2] = { 1, 2 };
	int rc = lg_hex_decode(row->text, data, 2, &err);
	if (!row->want) {
		assert_int_equal(rc, LG_EINVALID);
		assert_non_null(strstr(err.message, "is not 4 hexadecimal digits"));
		assert_int_equal(data[0] << 8 | data[1], 0x0102);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(data[0] << 8 | data[1], row->number);
}

/* ---- integers ---- */

static const struct row integers[] = {
	{ "zero", TEXT("0"), "", 0 },
	{ "minus zero", TEXT("-0"), "", 0 },
	{ "leading zeros", TEXT("007"), "", 7 },
	{ "largest", TEXT("9223372036854775807"), "", INT64_MAX },
	{ "smallest", TEXT("-9223372036854775808"), "", INT64_MIN },
	{ "one too many", TEXT("9223372036854775808"), NULL, 0 },
	{ "one too few", TEXT("-9223372036854775809"), NULL, 0 },
	{ "far too many", TEXT("99999999999999999999999999999999"), NULL, 0 },
	{ "empty", TEXT(""), NULL, 0 },
	{ "sign alone", TEXT("-"), NULL, 0 },
	{ "plus", TEXT("+1"), NULL, 0 },
	{ "blank before", TEXT(" 1"), NULL, 0 },
	{ "blank behind", TEXT("1 "), NULL, 0 },
	{ "newline behind", TEXT("1\n"), NULL, 0 },
	{ "fraction", TEXT("1.0"), NULL, 0 },
	{ "exponent", TEXT("1e3"), NULL, 0 },
	{ "hexadecimal", TEXT("0x10"), NULL, 0 },
	{ "two signs", TEXT("--1"), NULL, 0 },
};

static void check_number(const struct row *row, int rc, int64_t value, const struct lg_error *err)
{
	if (row->want) {
		if (rc < 0)
			fail_msg("'%s' is refused: %s", row->text, err->message);
		assert_int_equal(value, row->number);
		return;
	}
	assert_int_equal(rc, LG_EINVALID);
	assert_int_equal(value, -77); /* untouched */
	assert_true(strlen(err->message) > 0);
	assert_int_equal(lg_utf8_valid_prefix(err->message, strlen(err->message)), strlen(err->message));
}

static void test_integer(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	int64_t value = -77;
	int rc = lg_int_parse(row->text, INT64_MIN, INT64_MAX, &value, &err);
	check_number(row, rc, value, &err);
}

static void test_integer_range(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	int64_t value = 0;
	lg_assert_ok(lg_int_parse("1", 1, 5, &value, &err), &err);
	lg_assert_ok(lg_int_parse("5", 1, 5, &value, &err), &err);
	assert_int_equal(value, 5);
	lg_assert_code(lg_int_parse("0", 1, 5, &value, &err), LG_EINVALID, &err);
	lg_assert_code(lg_int_parse("6", 1, 5, &value, &err), LG_EINVALID, &err);
	assert_string_equal(err.message, "'6' is out of range, allowed is 1 to 5");
	assert_int_equal(value, 5);
}

/* ---- durations ---- */

static const struct row durations[] = {
	{ "nothing", TEXT("0s"), "0s", 0 },
	{ "milliseconds", TEXT("500ms"), "500ms", 500000000 },
	{ "seconds", TEXT("10s"), "10s", 10000000000 },
	{ "minutes", TEXT("5m"), "5m", 300000000000 },
	{ "hours", TEXT("2h"), "2h", 7200000000000 },
	{ "days", TEXT("7d"), "7d", 604800000000000 },
	{ "sum", TEXT("1h30m"), "1h30m", 5400000000000 },
	{ "carried up", TEXT("90s"), "1m30s", 90000000000 },
	{ "hours to days", TEXT("36h"), "1d12h", 129600000000000 },
	{ "all units", TEXT("1d1h1m1s1ms1us1ns"), "1d1h1m1s1ms1us1ns", 90061001001001 },
	{ "one nanosecond", TEXT("1ns"), "1ns", 1 },
	{ "leading zeros", TEXT("007s"), "7s", 7000000000 },
	{ "largest", TEXT("9223372036854775807ns"), "106751d23h47m16s854ms775us807ns", INT64_MAX },
	{ "largest as a sum", TEXT("106751d23h47m16s854ms775us807ns"), "106751d23h47m16s854ms775us807ns",
		INT64_MAX },
	{ "one nanosecond more", TEXT("106751d23h47m16s854ms775us808ns"), NULL, 0 },
	{ "number too large", TEXT("9223372036854775808ns"), NULL, 0 },
	{ "product too large", TEXT("106752d"), NULL, 0 },
	{ "empty", TEXT(""), NULL, 0 },
	{ "no unit", TEXT("10"), NULL, 0 },
	{ "zero without unit", TEXT("0"), NULL, 0 },
	{ "unit alone", TEXT("s"), NULL, 0 },
	{ "negative", TEXT("-5s"), NULL, 0 },
	{ "plus", TEXT("+5s"), NULL, 0 },
	{ "blank inside", TEXT("1h 30m"), NULL, 0 },
	{ "blank behind", TEXT("5s "), NULL, 0 },
	{ "fraction", TEXT("1.5h"), NULL, 0 },
	{ "unit twice", TEXT("1h1h"), NULL, 0 },
	{ "ascending", TEXT("30m1h"), NULL, 0 },
	{ "unknown unit", TEXT("5w"), NULL, 0 },
	{ "upper case", TEXT("5S"), NULL, 0 },
	{ "unit with a tail", TEXT("5sec"), NULL, 0 },
	{ "number at the end", TEXT("1h30"), NULL, 0 },
	{ "escape in the message", TEXT("5\x1b[2Js"), NULL, 0 },
};

static void test_duration(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	int64_t value = -77;
	int rc = lg_duration_parse(row->text, &value, &err);
	check_number(row, rc, value, &err);
	if (!row->want) {
		assert_null(strchr(err.message, '\x1b'));
		return;
	}
	char buf[LG_DURATION_SIZE];
	assert_string_equal(lg_duration_format(value, buf), row->want);
	lg_assert_ok(lg_duration_parse(buf, &value, &err), &err);
	assert_int_equal(value, row->number);
}

static void test_duration_negative_is_formatted(void **state)
{
	char buf[LG_DURATION_SIZE];
	assert_string_equal(lg_duration_format(-90000000000, buf), "-1m30s");
	assert_string_equal(lg_duration_format(INT64_MIN, buf), "-106751d23h47m16s854ms775us808ns");
}

/* ---- sizes ---- */

static const struct row sizes[] = {
	{ "nothing", TEXT("0"), "0B", 0 },
	{ "no unit", TEXT("512"), "512B", 512 },
	{ "bytes", TEXT("1000B"), "1000B", 1000 },
	{ "kB is 1024", TEXT("4kB"), "4KiB", 4096 },
	{ "KiB", TEXT("4KiB"), "4KiB", 4096 },
	{ "MB", TEXT("4MB"), "4MiB", 4194304 },
	{ "MiB", TEXT("4MiB"), "4MiB", 4194304 },
	{ "GB", TEXT("3GB"), "3GiB", 3221225472 },
	{ "GiB", TEXT("3GiB"), "3GiB", 3221225472 },
	{ "TB", TEXT("2TB"), "2TiB", 2199023255552 },
	{ "TiB", TEXT("2TiB"), "2TiB", 2199023255552 },
	{ "largest unit that is exact", TEXT("1536kB"), "1536KiB", 1572864 },
	{ "carried up", TEXT("1024kB"), "1MiB", 1048576 },
	{ "largest", TEXT("9223372036854775807"), "9223372036854775807B", INT64_MAX },
	{ "most TiB", TEXT("8388607TiB"), "8388607TiB", 9223370937343148032 },
	{ "one TiB more", TEXT("8388608TiB"), NULL, 0 },
	{ "number too large", TEXT("9223372036854775808"), NULL, 0 },
	{ "empty", TEXT(""), NULL, 0 },
	{ "unit alone", TEXT("kB"), NULL, 0 },
	{ "negative", TEXT("-1kB"), NULL, 0 },
	{ "fraction", TEXT("1.5kB"), NULL, 0 },
	{ "blank", TEXT("4 kB"), NULL, 0 },
	{ "KB is not kB", TEXT("4KB"), NULL, 0 },
	{ "lower case", TEXT("4mb"), NULL, 0 },
	{ "unit with a tail", TEXT("4kBs"), NULL, 0 },
};

static void test_size(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	int64_t value = -77;
	int rc = lg_size_parse(row->text, &value, &err);
	check_number(row, rc, value, &err);
	if (!row->want)
		return;
	char buf[LG_SIZE_SIZE];
	assert_string_equal(lg_size_format(value, buf), row->want);
	lg_assert_ok(lg_size_parse(buf, &value, &err), &err);
	assert_int_equal(value, row->number);
}

/* ---- times ---- */

static const struct row times[] = {
	{ "epoch", TEXT("1970-01-01T00:00:00Z"), "1970-01-01T00:00:00.000000Z", 0 },
	{ "microseconds", TEXT("2026-11-22T14:03:05.123456Z"), "2026-11-22T14:03:05.123456Z",
		1795356185123456 },
	{ "one digit", TEXT("2026-11-22T14:03:05.5Z"), "2026-11-22T14:03:05.500000Z", 1795356185500000 },
	{ "nine digits are cut", TEXT("2026-11-22T14:03:05.123456999Z"), "2026-11-22T14:03:05.123456Z",
		1795356185123456 },
	{ "lower case", TEXT("2026-11-22t14:03:05z"), "2026-11-22T14:03:05.000000Z", 1795356185000000 },
	{ "offset east", TEXT("2026-11-22T15:33:05+01:30"), "2026-11-22T14:03:05.000000Z", 1795356185000000 },
	{ "offset west", TEXT("2026-11-21T20:03:05-18:00"), "2026-11-22T14:03:05.000000Z", 1795356185000000 },
	{ "unknown local offset", TEXT("2026-11-22T14:03:05-00:00"), "2026-11-22T14:03:05.000000Z",
		1795356185000000 },
	{ "date alone", TEXT("2026-11-22"), "2026-11-22T00:00:00.000000Z", 1795305600000000 },
	{ "minutes", TEXT("2026-11-22 14:03"), "2026-11-22T14:03:00.000000Z", 1795356180000000 },
	{ "seconds", TEXT("2026-11-22 14:03:05"), "2026-11-22T14:03:05.000000Z", 1795356185000000 },
	{ "blank and zone", TEXT("2026-11-22 14:03:05.5Z"), "2026-11-22T14:03:05.500000Z", 1795356185500000 },
	{ "unix seconds", TEXT("@1795356185"), "2026-11-22T14:03:05.000000Z", 1795356185000000 },
	{ "before the epoch", TEXT("@-1"), "1969-12-31T23:59:59.000000Z", -1000000 },
	{ "leap day", TEXT("2024-02-29"), "2024-02-29T00:00:00.000000Z", 1709164800000000 },
	{ "leap day of a 400th year", TEXT("2000-02-29"), "2000-02-29T00:00:00.000000Z", 951782400000000 },
	{ "day behind it", TEXT("2000-03-01"), "2000-03-01T00:00:00.000000Z", 951868800000000 },
	{ "first year", TEXT("0000-01-01"), "0000-01-01T00:00:00.000000Z", -62167219200000000 },
	{ "last year", TEXT("9999-12-31T23:59:59.999999Z"), "9999-12-31T23:59:59.999999Z", 253402300799999999 },
	{ "leap second", TEXT("2016-12-31T23:59:60Z"), "2017-01-01T00:00:00.000000Z", 1483228800000000 },
	{ "leap second elsewhere", TEXT("2017-01-01T05:29:60+05:30"), "2017-01-01T00:00:00.000000Z",
		1483228800000000 },
	{ "sixtieth second by day", TEXT("2016-12-31T12:00:60Z"), NULL, 0 },
	{ "no leap day", TEXT("2023-02-29"), NULL, 0 },
	{ "no leap day in 1900", TEXT("1900-02-29"), NULL, 0 },
	{ "31st of April", TEXT("2026-04-31"), NULL, 0 },
	{ "month 13", TEXT("2026-13-01"), NULL, 0 },
	{ "month 0", TEXT("2026-00-01"), NULL, 0 },
	{ "day 0", TEXT("2026-01-00"), NULL, 0 },
	{ "hour 24", TEXT("2026-11-22T24:00:00Z"), NULL, 0 },
	{ "minute 60", TEXT("2026-11-22T14:60:00Z"), NULL, 0 },
	{ "second 61", TEXT("2026-11-22T23:59:61Z"), NULL, 0 },
	{ "no zone behind T", TEXT("2026-11-22T14:03:05"), NULL, 0 },
	{ "no seconds behind T", TEXT("2026-11-22T14:03Z"), NULL, 0 },
	{ "dot without digits", TEXT("2026-11-22T14:03:05.Z"), NULL, 0 },
	{ "ten digits", TEXT("2026-11-22T14:03:05.1234567890Z"), NULL, 0 },
	{ "offset of 24 hours", TEXT("2026-11-22T14:03:05+24:00"), NULL, 0 },
	{ "offset without colon", TEXT("2026-11-22T14:03:05+0100"), NULL, 0 },
	{ "tail", TEXT("2026-11-22T14:03:05Zx"), NULL, 0 },
	{ "short year", TEXT("226-11-22"), NULL, 0 },
	{ "single digits", TEXT("2026-1-2"), NULL, 0 },
	{ "blank alone behind", TEXT("2026-11-22 "), NULL, 0 },
	{ "empty", TEXT(""), NULL, 0 },
	{ "unix nothing", TEXT("@"), NULL, 0 },
	{ "unix fraction", TEXT("@1.5"), NULL, 0 },
	{ "unix too large", TEXT("@9223372036855"), NULL, 0 },
	{ "unix far too large", TEXT("@99999999999999999999"), NULL, 0 },
};

static void test_time(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	int64_t value = -77;
	int rc = lg_time_parse(row->text, &value, &err);
	check_number(row, rc, value, &err);
	char buf[LG_TIME_SIZE];
	if (row->want)
		assert_string_equal(lg_time_format(value, buf), row->want);
}

/* Every day of 800 years, counted up by hand from 1601. */
static void test_time_every_day(void **state)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t us = -11644473600 * 1000000;
	char buf[LG_TIME_SIZE], want[64];
	for (int year = 1601; year <= 2400; year++)
		for (int month = 1; month <= 12; month++) {
			int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
			for (int day = 1; day <= lengths[month - 1] + leap; day++) {
				int64_t back = 0;
				snprintf(
					want, sizeof want, "%04d-%02d-%02dT23:59:59.999999Z", year, month, day);
				lg_time_format(us + 86399999999, buf);
				if (strcmp(buf, want) != 0 || lg_time_parse(buf, &back, NULL) < 0 ||
					back != us + 86399999999)
					fail_msg("%s is formatted as %s", want, buf);
				us += 86400000000;
			}
		}
}

static void test_time_extremes_are_formatted(void **state)
{
	char buf[LG_TIME_SIZE];
	assert_string_equal(lg_time_format(INT64_MAX, buf), "294247-01-10T04:00:54.775807Z");
	assert_string_equal(lg_time_format(INT64_MIN, buf), "-290308-12-21T19:59:05.224192Z");
	assert_string_equal(lg_time_format(-1, buf), "1969-12-31T23:59:59.999999Z");
}

static void test_starts_with(void **state)
{
	assert_true(lg_starts_with("abc", ""));
	assert_true(lg_starts_with("abc", "abc"));
	assert_false(lg_starts_with("ab", "abc"));
	assert_false(lg_starts_with("xbc", "ab"));
}

static void test_distance(void **state)
{
	char longest[LG_DISTANCE_MAX + 1];
	assert_int_equal(lg_text_distance("kitten", 6, "sitting", 7), 3);
	assert_int_equal(lg_text_distance("web/port", 8, "WEB/prot", 8), 2);
	assert_int_equal(lg_text_distance("", 0, "abc", 3), 3);
	assert_int_equal(lg_text_distance("abc", 3, "", 0), 3);
	assert_int_equal(lg_text_distance("abcd", 2, "abxy", 2), 0);
	memset(longest, 'x', sizeof longest);
	assert_int_equal(lg_text_distance(longest, LG_DISTANCE_MAX, longest, LG_DISTANCE_MAX), 0);
	assert_int_equal(lg_text_distance(longest, LG_DISTANCE_MAX + 1, longest, 3), LG_DISTANCE_MAX);
	assert_int_equal(lg_text_distance(longest, 3, longest, SIZE_MAX), LG_DISTANCE_MAX);
}

int main(void)
{
	ROWS("utf8", test_utf8, utf8);
	ROWS("printable", test_printable, printable);
	ROWS("json", test_json, json);
	ROWS("hex", test_hex, hex);
	ROWS("integer", test_integer, integers);
	ROWS("duration", test_duration, durations);
	ROWS("size", test_size, sizes);
	ROWS("time", test_time, times);
	lg_test_add("utf8: every code point", test_utf8_every_code_point, NULL);
	lg_test_add("json: every control", test_json_every_control, NULL);
	lg_test_add("snippet", test_snippet, NULL);
	lg_test_add("hex: round trip", test_hex_round_trip, NULL);
	lg_test_add("integer: range", test_integer_range, NULL);
	lg_test_add("duration: negative is formatted", test_duration_negative_is_formatted, NULL);
	lg_test_add("time: every day of 800 years", test_time_every_day, NULL);
	lg_test_add("time: extremes are formatted", test_time_extremes_are_formatted, NULL);
	lg_test_add("starts with", test_starts_with, NULL);
	lg_test_add("distance", test_distance, NULL);
	return lg_test_run(__FILE__);
}
