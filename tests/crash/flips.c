/* One bit of a small store is another one than was written: of the database, of a checkpoint, or of the -wal, each in turn.
 * Everything is then read.  The newest state is right or refused; and whatever else is read otherwise than it was written,
 * verifying tells.  In the -wal SQLite takes damage for the end, so that an older state would pass for the newest one: opening
 * refuses that, and verifying tells it, but for the newest transaction, where nothing can.
 *
 *	flips                  a sample
 *	flips --bits N         a larger one: N bits of each file
 *	flips --all            every bit */
#include "config/store.h"

#include "config/verify.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 400 /* bits that one child looks at */

static size_t bits = 300; /* of each file; 0: all */

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

/* --- the store ------------------------------------------------------------------------------------------------------------------ */

static const char *const keys[] = { "a/x", "a/y", "b/x", "c/q\"\\", "@schema/a/x",
	"long/key/of/several/segments" };
#define KEYS (sizeof keys / sizeof *keys)

static const char *dir;
static char database[600], checkpoint[800], wal[620], shm[620];

/* The files of a store as they were. */
struct image {
	char *data;
	size_t len;
};
static struct image moved, unmoved, unmoved_wal;

static void fill(void)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t held;
	char large[1300];
	lg_cleanup(lg_config_closep) struct lg_config *config = store_open(dir);
	memset(large, 'l', sizeof large - 1);
	large[0] = large[sizeof large - 2] = '"';
	large[sizeof large - 1] = '\0';
	store_set(config, "@schema/a/x", "{\"max\":1000,\"type\":\"int\"}");
	store_set(config, "a/x", "1", "a/y", "\"text\"", "b/x", "[1,2]", "c/q\"\\", "{\"k\":\"v\"}");
	store_set(config, "a/x", "20", "a/y", "");
	store_set(config, "long/key/of/several/segments", large);
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	lg_assert_ok(store_mark(config, "bad", 3, "a/", &err), &err);
	store_go_back(config, 2, "a/", NULL);
	lg_assert_ok(store_hold(config, "a/", &held, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "b/x", "[3]");
	store_go_back(config, 6, NULL, "c/");
	lg_assert_ok(store_hold(config, "d/", &held, &err), &err);
	store_set(config, "b/x", "[4]", "b/y", "5");
}

/* All pages into the database. */
static void move_pages(void)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void find_checkpoint(void)
{
	struct lg_error err = LG_ERROR_INIT;
	char folder[700], **names;
	size_t count;
	snprintf(folder, sizeof folder, "%s-checkpoints", database);
	lg_assert_ok(lg_dir_list(folder, &names, &count, &err), &err);
	for (size_t i = 0; i < count; i++)
		if (names[i][0] != '.')
			snprintf(checkpoint, sizeof checkpoint, "%s/%s", folder, names[i]);
	lg_names_free(names, count);
	assert_true(checkpoint[0]);
}

/* --- what it answers ------------------------------------------------------------------------------------------------------------ */

enum {
	NEWEST,
	RECORDS,
	CONTROLS,
	BACKWARDS,
	REVISIONS,
	HISTORIES = REVISIONS + 16,
	ANSWERS = HISTORIES + KEYS
};

struct answers {
	struct lg_buf text[ANSWERS];
	int code[ANSWERS];
};

static int describe_entry(void *arg, const struct lg_entry *entry)
{
	return lg_buf_addf(arg, "%s = %s @%" PRIu64 "\n", entry->key, entry->value, entry->change);
}

static int describe_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	(void)err;
	return lg_buf_addf(arg, "%" PRIu64 ": %s\n", event->record->seq, event->value ? event->value : "-");
}

static int describe_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	lg_buf_addf(arg, "%" PRIu64 " %" PRId64 " %d %s %s %s ", record->seq, record->time_us,
		(int)record->kind, record->actor, record->reason, record->body);
	lg_buf_add(arg, record->id, LG_ID_SIZE);
	lg_buf_add(arg, record->root, LG_HASH_SIZE);
	return lg_buf_add(arg, record->hash, LG_HASH_SIZE);
}

