/* Compare-and-set from several processes at once is linearizable: an order of all operations explains what each of them saw,
 * and agrees with the order in time.  Processes are killed meanwhile; what became of an operation without an answer is read
 * from the log in the end.  support/linear.h says what is checked, and why that is exact.
 *
 *	linear [--ops N] [--seed N] */
#include "support/linear.h"
#include "config/config.h"
#include "support/support.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 4
#define KEYS      3 /* few, so that they get into each other's way */

static unsigned total = 3000; /* operations */
static uint64_t seed = 8;
static const char *dir;

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

enum outcome { PENDING, READ, WRITTEN, REFUSED, NOTHING };

/* As a process writes it down; what is there survives the process. */
struct noted {
	int64_t begin, end;
	_Atomic int outcome;
	uint32_t key;
	bool is_cas;
	uint64_t expected;
	uint64_t change; /* READ: seen, WRITTEN: made, REFUSED: what stood there */
};

struct notebook {
	_Atomic size_t count;
	struct noted ops[];
};
static struct notebook *books[PROCESSES];
static size_t book_room;

/* A record's id tells whose it is. */
struct id {
	uint64_t process, op;
};
_Static_assert(sizeof(struct id) == LG_ID_SIZE, "an id is a number of bytes");

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts); /* the same in all processes */
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct lg_config *open_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .state_dir = dir };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

/* --- in a process -------------------------------------------------------------------------------------------------------- */

static const char *key_name(uint32_t key)
{
	static const char *const names[KEYS] = { "a", "b/c", "d" };
	return names[key];
}

static uint64_t change_of(struct lg_config *config, uint32_t key)
{
	struct lg_snapshot now;
	struct lg_entry entry;
	lg_config_snapshot(config, &now);
	uint64_t change =
		lg_tree_get(now.tree, key_name(key), strlen(key_name(key)), &entry) ? entry.change : 0;
	lg_snapshot_clear(&now);
	return change;
}

static int cas(struct lg_config *config, const struct id *id, uint32_t key, uint64_t expected,
	uint64_t *ret_change, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_committed committed;
	uint8_t ids[1][LG_ID_SIZE];
	char value[64];
	int len = snprintf(value, sizeof value, "\"%" PRIu64 ".%" PRIu64 "\"", id->process, id->op);
	memcpy(ids[0], id, LG_ID_SIZE);
	int rc = lg_changeset_add(&set, key_name(key), strlen(key_name(key)), value, (size_t)len, err);
	if (rc < 0)
		return rc;
	set.items[0].has_expect = true;
	set.items[0].expect_change = expected;
	const struct lg_commit commit = {
		.changes = &set, .author = { .actor = "t", .reason = "test" }, .ids = (void *)ids
	};
	rc = lg_config_commit(config, &commit, &committed, NULL, err);
	if (rc == 0) {
		*ret_change = committed.revision;
		lg_committed_clear(&committed);
	}
	return rc;
}

/* What stood in the way, from the message; false when it was refused for another reason, such as too many others. */
static bool what_stood(const struct lg_error *err, uint64_t *ret_change)
{
	const char *actual = strstr(err->message, "was changed by r");
	*ret_change = actual ? strtoull(actual + strlen("was changed by r"), NULL, 10) : 0;
	return actual || strstr(err->message, "is not set");
}

static void do_cas(struct lg_config *config, const struct id *id, struct noted *op, uint64_t *random)
{
	struct lg_error err = LG_ERROR_INIT;
	op->is_cas = true;
	op->expected = change_of(config, op->key); /* as of the last look: often old by now */
	if (next_random(random) % 8 == 0)
		op->expected = next_random(random) % (op->expected + 2);
	op->begin = now_ns();
	int rc = cas(config, id, op->key, op->expected, &op->change, &err);
	op->end = now_ns();
	if (rc == 0)
		op->outcome = WRITTEN;
	else if (rc == LG_ECONFLICT && what_stood(&err, &op->change))
		op->outcome = REFUSED;
	else if (rc == LG_ECONFLICT || rc == LG_EBUSY)
		op->outcome = NOTHING;
	else
		lg_assert_ok(rc, &err);
}

static void do_read(struct lg_config *config, struct noted *op)
{
	struct lg_error err = LG_ERROR_INIT;
	op->begin = now_ns();
	lg_assert_ok(lg_config_refresh(config, &err), &err);
	op->change = change_of(config, op->key);
	op->end = now_ns();
	op->outcome = READ;
}

static void work(uint32_t process, uint64_t random)
{
	struct lg_config *config = open_store();
	struct notebook *book = books[process];
	while (book->count < book_room) {
		struct noted *op = &book->ops[book->count];
		const struct id id = { process + 1, book->count };
		*op = (struct noted){ .outcome = PENDING, .key = next_random(&random) % KEYS };
		book->count++; /* before it begins: what it does must not be forgotten */
		if (next_random(&random) % 3)
			do_cas(config, &id, op, &random);
		else
			do_read(config, op);
	}
	lg_config_close(config);
}

/* --- the parent ------------------------------------------------------------------------------------------------------------ */

static pid_t start(uint32_t process, uint64_t *random)
{
	uint64_t own = ((uint64_t)next_random(random) << 20) + process;
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		work(process, own);
		_exit(0);
	}
	return pid;
}

