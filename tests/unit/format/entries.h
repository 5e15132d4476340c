/* entries.h - one table for the texts of a format: what comes out of a parse, as one line to compare. */
#ifndef LG_TESTS_FORMAT_ENTRIES_H
#define LG_TESTS_FORMAT_ENTRIES_H

#include "format/format.h"

/* A parse of `text`: wants the items written as KEY=VALUE, in order, each with a line break behind it; ~TEXT behind the value
 * where there is a bare text that differs from the value.  With error, wants LG_EINVALID and that part of the message.
 * problems: KEY: part of the message of the only problem, or NULL. */
struct entries_row {
	const char *name;
	const char *text;
	const char *want;
	const char *error;
	const char *problem;
};
void entries_check(enum lg_format format, const struct entries_row *row);

/* What is written is read back to the same items; keys that the format has no name for are left out. */
void entries_round_trip(enum lg_format format, const struct lg_items *items);
/* The keys k0, k1, … with these values. */
void entries_from_list(const json_t *values, struct lg_items *ret_items);
void entries_hostile_round_trip(enum lg_format format);
void entries_random_round_trip(enum lg_format format);
/* Every beginning of text is read or refused. */
void entries_cut_short(enum lg_format format, const char *text);

#endif
