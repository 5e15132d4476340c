#include "host/adapter/render.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "format/format.h"
#include "io/file.h"
#include "model/secret.h"
#include "model/value.h"

#include <stdlib.h>
#include <string.h>

#define TEMPLATE_MAX ((size_t)4 * 1024 * 1024)

struct rendering {
	const struct lg_adapter_spec *spec;
	const struct lg_tree *tree;
	size_t prefix_len;
	lg_adapter_reveal *reveal;
	void *reveal_arg;
	bool secret;
	struct lg_buf plain; /* the opened value, until the next entry */
	json_t *json;        /* json: the document; env: NAME → key, to find two keys of one name */
	struct lg_buf *out;
	int rc; /* template: why a lookup failed */
	struct lg_error *err;
};

/* The entry's value as the file gets it. */
static int open_value(
	struct rendering *r, const struct lg_entry *entry, const char **ret_value, size_t *ret_len)
{
	if (!lg_secret_is_sealed(entry->value, entry->value_len)) {
		*ret_value = entry->value;
		*ret_len = entry->value_len;
		return 0;
	}
	if (!r->reveal)
		return lg_fail(r->err, LG_EPERM, 0, "'%s' is a secret and cannot be opened here", entry->key);
	lg_buf_reset(&r->plain);
	int rc = r->reveal(r->reveal_arg, entry, &r->plain, r->err);
	if (rc < 0)
		return rc;
	r->secret = true;
	*ret_value = lg_buf_str(&r->plain);
	*ret_len = r->plain.len;
	return 0;
}

static int parse_value(struct rendering *r, const struct lg_entry *entry, json_t **ret_json)
{
	const char *value;
	size_t len;
	int rc = open_value(r, entry, &value, &len);
	if (rc == 0)
		rc = lg_json_parse(value, len, LG_VALUE_MAX, ret_json, r->err);
	return rc < 0 ? lg_context(r->err, rc, "'%s'", entry->key) : 0;
}

/* --- json -------------------------------------------------------------------------------------------------------- */

/* The object that the key's last segment goes into; *ret_last is that segment. */
static int json_parent(
	struct rendering *r, const struct lg_entry *entry, json_t **ret_parent, const char **ret_last)
{
	json_t *at = r->json;
	const char *segment = entry->key + r->prefix_len;
	const char *slash;
	while ((slash = strchr(segment, '/'))) {
		struct lg_entry parent;
		if (lg_tree_get(r->tree, entry->key, (size_t)(slash - entry->key), &parent))
			return lg_fail(r->err, LG_EINVALID, 0,
				"'%.*s' is a value and the parent of '%s': json cannot hold both",
				(int)(slash - entry->key), entry->key, entry->key);
		lg_autofree char *name = strndup(segment, (size_t)(slash - segment));
		if (!name)
			return lg_fail_nomem(r->err);
		json_t *next = json_object_get(at, name);
		if (!next && json_object_set_new(at, name, next = json_object()) < 0)
			return lg_fail_nomem(r->err);
		at = next;
		segment = slash + 1;
	}
	*ret_parent = at;
	*ret_last = segment;
	return 0;
}

static int add_json_entry(void *arg, const struct lg_entry *entry)
{
	struct rendering *r = arg;
	json_t *parent = NULL;
	const char *last = NULL;
	int rc = json_parent(r, entry, &parent, &last);
	if (rc < 0)
		return rc;
	json_t *value = NULL;
	rc = parse_value(r, entry, &value);
	if (rc < 0)
		return rc;
	return json_object_set_new(parent, last, value) < 0 ? lg_fail_nomem(r->err) : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void new_line(struct lg_buf *buf, size_t level)
{
	lg_buf_addc(buf, '\n');
	for (size_t i = 0; i < level; i++)
		lg_buf_adds(buf, "  ");
}

static int print_json(const json_t *json, size_t level, struct lg_buf *buf, struct lg_error *err);

static int print_object(const json_t *object, size_t level, struct lg_buf *buf, struct lg_error *err)
{
	size_t count = json_object_size(object), n = 0;
	lg_autofree const char **names = calloc(count + 1, sizeof *names);
	if (!names)
		return lg_fail_nomem(err);
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value)
	{
		names[n++] = name;
	}
	qsort(names, count, sizeof *names, compare_names);
	lg_buf_addc(buf, '{');
	for (size_t i = 0; i < count; i++) {
		if (i)
			lg_buf_addc(buf, ',');
		new_line(buf, level + 1);
		lg_text_add_json_string(buf, names[i], strlen(names[i]));
		lg_buf_adds(buf, ": ");
		int rc = print_json(json_object_get(object, names[i]), level + 1, buf, err);
		if (rc < 0)
			return rc;
	}
	if (count)
		new_line(buf, level);
	lg_buf_addc(buf, '}');
	return 0;
}

