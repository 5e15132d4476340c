/* Every system call that writes is, in turn, the last one (SIGKILL in front of it), or fails, or writes half, while the store is
 * changed.  Afterwards its state is exactly that before or after, the chain holds, and the next change works; what was said to
 * have happened has happened, what was said to have failed has not.
 *
 *	syscalls                  some of the faults at a sample of the calls
 *	syscalls --points N       N calls of each act
 *	syscalls --all            every fault at every call
 *	syscalls --only PATTERN   of the series, as in 'salvage: k*' */
#include "support/syscalls.h"
#include "config/store.h"

#include "base/buf.h"
#include "config/retention.h"
#include "config/salvage.h"
#include "config/verify.h"
#include "io/file.h"
#include "io/process.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned points = 2; /* of a series; 0: all */

#define WAL_PAGES 1000 /* log/sqlite/internal.h */
#define WAL_FRAME (4096 + 24)

static const char *seed, *seed_full, *seed_long, *seed_old; /* directories with a store */
static const char *damaged;                                 /* one with a store that is to be salvaged */
static const char *place, *live_dir;                        /* a copy of one, and the directory that it is in */

/* Only in the child do syncs reach the one who counts them (support/syscalls.h); nowhere the disk, as no power fails here. */
static bool syncs_count;

int fsync(int fd)
{
	return syncs_count ? (int)syscall(SYS_fsync, fd) : 0;
}

int fdatasync(int fd)
{
	return syncs_count ? (int)syscall(SYS_fdatasync, fd) : 0;
}

/* --- what is done ------------------------------------------------------------------------------------------------------ */

static int do_commit(struct lg_config *config, struct lg_error *err)
{
	return store_put(config, (const char *const[]){ "a/x", "7", NULL }, NULL, NULL, err);
}

#define LARGE 110

/* Thousands of pages, which are moved from the -wal file into the database, and a checkpoint behind it. */
static int do_large(struct lg_config *config, struct lg_error *err)
{
	static char values[LARGE][40000];
	static char keys[LARGE][16];
	const char *pairs[2 * LARGE + 1] = { NULL };
	for (size_t i = 0; i < LARGE; i++) {
		snprintf(keys[i], sizeof keys[i], "big/k%03zu", i);
		memset(values[i], 'v', sizeof values[i] - 1);
		values[i][0] = values[i][sizeof values[i] - 2] = '"';
		pairs[2 * i] = keys[i];
		pairs[2 * i + 1] = values[i];
	}
	return store_put(config, pairs, NULL, NULL, err);
}

static int do_restore(struct lg_config *config, struct lg_error *err)
{
	uint64_t revision;
	return store_restore(config, 1, NULL, "b/", &revision, err);
}

/* Several records in one append. */
static int do_batch(struct lg_config *config, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	int rc = lg_scope_include(&scope, "c/", err);
	if (rc == 0)
		rc = lg_control_hold(&body, &scope, NULL, err);
	if (rc < 0)
		return rc;
	const struct lg_control one = { LG_KIND_HOLD, body.data, body.len };
	const struct lg_control controls[] = { one, one, one, one, one };
	return lg_config_control(config, &store_author, controls, 5, NULL, err);
}

static int do_checkpoint(struct lg_config *config, struct lg_error *err)
{
	return lg_config_checkpoint(config, err);
}

/* Down to the newest two revisions and what is pinned: checkpoints, a record of it, and the cut. */
static int do_trim(struct lg_config *config, struct lg_error *err)
{
	struct lg_trim_plan plan = { 0 };
	static const struct lg_pin pin = { .seq = 1, .why = "test" };
	const struct lg_retention retention = { .revisions = 2, .known_good = 1, .pins = &pin, .pin_count = 1 };
	int rc = lg_config_trim_plan(config, &retention, &plan, err);
	if (rc == 0 && plan.before > plan.first)
		rc = lg_config_trim(config, &plan, &store_author, err);
	lg_trim_plan_clear(&plan);
	return rc;
}

/* --- those that open a store themselves, or make one */

static int do_open(struct lg_config *config, struct lg_error *err)
{
	int rc = store_try_open(live_dir, &config, err);
	if (rc == 0)
		lg_config_close(config);
	return rc;
}

static int do_init(struct lg_config *config, struct lg_error *err)
{
	(void)config;
	return lg_config_init(live_dir, &store_clock.clock, err);
}

