/* The monitor in a world that answers: a log in a state directory, an adapter that delivers a JSON file, and a "server"
 * that writes its access log according to that file.
 *
 * The world lives in the clock.  Each time somebody asks for the boottime, 5 ms have passed and the server has answered ten
 * more requests: with 200 when the delivered file says {"port":1}, with 502 otherwise.  So nothing here waits, and nothing
 * depends on how fast the machine is.  Changes come from a second handle on the log, as from another process.
 */
#include "monitor/monitor.h"

#include "base/buf.h"
#include "base/text.h"
#include "io/file.h"
#include "model/value.h"
#include "support/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS         INT64_C(1000000)
#define LONGEST_NS (INT64_C(600000) * MS)

struct world {
	struct lg_clock clock; /* first */
	int64_t boottime_ns, realtime_us;
	char dir[512], file[600], access_log[600];
	bool always_bad;
	struct lg_config *config, *other;
	struct lg_topology *topology;
	struct lg_delivery *delivery;
	volatile sig_atomic_t stop;
	const struct scenario *scenario;
	/* what happened */
	char events[8192];
	char rule[64];
	char command[256];
	size_t incidents, rollbacks, marks;
	uint64_t first_good;
	char outcome[32];
	char why[1024];
	int lock_fd;
};

/* --- the world -------------------------------------------------------------------------------------------------------- */

static bool serves_well(struct world *world)
{
	size_t len = 0;
	char *text = lg_test_read(world->file, &len);
	bool good = text && strstr(text, "\"port\"") && strchr(text, '1');
	free(text);
	return good && !world->always_bad;
}

static void serve(struct world *world)
{
	static const char good[] = "::1 - - [x] \"GET / HTTP/1.1\" 200 1\n";
	static const char bad[] = "::1 - - [x] \"GET / HTTP/1.1\" 502 1\n";
	int fd = open(world->access_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	const char *line = serves_well(world) ? good : bad;
	for (int i = 0; i < 10; i++)
		if (write(fd, line, sizeof good - 1) != (ssize_t)(sizeof good - 1))
			abort();
	close(fd);
}

static int64_t free_lock_at;

/* as if that other rollback had ended */
static void let_go(struct world *world)
{
	if (free_lock_at == 0 || world->boottime_ns < free_lock_at || world->lock_fd < 0)
		return;
	close(world->lock_fd);
	world->lock_fd = -1;
}

static int64_t world_boottime(const struct lg_clock *clock)
{
	struct world *world = (struct world *)clock;
	world->boottime_ns += 5 * MS;
	world->realtime_us += 5000;
	serve(world);
	let_go(world);
	return world->boottime_ns;
}

static int64_t world_realtime(const struct lg_clock *clock)
{
	return ((const struct world *)clock)->realtime_us;
}

static void world_sleep(const struct lg_clock *clock, int64_t ns)
{
	struct world *world = (struct world *)clock;
	world->boottime_ns += ns;
	world->realtime_us += ns / 1000;
}

/* --- scenarios ---------------------------------------------------------------------------------------------------------- */

struct scenario {
	const char *name;
	const char *trigger;     /* members of the trigger beside service, signal, access_log */
	const char *monitor;     /* members beside interval */
	const char *service;     /* members beside driver and adapter, or NULL */
	const char *declaration; /* of web/port, or NULL */
	void (*on_known_good)(struct world *world); /* the first time */
	void (*on_incident)(struct world *world);
	bool starts_bad;
	size_t stop_after_incidents, stop_after_rollbacks;
	/* expected */
	const char *rule; /* of the last incident */
	size_t incidents, rollbacks;
	const char *outcome;
	int64_t port; /* in the end */
};

static void set(struct world *world, const char *key, const char *value)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_changeset changes = LG_CHANGESET_INIT;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_committed committed = { 0 };
	lg_assert_ok(lg_changeset_add(&changes, key, strlen(key), value, strlen(value), &err), &err);
	const struct lg_commit commit = { .changes = &changes,
		.author = { .actor = "alice", .reason = "test" } };
	lg_assert_ok(lg_config_commit(world->other, &commit, &committed, &problems, &err), &err);
	lg_committed_clear(&committed);
	lg_changeset_clear(&changes);
	lg_problems_clear(&problems);
}

