/* Runs a plan: forward step by step, the journal before and behind each live one; backward when a step fails. */
#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/fault.h"

#include <inttypes.h>
#include <string.h>

int lg_rollback_lock(const char *state_dir, int *ret_fd, struct lg_error *err)
{
	lg_autofree char *path = lg_path_join(state_dir, "rollback.lock");
	if (!path)
		return lg_fail_nomem(err);
	int rc = lg_lock_file(path, 0, ret_fd, err);
	if (rc == LG_EBUSY)
		return lg_fail(
			err, LG_EBUSY, 0, "another rollback is running; look with: lastgood rollback list");
	return rc;
}

int lg_run_open(struct lg_run *run, bool create_journal, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	snprintf(run->outcome.id, sizeof run->outcome.id, "%s", run->plan->id);
	int rc = lg_rollback_path(lg_config_state_dir(run->config), run->plan->id, "journal", &path, err);
	return rc < 0 ? rc : lg_line_log_open(path.data, create_journal, &run->journal, err);
}

void lg_run_close(struct lg_run *run)
{
	lg_line_log_close(run->journal);
	json_decref(run->report);
	if (run->lock_fd >= 0)
		close(run->lock_fd);
	*run = (struct lg_run){ .lock_fd = -1 };
}

static void tell(struct lg_run *run, const struct lg_step *step, const char *what, const char *message)
{
	if (!run->progress)
		return;
	const struct lg_clock *clock = lg_config_clock(run->config);
	const struct lg_rollback_event event = {
		.step = lg_step_name(step->kind),
		.detail = step->adapter ? step->adapter : "",
		.what = what,
		.boottime_ns = clock->boottime_ns(clock),
		.message = message ? message : "",
	};
	run->progress(run->arg, &event);
}

static int note(struct lg_run *run, enum lg_journal_state state, size_t step, struct lg_error *err)
{
	return lg_journal_write(run->journal, &(struct lg_journal_mark){ .state = state, .step = step }, err);
}

/* Tests fail a rollback, or end the process, before and behind each step. */
static int fault_at(const char *name, struct lg_error *err)
{
	int injected = lg_fault_check(LG_FAULT_STEP, name);
	return injected ? lg_fail(err, LG_EIO, injected, "step '%s'", name) : 0;
}

static int run_step(struct lg_run *run, size_t i, struct lg_error *err)
{
	const struct lg_step *step = &run->plan->steps[i];
	const struct lg_step_ops *ops = lg_step_ops_of(step->kind);
	tell(run, step, "begun", NULL);
	int rc = ops->live ? note(run, LG_JOURNAL_BEGUN, i, err) : 0;
	if (rc == 0)
		rc = fault_at(ops->name, err);
	if (rc == 0)
		rc = ops->run(run, step, err);
	if (rc == 0)
		rc = fault_at(ops->name, err);
	if (rc == 0 && ops->live)
		rc = note(run, LG_JOURNAL_DONE, i, err);
	tell(run, step, rc < 0 ? "failed" : "done", rc < 0 && err ? err->message : NULL);
	return rc;
}

int lg_run_forward(struct lg_run *run, size_t from, size_t *ret_failed, struct lg_error *err)
{
	for (size_t i = from; i < run->plan->step_count; i++) {
		int rc = run_step(run, i, err);
		if (rc < 0) {
			*ret_failed = i;
			return rc;
		}
	}
	return 0;
}

static int undo_step(struct lg_run *run, size_t i, struct lg_error *err)
{
	const struct lg_step *step = &run->plan->steps[i];
	const struct lg_step_ops *ops = lg_step_ops_of(step->kind);
	enum lg_disk disk;
	if (!ops->live)
		return 0;
	int rc = ops->check(run, step, &disk, err);
	if (rc < 0 || disk == LG_DISK_BEFORE)
		return rc;
	if (disk == LG_DISK_FOREIGN)
		return lg_fail(err, LG_ECONFLICT, 0,
			"'%s' was changed by somebody else meanwhile; it is left as it is",
			step->adapter ? step->adapter : ops->name);
	/* The journal is a help here, not a condition: `check` finds out again what was undone. */
	struct lg_error ignored = LG_ERROR_INIT;
	note(run, LG_JOURNAL_UNDOING, i, &ignored);
	rc = fault_at(ops->name, err);
	if (rc == 0)
		rc = ops->undo(run, step, err);
	if (rc < 0)
		return rc;
	note(run, LG_JOURNAL_UNDONE, i, &ignored);
	tell(run, step, "undone", NULL);
	return 0;
}

int lg_run_backward(struct lg_run *run, size_t from, struct lg_error *err)
{
	for (size_t i = from + 1; i-- > 0;) {
		int rc = undo_step(run, i, err);
		if (rc < 0)
			return lg_context(
				err, rc, "cannot undo step '%s'", lg_step_name(run->plan->steps[i].kind));
	}
	return 0;
}

/* --- the end ----------------------------------------------------------------------------------------------------------- */

static const char *const outcomes[] = { "done", "undone", "unproven", "stuck" };

static void fill_outcome(struct lg_run *run, const char *outcome)
{
	for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
		if (strcmp(outcome, outcomes[i]) == 0)
			run->outcome.outcome = outcomes[i];
	}
	struct lg_snapshot now;
	lg_config_snapshot(run->config, &now);
	run->outcome.revision = now.revision;
	lg_snapshot_clear(&now);
	run->outcome.hold = 0;
	const struct lg_controls *controls = lg_config_controls(run->config);
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (controls->holds[i].rollback && strcmp(controls->holds[i].rollback, run->plan->id) == 0)
			run->outcome.hold = controls->holds[i].seq;
	}
}

