#include "model/value.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/secret.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lg_json_freep(json_t **json)
{
	if (json && *json)
		json_decref(*json);
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

/* jansson's scanner goes on when it cannot grow its buffer: it drops bytes, and a number or text comes out shortened, or
 * is called a syntax error.  So its allocations are watched, and no parse counts during which one failed. */
static _Thread_local bool memory_gone;

static void *watched_malloc(size_t size)
{
	void *memory = malloc(size);
	if (!memory)
		memory_gone = true;
	return memory;
}

static void watch_memory(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

/* Line and column (in characters, from 1) of a byte in text whose first `offset` bytes are valid UTF-8. */
static void find_position(const char *text, size_t offset, size_t *ret_line, size_t *ret_column)
{
	*ret_line = 1;
	*ret_column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			++*ret_line;
			*ret_column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			++*ret_column;
		}
	}
}

/* What jansson would meet later and report in its own words: bytes that no JSON text has. */
static int check_bytes(const char *text, size_t len, struct lg_error *err)
{
	size_t line, column;
	size_t valid = lg_utf8_valid_prefix(text, len);
	const char *nul = memchr(text, '\0', valid);
	if (nul) {
		find_position(text, (size_t)(nul - text), &line, &column);
		return lg_fail(err, LG_EINVALID, 0, "line %zu column %zu: NUL byte", line, column);
	}
	if (valid < len) {
		find_position(text, valid, &line, &column);
		return lg_fail(err, LG_EINVALID, 0, "line %zu column %zu: invalid UTF-8 (byte 0x%02x)", line,
			column, (unsigned char)text[valid]);
	}
	return 0;
}

/* What is wrong, in our words, from jansson's code and text.  jansson appends a piece of the source (" near '…'"); it is
 * shown only where it is a member's name: anything else may be a piece of a secret. */
static void explain(const json_error_t *error, struct lg_buf *what)
{
	const char *near = strstr(error->text, " near ");
	switch (json_error_code(error)) {
	case json_error_stack_overflow:
		lg_buf_addf(what, "too deeply nested (the limit is %d levels)", LG_VALUE_DEPTH);
		return;
	case json_error_duplicate_key:
		lg_buf_adds(what, "duplicate member");
		if (near && strncmp(near, " near '\"", 8) == 0) {
			lg_buf_addc(what, ' ');
			lg_text_add_printable(what, near + 6, strlen(near + 6));
		}
		return;
	case json_error_numeric_overflow:
		lg_buf_adds(what,
			lg_starts_with(error->text, "real") ? "number beyond the range of a double"
							    : "integer beyond 64 bits");
		return;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		lg_buf_adds(what, "\\u0000 is not allowed in a string");
		return;
	case json_error_end_of_input_expected:
		lg_buf_adds(what, "unexpected text behind the value");
		return;
	default:
		break;
	}
	if (near && (strstr(near, "'NaN'") || strstr(near, "'Infinity'"))) {
		lg_buf_adds(what, "NaN and infinity are no JSON numbers");
		return;
	}
	lg_buf_add(what, error->text, near ? (size_t)(near - error->text) : strlen(error->text));
	if (near && strcmp(near, " near end of file") == 0)
		lg_buf_adds(what, " at the end of the text");
}

static int fail_syntax(const json_error_t *error, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	explain(error, &what);
	if (what.failed)
		return lg_fail_nomem(err);
	return lg_fail(err, LG_EINVALID, 0, "line %d column %d: %s", error->line > 0 ? error->line : 1,
		error->column > 0 ? error->column : 1, lg_buf_str(&what));
}

/* ret_code: jansson's, for whoever must tell kinds of failure apart; json_error_unknown for what is found before it runs. */
static int parse(const char *text, size_t len, size_t max, json_t **ret_json, enum json_error_code *ret_code,
	struct lg_error *err)
{
	*ret_code = json_error_unknown;
	if (len > max)
		return lg_fail(err, LG_EINVALID, 0, "the text has %zu bytes, the limit is %zu", len, max);
	if (len == 0)
		return lg_fail(err, LG_EINVALID, 0, "the text is empty");
	int rc = check_bytes(text, len, err);
	if (rc < 0)
		return rc;
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, watch_memory);
	memory_gone = false;
	json_error_t error;
	memset(&error, 0, sizeof error);
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (memory_gone) {
		json_decref(json);
		return lg_fail_nomem(err);
	}
	if (!json) {
		*ret_code = json_error_code(&error);
		return fail_syntax(&error, err);
	}
	*ret_json = json;
	return 0;
}

