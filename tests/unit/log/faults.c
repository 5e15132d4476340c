/* The disk fails at every operation of an append in turn, and the power at any moment: never a false success, never a false
 * "nothing was written", and what was once answered about a record stays true. */
#include "unit/log/records.h"

#include "base/cleanup.h"
#include "unit/log/faulty_vfs.h"

#include <sqlite3.h>
#include <sys/stat.h>

static const char *fresh_path(void)
{
	static unsigned count;
	char name[48];
	snprintf(name, sizeof name, "d%u", ++count);
	assert_int_equal(mkdir(lg_test_path(name), 0700), 0);
	snprintf(name, sizeof name, "d%u/log.db", count);
	return lg_test_path(name);
}

/* --- the Nth operation fails -------------------------------------------------------------------------------------------------- */

static const struct fault_row {
	const char *name;
	unsigned ops;
	int code;
	bool dead;
	size_t body_len; /* a large one moves pages into the database after the commit */
	unsigned stride; /* every operation, or a sample of many */
	int first; /* what the append returns when the first of them fails; in a large record that is before the commit */
} fault_rows[] = {
	{ "write fails", FAULTY_WRITE, SQLITE_IOERR_WRITE, false, 100, 1, LG_EUNKNOWN },
	{ "disk full", FAULTY_WRITE, SQLITE_FULL, false, 100, 1, LG_ENOSPC },
	{ "disk full for good", FAULTY_WRITE, SQLITE_FULL, true, 100, 1, LG_ENOSPC },
	{ "sync fails", FAULTY_SYNC, SQLITE_IOERR_FSYNC, false, 100, 1, LG_EUNKNOWN },
	{ "the disk dies", FAULTY_ANY, SQLITE_IOERR, true, 100, 1, LG_EUNKNOWN },
	{ "sync fails after a large record", FAULTY_SYNC, SQLITE_IOERR_FSYNC, false, 5000000, 1, LG_EUNKNOWN },
	{ "write fails in a large record", FAULTY_WRITE, SQLITE_IOERR_WRITE, false, 5000000, 397, LG_EIO },
	{ "disk full in a large record", FAULTY_WRITE, SQLITE_FULL, true, 5000000, 397, LG_ENOSPC },
	{ "anything fails in a large record", FAULTY_ANY, SQLITE_IOERR, false, 5000000, 401, LG_EIO },
};

struct outcome {
	int rc;
	bool fired;
	bool broken;  /* what fired was no full disk */
	uint64_t seq; /* head before */
	uint8_t id[LG_ID_SIZE];
};

static void append_with_fault(
	struct lg_log *log, const struct fault_row *row, unsigned nth, struct outcome *ret)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head;
	char *body = malloc(row->body_len + 1);
	assert_non_null(body);
	memset(body, 'b', row->body_len);
	body[row->body_len] = '\0';
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, body);
	lg_test_seal(&record, &head);
	faulty_vfs_arm(row->ops, nth, row->code, row->dead);
	ret->rc = lg_log_append(log, &record, 1, &head, &err);
	ret->fired = faulty_vfs_fired();
	ret->broken = ret->fired && row->code != SQLITE_FULL;
	ret->seq = head.seq;
	memcpy(ret->id, record.id, LG_ID_SIZE);
	free(body);
}

/* What the handle does after each kind of outcome; whether the record is there, for good. */
static bool judge(struct lg_log *log, const struct outcome *o)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t seq = 0;

	/* also when it fired behind the commit, while pages were moved */
	if (o->rc == LG_EUNKNOWN || (o->rc == 0 && o->broken))
		lg_assert_code(lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err), LG_EREADONLY, &err);
	faulty_vfs_arm(0, 0, 0, false);
	int found = lg_log_find_id(log, o->seq, o->id, &seq, &err);
	if (found < 0)
		fail_msg("find_id after %s: %s", lg_code_name(o->rc), err.message);
	if (o->rc == 0)
		assert_int_equal(found, 1);
	else if (o->rc != LG_EUNKNOWN)
		assert_int_equal(found, 0);
	return found == 1;
}

