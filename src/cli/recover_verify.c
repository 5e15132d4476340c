/* recover verify: does everything in the log hold? */
#include "base/cleanup.h"
#include "cli/progress.h"
#include "cli/recover.h"
#include "cli/show.h"
#include "config/verify.h"

#include <string.h>

static void on_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
	lg_progress_show(arg, what, done, total);
}

static void tell(struct lg_cli *cli, const struct lg_verify_report *report, uint64_t sample)
{
	struct lg_output *output = &cli->output;
	for (size_t i = 0; i < report->problems.count; i++)
		lg_output_line(output, LG_STYLE_BAD, "%s: %s", report->problems.items[i].subject,
			report->problems.items[i].message);
	lg_output_line(output, LG_STYLE_PLAIN, "%llu %s to r%llu%s, %llu %s, %llu %s",
		(unsigned long long)report->records, report->records == 1 ? "record" : "records",
		(unsigned long long)report->head.seq, sample ? " (a sample)" : "",
		(unsigned long long)report->revisions, report->revisions == 1 ? "revision" : "revisions",
		(unsigned long long)report->checkpoints,
		report->checkpoints == 1 ? "checkpoint" : "checkpoints");
	if (report->unknown)
		lg_output_line(output, LG_STYLE_WARN,
			"%llu %s a state that could not be judged: what leads to it is gone or damaged",
			(unsigned long long)report->unknown,
			report->unknown == 1 ? "revision has" : "revisions have");
	if (report->problems.total)
		lg_output_line(output, LG_STYLE_BAD,
			"%zu %s: write nothing more, copy the state directory aside, then run: lastgood "
			"recover salvage --to DIR",
			report->problems.total, report->problems.total == 1 ? "problem" : "problems");
	else
		lg_output_line(output, LG_STYLE_GOOD, "%s holds: store, chain, roots, checkpoints%s",
			report->unknown ? "all that could be judged" : "everything", sample ? "" : ", index");
}

static json_t *report_json(const struct lg_verify_report *report, uint64_t sample)
{
	json_t *problems = json_array();
	for (size_t i = 0; problems && i < report->problems.count; i++)
		json_array_append_new(problems,
			json_pack("{s:o, s:o}", "subject", lg_show_text_json(report->problems.items[i].subject),
				"message", lg_show_text_json(report->problems.items[i].message)));
	return json_pack("{s:b, s:b, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "ok",
		report->problems.total == 0, "sample", sample != 0, "head", (json_int_t)report->head.seq,
		"head_hash", lg_show_hash_json(report->head.hash), "records", (json_int_t)report->records,
		"revisions", (json_int_t)report->revisions, "checkpoints", (json_int_t)report->checkpoints,
		"unreadable_revisions", (json_int_t)report->unknown, "problem_count",
		(json_int_t)report->problems.total, "problems", problems);
}

int lg_recover_verify_run(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_verify_report_clear) struct lg_verify_report report = { 0 };
	struct lg_progress progress = { .output = &cli->output };
	struct lg_verify_options options = { .progress = on_progress, .arg = &progress };
	int64_t sample = 0;
	int rc = lg_args_number(&cli->args, "sample", 1, INT64_MAX, 0, &sample, err);
	if (rc == 0)
		rc = lg_session_locate(cli, false, err);
	if (rc == 0)
		rc = lg_session_log(cli, true, &options.log, err);
	if (rc < 0)
		return rc;
	options.sample = (uint64_t)sample;
	options.state_dir = cli->session.state_dir;
	rc = lg_verify(&options, &report, err);
	lg_progress_end(&progress);
	if (rc < 0)
		return rc;
	tell(cli, &report, options.sample);
	cli->status = report.problems.total ? LG_ECORRUPT : 0;
	return lg_output_document(&cli->output, report_json(&report, options.sample), err);
}

const struct lg_option lg_recover_verify_options[] = {
	{ "sample", "N", "about as many records: the newest, and stretches drawn at random", 0, false },
	{ 0 },
};
