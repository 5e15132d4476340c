/* All problems are counted, the first thousand kept, and the error names the first. */
#include "base/problems.h"
#include "support/support.h"

static void test_none_is_no_failure(void **state)
{
	struct lg_problems problems = LG_PROBLEMS_INIT;
	assert_int_equal(lg_problems_fail(&problems, NULL, "the change"), 0);
	lg_problems_clear(&problems);
	lg_problems_clear(NULL);
	lg_problems_add(NULL, "a", "dropped");
}

static void test_one(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_problems_add(&problems, "web/port", "%d is out of range", 70000);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problems.items[0].subject, "web/port");
	assert_string_equal(problems.items[0].message, "70000 is out of range");
	assert_int_equal(lg_problems_fail(&problems, &err, "the change"), LG_EINVALID);
	assert_string_equal(err.message, "the change 'web/port': 70000 is out of range");
	lg_problems_clear(&problems);
	assert_int_equal(problems.total, 0);
}

static void test_several(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	lg_problems_add(&problems, "a", "first");
	lg_problems_add(&problems, "b", "second");
	lg_problems_add(&problems, "c", "third");
	assert_int_equal(lg_problems_fail(&problems, &err, "the change"), LG_EINVALID);
	assert_string_equal(err.message, "3 problems in the change; first: 'a': first");
	lg_problems_clear(&problems);
}

static void test_no_more_than_the_most_are_kept(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_problems problems = LG_PROBLEMS_INIT;
	for (int i = 0; i < LG_PROBLEMS_MAX + 5; i++)
		lg_problems_add(&problems, "key", "problem %d", i);
	assert_int_equal(problems.count, LG_PROBLEMS_MAX);
	assert_int_equal(problems.total, LG_PROBLEMS_MAX + 5);
	assert_string_equal(problems.items[LG_PROBLEMS_MAX - 1].message, "problem 999");
	assert_int_equal(lg_problems_fail(&problems, &err, "it"), LG_EINVALID);
	assert_string_equal(err.message, "1005 problems in it; first: 'key': problem 0");
	lg_problems_clear(&problems);
}

LG_TEST_MAIN(cmocka_unit_test(test_none_is_no_failure), cmocka_unit_test(test_one),
	cmocka_unit_test(test_several), cmocka_unit_test(test_no_more_than_the_most_are_kept))
