/* Rollbacks that reach services: a file each, a check, a reload. */
#include "support/world.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <jansson.h>
#include <sys/wait.h>
#include <unistd.h>

static struct world world;
static int worlds;
static struct lg_rollback_outcome outcome;
static struct lg_error err;

/* r1 web/a=1 api/b=1; r2 web/a=2 api/b=2; all delivered */
static void new_world(void)
{
	char name[32];
	snprintf(name, sizeof name, "services%d", worlds++);
	world_make(&world, lg_test_path(name), true);
	world_set(&world, "web/a", "1", "api/b", "1");
	world_set(&world, "web/a", "2", "api/b", "2");
	err = (struct lg_error)LG_ERROR_INIT;
}

static void assert_file(const char *name, const char *want)
{
	lg_autofree char *text = world_file(&world, name);
	assert_string_equal(text, want);
}

#define WEB(n) "{\n  \"a\": " #n "\n}\n"
#define API(n) "{\n  \"b\": " #n "\n}\n"

/* Everything as after r1, or as after r2: state, files, what the services have read, control. */
static void assert_gone_back(void)
{
	world_assert_value(&world, "web/a", "1");
	world_assert_value(&world, "api/b", "1");
	assert_file("web.json", WEB(1));
	assert_file("api.json", API(1));
	assert_file("web.loaded", WEB(1));
	assert_file("api.loaded", API(1));
	assert_int_equal(world_bad_marks(&world), 1);
	assert_int_equal(lg_config_controls(world.config)->hold_count, 1);
}

static void assert_as_before(void)
{
	world_assert_value(&world, "web/a", "2");
	world_assert_value(&world, "api/b", "2");
	assert_file("web.json", WEB(2));
	assert_file("api.json", API(2));
	assert_file("web.loaded", WEB(2));
	assert_file("api.loaded", API(2));
	assert_int_equal(world_bad_marks(&world), 0);
	assert_int_equal(lg_config_controls(world.config)->hold_count, 0);
	lg_assert_ok(world_try_set(&world, "web/probe", "1", false, &err), &err);
}

static int roll_back(bool emergency)
{
	return world_roll_back(&world, "r1", "", emergency, &outcome, &err);
}

static void test_done(void **state)
{
	(void)state;
	new_world();
	lg_assert_ok(roll_back(false), &err);
	assert_string_equal(outcome.outcome, "done");
	assert_true(outcome.delivered_ns > 0);
	assert_gone_back();
	world_close(&world);
}

/* A service that the scope does not touch is left alone. */
static void test_other_service_untouched(void **state)
{
	(void)state;
	new_world();
	size_t reloads = world_lines(&world, "api.reloads");
	size_t checks = world_lines(&world, "api.checks");
	lg_assert_ok(world_roll_back(&world, "r1", "web/", false, &outcome, &err), &err);
	assert_file("web.loaded", WEB(1));
	assert_file("api.loaded", API(2));
	assert_int_equal(world_lines(&world, "api.reloads"), reloads);
	assert_int_equal(world_lines(&world, "api.checks"), checks);
	world_close(&world);
}

struct told {
	char text[1024];
	int64_t last_ns;
};

static void tell(void *arg, const struct lg_rollback_event *event)
{
	struct told *told = arg;
	size_t len = strlen(told->text);
	snprintf(told->text + len, sizeof told->text - len, "%s%s%s %s, ", event->step,
		*event->detail ? " " : "", event->detail, event->what);
	assert_true(event->boottime_ns >= told->last_ns);
	told->last_ns = event->boottime_ns;
}

static void test_progress(void **state)
{
	(void)state;
	struct told told = { 0 };
	new_world();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "");
	lg_assert_ok(
		lg_rollback_execute(world.config, world.delivery, plan, tell, &told, &outcome, &err), &err);
	assert_string_equal(told.text,
		"preflight begun, preflight done, record begun, record done, deliver web begun, deliver web "
		"done, "
		"deliver api begun, deliver api done, validate begun, validate done, ");
	world_close(&world);
}

/* --- refused before anything is touched ------------------------------------------------------------------------------- */

static const struct refusal_row {
	const char *name;
	const char *check;
	int code;
} refusal_rows[] = {
	{ "check refuses", "refuse", LG_EREFUSED },
	{ "check hangs", "hang", LG_ETIMEOUT },
};

