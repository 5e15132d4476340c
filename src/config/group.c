/* Group commit: whoever writes at the same time shares one append, so one sync of the disk (docs/decisions/0008).
 *
 * A writer puts its request on a stack without a lock.  Who put it on an empty one collects for all that come until it has
 * the lock: into the line, each validated and sealed on the tip.  The first in the line leads: it takes a turn at the log,
 * appends what is prepared by then as one batch, publishes once and wakes the others of its batch; after a few batches the
 * then first in the line leads.  While a leader waits for the disk the lock is free, and the next batch is prepared on the
 * tip.  A writer that is alone does all of this itself and wakes nobody.
 *
 * What a request is told is true on disk: also a verdict (refused, nothing differs, a dry run) stands on a tip that may not
 * come to be, so it waits in the line like any other.  When a batch fails, what was prepared behind it is prepared again. */
#include "config/internal.h"

#include "base/cleanup.h"
#include "base/futex.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* One batch: what is more goes into the next one.  A request that alone is more is a batch of its own. */
#define BATCH_RECORDS ((size_t)256)
#define BATCH_BYTES   ((size_t)1024 * 1024)
/* For how long subscribers may be asked for one batch: who was asked first waits for the last. */
#define ASKING_NS INT64_C(1000000)
/* For how many more batches a leader stays once its own request is through: who takes over first has to wake up, and the
 * disk waits for that; who stays lets its own caller wait. */
#define STAY 7
/* How often another process may be faster. */
#define ATTEMPTS_MAX 1000

/* --- the line -------------------------------------------------------------------------------------------------------- */

/* In place of an empty stack: somebody has the duty to collect, and will look again before it goes. */
static struct lg_request *served(struct lg_group *group)
{
	return (struct lg_request *)(void *)group;
}

/* True when nobody has the duty to collect: then the caller has it.  Sequentially consistent: who arrives before it reads the
 * number of a batch must be seen by whoever takes that batch off first and then looks who arrived (wake_late_ones). */
static bool arrive(struct lg_group *group, struct lg_request *request)
{
	struct lg_request *newest = atomic_load_explicit(&group->arrived, memory_order_relaxed);
	do
		request->behind = newest;
	while (!atomic_compare_exchange_weak_explicit(
		&group->arrived, &newest, request, memory_order_seq_cst, memory_order_relaxed));
	return !newest;
}

/* False when more have arrived. */
static bool end_duty(struct lg_group *group)
{
	struct lg_request *nobody = served(group);
	return atomic_compare_exchange_strong(&group->arrived, &nobody, NULL);
}

static void collect(struct lg_group *group)
{
	struct lg_request *newest = atomic_load_explicit(&group->arrived, memory_order_relaxed);
	struct lg_request *oldest = NULL;
	if (!newest || newest == served(group))
		return;
	newest = atomic_exchange_explicit(&group->arrived, served(group), memory_order_acquire);
	while (newest && newest != served(group)) {
		struct lg_request *older = newest->behind;
		newest->behind = oldest;
		oldest = newest;
		newest = older;
	}
	if (!oldest)
		return;
	if (group->last)
		group->last->behind = oldest;
	else
		group->first = oldest;
	if (!group->waiting)
		group->waiting = oldest;
	for (group->last = oldest; group->last->behind;)
		group->last = group->last->behind;
}

static bool needs_log(const struct lg_config *config, const struct lg_request *request)
{
	return request->needs_log || (request->asks_subscribers && config->asks_before);
}

static void prepare(struct lg_config *config, struct lg_request *request)
{
	struct lg_group *group = &config->group;
	request->rc = request->prepare(config, request, request->err);
	request->is_prepared = true;
	group->waiting = request->behind;
	group->prepared_records += request->count;
	group->prepared_bytes += request->bytes;
}

