/* When a checkpoint is written, and by whom: a thread of its own, from a root that nothing changes any more, so that
 * neither this process's writers nor another's wait for it.  Closing waits until it is done.
 *
 * Older checkpoints are thinned at the same time: the further back, the fewer, so that their number grows with the logarithm of
 * the log.  A revision far back takes longer to read then, but never longer than the tail that it is behind of. */
#include "config/internal.h"

#include "base/cleanup.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A checkpoint is written when replaying the records behind the last one would cost an opener more than this, in bytes: a
 * hundred records or so.  Where a page of the log is damaged, the states behind the next checkpoint are still proven. */
#define TAIL_COST_MAX ((size_t)128 * 1024)
#define DROPS_MAX     64 /* in one go; the rest next time */
/* Who writes tens of thousands of changes a second would fill the disk's time with checkpoints: within this time of the last
 * one, so many times as much has to gather. */
#define CALM_NS       INT64_C(1000000000)
#define HURRIED_TIMES 64

/* What the thread works from; nobody else touches it until done is set. */
struct lg_checkpoint_job {
	struct lg_log *log;
	struct lg_log_head at;
	uint64_t revision;
	struct lg_tree *tree;
	struct lg_controls controls;
	uint64_t drops[DROPS_MAX];
	size_t drop_count;
	size_t len;
	int rc;
	struct lg_error err;
	pthread_t thread;
	bool has_thread;
	atomic_bool done;
};

static void job_free(struct lg_checkpoint_job *job)
{
	lg_tree_unref(job->tree);
	lg_controls_clear(&job->controls);
	free(job);
}

/* --- thinning -------------------------------------------------------------------------------------------------------- */

struct reach {
	struct lg_log *log;
	uint64_t behind;
	bool found;
};

static int visit_restore(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct reach *reach = arg;
	struct lg_restore_body body;
	struct lg_error gone = LG_ERROR_INIT;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	reach->found = body.to < reach->behind &&
		(!lg_scope_is_all(&body.scope) ||
			(body.to && lg_log_has(reach->log, body.to, body.to, &gone) != 0));
	lg_scope_clear(&body.scope);
	return reach->found;
}

/* May the road from `older` be taken instead?  Not over a gap, nor over a restore of a part from before it, or of what is
 * gone. */
static bool is_spare(struct lg_config *config, uint64_t older, uint64_t seq)
{
	struct lg_error ignored = LG_ERROR_INIT;
	struct reach reach = { .log = config->log, .behind = older };
	const struct lg_log_query restores = { .from = older + 1, .to = seq, .kinds = 1u << LG_KIND_RESTORE };
	return lg_log_has(config->log, older + 1, seq, &ignored) == 0 &&
		lg_log_query(config->log, &restores, visit_restore, &reach, &ignored) == 0 && !reach.found;
}

/* Do both lie in one stretch?  Stretches double with their distance from the head, and each consists of two former ones, so
 * that what survived once stands for them. */
static bool are_close(uint64_t head, uint64_t older, uint64_t newer)
{
	uint64_t stretch = 1;
	while (stretch <= (head - older) / 4)
		stretch *= 2;
	return older / stretch == newer / stretch;
}

/* Notes which ones to drop; the newest two stay. */
static void thin(struct lg_config *config, struct lg_checkpoint_job *job)
{
	struct lg_error ignored = LG_ERROR_INIT;
	uint64_t newer, seq, older;
	if (lg_log_checkpoint_find(config->log, job->at.seq - 1, &newer, &ignored) < 0 || newer <= 1 ||
		lg_log_checkpoint_find(config->log, newer - 1, &seq, &ignored) < 0)
		return;
	for (bool more = true; more && job->drop_count < DROPS_MAX; seq = older) {
		more = seq > 1 && lg_log_checkpoint_find(config->log, seq - 1, &older, &ignored) == 0;
		older = more ? older : 0;
		if (are_close(job->at.seq, seq, newer) && is_spare(config, older, seq))
			job->drops[job->drop_count++] = seq;
		else
			newer = seq;
	}
}

/* --- the job --------------------------------------------------------------------------------------------------------- */

