/* A second process that follows the log meets every commit, once and in order, however fast they come; and when a writer is killed
 * between its commit and the ring that tells of it, whoever sleeps in lg_log_wait finds it all the same.
 *
 *	follow [--commits N] */
#include "support/syscalls.h"
#include "unit/log/records.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITERS     2
#define PATIENCE_MS 60000 /* what never happens is given up after this */

static unsigned commits = 3000;
static const char *path;

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

static pid_t start(int (*work)(int), int argument)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		_exit(work(argument));
	}
	return pid;
}

static void assert_ended_well(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- none is missed ---------------------------------------------------------------------------------------------------------- */

/* The word of a follower when it has begun, and in the end. */
struct report {
	uint64_t records, changes, waits;
};

static int write_all(int count)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = lg_test_open(path, false);
	while (count > 0) {
		const char *key = "a/b";
		int rc = lg_test_append(
			log, count % 2 ? LG_KIND_CHANGE : LG_KIND_MARK, "{}", &key, count % 2, &err);
		if (rc < 0 && rc != LG_ECONFLICT && rc != LG_EBUSY)
			lg_assert_ok(rc, &err);
		count -= rc == 0;
	}
	lg_log_close(log);
	return 0;
}

struct following {
	struct lg_log_head head;
	struct report report;
};

static int follow_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct following *following = arg;
	lg_assert_ok(lg_record_check(record, following->head.seq, following->head.hash, err), err);
	following->head = lg_test_head_after(record);
	following->report.records++;
	following->report.changes += record->kind == LG_KIND_CHANGE;
	return 0;
}

static int follow_all(int out)
{
	struct lg_error err = LG_ERROR_INIT;
	struct following following = { .report = { 0 } };
	struct lg_log *log = lg_test_open(path, false);
	assert_int_equal(write(out, &following.report, sizeof following.report), sizeof following.report);
	while (following.head.seq < commits) {
		struct lg_log_query news = { .from = following.head.seq + 1 };
		lg_assert_ok(lg_log_query(log, &news, follow_record, &following, &err), &err);
		if (following.head.seq == commits)
			break;
		assert_int_equal(lg_log_wait(log, PATIENCE_MS, &err), 1);
		following.report.waits++;
	}
	lg_log_close(log);
	assert_int_equal(write(out, &following.report, sizeof following.report), sizeof following.report);
	return 0;
}

static void test_none_is_missed(void **state)
{
	struct report report = { 0 };
	int fds[2];
	pid_t writers[WRITERS];
	(void)state;
	path = lg_test_path("many.db");
	lg_log_close(lg_test_open(path, true));
	assert_int_equal(pipe(fds), 0);
	pid_t follower = start(follow_all, fds[1]);
	assert_int_equal(read(fds[0], &report, sizeof report), sizeof report);
	for (size_t i = 0; i < WRITERS; i++)
		writers[i] = start(write_all, (int)(commits / WRITERS));
	assert_int_equal(read(fds[0], &report, sizeof report), sizeof report);
	for (size_t i = 0; i < WRITERS; i++)
		assert_ended_well(writers[i]);
	assert_ended_well(follower);
	assert_int_equal(report.records, commits);
	assert_int_equal(report.changes, commits / 2);
	printf("# %u commits by %d processes, all met by the follower, which slept %" PRIu64 " times\n",
		commits, WRITERS, report.waits);
	close(fds[0]);
	close(fds[1]);
}

/* --- lost rings ------------------------------------------------------------------------------------------------------------ */

/* Says when it is about to sleep, sleeps until something was appended, says what. */
static int sleep_once(int out)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = lg_test_open(path, false);
	uint64_t seq = 0;
	assert_int_equal(lg_log_wait(log, 0, &err), 0);
	assert_int_equal(write(out, &seq, sizeof seq), sizeof seq);
	assert_int_equal(lg_log_wait(log, PATIENCE_MS, &err), 1);
	seq = lg_test_head_seq(log);
	assert_int_equal(write(out, &seq, sizeof seq), sizeof seq);
	lg_log_close(log);
	return 0;
}

static int append_one(void *arg, int link)
{
	struct lg_log *log = lg_test_open(path, false);
	(void)arg;
	if (link >= 0)
		syscalls_arm(link);
	lg_test_fill(log, 1);
	if (link >= 0)
		syscalls_disarm(link);
	lg_log_close(log);
	return 0;
}

static int append_undisturbed(int link)
{
	return append_one(NULL, link);
}

static uint64_t head_now(void)
{
	struct lg_log *log = lg_test_open(path, false);
	uint64_t seq = lg_test_head_seq(log);
	lg_log_close(log);
	return seq;
}

struct tally {
	unsigned before, lost, rung;
};

/* The writer dies at its nth call while somebody sleeps. False when it has no such call. */
static bool die_at(unsigned nth, struct tally *tally)
{
	const struct syscalls_fault fault = { .nth = nth, .what = SYSCALLS_KILL };
	struct syscalls_result result;
	uint64_t seq, former = head_now();
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t sleeper = start(sleep_once, fds[1]);
	assert_int_equal(read(fds[0], &seq, sizeof seq), sizeof seq);
	syscalls_run(&fault, append_one, NULL, &result);
	uint64_t now = head_now();
	assert_true(now == former || now == former + 1);
	tally->before += now == former;
	tally->lost += now != former && result.killed;
	tally->rung += now != former && !result.killed;
	if (now == former) /* nothing to wake up for yet */
		assert_ended_well(start(append_undisturbed, -1));
	assert_int_equal(read(fds[0], &seq, sizeof seq), sizeof seq);
	assert_int_equal(seq, former + 1);
	assert_ended_well(sleeper);
	close(fds[0]);
	close(fds[1]);
	return result.fired;
}

static void test_lost_ring(void **state)
{
	struct tally tally = { 0 };
	(void)state;
	if (!syscalls_work())
		skip();
	path = lg_test_path("rings.db");
	lg_log_close(lg_test_open(path, true));
	for (unsigned nth = 1; die_at(nth, &tally); nth++)
		;
	printf("# killed %u times in front of the commit, %u times between commit and ring\n", tally.before,
		tally.lost);
	assert_true(tally.before > 0 && tally.lost > 0 && tally.rung > 0);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--commits") == 0)
		commits = (unsigned)strtoul(argv[2], NULL, 10);
	lg_test_add("no commit is missed", test_none_is_missed, NULL);
	lg_test_add("a ring that is lost", test_lost_ring, NULL);
	return lg_test_run("crash_follow");
}
