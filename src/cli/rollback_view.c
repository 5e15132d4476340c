#include "cli/rollback_view.h"

#include "base/cleanup.h"
#include "cli/report.h"
#include "cli/show.h"
#include "model/value.h"

#include <string.h>

void lg_rollback_view_redact(json_t *json)
{
	const char *name;
	json_t *member;
	size_t i;
	json_object_foreach(json, name, member)
	{
		if (json_is_object(member) && json_object_size(member) == 1 &&
			json_object_get(member, "@secret"))
			json_object_set_new(json, name, json_string(LG_SECRET_REDACTED));
		else
			lg_rollback_view_redact(member);
	}
	json_array_foreach(json, i, member) lg_rollback_view_redact(member);
}

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));
	return text ? text : "";
}

static unsigned long long number_of(const json_t *json, const char *name)
{
	return (unsigned long long)json_integer_value(json_object_get(json, name));
}

static void add_scope(const json_t *plan, struct lg_buf *buf)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	const json_t *json = json_object_get(plan, "scope");
	if (json && lg_scope_from_json(json, &scope, NULL) == 0)
		lg_scope_describe(&scope, buf);
}

/* "r12, the newest known good before r14", "r12", "backup.json" */
static void add_target(const json_t *plan, struct lg_buf *buf)
{
	const char *why = text_of(plan, "why");
	if (json_object_get(plan, "to"))
		lg_buf_addf(buf, "r%llu", number_of(plan, "to"));
	else
		lg_buf_adds(buf, text_of(plan, "target"));
	lg_buf_addf(buf, "%s%s", *why ? ", " : "", why);
}

/* --- the plan -------------------------------------------------------------------------------------------------------------------- */

struct radius {
	struct lg_show_diff diff;
	struct lg_delivery *delivery;
	bool *concerned; /* by adapter */
};

static int visit_change(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct radius *radius = arg;
	const char *key = before ? before->key : after->key;
	for (size_t i = 0; i < lg_delivery_count(radius->delivery); i++)
		if (lg_starts_with(key, lg_adapter_prefix(lg_delivery_adapter(radius->delivery, i))))
			radius->concerned[i] = true;
	return lg_show_diff_visit(&radius->diff, before, after);
}

static const char *notify_words(enum lg_notify notify)
{
	switch (notify) {
	case LG_NOTIFY_NONE:
		return "is not told";
	case LG_NOTIFY_RELOAD:
		return "will be reloaded";
	case LG_NOTIFY_RESTART:
		return "will be restarted";
	}
	return "";
}

static json_t *view_services(struct lg_cli *cli, const struct radius *radius)
{
	static const char *const names[] = { "none", "reload", "restart" };
	json_t *list = json_array();
	for (size_t i = 0; i < lg_delivery_count(radius->delivery); i++) {
		const struct lg_adapter *adapter = lg_delivery_adapter(radius->delivery, i);
		const struct lg_service_spec *service =
			lg_topology_service(cli->session.topology, lg_adapter_name(adapter));
		if (!radius->concerned[i] || !lg_adapter_attached(adapter) || !service)
			continue;
		lg_output_line(&cli->output, LG_STYLE_WARN, "service %s: '%s' will be written, the service %s",
			service->name, lg_adapter_path(adapter), notify_words(service->adapter.notify));
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s}", "service", service->name, "file", lg_adapter_path(adapter),
				"notify", names[service->adapter.notify]));
	}
	return list;
}

static void view_head(struct lg_cli *cli, const struct lg_rollback_plan *plan)
{
	const json_t *json = lg_rollback_plan_json(plan);
	lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
	size_t changes = lg_rollback_plan_changes(plan);
	add_scope(json, &scope);
	lg_output_line(&cli->output, LG_STYLE_BOLD, "rollback %s: %s, %zu %s", lg_rollback_plan_id(plan),
		lg_buf_str(&scope), changes, changes == 1 ? "key changes" : "keys change");
	lg_cleanup(lg_buf_clear) struct lg_buf target = LG_BUF_INIT;
	add_target(json, &target);
	lg_output_line(&cli->output, LG_STYLE_PLAIN, "target: %s", lg_buf_str(&target));
}

