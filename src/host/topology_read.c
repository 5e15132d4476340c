#include "host/topology_read.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 4096 /* words of one command, variables of one environment */

typedef bool field_read(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot);

/* --- small helpers ----------------------------------------------------------------------------------------------- */

void lg_strv_free(char **strv)
{
	for (size_t i = 0; strv && strv[i]; i++)
		free(strv[i]);
	free(strv);
}

char *lg_reader_path(struct lg_reader *reader, const char *where, const char *name)
{
	struct lg_buf buf = LG_BUF_INIT;
	lg_buf_addf(&buf, "%s%s", where, *where ? "." : "");
	lg_text_add_printable(&buf, name, strlen(name));
	char *path = lg_buf_steal(&buf);
	if (!path) {
		lg_buf_clear(&buf);
		reader->nomem = true;
	}
	return path;
}

int lg_topology_name_check(const char *name, struct lg_error *err)
{
	size_t len = strlen(name);
	size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	if (len == 0 || len > 64 || plain != len || name[0] == '.' || name[0] == '-')
		return lg_fail(err, LG_EINVALID, 0,
			"a name is 1 to 64 letters, digits, '_', '-' or '.' and begins with a letter, a digit "
			"or '_'");
	return 0;
}

static void drop_last_segment(struct lg_buf *buf)
{
	while (buf->len > 0 && buf->data[buf->len - 1] != '/')
		buf->len--;
	if (buf->len > 0)
		buf->len--;
	if (buf->data)
		buf->data[buf->len] = '\0';
}

static void add_segments(struct lg_buf *buf, const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len == 2 && memcmp(path, "..", 2) == 0) {
			drop_last_segment(buf);
		} else if (len > 0 && !(len == 1 && *path == '.')) {
			lg_buf_addc(buf, '/');
			lg_buf_add(buf, path, len);
		}
		path += len + (path[len] == '/');
	}
}

char *lg_path_absolute(const char *directory, const char *path)
{
	struct lg_buf buf = LG_BUF_INIT;
	if (*path != '/')
		add_segments(&buf, directory);
	add_segments(&buf, path);
	if (buf.len == 0)
		lg_buf_addc(&buf, '/');
	char *absolute = lg_buf_steal(&buf);
	lg_buf_clear(&buf);
	return absolute;
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a truth value";
	case JSON_NULL:
		return "empty";
	}
	return "something else";
}

static bool wrong_type(struct lg_reader *reader, const char *where, const char *wanted, const json_t *value)
{
	lg_problems_add(reader->problems, where, "is %s where %s is expected", type_name(value), wanted);
	return false;
}

/* A string without NUL and other control characters; NULL (and a problem) otherwise. */
static const char *plain_string(
	struct lg_reader *reader, const char *where, const char *wanted, const json_t *value)
{
	if (!json_is_string(value)) {
		wrong_type(reader, where, wanted, value);
		return NULL;
	}
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
			lg_problems_add(reader->problems, where, "has a control character");
			return NULL;
		}
	return text;
}

static bool keep(struct lg_reader *reader, char **slot, char *text)
{
	if (!text) {
		reader->nomem = true;
		return false;
	}
	*slot = text;
	return true;
}

/* --- one reader per type ----------------------------------------------------------------------------------------- */

static bool read_string(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const char *text = plain_string(reader, where, "a string", value);
	if (!text)
		return false;
	if (!*text) {
		lg_problems_add(reader->problems, where, "is empty");
		return false;
	}
	return keep(reader, slot, strdup(text));
}

static bool read_path(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const char *text = plain_string(reader, where, "a path", value);
	if (!text)
		return false;
	if (!*text || strlen(text) >= PATH_MAX) {
		lg_problems_add(reader->problems, where, *text ? "is too long for a path" : "is empty");
		return false;
	}
	return keep(reader, slot, lg_path_absolute(reader->directory, text));
}

static bool read_url(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const char *text = plain_string(reader, where, "a URL", value);
	if (!text)
		return false;
	const char *host = lg_starts_with(text, "http://") ? text + 7
		: lg_starts_with(text, "https://")         ? text + 8
							   : "";
	if (!*host || *host == '/' || strchr(text, ' ')) {
		lg_problems_add(reader->problems, where, "is not a URL of the form http://HOST/PATH");
		return false;
	}
	return keep(reader, slot, strdup(text));
}

