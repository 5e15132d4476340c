#include "entries.h"

#include "base/cleanup.h"
#include "hostile.h"
#include "support/support.h"

static void write_items(const struct lg_items *items, struct lg_buf *text)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *item = &items->items[i];
		assert_int_equal(strlen(item->value), item->value_len);
		lg_buf_addf(text, "%s=%s", item->key, item->value);
		if (item->bare && strcmp(item->bare, item->value) != 0)
			lg_buf_addf(text, "~%s", item->bare);
		lg_buf_addc(text, '\n');
	}
}

void entries_check(enum lg_format format, const struct entries_row *row)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	int rc = lg_format_parse(format, "file", row->text, strlen(row->text), &items, &problems, &err);
	if (row->error) {
		lg_assert_code(rc, LG_EINVALID, &err);
		assert_int_equal(items.count, 0);
		if (!strstr(err.message, row->error))
			fail_msg("'%s' is not in '%s'", row->error, err.message);
		return;
	}
	lg_assert_ok(rc, &err);
	lg_cleanup(lg_buf_clear) struct lg_buf got = LG_BUF_INIT;
	write_items(&items, &got);
	assert_string_equal(lg_buf_str(&got), row->want);
	assert_int_equal(problems.total, row->problem ? 1 : 0);
	if (row->problem) {
		lg_cleanup(lg_buf_clear) struct lg_buf problem = LG_BUF_INIT;
		lg_buf_addf(&problem, "%s: %s", problems.items[0].subject, problems.items[0].message);
		if (!strstr(problem.data, row->problem))
			fail_msg("'%s' is not in '%s'", row->problem, problem.data);
	}
}

static bool is_problem(const struct lg_problems *problems, const char *key)
{
	for (size_t i = 0; i < problems->count; i++)
		if (strcmp(problems->items[i].subject, key) == 0)
			return true;
	return false;
}

void entries_round_trip(enum lg_format format, const struct lg_items *items)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems unnamed = LG_PROBLEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_assert_ok(lg_format_emit(format, items, NULL, &text, &unnamed, &err), &err);
	lg_cleanup(lg_items_clear) struct lg_items again = LG_ITEMS_INIT;
	if (lg_format_parse(format, "again", lg_buf_str(&text), text.len, &again, &problems, &err) < 0)
		fail_msg("%s\n%s", err.message, lg_buf_str(&text));
	if (problems.total)
		fail_msg("%s: %s\n%s", problems.items[0].subject, problems.items[0].message, text.data);
	size_t n = 0;
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *before = &items->items[i];
		if (is_problem(&unnamed, before->key))
			continue;
		const struct lg_item *after = n < again.count ? &again.items[n++] : NULL;
		if (!after || strcmp(before->key, after->key) != 0 || strcmp(before->value, after->value) != 0)
			fail_msg("\n%s=%s\n%s=%s\n%s", before->key, before->value,
				after ? after->key : "nothing", after ? after->value : "", text.data);
	}
	assert_int_equal(n, again.count);
}

static void add_value(struct lg_items *items, const char *key, const json_t *json)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *canonical = hostile_canonical(json);
	lg_assert_ok(lg_items_add(items, key, canonical, strlen(canonical), NULL, 0, &err), &err);
}

void entries_from_list(const json_t *values, struct lg_items *ret_items)
{
	for (size_t i = 0; i < json_array_size(values); i++) {
		char key[32];
		snprintf(key, sizeof key, "k%zu", i);
		add_value(ret_items, key, json_array_get(values, i));
	}
}

void entries_hostile_round_trip(enum lg_format format)
{
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	json_t *strings = hostile_file_is_set() ? hostile_file() : json_array();
	for (size_t i = 0; hostile_strings[i]; i++)
		json_array_append_new(strings, json_string(hostile_strings[i]));
	/* as values */
	entries_from_list(strings, &items);
	entries_round_trip(format, &items);
	/* as values inside a list and as keys; the ones that a text cannot have as a key are for others to refuse */
	for (size_t i = 0; i < json_array_size(strings); i++) {
		const char *text = json_string_value(json_array_get(strings, i));
		lg_cleanup(lg_items_clear) struct lg_items one = LG_ITEMS_INIT;
		json_t *list = json_pack("[s, {s: s}]", text, text, text);
		if (*text)
			add_value(&one, text, list);
		add_value(&one, "list", list);
		json_decref(list);
		entries_round_trip(format, &one);
	}
	json_decref(strings);
}

void entries_random_round_trip(enum lg_format format)
{
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		struct hostile_rng rng = { .state = seed };
		lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
		json_t *values = json_array();
		for (int i = 0; i < 5; i++)
			json_array_append_new(values, hostile_value(&rng, 5));
		entries_from_list(values, &items);
		json_decref(values);
		entries_round_trip(format, &items);
	}
}

void entries_cut_short(enum lg_format format, const char *text)
{
	for (size_t len = 0; len <= strlen(text); len++) {
		lg_autofree char *copy =
			malloc(len ? len : 1); /* exact, so that a sanitizer sees a step too far */
		memcpy(copy, text, len);
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
		lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
		int rc = lg_format_parse(format, "cut", copy, len, &items, &problems, &err);
		if (rc != 0 && rc != LG_EINVALID)
			fail_msg("cut at %zu: %d %s", len, rc, err.message);
		if (rc < 0)
			assert_true(err.message[0] && items.count == 0);
	}
}