static void add_conflict_value(struct lg_table *rows, const json_t *value)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	struct lg_error ignored = LG_ERROR_INIT;
	const char *string = json_string_value(value);
	if (!value)
		lg_buf_adds(&text, "(not set)");
	else if (string && strcmp(string, LG_SECRET_REDACTED) == 0)
		lg_buf_adds(&text, string);
	else
		lg_json_canonical(value, &text, &ignored);
	lg_table_add(rows, LG_STYLE_PLAIN, lg_buf_str(&text));
}

/* Keys of the revision to be taken back that later ones changed. */
static int view_conflicts(struct lg_cli *cli, const json_t *plan, bool in_short, struct lg_error *err)
{
	static const char *const headings[] = { "KEY", "THEN", "NOW", "CHANGED BY" };
	const json_t *conflicts = json_object_get(plan, "conflicts"), *conflict;
	size_t count = json_array_size(conflicts), i;
	lg_cleanup(lg_table_clear) struct lg_table rows = { 0 };
	if (count == 0)
		return 0;
	lg_output_line(&cli->output, LG_STYLE_WARN, "%zu %s changed again since, and %s:", count,
		count == 1 ? "key was" : "keys were",
		strcmp(text_of(plan, "on_conflict"), "skip") == 0 ? "left out" : "taken back all the same");
	lg_table_init(&rows, 4, headings);
	json_array_foreach(conflicts, i, conflict)
	{
		if (in_short && i == LG_SHOW_DIFF_ROWS)
			break;
		lg_table_add(&rows, LG_STYLE_NAME, text_of(conflict, "key"));
		add_conflict_value(&rows, json_object_get(conflict, "then"));
		add_conflict_value(&rows, json_object_get(conflict, "now"));
		lg_table_addf(&rows, LG_STYLE_PLAIN, "r%llu", number_of(conflict, "revision"));
	}
	int rc = lg_output_is_table(&cli->output) ? lg_table_print(&rows, &cli->output, err) : 0;
	if (rc == 0 && i < count)
		lg_output_line(&cli->output, LG_STYLE_DIM, "and %zu more; --dry-run shows them", count - i);
	return rc;
}

int lg_rollback_view_plan(struct lg_cli *cli, const struct lg_rollback_plan *plan, bool all,
	json_t **ret_document, struct lg_error *err)
{
	struct radius radius = { .delivery = cli->session.delivery };
	lg_autofree bool *concerned = calloc(lg_delivery_count(radius.delivery) + 1, sizeof *concerned);
	if (!concerned)
		return lg_fail_nomem(err);
	radius.concerned = concerned;
	/* also without a terminal: 100,000 lines on the way to a log file help nobody, and --dry-run has them all */
	bool in_short = !all && lg_output_is_table(&cli->output);
	lg_show_diff_init(&radius.diff, &cli->output, in_short ? LG_SHOW_DIFF_ROWS : 0);
	int rc = lg_rollback_plan_diff(plan, visit_change, &radius);
	view_head(cli, plan);
	rc = rc < 0 ? lg_fail_nomem(err) : view_conflicts(cli, lg_rollback_plan_json(plan), in_short, err);
	if (rc == 0)
		rc = lg_show_diff_print(&radius.diff, &cli->output, err);
	json_t *services = view_services(cli, &radius);
	lg_output_line(&cli->output, LG_STYLE_DIM, "plan %s", lg_rollback_plan_hash(plan));
	json_t *json = json_deep_copy(lg_rollback_plan_json(plan));
	lg_rollback_view_redact(json);
	json_t *document = json_pack("{s:o, s:s, s:I, s:o, s:o}", "plan", json, "hash",
		lg_rollback_plan_hash(plan), "count", (json_int_t)lg_rollback_plan_changes(plan), "services",
		services, "changes", lg_show_diff_json(&radius.diff));
	lg_show_diff_clear(&radius.diff);
	if (rc == 0 && !document)
		rc = lg_fail_nomem(err);
	if (rc < 0)
		json_decref(document);
	else
		*ret_document = document;
	return rc;
}

/* --- the outcome ------------------------------------------------------------------------------------------------------------------- */

