/* Every allocation fails once, the 1st, the 2nd, … until a run in which none does.  A call then says LG_ENOMEM and nothing
 * is written, or it succeeded without that allocation; either way the config goes on with the state that everybody else
 * finds.  Under ASan nothing leaks.  The linker puts the functions here in front of the allocator (--wrap), so what fails
 * is lastgood's own; jansson's allocations go through ours (model/value.c).
 *
 *	memory            on a log in memory
 *	memory --disk     on one in SQLite, where there are files, and checkpoints among them */
#include "config/retention.h"
#include "config/store.h"
#include "config/verify.h"
#include "support/allocation.h"

#include <inttypes.h>
#include <unistd.h>

/* No power fails here, so nothing has to wait for the disk. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

/* --- what is done ---------------------------------------------------------------------------------------------------- */

static int do_commit(struct lg_config *config, struct lg_error *err)
{
	/* a declared one, a secret, one that goes, and new ones beside them */
	return store_put(config,
		(const char *const[]){
			"a/n", "7", "a/token", "\"hush\"", "b/x", "", "c/new", "[1,{\"x\":2}]", NULL },
		NULL, NULL, err);
}

static int do_restore(struct lg_config *config, struct lg_error *err)
{
	uint64_t revision;
	return store_restore(config, 2, "a/", "a/token", &revision, err);
}

static int do_restore_all(struct lg_config *config, struct lg_error *err)
{
	uint64_t revision;
	return store_restore(config, 2, NULL, NULL, &revision, err);
}

static int do_hold(struct lg_config *config, struct lg_error *err)
{
	uint64_t seq;
	return store_hold(config, "c/", &seq, err);
}

static int do_mark(struct lg_config *config, struct lg_error *err)
{
	return store_mark(config, "bad", 3, "a/", err);
}

static int do_refresh(struct lg_config *config, struct lg_error *err)
{
	return lg_config_refresh(config, err);
}

static int do_checkpoint(struct lg_config *config, struct lg_error *err)
{
	return lg_config_checkpoint(config, err);
}

static int ignore_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)arg, (void)event, (void)err;
	return 0;
}

static int do_history(struct lg_config *config, struct lg_error *err)
{
	return lg_config_history_key(config, "a/n", 0, ignore_event, NULL, err);
}

static int do_target(struct lg_config *config, struct lg_error *err)
{
	uint64_t revision;
	const struct lg_scope all = LG_SCOPE_ALL;
	int rc = lg_config_target(config, "good", &all, &revision, NULL, err);
	return rc < 0 ? rc : lg_config_target(config, "@-1", &all, &revision, NULL, err);
}

static int do_origins(struct lg_config *config, struct lg_error *err)
{
	struct lg_origin items[] = { { "a/n", 0 }, { "b/x", 0 } };
	return lg_config_origins(config, 2, 5, items, 2, err);
}

static int do_old_state(struct lg_config *config, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *older = NULL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *newer = NULL;
	int rc = lg_config_tree_at(config, 3, &older, err);
	return rc < 0 ? rc : lg_config_tree_at(config, 6, &newer, err);
}

static int ignore_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)arg, (void)record, (void)err;
	return 0;
}

static int do_query(struct lg_config *config, struct lg_error *err)
{
	const struct lg_log_query below = { .key = "a/", .newest_first = true };
	return lg_config_query(config, &below, ignore_record, NULL, err);
}

/* Recording that it was refused must not change how it ends. */
static int do_refused(struct lg_config *config, struct lg_error *err)
{
	lg_clock_sim_advance(&store_clock, LG_REFUSAL_REFILL_S * INT64_C(1000000000));
	int rc = store_put(config, (const char *const[]){ "a/n", "99", "b/x", "2", NULL }, NULL, NULL, err);
	return rc == LG_EINVALID ? 0 : rc;
}

/* Checkpoints, a record of it, and the cut: what fails leaves the steps before it. */
static int do_trim(struct lg_config *config, struct lg_error *err)
{
	struct lg_trim_plan plan = { 0 };
	const struct lg_retention retention = { .revisions = 2, .known_good = 1 };
	int rc = lg_config_trim_plan(config, &retention, &plan, err);
	if (rc == 0 && plan.before > plan.first)
		rc = lg_config_trim(config, &plan, &store_author, err);
	lg_trim_plan_clear(&plan);
	return rc;
}

static const char *current_dir;

