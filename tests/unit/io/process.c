/* lg_run: statuses, output, input, deadlines, what the child inherits, and what cannot be started. */
#include "io/process.h"
#include "base/cleanup.h"
#include "io/child.h"
#include "io/clock.h"
#include "io/file.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

/* ---- every test leaves as many descriptors and children as it found ---- */

static size_t count_descriptors(void)
{
	char **names = NULL;
	size_t count = 0;
	assert_int_equal(lg_dir_list("/proc/self/fd", &names, &count, NULL), 0);
	lg_names_free(names, count);
	return count;
}

static void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* ---- status and output ---- */

struct row {
	const char *name;
	const char *script;
	const char *input;
	size_t output_max;
	int exit_status, signal;
	const char *out, *err;
};

static const struct row rows[] = {
	{ "success", "exit 0", NULL, 0, 0, 0, "", "" },
	{ "status 1", "exit 1", NULL, 0, 1, 0, "", "" },
	{ "status 127 is no failed start", "exit 127", NULL, 0, 127, 0, "", "" },
	{ "status 255", "exit 255", NULL, 0, 255, 0, "", "" },
	{ "killed", "kill -KILL $$", NULL, 0, -1, SIGKILL, "", "" },
	{ "terminated", "kill -TERM $$", NULL, 0, -1, SIGTERM, "", "" },
	{ "stdout and stderr apart", "echo one; echo two >&2", NULL, 0, 0, 0, "one\n", "two\n" },
	{ "output before a signal", "echo one; kill -KILL $$", NULL, 0, -1, SIGKILL, "one\n", "" },
	{ "no input", "cat; echo end", NULL, 0, 0, 0, "end\n", "" },
	{ "input", "cat; echo end", "given\n", 0, 0, 0, "given\nend\n", "" },
	{ "empty input", "cat; echo end", "", 0, 0, 0, "end\n", "" },
	{ "input not read", "exit 3", "given\n", 0, 3, 0, "", "" },
	{ "output cut", "echo 123456789; echo abcdefghi >&2", NULL, 4, 0, 0, "1234", "abcd" },
	{ "output that just fits", "echo 123", NULL, 4, 0, 0, "123\n", "" },
	{ "output closed early", "exec >&- 2>&-; sleep 0.05; exit 4", NULL, 0, 4, 0, "", "" },
};

static void test_run(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_result result;
	size_t descriptors = count_descriptors();
	struct lg_run_options options = {
		.argv = SHELL(row->script),
		.timeout_ms = LONG_MS,
		.output_max = row->output_max,
		.input = row->input,
		.input_len = row->input ? strlen(row->input) : 0,
	};
	lg_assert_ok(lg_run(&options, &result, &err), &err);
	assert_int_equal(result.exit_status, row->exit_status);
	assert_int_equal(result.signal, row->signal);
	assert_false(result.timed_out);
	assert_string_equal(lg_buf_str(&result.out), row->out);
	assert_string_equal(lg_buf_str(&result.err), row->err);
	lg_run_result_clear(&result);
	assert_int_equal(count_descriptors(), descriptors);
	assert_no_children();
}

/* Ten megabytes on both: drained so that the child ends, and kept up to the limit. */
static void test_huge_output(void **state)
{
	static const size_t limits[] = { 1, 1000, 0, 1 << 20 };
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_run_result result;
		struct lg_run_options options = {
			.argv = SHELL(
				"head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait; exit 5"),
			.timeout_ms = LONG_MS,
			.output_max = limits[i],
		};
		lg_assert_ok(lg_run(&options, &result, &err), &err);
		assert_int_equal(result.exit_status, 5);
		assert_int_equal(result.out.len, limits[i] ? limits[i] : 65536);
		assert_int_equal(result.err.len, limits[i] ? limits[i] : 65536);
		lg_run_result_clear(&result);
	}
}

static void test_large_input(void **state)
{
	size_t len = 3 << 20;
	char *input = malloc(len);
	assert_non_null(input);
	for (size_t i = 0; i < len; i++)
		input[i] = (char)(i * 2654435761u >> 11);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_result result;
	struct lg_run_options options = {
		.argv = (const char *const[]){ "cat", NULL },
		.timeout_ms = LONG_MS,
		.output_max = len + 1,
		.input = input,
		.input_len = len,
	};
	lg_assert_ok(lg_run(&options, &result, &err), &err);
	assert_int_equal(result.out.len, len);
	assert_memory_equal(result.out.data, input, len);
	lg_run_result_clear(&result);
	free(input);
}

/* ---- what the child is given ---- */

