#include "base/text.h"
#include "format/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct lg_position lg_position_at(const char *text, size_t offset)
{
	struct lg_position at = { .line = 1, .column = 1 };
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			at.line++;
			at.column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			at.column++;
		}
	}
	return at;
}

int lg_fail_at(struct lg_error *err, const char *name, const char *text, size_t offset, const char *fmt, ...)
{
	char message[LG_ERROR_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	struct lg_position at = lg_position_at(text, offset);
	return lg_fail(err, LG_EINVALID, 0, "%s: line %zu column %zu: %s", name, at.line, at.column, message);
}

int lg_text_check(const char *name, const char *text, size_t len, struct lg_error *err)
{
	if (len > LG_IMPORT_MAX)
		return lg_fail(err, LG_EINVALID, 0, "'%s' has %zu bytes, more than the %zu that can be read",
			name, len, LG_IMPORT_MAX);
	size_t valid = lg_utf8_valid_prefix(text, len);
	const char *nul = len ? memchr(text, '\0', len) : NULL;
	if (nul && (size_t)(nul - text) < valid)
		return lg_fail_at(err, name, text, (size_t)(nul - text), "NUL byte in the text");
	if (valid < len)
		return lg_fail_at(err, name, text, valid, "byte 0x%02x is not valid UTF-8",
			(unsigned)(unsigned char)text[valid]);
	return 0;
}