static int do_salvage(struct lg_config *config, struct lg_error *err)
{
	json_t *report = NULL;
	const struct lg_config_salvage options = {
		.from = damaged, .to = live_dir, .clock = &store_clock.clock
	};
	(void)config;
	int rc = lg_config_salvage(&options, &report, err);
	json_decref(report);
	return rc;
}

/* What was said of the store when this is called, and of what lies beside it. */
static void look_at_copy(void);
static void look_at_damaged(void);

enum effect { CHANGES, SAME_STATE, STEPS, MAKES };

static const struct act {
	const char *name;
	int (*work)(struct lg_config *config, struct lg_error *err);
	const char *const *seed; /* NULL: there is no store */
	enum effect effect; /* on what can be read; STEPS: each whole; MAKES: the store, which there was not */
	bool opens;         /* itself */
	unsigned most;      /* runs of a series, ten times that of all, for each takes long; 0: no limit */
	void (*look)(void); /* or NULL */
} acts[] = {
	{ "commit", do_commit, &seed, CHANGES, false, 0, NULL },
	{ "commit that moves pages", do_commit, &seed_full, CHANGES, false, 0, NULL },
	{ "large commit", do_large, &seed, CHANGES, false, 10, NULL },
	{ "restore", do_restore, &seed, CHANGES, false, 0, NULL },
	{ "batch", do_batch, &seed, CHANGES, false, 0, NULL },
	{ "checkpoint", do_checkpoint, &seed, SAME_STATE, false, 0, NULL },
	{ "trim", do_trim, &seed_long, STEPS, false, 0, NULL },
	{ "open", do_open, &seed, SAME_STATE, true, 0, NULL },
	{ "upgrade", do_open, &seed_old, SAME_STATE, true, 0, look_at_copy },
	{ "init", do_init, NULL, MAKES, true, 0, NULL },
	{ "salvage", do_salvage, NULL, MAKES, true, 0, look_at_damaged },
};
#define ACTS (sizeof acts / sizeof *acts)

/* --- stores ------------------------------------------------------------------------------------------------------------ */

static void copy(const char *from, const char *to)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *const argv[] = { "/bin/cp", "-a", from, to, NULL };
	const struct lg_run_options options = { .argv = argv };
	lg_assert_ok(lg_dir_remove(to, &err), &err);
	if (from)
		lg_assert_ok(lg_run_ok(&options, &err), &err);
}

static const char *make_seed(void)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t held;
	const char *dir = store_new();
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	store_set(config, "a/x", "1", "a/y", "1", "b/x", "1");
	store_set(config, "a/x", "2", "a/y", "2");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "b/x", "2");
	lg_assert_ok(store_hold(config, "e/", &held, &err), &err);
	return dir;
}

/* The same, after which the next commit moves pages: its -wal file is as good as full. */
static const char *make_full_seed(void)
{
	const char *dir = make_seed();
	char wal[600], value[24];
	struct stat st = { 0 };
	snprintf(wal, sizeof wal, "%s/log.db-wal", dir);
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	for (int i = 0; st.st_size < (WAL_PAGES - 3) * WAL_FRAME; i++) {
		snprintf(value, sizeof value, "%d", i);
		store_set(config, "filler", value);
		assert_int_equal(stat(wal, &st), 0);
	}
	return dir;
}

/* Something to trim. */
static const char *make_long_seed(void)
{
	const char *dir = make_seed();
	char value[24];
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	for (int i = 0; i < 12; i++) {
		snprintf(value, sizeof value, "%d", i);
		store_set(config, i % 2 ? "a/x" : "b/y", value);
	}
	return dir;
}

static void run_sql(const char *dir, const char *sql)
{
	char path[600];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/log.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* As the first format had it. */
static const char *make_old_seed(void)
{
	const char *dir = make_seed();
	run_sql(dir,
		"INSERT INTO touched SELECT key, seq FROM touching; DROP TABLE touching; DROP TABLE gap;"
		"CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY CHECK (seq > 0), data BLOB NOT NULL) STRICT;"
		"CREATE TABLE base (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL,"
		" hash BLOB NOT NULL) STRICT;"
		"DROP INDEX record_kind; CREATE INDEX record_kind ON record (kind, seq);"
		"INSERT INTO checkpoint VALUES (3, x'00'); PRAGMA user_version = 1");
	return dir;
}

/* Record 4 cannot be read any more. */
static const char *make_damaged(void)
{
	const char *dir = make_seed();
	run_sql(dir, "UPDATE record SET body = '{}' WHERE seq = 4; PRAGMA wal_checkpoint(TRUNCATE)");
	return dir;
}

static void describe(struct lg_config *config, struct lg_buf *text)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(live_dir);
	struct lg_log_gap gap = { 0 };
	uint64_t first;
	store_describe(config, text);
	lg_assert_ok(lg_log_first(log, &first, &err), &err);
	lg_assert_ok(lg_log_gap(log, UINT64_MAX, &gap, &err), &err);
	lg_buf_addf(text, "all from %" PRIu64 " on; newest gap %" PRIu64 " to %" PRIu64 "\n", first, gap.first,
		gap.last);
}