int lg_json_parse(const char *text, size_t len, size_t max, json_t **ret_json, struct lg_error *err)
{
	enum json_error_code code;
	return parse(text, len, max, ret_json, &code, err);
}

/* --- canonical form ---------------------------------------------------------------------------------------------- */

static int add_string(struct lg_buf *buf, const char *text, size_t len, struct lg_error *err)
{
	if (memchr(text, '\0', len))
		return lg_fail(err, LG_EINVALID, 0, "a string holds U+0000, which is not allowed");
	if (lg_utf8_valid_prefix(text, len) != len)
		return lg_fail(err, LG_EINVALID, 0, "a string is not valid UTF-8");
	lg_text_add_json_string(buf, text, len);
	return 0;
}

/* Digits of the shortest decimal that reads back as `value`.  Any decimal of up to 15 digits survives the way through a
 * normal double, so %.15g finds it when there is one; subnormals hold fewer digits and are searched from one. */
static void shortest_digits(double value, char *text, size_t size)
{
	for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
		snprintf(text, size, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			return;
	}
}

static int add_real(struct lg_buf *buf, double value, struct lg_error *err)
{
	if (!isfinite(value))
		return lg_fail(err, LG_EINVALID, 0, "NaN and infinity are no JSON numbers");
	if (value == 0)
		value = 0; /* -0.0 is 0.0 */
	char text[40];
	shortest_digits(value, text, sizeof text);
	bool marked = false;
	for (const char *p = text; *p; p++) {
		if (*p == 'e') { /* "e+07" → "e7" */
			marked = true;
			lg_buf_addc(buf, 'e');
			if (p[1] == '-')
				lg_buf_addc(buf, '-');
			p += 2;
			while (*p == '0' && p[1])
				p++;
			lg_buf_adds(buf, p);
			break;
		}
		if (isdigit((unsigned char)*p) || *p == '-') {
			lg_buf_addc(buf, *p);
		} else if (!marked) { /* the decimal point, whatever the locale writes */
			marked = true;
			lg_buf_addc(buf, '.');
		}
	}
	if (!marked)
		lg_buf_adds(buf, ".0");
	return 0;
}

struct member {
	const char *name;
	size_t len;
	const json_t *value;
};

static int compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	size_t common = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->name, y->name, common);
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int add_canonical(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err);

static int add_object(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err)
{
	/* jansson's iterators want a mutable object and change nothing in it */
	json_t *object = (json_t *)(uintptr_t)json;
	size_t count = json_object_size(object);
	lg_autofree struct member *members = calloc(count ? count : 1, sizeof *members);
	if (!members)
		return lg_fail_nomem(err);
	size_t i = 0;
	for (void *it = json_object_iter(object); it && i < count; it = json_object_iter_next(object, it))
		members[i++] = (struct member){ json_object_iter_key(it), json_object_iter_key_len(it),
			json_object_iter_value(it) };
	count = i;
	qsort(members, count, sizeof *members, compare_members);
	lg_buf_addc(buf, '{');
	for (i = 0; i < count; i++) {
		if (i)
			lg_buf_addc(buf, ',');
		int rc = add_string(buf, members[i].name, members[i].len, err);
		if (rc < 0)
			return rc;
		lg_buf_addc(buf, ':');
		rc = add_canonical(members[i].value, buf, depth, err);
		if (rc < 0)
			return rc;
	}
	lg_buf_addc(buf, '}');
	return 0;
}

static int add_array(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err)
{
	lg_buf_addc(buf, '[');
	for (size_t i = 0; i < json_array_size(json); i++) {
		if (i)
			lg_buf_addc(buf, ',');
		int rc = add_canonical(json_array_get(json, i), buf, depth, err);
		if (rc < 0)
			return rc;
	}
	lg_buf_addc(buf, ']');
	return 0;
}

