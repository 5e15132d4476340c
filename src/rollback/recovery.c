/* What a crash left, and what is done about it. */
#include "rollback/internal.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

enum recovery_action {
	CLOSE,       /* nothing of it is in force: it ends as undone */
	GO_ON,       /* run this step (again) and those behind it */
	GO_ON_AFTER, /* this step stands: run those behind it */
	GO_BACK,     /* undo this step and those before it */
	MOVE_ON,     /* others have taken over: deliver what is in force, and end unproven */
	STOP,        /* somebody else changed it: never overwrite */
};

struct recovery_row {
	enum lg_journal_state journal;
	enum lg_found found;
	enum recovery_action resume; /* what `resume` and a start do */
	enum recovery_action undo;   /* what `rollback undo` does */
	const char *because;
};

/* docs/rollback-states.md is made from this table and the table of steps. */
static const struct recovery_row table[] = {
	{ LG_JOURNAL_EMPTY, LG_FOUND_UNRECORDED, CLOSE, CLOSE, "the plan was written, its journal not" },
	{ LG_JOURNAL_EMPTY, LG_FOUND_TAKEN_BACK, CLOSE, CLOSE,
		"its journal is gone; the log says that it was undone" },
	{ LG_JOURNAL_EMPTY, LG_FOUND_OVERTAKEN, MOVE_ON, MOVE_ON,
		"its journal is gone; later changes have taken over" },
	{ LG_JOURNAL_EMPTY, LG_FOUND_AFTER, GO_ON, GO_BACK,
		"its journal is gone; the log says that it is in force" },

	{ LG_JOURNAL_PLANNED, LG_FOUND_UNRECORDED, CLOSE, CLOSE, "no step with effects had begun" },
	{ LG_JOURNAL_PLANNED, LG_FOUND_TAKEN_BACK, CLOSE, CLOSE, "the log says that it was undone" },
	{ LG_JOURNAL_PLANNED, LG_FOUND_OVERTAKEN, MOVE_ON, MOVE_ON, "later changes have taken over" },
	{ LG_JOURNAL_PLANNED, LG_FOUND_AFTER, GO_ON, GO_BACK, "the log says that it is in force" },

	{ LG_JOURNAL_BEGUN, LG_FOUND_UNRECORDED, CLOSE, CLOSE,
		"the record was not appended: nothing was touched" },
	{ LG_JOURNAL_BEGUN, LG_FOUND_TAKEN_BACK, CLOSE, CLOSE, "it was undone, but that was not noted" },
	{ LG_JOURNAL_BEGUN, LG_FOUND_OVERTAKEN, MOVE_ON, MOVE_ON,
		"later changes of its scope have taken over" },
	{ LG_JOURNAL_BEGUN, LG_FOUND_BEFORE, GO_ON, GO_BACK, "the step had not taken effect" },
	{ LG_JOURNAL_BEGUN, LG_FOUND_AFTER, GO_ON, GO_BACK,
		"it had, but that was not noted, and its last part (telling the service) may be missing: "
		"repeating it is safe" },
	{ LG_JOURNAL_BEGUN, LG_FOUND_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },

	{ LG_JOURNAL_DONE, LG_FOUND_UNRECORDED, GO_BACK, GO_BACK,
		"the log has lost its record: what it left in files is put back" },
	{ LG_JOURNAL_DONE, LG_FOUND_TAKEN_BACK, CLOSE, CLOSE, "it was undone, but that was not noted" },
	{ LG_JOURNAL_DONE, LG_FOUND_OVERTAKEN, MOVE_ON, MOVE_ON, "later changes of its scope have taken over" },
	{ LG_JOURNAL_DONE, LG_FOUND_BEFORE, GO_ON, GO_BACK,
		"it was taken back by hand since: it is done again" },
	{ LG_JOURNAL_DONE, LG_FOUND_AFTER, GO_ON_AFTER, GO_BACK, "the step stands; the next had not begun" },
	{ LG_JOURNAL_DONE, LG_FOUND_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },

	{ LG_JOURNAL_UNDOING, LG_FOUND_UNRECORDED, GO_BACK, GO_BACK,
		"the log does not have its record: what it left in files is put back" },
	{ LG_JOURNAL_UNDOING, LG_FOUND_TAKEN_BACK, CLOSE, CLOSE, "it was undone, but that was not noted" },
	{ LG_JOURNAL_UNDOING, LG_FOUND_OVERTAKEN, MOVE_ON, MOVE_ON,
		"later changes of its scope have taken over" },
	{ LG_JOURNAL_UNDOING, LG_FOUND_BEFORE, GO_BACK, GO_BACK,
		"the step was undone, but that was not noted" },
	{ LG_JOURNAL_UNDOING, LG_FOUND_AFTER, GO_BACK, GO_BACK, "the undo had not taken effect" },
	{ LG_JOURNAL_UNDOING, LG_FOUND_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },

	{ LG_JOURNAL_UNDONE, LG_FOUND_UNRECORDED, GO_BACK, GO_BACK,
		"the log does not have its record: what it left in files is put back" },
	{ LG_JOURNAL_UNDONE, LG_FOUND_TAKEN_BACK, CLOSE, CLOSE,
		"all of it was undone; only the end was not noted" },
	{ LG_JOURNAL_UNDONE, LG_FOUND_OVERTAKEN, MOVE_ON, MOVE_ON,
		"later changes of its scope have taken over" },
	{ LG_JOURNAL_UNDONE, LG_FOUND_BEFORE, GO_BACK, GO_BACK, "steps before it are still to be undone" },
	{ LG_JOURNAL_UNDONE, LG_FOUND_AFTER, GO_BACK, GO_BACK,
		"it came back by hand since: it is undone again" },
	{ LG_JOURNAL_UNDONE, LG_FOUND_FOREIGN, STOP, STOP, "somebody else changed it: never overwrite" },
};