static void say_success(struct lg_cli *cli, const struct lg_rollback_outcome *outcome)
{
	struct lg_output *output = &cli->output;
	lg_output_line(output, LG_STYLE_GOOD, "rollback %s is %s: the state is r%llu", outcome->id,
		outcome->outcome, (unsigned long long)outcome->revision);
	if (outcome->hold)
		lg_output_line(output, LG_STYLE_WARN,
			"held by h%llu: changes to this scope are refused until 'lastgood release h%llu "
			"--reason TEXT'",
			(unsigned long long)outcome->hold, (unsigned long long)outcome->hold);
	if (strcmp(outcome->outcome, "undone") != 0)
		lg_output_line(
			output, LG_STYLE_PLAIN, "to take it back: lastgood rollback undo %s", outcome->id);
	lg_output_line(output, LG_STYLE_PLAIN, "to look further: lastgood rollback show %s", outcome->id);
}

/* What became of one key of a backup file; set: what the plan writes, left: {KEY: why} left out as invalid. */
static const char *key_outcome(const json_t *set, const json_t *left, const char *key, bool *ret_restored)
{
	*ret_restored = json_object_get(set, key) != NULL;
	if (json_object_get(left, key))
		return json_string_value(json_object_get(left, key));
	return *ret_restored ? "restored" : "unchanged";
}

static json_t *left_out(const struct lg_problems *problems)
{
	json_t *left = json_object();
	for (size_t i = 0; left && i < problems->count; i++)
		json_object_set_new(left, problems->items[i].subject,
			json_sprintf("left out: %s", problems->items[i].message));
	return left;
}

static int add_key(struct lg_cli *cli, json_t *list, const char *key, const char *outcome)
{
	if (!cli->output.terminal || json_array_size(list) < lg_show_diff_limit(&cli->output))
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "  %s: %s", key, outcome);
	return json_array_append_new(list,
		json_pack("{s:o, s:o}", "key", lg_show_text_json(key), "outcome", lg_show_text_json(outcome)));
}

int lg_rollback_view_keys(struct lg_cli *cli, const json_t *plan, const struct lg_items *items, json_t *result,
	struct lg_error *err)
{
	const json_t *changes = json_object_get(plan, "explicit");
	const json_t *set = json_object_get(changes, "set"), *unset = json_object_get(changes, "unset");
	lg_cleanup(lg_json_freep) json_t *left = left_out(&cli->problems);
	lg_cleanup(lg_json_freep) json_t *list = json_array();
	size_t restored = 0, i;
	json_t *key;
	int rc = left && list ? 0 : -1;
	for (i = 0; i < items->count && rc == 0; i++) {
		bool one = false;
		rc = add_key(cli, list, items->items[i].key, key_outcome(set, left, items->items[i].key, &one));
		restored += one;
	}
	json_array_foreach(unset, i, key) if (rc == 0) rc =
		add_key(cli, list, json_string_value(key), "removed");
	if (rc != 0 || json_object_set(result, "keys", list) != 0)
		return lg_fail_nomem(err);
	lg_output_line(&cli->output, LG_STYLE_BOLD, "%zu restored, %zu unchanged, %zu removed, %zu left out",
		restored, items->count > restored ? items->count - restored : 0, json_array_size(unset),
		cli->problems.total);
	return 0;
}

void lg_rollback_view_outcome(struct lg_cli *cli, const char *id, const struct lg_rollback_outcome *outcome,
	json_t *record, json_t *result)
{
	json_t *report = json_object_get(json_object_get(record, "report"), "validation");
	json_object_set_new(result, "rollback", json_string(id));
	json_object_set_new(
		result, "outcome", json_string(outcome ? outcome->outcome : text_of(record, "state")));
	if (json_is_object(report)) {
		lg_report_print(report, &cli->output, NULL);
		json_object_set(result, "validation", report);
	}
	if (!outcome)
		return;
	say_success(cli, outcome);
	json_object_set_new(result, "revision", json_integer((json_int_t)outcome->revision));
	if (outcome->hold)
		json_object_set_new(result, "hold", json_sprintf("h%llu", (unsigned long long)outcome->hold));
	json_object_set_new(result, "undo", json_sprintf("lastgood rollback undo %s", outcome->id));
}

/* --- past rollbacks ------------------------------------------------------------------------------------------------------------------ */

static enum lg_style state_style(const char *state)
{
	if (strcmp(state, "done") == 0)
		return LG_STYLE_GOOD;
	return strcmp(state, "undone") == 0 ? LG_STYLE_WARN : LG_STYLE_BAD;
}

