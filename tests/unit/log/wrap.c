/* The wrapper: fails before or after any call, and traces each. */
#include "unit/log/records.h"

#include "io/fault.h"
#include "log/wrap/wrap.h"

#include <errno.h>

struct hooks {
	int fail_before, fail_after; /* enum lg_log_call, or -1 */
	int code;
	unsigned calls[LG_LOG_CALL_COUNT];
	char trace[4000];
};

static int before(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct hooks *hooks = arg;
	hooks->calls[call]++;
	return (int)call == hooks->fail_before ? lg_fail(err, hooks->code, 0, "injected before") : 0;
}

static int after(void *arg, enum lg_log_call call, struct lg_error *err)
{
	struct hooks *hooks = arg;
	return (int)call == hooks->fail_after ? lg_fail(err, hooks->code, 0, "injected after") : 0;
}

static void trace(void *arg, const char *line)
{
	struct hooks *hooks = arg;
	size_t len = strlen(hooks->trace);
	snprintf(hooks->trace + len, sizeof hooks->trace - len, "%s\n", line);
}

static int visit_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)record;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static int visit_checkpoint(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	(void)checkpoint;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static int visit_touched(void *arg, const char *key, size_t key_len, uint64_t seq, struct lg_error *err)
{
	(void)key;
	(void)key_len;
	(void)seq;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static struct lg_log *make_wrapped(struct hooks *hooks, const struct lg_clock *clock, const char *scheme)
{
	static unsigned count;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *inner = NULL, *log = NULL;
	char url[600], name[32];
	snprintf(name, sizeof name, "wrapped%u.db", count++);
	snprintf(url, sizeof url, "%s:%s", scheme, lg_test_path(name));
	lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ .create = true }, &inner, &err), &err);
	lg_test_fill(inner, 4);
	lg_assert_ok(lg_test_checkpoint(inner, 3, NULL, 0, &err), &err);
	struct lg_log_hooks table = { .before = before, .after = after, .trace = trace, .arg = hooks };
	lg_assert_ok(lg_log_wrap(inner, &table, clock, &log, &err), &err);
	return log;
}

/* Makes the call; what it returned, and in *ret_out whether anything came out of it. */
static int make_call(struct lg_log *log, enum lg_log_call call, unsigned *ret_out, struct lg_error *err)
{
	struct lg_log_head head = { .seq = 99 };
	struct lg_log_gap gap;
	uint64_t seq = 99;
	int rc = LG_EINTERNAL;
	switch (call) {
	case LG_LOG_CALL_HEAD:
		rc = lg_log_head(log, &head, err);
		break;
	case LG_LOG_CALL_APPEND:
		return lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, err);
	case LG_LOG_CALL_QUERY:
		return lg_log_query(log, &(struct lg_log_query){ 0 }, visit_record, ret_out, err);
	case LG_LOG_CALL_CHECKPOINT_WRITE:
		return lg_test_checkpoint(log, 4, NULL, 0, err);
	case LG_LOG_CALL_CHECKPOINT_READ:
		return lg_log_checkpoint_read(log, 3, visit_checkpoint, ret_out, err);
	case LG_LOG_CALL_TRIM:
		return lg_log_trim(log, 2, NULL, 0, err);
	case LG_LOG_CALL_GAP:
		return lg_log_gap(log, 4, &gap, err);
	case LG_LOG_CALL_WAIT:
		return lg_log_wait(log, 0, err);
	case LG_LOG_CALL_CHECKPOINT_FIND:
		rc = lg_log_checkpoint_find(log, 4, &seq, err);
		break;
	case LG_LOG_CALL_CHECKPOINT_DROP:
		return lg_log_checkpoint_drop(log, 99, err);
	case LG_LOG_CALL_SKIP:
		return lg_log_skip(log, &(struct lg_log_gap){ .first = 5, .last = 5 }, err);
	case LG_LOG_CALL_SETTLE:
		return log->ops->settle(log, err);
	case LG_LOG_CALL_CHECK:
		return lg_log_check(log, true, err);
	case LG_LOG_CALL_EACH_TOUCHED:
		return lg_log_each_touched(log, visit_touched, ret_out, err);
	case LG_LOG_CALL_COUNT:
		break;
	}
	*ret_out = head.seq != 99 || seq != 99;
	return rc;
}

static const struct call_row {
	const char *name;
	enum lg_log_call call;
} call_rows[] = {
	{ "head", LG_LOG_CALL_HEAD },
	{ "append", LG_LOG_CALL_APPEND },
	{ "query", LG_LOG_CALL_QUERY },
	{ "checkpoint_write", LG_LOG_CALL_CHECKPOINT_WRITE },
	{ "checkpoint_read", LG_LOG_CALL_CHECKPOINT_READ },
	{ "trim", LG_LOG_CALL_TRIM },
	{ "gap", LG_LOG_CALL_GAP },
	{ "wait", LG_LOG_CALL_WAIT },
	{ "checkpoint_find", LG_LOG_CALL_CHECKPOINT_FIND },
	{ "checkpoint_drop", LG_LOG_CALL_CHECKPOINT_DROP },
	{ "skip", LG_LOG_CALL_SKIP },
	{ "settle", LG_LOG_CALL_SETTLE },
	{ "check", LG_LOG_CALL_CHECK },
	{ "each_touched", LG_LOG_CALL_EACH_TOUCHED },
};