/* Everything that the store at live_dir answers with; all of it verifies. */
static char *read_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_verify_report report = { 0 };
	const struct lg_verify_options options = { .state_dir = live_dir };
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(live_dir);
	describe(config, &text);
	lg_assert_ok(lg_verify(&options, &report, &err), &err);
	if (report.problems.total)
		fail_msg("it does not verify: %s\n%s", report.problems.items[0].message, lg_buf_str(&text));
	lg_verify_report_clear(&report);
	char *copied = strdup(lg_buf_str(&text));
	assert_non_null(copied);
	return copied;
}

static int64_t number_of(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return number;
}

/* Once the store is of the new format there is a whole copy of the old one. */
static void look_at_copy(void)
{
	char path[600], copied[620];
	snprintf(path, sizeof path, "%s/log.db", live_dir);
	snprintf(copied, sizeof copied, "%s.format-1", path);
	if (number_of(path, "PRAGMA user_version") == 1)
		return;
	assert_int_equal(number_of(copied, "PRAGMA user_version"), 1);
	assert_int_equal(number_of(copied, "SELECT count(*) FROM record"), 5);
	assert_int_equal(
		number_of(copied, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
		1);
}

/* It was only read. */
static void look_at_damaged(void)
{
	static char *former;
	static size_t former_len;
	char path[600];
	size_t len;
	snprintf(path, sizeof path, "%s/log.db", damaged);
	char *now = lg_test_read(path, &len);
	assert_non_null(now);
	if (!former) {
		former = now;
		former_len = len;
		return;
	}
	assert_int_equal(len, former_len);
	assert_memory_equal(now, former, len);
	free(now);
}

/* --- one run ----------------------------------------------------------------------------------------------------------- */

/* What the child tells. */
static struct told {
	int rc;    /* of the act */
	bool done; /* it returned */
	char message[LG_ERROR_MESSAGE_SIZE];
	char text[1 << 23]; /* what the handle believes, once refreshed */
} * told;

struct work {
	const struct act *act;
	bool closes; /* closing counts, too */
};

static void tell_state(struct lg_config *config)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	describe(config, &text);
	snprintf(told->text, sizeof told->text, "%s", lg_buf_str(&text));
}

static int in_child(void *arg, int link)
{
	const struct work *work = arg;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = work->act->opens ? NULL : store_open(live_dir);
	syncs_count = true;
	syscalls_arm(link);
	told->rc = work->act->work(config, &err);
	told->done = true;
	if (work->closes) {
		lg_config_close(config);
		syscalls_disarm(link);
		return 0;
	}
	syscalls_disarm(link);
	syncs_count = false;
	snprintf(told->message, sizeof told->message, "%s", told->rc < 0 ? err.message : "");
	if (config)
		tell_state(config);
	lg_config_close(config);
	return 0;
}

static void run(const struct act *act, const struct syscalls_fault *fault, struct syscalls_result *ret_result)
{
	struct work work = { act, fault->what == SYSCALLS_KILL };
	copy(act->seed ? *act->seed : NULL, live_dir);
	told->done = false;
	told->message[0] = told->text[0] = '\0';
	syscalls_run(fault, in_child, &work, ret_result);
	if (ret_result->killed ? !WIFSIGNALED(ret_result->status) || WTERMSIG(ret_result->status) != SIGKILL
			       : ret_result->status != 0)
		fail_msg("at %s the child ended with %#x", ret_result->at, ret_result->status);
}

/* --- what must hold ---------------------------------------------------------------------------------------------------- */

struct truth {
	char *before, *after;
};

/* What was cut short is done again, and leaves nothing of the first time; what was made whole stays. */
static void make_again(
	const struct act *act, const struct syscalls_fault *fault, const struct syscalls_result *result)
{
	struct lg_error err = LG_ERROR_INIT;
	char **names;
	size_t count;
	int rc = act->work(NULL, &err);
	if (rc < 0 && (rc != LG_ECONFLICT || !lg_file_exists(live_dir)))
		fail_msg("call %u, %s: it cannot be made again: %s", fault->nth, result->at, err.message);
	if (told->done && told->rc == 0 && rc != LG_ECONFLICT)
		fail_msg("call %u, %s: it was said to be made", fault->nth, result->at);
	told->done = false;
	lg_assert_ok(lg_dir_list(place, &names, &count, &err), &err);
	if (count != 1)
		fail_msg("call %u, %s: left behind: %s", fault->nth, result->at, names[0]);
	lg_names_free(names, count);
}

