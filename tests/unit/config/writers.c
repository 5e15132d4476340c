/* Many writers at full speed, with everything else that goes on beside them: readers, refreshes, other handles on the same
 * store, appends that fail.  What anybody was told is afterwards compared with the log itself: nothing acknowledged is
 * missing, nothing refused is there, and each value is there once.  Run under ThreadSanitizer, too (make check). */
#include "config/store.h"

#include "log/wrap/wrap.h"
#include "unit/log/faulty_vfs.h"

#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

#ifdef __SANITIZE_THREAD__
enum { ROUNDS = 8 };
#else
enum { ROUNDS = 30 };
#endif
enum { WRITERS = 16, NUMBERS = WRITERS * ROUNDS };

enum outcome { UNTRIED, DONE, FAILED, UNKNOWN };

static size_t rounds = ROUNDS; /* of those, where fewer will do */
static _Atomic unsigned char outcomes[NUMBERS];
static _Atomic uint64_t revisions[NUMBERS];

struct writer {
	struct lg_config *config;
	pthread_t thread;
	size_t number; /* of the writer */
	bool may_fail;
};

/* Only the main thread may fail a test. */
static pthread_mutex_t complaint_lock = PTHREAD_MUTEX_INITIALIZER;
static char complaint[2048];

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	pthread_mutex_lock(&complaint_lock);
	if (!*complaint)
		vsnprintf(complaint, sizeof complaint, format, args);
	pthread_mutex_unlock(&complaint_lock);
	va_end(args);
}

static void assert_no_complaint(void)
{
	if (*complaint)
		fail_msg("%s", complaint);
}

static void note(struct writer *writer, size_t number, int rc, uint64_t revision, const struct lg_error *err)
{
	atomic_store(&revisions[number], revision);
	atomic_store(&outcomes[number], rc == 0 ? DONE : rc == LG_EUNKNOWN ? UNKNOWN : FAILED);
	if (rc < 0 && !writer->may_fail)
		complain("%zu: %s", number, err->message);
}

/* What was written is there for whoever asks once the call has returned. */
static void check_own(struct writer *writer, const char *key, size_t number, uint64_t revision)
{
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_config_snapshot(writer->config, &now);
	if (now.revision < revision || !lg_tree_get(now.tree, key, strlen(key), &entry))
		complain("%zu: not there on return", number);
	else if (strtoull(entry.value, NULL, 10) != number || entry.change != revision)
		complain("%zu: %s is there on return", number, entry.value);
	lg_snapshot_clear(&now);
}

static int set_key(struct lg_config *config, const char *key, uint64_t value, const uint64_t *expect,
	struct lg_committed *ret_committed, struct lg_error *err)
{
	char text[24];
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	int len = snprintf(text, sizeof text, "%" PRIu64, value);
	int rc = lg_changeset_add(&set, key, strlen(key), text, (size_t)len, err);
	if (rc < 0)
		return rc;
	if (expect) {
		set.items[0].has_expect = true;
		set.items[0].expect_change = *expect;
	}
	const struct lg_commit commit = { .changes = &set, .author = store_author };
	return lg_config_commit(config, &commit, ret_committed, NULL, err);
}

static void *set_own_key(void *arg)
{
	struct writer *writer = arg;
	char key[32];
	snprintf(key, sizeof key, "own/k%02zu", writer->number);
	for (size_t i = 0; i < rounds; i++) {
		struct lg_committed committed = { 0 };
		struct lg_error err = LG_ERROR_INIT;
		size_t number = writer->number * ROUNDS + i;
		int rc = set_key(writer->config, key, number, NULL, &committed, &err);
		note(writer, number, rc, committed.revision, &err);
		if (rc == 0)
			check_own(writer, key, number, committed.revision);
		lg_committed_clear(&committed);
	}
	return NULL;
}

/* --- what the log says ------------------------------------------------------------------------------------------------- */

struct found {
	uint64_t seqs[NUMBERS]; /* where each number stands */
};

/* A record sets one key at most that begins with own/. */
static int find_number(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct found *found = arg;
	const char *key = strstr(record->body, "\"own/");
	const char *colon = key ? strchr(key, ':') : NULL;
	(void)err;
	if (!colon)
		return 0;
	uint64_t number = strtoull(colon + 1, NULL, 10);
	assert_true(number < NUMBERS);
	assert_int_equal(found->seqs[number], 0);
	found->seqs[number] = record->seq;
	return 0;
}

static int check_root(void *arg, const struct lg_record *record, struct lg_error *err)
{
	uint8_t root[LG_HASH_SIZE];
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(arg, record->seq, &tree, err), err);
	lg_tree_hash(tree, root);
	assert_memory_equal(root, record->root, LG_HASH_SIZE);
	return 0;
}

