/* yaml.c - YAML to JSON, from libyaml's events.
 *
 * The tree is built without recursion on a fixed stack of frames, one per open collection.  An alias shares the node of its
 * anchor, so memory never grows with what aliases expand to; what whoever walks the result would pay is counted instead: each
 * node knows its weight (nodes, bytes and levels with all aliases followed), and the limits hold for the sum of weights.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"
#include "model/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define MAX_DIRECTIVES 64
#define CORE_TAG       "tag:yaml.org,2002:"

struct weight {
	size_t nodes;
	size_t bytes;
	unsigned levels;
};

struct anchor {
	json_t *json; /* NULL while its node is still open: an alias to it there would make a loop */
	struct weight weight;
};

struct frame {
	json_t *json; /* an object or an array */
	char *key;    /* of an object: the key that waits for its value */
	size_t key_len;
	size_t anchor; /* index + 1, 0: none */
	struct weight weight;
};

struct reader {
	const char *name;
	const char *text;
	yaml_parser_t parser;
	json_t *names; /* of anchors: name → index */
	struct anchor *anchors;
	size_t anchor_count;
	size_t anchor_size;
	struct frame frames[LG_YAML_DEPTH];
	size_t depth;
	json_t *root;
	struct weight total;
	struct lg_error *err;
};

/* --- errors ------------------------------------------------------------------------------------------------------ */

