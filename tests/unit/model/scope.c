#include "model/scope.h"

#include "base/cleanup.h"
#include "model/value.h"
#include "random.h"
#include "support/support.h"

#include <string.h>

#define ROWS(group, function, rows)                                                                            \
	lg_test_rows(                                                                                          \
		group, function, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name))

/* "+web/ -web/tmp/": include and exclude, in the order written */
static void build(const char *text, struct lg_scope *scope)
{
	char copy[256];
	struct lg_error err = LG_ERROR_INIT;
	snprintf(copy, sizeof copy, "%s", text);
	char *rest = copy;
	for (char *word; (word = strsep(&rest, " "));)
		if (*word)
			lg_assert_ok(*word == '+' ? lg_scope_include(scope, word + 1, &err)
						  : lg_scope_exclude(scope, word + 1, &err),
				&err);
}

struct row {
	const char *name;
	const char *a;
	const char *b;   /* key or scope */
	const char *out; /* text wanted, "yes" or "no" */
};

static const struct row forms[] = {
	{ "everything", "", "everything", "{}" },
	{ "one prefix", "+web/", "web/", "{\"include\":[\"web/\"]}" },
	{ "sorted", "+x +b/ +a", "a, b/, x", "{\"include\":[\"a\",\"b/\",\"x\"]}" },
	{ "duplicates", "+x +x +x", "x", "{\"include\":[\"x\"]}" },
	{ "key below a prefix, later", "+web/ +web/port", "web/", "{\"include\":[\"web/\"]}" },
	{ "key below a prefix, earlier", "+web/port +web/tmp/ +web/", "web/", "{\"include\":[\"web/\"]}" },
	{ "key beside a prefix of its name", "+web +web/", "web, web/", "{\"include\":[\"web\",\"web/\"]}" },
	{ "declaration of a covered key", "+web/ +@schema/web/port", "web/", "{\"include\":[\"web/\"]}" },
	{ "declarations of a covered prefix", "+@schema/web/tmp/ +web/", "web/", "{\"include\":[\"web/\"]}" },
	{ "declarations alone", "+@schema/web/", "@schema/web/", "{\"include\":[\"@schema/web/\"]}" },
	{ "all declarations beside a key", "+@schema/ +x", "@schema/, x",
		"{\"include\":[\"@schema/\",\"x\"]}" },
	{ "flags", "+@flag/ +@flag/a", "@flag/", "{\"include\":[\"@flag/\"]}" },
	{ "except", "-web/tmp/", "everything except web/tmp/", "{\"exclude\":[\"web/tmp/\"]}" },
	{ "include and exclude", "+web/ +x -web/tmp/ -a", "web/, x except a, web/tmp/",
		"{\"exclude\":[\"a\",\"web/tmp/\"],\"include\":[\"web/\",\"x\"]}" },
	{ "excludes cover each other", "+a -b/c -b/", "a except b/",
		"{\"exclude\":[\"b/\"],\"include\":[\"a\"]}" },
	{ "eleven are named", "+a +b +c +d +e +f +g +h +i +j +k", "a, b, c, d, e, f, g, h, i, j, k",
		"{\"include\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\"]}" },
	{ "of twelve the first ten", "+a +b +c +d +e +f +g +h +i +j +k +l",
		"a, b, c, d, e, f, g, h, i, j and 2 more",
		"{\"include\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\"]}" },
	{ "quotes are escaped", "+a\"b", "a\"b", "{\"include\":[\"a\\\"b\"]}" },
};

static void test_form(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL, back = LG_SCOPE_ALL,
						   copy = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT, bytes = LG_BUF_INIT, through = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct lg_error err = LG_ERROR_INIT;
	build(row->a, &scope);
	assert_int_equal(lg_scope_describe(&scope, &text), 0);
	assert_string_equal(text.data, row->b);
	assert_int_equal(lg_scope_add_canonical(&scope, &bytes), 0);
	assert_string_equal(bytes.data, row->out);
	lg_assert_ok(lg_scope_to_json(&scope, &json, &err), &err);
	lg_assert_ok(lg_json_canonical(json, &through, &err), &err);
	assert_string_equal(through.data, bytes.data);
	lg_assert_ok(lg_scope_from_json(json, &back, &err), &err);
	assert_true(lg_scope_equal(&scope, &back));
	lg_assert_ok(lg_scope_copy(&scope, &copy, &err), &err);
	assert_true(lg_scope_equal(&scope, &copy));
	assert_int_equal(lg_scope_is_all(&scope), row->a[0] == '\0');
}