static int write_it(struct lg_checkpoint_job *job)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	int rc = lg_checkpoint_encode(&job->at, job->revision, job->tree, &job->controls, &data, &job->err);
	struct lg_log_checkpoint checkpoint = { .seq = job->at.seq, .data = data.data, .len = data.len };
	memcpy(checkpoint.hash, job->at.hash, LG_HASH_SIZE);
	if (rc == 0)
		rc = lg_log_checkpoint_write(job->log, &checkpoint, &job->err);
	job->len = data.len;
	return rc;
}

static void *run(void *arg)
{
	struct lg_checkpoint_job *job = arg;
	job->rc = write_it(job);
	lg_tree_unref(
		job->tree); /* not when somebody looks after the job: by then it may hold what nobody else does */
	job->tree = NULL;
	struct lg_error ignored = LG_ERROR_INIT;
	for (size_t i = 0; job->rc == 0 && i < job->drop_count; i++)
		(void)lg_log_checkpoint_drop(job->log, job->drops[i], &ignored);
	atomic_store(&job->done, true);
	return NULL;
}

static size_t due_after(size_t checkpoint_len)
{
	/* Reading a checkpoint of some bytes takes about as long as replaying a sixteenth as many of records; writing it for
	   less would make a large state be written over and over for small changes. */
	return checkpoint_len / 16 > TAIL_COST_MAX ? checkpoint_len / 16 : TAIL_COST_MAX;
}

/* Lock held.  Waits for the job, if there is one. */
static int reap(struct lg_config *config, struct lg_error *err)
{
	struct lg_checkpoint_job *job = config->checkpoint_job;
	if (!job)
		return 0;
	if (job->has_thread)
		pthread_join(job->thread, NULL);
	int rc = job->rc;
	if (rc == 0) {
		config->checkpoint_seq = job->at.seq;
		config->checkpoint_len = job->len;
	} else if (err) {
		*err = job->err;
	}
	config->checkpoint_job = NULL;
	job_free(job);
	return rc;
}

/* Lock held, no job.  In a thread, or here if there can be none. */
static int start(struct lg_config *config, struct lg_error *err)
{
	const struct lg_published *now = config->published;
	struct lg_checkpoint_job *job = calloc(1, sizeof *job);
	if (!job)
		return lg_fail_nomem(err);
	job->log = config->log;
	job->at = config->head;
	job->revision = now->revision;
	job->tree = lg_tree_ref(now->tree);
	int rc = lg_controls_copy(&config->controls, &job->controls, err);
	if (rc < 0) {
		job_free(job);
		return rc;
	}
	thin(config, job);
	const struct lg_clock *clock = lg_clock_system();
	config->checkpoint_began_ns = clock->boottime_ns(clock);
	config->tail_cost = 0;
	config->tail_goes_far = false;
	config->checkpoint_job = job;
	/* the thread must not take the signals that the program's own threads wait for */
	sigset_t all, former;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &former);
	job->has_thread = pthread_create(&job->thread, NULL, run, job) == 0;
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (!job->has_thread)
		run(job);
	return 0;
}

int lg_config_checkpoint(struct lg_config *config, struct lg_error *err)
{
	int rc = 0;
	lg_config_lock(config);
	reap(config, NULL);
	if (config->head.seq)
		rc = start(config, err);
	if (rc == 0)
		rc = reap(config, err);
	lg_config_unlock(config);
	return rc;
}

static bool is_due(const struct lg_config *config)
{
	const size_t due = due_after(config->checkpoint_len);
	if (config->tail_goes_far || config->tail_cost >= HURRIED_TIMES * due)
		return true;
	const struct lg_clock *clock = lg_clock_system();
	return config->tail_cost >= due &&
		(!config->checkpoint_began_ns ||
			clock->boottime_ns(clock) - config->checkpoint_began_ns >= CALM_NS);
}

void lg_checkpoint_if_due(struct lg_config *config)
{
	if (!is_due(config))
		return;
	if (config->checkpoint_job && !atomic_load(&config->checkpoint_job->done))
		return;
	/* It only speeds up the next opening, and the change itself is durable: a failure is tried again when as much has
	   gathered once more, not reported as the change's. */
	struct lg_error ignored = LG_ERROR_INIT;
	reap(config, NULL);
	if (start(config, &ignored) < 0)
		config->tail_cost = 0;
}

void lg_checkpoint_finish(struct lg_config *config)
{
	reap(config, NULL);
}
