#include "support/world.h"

#include "base/cleanup.h"
#include "model/value.h"

#include <jansson.h>
#include <unistd.h>

static struct world world;
static struct lg_error err;
static int worlds;

static void new_world(void)
{
	char name[32];
	snprintf(name, sizeof name, "delivery%d", worlds++);
	world_make(&world, lg_test_path(name), true);
	world_set(&world, "web/a", "1", "api/b", "1", "x", "1");
	err = (struct lg_error)LG_ERROR_INIT;
}

static void assert_file(const char *name, const char *want)
{
	lg_autofree char *text = world_file(&world, name);
	assert_string_equal(text, want);
}

static uint64_t head(void)
{
	struct lg_snapshot now;
	lg_config_snapshot(world.config, &now);
	uint64_t seq = now.seq;
	lg_snapshot_clear(&now);
	return seq;
}

static int commit(const char *const *pairs, struct lg_problems *problems)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (; *pairs; pairs += 2)
		lg_assert_ok(
			lg_changeset_add(&set, pairs[0], strlen(pairs[0]), pairs[1], strlen(pairs[1]), &err),
			&err);
	const struct lg_commit form = { .changes = &set, .author = { "alice", "test", false } };
	return lg_config_commit(world.config, &form, NULL, problems, &err);
}

/* --- before ----------------------------------------------------------------------------------------------------------- */

static int assert_refusal(void *arg, const struct lg_record *record, struct lg_error *ret_err)
{
	(void)arg;
	(void)ret_err;
	assert_non_null(strstr(record->body, "\"code\":\"refused_by_check\""));
	assert_non_null(strstr(record->body, "would refuse this change"));
	assert_null(strstr(record->body, "that will not do"));
	return 1;
}

