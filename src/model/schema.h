/* schema.h - what a setting may be.
 *
 * A declaration is the JSON value of @schema/KEY:
 *	{"type":"int","min":1,"max":100,"default":10,"unit":"jobs","description":"…","restart":"reload"}
 * type       bool int float string duration size list object secret   (required)
 * min, max   int, float: numbers; duration, size: texts such as "5s", "4MiB"; string, list, secret: length (code points,
 *            items)
 * enum       list of allowed values, not for secrets; durations and sizes are compared by meaning ("60s" is "1m")
 * pattern    PCRE2, UTF, unanchored, for string and secret of at most 64 KiB; limited in steps, so that it cannot hang
 * default    the fallback; must itself satisfy the declaration; a secret has none (declarations are readable)
 * unit, description  text
 * restart    none | reload | restart: what the service must do for a change to take effect (default none)
 * secret     true on any type: sealed and redacted; type "secret" is a string with secret true
 * irreversible  true: triggers only advise on a change of it
 * Unknown members are refused.
 *
 * A duration or size setting holds a JSON string such as "10m" (checked and kept as written), or an integer: of seconds
 * for a duration, bytes for a size.  A float setting given an integer stores it as a float (1 → 1.0); no other coercion.
 *
 * @schema/@strict holds true, or a list of prefixes: there, keys without a declaration are refused.
 */
#ifndef LG_MODEL_SCHEMA_H
#define LG_MODEL_SCHEMA_H

#include "base/error.h"
#include "base/problems.h"
#include "model/key.h"
#include "model/value.h"

#include <stdbool.h>

#define LG_SCHEMA_STRICT LG_SCHEMA_SPACE "@strict"

enum lg_type {
	LG_TYPE_BOOL,
	LG_TYPE_INT,
	LG_TYPE_FLOAT,
	LG_TYPE_STRING,
	LG_TYPE_DURATION,
	LG_TYPE_SIZE,
	LG_TYPE_LIST,
	LG_TYPE_OBJECT,
	LG_TYPE_SECRET,
};
enum lg_restart { LG_RESTART_NONE, LG_RESTART_RELOAD, LG_RESTART_RESTART };

const char *lg_type_name(enum lg_type type);
const char *lg_restart_name(enum lg_restart restart);

struct lg_schema; /* one compiled declaration; immutable, usable from any thread */

/* From the canonical (or any) JSON of a declaration.  Everything wrong with it is added to problems with subject `key`;
 * LG_EINVALID then. */
int lg_schema_compile(const char *key, const char *json, size_t len, struct lg_schema **ret_schema,
	struct lg_problems *problems, struct lg_error *err);
void lg_schema_free(struct lg_schema *schema);

enum lg_type lg_schema_type(const struct lg_schema *schema);
enum lg_restart lg_schema_restart(const struct lg_schema *schema);
bool lg_schema_is_secret(const struct lg_schema *schema);
bool lg_schema_is_irreversible(const struct lg_schema *schema);
const char *lg_schema_default(const struct lg_schema *schema);     /* canonical JSON, or NULL */
const char *lg_schema_unit(const struct lg_schema *schema);        /* or NULL */
const char *lg_schema_description(const struct lg_schema *schema); /* or NULL */
/* "int 1…100 jobs": type, range, enum, pattern, unit, for messages and listings */
int lg_schema_describe(const struct lg_schema *schema, struct lg_buf *buf);

/* Checks plain canonical `value` for `key`, adding every problem (value, allowed range, unit in the message; the value
 * itself is not shown when secret).  ret_value gets the canonical value to store appended (a float given an integer is
 * widened, otherwise the same bytes); NULL: only check.  Returns 0 or LG_EINVALID. */
int lg_schema_check(const struct lg_schema *schema, const char *key, const char *value, size_t len,
	struct lg_buf *ret_value, struct lg_problems *problems, struct lg_error *err);

/* Is `key` inside a strict prefix?  strict: canonical JSON of @schema/@strict. */
bool lg_schema_strict_covers(const char *strict, size_t strict_len, const char *key);
int lg_schema_strict_check(const char *strict, size_t len, struct lg_error *err);

#endif