static bool run_fault(const struct fault_row *row, unsigned nth)
{
	struct lg_error err = LG_ERROR_INIT;
	struct outcome o;
	uint64_t seq;

	const char *path = fresh_path();
	faulty_vfs_install();
	struct lg_log *log = lg_test_open(path, true);
	lg_test_fill(log, 3);
	append_with_fault(log, row, nth, &o);
	if (!o.fired || nth == 1)
		lg_assert_code(o.rc, o.fired ? row->first : 0, &err);
	bool there = judge(log, &o);
	lg_log_close(log);

	/* the last one out: the next one rebuilds the index from what the -wal file holds */
	log = lg_test_open(path, false);
	assert_int_equal(lg_log_find_id(log, o.seq, o.id, &seq, &err), there);
	assert_int_equal(lg_test_head_seq(log), o.seq + there);
	lg_test_fill(log, 2);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_log_close(log);
	faulty_vfs_remove();
	return o.fired;
}

static void test_fault(void **state)
{
	const struct fault_row *row = *state;
	unsigned nth = 1;
	while (run_fault(row, nth))
		nth += row->stride;
	assert_true(nth > 1);
}

static void test_synced_before_success(void **state)
{
	(void)state;
	faulty_vfs_install();
	struct lg_log *log = lg_test_open(fresh_path(), true);
	lg_test_fill(log, 2);
	for (int i = 0; i < 5; i++) {
		faulty_vfs_arm(0, 0, 0, false);
		lg_test_fill(log, 1);
		assert_int_equal(faulty_vfs_count(FAULTY_SYNC), 1);
		assert_true(faulty_vfs_count(FAULTY_WRITE) > 0);
	}
	/* closing leaves the work to others */
	faulty_vfs_arm(0, 0, 0, false);
	lg_log_close(log);
	assert_int_equal(faulty_vfs_count(FAULTY_SYNC) + faulty_vfs_count(FAULTY_WRITE), 0);
	faulty_vfs_remove();
}

/* --- the power fails ------------------------------------------------------------------------------------------------------------ */

#define CUTS    60
#define LONGEST 24

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

struct ids {
	uint8_t id[LONGEST][LG_ID_SIZE];
	size_t acknowledged;
	size_t seen;
};

/* Appends until the power fails; some records are large enough to have pages moved into the database. */
static void append_until_cut(struct lg_log *log, uint64_t *random, struct ids *ids)
{
	static char body[2000001];
	memset(body, 'b', sizeof body - 1);
	for (size_t i = 0; i < LONGEST; i++) {
		struct lg_log_head head;
		if (lg_log_head(log, &head, NULL) < 0)
			return;
		struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, "");
		record.body = body;
		record.body_len = next_random(random) % 4 ? next_random(random) % 5000 : 2000000;
		lg_test_seal(&record, &head);
		memcpy(ids->id[i], record.id, LG_ID_SIZE);
		if (lg_log_append(log, &record, 1, &head, NULL) < 0)
			return;
		ids->acknowledged = i + 1;
	}
}

static int match_id(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct ids *ids = arg;
	(void)err;
	assert_true(ids->seen < LONGEST);
	assert_memory_equal(record->id, ids->id[ids->seen], LG_ID_SIZE);
	ids->seen++;
	return 0;
}

static void test_power_cut(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	size_t lost = 0, kept = 0;
	(void)state;

	for (unsigned cut = 0; cut < CUTS; cut++) {
		uint64_t random = 1000 + cut;
		struct ids ids = { .acknowledged = 0 };
		faulty_vfs_install();
		struct lg_log *log = lg_test_open(fresh_path(), true);
		faulty_vfs_arm(
			FAULTY_ANY, 1 + next_random(&random) % (cut % 2 ? 60 : 4000), SQLITE_IOERR, true);
		append_until_cut(log, &random, &ids);
		const char *after = fresh_path();
		faulty_vfs_power_cut(after, random);
		lg_log_close(log);
		faulty_vfs_remove();

		log = lg_test_open(after, false);
		lg_assert_ok(lg_log_query(log, &(struct lg_log_query){ 0 }, match_id, &ids, &err), &err);
		/* all that was acknowledged, and at most the one that was on its way */
		assert_true(ids.seen == ids.acknowledged || ids.seen == ids.acknowledged + 1);
		lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
		lg_assert_ok(lg_log_check(log, true, &err), &err);
		lg_test_fill(log, 1);
		lg_log_close(log);
		kept += ids.seen;
		lost += ids.seen == ids.acknowledged;
	}
	assert_true(kept > CUTS && lost > 0);
}

int main(void)
{
	lg_test_add("every append is synced, no close is", test_synced_before_success, NULL);
	lg_test_rows("fault", test_fault, fault_rows, sizeof fault_rows / sizeof *fault_rows,
		sizeof *fault_rows, offsetof(struct fault_row, name));
	lg_test_add("the power fails", test_power_cut, NULL);
	return lg_test_run("log_faults");
}