static void test_refusal(void **state)
{
	const struct refusal_row *row = *state;
	for (int emergency = 0; emergency < 2; emergency++) {
		new_world();
		size_t web = world_lines(&world, "web.reloads"), api = world_lines(&world, "api.reloads");
		world_switch(&world, "api.check", row->check);
		lg_assert_code(roll_back(emergency), row->code, &err);
		assert_non_null(strstr(err.message, "nothing was touched"));
		assert_string_equal(outcome.outcome, "undone");
		assert_int_equal(world_lines(&world, "web.reloads"), web);
		assert_int_equal(world_lines(&world, "api.reloads"), api);
		assert_int_equal(world_unfinished(&world), 0);
		world_switch(&world, "api.check", NULL);
		assert_as_before();
		world_close(&world);
	}
}

/* --- undone ----------------------------------------------------------------------------------------------------------- */

static const struct undone_row {
	const char *name;
	const char *file, *text; /* the switch */
	const char *why;
} undone_rows[] = {
	{ "the first service cannot be told", "web.reload", "fail-on 1", "could not be told" },
	{ "the second service cannot be told", "api.reload", "fail-on 1", "could not be told" },
	{ "it cannot be told once", "api.reload", "fail-once", "could not be told" },
};

static void test_undone(void **state)
{
	const struct undone_row *row = *state;
	new_world();
	world_switch(&world, row->file, row->text);
	lg_assert_code(roll_back(false), LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "undone");
	assert_non_null(strstr(err.message, row->why));
	assert_non_null(strstr(err.message, "was undone"));
	assert_int_equal(world_unfinished(&world), 0);
	assert_as_before();
	world_switch(&world, row->file, NULL);
	lg_assert_ok(roll_back(false), &err);
	assert_gone_back();
	world_close(&world);
}

/* Even then state and file are as before, and the service, which never heard of anything else, too. */
static void test_undone_though_the_service_is_deaf(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "api.reload", "fail");
	lg_assert_code(roll_back(false), LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "undone");
	assert_int_equal(world_unfinished(&world), 0);
	assert_as_before();
	json_t *show = NULL;
	lg_assert_ok(lg_rollback_show(world.state_dir, outcome.id, &show, &err), &err);
	assert_non_null(strstr(json_string_value(json_object_get(json_object_get(show, "report"), "warning")),
		"could not be told"));
	json_decref(show);
	/* and it is told as soon as it listens */
	size_t reloads = world_lines(&world, "api.reloads");
	world_switch(&world, "api.reload", NULL);
	lg_assert_ok(lg_delivery_run(world.delivery, "alice", NULL, NULL, &err), &err);
	assert_int_equal(world_lines(&world, "api.reloads"), reloads + 1);
	world_close(&world);
}

/* What was live comes back also when the check has turned against it meanwhile. */
static void refuse_from_now_on(void *arg, const struct lg_rollback_event *event)
{
	(void)arg;
	if (strcmp(event->step, "validate") == 0 && strcmp(event->what, "begun") == 0) {
		world_switch(&world, "web.check", "refuse");
		world_switch(&world, "web.stopped", "");
	}
}

static void test_undone_though_the_check_refuses(void **state)
{
	(void)state;
	new_world();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "");
	lg_assert_code(lg_rollback_execute(
			       world.config, world.delivery, plan, refuse_from_now_on, NULL, &outcome, &err),
		LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "undone");
	world_assert_value(&world, "web/a", "2");
	assert_file("web.json", WEB(2));
	world_close(&world);
}

static void test_validation_fails(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "web.stopped", "");
	lg_assert_code(roll_back(false), LG_EFAILED, &err);
	assert_non_null(strstr(err.message, "validation failed: service of 'web': stopped"));
	assert_string_equal(outcome.outcome, "undone");
	assert_int_equal(outcome.hold, 0);
	assert_int_equal(world_unfinished(&world), 0);
	world_switch(&world, "web.stopped", NULL);
	assert_as_before();
	world_close(&world);
}

/* What died of the file that is taken back is started with the former one; what nobody needs is left alone. */
static void test_dead_service_is_started(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "web.stopped", "");
	world_switch(&world, "web.start", "");
	world_switch(&world, "api.stopped", "");
	world_switch(&world, "api.start", "");
	lg_assert_ok(roll_back(false), &err);
	assert_string_equal(outcome.outcome, "done");
	assert_file("web.loaded", WEB(1));
	assert_int_equal(world_lines(&world, "web.starts"), 1);
	assert_int_equal(world_lines(&world, "api.starts"), 0);
	world_close(&world);
}

/* A service that is not critical may be down. */
static void test_validation_of_what_matters(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "api.stopped", "");
	lg_assert_ok(roll_back(false), &err);
	assert_string_equal(outcome.outcome, "done");
	world_close(&world);
}

