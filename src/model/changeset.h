/* changeset.h - one atomic set of changes, and its form in a record.
 *
 * Body of a change record: {"set":{KEY:VALUE,…},"unset":[KEY,…]} in canonical JSON, either member left out when empty,
 * further members (rollback, automatic, source, irreversible) allowed.
 */
#ifndef LG_MODEL_CHANGESET_H
#define LG_MODEL_CHANGESET_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lg_change {
	char *key;
	char *value; /* canonical JSON, NUL-terminated; NULL unsets */
	size_t value_len;
	char *bare; /* or NULL: the text as written in an env or properties file; a setting declared as text takes it */
	bool has_expect;
	uint64_t
		expect_change; /* compare-and-set: the key's change number must be this; 0: the key must be absent */
};

struct lg_changeset {
	struct lg_change *items; /* in the order added until lg_changeset_sort */
	size_t count;
	size_t size;
};
#define LG_CHANGESET_INIT                                                                                      \
	{                                                                                                      \
		0                                                                                              \
	}

void lg_changeset_clear(struct lg_changeset *set);
/* Copies. value NULL unsets.  Keys are not checked here (the configuration service lists all problems at once). */
int lg_changeset_add(struct lg_changeset *set, const char *key, size_t key_len, const char *value,
	size_t value_len, struct lg_error *err);
/* Sets `bare` of the change added last. */
int lg_changeset_set_bare(struct lg_changeset *set, const char *text, struct lg_error *err);
/* By key, bytewise; LG_EINVALID naming the key when one is there twice. */
int lg_changeset_sort(struct lg_changeset *set, struct lg_error *err);
/* Appends the two members (no braces) in canonical form: `"set":{…},"unset":[…]`; set must be sorted. */
int lg_changeset_add_body(const struct lg_changeset *set, struct lg_buf *buf);
/* From a parsed record body; LG_ECORRUPT when it is none. Result is sorted. */
int lg_changeset_from_body(const json_t *body, struct lg_changeset *ret_set, struct lg_error *err);

#endif