static void test_refused_before_it_is_appended(void **state)
{
	(void)state;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	new_world();
	uint64_t seq = head();
	world_switch(&world, "web.check", "refuse");
	world_switch(&world, "api.check", "refuse");
	lg_assert_code(commit((const char *const[]){ "web/a", "2", "api/b", "2", NULL }, &problems),
		LG_EREFUSED, &err);
	/* that it was refused is on record, but not what the checks said: they may quote anything */
	assert_int_equal(head(), seq + 1);
	const struct lg_log_query refusal = { .from = seq + 1, .kinds = 1u << LG_KIND_REFUSAL };
	lg_assert_code(lg_config_query(world.config, &refusal, assert_refusal, NULL, &err), 1, &err);
	world_assert_value(&world, "web/a", "1");
	assert_file("web.json", "{\n  \"a\": 1\n}\n");
	/* each of them is named, with what its check said */
	assert_int_equal(problems.count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_non_null(strstr(problems.items[i].message, "that will not do"));
	assert_string_not_equal(problems.items[0].subject, problems.items[1].subject);
	/* former NULL: all of them; and nobody needs to take the message */
	struct lg_snapshot now;
	lg_config_snapshot(world.config, &now);
	lg_assert_code(lg_delivery_check(world.delivery, NULL, now.tree, NULL, NULL), LG_EREFUSED, &err);
	lg_snapshot_clear(&now);
	world_close(&world);
}

static void test_only_who_is_concerned_is_asked(void **state)
{
	(void)state;
	new_world();
	size_t checks = world_lines(&world, "web.checks");
	world_switch(&world, "web.check", "refuse");
	lg_assert_ok(commit((const char *const[]){ "api/b", "2", "x", "2", NULL }, NULL), &err);
	assert_int_equal(world_lines(&world, "web.checks"), checks);
	lg_delivery_pause_checks(world.delivery, true);
	lg_assert_ok(commit((const char *const[]){ "web/a", "2", NULL }, NULL), &err);
	lg_delivery_pause_checks(world.delivery, false);
	lg_assert_code(commit((const char *const[]){ "web/a", "3", NULL }, NULL), LG_EREFUSED, &err);
	world_close(&world);
}

/* A closed delivery asks nobody any more. */
static void test_closed(void **state)
{
	(void)state;
	new_world();
	world_switch(&world, "web.check", "refuse");
	lg_delivery_close(world.delivery);
	world.delivery = NULL;
	lg_assert_ok(commit((const char *const[]){ "web/a", "2", NULL }, NULL), &err);
	lg_delivery_close(NULL);
	world_close(&world);
}

/* --- after ------------------------------------------------------------------------------------------------------------ */

struct records {
	size_t count;
	char last[1024];
};

static int see(void *arg, const struct lg_record *record, struct lg_error *ignored)
{
	struct records *records = arg;
	(void)ignored;
	records->count++;
	snprintf(records->last, sizeof records->last, "%.*s", (int)record->body_len, record->body);
	return 0;
}

static struct records deliveries(uint64_t from)
{
	struct records records = { 0 };
	const struct lg_log_query query = { .from = from, .kinds = 1u << LG_KIND_DELIVERY };
	lg_assert_ok(lg_config_query(world.config, &query, see, &records, &err), &err);
	return records;
}

struct seen {
	size_t count, failed;
};

static void visit(void *arg, const struct lg_delivered *delivered)
{
	struct seen *seen = arg;
	seen->count++;
	if (delivered->code < 0) {
		seen->failed++;
		assert_true(delivered->error.message[0]);
	}
}

static void test_each_change_is_recorded_once(void **state)
{
	(void)state;
	new_world();
	assert_int_equal(deliveries(1).count, 2);
	uint64_t seq = head();
	lg_assert_ok(lg_delivery_run(world.delivery, "alice", NULL, NULL, &err), &err);
	assert_int_equal(head(), seq);
	lg_assert_ok(commit((const char *const[]){ "web/a", "2", NULL }, NULL), &err);
	struct seen seen = { 0 };
	lg_assert_ok(lg_delivery_run(world.delivery, "alice", visit, &seen, &err), &err);
	assert_int_equal(seen.count, 2);
	struct records records = deliveries(seq + 1);
	assert_int_equal(records.count, 1);
	lg_cleanup(lg_json_freep) json_t *body = json_loads(records.last, 0, NULL);
	assert_non_null(body);
	assert_string_equal(json_string_value(json_object_get(body, "adapter")), "web");
	assert_string_equal(json_string_value(json_object_get(body, "result")), "ok");
	assert_true(json_is_true(json_object_get(body, "notified")));
	assert_int_equal(json_integer_value(json_object_get(body, "revision")), seq + 1);
	world_close(&world);
}

static void test_one_failure_does_not_keep_the_others(void **state)
{
	(void)state;
	new_world();
	uint64_t seq = head();
	lg_assert_ok(commit((const char *const[]){ "web/a", "2", "api/b", "2", NULL }, NULL), &err);
	/* the first adapter there is, by its place */
	const char *first = lg_adapter_name(lg_delivery_adapter(world.delivery, 0));
	char reload[64];
	snprintf(reload, sizeof reload, "%s.reload", first);
	world_switch(&world, reload, "fail");
	struct seen seen = { 0 };
	lg_assert_code(lg_delivery_run(world.delivery, "alice", visit, &seen, &err), LG_EFAILED, &err);
	assert_non_null(strstr(err.message, first));
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.failed, 1);
	assert_file("web.json", "{\n  \"a\": 2\n}\n");
	assert_file("api.json", "{\n  \"b\": 2\n}\n");
	struct records records = deliveries(seq + 1);
	assert_int_equal(records.count, 2);
	lg_assert_code(lg_delivery_run(world.delivery, "alice", NULL, NULL, NULL), LG_EFAILED, &err);
	/* what is owed is delivered as soon as it can be */
	world_switch(&world, reload, NULL);
	lg_assert_ok(lg_delivery_run(world.delivery, "alice", NULL, NULL, &err), &err);
	assert_file("web.loaded", "{\n  \"a\": 2\n}\n");
	assert_file("api.loaded", "{\n  \"b\": 2\n}\n");
	world_close(&world);
}

static void test_concerns(void **state)
{
	(void)state;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *before = NULL;
	struct lg_snapshot now;
	new_world();
	const struct lg_adapter *web = lg_delivery_adapter_named(world.delivery, "web");
	const struct lg_adapter *api = lg_delivery_adapter_named(world.delivery, "api");
	assert_non_null(web);
	assert_non_null(api);
	assert_null(lg_delivery_adapter_named(world.delivery, "we"));
	assert_null(lg_delivery_service(world.delivery, "nobody"));
	assert_non_null(lg_delivery_service(world.delivery, "api"));
	assert_int_equal(lg_delivery_count(world.delivery), 2);
	lg_config_snapshot(world.config, &now);
	before = now.tree;
	lg_assert_ok(commit((const char *const[]){ "web/a", "2", "x", "2", NULL }, NULL), &err);
	lg_config_snapshot(world.config, &now);
	assert_true(lg_delivery_concerns(web, before, now.tree));
	assert_false(lg_delivery_concerns(api, before, now.tree));
	assert_false(lg_delivery_concerns(web, before, before));
	lg_snapshot_clear(&now);
	world_close(&world);
}

LG_TEST_MAIN(cmocka_unit_test(test_refused_before_it_is_appended),
	cmocka_unit_test(test_only_who_is_concerned_is_asked), cmocka_unit_test(test_closed),
	cmocka_unit_test(test_each_change_is_recorded_once),
	cmocka_unit_test(test_one_failure_does_not_keep_the_others), cmocka_unit_test(test_concerns))
