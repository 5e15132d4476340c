/* Declarations: their parts, their compilation and their description.  schema_check.c checks values against them. */
#include "model/schema.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/schema_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {
	[LG_TYPE_BOOL] = "bool",
	[LG_TYPE_INT] = "int",
	[LG_TYPE_FLOAT] = "float",
	[LG_TYPE_STRING] = "string",
	[LG_TYPE_DURATION] = "duration",
	[LG_TYPE_SIZE] = "size",
	[LG_TYPE_LIST] = "list",
	[LG_TYPE_OBJECT] = "object",
	[LG_TYPE_SECRET] = "secret",
};
#define TYPE_COUNT (sizeof type_names / sizeof *type_names)

static const char *const restart_names[] = {
	[LG_RESTART_NONE] = "none",
	[LG_RESTART_RELOAD] = "reload",
	[LG_RESTART_RESTART] = "restart",
};
#define RESTART_COUNT (sizeof restart_names / sizeof *restart_names)

const char *lg_type_name(enum lg_type type)
{
	return type_names[type];
}

const char *lg_restart_name(enum lg_restart restart)
{
	return restart_names[restart];
}

enum lg_type lg_schema_type(const struct lg_schema *schema)
{
	return schema->type;
}

enum lg_restart lg_schema_restart(const struct lg_schema *schema)
{
	return schema->restart;
}

bool lg_schema_is_secret(const struct lg_schema *schema)
{
	return schema->secret;
}

bool lg_schema_is_irreversible(const struct lg_schema *schema)
{
	return schema->irreversible;
}

const char *lg_schema_default(const struct lg_schema *schema)
{
	return schema->default_value;
}

const char *lg_schema_unit(const struct lg_schema *schema)
{
	return schema->unit;
}

const char *lg_schema_description(const struct lg_schema *schema)
{
	return schema->description;
}

void lg_schema_free(struct lg_schema *schema)
{
	if (!schema)
		return;
	free(schema->min.text);
	free(schema->max.text);
	for (size_t i = 0; i < schema->allowed_count; i++)
		free(schema->allowed[i].value);
	free(schema->allowed);
	pcre2_code_free(schema->pattern);
	free(schema->pattern_text);
	free(schema->default_value);
	free(schema->unit);
	free(schema->description);
	free(schema);
}

/* --- description ------------------------------------------------------------------------------------------------- */

static void describe_range(const struct lg_schema *schema, struct lg_buf *buf)
{
	const char *counted = lg_schema_counts(schema->type);
	if (!schema->min.set && !schema->max.set)
		return;
	lg_buf_adds(buf, counted ? " of " : " ");
	if (!schema->max.set)
		lg_buf_addf(buf, "at least %s", schema->min.text);
	else if (!schema->min.set)
		lg_buf_addf(buf, "at most %s", schema->max.text);
	else
		lg_buf_addf(buf, "%s…%s", schema->min.text, schema->max.text);
	if (counted)
		lg_buf_addf(buf, " %s", counted);
}

static void describe_allowed(const struct lg_schema *schema, struct lg_buf *buf)
{
	enum { SHOWN = 400 }; /* bytes, after which a list of allowed values is cut */
	size_t start = buf->len;
	for (size_t i = 0; i < schema->allowed_count; i++) {
		lg_buf_adds(buf, i ? ", " : ", one of ");
		if (buf->len - start > SHOWN) {
			lg_buf_addf(buf, "… (%zu in all)", schema->allowed_count);
			return;
		}
		lg_text_add_printable(buf, schema->allowed[i].value, schema->allowed[i].len);
	}
}

