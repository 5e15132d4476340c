#include "support/world.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <jansson.h>

static struct world world;
static int worlds;

static void new_world(void)
{
	char name[32];
	snprintf(name, sizeof name, "plan%d", worlds++);
	world_make(&world, lg_test_path(name), false);
}

/* --- reasons ---------------------------------------------------------------------------------------------------------- */

static const struct reason_row {
	const char *name;
	const char *reason;
	int code;
} reason_rows[] = {
	{ "performance", "performance: slow", 0 },
	{ "user-report", "user-report: it says 502", 0 },
	{ "security", "security:x", 0 },
	{ "corruption", "corruption: \xc3\xa4", 0 },
	{ "compliance", "compliance: rule 5: two colons", 0 },
	{ "other", "other: because", 0 },
	{ "NULL", NULL, LG_EUSAGE },
	{ "empty", "", LG_EUSAGE },
	{ "no code", "because", LG_EUSAGE },
	{ "unknown code", "because: x", LG_EUSAGE },
	{ "beginning of a code", "perf: x", LG_EUSAGE },
	{ "code with more", "otherwise: x", LG_EUSAGE },
	{ "upper case", "Other: x", LG_EUSAGE },
	{ "no text", "other:", LG_EUSAGE },
	{ "blank text", "other: \t \n", LG_EUSAGE },
	{ "invalid UTF-8", "other: \xff", LG_EUSAGE },
};

static void test_reason(void **state)
{
	const struct reason_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_rollback_reason_check(row->reason, &err), row->code, &err);
	if (row->code < 0)
		assert_non_null(strstr(err.message, "CODE: text"));
	lg_assert_code(lg_rollback_reason_check(row->reason, NULL), row->code, &err);
}

/* --- targets and scopes ----------------------------------------------------------------------------------------------- */

static uint64_t good_revision;

/* r1 a=1 b=1; r2 a=2 b=2, marked good; r4 a=3 b=3, and c */
static void make_history(void)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	const struct lg_scope all = LG_SCOPE_ALL;
	const struct lg_author author = { "alice", "fine", false };
	uint8_t root[LG_HASH_SIZE];
	new_world();
	world_set(&world, "web/a", "1", "api/b", "1");
	good_revision = world_set(&world, "web/a", "2", "api/b", "2");
	world_root(&world, root);
	lg_assert_ok(lg_control_mark(&body, "good", good_revision, &all, root, &err), &err);
	const struct lg_control mark = { LG_KIND_MARK, body.data, body.len };
	lg_assert_ok(lg_config_control(world.config, &author, &mark, 1, NULL, &err), &err);
	world_set(&world, "web/a", "3", "api/b", "3", "web/c", "\"new\"");
}

static const struct target_row {
	const char *name;
	const char *scope;
	int code;
	uint64_t to;
	size_t changes;
	const char *web_a, *api_b, *web_c; /* afterwards */
} target_rows[] = {
	{ "r1", "", 0, 1, 3, "1", "1", NULL },
	{ "2", "", 0, 2, 3, "2", "2", NULL },
	{ "@-1", "", 0, 2, 3, "2", "2", NULL },
	{ "@-2", "", 0, 1, 3, "1", "1", NULL },
	{ "good", "", 0, 2, 3, "2", "2", NULL },
	{ "@1790000001", "", 0, 1, 3, "1", "1", NULL },
	{ "2026-09-21T14:13:22.5Z", "", 0, 2, 3, "2", "2", NULL },
	{ "head", "", 0, 4, 0, "3", "3", "\"new\"" },
	{ "r1", "web/", 0, 1, 2, "1", "3", NULL },
	{ "r1", "api/b", 0, 1, 1, "3", "1", "\"new\"" },
	{ "r1", "-web/c", 0, 1, 2, "1", "1", "\"new\"" },
	{ "r1", "web/ api/ -web/a", 0, 1, 2, "3", "1", NULL },
	{ "good", "web/", 0, 2, 2, "2", "3", NULL },
	{ "r1", "nothing/", 0, 1, 0, "3", "3", "\"new\"" },
	{ "r99", "", LG_ENOTFOUND, 0, 0, NULL, NULL, NULL },
	{ "@-3", "", LG_ENOTFOUND, 0, 0, NULL, NULL, NULL },
	{ "@-0", "", LG_EINVALID, 0, 0, NULL, NULL, NULL },
	{ "yesterday", "", LG_EINVALID, 0, 0, NULL, NULL, NULL },
	{ "", "", LG_EINVALID, 0, 0, NULL, NULL, NULL },
	{ "@1", "", LG_ENOTFOUND, 0, 0, NULL, NULL, NULL },
	{ "absent/file.json", "", LG_ENOTFOUND, 0, 0, NULL, NULL, NULL },
	{ "\xff.json", "", LG_EINVALID, 0, 0, NULL, NULL, NULL },
};

