/* What shares one append: each request gets its own answer, whatever becomes of its neighbours.  The first append is held at
 * a gate until all others stand in the line, so that what happens is the same every time. */
#include "config/store.h"

#include "config/internal.h"
#include "log/wrap/wrap.h"

#include <inttypes.h>
#include <sched.h>

enum { WRITERS_MAX = 40, APPENDS_MAX = 64 };

/* --- the gate --------------------------------------------------------------------------------------------------------- */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool closed, is_held; /* the next append waits; one does */
	int code;             /* what the append that waited then fails with */
	bool happened;        /* and yet it did */
	const char *other;    /* somebody else appends there first */
	size_t counts[APPENDS_MAX], appends;
};

static int at_gate(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct gate *gate = arg;
	if (call != LG_LOG_CALL_APPEND)
		return 0;
	pthread_mutex_lock(&gate->lock);
	gate->is_held = gate->closed;
	pthread_cond_broadcast(&gate->moved);
	while (gate->closed)
		pthread_cond_wait(&gate->moved, &gate->lock);
	int code = gate->is_held && !gate->happened ? gate->code : 0;
	bool others = gate->is_held && gate->other;
	if (!gate->happened)
		gate->is_held = false;
	pthread_mutex_unlock(&gate->lock);
	if (others) {
		lg_cleanup(lg_config_closep) struct lg_config *other = store_open(gate->other);
		store_set(other, "other", "1", "k", "9");
	}
	return code < 0 ? lg_fail(err, code, 0, "injected") : 0;
}

static int behind_gate(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct gate *gate = arg;
	bool fails = call == LG_LOG_CALL_APPEND && gate->is_held;
	gate->is_held = gate->is_held && !fails;
	return fails ? lg_fail(err, gate->code, 0, "injected") : 0;
}

static void count_records(void *arg, const char *line)
{
	struct gate *gate = arg;
	const char *count = strstr(line, " count=");
	if (strncmp(line, "append ", 7) == 0 && strstr(line, "-> ok") && count && gate->appends < APPENDS_MAX)
		gate->counts[gate->appends++] = strtoul(count + 7, NULL, 10);
}