static void test_emergency_stays(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "web.stopped", "");
	lg_assert_code(roll_back(true), LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "unproven");
	assert_true(outcome.hold > 0);
	assert_non_null(strstr(err.message, "unproven"));
	assert_int_equal(world_unfinished(&world), 0);
	world_assert_value(&world, "web/a", "1");
	assert_file("web.json", WEB(1));
	assert_file("api.loaded", API(1));
	assert_non_null(world_hold(&world, outcome.id));
	/* a person can undo it */
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	const struct lg_author author = { "alice", "other: back", false };
	world_switch(&world, "web.stopped", NULL);
	lg_assert_ok(
		lg_rollback_undo_plan(world.config, world.delivery, outcome.id, &author, &plan, NULL, &err),
		&err);
	lg_assert_ok(lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err), &err);
	assert_file("web.json", WEB(2));
	assert_int_equal(world_bad_marks(&world), 0);
	world_close(&world);
}

/* In an emergency one service that cannot be told does not keep the next one from its file. */
static void test_emergency_serves_the_others(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "web.reload", "fail");
	lg_assert_code(roll_back(true), LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "unproven");
	assert_file("web.json", WEB(1));
	assert_file("api.loaded", API(1));
	world_assert_value(&world, "api/b", "1");
	world_close(&world);
}

/* The undo of a rollback that fails leaves the rollback's mark and hold as they were. */
static void test_undo_that_fails(void **state)
{
	(void)state;
	new_world();
	lg_assert_ok(roll_back(false), &err);
	char id[LG_ROLLBACK_ID_SIZE];
	snprintf(id, sizeof id, "%s", outcome.id);
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	const struct lg_author author = { "alice", "other: back", false };
	lg_assert_ok(lg_rollback_undo_plan(world.config, world.delivery, id, &author, &plan, NULL, &err), &err);
	world_switch(&world, "api.reload", "fail-on 2");
	lg_assert_code(lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err),
		LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "undone");
	world_switch(&world, "api.reload", NULL);
	assert_gone_back();
	assert_non_null(world_hold(&world, id));
	lg_assert_code(world_try_set(&world, "web/a", "9", false, &err), LG_EHELD, &err);
	world_close(&world);
}

/* --- beside others ---------------------------------------------------------------------------------------------------- */

/* Keys of the same file outside of the scope change between plan and execution. */
static void test_file_shared_with_other_keys(void **state)
{
	const char *fails = *state;
	new_world();
	world_set(&world, "web/other", "1");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "web/a");
	world_set(&world, "web/other", "2");
	if (fails)
		world_switch(&world, "web.reload", "fail-once");
	int rc = lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err);
	lg_assert_code(rc, fails ? LG_EFAILED : 0, &err);
	assert_string_equal(outcome.outcome, fails ? "undone" : "done");
	world_assert_value(&world, "web/other", "2");
	const char *want =
		fails ? "{\n  \"a\": 2,\n  \"other\": 2\n}\n" : "{\n  \"a\": 1,\n  \"other\": 2\n}\n";
	assert_file("web.json", want);
	assert_file("web.loaded", want);
	world_close(&world);
}

/* --- recovery --------------------------------------------------------------------------------------------------------- */

struct cut {
	const char *step, *detail, *what;
	int countdown; /* of the events that fit */
};

static void cut_at(void *arg, const struct lg_rollback_event *event)
{
	struct cut *cut = arg;
	if (strcmp(event->step, cut->step) == 0 && strcmp(event->detail, cut->detail) == 0 &&
		strcmp(event->what, cut->what) == 0)
		_exit(9);
}

static void cut_off(const char *target, const char *step, const char *detail, const char *what)
{
	world_close(&world);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct cut cut = { step, detail, what, 0 };
		world_open(&world);
		struct lg_rollback_plan *plan = world_plan(&world, target, "");
		lg_rollback_execute(world.config, world.delivery, plan, cut_at, &cut, NULL, &err);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	world_open(&world);
	assert_int_equal(world_unfinished(&world), 1);
}

static int recover(bool undo)
{
	outcome = (struct lg_rollback_outcome){ 0 };
	return lg_rollback_recover(world.config, world.delivery, NULL, undo, NULL, NULL, &outcome, &err);
}

static const struct cut_row {
	const char *name;
	const char *step, *detail, *what;
	const char *resumed; /* outcome of resume */
} cut_rows[] = {
	{ "preflight", "preflight", "", "begun", "undone" },
	{ "preflight done", "preflight", "", "done", "undone" },
	{ "record begun", "record", "", "begun", "undone" },
	{ "record done", "record", "", "done", "done" },
	{ "web begun", "deliver", "web", "begun", "done" },
	{ "web done", "deliver", "web", "done", "done" },
	{ "api begun", "deliver", "api", "begun", "done" },
	{ "api done", "deliver", "api", "done", "done" },
	{ "validate begun", "validate", "", "begun", "done" },
	{ "validate done", "validate", "", "done", "done" },
};

