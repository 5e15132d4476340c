/* schema_impl.h - inside of a compiled declaration; for schema.c and schema_check.c only. */
#ifndef LG_MODEL_SCHEMA_IMPL_H
#define LG_MODEL_SCHEMA_IMPL_H

#define PCRE2_CODE_UNIT_WIDTH 8

#include "model/schema.h"

#include <pcre2.h>
#include <stdint.h>

/* What min and max are compared with: the number itself, nanoseconds, bytes, or a length. */
struct lg_quantity {
	int64_t whole;
	double real; /* of a float */
};

struct lg_bound {
	bool set;
	struct lg_quantity at;
	char *text; /* as messages show it */
};

struct lg_allowed {
	char *value; /* canonical, as it would be stored */
	size_t len;
	struct lg_quantity quantity;
};

struct lg_schema {
	enum lg_type type;
	enum lg_restart restart;
	bool secret;
	bool irreversible;
	struct lg_bound min, max;
	struct lg_allowed *allowed;
	size_t allowed_count;
	pcre2_code *pattern;
	char *pattern_text;
	char *default_value;
	char *unit;
	char *description;
};

/* Whether json is of the type and how much it is.  NULL when it is; else what is wrong, to follow "value … ".  scratch
 * holds the text. */
#define LG_MISMATCH_SIZE 80
const char *lg_schema_measure(enum lg_type type, const json_t *json, struct lg_quantity *ret_quantity,
	char scratch[static LG_MISMATCH_SIZE]);
/* <0, 0, >0 */
int lg_quantity_compare(enum lg_type type, struct lg_quantity a, struct lg_quantity b);
/* "characters", "items", or NULL where the value itself is compared */
const char *lg_schema_counts(enum lg_type type);
/* Appends the canonical bytes to store. */
int lg_schema_stored(enum lg_type type, const json_t *json, struct lg_buf *buf, struct lg_error *err);
/* Adds what was found in one declaration or value to what the caller collects (may be NULL). */
void lg_schema_hand_over(const struct lg_problems *from, struct lg_problems *to);

#endif
