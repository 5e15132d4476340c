#include "support/world.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <inttypes.h>
#include <jansson.h>
#include <sys/wait.h>
#include <unistd.h>

static struct world world;
static int worlds;

/* r1 web/a=1 api/b=1; r2 web/a=2 api/b=2 */
static void new_world(void)
{
	char name[32];
	snprintf(name, sizeof name, "execute%d", worlds++);
	world_make(&world, lg_test_path(name), false);
	world_set(&world, "web/a", "1", "api/b", "1");
	world_set(&world, "web/a", "2", "api/b", "2");
}

static void roll_back(const char *target, const char *scope, struct lg_rollback_outcome *ret_outcome)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(world_roll_back(&world, target, scope, false, ret_outcome, &err), &err);
	assert_string_equal(ret_outcome->outcome, "done");
}

static int undo(const char *id, struct lg_rollback_outcome *ret_outcome, struct lg_error *err)
{
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	const struct lg_author author = { "alice", "other: back", false };
	*ret_outcome = (struct lg_rollback_outcome){ 0 };
	int rc = lg_rollback_undo_plan(world.config, NULL, id, &author, &plan, NULL, err);
	return rc < 0 ? rc : lg_rollback_execute(world.config, NULL, plan, NULL, NULL, ret_outcome, err);
}

/* --- what it appends -------------------------------------------------------------------------------------------------- */

struct seen {
	char kinds[256];
	int64_t times[16];
	size_t count;
};

static int see_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct seen *seen = arg;
	(void)err;
	snprintf(seen->kinds + strlen(seen->kinds), sizeof seen->kinds - strlen(seen->kinds), "%s ",
		lg_kind_name(record->kind));
	seen->times[seen->count++ % 16] = record->time_us;
	return 0;
}

static void assert_records(uint64_t from, const char *want)
{
	struct lg_error err = LG_ERROR_INIT;
	struct seen seen = { 0 };
	const struct lg_log_query query = { .from = from };
	lg_assert_ok(lg_config_query(world.config, &query, see_record, &seen, &err), &err);
	assert_string_equal(seen.kinds, want);
}

static void test_one_append(void **state)
{
	(void)state;
	struct lg_rollback_outcome outcome;
	struct lg_error err = LG_ERROR_INIT;
	uint8_t left[LG_HASH_SIZE], target[LG_HASH_SIZE];
	const struct lg_scope all = LG_SCOPE_ALL;
	new_world();
	world_root(&world, left);
	lg_assert_ok(lg_config_root_at(world.config, 1, target, &err), &err);
	roll_back("r1", "", &outcome);
	assert_int_equal(outcome.revision, 3);
	assert_int_equal(outcome.hold, 5);
	assert_true(outcome.durable_ns > 0 && outcome.validated_ns >= outcome.durable_ns);
	assert_records(3, "restore mark hold rollback ");
	uint8_t root[LG_HASH_SIZE];
	world_root(&world, root);
	assert_memory_equal(root, target, LG_HASH_SIZE);
	assert_true(lg_config_is_quarantined(world.config, &all, left));
	assert_false(lg_config_is_quarantined(world.config, &all, target));
	assert_int_equal(world_hold(&world, outcome.id)->seq, 5);
	/* the hold keeps everybody else out until it is released */
	lg_assert_code(world_try_set(&world, "web/a", "9", false, &err), LG_EHELD, &err);
	assert_non_null(strstr(err.message, "h5"));
	lg_assert_code(world_try_set(&world, "web/a", "9", true, &err), LG_EHELD, &err);
	world_close(&world);
	world_open(&world);
	lg_assert_code(world_try_set(&world, "web/a", "9", false, &err), LG_EHELD, &err);
	world_close(&world);
}

