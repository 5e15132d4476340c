/* options.h - what the command line may hold, as tables, and the one parser that reads it.
 *
 * A command declares its options as rows of struct lg_option; the same rows make its --help, the Markdown reference and the
 * parser (on getopt_long).  Options and words may stand in any order; "--" ends the options.  Global options are
 * understood before and after the command.
 *
 *	lg_args_parse(&args, argc, argv, own, global, LG_ARGS_ALL, NULL, err)
 *	lg_args_value(&args, "reason")      the text given, or NULL
 *
 * Everything in struct lg_args points into argv and the tables, which must outlive it.
 */
#ifndef LG_CLI_OPTIONS_H
#define LG_CLI_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lg_option {
	const char *name;     /* long name; NULL ends a table */
	const char *argument; /* what the help calls its argument; NULL: it takes none */
	const char *help;
	char letter; /* short form, or 0 */
	bool many;   /* may be given more than once */
};

/* Options of one table at most; the parser aborts on more, which a test of every command would show. */
#define LG_OPTIONS_MAX 24

struct lg_given {
	const struct lg_option *option;
	const char *value; /* NULL for an option without argument */
};

struct lg_args {
	struct lg_given *given;
	size_t given_count;
	const char **words; /* what is no option */
	size_t word_count;
};
#define LG_ARGS_INIT                                                                                           \
	{                                                                                                      \
		0                                                                                              \
	}

enum lg_args_mode {
	LG_ARGS_ALL,          /* everything */
	LG_ARGS_TO_FIRST_WORD /* stops before the first word: *ret_next is its index in argv */
};

void lg_args_clear(struct lg_args *args);
/* Adds what argv[1…] holds; argv[0] is skipped.  own may be NULL.  LG_EUSAGE names the option. */
int lg_args_parse(struct lg_args *args, int argc, char **argv, const struct lg_option *own,
	const struct lg_option *global, enum lg_args_mode mode, int *ret_next, struct lg_error *err);

/* The option must be in one of the tables parsed with; asking for another is simply "not given". */
bool lg_args_has(const struct lg_args *args, const char *name);
const char *lg_args_value(const struct lg_args *args, const char *name); /* NULL when not given */
size_t lg_args_count(const struct lg_args *args, const char *name);
const char *lg_args_nth(const struct lg_args *args, const char *name, size_t i);
/* A number option within [min, max], or `otherwise` when it was not given. */
int lg_args_number(const struct lg_args *args, const char *name, int64_t min, int64_t max, int64_t otherwise,
	int64_t *ret_value, struct lg_error *err);

#endif
