#include "config/internal.h"

#include "base/cleanup.h"
#include "io/file.h"
#include "io/random.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-bp.h>

/* An address that no other living thread has. */
static const void *self(void)
{
	static _Thread_local char mark;
	return &mark;
}

bool lg_config_has_log(const struct lg_config *config)
{
	/* what other threads write there meanwhile is not this thread's address */
	return atomic_load_explicit(&config->holder, memory_order_relaxed) == self();
}

#define SPINS 500

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* It is held for microseconds, mostly, by somebody who runs: who would sleep at once for it would come back behind all
 * the writers that a finished batch has woken. */
void lg_config_take_lock(struct lg_config *config)
{
	for (int i = 0; i < SPINS; i++) {
		if (pthread_mutex_trylock(&config->lock) == 0)
			return;
		relax();
	}
	pthread_mutex_lock(&config->lock);
}

void lg_config_take_lock_first(struct lg_config *config)
{
	atomic_store(&config->lock_wanted, true);
	lg_config_take_lock(config);
	atomic_store(&config->lock_wanted, false);
}

void lg_config_let_pass(struct lg_config *config)
{
	if (!atomic_load_explicit(&config->lock_wanted, memory_order_relaxed))
		return;
	pthread_mutex_unlock(&config->lock);
	for (int i = 0; i < SPINS && atomic_load_explicit(&config->lock_wanted, memory_order_relaxed); i++)
		relax();
	lg_config_take_lock(config);
}

bool lg_config_others_wait(const struct lg_config *config)
{
	return config->turns_given - config->turn > 1;
}

void lg_config_lock(struct lg_config *config)
{
	if (lg_config_has_log(config)) {
		config->depth++;
		return;
	}
	lg_config_take_lock(config);
	for (uint64_t mine = config->turns_given++; config->turn != mine;)
		pthread_cond_wait(&config->turns, &config->lock);
	atomic_store_explicit(&config->holder, self(), memory_order_relaxed);
	config->depth = 1;
}

void lg_config_unlock(struct lg_config *config)
{
	if (--config->depth)
		return;
	atomic_store_explicit(&config->holder, NULL, memory_order_relaxed);
	config->turn++;
	if (config->turn != config->turns_given)
		pthread_cond_broadcast(&config->turns);
	pthread_mutex_unlock(&config->lock);
}

/* ThreadSanitizer does not see liburcu's barriers, so it is told what they promise: who dereferences the state sees what
 * was done before it was published, and after a grace period the readers of the former one have left. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define order_before(at) __tsan_release(at)
#define order_after(at)  __tsan_acquire(at)
#else
#define order_before(at) ((void)(at))
#define order_after(at)  ((void)(at))
#endif

/* --- published state ------------------------------------------------------------------------------------------------ */

struct lg_published *lg_published_new(struct lg_error *err)
{
	struct lg_published *room = calloc(1, sizeof *room);
	if (!room)
		lg_fail_nomem(err);
	return room;
}

void lg_published_free(struct lg_published *published)
{
	if (!published)
		return;
	lg_tree_unref(published->tree);
	free(published);
}

void lg_published_freep(struct lg_published **published)
{
	lg_published_free(*published);
}

void lg_config_snapshot(struct lg_config *config, struct lg_snapshot *ret_snapshot)
{
	urcu_bp_read_lock();
	const struct lg_published *now = rcu_dereference(config->published);
	order_after(&config->published);
	ret_snapshot->revision = now->revision;
	ret_snapshot->seq = now->seq;
	/* counted inside the read section: its own reference is not dropped before we leave it */
	ret_snapshot->tree = lg_tree_ref(now->tree);
	order_before(config);
	urcu_bp_read_unlock();
}

void lg_snapshot_clear(struct lg_snapshot *snapshot)
{
	lg_tree_unref(snapshot->tree);
	*snapshot = (struct lg_snapshot){ 0 };
}

