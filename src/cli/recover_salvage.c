/* recover salvage */
#include "base/cleanup.h"
#include "cli/progress.h"
#include "cli/recover.h"
#include "cli/show.h"
#include "config/salvage.h"
#include "io/file.h"
#include "model/value.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct lg_option lg_recover_salvage_options[] = {
	{ "from", "DIR", "the damaged state directory; default: the one that every command uses", 0, false },
	{ "to", "DIR", "where the new one is made: a name that is free, or an empty directory", 0, false },
	{ "dry-run", NULL, "only report what could be recovered", 0, false },
	{ 0 },
};

/* As the commands that follow will want it: absolute, without a slash at the end. */
static int absolute(const char *path, char **ret_path, struct lg_error *err)
{
	lg_autofree char *here = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
	if (!here)
		return lg_fail(err, LG_EIO, errno, "cannot tell the current directory");
	char *joined = *here ? lg_path_join(here, path) : strdup(path);
	if (!joined)
		return lg_fail_nomem(err);
	for (size_t len = strlen(joined); len > 1 && joined[len - 1] == '/'; len--)
		joined[len - 1] = '\0';
	*ret_path = joined;
	return 0;
}

static int find_places(struct lg_cli *cli, char **ret_from, char **ret_to, struct lg_error *err)
{
	const char *from = lg_args_value(&cli->args, "from"), *to = lg_args_value(&cli->args, "to");
	bool dry_run = lg_args_has(&cli->args, "dry-run");
	if (!to && !dry_run)
		return lg_fail(err, LG_EUSAGE, 0,
			"where to? name a new state directory with --to DIR, or look first with --dry-run");
	int rc = from ? 0 : lg_session_locate(cli, false, err);
	if (rc == 0)
		rc = absolute(from ? from : cli->session.state_dir, ret_from, err);
	if (rc == 0 && to && !dry_run)
		rc = absolute(to, ret_to, err);
	return rc;
}

static void warn_of_user(struct lg_cli *cli, const char *from)
{
	lg_autofree char *db = lg_path_join(from, "log.db");
	pid_t pid = 0;
	bool writes;
	if (db && lg_salvage_user(db, &pid, &writes, NULL) == 0 && pid != 0)
		lg_output_warn(&cli->output,
			"process %d has '%s' open: what it writes from now on is not in the salvage; better stop it first",
			(int)pid, db);
}

/* Root makes a store that is root's; whoever ran the damaged one could not read it. */
static void tell_owner(struct lg_cli *cli, const char *from, const char *to)
{
	struct stat st;
	if (stat(from, &st) == 0 && st.st_uid != geteuid())
		lg_output_warn(&cli->output,
			"it belongs to another user now: run chown -R --reference='%s' '%s'", from, to);
}

static int print_lines(struct lg_output *output, const json_t *report, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_config_salvage_text(report, &text, err);
	char *rest = text.data, *line;
	while (rc == 0 && (line = strsep(&rest, "\n")) && (*line || rest)) {
		bool bad = strncmp(line, "lost:", 5) == 0 || strstr(line, "NOT PROVEN");
		lg_output_line(output, bad ? LG_STYLE_BAD : LG_STYLE_PLAIN, "%s", line);
	}
	return rc;
}

static int tell(struct lg_cli *cli, json_t *report, const char *from, const char *to, struct lg_error *err)
{
	struct lg_output *output = &cli->output;
	bool complete = json_is_true(json_object_get(report, "complete"));
	lg_output_line(output, complete ? LG_STYLE_GOOD : LG_STYLE_WARN, "%s '%s'%s%s%s",
		complete ? "everything could be recovered from" : "not everything could be recovered from",
		from, to ? " into '" : "", to ? to : "", to ? "'" : "; nothing was written");
	int rc = print_lines(output, report, err);
	if (rc == 0 && to) {
		lg_output_line(output, LG_STYLE_PLAIN,
			"the damaged store is as it was; the report is in '%s/salvage.txt'", to);
		lg_output_line(output, LG_STYLE_PLAIN,
			"next: lastgood --state-dir '%s' recover verify; then stop what uses the old directory, move "
			"it aside, and move the new one to its place",
			to);
	}
	if (rc == 0 && to)
		tell_owner(cli, from, to);
	if (!complete)
		cli->status = LG_ECORRUPT;
	return rc < 0 ? rc : lg_output_document(output, json_incref(report), err);
}

static void on_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
	lg_progress_show(arg, what, done, total);
}

int lg_recover_salvage_run(struct lg_cli *cli, struct lg_error *err)
{
	lg_autofree char *from = NULL;
	lg_autofree char *to = NULL;
	lg_cleanup(lg_json_freep) json_t *report = NULL;
	struct lg_progress progress = { .output = &cli->output };
	int rc = find_places(cli, &from, &to, err);
	if (rc < 0)
		return rc;
	const struct lg_config_salvage options = {
		.from = from,
		.to = to,
		.progress = { .tell = on_progress, .arg = &progress },
	};
	warn_of_user(cli, from);
	rc = lg_config_salvage(&options, &report, err);
	lg_progress_end(&progress);
	if (rc == LG_ECONFLICT)
		cli->hint = "nothing was written";
	return rc < 0 ? rc : tell(cli, report, from, to, err);
}