/* Until the notebook has `count` more lines or is full. */
static void let_work(const struct notebook *book, size_t count)
{
	size_t until = book->count + count < book_room ? book->count + count : book_room;
	while (book->count < until)
		usleep(100);
}

static size_t all_run(uint64_t *random)
{
	pid_t pids[PROCESSES];
	size_t kills = 0;
	for (uint32_t i = 0; i < PROCESSES; i++)
		pids[i] = start(i, random);
	for (;; kills++) {
		uint32_t victim = next_random(random) % PROCESSES;
		int status = 0;
		let_work(books[victim], 1 + next_random(random) % 150);
		if (books[victim]->count == book_room)
			break;
		kill(pids[victim], SIGKILL);
		assert_int_equal(waitpid(pids[victim], &status, 0), pids[victim]);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			assert_int_equal(status, 0); /* it was through */
		pids[victim] = start(victim, random);
	}
	for (uint32_t i = 0; i < PROCESSES; i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	return kills;
}

static int find_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct id id;
	(void)arg, (void)err;
	memcpy(&id, record->id, LG_ID_SIZE);
	assert_true(id.process >= 1 && id.process <= PROCESSES && id.op < books[id.process - 1]->count);
	struct noted *op = &books[id.process - 1]->ops[id.op];
	if (op->outcome == PENDING) {
		op->outcome = WRITTEN;
		op->end = LINEAR_NEVER;
		op->change = record->seq;
		if (op->begin ==
			0) /* killed before it could note the time: what it did before that is no later */
			op->begin = id.op ? books[id.process - 1]->ops[id.op - 1].begin : 0;
	}
	if (op->outcome != WRITTEN || op->change != record->seq)
		fail_msg("operation %" PRIu64 " of process %" PRIu64 " says %d, r%" PRIu64
			 ", and is record %" PRIu64,
			id.op, id.process, op->outcome, op->change, record->seq);
	return 0;
}

/* What became of those without an answer; and that the log holds what was acknowledged. */
static size_t look_up(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = open_store();
	const struct lg_log_query all = { .no_body = true };
	lg_assert_ok(lg_config_query(config, &all, find_record, NULL, &err), &err);
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	size_t records = now.seq, written = 0;
	lg_snapshot_clear(&now);
	lg_config_close(config);
	for (uint32_t p = 0; p < PROCESSES; p++)
		for (size_t i = 0; i < books[p]->count; i++)
			written += books[p]->ops[i].outcome == WRITTEN;
	assert_int_equal(written, records);
	return records;
}

struct counts {
	size_t reads, written, refused, unknown, happened;
};

static size_t gather(uint32_t key, struct linear_op *ops, struct counts *counts)
{
	size_t count = 0;
	for (uint32_t p = 0; p < PROCESSES; p++) {
		for (size_t i = 0; i < books[p]->count; i++) {
			const struct noted *op = &books[p]->ops[i];
			if (op->key != key)
				continue;
			counts->reads += op->outcome == READ;
			counts->written += op->outcome == WRITTEN;
			counts->refused += op->outcome == REFUSED;
			counts->unknown += op->outcome == PENDING || op->end == LINEAR_NEVER;
			counts->happened += op->end == LINEAR_NEVER;
			if (op->outcome == PENDING || op->outcome == NOTHING)
				continue;
			if (op->outcome == REFUSED)
				assert_int_not_equal(op->change, op->expected);
			ops[count++] = (struct linear_op){
				.begin = op->begin,
				.end = op->end,
				.is_write = op->outcome == WRITTEN,
				.change = op->change,
				.replaced = op->expected,
				.process = p,
			};
		}
	}
	return count;
}

static void test_linearizable(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct counts counts = { 0 };
	uint64_t random = seed;
	(void)state;
	dir = lg_test_path("store");
	lg_assert_ok(lg_config_init(dir, NULL, &err), &err);
	size_t kills = all_run(&random);
	look_up();
	struct linear_op *ops = calloc(PROCESSES * book_room, sizeof *ops);
	assert_non_null(ops);
	for (uint32_t key = 0; key < KEYS; key++) {
		char why[400];
		size_t count = gather(key, ops, &counts);
		if (!linear_check(ops, count, why, sizeof why))
			fail_msg("'%s': %s", key_name(key), why);
	}
	free(ops);
	printf("# seed %" PRIu64
	       ": %zu read, %zu written, %zu refused; %zu processes killed, %zu operations without an "
	       "answer, of which %zu had happened\n",
		seed, counts.reads, counts.written, counts.refused, kills, counts.unknown, counts.happened);
	assert_true(counts.written > total / 20 && counts.refused > total / 20 && counts.reads > total / 20);
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--ops") == 0)
			total = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
		else
			return 2;
	}
	book_room = (total + PROCESSES - 1) / PROCESSES;
	for (size_t i = 0; i < PROCESSES; i++) {
		size_t size = sizeof **books + book_room * sizeof(struct noted);
		books[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (books[i] == MAP_FAILED)
			return 1;
	}
	lg_test_add("compare-and-set of several processes is linearizable", test_linearizable, NULL);
	return lg_test_run("crash_linear");
}
