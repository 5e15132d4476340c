#include "health/health.h"
#include "support/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- lines ------------------------------------------------------------------------------------------------------- */

struct row {
	const char *name;
	const char *line; /* without newline */
	int64_t requests;
	int64_t errors;
};

#define FRONT "127.0.0.1 - - [22/Nov/2026:14:03:05 +0000] "

static const struct row rows[] = {
	{ "common 200", FRONT "\"GET / HTTP/1.1\" 200 612", 1, 0 },
	{ "common 502", FRONT "\"GET / HTTP/1.1\" 502 157", 1, 1 },
	{ "common 599", FRONT "\"GET / HTTP/1.1\" 599 0", 1, 1 },
	{ "common 404 is an answer", FRONT "\"GET / HTTP/1.1\" 404 0", 1, 0 },
	{ "combined 503", FRONT "\"GET / HTTP/1.1\" 503 0 \"http://x/\" \"curl/8\"", 1, 1 },
	{ "combined 200, agent says 500", FRONT "\"GET / HTTP/1.1\" 200 0 \"-\" \"\" 500", 1, 0 },
	{ "no answer 000", FRONT "\"GET / HTTP/1.1\" 000 0", 1, 1 },
	{ "no answer -", FRONT "\"GET / HTTP/1.1\" - 0", 1, 1 },
	{ "499 is the client's", FRONT "\"GET / HTTP/1.1\" 499 0", 1, 0 },
	{ "status at the end of the line", FRONT "\"GET / HTTP/1.1\" 500", 1, 1 },
	{ "carriage return", FRONT "\"GET / HTTP/1.1\" 500\r", 1, 1 },
	{ "empty request", FRONT "\"\" 400 0", 1, 0 },
	{ "escaped bytes in the request", FRONT "\"\\x16\\x03\\x01\" 400 150", 1, 0 },
	{ "escaped quote in the request", FRONT "\"GET /\\\" 500 0 HTTP/1.1\" 200 1", 1, 0 },
	{ "escaped backslash before the quote", FRONT "\"GET /\\\\\" 500 0", 1, 1 },
	{ "status of two digits", FRONT "\"GET / HTTP/1.1\" 50 0", 0, 0 },
	{ "status of four digits", FRONT "\"GET / HTTP/1.1\" 5000 0", 0, 0 },
	{ "status beyond 599", FRONT "\"GET / HTTP/1.1\" 999 0", 0, 0 },
	{ "status with a dash in it", FRONT "\"GET / HTTP/1.1\" 50- 0", 0, 0 },
	{ "dash with something behind it", FRONT "\"GET / HTTP/1.1\" -1 0", 0, 0 },
	{ "status not a number", FRONT "\"GET / HTTP/1.1\" 5x0 0", 0, 0 },
	{ "request that does not end", FRONT "\"GET / HTTP/1.1 500 0", 0, 0 },
	{ "request ends in a backslash", FRONT "\"GET /\\", 0, 0 },
	{ "nothing behind the request", FRONT "\"GET / HTTP/1.1\"", 0, 0 },
	{ "no quotes at all", "500 500 500", 0, 0 },
	{ "empty line", "", 0, 0 },
	{ "json number", "{\"status\":200,\"request\":\"GET /\"}", 1, 0 },
	{ "json number 502", "{\"request\":\"GET /\",\"status\":502}", 1, 1 },
	{ "json text 502", "{\"status\":\"502\"}", 1, 1 },
	{ "json with blanks", "{ \"status\" : 502 , \"x\":1 }", 1, 1 },
	{ "json no answer", "{\"status\":\"-\"}", 1, 1 },
	{ "json without status", "{\"code\":502}", 0, 0 },
	{ "json status null", "{\"status\":null}", 0, 0 },
	{ "json inner status", "{\"upstream\":{\"status\":502},\"status\":200}", 1, 0 },
	{ "json inner status only", "{\"upstream\":{\"status\":502}}", 0, 0 },
	{ "json status as a value", "{\"a\":\"status\",\"b\":502}", 0, 0 },
	{ "json status within a text", "{\"uri\":\"{\\\"status\\\":502}\",\"status\":200}", 1, 0 },
	{ "json invalid UTF-8", "{\"uri\":\"/\xff\xc3\",\"status\":502}", 1, 1 },
	{ "json cut short", "{\"uri\":\"/", 0, 0 },
	{ "json closing too often", "{}}}}\"status\":502", 0, 0 },
	{ "json behind the object", "{}{\"status\":502}", 0, 0 },
};

/* --- helpers ----------------------------------------------------------------------------------------------------- */

