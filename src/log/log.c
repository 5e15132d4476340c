#include "log/log.h"

#include "log/memory/memory.h"
#include "log/sqlite/sqlite.h"

#include <inttypes.h>
#include <string.h>

/* The one place that knows the backends. */
static const struct lg_log_ops *const backends[] = {
	&lg_log_sqlite_ops,
	&lg_log_memory_ops,
};

int lg_log_open(
	const char *url, const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err)
{
	const char *colon = strchr(url, ':');
	size_t len = colon ? (size_t)(colon - url) : 0;

	for (size_t i = 0; colon && i < sizeof backends / sizeof *backends; i++) {
		const struct lg_log_ops *ops = backends[i];
		if (strlen(ops->scheme) != len || strncmp(ops->scheme, url, len) != 0)
			continue;
		if (ops->api != LG_LOG_API)
			return lg_fail(err, LG_EINTERNAL, 0,
				"the log backend '%s' has interface %u instead of %u", ops->scheme, ops->api,
				LG_LOG_API);
		struct lg_log_open located = { 0 };
		if (options)
			located = *options;
		located.location = colon + 1;
		if (!located.clock)
			located.clock = lg_clock_system();
		return ops->open(&located, ret_log, err);
	}
	return lg_fail(err, LG_EINVALID, 0, "'%s' names no log: write sqlite:PATH", url);
}

void lg_log_close(struct lg_log *log)
{
	if (log)
		log->ops->close(log);
}

void lg_log_closep(struct lg_log **log)
{
	lg_log_close(*log);
}

int lg_log_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err)
{
	return log->ops->head(log, ret_head, err);
}

/* Holds for every backend, so it is checked here and not in each. */
static int check_follows(const struct lg_record *records, size_t count, const struct lg_log_head *expected,
	bool copies, struct lg_error *err)
{
	uint64_t seq = expected->seq;
	const uint8_t *previous = expected->hash;

	if (count == 0)
		return lg_fail(err, LG_EINTERNAL, 0, "append of no records");
	for (size_t i = 0; i < count; i++) {
		const struct lg_record *record = &records[i];
		if ((unsigned)record->kind >= LG_KIND_COUNT ||
			record->has_root != lg_kind_is_state(record->kind))
			return lg_fail(err, LG_EINTERNAL, 0, "record %" PRIu64 " of kind '%s' %s a root",
				record->seq, lg_kind_name(record->kind), record->has_root ? "has" : "lacks");
		if ((record->redacted && !copies) || (record->key_count && !record->keys))
			return lg_fail(err, LG_EINTERNAL, 0, "record %" PRIu64 " is not whole", record->seq);
		if (lg_record_check(record, seq, previous, err) < 0)
			return lg_context(err, LG_EINTERNAL, "append");
		seq = record->seq;
		previous = record->hash;
	}
	return 0;
}

int lg_log_append(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	int rc = check_follows(records, count, expected, false, err);
	return rc < 0 ? rc : log->ops->append(log, records, count, expected, err);
}

int lg_log_copy(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	int rc = check_follows(records, count, expected, true, err);
	return rc < 0 ? rc : log->ops->append(log, records, count, expected, err);
}

int lg_log_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	return log->ops->query(log, query, visit, arg, err);
}

struct one {
	lg_log_visit *visit;
	void *arg;
	bool found;
};

static int visit_one(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct one *one = arg;
	one->found = true;
	return one->visit(one->arg, record, err);
}

static int gone(const struct lg_log_gap *gap, uint64_t seq, struct lg_error *err)
{
	switch (gap->reason) {
	case LG_GAP_RETENTION:
		return lg_fail(err, LG_ENOTFOUND, 0,
			"retention dropped record %" PRIu64 "; the next one kept is %" PRIu64, seq,
			gap->last + 1);
	case LG_GAP_LOST:
		return lg_fail(err, LG_ENOTFOUND, 0,
			"record %" PRIu64
			" was lost to damage, as the salvage of this log says; the next one is "
			"%" PRIu64,
			seq, gap->last + 1);
	}
	return lg_fail(err, LG_EINTERNAL, 0, "a gap of no reason");
}

