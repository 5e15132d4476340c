/* What a reviewer looks for in the core: writers inside of subscribers, records that nobody could read back, roads through
 * the log that are long or branch, logs that were cut or replaced, secrets in messages. */
#include "config/store.h"

#include "log/log.h"
#include "model/value.h"

#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

/* --- subscribers ----------------------------------------------------------------------------------------------------- */

struct meddler {
	struct lg_config *config, *other;
	bool writes;
	int rc;
};

static int meddle_before(void *arg, uint64_t revision, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err)
{
	struct meddler *meddler = arg;
	struct lg_error own = LG_ERROR_INIT;
	(void)revision, (void)former, (void)next, (void)problems, (void)err;
	if (meddler->other) { /* somebody else is quicker */
		struct lg_config *other = meddler->other;
		meddler->other = NULL;
		store_set(other, "a", "99");
	}
	meddler->rc = meddler->writes
		? store_put(meddler->config, (const char *const[]){ "b", "7", NULL }, NULL, NULL, &own)
		: lg_config_refresh(meddler->config, &own);
	return 0;
}

static void test_refresh_inside_a_subscriber_loses_no_update(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	struct meddler meddler = { .config = config, .other = other };
	const struct lg_subscriber subscriber = { .before = meddle_before, .arg = &meddler };
	store_set(config, "a", "1", "b", "1");
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	assert_int_equal(store_set(config, "b", "2"), 3);
	store_assert_as_reopened(config, dir);
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_config_snapshot(config, &now);
	assert_true(lg_tree_get(now.tree, "a", 1, &entry));
	assert_string_equal(entry.value, "99");
	lg_snapshot_clear(&now);
}

static void test_a_subscriber_cannot_write(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	struct meddler meddler = { .config = config, .writes = true };
	const struct lg_subscriber subscriber = { .before = meddle_before, .arg = &meddler };
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	assert_int_equal(store_set(config, "a", "1"), 1);
	assert_int_equal(meddler.rc, LG_EINTERNAL);
	store_assert_as_reopened(config, dir);
	lg_config_unsubscribe(config, &meddler);
	assert_int_equal(store_set(config, "b", "1"), 2);
}

/* --- what must not get into the log ---------------------------------------------------------------------------------- */

struct refused_row {
	const char *name;
	enum lg_kind kind;
	const char *body;
};

static const struct refused_row refused_rows[] = {
	{ "no JSON", LG_KIND_HOLD, "{" },
	{ "empty", LG_KIND_HOLD, "" },
	{ "a hold without a scope", LG_KIND_HOLD, "{\"rollback\":\"x\"}" },
	{ "a hold with a scope of nothing", LG_KIND_HOLD, "{\"scope\":{\"include\":[]}}" },
	{ "a hold with a scope that is no key", LG_KIND_HOLD, "{\"scope\":{\"include\":[\"a//b\"]}}" },
	{ "a mark without a root", LG_KIND_MARK, "{\"mark\":\"good\",\"revision\":1,\"scope\":{}}" },
	{ "a mark of no kind", LG_KIND_MARK,
		"{\"mark\":\"fine\",\"revision\":1,\"root\":"
		"\"0000000000000000000000000000000000000000000000000000000000000000\",\"scope\":{}}" },
	{ "a mark with a short root", LG_KIND_MARK,
		"{\"mark\":\"good\",\"revision\":1,\"root\":\"00\",\"scope\":{}}" },
	{ "a release of nothing", LG_KIND_RELEASE, "{}" },
};

static void test_refused_control(void **state)
{
	const struct refused_row *row = *state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	store_set(config, "a", "1");
	const struct lg_control control = { row->kind, row->body, strlen(row->body) };
	lg_assert_code(lg_config_control(config, &store_author, &control, 1, NULL, &err), LG_EINVALID, &err);
	store_assert_as_reopened(config, dir);
	assert_int_equal(store_set(config, "a", "2"), 2);
}