static void deliver(struct world *world)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_delivery *delivery = NULL;
	lg_assert_ok(lg_delivery_open(world->other, world->topology, &delivery, &err), &err);
	lg_assert_ok(lg_delivery_run(delivery, "alice", NULL, NULL, &err), &err);
	lg_delivery_close(delivery);
}

static void break_it(struct world *world)
{
	set(world, "web/port", "2");
	deliver(world);
}

/* Ten years; only the clock on the wall. */
#define DECADE_US (INT64_C(10) * 365 * 86400 * 1000000)

static void break_and_leap(struct world *world)
{
	break_it(world);
	world->realtime_us += DECADE_US;
}

static void break_and_fall_back(struct world *world)
{
	break_it(world);
	world->realtime_us -= DECADE_US;
}

/* Recorded by a process whose clock was wrong. */
static void break_in_the_future(struct world *world)
{
	world->realtime_us += DECADE_US;
	break_it(world);
	world->realtime_us -= DECADE_US;
}

static void break_in_the_past(struct world *world)
{
	world->realtime_us -= DECADE_US;
	break_it(world);
	world->realtime_us += DECADE_US;
}

static void break_later(struct world *world)
{
	world->realtime_us +=
		INT64_C(7200) * 1000000; /* two hours on: no change lies in the attribution period */
	world->boottime_ns += INT64_C(7200) * 1000 * MS;
	world->always_bad = true;
}

static void break_elsewhere(struct world *world)
{
	set(world, "other/port", "7");
	break_later(world);
}

static void break_for_good(struct world *world)
{
	break_it(world);
	world->always_bad = true; /* and going back does not help */
}

static void break_on_hold(struct world *world)
{
	break_it(world);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_scope scope = LG_SCOPE_ALL;
	struct lg_buf body = LG_BUF_INIT;
	lg_assert_ok(lg_scope_include(&scope, "web/", &err), &err);
	lg_assert_ok(lg_control_hold(&body, &scope, NULL, &err), &err);
	const struct lg_author author = { .actor = "alice", .reason = "hands off" };
	const struct lg_control control = { .kind = LG_KIND_HOLD, .body = body.data, .body_len = body.len };
	lg_assert_ok(lg_config_control(world->other, &author, &control, 1, NULL, &err), &err);
	lg_buf_clear(&body);
	lg_scope_clear(&scope);
}

static void break_under_lock(struct world *world)
{
	struct lg_error err = LG_ERROR_INIT;
	char path[600];
	snprintf(path, sizeof path, "%s/rollback.lock", world->dir);
	lg_assert_ok(lg_lock_file(path, 0, &world->lock_fd, &err), &err);
	break_it(world);
}

static void note_lock(struct world *world)
{
	free_lock_at = world->boottime_ns + 500 * MS;
}