/* Why there is no such record. */
static int not_found(struct lg_log *log, uint64_t seq, struct lg_error *err)
{
	struct lg_log_head head;
	struct lg_log_gap gap;
	int rc;

	if ((rc = lg_log_head(log, &head, err)) < 0 || (rc = lg_log_gap(log, seq, &gap, err)) < 0)
		return rc;
	if (seq == 0)
		return lg_fail(err, LG_ENOTFOUND, 0, "there is no record 0: the first is 1");
	if (seq > head.seq)
		return lg_fail(err, LG_ENOTFOUND, 0, "there is no record %" PRIu64 ": the log ends at %" PRIu64,
			seq, head.seq);
	if (rc == 1 && gap.last >= seq)
		return gone(&gap, seq, err);
	return lg_fail(err, LG_ECORRUPT, 0, "record %" PRIu64 " is missing though the log ends at %" PRIu64,
		seq, head.seq);
}

static int get_one(
	struct lg_log *log, uint64_t seq, bool no_body, lg_log_visit *visit, void *arg, struct lg_error *err)
{
	struct one one = { .visit = visit, .arg = arg };
	struct lg_log_query query = { .from = seq, .to = seq, .no_body = no_body, .limit = 1 };
	int rc = seq ? lg_log_query(log, &query, visit_one, &one, err) : 0;
	return rc != 0 || one.found ? rc : not_found(log, seq, err);
}

int lg_log_get(struct lg_log *log, uint64_t seq, lg_log_visit *visit, void *arg, struct lg_error *err)
{
	return get_one(log, seq, false, visit, arg, err);
}

int lg_log_get_bare(struct lg_log *log, uint64_t seq, lg_log_visit *visit, void *arg, struct lg_error *err)
{
	return get_one(log, seq, true, visit, arg, err);
}

struct search {
	const uint8_t *id;
	uint64_t seq;
};

static int visit_id(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct search *search = arg;
	(void)err;
	if (memcmp(record->id, search->id, LG_ID_SIZE) != 0)
		return 0;
	search->seq = record->seq;
	return 1;
}

static int find_visible(struct lg_log *log, uint64_t after, const uint8_t id[LG_ID_SIZE], uint64_t *ret_seq,
	struct lg_error *err)
{
	struct search search = { .id = id };
	struct lg_log_query query = { .from = after + 1 };
	int rc = after == UINT64_MAX ? 0 : lg_log_query(log, &query, visit_id, &search, err);
	if (rc > 0)
		*ret_seq = search.seq;
	return rc;
}

int lg_log_find_id(struct lg_log *log, uint64_t after, const uint8_t id[LG_ID_SIZE], uint64_t *ret_seq,
	struct lg_error *err)
{
	/* also one that can be seen: a process that was killed may not have synced it */
	int rc = log->ops->settle ? log->ops->settle(log, err) : 0;
	return rc < 0 ? rc : find_visible(log, after, id, ret_seq, err);
}

int lg_log_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	return log->ops->checkpoint_write(log, checkpoint, err);
}

int lg_log_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	return log->ops->checkpoint_find(log, at, ret_seq, err);
}

int lg_log_checkpoint_read(
	struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg, struct lg_error *err)
{
	return log->ops->checkpoint_read(log, seq, visit, arg, err);
}

int lg_log_checkpoint_drop(struct lg_log *log, uint64_t seq, struct lg_error *err)
{
	return log->ops->checkpoint_drop(log, seq, err);
}

int lg_log_trim(
	struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err)
{
	for (size_t i = 0; i < keep_count; i++) {
		if (keep[i] == 0 || (i && keep[i] <= keep[i - 1]))
			return lg_fail(err, LG_EINTERNAL, 0, "what a trim keeps is not in order");
	}
	return log->ops->trim(log, before, keep, keep_count, err);
}

int lg_log_gap(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	return log->ops->gap(log, at, ret_gap, err);
}

int lg_log_skip(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err)
{
	if (gap->first == 0 || gap->last < gap->first)
		return lg_fail(
			err, LG_EINTERNAL, 0, "a gap from %" PRIu64 " to %" PRIu64, gap->first, gap->last);
	return log->ops->skip(log, gap, err);
}

int lg_log_first(struct lg_log *log, uint64_t *ret_seq, struct lg_error *err)
{
	struct lg_log_gap gap;
	struct lg_log_head head;
	int rc = lg_log_gap(log, UINT64_MAX, &gap, err);
	if (rc == 1)
		*ret_seq = gap.last + 1;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = lg_log_head(log, &head, err);
	if (rc == 0)
		*ret_seq = head.seq ? 1 : 0;
	return rc;
}

