#include "log/memory/memory.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* Owns what its view points to. */
struct kept {
	struct lg_record record;
	char *actor, *reason, *body;
	char **keys;
	size_t key_count;
};

/* What the handles of one name share. */
struct store {
	struct store *next;
	char *name; /* NULL: private */
	unsigned users;
	pthread_mutex_t mutex; /* recursive: a visitor may read */
	pthread_cond_t grown;
	struct kept **records; /* records[i] has the seq i + 1; NULL: it is gone */
	size_t count, size;
	struct lg_log_gap *gaps; /* by seq */
	size_t gap_count;
	struct lg_log_checkpoint *checkpoints; /* by seq; data is owned */
	size_t checkpoint_count;
};

struct memory {
	struct lg_log log; /* first */
	struct store *store;
	bool readonly;
	uint64_t seen;
	struct lg_log_gap skip; /* to go with the next append; first 0: none */
};

static pthread_mutex_t stores_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct store *stores; /* the named ones */

static struct store *lock(struct lg_log *log)
{
	struct store *store = ((struct memory *)log)->store;
	pthread_mutex_lock(&store->mutex);
	return store;
}

static int unlock(struct store *store, int rc)
{
	pthread_mutex_unlock(&store->mutex);
	return rc;
}

/* --- what is kept ---------------------------------------------------------------------------------------------------- */

static void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	for (size_t i = 0; i < kept->key_count; i++)
		free(kept->keys[i]);
	free(kept->keys);
	free(kept->actor);
	free(kept->reason);
	free(kept->body);
	free(kept);
}
LG_DEFINE_CLEANUP(struct kept *, kept_free)

static struct kept *kept_new(const struct lg_record *record)
{
	lg_cleanup(kept_freep) struct kept *kept = calloc(1, sizeof *kept);
	if (!kept)
		return NULL;
	kept->actor = strdup(record->actor ? record->actor : "");
	kept->reason = strdup(record->reason ? record->reason : "");
	kept->body = malloc(record->body_len + 1);
	kept->keys = calloc(record->key_count + 1, sizeof *kept->keys);
	if (!kept->actor || !kept->reason || !kept->body || !kept->keys)
		return NULL;
	for (; kept->key_count < record->key_count; kept->key_count++)
		if (!(kept->keys[kept->key_count] = strdup(record->keys[kept->key_count])))
			return NULL;
	if (record->body_len)
		memcpy(kept->body, record->body, record->body_len);
	kept->body[record->body_len] = '\0';
	kept->record = *record;
	kept->record.actor = kept->actor;
	kept->record.reason = kept->reason;
	kept->record.body = kept->body;
	kept->record.keys = NULL;
	kept->record.key_count = 0;
	return lg_steal_ptr(&kept);
}

static struct lg_log_head store_head(const struct store *store)
{
	struct lg_log_head head = { 0 };
	if (store->count) { /* the newest one is always there */
		const struct lg_record *last = &store->records[store->count - 1]->record;
		head.seq = last->seq;
		memcpy(head.hash, last->hash, LG_HASH_SIZE);
	}
	return head;
}

/* --- open, close ----------------------------------------------------------------------------------------------------- */

static void store_free(struct store *store)
{
	for (size_t i = 0; i < store->count; i++)
		kept_free(store->records[i]);
	for (size_t i = 0; i < store->checkpoint_count; i++)
		free((void *)(uintptr_t)store->checkpoints[i].data);
	free(store->records);
	free(store->gaps);
	free(store->checkpoints);
	free(store->name);
	pthread_cond_destroy(&store->grown);
	pthread_mutex_destroy(&store->mutex);
	free(store);
}

