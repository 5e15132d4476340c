/* No room for what is written (RLIMIT_FSIZE in a child): never a false success, and all is well once there is room again. */
#include "unit/log/records.h"

#include "base/cleanup.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
	uint64_t acknowledged; /* seq */
	uint64_t head;         /* as the handle sees it after the failure */
	int code;
	int again; /* the code of one more try */
};

/* In the child: files may not grow beyond `limit`. */
static struct report append_under_limit(const char *path, rlim_t limit, size_t body_len)
{
	struct report report = { 0 };
	struct rlimit rlimit = { limit, limit };
	struct lg_log *log = NULL;
	char url[600];
	char *body = calloc(1, body_len + 1);

	if (!body)
		abort();
	memset(body, 'b', body_len);
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &rlimit) < 0)
		abort();
	snprintf(url, sizeof url, "sqlite:%s", path);
	report.code = lg_log_open(url, &(struct lg_log_open){ 0 }, &log, NULL);
	for (int i = 0; i < 10000 && report.code == 0; i++) {
		report.code = lg_test_append(log, LG_KIND_MARK, body, NULL, 0, NULL);
		struct lg_log_head head = { 0 };
		if (lg_log_head(log, &head, NULL) == 0)
			report.head = head.seq;
		if (report.code == 0)
			report.acknowledged = head.seq;
	}
	if (log && report.code < 0)
		report.again = lg_test_append(log, LG_KIND_MARK, body, NULL, 0, NULL);
	lg_log_close(log);
	free(body);
	return report;
}

static struct report run_under_limit(const char *path, rlim_t limit, size_t body_len)
{
	struct report report;
	int fds[2], status = -1;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		report = append_under_limit(path, limit, body_len);
		_exit(write(fds[1], &report, sizeof report) == sizeof report ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &report, sizeof report), sizeof report);
	close(fds[0]);
	close(fds[1]);
	return report;
}

static const struct limit_row {
	const char *name;
	rlim_t limit;
	size_t body_len;
} limit_rows[] = {
	{ "room for nothing", 0, 100 },
	{ "room for a few pages", 50000, 100 },
	{ "the limit inside of a page", 70001, 700 },
	{ "room for some records", 200000, 3000 },
	{ "a record larger than the room", 300000, 1000000 },
	{ "room until pages are moved", 4500000, 20000 },
};

static void test_full(void **state)
{
	const struct limit_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	char name[32];
	snprintf(name, sizeof name, "%p.db", *state);
	const char *path = lg_test_path(name);
	struct lg_log *log = lg_test_open(path, true);
	lg_test_fill(log, 3);
	lg_log_close(log);

	struct report report = run_under_limit(path, row->limit, row->body_len);
	assert_true(report.code < 0);
	assert_true(report.code == LG_EUNKNOWN || report.code == LG_ENOSPC || report.code == LG_EIO ||
		report.code == LG_EREADONLY);
	assert_true(report.again <= 0);
	if (report.code == LG_EUNKNOWN)
		assert_int_equal(report.again, LG_EREADONLY);

	log = lg_test_open(path, false);
	uint64_t head = lg_test_head_seq(log);
	assert_true(head >= 3 && head >= report.acknowledged);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_test_fill(log, 5);
	assert_int_equal(lg_test_head_seq(log), head + 5);
	lg_log_close(log);
}

int main(void)
{
	lg_test_rows("no room", test_full, limit_rows, sizeof limit_rows / sizeof *limit_rows,
		sizeof *limit_rows, offsetof(struct limit_row, name));
	return lg_test_run("crash_log_full");
}