static int fail_mark(struct reader *reader, const yaml_mark_t *mark, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail_mark(struct reader *reader, const yaml_mark_t *mark, const char *fmt, ...)
{
	char message[LG_ERROR_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	return lg_fail(reader->err, LG_EINVALID, 0, "%s: line %zu column %zu: %s", reader->name,
		(size_t)mark->line + 1, (size_t)mark->column + 1, message);
}

static int fail_parser(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "it is not valid YAML";
	if (parser->error == YAML_MEMORY_ERROR)
		return lg_fail_nomem(reader->err);
	if (parser->error == YAML_READER_ERROR)
		return lg_fail_at(
			reader->err, reader->name, reader->text, parser->problem_offset, "%s", problem);
	return fail_mark(reader, &parser->problem_mark, "%s%s%s", problem, parser->context ? " " : "",
		parser->context ? parser->context : "");
}

/* --- building ---------------------------------------------------------------------------------------------------- */

static int count(struct reader *reader, const struct weight *weight, const yaml_mark_t *mark)
{
	reader->total.nodes += weight->nodes;
	reader->total.bytes += weight->bytes;
	if (reader->total.nodes > LG_YAML_NODES)
		return fail_mark(reader, mark, "more than %d values once aliases are followed", LG_YAML_NODES);
	if (reader->total.bytes > LG_IMPORT_MAX)
		return fail_mark(reader, mark, "more than %zu bytes once aliases are followed", LG_IMPORT_MAX);
	if (reader->depth + weight->levels > LG_YAML_DEPTH)
		return fail_mark(reader, mark, "nested more than %d levels deep", LG_YAML_DEPTH);
	return 0;
}

/* Puts a finished node where it belongs.  Takes over json, also on failure. */
static int place(struct reader *reader, json_t *json, const struct weight *weight)
{
	if (!reader->depth) {
		reader->root = json;
		return 0;
	}
	struct frame *frame = &reader->frames[reader->depth - 1];
	frame->weight.nodes += weight->nodes;
	frame->weight.bytes += weight->bytes;
	if (weight->levels >= frame->weight.levels)
		frame->weight.levels = weight->levels + 1;
	int rc;
	if (json_is_array(frame->json)) {
		rc = json_array_append_new(frame->json, json);
	} else {
		rc = json_object_setn_new_nocheck(frame->json, frame->key, frame->key_len, json);
		free(frame->key);
		frame->key = NULL;
	}
	return rc < 0 ? lg_fail_nomem(reader->err) : 0;
}

static bool wants_key(const struct reader *reader)
{
	const struct frame *frame = reader->depth ? &reader->frames[reader->depth - 1] : NULL;
	return frame && json_is_object(frame->json) && !frame->key;
}

static int set_key(struct reader *reader, const char *text, size_t len, const yaml_mark_t *mark)
{
	struct frame *frame = &reader->frames[reader->depth - 1];
	if (json_object_getn(frame->json, text, len)) {
		lg_cleanup(lg_buf_clear) struct lg_buf shown = LG_BUF_INIT;
		lg_text_add_printable(&shown, text, len);
		return fail_mark(reader, mark, "duplicate key '%.200s'", lg_buf_str(&shown));
	}
	struct weight weight = { .bytes = len };
	int rc = count(reader, &weight, mark);
	if (rc < 0)
		return rc;
	frame->weight.bytes += len;
	frame->key = malloc(len + 1);
	if (!frame->key)
		return lg_fail_nomem(reader->err);
	memcpy(frame->key, text, len);
	frame->key[len] = '\0';
	frame->key_len = len;
	return 0;
}

/* --- anchors ----------------------------------------------------------------------------------------------------- */

/* An anchor's name may be used again: from here on it stands for the new node. */
static int open_anchor(struct reader *reader, const yaml_char_t *name, size_t *ret_anchor)
{
	if (!name) {
		*ret_anchor = 0;
		return 0;
	}
	if (reader->anchor_count == reader->anchor_size) {
		size_t size = reader->anchor_size ? reader->anchor_size * 2 : 16;
		struct anchor *grown = reallocarray(reader->anchors, size, sizeof *grown);
		if (!grown)
			return lg_fail_nomem(reader->err);
		reader->anchors = grown;
		reader->anchor_size = size;
	}
	if (!reader->names && !(reader->names = json_object()))
		return lg_fail_nomem(reader->err);
	size_t index = reader->anchor_count;
	if (json_object_set_new_nocheck(reader->names, (const char *)name, json_integer((json_int_t)index)) < 0)
		return lg_fail_nomem(reader->err);
	reader->anchors[reader->anchor_count++] = (struct anchor){ 0 };
	*ret_anchor = index + 1;
	return 0;
}

static void close_anchor(struct reader *reader, size_t anchor, json_t *json, const struct weight *weight)
{
	if (anchor)
		reader->anchors[anchor - 1] = (struct anchor){ .json = json_incref(json), .weight = *weight };
}

static int take_alias(struct reader *reader, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	const json_t *index = json_object_get(reader->names, name);
	if (!index)
		return fail_mark(reader, &event->start_mark, "alias '*%.200s' has no anchor before it", name);
	const struct anchor *anchor = &reader->anchors[json_integer_value(index)];
	if (!anchor->json)
		return fail_mark(
			reader, &event->start_mark, "alias '*%.200s' stands inside its own anchor", name);
	if (wants_key(reader)) {
		if (!json_is_string(anchor->json))
			return fail_mark(
				reader, &event->start_mark, "alias '*%.200s' as a key is no string", name);
		return set_key(reader, json_string_value(anchor->json), json_string_length(anchor->json),
			&event->start_mark);
	}
	int rc = count(reader, &anchor->weight, &event->start_mark);
	return rc < 0 ? rc : place(reader, json_incref(anchor->json), &anchor->weight);
}

/* --- scalars ----------------------------------------------------------------------------------------------------- */

static int from_kind(
	struct reader *reader, const yaml_event_t *event, enum lg_yaml_kind kind, json_t **ret_json)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	json_t *json = NULL;
	switch (kind) {
	case LG_YAML_STRING:
		json = json_stringn_nocheck(text, len);
		break;
	case LG_YAML_NULL:
		json = json_null();
		break;
	case LG_YAML_TRUE:
		json = json_true();
		break;
	case LG_YAML_FALSE:
		json = json_false();
		break;
	case LG_YAML_INT:
	case LG_YAML_FLOAT: {
		struct lg_error why = LG_ERROR_INIT;
		int rc = lg_yaml_number(kind, text, len, &json, &why);
		if (rc == LG_ENOMEM)
			return lg_fail_nomem(reader->err);
		if (rc < 0)
			return fail_mark(reader, &event->start_mark, "%s", why.message);
		break;
	}
	case LG_YAML_NOT_FINITE:
		return fail_mark(reader, &event->start_mark,
			"NaN and infinity are no JSON numbers; quote '%s' to keep it as text", text);
	}
	if (!json)
		return lg_fail_nomem(reader->err);
	*ret_json = json;
	return 0;
}

/* An explicit core tag says how the text is to be read, quoted or not. */
static int tagged_kind(
	struct reader *reader, const yaml_event_t *event, enum lg_yaml_kind plain, enum lg_yaml_kind *ret_kind)
{
	const char *tag = (const char *)event->data.scalar.tag;
	const char *type = lg_starts_with(tag, CORE_TAG) ? tag + strlen(CORE_TAG) : "";
	bool fits;
	if (strcmp(type, "str") == 0) {
		*ret_kind = LG_YAML_STRING;
		return 0;
	} else if (strcmp(type, "null") == 0) {
		fits = plain == LG_YAML_NULL;
	} else if (strcmp(type, "bool") == 0) {
		fits = plain == LG_YAML_TRUE || plain == LG_YAML_FALSE;
	} else if (strcmp(type, "int") == 0) {
		fits = plain == LG_YAML_INT;
	} else if (strcmp(type, "float") == 0) {
		const char *value = (const char *)event->data.scalar.value;
		bool based = plain == LG_YAML_INT && (strchr(value, 'x') || strchr(value, 'o'));
		fits = (plain == LG_YAML_INT && !based) || plain == LG_YAML_FLOAT ||
			plain == LG_YAML_NOT_FINITE;
		if (plain == LG_YAML_INT)
			plain = LG_YAML_FLOAT;
	} else {
		return fail_mark(
			reader, &event->start_mark, "tag '%.200s' is not one of the core schema's", tag);
	}
	if (!fits)
		return fail_mark(reader, &event->start_mark, "the value is no %s, as its tag says it is", type);
	*ret_kind = plain;
	return 0;
}

static int take_scalar(struct reader *reader, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	const yaml_mark_t *mark = &event->start_mark;
	if (memchr(text, '\0', len))
		return fail_mark(reader, mark, "U+0000 is not allowed in a string");
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	enum lg_yaml_kind kind = LG_YAML_STRING;
	if (plain || event->data.scalar.tag)
		kind = lg_yaml_kind(text, len);
	if (event->data.scalar.tag) {
		int rc = tagged_kind(reader, event, kind, &kind);
		if (rc < 0)
			return rc;
	}
	bool is_key = wants_key(reader);
	if (is_key && kind != LG_YAML_STRING)
		return fail_mark(reader, mark, "a key must be a string: quote '%.200s'", text);
	if (is_key && plain && strcmp(text, "<<") == 0)
		return fail_mark(
			reader, mark, "merge keys are not part of YAML 1.2: quote '<<' if it is a name");

	size_t anchor = 0;
	int rc = open_anchor(reader, event->data.scalar.anchor, &anchor);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct weight weight = { .nodes = 1, .bytes = len };
	if (!is_key || anchor) {
		rc = from_kind(reader, event, kind, &json);
		if (rc < 0)
			return rc;
		close_anchor(reader, anchor, json, &weight);
	}
	if (is_key)
		return set_key(reader, text, len, mark);
	rc = count(reader, &weight, mark);
	return rc < 0 ? rc : place(reader, lg_steal_ptr(&json), &weight);
}

/* --- collections ------------------------------------------------------------------------------------------------- */

static int open_collection(struct reader *reader, const yaml_event_t *event)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag = is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
	const yaml_char_t *name = is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
	const char *core = is_map ? CORE_TAG "map" : CORE_TAG "seq";

	if (wants_key(reader))
		return fail_mark(reader, &event->start_mark, "a key must be a string, not a list or a map");
	if (tag && strcmp((const char *)tag, "!") != 0 && strcmp((const char *)tag, core) != 0)
		return fail_mark(
			reader, &event->start_mark, "tag '%.200s' is not one of the core schema's", tag);
	struct weight weight = { .nodes = 1, .levels = 1 };
	int rc = count(reader, &weight, &event->start_mark);
	if (rc < 0)
		return rc;
	struct frame frame = { .weight = weight };
	rc = open_anchor(reader, name, &frame.anchor);
	if (rc < 0)
		return rc;
	frame.json = is_map ? json_object() : json_array();
	if (!frame.json)
		return lg_fail_nomem(reader->err);
	reader->frames[reader->depth++] = frame;
	return 0;
}

