/* json.c - the document of json and yaml: {"configurations":{KEY:{"value":…}},"schema":{KEY:DECLARATION}}.
 *
 * Reading goes through a JSON tree.  Writing goes straight to the buffer, item by item: an export of 100,000 keys costs no
 * more than its bytes.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "format/internal.h"
#include "format/yaml_emit.h"
#include "model/key.h"
#include "model/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FORMAT_FAMILY "lastgood configuration "
#define FORMAT_NAME   FORMAT_FAMILY "1"

/* --- read -------------------------------------------------------------------------------------------------------- */

int lg_items_add_json(struct lg_items *items, const char *key, const json_t *json, const char *bare,
	size_t line, struct lg_problems *problems, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf canonical = LG_BUF_INIT;
	int rc = lg_json_canonical(json, &canonical, &why);
	if (rc == LG_EINVALID) {
		lg_problems_add(problems, key, "%s", why.message);
		return 0;
	}
	if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	if (canonical.len > LG_VALUE_MAX) {
		lg_problems_add(problems, key, "the value has %zu bytes in canonical form, the limit is %zu",
			canonical.len, LG_VALUE_MAX);
		return 0;
	}
	return lg_items_add(items, key, canonical.data, canonical.len, bare, line, err);
}

static int check_document(const char *name, const json_t *json, struct lg_error *err)
{
	const json_t *configurations = json_object_get(json, "configurations");
	const json_t *schema = json_object_get(json, "schema");
	if (!configurations && !schema)
		return lg_fail(err, LG_EINVALID, 0,
			"%s: not a configuration document: it must be {\"configurations\": {KEY: {\"value\": "
			"…}}}",
			name);
	if (configurations && !json_is_object(configurations))
		return lg_fail(err, LG_EINVALID, 0, "%s: 'configurations' is no object of keys", name);
	if (schema && !json_is_object(schema))
		return lg_fail(err, LG_EINVALID, 0, "%s: 'schema' is no object of keys", name);
	const char *format = json_string_value(json_object_get(json, "format"));
	if (format && lg_starts_with(format, FORMAT_FAMILY) && strcmp(format, FORMAT_NAME) != 0)
		return lg_fail(err, LG_ENEWER, 0,
			"%s: its format is '%.100s', this lastgood reads '" FORMAT_NAME
			"': use a newer lastgood",
			name, format);
	return 0;
}

