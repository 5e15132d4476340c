/* Processes that outlive the call: started detached, known by pid and start, signalled, stopped. */
#include "base/cleanup.h"
#include "io/child.h"
#include "io/clock.h"
#include "io/file.h"
#include "io/process.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL(script)                                                                                          \
	(const char *const[])                                                                                  \
	{                                                                                                      \
		"sh", "-c", script, NULL                                                                       \
	}
#define LONG_MS 30000

static const char *log_path;

static struct lg_process_id spawn(const char *script)
{
	struct lg_process_id id = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	unlink(log_path);
	lg_assert_ok(lg_process_spawn(SHELL(script), NULL, NULL, log_path, &id, &err), &err);
	assert_true(id.pid > 1);
	assert_true(id.start_ticks > 0);
	return id;
}

/* Looks again until the log has a whole line; the result lives until the next call. */
static const char *wait_for_line(void)
{
	static char *text;
	const struct lg_clock *clock = lg_clock_system();
	for (int i = 0; i < LONG_MS; i++) {
		free(text);
		text = lg_test_read(log_path, NULL);
		if (text && strchr(text, '\n'))
			return text;
		clock->sleep_ns(clock, 1000000);
	}
	fail_msg("nothing is written to '%s'", log_path);
	return NULL;
}

static void wait_until_ended(const struct lg_process_id *id)
{
	const struct lg_clock *clock = lg_clock_system();
	for (int i = 0; i < LONG_MS && lg_process_alive(id); i++)
		clock->sleep_ns(clock, 1000000);
	assert_false(lg_process_alive(id));
}

static void stop(const struct lg_process_id *id, int64_t term_timeout_ms)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_process_stop(id, term_timeout_ms, &err), &err);
	assert_false(lg_process_alive(id));
}

static void test_detached(void **state)
{
	struct lg_process_id id = spawn("echo $$ $(cut -d' ' -f5,6 /proc/$$/stat); exec sleep 1000");
	assert_true(lg_process_alive(&id));
	long pid = 0, group = 0, session = 0;
	assert_int_equal(sscanf(wait_for_line(), "%ld %ld %ld", &pid, &group, &session), 3);
	assert_int_equal(pid, id.pid);
	assert_int_equal(group, id.pid);
	assert_int_equal(session, id.pid);
	assert_int_equal(waitpid(id.pid, NULL, WNOHANG), -1); /* no child of ours */
	assert_int_equal(errno, ECHILD);
	stop(&id, LONG_MS);
}

static void test_survives_who_started_it(void **state)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct lg_process_id id;
		int rc = lg_process_spawn(SHELL("exec sleep 1000"), NULL, NULL, NULL, &id, NULL);
		_exit(rc < 0 || write(ends[1], &id, sizeof id) != sizeof id);
	}
	int status = -1;
	struct lg_process_id id = { 0 };
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], &id, sizeof id), sizeof id);
	assert_true(lg_process_alive(&id));
	stop(&id, LONG_MS);
	close(ends[0]);
	close(ends[1]);
}

static void test_output_is_appended(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_process_id id = { 0 };
	lg_test_write(log_path, "before ", 7);
	lg_assert_ok(lg_process_spawn(SHELL("echo $LG_TEST; echo $(pwd -P) >&2"),
			     (const char *const[]){ "LG_TEST=given", NULL }, "/", log_path, &id, &err),
		&err);
	wait_until_ended(&id);
	char *text = lg_test_read(log_path, NULL);
	assert_string_equal(text, "before given\n/\n");
	free(text);
}

static void test_descriptors_are_closed(void **state)
{
	int high = fcntl(0, F_DUPFD, 200);
	assert_true(high >= 200);
	struct lg_process_id id = spawn("exec ls /proc/self/fd");
	close(high);
	wait_until_ended(&id);
	assert_string_equal(wait_for_line(), "0\n1\n2\n3\n"); /* 3 is the directory it lists */
}

/* Another process with this pid is not meant, whatever is asked. */
static void test_pid_used_again(void **state)
{
	struct lg_process_id id = spawn("exec sleep 1000");
	struct lg_error err = LG_ERROR_INIT;
	struct lg_process_id former = { .pid = id.pid, .start_ticks = id.start_ticks - 1 };
	assert_false(lg_process_alive(&former));
	lg_assert_code(lg_process_signal(&former, SIGKILL, &err), LG_ENOTFOUND, &err);
	lg_assert_ok(lg_process_stop(&former, 0, &err), &err);
	assert_true(lg_process_alive(&id));
	stop(&id, LONG_MS);
}

static void test_nobody(void **state)
{
	static const pid_t pids[] = { 0, -1, -1000, 0x7fffffff };
	for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_process_id id = { .pid = pids[i] };
		assert_false(lg_process_alive(&id));
		lg_assert_code(lg_process_signal(&id, SIGKILL, &err), LG_ENOTFOUND, &err);
		lg_assert_ok(lg_process_stop(&id, 0, &err), &err);
	}
}

