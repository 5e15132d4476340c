#include "support/support.h"

#include "base/cleanup.h"
#include "host/topology.h"

#include <signal.h>
#include <sys/stat.h>

LG_DEFINE_CLEANUP(struct lg_topology *, lg_topology_free)

#define S      INT64_C(1000000000)
#define WEB    "services: { web: { driver: process, start: [run], "
#define FILE_A "file: { path: /x/a, format: json }"

static const char full[] =
	"state_dir: state\n"
	"log: sqlite\n"
	"services:\n"
	"  web:\n"
	"    driver: process\n"
	"    start: [./run.sh, --port, '80']\n"
	"    reload_signal: USR1\n"
	"    stop_timeout: 3s\n"
	"    timeout: 1500ms\n"
	"    dir: ../srv//web/.\n"
	"    env: { PORT: 80, NAME: \"a b\", DEBUG: false }\n"
	"    critical: true\n"
	"    after: [db, cache]\n"
	"    health: { http: 'http://127.0.0.1:5000/health', status: 204, timeout: 2s }\n"
	"    adapter:\n"
	"      prefix: web/\n"
	"      file: { path: out/web.conf, format: template, template: /etc/web.tpl }\n"
	"      check: [web, -t, '{}']\n"
	"      check_timeout: 4s\n"
	"      notify: reload\n"
	"      attached: false\n"
	"  cache:\n"
	"    driver: command\n"
	"    start: [cache, up]\n"
	"    stop: [cache, down]\n"
	"    status: [cache, ask]\n"
	"    after: [db]\n"
	"    adapter: { prefix: cache/, file: { path: /etc/cache.env, format: env, names: upper } }\n"
	"  db: { driver: process, start: [db] }\n"
	"monitor: { interval: 200ms, bake: 2s, good_max_age: 1d, max_per_day: 0 }\n"
	"triggers:\n"
	"  errors: { service: web, signal: error_rate, access_log: access.log, threshold: 0.25, min_samples: "
	"5, window: 2s,\n"
	"            for: 1s, clear: 3s, cooldown: 4s, attribution: 5s, action: advise }\n"
	"  down: { service: web, signal: http }\n"
	"  slow: { service: web, signal: http, url: 'https://x/', timeout: 7s, for: 9s, action: observe }\n";

static struct lg_topology *parse(const char *text)
{
	struct lg_topology *topology = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_topology_parse("/nowhere/etc/lastgood.yaml", text, strlen(text), &topology, NULL, &err),
		&err);
	return topology;
}

static void test_services(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = parse(full);
	assert_string_equal(topology->state_dir, "/nowhere/etc/state");
	assert_string_equal(topology->log_url, "sqlite");
	assert_int_equal(topology->service_count, 3);
	const struct lg_service_spec *web = lg_topology_service(topology, "web");
	assert_non_null(web);
	assert_null(lg_topology_service(topology, "webb"));
	assert_int_equal(web->driver, LG_DRIVER_PROCESS);
	assert_string_equal(web->start[0], "./run.sh");
	assert_string_equal(web->start[2], "80");
	assert_null(web->start[3]);
	assert_null(web->stop);
	assert_int_equal(web->reload_signal, SIGUSR1);
	assert_int_equal(web->stop_timeout_ns, 3 * S);
	assert_int_equal(web->timeout_ns, 3 * S / 2);
	assert_string_equal(web->dir, "/nowhere/srv/web");
	assert_string_equal(web->env[0], "PORT=80");
	assert_string_equal(web->env[1], "NAME=a b");
	assert_string_equal(web->env[2], "DEBUG=false");
	assert_null(web->env[3]);
	assert_true(web->critical);
	assert_string_equal(web->health.http_url, "http://127.0.0.1:5000/health");
	assert_int_equal(web->health.http_status, 204);
	assert_int_equal(web->health.timeout_ns, 2 * S);
}