static void test_names_that_are_no_text_are_refused(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_assert_ok(lg_changeset_add(&set, "a", 1, "1", 1, &err), &err);
	struct lg_commit commit = { .changes = &set, .author = { .actor = "al\xff", .reason = "x" } };
	lg_assert_code(lg_config_commit(config, &commit, NULL, NULL, &err), LG_EINVALID, &err);
	commit.author = (struct lg_author){ .actor = "alice", .reason = "caf\xe9" };
	lg_assert_code(lg_config_commit(config, &commit, NULL, NULL, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "byte 4"));
	const struct lg_control control = { LG_KIND_HOLD, "{\"scope\":{}}", 12 };
	lg_assert_code(lg_config_control(config, &commit.author, &control, 1, NULL, &err), LG_EINVALID, &err);
	store_assert_as_reopened(config, dir);
}

/* --- secrets --------------------------------------------------------------------------------------------------------- */

static void test_a_sealed_value_stays_closed_under_a_plain_declaration(void **state)
{
	(void)state;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(store_new());
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	store_set(config, "@schema/n", "{\"max\":10,\"type\":\"int\"}");
	lg_assert_ok(lg_secret_seal(lg_config_secret_key(config), "n", "4711471147", 10, &sealed, &err), &err);
	const char *const pairs[] = { "n", lg_buf_str(&sealed), NULL };
	lg_assert_code(store_put(config, pairs, NULL, &problems, &err), LG_EINVALID, &err);
	assert_int_equal(problems.count, 1);
	assert_null(strstr(problems.items[0].message, "4711"));
	assert_null(strstr(err.message, "4711"));
}

static void test_strict_covers_sealed_values(void **state)
{
	(void)state;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(store_new());
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	store_set(config, "@schema/@strict", "[\"s/\"]");
	lg_assert_ok(lg_secret_seal(lg_config_secret_key(config), "s/x", "\"x\"", 3, &sealed, &err), &err);
	const char *const pairs[] = { "s/x", lg_buf_str(&sealed), NULL };
	lg_assert_code(store_put(config, pairs, NULL, NULL, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "not declared"));
}

static void test_init_never_replaces_a_lost_key(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	char path[4096];
	const char *dir = store_new();
	snprintf(path, sizeof path, "%s/secret.key", dir);
	assert_int_equal(unlink(path), 0);
	lg_assert_code(lg_config_init(dir, &store_clock.clock, &err), LG_ECONFLICT, &err);
	assert_int_equal(access(path, F_OK), -1);
}

/* --- targets --------------------------------------------------------------------------------------------------------- */

static void test_quarantine_holds_within_a_wider_scope(void **state)
{
	(void)state;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(store_new());
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_scope all = LG_SCOPE_ALL;
	uint64_t revision = 0;
	store_set(config, "web/x", "1", "db/x", "1");
	store_set(config, "web/x", "2");
	store_set(config, "db/x", "2");
	store_set(config, "web/x", "3");
	lg_assert_ok(store_mark(config, "good", 1, NULL, &err), &err);
	lg_assert_ok(store_mark(config, "good", 3, NULL, &err), &err);
	lg_assert_ok(lg_config_target(config, "good", &all, &revision, NULL, &err), &err);
	assert_int_equal(revision, 3);
	/* what web/ was at r3 turns out to be bad: r3 as a whole is no target either, r1 is */
	lg_assert_ok(store_mark(config, "bad", 3, "web/", &err), &err);
	lg_assert_ok(lg_config_target(config, "good", &all, &revision, NULL, &err), &err);
	assert_int_equal(revision, 1);
}

/* --- roads through the log ------------------------------------------------------------------------------------------- */

/* Appends a record as another process would that never writes checkpoints. */
static void append_raw(struct lg_log *log, enum lg_kind kind, const char *body,
	const uint8_t root[LG_HASH_SIZE], const char *const *keys, size_t key_count)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	struct lg_record record = { .seq = head.seq + 1,
		.kind = kind,
		.actor = "raw",
		.reason = "",
		.body = body,
		.body_len = strlen(body),
		.has_root = root != NULL,
		.keys = keys,
		.key_count = key_count };
	memcpy(record.id, &head.seq, sizeof head.seq);
	if (root)
		memcpy(record.root, root, LG_HASH_SIZE);
	lg_record_seal(&record, head.hash);
	lg_assert_ok(lg_log_append(log, &record, 1, &head, &err), &err);
}

static void append_restore(struct lg_log *log, uint64_t to, const char *scope, const uint8_t root[LG_HASH_SIZE])
{
	char body[128];
	snprintf(body, sizeof body, "{\"scope\":%s,\"to\":%" PRIu64 "}", scope, to);
	append_raw(log, LG_KIND_RESTORE, body, root, NULL, 0);
}

