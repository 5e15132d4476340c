/* format.h - the text forms in which configurations come and go: json, yaml, env, properties.  Pure.
 *
 * json, yaml   {"configurations":{KEY:{"value":…,…}},"schema":{KEY:DECLARATION}}; either may be missing; other members of
 *              the document and of an entry are ignored (existing backups have them); an item of "schema" is the key
 *              @schema/KEY.  "format":"lastgood configuration 2" and later is refused as LG_ENEWER.
 * env          NAME=VALUE lines, "export " allowed, # comments, 'single' (all literal), "double" (with \n \t \r \" \\ \$ \`)
 *              and bare values; quoted ones may span lines; nothing is expanded.  A comment behind a value begins with " #".
 *              NAME is the key with '/' written "__"; a key that has no such name is a problem.
 * properties   as java.util.Properties reads and writes them (UTF-8, \uXXXX accepted, continuation lines).
 *
 * A bare value of env and properties is JSON if it parses as JSON, else a string; `bare` keeps its text so that a setting
 * declared as a string can take it as written ("01", "true").  A bare number beyond 64 bits (or a double) is a problem, not a
 * string.  In env a 'single' value that is a JSON list or object is that, `bare` its text: so the file can be read by a shell
 * too, which sees every string as it is and every other value as its JSON.  "double" is always a string.
 * Strings that would read back as something else are written quoted (properties: as a JSON string).  What emit writes, parse
 * reads back to the same items.
 */
#ifndef LG_FORMAT_FORMAT_H
#define LG_FORMAT_FORMAT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/problems.h"
#include "model/value.h"

#include <jansson.h>
#include <stdint.h>

#define LG_IMPORT_MAX ((size_t)256 * 1024 * 1024)

enum lg_format { LG_FORMAT_JSON, LG_FORMAT_YAML, LG_FORMAT_ENV, LG_FORMAT_PROPERTIES };

struct lg_item {
	char *key;
	char *value; /* canonical JSON */
	size_t value_len;
	char *bare;  /* the text of an unquoted (or JSON) env/properties value, else NULL */
	size_t line; /* where it stands, 0 when not known: json, yaml */
};
struct lg_items {
	struct lg_item *items;
	size_t count;
	size_t size;
};
#define LG_ITEMS_INIT                                                                                          \
	{                                                                                                      \
		0                                                                                              \
	}

void lg_items_clear(struct lg_items *items);
/* Copies; value canonical. */
int lg_items_add(struct lg_items *items, const char *key, const char *value, size_t value_len, const char *bare,
	size_t line, struct lg_error *err);

int lg_format_from_name(const char *name, enum lg_format *ret_format, struct lg_error *err);
enum lg_format lg_format_from_path(
	const char *path); /* by ending: .yaml .yml .env .properties, ".env" itself; else json */

/* A document that cannot be read at all (syntax, duplicate members, depth, size) is LG_EINVALID with line and column.
 * Entries that are wrong one by one (no "value", value too large, not representable) are added to problems with the key as
 * subject and left out of ret_items; the caller decides (refuse all, or --skip-invalid).  Keys are not checked against key.h here.  name is for messages. */
int lg_format_parse(enum lg_format format, const char *name, const char *text, size_t len,
	struct lg_items *ret_items, struct lg_problems *problems, struct lg_error *err);

struct lg_format_meta {
	uint64_t revision; /* 0: leave out */
	const char *root;  /* hex, or NULL */
};
/* items in key order; values sealed secrets included as they are. Problems: keys that the format cannot name. env and
 * properties leave @schema keys out.  meta may be NULL.  On failure buf is as it was. */
int lg_format_emit(enum lg_format format, const struct lg_items *items, const struct lg_format_meta *meta,
	struct lg_buf *buf, struct lg_problems *problems, struct lg_error *err);

/* YAML 1.2 core schema to JSON and back, by libyaml.  Refused with line and column: several documents, duplicate keys,
 * non-string keys, merge keys (<<, which 1.2 does not have), tags other than the core ones, .nan and .inf, integers beyond
 * int64, more than LG_YAML_NODES nodes or LG_IMPORT_MAX bytes of text after aliases are followed (alias bombs), depth beyond
 * LG_YAML_DEPTH (the deepest value, inside the three levels of a configuration document).  An empty text is null.  Aliases
 * share their node in the result, so do not change what is inside it.
 * emit: keys in the object's own order; strings that YAML 1.1 or 1.2 would read as something else are quoted. */
#define LG_YAML_NODES 4000000
#define LG_YAML_DEPTH (LG_VALUE_DEPTH + 3)
int lg_yaml_parse(const char *name, const char *text, size_t len, json_t **ret_json, struct lg_error *err);
int lg_yaml_emit(const json_t *json, struct lg_buf *buf, struct lg_error *err);

/* {{KEY}} is replaced by the value of KEY (strings bare, everything else as JSON), blanks around KEY are ignored;
 * {{KEY|default text}} when it may be absent; {{! comment }}; "{{{{" is a literal "{{".  Tags other than comments stand on
 * one line.  lookup returns 1 with canonical JSON, 0 when absent, or an error's code.  An unknown key, an unclosed tag or an
 * empty name is LG_EINVALID with name:line:column.  Control characters other than tab in a substituted string are refused,
 * so that a value cannot add lines to the file.  On failure buf is as it was. */
typedef int lg_template_lookup(
	void *arg, const char *key, size_t key_len, const char **ret_value, size_t *ret_len);
int lg_template_render(const char *name, const char *text, size_t len, lg_template_lookup *lookup, void *arg,
	struct lg_buf *buf, struct lg_error *err);

#endif