static const struct row covered[] = {
	{ "everything covers settings", "", "x", "yes" },
	{ "everything covers declarations", "", "@schema/x", "yes" },
	{ "everything covers flags", "", "@flag/x", "yes" },
	{ "everything covers strictness", "", "@schema/@strict", "yes" },
	{ "prefix", "+web/", "web/port", "yes" },
	{ "prefix, deep", "+web/", "web/a/b/c", "yes" },
	{ "prefix is not its own key", "+web/", "web", "no" },
	{ "prefix ends at the slash", "+web/", "website/port", "no" },
	{ "prefix covers declarations", "+web/", "@schema/web/port", "yes" },
	{ "prefix does not cover others' declarations", "+web/", "@schema/db/port", "no" },
	{ "key", "+x", "x", "yes" },
	{ "key is not below itself", "+x", "x/y", "no" },
	{ "key covers its declaration", "+x", "@schema/x", "yes" },
	{ "declaration does not cover the key", "+@schema/x", "x", "no" },
	{ "schema prefix does not cover keys", "+@schema/web/", "web/port", "no" },
	{ "flags", "+@flag/", "@flag/a/b", "yes" },
	{ "flags are no settings", "+@flag/", "a/b", "no" },
	{ "settings named alike are no flags", "+flag/", "@flag/a", "no" },
	{ "exclude", "+web/ -web/tmp/", "web/tmp/x", "no" },
	{ "exclude leaves the rest", "+web/ -web/tmp/", "web/tmpx", "yes" },
	{ "exclude takes declarations too", "-web/", "@schema/web/port", "no" },
	{ "exclude wins over a narrower include", "+web/tmp/x -web/tmp/", "web/tmp/x", "no" },
	{ "exclude of declarations leaves keys", "-@schema/", "web/port", "yes" },
};

static void test_covers(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	build(row->a, &scope);
	assert_int_equal(lg_scope_covers(&scope, row->b, strlen(row->b)), strcmp(row->out, "yes") == 0);
}

static const struct row bad_selectors[] = {
	{ "empty", "", NULL, "empty" },
	{ "slash", "/", NULL, "empty" },
	{ "double slash", "a//", NULL, "empty segment" },
	{ "leading slash", "/a", NULL, "empty segment" },
	{ "dot dot", "a/../b/", NULL, "'..'" },
	{ "unknown space", "@control/", NULL, "reserved" },
	{ "control", "a\nb", NULL, "control" },
	{ "invalid UTF-8", "a\xff/", NULL, "UTF-8" },
};

static void test_bad_selector(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_scope_include(&scope, row->a, &err), LG_EINVALID);
	assert_non_null(strstr(err.message, row->out));
	assert_int_equal(lg_scope_exclude(&scope, row->a, &err), LG_EINVALID);
	assert_true(lg_scope_is_all(&scope));
}

static const struct row bad_json[] = {
	{ "no object", "[]", NULL, "JSON object" },
	{ "null", "null", NULL, "JSON object" },
	{ "unknown member", "{\"includes\":[\"a\"]}", NULL, "'include' and 'exclude' only" },
	{ "no list", "{\"include\":\"a\"}", NULL, "'include' of a scope is a list" },
	{ "an empty list is not everything", "{\"include\":[]}", NULL, "at least one" },
	{ "empty excludes", "{\"exclude\":[]}", NULL, "at least one" },
	{ "no text", "{\"include\":[1]}", NULL, "no key" },
	{ "bad selector", "{\"include\":[\"a\",\"b//\"]}", NULL, "empty segment" },
	{ "bad selector after good list", "{\"include\":[\"a\"],\"exclude\":[\"\"]}", NULL, "empty" },
};

static void test_bad_json(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_json_parse(row->a, strlen(row->a), LG_VALUE_MAX, &json, &err), &err);
	assert_int_equal(lg_scope_from_json(json, &scope, &err), LG_EINVALID);
	if (!strstr(err.message, row->out))
		fail_msg("'%s' is not in: %s", row->out, err.message);
	assert_true(lg_scope_is_all(&scope));
}