static struct lg_log *memory_log(const char *name)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	const struct lg_log_open options = { .create = true };
	lg_assert_ok(lg_log_open(name, &options, &log, &err), &err);
	return log;
}

static struct lg_config *open_memory(const char *name)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .log = memory_log(name), .clock = &store_clock.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

static void root_of(const char *key, const char *value, uint8_t ret_root[LG_HASH_SIZE])
{
	struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	assert_int_equal(lg_tree_edit_put(edit, key, strlen(key), value, strlen(value), 1, NULL), 0);
	struct lg_tree *tree = lg_tree_edit_commit(edit);
	lg_tree_hash(tree, ret_root);
	lg_tree_unref(tree);
	lg_tree_unref(empty);
}

static int count_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)err;
	assert_string_equal(event->value, "1");
	++*(uint64_t *)arg;
	return 0;
}

/* 60,000 times undo of the undo: the road is as long, the stack is not. */
static void test_a_long_chain_of_restores(void **state)
{
	(void)state;
	enum { LENGTH = 60000 };
	uint8_t root[LG_HASH_SIZE];
	const char *const keys[] = { "a" };
	struct lg_log *log = memory_log("memory:chain");
	root_of("a", "1", root);
	append_raw(log, LG_KIND_CHANGE, "{\"set\":{\"a\":1}}", root, keys, 1);
	for (uint64_t seq = 2; seq <= LENGTH; seq++)
		append_restore(log, seq - 1, "{}", root);
	lg_cleanup(lg_config_closep) struct lg_config *config = open_memory("memory:chain");
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_config_snapshot(config, &now);
	assert_int_equal(now.revision, LENGTH);
	assert_true(lg_tree_get(now.tree, "a", 1, &entry));
	assert_int_equal(entry.change, LENGTH);
	lg_snapshot_clear(&now);
	/* and its history is no longer than it is: each event is a step, not the whole way again */
	struct lg_error err = LG_ERROR_INIT;
	uint64_t events = 0;
	lg_assert_ok(lg_config_history_key(config, "a", 0, count_event, &events, &err), &err);
	assert_int_equal(events, LENGTH);
	lg_log_close(log);
}

/* Each restore of a part points past the cache of trees; loading each target for itself would double the work with every
 * one of them. */
static void test_restores_that_branch(void **state)
{
	(void)state;
	enum { LENGTH = 2000 };
	uint8_t root[LG_HASH_SIZE];
	const char *const keys[] = { "a/x" };
	struct lg_log *log = memory_log("memory:branch");
	root_of("a/x", "1", root);
	append_raw(log, LG_KIND_CHANGE, "{\"set\":{\"a/x\":1}}", root, keys, 1);
	for (uint64_t seq = 2; seq <= LENGTH; seq++)
		append_restore(log, seq > 40 ? seq - 40 : seq - 1, "{\"include\":[\"a/\"]}", root);
	lg_cleanup(lg_config_closep) struct lg_config *config = open_memory("memory:branch");
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(config, LENGTH / 2, &tree, &err), &err);
	assert_int_equal(lg_tree_count(tree), 1);
	lg_tree_unref(tree);
	lg_log_close(log);
}

/* --- short histories of everything ------------------------------------------------------------------------------------ */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint32_t draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

static void random_step(struct lg_config *config, uint64_t head)
{
	static const char *const names[] = { "a/x", "a/y", "b/x", "c" };
	static const char *const scopes[] = { "a/", "b/", "c", "a/x" };
	struct lg_error err = LG_ERROR_INIT;
	char text[16];
	uint32_t kind = draw(10);
	snprintf(text, sizeof text, "%u", draw(1000));
	if (head < 2 || kind < 4)
		store_set(config, names[draw(4)], text);
	else if (kind < 6)
		store_go_back(config, draw((uint32_t)head + 1), NULL, NULL);
	else if (kind < 8)
		store_go_back(config, draw((uint32_t)head + 1), scopes[draw(4)], NULL);
	else if (kind == 8)
		store_go_back(config, draw((uint32_t)head + 1), NULL, scopes[draw(4)]);
	else
		lg_assert_ok(lg_config_checkpoint(config, &err), &err);
}

