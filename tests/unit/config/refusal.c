/* Refused attempts are on record, and bounded: no number of them fills the disk, no secret gets into the log, and whatever
 * becomes of the record, the attempt ends as it would have. */
#include "config/store.h"

#include "base/text.h"
#include "io/fault.h"
#include "log/wrap/wrap.h"
#include "model/value.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static void advance_s(int64_t seconds)
{
	lg_clock_sim_advance(&store_clock, seconds * SECOND);
}

/* --- what is on record ------------------------------------------------------------------------------------------------ */

struct seen {
	size_t records;
	uint64_t attempts;
	size_t longest, bytes;
	size_t groups; /* in the newest */
	struct lg_buf newest;
};

static int see_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct seen *seen = arg;
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	size_t i;
	const json_t *group;
	lg_assert_ok(lg_json_parse(record->body, record->body_len, SIZE_MAX, &body, err), err);
	lg_buf_reset(&seen->newest);
	seen->records++;
	seen->groups = json_array_size(json_object_get(body, "refusals"));
	seen->bytes += record->body_len;
	seen->longest = record->body_len > seen->longest ? record->body_len : seen->longest;
	json_array_foreach(json_object_get(body, "refusals"), i, group) seen->attempts +=
		(uint64_t)json_integer_value(json_object_get(group, "count"));
	lg_buf_addf(&seen->newest, "%s: ", record->actor);
	lg_buf_add(&seen->newest, record->body, record->body_len);
	assert_false(record->has_root);
	return 0;
}

static struct seen look(struct lg_config *config)
{
	struct lg_error err = LG_ERROR_INIT;
	struct seen seen = { 0 };
	const struct lg_log_query query = { .kinds = 1u << LG_KIND_REFUSAL };
	lg_assert_ok(lg_config_query(config, &query, see_record, &seen, &err), &err);
	return seen;
}

static size_t count_records(struct lg_config *config)
{
	struct seen seen = look(config);
	lg_buf_clear(&seen.newest);
	return seen.records;
}

static uint64_t count_waiting(struct lg_config *config)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t count = 0;
	lg_assert_ok(lg_config_refusals_waiting(config, &count, &err), &err);
	return count;
}

/* --- what is tried ---------------------------------------------------------------------------------------------------- */

static int try_as(struct lg_config *config, const char *actor, const char *action, const char *const *pairs)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_error err = LG_ERROR_INIT;
	for (; *pairs; pairs += 2)
		lg_assert_ok(lg_changeset_add(&set, pairs[0], strlen(pairs[0]), *pairs[1] ? pairs[1] : NULL,
				     strlen(pairs[1]), &err),
			&err);
	const struct lg_commit commit = {
		.changes = &set, .author = { .actor = actor, .reason = "test" }, .action = action
	};
	return lg_config_commit(config, &commit, NULL, NULL, &err);
}
#define TRY(config, ...) try_as(config, "mallory", NULL, (const char *const[]){ __VA_ARGS__, NULL })

static int refuse(void *arg, uint64_t revision, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err)
{
	(void)revision;
	(void)former;
	(void)next;
	const int *code = arg;
	if (*code == 0)
		return 0;
	lg_problems_add(problems, "web", "hunter2 is no value");
	return lg_fail(err, *code, 0, "service 'web' would refuse this change: hunter2 is no value");
}

static void prepare(struct lg_config *config)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t seq;
	store_set(config, "@schema/port", "{\"max\":9,\"type\":\"int\"}", "@schema/token",
		"{\"pattern\":\"^[a-z]+$\",\"type\":\"secret\"}", "@schema/@strict", "[\"strict/\"]", "port",
		"1");
	lg_assert_ok(store_hold(config, "held/", &seq, &err), &err);
}

/* --- each kind of refusal --------------------------------------------------------------------------------------------- */

struct kind_row {
	const char *name;
	const char *key, *value;
	int subscriber; /* what it says */
	int code;
	const char *wanted; /* in the record */
};