static const char GOOD[] = FRONT "\"GET / HTTP/1.1\" 200 1\n";
static const char BAD[] = FRONT "\"GET / HTTP/1.1\" 502 1\n";

static void append(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void appends(const char *path, const char *text)
{
	append(path, text, strlen(text));
}

static struct lg_access_log *open_log(const char *path)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_access_log *log = NULL;
	lg_assert_ok(lg_access_log_open(path, &log, &err), &err);
	return log;
}

static void assert_counts(struct lg_access_log *log, int64_t requests, int64_t errors)
{
	struct lg_error err = LG_ERROR_INIT;
	int64_t got_requests = -1;
	int64_t got_errors = -1;
	lg_assert_ok(lg_access_log_read(log, &got_requests, &got_errors, &err), &err);
	assert_int_equal(got_requests, requests);
	assert_int_equal(got_errors, errors);
}

static struct lg_access_log *fresh(const char *path)
{
	unlink(path);
	appends(path, "");
	return open_log(path);
}

static void test_line(void **state)
{
	const struct row *row = *state;
	const char *path = lg_test_path("line.log");
	struct lg_access_log *log = fresh(path);
	appends(path, row->line);
	appends(path, "\n");
	assert_counts(log, row->requests, row->errors);
	assert_counts(log, 0, 0);
	/* the same in two pieces, cut at every place in turn, must come to the same */
	size_t len = strlen(row->line);
	for (size_t cut = 0; cut <= len; cut += 7) {
		append(path, row->line, cut);
		assert_counts(log, 0, 0);
		appends(path, row->line + cut);
		appends(path, "\n");
		assert_counts(log, row->requests, row->errors);
	}
	lg_access_log_close(log);
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

static void test_starts_at_the_end(void **state)
{
	(void)state;
	const char *path = lg_test_path("end.log");
	appends(path, BAD);
	appends(path, BAD);
	struct lg_access_log *log = open_log(path);
	assert_counts(log, 0, 0);
	appends(path, GOOD);
	assert_counts(log, 1, 0);
	lg_access_log_close(log);
}

static void test_absent_then_there(void **state)
{
	(void)state;
	const char *path = lg_test_path("late.log");
	struct lg_access_log *log = open_log(path);
	struct lg_error err = LG_ERROR_INIT;
	int64_t requests = -1;
	int64_t errors = -1;
	lg_assert_code(lg_access_log_read(log, &requests, &errors, &err), LG_ENOTFOUND, &err);
	assert_int_equal(requests, -1);
	assert_non_null(strstr(err.message, "late.log"));
	appends(path, BAD);
	appends(path, GOOD);
	assert_counts(log, 2, 1);
	lg_access_log_close(log);
}

static void test_rotation(void **state)
{
	(void)state;
	const char *path = lg_test_path("rotated.log");
	const char *old = lg_test_path("rotated.log.1");
	struct lg_access_log *log = fresh(path);
	appends(path, GOOD);
	assert_counts(log, 1, 0);
	appends(path, BAD);
	assert_int_equal(rename(path, old), 0);
	assert_counts(log, 1, 1); /* renamed away: the server still writes there */
	appends(old, BAD);
	appends(path, ""); /* made by the rotation, not yet used by the server */
	assert_counts(log, 1, 1);
	appends(old, GOOD);
	appends(path, BAD); /* used: the rest of the old and all of the new */
	appends(path, BAD);
	assert_counts(log, 3, 2);
	appends(old, BAD); /* nobody reads that any more */
	appends(path, GOOD);
	assert_counts(log, 1, 0);
	lg_access_log_close(log);
}

static void test_rotated_away_for_good(void **state)
{
	(void)state;
	const char *path = lg_test_path("gone.log");
	struct lg_access_log *log = fresh(path);
	unlink(path);
	struct lg_error err = LG_ERROR_INIT;
	int64_t requests = 0;
	int64_t errors = 0;
	lg_assert_code(lg_access_log_read(log, &requests, &errors, &err), LG_ENOTFOUND, &err);
	appends(path, BAD);
	assert_counts(log, 1, 1);
	lg_access_log_close(log);
}

static void test_truncation(void **state)
{
	(void)state;
	const char *path = lg_test_path("truncated.log");
	struct lg_access_log *log = fresh(path);
	appends(path, GOOD);
	appends(path, GOOD);
	appends(path, "torn");
	assert_counts(log, 2, 0);
	assert_int_equal(truncate(path, 0), 0);
	appends(path, BAD);
	assert_counts(log, 1, 1);
	lg_access_log_close(log);
}

static void test_hole_after_truncation(void **state)
{
	(void)state;
	/* a writer without O_APPEND goes on at its old offset: NULs up to there */
	const char *path = lg_test_path("hole.log");
	struct lg_access_log *log = fresh(path);
	assert_int_equal(truncate(path, 300000), 0);
	appends(path, BAD);
	assert_counts(log, 1, 1);
	lg_access_log_close(log);
}

static void test_torn_line_waits(void **state)
{
	(void)state;
	const char *path = lg_test_path("torn.log");
	struct lg_access_log *log = fresh(path);
	append(path, BAD, 30);
	assert_counts(log, 0, 0);
	append(path, BAD + 30, 20);
	assert_counts(log, 0, 0);
	appends(path, BAD + 50);
	assert_counts(log, 1, 1);
	lg_access_log_close(log);
}

static void test_long_lines(void **state)
{
	(void)state;
	const char *path = lg_test_path("long.log");
	struct lg_access_log *log = fresh(path);
	char *noise = malloc(300000);
	assert_non_null(noise);
	memset(noise, 'a', 300000);
	/* status before the noise: counted; behind it: not; the line that follows is whole again */
	appends(path, FRONT "\"GET / HTTP/1.1\" 502 1 \"");
	append(path, noise, 300000);
	appends(path, "\"\n" FRONT "\"GET /");
	append(path, noise, 300000);
	appends(path, "\" 502 1\n");
	appends(path, BAD);
	assert_counts(log, 2, 2);
	free(noise);
	lg_access_log_close(log);
}

static void test_hostile_bytes(void **state)
{
	(void)state;
	const char *path = lg_test_path("hostile.log");
	struct lg_access_log *log = fresh(path);
	static const char bytes[] =
		"\0\0\"\0\" 502 1\n\xff\xfe\"\x80\" 200 1\n\"\"\"\"\"\" \"\n{{{{[[[[\n}}}}\n\\\\\\\n";
	append(path, bytes, sizeof bytes - 1);
	assert_counts(log, 2, 1);
	appends(path, BAD);
	assert_counts(log, 1, 1);
	lg_access_log_close(log);
}

static void test_much_at_once(void **state)
{
	(void)state;
	const char *path = lg_test_path("much.log");
	struct lg_access_log *log = fresh(path);
	enum { LINES = 200000 };
	size_t len = strlen(BAD);
	char *all = malloc(LINES * len);
	assert_non_null(all);
	for (size_t i = 0; i < LINES; i++)
		memcpy(all + i * len, BAD, len);
	append(path, all, LINES * len);
	free(all);
	int64_t total = 0;
	for (int calls = 0; total < LINES; calls++) {
		assert_true(calls < 10);
		struct lg_error err = LG_ERROR_INIT;
		int64_t requests = 0;
		int64_t errors = 0;
		lg_assert_ok(lg_access_log_read(log, &requests, &errors, &err), &err);
		assert_true((size_t)requests * len <= 8 * 1024 * 1024 + len);
		assert_int_equal(requests, errors);
		total += requests;
	}
	assert_counts(log, 0, 0);
	lg_access_log_close(log);
}

static void test_not_a_file(void **state)
{
	(void)state;
	const char *path = lg_test_path("fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	struct lg_error err = LG_ERROR_INIT;
	struct lg_access_log *log = NULL;
	lg_assert_code(lg_access_log_open(path, &log, &err), LG_EINVALID, &err);
	assert_null(log);
	lg_assert_code(lg_access_log_open(lg_test_dir(), &log, &err), LG_EINVALID, &err);
	lg_assert_code(lg_access_log_open("/dev/null", &log, &err), LG_EINVALID, &err);
	lg_access_log_close(NULL);
}

int main(void)
{
	lg_test_rows(
		"line", test_line, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("starts at the end", test_starts_at_the_end, NULL);
	lg_test_add("absent, then there", test_absent_then_there, NULL);
	lg_test_add("rotation", test_rotation, NULL);
	lg_test_add("rotated away for good", test_rotated_away_for_good, NULL);
	lg_test_add("truncation", test_truncation, NULL);
	lg_test_add("hole after truncation", test_hole_after_truncation, NULL);
	lg_test_add("torn line waits", test_torn_line_waits, NULL);
	lg_test_add("long lines", test_long_lines, NULL);
	lg_test_add("hostile bytes", test_hostile_bytes, NULL);
	lg_test_add("much at once", test_much_at_once, NULL);
	lg_test_add("not a file", test_not_a_file, NULL);
	return lg_test_run("access_log");
}
