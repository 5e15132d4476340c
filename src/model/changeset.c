#include "model/changeset.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"
#include "model/value.h"

#include <stdlib.h>
#include <string.h>

static void clear_change(struct lg_change *change)
{
	free(change->key);
	free(change->value);
	free(change->bare);
}

void lg_changeset_clear(struct lg_changeset *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++)
		clear_change(&set->items[i]);
	free(set->items);
	*set = (struct lg_changeset)LG_CHANGESET_INIT;
}

static bool grow(struct lg_changeset *set)
{
	if (set->items && set->count < set->size)
		return true;
	size_t size = set->size ? set->size * 2 : 16;
	struct lg_change *items = reallocarray(set->items, size, sizeof *items);
	if (!items)
		return false;
	set->items = items;
	set->size = size;
	return true;
}

static char *copy_bytes(const char *data, size_t len)
{
	char *copy = malloc(len + 1);
	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

int lg_changeset_add(struct lg_changeset *set, const char *key, size_t key_len, const char *value,
	size_t value_len, struct lg_error *err)
{
	if (memchr(key, '\0', key_len))
		return lg_fail(err, LG_EINVALID, 0, "key '%s…': NUL byte", key);
	if (!grow(set))
		return lg_fail_nomem(err);
	struct lg_change change = { .key = copy_bytes(key, key_len) };
	if (value) {
		change.value = copy_bytes(value, value_len);
		change.value_len = value_len;
	}
	if (!change.key || (value && !change.value)) {
		clear_change(&change);
		return lg_fail_nomem(err);
	}
	set->items[set->count++] = change;
	return 0;
}

int lg_changeset_set_bare(struct lg_changeset *set, const char *text, struct lg_error *err)
{
	if (set->count == 0)
		return lg_fail(err, LG_EINTERNAL, 0, "no change to give a bare text to");
	char *copy = strdup(text);
	if (!copy)
		return lg_fail_nomem(err);
	struct lg_change *last = &set->items[set->count - 1];
	free(last->bare);
	last->bare = copy;
	return 0;
}

/* The bytes of UTF-8 and those of strcmp sort alike: it compares as unsigned char. */
static int compare_changes(const void *a, const void *b)
{
	const struct lg_change *x = a, *y = b;
	return strcmp(x->key, y->key);
}

static bool is_sorted(const struct lg_changeset *set)
{
	for (size_t i = 1; i < set->count; i++)
		if (strcmp(set->items[i - 1].key, set->items[i].key) >= 0)
			return false;
	return true;
}

int lg_changeset_sort(struct lg_changeset *set, struct lg_error *err)
{
	if (is_sorted(set))
		return 0;
	qsort(set->items, set->count, sizeof *set->items, compare_changes);
	for (size_t i = 1; i < set->count; i++) {
		const char *key = set->items[i].key;
		if (strcmp(set->items[i - 1].key, key) != 0)
			continue;
		lg_cleanup(lg_buf_clear) struct lg_buf shown = LG_BUF_INIT;
		lg_text_add_printable(&shown, key, strlen(key));
		return lg_fail(
			err, LG_EINVALID, 0, "key '%s' is changed twice in one change set", lg_buf_str(&shown));
	}
	return 0;
}

/* --- record bodies ----------------------------------------------------------------------------------------------- */

static size_t add_members(const struct lg_changeset *set, bool values, struct lg_buf *buf)
{
	size_t found = 0;
	for (size_t i = 0; i < set->count; i++) {
		const struct lg_change *change = &set->items[i];
		if (!!change->value != values)
			continue;
		if (found++)
			lg_buf_addc(buf, ',');
		lg_text_add_json_string(buf, change->key, strlen(change->key));
		if (!values)
			continue;
		lg_buf_addc(buf, ':');
		lg_buf_add(buf, change->value, change->value_len);
	}
	return found;
}

int lg_changeset_add_body(const struct lg_changeset *set, struct lg_buf *buf)
{
	size_t unset = 0;
	for (size_t i = 0; i < set->count; i++)
		unset += set->items[i].value == NULL;
	if (unset < set->count) {
		lg_buf_adds(buf, "\"set\":{");
		add_members(set, true, buf);
		lg_buf_addc(buf, '}');
	}
	if (unset) {
		lg_buf_adds(buf, unset < set->count ? ",\"unset\":[" : "\"unset\":[");
		add_members(set, false, buf);
		lg_buf_addc(buf, ']');
	}
	return buf->failed ? LG_ENOMEM : 0;
}

static int corrupt(struct lg_error *err, int rc)
{
	if (rc != LG_EINVALID)
		return rc;
	return lg_context(err, LG_ECORRUPT, "cannot read the body of a change");
}

static int read_set(const json_t *members, struct lg_changeset *set, struct lg_error *err)
{
	json_t *object = (json_t *)(uintptr_t)members; /* jansson iterates over mutable objects only */
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
		const char *key = json_object_iter_key(it);
		size_t len = json_object_iter_key_len(it);
		lg_buf_reset(&value);
		int rc = lg_key_check(key, len, err);
		if (rc == 0)
			rc = lg_json_canonical(json_object_iter_value(it), &value, err);
		if (rc == 0)
			rc = lg_changeset_add(set, key, len, value.data, value.len, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_unset(const json_t *keys, struct lg_changeset *set, struct lg_error *err)
{
	for (size_t i = 0; i < json_array_size(keys); i++) {
		const json_t *item = json_array_get(keys, i);
		const char *key = json_string_value(item);
		if (!key)
			return lg_fail(err, LG_EINVALID, 0, "'unset' holds something that is no key");
		size_t len = json_string_length(item);
		int rc = lg_key_check(key, len, err);
		if (rc == 0)
			rc = lg_changeset_add(set, key, len, NULL, 0, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_body(const json_t *body, struct lg_changeset *set, struct lg_error *err)
{
	const json_t *members = json_object_get(body, "set"), *keys = json_object_get(body, "unset");
	if (!json_is_object(body))
		return lg_fail(err, LG_EINVALID, 0, "it is no JSON object");
	if (members && !json_is_object(members))
		return lg_fail(err, LG_EINVALID, 0, "'set' is no JSON object");
	if (keys && !json_is_array(keys))
		return lg_fail(err, LG_EINVALID, 0, "'unset' is no list");
	int rc = read_set(members, set, err);
	if (rc == 0)
		rc = read_unset(keys, set, err);
	return rc < 0 ? rc : lg_changeset_sort(set, err);
}

int lg_changeset_from_body(const json_t *body, struct lg_changeset *ret_set, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	int rc = read_body(body, &set, err);
	if (rc < 0)
		return corrupt(err, rc);
	*ret_set = set;
	set = (struct lg_changeset)LG_CHANGESET_INIT;
	return 0;
}