static const struct kind_row kind_rows[] = {
	{ "out of range", "port", "10", 0, LG_EINVALID,
		"mallory: {\"refusals\":[{\"action\":\"set\",\"actor\":\"mallory\",\"code\":\"invalid\",\"count\":1," },
	{ "its key is named", "port", "10", 0, LG_EINVALID, "\"keys\":[\"port\"]" },
	{ "a plain value may be quoted", "port", "10", 0, LG_EINVALID, "10 is above the maximum 9" },
	{ "no key at all", "a//b", "1", 0, LG_EINVALID, "\"keys\":[\"a//b\"]" },
	{ "strict", "strict/x", "1", 0, LG_EINVALID, "strict mode is on here" },
	{ "held", "held/x", "1", 0, LG_EHELD, "\"code\":\"held\"" },
	{ "unset of what is not set", "nothing", "", 0, LG_EINVALID, "\"action\":\"unset\"" },
	{ "refused by a service", "x", "1", LG_EREFUSED, LG_EREFUSED, "'web' would refuse this change" },
	{ "its check did not end", "x", "1", LG_ETIMEOUT, LG_ETIMEOUT, "'web' would refuse this change" },
	{ "a declaration", "@schema/port", "{\"type\":\"x\"}", 0, LG_EINVALID, "\"keys\":[\"port\"]" },
};

static void test_kind(void **state)
{
	const struct kind_row *row = *state;
	struct lg_config *config = store_open(store_new());
	struct lg_error err = LG_ERROR_INIT;
	int code = 0;
	const struct lg_subscriber subscriber = { .before = refuse, .arg = &code };
	prepare(config);
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	code = row->subscriber;
	struct lg_snapshot before, after;
	lg_config_snapshot(config, &before);
	assert_int_equal(TRY(config, row->key, row->value), row->code);
	lg_config_snapshot(config, &after);
	assert_ptr_equal(before.tree, after.tree);
	assert_int_equal(before.revision, after.revision);
	struct seen seen = look(config);
	assert_int_equal(seen.records, 1); /* at once */
	if (!strstr(lg_buf_str(&seen.newest), row->wanted))
		fail_msg("'%s' is not in %s", row->wanted, lg_buf_str(&seen.newest));
	assert_null(strstr(lg_buf_str(&seen.newest), "hunter2"));
	lg_buf_clear(&seen.newest);
	lg_snapshot_clear(&before);
	lg_snapshot_clear(&after);
	lg_config_close(config);
}

static void test_restore(void **state)
{
	(void)state;
	struct lg_config *config = store_open(store_new());
	struct lg_error err = LG_ERROR_INIT;
	int code = 0;
	uint64_t revision;
	const struct lg_subscriber subscriber = { .before = refuse, .arg = &code };
	store_set(config, "a/x", "1");
	store_set(config, "a/x", "2");
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	code = LG_EREFUSED;
	lg_assert_code(store_restore(config, 1, "a/", NULL, &revision, &err), LG_EREFUSED, &err);
	struct seen seen = look(config);
	assert_int_equal(seen.records, 1);
	assert_non_null(strstr(lg_buf_str(&seen.newest), "\"action\":\"rollback\""));
	assert_non_null(strstr(lg_buf_str(&seen.newest), "\"keys\":[\"a/\"]"));
	assert_null(strstr(lg_buf_str(&seen.newest), "hunter2"));
	lg_buf_clear(&seen.newest);
	/* targets go by states */
	lg_assert_ok(lg_config_target(config, "@-1", NULL, &revision, NULL, &err), &err);
	assert_int_equal(revision, 1);
	lg_config_close(config);
}

