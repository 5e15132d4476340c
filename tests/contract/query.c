/* What query, get and find_id promise. */
#include "contract/contract.h"

#define CHANGES (1u << LG_KIND_CHANGE)
#define MARKS   (1u << LG_KIND_MARK)

static void assert_seqs(
	struct lg_log *log, const struct lg_log_query *query, const uint64_t *want, size_t count)
{
	uint64_t got[64] = { 0 };
	assert_int_equal(lg_test_seqs(log, query, got, 64), count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(got[i], want[i]);
}
#define SEQS(log, query, ...)                                                                                  \
	assert_seqs(log, &(struct lg_log_query)query, (const uint64_t[]){ 0, __VA_ARGS__ } + 1,                \
		sizeof((const uint64_t[]){ 0, __VA_ARGS__ }) / sizeof(uint64_t) - 1)
#define Q(...)                                                                                                 \
	{                                                                                                      \
		__VA_ARGS__                                                                                    \
	}

static void check_range(struct fixture *f)
{
	lg_test_fill(f->log, 6);
	SEQS(f->log, Q(0), 1, 2, 3, 4, 5, 6);
	SEQS(f->log, Q(.from = 3, .to = 4), 3, 4);
	SEQS(f->log, Q(.from = 5), 5, 6);
	SEQS(f->log, Q(.from = 5, .to = 500), 5, 6);
	SEQS(f->log, Q(.from = 5, .to = UINT64_MAX), 5, 6);
	SEQS(f->log, Q(.to = 2), 1, 2);
	SEQS(f->log, Q(.from = 4, .to = 4), 4);
	SEQS(f->log, Q(.from = 4, .to = 3));
	SEQS(f->log, Q(.from = 7));
	SEQS(f->log, Q(.from = UINT64_MAX));
	SEQS(f->log, Q(.limit = 2), 1, 2);
	SEQS(f->log, Q(.newest_first = true, .limit = 2), 6, 5);
	SEQS(f->log, Q(.newest_first = true, .from = 2, .to = 4), 4, 3, 2);
}

static void check_kinds(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	for (int round = 0; round < 2; round++)
		for (unsigned kind = 0; kind < LG_KIND_COUNT; kind++)
			lg_assert_ok(lg_test_append(f->log, (enum lg_kind)kind, "{}", NULL, 0, &err), &err);

	/* 1 and 12 change, 2 and 13 restore, 3 and 14 mark, … 8 and 19 rollback, … */
	SEQS(f->log, Q(.kinds = MARKS), 3, 14);
	SEQS(f->log, Q(.kinds = CHANGES | 1u << LG_KIND_RESTORE), 1, 2, 12, 13);
	SEQS(f->log, Q(.kinds = CHANGES | 1u << LG_KIND_RESTORE, .newest_first = true, .to = 8, .limit = 1), 2);
	SEQS(f->log, Q(.kinds = 1u << LG_KIND_HOLD | 1u << LG_KIND_RELEASE | MARKS, .from = 4), 4, 5, 14, 15,
		16);
	SEQS(f->log, Q(.kinds = 1u << LG_KIND_ROLLBACK, .newest_first = true), 19, 8);
	SEQS(f->log, Q(.kinds = (1u << LG_KIND_COUNT) - 1, .limit = 3), 1, 2, 3);
	SEQS(f->log, Q(.kinds = MARKS | 1u << 31), 3, 14);
}

static void append_keys(struct lg_log *log, const char *const *keys, size_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_test_append(log, LG_KIND_CHANGE, "{}", keys, count, &err), &err);
}
#define KEYS(log, ...)                                                                                         \
	append_keys(log, (const char *const[]){ __VA_ARGS__ },                                                 \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void check_key(struct fixture *f)
{
	KEYS(f->log, "a", "b");           /* 1 */
	lg_test_append_key(f->log, NULL); /* 2, a mark */
	KEYS(f->log, "b");                /* 3 */
	KEYS(f->log, "a", "aa");          /* 4 */
	lg_test_append_key(f->log, NULL); /* 5 */
	KEYS(f->log, "A", "a/b");         /* 6 */

	SEQS(f->log, Q(.key = "a", .kinds = CHANGES), 1, 4);
	SEQS(f->log, Q(.key = "a", .kinds = CHANGES, .newest_first = true), 4, 1);
	SEQS(f->log, Q(.key = "a", .kinds = CHANGES, .newest_first = true, .limit = 1), 4);
	SEQS(f->log, Q(.key = "a", .kinds = CHANGES, .to = 3), 1);
	SEQS(f->log, Q(.key = "a", .kinds = CHANGES, .from = 2), 4);
	SEQS(f->log, Q(.key = "a/b", .kinds = CHANGES), 6);
	SEQS(f->log, Q(.key = "none", .kinds = CHANGES));
	/* other kinds come along unfiltered, in order */
	SEQS(f->log, Q(.key = "b"), 1, 2, 3, 5);
	SEQS(f->log, Q(.key = "b", .newest_first = true, .limit = 3), 5, 3, 2);
	SEQS(f->log, Q(.key = "b", .kinds = MARKS), 2, 5);
}

static void check_prefix(struct fixture *f)
{
	KEYS(f->log, "web/a", "web/b", "web/c/d"); /* 1: once, though three keys match */
	KEYS(f->log, "web");                       /* 2 */
	KEYS(f->log, "webx/a", "web.", "web0");    /* 3 */
	lg_test_append_key(f->log, NULL);          /* 4 */
	KEYS(f->log, "we/b", "web/\xff");          /* 5 */
	KEYS(f->log, "@schema/web/a");             /* 6 */

	SEQS(f->log, Q(.key = "web/", .kinds = CHANGES), 1, 5);
	SEQS(f->log, Q(.key = "web/", .kinds = CHANGES, .newest_first = true, .limit = 1), 5);
	SEQS(f->log, Q(.key = "web/c/", .kinds = CHANGES), 1);
	SEQS(f->log, Q(.key = "web/"), 1, 4, 5);
	SEQS(f->log, Q(.key = "web/", .newest_first = true, .from = 2), 5, 4);
	SEQS(f->log, Q(.key = "@schema/", .kinds = CHANGES), 6);
}

/* --- against a plain filter --------------------------------------------------------------------------------------------- */

#define RECORDS 150
#define QUERIES 400

static const char *const pool[] = { "a", "a/b", "a/b/c", "a/c", "ab", "b", "b/a", "c/" };
#define POOL (sizeof pool / sizeof *pool)

struct entry {
	enum lg_kind kind;
	uint32_t keys; /* bit i: pool[i] */
};

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static bool wanted(const struct entry *entry, const struct lg_log_query *query)
{
	if (query->kinds && !(query->kinds & 1u << entry->kind))
		return false;
	if (!query->key || entry->kind != LG_KIND_CHANGE)
		return true;
	size_t len = strlen(query->key);
	for (size_t i = 0; i < POOL; i++)
		if (entry->keys & 1u << i &&
			(strcmp(pool[i], query->key) == 0 ||
				(query->key[len - 1] == '/' && strncmp(pool[i], query->key, len) == 0)))
			return true;
	return false;
}

static void append_entry(struct lg_log *log, const struct entry *entry)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *keys[POOL];
	size_t count = 0;
	for (size_t i = 0; i < POOL; i++)
		if (entry->keys & 1u << i)
			keys[count++] = pool[i];
	lg_assert_ok(lg_test_append(log, entry->kind, "{}", keys, count, &err), &err);
}

