/* Taking back one revision: exactly its keys, conflicts with what came later, and the road that every rollback takes. */
#include "support/world.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

static struct world world;
static int worlds;

/* --- histories as text ------------------------------------------------------------------------------------------------ */

static void go_back(uint64_t to, const char *scope_text)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	world_scope(scope_text, &scope);
	const struct lg_restore restore = {
		.to = to, .scope = &scope, .author = { "carol", "other: back", false }
	};
	lg_assert_ok(lg_config_restore(world.config, &restore, NULL, NULL, &err), &err);
}

static void control(enum lg_kind kind)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	const struct lg_author author = { "dave", "fine", false };
	const uint8_t hash[LG_HASH_SIZE] = { 0 };
	world_scope("zone/", &scope);
	if (kind == LG_KIND_HOLD)
		lg_assert_ok(lg_control_hold(&body, &scope, NULL, &err), &err);
	else
		lg_assert_ok(lg_control_mark(&body, "good", 1, &scope, hash, &err), &err);
	const struct lg_control one = { kind, body.data, body.len };
	lg_assert_ok(lg_config_control(world.config, &author, &one, 1, NULL, &err), &err);
}

static void change(char *text)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (char *pair; (pair = strsep(&text, ";"));) {
		char *value = strchr(pair, '=');
		*value++ = '\0';
		lg_assert_ok(
			lg_changeset_add(&set, pair, strlen(pair), *value ? value : NULL, strlen(value), &err),
			&err);
	}
	const struct lg_commit commit = { .changes = &set, .author = { "alice", "test", false } };
	lg_assert_ok(lg_config_commit(world.config, &commit, NULL, NULL, &err), &err);
}

/* Records, blank between: "a=1;b=" sets a and unsets b; "<3:p/" goes back to r3; "mark", "hold". */
static void add_records(const char *records)
{
	char copy[1024], *rest = copy;
	assert_true((size_t)snprintf(copy, sizeof copy, "%s", records) < sizeof copy);
	for (char *word; (word = strsep(&rest, " "));) {
		char *scope = strchr(word, ':');
		lg_clock_sim_advance(&world.sim, INT64_C(1000000000));
		if (strcmp(word, "mark") == 0)
			control(LG_KIND_MARK);
		else if (strcmp(word, "hold") == 0)
			control(LG_KIND_HOLD);
		else if (*word == '<')
			go_back(strtoull(word + 1, NULL, 10), scope ? scope + 1 : "");
		else
			change(word);
	}
}

static void new_world(const char *records)
{
	char name[32];
	snprintf(name, sizeof name, "revert%d", worlds++);
	world_make(&world, lg_test_path(name), false);
	add_records(records);
}

static int add_entry(void *arg, const struct lg_entry *entry)
{
	struct lg_buf *buf = arg;
	return lg_buf_addf(buf, "%s%s=%s", buf->len ? ";" : "", entry->key, entry->value);
}

static void assert_state(const char *want)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	struct lg_snapshot now;
	lg_config_snapshot(world.config, &now);
	lg_tree_walk(now.tree, "", 0, add_entry, &buf);
	lg_snapshot_clear(&now);
	assert_string_equal(lg_buf_str(&buf), want);
}

static int plan_revert(const char *revision, enum lg_on_conflict on_conflict, const char *scope_text,
	struct lg_rollback_plan **ret_plan, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	world_scope(scope_text, &scope);
	const struct lg_rollback_request request = { .revert = revision,
		.on_conflict = on_conflict,
		.scope = &scope,
		.author = { "bob", "other: test", false } };
	return lg_rollback_plan(world.config, world.delivery, &request, ret_plan, problems, err);
}

static struct lg_rollback_plan *must_plan(const char *revision, enum lg_on_conflict on_conflict)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_plan *plan = NULL;
	lg_assert_ok(plan_revert(revision, on_conflict, "", &plan, NULL, &err), &err);
	return plan;
}