static void test_what_is_none(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	uint64_t revision;
	prepare(config);
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_assert_ok(lg_changeset_add(&set, "port", 4, "10", 2, &err), &err);
	struct lg_commit commit = { .changes = &set, .author = store_author, .dry_run = true };
	lg_assert_code(lg_config_commit(config, &commit, NULL, NULL, &err), LG_EINVALID, &err);
	commit.dry_run = false;
	commit.has_expect_root = true; /* another root: somebody was faster */
	lg_assert_code(lg_config_commit(config, &commit, NULL, NULL, &err), LG_ECONFLICT, &err);
	commit.has_expect_root = false;
	set.items[0].has_expect = true;
	set.items[0].expect_change = 77;
	lg_assert_code(lg_config_commit(config, &commit, NULL, NULL, &err), LG_ECONFLICT, &err);
	commit.skip_invalid = true;
	set.items[0].has_expect = false;
	lg_assert_ok(lg_config_commit(config, &commit, NULL, NULL, &err), &err);
	lg_assert_code(store_restore(config, 99, NULL, NULL, &revision, &err), LG_ENOTFOUND, &err);
	assert_int_equal(count_records(config), 0);
	lg_config_close(config);
	/* who only reads has nothing to record with */
	const struct lg_config_options options = {
		.state_dir = store_state_dir(dir), .clock = &store_clock.clock, .readonly = true
	};
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	assert_int_equal(TRY(config, "port", "10"), LG_EINVALID);
	assert_int_equal(count_records(config), 0);
	assert_int_equal(count_waiting(config), 0);
	lg_config_close(config);
}

/* --- gathering -------------------------------------------------------------------------------------------------------- */

static void test_gathers(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	prepare(config);
	for (int i = 0; i < 100; i++)
		assert_int_equal(TRY(config, "port", "10"), LG_EINVALID);
	assert_int_equal(
		try_as(config, "eve", "import", (const char *const[]){ "held/x", "1", "held/y", "2", NULL }),
		LG_EHELD);
	assert_int_equal(count_records(config), 1);
	lg_config_close(config); /* what was in memory only is in the file now */
	config = store_open(dir);
	assert_int_equal(count_waiting(config), 100);
	advance_s(LG_REFUSAL_EVERY_S - 1);
	assert_int_equal(TRY(config, "port", "10"), LG_EINVALID);
	assert_int_equal(count_records(config), 1);
	advance_s(1);
	store_set(config, "fine", "1"); /* a change that goes well takes them along */
	struct seen seen = look(config);
	assert_int_equal(seen.records, 2);
	assert_int_equal(seen.attempts, 102);
	assert_int_equal(seen.groups, 2);
	assert_non_null(strstr(lg_buf_str(&seen.newest), "lastgood: ")); /* several people's */
	assert_non_null(strstr(lg_buf_str(&seen.newest),
		"{\"action\":\"import\",\"actor\":\"eve\",\"code\":\"held\",\"count\":1,"));
	assert_non_null(strstr(lg_buf_str(&seen.newest), "\"keys\":[\"held/x\",\"held/y\"]"));
	assert_non_null(strstr(lg_buf_str(&seen.newest), "\"code\":\"invalid\",\"count\":100,"));
	lg_buf_clear(&seen.newest);
	assert_int_equal(count_waiting(config), 0);
	advance_s(3600);
	store_set(config, "fine", "2"); /* nothing waits: nothing is written */
	assert_int_equal(count_records(config), 2);
	lg_config_close(config);
}

/* Many actors: the groups are bounded, and so is the record. */
static void test_others(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	char actor[2000], key[3000];
	prepare(config);
	memset(key, '"', sizeof key);
	key[sizeof key - 1] = '\0';
	for (int i = 0; i < 1000; i++) {
		memset(actor, i % 2 ? '\\' : '\x1b', sizeof actor);
		snprintf(actor, sizeof actor, "%d", i);
		actor[strlen(actor)] = i % 2 ? '\\' : '\x1b';
		actor[sizeof actor - 1] = '\0';
		assert_int_equal(
			try_as(config, actor, actor, (const char *const[]){ key, "1", NULL }), LG_EINVALID);
	}
	lg_config_close(config);
	struct stat file;
	char path[4096];
	snprintf(path, sizeof path, "%s/refusals.json", store_state_dir(dir));
	assert_int_equal(stat(path, &file), 0);
	assert_true(file.st_size < 64 * 1024);
	assert_int_equal(file.st_mode & 0777, 0600);
	config = store_open(dir);
	advance_s(LG_REFUSAL_EVERY_S);
	store_set(config, "fine", "1");
	struct seen seen = look(config);
	assert_int_equal(seen.records, 2);
	assert_int_equal(seen.attempts, 1000);
	assert_in_range(seen.longest, 1000, LG_REFUSAL_BODY_MAX);
	assert_non_null(strstr(lg_buf_str(&seen.newest), "\"actor\":\"other\""));
	lg_buf_clear(&seen.newest);
	lg_config_close(config);
}