/* What is said of keys, holds and marks, without the head in front and what is gone behind it. */
static bool same_content(const char *one, const char *other)
{
	const char *from = strchr(one, '\n'), *to = strstr(one, "all from ");
	const char *from_other = strchr(other, '\n'), *to_other = strstr(other, "all from ");
	return to - from == to_other - from_other && memcmp(from, from_other, (size_t)(to - from)) == 0;
}

/* Of what goes in steps some may have been done; the rest is, when it is asked for again. */
static void judge_steps(const struct act *act, const struct truth *truth, const struct syscalls_fault *fault,
	const struct syscalls_result *result)
{
	struct lg_error err = LG_ERROR_INIT;
	char *now = read_store();
	if (!same_content(now, truth->before))
		fail_msg("call %u, %s: something else was changed:\n%.4000s", fault->nth, result->at, now);
	if (told->done && told->rc == 0 && strcmp(now, truth->after) != 0)
		fail_msg("call %u, %s: it was said to be done:\n%.4000s", fault->nth, result->at, now);
	if (result->resyncs)
		fail_msg("call %u, %s: synced again after a failed sync", fault->nth, result->at);
	free(now);
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(live_dir);
	lg_assert_ok(act->work(config, &err), &err);
	now = read_store();
	if (!same_content(now, truth->after) ||
		strcmp(strstr(now, "all from "), strstr(truth->after, "all from ")) != 0)
		fail_msg("call %u, %s: and again:\n%.4000s", fault->nth, result->at, now);
	free(now);
	store_set(config, "z", "1");
	store_assert_as_reopened(config, live_dir);
}

static void judge(const struct act *act, const struct truth *truth, const struct syscalls_fault *fault,
	const struct syscalls_result *result)
{
	if (act->look)
		act->look();
	if (act->effect == STEPS) {
		judge_steps(act, truth, fault, result);
		return;
	}
	if (act->effect == MAKES)
		make_again(act, fault, result);
	char *now = read_store();
	bool before = truth->before && strcmp(now, truth->before) == 0, after = strcmp(now, truth->after) == 0;
	bool unknown = told->done && told->rc == LG_EUNKNOWN;
	if (!before && !after)
		fail_msg("call %u, %s: neither before nor after:\n%.4000s", fault->nth, result->at, now);
	if (told->done && told->rc == 0 && !after)
		fail_msg("call %u, %s: it was said to be done:\n%.4000s", fault->nth, result->at, now);
	if (told->done && told->rc < 0 && !unknown && !before)
		fail_msg("call %u, %s: '%s', but it was done:\n%.4000s", fault->nth, result->at, told->message,
			now);
	if (told->done && told->rc < 0 && !told->message[0] && !result->killed)
		fail_msg("call %u, %s: %s without a word", fault->nth, result->at, lg_code_name(told->rc));
	/* what may have happened may show only to who opens the store anew (log/sqlite/keep.c, settling) */
	if (told->text[0] && strcmp(told->text, now) != 0 &&
		!(unknown && strcmp(told->text, truth->before) == 0))
		fail_msg("call %u, %s: the handle believed\n%.4000s\nand there is\n%.4000s", fault->nth,
			result->at, told->text, now);
	/* a store that is being made is thrown away with the error; SQLite takes back what it began, and syncs that */
	if (result->resyncs && (truth->before || told->rc == 0))
		fail_msg("call %u, %s: synced again after a failed sync", fault->nth, result->at);
	free(now);
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(live_dir);
	store_set(config, "z", "1");
	store_assert_as_reopened(config, live_dir);
}