/* First line of standard output; the caller frees. */
static char *first_line(const struct lg_run_options *options)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_result result;
	lg_assert_ok(lg_run(options, &result, &err), &err);
	assert_int_equal(result.exit_status, 0);
	char *line = lg_buf_steal(&result.out);
	line[strcspn(line, "\n")] = '\0';
	lg_run_result_clear(&result);
	return line;
}

static void test_environment(void **state)
{
	setenv("LG_TEST_KEPT", "kept", 1);
	setenv("LG_TEST_CHANGED", "before", 1);
	setenv("LG_TEST_CHANGED_TOO", "stays", 1);
	struct lg_run_options options = {
		.argv = SHELL("echo $LG_TEST_KEPT $LG_TEST_CHANGED $LG_TEST_CHANGED_TOO $LG_TEST_NEW"),
		.env = (const char *const[]){ "LG_TEST_CHANGED=after", "LG_TEST_NEW=n=1", NULL },
	};
	lg_autofree char *line = first_line(&options);
	assert_string_equal(line, "kept after stays n=1");
	assert_string_equal(getenv("LG_TEST_CHANGED"), "before");
}

static void test_arguments_meet_no_shell(void **state)
{
	struct lg_run_options options = {
		.argv = (const char *const[]){ "printf", "%s,", "$HOME; false", "", "a b", "'", NULL },
	};
	lg_autofree char *line = first_line(&options);
	assert_string_equal(line, "$HOME; false,,a b,',");
}

static void test_directory(void **state)
{
	lg_autofree char *real = realpath(lg_test_dir(), NULL);
	struct lg_run_options options = { .argv = SHELL("pwd -P"), .dir = lg_test_dir() };
	lg_autofree char *line = first_line(&options);
	assert_string_equal(line, real);
}

static void test_own_process_group(void **state)
{
	struct lg_run_options options = { .argv = SHELL("echo $$ $(cut -d' ' -f5 /proc/$$/stat)") };
	lg_autofree char *line = first_line(&options);
	long pid = 0, group = 0;
	assert_int_equal(sscanf(line, "%ld %ld", &pid, &group), 2);
	assert_true(pid > 1);
	assert_int_equal(pid, group);
}

/* A descriptor that somebody forgot to mark, far up, stays here. */
static void test_descriptors_are_closed(void **state)
{
	int high = fcntl(0, F_DUPFD, 200);
	assert_true(high >= 200);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_result result;
	struct lg_run_options options = { .argv = (const char *const[]){ "ls", "/proc/self/fd", NULL } };
	int rc = lg_run(&options, &result, &err);
	close(high);
	lg_assert_ok(rc, &err);
	assert_string_equal(lg_buf_str(&result.out), "0\n1\n2\n3\n"); /* 3 is the directory it lists */
	lg_run_result_clear(&result);
}

static void test_signals_are_default(void **state)
{
	sigset_t blocked, former;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &former);
	void (*former_pipe)(int) = signal(SIGPIPE, SIG_IGN);
	struct lg_run_result first, second;
	struct lg_run_options options = { .argv = SHELL("kill -TERM $$; exit 0") };
	int rc = lg_run(&options, &first, NULL);
	options.argv = SHELL("kill -PIPE $$; exit 0");
	int rc_pipe = lg_run(&options, &second, NULL);
	sigset_t now;
	sigprocmask(SIG_SETMASK, &former, &now);
	signal(SIGPIPE, former_pipe);
	assert_int_equal(rc, 0);
	assert_int_equal(rc_pipe, 0);
	assert_int_equal(first.signal, SIGTERM);
	assert_int_equal(second.signal, SIGPIPE);
	assert_int_equal(sigismember(&now, SIGTERM), 1); /* ours are as they were */
	lg_run_result_clear(&first);
	lg_run_result_clear(&second);
}

