/* error.h - how every lastgood function says that it failed.
 *
 * A function that can fail returns int: 0, or a negative enum lg_code, and takes `struct lg_error *err` last.  The
 * caller owns the lg_error (usually on its stack; zero-initialised, or LG_ERROR_INIT); it is a fixed buffer, so that
 * an error can be reported when memory is gone.  NULL is accepted everywhere and drops the message.
 *
 *	return lg_fail(err, LG_EIO, errno, "cannot open '%s'", path);      make it and return it in one expression
 *	if (rc < 0) return lg_context(err, rc, "cannot load topology");   each layer adds its prefix once
 *
 * Messages are lowercase, quote their subject and end without a full stop.  The enum is turned into names, exit codes
 * and HTTP statuses by one table in error.c; nothing else maps codes.
 */
#ifndef LG_BASE_ERROR_H
#define LG_BASE_ERROR_H

#include <stddef.h>

/* Keep in step with the table in error.c (a unit test checks). */
enum lg_code {
	LG_OK = 0,
	LG_EFAILED = -1,       /* something ran as asked and did not succeed: a rollback, a validation */
	LG_EUSAGE = -2,        /* the command line is off */
	LG_ENOTFOUND = -3,     /* key, revision, target, rollback, file: it is not there */
	LG_EINVALID = -4,      /* input refused: type, range, syntax, name, size */
	LG_ECONFLICT = -5,     /* compare-and-set failed, the head moved, a plan is stale */
	LG_EHELD = -6,         /* refused by a hold */
	LG_ECORRUPT = -7,      /* what was read cannot be what was written */
	LG_ENEWER = -8,        /* the store was written by a newer version */
	LG_EBUSY = -9,         /* somebody else has the lock, or another rollback runs */
	LG_ETIMEOUT = -10,     /* a deadline passed */
	LG_EIO = -11,          /* a system call failed on a file, socket or process */
	LG_ENOSPC = -12,       /* no space left, or quota */
	LG_EPERM = -13,        /* not allowed: permissions, ownership */
	LG_EREADONLY = -14,    /* read-only file system, or a log that turned read-only after a failed fsync */
	LG_EREFUSED = -15,     /* the service's own check refused the rendered file */
	LG_ENOMEM = -16,       /* memory is gone */
	LG_EUNKNOWN = -17,     /* the outcome of an append is not known: read forward before anything else */
	LG_EUNSUPPORTED = -18, /* this backend or build cannot do that */
	LG_ECANCELLED = -19,   /* a person answered no; nothing was touched */
	LG_EINTERNAL = -20,    /* a bug in lastgood */
};
#define LG_CODE_COUNT 21

#define LG_ERROR_MESSAGE_SIZE 1024

struct lg_error {
	int code;      /* enum lg_code */
	int sys_errno; /* errno behind it, or 0 */
	char message[LG_ERROR_MESSAGE_SIZE];
};
#define LG_ERROR_INIT                                                                                          \
	{                                                                                                      \
		0                                                                                              \
	}

/* Fill err (if not NULL) and return code.  With sys_errno, ": strerror" is appended to the message.  If code is LG_EIO,
 * ENOSPC/EDQUOT, EACCES/EPERM, EROFS and ENOMEM refine it to the code of their own; the refined code is returned. */
int lg_fail(struct lg_error *err, int code, int sys_errno, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Prefix the message with "what: " and return code unchanged. */
int lg_context(struct lg_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

int lg_fail_nomem(struct lg_error *err);

/* clang-tidy sees one source file at a time, and would follow paths on which a failure returns 0. */
#ifdef __clang_analyzer__
#define lg_negative(call)                                                                                      \
	({                                                                                                     \
		int code_ = call;                                                                              \
		if (code_ >= 0)                                                                                \
			__builtin_unreachable();                                                               \
		code_;                                                                                         \
	})
#define lg_fail(...)       lg_negative((lg_fail)(__VA_ARGS__))
#define lg_context(...)    lg_negative((lg_context)(__VA_ARGS__))
#define lg_fail_nomem(err) lg_negative((lg_fail_nomem)(err))
#endif

void lg_error_clear(struct lg_error *err);

const char *lg_code_name(int code); /* "not_found"; for JSON output */
int lg_code_exit(int code);         /* process exit status, 0…20 */
int lg_code_http(int code);         /* HTTP status for the service */
const char *lg_code_help(int code); /* one line for `lastgood --help exit-codes` and the man page */

#endif
