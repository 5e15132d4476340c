/* Strings that broke other systems, and the files of this machine, as keys and as values.  Each is either taken and comes
 * back byte for byte, or refused with a message; a second, plainer reading of the rules says which. */
#include "base/cleanup.h"
#include "model/key.h"
#include "model/value.h"
#include "support/support.h"

#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the rules once more ------------------------------------------------------------------------------------------ */

/* Decodes by the number of leading one bits and judges the code point, where the library judges the bytes. 0: invalid */
static size_t decode(const unsigned char *s, size_t len, uint32_t *ret_point)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t ones = 0;
	while (ones < 8 && (s[0] & (0x80u >> ones)))
		ones++;
	if (ones == 0) {
		*ret_point = s[0];
		return 1;
	}
	if (ones == 1 || ones > 4 || ones > len)
		return 0;
	uint32_t point = s[0] & (0x7fu >> ones);
	for (size_t i = 1; i < ones; i++) {
		if (s[i] / 64 != 2)
			return 0;
		point = point * 64 + s[i] % 64;
	}
	if (point < smallest[ones] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return ones;
}

static bool is_valid_text(const char *text, size_t len)
{
	uint32_t point;
	for (size_t i = 0, n; i < len; i += n) {
		n = decode((const unsigned char *)text + i, len - i, &point);
		if (n == 0 || point == 0)
			return false;
	}
	return true;
}

static bool is_valid_key(const char *text, size_t len)
{
	if (len == 0 || len > LG_KEY_MAX || !is_valid_text(text, len))
		return false;
	uint32_t point;
	for (size_t i = 0; i < len; i += decode((const unsigned char *)text + i, len - i, &point))
		if (decode((const unsigned char *)text + i, len - i, &point),
			point < 32 || (point >= 127 && point < 160))
			return false;
	char framed[LG_KEY_MAX + 3]; /* every segment between two slashes */
	snprintf(framed, sizeof framed, "/%.*s/", (int)len, text);
	if (strstr(framed, "//") || strstr(framed, "/./") || strstr(framed, "/../"))
		return false;
	if (text[0] != '@')
		return true;
	if (strncmp(framed, "/@flag/", 7) == 0)
		return len > 6;
	return strncmp(framed, "/@schema/", 9) == 0 &&
		(framed[9] != '@' || strcmp(framed + 9, "@strict/") == 0);
}

/* --- tries ------------------------------------------------------------------------------------------------------- */

static void try_key(const char *what, const char *text, size_t len)
{
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_key_check(text, len, &err);
	if ((rc == 0) != is_valid_key(text, len))
		fail_msg("%s as a key: %s", what, rc == 0 ? "accepted, but not valid" : err.message);
	if (rc < 0 &&
		(rc != LG_EINVALID || !err.message[0] || !is_valid_text(err.message, strlen(err.message))))
		fail_msg("%s as a key: refused without a readable message", what);
}

/* JSON text for the string, escaping more than the canonical form does. */
static void quote(const char *text, size_t len, struct lg_buf *json)
{
	lg_buf_addc(json, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == '"' || c == '\\' || c == '/' || c == 0x7f)
			lg_buf_addf(json, "\\u%04X", c);
		else
			lg_buf_addc(json, (char)c);
	}
	lg_buf_addc(json, '"');
}

/* Bytes that the canonical form takes. */
static size_t canonical_length(const char *text, size_t len)
{
	size_t sum = 2;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_short = c && strchr("\"\\\b\f\n\r\t", c);
		sum += is_short ? 2 : c < 0x20 ? 6 : 1;
	}
	return sum;
}

/* Returns whether it was accepted. */
static bool try_value(const char *what, const char *text, size_t len)
{
	lg_cleanup(lg_buf_clear) struct lg_buf spelt = LG_BUF_INIT, once = LG_BUF_INIT, twice = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct lg_error err = LG_ERROR_INIT;
	quote(text, len, &spelt);
	assert_false(spelt.failed);
	int rc = lg_value_parse(spelt.data, spelt.len, &once, &err);
	if (rc < 0) {
		if (rc != LG_EINVALID || !err.message[0])
			fail_msg("%s as a value: refused without a message", what);
		if (is_valid_text(text, len) && spelt.len <= LG_VALUE_MAX)
			fail_msg("%s as a value: %s", what, err.message);
		return false;
	}
	if (!is_valid_text(text, len))
		fail_msg("%s as a value: accepted, but not valid", what);
	assert_int_equal(once.len, canonical_length(text, len));
	lg_assert_ok(lg_value_parse(once.data, once.len, &twice, &err), &err);
	assert_int_equal(twice.len, once.len);
	assert_memory_equal(twice.data, once.data, once.len);
	lg_assert_ok(lg_json_parse(twice.data, twice.len, LG_VALUE_MAX, &json, &err), &err);
	if (json_string_length(json) != len || memcmp(json_string_value(json), text, len) != 0)
		fail_msg("%s as a value: came back changed", what);
	return true;
}