static void execute(struct lg_rollback_plan *plan)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_rollback_outcome outcome = { 0 };
	lg_assert_ok(lg_rollback_execute(world.config, world.delivery, plan, NULL, NULL, &outcome, &err), &err);
	assert_string_equal(outcome.outcome, "done");
}

static void undo(const char *id)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_author author = { "bob", "other: back", false };
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	lg_assert_ok(lg_rollback_undo_plan(world.config, world.delivery, id, &author, &plan, NULL, &err), &err);
	execute(plan);
}

/* --- what it takes back -------------------------------------------------------------------------------------------------- */

#define TAKE_10 "@schema/n={\"max\":10,\"type\":\"int\"}"
#define TAKE_99 "@schema/n={\"max\":99,\"type\":\"int\"}"

static const struct row {
	const char *name;
	const char *records;
	const char *revision;
	enum lg_on_conflict on_conflict;
	const char *scope;
	int code;
	const char *state;  /* afterwards, when it was taken back */
	const char *listed; /* keys of conflicts with their revisions, or of problems */
} rows[] = {
	{ "a changed key", "a=1;b=1 a=2 b=2", "r2", 0, "", 0, "a=1;b=2", "" },
	{ "without the r", "a=1 a=2", "2", 0, "", 0, "a=1", "" },
	{ "head", "a=1 a=2 mark", "head", 0, "", 0, "a=1", "" },
	{ "a new key is removed", "a=1 b=1 c=1", "r2", 0, "", 0, "a=1;c=1", "" },
	{ "a removed key is set again", "a=1;b=1 a= b=2", "r2", 0, "", 0, "a=1;b=2", "" },
	{ "all three", "a=1;b=1 a=2;b=;c=1 d=1", "r2", 0, "", 0, "a=1;b=1;d=1", "" },
	{ "the first revision", "a=1 b=1", "r1", 0, "", 0, "b=1", "" },
	{ "the only one", "a=1", "r1", 0, "", 0, "", "" },
	{ "within a scope", "w/a=1;x=1 w/a=2;x=2", "r2", 0, "w/", 0, "w/a=1;x=2", "" },
	{ "but for a scope", "w/a=1;x=1 w/a=2;x=2", "r2", 0, "-w/", 0, "w/a=2;x=1", "" },
	{ "one key", "a=1;b=1 a=2;b=2", "r2", 0, "b", 0, "a=2;b=1", "" },
	{ "a conflict beyond the scope is none", "a=1;b=1 a=2;b=2 a=3", "r2", 0, "b", 0, "a=3;b=1", "" },
	/* restores */
	{ "a restore", "a=1;b=1 a=2;b=2;c=1 <1 d=1", "r3", 0, "", 0, "a=2;b=2;c=1;d=1", "" },
	{ "a restore of a part", "p/a=1;b=1 p/a=2;b=2 <1:p/", "r3", 0, "", 0, "b=2;p/a=2", "" },
	{ "a restore, changed since", "a=1;b=1 a=2;b=2 <1 a=5", "r3", LG_CONFLICT_SKIP, "", 0, "a=5;b=2",
		"a:4" },
	{ "a later restore of others leaves it", "a=1 a=2 b=1 b=2 <3", "r2", 0, "", 0, "a=1;b=1", "" },
	{ "a later restore brought it back", "a=1 a=2 a=3 <2", "r2", 0, "", 0, "a=1", "" },
	{ "a later restore went behind it", "a=1 a=2 a=3;b=1 <2 <1 b=2", "r3", 0, "", LG_ECONFLICT, NULL,
		"a:5 b:6" },
	{ "a later restore to before it", "a=1 a=2;b=1 <1", "r2", 0, "", 0, "a=1", "" },
	/* conflicts */
	{ "changed since", "a=1 a=2 a=3", "r2", 0, "", LG_ECONFLICT, NULL, "a:3" },
	{ "changed since to the same and back", "a=1 a=2 a=3 a=2", "r2", 0, "", LG_ECONFLICT, NULL, "a:4" },
	{ "removed since", "a=1 a=2 a=", "r2", 0, "", LG_ECONFLICT, NULL, "a:3" },
	{ "removed by it, set since", "a=1 a= a=3", "r2", 0, "", LG_ECONFLICT, NULL, "a:3" },
	{ "removed by it, set and removed since", "a=1 a= a=3 a=", "r2", 0, "", LG_ECONFLICT, NULL, "a:4" },
	{ "new by it, changed since", "b=1 a=1 a=2", "r2", 0, "", LG_ECONFLICT, NULL, "a:3" },
	{ "rolled back since to something else", "a=1 a=2 a=3 <1:a", "r3", 0, "", LG_ECONFLICT, NULL, "a:4" },
	{ "each one is listed", "a=1;b=1;c=1 a=2;b=2;c=2 c=3 a=3", "r2", 0, "", LG_ECONFLICT, NULL, "a:4 c:3" },
	{ "skipped", "a=1;b=1;c=1 a=2;b=2;c=2 c=3 a=3", "r2", LG_CONFLICT_SKIP, "", 0, "a=3;b=1;c=3",
		"a:4 c:3" },
	{ "forced", "a=1;b=1;c=1 a=2;b=2;c=2 c=3 a=3", "r2", LG_CONFLICT_FORCE, "", 0, "a=1;b=1;c=1",
		"a:4 c:3" },
	{ "forced: removed since", "a=1 a=2 a=", "r2", LG_CONFLICT_FORCE, "", 0, "a=1", "a:3" },
	{ "forced: new by it, changed since", "b=1 a=1 a=2", "r2", LG_CONFLICT_FORCE, "", 0, "b=1", "a:3" },
	{ "all are skipped", "a=1 a=2 a=3", "r2", LG_CONFLICT_SKIP, "", 0, "a=3", "a:3" },
	/* nothing to do */
	{ "already as before", "a=1 a=2 a=1", "r2", 0, "", 0, "a=1", "" },
	{ "already removed again", "b=1 a=1 a=", "r2", 0, "", 0, "b=1", "" },
	{ "already set again", "a=1 a= a=1", "r2", 0, "", 0, "a=1", "" },
	{ "one already, one not", "a=1;b=1 a=2;b=2 a=1", "r2", 0, "", 0, "a=1;b=1", "" },
	/* declarations */
	{ "a declaration", "n=5 " TAKE_10, "r2", 0, "", 0, "n=5", "" },
	{ "a declaration and its value", "n=50 n=5;" TAKE_10 " b=1", "r2", 0, "", 0, "b=1;n=50", "" },
	{ "a wider one, which a later value needs", TAKE_10 ";n=1 " TAKE_99 " n=50", "r2", 0, "", LG_EINVALID,
		NULL, "n" },
	{ "values against a later declaration", "n=50;m=1 n=5;m=2 " TAKE_10, "r2", 0, "", LG_EINVALID, NULL,
		"n" },
	{ "all that is wrong",
		"n=50;@schema/m={\"type\":\"int\"};m=1 n=5;@schema/m=;m=\"x\" " TAKE_10 " m=\"y\"", "r2",
		LG_CONFLICT_SKIP, "", LG_EINVALID, NULL, "m n" },
	{ "strict mode that came later", "s/a=1;b=1 s/a= @schema/@strict=[\"s/\"]", "r2", 0, "", LG_EINVALID,
		NULL, "s/a" },
	{ "strict mode itself", "a=1 @schema/@strict=[\"s/\"]", "r2", 0, "", 0, "a=1", "" },
	{ "a flag", "@flag/f={\"on\":true} @flag/f={\"on\":false}", "r2", 0, "", 0, "@flag/f={\"on\":true}",
		"" },
	/* what cannot be taken back */
	{ "r0", "a=1", "r0", 0, "", LG_ENOTFOUND, NULL, "" },
	{ "in the future", "a=1", "r7", 0, "", LG_ENOTFOUND, NULL, "" },
	{ "a mark", "a=1 mark", "r2", 0, "", LG_EINVALID, NULL, "" },
	{ "a hold", "a=1 hold", "r2", 0, "", LG_EINVALID, NULL, "" },
	{ "nothing in the scope", "a=1 b=1", "r2", 0, "a", LG_EINVALID, NULL, "" },
	{ "no revision", "a=1", "@-1", 0, "", LG_EINVALID, NULL, "" },
	{ "empty", "a=1", "", 0, "", LG_EINVALID, NULL, "" },
	{ "a file", "a=1", "./r1.json", 0, "", LG_EINVALID, NULL, "" },
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Subjects, with the revision that a conflict names. */
static void assert_problems(const struct lg_problems *problems, const char *want)
{
	char texts[8][64], text[256] = "";
	const char *sorted[8];
	assert_true(problems->count <= 8);
	for (size_t i = 0; i < problems->count; i++) {
		unsigned revision = 0;
		sorted[i] = texts[i];
		if (sscanf(problems->items[i].message, "r%u changed it since", &revision) == 1)
			snprintf(texts[i], sizeof texts[i], "%s:%u", problems->items[i].subject, revision);
		else
			snprintf(texts[i], sizeof texts[i], "%s", problems->items[i].subject);
	}
	if (problems->count)
		qsort(sorted, problems->count, sizeof *sorted, by_text);
	for (size_t i = 0; i < problems->count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", sorted[i]);
	assert_string_equal(text, want);
}

static void assert_conflicts(const struct lg_rollback_plan *plan, const char *want)
{
	char text[256] = "";
	size_t i;
	json_t *conflict;
	json_array_foreach(json_object_get(lg_rollback_plan_json(plan), "conflicts"), i, conflict)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s:%d", i ? " " : "",
			json_string_value(json_object_get(conflict, "key")),
			(int)json_integer_value(json_object_get(conflict, "revision")));
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

static void run_plan(const struct row *row, struct lg_rollback_plan *plan)
{
	struct lg_error err = LG_ERROR_INIT;
	uint8_t before[LG_HASH_SIZE], root[LG_HASH_SIZE];
	world_root(&world, before);
	if (lg_rollback_plan_changes(plan) == 0) {
		lg_assert_code(lg_rollback_execute(world.config, NULL, plan, NULL, NULL, NULL, &err),
			LG_EINVALID, &err);
		assert_state(row->state);
		return;
	}
	execute(plan);
	assert_state(row->state);
	assert_int_equal(world_bad_marks(&world), 1);
	/* a later process finds the same, and takes it back */
	world_close(&world);
	world_open(&world);
	assert_state(row->state);
	undo(lg_rollback_plan_id(plan));
	world_root(&world, root);
	assert_memory_equal(root, before, LG_HASH_SIZE);
	assert_int_equal(world_bad_marks(&world), 0);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	new_world(row->records);
	uint64_t former = head();
	int rc = plan_revert(row->revision, row->on_conflict, row->scope, &plan, &problems, &err);
	lg_assert_code(rc, row->code, &err);
	assert_int_equal(head(), former);
	if (row->code < 0) {
		assert_null(plan);
		assert_problems(&problems, row->listed);
		assert_true(err.message[0]);
	} else {
		assert_conflicts(plan, row->listed);
		run_plan(row, plan);
	}
	world_close(&world);
}

/* --- the record, the hold ------------------------------------------------------------------------------------------------ */

struct seen {
	char kinds[256], body[512];
};

static int see_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct seen *seen = arg;
	(void)err;
	snprintf(seen->kinds + strlen(seen->kinds), sizeof seen->kinds - strlen(seen->kinds), "%s ",
		lg_kind_name(record->kind));
	if (record->kind == LG_KIND_CHANGE)
		snprintf(seen->body, sizeof seen->body, "%s", record->body);
	return 0;
}

static void test_one_append(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct seen seen = { 0 };
	char want[256];
	new_world("w/a=1;w/b=1;x=1 w/a=2;w/b=;y=1 x=2");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = must_plan("r2", LG_CONFLICT_REFUSE);
	execute(plan);
	const struct lg_log_query query = { .from = 4 };
	lg_assert_ok(lg_config_query(world.config, &query, see_record, &seen, &err), &err);
	assert_string_equal(seen.kinds, "change mark hold rollback ");
	snprintf(want, sizeof want,
		"{\"reverts\":2,\"rollback\":\"%s\",\"set\":{\"w/a\":1,\"w/b\":1},\"unset\":[\"y\"]}",
		lg_rollback_plan_id(plan));
	assert_string_equal(seen.body, want);
	/* held and quarantined is what was taken back, and no more */
	const struct lg_controls *controls = lg_config_controls(world.config);
	assert_int_equal(controls->marks[0].revision, 2);
	lg_cleanup(lg_scope_clear) struct lg_scope scope;
	world_scope("w/a w/b y", &scope);
	assert_true(lg_scope_equal(&world_hold(&world, lg_rollback_plan_id(plan))->scope, &scope));
	assert_true(lg_scope_equal(&controls->marks[0].scope, &scope));
	lg_assert_code(world_try_set(&world, "w/a", "9", false, &err), LG_EHELD, &err);
	lg_assert_ok(world_try_set(&world, "x", "9", false, &err), &err);
	lg_assert_ok(world_try_set(&world, "w/c", "9", false, &err), &err);
	world_close(&world);
}

static const struct wide_row {
	const char *name;
	const char *pattern; /* of 300 keys */
	const char *scope;
	const char *want; /* scope of the plan */
} wide_rows[] = {
	{ "deep", "w/x/y/z/%d", "", "{\"include\":[\"w/x/y/z/\"]}" },
	{ "one prefix", "w/%d", "", "{\"include\":[\"w/\"]}" },
	{ "many of each kind", "w/%d/x/y", "", "{\"include\":[\"w/\"]}" },
	{ "nothing in common", "k%d", "", "{}" },
	{ "an exception stays one", "w/%d", "-w/7", "{\"exclude\":[\"w/7\"],\"include\":[\"w/\"]}" },
	{ "as was asked for", "w/k/%d", "w/", "{\"include\":[\"w/\"]}" },
};

static void test_scope_of_many_keys(void **state)
{
	const struct wide_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	new_world("other=1");
	for (int i = 0; i < 300; i++) {
		char key[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(key, sizeof key, row->pattern, i);
#pragma GCC diagnostic pop
		lg_assert_ok(lg_changeset_add(&set, key, strlen(key), "1", 1, &err), &err);
	}
	const struct lg_commit commit = { .changes = &set, .author = { "alice", "test", false } };
	lg_assert_ok(lg_config_commit(world.config, &commit, NULL, NULL, &err), &err);
	lg_assert_ok(plan_revert("r2", LG_CONFLICT_REFUSE, row->scope, &plan, NULL, &err), &err);
	lg_assert_ok(
		lg_scope_from_json(json_object_get(lg_rollback_plan_json(plan), "scope"), &scope, &err), &err);
	lg_scope_add_canonical(&scope, &text);
	assert_string_equal(lg_buf_str(&text), row->want);
	execute(plan);
	assert_state(*row->scope == '-' ? "other=1;w/7=1" : "other=1");
	undo(lg_rollback_plan_id(plan));
	world_assert_value(&world, "other", "1");
	world_close(&world);
}

/* --- stale, held, hash ----------------------------------------------------------------------------------------------------- */

static void test_stale(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	new_world("a=1;b=1 a=2;b=2");
	{ /* what was left alone may change meanwhile */
		lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
		lg_assert_ok(plan_revert("r2", LG_CONFLICT_REFUSE, "a", &plan, NULL, &err), &err);
		add_records("b=3");
		execute(plan);
		assert_state("a=1;b=3");
		undo(lg_rollback_plan_id(plan));
	}
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = must_plan("r2", LG_CONFLICT_SKIP);
	add_records("a=7");
	lg_assert_code(
		lg_rollback_execute(world.config, NULL, plan, NULL, NULL, NULL, &err), LG_ECONFLICT, &err);
	assert_non_null(strstr(err.message, "stale"));
	assert_state("a=7;b=3");
	assert_int_equal(world_unfinished(&world), 0);
	world_close(&world);
}

static void test_a_declaration_that_came_meanwhile(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	new_world("n=50 n=5");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = must_plan("r2", LG_CONFLICT_REFUSE);
	add_records(TAKE_10);
	lg_assert_code(
		lg_rollback_execute(world.config, NULL, plan, NULL, NULL, NULL, &err), LG_ECONFLICT, &err);
	world_assert_value(&world, "n", "5");
	world_close(&world);
}

static void test_a_hold_blocks_no_person(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	new_world("zone/a=1 zone/a=2 hold");
	lg_assert_code(world_try_set(&world, "zone/a", "9", false, &err), LG_EHELD, &err);
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = must_plan("r2", LG_CONFLICT_REFUSE);
	execute(plan);
	assert_state("zone/a=1");
	world_close(&world);
}

static void test_hash(void **state)
{
	(void)state;
	new_world("a=1;b=1 a=2;b=2 b=3");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *skip = must_plan("r2", LG_CONFLICT_SKIP);
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *again = must_plan("2", LG_CONFLICT_SKIP);
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *force = must_plan("r2", LG_CONFLICT_FORCE);
	assert_string_equal(lg_rollback_plan_hash(skip), lg_rollback_plan_hash(again));
	assert_string_not_equal(lg_rollback_plan_hash(skip), lg_rollback_plan_hash(force));
	/* what it leaves alone is no part of it */
	add_records("b=4 c=1");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *later = must_plan("r2", LG_CONFLICT_SKIP);
	assert_string_equal(lg_rollback_plan_hash(skip), lg_rollback_plan_hash(later));
	world_close(&world);
}

/* Back and forth: what an undo brought back is what the revision did, and can be taken back again. */
static void test_again_after_an_undo(void **state)
{
	(void)state;
	new_world("a=1 a=2 b=1");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *first = must_plan("r2", LG_CONFLICT_REFUSE);
	execute(first);
	undo(lg_rollback_plan_id(first));
	assert_state("a=2;b=1");
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *second =
		must_plan("r2", LG_CONFLICT_REFUSE);
	execute(second);
	assert_state("a=1;b=1");
	/* and the revert itself is a revision like any other */
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *third =
		must_plan("head", LG_CONFLICT_REFUSE);
	execute(third);
	assert_state("a=2;b=1");
	world_close(&world);
}

/* --- secrets ----------------------------------------------------------------------------------------------------------------- */

static void assert_no_secret(const char *text)
{
	static const char *const secrets[] = { "hunter1", "hunter2", "hunter3" };
	for (size_t i = 0; i < 3; i++)
		assert_null(strstr(text, secrets[i]));
}

static void test_secrets(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	new_world("@schema/pw={\"type\":\"secret\"};pw=\"hunter1\";old=1 pw=\"hunter2\" pw=\"hunter3\"");
	lg_assert_code(plan_revert("r2", LG_CONFLICT_REFUSE, "", &plan, &problems, &err), LG_ECONFLICT, &err);
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.items[0].message, "then <secret>, now <secret>"));
	assert_no_secret(problems.items[0].message);
	assert_no_secret(err.message);
	plan = must_plan("r2", LG_CONFLICT_FORCE);
	lg_autofree char *text = json_dumps(lg_rollback_plan_json(plan), 0);
	assert_no_secret(text);
	assert_null(strstr(text, "\"then\":{"));
	execute(plan);
	assert_non_null(strstr(world_get(&world, "pw"), "@secret"));
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_cleanup(lg_buf_clear) struct lg_buf plain = LG_BUF_INIT;
	lg_config_snapshot(world.config, &now);
	assert_true(lg_tree_get(now.tree, "pw", 2, &entry));
	lg_assert_ok(lg_config_plain(world.config, &entry, &plain, &err), &err);
	lg_snapshot_clear(&now);
	assert_string_equal(lg_buf_str(&plain), "\"hunter1\"");
	world_close(&world);
}

