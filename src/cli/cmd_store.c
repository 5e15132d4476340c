/* init */
#include "base/cleanup.h"
#include "cli/change.h"
#include "cli/show.h"
#include "model/schema.h"

#include <string.h>

/* The state directory alone: a topology that cannot be read yet must not stop init where the directory is named. */
static int set_strict(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_committed_clear) struct lg_committed committed = { 0 };
	struct lg_config_options options = { .state_dir = cli->session.state_dir };
	int rc = lg_session_actor(cli, err);
	if (rc == 0)
		rc = lg_config_open(&options, &cli->session.config, err);
	if (rc == 0)
		rc = lg_changeset_add(&set, LG_SCHEMA_STRICT, strlen(LG_SCHEMA_STRICT), "true", 4, err);
	if (rc < 0)
		return rc;
	struct lg_commit commit = { .changes = &set,
		.author = { .actor = cli->session.actor, .reason = "init --strict" } };
	return lg_config_commit(cli->session.config, &commit, &committed, &cli->problems, err);
}

static int run_init(struct lg_cli *cli, struct lg_error *err)
{
	bool strict = lg_args_has(&cli->args, "strict");
	int rc = lg_session_locate(cli, false, err);
	if (rc == 0)
		rc = lg_config_init(cli->session.state_dir, lg_clock_system(), err);
	if (rc == LG_ECONFLICT)
		cli->hint = "nothing was changed; 'lastgood doctor' looks at the store that is there";
	if (rc == 0 && strict)
		rc = set_strict(cli, err);
	if (rc < 0)
		return rc;
	lg_output_line(&cli->output, LG_STYLE_BOLD, "made a store in '%s'%s", cli->session.state_dir,
		strict ? ", strict: only declared keys may be set" : "");
	if (strict)
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "next: lastgood schema import FILE");
	else
		lg_output_line(&cli->output, LG_STYLE_PLAIN,
			"next: lastgood import FILE, or lastgood set KEY=VALUE --reason TEXT");
	return lg_output_document(&cli->output,
		json_pack("{s:o, s:b}", "state_dir", lg_show_text_json(cli->session.state_dir), "strict",
			(int)strict),
		err);
}

static const struct lg_option init_options[] = {
	{ "strict", NULL, "only declared keys may be set", 0, false },
	{ 0 },
};
static const struct lg_example init_examples[] = {
	{ "--state-dir /var/lib/lastgood init", "a new store" },
	{ "init --strict", "one in which only declared keys may be set" },
	{ 0 },
};

const struct lg_command lg_commands_store[] = {
	{ .name = "init",
		.usage = "[--strict]",
		.summary = "Makes a new store",
		.description = "Makes the state directory (readable for its owner only), the key that seals "
			       "secrets, and an empty "
			       "log. A store that is there already is never touched.",
		.options = init_options,
		.examples = init_examples,
		.statuses = LG_STATUS(LG_ECONFLICT) | LG_STATUS(LG_EIO) | LG_STATUS(LG_EPERM) |
			LG_STATUS(LG_ENOSPC) | LG_STATUS(LG_EREADONLY),
		.run = run_init },
	{ 0 },
};