static struct store *store_new(const char *name)
{
	struct store *store = calloc(1, sizeof *store);
	if (!store || (*name && !(store->name = strdup(name)))) {
		free(store);
		return NULL;
	}
	pthread_mutexattr_t mutex_attr;
	pthread_mutexattr_init(&mutex_attr);
	pthread_mutexattr_settype(&mutex_attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&store->mutex, &mutex_attr);
	pthread_mutexattr_destroy(&mutex_attr);
	pthread_condattr_t cond_attr;
	pthread_condattr_init(&cond_attr);
	pthread_condattr_setclock(&cond_attr, CLOCK_MONOTONIC);
	pthread_cond_init(&store->grown, &cond_attr);
	pthread_condattr_destroy(&cond_attr);
	return store;
}

static struct store *find_store(const char *name)
{
	struct store *store = *name ? stores : NULL;
	while (store && strcmp(store->name, name) != 0)
		store = store->next;
	return store;
}

/* With stores_mutex held. */
static int get_store(const struct lg_log_open *options, struct store **ret_store, struct lg_error *err)
{
	struct store *store = find_store(options->location);
	if (store && options->create && options->refuse_exist)
		return lg_fail(err, LG_ECONFLICT, 0, "there is a log 'memory:%s' already", options->location);
	if (!store && !options->create)
		return lg_fail(err, LG_ENOTFOUND, 0, "there is no log 'memory:%s'", options->location);
	if (!store) {
		store = store_new(options->location);
		if (!store)
			return lg_fail_nomem(err);
		if (store->name) {
			store->next = stores;
			stores = store;
		}
	}
	store->users++;
	*ret_store = store;
	return 0;
}

static int memory_open(const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err)
{
	lg_autofree struct memory *memory = calloc(1, sizeof *memory);
	if (!memory)
		return lg_fail_nomem(err);
	pthread_mutex_lock(&stores_mutex);
	int rc = get_store(options, &memory->store, err);
	pthread_mutex_unlock(&stores_mutex);
	if (rc < 0)
		return rc;
	memory->log.ops = &lg_log_memory_ops;
	memory->readonly = options->readonly;
	memory->seen = store_head(lock(&memory->log)).seq;
	unlock(memory->store, 0);
	*ret_log = &memory->log;
	memory = NULL;
	return 0;
}

static void memory_close(struct lg_log *log)
{
	struct memory *memory = (struct memory *)log;
	if (!memory)
		return;
	struct store *store = memory->store;
	pthread_mutex_lock(&stores_mutex);
	if (--store->users == 0) {
		for (struct store **at = &stores; *at; at = &(*at)->next)
			if (*at == store) {
				*at = store->next;
				break;
			}
		store_free(store);
	}
	pthread_mutex_unlock(&stores_mutex);
	free(memory);
}

/* --- head, gaps ------------------------------------------------------------------------------------------------------ */

static int memory_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err)
{
	struct store *store = lock(log);
	(void)err;
	*ret_head = store_head(store);
	return unlock(store, 0);
}

static int memory_gap(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	struct store *store = lock(log);
	(void)err;
	size_t i = store->gap_count;
	while (i > 0 && store->gaps[i - 1].first > at)
		i--;
	if (i)
		*ret_gap = store->gaps[i - 1];
	return unlock(store, i ? 1 : 0);
}

static int reserve_gap(struct store *store)
{
	struct lg_log_gap *gaps = reallocarray(store->gaps, store->gap_count + 1, sizeof *gaps);
	if (!gaps)
		return LG_ENOMEM;
	store->gaps = gaps;
	return 0;
}

/* --- append ---------------------------------------------------------------------------------------------------------- */

static int refuse_readonly(const struct lg_log *log, struct lg_error *err)
{
	if (!((const struct memory *)log)->readonly)
		return 0;
	return lg_fail(err, LG_EREADONLY, 0, "cannot write to the log: it was opened for reading only");
}

static int reserve(struct store *store, size_t more)
{
	if (store->size - store->count >= more)
		return 0;
	size_t size = store->size * 2 > store->count + more ? store->size * 2 : store->count + more;
	struct kept **records = reallocarray(store->records, size, sizeof(struct kept *));
	if (!records)
		return LG_ENOMEM;
	store->records = records;
	store->size = size;
	return 0;
}