static int read_configurations(
	json_t *configurations, struct lg_items *items, struct lg_problems *problems, struct lg_error *err)
{
	const char *key;
	json_t *entry;
	json_object_foreach(configurations, key, entry)
	{
		const json_t *value = json_object_get(entry, "value");
		if (!value) {
			lg_problems_add(problems, key,
				json_is_object(entry) ? "the entry has no 'value'"
						      : "the entry is no object with a 'value'");
			continue;
		}
		int rc = lg_items_add_json(items, key, value, NULL, 0, problems, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_schema(json_t *schema, const json_t *configurations, struct lg_items *items,
	struct lg_problems *problems, struct lg_error *err)
{
	const char *name;
	json_t *declaration;
	lg_cleanup(lg_buf_clear) struct lg_buf key = LG_BUF_INIT;
	json_object_foreach(schema, name, declaration)
	{
		lg_buf_reset(&key);
		lg_buf_adds(&key, LG_SCHEMA_SPACE);
		lg_buf_adds(&key, name);
		int rc = lg_buf_check(&key, err);
		if (rc < 0)
			return rc;
		if (json_object_get(configurations, key.data)) {
			lg_problems_add(problems, key.data, "it is both in 'configurations' and in 'schema'");
			continue;
		}
		rc = lg_items_add_json(items, key.data, declaration, NULL, 0, problems, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int lg_document_read(const char *name, const json_t *json, struct lg_items *items, struct lg_problems *problems,
	struct lg_error *err)
{
	int rc = check_document(name, json, err);
	if (rc < 0)
		return rc;
	json_t *configurations = json_object_get(json, "configurations");
	rc = read_configurations(configurations, items, problems, err);
	if (rc < 0)
		return rc;
	return read_schema(json_object_get(json, "schema"), configurations, items, problems, err);
}

/* --- write JSON -------------------------------------------------------------------------------------------------- */

static bool is_declaration(const struct lg_item *item)
{
	return lg_starts_with(item->key, LG_SCHEMA_SPACE);
}

static bool has_declarations(const struct lg_items *items)
{
	for (size_t i = 0; i < items->count; i++)
		if (is_declaration(&items->items[i]))
			return true;
	return false;
}

static void add_meta(const struct lg_format_meta *meta, struct lg_buf *buf)
{
	lg_buf_adds(buf, "  \"format\": \"" FORMAT_NAME "\",\n");
	if (meta->revision)
		lg_buf_addf(buf, "  \"revision\": %" PRIu64 ",\n", meta->revision);
	if (meta->root) {
		lg_buf_adds(buf, "  \"root\": ");
		lg_text_add_json_string(buf, meta->root, strlen(meta->root));
		lg_buf_adds(buf, ",\n");
	}
}

/* One entry a line: made to be read, and compared by diff. */
static void add_entries(const struct lg_items *items, bool declarations, struct lg_buf *buf)
{
	bool any = false;
	lg_buf_addc(buf, '{');
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *item = &items->items[i];
		if (is_declaration(item) != declarations)
			continue;
		const char *key = declarations ? item->key + strlen(LG_SCHEMA_SPACE) : item->key;
		lg_buf_adds(buf, any ? ",\n    " : "\n    ");
		lg_text_add_json_string(buf, key, strlen(key));
		lg_buf_adds(buf, declarations ? ": " : ": {\"value\": ");
		lg_buf_add(buf, item->value, item->value_len);
		if (!declarations)
			lg_buf_addc(buf, '}');
		any = true;
	}
	lg_buf_adds(buf, any ? "\n  }" : "}");
}

int lg_document_emit_json(const struct lg_items *items, const struct lg_format_meta *meta, struct lg_buf *buf,
	struct lg_error *err)
{
	lg_buf_adds(buf, "{\n");
	add_meta(meta, buf);
	lg_buf_adds(buf, "  \"configurations\": ");
	add_entries(items, false, buf);
	if (has_declarations(items)) {
		lg_buf_adds(buf, ",\n  \"schema\": ");
		add_entries(items, true, buf);
	}
	lg_buf_adds(buf, "\n}\n");
	return lg_buf_check(buf, err);
}

/* --- write YAML -------------------------------------------------------------------------------------------------- */

static int emit_text(struct lg_yaml_emitter *out, const char *key, const char *text, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = json_string(text);
	if (!json)
		return lg_fail_nomem(err);
	int rc = lg_yaml_emitter_key(out, key, strlen(key), err);
	return rc < 0 ? rc : lg_yaml_emitter_value(out, json, err);
}

static int emit_meta(struct lg_yaml_emitter *out, const struct lg_format_meta *meta, struct lg_error *err)
{
	int rc = emit_text(out, "format", FORMAT_NAME, err);
	if (rc == 0 && meta->revision) {
		lg_cleanup(lg_json_freep) json_t *json = json_integer((json_int_t)meta->revision);
		if (!json)
			return lg_fail_nomem(err);
		rc = lg_yaml_emitter_key(out, "revision", strlen("revision"), err);
		if (rc == 0)
			rc = lg_yaml_emitter_value(out, json, err);
	}
	if (rc == 0 && meta->root)
		rc = emit_text(out, "root", meta->root, err);
	return rc;
}

static int emit_entry(struct lg_yaml_emitter *out, const struct lg_item *item, struct lg_error *err)
{
	bool declaration = is_declaration(item);
	const char *key = declaration ? item->key + strlen(LG_SCHEMA_SPACE) : item->key;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_json_parse(item->value, item->value_len, LG_IMPORT_MAX, &json, err);
	if (rc < 0)
		return lg_context(err, rc, "value of '%s'", item->key);
	rc = lg_yaml_emitter_key(out, key, strlen(key), err);
	if (rc == 0 && !declaration) {
		rc = lg_yaml_emitter_open(out, false, err);
		if (rc == 0)
			rc = lg_yaml_emitter_key(out, "value", strlen("value"), err);
	}
	if (rc == 0)
		rc = lg_yaml_emitter_value(out, json, err);
	if (rc == 0 && !declaration)
		rc = lg_yaml_emitter_close(out, err);
	return rc;
}

static int emit_entries(
	struct lg_yaml_emitter *out, const struct lg_items *items, bool declarations, struct lg_error *err)
{
	const char *member = declarations ? "schema" : "configurations";
	size_t count = 0;
	for (size_t i = 0; i < items->count; i++)
		count += is_declaration(&items->items[i]) == declarations;
	int rc = lg_yaml_emitter_key(out, member, strlen(member), err);
	if (rc == 0)
		rc = lg_yaml_emitter_open(out, count == 0, err);
	for (size_t i = 0; rc == 0 && i < items->count; i++)
		if (is_declaration(&items->items[i]) == declarations)
			rc = emit_entry(out, &items->items[i], err);
	return rc < 0 ? rc : lg_yaml_emitter_close(out, err);
}

int lg_document_emit_yaml(const struct lg_items *items, const struct lg_format_meta *meta, struct lg_buf *buf,
	struct lg_error *err)
{
	struct lg_yaml_emitter out;
	int rc = lg_yaml_emitter_begin(&out, buf, err);
	if (rc == 0)
		rc = lg_yaml_emitter_open(&out, false, err);
	if (rc == 0)
		rc = emit_meta(&out, meta, err);
	if (rc == 0)
		rc = emit_entries(&out, items, false, err);
	if (rc == 0 && has_declarations(items))
		rc = emit_entries(&out, items, true, err);
	if (rc == 0)
		rc = lg_yaml_emitter_close(&out, err);
	return lg_yaml_emitter_end(&out, rc, err);
}