/* As many as fit into a batch, in order; without the log, up to the first that needs it. */
static void prepare_more(struct lg_config *config)
{
	struct lg_group *group = &config->group;
	const struct lg_clock *clock = lg_clock_system();
	const bool has_log = lg_config_has_log(config);
	const int64_t start_ns = config->asks_before ? clock->boottime_ns(clock) : 0;
	collect(group);
	while (group->waiting && group->prepared_records < BATCH_RECORDS &&
		group->prepared_bytes < BATCH_BYTES) {
		if (!has_log && needs_log(config, group->waiting))
			break;
		prepare(config, group->waiting);
		if (!has_log)
			lg_config_let_pass(config);
		if (config->asks_before && clock->boottime_ns(clock) - start_ns > ASKING_NS)
			break;
	}
}

void lg_group_start_over(struct lg_config *config)
{
	struct lg_group *group = &config->group;
	for (struct lg_request *request = group->first; request && request->is_prepared;
		request = request->behind) {
		lg_request_unseal(request);
		request->forget(request);
		request->is_prepared = false;
	}
	group->waiting = group->first;
	group->prepared_records = group->prepared_bytes = 0;
	lg_tree_unref(group->tip.tree);
	group->tip = (struct lg_tip){
		.head = config->head,
		.revision = config->published->revision,
		.tree = lg_tree_ref(config->published->tree),
		.controls = &config->controls,
	};
}

void lg_group_init(struct lg_group *group)
{
	atomic_store(&group->batch, 1);
}

void lg_group_clear(struct lg_group *group)
{
	lg_tree_unref(group->tip.tree);
	free(group->records);
	*group = (struct lg_group){ .first = NULL };
}

/* --- a batch ---------------------------------------------------------------------------------------------------------- */

struct batch {
	struct lg_request *first, *last;
	size_t requests, records, bytes;
};

/* Room to lay the records of several requests side by side. */
static bool has_room(struct lg_group *group)
{
	if (!group->records)
		group->records = calloc(BATCH_RECORDS, sizeof *group->records);
	return group->records;
}

/* The prepared ones from the front of the line that are appended together; they stay there. */
static struct batch look_at_batch(struct lg_group *group)
{
	struct batch batch = { .first = group->first };
	for (struct lg_request *request = group->first; request && request->is_prepared;
		request = request->behind) {
		bool is_full = batch.records + request->count > BATCH_RECORDS ||
			batch.bytes + request->bytes > BATCH_BYTES;
		if (batch.requests && (is_full || !has_room(group)))
			break;
		batch.last = request;
		batch.requests++;
		batch.records += request->count;
		batch.bytes += request->bytes;
	}
	return batch;
}

static void take_off(struct lg_group *group, const struct batch *batch)
{
	const uint32_t number = atomic_load_explicit(&group->batch, memory_order_relaxed);
	for (struct lg_request *request = batch->first; request != batch->last->behind;
		request = request->behind)
		atomic_store(&request->batch, number);
	atomic_store(&group->batch, number == UINT32_MAX ? 1 : number + 1);
	group->first = batch->last->behind;
	if (!group->first)
		group->last = NULL;
	batch->last->behind = NULL;
	group->prepared_records -= batch->records;
	group->prepared_bytes -= batch->bytes;
}

static void put_back(struct lg_group *group, const struct batch *batch)
{
	if (!batch->first)
		return;
	for (struct lg_request *request = batch->first; request; request = request->behind)
		atomic_store(&request->batch, 0);
	batch->last->behind = group->first;
	group->first = batch->first;
	if (!group->last)
		group->last = batch->last;
}

static const struct lg_record *lay_out(struct lg_group *group, const struct batch *batch)
{
	if (batch->requests == 1)
		return batch->first->records;
	size_t count = 0;
	for (const struct lg_request *request = batch->first; request; request = request->behind) {
		if (request->count)
			memcpy(&group->records[count], request->records,
				request->count * sizeof *group->records);
		count += request->count;
	}
	return group->records;
}