static size_t filter(const struct entry *entries, const struct lg_log_query *query, uint64_t *seqs)
{
	size_t count = 0;
	uint64_t to = query->to && query->to < RECORDS ? query->to : RECORDS;
	uint64_t from = query->from ? query->from : 1;
	for (uint64_t i = 1; i <= RECORDS; i++) {
		uint64_t seq = query->newest_first ? RECORDS + 1 - i : i;
		if (seq >= from && seq <= to && wanted(&entries[seq - 1], query) &&
			(!query->limit || count < query->limit))
			seqs[count++] = seq;
	}
	return count;
}

static void check_random(struct fixture *f)
{
	uint64_t random = 20261122;
	struct entry entries[RECORDS];
	uint64_t want[RECORDS], got[RECORDS];

	for (size_t i = 0; i < RECORDS; i++) {
		entries[i].kind = next_random(&random) % 2
			? LG_KIND_CHANGE
			: (enum lg_kind)(next_random(&random) % LG_KIND_COUNT);
		entries[i].keys = entries[i].kind == LG_KIND_CHANGE
			? next_random(&random) & next_random(&random) & ((1u << POOL) - 1)
			: 0;
		append_entry(f->log, &entries[i]);
	}
	for (size_t i = 0; i < QUERIES; i++) {
		uint32_t r = next_random(&random);
		struct lg_log_query query = {
			.from = r & 1 ? next_random(&random) % (RECORDS + 10) : 0,
			.to = r & 2 ? next_random(&random) % (RECORDS + 10) : 0,
			.kinds = r & 4 ? 1u << next_random(&random) % LG_KIND_COUNT | (r & 8 ? CHANGES : 0) : 0,
			.key = r & 16 ? (r & 64 ? "a/" : pool[next_random(&random) % POOL]) : NULL,
			.newest_first = r & 32,
			.limit = r & 128 ? next_random(&random) % 20 : 0,
		};
		size_t count = filter(entries, &query, want);
		assert_int_equal(lg_test_seqs(f->log, &query, got, RECORDS), count);
		assert_memory_equal(got, want, count * sizeof *want);
	}
}

