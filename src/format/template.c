#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"
#include "model/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct rendering {
	const char *name;
	const char *text;
	size_t len;
	lg_template_lookup *lookup;
	void *arg;
	struct lg_buf *buf;
	struct lg_error *err;
};

/* What stands between the braces, and where the opening ones stand. */
struct tag {
	size_t start;
	const char *key;
	size_t key_len;
	const char *fallback; /* NULL: the key must be there */
	size_t fallback_len;
};

static int fail_tag(const struct rendering *t, size_t offset, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail_tag(const struct rendering *t, size_t offset, int code, const char *fmt, ...)
{
	char message[LG_ERROR_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	struct lg_position at = lg_position_at(t->text, offset);
	return lg_fail(t->err, code, 0, "%s:%zu:%zu: %s", t->name, at.line, at.column, message);
}

/* A copy of hostile text that a message can show. */
static const char *printable(struct lg_buf *buf, const char *text, size_t len)
{
	lg_text_add_printable(buf, text, len > 200 ? 200 : len);
	return lg_buf_str(buf);
}

static bool has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
		/* C1: U+0080…U+009F, NEL among them */
		if (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static int substitute(const struct rendering *t, const struct tag *tag, const char *value, size_t len)
{
	if (!len || value[0] != '"') {
		lg_buf_add(t->buf, value, len);
		return 0;
	}
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_json_parse(value, len, LG_IMPORT_MAX, &json, t->err);
	if (rc < 0)
		return lg_context(t->err, rc, "value of '%.*s'", (int)tag->key_len, tag->key);
	const char *text = json_string_value(json);
	size_t text_len = json_string_length(json);
	if (has_control(text, text_len))
		return fail_tag(t, tag->start, LG_EINVALID,
			"the value of '%.*s' has a line break or another control character, which could change "
			"the file's structure",
			(int)tag->key_len, tag->key);
	lg_buf_add(t->buf, text, text_len);
	return 0;
}

static int render_tag(const struct rendering *t, const struct tag *tag)
{
	lg_cleanup(lg_buf_clear) struct lg_buf shown = LG_BUF_INIT;
	if (!tag->key_len)
		return fail_tag(t, tag->start, LG_EINVALID, "the tag names no key");
	if (has_control(tag->key, tag->key_len) || lg_utf8_valid_prefix(tag->key, tag->key_len) != tag->key_len)
		return fail_tag(t, tag->start, LG_EINVALID, "'%s' cannot be the name of a key",
			printable(&shown, tag->key, tag->key_len));
	const char *value = NULL;
	size_t len = 0;
	int rc = t->lookup(t->arg, tag->key, tag->key_len, &value, &len);
	if (rc < 0)
		return fail_tag(
			t, tag->start, rc, "cannot look up '%s'", printable(&shown, tag->key, tag->key_len));
	if (rc > 0)
		return substitute(t, tag, value, len);
	if (!tag->fallback)
		return fail_tag(t, tag->start, LG_EINVALID,
			"there is no key '%s'; write {{KEY|default}} if it may be absent",
			printable(&shown, tag->key, tag->key_len));
	lg_buf_add(t->buf, tag->fallback, tag->fallback_len);
	return 0;
}

/* Blanks around the name are for the reader; default text is taken as it stands. */
static struct tag split_tag(size_t start, const char *inside, size_t len)
{
	struct tag tag = { .start = start, .key = inside, .key_len = len };
	const char *bar = memchr(inside, '|', len);
	if (bar) {
		tag.key_len = (size_t)(bar - inside);
		tag.fallback = bar + 1;
		tag.fallback_len = len - tag.key_len - 1;
	}
	while (tag.key_len && (*tag.key == ' ' || *tag.key == '\t')) {
		tag.key++;
		tag.key_len--;
	}
	while (tag.key_len && (tag.key[tag.key_len - 1] == ' ' || tag.key[tag.key_len - 1] == '\t'))
		tag.key_len--;
	return tag;
}

/* text[start] begins "{{"; *ret_end is where the text goes on. */
static int take_tag(const struct rendering *t, size_t start, size_t *ret_end)
{
	const char *inside = t->text + start + 2;
	size_t left = t->len - start - 2;
	const char *end = memmem(inside, left, "}}", 2);
	bool comment = left && inside[0] == '!';
	/* A tag other than a comment ends on its line: so a forgotten "}}" is found where it is missing. */
	if (!end || (!comment && memchr(inside, '\n', (size_t)(end - inside))))
		return fail_tag(t, start, LG_EINVALID, "the tag is not closed by '}}'");
	*ret_end = (size_t)(end - t->text) + 2;
	if (comment)
		return 0;
	struct tag tag = split_tag(start, inside, (size_t)(end - inside));
	return render_tag(t, &tag);
}

static int render(const struct rendering *t)
{
	size_t at = 0;
	while (at < t->len) {
		const char *open = memmem(t->text + at, t->len - at, "{{", 2);
		size_t start = open ? (size_t)(open - t->text) : t->len;
		lg_buf_add(t->buf, t->text + at, start - at);
		at = start;
		if (!open)
			break;
		if (t->len - start >= 4 && memcmp(open, "{{{{", 4) == 0) {
			lg_buf_adds(t->buf, "{{");
			at = start + 4;
			continue;
		}
		int rc = take_tag(t, start, &at);
		if (rc < 0)
			return rc;
	}
	return lg_buf_check(t->buf, t->err);
}

int lg_template_render(const char *name, const char *text, size_t len, lg_template_lookup *lookup, void *arg,
	struct lg_buf *buf, struct lg_error *err)
{
	struct rendering t = { name, text, len, lookup, arg, buf, err };
	size_t before = buf->len;
	int rc = render(&t);
	if (rc < 0 && buf->data) {
		buf->len = before;
		buf->data[before] = '\0';
	}
	return rc;
}
