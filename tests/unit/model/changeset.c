#include "model/changeset.h"

#include "base/cleanup.h"
#include "model/value.h"
#include "random.h"
#include "support/support.h"

#include <string.h>

static void add(struct lg_changeset *set, const char *key, const char *value)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_changeset_add(set, key, strlen(key), value, value ? strlen(value) : 0, &err), &err);
}

static void test_add(void **state)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_error err = LG_ERROR_INIT;
	char key[] = "ab", value[] = "12";
	lg_assert_ok(lg_changeset_add(&set, key, 1, value, 1, &err), &err);
	key[0] = value[0] = 'x'; /* copied */
	add(&set, "gone", NULL);
	assert_int_equal(set.count, 2);
	assert_string_equal(set.items[0].key, "a");
	assert_string_equal(set.items[0].value, "1");
	assert_int_equal(set.items[0].value_len, 1);
	assert_null(set.items[0].bare);
	assert_false(set.items[0].has_expect);
	assert_null(set.items[1].value);
	lg_assert_ok(lg_changeset_set_bare(&set, "yes", &err), &err);
	lg_assert_ok(lg_changeset_set_bare(&set, "no", &err), &err);
	assert_string_equal(set.items[1].bare, "no");
	assert_null(set.items[0].bare);
}

static void test_misuse(void **state)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_changeset_set_bare(&set, "x", &err), LG_EINTERNAL);
	assert_int_equal(lg_changeset_add(&set, "a\0b", 3, "1", 1, &err), LG_EINVALID);
	assert_int_equal(set.count, 0);
	lg_changeset_clear(NULL);
}

static void test_sort(void **state)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_error err = LG_ERROR_INIT;
	static const char *const keys[] = { "b", "a/b", "\xc3\xa9", "a", "B", "a-b" };
	static const char *const want[] = { "B", "a", "a-b", "a/b", "b", "\xc3\xa9" };
	for (size_t i = 0; i < 6; i++)
		add(&set, keys[i], i % 2 ? NULL : "1");
	lg_assert_ok(lg_changeset_sort(&set, &err), &err);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(set.items[i].key, want[i]);
	lg_assert_ok(lg_changeset_sort(&set, &err), &err);
}

static void test_twice(void **state)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_error err = LG_ERROR_INIT;
	add(&set, "web/port", "1");
	add(&set, "a", "1");
	add(&set, "web/port", NULL);
	assert_int_equal(lg_changeset_sort(&set, &err), LG_EINVALID);
	assert_string_equal(err.message, "key 'web/port' is changed twice in one change set");
}

struct row {
	const char *name;
	const char *body;
	const char *want; /* canonical members, or part of a message */
};

static const struct row bodies[] = {
	{ "empty", "{}", "" },
	{ "set", "{\"set\":{\"b\":1,\"a\":{\"y\":2,\"x\":1.50}}}",
		"\"set\":{\"a\":{\"x\":1.5,\"y\":2},\"b\":1}" },
	{ "unset", "{\"unset\":[\"b\",\"a\"]}", "\"unset\":[\"a\",\"b\"]" },
	{ "both", "{\"unset\":[\"c\"],\"set\":{\"b\":null}}", "\"set\":{\"b\":null},\"unset\":[\"c\"]" },
	{ "empty members are left out", "{\"unset\":[],\"set\":{}}", "" },
	{ "further members", "{\"rollback\":\"x\",\"set\":{\"a\":1},\"automatic\":true}", "\"set\":{\"a\":1}" },
	{ "sealed value", "{\"set\":{\"a\":{\"@secret\":\"AAAA\"}}}",
		"\"set\":{\"a\":{\"@secret\":\"AAAA\"}}" },
	{ "reserved keys", "{\"set\":{\"@schema/a\":{\"type\":\"int\"},\"@flag/x\":1}}",
		"\"set\":{\"@flag/x\":1,\"@schema/a\":{\"type\":\"int\"}}" },
	{ "quotes in a key", "{\"set\":{\"a\\\"b\":\"\\n\"}}", "\"set\":{\"a\\\"b\":\"\\n\"}" },
};