/* A value that is declared as a secret later is one in the listing too. */
static void test_a_secret_that_was_none(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_problems_clear) struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	new_world("pw=\"hunter1\" pw=\"hunter2\" @schema/pw={\"type\":\"secret\"}");
	lg_assert_code(plan_revert("r2", LG_CONFLICT_REFUSE, "", &plan, &problems, &err), LG_ECONFLICT, &err);
	assert_int_equal(problems.count, 1);
	assert_no_secret(problems.items[0].message);
	plan = must_plan("r2", LG_CONFLICT_FORCE);
	lg_autofree char *text = json_dumps(lg_rollback_plan_json(plan), 0);
	assert_no_secret(text);
	world_close(&world);
	/* taking the declaration back opens the value again, as it was */
	new_world("pw=\"open\" @schema/pw={\"type\":\"secret\"}");
	lg_rollback_plan_free(plan);
	plan = must_plan("r2", LG_CONFLICT_REFUSE);
	execute(plan);
	assert_state("pw=\"open\"");
	world_close(&world);
}

/* --- any history ---------------------------------------------------------------------------------------------------------------- */

enum { KEYS = 6 };
static const char *const keys[KEYS] = { "a", "b", "p/c", "p/d", "p/q/e", "f" };

static void make_random(unsigned *seed)
{
	for (int i = 0; i < 12; i++) {
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
		if (i > 2 && rand_r(seed) % 4 == 0) {
			go_back((uint64_t)rand_r(seed) % head(), rand_r(seed) % 2 ? "" : "p/");
			continue;
		}
		for (int k = 0; k < KEYS; k++) {
			char value[24];
			bool there = world_get(&world, keys[k]) != NULL;
			snprintf(value, sizeof value, "%d", rand_r(seed) % 3);
			if (rand_r(seed) % 3 == 0)
				lg_assert_ok(lg_changeset_add(&set, keys[k], strlen(keys[k]),
						     there && rand_r(seed) % 3 == 0 ? NULL : value,
						     strlen(value), &err),
					&err);
		}
		const struct lg_commit commit = { .changes = &set, .author = { "alice", "test", false } };
		lg_assert_ok(lg_config_commit(world.config, &commit, NULL, NULL, &err), &err);
	}
}