/* The append may or may not have happened: the log itself knows. */
static int settle(struct lg_config *config, const struct lg_record *first, struct lg_error *err)
{
	uint64_t seq;
	struct lg_error probe = LG_ERROR_INIT;
	int found = lg_log_find_id(config->log, config->head.seq, first->id, &seq, &probe);
	if (found == 1 && seq == first->seq)
		return 0;
	if (found == 0)
		return lg_context(err, LG_EIO, "the change was not written");
	return lg_context(
		err, LG_EUNKNOWN, "whether the change was written is not known; run: lastgood history");
}

static void take_controls(struct lg_config *config, struct lg_request *request)
{
	const struct lg_controls former = config->controls;
	config->controls = request->controls;
	if (config->group.tip.controls == &request->controls)
		config->group.tip.controls = &config->controls;
	request->controls = former; /* freed by its writer */
}

/* What is durable becomes what everybody sees. */
static void publish(struct lg_config *config, const struct batch *batch)
{
	struct lg_published *room = NULL;
	struct lg_tree *tree = config->published->tree;
	uint64_t revision = config->published->revision;
	for (struct lg_request *request = batch->first; request; request = request->behind) {
		if (!request->count)
			continue;
		if (!room)
			room = lg_steal_ptr(&request->room);
		const struct lg_record *newest = &request->records[request->count - 1];
		config->head.seq = newest->seq;
		memcpy(config->head.hash, newest->hash, LG_HASH_SIZE);
		if (request->next) {
			tree = request->next;
			revision = request->records[0].seq;
			lg_state_count_cost(config, &request->records[0]);
		}
		if (request->has_controls)
			take_controls(config, request);
	}
	lg_config_publish(config, room, revision, config->head.seq, tree);
}

/* --- sleeping --------------------------------------------------------------------------------------------------------- */

/* Who leads has better to do than to wake them all: it wakes one, which does the rest. */
static void wake_others(struct lg_rounds *rounds)
{
	if (!atomic_exchange(&rounds->wakes_all, false))
		return;
	_Atomic uint32_t *single = atomic_exchange(&rounds->wakes_it, NULL);
	if (single)
		lg_futex_wake(single, 1);
	lg_futex_wake(&rounds->number, INT_MAX);
}

/* A request that is not in a batch yet will be in the next one, or a later one; when the next is done its writer looks again.
 * The order of reading matters: a batch taken off in between is the one that was read, and its round, read before it, has not
 * ended then, however long that took. */
static void sleep_until_told(struct lg_group *group, struct lg_request *own)
{
	while (own->sleeps_alone && atomic_load(&own->told) == LG_TOLD_NOTHING)
		lg_futex_wait(&own->told, LG_TOLD_NOTHING);
	while (atomic_load(&own->told) == LG_TOLD_NOTHING) {
		const uint32_t numbers[] = { atomic_load(&group->rounds[0].number),
			atomic_load(&group->rounds[1].number) };
		uint32_t batch = atomic_load(&group->batch);
		uint32_t taken = atomic_load(&own->batch);
		uint32_t round = (taken ? taken : batch) & 1;
		struct lg_rounds *rounds = &group->rounds[round];
		if (atomic_load(&own->told) != LG_TOLD_NOTHING)
			break;
		lg_futex_wait(&rounds->number, numbers[round]);
		wake_others(rounds);
	}
}

/* --- leading ---------------------------------------------------------------------------------------------------------- */

struct lead {
	struct lg_config *config;
	struct lg_request *own;
	/* to be woken once the lock is let go of */
	bool wakes[2]; /* on these rounds */
	/* on what were their own `told`; they may be gone, and nobody reads there */
	_Atomic uint32_t *singles[4];
	size_t single_count;
	struct lg_error why;
};

static void wake_singles(struct lead *lead)
{
	while (lead->single_count)
		lg_futex_wake(lead->singles[--lead->single_count], 1);
}

