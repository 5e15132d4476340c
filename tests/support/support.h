/* support.h - what every cmocka test of lastgood includes.
 *
 *	static void test_thing(void **state) { … }
 *	LG_TEST_MAIN(cmocka_unit_test(test_thing), …)
 *
 * Output is TAP, so that each test function counts on its own.  For table-driven tests use lg_test_rows: each row is
 * reported as its own test.
 */
#ifndef LG_TESTS_SUPPORT_H
#define LG_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int lg_test_main(const char *name, const struct CMUnitTest *tests, size_t count);
#define LG_TEST_MAIN(...)                                                                                      \
	int main(void)                                                                                         \
	{                                                                                                      \
		const struct CMUnitTest tests[] = { __VA_ARGS__ };                                             \
		return lg_test_main(__FILE__, tests, sizeof tests / sizeof *tests);                            \
	}

/* A program whose tests are collected at run time: add fixed tests and rows, then run. */
void lg_test_add(const char *name, CMUnitTestFunction function, void *initial_state);
/* One test per row, called with *state = &rows[i]; name_offset: where in a row its const char *name is. */
void lg_test_rows(const char *group, CMUnitTestFunction function, const void *rows, size_t count,
	size_t row_size, size_t name_offset);
int lg_test_run(const char *name);

/* A fresh directory (0700) below $TMPDIR, removed with everything in it when the process ends normally. */
const char *lg_test_dir(void);
/* lg_test_dir()/name; lives until the end of the process */
const char *lg_test_path(const char *name);
void lg_test_write(const char *path, const void *data, size_t len);
char *lg_test_read(const char *path, size_t *ret_len); /* NULL when absent; caller frees */

/* Fails with the error's message unless rc is what is expected. */
#define lg_assert_ok(expression, err)                                                                          \
	do {                                                                                                   \
		int lg_rc_ = (expression);                                                                     \
		if (lg_rc_ < 0)                                                                                \
			fail_msg("%s: %s (%s)", #expression, (err)->message, lg_code_name(lg_rc_));            \
	} while (0)
#define lg_assert_code(expression, want, err)                                                                  \
	do {                                                                                                   \
		int lg_rc_ = (expression);                                                                     \
		if (lg_rc_ != (want))                                                                          \
			fail_msg("%s: %s instead of %s (%s)", #expression, lg_code_name(lg_rc_),               \
				lg_code_name(want), (err)->message);                                           \
	} while (0)

#endif
