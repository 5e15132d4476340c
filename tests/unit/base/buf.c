/* Appends, growth, failure that can be checked once at the end, and what is handed out. */
#include "base/buf.h"
#include "support/support.h"

static void test_empty(void **state)
{
	struct lg_buf buf = LG_BUF_INIT;
	assert_string_equal(lg_buf_str(&buf), "");
	assert_int_equal(lg_buf_check(&buf, NULL), 0);
	lg_buf_clear(&buf);
	lg_buf_clear(NULL);
}

static void test_appends_and_terminates(void **state)
{
	struct lg_buf buf = LG_BUF_INIT;
	assert_int_equal(lg_buf_add(&buf, "a\0b", 3), 0);
	assert_int_equal(lg_buf_adds(&buf, "cd"), 0);
	assert_int_equal(lg_buf_addc(&buf, 'e'), 0);
	assert_int_equal(lg_buf_addf(&buf, "-%d-%s", 42, "f"), 0);
	assert_int_equal(lg_buf_add(&buf, NULL, 0), 0);
	assert_int_equal(buf.len, 11);
	assert_memory_equal(buf.data, "a\0bcde-42-f", 12);
	lg_buf_clear(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
}

/* One byte at a time over several doublings: the content is the same as in one piece. */
static void test_growth_keeps_content(void **state)
{
	struct lg_buf buf = LG_BUF_INIT;
	for (size_t i = 0; i < 5000; i++) {
		assert_int_equal(lg_buf_addc(&buf, (char)('a' + i % 26)), 0);
		assert_int_equal(buf.len, i + 1);
		assert_true(buf.size > buf.len);
		assert_int_equal(buf.data[buf.len], '\0');
	}
	for (size_t i = 0; i < 5000; i++)
		assert_int_equal(buf.data[i], 'a' + i % 26);
	lg_buf_clear(&buf);
}

/* Exactly as much as was reserved fits without another allocation. */
static void test_reserve(void **state)
{
	for (size_t more = 0; more < 300; more++) {
		struct lg_buf buf = LG_BUF_INIT;
		lg_buf_adds(&buf, "abc");
		assert_int_equal(lg_buf_reserve(&buf, more), 0);
		assert_true(buf.size - buf.len > more);
		assert_string_equal(buf.data, "abc");
		lg_buf_clear(&buf);
	}
}

static void test_impossible_size_fails_and_keeps(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf, "kept");
	assert_int_equal(lg_buf_reserve(&buf, SIZE_MAX), LG_ENOMEM);
	assert_int_equal(lg_buf_reserve(&buf, SIZE_MAX - 3), LG_ENOMEM);
	assert_int_equal(lg_buf_reserve(&buf, SIZE_MAX / 2), LG_ENOMEM);
	assert_int_equal(lg_buf_add(&buf, "x", SIZE_MAX - 1), LG_ENOMEM);
	assert_string_equal(lg_buf_str(&buf), "kept");
	assert_int_equal(buf.len, 4);
	assert_int_equal(lg_buf_check(&buf, &err), LG_ENOMEM);
	assert_int_equal(err.code, LG_ENOMEM);
	assert_null(lg_buf_steal(&buf));
	lg_buf_reset(&buf);
	assert_int_equal(lg_buf_check(&buf, &err), 0);
	assert_string_equal(lg_buf_str(&buf), "");
	lg_buf_clear(&buf);
}

static void test_steal(void **state)
{
	struct lg_buf buf = LG_BUF_INIT;
	char *empty = lg_buf_steal(&buf);
	assert_string_equal(empty, "");
	free(empty);
	lg_buf_adds(&buf, "mine");
	char *text = lg_buf_steal(&buf);
	assert_string_equal(text, "mine");
	free(text);
	assert_null(buf.data);
	assert_int_equal(buf.size, 0);
}

static void test_long_format(void **state)
{
	struct lg_buf buf = LG_BUF_INIT;
	assert_int_equal(lg_buf_addf(&buf, "%5000d", 7), 0);
	assert_int_equal(buf.len, 5000);
	assert_int_equal(buf.data[4999], '7');
	lg_buf_clear(&buf);
}

LG_TEST_MAIN(cmocka_unit_test(test_empty), cmocka_unit_test(test_appends_and_terminates),
	cmocka_unit_test(test_growth_keeps_content), cmocka_unit_test(test_reserve),
	cmocka_unit_test(test_impossible_size_fails_and_keeps), cmocka_unit_test(test_steal),
	cmocka_unit_test(test_long_format))