/* Lists that are not normalised are taken, and come out normalised. */
static void test_json_normalised(void **state)
{
	static const char text[] = "{\"include\":[\"x\",\"web/port\",\"x\",\"web/\",\"@schema/x\"]}";
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf bytes = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_json_parse(text, strlen(text), LG_VALUE_MAX, &json, &err), &err);
	lg_assert_ok(lg_scope_from_json(json, &scope, &err), &err);
	assert_int_equal(lg_scope_add_canonical(&scope, &bytes), 0);
	assert_string_equal(bytes.data, "{\"include\":[\"web/\",\"x\"]}");
}

static const struct row overlapping[] = {
	{ "everything twice", "", "", "yes" },
	{ "everything and something", "", "+x", "yes" },
	{ "apart", "+a/", "+b/", "no" },
	{ "nested", "+a/", "+a/b/", "yes" },
	{ "key and its prefix", "+a", "+a/", "no" },
	{ "declarations of the other's keys", "+a/", "+@schema/a/b", "yes" },
	{ "all declarations and a key", "+@schema/", "+x", "yes" },
	{ "declarations of others", "+@schema/b/", "+a/", "no" },
	{ "flags and settings", "+@flag/", "+a/", "no" },
	{ "flags and all but flags", "+@flag/", "-@flag/", "no" },
	{ "excluded by one", "+a/ -a/b/", "+a/b/c", "no" },
	{ "excluded by the other", "+a/b/c", "-a/b/", "no" },
	{ "partly excluded", "+a/", "+a/b/ -a/b/c", "yes" },
	{ "excludes alone never leave nothing", "-a/", "-b/", "yes" },
};

static void test_overlaps(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_scope_clear) struct lg_scope a = LG_SCOPE_ALL, b = LG_SCOPE_ALL;
	build(row->a, &a);
	build(row->b, &b);
	assert_int_equal(lg_scope_overlaps(&a, &b), strcmp(row->out, "yes") == 0);
	assert_int_equal(lg_scope_overlaps(&b, &a), strcmp(row->out, "yes") == 0);
}

static const struct row contained[] = {
	{ "everything in everything", "", "", "yes" },
	{ "something in everything", "", "+x", "yes" },
	{ "everything in something", "+a/", "", "no" },
	{ "itself", "+a/ -a/b", "+a/ -a/b", "yes" },
	{ "key in its prefix", "+a/", "+a/b", "yes" },
	{ "prefix in a key", "+a/b", "+a/", "no" },
	{ "declaration in its key", "+x", "+@schema/x", "yes" },
	{ "key in its declaration", "+@schema/x", "+x", "no" },
	{ "outer excludes", "+a/ -a/b", "+a/", "no" },
	{ "both exclude", "+a/ -a/b", "+a/ -a/b -a/c", "yes" },
	{ "inner excludes more widely", "-a/b", "+a/ -a/", "yes" },
	{ "outer excludes elsewhere", "-z/", "+a/", "yes" },
	{ "outer excludes declarations of it", "-@schema/", "+a", "no" },
	{ "two in two", "+a/ +b/", "+a/x +b/y", "yes" },
	{ "two in one", "+a/", "+a/x +b/y", "no" },
};

static void test_contains(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_scope_clear) struct lg_scope outer = LG_SCOPE_ALL, inner = LG_SCOPE_ALL;
	build(row->a, &outer);
	build(row->b, &inner);
	assert_int_equal(lg_scope_contains(&outer, &inner), strcmp(row->out, "yes") == 0);
}

/* --- against brute force over a small universe of keys -------------------------------------------------------------- */

/* Keys have the segments a, b, w and up to three of them; selectors only a, b and up to two.  So whatever prefix and
 * excludes are drawn, a key with 'w' witnesses what would be there in the endless universe. */
enum { PLAIN = 3 + 9 + 27, KEYS = 3 * PLAIN + 1, KEY_SIZE = 32, SELECTOR_COUNT = 3 * 12 + 3 };
static char keys[KEYS][KEY_SIZE];
static char selectors[SELECTOR_COUNT][KEY_SIZE];

