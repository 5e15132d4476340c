/* trim: retention, by hand or from a timer. */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/confirm.h"
#include "cli/show.h"
#include "config/retention.h"
#include "model/value.h"
#include "rollback/rollback.h"

#include <stdio.h>
#include <string.h>

/* --- the rules ------------------------------------------------------------------------------------------------------- */

static bool has_rule(const struct lg_args *args)
{
	return lg_args_has(args, "revisions") || lg_args_has(args, "age");
}

/* The command line's rules, or where it gives none the topology's. */
static int read_rules(struct lg_cli *cli, struct lg_retention *retention, struct lg_error *err)
{
	const struct lg_retention_spec *spec = &cli->session.topology->retention;
	const char *age = lg_args_value(&cli->args, "age");
	const bool own = has_rule(&cli->args);
	int64_t revisions = 0, known_good = 0, age_ns = own ? 0 : spec->age_ns;
	int rc = lg_args_number(
		&cli->args, "revisions", 1, 1000000000, own ? 0 : spec->revisions, &revisions, err);
	if (rc == 0)
		rc = lg_args_number(&cli->args, "known-good", 0, 1000, spec->known_good, &known_good, err);
	if (rc == 0 && age && (rc = lg_duration_parse(age, &age_ns, err)) < 0)
		rc = lg_context(err, LG_EUSAGE, "option '--age'");
	if (rc == 0 && revisions == 0 && age_ns <= 0)
		rc = lg_fail(err, LG_EUSAGE, 0,
			"there is no rule: say what stays with --revisions N or --age DURATION, or with "
			"'retention:' in the topology");
	if (rc < 0)
		return rc;
	retention->revisions = (uint64_t)revisions;
	retention->age_us = age_ns / 1000;
	retention->known_good = (uint64_t)known_good;
	return 0;
}

/* --- what is pinned from outside of the log -------------------------------------------------------------------------- */

struct pins {
	struct lg_pin *all;
	size_t count;
};

static void pins_clear(struct pins *pins)
{
	free(pins->all);
}

static int add_pin(struct pins *pins, uint64_t seq, const char *why, struct lg_error *err)
{
	struct lg_pin *grown = reallocarray(pins->all, pins->count + 1, sizeof *grown);
	if (!grown)
		return lg_fail_nomem(err);
	pins->all = grown;
	grown[pins->count].seq = seq;
	snprintf(grown[pins->count++].why, sizeof grown->why, "%s", why);
	return 0;
}

static int pin_named(struct lg_cli *cli, struct pins *pins, struct lg_error *err)
{
	const char *text;
	int rc = 0;
	for (size_t i = 0; rc == 0 && (text = lg_args_nth(&cli->args, "keep", i)); i++) {
		uint64_t revision;
		rc = lg_config_target(cli->session.config, text, NULL, &revision, NULL, err);
		if (rc == 0)
			rc = add_pin(pins, revision, "named with --keep", err);
	}
	return rc;
}

static bool is_held(struct lg_cli *cli, const char *id)
{
	const struct lg_controls *controls = lg_config_controls(cli->session.config);
	for (size_t i = 0; i < controls->hold_count; i++) {
		if (controls->holds[i].rollback && strcmp(controls->holds[i].rollback, id) == 0)
			return true;
	}
	return false;
}

