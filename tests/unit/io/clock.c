/* The system's clocks go forward; the simulated one does exactly what it is told. */
#include "io/clock.h"
#include "support/support.h"

#include "nth.h"

#include <ctype.h>
#include <errno.h>
#include <unistd.h>

static void test_system_goes_forward(void **state)
{
	const struct lg_clock *clock = lg_clock_system();
	int64_t last = clock->boottime_ns(clock);
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock->boottime_ns(clock);
		assert_true(now >= last);
		last = now;
	}
	assert_true(clock->realtime_us(clock) > 1700000000000000);
	clock->sleep_ns(clock, 2000000);
	assert_true(clock->boottime_ns(clock) - last >= 2000000);
	clock->sleep_ns(clock, 0);
	clock->sleep_ns(clock, -5);
}

static void test_sim_stands_still(void **state)
{
	struct lg_clock_sim sim;
	lg_clock_sim_init(&sim, 1000, 5000);
	const struct lg_clock *clock = &sim.clock;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(clock->realtime_us(clock), 1000);
		assert_int_equal(clock->boottime_ns(clock), 5000);
	}
}

static void test_sim_advances_both(void **state)
{
	struct lg_clock_sim sim;
	lg_clock_sim_init(&sim, 1000, 5000);
	const struct lg_clock *clock = &sim.clock;
	lg_clock_sim_advance(&sim, 7000000);
	assert_int_equal(clock->realtime_us(clock), 8000);
	assert_int_equal(clock->boottime_ns(clock), 7005000);
	clock->sleep_ns(clock, 60000000000);
	assert_int_equal(clock->realtime_us(clock), 60008000);
	assert_int_equal(clock->boottime_ns(clock), 60007005000);
	lg_clock_sim_advance(&sim, 0);
	lg_clock_sim_advance(&sim, -1);
	assert_int_equal(clock->boottime_ns(clock), 60007005000);
}

static void test_sim_small_steps_add_up(void **state)
{
	struct lg_clock_sim sim;
	lg_clock_sim_init(&sim, 0, 0);
	for (int i = 0; i < 4000; i++)
		lg_clock_sim_advance(&sim, 250);
	assert_int_equal(sim.clock.boottime_ns(&sim.clock), 1000000);
	assert_int_equal(sim.clock.realtime_us(&sim.clock), 1000);
}

static void test_boot_id(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	char first[LG_BOOT_ID_SIZE], second[LG_BOOT_ID_SIZE];
	lg_assert_ok(lg_boot_id(first, &err), &err);
	lg_assert_ok(lg_boot_id(second, &err), &err);
	assert_int_equal(strlen(first), 36);
	assert_string_equal(first, second);
	for (size_t i = 0; i < 36; i++)
		assert_true(isxdigit((unsigned char)first[i]) || first[i] == '-');
}

static void test_boot_id_faults(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth); runs++) {
		struct lg_error err = LG_ERROR_INIT;
		char id[LG_BOOT_ID_SIZE] = "untouched";
		int rc = lg_boot_id(id, &err);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_EIO : 0);
		assert_int_equal(strcmp(id, "untouched") == 0, nth.fired);
	}
	assert_int_equal(runs, 3);
}

LG_TEST_MAIN(cmocka_unit_test(test_system_goes_forward), cmocka_unit_test(test_sim_stands_still),
	cmocka_unit_test(test_sim_advances_both), cmocka_unit_test(test_sim_small_steps_add_up),
	cmocka_unit_test(test_boot_id), cmocka_unit_test(test_boot_id_faults))