/* Started by something that closed the standard descriptors: the pipes must not take their numbers. */
static void test_without_standard_descriptors(void **state)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct lg_run_result result;
		struct lg_run_options options = {
			.argv = SHELL("cat; echo two >&2"), .input = "one", .input_len = 3
		};
		close(0);
		close(1);
		close(2);
		int rc = lg_run(&options, &result, NULL);
		_exit(rc == 0 && strcmp(lg_buf_str(&result.out), "one") == 0 &&
					strcmp(lg_buf_str(&result.err), "two\n") == 0
				? 0
				: 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- deadlines and grandchildren ---- */

/* Waits until the process has ended; it is killed already, so this does not wait for luck. */
static void assert_ends(pid_t pid)
{
	const struct lg_clock *clock = lg_clock_system();
	for (int i = 0; i < LONG_MS; i++) {
		char process_state;
		uint64_t ticks;
		if (!lg_process_stat(pid, &process_state, &ticks) || process_state == 'Z' ||
			process_state == 'X')
			return;
		clock->sleep_ns(clock, 1000000);
	}
	fail_msg("process %d lives on", (int)pid);
}

/* The script says the pid of its grandchild before it hangs; on a slow day the deadline may come before that. */
static void run_into_deadline(const char *script, struct lg_run_result *ret_result)
{
	for (int64_t timeout_ms = 100; timeout_ms < LONG_MS; timeout_ms *= 2) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_run_options options = { .argv = SHELL(script), .timeout_ms = timeout_ms };
		char want[100];
		lg_assert_code(lg_run(&options, ret_result, &err), LG_ETIMEOUT, &err);
		snprintf(want, sizeof want, "'sh' took longer than %d ms and was killed", (int)timeout_ms);
		assert_string_equal(err.message, want);
		if (memchr(lg_buf_str(&ret_result->out), '\n', ret_result->out.len))
			return;
		lg_run_result_clear(ret_result);
	}
	fail_msg("'%s' says nothing", script);
}

static void test_deadline_kills_the_group(void **state)
{
	static const char *const scripts[] = {
		"sleep 1000 & echo $!; exec sleep 1000",
		"trap '' TERM INT HUP; (trap '' TERM; sleep 1000; sleep 1) & echo $!; sleep 1000; sleep 1",
		"sleep 1000 & echo $!; exec >&- 2>&-; sleep 1000",
		"sh -c 'while :; do echo x; done' & echo $! >&2; echo $!; wait", /* output without end */
	};
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		struct lg_run_result result;
		size_t descriptors = count_descriptors();
		run_into_deadline(scripts[i], &result);
		assert_true(result.timed_out);
		assert_int_equal(result.exit_status, -1);
		assert_int_equal(result.signal, SIGKILL);
		const char *says = result.err.len > 0 ? lg_buf_str(&result.err) : lg_buf_str(&result.out);
		assert_ends((pid_t)strtol(says, NULL, 10));
		lg_run_result_clear(&result);
		assert_int_equal(count_descriptors(), descriptors);
		assert_no_children();
	}
}

/* It holds the pipes for a thousand seconds; if we waited, the deadline would come. */
static void test_grandchild_keeps_the_pipes(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_result result;
	struct lg_run_options options = { .argv = SHELL("sleep 1000 & echo $!; exit 3"),
		.timeout_ms = LONG_MS };
	lg_assert_ok(lg_run(&options, &result, &err), &err);
	assert_int_equal(result.exit_status, 3);
	pid_t pid = (pid_t)strtol(lg_buf_str(&result.out), NULL, 10);
	assert_true(pid > 1);
	char process_state = 0;
	uint64_t ticks;
	assert_true(lg_process_stat(pid, &process_state, &ticks)); /* it was not in the way, so it lives */
	assert_int_not_equal(process_state, 'Z');
	assert_int_equal(kill(pid, SIGKILL), 0);
	lg_run_result_clear(&result);
}

/* A grandchild that writes on and on cannot hold us up either. */
static void test_grandchild_writes_on(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_result result;
	struct lg_run_options options = { .argv = SHELL("(exec sh -c 'echo $$ >&2; exec yes') & exit 6"),
		.timeout_ms = LONG_MS };
	lg_assert_ok(lg_run(&options, &result, &err), &err);
	assert_int_equal(result.exit_status, 6);
	lg_run_result_clear(&result); /* with the last reader gone, SIGPIPE ends it */
}

static void test_endless_timeout_does_not_overflow(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_options options = { .argv = SHELL("exit 0"), .timeout_ms = INT64_MAX };
	lg_assert_ok(lg_run(&options, NULL, &err), &err);
}

/* ---- what cannot be started ---- */

struct missing_row {
	const char *name;
	const char *program; /* below the test's directory when it begins with '@' */
	const char *dir;
	int want;
	const char *message;
};