/* depth: containers around json */
static int add_canonical(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err)
{
	if (depth >= LG_VALUE_DEPTH && (json_is_object(json) || json_is_array(json)))
		return lg_fail(
			err, LG_EINVALID, 0, "too deeply nested (the limit is %d levels)", LG_VALUE_DEPTH);
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return add_object(json, buf, depth + 1, err);
	case JSON_ARRAY:
		return add_array(json, buf, depth + 1, err);
	case JSON_STRING:
		return add_string(buf, json_string_value(json), json_string_length(json), err);
	case JSON_INTEGER:
		lg_buf_addf(buf, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
		return 0;
	case JSON_REAL:
		return add_real(buf, json_real_value(json), err);
	case JSON_TRUE:
		lg_buf_adds(buf, "true");
		return 0;
	case JSON_FALSE:
		lg_buf_adds(buf, "false");
		return 0;
	case JSON_NULL:
		lg_buf_adds(buf, "null");
		return 0;
	}
	return lg_fail(err, LG_EINTERNAL, 0, "unknown kind of JSON value");
}

/* Takes back what a failed function appended. */
static void truncate_to(struct lg_buf *buf, size_t len)
{
	buf->len = len;
	if (buf->data)
		buf->data[len] = '\0';
}

int lg_json_canonical(const json_t *json, struct lg_buf *buf, struct lg_error *err)
{
	size_t start = buf->len;
	int rc = json ? add_canonical(json, buf, 0, err) : lg_fail(err, LG_EINTERNAL, 0, "no JSON value");
	if (rc == 0)
		rc = lg_buf_check(buf, err);
	if (rc < 0)
		truncate_to(buf, start);
	return rc;
}

/* --- values ------------------------------------------------------------------------------------------------------ */

static int add_value(const json_t *json, struct lg_buf *ret_canonical, struct lg_error *err)
{
	if (json_object_get(json, LG_SECRET_MEMBER))
		return lg_fail(
			err, LG_EINVALID, 0, "member '%s' is reserved for sealed secrets", LG_SECRET_MEMBER);
	size_t start = ret_canonical->len;
	int rc = lg_json_canonical(json, ret_canonical, err);
	if (rc < 0)
		return rc;
	if (ret_canonical->len - start > LG_VALUE_MAX) { /* 1e300 and the like can grow a little */
		rc = lg_fail(err, LG_EINVALID, 0, "the value has %zu bytes in canonical form, the limit is %zu",
			ret_canonical->len - start, LG_VALUE_MAX);
		truncate_to(ret_canonical, start);
	}
	return rc;
}

int lg_value_parse(const char *text, size_t len, struct lg_buf *ret_canonical, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_json_parse(text, len, LG_VALUE_MAX, &json, err);
	return rc < 0 ? rc : add_value(json, ret_canonical, err);
}

static int add_text_value(const char *text, size_t len, struct lg_buf *ret_canonical, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = json_stringn(text, len);
	return json ? add_value(json, ret_canonical, err) : lg_fail_nomem(err);
}

int lg_value_from_argument(const char *text, struct lg_buf *ret_canonical, struct lg_error *err)
{
	size_t len = strlen(text);
	if (len > LG_VALUE_MAX || lg_utf8_valid_prefix(text, len) != len)
		return lg_value_parse(text, len, ret_canonical, err);
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	enum json_error_code code;
	int rc = parse(text, len, LG_VALUE_MAX, &json, &code, err);
	if (rc == 0)
		return add_value(json, ret_canonical, err);
	if (rc != LG_EINVALID)
		return rc;
	/* a number out of range is refused rather than quietly becoming text */
	const char *first = text + strspn(text, " \t\r\n");
	if (code == json_error_numeric_overflow || (*first && strchr("{[\"", *first)))
		return lg_context(
			err, rc, "not valid JSON (to store it as text, write it as a JSON string in quotes)");
	lg_error_clear(err);
	return add_text_value(text, len, ret_canonical, err);
}
