/* internal.h - what the files of src/format share; nothing outside includes it. */
#ifndef LG_FORMAT_INTERNAL_H
#define LG_FORMAT_INTERNAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/problems.h"
#include "format/format.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Line and column of text[offset], both from 1, the column in code points, as editors count. */
struct lg_position {
	size_t line;
	size_t column;
};
struct lg_position lg_position_at(const char *text, size_t offset);

/* LG_EINVALID "name: line L column C: …" for text[offset], as lg_json_parse words it. */
int lg_fail_at(struct lg_error *err, const char *name, const char *text, size_t offset, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Refuses what no text form of lastgood may hold: more than LG_IMPORT_MAX, invalid UTF-8, NUL. */
int lg_text_check(const char *name, const char *text, size_t len, struct lg_error *err);

/* --- json.c: documents with "configurations" and "schema" --------------------------------------------------------- */

/* From the tree of a JSON or YAML document. */
int lg_document_read(const char *name, const json_t *json, struct lg_items *items, struct lg_problems *problems,
	struct lg_error *err);
int lg_document_emit_json(const struct lg_items *items, const struct lg_format_meta *meta, struct lg_buf *buf,
	struct lg_error *err);
int lg_document_emit_yaml(const struct lg_items *items, const struct lg_format_meta *meta, struct lg_buf *buf,
	struct lg_error *err);
/* Adds the canonical form of json to items; what cannot be a value is a problem. */
int lg_items_add_json(struct lg_items *items, const char *key, const json_t *json, const char *bare,
	size_t line, struct lg_problems *problems, struct lg_error *err);

/* --- flat.c: what env and properties have in common --------------------------------------------------------------- */

struct lg_flat {
	const char *name;
	const char *text;
	size_t len;
	struct lg_items *items;
	struct lg_problems *problems;
	json_t *seen; /* key → line */
	size_t line;  /* of text[line_at], counted on as the reader goes */
	size_t line_at;
};
enum lg_flat_style {
	LG_FLAT_BARE,    /* JSON if it parses as JSON, else text */
	LG_FLAT_LITERAL, /* text, unless it is a JSON list or object */
	LG_FLAT_TEXT,
};
/* `offset`: where the entry begins in flat->text; must not go back from call to call.  A key that came before is
 * LG_EINVALID. */
int lg_flat_add(struct lg_flat *flat, const char *key, const char *value, size_t len, enum lg_flat_style style,
	size_t offset, struct lg_error *err);
void lg_flat_clear(struct lg_flat *flat);
/* Does a bare text read as JSON?  1: yes, 0: no, LG_EINVALID: it is a number that no value can hold. */
int lg_flat_json(const char *text, size_t len, json_t **ret_json, struct lg_error *err);

int lg_env_parse(struct lg_flat *flat, struct lg_error *err);
int lg_env_emit(
	const struct lg_items *items, struct lg_buf *buf, struct lg_problems *problems, struct lg_error *err);
int lg_properties_parse(struct lg_flat *flat, struct lg_error *err);
int lg_properties_emit(const struct lg_items *items, struct lg_buf *buf, struct lg_error *err);

/* --- YAML scalars ------------------------------------------------------------------------------------------------- */

/* What a plain scalar means by the core schema of YAML 1.2.2 (section 10.3.2). */
enum lg_yaml_kind {
	LG_YAML_STRING,
	LG_YAML_NULL,
	LG_YAML_TRUE,
	LG_YAML_FALSE,
	LG_YAML_INT,
	LG_YAML_FLOAT,
	LG_YAML_NOT_FINITE, /* .inf and .nan: JSON has no such number */
};
enum lg_yaml_kind lg_yaml_kind(const char *text, size_t len);
/* The number that a scalar of kind INT or FLOAT writes; LG_EINVALID when it is too large, with a message that names it. */
int lg_yaml_number(
	enum lg_yaml_kind kind, const char *text, size_t len, json_t **ret_json, struct lg_error *err);
/* Can this text stand plain, be read as this string by YAML 1.2, and by YAML 1.1 too (yes, 1:30, 0b1, 2001-01-01)? */
bool lg_yaml_may_be_plain(const char *text, size_t len);

#endif
