#include "base/cleanup.h"
#include "base/text.h"
#include "cli/command.h"

#include <string.h>

#define WIDTH        80
#define OPTION_WIDTH 26

static void put(struct lg_output *output, const char *text)
{
	lg_output_raw(output, text, strlen(text));
}

static size_t columns(const char *text, size_t len)
{
	size_t width = 0;
	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

/* Paragraphs filled to WIDTH; a paragraph's first line begins at `at` already. */
static void put_wrapped(struct lg_output *output, const char *text, size_t indent, size_t at)
{
	while (*text) {
		size_t len = strcspn(text, " \n");
		size_t width = columns(text, len);
		if (at > indent && at + 1 + width > WIDTH) {
			put(output, "\n");
			at = 0;
		}
		if (at < indent)
			for (; at < indent; at++)
				put(output, " ");
		else if (at > indent) {
			put(output, " ");
			at++;
		}
		lg_output_raw(output, text, len);
		at += width;
		text += len;
		if (*text == '\n' && text[1] == '\n') {
			put(output, "\n\n");
			at = 0;
		}
		text += strspn(text, " \n");
	}
	put(output, "\n");
}

static void put_heading(struct lg_output *output, const char *text)
{
	put(output, "\n");
	if (output->color)
		put(output, lg_style_code(LG_STYLE_BOLD));
	put(output, text);
	if (output->color)
		put(output, LG_STYLE_END);
	put(output, "\n");
}

/* "-o, --output FORM" */
static void add_option_name(struct lg_buf *buf, const struct lg_option *option)
{
	if (option->letter)
		lg_buf_addf(buf, "-%c, ", option->letter);
	lg_buf_addf(buf, "--%s", option->name);
	if (option->argument)
		lg_buf_addf(buf, " %s", option->argument);
	if (option->many)
		lg_buf_adds(buf, " …");
}

static void put_row(struct lg_output *output, const char *name, size_t name_width, const char *text)
{
	size_t at = 2 + columns(name, strlen(name));
	put(output, "  ");
	put(output, name);
	if (at + 2 > name_width + 2) {
		put(output, "\n");
		at = 0;
	}
	for (; at < name_width + 2; at++)
		put(output, " ");
	put_wrapped(output, text, name_width + 2, at);
}

static void put_options(struct lg_output *output, const struct lg_option *options)
{
	for (; options->name; options++) {
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		add_option_name(&buf, options);
		put_row(output, lg_buf_str(&buf), OPTION_WIDTH, options->help);
	}
}

bool lg_help_may_end_with(const struct lg_command *command, int code)
{
	const unsigned usual = LG_STATUS(LG_OK) | LG_STATUS(LG_EUSAGE);
	return code != LG_ECANCELLED /* which ends with 0, as "done" does */
		&& ((command->statuses | usual) & LG_STATUS(code)) != 0;
}

static void put_statuses(struct lg_output *output, const struct lg_command *command)
{
	for (int code = 0; code > -LG_CODE_COUNT; code--) {
		char number[8];
		if (command && !lg_help_may_end_with(command, code))
			continue;
		if (code == LG_ECANCELLED)
			continue; /* ends with 0, as "done" does */
		snprintf(number, sizeof number, "%d", lg_code_exit(code));
		put_row(output, number, 4, lg_code_help(code));
	}
}

void lg_help_command(struct lg_output *output, const struct lg_command *command)
{
	lg_cleanup(lg_buf_clear) struct lg_buf usage = LG_BUF_INIT;
	lg_buf_addf(
		&usage, "Usage: lastgood %s%s%s", command->name, *command->usage ? " " : "", command->usage);
	put_wrapped(output, lg_buf_str(&usage), 0, 0);
	put(output, "\n");
	put_wrapped(output, command->description, 0, 0);
	if (command->options) {
		put_heading(output, "Options");
		put_options(output, command->options);
	}
	put_heading(output, "Global options");
	put_options(output, lg_global_options);
	put_heading(output, "Examples");
	for (const struct lg_example *example = command->examples; example->command; example++) {
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		lg_buf_addf(&buf, "  # %s\n  lastgood %s\n", example->what, example->command);
		put(output, lg_buf_str(&buf));
	}
	put_heading(output, "Exit status");
	put_statuses(output, command);
	put(output, "Any other is listed by 'lastgood help exit-codes'.\n");
}

static void put_commands(struct lg_output *output, const char *group)
{
	for (size_t t = 0; t < lg_command_table_count; t++) {
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++) {
			if (c->hidden ||
				(group && (!lg_starts_with(c->name, group) || c->name[strlen(group)] != ' ')))
				continue;
			put_row(output, c->name, 18, c->summary);
		}
	}
}

void lg_help_group(struct lg_output *output, const char *group)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_buf_addf(&buf, "Usage: lastgood %s COMMAND …\n\n", group);
	put(output, lg_buf_str(&buf));
	put_commands(output, group);
	lg_buf_reset(&buf);
	lg_buf_addf(&buf, "\n'lastgood %s COMMAND --help' explains one, with an example.\n", group);
	put(output, lg_buf_str(&buf));
}

const char lg_help_purpose[] =
	"Configuration with a way back: every change is recorded, every revision can be proven, and going back is "
	"one command, one small record, and a check that it really worked.";

