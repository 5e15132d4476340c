#include "support/world.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/file.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* A killed process loses nothing that it has written, and where a power failure is played, disk.c has its own of these.  So nothing
 * has to wait for the disk, neither our files nor the log's (libsqlite3 finds these two first). */
__attribute__((weak)) int fsync(int fd)
{
	(void)fd;
	return 0;
}

__attribute__((weak)) int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

static const char check_script[] = "#!/bin/sh\n"
				   "# check.sh SERVICE FILE\n"
				   "echo \"$2\" >> \"$1.checks\"\n"
				   "case $(cat \"$1.check\" 2>/dev/null) in\n"
				   "refuse) echo 'that will not do' >&2; exit 1 ;;\n"
				   "hang) exec sleep 60 ;;\n"
				   "esac\n";

static const char reload_script[] = "#!/bin/sh\n"
				    "# reload.sh SERVICE\n"
				    "echo reload >> \"$1.reloads\"\n"
				    "mode=$(cat \"$1.reload\" 2>/dev/null)\n"
				    "case $mode in\n"
				    "fail) exit 1 ;;\n"
				    "fail-once) rm \"$1.reload\"; exit 1 ;;\n"
				    "fail-on*) grep -q \"${mode#fail-on }\" \"$1.json\" && exit 1 ;;\n"
				    "esac\n"
				    "cp \"$1.json\" \"$1.loaded\"\n";

static const char start_script[] = "#!/bin/sh\n"
				   "# start.sh SERVICE\n"
				   "echo start >> \"$1.starts\"\n"
				   "test -e \"$1.start\" || exit 0\n"
				   "cp \"$1.json\" \"$1.loaded\" && rm -f \"$1.stopped\"\n";

static const char status_script[] = "#!/bin/sh\ntest ! -e \"$1.stopped\"\n";

static void make_script(const struct world *world, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", world->dir, name);
	lg_test_write(path, text, strlen(text));
	assert_int_equal(chmod(path, 0700), 0);
}

static void add_service(struct lg_buf *yaml, const char *name, bool critical)
{
	lg_buf_addf(yaml,
		"  %s:\n"
		"    driver: command\n"
		"    start: [./start.sh, %s]\n"
		"    stop: [/bin/true]\n"
		"    status: [./status.sh, %s]\n"
		"    reload: [./reload.sh, %s]\n"
		"    timeout: 2s\n"
		"    critical: %s\n"
		"    adapter:\n"
		"      prefix: %s/\n"
		"      file: { path: %s.json, format: json }\n"
		"      check: [./check.sh, %s, \"{}\"]\n"
		"      check_timeout: 2s\n"
		"      notify: reload\n",
		name, name, name, name, critical ? "true" : "false", name, name, name);
}

static void make_services(struct world *world)
{
	char path[512];
	lg_cleanup(lg_buf_clear) struct lg_buf yaml = LG_BUF_INIT;
	make_script(world, "check.sh", check_script);
	make_script(world, "reload.sh", reload_script);
	make_script(world, "start.sh", start_script);
	make_script(world, "status.sh", status_script);
	lg_buf_adds(&yaml, "services:\n");
	add_service(&yaml, "web", true);
	add_service(&yaml, "api", false);
	snprintf(path, sizeof path, "%s/lastgood.yaml", world->dir);
	lg_test_write(path, yaml.data, yaml.len);
}

void world_at(struct world *world, const char *dir)
{
	*world = (struct world){ 0 };
	snprintf(world->dir, sizeof world->dir, "%s", dir);
	snprintf(world->state_dir, sizeof world->state_dir, "%s/state", dir);
	lg_clock_sim_init(&world->sim, INT64_C(1790000000000000), INT64_C(1000000000000));
}

void world_make(struct world *world, const char *dir, bool services)
{
	struct lg_error err = LG_ERROR_INIT;
	world_at(world, dir);
	lg_assert_ok(lg_dir_make(dir, 0700, &err), &err);
	if (services)
		make_services(world);
	lg_assert_ok(lg_config_init(world->state_dir, &world->sim.clock, &err), &err);
	world_open(world);
}

void world_open_log(struct world *world, struct lg_log *log)
{
	char path[512];
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_config_options options = {
		.state_dir = world->state_dir, .log = log, .clock = &world->sim.clock
	};
	lg_assert_ok(lg_config_open(&options, &world->config, &err), &err);
	snprintf(path, sizeof path, "%s/lastgood.yaml", world->dir);
	if (!lg_file_exists(path))
		return;
	lg_assert_ok(lg_topology_load(path, &world->topology, NULL, &err), &err);
	lg_assert_ok(lg_delivery_open(world->config, world->topology, &world->delivery, &err), &err);
}

void world_open(struct world *world)
{
	world_open_log(world, NULL);
}

void world_close(struct world *world)
{
	lg_delivery_close(world->delivery);
	lg_topology_free(world->topology);
	lg_config_close(world->config);
	world->delivery = NULL;
	world->topology = NULL;
	world->config = NULL;
}

/* --- values ----------------------------------------------------------------------------------------------------------- */

