/* What touched a scope last: whatever narrows the search, the answer is that of reading every record. */
#include "config/internal.h"
#include "config/store.h"

static uint64_t rng = 88172645463325252u;

static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % below;
}

static const char *const selectors[] = { "a/", "a/b/", "a/b/c", "b/", "b/1", "c", "a/x", "d/" };
static const char *const keys[] = { "a/b/c", "a/b/d", "a/x", "a/y", "b/1", "b/2", "c", "e/f" };
#define COUNT(list) (sizeof list / sizeof *list)

struct naive {
	const struct lg_scope *scope;
	uint64_t seq;
};

static int covered(void *arg, const char *key, size_t key_len, const char *value, size_t value_len)
{
	(void)value, (void)value_len;
	return lg_scope_covers(arg, key, key_len);
}

static int look(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct naive *naive = arg;
	bool touches;
	if (record->kind == LG_KIND_CHANGE) {
		touches = lg_body_each(record->body, record->body_len, covered, (void *)(uintptr_t)naive->scope,
				  err) == 1;
	} else {
		struct lg_restore_body body;
		lg_assert_ok(lg_restore_body_parse(record, &body, err), err);
		touches = lg_scope_overlaps(&body.scope, naive->scope);
		lg_scope_clear(&body.scope);
	}
	naive->seq = touches ? record->seq : naive->seq;
	return touches;
}

static void assert_last(struct lg_config *config, uint64_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_scope scope = LG_SCOPE_ALL;
	for (uint32_t n = 1 + draw(2); n > 0; n--)
		lg_assert_ok(lg_scope_include(&scope, selectors[draw(COUNT(selectors))], &err), &err);
	if (draw(3) == 0)
		lg_assert_ok(lg_scope_exclude(&scope, selectors[draw(COUNT(selectors))], &err), &err);
	struct naive naive = { &scope, 0 };
	const struct lg_log_query all = { .to = at, .kinds = LG_STATE_KINDS, .newest_first = true };
	assert_true(lg_config_query(config, &all, look, &naive, &err) >= 0);
	uint64_t revision = 12345;
	int64_t time_us = -1;
	lg_assert_ok(lg_config_last_change(config, &scope, at, &revision, &time_us, &err), &err);
	assert_int_equal(revision, naive.seq);
	assert_int_equal(time_us != 0, naive.seq != 0);
	lg_scope_clear(&scope);
}

static uint64_t head_of(struct lg_config *config)
{
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	uint64_t seq = now.seq;
	lg_snapshot_clear(&now);
	return seq;
}

static void step(struct lg_config *config)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t head = head_of(config);
	if (head > 3 && draw(4) == 0) {
		const char *include = draw(4) ? selectors[draw(COUNT(selectors))] : NULL;
		const char *exclude = draw(2) ? selectors[draw(COUNT(selectors))] : NULL;
		uint64_t revision;
		(void)store_restore(config, 1 + draw((uint32_t)head - 1), include, exclude, &revision, &err);
		return;
	}
	char value[16];
	const char *pairs[7] = { 0 };
	size_t first = draw(COUNT(keys)), step = 1 + 2 * draw(3);
	snprintf(value, sizeof value, "%u", draw(1000000));
	for (size_t i = 0; i < 1 + draw(2); i++) {
		pairs[2 * i] = keys[(first + i * step) % COUNT(keys)];
		pairs[2 * i + 1] = draw(3) ? value : "";
	}
	/* what is not there cannot be unset */
	int rc = store_put(config, pairs, NULL, NULL, &err);
	assert_true(rc == 0 || rc == LG_EINVALID);
}

static void test_as_if_every_record_was_read(void **state)
{
	(void)state;
	const char *name = store_new();
	struct lg_config *config = store_open(name);
	for (int n = 0; n < 400; n++) {
		step(config);
		uint64_t head = head_of(config);
		if (head == 0)
			continue;
		assert_last(config, head);
		assert_last(config, 1 + draw((uint32_t)head));
		if (n % 50 == 49) { /* what is known of changes then comes from a checkpoint */
			struct lg_error err = LG_ERROR_INIT;
			lg_assert_ok(lg_config_checkpoint(config, &err), &err);
			struct lg_config *other = store_open(name);
			for (int i = 0; i < 10; i++)
				assert_last(other, head);
			lg_config_close(config);
			config = other;
		}
	}
	assert_true(head_of(config) > 200);
	lg_config_close(config);
}

int main(void)
{
	store_init();
	store_use_memory();
	lg_test_add("as if every record was read", test_as_if_every_record_was_read, NULL);
	return lg_test_run("config_touch");
}