static void test_adapters(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = parse(full);
	const struct lg_service_spec *web = lg_topology_service(topology, "web");
	assert_true(web->has_adapter);
	assert_string_equal(web->adapter.prefix, "web/");
	assert_string_equal(web->adapter.path, "/nowhere/etc/out/web.conf");
	assert_int_equal(web->adapter.format, LG_ADAPTER_TEMPLATE);
	assert_string_equal(web->adapter.template_path, "/etc/web.tpl");
	assert_string_equal(web->adapter.check[2], "{}");
	assert_int_equal(web->adapter.check_timeout_ns, 4 * S);
	assert_int_equal(web->adapter.notify, LG_NOTIFY_RELOAD);
	assert_false(web->adapter.attached);
	const struct lg_service_spec *cache = lg_topology_service(topology, "cache");
	assert_true(cache->adapter.upper_names);
	assert_int_equal(cache->adapter.notify, LG_NOTIFY_NONE);
	assert_true(cache->adapter.attached);
	assert_int_equal(cache->adapter.check_timeout_ns, 10 * S);
	const struct lg_service_spec *db = lg_topology_service(topology, "db");
	assert_false(db->has_adapter);
	assert_false(db->critical);
	assert_string_equal(db->dir, "/nowhere/etc");
	assert_int_equal(db->reload_signal, SIGHUP);
	assert_int_equal(db->stop_timeout_ns, 10 * S);
	assert_int_equal(db->timeout_ns, 30 * S);
	assert_int_equal(db->health.http_status, 200);
	assert_null(db->health.http_url);
}

static void test_order(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = parse(full);
	assert_string_equal(topology->services[0].name, "db");
	assert_string_equal(topology->services[1].name, "cache");
	assert_string_equal(topology->services[2].name, "web");
	lg_cleanup(lg_topology_freep) struct lg_topology *kept =
		parse("services:\n  c: { driver: process, start: [c] }\n  a: { driver: process, start: [a], "
		      "after: [b] }\n"
		      "  b: { driver: process, start: [b] }\n");
	assert_string_equal(kept->services[0].name, "c");
	assert_string_equal(kept->services[1].name, "b");
	assert_string_equal(kept->services[2].name, "a");
}

static void test_triggers(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = parse(full);
	assert_int_equal(topology->trigger_count, 3);
	const struct lg_trigger_spec *errors = &topology->triggers[0];
	assert_string_equal(errors->name, "errors");
	assert_string_equal(errors->access_log, "/nowhere/etc/access.log");
	assert_true(errors->threshold > 0.249 && errors->threshold < 0.251);
	assert_int_equal(errors->min_samples, 5);
	assert_int_equal(errors->window_ns, 2 * S);
	assert_int_equal(errors->for_ns, 1 * S);
	assert_int_equal(errors->consecutive, 0);
	assert_int_equal(errors->clear_ns, 3 * S);
	assert_int_equal(errors->cooldown_ns, 4 * S);
	assert_int_equal(errors->attribution_ns, 5 * S);
	assert_int_equal(errors->action, LG_ACTION_ADVISE);
	const struct lg_trigger_spec *down = &topology->triggers[1];
	assert_int_equal(down->signal, LG_SIGNAL_HTTP);
	assert_string_equal(down->url, "http://127.0.0.1:5000/health");
	assert_int_equal(down->timeout_ns, 2 * S); /* with the url, the health's */
	assert_int_equal(down->consecutive, 5);
	assert_int_equal(down->clear_ns, 60 * S);
	assert_int_equal(down->cooldown_ns, 1800 * S);
	assert_int_equal(down->attribution_ns, 3600 * S);
	assert_int_equal(down->action, LG_ACTION_ROLLBACK);
	const struct lg_trigger_spec *slow = &topology->triggers[2];
	assert_string_equal(slow->url, "https://x/");
	assert_int_equal(slow->timeout_ns, 7 * S);
	assert_int_equal(slow->consecutive, 0);
	assert_int_equal(slow->for_ns, 9 * S);
	assert_int_equal(slow->action, LG_ACTION_OBSERVE);
}