void lg_config_publish(struct lg_config *config, struct lg_published *room, uint64_t revision, uint64_t seq,
	struct lg_tree *tree)
{
	*room = (struct lg_published){ revision, seq, lg_tree_ref(tree) };
	order_before(&config->published);
	struct lg_published *former = rcu_xchg_pointer(&config->published, room);
	bool moved = former->revision != revision;
	urcu_bp_synchronize_rcu();
	order_after(config);
	lg_published_free(former);
	lg_cache_published(config, tree);
	if (!moved)
		return;
	lg_cache_remember(config, revision, tree);
	const struct lg_snapshot snapshot = { revision, seq, tree };
	config->in_subscriber = true;
	for (size_t i = 0; i < config->subscriber_count; i++) {
		if (config->subscribers[i].after)
			config->subscribers[i].after(config->subscribers[i].arg, &snapshot);
	}
	config->in_subscriber = false;
}

int lg_config_may_write(const struct lg_config *config, struct lg_error *err)
{
	if (!lg_config_has_log(config))
		return 0;
	return lg_fail(err, LG_EINTERNAL, 0, "who looks at a change or a record must not write meanwhile");
}

static void note_who_asks(struct lg_config *config)
{
	config->asks_before = false;
	for (size_t i = 0; i < config->subscriber_count; i++)
		config->asks_before = config->asks_before || config->subscribers[i].before;
}

int lg_config_subscribe(struct lg_config *config, const struct lg_subscriber *subscriber, struct lg_error *err)
{
	lg_config_lock(config);
	size_t count = config->subscriber_count;
	struct lg_subscriber *all = realloc(config->subscribers, (count + 1) * sizeof *all);
	if (all) {
		config->subscribers = all;
		all[config->subscriber_count++] = *subscriber;
		note_who_asks(config);
	}
	lg_config_unlock(config);
	return all ? 0 : lg_fail_nomem(err);
}

void lg_config_unsubscribe(struct lg_config *config, const void *arg)
{
	lg_config_lock(config);
	size_t kept = 0;
	for (size_t i = 0; i < config->subscriber_count; i++) {
		if (config->subscribers[i].arg != arg)
			config->subscribers[kept++] = config->subscribers[i];
	}
	config->subscriber_count = kept;
	note_who_asks(config);
	lg_config_unlock(config);
}

/* --- init and open --------------------------------------------------------------------------------------------------- */

static int secret_key_path(const char *state_dir, char **ret_path, struct lg_error *err)
{
	*ret_path = lg_path_join(state_dir, "secret.key");
	return *ret_path ? 0 : lg_fail_nomem(err);
}

/* The key comes before the log.  So a log without one has lost it: another key must not take its place, or what is sealed
 * from then on would open with one, and what was sealed before with the other. */
static int make_secret_key(const char *state_dir, struct lg_error *err)
{
	lg_autofree char *path = NULL;
	lg_autofree char *log = lg_path_join(state_dir, "log.db");
	int rc = log ? secret_key_path(state_dir, &path, err) : lg_fail_nomem(err);
	if (rc < 0 || lg_file_exists(log) || lg_file_exists(path))
		return rc; /* an init that was cut off left it: keep it */
	uint8_t key[LG_SECRET_KEY_SIZE];
	lg_random_bytes(key, sizeof key);
	const struct lg_replace_options options = { .mode = 0600, .refuse_exist = true };
	return lg_file_replace(path, key, sizeof key, &options, err);
}

static int open_log(const char *state_dir, const struct lg_clock *clock, bool create, bool readonly,
	struct lg_log **ret_log, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf url = LG_BUF_INIT;
	lg_buf_addf(&url, "sqlite:%s/log.db", state_dir);
	int rc = lg_buf_check(&url, err);
	if (rc < 0)
		return rc;
	const struct lg_log_open options = {
		.create = create, .refuse_exist = create, .readonly = readonly, .clock = clock
	};
	return lg_log_open(url.data, &options, ret_log, err);
}

