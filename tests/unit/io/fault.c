/* The hook, and what LASTGOOD_FAULT says. */
#include "io/fault.h"
#include "support/support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen {
	enum lg_fault_op op;
	const char *path;
};

static int remember(void *arg, enum lg_fault_op op, const char *path)
{
	*(struct seen *)arg = (struct seen){ op, path };
	return EIO;
}

static void test_hook(void **state)
{
	struct seen seen = { 0 };
	assert_int_equal(lg_fault_check(LG_FAULT_FSYNC, "f"), 0);
	lg_fault_set(remember, &seen);
	assert_int_equal(lg_fault_check(LG_FAULT_FSYNC, "f"), EIO);
	assert_int_equal(seen.op, LG_FAULT_FSYNC);
	assert_string_equal(seen.path, "f");
	lg_fault_set(NULL, NULL);
	assert_int_equal(lg_fault_check(LG_FAULT_FSYNC, "f"), 0);
}

struct row {
	const char *name;
	const char *spec;
	enum lg_fault_op op;
	const char *want; /* of six calls: '.' goes on, 'x' fails; NULL: refused */
	int errnum;
};

static const struct row rows[] = {
	{ "third rename", "rename:3:EIO", LG_FAULT_RENAME, "..x...", EIO },
	{ "first fsync", "fsync:1:ENOSPC", LG_FAULT_FSYNC, "x.....", ENOSPC },
	{ "second and on", "write:2+:ENOSPC", LG_FAULT_WRITE, ".xxxxx", ENOSPC },
	{ "another operation", "rename:1:EIO", LG_FAULT_FSYNC, "......", 0 },
	{ "any operation", "*:4:EROFS", LG_FAULT_STEP, "...x..", EROFS },
	{ "open", "open:1:EACCES", LG_FAULT_OPEN, "x.....", EACCES },
	{ "read", "read:1:EIO", LG_FAULT_READ, "x.....", EIO },
	{ "unlink", "unlink:1:EPERM", LG_FAULT_UNLINK, "x.....", EPERM },
	{ "mkdir", "mkdir:1:EDQUOT", LG_FAULT_MKDIR, "x.....", EDQUOT },
	{ "lock", "lock:1:EMFILE", LG_FAULT_LOCK, "x.....", EMFILE },
	{ "fork", "fork:1:EAGAIN", LG_FAULT_FORK, "x.....", EAGAIN },
	{ "log_append", "log_append:1:ENOMEM", LG_FAULT_LOG_APPEND, "x.....", ENOMEM },
	{ "step", "step:6:EIO", LG_FAULT_STEP, ".....x", EIO },
	{ "never", "step:9223372036854775807:EIO", LG_FAULT_STEP, "......", 0 },
	{ "empty is none", "", LG_FAULT_STEP, "......", 0 },
	{ "no parts", "rename", 0, NULL, 0 },
	{ "two parts", "rename:1", 0, NULL, 0 },
	{ "unknown operation", "sync:1:EIO", 0, NULL, 0 },
	{ "unknown error", "fsync:1:EBROKEN", 0, NULL, 0 },
	{ "zeroth", "fsync:0:EIO", 0, NULL, 0 },
	{ "negative", "fsync:-1:EIO", 0, NULL, 0 },
	{ "plus alone", "fsync:+:EIO", 0, NULL, 0 },
	{ "no number", "fsync::EIO", 0, NULL, 0 },
	{ "four parts", "fsync:1:EIO:x", 0, NULL, 0 },
	{ "too long", "fsync:0000000000000000000000000000000000000000000000000000000000001:EIO", 0, NULL, 0 },
};

static void test_env(void **state)
{
	const struct row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_fault_set(NULL, NULL);
	setenv("LASTGOOD_FAULT", row->spec, 1);
	int rc = lg_fault_from_env(&err);
	unsetenv("LASTGOOD_FAULT");
	if (!row->want) {
		assert_int_equal(rc, LG_EUSAGE);
		assert_non_null(strstr(err.message, "OPERATION:NTH:WHAT"));
		assert_int_equal(lg_fault_check(LG_FAULT_FSYNC, "f"), 0);
		return;
	}
	lg_assert_ok(rc, &err);
	for (int i = 0; i < 6; i++)
		assert_int_equal(lg_fault_check(row->op, "f"), row->want[i] == 'x' ? row->errnum : 0);
	lg_fault_set(NULL, NULL);
}

static void test_env_unset(void **state)
{
	unsetenv("LASTGOOD_FAULT");
	assert_int_equal(lg_fault_from_env(NULL), 0);
	assert_int_equal(lg_fault_check(LG_FAULT_OPEN, "f"), 0);
}

static void test_env_kill(void **state)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("LASTGOOD_FAULT", "fsync:2:KILL", 1);
		if (lg_fault_from_env(NULL) < 0 || lg_fault_check(LG_FAULT_FSYNC, "f") != 0)
			_exit(1);
		lg_fault_check(LG_FAULT_FSYNC, "f");
		_exit(2);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
	lg_test_rows(
		"env", test_env, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("hook", test_hook, NULL);
	lg_test_add("env: unset", test_env_unset, NULL);
	lg_test_add("env: kill", test_env_kill, NULL);
	return lg_test_run(__FILE__);
}
