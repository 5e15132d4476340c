/* Does a value satisfy its declaration?  Every violation is reported; a secret's value never is. */
#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"
#include "model/schema_impl.h"
#include "model/secret.h"

#include <stdio.h>
#include <string.h>

/* --- types and quantities ---------------------------------------------------------------------------------------- */

static const char *const wanted[] = {
	[LG_TYPE_BOOL] = "a bool",
	[LG_TYPE_INT] = "an int",
	[LG_TYPE_FLOAT] = "a float",
	[LG_TYPE_STRING] = "a string",
	[LG_TYPE_DURATION] = "a duration such as \"1h30m\"",
	[LG_TYPE_SIZE] = "a size such as \"64MiB\"",
	[LG_TYPE_LIST] = "a list",
	[LG_TYPE_OBJECT] = "an object",
	[LG_TYPE_SECRET] = "a string",
};

static const char *kind_of(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a float";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a bool";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static int64_t count_code_points(const char *text, size_t len)
{
	int64_t count = 0;
	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

static const char *measure_time_or_size(enum lg_type type, const json_t *json, struct lg_quantity *ret_quantity)
{
	int64_t unit = type == LG_TYPE_DURATION ? 1000000000 : 1;
	if (json_is_integer(json)) {
		int64_t value = json_integer_value(json);
		if (value < 0)
			return type == LG_TYPE_DURATION ? "is negative, as no duration is"
							: "is negative, as no size is";
		if (value > INT64_MAX / unit)
			return "is more than 292 years";
		ret_quantity->whole = value * unit;
		return NULL;
	}
	const char *text = json_string_value(json);
	int rc = type == LG_TYPE_DURATION ? lg_duration_parse(text, &ret_quantity->whole, NULL)
					  : lg_size_parse(text, &ret_quantity->whole, NULL);
	if (rc == 0)
		return NULL;
	return type == LG_TYPE_DURATION ? "is no duration such as \"1h30m\"" : "is no size such as \"64MiB\"";
}

static bool has_type(enum lg_type type, const json_t *json)
{
	switch (type) {
	case LG_TYPE_BOOL:
		return json_is_boolean(json);
	case LG_TYPE_INT:
		return json_is_integer(json);
	case LG_TYPE_FLOAT:
		return json_is_number(json);
	case LG_TYPE_STRING:
	case LG_TYPE_SECRET:
		return json_is_string(json);
	case LG_TYPE_DURATION:
	case LG_TYPE_SIZE:
		return json_is_string(json) || json_is_integer(json);
	case LG_TYPE_LIST:
		return json_is_array(json);
	case LG_TYPE_OBJECT:
		return json_is_object(json);
	}
	return false;
}

/* 2^53 + 1 has no double: refused rather than quietly changed.  Compared as integers; (double)INT64_MAX is 2^63, which
 * does not convert back. */
static bool is_exact(int64_t whole)
{
	double real = (double)whole;
	return real < 0x1p63 && (int64_t)real == whole;
}

const char *lg_schema_measure(enum lg_type type, const json_t *json, struct lg_quantity *ret_quantity,
	char scratch[static LG_MISMATCH_SIZE])
{
	*ret_quantity = (struct lg_quantity){ 0 };
	if (!has_type(type, json)) {
		snprintf(scratch, LG_MISMATCH_SIZE, "is %s, not %s", kind_of(json), wanted[type]);
		return scratch;
	}
	switch (type) {
	case LG_TYPE_BOOL:
		break;
	case LG_TYPE_OBJECT:
		if (json_object_get(json, LG_SECRET_MEMBER))
			return "has the member '" LG_SECRET_MEMBER "', which is reserved for sealed secrets";
		break;
	case LG_TYPE_INT:
		ret_quantity->whole = json_integer_value(json);
		break;
	case LG_TYPE_FLOAT:
		ret_quantity->real = json_number_value(json);
		if (json_is_integer(json) && !is_exact(json_integer_value(json)))
			return "is an integer that no float holds exactly";
		break;
	case LG_TYPE_STRING:
	case LG_TYPE_SECRET:
		ret_quantity->whole = count_code_points(json_string_value(json), json_string_length(json));
		break;
	case LG_TYPE_LIST:
		ret_quantity->whole = (int64_t)json_array_size(json);
		break;
	case LG_TYPE_DURATION:
	case LG_TYPE_SIZE:
		return measure_time_or_size(type, json, ret_quantity);
	}
	return NULL;
}

int lg_quantity_compare(enum lg_type type, struct lg_quantity a, struct lg_quantity b)
{
	if (type == LG_TYPE_FLOAT)
		return (a.real > b.real) - (a.real < b.real);
	return (a.whole > b.whole) - (a.whole < b.whole);
}

const char *lg_schema_counts(enum lg_type type)
{
	switch (type) {
	case LG_TYPE_STRING:
	case LG_TYPE_SECRET:
		return "characters";
	case LG_TYPE_LIST:
		return "items";
	case LG_TYPE_BOOL:
	case LG_TYPE_INT:
	case LG_TYPE_FLOAT:
	case LG_TYPE_DURATION:
	case LG_TYPE_SIZE:
	case LG_TYPE_OBJECT:
		break;
	}
	return NULL;
}

int lg_schema_stored(enum lg_type type, const json_t *json, struct lg_buf *buf, struct lg_error *err)
{
	if (type != LG_TYPE_FLOAT || !json_is_integer(json))
		return lg_json_canonical(json, buf, err);
	lg_cleanup(lg_json_freep) json_t *real = json_real((double)json_integer_value(json));
	return real ? lg_json_canonical(real, buf, err) : lg_fail_nomem(err);
}

/* --- one value --------------------------------------------------------------------------------------------------- */

struct check {
	const struct lg_schema *schema;
	const char *key;
	const json_t *json;
	struct lg_quantity quantity;
	struct lg_buf shown; /* "value 0", or "the value" of a secret */
	struct lg_problems problems;
};

static void check_clear(struct check *check)
{
	lg_buf_clear(&check->shown);
	lg_problems_clear(&check->problems);
}

static void show_value(struct check *check, const char *value, size_t len)
{
	enum { SHOWN = 80 };
	if (check->schema->secret) {
		lg_buf_adds(&check->shown, "the value");
		return;
	}
	size_t cut = len > SHOWN ? SHOWN : len;
	while (cut < len && cut > 0 && ((unsigned char)value[cut] & 0xc0) == 0x80)
		cut--;
	lg_buf_adds(&check->shown, "value ");
	lg_text_add_printable(&check->shown, value, cut);
	if (cut < len)
		lg_buf_adds(&check->shown, "…");
}

static void report(struct check *check, const char *what)
{
	lg_cleanup(lg_buf_clear) struct lg_buf range = LG_BUF_INIT;
	lg_schema_describe(check->schema, &range);
	lg_problems_add(&check->problems, check->key, "%s %s (%s)", lg_buf_str(&check->shown), what,
		lg_buf_str(&range));
}

static void check_bound(struct check *check, const struct lg_bound *bound, bool is_min)
{
	if (!bound->set)
		return;
	int order = lg_quantity_compare(check->schema->type, check->quantity, bound->at);
	if (is_min ? order >= 0 : order <= 0)
		return;
	char what[160];
	const char *counted = lg_schema_counts(check->schema->type);
	if (!counted)
		snprintf(what, sizeof what, "is %s %s", is_min ? "below the minimum" : "above the maximum",
			bound->text);
	else if (check->schema->secret) /* nor its exact length */
		snprintf(what, sizeof what, "has %s %s %s", is_min ? "fewer than" : "more than", bound->text,
			counted);
	else
		snprintf(what, sizeof what, "has %lld %s, the %s is %s", (long long)check->quantity.whole,
			counted, is_min ? "minimum" : "maximum", bound->text);
	report(check, what);
}

/* Durations and sizes are equal when they mean the same ("60s", "1m"); all else when the bytes to store are. */
static bool is_allowed(
	const struct lg_schema *schema, struct lg_quantity quantity, const char *stored, size_t len)
{
	bool by_meaning = schema->type == LG_TYPE_DURATION || schema->type == LG_TYPE_SIZE;
	for (size_t i = 0; i < schema->allowed_count; i++) {
		const struct lg_allowed *allowed = &schema->allowed[i];
		if (by_meaning ? allowed->quantity.whole == quantity.whole
			       : allowed->len == len && memcmp(allowed->value, stored, len) == 0)
			return true;
	}
	return schema->allowed_count == 0;
}

/* A pattern that backtracks without end stops here.  PCRE2's own match limit begins anew at every start position of the
 * text, so the steps and the bytes walked over are counted for the whole match, through automatic callouts. */
#define MATCH_LIMIT       100000
#define MATCH_HEAP_KIB    16384
#define MATCH_BUDGET      ((size_t)4 * 1000 * 1000)
#define MATCH_SUBJECT_MAX ((size_t)64 * 1024)

struct budget {
	size_t left;
	size_t position;
};

static int spend(pcre2_callout_block *block, void *arg)
{
	struct budget *budget = arg;
	size_t position = block->current_position;
	size_t cost = 1 + (position > budget->position ? position - budget->position : 0);
	budget->position = position;
	if (cost > budget->left)
		return PCRE2_ERROR_CALLOUT;
	budget->left -= cost;
	return 0;
}

static int match(const pcre2_code *pattern, const char *text, size_t len)
{
	struct budget budget = { .left = MATCH_BUDGET };
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(pattern, NULL);
	int rc = PCRE2_ERROR_NOMEMORY;
	if (context && data) {
		pcre2_set_match_limit(context, MATCH_LIMIT);
		pcre2_set_heap_limit(context, MATCH_HEAP_KIB);
		pcre2_set_callout(context, spend, &budget);
		rc = pcre2_match(pattern, (PCRE2_SPTR)text, len, 0, 0, data, context);
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(context);
	return rc;
}

static int check_pattern(struct check *check, struct lg_error *err)
{
	if (!check->schema->pattern)
		return 0;
	size_t len = json_string_length(check->json);
	if (len > MATCH_SUBJECT_MAX) {
		report(check, "is longer than the 64 KiB that a pattern is matched against");
		return 0;
	}
	int rc = match(check->schema->pattern, json_string_value(check->json), len);
	if (rc >= 0)
		return 0;
	if (rc == PCRE2_ERROR_NOMEMORY)
		return lg_fail_nomem(err);
	report(check,
		rc == PCRE2_ERROR_NOMATCH ? "does not match the pattern"
					  : "takes too many steps to match against the pattern");
	return 0;
}

/* stored: the canonical bytes to keep, appended when nothing is wrong with them */
static int check_all(struct check *check, struct lg_buf *stored, struct lg_error *err)
{
	const struct lg_schema *schema = check->schema;
	char scratch[LG_MISMATCH_SIZE];
	const char *mismatch = lg_schema_measure(schema->type, check->json, &check->quantity, scratch);
	if (mismatch) {
		report(check, mismatch);
		return 0;
	}
	int rc = lg_schema_stored(schema->type, check->json, stored, err);
	if (rc < 0)
		return rc;
	check_bound(check, &schema->min, true);
	check_bound(check, &schema->max, false);
	if (!is_allowed(schema, check->quantity, lg_buf_str(stored), stored->len))
		report(check, "is not among the allowed ones");
	return check_pattern(check, err);
}

void lg_schema_hand_over(const struct lg_problems *from, struct lg_problems *to)
{
	for (size_t i = 0; i < from->count; i++)
		lg_problems_add(to, from->items[i].subject, "%s", from->items[i].message);
	if (to)
		to->total += from->total - from->count;
}

int lg_schema_check(const struct lg_schema *schema, const char *key, const char *value, size_t len,
	struct lg_buf *ret_value, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(check_clear) struct check check = { .schema = schema, .key = key };
	lg_cleanup(lg_buf_clear) struct lg_buf stored = LG_BUF_INIT;
	int rc = lg_json_parse(value, len, LG_VALUE_MAX, &json, err);
	if (rc == LG_EINVALID) {
		lg_problems_add(problems, key, "the value is not valid JSON");
		return lg_context(err, rc, "value of '%s'", key);
	}
	if (rc < 0)
		return rc;
	check.json = json;
	show_value(&check, value, len);
	rc = check_all(&check, &stored, err);
	if (rc < 0)
		return rc;
	if (check.problems.total) {
		lg_schema_hand_over(&check.problems, problems);
		return lg_problems_fail(&check.problems, err, "setting");
	}
	return ret_value && lg_buf_add(ret_value, stored.data, stored.len) < 0 ? lg_fail_nomem(err) : 0;
}

/* --- strictness -------------------------------------------------------------------------------------------------- */

/* Compares the start of key with one string of a canonical list, *p behind its opening quote, and moves *p behind its
 * closing one.  Of the escapes only \" and \\ occur in prefixes: they have no control characters. */
static bool string_is_prefix(const char **p, const char *end, const char *key)
{
	bool same = true;
	while (*p < end && **p != '"') {
		if (**p == '\\' && *p + 1 < end)
			++*p;
		same = same && *key == **p;
		key += same;
		++*p;
	}
	++*p;
	return same;
}

bool lg_schema_strict_covers(const char *strict, size_t strict_len, const char *key)
{
	if (key[0] == '@')
		return false;
	if (strict_len == 4 && memcmp(strict, "true", 4) == 0)
		return true;
	/* called for each key of a change, so the list is read as it lies, without a parse */
	const char *end = strict + strict_len;
	for (const char *p = strict; p < end;) {
		if (*p++ == '"' && string_is_prefix(&p, end, key))
			return true;
	}
	return false;
}

int lg_schema_strict_check(const char *strict, size_t len, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_json_parse(strict, len, LG_VALUE_MAX, &json, err);
	if (rc < 0)
		return lg_context(err, rc, "'" LG_SCHEMA_STRICT "'");
	if (json_is_true(json))
		return 0;
	if (!json_is_array(json))
		return lg_fail(err, LG_EINVALID, 0,
			"'" LG_SCHEMA_STRICT
			"' holds true or a list of prefixes; unset it to allow undeclared keys");
	for (size_t i = 0; i < json_array_size(json); i++) {
		const json_t *item = json_array_get(json, i);
		const char *prefix = json_string_value(item);
		if (!prefix)
			return lg_fail(err, LG_EINVALID, 0,
				"'" LG_SCHEMA_STRICT "' holds %s where a prefix is wanted", kind_of(item));
		rc = lg_prefix_check(prefix, json_string_length(item), err);
		if (rc < 0)
			return lg_context(err, rc, "'" LG_SCHEMA_STRICT "'");
		if (prefix[0] == '@')
			return lg_fail(err, LG_EINVALID, 0,
				"'" LG_SCHEMA_STRICT "' holds '%s': reserved keys need no declaration", prefix);
	}
	return 0;
}