static int print_array(const json_t *array, size_t level, struct lg_buf *buf, struct lg_error *err)
{
	lg_buf_addc(buf, '[');
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (i)
			lg_buf_addc(buf, ',');
		new_line(buf, level + 1);
		int rc = print_json(json_array_get(array, i), level + 1, buf, err);
		if (rc < 0)
			return rc;
	}
	if (json_array_size(array))
		new_line(buf, level);
	lg_buf_addc(buf, ']');
	return 0;
}

/* Recursion is bounded: segments of a key (LG_KEY_MAX) and levels of a value (LG_VALUE_DEPTH). */
static int print_json(const json_t *json, size_t level, struct lg_buf *buf, struct lg_error *err)
{
	if (json_is_object(json))
		return print_object(json, level, buf, err);
	if (json_is_array(json))
		return print_array(json, level, buf, err);
	return lg_json_canonical(json, buf, err);
}

static int render_json(struct rendering *r)
{
	r->json = json_object();
	if (!r->json)
		return lg_fail_nomem(r->err);
	int rc = lg_tree_walk(r->tree, r->spec->prefix, r->prefix_len, add_json_entry, r);
	if (rc == 0)
		rc = print_json(r->json, 0, r->out, r->err);
	lg_buf_addc(r->out, '\n');
	return rc;
}

/* --- env --------------------------------------------------------------------------------------------------------- */

/* The variable's name for a key; NULL when it has none or memory is gone. */
static char *env_name(const char *key, bool upper)
{
	struct lg_buf name = LG_BUF_INIT;
	bool fine = !(*key >= '0' && *key <= '9');
	for (; *key && fine; key++) {
		bool lower = *key >= 'a' && *key <= 'z';
		fine = lower || (*key >= 'A' && *key <= 'Z') || (*key >= '0' && *key <= '9') || *key == '_' ||
			*key == '/';
		if (*key == '/')
			lg_buf_adds(&name, "__");
		else
			lg_buf_addc(&name, lower && upper ? (char)(*key - 'a' + 'A') : *key);
	}
	char *text = fine ? lg_buf_steal(&name) : NULL;
	lg_buf_clear(&name);
	return text;
}

static int add_env_value(struct rendering *r, const char *text, size_t len)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,=-";
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return lg_fail(r->err, LG_EINVALID, 0,
				"its value has a control character (\\x%02x), which an env file cannot hold",
				(unsigned)(unsigned char)text[i]);
	if (strspn(text, bare) == len)
		return lg_buf_add(r->out, text, len);
	if (!memchr(text, '\'', len)) {
		lg_buf_addc(r->out, '\'');
		lg_buf_add(r->out, text, len);
		return lg_buf_addc(r->out, '\'');
	}
	lg_buf_addc(r->out, '"');
	for (size_t i = 0; i < len; i++) {
		if (strchr("\"\\$`", text[i]))
			lg_buf_addc(r->out, '\\');
		lg_buf_addc(r->out, text[i]);
	}
	return lg_buf_addc(r->out, '"');
}

/* Two keys can have one name: "a/b" and "a__b", or, in upper case, "max" and "Max". */
static int claim_name(struct rendering *r, const char *name, const struct lg_entry *entry)
{
	const char *other = json_string_value(json_object_get(r->json, name));
	if (other)
		return lg_fail(r->err, LG_EINVALID, 0, "'%s' and '%s' are both written as %s", other,
			entry->key, name);
	if (json_object_set_new(r->json, name, json_string(entry->key)) < 0)
		return lg_fail_nomem(r->err);
	return 0;
}

