/* lastgood help --man: lastgood(1), from the tables that --help and the Markdown reference are made from. */
#include "base/cleanup.h"
#include "cli/command.h"

#include <string.h>

/* What roff would take for its own, and everything beyond ASCII by number, so that any roff in any locale shows it. */
static const char *const escapes[128] = {
	['\\'] = "\\e",
	['-'] = "\\-",
	['\''] = "\\(aq",
	['"'] = "\\(dq",
	['`'] = "\\(ga",
	['^'] = "\\(ha",
	['~'] = "\\(ti",
};

/* The code point at *text, which is valid UTF-8 as all text of the tables; *text moves behind it. */
static uint32_t next_code_point(const char **text)
{
	unsigned char lead = (unsigned char)*(*text)++;
	uint32_t c = lead < 0x80 ? lead : lead < 0xe0 ? lead & 0x1f : lead < 0xf0 ? lead & 0x0f : lead & 0x07;
	while (((unsigned char)**text & 0xc0) == 0x80)
		c = c << 6 | ((unsigned char)*(*text)++ & 0x3f);
	return c;
}

/* Inside a line that text began already: a leading '.' needs no care. A newline ends the paragraph. */
static void add_text(struct lg_buf *buf, const char *text)
{
	while (*text) {
		uint32_t c = next_code_point(&text);
		if (c == '\n' && *text == '\n') {
			lg_buf_adds(buf, "\n.PP\n\\&");
			text += strspn(text, "\n");
		} else if (c == '\n') {
			lg_buf_addc(buf, ' ');
		} else if (c >= 128) {
			lg_buf_addf(buf, "\\[u%04X]", c);
		} else if (escapes[c]) {
			lg_buf_adds(buf, escapes[c]);
		} else {
			lg_buf_addc(buf, (char)c);
		}
	}
}

/* A line of text; \& keeps one that begins with '.' or an apostrophe from being a request. */
static void add_line(struct lg_buf *buf, const char *text)
{
	lg_buf_adds(buf, "\\&");
	add_text(buf, text);
	lg_buf_addc(buf, '\n');
}

static void add_item(struct lg_buf *buf, const char *name, const char *text)
{
	lg_buf_adds(buf, ".TP\n\\fB");
	add_text(buf, name);
	lg_buf_adds(buf, "\\fR\n");
	add_line(buf, text);
}

static void add_options(struct lg_buf *buf, const struct lg_option *options)
{
	for (; options->name; options++) {
		lg_buf_adds(buf, ".TP\n");
		if (options->letter)
			lg_buf_addf(buf, "\\fB\\-%c\\fR, ", options->letter);
		lg_buf_adds(buf, "\\fB\\-\\-");
		add_text(buf, options->name);
		lg_buf_adds(buf, "\\fR");
		if (options->argument) {
			lg_buf_adds(buf, " \\fI");
			add_text(buf, options->argument);
			lg_buf_adds(buf, "\\fR");
		}
		lg_buf_adds(buf, options->many ? " \\[u2026]\n" : "\n");
		add_line(buf, options->help);
	}
}

static void add_example(struct lg_buf *buf, const struct lg_example *example)
{
	add_line(buf, example->what);
	lg_buf_adds(buf, ".PP\n.in +4n\n.EX\n");
	lg_buf_adds(buf, "\\&lastgood ");
	add_text(buf, example->command);
	lg_buf_adds(buf, "\n.EE\n.in\n.PP\n");
}

static void add_statuses(struct lg_buf *buf, const struct lg_command *command)
{
	const char *separator = "Ends with ";
	for (int code = 0; code > -LG_CODE_COUNT; code--) {
		if (!lg_help_may_end_with(command, code))
			continue;
		lg_buf_addf(buf, "%s%d", separator, lg_code_exit(code));
		separator = ", ";
	}
	lg_buf_adds(buf, "; see EXIT STATUS.\n");
}

