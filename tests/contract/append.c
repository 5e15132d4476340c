/* What append promises. */
#include "contract/contract.h"

static void check_empty(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { .seq = 99 };
	struct lg_log_gap gap;
	struct lg_log_head nothing = { 0 };
	uint64_t seq = 99;

	lg_assert_ok(lg_log_head(f->log, &head, &err), &err);
	assert_memory_equal(&head, &nothing, sizeof head);
	lg_assert_code(lg_log_gap(f->log, UINT64_MAX, &gap, &err), 0, &err);
	lg_assert_ok(lg_log_first(f->log, &seq, &err), &err);
	assert_int_equal(seq, 0);
	assert_int_equal(lg_test_seqs(f->log, &(struct lg_log_query){ 0 }, NULL, 0), 0);
	assert_int_equal(
		lg_test_seqs(f->log, &(struct lg_log_query){ .newest_first = true, .key = "a" }, NULL, 0), 0);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_check(f->log, true, &err), &err);
	seq = 99;
	lg_assert_code(lg_log_checkpoint_find(f->log, 1, &seq, &err), LG_ENOTFOUND, &err);
	assert_int_equal(seq, 99);
}

struct expectation {
	const struct lg_record *records;
	size_t count;
	size_t seen;
};

static int compare(void *arg, const struct lg_record *got, struct lg_error *err)
{
	struct expectation *e = arg;
	(void)err;
	assert_true(e->seen < e->count);
	const struct lg_record *want = &e->records[e->seen++];
	assert_int_equal(got->seq, want->seq);
	assert_memory_equal(got->id, want->id, LG_ID_SIZE);
	assert_true(got->time_us == want->time_us);
	assert_int_equal(got->kind, want->kind);
	assert_string_equal(got->actor, want->actor ? want->actor : "");
	assert_string_equal(got->reason, want->reason ? want->reason : "");
	assert_int_equal(got->body_len, want->body_len);
	assert_memory_equal(got->body, want->body ? want->body : "", want->body_len);
	assert_int_equal(got->body[got->body_len], 0);
	assert_int_equal(got->has_root, want->has_root);
	if (want->has_root)
		assert_memory_equal(got->root, want->root, LG_HASH_SIZE);
	assert_memory_equal(got->body_hash, want->body_hash, LG_HASH_SIZE);
	assert_memory_equal(got->hash, want->hash, LG_HASH_SIZE);
	assert_false(got->redacted);
	assert_null(got->keys);
	return 0;
}

static void assert_reads_back(struct lg_log *log, const struct lg_record *records, size_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	struct expectation e = { .records = records, .count = count };
	struct lg_log_query all = { .from = records[0].seq };
	lg_assert_ok(lg_log_query(log, &all, compare, &e, &err), &err);
	assert_int_equal(e.seen, count);
}

static void check_one(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 }, now;
	struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, "{\"set\":{\"a\":1}}");

	record.time_us = -62135596800000000; /* the year 1 */
	record.actor = "bob \"the\" 'builder'; DROP TABLE record;--";
	record.reason = "caf\xc3\xa9\n\xf0\x9f\x94\xa5\t\xe2\x80\xae";
	lg_test_seal(&record, &head);
	lg_assert_ok(lg_log_append(f->log, &record, 1, &head, &err), &err);
	lg_assert_ok(lg_log_head(f->log, &now, &err), &err);
	assert_int_equal(now.seq, 1);
	assert_memory_equal(now.hash, record.hash, LG_HASH_SIZE);
	uint64_t first = 0;
	lg_assert_ok(lg_log_first(f->log, &first, &err), &err);
	assert_int_equal(first, 1);
	assert_reads_back(f->log, &record, 1);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
}

static void check_absent_texts(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	struct lg_record record = lg_test_record(&head, LG_KIND_INCIDENT, "");

	record.actor = record.reason = record.body = NULL;
	lg_test_seal(&record, &head);
	lg_assert_ok(lg_log_append(f->log, &record, 1, &head, &err), &err);
	assert_reads_back(f->log, &record, 1);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
}

#define MANY 200

