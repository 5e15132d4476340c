/* The hash of a record is a format: the values here were computed by another implementation (Python's hashlib.blake2b over
 * the bytes that record.h lists), and must never change. */
#include "support/support.h"

#include "base/text.h"
#include "model/record.h"

static const uint8_t zeros[LG_HASH_SIZE];

static struct lg_record make_record(void)
{
	struct lg_record record = {
		.seq = 1,
		.time_us = 1795392185123456,
		.kind = LG_KIND_CHANGE,
		.actor = "alice",
		.reason = "why",
		.body = "{\"set\":{\"a\":1}}",
		.body_len = 15,
		.has_root = true,
	};
	for (size_t i = 0; i < LG_ID_SIZE; i++)
		record.id[i] = (uint8_t)i;
	for (size_t i = 0; i < LG_HASH_SIZE; i++)
		record.root[i] = (uint8_t)(100 + i);
	return record;
}

static void assert_hash(const uint8_t hash[LG_HASH_SIZE], const char *want)
{
	char text[2 * LG_HASH_SIZE + 1];
	lg_hex_encode(hash, LG_HASH_SIZE, text);
	assert_string_equal(text, want);
}

static void test_known_hashes(void **state)
{
	(void)state;
	struct lg_record first = make_record();
	lg_record_seal(&first, zeros);
	assert_hash(first.body_hash, "39f62a96346727c91748e35271b97abc2d05a6b7dad3eaf8abb341b780aa3481");
	assert_hash(first.hash, "d58f18538cb496fe6b6b862eaf5fb09f0da6871264505a89ff08b93815a865d9");

	struct lg_record second = { .seq = 2, .time_us = -1, .kind = LG_KIND_MARK };
	for (size_t i = 0; i < LG_ID_SIZE; i++)
		second.id[i] = (uint8_t)(LG_ID_SIZE - 1 - i);
	lg_record_seal(&second, first.hash);
	assert_hash(second.body_hash, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
	assert_hash(second.hash, "252eb01ea6f88541494ebe5c4711044c85b802f3021a9eaa4f25148be93e9357");
	second.actor = second.reason = second.body = "";
	struct lg_record same = second;
	lg_record_seal(&same, first.hash);
	assert_memory_equal(same.hash, second.hash, LG_HASH_SIZE);
}

/* --- each field counts ---------------------------------------------------------------------------------------------------- */

static void alter_seq(struct lg_record *r)
{
	r->seq ^= 1ull << 63;
}
static void alter_id(struct lg_record *r)
{
	r->id[LG_ID_SIZE - 1] ^= 1;
}
static void alter_time(struct lg_record *r)
{
	r->time_us++;
}
static void alter_kind(struct lg_record *r)
{
	r->kind = LG_KIND_RESTORE;
}
static void alter_actor(struct lg_record *r)
{
	r->actor = "Alice";
}
static void alter_reason(struct lg_record *r)
{
	r->reason = "";
}
static void alter_border(struct lg_record *r)
{
	r->actor = "alicew";
	r->reason = "hy";
}
static void alter_body(struct lg_record *r)
{
	r->body = "{\"set\":{\"a\":2}}";
}
static void alter_body_len(struct lg_record *r)
{
	r->body_len--;
}
static void alter_flag(struct lg_record *r)
{
	r->has_root = false;
}
static void alter_root(struct lg_record *r)
{
	r->root[0] ^= 0x80;
}

static const struct field_row {
	const char *name;
	void (*alter)(struct lg_record *);
} field_rows[] = {
	{ "seq", alter_seq },
	{ "id", alter_id },
	{ "time", alter_time },
	{ "kind", alter_kind },
	{ "actor", alter_actor },
	{ "reason", alter_reason },
	{ "a byte from the reason to the actor", alter_border },
	{ "body", alter_body },
	{ "length of the body", alter_body_len },
	{ "whether there is a root", alter_flag },
	{ "root", alter_root },
};

static void test_field(void **state)
{
	const struct field_row *row = *state;
	struct lg_record former = make_record(), altered = make_record();
	lg_record_seal(&former, zeros);
	row->alter(&altered);
	lg_record_seal(&altered, zeros);
	assert_memory_not_equal(former.hash, altered.hash, LG_HASH_SIZE);
}

static void test_previous(void **state)
{
	(void)state;
	uint8_t other[LG_HASH_SIZE] = { [31] = 1 };
	struct lg_record a = make_record(), b = make_record();
	lg_record_seal(&a, zeros);
	lg_record_seal(&b, other);
	assert_memory_equal(a.body_hash, b.body_hash, LG_HASH_SIZE);
	assert_memory_not_equal(a.hash, b.hash, LG_HASH_SIZE);
}

static void test_check(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_record record = make_record();
	lg_record_seal(&record, zeros);
	lg_assert_ok(lg_record_check(&record, 0, zeros, &err), &err);
	lg_assert_code(lg_record_check(&record, 1, zeros, &err), LG_ECORRUPT, &err);
	assert_non_null(strstr(err.message, "record 2 is missing"));

	struct lg_record altered = record;
	altered.body = "{\"set\":{\"a\":2}}";
	lg_assert_code(lg_record_check(&altered, 0, zeros, &err), LG_ECORRUPT, &err);
	assert_non_null(strstr(err.message, "the body of record 1"));

	altered = record;
	altered.reason = "other";
	lg_assert_code(lg_record_check(&altered, 0, zeros, &err), LG_ECORRUPT, &err);
	assert_non_null(strstr(err.message, "does not hold at record 1"));
}

static void test_redacted(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_record record = make_record();
	lg_record_seal(&record, zeros);
	record.body = "";
	record.body_len = 0;
	lg_assert_code(lg_record_check(&record, 0, zeros, &err), LG_ECORRUPT, &err);
	record.redacted = true;
	lg_assert_ok(lg_record_check(&record, 0, zeros, &err), &err);
	record.body_hash[0] ^= 1;
	lg_assert_code(lg_record_check(&record, 0, zeros, &err), LG_ECORRUPT, &err);
}

static void test_kinds(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	enum lg_kind kind = LG_KIND_COUNT;
	for (unsigned i = 0; i < LG_KIND_COUNT; i++) {
		lg_assert_ok(lg_kind_from_name(lg_kind_name((enum lg_kind)i), &kind, &err), &err);
		assert_int_equal(kind, i);
		assert_int_equal(lg_kind_is_state(kind), i < LG_KIND_MARK);
	}
	assert_string_equal(lg_kind_name(LG_KIND_COUNT), "unknown");
	kind = LG_KIND_HOLD;
	lg_assert_code(lg_kind_from_name("unknown", &kind, &err), LG_EINVALID, &err);
	lg_assert_code(lg_kind_from_name("Change", &kind, &err), LG_EINVALID, &err);
	lg_assert_code(lg_kind_from_name("", &kind, &err), LG_EINVALID, &err);
	assert_int_equal(kind, LG_KIND_HOLD);
}

int main(void)
{
	lg_test_add("known hashes", test_known_hashes, NULL);
	lg_test_rows("the hash covers", test_field, field_rows, sizeof field_rows / sizeof *field_rows,
		sizeof *field_rows, offsetof(struct field_row, name));
	lg_test_add("the hash covers: the previous hash", test_previous, NULL);
	lg_test_add("a record is checked against the one before", test_check, NULL);
	lg_test_add("a redacted body still verifies", test_redacted, NULL);
	lg_test_add("kinds and their names", test_kinds, NULL);
	return lg_test_run("model_record");
}
