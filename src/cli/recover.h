/* recover.h - the commands of the group `recover`; cmd_recover.c has their table. */
#ifndef LG_CLI_RECOVER_H
#define LG_CLI_RECOVER_H

#include "cli/command.h"

/* recover_key.c */
int lg_recover_key_run(struct lg_cli *cli, struct lg_error *err);
extern const struct lg_option lg_recover_key_options[];

/* recover_verify.c */
int lg_recover_verify_run(struct lg_cli *cli, struct lg_error *err);
extern const struct lg_option lg_recover_verify_options[];
/* recover_salvage.c */
int lg_recover_salvage_run(struct lg_cli *cli, struct lg_error *err);
extern const struct lg_option lg_recover_salvage_options[];

#endif