int lg_config_init(const char *state_dir, const struct lg_clock *clock, struct lg_error *err)
{
	int rc = lg_dir_make(state_dir, 0700, err);
	if (rc == 0)
		rc = lg_dir_check_owner(state_dir, err);
	if (rc == 0)
		rc = make_secret_key(state_dir, err);
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	if (rc == 0)
		rc = open_log(state_dir, clock ? clock : lg_clock_system(), true, false, &log, err);
	return rc < 0 ? lg_context(err, rc, "cannot initialise '%s'", state_dir) : 0;
}

static int read_secret_key(struct lg_config *config, struct lg_error *err)
{
	lg_autofree char *path = NULL;
	int rc = secret_key_path(config->state_dir, &path, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_buf_clear) struct lg_buf key = LG_BUF_INIT;
	struct lg_error absent = LG_ERROR_INIT;
	rc = lg_file_read(path, 4096, &key, &absent);
	if (rc == LG_ENOTFOUND)
		return 0; /* everything but secrets works without it; sealing and opening say so */
	if (rc < 0) {
		if (err)
			*err = absent;
		return rc;
	}
	if (key.len != LG_SECRET_KEY_SIZE)
		return lg_fail(err, LG_ECORRUPT, 0,
			"'%s' has %zu bytes instead of %d; restore it from a backup", path, key.len,
			LG_SECRET_KEY_SIZE);
	memcpy(config->secret_key, key.data, LG_SECRET_KEY_SIZE);
	config->has_secret_key = true;
	return 0;
}

const uint8_t *lg_config_secret_key(const struct lg_config *config)
{
	return config->has_secret_key ? config->secret_key : NULL;
}

#define LOADS_MAX 20

struct fold {
	struct lg_controls *controls;
	uint64_t from; /* counts those from here on */
	size_t count;
};

static int fold_control(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct fold *fold = arg;
	fold->count += record->seq >= fold->from;
	return lg_controls_fold(fold->controls, record, err);
}

/* The controls behind the state's checkpoint.  State and controls are found through an index; that it says of the newest
 * records what these say themselves is proven along the chain, as a database that is put together from two backups, or a
 * bit that flipped, could have it otherwise.  So the newest state is right or refused; of the rest, verifying tells. */
static int complete(struct lg_config *config, struct lg_state *state, struct lg_error *err)
{
	struct lg_tail tail;
	int rc = lg_state_tail(config, config->head.seq, &tail, err);
	if (rc < 0)
		return rc;
	struct fold fold = { .controls = &state->controls, .from = tail.from };
	const struct lg_log_query later = {
		.from = state->base_seq + 1, .to = config->head.seq, .kinds = LG_CONTROL_KINDS
	};
	if (state->base_seq < config->head.seq)
		rc = lg_log_query(config->log, &later, fold_control, &fold, err);
	if (rc < 0)
		return rc;
	bool same = tail.revision ? tail.revision == state->revision : state->revision < tail.from;
	if (same && tail.controls == fold.count)
		return 0;
	return lg_fail(err, LG_ECORRUPT, 0,
		"the index of the log says otherwise than its newest records; run: lastgood recover verify");
}

/* Everything anew, or nothing changes. */
static int load_as_of(struct lg_config *config, const struct lg_log_head *head, struct lg_error *err)
{
	const struct lg_log_head former = config->head;
	lg_cleanup(lg_published_freep) struct lg_published *room = lg_published_new(err);
	if (!room)
		return LG_ENOMEM;
	lg_cleanup(lg_state_clear) struct lg_state state = { 0 };
	config->head = *head; /* what restores point to lies before it */
	int rc = lg_state_load(config, head->seq, &state, err);
	if (rc == 0)
		rc = complete(config, &state, err);
	if (rc < 0) {
		config->head = former;
		return rc;
	}
	lg_touch_forget(config);
	lg_controls_clear(&config->controls);
	config->controls = state.controls;
	state.controls = (struct lg_controls){ 0 };
	config->checkpoint_seq = state.base_seq;
	config->checkpoint_len = state.base_len;
	config->tail_cost = state.tail_cost;
	config->tail_goes_far = state.tail_goes_far;
	lg_config_publish(config, lg_steal_ptr(&room), state.revision, head->seq, state.tree);
	lg_group_start_over(config);
	return 0;
}

