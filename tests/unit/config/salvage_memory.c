/* Every allocation of a salvage fails once, the 1st, the 2nd, … until a run in which none does: it says LG_ENOMEM, or went on
 * without it, and under ASan nothing leaks.  On a log in memory, since what is asked here has nothing to do with the disk. */
#include "config/salvage.h"
#include "config/store.h"
#include "support/allocation.h"

#include "io/file.h"
#include "model/value.h"

#include <sqlite3.h>

static const char *damaged;

static void make_damaged(void)
{
	struct lg_error err = LG_ERROR_INIT;
	damaged = store_new();
	struct lg_config *config = store_open(damaged);
	store_set(config, "a", "1");
	store_set(config, "b", "2", "c", "3");
	lg_assert_ok(store_mark(config, "good", 2, NULL, &err), &err);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	store_set(config, "a", "4");
	store_set(config, "c", "5");
	store_go_back(config, 1, "a", NULL);
	lg_config_close(config);
	/* r5 loses its body's truth: the record is there, and does not hold */
	lg_autofree char *path = lg_path_join(damaged, "log.db");
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				 "UPDATE record SET body = '{}' WHERE seq = 5; PRAGMA "
				 "wal_checkpoint(TRUNCATE)",
				 NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
}

static int run(json_t **ret_report, struct lg_error *err)
{
	const struct lg_config_salvage options = { .from = damaged, .clock = &store_clock.clock };
	return lg_config_salvage(&options, ret_report, err);
}

static void test_every_allocation(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *whole = NULL;
	unsigned failed = 0;
	lg_assert_ok(run(&whole, &err), &err);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(whole, "records"), "proven")), 5);
	for (long nth = 0;; nth++) {
		lg_cleanup(lg_json_freep) json_t *report = NULL;
		fired = false;
		until_failure = nth;
		int rc = run(&report, &err);
		until_failure = -1;
		if (rc < 0 && rc != LG_ENOMEM)
			fail_msg("allocation %ld: %s", nth, err.message);
		if (rc < 0)
			assert_null(report);
		failed += rc < 0;
		if (!fired)
			break;
	}
	assert_true(failed > 100);
}

int main(void)
{
	store_init();
	make_damaged();
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation) };
	return lg_test_main(__FILE__, tests, 1);
}