/* --- visitors, get, find_id ---------------------------------------------------------------------------------------------- */

struct nested {
	struct lg_log *log;
	unsigned calls;
	int stop;
};

static int visit_nested(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct nested *nested = arg;
	char id[LG_ID_SIZE];
	memcpy(id, record->id, sizeof id);
	assert_int_equal(lg_test_head_seq(nested->log), 4);
	SEQS(nested->log, Q(.kinds = CHANGES, .key = "web/port"), 2, 3);
	assert_memory_equal(id, record->id, sizeof id);
	assert_string_equal(record->actor, "alice");
	if (++nested->calls == 3 && nested->stop < 0)
		return lg_fail(err, nested->stop, 0, "enough");
	return nested->calls == 3 ? nested->stop : 0;
}

static void check_visitor(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct nested nested = { .log = f->log, .stop = 7 };

	lg_test_fill(f->log, 4);
	assert_int_equal(lg_log_query(f->log, &(struct lg_log_query){ 0 }, visit_nested, &nested, &err), 7);
	assert_int_equal(nested.calls, 3);
	nested = (struct nested){ .log = f->log, .stop = LG_EHELD };
	struct lg_log_query query = { .kinds = CHANGES | MARKS, .newest_first = true };
	lg_assert_code(lg_log_query(f->log, &query, visit_nested, &nested, &err), LG_EHELD, &err);
	assert_string_equal(err.message, "enough");
	assert_int_equal(nested.calls, 3);
	nested = (struct nested){ .log = f->log };
	lg_assert_ok(lg_log_query(f->log, &(struct lg_log_query){ 0 }, visit_nested, &nested, &err), &err);
	assert_int_equal(nested.calls, 4);
	lg_test_fill(f->log, 1); /* nothing of it is still in the way */
}

static int visit_seq(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	*(uint64_t *)arg = record->seq;
	return 0;
}

static void check_get(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t seq = 0;

	lg_test_fill(f->log, 3);
	lg_assert_ok(lg_log_get(f->log, 2, visit_seq, &seq, &err), &err);
	assert_int_equal(seq, 2);
	seq = 99;
	lg_assert_code(lg_log_get(f->log, 4, visit_seq, &seq, &err), LG_ENOTFOUND, &err);
	assert_non_null(strstr(err.message, "the log ends at 3"));
	lg_assert_code(lg_log_get(f->log, 0, visit_seq, &seq, &err), LG_ENOTFOUND, &err);
	lg_assert_code(lg_log_get(f->log, UINT64_MAX, visit_seq, &seq, &err), LG_ENOTFOUND, &err);
	assert_int_equal(seq, 99);
}

static int visit_id(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	memcpy(arg, record->id, LG_ID_SIZE);
	return 0;
}

static void check_find_id(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	uint8_t id[LG_ID_SIZE];
	uint64_t seq = 99;

	lg_test_fill(f->log, 8);
	lg_assert_ok(lg_log_get(f->log, 5, visit_id, id, &err), &err);
	assert_int_equal(lg_log_find_id(f->log, 0, id, &seq, &err), 1);
	assert_int_equal(seq, 5);
	assert_int_equal(lg_log_find_id(f->log, 4, id, &seq, &err), 1);
	seq = 99;
	assert_int_equal(lg_log_find_id(f->log, 5, id, &seq, &err), 0);
	assert_int_equal(lg_log_find_id(f->log, UINT64_MAX, id, &seq, &err), 0);
	id[0] ^= 1;
	assert_int_equal(lg_log_find_id(f->log, 0, id, &seq, &err), 0);
	assert_int_equal(seq, 99);
	lg_test_fill(f->log, 1);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
}

static void check_verify(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;

	lg_test_fill(f->log, 12);
	lg_assert_ok(lg_log_verify_chain(f->log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 1, 12, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 5, 5, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 7, 0, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 1, 99, &err), &err);
	lg_assert_ok(lg_log_verify_chain(f->log, 13, 0, &err), &err);
}

const struct check query_checks[] = {
	{ "query by range", check_range, false },
	{ "query by kind", check_kinds, false },
	{ "query by key", check_key, false },
	{ "query by prefix", check_prefix, false },
	{ "queries at random, against a plain filter", check_random, false },
	{ "a visitor may stop and may read", check_visitor, false },
	{ "get one record", check_get, false },
	{ "find a record by its id", check_find_id, false },
	{ "verify parts of the chain", check_verify, false },
	{ 0 },
};
