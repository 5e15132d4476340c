#include "hostile.h"

#include "base/cleanup.h"
#include "model/value.h"
#include "support/support.h"

const char *const hostile_strings[] = { "", " ", "  ", "\t", "\n", "\r", "\r\n", "a\r\nb", "\\", "\\\\", "'",
	"\"", "''", "\"\"", "'\"", "a'b\"c\\d", "null", "Null", "NULL", "~", "true", "True", "TRUE", "false",
	"yes", "no", "Yes", "NO", "on", "off", "y", "n", "Y", "N", "0", "-0", "+0", "1", "-1", "+1", "01",
	"007", "0644", "0o17", "0x1f", "0b101", "1_000", "1:30", "12:30:45", "1.0", "1.", ".5", "-.5", "+.5",
	"1e3", "1e+3", "1.5E-7", "1e999", ".inf", "-.inf", "+.INF", ".nan", ".NaN", "NaN", "Infinity",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616",
	"2001-12-14", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43", "<<", "=", "-", "--", "---",
	"--- a", "...", "... b", "- a", "-a", "?", "? a", ":", "a:", "a: b", ":a", "a :b", "a:b", "#", "# a",
	"a #b", "a#b", "a # b", ",", "a,b", "[", "]", "[]", "[1]", "{", "}", "{}", "{\"a\":1}", "{{", "{{{{",
	"&a", "*a", "!a", "!!str", "!", "|", "|-", ">", ">+", "%", "%YAML", "@a", "`a`", "$HOME", "${HOME}",
	"$(id)", "`id`", "a;b", "a&b", "a|b", "a>b", "a b", " a", "a ", "\ta", "a\t", "a\tb", "a\nb", "a\n",
	"\na", "\n\n", "a\n\n", "a\n\nb\n", " a\nb", "a \nb", "a\n b", "a\n  b\n   c", "a\n\tb", "#a\nb",
	"- a\n- b\n", "a: b\nc: d\n", "---\n", "a\n---\nb", "a\n...\nb", "%TAG\nx", "trailing\\",
	"trailing\\\\", "back\\nslash", "\\u0041", "\\ud800", "\\x41", "export A=b", "A=b", "a=b", "=a",
	"a = b", "!a=b", "#a=b", "\x01", "\x1b[31m", "\x7f", "\xc2\x80", "\xc2\x85",
	"a\xc2\x85"
	"b",
	"\xc2\xa0", "a\xc2\xa0", "\xe2\x80\xa8",
	"a\xe2\x80\xa9"
	"b",
	"\xe2\x80\xae", "\xef\xbb\xbf", "a\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xef\xbf\xbd",
	"\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf",
	"gr\xc3\xbc\xc3\x9f"
	"e",
	"\xe6\x97\xa5\xe6\x9c\xac", "e\xcc\x81", "%s%n%d", "../../etc/passwd", "a__b", "__", "@secret", "value",
	"configurations", NULL };

uint64_t hostile_next(struct hostile_rng *rng)
{
	/* splitmix64 */
	uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

size_t hostile_below(struct hostile_rng *rng, size_t bound)
{
	return (size_t)(hostile_next(rng) % bound);
}

bool hostile_file_is_set(void)
{
	const char *path = getenv("LASTGOOD_BLNS");
	return path && *path;
}

json_t *hostile_file(void)
{
	const char *path = getenv("LASTGOOD_BLNS");
	json_t *list = json_load_file(path, JSON_ALLOW_NUL, NULL);
	if (!json_is_array(list))
		fail_msg("'%s' holds no JSON array", path);
	return list;
}

static size_t put_code_point(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	to[0] = (char)(lead[more] | (c >> (6 * more)));
	for (size_t i = 1; i <= more; i++)
		to[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
	return more + 1;
}

static uint32_t random_code_point(struct hostile_rng *rng)
{
	static const char special[] = "\"'\\:#-?{}[],&*!|>%@`=$~. \t\n\r/_0123456789aeotrnx";
	switch (hostile_below(rng, 8)) {
	case 0:
		return (uint32_t)hostile_below(rng, 0x1f) + 1;
	case 1:
		return (uint32_t)hostile_below(rng, 0x780) + 0x80;
	case 2:
		return (uint32_t)hostile_below(rng, 0x2000) + 0xe000;
	case 3:
		return (uint32_t)hostile_below(rng, 0x100000) + 0x10000;
	default:
		return (unsigned char)special[hostile_below(rng, sizeof special - 1)];
	}
}

json_t *hostile_string(struct hostile_rng *rng)
{
	size_t known = 0;
	while (hostile_strings[known])
		known++;
	size_t kind = hostile_below(rng, 10);
	if (kind < 4)
		return json_string(hostile_strings[hostile_below(rng, known)]);
	char text[4 * 300 + 1];
	size_t len = 0;
	size_t length = kind == 9 ? 300 : hostile_below(rng, 12);
	for (size_t i = 0; i < length; i++) {
		uint32_t c = kind < 6 ? (uint32_t)hostile_below(rng, 95) + 32 : random_code_point(rng);
		len += put_code_point(text + len, c);
	}
	return json_stringn(text, len);
}

static json_t *hostile_number(struct hostile_rng *rng)
{
	static const json_int_t ints[] = { 0, 1, -1, 10, 644, INT64_MAX, INT64_MIN };
	static const double reals[] = { 0.0, 1.0, -1.5, 0.1, 1e20, 1e21, 1e-7, 2.5e-7, 1.7976931348623157e308,
		5e-324, 1e15, 1e16 };
	switch (hostile_below(rng, 4)) {
	case 0:
		return json_integer(ints[hostile_below(rng, sizeof ints / sizeof *ints)]);
	case 1:
		return json_integer((json_int_t)hostile_next(rng));
	case 2:
		return json_real(reals[hostile_below(rng, sizeof reals / sizeof *reals)]);
	default:
		return json_real(
			(double)(int64_t)hostile_next(rng) / (double)(hostile_below(rng, 1000000) + 1));
	}
}

json_t *hostile_value(struct hostile_rng *rng, int depth)
{
	size_t kind = hostile_below(rng, depth > 0 ? 8 : 5);
	if (kind == 0)
		return hostile_number(rng);
	if (kind == 1)
		return hostile_below(rng, 3) ? json_boolean(hostile_below(rng, 2)) : json_null();
	if (kind < 5)
		return hostile_string(rng);
	size_t count = hostile_below(rng, 5);
	if (kind == 5) {
		json_t *list = json_array();
		for (size_t i = 0; i < count; i++)
			json_array_append_new(list, hostile_value(rng, depth - 1));
		return list;
	}
	json_t *map = json_object();
	for (size_t i = 0; i < count; i++) {
		json_t *key = hostile_string(rng);
		json_object_set_new(map, json_string_value(key), hostile_value(rng, depth - 1));
		json_decref(key);
	}
	return map;
}

char *hostile_canonical(const json_t *json)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_assert_ok(lg_json_canonical(json, &buf, &err), &err);
	return lg_buf_steal(&buf);
}