static void test_hold_is_of_its_scope(void **state)
{
	(void)state;
	struct lg_rollback_outcome outcome;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	roll_back("r1", "web/", &outcome);
	lg_assert_code(world_try_set(&world, "web/a", "9", false, &err), LG_EHELD, &err);
	lg_assert_ok(world_try_set(&world, "api/b", "9", false, &err), &err);
	world_close(&world);
}

static void test_hold_blocks_no_person_but_what_is_automatic(void **state)
{
	(void)state;
	struct lg_rollback_outcome first, second;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	roll_back("r1", "", &first);
	lg_assert_code(world_roll_back(&world, "r2", "web/", true, &second, &err), LG_EHELD, &err);
	world_assert_value(&world, "web/a", "1");
	assert_int_equal(world_unfinished(&world), 0);
	roll_back("r2", "web/", &second);
	world_assert_value(&world, "web/a", "2");
	world_close(&world);
}

/* --- undo ------------------------------------------------------------------------------------------------------------- */

static void test_undo(void **state)
{
	(void)state;
	struct lg_rollback_outcome outcome, undone;
	struct lg_error err = LG_ERROR_INIT;
	uint8_t before[LG_HASH_SIZE], after[LG_HASH_SIZE];
	new_world();
	world_root(&world, before);
	roll_back("r1", "", &outcome);
	lg_assert_ok(undo(outcome.id, &undone, &err), &err);
	assert_string_equal(undone.outcome, "done");
	assert_int_equal(undone.hold, 0);
	assert_records(7, "restore mark release rollback ");
	world_root(&world, after);
	assert_memory_equal(before, after, LG_HASH_SIZE);
	assert_null(world_hold(&world, outcome.id));
	assert_null(world_hold(&world, undone.id));
	assert_int_equal(world_bad_marks(&world), 0);
	lg_assert_ok(world_try_set(&world, "web/a", "9", false, &err), &err);
	world_close(&world);
}

static void test_undo_gives_a_good_mark_back(void **state)
{
	(void)state;
	struct lg_rollback_outcome outcome, undone;
	struct lg_error err = LG_ERROR_INIT;
	uint8_t root[LG_HASH_SIZE];
	uint64_t good;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	const struct lg_scope all = LG_SCOPE_ALL;
	const struct lg_author author = { "alice", "fine", false };
	new_world();
	world_root(&world, root);
	lg_assert_ok(lg_control_mark(&body, "good", 2, &all, root, &err), &err);
	const struct lg_control mark = { LG_KIND_MARK, body.data, body.len };
	lg_assert_ok(lg_config_control(world.config, &author, &mark, 1, NULL, &err), &err);
	roll_back("r1", "", &outcome);
	lg_assert_code(
		lg_config_known_good(world.config, &all, 99, NULL, &good, NULL, &err), LG_ENOTFOUND, &err);
	lg_assert_ok(undo(outcome.id, &undone, &err), &err);
	lg_assert_ok(lg_config_known_good(world.config, &all, 99, NULL, &good, NULL, &err), &err);
	assert_int_equal(good, 2);
	world_close(&world);
}

/* The undo of an undo goes back again, and so quarantines and holds again; the next undo takes that back in turn. */
static void test_undo_of_an_undo(void **state)
{
	(void)state;
	struct lg_rollback_outcome a, b, c, d;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	roll_back("r1", "web/", &a);
	lg_assert_ok(undo(a.id, &b, &err), &err);
	lg_assert_ok(undo(b.id, &c, &err), &err);
	world_assert_value(&world, "web/a", "1");
	world_assert_value(&world, "api/b", "2");
	assert_non_null(world_hold(&world, c.id));
	assert_int_equal(c.hold, world_hold(&world, c.id)->seq);
	assert_int_equal(world_bad_marks(&world), 1);
	lg_assert_code(world_try_set(&world, "web/a", "9", false, &err), LG_EHELD, &err);
	lg_assert_ok(undo(c.id, &d, &err), &err);
	world_assert_value(&world, "web/a", "2");
	assert_null(world_hold(&world, c.id));
	assert_int_equal(world_bad_marks(&world), 0);
	world_close(&world);
}