static size_t add_level(char (*list)[KEY_SIZE], size_t count, const char *space, const char *letters, int depth)
{
	size_t first = count;
	for (const char *p = letters; *p; p++)
		snprintf(list[count++], KEY_SIZE, "%s%c", space, *p);
	for (size_t end; --depth > 0; first = end) {
		end = count;
		for (size_t i = first; i < end; i++)
			for (const char *p = letters; *p; p++)
				snprintf(list[count++], KEY_SIZE, "%.24s/%c", list[i], *p);
	}
	return count;
}

static void make_universe(void)
{
	static const char *const spaces[] = { "", "@schema/", "@flag/" };
	size_t n = 0, s = 0;
	for (size_t i = 0; i < 3; i++) {
		n = add_level(keys, n, spaces[i], "abw", 3);
		size_t first = s;
		s = add_level(selectors, s, spaces[i], "ab", 2);
		for (size_t j = first, end = s; j < end; j++)
			snprintf(selectors[s++], KEY_SIZE, "%.24s/", selectors[j]);
	}
	snprintf(keys[n++], KEY_SIZE, "@schema/@strict");
	snprintf(selectors[s++], KEY_SIZE, "@schema/@strict");
	snprintf(selectors[s++], KEY_SIZE, "@schema/");
	snprintf(selectors[s++], KEY_SIZE, "@flag/");
	assert_int_equal(n, KEYS);
	assert_int_equal(s, SELECTOR_COUNT);
}

struct draw {
	const char *include[3], *exclude[3];
	uint32_t include_count, exclude_count;
	bool holds[KEYS];
};

/* The words of scope.h, as plainly as can be. */
static bool plainly_selects(const char *selector, const char *key)
{
	size_t n = strlen(selector);
	if (strcmp(selector, key) == 0 || (selector[n - 1] == '/' && strncmp(key, selector, n) == 0))
		return true;
	return selector[0] != '@' && strncmp(key, "@schema/", 8) == 0 && plainly_selects(selector, key + 8);
}

static void draw_scope(struct rng *rng, struct draw *draw, struct lg_scope *scope)
{
	struct lg_error err = LG_ERROR_INIT;
	*draw = (struct draw){ .include_count = rng_below(rng, 4), .exclude_count = rng_below(rng, 4) };
	for (uint32_t i = 0; i < draw->include_count; i++) {
		draw->include[i] = selectors[rng_below(rng, SELECTOR_COUNT)];
		lg_assert_ok(lg_scope_include(scope, draw->include[i], &err), &err);
	}
	for (uint32_t i = 0; i < draw->exclude_count; i++) {
		draw->exclude[i] = selectors[rng_below(rng, SELECTOR_COUNT)];
		lg_assert_ok(lg_scope_exclude(scope, draw->exclude[i], &err), &err);
	}
	for (size_t k = 0; k < KEYS; k++) {
		draw->holds[k] = draw->include_count == 0;
		for (uint32_t i = 0; i < draw->include_count; i++)
			draw->holds[k] |= plainly_selects(draw->include[i], keys[k]);
		for (uint32_t i = 0; i < draw->exclude_count; i++)
			draw->holds[k] &= !plainly_selects(draw->exclude[i], keys[k]);
		assert_int_equal(lg_scope_covers(scope, keys[k], strlen(keys[k])), draw->holds[k]);
	}
}

static void fail_pair(const char *what, const struct lg_scope *a, const struct lg_scope *b, bool want)
{
	struct lg_buf x = LG_BUF_INIT, y = LG_BUF_INIT;
	lg_scope_describe(a, &x);
	lg_scope_describe(b, &y);
	fail_msg("[%s] %s [%s] is %s", lg_buf_str(&x), what, lg_buf_str(&y), want ? "true" : "false");
}

static void test_brute_force(void **state)
{
	struct rng rng = { 8128 };
	size_t seen[2][2] = { { 0 } };
	make_universe();
	for (int i = 0; i < 20000; i++) {
		lg_cleanup(lg_scope_clear) struct lg_scope a = LG_SCOPE_ALL, b = LG_SCOPE_ALL;
		struct draw x, y;
		draw_scope(&rng, &x, &a);
		draw_scope(&rng, &y, &b);
		bool overlaps = false, contains = true;
		for (size_t k = 0; k < KEYS; k++) {
			overlaps |= x.holds[k] && y.holds[k];
			contains &= x.holds[k] || !y.holds[k];
		}
		if (lg_scope_overlaps(&a, &b) != overlaps)
			fail_pair("overlaps", &a, &b, overlaps);
		if (lg_scope_contains(&a, &b) != contains)
			fail_pair("contains", &a, &b, contains);
		seen[0][overlaps]++;
		seen[1][contains]++;
	}
	for (size_t i = 0; i < 4; i++) /* the draw was a fair one */
		assert_true(seen[i / 2][i % 2] > 100);
}

