/* A rollback is killed, or its operations fail, at every one of its fault points; a fresh process recovers.  In the end the
 * system is wholly before or wholly after, whoever says so, and a further rollback works.
 *
 *	rollback                  a spread sample of the points
 *	rollback --points N       a larger sample: N of each series
 *	rollback --all            all of them
 *	rollback --soak COUNT     COUNT random double kills; the seed is printed, --seed N repeats it
 *	rollback --only PATTERN   of the tests, as in '*ENOSPC*'
 *
 * The parent never opens a store: every process that works on one is a child of its own, as after a real crash. */
#include "support/world.h"

#include "base/cleanup.h"
#include "io/fault.h"
#include "io/file.h"
#include "io/process.h"
#include "log/wrap/wrap.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILLED 137

/* What the rollback is. */
enum scenario { RESTORE, BACKUP, UNDO, REVERT };
static const char *const scenario_names[] = { "restore", "backup file", "undo", "revert" };

/* What the children tell the parent. */
struct told {
	uint8_t root_before[LG_HASH_SIZE], root_after[LG_HASH_SIZE];
	size_t holds_before, holds_after, bad_before, bad_after;
	size_t points; /* fault points met */
	int rc;
	char outcome[16]; /* "" when there is none */
	char message[LG_ERROR_MESSAGE_SIZE];
};
static struct told *told;

/* What goes wrong: kill or errno at the nth point, or at that and all behind it. */
struct fault {
	size_t nth; /* 0: never */
	int what;   /* 0: kill */
	bool onwards;
	size_t count;
};

static int hook(void *arg, enum lg_fault_op op, const char *path)
{
	struct fault *fault = arg;
	(void)op;
	(void)path;
	fault->count++;
	told->points = fault->count;
	if (fault->nth == 0 || (fault->onwards ? fault->count < fault->nth : fault->count != fault->nth))
		return 0;
	if (fault->what == 0)
		_exit(KILLED);
	return fault->what;
}

static size_t points_max; /* of a series, 0: all */
static char live[300], seed_dir[300];
static struct world world;

/* --- processes -------------------------------------------------------------------------------------------------------- */

typedef void work(void *arg);

/* Runs work in a child; returns its exit status. An assertion that fails there ends it by a signal. */
static int in_child(work *function, void *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		function(arg);
		_exit(0);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void copy_tree(const char *from, const char *to)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *const argv[] = { "/bin/cp", "-a", from, to, NULL };
	const struct lg_run_options options = { .argv = argv };
	lg_assert_ok(lg_dir_remove(to, &err), &err);
	lg_assert_ok(lg_run_ok(&options, &err), &err);
}

/* --- the world before ------------------------------------------------------------------------------------------------- */

static char backup[400];

static struct lg_rollback_plan *plan_undo_of_newest(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_plan *plan = NULL;
	json_t *list = NULL;
	const struct lg_author author = { "alice", "other: back", false };
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	const char *id = json_string_value(json_object_get(json_array_get(list, 0), "id"));
	lg_assert_ok(lg_rollback_undo_plan(world.config, world.delivery, id, &author, &plan, NULL, &err), &err);
	json_decref(list);
	return plan;
}

static struct lg_rollback_plan *plan_for(enum scenario scenario)
{
	switch (scenario) {
	case RESTORE:
		return world_plan(&world, "r1", "");
	case BACKUP:
		return world_plan(&world, backup, "");
	case UNDO:
		return plan_undo_of_newest();
	case REVERT:
		return world_plan(&world, "revert r4", "");
	}
	return NULL;
}

static void note_world(uint8_t ret_root[LG_HASH_SIZE], size_t *ret_holds, size_t *ret_bad)
{
	world_root(&world, ret_root);
	*ret_holds = lg_config_controls(world.config)->hold_count;
	*ret_bad = world_bad_marks(&world);
}

