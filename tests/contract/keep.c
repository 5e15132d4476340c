/* What checkpoints and trim promise. */
#include "contract/contract.h"

#include "base/buf.h"

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
	lg_assert_ok(lg_test_checkpoint(log, seq, text, strlen(text), &err), &err);
}

/* The newest at `at` must be `seq` (0: none), by find, and that one can be read. */
static void assert_newest(struct lg_log *log, uint64_t at, uint64_t seq)
{
	struct lg_error err = LG_ERROR_INIT;
	struct got got = { 0 };
	uint64_t found = 0;
	int want = seq ? 0 : LG_ENOTFOUND;
	lg_assert_code(lg_log_checkpoint_find(log, at, &found, &err), want, &err);
	assert_int_equal(found, seq);
	lg_assert_code(lg_log_checkpoint_read(log, seq ? seq : at, visit_checkpoint, &got, &err), want, &err);
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
	lg_assert_ok(lg_log_checkpoint_read(f->log, 7, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.len, 5);
	assert_int_equal(got.first, 's');
	write_checkpoint(f->log, 7, "another");
	lg_assert_ok(lg_log_checkpoint_read(f->log, 7, visit_checkpoint, &got, &err), &err);
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
	lg_assert_ok(lg_test_checkpoint(f->log, 1, data, len, &err), &err);
	lg_assert_ok(lg_log_checkpoint_read(f->log, 1, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.len, len);
	assert_int_equal(got.first, 'x');
	assert_int_equal(got.last, 'y');
	free(data);
	lg_assert_ok(lg_test_checkpoint(f->log, 2, NULL, 0, &err), &err);
	lg_assert_ok(lg_log_checkpoint_read(f->log, 2, visit_checkpoint, &got, &err), &err);
	assert_int_equal(got.seq, 2);
	assert_int_equal(got.len, 0);
	lg_assert_code(lg_log_checkpoint_read(f->log, 2, visit_refuse, NULL, &err), LG_ECORRUPT, &err);
	assert_string_equal(err.message, "0 bytes of nonsense");
}

static void check_outside(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_checkpoint checkpoint = { .data = "x", .len = 1, .hash = { 1 } };

	lg_test_fill(f->log, 3);
	lg_assert_code(lg_log_checkpoint_write(f->log, &checkpoint, &err), LG_EINVALID, &err);
	for (checkpoint.seq = 2; checkpoint.seq < 10;
		checkpoint.seq += 4) /* of another history, not yet there */
		lg_assert_ok(lg_log_checkpoint_write(f->log, &checkpoint, &err), &err);
	assert_newest(f->log, UINT64_MAX, 0);
	write_checkpoint(f->log, 1, "one");
	assert_newest(f->log, UINT64_MAX, 1);
}

static void check_drop(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;

	lg_assert_ok(lg_log_checkpoint_drop(f->log, 3, &err), &err);
	lg_test_fill(f->log, 9);
	for (uint64_t seq = 3; seq <= 9; seq += 3)
		write_checkpoint(f->log, seq, "x");
	lg_assert_ok(lg_log_checkpoint_drop(f->log, 6, &err), &err);
	assert_newest(f->log, 8, 3);
	assert_newest(f->log, 9, 9);
	lg_assert_ok(lg_log_checkpoint_drop(f->log, 9, &err), &err);
	assert_newest(f->log, 9, 3);
}

static void check_trim_refused(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t first = 0;

	lg_assert_ok(lg_log_trim(f->log, 0, NULL, 0, &err), &err);
	lg_assert_ok(lg_log_trim(f->log, 1, NULL, 0, &err), &err);
	lg_assert_code(lg_log_trim(f->log, 2, NULL, 0, &err), LG_EINVALID, &err);
	lg_test_fill(f->log, 10);
	lg_assert_code(lg_log_trim(f->log, 5, NULL, 0, &err), LG_EINVALID, &err);
	write_checkpoint(f->log, 3, "three");
	lg_assert_code(lg_log_trim(f->log, 5, NULL, 0, &err), LG_EINVALID, &err);
	lg_assert_code(lg_log_trim(f->log, 11, NULL, 0, &err), LG_EINVALID, &err);
	lg_assert_code(lg_log_trim(f->log, UINT64_MAX, NULL, 0, &err), LG_EINVALID, &err);
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
	struct lg_log_head dropped;
	struct lg_log_gap gap;

	lg_test_fill(f->log, 20);
	write_checkpoint(f->log, 4, "four");
	write_checkpoint(f->log, 9, "nine");
	write_checkpoint(f->log, 10, "ten");
	lg_assert_ok(lg_log_get(f->log, 9, visit_head, &dropped, &err), &err);
	lg_assert_ok(lg_log_trim(f->log, 10, NULL, 0, &err), &err);
	lg_assert_code(lg_log_gap(f->log, UINT64_MAX, &gap, &err), 1, &err);
	assert_int_equal(gap.first, 1);
	assert_int_equal(gap.last, dropped.seq);
	assert_memory_equal(gap.hash, dropped.hash, LG_HASH_SIZE);
	assert_int_equal(gap.reason, LG_GAP_RETENTION);
	assert_trimmed(f->log, 10, 20);
	assert_newest(f->log, 8, 0);
	assert_newest(f->log, 9, 9); /* records from 10 on continue it */
	assert_newest(f->log, 20, 10);

	lg_assert_ok(lg_log_trim(f->log, 10, NULL, 0, &err), &err);
	lg_assert_ok(lg_log_trim(f->log, 5, NULL, 0, &err), &err);
	assert_trimmed(f->log, 10, 20);
	lg_test_fill(f->log, 5);
	write_checkpoint(f->log, 25, "head");
	lg_assert_ok(lg_log_trim(f->log, 25, NULL, 0, &err), &err);
	assert_trimmed(f->log, 25, 25);
	struct lg_log *other = fixture_handle(f);
	lg_test_fill(other, 2);
	assert_trimmed(f->log, 25, 27);
	lg_log_close(other);
}

/* The gaps, newest first, as "first-last first-last". */
static void assert_gaps(struct lg_log *log, const char *want)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf got = LG_BUF_INIT;
	struct lg_log_gap gap = { 0 };
	for (uint64_t at = UINT64_MAX; lg_log_gap(log, at, &gap, &err) == 1; at = gap.first - 1)
		lg_buf_addf(&got, "%s%d-%d", got.len ? " " : "", (int)gap.first, (int)gap.last);
	assert_string_equal(lg_buf_str(&got), want);
	lg_buf_clear(&got);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
}

static void check_trim_keep(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head at;

	lg_test_fill(f->log, 30);
	for (uint64_t seq = 5; seq <= 30; seq += 5)
		write_checkpoint(f->log, seq, "x");
	lg_assert_ok(lg_log_trim(f->log, 18, (uint64_t[]){ 1, 5, 10, 11, 25 }, 5, &err), &err);
	assert_gaps(f->log, "12-17 6-9 2-4");
	assert_newest(f->log, 19, 10); /* 15 is dropped: it is not kept, and lies before 17 */
	assert_newest(f->log, 9, 5);
	assert_int_equal(lg_test_seqs(f->log, &(struct lg_log_query){ 0 }, NULL, 0), 4 + 13);
	lg_assert_ok(lg_log_get(f->log, 10, visit_head, &at, &err), &err);
	lg_assert_code(lg_log_get(f->log, 9, visit_head, &at, &err), LG_ENOTFOUND, &err);
	lg_assert_ok(lg_log_has(f->log, 10, 11, &err), &err);
	lg_assert_code(lg_log_has(f->log, 10, 12, &err), LG_ENOTFOUND, &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 10, 11, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 11, 20, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 18, 0, &err), &err);

	/* what is kept no longer goes, and its gaps become one */
	lg_assert_ok(lg_log_trim(f->log, 18, (uint64_t[]){ 5 }, 1, &err), &err);
	assert_gaps(f->log, "6-17 1-4");
	assert_newest(f->log, 19, 5);
	lg_assert_ok(lg_log_trim(f->log, 30, (uint64_t[]){ 20, 29 }, 2, &err), &err);
	assert_gaps(f->log, "21-28 1-19");
	struct lg_log_query changes = { .key = "web/port", .kinds = 1u << LG_KIND_CHANGE };
	assert_int_equal(lg_test_seqs(f->log, &changes, NULL, 0),
		lg_test_seqs(f->log, &(struct lg_log_query){ .kinds = 1u << LG_KIND_CHANGE }, NULL, 0));
	lg_assert_code(lg_log_trim(f->log, 30, (uint64_t[]){ 5, 5 }, 2, &err), LG_EINTERNAL, &err);
}