static void add_command(struct lg_buf *buf, const struct lg_command *command)
{
	lg_buf_adds(buf, ".SS lastgood ");
	add_text(buf, command->name);
	lg_buf_adds(buf, "\n\\fBlastgood ");
	add_text(buf, command->name);
	lg_buf_adds(buf, "\\fR ");
	add_text(buf, command->usage);
	lg_buf_adds(buf, "\n.PP\n");
	add_line(buf, command->description);
	if (command->options)
		add_options(buf, command->options);
	lg_buf_adds(buf, ".PP\n");
	for (const struct lg_example *example = command->examples; example->command; example++)
		add_example(buf, example);
	add_statuses(buf, command);
}

static void add_commands(struct lg_buf *buf)
{
	lg_buf_adds(buf, ".SH COMMANDS\n");
	for (size_t t = 0; t < lg_command_table_count; t++)
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++)
			if (!c->hidden)
				add_command(buf, c);
}

static void add_exit_statuses(struct lg_buf *buf)
{
	lg_buf_adds(buf, ".SH EXIT STATUS\n");
	for (int code = 0; code > -LG_CODE_COUNT; code--) {
		char number[8];
		if (code == LG_ECANCELLED)
			continue; /* ends with 0, as "done" does */
		snprintf(number, sizeof number, "%d", lg_code_exit(code));
		add_item(buf, number, lg_code_help(code));
	}
}

struct pair {
	const char *name, *text;
};

static const struct pair variables[] = {
	{ "LASTGOOD_STATE_DIR", "the state directory, where --state-dir does not name it" },
	{ "LASTGOOD_CONFIG", "the topology, where --config does not name it" },
	{ "LASTGOOD_ACTOR", "who acts, where --actor does not say; else SUDO_USER, else the user" },
	{ "LASTGOOD_TRACE_LOG",
		"a file to which each call of the log is appended, one line each; for bug reports" },
	{ "NO_COLOR", "not empty: no colours" },
	{ "TERM", "dumb: no colours" },
	{ 0 },
};

static const struct pair files[] = {
	{ LG_DEFAULT_STATE_DIR, "the state directory, DIR below; 0700, of the user that runs lastgood" },
	{ LG_DEFAULT_TOPOLOGY,
		"the services, adapters, probes and triggers of this host; see lastgood.yaml(5)" },
	{ "DIR/lastgood.yaml", "the same, read instead when the state directory was named" },
	{ "DIR/log.db", "the log: an SQLite database, readable in any database shell" },
	{ "DIR/secret.key", "the key that seals secrets: keep a copy elsewhere" },
	{ "DIR/rollbacks/ID/", "plan, journal and report of each rollback" },
	{ 0 },
};

static void add_pairs(struct lg_buf *buf, const char *heading, const struct pair *pairs)
{
	lg_buf_addf(buf, ".SH %s\n", heading);
	for (; pairs->name; pairs++)
		add_item(buf, pairs->name, pairs->text);
}

int lg_help_man(struct lg_output *output, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf,
		".\\\" Generated by 'lastgood help --man'.\n"
		".TH LASTGOOD 1 \"\" \"lastgood " LG_VERSION "\" \"User Commands\"\n"
		".SH NAME\nlastgood \\- configuration with a way back\n"
		".SH SYNOPSIS\n\\fBlastgood\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]\n"
		".SH DESCRIPTION\n");
	add_line(&buf, lg_help_purpose);
	lg_buf_adds(&buf, ".SH OPTIONS\nThey may stand before or after the command.\n");
	add_options(&buf, lg_global_options);
	add_commands(&buf);
	add_exit_statuses(&buf);
	add_pairs(&buf, "ENVIRONMENT", variables);
	add_pairs(&buf, "FILES", files);
	lg_buf_adds(&buf, ".SH EXAMPLES\n");
	for (const struct lg_example *example = lg_help_examples; example->command; example++)
		add_example(&buf, example);
	lg_buf_adds(&buf, ".SH SEE ALSO\n\\fBlastgood.yaml\\fR(5)\n");
	int rc = lg_buf_check(&buf, err);
	if (rc == 0)
		lg_output_raw(output, buf.data, buf.len);
	return rc;
}