static void wake(struct lead *lead)
{
	for (size_t i = 0; i < 2; i++) {
		struct lg_rounds *rounds = &lead->config->group.rounds[i];
		_Atomic uint32_t *none = NULL;
		if (!lead->wakes[i])
			continue;
		lead->wakes[i] = false;
		if (lead->single_count &&
			atomic_compare_exchange_strong(
				&rounds->wakes_it, &none, lead->singles[lead->single_count - 1]))
			lead->single_count--;
		atomic_fetch_add(&rounds->number, 1);
		atomic_store(&rounds->wakes_all, true);
		/* nobody sleeps, and nobody will any more */
		if (lg_futex_wake(&rounds->number, 1) == 0)
			wake_others(rounds);
	}
	wake_singles(lead);
}

static void tell(struct lead *lead, struct lg_request *request, enum lg_told what)
{
	_Atomic uint32_t *told = &request->told;
	bool is_other = request != lead->own;
	bool is_single = is_other && request->sleeps_alone;
	if (is_other && !is_single && what == LG_TOLD_LEAD)
		lead->wakes[0] = lead->wakes[1] = true;
	else if (is_other && !is_single)
		lead->wakes[atomic_load_explicit(&request->batch, memory_order_relaxed) & 1] = true;
	atomic_store(told, what);
	if (!is_single)
		return;
	if (lead->single_count == sizeof lead->singles / sizeof *lead->singles)
		wake_singles(lead);
	lead->singles[lead->single_count++] = told;
}

static void fail(struct lead *lead, struct lg_request *request, int rc)
{
	request->rc = rc;
	if (request->err)
		*request->err = lead->why;
	tell(lead, request, LG_TOLD_DONE);
}

/* A batch is through.  Who came too late for it may sleep on its round all the same: it had arrived before the batch was taken
 * off, and so is seen here.  Of those that were in it, perhaps nobody sleeps on a round. */
static void wake_late_ones(struct lead *lead, uint32_t number)
{
	struct lg_group *group = &lead->config->group;
	const struct lg_request *arrived = atomic_load(&group->arrived);
	if (group->first || (arrived && arrived != served(group)))
		lead->wakes[number & 1] = true;
}

static void finish_all(struct lead *lead, const struct batch *batch)
{
	wake_late_ones(lead, atomic_load_explicit(&batch->first->batch, memory_order_relaxed));
	for (struct lg_request *request = batch->first, *behind; request; request = behind) {
		behind = request->behind;
		tell(lead, request, LG_TOLD_DONE);
	}
}

/* Into the line again.  They sleep on rounds that may not be theirs any more. */
static void send_back(struct lead *lead, const struct batch *batch)
{
	put_back(&lead->config->group, batch);
	lg_group_start_over(lead->config);
	lead->wakes[0] = lead->wakes[1] = true;
}

/* Those that would have been written have failed.  What the others were told stood on them: they get into the line again. */
static void fail_batch(struct lead *lead, const struct batch *batch, int rc)
{
	struct batch others = { 0 };
	for (struct lg_request *request = batch->first, *behind; request; request = behind) {
		behind = request->behind;
		if (request->count) {
			fail(lead, request, rc);
			continue;
		}
		request->behind = NULL;
		if (others.last)
			others.last->behind = request;
		else
			others.first = request;
		others.last = request;
	}
	send_back(lead, &others);
}

/* Nothing to write, but is what was said still so?  Others may have appended since. */
static int confirm(struct lead *lead, const struct batch *batch)
{
	struct lg_config *config = lead->config;
	int rc = lg_config_refresh_locked(config, &lead->why);
	if (rc < 0 || !batch->first->is_prepared)
		return rc;
	take_off(&config->group, batch);
	finish_all(lead, batch);
	return 0;
}

/* With the log, without the lock. */
static int append(struct lead *lead, const struct lg_record *records, size_t count)
{
	struct lg_config *config = lead->config;
	pthread_mutex_unlock(&config->lock);
	wake(lead);
	int rc = lg_log_append(config->log, records, count, &config->head, &lead->why);
	if (rc == LG_EUNKNOWN)
		rc = settle(config, &records[0], &lead->why);
	lg_config_take_lock_first(config);
	return rc;
}