/* It is read in several steps, between which others may write, and retention may drop what is about to be read.  So what does
 * not hold together is believed only when nothing has moved meanwhile. */
static int load_state(struct lg_config *config, struct lg_error *err)
{
	for (int i = 0;; i++) {
		struct lg_error ignored = LG_ERROR_INIT;
		struct lg_log_head head, now;
		int rc = lg_log_head(config->log, &head, err);
		if (rc == 0)
			rc = load_as_of(config, &head, err);
		bool may_have_moved = rc == LG_ECORRUPT || rc == LG_ENOTFOUND;
		if (!may_have_moved || i == LOADS_MAX || lg_log_head(config->log, &now, &ignored) < 0 ||
			now.seq == head.seq)
			return rc;
	}
}

static int start(struct lg_config *config, const struct lg_config_options *options, struct lg_error *err)
{
	config->state_dir = strdup(options->state_dir ? options->state_dir : "");
	config->published = lg_published_new(err);
	if (config->published)
		config->published->tree = lg_tree_empty();
	if (!config->state_dir || !config->published || !config->published->tree)
		return lg_fail_nomem(err);
	int rc = 0;
	if (options->state_dir) {
		rc = lg_dir_check_owner(options->state_dir, err);
		if (rc == 0)
			rc = read_secret_key(config, err);
	}
	if (rc == 0 && !config->log)
		rc = open_log(options->state_dir, config->clock, false, options->readonly, &config->log, err);
	if (rc < 0)
		return rc;
	return options->without_state ? lg_log_head(config->log, &config->head, err) : load_state(config, err);
}

int lg_config_open(const struct lg_config_options *options, struct lg_config **ret_config, struct lg_error *err)
{
	struct lg_config *config = calloc(1, sizeof *config);
	if (!config) {
		lg_log_close(options->log);
		return lg_fail_nomem(err);
	}
	config->log = options->log;
	config->clock = options->clock ? options->clock : lg_clock_system();
	config->cache_limit = options->cache_bytes;
	pthread_mutex_init(&config->lock, NULL);
	pthread_cond_init(&config->turns, NULL);
	lg_group_init(&config->group);
	lg_config_lock(config); /* for form's sake: nobody else knows it yet */
	int rc = start(config, options, err);
	lg_config_unlock(config);
	if (rc < 0) {
		const char *where = options->state_dir ? options->state_dir : "the log";
		lg_config_close(config);
		return lg_context(err, rc, "cannot open '%s'", where);
	}
	config->refusals = options->state_dir && !options->readonly ? lg_refusals_new() : NULL;
	*ret_config = config;
	return 0;
}

void lg_config_close(struct lg_config *config)
{
	if (!config)
		return;
	lg_refusals_close(config);
	lg_checkpoint_finish(config);
	lg_touch_forget(config);
	lg_cache_clear(config);
	lg_cache_published(config, NULL);
	lg_published_free(config->published);
	lg_controls_clear(&config->controls);
	lg_group_clear(&config->group);
	lg_log_close(config->log);
	free(config->subscribers);
	free(config->state_dir);
	explicit_bzero(config->secret_key, sizeof config->secret_key);
	pthread_cond_destroy(&config->turns);
	pthread_mutex_destroy(&config->lock);
	free(config);
}

void lg_config_closep(struct lg_config **config)
{
	lg_config_close(*config);
}

