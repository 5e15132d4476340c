#include "cli/options.h"

#include "base/text.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* getopt's value for row i of the tables; beyond any letter */
#define LONG_BASE 1000

struct tables {
	const struct lg_option *rows[2 * LG_OPTIONS_MAX];
	size_t count;
	struct option longs[2 * LG_OPTIONS_MAX + 1];
	char letters[4 * LG_OPTIONS_MAX + 3];
};

void lg_args_clear(struct lg_args *args)
{
	free(args->given);
	free(args->words);
	*args = (struct lg_args)LG_ARGS_INIT;
}

static void add_table(struct tables *tables, const struct lg_option *options)
{
	size_t letters = strlen(tables->letters);
	for (size_t i = 0; options && options[i].name; i++) {
		const struct lg_option *row = &options[i];
		if (i >= LG_OPTIONS_MAX)
			abort(); /* a table longer than the parser was made for: a bug that no input causes */
		tables->longs[tables->count] = (struct option){ .name = row->name,
			.has_arg = row->argument ? required_argument : no_argument,
			.val = LONG_BASE + (int)tables->count };
		tables->rows[tables->count++] = row;
		if (!row->letter)
			continue;
		tables->letters[letters++] = row->letter;
		if (row->argument)
			tables->letters[letters++] = ':';
	}
	tables->letters[letters] = '\0';
}

static const struct lg_option *row_of(const struct tables *tables, int value)
{
	if (value >= LONG_BASE && (size_t)(value - LONG_BASE) < tables->count)
		return tables->rows[value - LONG_BASE];
	for (size_t i = 0; i < tables->count; i++)
		if (tables->rows[i]->letter && tables->rows[i]->letter == value)
			return tables->rows[i];
	return NULL;
}

static int add_word(struct lg_args *args, const char *word, struct lg_error *err)
{
	const char **words = reallocarray(args->words, args->word_count + 1, sizeof *words);
	if (!words)
		return lg_fail_nomem(err);
	args->words = words;
	args->words[args->word_count++] = word;
	return 0;
}

static int add_given(
	struct lg_args *args, const struct lg_option *option, const char *value, struct lg_error *err)
{
	if (!option->many && lg_args_has(args, option->name))
		return lg_fail(err, LG_EUSAGE, 0, "option '--%s' is given twice", option->name);
	struct lg_given *given = reallocarray(args->given, args->given_count + 1, sizeof *given);
	if (!given)
		return lg_fail_nomem(err);
	args->given = given;
	args->given[args->given_count++] = (struct lg_given){ .option = option, .value = value };
	return 0;
}

/* What getopt did not like, said in our words. */
static int refuse(const struct tables *tables, int what, const char *argument, struct lg_error *err)
{
	const struct lg_option *row = optopt ? row_of(tables, optopt) : NULL;
	if (what == ':' && row)
		return lg_fail(
			err, LG_EUSAGE, 0, "option '--%s' needs an argument: %s", row->name, row->argument);
	if (row)
		return lg_fail(err, LG_EUSAGE, 0, "option '--%s' takes no argument", row->name);
	if (optopt)
		return lg_fail(err, LG_EUSAGE, 0, "unknown option '-%c'", optopt);
	return lg_fail(err, LG_EUSAGE, 0, "unknown or ambiguous option '%s'", argument);
}

static int take(struct lg_args *args, const struct tables *tables, int value, char **argv, struct lg_error *err)
{
	if (value == 1)
		return add_word(args, optarg, err);
	if (value == '?' || value == ':')
		return refuse(tables, value, argv[optind - 1], err);
	return add_given(args, row_of(tables, value), optarg, err);
}

int lg_args_parse(struct lg_args *args, int argc, char **argv, const struct lg_option *own,
	const struct lg_option *global, enum lg_args_mode mode, int *ret_next, struct lg_error *err)
{
	struct tables tables = { .count = 0 };
	/* '-' hands words out in order whatever POSIXLY_CORRECT says; '+' stops at the first */
	tables.letters[0] = mode == LG_ARGS_ALL ? '-' : '+';
	tables.letters[1] = ':';
	add_table(&tables, own);
	add_table(&tables, global);
	optind = 0; /* glibc: begin anew */
	opterr = 0;
	for (;;) {
		optopt = 0;
		int value = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
		if (value == -1)
			break;
		int rc = take(args, &tables, value, argv, err);
		if (rc < 0)
			return rc;
	}
	if (mode == LG_ARGS_TO_FIRST_WORD) {
		*ret_next = optind;
		return 0;
	}
	for (int i = optind; i < argc; i++) {
		int rc = add_word(args, argv[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

const char *lg_args_nth(const struct lg_args *args, const char *name, size_t i)
{
	for (size_t at = 0; at < args->given_count; at++)
		if (strcmp(args->given[at].option->name, name) == 0 && i-- == 0)
			return args->given[at].value ? args->given[at].value : "";
	return NULL;
}

const char *lg_args_value(const struct lg_args *args, const char *name)
{
	return lg_args_nth(args, name, 0);
}

bool lg_args_has(const struct lg_args *args, const char *name)
{
	return lg_args_nth(args, name, 0) != NULL;
}

size_t lg_args_count(const struct lg_args *args, const char *name)
{
	size_t count = 0;
	while (lg_args_nth(args, name, count))
		count++;
	return count;
}

int lg_args_number(const struct lg_args *args, const char *name, int64_t min, int64_t max, int64_t otherwise,
	int64_t *ret_value, struct lg_error *err)
{
	const char *text = lg_args_value(args, name);
	if (!text) {
		*ret_value = otherwise;
		return 0;
	}
	int rc = lg_int_parse(text, min, max, ret_value, err);
	if (rc < 0)
		return lg_context(err, LG_EUSAGE, "option '--%s'", name);
	return 0;
}