/* The seed, and, on a copy of it, what a rollback that nothing happens to leads to. */
static void make_seed(void *arg)
{
	enum scenario scenario = *(enum scenario *)arg;
	struct lg_error err = LG_ERROR_INIT;
	static const char text[] =
		"{\"configurations\":{\"web/a\":{\"value\":1},\"api/b\":{\"value\":1},\"x\":{\"value\":1}}}";
	world_make(&world, live, true);
	lg_test_write(backup, text, strlen(text));
	world_set(&world, "web/a", "1", "api/b", "1", "x", "1");
	world_set(&world, "web/a", "2", "api/b", "2", "x", "2");
	if (scenario == UNDO)
		lg_assert_ok(world_roll_back(&world, "r1", "", false, NULL, &err), &err);
	note_world(told->root_before, &told->holds_before, &told->bad_before);
	world_close(&world);
	copy_tree(live, seed_dir);
	world_open(&world);
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = plan_for(scenario);
	lg_assert_ok(lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, NULL, &err), &err);
	note_world(told->root_after, &told->holds_after, &told->bad_after);
	assert_memory_not_equal(told->root_before, told->root_after, LG_HASH_SIZE);
	world_close(&world);
}

/* --- what is done to it ----------------------------------------------------------------------------------------------- */

static void open_wrapped(void)
{
	char url[512];
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	const struct lg_log_open options = { .clock = &world.sim.clock };
	const struct lg_log_hooks hooks = { 0 };
	snprintf(url, sizeof url, "sqlite:%s/log.db", world.state_dir);
	lg_assert_ok(lg_log_open(url, &options, &log, &err), &err);
	lg_assert_ok(lg_log_wrap(log, &hooks, &world.sim.clock, &log, &err), &err);
	world_open_log(&world, log);
}

static void tell(int rc, const struct lg_rollback_outcome *outcome, const struct lg_error *err)
{
	lg_fault_set(NULL, NULL);
	told->rc = rc;
	snprintf(told->outcome, sizeof told->outcome, "%s", outcome->outcome ? outcome->outcome : "");
	snprintf(told->message, sizeof told->message, "%s", rc < 0 ? err->message : "");
}

struct attempt {
	enum scenario scenario;
	struct fault fault;
	bool undo; /* of recovery */
};

static void roll_back(void *arg)
{
	struct attempt *attempt = arg;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome = { 0 };
	open_wrapped();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = plan_for(attempt->scenario);
	lg_fault_set(hook, &attempt->fault);
	int rc = lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err);
	tell(rc, &outcome, &err);
	world_close(&world);
}

static void recover(void *arg)
{
	struct attempt *attempt = arg;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome = { 0 };
	open_wrapped();
	lg_fault_set(hook, &attempt->fault);
	int rc = lg_rollback_recover(
		world.config, world.delivery, NULL, attempt->undo, NULL, NULL, &outcome, &err);
	tell(rc, &outcome, &err);
	world_close(&world);
}

/* --- what must be so afterwards --------------------------------------------------------------------------------------- */

static void assert_files(bool services_told)
{
	static const char *const names[][2] = { { "web.json", "web.loaded" }, { "api.json", "api.loaded" } };
	struct lg_snapshot now;
	struct lg_error err = LG_ERROR_INIT;
	uint8_t hash[LG_HASH_SIZE];
	lg_config_snapshot(world.config, &now);
	for (size_t i = 0; i < 2; i++) {
		const struct lg_adapter *adapter = lg_delivery_adapter(world.delivery, i);
		if (lg_adapter_verify(adapter, now.tree, hash, &err) != 1)
			fail_msg("'%s' is not what the state says", lg_adapter_path(adapter));
		lg_autofree char *file = world_file(&world, names[i][0]);
		lg_autofree char *loaded = world_file(&world, names[i][1]);
		if (services_told)
			assert_string_equal(file, loaded);
	}
	lg_snapshot_clear(&now);
}

/* Returns whether the system is wholly after; else it is wholly before. */
static bool assert_whole(bool services_told)
{
	uint8_t root[LG_HASH_SIZE];
	size_t holds, bad;
	note_world(root, &holds, &bad);
	bool after = memcmp(root, told->root_after, LG_HASH_SIZE) == 0;
	assert_memory_equal(root, after ? told->root_after : told->root_before, LG_HASH_SIZE);
	assert_int_equal(holds, after ? told->holds_after : told->holds_before);
	assert_int_equal(bad, after ? told->bad_after : told->bad_before);
	assert_files(services_told);
	return after;
}

