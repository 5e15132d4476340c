#include "base/cleanup.h"
#include "base/text.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define GAP 2
/* Columns give way down to the first width, and only when that is not enough to the second. */
static const size_t cell_min[] = { 16, 8 };
/* A cell that goes on below itself gets at least this, if need be on lines of its own. */
#define WRAP_MIN 24
/* Off a terminal nothing is cut, but one long cell does not pad every other row beyond this. */
#define PAD_MAX 60

/* Code points: wide and combining ones come out a little off, which no locale-free rule could mend. */
static size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void lg_table_init(struct lg_table *table, size_t columns, const char *const *headings)
{
	*table = (struct lg_table){ .columns = columns };
	for (size_t i = 0; headings && i < columns; i++)
		lg_table_add(table, LG_STYLE_DIM, headings[i]);
}

void lg_table_clear(struct lg_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct lg_table){ .columns = table->columns };
}

static bool grow(struct lg_table *table)
{
	if (table->count < table->size)
		return true;
	size_t size = table->size ? 2 * table->size : 64;
	struct lg_cell *cells = reallocarray(table->cells, size, sizeof *cells);
	if (!cells)
		return false;
	table->cells = cells;
	table->size = size;
	return true;
}

void lg_table_add(struct lg_table *table, enum lg_style style, const char *text)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_text_add_printable(&buf, text, strlen(text));
	char *copy = buf.failed ? NULL : lg_buf_steal(&buf);
	if (!copy || !grow(table)) {
		free(copy);
		table->failed = true;
		return;
	}
	table->cells[table->count++] =
		(struct lg_cell){ .text = copy, .width = text_width(copy), .style = style };
}

void lg_table_addf(struct lg_table *table, enum lg_style style, const char *fmt, ...)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	if (lg_buf_vaddf(&buf, fmt, args) < 0)
		table->failed = true;
	va_end(args);
	lg_table_add(table, style, lg_buf_str(&buf));
}

void lg_table_keep_whole(struct lg_table *table, size_t column)
{
	table->whole |= 1u << column;
}

void lg_table_wrap(struct lg_table *table)
{
	if (table->count)
		table->cells[table->count - 1].wraps = true;
}

static bool is_whole(const struct lg_table *table, size_t column)
{
	return (table->whole & 1u << column) != 0;
}

/* Widths so that the table fits into the room: always the widest column that may be cut gives way. */
static void fit(const struct lg_table *table, size_t *widths, size_t room)
{
	size_t sum = GAP * (table->columns - 1), step = 0;
	for (size_t i = 0; i < table->columns; i++) {
		if (!is_whole(table, i) && widths[i] > room)
			widths[i] = room;
		sum += widths[i];
	}
	while (sum > room && step < sizeof cell_min / sizeof *cell_min) {
		size_t *widest = NULL;
		for (size_t i = 0; i < table->columns; i++)
			if (!is_whole(table, i) && widths[i] > cell_min[step] &&
				(!widest || widths[i] > *widest))
				widest = &widths[i];
		if (widest) {
			--*widest;
			sum--;
		} else {
			step++;
		}
	}
}

static size_t terminal_width(const struct lg_output *output)
{
	struct winsize size;
	if (ioctl(fileno(output->out), TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		return size.ws_col;
	return 80;
}

/* Bytes of the first `count` code points. */
static size_t leading_bytes(const char *text, size_t count)
{
	size_t bytes = 0;
	for (; text[bytes] && count; count--)
		do
			bytes++;
		while (((unsigned char)text[bytes] & 0xc0) == 0x80);
	return bytes;
}

/* Bytes of the first line that fits: up to a space, or in the middle of a word that is too long for any line. */
static size_t line_bytes(const char *text, size_t width)
{
	size_t bytes = leading_bytes(text, width), end = bytes;
	if (!text[bytes])
		return bytes;
	while (end > 0 && text[end] != ' ')
		end--;
	return end ? end : bytes;
}

/* On further lines from the column `indent` on. */
static void put_wrapped_cell(const struct lg_cell *cell, size_t indent, size_t room, struct lg_output *output)
{
	bool styled = output->color && cell->style != LG_STYLE_PLAIN;
	const char *text = cell->text;
	bool below = room < indent + WRAP_MIN;
	for (bool first = true; *text; first = false) {
		if (first && below)
			fputc('\n', output->out);
		if (below)
			indent = 4;
		if (!first || below)
			fprintf(output->out, "%*s", (int)indent, "");
		size_t bytes = line_bytes(text, room > indent ? room - indent : 1);
		fputs(styled ? lg_style_code(cell->style) : "", output->out);
		fwrite(text, 1, bytes, output->out);
		fputs(styled ? LG_STYLE_END : "", output->out);
		fputc('\n', output->out);
		text += bytes;
		text += strspn(text, " ");
	}
}

static void put_cell(const struct lg_cell *cell, size_t width, bool last, struct lg_output *output)
{
	bool cut = output->terminal && cell->width > width;
	size_t shown = cut ? width : cell->width;
	bool styled = output->color && cell->style != LG_STYLE_PLAIN;
	fputs(styled ? lg_style_code(cell->style) : "", output->out);
	fwrite(cell->text, 1, cut ? leading_bytes(cell->text, width - 1) : strlen(cell->text), output->out);
	fputs(cut ? "…" : "", output->out);
	fputs(styled ? LG_STYLE_END : "", output->out);
	if (last)
		fputc('\n', output->out);
	else
		fprintf(output->out, "%*s", (int)(shown < width ? width - shown : 0) + GAP, "");
}

int lg_table_print(struct lg_table *table, struct lg_output *output, struct lg_error *err)
{
	size_t widths[LG_TABLE_COLUMNS_MAX] = { 0 };
	if (table->failed || table->columns > LG_TABLE_COLUMNS_MAX) {
		lg_table_clear(table);
		return lg_fail_nomem(err);
	}
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		size_t width =
			output->terminal || table->cells[i].width < PAD_MAX ? table->cells[i].width : PAD_MAX;
		widths[column] = width > widths[column] ? width : widths[column];
	}
	size_t room = terminal_width(output), indent = 0;
	if (output->terminal)
		fit(table, widths, room);
	for (size_t i = 0; i + 1 < table->columns; i++)
		indent += widths[i] + GAP;
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		bool last = column + 1 == table->columns;
		const struct lg_cell *cell = &table->cells[i];
		if (last && cell->wraps && output->terminal && cell->width > widths[column])
			put_wrapped_cell(cell, indent, room, output);
		else
			put_cell(cell, widths[column], last, output);
	}
	lg_table_clear(table);
	return 0;
}