static void test_trigger_defaults(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *topology =
		parse(WEB "adapter: { prefix: w/, " FILE_A " } } }\n"
			  "triggers: { e: { service: web, signal: error_rate, access_log: /l } }\n");
	const struct lg_trigger_spec *e = &topology->triggers[0];
	assert_true(e->threshold > 0.49 && e->threshold < 0.51);
	assert_int_equal(e->min_samples, 20);
	assert_int_equal(e->window_ns, 60 * S);
	assert_int_equal(e->for_ns, 300 * S);
	assert_int_equal(e->consecutive, 0);
	assert_int_equal(e->timeout_ns, 10 * S);
}

static void assert_default_monitor(const struct lg_topology *topology)
{
	assert_int_equal(topology->monitor.interval_ns, 5 * S);
	assert_int_equal(topology->monitor.bake_ns, 900 * S);
	assert_int_equal(topology->monitor.good_max_age_ns, 7 * 86400 * S);
	assert_int_equal(topology->monitor.max_per_day, 3);
}

static void test_monitor(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = parse(full);
	assert_int_equal(topology->monitor.interval_ns, S / 5);
	assert_int_equal(topology->monitor.bake_ns, 2 * S);
	assert_int_equal(topology->monitor.good_max_age_ns, 86400 * S);
	assert_int_equal(topology->monitor.max_per_day, 0);
	lg_cleanup(lg_topology_freep) struct lg_topology *none = lg_topology_default();
	assert_default_monitor(none);
	assert_int_equal(none->service_count, 0);
	lg_cleanup(lg_topology_freep) struct lg_topology *empty = parse("");
	assert_default_monitor(empty);
	lg_cleanup(lg_topology_freep) struct lg_topology *headings = parse("services:\ntriggers:\nmonitor:\n");
	assert_default_monitor(headings);
	assert_null(headings->state_dir);
}

static void test_hash(void **state)
{
	lg_cleanup(lg_topology_freep) struct lg_topology *a = parse(full);
	lg_cleanup(lg_topology_freep) struct lg_topology *again = parse(full);
	lg_cleanup(lg_topology_freep) struct lg_topology *other = parse("log: sqlite\n");
	assert_memory_equal(a->hash, again->hash, sizeof a->hash);
	assert_memory_not_equal(a->hash, other->hash, sizeof a->hash);
}

static void test_load(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = NULL;
	lg_assert_code(
		lg_topology_load(lg_test_path("absent.yaml"), &topology, NULL, &err), LG_ENOTFOUND, &err);
	assert_null(topology);
	/* relative paths: to the file's real directory, not to ours nor to the link's */
	const char *real = lg_test_path("real"), *linked = lg_test_path("linked");
	mkdir(real, 0700);
	assert_int_equal(symlink(real, linked), 0);
	lg_test_write(lg_test_path("real/lastgood.yaml"), "state_dir: state\n", 17);
	lg_assert_ok(lg_topology_load(lg_test_path("linked/lastgood.yaml"), &topology, NULL, &err), &err);
	lg_autofree char *resolved = realpath(real, NULL);
	lg_autofree char *wanted = NULL;
	assert_true(asprintf(&wanted, "%s/state", resolved) > 0);
	assert_string_equal(topology->state_dir, wanted);
}

static void test_same_file_by_link(void **state)
{
	const char *real = lg_test_path("dir"), *linked = lg_test_path("other");
	mkdir(real, 0700);
	assert_int_equal(symlink(real, linked), 0);
	lg_autofree char *text = NULL;
	assert_true(asprintf(&text,
			    "services:\n"
			    "  a: { driver: process, start: [a], adapter: { prefix: a/, file: { path: %s/f, "
			    "format: json } } }\n"
			    "  b: { driver: process, start: [b], adapter: { prefix: b/, file: { path: %s/f, "
			    "format: json } } }\n",
			    real, linked) > 0);
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_topology *topology = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(
		lg_topology_parse("/x", text, strlen(text), &topology, &problems, &err), LG_EINVALID, &err);
	assert_int_equal(problems.total, 1);
	assert_string_equal(problems.items[0].subject, "services.b.adapter.file.path");
}