const char *lg_config_state_dir(const struct lg_config *config)
{
	return config->state_dir;
}

const struct lg_clock *lg_config_clock(const struct lg_config *config)
{
	return config->clock;
}

/* --- following ------------------------------------------------------------------------------------------------------ */

struct follow {
	struct lg_config *config;
	struct lg_log_head head;
	uint64_t revision;
	struct lg_tree *tree;
};

static int follow_state(struct follow *follow, const struct lg_record *record, struct lg_error *err)
{
	struct lg_tree *next = NULL;
	/* what a restore points to may lie between the published head and here */
	follow->config->head = follow->head;
	int rc = lg_apply_record(follow->config, follow->tree, NULL, record, &next, err);
	if (rc < 0)
		return rc;
	lg_tree_unref(follow->tree);
	follow->tree = next;
	follow->revision = record->seq;
	lg_cache_remember(follow->config, record->seq, next);
	lg_state_count_cost(follow->config, record);
	return 0;
}

static int follow_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct follow *follow = arg;
	int rc = lg_record_check(record, follow->head.seq, follow->head.hash, err);
	if (rc < 0)
		return lg_context(err, rc, "the log was changed behind our back; look with: lastgood doctor");
	rc = lg_kind_is_state(record->kind) ? follow_state(follow, record, err)
					    : lg_controls_fold(&follow->config->controls, record, err);
	if (rc < 0)
		return rc;
	follow->head.seq = record->seq;
	memcpy(follow->head.hash, record->hash, LG_HASH_SIZE);
	return 0;
}

static int check_head(const struct lg_config *config, const struct lg_log_head *head, struct lg_error *err)
{
	bool same = head->seq == config->head.seq && memcmp(head->hash, config->head.hash, LG_HASH_SIZE) == 0;
	if (head->seq > config->head.seq || same)
		return 0;
	return lg_fail(err, LG_ECORRUPT, 0,
		"the log went back from r%" PRIu64 " to r%" PRIu64
		": its file was replaced; start this process again",
		config->head.seq, head->seq);
}

static int follow_to(struct lg_config *config, uint64_t to, struct lg_error *err)
{
	lg_cleanup(lg_published_freep) struct lg_published *room = lg_published_new(err);
	if (!room)
		return LG_ENOMEM;
	struct follow follow = { config, config->head, config->published->revision,
		lg_tree_ref(config->published->tree) };
	const struct lg_log_query query = { .from = config->head.seq + 1, .to = to };
	int rc = lg_log_query(config->log, &query, follow_record, &follow, err);
	/* even after a failure, what was followed so far is consistent */
	config->head = follow.head;
	lg_config_publish(config, lg_steal_ptr(&room), follow.revision, follow.head.seq, follow.tree);
	lg_group_start_over(config);
	lg_tree_unref(follow.tree);
	return rc;
}

int lg_config_refresh_locked(struct lg_config *config, struct lg_error *err)
{
	/* a change that a subscriber is looking at stands on this state */
	if (config->in_subscriber)
		return 0;
	struct lg_log_head head;
	uint64_t first;
	int rc = lg_log_head(config->log, &head, err);
	if (rc == 0)
		rc = check_head(config, &head, err);
	if (rc < 0 || head.seq == config->head.seq)
		return rc;
	rc = lg_log_first(config->log, &first, err);
	if (rc < 0)
		return rc;
	if (first <= config->head.seq + 1) {
		struct lg_error ignored = LG_ERROR_INIT;
		rc = follow_to(config, head.seq, err);
		if (rc != LG_ECORRUPT || lg_log_first(config->log, &first, &ignored) < 0 ||
			first <= config->head.seq + 1)
			return rc;
	}
	/* retention dropped what would have to be followed, perhaps only just now */
	return load_state(config, err);
}

int lg_config_refresh(struct lg_config *config, struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_config_refresh_locked(config, err);
	lg_config_unlock(config);
	return rc;
}