static void test_body(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf out = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_json_parse(row->body, strlen(row->body), LG_VALUE_MAX, &json, &err), &err);
	lg_assert_ok(lg_changeset_from_body(json, &set, &err), &err);
	assert_int_equal(lg_changeset_add_body(&set, &out), 0);
	assert_string_equal(lg_buf_str(&out), row->want);
}

static const struct row bad_bodies[] = {
	{ "list", "[]", "no JSON object" },
	{ "number", "1", "no JSON object" },
	{ "set is a list", "{\"set\":[]}", "'set' is no JSON object" },
	{ "unset is an object", "{\"unset\":{}}", "'unset' is no list" },
	{ "unset holds a number", "{\"unset\":[1]}", "no key" },
	{ "bad key to set", "{\"set\":{\"a//b\":1}}", "empty segment" },
	{ "bad key to unset", "{\"unset\":[\"\"]}", "the key is empty" },
	{ "set and unset", "{\"set\":{\"a\":1},\"unset\":[\"a\"]}", "'a' is changed twice" },
	{ "unset twice", "{\"unset\":[\"a\",\"b\",\"a\"]}", "'a' is changed twice" },
};

static void test_bad_body(void **state)
{
	const struct row *row = *state;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_json_parse(row->body, strlen(row->body), LG_VALUE_MAX, &json, &err), &err);
	assert_int_equal(lg_changeset_from_body(json, &set, &err), LG_ECORRUPT);
	assert_int_equal(err.code, LG_ECORRUPT);
	assert_int_equal(set.count, 0);
	if (!strstr(err.message, row->want))
		fail_msg("'%s' is not in: %s", row->want, err.message);
	assert_int_equal(lg_changeset_from_body(NULL, &set, &err), LG_ECORRUPT);
}

/* What a record holds reads back as the same set, with 1…500 changes in random order. */
static void test_round_trip(void **state)
{
	struct rng rng = { 5 };
	for (uint32_t n = 1; n <= 500; n += 7) {
		lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT,
								   back = LG_CHANGESET_INIT;
		lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
		lg_cleanup(lg_json_freep) json_t *json = NULL;
		struct lg_error err = LG_ERROR_INIT;
		for (uint32_t i = 0; i < n; i++) {
			char key[32], value[32];
			snprintf(key, sizeof key, "k%u/%u", (i * 7919) % 1009, i);
			snprintf(value, sizeof value, "[%u]", rng_below(&rng, 1000));
			add(&set, key, rng_below(&rng, 3) ? value : NULL);
		}
		lg_assert_ok(lg_changeset_sort(&set, &err), &err);
		lg_buf_addc(&body, '{');
		assert_int_equal(lg_changeset_add_body(&set, &body), 0);
		lg_buf_addc(&body, '}');
		lg_assert_ok(lg_json_parse(body.data, body.len, LG_VALUE_MAX, &json, &err), &err);
		lg_assert_ok(lg_changeset_from_body(json, &back, &err), &err);
		assert_int_equal(back.count, n);
		for (uint32_t i = 0; i < n; i++) {
			assert_string_equal(set.items[i].key, back.items[i].key);
			assert_int_equal(!set.items[i].value, !back.items[i].value);
			if (set.items[i].value)
				assert_string_equal(set.items[i].value, back.items[i].value);
		}
	}
}

#define ROWS(group, function, rows)                                                                            \
	lg_test_rows(                                                                                          \
		group, function, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name))

int main(void)
{
	lg_test_add("add", test_add, NULL);
	lg_test_add("misuse", test_misuse, NULL);
	lg_test_add("sort", test_sort, NULL);
	lg_test_add("a key twice", test_twice, NULL);
	ROWS("body", test_body, bodies);
	ROWS("bad body", test_bad_body, bad_bodies);
	lg_test_add("round trip", test_round_trip, NULL);
	return lg_test_run("model_changeset");
}