/* A rollback that is unfinished, or whose hold is in force, may still be taken back or finished. */
static int pin_rollbacks(struct lg_cli *cli, struct pins *pins, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *list = NULL;
	size_t i;
	const json_t *rollback;
	int rc = lg_rollback_list(lg_config_state_dir(cli->session.config), &list, err);
	if (rc < 0)
		return rc;
	json_array_foreach(list, i, rollback)
	{
		const char *id = json_string_value(json_object_get(rollback, "id"));
		const char *state = json_string_value(json_object_get(rollback, "state"));
		char why[64];
		bool open = state && (strcmp(state, "unfinished") == 0 || strcmp(state, "stuck") == 0);
		if (!id || !(open || is_held(cli, id)))
			continue;
		static const char *const ends[] = { "from", "to" };
		snprintf(why, sizeof why, "rollback %.40s", id);
		for (size_t e = 0; rc == 0 && e < 2; e++) {
			json_int_t seq = json_integer_value(json_object_get(rollback, ends[e]));
			rc = seq > 0 ? add_pin(pins, (uint64_t)seq, why, err) : 0;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

static void tell(struct lg_cli *cli, const struct lg_trim_plan *plan)
{
	struct lg_output *output = &cli->output;
	if (plan->records == 0) {
		lg_output_line(output, LG_STYLE_PLAIN, "nothing to drop: all that is there stays");
		return;
	}
	lg_output_line(output, LG_STYLE_BOLD,
		"%llu %s before r%llu would be dropped for good, %llu %s among them",
		(unsigned long long)plan->records, plan->records == 1 ? "record" : "records",
		(unsigned long long)plan->before, (unsigned long long)plan->revisions,
		plan->revisions == 1 ? "revision" : "revisions");
	for (size_t i = 0; i < plan->pin_count; i++)
		lg_output_line(output, LG_STYLE_PLAIN, "stays  r%llu (%s)",
			(unsigned long long)plan->pins[i].seq, plan->pins[i].why);
	lg_output_line(output, LG_STYLE_PLAIN, "stays  r%llu to r%llu", (unsigned long long)plan->before,
		(unsigned long long)plan->head);
}

static json_t *plan_json(const struct lg_trim_plan *plan, bool dropped)
{
	json_t *pins = json_array();
	for (size_t i = 0; pins && i < plan->pin_count; i++)
		json_array_append_new(pins,
			json_pack("{s:I, s:s}", "revision", (json_int_t)plan->pins[i].seq, "why",
				plan->pins[i].why));
	return json_pack("{s:b, s:I, s:I, s:I, s:o}", "dropped", (int)dropped, "before",
		(json_int_t)plan->before, "records", (json_int_t)plan->records, "revisions",
		(json_int_t)plan->revisions, "kept", pins);
}

/* --- the command ----------------------------------------------------------------------------------------------------- */

static int make_plan(struct lg_cli *cli, struct lg_trim_plan *plan, struct lg_error *err)
{
	lg_cleanup(pins_clear) struct pins pins = { 0 };
	struct lg_retention retention = { 0 };
	int rc = read_rules(cli, &retention, err);
	if (rc == 0)
		rc = pin_named(cli, &pins, err);
	if (rc == 0)
		rc = pin_rollbacks(cli, &pins, err);
	retention.pins = pins.all;
	retention.pin_count = pins.count;
	return rc < 0 ? rc : lg_config_trim_plan(cli->session.config, &retention, plan, err);
}

static int run_trim(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_trim_plan_clear) struct lg_trim_plan plan = { 0 };
	const char *reason = NULL;
	int rc = lg_cli_reason(cli, "retention", &reason, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_POLICY, err);
	if (rc == 0)
		rc = make_plan(cli, &plan, err);
	if (rc < 0)
		return rc;
	tell(cli, &plan);
	int go_on = plan.records && !lg_args_has(&cli->args, "dry-run") ? lg_cli_confirm(cli, err) : 0;
	if (go_on < 0)
		return go_on;
	if (go_on) {
		const struct lg_author author = { .actor = cli->session.actor, .reason = reason };
		rc = lg_config_trim(cli->session.config, &plan, &author, err);
		if (rc < 0)
			return rc;
		lg_output_line(&cli->output, LG_STYLE_GOOD, "dropped; the chain holds over the gap");
	}
	return lg_output_document(&cli->output, plan_json(&plan, go_on), err);
}

static const struct lg_option trim_options[] = {
	{ "revisions", "N", "the newest N revisions stay", 0, false },
	{ "age", "DURATION", "what was in force in the last DURATION stays, as in 90d", 0, false },
	{ "known-good", "N", "besides, the newest N known goods of each scope; default 5", 0, false },
	{ "keep", "REV", "besides, this revision; in this run only", 0, true },
	{ "reason", "TEXT", "recorded with it; default 'retention'", 0, false },
	{ "dry-run", NULL, "only show what would be dropped", 0, false },
	{ "yes", NULL, "do not ask", 'y', false },
	{ 0 },
};
static const struct lg_example trim_examples[] = {
	{ "trim --age 90d --revisions 1000 --dry-run", "what would go if both rules were followed" },
	{ "trim --yes", "the rules of the topology, from a timer" },
	{ 0 },
};

const struct lg_command lg_commands_trim[] = {
	{ .name = "trim",
		.usage = "[--revisions N] [--age DURATION] [--known-good N] [--keep REV]… [--reason TEXT] "
			 "[--dry-run] [--yes]",
		.summary = "Drops old history by the rules of retention",
		.description =
			"Drops the records that no rule wants any more: a record stays when it is one of the "
			"newest N revisions, or was in force within the age, whichever reaches further back. "
			"Without --revisions and --age the rules are those of 'retention:' in the topology; "
			"without any rule nothing is ever dropped.\n\nSome revisions stay whatever their age, "
			"each with its whole state: known goods, what a hold or a restore needs, both sides of "
			"a rollback that is unfinished or whose hold is in force, and what --keep names. The "
			"chain of hashes verifies across what is gone, and a record says what was dropped.\n\n"
			"What is dropped cannot be brought back, except from a backup of the state directory.",
		.options = trim_options,
		.examples = trim_examples,
		.statuses = LG_STATUS_CHANGE,
		.run = run_trim },
	{ 0 },
};
