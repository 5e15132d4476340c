/* value.h - values as canonical JSON bytes.
 *
 * A value is any JSON text of at most LG_VALUE_MAX bytes and LG_VALUE_DEPTH levels.  It is stored, hashed, compared and
 * served as its canonical form, so that equal values are equal bytes:
 *   - no white space; object members sorted by the bytes of their names, duplicates refused;
 *   - strings in UTF-8, escaping only '"', '\' and U+0000…U+001F (lg_text_add_json_string); U+0000 refused;
 *   - integers as they are, within int64; -0 is 0;
 *   - other numbers as the shortest decimal that reads back to the same double, always with '.' or 'e': 1.0, 2.5e-7;
 *     NaN and infinities do not exist, and -0.0 is 0.0.
 * An integer and a float are different values (1 is not 1.0).
 *
 * A secret is stored sealed: {"@secret":"BASE64"}; see secret.h.  Plain values may not be objects with that member.
 */
#ifndef LG_MODEL_VALUE_H
#define LG_MODEL_VALUE_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

#define LG_VALUE_MAX   ((size_t)1024 * 1024)
#define LG_VALUE_DEPTH 128

/* Parses one JSON text; messages name line and column, and never quote values (they may be secrets).  The caller owns the
 * json_t.  Limits of size: max bytes. */
int lg_json_parse(const char *text, size_t len, size_t max, json_t **ret_json, struct lg_error *err);
/* Appends the canonical form of json; LG_EINVALID beyond depth, or a string with U+0000 or invalid UTF-8.  All functions
 * here that append leave the buffer as it was when they fail. */
int lg_json_canonical(const json_t *json, struct lg_buf *buf, struct lg_error *err);
/* Parse + canonical form + LG_VALUE_MAX; an object with the member "@secret" is refused. */
int lg_value_parse(const char *text, size_t len, struct lg_buf *ret_canonical, struct lg_error *err);
/* What the command line takes: JSON if it parses as JSON, otherwise the text itself as a JSON string (a bare word).  Text
 * that begins like JSON ('{', '[', '"') and does not parse is an error, not a string; so is a number out of range. */
int lg_value_from_argument(const char *text, struct lg_buf *ret_canonical, struct lg_error *err);

void lg_json_freep(json_t **json); /* for lg_cleanup */

#endif
