#include "cli/output.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "format/format.h"
#include "model/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const style_codes[LG_STYLE_COUNT] = {
	[LG_STYLE_PLAIN] = "",
	[LG_STYLE_BOLD] = "\033[1m",
	[LG_STYLE_DIM] = "\033[2m",
	[LG_STYLE_GOOD] = "\033[32m",
	[LG_STYLE_BAD] = "\033[31m",
	[LG_STYLE_WARN] = "\033[33m",
	[LG_STYLE_NAME] = "\033[36m",
};

const char *lg_style_code(enum lg_style style)
{
	return style_codes[style];
}

void lg_output_init(struct lg_output *output, FILE *out, FILE *err, bool no_color)
{
	const char *variable = getenv("NO_COLOR"); /* no-color.org: present and not empty */
	const char *term = getenv("TERM");
	bool color = !no_color && !(variable && *variable) && !(term && strcmp(term, "dumb") == 0);
	*output = (struct lg_output){ .out = out, .err = err };
	output->terminal = isatty(fileno(out)) == 1;
	output->color = color && output->terminal;
	output->color_err = color && isatty(fileno(err)) == 1;
}

int lg_output_form_from_name(const char *name, enum lg_output_form *ret_form, struct lg_error *err)
{
	static const char *const names[] = { "table", "json", "yaml" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(names[i], name) == 0) {
			*ret_form = (enum lg_output_form)i;
			return 0;
		}
	}
	return lg_fail(err, LG_EUSAGE, 0, "unknown output form '%s': table, json or yaml", name);
}

bool lg_output_is_table(const struct lg_output *output)
{
	return output->form == LG_OUTPUT_TABLE;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------ */

static void indent(struct lg_buf *buf, int depth)
{
	lg_buf_addc(buf, '\n');
	for (int i = 0; i < depth; i++)
		lg_buf_adds(buf, "  ");
}

static int add_json(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err);

static int add_object(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err)
{
	const char *name;
	json_t *member;
	const char *separator = "{";
	json_object_foreach((json_t *)json, name, member)
	{
		lg_buf_adds(buf, separator);
		indent(buf, depth + 1);
		lg_text_add_json_string(buf, name, strlen(name));
		lg_buf_adds(buf, ": ");
		int rc = add_json(member, buf, depth + 1, err);
		if (rc < 0)
			return rc;
		separator = ",";
	}
	indent(buf, depth);
	lg_buf_addc(buf, '}');
	return 0;
}

static int add_array(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err)
{
	size_t i;
	json_t *item;
	json_array_foreach(json, i, item)
	{
		lg_buf_adds(buf, i ? "," : "[");
		indent(buf, depth + 1);
		int rc = add_json(item, buf, depth + 1, err);
		if (rc < 0)
			return rc;
	}
	indent(buf, depth);
	lg_buf_addc(buf, ']');
	return 0;
}

static int add_json(const json_t *json, struct lg_buf *buf, int depth, struct lg_error *err)
{
	if (depth > 2 * LG_VALUE_DEPTH)
		return lg_fail(err, LG_EINTERNAL, 0, "a document is nested deeper than any value can be");
	if (json_is_object(json) && json_object_size(json) > 0)
		return add_object(json, buf, depth, err);
	if (json_is_array(json) && json_array_size(json) > 0)
		return add_array(json, buf, depth, err);
	return lg_json_canonical(json, buf, err); /* jansson itself would write 0.1 as 0.10000000000000001 */
}

int lg_output_json(const json_t *json, struct lg_buf *buf, struct lg_error *err)
{
	int rc = add_json(json, buf, 0, err);
	if (rc < 0)
		return rc;
	lg_buf_addc(buf, '\n');
	return lg_buf_check(buf, err);
}

int lg_output_document(struct lg_output *output, json_t *json, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *owned = json;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	if (!owned)
		return lg_fail_nomem(err);
	if (output->form == LG_OUTPUT_TABLE)
		return 0;
	int rc = output->form == LG_OUTPUT_JSON ? lg_output_json(owned, &buf, err)
						: lg_yaml_emit(owned, &buf, err);
	if (rc < 0)
		return rc;
	lg_output_raw(output, buf.data, buf.len);
	output->emitted = true;
	return 0;
}

/* --- lines ----------------------------------------------------------------------------------------------------------- */

void lg_output_raw(struct lg_output *output, const void *data, size_t len)
{
	if (len)
		fwrite(data, 1, len, output->out); /* a failure shows in ferror: lg_output_flush */
}

static void put_printable(
	FILE *file, bool color, enum lg_style style, const char *prefix, const char *text, size_t len)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_text_add_printable(&buf, text, len);
	bool styled = color && style != LG_STYLE_PLAIN;
	fprintf(file, "%s%s%s%s\n", prefix, styled ? style_codes[style] : "", lg_buf_str(&buf),
		styled ? LG_STYLE_END : "");
}