static const struct missing_row missing[] = {
	{ "not in PATH", "lastgood-no-such-program", NULL, LG_ENOTFOUND,
		"program 'lastgood-no-such-program' is not found in PATH" },
	{ "no such file", "/nonexistent/program", NULL, LG_ENOTFOUND,
		"cannot run '/nonexistent/program': No such file or directory" },
	{ "below a file", "/etc/passwd/program", NULL, LG_ENOTFOUND, "cannot run '/etc/passwd/program'" },
	{ "not executable", "@plain", NULL, LG_EPERM, "Permission denied" },
	{ "directory", "@", NULL, LG_EPERM, "Permission denied" },
	{ "interpreter missing", "@script", NULL, LG_ENOTFOUND, "No such file or directory" },
	{ "no program at all", "@garbage", NULL, LG_EIO, "Exec format error" },
	{ "directory to run in missing", "true", "/nonexistent", LG_ENOTFOUND,
		"cannot run 'true' in directory '/nonexistent': No such file or directory" },
	{ "file to run in", "true", "/etc/passwd", LG_ENOTFOUND,
		"in directory '/etc/passwd': Not a directory" },
	{ "empty name", "", NULL, LG_EINVALID, "no program is named" },
	{ "nothing named", NULL, NULL, LG_EINVALID, "no program is named" },
};

static void make_programs(void)
{
	const char *plain = lg_test_path("plain"), *script = lg_test_path("script");
	const char *garbage = lg_test_path("garbage");
	lg_test_write(plain, "#!/bin/sh\n", 10);
	lg_test_write(script, "#!/nonexistent/interpreter\n", 27);
	lg_test_write(garbage, "\177ELF?\0\0\0", 8);
	assert_int_equal(chmod(script, 0755), 0);
	assert_int_equal(chmod(garbage, 0755), 0);
	free((void *)(uintptr_t)plain);
	free((void *)(uintptr_t)script);
	free((void *)(uintptr_t)garbage);
}

static void test_missing(void **state)
{
	const struct missing_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *program = NULL;
	make_programs();
	size_t descriptors = count_descriptors();
	if (row->program)
		program = row->program[0] == '@' ? lg_path_join(lg_test_dir(), row->program + 1)
						 : strdup(row->program);
	struct lg_run_result result;
	struct lg_run_options options = { .argv = (const char *const[]){ program, NULL }, .dir = row->dir };
	lg_assert_code(lg_run(&options, &result, &err), row->want, &err);
	assert_non_null(strstr(err.message, row->message));
	assert_int_equal(result.out.len, 0);
	lg_run_result_clear(&result);
	struct lg_process_id id = { .pid = -7 };
	err = (struct lg_error)LG_ERROR_INIT;
	lg_assert_code(lg_process_spawn(options.argv, NULL, row->dir, NULL, &id, &err), row->want, &err);
	assert_non_null(strstr(err.message, row->message));
	assert_int_equal(id.pid, -7);
	assert_int_equal(count_descriptors(), descriptors);
	assert_no_children();
}

/* ---- PATH ---- */

static void test_path_lookup(void **state)
{
	lg_autofree char *former = strdup(getenv("PATH"));
	const char *first = lg_test_path("first"), *second = lg_test_path("second");
	const char *plain = lg_test_path("first/tool"), *tool = lg_test_path("second/tool");
	char dirs[700];
	assert_int_equal(mkdir(first, 0755), 0);
	assert_int_equal(mkdir(second, 0755), 0);
	lg_test_write(plain, "#!/bin/sh\necho first\n", 21);
	lg_test_write(tool, "#!/bin/sh\necho second\n", 22);
	assert_int_equal(chmod(tool, 0755), 0);
	snprintf(dirs, sizeof dirs, "/nonexistent::.:relative:%s:%s", first, second);
	setenv("PATH", dirs, 1);
	struct lg_run_options options = { .argv = (const char *const[]){ "tool", NULL } };
	lg_autofree char *line = first_line(&options); /* what is not executable is passed over */
	assert_string_equal(line, "second");
	struct lg_error err = LG_ERROR_INIT;
	setenv("PATH", first, 1);
	lg_assert_code(lg_run(&options, NULL, &err), LG_EPERM, &err);
	assert_string_equal(err.message, "program 'tool' is not executable");
	assert_int_equal(chdir(second), 0);
	setenv("PATH", ".:", 1);
	lg_assert_code(lg_run(&options, NULL, &err), LG_ENOTFOUND, &err);
	assert_int_equal(chdir("/"), 0);
	setenv("PATH", former, 1);
	free((void *)(uintptr_t)first);
	free((void *)(uintptr_t)second);
	free((void *)(uintptr_t)plain);
	free((void *)(uintptr_t)tool);
}

/* ---- lg_run_ok ---- */

struct ok_row {
	const char *name;
	const char *script;
	int want;
	const char *message;
};

