/* One holder at a time: between processes, within one, and after the holder was killed. */
#include "base/cleanup.h"
#include "io/file.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 30000

static const char *path;

/* A process that holds the lock until it reads a byte or is killed. */
struct holder {
	pid_t pid;
	int to, from;
};

static struct holder start_holder(void)
{
	int down[2], up[2];
	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	struct holder holder = { .pid = fork(), .to = down[1], .from = up[0] };
	assert_true(holder.pid >= 0);
	if (holder.pid == 0) {
		int fd;
		char c;
		close(down[1]);
		close(up[0]);
		if (lg_lock_file(path, 0, &fd, NULL) < 0 || write(up[1], "h", 1) != 1)
			_exit(1);
		_exit(read(down[0], &c, 1) == 1 ? 0 : 2);
	}
	close(down[0]);
	close(up[1]);
	char c = 0;
	assert_int_equal(read(holder.from, &c, 1), 1);
	return holder;
}

static void end_holder(struct holder *holder, int signal)
{
	int status = -1;
	if (signal)
		assert_int_equal(kill(holder->pid, signal), 0);
	else
		assert_int_equal(write(holder->to, "x", 1), 1);
	assert_int_equal(waitpid(holder->pid, &status, 0), holder->pid);
	assert_int_equal(status, signal);
	close(holder->to);
	close(holder->from);
}

static void test_busy_while_another_process_holds_it(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct holder holder = start_holder();
	int fd = -7;
	lg_assert_code(lg_lock_file(path, 0, &fd, &err), LG_EBUSY, &err);
	assert_non_null(strstr(err.message, "is locked by another process"));
	lg_assert_code(lg_lock_file(path, 20, &fd, &err), LG_EBUSY, &err);
	lg_assert_code(lg_lock_file(path, -1, &fd, &err), LG_EBUSY, &err);
	assert_int_equal(fd, -7);
	end_holder(&holder, 0);
	lg_assert_ok(lg_lock_file(path, 0, &fd, &err), &err);
	close(fd);
}

static void test_waits_for_the_holder(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct holder holder = start_holder();
	int fd = -1;
	assert_int_equal(write(holder.to, "x", 1), 1); /* it goes on while we wait */
	lg_assert_ok(lg_lock_file(path, LONG_MS, &fd, &err), &err);
	close(fd);
	assert_int_equal(waitpid(holder.pid, NULL, 0), holder.pid);
	close(holder.to);
	close(holder.from);
}

static void test_a_killed_holder_lets_go(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct holder holder = start_holder();
	int fd = -1;
	end_holder(&holder, SIGKILL);
	lg_assert_ok(lg_lock_file(path, 0, &fd, &err), &err);
	close(fd);
}

static void test_busy_within_a_process(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	int first = -1, second = -1;
	lg_assert_ok(lg_lock_file(path, 0, &first, &err), &err);
	lg_assert_code(lg_lock_file(path, 0, &second, &err), LG_EBUSY, &err);
	close(first);
	lg_assert_ok(lg_lock_file(path, 0, &second, &err), &err);
	close(second);
}

static int read_number(const char *file)
{
	char *text = lg_test_read(file, NULL);
	int number = text ? (int)strtol(text, NULL, 10) : 0;
	free(text);
	return number;
}

/* Four processes add one, fifty times each: without the lock some of it would be lost. */
static void test_nothing_is_lost_under_it(void **state)
{
	const char *file = lg_test_path("number");
	pid_t pids[4];
	for (size_t i = 0; i < 4; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] != 0)
			continue;
		for (int n = 0; n < 50; n++) {
			char text[16];
			int fd;
			if (lg_lock_file(path, LONG_MS, &fd, NULL) < 0)
				_exit(1);
			snprintf(text, sizeof text, "%d", read_number(file) + 1);
			lg_test_write(file, text, strlen(text));
			close(fd);
		}
		_exit(0);
	}
	for (size_t i = 0; i < 4; i++) {
		int status = -1;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(read_number(file), 200);
	free((void *)(uintptr_t)file);
}

static void test_what_cannot_be_locked(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *missing = lg_test_path("missing/lock"), *link = lg_test_path("lock-link");
	int fd = -7;
	assert_int_equal(symlink("elsewhere", link), 0);
	lg_assert_code(lg_lock_file(missing, 0, &fd, &err), LG_EIO, &err);
	lg_assert_code(lg_lock_file(link, 0, &fd, &err), LG_EIO, &err);
	assert_int_equal(err.sys_errno, ELOOP);
	lg_assert_code(lg_lock_file(lg_test_dir(), 0, &fd, &err), LG_EIO, &err);
	assert_int_equal(fd, -7);
	free((void *)(uintptr_t)missing);
	free((void *)(uintptr_t)link);
}

static void test_file_stays_and_is_private(void **state)
{
	struct stat before, after;
	int fd = -1;
	assert_int_equal(lg_lock_file(path, 0, &fd, NULL), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(stat(path, &before), 0);
	close(fd);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_mode & 077, 0);
}

static void test_fault(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EACCES }; nth_begin(&nth); runs++) {
		int fd = -1;
		int rc = lg_lock_file(path, 0, &fd, NULL);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_EPERM : 0);
		lg_close_cleanup(&fd);
	}
	assert_int_equal(runs, 2);
}

int main(void)
{
	path = lg_test_path("lock");
	lg_test_add("busy while another process holds it", test_busy_while_another_process_holds_it, NULL);
	lg_test_add("waits for the holder", test_waits_for_the_holder, NULL);
	lg_test_add("a killed holder lets go", test_a_killed_holder_lets_go, NULL);
	lg_test_add("busy within a process", test_busy_within_a_process, NULL);
	lg_test_add("nothing is lost under it", test_nothing_is_lost_under_it, NULL);
	lg_test_add("what cannot be locked", test_what_cannot_be_locked, NULL);
	lg_test_add("file stays and is private", test_file_stays_and_is_private, NULL);
	lg_test_add("fault", test_fault, NULL);
	return lg_test_run(__FILE__);
}