static bool read_prefix(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const char *text = plain_string(reader, where, "a prefix", value);
	if (!text)
		return false;
	struct lg_error err = LG_ERROR_INIT;
	if (lg_prefix_check(text, strlen(text), &err) < 0) {
		lg_problems_add(reader->problems, where, "%s", err.message);
		return false;
	}
	if (*text == '@') {
		lg_problems_add(reader->problems, where, "is reserved: settings do not begin with '@'");
		return false;
	}
	return keep(reader, slot, strdup(text));
}

static bool read_list(
	struct lg_reader *reader, const char *where, const char *wanted, const json_t *value, char ***slot)
{
	if (!json_is_array(value))
		return wrong_type(reader, where, wanted, value);
	size_t count = json_array_size(value);
	if (count > LIST_MAX) {
		lg_problems_add(reader->problems, where, "has more than %d items", LIST_MAX);
		return false;
	}
	char **list = calloc(count + 1, sizeof *list);
	if (!list) {
		reader->nomem = true;
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(value, i);
		/* a word may hold newlines (sh -c "…"), yet never NUL */
		bool fine =
			json_is_string(item) && !memchr(json_string_value(item), 0, json_string_length(item));
		if (!fine)
			lg_problems_add(reader->problems, where, "item %zu is not a string (quote it)", i + 1);
		else if (keep(reader, &list[i], strdup(json_string_value(item))))
			continue;
		lg_strv_free(list);
		return false;
	}
	*slot = list;
	return true;
}

static bool read_argv(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	char ***argv = slot;
	if (!read_list(reader, where, "a list with the program and its arguments", value, argv))
		return false;
	if ((*argv)[0] && (*argv)[0][0])
		return true;
	lg_problems_add(reader->problems, where, "names no program");
	return false;
}

static bool read_names(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	return read_list(reader, where, "a list of names", value, slot);
}

static bool is_env_name(const char *name)
{
	size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	return *name && !name[plain] && !(*name >= '0' && *name <= '9');
}

