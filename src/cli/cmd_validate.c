/* validate */
#include "base/cleanup.h"
#include "cli/report.h"
#include "cli/show.h"
#include "model/value.h"
#include "rollback/rollback.h"

static const char *member(const json_t *check, const char *name, struct lg_buf *buf)
{
	const json_t *json = json_object_get(check, name);
	lg_buf_reset(buf);
	if (json_is_string(json))
		lg_buf_adds(buf, json_string_value(json));
	else if (json && !json_is_null(json))
		lg_json_canonical(json, buf, NULL);
	return lg_buf_str(buf);
}

int lg_report_print(const json_t *report, struct lg_output *output, struct lg_error *err)
{
	static const char *const headings[] = { "CHECK", "SUBJECT", "OK", "EVIDENCE" };
	lg_cleanup(lg_table_clear) struct lg_table rows;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	const json_t *checks = json_object_get(report, "checks");
	size_t i;
	json_t *check;
	lg_table_init(&rows, 4, headings);
	lg_table_keep_whole(&rows, 0);
	lg_table_keep_whole(&rows, 2);
	json_array_foreach(checks, i, check)
	{
		bool ok = json_is_true(json_object_get(check, "ok"));
		lg_table_add(&rows, LG_STYLE_PLAIN, member(check, "check", &buf));
		lg_table_add(&rows, LG_STYLE_NAME, member(check, "subject", &buf));
		lg_table_add(&rows, ok ? LG_STYLE_GOOD : LG_STYLE_BAD, ok ? "yes" : "NO");
		lg_table_add(&rows, ok ? LG_STYLE_DIM : LG_STYLE_PLAIN, member(check, "evidence", &buf));
		if (!ok)
			lg_table_wrap(&rows);
	}
	return i && lg_output_is_table(output) ? lg_table_print(&rows, output, err) : 0;
}

static int run_validate(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_json_freep) json_t *report = NULL;
	bool ok = false;
	int rc = lg_cli_scope(cli, &scope, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc < 0)
		return rc;
	struct lg_validate_options options = { .scope = &scope };
	rc = lg_validate(cli->session.config, cli->session.delivery, &options, &report, &ok, err);
	if (rc == 0)
		rc = lg_report_print(report, &cli->output, err);
	if (rc == 0)
		rc = lg_output_document(&cli->output, json_incref(report), err);
	if (rc < 0 || ok)
		return rc;
	cli->hint = "\"lastgood rollback config --to good --reason 'CODE: text' --dry-run\" shows what going "
		    "back would change";
	return lg_fail(err, LG_EFAILED, 0, "validation failed: the checks marked NO say what differs");
}

static const struct lg_option validate_options[] = {
	{ "prefix", "PREFIX/", "only what concerns these keys", 0, true },
	{ "key", "KEY", "only what concerns this key", 0, true },
	{ 0 },
};
static const struct lg_example validate_examples[] = {
	{ "validate", "is everything as the configuration says?" },
	{ "validate -o json", "the report with its evidence" },
	{ 0 },
};

const struct lg_command lg_commands_validate[] = {
	{ .name = "validate",
		.usage = "[--prefix PREFIX/]… [--key KEY]…",
		.summary = "Checks that the system is as configured",
		.description = "Checks with evidence: the state's root hash is the recorded one, each "
			       "delivered file is what its adapter "
			       "renders, services run and answer. The same checks run after every rollback. "
			       "Changes nothing.",
		.options = validate_options,
		.examples = validate_examples,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EFAILED) | LG_STATUS(LG_EINVALID),
		.run = run_validate },
	{ 0 },
};