void lg_output_line(struct lg_output *output, enum lg_style style, const char *fmt, ...)
{
	if (output->form != LG_OUTPUT_TABLE)
		return;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&buf, fmt, args);
	va_end(args);
	put_printable(output->out, output->color, style, "", lg_buf_str(&buf), buf.len);
}

void lg_output_warn(struct lg_output *output, const char *fmt, ...)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&buf, fmt, args);
	va_end(args);
	fflush(output->out);
	put_printable(output->err, output->color_err, LG_STYLE_WARN, "lastgood: warning: ", lg_buf_str(&buf),
		buf.len);
}

void lg_output_note(struct lg_output *output, const char *fmt, ...)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&buf, fmt, args);
	va_end(args);
	fflush(output->out);
	put_printable(output->err, output->color_err, LG_STYLE_PLAIN, "", lg_buf_str(&buf), buf.len);
}

/* --- errors ---------------------------------------------------------------------------------------------------------- */

/* Messages may quote bytes that are no UTF-8; a document must hold text. */
static json_t *printable_json(const char *text)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	size_t len = strlen(text);
	if (lg_utf8_valid_prefix(text, len) == len)
		return json_stringn(text, len);
	lg_text_add_printable(&buf, text, len);
	return json_string(lg_buf_str(&buf));
}

static json_t *error_document(
	int code, const struct lg_error *error, const struct lg_problems *problems, const char *hint)
{
	json_t *list = json_array();
	for (size_t i = 0; problems && i < problems->count; i++)
		json_array_append_new(list,
			json_pack("{s:o, s:o}", "subject", printable_json(problems->items[i].subject),
				"message", printable_json(problems->items[i].message)));
	json_t *body = json_pack("{s:s, s:o, s:i, s:o}", "code", lg_code_name(code), "message",
		printable_json(error->message), "exit_status", lg_code_exit(code), "problems", list);
	if (body && hint)
		json_object_set_new(body, "hint", printable_json(hint));
	return json_pack("{s:o}", "error", body);
}

static void put_problems(struct lg_output *output, const struct lg_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		fputs("  ", output->err);
		lg_output_note(output, "%s: %s", problems->items[i].subject, problems->items[i].message);
	}
	if (problems->total > problems->count)
		lg_output_note(output, "  and %zu more", problems->total - problems->count);
}

void lg_output_error(struct lg_output *output, int code, const struct lg_error *error,
	const struct lg_problems *problems, const char *hint)
{
	fflush(output->out);
	put_printable(output->err, output->color_err, LG_STYLE_BAD, "lastgood: ", error->message,
		strlen(error->message));
	/* the message of a single problem is in the error's already */
	if (problems &&
		!(problems->total == 1 && problems->count == 1 &&
			strstr(error->message, problems->items[0].message)))
		put_problems(output, problems);
	if (hint)
		lg_output_note(output, "lastgood: %s", hint);
	if (output->form != LG_OUTPUT_TABLE && !output->emitted)
		lg_output_document(output, error_document(code, error, problems, hint), NULL);
}

int lg_output_flush(struct lg_output *output, struct lg_error *err)
{
	errno = 0;
	if (fflush(output->out) == 0 && !ferror(output->out))
		return 0;
	return lg_fail(err, LG_EIO, errno ? errno : EIO, "cannot write standard output");
}
