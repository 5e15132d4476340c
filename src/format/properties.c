/* properties.c - as java.util.Properties.load and store describe them (Java SE API), with UTF-8 for text.
 *
 * The reader goes character by character over the logical line: escapes are decoded and line continuations skipped in one
 * place (next_char), so that nothing above has to know of them.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"
#include "model/key.h"
#include "model/value.h"

#include <string.h>

/* One character of a logical line. */
struct property_char {
	char bytes[4];
	size_t len;   /* 0: the line has ended */
	bool escaped; /* it is only itself: separates nothing */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static size_t skip_blanks(const struct lg_flat *flat, size_t at)
{
	while (at < flat->len && is_blank(flat->text[at]))
		at++;
	return at;
}

/* --- parse ------------------------------------------------------------------------------------------------------- */

/* The four digits behind \u at `at`. */
static int take_unit(const struct lg_flat *flat, size_t at, uint32_t *ret_unit, struct lg_error *err)
{
	uint32_t unit = 0;
	for (size_t i = 0; i < 4; i++) {
		char c = at + i < flat->len ? flat->text[at + i] : '\0';
		const char *digits = "0123456789abcdef";
		const char *digit = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;
		if (!digit)
			return lg_fail_at(
				err, flat->name, flat->text, at - 2, "\\u wants four hexadecimal digits");
		unit = unit * 16 + (uint32_t)(digit - digits);
	}
	*ret_unit = unit;
	return 0;
}

static size_t encode(uint32_t c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	to[0] = (char)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | (c >> (6 * more)));
	for (size_t i = 1; i <= more; i++)
		to[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
	return more + 1;
}

/* *at stands behind the "\u"; two surrogates in a row are one character. */
static int take_unicode(const struct lg_flat *flat, size_t *at, struct property_char *ret, struct lg_error *err)
{
	size_t start = *at - 2;
	uint32_t c = 0, low = 0;
	int rc = take_unit(flat, *at, &c, err);
	if (rc < 0)
		return rc;
	*at += 4;
	if (c >= 0xd800 && c < 0xdc00 && *at + 1 < flat->len && flat->text[*at] == '\\' &&
		flat->text[*at + 1] == 'u') {
		rc = take_unit(flat, *at + 2, &low, err);
		if (rc < 0)
			return rc;
		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			*at += 6;
		}
	}
	if (c >= 0xd800 && c < 0xe000)
		return lg_fail_at(err, flat->name, flat->text, start, "half of a surrogate pair stands alone");
	if (c == 0)
		return lg_fail_at(err, flat->name, flat->text, start, "\\u0000 is not allowed");
	ret->len = encode(c, ret->bytes);
	ret->escaped = true;
	return 0;
}

static size_t skip_line_break(const struct lg_flat *flat, size_t at)
{
	return at + (flat->text[at] == '\r' && at + 1 < flat->len && flat->text[at + 1] == '\n' ? 2 : 1);
}

/* *at stands on a backslash that escapes something.  A continued line yields no character: ret->len stays 0. */
static int take_escape(const struct lg_flat *flat, size_t *at, struct property_char *ret, struct lg_error *err)
{
	static const char letters[] = "tnrf", controls[] = "\t\n\r\f";
	size_t next = *at + 1;
	if (next == flat->len) { /* Java drops it */
		*at = next;
		return 0;
	}
	char c = flat->text[next];
	if (c == '\n' || c == '\r') {
		*at = skip_blanks(flat, skip_line_break(flat, next));
		return 0;
	}
	*at = next + 1;
	if (c == 'u')
		return take_unicode(flat, at, ret, err);
	const char *letter = strchr(letters, c);
	ret->bytes[0] = letter ? controls[letter - letters] : c;
	ret->len = 1; /* further bytes of a UTF-8 character follow as characters of their own */
	ret->escaped = true;
	return 0;
}

static int next_char(const struct lg_flat *flat, size_t *at, struct property_char *ret, struct lg_error *err)
{
	*ret = (struct property_char){ 0 };
	while (*at < flat->len && flat->text[*at] != '\n' && flat->text[*at] != '\r') {
		if (flat->text[*at] != '\\') {
			ret->bytes[0] = flat->text[(*at)++];
			ret->len = 1;
			return 0;
		}
		int rc = take_escape(flat, at, ret, err);
		if (rc < 0 || ret->len)
			return rc;
	}
	return 0;
}

static bool is_unescaped(const struct property_char *c, const char *set)
{
	return c->len && !c->escaped && strchr(set, c->bytes[0]);
}

