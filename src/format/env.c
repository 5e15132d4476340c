#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"
#include "model/key.h"
#include "model/value.h"

#include <string.h>

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(const char *text)
{
	if (!is_name_start(*text))
		return false;
	for (; *text; text++)
		if (!is_name_start(*text) && !(*text >= '0' && *text <= '9'))
			return false;
	return true;
}

/* "web__port" → "web/port"; from the left: "a___b" is "a/_b". */
static int key_of(const char *name, struct lg_buf *key, struct lg_error *err)
{
	for (const char *c = name; *c; c++) {
		bool slash = c[0] == '_' && c[1] == '_';
		lg_buf_addc(key, slash ? '/' : *c);
		c += slash;
	}
	return lg_buf_check(key, err);
}

/* --- parse ------------------------------------------------------------------------------------------------------- */

static size_t skip_blanks(const struct lg_flat *flat, size_t at)
{
	while (at < flat->len && (flat->text[at] == ' ' || flat->text[at] == '\t'))
		at++;
	return at;
}

static size_t line_end(const struct lg_flat *flat, size_t at)
{
	const char *end = at < flat->len ? memchr(flat->text + at, '\n', flat->len - at) : NULL;
	return end ? (size_t)(end - flat->text) : flat->len;
}

static int fail_open(const struct lg_flat *flat, size_t open, struct lg_error *err)
{
	return lg_fail_at(err, flat->name, flat->text, open, "the quote %c is not closed", flat->text[open]);
}

static int take_single(
	const struct lg_flat *flat, size_t open, struct lg_buf *value, size_t *ret_end, struct lg_error *err)
{
	const char *begin = flat->text + open + 1;
	const char *close = memchr(begin, '\'', flat->len - open - 1);
	if (!close)
		return fail_open(flat, open, err);
	lg_buf_add(value, begin, (size_t)(close - begin));
	*ret_end = (size_t)(close - flat->text) + 1;
	return 0;
}

/* A backslash before anything else than these stands for itself, as in a shell. */
static void unescape(char c, struct lg_buf *value)
{
	switch (c) {
	case 'n':
		lg_buf_addc(value, '\n');
		break;
	case 't':
		lg_buf_addc(value, '\t');
		break;
	case 'r':
		lg_buf_addc(value, '\r');
		break;
	case '\n': /* the line goes on */
		break;
	case '"':
	case '\\':
	case '$':
	case '`':
		lg_buf_addc(value, c);
		break;
	default:
		lg_buf_addc(value, '\\');
		lg_buf_addc(value, c);
		break;
	}
}

static int take_double(
	const struct lg_flat *flat, size_t open, struct lg_buf *value, size_t *ret_end, struct lg_error *err)
{
	for (size_t at = open + 1; at < flat->len; at++) {
		char c = flat->text[at];
		if (c == '"') {
			*ret_end = at + 1;
			return 0;
		}
		if (c != '\\')
			lg_buf_addc(value, c);
		else if (++at < flat->len)
			unescape(flat->text[at], value);
	}
	return fail_open(flat, open, err);
}

/* Up to the end of the line or " #", without the blanks around. */
static size_t take_bare(const struct lg_flat *flat, size_t start, bool after_blank, struct lg_buf *value)
{
	size_t end = line_end(flat, start);
	size_t stop = start;
	for (; stop < end; stop++) {
		bool blank_before = stop > start ? flat->text[stop - 1] == ' ' || flat->text[stop - 1] == '\t'
						 : after_blank;
		if (flat->text[stop] == '#' && blank_before)
			break;
	}
	while (stop > start && strchr(" \t\r", flat->text[stop - 1]))
		stop--;
	lg_buf_add(value, flat->text + start, stop - start);
	return end;
}

/* Behind a closing quote only a comment may follow. */
static int check_rest(const struct lg_flat *flat, size_t at, size_t *ret_end, struct lg_error *err)
{
	size_t end = line_end(flat, at);
	size_t next = skip_blanks(flat, at);
	bool comment = next < end && next > at && flat->text[next] == '#';
	bool carriage_return = next + 1 == end && flat->text[next] == '\r';
	if (next < end && !comment && !carriage_return)
		return lg_fail_at(err, flat->name, flat->text, next, "there is text behind the closing quote");
	*ret_end = end;
	return 0;
}

static int take_value(const struct lg_flat *flat, size_t equals, struct lg_buf *value,
	enum lg_flat_style *ret_style, size_t *ret_end, struct lg_error *err)
{
	size_t start = skip_blanks(flat, equals + 1);
	char quote = start < flat->len ? flat->text[start] : '\0';
	size_t at = start;
	int rc;
	if (quote == '\'') {
		*ret_style = LG_FLAT_LITERAL;
		rc = take_single(flat, start, value, &at, err);
	} else if (quote == '"') {
		*ret_style = LG_FLAT_TEXT;
		rc = take_double(flat, start, value, &at, err);
	} else {
		*ret_style = LG_FLAT_BARE;
		*ret_end = take_bare(flat, start, start > equals + 1, value);
		return lg_buf_check(value, err);
	}
	if (rc == 0)
		rc = check_rest(flat, at, ret_end, err);
	return rc < 0 ? rc : lg_buf_check(value, err);
}

/* text[start…equals) without "export" and blanks */
static int take_name(
	const struct lg_flat *flat, size_t start, size_t equals, struct lg_buf *name, struct lg_error *err)
{
	static const char export[] = "export";
	size_t behind = start + strlen(export);
	if (behind < equals && memcmp(flat->text + start, export, strlen(export)) == 0 &&
		skip_blanks(flat, behind) > behind && skip_blanks(flat, behind) < equals)
		start = skip_blanks(flat, behind);
	while (equals > start && (flat->text[equals - 1] == ' ' || flat->text[equals - 1] == '\t'))
		equals--;
	lg_buf_add(name, flat->text + start, equals - start);
	return lg_buf_check(name, err);
}