static void check_log(const char *dir)
{
	static struct found found;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	const struct lg_log_query states = { .from = 1, .kinds = 1u << LG_KIND_CHANGE | 1u << LG_KIND_RESTORE };
	memset(&found, 0, sizeof found);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_query(log, &states, find_number, &found, &err), &err);
	lg_assert_ok(lg_config_query(config, &states, check_root, config, &err), &err);
	for (size_t i = 0; i < NUMBERS; i++) {
		switch ((enum outcome)atomic_load(&outcomes[i])) {
		case DONE:
			assert_int_equal(found.seqs[i], atomic_load(&revisions[i]));
			break;
		case FAILED:
			assert_int_equal(found.seqs[i], 0);
			break;
		case UNTRIED:
			assert_true(i % ROUNDS >= rounds);
			break;
		case UNKNOWN:
			break;
		}
	}
}

static void start_all(struct writer *writers, size_t count, struct lg_config *config, void *(*work)(void *))
{
	for (size_t i = 0; i < count; i++) {
		writers[i].config = config;
		writers[i].number = i;
		assert_int_equal(pthread_create(&writers[i].thread, NULL, work, &writers[i]), 0);
	}
}

static void join_all(struct writer *writers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pthread_join(writers[i].thread, NULL);
	assert_no_complaint();
}

static void forget_outcomes(void)
{
	for (size_t i = 0; i < NUMBERS; i++)
		atomic_store(&outcomes[i], UNTRIED);
}