/* How long to sleep at most before the log is asked again: a signal may be lost, and not every log gives one. */
enum { POLL_SIGNALLED_MS = 500, POLL_MS = 50 };

/* 1: somebody appended, 0: not yet.  ret_fd: what becomes readable then, or -1. */
static int look_for_others(struct lg_config *config, bool *ret_moved, int *ret_fd, struct lg_error *err)
{
	lg_config_lock(config);
	uint64_t former = config->head.seq;
	int rc = lg_log_wait(config->log, 0, err);
	if (rc >= 0)
		rc = lg_config_refresh_locked(config, err);
	*ret_moved = config->head.seq != former;
	*ret_fd = lg_log_wait_fd(config->log);
	lg_config_unlock(config);
	return rc;
}

/* The log belongs to whoever has the lock, and nobody may have that while sleeping: so the sleep is here.  It ends with a
 * signal handler, too, since the caller may want to end. */
int lg_config_wait(struct lg_config *config, int64_t timeout_ms, struct lg_error *err)
{
	/* the real clock, also under a simulated one: what is waited for are other processes */
	const struct lg_clock *clock = lg_clock_system();
	const int64_t start_ns = clock->boottime_ns(clock);
	for (;;) {
		bool moved;
		struct pollfd polled = { .events = POLLIN };
		int rc = look_for_others(config, &moved, &polled.fd, err);
		if (rc < 0 || moved)
			return rc < 0 ? rc : 1;
		int64_t slice_ms = polled.fd >= 0 ? POLL_SIGNALLED_MS : POLL_MS;
		int64_t left_ms = timeout_ms - (clock->boottime_ns(clock) - start_ns) / 1000000;
		if (timeout_ms >= 0 && left_ms <= 0)
			return 0;
		if (timeout_ms >= 0 && left_ms < slice_ms)
			slice_ms = left_ms;
		if (poll(&polled, 1, (int)slice_ms) < 0 && errno == EINTR)
			return 0;
	}
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

int lg_config_tree_at(
	struct lg_config *config, uint64_t revision, struct lg_tree **ret_tree, struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_state_tree_at(config, revision, ret_tree, err);
	lg_config_unlock(config);
	return rc;
}

static int copy_root(void *arg, const struct lg_record *record, struct lg_error *err)
{
	if (!record->has_root)
		return lg_fail(err, LG_ENOTFOUND, 0, "r%" PRIu64 " is a %s and did not change the state",
			record->seq, lg_kind_name(record->kind));
	memcpy(arg, record->root, LG_HASH_SIZE);
	return 0;
}

int lg_config_root_at(
	struct lg_config *config, uint64_t revision, uint8_t ret_root[LG_HASH_SIZE], struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_log_get_bare(config->log, revision, copy_root, ret_root, err);
	lg_config_unlock(config);
	return rc;
}

int lg_config_query(struct lg_config *config, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_log_query(config->log, query, visit, arg, err);
	lg_config_unlock(config);
	return rc;
}

int lg_config_find_id(struct lg_config *config, uint64_t after, const uint8_t id[LG_ID_SIZE], uint64_t *ret_seq,
	struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_log_find_id(config->log, after, id, ret_seq, err);
	lg_config_unlock(config);
	return rc;
}

int lg_config_plain(
	struct lg_config *config, const struct lg_entry *entry, struct lg_buf *ret_value, struct lg_error *err)
{
	if (!lg_secret_is_sealed(entry->value, entry->value_len)) {
		lg_buf_add(ret_value, entry->value, entry->value_len);
		return lg_buf_check(ret_value, err);
	}
	if (!config->has_secret_key)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"'%s' is a secret, and '%s/secret.key' is missing; restore it from a backup",
			entry->key, config->state_dir);
	return lg_secret_open(config->secret_key, entry->key, entry->value, entry->value_len, ret_value, err);
}