/* --- the bound -------------------------------------------------------------------------------------------------------- */

struct bound_row {
	const char *name;
	int attempts;
	int64_t step_s; /* of the clock, every so many attempts */
	int every;
};

static const struct bound_row bound_rows[] = {
	{ "100,000 attempts at once", 100000, 1, 100000 },
	{ "100,000 attempts in a day", 100000, 864, 1000 },
	{ "one a minute for six hours", 360, 60, 1 },
	{ "one an hour for two days", 48, 3600, 1 },
};

/* Two processes in turn. */
static void test_bound(void **state)
{
	const struct bound_row *row = *state;
	const char *dir = store_new();
	struct lg_config *configs[] = { store_open(dir), store_open(dir) };
	prepare(configs[0]);
	int64_t begun_ns = store_clock.boottime_ns;
	for (int i = 0; i < row->attempts; i++) {
		assert_int_equal(TRY(configs[i % 2], "port", "10"), LG_EINVALID);
		if ((i + 1) % row->every == 0)
			advance_s(row->step_s);
	}
	int64_t elapsed_s = (store_clock.boottime_ns - begun_ns) / SECOND;
	lg_config_close(configs[1]);
	lg_config_close(configs[0]);
	struct lg_config *config = store_open(dir);
	struct seen seen = look(config);
	size_t most = LG_REFUSAL_TOKENS + (size_t)(elapsed_s / LG_REFUSAL_REFILL_S);
	assert_in_range(seen.records, 1, most);
	assert_in_range(seen.bytes, 1, most * LG_REFUSAL_BODY_MAX);
	if (row->step_s >= LG_REFUSAL_REFILL_S && row->every == 1)
		assert_int_equal(
			seen.records, row->attempts); /* there is room for rare ones, each for itself */
	assert_int_equal(seen.attempts + count_waiting(config), row->attempts); /* none is forgotten */
	lg_buf_clear(&seen.newest);
	lg_config_close(config);
}

/* --- the file --------------------------------------------------------------------------------------------------------- */

static void write_ledger(const char *dir, const char *json)
{
	uint8_t hash[LG_HASH_SIZE];
	char hex[2 * LG_HASH_SIZE + 1], path[4096];
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_record_body_hash(json, strlen(json), hash);
	lg_hex_encode(hash, LG_HASH_SIZE, hex);
	lg_buf_addf(&text, "%s\n%s", hex, json);
	snprintf(path, sizeof path, "%s/refusals.json", dir);
	lg_test_write(path, text.data, text.len);
}

struct file_row {
	const char *name;
	const char *json; /* with its checksum; NULL: `raw` as it is */
	const char *raw;
	size_t records; /* after one attempt */
	uint64_t attempts;
};

#define GROUP                                                                                                  \
	"{\"action\":\"set\",\"actor\":\"a\",\"code\":\"held\",\"count\":7,\"first\":1,\"keys\":[],\"last\":2,\"message\":\"\"}"

static const struct file_row file_rows[] = {
	{ "empty", NULL, "", 1, 1 },
	{ "no checksum", NULL, "{\"tokens\":0}", 1, 1 },
	{ "a wrong checksum", NULL,
		"0000000000000000000000000000000000000000000000000000000000000000\n{\"tokens\":0}", 1, 1 },
	{ "no JSON behind the checksum", "{\"tokens\":", NULL, 1, 1 },
	{ "a list", "[1,2]", NULL, 0, 0 },
	{ "wrong types",
		"{\"boot_id\":7,\"record_ns\":\"x\",\"refill_ns\":[],\"refusals\":[1,{}],\"tokens\":\"x\"}",
		NULL, 0, 0 },
	{ "what waits from another boot goes out at once",
		"{\"boot_id\":\"x\",\"record_ns\":9223372036854775807,\"refill_ns\":9223372036854775807,\"refusals\":[" GROUP
		"],\"tokens\":1}",
		NULL, 1, 8 },
	{ "an empty bucket from another boot stays empty",
		"{\"boot_id\":\"x\",\"refill_ns\":0,\"refusals\":[" GROUP "],\"tokens\":0}", NULL, 0, 0 },
	{ "a bucket that is too full",
		"{\"boot_id\":\"x\",\"refill_ns\":0,\"refusals\":[],\"tokens\":9223372036854775807}", NULL, 1,
		1 },
	{ "less than nothing in it",
		"{\"boot_id\":\"x\",\"refill_ns\":-9223372036854775807,\"refusals\":[],\"tokens\":-5}", NULL, 0,
		0 },
};