static int make_plan(const char *target, const char *scope_text, struct lg_rollback_plan **ret_plan,
	struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	world_scope(scope_text, &scope);
	const struct lg_rollback_request request = {
		.target = target, .scope = &scope, .author = { "alice", "other: test", false }
	};
	return lg_rollback_plan(world.config, NULL, &request, ret_plan, problems, err);
}

static int count_key(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	assert_true(before || after);
	++*(size_t *)arg;
	return 0;
}

static void test_target(void **state)
{
	const struct target_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	make_history();
	lg_assert_code(make_plan(row->name, row->scope, &plan, NULL, &err), row->code, &err);
	if (row->code < 0) {
		assert_null(plan);
		assert_true(err.message[0]);
		world_close(&world);
		return;
	}
	const json_t *json = lg_rollback_plan_json(plan);
	size_t visited = 0;
	assert_int_equal(json_integer_value(json_object_get(json, "to")), row->to);
	assert_int_equal(lg_rollback_plan_changes(plan), row->changes);
	lg_assert_ok(lg_rollback_plan_diff(plan, count_key, &visited), &err);
	assert_int_equal(visited, row->changes);
	lg_assert_code(lg_rollback_execute(world.config, NULL, plan, NULL, NULL, &outcome, &err),
		row->changes ? 0 : LG_EINVALID, &err);
	world_assert_value(&world, "web/a", row->web_a);
	world_assert_value(&world, "api/b", row->api_b);
	world_assert_value(&world, "web/c", row->web_c);
	/* without changes nothing is begun, not even a directory */
	char rollbacks[512];
	snprintf(rollbacks, sizeof rollbacks, "%s/rollbacks", world.state_dir);
	assert_int_equal(lg_file_exists(rollbacks), row->changes > 0);
	assert_int_equal(world_unfinished(&world), 0);
	world_close(&world);
}

static void test_back_is_not_what_was_left(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	new_world();
	world_set(&world, "a", "1");
	world_set(&world, "a", "2");
	world_set(&world, "a", "3");
	lg_assert_ok(world_roll_back(&world, "r2", "", false, NULL, &err), &err);
	world_assert_value(&world, "a", "2");
	/* one back from r2 is r1, not the r3 that was just left */
	lg_assert_ok(world_roll_back(&world, "@-1", "", false, NULL, &err), &err);
	world_assert_value(&world, "a", "1");
	world_close(&world);
}

/* --- hash ------------------------------------------------------------------------------------------------------------- */

static void hash_of(const struct lg_rollback_request *request, char ret_hash[65])
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	lg_assert_ok(lg_rollback_plan(world.config, world.delivery, request, &plan, NULL, &err), &err);
	assert_int_equal(strlen(lg_rollback_plan_hash(plan)), 64);
	assert_string_equal(lg_rollback_plan_hash(plan),
		json_string_value(json_object_get(lg_rollback_plan_json(plan), "hash")));
	snprintf(ret_hash, 65, "%s", lg_rollback_plan_hash(plan));
}

static void test_hash(void **state)
{
	(void)state;
	char first[65], other[65];
	lg_cleanup(lg_scope_clear) struct lg_scope web;
	const struct lg_scope all = LG_SCOPE_ALL;
	make_history();
	world_scope("web/", &web);
	const struct lg_rollback_request base = {
		.target = "r1", .scope = &web, .author = { "alice", "other: test", false }
	};
	hash_of(&base, first);
	hash_of(&base, other);
	assert_string_equal(first, other);
	/* what happens elsewhere leaves it as it is */
	world_set(&world, "api/b", "4");
	lg_clock_sim_advance(&world.sim, INT64_C(3600000000000));
	hash_of(&base, other);
	assert_string_equal(first, other);

	struct lg_rollback_request changed[6] = { base, base, base, base, base, base };
	changed[0].target = "r2";
	changed[1].scope = &all;
	changed[2].author.reason = "other: another";
	changed[3].author.actor = "bob";
	changed[4].emergency = true;
	changed[5].author.automatic = true;
	for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
		hash_of(&changed[i], other);
		assert_string_not_equal(first, other);
	}
	world_set(&world, "web/a", "4");
	hash_of(&base, other);
	assert_string_not_equal(first, other);
	world_close(&world);
}