int lg_rollback_view_list(const json_t *list, struct lg_output *output, struct lg_error *err)
{
	static const char *const headings[] = { "ROLLBACK", "STATE", "SCOPE", "TARGET", "ACTOR", "REASON" };
	lg_cleanup(lg_table_clear) struct lg_table rows;
	size_t i;
	json_t *plan;
	lg_table_init(&rows, 6, headings);
	lg_table_keep_whole(&rows, 0);
	lg_table_keep_whole(&rows, 1);
	json_array_foreach(list, i, plan)
	{
		lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
		add_scope(plan, &scope);
		lg_table_add(&rows, LG_STYLE_NAME, text_of(plan, "id"));
		lg_table_add(&rows, state_style(text_of(plan, "state")), text_of(plan, "state"));
		lg_table_add(&rows, LG_STYLE_PLAIN, lg_buf_str(&scope));
		lg_table_add(&rows, LG_STYLE_PLAIN, text_of(plan, "target"));
		lg_table_add(&rows, LG_STYLE_PLAIN, text_of(plan, "actor"));
		lg_table_add(&rows, LG_STYLE_DIM, text_of(plan, "reason"));
	}
	if (i == 0) {
		lg_output_line(output, LG_STYLE_PLAIN, "there was no rollback yet");
		return 0;
	}
	return lg_table_print(&rows, output, err);
}

/* "done 1" as "done record": steps are numbered in the journal, and named in the plan. */
static void add_journal_line(const json_t *steps, const char *line, struct lg_buf *buf)
{
	int64_t number;
	const char *space = strrchr(line, ' ');
	const char *name = space && lg_int_parse(space + 1, 0, INT32_MAX, &number, NULL) == 0
		? text_of(json_array_get(steps, (size_t)number), "step")
		: "";
	bool numbered = *name && !lg_starts_with(line, "planned");
	if (numbered)
		lg_buf_addf(buf, "%.*s %s", (int)(space - line), line, name);
	else
		lg_buf_adds(buf, lg_starts_with(line, "planned") ? "planned" : line);
}

static int view_journal(
	const json_t *steps, const json_t *journal, struct lg_output *output, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf line = LG_BUF_INIT;
	size_t i;
	json_t *item;
	json_array_foreach(journal, i, item)
	{
		lg_buf_reset(&line);
		if (json_is_string(item))
			add_journal_line(steps, json_string_value(item), &line);
		else if (lg_json_canonical(item, &line, err) < 0)
			return LG_EINTERNAL;
		lg_output_line(output, LG_STYLE_DIM, "  %s", lg_buf_str(&line));
	}
	return 0;
}

int lg_rollback_view_record(const json_t *record, struct lg_output *output, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
	const char *state = text_of(record, "state");
	lg_cleanup(lg_buf_clear) struct lg_buf target = LG_BUF_INIT;
	unsigned long long changes = number_of(record, "changes");
	add_scope(record, &scope);
	add_target(record, &target);
	lg_output_line(output, state_style(state), "rollback %s: %s", text_of(record, "id"), state);
	lg_output_line(output, LG_STYLE_PLAIN, "scope   %s", lg_buf_str(&scope));
	lg_output_line(output, LG_STYLE_PLAIN, "target  %s", lg_buf_str(&target));
	lg_output_line(output, LG_STYLE_PLAIN, "from    r%llu, %llu %s", number_of(record, "from"), changes,
		changes == 1 ? "key differs" : "keys differ");
	lg_output_line(output, LG_STYLE_PLAIN, "plan    %s", text_of(record, "hash"));
	lg_output_line(output, LG_STYLE_PLAIN, "actor   %s", text_of(record, "actor"));
	lg_output_line(output, LG_STYLE_PLAIN, "reason  %s", text_of(record, "reason"));
	lg_output_line(output, LG_STYLE_PLAIN, "journal");
	int rc =
		view_journal(json_object_get(record, "steps"), json_object_get(record, "journal"), output, err);
	if (rc == 0)
		rc = lg_report_print(
			json_object_get(json_object_get(record, "report"), "validation"), output, err);
	if (rc == 0 && strcmp(state, "undone") != 0)
		lg_output_line(output, LG_STYLE_PLAIN, "'lastgood rollback undo %s' takes it back",
			text_of(record, "id"));
	return rc;
}