static void test_file(void **state)
{
	const struct file_row *row = *state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	char path[4096];
	prepare(config);
	snprintf(path, sizeof path, "%s/refusals.json", dir);
	if (row->json)
		write_ledger(dir, row->json);
	else
		lg_test_write(path, row->raw, strlen(row->raw));
	assert_int_equal(TRY(config, "port", "10"), LG_EINVALID);
	struct seen seen = look(config);
	assert_int_equal(seen.records, row->records);
	assert_int_equal(seen.attempts, row->attempts);
	lg_buf_clear(&seen.newest);
	/* and whatever it was, after a while it works again */
	for (int i = 0; i < 12; i++) {
		advance_s(LG_REFUSAL_REFILL_S);
		assert_int_equal(TRY(config, "port", "10"), LG_EINVALID);
	}
	assert_in_range(count_records(config), row->records + 11, row->records + 12);
	lg_config_close(config);
}

/* The same boot: a clock that reads less than it did must not let more through. */
static void test_clock_back(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	prepare(config);
	for (int i = 0; i < 50; i++) {
		store_clock.boottime_ns = i % 2 ? 1 : (int64_t)1 << 60;
		assert_int_equal(TRY(config, "port", "10"), LG_EINVALID);
	}
	assert_in_range(count_records(config), 1, LG_REFUSAL_TOKENS + 50);
	lg_config_close(config);
	store_init();
}

/* What cannot be written must not be recorded either, or there would be no bound. */
static void test_no_room(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	char path[4096];
	prepare(config);
	snprintf(path, sizeof path, "%s/refusals.json", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < 10; i++) {
		advance_s(LG_REFUSAL_EVERY_S);
		assert_int_equal(TRY(config, "held/x", "1"), LG_EHELD);
	}
	assert_int_equal(count_records(config), 0);
	assert_int_equal(rmdir(path), 0);
	advance_s(LG_REFUSAL_EVERY_S);
	assert_int_equal(TRY(config, "held/x", "1"), LG_EHELD);
	struct seen seen = look(config); /* they waited in memory */
	assert_int_equal(seen.records, 1);
	assert_int_equal(seen.attempts, 11);
	lg_buf_clear(&seen.newest);
	lg_config_close(config);
}

/* --- a log that does not take it ---------------------------------------------------------------------------------------- */

static int fail_append(void *arg, enum lg_log_call call, struct lg_error *err)
{
	const bool *fails = arg;
	return *fails && call == LG_LOG_CALL_APPEND ? lg_fail(err, LG_ENOSPC, 0, "injected") : 0;
}

static void test_log_fails(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *wrapped = NULL;
	struct lg_config *config = NULL;
	bool fails = false;
	const struct lg_log_hooks hooks = { .before = fail_append, .arg = &fails };
	lg_assert_ok(lg_log_wrap(store_open_log(dir), &hooks, &store_clock.clock, &wrapped, &err), &err);
	const struct lg_config_options options = {
		.state_dir = dir, .log = wrapped, .clock = &store_clock.clock
	};
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	prepare(config);
	fails = true;
	lg_error_clear(&err);
	const char *const pairs[] = { "held/x", "1", NULL };
	lg_assert_code(store_put(config, pairs, NULL, NULL, &err), LG_EHELD, &err);
	assert_non_null(strstr(err.message, "is held by")); /* not what became of the record */
	assert_int_equal(count_waiting(config), 1);
	fails = false;
	advance_s(LG_REFUSAL_EVERY_S);
	store_set(config, "fine", "1");
	assert_int_equal(count_records(config), 1);
	assert_int_equal(count_waiting(config), 0);
	lg_config_close(config);
}

