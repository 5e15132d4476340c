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
