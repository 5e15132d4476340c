/* What is not in the log any more: never answered with something else, and what is nearest to it is named. */
#include "config/internal.h"
#include "config/store.h"

#include "base/text.h"

#include <inttypes.h>

static void trim(const char *dir, uint64_t before, const uint64_t *keep, size_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_trim(log, before, keep, count, &err), &err);
}

/* r1 … r13 one second apart, but for 10, a mark; 1, 2 and 4 … 9 are dropped, 3 is pinned. */
static const char *store_with_gaps(int64_t *ret_begun_us)
{
	const char *dir = store_new();
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = store_open(dir);
	*ret_begun_us = store_clock.realtime_us;
	for (uint64_t i = 1; i <= 13; i++) {
		char value[8];
		snprintf(value, sizeof value, "%" PRIu64, i);
		if (i == 10) {
			lg_clock_sim_advance(&store_clock, 1000000000);
			lg_assert_ok(store_mark(config, "good", 9, "a/", &err), &err);
		} else {
			assert_int_equal(store_set(config, i == 5 ? "b" : "a/x", value), i);
		}
		if (i == 3 || i == 9)
			lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	}
	lg_config_close(config);
	trim(dir, 10, (const uint64_t[]){ 3 }, 1);
	return dir;
}

struct target_row {
	const char *name;
	const char *target; /* NULL: after_ms */
	int after_ms;
	uint64_t revision; /* 0: it is gone */
	const char *nearest[2];
};

static const struct target_row target_rows[] = {
	{ "dropped, nothing before it", "r2", 0, 0, { "the records 1 to 2 ", "that can: r3 (" } },
	{ "pinned", "r3", 0, 3, { 0 } },
	{ "dropped, between", "r5", 0, 0, { "that can: r3 (", " and r10 (" } },
	{ "the last one dropped", "9", 0, 0, { "the records 4 to 9 ", "dropped by retention" } },
	{ "a mark behind the gap names its own state", "10", 0, 10, { 0 } },
	{ "kept", "r11", 0, 11, { 0 } },
	{ "a time before all", NULL, 500, 0, { "that can: r3 (" } },
	{ "a time before what is pinned", NULL, 2500, 0, { "that can: r3 (" } },
	{ "the very time of what is pinned", NULL, 3000, 3, { 0 } },
	{ "a little later, and another may have come", NULL, 3001, 0, { "that can: r3 (", " and r10 (" } },
	{ "within the gap", NULL, 7000, 0, { "what was in force at", "the records 4 to 9 " } },
	{ "behind it, before the mark", NULL, 9999, 0, { " and r10 (" } },
	{ "at the mark", NULL, 10000, 10, { 0 } },
	{ "after the mark", NULL, 10999, 10, { 0 } },
	{ "after what is kept", NULL, 11000, 11, { 0 } },
	{ "far in the future", NULL, 1000000, 13, { 0 } },
};

static void test_target(void **state)
{
	const struct target_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	int64_t begun_us;
	uint64_t revision = 77;
	char time[LG_TIME_SIZE];
	struct lg_config *config = store_open(store_with_gaps(&begun_us));
	lg_time_format(begun_us + row->after_ms * INT64_C(1000), time);
	int rc = lg_config_target(config, row->target ? row->target : time, NULL, &revision, NULL, &err);
	if (row->revision) {
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
		lg_assert_ok(rc, &err);
		assert_int_equal(revision, row->revision);
		lg_assert_ok(lg_config_tree_at(config, revision, &tree, &err), &err);
	} else {
		lg_assert_code(rc, LG_ENOTFOUND, &err);
		assert_int_equal(revision, 77);
		for (int i = 0; i < 2 && row->nearest[i]; i++)
			if (!strstr(err.message, row->nearest[i]))
				fail_msg("'%s' is not in '%s'", row->nearest[i], err.message);
	}
	lg_config_close(config);
}

static void assert_nearest(struct lg_config *config, uint64_t seq, uint64_t before, uint64_t after)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t got_before, got_after;
	lg_assert_ok(lg_config_nearest(config, seq, &got_before, &got_after, &err), &err);
	assert_int_equal(got_before, before);
	assert_int_equal(got_after, after);
}

