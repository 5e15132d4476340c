/* hostile.h - material for round trips: seeded random JSON, and strings that break formats. */
#ifndef LG_TESTS_FORMAT_HOSTILE_H
#define LG_TESTS_FORMAT_HOSTILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hostile_rng {
	uint64_t state;
};
uint64_t hostile_next(struct hostile_rng *rng);
size_t hostile_below(struct hostile_rng *rng, size_t bound);

/* Strings that some reader takes for something else; NULL-terminated. */
extern const char *const hostile_strings[];

/* The strings of the JSON array in file $LASTGOOD_BLNS, if that is set; the caller owns it. */
bool hostile_file_is_set(void);
json_t *hostile_file(void);

/* One of hostile_strings or random text, sometimes long, always valid UTF-8 without NUL. */
json_t *hostile_string(struct hostile_rng *rng);
json_t *hostile_value(struct hostile_rng *rng, int depth);
/* A canonical copy; asserts that there is one.  The caller frees it. */
char *hostile_canonical(const json_t *json);

#endif
