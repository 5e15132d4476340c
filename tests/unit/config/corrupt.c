/* A byte of a checkpoint, or of a record's body, is another one than was written.  Whoever opens the store then, goes through
 * its revisions and asks for histories gets what was written, or LG_ECORRUPT; never something else, and no crash. */
#include "config/store.h"

#include "io/file.h"

#include <inttypes.h>
#include <sqlite3.h>

static const char *const keys[] = { "a/x", "a/y", "b/x", "c/q\"\\", "@schema/a/x" };
#define KEYS (sizeof keys / sizeof *keys)

static uint64_t seed = 20260101;

static size_t draw(size_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % below);
}

/* --- what a store answers --------------------------------------------------------------------------------------------- */

static int describe_entry(void *arg, const struct lg_entry *entry)
{
	return lg_buf_addf(arg, "%s = %s @%" PRIu64 "\n", entry->key, entry->value, entry->change);
}

static int describe_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)err;
	return lg_buf_addf(arg, "%" PRIu64 ": %s\n", event->record->seq, event->value ? event->value : "-");
}

enum { STATE, REVISIONS, HISTORIES = REVISIONS + 16, ANSWERS = HISTORIES + KEYS };

struct answers {
	struct lg_buf text[ANSWERS];
	int code[ANSWERS];
};

static void clear_answers(struct answers *answers)
{
	for (size_t i = 0; i < ANSWERS; i++)
		lg_buf_clear(&answers->text[i]);
}

static void ask(const char *dir, struct answers *answers)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = NULL;
	int rc = store_try_open(dir, &config, &err);
	for (size_t i = 0; i < ANSWERS; i++)
		answers->code[i] = rc;
	if (rc < 0)
		return;
	store_describe(config, &answers->text[STATE]);
	for (size_t i = REVISIONS; i < HISTORIES; i++) {
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
		uint64_t revision = HISTORIES - 1 - i; /* past the cache: the newest first */
		answers->code[i] = lg_config_tree_at(config, revision, &tree, &err);
		if (answers->code[i] == 0)
			lg_tree_walk(tree, "", 0, describe_entry, &answers->text[i]);
	}
	for (size_t i = 0; i < KEYS; i++)
		answers->code[HISTORIES + i] = lg_config_history_key(
			config, keys[i], 0, describe_event, &answers->text[HISTORIES + i], &err);
}

/* Each answer is the true one, or a refusal. ret_refused counts these. */
static void compare(const struct answers *truth, const struct answers *said, const char *what, size_t at,
	size_t *ret_refused)
{
	for (size_t i = 0; i < ANSWERS; i++) {
		if (said->code[i] == LG_ECORRUPT && truth->code[i] != LG_ECORRUPT) {
			++*ret_refused;
			continue;
		}
		if (said->code[i] != truth->code[i] ||
			(said->code[i] == 0 &&
				strcmp(lg_buf_str(&said->text[i]), lg_buf_str(&truth->text[i])) != 0))
			fail_msg("byte %zu of %s, answer %zu: %s\n%s", at, what, i, lg_code_name(said->code[i]),
				lg_buf_str(&said->text[i]));
	}
}

/* --- the store and its bytes ------------------------------------------------------------------------------------------ */

