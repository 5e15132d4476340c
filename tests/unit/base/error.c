/* The table of codes, what refines LG_EIO, and messages that do not fit. */
#include "support/support.h"

#include <errno.h>

struct code_row {
	const char *name;
	int code;
	int exit_status;
	int http;
};

/* Exit statuses and names are read by people's scripts: this table is the second writing that keeps them as they are. */
static const struct code_row codes[] = {
	{ "ok", LG_OK, 0, 200 },
	{ "failed", LG_EFAILED, 1, 500 },
	{ "usage", LG_EUSAGE, 2, 400 },
	{ "not_found", LG_ENOTFOUND, 3, 404 },
	{ "invalid", LG_EINVALID, 4, 422 },
	{ "conflict", LG_ECONFLICT, 5, 409 },
	{ "held", LG_EHELD, 6, 423 },
	{ "corrupt", LG_ECORRUPT, 7, 500 },
	{ "newer_format", LG_ENEWER, 8, 500 },
	{ "busy", LG_EBUSY, 9, 503 },
	{ "timeout", LG_ETIMEOUT, 10, 504 },
	{ "io_error", LG_EIO, 11, 500 },
	{ "no_space", LG_ENOSPC, 12, 507 },
	{ "permission", LG_EPERM, 13, 403 },
	{ "read_only", LG_EREADONLY, 14, 503 },
	{ "refused_by_check", LG_EREFUSED, 15, 422 },
	{ "out_of_memory", LG_ENOMEM, 16, 500 },
	{ "outcome_unknown", LG_EUNKNOWN, 17, 500 },
	{ "unsupported", LG_EUNSUPPORTED, 18, 501 },
	{ "cancelled", LG_ECANCELLED, 0, 409 },
	{ "internal", LG_EINTERNAL, 20, 500 },
};

static void test_code(void **state)
{
	const struct code_row *row = *state;
	assert_string_equal(lg_code_name(row->code), row->name);
	assert_int_equal(lg_code_exit(row->code), row->exit_status);
	assert_int_equal(lg_code_http(row->code), row->http);
	assert_true(strlen(lg_code_help(row->code)) > 0);
}

static void test_every_code_is_listed(void **state)
{
	assert_int_equal(sizeof codes / sizeof *codes, LG_CODE_COUNT);
	for (int i = 0; i < LG_CODE_COUNT; i++)
		assert_int_equal(codes[i].code, -i);
}

static void test_code_from_nowhere_is_internal(void **state)
{
	const int strangers[] = { 1, -LG_CODE_COUNT, -LG_CODE_COUNT - 1, 1000, -1000, INT32_MIN, INT32_MAX };
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
		assert_string_equal(lg_code_name(strangers[i]), "internal");
		assert_int_equal(lg_code_exit(strangers[i]), 20);
	}
}

struct refine_row {
	const char *name;
	int code;
	int sys_errno;
	int want;
};

static const struct refine_row refinements[] = {
	{ "disk full", LG_EIO, ENOSPC, LG_ENOSPC },
	{ "quota", LG_EIO, EDQUOT, LG_ENOSPC },
	{ "access", LG_EIO, EACCES, LG_EPERM },
	{ "not the owner", LG_EIO, EPERM, LG_EPERM },
	{ "read-only", LG_EIO, EROFS, LG_EREADONLY },
	{ "memory", LG_EIO, ENOMEM, LG_ENOMEM },
	{ "other errno", LG_EIO, EIO, LG_EIO },
	{ "other code stays", LG_ECORRUPT, ENOSPC, LG_ECORRUPT },
	{ "no errno", LG_EIO, 0, LG_EIO },
};

static void test_refine(void **state)
{
	const struct refine_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(lg_fail(&err, row->code, row->sys_errno, "cannot do '%s'", "it"), row->want);
	assert_int_equal(lg_fail(NULL, row->code, row->sys_errno, "cannot do it"), row->want);
	assert_int_equal(err.code, row->want);
	assert_int_equal(err.sys_errno, row->sys_errno);
	char want[256];
	snprintf(want, sizeof want, "cannot do 'it'%s%s", row->sys_errno ? ": " : "",
		row->sys_errno ? strerror(row->sys_errno) : "");
	assert_string_equal(err.message, want);
}

static void test_context_prefixes_once_per_layer(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_fail(&err, LG_EIO, ENOENT, "cannot open '%s'", "f");
	rc = lg_context(&err, rc, "cannot load '%s'", "topology");
	rc = lg_context(&err, rc, "cannot start");
	assert_int_equal(rc, LG_EIO);
	assert_int_equal(err.sys_errno, ENOENT);
	assert_string_equal(err.message,
		"cannot start: cannot load 'topology': cannot open 'f': No such file or directory");
	assert_int_equal(lg_context(NULL, LG_EBUSY, "dropped"), LG_EBUSY);
}

static void test_own_message_as_argument(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_fail(&err, LG_EFAILED, 0, "inner");
	lg_fail(&err, LG_EFAILED, 0, "outer (%s)", err.message);
	assert_string_equal(err.message, "outer (inner)");
}

/* Whatever the lengths, the message ends inside its buffer and begins with what came first. */
static void test_long_messages_are_cut(void **state)
{
	char text[2 * LG_ERROR_MESSAGE_SIZE];
	for (size_t len = LG_ERROR_MESSAGE_SIZE - 8; len < LG_ERROR_MESSAGE_SIZE + 8; len++) {
		struct lg_error err = LG_ERROR_INIT;
		memset(text, 'x', len);
		text[len] = '\0';
		assert_int_equal(lg_fail(&err, LG_EIO, EIO, "%s", text), LG_EIO);
		assert_in_range(strlen(err.message), LG_ERROR_MESSAGE_SIZE - 8, LG_ERROR_MESSAGE_SIZE - 1);
		assert_int_equal(lg_context(&err, LG_EIO, "%s", text), LG_EIO);
		assert_in_range(strlen(err.message), LG_ERROR_MESSAGE_SIZE - 8, LG_ERROR_MESSAGE_SIZE - 1);
	}
}

static void test_clear(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_fail(&err, LG_EIO, EIO, "x");
	lg_error_clear(&err);
	lg_error_clear(NULL);
	assert_int_equal(err.code, 0);
	assert_int_equal(err.sys_errno, 0);
	assert_string_equal(err.message, "");
}

int main(void)
{
	lg_test_rows("code", test_code, codes, sizeof codes / sizeof *codes, sizeof *codes,
		offsetof(struct code_row, name));
	lg_test_rows("refine", test_refine, refinements, sizeof refinements / sizeof *refinements,
		sizeof *refinements, offsetof(struct refine_row, name));
	lg_test_add("every code is listed", test_every_code_is_listed, NULL);
	lg_test_add("a code from nowhere is internal", test_code_from_nowhere_is_internal, NULL);
	lg_test_add("context prefixes once per layer", test_context_prefixes_once_per_layer, NULL);
	lg_test_add("own message as argument", test_own_message_as_argument, NULL);
	lg_test_add("long messages are cut", test_long_messages_are_cut, NULL);
	lg_test_add("clear", test_clear, NULL);
	return lg_test_run(__FILE__);
}
