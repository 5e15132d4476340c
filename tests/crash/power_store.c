/* The power fails while a store is made, changed, rolled back, checkpointed and trimmed: every record that was acknowledged is
 * there, one that was on its way wholly or not at all, chain and roots hold, and the store goes on. */
#include "crash/power.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "config/retention.h"
#include "config/verify.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS    200
#define POINTS     200
#define LARGE      ((size_t)400000) /* bytes of a value: some of them fill the -wal file */
#define LARGE_FROM 40

static char root[300], state_dir[320];

/* Where the log may end: behind each append. */
struct point {
	size_t begun_at;
	size_t at; /* acknowledged; SIZE_MAX: never, its process was killed */
	uint64_t seq;
};

/* What the children that work tell those that look. */
static struct story {
	struct point points[POINTS];
	size_t count;
	size_t init_at, trim_begun_at, trim_at, found_at; /* SIZE_MAX: not yet */
	size_t steps;                                     /* done */
	uint8_t hashes[RECORDS][LG_HASH_SIZE];
	uint8_t roots[RECORDS][LG_HASH_SIZE];
	bool is_state[RECORDS];
	bool goes[RECORDS]; /* what trim drops */
} * story;

static void before(void *arg)
{
	(void)arg;
	memset(story, 0, sizeof *story);
	story->init_at = story->trim_begun_at = story->trim_at = story->found_at = SIZE_MAX;
}

/* --- work ------------------------------------------------------------------------------------------------------------- */

static struct lg_clock_sim sim;
static struct lg_config *config;

static void open_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_config_options options = { .state_dir = state_dir, .clock = &sim.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
}

static void close_store(void)
{
	lg_config_close(config);
	config = NULL;
}

static int note_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	assert_true(record->seq < RECORDS);
	memcpy(story->hashes[record->seq], record->hash, LG_HASH_SIZE);
	memcpy(story->roots[record->seq], record->root, LG_HASH_SIZE);
	story->is_state[record->seq] = record->has_root;
	*(uint64_t *)arg = record->seq;
	return 0;
}

static uint64_t note_records(void)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t seq = 0;
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	lg_assert_ok(
		lg_config_query(config, &(struct lg_log_query){ .no_body = true }, note_record, &seq, &err),
		&err);
	return seq;
}

/* begin … end around each append.  What a killed process had begun keeps its place. */
static void begin(void)
{
	struct point *point = &story->points[story->count];
	if (!point->begun_at)
		*point = (struct point){ .begun_at = power_now(), .at = SIZE_MAX };
}

static void end(void)
{
	struct point *point = &story->points[story->count];
	size_t at = power_now();
	uint64_t seq = note_records();
	/* that there was nothing to change is said of what can be read, which a killed process may have left unsynced */
	if (seq == (story->count ? point[-1].seq : 0))
		return;
	point->seq = seq;
	point->at = at;
	story->count++;
	if (story->init_at > at)
		story->init_at = at;
}

static void set(const char *key, char letter, size_t len)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	lg_buf_addc(&value, '"');
	for (size_t i = 0; i < len; i++)
		lg_buf_addc(&value, (char)(letter + (i / 4096) % 8));
	lg_buf_addc(&value, '"');
	lg_assert_ok(lg_changeset_add(&changes, key, strlen(key), value.data, value.len, &err), &err);
	lg_assert_ok(lg_changeset_add(&changes, "same", 4, len % 2 ? "1" : "2", 1, &err), &err);
	const struct lg_commit commit = {
		.changes = &changes, .author = { "alice", "power", false }, .ignore_holds = true
	};
	begin();
	lg_assert_ok(lg_config_commit(config, &commit, NULL, NULL, &err), &err);
	end();
}

static void restore(uint64_t to, const char *prefix)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf hold = LG_BUF_INIT;
	if (prefix)
		lg_assert_ok(lg_scope_include(&scope, prefix, &err), &err);
	lg_assert_ok(lg_control_hold(&hold, &scope, "rb", &err), &err);
	const struct lg_control control = { LG_KIND_HOLD, hold.data, hold.len };
	const struct lg_restore restore = { .to = to,
		.scope = &scope,
		.author = { "alice", "other: power", false },
		.rollback = "rb",
		.controls = &control,
		.control_count = 1 };
	begin();
	lg_assert_ok(lg_config_restore(config, &restore, NULL, NULL, &err), &err);
	end();
}

