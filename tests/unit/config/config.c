#include "config/config.h"
#include "support/support.h"

#include "base/cleanup.h"
#include "model/key.h"
#include "model/value.h"

#include <unistd.h>

static struct lg_clock_sim sim;
static int stores;

/* A new store of its own directory. */
static const char *new_store(void)
{
	char name[32];
	struct lg_error err = LG_ERROR_INIT;
	snprintf(name, sizeof name, "store%d", stores++);
	const char *dir = lg_test_path(name);
	lg_assert_ok(lg_config_init(dir, &sim.clock, &err), &err);
	return dir;
}

static struct lg_config *open_store(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .state_dir = dir, .clock = &sim.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

static const struct lg_author alice = { .actor = "alice", .reason = "test" };

static int commit_set(struct lg_config *config, const struct lg_commit *form, const char *const *pairs,
	struct lg_committed *ret_committed, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (; *pairs; pairs += 2)
		lg_assert_ok(lg_changeset_add(&set, pairs[0], strlen(pairs[0]), *pairs[1] ? pairs[1] : NULL,
				     strlen(pairs[1]), err),
			err);
	struct lg_commit commit = form ? *form : (struct lg_commit){ 0 };
	commit.changes = &set;
	if (!commit.author.actor)
		commit.author = alice;
	return lg_config_commit(config, &commit, ret_committed, problems, err);
}

/* "" unsets. Returns the revision. */
#define put(config, ...) put_pairs(config, (const char *const[]){ __VA_ARGS__, NULL })
static uint64_t put_pairs(struct lg_config *config, const char *const *pairs)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	lg_clock_sim_advance(&sim, 1000000000);
	lg_assert_ok(commit_set(config, NULL, pairs, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

static uint64_t restore(struct lg_config *config, uint64_t to, const char *include, const char *exclude)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	if (include)
		lg_assert_ok(lg_scope_include(&scope, include, &err), &err);
	if (exclude)
		lg_assert_ok(lg_scope_exclude(&scope, exclude, &err), &err);
	const struct lg_restore form = {
		.to = to, .scope = &scope, .author = alice, .rollback = "20260101-000000-abcdef"
	};
	lg_clock_sim_advance(&sim, 1000000000);
	lg_assert_ok(lg_config_restore(config, &form, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

static void assert_value(struct lg_config *config, const char *key, const char *want, uint64_t change)
{
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_config_snapshot(config, &now);
	bool found = lg_tree_get(now.tree, key, strlen(key), &entry);
	assert_int_equal(found, want != NULL);
	if (want) {
		assert_string_equal(entry.value, want);
		assert_int_equal(entry.change, change);
	}
	lg_snapshot_clear(&now);
}

static void test_change_and_read(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	assert_int_equal(put(config, "web/port", "8080", "web/name", "\"x\""), 1);
	assert_int_equal(put(config, "web/port", "8081"), 2);
	assert_int_equal(put(config, "web/port", "8081"), 2); /* nothing differs: nothing is appended */
	assert_value(config, "web/port", "8081", 2);
	assert_value(config, "web/name", "\"x\"", 1);
	assert_int_equal(put(config, "web/name", ""), 3);
	assert_value(config, "web/name", NULL, 0);
	lg_config_close(config);
}

static void test_restore_moves_change_numbers_on(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	put(config, "a/x", "1", "b/x", "1");
	put(config, "a/x", "2", "b/x", "2");
	assert_int_equal(restore(config, 1, "a/", NULL), 3);
	assert_value(config, "a/x", "1", 3);
	assert_value(config, "b/x", "2", 2);
	/* compare-and-set on what was read at r1 must fail: the value is the same, the change is not */
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_assert_ok(lg_changeset_add(&set, "a/x", 3, "9", 1, &err), &err);
	set.items[0].has_expect = true;
	set.items[0].expect_change = 1;
	const struct lg_commit commit = { .changes = &set, .author = alice };
	lg_assert_code(lg_config_commit(config, &commit, NULL, NULL, &err), LG_ECONFLICT, &err);
	set.items[0].expect_change = 3;
	lg_assert_ok(lg_config_commit(config, &commit, NULL, NULL, &err), &err);
	assert_value(config, "a/x", "9", 4);
	lg_config_close(config);
}

static void test_all_problems_at_once(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	put(config, "@schema/n", "{\"max\":10,\"min\":1,\"type\":\"int\"}");
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	const char *const pairs[] = { "n", "11", "a//b", "1", "gone", "", "fine", "1", NULL };
	lg_assert_code(commit_set(config, NULL, pairs, NULL, &problems, &err), LG_EINVALID, &err);
	assert_int_equal(problems.count, 3);
	assert_value(config, "fine", NULL, 0);
	struct lg_committed committed;
	const struct lg_commit lenient = { .skip_invalid = true };
	lg_assert_ok(commit_set(config, &lenient, pairs, &committed, &problems, &err), &err);
	assert_int_equal(committed.changed, 1);
	assert_int_equal(committed.skipped, 3);
	lg_committed_clear(&committed);
	assert_value(config, "fine", "1", 3); /* record 2 is that of the refusal */
	lg_config_close(config);
}

static void test_declaration_and_value_in_one_change(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	const char *const wrong[] = { "@schema/n", "{\"type\":\"bool\"}", "n", "1", NULL };
	lg_assert_code(commit_set(config, NULL, wrong, NULL, &problems, &err), LG_EINVALID, &err);
	put(config, "n", "1");
	const char *const under[] = { "@schema/n", "{\"type\":\"bool\"}", NULL };
	lg_assert_code(commit_set(config, NULL, under, NULL, &problems, &err), LG_EINVALID, &err);
	put(config, "@schema/n", "{\"type\":\"bool\"}", "n", "true");
	put(config, "@schema/@strict", "[\"web/\"]");
	const char *const unknown[] = { "web/x", "1", NULL };
	lg_assert_code(commit_set(config, NULL, unknown, NULL, &problems, &err), LG_EINVALID, &err);
	put(config, "other", "1");
	lg_config_close(config);
}

static void test_secrets_are_sealed_before_they_are_recorded(void **state)
{
	(void)state;
	const char *dir = new_store();
	struct lg_config *config = open_store(dir);
	put(config, "token", "\"hunter2hunter2\"");
	put(config, "@schema/token", "{\"type\":\"secret\"}"); /* becomes one: the value is sealed with it */
	struct lg_snapshot now;
	struct lg_entry entry;
	struct lg_error err = LG_ERROR_INIT;
	lg_config_snapshot(config, &now);
	assert_true(lg_tree_get(now.tree, "token", 5, &entry));
	assert_true(lg_secret_is_sealed(entry.value, entry.value_len));
	lg_cleanup(lg_buf_clear) struct lg_buf plain = LG_BUF_INIT;
	lg_assert_ok(lg_config_plain(config, &entry, &plain, &err), &err);
	assert_string_equal(plain.data, "\"hunter2hunter2\"");
	lg_snapshot_clear(&now);
	put(config, "token", "\"correct-horse-battery\"");
	assert_int_equal(
		put(config, "token", "\"correct-horse-battery\""), 3); /* equal secrets seal to equal bytes */
	lg_config_close(config);
	char path[512];
	static const char *const files[] = { "log.db", "log.db-wal" };
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		size_t len = 0;
		char *data = lg_test_read(path, &len);
		assert_null(data ? memmem(data, len, "correct-horse", 13) : NULL);
		free(data);
	}
}

static void test_two_writers_follow_each_other(void **state)
{
	(void)state;
	const char *dir = new_store();
	struct lg_config *a = open_store(dir);
	struct lg_config *b = open_store(dir);
	for (int i = 0; i < 20; i++) {
		char text[16];
		snprintf(text, sizeof text, "%d", i);
		put(i % 2 ? a : b, i % 3 ? "x" : "y", text);
	}
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_config_refresh(a, &err), &err);
	lg_assert_ok(lg_config_refresh(b, &err), &err);
	struct lg_snapshot x, y;
	lg_config_snapshot(a, &x);
	lg_config_snapshot(b, &y);
	uint8_t p[LG_HASH_SIZE], q[LG_HASH_SIZE];
	lg_tree_hash(x.tree, p);
	lg_tree_hash(y.tree, q);
	assert_memory_equal(p, q, sizeof p);
	assert_int_equal(x.revision, 20);
	lg_snapshot_clear(&x);
	lg_snapshot_clear(&y);
	lg_config_close(a);
	lg_config_close(b);
}

static uint64_t target(struct lg_config *config, const char *name, const char *prefix, int want)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	if (prefix)
		lg_assert_ok(lg_scope_include(&scope, prefix, &err), &err);
	uint64_t revision = 0;
	lg_assert_code(lg_config_target(config, name, &scope, &revision, NULL, &err), want, &err);
	return revision;
}

static void test_targets(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	put(config, "a/x", "1");             /* r1 */
	put(config, "a/x", "2", "b/x", "1"); /* r2 */
	put(config, "b/x", "2");             /* r3 */
	assert_int_equal(target(config, "@-1", NULL, 0), 2);
	assert_int_equal(target(config, "@-1", "a/", 0), 1);
	assert_int_equal(target(config, "@-1", "b/", 0), 2);
	restore(config, 2, NULL, NULL);                      /* r4 = r2 */
	assert_int_equal(target(config, "@-1", NULL, 0), 1); /* what preceded r2, never r3 */
	put(config, "b/x", "7");                             /* r5 */
	assert_int_equal(target(config, "@-1", NULL, 0), 2);
	assert_int_equal(target(config, "@-1", "a/", 0), 1);
	target(config, "@-9", NULL, LG_ENOTFOUND);
	target(config, "r99", NULL, LG_ENOTFOUND);
	target(config, "nonsense", NULL, LG_EINVALID);
	assert_int_equal(target(config, "head", NULL, 0), 5);
	char time[64];
	snprintf(time, sizeof time, "@%lld", (long long)(sim.realtime_us / 1000000));
	assert_int_equal(target(config, time, NULL, 0), 5);
	snprintf(time, sizeof time, "@%lld", (long long)(sim.realtime_us / 1000000 - 2));
	assert_int_equal(target(config, time, NULL, 0), 3);
	lg_config_close(config);
}

static void mark(struct lg_config *config, const char *kind, uint64_t revision, const char *prefix)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	if (prefix)
		lg_assert_ok(lg_scope_include(&scope, prefix, &err), &err);
	struct lg_tree *tree = NULL;
	uint8_t hash[LG_HASH_SIZE];
	lg_assert_ok(lg_config_tree_at(config, revision, &tree, &err), &err);
	assert_int_equal(lg_tree_scope_hash(tree, &scope, hash), 0);
	lg_tree_unref(tree);
	lg_assert_ok(lg_control_mark(&body, kind, revision, &scope, hash, &err), &err);
	const struct lg_control control = { LG_KIND_MARK, body.data, body.len };
	lg_assert_ok(lg_config_control(config, &alice, &control, 1, NULL, &err), &err);
}

static void test_known_good_and_quarantine(void **state)
{
	(void)state;
	const char *dir = new_store();
	struct lg_config *config = open_store(dir);
	put(config, "a/x", "1");       /* r1 */
	mark(config, "good", 1, NULL); /* r2 */
	put(config, "a/x", "2");       /* r3 */
	mark(config, "good", 3, "a/"); /* r4 */
	put(config, "a/x", "3");       /* r5 */
	assert_int_equal(target(config, "good", "a/", 0), 3);
	assert_int_equal(target(config, "good", NULL, 0), 1);
	mark(config, "bad", 3, "a/"); /* r6 */
	assert_int_equal(target(config, "good", "a/", 0), 1);
	put(config, "a/x", "2"); /* r7: the bad content under a new revision */
	mark(config, "good", 7, "a/");
	put(config, "a/x", "4");
	assert_int_equal(target(config, "good", "a/", 0), 1);
	mark(config, "none", 1, NULL);
	target(config, "good", "a/", LG_ENOTFOUND);
	lg_config_close(config);
	config = open_store(dir); /* the same after opening again, with a checkpoint in between */
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	lg_config_close(config);
	config = open_store(dir);
	target(config, "good", "a/", LG_ENOTFOUND);
	mark(config, "good", 1, NULL);
	assert_int_equal(target(config, "good", "a/", 0), 1);
	lg_config_close(config);
}

static void test_hold_refuses_until_released(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	put(config, "a/x", "1");
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_assert_ok(lg_scope_include(&scope, "a/", &err), &err);
	lg_assert_ok(lg_control_hold(&body, &scope, NULL, &err), &err);
	uint64_t seq;
	struct lg_control control = { LG_KIND_HOLD, body.data, body.len };
	lg_assert_ok(lg_config_control(config, &alice, &control, 1, &seq, &err), &err);
	const char *const pairs[] = { "a/x", "2", NULL };
	lg_assert_code(commit_set(config, NULL, pairs, NULL, NULL, &err), LG_EHELD, &err);
	assert_non_null(strstr(err.message, "lastgood release h2"));
	put(config, "b/x", "1");
	const struct lg_commit person = { .ignore_holds = true };
	lg_assert_ok(commit_set(config, &person, pairs, NULL, NULL, &err), &err);
	lg_buf_reset(&body);
	lg_assert_ok(lg_control_release(&body, seq, &err), &err);
	control = (struct lg_control){ LG_KIND_RELEASE, body.data, body.len };
	lg_assert_ok(lg_config_control(config, &alice, &control, 1, NULL, &err), &err);
	put(config, "a/x", "3");
	lg_config_close(config);
}

/* --- the whole against brute force ---------------------------------------------------------------------------------- */

static uint64_t rng = 0x2545f4914f6cdd1d;
static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % below;
}