static const char *const action_names[] = {
	[CLOSE] = "close as undone",
	[GO_ON] = "run it, then the rest",
	[GO_ON_AFTER] = "run the rest",
	[GO_BACK] = "undo it and those before",
	[MOVE_ON] = "deliver what is in force, close as unproven",
	[STOP] = "stop, and say so",
};
static const char *const found_names[LG_FOUND_COUNT] = {
	[LG_FOUND_UNRECORDED] = "no record",
	[LG_FOUND_TAKEN_BACK] = "record taken back",
	[LG_FOUND_OVERTAKEN] = "scope changed since",
	[LG_FOUND_BEFORE] = "before",
	[LG_FOUND_AFTER] = "after",
	[LG_FOUND_FOREIGN] = "foreign",
};

static const struct recovery_row *find_row(enum lg_journal_state journal, enum lg_found found)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (table[i].journal == journal && table[i].found == found)
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
		"\n## After a crash\n\nThe last line of the journal, and what is found: of the record in the "
		"log, then of the line's step on disk.  A rollback whose journal says `ended` rests; one that "
		"ended `stuck` goes on as if its last step were `undoing`.\n\n| journal | found | resume | "
		"undo | because |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		lg_buf_addf(buf, "| %s | %s | %s | %s | %s |\n", lg_journal_state_name(table[i].journal),
			found_names[table[i].found], action_names[table[i].resume], action_names[table[i].undo],
			table[i].because);
	return lg_buf_check(buf, err);
}

/* --- doing it ---------------------------------------------------------------------------------------------------------- */

static size_t step_of(const struct lg_rollback_plan *plan, enum lg_step_kind kind)
{
	size_t i = 0;
	while (i + 1 < plan->step_count && plan->steps[i].kind != kind)
		i++;
	return i;
}

static size_t last_live(const struct lg_rollback_plan *plan)
{
	size_t i = plan->step_count - 1;
	while (i > 0 && !lg_step_ops_of(plan->steps[i].kind)->live)
		i--;
	return i;
}

/* What a journal without steps speaks of is the record. */
static int find_step(
	struct lg_run *run, const struct lg_journal_mark *last, size_t *ret_step, struct lg_error *err)
{
	const struct lg_rollback_plan *plan = run->plan;
	size_t step = last->state == LG_JOURNAL_EMPTY || last->state == LG_JOURNAL_PLANNED
		? step_of(plan, LG_STEP_RECORD)
		: last->step;
	if (step >= plan->step_count)
		return lg_fail(
			err, LG_ECORRUPT, 0, "the journal names step %zu of %zu", step, plan->step_count);
	const struct lg_step_ops *ops = lg_step_ops_of(plan->steps[step].kind);
	if (!ops->live)
		return lg_fail(
			err, LG_ECORRUPT, 0, "the journal names step '%s', which has no effects", ops->name);
	*ret_step = step;
	return 0;
}

