/* wrap.h - a log around another one, that traces every call and injects failures.  For tests, for bug reports
 * (LASTGOOD_TRACE_LOG=FILE) and for the fault-injection suite. */
#ifndef LG_LOG_WRAP_WRAP_H
#define LG_LOG_WRAP_WRAP_H

#include "log/log.h"

enum lg_log_call {
	LG_LOG_CALL_HEAD,
	LG_LOG_CALL_APPEND,
	LG_LOG_CALL_QUERY,
	LG_LOG_CALL_CHECKPOINT_WRITE,
	LG_LOG_CALL_CHECKPOINT_READ,
	LG_LOG_CALL_TRIM,
	LG_LOG_CALL_GAP,
	LG_LOG_CALL_WAIT,
	LG_LOG_CALL_CHECKPOINT_FIND,
	LG_LOG_CALL_CHECKPOINT_DROP,
	LG_LOG_CALL_SKIP,
	LG_LOG_CALL_SETTLE,
	LG_LOG_CALL_CHECK,
	LG_LOG_CALL_EACH_TOUCHED,
	LG_LOG_CALL_COUNT
};
const char *lg_log_call_name(enum lg_log_call call); /* "append" */

struct lg_log_hooks {
	/* Before the call: a negative code makes it fail without reaching the inner log. NULL: never. */
	int (*before)(void *arg, enum lg_log_call call, struct lg_error *err);
	/* After a successful call: a negative code is returned although it happened (append: LG_EUNKNOWN is the honest
	   one). NULL: never. */
	int (*after)(void *arg, enum lg_log_call call, struct lg_error *err);
	/* One printable line per call: name, arguments, result, microseconds. NULL: no trace. */
	void (*trace)(void *arg, const char *line);
	void *arg;
};

/* Takes over `inner` (closed with the wrapper). hooks are copied. On failure inner is closed.
 * An append also asks lg_fault_check(LG_FAULT_LOG_APPEND, …): "append" before it, where an errno makes it fail with nothing
 * written, and "appended" after it, where one makes the outcome LG_EUNKNOWN; so LASTGOOD_FAULT reaches the log, too. */
int lg_log_wrap(struct lg_log *inner, const struct lg_log_hooks *hooks, const struct lg_clock *clock,
	struct lg_log **ret_log, struct lg_error *err);

#endif