static void test_cut(void **state)
{
	const struct cut_row *row = *state;
	for (int undo = 0; undo < 2; undo++) {
		new_world();
		cut_off("r1", row->step, row->detail, row->what);
		lg_assert_ok(recover(undo), &err);
		const char *want = undo ? "undone" : row->resumed;
		assert_string_equal(outcome.outcome, want);
		assert_int_equal(world_unfinished(&world), 0);
		if (strcmp(want, "done") == 0)
			assert_gone_back();
		else
			assert_as_before();
		world_close(&world);
	}
}

static void test_foreign_file(void **state)
{
	(void)state;
	for (int undo = 0; undo < 2; undo++) {
		new_world();
		cut_off("r1", "deliver", "web", "done");
		world_switch(&world, "web.json", "{\"mended\": \"by hand\"}\n");
		for (int again = 0; again < 2; again++) {
			lg_assert_code(recover(undo), LG_ECONFLICT, &err);
			assert_non_null(strstr(err.message, "'web'"));
			assert_non_null(strstr(err.message, "by hand"));
			assert_file("web.json", "{\"mended\": \"by hand\"}\n");
			world_assert_value(&world, "web/a", "1");
			assert_file("api.json", API(2));
			assert_int_equal(world_unfinished(&world), 1);
		}
		/* either side will do */
		world_switch(&world, "web.json", undo ? WEB(1) : WEB(2));
		lg_assert_ok(recover(undo), &err);
		if (undo)
			assert_as_before();
		else
			assert_gone_back();
		world_close(&world);
	}
}

/* A foreign hand in one file keeps the undo from the others too: never half. */
static void meddle(void *arg, const struct lg_rollback_event *event)
{
	(void)arg;
	if (strcmp(event->step, "validate") == 0 && strcmp(event->what, "begun") == 0)
		world_switch(&world, "web.json", "{\"mended\": \"by hand\"}\n");
}

static void test_stuck(void **state)
{
	(void)state;
	for (int undo = 0; undo < 2; undo++) {
		new_world();
		lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "");
		lg_assert_code(
			lg_rollback_execute(world.config, world.delivery, plan, meddle, NULL, &outcome, &err),
			LG_EFAILED, &err);
		assert_string_equal(outcome.outcome, "stuck");
		assert_non_null(strstr(err.message, "stuck"));
		assert_non_null(strstr(err.message, "lastgood rollback resume"));
		assert_file("web.json", "{\"mended\": \"by hand\"}\n");
		assert_file("api.json", API(1));
		world_assert_value(&world, "web/a", "1");
		assert_int_equal(world_unfinished(&world), 1);
		assert_int_equal(recover(undo) < 0, 1);
		assert_file("web.json", "{\"mended\": \"by hand\"}\n");
		assert_file("api.json", API(1));
		world_switch(&world, "web.json", WEB(2));
		lg_assert_ok(recover(undo), &err);
		assert_string_equal(outcome.outcome, "undone");
		assert_as_before();
		world_close(&world);
	}
}

/* An adapter that was never delivered to has no file; that is nobody's work. */
static void test_absent_file_is_nobodys(void **state)
{
	(void)state;
	new_world();
	cut_off("r1", "record", "", "done");
	world_switch(&world, "web.json", NULL);
	lg_assert_ok(recover(false), &err);
	assert_gone_back();
	world_close(&world);
}

static void test_service_left_the_topology(void **state)
{
	(void)state;
	char path[512];
	new_world();
	cut_off("r1", "record", "", "done");
	world_close(&world);
	snprintf(path, sizeof path, "%s/lastgood.yaml", world.dir);
	lg_autofree char *yaml = lg_test_read(path, NULL);
	assert_int_equal(unlink(path), 0);
	world_open(&world);
	lg_assert_code(recover(false), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "lastgood.yaml"));
	assert_int_equal(world_unfinished(&world), 1);
	world_close(&world);
	lg_test_write(path, yaml, strlen(yaml));
	world_open(&world);
	lg_assert_ok(recover(false), &err);
	assert_gone_back();
	world_close(&world);
}

