/* Every allocation of the room's work fails once, the 1st, the 2nd, … until a run in which none does.  Each run either
 * succeeds with the right result or says LG_ENOMEM, leaves its output alone, and (under ASan) leaks nothing.  The linker
 * puts the functions here in front of the allocator (--wrap). */
#include "base/cleanup.h"
#include "model/changeset.h"
#include "model/schema.h"
#include "model/scope.h"
#include "model/secret.h"
#include "model/tree.h"
#include "model/value.h"
#include "support/allocation.h"
#include "support/support.h"

#include <string.h>

/* One piece of work with its result appended to out. */
struct row {
	const char *name;
	int (*work)(struct lg_buf *out, struct lg_error *err);
	const char *want;
};

static int work_value(struct lg_buf *out, struct lg_error *err)
{
	static const char text[] = "{\"b\":[1,2.5,\"a text that is longer than sixteen "
				   "bytes\",null],\"a\":{\"x\":1234567890123456789}}";
	return lg_value_parse(text, strlen(text), out, err);
}

/* What a dropped byte would make another number of. */
static int work_number(struct lg_buf *out, struct lg_error *err)
{
	return lg_value_from_argument("0.1234567890123456789012345678901234567890e5", out, err);
}

static int work_scope(struct lg_buf *out, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL, copy = LG_SCOPE_ALL,
						   back = LG_SCOPE_ALL;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_scope_include(&scope, "web/tmp/", err);
	rc = rc < 0 ? rc : lg_scope_include(&scope, "db/", err);
	rc = rc < 0 ? rc : lg_scope_include(&scope, "web/", err);
	rc = rc < 0 ? rc : lg_scope_exclude(&scope, "web/x", err);
	rc = rc < 0 ? rc : lg_scope_copy(&scope, &copy, err);
	rc = rc < 0 ? rc : lg_scope_to_json(&copy, &json, err);
	rc = rc < 0 ? rc : lg_scope_from_json(json, &back, err);
	return rc < 0 ? rc : lg_scope_add_canonical(&back, out);
}

static int work_changeset(struct lg_buf *out, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT, back = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_changeset_add(&set, "b", 1, "[1]", 3, err);
	rc = rc < 0 ? rc : lg_changeset_set_bare(&set, "x", err);
	rc = rc < 0 ? rc : lg_changeset_add(&set, "a", 1, NULL, 0, err);
	rc = rc < 0 ? rc : lg_changeset_sort(&set, err);
	if (rc < 0)
		return rc;
	lg_buf_addc(&body, '{');
	lg_changeset_add_body(&set, &body);
	lg_buf_addc(&body, '}');
	rc = lg_buf_check(&body, err);
	rc = rc < 0 ? rc : lg_json_parse(body.data, body.len, LG_VALUE_MAX, &json, err);
	rc = rc < 0 ? rc : lg_changeset_from_body(json, &back, err);
	return rc < 0 ? rc : lg_changeset_add_body(&back, out);
}

static int work_secret(struct lg_buf *out, struct lg_error *err)
{
	static const uint8_t key[LG_SECRET_KEY_SIZE] = { 1 };
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	int rc = lg_secret_seal(key, "db/password", "\"hunter2\"", 9, &sealed, err);
	return rc < 0 ? rc : lg_secret_open(key, "db/password", sealed.data, sealed.len, out, err);
}

static int work_schema(struct lg_buf *out, struct lg_error *err)
{
	static const char declaration[] = "{\"type\":\"string\",\"min\":1,\"max\":9,\"pattern\":\"^[a-z]+$\","
					  "\"enum\":[\"on\",\"off\"],\"default\":\"on\","
					  "\"unit\":\"u\",\"description\":\"d\",\"restart\":\"reload\"}";
	struct lg_schema *schema = NULL;
	int rc = lg_schema_compile("k", declaration, strlen(declaration), &schema, NULL, err);
	if (rc == 0)
		rc = lg_schema_check(schema, "k", "\"off\"", 5, out, NULL, err);
	lg_schema_free(schema);
	return rc;
}

