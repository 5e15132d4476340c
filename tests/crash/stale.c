/* A database that was put back from a backup while the files of another generation lie beside it: its -wal, its -shm and its
 * checkpoints.  SQLite does not know whose they are.  Combinations of such files are opened: it is refused, or the newest state is
 * one that there was.  Where older states and histories are not those that led to it, verifying tells. */
#include "config/store.h"

#include "config/verify.h"
#include "io/file.h"
#include "io/process.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

/* No power fails here, so nothing has to wait for the disk. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

/* --- generations -------------------------------------------------------------------------------------------------------------- */

/* Copies of one store at several times, and of another one; NONE: the file is missing. */
enum generation { EARLY, MOVED, LATER, LATEST, OTHER, NONE };
static const char *const generation_names[] = { "early", "moved", "later", "latest", "other", "none" };

static const char *dirs[NONE];
static const char *const keys[] = { "a/x", "a/y", "b/x", "other" };
#define KEYS      (sizeof keys / sizeof *keys)
#define REVISIONS 400
#define STRIDE    7 /* of the revisions that are looked at, the newest among them */

/* Of a history: the state after each record, and which records touched a key. */
struct truth {
	uint64_t head;
	char *states[REVISIONS];
	char *histories[KEYS];
};
static struct truth truths[2]; /* of LATEST, of OTHER */

static void copy(const char *from, const char *to)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *const argv[] = { "/bin/cp", "-a", from, to, NULL };
	const struct lg_run_options options = { .argv = argv };
	lg_assert_ok(lg_dir_remove(to, &err), &err);
	lg_assert_ok(lg_run_ok(&options, &err), &err);
}

/* Moves all pages into the database and empties its -wal file, as who makes a backup may. */
static void move_pages(const char *dir)
{
	char path[600];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/log.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Enough for several pages of every table. */
static void write_some(const char *dir, unsigned from, unsigned count, const char *key)
{
	struct lg_error err = LG_ERROR_INIT;
	char value[300];
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	for (unsigned i = from; i < from + count; i++) {
		snprintf(value, sizeof value, "\"%u %0*d\"", i, (int)(i * 7 % 250), 0);
		store_set(config, keys[i % 3], value, i % 5 ? "b/y" : "b/z", value, "@schema/q",
			"{\"type\":\"int\"}");
		if (i % 10 == 0)
			lg_assert_ok(store_mark(config, "good", 1, NULL, &err), &err);
	}
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, key, "\"end\"");
}

static const char *keep(const char *dir, enum generation generation)
{
	const char *kept = lg_test_path(generation_names[generation]);
	copy(dir, kept);
	return dirs[generation] = kept;
}

static void make_generations(void)
{
	const char *dir = store_new(), *other = store_new();
	write_some(dir, 1, 30, "a/y");
	keep(dir, EARLY);
	write_some(dir, 31, 20, "a/y");
	move_pages(dir);
	keep(dir, MOVED);
	write_some(dir, 51, 30, "a/y");
	keep(dir, LATER);
	write_some(dir, 81, 20, "a/y");
	move_pages(dir);
	write_some(dir, 101, 40, "a/y");
	keep(dir, LATEST);
	write_some(other, 1, 60, "other");
	move_pages(other);
	write_some(other, 61, 60, "other");
	keep(other, OTHER);
}

/* --- what is read ------------------------------------------------------------------------------------------------------------- */

static int describe_entry(void *arg, const struct lg_entry *entry)
{
	return lg_buf_addf(arg, "%s = %s @%" PRIu64 "\n", entry->key, entry->value, entry->change);
}

static int describe_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)err;
	return lg_buf_addf(arg, "%" PRIu64 ": %s\n", event->record->seq, event->value ? event->value : "-");
}

/* The state at a revision, NULL when it was refused. */
static char *state_at(struct lg_config *config, uint64_t revision)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	if (lg_config_tree_at(config, revision, &tree, &err) < 0)
		return NULL;
	lg_buf_adds(&text, "");
	lg_tree_walk(tree, "", 0, describe_entry, &text);
	return strdup(lg_buf_str(&text));
}

static char *history_of(struct lg_config *config, const char *key)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	if (lg_config_history_key(config, key, 0, describe_event, &text, &err) < 0)
		return NULL;
	return strdup(lg_buf_str(&text));
}

static uint64_t head_of(struct lg_config *config)
{
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	uint64_t seq = now.seq;
	lg_snapshot_clear(&now);
	return seq;
}

static void learn(const char *dir, struct truth *truth)
{
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	truth->head = head_of(config);
	assert_true(truth->head < REVISIONS);
	for (uint64_t r = 0; r <= truth->head; r++) {
		truth->states[r] = state_at(config, r);
		assert_non_null(truth->states[r]);
	}
	for (size_t i = 0; i < KEYS; i++) {
		truth->histories[i] = history_of(config, keys[i]);
		assert_non_null(truth->histories[i]);
	}
}

/* What is said of a history that ended at `head`: the events up to it, newest first. */
static bool is_history(const char *said, const char *whole, uint64_t head)
{
	while (strtoull(whole, NULL, 10) > head) {
		whole = strchr(whole, '\n');
		if (!whole || !whole[1])
			return *said == '\0';
		whole++;
	}
	return strcmp(said, whole) == 0;
}

/* --- combinations -------------------------------------------------------------------------------------------------------------- */

