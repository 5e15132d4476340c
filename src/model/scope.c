/* The keys that a selector covers form one of three shapes:
 *	plain     "web/", "x"      the keys and their declarations, @schema/web/…, @schema/x
 *	schema    "@schema/…"      declarations only
 *	flag      "@flag/…"        flags only
 * The intersection of two selectors is always again one selector, or empty.  A selector without the keys of some others
 * is empty only when one of these covers it alone, since a prefix has endlessly many keys.  So overlaps and contains can
 * be answered pair by pair, and the answers are exact. */
#include "model/scope.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"
#include "model/value.h"

#include <stdlib.h>
#include <string.h>

#define SCHEMA_LEN (sizeof LG_SCHEMA_SPACE - 1)

/* --- selectors --------------------------------------------------------------------------------------------------- */

static bool is_schema(const char *key, size_t len)
{
	return len >= SCHEMA_LEN && memcmp(key, LG_SCHEMA_SPACE, SCHEMA_LEN) == 0;
}

static bool is_prefix(const char *selector)
{
	size_t len = strlen(selector);
	return len > 0 && selector[len - 1] == '/';
}

/* By bytes alone: `name` is the selected key, or below the selected prefix.  name may itself be a prefix. */
static bool selects(const char *selector, const char *name, size_t len)
{
	size_t n = strlen(selector);
	if (n == 0 || len < n || memcmp(selector, name, n) != 0)
		return false;
	return len == n || selector[n - 1] == '/';
}

/* Every key of `name` (a key, or a selector) is covered by selector. */
static bool covers(const char *selector, const char *name, size_t len)
{
	if (selects(selector, name, len))
		return true;
	return selector[0] != '@' && is_schema(name, len) &&
		selects(selector, name + SCHEMA_LEN, len - SCHEMA_LEN);
}