static void test_gaps(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	int64_t begun_us;
	struct lg_log_gap gap;
	struct lg_config *config = store_open(store_with_gaps(&begun_us));
	assert_int_equal(lg_config_gap(config, UINT64_MAX, &gap, &err), 1);
	assert_int_equal(gap.first, 4);
	assert_int_equal(gap.last, 9);
	assert_int_equal(lg_config_gap(config, 3, &gap, &err), 1);
	assert_int_equal(gap.last, 2);
	assert_int_equal(lg_config_gap(config, 0, &gap, &err), 0);
	assert_nearest(config, 1, 0, 3);
	assert_nearest(config, 6, 3, 10);
	lg_config_close(config);
	config = store_open(store_new());
	store_set(config, "a", "1");
	assert_int_equal(lg_config_gap(config, UINT64_MAX, &gap, &err), 0);
	assert_nearest(config, 1, 0, 0);
	lg_config_close(config);
}

/* --- lost records: no checkpoint lies where the gap ends ------------------------------------------------------------------ */

static void append_mark(struct lg_log *log, struct lg_log_head *head)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *body = "{\"mark\":\"none\",\"revision\":1,\"root\":"
			   "\"0000000000000000000000000000000000000000000000000000000000000000\",\"scope\":{}}";
	struct lg_record record = { .seq = head->seq + 1,
		.id = { (uint8_t)head->seq, 1 },
		.time_us = store_clock.realtime_us,
		.kind = LG_KIND_MARK,
		.actor = "a",
		.reason = "",
		.body = body,
		.body_len = strlen(body) };
	lg_record_seal(&record, head->hash);
	lg_assert_ok(lg_log_append(log, &record, 1, head, &err), &err);
	head->seq++;
	memcpy(head->hash, record.hash, LG_HASH_SIZE);
}

static void lose(struct lg_log *log, struct lg_log_head *head, uint64_t last)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_gap gap = { .first = head->seq + 1, .last = last, .reason = LG_GAP_LOST };
	memset(gap.hash, (int)last, LG_HASH_SIZE);
	lg_assert_ok(lg_log_skip(log, &gap, &err), &err);
	head->seq = last;
	memcpy(head->hash, gap.hash, LG_HASH_SIZE);
}

/* r1, r2; 3 … 5 lost; 6, 7 without a checkpoint; 8, 9 lost; 10 … 12, and a checkpoint at 11. */
static void test_lost(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	store_set(config, "a", "1");
	store_set(config, "a", "2");
	lg_config_close(config);
	struct lg_log *log = store_open_log(dir);
	struct lg_log_head head;
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	lose(log, &head, 5);
	append_mark(log, &head);
	append_mark(log, &head);
	lose(log, &head, 9);
	append_mark(log, &head);
	append_mark(log, &head);
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = lg_tree_empty();
	const struct lg_controls none = { 0 };
	lg_assert_ok(lg_checkpoint_encode(&head, 0, tree, &none, &data, &err), &err);
	struct lg_log_checkpoint checkpoint = { .seq = head.seq, .data = data.data, .len = data.len };
	memcpy(checkpoint.hash, head.hash, LG_HASH_SIZE);
	lg_assert_ok(lg_log_checkpoint_write(log, &checkpoint, &err), &err);
	append_mark(log, &head);
	lg_log_close(log);
	config = store_open(dir);
	for (uint64_t seq = 3; seq <= 7; seq++)
		assert_nearest(config, seq, 2, 11);
	assert_nearest(config, 8, 2, 11); /* 6 and 7 are there, but not the states after them */
	uint64_t revision;
	lg_assert_code(lg_config_target(config, "r4", NULL, &revision, NULL, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "lost to damage"));
	assert_non_null(strstr(err.message, "r2 ("));
	assert_non_null(strstr(err.message, "r11 ("));
	lg_config_close(config);
}

int main(void)
{
	store_init();
	lg_test_rows("target", test_target, target_rows, sizeof target_rows / sizeof *target_rows,
		sizeof *target_rows, offsetof(struct target_row, name));
	lg_test_add("gaps and what is next to them", test_gaps, NULL);
	lg_test_add("lost records", test_lost, NULL);
	return lg_test_run("gone");
}