/* head before append moves, so that what is left behind can be seen */
static void assert_left(struct hooks *hooks, struct lg_log *log, enum lg_log_call call, bool happened)
{
	uint64_t seq = 0;
	hooks->fail_before = hooks->fail_after = -1;
	assert_int_equal(lg_test_head_seq(log), 4 + (happened && call == LG_LOG_CALL_APPEND));
	lg_assert_ok(lg_log_first(log, &seq, NULL), &(struct lg_error){ 0 });
	assert_int_equal(seq, 1 + (happened && call == LG_LOG_CALL_TRIM));
	lg_assert_ok(lg_log_checkpoint_find(log, 4, &seq, NULL), &(struct lg_error){ 0 });
	assert_int_equal(seq, 3 + (happened && call == LG_LOG_CALL_CHECKPOINT_WRITE));
}

static void run_call(const struct call_row *row, const char *scheme)
{
	struct lg_error err = LG_ERROR_INIT;
	unsigned out = 0;

	struct hooks hooks = { .fail_before = (int)row->call, .fail_after = -1, .code = LG_EBUSY };
	struct lg_log *log = make_wrapped(&hooks, NULL, scheme);
	lg_assert_code(make_call(log, row->call, &out, &err), LG_EBUSY, &err);
	assert_string_equal(err.message, "injected before");
	assert_int_equal(out, 0);
	assert_int_equal(hooks.calls[row->call], 1);
	assert_left(&hooks, log, row->call, false);

	hooks.fail_after = (int)row->call;
	hooks.code = LG_EUNKNOWN;
	lg_assert_code(make_call(log, row->call, &out, &err), LG_EUNKNOWN, &err);
	assert_string_equal(err.message, "injected after");
	assert_left(&hooks, log, row->call, true);

	out = 0;
	int rc = make_call(log, row->call, &out, &err);
	assert_true(rc >= 0);
	lg_log_close(log);
}

static void test_call(void **state)
{
	run_call(*state, "sqlite");
	run_call(*state, "memory");
}

static void test_trace(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_clock_sim sim;
	struct hooks hooks = { .fail_before = -1, .fail_after = -1 };
	(void)state;
	lg_clock_sim_init(&sim, 0, 0);
	struct lg_log *log = make_wrapped(&hooks, &sim.clock, "memory");
	lg_test_append_key(log, "web/port");
	assert_int_equal(lg_log_wait(log, 0, &err), 0);
	lg_assert_code(lg_log_trim(log, 77, NULL, 0, &err), LG_EINVALID, &err);
	assert_string_equal(hooks.trace,
		"head =4 -> ok 0us\n"
		"append seq=5 count=1 kind=change body=10 keys=1 -> ok 0us\n"
		"head =5 -> ok 0us\n"
		"wait timeout=0ms -> ok 0us\n"
		"trim before=77 keep=0 -> invalid 0us\n");
	lg_log_close(log);
}

/* --- lg_fault --------------------------------------------------------------------------------------------------------------- */

static int fail_path(void *arg, enum lg_fault_op op, const char *path)
{
	return op == LG_FAULT_LOG_APPEND && strcmp(path, arg) == 0 ? ENOSPC : 0;
}

static void test_fault_points(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct hooks hooks = { .fail_before = -1, .fail_after = -1 };
	(void)state;
	struct lg_log *log = make_wrapped(&hooks, NULL, "sqlite");
	lg_fault_set(fail_path, (void *)(uintptr_t) "append");
	int before_rc = lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err);
	lg_fault_set(fail_path, (void *)(uintptr_t) "appended");
	uint64_t between = lg_test_head_seq(log);
	int after_rc = lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err);
	lg_fault_set(NULL, NULL);
	assert_int_equal(before_rc, LG_ENOSPC);
	assert_int_equal(between, 4);
	assert_int_equal(after_rc, LG_EUNKNOWN);
	assert_int_equal(lg_test_head_seq(log), 5);
	lg_log_close(log);
}

int main(void)
{
	lg_test_rows("fails before and after", test_call, call_rows, sizeof call_rows / sizeof *call_rows,
		sizeof *call_rows, offsetof(struct call_row, name));
	lg_test_add("traces each call", test_trace, NULL);
	lg_test_add("fault points of an append", test_fault_points, NULL);
	return lg_test_run("log_wrap");
}