/* --- the Nth operation on the file --------------------------------------------------------------------------------------- */

struct fault_row {
	const char *name;
	int what; /* errno, or 0: the process ends there */
	bool onwards;
};

static const struct fault_row fault_rows[] = {
	{ "the nth operation fails", EIO, false },
	{ "the nth operation and all after it fail", ENOSPC, true },
	{ "the process ends at the nth operation", 0, false },
};

struct fault {
	const struct fault_row *row;
	int left;
	bool fired;
};

static int fail_nth(void *arg, enum lg_fault_op op, const char *path)
{
	struct fault *fault = arg;
	(void)op;
	(void)path;
	if (fault->left > 0) {
		fault->left--;
		return 0;
	}
	if (fault->fired && !fault->row->onwards)
		return 0;
	fault->fired = true;
	if (fault->row->what == 0)
		_exit(7);
	return fault->row->what;
}

/* Two attempts, the second with what waited; true: the fault fired. */
static bool attempt_with(const char *dir, struct fault *fault)
{
	struct lg_config *config = store_open(dir);
	lg_fault_set(fail_nth, fault);
	int rc = TRY(config, "held/x", "1");
	advance_s(LG_REFUSAL_EVERY_S);
	int later = TRY(config, "held/x", "1");
	lg_fault_set(NULL, NULL);
	if (rc != LG_EHELD || later != LG_EHELD)
		fail_msg("operation %d changed what the attempt said", fault->left);
	lg_config_close(config);
	return fault->fired;
}

static bool attempt_in_child(const char *dir, struct fault *fault)
{
	int status = 0;
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool fired = attempt_with(dir, fault);
		_exit(fired ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0));
	advance_s(LG_REFUSAL_EVERY_S); /* the child's clock was its own */
	return WEXITSTATUS(status) == 7;
}

static void test_fault(void **state)
{
	const struct fault_row *row = *state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	bool fired = true;
	prepare(config);
	for (int nth = 0; fired; nth++) {
		struct fault fault = { .row = row, .left = nth };
		size_t before = count_records(config);
		lg_config_close(config);
		fired = row->what ? attempt_with(dir, &fault) : attempt_in_child(dir, &fault);
		/* whatever was left behind: it goes on, and the bound holds */
		config = store_open(dir);
		assert_in_range(count_records(config), before, before + 2);
		advance_s(3 * LG_REFUSAL_REFILL_S);
		assert_int_equal(TRY(config, "held/x", "1"), LG_EHELD);
		assert_in_range(count_records(config), before + 1, before + 3);
	}
	lg_config_close(config);
}

/* --- secrets ---------------------------------------------------------------------------------------------------------- */

static const char *const secrets[][5] = {
	{ "token", "\"HUNTER2\"" },
	{ "token", "{\"HUNTER2\":[\"HUNTER2\"]}" },
	{ "token", "4815162342" },
	{ "strict/pass", "\"HUNTER2\"" },
	{ "held/pass", "\"HUNTER2\"" },
	{ "a//b", "\"HUNTER2\"" },
	{ "port", "\"HUNTER2\"", "token",
		"\"HUNTER2\"" }, /* a plain one that quotes what is a secret beside it */
	{ "port", "\"HUNTER2\"", "strict/x", "[{\"a\":\"HUNTER2\"}]" },
	{ "new", "\"HUNTER2\"", "@schema/new", "{\"pattern\":\"^x\",\"type\":\"secret\"}" },
	{ "plain", "\"HUNTER2\"", "@schema/plain", "{\"secret\":true,\"type\":\"int\"}" },
	{ "token", "{\"@secret\":\"HUNTER2\"}" },
	{ "port",
		"\"HUNTER2-and-so-on-for-longer-than-any-message-quotes-of-a-value-and-then-some-more-of-the-same-kind-aaaaaaaaaaaa\"",
		"token",
		"\"HUNTER2-and-so-on-for-longer-than-any-message-quotes-of-a-value-and-then-some-more-of-the-same-kind-aaaaaaaaaaaa\"" },
	{ "port", "\"\\n4815162342\"", "strict/x", "{\"a\":[true,4815162342]}" },
	{ "port", "\"a\\\"HUNTER2\"", "strict/x", "[\"a\\\"HUNTER2\"]" },
};