int lg_log_has(struct lg_log *log, uint64_t from, uint64_t to, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = from <= to ? lg_log_gap(log, to, &gap, err) : 0;
	if (rc <= 0 || gap.last < from)
		return rc < 0 ? rc : 0;
	return gone(&gap, gap.last < to ? gap.last : to, err);
}

int lg_log_wait(struct lg_log *log, int64_t timeout_ms, struct lg_error *err)
{
	return log->ops->wait(log, timeout_ms, err);
}

int lg_log_wait_fd(struct lg_log *log)
{
	return log->ops->wait_fd ? log->ops->wait_fd(log) : -1;
}

int lg_log_check(struct lg_log *log, bool deep, struct lg_error *err)
{
	return log->ops->check ? log->ops->check(log, deep, err) : 0;
}

int lg_log_each_touched(struct lg_log *log, lg_log_touched_visit *visit, void *arg, struct lg_error *err)
{
	return log->ops->each_touched ? log->ops->each_touched(log, visit, arg, err) : 1;
}

struct chain {
	struct lg_log *log;
	struct lg_log_head previous;
	lg_log_visit *visit; /* or NULL */
	void *arg;
};

static int visit_hash(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct lg_log_head *head = arg;
	(void)err;
	head->seq = record->seq;
	memcpy(head->hash, record->hash, LG_HASH_SIZE);
	return 0;
}

/* Over the gap that begins behind `previous` and ends just before `seq`, if there is one. */
static int step_over(struct chain *chain, uint64_t seq, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = lg_log_gap(chain->log, seq - 1, &gap, err);
	if (rc == 1 && gap.first == chain->previous.seq + 1 && gap.last == seq - 1) {
		chain->previous.seq = gap.last;
		memcpy(chain->previous.hash, gap.hash, LG_HASH_SIZE);
	}
	return rc < 0 ? rc : 0;
}

static int visit_chain(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct chain *chain = arg;
	int rc = record->seq > chain->previous.seq + 1 ? step_over(chain, record->seq, err) : 0;
	if (rc == 0)
		rc = lg_record_check(record, chain->previous.seq, chain->previous.hash, err);
	if (rc == 0 && chain->visit)
		rc = chain->visit(chain->arg, record, err);
	return rc != 0 ? rc : visit_hash(&chain->previous, record, err);
}

/* What record `from` follows. */
static int find_previous(struct chain *chain, uint64_t from, struct lg_error *err)
{
	struct lg_log_gap gap;
	if (from <= 1)
		return 0;
	int rc = lg_log_gap(chain->log, from, &gap, err);
	if (rc == 1 && gap.last >= from)
		return gone(&gap, from, err);
	if (rc == 1 && gap.last == from - 1) {
		chain->previous.seq = gap.last;
		memcpy(chain->previous.hash, gap.hash, LG_HASH_SIZE);
		return 0;
	}
	return rc < 0 ? rc : lg_log_get_bare(chain->log, from - 1, visit_hash, &chain->previous, err);
}

int lg_log_walk_chain(
	struct lg_log *log, uint64_t from, uint64_t to, lg_log_visit *visit, void *arg, struct lg_error *err)
{
	struct chain chain = { .log = log, .visit = visit, .arg = arg };
	struct lg_log_head head;
	int rc = lg_log_head(log, &head, err);
	if (rc < 0)
		return rc;
	if (to == 0 || to > head.seq)
		to = head.seq;
	if (from > to)
		return 0;
	rc = find_previous(&chain, from, err);
	if (rc < 0)
		return rc;
	struct lg_log_query query = { .from = from, .to = to };
	rc = lg_log_query(log, &query, visit_chain, &chain, err);
	if (rc > 0)
		return rc;
	if (rc == 0 && chain.previous.seq < to) {
		struct lg_log_gap gap; /* a range may end within one */
		rc = lg_log_gap(log, to, &gap, err);
		if (rc == 0 || (rc == 1 && (gap.first != chain.previous.seq + 1 || gap.last < to)))
			return lg_fail(
				err, LG_ECORRUPT, 0, "record %" PRIu64 " is missing", chain.previous.seq + 1);
	}
	return rc < 0 ? rc : 0;
}

int lg_log_verify_chain(struct lg_log *log, uint64_t from, uint64_t to, struct lg_error *err)
{
	return lg_log_walk_chain(log, from, to, NULL, NULL, err);
}