/* A batch of every kind in turn, chained from head on. */
static void make_many(const struct lg_log_head *head, struct lg_record records[MANY])
{
	struct lg_log_head at = *head;
	for (size_t i = 0; i < MANY; i++) {
		records[i] = lg_test_record(&at, (enum lg_kind)(i % LG_KIND_COUNT), "{}");
		lg_test_seal(&records[i], &at);
		at = lg_test_head_after(&records[i]);
	}
}

static void check_many(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	struct lg_record records[MANY];

	for (int round = 0; round < 3; round++) {
		make_many(&head, records);
		lg_assert_ok(lg_log_append(f->log, records, MANY, &head, &err), &err);
		head = lg_test_head_after(&records[MANY - 1]);
		assert_int_equal(lg_test_head_seq(f->log), (round + 1) * MANY);
		assert_reads_back(f->log, records, MANY);
	}
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
}

static void check_large_body(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	size_t len = 3 * 1024 * 1024;
	char *body = malloc(len + 1);
	assert_non_null(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i % 23);
	body[len] = '\0';
	struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, body);
	lg_test_seal(&record, &head);
	lg_assert_ok(lg_log_append(f->log, &record, 1, &head, &err), &err);
	assert_reads_back(f->log, &record, 1);
	free(body);
}

static void check_conflict(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head empty = { 0 }, head;
	struct lg_record records[2];

	lg_test_fill(f->log, 3);
	lg_assert_ok(lg_log_head(f->log, &head, &err), &err);

	/* made on the empty log, on a head in the future, and on a present of another content */
	struct lg_log_head heads[] = { empty, head, head };
	heads[1].seq += 5;
	heads[2].hash[31] ^= 1;
	for (size_t i = 0; i < 3; i++) {
		records[0] = lg_test_record(&heads[i], LG_KIND_CHANGE, "{}");
		records[0].keys = (const char *const[]){ "lost" };
		records[0].key_count = 1;
		lg_test_seal(&records[0], &heads[i]);
		struct lg_log_head after = lg_test_head_after(&records[0]);
		records[1] = lg_test_record(&after, LG_KIND_MARK, "{}");
		lg_test_seal(&records[1], &after);
		lg_assert_code(lg_log_append(f->log, records, 2, &heads[i], &err), LG_ECONFLICT, &err);
		assert_int_equal(lg_test_head_seq(f->log), 3);
	}
	struct lg_log_query lost = { .key = "lost", .kinds = 1u << LG_KIND_CHANGE };
	assert_int_equal(lg_test_seqs(f->log, &lost, NULL, 0), 0);
	assert_int_equal(lg_test_seqs(f->log, &(struct lg_log_query){ 0 }, NULL, 0), 3);
	lg_test_fill(f->log, 1);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
}

static void spoil_seq(struct lg_record *records)
{
	records[1].seq++;
}
static void spoil_first_seq(struct lg_record *records)
{
	records[0].seq++;
}
static void spoil_body(struct lg_record *records)
{
	records[1].body = "{\"x\":1}";
}
static void spoil_reason(struct lg_record *records)
{
	records[0].reason = "other";
}
static void spoil_hash(struct lg_record *records)
{
	records[1].hash[0] ^= 0x80;
}
static void spoil_order(struct lg_record *records)
{
	struct lg_record swap = records[0];
	records[0] = records[1];
	records[1] = swap;
}
static void spoil_kind(struct lg_record *records)
{
	records[1].kind = LG_KIND_COUNT;
}
static void spoil_root(struct lg_record *records)
{
	records[0].has_root = false;
	lg_record_seal(&records[0], (const uint8_t[LG_HASH_SIZE]){ 0 });
}
static void spoil_redacted(struct lg_record *records)
{
	records[0].redacted = true;
}

static void check_does_not_follow(struct fixture *f)
{
	static void (*const spoil[])(struct lg_record *) = { spoil_seq, spoil_first_seq, spoil_body,
		spoil_reason, spoil_hash, spoil_order, spoil_kind, spoil_root, spoil_redacted };
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	struct lg_record records[2];

	for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
		records[0] = lg_test_record(&head, LG_KIND_CHANGE, "{}");
		lg_test_seal(&records[0], &head);
		struct lg_log_head after = lg_test_head_after(&records[0]);
		records[1] = lg_test_record(&after, LG_KIND_CHANGE, "{}");
		records[1].body_len = 2;
		lg_test_seal(&records[1], &after);
		spoil[i](records);
		lg_assert_code(lg_log_append(f->log, records, 2, &head, &err), LG_EINTERNAL, &err);
		assert_int_equal(lg_test_head_seq(f->log), 0);
	}
	lg_assert_code(lg_log_append(f->log, records, 0, &head, &err), LG_EINTERNAL, &err);
}