static void release(void)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	const struct lg_author author = { "alice", "power", false };
	const struct lg_controls *controls = lg_config_controls(config);
	if (controls->hold_count == 0)
		return;
	lg_assert_ok(lg_control_release(&body, controls->holds[0].seq, &err), &err);
	const struct lg_control control = { LG_KIND_RELEASE, body.data, body.len };
	begin();
	lg_assert_ok(lg_config_control(config, &author, &control, 1, NULL, &err), &err);
	end();
}

static struct lg_log *open_log(bool readonly)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	char url[400];
	snprintf(url, sizeof url, "sqlite:%s/log.db", state_dir);
	lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ .readonly = readonly }, &log, &err), &err);
	return log;
}

/* All but the newest few, and a revision before. */
static void trim(void)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_pin pin = { .seq = 2, .why = "power" };
	const struct lg_retention retention = { .revisions = 3, .pins = &pin, .pin_count = 1 };
	const struct lg_author author = { "alice", "power", false };
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan plan = { 0 };
	lg_assert_ok(lg_config_trim_plan(config, &retention, &plan, &err), &err);
	if (plan.records && story->trim_begun_at == SIZE_MAX)
		story->trim_begun_at = power_now();
	for (uint64_t seq = 1, i = 0; seq < plan.before; seq++)
		if (i < plan.pin_count && plan.pins[i].seq == seq)
			i++;
		else
			story->goes[seq] = true;
	begin();
	lg_assert_ok(lg_config_trim(config, &plan, &author, &err), &err);
	story->trim_at = power_now();
	end();
}

static void checkpoint(void)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
}

static void step(size_t i, size_t value_len)
{
	static const char *const keys[] = { "web/a", "api/b", "web/c", "d" };
	switch (i % 12) {
	case 4:
		restore(story->trim_at < SIZE_MAX ? story->points[story->count - 1].seq - 2 : 1, NULL);
		break;
	case 5:
	case 9:
		release();
		break;
	case 6:
		close_store();
		open_store();
		break;
	case 8:
		restore(story->points[story->count - 1].seq - 1, "web/");
		break;
	case 10:
		if (i == 22)
			trim();
		else
			checkpoint();
		break;
	default:
		set(keys[i % 4], (char)('a' + i % 20), i % 5 == 3 || i >= LARGE_FROM ? value_len : i);
	}
}

static void run_steps(size_t steps, size_t value_len)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_clock_sim_init(&sim, INT64_C(1790000000000000), INT64_C(1000000000000));
	int rc = lg_config_init(state_dir, &sim.clock, &err);
	if (rc != LG_ECONFLICT) /* else a killed process has made it */
		lg_assert_ok(rc, &err);
	if (rc == 0)
		story->init_at = power_now();
	open_store();
	/* what a killed process had begun may be there */
	uint64_t seq = note_records();
	struct point *point = &story->points[story->count];
	if (point->begun_at && seq > (story->count ? point[-1].seq : 0)) {
		point->seq = seq;
		story->count++;
	}
	for (; story->steps < steps; story->steps++)
		step(story->steps, value_len);
	close_store();
}

static void small_work(void *arg)
{
	(void)arg;
	run_steps(40, 3000);
}

static void large_work(void *arg)
{
	(void)arg;
	struct stat st;
	run_steps(64, LARGE);
	char path[400];
	snprintf(path, sizeof path, "%s/log.db", state_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 1000000); /* pages were moved into the database */
}

/* --- several processes ------------------------------------------------------------------------------------------------ */

#define WRITERS 3
#define CHANGES 12

