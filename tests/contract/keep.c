/* What checkpoints and trim promise. */
#include "contract/contract.h"

struct got {
	uint64_t seq;
	size_t len;
	char first, last;
};

static int visit_checkpoint(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	struct got *got = arg;
	const char *data = checkpoint->data;
	(void)err;
	*got = (struct got){ .seq = checkpoint->seq, .len = checkpoint->len };
	if (checkpoint->len) {
		got->first = data[0];
		got->last = data[checkpoint->len - 1];
	}
	return 0;
}

static void write_checkpoint(struct lg_log *log, uint64_t seq, const char *text)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_checkpoint checkpoint = { .seq = seq, .data = text, .len = strlen(text) };
	lg_assert_ok(lg_log_checkpoint_write(log, &checkpoint, &err), &err);
}

/* The newest at `at` must be `seq` (0: none), by find and by read. */
static void assert_newest(struct lg_log *log, uint64_t at, uint64_t seq)
{
	struct lg_error err = LG_ERROR_INIT;
	struct got got = { 0 };
	uint64_t found = 0;
	int want = seq ? 0 : LG_ENOTFOUND;
	lg_assert_code(lg_log_checkpoint_find(log, at, &found, &err), want, &err);
	assert_int_equal(found, seq);
	lg_assert_code(lg_log_checkpoint_read(log, at, visit_checkpoint, &got, &err), want, &err);
	assert_int_equal(got.seq, seq);
}

