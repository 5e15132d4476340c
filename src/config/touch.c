/* What touched a scope last.
 *
 * The index of the log has every change of every key below a prefix, and reading all of it for the newest one is dear where
 * there are many.  So first whatever narrows the search is asked: the tree knows the highest change number below a prefix,
 * and the former answer for a scope holds until something newer is found.  Only what lies behind is searched, record by
 * record when it is little.  Nothing of that is believed without the record that says it. */
#include "config/internal.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define FOUND 1

struct touch {
	const struct lg_scope *scope;
	uint64_t seq; /* of the newest record that touches the scope */
	int64_t time_us;
};

static int covered_key(void *arg, const char *key, size_t key_len, const char *value, size_t value_len)
{
	(void)value;
	(void)value_len;
	return lg_scope_covers(arg, key, key_len) ? FOUND : 0;
}

static int touch_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct touch *touch = arg;
	int rc;
	if (lg_scope_is_all(touch->scope)) {
		rc = FOUND;
	} else if (record->kind == LG_KIND_CHANGE) {
		rc = lg_body_each(
			record->body, record->body_len, covered_key, (void *)(uintptr_t)touch->scope, err);
	} else {
		struct lg_restore_body body;
		rc = lg_restore_body_parse(record, &body, err);
		if (rc < 0)
			return rc;
		rc = lg_scope_overlaps(&body.scope, touch->scope) ? FOUND : 0;
		lg_scope_clear(&body.scope);
	}
	if (rc != FOUND)
		return rc;
	touch->seq = record->seq;
	touch->time_us = record->time_us;
	return FOUND;
}

/* --- what is known ---------------------------------------------------------------------------------------------------- */

static struct lg_touch_memo *recall(struct lg_config *config, const struct lg_scope *scope)
{
	for (size_t i = 0; i < LG_TOUCH_MEMOS; i++) {
		struct lg_touch_memo *memo = &config->touched[i];
		if (memo->as_of && lg_scope_equal(&memo->scope, scope))
			return memo;
	}
	return NULL;
}

/* Only for want of memory it is not remembered. */
static void remember(struct lg_config *config, const struct touch *touch, uint64_t at)
{
	struct lg_touch_memo *memo = recall(config, touch->scope);
	if (!memo) {
		memo = &config->touched[config->next_touched++ % LG_TOUCH_MEMOS];
		lg_scope_clear(&memo->scope);
		*memo = (struct lg_touch_memo){ 0 };
		if (lg_scope_copy(touch->scope, &memo->scope, NULL) < 0)
			return;
	}
	if (memo->as_of > at)
		return;
	memo->as_of = at;
	memo->seq = touch->seq;
	memo->time_us = touch->time_us;
}

void lg_touch_forget(struct lg_config *config)
{
	for (size_t i = 0; i < LG_TOUCH_MEMOS; i++) {
		lg_scope_clear(&config->touched[i].scope);
		config->touched[i] = (struct lg_touch_memo){ 0 };
	}
}

/* The highest change number of what the scope holds, and how many keys it holds. */
static uint64_t newest_in_tree(const struct lg_tree *tree, const struct lg_scope *scope, size_t *ret_keys)
{
	uint64_t newest = 0;
	*ret_keys = 0;
	for (size_t i = 0; i < scope->include_count; i++) {
		const char *selector = scope->include[i];
		uint64_t change = lg_tree_newest(tree, selector, strlen(selector));
		newest = change > newest ? change : newest;
		*ret_keys += lg_tree_count_prefix(tree, selector, strlen(selector));
	}
	return newest;
}

/* --- the search ------------------------------------------------------------------------------------------------------- */

/* Behind touch->seq and `from`, up to `at`.  selector NULL: record by record. */
static int search(struct lg_config *config, const char *selector, uint64_t from, uint64_t at,
	struct touch *touch, struct lg_error *err)
{
	const struct lg_log_query query = {
		.from = (from > touch->seq ? from : touch->seq) + 1,
		.to = at,
		.kinds = LG_STATE_KINDS,
		.key = selector,
		.newest_first = true,
		.no_body = lg_scope_is_all(touch->scope),
	};
	if (query.from > at)
		return 0;
	int rc = lg_log_query(config->log, &query, touch_record, touch, err);
	return rc < 0 ? rc : 0;
}

static int search_by_selectors(
	struct lg_config *config, uint64_t from, uint64_t at, struct touch *touch, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < touch->scope->include_count; i++) {
		const char *selector = touch->scope->include[i];
		char declared[LG_SELECTOR_MAX];
		rc = search(config, selector, from, at, touch, err);
		int len = snprintf(declared, sizeof declared, LG_SCHEMA_SPACE "%s", selector);
		if (rc == 0 && selector[0] != '@' && (size_t)len < sizeof declared)
			rc = search(config, declared, from, at, touch, err);
	}
	return rc;
}

/* Few records are read faster than an index of many keys. */
static bool are_few(uint64_t records, size_t keys)
{
	return records <= 64 || records <= keys / 16;
}

static int find_touch(struct lg_config *config, uint64_t at, struct touch *touch, struct lg_error *err)
{
	if (touch->scope->include_count == 0)
		return search(config, NULL, 0, at, touch, err);
	const struct lg_touch_memo *memo = recall(config, touch->scope);
	uint64_t searched = 0; /* nothing behind touch->seq up to here */
	size_t keys = 0;
	if (memo && memo->seq <= at) {
		touch->seq = memo->seq;
		touch->time_us = memo->time_us;
		searched = memo->as_of;
	}
	const struct lg_published *now = config->published;
	uint64_t newest =
		at >= now->revision && searched < at ? newest_in_tree(now->tree, touch->scope, &keys) : 0;
	if (newest > touch->seq) {
		struct lg_error gone = LG_ERROR_INIT;
		int rc = lg_log_get(config->log, newest, touch_record, touch, &gone);
		if (rc < 0 && rc != LG_ENOTFOUND)
			return lg_fail(err, rc, 0, "%s", gone.message);
	}
	if (searched < touch->seq)
		searched = touch->seq;
	if (searched >= at)
		return 0;
	return searched && are_few(at - searched, keys) ? search(config, NULL, searched, at, touch, err)
							: search_by_selectors(config, searched, at, touch, err);
}

int lg_config_last_change(struct lg_config *config, const struct lg_scope *scope, uint64_t at,
	uint64_t *ret_revision, int64_t *ret_time_us, struct lg_error *err)
{
	static const struct lg_scope all = LG_SCOPE_ALL;
	struct touch touch = { .scope = scope ? scope : &all };
	lg_config_lock(config);
	int rc = at ? find_touch(config, at, &touch, err) : 0;
	if (rc == 0 && at && at <= config->head.seq && touch.scope->include_count)
		remember(config, &touch, at);
	lg_config_unlock(config);
	if (rc < 0)
		return rc;
	*ret_revision = touch.seq;
	if (ret_time_us)
		*ret_time_us = touch.time_us;
	return 0;
}
