/* output.h - everything that a command prints.
 *
 * Three forms: a table for people (aligned; coloured on a terminal unless NO_COLOR or --no-color), JSON (two spaces, members
 * in the order in which they were set), YAML.  In JSON and YAML standard output holds exactly one document: the result, or
 * when there is none {"error":{"code","message","problems":[{"subject","message"}]}}.  The text of an error, warnings and
 * progress always go to standard error, so that a person sees them in every form.
 *
 * What comes from the store or the command line is made printable before it reaches a terminal or a table.
 */
#ifndef LG_CLI_OUTPUT_H
#define LG_CLI_OUTPUT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/problems.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum lg_output_form { LG_OUTPUT_TABLE, LG_OUTPUT_JSON, LG_OUTPUT_YAML };

enum lg_style {
	LG_STYLE_PLAIN,
	LG_STYLE_BOLD,
	LG_STYLE_DIM,
	LG_STYLE_GOOD,
	LG_STYLE_BAD,
	LG_STYLE_WARN,
	LG_STYLE_NAME
};
#define LG_STYLE_COUNT 7
#define LG_STYLE_END   "\033[0m"
const char *lg_style_code(enum lg_style style);

struct lg_output {
	FILE *out;
	FILE *err;
	enum lg_output_form form;
	bool terminal; /* out is one */
	bool color;
	bool color_err;
	bool emitted; /* the document is out */
};

void lg_output_init(struct lg_output *output, FILE *out, FILE *err, bool no_color);
int lg_output_form_from_name(const char *name, enum lg_output_form *ret_form, struct lg_error *err);
bool lg_output_is_table(const struct lg_output *output);

/* The result, in JSON or YAML; takes the reference (also on failure; NULL means memory is gone).  Does nothing in the
 * table form. */
int lg_output_document(struct lg_output *output, json_t *json, struct lg_error *err);
/* Bytes as they are: an export, a value for a script. */
void lg_output_raw(struct lg_output *output, const void *data, size_t len);
/* One line for people, made printable; nothing in the other forms. */
void lg_output_line(struct lg_output *output, enum lg_style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* On standard error, in every form: "lastgood: warning: …". */
void lg_output_warn(struct lg_output *output, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* On standard error, plain: what to do next, a question, progress. */
void lg_output_note(struct lg_output *output, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The error's text and every problem on standard error, and the error document where no other document is out. hint may
 * be NULL: one more line that says what to do. */
void lg_output_error(struct lg_output *output, int code, const struct lg_error *error,
	const struct lg_problems *problems, const char *hint);
/* 0, or LG_EIO and its kin when what was printed did not get out; sys_errno is EPIPE when nobody reads any more. */
int lg_output_flush(struct lg_output *output, struct lg_error *err);

/* Pretty JSON: members as they were set, numbers in canonical form. */
int lg_output_json(const json_t *json, struct lg_buf *buf, struct lg_error *err);

/* --- tables ---------------------------------------------------------------------------------------------------------- */

struct lg_cell {
	char *text; /* printable */
	size_t width;
	enum lg_style style;
	bool wraps;
};
struct lg_table {
	size_t columns;
	unsigned whole;        /* columns that are never cut, a bit each */
	struct lg_cell *cells; /* row by row; the first row is the heading */
	size_t count;
	size_t size;
	bool failed;
};
#define LG_TABLE_COLUMNS_MAX 8

/* headings: `columns` names; NULL: no heading row. */
void lg_table_init(struct lg_table *table, size_t columns, const char *const *headings);
void lg_table_clear(struct lg_table *table);
void lg_table_add(struct lg_table *table, enum lg_style style, const char *text); /* the next cell */
void lg_table_addf(struct lg_table *table, enum lg_style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Never cuts this column, because half of what it holds is of no use: a time, a name that commands take. */
void lg_table_keep_whole(struct lg_table *table, size_t column);
/* The cell added last, in the last column, goes on below itself instead of being cut: what a person must read. */
void lg_table_wrap(struct lg_table *table);
/* Prints and empties it.  On a terminal a cell is cut to its share of the width, elsewhere nothing is cut. */
int lg_table_print(struct lg_table *table, struct lg_output *output, struct lg_error *err);

#endif