const struct lg_example lg_help_examples[] = {
	{ "init", "a store" },
	{ "set web/port=8080 --reason 'first value'", "a change" },
	{ "history web/port", "what happened to a key" },
	{ "rollback config --to @-1 --reason 'other: wrong port' --yes", "the way back" },
	{ 0 },
};

void lg_help_overview(struct lg_output *output)
{
	put(output, "Usage: lastgood [--state-dir DIR] COMMAND …\n\n");
	put_wrapped(output, lg_help_purpose, 0, 0);
	put_heading(output, "Commands");
	put_commands(output, NULL);
	put_heading(output, "Global options (before or after the command)");
	put_options(output, lg_global_options);
	put_heading(output, "Examples");
	for (const struct lg_example *example = lg_help_examples; example->command; example++) {
		put(output, "  lastgood ");
		put(output, example->command);
		put(output, "\n");
	}
	put(output,
		"\n'lastgood COMMAND --help' explains one, 'lastgood help exit-codes' lists exit statuses.\n");
}

/* --- lastgood help ----------------------------------------------------------------------------------------------------- */

static void markdown_options(struct lg_output *output, const struct lg_option *options)
{
	put(output, "\n| option | meaning |\n| --- | --- |\n");
	for (; options->name; options++) {
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		lg_buf_adds(&buf, "| `");
		size_t name_at = buf.len;
		add_option_name(&buf, options);
		for (size_t i = name_at; i < buf.len; i++)
			if (buf.data[i] == '|')
				buf.data[i] = '/'; /* a bar would end the cell */
		lg_buf_addf(&buf, "` | %s |\n", options->help);
		put(output, lg_buf_str(&buf));
	}
}

static void markdown_statuses(struct lg_output *output, const struct lg_command *command)
{
	put(output, "\n| status | name | meaning |\n| --- | --- | --- |\n");
	for (int code = 0; code > -LG_CODE_COUNT; code--) {
		lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
		if ((command && !lg_help_may_end_with(command, code)) || code == LG_ECANCELLED)
			continue;
		lg_buf_addf(&buf, "| %d | `%s` | %s |\n", lg_code_exit(code), lg_code_name(code),
			lg_code_help(code));
		put(output, lg_buf_str(&buf));
	}
}

static void markdown_command(struct lg_output *output, const struct lg_command *command)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_buf_addf(&buf, "\n## lastgood %s\n\n%s.\n\n```\nlastgood %s%s%s\n```\n\n%s\n", command->name,
		command->summary, command->name, *command->usage ? " " : "", command->usage,
		command->description);
	put(output, lg_buf_str(&buf));
	if (command->options)
		markdown_options(output, command->options);
	put(output, "\n```sh\n");
	for (const struct lg_example *example = command->examples; example->command; example++) {
		lg_buf_reset(&buf);
		lg_buf_addf(&buf, "# %s\nlastgood %s\n", example->what, example->command);
		put(output, lg_buf_str(&buf));
	}
	put(output, "```\n");
	markdown_statuses(output, command);
}

static void markdown(struct lg_output *output)
{
	put(output,
		"# Commands of lastgood\n\nGenerated by `lastgood help --markdown` from the tables that the "
		"program "
		"itself parses its command line with.\n\n## Global options\n\nThey may stand before or after "
		"the "
		"command.\n");
	markdown_options(output, lg_global_options);
	for (size_t t = 0; t < lg_command_table_count; t++)
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++)
			if (!c->hidden)
				markdown_command(output, c);
	put(output, "\n## Exit statuses\n");
	markdown_statuses(output, NULL);
}

static int run_help(struct lg_cli *cli, struct lg_error *err)
{
	struct lg_output *output = &cli->output;
	const char *first = cli->args.word_count ? cli->args.words[0] : NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	if (lg_args_has(&cli->args, "markdown")) {
		markdown(output);
		return 0;
	}
	if (lg_args_has(&cli->args, "man"))
		return lg_help_man(output, err);
	if (!first) {
		lg_help_overview(output);
		return 0;
	}
	if (strcmp(first, "exit-codes") == 0) {
		put(output, "Exit statuses of every command:\n");
		put_statuses(output, NULL);
		return 0;
	}
	lg_buf_adds(&name, first);
	if (cli->args.word_count > 1)
		lg_buf_addf(&name, " %s", cli->args.words[1]);
	const struct lg_command *command = lg_command_find(lg_buf_str(&name));
	if (command)
		lg_help_command(output, command);
	else if (cli->args.word_count == 1 && lg_command_is_group(first))
		lg_help_group(output, first);
	else
		return lg_fail(err, LG_EUSAGE, 0, "there is no command '%s'", lg_buf_str(&name));
	return 0;
}

static const struct lg_option help_options[] = {
	{ "markdown", NULL, "the whole reference as Markdown", 0, false },
	{ "man", NULL, "the whole reference as the manual page lastgood(1)", 0, false },
	{ 0 },
};
static const struct lg_example help_examples[] = {
	{ "help rollback config", "the same as 'lastgood rollback config --help'" },
	{ "help exit-codes", "every exit status" },
	{ 0 },
};

const struct lg_command lg_commands_help[] = {
	{ .name = "help",
		.usage = "[COMMAND | exit-codes] [--markdown | --man]",
		.summary = "Explains a command",
		.description = "Explains one command, lists all of them, or lists the exit statuses.",
		.options = help_options,
		.examples = help_examples,
		.words_max = 2,
		.hidden = true,
		.run = run_help },
	{ 0 },
};