static const char *const names[] = { "a/x", "a/y", "a/sub/z", "b/x", "b/y", "c" };

struct events {
	struct lg_config *config;
	uint64_t expect_before; /* each event's seq is below the former's */
	const char *key;
	size_t count;
};

static int check_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	struct events *events = arg;
	struct lg_tree *tree = NULL;
	struct lg_entry entry;
	assert_true(event->record->seq < events->expect_before);
	events->expect_before = event->record->seq;
	lg_assert_ok(lg_config_tree_at(events->config, event->record->seq, &tree, err), err);
	bool found = lg_tree_get(tree, events->key, strlen(events->key), &entry);
	assert_int_equal(found, event->value != NULL);
	if (found) {
		assert_int_equal(event->value_len, entry.value_len);
		assert_memory_equal(event->value, entry.value, entry.value_len);
		assert_int_equal(entry.change, event->record->seq);
	}
	lg_tree_unref(tree);
	events->count++;
	return 0;
}

static void random_step(struct lg_config *config, uint64_t head)
{
	char text[24];
	snprintf(text, sizeof text, "%u", draw(1000000));
	uint32_t kind = head < 3 ? 0 : draw(10);
	if (kind < 6)
		put(config, names[draw(6)], text);
	else if (kind == 6)
		restore(config, draw((uint32_t)head) + 1, NULL, NULL);
	else if (kind == 7)
		restore(config, draw((uint32_t)head) + 1, draw(2) ? "a/" : "b/", NULL);
	else if (kind == 8)
		restore(config, draw((uint32_t)head) + 1, draw(2) ? "c" : "a/x", NULL);
	else
		restore(config, draw((uint32_t)head) + 1, NULL, "a/sub/");
}

