#include "cli/confirm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int lg_cli_confirm(struct lg_cli *cli, struct lg_error *err)
{
	char answer[16];
	if (lg_args_has(&cli->args, "yes"))
		return 1;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return lg_fail(err, LG_EUSAGE, 0,
			"there is no terminal to ask on: look with --dry-run, then repeat the command with "
			"--yes");
	fflush(cli->output.out);
	fputs("Type yes to go on: ", cli->output.err);
	fflush(cli->output.err);
	if (!fgets(answer, sizeof answer, stdin))
		answer[0] = '\0';
	return strcmp(answer, "yes\n") == 0;
}