/* A tree stored, read, and changed where it is packed: at the end each key and value. */
static int show_entry(void *arg, const struct lg_entry *entry)
{
	lg_buf_addf(arg, "%s=%s@%u ", entry->key, entry->value, (unsigned)entry->change);
	return 0;
}

static int work_tree(struct lg_buf *out, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = lg_tree_empty();
	lg_cleanup(lg_tree_unrefp) struct lg_tree *stored = NULL, *read = NULL, *end = NULL;
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = tree ? lg_tree_edit_begin(tree) : NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf row = LG_BUF_INIT;
	static const char *const keys[] = { "a", "a/b", "a/c", "b/1", "b/2", "b/30" };
	int rc = edit ? lg_scope_include(&scope, "b/", err) : lg_fail_nomem(err);
	rc = rc < 0 ? rc : lg_scope_exclude(&scope, "b/2", err);
	for (size_t i = 0; rc == 0 && i < 6; i++)
		rc = lg_tree_edit_put(edit, keys[i], strlen(keys[i]), "1", 1, 1, err);
	if (rc < 0)
		return rc;
	stored = lg_tree_edit_commit(lg_steal_ptr(&edit));
	if (lg_tree_pack(stored, 4, &row) < 0)
		return lg_fail_nomem(err);
	lg_cleanup(lg_block_unrefp) struct lg_block *block = lg_block_new(row.len);
	if (!block)
		return lg_fail_nomem(err);
	memcpy(block->data, row.data, row.len);
	rc = lg_tree_unpack(block, 0, row.len, 6, &read, err);
	edit = rc == 0 ? lg_tree_edit_begin(read) : NULL;
	if (rc == 0 && !edit)
		rc = lg_fail_nomem(err);
	rc = rc < 0 ? rc : lg_tree_edit_put(edit, "a/bc", 4, "2", 1, 2, err);
	rc = rc < 0 ? rc : lg_tree_edit_remove(edit, "b/1", 3, err);
	rc = rc < 0 ? rc : lg_tree_edit_restore(edit, stored, &scope, 3, err);
	rc = rc < 0 ? rc
		    : lg_tree_edit_restore(edit, read,
			      &(struct lg_scope){ .include = scope.exclude, .include_count = 1 }, 4, err);
	if (rc < 0)
		return rc;
	end = lg_tree_edit_commit(lg_steal_ptr(&edit));
	lg_tree_walk(end, "", 0, show_entry, out);
	return lg_buf_check(out, err);
}

static const struct row rows[] = {
	{ "value", work_value,
		"{\"a\":{\"x\":1234567890123456789},\"b\":[1,2.5,\"a text that is longer than sixteen "
		"bytes\",null]}" },
	{ "number", work_number, "12345.678901234567" },
	{ "scope", work_scope, "{\"exclude\":[\"web/x\"],\"include\":[\"db/\",\"web/\"]}" },
	{ "changeset", work_changeset, "\"set\":{\"b\":[1]},\"unset\":[\"a\"]" },
	{ "secret", work_secret, "\"hunter2\"" },
	{ "tree", work_tree, "a=1@1 a/b=1@1 a/bc=2@2 a/c=1@1 b/1=1@3 b/2=1@4 b/30=1@3 " },
	{ "schema", work_schema, "\"off\"" },
};

static void test_each_allocation(void **state)
{
	const struct row *row = *state;
	long failures = 0;
	for (long n = 0;; n++) {
		lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
		struct lg_error err = LG_ERROR_INIT;
		fired = false;
		until_failure = n;
		int rc = row->work(&out, &err);
		until_failure = -1;
		if (rc == 0)
			assert_string_equal(lg_buf_str(&out), row->want);
		else if (rc != LG_ENOMEM || !fired)
			fail_msg("allocation %ld: %s (%s)", n + 1, lg_code_name(rc), err.message);
		else if (!out.failed) /* a buffer that failed tells so itself */
			assert_int_equal(out.len, 0);
		if (!fired)
			break;
		failures += rc < 0;
		assert_true(n < 10000);
	}
	assert_true(failures >= 3);
}

int main(void)
{
	lg_test_rows("each allocation fails", test_each_allocation, rows, sizeof rows / sizeof *rows,
		sizeof *rows, offsetof(struct row, name));
	return lg_test_run("model_memory");
}
