/* confirm.h - the one question that dangerous commands ask.
 *
 * It is asked behind what will happen, on a terminal only: without one --yes is needed.  Anything but "yes" is no, and no is
 * not a failure: nothing was touched, the status is 0.
 */
#ifndef LG_CLI_CONFIRM_H
#define LG_CLI_CONFIRM_H

#include "cli/command.h"

/* 1: go on (or --yes was given), 0: a person said no; LG_EUSAGE when there is nobody to ask. */
int lg_cli_confirm(struct lg_cli *cli, struct lg_error *err);

#endif
