#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <string.h>

static const char *const state_names[LG_JOURNAL_STATE_COUNT] = {
	[LG_JOURNAL_EMPTY] = "empty",
	[LG_JOURNAL_PLANNED] = "planned",
	[LG_JOURNAL_BEGUN] = "begun",
	[LG_JOURNAL_DONE] = "done",
	[LG_JOURNAL_UNDOING] = "undoing",
	[LG_JOURNAL_UNDONE] = "undone",
	[LG_JOURNAL_ENDED] = "ended",
};

const char *lg_journal_state_name(enum lg_journal_state state)
{
	return state_names[state];
}

/* "begun 1", "done 1", "ended done": the state, and the step or outcome. */
int lg_journal_write(struct lg_line_log *journal, const struct lg_journal_mark *mark, struct lg_error *err)
{
	char line[64];
	if (mark->state == LG_JOURNAL_ENDED)
		snprintf(line, sizeof line, "ended %s", mark->outcome);
	else
		snprintf(line, sizeof line, "%s %zu", state_names[mark->state], mark->step);
	return lg_line_log_append(journal, line, err);
}

struct reading {
	struct lg_journal_mark last;
	json_t *lines;
};

static int read_mark(const char *text, struct lg_journal_mark *ret_mark, struct lg_error *err)
{
	const char *space = strchr(text, ' ');
	struct lg_journal_mark mark = { 0 };
	for (int i = LG_JOURNAL_PLANNED; space && i < LG_JOURNAL_STATE_COUNT; i++) {
		size_t len = strlen(state_names[i]);
		if ((size_t)(space - text) == len && memcmp(text, state_names[i], len) == 0)
			mark.state = (enum lg_journal_state)i;
	}
	int64_t step = 0;
	if (mark.state == LG_JOURNAL_EMPTY)
		return lg_fail(err, LG_ECORRUPT, 0, "the journal has the line '%s'", text);
	if (mark.state == LG_JOURNAL_ENDED)
		snprintf(mark.outcome, sizeof mark.outcome, "%s", space + 1);
	else if (lg_int_parse(space + 1, 0, 100000, &step, NULL) < 0)
		return lg_fail(err, LG_ECORRUPT, 0, "the journal has the line '%s'", text);
	mark.step = (size_t)step;
	*ret_mark = mark;
	return 0;
}

static int visit_line(void *arg, const char *text, struct lg_error *err)
{
	struct reading *reading = arg;
	int rc = read_mark(text, &reading->last, err);
	if (rc == 0 && reading->lines && json_array_append_new(reading->lines, json_string(text)) < 0)
		return lg_fail_nomem(err);
	return rc;
}

int lg_journal_read(const char *state_dir, const char *id, struct lg_journal_mark *ret_last, json_t *ret_lines,
	struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	int rc = lg_rollback_path(state_dir, id, "journal", &path, err);
	if (rc < 0)
		return rc;
	struct reading reading = { .lines = ret_lines };
	if (lg_file_exists(path.data))
		rc = lg_line_log_read(path.data, visit_line, &reading, err);
	if (rc < 0)
		return lg_context(err, rc, "rollback '%s'", id);
	*ret_last = reading.last;
	return 0;
}

int lg_journal_renew(const char *state_dir, const char *id, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf path = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf lines = LG_BUF_INIT;
	int rc = lg_rollback_path(state_dir, id, "journal", &path, err);
	if (rc == 0)
		rc = lg_file_read(path.data, LG_LINE_LOG_MAX, &lines, err);
	if (rc < 0)
		return rc;
	const struct lg_replace_options options = { .mode = 0600 };
	return lg_file_replace(path.data, lg_buf_str(&lines), lines.len, &options, err);
}
