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

struct kept_checkpoint {
	uint64_t seq;
	void *data;
	size_t len;
};

/* What the handles of one name share. */
struct store {
	struct store *next;
	char *name; /* NULL: private */
	unsigned users;
	pthread_mutex_t mutex; /* recursive: a visitor may read */
	pthread_cond_t grown;
	struct lg_log_head base;
	struct kept **records; /* records[i] has the seq base.seq + 1 + i */
	size_t count, size;
	struct kept_checkpoint *checkpoints; /* by seq */
	size_t checkpoint_count;
};

struct memory {
	struct lg_log log; /* first */
	struct store *store;
	bool readonly;
	uint64_t seen;
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
	struct lg_log_head head = store->base;
	if (store->count) {
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
		free(store->checkpoints[i].data);
	free(store->records);
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

/* --- head, first, base ----------------------------------------------------------------------------------------------- */

static int memory_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err)
{
	struct store *store = lock(log);
	(void)err;
	*ret_head = store_head(store);
	return unlock(store, 0);
}

static int memory_first(struct lg_log *log, uint64_t *ret_seq, struct lg_error *err)
{
	struct store *store = lock(log);
	(void)err;
	*ret_seq = store->count ? store->base.seq + 1 : 0;
	return unlock(store, 0);
}

static int memory_base(struct lg_log *log, struct lg_log_head *ret_base, struct lg_error *err)
{
	struct store *store = lock(log);
	(void)err;
	*ret_base = store->base;
	return unlock(store, 0);
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

static int append_locked(struct store *store, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	struct lg_log_head head = store_head(store);
	if (head.seq != expected->seq || memcmp(head.hash, expected->hash, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECONFLICT, 0,
			"the log has moved on: it is at record %" PRIu64 ", not at %" PRIu64, head.seq,
			expected->seq);
	if (reserve(store, count) < 0)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < count; i++) {
		struct kept *kept = kept_new(&records[i]);
		if (!kept) {
			while (i-- > 0)
				kept_free(store->records[store->count + i]);
			return lg_fail_nomem(err);
		}
		store->records[store->count + i] = kept;
	}
	store->count += count;
	return 0;
}

static int memory_append(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc < 0)
		return rc;
	struct store *store = lock(log);
	rc = append_locked(store, records, count, expected, err);
	if (rc == 0) {
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
	uint64_t base = store->base.seq, head = store_head(store).seq;
	uint64_t from = query->from > base ? query->from : base + 1;
	uint64_t to = query->to && query->to < head ? query->to : head;
	uint64_t visited = 0;

	for (uint64_t n = 0; from <= to && n <= to - from; n++) {
		const struct kept *kept = store->records[(query->newest_first ? to - n : from + n) - base - 1];
		if (!matches(kept, query))
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

static int checkpoint_locked(
	struct store *store, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	uint64_t head = store_head(store).seq;
	if (checkpoint->seq == 0 || checkpoint->seq > head)
		return lg_fail(err, LG_EINVALID, 0,
			"a checkpoint at record %" PRIu64 " is outside of the log, which ends at %" PRIu64,
			checkpoint->seq, head);
	void *data = malloc(checkpoint->len + 1);
	struct kept_checkpoint *grown =
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
		free(grown[at].data);
	} else {
		at = at == SIZE_MAX ? 0 : at + 1;
		memmove(&grown[at + 1], &grown[at], (store->checkpoint_count - at) * sizeof *grown);
		store->checkpoint_count++;
	}
	grown[at] = (struct kept_checkpoint){ .seq = checkpoint->seq, .data = data, .len = checkpoint->len };
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

static int memory_checkpoint_read(struct lg_log *log, uint64_t at,
	int (*visit)(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err), void *arg,
	struct lg_error *err)
{
	struct store *store = lock(log);
	size_t i = newest_checkpoint(store, at);
	if (i == SIZE_MAX)
		return unlock(store, no_checkpoint(at, err));
	const struct kept_checkpoint *kept = &store->checkpoints[i];
	struct lg_log_checkpoint checkpoint = { .seq = kept->seq, .data = kept->data, .len = kept->len };
	return unlock(store, visit(arg, &checkpoint, err));
}

static void drop_checkpoints(struct store *store, uint64_t before)
{
	size_t kept = 0;
	for (size_t i = 0; i < store->checkpoint_count; i++) {
		if (store->checkpoints[i].seq < before)
			free(store->checkpoints[i].data);
		else
			store->checkpoints[kept++] = store->checkpoints[i];
	}
	store->checkpoint_count = kept;
}

static int trim_locked(struct store *store, uint64_t before, struct lg_error *err)
{
	struct lg_log_head head = store_head(store);
	if (before <= store->base.seq + 1)
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
	size_t dropped = (size_t)(before - 1 - store->base.seq);
	store->base.seq = before - 1;
	memcpy(store->base.hash, store->records[dropped - 1]->record.hash, LG_HASH_SIZE);
	for (size_t i = 0; i < dropped; i++)
		kept_free(store->records[i]);
	store->count -= dropped;
	memmove(store->records, store->records + dropped, store->count * sizeof(struct kept *));
	drop_checkpoints(store, before - 1);
	return 0;
}

static int memory_trim(struct lg_log *log, uint64_t before, struct lg_error *err)
{
	int rc = refuse_readonly(log, err);
	if (rc < 0)
		return rc;
	struct store *store = lock(log);
	return unlock(store, trim_locked(store, before, err));
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
	.trim = memory_trim,
	.first = memory_first,
	.base = memory_base,
	.wait = memory_wait,
};
