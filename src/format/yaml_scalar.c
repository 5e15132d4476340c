/* yaml_scalar.c - which scalars mean something other than their text, for reading and, the other way round, for writing. */
#include "base/cleanup.h"
#include "format/internal.h"

#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool equals(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(text, word, len) == 0;
}

static bool is_one_of(const char *text, size_t len, const char *const words[])
{
	for (size_t i = 0; words[i]; i++)
		if (equals(text, len, words[i]))
			return true;
	return false;
}

static size_t digits(const char *text, size_t len, size_t at)
{
	size_t end = at;
	while (end < len && is_digit(text[end]))
		end++;
	return end - at;
}

/* 0o[0-7]+ and 0x[0-9a-fA-F]+ */
static bool is_based_int(const char *text, size_t len)
{
	if (len < 3 || text[0] != '0' || (text[1] != 'o' && text[1] != 'x'))
		return false;
	const char *set = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
	for (size_t i = 2; i < len; i++)
		if (!text[i] || !strchr(set, text[i]))
			return false;
	return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?  and  [-+]? [0-9]+ */
static enum lg_yaml_kind number_kind(const char *text, size_t len)
{
	size_t at = len && (text[0] == '-' || text[0] == '+') ? 1 : 0;
	size_t whole = digits(text, len, at);
	at += whole;
	if (at == len)
		return whole ? LG_YAML_INT : LG_YAML_STRING;
	if (text[at] == '.') {
		size_t fraction = digits(text, len, at + 1);
		if (!whole && !fraction)
			return LG_YAML_STRING;
		at += 1 + fraction;
	} else if (!whole) {
		return LG_YAML_STRING;
	}
	if (at < len && (text[at] == 'e' || text[at] == 'E')) {
		at++;
		if (at < len && (text[at] == '-' || text[at] == '+'))
			at++;
		size_t exponent = digits(text, len, at);
		if (!exponent)
			return LG_YAML_STRING;
		at += exponent;
	}
	return at == len ? LG_YAML_FLOAT : LG_YAML_STRING;
}

enum lg_yaml_kind lg_yaml_kind(const char *text, size_t len)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };
	static const char *const infinite[] = { ".inf", ".Inf", ".INF", NULL };
	static const char *const nans[] = { ".nan", ".NaN", ".NAN", NULL };

	if (is_one_of(text, len, nulls))
		return LG_YAML_NULL;
	if (is_one_of(text, len, trues))
		return LG_YAML_TRUE;
	if (is_one_of(text, len, falses))
		return LG_YAML_FALSE;
	size_t sign = text[0] == '-' || text[0] == '+' ? 1 : 0;
	if (is_one_of(text + sign, len - sign, infinite) || is_one_of(text, len, nans))
		return LG_YAML_NOT_FINITE;
	return is_based_int(text, len) ? LG_YAML_INT : number_kind(text, len);
}

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

static int parse_int(const char *text, size_t len, int64_t *ret_value)
{
	int base = 10;
	size_t at = 0;
	bool negative = text[0] == '-';
	if (text[0] == '-' || text[0] == '+') {
		at = 1;
	} else if (len > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
		base = text[1] == 'o' ? 8 : 16;
		at = 2;
	}
	int64_t value = 0; /* counted downwards: the negative side is the longer one */
	for (; at < len; at++)
		if (__builtin_mul_overflow(value, base, &value) ||
			__builtin_sub_overflow(value, digit_value(text[at]), &value))
			return -1;
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return -1;
	*ret_value = value;
	return 0;
}

/* Writes the float as JSON writes it (no '+', no bare '.'), so that the JSON reader's exact and locale-free conversion
 * does the work. */