static int look_at_redacted(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	assert_true(record->redacted);
	assert_int_equal(record->body_len, 0);
	assert_memory_equal(record->hash, ((struct lg_record *)arg)->hash, LG_HASH_SIZE);
	return 0;
}

/* As another log held it: what was taken out there stays out here, and the chain holds. */
static void check_copy(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	struct lg_record record = lg_test_record(&head, LG_KIND_MARK, "{\"of\":\"old\"}");
	lg_test_seal(&record, &head);
	record.redacted = true;
	record.body = "";
	record.body_len = 0;
	lg_assert_code(lg_log_append(f->log, &record, 1, &head, &err), LG_EINTERNAL, &err);
	lg_assert_ok(lg_log_copy(f->log, &record, 1, &head, &err), &err);
	lg_assert_ok(lg_log_get(f->log, 1, look_at_redacted, &record, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
	record.hash[0] ^= 1;
	lg_assert_code(lg_log_copy(f->log, &record, 1, &head, &err), LG_EINTERNAL, &err);
}

static void check_readonly(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;

	lg_test_fill(f->log, 5);
	lg_assert_ok(lg_test_checkpoint(f->log, 5, "x", 1, &err), &err);
	lg_assert_ok(fixture_open(f, &(struct lg_log_open){ .readonly = true }, &log, &err), &err);
	assert_int_equal(lg_test_head_seq(log), 5);
	lg_assert_code(lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err), LG_EREADONLY, &err);
	lg_assert_code(lg_test_checkpoint(log, 5, "x", 1, &err), LG_EREADONLY, &err);
	lg_assert_code(lg_log_checkpoint_drop(log, 5, &err), LG_EREADONLY, &err);
	lg_assert_code(lg_log_trim(log, 3, NULL, 0, &err), LG_EREADONLY, &err);
	lg_assert_code(
		lg_log_skip(log, &(struct lg_log_gap){ .first = 6, .last = 6 }, &err), LG_EREADONLY, &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_test_fill(f->log, 2);
	assert_int_equal(lg_test_head_seq(log), 7);
	lg_log_close(log);
}

static void check_open(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;

	lg_assert_code(
		fixture_open(f, &(struct lg_log_open){ .create = true, .refuse_exist = true }, &log, &err),
		LG_ECONFLICT, &err);
	assert_null(log);
	lg_test_fill(f->log, 2);
	lg_assert_ok(fixture_open(f, &(struct lg_log_open){ .create = true }, &log, &err), &err);
	assert_int_equal(lg_test_head_seq(log), 2);
	lg_log_close(log);

	struct fixture absent = *f;
	snprintf(absent.url + strlen(absent.url), 8, ".absent");
	log = NULL;
	lg_assert_code(fixture_open(&absent, &(struct lg_log_open){ 0 }, &log, &err), LG_ENOTFOUND, &err);
	assert_null(log);
}

static void check_reopen(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *other =
		f->backend->persistent ? NULL : fixture_handle(f); /* what keeps a memory log alive */

	for (int i = 1; i <= 5; i++) {
		lg_test_fill(f->log, 10);
		lg_log_close(f->log);
		f->log = fixture_handle(f);
		assert_int_equal(lg_test_head_seq(f->log), i * 10);
	}
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
	lg_log_close(other);
}

const struct check append_checks[] = {
	{ "an empty log", check_empty, false },
	{ "append one", check_one, false },
	{ "append without texts", check_absent_texts, false },
	{ "append many at once", check_many, false },
	{ "append a large body", check_large_body, false },
	{ "a conflict leaves nothing", check_conflict, false },
	{ "what does not follow is refused", check_does_not_follow, false },
	{ "copies may be redacted", check_copy, false },
	{ "a read-only handle reads and refuses to write", check_readonly, false },
	{ "open: what exists, what does not", check_open, false },
	{ "close and open again", check_reopen, false },
	{ 0 },
};
