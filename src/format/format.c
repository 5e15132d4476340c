#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- items ------------------------------------------------------------------------------------------------------- */

static void item_clear(struct lg_item *item)
{
	free(item->key);
	free(item->value);
	free(item->bare);
}

void lg_items_clear(struct lg_items *items)
{
	if (!items)
		return;
	for (size_t i = 0; i < items->count; i++)
		item_clear(&items->items[i]);
	free(items->items);
	*items = (struct lg_items)LG_ITEMS_INIT;
}

static char *copy_bytes(const char *data, size_t len)
{
	char *copy = malloc(len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

int lg_items_add(struct lg_items *items, const char *key, const char *value, size_t value_len, const char *bare,
	size_t line, struct lg_error *err)
{
	if (items->count == items->size) {
		size_t size = items->size ? items->size * 2 : 64;
		struct lg_item *grown = reallocarray(items->items, size, sizeof *grown);
		if (!grown)
			return lg_fail_nomem(err);
		items->items = grown;
		items->size = size;
	}
	struct lg_item item = { .key = strdup(key),
		.value = copy_bytes(value, value_len),
		.value_len = value_len,
		.bare = bare ? strdup(bare) : NULL,
		.line = line };
	if (!item.key || !item.value || (bare && !item.bare)) {
		item_clear(&item);
		return lg_fail_nomem(err);
	}
	items->items[items->count++] = item;
	return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum lg_format format;
} names[] = {
	{ "json", LG_FORMAT_JSON },
	{ "yaml", LG_FORMAT_YAML },
	{ "env", LG_FORMAT_ENV },
	{ "properties", LG_FORMAT_PROPERTIES },
};

static const struct {
	const char *ending;
	enum lg_format format;
} endings[] = {
	{ ".yaml", LG_FORMAT_YAML },
	{ ".yml", LG_FORMAT_YAML },
	{ ".env", LG_FORMAT_ENV },
	{ ".properties", LG_FORMAT_PROPERTIES },
};

int lg_format_from_name(const char *name, enum lg_format *ret_format, struct lg_error *err)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(name, names[i].name) == 0) {
			*ret_format = names[i].format;
			return 0;
		}
	}
	return lg_fail(err, LG_EINVALID, 0, "unknown format '%s': use json, yaml, env or properties", name);
}

enum lg_format lg_format_from_path(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t len = strlen(base);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t ending = strlen(endings[i].ending);
		if (len >= ending && strcasecmp(base + len - ending, endings[i].ending) == 0)
			return endings[i].format;
	}
	return lg_starts_with(base, ".env.") ? LG_FORMAT_ENV : LG_FORMAT_JSON;
}

/* --- parse ------------------------------------------------------------------------------------------------------- */

static int parse_tree(enum lg_format format, const char *name, const char *text, size_t len,
	struct lg_items *items, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc;
	if (format == LG_FORMAT_YAML) {
		rc = lg_yaml_parse(name, text, len, &json, err);
	} else {
		rc = lg_json_parse(text, len, LG_IMPORT_MAX, &json, err);
		if (rc < 0)
			return lg_context(err, rc, "%s", name);
	}
	return rc < 0 ? rc : lg_document_read(name, json, items, problems, err);
}

static int parse_flat(enum lg_format format, const char *name, const char *text, size_t len,
	struct lg_items *items, struct lg_problems *problems, struct lg_error *err)
{
	int rc = lg_text_check(name, text, len, err);
	if (rc < 0)
		return rc;
	struct lg_flat flat = {
		.name = name, .text = text, .len = len, .items = items, .problems = problems, .line = 1
	};
	rc = format == LG_FORMAT_ENV ? lg_env_parse(&flat, err) : lg_properties_parse(&flat, err);
	lg_flat_clear(&flat);
	return rc;
}

int lg_format_parse(enum lg_format format, const char *name, const char *text, size_t len,
	struct lg_items *ret_items, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	int rc = LG_EINTERNAL;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
		text += 3;
		len -= 3;
	}
	switch (format) {
	case LG_FORMAT_JSON:
	case LG_FORMAT_YAML:
		rc = parse_tree(format, name, text, len, &items, problems, err);
		break;
	case LG_FORMAT_ENV:
	case LG_FORMAT_PROPERTIES:
		rc = parse_flat(format, name, text, len, &items, problems, err);
		break;
	}
	if (rc < 0)
		return rc;
	*ret_items = items;
	items = (struct lg_items)LG_ITEMS_INIT;
	return 0;
}

/* --- emit -------------------------------------------------------------------------------------------------------- */

int lg_format_emit(enum lg_format format, const struct lg_items *items, const struct lg_format_meta *meta,
	struct lg_buf *buf, struct lg_problems *problems, struct lg_error *err)
{
	static const struct lg_format_meta no_meta;
	size_t before = buf->len;
	int rc = LG_EINTERNAL;
	if (!meta)
		meta = &no_meta;
	switch (format) {
	case LG_FORMAT_JSON:
		rc = lg_document_emit_json(items, meta, buf, err);
		break;
	case LG_FORMAT_YAML:
		rc = lg_document_emit_yaml(items, meta, buf, err);
		break;
	case LG_FORMAT_ENV:
		rc = lg_env_emit(items, buf, problems, err);
		break;
	case LG_FORMAT_PROPERTIES:
		rc = lg_properties_emit(items, buf, err);
		break;
	}
	if (rc == 0)
		rc = lg_buf_check(buf, err);
	if (rc < 0 && buf->data) {
		buf->len = before;
		buf->data[before] = '\0';
	}
	return rc;
}