#define TRIGGER "threshold: 0.5, min_samples: 20, window: 400ms, for: 200ms, clear: 200ms, "
static const struct scenario scenarios[] = {
	{ .name = "a bad change is rolled back",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_it,
		.stop_after_rollbacks = 1,
		.rule = "rollback",
		.incidents = 1,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
	{ .name = "the clock leaps ten years ahead",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_and_leap,
		.stop_after_rollbacks = 1,
		.rule = "rollback",
		.incidents = 1,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
	{ .name = "the clock is set back ten years",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_and_fall_back,
		.stop_after_rollbacks = 1,
		.rule = "rollback",
		.incidents = 1,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
	{ .name = "the change is recorded ten years ahead",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_in_the_future,
		.stop_after_rollbacks = 1,
		.rule = "rollback",
		.incidents = 1,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
	{ .name = "the change is recorded ten years back",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_in_the_past,
		.stop_after_rollbacks = 1,
		.rule = "rollback",
		.incidents = 1,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
	{ .name = "no change in the period",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_later,
		.stop_after_incidents = 1,
		.rule = "no_change",
		.incidents = 1,
		.port = 1 },
	{ .name = "a change of another scope is not to blame",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_elsewhere,
		.stop_after_incidents = 1,
		.rule = "no_change",
		.incidents = 1,
		.port = 1 },
	{ .name = "nothing was ever known good",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.starts_bad = true,
		.stop_after_incidents = 1,
		.rule = "no_known_good",
		.incidents = 1,
		.port = 2 },
	{ .name = "none a day are allowed",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s, max_per_day: 0",
		.on_known_good = break_it,
		.stop_after_incidents = 1,
		.rule = "loop_guard",
		.incidents = 1,
		.port = 2 },
	{ .name = "the trigger only advises",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: advise",
		.monitor = "bake: 1s",
		.on_known_good = break_it,
		.stop_after_incidents = 1,
		.rule = "advise",
		.incidents = 1,
		.port = 2 },
	{ .name = "the setting is irreversible",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.declaration = "{\"irreversible\":true,\"type\":\"int\"}",
		.on_known_good = break_it,
		.stop_after_incidents = 1,
		.rule = "irreversible",
		.incidents = 1,
		.port = 2 },
	{ .name = "the scope is held",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_on_hold,
		.stop_after_incidents = 1,
		.rule = "held",
		.incidents = 1,
		.port = 2 },
	{ .name = "a rollback is not rolled back",
		.trigger = TRIGGER "cooldown: 1s, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_for_good,
		.stop_after_incidents = 2,
		.rule = "rollback_of_rollback",
		.incidents = 2,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
	{ .name = "another rollback runs: tried again, told once",
		.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
		.monitor = "bake: 1s",
		.on_known_good = break_under_lock,
		.on_incident = note_lock,
		.stop_after_rollbacks = 1,
		.rule = "rollback",
		.incidents = 1,
		.rollbacks = 1,
		.outcome = "done",
		.port = 1 },
};

/* --- what the monitor says ------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *event, const char *member)
{
	const char *text = json_string_value(json_object_get(event, member));
	return text ? text : "";
}

static void note_event(struct world *world, const char *name)
{
	size_t len = strlen(world->events);
	size_t name_len = strlen(name);
	/* runs of the same are one */
	if (len >= name_len + 1 && strncmp(world->events + len - name_len - 1, name, name_len) == 0)
		return;
	snprintf(world->events + len, sizeof world->events - len, "%s ", name);
}

static void on_event(void *arg, const json_t *event)
{
	struct world *world = arg;
	const struct scenario *scenario = world->scenario;
	const char *name = text_of(event, "event");
	assert_true(json_integer_value(json_object_get(event, "boottime_ns")) > 0);
	int64_t us = 0;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_time_parse(text_of(event, "time"), &us, &err), &err);
	note_event(world, name);
	if (strcmp(name, "known_good") == 0 && world->marks++ == 0) {
		world->first_good = (uint64_t)json_integer_value(json_object_get(event, "revision"));
		if (scenario->on_known_good)
			scenario->on_known_good(world);
	} else if (strcmp(name, "incident") == 0) {
		world->incidents++;
		snprintf(world->rule, sizeof world->rule, "%s", text_of(event, "rule"));
		snprintf(world->why, sizeof world->why, "%s", text_of(event, "why"));
		assert_true(json_integer_value(json_object_get(event, "seq")) > 0);
		if (scenario->on_incident)
			scenario->on_incident(world);
	} else if (strcmp(name, "rollback") == 0) {
		world->rollbacks++;
		snprintf(world->outcome, sizeof world->outcome, "%s", text_of(event, "outcome"));
	}
	if (scenario->stop_after_incidents && world->incidents >= scenario->stop_after_incidents)
		world->stop = 1;
	if (scenario->stop_after_rollbacks && world->rollbacks >= scenario->stop_after_rollbacks)
		world->stop = 1;
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

static void open_world(struct world *world, const struct scenario *scenario, const char *interval)
{
	static int number;
	struct lg_error err = LG_ERROR_INIT;
	*world = (struct world){ .scenario = scenario,
		.clock = { world_realtime, world_boottime, world_sleep },
		.boottime_ns = INT64_C(1000000) * MS,
		.realtime_us = INT64_C(1795000000000000),
		.lock_fd = -1 };
	snprintf(world->dir, sizeof world->dir, "%s/%d", lg_test_dir(), number++);
	snprintf(world->file, sizeof world->file, "%s.web.json", world->dir);
	snprintf(world->access_log, sizeof world->access_log, "%s.access.log", world->dir);
	lg_assert_ok(lg_config_init(world->dir, &world->clock, &err), &err);
	const struct lg_config_options options = { .state_dir = world->dir, .clock = &world->clock };
	lg_assert_ok(lg_config_open(&options, &world->config, &err), &err);
	lg_assert_ok(lg_config_open(&options, &world->other, &err), &err);
	struct lg_buf text = LG_BUF_INIT;
	lg_buf_addf(&text,
		"services:\n"
		"  web:\n"
		"    driver: command\n"
		"    start: [\"true\"]\n"
		"    stop: [\"true\"]\n"
		"    status: [\"true\"]\n"
		"%s"
		"    adapter: { prefix: web/, file: { path: %s, format: json }, notify: none }\n"
		"monitor: { interval: %s, %s }\n"
		"triggers:\n"
		"  errors: { service: web, signal: error_rate, access_log: %s, %s }\n",
		scenario->service ? scenario->service : "", world->file, interval, scenario->monitor,
		world->access_log, scenario->trigger);
	struct lg_problems problems = LG_PROBLEMS_INIT;
	int rc = lg_topology_parse(
		"lastgood.yaml", lg_buf_str(&text), text.len, &world->topology, &problems, &err);
	if (rc < 0 && problems.count > 0)
		fail_msg("%s: %s", problems.items[0].subject, problems.items[0].message);
	lg_assert_ok(rc, &err);
	lg_buf_clear(&text);
	lg_problems_clear(&problems);
	lg_assert_ok(lg_delivery_open(world->config, world->topology, &world->delivery, &err), &err);
}

static void close_world(struct world *world)
{
	lg_delivery_close(world->delivery);
	lg_topology_free(world->topology);
	lg_config_close(world->other);
	lg_config_close(world->config);
	if (world->lock_fd >= 0)
		close(world->lock_fd);
}

static int run_monitor(struct world *world, struct lg_error *err)
{
	const struct lg_monitor_options options = { .config = world->config,
		.delivery = world->delivery,
		.clock = &world->clock,
		.stop = &world->stop,
		.run_ns = LONGEST_NS + INT64_C(7200) * 1000 * MS,
		.event = on_event,
		.arg = world };
	return lg_monitor_run(&options, err);
}

static int64_t port_now(struct world *world)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_snapshot snapshot;
	struct lg_entry entry;
	lg_assert_ok(lg_config_refresh(world->other, &err), &err);
	lg_config_snapshot(world->other, &snapshot);
	assert_true(lg_tree_get(snapshot.tree, "web/port", strlen("web/port"), &entry));
	int64_t port = entry.value[0] - '0';
	lg_snapshot_clear(&snapshot);
	return port;
}

/* --- on record --------------------------------------------------------------------------------------------------------------- */

struct found {
	size_t incidents, restores, marks;
	bool bodies_good;
};

static int visit_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct found *found = arg;
	json_t *body = NULL;
	int rc = lg_json_parse(record->body, record->body_len, record->body_len, &body, err);
	if (rc < 0)
		return rc;
	const json_t *incident = json_object_get(body, "incident");
	if (record->kind == LG_KIND_INCIDENT) {
		found->incidents++;
		found->bodies_good = found->bodies_good && strcmp(record->actor, "monitor") == 0 &&
			strcmp(text_of(incident, "trigger"), "errors") == 0 &&
			strcmp(text_of(incident, "service"), "web") == 0 &&
			strcmp(text_of(incident, "scope"), "web/") == 0 && *text_of(incident, "decision") &&
			*text_of(incident, "why") && json_is_object(json_object_get(incident, "evidence"));
	} else if (record->kind == LG_KIND_RESTORE) {
		found->restores++;
		found->bodies_good = found->bodies_good && strcmp(record->actor, "monitor") == 0 &&
			strncmp(record->reason, "other: trigger 'errors' fired: error rate ", 42) == 0 &&
			json_is_true(json_object_get(body, "automatic"));
	} else if (record->kind == LG_KIND_MARK && strcmp(text_of(body, "mark"), "good") == 0) {
		found->marks++;
	}
	json_decref(body);
	return 0;
}

static void test_scenario(void **state)
{
	const struct scenario *scenario = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	free_lock_at = 0;
	open_world(&world, scenario, "1ms");
	if (scenario->declaration)
		set(&world, "@schema/web/port", scenario->declaration);
	set(&world, "web/port", scenario->starts_bad ? "2" : "1");
	deliver(&world);
	lg_assert_ok(run_monitor(&world, &err), &err);
	if (!world.stop)
		fail_msg("came to no end: %s (%s)", world.events, world.rule);
	assert_string_equal(world.rule, scenario->rule);
	assert_int_equal(world.incidents, scenario->incidents);
	assert_int_equal(world.rollbacks, scenario->rollbacks);
	if (scenario->outcome)
		assert_string_equal(world.outcome, scenario->outcome);
	assert_int_equal(port_now(&world), scenario->port);
	struct found found = { .bodies_good = true };
	lg_assert_ok(
		lg_config_query(world.other, &(struct lg_log_query){ 0 }, visit_record, &found, &err), &err);
	assert_int_equal(found.incidents, scenario->incidents);
	assert_int_equal(found.restores, scenario->rollbacks);
	assert_true(found.bodies_good);
	if (!scenario->starts_bad)
		assert_true(found.marks >= 1 && world.first_good > 0);
	close_world(&world);
}

/* --- in detail --------------------------------------------------------------------------------------------------------------- */

static void test_order_of_events(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	open_world(&world, &scenarios[0], "1ms");
	set(&world, "web/port", "1");
	deliver(&world);
	lg_assert_ok(run_monitor(&world, &err), &err);
	assert_string_equal(world.events,
		"started known_good change symptom trigger incident rollback_step rollback change ");
	assert_true(serves_well(&world));
	const struct lg_controls *controls = lg_config_controls(world.config);
	assert_int_equal(controls->hold_count, 1);
	close_world(&world);
}

static const struct scenario restarted = { .name = "restarted",
	.trigger = TRIGGER "cooldown: 30m, attribution: 60m, action: rollback",
	.monitor = "bake: 1s" };

static void stop_at_mark(struct world *world)
{
	world->stop = 1;
}

static void test_marked_once(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	struct scenario scenario = restarted;
	scenario.on_known_good = stop_at_mark;
	open_world(&world, &scenario, "1ms");
	set(&world, "web/port", "1");
	deliver(&world);
	lg_assert_ok(run_monitor(&world, &err), &err);
	assert_int_equal(world.marks, 1);
	/* a second monitor finds the mark and does not repeat it; it runs its whole time */
	world.stop = 0;
	struct lg_monitor_options options = { .config = world.config,
		.delivery = world.delivery,
		.clock = &world.clock,
		.stop = &world.stop,
		.run_ns = 5000 * MS,
		.event = on_event,
		.arg = &world };
	lg_assert_ok(lg_monitor_run(&options, &err), &err);
	assert_int_equal(world.marks, 1);
	/* half of good_max_age later it is renewed */
	world.realtime_us += INT64_C(4) * 86400 * 1000000;
	lg_assert_ok(lg_monitor_run(&options, &err), &err);
	assert_int_equal(world.marks, 2);
	close_world(&world);
}

static void test_undelivered_is_not_good(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	open_world(&world, &restarted, "1ms");
	set(&world, "web/port", "1");
	deliver(&world);
	set(&world, "web/name",
		"\"x\""); /* recorded, and never delivered: what serves is the former revision */
	struct lg_monitor_options options = { .config = world.config,
		.delivery = world.delivery,
		.clock = &world.clock,
		.run_ns = 10000 * MS,
		.event = on_event,
		.arg = &world };
	lg_assert_ok(lg_monitor_run(&options, &err), &err);
	assert_int_equal(world.marks, 0);
	deliver(&world);
	lg_assert_ok(lg_monitor_run(&options, &err), &err);
	assert_int_equal(world.marks, 1);
	close_world(&world);
}

static void test_once_leaves_after_the_first(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	struct scenario scenario = restarted;
	scenario.on_known_good = break_it;
	open_world(&world, &scenario, "1ms");
	set(&world, "web/port", "1");
	deliver(&world);
	const struct lg_monitor_options options = { .config = world.config,
		.delivery = world.delivery,
		.clock = &world.clock,
		.once = true,
		.run_ns = LONGEST_NS,
		.event = on_event,
		.arg = &world };
	lg_assert_ok(lg_monitor_run(&options, &err), &err);
	assert_int_equal(world.rollbacks, 1);
	assert_true(world.boottime_ns < INT64_C(1000000) * MS + LONGEST_NS); /* not because its time was over */
	close_world(&world);
}

/* Nobody listens on port 1 of the loopback. */
#define DEAD_HEALTH "    health: { http: \"http://127.0.0.1:1/\", timeout: 10s }\n"

static void test_dead_health_is_not_good(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	struct scenario scenario = restarted;
	scenario.service = DEAD_HEALTH;
	open_world(&world, &scenario, "1ms");
	set(&world, "web/port", "1");
	deliver(&world);
	struct lg_monitor_options options = { .config = world.config,
		.delivery = world.delivery,
		.clock = &world.clock,
		.run_ns = 5000 * MS,
		.event = on_event,
		.arg = &world };
	lg_assert_ok(lg_monitor_run(&options, &err), &err);
	assert_int_equal(world.marks, 0);
	assert_int_equal(world.incidents, 0); /* nobody asked for more than that */
	close_world(&world);
}

static void test_http_trigger(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	struct scenario scenario = restarted;
	scenario.service = DEAD_HEALTH "    critical: true\n";
	scenario.trigger = TRIGGER "action: observe }\n"
				   "  dead: { service: web, signal: http, consecutive: 3, action: advise";
	scenario.stop_after_incidents = 1;
	open_world(&world, &scenario, "10ms");
	set(&world, "web/port", "1");
	deliver(&world);
	lg_assert_ok(run_monitor(&world, &err), &err);
	assert_int_equal(world.stop, 1);
	assert_string_equal(world.rule, "no_known_good");
	assert_non_null(strstr(world.events, "symptom trigger incident advice"));
	assert_int_equal(world.marks, 0);
	close_world(&world);
}

static void test_interval_that_cannot_fire(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct world world;
	open_world(&world, &restarted, "5s");
	lg_assert_code(run_monitor(&world, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "trigger 'errors' can never fire: the monitor looks every 5s"));
	close_world(&world);
}

int main(void)
{
	lg_test_rows("monitor", test_scenario, scenarios, sizeof scenarios / sizeof *scenarios,
		sizeof *scenarios, offsetof(struct scenario, name));
	lg_test_add("order of events", test_order_of_events, NULL);
	lg_test_add("marked once, and renewed", test_marked_once, NULL);
	lg_test_add("what is not delivered is not good", test_undelivered_is_not_good, NULL);
	lg_test_add("once leaves after the first", test_once_leaves_after_the_first, NULL);
	lg_test_add("what has a dead health is not good", test_dead_health_is_not_good, NULL);
	lg_test_add("an http trigger fires", test_http_trigger, NULL);
	lg_test_add("an interval that can never fire", test_interval_that_cannot_fire, NULL);
	return lg_test_run("monitor");
}