static int write_report(struct lg_run *run, const char *message, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	int rc = lg_rollback_path(lg_config_state_dir(run->config), run->plan->id, "report.json", &path, err);
	if (rc < 0)
		return rc;
	char time[LG_TIME_SIZE];
	const struct lg_clock *clock = lg_config_clock(run->config);
	lg_cleanup(lg_json_freep) json_t *report =
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:O*}", "rollback", run->plan->id, "outcome",
			run->outcome.outcome, "time", lg_time_format(clock->realtime_us(clock), time),
			"revision", (json_int_t)run->outcome.revision, "hold", (json_int_t)run->outcome.hold,
			"message", message ? message : "", "validation", run->report);
	lg_autofree char *text = report ? json_dumps(report, JSON_INDENT(1)) : NULL;
	if (!text)
		return lg_fail_nomem(err);
	return lg_file_replace(
		path.data, text, strlen(text), &(struct lg_replace_options){ .mode = 0600 }, err);
}

/* How it ended, for the history of other hosts and later readers; the journal is what decides. */
static void record_end(struct lg_run *run)
{
	struct lg_error ignored = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_buf_addf(&body, "{\"outcome\":\"%s\",\"plan\":\"%s\",\"rollback\":\"%s\"}", run->outcome.outcome,
		run->plan->hash, run->plan->id);
	const struct lg_author author = { run->plan->actor, run->plan->reason, run->plan->automatic };
	const struct lg_control control = { LG_KIND_ROLLBACK, body.data, body.len };
	if (!body.failed)
		lg_config_control(run->config, &author, &control, 1, NULL, &ignored);
}

int lg_run_end(struct lg_run *run, const char *outcome, struct lg_error *err)
{
	struct lg_error ignored = LG_ERROR_INIT;
	const char *message = err && err->code < 0 ? err->message : NULL;
	fill_outcome(run, outcome);
	write_report(run, message, &ignored);
	struct lg_journal_mark mark = { .state = LG_JOURNAL_ENDED };
	snprintf(mark.outcome, sizeof mark.outcome, "%s", outcome);
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_journal_write(run->journal, &mark, &why);
	if (strcmp(outcome, "undone") != 0 || run->outcome.durable_ns)
		record_end(run);
	if (rc < 0 && err && err->code == 0) {
		*err = why;
		return lg_context(err, rc, "rollback '%s' is %s, but its journal could not be closed",
			run->plan->id, outcome);
	}
	return 0;
}

static bool record_stands(struct lg_run *run)
{
	struct lg_error ignored = LG_ERROR_INIT;
	enum lg_disk disk;
	const struct lg_step step = { LG_STEP_RECORD, NULL };
	return lg_step_ops_of(LG_STEP_RECORD)->check(run, &step, &disk, &ignored) == 0 && disk == LG_DISK_AFTER;
}

int lg_run_settle(struct lg_run *run, int rc, size_t failed, struct lg_error *err)
{
	if (rc == 0)
		return lg_run_end(run, "done", err);
	if (run->plan->emergency && record_stands(run)) {
		lg_run_end(run, "unproven", err);
		return lg_context(err, LG_EFAILED, "rollback '%s' stays in force, unproven", run->plan->id);
	}
	struct lg_error why = LG_ERROR_INIT;
	bool touched = record_stands(run) || lg_step_ops_of(run->plan->steps[failed].kind)->live;
	int undone = lg_run_backward(run, failed, &why);
	if (undone < 0) {
		lg_context(err, rc, "%s; and", why.message);
		lg_run_end(run, "stuck", err);
		return lg_context(err, LG_EFAILED,
			"rollback '%s' is stuck; go on with: lastgood rollback resume %s", run->plan->id,
			run->plan->id);
	}
	lg_run_end(run, "undone", err);
	if (!touched && rc != LG_EFAILED)
		return lg_context(err, rc, "rollback '%s' did not begin; nothing was touched", run->plan->id);
	return lg_context(err, LG_EFAILED, "rollback '%s' was undone; the state is as before", run->plan->id);
}

int lg_rollback_execute(struct lg_config *config, struct lg_delivery *delivery, struct lg_rollback_plan *plan,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err)
{
	struct lg_run run = { .config = config,
		.delivery = delivery,
		.plan = plan,
		.progress = progress,
		.arg = arg,
		.lock_fd = -1 };
	int rc = lg_rollback_lock(lg_config_state_dir(config), &run.lock_fd, err);
	if (rc == 0)
		rc = lg_plan_save(lg_config_state_dir(config), plan, err);
	if (rc == 0)
		rc = lg_run_open(&run, true, err);
	if (rc == 0)
		rc = note(&run, LG_JOURNAL_PLANNED, 0, err);
	if (rc < 0) {
		lg_run_close(&run);
		return lg_context(err, rc, "cannot begin the rollback; nothing was touched");
	}
	size_t failed = 0;
	rc = lg_run_forward(&run, 0, &failed, err);
	rc = lg_run_settle(&run, rc, failed, err);
	if (ret_outcome)
		*ret_outcome = run.outcome;
	lg_run_close(&run);
	return rc;
}
