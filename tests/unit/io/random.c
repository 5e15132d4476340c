/* Unguessable unless seeded; seeded, the same every time. */
#include "io/random.h"
#include "support/support.h"

static void test_system_source_differs(void **state)
{
	uint8_t zero[32] = { 0 }, first[32] = { 0 }, second[32] = { 0 };
	lg_random_seed_for_tests(0);
	lg_random_bytes(first, sizeof first);
	lg_random_bytes(second, sizeof second);
	assert_memory_not_equal(first, zero, sizeof zero);
	assert_memory_not_equal(first, second, sizeof first);
}

static void test_no_byte_beyond_the_length(void **state)
{
	for (uint64_t seed = 0; seed < 2; seed++)
		for (size_t len = 0; len < 40; len++) {
			uint8_t data[48];
			memset(data, 0xa5, sizeof data);
			lg_random_seed_for_tests(seed);
			lg_random_bytes(data, len);
			for (size_t i = len; i < sizeof data; i++)
				assert_int_equal(data[i], 0xa5);
		}
	lg_random_seed_for_tests(0);
}

static void test_large(void **state)
{
	size_t size = 1000003, counts[256] = { 0 };
	uint8_t *data = calloc(1, size);
	assert_non_null(data);
	lg_random_bytes(data, size);
	for (size_t i = 0; i < size; i++)
		counts[data[i]]++;
	for (int i = 0; i < 256;
		i++) /* 3,906 expected, 62 the deviation: 16 of them off is broken, not bad luck */
		assert_in_range(counts[i], 2900, 4900);
	free(data);
}

static void test_seed_repeats(void **state)
{
	uint8_t first[100], second[100], other[100];
	lg_random_seed_for_tests(42);
	lg_random_bytes(first, sizeof first);
	lg_random_seed_for_tests(42);
	lg_random_bytes(second, sizeof second);
	lg_random_seed_for_tests(43);
	lg_random_bytes(other, sizeof other);
	lg_random_seed_for_tests(0);
	assert_memory_equal(first, second, sizeof first);
	assert_memory_not_equal(first, other, sizeof first);
	assert_memory_not_equal(first, first + 50, 50);
}

static void test_seed_zero_returns_to_the_system(void **state)
{
	uint8_t first[32], second[32];
	for (int i = 0; i < 2; i++) {
		lg_random_seed_for_tests(42);
		lg_random_seed_for_tests(0);
		lg_random_bytes(i ? second : first, sizeof first);
	}
	assert_memory_not_equal(first, second, sizeof first);
}

LG_TEST_MAIN(cmocka_unit_test(test_system_source_differs), cmocka_unit_test(test_no_byte_beyond_the_length),
	cmocka_unit_test(test_large), cmocka_unit_test(test_seed_repeats),
	cmocka_unit_test(test_seed_zero_returns_to_the_system))