/* As written on a command line: any outcome but a crash or a silent change. */
static void try_argument(const char *what, const char *text, size_t len)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT, again = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	if (strlen(text) != len)
		return;
	if (lg_value_from_argument(text, &value, &err) < 0) {
		if (!err.message[0])
			fail_msg("%s as an argument: refused without a message", what);
		return;
	}
	lg_assert_ok(lg_value_parse(value.data, value.len, &again, &err), &err);
	assert_string_equal(value.data, again.data);
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static void test_blns(void **state)
{
	const char *path = getenv("LASTGOOD_BLNS");
	if (!path || !*path) {
		skip();
		return;
	}
	json_error_t error;
	lg_cleanup(lg_json_freep) json_t *list = json_load_file(path, JSON_ALLOW_NUL, &error);
	if (!json_is_array(list))
		fail_msg("'%s' is no JSON list: %s", path, error.text);
	assert_true(json_array_size(list) > 100);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		assert_true(json_is_string(item));
		const char *text = json_string_value(item);
		size_t len = json_string_length(item);
		char what[32];
		snprintf(what, sizeof what, "string %zu", i);
		try_key(what, text, len);
		try_value(what, text, len);
		try_argument(what, text, len);
	}
}

/* A small list of our own, so that this file tests something wherever it runs. */
static void test_own_list(void **state)
{
#define S(literal)                                                                                             \
	{                                                                                                      \
		literal, sizeof literal - 1                                                                    \
	}
	static const struct {
		const char *text;
		size_t len;
	} list[] = { S(""), S("undefined"), S("null"), S("NaN"), S("-1e999"), S("1/0"), S("0x0"), S("\0"),
		S("a\0b"), S("\xef\xbb\xbf"),
		S("\xe2\x80\xae"
		  "evil"),
		S("\xef\xbf\xbe"), S("\xed\xa0\x80"), S("\xc0\xaf"), S("\xf8\x88\x80\x80\x80"),
		S("../../../etc/passwd"), S("%00"), S("$(touch x)"), S("'; DROP TABLE log; --"),
		S("<script>alert(1)</script>"), S("\x1b]0;title\x07"), S("{{template}}"), S("@schema/../x"),
		S("@flag/"), S("\"\\\""), S("\xf4\x8f\xbf\xbf"), S("\xf4\x90\x80\x80"), S("\xc2\x85"),
		S("\xe2\x80\xa8"), S("[[["), S("{\"@secret\":\"\"}"), S("\r\n\t"), S("//"), S("a/./b"),
		S("\xff\xfe") };
#undef S
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		char what[32];
		snprintf(what, sizeof what, "own string %zu", i);
		try_key(what, list[i].text, list[i].len);
		try_value(what, list[i].text, list[i].len);
		try_argument(what, list[i].text, list[i].len);
	}
}

/* --- /etc -------------------------------------------------------------------------------------------------------- */

static size_t accepted, refused;

static int try_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type != FTW_F || !S_ISREG(st->st_mode) || st->st_size > 1024 * 1024)
		return 0;
	size_t len = 0;
	lg_autofree char *text = lg_test_read(path, &len);
	if (!text)
		return 0; /* not readable, or gone by now */
	if (try_value(path, text, len))
		accepted++;
	else
		refused++;
	try_key(path, text, len);
	try_key(path, path + 1, strlen(path + 1));
	try_argument(path, text, len);
	return 0;
}

static void test_etc(void **state)
{
	assert_int_equal(nftw("/etc", try_file, 16, FTW_PHYS), 0);
	print_message("# %zu files accepted, %zu refused\n", accepted, refused);
	assert_true(accepted > 0);
}

LG_TEST_MAIN(cmocka_unit_test(test_own_list), cmocka_unit_test(test_blns), cmocka_unit_test(test_etc))
