/* The power fails during a rollback: of log, journal and delivered files some is on disk and some is not.  The host boots, its
 * services read their files, and `resume` (with odd seeds, too, after a second power failure) leads wholly before or wholly after; a
 * rollback that was done stays done. */
#include "crash/power.h"
#include "support/world.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <jansson.h>
#include <unistd.h>

static char root[300];
static struct world world;

struct side {
	uint8_t root[LG_HASH_SIZE];
	size_t holds, bad;
};

/* What the children tell each other. */
static struct story {
	struct side before, after;
	size_t begun_at, done_at; /* SIZE_MAX: never */
} * story;

enum scenario { RESTORE, BACKUP, UNDO };

static struct side side_of_world(void)
{
	struct side side = { .holds = lg_config_controls(world.config)->hold_count,
		.bad = world_bad_marks(&world) };
	world_root(&world, side.root);
	return side;
}

static bool is_side(const struct side *found, const struct side *side)
{
	return memcmp(found->root, side->root, LG_HASH_SIZE) == 0 && found->holds == side->holds &&
		found->bad == side->bad;
}

/* --- work ------------------------------------------------------------------------------------------------------------- */

static const char *backup(void)
{
	static char path[400];
	snprintf(path, sizeof path, "%s/backup.json", root);
	return path;
}

static struct lg_rollback_plan *plan_for(enum scenario scenario)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_plan *plan = NULL;
	json_t *list = NULL;
	const struct lg_author author = { "alice", "other: back", false };
	if (scenario != UNDO)
		return world_plan(&world, scenario == RESTORE ? "r1" : backup(), "");
	lg_assert_ok(lg_rollback_list(world.state_dir, &list, &err), &err);
	const char *id = json_string_value(json_object_get(json_array_get(list, 0), "id"));
	lg_assert_ok(lg_rollback_undo_plan(world.config, world.delivery, id, &author, &plan, NULL, &err), &err);
	json_decref(list);
	return plan;
}

static void before(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	static const char text[] =
		"{\"configurations\":{\"web/a\":{\"value\":1},\"api/b\":{\"value\":1},\"x\":{\"value\":1}}}";
	*story = (struct story){ .done_at = SIZE_MAX };
	world_make(&world, root, true);
	lg_test_write(backup(), text, strlen(text));
	world_set(&world, "web/a", "1", "api/b", "1", "x", "1");
	world_set(&world, "web/a", "2", "api/b", "2", "x", "2");
	if (*(enum scenario *)arg == UNDO)
		lg_assert_ok(world_roll_back(&world, "r1", "", false, NULL, &err), &err);
	story->before = side_of_world();
	world_close(&world);
}

static void open_world(void)
{
	world_at(&world, root);
	lg_clock_sim_advance(&world.sim, INT64_C(3600000000000));
	world_open(&world);
}

static void work(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome = { 0 };
	open_world();
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = plan_for(*(enum scenario *)arg);
	story->begun_at = power_now();
	lg_assert_ok(lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
	story->done_at = power_now();
	story->after = side_of_world();
	assert_false(is_side(&story->after, &story->before));
	world_close(&world);
}

static void resume(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome = { 0 };
	open_world();
	lg_assert_ok(lg_rollback_recover(world.config, world.delivery, NULL, false, NULL, NULL, &outcome, &err),
		&err);
	assert_int_equal(world_unfinished(&world), 0);
}

/* By the process that follows a killed one. */
static void work_on(void *arg)
{
	(void)arg;
	story->done_at = SIZE_MAX;
	resume();
	struct side now = side_of_world();
	if (!is_side(&now, &story->before)) {
		story->done_at = power_now();
		story->after = now;
	}
	world_close(&world);
}

/* --- looking ---------------------------------------------------------------------------------------------------------- */

static const char *const names[][2] = { { "web.json", "web.loaded" }, { "api.json", "api.loaded" } };

/* The services start and read what they find. */
static void boot(void)
{
	world_at(&world, root);
	for (size_t i = 0; i < 2; i++) {
		lg_autofree char *file = world_file(&world, names[i][0]);
		world_switch(&world, names[i][1], file);
	}
}

static void assert_delivered(void)
{
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
		assert_string_equal(file, loaded);
	}
	lg_snapshot_clear(&now);
}

static void assert_sound(void)
{
	char url[512];
	bool ok = false;
	json_t *report = NULL;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	lg_assert_ok(lg_validate(world.config, world.delivery, &(struct lg_validate_options){ 0 }, &report, &ok,
			     &err),
		&err);
	json_decref(report);
	assert_true(ok);
	snprintf(url, sizeof url, "sqlite:%s/log.db", world.state_dir);
	lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ .readonly = true }, &log, &err), &err);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_log_close(log);
}

static void assert_no_litter(void)
{
	char **found;
	size_t count;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_dir_list(root, &found, &count, &err), &err);
	for (size_t i = 0; i < count; i++)
		if (found[i][0] == '.')
			fail_msg("'%s' is left behind", found[i]);
	lg_names_free(found, count);
}

/* The resumption is cut, too, at any of its operations. */
static void resume_and_cut(void)
{
	struct disk *again = disk_new(root);
	disk_record(again);
	resume();
	world_close(&world);
	disk_stop(again);
	const struct disk_cut cut = { .at = power_seed() * 7919 % (disk_count(again) + 1),
		.seed = power_seed() };
	disk_lay(again, &cut, root);
	disk_free(again);
	boot();
}

static void look(void *arg, size_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	enum scenario scenario = *(enum scenario *)arg;
	boot();
	if (power_seed() % 2)
		resume_and_cut();
	resume();
	struct side now = side_of_world();
	bool after = is_side(&now, &story->after);
	if (!after && !is_side(&now, &story->before))
		fail_msg("neither before nor after");
	if (story->done_at <= at && !after)
		fail_msg("the rollback was done, and is not");
	if (story->begun_at >= at && after)
		fail_msg("the rollback had not begun");
	assert_delivered();
	assert_sound();
	const char *back = (scenario == UNDO) == after ? "r1" : "r4";
	lg_assert_ok(world_roll_back(&world, back, "", false, NULL, &err), &err);
	assert_delivered();
	assert_sound();
	assert_no_litter();
	world_close(&world);
}

/* --- main ------------------------------------------------------------------------------------------------------------- */

static const char *const of_services[] = { ".checks", ".reloads", ".loaded", ".starts", NULL };
static enum scenario scenarios[] = { RESTORE, BACKUP, UNDO };

#define ROLLBACK(title, which)                                                                                 \
	.name = title, .root = root, .arg = &scenarios[which], .before = before, .work = work, .look = look,   \
	.ignored = of_services
static const struct power_campaign campaigns[] = {
	{ ROLLBACK("restore", RESTORE) },
	{ ROLLBACK("restore, killed first", RESTORE), .after_kill = work_on },
	{ ROLLBACK("backup file", BACKUP) },
	{ ROLLBACK("undo", UNDO) },
	{ ROLLBACK("undo, killed first", UNDO), .after_kill = work_on },
	{ ROLLBACK("a disk that lies about files", RESTORE), .lie = "" },
	{ ROLLBACK("a disk that lies about directories", RESTORE), .lie = "/" },
};

int main(int argc, char **argv)
{
	static struct power_options options = { .cuts = 8, .rounds = 2, .seed = 1 };
	power_options(argc, argv, &options);
	snprintf(root, sizeof root, "%s/live", lg_test_dir());
	story = power_share(sizeof *story);
	power_add(campaigns, sizeof campaigns / sizeof *campaigns, &options);
	return lg_test_run("power_rollback");
}
