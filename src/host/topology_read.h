/* topology_read.h - reads the members of a document's object into a struct, by a table.
 *
 * One row of struct lg_field per member: its name, type, where it goes, whether it must be there, its default.  A member
 * that no row names, one of the wrong type or out of range is a problem with its path in the document
 * ("services.web.adapter.file.path"); reading goes on, so that all problems are found at once.
 *
 * The same table frees what it read (lg_fields_clear), also when reading stopped half way.
 */
#ifndef LG_HOST_TOPOLOGY_READ_H
#define LG_HOST_TOPOLOGY_READ_H

#include "base/error.h"
#include "base/problems.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lg_field_type {
	LG_FIELD_STRING,   /* char *: not empty, no control characters */
	LG_FIELD_PATH,     /* char *: made absolute, relative to the document's directory */
	LG_FIELD_URL,      /* char *: http:// or https:// */
	LG_FIELD_PREFIX,   /* char *: prefix of setting keys, with its '/' */
	LG_FIELD_ARGV,     /* char **: at least the program */
	LG_FIELD_NAMES,    /* char **: a list of names */
	LG_FIELD_ENV,      /* char **: NAME=VALUE, from an object */
	LG_FIELD_DURATION, /* int64_t in ns, min … max */
	LG_FIELD_COUNT,    /* int64_t, min … max */
	LG_FIELD_INT,      /* int, min … max */
	LG_FIELD_FRACTION, /* double, 0 ≤ x < 1 */
	LG_FIELD_BOOL,     /* bool */
	LG_FIELD_CHOICE,   /* an enum or int, by name */
	LG_FIELD_FLAG,     /* bool, by name */
	LG_FIELD_SECTION,  /* a struct of its own, or more members of the same one */
	LG_FIELD_ANY,      /* read by the caller; only known here */
	LG_FIELD_TYPE_COUNT
};

struct lg_choice {
	const char *name; /* NULL ends the list */
	int value;
};

struct lg_field {
	const char *name; /* NULL ends the table */
	enum lg_field_type type;
	bool required;
	bool has_flag; /* SECTION: the bool at flag_offset says whether it was there */
	size_t offset; /* in the target */
	size_t flag_offset;
	const char *initial; /* default, as JSON text; NULL: zero */
	int64_t min, max;    /* COUNT, INT, DURATION */
	const struct lg_choice *choices;
	const struct lg_field *fields; /* SECTION */
	/* allowed and required only where this sibling has this value */
	const char *only_member, *only_value;
};

struct lg_reader {
	struct lg_problems *problems;
	const char *directory; /* of the document, absolute */
	bool nomem;            /* memory ran out somewhere: what was read is incomplete */
};

/* where: path of the object in the document, "" for the document itself. */
void lg_fields_read(struct lg_reader *reader, const char *where, const json_t *object,
	const struct lg_field *fields, void *target);
void lg_fields_clear(const struct lg_field *fields, void *target);

/* malloc'd "where.name" ("name" when where is ""); NULL sets nomem. */
char *lg_reader_path(struct lg_reader *reader, const char *where, const char *name);
/* Names of services and triggers: they become file names and parts of messages. LG_EINVALID says what they may be. */
int lg_topology_name_check(const char *name, struct lg_error *err);
/* malloc'd absolute path without ".", "..", "//": path taken relative to directory; NULL when memory is gone. */
char *lg_path_absolute(const char *directory, const char *path);
void lg_strv_free(char **strv);

#endif
