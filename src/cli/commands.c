#include "cli/command.h"

#include "base/text.h"

#include <string.h>

const struct lg_option lg_global_options[] = {
	{ "state-dir", "DIR",
		"where the state lives; default $LASTGOOD_STATE_DIR, else the topology's, "
		"else " LG_DEFAULT_STATE_DIR,
		0, false },
	{ "config", "FILE",
		"the topology of this host; default $LASTGOOD_CONFIG, else DIR/lastgood.yaml, "
		"else " LG_DEFAULT_TOPOLOGY,
		0, false },
	{ "output", "FORM", "table (for people), json or yaml", 'o', false },
	{ "actor", "NAME", "who acts; default $LASTGOOD_ACTOR, else $SUDO_USER, else the user", 0, false },
	{ "no-color", NULL, "no colours; $NO_COLOR does the same", 0, false },
	{ "help", NULL, "this explanation", 'h', false },
	{ "version", NULL, "the version of the program", 0, false },
	{ 0 },
};

const struct lg_command *const lg_command_tables[] = {
	lg_commands_store,
	lg_commands_value,
	lg_commands_transfer,
	lg_commands_schema,
	lg_commands_history,
	lg_commands_control,
	lg_commands_rollback,
	lg_commands_validate,
	lg_commands_monitor,
	lg_commands_doctor,
	lg_commands_help,
};
const size_t lg_command_table_count = sizeof lg_command_tables / sizeof *lg_command_tables;

const struct lg_command *lg_command_find(const char *name)
{
	for (size_t t = 0; t < lg_command_table_count; t++)
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

bool lg_command_is_group(const char *word)
{
	size_t len = strlen(word);
	for (size_t t = 0; t < lg_command_table_count; t++)
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++)
			if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ')
				return true;
	return false;
}