static int take_line(struct lg_flat *flat, size_t start, size_t *ret_end, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf key = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	const char *equals = memchr(flat->text + start, '=', line_end(flat, start) - start);
	if (!equals)
		return lg_fail_at(err, flat->name, flat->text, start, "the line is not NAME=VALUE");
	size_t equals_at = (size_t)(equals - flat->text);
	int rc = take_name(flat, start, equals_at, &name, err);
	if (rc < 0)
		return rc;
	enum lg_flat_style style;
	rc = take_value(flat, equals_at, &value, &style, ret_end, err);
	if (rc < 0)
		return rc;
	if (!is_name(lg_buf_str(&name))) {
		lg_problems_add(flat->problems, lg_buf_str(&name),
			"the name of a variable has only letters, digits and '_', and no digit first");
		return 0;
	}
	rc = key_of(name.data, &key, err);
	return rc < 0 ? rc : lg_flat_add(flat, key.data, lg_buf_str(&value), value.len, style, start, err);
}

int lg_env_parse(struct lg_flat *flat, struct lg_error *err)
{
	size_t at = 0;
	while (at < flat->len) {
		at = skip_blanks(flat, at);
		if (at == flat->len)
			break;
		if (flat->text[at] == '\n' || flat->text[at] == '\r') {
			at++;
			continue;
		}
		if (flat->text[at] == '#') {
			at = line_end(flat, at);
			continue;
		}
		int rc = take_line(flat, at, &at, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- emit -------------------------------------------------------------------------------------------------------- */

/* The name must lead back to the key: "a__b" would come back as "a/b". */
static int name_of(const char *key, struct lg_buf *name, bool *ret_ok, struct lg_error *err)
{
	for (const char *c = key; *c; c++) {
		if (*c == '/')
			lg_buf_adds(name, "__");
		else
			lg_buf_addc(name, *c);
	}
	lg_cleanup(lg_buf_clear) struct lg_buf back = LG_BUF_INIT;
	int rc = key_of(lg_buf_str(name), &back, err);
	if (rc == 0)
		rc = lg_buf_check(name, err);
	if (rc == 0)
		*ret_ok = is_name(lg_buf_str(name)) && strcmp(lg_buf_str(&back), key) == 0;
	return rc;
}

static bool is_safe_bare(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_name_start(text[i]) && !(text[i] >= '0' && text[i] <= '9') &&
			!strchr("./:@%+,-", text[i]))
			return false;
	return len > 0;
}

static void add_double(const char *text, size_t len, struct lg_buf *buf)
{
	lg_buf_addc(buf, '"');
	for (size_t i = 0; i < len; i++) {
		if (strchr("\"\\$`", text[i]))
			lg_buf_addc(buf, '\\');
		lg_buf_addc(buf, text[i]);
	}
	lg_buf_addc(buf, '"');
}

/* A line break stands as itself in both kinds of quotes: what a shell would not turn \n into. */
static int emit_string(const char *text, size_t len, struct lg_buf *buf, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct lg_error ignored = LG_ERROR_INIT;
	int like_json = lg_flat_json(text, len, &json, &ignored);
	if (like_json < 0 && like_json != LG_EINVALID)
		return lg_fail(err, like_json, 0, "%s", ignored.message);
	if (!like_json && is_safe_bare(text, len)) {
		lg_buf_add(buf, text, len);
	} else if (!memchr(text, '\'', len) && !json_is_object(json) && !json_is_array(json)) {
		lg_buf_addc(buf, '\'');
		lg_buf_add(buf, text, len);
		lg_buf_addc(buf, '\'');
	} else {
		add_double(text, len, buf);
	}
	return 0;
}

/* In single quotes; a ' can only be inside a JSON string, where it may be written as an escape. */
static void emit_collection(const struct lg_item *item, struct lg_buf *buf)
{
	lg_buf_addc(buf, '\'');
	for (size_t i = 0; i < item->value_len; i++) {
		if (item->value[i] == '\'')
			lg_buf_adds(buf, "\\u0027");
		else
			lg_buf_addc(buf, item->value[i]);
	}
	lg_buf_addc(buf, '\'');
}

static int emit_value(const struct lg_item *item, struct lg_buf *buf, struct lg_error *err)
{
	if (item->value[0] == '{' || item->value[0] == '[') {
		emit_collection(item, buf);
		return 0;
	}
	if (item->value[0] != '"') {
		lg_buf_add(buf, item->value, item->value_len);
		return 0;
	}
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_json_parse(item->value, item->value_len, LG_IMPORT_MAX, &json, err);
	if (rc < 0)
		return lg_context(err, rc, "value of '%s'", item->key);
	return emit_string(json_string_value(json), json_string_length(json), buf, err);
}

int lg_env_emit(
	const struct lg_items *items, struct lg_buf *buf, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *item = &items->items[i];
		if (lg_starts_with(item->key, LG_SCHEMA_SPACE))
			continue;
		bool ok = false;
		lg_buf_reset(&name);
		int rc = name_of(item->key, &name, &ok, err);
		if (rc < 0)
			return rc;
		if (!ok) {
			lg_problems_add(problems, item->key,
				"no variable can have this name: only letters, digits and single '_', no digit "
				"first");
			continue;
		}
		lg_buf_add(buf, name.data, name.len);
		lg_buf_addc(buf, '=');
		rc = emit_value(item, buf, err);
		if (rc < 0)
			return rc;
		lg_buf_addc(buf, '\n');
	}
	return lg_buf_check(buf, err);
}