/* Each state as it was when it was made, whatever road leads there from the checkpoints that there happen to be. */
static void assert_roots(struct lg_config *config, const uint8_t (*roots)[LG_HASH_SIZE], uint64_t head)
{
	struct lg_error err = LG_ERROR_INIT;
	for (uint64_t seq = head + 1; seq-- > 0;) {
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
		uint8_t root[LG_HASH_SIZE];
		lg_assert_ok(lg_config_tree_at(config, seq, &tree, &err), &err);
		lg_tree_hash(tree, root);
		assert_memory_equal(root, roots[seq], LG_HASH_SIZE);
	}
}

static void test_short_histories(void **state)
{
	(void)state;
	enum { HISTORIES = 400, STEPS = 24 };
	for (int i = 0; i < HISTORIES; i++) {
		char name[32];
		uint8_t roots[STEPS + 1][LG_HASH_SIZE];
		snprintf(name, sizeof name, "memory:short%d", i);
		struct lg_config *config = open_memory(name);
		for (int step = 0; step <= STEPS; step++) {
			lg_cleanup(lg_buf_clear) struct lg_buf before = LG_BUF_INIT;
			lg_cleanup(lg_buf_clear) struct lg_buf after = LG_BUF_INIT;
			struct lg_snapshot now;
			lg_config_snapshot(config, &now);
			lg_tree_hash(now.tree, roots[now.revision]);
			const uint64_t head = now.revision;
			lg_snapshot_clear(&now);
			store_describe(config, &before);
			struct lg_config *reopened = open_memory(name);
			lg_config_close(config);
			config = reopened;
			store_describe(config, &after);
			assert_string_equal(lg_buf_str(&before), lg_buf_str(&after));
			if (step == STEPS)
				assert_roots(config, (const uint8_t(*)[LG_HASH_SIZE])roots, head);
			else
				random_step(config, head);
		}
		lg_config_close(config);
	}
}

static uint64_t newest_checkpoint(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t seq = 0;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	int rc = lg_log_checkpoint_find(log, UINT64_MAX, &seq, &err);
	return rc == 0 ? seq : 0;
}

static void test_a_checkpoint_follows_a_restore_from_before_the_last(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	store_set(config, "a/x", "1", "b/x", "1");
	store_set(config, "a/x", "2", "b/x", "2");
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	assert_int_equal(newest_checkpoint(dir), 2);
	store_set(config, "a/x", "3", "b/x", "3");
	store_go_back(config, 2, "a/", NULL); /* within reach */
	assert_int_equal(newest_checkpoint(dir), 2);
	assert_int_equal(store_go_back(config, 1, "b/", NULL), 5);
	store_assert_as_reopened(config, dir);
	lg_config_close(config); /* waits for it */
	assert_int_equal(newest_checkpoint(dir), 5);
}

/* --- logs that were cut, replaced or damaged -------------------------------------------------------------------------- */

static void test_a_follower_that_retention_overtook(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_config_closep) struct lg_config *follower = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	uint64_t held;
	store_set(config, "a", "1");
	lg_assert_ok(lg_config_refresh(follower, &err), &err);
	for (int i = 2; i < 20; i++) {
		char text[16];
		snprintf(text, sizeof text, "%d", i);
		store_set(config, "a", text);
	}
	lg_assert_ok(store_hold(config, "b/", &held, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_trim(log, 15, NULL, 0, &err), &err);
	lg_assert_ok(lg_config_refresh(follower, &err), &err);
	store_assert_as_reopened(follower, dir);
	assert_int_equal(lg_config_controls(follower)->hold_count, 1);
	/* the empty state needs no record */
	struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(config, 0, &tree, &err), &err);
	lg_tree_unref(tree);
	lg_assert_code(lg_config_tree_at(config, 3, &tree, &err), LG_ENOTFOUND, &err);
}

static int note_values(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)err;
	return lg_buf_addf(arg, "%" PRIu64 "=%s ", event->record->seq, event->value ? event->value : "-");
}

