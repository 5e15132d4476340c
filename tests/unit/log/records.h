/* records.h - records to put into a log under test. */
#ifndef LG_TESTS_RECORDS_H
#define LG_TESTS_RECORDS_H

#include "support/support.h"

#include "log/log.h"

/* A record that follows `previous`, with a random id, not sealed: set what the test is about, then seal it.  body lives
 * as long as the record. */
struct lg_record lg_test_record(const struct lg_log_head *previous, enum lg_kind kind, const char *body);
void lg_test_seal(struct lg_record *record, const struct lg_log_head *previous);
struct lg_log_head lg_test_head_after(const struct lg_record *record);

/* The SQLite log at `path`; fails the test when it cannot be opened. */
struct lg_log *lg_test_open(const char *path, bool create);

/* Appends one record at the present head, no second try. */
int lg_test_append(struct lg_log *log, enum lg_kind kind, const char *body, const char *const *keys,
	size_t key_count, struct lg_error *err);
/* A change that touches one key, or (key NULL) a mark; fails the test when it cannot. */
uint64_t lg_test_append_key(struct lg_log *log, const char *key);
/* `count` of them. */
void lg_test_fill(struct lg_log *log, size_t count);

/* The seqs that a query yields, in its order; into seqs of room `size`, their count returned. */
size_t lg_test_seqs(struct lg_log *log, const struct lg_log_query *query, uint64_t *seqs, size_t size);
uint64_t lg_test_head_seq(struct lg_log *log);

/* A checkpoint at a seq of this log. */
int lg_test_checkpoint(struct lg_log *log, uint64_t seq, const void *data, size_t len, struct lg_error *err);

#endif