static int float_as_json(const char *text, size_t len, struct lg_buf *buf, struct lg_error *err)
{
	size_t at = 0;
	if (text[0] == '-')
		lg_buf_addc(buf, '-');
	if (text[0] == '-' || text[0] == '+')
		at = 1;
	while (at + 1 < len && text[at] == '0' && is_digit(text[at + 1]))
		at++;
	size_t whole = digits(text, len, at);
	if (whole)
		lg_buf_add(buf, text + at, whole);
	else
		lg_buf_addc(buf, '0');
	at += whole;
	if (at < len && text[at] == '.') {
		size_t fraction = digits(text, len, at + 1);
		lg_buf_addc(buf, '.');
		if (fraction)
			lg_buf_add(buf, text + at + 1, fraction);
		else
			lg_buf_addc(buf, '0');
		at += 1 + fraction;
	} else if (at == len) {
		lg_buf_adds(buf, ".0"); /* an integer that its tag declares a float */
	}
	if (at < len)
		lg_buf_add(buf, text + at, len - at);
	return lg_buf_check(buf, err);
}

int lg_yaml_number(
	enum lg_yaml_kind kind, const char *text, size_t len, json_t **ret_json, struct lg_error *err)
{
	int shown = len > 60 ? 60 : (int)len;
	const char *more = len > 60 ? "…" : "";
	json_t *json = NULL;
	if (kind == LG_YAML_INT) {
		int64_t value;
		if (parse_int(text, len, &value) < 0)
			return lg_fail(err, LG_EINVALID, 0,
				"integer %.*s%s does not fit 64 bits; quote it to keep it as text", shown, text,
				more);
		json = json_integer(value);
		if (!json)
			return lg_fail_nomem(err);
	} else {
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		int rc = float_as_json(text, len, &buf, err);
		if (rc < 0)
			return rc;
		json_error_t error = { 0 };
		json = json_loadb(buf.data, buf.len, JSON_DECODE_ANY, &error);
		if (!json && json_error_code(&error) != json_error_numeric_overflow)
			return lg_fail_nomem(err); /* it is a JSON number: nothing else can be wrong with it */
		if (!json)
			return lg_fail(err, LG_EINVALID, 0, "number %.*s%s is beyond the range of a double",
				shown, text, more);
	}
	*ret_json = json;
	return 0;
}

/* Numbers and times as YAML 1.1 has them (0b1, 1_000, 1:30:00, 2001-12-14 21:59:43 -5) and everything that looks so. */
static bool looks_like_number(const char *text, size_t len)
{
	size_t at = 0;
	while (at < len && (text[at] == '-' || text[at] == '+' || text[at] == '.'))
		at++;
	if (at == len || !is_digit(text[at]))
		return false;
	for (; at < len; at++)
		if (!text[at] || !strchr("0123456789abcdefABCDEFxXoO_.:+-tTzZ ", text[at]))
			return false;
	return true;
}

static bool is_old_word(const char *text, size_t len)
{
	static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~",
		"<<", "=", ".inf", "+.inf", "-.inf", ".nan", NULL };
	for (size_t i = 0; words[i]; i++)
		if (strlen(words[i]) == len && strncasecmp(text, words[i], len) == 0)
			return true;
	return false;
}

static bool is_plain_start(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80 ||
		(c && strchr("_/.$(;^+\\", (char)c));
}

static bool is_plain_inside(unsigned char c)
{
	return is_plain_start(c) || (c && strchr(" -=@%~)*&!<>|?:'", (char)c));
}

bool lg_yaml_may_be_plain(const char *text, size_t len)
{
	if (len == 0 || len > 1000 || !is_plain_start((unsigned char)text[0]) || text[len - 1] == ' ')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_plain_inside((unsigned char)text[i]))
			return false;
		if (text[i] == ':' && (i + 1 == len || text[i + 1] == ' '))
			return false;
	}
	if (len >= 3 && memcmp(text, "...", 3) == 0)
		return false;
	return lg_yaml_kind(text, len) == LG_YAML_STRING && !is_old_word(text, len) &&
		!looks_like_number(text, len);
}
