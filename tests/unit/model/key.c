#include "model/key.h"

#include "support/support.h"

#include <string.h>

#define L(literal) literal, sizeof literal - 1

struct row {
	const char *name;
	const char *key;
	size_t len;
	const char *refused; /* part of the message, or NULL */
};

static const struct row keys[] = {
	{ "one segment", L("session_timeout_minutes"), NULL },
	{ "two segments", L("billing/max_concurrent_jobs"), NULL },
	{ "one letter", L("x"), NULL },
	{ "a blank inside", L("a b/c d"), NULL },
	{ "dots beside letters", L("a/.b/..c/d..."), NULL },
	{ "three dots", L("..."), NULL },
	{ "umlauts", L("größe/überlauf"), NULL },
	{ "emoji", L("flags/\xf0\x9f\x9a\x80"), NULL },
	{ "last code point", L("\xf4\x8f\xbf\xbf"), NULL },
	{ "no-break space, the first behind C1", L("a\xc2\xa0z"), NULL },
	{ "quotes and backslash", L("a\"b\\c'd"), NULL },
	{ "at sign in a later segment", L("web/@x"), NULL },
	{ "at sign inside the first segment", L("a@b"), NULL },
	{ "declaration", L("@schema/web/port"), NULL },
	{ "strictness", L("@schema/@strict"), NULL },
	{ "flag", L("@flag/new_checkout"), NULL },
	{ "flag with segments", L("@flag/a/b"), NULL },
	{ "empty", L(""), "the key is empty" },
	{ "leading slash", L("/a"), "empty segment at byte 1" },
	{ "trailing slash", L("a/"), "empty segment at byte 3" },
	{ "double slash", L("web//x"), "empty segment at byte 5" },
	{ "only a slash", L("/"), "empty segment at byte 1" },
	{ "dot", L("."), "segment '.' or '..' at byte 1" },
	{ "dot dot", L(".."), "segment '.' or '..' at byte 1" },
	{ "dot dot inside", L("a/../b"), "segment '.' or '..' at byte 3" },
	{ "dot at the end", L("a/."), "segment '.' or '..' at byte 3" },
	{ "newline", L("a\nb"), "control character at byte 2" },
	{ "NUL", L("a\0b"), "control character at byte 2" },
	{ "escape", L("\x1b[31m"), "control character at byte 1" },
	{ "DEL", L("ab\x7f"), "control character at byte 3" },
	{ "C1", L("a\xc2\x85"), "control character at byte 2" },
	{ "last of C1", L("\xc2\x9f"), "control character at byte 1" },
	{ "lone continuation byte", L("a\x80"), "invalid UTF-8 at byte 2" },
	{ "overlong slash", L("a\xc0\xaf"), "invalid UTF-8 at byte 2" },
	{ "surrogate", L("\xed\xa0\x80"), "invalid UTF-8 at byte 1" },
	{ "beyond Unicode", L("\xf4\x90\x80\x80"), "invalid UTF-8 at byte 1" },
	{ "cut short", L("abc\xe2\x82"), "invalid UTF-8 at byte 4" },
	{ "reserved without a space", L("@foo"), "reserved" },
	{ "other reserved space", L("@control/x"), "reserved" },
	{ "schema without key", L("@schema"), "reserved" },
	{ "schema with empty key", L("@schema/"), "empty segment" },
	{ "flag without name", L("@flag"), "reserved" },
	{ "declaration of a flag", L("@schema/@flag/x"), "no declaration" },
	{ "declaration of a declaration", L("@schema/@schema/x"), "no declaration" },
	{ "below strict", L("@schema/@strict/x"), "no declaration" },
	{ "begins like strict", L("@schema/@strictly"), "no declaration" },
	{ "only an at sign", L("@"), "reserved" },
};