static int check_expected(struct store *store, const struct lg_log_gap *skip,
	const struct lg_log_head *expected, struct lg_error *err)
{
	struct lg_log_head head = store_head(store);
	if (skip->first && skip->first != head.seq + 1)
		return lg_fail(err, LG_EINVALID, 0, "a gap from %" PRIu64 " does not follow record %" PRIu64,
			skip->first, head.seq);
	if (skip->first) {
		head.seq = skip->last;
		memcpy(head.hash, skip->hash, LG_HASH_SIZE);
	}
	if (head.seq == expected->seq && memcmp(head.hash, expected->hash, LG_HASH_SIZE) == 0)
		return 0;
	return lg_fail(err, LG_ECONFLICT, 0,
		"the log has moved on: it is at record %" PRIu64 ", not at %" PRIu64, head.seq, expected->seq);
}

static int append_locked(struct store *store, const struct lg_log_gap *skip, const struct lg_record *records,
	size_t count, const struct lg_log_head *expected, struct lg_error *err)
{
	int rc = check_expected(store, skip, expected, err);
	if (rc < 0)
		return rc;
	size_t skipped = skip->first ? (size_t)(skip->last - skip->first + 1) : 0;
	if (reserve(store, skipped + count) < 0 || reserve_gap(store) < 0)
		return lg_fail_nomem(err);
	struct kept **to = store->records + store->count;
	memset(to, 0, skipped * sizeof(struct kept *));
	for (size_t i = 0; i < count; i++) {
		to[skipped + i] = kept_new(&records[i]);
		if (to[skipped + i])
			continue;
		while (i-- > 0)
			kept_free(to[skipped + i]);
		return lg_fail_nomem(err);
	}
	if (skipped)
		store->gaps[store->gap_count++] = *skip;
	store->count += skipped + count;
	return 0;
}

static int memory_append(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc < 0)
		return rc;
	struct store *store = lock(log);
	rc = append_locked(store, &((struct memory *)log)->skip, records, count, expected, err);
	if (rc == 0) {
		((struct memory *)log)->skip.first = 0;
		((struct memory *)log)->seen = records[count - 1].seq;
		pthread_cond_broadcast(&store->grown);
	}
	return unlock(store, rc);
}

/* --- query ----------------------------------------------------------------------------------------------------------- */

static bool touches(const struct kept *kept, const char *key)
{
	size_t len = strlen(key);
	bool prefix = len && key[len - 1] == '/';
	for (size_t i = 0; i < kept->key_count; i++)
		if (prefix ? strncmp(kept->keys[i], key, len) == 0 : strcmp(kept->keys[i], key) == 0)
			return true;
	return false;
}

static bool matches(const struct kept *kept, const struct lg_log_query *query)
{
	if (query->kinds && !(query->kinds & 1u << kept->record.kind))
		return false;
	return !query->key || kept->record.kind != LG_KIND_CHANGE || touches(kept, query->key);
}

static int query_locked(struct store *store, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	uint64_t from = query->from ? query->from : 1;
	uint64_t to = query->to && query->to < store->count ? query->to : store->count;
	uint64_t visited = 0;

	for (uint64_t n = 0; from <= to && n <= to - from; n++) {
		const struct kept *kept = store->records[(query->newest_first ? to - n : from + n) - 1];
		if (!kept || !matches(kept, query))
			continue;
		int rc = visit(arg, &kept->record, err);
		if (rc != 0)
			return rc;
		if (++visited == query->limit)
			break;
	}
	return 0;
}

static int memory_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	if (query->kinds && !(query->kinds & ((1u << LG_KIND_COUNT) - 1)))
		return lg_fail(err, LG_EINTERNAL, 0, "query for kinds of records that do not exist");
	struct store *store = lock(log);
	return unlock(store, query_locked(store, query, visit, arg, err));
}

/* --- checkpoints, retention ------------------------------------------------------------------------------------------ */

/* Index of the newest with seq <= at, or SIZE_MAX. */
static size_t newest_checkpoint(const struct store *store, uint64_t at)
{
	size_t i = store->checkpoint_count;
	while (i > 0 && store->checkpoints[i - 1].seq > at)
		i--;
	return i ? i - 1 : SIZE_MAX;
}

