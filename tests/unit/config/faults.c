/* The Nth call on the log fails, for N = 1, 2, … until a run in which none does: before it reaches the log, or after it
 * happened.  Whatever a call on the config said must then be so for everybody else who opens the store, the config goes on
 * with that state, and what failed can be done again. */
#include "config/store.h"

#include "log/wrap/wrap.h"

#include <inttypes.h>

enum when { BEFORE, AFTER };

struct fault {
	enum when when;
	long left; /* calls to let pass */
	bool fired;
	enum lg_log_call call; /* the one that failed */
};

static bool is_hit(struct fault *fault, enum when when, enum lg_log_call call)
{
	if (fault->when != when || fault->left < 0 || fault->left-- > 0)
		return false;
	fault->fired = true;
	fault->call = call;
	return true;
}

static int fail_before(void *arg, enum lg_log_call call, struct lg_error *err)
{
	return is_hit(arg, BEFORE, call) ? lg_fail(err, LG_EIO, 0, "injected before %s", lg_log_call_name(call))
					 : 0;
}

static int fail_after(void *arg, enum lg_log_call call, struct lg_error *err)
{
	if (!is_hit(arg, AFTER, call))
		return 0;
	int code = call == LG_LOG_CALL_APPEND ? LG_EUNKNOWN : LG_EIO;
	return lg_fail(err, code, 0, "injected after %s", lg_log_call_name(call));
}

static struct lg_config *open_wrapped(const char *dir, struct fault *fault)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	struct lg_config *config = NULL;
	const struct lg_log_hooks hooks = { .before = fail_before, .after = fail_after, .arg = fault };
	fault->left = -1;
	lg_assert_ok(lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	const struct lg_config_options options = {
		.state_dir = dir, .log = wrapped, .clock = &store_clock.clock
	};
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

/* --- what is done ---------------------------------------------------------------------------------------------------- */

static int do_commit(struct lg_config *config, struct lg_error *err)
{
	return store_put(config, (const char *const[]){ "a/x", "7", "b/x", "", NULL }, NULL, NULL, err);
}

static int do_restore(struct lg_config *config, struct lg_error *err)
{
	uint64_t revision;
	return store_restore(config, 1, "a/", NULL, &revision, err);
}

static int do_restore_far(struct lg_config *config, struct lg_error *err)
{
	uint64_t revision;
	return store_restore(config, 1, NULL, "b/", &revision, err);
}

static int do_hold(struct lg_config *config, struct lg_error *err)
{
	uint64_t seq;
	return store_hold(config, "c/", &seq, err);
}

static int do_refresh(struct lg_config *config, struct lg_error *err)
{
	return lg_config_refresh(config, err);
}

static int do_checkpoint(struct lg_config *config, struct lg_error *err)
{
	return lg_config_checkpoint(config, err);
}

struct row {
	const char *name;
	int (*work)(struct lg_config *config, struct lg_error *err);
	enum when when;
	uint64_t appends; /* records when it succeeds */
	bool others;      /* somebody else appended before */
};

static const struct row rows[] = {
	{ "commit, before", do_commit, BEFORE, 1, false },
	{ "commit, after", do_commit, AFTER, 1, false },
	{ "commit behind another, before", do_commit, BEFORE, 1, true },
	{ "commit behind another, after", do_commit, AFTER, 1, true },
	{ "restore, before", do_restore, BEFORE, 1, false },
	{ "restore, after", do_restore, AFTER, 1, false },
	{ "restore behind another, before", do_restore, BEFORE, 1, true },
	{ "restore behind another, after", do_restore, AFTER, 1, true },
	{ "far restore, before", do_restore_far, BEFORE, 1, false },
	{ "far restore, after", do_restore_far, AFTER, 1, false },
	{ "control, before", do_hold, BEFORE, 1, false },
	{ "control, after", do_hold, AFTER, 1, false },
	{ "control behind another, before", do_hold, BEFORE, 1, true },
	{ "refresh, before", do_refresh, BEFORE, 0, true },
	{ "refresh, after", do_refresh, AFTER, 0, true },
	{ "checkpoint, before", do_checkpoint, BEFORE, 0, false },
	{ "checkpoint, after", do_checkpoint, AFTER, 0, false },
};

static void prepare(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	store_set(config, "a/x", "1", "b/x", "1");
	store_set(config, "a/x", "2", "a/y", "2");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "a/x", "3");
}

static void append_as_another(const char *dir)
{
	uint64_t seq;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	store_set(other, "a/z", "5", "d", "1");
	lg_assert_ok(store_hold(other, "e/", &seq, &err), &err);
	store_go_back(other, 2, "a/", NULL);
}

static uint64_t head_of(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	return head.seq;
}

/* True when the fault struck. */
static bool run_once(const struct row *row, long nth)
{
	const char *dir = store_new();
	prepare(dir);
	struct fault fault = { .when = row->when };
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = open_wrapped(dir, &fault);
	if (row->others)
		append_as_another(dir);
	const uint64_t former = head_of(dir);
	fault.left = nth;
	int rc = row->work(config, &err);
	fault.left = -1;
	const uint64_t now = head_of(dir);
	if (!fault.fired)
		lg_assert_ok(rc, &err);
	if (rc == 0)
		assert_int_equal(now, former + row->appends);
	else if (rc != LG_EUNKNOWN) /* said to have failed: then nothing may be there */
		assert_int_equal(now, former);
	if (rc < 0 && !*err.message)
		fail_msg("a failed %s says nothing", lg_log_call_name(fault.call));
	/* it goes on from what really is there, and the same can be asked for again */
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	store_assert_as_reopened(config, dir);
	if (rc < 0)
		lg_assert_ok(row->work(config, &err), &err);
	store_assert_as_reopened(config, dir);
	store_set(config, "z", "1");
	store_assert_as_reopened(config, dir);
	return fault.fired;
}