static void assert_every_revision(
	struct lg_config *config, const uint8_t (*roots)[LG_HASH_SIZE], uint64_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	for (uint64_t i = 0; i <= count; i++) {
		uint64_t revision = (i * 7919) % (count + 1); /* in no order, past the cache */
		struct lg_tree *tree = NULL;
		uint8_t hash[LG_HASH_SIZE];
		lg_assert_ok(lg_config_tree_at(config, revision, &tree, &err), &err);
		lg_tree_hash(tree, hash);
		assert_memory_equal(hash, roots[revision], LG_HASH_SIZE);
		lg_tree_unref(tree);
	}
}

static void test_random_history(void **state)
{
	(void)state;
	enum { STEPS = 150 };
	static uint8_t roots[STEPS + 1][LG_HASH_SIZE];
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = new_store();
	struct lg_config *config = open_store(dir);
	struct lg_config *follower = open_store(dir);
	struct lg_snapshot now;
	uint64_t head = 0;
	for (int i = 0; i < 1000 && head < STEPS; i++) {
		random_step(config, head);
		lg_config_snapshot(config, &now);
		head = now.revision;
		lg_tree_hash(now.tree, roots[head]);
		lg_snapshot_clear(&now);
		if (draw(25) == 0)
			lg_assert_ok(lg_config_checkpoint(config, &err), &err);
		if (draw(10) == 0)
			lg_assert_ok(lg_config_refresh(follower, &err), &err);
	}
	assert_int_equal(head, STEPS);
	lg_config_snapshot(config, &now);
	lg_snapshot_clear(&now);
	struct lg_tree *empty = lg_tree_empty();
	lg_tree_hash(empty, roots[0]);
	lg_tree_unref(empty);
	assert_every_revision(config, roots, STEPS);
	lg_assert_ok(lg_config_refresh(follower, &err), &err);
	assert_every_revision(follower, roots, STEPS);
	lg_config_close(follower);
	for (size_t i = 0; i < 6; i++) {
		struct events events = { config, UINT64_MAX, names[i], 0 };
		lg_assert_ok(lg_config_history_key(config, names[i], 0, check_event, &events, &err), &err);
		assert_true(events.count > 0);
	}
	lg_config_close(config);
	config = open_store(dir);
	assert_every_revision(config, roots, STEPS);
	lg_config_close(config);
}