static void expect(int rc, const struct lg_error *err, const char *refused)
{
	if (!refused) {
		if (rc != 0)
			fail_msg("refused: %s", err->message);
		return;
	}
	assert_int_equal(rc, LG_EINVALID);
	if (!strstr(err->message, refused))
		fail_msg("'%s' is not in: %s", refused, err->message);
	assert_null(strpbrk(err->message, "\n\x1b"));
}

static void test_key(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	expect(lg_key_check(row->key, row->len, &err), &err, row->refused);
	assert_int_equal(lg_key_check(row->key, row->len, NULL), row->refused ? LG_EINVALID : 0);
}

/* What a person may set is every accepted key outside of the reserved spaces. */
static void test_setting(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	bool accepted = !row->refused && row->key[0] != '@';
	assert_int_equal(lg_key_check_setting(row->key, row->len, &err), accepted ? 0 : LG_EINVALID);
}

static const struct row prefixes[] = {
	{ "one segment", L("web/"), NULL },
	{ "two segments", L("web/tmp/"), NULL },
	{ "all declarations", L("@schema/"), NULL },
	{ "some declarations", L("@schema/web/"), NULL },
	{ "all flags", L("@flag/"), NULL },
	{ "some flags", L("@flag/a/"), NULL },
	{ "a key", L("web"), "ends in '/'" },
	{ "empty", L(""), "ends in '/'" },
	{ "only a slash", L("/"), "empty" },
	{ "double slash", L("web//"), "empty segment" },
	{ "dot dot", L("../"), "'.' or '..'" },
	{ "control", L("a\tb/"), "control character" },
	{ "unknown space", L("@foo/"), "reserved" },
	{ "strict is a key", L("@schema/@strict/"), "no declaration" },
	{ "flags of the schema", L("@schema/@flag/"), "no declaration" },
};

static void test_prefix(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	expect(lg_prefix_check(row->key, row->len, &err), &err, row->refused);
}

static void test_length(void **state)
{
	char key[LG_KEY_MAX + 2];
	struct lg_error err = LG_ERROR_INIT;
	memset(key, 'k', sizeof key);
	lg_assert_ok(lg_key_check(key, LG_KEY_MAX, &err), &err);
	assert_int_equal(lg_key_check(key, LG_KEY_MAX + 1, &err), LG_EINVALID);
	assert_non_null(strstr(err.message, "513 bytes long, the limit is 512"));
	key[LG_KEY_MAX] = '/';
	lg_assert_ok(lg_prefix_check(key, LG_KEY_MAX + 1, &err), &err);
	char longer[4 * LG_KEY_MAX];
	memset(longer, 'k', sizeof longer);
	assert_int_equal(lg_key_check(longer, sizeof longer, &err), LG_EINVALID);
	assert_true(strlen(err.message) < 300);
}

/* The text is not NUL-terminated: the length alone counts. */
static void test_no_terminator(void **state)
{
	char *exact = malloc(3);
	assert_non_null(exact);
	memcpy(exact, "a/b", 3);
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_key_check(exact, 3, &err), &err);
	assert_int_equal(lg_key_check(exact, 2, &err), LG_EINVALID);
	lg_assert_ok(lg_prefix_check(exact, 2, &err), &err);
	memcpy(exact, "@sc", 3);
	assert_int_equal(lg_key_check(exact, 3, &err), LG_EINVALID);
	assert_int_equal(lg_prefix_check(exact, 3, &err), LG_EINVALID);
	memcpy(exact, "ab\xc2", 3);
	assert_int_equal(lg_key_check(exact, 3, &err), LG_EINVALID);
	free(exact);
}

#define ROWS(group, function, rows)                                                                            \
	lg_test_rows(                                                                                          \
		group, function, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name))

int main(void)
{
	ROWS("key", test_key, keys);
	ROWS("setting", test_setting, keys);
	ROWS("prefix", test_prefix, prefixes);
	lg_test_add("length", test_length, NULL);
	lg_test_add("no terminator", test_no_terminator, NULL);
	return lg_test_run("model_key");
}