/* Every problem of one document in one go. */
static void test_all_at_once(void **state)
{
	static const char text[] =
		"stat_dir: x\nservices:\n  web: { driver: process, stop: [x], timeout: 5 }\n  'a b': 3\n"
		"monitor: { bake: soon }\n";
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_topology *topology = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(
		lg_topology_parse("t.yaml", text, strlen(text), &topology, &problems, &err), LG_EINVALID, &err);
	assert_null(topology);
	static const char *const subjects[] = { "monitor.bake", "stat_dir", "services.web.start",
		"services.web.stop", "services.web.timeout", "services.a b", "services.a b" };
	assert_int_equal(problems.total, sizeof subjects / sizeof *subjects);
	for (size_t i = 0; i < problems.count; i++)
		assert_string_equal(problems.items[i].subject, subjects[i]);
	assert_non_null(strstr(err.message, "7 problems in t.yaml"));
}

struct bad_row {
	const char *name, *text, *subject, *message;
};

#define TRIGGER WEB "adapter: { prefix: w/, " FILE_A " } } }\ntriggers: { t: { service: web, "

static const struct bad_row bad_rows[] = {
	{ "unknown member", "service: {}", "service", "unknown; known here: state_dir, log, services" },
	{ "unknown member deep down",
		WEB "adapter: { prefix: w/, file: { path: /x/a, format: json, mod: 1 } } } }",
		"services.web.adapter.file.mod", "known here: path, format" },
	{ "databases are not read yet", "databases: {}", "databases", "unknown" },
	{ "log is empty", "log: ''", "log", "is empty" },
	{ "log is a number", "log: 5", "log", "an integer where a string is expected" },
	{ "state_dir is null", "state_dir:", "state_dir", "is empty where a path is expected" },
	{ "services is a list", "services: [a]", "services", "not an object" },
	{ "service is null", "services: { web: }", "services.web", "not an object" },
	{ "name with a slash", "services: { ../x: { driver: process, start: [a] } }", "services.../x",
		"a name is" },
	{ "empty name", "services: { '': { driver: process, start: [a] } }", "services.", "a name is" },
	{ "no driver", "services: { web: { start: [a] } }", "services.web.driver", "missing" },
	{ "unknown driver", "services: { web: { driver: docker, start: [a] } }", "services.web.driver",
		"not one of process, command" },
	{ "no start", "services: { web: { driver: process } }", "services.web.start", "missing" },
	{ "start is a string", "services: { web: { driver: process, start: run } }", "services.web.start",
		"a string where a list" },
	{ "start is empty", "services: { web: { driver: process, start: [] } }", "services.web.start",
		"names no program" },
	{ "start with a number", "services: { web: { driver: process, start: [a, 80] } }", "services.web.start",
		"item 2 is not a string" },
	{ "command without stop", "services: { web: { driver: command, start: [a] } }", "services.web.stop",
		"missing" },
	{ "status of a process", WEB "status: [a] } }", "services.web.status", "for driver 'command' only" },
	{ "signal of a command",
		"services: { web: { driver: command, start: [a], stop: [b], reload_signal: HUP } }",
		"services.web.reload_signal", "for driver 'process' only" },
	{ "KILL does not reload", WEB "reload_signal: KILL } }", "services.web.reload_signal",
		"not one of HUP" },
	{ "timeout zero", WEB "timeout: 0s } }", "services.web.timeout", "outside 1ms" },
	{ "timeout without unit", WEB "timeout: 10 } }", "services.web.timeout", "a duration such as 10s" },
	{ "timeout beyond all", WEB "timeout: 100000d } }", "services.web.timeout", "" },
	{ "env is a list", WEB "env: [A=1] } }", "services.web.env", "a list where an object" },
	{ "env name", WEB "env: { A-B: x } } }", "services.web.env.A-B", "no name of an environment" },
	{ "env value", WEB "env: { A: [1] } } }", "services.web.env.A", "a list where a string" },
	{ "critical is a word", WEB "critical: maybe } }", "services.web.critical", "true or false" },
	{ "after unknown", WEB "after: [db] } }", "services.web.after", "no service 'db'" },
	{ "after itself", WEB "after: [web] } }", "services.web.after", "cycle: web after web" },
	{ "cycle",
		"services: { x: { driver: process, start: [x], after: [a] }, a: { driver: process, start: [a], "
		"after: [b] }, "
		"b: { driver: process, start: [b], after: [c] }, c: { driver: process, start: [c], after: [a] "
		"} }",
		"services.a.after", "cycle: a after b after c after a" },
	{ "health url", WEB "health: { http: '127.0.0.1:80' } } }", "services.web.health.http", "not a URL" },
	{ "health status", WEB "health: { status: 99 } } }", "services.web.health.status",
		"outside 100 … 599" },
	{ "adapter without file", WEB "adapter: { prefix: w/ } } }", "services.web.adapter.file", "missing" },
	{ "adapter without prefix", WEB "adapter: { " FILE_A " } } }", "services.web.adapter.prefix",
		"missing" },
	{ "prefix without slash", WEB "adapter: { prefix: w, " FILE_A " } } }", "services.web.adapter.prefix",
		"" },
	{ "reserved prefix", WEB "adapter: { prefix: '@schema/', " FILE_A " } } }",
		"services.web.adapter.prefix", "reserved" },
	{ "path with newline", WEB "adapter: { prefix: w/, file: { path: \"/a\\nb\", format: json } } } }",
		"services.web.adapter.file.path", "control character" },
	{ "path is the root", WEB "adapter: { prefix: w/, file: { path: /, format: json } } }}",
		"services.web.adapter.file.path", "is a directory" },
	{ "template missing", WEB "adapter: { prefix: w/, file: { path: /a, format: template } } } }",
		"services.web.adapter.file.template", "missing" },
	{ "template for json",
		WEB "adapter: { prefix: w/, file: { path: /a, format: json, template: /b } } } }",
		"services.web.adapter.file.template", "for format 'template' only" },
	{ "template is the file",
		WEB "adapter: { prefix: w/, file: { path: /a, format: template, template: /b/../a } } } }",
		"services.web.adapter.file.template", "overwrite" },
	{ "names for json", WEB "adapter: { prefix: w/, file: { path: /a, format: json, names: upper } } } }",
		"services.web.adapter.file.names", "for format 'env' only" },
	{ "check without {}", WEB "adapter: { prefix: w/, check: [nginx, -t], " FILE_A " } } }",
		"services.web.adapter.check", "no '{}'" },
	{ "reload without command",
		"services: { web: { driver: command, start: [a], stop: [b], adapter: { prefix: w/, notify: "
		"reload, " FILE_A " } } }",
		"services.web.adapter.notify", "needs a 'reload' command" },
	{ "one file twice",
		"services: { a: { driver: process, start: [a], adapter: { prefix: a/, file: { path: /x/f, "
		"format: json } } }, "
		"b: { driver: process, start: [b], adapter: { prefix: b/, file: { path: /x/y/../f, format: env "
		"} } } }",
		"services.b.adapter.file.path", "claimed by the adapter of 'a'" },
	{ "one prefix twice",
		"services: { a: { driver: process, start: [a], adapter: { prefix: p/, file: { path: /x/f, "
		"format: json } } }, "
		"b: { driver: process, start: [b], adapter: { prefix: p/, file: { path: /x/g, format: env } } "
		"} }",
		"services.b.adapter.prefix", "claimed by the adapter of 'a'" },
	{ "trigger of nobody", "triggers: { t: { service: web, signal: error_rate, access_log: /l } }",
		"triggers.t.service", "no service 'web'" },
	{ "trigger without signal", TRIGGER "access_log: /l } }", "triggers.t.signal", "missing" },
	{ "error_rate without log", TRIGGER "signal: error_rate } }", "triggers.t.access_log", "missing" },
	{ "http without url", TRIGGER "signal: http } }", "triggers.t.url", "no 'health.http'" },
	{ "threshold 1", TRIGGER "signal: error_rate, access_log: /l, threshold: 1 } }", "triggers.t.threshold",
		"outside 0 … 1" },
	{ "threshold for http", TRIGGER "signal: http, url: 'http://a/', threshold: 0.1 } }",
		"triggers.t.threshold", "for signal 'error_rate' only" },
	{ "consecutive for error_rate", TRIGGER "signal: error_rate, access_log: /l, consecutive: 3 } }",
		"triggers.t.consecutive", "for signal 'http' only" },
	{ "consecutive and for", TRIGGER "signal: http, url: 'http://a/', consecutive: 3, for: 1s } }",
		"triggers.t.consecutive", "beside 'for'" },
	{ "min_samples zero", TRIGGER "signal: error_rate, access_log: /l, min_samples: 0 } }",
		"triggers.t.min_samples", "outside 1" },
	{ "rollback without scope",
		"services: { db: { driver: process, start: [a] } }\n"
		"triggers: { t: { service: db, signal: error_rate, access_log: /l } }",
		"triggers.t.action", "needs a scope" },
	{ "max_per_day negative", "monitor: { max_per_day: -1 }", "monitor.max_per_day", "outside 0 … 1000" },
	{ "monitor is a list", "monitor: []", "monitor", "a list where an object" },
};