static struct lg_config *open_gated(const char *dir, struct gate *gate)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	struct lg_config *config = NULL;
	const struct lg_log_hooks hooks = {
		.before = at_gate, .after = behind_gate, .trace = count_records, .arg = gate
	};
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->moved, NULL);
	lg_assert_ok(lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	/* without a state directory, so that refusals are not recorded: they would be among the records that are counted */
	const struct lg_config_options options = { .log = wrapped, .clock = &store_clock.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

/* --- writers ---------------------------------------------------------------------------------------------------------- */

enum deed { SET, EXPECT, DRY_RUN, HOLD, RESTORE };

struct writer {
	enum deed deed;
	const char *key, *value; /* HOLD: the selector */
	uint64_t number;         /* EXPECT: the change expected; RESTORE: to */

	struct lg_config *config;
	pthread_t thread;
	int rc;
	struct lg_error err;
	struct lg_committed committed;
	uint64_t seq;
	bool read_own; /* what was written could be read on return */
};

static void commit_one(struct writer *writer)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_snapshot now;
	struct lg_entry entry;
	writer->rc = lg_changeset_add(&set, writer->key, strlen(writer->key), writer->value,
		writer->value ? strlen(writer->value) : 0, &writer->err);
	if (writer->rc < 0)
		return;
	set.items[0].has_expect = writer->deed == EXPECT;
	set.items[0].expect_change = writer->number;
	const struct lg_commit commit = {
		.changes = &set, .author = store_author, .dry_run = writer->deed == DRY_RUN
	};
	writer->rc = lg_config_commit(writer->config, &commit, &writer->committed, NULL, &writer->err);
	lg_config_snapshot(writer->config, &now);
	writer->read_own = writer->rc == 0 && now.revision >= writer->committed.revision &&
		lg_tree_get(now.tree, writer->key, strlen(writer->key), &entry) &&
		entry.change >= writer->committed.revision;
	lg_snapshot_clear(&now);
}

static void *write_one(void *arg)
{
	struct writer *writer = arg;
	switch (writer->deed) {
	case SET:
	case EXPECT:
	case DRY_RUN:
		commit_one(writer);
		break;
	case HOLD:
		writer->rc = store_hold(writer->config, writer->key, &writer->seq, &writer->err);
		break;
	case RESTORE:
		writer->rc = store_restore(
			writer->config, writer->number, writer->key, NULL, &writer->seq, &writer->err);
		break;
	}
	return NULL;
}

static void start(struct lg_config *config, struct writer *writer)
{
	writer->config = config;
	writer->err = (struct lg_error)LG_ERROR_INIT;
	assert_int_equal(pthread_create(&writer->thread, NULL, write_one, writer), 0);
}

static size_t length_of_line(struct lg_config *config)
{
	size_t length = 0;
	pthread_mutex_lock(&config->lock);
	for (const struct lg_request *request = config->group.first; request; request = request->behind)
		length++;
	pthread_mutex_unlock(&config->lock);
	return length;
}

/* The first writer's append is held until the others stand in the line, in order; then it ends as the gate says. */
static void run_gated(struct lg_config *config, struct gate *gate, struct writer *writers, size_t count)
{
	gate->appends = 0;
	gate->closed = true;
	start(config, &writers[0]);
	pthread_mutex_lock(&gate->lock);
	while (!gate->is_held)
		pthread_cond_wait(&gate->moved, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
	for (size_t i = 1; i < count; i++) {
		start(config, &writers[i]);
		while (length_of_line(config) < i)
			sched_yield();
	}
	pthread_mutex_lock(&gate->lock);
	gate->closed = false;
	pthread_cond_broadcast(&gate->moved);
	pthread_mutex_unlock(&gate->lock);
	for (size_t i = 0; i < count; i++)
		pthread_join(writers[i].thread, NULL);
}

static void clear_writers(struct writer *writers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lg_committed_clear(&writers[i].committed);
}

static int check_root(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	uint8_t root[LG_HASH_SIZE];
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(arg, record->seq, &tree, err), err);
	lg_tree_hash(tree, root);
	assert_true(record->has_root);
	assert_memory_equal(root, record->root, LG_HASH_SIZE);
	return 0;
}

/* The chain holds, each record has the root of its state, and everybody finds what this config believes. */
static void check_store(struct lg_config *config, const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	const struct lg_log_query states = { .from = 1, .kinds = LG_STATE_KINDS };
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_config_query(other, &states, check_root, other, &err), &err);
	store_assert_as_reopened(config, dir);
}

static void assert_set(const struct writer *writer)
{
	struct lg_entry entry;
	uint8_t root[LG_HASH_SIZE], recorded[LG_HASH_SIZE];
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(writer->rc, &writer->err);
	assert_int_equal(writer->committed.changed, 1);
	assert_true(writer->read_own);
	assert_true(lg_tree_get(writer->committed.tree, writer->key, strlen(writer->key), &entry));
	assert_string_equal(entry.value, writer->value);
	assert_int_equal(entry.change, writer->committed.revision);
	lg_tree_hash(writer->committed.tree, root);
	assert_memory_equal(root, writer->committed.root, LG_HASH_SIZE);
	lg_assert_ok(lg_config_root_at(writer->config, writer->committed.revision, recorded, &err), &err);
	assert_memory_equal(root, recorded, LG_HASH_SIZE);
}

/* --- sharing ---------------------------------------------------------------------------------------------------------- */