static int find_action(struct lg_run *run, const struct lg_journal_mark *last, bool undo, size_t step,
	enum recovery_action *ret_action, struct lg_error *err)
{
	enum lg_found found = LG_FOUND_UNRECORDED;
	int rc = lg_step_find(run, step, &found, err);
	if (rc < 0)
		return rc;
	const struct recovery_row *row = find_row(last->state, found);
	if (!row)
		return lg_fail(err, LG_EINTERNAL, 0, "no row for journal '%s' and '%s'",
			lg_journal_state_name(last->state), found_names[found]);
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
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_run_backward(run, from, &why);
	if (rc == 0)
		return lg_run_end(run, "undone", NULL, err);
	struct lg_error ignored = LG_ERROR_INIT;
	lg_run_end(run, "stuck", why.message, &ignored);
	return lg_fail(err, LG_EFAILED, 0, "it is stuck: %s", why.message);
}

static int move_on(struct lg_run *run, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < run->plan->step_count; i++) {
		if (run->plan->steps[i].kind == LG_STEP_DELIVER)
			rc = lg_step_deliver_run(run, &run->plan->steps[i], err);
	}
	static const char why[] =
		"its scope was changed by others before it could be proven; what they left is in "
		"force";
	if (rc == 0)
		rc = lg_run_end(run, "unproven", why, err);
	return rc < 0 ? rc : lg_fail(err, LG_EFAILED, 0, "%s", why);
}

static int act(struct lg_run *run, size_t step, enum recovery_action action, struct lg_error *err)
{
	switch (action) {
	case CLOSE:
		return lg_run_end(run, "undone", NULL, err);
	case GO_ON:
		return go_forward(run, step, err);
	case GO_ON_AFTER:
		return go_forward(run, step + 1, err);
	case GO_BACK:
		return go_back(run, step, err);
	case MOVE_ON:
		return move_on(run, err);
	case STOP:
		return lg_fail(err, LG_ECONFLICT, 0,
			"the file of '%s' is neither what it was before nor what the rollback made it; put it "
			"right by hand, then resume",
			run->plan->steps[step].adapter ? run->plan->steps[step].adapter : "");
	}
	return 0;
}

/* A stuck one has an outcome and can still be gone on with: from its last step, found by what stands. */
static void reopen_stuck(struct lg_run *run, struct lg_journal_mark *last)
{
	if (last->state != LG_JOURNAL_ENDED || strcmp(last->outcome, "stuck") != 0)
		return;
	last->state = LG_JOURNAL_UNDOING;
	last->step = last_live(run->plan);
}

static int recover_one(struct lg_run *run, const char *id, bool undo, struct lg_error *err)
{
	const char *state_dir = lg_config_state_dir(run->config);
	struct lg_journal_mark last = { 0 };
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
	if (last.state == LG_JOURNAL_ENDED) {
		lg_run_fill(run, last.outcome);
		return 0;
	}
	enum recovery_action action = STOP;
	size_t step = 0;
	rc = find_step(run, &last, &step, err);
	if (rc == 0)
		rc = lg_step_deliver_possible(run, err);
	if (rc == 0)
		rc = find_action(run, &last, undo, step, &action, err);
	if (action == GO_BACK && last.state <= LG_JOURNAL_PLANNED)
		step = last_live(run->plan); /* a journal that is gone does not say how far it came */
	return rc < 0 ? rc : act(run, step, action, err);
}

static int recover_named(struct lg_config *config, struct lg_delivery *delivery, const char *id, bool undo,
	lg_rollback_progress *progress, void *arg, struct lg_rollback_outcome *ret_outcome,
	struct lg_error *err)
{
	struct lg_run run = { .config = config,
		.delivery = delivery,
		.progress = progress,
		.arg = arg,
		.recovering = true,
		.lock_fd = -1 };
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
	for (size_t i = 0; i < count; i++) {
		struct lg_error why = LG_ERROR_INIT;
		int one = recover_named(config, delivery, ids[i], undo, progress, arg, ret_outcome, &why);
		/* one that cannot be helped does not keep the others */
		if (one < 0 && rc == 0)
			rc = lg_fail(err, one, 0, "%s", why.message);
	}
	lg_names_free(ids, count);
	return rc;
}