uint64_t world_set_pairs(struct world *world, const char *const *pairs)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (; *pairs; pairs += 2)
		lg_assert_ok(lg_changeset_add(&set, pairs[0], strlen(pairs[0]), *pairs[1] ? pairs[1] : NULL,
				     strlen(pairs[1]), &err),
			&err);
	const struct lg_commit commit = { .changes = &set, .author = { "alice", "test", false } };
	lg_clock_sim_advance(&world->sim, INT64_C(1000000000));
	lg_assert_ok(lg_config_commit(world->config, &commit, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	if (world->delivery)
		lg_assert_ok(lg_delivery_run(world->delivery, "alice", NULL, NULL, &err), &err);
	return revision;
}

int world_try_set(struct world *world, const char *key, const char *value, bool automatic, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_assert_ok(lg_changeset_add(&set, key, strlen(key), value, strlen(value), err), err);
	const struct lg_commit commit = { .changes = &set, .author = { "bob", "test", automatic } };
	return lg_config_commit(world->config, &commit, NULL, NULL, err);
}

const char *world_get(struct world *world, const char *key)
{
	static char text[4096];
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_config_snapshot(world->config, &now);
	bool found = lg_tree_get(now.tree, key, strlen(key), &entry);
	if (found)
		snprintf(text, sizeof text, "%s", entry.value);
	lg_snapshot_clear(&now);
	return found ? text : NULL;
}

void world_assert_value(struct world *world, const char *key, const char *want)
{
	const char *value = world_get(world, key);
	if (!want)
		assert_null(value);
	else
		assert_string_equal(value ? value : "(not set)", want);
}

void world_root(struct world *world, uint8_t ret_root[LG_HASH_SIZE])
{
	struct lg_snapshot now;
	lg_config_snapshot(world->config, &now);
	lg_tree_hash(now.tree, ret_root);
	lg_snapshot_clear(&now);
}

/* --- rollbacks -------------------------------------------------------------------------------------------------------- */

void world_scope(const char *scope_text, struct lg_scope *ret_scope)
{
	char copy[256];
	char *rest = copy;
	struct lg_error err = LG_ERROR_INIT;
	*ret_scope = (struct lg_scope)LG_SCOPE_ALL;
	snprintf(copy, sizeof copy, "%s", scope_text);
	for (char *word; (word = strsep(&rest, " "));) {
		if (*word == '-')
			lg_assert_ok(lg_scope_exclude(ret_scope, word + 1, &err), &err);
		else if (*word)
			lg_assert_ok(lg_scope_include(ret_scope, word, &err), &err);
	}
}

static int plan_for(struct world *world, const char *target, const char *scope_text, bool emergency,
	struct lg_rollback_plan **ret_plan, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	world_scope(scope_text, &scope);
	bool revert = lg_starts_with(target, "revert ");
	const struct lg_rollback_request request = {
		.target = revert ? NULL : target,
		.revert = revert ? strchr(target, ' ') + 1 : NULL,
		.scope = &scope,
		.author = { "alice", "other: test", emergency },
		.emergency = emergency,
	};
	return lg_rollback_plan(world->config, world->delivery, &request, ret_plan, NULL, err);
}

struct lg_rollback_plan *world_plan(struct world *world, const char *target, const char *scope_text)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_plan *plan = NULL;
	lg_assert_ok(plan_for(world, target, scope_text, false, &plan, &err), &err);
	return plan;
}

int world_roll_back(struct world *world, const char *target, const char *scope_text, bool emergency,
	struct lg_rollback_outcome *ret_outcome, struct lg_error *err)
{
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	struct lg_rollback_outcome own;
	struct lg_rollback_outcome *outcome = ret_outcome ? ret_outcome : &own;
	*outcome = (struct lg_rollback_outcome){ 0 };
	lg_clock_sim_advance(&world->sim, INT64_C(1000000000));
	int rc = plan_for(world, target, scope_text, emergency, &plan, err);
	return rc < 0 ? rc
		      : lg_rollback_execute(world->config, world->delivery, plan, NULL, NULL, outcome, err);
}

/* --- the directory ---------------------------------------------------------------------------------------------------- */

void world_switch(const struct world *world, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", world->dir, name);
	if (text)
		lg_test_write(path, text, strlen(text));
	else
		unlink(path);
}

char *world_file(const struct world *world, const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", world->dir, name);
	char *text = lg_test_read(path, NULL);
	return text ? text : strdup("");
}

size_t world_lines(const struct world *world, const char *name)
{
	size_t lines = 0;
	char *text = world_file(world, name);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	free(text);
	return lines;
}

const struct lg_hold *world_hold(struct world *world, const char *rollback)
{
	const struct lg_controls *controls = lg_config_controls(world->config);
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (controls->holds[i].rollback && strcmp(controls->holds[i].rollback, rollback) == 0)
			return &controls->holds[i];
	}
	return NULL;
}

size_t world_bad_marks(struct world *world)
{
	const struct lg_controls *controls = lg_config_controls(world->config);
	size_t count = 0;
	for (size_t i = 0; i < controls->mark_count; i++)
		count += !controls->marks[i].good;
	return count;
}

size_t world_unfinished(struct world *world)
{
	struct lg_error err = LG_ERROR_INIT;
	char **ids;
	size_t count;
	lg_assert_ok(lg_rollback_unfinished(world->state_dir, &ids, &count, &err), &err);
	lg_names_free(ids, count);
	return count;
}