/* Each in a process of its own; what the log says in the end is what it must have said on the way. */
static void write_beside(size_t writer)
{
	char key[16];
	struct lg_error err = LG_ERROR_INIT;
	snprintf(key, sizeof key, "w%zu", writer);
	open_store();
	for (size_t i = 0; i < CHANGES; i++) {
		struct point *point = &story->points[writer * CHANGES + i];
		lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
		struct lg_committed committed;
		char value[32];
		int len = snprintf(value, sizeof value, "%zu", i);
		lg_assert_ok(lg_changeset_add(&changes, key, strlen(key), value, (size_t)len, &err), &err);
		const struct lg_commit commit = { .changes = &changes, .author = { key, "power", false } };
		point->begun_at = power_now();
		lg_assert_ok(lg_config_commit(config, &commit, &committed, NULL, &err), &err);
		point->at = power_now();
		point->seq = committed.revision;
		lg_committed_clear(&committed);
	}
	close_store();
}

static void several_work(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)arg;
	lg_clock_sim_init(&sim, INT64_C(1790000000000000), INT64_C(1000000000000));
	lg_assert_ok(lg_config_init(state_dir, &sim.clock, &err), &err);
	story->init_at = power_now();
	pid_t pids[WRITERS];
	for (size_t i = 0; i < WRITERS; i++) {
		fflush(NULL);
		pids[i] = fork();
		if (pids[i] == 0) {
			write_beside(i);
			_exit(0);
		}
	}
	for (size_t i = 0; i < WRITERS; i++) {
		int status = -1;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	story->count = (size_t)WRITERS * CHANGES;
	open_store();
	assert_int_equal(note_records(), story->count);
	close_store();
}

/* --- looking ---------------------------------------------------------------------------------------------------------- */

static uint64_t acknowledged(size_t at)
{
	uint64_t seq = 0;
	for (size_t i = 0; i < story->count; i++)
		if (story->points[i].at <= at && story->points[i].seq > seq)
			seq = story->points[i].seq;
	return seq;
}

static void assert_head(uint64_t head, size_t at)
{
	uint64_t sure = acknowledged(at);
	bool possible = head == sure;
	for (size_t i = 0; i < story->count && !possible; i++)
		possible = story->points[i].seq == head && story->points[i].begun_at < at;
	if (head < sure || !possible)
		fail_msg("the log ends at record %" PRIu64 ", and %" PRIu64 " was acknowledged", head, sure);
}

static int compare_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	if (memcmp(record->hash, story->hashes[record->seq], LG_HASH_SIZE) != 0)
		fail_msg("record %" PRIu64 " is another", record->seq);
	++*(size_t *)arg;
	return 0;
}

static void look_at_log(size_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	struct lg_log_gap gap;
	size_t count = 0;
	uint64_t missing = 0;
	lg_cleanup(lg_log_closep) struct lg_log *log = open_log(true);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	assert_head(head.seq, at);
	for (uint64_t seq = head.seq; seq > 0 && lg_log_gap(log, seq, &gap, &err) == 1; seq = gap.first - 1) {
		missing += gap.last - gap.first + 1;
		assert_memory_equal(gap.hash, story->hashes[gap.last], LG_HASH_SIZE);
		for (uint64_t gone = gap.first; gone <= gap.last; gone++)
			if (story->trim_begun_at >= at || !story->goes[gone])
				fail_msg("record %" PRIu64 " is gone", gone);
	}
	lg_assert_ok(lg_log_query(log, &(struct lg_log_query){ 0 }, compare_record, &count, &err), &err);
	assert_int_equal(count + missing, head.seq);
	uint64_t expected = 0;
	for (size_t i = 0; i < RECORDS && story->trim_at <= at; i++)
		expected += story->goes[i];
	if (story->trim_at <= at)
		assert_int_equal(missing, expected);
}

/* A few of the states that the log still holds. */
static void look_at_states(uint64_t head, size_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	for (uint64_t seq = 1; seq <= head; seq++) {
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
		uint8_t hash[LG_HASH_SIZE];
		if (!story->is_state[seq] || (seq % 7 != 0 && seq + 3 < head))
			continue;
		int rc = lg_config_tree_at(config, seq, &tree, &err);
		if (rc == LG_ENOTFOUND && story->trim_begun_at < at && story->goes[seq])
			continue;
		lg_assert_ok(rc, &err);
		lg_tree_hash(tree, hash);
		assert_memory_equal(hash, story->roots[seq], LG_HASH_SIZE);
	}
}

