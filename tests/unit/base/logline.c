/* What stands on standard error, and that nothing in a value can make a second line of it. */
#include "base/logline.h"
#include "base/text.h"
#include "support/support.h"

#include <unistd.h>

/* Standard error goes into a file while `level` speaks; the result lives until the next call. */
static const char *spoken(enum lg_log_level level, const char *message, const char *name, const char *value)
{
	static char *text;
	char path[] = "lines";
	const char *file = lg_test_path(path);
	fflush(stderr);
	int saved = dup(STDERR_FILENO);
	assert_true(saved >= 0);
	assert_non_null(freopen(file, "w", stderr));
	lg_logline(level, message, name, value, NULL);
	fflush(stderr);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	free(text);
	text = lg_test_read(file, NULL);
	free((void *)(uintptr_t)file);
	assert_non_null(text);
	return text;
}

struct row {
	const char *name;
	const char *value;
	const char *want; /* behind the time */
};

static const struct row rows[] = {
	{ "plain", "web", " warn  probe failed probe=web\n" },
	{ "empty is quoted", "", " warn  probe failed probe=\"\"\n" },
	{ "absent is empty", NULL, " warn  probe failed probe=\"\"\n" },
	{ "blank is quoted", "a b", " warn  probe failed probe=\"a b\"\n" },
	{ "equals is quoted", "a=b", " warn  probe failed probe=\"a=b\"\n" },
	{ "quotes are escaped", "say \"x\" now", " warn  probe failed probe=\"say \\\"x\\\" now\"\n" },
	{ "newline stays on the line", "a\nb", " warn  probe failed probe=a\\x0ab\n" },
	{ "escape sequence", "\033[31mred", " warn  probe failed probe=\\x1b[31mred\n" },
	{ "invalid UTF-8", "\xff", " warn  probe failed probe=\\xff\n" },
	{ "UTF-8 stays", "größe", " warn  probe failed probe=größe\n" },
	{ "line separator",
		"a\xe2\x80\xa8"
		"b",
		" warn  probe failed probe=a\\u{2028}b\n" },
};

static void test_line(void **state)
{
	const struct row *row = *state;
	const char *line = spoken(LG_LOG_WARN, "probe failed", "probe", row->value);
	char at[LG_TIME_SIZE];
	int64_t when;
	assert_true(strlen(line) > 27);
	snprintf(at, sizeof at, "%.27s", line);
	assert_int_equal(lg_time_parse(at, &when, NULL), 0);
	assert_string_equal(line + 27, row->want);
}

static void test_levels(void **state)
{
	assert_string_equal(spoken(LG_LOG_DEBUG, "quiet", NULL, NULL), "");
	lg_logline_set_level(LG_LOG_ERROR);
	assert_string_equal(spoken(LG_LOG_WARN, "quiet", NULL, NULL), "");
	assert_non_null(strstr(spoken(LG_LOG_ERROR, "loud", NULL, NULL), " error loud\n"));
	lg_logline_set_level(LG_LOG_DEBUG);
	assert_non_null(strstr(spoken(LG_LOG_DEBUG, "loud", NULL, NULL), " debug loud\n"));
	lg_logline_set_level(LG_LOG_INFO);
}

int main(void)
{
	lg_test_rows(
		"line", test_line, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("levels", test_levels, NULL);
	return lg_test_run(__FILE__);
}