/* What retention keeps, over several thousand records and transactions. */
static void check_trim_large(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_record records[500];
	for (size_t n = 0; n < 20; n++) {
		struct lg_log_head at;
		lg_assert_ok(lg_log_head(f->log, &at, &err), &err);
		struct lg_log_head head = at;
		for (size_t i = 0; i < 500; i++) {
			static const char *const keys[] = { "a/b", "c" };
			records[i] = lg_test_record(&at, LG_KIND_CHANGE, "{}");
			records[i].keys = keys;
			records[i].key_count = 1 + i % 2;
			lg_test_seal(&records[i], &at);
			at = lg_test_head_after(&records[i]);
		}
		lg_assert_ok(lg_log_append(f->log, records, 500, &head, &err), &err);
	}
	struct lg_log_query key = { .key = "c", .kinds = 1u << LG_KIND_CHANGE };
	assert_int_equal(lg_test_seqs(f->log, &key, NULL, 0), 5000);
	key.key = "a/";
	assert_int_equal(lg_test_seqs(f->log, &key, NULL, 0), 10000);
	write_checkpoint(f->log, 9900, "x");
	lg_assert_ok(lg_log_trim(f->log, 9901, (uint64_t[]){ 6000 }, 1, &err), &err);
	assert_gaps(f->log, "6001-9900 1-5999");
	assert_int_equal(lg_test_seqs(f->log, &key, NULL, 0), 101);
	key.key = "c";
	assert_int_equal(lg_test_seqs(f->log, &key, NULL, 0), 51);
	assert_newest(f->log, 10000, 9900);
}