static bool belongs(const struct store *store, const struct lg_log_checkpoint *checkpoint)
{
	if (checkpoint->seq > store->count)
		return false;
	const struct kept *kept = store->records[checkpoint->seq - 1];
	if (kept)
		return memcmp(kept->record.hash, checkpoint->hash, LG_HASH_SIZE) == 0;
	for (size_t i = 0; i < store->gap_count; i++) {
		if (store->gaps[i].last == checkpoint->seq)
			return memcmp(store->gaps[i].hash, checkpoint->hash, LG_HASH_SIZE) == 0;
	}
	return false;
}

static int checkpoint_locked(
	struct store *store, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	if (checkpoint->seq == 0)
		return lg_fail(err, LG_EINVALID, 0, "a checkpoint at record 0 is outside of the log");
	if (!belongs(store, checkpoint))
		return 0; /* nobody would find it */
	void *data = malloc(checkpoint->len + 1);
	struct lg_log_checkpoint *grown =
		reallocarray(store->checkpoints, store->checkpoint_count + 1, sizeof *store->checkpoints);
	if (grown)
		store->checkpoints = grown;
	if (!data || !grown) {
		free(data);
		return lg_fail_nomem(err);
	}
	if (checkpoint->len)
		memcpy(data, checkpoint->data, checkpoint->len);
	size_t at = newest_checkpoint(store, checkpoint->seq);
	if (at != SIZE_MAX && grown[at].seq == checkpoint->seq) {
		free((void *)(uintptr_t)grown[at].data);
	} else {
		at = at == SIZE_MAX ? 0 : at + 1;
		memmove(&grown[at + 1], &grown[at], (store->checkpoint_count - at) * sizeof *grown);
		store->checkpoint_count++;
	}
	grown[at] = *checkpoint;
	grown[at].data = data;
	grown[at].block = NULL;
	return 0;
}

static int memory_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc < 0)
		return rc;
	struct store *store = lock(log);
	return unlock(store, checkpoint_locked(store, checkpoint, err));
}

static int no_checkpoint(uint64_t at, struct lg_error *err)
{
	return lg_fail(err, LG_ENOTFOUND, 0, "there is no checkpoint at or before record %" PRIu64, at);
}

static int memory_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	struct store *store = lock(log);
	size_t i = newest_checkpoint(store, at);
	if (i == SIZE_MAX)
		return unlock(store, no_checkpoint(at, err));
	*ret_seq = store->checkpoints[i].seq;
	return unlock(store, 0);
}

static int memory_checkpoint_read(
	struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg, struct lg_error *err)
{
	struct store *store = lock(log);
	size_t i = newest_checkpoint(store, seq);
	if (i == SIZE_MAX || store->checkpoints[i].seq != seq)
		return unlock(store, no_checkpoint(seq, err));
	return unlock(store, visit(arg, &store->checkpoints[i], err));
}

static void drop_checkpoint(struct store *store, size_t i)
{
	free((void *)(uintptr_t)store->checkpoints[i].data);
	store->checkpoint_count--;
	memmove(&store->checkpoints[i], &store->checkpoints[i + 1],
		(store->checkpoint_count - i) * sizeof *store->checkpoints);
}

static int memory_checkpoint_drop(struct lg_log *log, uint64_t seq, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc < 0)
		return rc;
	struct store *store = lock(log);
	size_t i = newest_checkpoint(store, seq);
	if (i != SIZE_MAX && store->checkpoints[i].seq == seq)
		drop_checkpoint(store, i);
	return unlock(store, 0);
}