/* First place whose selector is not below text. */
static size_t find_place(char *const *list, size_t count, const char *text, size_t len)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		/* a selector that text goes on from is below it, as with strcmp() */
		if (strncmp(list[middle], text, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool holds(char *const *list, size_t count, const char *text, size_t len)
{
	size_t at = find_place(list, count, text, len);
	return at < count && strncmp(list[at], text, len) == 0 && list[at][len] == '\0';
}

/* What selects name is name itself, or what it has up to one of its slashes; lists are sorted. */
static bool any_selects(char *const *list, size_t count, const char *name, size_t len)
{
	if (count == 0 || len == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '/' && holds(list, count, name, i + 1))
			return true;
	return holds(list, count, name, len);
}

static bool any_covers(char *const *list, size_t count, const char *name, size_t len)
{
	if (any_selects(list, count, name, len))
		return true;
	return len > SCHEMA_LEN && is_schema(name, len) && name[SCHEMA_LEN] != '@' &&
		any_selects(list, count, name + SCHEMA_LEN, len - SCHEMA_LEN);
}

/* The keys that a and b both cover, as one selector.  It is b, a, or (a plain one and a declaration prefix above it) the
 * declarations of one; buf holds the latter.  NULL: none. */
static const char *intersect(const char *a, const char *b, char buf[static SCHEMA_LEN + LG_KEY_MAX + 2])
{
	if (covers(a, b, strlen(b)))
		return b;
	if (covers(b, a, strlen(a)))
		return a;
	const char *plain = a[0] == '@' ? b : a;
	const char *schema = plain == a ? b : a;
	if (plain[0] == '@' || !is_schema(schema, strlen(schema)))
		return NULL;
	/* covers() took the case that plain is the wider one; here it lies below the declaration prefix */
	const char *declared = schema + SCHEMA_LEN;
	if (!is_prefix(schema) || (*declared && !selects(declared, plain, strlen(plain))))
		return NULL;
	memcpy(buf, LG_SCHEMA_SPACE, SCHEMA_LEN);
	memcpy(buf + SCHEMA_LEN, plain, strlen(plain) + 1);
	return buf;
}

/* --- lists ------------------------------------------------------------------------------------------------------- */

static void clear_list(char ***list, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

static int copy_list(char *const *list, size_t count, char ***ret_list, size_t *ret_count, struct lg_error *err)
{
	if (!count)
		return 0;
	char **copy = calloc(count, sizeof *copy);
	size_t done = 0;
	while (copy && done < count && (copy[done] = strdup(list[done])))
		done++;
	if (!copy || done < count) {
		clear_list(&copy, &done);
		return lg_fail_nomem(err);
	}
	*ret_list = copy;
	*ret_count = count;
	return 0;
}

/* Drops what `text` selects: it stands together. */
static void drop_selected(char **list, size_t *count, const char *text, size_t len)
{
	size_t from = find_place(list, *count, text, len);
	size_t to = from;
	while (to < *count && selects(text, list[to], strlen(list[to])))
		free(list[to++]);
	if (to > from)
		memmove(list + from, list + to, (*count - to) * sizeof *list);
	*count -= to - from;
}

/* Drops what the new selector covers. */
static void drop_covered(char **list, size_t *count, const char *selector, size_t len)
{
	char declared[SCHEMA_LEN + LG_KEY_MAX + 2];
	drop_selected(list, count, selector, len);
	if (selector[0] == '@')
		return;
	memcpy(declared, LG_SCHEMA_SPACE, SCHEMA_LEN);
	memcpy(declared + SCHEMA_LEN, selector, len + 1);
	drop_selected(list, count, declared, SCHEMA_LEN + len);
}

static int add_selector(char ***list, size_t *count, const char *selector, struct lg_error *err)
{
	size_t len = strlen(selector);
	int rc = is_prefix(selector) ? lg_prefix_check(selector, len, err) : lg_key_check(selector, len, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot use this selector in a scope");
	if (any_covers(*list, *count, selector, len))
		return 0;
	char **grown = realloc(*list, (*count + 1) * sizeof *grown);
	if (grown)
		*list = grown;
	char *copy = strdup(selector);
	if (!grown || !copy) {
		free(copy);
		return lg_fail_nomem(err);
	}
	drop_covered(grown, count, selector, len);
	size_t at = find_place(grown, *count, selector, len);
	memmove(grown + at + 1, grown + at, (*count - at) * sizeof *grown);
	grown[at] = copy;
	++*count;
	return 0;
}

static bool lists_equal(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

/* --- scopes ------------------------------------------------------------------------------------------------------ */

void lg_scope_clear(struct lg_scope *scope)
{
	if (!scope)
		return;
	clear_list(&scope->include, &scope->include_count);
	clear_list(&scope->exclude, &scope->exclude_count);
}

int lg_scope_copy(const struct lg_scope *scope, struct lg_scope *ret_scope, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope copy = LG_SCOPE_ALL;
	int rc = copy_list(scope->include, scope->include_count, &copy.include, &copy.include_count, err);
	if (rc == 0)
		rc = copy_list(scope->exclude, scope->exclude_count, &copy.exclude, &copy.exclude_count, err);
	if (rc < 0)
		return rc;
	*ret_scope = copy;
	copy = (struct lg_scope)LG_SCOPE_ALL;
	return 0;
}

int lg_scope_include(struct lg_scope *scope, const char *selector, struct lg_error *err)
{
	return add_selector(&scope->include, &scope->include_count, selector, err);
}

int lg_scope_exclude(struct lg_scope *scope, const char *selector, struct lg_error *err)
{
	return add_selector(&scope->exclude, &scope->exclude_count, selector, err);
}

bool lg_scope_is_all(const struct lg_scope *scope)
{
	return scope->include_count == 0 && scope->exclude_count == 0;
}

bool lg_scope_covers(const struct lg_scope *scope, const char *key, size_t len)
{
	if (any_covers(scope->exclude, scope->exclude_count, key, len))
		return false;
	return scope->include_count == 0 || any_covers(scope->include, scope->include_count, key, len);
}

bool lg_scope_equal(const struct lg_scope *a, const struct lg_scope *b)
{
	return lists_equal(a->include, a->include_count, b->include, b->include_count) &&
		lists_equal(a->exclude, a->exclude_count, b->exclude, b->exclude_count);
}

static bool excludes(const struct lg_scope *scope, const char *selector)
{
	return any_covers(scope->exclude, scope->exclude_count, selector, strlen(selector));
}

/* Some key of selector is in b, leaving out what a or b exclude. */
static bool selector_overlaps(const char *selector, const struct lg_scope *a, const struct lg_scope *b)
{
	if (b->include_count == 0)
		return !excludes(a, selector) && !excludes(b, selector);
	char buf[SCHEMA_LEN + LG_KEY_MAX + 2];
	for (size_t i = 0; i < b->include_count; i++) {
		const char *both = intersect(selector, b->include[i], buf);
		if (both && !excludes(a, both) && !excludes(b, both))
			return true;
	}
	return false;
}

bool lg_scope_overlaps(const struct lg_scope *a, const struct lg_scope *b)
{
	if (a->include_count == 0) {
		const struct lg_scope *other = b;
		b = a;
		a = other;
	}
	if (a->include_count == 0)
		return true; /* everything twice: no list of excludes leaves nothing */
	for (size_t i = 0; i < a->include_count; i++)
		if (selector_overlaps(a->include[i], a, b))
			return true;
	return false;
}

/* Every key of selector that inner does not exclude is in outer. */
static bool contains_selector(const struct lg_scope *outer, const struct lg_scope *inner, const char *selector)
{
	if (excludes(inner, selector))
		return true;
	if (outer->include_count &&
		!any_covers(outer->include, outer->include_count, selector, strlen(selector)))
		return false;
	char buf[SCHEMA_LEN + LG_KEY_MAX + 2];
	for (size_t i = 0; i < outer->exclude_count; i++) {
		const char *lost = intersect(selector, outer->exclude[i], buf);
		if (lost && !excludes(inner, lost))
			return false;
	}
	return true;
}

bool lg_scope_contains(const struct lg_scope *outer, const struct lg_scope *inner)
{
	if (inner->include_count == 0) {
		if (outer->include_count)
			return false;
		for (size_t i = 0; i < outer->exclude_count; i++)
			if (!excludes(inner, outer->exclude[i]))
				return false;
		return true;
	}
	for (size_t i = 0; i < inner->include_count; i++)
		if (!contains_selector(outer, inner, inner->include[i]))
			return false;
	return true;
}

/* --- JSON and text ----------------------------------------------------------------------------------------------- */

static int list_to_json(json_t *object, const char *name, char *const *list, size_t count, struct lg_error *err)
{
	if (!count)
		return 0;
	json_t *array = json_array();
	for (size_t i = 0; array && i < count; i++) {
		if (json_array_append_new(array, json_string(list[i])) < 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return json_object_set_new(object, name, array) < 0 ? lg_fail_nomem(err) : 0;
}

int lg_scope_to_json(const struct lg_scope *scope, json_t **ret_json, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = json_object();
	if (!json)
		return lg_fail_nomem(err);
	int rc = list_to_json(json, "exclude", scope->exclude, scope->exclude_count, err);
	if (rc == 0)
		rc = list_to_json(json, "include", scope->include, scope->include_count, err);
	if (rc < 0)
		return rc;
	*ret_json = lg_steal_ptr(&json);
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* An empty list is refused: a list that some program filtered down to nothing must not come to mean everything. */
static int list_from_json(struct lg_scope *scope, const char *name, const json_t *array, struct lg_error *err)
{
	int (*add)(struct lg_scope *, const char *, struct lg_error *);
	if (strcmp(name, "include") == 0)
		add = lg_scope_include;
	else if (strcmp(name, "exclude") == 0)
		add = lg_scope_exclude;
	else
		return lg_fail(err, LG_EINVALID, 0, "a scope has 'include' and 'exclude' only");
	const size_t count = json_array_size(array);
	if (!json_is_array(array) || count == 0)
		return lg_fail(err, LG_EINVALID, 0, "'%s' of a scope is a list of at least one selector", name);
	lg_autofree const char **selectors = calloc(count, sizeof *selectors);
	if (!selectors)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(array, i);
		selectors[i] = json_string_value(item);
		if (!selectors[i] || strlen(selectors[i]) != json_string_length(item))
			return lg_fail(
				err, LG_EINVALID, 0, "'%s' of a scope holds something that is no key", name);
	}
	/* in order, each goes to the end of the list */
	qsort(selectors, count, sizeof *selectors, compare_texts);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add(scope, selectors[i], err);
	return rc;
}

int lg_scope_from_json(const json_t *json, struct lg_scope *ret_scope, struct lg_error *err)
{
	if (!json_is_object(json))
		return lg_fail(err, LG_EINVALID, 0, "a scope is a JSON object");
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	json_t *object =
		(json_t *)(uintptr_t)json; /* jansson iterates over mutable objects only; nothing is changed */
	const char *name;
	json_t *list;
	json_object_foreach(object, name, list)
	{
		int rc = list_from_json(&scope, name, list, err);
		if (rc < 0)
			return rc;
	}
	*ret_scope = scope;
	scope = (struct lg_scope)LG_SCOPE_ALL;
	return 0;
}

static void add_list(struct lg_buf *buf, const char *name, char *const *list, size_t count)
{
	lg_text_add_json_string(buf, name, strlen(name));
	lg_buf_addc(buf, ':');
	for (size_t i = 0; i < count; i++) {
		lg_buf_addc(buf, i ? ',' : '[');
		lg_text_add_json_string(buf, list[i], strlen(list[i]));
	}
	lg_buf_addc(buf, ']');
}

int lg_scope_add_canonical(const struct lg_scope *scope, struct lg_buf *buf)
{
	lg_buf_addc(buf, '{');
	if (scope->exclude_count)
		add_list(buf, "exclude", scope->exclude, scope->exclude_count);
	if (scope->exclude_count && scope->include_count)
		lg_buf_addc(buf, ',');
	if (scope->include_count)
		add_list(buf, "include", scope->include, scope->include_count);
	lg_buf_addc(buf, '}');
	return buf->failed ? LG_ENOMEM : 0;
}

/* As many are named; a line must stay one that can be read. */
#define NAMED_MAX 10

static void describe_list(struct lg_buf *buf, char *const *list, size_t count)
{
	size_t named = count > NAMED_MAX + 1 ? NAMED_MAX : count;
	for (size_t i = 0; i < named; i++) {
		if (i)
			lg_buf_adds(buf, ", ");
		lg_text_add_printable(buf, list[i], strlen(list[i]));
	}
	if (named < count)
		lg_buf_addf(buf, " and %zu more", count - named);
}

int lg_scope_describe(const struct lg_scope *scope, struct lg_buf *buf)
{
	if (scope->include_count == 0)
		lg_buf_adds(buf, "everything");
	describe_list(buf, scope->include, scope->include_count);
	if (scope->exclude_count)
		lg_buf_adds(buf, " except ");
	describe_list(buf, scope->exclude, scope->exclude_count);
	return buf->failed ? LG_ENOMEM : 0;
}
