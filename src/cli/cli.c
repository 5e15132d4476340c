#include "cli/cli.h"

#include "base/cleanup.h"
#include "cli/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* What to do next, where the message itself cannot know the command for it. */
static const char *const hints[LG_CODE_COUNT] = {
	[-LG_ECONFLICT] = "look at what changed with 'lastgood history', then try again",
	[-LG_EHELD] = "'lastgood hold' lists what is held; 'lastgood release hN --reason TEXT' ends a hold",
	[-LG_ECORRUPT] = "'lastgood doctor' says what is damaged and what to do",
	[-LG_ENEWER] = "use the lastgood that wrote it, or a newer one; nothing was touched",
	[-LG_EBUSY] = "try again when it has ended; 'lastgood rollback list' shows what runs",
	[-LG_EIO] = "'lastgood doctor' checks the state directory",
	[-LG_ENOSPC] = "make room and try again; 'lastgood doctor' checks the state directory",
	[-LG_EPERM] = "use the user that owns it; 'lastgood doctor' checks the state directory",
	[-LG_EREADONLY] = "'lastgood doctor' checks the state directory",
	[-LG_EREFUSED] = "nothing was changed; mend the value and try again",
	[-LG_EUNKNOWN] = "look with 'lastgood history' whether it happened before you try again",
};

static int apply_globals(struct lg_cli *cli, struct lg_error *err)
{
	const char *form = lg_args_value(&cli->args, "output");
	if (lg_args_has(&cli->args, "no-color"))
		cli->output.color = cli->output.color_err = false;
	if (form)
		return lg_output_form_from_name(form, &cli->output.form, err);
	return 0;
}

static int no_such_command(const char *group, const char *word, struct lg_error *err)
{
	size_t len = 0;
	const char *meant = lg_command_suggest(group, word, &len);
	const char *space = group ? " " : "";
	group = group ? group : "";
	if (meant)
		return lg_fail(err, LG_EUSAGE, 0,
			"there is no command '%s%s%s'; did you mean 'lastgood %s%s%.*s'?", group, space, word,
			group, space, (int)len, meant);
	return lg_fail(err, LG_EUSAGE, 0, "there is no command '%s%s%s': 'lastgood %s%s--help' lists them",
		group, space, word, group, space);
}

static int no_command_of(const char *group, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf names = LG_BUF_INIT;
	lg_command_list_group(group, &names);
	return lg_fail(err, LG_EUSAGE, 0, "which '%s'? one of %s; see 'lastgood %s --help'", group,
		lg_buf_str(&names), group);
}

/* The second word of a group: global options may stand before it too. */
static int find_in_group(struct lg_cli *cli, int argc, char **argv, int *at, struct lg_error *err)
{
	char name[64];
	const char *group = argv[*at];
	int next = 0;
	int rc = lg_args_parse(
		&cli->args, argc - *at, argv + *at, NULL, lg_global_options, LG_ARGS_TO_FIRST_WORD, &next, err);
	if (rc < 0) /* most likely an option of the command that is missing */
		return rc == LG_EUSAGE ? no_command_of(group, err) : rc;
	if (*at + next >= argc) {
		if (!lg_args_has(&cli->args, "help"))
			return no_command_of(group, err);
		lg_help_group(&cli->output, group);
		return 0;
	}
	*at += next;
	snprintf(name, sizeof name, "%s %s", group, argv[*at]);
	cli->command = lg_command_find(name);
	if (!cli->command)
		return no_such_command(group, argv[*at], err);
	return 0;
}