static void test_hash_covers_the_topology(void **state)
{
	(void)state;
	char first[65], other[65], path[512];
	size_t len;
	const struct lg_scope all = LG_SCOPE_ALL;
	const struct lg_rollback_request request = {
		.target = "r1", .scope = &all, .author = { "alice", "other: test", false }
	};
	world_make(&world, lg_test_path("topology"), true);
	world_set(&world, "web/a", "1");
	world_set(&world, "web/a", "2");
	hash_of(&request, first);
	world_close(&world);
	snprintf(path, sizeof path, "%s/lastgood.yaml", world.dir);
	lg_autofree char *yaml = lg_test_read(path, &len);
	lg_autofree char *longer = NULL;
	assert_true(asprintf(&longer, "%s# a comment\n", yaml) > 0);
	lg_test_write(path, longer, strlen(longer));
	world_open(&world);
	hash_of(&request, other);
	assert_string_not_equal(first, other);
	world_close(&world);
}

/* --- backup files ----------------------------------------------------------------------------------------------------- */

static const struct file_row {
	const char *name;
	const char *file; /* with its ending */
	const char *text;
	const char *scope;
	bool exact, skip_invalid;
	int code;
	const char *problems; /* subjects, blank between */
	const char *web_a, *web_n, *api_b;
	bool declared; /* is web/n still declared? */
} file_rows[] = {
	{ "keys that it lacks are kept", "x.json", "{\"configurations\":{\"web/a\":{\"value\":7}}}", "", false,
		false, 0, "", "7", "5", "2", true },
	{ "exact removes them", "x.json", "{\"configurations\":{\"web/a\":{\"value\":7}}}", "", true, false, 0,
		"", "7", NULL, NULL, true },
	{ "exact within its scope", "x.json", "{\"configurations\":{\"web/a\":{\"value\":7}}}", "web/", true,
		false, 0, "", "7", NULL, "2", true },
	{ "exact removes declarations where the file has some", "x.json",
		"{\"configurations\":{\"web/a\":{\"value\":7}},\"schema\":{\"web/a\":{\"type\":\"int\"}}}", "",
		true, false, 0, "", "7", NULL, NULL, false },
	{ "nothing outside of the scope", "x.json",
		"{\"configurations\":{\"web/a\":{\"value\":7},\"api/b\":{\"value\":7}}}", "api/", false, false,
		0, "", "2", "5", "7", true },
	{ "all that is wrong is listed, and refuses all", "x.json",
		"{\"configurations\":{\"web/a\":{\"value\":7},\"web/n\":{\"value\":11},\"api//"
		"b\":{\"value\":1},"
		"\"web/z\":{\"valu\":1}}}",
		"", false, false, LG_EINVALID, "api//b web/n web/z", "2", "5", "2", true },
	{ "skip-invalid takes the valid ones", "x.json",
		"{\"configurations\":{\"web/a\":{\"value\":7},\"web/n\":{\"value\":11},\"api//"
		"b\":{\"value\":1},"
		"\"web/z\":{\"valu\":1}}}",
		"", false, true, 0, "api//b web/n web/z", "7", "5", "2", true },
	{ "skip-invalid with exact keeps what is there and wrong", "x.json",
		"{\"configurations\":{\"web/a\":{\"valu\":7},\"web/n\":{\"value\":11}}}", "", true, true, 0,
		"web/a web/n", "2", "5", NULL, true },
	{ "env", "x.env", "web__a=7\n", "", false, false, 0, "", "7", "5", "2", true },
	{ "yaml", "x.yaml", "configurations: { web/a: { value: 7 } }\n", "", false, false, 0, "", "7", "5", "2",
		true },
	{ "cut short", "x.json", "{\"configurations\":{\"web/a\":{\"value\":7}", "", false, false, LG_EINVALID,
		"", "2", "5", "2", true },
	{ "an empty file", "x.json", "", "", false, false, LG_EINVALID, "", "2", "5", "2", true },
	{ "exact with an empty configuration", "x.json", "{\"configurations\":{}}", "api/", true, false, 0, "",
		"2", "5", NULL, true },
	{ "duplicate keys", "x.env", "web__a=7\nweb__a=8\n", "", false, false, LG_EINVALID, NULL, "2", "5", "2",
		true },
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_problems(const struct lg_problems *problems, const char *want)
{
	const char *subjects[16];
	char text[256] = "";
	assert_true(problems->count < 16);
	for (size_t i = 0; i < problems->count; i++)
		subjects[i] = problems->items[i].subject;
	if (problems->count)
		qsort(subjects, problems->count, sizeof *subjects, by_text);
	for (size_t i = 0; i < problems->count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", subjects[i]);
	assert_string_equal(text, want);
}

static void make_settings(void)
{
	new_world();
	world_set(&world, "@schema/web/n", "{\"max\":10,\"type\":\"int\"}", "web/n", "4", "web/a", "1", "api/b",
		"1");
	world_set(&world, "web/n", "5", "web/a", "2", "api/b", "2");
}

static void test_file(void **state)
{
	const struct file_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	char path[512];
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	make_settings();
	snprintf(path, sizeof path, "%s/%s", world.dir, row->file);
	lg_test_write(path, row->text, strlen(row->text));
	world_scope(row->scope, &scope);
	const struct lg_rollback_request request = { .target = path,
		.scope = &scope,
		.author = { "alice", "other: test", false },
		.exact = row->exact,
		.skip_invalid = row->skip_invalid };
	lg_assert_code(lg_rollback_plan(world.config, NULL, &request, &plan, &problems, &err), row->code, &err);
	if (row->problems)
		assert_problems(&problems, row->problems);
	if (row->code == 0)
		lg_assert_ok(lg_rollback_execute(world.config, NULL, plan, NULL, NULL, NULL, &err), &err);
	world_assert_value(&world, "web/a", row->web_a);
	world_assert_value(&world, "web/n", row->web_n);
	world_assert_value(&world, "api/b", row->api_b);
	assert_int_equal(world_get(&world, "@schema/web/n") != NULL, row->declared);
	/* what was planned is what a process that opens the store later finds, and can undo */
	world_close(&world);
	world_open(&world);
	world_assert_value(&world, "web/a", row->web_a);
	if (row->code == 0) {
		lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *undo = NULL;
		const struct lg_author author = { "alice", "other: back", false };
		lg_assert_ok(lg_rollback_undo_plan(
				     world.config, NULL, lg_rollback_plan_id(plan), &author, &undo, NULL, &err),
			&err);
		lg_assert_ok(lg_rollback_execute(world.config, NULL, undo, NULL, NULL, NULL, &err), &err);
		world_assert_value(&world, "web/a", "2");
		world_assert_value(&world, "web/n", "5");
		world_assert_value(&world, "api/b", "2");
	}
	world_close(&world);
}

static void test_file_secrets_stay_sealed(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	char path[512];
	static const char text[] = "{\"configurations\":{\"web/pw\":{\"value\":\"hunter2\"}}}";
	new_world();
	world_set(&world, "@schema/web/pw", "{\"type\":\"secret\"}", "web/pw", "\"first\"");
	snprintf(path, sizeof path, "%s/x.json", world.dir);
	lg_test_write(path, text, strlen(text));
	struct lg_rollback_outcome outcome;
	lg_assert_ok(world_roll_back(&world, path, "", false, &outcome, &err), &err);
	snprintf(path, sizeof path, "state/rollbacks/%s/plan.json", outcome.id);
	lg_autofree char *plan = world_file(&world, path);
	assert_non_null(strstr(plan, "@secret"));
	assert_null(strstr(plan, "hunter2"));
	assert_non_null(strstr(world_get(&world, "web/pw"), "@secret"));
	world_close(&world);
}

/* A change elsewhere while the plan waits, then while it runs, is neither lost nor taken for its own. */
static void test_file_beside_other_changes(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	char path[512];
	static const char text[] = "{\"configurations\":{\"web/a\":{\"value\":7}}}";
	make_settings();
	snprintf(path, sizeof path, "%s/x.json", world.dir);
	lg_test_write(path, text, strlen(text));
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = world_plan(&world, path, "web/");
	world_set(&world, "api/b", "3");
	lg_assert_ok(lg_rollback_execute(world.config, NULL, plan, NULL, NULL, NULL, &err), &err);
	world_assert_value(&world, "web/a", "7");
	world_assert_value(&world, "api/b", "3");
	world_close(&world);
}

int main(void)
{
#define ROWS(rows) rows, sizeof rows / sizeof *(rows), sizeof *(rows), 0
	lg_test_rows("reason", test_reason, ROWS(reason_rows));
	lg_test_rows("target", test_target, ROWS(target_rows));
	lg_test_add("@-1 is not what was just left", test_back_is_not_what_was_left, NULL);
	lg_test_add("hash", test_hash, NULL);
	lg_test_add("hash covers the topology", test_hash_covers_the_topology, NULL);
	lg_test_rows("file", test_file, ROWS(file_rows));
	lg_test_add("file: secrets stay sealed", test_file_secrets_stay_sealed, NULL);
	lg_test_add("file: beside other changes", test_file_beside_other_changes, NULL);
	return lg_test_run("plan");
}
