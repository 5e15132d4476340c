/* Every allocation of the SQLite log fails once, the 1st, the 2nd, … until a run in which none does: its own, and SQLite's.  No
 * call crashes, leaks (under ASan), or says otherwise than what happened; the log is as before or after, and the next append
 * works, on this handle unless it says that it must be opened again.
 *
 *	memory            every 7th
 *	memory --all      every one */
#include "support/allocation.h"
#include "unit/log/records.h"

#include "base/cleanup.h"
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

/* --- SQLite's allocations ------------------------------------------------------------------------------------------------------ */

static sqlite3_mem_methods real;

static void *sqlite_malloc(int size)
{
	return fails() ? NULL : real.xMalloc(size);
}

static void *sqlite_realloc(void *memory, int size)
{
	return fails() ? NULL : real.xRealloc(memory, size);
}

static void wrap_sqlite(void)
{
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real), SQLITE_OK);
	sqlite3_mem_methods methods = real;
	methods.xMalloc = sqlite_malloc;
	methods.xRealloc = sqlite_realloc;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
	/* all of it through these, nothing from a pool that was filled before */
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
	assert_int_equal(sqlite3_initialize(), SQLITE_OK);
}

/* --- what is done -------------------------------------------------------------------------------------------------------------- */

static const char *path;
static long stride = 7;

static int do_head(struct lg_log *log, struct lg_error *err)
{
	struct lg_log_head head;
	return lg_log_head(log, &head, err);
}

static int do_append(struct lg_log *log, struct lg_error *err)
{
	static const char *const touched[] = { "a/b", "c" };
	return lg_test_append(log, LG_KIND_CHANGE, "{\"set\":{}}", touched, 2, err);
}

static int do_append_large(struct lg_log *log, struct lg_error *err)
{
	static char body[100001];
	memset(body, 'b', sizeof body - 1);
	return lg_test_append(log, LG_KIND_MARK, body, NULL, 0, err);
}

static int do_append_three(struct lg_log *log, struct lg_error *err)
{
	struct lg_record records[3];
	struct lg_log_head head, at;
	int rc = lg_log_head(log, &head, err);
	at = head;
	for (size_t i = 0; rc == 0 && i < 3; i++) {
		records[i] = lg_test_record(&at, i == 1 ? LG_KIND_CHANGE : LG_KIND_HOLD, "{}");
		lg_test_seal(&records[i], &at);
		at = lg_test_head_after(&records[i]);
	}
	return rc < 0 ? rc : lg_log_append(log, records, 3, &head, err);
}

static int count_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)record, (void)err;
	++*(size_t *)arg;
	return 0;
}

/* What is found without a failure is all there is, so fewer are a lie. */
static int count_all(struct lg_log *log, const struct lg_log_query *query, size_t want, struct lg_error *err)
{
	size_t count = 0;
	int rc = lg_log_query(log, query, count_record, &count, err);
	if (rc == 0)
		assert_int_equal(count, want);
	return rc;
}

static int do_query(struct lg_log *log, struct lg_error *err)
{
	int rc = count_all(log, &(struct lg_log_query){ 0 }, 9, err);
	if (rc == 0)
		rc = count_all(log, &(struct lg_log_query){ .key = "web/", .newest_first = true }, 9, err);
	if (rc == 0)
		rc = count_all(
			log, &(struct lg_log_query){ .kinds = 1u << LG_KIND_CHANGE, .no_body = true }, 6, err);
	return rc;
}

static int do_find_id(struct lg_log *log, struct lg_error *err)
{
	uint64_t seq;
	const uint8_t id[LG_ID_SIZE] = { 1 };
	int rc = lg_log_find_id(log, 3, id, &seq, err);
	assert_true(rc <= 0);
	return rc;
}

static int do_checkpoint(struct lg_log *log, struct lg_error *err)
{
	struct lg_log_head head;
	int rc = lg_log_head(log, &head, err);
	struct lg_log_checkpoint checkpoint = { .seq = head.seq, .data = "data", .len = 4 };
	memcpy(checkpoint.hash, head.hash, LG_HASH_SIZE);
	return rc < 0 ? rc : lg_log_checkpoint_write(log, &checkpoint, err);
}

static int visit_checkpoint(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	(void)arg, (void)err;
	assert_memory_equal(checkpoint->data, "old", 3);
	return 0;
}

static int do_checkpoint_read(struct lg_log *log, struct lg_error *err)
{
	uint64_t seq = 0;
	int rc = lg_log_checkpoint_find(log, 9, &seq, err);
	if (rc < 0)
		return rc;
	assert_int_equal(seq, 6);
	return lg_log_checkpoint_read(log, seq, visit_checkpoint, NULL, err);
}

static int do_trim(struct lg_log *log, struct lg_error *err)
{
	static const uint64_t keep[] = { 3 };
	return lg_log_trim(log, 6, keep, 1, err);
}