static void test_many_share_one_append(void **state)
{
	(void)state;
	static char keys[WRITERS_MAX][16];
	struct writer writers[WRITERS_MAX] = { 0 };
	struct gate gate = { 0 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = open_gated(dir, &gate);
	for (size_t i = 0; i < WRITERS_MAX; i++) {
		snprintf(keys[i], sizeof keys[i], "svc/k%02zu", i);
		writers[i] = (struct writer){ .deed = SET, .key = keys[i], .value = "1" };
	}
	run_gated(config, &gate, writers, WRITERS_MAX);
	assert_int_equal(gate.appends, 2);
	assert_int_equal(gate.counts[0], 1);
	assert_int_equal(gate.counts[1], WRITERS_MAX - 1);
	for (size_t i = 0; i < WRITERS_MAX; i++) {
		assert_set(&writers[i]);
		assert_int_equal(writers[i].committed.revision, i + 1);
		assert_int_equal(lg_tree_count(writers[i].committed.tree), i + 1);
	}
	check_store(config, dir);
	clear_writers(writers, WRITERS_MAX);
}

/* What is too much for one batch goes into the next; all keep their places. */
static void test_batches_are_bounded(void **state)
{
	(void)state;
	static char huge[900 * 1024];
	struct gate gate = { 0 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = open_gated(dir, &gate);
	memset(huge, 'x', sizeof huge - 1);
	huge[0] = huge[sizeof huge - 2] = '"';
	struct writer writers[] = {
		{ .key = "k", .value = "1" },
		{ .key = "a", .value = "1" },
		{ .key = "huge", .value = huge },
		{ .key = "more", .value = huge },
		{ .key = "b", .value = "2" },
		{ .key = "c", .value = "3" },
	};
	size_t count = sizeof writers / sizeof *writers;
	run_gated(config, &gate, writers, count);
	assert_int_equal(gate.appends, 3);
	assert_int_equal(gate.counts[1], 2);
	assert_int_equal(gate.counts[2], 3);
	for (size_t i = 0; i < count; i++) {
		assert_set(&writers[i]);
		assert_int_equal(writers[i].committed.revision, i + 1);
	}
	check_store(config, dir);
	clear_writers(writers, count);
}

static void test_each_gets_its_own_answer(void **state)
{
	(void)state;
	struct gate gate = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = open_gated(dir, &gate);
	store_set(config, "@schema/n", "{\"max\":10,\"type\":\"int\"}", "k", "1", "a/x", "1");
	store_set(config, "a/x", "2");
	enum {
		FIRST,
		GOOD,
		BAD_VALUE,
		BAD_KEY,
		WINS,
		LOSES,
		SAME,
		UNSET,
		TRIES,
		HOLDS,
		HELD,
		BACK,
		LAST,
		COUNT
	};
	struct writer writers[COUNT] = {
		[FIRST] = { .deed = SET, .key = "first", .value = "1" },
		[GOOD] = { .deed = SET, .key = "n", .value = "7" },
		[BAD_VALUE] = { .deed = SET, .key = "n", .value = "70" },
		[BAD_KEY] = { .deed = SET, .key = "a//b", .value = "1" },
		[WINS] = { .deed = EXPECT, .key = "k", .value = "2", .number = 1 },
		[LOSES] = { .deed = EXPECT, .key = "k", .value = "3", .number = 1 },
		[SAME] = { .deed = SET, .key = "k", .value = "2" },
		[UNSET] = { .deed = SET, .key = "no/such", .value = NULL },
		[TRIES] = { .deed = DRY_RUN, .key = "k", .value = "4" },
		[HOLDS] = { .deed = HOLD, .key = "held/" },
		[HELD] = { .deed = SET, .key = "held/x", .value = "1" },
		[BACK] = { .deed = RESTORE, .key = "a/", .number = 1 },
		[LAST] = { .deed = SET, .key = "last", .value = "1" },
	};
	run_gated(config, &gate, writers, COUNT);
	/* first (r3); n, k, the hold, the restore and last (r4 to r8) in one append */
	assert_int_equal(gate.appends, 2);
	assert_int_equal(gate.counts[1], 5);
	assert_set(&writers[GOOD]);
	lg_assert_code(writers[BAD_VALUE].rc, LG_EINVALID, &writers[BAD_VALUE].err);
	lg_assert_code(writers[BAD_KEY].rc, LG_EINVALID, &writers[BAD_KEY].err);
	assert_set(&writers[WINS]);
	assert_int_equal(writers[WINS].committed.revision, 5);
	lg_assert_code(writers[LOSES].rc, LG_ECONFLICT, &writers[LOSES].err);
	assert_non_null(strstr(writers[LOSES].err.message, "r5"));
	lg_assert_ok(writers[SAME].rc, &writers[SAME].err);
	assert_int_equal(writers[SAME].committed.changed, 0);
	assert_int_equal(writers[SAME].committed.revision, 5);
	lg_assert_code(writers[UNSET].rc, LG_EINVALID, &writers[UNSET].err);
	lg_assert_ok(writers[TRIES].rc, &writers[TRIES].err);
	assert_int_equal(writers[TRIES].committed.revision, 6);
	lg_assert_ok(writers[HOLDS].rc, &writers[HOLDS].err);
	assert_int_equal(writers[HOLDS].seq, 6);
	lg_assert_code(writers[HELD].rc, LG_EHELD, &writers[HELD].err);
	assert_non_null(strstr(writers[HELD].err.message, "h6"));
	lg_assert_ok(writers[BACK].rc, &writers[BACK].err);
	assert_int_equal(writers[BACK].seq, 7);
	assert_set(&writers[LAST]);
	assert_int_equal(writers[LAST].committed.revision, 8);
	lg_assert_code(store_put(config, (const char *const[]){ "held/x", "1", NULL }, NULL, NULL, &err),
		LG_EHELD, &err);
	check_store(config, dir);
	clear_writers(writers, COUNT);
}

/* --- an append that fails --------------------------------------------------------------------------------------------- */

struct failure {
	const char *name;
	int code; /* of the append */
	bool happened;
	bool others;
	int want; /* what its writer is told */
};

static const struct failure failures[] = {
	{ "EIO", LG_EIO, false, false, LG_EIO },
	{ "ENOSPC", LG_ENOSPC, false, false, LG_ENOSPC },
	{ "EBUSY", LG_EBUSY, false, false, LG_EBUSY },
	{ "unknown, but did not happen", LG_EUNKNOWN, false, false, LG_EIO },
	{ "unknown, and happened", LG_EUNKNOWN, true, false, 0 },
	{ "a conflict with nobody", LG_ECONFLICT, false, false, LG_ECONFLICT },
	{ "a conflict with another process", 0, false, true, 0 },
};

/* What stands in the line was prepared on what fails, or on a state that is none any more: it is judged anew. */
static void test_what_is_behind_is_judged_anew(void **state)
{
	const struct failure *row = *state;
	const char *dir = store_new();
	struct gate gate = { .code = row->code, .happened = row->happened, .other = row->others ? dir : NULL };
	lg_cleanup(lg_config_closep) struct lg_config *config = open_gated(dir, &gate);
	enum { FIRST, SAME, EXPECTS_FIRST, EXPECTS_NONE, OTHER_KEY, COUNT };
	struct writer writers[COUNT] = {
		[FIRST] = { .deed = SET, .key = "k", .value = "1" },
		[SAME] = { .deed = SET, .key = "k", .value = "1" },
		[EXPECTS_FIRST] = { .deed = EXPECT, .key = "k", .value = "2", .number = 1 },
		[EXPECTS_NONE] = { .deed = EXPECT, .key = "k", .value = "3", .number = 0 },
		[OTHER_KEY] = { .deed = SET, .key = "x", .value = "1" },
	};
	run_gated(config, &gate, writers, COUNT);
	lg_assert_code(writers[FIRST].rc, row->want, &writers[FIRST].err);
	lg_assert_ok(writers[SAME].rc, &writers[SAME].err);
	/* who is the first to set k, sets it; the other finds it so */
	assert_int_equal(writers[SAME].committed.changed, writers[FIRST].rc < 0);
	const struct writer *setter = writers[FIRST].rc < 0 ? &writers[SAME] : &writers[FIRST];
	assert_set(setter);
	assert_int_equal(setter->committed.revision, row->others ? 2 : 1);
	if (row->others) {
		lg_assert_code(writers[EXPECTS_FIRST].rc, LG_ECONFLICT, &writers[EXPECTS_FIRST].err);
		assert_non_null(strstr(writers[EXPECTS_FIRST].err.message, "r2"));
	} else {
		assert_set(&writers[EXPECTS_FIRST]);
	}
	lg_assert_code(writers[EXPECTS_NONE].rc, LG_ECONFLICT, &writers[EXPECTS_NONE].err);
	assert_set(&writers[OTHER_KEY]);
	check_store(config, dir);
	clear_writers(writers, COUNT);
}

/* The second batch fails: all of it, and nobody else. */
static int fail_second(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct gate *gate = arg;
	int rc = at_gate(arg, call, err);
	bool strikes = rc == 0 && call == LG_LOG_CALL_APPEND && gate->appends == 1 && gate->code;
	if (!strikes)
		return rc;
	rc = lg_fail(err, gate->code, 0, "injected");
	gate->code = 0;
	return rc;
}

static void test_a_batch_fails_as_one(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct gate gate = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	lg_config_close(open_gated(dir, &gate));
	lg_cleanup(lg_config_closep) struct lg_config *config = NULL;
	const struct lg_log_hooks hooks = { .before = fail_second, .trace = count_records, .arg = &gate };
	lg_assert_ok(lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	/* without a state directory, so that refusals are not recorded: they would be among the records that are counted */
	const struct lg_config_options options = { .log = wrapped, .clock = &store_clock.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	enum { FIRST, A, REFUSED, B, SAME, COUNT };
	struct writer writers[COUNT] = {
		[FIRST] = { .deed = SET, .key = "first", .value = "1" },
		[A] = { .deed = SET, .key = "a", .value = "1" },
		[REFUSED] = { .deed = EXPECT,
			.key = "a",
			.value = "2",
			.number = 0 }, /* by a, which is not to be */
		[B] = { .deed = SET, .key = "b", .value = "1" },
		[SAME] = { .deed = SET, .key = "b", .value = "1" },
	};
	gate.code = LG_ENOSPC;
	gate.happened = true; /* the held one itself goes through */
	run_gated(config, &gate, writers, COUNT);
	assert_set(&writers[FIRST]);
	lg_assert_code(writers[A].rc, LG_ENOSPC, &writers[A].err);
	lg_assert_code(writers[B].rc, LG_ENOSPC, &writers[B].err);
	assert_string_equal(writers[B].err.message, "injected");
	assert_set(&writers[REFUSED]);
	assert_set(&writers[SAME]);
	check_store(config, dir);
	clear_writers(writers, COUNT);
}

/* --- who looks --------------------------------------------------------------------------------------------------------- */

struct looker {
	struct lg_config *config;
	uint64_t asked, told, told_revision;
	int write_rc;
};

static int look_before(void *arg, uint64_t revision, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err)
{
	struct looker *looker = arg;
	struct lg_entry entry;
	uint64_t seq;
	(void)problems;
	looker->asked++;
	looker->write_rc = store_hold(looker->config, "x/", &seq, err);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *old = NULL;
	int rc = lg_config_tree_at(looker->config, 1, &old, err);
	if (rc < 0)
		return rc;
	if (lg_tree_count(next) < lg_tree_count(former) || revision < looker->asked)
		return lg_fail(err, LG_EINTERNAL, 0, "this is no change on what was");
	if (lg_tree_get(next, "bad", 3, &entry))
		return lg_fail(err, LG_EINVALID, 0, "a bad one");
	return 0;
}

static void look_after(void *arg, const struct lg_snapshot *snapshot)
{
	struct looker *looker = arg;
	looker->told++;
	if (snapshot->revision <= looker->told_revision)
		looker->told_revision = UINT64_MAX; /* and stays so */
	else
		looker->told_revision = snapshot->revision;
}

static void test_subscribers_are_asked_one_by_one(void **state)
{
	(void)state;
	struct gate gate = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = open_gated(dir, &gate);
	struct looker looker = { .config = config };
	const struct lg_subscriber subscriber = { look_before, look_after, &looker };
	store_set(config, "k", "0");
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	struct writer writers[] = {
		{ .deed = SET, .key = "a", .value = "1" },
		{ .deed = SET, .key = "b", .value = "1" },
		{ .deed = SET, .key = "bad", .value = "1" },
		{ .deed = SET, .key = "c", .value = "1" },
		{ .deed = RESTORE, .key = "k", .number = 1 },
		{ .deed = SET, .key = "d", .value = "1" },
	};
	size_t count = sizeof writers / sizeof *writers;
	run_gated(config, &gate, writers, count);
	lg_assert_code(writers[2].rc, LG_EINVALID, &writers[2].err);
	assert_string_equal(writers[2].err.message, "a bad one");
	for (size_t i = 0; i < count; i++)
		if (i != 2)
			lg_assert_ok(writers[i].rc, &writers[i].err);
	assert_true(looker.asked >= 5);
	lg_assert_code(looker.write_rc, LG_EINTERNAL, &err);
	assert_true(looker.told >= 1);
	assert_int_equal(looker.told_revision, 5);
	lg_config_unsubscribe(config, &looker);
	check_store(config, dir);
	clear_writers(writers, count);
}

int main(void)
{
	store_init();
	lg_test_add("many share one append", test_many_share_one_append, NULL);
	lg_test_add("batches are bounded", test_batches_are_bounded, NULL);
	lg_test_add("each gets its own answer", test_each_gets_its_own_answer, NULL);
	lg_test_rows("what is behind is judged anew", test_what_is_behind_is_judged_anew, failures,
		sizeof failures / sizeof *failures, sizeof *failures, offsetof(struct failure, name));
	lg_test_add("a batch fails as one", test_a_batch_fails_as_one, NULL);
	lg_test_add("subscribers are asked one by one", test_subscribers_are_asked_one_by_one, NULL);
	return lg_test_run("config_group");
}