/* The name of a program, field 2, may look like the rest of the line. */
static void test_hostile_program_name(void **state)
{
	char process_state = 0;
	uint64_t before = 0, after = 0;
	assert_true(lg_process_stat(getpid(), &process_state, &before));
	assert_true(process_state == 'R');
	lg_autoclose int fd = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, ") Z 1 1 1 (", 11), 11);
	process_state = 0;
	bool found = lg_process_stat(getpid(), &process_state, &after);
	assert_int_equal(write(fd, "test", 4), 4);
	assert_true(found);
	assert_int_equal(process_state, 'R');
	assert_int_equal(before, after);
	assert_true(lg_process_stat(0, &process_state, &after));
	assert_int_equal(before, after);
}

static void test_zombie_is_not_alive(void **state)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct lg_process_id id = { .pid = fork() };
	assert_true(id.pid >= 0);
	if (id.pid == 0) {
		char c;
		close(ends[1]);
		_exit(read(ends[0], &c, 1) == 0 ? 0 : 1);
	}
	char process_state;
	assert_true(lg_process_stat(id.pid, &process_state, &id.start_ticks));
	assert_true(lg_process_alive(&id));
	close(ends[1]);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)id.pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(lg_process_stat(id.pid, &process_state, &id.start_ticks));
	assert_int_equal(process_state, 'Z');
	assert_false(lg_process_alive(&id));
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_process_signal(&id, SIGTERM, &err), LG_ENOTFOUND, &err);
	lg_assert_ok(lg_process_stop(&id, 0, &err), &err);
	assert_int_equal(waitpid(id.pid, NULL, 0), id.pid);
	close(ends[0]);
}

static void test_signal_arrives(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_process_id id = spawn("trap 'echo heard; exit 0' USR1; echo; while :; do sleep 0.01; done");
	wait_for_line();
	lg_assert_ok(lg_process_signal(&id, 0, &err), &err);
	lg_assert_ok(lg_process_signal(&id, SIGUSR1, &err), &err);
	wait_until_ended(&id);
	assert_string_equal(wait_for_line(), "\nheard\n");
	lg_assert_code(lg_process_signal(&id, SIGUSR1, &err), LG_ENOTFOUND, &err);
}

static void test_stop_lets_it_end_itself(void **state)
{
	struct lg_process_id id = spawn("trap 'echo bye; exit 0' TERM; echo; while :; do sleep 0.01; done");
	wait_for_line();
	stop(&id, LONG_MS);
	assert_string_equal(wait_for_line(), "\nbye\n");
}

/* It does not listen, so it is killed, and whoever is in its group with it. */
static void test_stop_kills_the_group(void **state)
{
	struct lg_process_id id = spawn(
		"trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $!; while :; do sleep 1; done");
	struct lg_process_id member = { .pid = (pid_t)strtol(wait_for_line(), NULL, 10) };
	char process_state;
	assert_true(lg_process_stat(member.pid, &process_state, &member.start_ticks));
	assert_true(lg_process_alive(&member));
	stop(&id, 20);
	wait_until_ended(&member);
}

static void test_stop_of_a_stopped_process(void **state)
{
	struct lg_process_id id = spawn("exec sleep 1000");
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_process_signal(&id, SIGSTOP, &err), &err);
	stop(&id, 20); /* TERM stays pending, KILL does not */
}

static void test_stop_of_an_ended_process(void **state)
{
	struct lg_process_id id = spawn("exit 0");
	wait_until_ended(&id);
	stop(&id, 0);
}

static void test_log_that_cannot_be_opened(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_process_id id = { .pid = -7 };
	int rc = lg_process_spawn(SHELL("exit 0"), NULL, NULL, "/nonexistent/log", &id, &err);
	lg_assert_code(rc, LG_EIO, &err);
	assert_string_equal(err.message, "cannot open '/nonexistent/log': No such file or directory");
	assert_int_equal(id.pid, -7);
}

static void test_fail_each(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EAGAIN }; nth_begin(&nth); runs++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_process_id id = { .pid = -7 };
		int rc = lg_process_spawn(SHELL("exit 0"), NULL, NULL, log_path, &id, &err);
		nth_end(&nth);
		lg_assert_code(rc, nth.fired ? LG_EIO : 0, &err);
		assert_int_equal(id.pid == -7, nth.fired);
		if (!nth.fired)
			wait_until_ended(&id);
	}
	assert_int_equal(runs, 4); /* /dev/null, log, fork, none */
}

int main(void)
{
	log_path = lg_test_path("log");
	lg_test_add("detached", test_detached, NULL);
	lg_test_add("survives who started it", test_survives_who_started_it, NULL);
	lg_test_add("output is appended", test_output_is_appended, NULL);
	lg_test_add("descriptors are closed", test_descriptors_are_closed, NULL);
	lg_test_add("pid used again", test_pid_used_again, NULL);
	lg_test_add("nobody", test_nobody, NULL);
	lg_test_add("hostile program name", test_hostile_program_name, NULL);
	lg_test_add("zombie is not alive", test_zombie_is_not_alive, NULL);
	lg_test_add("signal arrives", test_signal_arrives, NULL);
	lg_test_add("stop lets it end itself", test_stop_lets_it_end_itself, NULL);
	lg_test_add("stop kills the group", test_stop_kills_the_group, NULL);
	lg_test_add("stop of a stopped process", test_stop_of_a_stopped_process, NULL);
	lg_test_add("stop of an ended process", test_stop_of_an_ended_process, NULL);
	lg_test_add("log that cannot be opened", test_log_that_cannot_be_opened, NULL);
	lg_test_add("fail each", test_fail_each, NULL);
	return lg_test_run(__FILE__);
}
