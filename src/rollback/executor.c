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

/* In an emergency what was before is known to be bad: one service that cannot be served does not keep the others from it. */
static bool goes_on(const struct lg_run *run, size_t i)
{
	return run->plan->emergency && run->plan->steps[i].kind == LG_STEP_DELIVER;
}

int lg_run_forward(struct lg_run *run, size_t from, size_t *ret_failed, struct lg_error *err)
{
	int first = 0;
	for (size_t i = from; i < run->plan->step_count; i++) {
		struct lg_error why = LG_ERROR_INIT;
		int rc = run_step(run, i, &why);
		if (rc < 0 && first == 0) {
			first = rc;
			*ret_failed = i;
			lg_fail(err, rc, 0, "%s", why.message);
		}
		if (rc < 0 && !goes_on(run, i))
			break;
	}
	return first;
}

/* Before anything is undone: is all of it still ours? */
static int look_back(struct lg_run *run, size_t from, enum lg_found *ret_record, struct lg_error *err)
{
	int rc = lg_step_record_check(run, NULL, ret_record, err);
	if (rc < 0 || *ret_record == LG_FOUND_TAKEN_BACK)
		return rc;
	if (*ret_record == LG_FOUND_OVERTAKEN)
		return lg_fail(err, LG_ECONFLICT, 0, "its scope was changed by somebody else meanwhile");
	for (size_t i = from + 1; i-- > 0;) {
		const struct lg_step *step = &run->plan->steps[i];
		enum lg_found found = LG_FOUND_AFTER;
		if (step->kind == LG_STEP_DELIVER)
			rc = lg_step_deliver_check(run, step, &found, err);
		if (rc < 0)
			return rc;
		if (found == LG_FOUND_FOREIGN)
			return lg_fail(err, LG_ECONFLICT, 0,
				"the file of '%s' was changed by somebody else meanwhile; it is left as it is, "
				"put it right by hand",
				step->adapter);
	}
	return 0;
}

static int undo_step(struct lg_run *run, size_t i, struct lg_error *err)
{
	const struct lg_step *step = &run->plan->steps[i];
	const struct lg_step_ops *ops = lg_step_ops_of(step->kind);
	/* The journal is a help here, not a condition: what stands is found out again. */
	struct lg_error ignored = LG_ERROR_INIT;
	note(run, LG_JOURNAL_UNDOING, i, &ignored);
	int rc = fault_at(ops->name, err);
	if (rc == 0)
		rc = ops->undo(run, step, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot undo step '%s'", ops->name);
	note(run, LG_JOURNAL_UNDONE, i, &ignored);
	tell(run, step, "undone", NULL);
	return 0;
}

int lg_run_backward(struct lg_run *run, size_t from, struct lg_error *err)
{
	enum lg_found record = LG_FOUND_AFTER;
	int rc = look_back(run, from, &record, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot go back");
	if (record == LG_FOUND_TAKEN_BACK)
		return 0;
	for (size_t i = from + 1; rc == 0 && i-- > 0;) {
		enum lg_step_kind kind = run->plan->steps[i].kind;
		if (lg_step_ops_of(kind)->live && (kind != LG_STEP_RECORD || record == LG_FOUND_AFTER))
			rc = undo_step(run, i, err);
	}
	return rc;
}

/* --- the end ----------------------------------------------------------------------------------------------------------- */

static const char *const outcomes[] = { "done", "undone", "unproven", "stuck" };

void lg_run_fill(struct lg_run *run, const char *outcome)
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

/* Messages may have been cut in the middle of a character. */
static json_t *printable(const char *text)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_text_add_printable(&buf, text, strlen(text));
	return json_string(lg_buf_str(&buf));
}

static int write_report(struct lg_run *run, const char *message, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	int rc = lg_rollback_path(lg_config_state_dir(run->config), run->plan->id, "report.json", &path, err);
	if (rc < 0)
		return rc;
	char time[LG_TIME_SIZE];
	const struct lg_clock *clock = lg_config_clock(run->config);
	lg_cleanup(lg_json_freep) json_t *report = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:O*}",
		"rollback", run->plan->id, "outcome", run->outcome.outcome, "time",
		lg_time_format(clock->realtime_us(clock), time), "revision", (json_int_t)run->outcome.revision,
		"hold", (json_int_t)run->outcome.hold, "message", printable(message ? message : ""), "warning",
		printable(run->warning), "validation", run->report);
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

/* A journal that failed once is written anew: what it ended with must be known to whoever comes next. */
static int close_journal(struct lg_run *run, const struct lg_journal_mark *mark, struct lg_error *err)
{
	struct lg_error first = LG_ERROR_INIT;
	if (lg_journal_write(run->journal, mark, &first) == 0)
		return 0;
	lg_line_log_close(run->journal);
	run->journal = NULL;
	int rc = lg_journal_renew(lg_config_state_dir(run->config), run->plan->id, err);
	if (rc == 0)
		rc = lg_run_open(run, true, err);
	return rc < 0 ? rc : lg_journal_write(run->journal, mark, err);
}