static void test_each_writes_its_own(void **state)
{
	(void)state;
	struct writer writers[WRITERS] = { 0 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	forget_outcomes();
	start_all(writers, WRITERS, config, set_own_key);
	join_all(writers, WRITERS);
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	assert_int_equal(now.revision, NUMBERS);
	lg_snapshot_clear(&now);
	store_assert_as_reopened(config, dir);
	check_log(dir);
}

/* --- compare and set --------------------------------------------------------------------------------------------------- */

static void *count_up(void *arg)
{
	struct writer *writer = arg;
	for (size_t won = 0; won < ROUNDS;) {
		struct lg_snapshot now;
		struct lg_entry entry = { 0 };
		struct lg_committed committed = { 0 };
		struct lg_error err = LG_ERROR_INIT;
		lg_config_snapshot(writer->config, &now);
		bool found = lg_tree_get(now.tree, "counter", 7, &entry);
		uint64_t value = found ? strtoull(entry.value, NULL, 10) : 0;
		uint64_t expect = found ? entry.change : 0;
		lg_snapshot_clear(&now);
		int rc = set_key(writer->config, "counter", value + 1, &expect, &committed, &err);
		lg_committed_clear(&committed);
		if (rc == 0) {
			won++;
		} else if (rc != LG_ECONFLICT) {
			complain("%s", err.message);
			break;
		}
	}
	return NULL;
}

/* However many expect the same, one wins: the counter counts the winners. */
static void test_one_wins(void **state)
{
	(void)state;
	struct writer writers[WRITERS] = { 0 }, others[2] = { 0 };
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	start_all(writers, WRITERS, config, count_up);
	start_all(others, 2, other, count_up);
	join_all(writers, WRITERS);
	join_all(others, 2);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	lg_config_snapshot(config, &now);
	assert_true(lg_tree_get(now.tree, "counter", 7, &entry));
	assert_int_equal(strtoull(entry.value, NULL, 10), (WRITERS + 2) * ROUNDS);
	assert_int_equal(entry.change, (WRITERS + 2) * ROUNDS);
	lg_snapshot_clear(&now);
	store_assert_as_reopened(config, dir);
}

/* --- failures ----------------------------------------------------------------------------------------------------------- */

struct faults {
	const char *name;
	const char *dir;
	int code;      /* what every few appends end with; 0: a conflict, since somebody else appends first */
	bool happened; /* although they were made */
	bool settles;  /* or else the look for them fails, too */
	unsigned each;
	_Atomic unsigned appends, struck;
	_Atomic bool is_blind;
};

static int fault_before(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct faults *faults = arg;
	if (call != LG_LOG_CALL_APPEND || faults->happened)
		return 0;
	if (atomic_fetch_add(&faults->appends, 1) % faults->each != faults->each - 1)
		return 0;
	atomic_fetch_add(&faults->struck, 1);
	if (faults->code)
		return lg_fail(err, faults->code, 0, "injected");
	char value[24];
	struct lg_committed committed;
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(faults->dir);
	snprintf(value, sizeof value, "%u", atomic_load(&faults->appends));
	lg_assert_ok(
		store_put(other, (const char *const[]){ "other", value, NULL }, &committed, NULL, err), err);
	lg_committed_clear(&committed);
	return 0;
}

static int fault_after(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct faults *faults = arg;
	if (!faults->happened)
		return 0;
	if (call == LG_LOG_CALL_QUERY && atomic_exchange(&faults->is_blind, false))
		return lg_fail(err, LG_EIO, 0, "injected");
	if (call != LG_LOG_CALL_APPEND ||
		atomic_fetch_add(&faults->appends, 1) % faults->each != faults->each - 1)
		return 0;
	atomic_fetch_add(&faults->struck, 1);
	atomic_store(&faults->is_blind, !faults->settles);
	return lg_fail(err, faults->code, 0, "injected");
}

static struct faults fault_rows[] = {
	{ .name = "EIO", .code = LG_EIO, .each = 3 },
	{ .name = "ENOSPC", .code = LG_ENOSPC, .each = 2 },
	{ .name = "unknown, not done", .code = LG_EUNKNOWN, .each = 3 },
	{ .name = "unknown, but done", .code = LG_EUNKNOWN, .happened = true, .settles = true, .each = 2 },
	{ .name = "unknown for good", .code = LG_EUNKNOWN, .happened = true, .each = 3 },
	{ .name = "another process is faster", .each = 3 },
};

static void test_appends_fail(void **state)
{
	struct faults *faults = *state;
	struct writer writers[WRITERS] = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	lg_cleanup(lg_config_closep) struct lg_config *config = NULL;
	const struct lg_log_hooks hooks = { .before = fault_before, .after = fault_after, .arg = faults };
	faults->dir = store_new();
	lg_assert_ok(
		lg_log_wrap(store_open_log(faults->dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	const struct lg_config_options options = {
		.state_dir = store_state_dir(faults->dir), .log = wrapped, .clock = &store_clock.clock
	};
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	for (size_t i = 0; i < WRITERS; i++)
		writers[i].may_fail = faults->code < 0;
	forget_outcomes();
	start_all(writers, WRITERS, config, set_own_key);
	join_all(writers, WRITERS);
	assert_true(atomic_load(&faults->struck) > 0);
	faults->each = UINT32_MAX;
	atomic_store(&faults->is_blind, false);
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	store_assert_as_reopened(config, faults->dir);
	check_log(faults->dir);
}

/* --- a disk that fails -------------------------------------------------------------------------------------------------- */

static const struct disk_row {
	const char *name;
	unsigned ops;
	int code;
	bool dead; /* and stays so */
} disk_rows[] = {
	{ "a write", FAULTY_WRITE, SQLITE_IOERR_WRITE, false },
	{ "a sync", FAULTY_SYNC, SQLITE_IOERR_FSYNC, false },
	{ "full once", FAULTY_WRITE, SQLITE_FULL, false },
	{ "full for good", FAULTY_WRITE, SQLITE_FULL, true },
	{ "all from now on", FAULTY_ANY, SQLITE_IOERR, true },
};

/* True when it struck.  Then the power fails, too: what was acknowledged is on the disk all the same. */
static bool fail_disk_at(const struct disk_row *row, unsigned nth)
{
	static int cuts;
	char name[32];
	struct writer writers[WRITERS] = { 0 };
	faulty_vfs_install();
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	for (size_t i = 0; i < WRITERS; i++)
		writers[i].may_fail = true;
	forget_outcomes();
	faulty_vfs_arm(row->ops, nth, row->code, row->dead);
	start_all(writers, WRITERS, config, set_own_key);
	join_all(writers, WRITERS);
	bool fired = faulty_vfs_fired();
	snprintf(name, sizeof name, "cut%d", cuts++);
	const char *cut_dir = lg_test_path(name);
	assert_int_equal(mkdir(cut_dir, 0700), 0);
	snprintf(name, sizeof name, "cut%d/log.db", cuts - 1);
	faulty_vfs_power_cut(lg_test_path(name), nth);
	faulty_vfs_arm(FAULTY_ANY, 0, 0, false);
	lg_config_close(config);
	faulty_vfs_remove();
	check_log(dir);
	check_log(cut_dir);
	return fired;
}

static void test_the_disk_fails(void **state)
{
	unsigned nth = 1;
	rounds = 3;
	while (fail_disk_at(*state, nth))
		nth = nth * 2 + 1;
	assert_true(nth > 1);
	rounds = ROUNDS;
}

/* --- all at once -------------------------------------------------------------------------------------------------------- */

struct crowd {
	struct lg_config *config, *other;
	atomic_bool over;
	_Atomic uint64_t told; /* the newest that a subscriber heard of */
	_Atomic bool went_back;
};

static void hear(void *arg, const struct lg_snapshot *snapshot)
{
	struct crowd *crowd = arg;
	if (atomic_exchange(&crowd->told, snapshot->revision) >= snapshot->revision)
		atomic_store(&crowd->went_back, true);
}

static void *read_on(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t revision = 0;
	while (!atomic_load(&crowd->over)) {
		struct lg_snapshot now;
		struct lg_error err = LG_ERROR_INIT;
		struct lg_tree *tree = NULL;
		struct lg_entry entry;
		uint8_t hash[LG_HASH_SIZE], then[LG_HASH_SIZE];
		lg_config_snapshot(crowd->config, &now);
		if (now.revision < revision)
			complain("the revision went back");
		revision = now.revision;
		lg_tree_get(now.tree, "own/k03", 7, &entry);
		lg_tree_hash(now.tree, hash);
		int rc = lg_config_tree_at(crowd->config, revision, &tree, &err);
		if (rc < 0)
			complain("%s", err.message);
		else
			lg_tree_hash(tree, then);
		if (rc == 0 && memcmp(hash, then, sizeof hash) != 0)
			complain("r%" PRIu64 " has two contents", revision);
		lg_tree_unref(tree);
		lg_snapshot_clear(&now);
	}
	return NULL;
}

static void *refresh_on(void *arg)
{
	struct crowd *crowd = arg;
	while (!atomic_load(&crowd->over)) {
		struct lg_error err = LG_ERROR_INIT;
		if (lg_config_refresh(crowd->config, &err) < 0 || lg_config_wait(crowd->other, 1, &err) < 0)
			complain("%s", err.message);
	}
	return NULL;
}

/* Restores, holds, refusals and checkpoints, through another handle and through the same. */
static void *disturb(void *arg)
{
	struct crowd *crowd = arg;
	for (uint64_t i = 0; !atomic_load(&crowd->over); i++) {
		struct lg_error err = LG_ERROR_INIT;
		uint64_t seq;
		struct lg_config *config = i % 2 ? crowd->other : crowd->config;
		struct lg_committed committed = { 0 };
		int rc = set_key(config, "noise/x", i, NULL, &committed, &err);
		uint64_t to = committed.revision;
		lg_committed_clear(&committed);
		if (rc == 0)
			rc = store_restore(config, to, "noise/", NULL, &seq, &err);
		if (rc == 0)
			rc = store_hold(config, "held/", &seq, &err);
		if (rc == 0 && set_key(config, "held/x", i, NULL, NULL, &err) != LG_EHELD)
			rc = lg_fail(&err, LG_EINTERNAL, 0, "what is held was set");
		if (rc == 0 && i % 4 == 0)
			rc = lg_config_checkpoint(config, &err);
		if (rc < 0)
			complain("%s", err.message);
	}
	return NULL;
}

static void test_all_at_once(void **state)
{
	(void)state;
	struct writer writers[WRITERS] = { 0 };
	static struct crowd crowd;
	const char *dir = store_new();
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	const struct lg_subscriber subscriber = { .after = hear, .arg = &crowd };
	void *(*const works[])(void *) = { read_on, read_on, refresh_on, disturb };
	enum { CROWD = sizeof works / sizeof *works };
	pthread_t threads[CROWD];
	crowd.config = config;
	crowd.other = other;
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	forget_outcomes();
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, works[i], &crowd), 0);
	start_all(writers, WRITERS, config, set_own_key);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	atomic_store(&crowd.over, true);
	for (size_t i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	assert_no_complaint();
	assert_false(atomic_load(&crowd.went_back));
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	assert_int_equal(atomic_load(&crowd.told), now.revision);
	lg_snapshot_clear(&now);
	store_assert_as_reopened(config, dir);
	check_log(dir);
}

int main(void)
{
	store_init();
	lg_test_add("each writes its own", test_each_writes_its_own, NULL);
	lg_test_add("one wins", test_one_wins, NULL);
	lg_test_rows("appends fail", test_appends_fail, fault_rows, sizeof fault_rows / sizeof *fault_rows,
		sizeof *fault_rows, offsetof(struct faults, name));
	lg_test_rows("the disk fails", test_the_disk_fails, disk_rows, sizeof disk_rows / sizeof *disk_rows,
		sizeof *disk_rows, offsetof(struct disk_row, name));
	lg_test_add("all at once", test_all_at_once, NULL);
	return lg_test_run("config_writers");
}