static void test_undo_twice(void **state)
{
	(void)state;
	struct lg_rollback_outcome a, b;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	roll_back("r1", "", &a);
	lg_assert_ok(undo(a.id, &b, &err), &err);
	lg_assert_code(undo(a.id, &b, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "in force"));
	lg_assert_code(undo("20260101-000000-abcdef", &b, &err), LG_ENOTFOUND, &err);
	lg_assert_code(undo("../../etc", &b, &err), LG_EINVALID, &err);
	lg_assert_code(undo("", &b, &err), LG_EINVALID, &err);
	world_close(&world);
}

static void test_undo_with_nothing_left_but_its_hold(void **state)
{
	(void)state;
	struct lg_rollback_outcome a, b;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	roll_back("r1", "web/", &a);
	roll_back("r2", "", &b); /* a person's rollback over it: the same state as before, both holds stand */
	lg_assert_code(undo(a.id, &b, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "lastgood release h"));
	world_close(&world);
}

/* --- stale, busy ------------------------------------------------------------------------------------------------------ */

static void test_stale(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome = { 0 };
	new_world();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "web/");
	world_set(&world, "web/z", "1");
	lg_assert_code(
		lg_rollback_execute(world.config, NULL, plan, NULL, NULL, &outcome, &err), LG_ECONFLICT, &err);
	assert_non_null(strstr(err.message, "stale"));
	assert_non_null(strstr(err.message, "nothing was touched"));
	assert_string_equal(outcome.outcome, "undone");
	assert_records(4, "");
	assert_int_equal(world_unfinished(&world), 0);
	world_assert_value(&world, "web/a", "2");
	/* the same plan is not begun a second time */
	lg_assert_code(
		lg_rollback_execute(world.config, NULL, plan, NULL, NULL, &outcome, &err), LG_ECONFLICT, &err);
	json_t *list = NULL;
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	world_close(&world);
}

static void test_not_stale_by_changes_elsewhere(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, "r1", "web/");
	world_set(&world, "api/b", "3");
	lg_assert_ok(lg_rollback_execute(world.config, NULL, plan, NULL, NULL, NULL, &err), &err);
	world_assert_value(&world, "web/a", "1");
	world_assert_value(&world, "api/b", "3");
	world_close(&world);
}

static void test_another_runs(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	char path[512];
	new_world();
	snprintf(path, sizeof path, "%s/rollback.lock", world.state_dir);
	{
		lg_autoclose int fd = -1;
		lg_assert_ok(lg_lock_file(path, 0, &fd, &err), &err);
		lg_assert_code(world_roll_back(&world, "r1", "", false, NULL, &err), LG_EBUSY, &err);
		world_assert_value(&world, "web/a", "2");
		json_t *list = NULL;
		lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
		assert_int_equal(json_array_size(list), 0);
		json_decref(list);
	}
	lg_assert_ok(world_roll_back(&world, "r1", "", false, NULL, &err), &err);
	world_close(&world);
}

/* --- list, show ------------------------------------------------------------------------------------------------------- */

static void test_list_and_show(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome a, b;
	json_t *list = NULL;
	json_t *one = NULL;
	new_world();
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	roll_back("r1", "web/", &a);
	lg_assert_ok(undo(a.id, &b, &err), &err);
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	assert_int_equal(json_array_size(list), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(list, i), "state")), "done");
	json_decref(list);

	lg_assert_ok(lg_rollback_show(world.state_dir, a.id, &one, &err), &err);
	assert_string_equal(json_string_value(json_object_get(one, "id")), a.id);
	assert_string_equal(json_string_value(json_object_get(one, "state")), "done");
	assert_string_equal(json_string_value(json_object_get(one, "kind")), "config");
	const json_t *journal = json_object_get(one, "journal");
	assert_string_equal(json_string_value(json_array_get(journal, 0)), "planned 0");
	assert_string_equal(
		json_string_value(json_array_get(journal, json_array_size(journal) - 1)), "ended done");
	assert_true(json_is_true(
		json_object_get(json_object_get(json_object_get(one, "report"), "validation"), "ok")));
	json_decref(one);
	lg_assert_code(
		lg_rollback_show(world.state_dir, "20260101-000000-abcdef", &one, &err), LG_ENOTFOUND, &err);
	lg_assert_code(lg_rollback_show(world.state_dir, "../..", &one, &err), LG_EINVALID, &err);
	world_close(&world);
}