/* The key, and what separates it from the value: blanks, at most one '=' or ':', blanks. */
static int take_key(const struct lg_flat *flat, size_t *at, struct lg_buf *key, struct lg_error *err)
{
	struct property_char c;
	bool ended = false, separated = false;
	for (;;) {
		size_t before = *at;
		int rc = next_char(flat, at, &c, err);
		if (rc < 0)
			return rc;
		if (!c.len)
			return lg_buf_check(key, err);
		if (is_unescaped(&c, " \t\f")) {
			ended = true;
		} else if (!separated && is_unescaped(&c, "=:")) {
			ended = separated = true;
		} else if (ended) {
			*at = before;
			return lg_buf_check(key, err);
		} else {
			lg_buf_add(key, c.bytes, c.len);
		}
	}
}

static int take_value(const struct lg_flat *flat, size_t *at, struct lg_buf *value, struct lg_error *err)
{
	struct property_char c;
	for (;;) {
		int rc = next_char(flat, at, &c, err);
		if (rc < 0)
			return rc;
		if (!c.len)
			return lg_buf_check(value, err);
		lg_buf_add(value, c.bytes, c.len);
	}
}

static int take_line(struct lg_flat *flat, size_t *at, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf key = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	size_t start = *at;
	int rc = take_key(flat, at, &key, err);
	if (rc == 0)
		rc = take_value(flat, at, &value, err);
	if (rc < 0)
		return rc;
	if (!key.len)
		return lg_fail_at(err, flat->name, flat->text, start, "the line has no key");
	return lg_flat_add(flat, key.data, lg_buf_str(&value), value.len, LG_FLAT_BARE, start, err);
}

int lg_properties_parse(struct lg_flat *flat, struct lg_error *err)
{
	size_t at = 0;
	while (at < flat->len) {
		at = skip_blanks(flat, at);
		if (at == flat->len)
			break;
		char c = flat->text[at];
		if (c == '\n' || c == '\r') {
			at++;
		} else if (c == '#' || c == '!') { /* a comment does not continue */
			while (at < flat->len && flat->text[at] != '\n' && flat->text[at] != '\r')
				at++;
		} else {
			int rc = take_line(flat, &at, err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* --- emit -------------------------------------------------------------------------------------------------------- */

/* The control characters, and the blanks that a reader or an editor would take away. */
static bool add_special(char c, struct lg_buf *buf)
{
	switch (c) {
	case '\\':
		lg_buf_adds(buf, "\\\\");
		return true;
	case '\t':
		lg_buf_adds(buf, "\\t");
		return true;
	case '\n':
		lg_buf_adds(buf, "\\n");
		return true;
	case '\r':
		lg_buf_adds(buf, "\\r");
		return true;
	case '\f':
		lg_buf_adds(buf, "\\f");
		return true;
	default:
		if ((unsigned char)c >= 0x20 && c != 0x7f)
			return false;
		lg_buf_addf(buf, "\\u%04x", (unsigned)c);
		return true;
	}
}

static void add_key(const char *key, struct lg_buf *buf)
{
	for (; *key; key++) {
		if (add_special(*key, buf))
			continue;
		if (strncmp(key, "\xef\xbb\xbf", 3) ==
			0) { /* it would pass for a byte order mark at the start of a file */
			lg_buf_adds(buf, "\\ufeff");
			key += 2;
			continue;
		}
		if (strchr(" =:#!", *key))
			lg_buf_addc(buf, '\\');
		lg_buf_addc(buf, *key);
	}
}

static void add_value(const char *text, size_t len, struct lg_buf *buf)
{
	for (size_t i = 0; i < len; i++) {
		if (add_special(text[i], buf))
			continue;
		if (text[i] == ' ' && i + 1 == len)
			lg_buf_adds(buf, "\\u0020");
		else if (text[i] == ' ' && i == 0)
			lg_buf_adds(buf, "\\ ");
		else
			lg_buf_addc(buf, text[i]);
	}
}

static int emit_value(const struct lg_item *item, struct lg_buf *buf, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *string = NULL;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct lg_error ignored = LG_ERROR_INIT;
	if (item->value[0] == '"') {
		int rc = lg_json_parse(item->value, item->value_len, LG_IMPORT_MAX, &string, err);
		if (rc < 0)
			return lg_context(err, rc, "value of '%s'", item->key);
		const char *text = json_string_value(string);
		size_t len = json_string_length(string);
		rc = lg_flat_json(text, len, &json, &ignored);
		if (rc < 0 && rc != LG_EINVALID)
			return lg_fail(err, rc, 0, "%s", ignored.message);
		if (rc == 0) {
			add_value(text, len, buf);
			return 0;
		}
	}
	add_value(item->value, item->value_len, buf);
	return 0;
}

int lg_properties_emit(const struct lg_items *items, struct lg_buf *buf, struct lg_error *err)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *item = &items->items[i];
		if (lg_starts_with(item->key, LG_SCHEMA_SPACE))
			continue;
		add_key(item->key, buf);
		lg_buf_addc(buf, '=');
		int rc = emit_value(item, buf, err);
		if (rc < 0)
			return rc;
		lg_buf_addc(buf, '\n');
	}
	return lg_buf_check(buf, err);
}
