#include "config/store.h"

#include <inttypes.h>

struct lg_clock_sim store_clock;
const struct lg_author store_author = { .actor = "alice", .reason = "test" };
static int stores;

void store_init(void)
{
	lg_clock_sim_init(&store_clock, 1750000000000000, 1000000000);
}

static const char *make_directory(void)
{
	char name[32];
	struct lg_error err = LG_ERROR_INIT;
	snprintf(name, sizeof name, "store%d", stores++);
	const char *dir = lg_test_path(name);
	lg_assert_ok(lg_config_init(dir, &store_clock.clock, &err), &err);
	return dir;
}

/* One directory with a key serves all logs in memory; each lives as long as somebody has it open, so one does. */
static const char *memory_dir;
static char memory_url[32];
static struct lg_log *keeper;

static void drop_keeper(void)
{
	lg_log_close(keeper);
	keeper = NULL;
}

void store_use_memory(void)
{
	memory_dir = make_directory();
	atexit(drop_keeper);
}

static bool is_memory(const char *name)
{
	return strncmp(name, "memory:", 7) == 0;
}

static struct lg_log *open_log(const char *name, bool create)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	char url[4096];
	const struct lg_log_open options = { .create = create, .clock = &store_clock.clock };
	if (is_memory(name))
		snprintf(url, sizeof url, "%s", name);
	else
		snprintf(url, sizeof url, "sqlite:%s/log.db", name);
	lg_assert_ok(lg_log_open(url, &options, &log, &err), &err);
	return log;
}

const char *store_new(void)
{
	if (!memory_dir)
		return make_directory();
	drop_keeper();
	snprintf(memory_url, sizeof memory_url, "memory:store%d", stores++);
	keeper = open_log(memory_url, true);
	return memory_url;
}

const char *store_state_dir(const char *name)
{
	return is_memory(name) ? memory_dir : name;
}

int store_try_open(const char *name, struct lg_config **ret_config, struct lg_error *err)
{
	const struct lg_config_options options = { .state_dir = store_state_dir(name),
		.log = is_memory(name) ? open_log(name, false) : NULL,
		.clock = &store_clock.clock };
	return lg_config_open(&options, ret_config, err);
}

struct lg_config *store_open(const char *name)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	lg_assert_ok(store_try_open(name, &config, &err), &err);
	return config;
}

struct lg_log *store_open_log(const char *name)
{
	return open_log(name, false);
}

int store_put(struct lg_config *config, const char *const *pairs, struct lg_committed *ret_committed,
	struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (; *pairs; pairs += 2) {
		int rc = lg_changeset_add(
			&set, pairs[0], strlen(pairs[0]), *pairs[1] ? pairs[1] : NULL, strlen(pairs[1]), err);
		if (rc < 0)
			return rc;
	}
	const struct lg_commit commit = { .changes = &set, .author = store_author };
	return lg_config_commit(config, &commit, ret_committed, problems, err);
}

uint64_t store_set_pairs(struct lg_config *config, const char *const *pairs)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	lg_clock_sim_advance(&store_clock, 1000000000);
	lg_assert_ok(store_put(config, pairs, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

int store_restore(struct lg_config *config, uint64_t to, const char *include, const char *exclude,
	uint64_t *ret_revision, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	int rc = include ? lg_scope_include(&scope, include, err) : 0;
	if (rc == 0 && exclude)
		rc = lg_scope_exclude(&scope, exclude, err);
	if (rc < 0)
		return rc;
	const struct lg_restore form = {
		.to = to, .scope = &scope, .author = store_author, .rollback = "20260101-000000-abcdef"
	};
	struct lg_committed committed;
	rc = lg_config_restore(config, &form, &committed, NULL, err);
	if (rc < 0)
		return rc;
	*ret_revision = committed.revision;
	lg_committed_clear(&committed);
	return 0;
}

uint64_t store_go_back(struct lg_config *config, uint64_t to, const char *include, const char *exclude)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t revision = 0;
	lg_assert_ok(store_restore(config, to, include, exclude, &revision, &err), &err);
	return revision;
}

int store_hold(struct lg_config *config, const char *selector, uint64_t *ret_seq, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	int rc = lg_scope_include(&scope, selector, err);
	if (rc == 0)
		rc = lg_control_hold(&body, &scope, NULL, err);
	if (rc < 0)
		return rc;
	const struct lg_control control = { LG_KIND_HOLD, body.data, body.len };
	return lg_config_control(config, &store_author, &control, 1, ret_seq, err);
}

int store_mark(struct lg_config *config, const char *mark, uint64_t revision, const char *selector,
	struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	uint8_t hash[LG_HASH_SIZE];
	int rc = selector ? lg_scope_include(&scope, selector, err) : 0;
	if (rc == 0)
		rc = lg_config_tree_at(config, revision, &tree, err);
	if (rc == 0 && lg_tree_scope_hash(tree, &scope, hash) < 0)
		rc = lg_fail_nomem(err);
	if (rc == 0)
		rc = lg_control_mark(&body, mark, revision, &scope, hash, err);
	if (rc < 0)
		return rc;
	const struct lg_control control = { LG_KIND_MARK, body.data, body.len };
	return lg_config_control(config, &store_author, &control, 1, NULL, err);
}

static int describe_entry(void *arg, const struct lg_entry *entry)
{
	return lg_buf_addf(arg, "%s = %s @%" PRIu64 "\n", entry->key, entry->value, entry->change);
}

void store_describe(struct lg_config *config, struct lg_buf *buf)
{
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	lg_buf_addf(buf, "r%" PRIu64 " of %" PRIu64 "\n", now.revision, now.seq);
	lg_tree_walk(now.tree, "", 0, describe_entry, buf);
	lg_snapshot_clear(&now);
	const struct lg_controls *controls = lg_config_controls(config);
	for (size_t i = 0; i < controls->hold_count; i++) {
		lg_buf_addf(buf, "h%" PRIu64 " %s %s ", controls->holds[i].seq, controls->holds[i].actor,
			controls->holds[i].reason);
		lg_scope_add_canonical(&controls->holds[i].scope, buf);
		lg_buf_addc(buf, '\n');
	}
	for (size_t i = 0; i < controls->mark_count; i++) {
		const struct lg_mark *mark = &controls->marks[i];
		lg_buf_addf(buf, "%" PRIu64 ": %s r%" PRIu64 " %02x%02x ", mark->seq,
			mark->good ? "good" : "bad", mark->revision, mark->scope_hash[0], mark->scope_hash[31]);
		lg_scope_add_canonical(&mark->scope, buf);
		lg_buf_addc(buf, '\n');
	}
}

void store_assert_as_reopened(struct lg_config *config, const char *dir)
{
	lg_cleanup(lg_buf_clear) struct lg_buf here = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf there = LG_BUF_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *other = store_open(dir);
	store_describe(config, &here);
	store_describe(other, &there);
	assert_string_equal(lg_buf_str(&here), lg_buf_str(&there));
}
