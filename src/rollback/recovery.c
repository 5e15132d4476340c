/* What a crash left, and what is done about it. */
#include "rollback/internal.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

enum recovery_action {
	CLOSE,       /* nothing had begun: it ends as undone */
	GO_ON,       /* run this step and those behind it */
	GO_ON_AFTER, /* this step stands: run those behind it */
	GO_BACK,     /* undo this step and those before it */
	STOP,        /* somebody else changed it: never overwrite */
	REST,        /* it has ended: nothing to do */
};

struct recovery_row {
	enum lg_journal_state journal;
	enum lg_disk disk;
	enum recovery_action resume; /* what `resume` and a start do */
	enum recovery_action undo;   /* what `rollback undo` does */
	const char *because;
};

/* docs/rollback-states.md is made from this table and the table of steps. */
static const struct recovery_row table[] = {
	{ LG_JOURNAL_EMPTY, LG_DISK_BEFORE, CLOSE, CLOSE, "the plan was written, its journal not" },
	{ LG_JOURNAL_PLANNED, LG_DISK_BEFORE, CLOSE, CLOSE, "no step with effects had begun" },
	{ LG_JOURNAL_BEGUN, LG_DISK_BEFORE, GO_ON, GO_BACK, "the step had not taken effect" },
	{ LG_JOURNAL_BEGUN, LG_DISK_AFTER, GO_ON_AFTER, GO_BACK, "it had, but that was not noted" },
	{ LG_JOURNAL_BEGUN, LG_DISK_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },
	{ LG_JOURNAL_DONE, LG_DISK_BEFORE, GO_ON, GO_BACK,
		"it was taken back by hand since: it is done again" },
	{ LG_JOURNAL_DONE, LG_DISK_AFTER, GO_ON_AFTER, GO_BACK, "the step stands; the next had not begun" },
	{ LG_JOURNAL_DONE, LG_DISK_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },
	{ LG_JOURNAL_UNDOING, LG_DISK_BEFORE, GO_BACK, GO_BACK, "it was undone, but that was not noted" },
	{ LG_JOURNAL_UNDOING, LG_DISK_AFTER, GO_BACK, GO_BACK, "the undo had not taken effect" },
	{ LG_JOURNAL_UNDOING, LG_DISK_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },
	{ LG_JOURNAL_UNDONE, LG_DISK_BEFORE, GO_BACK, GO_BACK, "steps before it are still to be undone" },
	{ LG_JOURNAL_UNDONE, LG_DISK_AFTER, GO_BACK, GO_BACK,
		"it came back by hand since: it is undone again" },
	{ LG_JOURNAL_UNDONE, LG_DISK_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },
	{ LG_JOURNAL_ENDED, LG_DISK_BEFORE, REST, REST, "an outcome stands" },
};

static const char *const action_names[] = {
	[CLOSE] = "close as undone",
	[GO_ON] = "run it, then the rest",
	[GO_ON_AFTER] = "run the rest",
	[GO_BACK] = "undo it and those before",
	[STOP] = "stop, and say so",
	[REST] = "nothing",
};
static const char *const disk_names[LG_DISK_COUNT] = {
	[LG_DISK_BEFORE] = "before", [LG_DISK_AFTER] = "after", [LG_DISK_FOREIGN] = "foreign"
};

static const struct recovery_row *find_row(enum lg_journal_state journal, enum lg_disk disk)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (table[i].journal == journal && table[i].disk == disk)
			return &table[i];
	}
	return NULL;
}

int lg_rollback_states_markdown(struct lg_buf *buf, struct lg_error *err)
{
	lg_buf_adds(buf,
		"# What a rollback does, and what a crash leaves\n\n"
		"Made from the tables in src/rollback/steps.c and src/rollback/recovery.c; a test compares.\n\n"
		"## Steps\n\n| step | journaled | what it does |\n|---|---|---|\n");
	for (int i = 0; i < LG_STEP_KIND_COUNT; i++) {
		const struct lg_step_ops *ops = lg_step_ops_of((enum lg_step_kind)i);
		lg_buf_addf(buf, "| %s | %s | %s |\n", ops->name, ops->live ? "yes" : "no, it changes nothing",
			ops->what);
	}
	lg_buf_adds(buf,
		"\n## After a crash\n\nThe last line of the journal, and what is found of its step on disk and "
		"in the "
		"log.\n\n| journal | found | resume | undo | because |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		lg_buf_addf(buf, "| %s | %s | %s | %s | %s |\n", lg_journal_state_name(table[i].journal),
			disk_names[table[i].disk], action_names[table[i].resume], action_names[table[i].undo],
			table[i].because);
	return lg_buf_check(buf, err);
}

/* --- doing it ---------------------------------------------------------------------------------------------------------- */