int lg_schema_describe(const struct lg_schema *schema, struct lg_buf *buf)
{
	lg_buf_adds(buf, lg_type_name(schema->type));
	describe_range(schema, buf);
	if (schema->unit) {
		lg_buf_addc(buf, ' ');
		lg_text_add_printable(buf, schema->unit, strlen(schema->unit));
	}
	describe_allowed(schema, buf);
	if (schema->pattern_text) {
		lg_buf_adds(buf, ", pattern '");
		lg_text_add_printable(buf, schema->pattern_text, strlen(schema->pattern_text));
		lg_buf_addc(buf, '\'');
	}
	return buf->failed ? LG_ENOMEM : 0;
}

/* --- compilation ------------------------------------------------------------------------------------------------- */

/* Members are read one by one; each reader adds its problems and fails only when memory is gone. */
struct compile {
	struct lg_schema *schema;
	const json_t *json;
	const char *key;
	struct lg_problems problems;
};

typedef int read_member(struct compile *compile, const char *name, const json_t *json, struct lg_error *err);

static void compile_clear(struct compile *compile)
{
	lg_schema_free(compile->schema);
	lg_problems_clear(&compile->problems);
}

static int find_name(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static int read_type(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	int type = find_name(type_names, TYPE_COUNT, json_string_value(json));
	if (type < 0)
		lg_problems_add(&compile->problems, compile->key,
			"'%s' is none of bool, int, float, string, duration, size, list, object, secret", name);
	else
		compile->schema->type = (enum lg_type)type;
	return 0;
}

static int read_restart(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	int restart = find_name(restart_names, RESTART_COUNT, json_string_value(json));
	if (restart < 0)
		lg_problems_add(
			&compile->problems, compile->key, "'%s' is none of none, reload, restart", name);
	else
		compile->schema->restart = (enum lg_restart)restart;
	return 0;
}

static int read_text(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	char **text = strcmp(name, "unit") == 0 ? &compile->schema->unit : &compile->schema->description;
	if (!json_is_string(json)) {
		lg_problems_add(&compile->problems, compile->key, "'%s' is no string", name);
		return 0;
	}
	*text = strdup(json_string_value(json));
	return *text ? 0 : lg_fail_nomem(err);
}

static int read_flag(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	bool is_secret = strcmp(name, "secret") == 0;
	if (!json_is_boolean(json))
		lg_problems_add(&compile->problems, compile->key, "'%s' is neither true nor false", name);
	else if (!is_secret)
		compile->schema->irreversible = json_is_true(json);
	else if (json_is_true(json))
		compile->schema->secret = true;
	else if (compile->schema->type == LG_TYPE_SECRET)
		lg_problems_add(&compile->problems, compile->key, "'secret' is false beside type secret");
	return 0;
}

/* The bound as messages show it: a number in canonical form, a text without its quotes, an integer of seconds or bytes with
 * its unit. */
static int bound_text(enum lg_type type, const json_t *json, const struct lg_bound *bound, char **ret_text,
	struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	char formatted[LG_DURATION_SIZE > LG_SIZE_SIZE ? LG_DURATION_SIZE : LG_SIZE_SIZE];
	if (json_is_string(json))
		lg_buf_adds(&text, json_string_value(json));
	else if (type == LG_TYPE_DURATION)
		lg_buf_adds(&text, lg_duration_format(bound->at.whole, formatted));
	else if (type == LG_TYPE_SIZE)
		lg_buf_adds(&text, lg_size_format(bound->at.whole, formatted));
	else if (lg_json_canonical(json, &text, err) < 0)
		return lg_fail_nomem(err);
	*ret_text = lg_buf_steal(&text);
	return *ret_text ? 0 : lg_fail_nomem(err);
}

static int read_bound(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	struct lg_schema *schema = compile->schema;
	struct lg_bound *bound = strcmp(name, "min") == 0 ? &schema->min : &schema->max;
	const char *counted = lg_schema_counts(schema->type);
	if (schema->type == LG_TYPE_BOOL || schema->type == LG_TYPE_OBJECT) {
		lg_problems_add(&compile->problems, compile->key, "'%s' has no meaning for type %s", name,
			lg_type_name(schema->type));
		return 0;
	}
	char scratch[LG_MISMATCH_SIZE];
	const char *mismatch =
		lg_schema_measure(counted ? LG_TYPE_INT : schema->type, json, &bound->at, scratch);
	if (!mismatch && counted && bound->at.whole < 0)
		mismatch = "is negative, as no length is";
	if (mismatch) {
		lg_problems_add(&compile->problems, compile->key, "'%s' %s", name, mismatch);
		return 0;
	}
	int rc = bound_text(schema->type, json, bound, &bound->text, err);
	bound->set = rc == 0;
	return rc;
}

static int read_pattern(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	struct lg_schema *schema = compile->schema;
	if (schema->type != LG_TYPE_STRING && schema->type != LG_TYPE_SECRET) {
		lg_problems_add(&compile->problems, compile->key, "'%s' has no meaning for type %s", name,
			lg_type_name(schema->type));
		return 0;
	}
	if (!json_is_string(json)) {
		lg_problems_add(&compile->problems, compile->key, "'%s' is no string", name);
		return 0;
	}
	int code;
	PCRE2_SIZE offset;
	/* automatic callouts: see the budget in schema_check.c; \C could cut a character in two */
	schema->pattern = pcre2_compile((PCRE2_SPTR)json_string_value(json), json_string_length(json),
		PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT, &code, &offset, NULL);
	if (!schema->pattern) {
		char message[120];
		if (code == PCRE2_ERROR_HEAP_FAILED)
			return lg_fail_nomem(err);
		if (pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message) < 0)
			snprintf(message, sizeof message, "error %d", code);
		lg_problems_add(&compile->problems, compile->key,
			"'%s' is no regular expression: %s at byte %zu", name, message, (size_t)offset + 1);
		return 0;
	}
	schema->pattern_text = strdup(json_string_value(json));
	return schema->pattern_text ? 0 : lg_fail_nomem(err);
}