static void fill(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t held;
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	store_set(config, "@schema/a/x", "{\"max\":1000,\"type\":\"int\"}");
	store_set(config, "a/x", "1", "a/y", "\"text\"", "b/x", "[1,2]", "c/q\"\\", "{\"k\":\"v\"}");
	store_set(config, "a/x", "20", "a/y", "");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	lg_assert_ok(store_mark(config, "bad", 3, "a/", &err), &err);
	store_go_back(config, 2, "a/", NULL);
	lg_assert_ok(store_hold(config, "a/", &held, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "b/x", "[3]");
	store_go_back(config, 6, NULL, "c/");
	lg_assert_ok(store_hold(config, "d/", &held, &err), &err);
	store_set(config, "b/x", "[4]");
}

static sqlite3 *open_database(const char *dir)
{
	char path[4096];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/log.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static void *read_bytes(sqlite3 *db, const char *sql, int64_t seq, size_t *ret_len)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	sqlite3_bind_int64(stmt, 1, seq);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	*ret_len = (size_t)sqlite3_column_bytes(stmt, 0);
	void *data = malloc(*ret_len + 1);
	assert_non_null(data);
	memcpy(data, sqlite3_column_blob(stmt, 0), *ret_len);
	sqlite3_finalize(stmt);
	return data;
}

static void write_bytes(sqlite3 *db, const char *sql, int64_t seq, const void *data, size_t len)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	sqlite3_bind_int64(stmt, 1, seq);
	sqlite3_bind_text(stmt, 2, data, (int)len, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
	sqlite3_finalize(stmt);
}

static const char select_body[] = "SELECT body FROM record WHERE seq = ?1";
static const char update_body[] = "UPDATE record SET body = ?2 WHERE seq = ?1";

/* Every step-th byte, by a mask drawn for it. Returns how many answers were refused. */
static size_t corrupt_each(const char *dir, sqlite3 *db, int64_t seq, size_t step, const struct answers *truth)
{
	size_t len, refused = 0;
	uint8_t *data = read_bytes(db, select_body, seq, &len);
	for (size_t at = draw(step); at < len; at += 1 + draw(2 * step - 1)) {
		struct answers said = { 0 };
		const uint8_t former = data[at];
		data[at] ^= (uint8_t)(1 + draw(255));
		write_bytes(db, update_body, seq, data, len);
		ask(dir, &said);
		compare(truth, &said, "a body", at, &refused);
		clear_answers(&said);
		data[at] = former;
	}
	/* cut short, and with something behind it */
	for (size_t cut = 0; cut < 8; cut++) {
		struct answers said = { 0 };
		write_bytes(db, update_body, seq, data, draw(len));
		ask(dir, &said);
		compare(truth, &said, "a body", len, &refused);
		clear_answers(&said);
	}
	write_bytes(db, update_body, seq, data, len);
	free(data);
	return refused;
}

static void assert_all_back(const char *dir, const struct answers *truth)
{
	struct answers again = { 0 };
	size_t none = 0;
	ask(dir, &again);
	compare(truth, &again, "nothing", 0, &none);
	assert_int_equal(none, 0);
	clear_answers(&again);
}

static void test_bodies(void **state)
{
	struct answers truth = { 0 };
	const char *dir = store_new();
	(void)state;
	fill(dir);
	sqlite3 *db = open_database(dir);
	ask(dir, &truth);
	assert_int_equal(truth.code[STATE], 0);
	size_t refused = 0;
	for (int64_t seq = 1; seq <= 11; seq++)
		refused += corrupt_each(dir, db, seq, 3, &truth);
	assert_true(refused > 100);
	assert_all_back(dir, &truth);
	clear_answers(&truth);
	sqlite3_close(db);
}

static char *checkpoint_path(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	char **names, *path = NULL, *all = lg_path_join(dir, "log.db-checkpoints");
	size_t count;
	lg_assert_ok(lg_dir_list(all, &names, &count, &err), &err);
	for (size_t i = 0; i < count; i++) {
		if (names[i][0] == '.')
			continue;
		free(path); /* the newest one is wanted */
		path = lg_path_join(all, names[i]);
	}
	assert_non_null(path);
	lg_names_free(names, count);
	free(all);
	return path;
}

static void write_file(const char *path, const void *data, size_t len)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_file_replace(path, data, len, NULL, &err), &err);
}

/* Whatever becomes of a checkpoint, the log holds what it held: every answer is the true one. */
static void test_checkpoint(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct answers truth = { 0 };
	struct lg_buf data = LG_BUF_INIT;
	const char *dir = store_new();
	size_t refused = 0;
	(void)state;
	fill(dir);
	ask(dir, &truth);
	char *path = checkpoint_path(dir);
	lg_assert_ok(lg_file_read(path, 1 << 20, &data, &err), &err);
	for (size_t at = draw(3); at < data.len; at += 1 + draw(5)) {
		struct answers said = { 0 };
		const char former = data.data[at];
		data.data[at] = (char)(former ^ (1 + (int)draw(255)));
		write_file(path, data.data, draw(20) ? data.len : at);
		ask(dir, &said);
		compare(&truth, &said, "the checkpoint", at, &refused);
		clear_answers(&said);
		data.data[at] = former;
	}
	assert_int_equal(refused, 0);
	write_file(path, data.data, data.len);
	assert_all_back(dir, &truth);
	lg_assert_ok(lg_file_remove(path, &err), &err);
	assert_all_back(dir, &truth);
	lg_buf_clear(&data);
	clear_answers(&truth);
	free(path);
}

int main(void)
{
	store_init();
	lg_test_add("bytes of a checkpoint", test_checkpoint, NULL);
	lg_test_add("bytes of record bodies", test_bodies, NULL);
	return lg_test_run("config_corrupt");
}