static void assert_chain(void)
{
	char url[512];
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	const struct lg_log_open options = { .readonly = true };
	snprintf(url, sizeof url, "sqlite:%s/log.db", world.state_dir);
	lg_assert_ok(lg_log_open(url, &options, &log, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
}

static void assert_no_litter(void)
{
	char **names;
	size_t count;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_dir_list(world.dir, &names, &count, &err), &err);
	for (size_t i = 0; i < count; i++) {
		if (names[i][0] == '.')
			fail_msg("'%s' is left behind", names[i]);
	}
	lg_names_free(names, count);
}

/* How the newest rollback that is not part of the seed ended; "" when there is none. */
static void newest_outcome(enum scenario scenario, char ret_outcome[16])
{
	struct lg_error err = LG_ERROR_INIT;
	json_t *list = NULL;
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	bool any = json_array_size(list) > (scenario == UNDO);
	/* ids of one simulated second are in no order: the seed's one is done */
	const char *found = any ? "done" : "";
	for (size_t i = 0; any && i < json_array_size(list); i++) {
		const char *state = json_string_value(json_object_get(json_array_get(list, i), "state"));
		if (strcmp(state, "done") != 0)
			found = state;
	}
	snprintf(ret_outcome, 16, "%s", found);
	json_decref(list);
}

static void further_rollback(enum scenario scenario, bool after)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	uint8_t root[LG_HASH_SIZE];
	size_t reverse = scenario == UNDO ? !after : after;
	lg_assert_ok(world_roll_back(&world, reverse ? "r4" : "r1", "", false, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
	assert_int_equal(world_unfinished(&world), 0);
	world_root(&world, root);
	assert_memory_equal(root, after ? told->root_before : told->root_after, LG_HASH_SIZE);
	assert_files(true);
}

static void look(void *arg)
{
	struct attempt *attempt = arg;
	char ended[16];
	bool ok = false;
	json_t *report = NULL;
	struct lg_error err = LG_ERROR_INIT;
	world_open(&world);
	assert_int_equal(world_unfinished(&world), 0);
	bool after = assert_whole(true);
	newest_outcome(attempt->scenario, ended);
	assert_string_equal(ended, after ? "done" : *ended ? "undone" : "");
	lg_assert_ok(lg_validate(world.config, world.delivery, &(struct lg_validate_options){ 0 }, &report, &ok,
			     &err),
		&err);
	json_decref(report);
	assert_true(ok);
	assert_chain();
	further_rollback(attempt->scenario, after);
	assert_chain();
	assert_no_litter();
	world_close(&world);
}

/* --- series ----------------------------------------------------------------------------------------------------------- */

static void reset_world(void)
{
	copy_tree(seed_dir, live);
}

static size_t count_points(struct attempt attempt)
{
	attempt.fault = (struct fault){ 0 };
	reset_world();
	assert_int_equal(in_child(roll_back, &attempt), 0);
	assert_int_equal(told->rc, 0);
	return told->points;
}

/* The i-th of the sample of `total` points; 0 behind the last. */
static size_t sample(size_t i, size_t total, size_t most)
{
	if (most == 0 || total <= most)
		return i < total ? i + 1 : 0;
	return i < most ? 1 + i * (total - 1) / (most - 1) : 0;
}

static void must(int status, int want, const char *what, size_t nth)
{
	if (status != want)
		fail_msg("%s at point %zu: status %d instead of %d", what, nth, status, want);
}

static void recover_and_look(struct attempt attempt, size_t nth)
{
	attempt.fault = (struct fault){ 0 };
	must(in_child(recover, &attempt), 0, "recovery", nth);
	if (told->rc < 0)
		fail_msg("recovery after point %zu: %s", nth, told->message);
	must(in_child(look, &attempt), 0, "looking", nth);
}

static void use_scenario(enum scenario scenario)
{
	assert_int_equal(lg_dir_remove(live, NULL), 0);
	must(in_child(make_seed, &scenario), 0, "seed", 0);
}

struct series {
	const char *name;
	enum scenario scenario;
	bool undo;
	int what; /* errno */
	bool onwards;
};

static void test_kill(void **state)
{
	const struct series *series = *state;
	struct attempt attempt = { .scenario = series->scenario, .undo = series->undo };
	use_scenario(series->scenario);
	size_t total = count_points(attempt), nth;
	assert_true(total > 50);
	for (size_t i = 0; (nth = sample(i, total, points_max)); i++) {
		reset_world();
		attempt.fault = (struct fault){ .nth = nth };
		must(in_child(roll_back, &attempt), KILLED, "kill", nth);
		recover_and_look(attempt, nth);
	}
}

/* The first kill at some places, the recovery's at every one (or a sample). */
static void test_kill_recovery(void **state)
{
	const struct series *series = *state;
	struct attempt attempt = { .scenario = series->scenario, .undo = series->undo };
	use_scenario(series->scenario);
	size_t total = count_points(attempt), first;
	for (size_t i = 0; (first = sample(i, total, points_max ? 4 : 8)); i++) {
		size_t points = SIZE_MAX, second;
		for (size_t j = 0; (second = sample(j, points, points_max ? points_max / 3 : 0)); j++) {
			reset_world();
			attempt.fault = (struct fault){ .nth = first };
			must(in_child(roll_back, &attempt), KILLED, "kill", first);
			if (points == SIZE_MAX) { /* how many are there? on a copy of what the kill left */
				struct attempt whole = { .scenario = series->scenario, .undo = series->undo };
				told->points = 0;
				must(in_child(recover, &whole), 0, "recovery", first);
				points = told->points;
				j = SIZE_MAX;
				continue;
			}
			attempt.fault = (struct fault){ .nth = second };
			must(in_child(recover, &attempt), KILLED, "kill of the recovery", second);
			recover_and_look(attempt, second);
		}
	}
}

/* What was reported must be so at once, whatever else failed. */
static void look_at_report(void *arg)
{
	struct attempt *attempt = arg;
	struct lg_error err = LG_ERROR_INIT;
	world_open(&world);
	const char *outcome = told->outcome;
	if (told->rc == 0)
		assert_string_equal(outcome, "done");
	else
		assert_true(*told->message);
	if (strcmp(outcome, "stuck") == 0) {
		assert_int_equal(world_unfinished(&world), 1);
	} else {
		assert_int_equal(assert_whole(false), strcmp(outcome, "done") == 0);
		/* a journal that could not be closed is said to be open, and a closed one is closed */
		if (world_unfinished(&world) && (told->rc == 0 || !strstr(told->message, "journal")))
			fail_msg("reported '%s' (%s), and yet unfinished", outcome, told->message);
	}
	int rc = lg_rollback_recover(world.config, world.delivery, NULL, attempt->undo, NULL, NULL,
		&(struct lg_rollback_outcome){ 0 }, &err);
	lg_assert_ok(rc, &err);
	assert_int_equal(world_unfinished(&world), 0);
	/* a stuck one goes back, or forward where not even that it is stuck could be noted */
	bool after = assert_whole(false);
	if (strcmp(outcome, "stuck") != 0)
		assert_int_equal(after, strcmp(outcome, "done") == 0);
	/* a service that could not be told of the undo is told with the next delivery */
	lg_assert_ok(lg_delivery_run(world.delivery, "alice", NULL, NULL, &err), &err);
	world_close(&world);
}

static void test_errors(void **state)
{
	const struct series *series = *state;
	struct attempt attempt = { .scenario = series->scenario };
	use_scenario(series->scenario);
	size_t total = count_points(attempt), nth;
	size_t seen_done = 0, seen_failed = 0;
	for (size_t i = 0; (nth = sample(i, total, points_max)); i++) {
		reset_world();
		attempt.fault = (struct fault){ .nth = nth, .what = series->what, .onwards = series->onwards };
		must(in_child(roll_back, &attempt), 0, "rollback", nth);
		if (told->rc == 0)
			seen_done++;
		else
			seen_failed++;
		must(in_child(look_at_report, &attempt), 0, "report", nth);
		must(in_child(look, &attempt), 0, "looking", nth);
	}
	assert_true(seen_failed > 0);
	(void)seen_done;
}

/* --- soak ------------------------------------------------------------------------------------------------------------- */

static uint64_t random_state;

static size_t random_below(size_t limit)
{
	/* splitmix64, so that a seed says all */
	uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (size_t)((z ^ (z >> 31)) % limit);
}

static size_t soak_count;

static void test_soak(void **state)
{
	enum scenario scenario = *(enum scenario *)*state;
	struct attempt attempt = { .scenario = scenario };
	use_scenario(scenario);
	size_t total = count_points(attempt);
	for (size_t i = 0; i < soak_count; i++) {
		reset_world();
		attempt.fault = (struct fault){ .nth = 1 + random_below(total) };
		must(in_child(roll_back, &attempt), KILLED, "kill", attempt.fault.nth);
		/* some recoveries are killed too, one after the other, and they need not want the same */
		for (size_t kills = 1 + random_below(3); kills > 0; kills--) {
			attempt.undo = random_below(2);
			attempt.fault = (struct fault){ .nth = 1 + random_below(total) };
			int status = in_child(recover, &attempt);
			if (status != KILLED)
				must(status, 0, "recovery", attempt.fault.nth);
		}
		attempt.undo = random_below(2);
		recover_and_look(attempt, i);
	}
}

/* --- main ------------------------------------------------------------------------------------------------------------- */

static const struct series kill_series[] = {
	{ "kill, then resume", RESTORE, false, 0, false },
	{ "kill, then undo", RESTORE, true, 0, false },
	{ "kill, then resume: backup file", BACKUP, false, 0, false },
	{ "kill, then undo: backup file", BACKUP, true, 0, false },
	{ "kill, then resume: undo", UNDO, false, 0, false },
	{ "kill, then undo: undo", UNDO, true, 0, false },
	{ "kill, then resume: revert", REVERT, false, 0, false },
	{ "kill, then undo: revert", REVERT, true, 0, false },
};
static const struct series recovery_series[] = {
	{ "kill, kill the recovery, then resume", RESTORE, false, 0, false },
	{ "kill, kill the recovery, then undo", RESTORE, true, 0, false },
	{ "kill, kill the recovery, then undo: revert", REVERT, true, 0, false },
};
static const struct series error_series[] = {
	{ "EIO once", RESTORE, false, EIO, false },
	{ "ENOSPC once", RESTORE, false, ENOSPC, false },
	{ "EIO from then on", RESTORE, false, EIO, true },
	{ "ENOSPC from then on", RESTORE, false, ENOSPC, true },
	{ "EIO once: undo", UNDO, false, EIO, false },
	{ "EIO from then on: backup file", BACKUP, false, EIO, true },
	{ "ENOSPC from then on: revert", REVERT, false, ENOSPC, true },
};

static void add_soak(void)
{
	static enum scenario scenarios[] = { RESTORE, BACKUP, UNDO, REVERT };
	printf("# seed %" PRIu64 "\n", random_state);
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		char *name = NULL;
		if (asprintf(&name, "double kills: %s", scenario_names[i]) < 0)
			abort();
		lg_test_add(name, test_soak, &scenarios[i]);
	}
}

int main(int argc, char **argv)
{
	points_max = 14;
	random_state = (uint64_t)time(NULL);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--all") == 0)
			points_max = 0;
		else if (strcmp(argv[i], "--points") == 0 && i + 1 < argc)
			points_max = strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--soak") == 0 && i + 1 < argc)
			soak_count = strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			random_state = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			cmocka_set_test_filter(argv[++i]);
		else
			return 2;
	}
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 2;
	snprintf(live, sizeof live, "%s/live", lg_test_dir());
	snprintf(seed_dir, sizeof seed_dir, "%s/seed", lg_test_dir());
	snprintf(backup, sizeof backup, "%s/backup.json", lg_test_dir());
	world_at(&world, live);
	lg_clock_sim_advance(&world.sim, INT64_C(3600000000000)); /* the children work after the seed */
	if (soak_count) {
		add_soak();
		return lg_test_run("rollback");
	}
#define ROWS(rows) rows, sizeof rows / sizeof *(rows), sizeof *(rows), offsetof(struct series, name)
	lg_test_rows("rollback", test_kill, ROWS(kill_series));
	lg_test_rows("rollback", test_kill_recovery, ROWS(recovery_series));
	lg_test_rows("rollback", test_errors, ROWS(error_series));
	return lg_test_run("rollback");
}