static void test_dry_run_and_root_expectation(void **state)
{
	(void)state;
	struct lg_config *config = open_store(new_store());
	put(config, "x", "1");
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	const char *const pairs[] = { "x", "2", NULL };
	struct lg_commit form = { .dry_run = true };
	lg_assert_ok(commit_set(config, &form, pairs, &committed, NULL, &err), &err);
	assert_int_equal(committed.changed, 1);
	lg_committed_clear(&committed);
	assert_value(config, "x", "1", 1);
	form = (struct lg_commit){ .has_expect_root = true };
	lg_assert_code(commit_set(config, &form, pairs, NULL, NULL, &err), LG_ECONFLICT, &err);
	lg_assert_ok(lg_config_root_at(config, 1, form.expect_root, &err), &err);
	lg_assert_ok(commit_set(config, &form, pairs, NULL, NULL, &err), &err);
	lg_config_close(config);
}

static void test_open_refuses_what_is_not_there(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .state_dir = lg_test_path("nowhere"), .clock = &sim.clock };
	lg_assert_code(lg_config_open(&options, &config, &err), LG_ENOTFOUND, &err);
	const char *dir = new_store();
	lg_assert_code(lg_config_init(dir, &sim.clock, &err), LG_ECONFLICT, &err);
}

static void test_what_retention_dropped(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = new_store();
	struct lg_config *config = open_store(dir);
	put(config, "a/x", "1");
	mark(config, "good", 1, "a/"); /* r2 */
	put(config, "a/x", "2");       /* r3 */
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	put(config, "a/x", "3"); /* r4 */
	lg_config_close(config);
	char url[512];
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	snprintf(url, sizeof url, "sqlite:%s/log.db", dir);
	const struct lg_log_open options = { .clock = &sim.clock };
	lg_assert_ok(lg_log_open(url, &options, &log, &err), &err);
	lg_assert_ok(lg_log_trim(log, 4, NULL, 0, &err), &err);
	config = open_store(dir);
	assert_value(config, "a/x", "3", 4);
	struct lg_tree *tree = NULL;
	lg_assert_code(lg_config_tree_at(config, 1, &tree, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "retention"));
	target(config, "r1", NULL, LG_ENOTFOUND);
	target(config, "good", "a/", LG_ENOTFOUND); /* its state is gone */
	mark(config, "good", 3, "a/");              /* which only the checkpoint of the cut still knows */
	target(config, "good", "a/", LG_ENOTFOUND);
	mark(config, "good", 4, "a/"); /* marks outlive the records they were made with */
	put(config, "a/x", "5");
	assert_int_equal(target(config, "good", "a/", 0), 4);
	lg_assert_ok(lg_config_tree_at(config, 3, &tree, &err), &err);
	lg_tree_unref(tree);
	lg_config_close(config);
}

int main(void)
{
	lg_clock_sim_init(&sim, 1750000000000000, 1000000000);
	lg_test_add("change and read", test_change_and_read, NULL);
	lg_test_add("a restore moves change numbers on", test_restore_moves_change_numbers_on, NULL);
	lg_test_add("all problems at once, nothing half applied", test_all_problems_at_once, NULL);
	lg_test_add("declaration and value in one change", test_declaration_and_value_in_one_change, NULL);
	lg_test_add("secrets are sealed before they are recorded",
		test_secrets_are_sealed_before_they_are_recorded, NULL);
	lg_test_add("two writers follow each other", test_two_writers_follow_each_other, NULL);
	lg_test_add("targets", test_targets, NULL);
	lg_test_add("known good and quarantine", test_known_good_and_quarantine, NULL);
	lg_test_add("a hold refuses until it is released", test_hold_refuses_until_released, NULL);
	lg_test_add("random history against every tree", test_random_history, NULL);
	lg_test_add("dry run and expected root", test_dry_run_and_root_expectation, NULL);
	lg_test_add("open refuses what is not there", test_open_refuses_what_is_not_there, NULL);
	lg_test_add("what retention dropped", test_what_retention_dropped, NULL);
	return lg_test_run("config");
}