static int do_verify(struct lg_log *log, struct lg_error *err)
{
	int rc = lg_log_verify_chain(log, 0, 0, err);
	return rc < 0 ? rc : lg_log_check(log, true, err);
}

static int do_wait(struct lg_log *log, struct lg_error *err)
{
	int rc = lg_log_wait(log, 0, err);
	return rc < 0 ? rc : 0;
}

/* Another handle on the same log. */
static int do_open(struct lg_log *log, struct lg_error *err)
{
	struct lg_log *other = NULL;
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s", path);
	(void)log;
	int rc = lg_log_open(url, &(struct lg_log_open){ 0 }, &other, err);
	assert_true(rc == 0 ? other != NULL : other == NULL);
	lg_log_close(other);
	return rc;
}

static int do_make(struct lg_log *log, struct lg_error *err)
{
	struct lg_log *other = NULL;
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s-other", path);
	(void)log;
	int rc = lg_log_open(url, &(struct lg_log_open){ .create = true }, &other, err);
	lg_log_close(other);
	return rc;
}

static const struct row {
	const char *name;
	int (*work)(struct lg_log *log, struct lg_error *err);
	uint64_t appends; /* records */
} rows[] = {
	{ "head", do_head, 0 },
	{ "append", do_append, 1 },
	{ "append a large record", do_append_large, 1 },
	{ "append three", do_append_three, 3 },
	{ "query", do_query, 0 },
	{ "find an id", do_find_id, 0 },
	{ "write a checkpoint", do_checkpoint, 0 },
	{ "read a checkpoint", do_checkpoint_read, 0 },
	{ "trim", do_trim, 0 },
	{ "verify", do_verify, 0 },
	{ "wait", do_wait, 0 },
	{ "open", do_open, 0 },
	{ "make", do_make, 0 },
};

/* --- one run --------------------------------------------------------------------------------------------------------------------- */

static const char *seed;

static void make_seed(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	seed = lg_test_path("seed");
	assert_int_equal(mkdir(seed, 0700), 0);
	struct lg_log *log = lg_test_open(lg_test_path("seed/log.db"), true);
	lg_test_fill(log, 6);
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	struct lg_log_checkpoint checkpoint = { .seq = head.seq, .data = "old", .len = 3 };
	memcpy(checkpoint.hash, head.hash, LG_HASH_SIZE);
	lg_assert_ok(lg_log_checkpoint_write(log, &checkpoint, &err), &err);
	lg_test_fill(log, 3);
	lg_log_close(log);
}

static void copy_seed(const char *to)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *const argv[] = { "/bin/cp", "-a", seed, to, NULL };
	const struct lg_run_options options = { .argv = argv };
	lg_assert_ok(lg_dir_remove(to, &err), &err);
	lg_assert_ok(lg_run_ok(&options, &err), &err);
}

static void check_after(struct lg_log *log, const struct row *row, int rc)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t head = lg_test_head_seq(log);
	assert_true(head == 9 || head == 9 + row->appends);
	if (rc == 0)
		assert_int_equal(head, 9 + row->appends);
	else if (rc != LG_EUNKNOWN)
		assert_int_equal(head, 9);
	/* a handle that does not know what became of a write asks to be opened again */
	int more = lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err);
	if (more < 0)
		lg_assert_code(more, LG_EREADONLY, &err);
	lg_log_close(log);
	log = lg_test_open(path, false);
	head = lg_test_head_seq(log);
	assert_true(rc == LG_EUNKNOWN || head == 9 + (rc == 0 ? row->appends : 0) + (more == 0));
	lg_test_fill(log, 2);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_log_close(log);
}

static void run_once(const struct row *row, long nth)
{
	struct lg_error err = LG_ERROR_INIT;
	copy_seed(lg_test_path("live"));
	struct lg_log *log = lg_test_open(path, false);
	fired = false;
	until_failure = nth;
	int rc = row->work(log, &err);
	until_failure = -1;
	if (rc < 0 && rc != LG_ENOMEM && rc != LG_EUNKNOWN)
		fail_msg("allocation %ld: %s (%s)", nth, err.message, lg_code_name(rc));
	assert_true(rc == 0 || fired);
	check_after(log, row, rc);
}

static void test_nth_allocation_fails(void **state)
{
	const struct row *row = *state;
	long nth = (row - rows) % stride;
	fired = true;
	for (; fired; nth += stride)
		run_once(row, nth);
	printf("# %s: about %ld allocations\n", row->name, nth - stride);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--all") == 0)
		stride = 1;
	wrap_sqlite();
	path = lg_test_path("live/log.db");
	make_seed();
	lg_test_rows("the nth allocation fails", test_nth_allocation_fails, rows, sizeof rows / sizeof *rows,
		sizeof *rows, offsetof(struct row, name));
	return lg_test_run("log_memory");
}