static void test_bad(void **state)
{
	const struct bad_row *row = *state;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_topology *topology = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_topology_parse("/x/t.yaml", row->text, strlen(row->text), &topology, &problems, &err),
		LG_EINVALID, &err);
	assert_null(topology);
	assert_int_equal(problems.total, 1);
	assert_string_equal(problems.items[0].subject, row->subject);
	if (!strstr(problems.items[0].message, row->message))
		fail_msg("'%s' is not in '%s'", row->message, problems.items[0].message);
}

/* What is no document at all is an error, not a problem. */
static void test_unreadable(void **state)
{
	static const char *const texts[] = { "[1,2]", "just words", "a: b: c", "services: {\n", "a: 1\na: 2\n",
		"a: \xff", "log: \"a\\0b\"" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct lg_problems problems = LG_PROBLEMS_INIT;
		struct lg_topology *topology = NULL;
		struct lg_error err = LG_ERROR_INIT;
		lg_assert_code(
			lg_topology_parse("t.yaml", texts[i], strlen(texts[i]), &topology, &problems, &err),
			LG_EINVALID, &err);
		assert_non_null(strstr(err.message, "t.yaml"));
		assert_int_equal(problems.total, 0);
	}
}

int main(int argc, char **argv)
{
	lg_test_add("services", test_services, NULL);
	lg_test_add("adapters", test_adapters, NULL);
	lg_test_add("order of dependency", test_order, NULL);
	lg_test_add("triggers", test_triggers, NULL);
	lg_test_add("trigger defaults", test_trigger_defaults, NULL);
	lg_test_add("monitor and defaults", test_monitor, NULL);
	lg_test_add("hash of the file", test_hash, NULL);
	lg_test_add("load", test_load, NULL);
	lg_test_add("one file by two links", test_same_file_by_link, NULL);
	lg_test_add("all problems at once", test_all_at_once, NULL);
	lg_test_add("unreadable documents", test_unreadable, NULL);
	lg_test_rows("refused", test_bad, bad_rows, sizeof bad_rows / sizeof *bad_rows, sizeof *bad_rows,
		offsetof(struct bad_row, name));
	return lg_test_run(argv[0]);
}