static void test_nth_call_fails(void **state)
{
	const struct row *row = *state;
	long nth = 0;
	while (run_once(row, nth))
		nth++;
	assert_true(nth > 0); /* there was a call to fail */
}

/* --- opening --------------------------------------------------------------------------------------------------------- */

static bool open_once(const char *dir, enum when when, long nth)
{
	struct fault fault = { .when = when };
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	struct lg_config *config = NULL;
	const struct lg_log_hooks hooks = { .before = fail_before, .after = fail_after, .arg = &fault };
	fault.left = nth;
	lg_assert_ok(lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	const struct lg_config_options options = {
		.state_dir = dir, .log = wrapped, .clock = &store_clock.clock
	};
	int rc = lg_config_open(&options, &config, &err);
	fault.left = -1;
	/* a checkpoint that cannot be read is passed over: the log says the same */
	if (fault.fired && fault.call != LG_LOG_CALL_CHECKPOINT_READ) {
		lg_assert_code(rc, LG_EIO, &err);
		return true;
	}
	lg_assert_ok(rc, &err);
	store_assert_as_reopened(config, dir);
	lg_config_close(config);
	return fault.fired;
}

static void test_nth_call_of_open_fails(void **state)
{
	(void)state;
	const char *dir = store_new();
	prepare(dir);
	append_as_another(dir);
	for (enum when when = BEFORE; when <= AFTER; when++) {
		long nth = 0;
		while (open_once(dir, when, nth))
			nth++;
		assert_true(nth > 3);
	}
}

/* --- an outcome that stays unknown ------------------------------------------------------------------------------------ */

/* The append, and then the look for it, fail: nothing is claimed, and nothing is assumed afterwards. */
static int fail_from(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct fault *fault = arg;
	if (call == LG_LOG_CALL_APPEND && fault->left == 0) {
		fault->fired = true;
		fault->left = -1;
		return lg_fail(err, LG_EUNKNOWN, 0, "injected after append");
	}
	return fault->fired ? lg_fail(err, LG_EIO, 0, "injected after %s", lg_log_call_name(call)) : 0;
}

static void test_unknown_stays_unknown(void **state)
{
	(void)state;
	const char *dir = store_new();
	prepare(dir);
	struct fault fault = { .left = -1 };
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	struct lg_config *config = NULL;
	const struct lg_log_hooks hooks = { .after = fail_from, .arg = &fault };
	lg_assert_ok(lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	const struct lg_config_options options = {
		.state_dir = dir, .log = wrapped, .clock = &store_clock.clock
	};
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	fault.left = 0;
	lg_assert_code(do_commit(config, &err), LG_EUNKNOWN, &err);
	assert_non_null(strstr(err.message, "lastgood history")); /* where to look */
	lg_assert_code(do_restore(config, &err), LG_EIO, &err);
	fault.fired = false;
	lg_assert_ok(
		do_restore(config, &err), &err); /* on the state that the change left, not on the one before */
	store_assert_as_reopened(config, dir);
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	assert_false(lg_tree_get(now.tree, "b/x", 3, NULL));
	lg_snapshot_clear(&now);
	lg_config_close(config);
}

/* --- what goes meanwhile ---------------------------------------------------------------------------------------------- */

struct thief {
	const char *dir;
	unsigned left; /* checkpoints to take */
};

/* As another process that thins checkpoints out: between the finding and the reading. */
static int take_checkpoint(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct thief *thief = arg;
	uint64_t seq;
	if (call != LG_LOG_CALL_CHECKPOINT_READ || thief->left == 0)
		return 0;
	thief->left--;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(thief->dir);
	if (lg_log_checkpoint_find(log, UINT64_MAX >> 1, &seq, NULL) == 0)
		lg_assert_ok(lg_log_checkpoint_drop(log, seq, err), err);
	return 0;
}

static void test_checkpoint_goes(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= 3; count++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_log *wrapped = NULL;
		struct lg_config *config = NULL;
		const char *dir = store_new();
		prepare(dir);
		append_as_another(dir);
		struct thief thief = { dir, count };
		const struct lg_log_hooks hooks = { .before = take_checkpoint, .arg = &thief };
		lg_assert_ok(
			lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
		const struct lg_config_options options = {
			.state_dir = dir, .log = wrapped, .clock = &store_clock.clock
		};
		lg_assert_ok(lg_config_open(&options, &config, &err), &err);
		assert_true(thief.left < count);
		store_assert_as_reopened(config, dir);
		lg_config_close(config);
	}
}

int main(void)
{
	store_init();
	lg_test_add("a checkpoint goes while it is about to be read", test_checkpoint_goes, NULL);
	lg_test_rows("the nth call fails", test_nth_call_fails, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct row, name));
	lg_test_add("the nth call of open fails", test_nth_call_of_open_fails, NULL);
	lg_test_add("an outcome that stays unknown", test_unknown_stays_unknown, NULL);
	return lg_test_run("config_faults");
}