static void assert_verified(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_verify_report_clear) struct lg_verify_report report = { 0 };
	lg_assert_ok(lg_verify(&(struct lg_verify_options){ .state_dir = dir }, &report, &err), &err);
	if (report.problems.total)
		fail_msg("%s: %s", report.problems.items[0].subject, report.problems.items[0].message);
}

/* A new change, and all is well again. */
static void go_on(void)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset changes = LG_CHANGESET_INIT;
	lg_assert_ok(lg_changeset_add(&changes, "after", 5, "1", 1, &err), &err);
	const struct lg_commit commit = {
		.changes = &changes, .author = { "alice", "power", false }, .ignore_holds = true
	};
	lg_assert_ok(lg_config_commit(config, &commit, NULL, NULL, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	close_store();
	assert_verified(state_dir);
}

static void look(void *arg, size_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_snapshot now;
	(void)arg;
	lg_clock_sim_init(&sim, INT64_C(1790000000000000), INT64_C(1000000000000));
	if (story->init_at > at) {
		int rc = lg_config_init(state_dir, &sim.clock, &err);
		if (rc != LG_ECONFLICT)
			lg_assert_ok(rc, &err);
	} else {
		look_at_log(at);
	}
	open_store();
	lg_config_snapshot(config, &now);
	uint64_t seq = now.seq;
	lg_snapshot_clear(&now);
	assert_head(seq, at);
	look_at_states(seq, at);
	go_on();
}

/* --- what is found ---------------------------------------------------------------------------------------------------- */

static const uint8_t sought[LG_ID_SIZE] = "sought by its id";

static void append_sought(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	(void)arg;
	lg_cleanup(lg_log_closep) struct lg_log *log = open_log(false);
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	struct lg_record record = { .seq = head.seq + 1,
		.kind = LG_KIND_MARK,
		.actor = "alice",
		.reason = "power",
		.body = "{}",
		.body_len = 2 };
	memcpy(record.id, sought, LG_ID_SIZE);
	lg_record_seal(&record, head.hash);
	lg_assert_ok(lg_log_append(log, &record, 1, &head, &err), &err);
	story->found_at = power_now();
}

static void before_sought(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	before(arg);
	lg_assert_ok(lg_config_init(state_dir, NULL, &err), &err);
}

static int find_sought(bool readonly)
{
	uint64_t seq;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = open_log(readonly);
	int found = lg_log_find_id(log, 0, sought, &seq, &err);
	lg_assert_ok(found, &err);
	return found;
}

/* By a process that recovers, and builds on the answer. */
static void find(void *arg)
{
	(void)arg;
	if (find_sought(false) == 1)
		story->found_at = power_now();
}

static void look_for_sought(void *arg, size_t at)
{
	(void)arg;
	int found = find_sought(true);
	if (story->found_at <= at)
		assert_int_equal(found, 1);
}

/* --- main ------------------------------------------------------------------------------------------------------------- */

#define STORE(title, how) .name = title, .root = root, .before = before, .work = how, .look = look
static const struct power_campaign campaigns[] = {
	{ STORE("small changes", small_work) },
	{ STORE("small changes, killed first", small_work), .after_kill = small_work },
	{ STORE("large changes", large_work), .thin = 4 },
	{ STORE("several processes", several_work) },
	{ .name = "what is found by its id",
		.root = root,
		.before = before_sought,
		.work = append_sought,
		.after_kill = find,
		.look = look_for_sought },
	{ STORE("a disk that lies about the -wal file", small_work), .lie = "-wal" },
	{ STORE("a disk that lies about the database", large_work), .lie = "log.db" },
	{ STORE("a disk that lies about directories", small_work), .lie = "/" },
};

int main(int argc, char **argv)
{
	static struct power_options options = { .cuts = 24, .rounds = 3, .seed = 1 };
	power_options(argc, argv, &options);
	snprintf(root, sizeof root, "%s/live", lg_test_dir());
	snprintf(state_dir, sizeof state_dir, "%s/state", root);
	story = power_share(sizeof *story);
	power_add(campaigns, sizeof campaigns / sizeof *campaigns, &options);
	return lg_test_run("power_store");
}