/* --- damage ----------------------------------------------------------------------------------------------------------- */

struct cut {
	const char *step, *what;
};

static void cut_at(void *arg, const struct lg_rollback_event *event)
{
	const struct cut *cut = arg;
	if (strcmp(event->step, cut->step) == 0 && strcmp(event->what, cut->what) == 0)
		_exit(9);
}

/* A rollback that was cut off when `step` was `what`, by a process of its own. Returns its id. */
static const char *cut_off(const char *target, const char *scope, const char *step, const char *what)
{
	static char id[LG_ROLLBACK_ID_SIZE];
	struct lg_error err = LG_ERROR_INIT;
	char **ids;
	size_t count;
	world_close(&world);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct cut cut = { step, what };
		world_open(&world);
		struct lg_rollback_plan *plan = world_plan(&world, target, scope);
		lg_rollback_execute(world.config, world.delivery, plan, cut_at, &cut, NULL, &err);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	world_open(&world);
	lg_assert_ok(lg_rollback_unfinished(world.state_dir, &ids, &count, &err), &err);
	assert_int_equal(count, 1);
	snprintf(id, sizeof id, "%s", ids[0]);
	lg_names_free(ids, count);
	return id;
}

static int recover(const char *id, bool back, struct lg_rollback_outcome *ret_outcome, struct lg_error *err)
{
	*ret_outcome = (struct lg_rollback_outcome){ 0 };
	return lg_rollback_recover(world.config, world.delivery, id, back, NULL, NULL, ret_outcome, err);
}