static bool value_at(struct lg_tree *tree, const char *key, char ret_value[24])
{
	struct lg_entry entry;
	ret_value[0] = '\0';
	if (!lg_tree_get(tree, key, strlen(key), &entry))
		return false;
	snprintf(ret_value, 24, "%s", entry.value);
	return true;
}

static struct lg_tree *tree_at(uint64_t revision)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_tree *tree = NULL;
	lg_assert_ok(lg_config_tree_at(world.config, revision, &tree, &err), &err);
	return tree;
}

static bool is_listed(const struct lg_rollback_plan *plan, const char *key)
{
	size_t i;
	json_t *conflict;
	json_array_foreach(json_object_get(lg_rollback_plan_json(plan), "conflicts"), i, conflict)
	{
		if (strcmp(json_string_value(json_object_get(conflict, "key")), key) == 0)
			return true;
	}
	return false;
}

/* Each key that the revision changed is as it was before it, or as it is now if it is listed and skipped; all others are as
 * they are now. */
static void check_revert(uint64_t revision, enum lg_on_conflict on_conflict)
{
	char name[24], before[24], after[24], now[24], then[24];
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree_before = tree_at(revision - 1);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree_after = tree_at(revision);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree_now = tree_at(head());
	snprintf(name, sizeof name, "r%" PRIu64, revision);
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = must_plan(name, on_conflict);
	if (lg_rollback_plan_changes(plan))
		execute(plan);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree_then = tree_at(head());
	for (int k = 0; k < KEYS; k++) {
		value_at(tree_before, keys[k], before);
		value_at(tree_after, keys[k], after);
		value_at(tree_now, keys[k], now);
		value_at(tree_then, keys[k], then);
		bool did = strcmp(before, after) != 0;
		bool listed = is_listed(plan, keys[k]);
		assert_true(did || !listed);
		if (did && strcmp(now, after) != 0 && strcmp(now, before) != 0)
			assert_true(listed);
		bool left = !did || (listed && on_conflict == LG_CONFLICT_SKIP);
		assert_string_equal(then, left ? now : before);
	}
	if (lg_rollback_plan_changes(plan))
		undo(lg_rollback_plan_id(plan));
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree_back = tree_at(head());
	for (int k = 0; k < KEYS; k++) {
		value_at(tree_now, keys[k], now);
		value_at(tree_back, keys[k], then);
		assert_string_equal(then, now);
	}
}

