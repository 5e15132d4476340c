/* What several handles, threads and processes on one log are promised. */
#include "contract/contract.h"

#include "base/cleanup.h"

#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 30000 /* what never happens is given up after this; nothing waits that long when it works */

static void check_two_handles(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head stale;
	struct lg_log *other = fixture_handle(f);

	lg_test_fill(f->log, 3);
	assert_int_equal(lg_test_head_seq(other), 3);
	lg_assert_ok(lg_log_head(f->log, &stale, &err), &err);
	lg_test_fill(other, 1);
	struct lg_record record = lg_test_record(&stale, LG_KIND_CHANGE, "{}");
	lg_test_seal(&record, &stale);
	lg_assert_code(lg_log_append(f->log, &record, 1, &stale, &err), LG_ECONFLICT, &err);
	assert_int_equal(lg_test_head_seq(f->log), 4);
	lg_test_fill(f->log, 1);
	lg_assert_ok(lg_log_verify_chain(other, 0, 0, &err), &err);
	lg_log_close(other);
}

static void check_wait(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *other = fixture_handle(f);

	assert_int_equal(lg_log_wait(f->log, 0, &err), 0);
	lg_test_fill(f->log, 1);
	assert_int_equal(lg_log_wait(f->log, 0, &err), 0); /* its own */
	assert_int_equal(lg_log_wait(other, PATIENCE_MS, &err), 1);
	assert_int_equal(lg_log_wait(other, 0, &err), 0);
	lg_test_fill(other, 3);
	assert_int_equal(lg_log_wait(f->log, PATIENCE_MS, &err), 1);
	assert_int_equal(lg_log_wait(f->log, 1, &err), 0);
	lg_log_close(other);
}

static void check_wait_fd(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *other = fixture_handle(f);
	struct pollfd poll_fd = { .fd = lg_log_wait_fd(f->log), .events = POLLIN };

	if (poll_fd.fd >= 0) {
		assert_int_equal(lg_log_wait(f->log, 0, &err), 0);
		assert_int_equal(poll(&poll_fd, 1, 0), 0);
		lg_test_fill(other, 1);
		assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
		assert_int_equal(lg_log_wait(f->log, 0, &err), 1);
		assert_int_equal(poll(&poll_fd, 1, 0), 0);
	}
	lg_log_close(other);
}

/* --- another thread ------------------------------------------------------------------------------------------------------ */

struct waiter {
	struct lg_log *log;
	int rc;
};

static void *wait_in_thread(void *arg)
{
	struct waiter *waiter = arg;
	waiter->rc = lg_log_wait(waiter->log, PATIENCE_MS, NULL);
	return NULL;
}

static void check_woken(struct fixture *f)
{
	struct waiter waiter = { .log = fixture_handle(f) };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, &waiter), 0);
	lg_test_fill(f->log, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(waiter.rc, 1);
	lg_log_close(waiter.log);
}

#define RACERS 2
#define EACH   500

/* Appends EACH records whose actor is `name`, trying again after each conflict, over a handle of its own. */
static int race(const struct fixture *f, const char *name)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	int rc = fixture_open(f, &(struct lg_log_open){ .busy_ms = PATIENCE_MS }, &log, &err);
	for (int i = 0; i < EACH && rc == 0;) {
		struct lg_log_head head;
		rc = lg_log_head(log, &head, &err);
		if (rc < 0)
			break;
		struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, "{}");
		record.actor = name;
		lg_test_seal(&record, &head);
		rc = lg_log_append(log, &record, 1, &head, &err);
		if (rc == 0)
			i++;
		else if (rc == LG_ECONFLICT)
			rc = 0;
	}
	return rc;
}

struct racer {
	const struct fixture *fixture;
	const char *name;
	int rc;
};

static void *race_in_thread(void *arg)
{
	struct racer *racer = arg;
	racer->rc = race(racer->fixture, racer->name);
	return NULL;
}

static int count_actor(void *arg, const struct lg_record *record, struct lg_error *err)
{
	unsigned *counts = arg;
	(void)err;
	counts[record->actor[0] - 'a']++;
	return 0;
}

static void assert_race_result(struct lg_log *log)
{
	struct lg_error err = LG_ERROR_INIT;
	unsigned counts[26] = { 0 };
	assert_int_equal(lg_test_head_seq(log), RACERS * EACH);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_query(log, &(struct lg_log_query){ 0 }, count_actor, counts, &err), &err);
	assert_int_equal(counts[0], EACH);
	assert_int_equal(counts[1], EACH);
}

static void check_race_threads(struct fixture *f)
{
	struct racer racers[RACERS] = { { f, "a", 0 }, { f, "b", 0 } };
	pthread_t threads[RACERS];
	for (size_t i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_in_thread, &racers[i]), 0);
	for (size_t i = 0; i < RACERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(racers[i].rc, 0);
	}
	assert_race_result(f->log);
}

/* --- another process ----------------------------------------------------------------------------------------------------- */

static void assert_child_ended(pid_t pid)
{
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void check_race_processes(struct fixture *f)
{
	pid_t pids[RACERS];
	/* SQLite must not be carried open through a fork */
	lg_log_close(f->log);
	f->log = NULL;
	for (size_t i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(race(f, i ? "b" : "a") == 0 ? 0 : 1);
	}
	for (size_t i = 0; i < RACERS; i++)
		assert_child_ended(pids[i]);
	f->log = fixture_handle(f);
	assert_race_result(f->log);
}

/* Appends one record once it is told to. */
static int append_when_told(const struct fixture *f, int told)
{
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	char c;
	if (read(told, &c, 1) != 1 || fixture_open(f, &(struct lg_log_open){ 0 }, &log, NULL) < 0)
		return 1;
	return lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, NULL) == 0 ? 0 : 1;
}

static void check_woken_by_process(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	int fds[2];

	lg_log_close(f->log);
	f->log = NULL;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(append_when_told(f, fds[0]));
	f->log = fixture_handle(f);
	assert_int_equal(lg_log_wait(f->log, 0, &err), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(lg_log_wait(f->log, PATIENCE_MS, &err), 1);
	assert_int_equal(lg_test_head_seq(f->log), 1);
	assert_child_ended(pid);
	close(fds[0]);
	close(fds[1]);
}

const struct check follow_checks[] = {
	{ "two handles see each other", check_two_handles, false },
	{ "wait tells of others' appends", check_wait, false },
	{ "wait_fd is readable after others' appends", check_wait_fd, false },
	{ "a waiting thread is woken", check_woken, false },
	{ "two threads append 500 records each", check_race_threads, false },
	{ "two processes append 500 records each", check_race_processes, true },
	{ "a waiting process is woken by another", check_woken_by_process, true },
	{ 0 },
};