static void check_skip(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_gap gap = { .first = 5, .last = 9, .hash = { 7 }, .reason = LG_GAP_LOST };
	struct lg_log_head lost = { .seq = 9, .hash = { 7 } }, at;

	lg_test_fill(f->log, 3);
	struct lg_record record = lg_test_record(&lost, LG_KIND_MARK, "{}");
	lg_test_seal(&record, &lost);
	lg_assert_code(lg_log_append(f->log, &record, 1, &lost, &err), LG_ECONFLICT, &err);
	lg_assert_ok(lg_log_skip(f->log, &gap, &err), &err);
	lg_assert_code(lg_log_append(f->log, &record, 1, &lost, &err), LG_EINVALID, &err);
	gap.first = 4;
	lg_assert_ok(lg_log_skip(f->log, &gap, &err), &err);
	assert_int_equal(lg_test_head_seq(f->log), 3);
	lg_assert_ok(lg_log_append(f->log, &record, 1, &lost, &err), &err);
	assert_int_equal(lg_test_head_seq(f->log), 10);
	lg_test_fill(f->log, 2);
	assert_gaps(f->log, "4-9");
	lg_assert_code(lg_log_get(f->log, 9, visit_head, &at, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "lost"));
	lg_assert_code(
		lg_log_skip(f->log, &(struct lg_log_gap){ .first = 2, .last = 1 }, &err), LG_EINTERNAL, &err);

	/* what is lost becomes part of what retention drops */
	write_checkpoint(f->log, 11, "x");
	lg_assert_ok(lg_log_trim(f->log, 11, NULL, 0, &err), &err);
	assert_gaps(f->log, "1-10");
}

const struct check keep_checks[] = {
	{ "the newest checkpoint at a seq", check_newest, false },
	{ "checkpoints large and empty", check_content, false },
	{ "checkpoints of another history are not found", check_outside, false },
	{ "a checkpoint is dropped", check_drop, false },
	{ "trim: what is refused", check_trim_refused, false },
	{ "trim: what remains", check_trim, false },
	{ "trim: what is kept", check_trim_keep, false },
	{ "trim: thousands of records", check_trim_large, false },
	{ "skip: lost records", check_skip, false },
	{ 0 },
};