static void ask_queries(struct lg_config *config, struct answers *answers)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_log_query queries[] = {
		{ .from = 0 },
		{ .kinds = ~((1u << LG_KIND_CHANGE) | (1u << LG_KIND_RESTORE)) },
		{ .kinds = (1u << LG_KIND_CHANGE) | (1u << LG_KIND_RESTORE), .newest_first = true },
	};
	for (size_t i = 0; i < 3; i++)
		answers->code[RECORDS + i] = lg_config_query(
			config, &queries[i], describe_record, &answers->text[RECORDS + i], &err);
}

static void ask(struct answers *answers)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_config_closep) struct lg_config *config = NULL;
	int rc = store_try_open(dir, &config, &err);
	for (size_t i = 0; i < ANSWERS; i++) {
		lg_buf_reset(&answers->text[i]);
		answers->code[i] = rc;
	}
	if (rc < 0)
		return;
	store_describe(config, &answers->text[NEWEST]);
	ask_queries(config, answers);
	for (size_t i = REVISIONS; i < HISTORIES; i++) {
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
		answers->code[i] = lg_config_tree_at(config, i - REVISIONS, &tree, &err);
		if (answers->code[i] == 0)
			lg_tree_walk(tree, "", 0, describe_entry, &answers->text[i]);
	}
	for (size_t i = 0; i < KEYS; i++)
		answers->code[HISTORIES + i] = lg_config_history_key(
			config, keys[i], 0, describe_event, &answers->text[HISTORIES + i], &err);
}

static bool same_answer(const struct answers *truth, const struct answers *said, size_t i)
{
	const struct lg_buf *one = &truth->text[i], *other = &said->text[i];
	return said->code[i] == truth->code[i] && one->len == other->len &&
		(one->len == 0 || memcmp(one->data, other->data, one->len) == 0);
}

/* An answer that is neither the true one nor an honest refusal. */
static size_t first_wrong(const struct answers *truth, const struct answers *said, bool *ret_refused)
{
	for (size_t i = 0; i < ANSWERS; i++) {
		if (same_answer(truth, said, i))
			continue;
		if (said->code[i] == truth->code[i] || said->code[i] >= 0)
			return i;
		*ret_refused = true;
	}
	return ANSWERS;
}

static bool verifies(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_verify_report report = { 0 };
	const struct lg_verify_options options = { .state_dir = dir };
	bool fine = lg_verify(&options, &report, &err) == 0 && report.problems.total == 0;
	lg_verify_report_clear(&report);
	return fine;
}

/* --- flips ---------------------------------------------------------------------------------------------------------------------- */

/* Shared with the children. */
static struct tally {
	size_t at; /* the bit that is being looked at */
	size_t unread, refused, told, undetected;
	size_t first_undetected, first_answer;
	size_t wrong_newest, first_newest;
} * tally;

struct target {
	const char *name;
	const char *path;
	char *content;
	size_t len;
	size_t newest; /* where the newest transaction begins, in a -wal */
	struct answers truth;
};

static void put_back(const struct target *target)
{
	const struct image *base = target->path == wal ? &unmoved : &moved;
	unlink(wal);
	unlink(shm);
	lg_test_write(database, base->data, base->len);
	lg_test_write(target->path, target->content, target->len);
}

/* Of the transactions in a -wal: a frame that commits says how many pages the database has. */
static size_t newest_transaction(const char *data, size_t len)
{
	size_t begin = 32, last = 32;
	for (size_t at = 32; at + 24 + 4096 <= len; at += 24 + 4096) {
		if (memcmp(data + at + 4, "\0\0\0", 4) == 0)
			continue;
		last = begin;
		begin = at + 24 + 4096;
	}
	return last;
}

static void look_at(struct target *target, size_t bit, struct answers *said)
{
	bool was_refused = false;
	tally->at = bit;
	target->content[bit / 8] ^= (char)(1 << bit % 8);
	put_back(target);
	target->content[bit / 8] ^= (char)(1 << bit % 8);
	ask(said);
	size_t wrong = first_wrong(&target->truth, said, &was_refused);
	/* what a checkpoint holds, the log holds, too: it is passed over, and only verifying can tell */
	bool is_newest = target->newest && bit / 8 >= target->newest;
	if (wrong == NEWEST && !is_newest && tally->wrong_newest++ == 0)
		tally->first_newest = bit;
	bool is_told = target->path == checkpoint || (target->path == wal && was_refused);
	if ((wrong == ANSWERS && !is_told) || is_newest) {
		tally->refused += was_refused;
		tally->unread += !was_refused;
	} else if (!verifies()) {
		tally->told++;
	} else if (tally->undetected++ == 0) {
		tally->first_undetected = bit;
		tally->first_answer = wrong;
	}
}