static void check_newest(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct got got = { 0 };

	lg_test_fill(f->log, 10);
	assert_newest(f->log, 10, 0);
	write_checkpoint(f->log, 7, "seven");
	write_checkpoint(f->log, 3, "three");
	assert_newest(f->log, 2, 0);
	assert_newest(f->log, 3, 3);
	assert_newest(f->log, 6, 3);
	assert_newest(f->log, 7, 7);
	assert_newest(f->log, UINT64_MAX, 7);
	lg_assert_ok(lg_log_checkpoint_read(f->log, 10, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.len, 5);
	assert_int_equal(got.first, 's');
	write_checkpoint(f->log, 7, "another");
	lg_assert_ok(lg_log_checkpoint_read(f->log, 10, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.len, 7);
	assert_int_equal(got.first, 'a');
}

static int visit_refuse(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	(void)arg;
	return lg_fail(err, LG_ECORRUPT, 0, "%zu bytes of nonsense", checkpoint->len);
}

static void check_content(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct got got = { 0 };
	size_t len = 9 * 1024 * 1024;
	char *data = calloc(1, len);

	assert_non_null(data);
	data[0] = 'x';
	data[len - 1] = 'y';
	lg_test_fill(f->log, 2);
	struct lg_log_checkpoint checkpoint = { .seq = 1, .data = data, .len = len };
	lg_assert_ok(lg_log_checkpoint_write(f->log, &checkpoint, &err), &err);
	lg_assert_ok(lg_log_checkpoint_read(f->log, 1, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.len, len);
	assert_int_equal(got.first, 'x');
	assert_int_equal(got.last, 'y');
	free(data);
	checkpoint = (struct lg_log_checkpoint){ .seq = 2 };
	lg_assert_ok(lg_log_checkpoint_write(f->log, &checkpoint, &err), &err);
	lg_assert_ok(lg_log_checkpoint_read(f->log, 2, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.seq, 2);
	assert_int_equal(got.len, 0);
	lg_assert_code(lg_log_checkpoint_read(f->log, 2, visit_refuse, NULL, &err), LG_ECORRUPT, &err);
	assert_string_equal(err.message, "0 bytes of nonsense");
}

static void check_outside(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_checkpoint checkpoint = { .data = "x", .len = 1 };

	lg_test_fill(f->log, 3);
	for (checkpoint.seq = 0; checkpoint.seq < 10; checkpoint.seq += 4)
		lg_assert_code(lg_log_checkpoint_write(f->log, &checkpoint, &err), LG_EINVALID, &err);
	assert_newest(f->log, UINT64_MAX, 0);
}

static void check_trim_refused(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t first = 0;

	lg_assert_ok(lg_log_trim(f->log, 0, &err), &err);
	lg_assert_ok(lg_log_trim(f->log, 1, &err), &err);
	lg_assert_code(lg_log_trim(f->log, 2, &err), LG_EINVALID, &err);
	lg_test_fill(f->log, 10);
	lg_assert_code(lg_log_trim(f->log, 5, &err), LG_EINVALID, &err);
	write_checkpoint(f->log, 3, "three");
	lg_assert_code(lg_log_trim(f->log, 5, &err), LG_EINVALID, &err);
	lg_assert_code(lg_log_trim(f->log, 11, &err), LG_EINVALID, &err);
	lg_assert_code(lg_log_trim(f->log, UINT64_MAX, &err), LG_EINVALID, &err);
	lg_assert_ok(lg_log_first(f->log, &first, &err), &err);
	assert_int_equal(first, 1);
	assert_int_equal(lg_test_seqs(f->log, &(struct lg_log_query){ 0 }, NULL, 0), 10);
	assert_newest(f->log, 10, 3);
}

static int visit_head(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	*(struct lg_log_head *)arg = lg_test_head_after(record);
	return 0;
}

static void assert_trimmed(struct lg_log *log, uint64_t first, uint64_t head)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t got = 0;
	struct lg_log_query changes = { .key = "web/port", .kinds = 1u << LG_KIND_CHANGE, .to = first - 1 };

	lg_assert_ok(lg_log_first(log, &got, &err), &err);
	assert_int_equal(got, first);
	assert_int_equal(lg_test_head_seq(log), head);
	assert_int_equal(lg_test_seqs(log, &(struct lg_log_query){ 0 }, NULL, 0), head - first + 1);
	assert_int_equal(lg_test_seqs(log, &changes, NULL, 0), 0);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, first, head, &err), &err);
	lg_assert_code(lg_log_verify_chain(log, first - 1, head, &err), LG_ENOTFOUND, &err);
	struct lg_log_head at;
	lg_assert_code(lg_log_get(log, first - 1, visit_head, &at, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "retention dropped"));
}

static void check_trim(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head dropped, base;

	lg_test_fill(f->log, 20);
	write_checkpoint(f->log, 4, "four");
	write_checkpoint(f->log, 9, "nine");
	write_checkpoint(f->log, 10, "ten");
	lg_assert_ok(lg_log_get(f->log, 9, visit_head, &dropped, &err), &err);
	lg_assert_ok(lg_log_trim(f->log, 10, &err), &err);
	lg_assert_ok(lg_log_base(f->log, &base, &err), &err);
	assert_memory_equal(&base, &dropped, sizeof base);
	assert_trimmed(f->log, 10, 20);
	assert_newest(f->log, 8, 0);
	assert_newest(f->log, 9, 9); /* records from 10 on continue it */
	assert_newest(f->log, 20, 10);

	lg_assert_ok(lg_log_trim(f->log, 10, &err), &err);
	lg_assert_ok(lg_log_trim(f->log, 5, &err), &err);
	assert_trimmed(f->log, 10, 20);
	lg_test_fill(f->log, 5);
	write_checkpoint(f->log, 25, "head");
	lg_assert_ok(lg_log_trim(f->log, 25, &err), &err);
	assert_trimmed(f->log, 25, 25);
	struct lg_log *other = fixture_handle(f);
	lg_test_fill(other, 2);
	assert_trimmed(f->log, 25, 27);
	lg_log_close(other);
}

const struct check keep_checks[] = {
	{ "the newest checkpoint at a seq", check_newest, false },
	{ "checkpoints large and empty", check_content, false },
	{ "checkpoints outside of the log are refused", check_outside, false },
	{ "trim: what is refused", check_trim_refused, false },
	{ "trim: what remains", check_trim, false },
	{ 0 },
};