static int do_verify(struct lg_config *config, struct lg_error *err)
{
	struct lg_verify_report report = { 0 };
	long left = until_failure;
	until_failure = -1;
	const struct lg_verify_options options = { .state_dir = store_state_dir(current_dir),
		.log = store_open_log(current_dir) };
	until_failure = left;
	(void)config;
	int rc = lg_verify(&options, &report, err);
	/* want of memory is no damage */
	if (rc == 0)
		assert_int_equal(report.problems.total, 0);
	lg_verify_report_clear(&report);
	return rc;
}

struct row {
	const char *name;
	int (*work)(struct lg_config *config, struct lg_error *err);
	bool others; /* somebody else appended before */
	bool steps;  /* of which some may have been done when it fails */
};

static const struct row rows[] = {
	{ "commit", do_commit, false, false },
	{ "commit behind another", do_commit, true, false },
	{ "restore of a part", do_restore, false, false },
	{ "restore behind another", do_restore_all, true, false },
	{ "hold", do_hold, false, false },
	{ "mark behind another", do_mark, true, false },
	{ "refresh", do_refresh, true, false },
	{ "checkpoint", do_checkpoint, false, false },
	{ "history", do_history, false, false },
	{ "target", do_target, false, false },
	{ "old state", do_old_state, false, false },
	{ "query", do_query, true, false },
	{ "verify", do_verify, false, false },
	{ "trim", do_trim, false, true },
	{ "origins", do_origins, false, false },
	{ "a change that is refused", do_refused, false, false },
};

static void fill(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	store_set(config, "@schema/a/n", "{\"max\":10,\"type\":\"int\"}", "@schema/a/token",
		"{\"type\":\"secret\"}");
	store_set(config, "a/n", "1", "a/token", "\"x\"", "b/x", "1");
	store_set(config, "a/n", "2", "a/y", "2", "a/z/deep", "3");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_go_back(config, 2, "a/", NULL);
	store_set(config, "a/n", "3", "a/y", "4");
}

static void append_as_another(const char *dir)
{
	uint64_t seq;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	store_set(other, "d/x", "5");
	lg_assert_ok(store_hold(other, "e/", &seq, &err), &err);
	store_go_back(other, 3, "a/", NULL);
}

static uint64_t head_of(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	lg_cleanup(lg_log_closep) struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	return head.seq;
}

static void run_once(const struct row *row, long nth)
{
	const char *dir = current_dir = store_new();
	fill(dir);
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	if (row->others)
		append_as_another(dir);
	uint64_t former = head_of(dir);
	fired = false;
	until_failure = nth;
	int rc = row->work(config, &err);
	until_failure = -1;
	if (rc < 0) {
		lg_assert_code(rc, LG_ENOMEM, &err);
		assert_true(fired);
		if (!row->steps)
			assert_int_equal(head_of(dir), former);
	}
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	store_assert_as_reopened(config, dir);
	store_set(config, "z", "1");
	store_assert_as_reopened(config, dir);
}

static void test_nth_allocation_fails(void **state)
{
	const struct row *row = *state;
	fired = true;
	for (long nth = 0; fired; nth++)
		run_once(row, nth);
}

static void test_nth_allocation_of_open_fails(void **state)
{
	(void)state;
	const char *dir = store_new();
	fill(dir);
	fired = true;
	for (long nth = 0; fired; nth++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_config *config = NULL;
		struct lg_config_options options = { .state_dir = store_state_dir(dir),
			.log = store_open_log(dir),
			.clock = &store_clock.clock };
		fired = false;
		until_failure = nth;
		int rc = lg_config_open(&options, &config, &err);
		until_failure = -1;
		if (rc < 0) {
			lg_assert_code(rc, LG_ENOMEM, &err);
			assert_null(config);
			continue;
		}
		assert_non_null(config);
		store_assert_as_reopened(config, dir);
		lg_config_close(config);
	}
}

int main(int argc, char **argv)
{
	store_init();
	if (argc < 2 || strcmp(argv[1], "--disk") != 0)
		store_use_memory();
	lg_test_rows("the nth allocation fails", test_nth_allocation_fails, rows, sizeof rows / sizeof *rows,
		sizeof *rows, offsetof(struct row, name));
	lg_test_add("the nth allocation of open fails", test_nth_allocation_of_open_fails, NULL);
	return lg_test_run("config_memory");
}
