/* yaml_emit.c - JSON to YAML in block style, through libyaml's emitter.
 *
 * The emitter escapes and indents; which style a string gets is decided here: plain only where YAML 1.2 and 1.1 agree that it
 * is that string, a literal block for well-behaved text of several lines, else quoted.
 */
#include "format/yaml_emit.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "model/value.h"

#include <limits.h>
#include <string.h>

static int write_bytes(void *data, unsigned char *bytes, size_t size)
{
	return lg_buf_add(data, bytes, size) == 0;
}

static int emit(struct lg_yaml_emitter *out, yaml_event_t *event, int made, struct lg_error *err)
{
	if (!made || !yaml_emitter_emit(&out->emitter, event)) {
		if (!made || out->emitter.error == YAML_MEMORY_ERROR || out->buf->failed)
			return lg_fail_nomem(err);
		return lg_fail(err, LG_EINTERNAL, 0, "cannot write YAML: %s",
			out->emitter.problem ? out->emitter.problem : "the emitter gives no reason");
	}
	return 0;
}

/* --- strings ----------------------------------------------------------------------------------------------------- */

/* NEL, LS and PS: libyaml takes them for line breaks */
static bool is_odd_break(const char *text, size_t left)
{
	return (left >= 2 && memcmp(text, "\xc2\x85", 2) == 0) ||
		(left >= 3 && (memcmp(text, "\xe2\x80\xa8", 3) == 0 || memcmp(text, "\xe2\x80\xa9", 3) == 0));
}

static bool has_only_graphics(const char *text, size_t len, bool with_newlines)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c < 0x20 && !(c == '\n' && with_newlines)) || c == 0x7f || is_odd_break(text + i, len - i))
			return false;
	}
	return true;
}

/* Text of whole lines, without the blanks at ends of lines and beginnings of blocks that need indentation hints. */
static bool fits_literal(const char *text, size_t len)
{
	if (!memchr(text, '\n', len) || text[0] == '\n' || text[0] == ' ' ||
		!has_only_graphics(text, len, true))
		return false;
	for (size_t i = 0; i < len; i++) {
		bool ends_line = i + 1 == len || text[i + 1] == '\n';
		if (text[i] == ' ' && ends_line)
			return false;
	}
	return len < 2 || memcmp(text + len - 2, "\n\n", 2) != 0;
}

static yaml_scalar_style_t string_style(const char *text, size_t len, bool may_be_literal)
{
	if (lg_yaml_may_be_plain(text, len) && has_only_graphics(text, len, false))
		return YAML_PLAIN_SCALAR_STYLE;
	if (may_be_literal && fits_literal(text, len))
		return YAML_LITERAL_SCALAR_STYLE;
	bool escapes = memchr(text, '"', len) || memchr(text, '\\', len);
	if (escapes && !memchr(text, '\'', len) && has_only_graphics(text, len, false))
		return YAML_SINGLE_QUOTED_SCALAR_STYLE;
	return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

static int emit_scalar(struct lg_yaml_emitter *out, const char *text, size_t len, yaml_scalar_style_t style,
	struct lg_error *err)
{
	if (len > INT_MAX)
		return lg_fail(err, LG_EINVALID, 0, "a string of %zu bytes is too long for YAML", len);
	yaml_event_t event;
	int made = yaml_scalar_event_initialize(
		&event, NULL, NULL, (const yaml_char_t *)text, (int)len, 1, 1, style);
	return emit(out, &event, made, err);
}

static int emit_string(
	struct lg_yaml_emitter *out, const char *text, size_t len, bool may_be_literal, struct lg_error *err)
{
	if (lg_utf8_valid_prefix(text, len) != len)
		return lg_fail(err, LG_EINVALID, 0, "a string is not valid UTF-8");
	if (memchr(text, '\0', len))
		return lg_fail(err, LG_EINVALID, 0, "a string holds U+0000, which is not allowed");
	return emit_scalar(out, text, len, string_style(text, len, may_be_literal), err);
}

/* --- values ------------------------------------------------------------------------------------------------------ */

/* The canonical digits, so written that YAML 1.1 takes them for a float too: 1e20 is 1.0e+20. */
static int emit_real(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf canonical = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_json_canonical(json, &canonical, err);
	if (rc < 0)
		return rc;
	const char *exponent = strchr(canonical.data, 'e');
	if (exponent) {
		lg_buf_add(&text, canonical.data, (size_t)(exponent - canonical.data));
		if (!memchr(canonical.data, '.', (size_t)(exponent - canonical.data)))
			lg_buf_adds(&text, ".0");
		lg_buf_adds(&text, exponent[1] == '-' ? "e" : "e+");
		lg_buf_adds(&text, exponent + 1);
	} else {
		lg_buf_add(&text, canonical.data, canonical.len);
	}
	rc = lg_buf_check(&text, err);
	return rc < 0 ? rc : emit_scalar(out, text.data, text.len, YAML_PLAIN_SCALAR_STYLE, err);
}

static int emit_integer(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
	return emit_scalar(out, text, (size_t)len, YAML_PLAIN_SCALAR_STYLE, err);
}

static int emit_array(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err)
{
	yaml_event_t event;
	yaml_sequence_style_t style =
		json_array_size(json) ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
	int rc = emit(out, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style), err);
	for (size_t i = 0; rc == 0 && i < json_array_size(json); i++)
		rc = lg_yaml_emitter_value(out, json_array_get(json, i), err);
	return rc < 0 ? rc : emit(out, &event, yaml_sequence_end_event_initialize(&event), err);
}