static void assert_not_in(const char *dir)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	DIR *all = opendir(dir);
	assert_non_null(all);
	const struct dirent *entry;
	while ((entry = readdir(all))) {
		size_t len = 0;
		lg_buf_reset(&path);
		lg_buf_addf(&path, "%s/%s", dir, entry->d_name);
		char *text = entry->d_type == DT_REG ? lg_test_read(lg_buf_str(&path), &len) : NULL;
		if (text && (memmem(text, len, "HUNTER2", 7) || memmem(text, len, "4815162342", 10)))
			fail_msg("a secret is in '%s'", lg_buf_str(&path));
		free(text);
	}
	closedir(all);
}

static void test_secrets(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	struct lg_error err = LG_ERROR_INIT;
	int code = 0;
	const struct lg_subscriber subscriber = { .before = refuse, .arg = &code };
	prepare(config);
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
		advance_s(LG_REFUSAL_REFILL_S);
		assert_true(try_as(config, "mallory", NULL, secrets[i]) < 0);
		assert_not_in(dir);
	}
	assert_int_equal(count_records(config), sizeof secrets / sizeof *secrets);
	lg_assert_ok(lg_config_subscribe(config, &subscriber, &err), &err);
	code = LG_EINVALID; /* what a service says may quote the file that was made of the settings */
	advance_s(LG_REFUSAL_REFILL_S);
	assert_int_equal(TRY(config, "port", "2"), LG_EINVALID);
	struct seen seen = look(config);
	assert_null(strstr(lg_buf_str(&seen.newest), "hunter2"));
	lg_buf_clear(&seen.newest);
	lg_config_close(config);
	assert_not_in(dir);
}

/* --- threads ---------------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 200 };

static void *attack(void *arg)
{
	for (int i = 0; i < EACH; i++)
		if (TRY(arg, "port", "10") != LG_EINVALID)
			abort();
	return NULL;
}

static void *write_well(void *arg)
{
	char value[16];
	for (int i = 0; i < EACH; i++) {
		snprintf(value, sizeof value, "%d", i);
		if (TRY(arg, "fine", value) != 0)
			abort();
	}
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	const char *dir = store_new();
	struct lg_config *config = store_open(dir);
	pthread_t threads[THREADS + 1];
	prepare(config);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, attack, config), 0);
	assert_int_equal(pthread_create(&threads[THREADS], NULL, write_well, config), 0);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
	lg_config_close(config);
	config = store_open(dir);
	struct seen seen = look(config);
	assert_int_equal(seen.records, 1);
	assert_int_equal(seen.attempts + count_waiting(config), THREADS * EACH);
	lg_buf_clear(&seen.newest);
	lg_config_close(config);
}

int main(void)
{
	store_init();
	lg_test_rows("kind", test_kind, kind_rows, sizeof kind_rows / sizeof *kind_rows, sizeof *kind_rows,
		offsetof(struct kind_row, name));
	lg_test_add("a restore", test_restore, NULL);
	lg_test_add("what is no refusal", test_what_is_none, NULL);
	lg_test_add("the first is recorded at once, the others together", test_gathers, NULL);
	lg_test_add("many actors", test_others, NULL);
	lg_test_rows("bound", test_bound, bound_rows, sizeof bound_rows / sizeof *bound_rows,
		sizeof *bound_rows, offsetof(struct bound_row, name));
	lg_test_rows("file", test_file, file_rows, sizeof file_rows / sizeof *file_rows, sizeof *file_rows,
		offsetof(struct file_row, name));
	lg_test_add("a clock that goes back", test_clock_back, NULL);
	lg_test_add("no room for the file", test_no_room, NULL);
	lg_test_add("a log that fails", test_log_fails, NULL);
	lg_test_rows("file", test_fault, fault_rows, sizeof fault_rows / sizeof *fault_rows, sizeof *fault_rows,
		offsetof(struct fault_row, name));
	lg_test_add("no secret gets in", test_secrets, NULL);
	lg_test_add("threads", test_threads, NULL);
	return lg_test_run("refusal");
}