static void test_stale_topology(void **state)
{
	(void)state;
	char path[512];
	new_world();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "");
	world_close(&world);
	snprintf(path, sizeof path, "%s/lastgood.yaml", world.dir);
	lg_autofree char *yaml = lg_test_read(path, NULL);
	lg_autofree char *longer = NULL;
	assert_true(asprintf(&longer, "%s# changed\n", yaml) > 0);
	lg_test_write(path, longer, strlen(longer));
	world_open(&world);
	lg_assert_code(lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err),
		LG_ECONFLICT, &err);
	assert_non_null(strstr(err.message, "lastgood.yaml has changed"));
	assert_as_before();
	world_close(&world);
}

/* --- validation on demand --------------------------------------------------------------------------------------------- */

static const json_t *find_check(const json_t *report, const char *check, const char *subject)
{
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(report, "checks"), i, one)
	{
		const char *of = json_string_value(json_object_get(one, "subject"));
		if (strcmp(json_string_value(json_object_get(one, "check")), check) == 0 && strstr(of, subject))
			return one;
	}
	fail_msg("no check '%s' of '%s'", check, subject);
	return NULL;
}

static void assert_check(const json_t *report, const char *check, const char *subject, bool ok)
{
	const json_t *one = find_check(report, check, subject);
	assert_int_equal(json_is_true(json_object_get(one, "ok")), ok);
	assert_true(*json_string_value(json_object_get(one, "evidence")) != '\0');
}

static void test_validate(void **state)
{
	(void)state;
	bool ok = false;
	json_t *report = NULL;
	uint8_t wrong[LG_HASH_SIZE] = { 1 };
	const struct lg_scope all = LG_SCOPE_ALL;
	struct lg_validate_options options = { .scope = &all };
	new_world();
	lg_assert_ok(lg_validate(world.config, world.delivery, &options, &report, &ok, &err), &err);
	assert_true(ok);
	assert_check(report, "root hash", "r4", true);
	assert_check(report, "file", "web.json", true);
	assert_check(report, "service", "api", true);
	json_decref(report);

	world_switch(&world, "api.json", "{}");
	world_switch(&world, "web.stopped", "");
	options.expect_scope_hash = wrong;
	lg_assert_ok(lg_validate(world.config, world.delivery, &options, &report, &ok, &err), &err);
	assert_false(ok);
	assert_check(report, "root hash", "r4", true);
	assert_check(report, "target hash", "everything", false);
	assert_check(report, "file", "web.json", true);
	assert_check(report, "file", "api.json", false);
	assert_check(report, "service", "web", false);
	json_decref(report);

	/* only what the scope touches is looked at */
	lg_cleanup(lg_scope_clear) struct lg_scope web;
	world_scope("web/", &web);
	world_switch(&world, "web.stopped", NULL);
	const struct lg_validate_options narrow = { .scope = &web };
	lg_assert_ok(lg_validate(world.config, world.delivery, &narrow, &report, &ok, &err), &err);
	assert_true(ok);
	json_decref(report);
	world_close(&world);
}

int main(void)
{
#define ROWS(rows) rows, sizeof rows / sizeof *(rows), sizeof *(rows), 0
	lg_test_add("done", test_done, NULL);
	lg_test_add("other service untouched", test_other_service_untouched, NULL);
	lg_test_add("progress", test_progress, NULL);
	lg_test_rows("refused", test_refusal, ROWS(refusal_rows));
	lg_test_rows("undone", test_undone, ROWS(undone_rows));
	lg_test_add("undone though the service is deaf", test_undone_though_the_service_is_deaf, NULL);
	lg_test_add("undone though the check refuses", test_undone_though_the_check_refuses, NULL);
	lg_test_add("validation fails", test_validation_fails, NULL);
	lg_test_add("dead service is started", test_dead_service_is_started, NULL);
	lg_test_add("validation of what matters", test_validation_of_what_matters, NULL);
	lg_test_add("emergency stays", test_emergency_stays, NULL);
	lg_test_add("emergency serves the others", test_emergency_serves_the_others, NULL);
	lg_test_add("undo that fails", test_undo_that_fails, NULL);
	lg_test_add("file shared with other keys: done", test_file_shared_with_other_keys, NULL);
	lg_test_add("file shared with other keys: undone", test_file_shared_with_other_keys, (void *)"fails");
	lg_test_rows("cut off", test_cut, ROWS(cut_rows));
	lg_test_add("foreign file", test_foreign_file, NULL);
	lg_test_add("stuck", test_stuck, NULL);
	lg_test_add("absent file is nobody's", test_absent_file_is_nobodys, NULL);
	lg_test_add("service left the topology", test_service_left_the_topology, NULL);
	lg_test_add("stale topology", test_stale_topology, NULL);
	lg_test_add("validate", test_validate, NULL);
	return lg_test_run("services");
}