struct batch {
	size_t from, stride, count;
};

static void look_at_batch(struct target *target, const struct batch *batch)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct answers said = { 0 };
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		for (size_t i = 0; i < batch->count; i++)
			look_at(target, batch->from + i * batch->stride, &said);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("bit %zu of the %s: the process ended with %#x", tally->at, target->name, status);
}

static void flip_all(struct target *target)
{
	size_t all = target->len * 8;
	/* an odd stride meets each bit of a byte */
	size_t stride = bits && bits < all ? (all / bits) | 1 : 1;
	for (size_t from = 0; from < all; from += BATCH * stride) {
		size_t left = (all - from + stride - 1) / stride;
		look_at_batch(target, &(struct batch){ from, stride, left < BATCH ? left : BATCH });
	}
}

static void test_flips(void **state)
{
	struct target *target = *state;
	struct answers again = { 0 };
	bool was_refused = false;
	memset(tally, 0, sizeof *tally);
	put_back(target);
	ask(&target->truth);
	assert_int_equal(target->truth.code[NEWEST], 0);
	flip_all(target);
	put_back(target);
	printf("# %s: %zu bytes; of the bits flipped %zu changed no answer, %zu were refused when read, %zu were wrong in part and "
	       "found by verifying\n",
		target->name, target->len, tally->unread, tally->refused, tally->told);
	if (tally->undetected)
		fail_msg(
			"%zu flips changed an answer and were not found, the first is bit %zu of the %s, answer %zu",
			tally->undetected, tally->first_undetected, target->name, tally->first_answer);
	if (tally->wrong_newest)
		fail_msg("%zu flips made the newest state wrong, as bit %zu of the %s", tally->wrong_newest,
			tally->first_newest, target->name);
	assert_true(tally->told > 0 && (target->path == checkpoint || tally->unread > 0));
	ask(&again); /* all bits are back */
	assert_int_equal(first_wrong(&target->truth, &again, &was_refused), ANSWERS);
	assert_false(was_refused);
	for (size_t i = 0; i < ANSWERS; i++) {
		lg_buf_clear(&again.text[i]);
		lg_buf_clear(&target->truth.text[i]);
	}
}

static struct image read_image(const char *path)
{
	struct image image;
	image.data = lg_test_read(path, &image.len);
	assert_non_null(image.data);
	return image;
}

static void forget(void)
{
	free(moved.data);
	free(unmoved.data);
	free(unmoved_wal.data);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--all") == 0)
		bits = 0;
	if (argc == 3 && strcmp(argv[1], "--bits") == 0)
		bits = strtoul(argv[2], NULL, 10);
	tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED)
		return 1;
	store_init();
	dir = store_new();
	snprintf(database, sizeof database, "%s/log.db", dir);
	snprintf(wal, sizeof wal, "%s-wal", database);
	snprintf(shm, sizeof shm, "%s-shm", database);
	fill();
	unmoved = read_image(database);
	unmoved_wal = read_image(wal);
	move_pages();
	moved = read_image(database);
	find_checkpoint();
	struct image kept = read_image(checkpoint);
	atexit(forget);
	struct target targets[] = {
		{ .name = "database", .path = database, .content = moved.data, .len = moved.len },
		{ .name = "checkpoint", .path = checkpoint, .content = kept.data, .len = kept.len },
		{ .name = "-wal", .path = wal, .content = unmoved_wal.data, .len = unmoved_wal.len },
	};
	targets[2].newest = newest_transaction(unmoved_wal.data, unmoved_wal.len);
	lg_test_add("bits of the database", test_flips, &targets[0]);
	lg_test_add("bits of a checkpoint", test_flips, &targets[1]);
	lg_test_add("bits of the -wal", test_flips, &targets[2]);
	int rc = lg_test_run("crash_flips");
	free(kept.data);
	return rc;
}