static int emit_object(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err)
{
	/* jansson's iterators want a mutable object and change nothing in it */
	json_t *object = (json_t *)(uintptr_t)json;
	int rc = lg_yaml_emitter_open(out, json_object_size(json) == 0, err);
	for (void *it = json_object_iter(object); rc == 0 && it; it = json_object_iter_next(object, it)) {
		rc = lg_yaml_emitter_key(out, json_object_iter_key(it), json_object_iter_key_len(it), err);
		if (rc == 0)
			rc = lg_yaml_emitter_value(out, json_object_iter_value(it), err);
	}
	return rc < 0 ? rc : lg_yaml_emitter_close(out, err);
}

static int emit_collection(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err)
{
	if (out->depth >= LG_YAML_DEPTH)
		return lg_fail(err, LG_EINVALID, 0, "nested more than %d levels deep", LG_YAML_DEPTH);
	if (json_is_object(json))
		return emit_object(out, json, err);
	out->depth++;
	int rc = emit_array(out, json, err);
	out->depth--;
	return rc;
}

int lg_yaml_emitter_value(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		return emit_collection(out, json, err);
	case JSON_STRING:
		return emit_string(out, json_string_value(json), json_string_length(json), out->depth > 0, err);
	case JSON_INTEGER:
		return emit_integer(out, json, err);
	case JSON_REAL:
		return emit_real(out, json, err);
	case JSON_TRUE:
		return emit_scalar(out, "true", 4, YAML_PLAIN_SCALAR_STYLE, err);
	case JSON_FALSE:
		return emit_scalar(out, "false", 5, YAML_PLAIN_SCALAR_STYLE, err);
	case JSON_NULL:
		return emit_scalar(out, "null", 4, YAML_PLAIN_SCALAR_STYLE, err);
	}
	return lg_fail(err, LG_EINTERNAL, 0, "unknown kind of JSON value");
}

int lg_yaml_emitter_key(struct lg_yaml_emitter *out, const char *key, size_t len, struct lg_error *err)
{
	return emit_string(out, key, len, false, err);
}

int lg_yaml_emitter_open(struct lg_yaml_emitter *out, bool empty, struct lg_error *err)
{
	yaml_event_t event;
	yaml_mapping_style_t style = empty ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
	int rc = emit(out, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style), err);
	if (rc == 0)
		out->depth++;
	return rc;
}

int lg_yaml_emitter_close(struct lg_yaml_emitter *out, struct lg_error *err)
{
	yaml_event_t event;
	out->depth--;
	return emit(out, &event, yaml_mapping_end_event_initialize(&event), err);
}

/* --- the stream -------------------------------------------------------------------------------------------------- */

int lg_yaml_emitter_begin(struct lg_yaml_emitter *out, struct lg_buf *buf, struct lg_error *err)
{
	*out = (struct lg_yaml_emitter){ .buf = buf, .start = buf->len };
	if (!yaml_emitter_initialize(&out->emitter))
		return lg_fail_nomem(err);
	yaml_emitter_set_output(&out->emitter, write_bytes, buf);
	yaml_emitter_set_encoding(&out->emitter, YAML_UTF8_ENCODING);
	yaml_emitter_set_unicode(&out->emitter, 1);
	yaml_emitter_set_width(&out->emitter, -1);
	yaml_event_t event;
	int rc = emit(out, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), err);
	return rc < 0
		? rc
		: emit(out, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), err);
}

int lg_yaml_emitter_end(struct lg_yaml_emitter *out, int rc, struct lg_error *err)
{
	yaml_event_t event;
	if (rc == 0)
		rc = emit(out, &event, yaml_document_end_event_initialize(&event, 1), err);
	if (rc == 0)
		rc = emit(out, &event, yaml_stream_end_event_initialize(&event), err);
	yaml_emitter_delete(&out->emitter);
	if (rc < 0 && out->buf->data) { /* takes back what was written so far */
		out->buf->len = out->start;
		out->buf->data[out->start] = '\0';
	}
	return rc;
}

int lg_yaml_emit(const json_t *json, struct lg_buf *buf, struct lg_error *err)
{
	struct lg_yaml_emitter out;
	int rc = lg_yaml_emitter_begin(&out, buf, err);
	if (rc == 0)
		rc = lg_yaml_emitter_value(&out, json, err);
	return lg_yaml_emitter_end(&out, rc, err);
}