/* Checks one value that the declaration itself holds and gives its stored form, NULL when it has problems. */
static int read_own_value(struct compile *compile, const char *name, const json_t *json, char **ret_stored,
	size_t *ret_len, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT, stored = LG_BUF_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	int rc = lg_json_canonical(json, &value, err);
	if (rc == 0)
		rc = lg_schema_check(
			compile->schema, compile->key, value.data, value.len, &stored, &problems, err);
	if (rc == LG_EINVALID) {
		for (size_t i = 0; i < problems.count; i++)
			lg_problems_add(
				&compile->problems, compile->key, "'%s': %s", name, problems.items[i].message);
		if (!problems.count)
			lg_problems_add(
				&compile->problems, compile->key, "'%s': value too deep or not valid", name);
		lg_error_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	*ret_len = stored.len;
	*ret_stored = lg_buf_steal(&stored);
	return *ret_stored ? 0 : lg_fail_nomem(err);
}

static int read_allowed(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	struct lg_schema *schema = compile->schema;
	size_t count = json_array_size(json);
	if (schema->secret) {
		lg_problems_add(&compile->problems, compile->key,
			"a secret has no '%s': everybody may read the declaration", name);
		return 0;
	}
	if (count == 0) {
		lg_problems_add(
			&compile->problems, compile->key, "'%s' is no list of at least one value", name);
		return 0;
	}
	struct lg_allowed *allowed = calloc(count, sizeof *allowed);
	if (!allowed)
		return lg_fail_nomem(err);
	size_t kept = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const json_t *item = json_array_get(json, i);
		char scratch[LG_MISMATCH_SIZE];
		rc = read_own_value(compile, name, item, &allowed[kept].value, &allowed[kept].len, err);
		if (rc == 0 && allowed[kept].value &&
			!lg_schema_measure(schema->type, item, &allowed[kept].quantity, scratch))
			kept++;
	}
	/* only now: until here the items were checked against everything but this list */
	schema->allowed = allowed;
	schema->allowed_count = kept;
	return rc;
}