/* Records first … last become a gap, one with those that it touches. */
static int drop_range(struct store *store, uint64_t first, uint64_t last)
{
	struct lg_log_gap merged = { .first = first, .last = last, .reason = LG_GAP_RETENTION };
	if (reserve_gap(store) < 0)
		return LG_ENOMEM;
	if (store->records[last - 1])
		memcpy(merged.hash, store->records[last - 1]->record.hash, LG_HASH_SIZE);
	size_t at = 0, kept = 0;
	for (size_t i = 0; i < store->gap_count; i++) {
		const struct lg_log_gap gap = store->gaps[i];
		if (gap.first <= first && gap.last >= last)
			return 0;
		if (gap.first > last + 1 || gap.last + 1 < first) {
			at += gap.first < first;
			store->gaps[kept++] = gap;
			continue;
		}
		merged.first = gap.first < merged.first ? gap.first : merged.first;
		if (gap.last >= merged.last) {
			merged.last = gap.last;
			memcpy(merged.hash, gap.hash, LG_HASH_SIZE);
		}
	}
	memmove(&store->gaps[at + 1], &store->gaps[at], (kept - at) * sizeof *store->gaps);
	store->gaps[at] = merged;
	store->gap_count = kept + 1;
	for (uint64_t seq = first; seq <= last; seq++) {
		kept_free(store->records[seq - 1]);
		store->records[seq - 1] = NULL;
	}
	return 0;
}

static bool is_kept(uint64_t seq, const uint64_t *keep, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (keep[i] == seq)
			return true;
	}
	return false;
}

static int trim_locked(
	struct store *store, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err)
{
	struct lg_log_head head = store_head(store);
	if (before <= 1)
		return 0;
	if (before > head.seq)
		return lg_fail(err, LG_EINVALID, 0,
			"cannot drop the records before %" PRIu64 ": the log ends at %" PRIu64, before,
			head.seq);
	size_t newest = newest_checkpoint(store, head.seq);
	if (newest == SIZE_MAX || store->checkpoints[newest].seq < before - 1)
		return lg_fail(err, LG_EINVALID, 0,
			"cannot drop the records before %" PRIu64
			": no checkpoint holds the state that they lead to",
			before);
	uint64_t from = 1;
	for (size_t i = 0; i <= keep_count; i++) {
		uint64_t end = i < keep_count && keep[i] < before ? keep[i] : before; /* not included */
		if (end > from && drop_range(store, from, end - 1) < 0)
			return lg_fail_nomem(err);
		from = end + 1;
	}
	for (size_t i = store->checkpoint_count; i-- > 0;) {
		uint64_t seq = store->checkpoints[i].seq;
		if (seq < before - 1 && !is_kept(seq, keep, keep_count))
			drop_checkpoint(store, i);
	}
	return 0;
}

static int memory_trim(
	struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc < 0)
		return rc;
	struct store *store = lock(log);
	return unlock(store, trim_locked(store, before, keep, keep_count, err));
}

static int memory_skip(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc == 0)
		((struct memory *)log)->skip = *gap;
	return rc;
}

/* --- wait ------------------------------------------------------------------------------------------------------------ */

static int memory_wait(struct lg_log *log, int64_t timeout_ms, struct lg_error *err)
{
	struct memory *memory = (struct memory *)log;
	struct store *store = lock(log);
	struct timespec until;
	int rc = 0;

	(void)err;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (store_head(store).seq == memory->seen && rc != ETIMEDOUT)
		rc = timeout_ms < 0 ? pthread_cond_wait(&store->grown, &store->mutex)
				    : pthread_cond_timedwait(&store->grown, &store->mutex, &until);
	uint64_t head = store_head(store).seq;
	rc = head != memory->seen;
	memory->seen = head;
	return unlock(store, rc);
}

const struct lg_log_ops lg_log_memory_ops = {
	.api = LG_LOG_API,
	.scheme = "memory",
	.open = memory_open,
	.close = memory_close,
	.head = memory_head,
	.append = memory_append,
	.query = memory_query,
	.checkpoint_write = memory_checkpoint_write,
	.checkpoint_find = memory_checkpoint_find,
	.checkpoint_read = memory_checkpoint_read,
	.checkpoint_drop = memory_checkpoint_drop,
	.trim = memory_trim,
	.gap = memory_gap,
	.skip = memory_skip,
	.wait = memory_wait,
};