static void test_unfinished_keeps_persons_from_its_keys(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	new_world();
	const char *id = cut_off("r1", "web/", "record", "done");
	lg_assert_code(world_roll_back(&world, "r1", "", false, NULL, &err), LG_EBUSY, &err);
	assert_non_null(strstr(err.message, id));
	lg_assert_code(undo(id, &outcome, &err), LG_EBUSY, &err);
	lg_assert_ok(world_roll_back(&world, "r1", "api/", false, NULL, &err), &err);
	lg_assert_ok(recover(NULL, false, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
	assert_non_null(world_hold(&world, id));
	lg_assert_ok(world_roll_back(&world, "r2", "", false, NULL, &err), &err);
	/* once more is fine, and says how it ended */
	lg_assert_ok(recover(id, false, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
	world_close(&world);
}

/* Its hold was released and its keys changed before anybody came back to it. */
static void test_overtaken(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	const struct lg_author author = { "alice", "fine", false };
	new_world();
	const char *id = cut_off("r1", "web/", "record", "done");
	lg_assert_ok(lg_control_release(&body, world_hold(&world, id)->seq, &err), &err);
	const struct lg_control release = { LG_KIND_RELEASE, body.data, body.len };
	lg_assert_ok(lg_config_control(world.config, &author, &release, 1, NULL, &err), &err);
	world_set(&world, "web/a", "3");
	lg_assert_code(recover(id, *state != NULL, &outcome, &err), LG_EFAILED, &err);
	assert_string_equal(outcome.outcome, "unproven");
	world_assert_value(&world, "web/a", "3");
	assert_int_equal(world_unfinished(&world), 0);
	world_close(&world);
}

static void rollback_file(const char *id, const char *name, char ret_path[512])
{
	snprintf(ret_path, 512, "%s/rollbacks/%s/%s", world.state_dir, id, name);
}

static void test_plan_tampered(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	char path[512];
	new_world();
	const char *id = cut_off("r1", "web/", "record", "done");
	rollback_file(id, "plan.json", path);
	lg_autofree char *whole = lg_test_read(path, NULL);
	json_t *plan = json_loads(whole, 0, NULL);
	assert_non_null(plan);
	const char *name;
	json_t *value;
	void *next;
	size_t tried = 0;
	/* every member, left out and changed; and one too many */
	json_object_foreach_safe(plan, next, name, value)
	{
		for (int way = 0; way < 2; way++) {
			json_t *copy = json_deep_copy(plan);
			if (way == 0)
				json_object_del(copy, name);
			else
				json_object_set_new(copy, name,
					json_is_integer(value) ? json_integer(json_integer_value(value) + 1)
						: json_is_boolean(value) ? json_boolean(!json_is_true(value))
						: json_is_string(value)  ? json_string("0")
									 : json_array());
			lg_autofree char *text = json_dumps(copy, 0);
			json_decref(copy);
			lg_test_write(path, text, strlen(text));
			int rc = recover(id, false, &outcome, &err);
			if (rc != LG_ECORRUPT && !(rc == LG_ENEWER && strcmp(name, "format") == 0))
				fail_msg("'%s' %s: %s", name, way ? "changed" : "left out", lg_code_name(rc));
			tried++;
		}
	}
	assert_true(tried > 40);
	json_object_set_new(plan, "more", json_true());
	lg_autofree char *more = json_dumps(plan, 0);
	lg_test_write(path, more, strlen(more));
	lg_assert_code(recover(id, false, &outcome, &err), LG_ECORRUPT, &err);
	json_decref(plan);
	lg_test_write(path, whole, strlen(whole) / 2);
	lg_assert_code(recover(id, false, &outcome, &err), LG_ECORRUPT, &err);
	lg_test_write(path, "[]", 2);
	lg_assert_code(recover(id, false, &outcome, &err), LG_ECORRUPT, &err);
	json_t *list = NULL;
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "state")), "unreadable");
	json_decref(list);
	/* none of this has touched anything */
	lg_test_write(path, whole, strlen(whole));
	lg_assert_ok(recover(id, false, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
	world_close(&world);
}

/* The last line ends at every byte: what is left of it counts for nothing, and the rollback is finished. */
static void test_journal_torn(void **state)
{
	const struct cut *cut = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	char path[512];
	size_t len;
	new_world();
	char id[LG_ROLLBACK_ID_SIZE];
	snprintf(id, sizeof id, "%s", cut_off("r1", "web/", cut->step, cut->what));
	rollback_file(id, "journal", path);
	lg_autofree char *whole = lg_test_read(path, &len);
	size_t start = len - 1;
	while (start > 0 && whole[start - 1] != '\n')
		start--;
	world_close(&world);
	for (size_t at = start; at <= len; at++) {
		char copy[512], from[1100];
		snprintf(copy, sizeof copy, "%s.%zu", world.dir, at);
		snprintf(from, sizeof from, "cp -a %s %s", world.dir, copy);
		assert_int_equal(system(from), 0);
		struct world other = world;
		snprintf(other.dir, sizeof other.dir, "%.390s", copy);
		snprintf(other.state_dir, sizeof other.state_dir, "%.390s/state", copy);
		snprintf(path, sizeof path, "%.400s/rollbacks/%s/journal", other.state_dir, id);
		lg_test_write(path, whole, at);
		world_open(&other);
		outcome = (struct lg_rollback_outcome){ 0 };
		lg_assert_ok(
			lg_rollback_recover(other.config, NULL, id, false, NULL, NULL, &outcome, &err), &err);
		assert_string_equal(outcome.outcome, "done");
		world_assert_value(&other, "web/a", "1");
		assert_int_equal(world_unfinished(&other), 0);
		world_close(&other);
	}
}

static void test_journal_damaged(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	char path[512];
	size_t len;
	new_world();
	const char *id = cut_off("r1", "web/", "record", "done");
	rollback_file(id, "journal", path);
	lg_autofree char *whole = lg_test_read(path, &len);
	whole[20] ^= 1;
	lg_test_write(path, whole, len);
	for (int back = 0; back < 2; back++) {
		lg_assert_code(recover(id, back, &outcome, &err), LG_ECORRUPT, &err);
		assert_non_null(strstr(err.message, "line 1"));
	}
	assert_int_equal(world_unfinished(&world), 1);
	world_assert_value(&world, "web/a", "1");
	/* whole lines that say what no rollback says */
	static const char *const lines[] = { "danced 1", "begun", "begun 1x", "begun -1", "begun 99",
		"begun 0" };
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct lg_line_log *journal = NULL;
		assert_int_equal(unlink(path), 0);
		lg_assert_ok(lg_line_log_open(path, true, &journal, &err), &err);
		lg_assert_ok(lg_line_log_append(journal, lines[i], &err), &err);
		lg_line_log_close(journal);
		lg_assert_code(recover(id, false, &outcome, &err), LG_ECORRUPT, &err);
	}
	/* a journal that is gone: the log knows */
	assert_int_equal(unlink(path), 0);
	lg_assert_ok(recover(id, false, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
	world_close(&world);
}

/* --- documentation ---------------------------------------------------------------------------------------------------- */

static void test_docs(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	const char *path = getenv("LG_ROLLBACK_STATES");
	lg_assert_ok(lg_rollback_states_markdown(&text, &err), &err);
	assert_non_null(path);
	lg_autofree char *docs = lg_test_read(path, NULL);
	if (getenv("LG_ROLLBACK_STATES_WRITE")) /* how the file is made */
		lg_test_write(path, text.data, text.len);
	else
		assert_string_equal(docs ? docs : "", lg_buf_str(&text));
}

int main(void)
{
	static struct cut torn[] = { { "record", "begun" }, { "record", "done" }, { "validate", "begun" } };
	lg_test_add("record, mark and hold in one append", test_one_append, NULL);
	lg_test_add("hold is of its scope", test_hold_is_of_its_scope, NULL);
	lg_test_add("hold blocks no person, but what is automatic",
		test_hold_blocks_no_person_but_what_is_automatic, NULL);
	lg_test_add("undo", test_undo, NULL);
	lg_test_add("undo gives a good mark back", test_undo_gives_a_good_mark_back, NULL);
	lg_test_add("undo of an undo", test_undo_of_an_undo, NULL);
	lg_test_add("undo twice", test_undo_twice, NULL);
	lg_test_add("undo with nothing left but its hold", test_undo_with_nothing_left_but_its_hold, NULL);
	lg_test_add("stale", test_stale, NULL);
	lg_test_add("not stale by changes elsewhere", test_not_stale_by_changes_elsewhere, NULL);
	lg_test_add("another runs", test_another_runs, NULL);
	lg_test_add("list and show", test_list_and_show, NULL);
	lg_test_add(
		"unfinished keeps persons from its keys", test_unfinished_keeps_persons_from_its_keys, NULL);
	lg_test_add("overtaken: resume", test_overtaken, NULL);
	lg_test_add("overtaken: undo", test_overtaken, (void *)torn);
	lg_test_add("plan tampered", test_plan_tampered, NULL);
	lg_test_add("journal torn: record done", test_journal_torn, &torn[1]);
	lg_test_add("journal torn: validate begun", test_journal_torn, &torn[2]);
	lg_test_add("journal damaged", test_journal_damaged, NULL);
	lg_test_add("docs/rollback-states.md", test_docs, NULL);
	return lg_test_run("execute");
}
