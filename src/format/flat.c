/* flat.c - what env and properties have in common: lines of names and texts, and how a text can be a JSON value. */
#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"
#include "model/value.h"

#include <string.h>

static size_t skip_digits(const char *text, size_t len, size_t at)
{
	while (at < len && text[at] >= '0' && text[at] <= '9')
		at++;
	return at;
}

/* RFC 8259, section 6 */
static bool is_number(const char *text, size_t len)
{
	size_t at = len && text[0] == '-' ? 1 : 0;
	size_t end = skip_digits(text, len, at);
	if (end == at || (text[at] == '0' && end > at + 1))
		return false;
	at = end;
	if (at < len && text[at] == '.') {
		end = skip_digits(text, len, at + 1);
		if (end == at + 1)
			return false;
		at = end;
	}
	if (at < len && (text[at] == 'e' || text[at] == 'E')) {
		at++;
		if (at < len && (text[at] == '+' || text[at] == '-'))
			at++;
		end = skip_digits(text, len, at);
		if (end == at)
			return false;
		at = end;
	}
	return at == len;
}

static void trim(const char **text, size_t *len)
{
	static const char blanks[] = " \t\r\n"; /* those of JSON */
	while (*len && **text && strchr(blanks, **text)) {
		++*text;
		--*len;
	}
	while (*len && (*text)[*len - 1] && strchr(blanks, (*text)[*len - 1]))
		--*len;
}

int lg_flat_json(const char *text, size_t len, json_t **ret_json, struct lg_error *err)
{
	trim(&text, &len);
	if (!len || len > LG_VALUE_MAX || !text[0] || !strchr("{[\"-0123456789tfn", text[0]))
		return 0;
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_json_parse(text, len, LG_VALUE_MAX, ret_json, &why);
	if (rc == 0)
		return 1;
	if (rc != LG_EINVALID)
		return lg_fail(err, rc, 0, "%s", why.message);
	if (is_number(text, len))
		return lg_fail(err, LG_EINVALID, 0, "number %.60s%s is too large; quote it to keep it as text",
			text, len > 60 ? "…" : "");
	return 0;
}

/* --- entries ----------------------------------------------------------------------------------------------------- */

static size_t line_of(struct lg_flat *flat, size_t offset)
{
	for (; flat->line_at < offset; flat->line_at++)
		flat->line += flat->text[flat->line_at] == '\n';
	return flat->line;
}

static int check_new(struct lg_flat *flat, const char *key, size_t offset, size_t line, struct lg_error *err)
{
	if (!flat->seen && !(flat->seen = json_object()))
		return lg_fail_nomem(err);
	const json_t *first = json_object_get(flat->seen, key);
	if (first) {
		lg_cleanup(lg_buf_clear) struct lg_buf shown = LG_BUF_INIT;
		lg_text_add_printable(&shown, key, strlen(key));
		return lg_fail_at(err, flat->name, flat->text, offset,
			"'%.200s' is set twice, first on line %lld", lg_buf_str(&shown),
			(long long)json_integer_value(first));
	}
	if (json_object_set_new_nocheck(flat->seen, key, json_integer((json_int_t)line)) < 0)
		return lg_fail_nomem(err);
	return 0;
}

/* 1 and *ret_json: the text is JSON in this style; 0: it is itself */
static int read_value(
	const char *text, size_t len, enum lg_flat_style style, json_t **ret_json, struct lg_error *err)
{
	if (style == LG_FLAT_TEXT)
		return 0;
	int rc = lg_flat_json(text, len, ret_json, err);
	if (style == LG_FLAT_BARE)
		return rc;
	if (rc == LG_EINVALID)
		return 0;
	if (rc > 0 && !json_is_object(*ret_json) && !json_is_array(*ret_json)) {
		json_decref(*ret_json);
		*ret_json = NULL;
		return 0;
	}
	return rc;
}

int lg_flat_add(struct lg_flat *flat, const char *key, const char *value, size_t len, enum lg_flat_style style,
	size_t offset, struct lg_error *err)
{
	size_t line = line_of(flat, offset);
	int rc = check_new(flat, key, offset, line, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct lg_error why = LG_ERROR_INIT;
	rc = read_value(value, len, style, &json, &why);
	if (rc == LG_EINVALID) {
		lg_problems_add(flat->problems, key, "%s", why.message);
		return 0;
	}
	if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	bool is_json = rc > 0;
	if (!is_json && !(json = json_stringn_nocheck(value, len)))
		return lg_fail_nomem(err);
	/* what is quoted, be it as a JSON string, has no bare text: the quotes say that it is a string already */
	bool quoted = is_json ? json_is_string(json) : style != LG_FLAT_BARE;
	return lg_items_add_json(flat->items, key, json, quoted ? NULL : value, line, flat->problems, err);
}

void lg_flat_clear(struct lg_flat *flat)
{
	json_decref(flat->seen);
	flat->seen = NULL;
}