static int write_batch(struct lead *lead, const struct batch *batch)
{
	struct lg_config *config = lead->config;
	const uint64_t former = config->head.seq;
	take_off(&config->group, batch);
	int rc = append(lead, lay_out(&config->group, batch), batch->records);
	if (rc == 0) {
		publish(config, batch);
		finish_all(lead, batch);
		return 0;
	}
	if (rc == LG_ECONFLICT) {
		struct lg_error why = LG_ERROR_INIT;
		send_back(lead, batch);
		int refreshed = lg_config_refresh_locked(config, &why);
		if (refreshed < 0)
			lead->why = why;
		/* a conflict with nobody is no lost race, and trying again would not end it */
		return refreshed < 0 || config->head.seq != former ? refreshed : rc;
	}
	fail_batch(lead, batch, rc);
	return 0;
}

static void leave(struct lg_group *group, struct lg_request *own)
{
	struct lg_request **link = &group->first;
	struct lg_request *before = NULL;
	while (*link && *link != own) {
		before = *link;
		link = &before->behind;
	}
	if (!*link)
		return;
	*link = own->behind;
	if (group->last == own)
		group->last = before;
	group->waiting = group->first;
}

static int write_next(struct lead *lead)
{
	prepare_more(lead->config);
	const struct batch batch = look_at_batch(&lead->config->group);
	return batch.records ? write_batch(lead, &batch) : confirm(lead, &batch);
}

static bool is_done(const struct lead *lead)
{
	return atomic_load(&lead->own->told) == LG_TOLD_DONE;
}

/* Batch after batch until the leader's own request is through; that is with the first one, unless something fails. */
static void write_own(struct lead *lead)
{
	struct lg_config *config = lead->config;
	int rc = needs_log(config, lead->own) ? lg_config_refresh_locked(config, &lead->why) : 0;
	for (int i = 0; rc == 0 && !is_done(lead); i++) {
		if (i < ATTEMPTS_MAX)
			rc = write_next(lead);
		else
			rc = lg_fail(&lead->why, LG_ECONFLICT, 0,
				"other processes were faster %d times in a row; try again", ATTEMPTS_MAX);
	}
	if (rc == 0)
		return;
	/* only the leader itself: whoever is behind it finds out for itself */
	lg_group_start_over(config);
	leave(&config->group, lead->own);
	fail(lead, lead->own, rc);
}

/* The first in the line leads from now on. */
static void appoint(struct lead *lead)
{
	struct lg_group *group = &lead->config->group;
	group->is_led = group->first;
	if (group->first)
		tell(lead, group->first, LG_TOLD_LEAD);
}

static void lead(struct lg_config *config, struct lg_request *own)
{
	struct lead lead = { .config = config, .own = own, .why = LG_ERROR_INIT };
	lg_config_lock(config);
	write_own(&lead);
	for (int i = 0; i < STAY && config->group.first && !lg_config_others_wait(config); i++)
		if (write_next(&lead) < 0)
			break; /* the next leader finds out for itself */
	lg_checkpoint_if_due(config);
	appoint(&lead);
	lg_config_unlock(config);
	wake(&lead);
}

/* Prepares what has arrived.  True when the caller is to lead. */
static bool collect_all(struct lg_config *config, struct lg_request *own)
{
	struct lg_group *group = &config->group;
	struct lead lead = { .config = config, .own = own };
	lg_config_take_lock(config);
	do
		prepare_more(config);
	while (!end_duty(group));
	bool has_leader = group->is_led || !group->first;
	if (!has_leader)
		appoint(&lead);
	/* the next to lead must be woken without the others */
	own->sleeps_alone = group->first == own;
	pthread_mutex_unlock(&config->lock);
	wake(&lead);
	return !has_leader && own->sleeps_alone;
}

int lg_group_submit(struct lg_config *config, struct lg_request *own)
{
	bool leads = arrive(&config->group, own) && collect_all(config, own);
	if (!leads) {
		sleep_until_told(&config->group, own);
		leads = atomic_load(&own->told) == LG_TOLD_LEAD;
	}
	if (leads)
		lead(config, own);
	return own->rc;
}