static int find_action(struct lg_run *run, const struct lg_journal_mark *last, bool undo,
	enum recovery_action *ret_action, struct lg_error *err)
{
	enum lg_disk disk = LG_DISK_BEFORE;
	bool in_step = last->state != LG_JOURNAL_EMPTY && last->state != LG_JOURNAL_PLANNED &&
		last->state != LG_JOURNAL_ENDED;
	if (in_step && last->step >= run->plan->step_count)
		return lg_fail(err, LG_ECORRUPT, 0, "the journal names step %zu of %zu", last->step,
			run->plan->step_count);
	const struct lg_step *step = &run->plan->steps[in_step ? last->step : 0];
	const struct lg_step_ops *ops = lg_step_ops_of(step->kind);
	if (in_step && !ops->live)
		return lg_fail(
			err, LG_ECORRUPT, 0, "the journal names step '%s', which has no effects", ops->name);
	int rc = in_step ? ops->check(run, step, &disk, err) : 0;
	if (rc < 0)
		return rc;
	const struct recovery_row *row = find_row(last->state, disk);
	if (!row)
		return lg_fail(err, LG_EINTERNAL, 0, "no row for journal '%s' and disk '%s'",
			lg_journal_state_name(last->state), disk_names[disk]);
	*ret_action = undo ? row->undo : row->resume;
	return 0;
}

static int go_forward(struct lg_run *run, size_t from, struct lg_error *err)
{
	size_t failed = from;
	int rc = lg_run_forward(run, from, &failed, err);
	return lg_run_settle(run, rc, failed, err);
}

static int go_back(struct lg_run *run, size_t from, struct lg_error *err)
{
	int rc = lg_run_backward(run, from, err);
	return lg_run_end(run, rc < 0 ? "stuck" : "undone", err) < 0 || rc < 0 ? LG_EFAILED : 0;
}

static int act(struct lg_run *run, const struct lg_journal_mark *last, enum recovery_action action,
	struct lg_error *err)
{
	switch (action) {
	case CLOSE:
		return lg_run_end(run, "undone", err);
	case GO_ON:
		return go_forward(run, last->step, err);
	case GO_ON_AFTER:
		return go_forward(run, last->step + 1, err);
	case GO_BACK:
		return go_back(run, last->step, err);
	case STOP:
		return lg_fail(err, LG_ECONFLICT, 0,
			"step '%s' of rollback '%s' finds what neither side left there; put it right by hand, "
			"then resume",
			lg_step_name(run->plan->steps[last->step].kind), run->plan->id);
	case REST:
		return 0;
	}
	return 0;
}

/* A stuck one has an outcome and can still be gone on with: from its last step, found by what stands. */
static int reopen_stuck(struct lg_run *run, struct lg_journal_mark *last)
{
	if (last->state != LG_JOURNAL_ENDED || strcmp(last->outcome, "stuck") != 0)
		return 0;
	last->state = LG_JOURNAL_UNDOING;
	for (last->step = run->plan->step_count; last->step-- > 0;) {
		if (lg_step_ops_of(run->plan->steps[last->step].kind)->live)
			return 1;
	}
	return 0;
}

static int recover_one(struct lg_run *run, const char *id, bool undo, struct lg_error *err)
{
	const char *state_dir = lg_config_state_dir(run->config);
	struct lg_journal_mark last;
	int rc = lg_config_refresh(run->config, err);
	if (rc == 0)
		rc = lg_plan_load(run->config, id, &run->plan, err);
	if (rc == 0)
		rc = lg_run_open(run, true, err); /* cuts off a torn last line */
	if (rc == 0)
		rc = lg_journal_read(state_dir, id, &last, NULL, err);
	if (rc < 0)
		return rc;
	reopen_stuck(run, &last);
	enum recovery_action action = REST;
	rc = find_action(run, &last, undo, &action, err);
	return rc < 0 ? rc : act(run, &last, action, err);
}

static int recover_named(struct lg_config *config, struct lg_delivery *delivery, const char *id, bool undo,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err)
{
	struct lg_run run = {
		.config = config, .delivery = delivery, .progress = progress, .arg = arg, .lock_fd = -1
	};
	int rc = lg_rollback_lock(lg_config_state_dir(config), &run.lock_fd, err);
	if (rc == 0)
		rc = recover_one(&run, id, undo, err);
	if (ret_outcome)
		*ret_outcome = run.outcome;
	lg_rollback_plan_free(run.plan);
	lg_run_close(&run);
	return rc < 0 ? lg_context(err, rc, "recovery of rollback '%s'", id) : 0;
}

int lg_rollback_recover(struct lg_config *config, struct lg_delivery *delivery, const char *id, bool undo,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err)
{
	if (id)
		return recover_named(config, delivery, id, undo, progress, arg, ret_outcome, err);
	char **ids;
	size_t count;
	int rc = lg_rollback_unfinished(lg_config_state_dir(config), &ids, &count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = recover_named(config, delivery, ids[i], undo, progress, arg, ret_outcome, err);
	lg_names_free(ids, count);
	return rc;
}