/* What a variable's value looks like; numbers and truth values may stand unquoted in YAML. */
static char *env_pair(const char *name, const json_t *value)
{
	struct lg_buf buf = LG_BUF_INIT;
	lg_buf_addf(&buf, "%s=", name);
	if (json_is_string(value))
		lg_buf_adds(&buf, json_string_value(value));
	else if (json_is_integer(value))
		lg_buf_addf(&buf, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		lg_buf_adds(&buf, json_is_true(value) ? "true" : "false");
	char *pair = lg_buf_steal(&buf);
	lg_buf_clear(&buf);
	return pair;
}

static bool env_item_fine(struct lg_reader *reader, const char *where, const char *name, const json_t *value)
{
	if (!is_env_name(name)) {
		lg_problems_add(reader->problems, where, "is no name of an environment variable");
		return false;
	}
	if (json_is_string(value) && memchr(json_string_value(value), 0, json_string_length(value))) {
		lg_problems_add(reader->problems, where, "has a NUL byte");
		return false;
	}
	if (json_is_string(value) || json_is_integer(value) || json_is_boolean(value))
		return true;
	return wrong_type(reader, where, "a string", value);
}

static bool read_env(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	if (!json_is_object(value))
		return wrong_type(reader, where, "an object of NAME: VALUE", value);
	char **list = calloc(json_object_size(value) + 1, sizeof *list);
	if (!list) {
		reader->nomem = true;
		return false;
	}
	size_t count = 0;
	const char *name;
	json_t *item;
	json_object_foreach((json_t *)value, name, item)
	{
		lg_autofree char *path = lg_reader_path(reader, where, name);
		if (path && env_item_fine(reader, path, name, item) &&
			keep(reader, &list[count], env_pair(name, item)))
			count++;
	}
	*(char ***)slot = list;
	return true;
}

static bool in_range(struct lg_reader *reader, const char *where, const struct lg_field *field, int64_t number)
{
	if (number >= field->min && number <= field->max)
		return true;
	char low[LG_DURATION_SIZE], high[LG_DURATION_SIZE];
	if (field->type == LG_FIELD_DURATION)
		lg_problems_add(reader->problems, where, "is outside %s … %s",
			lg_duration_format(field->min, low), lg_duration_format(field->max, high));
	else
		lg_problems_add(reader->problems, where, "is outside %lld … %lld", (long long)field->min,
			(long long)field->max);
	return false;
}

static bool read_duration(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const char *text = plain_string(reader, where, "a duration such as 10s", value);
	if (!text)
		return false;
	struct lg_error err = LG_ERROR_INIT;
	int64_t ns;
	if (lg_duration_parse(text, &ns, &err) < 0) {
		lg_problems_add(reader->problems, where, "%s", err.message);
		return false;
	}
	if (!in_range(reader, where, field, ns))
		return false;
	*(int64_t *)slot = ns;
	return true;
}

static bool read_count(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	if (!json_is_integer(value))
		return wrong_type(reader, where, "an integer", value);
	int64_t number = json_integer_value(value);
	if (!in_range(reader, where, field, number))
		return false;
	*(int64_t *)slot = number;
	return true;
}

static bool read_int(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	int64_t number = 0;
	if (!read_count(reader, where, field, value, &number))
		return false;
	*(int *)slot = (int)number; /* the table's range is that of an int */
	return true;
}

static bool read_fraction(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	if (!json_is_number(value))
		return wrong_type(reader, where, "a number from 0 to below 1", value);
	double number = json_number_value(value);
	if (!(number >= 0 && number < 1)) {
		lg_problems_add(reader->problems, where,
			"is outside 0 … 1 (it is a share: 0.5 is half, 1 can never be exceeded)");
		return false;
	}
	*(double *)slot = number;
	return true;
}

static bool read_bool(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	if (!json_is_boolean(value))
		return wrong_type(reader, where, "true or false", value);
	*(bool *)slot = json_is_true(value);
	return true;
}

static const struct lg_choice *find_choice(
	struct lg_reader *reader, const char *where, const struct lg_field *field, const json_t *value)
{
	lg_cleanup(lg_buf_clear) struct lg_buf names = LG_BUF_INIT;
	for (const struct lg_choice *choice = field->choices; choice->name; choice++) {
		if (json_is_string(value) && strcmp(json_string_value(value), choice->name) == 0)
			return choice;
		lg_buf_addf(&names, "%s%s", names.len ? ", " : "", choice->name);
	}
	lg_problems_add(reader->problems, where, "is not one of %s", lg_buf_str(&names));
	return NULL;
}

static bool read_choice(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const struct lg_choice *choice = find_choice(reader, where, field, value);
	if (choice)
		*(int *)slot = choice->value;
	return choice;
}

static bool read_flag(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	const struct lg_choice *choice = find_choice(reader, where, field, value);
	if (choice)
		*(bool *)slot = choice->value;
	return choice;
}

static bool read_section(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	if (!json_is_object(value))
		return wrong_type(reader, where, "an object", value);
	lg_fields_read(reader, where, value, field->fields, slot);
	return true;
}

static bool read_any(struct lg_reader *reader, const char *where, const struct lg_field *field,
	const json_t *value, void *slot)
{
	return true;
}

static field_read *const field_readers[LG_FIELD_TYPE_COUNT] = {
	[LG_FIELD_STRING] = read_string,
	[LG_FIELD_PATH] = read_path,
	[LG_FIELD_URL] = read_url,
	[LG_FIELD_PREFIX] = read_prefix,
	[LG_FIELD_ARGV] = read_argv,
	[LG_FIELD_NAMES] = read_names,
	[LG_FIELD_ENV] = read_env,
	[LG_FIELD_DURATION] = read_duration,
	[LG_FIELD_COUNT] = read_count,
	[LG_FIELD_INT] = read_int,
	[LG_FIELD_FRACTION] = read_fraction,
	[LG_FIELD_BOOL] = read_bool,
	[LG_FIELD_CHOICE] = read_choice,
	[LG_FIELD_FLAG] = read_flag,
	[LG_FIELD_SECTION] = read_section,
	[LG_FIELD_ANY] = read_any,
};

/* --- tables ------------------------------------------------------------------------------------------------------ */

static void *slot_of(void *target, size_t offset)
{
	return (char *)target + offset;
}

enum meaning { MEANT, NOT_MEANT, NOBODY_KNOWS };

/* Whether a member belongs beside what its sibling says; a missing sibling is a problem of its own. */
static enum meaning meaning_of(const json_t *object, const struct lg_field *field)
{
	if (!field->only_member)
		return MEANT;
	const json_t *sibling = json_object_get(object, field->only_member);
	if (!json_is_string(sibling))
		return NOBODY_KNOWS;
	return strcmp(json_string_value(sibling), field->only_value) == 0 ? MEANT : NOT_MEANT;
}

static void read_initial(
	struct lg_reader *reader, const char *where, const struct lg_field *field, void *target)
{
	json_t *initial = json_loads(field->initial, JSON_DECODE_ANY, NULL);
	if (initial)
		field_readers[field->type](reader, where, field, initial, slot_of(target, field->offset));
	else
		reader->nomem = true; /* the defaults are ours and well-formed */
	json_decref(initial);
}

static void read_field(struct lg_reader *reader, const char *where, const json_t *object,
	const struct lg_field *field, void *target)
{
	lg_autofree char *path = lg_reader_path(reader, where, field->name);
	if (!path)
		return;
	const json_t *value = json_object_get(object, field->name);
	enum meaning meaning = meaning_of(object, field);
	if (value && meaning == NOT_MEANT) {
		lg_problems_add(
			reader->problems, path, "is for %s '%s' only", field->only_member, field->only_value);
		return;
	}
	/* "services:" with everything below it commented out */
	if (json_is_null(value) && (field->type == LG_FIELD_SECTION || field->type == LG_FIELD_ANY))
		value = NULL;
	if (!value) {
		if (field->required && meaning == MEANT)
			lg_problems_add(reader->problems, path, "is missing");
		else if (field->initial)
			read_initial(reader, path, field, target);
		else if (field->type == LG_FIELD_SECTION && !field->has_flag)
			lg_fields_read(reader, path, NULL, field->fields, slot_of(target, field->offset));
		return;
	}
	if (field->has_flag)
		*(bool *)slot_of(target, field->flag_offset) = true;
	field_readers[field->type](reader, path, field, value, slot_of(target, field->offset));
}

static bool is_known(const struct lg_field *fields, const char *name)
{
	for (const struct lg_field *field = fields; field->name; field++)
		if (strcmp(field->name, name) == 0)
			return true;
	return false;
}

static void refuse_unknown(
	struct lg_reader *reader, const char *where, const json_t *object, const struct lg_field *fields)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value)
	{
		if (is_known(fields, name))
			continue;
		lg_cleanup(lg_buf_clear) struct lg_buf known = LG_BUF_INIT;
		for (const struct lg_field *field = fields; field->name; field++)
			lg_buf_addf(&known, "%s%s", known.len ? ", " : "", field->name);
		lg_autofree char *path = lg_reader_path(reader, where, name);
		if (path)
			lg_problems_add(
				reader->problems, path, "is unknown; known here: %s", lg_buf_str(&known));
	}
}