static void test_random_histories(void **state)
{
	(void)state;
	unsigned seed = 11;
	int taken = 0;
	for (int i = 0; i < 8; i++) {
		new_world("a=0;b=0 p/c=1;p/d=1");
		make_random(&seed);
		for (uint64_t revision = 1, last = head(); revision <= last; revision++) {
			struct lg_error err = LG_ERROR_INIT;
			char name[24];
			snprintf(name, sizeof name, "r%" PRIu64, revision);
			lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
			if (plan_revert(name, LG_CONFLICT_SKIP, "", &plan, NULL, &err) < 0)
				continue; /* a control record of a check before */
			check_revert(revision, revision % 2 ? LG_CONFLICT_SKIP : LG_CONFLICT_FORCE);
			taken++;
		}
		world_close(&world);
	}
	assert_true(taken > 60);
}

/* --- what retention dropped ------------------------------------------------------------------------------------------------------ */

static void test_what_retention_dropped(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	char url[512];
	lg_cleanup(lg_rollback_plan_freep) struct lg_rollback_plan *plan = NULL;
	new_world("a=1;b=1 a=2 b=2");
	lg_assert_ok(lg_config_checkpoint(world.config, &err), &err);
	add_records("a=3 b=3");
	world_close(&world);
	{
		lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
		snprintf(url, sizeof url, "sqlite:%s/log.db", world.state_dir);
		lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ 0 }, &log, &err), &err);
		lg_assert_ok(lg_log_trim(log, 4, NULL, 0, &err), &err);
	}
	world_open(&world);
	lg_assert_code(plan_revert("r2", LG_CONFLICT_REFUSE, "", &plan, NULL, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "retention"));
	assert_non_null(strstr(err.message, "r2"));
	/* the state before the oldest record is that of the checkpoint behind which was cut */
	plan = must_plan("r4", LG_CONFLICT_REFUSE);
	execute(plan);
	assert_state("a=2;b=3");
	world_close(&world);
}

int main(void)
{
#define ROWS(rows, type) rows, sizeof rows / sizeof *(rows), sizeof *(rows), offsetof(type, name)
	lg_test_rows("revert", test_row, ROWS(rows, struct row));
	lg_test_add("one append", test_one_append, NULL);
	lg_test_rows("scope of many keys", test_scope_of_many_keys, ROWS(wide_rows, struct wide_row));
	lg_test_add("stale", test_stale, NULL);
	lg_test_add("a declaration that came meanwhile", test_a_declaration_that_came_meanwhile, NULL);
	lg_test_add("a hold blocks no person", test_a_hold_blocks_no_person, NULL);
	lg_test_add("hash", test_hash, NULL);
	lg_test_add("again after an undo", test_again_after_an_undo, NULL);
	lg_test_add("secrets", test_secrets, NULL);
	lg_test_add("a secret that was none", test_a_secret_that_was_none, NULL);
	lg_test_add("random histories", test_random_histories, NULL);
	lg_test_add("what retention dropped", test_what_retention_dropped, NULL);
	return lg_test_run("revert");
}
