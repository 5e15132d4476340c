/* format.c - a fuzzer for everything that format.h reads (libFuzzer; meson setup -Dfuzzing=true, CC=clang).
 *
 *	build-fuzz/tests/fuzz/fuzz_format -max_total_time=60 -dict=tests/fuzz/format.dict CORPUS_DIRECTORY
 *
 * The first byte chooses the reader.  What was read is written in every format and read again: it must be the same.
 */
#include "format/format.h"
#include "base/cleanup.h"
#include "model/key.h"
#include "model/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what, const char *detail)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz_format: %s: %s\n", what, detail);
	abort();
}

/* Keys that the configuration service would refuse need not come back. */
static void keep_valid_keys(const struct lg_items *items, struct lg_items *kept)
{
	struct lg_error err = LG_ERROR_INIT;
	for (size_t i = 0; i < items->count; i++) {
		const struct lg_item *item = &items->items[i];
		if (lg_key_check(item->key, strlen(item->key), NULL) == 0)
			require(lg_items_add(kept, item->key, item->value, item->value_len, NULL, 0, &err) == 0,
				"add", err.message);
	}
}

static bool is_left_out(enum lg_format format, const char *key, const struct lg_problems *problems)
{
	if (format != LG_FORMAT_JSON && format != LG_FORMAT_YAML && strncmp(key, LG_SCHEMA_SPACE, 8) == 0)
		return true;
	for (size_t i = 0; i < problems->count; i++)
		if (strcmp(problems->items[i].subject, key) == 0)
			return true;
	return false;
}

static const struct lg_item *find(const struct lg_items *items, const char *key)
{
	for (size_t i = 0; i < items->count; i++)
		if (strcmp(items->items[i].key, key) == 0)
			return &items->items[i];
	return NULL;
}

static void round_trip(enum lg_format format, const struct lg_items *items)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_items_clear) struct lg_items again = LG_ITEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems unnamed = LG_PROBLEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	require(lg_format_emit(format, items, NULL, &text, &unnamed, &err) == 0, "emit", err.message);
	require(lg_format_parse(format, "again", lg_buf_str(&text), text.len, &again, &problems, &err) == 0,
		"parse", err.message);
	require(problems.total == 0, "problem", problems.total ? problems.items[0].message : "");
	size_t expected = 0;
	for (size_t i = 0; i < items->count; i++) {
		const char *key = items->items[i].key;
		if (is_left_out(format, key, &unnamed))
			continue;
		const struct lg_item *found = find(&again, key);
		require(found != NULL, "lost", key);
		require(strcmp(found->value, items->items[i].value) == 0, "changed", key);
		expected++;
	}
	require(expected == again.count, "added", lg_buf_str(&text));
}

static void fuzz_format(enum lg_format format, const char *text, size_t len)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_items_clear) struct lg_items items = LG_ITEMS_INIT;
	lg_cleanup(lg_items_clear) struct lg_items kept = LG_ITEMS_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	if (lg_format_parse(format, "input", text, len, &items, &problems, &err) < 0) {
		require(err.message[0] && !items.count, "failed without a message, or with items", err.message);
		return;
	}
	keep_valid_keys(&items, &kept);
	for (int f = LG_FORMAT_JSON; kept.count < 100 && f <= LG_FORMAT_PROPERTIES; f++)
		round_trip((enum lg_format)f, &kept);
}

static void fuzz_yaml(const char *text, size_t len)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	lg_cleanup(lg_json_freep) json_t *again = NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf before = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf after = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf emitted = LG_BUF_INIT;
	if (lg_yaml_parse("input", text, len, &json, &err) < 0) {
		require(err.message[0] && !json, "failed without a message", err.message);
		return;
	}
	if (lg_json_canonical(json, &before, &err) < 0 || before.len > LG_VALUE_MAX)
		return;
	require(lg_yaml_emit(json, &emitted, &err) == 0, "emit", err.message);
	require(lg_yaml_parse("again", emitted.data, emitted.len, &again, &err) == 0, "parse", err.message);
	require(lg_json_canonical(again, &after, &err) == 0, "canonical", err.message);
	require(strcmp(before.data, after.data) == 0, "changed", emitted.data);
}

/* Any name of one letter is there, its value depends on the letter. */
static int lookup(void *arg, const char *key, size_t key_len, const char **ret_value, size_t *ret_len)
{
	static const char *const values[] = { "\"text\"", "1", "\"a\\nb\"", "[\"x\"]", "\"\\u001b\"",
		"\"{{b}}\"" };
	(void)arg;
	if (key_len != 1)
		return 0;
	*ret_value = values[(unsigned char)key[0] % (sizeof values / sizeof *values)];
	*ret_len = strlen(*ret_value);
	return 1;
}

static void fuzz_template(const char *text, size_t len)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	int rc = lg_template_render("input", text, len, lookup, NULL, &buf, &err);
	require(rc == 0 || (err.message[0] && buf.len == 0), "failed without a message, or with output",
		err.message);
	if (rc == 0 && !memmem(text, len, "{{", 2))
		require(buf.len == len && (!len || memcmp(buf.data, text, len) == 0), "text changed", "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	lg_autofree char *text = malloc(size); /* exact, so that a step too far is seen */
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	switch (data[0] % 6) {
	case 4:
		fuzz_yaml(text, size - 1);
		break;
	case 5:
		fuzz_template(text, size - 1);
		break;
	default:
		fuzz_format((enum lg_format)(data[0] % 6), text, size - 1);
		break;
	}
	return 0;
}