static int read_default(struct compile *compile, const char *name, const json_t *json, struct lg_error *err)
{
	if (compile->schema->secret) {
		lg_problems_add(&compile->problems, compile->key,
			"a secret has no '%s': everybody may read the declaration", name);
		return 0;
	}
	size_t len;
	return read_own_value(compile, name, json, &compile->schema->default_value, &len, err);
}

/* In the order in which they are read: each may rely on those above it. */
static const struct {
	const char *name;
	read_member *read;
} members[] = {
	{ "type", read_type },
	{ "secret", read_flag },
	{ "irreversible", read_flag },
	{ "restart", read_restart },
	{ "unit", read_text },
	{ "description", read_text },
	{ "min", read_bound },
	{ "max", read_bound },
	{ "pattern", read_pattern },
	{ "enum", read_allowed },
	{ "default", read_default },
};
#define MEMBER_COUNT (sizeof members / sizeof *members)

static void find_unknown(struct compile *compile)
{
	json_t *object = (json_t *)(uintptr_t)compile->json; /* jansson iterates over mutable objects only */
	for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
		const char *name = json_object_iter_key(it);
		size_t i = 0;
		while (i < MEMBER_COUNT && strcmp(members[i].name, name) != 0)
			i++;
		if (i < MEMBER_COUNT)
			continue;
		lg_cleanup(lg_buf_clear) struct lg_buf shown = LG_BUF_INIT;
		lg_text_add_printable(&shown, name, strlen(name));
		lg_problems_add(&compile->problems, compile->key, "unknown member '%s'", lg_buf_str(&shown));
	}
}

static void check_bounds(struct compile *compile)
{
	const struct lg_schema *schema = compile->schema;
	if (schema->min.set && schema->max.set &&
		lg_quantity_compare(schema->type, schema->min.at, schema->max.at) > 0)
		lg_problems_add(&compile->problems, compile->key, "'min' %s is above 'max' %s",
			schema->min.text, schema->max.text);
}

static int read_members(struct compile *compile, struct lg_error *err)
{
	if (!json_is_object(compile->json)) {
		lg_problems_add(&compile->problems, compile->key,
			"a declaration is a JSON object such as {\"type\":\"int\"}");
		return 0;
	}
	find_unknown(compile);
	if (!json_object_get(compile->json, "type"))
		lg_problems_add(&compile->problems, compile->key, "'type' is missing");
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		const json_t *json = json_object_get(compile->json, members[i].name);
		size_t before = compile->problems.total;
		int rc = json ? members[i].read(compile, members[i].name, json, err) : 0;
		if (rc < 0)
			return rc;
		/* what the others mean hangs on the type */
		if (i == 0 && (!json || compile->problems.total > before))
			return 0;
		if (i == 0)
			compile->schema->secret = compile->schema->type == LG_TYPE_SECRET;
	}
	check_bounds(compile);
	return 0;
}

int lg_schema_compile(const char *key, const char *json, size_t len, struct lg_schema **ret_schema,
	struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *parsed = NULL;
	int rc = lg_json_parse(json, len, LG_VALUE_MAX, &parsed, err);
	if (rc < 0) {
		if (rc == LG_EINVALID)
			lg_problems_add(problems, key, "the declaration is not valid JSON%s%s", err ? ": " : "",
				err ? err->message : "");
		return lg_context(err, rc, "declaration of '%s'", key);
	}
	lg_cleanup(compile_clear) struct compile compile = { .json = parsed, .key = key };
	compile.schema = calloc(1, sizeof *compile.schema);
	if (!compile.schema)
		return lg_fail_nomem(err);
	rc = read_members(&compile, err);
	if (rc < 0)
		return rc;
	if (compile.problems.total) {
		lg_schema_hand_over(&compile.problems, problems);
		return lg_problems_fail(&compile.problems, err, "declaration");
	}
	*ret_schema = lg_steal_ptr(&compile.schema);
	return 0;
}