static const char *live;
static unsigned right, refused, told, silent;

struct combination {
	enum generation database, wal, shm, checkpoints;
};

static void put_file(enum generation generation, const char *name)
{
	char from[600], to[600];
	struct stat st;
	snprintf(to, sizeof to, "%s/%s", live, name);
	if (generation == NONE)
		return;
	snprintf(from, sizeof from, "%s/%s", dirs[generation], name);
	if (stat(from, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode)) {
		copy(from, to);
		return;
	}
	size_t len = 0;
	char *data = lg_test_read(from, &len);
	assert_non_null(data);
	lg_test_write(to, data, len);
	assert_int_equal(chmod(to, 0600), 0);
	free(data);
}

static void put_together(const struct combination *c)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_dir_remove(live, &err), &err);
	assert_int_equal(mkdir(live, 0700), 0);
	put_file(c->database, "secret.key");
	put_file(c->database, "log.db");
	put_file(c->wal, "log.db-wal");
	put_file(c->shm, "log.db-shm");
	put_file(c->checkpoints, "log.db-checkpoints");
}

/* Does all that it answers belong to this history? A refusal is no answer. */
static bool matches(struct lg_config *config, const struct truth *truth, bool *ret_refusals)
{
	uint64_t head = head_of(config);
	bool same = head <= truth->head;
	for (uint64_t r = head % STRIDE; same && r <= head; r += STRIDE) {
		char *state = state_at(config, r);
		*ret_refusals |= !state;
		same = !state || strcmp(state, truth->states[r]) == 0;
		free(state);
	}
	for (size_t i = 0; same && i < KEYS; i++) {
		char *said = history_of(config, keys[i]);
		*ret_refusals |= !said;
		same = !said || is_history(said, truth->histories[i], head);
		free(said);
	}
	return same;
}

/* The newest state, and the changes that its keys are of, is that which one of the histories had there. */
static bool newest_is_right(struct lg_config *config)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	struct lg_snapshot now;
	bool is_right = false;
	lg_config_snapshot(config, &now);
	lg_tree_walk(now.tree, "", 0, describe_entry, &text);
	for (size_t t = 0; t < 2; t++)
		is_right |=
			now.seq <= truths[t].head && strcmp(lg_buf_str(&text), truths[t].states[now.seq]) == 0;
	lg_snapshot_clear(&now);
	return is_right;
}

static bool verifies(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_verify_report report = { 0 };
	const struct lg_verify_options options = { .state_dir = live };
	bool fine = lg_verify(&options, &report, &err) == 0 && report.problems.total == 0;
	lg_verify_report_clear(&report);
	return fine;
}

static void judge(const struct combination *c)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = NULL;
	put_together(c);
	int rc = store_try_open(live, &config, &err);
	if (rc < 0) {
		assert_true(rc == LG_ECORRUPT && err.message[0]);
		refused++;
		return;
	}
	if (!newest_is_right(config))
		fail_msg("%s database, %s -wal, %s -shm, %s checkpoints: the newest state is wrong",
			generation_names[c->database], generation_names[c->wal], generation_names[c->shm],
			generation_names[c->checkpoints]);
	bool refusals = false, same = matches(config, &truths[0], &refusals);
	if (!same) {
		refusals = false;
		same = matches(config, &truths[1], &refusals);
	}
	bool verified = verifies();
	if (same && !refusals && verified) {
		right++;
		store_set(config, "z", "1");
		store_assert_as_reopened(config, live);
	} else if (!verified) {
		told++;
		printf("# verifying tells: %s database, %s -wal, %s -shm, %s checkpoints: answers %s\n",
			generation_names[c->database], generation_names[c->wal], generation_names[c->shm],
			generation_names[c->checkpoints], same ? "right" : "wrong");
	} else {
		silent++;
		printf("# %s database, %s -wal, %s -shm, %s checkpoints: %s at record %" PRIu64 "\n",
			generation_names[c->database], generation_names[c->wal], generation_names[c->shm],
			generation_names[c->checkpoints], same ? "refusals" : "silently wrong",
			head_of(config));
	}
}

static void test_combinations(void **state)
{
	(void)state;
	for (enum generation database = EARLY; database < NONE; database++) {
		for (enum generation wal = EARLY; wal <= NONE; wal++) {
			/* all that is not the database stayed; its checkpoints came along; all is a jumble; nothing stayed */
			judge(&(struct combination){ database, wal, wal, wal });
			judge(&(struct combination){ database, wal, wal, database });
			judge(&(struct combination){ database, wal, (wal + 2) % NONE, (wal + 3) % NONE });
			judge(&(struct combination){ database, wal, NONE, NONE });
		}
	}
	printf("# %u right, %u refused, %u wrong in part and found by verifying\n", right, refused, told);
	assert_int_equal(silent, 0);
	assert_true(right > 0 && refused + told > 0);
}

static void forget(void)
{
	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < REVISIONS; i++)
			free(truths[t].states[i]);
		for (size_t i = 0; i < KEYS; i++)
			free(truths[t].histories[i]);
	}
}

int main(void)
{
	store_init();
	live = lg_test_path("live");
	make_generations();
	learn(dirs[LATEST], &truths[0]);
	learn(dirs[OTHER], &truths[1]);
	atexit(forget);
	lg_test_add("files of several generations together", test_combinations, NULL);
	return lg_test_run("crash_stale");
}