void lg_fields_read(struct lg_reader *reader, const char *where, const json_t *object,
	const struct lg_field *fields, void *target)
{
	for (const struct lg_field *field = fields; field->name; field++)
		read_field(reader, where, object, field, target);
	refuse_unknown(reader, where, object, fields);
}

void lg_fields_clear(const struct lg_field *fields, void *target)
{
	for (const struct lg_field *field = fields; field->name; field++) {
		void *slot = slot_of(target, field->offset);
		switch (field->type) {
		case LG_FIELD_STRING:
		case LG_FIELD_PATH:
		case LG_FIELD_URL:
		case LG_FIELD_PREFIX:
			free(*(char **)slot);
			*(char **)slot = NULL;
			break;
		case LG_FIELD_ARGV:
		case LG_FIELD_NAMES:
		case LG_FIELD_ENV:
			lg_strv_free(*(char ***)slot);
			*(char ***)slot = NULL;
			break;
		case LG_FIELD_SECTION:
			lg_fields_clear(field->fields, slot);
			break;
		case LG_FIELD_DURATION:
		case LG_FIELD_COUNT:
		case LG_FIELD_FRACTION:
		case LG_FIELD_BOOL:
		case LG_FIELD_INT:
		case LG_FIELD_CHOICE:
		case LG_FIELD_FLAG:
		case LG_FIELD_ANY:
		case LG_FIELD_TYPE_COUNT:
			break;
		}
	}
}