/* 0 with cli->command NULL: all was said (--help, --version). */
static int find_command(struct lg_cli *cli, int argc, char **argv, int *ret_at, struct lg_error *err)
{
	int at = 0;
	int rc =
		lg_args_parse(&cli->args, argc, argv, NULL, lg_global_options, LG_ARGS_TO_FIRST_WORD, &at, err);
	if (rc < 0)
		return rc;
	if (lg_args_has(&cli->args, "version")) {
		lg_output_raw(&cli->output, "lastgood " LG_VERSION "\n", strlen("lastgood " LG_VERSION "\n"));
		return 0;
	}
	bool help = lg_args_has(&cli->args, "help");
	if (at >= argc) {
		if (!help)
			return lg_fail(err, LG_EUSAGE, 0, "no command given: 'lastgood --help' lists them");
		lg_help_overview(&cli->output);
		return 0;
	}
	if (lg_command_is_group(argv[at]))
		rc = find_in_group(cli, argc, argv, &at, err);
	else if (!(cli->command = lg_command_find(
			   help && strcmp(argv[at], "exit-codes") == 0 ? "help" : argv[at])))
		rc = no_such_command(NULL, argv[at], err);
	/* `lastgood --help exit-codes`: the topic is a word of `help`, whose place argv[at - 1] takes */
	*ret_at = cli->command && strcmp(cli->command->name, "help") == 0 && strcmp(argv[at], "help") != 0
		? at - 1
		: at;
	return rc;
}

static int check_words(const struct lg_cli *cli, struct lg_error *err)
{
	const struct lg_command *command = cli->command;
	size_t count = cli->args.word_count;
	if (count < command->words_min)
		return lg_fail(err, LG_EUSAGE, 0, "something is missing: lastgood %s %s", command->name,
			command->usage);
	if (count > command->words_max)
		return lg_fail(err, LG_EUSAGE, 0, "'%s' is one word too many: lastgood %s %s",
			cli->args.words[command->words_max], command->name, command->usage);
	return 0;
}

static int run(struct lg_cli *cli, int argc, char **argv, struct lg_error *err)
{
	int at = 0;
	int rc = find_command(cli, argc, argv, &at, err);
	if (rc < 0) {
		apply_globals(cli, NULL);
		return rc;
	}
	if (!cli->command)
		return 0;
	rc = lg_args_parse(&cli->args, argc - at, argv + at, cli->command->options, lg_global_options,
		LG_ARGS_ALL, NULL, err);
	int globals = apply_globals(cli, rc < 0 ? NULL : err);
	if (rc < 0 || globals < 0)
		return rc < 0 ? rc : globals;
	if (lg_args_has(&cli->args, "help") && strcmp(cli->command->name, "help") != 0) {
		lg_help_command(&cli->output, cli->command);
		return 0;
	}
	rc = check_words(cli, err);
	return rc < 0 ? rc : cli->command->run(cli, err);
}

static void tell_error(struct lg_cli *cli, int code, const struct lg_error *error)
{
	char help[96];
	bool said = strstr(error->message, "lastgood ") != NULL; /* the message names the next command itself */
	const char *hint = cli->hint ? cli->hint : said ? NULL : hints[-code];
	if (code == LG_EUSAGE && cli->command && !cli->hint && !said) {
		snprintf(help, sizeof help, "see 'lastgood %s --help'", cli->command->name);
		hint = help;
	}
	lg_output_error(&cli->output, code, error, &cli->problems, hint);
}

int lg_cli_main(int argc, char **argv)
{
	struct lg_cli cli = { .status = LG_OK };
	struct lg_error err = LG_ERROR_INIT;
	lg_output_init(&cli.output, stdout, stderr, false);
	int code = run(&cli, argc, argv, &err);
	if (code < 0)
		tell_error(&cli, code, &err);
	else
		code = cli.status;
	int rc = lg_output_flush(&cli.output, &err);
	bool nobody_reads = rc < 0 && err.sys_errno == EPIPE;
	if (rc < 0 && !nobody_reads && code == 0) {
		bool may_have_changed = cli.command && (cli.command->statuses & LG_STATUS(LG_ECONFLICT));
		lg_output_error(&cli.output, rc, &err, NULL,
			may_have_changed
				? "what it did stands: look with 'lastgood history' before you repeat it"
				: NULL);
		code = rc;
	}
	lg_session_clear(&cli.session);
	lg_problems_clear(&cli.problems);
	lg_args_clear(&cli.args);
	if (nobody_reads && code == 0) {
		/* as any filter ends whose reader went away; only now, when everything is done and closed */
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	return lg_code_exit(code);
}
