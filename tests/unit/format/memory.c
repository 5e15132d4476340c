/* Every allocation of the room's work fails once, the 1st, the 2nd, … until a run in which none does: every failure is
 * LG_ENOMEM, nothing half done comes out, and (under ASan) nothing leaks.  The linker puts the functions here in front of the
 * allocator (--wrap).  Only our own allocations fail: jansson 2.14, when it cannot grow the buffer of a string, drops the
 * closing quote and then searches for it beyond the buffer's end. */
#include "base/cleanup.h"
#include "format/format.h"
#include "support/allocation.h"
#include "support/support.h"

static const char *const texts[] = {
	[LG_FORMAT_JSON] = "{\"configurations\":{\"a\":{\"value\":1.5},\"b\":{\"value\":[1,{\"c\":\"x\"}]}},"
			   "\"schema\":{\"a\":{\"type\":\"float\"}}}",
	[LG_FORMAT_YAML] = "configurations:\n  a: {value: 1.5}\n  b: &x {value: [a, \"b\", 'c']}\n  c: *x\n"
			   "schema: {a: {type: float}}\n",
	[LG_FORMAT_ENV] = "A='x y' # c\nB=\"\\n\\$\"\nC__d={\"a\":1}\nE=\nF='{\"a\":1}'\nG=a\nH=1.5\n",
	[LG_FORMAT_PROPERTIES] = "a\\ b = x\\\n  y\\u0041\n# c\r\nd:{\"a\":1}\r\ne\nf=1.5\n",
};
#define FORMATS (sizeof texts / sizeof *texts)

/* Runs `once` with ever later failures; once gets arg and leaves what it made behind in *arg for the next run. */
static void fail_each(int (*once)(void *arg, struct lg_error *err), void *arg)
{
	for (long n = 0; n < 10000; n++) {
		struct lg_error err = LG_ERROR_INIT;
		fired = false;
		until_failure = n;
		int rc = once(arg, &err);
		until_failure = -1;
		if (!fired) {
			lg_assert_ok(rc, &err);
			assert_true(n > 0);
			return;
		}
		if (rc != LG_ENOMEM)
			fail_msg("allocation %ld: %d instead of no memory (%s)", n + 1, rc, err.message);
	}
	fail_msg("there is no end of allocations");
}

static int parse_once(void *arg, struct lg_error *err)
{
	enum lg_format format = *(enum lg_format *)arg;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	int rc = lg_format_parse(format, "t", texts[format], strlen(texts[format]), &items, NULL, err);
	return rc < 0 && items.count ? LG_EINTERNAL : rc;
}

static void test_parse(void **state)
{
	fail_each(parse_once, *state);
}

struct emission {
	enum lg_format format;
	struct lg_items items;
};

static int emit_once(void *arg, struct lg_error *err)
{
	const struct emission *emission = arg;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	int rc = lg_format_emit(emission->format, &emission->items, NULL, &buf, NULL, err);
	return rc < 0 && buf.len ? LG_EINTERNAL : rc;
}

static void test_emit(void **state)
{
	struct emission emission = { .format = *(enum lg_format *)*state };
	const char *text = texts[emission.format];
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(
		lg_format_parse(emission.format, "t", text, strlen(text), &emission.items, NULL, &err), &err);
	fail_each(emit_once, &emission);
	lg_items_clear(&emission.items);
}

static int lookup(void *arg, const char *key, size_t key_len, const char **ret_value, size_t *ret_len)
{
	(void)arg;
	(void)key;
	(void)key_len;
	*ret_value = "\"x y\"";
	*ret_len = 5;
	return 1;
}

static int render_once(void *arg, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	int rc = lg_template_render("t", arg, strlen(arg), lookup, NULL, &buf, err);
	return rc < 0 && buf.len ? LG_EINTERNAL : rc;
}

static void test_render(void **state)
{
	(void)state;
	char text[] = "a {{b}} c {{d|e}}";
	fail_each(render_once, text);
}

int main(void)
{
	json_t *json = NULL;
	if (lg_json_parse("1", 1, 1, &json, NULL) <
		0) /* from now on nobody sets jansson's allocator but the next line */
		return 1;
	json_decref(json);
	json_set_alloc_funcs(__real_malloc, free);
	static enum lg_format formats[FORMATS] = { LG_FORMAT_JSON, LG_FORMAT_YAML, LG_FORMAT_ENV,
		LG_FORMAT_PROPERTIES };
	static const char *const reads[FORMATS] = { "reads json", "reads yaml", "reads env",
		"reads properties" };
	static const char *const writes[FORMATS] = { "writes json", "writes yaml", "writes env",
		"writes properties" };
	for (size_t i = 0; i < FORMATS; i++) {
		lg_test_add(reads[i], test_parse, &formats[i]);
		lg_test_add(writes[i], test_emit, &formats[i]);
	}
	lg_test_add("renders a template", test_render, NULL);
	return lg_test_run("format_memory");
}