static int add_env_entry(void *arg, const struct lg_entry *entry)
{
	struct rendering *r = arg;
	lg_autofree char *name = env_name(entry->key + r->prefix_len, r->spec->upper_names);
	if (!name)
		return lg_fail(r->err, LG_EINVALID, 0,
			"'%s' has no name in an env file: letters, digits and '_' only, not beginning with a "
			"digit",
			entry->key);
	int rc = claim_name(r, name, entry);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_json_freep) json_t *value = NULL;
	rc = parse_value(r, entry, &value);
	if (rc < 0)
		return rc;
	lg_buf_addf(r->out, "%s=", name);
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	if (json_is_string(value))
		lg_buf_add(&text, json_string_value(value), json_string_length(value));
	else
		rc = lg_json_canonical(value, &text, r->err);
	if (rc == 0)
		rc = lg_buf_check(&text, r->err);
	if (rc == 0)
		rc = add_env_value(r, lg_buf_str(&text), text.len);
	lg_buf_addc(r->out, '\n');
	return rc < 0 ? lg_context(r->err, rc, "'%s'", entry->key) : 0;
}

static int render_env(struct rendering *r)
{
	r->json = json_object();
	if (!r->json)
		return lg_fail_nomem(r->err);
	return lg_tree_walk(r->tree, r->spec->prefix, r->prefix_len, add_env_entry, r);
}

/* --- template ---------------------------------------------------------------------------------------------------- */

static int find_value(void *arg, const char *key, size_t key_len, const char **ret_value, size_t *ret_len)
{
	struct rendering *r = arg;
	lg_cleanup(lg_buf_clear) struct lg_buf full = LG_BUF_INIT;
	lg_buf_add(&full, r->spec->prefix, r->prefix_len);
	lg_buf_add(&full, key, key_len);
	struct lg_entry entry;
	if (r->rc < 0)
		return 0;
	if (full.failed) {
		r->rc = LG_ENOMEM;
		return 0;
	}
	if (!lg_tree_get(r->tree, full.data, full.len, &entry))
		return 0;
	r->rc = open_value(r, &entry, ret_value, ret_len);
	return r->rc == 0;
}

static int render_template(struct rendering *r)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_file_read(r->spec->template_path, TEMPLATE_MAX, &text, r->err);
	if (rc < 0)
		return rc == LG_ENOTFOUND ? LG_EFAILED : rc; /* not what the caller asked for */
	/* a lookup can only say "absent"; what it really met is in r->rc and its own error */
	struct lg_error *err = r->err, own = LG_ERROR_INIT;
	r->err = &own;
	rc = lg_template_render(
		r->spec->template_path, lg_buf_str(&text), text.len, find_value, r, r->out, err);
	r->err = err;
	if (r->rc < 0)
		return lg_fail(err, r->rc, 0, "%s", own.message[0] ? own.message : "out of memory");
	return rc;
}

/* --- all three --------------------------------------------------------------------------------------------------- */

static int render_format(struct rendering *r)
{
	switch (r->spec->format) {
	case LG_ADAPTER_JSON:
		return render_json(r);
	case LG_ADAPTER_ENV:
		return render_env(r);
	case LG_ADAPTER_TEMPLATE:
		return render_template(r);
	}
	return lg_fail(r->err, LG_EINTERNAL, 0, "the adapter has no format");
}

int lg_render(const struct lg_adapter_spec *spec, const struct lg_tree *tree, lg_adapter_reveal *reveal,
	void *reveal_arg, struct lg_buf *buf, bool *ret_secret, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct rendering r = {
		.spec = spec,
		.tree = tree,
		.prefix_len = strlen(spec->prefix),
		.reveal = reveal,
		.reveal_arg = reveal_arg,
		.out = &out,
		.err = err,
	};
	int rc = render_format(&r);
	if (rc == 0 && (out.failed || lg_buf_add(buf, lg_buf_str(&out), out.len) < 0))
		rc = lg_fail_nomem(err);
	json_decref(r.json);
	lg_buf_clear(&r.plain);
	if (rc < 0)
		return rc;
	*ret_secret = r.secret;
	return 0;
}
