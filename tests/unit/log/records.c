#include "unit/log/records.h"

#include <string.h>

#include "io/random.h"

struct lg_record lg_test_record(const struct lg_log_head *previous, enum lg_kind kind, const char *body)
{
	struct lg_record record = {
		.seq = previous->seq + 1,
		.time_us = 1767225600000000 + (int64_t)previous->seq,
		.kind = kind,
		.actor = "alice",
		.reason = "because",
		.body = body,
		.body_len = strlen(body),
		.has_root = lg_kind_is_state(kind),
	};
	lg_random_bytes(record.id, sizeof record.id);
	if (record.has_root)
		memset(record.root, (int)(record.seq & 0xff), sizeof record.root);
	return record;
}

void lg_test_seal(struct lg_record *record, const struct lg_log_head *previous)
{
	lg_record_seal(record, previous->hash);
}

struct lg_log_head lg_test_head_after(const struct lg_record *record)
{
	struct lg_log_head head = { .seq = record->seq };
	memcpy(head.hash, record->hash, LG_HASH_SIZE);
	return head;
}

struct lg_log *lg_test_open(const char *path, bool create)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s", path);
	lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ .create = create }, &log, &err), &err);
	return log;
}

int lg_test_append(struct lg_log *log, enum lg_kind kind, const char *body, const char *const *keys,
	size_t key_count, struct lg_error *err)
{
	struct lg_log_head head;
	int rc = lg_log_head(log, &head, err);
	if (rc < 0)
		return rc;
	struct lg_record record = lg_test_record(&head, kind, body);
	record.keys = keys;
	record.key_count = key_count;
	lg_test_seal(&record, &head);
	return lg_log_append(log, &record, 1, &head, err);
}

uint64_t lg_test_append_key(struct lg_log *log, const char *key)
{
	struct lg_error err = LG_ERROR_INIT;
	int rc = key ? lg_test_append(log, LG_KIND_CHANGE, "{\"set\":{}}", &key, 1, &err)
		     : lg_test_append(log, LG_KIND_MARK, "{\"mark\":\"good\"}", NULL, 0, &err);
	lg_assert_ok(rc, &err);
	return lg_test_head_seq(log);
}

void lg_test_fill(struct lg_log *log, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lg_test_append_key(log, i % 3 ? "web/port" : NULL);
}

struct gathered {
	uint64_t *seqs;
	size_t count, size;
};

static int gather(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct gathered *gathered = arg;
	(void)err;
	if (gathered->count < gathered->size)
		gathered->seqs[gathered->count] = record->seq;
	gathered->count++;
	return 0;
}

size_t lg_test_seqs(struct lg_log *log, const struct lg_log_query *query, uint64_t *seqs, size_t size)
{
	struct lg_error err = LG_ERROR_INIT;
	struct gathered gathered = { .seqs = seqs, .size = size };
	lg_assert_ok(lg_log_query(log, query, gather, &gathered, &err), &err);
	return gathered.count;
}

uint64_t lg_test_head_seq(struct lg_log *log)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	return head.seq;
}

static int take_hash(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	memcpy(arg, record->hash, LG_HASH_SIZE);
	return 0;
}

int lg_test_checkpoint(struct lg_log *log, uint64_t seq, const void *data, size_t len, struct lg_error *err)
{
	struct lg_log_checkpoint checkpoint = { .seq = seq, .data = data, .len = len };
	struct lg_error why = LG_ERROR_INIT;
	lg_assert_ok(lg_log_get(log, seq, take_hash, checkpoint.hash, &why), &why);
	return lg_log_checkpoint_write(log, &checkpoint, err);
}
