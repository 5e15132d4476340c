/* command.h - a command of lastgood as a row of a table.
 *
 * commands.c lists the tables of all files; the row alone makes the parser, --help, `lastgood help` and the Markdown
 * reference, so none of them can say anything else than what is understood.
 */
#ifndef LG_CLI_COMMAND_H
#define LG_CLI_COMMAND_H

#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"

struct lg_example {
	const char *command; /* behind "lastgood " */
	const char *what;
};

struct lg_cli;

struct lg_command {
	const char *name;  /* one word or two: "rollback config" */
	const char *usage; /* what follows the name */
	const char *summary;
	const char *description;           /* paragraphs, separated by "\n\n"; wrapped when shown */
	const struct lg_option *options;   /* ends with a row without name; NULL: only the global ones */
	const struct lg_example *examples; /* ends with a row without command; at least one */
	size_t words_min, words_max;
	unsigned statuses; /* LG_STATUS bits: how it may end beside the usual */
	bool hidden;
	int (*run)(struct lg_cli *cli, struct lg_error *err);
};
#define LG_STATUS(code) (1u << -(code))
/* What any command that opens the store may end with. */
#define LG_STATUS_STORE                                                                                        \
	(LG_STATUS(LG_ENOTFOUND) | LG_STATUS(LG_ECORRUPT) | LG_STATUS(LG_ENEWER) | LG_STATUS(LG_EIO) |         \
		LG_STATUS(LG_EPERM))
/* What any command that changes it may. */
#define LG_STATUS_CHANGE                                                                                       \
	(LG_STATUS_STORE | LG_STATUS(LG_EINVALID) | LG_STATUS(LG_ECONFLICT) | LG_STATUS(LG_EHELD) |            \
		LG_STATUS(LG_EBUSY) | LG_STATUS(LG_ENOSPC) | LG_STATUS(LG_EREADONLY) |                         \
		LG_STATUS(LG_EREFUSED) | LG_STATUS(LG_EUNKNOWN))

/* One run of the program. */
struct lg_cli {
	const struct lg_command *command;
	struct lg_args args;
	struct lg_output output;
	struct lg_session session;
	struct lg_problems problems; /* listed with the error, or as warnings when the command succeeds */
	int status;                  /* code to end with although the command did and told what it could */
	const char *hint;            /* what to do after an error, instead of the usual for its code */
};

extern const struct lg_option lg_global_options[];
/* All commands, table by table; each table ends with a row without name. */
extern const struct lg_command *const lg_command_tables[];
extern const size_t lg_command_table_count;

const struct lg_command *lg_command_find(const char *name);
/* Is it the first of two words? */
bool lg_command_is_group(const char *word);
/* The command or group that somebody who typed this may have meant, or NULL; group: "rollback", or NULL for first words.
 * Points into the tables, *ret_len bytes. */
const char *lg_command_suggest(const char *group, const char *typed, size_t *ret_len);
/* "config, list, show": what may follow the first of two words. */
int lg_command_list_group(const char *group, struct lg_buf *buf);

extern const struct lg_command lg_commands_store[]; /* init */
extern const struct lg_command lg_commands_doctor[];
extern const struct lg_command lg_commands_value[];    /* set get unset list */
extern const struct lg_command lg_commands_transfer[]; /* import export */
extern const struct lg_command lg_commands_schema[];
extern const struct lg_command lg_commands_history[]; /* history show diff */
extern const struct lg_command lg_commands_control[]; /* mark hold release */
extern const struct lg_command lg_commands_rollback[];
extern const struct lg_command lg_commands_recover[]; /* recover at key verify salvage */
extern const struct lg_command lg_commands_trim[];
extern const struct lg_command lg_commands_validate[];
extern const struct lg_command lg_commands_monitor[];
extern const struct lg_command lg_commands_help[];

/* help.c */
void lg_help_command(struct lg_output *output, const struct lg_command *command);
void lg_help_group(struct lg_output *output, const char *group);
void lg_help_overview(struct lg_output *output);
bool lg_help_may_end_with(const struct lg_command *command, int code);
extern const char lg_help_purpose[];               /* what lastgood is, in a sentence */
extern const struct lg_example lg_help_examples[]; /* of the whole program */

/* man.c: lastgood(1) as roff */
int lg_help_man(struct lg_output *output, struct lg_error *err);

#endif