/* --- the series -------------------------------------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	enum syscalls_what what;
	int errnum;
	unsigned times;
	unsigned ops;
} kinds[] = {
	{ "killed", SYSCALLS_KILL, 0, 1, SYSCALLS_ALL },
	{ "EIO", SYSCALLS_FAIL, EIO, 1, SYSCALLS_ALL & ~SYSCALLS_LOCK },
	{ "EIO from there on", SYSCALLS_FAIL, EIO, 1u << 30, SYSCALLS_ALL & ~SYSCALLS_LOCK },
	{ "ENOSPC", SYSCALLS_FAIL, ENOSPC, 1,
		SYSCALLS_WRITE | SYSCALLS_SIZE | SYSCALLS_CREATE | SYSCALLS_NAME },
	{ "ENOSPC from there on", SYSCALLS_FAIL, ENOSPC, 1u << 30,
		SYSCALLS_WRITE | SYSCALLS_SIZE | SYSCALLS_CREATE | SYSCALLS_NAME },
	{ "EINTR", SYSCALLS_FAIL, EINTR, 1, SYSCALLS_WRITE | SYSCALLS_SYNC | SYSCALLS_SIZE | SYSCALLS_CREATE },
	{ "EINTR ten times", SYSCALLS_FAIL, EINTR, 10, SYSCALLS_WRITE },
	{ "half a write", SYSCALLS_SHORT, 0, 1, SYSCALLS_WRITE },
	{ "half of each write", SYSCALLS_SHORT, 0, 1u << 30, SYSCALLS_WRITE },
	{ "sync fails", SYSCALLS_FAIL, EIO, 1, SYSCALLS_SYNC },
	{ "syncs fail from there on", SYSCALLS_FAIL, EIO, 1u << 30, SYSCALLS_SYNC },
};
#define KINDS (sizeof kinds / sizeof *kinds)

struct series {
	char name[64];
	const struct act *act;
	const struct kind *kind;
};

static struct series all_series[ACTS * KINDS];

static unsigned measure(const struct series *series, struct truth *ret_truth)
{
	const struct kind *kind = series->kind;
	struct syscalls_result result;
	copy(series->act->seed ? *series->act->seed : NULL, live_dir);
	ret_truth->before = series->act->seed ? read_store() : NULL;
	run(series->act, &(struct syscalls_fault){ .ops = kind->ops, .what = kind->what }, &result);
	if (told->rc < 0)
		fail_msg("undisturbed: %s", told->message);
	ret_truth->after = read_store();
	if (ret_truth->before)
		assert_int_equal(
			strcmp(ret_truth->before, ret_truth->after) == 0, series->act->effect == SAME_STATE);
	return result.count;
}

static void test_series(void **state)
{
	const struct series *series = *state;
	const struct kind *kind = series->kind;
	struct truth truth;
	unsigned count = measure(series, &truth), runs = 0;
	/* opening, alone, writes nothing: it makes files at most, and locks them */
	assert_true(count > 0 || (series->act->work == do_open && series->act->seed == &seed));
	unsigned most = series->act->most;
	unsigned wished = !points ? 10 * most : most && most < points ? most : points;
	unsigned stride = wished && count > wished ? count / wished : 1;
	bool fired = true;
	/* the number of calls is not always the same: on until none is met */
	for (unsigned nth = 1 + (unsigned)(series - all_series) % stride; fired; nth += stride) {
		const struct syscalls_fault fault = { kind->ops, nth, kind->what, kind->errnum, kind->times };
		struct syscalls_result result;
		run(series->act, &fault, &result);
		judge(series->act, &truth, &fault, &result);
		fired = result.fired;
		runs++;
	}
	printf("# %s: %u calls, %u runs\n", series->name, count, runs);
	free(truth.before);
	free(truth.after);
}

static void skip_all(void **state)
{
	(void)state;
	skip();
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--all") == 0)
			points = 0;
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			cmocka_set_test_filter(argv[++i]);
		else if (strcmp(argv[i], "--points") == 0 && i + 1 < argc)
			points = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	store_init();
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	if (!syscalls_work()) {
		printf("# the kernel or a sandbox keeps system calls from being watched\n");
		lg_test_add("system calls", skip_all, NULL);
		return lg_test_run("crash_syscalls");
	}
	place = lg_test_path("place");
	live_dir = lg_test_path("place/live");
	if (mkdir(place, 0700) < 0)
		return 1;
	seed = make_seed();
	seed_full = make_full_seed();
	seed_long = make_long_seed();
	seed_old = make_old_seed();
	damaged = make_damaged();
	for (size_t i = 0; i < ACTS * KINDS; i++) {
		struct series *one = &all_series[i];
		one->act = &acts[i / KINDS];
		if (points && points < one->act->most && i % KINDS % 5) /* of what takes long, some */
			continue;
		one->kind = &kinds[i % KINDS];
		snprintf(one->name, sizeof one->name, "%s: %s", one->act->name, one->kind->name);
		lg_test_add(one->name, test_series, one);
	}
	return lg_test_run("crash_syscalls");
}
