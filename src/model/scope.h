/* scope.h - what a change, mark, hold or rollback covers.
 *
 * A scope is a list of selectors to include and one to exclude.  A selector that ends in '/' is a prefix, any other is one
 * key.  No include means everything (settings, schema, flags).  A selector covers the declarations of its keys too:
 * "web/" covers web/… and @schema/web/…; "@flag/" covers the flags.  An exclude wins over every include.
 * JSON: {} is everything; {"include":["web/","x"],"exclude":["web/tmp/"]}; lists sorted, without duplicates and without
 * selectors that another one covers, so that equal scopes are equal bytes.
 */
#ifndef LG_MODEL_SCOPE_H
#define LG_MODEL_SCOPE_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

struct lg_scope {
	char **include;
	size_t include_count;
	char **exclude;
	size_t exclude_count;
};
#define LG_SCOPE_ALL                                                                                           \
	{                                                                                                      \
		0                                                                                              \
	}

void lg_scope_clear(struct lg_scope *scope);
int lg_scope_copy(const struct lg_scope *scope, struct lg_scope *ret_scope, struct lg_error *err);
/* Checks the selector and keeps the list normalised. */
int lg_scope_include(struct lg_scope *scope, const char *selector, struct lg_error *err);
int lg_scope_exclude(struct lg_scope *scope, const char *selector, struct lg_error *err);
bool lg_scope_is_all(const struct lg_scope *scope); /* nothing included by name, nothing excluded */
bool lg_scope_covers(const struct lg_scope *scope, const char *key, size_t len);
/* May some key be in both?  Excludes are honoured where they settle it; true when in doubt. */
bool lg_scope_overlaps(const struct lg_scope *a, const struct lg_scope *b);
/* Is every key of inner certainly in outer? false when in doubt. */
bool lg_scope_contains(const struct lg_scope *outer, const struct lg_scope *inner);
bool lg_scope_equal(const struct lg_scope *a, const struct lg_scope *b);
int lg_scope_to_json(const struct lg_scope *scope, json_t **ret_json, struct lg_error *err);
int lg_scope_from_json(const json_t *json, struct lg_scope *ret_scope, struct lg_error *err);
int lg_scope_add_canonical(const struct lg_scope *scope, struct lg_buf *buf); /* the JSON as canonical bytes */
int lg_scope_describe(const struct lg_scope *scope,
	struct lg_buf *
		buf); /* "everything", "web/", "a, b except c/"; of long lists the first few and how many more */

#endif