/* The order of adding does not matter: equal scopes are equal bytes. */
static void test_order(void **state)
{
	struct rng rng = { 31 };
	make_universe();
	for (int i = 0; i < 3000; i++) {
		const char *list[6];
		for (size_t j = 0; j < 6; j++)
			list[j] = selectors[rng_below(&rng, SELECTOR_COUNT)];
		lg_cleanup(lg_scope_clear) struct lg_scope a = LG_SCOPE_ALL, b = LG_SCOPE_ALL;
		struct lg_error err = LG_ERROR_INIT;
		for (size_t j = 0; j < 6; j++) {
			lg_assert_ok(lg_scope_include(&a, list[j], &err), &err);
			lg_assert_ok(lg_scope_include(&b, list[5 - j], &err), &err);
		}
		assert_true(lg_scope_equal(&a, &b));
		for (size_t j = 0; j < a.include_count; j++) {
			if (j)
				assert_true(strcmp(a.include[j - 1], a.include[j]) < 0);
			for (size_t k = 0; k < a.include_count; k++) /* none is covered by another */
				assert_false(j != k && plainly_selects(a.include[j], a.include[k]));
		}
	}
}

static void test_clear(void **state)
{
	lg_scope_clear(NULL);
	struct lg_scope scope = LG_SCOPE_ALL;
	lg_scope_clear(&scope);
	build("+a -b", &scope);
	lg_scope_clear(&scope);
	assert_true(lg_scope_is_all(&scope));
	lg_scope_clear(&scope);
}

/* A list as long as a store has keys, in no order; each selector is drawn twice, and some prefixes cover others. */
static void test_long_lists(void **state)
{
	(void)state;
	enum { SELECTORS = 30000 };
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_buf_adds(&text, "{\"include\":[");
	for (size_t i = 0; i < 2 * SELECTORS; i++) {
		size_t n = i * 7919 % SELECTORS;
		lg_buf_addf(&text, "%s\"s%zu/%s%zu\"", i ? "," : "", n % 100, n % 3 ? "" : "x/", n);
	}
	lg_buf_adds(&text, ",\"s7/\",\"@schema/s8/x/\",\"s8/\"]}");
	lg_assert_ok(lg_json_parse(lg_buf_str(&text), text.len, text.len, &json, &err), &err);
	lg_assert_ok(lg_scope_from_json(json, &scope, &err), &err);
	assert_int_equal(scope.include_count, SELECTORS - 2 * SELECTORS / 100 + 2);
	for (size_t i = 1; i < scope.include_count; i++)
		assert_true(strcmp(scope.include[i - 1], scope.include[i]) < 0);
	for (size_t n = 0; n < SELECTORS; n += 13) {
		char key[64];
		size_t len = (size_t)snprintf(key, sizeof key, "s%zu/%s%zu", n % 100, n % 3 ? "" : "x/", n);
		assert_true(lg_scope_covers(&scope, key, len));
		key[len] = 'y'; /* which nobody selected, but for the two prefixes */
		assert_int_equal(lg_scope_covers(&scope, key, len + 1), n % 100 == 7 || n % 100 == 8);
	}
}

int main(void)
{
	ROWS("form", test_form, forms);
	ROWS("covers", test_covers, covered);
	ROWS("bad selector", test_bad_selector, bad_selectors);
	ROWS("bad json", test_bad_json, bad_json);
	ROWS("overlaps", test_overlaps, overlapping);
	ROWS("contains", test_contains, contained);
	lg_test_add("json is normalised", test_json_normalised, NULL);
	lg_test_add("brute force", test_brute_force, NULL);
	lg_test_add("order of adding", test_order, NULL);
	lg_test_add("long lists", test_long_lists, NULL);
	lg_test_add("clear", test_clear, NULL);
	return lg_test_run("model_scope");
}
