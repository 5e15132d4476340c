/* What io changes is told, in order, and nothing is told that failed. */
#include "io/recorder.h"
#include "io/file.h"
#include "support/support.h"

#include "base/buf.h"

#include <errno.h>

static struct lg_buf told;

static void listen(void *arg, const struct lg_recorded *what)
{
	static const char *const names[LG_RECORDED_OP_COUNT] = { "create", "mkdir", "write", "truncate", "meta",
		"sync", "rename", "exchange", "link", "unlink" };
	assert_ptr_equal(arg, &told);
	lg_buf_addf(&told, "%s ", names[what->op]);
	if (what->op == LG_RECORDED_WRITE)
		lg_buf_addf(&told, "%.*s ", (int)what->len, (const char *)what->data);
	errno = ENOTSUP;
}

static void assert_told(const char *want)
{
	assert_string_equal(lg_buf_str(&told), want);
	lg_buf_clear(&told);
}

static void test_replace_and_remove(void **state)
{
	const char *path = lg_test_path("file");
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	lg_assert_ok(lg_file_replace(path, "one", 3, NULL, &err), &err);
	assert_told("create write one meta sync rename sync ");
	lg_assert_ok(lg_file_replace(path, "two", 3, NULL, &err), &err);
	assert_told("create write two meta sync exchange sync unlink ");
	lg_assert_ok(lg_file_remove(path, &err), &err);
	assert_told("unlink sync ");
	/* whoever removed it may not have synced */
	lg_assert_ok(lg_file_remove(path, &err), &err);
	assert_told("sync ");
}

static void test_directories(void **state)
{
	const char *dir = lg_test_path("a/b"), *to = lg_test_path("c");
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	lg_assert_ok(lg_dir_make(dir, 0700, &err), &err);
	assert_told("sync mkdir sync mkdir sync ");
	lg_assert_ok(lg_dir_make(dir, 0700, &err), &err);
	assert_told("sync ");
	lg_assert_ok(lg_dir_place(dir, lg_test_path("a/c"), &err), &err);
	assert_told("sync rename sync ");
	lg_assert_ok(lg_dir_remove(lg_test_path("a"), &err), &err);
	assert_told("unlink unlink sync ");
	lg_assert_ok(lg_dir_remove(to, &err), &err);
	assert_told("");
}

static void test_lines(void **state)
{
	const char *path = lg_test_path("lines");
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	(void)state;
	lg_assert_ok(lg_line_log_open(path, true, &log, &err), &err);
	assert_told("create sync sync ");
	lg_assert_ok(lg_line_log_append(log, "", &err), &err);
	assert_non_null(strstr(lg_buf_str(&told), "write "));
	assert_non_null(strstr(lg_buf_str(&told), "sync "));
	lg_line_log_close(log);
	lg_buf_clear(&told);
	lg_test_write(path, "torn", 4);
	lg_assert_ok(lg_line_log_open(path, false, &log, &err), &err);
	assert_told("truncate sync ");
	lg_line_log_close(log);
}

static void test_failure_and_errno(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	lg_assert_code(lg_file_replace(lg_test_path("no/file"), "x", 1, NULL, &err), LG_ENOTFOUND, &err);
	assert_told("");
	errno = EXDEV;
	lg_recorded(.op = LG_RECORDED_SYNC, .fd = 1);
	assert_int_equal(errno, EXDEV);
	assert_told("sync ");
}

static void test_without(void **state)
{
	int evaluated = 0;
	(void)state;
	lg_recorder_set(NULL, NULL);
	lg_recorded(.op = LG_RECORDED_SYNC, .fd = evaluated++);
	assert_int_equal(evaluated, 0);
	assert_told("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace_and_remove),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_failure_and_errno),
		cmocka_unit_test(test_without),
	};
	lg_test_dir();
	lg_recorder_set(listen, &told);
	return lg_test_main(__FILE__, tests, sizeof tests / sizeof *tests);
}