int lg_run_end(struct lg_run *run, const char *outcome, const char *message, struct lg_error *err)
{
	struct lg_error ignored = LG_ERROR_INIT;
	lg_run_fill(run, outcome);
	write_report(run, message, &ignored);
	struct lg_journal_mark mark = { .state = LG_JOURNAL_ENDED };
	snprintf(mark.outcome, sizeof mark.outcome, "%s", outcome);
	int rc = close_journal(run, &mark, err);
	if (run->recorded)
		record_end(run);
	if (rc < 0)
		return lg_context(err, rc,
			"rollback '%s' is %s, but its journal could not be closed; do so with: "
			"lastgood rollback resume %s",
			run->plan->id, outcome, run->plan->id);
	return 0;
}

/* Ends what failed with `code` and the message in err, and says what became of it. */
static int end_failed(struct lg_run *run, const char *outcome, int code, const char *what, struct lg_error *err)
{
	struct lg_error open = LG_ERROR_INIT;
	const char *id = run->plan->id;
	int ended = lg_run_end(run, outcome, err ? err->message : NULL, &open);
	if (run->warning[0])
		lg_context(err, code, "%s; and", run->warning);
	if (ended < 0)
		return lg_context(err, code,
			"rollback '%s' %s, but its journal could not be closed (do so with: lastgood rollback "
			"resume %s)",
			id, what, id);
	return lg_context(err, code, "rollback '%s' %s", id, what);
}

/* The record is what counts: without it nothing was in force, whatever failed. When that cannot be told it may have been. */
static enum lg_found record_now(struct lg_run *run)
{
	struct lg_error ignored = LG_ERROR_INIT;
	enum lg_found found = LG_FOUND_OVERTAKEN;
	lg_step_record_check(run, NULL, &found, &ignored);
	return found;
}

int lg_run_settle(struct lg_run *run, int rc, size_t failed, struct lg_error *err)
{
	if (rc == 0)
		return lg_run_end(run, "done", NULL, err);
	enum lg_found record = record_now(run);
	if (record == LG_FOUND_UNRECORDED && run->plan->steps[failed].kind <= LG_STEP_RECORD)
		return end_failed(run, "undone", rc, "did not begin; nothing was touched", err);
	if (run->plan->emergency && record == LG_FOUND_AFTER)
		return end_failed(run, "unproven", LG_EFAILED, "stays in force, unproven", err);
	struct lg_error why = LG_ERROR_INIT;
	if (lg_run_backward(run, failed, &why) == 0)
		return end_failed(run, "undone", LG_EFAILED, "was undone; the state is as before", err);
	lg_context(err, rc, "%s; after", why.message);
	return end_failed(run, "stuck", LG_EFAILED,
		"is stuck; go on with 'lastgood rollback resume' or 'lastgood rollback undo'", err);
}

/* Directory, plan and journal; what was made of them is removed again when that fails. */
static int begin(struct lg_run *run, struct lg_error *err)
{
	const char *state_dir = lg_config_state_dir(run->config);
	lg_cleanup(lg_buf_clear) struct lg_buf dir = LG_BUF_INIT;
	int rc = lg_rollback_path(state_dir, run->plan->id, "", &dir, err);
	if (rc == 0)
		rc = lg_plan_save(state_dir, run->plan, err);
	if (rc == LG_ECONFLICT)
		return rc; /* that one is not ours to remove */
	if (rc == 0)
		rc = lg_run_open(run, true, err);
	if (rc == 0)
		rc = note(run, LG_JOURNAL_PLANNED, 0, err);
	if (rc == 0)
		return 0;
	struct lg_error why = LG_ERROR_INIT;
	if (lg_dir_remove(lg_buf_str(&dir), &why) == 0)
		return rc;
	return lg_context(err, rc, "its empty journal is left (close it with: lastgood rollback resume %s)",
		run->plan->id);
}

int lg_rollback_execute(struct lg_config *config, struct lg_delivery *delivery, struct lg_rollback_plan *plan,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err)
{
	if (plan->changes == 0)
		return lg_fail(err, LG_EINVALID, 0, "there is nothing to roll back: no key differs");
	struct lg_run run = { .config = config,
		.delivery = delivery,
		.plan = plan,
		.progress = progress,
		.arg = arg,
		.lock_fd = -1 };
	int rc = lg_rollback_lock(lg_config_state_dir(config), &run.lock_fd, err);
	/* what broke may have broken a rollback too: an emergency does not wait for a person to mend it */
	if (rc == 0 && !plan->emergency)
		rc = lg_rollback_check_unfinished(lg_config_state_dir(config), &plan->scope, err);
	if (rc == 0)
		rc = begin(&run, err);
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
