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
		"else " LG_DEFAULT_TOPOLOGY "; /dev/null: none",
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
	lg_commands_recover,
	lg_commands_trim,
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

/* The word of a command's name that is meant: its first, or behind the group. NULL: it is in another group. */
static const char *name_part(const struct lg_command *command, const char *group, size_t *ret_len)
{
	const char *name = command->name;
	if (group) {
		size_t len = strlen(group);
		if (strncmp(name, group, len) != 0 || name[len] != ' ')
			return NULL;
		name += len + 1;
	}
	*ret_len = strcspn(name, " ");
	return name;
}

const char *lg_command_suggest(const char *group, const char *typed, size_t *ret_len)
{
	const char *best = NULL;
	size_t typed_len = strlen(typed), least = typed_len < 4 ? 2 : 3, len;
	for (size_t t = 0; t < lg_command_table_count; t++) {
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++) {
			const char *name = name_part(c, group, &len);
			if (!name)
				continue;
			bool begun = typed_len >= 2 && strncmp(name, typed, typed_len) == 0;
			size_t away = begun ? 0 : lg_text_distance(name, len, typed, typed_len);
			if (away >= least)
				continue;
			least = away;
			best = name;
			*ret_len = len;
		}
	}
	return best;
}

int lg_command_list_group(const char *group, struct lg_buf *buf)
{
	size_t len;
	const char *separator = "";
	for (size_t t = 0; t < lg_command_table_count; t++) {
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++) {
			const char *name = name_part(c, group, &len);
			if (!name)
				continue;
			lg_buf_addf(buf, "%s%.*s", separator, (int)len, name);
			separator = ", ";
		}
	}
	return lg_buf_check(buf, NULL);
}