static int close_collection(struct reader *reader)
{
	struct frame frame = reader->frames[--reader->depth];
	close_anchor(reader, frame.anchor, frame.json, &frame.weight);
	return place(reader, frame.json, &frame.weight);
}

/* --- the stream -------------------------------------------------------------------------------------------------- */

/* libyaml compares every directive with all before it. */
static int check_directives(const char *name, const char *text, size_t len, struct lg_error *err)
{
	size_t directives = 0;
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		if (text[at] == '%' && ++directives > MAX_DIRECTIVES)
			return lg_fail_at(err, name, text, at, "more than %d directives", MAX_DIRECTIVES);
		if (!strchr("%# \t\r\n", text[at]) || !end)
			return 0;
		at = (size_t)(end - text) + 1;
	}
	return 0;
}

/* 1: the stream has ended */
static int take_event(struct reader *reader, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (reader->root)
			return fail_mark(
				reader, &event->start_mark, "a second document begins; only one is read");
		return 0;
	case YAML_ALIAS_EVENT:
		return take_alias(reader, event);
	case YAML_SCALAR_EVENT:
		return take_scalar(reader, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return open_collection(reader, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_collection(reader);
	case YAML_STREAM_END_EVENT:
		return 1;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	return 0;
}

static int read_stream(struct reader *reader)
{
	for (;;) {
		yaml_event_t event;
		if (!yaml_parser_parse(&reader->parser, &event))
			return fail_parser(reader);
		int rc = take_event(reader, &event);
		yaml_event_delete(&event);
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

static void reader_clear(struct reader *reader)
{
	yaml_parser_delete(&reader->parser);
	for (size_t i = 0; i < reader->depth; i++) {
		json_decref(reader->frames[i].json);
		free(reader->frames[i].key);
	}
	for (size_t i = 0; i < reader->anchor_count; i++)
		json_decref(reader->anchors[i].json);
	free(reader->anchors);
	json_decref(reader->names);
	json_decref(reader->root);
}

int lg_yaml_parse(const char *name, const char *text, size_t len, json_t **ret_json, struct lg_error *err)
{
	int rc = lg_text_check(name, text, len, err);
	if (rc < 0)
		return rc;
	rc = check_directives(name, text, len, err);
	if (rc < 0)
		return rc;
	lg_autofree struct reader *reader = calloc(1, sizeof *reader);
	if (!reader || !yaml_parser_initialize(&reader->parser))
		return lg_fail_nomem(err);
	reader->name = name;
	reader->text = text;
	reader->err = err;
	yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, len);
	rc = read_stream(reader);
	if (rc == 0 && !reader->root && !(reader->root = json_null()))
		rc = lg_fail_nomem(err);
	if (rc == 0)
		*ret_json = lg_steal_ptr(&reader->root);
	reader_clear(reader);
	return rc;
}
