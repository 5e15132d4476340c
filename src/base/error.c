#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct code_row {
	int code;
	int exit_status;
	int http_status;
	const char *name;
	const char *help;
};

/* The one table of codes.  Exit statuses are part of the interface: never renumber. */
static const struct code_row codes[LG_CODE_COUNT] = {
	{ LG_OK, 0, 200, "ok", "done" },
	{ LG_EFAILED, 1, 500, "failed", "it ran and did not succeed (a rollback, a validation)" },
	{ LG_EUSAGE, 2, 400, "usage", "the command line is not understood" },
	{ LG_ENOTFOUND, 3, 404, "not_found", "no such key, revision, target, rollback or file" },
	{ LG_EINVALID, 4, 422, "invalid", "input refused: syntax, type, range, name or size" },
	{ LG_ECONFLICT, 5, 409, "conflict", "somebody else changed it first, or the plan is stale" },
	{ LG_EHELD, 6, 423, "held", "the scope is held after a rollback" },
	{ LG_ECORRUPT, 7, 500, "corrupt", "what was read cannot be what was written" },
	{ LG_ENEWER, 8, 500, "newer_format", "the store was written by a newer version" },
	{ LG_EBUSY, 9, 503, "busy", "another process has the lock, or another rollback runs" },
	{ LG_ETIMEOUT, 10, 504, "timeout", "a deadline passed" },
	{ LG_EIO, 11, 500, "io_error", "a file, socket or process failed" },
	{ LG_ENOSPC, 12, 507, "no_space", "the disk is full" },
	{ LG_EPERM, 13, 403, "permission", "not allowed: permissions or ownership" },
	{ LG_EREADONLY, 14, 503, "read_only", "the file system or the log is read-only" },
	{ LG_EREFUSED, 15, 422, "refused_by_check", "the service's own check refused the configuration" },
	{ LG_ENOMEM, 16, 500, "out_of_memory", "memory is gone" },
	{ LG_EUNKNOWN, 17, 500, "outcome_unknown", "whether the write happened is not known" },
	{ LG_EUNSUPPORTED, 18, 501, "unsupported", "this backend or build cannot do that" },
	{ LG_ECANCELLED, 0, 409, "cancelled", "a person answered no; nothing was touched" },
	{ LG_EINTERNAL, 20, 500, "internal", "a bug in lastgood; please report it" },
};

static const struct code_row *find_code(int code)
{
	if (code <= 0 && code > -LG_CODE_COUNT)
		return &codes[-code];
	return &codes[-LG_EINTERNAL];
}

const char *lg_code_name(int code)
{
	return find_code(code)->name;
}

int lg_code_exit(int code)
{
	return find_code(code)->exit_status;
}

int lg_code_http(int code)
{
	return find_code(code)->http_status;
}

const char *lg_code_help(int code)
{
	return find_code(code)->help;
}

void lg_error_clear(struct lg_error *err)
{
	if (!err)
		return;
	err->code = 0;
	err->sys_errno = 0;
	err->message[0] = '\0';
}

static int refine(int code, int sys_errno)
{
	if (code != LG_EIO)
		return code;
	if (sys_errno == ENOSPC || sys_errno == EDQUOT)
		return LG_ENOSPC;
	if (sys_errno == EACCES || sys_errno == EPERM)
		return LG_EPERM;
	if (sys_errno == EROFS)
		return LG_EREADONLY;
	if (sys_errno == ENOMEM)
		return LG_ENOMEM;
	return code;
}

#undef lg_fail /* see error.h: to clang-tidy they are macros */
#undef lg_context
#undef lg_fail_nomem

int lg_fail(struct lg_error *err, int code, int sys_errno, const char *fmt, ...)
{
	code = refine(code, sys_errno);
	if (!err)
		return code;
	/* the arguments may point into err->message, so format aside first */
	char text[LG_ERROR_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	if (sys_errno) {
		char reason[128];
		snprintf(text + len, sizeof text - len, ": %s", strerror_r(sys_errno, reason, sizeof reason));
	}
	memcpy(err->message, text, sizeof text);
	err->code = code;
	err->sys_errno = sys_errno;
	return code;
}

int lg_context(struct lg_error *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	char former[LG_ERROR_MESSAGE_SIZE];
	memcpy(former, err->message, sizeof former);
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(err->message, sizeof err->message, fmt, args);
	va_end(args);
	size_t len = n < 0 ? 0 : (size_t)n;
	if (len + 3 < sizeof err->message)
		snprintf(err->message + len, sizeof err->message - len, ": %.*s",
			(int)(sizeof err->message - len - 3), former);
	err->code = code;
	return code;
}

int lg_fail_nomem(struct lg_error *err)
{
	return lg_fail(err, LG_ENOMEM, 0, "out of memory");
}