static void run_sql(const char *dir, const char *sql)
{
	char path[4096];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/log.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* The record that gave the key its value is gone, the checkpoint in its place is not. */
static void test_history_reaches_into_the_checkpoint(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_buf_clear) struct lg_buf said = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	store_set(config, "a", "1");
	store_set(config, "a", "2");
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "b", "1");
	store_set(config, "a", "3");
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_trim(log, 3, NULL, 0, &err), &err);
	/* what retention drops nobody goes back to */
	run_sql(dir, "UPDATE gap SET reason = 'lost'");
	assert_int_equal(store_go_back(config, 2, "a", NULL), 5);
	assert_int_equal(store_go_back(config, 0, "a", NULL), 6);
	lg_assert_ok(lg_config_history_key(config, "a", 0, note_values, &said, &err), &err);
	assert_string_equal(lg_buf_str(&said), "6=- 5=2 4=3 ");
}

static int ignore_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)arg, (void)event, (void)err;
	return 0;
}

static void test_an_index_that_lies_is_noticed(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	store_set(config, "a", "1");
	store_set(config, "b", "1");
	run_sql(dir, "INSERT INTO touched (key, seq) VALUES ('a', 2)");
	lg_assert_code(lg_config_history_key(config, "a", 0, ignore_event, NULL, &err), LG_ECORRUPT, &err);
}

static void test_a_hold_whose_body_was_altered_is_noticed(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	uint64_t held;
	lg_assert_ok(store_hold(config, "web/", &held, &err), &err);
	lg_config_close(config);
	run_sql(dir, "UPDATE record SET body = replace(body, 'web', 'wea')");
	const struct lg_config_options options = { .state_dir = dir, .clock = &store_clock.clock };
	lg_assert_code(lg_config_open(&options, &config, &err), LG_ECORRUPT, &err);
	assert_non_null(strstr(err.message, "record 1"));
}

/* --- waiting --------------------------------------------------------------------------------------------------------- */

static void *wait_for_another(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	return (void *)(intptr_t)lg_config_wait(arg, 60000, &err);
}

/* One thread waits on the same config that another one writes with. */
static void test_waiting_beside_a_writer(void **state)
{
	(void)state;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	pthread_t waiter;
	void *rc;
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_another, config), 0);
	for (int i = 0; i < 50; i++) {
		char text[16];
		snprintf(text, sizeof text, "%d", i);
		store_set(config, "a", text);
	}
	/* whether own changes ended the wait or not, somebody else's does */
	store_set(other, "b", "1");
	pthread_join(waiter, &rc);
	assert_true((intptr_t)rc == 0 || (intptr_t)rc == 1);
	store_set(config, "c", "1");
	store_assert_as_reopened(config, dir);
}

int main(void)
{
	store_init();
	lg_test_add("a refresh inside a subscriber loses no update",
		test_refresh_inside_a_subscriber_loses_no_update, NULL);
	lg_test_add("a subscriber cannot write", test_a_subscriber_cannot_write, NULL);
	lg_test_rows("control records that nobody could read back", test_refused_control, refused_rows,
		sizeof refused_rows / sizeof *refused_rows, sizeof *refused_rows,
		offsetof(struct refused_row, name));
	lg_test_add("names that are no text are refused", test_names_that_are_no_text_are_refused, NULL);
	lg_test_add("a sealed value stays closed under a plain declaration",
		test_a_sealed_value_stays_closed_under_a_plain_declaration, NULL);
	lg_test_add("strict covers sealed values", test_strict_covers_sealed_values, NULL);
	lg_test_add("init never replaces a lost key", test_init_never_replaces_a_lost_key, NULL);
	lg_test_add("quarantine holds within a wider scope", test_quarantine_holds_within_a_wider_scope, NULL);
	lg_test_add("a long chain of restores", test_a_long_chain_of_restores, NULL);
	lg_test_add("restores that branch", test_restores_that_branch, NULL);
	lg_test_add("short histories of everything", test_short_histories, NULL);
	lg_test_add("a checkpoint follows a restore from before the last one",
		test_a_checkpoint_follows_a_restore_from_before_the_last, NULL);
	lg_test_add("a follower that retention overtook", test_a_follower_that_retention_overtook, NULL);
	lg_test_add("history reaches into the checkpoint", test_history_reaches_into_the_checkpoint, NULL);
	lg_test_add("an index that lies is noticed", test_an_index_that_lies_is_noticed, NULL);
	lg_test_add("a hold whose body was altered is noticed", test_a_hold_whose_body_was_altered_is_noticed,
		NULL);
	lg_test_add("waiting beside a writer", test_waiting_beside_a_writer, NULL);
	return lg_test_run("config_core");
}