static const struct ok_row oks[] = {
	{ "success", "echo noise >&2", 0, NULL },
	{ "silent", "exit 1", LG_EFAILED, "'sh' ended with status 1" },
	{ "stderr before stdout", "echo out; echo why >&2; exit 2", LG_EFAILED,
		"'sh' ended with status 2: why" },
	{ "stdout when stderr is empty", "echo why; exit 2", LG_EFAILED, "'sh' ended with status 2: why" },
	{ "lines", "printf 'a\\nb\\n\\n' >&2; exit 2", LG_EFAILED, "'sh' ended with status 2: a | b" },
	{ "blanks alone", "printf ' \\n\\t\\n' >&2; exit 2", LG_EFAILED, "'sh' ended with status 2" },
	{ "escape", "printf '\\033[31mred' >&2; exit 2", LG_EFAILED, "'sh' ended with status 2: \\x1b[31mred" },
	{ "signal", "echo why >&2; kill -KILL $$", LG_EFAILED, "'sh' was killed by signal 9: why" },
	{ "only the last lines", "for i in $(seq 1000); do echo line $i; done >&2; exit 2", LG_EFAILED,
		"line 999 | line 1000" },
};

static void test_ok(void **state)
{
	const struct ok_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_run_options options = { .argv = SHELL(row->script) };
	lg_assert_code(lg_run_ok(&options, &err), row->want, &err);
	if (!row->message)
		return;
	assert_non_null(strstr(err.message, row->message));
	assert_int_equal(strcmp(strstr(err.message, row->message), row->message), 0);
	assert_in_range(strlen(err.message), 1, 600);
	if (strcmp(row->name, "only the last lines") == 0)
		assert_null(strstr(err.message, "line 900"));
	else
		assert_string_equal(err.message, row->message);
}

static void test_fail_each(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EAGAIN }; nth_begin(&nth); runs++) {
		struct lg_error err = LG_ERROR_INIT;
		lg_fault_set(NULL, NULL); /* counting asks, too */
		size_t descriptors = count_descriptors();
		struct lg_run_options options = { .argv = SHELL("exit 0"), .input = "x", .input_len = 1 };
		lg_fault_set(nth_hook, &nth);
		int rc = lg_run(&options, NULL, &err);
		nth_end(&nth);
		lg_assert_code(rc, nth.fired ? LG_EIO : 0, &err);
		assert_int_equal(count_descriptors(), descriptors);
	}
	assert_int_equal(runs, 3); /* input, fork, none */
}

/* ---- several at once ---- */

static void *run_many(void *arg)
{
	uintptr_t wrong = 0;
	for (int i = 0; i < 10; i++) {
		char said[32], want[40];
		struct lg_run_result result;
		snprintf(said, sizeof said, "%d-%d", *(int *)arg, i);
		snprintf(want, sizeof want, "%s\n", said);
		struct lg_run_options options = { .argv = (const char *const[]){ "echo", said, NULL } };
		if (lg_run(&options, &result, NULL) < 0 || strcmp(lg_buf_str(&result.out), want) != 0)
			wrong++;
		lg_run_result_clear(&result);
	}
	return (void *)wrong;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	int numbers[4];
	for (int i = 0; i < 4; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, &numbers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *wrong = NULL;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	assert_no_children();
}

int main(void)
{
	lg_test_rows(
		"run", test_run, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_rows("missing", test_missing, missing, sizeof missing / sizeof *missing, sizeof *missing,
		offsetof(struct missing_row, name));
	lg_test_rows("ok", test_ok, oks, sizeof oks / sizeof *oks, sizeof *oks, offsetof(struct ok_row, name));
	lg_test_add("huge output", test_huge_output, NULL);
	lg_test_add("large input", test_large_input, NULL);
	lg_test_add("environment", test_environment, NULL);
	lg_test_add("arguments meet no shell", test_arguments_meet_no_shell, NULL);
	lg_test_add("directory", test_directory, NULL);
	lg_test_add("own process group", test_own_process_group, NULL);
	lg_test_add("descriptors are closed", test_descriptors_are_closed, NULL);
	lg_test_add("signals are default", test_signals_are_default, NULL);
	lg_test_add("without standard descriptors", test_without_standard_descriptors, NULL);
	lg_test_add("deadline kills the group", test_deadline_kills_the_group, NULL);
	lg_test_add("grandchild keeps the pipes", test_grandchild_keeps_the_pipes, NULL);
	lg_test_add("grandchild writes on", test_grandchild_writes_on, NULL);
	lg_test_add("endless timeout does not overflow", test_endless_timeout_does_not_overflow, NULL);
	lg_test_add("path lookup", test_path_lookup, NULL);
	lg_test_add("fail each", test_fail_each, NULL);
	lg_test_add("threads", test_threads, NULL);
	return lg_test_run(__FILE__);
}
